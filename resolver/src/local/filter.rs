//! What do the lists do to a name? The first list that knows it decides; exceptions and scopes of lists count.
//!
//! A name is looked up when it comes to be routed, and so is every target of an alias, those within one reply included: a
//! tracker is not let in under a name of the page's own. After a list has rewritten a name or let it pass, no list is asked
//! for the rest of its chain.

use std::net::IpAddr;

use config::name::DomainName;
use policy::{DnsPlan, Owner, Route};

use super::list::{Action, Datum, Hit};
use super::names::Key;
use super::rewrite::Rewritten;
use super::{Listed, Local, Made};
use crate::Resolver;
use crate::chain::{End, Hop, is_claimed};
use crate::event::{ExtendedError, Step};
use crate::progress::{Delivery, Found, Next, Outcome, Query};
use crate::record::{RawRecord, cname_target};
use crate::wire::{Question, class, rcode, rtype};

/// What stands for names that nobody claims in the scopes of a list.
const DEFAULT: &str = "default";
/// Forged Answer (RFC 8914 §4.5): somebody else's address or name in place of what was asked for. Other response codes have the
/// list's own.
const FORGED: u16 = 4;
/// TTL of unspecified addresses, in seconds; short, so that a change shows soon.
const ZERO_TTL: u32 = 10;

impl Listed {
    /// Whether it holds for a name that goes there.
    fn holds(&self, name: &DomainName, route: &Route, plan: &DnsPlan) -> bool {
        let scopes = &self.config.scopes;
        let here = |scope: &String| {
            if scope == DEFAULT {
                return !is_claimed(route);
            }
            let planned = route.target.scope().and_then(|id| plan.scopes.get(id));
            matches!(planned.map(|planned| &planned.owner), Some(Owner::Profile(id)) if *id.0 == **scope)
        };
        (scopes.is_empty() || scopes.iter().any(here))
            && !self
                .config
                .exceptions
                .iter()
                .any(|exception| name.is_in(exception))
    }
}

impl Local {
    /// Returns the list that decides about a name, and what it says.
    fn listed(
        &self,
        name: &DomainName,
        route: &Route,
        plan: &DnsPlan,
    ) -> Option<(&Listed, Hit<'_>)> {
        if self.lists.is_empty() {
            return None;
        }
        let key = Key::new(name.as_wire())?;
        self.lists.iter().find_map(|listed| {
            let hit = listed.list.find(&key)?;
            listed.holds(name, route, plan).then_some((listed, hit))
        })
    }

    /// Says what becomes of a name, in a word and by which rule of which list.
    pub(super) fn explain(
        &self,
        name: &DomainName,
        route: &Route,
        plan: &DnsPlan,
    ) -> Option<(&'static str, String)> {
        let (listed, hit) = self.listed(name, route, plan)?;
        let kind = match *hit.action == Action::ByStream {
            true => "by-stream",
            false => "list",
        };
        let done = match hit.action {
            Action::Nxdomain => "says that it does not exist",
            Action::Nodata => "says that it has no records",
            Action::Refuse => "refuses it",
            Action::ZeroAddress => "gives it the unspecified address",
            Action::Pass => return None,
            Action::ByStream => "has it answered by TCP alone",
            Action::Data(_) => "rewrites it",
        };
        let rule = hit.rule(name);
        let text = format!("list {} {done}, by its rule {rule}", listed.config.name);
        Some((kind, text))
    }
}

impl Hit<'_> {
    /// Writes the rule as a file of names would.
    fn rule(&self, name: &DomainName) -> String {
        let wire = name.suffixes().nth(self.labels_above);
        let at = wire.and_then(|wire| DomainName::from_wire(wire).ok());
        let at = at.unwrap_or_else(DomainName::root);
        match self.exact {
            true => at.to_string(),
            false => format!("*.{at}"),
        }
    }
}

impl Resolver {
    /// Does what the lists say about a name; `None` when they say nothing, or let it pass.
    pub(crate) fn answer_listed(
        &mut self,
        query: &mut Query,
        question: &Question,
        route: &Route,
    ) -> Option<Next> {
        if query.stub.is_bypass()
            || query.chain.unlisted
            || !matches!(question.class, class::IN | class::ANY)
        {
            return None;
        }
        let (listed, hit) = self.local.listed(&question.name, route, &self.plan)?;
        let list = listed.config.name.clone();
        let rule = hit.rule(&question.name);
        let error = told(listed.config.error.code(), &list, &rule);
        let by_stream = *hit.action == Action::ByStream;
        let made = made(hit.action, question, error);
        if by_stream {
            query.delivery = Delivery::by_stream(query.channel);
        }
        query
            .steps
            .push(Step::Local("list", format!("{list}: {rule}").into()));
        // Once, when what it was led to is asked for IPv4 addresses too.
        let counts = u64::from(query.chain.forged.is_none());
        *self.local.hits_by_list.entry(list).or_default() += counts;
        if by_stream && query.delivery == Delivery::ComeBack {
            self.counters.listed += 1;
            query.chain.decided = true;
            query.chain.authentic = false;
            // Nothing that may be taken for a denial.
            let found = Found {
                authoritative: query.chain.visits.is_empty(),
                ..Found::default()
            };
            return Some(Next::Done(Outcome::Found(found)));
        }
        let Some(made) = made else {
            query.chain.unlisted = true;
            return None;
        };
        self.counters.listed += counts;
        query.chain.unlisted |= made.alias.is_some();
        Some(made.answer(query, question))
    }

