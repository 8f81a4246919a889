//! Which zones, and which sources, have cost more than zones cost? They get what an ordinary zone needs, until that is worked off.
//!
//! A budget bounds one question; this bounds what can be made of many. What goes beyond [`Budget::ORDINARY`] is owed by the zone
//! that was asked, and by those above it down to the second label, so that a zone cannot hide behind its children. It is owed by
//! every [`Source`] too, so that nobody gets further by asking for many zones, or by tampering with the answers of all.
//! Being in debt costs an ordinary zone nothing, so nobody can be hurt by what others make a shared parent or upstream owe.

use std::collections::BTreeMap;

use crate::budget::{Budget, SIGNATURE};
use crate::name::Name;

/// What a zone may owe before it counts, in blocks.
const CREDIT: u32 = 64 * SIGNATURE;
/// What is worked off in a second, in blocks.
const WORKED_OFF: u64 = 2 * SIGNATURE as u64;
/// The most that is owed, in blocks, so that a zone that was mended is free again in five minutes.
const OWED_MAX: u32 = CREDIT + 300 * 2 * SIGNATURE;
/// The most zones that owe anything, and the most sources.
const DEBTORS_MAX: usize = 256;
/// From how many labels on a parent owes for its children.
const LABELS_MIN: usize = 2;

/// Whoever a question or its reply comes from: a client, an upstream. What the numbers mean is the caller's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(pub u64);

/// Who owes too much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Debtor {
    /// A zone.
    Zone(Name),
    /// Whoever asked or replied.
    Source(Source),
}

/// What zones and sources owe.
#[derive(Debug, Default)]
pub(crate) struct Debts {
    by_zone: Book<Name>,
    by_source: Book<Source>,
}

/// What somebody owes, each under a name of a kind.
#[derive(Debug)]
struct Book<K>(BTreeMap<K, Debt>);

impl<K> Default for Book<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Clone> Book<K> {
    fn owes(&self, key: &K, now: u64) -> bool {
        self.0.get(key).is_some_and(|debt| debt.at(now) > CREDIT)
    }

