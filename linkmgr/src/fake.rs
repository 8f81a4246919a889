//! What would a kernel do? [`FakeKernel`]: links, addresses, routes and rules in memory, for tests and simulated worlds.
//!
//! It takes the requests of [`crate::request`] and tells the events of [`crate::kernel`], with the kernel's own silences: what
//! goes with a link that is taken down, with a last address, with a first address of a prefix. One suite of tests runs on it
//! and on the real one. It has no neighbours.

mod places;
mod settings;
mod tables;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use config::matcher::Mac;
use config::model::{
    AddressAttributes, AddressLabel, Hardware, LinkMode, PolicyRule, Prefix, RouteKind,
};
use config::time::Instant;
use policy::facts::DefaultRoute;
use policy::links::{RouteKey, Switch};

use crate::journal::AddressMarks;
use crate::kernel::{
    AddressMessage, KernelEvent, LinkMessage, NextHop, OURS, OwnRoute, RouteMessage, Usability,
};
use crate::request::{AddressRequest, KernelAnswer, KernelFault, KernelRequest};

const ENOENT: i32 = 2;
const ESRCH: i32 = 3;
const EBUSY: i32 = 16;
const EEXIST: i32 = 17;
const ENODEV: i32 = 19;
const EINVAL: i32 = 22;
const ERANGE: i32 = 34;
const EADDRNOTAVAIL: i32 = 99;
const ENETDOWN: i32 = 100;
const ENETUNREACH: i32 = 101;
const EHOSTUNREACH: i32 = 113;
/// The main table.
const MAIN: u32 = 254;

/// A kernel in memory.
#[derive(Debug, Clone, Default)]
pub struct FakeKernel {
    link_by_index: BTreeMap<u32, LinkMessage>,
    /// In the order in which they came: of IPv4 addresses of one prefix all but the first are secondary.
    addresses: Vec<(u32, FakeAddress)>,
    /// The first one of each place.
    route_by_key: BTreeMap<RouteKey, FakeRoute>,
    /// Those behind it, where there are any.
    behind: BTreeMap<RouteKey, Vec<FakeRoute>>,
    rules: Vec<(PolicyRule, u8)>,
    switches: BTreeMap<(String, Switch), i32>,
    /// Switches of cards that stay as they are.
    stubborn: BTreeMap<(String, Switch), Stubborn>,
    /// Links whose hardware address is changed while they are down, or not at all.
    held: BTreeSet<u32>,
    /// Whether an IPv4 address keeps the number that it was made with.
    keeps_numbers: bool,
    events: VecDeque<KernelEvent>,
    /// How many requests changed something, or tried to.
    writes: u64,
}

/// How a card's switch stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stubborn {
    /// The kernel takes the wish for later.
    Kept,
    /// The link does not let it be changed.
    Fixed,
}

/// An address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FakeAddress {
    /// The address.
    pub prefix: Prefix,
    /// Who made it.
    pub protocol: u8,
    /// Whether it may be used.
    pub usability: Usability,
    /// Until when new connections may begin with it.
    pub preferred_until: Option<Instant>,
    /// Until when it is there.
    pub valid_until: Option<Instant>,
    /// `IFA_F_MANAGETEMPADDR`.
    pub temporaries: bool,
    /// `IFA_F_NOPREFIXROUTE`.
    pub no_prefix_route: bool,
    /// `IFA_RT_PRIORITY`; 0 for the kernel's own.
    pub metric: u32,
    /// What else there is to know of it.
    pub attributes: AddressAttributes,
}

impl FakeAddress {
    /// Makes an address of somebody else, for ever.
    pub const fn foreign(prefix: Prefix) -> Self {
        Self {
            prefix,
            protocol: 0,
            usability: Usability::Usable,
            preferred_until: None,
            valid_until: None,
            temporaries: false,
            no_prefix_route: false,
            metric: 0,
            attributes: AddressAttributes {
                peer: None,
                label: None,
                scope: None,
                skips_dad: false,
            },
        }
    }
}

/// A route, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeRoute {
    /// The route; its lifetime is beside it.
    pub route: OwnRoute,
    /// Whose it is: [`OURS`] or another number.
    pub protocol: u8,
    /// Until when it is there.
    pub valid_until: Option<Instant>,
}

impl FakeRoute {
    fn made(route: &OwnRoute, protocol: u8, now: Instant) -> Self {
        Self {
            route: OwnRoute {
                valid: None,
                ..route.clone()
            },
            protocol,
            valid_until: until(route.valid, now),
        }
    }
}

impl FakeKernel {
    /// Takes the next event that the kernel tells.
    pub fn poll_event(&mut self) -> Option<KernelEvent> {
        self.events.pop_front()
    }

