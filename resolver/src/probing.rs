//! How is it found out that an upstream works again, or that it does not? By copies of real questions, and by what is left over.
//!
//! ```text
//! question for another ─► copy to the failing one ─► good, in time ─► one more copy at once, until enough came in a row
//!                                                  └► late, an error, nothing ─► with a later question, after a pause
//! question by stream, because datagrams were not heard ─► copy by datagram, now and then ─► a reply: by datagram again
//! lookup has its answer ─► what is still under way tells how late it is, or that it is lost
//! ```
//!
//! A copy goes where its question may go: to upstreams of the same scope. Without questions nothing is sent, but for the first message
//! to an encrypted upstream of the default scope, which makes its connection. What a copy's
//! reply says is told to nobody.

use std::time::Duration;

use config::model::{Transport, Upstream};
use config::name::DomainName;
use config::time::Instant;
use policy::ScopeState;

use crate::Resolver;
use crate::event::{Channel, ExchangeId, Timer};
use crate::exchange::{Asking, Edns, Exchange, Purpose, Whom};
use crate::learn::{is_answer, is_trial, told_by};
use crate::record::ParsedReply;
use crate::upstream::{Outcome, UpstreamState};
use crate::wire::{Question, class, rtype};

/// How long the reply to a message is waited for that only tells how its upstream does.
const PROBE_LIFETIME: Duration = Duration::from_millis(1500);

impl Resolver {
    /// Copies a question, which goes to `asked`, to the failing upstreams that it is time to try again.
    pub(crate) fn probe(&mut self, asking: &Asking, asked: &Upstream, now: Instant) {
        let Some(scope) = self.scopes.living(&asking.scope, asking.incarnation) else {
            return;
        };
        let due = scope.take_due(asked, now);
        let by_stream = scope.state_mut(asked);
        let trial = by_stream.is_some_and(|state| state.manners.take_trial(now));
        for upstream in due {
            self.send_probe(asking, upstream, None, now);
        }
        if trial {
            self.send_probe(asking, asked.clone(), Some(Channel::Udp), now);
        }
        self.discover(asking, now);
    }

    /// Connects anew to the encrypted upstreams of the default scope.
    pub(crate) fn warm(&mut self, now: Instant) {
        self.warm_where(|_| true, now);
    }

    /// Connects to those encrypted upstreams of the default scope that nothing was ever sent to, so that the first question finds
    /// a connection, whether or not anything is to be proven of them.
    pub(crate) fn warm_new(&mut self, now: Instant) {
        self.warm_where(|state| !state.was_asked(), now);
    }

    /// Connects by a question about the root that tells nothing of anybody. Forms that are only tried wait for a real question, but for
    /// those by HTTP/3: who is asked by HTTPS hears no more by them.
    fn warm_where(&mut self, is_meant: impl Fn(&UpstreamState) -> bool, now: Instant) {
        let Some(id) = self.plan.default_scope() else {
            return;
        };
        let Some(scope) = self.scopes.get(&id) else {
            return;
        };
        if scope.plan.state != ScopeState::Ready {
            return;
        }
        let meant = scope.states().filter(|state| {
            let is_h3 = state.upstream.transport == Transport::H3;
            let is_in_use = is_h3 || !state.is_untried();
            state.upstream.transport.is_encrypted() && is_in_use && is_meant(state)
        });
        let meant: Vec<Upstream> = meant.map(|state| state.upstream.clone()).collect();
        let asking = Asking {
            incarnation: scope.incarnation,
            scope: id,
            question: Question {
                name: DomainName::root(),
                record_type: rtype::NS,
                class: class::IN,
            },
            dnssec_ok: false,
            checking_disabled: false,
            validate: false,
            recurse: false,
            whom: Whom::Any,
            mark: 0,
            fleeting: false,
        };
        for upstream in meant {
            self.send_probe(&asking, upstream, None, now);
        }
    }

    /// Sends a copy, as its upstream is asked at first unless `by` says otherwise.
    fn send_probe(
        &mut self,
        asking: &Asking,
        upstream: Upstream,
        by: Option<Channel>,
        now: Instant,
    ) {
        self.send_watched(asking, Purpose::Probe, upstream, by, now);
    }

