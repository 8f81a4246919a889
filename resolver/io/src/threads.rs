//! Who answers what is in the cache? Listener threads: one for each UDP socket, without the loop.
//!
//! ```text
//! wait for datagrams ─► each: shortcut? ─ yes ─► outbox ──► send all at once ─┐
//!         ▲                      └─────── no ──► handover ─► the loop ...     │
//!         └───────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A thread decides nothing: whether a question can be answered at once, the core's shortcut says. What it cannot, the loop
//! answers through the same socket. Listeners for others than this host have such threads too, with a desk of their own
//! (`listeners::datagrams`).

use std::convert::Infallible;
use std::net::{Shutdown, UdpSocket};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Builder, JoinHandle};
use std::time::{self, Duration};
use std::{io, mem};

use config::time::Instant;
use resolver::shortcut::Shortcut;
use resolver::{Channel, Stub};
use socket2::SockRef;
use tokio::sync::mpsc;

use crate::batch::{BATCH_MAX, Outbox, Received, Telling, Wait};
use crate::bind::{Guard, is_passing};
use crate::handover::{Datagram, Handover};

/// How long a thread waits after an error of its socket, so that one that lasts costs little.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// How soon it is told again at first that a thread panics, and at last; each time after twice as long.
const TOLD_MIN: Duration = Duration::from_secs(1);
const TOLD_MAX: Duration = Duration::from_secs(64);
/// How often listener threads have panicked since the start.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// Bytes of a thread's stack: names, headers and answers are on the heap.
const STACK: usize = 128 << 10;

/// What is done with the datagrams of one socket. One that has panicked gets the next ones too: nothing of a batch before may be left in it.
pub(crate) trait Desk: Send + 'static {
    /// Whether it has to know where datagrams came in.
    fn telling(&self) -> Telling {
        Telling::Nothing
    }

    /// Answers what it can, and sees to the rest.
    fn serve(&mut self, received: &mut Received, outbox: &mut Outbox, socket: BorrowedFd<'_>);
}

/// Returns how often listener threads have panicked since the start.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Held by whoever has a socket; when nobody holds it any more, all are closed.
pub(crate) type Hold = mpsc::Sender<Infallible>;

/// Threads, each with a socket and a desk. When this is dropped they end, soon: nobody waits for them, as it may be a runtime that drops
/// it. Whoever has to know has given them a [`Hold`].
#[derive(Debug, Default)]
pub(crate) struct Crew {
    hold: Option<Hold>,
    stop: Arc<AtomicBool>,
    running: Vec<(Arc<UdpSocket>, JoinHandle<()>)>,
}

impl Crew {
    /// Makes none yet; they hold this as long as their sockets are open.
    pub(crate) fn holding(hold: Hold) -> Self {
        let mut crew = Self::default();
        crew.hold = Some(hold);
        crew
    }

    /// Starts one.
    ///
    /// # Errors
    /// When the system has no thread left; the socket is then as it was.
    pub(crate) fn start(&mut self, socket: &Arc<UdpSocket>, desk: impl Desk) -> io::Result<()> {
        let own = Arc::clone(socket);
        let (stop, hold) = (Arc::clone(&self.stop), self.hold.clone());
        socket.set_nonblocking(false)?;
        let started = Builder::new()
            .name("linnet-listener".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                keep_running(&own, desk, &stop);
                drop(own);
                drop(hold);
            });
        match started {
            Ok(handle) => {
                self.running.push((Arc::clone(socket), handle));
                Ok(())
            }
            Err(error) => {
                socket.set_nonblocking(true)?;
                Err(error)
            }
        }
    }
}

impl Crew {
    /// Tells the threads to end.
    fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        for (socket, _) in &self.running {
            // Says that there is no connection, and wakes whoever waits all the same.
            let _unconnected = SockRef::from(&**socket).shutdown(Shutdown::Both);
        }
    }

    /// Has the threads end, and waits until they have.
    fn end(&mut self) {
        self.stop();
        for (_, handle) in mem::take(&mut self.running) {
            // A panic has been told.
            let _ended = handle.join();
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.stop();
        // Before what is held goes.
        self.running.clear();
    }
}

