//! Who answers what is in the cache? Listener threads: one for each UDP socket, without the loop.
//!
//! ```text
//! wait for datagrams ─► each: shortcut? ─ yes ─► outbox ──► send all at once ─┐
//!         ▲                      └─────── no ──► handover ─► the loop ...     │
//!         └───────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A thread decides nothing: whether a question can be answered at once, the core's shortcut says. What it cannot, the loop
//! answers through the same socket.

use std::net::{Shutdown, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};
use std::{io, mem};

use config::time::Instant;
use resolver::shortcut::Shortcut;
use resolver::{Channel, Stub};
use socket2::SockRef;

use crate::batch::{Outbox, Received, Wait};
use crate::bind::{Guard, is_passing};
use crate::handover::{Datagram, Handover};

/// Bytes of a thread's stack: names, headers and answers are on the heap.
const STACK: usize = 128 << 10;

/// What a thread listens at.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) socket: Arc<UdpSocket>,
    /// The place of its UDP stub.
    pub(crate) place: usize,
    pub(crate) stub: Stub,
    pub(crate) guard: Guard,
}

/// The listener threads; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Threads {
    handover: Arc<Handover>,
    stop: Arc<AtomicBool>,
    lost: Arc<AtomicU64>,
    running: Vec<(Arc<UdpSocket>, JoinHandle<()>)>,
}

impl Threads {
    /// Makes none yet.
    ///
    /// # Errors
    /// What `eventfd(2)` says.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            handover: Arc::new(Handover::new()?),
            stop: Arc::default(),
            lost: Arc::default(),
            running: Vec::new(),
        })
    }

    /// Returns where questions come from them.
    pub(crate) fn handover(&self) -> &Handover {
        &self.handover
    }

    /// Returns how many questions there was no room for.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Starts one.
    ///
    /// # Errors
    /// When the system has no thread left; the socket is then as it was.
    pub(crate) fn start(
        &mut self,
        post: Post,
        shortcut: Shortcut,
        clock: fn() -> Instant,
    ) -> io::Result<()> {
        let socket = Arc::clone(&post.socket);
        let mut thread = Thread {
            post,
            shortcut,
            clock,
            handover: Arc::clone(&self.handover),
            stop: Arc::clone(&self.stop),
            lost: Arc::clone(&self.lost),
        };
        socket.set_nonblocking(false)?;
        let started = Builder::new()
            .name("linnet-listener".to_owned())
            .stack_size(STACK)
            .spawn(move || thread.run());
        match started {
            Ok(handle) => {
                self.running.push((socket, handle));
                Ok(())
            }
            Err(error) => {
                socket.set_nonblocking(true)?;
                Err(error)
            }
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for (socket, handle) in mem::take(&mut self.running) {
            // Says that there is no connection, and wakes whoever waits all the same.
            let _unconnected = SockRef::from(&*socket).shutdown(Shutdown::Read);
            if handle.join().is_err() {
                tracing::error!("a listener thread has panicked");
            }
        }
    }
}

struct Thread {
    post: Post,
    shortcut: Shortcut,
    clock: fn() -> Instant,
    handover: Arc<Handover>,
    stop: Arc<AtomicBool>,
    lost: Arc<AtomicU64>,
}

impl Thread {
    fn run(&mut self) {
        let mut received = Received::new();
        let mut outbox = Outbox::new();
        let mut missed: Vec<usize> = Vec::new();
        loop {
            let count = received.receive(self.post.socket.as_fd(), Wait::ForOne);
            if self.stop.load(Ordering::Acquire) {
                return;
            }
            match count {
                Ok(count) => self.round(count, &received, &mut outbox, &mut missed),
                Err(error) if is_passing(&error) => {}
                Err(error) => tracing::warn!(%error, "cannot receive from clients"),
            }
        }
    }

    fn round(
        &mut self,
        count: usize,
        received: &Received,
        outbox: &mut Outbox,
        missed: &mut Vec<usize>,
    ) {
        let now = (self.clock)();
        let stub = self.post.stub;
        for place in 0..count {
            let Some((peer, wire)) = received.get(place) else {
                continue;
            };
            if !self.post.guard.admits_datagram(peer) {
                continue;
            }
            let answered = outbox
                .next()
                .is_some_and(|out| self.shortcut.answer(wire, stub, Channel::Udp, out, now));
            if answered {
                outbox.keep(peer);
            } else {
                missed.push(place);
            }
        }
        outbox.send(self.post.socket.as_fd());
        if missed.is_empty() {
            return;
        }
        let datagrams = missed.drain(..).filter_map(|place| {
            let (peer, wire) = received.get(place)?;
            Some(Datagram {
                stub: self.post.place,
                peer,
                wire,
            })
        });
        let lost = self.handover.give(datagrams);
        self.lost
            .fetch_add(u64::try_from(lost).unwrap_or(0), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
