//! When is nobody to wait for AAAA alone any longer? A is asked beside it where DNS64 could make something of that.
//!
//! ```text
//! AAAA asked ─ 2 s without a reply ─► A asked too ─┬─ addresses, or no such name ───► answer; what AAAA brings is for whoever asks next
//!                                                  ├─ none, or a failure ──────────► AAAA alone is waited for, as before
//!                                                  └─ AAAA replied to first ───────► its answer; A is let go
//! ```
//!
//! RFC 6147 §5.1.3 takes silence for an error, and clients do not wait until it is told: most have given up after 5 s, the answers for A
//! included. Only where an error would be translated (`dns64`), and only where somebody was asked and is silent.

use std::ops::Range;
use std::time::Duration;

use config::model::{Dns64, Mapping};
use config::time::Instant;

use super::discovery::Knowledge;
use super::dns64::{State, may_make};
use crate::Resolver;
use crate::conclude::Conclusion;
use crate::event::{Step, Timer};
use crate::failure::Cause;
use crate::lookup::Waiter;
use crate::progress::{Chain, Outcome, Query};
use crate::query::BUDGET;
use crate::wire::rtype;

/// How long AAAA is asked alone. Of the 4.4 s that a client is given, as much is left for A: its repetitions, another upstream, an alias.
const ALONE_FOR: Duration = Duration::from_secs(2);

/// Whether A is asked beside AAAA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Turn {
    /// Not yet.
    #[default]
    Ahead,
    /// It was, once.
    Past,
}

/// A question for AAAA that waits while A is asked.
#[derive(Debug)]
pub(crate) struct Beside {
    /// The lookup that it waits for.
    pub(super) lookup: u64,
    /// How far it was.
    pub(super) chain: Chain,
    pub(super) mappings: Vec<Mapping>,
    /// What has happened to AAAA until then, among the steps of its query.
    told: Range<usize>,
}

impl Beside {
    /// Takes what has happened to AAAA out of the steps of its query: it is told again with the rest.
    fn take_back(&self, steps: &mut Vec<Step>) {
        if steps.get(self.told.clone()).is_some() {
            drop(steps.drain(self.told.clone()));
        }
    }
}

impl Resolver {
    /// Says when a query that waits for AAAA has waited long enough for that alone.
    pub(crate) fn await_address(&mut self, query: &Query, now: Instant) {
        if query.parsed.question.record_type != rtype::AAAA || query.local.turn == Turn::Past {
            return;
        }
        let Some(lookup) = query.lookup.and_then(|id| self.lookups.get(id)) else {
            return;
        };
        let plan = self
            .scopes
            .get(&lookup.asking.scope)
            .map(|scope| &scope.plan);
        if plan.is_none_or(|plan| plan.dns64 == Dns64::Off) || !query.local.is_own() {
            return;
        }
        // Whoever joins late need not wait as long as the first.
        let at = (lookup.started_at + ALONE_FOR).max(now);
        self.timers.set(Timer::Address, query.id, at);
    }

    /// AAAA was asked alone for long enough.
    pub(crate) fn take_address_timeout(&mut self, id: u64, now: Instant) {
        let Some(query) = self.queries.get(id) else {
            return;
        };
        if !query.local.is_own() || query.local.turn == Turn::Past {
            return;
        }
        let Some((waits_for, lookup)) = query
            .lookup
            .and_then(|id| Some((id, self.lookups.get(id)?)))
        else {
            return;
        };
        let scope = lookup.asking.scope.clone();
        // A reply that is at hand, or errors, are told soon enough.
        let is_silent =
            lookup.judging.is_none() && lookup.bad.is_none() && lookup.cause() == Cause::Silence;
        if !is_silent || !may_make(query) || self.validates(&query.chain.name, &scope, now) {
            return;
        }
        let steps = lookup.steps.clone();
        let mappings = match self.mappings(&scope, now) {
            Knowledge::Mappings(mappings) => mappings,
            Knowledge::Unknown if super::is_ipv4only(&query.question()) => return,
            Knowledge::Unknown => {
                self.learn_prefix(&scope, Some(id), now);
                return;
            }
        };
        if mappings.is_empty() {
            return;
        }
        let Some(mut query) = self.queries.remove(id) else {
            return;
        };
        query.local.turn = Turn::Past;
        query.lookup = None;
        self.wait_instead(waits_for, Waiter::Query(id), Waiter::Beside(id));
        let anew = Chain::new(query.chain.start.clone());
        let chain = std::mem::replace(&mut query.chain, anew);
        query.chain.visits.clone_from(&chain.visits);
        query.chain.unlisted = chain.unlisted;
        let told = query.steps.len()..query.steps.len() + steps.len();
        query.steps.extend(steps);
        query.steps.push(Step::Local(
            "dns64",
            "no reply for AAAA yet, A is asked beside it".into(),
        ));
        query.local.state = State::Beside(Box::new(Beside {
            lookup: waits_for,
            chain,
            mappings,
            told,
        }));
        self.advance(query, now);
    }

