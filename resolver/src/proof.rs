//! Can an upstream be validated through? Asked with real questions when it is first needed, never inferred from a lost packet.
//!
//! ```text
//! Unknown ── first question: held up to 2 s ──► Trying ── all judged good ──► Proven (bogus answers are refused)
//!    ▲ remembered of this network: not held        │ ▲                          │ a bogus answer: asked again
//!    │                       one was not ──────────▼ └── a minute later ◄───────┘
//!    └── another network                        Unproven (answers are served, verdicts told, others are preferred)
//! ```
//!
//! Upstreams of the default scope are asked as soon as they appear (`attach`), others when they are first needed. Only
//! `dnssec = "auto"` asks; the other modes are what somebody decided. The questions are about the root, `com` and a
//! name that is not signed: keys, a delegation with DS and one without, a denial by NSEC and one by NSEC3. Each upstream is
//! asked them by itself. A scope enforces as soon as one upstream that works is proven, and then no other is believed more.
//! Names that are claimed need no proof and get none.

mod attach;
mod state;

use std::time::Duration;

use config::model::{DnssecMode, Upstream};
use config::name::DomainName;
use config::time::Instant;
use policy::ScopeId;
use rand::RngExt as _;

use crate::Resolver;
use crate::cache::Forget;
use crate::conclude::Conclusion;
use crate::event::Timer;
use crate::exchange::{Asking, Whom};
use crate::lookup::Waiter;
use crate::progress::Query;
use crate::reach::jail::Jail;
use crate::scope::Scope;
use crate::upstream::UpstreamState;
use crate::wire::{Question, class, rtype};

pub(crate) use state::{Before, Proof};

/// How long questions wait for the first proof of a scope.
pub(crate) const HOLD_MAX: Duration = Duration::from_secs(2);
/// How long a proof is not doubted again.
const FRESH: Duration = Duration::from_secs(10);
/// A name that stays, in a zone that is not signed.
const UNSIGNED: &str = "a.root-servers.net";
/// Octets of chance in a name that does not exist.
const CHANCE: usize = 8;

/// What is done about a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stance {
    /// Nothing is judged.
    Off,
    /// Bogus answers are refused.
    Enforce,
    /// They are served, with the reason.
    Observe,
}

/// Whether a question's reply is to be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judged {
    No,
    Yes,
    /// That is not known yet; the question waits.
    NotYet,
}

impl Resolver {
    /// Returns what is done about the verdict on a reply of `upstream`.
    pub(crate) fn stance(&self, id: &ScopeId, upstream: &Upstream) -> Stance {
        let Some(scope) = self.scopes.get(id) else {
            return Stance::Enforce;
        };
        let proven = |state: &UpstreamState| state.proof.is_proven();
        // Everything there may be forged, and is meant to be.
        if scope.plan.dnssec != DnssecMode::Off && self.jail(id).is_some_and(Jail::is_strict) {
            return Stance::Enforce;
        }
        match scope.plan.dnssec {
            DnssecMode::Off => Stance::Off,
            DnssecMode::Observe => Stance::Observe,
            DnssecMode::Auto if !scope.enforces() && !scope.state(upstream).is_some_and(proven) => {
                Stance::Observe
            }
            DnssecMode::Auto | DnssecMode::Enforce => Stance::Enforce,
        }
    }

    /// Decides whether the reply to a question in a scope is judged; begins the proofs that are due.
    pub(crate) fn decide_judging(
        &mut self,
        name: &DomainName,
        asking: &Asking,
        now: Instant,
    ) -> Judged {
        let Some(scope) = self.scopes.get(&asking.scope) else {
            return Judged::No;
        };
        let mode = scope.plan.dnssec;
        if mode == DnssecMode::Off || crate::local::is_ipv4only(&asking.question) {
            return Judged::No;
        }
        if self.is_checking(&asking.scope, now) {
            return Judged::NotYet;
        }
        if !self.is_within_trust(name, now) {
            return match self.may_validate(asking) {
                true => Judged::Yes,
                false => Judged::No,
            };
        }
        if mode != DnssecMode::Auto {
            return Judged::Yes;
        }
        let due: Vec<Upstream> = scope
            .states()
            .filter(|state| state.proof.is_due(now) && !state.is_untried())
            .map(|state| state.upstream.clone())
            .collect();
        for upstream in due {
            self.begin_proof(asking, &upstream, false, now);
        }
        let scope = self.scopes.living(&asking.scope, asking.incarnation);
        let waits = scope.is_some_and(|scope| scope.begin_to_wait(now));
        if waits { Judged::NotYet } else { Judged::Yes }
    }

    /// Lets a query wait for the proof of its scope.
    pub(crate) fn hold(&mut self, query: Box<Query>, incarnation: u64, now: Instant) {
        let held = self.held_by_scope.entry(incarnation).or_default();
        held.push(query.id);
        self.timers
            .set_earlier(Timer::Proof, incarnation, now + HOLD_MAX);
        self.keep_waiting(query, now);
    }

    /// Asks the queries on that were held for a scope.
    pub(crate) fn release(&mut self, incarnation: u64, now: Instant) {
        self.timers.clear(Timer::Proof, incarnation);
        for id in self.held_by_scope.remove(&incarnation).unwrap_or_default() {
            if let Some(query) = self.queries.remove(id) {
                self.wait(query, now);
            }
        }
    }

