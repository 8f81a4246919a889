//! What is trusted, and what may be believed of the clock? [`Trust`]: the anchors in force, and the judge of the clock.
//!
//! Positive anchors come from the configuration's files or are built in, negative ones from callers and from the file that
//! keeps them. Nothing here opens a file, reads a clock or validates: texts and readings come in, and the
//! [`world`](crate::world) hands the outcome to the resolver.
//!
//! While dates do not count, negative anchors end by the clock if it can be right, else by the time that goes on from the
//! earliest it can be. Those that were added then get what is left of their lives anew when that time jumps; the others
//! wait for a clock that is believed before they are dropped.

pub(crate) mod points;
#[cfg(test)]
mod tests;

use std::time::Duration;

use config::diagnostic::{Diagnostic, Severity};
use config::time::{Instant, WallTime};
use dnssec::TrustAnchors;
use dnssec::anchors::negative::{LIFETIME_DEFAULT, emit_negatives, parse_negatives};
use dnssec::anchors::rollover::Observation;
use dnssec::anchors::{NegativeAnchor, NegativeError};
use dnssec::clock::{Because, Clock, Evidence, Forget, JUMP, Judgement, Reading, SAVE_INTERVAL};
use hickory_proto::rr::Name;
use linnet::anchor_files::{ANCHORS_STAY, AnchorText, understand};

pub(crate) use points::PointKey;
use points::Points;

/// How long a look at the clock counts for those who ask, while dates do not count; and how soon it is looked at by itself
/// after something happened: whoever sets a clock says a moment later that it is right.
pub(crate) const LOOK_SOON: Duration = Duration::from_secs(5);
/// How often it is looked at so while nothing more happens, each time after twice the pause.
const LOOKS: u32 = 3;
/// When the last of these looks is, after a start at which nothing more happens.
pub(crate) const LOOKED: Duration = LOOK_SOON.saturating_mul((1 << LOOKS) - 1);
/// How often the clock is looked at otherwise: the time is saved then.
pub(crate) const LOOK_LATER: Duration = Duration::from_secs(SAVE_INTERVAL);
/// How many negative anchors there may be.
const NEGATIVE_MAX: usize = 1000;
/// How long a reason may be, in bytes.
const REASON_MAX: usize = 500;

/// Why a negative anchor is not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddError {
    /// It cannot be.
    #[error(transparent)]
    Negative(#[from] NegativeError),
    /// The reason is too long.
    #[error("the reason is longer than {REASON_MAX} bytes")]
    Reason,
    /// There are too many.
    #[error("there are {NEGATIVE_MAX} negative anchors already; remove one first")]
    TooMany,
}

/// What followed from a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) struct Judged {
    /// What of the learned is to be dropped.
    pub(crate) forget: Forget,
    /// Whether the anchors are others than before.
    pub(crate) changed: bool,
    /// The time to save, in Unix seconds.
    pub(crate) save: Option<u64>,
}

/// What is trusted, and what time it is.
#[derive(Debug)]
pub(crate) struct Trust {
    /// What counts now.
    anchors: TrustAnchors,
    /// What is configured or built in.
    configured: TrustAnchors,
    points: Points,
    findings: Vec<Diagnostic>,
    clock: Clock,
    /// What the time was when the clock was last looked at.
    looked_at: Instant,
    time: u64,
    /// When it is to be looked at again.
    look_at: Instant,
    /// How often it was looked at by itself since something happened.
    looks: u32,
    /// Negative anchors that were added while dates did not count.
    provisional: Vec<Name>,
    /// What the file of negative anchors says.
    kept: String,
}

impl Trust {
    /// Makes one that trusts the built-in anchors, with what was kept of negative anchors and of trust points.
    pub(crate) fn new(clock: Clock, negatives: Option<&str>, points: Option<&str>) -> Self {
        let mut anchors = TrustAnchors::built_in();
        let kept = negatives.unwrap_or_default();
        let parsed = parse_negatives(kept);
        for line in &parsed.bad_lines {
            tracing::error!(line, "a negative anchor is lost: its line does not read");
        }
        for anchor in parsed.anchors {
            anchors.add_negative(anchor);
        }
        Self {
            anchors,
            configured: TrustAnchors::built_in(),
            points: Points::new(points),
            findings: Vec::new(),
            clock,
            looked_at: Instant::ZERO,
            time: 0,
            look_at: Instant::ZERO,
            looks: 0,
            provisional: Vec::new(),
            kept: kept.to_owned(),
        }
    }

