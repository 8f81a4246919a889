//! How long do things take? Durations in buckets of fixed bounds: no allocation, and a percentile to a quarter.
//!
//! From 64 µs to 8.4 s each doubling has four buckets, so that a percentile is off by a quarter at most. What is shorter or
//! longer is in one bucket each. Knows nothing of what is measured.

use std::time::Duration;

/// The upper bound of the first bucket is 2 to this many microseconds.
const FIRST_BITS: u32 = 6;
/// Doublings from the first bucket to the last.
const DOUBLINGS: usize = 17;
/// Buckets of one doubling, as a power of two.
const PARTS_BITS: u32 = 2;
const PARTS: usize = 1 << PARTS_BITS;
/// One for what is shorter, one for what is longer.
const BUCKETS: usize = 1 + DOUBLINGS * PARTS + 1;

/// Durations, counted by their length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    count: u64,
    sum: Duration,
    longest: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            count: 0,
            sum: Duration::ZERO,
            longest: Duration::ZERO,
        }
    }
}

impl Histogram {
    /// Counts a duration.
    pub fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(micros)) {
            *count += 1;
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(duration);
        self.longest = self.longest.max(duration);
    }

    /// Returns how many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns all of them together.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// Returns what `per_mille` of 1000 durations do not exceed, to a quarter; `None` when there is none.
    ///
    /// What is beyond the last bound counts as that bound.
    pub fn percentile(&self, per_mille: u16) -> Option<Duration> {
        if self.count == 0 {
            return None;
        }
        let rank = u128::from(self.count) * u128::from(per_mille.min(1000));
        let rank = u64::try_from(rank.div_ceil(1000))
            .unwrap_or(u64::MAX)
            .max(1);
        let mut before = 0;
        for (at, &count) in self.counts.iter().enumerate() {
            if before + count >= rank {
                let (low, high) = bounds(at);
                let within = u128::from(high - low) * u128::from(rank - before);
                let within = u64::try_from(within / u128::from(count.max(1))).unwrap_or(0);
                return Some(Duration::from_micros(low + within).min(self.longest));
            }
            before += count;
        }
        None
    }

    /// Returns the bounds of the doublings, each with the number of durations that do not exceed it.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let mut seen = 0;
        (0..=DOUBLINGS).map(move |doubling| {
            let (from, to) = match doubling {
                0 => (0, 1),
                more => (1 + (more - 1) * PARTS, 1 + more * PARTS),
            };
            let counts = self.counts.get(from..to).unwrap_or_default();
            seen += counts.iter().sum::<u64>();
            (Duration::from_micros(1 << FIRST_BITS << doubling), seen)
        })
    }
}

/// Returns the bucket of a duration; its upper bound belongs to it.
fn bucket(micros: u64) -> usize {
    let below = micros.saturating_sub(1);
    let Some(doubling) = below
        .checked_ilog2()
        .and_then(|bits| bits.checked_sub(FIRST_BITS))
    else {
        return 0;
    };
    let part = below >> (doubling + FIRST_BITS - PARTS_BITS) & (PARTS as u64 - 1);
    let at = 1 + u64::from(doubling) * PARTS as u64 + part;
    usize::try_from(at).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// Returns the bounds of a bucket, in microseconds.
fn bounds(at: usize) -> (u64, u64) {
    let bound = |at: usize| match at.checked_sub(1) {
        None => 1 << FIRST_BITS,
        Some(above) => {
            let (doubling, part) = (above / PARTS, above % PARTS);
            (PARTS as u64 + 1 + part as u64) << doubling << (FIRST_BITS - PARTS_BITS)
        }
    };
    let last = bound(BUCKETS - 2);
    match at {
        0 => (0, bound(0)),
        BUCKETS.. => (last, last),
        at if at == BUCKETS - 1 => (last, last),
        at => (bound(at - 1), bound(at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_within_the_bounds_of_its_bucket() {
        let mut micros = 0_u64;
        while micros < 20_000_000 {
            let (low, high) = bounds(bucket(micros));
            let last = bounds(BUCKETS - 1).1;
            assert!(
                (low < micros || micros == 0) && micros <= high || micros > last && low == last,
                "{micros} is not within {low}..={high}"
            );
            micros += micros / 100 + 1;
        }
        for at in 1..BUCKETS {
            assert_eq!(
                bounds(at).0,
                bounds(at - 1).1,
                "bucket {at} follows the one before"
            );
        }
    }

    #[test]
    fn percentiles_are_off_by_a_quarter_at_most() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(500), None);
        for micros in 1..=100_000 {
            histogram.record(Duration::from_micros(micros));
        }
        for (per_mille, micros) in [
            (10, 1_000.0),
            (500, 50_000.0),
            (990, 99_000.0),
            (1000, 100_000.0),
        ] {
            let found = histogram.percentile(per_mille).unwrap().as_secs_f64() * 1e6;
            let off = (found - micros).abs() / micros;
            assert!(off <= 0.25, "{per_mille}: {found} instead of {micros}");
        }
    }

    #[test]
    fn what_is_too_long_counts_as_the_last_bound() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::from_secs(3600));
        histogram.record(Duration::MAX);
        assert_eq!(
            histogram.percentile(500),
            Some(Duration::from_micros(64 << 17))
        );
        assert_eq!(histogram.count(), 2);
        assert_eq!(
            histogram.cumulative().last(),
            Some((Duration::from_micros(64 << 17), 0))
        );
    }

    #[test]
    fn cumulative_counts_include_their_bound() {
        let mut histogram = Histogram::default();
        for micros in [1, 64, 65, 128, 129, 8_388_608] {
            histogram.record(Duration::from_micros(micros));
        }
        let counts: Vec<u64> = histogram.cumulative().map(|(_, count)| count).collect();
        assert_eq!(counts[..3], [2, 4, 5]);
        assert_eq!(counts.last(), Some(&6));
        assert_eq!(histogram.sum(), Duration::from_micros(8_388_995));
    }
}
