//! The tree of zones, and an authority that answers from it as it should. What is true is told beside each answer, from the
//! zones and not from the validator.

use std::collections::{BTreeMap, BTreeSet};

use hickory_proto::dnssec::rdata::DS;
use hickory_proto::dnssec::{Algorithm, DigestType};

use super::zone::{A, AAAA, Denial, Group, TXT, Zone, name};
use crate::anchors::{Anchor, TrustAnchors};
use crate::name::Name;
use crate::record::{Record, rtype};
use crate::validator::{Question, Reply, Settings, Validator};

const NSEC3: Denial = Denial::Nsec3 {
    opt_out: false,
    iterations: 0,
};
const OPT_OUT: Denial = Denial::Nsec3 {
    opt_out: true,
    iterations: 1,
};

/// The zones, and where aliases that leave one lead to.
const ZONES: &[(&str, Denial, &str)] = &[
    ("", Denial::Nsec, "nsec.test"),
    ("test", OPT_OUT, "nsec.test"),
    ("nsec.test", Denial::Nsec, "nsec3.test"),
    ("sub.nsec.test", Denial::Nsec, "nsec3.test"),
    ("bare.nsec.test", Denial::Unsigned, "nsec3.test"),
    ("nsec3.test", NSEC3, "nsec.test"),
    ("bare.nsec3.test", Denial::Unsigned, "nsec.test"),
    ("opt.test", OPT_OUT, "nsec.test"),
    ("bare.opt.test", Denial::Unsigned, "nsec.test"),
    ("plain.test", Denial::Unsigned, "nsec.test"),
];

/// What is asked of each zone, below its name.
const ASKED: &[(&str, u16)] = &[
    ("", rtype::SOA),
    ("", AAAA),
    ("", rtype::DNSKEY),
    ("", rtype::DS),
    ("www", A),
    ("www", AAAA),
    ("www", rtype::DS),
    ("www", rtype::ANY),
    ("none", A),
    ("deep.none", A),
    ("none", rtype::ANY),
    ("ent", A),
    ("ent", rtype::ANY),
    ("host.ent", A),
    ("x.wild", A),
    ("x.y.wild", A),
    ("x.wild", TXT),
    ("there.wild", A),
    ("alias", A),
    ("alias", AAAA),
    ("alias", rtype::CNAME),
    ("lost", A),
    ("far", A),
    ("far", AAAA),
    ("lostfar", A),
    ("away", A),
    ("x.wc", A),
    ("host.old", A),
    ("host.old", AAAA),
    ("gone.old", A),
    ("host.old", rtype::CNAME),
    ("host.old", rtype::ANY),
    ("old", rtype::DNAME),
    ("ring1", A),
];

/// A record apart from its time to live.
pub(super) type Fact = (Box<[u8]>, u16, Vec<u8>);

/// What is true about a question.
#[derive(Debug, Default)]
pub(super) struct Truth {
    pub(super) answers: BTreeSet<Fact>,
    /// The name asked for, and those that its aliases lead to.
    pub(super) names: Vec<Name>,
    pub(super) rcode: u16,
    pub(super) insecure: bool,
}

/// The tree.
pub(super) struct World {
    pub(super) zones: BTreeMap<Name, Zone>,
}

pub(super) fn fact(record: &Record) -> Fact {
    (
        record.name.clone(),
        record.record_type,
        record.rdata.clone(),
    )
}

fn fill(zone: &mut Zone, other: &str) {
    let own = zone.name.to_string();
    let at = |label: &str| name(&format!("{label}.{own}"));
    let there = |label: &str| name(&format!("{label}.{other}"));
    let rows: Vec<(&str, u16, Vec<Vec<u8>>)> = vec![
        ("www", A, vec![vec![192, 0, 2, 1], vec![192, 0, 2, 2]]),
        ("www", TXT, vec![b"\x02hi".to_vec()]),
        ("host.ent", A, vec![vec![192, 0, 2, 3]]),
        ("*.wild", A, vec![vec![192, 0, 2, 4]]),
        ("there.wild", A, vec![vec![192, 0, 2, 5]]),
        ("host.new", A, vec![vec![192, 0, 2, 6]]),
        ("*.wc", rtype::CNAME, vec![at("www").as_wire().to_vec()]),
        ("alias", rtype::CNAME, vec![at("www").as_wire().to_vec()]),
        ("lost", rtype::CNAME, vec![at("none").as_wire().to_vec()]),
        ("far", rtype::CNAME, vec![there("www").as_wire().to_vec()]),
        (
            "lostfar",
            rtype::CNAME,
            vec![there("none").as_wire().to_vec()],
        ),
        (
            "away",
            rtype::CNAME,
            vec![name("www.plain.test").as_wire().to_vec()],
        ),
        ("old", rtype::DNAME, vec![there("new").as_wire().to_vec()]),
        ("ring1", rtype::CNAME, vec![at("ring2").as_wire().to_vec()]),
        ("ring2", rtype::CNAME, vec![at("ring1").as_wire().to_vec()]),
    ];
    for (label, record_type, rdatas) in rows {
        let rdatas: Vec<&[u8]> = rdatas.iter().map(|rdata| &**rdata).collect();
        zone.add(&at(label), record_type, &rdatas);
    }
}

