//! In which order are entries forgotten? Two lists through one slab: probation and protected, each newest first.
//!
//! Knows nothing of hashing, time or capacity; the shard decides who moves.

use std::sync::Arc;
use std::time::Duration;

use config::time::Instant;

use super::{Key, Pass, Slot};
use crate::event::Stub;
use crate::template::Template;

/// No entry.
pub(super) const NONE: u32 = u32::MAX;

/// The least lifetime, in nanoseconds, of what is worth asking for before it runs out: below, the last tenth is over before the reply comes.
const RENEWABLE_MIN: u64 = 10_000_000_000;
/// Entries that are allocated together: a table of a million does not double when it is full.
const CHUNK: usize = 64;

/// A stored answer. Its question stands in the template.
pub(super) struct Node {
    /// `None` when the place is free.
    pub(super) template: Option<Arc<Template>>,
    pub(super) hash: u64,
    pub(super) stored_at: Instant,
    pub(super) expires_at: Instant,
    pub(super) slot: Slot,
    pub(super) newer: u32,
    pub(super) older: u32,
    pub(super) bytes: u32,
    /// How long after its time it may be given as stale.
    pub(super) stale_seconds: u32,
    /// Of the passes among the bits.
    pub(super) epoch: u32,
    pub(super) bits: Bits,
    pub(super) segment: Segment,
}

/// Switches of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bits(u8);

impl Bits {
    /// DO.
    pub(super) const DNSSEC_OK: Self = Self(1);
    /// CD.
    pub(super) const CHECKING_DISABLED: Self = Self(2);
    /// Asked for since it came into its list.
    pub(super) const ASKED: Self = Self(4);
    /// Questions at the main stub pass.
    const MAIN: Self = Self(8);
    /// Questions at the bypass stub pass.
    const BYPASS: Self = Self(16);
    /// Questions of guests at either pass.
    const GUEST: Self = Self(32);
    const GUEST_BYPASS: Self = Self(64);
    /// It was said to be due.
    pub(super) const RENEWED: Self = Self(128);

    pub(super) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) const fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(super) const fn remove(&mut self, other: Self) {
        self.0 &= !other.0;
    }

    pub(super) const fn set(&mut self, other: Self, on: bool) {
        if on {
            self.insert(other);
        } else {
            self.remove(other);
        }
    }

    const fn of(stub: Stub) -> Self {
        match stub {
            Stub::Main => Self::MAIN,
            Stub::Bypass => Self::BYPASS,
            Stub::Guest => Self::GUEST,
            Stub::GuestBypass => Self::GUEST_BYPASS,
        }
    }
}

/// Which list an entry is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Segment {
    /// Not asked for since it was stored, as far as that is known.
    Probation,
    /// Asked for.
    Protected,
}

/// All entries, by place and in order.
#[derive(Default)]
pub(super) struct Nodes {
    chunks: Vec<Box<[Node]>>,
    /// Places in use or used before.
    used: u32,
    free: Vec<u32>,
    probation: List,
    protected: List,
}

struct List {
    newest: u32,
    oldest: u32,
    bytes: usize,
}

impl Default for List {
    fn default() -> Self {
        Self {
            newest: NONE,
            oldest: NONE,
            bytes: 0,
        }
    }
}

impl Node {
    pub(super) fn is(&self, key: &Key<'_>, hash: u64) -> bool {
        self.hash == hash
            && self.slot == key.slot
            && self.bits.contains(Bits::DNSSEC_OK) == key.dnssec_ok
            && self.bits.contains(Bits::CHECKING_DISABLED) == key.checking_disabled
            && self
                .template
                .as_ref()
                .is_some_and(|template| key.is_answered_by(template))
    }

    pub(super) fn template(&self) -> Arc<Template> {
        let template = self.template.as_ref();
        Arc::clone(template.expect("a place in use has an answer"))
    }

    /// As [`Template::is_failure`].
    pub(super) fn is_failure(&self) -> bool {
        let template = self.template.as_ref();
        template.is_some_and(|template| template.is_failure())
    }

    /// As [`Template::tells_of`].
    pub(super) fn tells_of(&self, is_meant: impl Fn(&[u8]) -> bool) -> bool {
        let template = self.template.as_ref();
        template.is_some_and(|template| template.tells_of(is_meant))
    }

    /// Returns the seconds since it was stored.
    pub(super) fn age(&self, now: Instant) -> u32 {
        u32::try_from(now.since(self.stored_at).as_secs()).unwrap_or(u32::MAX)
    }

