//! How far is the proof that an upstream can be validated through? [`Proof`] takes the answers; `proof` asks the questions.

use std::sync::Arc;
use std::time::Duration;

use config::time::Instant;
use dnssec::{IndeterminateReason, Verdict};

use super::HOLD_MAX;
use crate::conclude::Conclusion;
use crate::networks::Validates;

/// How long after a proof that failed it is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// What is known about whether an upstream can be validated through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Nobody has asked yet; what was so when this network was left.
    Unknown(Before),
    /// The questions are on their way.
    Trying {
        since: Instant,
        pending: usize,
        failed: Option<Failed>,
        before: Before,
        /// Whether nobody has asked anything yet: then silence leaves everything as it was.
        early: bool,
    },
    /// It can.
    Proven { since: Instant },
    /// It cannot, and why.
    Unproven {
        why: Arc<str>,
        again_at: Instant,
        /// Whether a reply says so.
        replied: bool,
    },
}

impl Default for Proof {
    fn default() -> Self {
        Self::Unknown(Before::Nothing)
    }
}

/// What was known before the questions were asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Before {
    /// Nothing: questions wait.
    #[default]
    Nothing,
    /// It could: bogus answers go on being refused.
    Proven,
    /// It could not, and why: answers go on being served.
    Unproven(Arc<str>),
}

/// Why a proof failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    why: Arc<str>,
    /// Whether it was a reply that failed; without one nothing is known of the upstream.
    replied: bool,
}

impl Proof {
    /// What is known of an upstream that was met in this network before.
    pub(crate) fn remembered(validates: Option<&Validates>) -> Self {
        Self::Unknown(match validates {
            None => Before::Nothing,
            Some(Validates::Yes) => Before::Proven,
            Some(Validates::No(why)) => Before::Unproven(Arc::clone(why)),
        })
    }

    /// Whether bogus answers of the upstream are its own fault, or that of the zone.
    pub(crate) fn is_proven(&self) -> bool {
        matches!(
            self,
            Self::Proven { .. }
                | Self::Unknown(Before::Proven)
                | Self::Trying {
                    before: Before::Proven,
                    ..
                }
        )
    }

    /// Whether others are to be asked first.
    pub(crate) fn is_unproven(&self) -> bool {
        matches!(
            self,
            Self::Unproven { .. }
                | Self::Unknown(Before::Unproven(_))
                | Self::Trying {
                    before: Before::Unproven(_),
                    ..
                }
        )
    }

    /// Whether questions wait until more is known.
    pub(crate) fn holds(&self, now: Instant) -> bool {
        match self {
            Self::Trying {
                since,
                before: Before::Nothing,
                early,
                ..
            } => *early || now.since(*since) < HOLD_MAX,
            Self::Unknown(_)
            | Self::Trying { .. }
            | Self::Proven { .. }
            | Self::Unproven { .. } => false,
        }
    }

    /// Whether nobody has asked yet.
    pub(super) const fn is_fresh(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }

    /// Notes that somebody waits for what it comes to, from now on.
    pub(super) const fn begin_to_wait(&mut self, now: Instant) {
        if let Self::Trying { early, since, .. } = self
            && *early
        {
            *early = false;
            *since = now;
        }
    }

    /// Whether it is time to ask.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        match self {
            Self::Unknown(_) => true,
            Self::Unproven { again_at, .. } => now >= *again_at,
            Self::Trying { .. } | Self::Proven { .. } => false,
        }
    }

    /// Takes the answer to one of the questions; returns whether that decides it.
    pub(super) fn take(&mut self, conclusion: &Conclusion, now: Instant) -> bool {
        let Self::Trying {
            pending,
            failed,
            before,
            early,
            ..
        } = self
        else {
            return false;
        };
        let because = |replied, why: &str| {
            Some(Failed {
                why: why.into(),
                replied,
            })
        };
        let failure = match conclusion {
            Conclusion::Reply {
                verdict: Some(Verdict::Secure | Verdict::Insecure),
                ..
            } => None,
            Conclusion::Reply {
                extended_error,
                verdict,
                ..
            } => because(
                *verdict != Some(Verdict::Indeterminate(IndeterminateReason::FetchFailed)),
                extended_error
                    .as_ref()
                    .map_or("not validated", |error| error.text.as_str()),
            ),
            Conclusion::Refused(refused) => {
                because(!refused.tells_nothing(), &refused.extended_error.text)
            }
        };
        if failed.is_none() {
            *failed = failure;
        }
        *pending = pending.saturating_sub(1);
        if *pending > 0 && failed.is_none() {
            return false;
        }
        *self = match failed.take() {
            Some(Failed { replied: false, .. }) if *early => Self::Unknown(std::mem::take(before)),
            Some(Failed { why, replied }) => Self::Unproven {
                why,
                again_at: now + AGAIN_AFTER,
                replied,
            },
            None => Self::Proven { since: now },
        };
        true
    }

    /// Returns what will be so when this network is met again, as far as that is known.
    pub(crate) fn worth_remembering(&self) -> Option<Validates> {
        match self {
            Self::Proven { .. } => Some(Validates::Yes),
            Self::Unproven {
                why, replied: true, ..
            } => Some(Validates::No(Arc::clone(why))),
            Self::Unproven { replied: false, .. } | Self::Unknown(_) | Self::Trying { .. } => None,
        }
    }

    /// Says it in words, for `status`.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Unknown(Before::Nothing) => "not asked yet".to_owned(),
            Self::Trying {
                before: Before::Nothing,
                ..
            } => "being asked".to_owned(),
            Self::Unknown(Before::Proven) => "validated here before".to_owned(),
            Self::Proven { .. }
            | Self::Trying {
                before: Before::Proven,
                ..
            } => "validates".to_owned(),
            Self::Unproven { why, .. }
            | Self::Unknown(Before::Unproven(why))
            | Self::Trying {
                before: Before::Unproven(why),
                ..
            } => why.to_string(),
        }
    }
}
