//! Which ports of others come back that had to leave for a while? Those that the journal tells of, wherever linnetd was kept from it.

use std::sync::Arc;

use super::{LinkChange, Walk};

impl<'a> Walk<'a> {
    /// Puts back what is owed. It is known by its indexes: names may be others by now. Whoever is a port again is owed no more.
    pub(super) fn put_back(&mut self) {
        for (port, of) in &self.ours.owed {
            let (Some(port), Some(of)) = (self.name_of(*port), self.name_of(*of)) else {
                continue;
            };
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

    fn name_of(&self, index: u32) -> Option<&'a Arc<str>> {
        let mut links = self.present.iter();
        let (name, _) = links.find(|(_, link)| link.index == index)?;
        Some(name)
    }
}
