//! Was the loop away? The machine was halted, or the process, or one round took long.
//!
//! Who comes back finds everything overdue, and replies that came in time in the sockets. The clock alone would say that nobody replied.

use std::time::Duration;

use config::time::Instant;

/// From how long on something overdue shows that the loop was away: less is a busy machine, and nothing is given up for it.
const AWAY: Duration = Duration::from_millis(250);

/// When the loop went round last.
#[derive(Debug)]
pub(super) struct Absence {
    seen_at: Instant,
}

impl Absence {
    pub(super) const fn new(now: Instant) -> Self {
        Self { seen_at: now }
    }

    /// Notes a round, before anything is done in it; returns whether the loop was away since the last one: something was due at
    /// `deadline`, and nobody looked. A loop that goes round and has too much to do is not away.
    pub(super) fn ends(&mut self, deadline: Option<Instant>, now: Instant) -> bool {
        let seen_at = std::mem::replace(&mut self.seen_at, now);
        deadline.is_some_and(|deadline| now.since(deadline.max(seen_at)) >= AWAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn who_misses_a_deadline_and_did_not_go_round_was_away() {
        let rows = [
            // Nothing is due, or not yet: it waited.
            (None, 5000, false),
            (Some(6000), 5000, false),
            (Some(5000), 5000, false),
            // A little late.
            (Some(4800), 5000, false),
            (Some(4000), 5000, true),
            // Overdue since before the last round, which was a moment ago, or was not.
            (Some(500), 1100, false),
            (Some(500), 1300, true),
        ];
        for (deadline, now, was_away) in rows {
            let mut absence = Absence::new(at(1000));
            assert_eq!(
                absence.ends(deadline.map(at), at(now)),
                was_away,
                "{deadline:?} at {now}"
            );
            assert!(!absence.ends(deadline.map(at), at(now + 100)));
        }
    }
}
