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
            scope.take_forms(Discovered {
                plain: plain.clone(),
                forms,
                ask_at: now + lifetime,
            });
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

    fn take_forms(&mut self, found: Discovered) {
        let known = self
            .discovered
            .iter_mut()
            .find(|known| known.plain == found.plain);
        let Some(known) = known else {
            return;
        };
        *known = found;
        let upstreams = self.take_states();
        self.seat(upstreams);
    }

    /// Seats the upstreams of the plan, each after its encrypted forms; states that are known stay.
    pub(crate) fn seat(&mut self, mut known: Vec<UpstreamState>) {
        let planned = self.plan.upstreams.clone();
        self.discovered
            .retain(|found| self.plan.discovers && planned.contains(&found.plain));
        let mut seated: Vec<UpstreamState> = Vec::new();
        let mut take = |upstream: &Upstream, optional: bool| {
            if seated.iter().any(|state| state.upstream == *upstream) {
                return;
            }
            let at = known.iter().position(|state| state.upstream == *upstream);
            let state = at.map(|at| known.swap_remove(at));
            if let Some(state) =
                state.or_else(|| optional.then(|| UpstreamState::untried(upstream.clone())))
            {
                seated.push(state);
            }
        };
        for upstream in &planned {
            let forms = self
                .discovered
                .iter()
                .filter(|found| found.plain == *upstream);
            for form in forms.flat_map(|found| &found.forms) {
                // What is configured by itself has its own place.
                if !planned.contains(form) {
                    take(form, true);
                }
            }
            take(upstream, false);
        }
        self.put_states(seated);
    }

    /// Forgets what was said in another network.
    pub(crate) fn forget_forms(&mut self) {
        self.discovered.clear();
    }
}
