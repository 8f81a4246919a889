//! What would honest servers say? A small signed internet in memory, and the truth about it.
//!
//! [`World::reply`] answers as a recursive resolver does that does not validate; [`World::truth`] says what is so, from the
//! zones alone and without a look at any proof. Signing and denial are written here a second time on purpose.

mod truth;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use hickory_proto::dnssec::crypto::Ed25519SigningKey;
use hickory_proto::dnssec::{Nsec3HashAlgorithm, PublicKey as _, SigningKey as _, TBS};

use crate::name::Name;
use crate::record::{Record, rtype};
use crate::validator::{Question, Reply};

pub(crate) const A: u16 = 1;
pub(crate) const TXT: u16 = 16;
pub(crate) const NXDOMAIN: u16 = 3;
/// The moment of all stories.
pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const TTL: u32 = 3600;

/// How a zone denies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Denial {
    Nsec,
    Nsec3 {
        salt: Vec<u8>,
        iterations: u16,
        opt_out: bool,
    },
}

/// What its parent says of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delegated {
    Signed,
    Unsigned,
    /// By a DS of an algorithm that nobody knows.
    Unknown,
}

pub(crate) struct Zone {
    pub(crate) apex: Name,
    pub(crate) denial: Denial,
    pub(crate) delegated: Delegated,
    key: Ed25519SigningKey,
    dnskey: Vec<u8>,
    records: BTreeMap<(Name, u16), Vec<Vec<u8>>>,
    /// How long signatures of sets of a type count from [`NOW`] on, where that is not a day.
    pub(crate) signed_for: BTreeMap<u16, u64>,
}

#[derive(Default)]
pub(crate) struct World {
    pub(crate) zones: BTreeMap<Name, Zone>,
    /// Trust points besides the root.
    pub(crate) islands: Vec<Name>,
    memo: RefCell<BTreeMap<(Name, u16), (Reply, Truth)>>,
}

/// What is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Truth {
    pub(crate) rcode: u16,
    /// Everything that belongs into the answer, in order.
    pub(crate) sets: Vec<(Name, u16, Vec<Vec<u8>>)>,
    pub(crate) is_secure: bool,
    /// Whether its aliases end nowhere.
    pub(crate) is_circle: bool,
    /// How many of the sets are secure, from the first on.
    pub(crate) secure_sets: usize,
}

impl Truth {
    fn finished(mut self) -> Self {
        if self.is_secure {
            self.secure_sets = self.sets.len();
        }
        self
    }
}

pub(crate) fn n(text: &str) -> Name {
    let mut wire = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        wire.push(u8::try_from(label.len()).unwrap());
        wire.extend(label.bytes());
    }
    wire.push(0);
    Name::from_wire(&wire).unwrap()
}

pub(crate) fn ask(name: &str, record_type: u16) -> Question {
    Question {
        name: n(name),
        record_type,
    }
}

pub(crate) fn record(name: &Name, record_type: u16, rdata: Vec<u8>) -> Record {
    Record {
        name: name.as_wire().into(),
        record_type,
        class: 1,
        ttl: TTL,
        rdata,
    }
}

/// Types as NSEC writes them, window 0 only.
pub(crate) fn bitmap(types: &BTreeSet<u16>) -> Vec<u8> {
    let Some(last) = types.last() else {
        return Vec::new();
    };
    let mut bits = vec![0_u8; usize::from(last / 8) + 1];
    for record_type in types {
        bits[usize::from(record_type / 8)] |= 0x80 >> (record_type % 8);
    }
    let mut out = vec![0, u8::try_from(bits.len()).unwrap()];
    out.extend(bits);
    out
}

pub(crate) fn hash(name: &Name, salt: &[u8], iterations: u16) -> Vec<u8> {
    let name = hickory_proto::rr::Name::from_labels(name.labels()).unwrap();
    let digest = Nsec3HashAlgorithm::SHA1.hash(salt, &name, iterations);
    digest.unwrap().as_ref().to_vec()
}

