//! How long has the machine been up, and did it sleep meanwhile?
//!
//! Everything else here measures time that does not count while the machine sleeps.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Less than this is the gap between two readings, and no sleep.
const SLEEP_MIN: Duration = Duration::from_secs(2);

/// Tells whether the machine slept: connections that were open before are dead, as far as anybody knows.
#[derive(Debug)]
pub(crate) struct Sleep {
    slept: Duration,
}

/// Returns the seconds since boot, time asleep included.
pub(crate) fn since_boot() -> i64 {
    i64::try_from(read(ClockId::CLOCK_BOOTTIME).as_secs()).unwrap_or(i64::MAX)
}

impl Sleep {
    pub(crate) fn new() -> Self {
        Self { slept: slept() }
    }

    /// Whether the machine slept since this was last asked.
    pub(crate) fn has_slept(&mut self) -> bool {
        self.note(slept())
    }

    fn note(&mut self, slept: Duration) -> bool {
        let since = slept.saturating_sub(self.slept);
        self.slept = slept;
        since >= SLEEP_MIN
    }
}

/// Returns how long the machine has slept since it was booted.
fn slept() -> Duration {
    let awake = read(ClockId::CLOCK_MONOTONIC);
    read(ClockId::CLOCK_BOOTTIME).saturating_sub(awake)
}

fn read(clock: ClockId) -> Duration {
    clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_is_told_once() {
        let mut sleep = Sleep::new();
        assert!(!sleep.has_slept());
        let before = sleep.slept;
        assert!(!sleep.note(before + Duration::from_millis(5)));
        assert!(sleep.note(before + Duration::from_secs(60)));
        assert!(!sleep.note(before + Duration::from_secs(60)));
    }
}
