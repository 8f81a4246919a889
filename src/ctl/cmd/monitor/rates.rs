//! How much happens now? Differences between what the daemon counts and what it counted a few seconds ago.
//!
//! Time is the daemon's own uptime, so that a reader that was late does not see a burst. A daemon that was restarted
//! begins anew.

use std::collections::{BTreeMap, VecDeque};

use linnet::api::{ScopeStatus, Status, UpstreamStatus};

/// Seconds over which rates of scopes and upstreams are told: long enough to be calm, short enough to be now.
const WINDOW: usize = 10;
/// Seconds of the whole that are drawn.
const HISTORY: usize = 60;
/// Round-trip times that are drawn.
pub(super) const TREND: usize = 12;

/// What the daemon said lately.
#[derive(Debug, Default)]
pub(super) struct Rates {
    samples: VecDeque<Status>,
    queries: VecDeque<f64>,
    trend_by_upstream: BTreeMap<(String, String), VecDeque<f64>>,
}

/// What happens in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Rate {
    /// Answers, or messages sent.
    pub(super) all: f64,
    /// The part of them that came from the cache, or was lost; `None` when there was none.
    pub(super) part: Option<f64>,
    /// Errors.
    pub(super) errors: f64,
    /// How long what was not from the cache took on the average, in milliseconds.
    pub(super) mean_ms: Option<f64>,
}

impl Rates {
    /// Takes what the daemon says now.
    pub(super) fn push(&mut self, status: Status) {
        let is_another = self
            .samples
            .back()
            .is_some_and(|last| last.pid != status.pid || last.uptime_ms >= status.uptime_ms);
        if is_another {
            *self = Self::default();
        }
        if let Some(last) = self.samples.back() {
            let seconds = seconds(last, &status);
            let rate = number(counter(&status, "queries") - counter(last, "queries")) / seconds;
            push_bounded(&mut self.queries, rate, HISTORY);
        }
        let mut trends = std::mem::take(&mut self.trend_by_upstream);
        for scope in &status.scopes {
            for upstream in &scope.upstreams {
                let key = (scope.id.clone(), upstream.upstream.clone());
                let mut trend = trends.remove(&key).unwrap_or_default();
                push_bounded(&mut trend, upstream.srtt_ms.unwrap_or(0.0), TREND);
                self.trend_by_upstream.insert(key, trend);
            }
        }
        self.samples.push_back(status);
        if self.samples.len() > WINDOW + 1 {
            self.samples.pop_front();
        }
    }

    /// Returns what the daemon said last.
    pub(super) fn last(&self) -> Option<&Status> {
        self.samples.back()
    }

    /// Returns questions a second, the oldest first.
    pub(super) fn history(&self) -> impl Iterator<Item = f64> + '_ {
        self.queries.iter().copied()
    }

    /// Returns the smoothed round-trip times of an upstream, the oldest first.
    pub(super) fn trend(&self, scope: &str, upstream: &str) -> Vec<f64> {
        let key = (scope.to_owned(), upstream.to_owned());
        let trend = self.trend_by_upstream.get(&key);
        trend
            .map(|trend| trend.iter().copied().collect())
            .unwrap_or_default()
    }

    /// Returns how much happened in the last second.
    pub(super) fn whole(&self) -> Rate {
        let Some((now, before)) = self.samples.back().zip(self.samples.iter().rev().nth(1)) else {
            return Rate::default();
        };
        let seconds = seconds(before, now);
        let since = |name: &str| counter(now, name) - counter(before, name);
        let errors = |status: &Status| status.scopes.iter().map(failed).sum::<u64>();
        let queries = since("queries");
        Rate {
            all: number(queries) / seconds,
            part: ratio(since("cache_hits"), queries),
            errors: number(i128::from(errors(now)) - i128::from(errors(before))) / seconds,
            mean_ms: None,
        }
    }

    /// Returns how much happens in a scope.
    pub(super) fn scope(&self, now: &ScopeStatus) -> Rate {
        let Some((before, seconds)) =
            self.window(|status| status.scopes.iter().find(|scope| scope.id == now.id))
        else {
            return Rate::default();
        };
        let since =
            |pick: fn(&ScopeStatus) -> u64| i128::from(pick(now)) - i128::from(pick(before));
        let answers = since(|scope| scope.answers);
        let asked = since(|scope| scope.latency.count);
        let took = now.latency.sum_ms - before.latency.sum_ms;
        Rate {
            all: number(answers) / seconds,
            part: ratio(since(|scope| scope.cache_hits), answers),
            errors: number(since(failed)) / seconds,
            mean_ms: (asked > 0).then(|| took / number(asked)),
        }
    }

    /// Returns how much goes to an upstream, and what part of it is lost.
    pub(super) fn upstream(&self, scope: &str, now: &UpstreamStatus) -> Rate {
        let find = |status| {
            let scopes: &[ScopeStatus] = scopes(status);
            let scope = scopes.iter().find(|known| known.id == scope)?;
            scope
                .upstreams
                .iter()
                .find(|known| known.upstream == now.upstream)
        };
        let Some((before, seconds)) = self.window(find) else {
            return Rate::default();
        };
        let sent = i128::from(now.sent) - i128::from(before.sent);
        let lost = i128::from(now.lost) - i128::from(before.lost);
        Rate {
            all: number(sent) / seconds,
            part: ratio(lost, sent),
            ..Rate::default()
        }
    }

    /// Returns the oldest sample of something, and how many seconds ago it was.
    fn window<'a, T>(&'a self, find: impl Fn(&'a Status) -> Option<&'a T>) -> Option<(&'a T, f64)> {
        let now = self.samples.back()?;
        let mut found = self.samples.iter().filter_map(|status| {
            let old = find(status)?;
            (status.uptime_ms < now.uptime_ms).then(|| (old, seconds(status, now)))
        });
        found.next()
    }
}

