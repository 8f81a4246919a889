//! Does an upstream work? What is heard of it and what is missed, and what that makes of it.
//!
//! ```text
//!            overtaken in silence · a quarter lost · 3 lost, or 3 errors, in a row · refused, unreachable
//!         ┌──────────────────────────────────────────────────────────────────────────────────────────────┐
//!      Working                                                                                        Failing
//!         └──────────────────────────────────────────────────────────────────────────────────────────────┘
//!            so many replies in a row, in time: 2; 4, then 8 for one that goes on failing soon after it came
//!            back; 1 where nobody else works
//! ```
//!
//! Failing is no verdict: such an upstream is asked after the others, and is tried again while there are questions. Slow means
//! that others are faster by far. Does not choose and does not send.

use std::time::Duration;

use config::time::Instant;

use crate::event::Failure;
use crate::failure::Cause;

/// The longest that a reply takes which counts as in time; also the most that is waited before another upstream is asked.
pub(crate) const IN_TIME: Duration = Duration::from_millis(400);
/// Messages in a row without reply after which an upstream counts as failing, whatever others do.
const STRIKES_MAX: u8 = 3;
/// Errors in a row, where others answered, after which it does.
const ERRORS_MAX: u8 = 3;
/// The share of messages without reply in time above which it does, in 1024ths: a quarter.
const LOSSY: u16 = 256;
/// All of them.
const ALL: u16 = 1024;
/// Weight of one message in that share: an eighth.
const LOSS_WEIGHT: u16 = 8;
/// What of that share is kept against one that comes back, in 1024ths: the next loss soon after is one too many.
const LOSS_AFTER: u16 = 200;
/// Replies in a row that it takes to come back, by how often it failed soon after it had come back.
const NEEDED: [u8; 3] = [2, 4, 8];
/// How soon after coming back a failure is one of the same series.
const FLAP_WINDOW: Duration = Duration::from_secs(60);
/// The pause between two tries, at first and after a good one.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause between two tries of an upstream that would be asked first if it worked.
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// The pause between two tries of one that would not.
const STANDBY_PAUSE: Duration = Duration::from_secs(30);
/// For how long a closed port says why there is silence: hosts limit their ICMP errors (RFC 1812 §4.3.2.8, RFC 4443 §2.4 (f)), Linux
/// to one a second for each peer after a burst (`icmp_ratelimit`).
const REFUSED_LATELY: Duration = Duration::from_secs(5);

/// What became of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// An answer, after this time.
    Good(Duration),
    /// A reply that answers nothing; nobody says that another would.
    Heard,
    /// An error, where another answered.
    Outdone(u16),
    /// Another was asked later and answered first.
    Overtaken,
    /// No reply; nobody else replied either.
    Lost,
    /// It failed at once.
    Refused,
    /// It cannot be reached.
    Unreachable,
    /// The stream ended.
    Closed,
    /// It showed itself that it is not the one that is meant, or does not serve.
    Told(Failure),
    /// It was not this upstream's doing.
    Blameless,
}

/// What an outcome changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing.
    Nothing,
    /// It counts as failing now.
    Failed,
    /// It works again.
    Recovered,
}

/// Why an upstream counts as failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// It did not reply.
    Silent,
    /// It replies to too few.
    Lossy,
    /// It replies, but so late.
    Slow(Duration),
    /// It answers others' questions with this code.
    Errors(u16),
    /// Nobody listens there.
    Refused,
    /// There is no way there.
    Unreachable,
    /// It ends streams.
    Closed,
    /// It was so when this network was left.
    Remembered,
    /// Nobody knows whether there is anything.
    Untried,
    /// It showed itself who it is not, or what it does not do.
    Told(Failure),
}

/// What is known of whether an upstream works.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    state: State,
    /// Messages without reply since the last reply.
    strikes: u8,
    /// Errors since the last answer.
    errors: u8,
    /// Smoothed share of messages without reply in time, in 1024ths.
    loss: u16,
    /// When the youngest message that was replied to was sent.
    heard: Option<Instant>,
    /// When the youngest message that was answered was sent.
    answered: Option<Instant>,
    /// Whether nothing at all comes from there.
    gone: bool,
    /// When something was heard that says why, last: silence before that says less.
    told_at: Option<Instant>,
    /// When its port was closed last; nothing if it was heard since.
    refused_at: Option<Instant>,
    /// How often it failed soon after it had come back.
    flaps: u8,
    recovered_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Working,
    Failing {
        why: Why,
        /// When it was tried last.
        tried_at: Instant,
        pause: Duration,
        /// Replies in a row, in time.
        good: u8,
    },
}

