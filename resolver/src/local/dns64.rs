//! How does an IPv6-only host reach a name that has IPv4 addresses alone? DNS64 (RFC 6147) in the stub, after validation.
//!
//! ```text
//! AAAA asked ─► answer · does not exist · bogus · decided here ────────────────────────────────► as it is
//!         └─► none of this type, error, silence ─► prefix known? ── none ───────────────────────► as it is
//!                                      │ not yet: held (`discovery`)
//!                                      └─► A asked, the same way ─► addresses ─► made into AAAA, never authentic
//!                                                              └─► none ───────────────────────► as it was
//! ```
//!
//! A client that validates for itself (CD and DO) gets what there is (RFC 6147 §5.5). The denial is judged before anything is
//! made of it; so are the addresses. The prefix is that of the scope in which the chain ends. PTR questions for addresses
//! below a prefix are led to the name in in-addr.arpa, if that is asked for in the same scope.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use config::model::{DnssecMode, Mapping};
use config::name::DomainName;
use config::time::Instant;
use policy::ScopeId;

use super::discovery::Knowledge;
use super::rebinding::is_private4;
use super::rewrite::{Extent, Rewriter};
use crate::Resolver;
use crate::chain::is_claimed;
use crate::event::Step;
use crate::progress::{Chain, Found, Next, Outcome, Query};
use crate::record::{RawRecord, soa_minimum};
use crate::wire::{Question, class, rcode, rtype};

/// TTL of what is made when the denial does not tell one, in seconds (RFC 6147 §5.1.7).
const TTL: u32 = 600;
/// TTL of an alias to a name in in-addr.arpa, in seconds: the prefix may be another one soon.
const ALIAS_TTL: u32 = 60;
/// The prefix that is the same everywhere (RFC 6052 §2.1).
const WELL_KNOWN_PREFIX: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);
/// The most addresses that are made for one answer.
const MAX_MADE: usize = 256;

/// How far a query is on its way to IPv4 addresses.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// It goes its own way.
    #[default]
    Own,
    /// It has this, and waits for the prefix.
    Held(Box<Outcome>),
    /// It asks for A records; it had this.
    Asking {
        denial: Box<Outcome>,
        /// The answers that it had then.
        before: Vec<RawRecord>,
        mappings: Vec<Mapping>,
    },
}

/// What becomes of an outcome.
pub(crate) enum Translation {
    /// It is this.
    Done(Outcome),
    /// The query goes on.
    Again,
    /// The query waits.
    Held,
}

impl Progress {
    /// Returns what is asked for instead of a type.
    pub(crate) fn asked(&self, record_type: u16) -> u16 {
        match self.state {
            State::Own | State::Held(_) => record_type,
            State::Asking { .. } => rtype::A,
        }
    }
}

/// Whether a question is the one by which the prefix is learned: what is said of it is made by somebody, and not validated
/// (RFC 7050 §3, RFC 8880 §7.1).
pub(crate) fn is_ipv4only(question: &Question) -> bool {
    question.record_type == rtype::AAAA && question.name.as_wire() == b"\x08ipv4only\x04arpa\0"
}

impl Resolver {
    /// Looks whether there is more to be done for a question that is decided.
    pub(crate) fn translate(
        &mut self,
        query: &mut Query,
        outcome: Outcome,
        now: Instant,
    ) -> Translation {
        match std::mem::take(&mut query.local.state) {
            State::Own | State::Held(_) => self.begin(query, outcome, now),
            State::Asking {
                denial,
                before,
                mappings,
            } => {
                let had = (*denial, before);
                Translation::Done(self.end(query, had, &mappings, outcome))
            }
        }
    }

    /// Goes on with a query that waited for the prefix.
    pub(super) fn translate_again(&mut self, id: u64, now: Instant) {
        let Some(mut query) = self.queries.remove(id) else {
            return;
        };
        match std::mem::take(&mut query.local.state) {
            State::Held(outcome) => self.settle(query, *outcome, now),
            other @ (State::Own | State::Asking { .. }) => {
                query.local.state = other;
                self.queries.insert(id, query);
            }
        }
    }