impl World {
    pub(super) fn new() -> Self {
        let mut zones: BTreeMap<Name, Zone> = BTreeMap::new();
        for (zone, denial, other) in ZONES {
            let mut made = Zone::new(zone, *denial);
            if !zone.is_empty() {
                fill(&mut made, other);
            }
            zones.insert(made.name.clone(), made);
        }
        let names: Vec<Name> = zones.keys().cloned().collect();
        for child in names.iter().filter(|name| !name.is_root()) {
            let parent = names.iter().filter(|name| child.is_below(name));
            let parent = parent.max_by_key(|name| name.count()).unwrap();
            let ds = zones[child].signer.as_ref().map(|signer| signer.ds(child));
            let above = zones.get_mut(parent).unwrap();
            above.add(child, rtype::NS, &[name("ns.other").as_wire()]);
            if let Some(ds) = ds {
                // A second key that is not there: an RRset of which one can be cut off.
                let spare = [&[0xff, 0xff, 15, 2][..], &[0xee; 32]].concat();
                above.add(child, rtype::DS, &[&ds, &spare]);
            }
        }
        for zone in zones.values_mut() {
            zone.close();
        }
        Self { zones }
    }

    /// Returns a validator that trusts the root.
    pub(super) fn validator(&self, settings: Settings) -> Validator {
        let mut anchors = TrustAnchors::empty();
        let root = Name::root();
        let signer = self.zones[&root].signer.as_ref().unwrap();
        let digest = signer.ds(&root)[4..].to_vec();
        let ds = DS::new(
            signer.public.tag,
            Algorithm::ED25519,
            DigestType::SHA256,
            digest,
        );
        anchors.add(&hickory_proto::rr::Name::root(), Anchor::Ds(ds));
        Validator::new(settings, &anchors)
    }

    /// Returns what is asked in these tests.
    pub(super) fn questions(&self) -> Vec<Question> {
        let mut questions = Vec::new();
        for zone in self.zones.keys().filter(|name| !name.is_root()) {
            for (label, record_type) in ASKED {
                questions.push(Question {
                    name: name(&format!("{label}.{zone}")),
                    record_type: *record_type,
                });
            }
        }
        questions
    }

    /// Returns all RRsets with their signatures.
    pub(super) fn universe(&self) -> Vec<Group> {
        let groups = self.zones.values().flat_map(|zone| {
            let chain = zone.chain.values().map(|(_, group)| group.clone());
            zone.groups.values().cloned().chain(chain)
        });
        groups.collect()
    }

    pub(super) fn zone_of(&self, name: &Name, of_parent: bool) -> &Zone {
        let of_parent = of_parent && !name.is_root();
        let above = self
            .zones
            .values()
            .filter(|zone| name.is_in(&zone.name) && !(of_parent && zone.name == *name));
        above.max_by_key(|zone| zone.name.count()).unwrap()
    }

    /// Whether data at a name may be unsigned: in an unsigned zone, or where an opt-out leaves room for one.
    pub(super) fn is_insecure(&self, name: &Name, of_parent: bool) -> bool {
        let zone = self.zone_of(name, of_parent);
        let opt_out = matches!(zone.denial, Denial::Nsec3 { opt_out: true, .. });
        zone.denial == Denial::Unsigned || opt_out && !zone.exists(name)
    }