    /// Drops what was not read, as a full socket does.
    pub fn lose_events(&mut self) {
        self.events.clear();
    }

    /// Returns how many requests changed something, or tried to.
    pub const fn writes(&self) -> u64 {
        self.writes
    }

    /// Returns the links.
    pub const fn links(&self) -> &BTreeMap<u32, LinkMessage> {
        &self.link_by_index
    }

    /// Returns the addresses with their links' indexes, in the order in which they came.
    pub fn addresses(&self) -> &[(u32, FakeAddress)] {
        &self.addresses
    }

    /// Returns the routes that are used: of each table, destination and metric the first one.
    pub const fn routes(&self) -> &BTreeMap<RouteKey, FakeRoute> {
        &self.route_by_key
    }

    /// Returns the rules and whose they are.
    pub fn rules(&self) -> &[(PolicyRule, u8)] {
        &self.rules
    }

    /// Returns the switches that were ever set.
    pub const fn switches(&self) -> &BTreeMap<(String, Switch), i32> {
        &self.switches
    }

    /// Has it keep the number that an IPv4 address was made with, as before Linux 6.4.
    pub const fn make_older(&mut self) {
        self.keeps_numbers = true;
    }

    /// Returns which addresses it marks.
    pub const fn marks(&self) -> AddressMarks {
        match self.keeps_numbers {
            true => AddressMarks::Made,
            false => AddressMarks::All,
        }
    }

    /// Has a link's hardware address change only while it is down, as drivers of many cards want it.
    pub fn hold_mac(&mut self, index: u32) {
        self.held.insert(index);
    }

    /// Has a card's switch stay as it is, or (`None`) be as it is told again.
    pub fn make_stubborn(&mut self, link: &str, switch: Switch, how: Option<Stubborn>) {
        let key = (link.to_owned(), switch);
        match how {
            Some(how) => self.stubborn.insert(key, how),
            None => self.stubborn.remove(&key),
        };
    }

    fn tell_switch(&self, key: (String, Switch)) -> KernelAnswer {
        let value = self.switch(&key.0, key.1);
        match self.stubborn.get(&key) {
            Some(Stubborn::Fixed) => KernelAnswer::Fixed(value),
            Some(Stubborn::Kept) | None => KernelAnswer::Value(value),
        }
    }

    /// Sets a switch, as somebody else does.
    pub fn put_switch(&mut self, link: &str, switch: Switch, value: i32) {
        self.switches.insert((link.to_owned(), switch), value);
    }

    /// Returns a whole listing.
    pub fn listing(&self, now: Instant) -> Vec<KernelEvent> {
        let mut events = vec![KernelEvent::ListingBegins];
        let links = self.link_by_index.values().cloned();
        events.extend(links.map(KernelEvent::Link));
        for (index, address) in &self.addresses {
            events.push(KernelEvent::Address(self.message(*index, address, now)));
        }
        for key in self.route_by_key.keys() {
            events.extend(self.list_place(key, now));
        }
        let rules = self.rules.iter();
        events.extend(rules.map(|(rule, protocol)| tell_rule(rule, *protocol)));
        events.push(KernelEvent::ListingEnds);
        events
    }

    /// Does what is asked.
    pub fn handle_request(&mut self, request: &KernelRequest, now: Instant) -> KernelAnswer {
        self.writes += u64::from(!request.is_read());
        let done = match request {
            KernelRequest::SetUp { index, up } => self.set_up(*index, *up, now),
            KernelRequest::SetMtu { index, mtu } => self.set_mtu(*index, *mtu),
            KernelRequest::SetMac {
                index,
                mac,
                while_down,
            } => self.set_mac(*index, *mac, *while_down, now),
            KernelRequest::AddAddress(request) => self.add_address(request, now),
            KernelRequest::ReplaceAddress(request) => self.replace_address(request, now),
            KernelRequest::DeleteAddress { index, address, .. } => {
                self.delete_address(*index, address, true, now)
            }
            KernelRequest::AddRoute(route) => self.put_route(route, OURS, false, now),
            KernelRequest::ReplaceRoute(route) => self.put_route(route, OURS, true, now),
            KernelRequest::DeleteRoute(route) => self.delete_route(&route.key, OURS, now),
            KernelRequest::AddRule(rule) => self.add_rule(rule, OURS),
            KernelRequest::DeleteRule(rule) => self.delete_rule(rule, OURS),
            KernelRequest::ReadSwitch { link, switch } => {
                return self.tell_switch((link.to_string(), *switch));
            }
            KernelRequest::ReadPrefixRoute { index, prefix } => {
                let has_it = self.has_prefix_route(*index, prefix);
                return KernelAnswer::Value(has_it.into());
            }
            KernelRequest::SetSwitch {
                link,
                switch,
                value,
            } => {
                let key = (link.to_string(), *switch);
                if !self.stubborn.contains_key(&key) {
                    self.switches.insert(key.clone(), *value);
                }
                if switch.hardware().is_some() {
                    // A card is asked what has become of it.
                    return self.tell_switch(key);
                }
                Ok(())
            }
        };
        match done {
            Ok(()) => KernelAnswer::Done,
            Err(errno) => KernelAnswer::Failed(KernelFault { errno, text: None }),
        }
    }

