//! What becomes of a single label that no search suffix completes? From the query machine to LLMNR and back.
//!
//! ```text
//! label ─► suffixes, one after another ─► one has it, or cannot be asked ──────────────► answered, or an error
//!                                      └► none has it, or there are none ─► the neighbours, where `llmnr = "resolve"`
//! ```
//!
//! Suffixes come first, and a neighbour is never asked for what a suffix could not be asked for: `git` is not called out in a café
//! because the VPN that has `git.corp.test` is down. A label that somebody claims is not completed, and so never comes here.
//!
//! Which links these are was decided in `policy`. Answers are not kept in the caches of scopes and are never authentic.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use config::name::DomainName;
use config::time::Instant;
use policy::ScopeId;

use crate::Resolver;
use crate::chain::is_claimed;
use crate::event::{ExtendedError, Step, Stub, Timer};
use crate::llmnr::{Llmnr, LlmnrFinding, LlmnrId, LlmnrStatus, Order, Overheard};
use crate::neighbours::without_link_local;
use crate::progress::{Found, Outcome, Query};
use crate::refusal::Refused;
use crate::synthesize::soa;
use crate::wire::rcode;

/// TTL of what a neighbour does not have, in seconds: it may be there in a moment.
const DENIAL_TTL: u32 = 1;
/// The key of LLMNR's deadline.
const KEY: u64 = 0;
/// Code of an Extended DNS Error without a code of its own (RFC 8914 §4.1).
const OTHER_ERROR: u16 = 0;
/// Labels by which programs look for somebody to take orders from: a proxy, a tunnel's router. Whoever answers first on a link
/// would have them.
const NEVER: [&[u8]; 2] = [b"wpad", b"isatap"];

/// LLMNR, and who waits for it.
#[derive(Debug)]
pub(crate) struct Labels {
    llmnr: Llmnr,
    waiting_by_query: BTreeMap<u64, Waiting>,
}

/// What a query waits for.
#[derive(Debug)]
struct Waiting {
    inquiry: LlmnrId,
    asked_at: Instant,
}

/// Whether a label is asked of no neighbour, whatever the plan says.
pub fn is_never_called_out(name: &DomainName) -> bool {
    name.labels()
        .next()
        .is_some_and(|label| NEVER.contains(&label))
}

impl Labels {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self {
            llmnr: Llmnr::new(seed),
            waiting_by_query: BTreeMap::new(),
        }
    }

    /// Forgets what neighbours said of names that are meant.
    pub(crate) fn forget(&mut self, is_meant: impl Fn(&DomainName) -> bool) {
        self.llmnr.forget(is_meant);
    }
}

impl Resolver {
    /// Takes what a neighbour said by LLMNR.
    pub fn handle_overheard(&mut self, heard: &Overheard, now: Instant) {
        self.labels.llmnr.handle_overheard(heard, now);
        self.settle_labels(now);
    }

    /// Returns the next thing to be done for LLMNR.
    pub fn poll_order(&mut self) -> Option<Order> {
        self.labels.llmnr.poll_order()
    }

    /// Returns what LLMNR has done on each link where it is on.
    pub fn llmnr_status(&self) -> Vec<LlmnrStatus> {
        self.labels.llmnr.status()
    }

    /// Puts the plan's links in force; queries whose labels belong elsewhere since end.
    pub(crate) fn apply_labels(&mut self, now: Instant) {
        let Self { labels, plan, .. } = self;
        labels.llmnr.apply(&plan.multicast, now);
        let ids: Vec<u64> = self.labels.waiting_by_query.keys().copied().collect();
        for id in ids {
            let name = self.queries.get(id).map(|query| query.chain.name.clone());
            let stays = name
                .as_ref()
                .is_some_and(|name| !is_claimed(&self.plan.domains.route(name)));
            if stays {
                continue;
            }
            self.stop_waiting_for_label(id);
            if let (Some(name), Some(query)) = (name, self.queries.remove(id)) {
                let refused = Refused::scope_lost(&name, &ScopeId("the neighbours".into()));
                self.finish(query, Outcome::Refused(refused), now);
            }
        }
        self.settle_labels(now);
    }

    /// Acts on the deadline.
    pub(crate) fn take_labels_timeout(&mut self, now: Instant) {
        self.labels.llmnr.handle_timeout(now);
        self.settle_labels(now);
    }

    /// Ends a query, unless the neighbours may know what nobody else does.
    pub(crate) fn end_or_call_out(
        &mut self,
        mut query: Box<Query>,
        outcome: Outcome,
        now: Instant,
    ) {
        let is_unfound =
            matches!(&outcome, Outcome::Refused(refused) if refused.rcode == rcode::NXDOMAIN);
        if !is_unfound || !self.is_for_llmnr(&query) {
            self.finish(query, outcome, now);
            return;
        }
        if is_never_called_out(&query.chain.name) {
            query.steps.push(Step::Neighbours(
                "not asked by LLMNR: whoever answered first could give orders to programs that look for this name".into(),
            ));
            self.finish(query, outcome, now);
            return;
        }
        let links: Vec<&str> = self.labels.llmnr.links().map(|link| &**link).collect();
        query.steps.push(Step::Neighbours(
            format!("asked by LLMNR on {}", links.join(", ")).into(),
        ));
        // What is asked last is the question itself, whatever was tried for the sake of DNS64.
        match self.labels.llmnr.inquire(&query.parsed.question, now) {
            Ok(inquiry) => {
                let waiting = Waiting {
                    inquiry,
                    asked_at: now,
                };
                self.labels.waiting_by_query.insert(query.id, waiting);
                self.keep_waiting(query, now);
            }
            Err(finding) => self.end_label(query, finding, Duration::ZERO, now),
        }
        self.settle_labels(now);
    }

