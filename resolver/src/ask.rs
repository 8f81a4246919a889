//! Whom is a lookup asked of next, and when again? Attempts, hedges, repetitions, and their end.
//!
//! ```text
//!            ┌─ hedge: an untried upstream, after 2×srtt, 150 to 400 ms; at once where two are asked
//! start → asking ── round: all tried; again after 2×srtt, from 50 ms, doubled from the second time on
//!            ├─ failure, error reply: the next untried one at once
//!            ├─ truncated, or too many wrong replies, or nothing by datagrams: TCP to the same (nothing by TCP alone: datagrams)
//!            └─ good reply · nobody left · nobody waits → concluded; what is under way is cancelled, or watched (`probing`)
//! ```
//!
//! Everything stays within the scope of the lookup. Whether anybody may still reply is `hopeless`'s to say, what a
//! reply means for it `reply`'s; what a query does with the conclusion is not known here.

use std::time::Duration;

use config::model::{RecursionMode, Transport, Upstream};
use config::time::Instant;

use crate::Resolver;
use crate::event::{Channel, ExchangeId, Failure, Step, Timer};
use crate::exchange::{Asking, Edns, Exchange, Purpose};
use crate::lookup::Waiter;
use crate::query::BUDGET;

/// The most messages for one lookup.
pub(crate) const ATTEMPTS_MAX: u8 = 9;
/// How old the last message of a lookup is when somebody who joins it may have a message of his own.
const JOIN_REPEAT: Duration = Duration::from_secs(1);
/// From which round on, and after which time, an upstream that is silent by datagrams is asked by stream.
const STREAM_ROUND: u8 = 2;
const STREAM_AFTER: Duration = Duration::from_millis(400);
/// How long to wait for a better reply when one that is an error is at hand.
const BAD_REPLY_PATIENCE: Duration = Duration::from_millis(1500);
/// How long to wait before asking again where everybody failed at once.
pub(crate) const REJECT_PAUSE: Duration = Duration::from_millis(300);
/// How long the last message is given at least.
const LAST_PATIENCE: Duration = Duration::from_secs(1);
/// How often everybody may fail at once before the query is told.
pub(crate) const REJECT_ROUNDS: u8 = 1;

impl Resolver {
    /// Lets somebody wait for a question; returns the lookup.
    pub(crate) fn ask(&mut self, waiter: Waiter, mut asking: Asking, now: Instant) -> u64 {
        asking.fleeting |= self.jail(&asking.scope).is_some();
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
            | Timer::Labels
            | Timer::Patience
            | Timer::Prefix
            | Timer::Reach => {}
        }
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
        let (upstream, state, mut channel) = loop {
            let Some(upstream) = scope.choose(asking, &lookup.tried, &mut self.rng) else {
                return false;
            };
            let state = scope.state(&upstream);
            let channel = state.map_or_else(|| Channel::to(&upstream), |state| state.channel(now));
            if channel == Channel::Tcp || !self.exchanges.has_share(asking, &upstream) {
                break (upstream, state, channel);
            }
            // It is passed by, as if there were no socket left.
            let (failure, channel) = (Failure::Resources, Channel::Udp);
            lookup.tried.push(upstream.clone());
            lookup.failures.push((upstream.clone(), failure));
            lookup.passed_by += 1;
            let step = Step::Failed(upstream, channel, failure);
            lookup.steps.push(step);
        };
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
        let is_closed = state.is_some_and(|state| state.has_refused_lately(now));
        let is_open = upstream.transport == Transport::Plain;
        match channel {
            Channel::Udp if again && (lookup.round >= STREAM_ROUND || is_closed) => {
                let waited = now.since(lookup.started_at);
                if is_open && waited >= STREAM_AFTER && !lookup.streamed.contains(&upstream) {
                    lookup.streamed.push(upstream.clone());
                    channel = Channel::Tcp;
                }
            }
            // One that was deaf to datagrams once may well hear them now.
            Channel::Tcp if again && is_open && lookup.round % 2 == 1 => channel = Channel::Udp,
            Channel::Udp | Channel::Tcp => {}
        }
        let first = lookup.attempts == 0;
        lookup.tried.push(upstream.clone());
        if first {
            let asking = asking.clone();
            self.probe(&asking, &upstream, now);
        }
        self.send(id, upstream.clone(), channel, edns, now);
        if again {
            self.mark_again(id, &upstream, channel, now);
        }
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
        if self.is_hopeless(id, now) {
            self.conclude_closed(id, now);
            return;
        }
        let Some(lookup) = self.lookups.get_mut(id) else {
            return;
        };
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
        if upstream.transport != Transport::Plain {
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
            (true, false) if self.is_hopeless(id, now) => self.conclude_closed(id, now),
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
        if channel == Channel::Udp {
            self.thin_out(id, &upstream);
        }
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
}