    fn has_prefix_route(&self, index: u32, prefix: &Prefix) -> bool {
        let mut routes = self.all_routes().map(|it| &it.route);
        routes.any(|route| {
            route.key.to == prefix.network() && route.is_near() && route.leaves_by(index)
        })
    }

    /// Adds a link, or changes one as somebody else would.
    pub fn put_link(&mut self, link: LinkMessage) {
        let (index, mtu) = (link.index, link.mtu);
        self.link_by_index.insert(index, link.clone());
        self.events.push_back(KernelEvent::Link(link));
        self.hold_to(index, mtu);
    }

    /// Takes a link away, with all that is on it.
    pub fn remove_link(&mut self, index: u32, now: Instant) {
        let Some(gone) = self.link_by_index.remove(&index) else {
            return;
        };
        self.switches.retain(|(of, _), _| **of != *gone.name);
        // With one link IPv4 routes go whole, and without a word; IPv6 ones go on without it.
        let goes = |route: &OwnRoute| route.leaves_by(index);
        let is_shared = |route: &OwnRoute| route.hops.iter().any(|hop| hop.index != index);
        self.drop_routes(
            |route| goes(route) && is_shared(route) && route.key.to.address.is_ipv4(),
            now,
            false,
        );
        self.drop_routes(|route| goes(route) && !is_shared(route), now, true);
        for it in self.all_routes_mut() {
            it.route.hops.retain(|hop| hop.index != index);
            if let [only] = it.route.hops.as_mut_slice() {
                only.weight = 1;
            }
        }
        let gone = self.addresses.extract_if(.., |(of, _)| *of == index);
        let gone = gone.map(|(_, it)| it.prefix);
        let gone = gone.map(|address| KernelEvent::AddressGone { index, address });
        self.events.extend(gone.collect::<Vec<_>>());
        self.events.push_back(KernelEvent::LinkGone { index });
    }

    /// Adds an address as somebody else would.
    pub fn put_address(&mut self, index: u32, address: FakeAddress, now: Instant) {
        let is_same = |(of, there): &(u32, FakeAddress)| {
            *of == index && is_same_address(&there.prefix, &address.prefix)
        };
        match self.addresses.iter().position(is_same) {
            Some(place) => self.addresses[place].1 = address,
            None => self.addresses.push((index, address)),
        }
        self.tell_address(index, &address.prefix, now);
    }

    /// Takes an address away as somebody else would.
    pub fn take_address(&mut self, index: u32, address: &Prefix, now: Instant) {
        let _was_there = self.delete_address(index, address, false, now).is_ok();
    }

    /// Adds a route, or replaces one, as somebody else would; returns whether the kernel took it.
    pub fn put_foreign_route(&mut self, route: &OwnRoute, protocol: u8, now: Instant) -> bool {
        self.put_route(route, protocol, true, now).is_ok()
    }

    /// Adds a rule as somebody else would.
    pub fn put_foreign_rule(&mut self, rule: &PolicyRule, protocol: u8) {
        let _was_absent = self.add_rule(rule, protocol).is_ok();
    }

    /// Takes a rule away as somebody else would.
    pub fn take_rule(&mut self, rule: &PolicyRule, protocol: u8) {
        let _was_there = self.delete_rule(rule, protocol).is_ok();
    }

    /// Takes the first route of a place away as somebody else would.
    pub fn take_route(&mut self, key: &RouteKey, now: Instant) {
        let _was_there = self.take_where(key, |_| true, now);
    }

