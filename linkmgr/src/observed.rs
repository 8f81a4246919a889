//! What are the kernel's tables, as last reported? Links, their addresses and default routes by index; routes and rules with
//! our number.
//!
//! The kernel's silences are filled in here: IPv4 routes that vanish with their link, their last address or their source
//! address are not told (`fib_disable_ip`, `fib_sync_down_addr`). Identity and birth of links are not known here.

mod address;
mod beside;
mod own;
mod sourced;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use config::matcher::Mac;
use config::model::{AddressAttributes, AddressLabel, Prefix};
use config::time::Instant;
use policy::LinkFacts;
use policy::facts::DefaultRoute;
use policy::links::{RouteKey, Switch};

use crate::kernel::{AddressMessage, KernelEvent, LinkMessage, RouteMessage, Usability};
use crate::protocol::Protocol;
use crate::route::{Routes, insert_exact};
use crate::status::{Item, Setting};
use crate::tables::{Map, Set};
pub(crate) use address::ObservedAddress;
use own::Loss;
pub(crate) use own::{ObservedRoute, Own};
use sourced::Sourced;

/// The main table's number.
pub(crate) const MAIN: u32 = 254;
/// `RTPROT_RA`, `IFAPROT_KERNEL_RA`: what the kernel makes when it listens to routers itself.
const KERNELS_ROUTE: u8 = 9;
const KERNELS_ADDRESS: u8 = 2;

/// The kernel's tables.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    entry_by_index: Map<u32, Entry>,
    sourced: Sourced,
    /// Indexes whose link was told to be gone, during a listing.
    gone: BTreeSet<u32>,
    /// The kinds of links, each once in memory.
    kinds: BTreeSet<Arc<str>>,
    own: Own,
    /// The metrics of the kernel's routes for prefixes, where they are not the usual ones: few addresses have any.
    prefix_metrics: BTreeMap<(u32, Prefix), u32>,
    /// What else there is to know of addresses: of few there is anything.
    attributes: BTreeMap<(u32, Prefix), AddressAttributes>,
    /// What was read of switches, and set; the kernel tells of few.
    switches: BTreeMap<(u32, Switch), i32>,
}

/// What is told of one index; addresses and routes may come before the link itself.
#[derive(Debug, Default)]
struct Entry {
    link: Option<Box<LinkMessage>>,
    /// In order, each once: a listing and a row of events give the same.
    addresses: Vec<ObservedAddress>,
    routes: Routes,
}

/// What an event touched.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// Links whose facts may be others.
    pub(crate) indexes: Vec<u32>,
    /// What may have to be asked for again.
    pub(crate) items: Vec<Item>,
    /// A link that was taken up or down.
    pub(crate) turned: Option<(u32, bool)>,
}

impl Touched {
    /// Adds places of the main table that may be free, for whoever has been kept from them.
    fn free(&mut self, places: impl IntoIterator<Item = (Prefix, u32)>) {
        let places = places.into_iter().map(|(to, metric)| RouteKey {
            table: MAIN,
            to,
            metric,
            from: None,
        });
        self.items.extend(places.map(Item::Route));
    }
}

