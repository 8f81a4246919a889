//! What do these netlink bytes say? [`parse_message`], from bytes to [`KernelEvent`]s, without panics.
//!
//! Only the few attributes that facts are made of are read, so that a kernel with new attributes is no surprise. Routes
//! that are no default route are passed over before anything is built from them. Nothing here reads sysfs: the kind of a
//! wireless link is `ethernet` as far as netlink tells.

pub(crate) mod address;
pub(crate) mod own_route;
pub(crate) mod row;
pub(crate) mod rule;
mod switches;
pub(crate) mod verdict;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;

use config::kind::{LinkKind, Parent};
use config::matcher::Mac;
use config::model::Prefix;
use linkmgr::kernel::OwnRoute;
use linkmgr::{KernelEvent, KernelFault, LinkMessage, RouteMessage};
use policy::facts::DefaultRoute;
use row::Row;
use verdict::{DONE, ERROR, verdict};

/// Length of `struct nlmsghdr`.
pub(crate) const HEADER_LENGTH: usize = 16;
const LINK_HEADER_LENGTH: usize = 16;
const ROUTE_HEADER_LENGTH: usize = 12;
const NEXT_HOP_HEADER_LENGTH: usize = 8;
const ATTRIBUTE_HEADER_LENGTH: usize = 4;
/// The bits of an attribute's kind; the others are flags.
const ATTRIBUTE_KIND: u16 = 0x3fff;
/// `RTM_NEWNETCONF`.
const NEW_NETCONF: u16 = 80;

/// Length of the longest destination that is told: 0, or 1 for half of everywhere.
pub(crate) const LONGEST_DESTINATION: u8 = 1;

const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BOND_SLAVE_PERM_HWADDR: u16 = 4;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_PERM_ADDRESS: u16 = 54;
const IFLA_PARENT_DEV_NAME: u16 = 56;
const IFLA_PARENT_DEV_BUS_NAME: u16 = 57;
const IFLA_WIRELESS: u16 = 11;

// RFC 2863 §6 as in linux/if.h: not present, down, lower layer down.
const OPERATIONAL_STATES_DOWN: [u8; 3] = [1, 2, 3];

/// Kinds of links that have no `IFLA_INFO_KIND`, by `ARPHRD_*`.
const KIND_BY_HARDWARE: [(u16, &str); 7] = [
    (libc::ARPHRD_ETHER, "ethernet"),
    (libc::ARPHRD_LOOPBACK, "loopback"),
    (libc::ARPHRD_INFINIBAND, "infiniband"),
    (libc::ARPHRD_PPP, "ppp"),
    (libc::ARPHRD_IEEE80211, "wifi"),
    (libc::ARPHRD_IEEE80211_PRISM, "wifi"),
    (libc::ARPHRD_IEEE80211_RADIOTAP, "wifi"),
];

/// Reads one datagram of an rtnetlink socket: any number of messages, those of no interest or no sense left out.
pub fn parse_message(bytes: &[u8]) -> Vec<KernelEvent> {
    let mut events = Vec::new();
    parse_into(bytes, &mut events);
    events
}

/// How a datagram of a listing ends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ending {
    /// The listing is complete, or has failed for this.
    pub(crate) done: Option<Result<(), KernelFault>>,
    /// The tables changed meanwhile: something may be missing (`NLM_F_DUMP_INTR`).
    pub(crate) interrupted: bool,
}

/// As [`parse_message`], and tells how far a listing is.
pub(crate) fn parse_into(bytes: &[u8], events: &mut Vec<KernelEvent>) -> Ending {
    parse_rows(bytes, None, events)
}

/// As [`parse_into`], and tells of the routes of others that have one place with one of ours: in a listing they follow one another.
pub(crate) fn parse_rows(
    mut bytes: &[u8],
    mut row: Option<&mut Row>,
    events: &mut Vec<KernelEvent>,
) -> Ending {
    let mut ending = Ending::default();
    while let Some(message) = Message::split(&mut bytes) {
        ending.interrupted |= i32::from(message.flags) & libc::NLM_F_DUMP_INTR != 0;
        match message.kind {
            DONE | ERROR => ending.done = Some(message.verdict()),
            libc::RTM_NEWLINK => {
                events.extend(link(message.body));
                events.extend(switches::of_link(message.body));
                events.extend(switches::of_ipv6(message.body));
            }
            NEW_NETCONF => events.extend(switches::notice(message.body)),
            libc::RTM_DELLINK => events.extend(link_gone(message.body)),
            libc::RTM_NEWADDR => events.extend(address::there(message.body)),
            libc::RTM_DELADDR => events.extend(address::gone(message.body)),
            libc::RTM_NEWROUTE => {
                routes_there(message.body, message.flags, events);
                events.extend(own_route::parse(message.body).map(KernelEvent::OwnRoute));
                if let Some(row) = &mut row {
                    row.take(message.body, events);
                }
            }
            libc::RTM_DELROUTE => {
                let gone = routes(message.body).into_iter();
                events.extend(gone.map(KernelEvent::RouteGone));
                let theirs = own_route::beside(message.body);
                events.extend(theirs.map(KernelEvent::PlaceLeft));
                events.extend(own_route::parse(message.body).map(KernelEvent::OwnRouteGone));
            }
            libc::RTM_NEWRULE => events.extend(rule::there(message.body)),
            libc::RTM_DELRULE => events.extend(rule::gone(message.body)),
            _ => {}
        }
    }
    ending
}

