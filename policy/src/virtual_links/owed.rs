//! Which ports of others come back that had to leave for a while, and which links come up that had to go down? Those that the journal tells
//! of, wherever linnetd was kept from it.

use std::sync::Arc;

use super::{LinkChange, Walk};

impl<'a> Walk<'a> {
    /// Puts back what is owed. It is known by its indexes: names may be others by now. Whoever is a port again is owed no more, and what was
    /// released stays as it is.
    pub(super) fn put_back(&mut self) {
        for (port, of) in &self.ours.owed {
            let (Some(port), Some(of)) = (self.name_of(*port), self.name_of(*of)) else {
                continue;
            };
            if self.spared.is_released(port) || self.spared.is_released(of) {
                continue;
            }
            let is_out = self.held(port).is_some_and(|held| held.port_of.is_none());
            let Some(kind) = self.held(of).filter(|_| is_out).map(|of| of.kind) else {
                continue;
            };
            let change = LinkChange::Rejoin {
                port: port.clone(),
                of: of.clone(),
            };
            self.join(port, change, kind);
            self.back.insert(port.clone(), of.clone());
        }
    }

    /// Takes up what had to go down, after all that it went down for.
    pub(super) fn come_up(&mut self) {
        for index in &self.ours.owed_up {
            let Some(name) = self.name_of(*index) else {
                continue;
            };
            let is_down = self.held(name).is_some_and(|held| !held.up);
            if is_down && !self.spared.is_released(name) {
                let change = LinkChange::SetUp(name.clone(), true);
                self.out.changes.push(change);
            }
        }
    }

    fn name_of(&self, index: u32) -> Option<&'a Arc<str>> {
        let mut links = self.present.iter();
        let (name, _) = links.find(|(_, link)| link.index == index)?;
        Some(name)
    }
}
