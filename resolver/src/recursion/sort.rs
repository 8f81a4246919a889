//! What does an authoritative server's reply mean, and which of its records may be believed?
//!
//! A server is believed about the zone it was asked for and what is below, and about nothing else: records outside are
//! dropped before they are looked at (Kashpureff). A referral must lead down. Asks nobody and remembers nothing.

use std::net::IpAddr;

use config::name::DomainName;

use super::address::Addresses;
use super::delegations::{Delegation, NameServer, covers, is_of};
use super::roots::address_of;
use crate::record::{ParsedReply, RawRecord, cname_target, dname_target};
use crate::wire::{Question, class, rcode, rtype};

/// The most aliases that are followed for one question.
pub(crate) const ALIASES_MAX: usize = 11;
/// The most name servers that are taken over from a referral.
const SERVERS_MAX: usize = 16;
/// The most addresses of each that are.
const ADDRESSES_MAX: usize = 6;
/// A name that a DNAME makes too long (RFC 6672 §2.2).
const YXDOMAIN: u16 = 6;
/// The server is not authoritative (RFC 2136 §2.2).
const NOTAUTH: u16 = 9;
/// Denial of existence (RFC 4034 §4).
pub(crate) const NSEC: u16 = 47;
/// Hashed denial of existence (RFC 5155 §3).
pub(crate) const NSEC3: u16 = 50;

/// A part of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Piece {
    pub(crate) rcode: u16,
    pub(crate) answers: Vec<RawRecord>,
    pub(crate) authority: Vec<RawRecord>,
    /// The targets of its aliases, in order.
    pub(crate) aliases: Vec<DomainName>,
}

/// What a reply is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sorted {
    /// An answer, positive or negative.
    Answer(Piece),
    /// Aliases whose last target must be asked for.
    Alias(Piece),
    /// A zone further down, and its servers.
    Referral(Delegation),
    /// The server does not serve the zone.
    Lame(&'static str),
    /// The server has a problem; its code.
    Broken(u16),
}

/// Sorts the reply of a server that was asked as one of `zone`.
pub(crate) fn sort(
    asked: &Question,
    zone: &DomainName,
    addresses: Addresses,
    reply: &ParsedReply,
) -> Sorted {
    match reply.rcode {
        rcode::NOERROR | rcode::NXDOMAIN | YXDOMAIN => {}
        rcode::REFUSED | NOTAUTH => return Sorted::Lame("it refuses"),
        other => return Sorted::Broken(other),
    }
    let recurses = !reply.authoritative && reply.recursion_available;
    let answers: Vec<&RawRecord> = within(&reply.answers, zone).collect();
    let mut piece = Piece {
        rcode: reply.rcode,
        ..Piece::default()
    };
    let mut name = asked.name.clone();
    loop {
        if take_records(asked, &name, &answers, &mut piece.answers) {
            if recurses {
                return Sorted::Lame("it answers from a cache");
            }
            // RFC 6604 §3: the code is that of the last name, which is there.
            piece.rcode = rcode::NOERROR;
            piece.authority = proofs(reply, zone, None);
            return Sorted::Answer(piece);
        }
        let target = match take_alias(&name, &answers, &mut piece.answers) {
            Alias::None => break,
            Alias::TooLong => {
                piece.rcode = YXDOMAIN;
                return Sorted::Answer(piece);
            }
            Alias::To(target) => target,
        };
        let circle = target == asked.name || piece.aliases.contains(&target);
        piece.aliases.push(target.clone());
        if recurses {
            return Sorted::Lame("it answers from a cache");
        }
        if circle || !target.is_in(zone) || piece.aliases.len() > ALIASES_MAX {
            return leads_on(piece, reply, zone);
        }
        name = target;
    }
    let soa = within(&reply.authority, zone)
        .find(|record| record.record_type == rtype::SOA && name.is_in(&record.owner()));
    if !piece.aliases.is_empty() {
        // RFC 2308 §2.2: only SOA tells "no such records" from "no more in this message".
        if soa.is_none() {
            return leads_on(piece, reply, zone);
        }
    } else if soa.is_none() {
        if reply.rcode == rcode::NOERROR
            && let Some(referral) = referral(asked, zone, addresses, reply)
        {
            return below(asked, piece, referral);
        }
        let elsewhere = reply
            .authority
            .iter()
            .any(|record| matches!(record.record_type, rtype::NS | rtype::SOA));
        if elsewhere && !(reply.authoritative && within(&reply.authority, zone).next().is_some()) {
            return Sorted::Lame("it refers up or sideways");
        }
        if !reply.authoritative {
            return Sorted::Lame("it neither answers nor refers");
        }
    } else if recurses {
        return Sorted::Lame("it answers from a cache");
    }
    piece.authority = proofs(reply, zone, soa);
    Sorted::Answer(piece)
}

fn leads_on(mut piece: Piece, reply: &ParsedReply, zone: &DomainName) -> Sorted {
    piece.rcode = rcode::NOERROR;
    piece.authority = proofs(reply, zone, None);
    Sorted::Alias(piece)
}

