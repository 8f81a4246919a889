//! What does a reply to a lookup's message mean for it, and what does a failure? Taken, asked again in another way, kept as an error.
//!
//! Whether what came back is the reply is `exchange`'s to say, what it teaches about the upstream is `learn`'s, and whom to ask next is
//! `ask`'s.

use std::sync::Arc;

use config::time::Instant;

use crate::Resolver;
use crate::answer::encode;
use crate::ask::{ATTEMPTS_MAX, REJECT_PAUSE, REJECT_ROUNDS};
use crate::chain;
use crate::conclude::{Conclusion, Version};
use crate::event::{Channel, ExchangeId, Failure, Step};
use crate::exchange::{Edns, Exchange, Mismatch, Purpose};
use crate::learn::{is_referral, note_cookie, told_by};
use crate::record::ParsedReply;
use crate::trim::trim_unproven;
use crate::upstream::Outcome;
use crate::wire::rcode;

impl Resolver {
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
                    self.exchanges.keep_room(exchange);
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

    fn take_good_reply(&mut self, exchange: &Exchange, reply: ParsedReply, now: Instant) {
        let asking = &exchange.asking;
        let upstream = &exchange.upstream;
        let rtt = self.rtt_of(exchange, now);
        let Some(scope) = self.scopes.living(&asking.scope, asking.incarnation) else {
            return;
        };
        let mut learned = false;
        if let Some(state) = scope.state_mut(upstream) {
            if exchange.channel == Channel::Udp {
                learned = state.channel(now) == Channel::Tcp;
                state.manners.note_datagram(exchange.sent_at);
            }
            let was_met = !state.has_told_nothing();
            if let Some(rtt) = rtt {
                state.note_rtt(exchange.channel, rtt, now);
            }
            // The next time in this network it begins with this one's time.
            learned |= !was_met && !state.has_told_nothing();
            note_cookie(state, exchange, &reply);
        }
        if learned {
            self.remember(asking, upstream, now);
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
            rtt: now.since(exchange.sent_at),
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
        let mut hop = chain::follow(&asking.question, &asking.scope, reply, |name| {
            plan.domains.route(name)
        });
        let Some(reply) = bad else {
            if asking.validate {
                self.judge(id, upstream, hop, extended_error, now);
                return;
            }
            trim_unproven(&mut hop, &asking.question.name);
            // What was forgotten meanwhile does not come back by what was asked before.
            let is_kept = !self.is_fleeting(id);
            let template = match is_kept {
                true => self.store(asking, &hop, now),
                false => Arc::new(encode(&asking.question, &hop)),
            };
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
        let loops = self.errs_for_its_loop(asking, upstream, &reply, now);
        let Some(lookup) = self.lookups.get_mut(id) else {
            return;
        };
        lookup.keep_bad(upstream.clone(), reply, now);
        if loops {
            self.end_exchanges_with(id, upstream);
        }
        self.after_exchange(id, now);
    }

    fn is_fleeting(&self, id: u64) -> bool {
        let lookup = self.lookups.get(id);
        lookup.is_some_and(|lookup| lookup.asking.fleeting)
    }

    fn take_loss(&mut self, exchange: &Exchange, failure: Failure, now: Instant) {
        if exchange.purpose == Purpose::Mark {
            // Some end a connection for a type that they do not know.
            self.note_straight(exchange, now);
            return;
        }
        let usual = exchange.channel == Channel::to(&exchange.upstream);
        self.take_outcome(exchange, Outcome::of_failure(failure, usual), now);
        let Purpose::Lookup(id) = exchange.purpose else {
            return;
        };
        if let Some(lookup) = self.lookups.get_mut(id) {
            lookup.failures.push((exchange.upstream.clone(), failure));
            if (exchange.channel, failure) == (Channel::Tcp, Failure::Refused) {
                lookup.shut.push(exchange.upstream.clone());
            }
            // A late word of what was sent at first is not one more.
            let is_once_more = lookup.round >= REJECT_ROUNDS
                && exchange.sent_at.since(lookup.started_at) >= REJECT_PAUSE;
            if failure == Failure::Unreachable && is_once_more {
                lookup.lost.push(exchange.upstream.clone());
            }
        }
        self.after_exchange(id, now);
    }
}

fn is_good(rcode: u16) -> bool {
    matches!(rcode, rcode::NOERROR | rcode::NXDOMAIN | rcode::YXDOMAIN)
}
