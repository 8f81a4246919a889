//! One zone: its records, signed, and the chain that denies the others.

use std::collections::{BTreeMap, BTreeSet};

use hickory_proto::dnssec::crypto::Ed25519SigningKey;
use hickory_proto::dnssec::{SigningKey as _, TBS};

use super::NOW;
use crate::crypto::{nsec3_hash, signed_data};
use crate::name::Name;
use crate::record::{Key, Record, Sig, rtype};
use crate::rrset::sets;

pub(super) const A: u16 = 1;
pub(super) const TXT: u16 = 16;
pub(super) const AAAA: u16 = 28;
pub(super) const TTL: u32 = 300;
const IN: u16 = 1;
const ED25519: u8 = 15;

/// Records of one RRset with their signature at the end.
pub(super) type Group = Vec<Record>;

/// How a zone denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denial {
    Unsigned,
    Nsec,
    Nsec3 { opt_out: bool, iterations: u16 },
}

/// A zone's key.
pub(super) struct Signer {
    key: Ed25519SigningKey,
    pub(super) public: Key,
}

/// A zone.
pub(super) struct Zone {
    pub(super) name: Name,
    pub(super) denial: Denial,
    pub(super) signer: Option<Signer>,
    pub(super) groups: BTreeMap<(Name, u16), Group>,
    /// By owner, or by the hash in it.
    pub(super) chain: BTreeMap<Vec<u8>, (Name, Group)>,
}

/// Reads a name in lower case without escapes.
pub(super) fn name(text: &str) -> Name {
    let mut wire = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        wire.push(u8::try_from(label.len()).unwrap());
        wire.extend(label.bytes());
    }
    wire.push(0);
    Name::from_wire(&wire).unwrap()
}

pub(super) fn record(owner: &Name, record_type: u16, rdata: &[u8]) -> Record {
    Record {
        name: owner.as_wire().into(),
        record_type,
        class: IN,
        ttl: TTL,
        rdata: rdata.to_vec(),
    }
}

impl Signer {
    pub(super) fn new() -> Self {
        let key = Ed25519SigningKey::from_pkcs8(&Ed25519SigningKey::generate_pkcs8().unwrap());
        let key = key.unwrap();
        let mut rdata = vec![1, 1, 3, ED25519];
        rdata.extend_from_slice(hickory_proto::dnssec::PublicKey::public_bytes(
            &key.to_public_key().unwrap(),
        ));
        let public = Key::read(&rdata).unwrap();
        Self { key, public }
    }

    /// Signs records of one RRset; returns RRSIG.
    pub(super) fn sign(&self, signer: &Name, records: &[Record]) -> Record {
        let set = sets(records).remove(0);
        let mut rdata = set.record_type.to_be_bytes().to_vec();
        rdata.push(ED25519);
        rdata.push(u8::try_from(set.name.signed_count()).unwrap());
        rdata.extend(TTL.to_be_bytes());
        for time in [NOW + 86_400, NOW - 86_400] {
            rdata.extend(u32::try_from(time).unwrap().to_be_bytes());
        }
        rdata.extend(self.public.tag.to_be_bytes());
        rdata.extend(signer.as_wire());
        let data = signed_data(&set, &Sig::read(&rdata).unwrap()).unwrap();
        rdata.extend(self.key.sign(&TBS::from(&*data)).unwrap());
        record(&set.name, rtype::RRSIG, &rdata)
    }

    /// Returns the rdata of a DS by SHA-256.
    pub(super) fn ds(&self, owner: &Name) -> Vec<u8> {
        use hickory_proto::dnssec::DigestType;
        use hickory_proto::dnssec::crypto::Digest;
        let parts = [owner.as_wire(), &self.public.rdata];
        let digest = Digest::from_iter(parts, DigestType::SHA256).unwrap();
        let mut rdata = self.public.tag.to_be_bytes().to_vec();
        rdata.extend([ED25519, 2]);
        rdata.extend(digest.as_ref());
        rdata
    }
}

/// Types as NSEC and NSEC3 hold them; all below 256.
fn bitmap(types: &BTreeSet<u16>) -> Vec<u8> {
    let Some(last) = types.last() else {
        return Vec::new();
    };
    let mut bits = vec![0_u8; usize::from(last / 8) + 1];
    for record_type in types {
        bits[usize::from(record_type / 8)] |= 0x80 >> (record_type % 8);
    }
    let mut bytes = vec![0, u8::try_from(bits.len()).unwrap()];
    bytes.extend(bits);
    bytes
}

/// RFC 4648 §7.
fn base32hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    let (mut bits, mut count) = (0_u32, 0);
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            let digit = bits >> count & 31;
            text.push(char::from_digit(digit, 32).unwrap());
        }
        bits &= (1 << count) - 1;
    }
    text
}

impl Zone {
    pub(super) fn new(zone: &str, denial: Denial) -> Self {
        let zone = name(zone);
        let mut own = Self {
            signer: (denial != Denial::Unsigned).then(Signer::new),
            denial,
            groups: BTreeMap::new(),
            chain: BTreeMap::new(),
            name: zone.clone(),
        };
        let mut soa = [zone.as_wire(), zone.as_wire()].concat();
        soa.extend([0; 20]);
        own.add(&zone, rtype::SOA, &[&soa]);
        own.add(&zone, rtype::NS, &[name("ns.other").as_wire()]);
        if let Some(signer) = &own.signer {
            let rdata = signer.public.rdata.clone();
            own.add(&zone, rtype::DNSKEY, &[&rdata]);
        }
        own
    }

