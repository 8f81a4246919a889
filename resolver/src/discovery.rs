//! Has a plain upstream encrypted forms? It is asked (RFC 9462 §4), and what it says is tried before it is believed.
//!
//! ```text
//! first question to the scope ─► SVCB of _dns.resolver.arpa ─► forms, before their plain upstream, not tried yet
//!                                     again after its TTL ◄──┘      └─► tried beside real questions; used when they work
//! ```
//!
//! A form is at the same address, and its certificate must be for that address: nobody is sent to another operator. By
//! switch only. What a form is, `designation` says; whether it works, `health`.

use std::time::Duration;

use config::model::{Transport, Upstream};
use config::time::Instant;

use crate::Resolver;
use crate::conclude::Conclusion;
use crate::designation;
use crate::exchange::{Asking, Whom};
use crate::lookup::Waiter;
use crate::networks::Networks;
use crate::scope::Scope;
use crate::upstream::UpstreamState;
use crate::wire::{Question, class, rtype};

/// How long an upstream is not asked again, at least and at most.
const AGAIN_MIN: Duration = Duration::from_secs(300);
const AGAIN_MAX: Duration = Duration::from_secs(86_400);

/// What one plain upstream of a scope said of its encrypted forms.
#[derive(Debug, Clone)]
pub(crate) struct Discovered {
    plain: Upstream,
    forms: Vec<Upstream>,
    ask_at: Instant,
}

impl Resolver {
    /// Asks the plain upstreams of a scope for their encrypted forms, those for which it is time.
    pub(crate) fn discover(&mut self, asking: &Asking, now: Instant) {
        let Some(scope) = self.scopes.living(&asking.scope, asking.incarnation) else {
            return;
        };
        let due = scope.take_undiscovered(now);
        if due.is_empty() {
            return;
        }
        let Ok(name) = designation::NAME.parse() else {
            return;
        };
        let question = Question {
            name,
            record_type: rtype::SVCB,
            class: class::IN,
        };
        for upstream in due {
            let asking = Asking {
                question: question.clone(),
                dnssec_ok: false,
                checking_disabled: false,
                // What is said there is proven by a certificate, or not at all.
                validate: false,
                recurse: false,
                whom: Whom::Only(upstream),
                ..asking.clone()
            };
            self.ask(Waiter::Discovery, asking, now);
        }
    }

    /// Takes what an upstream said of its encrypted forms.
    pub(crate) fn take_discovered(
        &mut self,
        asking: &Asking,
        conclusion: &Conclusion,
        now: Instant,
    ) {
        let Whom::Only(plain) = &asking.whom else {
            return;
        };
        let (mut forms, mut lifetime) = (Vec::new(), AGAIN_MIN);
        if let Conclusion::Reply { plain: version, .. } = conclusion {
            let records = version.hop.answers.iter();
            let records: Vec<_> = records
                .filter(|record| record.record_type == rtype::SVCB)
                .collect();
            forms = designation::designated(plain, records.iter().map(|record| &*record.rdata));
            let ttl = records.iter().map(|record| record.ttl).min();
            lifetime = Duration::from_secs(ttl.unwrap_or(0).into()).clamp(AGAIN_MIN, AGAIN_MAX);
        }
        if let Some(scope) = self.scopes.living(&asking.scope, asking.incarnation) {
            let found = Discovered {
                plain: plain.clone(),
                forms,
                ask_at: now + lifetime,
            };
            scope.take_forms(found, &self.networks, now);
        }
    }
}

impl Scope {
    /// Returns the plain upstreams that are to be asked, and notes that they are.
    fn take_undiscovered(&mut self, now: Instant) -> Vec<Upstream> {
        if !self.plan.discovers {
            return Vec::new();
        }
        let usual = Transport::Plain.default_port();
        let mut due = Vec::new();
        for upstream in &self.plan.upstreams {
            if upstream.transport != Transport::Plain || upstream.port != usual {
                continue;
            }
            let known = self
                .discovered
                .iter_mut()
                .find(|known| known.plain == *upstream);
            match known {
                Some(known) if now < known.ask_at => continue,
                Some(known) => known.ask_at = now + AGAIN_MIN,
                None => self.discovered.push(Discovered {
                    plain: upstream.clone(),
                    forms: Vec::new(),
                    ask_at: now + AGAIN_MIN,
                }),
            }
            due.push(upstream.clone());
        }
        due
    }

    fn take_forms(&mut self, found: Discovered, networks: &Networks, now: Instant) {
        let known = self
            .discovered
            .iter_mut()
            .find(|known| known.plain == found.plain);
        let Some(known) = known else {
            return;
        };
        *known = found;
        let upstreams = self.take_states();
        self.seat(upstreams, networks, now);
    }

    /// Seats the upstreams of the plan, each after its forms; states that are known stay. What goes by HTTPS has a form by HTTP/3
    /// where that is wanted.
    pub(crate) fn seat(
        &mut self,
        mut known: Vec<UpstreamState>,
        networks: &Networks,
        now: Instant,
    ) {
        let planned = self.plan.upstreams.clone();
        self.discovered
            .retain(|found| self.plan.discovers && planned.contains(&found.plain));
        let mut seated: Vec<UpstreamState> = Vec::new();
        let mut take = |upstream: &Upstream, before: Option<&Upstream>| {
            // What is configured by itself has its own place.
            let has_place = before.is_some() && planned.contains(upstream);
            if has_place || seated.iter().any(|state| state.upstream == *upstream) {
                return;
            }
            let at = known.iter().position(|state| state.upstream == *upstream);
            let state = match (at.map(|at| known.swap_remove(at)), before) {
                (Some(state), before) => state.seated(before.cloned()),
                (None, Some(before)) => {
                    let memory = self.plan.network.as_ref();
                    let memory = memory.and_then(|network| networks.memory(network, upstream));
                    UpstreamState::form(upstream.clone(), before.clone(), memory, now)
                }
                (None, None) => return,
            };
            seated.push(state);
        };
        let by_http3 = |upstream: &Upstream| upstream.by_http3().filter(|_| self.plan.http3);
        for upstream in &planned {
            let forms = self
                .discovered
                .iter()
                .filter(|found| found.plain == *upstream);
            for form in forms.flat_map(|found| &found.forms) {
                if let Some(form) = by_http3(form) {
                    take(&form, Some(upstream));
                }
                take(form, Some(upstream));
            }
            if let Some(form) = by_http3(upstream) {
                take(&form, Some(upstream));
            }
            take(upstream, None);
        }
        self.put_states(seated);
    }

    /// Forgets what was said in another network.
    pub(crate) fn forget_forms(&mut self) {
        self.discovered.clear();
    }
}
