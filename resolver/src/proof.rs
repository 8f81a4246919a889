//! Can a scope validate? Asked with real questions when it is first needed, never inferred from a lost packet.
//!
//! ```text
//! Unknown ── first question: held up to 2 s ──► Trying ── all judged good ──► Proven (bogus answers are refused)
//!                                                 │ ▲                          │ a bogus answer: asked again
//!                            one was not ─────────▼ └── a minute later ◄───────┘
//!                                             Unproven (answers are served, verdicts told)
//! ```
//!
//! Only `dnssec = "auto"` asks; the other modes are what somebody decided. The questions are about the root and `com`: keys,
//! a signed delegation, a denial by NSEC and one by NSEC3. Names that are claimed need no proof and get none.

use std::sync::Arc;
use std::time::Duration;

use config::model::DnssecMode;
use config::name::DomainName;
use config::time::Instant;
use dnssec::Verdict;
use policy::ScopeId;
use rand::RngExt as _;

use crate::Resolver;
use crate::cache::Forget;
use crate::conclude::Conclusion;
use crate::event::Timer;
use crate::exchange::Asking;
use crate::lookup::Waiter;
use crate::progress::Query;
use crate::wire::{Question, class, rtype};

/// How long questions wait for the first proof of a scope.
pub(crate) const HOLD_MAX: Duration = Duration::from_secs(2);
/// How long after a proof that failed it is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
/// How long a proof is not doubted again.
const FRESH: Duration = Duration::from_secs(10);
/// Octets of chance in a name that does not exist.
const CHANCE: usize = 8;