    /// Sends what nobody waits for, as far as there is room for such; returns what it is, when it was sent.
    pub(crate) fn send_watched(
        &mut self,
        asking: &Asking,
        purpose: Purpose,
        upstream: Upstream,
        by: Option<Channel>,
        now: Instant,
    ) -> Option<ExchangeId> {
        let scope = self.scopes.living(&asking.scope, asking.incarnation)?;
        let state = scope.state_mut(&upstream)?;
        // Marks have a bound of their own.
        let counts = purpose != Purpose::Mark;
        if counts && !state.may_watch() {
            return None;
        }
        let channel = by.unwrap_or_else(|| state.channel(now));
        if channel == Channel::Udp && self.exchanges.has_share(asking, &upstream) {
            return None;
        }
        state.watched += u8::from(counts);
        let edns = match state.manners.takes_edns(now) {
            true => Edns::With,
            false => Edns::Without,
        };
        let sent = self.transmit(asking.clone(), purpose, upstream, channel, edns, now)?;
        self.timers.set(Timer::Probe, sent.0, now + PROBE_LIFETIME);
        Some(sent)
    }

    /// Takes the reply to a message that only tells how its upstream does.
    pub(crate) fn take_probe_reply(
        &mut self,
        exchange: &Exchange,
        reply: &ParsedReply,
        now: Instant,
    ) {
        if exchange.purpose == Purpose::Mark {
            self.note_straight(exchange, now);
            return;
        }
        let outcome = match is_answer(reply) {
            true => told_by(exchange, reply, self.rtt_of(exchange, now)),
            false => Outcome::Outdone(reply.rcode),
        };
        self.take_outcome(exchange, outcome, now);
        let asking = &exchange.asking;
        let Some(scope) = self.scopes.living(&asking.scope, asking.incarnation) else {
            return;
        };
        let state = scope.state(&exchange.upstream);
        if state.is_some_and(|state| state.is_on_its_way_back()) {
            self.send_probe(asking, exchange.upstream.clone(), None, now);
        }
    }

    /// Gives up on a message that only tells how its upstream does.
    pub(crate) fn take_probe_timeout(&mut self, id: ExchangeId, now: Instant) {
        let Some(exchange) = self.end_exchange(id) else {
            return;
        };
        if exchange.purpose == Purpose::Mark {
            // Whoever passes over types that he does not know is none the worse for it.
            self.note_straight(&exchange, now);
            return;
        }
        if !exchange.counted {
            self.counters.lost += 1;
            self.take_outcome(&exchange, Outcome::Overtaken, now);
        }
    }

    /// Lets go of an exchange whose lookup has ended, or goes on listening to learn how late its reply is.
    pub(crate) fn let_go(&mut self, id: ExchangeId, won_by: Option<&Upstream>, now: Instant) {
        let Some(exchange) = self.exchanges.get_mut(id) else {
            return;
        };
        let asking = &exchange.asking;
        let waited = now.since(exchange.sent_at);
        let scope = self.scopes.living(&asking.scope, asking.incarnation);
        let state = scope.and_then(|scope| scope.state_mut(&exchange.upstream));
        let (Some(state), false) = (state, matches!(exchange.purpose, Purpose::Walk(..))) else {
            self.end_exchange(id);
            return;
        };
        let outcome = match won_by {
            Some(_) | None if is_trial(state, exchange, now) => Outcome::Blameless,
            Some(winner) if *winner != exchange.upstream => Outcome::Overtaken,
            // It answered, if not this message.
            Some(_) => Outcome::Blameless,
            None => Outcome::Lost,
        };
        let overdue = waited >= state.patience();
        let is_sent = !self
            .transmits
            .iter()
            .any(|transmit| transmit.exchange == id);
        let usual = exchange.channel == state.channel(now);
        let worth = outcome == Outcome::Overtaken && usual;
        if worth && is_sent && waited < PROBE_LIFETIME && state.may_watch() {
            state.watched += 1;
            exchange.purpose = Purpose::Probe;
            exchange.counted = overdue;
            let sent_at = exchange.sent_at;
            self.timers
                .set(Timer::Probe, id.0, sent_at + PROBE_LIFETIME);
            if overdue {
                let (upstream, asking) = (exchange.upstream.clone(), asking.clone());
                self.counters.lost += 1;
                self.take_outcome_of(&upstream, &asking, outcome, sent_at, now);
            }
            return;
        }
        let Some(exchange) = self.end_exchange(id) else {
            return;
        };
        if overdue {
            self.counters.lost += 1;
            self.take_outcome(&exchange, outcome, now);
        }
    }

    /// Frees the place of a message that only tells how its upstream does.
    pub(crate) fn forget_probe(&mut self, id: ExchangeId, exchange: &Exchange) {
        self.timers.clear(Timer::Probe, id.0);
        let asking = &exchange.asking;
        if let Some(scope) = self.scopes.living(&asking.scope, asking.incarnation)
            && let Some(state) = scope.state_mut(&exchange.upstream)
        {
            state.watched = state.watched.saturating_sub(1);
        }
    }
}
