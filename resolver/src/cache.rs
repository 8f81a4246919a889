//! Which answers are known already? One store for all scopes, bounded in bytes.
//!
//! A scope's answers are under its [`Slot`]; closing the slot forgets them at once. The store is a segmented LRU: an
//! entry begins in probation and is protected from its first hit on, and protected entries may take four fifths of the
//! room. So a scan of names that are asked once washes through probation and leaves alone what is asked again and again.
//!
//! Does not read messages and does not decide which scope a question belongs to.

use std::hash::Hasher as _;
use std::sync::Arc;
use std::time::Duration;

use config::name::{DomainName, wire_suffixes};
use config::time::Instant;
use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;
use hashbrown::HashTable;

use crate::record::{RawRecord, soa_minimum};
use crate::template::Template;
use crate::wire::{Question, rcode, rtype};

mod order;

use order::{Node, Nodes, Segment};

/// The longest that a positive answer is kept, in seconds: a day (RFC 2181 §8 lets a cache choose).
const MAX_POSITIVE_TTL: u32 = 86_400;
/// The longest that a negative answer is kept, in seconds: three hours (RFC 2308 §5 recommends one to three).
const MAX_NEGATIVE_TTL: u32 = 10_800;
/// How long a failure is kept, in seconds; long enough to stop a storm (RFC 9520 §3.2 asks for 1 s at least).
const FAILURE_TTL: u32 = 5;
/// The part of the room that one answer may take: an eighth.
const MAX_SHARE: usize = 8;
/// The part of the room that protected entries may take, in fifths.
const PROTECTED_FIFTHS: usize = 4;
/// What an allocation costs beyond its length, in bytes, rounding included.
const ALLOCATION: usize = 24;

/// A scope's place in the cache; never equal to one that was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    index: u32,
    epoch: u32,
}

/// What an answer depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    /// The scope.
    pub slot: Slot,
    /// QNAME in wire form, in lower case.
    pub name: &'a [u8],
    /// QTYPE.
    pub record_type: u16,
    /// QCLASS.
    pub class: u16,
    /// DO.
    pub dnssec_ok: bool,
    /// CD.
    pub checking_disabled: bool,
}

/// A fresh answer.
#[derive(Debug, Clone, Copy)]
pub struct Hit<'a> {
    /// The answer.
    pub template: &'a Arc<Template>,
    /// Seconds since it was stored, for [`Template::emit`].
    pub age: u32,
}

/// What to forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forget<'a> {
    /// Everything.
    All,
    /// A name and all below it, in every slot.
    Suffix(&'a DomainName),
    /// One slot, which stays open.
    Slot(Slot),
}

/// What a slot holds and has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Entries.
    pub entries: usize,
    /// Bytes.
    pub bytes: usize,
    /// Answers found.
    pub hits: u64,
    /// Answers not found.
    pub misses: u64,
}

/// The store.
pub struct Cache {
    capacity: usize,
    shared_seed: SharedSeed,
    seed: u64,
    /// Places in `nodes`, by the hash of their keys.
    table: HashTable<u32>,
    nodes: Nodes,
    slots: Vec<Place>,
}

/// A slot's books.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    epoch: u32,
    open: bool,
    usage: Usage,
}

impl Cache {
    /// Makes an empty cache of at most `capacity` bytes; `seed` must not be guessable by whoever chooses names.
    pub fn new(capacity: usize, seed: [u8; 32]) -> Self {
        let mut parts = [0u64; 4];
        for (part, octets) in parts.iter_mut().zip(seed.as_chunks::<8>().0) {
            *part = u64::from_le_bytes(*octets);
        }
        let [a, b, c, d] = parts;
        Self {
            capacity,
            shared_seed: SharedSeed::from_u64(a ^ c.rotate_left(32)),
            seed: b ^ d.rotate_left(32),
            table: HashTable::new(),
            nodes: Nodes::default(),
            slots: Vec::new(),
        }
    }

