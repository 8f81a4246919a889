//! How far is a client's question? The aliases followed, the scopes visited, the completions left, and what came of it.
//!
//! Taking a reply in, and judging whether it is the end, is here; where a name goes next is `query`'s.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use config::name::DomainName;
use config::time::Instant;
use policy::{Route, ScopeId};

use crate::cache::Pass;
use crate::chain::{ALIASES_MAX, End, Hop};
use crate::event::{Below, Channel, ClientId, ExtendedError, Step, Stub};
use crate::guest::is_withheld;
use crate::record::RawRecord;
use crate::refusal::Refused;
use crate::search;
use crate::template::Template;
use crate::wire::{ParsedQuery, Question, rcode, rtype};

/// A client's question on its way.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) id: u64,
    pub(crate) client: ClientId,
    pub(crate) stub: Stub,
    pub(crate) channel: Channel,
    pub(crate) origin: Option<IpAddr>,
    /// The tunnel for whose sake it is asked.
    pub(crate) below: Option<Below>,
    pub(crate) parsed: ParsedQuery,
    pub(crate) asked_at: Instant,
    /// What it leaves to those that ask the same: of what was in force when it came, as lists and records were asked then.
    pub(crate) pass: Pass,
    pub(crate) steps: Vec<Step>,
    pub(crate) chain: Chain,
    pub(crate) searching: Option<Searching>,
    pub(crate) lookup: Option<u64>,
    pub(crate) local: crate::local::Progress,
    /// Whether it is a mark of ours, come back.
    pub(crate) is_mark: bool,
    pub(crate) delivery: Delivery,
}

/// How an answer gets to its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Delivery {
    /// As its client asked, and straight from the cache the next time.
    #[default]
    Usual,
    /// By the stream on which it was asked for: a list wants it so. The next may come by datagram, and does not get it from the cache.
    Stream,
    /// Not yet: its client is told to come back by stream, and hears there what there is.
    ComeBack,
}

impl Delivery {
    /// Decides for an answer that goes by stream alone.
    pub(crate) const fn by_stream(channel: Channel) -> Self {
        match channel {
            Channel::Udp => Self::ComeBack,
            Channel::Tcp => Self::Stream,
        }
    }
}

/// How far the aliases of a name have been followed.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) start: DomainName,
    /// The name to ask for.
    pub(crate) name: DomainName,
    pub(crate) visits: Vec<Visit>,
    pub(crate) answers: Vec<RawRecord>,
    pub(crate) aliases: Vec<DomainName>,
    /// Whether every reply on the way was judged Secure.
    pub(crate) authentic: bool,
    /// Whether no list is asked for the rest of it.
    pub(crate) unlisted: bool,
    /// What a list says of it that has put somebody else's name in place of one of its own.
    pub(crate) forged: Option<ExtendedError>,
    /// Whether its end was decided on this machine, so that nothing is made of it.
    pub(crate) decided: bool,
}

/// A name that was asked for in a scope, or found in its cache.
#[derive(Debug, Clone)]
pub(crate) struct Visit {
    pub(crate) name: DomainName,
    pub(crate) scope: ScopeId,
    pub(crate) incarnation: u64,
}

/// Which completions of a single label are left, and what the others came to.
#[derive(Debug)]
pub(crate) struct Searching {
    pub(crate) rest: VecDeque<DomainName>,
    pub(crate) tried: Vec<DomainName>,
    pub(crate) failed: Option<Refused>,
    pub(crate) exists: bool,
}

/// The answer to a query, as far as it is decided.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The chain's records, with this.
    Found(Found),
    /// An error.
    Refused(Refused),
}

/// The end of a chain.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) rcode: u16,
    pub(crate) authority: Vec<RawRecord>,
    pub(crate) extended_error: Option<ExtendedError>,
    /// The same answer, encoded, with its age in seconds; of use when the chain is one hop.
    pub(crate) template: Option<(Arc<Template>, u32)>,
    pub(crate) authoritative: bool,
}

/// What comes next for a query.
pub(crate) enum Next {
    /// Go on with the chain's name.
    Advance,
    /// It is decided.
    Done(Outcome),
}

impl Query {
    /// Returns what is to be asked now.
    pub(crate) fn question(&self) -> Question {
        Question {
            name: self.chain.name.clone(),
            record_type: self.local.asked(self.parsed.question.record_type),
            class: self.parsed.question.class,
        }
    }

    /// Routes a name as this question goes.
    pub(crate) fn route(&self, name: &DomainName, plan: &policy::DnsPlan) -> Route {
        match &self.below {
            Some(below) => plan.domains.route_below(name, &below.link),
            None => plan.domains.route(name),
        }
    }

