//! What is known of one upstream of a scope? Its round-trip time, whether it works, and how it wants to be asked.
//!
//! Nothing is inferred from loss but that nobody replies: EDNS is given up only after an explicit reply, datagrams only after a
//! stream brought what they did not, and each for a while. Does not choose among upstreams (`scope` does).

mod health;

use std::sync::Arc;
use std::time::Duration;

use config::model::Upstream;
use config::time::Instant;

use crate::event::{Channel, UpstreamStatus};
use crate::proof::Proof;

pub(crate) use health::{Change, Outcome};
use health::{Health, IN_TIME};

/// The least time before a second upstream is asked beside this one.
const HEDGE_MIN: Duration = Duration::from_millis(150);
/// The most; who takes longer is late.
const HEDGE_MAX: Duration = IN_TIME;
/// How long before another one is asked where this one is known to fail.
const HEDGE_FAILING: Duration = Duration::from_millis(50);
/// Round-trip times that fit before a second upstream is asked, or the same one again.
const PATIENCE_SRTTS: u32 = 2;
/// The least time before the same upstream is asked again.
const REPEAT_MIN: Duration = Duration::from_millis(200);
/// That time while nothing is known of its round-trip time.
const REPEAT_UNKNOWN: Duration = Duration::from_millis(400);
/// The most at first; it doubles with every round.
const REPEAT_FIRST_MAX: Duration = Duration::from_secs(1);
/// The most in later rounds.
const REPEAT_MAX: Duration = Duration::from_secs(2);
/// The time that a stream is given.
const REPEAT_STREAM: Duration = Duration::from_secs(1);
/// Weight of what was known in the smoothed round-trip time, in eighths (RFC 6298 §2).
const SRTT_OLD_EIGHTHS: u32 = 7;
/// How long it is remembered that an upstream said it does not understand EDNS.
const PLAIN_LIFETIME: Duration = Duration::from_secs(600);
/// How long an upstream is asked by stream whose stream brought what its datagrams did not.
const STREAM_LIFETIME: Duration = Duration::from_secs(600);
/// The most exchanges of one upstream that only tell how it does.
const WATCHED_MAX: u8 = 4;

/// What is known of an upstream within its scope.
#[derive(Debug, Clone)]
pub(crate) struct UpstreamState {
    pub(crate) upstream: Upstream,
    health: Health,
    srtt: Option<Duration>,
    plain_until: Option<Instant>,
    stream_until: Option<Instant>,
    /// Whether answers can be validated through it.
    pub(crate) proof: Proof,
    /// Exchanges under way that only tell how it does.
    pub(crate) watched: u8,
    sent: u64,
    lost: u64,
}

impl UpstreamState {
    pub(crate) fn new(upstream: Upstream, proof: Proof) -> Self {
        Self {
            upstream,
            health: Health::default(),
            srtt: None,
            plain_until: None,
            stream_until: None,
            proof,
            watched: 0,
            sent: 0,
            lost: 0,
        }
    }

    /// Returns how long to wait before another upstream is asked as well.
    pub(crate) fn hedge_delay(&self) -> Duration {
        match self.is_failing() {
            true => HEDGE_FAILING,
            false => self.patience(),
        }
    }

    /// Returns after which time without reply something is wrong.
    pub(crate) fn patience(&self) -> Duration {
        let srtts = self.srtt.unwrap_or_default() * PATIENCE_SRTTS;
        srtts.clamp(HEDGE_MIN, HEDGE_MAX)
    }

    /// Returns how long to wait before the same question goes there again, when it was asked in so many rounds before.
    pub(crate) fn repeat_delay(&self, channel: Channel, rounds: u8) -> Duration {
        if channel != Channel::Udp {
            return REPEAT_STREAM;
        }
        let first = self.srtt.map_or(REPEAT_UNKNOWN, |srtt| {
            (srtt * PATIENCE_SRTTS).clamp(REPEAT_MIN, REPEAT_FIRST_MAX)
        });
        (first * 2u32.pow(u32::from(rounds.min(4)))).min(REPEAT_MAX)
    }

    pub(crate) fn srtt(&self) -> Option<Duration> {
        self.srtt
    }

    pub(crate) fn is_failing(&self) -> bool {
        self.health.is_failing()
    }

    /// Whether nothing at all comes from there.
    pub(crate) fn is_gone(&self) -> bool {
        self.health.is_gone()
    }

    /// Whether it fails, but what it replied last was good.
    pub(crate) fn is_on_its_way_back(&self) -> bool {
        self.health.is_on_its_way_back()
    }

    /// Orders those that fail: first the one that was heard last.
    pub(crate) fn despair(&self) -> impl Ord + use<> {
        (self.is_gone(), std::cmp::Reverse(self.health.heard()))
    }

    /// Returns when it is tried again; `first` says that it would be asked first if it worked.
    pub(crate) fn try_at(&self, first: bool) -> Option<Instant> {
        self.health.try_at(first)
    }