/// As [`parse_into`], of routes whoever made them, each with its number.
pub(crate) fn routes_into(mut bytes: &[u8], routes: &mut Vec<(u8, OwnRoute)>) -> Ending {
    let mut ending = Ending::default();
    while let Some(message) = Message::split(&mut bytes) {
        ending.interrupted |= i32::from(message.flags) & libc::NLM_F_DUMP_INTR != 0;
        match message.kind {
            DONE | ERROR => ending.done = Some(message.verdict()),
            libc::RTM_NEWROUTE => routes.extend(own_route::with_number(message.body)),
            _ => {}
        }
    }
    ending
}

struct Message<'a> {
    kind: u16,
    flags: u16,
    body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Takes the first message off `bytes`; `None` at the end and where the lengths make no sense.
    fn split(bytes: &mut &'a [u8]) -> Option<Self> {
        let length = usize::try_from(word(bytes, 0)?).ok()?;
        let kind = half(bytes, 4)?;
        let flags = half(bytes, 6)?;
        let body = bytes.get(HEADER_LENGTH..length)?;
        *bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Self { kind, flags, body })
    }

    fn verdict(&self) -> Result<(), KernelFault> {
        verdict(self.kind, self.flags, self.body)
    }
}

fn link(body: &[u8]) -> Option<KernelEvent> {
    let (header, attributes) = body.split_at_checked(LINK_HEADER_LENGTH)?;
    let index = link_index(header)?;
    let hardware = half(header, 2)?;
    let flags = word(header, 8)?.cast_signed();
    let mut message = LinkMessage {
        index,
        kind: kind_of_hardware(hardware).into(),
        admin_up: flags & libc::IFF_UP != 0,
        carrier: flags & libc::IFF_LOWER_UP != 0,
        loopback: flags & libc::IFF_LOOPBACK != 0,
        multicast: flags & (libc::IFF_MULTICAST | libc::IFF_POINTOPOINT | libc::IFF_LOOPBACK)
            == libc::IFF_MULTICAST,
        arp: flags & (libc::IFF_NOARP | libc::IFF_POINTOPOINT | libc::IFF_LOOPBACK) == 0,
        ..LinkMessage::default()
    };
    let (mut parent, mut bus) = (None, None);
    let mut before_bond = None;
    let mut is_elsewhere = false;
    for (kind, value) in attributes_of(attributes) {
        match kind {
            // An event of the old wireless extensions: not a whole description of the link.
            IFLA_WIRELESS => return None,
            libc::IFLA_IFNAME => message.name = name_of_link(value)?,
            libc::IFLA_MTU => message.mtu = word(value, 0)?,
            libc::IFLA_MASTER => message.port_of = word(value, 0).and_then(NonZeroU32::new),
            // Some kinds tell of it among their own attributes, which come later.
            libc::IFLA_LINK => message.parent = word(value, 0).and_then(NonZeroU32::new),
            IFLA_LINK_NETNSID => is_elsewhere = true,
            libc::IFLA_ADDRESS => message.mac = value.try_into().ok().map(Mac),
            IFLA_PERM_ADDRESS => message.permanent_mac = value.try_into().ok().map(Mac),
            libc::IFLA_OPERSTATE => {
                message.carrier &= !value
                    .first()
                    .is_some_and(|state| OPERATIONAL_STATES_DOWN.contains(state));
            }
            libc::IFLA_LINKINFO => {
                let kind = attributes_of(value).find(|(kind, _)| *kind == libc::IFLA_INFO_KIND);
                if let Some(kind) = kind.and_then(|(_, value)| text(value)) {
                    message.kind = kind;
                }
                before_bond = mac_before_bond(value);
                message.parent = parent_by_kind(value).or(message.parent);
            }
            libc::IFLA_PROP_LIST => {
                message.alt_names = attributes_of(value)
                    .filter(|(kind, _)| *kind == libc::IFLA_ALT_IFNAME)
                    .filter_map(|(_, value)| text(value))
                    .collect();
            }
            IFLA_PARENT_DEV_NAME => parent = text(value),
            IFLA_PARENT_DEV_BUS_NAME => bus = text(value),
            _ => {}
        }
    }
    if message.name.is_empty() {
        return None;
    }
    message.permanent_mac = message.permanent_mac.or(before_bond);
    // In another namespace it is an index of that one, wherever it is told.
    message.parent = message
        .parent
        .filter(|parent| !is_elsewhere && parent.get() != index);
    if let (Some(parent), Some("pci")) = (parent, bus.as_deref()) {
        message.path = Some(format!("pci-{parent}").into());
    }
    Some(KernelEvent::Link(message))
}

