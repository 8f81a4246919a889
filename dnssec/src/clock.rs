//! What may be believed of the clock: do the dates of signatures count?
//!
//! A validator that takes a wrong clock at its word finds every name bogus, that of the NTP server first, and the clock
//! stays wrong. One that ignores dates whenever nobody answers for the clock can be kept from looking at them. So:
//!
//! | wall clock | kernel | judgement |
//! |---|---|---|
//! | below the floor | any | dates do not count; see below for the one way out |
//! | at or above the floor | synchronised | trusted |
//! | as trusted before, no jump since | no longer synchronised | still trusted: whoever blocks NTP gains nothing, and a clock drifts by seconds a day |
//! | at or above the floor, within [`PLAUSIBLE`] | not synchronised | dates do not count until [`GRACE`] is over *and* the signatures of a trust point's own keys, dates aside, agree with the clock; then trusted |
//! | beyond that | not synchronised | dates do not count |
//!
//! The floor is the time of the build or the last saved time, whichever is later. A laptop whose clock says 1970 or 2040
//! thus resolves the names of its NTP servers without AD until it is synchronised. A server without NTP client becomes
//! trusted by the fourth row minutes after boot if its clock is right, and never if it is wrong by more than a
//! signature lasts. Evidence against a clock counts only while it is not trusted: a replayed signature must not switch
//! the dates off. A saved time that was itself wrong is let go when a clock above the build time stays synchronised and
//! agrees with the signatures for [`SAVED_DISTRUST`].
//!
//! The file reads no clock and no kernel flag, and saves nothing.

#[cfg(test)]
mod tests;

/// How far the clock may move against the time since boot before that is a jump, in seconds.
pub const JUMP: u64 = 5 * 60;
/// How long a machine has after boot, or after a jump, to become synchronised, in seconds.
pub const GRACE: u64 = 10 * 60;
/// How far after the build a clock nobody answers for can be right, in seconds: 20 years.
pub const PLAUSIBLE: u64 = 20 * 365 * 24 * 60 * 60;
/// How long a synchronised clock below the saved time has to last until it is believed instead, in seconds.
pub const SAVED_DISTRUST: u64 = 24 * 60 * 60;
/// How much later than the saved time it is when saving is worth it, in seconds.
pub const SAVE_INTERVAL: u64 = 60 * 60;

/// What the kernel says of time at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The wall clock, in Unix seconds.
    pub wall: u64,
    /// The time since boot with suspension, in seconds.
    pub uptime: u64,
    /// Whether the kernel holds the wall clock to be synchronised (`STA_UNSYNC` is not set).
    pub is_synchronised: bool,
}

/// Between which times a signature holds that verified, dates aside.
///
/// Only of the DNSKEY RRset of a trust point, by a trusted key, freshly fetched: other zones leave expired signatures
/// standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// From when, in Unix seconds.
    pub inception: u64,
    /// Until when, in Unix seconds.
    pub expiration: u64,
}

/// Whether the dates of signatures count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// They do, and this is the time, in Unix seconds.
    Trusted(u64),
    /// They do not: signatures are verified dates aside, AD is withheld, and what is learned is learned under the
    /// exception.
    Unsynchronised {
        /// The earliest time it can be, in Unix seconds.
        floor: u64,
    },
}

impl Judgement {
    /// Whether the dates of signatures count.
    pub const fn dates_count(self) -> bool {
        matches!(self, Self::Trusted(_))
    }
}

