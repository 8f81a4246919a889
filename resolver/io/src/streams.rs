//! Which connections to upstreams are there, and which one carries a message? TCP and TLS, many messages on each.
//!
//! ```text
//! message ──► route (group, upstream) ──► a connection with room that answers ──► reply, by id
//!                                    └──► a new one
//! ```
//!
//! A connection that has served and ends takes nobody down with it: its messages are sent once more on another (RFC 7766
//! §6.2.4). Retries, deadlines and the choice of upstream are the core's; nothing ever falls back to the clear.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

use resolver::{ExchangeId, Failure, Hangup, Transmit};

use crate::EXCHANGE_LIFETIME;
use crate::clock::Sleep;
use crate::poller::{Poller, Seen, Token};
use crate::rounds::Found;
use crate::slots::{Key, Slots};
use crate::tls::{Peer, Tls};

use connection::{Connection, MESSAGE_MAX, Turn};
use pending::Message;

mod connection;
mod pending;

/// Connections at once.
const CONNECTIONS_MAX: usize = 128;
/// Connections of one route at once: one, and others while it is full, or while it is silent.
const CONNECTIONS_OF_ROUTE_MAX: usize = 4;
/// Routes that are remembered, with their sessions.
const ROUTES_MAX: usize = 256;
/// How long a server that was not believed is not asked again: a handshake costs both sides.
const DISBELIEF_TIME: Duration = Duration::from_secs(1);

/// The connections.
#[derive(Debug)]
pub(crate) struct Streams {
    routes: Slots<Route>,
    connections: Slots<Connection>,
    places: HashMap<ExchangeId, Place>,
    /// Connections with something to send.
    dirty: Vec<Key>,
    /// Connections that ended in this round; their replies are being handed over.
    ended: Vec<Key>,
    sleep: Sleep,
}

/// Where a message is.
#[derive(Debug, Clone, Copy)]
struct Place {
    connection: Key,
    id: u16,
}

/// One upstream of one group.
#[derive(Debug)]
struct Route {
    /// Whose, and to whom; its message and exchange mean nothing.
    like: Transmit,
    peer: Option<Peer>,
    connections: Vec<Key>,
    /// What was wrong with the server, and until when it is not asked again.
    refused: Option<(Failure, Instant)>,
    used_at: Instant,
}

impl Streams {
    /// No connections.
    pub(crate) fn new() -> Self {
        Self {
            routes: Slots::new(),
            connections: Slots::new(),
            places: HashMap::new(),
            dirty: Vec::new(),
            ended: Vec::new(),
            sleep: Sleep::new(),
        }
    }

    /// Whether there is no connection.
    pub(crate) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Whether there is something to flush.
    pub(crate) fn has_work(&self) -> bool {
        !self.dirty.is_empty() || !self.ended.is_empty()
    }

    /// Takes a message; it is sent by [`Streams::flush`].
    ///
    /// # Errors
    /// Why the exchange cannot be.
    pub(crate) fn start(
        &mut self,
        poller: &Poller,
        tls: &mut Tls,
        mut transmit: Transmit,
        now: Instant,
        found: &mut VecDeque<Found>,
    ) -> Result<(), Failure> {
        self.cancel(transmit.exchange);
        if transmit.wire.len() > MESSAGE_MAX {
            return Err(Failure::Resources);
        }
        if self.sleep.has_slept() {
            self.close_where(poller, now, found, |_| true);
        }
        let message = Message {
            exchange: Some(transmit.exchange),
            wire: std::mem::take(&mut transmit.wire),
            replayed: false,
            expires_at: now + EXCHANGE_LIFETIME,
        };
        let route = self.route(tls, transmit, now)?;
        self.send(poller, route, message, now)
    }