/// Returns the link that a tunnel's packets leave by, where its kind tells of it in its own attributes.
fn parent_by_kind(info: &[u8]) -> Option<NonZeroU32> {
    let find = |wanted: u16| attributes_of(info).find(|(kind, _)| *kind == wanted);
    let (_, kind) = find(libc::IFLA_INFO_KIND)?;
    let Parent::Attribute(number) = LinkKind::of_info(&text(kind)?)?.parent else {
        return None;
    };
    let (_, data) = find(libc::IFLA_INFO_DATA)?;
    let mut attributes = attributes_of(data);
    let (_, value) = attributes.find(|(kind, _)| *kind == number)?;
    word(value, 0).and_then(NonZeroU32::new)
}

/// Returns the hardware address that a port of a bond had before: all ports have the bond's.
fn mac_before_bond(info: &[u8]) -> Option<Mac> {
    let find = |wanted: u16| attributes_of(info).find(|(kind, _)| *kind == wanted);
    let (_, kind) = find(IFLA_INFO_SLAVE_KIND)?;
    let (_, data) = find(IFLA_INFO_SLAVE_DATA).filter(|_| text(kind).as_deref() == Some("bond"))?;
    let mut attributes = attributes_of(data);
    let (_, value) = attributes.find(|(kind, _)| *kind == IFLA_BOND_SLAVE_PERM_HWADDR)?;
    value.try_into().ok().map(Mac)
}

fn link_gone(body: &[u8]) -> Option<KernelEvent> {
    let header = body.get(..LINK_HEADER_LENGTH)?;
    Some(KernelEvent::LinkGone {
        index: link_index(header)?,
    })
}

/// Returns the index in `struct ifinfomsg`; `None` in messages about bridge ports (`AF_BRIDGE`), which say that a link
/// has left its bridge, not that it is gone.
fn link_index(header: &[u8]) -> Option<u32> {
    let family = *header.first()?;
    if i32::from(family) != libc::AF_UNSPEC {
        return None;
    }
    word(header, 4).filter(|index| *index != 0)
}

fn kind_of_hardware(hardware: u16) -> &'static str {
    KIND_BY_HARDWARE
        .iter()
        .find_map(|(number, kind)| (*number == hardware).then_some(*kind))
        .unwrap_or("other")
}

fn routes_there(body: &[u8], flags: u16, events: &mut Vec<KernelEvent>) {
    let routes = routes(body);
    let has = |flag: libc::c_int| i32::from(flags) & flag != 0;
    let replaces = has(libc::NLM_F_REPLACE);
    // The kernel says of a route that has its place to itself that it has.
    let is_beside = has(libc::NLM_F_CREATE) && !has(libc::NLM_F_EXCL);
    if replaces {
        if !routes.is_empty() {
            events.push(KernelEvent::RoutesReplaced(routes));
        }
        let theirs = own_route::of_other(body);
        events.extend(theirs.map(KernelEvent::PlaceTaken));
        return;
    }
    events.extend(routes.into_iter().map(KernelEvent::Route));
    if is_beside {
        let is_first = !has(libc::NLM_F_APPEND);
        let theirs = own_route::beside(body);
        let shared = |theirs| KernelEvent::PlaceShared { theirs, is_first };
        events.extend(theirs.map(shared));
    }
}

/// Reads a route: one message for each next hop, none when it is no default route.
fn routes(body: &[u8]) -> Vec<RouteMessage> {
    default_routes(body).unwrap_or_default()
}

