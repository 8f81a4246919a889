//! What does one more DNSKEY RRset change at one trust point?
//!
//! The order within an RRset matters: revocations first, because a revoked key vouches for nothing else (RFC 5011 §2.1);
//! then nothing, unless a key that is trusted still signed the RRset; then the keys one by one.

use hickory_proto::dnssec::PublicKey as _;
use hickory_proto::dnssec::rdata::DNSKEY;
use hickory_proto::rr::Name;

use super::{
    ADD_HOLD_DOWN, CLOCK_SLACK, KeyEvent, KeyState, PENDING_MAX, QUERY_INTERVAL_MAX,
    QUERY_INTERVAL_MIN, REMOVE_HOLD_DOWN, REMOVED_MAX, RETRY_MAX,
};
use crate::anchors::{Anchor, is_same_key, key_tag};

/// The DNSKEY RRset of a trust point as it came, with what is known of its signatures.
///
/// Fetched for the purpose or otherwise fresh, never from a cache: a cached RRset was seen before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observation {
    /// All keys of the RRset.
    pub keys: Vec<SeenKey>,
    /// The original TTL of the RRset by its signatures, in seconds (RFC 4034 §3.1.4).
    pub original_ttl: u32,
    /// When the first of the signatures that verified expires, in Unix seconds.
    pub signatures_expire_at: u64,
}

/// One key of an RRset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenKey {
    /// The key with its flags as published.
    pub key: DNSKEY,
    /// Whether a signature by exactly this key, over this RRset and within its dates, verified.
    pub signs: bool,
}

/// What an observation did.
#[must_use = "the anchors in force and the saved state follow from it"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Whether a trusted key vouches for the RRset. If not, only revocations were taken from it.
    pub is_authenticated: bool,
    /// Whether every anchor of the point is revoked by now (RFC 5011 §5).
    pub is_deleted: bool,
    /// What changed, key by key.
    pub changes: Vec<Change>,
}

/// How one key moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The key tag without the REVOKE bit, by which the key was known.
    pub key_tag: u16,
    /// The state it left.
    pub from: KeyState,
    /// The state it is in.
    pub to: KeyState,
    /// Why, or nothing when the key is configured and was met for the first time.
    pub event: Option<KeyEvent>,
}

/// A key that is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackedKey {
    /// The key without the REVOKE bit.
    pub key: DNSKEY,
    /// Where it is on its way; never [`KeyState::Start`].
    pub state: KeyState,
    /// Whether the configuration vouches for it; if not, the keys before it do.
    pub is_configured: bool,
}

impl TrackedKey {
    const fn configured(key: DNSKEY) -> Self {
        Self {
            key,
            state: KeyState::Valid,
            is_configured: true,
        }
    }
}

/// What is known of the RRset, for the times of the next query (RFC 5011 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Timing {
    /// When an RRset was last authenticated, in Unix seconds.
    pub(super) observed_at: Option<u64>,
    /// The original TTL then, in seconds.
    pub(super) original_ttl: u64,
    /// How long the signatures still held then, in seconds.
    pub(super) expiration: u64,
    /// When to ask next, in Unix seconds.
    pub(super) query_at: u64,
}

/// What a state file has of one point.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct SavedPoint {
    pub(super) timing: Timing,
    pub(super) keys: Vec<TrackedKey>,
}

/// One zone whose keys are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustPoint {
    owner: Name,
    configured: Vec<Anchor>,
    keys: Vec<TrackedKey>,
    timing: Timing,
}

impl TrustPoint {
    /// Makes a point that trusts what is configured, due for its first query at once.
    pub fn new(owner: &Name, configured: Vec<Anchor>) -> Self {
        Self {
            owner: owner.clone(),
            configured,
            keys: Vec::new(),
            timing: Timing::default(),
        }
    }

    /// Returns the zone.
    pub const fn owner(&self) -> &Name {
        &self.owner
    }

    /// Returns the keys that are followed.
    pub fn keys(&self) -> &[TrackedKey] {
        &self.keys
    }

