//! Who serves which zone? Delegations as the parent gave them, and addresses of servers that came without glue.
//!
//! What a child says of its own servers is not taken: a zone that its parent took away is gone when the parent's TTL ends
//! (ghost domains, CVE-2012-1033). Holds the signed proofs of referrals too, so that DS is answered from the parent.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use config::name::DomainName;
use config::time::Instant;

use super::bounded::Bounded;
use crate::record::RawRecord;
use crate::wire::rtype;

/// The longest that a delegation or an address is kept.
const LIFETIME_MAX: Duration = Duration::from_secs(86_400);
/// The shortest: a TTL of zero must not make every question begin at the root.
const LIFETIME_MIN: Duration = Duration::from_secs(30);
/// How long it is remembered that a server's name has no address.
const NO_ADDRESS_LIFETIME: Duration = Duration::from_secs(60);
/// The part of the memory, one in so many, that addresses of servers may take.
const HOSTS_SHARE: usize = 4;
/// What an entry takes beside its names and records, in octets.
const OVERHEAD: usize = 160;

/// A name server of a zone, with what is known of its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameServer {
    pub(crate) name: DomainName,
    pub(crate) addresses: Vec<IpAddr>,
}

/// A zone and its servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delegation {
    pub(crate) zone: DomainName,
    pub(crate) servers: Vec<NameServer>,
    /// DS, NSEC, NSEC3 and their signatures, as the parent sent them with the referral (RFC 4035 §3.1.4).
    pub(crate) proof: Vec<RawRecord>,
    pub(crate) ttl: u32,
}

#[derive(Debug)]
struct Known<T> {
    value: T,
    learned_at: Instant,
    expires_at: Instant,
}

/// All that is known of zones and their servers' addresses.
#[derive(Debug)]
pub(crate) struct Delegations {
    by_zone: Bounded<Box<[u8]>, Known<Arc<Delegation>>>,
    addresses_by_host: Bounded<(Box<[u8]>, u16), Known<Vec<IpAddr>>>,
}

impl Delegations {
    /// Makes an empty store that takes at most so many octets.
    pub(crate) fn new(size: usize) -> Self {
        let hosts = size / HOSTS_SHARE;
        Self {
            by_zone: Bounded::new(size - hosts),
            addresses_by_host: Bounded::new(hosts),
        }
    }

    /// Returns the deepest known zone, below the root, that `name` is in.
    pub(crate) fn closest(&mut self, name: &DomainName, now: Instant) -> Option<Arc<Delegation>> {
        name.suffixes()
            .filter(|wire| wire.len() > 1)
            .find_map(|wire| {
                let known = self.by_zone.get(wire)?;
                (known.expires_at > now).then(|| Arc::clone(&known.value))
            })
    }

    /// Returns DS and its signatures, when the parent sent them, as old as they are.
    pub(crate) fn signer(&mut self, zone: &DomainName, now: Instant) -> Option<Vec<RawRecord>> {
        let known = self.by_zone.get(zone.as_wire())?;
        let age = u32::try_from(now.since(known.learned_at).as_secs()).unwrap_or(u32::MAX);
        let records: Vec<RawRecord> = known
            .value
            .proof
            .iter()
            .filter(|record| record.is_at(zone) && is_of(record, rtype::DS))
            .cloned()
            .collect();
        let has = records.iter().any(|record| record.record_type == rtype::DS);
        let fresh = records.iter().all(|record| record.ttl > age);
        (has && fresh).then(|| {
            let mut records = records;
            for record in &mut records {
                record.ttl -= age;
            }
            records
        })
    }

    pub(crate) fn insert(&mut self, delegation: Arc<Delegation>, now: Instant) {
        let weight = delegation.weight();
        let lifetime = Duration::from_secs(delegation.ttl.into());
        let known = Known {
            learned_at: now,
            expires_at: now + lifetime.clamp(LIFETIME_MIN, LIFETIME_MAX),
            value: Arc::clone(&delegation),
        };
        let key = delegation.zone.as_wire().into();
        self.by_zone.insert(key, known, weight);
    }

    pub(crate) fn forget(&mut self, zone: &DomainName) {
        self.by_zone.remove(zone.as_wire());
    }

    pub(crate) fn forget_where(&mut self, is_meant: impl Fn(&[u8]) -> bool) {
        self.by_zone.remove_where(|zone| is_meant(zone));
        self.addresses_by_host
            .remove_where(|(host, _)| is_meant(host));
    }