    /// Adds an RRset; those of its own are signed at once.
    pub(super) fn add(&mut self, owner: &Name, record_type: u16, rdatas: &[&[u8]]) {
        let mut group: Group = rdatas
            .iter()
            .map(|rdata| record(owner, record_type, rdata))
            .collect();
        let delegation = record_type == rtype::NS && *owner != self.name;
        if let Some(signer) = self.signer.as_ref().filter(|_| !delegation) {
            group.push(signer.sign(&self.name, &group));
        }
        self.groups.insert((owner.clone(), record_type), group);
    }

    fn types_at(&self, owner: &Name) -> BTreeSet<u16> {
        let at = self.groups.keys().filter(|(name, _)| name == owner);
        at.map(|(_, record_type)| *record_type).collect()
    }

    /// Whether it delegates a name to a zone without DS.
    fn is_unsigned_cut(&self, owner: &Name) -> bool {
        let types = self.types_at(owner);
        types.contains(&rtype::NS) && *owner != self.name && !types.contains(&rtype::DS)
    }

    /// Makes the chain of denials, when all records are there.
    pub(super) fn close(&mut self) {
        let Some(signer) = self.signer.take() else {
            return;
        };
        let owners: BTreeSet<Name> = self.groups.keys().map(|(owner, _)| owner.clone()).collect();
        match self.denial {
            Denial::Unsigned => {}
            Denial::Nsec => {
                let owners: Vec<Name> = owners.into_iter().collect();
                for (at, owner) in owners.iter().enumerate() {
                    let next = &owners[(at + 1) % owners.len()];
                    let mut types = self.types_at(owner);
                    types.extend([rtype::RRSIG, rtype::NSEC]);
                    let rdata = [next.as_wire(), &bitmap(&types)].concat();
                    self.chain_in(&signer, owner.as_wire(), owner, rtype::NSEC, &rdata);
                }
            }
            Denial::Nsec3 {
                opt_out,
                iterations,
            } => {
                let mut names = BTreeSet::new();
                for owner in owners {
                    if opt_out && self.is_unsigned_cut(&owner) {
                        continue;
                    }
                    for count in self.name.count()..=owner.count() {
                        names.insert(owner.suffix(count));
                    }
                }
                let by_hash: BTreeMap<Vec<u8>, Name> = names
                    .into_iter()
                    .map(|name| (nsec3_hash(&name, b"salt", iterations), name))
                    .collect();
                let hashes: Vec<&Vec<u8>> = by_hash.keys().collect();
                for (at, hash) in hashes.iter().enumerate() {
                    let next = hashes[(at + 1) % hashes.len()];
                    let mut types = self.types_at(&by_hash[*hash]);
                    if !types.is_empty() && !self.is_unsigned_cut(&by_hash[*hash]) {
                        types.insert(rtype::RRSIG);
                    }
                    let mut rdata = vec![1, u8::from(opt_out)];
                    rdata.extend(iterations.to_be_bytes());
                    rdata.push(4);
                    rdata.extend(b"salt");
                    rdata.push(20);
                    rdata.extend(next);
                    rdata.extend(bitmap(&types));
                    let owner = name(&format!("{}.{}", base32hex(hash), self.name));
                    self.chain_in(&signer, hash, &owner, rtype::NSEC3, &rdata);
                }
            }
        }
        self.signer = Some(signer);
    }

    fn chain_in(&mut self, signer: &Signer, key: &[u8], owner: &Name, kind: u16, rdata: &[u8]) {
        let mut group = vec![record(owner, kind, rdata)];
        group.push(signer.sign(&self.name, &group));
        self.chain.insert(key.to_vec(), (owner.clone(), group));
    }

    /// Whether a name is there, be it as a way to others.
    pub(super) fn exists(&self, name: &Name) -> bool {
        self.groups.keys().any(|(owner, _)| owner.is_in(name))
    }

    /// Returns the record of a name in the chain.
    pub(super) fn matching(&self, name: &Name) -> Option<&Group> {
        self.chain.get(&self.place(name)).map(|(_, group)| group)
    }

    /// Returns the record in whose gap a name lies.
    pub(super) fn covering(&self, name: &Name) -> &Group {
        let place = self.place(name);
        let before = match self.denial {
            Denial::Nsec => {
                let before = self.chain.values().filter(|(owner, _)| owner < name);
                before.max_by_key(|(owner, _)| owner)
            }
            Denial::Nsec3 { .. } | Denial::Unsigned => {
                self.chain.range(..place).next_back().map(|(_, at)| at)
            }
        };
        let last = || self.chain.last_key_value().unwrap().1;
        &before.unwrap_or_else(last).1
    }

    fn place(&self, name: &Name) -> Vec<u8> {
        match self.denial {
            Denial::Nsec3 { iterations, .. } => nsec3_hash(name, b"salt", iterations),
            Denial::Nsec | Denial::Unsigned => name.as_wire().to_vec(),
        }
    }
}
