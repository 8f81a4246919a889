//! How does a conversation over a stream go? Questions with their lengths, answers in any order, bounded in time and memory.
//!
//! The same for TCP (RFC 7766) and TLS (RFC 7858). A connection is read only while few of its questions are open and its client
//! takes its answers; whatever has begun (a question, the taking of answers) must end within [`SLOWEST`], counted from its first
//! octet, so that a client that sends or reads octet by octet holds it no longer than one that is quick.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use resolver::carried::{Carried, pad, put_keepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

use super::house::{Delivery, Door, House, IDLE_TIME, IN_FLIGHT_MAX, SLOWEST, Taken, Unsent};
use super::shares::Share;
use crate::Caller;
use crate::frame::{self, Frame, Inbound};

/// Octets read at once.
const READ_MAX: usize = 4096;
/// The longest question, in octets; nobody has reason to ask at more length.
const QUESTION_MAX: usize = 4096;
/// Octets that may wait to be taken while further questions are read.
const UNSENT_READING_MAX: usize = 64 << 10;

/// What protects a connection from being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cover {
    /// Nothing.
    Plain,
    /// TLS: answers to padded questions are padded (RFC 7830 §4).
    Encrypted,
}

/// A client's connection.
pub(super) struct Conversation<S> {
    stream: S,
    caller: Caller,
    cover: Cover,
    house: Arc<House>,
    inbound: Inbound,
    outbound: Vec<u8>,
    sent: usize,
    /// Whether nothing of what was written waits in TLS.
    is_flushed: bool,
    /// How far `outbound` must have been sent for the client not to be slow.
    due: usize,
    held: Unsent,
    /// What the answers in `outbound` hold of their client's share, each with the count of octets sent at its end.
    shares: VecDeque<(u64, Share)>,
    /// Octets sent in all.
    sent_ever: u64,
    /// What each open question wants of its answer, by its tag.
    open: Vec<(u64, Wishes)>,
    last_tag: u64,
    ended: bool,
    /// Since when a question has been coming that is not whole.
    coming_since: Option<Instant>,
    /// Since when an answer has been waiting to be taken.
    waiting_since: Option<Instant>,
    quiet_since: Instant,
}

/// What a question wants of its answer.
#[derive(Debug, Clone, Copy)]
struct Wishes {
    padded: bool,
    keepalive: bool,
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The client is done, or was idle.
    Done,
    /// It was too slow, or made no sense.
    Bad,
}

/// The client is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bad;

