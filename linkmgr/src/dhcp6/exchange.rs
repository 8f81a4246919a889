//! When is a message sent again, and when is there no hope? [`Exchange`]: RFC 8415 §15, with the times of §7.6.

use std::time::Duration;

use config::time::Instant;
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::wire::MessageType;

/// How a kind of message is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manner {
    /// `IRT`: about how long the first wait is.
    first: Duration,
    /// `MRT`: about how long the longest is; zero for no limit.
    longest: Duration,
    /// `MRC`: how often it is sent; zero for no limit.
    count: u32,
}

const fn manner(first: u64, longest: u64, count: u32) -> Manner {
    Manner {
        first: Duration::from_secs(first),
        longest: Duration::from_secs(longest),
        count,
    }
}

impl Manner {
    /// Returns how this kind of message is sent again (RFC 8415 §7.6, RFC 9686 §4.4).
    pub(super) const fn of(kind: MessageType) -> Self {
        match kind {
            MessageType::Solicit | MessageType::InformationRequest => manner(1, 3600, 0),
            MessageType::Request => manner(1, 30, 10),
            MessageType::Confirm => manner(1, 4, 0),
            MessageType::Renew | MessageType::Rebind => manner(10, 600, 0),
            MessageType::Release | MessageType::Decline => manner(1, 0, 4),
            MessageType::AddrRegInform => manner(1, 0, 3),
            // Servers send these.
            MessageType::Advertise
            | MessageType::Reply
            | MessageType::Reconfigure
            | MessageType::AddrRegReply => manner(1, 0, 1),
        }
    }

    /// Returns the same with another longest wait (`SOL_MAX_RT`, `INF_MAX_RT`).
    pub(super) fn with_longest(self, seconds: Option<u32>) -> Self {
        match seconds {
            None => self,
            Some(seconds) => Self {
                longest: Duration::from_secs(seconds.into()),
                ..self
            },
        }
    }
}

/// One message, sent until it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exchange {
    pub(super) kind: MessageType,
    pub(super) transaction: u32,
    manner: Manner,
    /// When the first was sent; `None` before.
    begun_at: Option<Instant>,
    wait: Option<Duration>,
    pub(super) next_at: Instant,
    pub(super) sent: u32,
    /// `MRD`: when there is no more hope.
    pub(super) ends_at: Option<Instant>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Wait until [`Exchange::due_at`].
    Wait,
    /// Send it.
    Send,
    /// Nobody has answered.
    Failed,
}

impl Exchange {
    /// Begins; the first message leaves at `at`.
    pub(super) fn new(kind: MessageType, manner: Manner, rng: &mut StdRng, at: Instant) -> Self {
        Self {
            kind,
            transaction: rng.random_range(0..1 << 24),
            manner,
            begun_at: None,
            wait: None,
            next_at: at,
            sent: 0,
            ends_at: None,
        }
    }

    pub(super) fn until(mut self, ends_at: Option<Instant>) -> Self {
        self.ends_at = ends_at;
        self
    }

    /// Takes another longest wait.
    pub(super) fn set_longest(&mut self, seconds: Option<u32>) {
        self.manner = self.manner.with_longest(seconds);
    }

    pub(super) fn due_at(&self) -> Instant {
        self.ends_at
            .map_or(self.next_at, |ends_at| ends_at.min(self.next_at))
    }

    /// Returns what to do at `now`; when it is to be sent, that counts as done.
    pub(super) fn step(&mut self, rng: &mut StdRng, now: Instant) -> Step {
        if self.ends_at.is_some_and(|ends_at| ends_at <= now) {
            return Step::Failed;
        }
        if self.next_at > now {
            return Step::Wait;
        }
        if self.manner.count != 0 && self.sent >= self.manner.count {
            return Step::Failed;
        }
        // RFC 8415 §18.2.1: the first wait of a Solicit is never shorter than IRT.
        let least = match (self.kind, self.wait) {
            (MessageType::Solicit, None) => 1,
            _ => -100,
        };
        let wait = next_wait(self.manner, self.wait, rng.random_range(least..=100));
        self.wait = Some(wait);
        self.next_at = now + wait;
        self.sent = self.sent.saturating_add(1);
        self.begun_at.get_or_insert(now);
        Step::Send
    }

    /// Returns the time since the first message, in hundredths of a second (RFC 8415 §21.9).
    pub(super) fn elapsed(&self, now: Instant) -> u16 {
        let since = self.begun_at.map_or(Duration::ZERO, |at| now.since(at));
        u16::try_from(since.as_millis() / 10).unwrap_or(u16::MAX)
    }

