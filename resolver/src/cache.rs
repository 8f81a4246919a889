//! Which answers are known already? One store for all scopes and threads, bounded in bytes.
//!
//! A scope's answers are under its [`Slot`]; closing the slot forgets them at once. Entries are in two lists: one begins on
//! probation, and when its turn to be forgotten comes it becomes protected if it was asked for meanwhile. Protected entries may
//! take four fifths of the room. So a scan of names that are asked once washes through probation and leaves alone what is asked
//! again and again, and a hit writes one bit.
//!
//! The store is cut into parts by hash, each behind a lock of its own that is held for one entry's look-up and copy: listener
//! threads answer from it while the core fills it. An entry answers them only with a [`Pass`]: a question that went the long way
//! (is it synthesized, is it a single label, where does it route?) and whose answer was the whole of it goes straight to the entry
//! until passes of another epoch count.
//!
//! Does not read messages and does not decide which scope a question belongs to.

use std::hash::Hasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use config::name::DomainName;
use config::time::Instant;
use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;

use crate::event::Stub;
use crate::record::{RawRecord, TTL_MAX, soa_minimum};
use crate::template::Template;
use crate::wire::{Question, rcode, rtype};

mod order;
mod shard;

use order::Node;
use shard::Shard;

/// The longest that a negative answer is kept, in seconds: three hours (RFC 2308 §5 recommends one to three).
pub(crate) const MAX_NEGATIVE_TTL: u32 = 10_800;
/// The part of a part's room that one answer may take: an eighth.
const MAX_SHARE: usize = 8;
/// The part of the room that protected entries may take, in fifths.
const PROTECTED_FIFTHS: usize = 4;
/// What an allocation costs beyond its length, in bytes, rounding included.
const ALLOCATION: usize = 16;
/// The least room of a part, so that the longest message fits into one; a smaller cache has one part.
const SHARD_MIN: usize = MAX_SHARE << 16;
/// The most parts.
const SHARDS_MAX: usize = 16;

/// A scope's place in the cache; never equal to one that was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
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

impl Key<'_> {
    /// Whether an answer is one to this question.
    fn is_answered_by(&self, template: &Template) -> bool {
        let [t1, t0] = self.record_type.to_be_bytes();
        let [c1, c0] = self.class.to_be_bytes();
        template
            .question()
            .split_last_chunk::<4>()
            .is_some_and(|(name, kind)| name == self.name && *kind == [t1, t0, c1, c0])
    }
}

/// What lets a question go straight to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// Passes of other epochs are void; never 0.
    pub epoch: u32,
    /// Where the question is asked.
    pub stub: Stub,
}

/// A fresh answer.
#[derive(Debug, Clone)]
pub struct Hit {
    /// The answer.
    pub template: Arc<Template>,
    /// Seconds since it was stored, for [`Template::emit`].
    pub age: u32,
    /// Whether it was asked for before and soon runs out; said once of each entry.
    pub is_due: bool,
}

/// How long an answer counts, and from when on.
#[derive(Debug, Clone, Copy)]
struct Times {
    lifetime: Duration,
    /// How long after that it may be given as stale.
    stale: Duration,
    now: Instant,
}

