//! What happens on one connection to an upstream? Bytes in and out, with TLS between or without.
//!
//! ```text
//! Connecting ──writable──► Handshaking ──verified──► Open ──end, error──► its messages go elsewhere, or fail
//!      └───────────without TLS──────────────────────►│
//! ```
//!
//! Messages may be pushed in any state; none leaves before the server is believed. Does not choose connections.

use std::io::{self, BufRead as _, Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use resolver::{Channel, Failure, TlsFault, Transmit};
use rustls::ClientConnection;

use super::pending::{Message, Pending};
use crate::UNACKNOWLEDGED_TIME;
use crate::bind::{self, is_passing};
use crate::edns::{self, Additions};
use crate::frame::{self, Frame, Inbound};
use crate::poller::Interest;
use crate::silence::Owed;
use crate::slots::Key;
use crate::tls::{self, Peer};

/// The longest message that is sent: what we add fits besides.
pub(super) const MESSAGE_MAX: usize = u16::MAX as usize - 512;
/// How long a connection and its handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(3);
/// How long a connection is kept without messages, unless the server says (RFC 7766 §6.2.3).
pub(super) const IDLE_TIME: Duration = Duration::from_secs(10);
/// The longest idle time that is taken from a server (RFC 7828 §3.3.2).
const IDLE_TIME_MAX: Duration = Duration::from_secs(120);
/// Replies that are looked at for it: it is in the reply to the first message, which others may overtake.
const KEEPALIVE_LOOKS: u8 = 64;

/// A connection to an upstream.
#[derive(Debug)]
pub(super) struct Connection {
    /// To whom, and for whom.
    pub(super) route: Key,
    pub(super) pending: Pending,
    /// What the poller looks for.
    pub(super) watched: Interest,
    /// Whether it takes no more messages.
    pub(super) draining: bool,
    /// Whether it is on the list of those to flush.
    pub(super) dirty: bool,
    /// Whether it has brought a reply: then an end means that the server had enough, not that it does not serve.
    pub(super) has_served: bool,
    stream: TcpStream,
    state: State,
    tls: Option<Box<ClientConnection>>,
    /// Framed messages that are not yet sent, or not yet given to TLS.
    out: Vec<u8>,
    sent: usize,
    blocked: bool,
    inbound: Inbound,
    idle_time: Duration,
    asked_keepalive: bool,
    /// Replies that are still looked at for how long the connection may be idle.
    keepalive_looks: u8,
    active_at: Instant,
    owed: Owed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting { give_up_at: Instant },
    Handshaking { give_up_at: Instant },
    Open,
}

/// What an event has brought besides octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    GoesOn,
    /// The server has ended; what came before still counts.
    Ended,
}