    /// Takes what the configured anchor files say; `None` when none are configured: the built-in anchors count then.
    ///
    /// When anything in them is wrong, the anchors in force stay as they are. With `rolls`, they follow the keys that their
    /// zones publish. Returns whether they are others now.
    pub(crate) fn handle_texts(&mut self, texts: Option<&[AnchorText]>, rolls: bool) -> bool {
        let understood = texts.map_or_else(|| (TrustAnchors::built_in(), Vec::new()), understand);
        let (configured, findings) = understood;
        let is_good = findings
            .iter()
            .all(|found| found.severity == Severity::Warning);
        if findings != self.findings {
            tell(&findings, is_good);
        }
        self.findings = findings;
        if is_good {
            self.configured = configured;
        }
        self.points.configure(&self.configured, rolls);
        self.plan_look();
        self.compose()
    }

    /// Puts together what counts; returns whether it is another than before.
    fn compose(&mut self) -> bool {
        let mut anchors = self.configured.clone();
        self.points.apply_to(&mut anchors);
        for negative in self.anchors.negatives() {
            anchors.add_negative(negative.clone());
        }
        let changed = anchors != self.anchors;
        self.anchors = anchors;
        changed
    }

    /// Returns the trust point whose keys are to be asked for now; the answer belongs into [`Trust::handle_keys`].
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Name> {
        if !self.dates_count() {
            return None;
        }
        let due = self.points.take_due(self.time(now), now);
        self.plan_look();
        due
    }

    /// Takes the keys that a trust point publishes; `None` when nobody told. Returns whether other anchors count now.
    pub(crate) fn handle_keys(
        &mut self,
        owner: &Name,
        observation: Option<&Observation>,
        now: Instant,
    ) -> bool {
        if !self.dates_count() {
            return false;
        }
        let time = self.time(now);
        self.points.handle_keys(owner, observation, time);
        self.plan_look();
        self.compose()
    }

    /// Returns the keys of all trust points.
    pub(crate) fn keys(&self) -> Vec<PointKey> {
        self.points.keys(&self.configured)
    }

    /// Returns the new text of the file of trust points when it has to be another one.
    pub(crate) fn take_points_text(&mut self) -> Option<String> {
        self.points.take_text()
    }

    /// Takes up what the kernel says of the time; ends the negative anchors whose time is over.
    pub(crate) fn handle_reading(&mut self, reading: Reading, now: Instant) -> Judged {
        let before = self.time(now);
        let because = self.clock.because();
        let is_by_itself = now >= self.look_at && because != Because::Unread;
        self.looks = if is_by_itself { self.looks + 1 } else { 0 };
        let forget = self.clock.handle_reading(reading);
        self.looked_at = now;
        self.points.begin(now);
        self.time = match self.clock.judgement() {
            Judgement::Trusted(time) => time,
            Judgement::Unsynchronised { floor }
                if reading.wall < floor || self.clock.because() == Because::Implausible =>
            {
                before.max(floor)
            }
            Judgement::Unsynchronised { .. } => reading.wall,
        };
        self.conclude(forget, before, because)
    }

    /// Takes up what signatures say of the time. Which time it is stays as it was; whether it is believed may change.
    pub(crate) fn handle_evidence(&mut self, evidence: Evidence) -> Judged {
        let because = self.clock.because();
        let forget = self.clock.handle_evidence(evidence);
        self.conclude(forget, self.time, because)
    }

    fn conclude(&mut self, forget: Forget, before: u64, because: Because) -> Judged {
        if self.clock.because() != because {
            tracing::info!(dates_count = self.dates_count(), "{}", self.clock.because());
        }
        let mut changed = self.time.abs_diff(before) > JUMP && self.date_anew(before);
        if self.dates_count() {
            self.provisional.clear();
        }
        changed |= self.expire();
        self.plan_look();
        let save = self.clock.to_save();
        if let Some(time) = save {
            self.clock.handle_saved(time);
        }
        Judged {
            forget,
            changed,
            save,
        }
    }

    /// Adds a negative anchor, in place of one at the same name.
    ///
    /// # Errors
    /// [`AddError`]; nothing has changed then.
    pub(crate) fn add_negative(
        &mut self,
        name: &Name,
        lifetime: Option<u64>,
        reason: &str,
        now: Instant,
    ) -> Result<NegativeAnchor, AddError> {
        if reason.len() > REASON_MAX {
            return Err(AddError::Reason);
        }
        let lifetime = lifetime.unwrap_or(LIFETIME_DEFAULT);
        let anchor = NegativeAnchor::new(name, lifetime, reason, self.time(now))?;
        let is_new = self
            .anchors
            .negatives()
            .all(|old| old.name() != anchor.name());
        if is_new && self.anchors.negatives().count() >= NEGATIVE_MAX {
            return Err(AddError::TooMany);
        }
        self.provisional.retain(|name| name != anchor.name());
        if !self.dates_count() {
            self.provisional.push(anchor.name().clone());
        }
        self.anchors.add_negative(anchor.clone());
        self.plan_look();
        Ok(anchor)
    }