/// One thing that happened to a connection.
enum Step {
    Answer(u64, Delivery),
    Sent(usize),
    Flushed,
    Read(usize),
    Broken,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<S> {
    /// Takes a connection whose handshakes are over.
    pub(super) fn new(stream: S, caller: Caller, cover: Cover, house: Arc<House>) -> Self {
        Self {
            stream,
            caller,
            cover,
            held: house.unsent(),
            house,
            inbound: Inbound::default(),
            outbound: Vec::new(),
            sent: 0,
            is_flushed: true,
            due: 0,
            shares: VecDeque::new(),
            sent_ever: 0,
            open: Vec::new(),
            last_tag: 0,
            ended: false,
            coming_since: None,
            waiting_since: None,
            quiet_since: Instant::now(),
        }
    }

    /// Serves until the connection ends; `door` is as it was when the client came.
    pub(super) async fn serve(mut self, door: &Door) -> End {
        let (back, mut answers) = mpsc::channel(IN_FLIGHT_MAX);
        let house = Arc::clone(&self.house);
        let mut bytes = [0; READ_MAX];
        loop {
            if self.take_questions(door, &back).is_err() {
                return End::Bad;
            }
            if self.ended && self.open.is_empty() && self.is_taken() {
                return End::Done;
            }
            let (deadline, quiet_since) = (self.deadline(), self.quiet_since);
            let now = Instant::now();
            if let Some((at, end)) = deadline
                && at <= now
            {
                return end;
            }
            let step = tokio::select! {
                biased;
                Some((tag, delivery)) = answers.recv() => Step::Answer(tag, delivery),
                step = self.step(&mut bytes) => step,
                end = until_over(deadline, &house, quiet_since) => return end,
            };
            match step {
                Step::Answer(tag, delivery) => {
                    if self.keep(tag, delivery).is_err() {
                        return End::Bad;
                    }
                }
                Step::Sent(count) => self.note_sent(count, now),
                Step::Flushed => self.note_taken(),
                Step::Read(0) => self.ended = true,
                Step::Read(count) => {
                    self.coming_since.get_or_insert(now);
                    self.inbound.extend(bytes.get(..count).unwrap_or_default());
                }
                Step::Broken => return End::Done,
            }
        }
    }

    /// Writes or reads once.
    async fn step(&mut self, bytes: &mut [u8; READ_MAX]) -> Step {
        let reads = self.reads();
        poll_fn(|cx| {
            let rest = self.outbound.get(self.sent..).unwrap_or_default();
            let mut stream = Pin::new(&mut self.stream);
            if !rest.is_empty() {
                match stream.as_mut().poll_write(cx, rest) {
                    Poll::Ready(Ok(count)) if count > 0 => return Poll::Ready(Step::Sent(count)),
                    Poll::Ready(_) => return Poll::Ready(Step::Broken),
                    Poll::Pending => {}
                }
            } else if !self.is_flushed {
                match stream.as_mut().poll_flush(cx) {
                    Poll::Ready(Ok(())) => return Poll::Ready(Step::Flushed),
                    Poll::Ready(Err(_)) => return Poll::Ready(Step::Broken),
                    Poll::Pending => {}
                }
            }
            if !reads {
                return Poll::Pending;
            }
            let mut buffer = ReadBuf::new(bytes);
            match stream.poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) => Poll::Ready(Step::Read(buffer.filled().len())),
                Poll::Ready(Err(_)) => Poll::Ready(Step::Broken),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Takes the whole questions that have come.
    fn take_questions(
        &mut self,
        door: &Door,
        back: &mpsc::Sender<(u64, Delivery)>,
    ) -> Result<(), Bad> {
        while self.has_room() {
            let range = match self.inbound.next() {
                Frame::Whole(range) => range,
                Frame::Partial if self.inbound.len() > QUESTION_MAX => return Err(Bad),
                Frame::Partial => break,
                Frame::Bad => return Err(Bad),
            };
            let now = Instant::now();
            self.quiet_since = now;
            self.coming_since = (self.inbound.len() > 0).then_some(now);
            let wire = self.inbound.get(range).to_vec();
            let carried = Carried::parse(&wire);
            let wishes = Wishes {
                padded: carried.padded && self.cover == Cover::Encrypted,
                keepalive: carried.keepalive,
            };
            self.last_tag += 1;
            let tag = self.last_tag;
            self.open.push((tag, wishes));
            let taken = self.house.take(door, self.caller, wire, (back, tag));
            match taken {
                Taken::Asked => {}
                Taken::Answered(wire) => self.keep(tag, Delivery { wire, share: None })?,
                // Who sends what is no question has no business here.
                Taken::Silence => return Err(Bad),
            }
        }
        Ok(())
    }

    /// Keeps an answer until its client takes it.
    fn keep(&mut self, tag: u64, delivery: Delivery) -> Result<(), Bad> {
        let Delivery { mut wire, share } = delivery;
        let place = self.open.iter().position(|(open, _)| *open == tag);
        let Some(place) = place else {
            return Ok(());
        };
        let (_, wishes) = self.open.swap_remove(place);
        if wire.is_empty() {
            return Ok(());
        }
        if wishes.keepalive {
            let tenths = self.house.idle_time().as_millis() / 100;
            put_keepalive(&mut wire, u16::try_from(tenths).unwrap_or(u16::MAX));
        }
        if wishes.padded {
            pad(&mut wire);
        }
        let before = self.outbound.len();
        if !frame::emit(&wire, &mut self.outbound) || !self.held.grow(self.outbound.len() - before)
        {
            return Err(Bad);
        }
        if let Some(share) = share {
            let before = (self.outbound.len() - self.sent) as u64;
            self.shares.push_back((self.sent_ever + before, share));
        }
        if self.waiting_since.is_none() {
            self.waiting_since = Some(Instant::now());
            self.due = self.outbound.len();
        }
        Ok(())
    }

    /// Notes that some was written; what waited when the clock was started must be gone before it is started anew.
    fn note_sent(&mut self, count: usize, now: Instant) {
        self.sent += count;
        self.is_flushed = false;
        self.held.shrink(count);
        self.sent_ever += count as u64;
        while (self.shares.front()).is_some_and(|(end, _)| *end <= self.sent_ever) {
            self.shares.pop_front();
        }
        if self.sent >= self.due {
            self.waiting_since = Some(now);
            self.due = self.outbound.len();
        }
        if self.sent > UNSENT_READING_MAX {
            self.outbound.drain(..self.sent.min(self.outbound.len()));
            self.due = self.due.saturating_sub(self.sent);
            self.sent = 0;
        }
    }

    /// Notes that the client, or its kernel, has everything.
    fn note_taken(&mut self) {
        self.is_flushed = true;
        self.outbound.clear();
        self.outbound.shrink_to(READ_MAX);
        self.sent = 0;
        self.waiting_since = None;
        self.quiet_since = Instant::now();
    }

    /// Returns when the connection ends if nothing happens, and how; `None` when it is idle.
    fn deadline(&self) -> Option<(Instant, End)> {
        let slow = [self.waiting_since, self.coming_since]
            .into_iter()
            .flatten()
            .min();
        if let Some(since) = slow {
            return Some((since + SLOWEST, End::Bad));
        }
        // The resolver answers in time.
        let waits = !self.open.is_empty();
        waits.then(|| (self.quiet_since + IDLE_TIME, End::Done))
    }

    fn reads(&self) -> bool {
        !self.ended && self.has_room()
    }

    /// Whether one more question can be taken.
    fn has_room(&self) -> bool {
        self.open.len() < IN_FLIGHT_MAX && self.outbound.len() - self.sent <= UNSENT_READING_MAX
    }

    /// Whether the client has all its answers.
    fn is_taken(&self) -> bool {
        self.is_flushed && self.sent == self.outbound.len()
    }
}

/// Waits until a connection ends, by its deadline or as it is idle, and returns how.
async fn until_over(deadline: Option<(Instant, End)>, house: &House, quiet_since: Instant) -> End {
    match deadline {
        Some((at, end)) => {
            tokio::time::sleep_until(at.into()).await;
            end
        }
        None => {
            house.until_idle_too_long(quiet_since).await;
            End::Done
        }
    }
}
