//! Whom is a lookup asked of next, and what does a reply mean for it? Attempts, hedges, repetitions, and their end.
//!
//! ```text
//!            ┌─ hedge: an untried upstream, after max(2×srtt, 150 ms)
//! start → asking ── round: all tried; again after 1 s, then 2 s
//!            ├─ failure, error reply: the next untried one at once
//!            ├─ truncated, or too many wrong replies: TCP to the same
//!            └─ good reply · nobody left · nobody waits → concluded, all other exchanges cancelled
//! ```
//!
//! Everything stays within the scope of the lookup. Does not know what a query does with the conclusion.

use std::sync::Arc;
use std::time::Duration;

use config::model::{RecursionMode, Upstream};
use config::time::Instant;
use policy::plan::ScopeLink;

use crate::Resolver;
use crate::chain::{self, Hop};
use crate::conclude::{Conclusion, Version};
use crate::event::{Channel, ExchangeId, Failure, Step, Timer};
use crate::exchange::{Asking, Edns, Exchange, Mismatch, Purpose};
use crate::lookup::Waiter;
use crate::record::ParsedReply;
use crate::wire::{rcode, rtype};

/// The most messages for one lookup.
const ATTEMPTS_MAX: u8 = 8;
/// When to repeat a question that all upstreams were asked, from the last message on; the last value stays.
const REPEAT_DELAYS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
/// How long to wait for a better reply when one that is an error is at hand.
const BAD_REPLY_PATIENCE: Duration = Duration::from_millis(1500);
/// How long to wait before asking again where everybody failed at once.
const REJECT_PAUSE: Duration = Duration::from_millis(300);
/// How often everybody may fail at once before the query is told.
const REJECT_ROUNDS: u8 = 1;
/// How long the reply to a probe is waited for.
const PROBE_LIFETIME: Duration = Duration::from_secs(3);

impl Resolver {
    /// Lets somebody wait for a question; returns the lookup.
    pub(crate) fn ask(&mut self, waiter: Waiter, asking: Asking, now: Instant) -> u64 {
        if let Some(id) = self.lookups.joinable(&asking, now) {
            if let Some(lookup) = self.lookups.get_mut(id) {
                lookup.waiters.push(waiter);
                // A client that comes late has not had its chance with a message that was lost long ago.
                if now.since(lookup.sent_at) >= REPEAT_DELAYS[0]
                    && lookup.attempts < ATTEMPTS_MAX
                    && lookup.judging.is_none()
                {
                    self.timers.set_earlier(Timer::Exchange, id, now);
                }
            }
            return id;
        }
        let id = self.lookups.start(asking, now);
        if let Some(lookup) = self.lookups.get_mut(id) {
            lookup.waiters.push(waiter);
        }
        let (mut recurse, mut always) = (false, false);
        if let Some(lookup) = self.lookups.get(id) {
            recurse = lookup.asking.recurse;
            always = self.recursion_of(&lookup.asking) == RecursionMode::Always;
        }
        if (recurse || always) && self.may_walk(id, now) {
            self.walk(id, now);
        } else if recurse || !self.ask_next(id, now) {
            self.timers.set(Timer::Exchange, id, now);
        }
        id
    }

    pub(crate) fn take_reply(&mut self, id: ExchangeId, wire: &[u8], now: Instant) {
        let Some(exchange) = self.exchanges.get_mut(id) else {
            return;
        };
        if let Purpose::Walk(..) = exchange.purpose {
            self.take_walk_reply(id, wire, now);
            return;
        }
        match exchange.read(wire) {
            Ok(reply) => {
                if let Some(exchange) = self.end_exchange(id) {
                    self.take_good_reply(&exchange, reply, now);
                }
            }
            Err(Mismatch::WaitOn(reason)) => {
                let dropped = Step::Dropped(exchange.upstream.clone(), reason);
                let purpose = exchange.purpose;
                self.counters.dropped += 1;
                self.note_step(purpose, dropped);
            }
            Err(Mismatch::GiveUp(reason)) => {
                self.counters.dropped += 1;
                let Some(exchange) = self.end_exchange(id) else {
                    return;
                };
                self.note_step(
                    exchange.purpose,
                    Step::Dropped(exchange.upstream.clone(), reason),
                );
                match exchange.channel {
                    Channel::Udp => self.ask_by_tcp(&exchange, now),
                    Channel::Tcp => self.take_loss(&exchange, Failure::Closed, now),
                }
            }
        }
    }

