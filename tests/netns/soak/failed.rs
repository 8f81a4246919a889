//! Which failures of a soak are linnetd's, and which the machine's, that was not there?
//!
//! Whoever reads an answer after the machine stood still may do so before the gap is noted: what failed is kept until it surely is.

use std::sync::Mutex;

use super::halts::Halts;

/// How long after the end of a question all gaps that concern it are noted, in milliseconds.
const SETTLED_MS: u64 = 2000;
/// RFC 8914 §4.14, §4.23, §4.24: kept from an earlier failure, nobody could be reached, the network failed.
const EDE_FAILURES: [u16; 3] = [13, 22, 23];
const SERVFAIL: u8 = 2;

/// How a question failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// The answer says that nobody replied; or a stream ended without an answer.
    Failed,
    /// There was no answer in time.
    Unanswered,
    /// There was an answer after everybody's patience.
    Slow,
    /// It was told that there are too many.
    Shed,
}

/// A question that failed, from when to when in milliseconds.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) how: How,
    pub(super) asked: u64,
    pub(super) ended: u64,
    /// What is told of it.
    pub(super) told: String,
}

/// All that await judgement, and how many were the machine's.
#[derive(Debug, Default)]
pub(super) struct Failed {
    open: Mutex<Vec<Failure>>,
    excused: Mutex<Excused>,
}

/// What failed while the machine stood still.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Excused {
    pub(super) failed: u64,
    pub(super) unanswered: u64,
    pub(super) slow: u64,
    pub(super) shed: u64,
}

impl Failed {
    /// Keeps a failure until it can be judged.
    pub(super) fn keep(&self, failure: Failure) {
        self.open.lock().unwrap().push(failure);
    }

    /// Judges what ended long enough before `now`, and returns what was not the machine's.
    pub(super) fn settle(&self, halts: &Halts, now: u64) -> Vec<Failure> {
        let long = halts.long();
        let mut open = self.open.lock().unwrap();
        let mut excused = self.excused.lock().unwrap();
        let mut own = Vec::new();
        let kept = std::mem::take(&mut *open);
        for failure in kept {
            if failure.ended + SETTLED_MS > now {
                open.push(failure);
            } else if long.excuses(failure.asked, failure.ended) {
                match failure.how {
                    How::Failed => excused.failed += 1,
                    How::Unanswered => excused.unanswered += 1,
                    How::Slow => excused.slow += 1,
                    How::Shed => excused.shed += 1,
                }
            } else {
                own.push(failure);
            }
        }
        own
    }

    /// Returns how many were the machine's.
    pub(super) fn excused(&self) -> Excused {
        *self.excused.lock().unwrap()
    }
}

/// Whether an error says that nobody replied: that may be the machine's. Whatever else is said of a name is linnetd's own word.
pub(super) fn is_failure(rcode: u8, explained: Option<u16>) -> bool {
    rcode == SERVFAIL && explained.is_some_and(|code| EDE_FAILURES.contains(&code))
}
