//! Which sockets have something? One epoll set for all of them, awaited as a whole.
//!
//! The set is level-triggered and itself sits in the runtime's: one wake-up per round, whatever the number of sockets,
//! and no task per socket. It knows sockets as [`Token`]s and reads nothing from them.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::task::{Context, Poll, ready};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio::io::unix::AsyncFd;

use crate::batch;
use crate::slots::Key;

/// Sockets reported in one round at most; the others come in the next.
const EVENTS_MAX: usize = 128;

/// Bits of a token that hold a place or a key.
const KIND_SHIFT: u32 = 56;

/// Which socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// The UDP stub with this place.
    UdpStub(usize),
    /// The TCP listener with this place.
    Listener(usize),
    /// A client's connection.
    Connection(Key),
    /// A port to an upstream.
    Port(Key),
    /// Questions from listener threads.
    Handover,
    /// A connection to an upstream.
    Stream(Key),
}

/// What a socket is watched for; errors and hang-ups always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interest {
    /// Something to read.
    pub(crate) read: bool,
    /// Room to write.
    pub(crate) write: bool,
}

impl Interest {
    /// To read.
    pub(crate) const READ: Self = Self {
        read: true,
        write: false,
    };
    /// To write: a connection that is being made.
    pub(crate) const WRITE: Self = Self {
        read: false,
        write: true,
    };
}

/// What was seen on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The socket.
    pub(crate) token: Token,
    /// It has something to read, an end or an error included.
    pub(crate) readable: bool,
    /// It has room to write.
    pub(crate) writable: bool,
    /// It is of no use any more: reset, or closed in both directions.
    pub(crate) broken: bool,
}

/// The epoll set.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: AsyncFd<Set>,
    events: Box<[EpollEvent]>,
    found: usize,
    taken: usize,
}

/// The descriptor of the set; it stays open and the same as long as this lives.
#[derive(Debug)]
pub(crate) struct Set(Epoll);

impl AsRawFd for Set {
    fn as_raw_fd(&self) -> RawFd {
        self.0.0.as_raw_fd()
    }
}

impl Poller {
    /// Makes an empty set; must be called within a tokio runtime that has I/O enabled.
    ///
    /// # Errors
    /// What `epoll_create1(2)` says, or that there is no runtime.
    pub(crate) fn new() -> io::Result<Self> {
        tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        let set = Set(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
        Ok(Self {
            epoll: batch::watch(set)?,
            events: vec![EpollEvent::empty(); EVENTS_MAX].into_boxed_slice(),
            found: 0,
            taken: 0,
        })
    }

    /// Watches a socket; closing it ends the watch.
    ///
    /// # Errors
    /// What `epoll_ctl(2)` says.
    pub(crate) fn add(
        &self,
        socket: impl AsFd,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let event = EpollEvent::new(flags(interest), encode(token));
        Ok(self.epoll.get_ref().0.add(socket, event)?)
    }

    /// Watches a socket for something else.
    ///
    /// # Errors
    /// What `epoll_ctl(2)` says.
    pub(crate) fn change(
        &self,
        socket: impl AsFd,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let mut event = EpollEvent::new(flags(interest), encode(token));
        Ok(self.epoll.get_ref().0.modify(socket, &mut event)?)
    }

    /// Watches a socket no longer.
    ///
    /// # Errors
    /// What `epoll_ctl(2)` says.
    pub(crate) fn remove(&self, socket: impl AsFd) -> io::Result<()> {
        Ok(self.epoll.get_ref().0.delete(socket)?)
    }

    /// Whether something was seen and not yet taken.
    pub(crate) fn has_seen(&self) -> bool {
        self.taken < self.found
    }

    /// Takes the next thing seen.
    pub(crate) fn next(&mut self) -> Option<Seen> {
        let event = self.events.get(..self.found)?.get(self.taken)?;
        self.taken += 1;
        let flags = event.events();
        let broken = EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP;
        Some(Seen {
            token: decode(event.data())?,
            readable: flags.intersects(EpollFlags::EPOLLIN | broken),
            writable: flags.intersects(EpollFlags::EPOLLOUT | broken),
            broken: flags.intersects(broken),
        })
    }

    /// Looks at all sockets without waiting; what was seen before and not taken is seen again.
    pub(crate) fn look(&mut self) {
        self.taken = 0;
        self.found = self.epoll.get_ref().look(&mut self.events);
    }

    /// Waits until something is seen.
    pub(crate) fn poll_seen(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.has_seen() {
            let Ok(mut guard) = ready!(self.epoll.poll_read_ready(cx)) else {
                return Poll::Pending;
            };
            self.taken = 0;
            self.found = guard.get_inner().look(&mut self.events);
            // Readiness of the whole set is cleared only after a look that saw nothing: the runtime is told of
            // transitions, and a set that still holds something makes none.
            if self.found == 0 {
                guard.clear_ready();
            }
        }
        Poll::Ready(())
    }
}

impl Set {
    /// Fills `events` without waiting; returns how many.
    fn look(&self, events: &mut [EpollEvent]) -> usize {
        match self.0.wait(events, EpollTimeout::ZERO) {
            Ok(found) => found,
            Err(Errno::EINTR) => 0,
            Err(error) => {
                tracing::error!(%error, "cannot look at the sockets");
                0
            }
        }
    }
}

fn flags(interest: Interest) -> EpollFlags {
    let mut flags = EpollFlags::empty();
    flags.set(EpollFlags::EPOLLIN, interest.read);
    flags.set(EpollFlags::EPOLLOUT, interest.write);
    flags
}

fn encode(token: Token) -> u64 {
    let (kind, number) = match token {
        Token::UdpStub(place) => (0, place as u64),
        Token::Listener(place) => (1, place as u64),
        Token::Connection(key) => (2, key.to_number()),
        Token::Handover => (4, 0),
        Token::Port(key) => (5, key.to_number()),
        Token::Stream(key) => (6, key.to_number()),
    };
    kind << KIND_SHIFT | number
}

fn decode(number: u64) -> Option<Token> {
    let place = || usize::try_from(number & ((1 << KIND_SHIFT) - 1)).ok();
    match number >> KIND_SHIFT {
        0 => Some(Token::UdpStub(place()?)),
        1 => Some(Token::Listener(place()?)),
        2 => Some(Token::Connection(Key::from_number(number))),
        4 => Some(Token::Handover),
        5 => Some(Token::Port(Key::from_number(number))),
        6 => Some(Token::Stream(Key::from_number(number))),
        _ => None,
    }
}
