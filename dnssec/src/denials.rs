//! Which names are known not to exist, though nobody asked for them? Proofs that were judged Secure, kept for other names
//! (RFC 8198).
//!
//! [`Denials::reply`] puts together what a server would say. It is a claim like any other: the validator judges it before
//! anybody gets it, so nothing here has to be believed. What leaves out unsigned delegations (NSEC3 with opt-out) denies
//! nothing.

mod hashed;

use std::collections::{BTreeMap, VecDeque};

use crate::name::Name;
use crate::nsec::closest_encloser;
use crate::record::{Nsec, Record, Sig, rtype};
use crate::validator::{Question, Reply};
use hashed::Hashed;

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
    /// All gaps in the order in which they came.
    order: VecDeque<(u64, Name, Owner)>,
}

/// Where a gap begins.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owner {
    /// At a name.
    Name(Name),
    /// At a hash.
    Hash(Vec<u8>),
}

#[derive(Debug, Default)]
struct Zone {
    soa: Vec<Record>,
    soa_until: u64,
    gap_by_owner: BTreeMap<Name, Gap<Nsec>>,
    hashed: Hashed,
}

/// An NSEC or NSEC3 record with its signatures.
#[derive(Debug)]
struct Gap<N> {
    records: Vec<Record>,
    nsec: N,
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
        self.zone_by_place.retain(|key, _| key.0 != place);
        self.order.retain(|(other, ..)| *other != place);
        self.bytes = self.zone_by_place.values().map(Zone::cost).sum();
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
            if !matches!(record.record_type, rtype::NSEC | rtype::NSEC3) {
                continue;
            }
            let Some(owner) = Name::from_wire(&record.name).filter(|owner| owner.is_in(&apex))
            else {
                continue;
            };
            let records = signed(&record.name, record.record_type);
            // One record and a signature at least; what is signed by another zone is that zone's.
            if records.len() < 2 {
                continue;
            }
            let zone = self.zone_by_place.entry((place, apex.clone())).or_default();
            let Some(taken) = zone.take(&owner, record, records, until) else {
                continue;
            };
            zone.soa = signed(&soa.name, rtype::SOA);
            zone.soa_until = until;
            self.bytes = (self.bytes + taken.cost).saturating_sub(taken.freed);
            if taken.all_hashes_gone {
                let stays = |(other, zone, owner): &(u64, Name, Owner)| {
                    *other != place || *zone != apex || matches!(owner, Owner::Name(_))
                };
                self.order.retain(stays);
            }
            if taken.freed == 0 || taken.all_hashes_gone {
                self.order.push_back((place, apex.clone(), taken.at));
            }
        }
        self.shrink();
    }

    /// Puts together a denial of what is asked for, and says for how many seconds it holds.
    pub fn reply(&self, place: u64, question: &Question, now: u64) -> Option<(Reply, u32)> {
        let name = &question.name;
        let mut suffixes = (0..=name.count()).rev().map(|count| name.suffix(count));
        let zone = suffixes.find_map(|apex| self.zone_by_place.get(&(place, apex)))?;
        let (proofs, until) = zone
            .by_name(name, now)
            .or_else(|| zone.hashed.deny(name, now))?;
        let until = until.min(zone.soa_until);
        let left = u32::try_from(until.checked_sub(now).filter(|left| *left > 0)?).ok()?;
        let records = zone.soa.iter().chain(proofs);
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
                let freed = match &owner {
                    Owner::Name(owner) => zone.gap_by_owner.remove(owner).as_ref().map(cost),
                    Owner::Hash(hash) => zone.hashed.forget(hash),
                };
                self.bytes = self.bytes.saturating_sub(freed.unwrap_or_default());
                if zone.gap_by_owner.is_empty() && zone.hashed.is_empty() {
                    self.zone_by_place.remove(&key);
                }
            }
        }
    }
}

/// What taking a gap comes to.
#[derive(Debug)]
struct Taken {
    at: Owner,
    /// What it takes, in bytes.
    cost: usize,
    /// What was taken by what it replaces.
    freed: usize,
    /// Whether all gaps between hashes were replaced: the zone hashes in another way now.
    all_hashes_gone: bool,
}

impl Zone {
    fn cost(&self) -> usize {
        self.gap_by_owner.values().map(cost).sum::<usize>() + self.hashed.cost()
    }

    fn take(
        &mut self,
        owner: &Name,
        record: &Record,
        records: Vec<Record>,
        until: u64,
    ) -> Option<Taken> {
        if record.record_type == rtype::NSEC3 {
            return self.hashed.take(owner, &record.rdata, records, until);
        }
        // A gap without room was made for one question: it denies no other name, and is often wrong about other types.
        let nsec = Nsec::read(owner, &record.rdata).filter(|nsec| !is_minimal(nsec))?;
        let gap = Gap {
            records,
            nsec,
            until,
        };
        let taken = cost(&gap);
        let old = self.gap_by_owner.insert(owner.clone(), gap);
        Some(Taken {
            at: Owner::Name(owner.clone()),
            cost: taken,
            freed: old.as_ref().map_or(0, cost),
            all_hashes_gone: false,
        })
    }

    /// Returns what NSEC says of a name and of the wildcard that would make it, and until when.
    fn by_name(&self, name: &Name, now: u64) -> Option<(Vec<&Record>, u64)> {
        let gap = self.before(name, now)?;
        let mut until = gap.until;
        let mut records: Vec<&Record> = gap.records.iter().collect();
        if gap.nsec.owner != *name
            && let Some(wildcard) = closest_encloser(name, &gap.nsec).wildcard()
        {
            let other = self.before(&wildcard, now)?;
            if other.nsec.owner != gap.nsec.owner {
                records.extend(&other.records);
                until = until.min(other.until);
            }
        }
        Some((records, until))
    }

    /// Returns the record at a name, or the last one before it.
    fn before(&self, name: &Name, now: u64) -> Option<&Gap<Nsec>> {
        let (_, gap) = self.gap_by_owner.range(..=name).next_back()?;
        (now < gap.until).then_some(gap)
    }
}

/// Whether nothing but the owner itself, or a name that is next to it, lies in a gap (RFC 4470, RFC 9824).
fn is_minimal(nsec: &Nsec) -> bool {
    let after = [&[1, 0], nsec.owner.as_wire()].concat();
    nsec.next.as_wire() == after
}

fn cost<N>(gap: &Gap<N>) -> usize {
    let held: usize = gap
        .records
        .iter()
        .map(|record| record.name.len() + record.rdata.len() + size_of::<Record>())
        .sum();
    ENTRY + 2 * held
}
