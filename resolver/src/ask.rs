//! Whom is a lookup asked of next, and what does a reply mean for it? Attempts, hedges, repetitions, and their end.
//!
//! ```text
//!            ┌─ hedge: an untried upstream, after 2×srtt, 150 to 400 ms; at once where two are asked
//! start → asking ── round: all tried; again after 2×srtt, from 200 ms, doubled from the second time on
//!            ├─ failure, error reply: the next untried one at once
//!            ├─ truncated, or too many wrong replies, or nothing by datagrams: TCP to the same
//!            └─ good reply · nobody left · nobody waits → concluded; what is under way is cancelled, or watched (`probing`)
//! ```
//!
//! Everything stays within the scope of the lookup. Does not know what a query does with the conclusion.

use std::sync::Arc;
use std::time::Duration;

use config::model::{RecursionMode, Upstream};
use config::time::Instant;

use crate::Resolver;
use crate::chain;
use crate::conclude::{Conclusion, Version};
use crate::event::{Channel, ExchangeId, Failure, Step, Timer};
use crate::exchange::{Asking, Edns, Exchange, Mismatch, Purpose};
use crate::learn::{is_referral, note_cookie, told_by};
use crate::lookup::Waiter;
use crate::query::BUDGET;
use crate::record::ParsedReply;
use crate::upstream::{Guise, Outcome};
use crate::wire::rcode;

/// The most messages for one lookup.
pub(crate) const ATTEMPTS_MAX: u8 = 8;
/// How old the last message of a lookup is when somebody who joins it may have a message of his own.
const JOIN_REPEAT: Duration = Duration::from_secs(1);
/// From which round on an upstream that is silent by datagrams is asked by stream.
const STREAM_ROUND: u8 = 2;
/// How long to wait for a better reply when one that is an error is at hand.
const BAD_REPLY_PATIENCE: Duration = Duration::from_millis(1500);
/// How long to wait before asking again where everybody failed at once.
const REJECT_PAUSE: Duration = Duration::from_millis(300);
/// How long the last message is given at least.
const LAST_PATIENCE: Duration = Duration::from_secs(1);
/// How often everybody may fail at once before the query is told.
const REJECT_ROUNDS: u8 = 1;