    /// Cuts a reply before the first target of its aliases that a list knows, so that the target is looked at by itself.
    pub(super) fn cut_at_listed(&self, query: &Query, hop: &Hop) -> Rewritten {
        if self.local.lists.is_empty() || query.chain.unlisted {
            return Rewritten::Not;
        }
        self.cut(hop).map_or(Rewritten::Not, Rewritten::Hop)
    }

    fn cut(&self, hop: &Hop) -> Option<Hop> {
        let target = hop.aliases.iter().find(|alias| {
            let route = self.plan.domains.route(alias);
            let listed = self.local.listed(alias, &route, &self.plan);
            listed.is_some_and(|(_, hit)| *hit.action != Action::Pass)
        })?;
        let leads = |record: &RawRecord| cname_target(record).is_some_and(|to| to == *target);
        let last = hop.answers.iter().position(leads)?;
        let count = hop.aliases.iter().position(|alias| alias == target)? + 1;
        Some(Hop {
            rcode: rcode::NOERROR,
            answers: hop.answers.get(..=last)?.to_vec(),
            authority: Vec::new(),
            aliases: hop.aliases.get(..count)?.to_vec(),
            end: End::Goto(target.clone()),
        })
    }
}

/// Says of the end that a list's alias led to what the list says of it.
pub(crate) fn told_at_end(error: &ExtendedError, rcode: u16) -> ExtendedError {
    let code = match rcode {
        rcode::NOERROR => FORGED,
        _ => error.code,
    };
    ExtendedError {
        code,
        text: error.text.clone(),
    }
}

fn told(code: u16, list: &str, rule: &str) -> ExtendedError {
    ExtendedError {
        code,
        text: format!("list {list} has {rule}"),
    }
}

/// Makes the answer that an action asks for; `None` lets the question pass.
fn made(action: &Action, question: &Question, error: ExtendedError) -> Option<Made> {
    let blocked = error.code;
    let made = |code, rcode, answers, alias| Made {
        rcode,
        answers,
        alias,
        extended_error: Some(ExtendedError { code, ..error }),
    };
    Some(match action {
        Action::Pass | Action::ByStream => return None,
        Action::Nxdomain => made(blocked, rcode::NXDOMAIN, Vec::new(), None),
        Action::Nodata => made(blocked, rcode::NOERROR, Vec::new(), None),
        Action::Refuse => made(blocked, rcode::REFUSED, Vec::new(), None),
        Action::ZeroAddress => {
            let zeros = [
                std::net::Ipv4Addr::UNSPECIFIED.into(),
                std::net::Ipv6Addr::UNSPECIFIED.into(),
            ];
            let answers = zeros
                .iter()
                .map(|zero| RawRecord::address(&question.name, *zero, ZERO_TTL))
                .filter(|record| is_wanted(question, record.record_type));
            made(blocked, rcode::NOERROR, answers.collect(), None)
        }
        Action::Data(data) => {
            let wanted: Vec<RawRecord> = data
                .iter()
                .filter(|datum| is_wanted(question, datum.record_type) && !datum.below)
                .map(|datum| datum.record(question))
                .collect();
            if !wanted.is_empty() {
                let code = match wanted.iter().all(is_nobodys) {
                    true => blocked,
                    false => FORGED,
                };
                return Some(made(code, rcode::NOERROR, wanted, None));
            }
            let is_alias = |datum: &&Datum| datum.record_type == rtype::CNAME;
            let Some(alias) = data.iter().find(is_alias) else {
                return Some(made(blocked, rcode::NOERROR, Vec::new(), None));
            };
            match alias.target(question) {
                Some(target) => {
                    let record = RawRecord::alias(&question.name, &target, alias.ttl);
                    let wants_alias = is_wanted(question, rtype::CNAME);
                    let leads_on = Some(target).filter(|_| !wants_alias);
                    // What it is worth is known at the end.
                    let code = match leads_on.is_some() {
                        true => blocked,
                        false => FORGED,
                    };
                    made(code, rcode::NOERROR, vec![record], leads_on)
                }
                // The name that it would lead to is too long.
                None => made(blocked, rcode::NXDOMAIN, Vec::new(), None),
            }
        }
    })
}

impl Datum {
    fn record(&self, question: &Question) -> RawRecord {
        RawRecord::new(
            &question.name,
            self.record_type,
            self.ttl,
            self.data.clone(),
        )
    }

    fn target(&self, question: &Question) -> Option<DomainName> {
        let target = DomainName::from_wire(&self.data).ok()?;
        match self.below {
            true => question.name.join(&target).ok(),
            false => Some(target),
        }
    }
}

/// Whether a record is an address at which nobody is: policies block with these too.
fn is_nobodys(record: &RawRecord) -> bool {
    let address: Option<IpAddr> = match record.record_type {
        rtype::A => record
            .rdata
            .first_chunk::<4>()
            .map(|octets| (*octets).into()),
        rtype::AAAA => record
            .rdata
            .first_chunk::<16>()
            .map(|octets| (*octets).into()),
        _ => None,
    };
    address.is_some_and(|address| address.is_unspecified() || address.is_loopback())
}

fn is_wanted(question: &Question, record_type: u16) -> bool {
    question.record_type == record_type || question.record_type == rtype::ANY
}