/// What to forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forget<'a> {
    /// Everything.
    All,
    /// What tells of a name: its answers of all types, and those of aliases that lead to it; in one slot or in all.
    Name(&'a DomainName, Option<Slot>),
    /// What tells of a name or of any below it; in one slot or in all.
    Suffix(&'a DomainName, Option<Slot>),
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
    /// Answers that made room for others before their time.
    pub evicted: u64,
}

/// The store; clones share it.
#[derive(Clone)]
pub struct Cache {
    parts: Arc<Parts>,
}

struct Parts {
    capacity: usize,
    shared_seed: SharedSeed,
    seed: u64,
    shards: Box<[Part]>,
}

/// A part behind its lock; no two lie on one cache line, or on two that are fetched together.
#[repr(align(128))]
struct Part(Mutex<Shard>);

impl Cache {
    /// Makes an empty cache of at most `capacity` bytes; `seed` must not be guessable by whoever chooses names.
    pub fn new(capacity: usize, seed: [u8; 32]) -> Self {
        let mut parts = [0u64; 4];
        for (part, octets) in parts.iter_mut().zip(seed.as_chunks::<8>().0) {
            *part = u64::from_le_bytes(*octets);
        }
        let [a, b, c, d] = parts;
        let count = (capacity / SHARD_MIN).clamp(1, SHARDS_MAX);
        let shard = || Part(Mutex::new(Shard::new(capacity / count)));
        let parts = Parts {
            capacity,
            shared_seed: SharedSeed::from_u64(a ^ c.rotate_left(32)),
            seed: b ^ d.rotate_left(32),
            shards: std::iter::repeat_with(shard).take(count).collect(),
        };
        Self {
            parts: Arc::new(parts),
        }
    }

    /// Makes a place for a scope.
    pub fn open(&self) -> Slot {
        let mut slot = Slot { index: 0, epoch: 0 };
        for shard in self.shards() {
            slot = shard.lock().open();
        }
        slot
    }

    /// Forgets a scope and all its answers; returns the number of entries dropped.
    pub fn close(&self, slot: Slot) -> usize {
        self.shards().map(|shard| shard.lock().close(slot)).sum()
    }

    /// Returns the answer if it is known and fresh; counts a hit or a miss of the slot, but neither for a failure. Allocates nothing.
    pub fn get(&self, key: &Key<'_>, now: Instant) -> Option<Hit> {
        let hash = self.hash(key);
        self.shard(hash).get(key, hash, now)
    }

    /// Hands a known and fresh answer, with its age in seconds, to `take` if the question may pass, and counts a hit; otherwise
    /// returns false and counts nothing. Allocates nothing; `take` runs under the lock.
    pub fn pass(
        &self,
        key: &Key<'_>,
        pass: Pass,
        now: Instant,
        take: impl FnOnce(&Template, u32),
    ) -> bool {
        let hash = self.hash(key);
        self.shard(hash).pass(key, hash, pass, now, take)
    }

    /// Lets a question pass as long as this answer to it is kept.
    pub fn grant(&self, key: &Key<'_>, template: &Arc<Template>, pass: Pass) {
        let hash = self.hash(key);
        self.shard(hash).grant(key, hash, template, pass);
    }

    /// Makes the passes of a question void.
    pub fn revoke(&self, key: &Key<'_>) {
        let hash = self.hash(key);
        self.shard(hash).revoke(key, hash);
    }

    /// Whether there is a fresh answer that is no failure; counts nothing.
    pub fn has_answer(&self, key: &Key<'_>, now: Instant) -> bool {
        let hash = self.hash(key);
        self.shard(hash).has_answer(key, hash, now)
    }

    /// Forgets what is known of a question if that is a failure.
    pub fn forget_failure(&self, key: &Key<'_>) {
        let hash = self.hash(key);
        self.shard(hash).forget_failure(key, hash);
    }

    /// Returns an answer whose time is over, but not for longer than it may be given after that.
    pub fn get_stale(&self, key: &Key<'_>, now: Instant) -> Option<Arc<Template>> {
        let hash = self.hash(key);
        self.shard(hash).get_stale(key, hash, now)
    }

    /// Stores an answer for `lifetime`, in place of an older one; not when the slot is closed or the answer too big.
    pub fn insert(&self, key: &Key<'_>, template: Arc<Template>, lifetime: Duration, now: Instant) {
        self.insert_lasting(key, template, lifetime, Duration::ZERO, now);
    }

    /// As [`Self::insert`], and keeps it for [`Self::get_stale`] for so long after that, if there is room.
    pub fn insert_lasting(
        &self,
        key: &Key<'_>,
        template: Arc<Template>,
        lifetime: Duration,
        stale: Duration,
        now: Instant,
    ) {
        let hash = self.hash(key);
        let times = Times {
            lifetime,
            stale,
            now,
        };
        self.shard(hash).insert(key, hash, template, times);
    }

    /// Forgets; returns the number of entries dropped.
    pub fn flush(&self, what: Forget<'_>) -> usize {
        self.shards().map(|shard| shard.lock().flush(what)).sum()
    }

    /// Returns what a slot holds; zeros when it is closed.
    pub fn usage(&self, slot: Slot) -> Usage {
        self.shards().fold(Usage::default(), |sum, shard| {
            let part = shard.lock().usage(slot);
            Usage {
                entries: sum.entries + part.entries,
                bytes: sum.bytes + part.bytes,
                hits: sum.hits + part.hits,
                misses: sum.misses + part.misses,
                evicted: sum.evicted + part.evicted,
            }
        })
    }

    /// Returns the number of entries in all slots.
    pub fn len(&self) -> usize {
        self.shards().map(|shard| shard.lock().len()).sum()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes that all entries take, their share of the tables included.
    pub fn bytes(&self) -> usize {
        self.shards().map(|shard| shard.lock().bytes()).sum()
    }

    fn shards(&self) -> impl Iterator<Item = Lock<'_>> {
        self.parts.shards.iter().map(|part| Lock(&part.0))
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        let shards = &self.parts.shards;
        // Neither the bits that a table chooses its bucket by nor those that it compares first.
        let at = usize::try_from(hash >> 48).unwrap_or(0) % shards.len();
        Lock(&shards[at].0).lock()
    }

    fn hash(&self, key: &Key<'_>) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.parts.seed, &self.parts.shared_seed);
        hasher.write_u64(u64::from(key.slot.index) << 32 | u64::from(key.slot.epoch));
        let kind = u64::from(key.record_type) << 16 | u64::from(key.class);
        let bits = u64::from(key.dnssec_ok) << 1 | u64::from(key.checking_disabled);
        hasher.write_u64(kind << 2 | bits);
        hasher.write(key.name);
        hasher.finish()
    }
}

/// A part and how it is locked: a thread that panicked held the lock for whole changes only.
struct Lock<'a>(&'a Mutex<Shard>);

impl<'a> Lock<'a> {
    fn lock(&self) -> MutexGuard<'a, Shard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("entries", &self.len())
            .field("bytes", &self.bytes())
            .field("capacity", &self.parts.capacity)
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
        rcode::NOERROR if positive => shortest?.min(TTL_MAX),
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
fn entry_bytes(template: &Template) -> usize {
    let tables = size_of::<Node>() + 2 * (size_of::<u32>() + 1);
    let shared = size_of::<Template>() + 2 * size_of::<usize>() + template.heap_size();
    tables + shared + 2 * ALLOCATION
}

#[cfg(test)]
mod tests;