impl Resolver {
    /// Lets somebody wait for a question; returns the lookup.
    pub(crate) fn ask(&mut self, waiter: Waiter, asking: Asking, now: Instant) -> u64 {
        if let Some(id) = self.lookups.joinable(&asking, now) {
            if let Some(lookup) = self.lookups.get_mut(id) {
                lookup.waiters.push(waiter);
                // A client that comes late has not had its chance with a message that was lost long ago.
                if now.since(lookup.sent_at) >= JOIN_REPEAT
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
        self.be_patient(id, waiter, now);
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
            Err(Mismatch::WaitOn(reason)) => self.note_dropped(id, reason),
            Err(Mismatch::Doubtful(doubt, reply)) => {
                self.note_dropped(id, doubt.reason());
                self.take_doubtful(id, doubt, *reply, now);
            }
            Err(Mismatch::GiveUp(reason)) => {
                self.note_dropped(id, reason);
                let Some(exchange) = self.end_exchange(id) else {
                    return;
                };
                match exchange.channel {
                    Channel::Udp => self.ask_by_tcp(&exchange, now),
                    Channel::Tcp => self.take_loss(&exchange, Failure::Garbled, now),
                }
            }
        }
    }

    pub(crate) fn take_failure(&mut self, id: ExchangeId, failure: Failure, now: Instant) {
        let Some(exchange) = self.exchanges.remove(id) else {
            return;
        };
        self.forget_exchange(id, &exchange);
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
            Timer::Probe => self.take_probe_timeout(ExchangeId(key), now),
            Timer::Walk => self.take_walk_timeout(key, now),
            Timer::Budget
            | Timer::Proof
            | Timer::Memory
            | Timer::Stale
            | Timer::Neighbours
            | Timer::Patience
            | Timer::Prefix => {}
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
        if let Some(state) = scope.state_mut(upstream) {
            state.note_rtt(exchange.channel, rtt);
            note_cookie(state, exchange, &reply);
        }
        let Purpose::Lookup(id) = exchange.purpose else {
            self.take_probe_reply(exchange, &reply, now);
            return;
        };
        self.take_outcome(exchange, told_by(exchange, &reply, rtt), now);
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
        if rcode == rcode::BADCOOKIE && exchange.has_cookie() {
            self.ask_with_cookie(id, exchange, now);
            return;
        }
        let plan = Arc::clone(&self.plan);
        // No alias makes a good code of a bad one: what is kept for the case that nothing better comes is known now.
        let bad = (!is_good(rcode) || is_referral(&reply)).then(|| reply.clone());
        if bad.is_none() {
            self.take_win(id, exchange, &reply, now);
        }
        let extended_error = reply.extended_errors.first().cloned();
        let hop = chain::follow(&asking.question, &asking.scope, reply, |name| {
            plan.domains.route(name)
        });
        let Some(reply) = bad else {
            if asking.validate {
                self.judge(id, upstream, hop, extended_error, now);
                return;
            }
            let template = self.store(asking, &hop, now);
            let version = Version::new(hop, template);
            self.conclude(id, &Conclusion::whole(version, extended_error), now);
            return;
        };
        let Some(lookup) = self.lookups.get_mut(id) else {
            return;
        };
        // RFC 6891 §7: one that does not know EDNS, or an option of it, says so; it may know the answer.
        if matches!(rcode, rcode::FORMERR | rcode::NOTIMP | rcode::BADVERS)
            && exchange.edns != Edns::Without
            && lookup.attempts < ATTEMPTS_MAX
        {
            let edns = match exchange.has_cookie() {
                true => Edns::Bare,
                false => Edns::Without,
            };
            match edns {
                Edns::Without => lookup.plain.push(upstream.clone()),
                Edns::With | Edns::Bare => lookup.bare.push(upstream.clone()),
            }
            self.send(id, upstream.clone(), channel, edns, now);
            return;
        }
        lookup.keep_bad(upstream.clone(), reply, now);
        self.after_exchange(id, now);
    }

    /// Sends to the next upstream of this round, or to two; returns whether there was one.
    pub(crate) fn ask_next(&mut self, id: u64, now: Instant) -> bool {
        if !self.ask_one(id, now) {
            return false;
        }
        let Some(lookup) = self.lookups.get(id) else {
            return true;
        };
        let asking = &lookup.asking;
        let scope = self.scopes.get(&asking.scope);
        if lookup.tried.len() == 1
            && scope.is_some_and(|scope| scope.asks_two(asking, &lookup.tried))
        {
            self.ask_one(id, now);
        }
        true
    }

    fn ask_one(&mut self, id: u64, now: Instant) -> bool {
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
        let state = scope.state(&upstream);
        let mut channel = state.map_or_else(|| Channel::to(&upstream), |state| state.channel(now));
        let manners = state.map(|state| &state.manners);
        let again = lookup.asked.contains(&upstream);
        let edns = match manners {
            Some(manners) if !manners.takes_edns(now) => Edns::Without,
            Some(_) | None if lookup.plain.contains(&upstream) => Edns::Without,
            // What was lost may have been lost for its options.
            Some(manners) if again && !manners.takes_cookies() => Edns::Bare,
            Some(_) | None if lookup.bare.contains(&upstream) => Edns::Bare,
            Some(_) | None => Edns::With,
        };
        let silent = lookup.round >= STREAM_ROUND && again;
        if silent && !lookup.streamed.contains(&upstream) && !upstream.transport.is_encrypted() {
            lookup.streamed.push(upstream.clone());
            channel = Channel::Tcp;
        }
        let first = lookup.attempts == 0;
        lookup.tried.push(upstream.clone());
        if first {
            let asking = asking.clone();
            self.probe(&asking, &upstream, now);
        }
        self.send(id, upstream, channel, edns, now);
        true
    }

    /// The wait is over: takes what there is, or begins another round.
    fn ask_again(&mut self, id: u64, now: Instant) {
        let Some(lookup) = self.lookups.get_mut(id) else {
            return;
        };
        if lookup.bad.is_some() && now.since(lookup.bad_at) >= BAD_REPLY_PATIENCE {
            self.conclude_bad(id, now);
            return;
        }
        if lookup.attempts >= ATTEMPTS_MAX {
            match lookup.bad.is_some() {
                true => self.conclude_bad(id, now),
                false => self.conclude_failed(id, now),
            }
            return;
        }
        lookup.round = lookup.round.saturating_add(1);
        // Who replied with an error said what there is to say.
        lookup.tried = lookup
            .errors
            .iter()
            .map(|(upstream, _)| upstream.clone())
            .collect();
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

    pub(crate) fn ask_by_tcp(&mut self, before: &Exchange, now: Instant) {
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
        let usual = exchange.channel == Channel::to(&exchange.upstream);
        self.take_outcome(exchange, Outcome::of_failure(failure, usual), now);
        let Purpose::Lookup(id) = exchange.purpose else {
            return;
        };
        if let Some(lookup) = self.lookups.get_mut(id) {
            lookup.failures.push((exchange.upstream.clone(), failure));
        }
        self.after_exchange(id, now);
    }

    /// Asks by stream where all that is known is that datagrams are refused; returns whether there was anybody to ask.
    fn ask_by_stream(&mut self, id: u64, now: Instant) -> bool {
        let Some(lookup) = self.lookups.get_mut(id) else {
            return false;
        };
        if lookup.attempts >= ATTEMPTS_MAX {
            return false;
        }
        let refused = lookup.failures.iter().find(|(upstream, failure)| {
            *failure == Failure::Refused && !lookup.streamed.contains(upstream)
        });
        let Some((upstream, _)) = refused.cloned() else {
            return false;
        };
        lookup.streamed.push(upstream.clone());
        if upstream.transport.is_encrypted() {
            return false;
        }
        self.send(id, upstream, Channel::Tcp, Edns::With, now);
        true
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
        if !waits && !bad && self.ask_by_stream(id, now) {
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

    pub(crate) fn send(
        &mut self,
        id: u64,
        upstream: Upstream,
        channel: Channel,
        edns: Edns,
        now: Instant,
    ) {
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
        let (attempts, rounds) = (lookup.attempts, lookup.round);
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
            // Without a client nobody else ends it.
            let end = (lookup.started_at + BUDGET).max(now + LAST_PATIENCE);
            self.timers.set(Timer::Exchange, id, end);
            return;
        }
        let Some(scope) = self.scopes.get(&asking.scope) else {
            return;
        };
        let state = scope.state(&upstream);
        if scope.has_untried(&asking, &lookup.tried) {
            let delay = state.map_or(Duration::ZERO, |state| state.hedge_delay());
            self.timers.set(Timer::Hedge, id, now + delay);
            return;
        }
        let delay = state.map_or(BAD_REPLY_PATIENCE, |state| {
            state.repeat_delay(channel, rounds)
        });
        let mut at = now + delay;
        if lookup.bad.is_some() {
            at = at.min(lookup.bad_at + BAD_REPLY_PATIENCE);
        }
        self.timers.set(Timer::Exchange, id, at);
    }

    /// The one way out: every message is for the scope of its question, on that scope's link.
    pub(crate) fn transmit(
        &mut self,
        asking: Asking,
        purpose: Purpose,
        upstream: Upstream,
        channel: Channel,
        edns: Edns,
        now: Instant,
    ) -> Option<ExchangeId> {
        let scope = self.scopes.living(&asking.scope, asking.incarnation)?;
        let mut guise = Guise::default();
        if let Some(state) = scope.state_mut(&upstream) {
            state.note_sent();
            // Where a stream or encryption keeps strangers out, there is nobody to hide from.
            let open = channel == Channel::Udp && !upstream.transport.is_encrypted();
            if open && edns == Edns::With {
                guise = state.manners.dress(&mut self.rng, now);
            }
        }
        let way = scope.way();
        let transmit = self.exchanges.start(
            asking,
            purpose,
            upstream,
            channel,
            edns,
            guise,
            way,
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
        self.timers.clear(Timer::Patience, id);
        for exchange in std::mem::take(&mut lookup.exchanges) {
            self.let_go(exchange, lookup.won_by.as_ref(), now);
        }
        Some(lookup)
    }

    /// Ends an exchange whose socket is open; a message that was not yet taken is not sent at all.
    pub(crate) fn end_exchange(&mut self, id: ExchangeId) -> Option<Exchange> {
        let exchange = self.exchanges.remove(id)?;
        self.forget_exchange(id, &exchange);
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

    fn forget_exchange(&mut self, id: ExchangeId, exchange: &Exchange) {
        match exchange.purpose {
            Purpose::Lookup(lookup) | Purpose::Walk(lookup, _) => {
                if let Some(lookup) = self.lookups.get_mut(lookup) {
                    lookup.exchanges.retain(|&other| other != id);
                }
            }
            Purpose::Probe => self.forget_probe(id, exchange),
        }
    }

    pub(crate) fn note_step(&mut self, purpose: Purpose, step: Step) {
        if let Purpose::Lookup(id) = purpose
            && let Some(lookup) = self.lookups.get_mut(id)
        {
            lookup.steps.push(step);
        }
    }
}

fn is_good(rcode: u16) -> bool {
    matches!(rcode, rcode::NOERROR | rcode::NXDOMAIN | rcode::YXDOMAIN)
}