    /// Takes what one reply says into the chain; `found` is completed from it.
    pub(crate) fn take(&mut self, hop: &Hop, found: Found, plan: &policy::DnsPlan) -> Next {
        let is_whole = matches!(hop.end, End::Final)
            && self.searching.is_none()
            && self.chain.answers.is_empty()
            && self.chain.visits.len() == 1
            && hop.aliases.is_empty()
            // DNS64 looks at what there is.
            && self.parsed.question.record_type != rtype::AAAA
            && found.template.is_some();
        if is_whole {
            // The template has all that is to be said.
            return Next::Done(Outcome::Found(Found {
                rcode: hop.rcode,
                ..found
            }));
        }
        self.chain.answers.extend_from_slice(&hop.answers);
        self.chain.authentic &= found
            .template
            .as_ref()
            .is_some_and(|(template, _)| template.is_authentic());
        for alias in &hop.aliases {
            self.steps.push(Step::Alias(alias.clone()));
            if self.stub.is_guest() {
                let route = plan.domains.route(alias);
                if is_withheld(self.stub, &route, plan) {
                    return Next::Done(self.withhold(alias.clone(), &route));
                }
            }
            let known = *alias == self.chain.start || self.chain.aliases.contains(alias);
            if known || self.chain.aliases.len() >= ALIASES_MAX {
                return Next::Done(Outcome::Refused(Refused::alias_loop(&self.chain.start)));
            }
            self.chain.aliases.push(alias.clone());
        }
        match &hop.end {
            End::Goto(target) => {
                self.chain.name = target.clone();
                Next::Advance
            }
            // The reply was read for everybody: for this question the name goes elsewhere.
            End::Refused(name, _) if self.below.is_some() => {
                self.chain.name = name.clone();
                Next::Advance
            }
            End::Refused(name, route) => {
                self.steps.push(Step::Routed(name.clone(), route.clone()));
                Next::Done(Outcome::Refused(Refused::by_route(name, route, plan)))
            }
            End::Loop => Next::Done(Outcome::Refused(Refused::alias_loop(&self.chain.start))),
            End::Final => {
                let whole =
                    self.chain.answers.len() == hop.answers.len() && self.chain.visits.len() == 1;
                Next::Done(Outcome::Found(Found {
                    rcode: hop.rcode,
                    authority: hop.authority.clone(),
                    template: found.template.filter(|_| whole),
                    ..found
                }))
            }
        }
    }

    /// Keeps a name from its client, and says so.
    pub(crate) fn withhold(&mut self, name: DomainName, route: &Route) -> Outcome {
        let refused = Refused::withheld(&name, route);
        self.steps.push(Step::Withheld(name));
        Outcome::Refused(refused)
    }

    /// Returns the outcome for the question as it was asked; `None` when another candidate comes first.
    pub(crate) fn settle(&mut self, outcome: Outcome) -> Option<Outcome> {
        let exists = match &outcome {
            Outcome::Found(found) => found.rcode == rcode::NOERROR,
            Outcome::Refused(_) => false,
        };
        let found = exists && self.has_answer();
        let Some(searching) = &mut self.searching else {
            return Some(outcome);
        };
        if searching.tried.is_empty() || self.delivery == Delivery::ComeBack {
            return Some(outcome);
        }
        match outcome {
            Outcome::Found(outcome) if found => {
                let alias = search::alias(
                    &self.parsed.question.name,
                    &self.chain.start,
                    &self.chain.answers,
                );
                self.chain.answers.insert(0, alias);
                self.chain.authentic = false;
                return Some(Outcome::Found(Found {
                    template: None,
                    ..outcome
                }));
            }
            Outcome::Refused(refused) if refused.rcode != rcode::NXDOMAIN => {
                searching.failed.get_or_insert(refused);
            }
            // A failure from the cache is one like any other: it denies nothing.
            Outcome::Found(outcome)
                if !matches!(outcome.rcode, rcode::NOERROR | rcode::NXDOMAIN) =>
            {
                let failed = Refused::again(outcome.rcode, outcome.extended_error);
                searching.failed.get_or_insert(failed);
            }
            Outcome::Found(_) | Outcome::Refused(_) => searching.exists |= exists,
        }
        if self.search_on() {
            return None;
        }
        let searching = self.searching.as_mut()?;
        let label = &self.parsed.question.name;
        self.chain = Chain::new(label.clone());
        Some(Outcome::Refused(searching.failed.take().unwrap_or_else(
            || Refused::not_found(label, &searching.tried, searching.exists),
        )))
    }

    /// Goes on to the next candidate, if there is one.
    pub(crate) fn search_on(&mut self) -> bool {
        let Some(searching) = &mut self.searching else {
            return false;
        };
        let Some(candidate) = searching.rest.pop_front() else {
            return false;
        };
        searching.tried.push(candidate.clone());
        self.steps.push(Step::Searched(candidate.clone()));
        self.chain = Chain::new(candidate);
        true
    }

    /// Whether something was kept from its client.
    pub(crate) fn is_withheld(&self) -> bool {
        let withheld = |step: &Step| matches!(step, Step::Withheld(_));
        self.stub.is_guest() && self.steps.iter().any(withheld)
    }

    /// Whether nobody had to be asked, and the cache was.
    pub(crate) fn is_hit(&self) -> bool {
        let asked = |step: &Step| matches!(step, Step::Asked(..));
        let hit = |step: &Step| matches!(step, Step::CacheHit(_));
        self.steps.iter().any(hit) && !self.steps.iter().any(asked)
    }

    fn has_answer(&self) -> bool {
        let asked = self.parsed.question.record_type;
        self.chain
            .answers
            .iter()
            .any(|record| record.record_type == asked || asked == rtype::ANY)
    }
}

impl Chain {
    pub(crate) fn new(start: DomainName) -> Self {
        Self {
            name: start.clone(),
            start,
            visits: Vec::new(),
            answers: Vec::new(),
            aliases: Vec::new(),
            authentic: true,
            unlisted: false,
            forged: None,
            decided: false,
        }
    }

    pub(crate) fn is_at_start(&self) -> bool {
        self.visits.is_empty() && self.aliases.is_empty()
    }
}