    /// Makes a place for a scope.
    pub fn open(&mut self) -> Slot {
        let free = self
            .slots
            .iter()
            .position(|place| !place.open && place.epoch < u32::MAX);
        let at = free.unwrap_or_else(|| {
            self.slots.push(Place::default());
            self.slots.len() - 1
        });
        let place = &mut self.slots[at];
        *place = Place {
            epoch: place.epoch + 1,
            open: true,
            usage: Usage::default(),
        };
        Slot {
            index: u32::try_from(at).expect("there are fewer scopes than 2^32"),
            epoch: place.epoch,
        }
    }

    /// Forgets a scope and all its answers; returns the number of entries dropped.
    pub fn close(&mut self, slot: Slot) -> usize {
        let dropped = self.flush(Forget::Slot(slot));
        if let Some(place) = self.place(slot) {
            place.open = false;
        }
        dropped
    }

    /// Returns the answer if it is known and fresh; counts a hit or a miss of the slot. Allocates nothing.
    pub fn get(&mut self, key: &Key<'_>, now: Instant) -> Option<Hit<'_>> {
        let mut found = self.find(key);
        if let Some(at) = found
            && self.nodes.at(at).expires_at <= now
        {
            self.remove(at);
            found = None;
        }
        if let Some(place) = self.place(key.slot) {
            match found {
                Some(_) => place.usage.hits += 1,
                None => place.usage.misses += 1,
            }
        }
        let at = found?;
        self.nodes.unlink(at);
        self.nodes.link(at, Segment::Protected);
        self.demote();
        let node = self.nodes.at(at);
        Some(Hit {
            template: &node.template,
            age: u32::try_from(now.since(node.stored_at).as_secs()).unwrap_or(u32::MAX),
        })
    }

    /// Stores an answer for `lifetime`, in place of an older one; not when the slot is closed or the answer too big.
    pub fn insert(
        &mut self,
        key: &Key<'_>,
        template: Arc<Template>,
        lifetime: Duration,
        now: Instant,
    ) {
        let mut segment = Segment::Probation;
        if let Some(at) = self.find(key) {
            segment = self.nodes.at(at).segment;
            self.remove(at);
        }
        let bytes = entry_bytes(key.name, &template);
        if lifetime.is_zero() || bytes > self.capacity / MAX_SHARE || self.place(key.slot).is_none()
        {
            return;
        }
        while self.nodes.bytes() + bytes > self.capacity {
            let Some(at) = self.nodes.oldest() else { break };
            self.remove(at);
        }
        let hash = self.hash(key);
        let at = self.nodes.insert(
            Node {
                slot: key.slot,
                name: key.name.into(),
                record_type: key.record_type,
                class: key.class,
                dnssec_ok: key.dnssec_ok,
                checking_disabled: key.checking_disabled,
                hash,
                template,
                stored_at: now,
                expires_at: now + lifetime,
                bytes,
                segment,
                newer: order::NONE,
                older: order::NONE,
            },
            segment,
        );
        let nodes = &self.nodes;
        self.table
            .insert_unique(hash, at, |&other| nodes.at(other).hash);
        if let Some(place) = self.place(key.slot) {
            place.usage.entries += 1;
            place.usage.bytes += bytes;
        }
        self.demote();
    }

    /// Forgets; returns the number of entries dropped.
    pub fn flush(&mut self, what: Forget<'_>) -> usize {
        let gone = self.nodes.matching(|node| match what {
            Forget::All => true,
            Forget::Suffix(suffix) => {
                wire_suffixes(&node.name).any(|name| name == suffix.as_wire())
            }
            Forget::Slot(slot) => node.slot == slot,
        });
        for &at in &gone {
            self.remove(at);
        }
        if self.nodes.len() == 0 {
            self.nodes = Nodes::default();
            self.table = HashTable::new();
        }
        gone.len()
    }

    /// Returns what a slot holds; zeros when it is closed.
    pub fn usage(&self, slot: Slot) -> Usage {
        let place = self.slots.get(slot.index as usize);
        place
            .filter(|place| place.open && place.epoch == slot.epoch)
            .map_or_else(Usage::default, |place| place.usage)
    }

    /// Returns the number of entries in all slots.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes that all entries take, their share of the tables included.
    pub fn bytes(&self) -> usize {
        self.nodes.bytes()
    }

    fn place(&mut self, slot: Slot) -> Option<&mut Place> {
        let place = self.slots.get_mut(slot.index as usize)?;
        (place.open && place.epoch == slot.epoch).then_some(place)
    }

    fn find(&self, key: &Key<'_>) -> Option<u32> {
        self.table
            .find(self.hash(key), |&at| self.nodes.at(at).is(key))
            .copied()
    }

    fn hash(&self, key: &Key<'_>) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared_seed);
        hasher.write_u64(u64::from(key.slot.index) << 32 | u64::from(key.slot.epoch));
        let kind = u64::from(key.record_type) << 16 | u64::from(key.class);
        let bits = u64::from(key.dnssec_ok) << 1 | u64::from(key.checking_disabled);
        hasher.write_u64(kind << 2 | bits);
        hasher.write(key.name);
        hasher.finish()
    }

    fn remove(&mut self, at: u32) {
        let hash = self.nodes.at(at).hash;
        if let Ok(entry) = self.table.find_entry(hash, |&other| other == at) {
            entry.remove();
        }
        let node = self.nodes.remove(at);
        if let Some(place) = self.place(node.slot) {
            place.usage.entries -= 1;
            place.usage.bytes -= node.bytes;
        }
    }

    /// Sends the protected entries that were not asked for the longest time back on probation.
    fn demote(&mut self) {
        let most = self.capacity / 5 * PROTECTED_FIFTHS;
        while self.nodes.bytes_in(Segment::Protected) > most {
            let Some(at) = self.nodes.oldest_in(Segment::Protected) else {
                break;
            };
            self.nodes.unlink(at);
            self.nodes.link(at, Segment::Probation);
        }
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("entries", &self.len())
            .field("bytes", &self.bytes())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

/// Returns how long an answer may be kept; `None` when it may not.
///
/// An answer is positive when it has a record of the type asked for: then the smallest TTL of the answer section counts.
/// Otherwise the SOA record counts (RFC 2308 §5), and the aliases on the way; without SOA it is not kept.
pub fn lifetime(
    question: &Question,
    rcode: u16,
    answers: &[RawRecord],
    authority: &[RawRecord],
) -> Option<Duration> {
    let shortest = answers.iter().map(|record| record.ttl).min();
    let positive = answers.iter().any(|record| {
        record.record_type == question.record_type || question.record_type == rtype::ANY
    });
    let seconds = match rcode {
        rcode::SERVFAIL => FAILURE_TTL,
        rcode::NOERROR if positive => shortest?.min(MAX_POSITIVE_TTL),
        // RFC 2308 §5: NXDOMAIN and NODATA alike.
        rcode::NOERROR | rcode::NXDOMAIN => {
            let soa = authority
                .iter()
                .find_map(|record| Some(soa_minimum(record)?.min(record.ttl)))?;
            soa.min(shortest.unwrap_or(u32::MAX)).min(MAX_NEGATIVE_TTL)
        }
        _ => return None,
    };
    // RFC 1035 §3.2.1: a TTL of zero is for the query in progress alone.
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

/// What an entry takes in all: its allocations, and its places in tables that may be half empty after they grew.
fn entry_bytes(name: &[u8], template: &Template) -> usize {
    let tables = 2 * (size_of::<Option<Node>>() + size_of::<u32>() + 1);
    let shared = size_of::<Template>() + 2 * size_of::<usize>() + template.heap_size();
    tables + name.len() + shared + 4 * ALLOCATION
}

#[cfg(test)]
mod tests;