impl Observed {
    /// Takes one event; returns what it touched. Listing marks are the caller's.
    pub(crate) fn apply(&mut self, event: KernelEvent, now: Instant) -> Touched {
        let mut touched = Touched::default();
        match event {
            KernelEvent::ListingBegins | KernelEvent::ListingEnds => {}
            KernelEvent::Link(link) => self.link(link, &mut touched),
            KernelEvent::LinkGone { index } => self.link_gone(index, &mut touched),
            KernelEvent::Address(address) => self.address(&address, now, &mut touched),
            KernelEvent::AddressGone { index, address } => {
                self.address_gone(index, address, &mut touched);
            }
            KernelEvent::Route(route) => {
                if route.protocol == KERNELS_ROUTE {
                    self.doubt(route.index, Switch::AcceptRa, &mut touched);
                }
                self.insert_route(&route);
                touched.indexes.push(route.index);
            }
            KernelEvent::RoutesReplaced(routes) => self.routes_replaced(&routes, &mut touched),
            KernelEvent::RouteGone(route) => {
                touched.indexes.extend(self.route_gone(&route));
                touched.free([(route.to, route.route.metric)]);
            }
            KernelEvent::OwnRoute(route) => {
                touched.items.push(Item::Route(route.key));
                self.own.insert(route, now);
            }
            KernelEvent::OwnRouteGone(route) => {
                touched.items.push(Item::Route(route.key));
                self.own.remove(&route);
            }
            KernelEvent::PlaceTaken(theirs) => {
                if self.own.give_way(&theirs) {
                    touched.items.push(Item::Route(theirs.key));
                }
            }
            KernelEvent::PlaceShared { theirs, is_first } => {
                if self.own.share(&theirs, is_first) {
                    touched.items.push(Item::Route(theirs.key));
                }
            }
            KernelEvent::PlaceLeft(theirs) => {
                self.own.leave(&theirs);
                // What has been kept from this place, or must not be changed beside it, may come.
                touched.items.push(Item::Route(theirs.key));
            }
            KernelEvent::Rule(rule) => {
                touched.items.push(Item::Rule(rule.clone()));
                self.own.insert_rule(rule);
            }
            KernelEvent::RuleTaken { rule, protocol } => {
                touched.items.push(Item::Rule(rule.clone()));
                self.own.take_rule(rule, protocol);
            }
            KernelEvent::RuleFreed { rule, protocol } => {
                touched.items.push(Item::Rule(rule.clone()));
                self.own.free_rule(rule, protocol);
            }
            KernelEvent::RuleGone(rule) => {
                self.own.remove_rule(&rule);
                touched.items.push(Item::Rule(rule));
            }
            KernelEvent::Switches { index, values } => {
                for (switch, value) in values {
                    self.told_switch((index, switch), value, &mut touched);
                }
            }
        }
        touched
    }

    /// Returns routes and rules with our number.
    pub(crate) fn own(&self) -> &Own {
        &self.own
    }

    /// Returns the link with this index, as the kernel described it last.
    pub(crate) fn link_message(&self, index: u32) -> Option<&LinkMessage> {
        self.entry_by_index.get(&index)?.link.as_deref()
    }

    /// Returns an address of a link.
    pub(crate) fn address_of(&self, index: u32, address: &Prefix) -> Option<&ObservedAddress> {
        let addresses = self.addresses_of(index);
        let place = addresses
            .binary_search_by_key(address, |it| it.prefix)
            .ok()?;
        addresses.get(place)
    }

    /// Returns all addresses of a link.
    pub(crate) fn addresses_of(&self, index: u32) -> &[ObservedAddress] {
        self.entry_by_index
            .get(&index)
            .map_or(&[], |entry| &entry.addresses)
    }

    /// Returns the metric of the kernel's route for an address's prefix; 0 when it is the usual one.
    pub(crate) fn prefix_metric(&self, index: u32, address: Prefix) -> u32 {
        let metric = self.prefix_metrics.get(&(index, address));
        metric.copied().unwrap_or(0)
    }

    /// Returns what else there is to know of an address.
    pub(crate) fn attributes(&self, index: u32, address: Prefix) -> AddressAttributes {
        let attributes = self.attributes.get(&(index, address));
        attributes.copied().unwrap_or_default()
    }

    /// Returns what was read of a switch.
    pub(crate) fn switch(&self, index: u32, switch: Switch) -> Option<i32> {
        self.switches.get(&(index, switch)).copied()
    }

    /// Takes what was read of a switch, or set.
    pub(crate) fn set_switch(&mut self, index: u32, switch: Switch, value: i32) {
        self.switches.insert((index, switch), value);
    }

    /// Takes what the kernel tells of a switch; one that nobody has read is nobody's business.
    fn told_switch(&mut self, key: (u32, Switch), value: Option<i32>, touched: &mut Touched) {
        let Some(known) = self.switches.get_mut(&key) else {
            return;
        };
        match value {
            Some(value) if *known == value => return,
            Some(value) => *known = value,
            None => drop(self.switches.remove(&key)),
        }
        let (index, switch) = key;
        let item = Item::Setting(index, Setting::Switch(switch));
        touched.items.push(item);
    }

    /// Has a switch be read anew: something shows that it may be another.
    fn doubt(&mut self, index: u32, switch: Switch, touched: &mut Touched) {
        self.told_switch((index, switch), None, touched);
    }

    /// Forgets what was read of the switches of a link, so that they are read anew.
    pub(crate) fn forget_switches(&mut self, index: u32) {
        self.switches.retain(|(of, _), _| *of != index);
    }

    /// Has a switch be read anew that is to be given back: the kernel tells of few, and what somebody else has set since is his.
    pub(crate) fn doubt_switch(&mut self, item: &Item) {
        if let Item::Setting(index, Setting::Switch(switch)) = item {
            self.switches.remove(&(*index, *switch));
        }
    }