    /// The client of a query has waited long enough: returns the reason, if it waits for the neighbours.
    pub(crate) fn leave_labels(&mut self, id: u64) -> Option<Refused> {
        self.stop_waiting_for_label(id)?;
        let links: Vec<&str> = self.labels.llmnr.links().map(|link| &**link).collect();
        Some(Refused::unheard(&links.join(", ")))
    }

    /// Whether a label may be asked of the neighbours: all suffixes were tried, and none of them failed.
    fn is_for_llmnr(&self, query: &Query) -> bool {
        let searched = query.searching.as_ref();
        query.stub == Stub::Main
            && query.below.is_none()
            && !self.plan.multicast.llmnr.is_empty()
            && query.chain.is_at_start()
            && query.chain.name == query.parsed.question.name
            && query.chain.name.label_count() == 1
            && searched
                .is_some_and(|searched| searched.rest.is_empty() && searched.failed.is_none())
            && !is_claimed(&self.plan.domains.route(&query.chain.name))
    }

    /// Hands on what was found, and says when to be called again.
    fn settle_labels(&mut self, now: Instant) {
        while let Some((inquiry, finding)) = self.labels.llmnr.poll_finding() {
            let waiting = self.labels.waiting_by_query.iter();
            let for_it = waiting.filter(|(_, waiting)| waiting.inquiry == inquiry);
            let ids: Vec<(u64, Instant)> = for_it.map(|(id, it)| (*id, it.asked_at)).collect();
            for (id, asked_at) in ids {
                self.labels.waiting_by_query.remove(&id);
                if let Some(query) = self.queries.remove(id) {
                    self.end_label(query, finding.clone(), now.since(asked_at), now);
                }
            }
        }
        match self.labels.llmnr.poll_timeout() {
            Some(at) => self.timers.set(Timer::Labels, KEY, at),
            None => self.timers.clear(Timer::Labels, KEY),
        }
    }

    fn stop_waiting_for_label(&mut self, id: u64) -> Option<()> {
        let waiting = self.labels.waiting_by_query.remove(&id)?;
        let mut others = self.labels.waiting_by_query.values();
        if !others.any(|other| other.inquiry == waiting.inquiry) {
            self.labels.llmnr.leave(waiting.inquiry);
        }
        Some(())
    }

    /// Makes an answer of what was found.
    fn end_label(
        &mut self,
        mut query: Box<Query>,
        finding: LlmnrFinding,
        elapsed: Duration,
        now: Instant,
    ) {
        query.chain.authentic = false;
        let mut told = |text: String| {
            let text = format!("{text} after {} ms", elapsed.as_millis());
            query.steps.push(Step::Neighbours(text.into()));
        };
        let outcome = match finding {
            LlmnrFinding::Records {
                link,
                records,
                conflict,
            } => {
                let kept = without_link_local(&records);
                let mut text = format!("answered on {link}");
                if kept.len() < records.len() {
                    text += &format!(
                        ", {} link-local addresses withheld as an answer cannot say their link",
                        records.len() - kept.len()
                    );
                }
                let extended_error = (!conflict.is_empty()).then(|| {
                    let who: Vec<String> = conflict.iter().map(address).collect();
                    let label = &query.chain.name;
                    let text = format!(
                        "{} on {link} all say that {label} is theirs alone (LLMNR): the answer has what each of them said",
                        who.join(" and ")
                    );
                    ExtendedError { code: OTHER_ERROR, text }
                });
                told(text);
                if let Some(error) = &extended_error {
                    query
                        .steps
                        .push(Step::Neighbours(error.text.as_str().into()));
                }
                query.chain.answers.extend(kept);
                Outcome::Found(Found {
                    extended_error,
                    ..Found::default()
                })
            }
            LlmnrFinding::NoRecords { link } => {
                told(format!("its owner on {link} has no records of this type"));
                Outcome::Found(Found {
                    authority: vec![soa(&query.chain.name, DENIAL_TTL)],
                    ..Found::default()
                })
            }
            LlmnrFinding::Failed { link, who } => {
                let who = address(&who);
                told(format!("{who} on {link} has it, and gave no whole answer"));
                Outcome::Refused(Refused::half_answered(&query.chain.name, &who, &link))
            }
            LlmnrFinding::NoName => {
                told("nobody answered".to_owned());
                let links: Vec<&str> = self.labels.llmnr.links().map(|link| &**link).collect();
                let tried = query.searching.as_ref().map(|it| it.tried.as_slice());
                Outcome::Refused(Refused::unanswered(
                    &query.chain.name,
                    tried.unwrap_or_default(),
                    &links.join(", "),
                ))
            }
            LlmnrFinding::TooMany => Outcome::Refused(Refused::too_many()),
        };
        self.finish(query, outcome, now);
    }
}

fn address(who: &SocketAddr) -> String {
    who.ip().to_string()
}

#[cfg(test)]
mod tests;
