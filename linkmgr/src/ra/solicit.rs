//! When is the next router solicitation due? RFC 7559: at once, then ever more rarely, until a router answers.

use std::time::Duration;

use config::time::Instant;
use rand::RngExt as _;
use rand::rngs::StdRng;

/// The first wait (`IRT`, RFC 7559 §2: `RTR_SOLICITATION_INTERVAL`).
const FIRST: Duration = Duration::from_secs(4);
/// The longest wait (`MRT`).
const LONGEST: Duration = Duration::from_secs(3600);
/// How soon after a solicitation another reason for one adds none: a router answers within half a second
/// (`MAX_RA_DELAY_TIME`, RFC 4861 §10).
const APART: Duration = Duration::from_millis(600);

/// The run of solicitations.
///
/// ```text
///  Idle ── begin ──► Running ── at next_at: one more, wait twice as long ──┐
///   ▲                  │  ▲                                                │
///   └────── end ───────┘  └────────────────────────────────────────────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Solicitation {
    run: Option<Run>,
    sent_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    /// How long the wait is after the next one; `None` before the first.
    wait: Option<Duration>,
    next_at: Instant,
    sent: u32,
    /// Whether one is sent even when it turns out that nobody needs it.
    owed: bool,
}

impl Solicitation {
    /// Begins a run; one that is under way begins anew.
    pub(super) fn begin(&mut self, now: Instant) {
        let next_at = self
            .sent_at
            .map_or(now, |sent_at| (sent_at + APART).max(now));
        self.run = Some(Run {
            wait: None,
            next_at,
            sent: 0,
            owed: false,
        });
    }

    /// Begins a run that sends at least one.
    pub(super) fn begin_owed(&mut self, now: Instant) {
        self.begin(now);
        if let Some(run) = &mut self.run {
            run.owed = true;
        }
    }

    /// Begins a run when none is under way.
    pub(super) fn begin_unless_running(&mut self, now: Instant) {
        if self.run.is_none() {
            self.begin(now);
        }
    }

    /// Ends the run, but for one that is owed.
    pub(super) fn end(&mut self) {
        self.run = self.run.filter(|run| run.owed);
    }

    /// Ends the run, whatever is owed: there is nobody to ask.
    pub(super) const fn stop(&mut self) {
        self.run = None;
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        self.run.map(|run| run.next_at)
    }

    /// How many were sent in this run; `None` when there is none.
    pub(super) fn sent(&self) -> Option<u32> {
        self.run.map(|run| run.sent)
    }

    /// Whether a solicitation is to be sent; the next one is due later then.
    pub(super) fn is_due(&mut self, rng: &mut StdRng, now: Instant) -> bool {
        let Some(run) = self.run.as_mut().filter(|run| run.next_at <= now) else {
            return false;
        };
        let wait = next_wait(run.wait, rng.random_range(-100..=100));
        *run = Run {
            wait: Some(wait),
            next_at: now + wait,
            sent: run.sent.saturating_add(1),
            owed: false,
        };
        self.sent_at = Some(now);
        true
    }
}

/// RFC 8415 §15, which RFC 7559 refers to: twice the wait before, `chance` thousandths more.
fn next_wait(before: Option<Duration>, chance: i32) -> Duration {
    let plain = before.map_or(FIRST, |before| before * 2);
    let base = before.unwrap_or(FIRST);
    let wait = spread(plain, base, chance);
    if wait > LONGEST {
        return spread(LONGEST, LONGEST, chance);
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
    fn waits_double_to_an_hour_and_stay_there() {
        let mut wait = None;
        let mut waits = Vec::new();
        for _ in 0..14 {
            wait = Some(next_wait(wait, 0));
            waits.push(wait.unwrap().as_secs());
        }
        let expected = [
            4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600, 3600, 3600,
        ];
        assert_eq!(waits, expected);
        assert_eq!(next_wait(None, 100), Duration::from_millis(4400));
        assert_eq!(next_wait(None, -100), Duration::from_millis(3600));
        assert_eq!(next_wait(Some(LONGEST), 100), Duration::from_secs(3960));
    }

    #[test]
    fn a_run_sends_at_once_and_two_reasons_at_one_time_send_once() {
        let mut rng = StdRng::from_seed([1; 32]);
        let start = Instant::ZERO + Duration::from_secs(5);
        let mut solicitation = Solicitation::default();
        assert!(!solicitation.is_due(&mut rng, start));
        solicitation.begin(start);
        assert!(solicitation.is_due(&mut rng, start));
        assert!(!solicitation.is_due(&mut rng, start));
        solicitation.begin(start);
        assert!(!solicitation.is_due(&mut rng, start));
        assert_eq!(solicitation.next_at(), Some(start + APART));
        assert!(solicitation.is_due(&mut rng, start + APART));
        solicitation.end();
        assert_eq!(solicitation.next_at(), None);
    }
}
