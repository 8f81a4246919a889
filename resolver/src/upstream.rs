//! What is known of one upstream of a scope? Its round-trip time, whether it works, and how it wants to be asked.
//!
//! Whether it works is `health`'s, how it wants to be asked is that of `manners`. Does not choose among upstreams (`scope` does).

mod health;
mod manners;

use std::sync::Arc;
use std::time::Duration;

use config::model::{Transport, Upstream};
use config::name::DomainName;
use config::time::Instant;

use crate::event::{Channel, Failure, UpstreamStatus};
use crate::ledger::UpstreamCounts;
use crate::loops::Looped;
use crate::networks::Memory;
use crate::proof::Proof;

pub(crate) use health::{Change, Outcome};
use health::{Health, IN_TIME, Why};
pub(crate) use manners::{Doubt, Guise, Manners};

/// The least time before a second upstream is asked beside this one.
const HEDGE_MIN: Duration = Duration::from_millis(150);
/// The most; who takes longer is late.
const HEDGE_MAX: Duration = IN_TIME;
/// How long before another one is asked where this one is known to fail.
const HEDGE_FAILING: Duration = Duration::from_millis(50);
/// Round-trip times that fit before a second upstream is asked, or the same one again.
const PATIENCE_SRTTS: u32 = 2;
/// The least time before the same upstream is asked again.
const REPEAT_MIN: Duration = Duration::from_millis(50);
/// How much of how far round trips differ is waited besides (RFC 6298 §2.3): one that has some answers at hand and must look
/// for others is not asked again for each that it looks for.
const VARIATIONS: u32 = 4;
/// That time while nothing is known of its round-trip time.
const REPEAT_UNKNOWN: Duration = Duration::from_millis(400);
/// The most at first, and in later rounds, where it doubles: who has three of ten messages lost is to have one of seven replied to.
const REPEAT_MAX: Duration = Duration::from_secs(1);
/// The most where replies are known to take longer.
const REPEAT_LATE_MAX: Duration = Duration::from_secs(2);
/// The least that a stream is given, which shakes hands first.
const REPEAT_STREAM: Duration = Duration::from_millis(400);
/// Weight of what was known in the smoothed round-trip time, in eighths (RFC 6298 §2).
const SRTT_OLD_EIGHTHS: u32 = 7;
/// The most exchanges of one upstream that only tell how it does.
const WATCHED_MAX: u8 = 4;

/// What is known of an upstream within its scope.
#[derive(Debug, Clone)]
pub(crate) struct UpstreamState {
    pub(crate) upstream: Upstream,
    /// Whether it only stands before another one, as long as it works.
    optional: bool,
    /// The upstream of the plan that it is a form of and stands before; of one that stands in the plan itself, nothing.
    pub(crate) before: Option<Upstream>,
    health: Health,
    srtt: Option<Duration>,
    /// By how much round trips differ from that, smoothed.
    variation: Duration,
    pub(crate) manners: Manners,
    /// Whether answers can be validated through it.
    pub(crate) proof: Proof,
    /// Exchanges under way that only tell how it does.
    pub(crate) watched: u8,
    /// Replies that may be forged.
    pub(crate) forged: u64,
    /// What it has sent back to us.
    looped: Looped,
    /// Until when it is taken for one that does not.
    straight_until: Instant,
    sent: u64,
    lost: u64,
    counts: UpstreamCounts,
}

impl UpstreamState {
    pub(crate) fn new(upstream: Upstream) -> Self {
        Self::remembered(upstream, &Memory::default(), Instant::ZERO)
    }

    /// Begins with a form of an upstream, which stands before that. Of one that goes by HTTP/3 it counts how it did when this network
    /// was left; any other, and one that was never met here, is tried beside real questions, and used when it works.
    pub(crate) fn form(
        upstream: Upstream,
        before: Upstream,
        memory: Option<&Memory>,
        now: Instant,
    ) -> Self {
        let memory = memory.filter(|_| upstream.transport == Transport::H3);
        let state = match memory {
            Some(memory) => Self::remembered(upstream, memory, now),
            None => Self {
                health: Health::failing(Why::Untried),
                ..Self::new(upstream)
            },
        };
        Self {
            optional: true,
            before: Some(before),
            ..state
        }
    }