    pub(crate) fn take_failure(&mut self, id: ExchangeId, failure: Failure, now: Instant) {
        let Some(exchange) = self.exchanges.remove(id) else {
            return;
        };
        self.forget_exchange(id, exchange.purpose);
        self.counters.lost += 1;
        if let Purpose::Walk(lookup, ask) = exchange.purpose {
            self.take_walk_failure(lookup, ask, failure, now);
            return;
        }
        let step = Step::Failed(exchange.upstream.clone(), exchange.channel, failure);
        self.note_step(exchange.purpose, step);
        self.take_loss(&exchange, failure, now);
    }

    /// Acts on a deadline of a lookup or probe.
    pub(crate) fn take_timeout(&mut self, timer: Timer, key: u64, now: Instant) {
        match timer {
            Timer::Hedge => {
                if self.ask_next(key, now) {
                    self.counters.hedges += 1;
                }
            }
            Timer::Exchange => self.ask_again(key, now),
            Timer::Probe => {
                let id = ExchangeId(key);
                if let Some(exchange) = self.end_exchange(id) {
                    self.counters.lost += 1;
                    self.note_lost(&exchange, now);
                }
            }
            Timer::Walk => self.take_walk_timeout(key, now),
            Timer::Budget | Timer::Proof => {}
        }
    }

    /// Takes a waiter out of a lookup; one that nobody waits for ends.
    pub(crate) fn leave(&mut self, id: u64, gone: Waiter, now: Instant) {
        let Some(lookup) = self.lookups.get_mut(id) else {
            return;
        };
        lookup.waiters.retain(|&waiter| waiter != gone);
        if lookup.waiters.is_empty() {
            self.end_lookup(id, now);
        }
    }

    /// Cancels what goes to upstreams or scopes that are not in force any more.
    pub(crate) fn retract(&mut self, now: Instant) {
        let gone: Vec<ExchangeId> = self
            .exchanges
            .iter()
            .filter(|(_, exchange)| {
                let asking = &exchange.asking;
                let walks = matches!(exchange.purpose, Purpose::Walk(..));
                self.scopes
                    .living(&asking.scope, asking.incarnation)
                    .is_none_or(|scope| !walks && scope.state(&exchange.upstream).is_none())
            })
            .map(|(id, _)| id)
            .collect();
        let mut robbed = Vec::new();
        for id in gone {
            if let Some(Exchange {
                purpose: Purpose::Lookup(lookup),
                ..
            }) = self.end_exchange(id)
            {
                robbed.push(lookup);
            }
        }
        for id in self.lookups.ids() {
            let Some(lookup) = self.lookups.get(id) else {
                continue;
            };
            if lookup.waiters.is_empty() {
                self.end_lookup(id, now);
            } else if lookup.exchanges.is_empty() && robbed.contains(&id) {
                self.after_exchange(id, now);
            }
        }
    }