fn scopes(status: &Status) -> &[ScopeStatus] {
    &status.scopes
}

fn failed(scope: &ScopeStatus) -> u64 {
    scope.troubles.values().sum()
}

fn counter(status: &Status, name: &str) -> i128 {
    let value = status
        .counters
        .get(name)
        .and_then(serde_json::Value::as_u64);
    i128::from(value.unwrap_or(0))
}

fn seconds(before: &Status, now: &Status) -> f64 {
    let millis = now.uptime_ms.saturating_sub(before.uptime_ms).max(1);
    number(i128::from(millis)) / 1000.0
}

/// A counter that went back was begun anew: then nothing is known.
#[expect(
    clippy::cast_precision_loss,
    reason = "a rate needs no more than 52 bits"
)]
fn number(difference: i128) -> f64 {
    difference.max(0) as f64
}

fn ratio(part: i128, whole: i128) -> Option<f64> {
    (whole > 0).then(|| (number(part) / number(whole)).min(1.0))
}

fn push_bounded(values: &mut VecDeque<f64>, value: f64, most: usize) {
    values.push_back(value);
    while values.len() > most {
        values.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pid: u32, uptime_ms: u64, queries: u64, hits: u64) -> Status {
        let mut scope = ScopeStatus {
            id: "home@home0".to_owned(),
            answers: queries,
            cache_hits: hits,
            ..ScopeStatus::default()
        };
        scope.latency.count = queries - hits;
        scope.latency.sum_ms = 20.0 * number(i128::from(queries - hits));
        Status {
            pid,
            uptime_ms,
            scopes: vec![scope],
            counters: serde_json::json!({ "queries": queries, "cache_hits": hits })
                .as_object()
                .cloned()
                .unwrap(),
            ..Status::default()
        }
    }

    #[test]
    fn rates_are_differences_by_the_daemons_own_time() {
        let mut rates = Rates::default();
        rates.push(status(1, 1000, 100, 50));
        assert_eq!(rates.whole(), Rate::default());
        rates.push(status(1, 3000, 300, 200));
        let whole = rates.whole();
        assert!((whole.all - 100.0).abs() < 1e-9, "{whole:?}");
        assert_eq!(whole.part, Some(0.75));
        let scope = rates.scope(&rates.last().unwrap().scopes[0]);
        assert!((scope.all - 100.0).abs() < 1e-9, "{scope:?}");
        assert_eq!((scope.part, scope.mean_ms), (Some(0.75), Some(20.0)));
    }

    #[test]
    fn a_daemon_that_was_restarted_begins_anew() {
        let mut rates = Rates::default();
        rates.push(status(1, 5000, 900, 0));
        rates.push(status(2, 100, 3, 0));
        assert_eq!(rates.whole(), Rate::default());
        assert_eq!(rates.history().count(), 0);
        rates.push(status(2, 1100, 13, 0));
        assert!((rates.whole().all - 10.0).abs() < 1e-9);
    }
}