impl Connection {
    /// Begins to connect.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(super) fn open(
        route: Key,
        transmit: &Transmit,
        peer: Option<&Peer>,
        now: Instant,
    ) -> Result<Self, Failure> {
        let tls = match peer {
            // What asks for encryption is never sent in the clear.
            None if transmit.upstream.transport.is_encrypted() => {
                return Err(Failure::Tls(TlsFault::Handshake));
            }
            None => None,
            Some(peer) => {
                let config = std::sync::Arc::clone(&peer.config);
                let tls = ClientConnection::new(config, peer.name.clone());
                let tls = tls.map_err(|_| Failure::Tls(TlsFault::Handshake))?;
                Some(Box::new(tls))
            }
        };
        let (socket, address) = bind::upstream(
            &transmit.upstream,
            transmit.link.as_ref(),
            transmit.mark,
            Channel::Tcp,
        )?;
        let prepare = || {
            socket.set_tcp_nodelay(true)?;
            socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_TIME))
        };
        prepare().map_err(|error| bind::failure(&error))?;
        bind::connect(&socket, address)?;
        Ok(Self {
            route,
            pending: Pending::default(),
            watched: Interest::WRITE,
            draining: false,
            dirty: false,
            has_served: false,
            stream: TcpStream::from(socket),
            state: State::Connecting {
                give_up_at: now + HANDSHAKE_TIME,
            },
            tls,
            out: Vec::new(),
            sent: 0,
            blocked: false,
            inbound: Inbound::default(),
            idle_time: IDLE_TIME,
            asked_keepalive: false,
            keepalive_looks: KEEPALIVE_LOOKS,
            active_at: now,
            owed: Owed::default(),
        })
    }

    /// Takes a message, to be sent by the next [`Connection::flush`]; returns its id here.
    ///
    /// # Errors
    /// The message, when there is no room for it.
    pub(super) fn push(&mut self, message: Message, now: Instant) -> Result<u16, Message> {
        let (id, wire) = self.pending.insert(message)?;
        let additions = Additions {
            keepalive: !std::mem::replace(&mut self.asked_keepalive, true),
            padding: self.tls.is_some(),
        };
        let start = self.out.len();
        self.out.extend_from_slice(&[0; frame::PREFIX]);
        edns::emit(wire, id, additions, &mut self.out);
        let length = self.out.len() - start - frame::PREFIX;
        // Below MESSAGE_MAX.
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        if let Some(place) = self.out.get_mut(start..start + frame::PREFIX) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        self.active_at = now;
        self.owed.note_asked(now);
        Ok(id)
    }

    /// Goes on as far as the socket lets.
    ///
    /// # Errors
    /// How the connection failed.
    pub(super) fn advance(
        &mut self,
        readable: bool,
        scratch: &mut [u8],
        now: Instant,
    ) -> Result<Turn, Failure> {
        if let State::Connecting { give_up_at } = self.state {
            let refused = self.stream.take_error();
            if let Ok(Some(error)) | Err(error) = refused {
                return Err(bind::failure(&error));
            }
            self.state = match self.tls {
                Some(_) => State::Handshaking { give_up_at },
                None => State::Open,
            };
        }
        let turn = if readable {
            self.fill(scratch, now)?
        } else {
            Turn::GoesOn
        };
        self.blocked = false;
        match self.flush() {
            Err(Failure::Closed) if turn == Turn::Ended => {}
            flushed => flushed?,
        }
        Ok(turn)
    }

    /// Sends what is kept, as far as the socket takes it.
    ///
    /// # Errors
    /// How the connection failed.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        if matches!(self.state, State::Connecting { .. }) || self.blocked {
            return Ok(());
        }
        loop {
            let rest = self.out.get(self.sent..).unwrap_or_default();
            let written = match &mut self.tls {
                None if rest.is_empty() => break,
                None => self.stream.write(rest),
                Some(tls) if tls.wants_write() => {
                    match tls.write_tls(&mut self.stream) {
                        Ok(0) => return Err(Failure::Closed),
                        // What TLS holds is counted when it takes it.
                        written => written.map(|_| 0),
                    }
                }
                Some(tls) if rest.is_empty() || tls.is_handshaking() => break,
                Some(tls) => tls.writer().write(rest),
            };
            match written {
                Ok(0) if self.tls.is_none() => return Err(Failure::Closed),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return Ok(());
                }
                Err(error) => return Err(bind::failure(&error)),
            }
        }
        if self.sent > 0 && self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
        Ok(())
    }

    /// Takes the next reply that somebody waits for, with its message, under the id that the core gave it.
    ///
    /// # Errors
    /// [`Failure::Garbled`] when the stream makes no sense.
    pub(super) fn next_reply(&mut self) -> Result<Option<(Message, Range<usize>)>, Failure> {
        loop {
            let range = match self.inbound.next() {
                Frame::Whole(range) => range,
                Frame::Partial => return Ok(None),
                Frame::Bad => return Err(Failure::Garbled),
            };
            let reply = self.inbound.get_mut(range.clone());
            let Some(place) = reply.first_chunk_mut::<2>() else {
                continue;
            };
            let Some(message) = self.pending.remove(u16::from_be_bytes(*place)) else {
                // Nobody asked for it.
                continue;
            };
            if let Some(id) = message.wire.first_chunk::<2>() {
                *place = *id;
            }
            self.has_served = true;
            if self.keepalive_looks > 0 {
                self.keepalive_looks -= 1;
                if let Some(time) = edns::keepalive(reply) {
                    self.idle_time = time.min(IDLE_TIME_MAX);
                    self.keepalive_looks = 0;
                }
            }
            if message.exchange.is_some() {
                return Ok(Some((message, range)));
            }
        }
    }

    /// Returns the octets of a reply.
    pub(super) fn reply(&self, range: Range<usize>) -> &[u8] {
        self.inbound.get(range)
    }

    /// Returns what to watch for.
    pub(super) fn interest(&self) -> Interest {
        let connecting = matches!(self.state, State::Connecting { .. });
        Interest {
            read: !connecting,
            write: connecting || self.blocked,
        }
    }

    /// Whether it takes another message.
    pub(super) fn has_room(&self) -> bool {
        !self.draining && !self.pending.is_full()
    }

    /// Whether the server owes replies, and has said nothing for so long that it may be gone.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        self.state == State::Open && self.owed.is_silent(now)
    }

    /// Whether it is of no use any more: idle for as long as the server or we allow.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let idle = now.saturating_duration_since(self.active_at);
        self.pending.live() == 0 && (self.draining || idle >= self.idle_time)
    }

    /// When it was last used.
    pub(super) fn active_at(&self) -> Instant {
        self.active_at
    }

    /// Whether it has not come about in time.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        match self.state {
            State::Connecting { give_up_at } | State::Handshaking { give_up_at } => {
                give_up_at <= now
            }
            State::Open => false,
        }
    }

    /// Takes what the socket has.
    fn fill(&mut self, scratch: &mut [u8], now: Instant) -> Result<Turn, Failure> {
        let count = match self.stream.read(scratch) {
            Ok(0) => return Ok(Turn::Ended),
            Ok(count) => count,
            Err(error) if is_passing(&error) => return Ok(Turn::GoesOn),
            Err(error) => return Err(bind::failure(&error)),
        };
        let mut octets = scratch.get(..count).unwrap_or_default();
        let turn = match &mut self.tls {
            None => {
                self.inbound.extend(octets);
                Turn::GoesOn
            }
            Some(tls) => {
                let mut turn = Turn::GoesOn;
                while !octets.is_empty() && turn == Turn::GoesOn {
                    tls.read_tls(&mut octets)
                        .map_err(|_| Failure::Tls(TlsFault::Handshake))?;
                    let processed = tls.process_new_packets();
                    if let Err(error) = &processed {
                        // The server is told why, if it listens.
                        let _told = tls.write_tls(&mut self.stream);
                        return Err(broken(error, self.state));
                    }
                    turn = take_plain(tls, &mut self.inbound);
                }
                if matches!(self.state, State::Handshaking { .. }) && !tls.is_handshaking() {
                    self.state = State::Open;
                    // Only from here on does silence mean something.
                    self.owed.note_heard(self.pending.live() > 0, now);
                    return Ok(turn);
                }
                turn
            }
        };
        self.active_at = now;
        self.owed.note_heard(self.pending.live() > 0, now);
        Ok(turn)
    }
}

/// Takes what TLS has understood.
fn take_plain(tls: &mut ClientConnection, inbound: &mut Inbound) -> Turn {
    let mut reader = tls.reader();
    loop {
        match reader.fill_buf() {
            // It said good-bye.
            Ok([]) => return Turn::Ended,
            Ok(octets) => {
                let count = octets.len();
                inbound.extend(octets);
                reader.consume(count);
            }
            Err(_) => return Turn::GoesOn,
        }
    }
}

/// Tells what a TLS error means: before the server is believed its own fault, afterwards an end.
fn broken(error: &rustls::Error, state: State) -> Failure {
    match (error, state) {
        (rustls::Error::AlertReceived(_), State::Open) => Failure::Closed,
        (_, State::Connecting { .. } | State::Handshaking { .. } | State::Open) => {
            Failure::Tls(tls::fault(error))
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