    fn take_good_reply(&mut self, exchange: &Exchange, reply: ParsedReply, now: Instant) {
        let asking = &exchange.asking;
        let upstream = &exchange.upstream;
        let rtt = now.since(exchange.sent_at);
        let Some(scope) = self.scopes.living(&asking.scope, asking.incarnation) else {
            return;
        };
        scope.note(upstream, now, |state| {
            state.note_reply(exchange.channel, rtt);
        });
        let Purpose::Lookup(id) = exchange.purpose else {
            return;
        };
        if self
            .lookups
            .get(id)
            .is_none_or(|lookup| lookup.judging.is_some())
        {
            // Another reply is being judged.
            return;
        }
        let (channel, rcode) = (exchange.channel, reply.rcode);
        let step = Step::Replied {
            upstream: upstream.clone(),
            channel,
            rtt,
            rcode,
        };
        self.note_step(exchange.purpose, step);
        if reply.truncated && channel == Channel::Udp {
            self.ask_by_tcp(exchange, now);
            return;
        }
        let plan = Arc::clone(&self.plan);
        let hop = chain::follow(&asking.question, &asking.scope, reply.clone(), |name| {
            plan.domains.route(name)
        });
        if is_good(&hop) && !is_referral(&reply) {
            if exchange.edns == Edns::Without
                && reply.edns.is_none()
                && self.refused_edns(id, upstream)
            {
                self.note(exchange, now, |state| state.remember_plain(now));
            }
            let extended_error = reply.extended_errors.into_iter().next();
            if asking.validate {
                self.judge(id, upstream, hop, extended_error, now);
                return;
            }
            let template = self.store(asking, &hop, now);
            let version = Version::new(hop, template);
            self.conclude(id, &Conclusion::whole(version, extended_error), now);
            return;
        }
        let Some(lookup) = self.lookups.get_mut(id) else {
            return;
        };
        // RFC 6891 §7: one that does not know EDNS says so; it may know the answer.
        let without = matches!(rcode, rcode::FORMERR | rcode::NOTIMP | rcode::BADVERS);
        if without && exchange.edns == Edns::With && lookup.attempts < ATTEMPTS_MAX {
            lookup.plain.push(upstream.clone());
            self.send(id, upstream.clone(), channel, Edns::Without, now);
            return;
        }
        lookup.keep_bad(upstream.clone(), reply);
        self.after_exchange(id, now);
    }

    /// Sends to the next upstream of this round; returns whether there was one.
    pub(crate) fn ask_next(&mut self, id: u64, now: Instant) -> bool {
        let Some(lookup) = self.lookups.get_mut(id) else {
            return false;
        };
        let asking = &lookup.asking;
        if lookup.attempts >= ATTEMPTS_MAX {
            return false;
        }
        let Some(scope) = self.scopes.living(&asking.scope, asking.incarnation) else {
            return false;
        };
        let Some(upstream) = scope.choose(asking, &lookup.tried, &mut self.rng) else {
            return false;
        };
        let takes_edns = scope
            .state(&upstream)
            .is_none_or(|state| state.takes_edns(now));
        let edns = if takes_edns && !lookup.plain.contains(&upstream) {
            Edns::With
        } else {
            Edns::Without
        };
        let first = lookup.attempts == 0;
        lookup.tried.push(upstream.clone());
        if first {
            let probes = scope.probes(&upstream, now);
            let asking = asking.clone();
            self.probe(&asking, probes, now);
        }
        self.send(id, upstream, Channel::Udp, edns, now);
        true
    }

    /// The wait is over: takes what there is, or begins another round.
    fn ask_again(&mut self, id: u64, now: Instant) {
        let Some(lookup) = self.lookups.get_mut(id) else {
            return;
        };
        if lookup.bad.is_some() {
            self.conclude_bad(id, now);
            return;
        }
        lookup.round = lookup.round.saturating_add(1);
        lookup.tried.clear();
        if lookup.asking.recurse {
            self.conclude_failed(id, now);
            return;
        }
        if self.may_walk(id, now) {
            self.walk(id, now);
        }
        if !self.ask_next(id, now) {
            self.after_exchange(id, now);
        }
    }

    fn ask_by_tcp(&mut self, before: &Exchange, now: Instant) {
        let Purpose::Lookup(id) = before.purpose else {
            return;
        };
        let attempts = self
            .lookups
            .get(id)
            .map_or(ATTEMPTS_MAX, |lookup| lookup.attempts);
        if attempts < ATTEMPTS_MAX {
            self.send(id, before.upstream.clone(), Channel::Tcp, before.edns, now);
        } else {
            self.after_exchange(id, now);
        }
    }