    /// Returns what is trusted: keys Valid and Missing, and configured anchors whose key was never met.
    pub fn trusted(&self) -> Vec<Anchor> {
        let unmet = self.configured.iter().filter(|anchor| {
            let is_met = |tracked: &TrackedKey| anchor.matches(&self.owner, &tracked.key);
            !self.keys.iter().any(is_met)
        });
        let known = self
            .keys
            .iter()
            .filter(|tracked| tracked.state.is_trusted());
        known
            .map(|tracked| Anchor::Key(tracked.key.clone()))
            .chain(unmet.cloned())
            .collect()
    }

    /// Whether every anchor is revoked (RFC 5011 §5).
    pub fn is_deleted(&self) -> bool {
        self.trusted().is_empty()
    }

    /// Returns when to ask for the keys next, in Unix seconds; never for a deleted point.
    pub fn next_query_at(&self, now: u64) -> Option<u64> {
        // A clock that ran ahead must not put the query off for years.
        let latest = now.saturating_add(QUERY_INTERVAL_MAX);
        (!self.is_deleted()).then(|| self.timing.query_at.min(latest))
    }

    /// Notes that a query got no reply.
    pub fn handle_failure(&mut self, now: u64) {
        let Timing {
            original_ttl,
            expiration,
            ..
        } = self.timing;
        // RFC 5011 §2.3: retryTime = MAX (1 hour, MIN (1 day, .1 * origTTL, .1 * expireInterval)).
        let retry = RETRY_MAX
            .min(original_ttl / 10)
            .min(expiration / 10)
            .max(QUERY_INTERVAL_MIN);
        self.timing.query_at = now.saturating_add(retry);
    }

    /// Takes up an RRset seen at `now`, in Unix seconds.
    pub fn observe(&mut self, observation: &Observation, now: u64) -> Observed {
        self.follow_clock_back(now);
        let mut changes = self.revoke(observation, now);
        let is_authenticated = self.vouches(observation);
        if is_authenticated {
            self.meet_configured(observation, &mut changes);
            self.follow(observation, now, &mut changes);
            self.meet_new(observation, now, &mut changes);
            self.time_next(observation, now);
        } else {
            self.handle_failure(now);
        }
        let is_deleted = self.is_deleted();
        self.forget(is_deleted, &mut changes);
        Observed {
            is_authenticated,
            is_deleted,
            changes,
        }
    }

    /// Takes up saved state; of one that is not `whole` only what is revoked.
    pub(super) fn restore(&mut self, saved: SavedPoint, is_whole: bool) {
        let mut keys = saved.keys;
        let mut was_configured = Vec::with_capacity(keys.len());
        for tracked in &mut keys {
            was_configured.push(tracked.is_configured);
            tracked.is_configured = self.is_configured(&tracked.key);
            // A key that was waiting when it came into the configuration waits no longer.
            if tracked.is_configured && matches!(tracked.state, KeyState::AddPend { .. }) {
                tracked.state = KeyState::Valid;
            }
        }
        let continues = is_whole && keys.iter().any(|tracked| tracked.is_configured);
        if continues {
            self.timing = saved.timing;
        }
        // What the configuration vouched for and does so no longer is not trusted; revocations hold in any case.
        let keeps = |(tracked, was_configured): &(TrackedKey, bool)| {
            tracked.state.is_revoked() || (continues && (tracked.is_configured || !was_configured))
        };
        self.keys = keys
            .into_iter()
            .zip(was_configured)
            .filter(keeps)
            .map(|(tracked, _)| tracked)
            .collect();
    }

    pub(super) const fn timing(&self) -> Timing {
        self.timing
    }

    /// When the clock went back, waiting starts over: the time that seemed to pass did not.
    fn follow_clock_back(&mut self, now: u64) {
        let Some(observed_at) = self.timing.observed_at else {
            return;
        };
        if observed_at <= now.saturating_add(CLOCK_SLACK) {
            return;
        }
        self.timing.observed_at = Some(now);
        for tracked in &mut self.keys {
            tracked.state = match tracked.state {
                KeyState::AddPend { first_seen, add_at } => KeyState::AddPend {
                    first_seen: now,
                    add_at: now.saturating_add(add_at.saturating_sub(first_seen)),
                },
                KeyState::Missing { since } => KeyState::Missing {
                    since: since.min(now),
                },
                KeyState::Revoked { since, .. } => KeyState::Revoked {
                    since: since.min(now),
                    remove_at: None,
                },
                KeyState::Removed { since } => KeyState::Removed {
                    since: since.min(now),
                },
                KeyState::Start | KeyState::Valid => tracked.state,
            };
        }
    }