fn default_routes(body: &[u8]) -> Option<Vec<RouteMessage>> {
    let (header, attributes) = body.split_at_checked(ROUTE_HEADER_LENGTH)?;
    let [
        family,
        length,
        from_length,
        service,
        table,
        protocol,
        _,
        kind,
        ..,
    ] = *header
    else {
        return None;
    };
    // Routes for some sources or some types of service are no default routes.
    let is_plain = from_length == 0 && service == 0 && kind == libc::RTN_UNICAST;
    if length > LONGEST_DESTINATION || table != libc::RT_TABLE_MAIN || !is_plain {
        return None;
    }
    if word(header, 8)? & libc::RTM_F_CLONED != 0 {
        return None;
    }
    let mut to = unspecified(family)?;
    let (mut index, mut metric, mut gateway, mut source, mut hops) = (None, 0, None, None, None);
    for (kind, value) in attributes_of(attributes) {
        match kind {
            libc::RTA_DST => to = ip(family, value)?,
            libc::RTA_OIF => index = word(value, 0),
            libc::RTA_PRIORITY => metric = word(value, 0)?,
            libc::RTA_GATEWAY => gateway = ip(family, value),
            libc::RTA_VIA => gateway = via(value),
            libc::RTA_PREFSRC => source = ip(family, value),
            libc::RTA_MULTIPATH => hops = Some(value),
            _ => {}
        }
    }
    let to = prefix(to, length)?;
    let message = |index, gateway| RouteMessage {
        index,
        to,
        route: DefaultRoute { metric, gateway },
        source,
        protocol,
    };
    Some(match (hops, index) {
        (Some(hops), _) => next_hops(family, hops)
            .map(|(index, gateway)| message(index, gateway))
            .collect(),
        (None, Some(index)) => vec![message(index, gateway)],
        (None, None) => Vec::new(),
    })
}

/// Walks the `struct rtnexthop`s of `RTA_MULTIPATH`: link and gateway of each.
fn next_hops(family: u8, mut hops: &[u8]) -> impl Iterator<Item = (u32, Option<IpAddr>)> {
    std::iter::from_fn(move || {
        let length = usize::from(half(hops, 0)?);
        let index = word(hops, 4)?;
        let attributes = hops.get(NEXT_HOP_HEADER_LENGTH..length)?;
        hops = hops.get(length.next_multiple_of(4)..).unwrap_or_default();
        let gateway = attributes_of(attributes).find_map(|(kind, value)| match kind {
            libc::RTA_GATEWAY => ip(family, value),
            libc::RTA_VIA => via(value),
            _ => None,
        });
        Some((index, gateway))
    })
}

/// Reads `struct rtvia`: a gateway of the other family (RFC 5549).
fn via(value: &[u8]) -> Option<IpAddr> {
    let family = u8::try_from(half(value, 0)?).ok()?;
    ip(family, value.get(2..)?)
}

/// Walks attributes, as kind and value, up to the first whose length makes no sense.
pub(crate) fn attributes_of(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(half(bytes, 0)?);
        let kind = half(bytes, 2)? & ATTRIBUTE_KIND;
        let value = bytes.get(ATTRIBUTE_HEADER_LENGTH..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    match i32::from(family) {
        libc::AF_INET => Some(IpAddr::from(<[u8; 4]>::try_from(value).ok()?)),
        libc::AF_INET6 => Some(IpAddr::from(<[u8; 16]>::try_from(value).ok()?)),
        _ => None,
    }
}

fn unspecified(family: u8) -> Option<IpAddr> {
    match i32::from(family) {
        libc::AF_INET => Some(Ipv4Addr::UNSPECIFIED.into()),
        libc::AF_INET6 => Some(Ipv6Addr::UNSPECIFIED.into()),
        _ => None,
    }
}

fn prefix(address: IpAddr, length: u8) -> Option<Prefix> {
    let longest = if address.is_ipv4() { 32 } else { 128 };
    (length <= longest).then_some(Prefix { address, length })
}

/// Reads a text that ends with NUL.
pub(crate) fn text(value: &[u8]) -> Option<Arc<str>> {
    std::str::from_utf8(before_nul(value)?).ok().map(Into::into)
}

/// Reads the name of a link: any octets are good for the kernel. What is no UTF-8 is shown as U+FFFD, and the link is known by its index.
fn name_of_link(value: &[u8]) -> Option<Arc<str>> {
    Some(String::from_utf8_lossy(before_nul(value)?).into())
}

fn before_nul(value: &[u8]) -> Option<&[u8]> {
    let end = value.iter().position(|octet| *octet == 0);
    value.get(..end.unwrap_or(value.len()))
}

pub(crate) fn half(bytes: &[u8], offset: usize) -> Option<u16> {
    let octets = bytes.get(offset..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*octets))
}

pub(crate) fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    let octets = bytes.get(offset..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*octets))
}

#[cfg(test)]
mod tests;