    /// Notes that it is tried again.
    pub(crate) fn note_tried(&mut self, now: Instant) {
        self.health.note_tried(now);
    }

    /// Whether there is room for one more exchange that only tells how it does.
    pub(crate) fn may_watch(&self) -> bool {
        self.watched < WATCHED_MAX
    }

    /// Whether a query to it carries EDNS.
    pub(crate) fn takes_edns(&self, now: Instant) -> bool {
        self.plain_until.is_none_or(|until| until <= now)
    }

    /// Remembers that it answered without EDNS what it had called an error with EDNS.
    pub(crate) fn remember_plain(&mut self, now: Instant) {
        self.plain_until = Some(now + PLAIN_LIFETIME);
    }

    /// Returns how it is asked first.
    pub(crate) fn channel(&self, now: Instant) -> Channel {
        match self.stream_until.is_some_and(|until| now < until) {
            true => Channel::Tcp,
            false => Channel::Udp,
        }
    }

    /// Remembers that a stream brought what datagrams did not.
    pub(crate) fn remember_stream(&mut self, now: Instant) {
        self.stream_until = Some(now + STREAM_LIFETIME);
    }

    pub(crate) fn note_sent(&mut self) {
        self.sent += 1;
    }

    /// Notes how long a reply took. A stream's time is not one round trip and does not count.
    pub(crate) fn note_rtt(&mut self, channel: Channel, rtt: Duration) {
        if channel == Channel::Udp {
            self.srtt = Some(match self.srtt {
                None => rtt,
                Some(srtt) => (srtt * SRTT_OLD_EIGHTHS + rtt) / (SRTT_OLD_EIGHTHS + 1),
            });
        }
    }

    /// Takes what became of a message; `alone` says that no other upstream works.
    pub(crate) fn take(
        &mut self,
        outcome: Outcome,
        sent_at: Instant,
        alone: bool,
        now: Instant,
    ) -> Change {
        match outcome {
            Outcome::Good(_) | Outcome::Heard | Outcome::Outdone(_) | Outcome::Blameless => {}
            Outcome::Overtaken => {
                self.lost += 1;
                // It takes at least that long; else one that never replies would go on being tried as unknown.
                self.srtt.get_or_insert(now.since(sent_at));
            }
            Outcome::Lost | Outcome::Refused | Outcome::Unreachable | Outcome::Closed => {
                self.lost += 1;
            }
        }
        let change = self.health.take(outcome, sent_at, alone, now);
        if let (Change::Recovered, Outcome::Good(rtt)) = (change, outcome) {
            // What it took while it failed says nothing of the time after.
            self.srtt = Some(rtt);
        }
        change
    }

    pub(crate) fn status(&self, current: bool) -> UpstreamStatus {
        UpstreamStatus {
            upstream: self.upstream.clone(),
            current,
            srtt: self.srtt,
            sent: self.sent,
            lost: self.lost,
            failing: self.health.why().map(|why| Arc::from(why.to_string())),
            proof: self.proof.describe(),
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
    fn patience_is_two_round_trips_within_bounds() {
        let rows = [
            (None, 150, 400),
            (Some(10), 150, 200),
            (Some(100), 200, 200),
            (Some(300), 400, 600),
            (Some(900), 400, 1000),
        ];
        for (rtt, hedge, repeat) in rows {
            let mut state = state();
            if let Some(rtt) = rtt {
                state.note_rtt(Channel::Udp, Duration::from_millis(rtt));
            }
            let millis = Duration::from_millis;
            assert_eq!(state.hedge_delay(), millis(hedge), "{rtt:?}");
            let delays = [0, 1, 9].map(|round| state.repeat_delay(Channel::Udp, round));
            assert_eq!(delays[0], millis(repeat), "{rtt:?}");
            assert_eq!(delays[1], millis(repeat * 2).min(REPEAT_MAX), "{rtt:?}");
            assert_eq!(delays[2], REPEAT_MAX, "{rtt:?}");
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
    fn streams_that_brought_what_datagrams_did_not_are_used_for_a_while() {
        let mut state = state();
        state.remember_stream(Instant::ZERO);
        assert_eq!(state.channel(Instant::ZERO), Channel::Tcp);
        assert_eq!(state.channel(Instant::ZERO + STREAM_LIFETIME), Channel::Udp);
    }

    #[test]
    fn loss_never_costs_edns() {
        let mut state = state();
        for _ in 0..50 {
            state.take(Outcome::Lost, Instant::ZERO, false, Instant::ZERO);
        }
        assert!(state.takes_edns(Instant::ZERO));
    }

    #[test]
    fn one_that_never_replies_does_not_count_as_the_fastest() {
        let mut state = state();
        let later = Instant::ZERO + Duration::from_millis(150);
        state.take(Outcome::Overtaken, Instant::ZERO, false, later);
        assert_eq!(state.srtt(), Some(Duration::from_millis(150)));
    }
}