    fn add(&mut self, key: K, excess: u32, now: u64) {
        let before = self.0.get(&key).map_or(0, |debt| debt.at(now));
        let owed = before.saturating_add(excess).min(OWED_MAX);
        self.0.insert(key, Debt { owed, at: now });
        if self.0.len() > DEBTORS_MAX {
            let least = self.0.iter().min_by_key(|(_, debt)| debt.at(now));
            if let Some(key) = least.map(|(key, _)| key.clone()) {
                self.0.remove(&key);
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Debt {
    owed: u32,
    /// When it was that, in Unix seconds.
    at: u64,
}

impl Debt {
    fn at(self, now: u64) -> u32 {
        let worked_off = now.saturating_sub(self.at).saturating_mul(WORKED_OFF);
        self.owed
            .saturating_sub(u32::try_from(worked_off).unwrap_or(u32::MAX))
    }
}

impl Debts {
    /// Returns the zone at or above `name`, or the source, that owes too much at `now`.
    pub(crate) fn debtor(&self, name: &Name, sources: &[Source], now: u64) -> Option<Debtor> {
        let source = sources
            .iter()
            .find(|source| self.by_source.owes(source, now));
        if self.by_zone.0.is_empty() {
            return source.copied().map(Debtor::Source);
        }
        let zone = above(name).find(|zone| self.by_zone.owes(zone, now));
        match zone {
            Some(zone) => Some(Debtor::Zone(zone)),
            None => source.copied().map(Debtor::Source),
        }
    }

    /// Has `zone` and the sources owe what `spent` is beyond the ordinary.
    pub(crate) fn charge(&mut self, zone: &Name, sources: &[Source], spent: &Budget, now: u64) {
        let excess = excess(spent);
        if excess == 0 {
            return;
        }
        for owner in above(zone) {
            if owner == *zone || owner.count() >= LABELS_MIN {
                self.by_zone.add(owner, excess, now);
            }
        }
        for source in sources {
            self.by_source.add(*source, excess, now);
        }
    }
}

/// Returns a name and those above it.
fn above(name: &Name) -> impl Iterator<Item = Name> {
    std::iter::successors(Some(name.clone()), Name::parent)
}

/// Returns what goes beyond what an ordinary zone costs, in blocks of SHA-1.
fn excess(spent: &Budget) -> u32 {
    let Budget {
        signatures,
        failures,
        hash_rounds,
        digests: _,
        fetches: _,
        bytes: _,
    } = spent.without(Budget::ORDINARY);
    // A failure is a signature that nobody needed, and is among them already.
    signatures
        .max(failures)
        .saturating_mul(SIGNATURE)
        .saturating_add(hash_rounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        let mut wire = Vec::new();
        for label in text.split('.').filter(|label| !label.is_empty()) {
            wire.push(u8::try_from(label.len()).unwrap());
            wire.extend_from_slice(label.as_bytes());
        }
        wire.push(0);
        Name::from_wire(&wire).unwrap()
    }

    fn dear() -> Budget {
        Budget {
            signatures: Budget::ORDINARY.signatures + 16,
            ..Budget::ORDINARY
        }
    }

    fn zone(text: &str) -> Debtor {
        Debtor::Zone(name(text))
    }

    #[test]
    fn what_is_ordinary_is_never_owed() {
        let mut debts = Debts::default();
        for _ in 0..100_000 {
            debts.charge(&name("good.example"), &[Source(1)], &Budget::ORDINARY, 0);
        }
        assert_eq!(
            debts.debtor(&name("www.good.example"), &[Source(1)], 0),
            None
        );
        assert!(debts.by_zone.0.is_empty() && debts.by_source.0.is_empty());
    }

    #[test]
    fn a_zone_owes_for_its_children_but_not_for_its_siblings_until_it_is_worked_off() {
        let mut debts = Debts::default();
        for child in 0..5 {
            let fresh = debts.debtor(&name("a.evil.example"), &[], 0);
            assert_eq!(fresh, None, "{child}");
            debts.charge(&name(&format!("c{child}.evil.example")), &[], &dear(), 0);
        }
        let debtor = |text: &str, now| debts.debtor(&name(text), &[], now);
        assert_eq!(debtor("fresh.evil.example", 0), Some(zone("evil.example")));
        assert_eq!(debtor("good.example", 0), None);
        assert_eq!(debtor("example", 0), None);
        assert_eq!(debtor("fresh.evil.example", 40), None);
    }

    #[test]
    fn whoever_asks_for_many_hostile_zones_owes_for_all_of_them_and_nobody_else_does() {
        let mut debts = Debts::default();
        let (client, other, upstream) = (Source(1), Source(2), Source(1 << 63));
        for number in 0..5 {
            let zone = name(&format!("evil{number}.example{number}"));
            assert_eq!(debts.debtor(&zone, &[client], 0), None, "{number}");
            debts.charge(&zone, &[client], &dear(), 0);
        }
        let fresh = name("evil.example");
        let owes = Some(Debtor::Source(client));
        assert_eq!(debts.debtor(&fresh, &[upstream, client], 0), owes);
        assert_eq!(debts.debtor(&fresh, &[upstream, other], 0), None);
        assert_eq!(debts.debtor(&fresh, &[upstream, client], 40), None);
    }

    #[test]
    fn a_mended_zone_is_free_in_five_minutes_whatever_it_owed_and_a_clock_that_goes_back_frees_nobody()
     {
        let mut debts = Debts::default();
        for _ in 0..10_000 {
            debts.charge(&name("evil.example"), &[], &dear(), 1_000_000);
        }
        let debtor = |now| debts.debtor(&name("evil.example"), &[], now);
        assert!(debtor(5).is_some());
        assert!(debtor(1_000_299).is_some());
        assert!(debtor(1_000_300).is_none());
    }

    #[test]
    fn countless_debtors_take_a_bounded_place_and_those_that_owe_most_stay() {
        let mut debts = Debts::default();
        for _ in 0..100 {
            debts.charge(&name("worst.example"), &[Source(0)], &dear(), 0);
        }
        for number in 1..10_000 {
            let zone = name(&format!("n{number}.example"));
            debts.charge(&zone, &[Source(number)], &dear(), 0);
        }
        assert!(debts.by_zone.0.len() <= DEBTORS_MAX && debts.by_source.0.len() <= DEBTORS_MAX);
        assert_eq!(
            debts.debtor(&name("worst.example"), &[], 0),
            Some(zone("worst.example"))
        );
        assert!(debts.debtor(&name("a"), &[Source(0)], 0).is_some());
    }
}
