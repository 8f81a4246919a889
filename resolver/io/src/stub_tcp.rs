//! How does a client's connection live? Many questions at once, answers in any order (RFC 7766 §6.2.1.1, §7).
//!
//! A connection reads only while few of its questions are open, keeps a bounded number of unsent octets, and ends when it
//! is idle, slow or wrong. Which questions are open is known in `clients`; here is only their list.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::time::{Duration, Instant};

use resolver::{ClientId, Stub};

use crate::bind::{Guard, is_passing};
use crate::frame::{self, Frame, Inbound};
use crate::poller::Interest;

/// Connections of all clients together.
pub(crate) const CONNECTIONS_MAX: usize = 128;

/// Connections accepted in one round by one listener.
pub(crate) const ACCEPTS_MAX: usize = 16;

/// Open questions of one connection; it is not read while it has as many.
pub(crate) const IN_FLIGHT_MAX: usize = 32;

/// Time after which a connection without a whole question or a taken answer is closed (RFC 7766 §6.2.3).
pub(crate) const IDLE_LIFETIME: Duration = Duration::from_secs(30);

/// Time in which answers must be taken, from the first octet that waits to the last.
pub(crate) const TAKING_TIME: Duration = Duration::from_secs(10);

/// Octets that a client may leave unread before it is closed: four of the longest messages.
pub(crate) const WRITE_QUEUE_MAX: usize = 4 * (64 << 10);

/// Octets of room that an empty queue keeps.
const KEEP: usize = 16 << 10;

/// A TCP listener.
#[derive(Debug)]
pub(crate) struct Listener {
    /// The socket.
    pub(crate) socket: TcpListener,
    /// As which stub.
    pub(crate) stub: Stub,
    /// Who may ask.
    pub(crate) guard: Guard,
    /// Whether it waits for free file descriptors.
    pub(crate) paused: bool,
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The client.
    pub(crate) peer: SocketAddr,
    /// The place of its stub, among all.
    pub(crate) place: usize,
    /// As which stub it was accepted.
    pub(crate) stub: Stub,
    /// When it last brought a whole question or took some of an answer.
    pub(crate) active_at: Instant,
    /// What the poller watches.
    pub(crate) watched: Interest,
    /// Whether it stands in the driver's queue of connections with whole questions.
    pub(crate) queued: bool,
    /// Whether it stands in the driver's list of connections with unsent answers.
    pub(crate) unsent: bool,
    /// The socket.
    pub(crate) stream: TcpStream,
    clients: Vec<ClientId>,
    /// Those of them that asked how long the connection may be idle.
    wondering: Vec<ClientId>,
    inbound: Inbound,
    outbound: Vec<u8>,
    sent: usize,
    /// Since when answers have been waiting that were there then.
    waiting_since: Option<Instant>,
    ended: bool,
}

/// A connection is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

