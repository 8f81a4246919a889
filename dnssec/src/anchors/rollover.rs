//! Which keys of a trust point are trusted by now, given the DNSKEY RRsets seen over time (RFC 5011)?
//!
//! ```text
//!              NewKey            AddTime           KeyRem
//!     Start ----------> AddPend ----------> Valid ----------> Missing
//!       ^                  |                 | ^                 |  |
//!       +------------------+                 | +-----------------+  |
//!              KeyRem                        |       KeyPres        |
//!                                            +----------+-----------+
//!                                                       | RevBit
//!                                                       v   RemTime
//!                                                    Revoked ------> Removed
//! ```
//!
//! The machine is told which keys an RRset has and which of them signed it; it verifies nothing but digests. It holds
//! wall-clock deadlines: callers observe only while [`crate::clock`] trusts the clock. A clock that ran ahead cannot bring
//! a key in early on its own, because the RRset's signatures are judged by the same clock.
//!
//! [`TrustPoint`] is one zone; [`Rollover`] has all of them, and their text form ([`Rollover::emit`],
//! [`Rollover::restore`]).

mod state_file;
#[cfg(test)]
mod tests;
mod trust_point;

use std::collections::BTreeMap;

use hickory_proto::rr::{LowerName, Name};

use super::{TrustAnchors, absolute};

pub use state_file::{Damage, DamageKind};
pub use trust_point::{Change, Observation, Observed, SeenKey, TrackedKey, TrustPoint};

/// The add hold-down time, in seconds (RFC 5011 §2.4.1); the original TTL counts where it is longer.
pub const ADD_HOLD_DOWN: u64 = 30 * DAY;
/// The remove hold-down time, in seconds (RFC 5011 §2.4.2).
pub const REMOVE_HOLD_DOWN: u64 = 30 * DAY;
/// The shortest time between two queries for a trust point's keys, in seconds (RFC 5011 §2.3).
pub const QUERY_INTERVAL_MIN: u64 = HOUR;
/// The longest, in seconds (RFC 5011 §2.3).
pub const QUERY_INTERVAL_MAX: u64 = 15 * DAY;
/// The longest time until a failed query is repeated, in seconds (RFC 5011 §2.3).
pub const RETRY_MAX: u64 = DAY;
/// How many keys of one point may wait for trust; more are not looked at (RFC 5011 §2.4.3 wants five at least).
pub const PENDING_MAX: usize = 16;
/// How many removed keys of one point are remembered, so that none comes back.
pub const REMOVED_MAX: usize = 32;
/// How far the clock may be behind the last observation before pending times start over, in seconds.
pub const CLOCK_SLACK: u64 = HOUR;

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;

/// Where a key is on its way (RFC 5011 §4.2); times in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Not seen, or seen and gone again: nothing is stored.
    Start,
    /// Seen in every RRset since, not trusted yet.
    AddPend {
        /// When the key was first seen.
        first_seen: u64,
        /// From when on the next sight of it makes it trusted.
        add_at: u64,
    },
    /// Trusted and seen.
    Valid,
    /// Trusted, but not in the last RRset.
    Missing {
        /// When it was first missed.
        since: u64,
    },
    /// Revoked by itself; never trusted again.
    Revoked {
        /// When that was seen.
        since: u64,
        /// When it has been gone for long enough; absent while it is still published.
        remove_at: Option<u64>,
    },
    /// Revoked and gone; kept so that it does not come back.
    Removed {
        /// When that was decided.
        since: u64,
    },
}

/// What happens to a key (RFC 5011 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyEvent {
    /// A valid RRset has a new SEP key.
    NewKey {
        /// Its add hold-down, in seconds.
        hold_down: u64,
    },
    /// The key is back in a valid RRset.
    KeyPres,
    /// A valid RRset does not have the key.
    KeyRem,
    /// The key was in every valid RRset for its hold-down, and is in this one.
    AddTime,
    /// A revoked key was absent for the remove hold-down.
    RemTime,
    /// The key is published as revoked, and signed that itself.
    RevBit,
}

