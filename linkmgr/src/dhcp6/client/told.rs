//! What is told of leases and options? Events when something has changed, and the report.

use std::sync::Arc;

use super::*;
use crate::dhcp6::wire::find;
use crate::offered::without_names;

impl Client {
    /// Returns what is supplied, as [`Event::Supplied`] said it last.
    pub const fn supply(&self) -> Option<&Supply> {
        self.told.as_ref()
    }

    pub(super) fn tell(&mut self, now: Instant) {
        let supply = supply(
            &self.leases,
            &[&self.granted.0, &self.informed.0],
            self.confirmed,
        );
        let supply = match self.moved && !self.confirmed {
            true => without_names(supply),
            false => supply,
        };
        if supply == Supply::default() {
            if self.told.take().is_some() {
                self.events
                    .retain(|event| !matches!(event, Event::Supplied(_)));
                self.events.push_back(Event::Withdrawn);
            }
        } else if self.told.as_ref() != Some(&supply) {
            self.told = Some(supply.clone());
            self.events
                .retain(|event| !matches!(event, Event::Supplied(_) | Event::Withdrawn));
            self.events.push_back(Event::Supplied(Box::new(supply)));
        }
        if std::mem::take(&mut self.keep) {
            let mut memory = Memory::of(&self.leases, &self.granted.1, &self.informed.1, now);
            memory.is_own = self.setup.settings.delegate.is_none();
            self.events.retain(|event| !matches!(event, Event::Keep(_)));
            self.events.push_back(Event::Keep(Box::new(memory)));
        }
    }

    /// What the server that gave leases says counts before what another one was asked for alone.
    fn own_options(&self) -> Vec<(u16, Arc<[u8]>)> {
        let numbers = self.setup.settings.own.request.iter().copied();
        let found = numbers.filter_map(|number| {
            let replies = [&self.granted.1, &self.informed.1];
            let mut octets = replies.into_iter().filter_map(|reply| find(reply, number));
            Some((number, octets.next()?.into()))
        });
        found.collect()
    }

    /// Returns state and leases, for `linnet status`.
    pub fn report(&self, now: Instant) -> Report {
        let (state, sent) = match &self.state {
            State::Soliciting(exchange, _) => ("SOLICIT", exchange.sent),
            State::Requesting(exchange, ..) => ("REQUEST", exchange.sent),
            State::Confirming(exchange) => ("CONFIRM", exchange.sent),
            State::Renewing(exchange) => ("RENEW", exchange.sent),
            State::Rebinding(exchange) => ("REBIND", exchange.sent),
            State::Bound => ("bound", 0),
            State::Released => ("released", 0),
            State::Idle => match &self.information {
                Information::Idle => ("idle", 0),
                Information::Asking(exchange, _) => ("INFORMATION-REQUEST", exchange.sent),
                Information::Informed { .. } => ("informed", 0),
            },
        };
        let left = |until: Option<Instant>| until.map(|until| Lifetime::left(Some(until), now).0);
        let is_held = !self.leases.held.is_empty();
        Report {
            state,
            sent,
            server: is_held.then(|| hexadecimal(&self.leases.server)),
            leases: self
                .leases
                .held
                .iter()
                .map(|held| LeaseReport {
                    sort: held.sort,
                    prefix: held.prefix.to_string(),
                    preferred: Lifetime::left(held.preferred_until, now).0,
                    valid: Lifetime::left(held.valid_until, now).0,
                    taken_back: held.taken_back,
                })
                .collect(),
            renew: left(self.leases.renew_at),
            rebind: left(self.leases.rebind_at),
            refresh: match &self.information {
                Information::Informed { refresh_at } => left(Some(*refresh_at)),
                Information::Idle | Information::Asking(..) => None,
            },
            options: self.own_options(),
            complaint: self.complaint.as_ref().map(|status| status.text.clone()),
            registered: self.registrations.done().collect(),
            passed_over: self.passed_over,
        }
    }
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