    /// RFC 5011 §2.1: a key that signs the RRset in which it is revoked is revoked at once and for good, whoever else
    /// signs. A key that was never trusted has nothing to revoke.
    fn revoke(&mut self, observation: &Observation, now: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        for seen in observation
            .keys
            .iter()
            .filter(|seen| seen.signs && seen.key.revoke())
        {
            let key = unrevoked(&seen.key);
            let tracked = match self.position(&key) {
                Some(at) => self.keys.get_mut(at),
                None if self.is_configured(&key) => {
                    self.keys.push(TrackedKey::configured(key));
                    self.keys.last_mut()
                }
                None => None,
            };
            if let Some(tracked) = tracked {
                step(tracked, KeyEvent::RevBit, now, &mut changes);
            }
        }
        changes
    }

    /// Whether a key that is trusted signs the RRset.
    fn vouches(&self, observation: &Observation) -> bool {
        let mut signing = observation
            .keys
            .iter()
            .filter(|seen| seen.signs && !seen.key.revoke());
        signing.any(
            |seen| match self.position(&seen.key).and_then(|at| self.keys.get(at)) {
                Some(tracked) => tracked.state.is_trusted(),
                None => self.is_configured(&seen.key),
            },
        )
    }

    /// A configured key needs no hold-down: somebody vouches for it already.
    fn meet_configured(&mut self, observation: &Observation, changes: &mut Vec<Change>) {
        for SeenKey { key, .. } in &observation.keys {
            if self.position(key).is_some() || !self.is_configured(key) {
                continue;
            }
            let met = TrackedKey::configured(key.clone());
            changes.push(Change {
                key_tag: key_tag(key),
                from: KeyState::Start,
                to: met.state,
                event: None,
            });
            self.keys.push(met);
        }
    }

    fn follow(&mut self, observation: &Observation, now: u64, changes: &mut Vec<Change>) {
        for tracked in &mut self.keys {
            let same = |seen: &&SeenKey| is_same_key(&seen.key, &tracked.key);
            let is_published = observation.keys.iter().any(|seen| same(&seen));
            // A key whose REVOKE bit it did not sign itself is not the key that was trusted.
            let is_present = observation
                .keys
                .iter()
                .filter(same)
                .any(|seen| !seen.key.revoke());
            let event = match tracked.state {
                KeyState::AddPend { .. } | KeyState::Valid if !is_present => Some(KeyEvent::KeyRem),
                // RFC 5011 §2.2: trusted with the first valid RRset after the hold-down that has it.
                KeyState::AddPend { add_at, .. } => (now >= add_at).then_some(KeyEvent::AddTime),
                KeyState::Missing { .. } => is_present.then_some(KeyEvent::KeyPres),
                KeyState::Revoked { since, .. } if is_published => {
                    tracked.state = KeyState::Revoked {
                        since,
                        remove_at: None,
                    };
                    None
                }
                KeyState::Revoked {
                    remove_at: Some(at),
                    ..
                } => (now >= at).then_some(KeyEvent::RemTime),
                KeyState::Revoked {
                    since,
                    remove_at: None,
                } => {
                    let remove_at = Some(now.saturating_add(REMOVE_HOLD_DOWN));
                    tracked.state = KeyState::Revoked { since, remove_at };
                    None
                }
                KeyState::Valid | KeyState::Removed { .. } | KeyState::Start => None,
            };
            if let Some(event) = event {
                step(tracked, event, now, changes);
            }
        }
    }