    /// Returns it in another place: before another one, or in the plan itself.
    pub(crate) fn seated(self, before: Option<Upstream>) -> Self {
        Self {
            optional: before.is_some() || self.upstream.is_anybody(),
            before,
            ..self
        }
    }

    /// Begins with what is remembered of the same upstream in the same network.
    pub(crate) fn remembered(upstream: Upstream, memory: &Memory, now: Instant) -> Self {
        let health = match memory.failing {
            true => Health::failing(Why::Remembered),
            // Opportunistic TLS is tried beside real questions, and used when it works.
            false if upstream.is_anybody() => Health::failing(Why::Untried),
            false => Health::default(),
        };
        Self {
            optional: upstream.is_anybody(),
            before: None,
            upstream,
            health,
            srtt: memory
                .srtt_us
                .map(|srtt| Duration::from_micros(srtt.into())),
            variation: Duration::from_micros(u64::from(memory.srtt_us.unwrap_or_default()) / 2),
            manners: Manners::new(memory.manners, now),
            proof: Proof::remembered(memory.validates.as_ref()),
            watched: 0,
            forged: 0,
            looped: Looped::default(),
            straight_until: Instant::ZERO,
            sent: 0,
            lost: 0,
            counts: UpstreamCounts::default(),
        }
    }

    /// Returns what it has sent back to us.
    pub(crate) fn looped(&self) -> &Looped {
        &self.looped
    }

    /// Takes a name that it has sent back to us, `from_there` from where it is itself; returns whether it is the first for a while.
    pub(crate) fn found_to_loop(
        &mut self,
        name: DomainName,
        from_there: bool,
        now: Instant,
    ) -> bool {
        let is_news = !self.looped.any(now);
        self.looped.take(name, from_there, now);
        self.straight_until = Instant::ZERO;
        is_news
    }

    /// Whether it is worth finding out if it forwards to us, where it may be who asks what it is asked.
    pub(crate) fn may_loop(&self, now: Instant) -> bool {
        now >= self.straight_until
    }

    /// Takes it for one that does not forward to us, for a while, unless it is known to.
    pub(crate) fn found_straight(&mut self, until: Instant, now: Instant) {
        if !self.looped.any(now) {
            self.straight_until = until;
        }
    }

    /// Whether no reply of it has been seen, and nothing is remembered of it.
    pub(crate) fn has_told_nothing(&self) -> bool {
        self.srtt.is_none()
    }