impl Connection {
    /// Takes an accepted socket.
    ///
    /// # Errors
    /// What the kernel says to its options.
    pub(crate) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        place: usize,
        stub: Stub,
        now: Instant,
    ) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            peer,
            place,
            stub,
            active_at: now,
            watched: Interest::READ,
            queued: false,
            unsent: false,
            stream,
            clients: Vec::new(),
            wondering: Vec::new(),
            inbound: Inbound::default(),
            outbound: Vec::new(),
            sent: 0,
            waiting_since: None,
            ended: false,
        })
    }

    /// Reads once.
    ///
    /// # Errors
    /// [`Broken`] when the connection is reset.
    pub(crate) fn fill(&mut self, scratch: &mut [u8]) -> Result<(), Broken> {
        if !self.has_room() || self.ended {
            return Ok(());
        }
        match self.stream.read(scratch) {
            // The client may have ended its half only, and still wait for answers.
            Ok(0) => self.ended = true,
            Ok(count) => self
                .inbound
                .extend(scratch.get(..count).unwrap_or_default()),
            Err(error) if is_passing(&error) => {}
            Err(_) => return Err(Broken),
        }
        Ok(())
    }

    /// Takes the next whole question; `None` when there is none, or too many are open.
    ///
    /// # Errors
    /// [`Broken`] when the stream makes no sense.
    pub(crate) fn next_question(&mut self, now: Instant) -> Result<Option<Range<usize>>, Broken> {
        if !self.has_room() {
            return Ok(None);
        }
        match self.inbound.next() {
            Frame::Whole(range) => {
                self.active_at = now;
                Ok(Some(range))
            }
            Frame::Partial => Ok(None),
            Frame::Bad => Err(Broken),
        }
    }

    /// Returns the octets of a question.
    pub(crate) fn question(&self, range: Range<usize>) -> &[u8] {
        self.inbound.get(range)
    }

    /// Notes an open question.
    pub(crate) fn open(&mut self, client: ClientId) {
        self.clients.push(client);
    }

    /// Notes that an open question asks how long the connection may be idle (RFC 7828 §3.3.2).
    pub(crate) fn wonder(&mut self, client: ClientId) {
        self.wondering.push(client);
    }

    /// Notes that a question is not open any more; returns whether it asks how long the connection may be idle.
    pub(crate) fn close(&mut self, client: ClientId) -> bool {
        self.clients.retain(|open| *open != client);
        let before = self.wondering.len();
        self.wondering.retain(|open| *open != client);
        self.wondering.len() < before
    }

    /// Returns the open questions.
    pub(crate) fn clients(&self) -> &[ClientId] {
        &self.clients
    }

    /// Keeps an answer until [`Connection::flush`].
    ///
    /// # Errors
    /// [`Broken`] when the client reads too slowly, or the answer fits no stream.
    pub(crate) fn push(&mut self, wire: &[u8], now: Instant) -> Result<(), Broken> {
        if !frame::emit(wire, &mut self.outbound) {
            return Err(Broken);
        }
        self.waiting_since.get_or_insert(now);
        if self.unsent_octets() > WRITE_QUEUE_MAX {
            self.flush(now)?;
        }
        if self.unsent_octets() > WRITE_QUEUE_MAX {
            return Err(Broken);
        }
        Ok(())
    }

    /// Sends what the socket takes.
    ///
    /// # Errors
    /// [`Broken`] when the connection is reset.
    pub(crate) fn flush(&mut self, now: Instant) -> Result<(), Broken> {
        while let Some(rest) = self
            .outbound
            .get(self.sent..)
            .filter(|rest| !rest.is_empty())
        {
            match self.stream.write(rest) {
                Ok(0) => return Err(Broken),
                Ok(count) => {
                    self.sent += count;
                    self.active_at = now;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return Err(Broken),
            }
        }
        self.outbound.drain(..self.sent.min(self.outbound.len()));
        self.sent = 0;
        if self.outbound.is_empty() {
            self.waiting_since = None;
        }
        if self.outbound.is_empty() && self.outbound.capacity() > KEEP {
            self.outbound = Vec::new();
        }
        Ok(())
    }

    /// Whether a whole question can be taken now.
    pub(crate) fn is_ready(&self) -> bool {
        self.has_room() && self.inbound.is_ready()
    }

    /// Whether nothing more will come or go.
    pub(crate) fn is_done(&self) -> bool {
        self.ended
            && self.clients.is_empty()
            && self.unsent_octets() == 0
            && !self.inbound.is_ready()
    }

    /// Whether it waits for its client only.
    pub(crate) fn is_idle(&self) -> bool {
        self.clients.is_empty() && self.unsent_octets() == 0
    }

    /// Whether its client takes too long over its answers, octet by octet or not at all.
    pub(crate) fn is_slow(&self, now: Instant) -> bool {
        let waiting = self.waiting_since;
        waiting.is_some_and(|since| now.saturating_duration_since(since) >= TAKING_TIME)
    }

    /// Returns what to watch for.
    pub(crate) fn interest(&self) -> Interest {
        Interest {
            read: self.has_room() && !self.ended,
            write: self.unsent_octets() > 0,
        }
    }

    fn has_room(&self) -> bool {
        self.clients.len() < IN_FLIGHT_MAX
    }

    fn unsent_octets(&self) -> usize {
        self.outbound.len() - self.sent
    }
}
