//! Who asked, and where does the answer go? The open questions of all stubs.
//!
//! A bounded slab with generations, shared by UDP and TCP. A question leaves it with its answer; one that never gets an
//! answer gives its place up when it is older than any answer can be, to whoever asks next. One socket of a client may have no more questions open
//! than there is room for, so that a program run wild leaves room for the others. Nothing here touches a socket.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use resolver::ClientId;

use crate::slots::Key;

/// Open questions of all clients together.
pub(crate) const CLIENTS_MAX: usize = 32_768;

/// Age at which an open question may be dropped: longer than the core takes for any answer.
pub(crate) const CLIENT_LIFETIME: Duration = Duration::from_secs(6);

/// Answered questions whose peers are still known, for traces.
const RECENT: usize = 256;

/// Open questions among which sockets have their shares: as many as the resolver takes.
const SHARED: usize = resolver::QUERIES_MAX;

/// Counters of open questions by socket; sockets that meet in one share it.
const COUNTERS: usize = 4096;

/// Marks the end of the list of ages.
const NONE: u32 = u32::MAX;

/// A client with an open question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client {
    /// Its address.
    pub(crate) peer: SocketAddr,
    /// The place of the stub that it asked, among all.
    pub(crate) place: usize,
    /// Where its answer goes.
    pub(crate) origin: Origin,
}

/// The socket that a question came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The UDP stub of its place.
    Udp,
    /// This connection.
    Tcp(Key),
}

/// The open questions.
#[derive(Debug)]
pub(crate) struct Clients {
    entries: Vec<Entry>,
    free: VecDeque<u32>,
    oldest: u32,
    newest: u32,
    capacity: usize,
    hasher: RandomState,
    open_by_socket: Box<[u16]>,
}

#[derive(Debug)]
struct Entry {
    generation: u32,
    open: bool,
    client: Client,
    since: Instant,
    older: u32,
    newer: u32,
}

impl Clients {
    /// Makes an empty slab with room for `capacity` open questions.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            entries: Vec::new(),
            free: VecDeque::new(),
            oldest: NONE,
            newest: NONE,
            capacity,
            hasher: RandomState::new(),
            open_by_socket: vec![0; COUNTERS].into_boxed_slice(),
        }
    }

    /// Whether a client's socket has its share of open questions already: no more than there is room for.
    pub(crate) fn has_share(&self, peer: SocketAddr) -> bool {
        let own = self.open_by_socket.get(self.counter(peer)).copied();
        let own = usize::from(own.unwrap_or(0));
        own > 0 && own >= SHARED.saturating_sub(self.len())
    }

    fn counter(&self, peer: SocketAddr) -> usize {
        let place = self.hasher.hash_one(peer) % COUNTERS as u64;
        usize::try_from(place).unwrap_or(0)
    }

    fn count(&mut self, peer: SocketAddr, opened: bool) {
        let place = self.counter(peer);
        if let Some(count) = self.open_by_socket.get_mut(place) {
            *count = if opened {
                count.saturating_add(1)
            } else {
                count.saturating_sub(1)
            };
        }
    }

    /// Returns the number of open questions.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Remembers a question; `None` when there is no room.
    pub(crate) fn insert(&mut self, client: Client, now: Instant) -> Option<ClientId> {
        if self.len() >= self.capacity {
            return None;
        }
        let room = self.entries.len() < self.capacity.saturating_add(RECENT);
        let place = if self.free.len() > RECENT || !room {
            self.free.pop_front()
        } else {
            None
        };
        let index = place.unwrap_or_else(|| self.grow(client, now));
        Some(self.open(index, client, now))
    }

    /// Takes the oldest question out when it is older than any answer can be: whoever comes next finds its room.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<(ClientId, Client)> {
        let index = self.oldest;
        let entry = self.entries.get(index as usize)?;
        if now.saturating_duration_since(entry.since) < CLIENT_LIFETIME {
            return None;
        }
        let old = id(index, entry.generation);
        Some((old, self.remove(old)?))
    }

    /// Takes an open question out; its peer stays known for a while.
    pub(crate) fn remove(&mut self, client: ClientId) -> Option<Client> {
        let (index, entry) = self.find(client)?;
        if !entry.open {
            return None;
        }
        let found = entry.client;
        self.unlink(index);
        self.count(found.peer, false);
        if let Some(entry) = self.entries.get_mut(index as usize) {
            entry.open = false;
        }
        self.free.push_back(index);
        Some(found)
    }

    /// Returns a client whose question is open, or was answered a short while ago.
    pub(crate) fn get(&self, client: ClientId) -> Option<Client> {
        Some(self.find(client)?.1.client)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the two halves of an id are taken apart"
    )]
    fn find(&self, client: ClientId) -> Option<(u32, &Entry)> {
        let index = client.0 as u32;
        let entry = self.entries.get(index as usize)?;
        (entry.generation == (client.0 >> u32::BITS) as u32).then_some((index, entry))
    }

    fn grow(&mut self, client: Client, now: Instant) -> u32 {
        let index = u32::try_from(self.entries.len()).expect("the capacity is far below 2^32");
        self.entries.push(Entry {
            generation: 0,
            open: false,
            client,
            since: now,
            older: NONE,
            newer: NONE,
        });
        index
    }

    /// Puts a client into a free place, as the newest.
    fn open(&mut self, index: u32, client: Client, now: Instant) -> ClientId {
        self.count(client.peer, true);
        let older = std::mem::replace(&mut self.newest, index);
        match self.entries.get_mut(older as usize) {
            Some(entry) => entry.newer = index,
            None => self.oldest = index,
        }
        let Some(entry) = self.entries.get_mut(index as usize) else {
            return id(index, 0);
        };
        *entry = Entry {
            generation: entry.generation.wrapping_add(1),
            open: true,
            client,
            since: now,
            older,
            newer: NONE,
        };
        id(index, entry.generation)
    }

    /// Takes a place out of the list of ages.
    fn unlink(&mut self, index: u32) {
        let Some(entry) = self.entries.get(index as usize) else {
            return;
        };
        let (older, newer) = (entry.older, entry.newer);
        match self.entries.get_mut(older as usize) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
        match self.entries.get_mut(newer as usize) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
    }
}

