//! What is known of earlier questions? Zones with their keys, and signatures that fit, each until it may no longer count.
//!
//! Keyed by whole contents, never by a hash alone. Bounded in bytes: the oldest entries go first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::name::Name;
use crate::record::Key;

/// What is known of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Zone {
    /// These keys sign it.
    Secure(Arc<[Key]>),
    /// It need not be signed, and why.
    Insecure(Arc<str>),
}

/// Until when something may count, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Until {
    /// By the TTLs and signatures of all that it hangs on.
    pub(crate) counts: u64,
    /// By the signatures alone: what is given beyond its time may not be given after that.
    pub(crate) signed: u64,
}

impl Until {
    /// A time that no signature ends.
    pub(crate) const fn unsigned(counts: u64) -> Self {
        Self {
            counts,
            signed: u64::MAX,
        }
    }

    /// Returns the earlier of both.
    pub(crate) fn min(self, other: Self) -> Self {
        Self {
            counts: self.counts.min(other.counts),
            signed: self.signed.min(other.signed),
        }
    }
}

/// What an entry costs beyond what it holds, in bytes.
const ENTRY: usize = 128;

/// The memory.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    capacity: usize,
    bytes: usize,
    zone_by_name: BTreeMap<Name, (Zone, Until)>,
    /// Until when a signature counts, by all that it was checked over.
    checked: BTreeMap<Arc<[u8]>, u64>,
    order: VecDeque<Entry>,
}

#[derive(Debug)]
enum Entry {
    Zone(Name),
    Checked(Arc<[u8]>),
}

impl Memory {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            ..Self::default()
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.capacity);
    }

    /// Returns the bytes in use.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns what is known of a zone at `now`, and until when.
    pub(crate) fn zone(&self, name: &Name, now: u64) -> Option<(Zone, Until)> {
        let (zone, until) = self.zone_by_name.get(name)?;
        (now < until.counts).then(|| (zone.clone(), *until))
    }

    pub(crate) fn keep_zone(&mut self, name: &Name, zone: &Zone, until: Until) {
        if let Some((old, _)) = self
            .zone_by_name
            .insert(name.clone(), (zone.clone(), until))
        {
            self.bytes += cost_of_zone(name, zone);
            self.bytes = self.bytes.saturating_sub(cost_of_zone(name, &old));
        } else {
            self.bytes += cost_of_zone(name, zone);
            self.order.push_back(Entry::Zone(name.clone()));
        }
        self.shrink();
    }

    /// Returns until when a signature counts that was checked before.
    pub(crate) fn checked(&self, content: &[u8], now: u64) -> Option<u64> {
        let until = *self.checked.get(content)?;
        (now < until).then_some(until)
    }

    pub(crate) fn keep_checked(&mut self, content: Vec<u8>, until: u64) {
        let content: Arc<[u8]> = content.into();
        if self.checked.insert(Arc::clone(&content), until).is_none() {
            self.bytes += content.len() + ENTRY;
            self.order.push_back(Entry::Checked(content));
        }
        self.shrink();
    }

    /// Forgets the zones that are meant, but not which signatures fit.
    pub(crate) fn forget_where(&mut self, is_meant: impl Fn(&Name) -> bool) {
        let gone = self.zone_by_name.extract_if(.., |name, _| is_meant(name));
        let freed: usize = gone
            .map(|(name, (zone, _))| cost_of_zone(&name, &zone))
            .sum();
        self.bytes = self.bytes.saturating_sub(freed);
        self.order.retain(|entry| match entry {
            Entry::Zone(name) => !is_meant(name),
            Entry::Checked(_) => true,
        });
    }

    /// Forgets zones, but not which signatures fit.
    #[cfg(test)]
    pub(crate) fn forget_zones(&mut self) {
        self.zone_by_name.clear();
    }

    fn shrink(&mut self) {
        while self.bytes > self.capacity {
            let cost = match self.order.pop_front() {
                None => return,
                Some(Entry::Zone(name)) => self
                    .zone_by_name
                    .remove(&name)
                    .map_or(0, |(zone, _)| cost_of_zone(&name, &zone)),
                Some(Entry::Checked(content)) => self
                    .checked
                    .remove(&content)
                    .map_or(0, |_| content.len() + ENTRY),
            };
            self.bytes = self.bytes.saturating_sub(cost);
        }
    }
}

fn cost_of_zone(name: &Name, zone: &Zone) -> usize {
    let held = match zone {
        Zone::Secure(keys) => keys
            .iter()
            .map(|key| size_of::<Key>() + key.public.len() + key.rdata.len())
            .sum(),
        Zone::Insecure(why) => why.len(),
    };
    ENTRY + 2 * name.as_wire().len() + held
}
