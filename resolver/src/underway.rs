//! What is under way for lookups, and how does it end? Messages begin and are given up here, and lookups let go of theirs.
//!
//! Does not decide whom to ask (`ask`), nor what is learned from a message that is given up (`probing`).

use config::model::{Transport, Upstream};
use config::time::Instant;

use crate::Resolver;
use crate::event::{Channel, ExchangeId, Step, Timer};
use crate::exchange::{Asking, Edns, Exchange, Purpose};
use crate::lookup::{Lookup, Waiter};
use crate::upstream::Guise;

impl Resolver {
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
            let open = channel == Channel::Udp && upstream.transport == Transport::Plain;
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

    /// As [`Self::leave`], for one whose time is over: a reply that is at hand is judged to its end, for whoever asks next.
    pub(crate) fn leave_late(&mut self, id: u64, gone: Waiter, now: Instant) {
        if let Some(lookup) = self.lookups.get_mut(id)
            && lookup.waiters == [gone]
            && lookup
                .judging
                .as_ref()
                .is_some_and(|judging| judging.is_fetching())
        {
            lookup.waiters = vec![Waiter::Nobody];
            self.be_patient(id, Waiter::Nobody, now);
        }
        self.leave(id, gone, now);
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
            if let Some(exchange) = self.end_exchange(id)
                && let Purpose::Lookup(lookup) = exchange.purpose
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

    pub(crate) fn end_lookup(&mut self, id: u64, now: Instant) -> Option<Box<Lookup>> {
        let mut lookup = self.lookups.remove(id)?;
        self.walks.end_scouting(&mut lookup);
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
    pub(crate) fn end_exchange(&mut self, id: ExchangeId) -> Option<Box<Exchange>> {
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

    pub(crate) fn forget_exchange(&mut self, id: ExchangeId, exchange: &Exchange) {
        match exchange.purpose {
            Purpose::Lookup(lookup) | Purpose::Walk(lookup, _) => {
                if let Some(lookup) = self.lookups.get_mut(lookup) {
                    lookup.exchanges.retain(|&other| other != id);
                }
            }
            Purpose::Probe => self.forget_probe(id, exchange),
            Purpose::Mark => self.forget_mark(id),
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
