//! What does one round of the driver do? It looks at all sockets once and takes from each a bounded share.
//!
//! A round ends even under a flood, so that answers leave and the shell's other work has its turn.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use resolver::carried::{Carried, put_keepalive};
use resolver::wire::is_answerable;
use resolver::{Channel, ClientId, ExchangeId, Failure, Stub};

use crate::Driver;
use crate::batch::BATCH_MAX;
use crate::clients::{Client, Origin};
use crate::handover::Datagram;
use crate::listeners;
use crate::poller::{Interest, Seen, Token};
use crate::slots::Key;
use crate::stub_tcp::{ACCEPTS_MAX, CONNECTIONS_MAX, Connection, IDLE_LIFETIME};

/// Time between two looks for what has grown too old.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Questions without an answer that give their places up to each that comes: more than one, so that they become fewer.
const EXPIRED_MAX: usize = 4;

/// By how much a look for what has grown too old is late when nobody was there to take what came meanwhile: that is taken first.
const SWEEP_LATENESS: Duration = Duration::from_millis(250);

/// An input, by the place of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// A client's datagram, at a place of the batch.
    Query(ClientId, Stub, usize),
    /// A question on a connection.
    Question(ClientId, Stub, Key, Range<usize>),
    /// An upstream's datagram, at a place of what its port brought.
    Datagram(ExchangeId, usize),
    /// An upstream's reply on a connection.
    Streamed(ExchangeId, Key, Range<usize>),
    /// An upstream's reply to a call.
    Carried(ExchangeId, Vec<u8>),
    /// An exchange failed.
    Failed(ExchangeId, Failure),
    /// A client is gone.
    Gone(ClientId),
}

/// Which of the received datagrams are handed over in this round.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Batch {
    next: usize,
    end: usize,
}

