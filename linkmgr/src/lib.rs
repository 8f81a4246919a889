//! Sans-IO link manager: what the kernel says, as facts; and what it is asked for, so that it is as planned.
//!
//! [`LinkManager`] folds [`KernelEvent`]s into [`LinkFacts`]; [`local_names`] reads the machine's own addresses and
//! gateways out of them. It compares what is there with a `LinksPlan` and asks for the difference. Nothing here opens a
//! socket or a file, or reads a clock.
//!
//! ```
//! use config::time::Instant;
//! use linkmgr::{KernelEvent, LinkManager, LinkMessage};
//!
//! let now = Instant::ZERO;
//! let mut links = LinkManager::default();
//! let home0 = LinkMessage { index: 2, name: "home0".into(), admin_up: true, carrier: true, ..Default::default() };
//! assert!(!links.handle_event(KernelEvent::ListingBegins, now));
//! assert!(!links.handle_event(KernelEvent::Link(home0), now), "half a listing is no fact");
//! assert!(links.handle_event(KernelEvent::ListingEnds, now));
//! assert!(links.facts().values().all(|link| link.up));
//! ```
//!
//! # How the writing half is driven
//! At the start [`LinkManager::load_journal`]. Then for every plan [`LinkManager::apply_plan`]; for every answer
//! [`LinkManager::handle_answer`]; at [`LinkManager::poll_timeout`] [`LinkManager::handle_timeout`]. After a *whole batch*
//! of any of these, and of events:
//! 1. [`LinkManager::poll_destinations`]: when there are any, have it heard that routes there are replaced;
//! 2. [`LinkManager::poll_journal`]: when there is one, keep it (replace the file whole; it need not survive a loss of power,
//!    after which it is void), then [`LinkManager::handle_journal`];
//! 3. [`LinkManager::poll_request`] until there is none, and send them all, in order, in one go;
//! 4. all of these again, until they have nothing;
//! 5. [`LinkManager::poll_report`] until there is none.
//!
//! Requests that need the journal are withheld until it is kept, which is all there is to survive a SIGKILL at any point. When
//! the daemon ends: [`LinkManager::stop`], and go on until [`LinkManager::is_idle`].

pub mod acd;
pub mod arp;
pub mod clients;
pub mod dhcp4;
pub mod dhcp6;
pub mod fake;
pub mod former;
pub mod ipv4ll;
pub mod journal;
pub mod kernel;
pub mod kinds;
pub mod lldp;
mod local;
pub mod macs;
mod observed;
mod octets;
mod offered;
mod protocol;
pub mod ra;
mod random;
mod reconcile;
pub mod request;
mod route;
pub mod slaac;
pub mod status;
mod tables;
#[cfg(test)]
mod tests;
pub mod watches;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use config::matcher::Mac;
use config::time::Instant;
pub use journal::{AddressMarks, Boot, JournalText};
pub use kernel::{AddressMessage, KernelEvent, LinkMessage, RouteMessage, Usability};
pub use local::{LocalAddresses, local_names};
use observed::{Observed, ObservedAddress};
pub use octets::Lifetime;
pub use offered::{Designated, Service};
use policy::{Interest, LinkFacts, LinkId};
pub use protocol::{Protocol, Who};
use reconcile::Writer;
pub use reconcile::{Holder, MAX_IN_FLIGHT};
pub use request::{KernelAnswer, KernelFault, KernelRequest, RequestId};
pub use status::{Item, ItemState, LinkReport, LinkTimer, Setting, StopLevel};
use tables::Map;

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
    /// Facts of the links that matter.
    facts: Map<LinkId, LinkFacts>,
    interest: Interest,
    /// Links whose facts have changed, come or gone.
    changed: BTreeSet<LinkId>,
    id_by_index: Map<u32, LinkId>,
    births: u32,
    /// What asks the kernel.
    writer: Writer,
}