impl KeyState {
    /// Returns the state after `event` at `now`: the table of RFC 5011 §4.
    ///
    /// An event for which the table has no entry leaves the state.
    #[must_use]
    pub const fn after(self, event: KeyEvent, now: u64) -> Self {
        match (self, event) {
            (Self::Start, KeyEvent::NewKey { hold_down }) => Self::AddPend {
                first_seen: now,
                add_at: now.saturating_add(hold_down),
            },
            (Self::AddPend { .. }, KeyEvent::KeyRem) => Self::Start,
            (Self::AddPend { .. }, KeyEvent::AddTime)
            | (Self::Missing { .. }, KeyEvent::KeyPres) => Self::Valid,
            (Self::Valid, KeyEvent::KeyRem) => Self::Missing { since: now },
            (Self::Valid | Self::Missing { .. }, KeyEvent::RevBit) => Self::Revoked {
                since: now,
                remove_at: None,
            },
            (Self::Revoked { .. }, KeyEvent::RemTime) => Self::Removed { since: now },
            (
                Self::Start
                | Self::AddPend { .. }
                | Self::Valid
                | Self::Missing { .. }
                | Self::Revoked { .. }
                | Self::Removed { .. },
                KeyEvent::NewKey { .. }
                | KeyEvent::KeyPres
                | KeyEvent::KeyRem
                | KeyEvent::AddTime
                | KeyEvent::RemTime
                | KeyEvent::RevBit,
            ) => self,
        }
    }

    /// Whether the key is a trust anchor: Valid, and Missing too (RFC 5011 §4.2).
    pub const fn is_trusted(self) -> bool {
        matches!(self, Self::Valid | Self::Missing { .. })
    }

    /// Whether the key was revoked, which nothing undoes (RFC 5011 §2.1).
    pub const fn is_revoked(self) -> bool {
        matches!(self, Self::Revoked { .. } | Self::Removed { .. })
    }
}

/// All trust points under RFC 5011.
///
/// - made by [`new`](Self::new) from the configured anchors, then [`restore`](Self::restore) with the saved text
/// - driven by [`next_query`](Self::next_query), [`observe`](Self::observe), [`handle_failure`](Self::handle_failure)
/// - read by [`apply_to`](Self::apply_to), [`points`](Self::points), [`emit`](Self::emit)
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rollover {
    point_by_owner: BTreeMap<LowerName, TrustPoint>,
}

impl Rollover {
    /// Makes a trust point of every owner of `configured`, due for its first query at once.
    pub fn new(configured: &TrustAnchors) -> Self {
        let point = |(owner, anchors): (&Name, &[_])| {
            (absolute(owner), TrustPoint::new(owner, anchors.to_vec()))
        };
        Self {
            point_by_owner: configured.points().map(point).collect(),
        }
    }

    /// Takes up the DNSKEY RRset of `owner`; nothing when `owner` is no trust point.
    ///
    /// Afterwards the state is to be saved, and [`apply_to`](Self::apply_to) where [`Observed::changes`] has something.
    pub fn observe(
        &mut self,
        owner: &Name,
        observation: &Observation,
        now: u64,
    ) -> Option<Observed> {
        let point = self.point_by_owner.get_mut(&absolute(owner))?;
        Some(point.observe(observation, now))
    }

    /// Notes that a query for the keys of `owner` got no reply.
    pub fn handle_failure(&mut self, owner: &Name, now: u64) {
        if let Some(point) = self.point_by_owner.get_mut(&absolute(owner)) {
            point.handle_failure(now);
        }
    }

    /// Returns the trust point whose keys are to be asked for next, and when, in Unix seconds.
    pub fn next_query(&self, now: u64) -> Option<(&Name, u64)> {
        let points = self
            .points()
            .filter_map(|point| Some((point.owner(), point.next_query_at(now)?)));
        points.min_by_key(|&(_, at)| at)
    }

    /// Returns the trust points by owner, deleted ones too.
    pub fn points(&self) -> impl Iterator<Item = &TrustPoint> {
        self.point_by_owner.values()
    }

    /// Puts the keys trusted by now in force.
    ///
    /// A point all of whose anchors are revoked is deleted, as if it had never been configured (RFC 5011 §5): the names
    /// below it are judged by an anchor above, and without one by none at all.
    pub fn apply_to(&self, anchors: &mut TrustAnchors) {
        for point in self.points() {
            anchors.set_point(point.owner(), point.trusted());
        }
    }

    /// Writes the state as text.
    pub fn emit(&self) -> String {
        state_file::emit(self.points())
    }

    /// Takes up what [`emit`](Self::emit) wrote, for the points that are configured.
    ///
    /// Text that is damaged anywhere is not taken up: the configured anchors stay in force, save for those of which a
    /// line that is whole says that they are revoked. The state of a point whose configured anchors have all been
    /// replaced since is not taken up either, but for its revocations: somebody took the trust out of its keys.
    pub fn restore(&mut self, text: &str) -> Vec<Damage> {
        let (saved, damage) = state_file::parse(text);
        for (owner, state) in saved {
            if let Some(point) = self.point_by_owner.get_mut(&owner) {
                point.restore(state, damage.is_empty());
            }
        }
        damage
    }
}