    /// Takes over what no listing tells.
    pub(crate) fn inherit(&mut self, before: Self) {
        self.switches = before.switches;
        for index in &self.gone {
            self.switches.retain(|(of, _), _| of != index);
        }
    }

    /// Follows whose the ways of IPv6 routes are that a listing tells as one; `ways` says which ours may have.
    pub(crate) fn tell_apart<'a>(
        &mut self,
        ways: impl Fn(&RouteKey) -> Option<&'a Set<(u32, IpAddr)>>,
    ) {
        self.own.tell_apart(ways);
    }

    /// As [`Observed::tell_apart`], of the place of which the kernel has just told all ways.
    pub(crate) fn tell_apart_at(&mut self, key: &RouteKey, ways: Option<&Set<(u32, IpAddr)>>) {
        self.own.tell_apart_at(key, ways);
    }

    /// Whether routes of others are beside one of ours, at the same place: whoever replaces one there may replace theirs.
    pub(crate) fn is_shared(&self, key: &RouteKey) -> bool {
        let is_default = (key.table, key.from) == (MAIN, None);
        let mut entries = self.entry_by_index.values();
        self.own.has_others(key)
            || is_default && entries.any(|entry| entry.routes.has_other(key.to, key.metric))
    }

    /// Returns the indexes of which anything is told.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = u32> {
        self.entry_by_index.keys().copied()
    }

    /// Whether a link of this index was told to be gone.
    pub(crate) fn was_gone(&self, index: u32) -> bool {
        self.gone.contains(&index)
    }

    /// Forgets which links were told to be gone: outside of a listing nobody asks, and there is no end of them.
    pub(crate) fn forget_gone(&mut self) {
        self.gone.clear();
    }

    /// Returns the kind of the link with this index.
    pub(crate) fn kind(&self, index: u32) -> Option<&str> {
        let link = self.entry_by_index.get(&index)?.link.as_ref()?;
        Some(&link.kind)
    }

    /// Returns the index of the link of this name.
    pub(crate) fn index_of(&self, name: &str) -> Option<u32> {
        let mut links = self.links();
        links
            .find(|link| *link.name == *name)
            .map(|link| link.index)
    }

    /// Whether a link has this hardware address.
    pub(crate) fn has_mac(&self, mac: Mac) -> bool {
        self.links().any(|link| link.mac == Some(mac))
    }

    fn links(&self) -> impl Iterator<Item = &LinkMessage> {
        let entries = self.entry_by_index.values();
        entries.filter_map(|entry| entry.link.as_deref())
    }

    /// Returns the facts of the link with this index; `None` until the link itself is told.
    pub(crate) fn facts(&self, index: u32) -> Option<LinkFacts> {
        let entry = self.entry_by_index.get(&index)?;
        let link = entry.link.as_ref()?;
        Some(LinkFacts {
            name: link.name.clone(),
            alt_names: link.alt_names.to_vec(),
            kind: link.kind.clone(),
            driver: link.driver.clone(),
            path: link.path.clone(),
            mac: link.mac,
            up: link.admin_up && link.carrier,
            loopback: link.loopback,
            multicast: link.multicast,
            arp: link.arp,
            port_of: link.port_of,
            addresses: entry
                .addresses
                .iter()
                .filter(|address| address.usability() == Usability::Usable)
                .map(|address| address.prefix)
                .collect(),
            lent4: entry.addresses.iter().find_map(|address| {
                match (address.prefix.address, address.valid_until()) {
                    (IpAddr::V4(v4), Some(_)) => Some(v4),
                    (IpAddr::V4(_), None) | (IpAddr::V6(_), _) => None,
                }
            }),
            default_route4: entry.routes.default_route4(),
            default_route6: entry.routes.default_route6(),
            // The rest is not the kernel's to tell.
            ..LinkFacts::default()
        })
    }

    /// Returns the default routes of a link that configurators of links have made, other than ours, and that no other link is part of.
    pub(crate) fn configured_defaults(
        &self,
        index: u32,
    ) -> impl Iterator<Item = (Prefix, DefaultRoute)> {
        let entry = self.entry_by_index.get(&index).into_iter();
        let theirs = entry.flat_map(|entry| entry.routes.of_configurators());
        theirs.filter(move |(to, route)| {
            let mut others = self.entry_by_index.iter().filter(|(of, _)| **of != index);
            !others.any(|(_, entry)| entry.routes.has_metric(*to, route.metric))
        })
    }

    /// Returns the links that have a default route of this metric, and who has made it.
    pub(crate) fn with_default(
        &self,
        to: Prefix,
        metric: u32,
    ) -> impl Iterator<Item = (u32, Protocol)> {
        let entries = self.entry_by_index.iter();
        entries.filter_map(move |(index, entry)| Some((*index, entry.routes.maker(to, metric)?)))
    }

    fn entry(&mut self, index: u32) -> &mut Entry {
        self.entry_by_index.entry(index).or_default()
    }

    fn link(&mut self, mut link: LinkMessage, touched: &mut Touched) {
        let index = link.index;
        match self.kinds.get(&link.kind) {
            Some(kind) => link.kind = Arc::clone(kind),
            None => {
                self.kinds.insert(Arc::clone(&link.kind));
            }
        }
        let entry = self.entry_by_index.entry(index).or_default();
        if entry.link.as_deref() == Some(&link) {
            return;
        }
        let before = entry.link.as_ref().map(|old| old.admin_up);
        if before.is_some_and(|before| before != link.admin_up) {
            touched.turned = Some((index, link.admin_up));
        }
        let was_up = before == Some(true);
        if was_up && !link.admin_up {
            // IPv4 never tells; IPv6 keeps silent under net.ipv6.route.skip_notify_on_dev_down. Both drop all.
            let routes = &mut entry.routes;
            touched.free(self.sourced.change(index, routes, Routes::clear));
            let lives = |index: u32, is_ipv4: bool| lives(&self.entry_by_index, index, is_ipv4);
            let gone = self.own.clear(index, Loss::Up(&lives));
            touched.items.extend(gone.into_iter().map(Item::Route));
        }
        self.entry(index).link = Some(Box::new(link));
        touched.indexes.push(index);
        let settings = [Setting::Up, Setting::Mtu, Setting::Mac];
        let settings = settings.map(|setting| Item::Setting(index, setting));
        touched.items.extend(settings);
    }

    fn link_gone(&mut self, index: u32, touched: &mut Touched) {
        if let Some(mut entry) = self.entry_by_index.remove(&index) {
            let routes = &mut entry.routes;
            touched.free(self.sourced.change(index, routes, Routes::clear));
            for address in entry.addresses {
                self.prefix_metrics.remove(&(index, address.prefix));
                self.attributes.remove(&(index, address.prefix));
            }
        }
        self.gone.insert(index);
        self.switches.retain(|(of, _), _| *of != index);
        touched.indexes.push(index);
        let gone = self.own.clear(index, Loss::Link);
        let fewer = self.own.thin_out(index);
        touched
            .items
            .extend(gone.into_iter().chain(fewer).map(Item::Route));
    }

    fn address(&mut self, message: &AddressMessage, now: Instant, touched: &mut Touched) {
        let index = message.index;
        let entry = self.entry_by_index.get(&index);
        let link = entry.and_then(|entry| entry.link.as_ref());
        // The kernel gives it to all that have no other.
        let is_name = |label: &AddressLabel| link.is_some_and(|link| *link.name == *label.as_str());
        let attributes = AddressAttributes {
            label: message.attributes.label.filter(|label| !is_name(label)),
            ..message.attributes
        };
        let address = ObservedAddress::new(message, now);
        let key = (index, address.prefix);
        match attributes == AddressAttributes::default() {
            true => self.attributes.remove(&key),
            false => self.attributes.insert(key, attributes),
        };
        match message.metric {
            0 => self.prefix_metrics.remove(&key),
            metric => self.prefix_metrics.insert(key, metric),
        };
        let addresses = &mut self.entry(index).addresses;
        match addresses.binary_search_by_key(&address.prefix, |it| it.prefix) {
            Ok(place) => {
                let before = std::mem::replace(&mut addresses[place], address);
                if before.usability() != address.usability() {
                    touched.indexes.push(index);
                }
            }
            Err(place) => {
                insert_exact(addresses, place, address);
                touched.indexes.push(index);
                if message.protocol == KERNELS_ADDRESS {
                    self.doubt(index, Switch::AcceptRa, touched);
                }
            }
        }
        touched.items.push(Item::Address(index, address.prefix));
    }

    fn address_gone(&mut self, index: u32, address: Prefix, touched: &mut Touched) {
        let Some(entry) = self.entry_by_index.get_mut(&index) else {
            return;
        };
        let place = entry
            .addresses
            .binary_search_by_key(&address, |it| it.prefix);
        let Ok(place) = place else {
            return;
        };
        entry.addresses.remove(place);
        self.prefix_metrics.remove(&(index, address));
        self.attributes.remove(&(index, address));
        touched.items.push(Item::Address(index, address));
        let is_link_local = matches!(address.address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let is_ipv4 = |left: &ObservedAddress| left.prefix.address.is_ipv4();
        if address.address.is_ipv4() && !entry.addresses.iter().any(is_ipv4) {
            let routes = &mut entry.routes;
            touched.free(self.sourced.change(index, routes, Routes::clear_ipv4));
            let lives = |index: u32, is_ipv4: bool| lives(&self.entry_by_index, index, is_ipv4);
            let gone = self.own.clear(index, Loss::Ipv4(&lives));
            touched.items.extend(gone.into_iter().map(Item::Route));
        }
        self.drop_source(address.address, touched);
        touched.indexes.push(index);
        // That IPv6 was switched off shows by this alone.
        if is_link_local {
            self.doubt(index, Switch::DisableIpv6, touched);
        }
    }

    /// Follows what becomes of the routes whose preferred source no link has.
    fn drop_source(&mut self, source: IpAddr, touched: &mut Touched) {
        let sourced = self.sourced.links(source);
        if sourced.is_empty() && !self.own.has_source(source) {
            return;
        }
        let held = self
            .entry_by_index
            .values()
            .flat_map(|entry| &entry.addresses)
            .any(|address| address.prefix.address == source);
        if held {
            return;
        }
        let own = self.own.forget_source(source);
        touched.items.extend(own.into_iter().map(Item::Route));
        for index in sourced {
            let Some(entry) = self.entry_by_index.get_mut(&index) else {
                continue;
            };
            let routes = &mut entry.routes;
            let remove = |routes: &mut Routes| routes.remove_source(source);
            touched.free(self.sourced.change(index, routes, remove));
            touched.indexes.push(index);
        }
    }

    fn insert_route(&mut self, route: &RouteMessage) {
        let entry = self.entry_by_index.entry(route.index).or_default();
        let insert = |routes: &mut Routes| routes.insert(route);
        self.sourced.change(route.index, &mut entry.routes, insert);
    }

    fn route_gone(&mut self, route: &RouteMessage) -> Vec<u32> {
        let Some(entry) = self.entry_by_index.get_mut(&route.index) else {
            return Vec::new();
        };
        let remove = |routes: &mut Routes| routes.remove(route);
        let routes = &mut entry.routes;
        if !self.sourced.change(route.index, routes, remove) {
            return Vec::new();
        }
        vec![route.index]
    }

    fn routes_replaced(&mut self, routes: &[RouteMessage], touched: &mut Touched) {
        let Some(first) = routes.first() else {
            return;
        };
        let key = RouteKey {
            table: MAIN,
            to: first.to,
            metric: first.route.metric,
            from: None,
        };
        let behind = self.own.behind_first(&key);
        let entries = self.entry_by_index.iter_mut();
        touched.indexes.extend(entries.filter_map(|(index, entry)| {
            if !entry.routes.has_metric(key.to, key.metric) {
                return None;
            }
            let stays = |gateway: Option<IpAddr>| {
                let mut hops = behind.iter().flat_map(|route| &route.hops);
                hops.any(|hop| (hop.index, hop.via) == (*index, gateway))
            };
            let remove = |routes: &mut Routes| routes.remove_metric(key.to, key.metric, stays);
            let removed = self.sourced.change(*index, &mut entry.routes, remove);
            removed.then_some(*index)
        }));
        for route in routes {
            self.insert_route(route);
            touched.indexes.push(route.index);
        }
        // Whether ours has been replaced says who has taken its place.
        self.own.forget_ways(&key);
    }
}

/// Whether the kernel lets routes leave by a link.
fn lives(entry_by_index: &Map<u32, Entry>, index: u32, is_ipv4: bool) -> bool {
    let Some(entry) = entry_by_index.get(&index) else {
        return false;
    };
    let mut addresses = entry.addresses.iter();
    entry.link.as_ref().is_some_and(|link| link.admin_up)
        && (!is_ipv4 || addresses.any(|address| address.prefix.address.is_ipv4()))
}

/// Returns when a number of seconds from now will be over; `None` for ever.
fn until(seconds: Option<u32>, now: Instant) -> Option<Instant> {
    seconds.map(|seconds| now + Duration::from_secs(seconds.into()))
}
