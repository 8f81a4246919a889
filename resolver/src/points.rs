//! Which keys does a trust point publish now? Asked for when the shell says so, never answered from a cache (RFC 5011 §2.3).
//!
//! What the keys come to is for whoever keeps the trust points; here they are fetched where the point's name may be asked,
//! and from the root down when an upstream leaves the signatures out.

use config::model::DnssecMode;
use config::name::DomainName;
use config::time::Instant;
use dnssec::anchors::rollover::Observation;

use crate::Resolver;
use crate::conclude::Conclusion;
use crate::event::Event;
use crate::exchange::{Asking, Whom};
use crate::lookup::Waiter;
use crate::validate::judged_reply;
use crate::wire::{Question, class, rtype};

impl Resolver {
    /// Has the keys of a trust point asked for; the next [`Event::Keys`] about it is the outcome.
    pub fn ask_for_keys(&mut self, owner: &DomainName, now: Instant) {
        let route = self.plan.domains.route(owner);
        let found = route.target.scope().and_then(|id| {
            let scope = self.scopes.get(id)?;
            (scope.plan.dnssec != DnssecMode::Off).then(|| (id.clone(), scope.incarnation))
        });
        let Some((scope, incarnation)) = found else {
            self.tell_keys(owner, None);
            return;
        };
        let asking = Asking {
            scope,
            incarnation,
            question: Question {
                name: owner.clone(),
                record_type: rtype::DNSKEY,
                class: class::IN,
            },
            dnssec_ok: true,
            checking_disabled: true,
            validate: false,
            recurse: false,
            fleeting: false,
            whom: Whom::Any,
            mark: 0,
        };
        self.ask(Waiter::Keys, asking, now);
    }

    /// Takes what such a question came to.
    pub(crate) fn take_keys(&mut self, asking: &Asking, conclusion: &Conclusion, now: Instant) {
        let owner = &asking.question.name;
        let observation = match conclusion {
            Conclusion::Reply { signed, .. } => {
                dnssec::Name::from_wire(owner.as_wire()).and_then(|name| {
                    let reply = judged_reply(&signed.hop);
                    let seconds = self.wall(now).seconds;
                    dnssec::observe_keys(&name, &reply, self.trust.algorithms(), seconds)
                })
            }
            Conclusion::Refused(_) => None,
        };
        let is_signed = |seen: &Observation| seen.keys.iter().any(|key| key.signs);
        let is_good = observation.as_ref().is_some_and(is_signed);
        if !is_good && !asking.recurse && self.may_walk_for(asking, now) {
            let asking = Asking {
                recurse: true,
                ..asking.clone()
            };
            self.ask(Waiter::Keys, asking, now);
            return;
        }
        self.tell_keys(owner, observation);
    }

    fn tell_keys(&mut self, owner: &DomainName, observation: Option<Observation>) {
        self.events
            .push_back(Event::Keys(owner.clone(), observation));
    }
}