/// Why the clock is judged as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Because {
    /// The kernel says so.
    #[error("the kernel says that the clock is synchronised")]
    Synchronised,
    /// It was, and has run on.
    #[error("the clock was synchronised and has not jumped since")]
    HeldOver,
    /// Signatures agree.
    #[error("nobody synchronises the clock, and the signatures of the trust anchors agree with it")]
    Corroborated,
    /// No reading yet.
    #[error("the clock was not read yet")]
    Unread,
    /// It is earlier than can be.
    #[error("the clock is before the time of the build or the time last saved")]
    BelowFloor,
    /// It is later than can be believed.
    #[error("the clock is implausibly late and not synchronised")]
    Implausible,
    /// It may still become synchronised.
    #[error("the clock is not synchronised yet")]
    Waiting,
    /// Signatures speak against it.
    #[error("the clock is not synchronised, and the signatures of the trust anchors contradict it")]
    Contradicted,
    /// Nothing speaks for it.
    #[error(
        "the clock is not synchronised, and no signature of a trust anchor was seen that agrees with it"
    )]
    Uncorroborated,
}

/// What of the learned is to be dropped.
#[must_use = "what was learned under another clock must not outlive it"]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Forget {
    /// Nothing.
    Nothing,
    /// All keys, cuts, verdicts and answers learned while dates did not count.
    Excepted,
    /// All of them: their times of expiry were reckoned by a clock that has jumped.
    Everything,
}

/// The judge of the wall clock.
///
/// - made by [`new`](Self::new)
/// - told by [`handle_reading`](Self::handle_reading), [`handle_evidence`](Self::handle_evidence),
///   [`handle_saved`](Self::handle_saved)
/// - asked by [`judgement`](Self::judgement), [`because`](Self::because), [`to_save`](Self::to_save)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    built_at: u64,
    saved_at: Option<u64>,
    last: Option<Reading>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Dates do not count.
    Excepted {
        /// From which time since boot on nothing spoke against the clock, in seconds.
        since: u64,
        /// What signatures said since.
        standing: Standing,
    },
    Trusted(Basis),
}

/// What the signatures of a trust point said of a clock that is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Unknown,
    Agrees,
    Contradicts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Basis {
    Kernel,
    Evidence,
}

impl Clock {
    /// Makes a judge that knows when the program was built and when a trusted time was last saved, in Unix seconds.
    pub const fn new(built_at: u64, saved_at: Option<u64>) -> Self {
        Self {
            built_at,
            saved_at,
            last: None,
            state: State::Excepted {
                since: 0,
                standing: Standing::Unknown,
            },
        }
    }

    /// Takes up what the kernel says; to be called at start, on resume, when the clock was set, at [`Self::ripens_at`], each hour for
    /// what is saved, and while dates do not count when somebody wants to know.
    pub fn handle_reading(&mut self, reading: Reading) -> Forget {
        let has_jumped = self.last.is_some_and(|last| has_jumped(last, reading));
        self.last = Some(reading);
        if has_jumped {
            self.state = State::Excepted {
                since: reading.uptime,
                standing: Standing::Unknown,
            };
        }
        let forget = self.judge(reading);
        if has_jumped {
            Forget::Everything
        } else {
            forget
        }
    }

    /// Takes up what the signatures of a trust point say.
    pub fn handle_evidence(&mut self, evidence: Evidence) -> Forget {
        let (Some(reading), State::Excepted { since, .. }) = (self.last, self.state) else {
            return Forget::Nothing;
        };
        let agrees = (evidence.inception..=evidence.expiration).contains(&reading.wall);
        self.state = if agrees {
            State::Excepted {
                since,
                standing: Standing::Agrees,
            }
        } else {
            State::Excepted {
                since: reading.uptime,
                standing: Standing::Contradicts,
            }
        };
        self.judge(reading)
    }

    /// Notes that `time`, in Unix seconds, was saved.
    pub fn handle_saved(&mut self, time: u64) {
        self.saved_at = Some(time);
    }

    /// Returns whether dates count as of the last reading.
    pub fn judgement(&self) -> Judgement {
        match (self.state, self.last) {
            (State::Trusted(_), Some(reading)) => Judgement::Trusted(reading.wall),
            (State::Trusted(_) | State::Excepted { .. }, _) => Judgement::Unsynchronised {
                floor: self.floor(),
            },
        }
    }