    /// Takes what AAAA came to while A was asked.
    pub(crate) fn take_beside(
        &mut self,
        id: u64,
        conclusion: Conclusion,
        mut steps: Vec<Step>,
        now: Instant,
    ) {
        let Some(query) = self.queries.get_mut(id) else {
            return;
        };
        let beside = match std::mem::take(&mut query.local.state) {
            State::Beside(beside) => beside,
            other @ (State::Own | State::Held(_) | State::Asking { .. }) => {
                query.local.state = other;
                return;
            }
        };
        beside.take_back(&mut query.steps);
        match conclusion {
            // A is asked already.
            Conclusion::Refused(refused) if refused.is_upstreams() => {
                query.steps.append(&mut steps);
                query.local.state = State::Asking {
                    denial: Box::new(Outcome::Refused(refused)),
                    before: beside.chain.answers,
                    mappings: beside.mappings,
                };
            }
            conclusion @ (Conclusion::Reply { .. } | Conclusion::Refused(_)) => {
                query.chain = beside.chain;
                let asked = query.lookup.take();
                if let Some(asked) = asked {
                    self.leave(asked, Waiter::Query(id), now);
                }
                self.resume(id, conclusion, steps, now);
            }
        }
    }

    /// Lets a query wait for AAAA alone again: A brought nothing that an answer could be made of.
    pub(super) fn wait_alone(&mut self, query: &mut Query, beside: Beside, now: Instant) {
        if let Some(asked) = query.lookup.take() {
            self.leave_late(asked, Waiter::Query(query.id), now);
        }
        beside.take_back(&mut query.steps);
        query.chain = beside.chain;
        query.lookup = Some(beside.lookup);
        let (here, back) = (Waiter::Beside(query.id), Waiter::Query(query.id));
        self.wait_instead(beside.lookup, here, back);
    }

    /// As [`Self::wait_alone`], of a query whose time is over: what it fails by is that AAAA is.
    pub(crate) fn end_beside(&mut self, id: u64, now: Instant) {
        let Some(query) = self.queries.get_mut(id) else {
            return;
        };
        if !matches!(query.local.state, State::Beside(_)) {
            return;
        }
        let Some(mut query) = self.queries.remove(id) else {
            return;
        };
        if let State::Beside(beside) = std::mem::take(&mut query.local.state) {
            self.wait_alone(&mut query, *beside, now);
        }
        self.queries.insert(id, query);
    }

    /// Takes note that a query for AAAA is answered.
    pub(crate) fn end_address(&mut self, query: &mut Query, now: Instant) {
        self.timers.clear(Timer::Address, query.id);
        if let State::Beside(beside) = std::mem::take(&mut query.local.state) {
            self.leave_to_others(beside.lookup, query.id, now);
        }
    }

    /// Has what AAAA brings kept for whoever asks next: its query is answered.
    pub(super) fn leave_to_others(&mut self, lookup: u64, query: u64, now: Instant) {
        self.wait_instead(lookup, Waiter::Beside(query), Waiter::Nobody);
        if let Some(open) = self.lookups.get(lookup) {
            // No longer than it would have been waited for, so that its silence is known to whoever asks then.
            let end = (open.started_at + BUDGET).max(now);
            self.timers.set(Timer::Patience, lookup, end);
        }
    }

    /// Lets go of AAAA too, of a query that is not to be answered where it was asked.
    pub(crate) fn leave_beside(&mut self, query: &mut Query, now: Instant) {
        if let State::Beside(beside) = std::mem::take(&mut query.local.state) {
            self.leave(beside.lookup, Waiter::Beside(query.id), now);
        }
    }

    fn wait_instead(&mut self, lookup: u64, before: Waiter, after: Waiter) {
        let Some(lookup) = self.lookups.get_mut(lookup) else {
            return;
        };
        for waiter in &mut lookup.waiters {
            if *waiter == before {
                *waiter = after;
            }
        }
    }
}
