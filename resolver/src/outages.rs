//! Which failures are told again for a moment without asking, and what ends that before its time? (RFC 9520)
//!
//! ```text
//! all upstreams of a scope silent, unreachable, or answering with errors ─► kept for 1 s under the question, in the scope's cache
//!                                                     ├─ another network, link or set of upstreams ─────────────► gone with the cache
//!                                                     ├─ for an error: an upstream that failed works again ─────► gone
//!                                                     └─ for silence: one that was silent all the while answers ─► gone
//! ```
//!
//! What was decided here is never kept: that a name may not be asked, that there are too many questions, that one leads back to us.
//! Nor is what one upstream did that alone was asked, or a question that took another way by its mark.

use std::collections::VecDeque;

use config::time::Instant;

use crate::Resolver;
use crate::ask::ATTEMPTS_MAX;
use crate::cache::{Cache, Key, Slot};
use crate::conclude::FAILURE_LIFETIME;
use crate::exchange::{Asking, Whom};
use crate::failure::Cause;
use crate::lookup::{JOIN_LIFETIME, Lookup};
use crate::refusal::Refused;
use crate::upstream::UpstreamState;
use crate::wire::Question;

/// The most failures of a scope that are kept at once; more are not, as nothing could end them.
const OUTAGES_MAX: usize = 1024;

/// The failures of a scope that are kept.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    /// The oldest first.
    kept: VecDeque<Outage>,
}

/// A failure that is kept.
#[derive(Debug)]
struct Outage {
    question: Question,
    dnssec_ok: bool,
    checking_disabled: bool,
    /// Whether nobody was heard at all.
    silent: bool,
    /// When its question was asked first.
    begun_at: Instant,
    ends_at: Instant,
}

impl Outages {
    /// Forgets which there are, as their cache is gone.
    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }

    /// Ends what a good reply ends, of an upstream that was heard last at `heard`; `recovered` tells that it had failed.
    pub(crate) fn end(
        &mut self,
        slot: Slot,
        heard: Option<Instant>,
        recovered: bool,
        cache: &Cache,
        now: Instant,
    ) {
        self.expire(now);
        self.kept.retain(|outage| {
            // Who answered others meanwhile has not begun to work: it is the name that gets no answer.
            // Its name alone may have made it count as failing, so that it recovers says nothing.
            let was_silent = heard.is_none_or(|heard| heard < outage.begun_at);
            let ends = match outage.silent {
                true => was_silent,
                false => recovered,
            };
            if ends {
                cache.forget_failure(&outage.key(slot));
            }
            !ends
        });
    }

    /// Leaves out those whose time is over.
    fn expire(&mut self, now: Instant) {
        while self.kept.front().is_some_and(|first| first.ends_at <= now) {
            self.kept.pop_front();
        }
    }

    /// Takes one in; returns whether there is room.
    fn take(&mut self, outage: Outage, now: Instant) -> bool {
        self.expire(now);
        let has_room = self.kept.len() < OUTAGES_MAX;
        if has_room {
            self.kept.push_back(outage);
        }
        has_room
    }
}

impl Outage {
    fn key(&self, slot: Slot) -> Key<'_> {
        Key {
            slot,
            name: self.question.name.as_wire(),
            record_type: self.question.record_type,
            class: self.question.class,
            dnssec_ok: self.dnssec_ok,
            checking_disabled: self.checking_disabled,
        }
    }
}

impl Resolver {
    /// Keeps what a lookup failed by, if it was its upstreams' doing.
    pub(crate) fn keep_outage(&mut self, id: u64, refused: &Refused, now: Instant) {
        let Some(lookup) = self.lookups.get(id).filter(|lookup| may_keep(lookup)) else {
            return;
        };
        let (asking, begun_at) = (lookup.asking.clone(), lookup.started_at);
        if begun_at < self.back_at {
            // What came while nobody was there to take it may be lost.
            return;
        }
        // A reply that is to be judged is asked for with DO and CD, whatever its client wants.
        let mut asked = vec![(asking.dnssec_ok, asking.checking_disabled)];
        if asking.validate {
            asked.extend([(true, false), (false, false)]);
        }
        for (dnssec_ok, checking_disabled) in asked {
            let Some(scope) = self.scopes.living(&asking.scope, asking.incarnation) else {
                return;
            };
            let silent = refused.cause == Cause::Silence;
            // Who asked before it came back has waited in vain, and whoever asks now will not.
            let is_over = |state: &UpstreamState| state.has_recovered_since(begun_at);
            if silent && scope.states().any(is_over) {
                return;
            }
            let slot = scope.slot;
            let outage = Outage {
                question: asking.question.clone(),
                dnssec_ok,
                checking_disabled,
                silent,
                begun_at,
                ends_at: now + FAILURE_LIFETIME,
            };
            // Somebody who asked later has an answer.
            let is_answered = self.cache.has_answer(&outage.key(slot), now);
            if is_answered || !scope.outages.take(outage, now) {
                continue;
            }
            let asking = Asking {
                dnssec_ok,
                checking_disabled,
                ..asking.clone()
            };
            self.keep_failure(&asking, refused, None, FAILURE_LIFETIME, begun_at, now);
        }
    }

    /// As [`Self::keep_outage`], of a lookup whose client's time is over; not if it was asked for in the last part of that only.
    pub(crate) fn keep_silence(&mut self, id: u64, refused: &Refused, now: Instant) {
        let had_its_chance = self.lookups.get(id).is_some_and(|lookup| {
            lookup.attempts >= ATTEMPTS_MAX || now.since(lookup.started_at) >= JOIN_LIFETIME
        });
        if had_its_chance {
            self.keep_outage(id, refused, now);
        }
    }
}

fn may_keep(lookup: &Lookup) -> bool {
    let asking = &lookup.asking;
    let is_everybodys = !matches!(asking.whom, Whom::Only(_)) && asking.mark == 0;
    let is_theirs = !lookup.asked.is_empty() && !lookup.is_hindered();
    let is_known = lookup.bogus.is_none() && lookup.judging.is_none();
    let walks = asking.recurse || lookup.walk.is_some();
    is_everybodys && is_theirs && is_known && !walks && !asking.fleeting
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::wire::{class, rtype};

    #[test]
    fn failures_whose_time_is_over_are_not_walked() {
        let cache = Cache::new(1 << 20, [1; 32]);
        let slot = cache.open();
        let mut outages = Outages::default();
        let now = Instant::ZERO + Duration::from_secs(10);
        for number in 0..OUTAGES_MAX {
            let outage = Outage {
                question: Question {
                    name: format!("n{number}.test").parse().unwrap(),
                    record_type: rtype::A,
                    class: class::IN,
                },
                dnssec_ok: false,
                checking_disabled: false,
                silent: false,
                begun_at: now,
                ends_at: now + FAILURE_LIFETIME,
            };
            assert!(outages.take(outage, now));
        }
        outages.end(slot, Some(now), false, &cache, now);
        assert_eq!(outages.kept.len(), OUTAGES_MAX);
        outages.end(slot, Some(now), false, &cache, now + FAILURE_LIFETIME);
        assert!(outages.kept.is_empty());
    }
}
