//! When must the resolver be called next, and why? Every deadline in one heap.
//!
//! Most deadlines are taken back before they come. What is taken back stays in the heap until it comes to the top, or until there is
//! more of it than of what holds; which of them hold says a table. Knows nothing of what a deadline means; its key is the number
//! of a query, a lookup or an exchange, as its [`Timer`] says.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::Hasher as _;

use config::time::Instant;
use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;
use hashbrown::HashTable;

use crate::event::Timer;

/// So many deadlines that hold no more are left in the heap.
const SLACK: usize = 64;

/// All deadlines; at most one of each kind for each key.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// The first one always holds.
    due: BinaryHeap<Reverse<Due>>,
    held: HashTable<Due>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Instant,
    timer: Timer,
    key: u64,
}

impl Timers {
    /// Sets a deadline, in place of an earlier one.
    pub(crate) fn set(&mut self, timer: Timer, key: u64, at: Instant) {
        let due = Due { at, timer, key };
        self.due.push(Reverse(due));
        match self
            .held
            .find_mut(hash(timer, key), |held| held.is_of(timer, key))
        {
            Some(held) => {
                *held = due;
                self.settle();
            }
            None => {
                let hash_of = |held: &Due| hash(held.timer, held.key);
                self.held.insert_unique(hash(timer, key), due, hash_of);
            }
        }
    }

    /// Sets a deadline unless there is one that comes first.
    pub(crate) fn set_earlier(&mut self, timer: Timer, key: u64, at: Instant) {
        if self.at(timer, key).is_none_or(|set| at < set) {
            self.set(timer, key, at);
        }
    }

    /// Brings a deadline forward, if there is one.
    pub(crate) fn hasten(&mut self, timer: Timer, key: u64, at: Instant) {
        if self.at(timer, key).is_some_and(|set| at < set) {
            self.set(timer, key, at);
        }
    }

    /// Takes a deadline back.
    pub(crate) fn clear(&mut self, timer: Timer, key: u64) {
        let found = self
            .held
            .find_entry(hash(timer, key), |held| held.is_of(timer, key));
        if let Ok(entry) = found {
            entry.remove();
            self.settle();
        }
    }

    /// Returns the next deadline.
    pub(crate) fn next(&self) -> Option<(Instant, Timer)> {
        let Reverse(Due { at, timer, .. }) = self.due.peek()?;
        Some((*at, *timer))
    }

    /// Takes the next deadline that is not after `now`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Timer, u64)> {
        let &Reverse(Due { at, timer, key }) = self.due.peek()?;
        if at > now {
            return None;
        }
        self.clear(timer, key);
        Some((timer, key))
    }

    fn at(&self, timer: Timer, key: u64) -> Option<Instant> {
        let held = self
            .held
            .find(hash(timer, key), |held| held.is_of(timer, key));
        held.map(|held| held.at)
    }

    /// Lets go of what does not hold: at the top, and all when it is the greater part.
    fn settle(&mut self) {
        let Self { due, held } = self;
        let holds = |due: &Reverse<Due>| {
            let Reverse(due) = due;
            held.find(hash(due.timer, due.key), |held| held == due)
                .is_some()
        };
        if due.len() > 2 * held.len() + SLACK {
            due.retain(holds);
        }
        while due.peek().is_some_and(|first| !holds(first)) {
            due.pop();
        }
    }
}

impl Due {
    fn is_of(&self, timer: Timer, key: u64) -> bool {
        self.timer == timer && self.key == key
    }
}

/// Nobody else chooses keys.
fn hash(timer: Timer, key: u64) -> u64 {
    let mut hasher = FoldHasher::with_seed(timer as u64, SharedSeed::global_fixed());
    hasher.write_u64(key);
    hasher.finish()
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

    #[test]
    fn deadlines_that_come_and_go_leave_nothing_behind_and_come_as_from_a_sorted_list() {
        let mut timers = Timers::default();
        let mut sorted: Vec<(Instant, Timer, u64)> = Vec::new();
        let mut luck = 7u64;
        for round in 0..20_000u64 {
            luck = luck.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let timer = [Timer::Budget, Timer::Hedge, Timer::Exchange][(luck >> 40) as usize % 3];
            let (key, moment) = (luck >> 50 & 63, at(round + (luck >> 30 & 255)));
            let known = sorted
                .iter()
                .position(|&(_, other, id)| (other, id) == (timer, key));
            match luck >> 60 {
                0..=6 => {
                    known.map(|known| sorted.remove(known));
                    sorted.push((moment, timer, key));
                    timers.set(timer, key, moment);
                }
                7..=8 => {
                    if known.is_none_or(|known| moment < sorted[known].0) {
                        known.map(|known| sorted.remove(known));
                        sorted.push((moment, timer, key));
                    }
                    timers.set_earlier(timer, key, moment);
                }
                9 => {
                    if let Some(known) = known.filter(|&known| moment < sorted[known].0) {
                        sorted[known].0 = moment;
                    }
                    timers.hasten(timer, key, moment);
                }
                10..=13 => {
                    known.map(|known| sorted.remove(known));
                    timers.clear(timer, key);
                }
                _ => {
                    sorted.sort();
                    let first = sorted.first().filter(|(moment, ..)| *moment <= at(round));
                    let first = first.map(|&(_, timer, key)| (timer, key));
                    assert_eq!(timers.pop(at(round)), first, "{round}");
                    if first.is_some() {
                        sorted.remove(0);
                    }
                }
            }
            sorted.sort();
            let next = sorted.first().map(|&(moment, timer, _)| (moment, timer));
            assert_eq!(timers.next(), next, "{round}");
            assert!(
                timers.due.len() <= 2 * timers.held.len() + SLACK + 1,
                "{round}"
            );
        }
    }
}
