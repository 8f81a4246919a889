//! What would a kernel do with links that are made? [`Glass`]: links by name in memory, and which of them our requests have made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::kind::Change;
use policy::virtual_links::{LinkChange, PresentLink};

use crate::making::rounds::{Links, Refusal};

/// `EEXIST`, `ENODEV`, `EBUSY`, `ENOTEMPTY` and `EPERM`, in words.
const EXISTS: &str = "it is there";
const ABSENT: &str = "it is not there";
const BUSY: &str = "somebody has its index";
const HAS_PORTS: &str = "it has ports";
const IS_UP: &str = "it is up";

impl From<&str> for Refusal {
    fn from(text: &str) -> Self {
        Self {
            text: text.into(),
            passes: true,
        }
    }
}

/// A kernel in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Glass {
    pub(crate) links: Links,
    /// Indexes of links that requests have made: by this they are ours, and by nothing that is written down.
    pub(crate) made: BTreeSet<u32>,
    counted: u32,
}

impl Glass {
    /// Adds a link of somebody else, with an index that the kernel chooses.
    pub(crate) fn add(&mut self, name: &str, link: PresentLink) -> u32 {
        let index = self.choose();
        self.links
            .insert(name.into(), PresentLink { index, ..link });
        index
    }

    /// Does what a request says.
    ///
    /// # Panics
    /// When it takes away what no request has made.
    pub(crate) fn change(
        &mut self,
        change: &LinkChange,
        indexes: &BTreeMap<Arc<str>, u32>,
    ) -> Result<(), Refusal> {
        match change {
            LinkChange::Make(wanted) => {
                let link = &wanted.link;
                if let Some(parent) = &link.parent {
                    self.link(parent)?;
                }
                let names = || std::iter::once(&link.name).chain(&link.peer);
                if names().any(|name| self.links.contains_key(name)) {
                    return Err(EXISTS.into());
                }
                let has_index = |index: u32| self.links.values().any(|link| link.index == index);
                if names().any(|name| indexes.get(name).is_some_and(|it| has_index(*it))) {
                    return Err(BUSY.into());
                }
                for name in names() {
                    let index = indexes.get(name).copied();
                    let index = index.unwrap_or_else(|| self.choose());
                    let other = link.peer.as_ref().filter(|peer| *peer != name);
                    let made = PresentLink {
                        index,
                        kind: Some(link.kind),
                        parent: link.parent.clone().or_else(|| other.cloned()),
                        attributes: link.attributes.clone(),
                        ..PresentLink::default()
                    };
                    self.links.insert(Arc::clone(name), made);
                    self.made.insert(index);
                }
            }
            LinkChange::Remove(name) => {
                // With one end of a pair went the other one.
                if self.link(name).is_ok() {
                    self.remove(name);
                }
            }
            LinkChange::SetUp(name, up) => self.link(name)?.up = *up,
            LinkChange::Set {
                name,
                kind,
                attributes,
                ..
            } => {
                let is_empty_only = |key: &&str| {
                    let row = kind.attribute(key);
                    row.is_some_and(|row| row.change == Change::Empty)
                };
                let mut links = self.links.values();
                let has_ports = links.any(|link| link.port_of.as_ref() == Some(name));
                if has_ports && attributes.keys().any(is_empty_only) {
                    return Err(HAS_PORTS.into());
                }
                let is_down_only = |key: &&str| {
                    let row = kind.attribute(key);
                    row.is_some_and(|row| row.change >= Change::Down)
                };
                let link = self.link(name)?;
                if link.up && attributes.keys().any(is_down_only) {
                    return Err(IS_UP.into());
                }
                link.attributes.extend(attributes.clone());
            }
            LinkChange::SetPort {
                port, attributes, ..
            } => self.link(port)?.port_attributes.extend(attributes.clone()),
            LinkChange::Join { port, of } | LinkChange::Rejoin { port, of } => {
                // A bond takes what is down, and takes it up.
                let kind = self.link(of)?.kind;
                let is_opened = kind.is_some_and(|kind| kind.joins_down);
                let link = self.link(port)?;
                if is_opened && link.up {
                    return Err(IS_UP.into());
                }
                link.up |= is_opened;
                link.port_of = Some(Arc::clone(of));
            }
            LinkChange::Leave(port) => {
                let of = self.link(port)?.port_of.take();
                let of = of.and_then(|of| self.links.get(&of)?.kind);
                let is_closed = of.is_some_and(|kind| kind.joins_down);
                let link = self.link(port)?;
                link.up &= !is_closed;
                link.vlans.clear();
            }
            LinkChange::AddVlans(name, vlans) => self.link(name)?.vlans.extend(vlans),
            LinkChange::RemoveVlans(name, vlans) => {
                let link = self.link(name)?;
                link.vlans.retain(|vlan, _| !vlans.contains(vlan));
            }
        }
        Ok(())
    }

    /// Takes a link away, with its other end and what stands on it.
    fn remove(&mut self, name: &Arc<str>) {
        let Some(gone) = self.links.remove(name) else {
            return;
        };
        assert!(self.made.remove(&gone.index), "{name} is not ours");
        let is_upper = |link: &PresentLink| link.parent.as_ref() == Some(name);
        let uppers: Vec<Arc<str>> = self
            .links
            .iter()
            .filter(|(_, link)| is_upper(link))
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for upper in uppers {
            self.remove(&upper);
        }
        for link in self.links.values_mut() {
            if link.port_of.as_ref() == Some(name) {
                link.port_of = None;
                link.vlans.clear();
            }
        }
    }

    fn choose(&mut self) -> u32 {
        self.counted += 1;
        self.counted
    }

    fn link(&mut self, name: &Arc<str>) -> Result<&mut PresentLink, Refusal> {
        self.links.get_mut(name).ok_or_else(|| ABSENT.into())
    }
}
