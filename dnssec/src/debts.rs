//! Which zones have cost more than zones cost? Such a zone gets what an ordinary one needs, until that is worked off.
//!
//! A budget bounds one question; this bounds what a zone can make of many. What goes beyond [`Budget::ORDINARY`] is owed by
//! the zone that was asked, and by those above it down to the second label, so that a zone cannot hide behind its children.
//! Being in debt costs an ordinary zone nothing, so nobody can be hurt by what others make a shared parent owe.

use std::collections::BTreeMap;

use crate::budget::Budget;
use crate::name::Name;

/// What one signature costs, in blocks of SHA-1: both take about 60 µs then.
const SIGNATURE: u32 = 512;
/// What a zone may owe before it counts, in blocks.
const CREDIT: u32 = 64 * SIGNATURE;
/// What is worked off in a second, in blocks.
const WORKED_OFF: u64 = 2 * SIGNATURE as u64;
/// The most that is owed, in blocks, so that a zone that was mended is free again in five minutes.
const OWED_MAX: u32 = CREDIT + 300 * 2 * SIGNATURE;
/// The most zones that owe anything.
const ZONES_MAX: usize = 256;
/// From how many labels on a parent owes for its children.
const LABELS_MIN: usize = 2;

/// What zones owe.
#[derive(Debug, Default)]
pub(crate) struct Debts {
    by_zone: BTreeMap<Name, Debt>,
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
    /// Returns the zone at or above `name` that owes too much at `now`.
    pub(crate) fn debtor(&self, name: &Name, now: u64) -> Option<Name> {
        if self.by_zone.is_empty() {
            return None;
        }
        let owes = |zone: &Name| {
            let debt = self.by_zone.get(zone);
            debt.is_some_and(|debt| debt.at(now) > CREDIT)
        };
        above(name).find(owes)
    }

    /// Has `zone` owe what `spent` is beyond the ordinary.
    pub(crate) fn charge(&mut self, zone: &Name, spent: &Budget, now: u64) {
        let excess = excess(spent);
        if excess == 0 {
            return;
        }
        for owner in above(zone) {
            if owner == *zone || owner.count() >= LABELS_MIN {
                self.add(owner, excess, now);
            }
        }
    }

    fn add(&mut self, zone: Name, excess: u32, now: u64) {
        let before = self.by_zone.get(&zone).map_or(0, |debt| debt.at(now));
        let owed = before.saturating_add(excess).min(OWED_MAX);
        self.by_zone.insert(zone, Debt { owed, at: now });
        if self.by_zone.len() > ZONES_MAX {
            let least = self.by_zone.iter().min_by_key(|(_, debt)| debt.at(now));
            if let Some(zone) = least.map(|(zone, _)| zone.clone()) {
                self.by_zone.remove(&zone);
            }
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

    #[test]
    fn what_is_ordinary_is_never_owed() {
        let mut debts = Debts::default();
        for _ in 0..100_000 {
            debts.charge(&name("good.example"), &Budget::ORDINARY, 0);
        }
        assert_eq!(debts.debtor(&name("www.good.example"), 0), None);
        assert!(debts.by_zone.is_empty());
    }

    #[test]
    fn a_zone_owes_for_its_children_but_not_for_its_siblings_until_it_is_worked_off() {
        let mut debts = Debts::default();
        for child in 0..5 {
            assert_eq!(debts.debtor(&name("a.evil.example"), 0), None, "{child}");
            debts.charge(&name(&format!("c{child}.evil.example")), &dear(), 0);
        }
        let debtor = debts.debtor(&name("fresh.evil.example"), 0);
        assert_eq!(debtor, Some(name("evil.example")));
        assert_eq!(debts.debtor(&name("good.example"), 0), None);
        assert_eq!(debts.debtor(&name("example"), 0), None);
        assert_eq!(debts.debtor(&name("fresh.evil.example"), 40), None);
    }

    #[test]
    fn a_mended_zone_is_free_in_five_minutes_whatever_it_owed_and_a_clock_that_goes_back_frees_nobody()
     {
        let mut debts = Debts::default();
        for _ in 0..10_000 {
            debts.charge(&name("evil.example"), &dear(), 1_000_000);
        }
        assert!(debts.debtor(&name("evil.example"), 5).is_some());
        assert!(debts.debtor(&name("evil.example"), 1_000_299).is_some());
        assert!(debts.debtor(&name("evil.example"), 1_000_300).is_none());
    }

    #[test]
    fn countless_debtors_take_a_bounded_place_and_those_that_owe_most_stay() {
        let mut debts = Debts::default();
        for _ in 0..100 {
            debts.charge(&name("worst.example"), &dear(), 0);
        }
        for number in 0..10_000 {
            debts.charge(&name(&format!("n{number}.example")), &dear(), 0);
        }
        assert!(debts.by_zone.len() <= ZONES_MAX);
        assert!(debts.debtor(&name("worst.example"), 0).is_some());
    }
}
