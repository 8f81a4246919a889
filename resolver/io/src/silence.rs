//! Has a server fallen silent? What is owed on one connection, and since when it has said nothing; the same for streams and calls.
//!
//! Whether a silent connection is closed or only left is for its owner.

use std::time::{Duration, Instant};

/// After so long without a word of the server's while something is asked for, what is new goes by another connection.
pub(crate) const SILENCE: Duration = Duration::from_millis(800);

/// What a server owes on a connection.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    /// Since when it owes a reply without having said anything.
    waiting_since: Option<Instant>,
    heard_at: Option<Instant>,
}

impl Owed {
    /// Notes that something is asked.
    pub(crate) fn note_asked(&mut self, now: Instant) {
        self.waiting_since.get_or_insert(now);
    }

    /// Notes that the server has said something; `is_owing` when it owes more.
    pub(crate) fn note_heard(&mut self, is_owing: bool, now: Instant) {
        self.waiting_since = is_owing.then_some(now);
        self.heard_at = Some(now);
    }

    /// Notes that a reply is not waited for any more; `is_owing` when others are.
    pub(crate) fn note_given_up(&mut self, is_owing: bool) {
        if !is_owing {
            self.waiting_since = None;
        }
    }

    /// Whether it owes replies, and has said nothing for so long that it may be gone.
    pub(crate) fn is_silent(&self, now: Instant) -> bool {
        self.waiting_since
            .is_some_and(|since| now.saturating_duration_since(since) >= SILENCE)
    }

    /// Whether it has said nothing since something was asked, and that was long ago.
    pub(crate) fn has_been_silent_since(&self, asked_at: Instant, now: Instant) -> bool {
        now.saturating_duration_since(asked_at) >= SILENCE
            && self.heard_at.is_none_or(|heard_at| heard_at < asked_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_counted_from_the_last_word_while_something_is_owed() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut owed = Owed::default();
        assert!(!owed.is_silent(at(9000)), "nothing is owed");
        owed.note_asked(at(0));
        owed.note_asked(at(700));
        assert!(!owed.is_silent(at(799)) && owed.is_silent(at(800)));
        owed.note_heard(true, at(790));
        assert!(!owed.is_silent(at(1589)) && owed.is_silent(at(1590)));
        owed.note_given_up(true);
        assert!(owed.is_silent(at(1590)));
        owed.note_given_up(false);
        assert!(!owed.is_silent(at(9000)));
        owed.note_asked(at(9000));
        owed.note_heard(false, at(9100));
        assert!(!owed.is_silent(at(20_000)));
    }

    #[test]
    fn what_was_asked_before_the_last_word_says_nothing_of_silence() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut owed = Owed::default();
        assert!(owed.has_been_silent_since(at(0), at(800)));
        assert!(!owed.has_been_silent_since(at(0), at(799)));
        owed.note_heard(true, at(100));
        assert!(!owed.has_been_silent_since(at(0), at(5000)));
        assert!(owed.has_been_silent_since(at(101), at(5000)));
    }
}
