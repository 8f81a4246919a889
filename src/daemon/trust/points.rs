//! When are the keys of trust points asked for, and what is said of them? [`Points`]: RFC 5011 over the life of the daemon.
//!
//! The states are [`Rollover`]'s. Here is what is kept of it between starts, and who is asked next.

use std::time::Duration;

use config::time::Instant;
use dnssec::TrustAnchors;
use dnssec::anchors::Anchor;
use dnssec::anchors::rollover::{Change, KeyState, Observation, Rollover, TrustPoint};
use hickory_proto::rr::Name;

/// How long after the start nobody is asked for keys: a machine that boots has better things to do.
const BEGIN_AFTER: Duration = Duration::from_secs(5);
/// How long an answer may take; then the question counts as lost.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// The trust points, as they are followed.
#[derive(Debug)]
pub(crate) struct Points {
    /// `None` while they are not followed.
    rollover: Option<Rollover>,
    /// What the file says.
    kept: String,
    begin_at: Option<Instant>,
    asked: Option<(Name, Instant)>,
}

/// One key of a trust point, or an anchor whose key was not seen yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PointKey {
    /// The zone.
    pub(crate) owner: Name,
    /// The key's tag.
    pub(crate) key_tag: u16,
    /// The key's algorithm, as IANA numbers them.
    pub(crate) algorithm: u8,
    /// Where it is on its way; `None` when it is configured and not followed, or was not seen yet.
    pub(crate) state: Option<KeyState>,
}

impl Points {
    /// Makes them of the text that was kept.
    pub(crate) fn new(kept: Option<&str>) -> Self {
        Self {
            rollover: None,
            kept: kept.unwrap_or_default().to_owned(),
            begin_at: None,
            asked: None,
        }
    }

    /// Follows the points of `configured` from now on, or none.
    pub(crate) fn configure(&mut self, configured: &TrustAnchors, rolls: bool) {
        if !rolls {
            self.rollover = None;
            return;
        }
        let mut rollover = Rollover::new(configured);
        let damage = match self.kept.is_empty() {
            // Nothing was kept yet.
            true => Vec::new(),
            false => rollover.restore(&self.kept),
        };
        for damage in damage {
            tracing::error!(
                line = damage.line,
                kind = ?damage.kind,
                "what was kept of the trust points does not read; they begin as they are configured"
            );
        }
        self.rollover = Some(rollover);
    }

    /// Puts the keys trusted by now in force.
    pub(crate) fn apply_to(&self, anchors: &mut TrustAnchors) {
        if let Some(rollover) = &self.rollover {
            rollover.apply_to(anchors);
        }
    }

    /// The daemon has started at `now`, if it is the first time that it says so.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.begin_at.get_or_insert(now + BEGIN_AFTER);
    }

    /// Returns when the next point is to be asked, `time` being what the clock says at `now`.
    pub(crate) fn due_at(&self, time: u64, now: Instant) -> Option<Instant> {
        let (_, at) = self.rollover.as_ref()?.next_query(time)?;
        let due_at = (now + Duration::from_secs(at.saturating_sub(time))).max(self.begin_at?);
        Some(match &self.asked {
            Some((_, asked_at)) => due_at.max(*asked_at + ANSWER_WITHIN),
            None => due_at,
        })
    }

    /// Returns the point that is to be asked now.
    pub(crate) fn take_due(&mut self, time: u64, now: Instant) -> Option<Name> {
        if let Some((owner, asked_at)) = &self.asked
            && now.since(*asked_at) >= ANSWER_WITHIN
        {
            let owner = owner.clone();
            self.handle_keys(&owner, None, time);
        }
        if self.due_at(time, now)? > now {
            return None;
        }
        let (owner, _) = self.rollover.as_ref()?.next_query(time)?;
        let owner = owner.clone();
        self.asked = Some((owner.clone(), now));
        Some(owner)
    }

    /// Takes the keys of a point, or that nobody told them.
    pub(crate) fn handle_keys(
        &mut self,
        owner: &Name,
        observation: Option<&Observation>,
        time: u64,
    ) {
        self.asked.take_if(|(asked, _)| asked == owner);
        let Some(rollover) = &mut self.rollover else {
            return;
        };
        let Some(observation) = observation else {
            tracing::debug!(%owner, "the keys of a trust point cannot be had now");
            rollover.handle_failure(owner, time);
            return;
        };
        let Some(observed) = rollover.observe(owner, observation, time) else {
            return;
        };
        if !observed.is_authenticated {
            tracing::warn!(%owner, "the keys of a trust point are not signed by one that is trusted");
        }
        for change in &observed.changes {
            let Change { key_tag, to, .. } = change;
            tracing::info!(%owner, key_tag, "a key of a trust point {}", describe(Some(*to)));
        }
        if observed.is_deleted {
            tracing::error!(%owner, "all keys of a trust point are revoked; it counts no longer");
        }
    }

    /// Returns the keys of all points, those that do not count too.
    pub(crate) fn keys(&self, configured: &TrustAnchors) -> Vec<PointKey> {
        let Some(rollover) = &self.rollover else {
            let all = configured.points();
            return all
                .flat_map(|(owner, anchors)| anchors.iter().map(|anchor| unseen(owner, anchor)))
                .collect();
        };
        rollover.points().flat_map(keys_of).collect()
    }

    /// Returns the new text of the file when it has to be another one.
    pub(crate) fn take_text(&mut self) -> Option<String> {
        let text = self.rollover.as_ref()?.emit();
        if text == self.kept {
            return None;
        }
        self.kept.clone_from(&text);
        Some(text)
    }
}

fn keys_of(point: &TrustPoint) -> Vec<PointKey> {
    let owner = point.owner();
    let followed = point.keys().iter().map(|tracked| {
        let anchor = Anchor::Key(tracked.key.clone());
        PointKey {
            state: Some(tracked.state),
            ..unseen(owner, &anchor)
        }
    });
    let is_followed = |anchor: &Anchor| {
        let mut keys = point.keys().iter();
        keys.any(|tracked| anchor.matches(owner, &tracked.key))
    };
    let trusted = point.trusted();
    let unmet = trusted.iter().filter(|anchor| !is_followed(anchor));
    followed
        .chain(unmet.map(|anchor| unseen(owner, anchor)))
        .collect()
}

fn unseen(owner: &Name, anchor: &Anchor) -> PointKey {
    PointKey {
        owner: owner.clone(),
        key_tag: anchor.key_tag(),
        algorithm: anchor.algorithm().into(),
        state: None,
    }
}

/// Says in words where a key is on its way.
pub(crate) fn describe(state: Option<KeyState>) -> String {
    use crate::date::rfc3339;
    match state {
        None => "is configured".to_owned(),
        Some(KeyState::Start) => "is gone".to_owned(),
        Some(KeyState::AddPend { add_at, .. }) => {
            format!("is new, and trusted from {} on", rfc3339(add_at))
        }
        Some(KeyState::Valid) => "is trusted".to_owned(),
        Some(KeyState::Missing { since }) => {
            format!("is trusted, but not published since {}", rfc3339(since))
        }
        Some(KeyState::Revoked { since, .. }) => format!("is revoked since {}", rfc3339(since)),
        Some(KeyState::Removed { since }) => format!("is gone for good since {}", rfc3339(since)),
    }
}
