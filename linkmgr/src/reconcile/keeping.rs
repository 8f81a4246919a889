//! When is the journal kept, and what if it cannot be? It is tried again soon, ever more rarely, and with each new plan.

use std::time::Duration;

use config::time::Instant;

use crate::LinkManager;
use crate::journal::JournalText;

/// How long after a failure the journal is tried again, at first and at most: twice as long each time.
const JOURNAL_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_JOURNAL_PAUSE: Duration = Duration::from_secs(30);

impl LinkManager {
    /// Returns the journal when it has to be kept; what it proves is asked for after [`LinkManager::handle_journal`] only.
    pub fn poll_journal(&mut self) -> Option<JournalText> {
        self.settle();
        let is_idle = self.writer.is_at_rest();
        self.writer.journal.poll(is_idle)
    }

    /// Takes word of the journal of this version: it is kept, or could not be. A disk that is full is no reason to have no
    /// network: the requests go out all the same, and the journal is tried again later.
    pub fn handle_journal(&mut self, version: u64, is_kept: bool, now: Instant) {
        let writer = &mut self.writer;
        writer.now = now;
        writer.journal.settle(version);
        writer.journal_retry = match (is_kept, writer.journal_retry) {
            (true, _) => None,
            (false, None) => Some((now + JOURNAL_PAUSE, JOURNAL_PAUSE)),
            // A plan had it tried before its time.
            (false, Some((at, pause))) if at > now => Some((at, pause)),
            (false, Some((_, pause))) => {
                let pause = (pause * 2).min(LONGEST_JOURNAL_PAUSE);
                Some((now + pause, pause))
            }
        };
    }

    /// Whether the journal is kept, as far as it was tried: while it is not, what is added would not be known for ours after a crash.
    pub const fn is_journal_kept(&self) -> bool {
        self.writer.journal_retry.is_none()
    }
}
