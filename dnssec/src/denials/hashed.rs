//! Which hashes of a zone are known to stand for no name (NSEC3)? Found by hashing, so for a few names and few iterations only.

use std::collections::BTreeMap;

use super::{Gap, Owner, Taken, cost};
use crate::crypto::nsec3_hash;
use crate::name::Name;
use crate::record::{Nsec3, Record};

/// Iterations up to which gaps are kept (RFC 9276 §3.1 asks for none): each name of a zone that is asked for is hashed.
const ITERATIONS_MAX: u16 = 16;
/// The most labels below the zone for which that is done.
const DEPTH_MAX: usize = 8;

/// The gaps between the hashes of one zone, all made with the same salt and iterations.
#[derive(Debug, Default)]
pub(super) struct Hashed {
    apex: Option<Name>,
    salt: Vec<u8>,
    iterations: u16,
    gap_by_hash: BTreeMap<Vec<u8>, Gap<Nsec3>>,
}

impl Hashed {
    pub(super) fn is_empty(&self) -> bool {
        self.gap_by_hash.is_empty()
    }

    pub(super) fn cost(&self) -> usize {
        self.gap_by_hash.values().map(cost).sum()
    }

    /// Takes a record whose gap leaves nothing out.
    pub(super) fn take(
        &mut self,
        owner: &Name,
        rdata: &[u8],
        records: Vec<Record>,
        until: u64,
    ) -> Option<Taken> {
        let nsec = Nsec3::read(owner, rdata)?;
        if nsec.opt_out || nsec.iterations > ITERATIONS_MAX || is_minimal(&nsec) {
            return None;
        }
        let is_other = nsec.salt != self.salt || nsec.iterations != self.iterations;
        let mut freed = 0;
        if is_other {
            freed = self.cost();
            *self = Self {
                apex: Some(nsec.zone.clone()),
                salt: nsec.salt.clone(),
                iterations: nsec.iterations,
                gap_by_hash: BTreeMap::new(),
            };
        }
        self.apex.get_or_insert_with(|| nsec.zone.clone());
        let hash = nsec.owner.clone();
        let gap = Gap {
            records,
            nsec,
            until,
        };
        let taken = cost(&gap);
        let old = self.gap_by_hash.insert(hash.clone(), gap);
        Some(Taken {
            at: Owner::Hash(hash),
            cost: taken,
            freed: freed + old.as_ref().map_or(0, cost),
            all_hashes_gone: is_other && freed > 0,
        })
    }

    /// Forgets a gap; returns what it took.
    pub(super) fn forget(&mut self, hash: &[u8]) -> Option<usize> {
        self.gap_by_hash.remove(hash).as_ref().map(cost)
    }

    /// Returns what denies a name, or its records: RFC 5155 §8.4, §8.5 and §8.7, as the validator will look at it.
    pub(super) fn deny(&self, name: &Name, now: u64) -> Option<(Vec<&Record>, u64)> {
        let apex = self.apex.as_ref()?;
        if self.is_empty() || name.count() > apex.count() + DEPTH_MAX {
            return None;
        }
        let own = self.hash(name);
        if let Some(gap) = self.at(&own, now) {
            return Some(whole(&[gap]));
        }
        let mut below = own;
        let mut above = name.parent();
        while let Some(encloser) = above.filter(|above| above.is_in(apex)) {
            let hash = self.hash(&encloser);
            if let Some(gap) = self.at(&hash, now) {
                let next = self.covering(&below, now)?;
                let wildcard = self.hash(&encloser.wildcard()?);
                let wildcard = self
                    .at(&wildcard, now)
                    .or_else(|| self.covering(&wildcard, now))?;
                return Some(whole(&[gap, next, wildcard]));
            }
            below = hash;
            above = encloser.parent();
        }
        None
    }

    fn hash(&self, name: &Name) -> Vec<u8> {
        nsec3_hash(name, &self.salt, self.iterations)
    }

    fn at(&self, hash: &[u8], now: u64) -> Option<&Gap<Nsec3>> {
        self.gap_by_hash.get(hash).filter(|gap| now < gap.until)
    }

    fn covering(&self, hash: &[u8], now: u64) -> Option<&Gap<Nsec3>> {
        let before = self.gap_by_hash.range(..hash.to_vec()).next_back();
        // The last gap goes round to the first hash.
        let (_, gap) = before.or_else(|| self.gap_by_hash.last_key_value())?;
        let (owner, next) = (gap.nsec.owner.as_slice(), gap.nsec.next.as_slice());
        let covers = match owner < next {
            true => owner < hash && hash < next,
            false => hash > owner || hash < next,
        };
        (covers && now < gap.until).then_some(gap)
    }
}

/// Whether at most one hash lies in a gap: it was made for one question (RFC 7129 appendix B), denies no other name, and is
/// often wrong about the other types of its own.
fn is_minimal(nsec: &Nsec3) -> bool {
    let successor = |hash: &[u8]| {
        let mut next = hash.to_vec();
        for octet in next.iter_mut().rev() {
            *octet = octet.wrapping_add(1);
            if *octet != 0 {
                break;
            }
        }
        next
    };
    let first = successor(&nsec.owner);
    nsec.next == first || nsec.next == successor(&first)
}

/// Returns the records of some gaps, each once, and until when all of them hold.
fn whole<'a>(gaps: &[&'a Gap<Nsec3>]) -> (Vec<&'a Record>, u64) {
    let mut records = Vec::new();
    let mut until = u64::MAX;
    for (place, gap) in gaps.iter().enumerate() {
        let is_known = gaps
            .iter()
            .take(place)
            .any(|other| std::ptr::eq(*other, *gap));
        if !is_known {
            records.extend(&gap.records);
            until = until.min(gap.until);
        }
    }
    (records, until)
}