    /// Returns why, for `linnet status`.
    pub fn because(&self) -> Because {
        let Some(reading) = self.last else {
            return Because::Unread;
        };
        match self.state {
            State::Trusted(Basis::Kernel) if reading.is_synchronised => Because::Synchronised,
            State::Trusted(Basis::Kernel) => Because::HeldOver,
            State::Trusted(Basis::Evidence) => Because::Corroborated,
            State::Excepted { .. } if reading.wall < self.floor() => Because::BelowFloor,
            State::Excepted { .. } if !self.is_plausible(reading) => Because::Implausible,
            State::Excepted {
                standing: Standing::Contradicts,
                ..
            } => Because::Contradicted,
            State::Excepted { since, .. } if reading.uptime.saturating_sub(since) < GRACE => {
                Because::Waiting
            }
            State::Excepted { .. } => Because::Uncorroborated,
        }
    }

    /// Returns the time to save, in Unix seconds, when it is trusted and worth it.
    pub fn to_save(&self) -> Option<u64> {
        let Judgement::Trusted(time) = self.judgement() else {
            return None;
        };
        let is_due = self
            .saved_at
            .is_none_or(|saved_at| time >= saved_at.saturating_add(SAVE_INTERVAL));
        is_due.then_some(time)
    }

    /// Returns the time since boot, in seconds, at which the clock comes to be believed if nothing happens: signatures agree with
    /// it, and the grace is not over.
    pub fn ripens_at(&self) -> Option<u64> {
        let State::Excepted {
            since,
            standing: Standing::Agrees,
        } = self.state
        else {
            return None;
        };
        let ripens_at = since.saturating_add(GRACE);
        let is_to_come = |reading: &Reading| {
            reading.uptime < ripens_at
                && reading.wall >= self.floor()
                && self.is_plausible(*reading)
        };
        self.last.filter(is_to_come).map(|_| ripens_at)
    }

    /// The earliest time it can be. The clock kept through a shutdown is less exact than the one that was saved.
    fn floor(&self) -> u64 {
        self.built_at.max(
            self.saved_at
                .map_or(0, |saved_at| saved_at.saturating_sub(JUMP)),
        )
    }

    const fn is_plausible(&self, reading: Reading) -> bool {
        reading.is_synchronised || reading.wall < self.built_at.saturating_add(PLAUSIBLE)
    }

    fn judge(&mut self, reading: Reading) -> Forget {
        let was_excepted = matches!(self.state, State::Excepted { .. });
        if let State::Excepted {
            since,
            standing: Standing::Agrees,
        } = self.state
        {
            let lasted = reading.uptime.saturating_sub(since);
            if reading.is_synchronised && reading.wall >= self.built_at && lasted >= SAVED_DISTRUST
            {
                self.saved_at = self.saved_at.filter(|&saved_at| saved_at <= reading.wall);
            }
        }
        let is_possible = reading.wall >= self.floor() && self.is_plausible(reading);
        self.state = match self.state {
            State::Excepted { .. } | State::Trusted(_)
                if is_possible && reading.is_synchronised =>
            {
                State::Trusted(Basis::Kernel)
            }
            State::Excepted {
                since,
                standing: Standing::Agrees,
            } if is_possible && reading.uptime.saturating_sub(since) >= GRACE => {
                State::Trusted(Basis::Evidence)
            }
            State::Excepted { .. } | State::Trusted(_) => self.state,
        };
        let is_excepted = matches!(self.state, State::Excepted { .. });
        if was_excepted && !is_excepted {
            Forget::Excepted
        } else {
            Forget::Nothing
        }
    }
}

/// Whether the wall clock moved otherwise than the time since boot.
fn has_jumped(last: Reading, reading: Reading) -> bool {
    let Some(passed) = reading.uptime.checked_sub(last.uptime) else {
        return true;
    };
    last.wall.saturating_add(passed).abs_diff(reading.wall) > JUMP
}