    /// Answers, and tells what is true.
    pub(super) fn answer(&self, question: &Question) -> (Reply, Truth) {
        let mut reply = Reply::default();
        let mut truth = Truth::default();
        let mut name = question.name.clone();
        while !truth.names.contains(&name) {
            truth.names.push(name.clone());
            match self.hop(&name, question.record_type, &mut reply, &mut truth) {
                Some(target) => name = target,
                None => break,
            }
        }
        truth.rcode = reply.rcode;
        let plain = reply.answers.iter();
        let plain = plain.filter(|record| record.record_type != rtype::RRSIG);
        truth.answers = plain.map(fact).collect();
        (reply, truth)
    }

    /// Answers for one name; returns where it leads to.
    fn hop(&self, name: &Name, asked: u16, reply: &mut Reply, truth: &mut Truth) -> Option<Name> {
        let zone = self.zone_of(name, asked == rtype::DS);
        truth.insecure |= zone.denial == Denial::Unsigned;
        for count in zone.name.count()..name.count() {
            let owner = name.suffix(count);
            if let Some(group) = zone.groups.get(&(owner.clone(), rtype::DNAME)) {
                let target = Name::from_wire(&group[0].rdata).unwrap();
                let target = name.renamed(&owner, &target).unwrap();
                reply.answers.extend(group.clone());
                let made = super::zone::record(name, rtype::CNAME, target.as_wire());
                reply.answers.push(made);
                return (asked != rtype::CNAME).then_some(target);
            }
        }
        let mut proofs: Vec<Group> = Vec::new();
        let mut node = name.clone();
        let mut found = zone.exists(name);
        let mut next_closer = None;
        if !found {
            let mut below = name.clone();
            let mut encloser = name.parent().unwrap();
            while !zone.exists(&encloser) {
                below = encloser.clone();
                encloser = encloser.parent().unwrap();
            }
            node = encloser.wildcard().unwrap();
            found = zone.exists(&node);
            if zone.denial != Denial::Unsigned {
                truth.insecure |= self.is_insecure(name, asked == rtype::DS);
                proofs.push(
                    zone.covering(match zone.denial {
                        Denial::Nsec3 { .. } => &below,
                        Denial::Nsec | Denial::Unsigned => name,
                    })
                    .clone(),
                );
            }
            next_closer = Some(encloser);
        }
        let groups = zone.groups.iter().filter(|((owner, record_type), _)| {
            *owner == node && (asked == rtype::ANY || *record_type == asked)
        });
        let mut groups: Vec<Group> = groups.map(|(_, group)| group.clone()).collect();
        let mut target = None;
        if groups.is_empty()
            && let Some(group) = zone.groups.get(&(node.clone(), rtype::CNAME))
        {
            target = Name::from_wire(&group[0].rdata);
            groups.push(group.clone());
        }
        let denied = groups.is_empty();
        for record in groups.iter_mut().flatten() {
            record.name = name.as_wire().into();
        }
        reply.answers.extend(groups.into_iter().flatten());
        if denied {
            reply.rcode = if found { 0 } else { 3 };
            reply
                .authority
                .extend(zone.groups[&(zone.name.clone(), rtype::SOA)].clone());
            if zone.denial != Denial::Unsigned {
                self.deny(zone, &node, found, next_closer.as_ref(), &mut proofs, truth);
            }
        }
        proofs.sort_by(|a, b| a[0].name.cmp(&b[0].name));
        proofs.dedup();
        reply.authority.extend(proofs.into_iter().flatten());
        target
    }

    /// Adds what proves that there is nothing at `node`.
    fn deny(
        &self,
        zone: &Zone,
        node: &Name,
        found: bool,
        encloser: Option<&Name>,
        proofs: &mut Vec<Group>,
        truth: &mut Truth,
    ) {
        let nsec3 = matches!(zone.denial, Denial::Nsec3 { .. });
        if nsec3 && let Some(encloser) = encloser {
            proofs.push(zone.matching(encloser).unwrap().clone());
        }
        match zone.matching(node).filter(|_| found) {
            Some(group) => proofs.push(group.clone()),
            None if found && nsec3 => {
                // An unsigned delegation that an opt-out leaves out.
                truth.insecure = true;
                proofs.push(zone.matching(&node.parent().unwrap()).unwrap().clone());
                proofs.push(zone.covering(node).clone());
            }
            None => proofs.push(zone.covering(node).clone()),
        }
    }
}