    /// Lets nobody wait for the reply of an exchange.
    pub(crate) fn cancel(&mut self, exchange: ExchangeId) {
        if !self.places.is_empty()
            && let Some(Place { connection, id }) = self.places.remove(&exchange)
            && let Some(connection) = self.connections.get_mut(connection)
        {
            connection.pending.give_up(id);
        }
    }

    /// Sends what was taken since the last call, each connection's messages together.
    pub(crate) fn flush(&mut self, poller: &Poller, now: Instant, found: &mut VecDeque<Found>) {
        for key in std::mem::take(&mut self.ended) {
            drop(self.connections.remove(key));
        }
        // What fails may be sent elsewhere, which is then to be flushed too.
        while let Some(key) = self.dirty.pop() {
            let Some(connection) = self.connections.get_mut(key) else {
                continue;
            };
            connection.dirty = false;
            let flushed = connection
                .flush()
                .and_then(|()| watch(poller, key, connection));
            if let Err(failure) = flushed {
                self.fail(poller, key, failure, now, found);
            }
        }
    }

    /// Takes what a socket brought.
    pub(crate) fn handle_seen(
        &mut self,
        key: Key,
        seen: Seen,
        poller: &Poller,
        scratch: &mut [u8],
        found: &mut VecDeque<Found>,
    ) {
        let now = Instant::now();
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let mut outcome = connection.advance(seen.readable, scratch, now);
        loop {
            match connection.next_reply() {
                Ok(Some((message, range))) => {
                    if let Some(exchange) = message.exchange {
                        self.places.remove(&exchange);
                        found.push_back(Found::Streamed(exchange, key, range));
                    }
                }
                Ok(None) => break,
                Err(failure) => {
                    outcome = Err(failure);
                    break;
                }
            }
        }
        let outcome = match outcome {
            Ok(Turn::GoesOn) => watch(poller, key, connection),
            Ok(Turn::Ended) => Err(Failure::Closed),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = outcome {
            self.fail(poller, key, failure, now, found);
        }
    }

    /// Returns the octets of a reply; `None` when its connection is gone.
    pub(crate) fn message(&self, key: Key, range: Range<usize>) -> Option<&[u8]> {
        Some(self.connections.get(key)?.reply(range))
    }

    /// Closes what has grown too old, and forgets what the core has forgotten.
    pub(crate) fn expire(&mut self, poller: &Poller, now: Instant, found: &mut VecDeque<Found>) {
        let keys: Vec<Key> = self.connections.iter().map(|(key, _)| key).collect();
        for key in keys {
            let Some(connection) = self.connections.get(key) else {
                continue;
            };
            let expired: Vec<ExchangeId> = connection.pending.expired(now).collect();
            let (late, idle) = (connection.is_late(now), connection.is_idle(now));
            for exchange in expired {
                self.cancel(exchange);
            }
            if late {
                self.fail(poller, key, Failure::TimedOut, now, found);
            } else if idle {
                self.fail(poller, key, Failure::Closed, now, found);
            }
        }
        self.flush(poller, now, found);
    }

    /// Closes what must not be used any more, whoever waits for something on it.
    pub(crate) fn hang_up(&mut self, hangup: &Hangup, found: &mut VecDeque<Found>) {
        let meant = |route: &Route| {
            route.like.group == hangup.group
                && hangup
                    .upstream
                    .as_ref()
                    .is_none_or(|upstream| *upstream == route.like.upstream)
        };
        let routes: Vec<Key> = self
            .routes
            .iter()
            .filter(|(_, route)| meant(route))
            .map(|(key, _)| key)
            .collect();
        for route in routes {
            let Some(route) = self.routes.remove(route) else {
                continue;
            };
            for key in route.connections {
                let Some(mut connection) = self.connections.remove(key) else {
                    continue;
                };
                for exchange in connection
                    .pending
                    .drain()
                    .into_iter()
                    .filter_map(|message| message.exchange)
                {
                    self.places.remove(&exchange);
                    found.push_back(Found::Failed(exchange, Failure::Closed));
                }
            }
        }
    }

    /// Has every server that must show itself do so again.
    pub(crate) fn doubt(&mut self, poller: &Poller, tls: &mut Tls, found: &mut VecDeque<Found>) {
        let encrypted = |route: &Route| route.like.upstream.transport.is_encrypted();
        let keys: Vec<Key> = self.routes.iter().map(|(key, _)| key).collect();
        for key in keys {
            if let Some(route) = self.routes.get_mut(key).filter(|route| encrypted(route)) {
                route.refused = None;
                route.peer = match route.peer {
                    Some(_) => tls.peer(&route.like.upstream).ok(),
                    None => None,
                };
            }
        }
        self.close_where(poller, Instant::now(), found, encrypted);
    }

    /// Closes connections; their messages are sent again on others.
    fn close_where(
        &mut self,
        poller: &Poller,
        now: Instant,
        found: &mut VecDeque<Found>,
        meant: impl Fn(&Route) -> bool,
    ) {
        let keys: Vec<Key> = self
            .connections
            .iter()
            .filter(|(_, connection)| self.routes.get(connection.route).is_some_and(&meant))
            .map(|(key, _)| key)
            .collect();
        // All leave their routes before one is made anew.
        for key in &keys {
            if let Some(connection) = self.connections.get_mut(*key) {
                connection.draining = true;
                connection.has_served = true;
            }
        }
        for key in keys {
            self.fail(poller, key, Failure::Closed, now, found);
        }
    }

    /// Finds the route of a message, or makes it.
    fn route(&mut self, tls: &mut Tls, like: Transmit, now: Instant) -> Result<Key, Failure> {
        let same =
            |route: &Route| route.like.group == like.group && route.like.upstream == like.upstream;
        let known = self.routes.iter().find(|(_, route)| same(route));
        let key = match known {
            Some((key, _)) => key,
            None => {
                self.make_room();
                self.routes.insert(Route {
                    like,
                    peer: None,
                    connections: Vec::new(),
                    refused: None,
                    used_at: now,
                })
            }
        };
        let Some(route) = self.routes.get_mut(key) else {
            return Err(Failure::Resources);
        };
        route.used_at = now;
        match route.refused {
            Some((failure, until)) if now < until => return Err(failure),
            Some(_) => route.refused = None,
            None => {}
        }
        if route.peer.is_none() && route.like.upstream.transport.is_encrypted() {
            route.peer = Some(tls.peer(&route.like.upstream)?);
        }
        Ok(key)
    }

    /// Forgets the route that was used longest ago, when there are too many.
    fn make_room(&mut self) {
        if self.routes.len() < ROUTES_MAX {
            return;
        }
        let unused = self.routes.iter();
        let unused = unused
            .filter(|(_, route)| route.connections.is_empty())
            .min_by_key(|(_, route)| route.used_at)
            .map(|(key, _)| key);
        if let Some(unused) = unused {
            drop(self.routes.remove(unused));
        }
    }

    fn send(
        &mut self,
        poller: &Poller,
        route: Key,
        message: Message,
        now: Instant,
    ) -> Result<(), Failure> {
        let key = match self.usable(route, now) {
            Some(key) => key,
            None => self.connect(poller, route, now)?,
        };
        let Some(connection) = self.connections.get_mut(key) else {
            return Err(Failure::Resources);
        };
        let exchange = message.exchange;
        let Ok(id) = connection.push(message, now) else {
            return Err(Failure::Resources);
        };
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(key);
        }
        if let Some(exchange) = exchange {
            let connection = key;
            self.places.insert(exchange, Place { connection, id });
        }
        Ok(())
    }