fn hash_label(hash: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let bits = hash
        .iter()
        .flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1));
    let bits: Vec<u8> = bits.collect();
    bits.chunks(5)
        .map(|five| {
            let value = five.iter().fold(0_u8, |value, bit| value << 1 | bit);
            DIGITS[usize::from(value)]
        })
        .collect()
}

fn prefixed(label: &[u8], name: &Name) -> Name {
    let mut wire = vec![u8::try_from(label.len()).unwrap()];
    wire.extend_from_slice(label);
    wire.extend_from_slice(name.as_wire());
    Name::from_wire(&wire).unwrap()
}

impl Zone {
    /// Makes a zone with SOA and NS; text is `owner TYPE value` a line, owners relative to the apex (`@`).
    pub(crate) fn new(apex: &str, denial: Denial, delegated: Delegated, text: &str) -> Self {
        let apex = n(apex);
        let key = Ed25519SigningKey::generate_pkcs8().unwrap();
        let key = Ed25519SigningKey::from_pkcs8(&key).unwrap();
        let mut dnskey = vec![1, 1, 3, 15];
        dnskey.extend_from_slice(key.to_public_key().unwrap().public_bytes());
        let mut zone = Self {
            apex,
            denial,
            delegated,
            key,
            dnskey,
            records: BTreeMap::new(),
            signed_for: BTreeMap::new(),
        };
        let apex = zone.apex.clone();
        let server = prefixed(b"ns", &apex);
        let minimum = TTL.to_be_bytes();
        let soa = [server.as_wire(), server.as_wire(), &[0; 16], &minimum].concat();
        zone.add(&apex, rtype::SOA, soa);
        zone.add(&apex, rtype::NS, server.as_wire().to_vec());
        if zone.is_signed() {
            let dnskey = zone.dnskey.clone();
            zone.add(&apex, rtype::DNSKEY, dnskey);
        }
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let mut words = line.split_whitespace();
            let (owner, kind, value) = (
                words.next().unwrap(),
                words.next().unwrap(),
                words.next().unwrap(),
            );
            let owner = match owner {
                "@" => zone.apex.clone(),
                owner => n(&format!("{owner}.{}", zone.apex)),
            };
            let (record_type, rdata) = match kind {
                "A" => (
                    A,
                    value.split('.').map(|part| part.parse().unwrap()).collect(),
                ),
                "TXT" => (
                    TXT,
                    [&[u8::try_from(value.len()).unwrap()], value.as_bytes()].concat(),
                ),
                "CNAME" => (rtype::CNAME, n(value).as_wire().to_vec()),
                "DNAME" => (rtype::DNAME, n(value).as_wire().to_vec()),
                other => panic!("{other}"),
            };
            zone.add(&owner, record_type, rdata);
        }
        zone
    }

    pub(crate) fn add(&mut self, owner: &Name, record_type: u16, rdata: Vec<u8>) {
        let set = self
            .records
            .entry((owner.clone(), record_type))
            .or_default();
        set.push(rdata);
        set.sort();
        set.dedup();
    }

    pub(crate) fn tag(&self) -> u16 {
        let sum = self.dnskey.chunks(2).fold(0_u32, |sum, pair| {
            sum + u32::from(pair[0]) * 256 + u32::from(pair.get(1).copied().unwrap_or_default())
        });
        u16::try_from((sum + (sum >> 16)) & 0xffff).unwrap()
    }

    pub(crate) fn ds(&self, algorithm: u8) -> Vec<u8> {
        let parts = [self.apex.as_wire(), &*self.dnskey];
        let digest = hickory_proto::dnssec::crypto::Digest::from_iter(
            parts,
            hickory_proto::dnssec::DigestType::SHA256,
        );
        let mut ds = self.tag().to_be_bytes().to_vec();
        ds.extend([algorithm, 2]);
        ds.extend_from_slice(digest.unwrap().as_ref());
        ds
    }

    /// Signs a set; `owner` is where the zone has it, a wildcard perhaps.
    pub(crate) fn sign(&self, owner: &Name, record_type: u16, rdatas: &[Vec<u8>]) -> Vec<u8> {
        let is_wildcard = owner.labels().next() == Some(b"*");
        let labels = owner.labels().count() - usize::from(is_wildcard);
        let mut head = record_type.to_be_bytes().to_vec();
        head.extend([15, u8::try_from(labels).unwrap()]);
        head.extend(TTL.to_be_bytes());
        let signed_for = self.signed_for.get(&record_type).copied();
        let end = NOW + signed_for.unwrap_or(86_400);
        head.extend(u32::try_from(end).unwrap().to_be_bytes());
        head.extend(u32::try_from(NOW - 86_400).unwrap().to_be_bytes());
        head.extend(self.tag().to_be_bytes());
        head.extend_from_slice(self.apex.as_wire());
        let mut sorted = rdatas.to_vec();
        sorted.sort();
        let mut signed = head.clone();
        for rdata in sorted {
            signed.extend_from_slice(owner.as_wire());
            signed.extend(record_type.to_be_bytes());
            signed.extend([0, 1]);
            signed.extend(TTL.to_be_bytes());
            signed.extend(u16::try_from(rdata.len()).unwrap().to_be_bytes());
            signed.extend(rdata);
        }
        head.extend(self.key.sign(&TBS::from(&*signed)).unwrap());
        head
    }

    /// Puts a set into a section under `name`, signed as what the zone has at `owner`.
    pub(crate) fn put(
        &self,
        section: &mut Vec<Record>,
        name: &Name,
        owner: &Name,
        record_type: u16,
        rdatas: &[Vec<u8>],
    ) {
        let there =
            |found: &Record| found.record_type == record_type && *found.name == *name.as_wire();
        if section.iter().any(there) {
            return;
        }
        section.extend(
            rdatas
                .iter()
                .map(|rdata| record(name, record_type, rdata.clone())),
        );
        if self.is_signed() {
            let sig = self.sign(owner, record_type, rdatas);
            section.push(record(name, rtype::RRSIG, sig));
        }
    }

    fn is_signed(&self) -> bool {
        self.delegated != Delegated::Unsigned
    }

    pub(crate) fn set(&self, name: &Name, record_type: u16) -> Option<&Vec<Vec<u8>>> {
        self.records.get(&(name.clone(), record_type))
    }

    fn is_unsigned_cut(&self, name: &Name) -> bool {
        *name != self.apex
            && self.set(name, rtype::NS).is_some()
            && self.set(name, rtype::DS).is_none()
    }

    /// Whether a name exists, as owner or on the way to one.
    fn exists(&self, name: &Name) -> bool {
        self.records.keys().any(|(owner, _)| owner.is_in(name))
    }

    pub(crate) fn types(&self, name: &Name) -> BTreeSet<u16> {
        let own = self.records.keys().filter(|(owner, _)| owner == name);
        own.map(|(_, record_type)| *record_type).collect()
    }

    pub(crate) fn owners(&self) -> BTreeSet<Name> {
        self.records
            .keys()
            .map(|(owner, _)| owner.clone())
            .collect()
    }

    fn put_nsec(&self, section: &mut Vec<Record>, name: &Name) {
        let owners: Vec<Name> = self.owners().into_iter().collect();
        let at = owners.iter().rposition(|owner| owner <= name).unwrap();
        let next = owners.get(at + 1).unwrap_or(&self.apex);
        let mut types = self.types(&owners[at]);
        types.extend([rtype::RRSIG, rtype::NSEC]);
        let rdata = [next.as_wire(), &bitmap(&types)].concat();
        self.put(section, &owners[at], &owners[at], rtype::NSEC, &[rdata]);
    }

    fn nsec3_chain(&self) -> BTreeMap<Vec<u8>, Name> {
        let Denial::Nsec3 {
            salt,
            iterations,
            opt_out,
        } = &self.denial
        else {
            return BTreeMap::new();
        };
        let mut names = BTreeSet::new();
        for owner in self.owners() {
            if *opt_out && self.is_unsigned_cut(&owner) {
                continue;
            }
            for count in self.apex.count()..=owner.count() {
                names.insert(owner.suffix(count));
            }
        }
        names
            .into_iter()
            .map(|name| (hash(&name, salt, *iterations), name))
            .collect()
    }

    /// Puts the NSEC3 that matches a name, or else covers it; returns whether it matches.
    fn put_nsec3(&self, section: &mut Vec<Record>, name: &Name) -> bool {
        let Denial::Nsec3 {
            salt,
            iterations,
            opt_out,
        } = &self.denial
        else {
            return false;
        };
        let chain = self.nsec3_chain();
        let wanted = hash(name, salt, *iterations);
        let (own, at) = chain
            .range(..=wanted.clone())
            .next_back()
            .or_else(|| chain.last_key_value())
            .unwrap();
        let next = chain.keys().find(|next| *next > own);
        let next = next.or_else(|| chain.keys().next()).unwrap();
        let mut types = self.types(at);
        if !types.is_empty() && !self.is_unsigned_cut(at) {
            types.insert(rtype::RRSIG);
        }
        let mut rdata = vec![1, u8::from(*opt_out)];
        rdata.extend(iterations.to_be_bytes());
        rdata.push(u8::try_from(salt.len()).unwrap());
        rdata.extend(salt);
        rdata.push(u8::try_from(next.len()).unwrap());
        rdata.extend(next);
        rdata.extend(bitmap(&types));
        let owner = prefixed(&hash_label(own), &self.apex);
        self.put(section, &owner, &owner, rtype::NSEC3, &[rdata]);
        *own == wanted
    }

    /// Puts a proof about a name; returns whether an opt-out takes part in it.
    fn put_proof(&self, section: &mut Vec<Record>, name: &Name, about: About) -> bool {
        if !self.is_signed() {
            return false;
        }
        let mut encloser = name.clone();
        let mut next = name.clone();
        match &self.denial {
            Denial::Nsec => {
                self.put_nsec(section, name);
                while !self.exists(&encloser) {
                    encloser = encloser.parent().unwrap();
                }
                match about {
                    About::NoName | About::NoRecordsByWildcard => {
                        self.put_nsec(section, &encloser.wildcard().unwrap());
                    }
                    About::NoRecords | About::Expansion => {}
                }
                false
            }
            Denial::Nsec3 { opt_out, .. } => {
                if about == About::NoRecords && self.put_nsec3(&mut Vec::new(), name) {
                    self.put_nsec3(section, name);
                    return false;
                }
                // The closest encloser that has a record.
                while encloser == *name || !self.put_nsec3(&mut Vec::new(), &encloser) {
                    next = encloser;
                    encloser = next.parent().unwrap();
                }
                if about != About::Expansion {
                    self.put_nsec3(section, &encloser);
                }
                self.put_nsec3(section, &next);
                match about {
                    About::NoName | About::NoRecordsByWildcard => {
                        self.put_nsec3(section, &encloser.wildcard().unwrap());
                    }
                    About::NoRecords | About::Expansion => {}
                }
                *opt_out
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    NoName,
    NoRecords,
    NoRecordsByWildcard,
    Expansion,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for zone in self.zones.values() {
            let (denial, delegated) = (&zone.denial, zone.delegated);
            writeln!(f, "zone {}: {delegated:?}, {denial:?}", zone.apex)?;
            for (name, record_type) in zone.records.keys() {
                writeln!(f, "  {name} {record_type}")?;
            }
        }
        write!(f, "islands {:?}", self.islands)
    }
}
