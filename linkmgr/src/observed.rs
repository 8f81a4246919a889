//! What are the kernel's tables, as last reported? Links, their addresses and default routes, by index.
//!
//! The kernel's silences are filled in here: IPv4 routes that vanish with their link, their last address or their source
//! address are not told (`fib_disable_ip`, `fib_sync_down_addr`). Identity and birth of links are not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use config::model::Prefix;
use policy::LinkFacts;

use crate::kernel::{KernelEvent, LinkMessage, RouteMessage};
use crate::route::{Routes, insert_exact};

/// The kernel's tables.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    entry_by_index: BTreeMap<u32, Entry>,
    /// Indexes whose link was told to be gone.
    gone: BTreeSet<u32>,
}

/// What is told of one index; addresses and routes may come before the link itself.
#[derive(Debug, Default)]
struct Entry {
    link: Option<Box<LinkMessage>>,
    /// In order, each once: a listing and a row of events give the same.
    addresses: Vec<Prefix>,
    routes: Routes,
}

impl Observed {
    /// Takes one event; returns the indexes that it touched. Listing marks are the caller's.
    pub(crate) fn apply(&mut self, event: KernelEvent) -> Vec<u32> {
        match event {
            KernelEvent::ListingBegins | KernelEvent::ListingEnds => Vec::new(),
            KernelEvent::Link(link) => self.link(link),
            KernelEvent::LinkGone { index } => {
                self.entry_by_index.remove(&index);
                self.gone.insert(index);
                vec![index]
            }
            KernelEvent::Address { index, address } => self.address(index, address),
            KernelEvent::AddressGone { index, address } => self.address_gone(index, address),
            KernelEvent::Route(route) => {
                self.entry(route.index).routes.insert(&route);
                vec![route.index]
            }
            KernelEvent::RoutesReplaced(routes) => self.routes_replaced(&routes),
            KernelEvent::RouteGone(route) => self.route_gone(&route),
        }
    }

    /// Returns the indexes of which anything is told.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = u32> {
        self.entry_by_index.keys().copied()
    }

    /// Whether a link of this index was told to be gone.
    pub(crate) fn was_gone(&self, index: u32) -> bool {
        self.gone.contains(&index)
    }

    /// Returns the kind of the link with this index.
    pub(crate) fn kind(&self, index: u32) -> Option<&str> {
        let link = self.entry_by_index.get(&index)?.link.as_ref()?;
        Some(&link.kind)
    }

    /// Returns the facts of the link with this index; `None` until the link itself is told.
    pub(crate) fn facts(&self, index: u32) -> Option<LinkFacts> {
        let entry = self.entry_by_index.get(&index)?;
        let link = entry.link.as_ref()?;
        Some(LinkFacts {
            name: link.name.clone(),
            alt_names: link.alt_names.clone(),
            kind: link.kind.clone(),
            driver: link.driver.clone(),
            path: link.path.clone(),
            mac: link.mac,
            up: link.admin_up && link.carrier,
            loopback: link.loopback,
            multicast: link.multicast,
            addresses: entry.addresses.clone(),
            default_route4: entry.routes.default_route4(),
            default_route6: entry.routes.default_route6(),
            // What a router advertises is heard by whoever configures the link.
            pref64: Vec::new(),
        })
    }

    fn entry(&mut self, index: u32) -> &mut Entry {
        self.entry_by_index.entry(index).or_default()
    }

    fn link(&mut self, link: LinkMessage) -> Vec<u32> {
        let index = link.index;
        let entry = self.entry(index);
        if entry.link.as_deref() == Some(&link) {
            return Vec::new();
        }
        let was_up = entry.link.as_ref().is_some_and(|old| old.admin_up);
        if was_up && !link.admin_up {
            // IPv4 never tells; IPv6 keeps silent under net.ipv6.route.skip_notify_on_dev_down. Both drop all.
            entry.routes.clear();
        }
        entry.link = Some(Box::new(link));
        vec![index]
    }

    fn address(&mut self, index: u32, address: Prefix) -> Vec<u32> {
        let addresses = &mut self.entry(index).addresses;
        let Err(place) = addresses.binary_search(&address) else {
            return Vec::new();
        };
        insert_exact(addresses, place, address);
        vec![index]
    }

    fn address_gone(&mut self, index: u32, address: Prefix) -> Vec<u32> {
        let Some(entry) = self.entry_by_index.get_mut(&index) else {
            return Vec::new();
        };
        let Ok(place) = entry.addresses.binary_search(&address) else {
            return Vec::new();
        };
        entry.addresses.remove(place);
        if address.address.is_ipv6() {
            return vec![index];
        }
        if !entry.addresses.iter().any(|left| left.address.is_ipv4()) {
            entry.routes.clear_ipv4();
        }
        let mut touched = self.drop_routes_from(address.address);
        touched.push(index);
        touched
    }

    /// Drops the routes whose preferred source no link has.
    fn drop_routes_from(&mut self, source: IpAddr) -> Vec<u32> {
        let held = self
            .entry_by_index
            .values()
            .flat_map(|entry| &entry.addresses)
            .any(|address| address.address == source);
        if held {
            return Vec::new();
        }
        self.entry_by_index
            .iter_mut()
            .filter_map(|(index, entry)| entry.routes.remove_source(source).then_some(*index))
            .collect()
    }

    fn route_gone(&mut self, route: &RouteMessage) -> Vec<u32> {
        let Some(entry) = self.entry_by_index.get_mut(&route.index) else {
            return Vec::new();
        };
        if !entry.routes.remove(route) {
            return Vec::new();
        }
        vec![route.index]
    }

    fn routes_replaced(&mut self, routes: &[RouteMessage]) -> Vec<u32> {
        let Some(first) = routes.first() else {
            return Vec::new();
        };
        let mut touched: Vec<u32> = self
            .entry_by_index
            .iter_mut()
            .filter_map(|(index, entry)| {
                entry
                    .routes
                    .remove_metric(first.to, first.route.metric)
                    .then_some(*index)
            })
            .collect();
        for route in routes {
            self.entry(route.index).routes.insert(route);
            touched.push(route.index);
        }
        touched
    }
}
