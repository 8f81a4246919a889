//! Does the validator hold against what others send? A tree of signed zones is made here, and every reply is genuine first and
//! damaged then.

#![expect(clippy::unwrap_in_result, reason = "a test may fail at any line")]

mod cost;
mod fetched;
mod genuine;
mod known;
mod memory;
mod rounds;
mod tamper;
mod world;
mod zone;

use crate::validator::{Fetch, FetchFailure, Outcome, Question, Reply, Step, Validator, WallClock};

/// The time of all tests, in Unix seconds.
const NOW: u64 = 1_800_000_000;

/// The dates count.
const CLOCK: WallClock = WallClock {
    seconds: NOW,
    dates_count: true,
};

/// Far more steps than any question may take.
const STEPS_MAX: usize = 300;

/// Judges a reply; `upstream` answers what is fetched.
fn judge(
    validator: &mut Validator,
    question: &Question,
    reply: &Reply,
    mut upstream: impl FnMut(&Fetch) -> Result<Reply, FetchFailure>,
) -> Outcome {
    let mut validation = validator.begin(question.clone(), reply);
    for _ in 0..STEPS_MAX {
        match validation.step(validator, CLOCK) {
            Step::Done(outcome) => return *outcome,
            Step::Paused => {}
            Step::Fetch(fetches) => {
                assert!(!fetches.is_empty(), "it waits for nothing");
                for fetch in fetches {
                    let brought = upstream(&fetch);
                    validation.handle_fetch(&fetch, brought.as_ref().map_err(|failure| *failure));
                }
            }
        }
    }
    panic!("{question:?} takes more than {STEPS_MAX} steps");
}
