//! Which questions of a soak took longest, and what went on just then?
//!
//! Of each sort (where it was asked, what the name is, what came of it) the slowest is kept, and how many there were.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;

/// From which time on a question is slow, in milliseconds: what waits for nobody that is late or gone is answered long before.
const SLOW_MS: u64 = 1000;
/// How many sorts are shown.
const SHOWN: usize = 12;

/// Where it was asked, what its name is, and what came of it.
pub(super) type Sort = (&'static str, String, String);

/// The slow questions of a run.
#[derive(Debug, Default)]
pub(super) struct Slowest(Mutex<BTreeMap<Sort, Slow>>);

/// The slowest question of a sort.
#[derive(Debug, Default)]
struct Slow {
    count: u64,
    took_ms: u64,
    told: String,
}

impl Slowest {
    /// Notes a question; if it is a slow one, `sort` says of which sort it is, and `tell` more about it.
    pub(super) fn note(
        &self,
        took_ms: u64,
        sort: impl FnOnce() -> Sort,
        tell: impl FnOnce() -> String,
    ) {
        if took_ms < SLOW_MS {
            return;
        }
        let mut sorts = self.0.lock().unwrap();
        let slow = sorts.entry(sort()).or_default();
        slow.count += 1;
        if took_ms > slow.took_ms {
            slow.took_ms = took_ms;
            slow.told = tell();
        }
    }

    /// Says which were the slowest, a line for each sort.
    pub(super) fn told(&self) -> String {
        let sorts = self.0.lock().unwrap();
        let mut slowest: Vec<_> = sorts.iter().collect();
        slowest.sort_by_key(|(_, slow)| std::cmp::Reverse(slow.took_ms));
        let mut text = String::new();
        for ((by, kind, came), slow) in slowest.into_iter().take(SHOWN) {
            let Slow {
                count,
                took_ms,
                told,
            } = slow;
            writeln!(
                text,
                "slow: {took_ms} ms, {by}, {kind}, {came}, {count} so slow: {told}"
            )
            .unwrap();
        }
        text
    }
}
