//! What does a lookup come to, and who is told?
//!
//! A reply is handed on in two versions: with the records that only DNSSEC needs, and without. Does not judge.

use std::sync::Arc;
use std::time::Duration;

use config::time::Instant;
use dnssec::Verdict;

use crate::Resolver;
use crate::chain::{self, Hop};
use crate::event::{ExtendedError, Timer};
use crate::lookup::{Lookup, Waiter};
use crate::refusal::Refused;
use crate::template::Template;
use crate::wire::rcode;

/// How long a reply is waited for that no client waits for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it is kept that all upstreams fail: the least that RFC 9520 §3.2 allows, so that an outage ends when it ends.
pub(crate) const FAILURE_LIFETIME: Duration = Duration::from_secs(1);

/// What a lookup came to.
#[derive(Debug, Clone)]
pub(crate) enum Conclusion {
    /// A reply.
    Reply {
        /// For clients that set DO.
        signed: Version,
        /// For all others.
        plain: Version,
        extended_error: Option<ExtendedError>,
        /// What it is worth; `None` when it was not judged.
        verdict: Option<Verdict>,
    },
    /// None that is any good.
    Refused(Refused),
}

/// A reply as it is handed on, read and encoded.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) hop: Arc<Hop>,
    pub(crate) template: Arc<Template>,
}

impl Version {
    pub(crate) fn new(hop: Hop, template: Arc<Template>) -> Self {
        Self {
            hop: Arc::new(hop),
            template,
        }
    }
}

impl Conclusion {
    /// Hands on a reply that was asked for as its client wants it.
    pub(crate) fn whole(version: Version, extended_error: Option<ExtendedError>) -> Self {
        Self::Reply {
            signed: version.clone(),
            plain: version,
            extended_error,
            verdict: None,
        }
    }
}

impl Resolver {
    /// Ends a lookup with the best of the replies that are errors.
    pub(crate) fn conclude_bad(&mut self, id: u64, now: Instant) {
        let Some(lookup) = self.lookups.get_mut(id) else {
            return;
        };
        let asking = lookup.asking.clone();
        let Some((upstream, reply)) = lookup.bad.take() else {
            return;
        };
        let is_its_own = lookup.looped.contains(&upstream);
        let loops = self.errs_for_its_loop(&asking, &upstream, &reply, now);
        let refused = match is_its_own || loops {
            true => Refused::looped(&upstream),
            false => Refused::by_reply(&upstream, &reply),
        };
        if !(is_its_own || loops) || reply.rcode == rcode::SERVFAIL {
            self.keep_outage(id, &refused, now);
        }
        self.conclude(id, &Conclusion::Refused(refused), now);
    }

    /// Ends a lookup that nobody replied to.
    pub(crate) fn conclude_failed(&mut self, id: u64, now: Instant) {
        if self.may_walk(id, now) {
            self.walk(id, now);
            return;
        }
        let Some(lookup) = self.lookups.get(id) else {
            return;
        };
        let refused = failed(lookup);
        if lookup.looped.is_empty() {
            self.keep_outage(id, &refused, now);
        }
        self.conclude(id, &Conclusion::Refused(refused), now);
    }

    /// Puts an end to a lookup that no client's budget ends: nobody may ever reply.
    pub(crate) fn be_patient(&mut self, id: u64, waiter: Waiter, now: Instant) {
        if !matches!(waiter, Waiter::Query(_) | Waiter::Judging(_)) {
            self.timers.set(Timer::Patience, id, now + PATIENCE);
        }
    }

    /// Nobody has replied to what is asked for nobody's sake; clients that have joined meanwhile have a time of their own.
    pub(crate) fn lose_patience(&mut self, id: u64, now: Instant) {
        let Some(lookup) = self.lookups.get(id) else {
            return;
        };
        match lookup.waiters.iter().any(|waiter| waiter.is_client()) {
            true => self.timers.set(Timer::Patience, id, now + PATIENCE),
            false => self.conclude_failed(id, now),
        }
    }

    /// Ends a lookup, and tells all who wait for it.
    pub(crate) fn conclude(&mut self, id: u64, conclusion: &Conclusion, now: Instant) {
        let Some(mut lookup) = self.end_lookup(id, now) else {
            return;
        };
        if let Conclusion::Refused(refused) = conclusion
            && refused.is_outage()
            && lookup.waiters.iter().any(|waiter| waiter.is_client())
        {
            self.reach_suspects(&lookup.asking.scope, now);
        }
        let mut steps = std::mem::take(&mut lookup.steps);
        let waiters = std::mem::take(&mut lookup.waiters);
        let last = waiters.len().saturating_sub(1);
        for (place, &waiter) in waiters.iter().enumerate() {
            match waiter {
                Waiter::Query(query) if place == last => {
                    self.resume(query, conclusion.clone(), &mut steps, now);
                }
                Waiter::Query(query) => {
                    self.resume(query, conclusion.clone(), &mut steps.clone(), now);
                }
                Waiter::Judging(judged) => self.take_fetched(judged, id, conclusion, now),
                Waiter::Proof(incarnation) => {
                    self.take_proof(&lookup.asking, incarnation, conclusion, now);
                }
                Waiter::Keys => self.take_keys(&lookup.asking, conclusion, now),
                Waiter::Nobody => {}
                Waiter::Discovery => self.take_discovered(&lookup.asking, conclusion, now),
                Waiter::LocalZone => self.take_zone(&lookup.asking, conclusion, now),
                Waiter::Prefix(_) => self.take_prefix(&lookup.asking, conclusion, now),
                Waiter::Reach(asked) => self.take_reach(asked, &lookup.asking, conclusion, now),
            }
        }
        (lookup.waiters, lookup.steps) = (waiters, steps);
        self.lookups.keep_room(lookup);
    }
}

/// Says why a lookup has nothing to answer with.
pub(crate) fn failed(lookup: &Lookup) -> Refused {
    if let Some(bogus) = &lookup.bogus {
        return bogus.clone();
    }
    if let Some((upstream, reply)) = &lookup.bad {
        return Refused::by_reply(upstream, reply);
    }
    if let Some(judging) = &lookup.judging {
        return Refused::not_judged(&judging.upstream, &judging.is_waiting_for());
    }
    if let (Some(upstream), true) = (lookup.looped.first(), lookup.exchanges.is_empty()) {
        return Refused::looped(upstream);
    }
    if !lookup.failures.is_empty() && (lookup.exchanges.is_empty() || lookup.is_told()) {
        return Refused::unreachable(&lookup.asking.scope, &lookup.failures, lookup.cause());
    }
    Refused::no_reply(&lookup.asking.scope, &lookup.asked, lookup.cause())
}

impl Hop {
    /// A failure, to be kept for a moment.
    pub(crate) fn failure(rcode: u16) -> Self {
        Self {
            rcode,
            answers: Vec::new(),
            authority: Vec::new(),
            aliases: Vec::new(),
            end: chain::End::Final,
        }
    }
}
