//! When must the resolver be called next, and why? Every deadline in one ordered structure.
//!
//! Knows nothing of what a deadline means; its key is the number of a query, a lookup or an exchange, as its [`Timer`] says.

use std::collections::{BTreeMap, BTreeSet};

use config::time::Instant;

use crate::event::Timer;

/// All deadlines; at most one of each kind for each key.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Instant, Timer, u64)>,
    at_by_key: BTreeMap<(Timer, u64), Instant>,
}

impl Timers {
    /// Sets a deadline, in place of an earlier one.
    pub(crate) fn set(&mut self, timer: Timer, key: u64, at: Instant) {
        self.clear(timer, key);
        self.due.insert((at, timer, key));
        self.at_by_key.insert((timer, key), at);
    }

    /// Sets a deadline unless there is one that comes first.
    pub(crate) fn set_earlier(&mut self, timer: Timer, key: u64, at: Instant) {
        if self
            .at_by_key
            .get(&(timer, key))
            .is_none_or(|&set| at < set)
        {
            self.set(timer, key, at);
        }
    }

    /// Brings a deadline forward, if there is one.
    pub(crate) fn hasten(&mut self, timer: Timer, key: u64, at: Instant) {
        if self.at_by_key.contains_key(&(timer, key)) {
            self.set_earlier(timer, key, at);
        }
    }

    /// Takes a deadline back.
    pub(crate) fn clear(&mut self, timer: Timer, key: u64) {
        if let Some(at) = self.at_by_key.remove(&(timer, key)) {
            self.due.remove(&(at, timer, key));
        }
    }

    /// Returns the next deadline.
    pub(crate) fn next(&self) -> Option<(Instant, Timer)> {
        let &(at, timer, _) = self.due.first()?;
        Some((at, timer))
    }

    /// Takes the next deadline that is not after `now`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Timer, u64)> {
        let &(at, timer, key) = self.due.first()?;
        if at > now {
            return None;
        }
        self.clear(timer, key);
        Some((timer, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn deadlines_come_in_order_and_only_once() {
        let mut timers = Timers::default();
        timers.set(Timer::Budget, 1, at(30));
        timers.set(Timer::Hedge, 1, at(10));
        timers.set(Timer::Exchange, 2, at(20));
        assert_eq!(timers.next(), Some((at(10), Timer::Hedge)));
        assert_eq!(timers.pop(at(9)), None);
        assert_eq!(timers.pop(at(25)), Some((Timer::Hedge, 1)));
        assert_eq!(timers.pop(at(25)), Some((Timer::Exchange, 2)));
        assert_eq!(timers.pop(at(25)), None);
        assert_eq!(timers.next(), Some((at(30), Timer::Budget)));
    }

    #[test]
    fn a_deadline_that_is_set_again_takes_the_place_of_the_first() {
        let mut timers = Timers::default();
        timers.set(Timer::Hedge, 1, at(10));
        timers.set(Timer::Hedge, 1, at(20));
        assert_eq!(timers.next(), Some((at(20), Timer::Hedge)));
        timers.set_earlier(Timer::Hedge, 1, at(30));
        assert_eq!(timers.next(), Some((at(20), Timer::Hedge)));
        timers.set_earlier(Timer::Hedge, 1, at(5));
        assert_eq!(timers.pop(at(5)), Some((Timer::Hedge, 1)));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_deadline_that_was_taken_back_never_comes() {
        let mut timers = Timers::default();
        timers.set(Timer::Probe, 7, at(10));
        timers.clear(Timer::Probe, 7);
        timers.clear(Timer::Probe, 8);
        assert_eq!(timers.pop(at(99)), None);
    }
}
