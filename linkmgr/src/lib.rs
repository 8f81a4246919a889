//! Sans-IO link manager: what the kernel says, as facts.
//!
//! [`LinkManager`] folds [`KernelEvent`]s into [`LinkFacts`]; [`local_names`] reads the machine's own addresses and
//! gateways out of them. Nothing here sends anything to the kernel, opens a socket or reads a clock.
//!
//! ```
//! use linkmgr::{KernelEvent, LinkManager, LinkMessage};
//!
//! let mut links = LinkManager::default();
//! let home0 = LinkMessage { index: 2, name: "home0".into(), admin_up: true, carrier: true, ..Default::default() };
//! assert!(!links.handle_event(KernelEvent::ListingBegins));
//! assert!(!links.handle_event(KernelEvent::Link(home0)), "half a listing is no fact");
//! assert!(links.handle_event(KernelEvent::ListingEnds));
//! assert!(links.facts().values().all(|link| link.up));
//! ```

pub mod arp;
pub mod dhcp4;
pub mod dhcp6;
pub mod kernel;
mod local;
mod observed;
pub mod ra;
mod route;
pub mod slaac;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use kernel::{KernelEvent, LinkMessage, RouteMessage};
pub use local::{LocalAddresses, local_names};
use observed::Observed;
use policy::{LinkFacts, LinkId};

/// The links of the machine, as last reported.
///
/// Events go into [`LinkManager::handle_event`], facts come out of [`LinkManager::facts`]. During a listing the facts
/// stay as they were; at its end they change by the difference only, so that a link that was there before and after
/// keeps its [`LinkId`] and does not blink.
#[derive(Debug, Default)]
pub struct LinkManager {
    observed: Observed,
    /// What a listing has brought so far; `None` while there is none.
    listing: Option<Observed>,
    facts: BTreeMap<LinkId, LinkFacts>,
    id_by_index: BTreeMap<u32, LinkId>,
    births: u32,
}

impl LinkManager {
    /// Takes one thing that the kernel said; returns whether any fact has changed.
    pub fn handle_event(&mut self, event: KernelEvent) -> bool {
        match event {
            KernelEvent::ListingBegins => {
                self.listing = Some(Observed::default());
                false
            }
            KernelEvent::ListingEnds => self
                .listing
                .take()
                .is_some_and(|listed| self.take_over(listed)),
            KernelEvent::Link(_)
            | KernelEvent::LinkGone { .. }
            | KernelEvent::Address { .. }
            | KernelEvent::AddressGone { .. }
            | KernelEvent::Route(_)
            | KernelEvent::RoutesReplaced(_)
            | KernelEvent::RouteGone(_) => {
                if let Some(listing) = &mut self.listing {
                    listing.apply(event);
                    return false;
                }
                let touched = self.observed.apply(event);
                self.update_facts(touched)
            }
        }
    }

    /// Returns the facts of every link.
    pub fn facts(&self) -> &BTreeMap<LinkId, LinkFacts> {
        &self.facts
    }

    /// Replaces what is observed by a complete listing. A link whose kind differs is another one with the same index:
    /// a link never changes its kind.
    fn take_over(&mut self, listed: Observed) -> bool {
        let mut indexes: BTreeSet<u32> = self.id_by_index.keys().copied().collect();
        let mut changed = false;
        for index in &indexes {
            if listed.was_gone(*index) || listed.kind(*index) != self.observed.kind(*index) {
                changed |= self.forget(*index);
            }
        }
        indexes.extend(listed.indexes());
        self.observed = listed;
        self.update_facts(indexes) || changed
    }

    fn update_facts(&mut self, indexes: impl IntoIterator<Item = u32>) -> bool {
        let mut changed = false;
        for index in indexes {
            changed |= match self.observed.facts(index) {
                Some(facts) => self.remember(index, facts),
                None => self.forget(index),
            };
        }
        changed
    }

    fn remember(&mut self, index: u32, facts: LinkFacts) -> bool {
        let id = *self.id_by_index.entry(index).or_insert_with(|| {
            self.births = self.births.wrapping_add(1);
            LinkId {
                index,
                birth: self.births,
            }
        });
        if self.facts.get(&id) == Some(&facts) {
            return false;
        }
        self.facts.insert(id, facts);
        true
    }

    fn forget(&mut self, index: u32) -> bool {
        self.id_by_index
            .remove(&index)
            .is_some_and(|id| self.facts.remove(&id).is_some())
    }
}