    fn take_loss(&mut self, exchange: &Exchange, failure: Failure, now: Instant) {
        self.note(exchange, now, |state| {
            state.note_failure(exchange.channel, failure);
        });
        let Purpose::Lookup(id) = exchange.purpose else {
            return;
        };
        if let Some(lookup) = self.lookups.get_mut(id) {
            lookup.failures.push((exchange.upstream.clone(), failure));
        }
        self.after_exchange(id, now);
    }

    /// Goes on after an exchange that brought nothing to answer with.
    pub(crate) fn after_exchange(&mut self, id: u64, now: Instant) {
        let Some(lookup) = self.lookups.get(id) else {
            return;
        };
        let (waits, bad) = (!lookup.exchanges.is_empty(), lookup.bad.is_some());
        let again = lookup.round < REJECT_ROUNDS && lookup.attempts < ATTEMPTS_MAX;
        if self.ask_next(id, now) {
            return;
        }
        match (waits, bad) {
            (true, true) => self
                .timers
                .set_earlier(Timer::Exchange, id, now + BAD_REPLY_PATIENCE),
            (true, false) => {}
            (false, true) => self.conclude_bad(id, now),
            (false, false) if again => self.timers.set(Timer::Exchange, id, now + REJECT_PAUSE),
            (false, false) => self.conclude_failed(id, now),
        }
    }

    fn send(&mut self, id: u64, upstream: Upstream, channel: Channel, edns: Edns, now: Instant) {
        let Some(lookup) = self.lookups.get_mut(id) else {
            return;
        };
        lookup.attempts += 1;
        lookup.sent_at = now;
        lookup.asked.push(upstream.clone());
        lookup.steps.push(Step::Asked(
            lookup.asking.scope.clone(),
            upstream.clone(),
            channel,
        ));
        let asking = lookup.asking.clone();
        let (attempts, round) = (lookup.attempts, usize::from(lookup.round));
        let Some(exchange) = self.transmit(
            asking.clone(),
            Purpose::Lookup(id),
            upstream.clone(),
            channel,
            edns,
            now,
        ) else {
            return;
        };
        let Some(lookup) = self.lookups.get_mut(id) else {
            return;
        };
        lookup.exchanges.push(exchange);
        self.timers.clear(Timer::Hedge, id);
        self.timers.clear(Timer::Exchange, id);
        if attempts >= ATTEMPTS_MAX {
            return;
        }
        let Some(scope) = self.scopes.get(&asking.scope) else {
            return;
        };
        if scope.has_untried(&asking, &lookup.tried) {
            let delay = scope
                .state(&upstream)
                .map_or(Duration::ZERO, |state| state.hedge_delay());
            self.timers.set(Timer::Hedge, id, now + delay);
        } else if lookup.bad.is_some() {
            self.timers
                .set(Timer::Exchange, id, now + BAD_REPLY_PATIENCE);
        } else {
            let last = REPEAT_DELAYS.len() - 1;
            let delay = REPEAT_DELAYS
                .get(round.min(last))
                .copied()
                .unwrap_or_default();
            self.timers.set(Timer::Exchange, id, now + delay);
        }
    }

    fn probe(&mut self, asking: &Asking, upstreams: Vec<Upstream>, now: Instant) {
        for upstream in upstreams {
            let asking = asking.clone();
            let sent = self.transmit(
                asking,
                Purpose::Probe,
                upstream,
                Channel::Udp,
                Edns::With,
                now,
            );
            if let Some(ExchangeId(key)) = sent {
                self.timers.set(Timer::Probe, key, now + PROBE_LIFETIME);
            }
        }
    }

