//! When is the journal kept, and what if it cannot be? It is tried again after a pause, and whoever asks is told.

use std::time::Duration;

use config::time::Instant;

use crate::LinkManager;
use crate::journal::JournalText;

/// How long after a failure the journal is tried again.
const JOURNAL_PAUSE: Duration = Duration::from_secs(30);

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
        writer.journal_retry_at = (!is_kept).then(|| now + JOURNAL_PAUSE);
        writer.journal_fails = !is_kept;
    }

    /// Has a journal that could not be kept tried once more: what stays when linnet ends is its own at the next start by this alone.
    pub(super) const fn offer_unkept_journal(&mut self) {
        if self.writer.journal_fails {
            self.writer.journal.offer_again();
        }
    }

    /// Whether the journal was kept when it was tried last: while it is not, what is added would not be known for ours after a crash.
    pub const fn is_journal_kept(&self) -> bool {
        !self.writer.journal_fails
    }
}