    fn begin(&mut self, query: &mut Query, mut outcome: Outcome, now: Instant) -> Translation {
        let scope = query.chain.visits.last().map(|visit| visit.scope.clone());
        let Some(scope) = scope.filter(|_| may_make(query)) else {
            return Translation::Done(outcome);
        };
        if !self.lacks(query, &outcome, &scope, now) && !has_mapped(query) {
            return Translation::Done(outcome);
        }
        let mappings = match self.mappings(&scope, now) {
            Knowledge::Mappings(mappings) => mappings,
            // While the prefix is asked for, its own question is answered by whoever is asked.
            Knowledge::Unknown if is_ipv4only(&query.question()) => Vec::new(),
            Knowledge::Unknown => {
                query.local.state = State::Held(Box::new(outcome));
                self.learn_prefix(&scope, Some(query.id), now);
                return Translation::Held;
            }
        };
        if mappings.is_empty() {
            return Translation::Done(outcome);
        }
        if has_mapped(query) {
            // RFC 6147 §5.1.4: addresses of ::ffff:0:0/96 are as good as none.
            query.chain.answers.retain(|record| !is_mapped(record));
            if let Outcome::Found(found) = &mut outcome {
                found.template = None;
            }
            if query
                .chain
                .answers
                .iter()
                .any(|record| record.record_type == rtype::AAAA)
            {
                query.chain.authentic = false;
                return Translation::Done(outcome);
            }
        }
        let anew = Chain::new(query.chain.start.clone());
        let chain = std::mem::replace(&mut query.chain, anew);
        query.chain.visits = chain.visits;
        // A list that has led it elsewhere does so again, or it would end at what the list keeps it from.
        query.chain.unlisted = chain.unlisted && chain.forged.is_none();
        query.chain.forged = chain.forged;
        query.local.state = State::Asking {
            denial: Box::new(outcome),
            before: chain.answers,
            mappings,
        };
        Translation::Again
    }

    /// Whether there is no address, and A may be asked for.
    fn lacks(&self, query: &Query, outcome: &Outcome, scope: &ScopeId, now: Instant) -> bool {
        let is_address = |record: &RawRecord| record.record_type == rtype::AAAA;
        match outcome {
            Outcome::Found(found) if found.rcode == rcode::NOERROR => {
                !query.chain.answers.iter().any(is_address)
            }
            // RFC 6147 §5.1.2: NXDOMAIN is as it is, any other error is as good as none of this type. Where answers are
            // validated an error is a forgery that was found, or tells nothing that could be validated.
            Outcome::Found(found) => {
                found.rcode != rcode::NXDOMAIN && !self.validates(&query.chain.name, scope, now)
            }
            // RFC 6147 §5.1.3: silence is an error like any other. What of either is told again comes as found.
            Outcome::Refused(refused) => {
                refused.is_upstreams() && !self.validates(&query.chain.name, scope, now)
            }
        }
    }

    fn validates(&self, name: &DomainName, scope: &ScopeId, now: Instant) -> bool {
        let scope = self.scopes.get(scope);
        scope.is_some_and(|scope| scope.plan.dnssec != DnssecMode::Off)
            && self.is_within_trust(name, now)
    }

    /// Makes of what A was answered with what AAAA is.
    fn end(
        &mut self,
        query: &mut Query,
        (denial, before): (Outcome, Vec<RawRecord>),
        mappings: &[Mapping],
        outcome: Outcome,
    ) -> Outcome {
        query.chain.authentic = false;
        let found = match outcome {
            Outcome::Found(found) => found,
            // Whether there is an address is not known: that is no denial.
            Outcome::Refused(refused) => return Outcome::Refused(refused),
        };
        if query.chain.decided {
            query.chain.answers.retain(|record| !is_a(record));
            let is_denied =
                matches!(&denial, Outcome::Found(found) if found.rcode == rcode::NOERROR);
            if query.chain.answers.is_empty() && is_denied {
                // What says so is said, with how long that holds.
                query.chain.answers = before;
                return denial;
            }
            return Outcome::Found(Found {
                template: None,
                ..found
            });
        }
        let ttl = denied_for(&denial);
        let made = make(query, mappings, ttl);
        if made.is_empty() || found.rcode != rcode::NOERROR {
            // A name that is gone by now is gone; one without addresses is what it was, but for an error: the answer for A says more
            // (RFC 6147 §5.1.6).
            let had_none = matches!(&denial, Outcome::Found(had) if had.rcode == rcode::NOERROR);
            if found.rcode == rcode::NOERROR && had_none {
                query.chain.answers = before;
                return denial;
            }
            query.chain.answers.retain(|record| !is_a(record));
            return Outcome::Found(Found {
                template: None,
                ..found
            });
        }
        query
            .chain
            .answers
            .retain(|record| !is_a(record) && !signs_a(record));
        query.chain.answers.extend(made);
        self.counters.translated += 1;
        let texts: Vec<String> = mappings.iter().map(Mapping::to_string).collect();
        query
            .steps
            .push(Step::Local("dns64", texts.join(" ").into()));
        Outcome::Found(Found {
            rcode: rcode::NOERROR,
            ..Found::default()
        })
    }