    /// Returns a connection that takes a message; one that is silent takes no more.
    fn usable(&mut self, route: Key, now: Instant) -> Option<Key> {
        let keys = &self.routes.get(route)?.connections;
        for key in keys.iter().rev() {
            let Some(connection) = self.connections.get_mut(*key) else {
                continue;
            };
            if connection.is_silent(now) {
                connection.draining = true;
            }
            if connection.has_room() {
                return Some(*key);
            }
        }
        None
    }

    fn connect(&mut self, poller: &Poller, key: Key, now: Instant) -> Result<Key, Failure> {
        if self.connections.len() >= CONNECTIONS_MAX {
            self.close_idlest();
        }
        let Some(route) = self.routes.get_mut(key) else {
            return Err(Failure::Resources);
        };
        let full = self.connections.len() >= CONNECTIONS_MAX
            || route.connections.len() >= CONNECTIONS_OF_ROUTE_MAX;
        if full {
            return Err(Failure::Resources);
        }
        let connection = Connection::open(key, &route.like, route.peer.as_ref(), now)?;
        let connection = self.connections.insert(connection);
        route.connections.push(connection);
        let watched = self.connections.get(connection).map_or(Ok(()), |open| {
            poller.add(open, Token::Stream(connection), open.watched)
        });
        if let Err(error) = watched {
            route.connections.retain(|other| *other != connection);
            drop(self.connections.remove(connection));
            return Err(crate::bind::failure(&error));
        }
        Ok(connection)
    }