    /// Whether it may not be given any more, not even as stale.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.expires_at + Duration::from_secs(self.stale_seconds.into())
    }

    /// Whether it was asked for before and is in the last tenth of its time, and nobody was told so.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        if !self.bits.contains(Bits::ASKED) || self.bits.contains(Bits::RENEWED) {
            return false;
        }
        // Without a division: this is done at every hit.
        let until_end = |at: Instant| self.expires_at.as_nanos().saturating_sub(at.as_nanos());
        let lifetime = until_end(self.stored_at);
        lifetime >= RENEWABLE_MIN && until_end(now).saturating_mul(10) <= lifetime
    }

    pub(super) fn passes(&self, pass: Pass) -> bool {
        self.epoch == pass.epoch && self.bits.contains(Bits::of(pass.stub))
    }

    pub(super) fn grant(&mut self, pass: Pass) {
        if self.epoch != pass.epoch {
            self.revoke();
            self.epoch = pass.epoch;
        }
        self.bits.insert(Bits::of(pass.stub));
    }

    pub(super) fn revoke(&mut self) {
        for stub in Stub::ALL {
            self.bits.remove(Bits::of(stub));
        }
    }

    fn free() -> Self {
        Self {
            template: None,
            hash: 0,
            stored_at: Instant::ZERO,
            expires_at: Instant::ZERO,
            slot: Slot { index: 0, epoch: 0 },
            newer: NONE,
            older: NONE,
            bytes: 0,
            stale_seconds: 0,
            epoch: 0,
            bits: Bits::default(),
            segment: Segment::Probation,
        }
    }
}

impl Nodes {
    pub(super) fn len(&self) -> usize {
        self.used as usize - self.free.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.probation.bytes + self.protected.bytes
    }

    pub(super) fn bytes_in(&self, segment: Segment) -> usize {
        self.list(segment).bytes
    }

    /// Returns the entry that has been longest in a list.
    pub(super) fn oldest_in(&self, segment: Segment) -> Option<u32> {
        Some(self.list(segment).oldest).filter(|&at| at != NONE)
    }

    /// Returns the places of the entries that `wanted` picks, in no particular order of use.
    pub(super) fn matching(&self, wanted: impl Fn(&Node) -> bool) -> Vec<u32> {
        let places = (0..self.used).zip(self.chunks.iter().flatten());
        places
            .filter(|(_, node)| node.template.is_some() && wanted(node))
            .map(|(at, _)| at)
            .collect()
    }

    pub(super) fn at(&self, at: u32) -> &Node {
        let (chunk, place) = split(at);
        let node = self.chunks.get(chunk).and_then(|chunk| chunk.get(place));
        node.expect("lists and table hold places in use")
    }

    pub(super) fn at_mut(&mut self, at: u32) -> &mut Node {
        let (chunk, place) = split(at);
        let chunk = self.chunks.get_mut(chunk);
        let node = chunk.and_then(|chunk| chunk.get_mut(place));
        node.expect("lists and table hold places in use")
    }

    pub(super) fn insert(&mut self, node: Node, segment: Segment) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| {
            let at = self.used;
            if split(at).0 == self.chunks.len() {
                self.chunks.push((0..CHUNK).map(|_| Node::free()).collect());
            }
            self.used += 1;
            at
        });
        *self.at_mut(at) = node;
        self.link(at, segment);
        at
    }

    pub(super) fn remove(&mut self, at: u32) -> Node {
        self.unlink(at);
        self.free.push(at);
        std::mem::replace(self.at_mut(at), Node::free())
    }

    /// Puts an entry that is in no list at the newest end of one.
    pub(super) fn link(&mut self, at: u32, segment: Segment) {
        let older = self.list(segment).newest;
        let node = self.at_mut(at);
        node.segment = segment;
        node.newer = NONE;
        node.older = older;
        let bytes = node.bytes;
        if older != NONE {
            self.at_mut(older).newer = at;
        }
        let list = self.list_mut(segment);
        list.bytes += bytes as usize;
        list.newest = at;
        if older == NONE {
            list.oldest = at;
        }
    }

    /// Takes an entry out of its list.
    pub(super) fn unlink(&mut self, at: u32) {
        let node = self.at(at);
        let (newer, older, bytes, segment) = (node.newer, node.older, node.bytes, node.segment);
        if newer != NONE {
            self.at_mut(newer).older = older;
        }
        if older != NONE {
            self.at_mut(older).newer = newer;
        }
        let list = self.list_mut(segment);
        list.bytes -= bytes as usize;
        if newer == NONE {
            list.newest = older;
        }
        if older == NONE {
            list.oldest = newer;
        }
    }

    fn list(&self, segment: Segment) -> &List {
        match segment {
            Segment::Probation => &self.probation,
            Segment::Protected => &self.protected,
        }
    }

    fn list_mut(&mut self, segment: Segment) -> &mut List {
        match segment {
            Segment::Probation => &mut self.probation,
            Segment::Protected => &mut self.protected,
        }
    }
}

const fn split(at: u32) -> (usize, usize) {
    (at as usize / CHUNK, at as usize % CHUNK)
}