impl Default for Health {
    fn default() -> Self {
        Self {
            state: State::Working,
            strikes: 0,
            errors: 0,
            loss: 0,
            heard: None,
            answered: None,
            gone: false,
            told_at: None,
            refused_at: None,
            flaps: 0,
            recovered_at: None,
        }
    }
}

impl Health {
    /// Begins with one that is not asked before it has shown that it works; it is tried with the first question.
    pub(crate) fn failing(why: Why) -> Self {
        Self {
            state: State::Failing {
                why,
                tried_at: Instant::ZERO,
                pause: PAUSE_MIN,
                good: 0,
            },
            ..Self::default()
        }
    }

    /// Takes what became of a message that was sent at `sent_at`; `alone` says that no other upstream works.
    pub(crate) fn take(
        &mut self,
        outcome: Outcome,
        sent_at: Instant,
        alone: bool,
        now: Instant,
    ) -> Change {
        match outcome {
            Outcome::Blameless => Change::Nothing,
            Outcome::Good(rtt) => {
                self.hear(sent_at);
                self.answered = self.answered.max(Some(sent_at));
                self.errors = 0;
                match rtt <= IN_TIME || alone {
                    true => self.recover(alone, now),
                    false => self.keep_failing(Why::Slow(rtt)),
                }
            }
            Outcome::Heard => {
                self.hear(sent_at);
                Change::Nothing
            }
            Outcome::Outdone(rcode) => {
                self.hear(sent_at);
                self.errors = self.errors.saturating_add(1);
                match self.errors >= ERRORS_MAX {
                    true => self.fail(Why::Errors(rcode), now),
                    false => self.keep_failing(Why::Errors(rcode)),
                }
            }
            Outcome::Overtaken => {
                let silent = self.heard.is_none_or(|heard| heard < sent_at);
                let why = self.why().filter(|_| self.told_at > Some(sent_at));
                let change = self.miss(silent, now);
                if let (Some(told), State::Failing { why, .. }) = (why, &mut self.state) {
                    *why = told;
                }
                change
            }
            Outcome::Lost => self.miss(false, now),
            Outcome::Closed => {
                let change = self.miss(false, now);
                if change == Change::Failed {
                    self.keep_failing(Why::Closed);
                }
                change
            }
            Outcome::Refused => {
                (self.gone, self.told_at) = (true, Some(now));
                self.refused_at = Some(now);
                self.fail(Why::Refused, now)
            }
            Outcome::Unreachable => {
                (self.gone, self.told_at) = (true, Some(now));
                self.fail(Why::Unreachable, now)
            }
            Outcome::Told(failure) => {
                (self.gone, self.told_at) = (true, Some(now));
                self.fail(Why::Told(failure), now)
            }
        }
    }

    /// Whether others are asked before it.
    pub(crate) fn is_failing(&self) -> bool {
        self.state != State::Working
    }

    /// Whether nothing comes from there at all: what was known of it is of no use for the time being.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Whether its port was closed a moment ago, and nothing was heard since.
    pub(crate) fn has_refused_lately(&self, now: Instant) -> bool {
        self.refused_at
            .is_some_and(|at| now.since(at) < REFUSED_LATELY)
    }

    /// Whether it fails, but what it replied last was good.
    pub(crate) fn is_on_its_way_back(&self) -> bool {
        matches!(self.state, State::Failing { good, .. } if good > 0)
    }

    /// Returns why it counts as failing.
    pub(crate) fn why(&self) -> Option<Why> {
        match self.state {
            State::Working => None,
            State::Failing { why, .. } => Some(why),
        }
    }

    /// Returns the share of messages without reply in time, in per cent.
    pub(crate) fn loss_percent(&self) -> u8 {
        u8::try_from(u32::from(self.loss) * 100 / u32::from(ALL)).unwrap_or(100)
    }

    /// Returns when the youngest message that was replied to was sent.
    pub(crate) fn heard(&self) -> Option<Instant> {
        self.heard
    }

    /// Returns when the youngest message that was answered was sent.
    pub(crate) fn answered(&self) -> Option<Instant> {
        self.answered
    }

    /// Whether it has come back since then.
    pub(crate) fn has_recovered_since(&self, at: Instant) -> bool {
        self.recovered_at >= Some(at)
    }

