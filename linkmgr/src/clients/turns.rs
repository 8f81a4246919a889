//! Whose turn is it to ask for static addresses? [`Turns`]: a few links at a time, so that a thousand that come up together do not
//! open a thousand sockets.

use config::time::{Instant, WallTime};
use policy::LinkId;

use super::Clients;
use super::on_link::OnLink;
use crate::tables::Set;
use crate::watches::Watches;

/// So many links ask or tell at once. Each has a socket meanwhile, for three seconds as a rule.
const MAX_TURNS: usize = 64;

/// Which links wait for their turn, and which have it.
#[derive(Debug, Default)]
pub(super) struct Turns {
    waiting: Set<LinkId>,
    taken: Set<LinkId>,
    /// Those that have it, and wait for it once more.
    both: Set<LinkId>,
}

impl Turns {
    /// Follows what becomes of a link; `None` when it is gone.
    pub(super) fn follow(&mut self, id: LinkId, on_link: Option<&OnLink>) {
        let watches = on_link.and_then(|on_link| on_link.watches.as_ref());
        let waits = watches.is_some_and(Watches::wants_turn);
        let has = watches.is_some_and(Watches::has_turn);
        set(&mut self.waiting, id, waits);
        set(&mut self.taken, id, has);
        set(&mut self.both, id, waits && has);
    }

    fn next(&self) -> Option<LinkId> {
        if self.taken.len() < MAX_TURNS {
            return self.waiting.first().copied();
        }
        // Who has it may go on with what came meanwhile.
        self.both.first().copied()
    }
}

fn set(of: &mut Set<LinkId>, id: LinkId, is_in: bool) {
    match is_in {
        true => of.insert(id),
        false => of.remove(&id),
    };
}

impl Clients {
    /// Has those begin whose turn it is.
    pub(super) fn take_turns(&mut self, wall: WallTime, now: Instant) {
        while let Some(id) = self.turns.next() {
            set(&mut self.turns.waiting, id, false);
            set(&mut self.turns.both, id, false);
            let on_link = self.clients.get_mut(&id);
            if let Some(watches) = on_link.and_then(|on_link| on_link.watches.as_mut()) {
                watches.grant(now);
                self.gather(id, wall, now);
            }
        }
    }
}

#[cfg(test)]
mod tests;