    /// Closes the connection that nobody has used for longest.
    fn close_idlest(&mut self) {
        let idle = self.connections.iter();
        let idle = idle
            .filter(|(_, connection)| connection.pending.live() == 0)
            .min_by_key(|(_, connection)| connection.active_at())
            .map(|(key, _)| key);
        if let Some(key) = idle
            && let Some(connection) = self.connections.remove(key)
        {
            self.leave_route(key, connection.route);
        }
    }

    fn leave_route(&mut self, key: Key, route: Key) {
        let Some(found) = self.routes.get_mut(route) else {
            return;
        };
        found.connections.retain(|other| *other != key);
        // A route without sessions holds nothing worth keeping.
        if found.connections.is_empty() && found.peer.is_none() {
            drop(self.routes.remove(route));
        }
    }

    /// Ends a connection: its messages are sent once more elsewhere if it has served, and fail otherwise.
    fn fail(
        &mut self,
        poller: &Poller,
        key: Key,
        failure: Failure,
        now: Instant,
        found: &mut VecDeque<Found>,
    ) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let (route, has_served) = (connection.route, connection.has_served);
        connection.draining = true;
        let messages = connection.pending.drain();
        // Replies that came with the end are still to be read from it.
        self.ended.push(key);
        if let Failure::Tls(_) = failure
            && let Some(route) = self.routes.get_mut(route)
        {
            route.refused = Some((failure, now + DISBELIEF_TIME));
        }
        let again = has_served && failure == Failure::Closed;
        let mut unsent = Vec::new();
        for message in messages {
            let Some(exchange) = message.exchange else {
                continue;
            };
            self.places.remove(&exchange);
            if again && !message.replayed {
                unsent.push(Message {
                    replayed: true,
                    ..message
                });
            } else {
                found.push_back(Found::Failed(exchange, failure));
            }
        }
        if let Some(route) = self.routes.get_mut(route) {
            route.connections.retain(|other| *other != key);
        }
        for message in unsent {
            let exchange = message.exchange;
            if let Err(failure) = self.send(poller, route, message, now)
                && let Some(exchange) = exchange
            {
                found.push_back(Found::Failed(exchange, failure));
            }
        }
        self.leave_route(key, route);
    }
}

/// Has the poller look for what a connection waits for.
fn watch(poller: &Poller, key: Key, connection: &mut Connection) -> Result<(), Failure> {
    let wanted = connection.interest();
    if wanted != connection.watched {
        poller
            .change(&*connection, Token::Stream(key), wanted)
            .map_err(|error| crate::bind::failure(&error))?;
        connection.watched = wanted;
    }
    Ok(())
}