    /// Returns when it is tried again, with the next question after that; `first` says that it would be asked first.
    pub(crate) fn try_at(&self, first: bool) -> Option<Instant> {
        match self.state {
            State::Working => None,
            State::Failing {
                tried_at, pause, ..
            } => Some(tried_at + if first { pause } else { STANDBY_PAUSE }),
        }
    }

    /// Notes that it is tried.
    pub(crate) fn note_tried(&mut self, now: Instant) {
        if let State::Failing {
            tried_at, pause, ..
        } = &mut self.state
        {
            *tried_at = now;
            *pause = (*pause * 2).min(PAUSE_MAX);
        }
    }

    fn hear(&mut self, sent_at: Instant) {
        self.heard = self.heard.max(Some(sent_at));
        self.strikes = 0;
        self.gone = false;
        self.refused_at = None;
        self.loss -= self.loss.div_ceil(LOSS_WEIGHT);
    }

    fn miss(&mut self, silent: bool, now: Instant) -> Change {
        self.strikes = self.strikes.saturating_add(1);
        self.loss += (ALL - self.loss) / LOSS_WEIGHT;
        if self.strikes >= STRIKES_MAX {
            self.gone = true;
        }
        match (silent || self.gone, self.loss >= LOSSY) {
            (true, _) => self.fail(Why::Silent, now),
            (false, true) => self.fail(Why::Lossy, now),
            (false, false) => {
                if let State::Failing { good, .. } = &mut self.state {
                    *good = 0;
                }
                Change::Nothing
            }
        }
    }

    fn fail(&mut self, reason: Why, now: Instant) -> Change {
        if self.is_failing() {
            return self.keep_failing(reason);
        }
        let again = self
            .recovered_at
            .is_some_and(|at| now.since(at) < FLAP_WINDOW);
        self.flaps = if again {
            self.flaps.saturating_add(1)
        } else {
            0
        };
        self.state = State::Failing {
            why: reason,
            tried_at: now,
            pause: PAUSE_MIN,
            good: 0,
        };
        Change::Failed
    }

    /// Notes why one that counts as failing still does.
    fn keep_failing(&mut self, reason: Why) -> Change {
        if let State::Failing { why, good, .. } = &mut self.state {
            *why = reason;
            *good = 0;
        }
        Change::Nothing
    }

    fn recover(&mut self, alone: bool, now: Instant) -> Change {
        let State::Failing { pause, good, .. } = &mut self.state else {
            return Change::Nothing;
        };
        *good = good.saturating_add(1);
        *pause = PAUSE_MIN;
        let last = NEEDED.len() - 1;
        let needed = NEEDED.get(usize::from(self.flaps).min(last)).copied();
        if !alone && *good < needed.unwrap_or(1) {
            return Change::Nothing;
        }
        self.state = State::Working;
        self.loss = self.loss.min(LOSS_AFTER);
        self.recovered_at = Some(now);
        Change::Recovered
    }
}

impl Outcome {
    /// Whether nothing came of it.
    pub(crate) const fn is_miss(self) -> bool {
        matches!(
            self,
            Self::Overtaken | Self::Lost | Self::Refused | Self::Closed
        )
    }

    /// Whether nothing was heard, which is all that is known.
    pub(crate) const fn is_silence(self) -> bool {
        matches!(self, Self::Overtaken | Self::Lost)
    }

    /// What a failure says of the upstream; `usual` tells that it was asked as it is at first.
    pub(crate) fn of_failure(failure: Failure, usual: bool) -> Self {
        match (failure, usual) {
            _ if failure.cause() == Cause::Own => Self::Blameless,
            (Failure::Refused, true) => Self::Refused,
            (Failure::Unreachable, _) => Self::Unreachable,
            // It may well do UDP.
            (Failure::Refused | Failure::Closed, _) => Self::Closed,
            (Failure::TimedOut | Failure::Garbled, _) => Self::Lost,
            (Failure::Tls(_) | Failure::Http(_) | Failure::NoLink | Failure::Resources, _) => {
                Self::Told(failure)
            }
        }
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silent => f.write_str("no reply"),
            Self::Lossy => f.write_str("replies to too few"),
            Self::Slow(rtt) => write!(f, "slow, {} ms", rtt.as_millis()),
            Self::Errors(rcode) => write!(f, "answers {}", crate::present::rcode_name(*rcode)),
            Self::Refused => f.write_str("connection refused"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::Closed => f.write_str("connection closed"),
            Self::Remembered => f.write_str("failed when this network was left"),
            Self::Untried => f.write_str("not tried yet"),
            Self::Told(failure) => failure.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
