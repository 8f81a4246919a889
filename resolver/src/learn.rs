//! What does a reply, or its absence, teach about an upstream? Whether it works, how it wants to be asked, whether it was it at all.
//!
//! A reply that may be the right one but for its guise (another spelling, no cookie) is asked for again by stream, where no
//! stranger gets in; what the stream says decides what is expected of the upstream from then on. Knows lookups by their number.

use std::time::Duration;

use config::model::Upstream;
use config::time::Instant;

use crate::Resolver;
use crate::ask::ATTEMPTS_MAX;
use crate::event::{Channel, ExchangeId, Step, Timer};
use crate::exchange::{Asking, Edns, Exchange, Purpose};
use crate::record::{ParsedReply, RawRecord};
use crate::stale::Before;
use crate::upstream::{Change, Doubt, Outcome, UpstreamState};
use crate::wire::{rcode, rtype};

impl Resolver {
    /// Learns from who gave the reply that counts, and who did not.
    pub(crate) fn take_win(
        &mut self,
        id: u64,
        exchange: &Exchange,
        reply: &ParsedReply,
        now: Instant,
    ) {
        let Some(lookup) = self.lookups.get_mut(id) else {
            return;
        };
        let upstream = &exchange.upstream;
        let asking = &exchange.asking;
        lookup.won_by = Some(upstream.clone());
        let outdone = std::mem::take(&mut lookup.errors);
        let by_stream = exchange.channel == Channel::Tcp;
        let asked = lookup.asked.iter().filter(|other| *other == upstream);
        let again = asked.count() > 1;
        let mut learned = false;
        if let Some(scope) = self.scopes.living(&asking.scope, asking.incarnation)
            && let Some(state) = scope.state_mut(upstream)
        {
            let manners = &mut state.manners;
            let before = manners.known(now);
            if exchange.edns == Edns::Without
                && reply.edns.is_none()
                && lookup.plain.contains(upstream)
            {
                manners.note_plain(now);
            }
            if exchange.edns == Edns::Bare && !by_stream && again {
                manners.note_bare(lookup.bare.contains(upstream), now);
            }
            if by_stream && lookup.streamed.contains(upstream) {
                manners.note_stream(lookup.started_at, now);
            }
            let doubted = lookup.doubted.iter().find(|(other, ..)| other == upstream);
            if let (true, Some((_, doubt, doubtful))) = (by_stream, doubted) {
                manners.note_doubt(*doubt, tells_the_same(reply, doubtful), now);
            }
            learned = manners.known(now) != before;
        }
        if learned {
            self.remember(asking, upstream, now);
        }
        for (other, rcode) in outdone {
            if other != *upstream {
                self.take_outcome_of(&other, asking, Outcome::Outdone(rcode), now, now);
            }
        }
    }

    /// Counts a message that is not taken for the reply.
    pub(crate) fn note_dropped(&mut self, id: ExchangeId, reason: &'static str) {
        self.counters.dropped += 1;
        let Some(exchange) = self.exchanges.get_mut(id) else {
            return;
        };
        let asking = &exchange.asking;
        if let Some(scope) = self.scopes.living(&asking.scope, asking.incarnation)
            && let Some(state) = scope.state_mut(&exchange.upstream)
        {
            state.forged += 1;
        }
        let step = Step::Dropped(exchange.upstream.clone(), reason);
        let purpose = exchange.purpose;
        self.note_step(purpose, step);
    }

    /// Asks by stream for what came in a guise that is not its own; the datagram that is may still come.
    pub(crate) fn take_doubtful(
        &mut self,
        id: ExchangeId,
        doubt: Doubt,
        reply: ParsedReply,
        now: Instant,
    ) {
        let Some(exchange) = self.exchanges.get_mut(id) else {
            return;
        };
        let upstream = exchange.upstream.clone();
        let Purpose::Lookup(lookup) = exchange.purpose else {
            // Nobody gets to see what it says; somebody is there.
            if let Some(exchange) = self.end_exchange(id) {
                self.take_probe_reply(&exchange, &reply, now);
            }
            return;
        };
        let Some(open) = self.lookups.get_mut(lookup) else {
            return;
        };
        let doubted = open.doubted.iter().any(|(other, ..)| *other == upstream);
        if doubted || open.attempts >= ATTEMPTS_MAX {
            return;
        }
        open.doubted.push((upstream.clone(), doubt, reply));
        self.send(lookup, upstream, Channel::Tcp, Edns::Bare, now);
    }

    /// Asks again with the cookie that came with the complaint about ours, once; then by stream (RFC 7873 §5.3).
    pub(crate) fn ask_with_cookie(&mut self, id: u64, exchange: &Exchange, now: Instant) {
        let upstream = &exchange.upstream;
        let Some(lookup) = self.lookups.get_mut(id) else {
            return;
        };
        if lookup.attempts < ATTEMPTS_MAX && !lookup.bad_cookie.contains(upstream) {
            lookup.bad_cookie.push(upstream.clone());
            self.send(id, upstream.clone(), Channel::Udp, Edns::With, now);
        } else {
            self.ask_by_tcp(exchange, now);
        }
    }