/// Serves a socket until it is to stop. Others beside it at its address do not get what the kernel gives to this one: it must not be
/// left without a reader, whatever happens.
fn keep_running(socket: &UdpSocket, mut desk: impl Desk, stop: &AtomicBool) {
    let mut panics = Panics::default();
    loop {
        if panic::catch_unwind(AssertUnwindSafe(|| run(socket, &mut desk, stop))).is_ok() {
            return;
        }
        PANICS.fetch_add(1, Ordering::Relaxed);
        if let Some(times) = panics.note(time::Instant::now()) {
            tracing::error!(place = %place_of(socket), times, "a listener thread has panicked, and begins anew");
        }
        thread::sleep(ERROR_PAUSE);
    }
}

/// When it is told that a thread panics: at once, and as long as it goes on after one second, two, four …; its socket is read all the same.
#[derive(Debug, Default)]
struct Panics {
    untold: u64,
    /// When it is told again, and how long that was after the last time.
    again: Option<(time::Instant, Duration)>,
}

impl Panics {
    /// Notes one more; returns how many there were since the last time, when it is to be told.
    fn note(&mut self, now: time::Instant) -> Option<u64> {
        self.untold += 1;
        let pause = match self.again {
            Some((at, _)) if now < at => return None,
            // What was quiet for as long again is over.
            Some((at, pause)) if now < at + pause => (pause * 2).min(TOLD_MAX),
            Some(_) | None => TOLD_MIN,
        };
        self.again = Some((now + pause, pause));
        Some(mem::take(&mut self.untold))
    }
}

fn run(socket: &UdpSocket, desk: &mut impl Desk, stop: &AtomicBool) {
    let mut received = Received::new(desk.telling());
    let mut outbox = Outbox::new();
    let mut hearing = Hearing::default();
    loop {
        let taken = received.receive(socket.as_fd(), Wait::ForOne);
        if stop.load(Ordering::Acquire) {
            return;
        }
        match taken {
            Ok(_) => {
                if hearing.is_news(None) {
                    tracing::info!(place = %place_of(socket), "clients are heard again");
                }
                desk.serve(&mut received, &mut outbox, socket.as_fd());
            }
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                if hearing.is_news(Some(error.kind())) {
                    tracing::warn!(%error, place = %place_of(socket), "cannot receive from clients");
                }
                thread::sleep(ERROR_PAUSE);
            }
        }
    }
}

/// What keeps a thread from hearing its clients, so that it is told once.
#[derive(Debug, Default)]
struct Hearing {
    fault: Option<io::ErrorKind>,
}

impl Hearing {
    /// Notes how it stands; true when that has changed.
    fn is_news(&mut self, fault: Option<io::ErrorKind>) -> bool {
        mem::replace(&mut self.fault, fault) != fault
    }
}

/// Returns where a socket is, for messages.
fn place_of(socket: &UdpSocket) -> String {
    match socket.local_addr() {
        Ok(address) => address.to_string(),
        Err(error) => format!("a socket whose address is unknown ({error})"),
    }
}

/// What a thread of the stub listens at.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) socket: Arc<UdpSocket>,
    /// The place of its UDP stub.
    pub(crate) place: usize,
    pub(crate) stub: Stub,
    pub(crate) guard: Guard,
}

/// The threads of the stub.
#[derive(Debug)]
pub(crate) struct Threads {
    handover: Arc<Handover>,
    lost: Arc<AtomicU64>,
    crew: Crew,
}

impl Threads {
    /// Makes none yet.
    ///
    /// # Errors
    /// What `eventfd(2)` says.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            handover: Arc::new(Handover::new()?),
            lost: Arc::default(),
            crew: Crew::default(),
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
        let desk = StubDesk {
            post,
            shortcut,
            clock,
            handover: Arc::clone(&self.handover),
            lost: Arc::clone(&self.lost),
            missed: Vec::with_capacity(BATCH_MAX),
        };
        self.crew.start(&socket, desk)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Whoever drops them, at the end of the daemon, has their addresses free for others.
        self.crew.end();
    }
}

/// Hits are answered, all else is handed over to the loop.
struct StubDesk {
    post: Post,
    shortcut: Shortcut,
    clock: fn() -> Instant,
    handover: Arc<Handover>,
    lost: Arc<AtomicU64>,
    missed: Vec<usize>,
}

impl Desk for StubDesk {
    fn serve(&mut self, received: &mut Received, outbox: &mut Outbox, socket: BorrowedFd<'_>) {
        let now = (self.clock)();
        let stub = self.post.stub;
        self.missed.clear();
        for place in 0..received.len() {
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
                outbox.keep(peer, None);
            } else {
                self.missed.push(place);
            }
        }
        outbox.send(socket);
        if self.missed.is_empty() {
            return;
        }
        let datagrams = self.missed.drain(..).filter_map(|place| {
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
