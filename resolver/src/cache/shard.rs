//! One part of the store, behind a lock of its own: a table, the entries in order, and books for each slot.

use config::name::wire_suffixes;
use config::time::Instant;
use hashbrown::HashTable;
use std::sync::Arc;

use super::order::{Bits, NONE, Node, Nodes, Segment};
use super::{Forget, Hit, Key, MAX_SHARE, PROTECTED_FIFTHS, Pass, Slot, Times, Usage, entry_bytes};
use crate::template::Template;

/// The entries whose hashes fall into this part. What every hit writes lies first: beside the lock, whose cache line has come over
/// from another core already.
#[derive(Default)]
#[repr(C)]
pub(super) struct Shard {
    /// The hits of a slot that are not in its books yet.
    recent: Recent,
    capacity: usize,
    /// Places in `nodes`, by the hash of their keys.
    table: HashTable<u32>,
    nodes: Nodes,
    places: Vec<Place>,
}

/// A slot's books.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    epoch: u32,
    open: bool,
    usage: Usage,
}

/// Hits of the slot that was asked last; most questions go to the slot of the one before.
#[derive(Debug, Clone, Copy, Default)]
struct Recent {
    slot: Slot,
    hits: u64,
}

impl Shard {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            ..Self::default()
        }
    }

    /// Makes a place; all parts are asked for the same places in the same order, and give the same.
    pub(super) fn open(&mut self) -> Slot {
        let free = self
            .places
            .iter()
            .position(|place| !place.open && place.epoch < u32::MAX);
        let at = free.unwrap_or_else(|| {
            self.places.push(Place::default());
            self.places.len() - 1
        });
        let place = &mut self.places[at];
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

    pub(super) fn close(&mut self, slot: Slot) -> usize {
        if self.recent.slot == slot {
            self.recent = Recent::default();
        }
        let dropped = self.flush(Forget::Slot(slot));
        if let Some(place) = self.place(slot) {
            place.open = false;
        }
        dropped
    }

    /// As [`super::Cache::get`].
    pub(super) fn get(&mut self, key: &Key<'_>, hash: u64, now: Instant) -> Option<Hit> {
        let found = self.fresh(key, hash, now);
        let is_failure = found.is_some_and(|at| self.nodes.at(at).is_failure());
        if !is_failure {
            self.count(key.slot, found.is_some());
        }
        let node = self.nodes.at_mut(found?);
        let is_due = node.is_due(now);
        if is_due {
            node.bits.insert(Bits::RENEWED);
        }
        node.bits.insert(Bits::ASKED);
        Some(Hit {
            template: node.template(),
            age: node.age(now),
            is_due,
        })
    }

    /// As [`super::Cache::pass`].
    pub(super) fn pass(
        &mut self,
        key: &Key<'_>,
        hash: u64,
        pass: Pass,
        now: Instant,
        take: impl FnOnce(&Template, u32),
    ) -> bool {
        let Some(at) = self.find(key, hash) else {
            return false;
        };
        let node = self.nodes.at_mut(at);
        // One that is due goes the long way once, so that it is asked for anew.
        if node.expires_at <= now || !node.passes(pass) || node.is_due(now) {
            return false;
        }
        // Threads on several cores read an entry; they need not fight for who says it once more.
        if !node.bits.contains(Bits::ASKED) {
            node.bits.insert(Bits::ASKED);
        }
        let age = node.age(now);
        if let Some(template) = &node.template {
            take(template, age);
        }
        if self.recent.slot != key.slot {
            self.enter();
            self.recent.slot = key.slot;
        }
        self.recent.hits += 1;
        true
    }

    /// Puts recent hits into the books.
    fn enter(&mut self) {
        let Recent { slot, hits } = std::mem::take(&mut self.recent);
        if let Some(place) = self.place(slot) {
            place.usage.hits += hits;
        }
    }

    pub(super) fn grant(&mut self, key: &Key<'_>, hash: u64, template: &Arc<Template>, pass: Pass) {
        let Some(at) = self.find(key, hash) else {
            return;
        };
        let node = self.nodes.at_mut(at);
        let kept = node.template.as_ref();
        if kept.is_some_and(|kept| Arc::ptr_eq(kept, template)) {
            node.grant(pass);
        }
    }

    pub(super) fn revoke(&mut self, key: &Key<'_>, hash: u64) {
        if let Some(at) = self.find(key, hash) {
            self.nodes.at_mut(at).revoke();
        }
    }

    /// As [`super::Cache::has_answer`].
    pub(super) fn has_answer(&mut self, key: &Key<'_>, hash: u64, now: Instant) -> bool {
        let found = self.fresh(key, hash, now);
        found.is_some_and(|at| !self.nodes.at(at).is_failure())
    }

    /// As [`super::Cache::forget_failure`].
    pub(super) fn forget_failure(&mut self, key: &Key<'_>, hash: u64) {
        if let Some(at) = self.find(key, hash)
            && self.nodes.at(at).is_failure()
        {
            self.remove(at);
        }
    }

    /// As [`super::Cache::get_stale`].
    pub(super) fn get_stale(
        &mut self,
        key: &Key<'_>,
        hash: u64,
        now: Instant,
    ) -> Option<Arc<Template>> {
        let at = self.find(key, hash)?;
        let node = self.nodes.at_mut(at);
        if node.expires_at > now || node.is_over(now) {
            return None;
        }
        node.bits.insert(Bits::ASKED);
        Some(node.template())
    }

    /// As [`super::Cache::insert_lasting`].
    pub(super) fn insert(
        &mut self,
        key: &Key<'_>,
        hash: u64,
        template: Arc<Template>,
        times: Times,
    ) {
        let Times {
            lifetime,
            stale,
            now,
        } = times;
        let mut segment = Segment::Probation;
        if let Some(at) = self.find(key, hash) {
            segment = self.nodes.at(at).segment;
            self.remove(at);
        }
        let bytes = entry_bytes(&template);
        let is_ours = key.is_answered_by(&template);
        debug_assert!(is_ours, "an answer to another question");
        let fits = bytes <= self.capacity / MAX_SHARE;
        if lifetime.is_zero() || !fits || !is_ours || self.place(key.slot).is_none() {
            return;
        }
        while self.nodes.bytes() + bytes > self.capacity {
            if !self.evict() {
                break;
            }
        }
        let mut bits = Bits::default();
        bits.set(Bits::DNSSEC_OK, key.dnssec_ok);
        bits.set(Bits::CHECKING_DISABLED, key.checking_disabled);
        let at = self.nodes.insert(
            Node {
                slot: key.slot,
                template: Some(template),
                hash,
                stored_at: now,
                expires_at: now + lifetime,
                stale_seconds: u32::try_from(stale.as_secs()).unwrap_or(u32::MAX),
                bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
                epoch: 0,
                bits,
                segment,
                newer: NONE,
                older: NONE,
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

    pub(super) fn flush(&mut self, what: Forget<'_>) -> usize {
        let gone = self.nodes.matching(|node| match what {
            Forget::All => true,
            Forget::Name(meant, slot) => {
                slot.is_none_or(|slot| node.slot == slot)
                    && node.tells_of(|name| name == meant.as_wire())
            }
            Forget::Suffix(suffix, slot) => {
                let is_within = |name: &[u8]| wire_suffixes(name).any(|at| at == suffix.as_wire());
                slot.is_none_or(|slot| node.slot == slot) && node.tells_of(is_within)
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

    pub(super) fn usage(&self, slot: Slot) -> Usage {
        let place = self.places.get(slot.index as usize);
        let mut usage = place
            .filter(|place| place.open && place.epoch == slot.epoch)
            .map_or_else(Usage::default, |place| place.usage);
        if self.recent.slot == slot {
            usage.hits += self.recent.hits;
        }
        usage
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.nodes.bytes()
    }

    /// Finds an entry that is fresh; one whose time is over, even for stale answers, goes.
    fn fresh(&mut self, key: &Key<'_>, hash: u64, now: Instant) -> Option<u32> {
        let at = self.find(key, hash)?;
        let node = self.nodes.at(at);
        if node.is_over(now) {
            self.remove(at);
            return None;
        }
        (node.expires_at > now).then_some(at)
    }

    fn count(&mut self, slot: Slot, hit: bool) {
        if let Some(place) = self.place(slot) {
            match hit {
                true => place.usage.hits += 1,
                false => place.usage.misses += 1,
            }
        }
    }

    fn place(&mut self, slot: Slot) -> Option<&mut Place> {
        let place = self.places.get_mut(slot.index as usize)?;
        (place.open && place.epoch == slot.epoch).then_some(place)
    }

    fn find(&self, key: &Key<'_>, hash: u64) -> Option<u32> {
        self.table
            .find(hash, |&at| self.nodes.at(at).is(key, hash))
            .copied()
    }

    fn remove(&mut self, at: u32) {
        let hash = self.nodes.at(at).hash;
        if let Ok(entry) = self.table.find_entry(hash, |&other| other == at) {
            entry.remove();
        }
        let node = self.nodes.remove(at);
        if let Some(place) = self.place(node.slot) {
            place.usage.entries -= 1;
            place.usage.bytes -= node.bytes as usize;
        }
    }

    /// Makes room: takes the oldest on probation that was not asked for; those that were become protected. Returns whether
    /// there was one.
    fn evict(&mut self) -> bool {
        while let Some(at) = self.nodes.oldest_in(Segment::Probation) {
            if !self.nodes.at(at).bits.contains(Bits::ASKED) {
                self.make_room(at);
                return true;
            }
            self.renew(at);
            self.demote();
        }
        match self.nodes.oldest_in(Segment::Protected) {
            Some(at) => {
                self.make_room(at);
                true
            }
            None => false,
        }
    }

    fn make_room(&mut self, at: u32) {
        let slot = self.nodes.at(at).slot;
        if let Some(place) = self.place(slot) {
            place.usage.evicted += 1;
        }
        self.remove(at);
    }

    /// Sends protected entries back on probation while they take too much: the oldest that were not asked for since they came,
    /// each of the others having one more round.
    fn demote(&mut self) {
        let most = self.capacity / 5 * PROTECTED_FIFTHS;
        while self.nodes.bytes_in(Segment::Protected) > most {
            let Some(at) = self.nodes.oldest_in(Segment::Protected) else {
                break;
            };
            if self.nodes.at(at).bits.contains(Bits::ASKED) {
                self.renew(at);
            } else {
                self.nodes.unlink(at);
                self.nodes.link(at, Segment::Probation);
            }
        }
    }

    /// Makes an entry the newest of the protected ones; it must be asked for again to stay so.
    fn renew(&mut self, at: u32) {
        self.nodes.at_mut(at).bits.remove(Bits::ASKED);
        self.nodes.unlink(at);
        self.nodes.link(at, Segment::Protected);
    }
}