fn id(index: u32, generation: u32) -> ClientId {
    ClientId((u64::from(generation) << u32::BITS) | u64::from(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(port: u16) -> Client {
        Client {
            peer: SocketAddr::from(([127, 0, 0, 1], port)),
            place: 0,
            origin: Origin::Udp,
        }
    }

    fn insert(clients: &mut Clients, port: u16, now: Instant) -> ClientId {
        clients.insert(client(port), now).expect("there is room")
    }

    #[test]
    fn answered_client_gives_its_place_up_and_its_id_is_dead() {
        let now = Instant::now();
        let mut clients = Clients::new(4);
        let mut seen = Vec::new();
        for round in 0..10_000_u16 {
            let id = insert(&mut clients, round, now);
            assert_eq!(clients.remove(id), Some(client(round)));
            assert_eq!(clients.remove(id), None);
            assert!(!seen.contains(&id), "an id came twice");
            seen.truncate(999);
            seen.insert(0, id);
        }
        assert_eq!(clients.len(), 0);
        assert!(clients.entries.len() <= 4 + RECENT);
    }

    #[test]
    fn one_socket_leaves_room_for_others_and_gets_its_own_back() {
        let now = Instant::now();
        let mut clients = Clients::new(CLIENTS_MAX);
        let mut open = Vec::new();
        while !clients.has_share(client(1).peer) {
            open.push(insert(&mut clients, 1, now));
        }
        assert_eq!(open.len(), SHARED / 2);
        assert!(!clients.has_share(client(2).peer));
        for id in open {
            clients.remove(id);
        }
        assert!(!clients.has_share(client(1).peer));
        assert!(clients.open_by_socket.iter().all(|count| *count == 0));
    }

    #[test]
    fn peer_stays_known_for_a_while_after_the_answer() {
        let now = Instant::now();
        let mut clients = Clients::new(4);
        let id = insert(&mut clients, 7, now);
        clients.remove(id);
        for port in 100..200 {
            let other = insert(&mut clients, port, now);
            clients.remove(other);
        }
        assert_eq!(clients.get(id), Some(client(7)));
    }

    #[test]
    fn the_oldest_gives_its_place_up_once_it_is_too_old_and_no_earlier() {
        let start = Instant::now();
        let mut clients = Clients::new(3);
        let first = insert(&mut clients, 1, start);
        let second = insert(&mut clients, 2, start + Duration::from_secs(1));
        let third = insert(&mut clients, 3, start + Duration::from_secs(2));
        clients.remove(second);
        let fourth = insert(&mut clients, 4, start + Duration::from_secs(3));
        let early = start + CLIENT_LIFETIME - Duration::from_millis(1);
        assert_eq!(clients.expire(early), None);
        assert_eq!(clients.insert(client(5), early), None);
        let late = start + CLIENT_LIFETIME;
        assert_eq!(clients.expire(late), Some((first, client(1))));
        assert_eq!(clients.expire(late), None);
        let fifth = insert(&mut clients, 5, late);
        assert_eq!(clients.remove(first), None);
        assert_eq!(clients.remove(third), Some(client(3)));
        assert_eq!(clients.remove(fourth), Some(client(4)));
        assert_eq!(clients.remove(fifth), Some(client(5)));
        assert_eq!((clients.oldest, clients.newest), (NONE, NONE));
        assert!(clients.open_by_socket.iter().all(|count| *count == 0));
    }
}
