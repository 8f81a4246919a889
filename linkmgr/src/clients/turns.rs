//! Whose turn is it to ask for static addresses? [`Turns`]: a few links at a time, so that a thousand that come up together do not
//! open a thousand sockets.

use config::time::{Instant, WallTime};
use policy::LinkId;

use super::Clients;
use super::on_link::OnLink;
use crate::tables::Set;

/// So many links ask or tell at once. Each has a socket meanwhile, for three seconds as a rule.
const MAX_TURNS: usize = 64;

/// Which links wait for their turn, and which have it.
#[derive(Debug, Default)]
pub(super) struct Turns {
    waiting: Set<LinkId>,
    taken: Set<LinkId>,
}

impl Turns {
    /// Follows what becomes of a link; `None` when it is gone.
    pub(super) fn follow(&mut self, id: LinkId, on_link: Option<&OnLink>) {
        let watches = on_link.and_then(|on_link| on_link.watches.as_ref());
        let mut set = |is_in: bool, of: fn(&mut Self) -> &mut Set<LinkId>| match is_in {
            true => of(self).insert(id),
            false => of(self).remove(&id),
        };
        set(watches.is_some_and(|it| it.wants_turn()), |it| {
            &mut it.waiting
        });
        set(watches.is_some_and(|it| it.has_turn()), |it| &mut it.taken);
    }

    fn next(&self) -> Option<LinkId> {
        if self.taken.len() < MAX_TURNS {
            return self.waiting.first().copied();
        }
        // Who has it may go on with what came meanwhile.
        let mut taken = self.taken.iter();
        taken.find(|id| self.waiting.contains(id)).copied()
    }
}

impl Clients {
    /// Has those begin whose turn it is.
    pub(super) fn take_turns(&mut self, wall: WallTime, now: Instant) {
        while let Some(id) = self.turns.next() {
            self.turns.waiting.remove(&id);
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
