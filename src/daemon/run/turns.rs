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

#[cfg(test)]
mod tests {
    use super::*;

    /// For so many rounds, whether questions go first.
    fn rounds(turns: &mut Turns, count: u32) -> Vec<bool> {
        (0..count).map(|_| turns.begin()).collect()
    }

    /// Questions first, then all others, once through.
    fn once() -> Vec<bool> {
        let first = (0..FIRST_MAX).map(|_| true);
        first.chain((0..OTHERS_MAX).map(|_| false)).collect()
    }

    #[test]
    fn others_have_their_turns_after_those_of_questions_again_and_again() {
        let mut turns = Turns::default();
        for _ in 0..3 {
            assert_eq!(rounds(&mut turns, FIRST_MAX + OTHERS_MAX), once());
        }
    }

    #[tokio::test]
    async fn questions_go_first_again_when_the_others_have_nothing_and_tasks_have_had_their_turn() {
        let mut turns = Turns::default();
        rounds(&mut turns, FIRST_MAX + 1);
        let task = tokio::spawn(async {});
        turns.pass().await;
        assert!(task.is_finished());
        assert_eq!(rounds(&mut turns, FIRST_MAX + OTHERS_MAX), once());
    }
}