    /// Returns what is known of a server's addresses of a type; nothing in it when it is known to have none.
    pub(crate) fn addresses(
        &mut self,
        host: &DomainName,
        record_type: u16,
        now: Instant,
    ) -> Option<&[IpAddr]> {
        let known = self
            .addresses_by_host
            .get(&(Box::from(host.as_wire()), record_type))?;
        (known.expires_at > now).then_some(known.value.as_slice())
    }

    pub(crate) fn insert_addresses(
        &mut self,
        host: &DomainName,
        record_type: u16,
        addresses: Vec<IpAddr>,
        ttl: u32,
        now: Instant,
    ) {
        let lifetime = if addresses.is_empty() {
            NO_ADDRESS_LIFETIME
        } else {
            Duration::from_secs(ttl.into()).clamp(LIFETIME_MIN, LIFETIME_MAX)
        };
        let weight = OVERHEAD + host.as_wire().len() + addresses.len() * size_of::<IpAddr>();
        let known = Known {
            value: addresses,
            learned_at: now,
            expires_at: now + lifetime,
        };
        self.addresses_by_host
            .insert((host.as_wire().into(), record_type), known, weight);
    }

    pub(crate) fn len(&self) -> usize {
        self.by_zone.len()
    }

    pub(crate) fn size(&self) -> usize {
        self.by_zone.weight() + self.addresses_by_host.weight()
    }
}

impl Delegation {
    fn weight(&self) -> usize {
        let servers = self.servers.iter().map(|server| {
            size_of::<NameServer>()
                + server.name.as_wire().len()
                + server.addresses.len() * size_of::<IpAddr>()
        });
        let proof = self
            .proof
            .iter()
            .map(|record| size_of::<RawRecord>() + record.name.len() + record.rdata.len());
        // The zone's name is its key, twice, and its own.
        OVERHEAD + 3 * self.zone.as_wire().len() + servers.sum::<usize>() + proof.sum::<usize>()
    }
}

/// Whether a record is of a type or a signature over it.
pub(crate) fn is_of(record: &RawRecord, record_type: u16) -> bool {
    record.record_type == record_type || covers(record, record_type)
}

/// Whether a record is a signature over a type (RFC 4034 §3.1.1).
pub(crate) fn covers(record: &RawRecord, record_type: u16) -> bool {
    record.record_type == rtype::RRSIG
        && record
            .rdata
            .first_chunk::<2>()
            .is_some_and(|covered| u16::from_be_bytes(*covered) == record_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delegation(zone: &str, ttl: u32) -> Arc<Delegation> {
        let zone: DomainName = zone.parse().unwrap();
        let ds = RawRecord::new(&zone, rtype::DS, 100, vec![0, 1, 13, 2, 7]);
        Arc::new(Delegation {
            zone,
            servers: Vec::new(),
            proof: vec![ds],
            ttl,
        })
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn the_deepest_zone_that_is_not_expired_is_found() {
        let mut all = Delegations::new(100_000);
        all.insert(delegation("test", 3600), at(0));
        all.insert(delegation("a.test", 60), at(0));
        let name = "www.a.test".parse().unwrap();
        let zone = |found: Option<Arc<Delegation>>| found.map(|found| found.zone.to_string());
        assert_eq!(zone(all.closest(&name, at(59))), Some("a.test".into()));
        assert_eq!(zone(all.closest(&name, at(60))), Some("test".into()));
        assert_eq!(zone(all.closest(&name, at(3600))), None);
    }

    #[test]
    fn ds_ages_and_ends_with_its_ttl() {
        let mut all = Delegations::new(100_000);
        all.insert(delegation("a.test", 3600), at(0));
        let zone = "a.test".parse().unwrap();
        assert_eq!(all.signer(&zone, at(40)).unwrap()[0].ttl, 60);
        assert_eq!(all.signer(&zone, at(100)), None);
    }

    #[test]
    fn memory_stays_within_its_bound() {
        let mut all = Delegations::new(20_000);
        for at_name in 0..1000 {
            all.insert(delegation(&format!("z{at_name}.test"), 3600), at(0));
            let host = format!("ns{at_name}.test").parse().unwrap();
            all.insert_addresses(&host, rtype::A, vec![[192, 0, 2, 1].into()], 60, at(0));
        }
        assert!(all.size() <= 20_000);
        assert!(all.closest(&"z999.test".parse().unwrap(), at(1)).is_some());
    }
}