/// A referral to the very zone whose DS is asked for is the parent's answer: DS is its data (RFC 4035 §3.1.4.1).
fn below(asked: &Question, mut piece: Piece, referral: Delegation) -> Sorted {
    if asked.record_type != rtype::DS || referral.zone != asked.name {
        return Sorted::Referral(referral);
    }
    let (signer, proof) = referral
        .proof
        .into_iter()
        .partition(|record| is_of(record, rtype::DS));
    piece.answers = signer;
    piece.authority = proof;
    Sorted::Answer(piece)
}

fn within<'a>(
    records: &'a [RawRecord],
    zone: &'a DomainName,
) -> impl Iterator<Item = &'a RawRecord> {
    records
        .iter()
        .filter(|record| record.class == class::IN && record.owner().is_in(zone))
}

/// Reads a referral: NS of a zone below the one asked, that the name asked for is in.
fn referral(
    asked: &Question,
    zone: &DomainName,
    addresses: Addresses,
    reply: &ParsedReply,
) -> Option<Delegation> {
    let leads_down = |record: &&RawRecord| {
        let cut = record.owner();
        record.record_type == rtype::NS && cut != *zone && asked.name.is_in(&cut)
    };
    let cut = within(&reply.authority, zone).find(leads_down)?.owner();
    let mut servers: Vec<NameServer> = Vec::new();
    let mut ttl = u32::MAX;
    for record in &reply.authority {
        if record.record_type != rtype::NS || !record.is_at(&cut) || record.class != class::IN {
            continue;
        }
        let Ok(name) = DomainName::from_wire(&record.rdata) else {
            continue;
        };
        let known = servers.iter().any(|server| server.name == name);
        if known || name.is_root() || servers.len() >= SERVERS_MAX {
            continue;
        }
        ttl = ttl.min(record.ttl);
        let addresses = glue(&name, zone, addresses, reply);
        servers.push(NameServer { name, addresses });
    }
    let proof = within(&reply.authority, zone)
        .filter(|record| is_proof(record) || (record.is_at(&cut) && is_of(record, rtype::DS)))
        .cloned()
        .collect();
    Some(Delegation {
        zone: cut,
        servers,
        proof,
        ttl,
    })
}

/// Addresses that come with a referral count only when the referring zone may speak for the server's name.
fn glue(
    name: &DomainName,
    zone: &DomainName,
    addresses: Addresses,
    reply: &ParsedReply,
) -> Vec<IpAddr> {
    if !name.is_in(zone) {
        return Vec::new();
    }
    reply
        .additional
        .iter()
        .filter(|record| record.class == class::IN && record.is_at(name))
        .filter_map(address_of)
        .filter(|&address| addresses.permits(address))
        .take(ADDRESSES_MAX)
        .collect()
}

/// Takes SOA of a negative answer, and what proves a denial or a wildcard.
fn proofs(reply: &ParsedReply, zone: &DomainName, soa: Option<&RawRecord>) -> Vec<RawRecord> {
    let of_soa = |record: &RawRecord| {
        soa.is_some_and(|soa| record.name == soa.name && is_of(record, rtype::SOA))
    };
    within(&reply.authority, zone)
        .filter(|record| is_proof(record) || of_soa(record))
        .cloned()
        .collect()
}

fn is_proof(record: &RawRecord) -> bool {
    is_of(record, NSEC) || is_of(record, NSEC3)
}

/// Takes the records that answer the question at `name`, with their signatures; returns whether there are any.
fn take_records(
    asked: &Question,
    name: &DomainName,
    from: &[&RawRecord],
    to: &mut Vec<RawRecord>,
) -> bool {
    let wanted = asked.record_type;
    let answers = |record: &RawRecord| wanted == rtype::ANY || record.record_type == wanted;
    let here = || from.iter().filter(|record| record.is_at(name));
    if !here().any(|record| answers(record)) {
        return false;
    }
    to.extend(
        here()
            .filter(|record| answers(record) || covers(record, wanted))
            .map(|&record| record.clone()),
    );
    true
}

enum Alias {
    None,
    To(DomainName),
    TooLong,
}

/// Takes the alias at `name`; under a DNAME the CNAME is made anew, whatever the server says (RFC 6672 §3.1).
fn take_alias(name: &DomainName, from: &[&RawRecord], to: &mut Vec<RawRecord>) -> Alias {
    let above = |record: &&&RawRecord| {
        record.record_type == rtype::DNAME && !record.is_at(name) && name.is_in(&record.owner())
    };
    if let Some(dname) = from.iter().find(above)
        && let Some(target) = dname_target(dname)
    {
        let owner = dname.owner();
        let whole = from
            .iter()
            .filter(|record| record.is_at(&owner) && is_of(record, rtype::DNAME));
        to.extend(whole.map(|&record| record.clone()));
        let Some(Ok(renamed)) = name.strip_suffix(&owner).map(|left| left.join(&target)) else {
            return Alias::TooLong;
        };
        to.push(RawRecord::alias(name, &renamed, dname.ttl));
        return Alias::To(renamed);
    }
    let cname = from
        .iter()
        .find(|record| record.is_at(name) && record.record_type == rtype::CNAME);
    let Some(target) = cname.and_then(|cname| cname_target(cname)) else {
        return Alias::None;
    };
    let whole = from
        .iter()
        .filter(|record| record.is_at(name) && is_of(record, rtype::CNAME));
    to.extend(whole.map(|&record| record.clone()));
    Alias::To(target)
}