    /// Returns what is worth remembering.
    pub(crate) fn memory(&self, now: Instant) -> Memory {
        Memory {
            validates: self.proof.worth_remembering(),
            srtt_us: self
                .srtt
                .map(|srtt| u32::try_from(srtt.as_micros()).unwrap_or(u32::MAX)),
            failing: self.is_failing(),
            manners: self.manners.known(now),
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

    /// Returns how long to wait before the same question goes there again, when it was asked in so many rounds before. One that
    /// is late with every reply is given a little more than it takes (RFC 8085 §3.1.1): it gets there no sooner by repetition.
    pub(crate) fn repeat_delay(&self, channel: Channel, rounds: u8) -> Duration {
        let srtt = self.srtt.unwrap_or(REPEAT_UNKNOWN / PATIENCE_SRTTS);
        let usual = (srtt * PATIENCE_SRTTS).max(srtt + self.variation * VARIATIONS);
        let first = usual.max(REPEAT_MIN);
        let doublings = u32::from(rounds.saturating_sub(1).min(5));
        let late = (srtt + srtt / 4).min(REPEAT_LATE_MAX);
        let delay = (first * 2u32.pow(doublings)).min(REPEAT_MAX).max(late);
        match channel {
            Channel::Udp => delay,
            Channel::Tcp => delay.max(REPEAT_STREAM),
        }
    }

    pub(crate) fn srtt(&self) -> Option<Duration> {
        self.srtt
    }

    pub(crate) fn is_failing(&self) -> bool {
        self.health.is_failing()
    }

    /// Whether it is a form of another one that it stands before.
    pub(crate) fn is_optional(&self) -> bool {
        self.optional
    }

    /// Whether it stands before one that is asked in its place, until it has shown that it works.
    pub(crate) fn is_untried(&self) -> bool {
        self.optional && self.is_failing()
    }

    /// Whether nothing at all comes from there.
    pub(crate) fn is_gone(&self) -> bool {
        self.health.is_gone()
    }

    /// Whether its port was closed a moment ago, and nothing was heard since.
    pub(crate) fn has_refused_lately(&self, now: Instant) -> bool {
        self.health.has_refused_lately(now)
    }

    /// Whether it fails, but what it replied last was good.
    pub(crate) fn is_on_its_way_back(&self) -> bool {
        self.health.is_on_its_way_back()
    }

    /// Returns when the youngest message that it replied to was sent.
    pub(crate) fn heard(&self) -> Option<Instant> {
        self.health.heard()
    }

    /// Returns when the youngest message that it answered was sent.
    pub(crate) fn answered(&self) -> Option<Instant> {
        self.health.answered()
    }

    /// Whether it has begun to work again since then.
    pub(crate) fn has_recovered_since(&self, at: Instant) -> bool {
        self.health.has_recovered_since(at)
    }

    /// Orders those that fail: first the one that was heard last.
    pub(crate) fn despair(&self) -> impl Ord + use<> {
        (self.is_gone(), std::cmp::Reverse(self.health.heard()))
    }

    /// Returns when it is tried again; `first` says that it would be asked first if it worked.
    pub(crate) fn try_at(&self, first: bool) -> Option<Instant> {
        // Most that are asked in the clear will never speak TLS.
        self.health.try_at(first && !self.optional)
    }

    /// Returns how it is asked first.
    pub(crate) fn channel(&self, now: Instant) -> Channel {
        match Channel::to(&self.upstream) {
            Channel::Tcp => Channel::Tcp,
            Channel::Udp => self.manners.channel(now),
        }
    }

    /// Notes that it is tried again.
    pub(crate) fn note_tried(&mut self, now: Instant) {
        self.health.note_tried(now);
    }

    /// Whether there is room for one more exchange that only tells how it does.
    pub(crate) fn may_watch(&self) -> bool {
        self.watched < WATCHED_MAX
    }

    /// Whether anything was ever sent to it.
    pub(crate) fn was_asked(&self) -> bool {
        self.sent > 0
    }

    pub(crate) fn note_sent(&mut self) {
        self.sent += 1;
    }

    /// Notes how long a reply took. The time of a stream that is the exception is not one round trip and does not count; where
    /// streams are the rule, theirs is what there is.
    pub(crate) fn note_rtt(&mut self, channel: Channel, rtt: Duration, now: Instant) {
        self.counts.replies.record(rtt);
        if channel == self.channel(now) {
            // RFC 6298 §2.2, §2.3.
            (self.srtt, self.variation) = match self.srtt {
                None => (Some(rtt), rtt / 2),
                Some(srtt) => (
                    Some((srtt * SRTT_OLD_EIGHTHS + rtt) / (SRTT_OLD_EIGHTHS + 1)),
                    (self.variation * 3 + srtt.abs_diff(rtt)) / 4,
                ),
            };
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
                self.srtt.get_or_insert_with(|| now.since(sent_at));
            }
            Outcome::Lost
            | Outcome::Refused
            | Outcome::Unreachable
            | Outcome::Closed
            | Outcome::Told(_) => {
                self.lost += 1;
                if let Some(failure) = heard(outcome) {
                    self.counts.note_failure(failure);
                }
            }
        }
        let change = self.health.take(outcome, sent_at, alone, now);
        if let (Change::Recovered, Outcome::Good(rtt)) = (change, outcome)
            && !rtt.is_zero()
        {
            // What it took while it failed says nothing of the time after.
            self.srtt = Some(rtt);
        }
        change
    }

    /// Says how it does; `first` says that it would be asked first if it worked.
    pub(crate) fn status(&self, current: bool, first: bool, now: Instant) -> UpstreamStatus {
        UpstreamStatus {
            upstream: self.upstream.clone(),
            current,
            srtt: self.srtt,
            sent: self.sent,
            lost: self.lost,
            failing: self.health.why().map(|why| Arc::from(why.to_string())),
            next_try: self.try_at(first).map(|at| at.since(now)),
            loss_percent: self.health.loss_percent(),
            manners: self.manners.describe(now),
            forged: self.forged,
            proof: self.proof.describe(),
            counts: self.counts.clone(),
        }
    }
}

/// Returns what was heard of a message that brought no reply; nothing but silence is no failure of a kind.
const fn heard(outcome: Outcome) -> Option<Failure> {
    match outcome {
        Outcome::Refused => Some(Failure::Refused),
        Outcome::Unreachable => Some(Failure::Unreachable),
        Outcome::Closed => Some(Failure::Closed),
        Outcome::Told(failure) => Some(failure),
        Outcome::Good(_)
        | Outcome::Heard
        | Outcome::Outdone(_)
        | Outcome::Blameless
        | Outcome::Overtaken
        | Outcome::Lost => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> UpstreamState {
        UpstreamState::new(Upstream::plain([192, 0, 2, 1].into()))
    }

    #[test]
    fn patience_is_two_round_trips_within_bounds() {
        let rows = [
            // Of one reply alone, half of its time is how far others may differ.
            (None, 150, 400),
            (Some(1), 150, 50),
            (Some(50), 150, 150),
            (Some(100), 200, 300),
            (Some(300), 400, 900),
            (Some(900), 400, 1125),
            (Some(3000), 400, 2000),
        ];
        for (rtt, hedge, repeat) in rows {
            let mut state = state();
            if let Some(rtt) = rtt {
                state.note_rtt(Channel::Udp, Duration::from_millis(rtt), Instant::ZERO);
            }
            let millis = Duration::from_millis;
            assert_eq!(state.hedge_delay(), millis(hedge), "{rtt:?}");
            let delays = [0, 1, 2, 9].map(|round| state.repeat_delay(Channel::Udp, round));
            assert_eq!(delays[..2], [millis(repeat); 2], "{rtt:?}");
            let doubled = millis(repeat * 2).min(REPEAT_MAX).max(millis(repeat));
            assert_eq!(delays[2], doubled, "{rtt:?}");
            assert_eq!(delays[3], millis(repeat).max(REPEAT_MAX), "{rtt:?}");
        }
    }

    #[test]
    fn loss_never_costs_edns() {
        let mut state = state();
        for _ in 0..50 {
            state.take(Outcome::Lost, Instant::ZERO, false, Instant::ZERO);
        }
        assert!(state.manners.takes_edns(Instant::ZERO));
    }

    #[test]
    fn what_is_remembered_is_what_it_began_with() {
        let memory = Memory {
            srtt_us: Some(20_000),
            failing: true,
            ..Memory::default()
        };
        let upstream = Upstream::plain([192, 0, 2, 1].into());
        let state = UpstreamState::remembered(upstream, &memory, Instant::ZERO);
        assert!(state.is_failing() && !state.is_gone());
        assert!(
            state
                .try_at(true)
                .is_some_and(|at| at <= Instant::ZERO + HEDGE_MIN)
        );
        assert_eq!(state.memory(Instant::ZERO), memory);
    }

    #[test]
    fn one_that_never_replies_does_not_count_as_the_fastest() {
        let mut state = state();
        let later = Instant::ZERO + Duration::from_millis(150);
        state.take(Outcome::Overtaken, Instant::ZERO, false, later);
        assert_eq!(state.srtt(), Some(Duration::from_millis(150)));
    }
}