    /// Takes away what is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        let is_over = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        let over: Vec<(u32, Prefix)> = self
            .addresses
            .iter()
            .filter(|(_, address)| is_over(address.valid_until))
            .map(|(index, address)| (*index, address.prefix))
            .collect();
        for (index, prefix) in over {
            let promote = self.promotes(index);
            let _was_there = self.delete_address(index, &prefix, promote, now).is_ok();
        }
        let over = self.all_routes();
        let over = over.filter(|route| is_over(route.valid_until));
        for route in over.cloned().collect::<Vec<_>>() {
            self.take_this_route(&route, now);
        }
    }

    /// Whether addresses of a link stay when the first one of their prefix goes by itself.
    fn promotes(&self, index: u32) -> bool {
        let Some(link) = self.link_by_index.get(&index) else {
            return false;
        };
        let key = (link.name.to_string(), Switch::Promote4);
        self.switches.get(&key).is_some_and(|value| *value != 0)
    }

    fn tell_address(&mut self, index: u32, prefix: &Prefix, now: Instant) {
        let mut addresses = self.addresses.iter();
        let address = addresses.find(|(of, there)| *of == index && there.prefix == *prefix);
        let Some((_, address)) = address else {
            return;
        };
        let message = self.message(index, address, now);
        self.events.push_back(KernelEvent::Address(message));
    }

    fn message(&self, index: u32, address: &FakeAddress, now: Instant) -> AddressMessage {
        // The kernel calls an IPv4 address by its link's name where nobody calls it otherwise.
        let link = self.link_by_index.get(&index);
        let link = link.filter(|_| address.prefix.address.is_ipv4());
        let name = || AddressLabel::new(&link?.name);
        AddressMessage {
            index,
            address: address.prefix,
            usability: address.usability,
            preferred: address.preferred_until.map(|until| left(until, now)),
            valid: address.valid_until.map(|until| left(until, now)),
            protocol: address.protocol,
            temporaries: address.temporaries,
            no_prefix_route: address.no_prefix_route,
            secondary: self.is_secondary(index, &address.prefix),
            metric: address.metric,
            attributes: AddressAttributes {
                label: address.attributes.label.or_else(name),
                ..address.attributes
            },
        }
    }
}

/// Says what the monitor says of a route: default routes of the main table, and ours.
fn tell_route(route: &FakeRoute, now: Instant, is_there: bool) -> Vec<KernelEvent> {
    let mut events = Vec::new();
    let FakeRoute {
        route: told,
        protocol,
        valid_until,
    } = route;
    let key = told.key;
    if key.table == MAIN
        && key.to.length <= 1
        && told.kind == RouteKind::Unicast
        && !told.hops.is_empty()
    {
        let messages = told.hops.iter().map(|hop| RouteMessage {
            index: hop.index,
            to: key.to,
            route: DefaultRoute {
                metric: key.metric,
                gateway: hop.via,
            },
            source: told.source,
            protocol: *protocol,
        });
        match is_there {
            true => events.push(KernelEvent::RoutesReplaced(messages.collect())),
            false => events.extend(messages.map(KernelEvent::RouteGone)),
        }
    }
    if *protocol == OURS {
        let told = OwnRoute {
            valid: valid_until.map(|until| left(until, now)),
            ..told.clone()
        };
        events.push(match is_there {
            true => KernelEvent::OwnRoute(told),
            false => KernelEvent::OwnRouteGone(told),
        });
    }
    events
}

/// Says what the monitor says of a rule.
fn tell_rule(rule: &PolicyRule, protocol: u8) -> KernelEvent {
    let rule = rule.clone();
    match protocol {
        OURS => KernelEvent::Rule(rule),
        _ => KernelEvent::RuleTaken { rule, protocol },
    }
}

fn left(until: Instant, now: Instant) -> u32 {
    u32::try_from(until.since(now).as_secs()).unwrap_or(u32::MAX)
}

fn until(seconds: Option<u32>, now: Instant) -> Option<Instant> {
    seconds.map(|seconds| now + Duration::from_secs(seconds.into()))
}

/// Whether the kernel takes two addresses for the same: IPv6 ones whatever the length.
fn is_same_address(one: &Prefix, other: &Prefix) -> bool {
    one.address == other.address && (one.length == other.length || one.address.is_ipv6())
}

fn contains(prefix: &Prefix, address: IpAddr) -> bool {
    let other = Prefix {
        address,
        length: prefix.length,
    };
    prefix.address.is_ipv4() == address.is_ipv4() && prefix.network() == other.network()
}

fn default_of(switch: Switch) -> i32 {
    match switch {
        Switch::AcceptRa => 1,
        Switch::Mtu6 => 1500,
        Switch::HopLimit6 => 64,
        Switch::Reachable6 => 30_000,
        Switch::Retransmit6 => 1_000,
        Switch::Hardware(Hardware::Mode) => LinkMode::Negotiated.value(),
        Switch::Hardware(Hardware::Wake) => 0,
        Switch::Hardware(Hardware::Offload(_)) => 1,
        Switch::UseTempaddr
        | Switch::LinkLocal6
        | Switch::DisableIpv6
        | Switch::Forwarding6
        | Switch::ForceForwarding6
        | Switch::Forwarding4
        | Switch::Promote4 => 0,
    }
}
