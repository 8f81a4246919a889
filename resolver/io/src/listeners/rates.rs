//! How many datagrams may one client get whose address is not proven? Enough for any host, too few to hurt the one it pretends
//! to be.
//!
//! A fixed table of counters for one second; a client that finds none free is counted with others. TCP and cookies prove an
//! address, and are not counted here.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::access::client_of;

/// Whole answers to one client in a second.
const WHOLE_MAX: u32 = 1000;
/// Answers to it in a second, those included that only say "ask by TCP".
const ANSWERS_MAX: u32 = 2000;
/// Refusals to all strangers in a second.
const REFUSALS_MAX: u32 = 32;
/// Counters; clients that meet in one share it.
const COUNTERS: usize = 4096;
/// How long they count.
const WINDOW: Duration = Duration::from_secs(1);

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

/// The counters of one second.
#[derive(Debug)]
pub(super) struct Rates {
    hasher: RandomState,
    counters: Box<[u32]>,
    refusals: u32,
    began: Instant,
}

impl Rates {
    /// Makes counters.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            hasher: RandomState::new(),
            counters: vec![0; COUNTERS].into_boxed_slice(),
            refusals: 0,
            began: now,
        }
    }

    /// Counts a datagram of a client that may ask.
    pub(super) fn count(&mut self, address: IpAddr, now: Instant) -> Allowed {
        self.turn(now);
        let place = self.hasher.hash_one(client_of(address)) % COUNTERS as u64;
        let counter = usize::try_from(place)
            .ok()
            .and_then(|place| self.counters.get_mut(place));
        let Some(counter) = counter else {
            return Allowed::Nothing;
        };
        *counter = counter.saturating_add(1);
        if *counter <= WHOLE_MAX {
            Allowed::Whole
        } else if *counter <= ANSWERS_MAX {
            Allowed::Short
        } else {
            Allowed::Nothing
        }
    }

    /// Whether one more stranger hears that it is one.
    pub(super) fn may_refuse(&mut self, now: Instant) -> bool {
        self.turn(now);
        self.refusals = self.refusals.saturating_add(1);
        self.refusals <= REFUSALS_MAX
    }

    fn turn(&mut self, now: Instant) {
        if now.saturating_duration_since(self.began) >= WINDOW {
            self.began = now;
            self.refusals = 0;
            self.counters.fill(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_gets_short_answers_and_then_none_and_others_are_not_concerned() {
        let start = Instant::now();
        let mut rates = Rates::new(start);
        let flood = IpAddr::from([10, 0, 0, 1]);
        let mut got = [0_u32; 3];
        for _ in 0..5000 {
            got[rates.count(flood, start) as usize] += 1;
        }
        assert_eq!(
            got,
            [WHOLE_MAX, ANSWERS_MAX - WHOLE_MAX, 5000 - ANSWERS_MAX]
        );
        let others = (2..100)
            .filter(|last| rates.count(IpAddr::from([10, 0, 0, *last]), start) == Allowed::Whole);
        assert!(others.count() > 90, "few meet the flood's counter");
        assert_eq!(rates.count(flood, start + WINDOW), Allowed::Whole);
    }

    #[test]
    fn strangers_are_refused_a_few_times_a_second() {
        let start = Instant::now();
        let mut rates = Rates::new(start);
        let refused = (0..100).filter(|_| rates.may_refuse(start)).count();
        assert_eq!(refused, REFUSALS_MAX as usize);
        assert!(rates.may_refuse(start + WINDOW));
    }
}
