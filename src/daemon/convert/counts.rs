//! How do counts look to a caller? Named, those that are zero left out.

use std::collections::BTreeMap;

use linnet::api;
use resolver::ScopeStatus;
use resolver::histogram::Histogram;
use resolver::ledger::{ScopeCounts, UpstreamCounts};
use resolver::present::rcode_name;

use super::milliseconds;

/// Returns how many answers a scope has given.
pub(crate) fn answers(status: &ScopeStatus) -> u64 {
    status.cache_hits + status.counts.count()
}

/// Returns the part of a scope's answers that came straight from the cache.
#[expect(
    clippy::cast_precision_loss,
    reason = "a rate needs no more than 52 bits"
)]
pub(crate) fn hit_rate(status: &ScopeStatus) -> Option<f64> {
    let answers = answers(status);
    (answers > 0).then(|| status.cache_hits as f64 / answers as f64)
}

/// Converts how long things took.
pub(crate) fn latency(histogram: &Histogram) -> api::Latency {
    let at = |per_mille| histogram.percentile(per_mille).map(milliseconds);
    api::Latency {
        count: histogram.count(),
        sum_ms: milliseconds(histogram.sum()),
        p50_ms: at(500),
        p95_ms: at(950),
        p99_ms: at(990),
    }
}

/// Names the codes of a scope's answers; those beyond the last that is counted alone are `other`.
pub(crate) fn rcodes(counts: &ScopeCounts) -> BTreeMap<String, u64> {
    let last = counts.rcodes.len() - 1;
    let codes = (0_u16..).zip(counts.rcodes).filter(|(_, count)| *count > 0);
    codes
        .map(|(code, count)| {
            let name = if usize::from(code) == last {
                "other".to_owned()
            } else {
                rcode_name(code)
            };
            (name, count)
        })
        .collect()
}

/// Names counts, those that are zero left out.
pub(crate) fn counted<const N: usize>(
    words: [&'static str; N],
    counts: &[u64; N],
) -> BTreeMap<String, u64> {
    let counts = words.into_iter().zip(counts);
    counts
        .filter(|(_, count)| **count > 0)
        .map(|(word, count)| (word.to_owned(), *count))
        .collect()
}

/// Names the failures of an upstream.
pub(crate) fn failures(counts: &UpstreamCounts) -> BTreeMap<String, u64> {
    let counts = counts.failures.iter();
    counts
        .map(|(failure, count)| ((*failure).to_owned(), *count))
        .collect()
}