    /// Removes the negative anchor at exactly this name; returns whether there was one.
    pub(crate) fn remove_negative(&mut self, name: &Name) -> bool {
        let removed = self.anchors.remove_negative(name);
        if let Some(anchor) = &removed {
            self.provisional.retain(|name| name != anchor.name());
        }
        self.plan_look();
        removed.is_some()
    }

    /// Returns the anchors in force.
    pub(crate) const fn anchors(&self) -> &TrustAnchors {
        &self.anchors
    }

    /// Returns what is wrong with the anchor files.
    pub(crate) fn findings(&self) -> &[Diagnostic] {
        &self.findings
    }

    /// Whether the dates of signatures count.
    pub(crate) fn dates_count(&self) -> bool {
        self.clock.judgement().dates_count()
    }

    /// Returns why the clock is believed, or is not.
    pub(crate) fn because(&self) -> Because {
        self.clock.because()
    }

    /// Returns the time of day for the resolver.
    pub(crate) fn clock(&self) -> resolver::Clock {
        resolver::Clock {
            at: self.looked_at,
            wall: WallTime(self.time),
            dates_count: self.dates_count(),
        }
    }

    /// Returns when the clock is to be looked at again: a few times soon while dates do not count, when they come to count by
    /// themselves, and when a negative anchor ends. A machine that is idle and has no clock sleeps all the same: who asks
    /// has it looked at ([`Self::wants_look`]).
    pub(crate) const fn look_at(&self) -> Instant {
        self.look_at
    }

    /// Whether the clock is to be looked at before somebody's question is taken: dates may have come to count meanwhile.
    pub(crate) fn wants_look(&self, now: Instant) -> bool {
        !self.dates_count() && now >= self.looked_at + LOOK_SOON
    }

    /// Returns the negative anchors that count.
    pub(crate) fn negatives(&self) -> impl Iterator<Item = &NegativeAnchor> {
        self.anchors
            .negatives()
            .filter(|anchor| anchor.holds(self.time))
    }

    /// Returns the new text of the file of negative anchors when it has to be another one.
    pub(crate) fn take_text(&mut self) -> Option<String> {
        let text = emit_negatives(self.anchors.negatives());
        if text == self.kept {
            return None;
        }
        self.kept.clone_from(&text);
        Some(text)
    }

    /// The time by which negative anchors end, in Unix seconds.
    fn time(&self, now: Instant) -> u64 {
        self.time
            .saturating_add(now.since(self.looked_at).as_secs())
    }

    fn plan_look(&mut self) {
        let pause = match self.looks {
            looks if looks < LOOKS && !self.dates_count() => LOOK_SOON * (1 << looks),
            _ => LOOK_LATER,
        };
        let ends = self.negatives().map(NegativeAnchor::expires_at).min();
        let left = ends.map(|at| Duration::from_secs(at.saturating_sub(self.time)));
        self.look_at = self.looked_at + left.map_or(pause, |left| left.min(pause));
        if let Some(ripens_at) = self.clock.ripens_at() {
            let ripens_at = Instant::ZERO + Duration::from_secs(ripens_at);
            self.look_at = self.look_at.min(ripens_at);
        }
        if self.dates_count()
            && let Some(due_at) = self.points.due_at(self.time, self.looked_at)
        {
            self.look_at = self.look_at.min(due_at);
        }
    }

    /// Gives the negative anchors that were added by another clock what is left of their lives by this one.
    fn date_anew(&mut self, before: u64) -> bool {
        let old: Vec<NegativeAnchor> = self
            .anchors
            .negatives()
            .filter(|anchor| self.provisional.contains(anchor.name()))
            .cloned()
            .collect();
        for anchor in &old {
            self.anchors.remove_negative(anchor.name());
            let left = anchor.expires_at().saturating_sub(before);
            // One that has nothing left is over.
            let anew = NegativeAnchor::new(anchor.name(), left, anchor.reason(), self.time);
            if let Ok(anchor) = anew {
                self.anchors.add_negative(anchor);
            }
        }
        !old.is_empty()
    }

    fn expire(&mut self) -> bool {
        if self.dates_count() {
            return !self.anchors.drop_expired(self.time).is_empty();
        }
        let over: Vec<Name> = self
            .anchors
            .negatives()
            .filter(|anchor| {
                anchor.expires_at() <= self.time && self.provisional.contains(anchor.name())
            })
            .map(|anchor| anchor.name().clone())
            .collect();
        for name in &over {
            self.remove_negative(name);
        }
        !over.is_empty()
    }
}

fn tell(findings: &[Diagnostic], is_good: bool) {
    for found in findings {
        let Diagnostic {
            file,
            line,
            message,
            ..
        } = found;
        tracing::warn!(%file, line, "{message}");
    }
    if !is_good {
        tracing::error!("the trust anchors of the configuration are not used; {ANCHORS_STAY}");
    }
}
