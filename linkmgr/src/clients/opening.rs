//! Which ports are to be open otherwise than before? [`Opening`]: by link, so that what one link wants costs nothing for the others.

use std::collections::BTreeSet;

use super::{Port, WantedPort};
use crate::tables::{Map, Set};

/// What is to be opened and closed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
pub struct PortChanges {
    /// These are to be open, like this, whether they are or not.
    pub open: Vec<WantedPort>,
    /// These of the links with these indexes are to be closed.
    pub close: Vec<(u32, Port)>,
}

/// The ports of all clients.
#[derive(Debug, Default)]
pub(super) struct Opening {
    wanted: Map<(u32, Port), WantedPort>,
    /// What is open only until what is to be sent through it was taken.
    lingering: Map<(u32, Port), WantedPort>,
    /// What may be otherwise than was told.
    changed: BTreeSet<(u32, Port)>,
    /// What was told to be open.
    told: Set<(u32, Port)>,
    /// What of that cannot be had.
    unheard: Set<(u32, Port)>,
}

impl Opening {
    /// Has the link of this index have these ports, besides those that linger.
    pub(super) fn follow(&mut self, index: u32, wanted: Vec<WantedPort>) {
        let here = self.wanted.range((index, Port::Packet)..);
        let here = here.take_while(|((of, _), _)| *of == index);
        let mut before: BTreeSet<(u32, Port)> = here.map(|(place, _)| *place).collect();
        for wanted in wanted {
            let place = (index, wanted.port);
            before.remove(&place);
            if self.wanted.get(&place) != Some(&wanted) {
                self.wanted.insert(place, wanted);
                self.changed.insert(place);
            }
        }
        for place in before {
            self.wanted.remove(&place);
            self.changed.insert(place);
        }
    }

    /// Has these open until [`Self::close_lingering`], whoever wants them.
    pub(super) fn keep(&mut self, ports: impl Iterator<Item = WantedPort>) {
        for port in ports {
            let place = (port.index, port.port);
            if !self.told.contains(&place) {
                self.changed.insert(place);
            }
            self.lingering.insert(place, port);
        }
    }

    /// Takes that all is sent.
    pub(super) fn close_lingering(&mut self) {
        let lingering = std::mem::take(&mut self.lingering);
        let unwanted = lingering.into_keys();
        let unwanted = unwanted.filter(|place| !self.wanted.contains_key(place));
        self.changed.extend(unwanted);
    }

    /// Takes what cannot be had; returns what could not before.
    pub(super) fn take_unheard(
        &mut self,
        unheard: &[(u32, Port)],
    ) -> impl Iterator<Item = (u32, Port)> + use<> {
        let unheard = unheard.iter().copied().collect();
        std::mem::replace(&mut self.unheard, unheard).into_iter()
    }

    /// Has what cannot be had be tried again.
    pub(super) fn reopen(&mut self) {
        self.changed.extend(&self.unheard);
    }

    /// Returns what has changed, when anything has.
    pub(super) fn poll(&mut self) -> Option<PortChanges> {
        let mut changes = PortChanges::default();
        for place in std::mem::take(&mut self.changed) {
            let wanted = self.wanted.get(&place);
            match wanted.or_else(|| self.lingering.get(&place)) {
                Some(wanted) => {
                    self.told.insert(place);
                    changes.open.push(wanted.clone());
                }
                None if self.told.remove(&place) => changes.close.push(place),
                None => {}
            }
        }
        (changes != PortChanges::default()).then_some(changes)
    }
}
