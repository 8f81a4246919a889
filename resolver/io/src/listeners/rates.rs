//! How many datagrams may one client get whose address is not proven? Enough for any host, too few to hurt the one it pretends
//! to be.
//!
//! A fixed table of counters for one second; a client that finds none free is counted with others. TCP and cookies prove an
//! address, and are not counted here. Threads count without a lock: each counter has its second beside it.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use config::time::Instant;

use super::access::client_of;

/// Answers to a client in a second, those included that only say "ask by TCP", for each that it may have whole.
const ANSWERS_EACH: u32 = 2;
/// Refusals to all strangers in a second.
const REFUSALS_MAX: u32 = 32;
/// Counters; clients that meet in one share it.
const COUNTERS: usize = 4096;

/// What an unproven client may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    /// An answer.
    Whole,
    /// An answer that is not longer than the question.
    Short,
    /// Nothing.
    Nothing,
}

/// The counters of one listener.
#[derive(Debug)]
pub(super) struct Rates {
    hasher: RandomState,
    counters: Box<[PerSecond]>,
}

/// The lower half of a counter.
const COUNT: u64 = u32::MAX as u64;

/// How often something came in a second: the number of the second, and how often.
#[derive(Debug, Default)]
pub(super) struct PerSecond(AtomicU64);

impl PerSecond {
    /// Counts once more; returns how often it was in this second.
    fn count(&self, second: u32) -> u32 {
        let first = u64::from(second) << u32::BITS | 1;
        let next = |seen: u64| match seen >> u32::BITS < u64::from(second) {
            true => first,
            // Another thread may be in the next second already: what is late counts there.
            false => seen.saturating_add(u64::from((seen & COUNT) < COUNT)),
        };
        let step = |seen| Some(next(seen));
        let (Ok(seen) | Err(seen)) =
            self.0
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        u32::try_from(next(seen) & COUNT).unwrap_or(u32::MAX)
    }

    /// Whether one more stranger hears that it is one.
    pub(super) fn may_refuse(&self, now: Instant) -> bool {
        self.count(second(now)) <= REFUSALS_MAX
    }
}

impl Rates {
    /// Makes counters.
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            counters: std::iter::repeat_with(PerSecond::default)
                .take(COUNTERS)
                .collect(),
        }
    }

    /// Counts a datagram of a client that may ask, and may have `most` whole answers in a second.
    pub(super) fn count(&self, address: IpAddr, most: u32, now: Instant) -> Allowed {
        let place = self.hasher.hash_one(client_of(address)) % COUNTERS as u64;
        let counter = usize::try_from(place)
            .ok()
            .and_then(|place| self.counters.get(place));
        let Some(counter) = counter else {
            return Allowed::Nothing;
        };
        let count = counter.count(second(now));
        if count <= most {
            Allowed::Whole
        } else if count <= most.saturating_mul(ANSWERS_EACH) {
            Allowed::Short
        } else {
            Allowed::Nothing
        }
    }
}

/// Returns the number of the second that a time is in; those of 136 years differ.
fn second(now: Instant) -> u32 {
    let whole = now.since(Instant::ZERO).as_secs() & u64::from(u32::MAX);
    u32::try_from(whole).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MOST: u32 = 1000;
    const LATE: u32 = 100;

    #[test]
    fn a_flood_gets_short_answers_and_then_none_and_others_are_not_concerned() {
        let start = Instant::ZERO + SECOND;
        let rates = Rates::new();
        let flood = IpAddr::from([10, 0, 0, 1]);
        let mut got = [0_u32; 3];
        for _ in 0..5000 {
            got[rates.count(flood, MOST, start) as usize] += 1;
        }
        assert_eq!(got, [MOST, MOST, 5000 - 2 * MOST]);
        let allowed = |last| rates.count(IpAddr::from([10, 0, 0, last]), MOST, start);
        let others = (2..100).filter(|last| allowed(*last) == Allowed::Whole);
        assert!(others.count() > 90, "few meet the flood's counter");
        assert_eq!(rates.count(flood, MOST, start + SECOND), Allowed::Whole);
        // Who may have more has it.
        assert_eq!(rates.count(flood, u32::MAX, start), Allowed::Whole);
    }

    #[test]
    fn threads_count_together() {
        let rates = Rates::new();
        let flood = IpAddr::from([10, 0, 0, 1]);
        // All begin the second together, and one is late: it counts in the second that the others are in.
        let now = Instant::ZERO + SECOND;
        assert_eq!(rates.count(flood, MOST, Instant::ZERO), Allowed::Whole);
        let whole = std::thread::scope(|scope| {
            scope.spawn(|| (0..LATE).for_each(|_| _ = rates.count(flood, MOST, Instant::ZERO)));
            let count = || {
                let allowed = |_: &u32| rates.count(flood, MOST, now) == Allowed::Whole;
                (0..MOST).filter(allowed).count()
            };
            let threads = [(); 4].map(|()| scope.spawn(count));
            threads
                .map(|thread| thread.join().unwrap())
                .iter()
                .sum::<usize>()
        });
        assert!(
            (MOST - LATE..=MOST).contains(&u32::try_from(whole).unwrap()),
            "{whole}"
        );
    }

    #[test]
    fn strangers_are_refused_a_few_times_a_second() {
        let start = Instant::ZERO + SECOND;
        let refusals = PerSecond::default();
        let refused = (0..100).filter(|_| refusals.may_refuse(start)).count();
        assert_eq!(refused, REFUSALS_MAX as usize);
        assert!(refusals.may_refuse(start + SECOND));
    }
}