    /// Takes what became of a message into what is known of its upstream.
    pub(crate) fn take_outcome(&mut self, exchange: &Exchange, outcome: Outcome, now: Instant) {
        let Exchange {
            asking,
            upstream,
            sent_at,
            ..
        } = exchange;
        let scope = self.scopes.living(&asking.scope, asking.incarnation);
        let state = scope.and_then(|scope| scope.state(upstream));
        if outcome.is_miss() && state.is_some_and(|state| is_trial(state, exchange, now)) {
            return;
        }
        self.take_outcome_of(upstream, asking, outcome, *sent_at, now);
    }

    pub(crate) fn take_outcome_of(
        &mut self,
        upstream: &Upstream,
        asking: &Asking,
        outcome: Outcome,
        sent_at: Instant,
        now: Instant,
    ) {
        if outcome.is_silence() && sent_at < self.back_at {
            return;
        }
        let Some(scope) = self.scopes.living(&asking.scope, asking.incarnation) else {
            return;
        };
        let heard = scope.state(upstream).and_then(UpstreamState::heard);
        let answered = scope.states().filter_map(UpstreamState::answered).max();
        let change = scope.take(upstream, outcome, sent_at, now);
        if matches!(outcome, Outcome::Good(_)) {
            let recovered = change == Change::Recovered;
            scope
                .outages
                .end(scope.slot, heard, recovered, &self.cache, now);
            let before = Before { heard, answered };
            self.keeping.lift(scope.slot, before, recovered, now);
        }
        if change == Change::Nothing {
            return;
        }
        self.remember(asking, upstream, now);
        self.reach_hears(&asking.scope, change, now);
        if change == Change::Failed {
            self.hurry(asking.incarnation, upstream, now);
        }
    }

    /// Returns how long the reply took that comes now; `None` when it may have waited for us.
    pub(crate) fn rtt_of(&self, exchange: &Exchange, now: Instant) -> Option<Duration> {
        (exchange.sent_at >= self.back_at).then(|| now.since(exchange.sent_at))
    }

    /// Does not let questions wait for one that has just come to fail.
    fn hurry(&mut self, incarnation: u64, upstream: &Upstream, now: Instant) {
        for id in self.lookups.ids() {
            let waits = self.lookups.get(id).is_some_and(|lookup| {
                lookup.asking.incarnation == incarnation && lookup.asked.last() == Some(upstream)
            });
            if waits {
                self.timers.hasten(Timer::Hedge, id, now);
            }
        }
    }
}

/// Takes the cookie of a reply that is believed.
pub(crate) fn note_cookie(state: &mut UpstreamState, exchange: &Exchange, reply: &ParsedReply) {
    if exchange.has_cookie() {
        let server = reply.cookie.as_ref().map(|(_, server)| &**server);
        state
            .manners
            .note_cookie(server.filter(|server| !server.is_empty()));
    }
}

/// Whether a message went by datagram to one that is known not to hear them: that it is missed is no news.
pub(crate) fn is_trial(state: &UpstreamState, exchange: &Exchange, now: Instant) -> bool {
    exchange.channel == Channel::Udp && state.channel(now) == Channel::Tcp
}

/// What a reply says of its upstream, whatever the lookup makes of it; `rtt` is how long it took, when that is known.
pub(crate) fn told_by(exchange: &Exchange, reply: &ParsedReply, rtt: Option<Duration>) -> Outcome {
    match (
        is_answer(reply),
        exchange.channel == Channel::to(&exchange.upstream),
    ) {
        (false, _) => Outcome::Heard,
        (true, true) => Outcome::Good(rtt.unwrap_or_default()),
        // The time of a stream that is made for one message is not one round trip.
        (true, false) => Outcome::Good(Duration::ZERO),
    }
}

/// Whether a reply is one of a server that works.
pub(crate) fn is_answer(reply: &ParsedReply) -> bool {
    matches!(
        reply.rcode,
        rcode::NOERROR | rcode::NXDOMAIN | rcode::YXDOMAIN
    ) && !is_referral(reply)
}

/// Whether two replies say the same, in whatever order and however old.
fn tells_the_same(one: &ParsedReply, other: &ParsedReply) -> bool {
    let told = |reply: &ParsedReply| {
        let record = |record: &RawRecord| (record.record_type, record.rdata.clone());
        let mut records: Vec<_> = reply.answers.iter().map(record).collect();
        records.sort_unstable();
        records
    };
    one.rcode == other.rcode && told(one) == told(other)
}

/// Whether an upstream sends us elsewhere instead of answering: it does not recurse.
pub(crate) fn is_referral(reply: &ParsedReply) -> bool {
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
