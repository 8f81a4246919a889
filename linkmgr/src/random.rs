//! Where does jitter come from? [`Random`]: a generator seeded by the caller, the same numbers in every run of a test.
//!
//! Good enough to keep machines apart that start together; no secret is made of it.

use std::time::Duration;

/// A small generator (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Makes a generator; the seed should differ from link to link and from start to start.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns 64 bits.
    pub(crate) const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Returns 32 bits.
    pub(crate) const fn word(&mut self) -> u32 {
        (self.bits() >> 32) as u32
    }

    /// Returns a duration from `least` to `most`, evenly.
    pub(crate) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = most.saturating_sub(least).as_nanos();
        let offset = (u128::from(self.bits()) * (span + 1)) >> 64;
        least + Duration::from_nanos(u64::try_from(offset).unwrap_or(u64::MAX))
    }

    /// Returns `middle`, up to `spread` earlier or later.
    pub(crate) fn around(&mut self, middle: Duration, spread: Duration) -> Duration {
        self.between(middle.saturating_sub(spread), middle + spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_stay_between_their_ends_and_reach_both_halves() {
        let (least, most) = (Duration::from_secs(3), Duration::from_secs(5));
        let mut random = Random::new(7);
        let drawn: Vec<Duration> = (0..1000).map(|_| random.between(least, most)).collect();
        assert!(drawn.iter().all(|d| (least..=most).contains(d)));
        let late = drawn
            .iter()
            .filter(|d| **d > Duration::from_secs(4))
            .count();
        assert!((400..600).contains(&late), "{late} of 1000");
        assert_eq!(random.between(most, most), most);
    }
}