    /// Whether the time to gather advertisements is over: the first wait.
    pub(super) const fn is_past_first(&self) -> bool {
        self.sent > 1
    }
}

/// RFC 8415 §15; `chance` is RAND in thousandths.
fn next_wait(manner: Manner, before: Option<Duration>, chance: i32) -> Duration {
    let base = before.unwrap_or(manner.first);
    let plain = before.map_or(manner.first, |before| before * 2);
    let wait = spread(plain, base, chance);
    if !manner.longest.is_zero() && wait > manner.longest {
        return spread(manner.longest, manner.longest, chance);
    }
    wait
}

fn spread(plain: Duration, base: Duration, chance: i32) -> Duration {
    let part = base * chance.unsigned_abs() / 1000;
    if chance < 0 {
        plain.saturating_sub(part)
    } else {
        plain + part
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    #[test]
    fn each_message_is_sent_as_often_and_as_late_as_the_rfc_says() {
        // Kind; seconds between sendings without chance; how many there are at most.
        let rows: [(MessageType, &[u64], Option<usize>); 6] = [
            (
                MessageType::Solicit,
                &[
                    1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600,
                ],
                None,
            ),
            (
                MessageType::Request,
                &[1, 2, 4, 8, 16, 30, 30, 30, 30, 30],
                Some(10),
            ),
            (MessageType::Confirm, &[1, 2, 4, 4, 4], None),
            (
                MessageType::Renew,
                &[10, 20, 40, 80, 160, 320, 600, 600],
                None,
            ),
            (MessageType::Release, &[1, 2, 4, 8], Some(4)),
            (MessageType::AddrRegInform, &[1, 2, 4], Some(3)),
        ];
        for (kind, waits, count) in rows {
            let manner = Manner::of(kind);
            let mut before = None;
            for wait in waits {
                before = Some(next_wait(manner, before, 0));
                assert_eq!(before, Some(Duration::from_secs(*wait)), "{kind:?}");
            }
            let mut rng = StdRng::seed_from_u64(1);
            let mut exchange = Exchange::new(kind, manner, &mut rng, Instant::ZERO);
            let mut sent = 0;
            while sent < 50 && exchange.step(&mut rng, exchange.next_at) == Step::Send {
                sent += 1;
            }
            assert_eq!(sent, count.unwrap_or(50), "{kind:?}");
        }
    }

    #[test]
    fn the_first_wait_of_a_solicit_is_never_short() {
        for seed in 0..200 {
            let mut rng = StdRng::seed_from_u64(seed);
            let manner = Manner::of(MessageType::Solicit);
            let mut exchange = Exchange::new(MessageType::Solicit, manner, &mut rng, Instant::ZERO);
            assert_eq!(exchange.step(&mut rng, Instant::ZERO), Step::Send);
            let wait = exchange.next_at.since(Instant::ZERO);
            assert!(
                wait > Duration::from_secs(1) && wait <= Duration::from_millis(1100),
                "{wait:?}"
            );
        }
    }

    #[test]
    fn an_exchange_ends_at_its_end_and_counts_its_time() {
        let mut rng = StdRng::seed_from_u64(1);
        let start = Instant::ZERO + Duration::from_secs(100);
        let end = start + Duration::from_secs(10);
        let manner = Manner::of(MessageType::Confirm);
        let mut exchange =
            Exchange::new(MessageType::Confirm, manner, &mut rng, start).until(Some(end));
        assert_eq!(exchange.elapsed(start), 0);
        assert_eq!(exchange.step(&mut rng, start), Step::Send);
        assert_eq!(exchange.step(&mut rng, start), Step::Wait);
        assert_eq!(exchange.elapsed(start + Duration::from_millis(2345)), 234);
        assert_eq!(exchange.step(&mut rng, end), Step::Failed);
        assert_eq!(
            exchange.elapsed(start + Duration::from_secs(10_000)),
            u16::MAX
        );
    }

    #[test]
    fn a_network_may_set_the_longest_wait() {
        let manner = Manner::of(MessageType::Solicit).with_longest(Some(60));
        assert_eq!(
            next_wait(manner, Some(Duration::from_secs(50)), 0),
            Duration::from_secs(60)
        );
        assert_eq!(
            Manner::of(MessageType::Solicit).with_longest(None),
            Manner::of(MessageType::Solicit)
        );
    }
}
