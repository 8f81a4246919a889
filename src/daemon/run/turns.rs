//! Who has a turn in the event loop, however many questions come?
//!
//! Questions go first, and what is due for them: but where more come than the processor can take, there is always one, and always
//! something due. Then a link that goes down would not be heard of, nor an order of the administrator's.

/// Rounds in which questions go first, one after another: a few batches, which take some milliseconds.
const FIRST_MAX: u32 = 16;
/// Rounds after that for all others, while they have anything.
const OTHERS_MAX: u32 = 8;

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turns {
    round: u32,
}

impl Turns {
    /// Begins a round; returns whether questions go first in it. If they do not, they have no part in it.
    pub(super) const fn begin(&mut self) -> bool {
        self.round += 1;
        if self.round > FIRST_MAX + OTHERS_MAX {
            self.round = 1;
        }
        self.round <= FIRST_MAX
    }

    /// The others have nothing: the runtime has its turn, whose tasks bring orders, and then questions go first again.
    pub(super) async fn pass(&mut self) {
        self.round = 0;
        tokio::task::yield_now().await;
    }
}