impl LinkManager {
    /// Takes one thing that the kernel said; returns whether any fact has changed.
    pub fn handle_event(&mut self, event: KernelEvent, now: Instant) -> bool {
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
            | KernelEvent::Address(_)
            | KernelEvent::AddressGone { .. }
            | KernelEvent::Route(_)
            | KernelEvent::RoutesReplaced(_)
            | KernelEvent::RouteGone(_)
            | KernelEvent::OwnRoute(_)
            | KernelEvent::OwnRouteGone(_)
            | KernelEvent::PlaceTaken(_)
            | KernelEvent::PlaceShared { .. }
            | KernelEvent::PlaceLeft(_)
            | KernelEvent::Rule(_)
            | KernelEvent::RuleGone(_)
            | KernelEvent::RuleTaken { .. }
            | KernelEvent::RuleFreed { .. } => {
                if let Some(listing) = &mut self.listing {
                    listing.apply(event, now);
                    return false;
                }
                let own = if let KernelEvent::OwnRoute(route) = &event {
                    Some(route.key)
                } else {
                    None
                };
                let touched = self.observed.apply(event, now);
                if let Some(key) = own {
                    self.hear_of(key.to);
                    self.tell_ways_apart_at(&key);
                }
                self.observed.forget_gone();
                let indexes = self.mark(touched);
                self.update_facts(indexes)
            }
            // A listing begins with what is known of them.
            KernelEvent::Switches { .. } => {
                let touched = self.observed.apply(event, now);
                self.mark(touched);
                false
            }
        }
    }

    /// Returns the facts of every link that matters: of all of them, unless [`LinkManager::apply_interest`] said less.
    pub fn facts(&self) -> &BTreeMap<LinkId, LinkFacts> {
        &self.facts
    }

    /// Returns the links whose facts are others than when this was last asked, or that have come, or are gone.
    pub fn take_changed(&mut self) -> BTreeSet<LinkId> {
        std::mem::take(&mut self.changed)
    }

    /// Takes which links matter: of the others no facts are made, and nothing that happens to them is told. Returns whether any
    /// fact has changed.
    pub fn apply_interest(&mut self, interest: Interest) -> bool {
        if self.interest == interest {
            return false;
        }
        self.interest = interest;
        let indexes: Vec<u32> = self.id_by_index.keys().copied().collect();
        self.update_facts(indexes)
    }

    /// Returns every link, with facts that are made for the occasion.
    pub fn all_links(&self) -> impl Iterator<Item = (LinkId, LinkFacts)> {
        let ids = self.id_by_index.values();
        ids.filter_map(|id| Some((*id, self.facts_of(id.index)?)))
    }

    /// Returns the link of this name.
    pub fn id_of(&self, name: &str) -> Option<LinkId> {
        let index = self.observed.index_of(name)?;
        self.id_by_index.get(&index).copied()
    }

    /// Returns the IPv6 addresses of a link that somebody has made of prefixes that a router advertises, and that are in use.
    pub fn made_of_prefixes(&self, link: LinkId) -> Vec<Ipv6Addr> {
        let addresses = self.observed.addresses_of(link.index).iter();
        addresses
            .filter_map(ObservedAddress::made_of_prefix)
            .collect()
    }

    /// Returns the link of this index.
    pub fn id_at(&self, index: u32) -> Option<LinkId> {
        self.id_by_index.get(&index).copied()
    }

    /// Whether a link of this machine has this hardware address.
    pub fn has_mac(&self, mac: Mac) -> bool {
        self.observed.has_mac(mac)
    }

    /// Replaces what is observed by a complete listing. A link whose kind differs is another one with the same index:
    /// a link never changes its kind.
    fn take_over(&mut self, mut listed: Observed) -> bool {
        self.tell_ways_apart(&mut listed);
        let mut indexes: BTreeSet<u32> = self.id_by_index.keys().copied().collect();
        let mut changed = false;
        for index in &indexes {
            if listed.was_gone(*index) || listed.kind(*index) != self.observed.kind(*index) {
                changed |= self.forget(*index);
            }
        }
        indexes.extend(listed.indexes());
        let before = std::mem::replace(&mut self.observed, listed);
        self.observed.inherit(before);
        changed |= self.update_facts(indexes);
        self.mark_listing();
        changed
    }

    fn update_facts(&mut self, indexes: impl IntoIterator<Item = u32>) -> bool {
        let mut changed = false;
        for index in indexes {
            changed |= match self.facts_of(index) {
                Some(facts) => self.remember(index, facts),
                None => self.forget(index),
            };
        }
        changed
    }

    /// Makes the facts of a link. What hardware address it had before we gave it another, the journal alone knows.
    fn facts_of(&self, index: u32) -> Option<LinkFacts> {
        let facts = self.observed.facts(index)?;
        let known_mac = match self.observed.link_message(index)?.permanent_mac {
            Some(permanent) => Some(permanent),
            None => self.mac_before(index, facts.mac).or(facts.mac),
        };
        Some(LinkFacts { known_mac, ..facts })
    }

    fn remember(&mut self, index: u32, facts: LinkFacts) -> bool {
        let id = *self.id_by_index.entry(index).or_insert_with(|| {
            self.births = self.births.wrapping_add(1);
            LinkId {
                index,
                birth: self.births,
            }
        });
        if !self.interest.covers(&facts) {
            return self.drop_facts(id);
        }
        if self.facts.get(&id) == Some(&facts) {
            return false;
        }
        self.facts.insert(id, facts);
        self.changed.insert(id);
        true
    }

    fn forget(&mut self, index: u32) -> bool {
        let Some(id) = self.id_by_index.remove(&index) else {
            return false;
        };
        self.mark_gone(id);
        self.drop_facts(id)
    }

    fn drop_facts(&mut self, id: LinkId) -> bool {
        let is_gone = self.facts.remove(&id).is_some();
        if is_gone {
            self.changed.insert(id);
        }
        is_gone
    }
}