impl Driver {
    /// Waits for something to take; sweeps by the way.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.calls.poll_done(cx, &mut self.found).is_ready() {
            return Poll::Ready(());
        }
        loop {
            if self.has_found() {
                return Poll::Ready(());
            }
            if !self.needs_sweep() {
                self.sweep_at = None;
                self.is_sweep_put_off = false;
                break;
            }
            let timer = self
                .sweep_at
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(SWEEP_INTERVAL)));
            if timer.as_mut().poll(cx).is_pending() {
                break;
            }
            let late = tokio::time::Instant::now().saturating_duration_since(timer.deadline());
            if late >= SWEEP_LATENESS && !std::mem::replace(&mut self.is_sweep_put_off, true) {
                timer.set(tokio::time::sleep(SWEEP_LATENESS));
                continue;
            }
            self.is_sweep_put_off = false;
            self.sweep_at = None;
            self.sweep(Instant::now());
        }
        ready!(self.poller.poll_seen(cx));
        self.looked = true;
        Poll::Ready(())
    }

    /// Takes the next input of this round.
    pub(crate) fn next_found(&mut self) -> Option<Found> {
        loop {
            if let Some(found) = self.next_current() {
                return Some(found);
            }
            if let Some(found) = self.next_query() {
                return Some(found);
            }
            if let Some(found) = self.next_question() {
                return Some(found);
            }
            if let Some(seen) = self.poller.next() {
                self.handle_seen(seen);
                continue;
            }
            if self.looked {
                return None;
            }
            self.looked = true;
            self.poller.look();
        }
    }

    /// Takes the next thing that sockets of the last look brought, and no question: those stay for the next round.
    pub(crate) fn next_reply(&mut self) -> Option<Found> {
        loop {
            if let Some(found) = self.next_current() {
                return Some(found);
            }
            let seen = self.poller.next()?;
            self.handle_seen(seen);
        }
    }

    /// Takes the next of what was found already and still concerns somebody.
    fn next_current(&mut self) -> Option<Found> {
        while let Some(found) = self.found.pop_front() {
            if self.is_current(&found) {
                return Some(found);
            }
        }
        None
    }

    /// Sends what is kept for clients.
    pub(crate) fn flush(&mut self) {
        for stub in &mut self.udp_stubs {
            stub.flush();
        }
        if self.streams.has_work() {
            self.streams
                .flush(&self.poller, Instant::now(), &mut self.found);
        }
        if self.unsent.is_empty() {
            return;
        }
        let now = Instant::now();
        for key in std::mem::take(&mut self.unsent) {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.unsent = false;
                let flushed = connection.flush(now);
                self.settle(key, flushed.is_err());
            }
        }
    }

    /// Keeps an answer for a connection.
    pub(crate) fn answer_connection(&mut self, key: Key, client: ClientId, mut wire: Vec<u8>) {
        let idle_time = self.idle_time();
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if connection.close(client) {
            let tenths = idle_time.as_millis() / 100;
            put_keepalive(&mut wire, u16::try_from(tenths).unwrap_or(u16::MAX));
        }
        if connection.push(&wire, Instant::now()).is_err() {
            self.close(key);
            return;
        }
        if !connection.unsent {
            connection.unsent = true;
            self.unsent.push(key);
        }
    }

    fn has_found(&self) -> bool {
        !self.found.is_empty()
            || self.has_datagrams()
            || !self.askers.is_empty()
            || self.poller.has_seen()
    }

    /// Whether the bytes of an input are still there: the core may have cancelled meanwhile.
    fn is_current(&self, found: &Found) -> bool {
        match found {
            Found::Streamed(_, key, range) => self.streams.message(*key, range.clone()).is_some(),
            Found::Query(..)
            | Found::Question(..)
            | Found::Datagram(..)
            | Found::Carried(..)
            | Found::Failed(..)
            | Found::Gone(_) => true,
        }
    }

    /// Takes the next datagram of the batch.
    fn next_query(&mut self) -> Option<Found> {
        while self.batch.next < self.batch.end {
            let place = self.batch.next;
            self.batch.next += 1;
            let Some(Datagram {
                stub: at,
                peer,
                wire,
            }) = self.received.get(place)
            else {
                continue;
            };
            if !is_answerable(wire) {
                continue;
            }
            let Some(udp_stub) = self.udp_stubs.get(at) else {
                continue;
            };
            if !udp_stub.guard.admits_datagram(peer) {
                continue;
            }
            let stub = udp_stub.stub;
            self.expire_clients(self.received_at);
            if self.clients.has_share(peer) {
                self.turn_away(place);
                continue;
            }
            let client = Client {
                peer,
                place: at,
                origin: Origin::Udp,
            };
            if let Some(client) = self.remember(client, self.received_at) {
                return Some(Found::Query(client, stub, place));
            }
        }
        None
    }

    /// Answers a datagram of a client that has too many questions open, without asking.
    fn turn_away(&mut self, place: usize) {
        let Some(Datagram { stub, peer, wire }) = self.received.get(place) else {
            return;
        };
        let mut answer = Vec::new();
        if let Some(udp_stub) = self.udp_stubs.get_mut(stub)
            && listeners::refuse_greedy(wire, Channel::Udp, &mut answer)
        {
            udp_stub.push(peer, answer);
        }
    }

    /// Lets a new round take its share of the datagrams at hand.
    pub(crate) fn begin_batch(&mut self) {
        self.batch.end = self.received.len().min(self.batch.next + BATCH_MAX);
    }

    /// Takes datagrams from a stub that no thread serves, when those at hand are handed over.
    fn receive(&mut self, at: usize) {
        let (Some(stub), false) = (self.udp_stubs.get(at), self.has_datagrams()) else {
            return;
        };
        let count = stub.receive(&mut self.socket_batch);
        self.received.clear();
        for (peer, wire) in (0..count).filter_map(|place| self.socket_batch.get(place)) {
            self.received.push(Datagram {
                stub: at,
                peer,
                wire,
            });
        }
        self.take_batch();
    }

    fn take_batch(&mut self) {
        self.received_at = Instant::now();
        self.batch = Batch::default();
        self.begin_batch();
    }

    fn has_datagrams(&self) -> bool {
        self.batch.next < self.received.len()
    }

    /// Takes the next question of the connections that have one.
    fn next_question(&mut self) -> Option<Found> {
        while let Some(key) = self.askers.front().copied() {
            let now = Instant::now();
            self.expire_clients(now);
            if let Some(connection) = self.connections.get_mut(key) {
                let Connection {
                    peer, stub, place, ..
                } = *connection;
                if self.clients.has_share(peer) {
                    // It is taken up again when one of its questions is answered.
                    connection.queued = false;
                    self.askers.pop_front();
                    continue;
                }
                match connection.next_question(now) {
                    // Who sends what is no question has no business here.
                    Ok(Some(range)) if !is_answerable(connection.question(range.clone())) => {
                        self.close(key);
                    }
                    Ok(Some(range)) => {
                        let client = Client {
                            peer,
                            place,
                            origin: Origin::Tcp(key),
                        };
                        let Some(client) = self.remember(client, now) else {
                            self.close(key);
                            continue;
                        };
                        if let Some(connection) = self.connections.get_mut(key) {
                            connection.open(client);
                            if Carried::parse(connection.question(range.clone())).keepalive {
                                connection.wonder(client);
                            }
                        }
                        return Some(Found::Question(client, stub, key, range));
                    }
                    Ok(None) => {
                        connection.queued = false;
                        self.askers.pop_front();
                        self.settle(key, false);
                    }
                    Err(_) => self.close(key),
                }
            } else {
                self.askers.pop_front();
            }
        }
        None
    }

    /// Gives a question an id; `None` when there is no room.
    fn remember(&mut self, client: Client, now: Instant) -> Option<ClientId> {
        let client = self.clients.insert(client, now);
        if client.is_none() {
            tracing::debug!("too many open questions; one is dropped");
        }
        client
    }

    /// Gives up questions that are older than any answer can be, some at a time.
    fn expire_clients(&mut self, now: Instant) {
        for _ in 0..EXPIRED_MAX {
            let Some((client, old)) = self.clients.expire(now) else {
                return;
            };
            if let Origin::Tcp(key) = old.origin
                && let Some(connection) = self.connections.get_mut(key)
            {
                let _told = connection.close(client);
            }
            self.found.push_back(Found::Gone(client));
        }
    }

    fn handle_seen(&mut self, seen: Seen) {
        match seen.token {
            Token::UdpStub(at) => self.receive(at),
            Token::Handover => {
                // What is left of the last ones comes first; the event stays until all are taken.
                if let (Some(threads), false) = (&self.threads, self.has_datagrams()) {
                    threads.handover().take(&mut self.received);
                    self.take_batch();
                }
            }
            Token::Listener(place) => self.accept(place),
            Token::Connection(key) => {
                if let Some(connection) = self.connections.get_mut(key) {
                    let broken = seen.broken
                        || seen.writable && connection.flush(Instant::now()).is_err()
                        || seen.readable && connection.fill(&mut self.scratch).is_err();
                    self.settle(key, broken);
                }
            }
            Token::Port(key) => self.ports.handle_seen(key, &mut self.found),
            Token::Stream(key) => {
                let (poller, scratch) = (&self.poller, &mut self.scratch);
                self.streams
                    .handle_seen(key, seen, poller, scratch, &mut self.found);
            }
        }
    }

    fn accept(&mut self, place: usize) {
        for _ in 0..ACCEPTS_MAX {
            let Some(listener) = self.listeners.get_mut(place) else {
                return;
            };
            let error = match listener.socket.accept() {
                Ok((stream, peer)) => {
                    if listener.guard.admits(peer.ip()) {
                        let stub = listener.stub;
                        self.admit(stream, peer, place, stub);
                    }
                    continue;
                }
                Err(error) => error,
            };
            match error.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                    // It would be seen again and again; the next sweep takes it up.
                    tracing::warn!(%error, "connections wait");
                    listener.paused = true;
                    let idle = Interest {
                        read: false,
                        write: false,
                    };
                    warn(
                        self.poller
                            .change(listener.socket.as_fd(), Token::Listener(place), idle),
                    );
                    return;
                }
                Some(libc::EAGAIN) => return,
                Some(_) | None => {}
            }
        }
    }

    /// Takes a connection, in the place of the one that has been idle for longest when there are many (RFC 7766 §6.2.3).
    fn admit(&mut self, stream: TcpStream, peer: SocketAddr, place: usize, stub: Stub) {
        if self.connections.len() >= CONNECTIONS_MAX {
            let idle = self
                .connections
                .iter()
                .filter(|(_, connection)| connection.is_idle())
                .min_by_key(|(_, connection)| connection.active_at)
                .map(|(key, _)| key);
            let Some(idle) = idle else {
                return;
            };
            self.close(idle);
        }
        let Ok(connection) = Connection::new(stream, peer, place, stub, Instant::now()) else {
            return;
        };
        let key = self.connections.insert(connection);
        let watched = self.connections.get(key).map(|connection| {
            let stream = connection.stream.as_fd();
            self.poller
                .add(stream, Token::Connection(key), connection.watched)
        });
        if let Some(Err(error)) = watched {
            tracing::warn!(%error, "a connection is not taken");
            self.close(key);
        }
    }

    /// Returns how long a connection may be idle: while there are as many as may be, the next one takes the place of one that is.
    fn idle_time(&self) -> Duration {
        match self.connections.len() < CONNECTIONS_MAX {
            true => IDLE_LIFETIME,
            false => Duration::ZERO,
        }
    }

    /// Decides what becomes of a connection after something happened to it.
    fn settle(&mut self, key: Key, broken: bool) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if broken || connection.is_done() {
            self.close(key);
            return;
        }
        if connection.is_ready() && !connection.queued {
            connection.queued = true;
            self.askers.push_back(key);
        }
        let wanted = connection.interest();
        if wanted != connection.watched {
            connection.watched = wanted;
            let stream = connection.stream.as_fd();
            warn(self.poller.change(stream, Token::Connection(key), wanted));
        }
    }

    /// Closes a connection; its open questions need no answer any more.
    fn close(&mut self, key: Key) {
        let Some(connection) = self.connections.remove(key) else {
            return;
        };
        for client in connection.clients() {
            self.clients.remove(*client);
            self.found.push_back(Found::Gone(*client));
        }
    }

    fn needs_sweep(&self) -> bool {
        !self.connections.is_empty()
            || !self.ports.is_empty()
            || !self.streams.is_empty()
            || self.listeners.iter().any(|listener| listener.paused)
    }

    /// Closes what has grown too old, and takes up listeners that waited.
    fn sweep(&mut self, now: Instant) {
        let idle: Vec<Key> = self
            .connections
            .iter()
            .filter(|(_, connection)| {
                now.saturating_duration_since(connection.active_at) >= IDLE_LIFETIME
                    || connection.is_slow(now)
            })
            .map(|(key, _)| key)
            .collect();
        for key in idle {
            self.close(key);
        }
        self.ports.expire(now);
        self.streams.expire(&self.poller, now, &mut self.found);
        for (place, listener) in self.listeners.iter_mut().enumerate() {
            if std::mem::take(&mut listener.paused) {
                let socket = listener.socket.as_fd();
                warn(
                    self.poller
                        .change(socket, Token::Listener(place), Interest::READ),
                );
            }
        }
    }
}

fn warn(watched: io::Result<()>) {
    if let Err(error) = watched {
        tracing::warn!(%error, "cannot watch a socket");
    }
}