    /// The one way out: every message is for the scope of its question, on that scope's link.
    fn transmit(
        &mut self,
        asking: Asking,
        purpose: Purpose,
        upstream: Upstream,
        channel: Channel,
        edns: Edns,
        now: Instant,
    ) -> Option<ExchangeId> {
        let scope = self.scopes.living(&asking.scope, asking.incarnation)?;
        scope.note(&upstream, now, |state| state.note_sent());
        let link: Option<ScopeLink> = scope.plan.link.clone();
        let transmit = self.exchanges.start(
            asking,
            purpose,
            upstream,
            channel,
            edns,
            link,
            &mut self.rng,
            now,
        );
        let id = transmit.exchange;
        self.counters.exchanges += 1;
        self.transmits.push_back(transmit);
        Some(id)
    }

    pub(crate) fn end_lookup(&mut self, id: u64, now: Instant) -> Option<crate::lookup::Lookup> {
        let mut lookup = self.lookups.remove(id)?;
        if let Some(judging) = lookup.judging.take() {
            self.drop_fetches(id, &judging, now);
        }
        self.timers.clear(Timer::Hedge, id);
        self.timers.clear(Timer::Exchange, id);
        self.timers.clear(Timer::Walk, id);
        for exchange in std::mem::take(&mut lookup.exchanges) {
            let Some(exchange) = self.end_exchange(exchange) else {
                continue;
            };
            let scope = self.scopes.get(&exchange.asking.scope);
            let patience =
                scope.and_then(|scope| Some(scope.state(&exchange.upstream)?.hedge_delay()));
            if patience.is_some_and(|patience| now.since(exchange.sent_at) >= patience) {
                self.counters.lost += 1;
                self.note_lost(&exchange, now);
            }
        }
        Some(lookup)
    }

    /// Ends an exchange whose socket is open; a message that was not yet taken is not sent at all.
    pub(crate) fn end_exchange(&mut self, id: ExchangeId) -> Option<Exchange> {
        let exchange = self.exchanges.remove(id)?;
        self.forget_exchange(id, exchange.purpose);
        match self
            .transmits
            .iter()
            .position(|transmit| transmit.exchange == id)
        {
            Some(at) => drop(self.transmits.remove(at)),
            None => self.cancels.push_back(id),
        }
        Some(exchange)
    }

    fn forget_exchange(&mut self, id: ExchangeId, purpose: Purpose) {
        match purpose {
            Purpose::Lookup(lookup) | Purpose::Walk(lookup, _) => {
                if let Some(lookup) = self.lookups.get_mut(lookup) {
                    lookup.exchanges.retain(|&other| other != id);
                }
            }
            Purpose::Probe => self.timers.clear(Timer::Probe, id.0),
        }
    }

    fn note_lost(&mut self, exchange: &Exchange, now: Instant) {
        self.note(exchange, now, |state| state.note_lost());
    }

    fn note(
        &mut self,
        exchange: &Exchange,
        now: Instant,
        note: impl FnOnce(&mut crate::upstream::UpstreamState),
    ) {
        let asking = &exchange.asking;
        if let Some(scope) = self.scopes.living(&asking.scope, asking.incarnation) {
            scope.note(&exchange.upstream, now, note);
        }
    }

    fn note_step(&mut self, purpose: Purpose, step: Step) {
        if let Purpose::Lookup(id) = purpose
            && let Some(lookup) = self.lookups.get_mut(id)
        {
            lookup.steps.push(step);
        }
    }

    fn refused_edns(&self, id: u64, upstream: &Upstream) -> bool {
        self.lookups
            .get(id)
            .is_some_and(|lookup| lookup.plain.contains(upstream))
    }
}

fn is_good(hop: &Hop) -> bool {
    const YXDOMAIN: u16 = 6;
    matches!(hop.rcode, rcode::NOERROR | rcode::NXDOMAIN | YXDOMAIN)
}

/// Whether an upstream sends us elsewhere instead of answering: it does not recurse.
fn is_referral(reply: &ParsedReply) -> bool {
    let has = |record_type| {
        reply
            .authority
            .iter()
            .any(|record| record.record_type == record_type)
    };
    reply.rcode == rcode::NOERROR
        && reply.answers.is_empty()
        && !reply.authoritative
        && has(rtype::NS)
        && !has(rtype::SOA)
}
