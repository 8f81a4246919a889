//! Where do the aliases of a reply lead, and which of its records may be believed? One walk for every reply.
//!
//! A name's records are believed from the scope that the name routes to. Along an alias:
//!
//! | the target routes to | records in the message | when they are missing |
//! |---|---|---|
//! | the same scope | believed | asked there |
//! | another scope, unclaimed | believed: a split horizon | asked where it routes |
//! | another scope, by a claim | dropped | asked where it routes |
//! | a claim that cannot be asked | dropped | refused |
//!
//! Pure; asks nobody. Answers that are not on the way are dropped whatever they say, and so is what comes beside: nobody asked for it.
//! What is left of the authority section is for `trim` to say, once it is known whether somebody judges it.

use config::name::DomainName;
use policy::{Refusal, Route, ScopeId, Target};

use crate::record::{ParsedReply, RawRecord, cname_target, dname_target};
use crate::wire::{Question, rcode, rtype};

/// The most aliases between a question and its answer.
pub(crate) const ALIASES_MAX: usize = 11;
/// A name that a DNAME makes too long (RFC 6672 §2.2).
const YXDOMAIN: u16 = 6;

/// What one reply says about a name, as far as it is believed.
#[derive(Debug, Clone)]
pub(crate) struct Hop {
    pub(crate) rcode: u16,
    pub(crate) answers: Vec<RawRecord>,
    pub(crate) authority: Vec<RawRecord>,
    /// The targets of its aliases, in order.
    pub(crate) aliases: Vec<DomainName>,
    pub(crate) end: End,
}

/// Where a reply's aliases end.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// At an answer, positive, negative or an error.
    Final,
    /// At a name that must be asked for.
    Goto(DomainName),
    /// At a name that may not be asked for.
    Refused(DomainName, Route),
    /// Nowhere: in a circle, or too far.
    Loop,
}

/// Whether a scope's claim decided a route, not somebody's default.
pub(crate) fn is_claimed(route: &Route) -> bool {
    !route.because.suffix.is_root()
}

/// Walks a reply of scope `home` to a question that routes there.
pub(crate) fn follow(
    question: &Question,
    home: &ScopeId,
    mut reply: ParsedReply,
    route: impl Fn(&DomainName) -> Route,
) -> Hop {
    let mut hop = Hop {
        rcode: reply.rcode,
        answers: Vec::new(),
        authority: Vec::new(),
        aliases: Vec::new(),
        end: End::Final,
    };
    let mut name = question.name.clone();
    let mut stays = true;
    loop {
        if take_records(question, &name, &mut reply.answers, &mut hop.answers) {
            // RFC 6604 §3: the code is that of the last name, which is there.
            hop.rcode = rcode::NOERROR;
            hop.authority = reply.authority;
            return hop;
        }
        let target = match take_alias(&name, &reply.answers, &mut hop.answers) {
            Alias::None => return ends(hop, name, stays, reply.authority),
            Alias::TooLong => {
                hop.rcode = YXDOMAIN;
                return hop;
            }
            Alias::To(target) => target,
        };
        if target == question.name
            || hop.aliases.contains(&target)
            || hop.aliases.len() >= ALIASES_MAX
        {
            hop.end = End::Loop;
            return hop;
        }
        hop.aliases.push(target.clone());
        let routed = route(&target);
        let claimed = is_claimed(&routed);
        match &routed.target {
            Target::Ask(scope) if scope == home => stays = true,
            Target::Ask(_) if claimed => return leads_on(hop, target),
            Target::Ask(_) => stays = false,
            Target::Refuse(Refusal::SearchExpansion { .. }) => {
                hop.end = End::Refused(target, routed);
                return hop;
            }
            Target::Refuse(Refusal::ScopeNotReady { .. } | Refusal::NoScope) if claimed => {
                hop.end = End::Refused(target, routed);
                return hop;
            }
            // Nobody else can be asked; what this scope says is all there is.
            Target::Refuse(Refusal::ScopeNotReady { .. } | Refusal::NoScope) => stays = true,
        }
        name = target;
    }
}

/// Judges a walk that ends at a name without records.
fn ends(mut hop: Hop, name: DomainName, stays: bool, authority: Vec<RawRecord>) -> Hop {
    let says_so = match hop.rcode {
        // RFC 2308 §2.2: only SOA tells "no such records" from "no more in this message"; so does a proof.
        rcode::NOERROR => authority.iter().any(|record| match record.record_type {
            rtype::SOA => name.is_in(&record.owner()),
            rtype::NSEC | rtype::NSEC3 => true,
            _ => false,
        }),
        _ => true,
    };
    if !hop.aliases.is_empty() && (!stays || !says_so) {
        return leads_on(hop, name);
    }
    hop.authority = authority;
    hop
}

fn leads_on(mut hop: Hop, target: DomainName) -> Hop {
    hop.rcode = rcode::NOERROR;
    hop.end = End::Goto(target);
    hop
}

/// Takes the records that answer the question at `name`, with their signatures; returns whether there are any.
fn take_records(
    question: &Question,
    name: &DomainName,
    from: &mut Vec<RawRecord>,
    to: &mut Vec<RawRecord>,
) -> bool {
    let asked = question.record_type;
    let answers = |record: &RawRecord| asked == rtype::ANY || record.record_type == asked;
    if !from
        .iter()
        .any(|record| answers(record) && record.is_at(name))
    {
        return false;
    }
    to.extend(
        from.drain(..)
            .filter(|record| record.is_at(name) && (answers(record) || covers(record, asked))),
    );
    true
}

enum Alias {
    None,
    To(DomainName),
    TooLong,
}

/// Takes the alias at `name`; under a DNAME the CNAME is made anew, whatever the upstream says (RFC 6672 §3.1).
fn take_alias(name: &DomainName, from: &[RawRecord], to: &mut Vec<RawRecord>) -> Alias {
    let above = |record: &&RawRecord| {
        record.record_type == rtype::DNAME && !record.is_at(name) && name.is_in(&record.owner())
    };
    if let Some(dname) = from.iter().find(above)
        && let Some(target) = dname_target(dname)
    {
        let owner = dname.owner();
        let signatures = from
            .iter()
            .filter(|record| record.is_at(&owner) && covers(record, rtype::DNAME));
        to.push(dname.clone());
        to.extend(signatures.cloned());
        let renamed = name.strip_suffix(&owner).map(|prefix| prefix.join(&target));
        let Some(Ok(renamed)) = renamed else {
            return Alias::TooLong;
        };
        to.push(RawRecord::alias(name, &renamed, dname.ttl));
        return Alias::To(renamed);
    }
    let cname = |record: &&RawRecord| record.is_at(name) && record.record_type == rtype::CNAME;
    let Some(cname) = from.iter().find(cname) else {
        return Alias::None;
    };
    let Some(target) = cname_target(cname) else {
        return Alias::None;
    };
    to.push(cname.clone());
    let signatures = from
        .iter()
        .filter(|record| record.is_at(name) && covers(record, rtype::CNAME));
    to.extend(signatures.cloned());
    Alias::To(target)
}

/// Whether a record is the signature of another type.
fn covers(record: &RawRecord, record_type: u16) -> bool {
    let covered = record
        .rdata
        .first_chunk::<2>()
        .copied()
        .map(u16::from_be_bytes);
    record.record_type == rtype::RRSIG && covered == Some(record_type)
}

#[cfg(test)]
mod tests;