/// What is known about whether a scope can validate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Proof {
    /// Nothing: nobody has asked yet.
    #[default]
    Unknown,
    /// The questions are on their way.
    Trying {
        since: Instant,
        pending: usize,
        failed: Option<Arc<str>>,
        /// Whether it was proven before: then bogus answers go on being refused.
        proven: bool,
    },
    /// It can.
    Proven { since: Instant },
    /// It cannot, and why.
    Unproven { why: Arc<str>, again_at: Instant },
}

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
    /// Returns what is done about verdicts in a scope.
    pub(crate) fn stance(&self, id: &ScopeId) -> Stance {
        let Some(scope) = self.scopes.get(id) else {
            return Stance::Enforce;
        };
        match (scope.plan.dnssec, &scope.proof) {
            (DnssecMode::Off, _) => Stance::Off,
            (DnssecMode::Enforce, _)
            | (DnssecMode::Auto, Proof::Proven { .. } | Proof::Trying { proven: true, .. }) => {
                Stance::Enforce
            }
            (DnssecMode::Observe | DnssecMode::Auto, _) => Stance::Observe,
        }
    }

    /// Decides whether the reply to a question in a scope is judged; begins a proof that is due.
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
        let proof = scope.proof.clone();
        if mode == DnssecMode::Off || !self.is_within_trust(name, now) {
            return Judged::No;
        }
        match (mode, proof) {
            (DnssecMode::Auto, Proof::Unknown) => {
                self.begin_proof(asking, false, now);
                Judged::NotYet
            }
            (
                DnssecMode::Auto,
                Proof::Trying {
                    since,
                    proven: false,
                    ..
                },
            ) if now.since(since) < HOLD_MAX => Judged::NotYet,
            (DnssecMode::Auto, Proof::Unproven { again_at, .. }) if now >= again_at => {
                self.begin_proof(asking, false, now);
                Judged::Yes
            }
            _ => Judged::Yes,
        }
    }

    /// Lets a query wait for the proof of its scope.
    pub(crate) fn hold(&mut self, query: Query, incarnation: u64, now: Instant) {
        let held = self.held_by_scope.entry(incarnation).or_default();
        held.push(query.id);
        self.timers
            .set_earlier(Timer::Proof, incarnation, now + HOLD_MAX);
        self.keep_waiting(query);
    }

    /// Asks the queries on that were held for a scope.
    pub(crate) fn release(&mut self, incarnation: u64, now: Instant) {
        self.timers.clear(Timer::Proof, incarnation);
        for id in self.held_by_scope.remove(&incarnation).unwrap_or_default() {
            if let Some(query) = self.queries.remove(&id) {
                self.wait(query, now);
            }
        }
    }

    /// Asks for the proof anew after an answer that was not to be believed.
    pub(crate) fn doubt(&mut self, asking: &Asking, now: Instant) {
        let proof = self
            .scopes
            .get(&asking.scope)
            .map(|scope| (scope.plan.dnssec, &scope.proof));
        if let Some((DnssecMode::Auto, Proof::Proven { since })) = proof
            && now.since(*since) >= FRESH
        {
            self.begin_proof(asking, true, now);
        }
    }

    fn begin_proof(&mut self, asking: &Asking, proven: bool, now: Instant) {
        let questions = self.proof_questions();
        let Some(scope) = self.scopes.living(&asking.scope, asking.incarnation) else {
            return;
        };
        scope.proof = Proof::Trying {
            since: now,
            pending: questions.len(),
            failed: None,
            proven,
        };
        for question in questions {
            let asking = Asking {
                question,
                dnssec_ok: true,
                checking_disabled: true,
                validate: true,
                ..asking.clone()
            };
            self.ask(Waiter::Proof(asking.incarnation), asking, now);
        }
    }

    /// Returns what a scope is asked: keys, a delegation, and two names that do not exist.
    fn proof_questions(&mut self) -> Vec<Question> {
        let chance: [u8; CHANCE] = self.rng.random();
        let label: String = chance
            .iter()
            .map(|octet| char::from(b'a' + octet % 26))
            .collect();
        [
            (".".to_owned(), rtype::DNSKEY),
            ("com".to_owned(), rtype::DS),
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
        let Some(scope) = self.scopes.living(&asking.scope, incarnation) else {
            return;
        };
        let Proof::Trying {
            pending, failed, ..
        } = &mut scope.proof
        else {
            return;
        };
        let why = match conclusion {
            Conclusion::Reply {
                verdict: Some(Verdict::Secure | Verdict::Insecure),
                ..
            } => None,
            Conclusion::Reply { extended_error, .. } => Some(
                extended_error
                    .as_ref()
                    .map_or("not validated", |error| error.text.as_str()),
            ),
            Conclusion::Refused(refused) => Some(refused.extended_error.text.as_str()),
        };
        if let Some(why) = why {
            failed.get_or_insert_with(|| why.into());
        }
        *pending = pending.saturating_sub(1);
        if *pending > 0 && failed.is_none() {
            return;
        }
        let slot = scope.slot;
        scope.proof = match failed.take() {
            Some(why) => Proof::Unproven {
                why,
                again_at: now + AGAIN_AFTER,
            },
            None => Proof::Proven { since: now },
        };
        // What was served while verdicts were told only must not be served as judged.
        self.cache.flush(Forget::Slot(slot));
        self.release(incarnation, now);
    }
}

impl Proof {
    /// Says it in words, for `status`.
    pub(crate) fn describe(&self, mode: DnssecMode) -> String {
        match (mode, self) {
            (DnssecMode::Off, _) => "off".to_owned(),
            (DnssecMode::Enforce, _) => "enforce".to_owned(),
            (DnssecMode::Observe, _) => "observe".to_owned(),
            (DnssecMode::Auto, Self::Unknown) => "auto, not asked yet".to_owned(),
            (DnssecMode::Auto, Self::Trying { proven: false, .. }) => {
                "observe, the upstreams are being asked".to_owned()
            }
            (DnssecMode::Auto, Self::Trying { .. } | Self::Proven { .. }) => "enforce".to_owned(),
            (DnssecMode::Auto, Self::Unproven { why, .. }) => format!("observe: {why}"),
        }
    }
}