    /// Leads a question for the name of an address below a prefix to the name of the address in it (RFC 6147 §5.3.1).
    pub(crate) fn map_back(
        &mut self,
        query: &mut Query,
        question: &Question,
        scope: &ScopeId,
        now: Instant,
    ) -> Option<Next> {
        if query.stub.is_bypass() || question.record_type != rtype::PTR {
            return None;
        }
        let address = reversed(&question.name)?;
        let mappings = match self.mappings(scope, now) {
            Knowledge::Mappings(mappings) => mappings,
            // The next one for it knows.
            Knowledge::Unknown => {
                self.learn_prefix(scope, None, now);
                return None;
            }
        };
        let embedded = mappings
            .iter()
            .find_map(|mapping| mapping.extract(address))?;
        let target = DomainName::reverse_of(embedded.into());
        let route = self.plan.domains.route(&target);
        // An address behind this network's translator is none of another's, whatever its own network calls it.
        if is_claimed(&route) && route.target.scope() != Some(scope) {
            return None;
        }
        query
            .steps
            .push(Step::Local("dns64", target.to_string().into()));
        let made = super::Made {
            rcode: rcode::NOERROR,
            answers: vec![RawRecord::alias(&question.name, &target, ALIAS_TTL)],
            alias: Some(target),
            extended_error: None,
        };
        Some(made.answer(query, question))
    }
}

/// Whether addresses may be made for a query, if it has none.
fn may_make(query: &Query) -> bool {
    let question = &query.parsed.question;
    // RFC 6147 §5.5: whoever checks for itself gets what there is to check.
    let extent = Rewriter::Translation.extent(query.audience());
    extent != Extent::Nothing
        && question.record_type == rtype::AAAA
        && question.class == class::IN
        && !query.chain.decided
}

/// Makes addresses of those that a query has.
fn make(query: &Query, mappings: &[Mapping], ttl: u32) -> Vec<RawRecord> {
    let answers = query.chain.answers.iter();
    let made = answers.filter(|record| is_a(record)).flat_map(|record| {
        let made = mappings.iter();
        made.filter_map(move |mapping| embed(record, *mapping, ttl))
    });
    made.take(MAX_MADE).collect()
}

fn is_a(record: &RawRecord) -> bool {
    record.record_type == rtype::A
}

fn has_mapped(query: &Query) -> bool {
    query.chain.answers.iter().any(is_mapped)
}

fn is_mapped(record: &RawRecord) -> bool {
    const PREFIX: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
    record.record_type == rtype::AAAA && record.rdata.starts_with(&PREFIX)
}

fn signs_a(record: &RawRecord) -> bool {
    record.record_type == rtype::RRSIG && record.rdata.starts_with(&rtype::A.to_be_bytes())
}

/// How long the denial may be kept, in seconds (RFC 6147 §5.1.7).
fn denied_for(denial: &Outcome) -> u32 {
    let authority = match denial {
        Outcome::Found(found) => found.authority.as_slice(),
        Outcome::Refused(_) => &[],
    };
    let told = authority
        .iter()
        .filter_map(|record| Some(soa_minimum(record)?.min(record.ttl)));
    told.min().unwrap_or(TTL)
}

fn embed(record: &RawRecord, mapping: Mapping, ttl: u32) -> Option<RawRecord> {
    let octets: [u8; 4] = record.rdata.as_slice().try_into().ok()?;
    let address = Ipv4Addr::from(octets);
    // RFC 6052 §3.1: by the well-known prefix nobody translates to a private network.
    let is_well_known = mapping.embed(Ipv4Addr::UNSPECIFIED) == WELL_KNOWN_PREFIX;
    if is_well_known && is_private4(address) {
        return None;
    }
    let made = IpAddr::V6(mapping.embed(address));
    Some(RawRecord::address(
        &record.owner(),
        made,
        record.ttl.min(ttl),
    ))
}

/// Reads a name in ip6.arpa as the address that it is for.
fn reversed(name: &DomainName) -> Option<Ipv6Addr> {
    const NIBBLES: usize = 32;
    let mut labels = name.labels();
    let mut bits = 0u128;
    for at in 0..NIBBLES {
        let [digit] = labels.next()? else {
            return None;
        };
        let value = char::from(*digit).to_digit(16)?;
        bits |= u128::from(value) << (4 * at);
    }
    let rest: Vec<&[u8]> = labels.collect();
    (rest == [b"ip6".as_slice(), b"arpa"]).then(|| Ipv6Addr::from_bits(bits))
}