    /// Asks for the proof anew after an answer that was not to be believed.
    pub(crate) fn doubt(&mut self, asking: &Asking, upstream: &Upstream, now: Instant) {
        let Some(scope) = self.scopes.get(&asking.scope) else {
            return;
        };
        let proof = scope.state(upstream).map(|state| &state.proof);
        if let (DnssecMode::Auto, Some(Proof::Proven { since })) = (scope.plan.dnssec, proof)
            && now.since(*since) >= FRESH
        {
            self.begin_proof(asking, upstream, false, now);
        }
    }

    /// Asks an upstream; `early` says that nobody waits for it.
    fn begin_proof(&mut self, asking: &Asking, upstream: &Upstream, early: bool, now: Instant) {
        let questions = self.proof_questions();
        let Some(scope) = self.scopes.living(&asking.scope, asking.incarnation) else {
            return;
        };
        let Some(state) = scope.state_mut(upstream) else {
            return;
        };
        let before = match std::mem::take(&mut state.proof) {
            Proof::Unknown(before) | Proof::Trying { before, .. } => before,
            Proof::Proven { .. } => Before::Proven,
            Proof::Unproven { why, .. } => Before::Unproven(why),
        };
        state.proof = Proof::Trying {
            since: now,
            pending: questions.len(),
            failed: None,
            before,
            early,
        };
        for question in questions {
            let asking = Asking {
                question,
                dnssec_ok: true,
                checking_disabled: true,
                validate: true,
                recurse: false,
                whom: Whom::Only(upstream.clone()),
                ..asking.clone()
            };
            self.ask(Waiter::Proof(asking.incarnation), asking, now);
        }
    }

    /// Returns what an upstream is asked: keys, a signed delegation, a name that is not signed, and two that do not exist.
    fn proof_questions(&mut self) -> Vec<Question> {
        let chance: [u8; CHANCE] = self.rng.random();
        let label: String = chance
            .iter()
            .map(|octet| char::from(b'a' + octet % 26))
            .collect();
        [
            (".".to_owned(), rtype::DNSKEY),
            ("com".to_owned(), rtype::DS),
            (UNSIGNED.to_owned(), rtype::A),
            (label.clone(), rtype::A),
            (format!("{label}.com"), rtype::A),
        ]
        .into_iter()
        .filter_map(|(name, record_type)| {
            Some(Question {
                name: name.parse().ok()?,
                record_type,
                class: class::IN,
            })
        })
        // What somebody claims is asked nowhere else, not even to prove something.
        .filter(|question| !self.is_island(&question.name))
        .collect()
    }

    /// Takes the answer to one of the questions of a proof.
    pub(crate) fn take_proof(
        &mut self,
        asking: &Asking,
        incarnation: u64,
        conclusion: &Conclusion,
        now: Instant,
    ) {
        let Whom::Only(upstream) = &asking.whom else {
            return;
        };
        let Some(scope) = self.scopes.living(&asking.scope, incarnation) else {
            return;
        };
        let enforced = scope.enforces();
        let Some(state) = scope.state_mut(upstream) else {
            return;
        };
        if !state.proof.take(conclusion, now) {
            return;
        }
        let slot = scope.slot;
        let changed = scope.enforces() != enforced;
        let waits = scope.waits_for_proof(now);
        // What is found out on this side of a portal's door says nothing of the upstream.
        if !asking.fleeting {
            self.remember_proof(asking, upstream, now);
        }
        if changed {
            // What was served while verdicts were told only must not be served as judged.
            self.cache.flush(Forget::Slot(slot));
            self.shortcuts.void();
        }
        if !waits {
            self.release(incarnation, now);
        }
    }
}

impl Scope {
    /// Whether bogus answers are refused whoever gives them: an upstream that works is proven, or somebody decided so.
    pub(crate) fn enforces(&self) -> bool {
        match self.plan.dnssec {
            DnssecMode::Off | DnssecMode::Observe => false,
            DnssecMode::Enforce => true,
            DnssecMode::Auto => self
                .states()
                .any(|state| state.proof.is_proven() && !state.is_gone()),
        }
    }

    /// Whether it makes no difference which upstream said something.
    pub(crate) fn speaks_as_one(&self) -> bool {
        self.states().all(|state| state.proof.is_proven()) || self.states().count() <= 1
    }

    /// Whether questions wait until it is known whether to enforce.
    pub(crate) fn waits_for_proof(&self, now: Instant) -> bool {
        !self.enforces() && self.states().any(|state| state.proof.holds(now))
    }

    /// As [`Scope::waits_for_proof`]; if so, what the proofs come to is what those who wait get.
    fn begin_to_wait(&mut self, now: Instant) -> bool {
        let waits = self.waits_for_proof(now);
        if waits {
            for state in self.states_mut() {
                state.proof.begin_to_wait(now);
            }
        }
        waits
    }

    /// Says what is done about verdicts, and why, for `status`.
    pub(crate) fn describe_stance(&self) -> String {
        match self.plan.dnssec {
            DnssecMode::Off => return "off".to_owned(),
            DnssecMode::Observe => return "observe".to_owned(),
            DnssecMode::Auto | DnssecMode::Enforce if self.enforces() => {
                return "enforce".to_owned();
            }
            DnssecMode::Auto | DnssecMode::Enforce => {}
        }
        let mut proofs = self.states().map(|state| &state.proof);
        if let Some(unproven) = proofs.clone().find(|proof| proof.is_unproven()) {
            return format!("observe: {}", unproven.describe());
        }
        match proofs.any(|proof| matches!(proof, Proof::Trying { .. })) {
            true => "observe, the upstreams are being asked".to_owned(),
            false => "auto, not asked yet".to_owned(),
        }
    }
}
