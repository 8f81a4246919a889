//! How well does one upstream do? Its round-trip time, whether it fails, and whether it understands EDNS.
//!
//! Nothing is inferred from loss but that nobody replies: EDNS is given up only after an explicit reply, and for a while.
//! Does not choose among upstreams (`scope` does).

use std::sync::Arc;
use std::time::Duration;

use config::model::Upstream;
use config::time::Instant;

use crate::event::{Channel, Failure, UpstreamStatus};
use crate::proof::Proof;

/// The least time before a second upstream is asked beside this one.
const HEDGE_MIN: Duration = Duration::from_millis(150);
/// The most, so that a slow upstream does not take the budget for itself.
const HEDGE_MAX: Duration = Duration::from_secs(1);
/// Round-trip times that fit before a second upstream is asked.
const HEDGE_SRTTS: u32 = 2;
/// Weight of what was known in the smoothed round-trip time, in eighths (RFC 6298 §2).
const SRTT_OLD_EIGHTHS: u32 = 7;
/// Exchanges in a row without reply after which an upstream counts as failing.
const STRIKES_MAX: u8 = 3;
/// How long it is remembered that an upstream said it does not understand EDNS.
const PLAIN_LIFETIME: Duration = Duration::from_secs(600);

/// What is known of an upstream within its scope.
#[derive(Debug, Clone)]
pub(crate) struct UpstreamState {
    pub(crate) upstream: Upstream,
    srtt: Option<Duration>,
    strikes: u8,
    failing: Option<Arc<str>>,
    plain_until: Option<Instant>,
    /// Whether answers can be validated through it.
    pub(crate) proof: Proof,
    sent: u64,
    lost: u64,
}

impl UpstreamState {
    pub(crate) fn new(upstream: Upstream, proof: Proof) -> Self {
        Self {
            upstream,
            srtt: None,
            strikes: 0,
            failing: None,
            plain_until: None,
            proof,
            sent: 0,
            lost: 0,
        }
    }

    /// Returns how long to wait before another upstream is asked as well.
    pub(crate) fn hedge_delay(&self) -> Duration {
        let srtts = self.srtt.unwrap_or_default() * HEDGE_SRTTS;
        srtts.clamp(HEDGE_MIN, HEDGE_MAX)
    }

    pub(crate) fn srtt(&self) -> Option<Duration> {
        self.srtt
    }

    pub(crate) fn is_failing(&self) -> bool {
        self.failing.is_some()
    }

    /// Whether a query to it carries EDNS.
    pub(crate) fn takes_edns(&self, now: Instant) -> bool {
        self.plain_until.is_none_or(|until| until <= now)
    }

    /// Remembers that it answered without EDNS what it had called an error with EDNS.
    pub(crate) fn remember_plain(&mut self, now: Instant) {
        self.plain_until = Some(now + PLAIN_LIFETIME);
    }

    pub(crate) fn note_sent(&mut self) {
        self.sent += 1;
    }

    /// Notes a reply, whatever it says: it works. A stream's time is not one round trip and does not count.
    pub(crate) fn note_reply(&mut self, channel: Channel, rtt: Duration) {
        self.strikes = 0;
        self.failing = None;
        if channel == Channel::Udp {
            self.srtt = Some(match self.srtt {
                None => rtt,
                Some(srtt) => (srtt * SRTT_OLD_EIGHTHS + rtt) / (SRTT_OLD_EIGHTHS + 1),
            });
        }
    }

    /// Notes an exchange without reply.
    pub(crate) fn note_lost(&mut self) {
        self.lost += 1;
        self.strike("no reply");
    }

    /// Notes that an exchange failed.
    pub(crate) fn note_failure(&mut self, channel: Channel, failure: Failure) {
        self.lost += 1;
        match (failure, channel) {
            (Failure::Refused, Channel::Udp) => self.failing = Some("connection refused".into()),
            (Failure::Unreachable, _) => self.failing = Some("unreachable".into()),
            // It may well do UDP.
            (Failure::Refused, Channel::Tcp) => self.strike("connection refused"),
            (Failure::Closed, _) => self.strike("connection closed"),
            // Not its fault.
            (Failure::NoLink | Failure::Resources, _) => {}
        }
    }

    pub(crate) fn status(&self, current: bool) -> UpstreamStatus {
        UpstreamStatus {
            upstream: self.upstream.clone(),
            current,
            srtt: self.srtt,
            sent: self.sent,
            lost: self.lost,
            failing: self.failing.clone(),
            proof: self.proof.describe(),
        }
    }

    fn strike(&mut self, reason: &str) {
        self.strikes = self.strikes.saturating_add(1);
        if self.strikes >= STRIKES_MAX && self.failing.is_none() {
            self.failing = Some(reason.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> UpstreamState {
        UpstreamState::new(Upstream::plain([192, 0, 2, 1].into()), Proof::default())
    }

    #[test]
    fn hedge_waits_two_round_trips_within_bounds() {
        let rows = [
            (None, 150),
            (Some(10), 150),
            (Some(100), 200),
            (Some(900), 1000),
        ];
        for (rtt, expected) in rows {
            let mut state = state();
            if let Some(rtt) = rtt {
                state.note_reply(Channel::Udp, Duration::from_millis(rtt));
            }
            assert_eq!(
                state.hedge_delay(),
                Duration::from_millis(expected),
                "{rtt:?}"
            );
        }
    }

    #[test]
    fn only_explicit_failures_and_loss_in_a_row_make_an_upstream_fail() {
        let mut lossy = state();
        lossy.note_lost();
        lossy.note_lost();
        lossy.note_reply(Channel::Udp, Duration::from_millis(5));
        lossy.note_lost();
        lossy.note_lost();
        assert!(!lossy.is_failing());
        lossy.note_lost();
        assert!(lossy.is_failing());

        let rows = [
            (Channel::Udp, Failure::Refused, true),
            (Channel::Udp, Failure::Unreachable, true),
            (Channel::Tcp, Failure::Refused, false),
            (Channel::Tcp, Failure::Closed, false),
            (Channel::Udp, Failure::NoLink, false),
            (Channel::Udp, Failure::Resources, false),
        ];
        for (channel, failure, fails) in rows {
            let mut state = state();
            state.note_failure(channel, failure);
            assert_eq!(state.is_failing(), fails, "{channel:?} {failure:?}");
        }
    }

    #[test]
    fn missing_edns_is_remembered_for_a_while() {
        let mut state = state();
        assert!(state.takes_edns(Instant::ZERO));
        state.remember_plain(Instant::ZERO);
        assert!(!state.takes_edns(Instant::ZERO + Duration::from_secs(1)));
        assert!(state.takes_edns(Instant::ZERO + PLAIN_LIFETIME));
    }

    #[test]
    fn loss_never_costs_edns() {
        let mut state = state();
        for _ in 0..50 {
            state.note_lost();
        }
        assert!(state.takes_edns(Instant::ZERO));
    }
}