    fn meet_new(&mut self, observation: &Observation, now: u64, changes: &mut Vec<Change>) {
        // RFC 5011 §2.4.1: 30 days or the original TTL, whichever is longer.
        let hold_down = ADD_HOLD_DOWN.max(u64::from(observation.original_ttl));
        // A key without bytes or algorithm could be written down but never sign.
        let may_sign = |key: &DNSKEY| {
            !key.public_key().public_bytes().is_empty()
                && u8::from(key.public_key().algorithm()) != 0
        };
        let new = observation
            .keys
            .iter()
            .filter(|seen| seen.key.is_key_signing_key() && may_sign(&seen.key));
        for seen in new {
            let pending = self
                .keys
                .iter()
                .filter(|tracked| matches!(tracked.state, KeyState::AddPend { .. }));
            if pending.count() >= PENDING_MAX {
                return;
            }
            if self.position(&seen.key).is_none() {
                let mut tracked = TrackedKey {
                    key: seen.key.clone(),
                    state: KeyState::Start,
                    is_configured: false,
                };
                step(&mut tracked, KeyEvent::NewKey { hold_down }, now, changes);
                self.keys.push(tracked);
            }
        }
    }

    fn time_next(&mut self, observation: &Observation, now: u64) {
        let original_ttl = u64::from(observation.original_ttl);
        let expiration = observation.signatures_expire_at.saturating_sub(now);
        // RFC 5011 §2.3: MAX (1 hour, MIN (15 days, 1/2 * origTTL, 1/2 * RRSigExpirationInterval)).
        let interval = QUERY_INTERVAL_MAX
            .min(original_ttl / 2)
            .min(expiration / 2)
            .max(QUERY_INTERVAL_MIN);
        self.timing = Timing {
            observed_at: Some(now),
            original_ttl,
            expiration,
            query_at: now.saturating_add(interval),
        };
    }

    /// Drops keys back at Start, the waiting keys of a deleted point, and the oldest removed ones beyond the limit.
    fn forget(&mut self, is_deleted: bool, changes: &mut Vec<Change>) {
        if is_deleted {
            for tracked in &mut self.keys {
                step(tracked, KeyEvent::KeyRem, 0, changes);
            }
        }
        self.keys.retain(|tracked| tracked.state != KeyState::Start);
        let removed_since = |tracked: &TrackedKey| match tracked.state {
            // A configured key stays known for ever: forgotten, it would be trusted again.
            KeyState::Removed { since } if !self.is_configured(&tracked.key) => Some(since),
            KeyState::Removed { .. }
            | KeyState::Start
            | KeyState::AddPend { .. }
            | KeyState::Valid
            | KeyState::Missing { .. }
            | KeyState::Revoked { .. } => None,
        };
        let mut removed: Vec<u64> = self.keys.iter().filter_map(removed_since).collect();
        removed.sort_unstable_by(|one, other| other.cmp(one));
        let Some(&oldest) = removed.get(REMOVED_MAX.saturating_sub(1)) else {
            return;
        };
        let kept: Vec<TrackedKey> = self
            .keys
            .iter()
            .filter(|tracked| removed_since(tracked).is_none_or(|since| since >= oldest))
            .cloned()
            .collect();
        self.keys = kept;
    }

    fn position(&self, key: &DNSKEY) -> Option<usize> {
        self.keys
            .iter()
            .position(|tracked| is_same_key(&tracked.key, key))
    }

    fn is_configured(&self, key: &DNSKEY) -> bool {
        self.configured
            .iter()
            .any(|anchor| anchor.matches(&self.owner, key))
    }
}

fn step(tracked: &mut TrackedKey, event: KeyEvent, now: u64, changes: &mut Vec<Change>) {
    let (from, to) = (tracked.state, tracked.state.after(event, now));
    if from != to {
        tracked.state = to;
        changes.push(Change {
            key_tag: key_tag(&tracked.key),
            from,
            to,
            event: Some(event),
        });
    }
}

/// Returns the key with the REVOKE bit cleared, as its digests were made (RFC 5011 §2.1).
fn unrevoked(key: &DNSKEY) -> DNSKEY {
    const REVOKE: u16 = 0x0080;
    DNSKEY::with_flags(key.flags() & !REVOKE, key.public_key().clone())
}
