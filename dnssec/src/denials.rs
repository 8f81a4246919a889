//! Which names are known not to exist, though nobody asked for them? Proofs that were judged Secure, kept for other names
//! (RFC 8198).
//!
//! [`Denials::reply`] puts together what a server would say. It is a claim like any other: the validator judges it before
//! anybody gets it, so nothing here has to be believed. NSEC only: a gap of NSEC3 costs hashing to find, and the large
//! zones that have them leave out what is unsigned (opt-out).

use std::collections::{BTreeMap, VecDeque};

use crate::name::Name;
use crate::record::{Nsec, Record, Sig, rtype};
use crate::validator::{Question, Reply};

/// NXDOMAIN; where a name exists after all, the judgement says so.
const NXDOMAIN: u16 = 3;
/// What an entry costs beyond what it holds, in bytes.
const ENTRY: usize = 256;

/// Proofs of many zones, in places that share nothing.
#[derive(Debug)]
pub struct Denials {
    capacity: usize,
    bytes: usize,
    zone_by_place: BTreeMap<(u64, Name), Zone>,
    /// All NSEC in the order in which they came.
    order: VecDeque<(u64, Name, Name)>,
}

#[derive(Debug, Default)]
struct Zone {
    soa: Vec<Record>,
    soa_until: u64,
    gap_by_owner: BTreeMap<Name, Gap>,
}

/// An NSEC record with its signatures.
#[derive(Debug)]
struct Gap {
    records: Vec<Record>,
    nsec: Nsec,
    until: u64,
}

impl Denials {
    /// Makes an empty memory of at most `capacity` bytes.
    pub const fn new(capacity: usize) -> Self {
        Self {
            capacity,
            bytes: 0,
            zone_by_place: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::new(self.capacity);
    }

    /// Forgets what is known in a place.
    pub fn forget(&mut self, place: u64) {
        let (mut zones, mut bytes) = (BTreeMap::new(), 0);
        for (key, zone) in std::mem::take(&mut self.zone_by_place) {
            if key.0 != place {
                bytes += zone.gap_by_owner.values().map(cost).sum::<usize>();
                zones.insert(key, zone);
            }
        }
        self.zone_by_place = zones;
        self.bytes = bytes;
        self.order.retain(|(other, ..)| *other != place);
    }

    /// Keeps the proofs in the authority section of a denial that is Secure, for `ttl` seconds from `now` on.
    ///
    /// `now` is in seconds of any clock that goes forward only. What has no SOA record is not kept.
    pub fn keep(&mut self, place: u64, authority: &[Record], ttl: u32, now: u64) {
        let Some(soa) = authority
            .iter()
            .find(|record| record.record_type == rtype::SOA)
        else {
            return;
        };
        let Some(apex) = Name::from_wire(&soa.name) else {
            return;
        };
        // RFC 9077 §3: no longer than the SOA record says that denials count.
        let minimum = soa
            .rdata
            .last_chunk()
            .map_or(0, |octets| u32::from_be_bytes(*octets));
        let until = now + u64::from(ttl.min(minimum).min(soa.ttl));
        let signed = |owner: &[u8], record_type: u16| -> Vec<Record> {
            let owner = Name::from_wire(owner);
            let fits = |record: &&Record| {
                Name::from_wire(&record.name) == owner
                    && match record.record_type {
                        rtype::RRSIG => Sig::read(&record.rdata)
                            .is_some_and(|sig| sig.covered == record_type && sig.signer == apex),
                        other => other == record_type,
                    }
            };
            authority.iter().filter(fits).cloned().collect()
        };
        for record in authority {
            if record.record_type != rtype::NSEC {
                continue;
            }
            let Some(owner) = Name::from_wire(&record.name).filter(|owner| owner.is_in(&apex))
            else {
                continue;
            };
            let records = signed(&record.name, rtype::NSEC);
            // One record and a signature at least; what is signed by another zone is that zone's.
            let (Some(nsec), true) = (Nsec::read(&owner, &record.rdata), records.len() > 1) else {
                continue;
            };
            let gap = Gap {
                records,
                nsec,
                until,
            };
            self.bytes += cost(&gap);
            let zone = self.zone_by_place.entry((place, apex.clone())).or_default();
            zone.soa = signed(&soa.name, rtype::SOA);
            zone.soa_until = until;
            match zone.gap_by_owner.insert(owner.clone(), gap) {
                Some(old) => self.bytes = self.bytes.saturating_sub(cost(&old)),
                None => self.order.push_back((place, apex.clone(), owner)),
            }
        }
        self.shrink();
    }

    /// Puts together a denial of what is asked for, and says for how many seconds it holds.
    pub fn reply(&self, place: u64, question: &Question, now: u64) -> Option<(Reply, u32)> {
        let name = &question.name;
        let mut suffixes = (0..=name.count()).rev().map(|count| name.suffix(count));
        let zone = suffixes.find_map(|apex| self.zone_by_place.get(&(place, apex)))?;
        let gap = zone.before(name, now)?;
        let (before, after) = (name.common(&gap.nsec.owner), name.common(&gap.nsec.next));
        let encloser = if before.count() >= after.count() {
            before
        } else {
            after
        };
        let mut gaps = vec![gap];
        if gap.nsec.owner != *name
            && let Some(wildcard) = encloser.wildcard()
        {
            let other = zone.before(&wildcard, now)?;
            if other.nsec.owner != gap.nsec.owner {
                gaps.push(other);
            }
        }
        let until = gaps.iter().map(|gap| gap.until).min()?.min(zone.soa_until);
        let left = u32::try_from(until.checked_sub(now).filter(|left| *left > 0)?).ok()?;
        let records = zone
            .soa
            .iter()
            .chain(gaps.iter().flat_map(|gap| &gap.records));
        let authority = records
            .map(|record| Record {
                ttl: left,
                ..record.clone()
            })
            .collect();
        let reply = Reply {
            rcode: NXDOMAIN,
            answers: Vec::new(),
            authority,
        };
        Some((reply, left))
    }

    fn shrink(&mut self) {
        while self.bytes > self.capacity {
            let Some((place, apex, owner)) = self.order.pop_front() else {
                return;
            };
            let key = (place, apex);
            if let Some(zone) = self.zone_by_place.get_mut(&key) {
                if let Some(gap) = zone.gap_by_owner.remove(&owner) {
                    self.bytes = self.bytes.saturating_sub(cost(&gap));
                }
                if zone.gap_by_owner.is_empty() {
                    self.zone_by_place.remove(&key);
                }
            }
        }
    }
}

impl Zone {
    /// Returns the record at a name, or the last one before it.
    fn before(&self, name: &Name, now: u64) -> Option<&Gap> {
        let (_, gap) = self.gap_by_owner.range(..=name).next_back()?;
        (now < gap.until).then_some(gap)
    }
}

fn cost(gap: &Gap) -> usize {
    let held: usize = gap
        .records
        .iter()
        .map(|record| record.name.len() + record.rdata.len() + size_of::<Record>())
        .sum();
    ENTRY + 2 * held
}
