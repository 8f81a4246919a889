//! How is a request written for the kernel? [`messages`]: [`KernelRequest`]s to rtnetlink messages.
//!
//! What goes by other ways than rtnetlink (files below `/proc/sys`) has no message.

use std::net::{IpAddr, Ipv4Addr};

use config::model::{Hop, PolicyRule, Prefix, RouteKind};
use linkmgr::KernelRequest;
use linkmgr::kernel::{OURS, OwnRoute};
use linkmgr::request::AddressRequest;
use policy::facts::Preference;

use crate::message::address::{FOR_EVER, IFA_PROTO, MANAGE_TEMPORARIES, NO_PREFIX_ROUTE};
use crate::message::own_route::{ON_LINK, RTA_EXPIRES, RTA_PREF, RTAX_MTU};
use crate::message::rule;

/// `RT_SCOPE_*`.
const EVERYWHERE: u8 = 0;
const LINK: u8 = 253;
const HOST: u8 = 254;
const NOWHERE: u8 = 255;
/// `RTA_NH_ID` and others are not used; `RTA_VIA` has a family before the address.
const IFA_FLAGS: u16 = 8;
/// An attribute that has others in it.
const NESTED: u16 = 0x8000;
/// The longest prefix that has a broadcast address (RFC 3021).
const LONGEST_WITH_BROADCAST: u8 = 30;

/// One message, without its sequence number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    octets: Vec<u8>,
}

impl Message {
    fn new(kind: u16, flags: libc::c_int, body: &[u8]) -> Self {
        let flags =
            u16::try_from(flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK).unwrap_or_default();
        let mut octets = vec![0; 4];
        octets.extend(kind.to_ne_bytes());
        octets.extend(flags.to_ne_bytes());
        octets.extend([0; 8]);
        octets.extend(body);
        Self { octets }
    }

    /// Returns the whole message with its length and this number.
    pub(crate) fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.octets.len()).unwrap_or_default();
        self.octets.splice(..4, length.to_ne_bytes());
        self.octets.splice(8..12, sequence.to_ne_bytes());
        self.octets.resize(self.octets.len().next_multiple_of(4), 0);
        self.octets
    }

    fn put(mut self, kind: u16, value: &[u8]) -> Self {
        put(&mut self.octets, kind, value);
        self
    }

    fn put_word(self, kind: u16, value: u32) -> Self {
        self.put(kind, &value.to_ne_bytes())
    }

    fn put_address(self, kind: u16, address: IpAddr) -> Self {
        self.put(kind, &octets(address))
    }
}

/// Returns the messages that make up a request, to be sent in this order; none for what goes another way.
pub(crate) fn messages(request: &KernelRequest) -> Vec<Message> {
    match request {
        KernelRequest::SetUp { index, up } => vec![set_up(*index, *up)],
        KernelRequest::SetMtu { index, mtu } => {
            vec![link(*index, 0, 0).put_word(libc::IFLA_MTU, *mtu)]
        }
        KernelRequest::SetMac {
            index,
            mac,
            while_down,
        } => {
            let set = link(*index, 0, 0).put(libc::IFLA_ADDRESS, &mac.0);
            match while_down {
                true => vec![set_up(*index, false), set, set_up(*index, true)],
                false => vec![set],
            }
        }
        KernelRequest::AddAddress(wanted) => vec![address(wanted, libc::NLM_F_EXCL)],
        KernelRequest::ReplaceAddress(wanted) => vec![address(wanted, libc::NLM_F_REPLACE)],
        KernelRequest::DeleteAddress { index, address, .. } => {
            vec![delete_address(*index, *address)]
        }
        KernelRequest::AddRoute(wanted) => {
            vec![route(
                libc::RTM_NEWROUTE,
                wanted,
                libc::NLM_F_CREATE | libc::NLM_F_EXCL,
            )]
        }
        KernelRequest::ReplaceRoute(wanted) => {
            vec![route(
                libc::RTM_NEWROUTE,
                wanted,
                libc::NLM_F_CREATE | libc::NLM_F_REPLACE,
            )]
        }
        KernelRequest::DeleteRoute(own) => vec![route(libc::RTM_DELROUTE, own, 0)],
        KernelRequest::AddRule(wanted) => {
            vec![policy_rule(
                libc::RTM_NEWRULE,
                wanted,
                libc::NLM_F_CREATE | libc::NLM_F_EXCL,
            )]
        }
        KernelRequest::DeleteRule(own) => vec![policy_rule(libc::RTM_DELRULE, own, 0)],
        KernelRequest::ReadSwitch { .. } | KernelRequest::SetSwitch { .. } => Vec::new(),
    }
}

/// `struct ifinfomsg`.
fn link(index: u32, flags: u32, change: u32) -> Message {
    let mut body = vec![0; 4];
    body.extend(index.to_ne_bytes());
    body.extend(flags.to_ne_bytes());
    body.extend(change.to_ne_bytes());
    Message::new(libc::RTM_NEWLINK, 0, &body)
}

fn set_up(index: u32, up: bool) -> Message {
    let bit = libc::IFF_UP.cast_unsigned();
    link(index, if up { bit } else { 0 }, bit)
}

/// `struct ifaddrmsg`.
fn address_header(index: u32, address: Prefix, scope: u8) -> Vec<u8> {
    let mut body = vec![family(address.address), address.length, 0, scope];
    body.extend(index.to_ne_bytes());
    body
}

fn address(wanted: &AddressRequest, flags: libc::c_int) -> Message {
    let AddressRequest {
        index,
        address,
        preferred,
        valid,
        temporaries,
        no_prefix_route,
    } = *wanted;
    let body = address_header(index, address, scope_of(address.address));
    let mut message = Message::new(libc::RTM_NEWADDR, flags | libc::NLM_F_CREATE, &body)
        .put_address(libc::IFA_LOCAL, address.address)
        .put_address(libc::IFA_ADDRESS, address.address);
    if let Some(broadcast) = broadcast(address) {
        message = message.put_address(libc::IFA_BROADCAST, broadcast.into());
    }
    let mut bits = 0;
    if temporaries {
        bits |= MANAGE_TEMPORARIES;
    }
    if no_prefix_route {
        bits |= NO_PREFIX_ROUTE;
    }
    let mut lifetimes = Vec::with_capacity(16);
    lifetimes.extend(preferred.unwrap_or(FOR_EVER).to_ne_bytes());
    lifetimes.extend(valid.unwrap_or(FOR_EVER).to_ne_bytes());
    lifetimes.extend([0; 8]);
    message
        .put_word(IFA_FLAGS, bits)
        .put(libc::IFA_CACHEINFO, &lifetimes)
        .put(IFA_PROTO, &[OURS])
}

fn delete_address(index: u32, address: Prefix) -> Message {
    let body = address_header(index, address, EVERYWHERE);
    Message::new(libc::RTM_DELADDR, 0, &body)
        .put_address(libc::IFA_LOCAL, address.address)
        .put_address(libc::IFA_ADDRESS, address.address)
}

/// How far an IPv4 address reaches; the kernel finds it itself for IPv6.
fn scope_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(v4) if v4.is_loopback() => HOST,
        IpAddr::V4(v4) if v4.is_link_local() => LINK,
        IpAddr::V4(_) | IpAddr::V6(_) => EVERYWHERE,
    }
}

fn broadcast(prefix: Prefix) -> Option<Ipv4Addr> {
    let IpAddr::V4(address) = prefix.address else {
        return None;
    };
    if prefix.length > LONGEST_WITH_BROADCAST || address.is_loopback() {
        return None;
    }
    let host = u32::MAX.checked_shr(u32::from(prefix.length)).unwrap_or(0);
    Some(Ipv4Addr::from_bits(address.to_bits() | host))
}

/// `struct rtmsg`.
fn route(kind: u16, wanted: &OwnRoute, flags: libc::c_int) -> Message {
    let OwnRoute {
        key,
        index,
        kind: becomes,
        via,
        on_link,
        source,
        mtu,
        preference,
        valid,
    } = wanted;
    let is_ipv6 = key.to.address.is_ipv6();
    let is_unicast = *becomes == RouteKind::Unicast;
    let scope = match (kind, is_ipv6) {
        // Whatever its scope is.
        (libc::RTM_DELROUTE, false) => NOWHERE,
        (_, false) if is_unicast && via.is_empty() => LINK,
        _ => EVERYWHERE,
    };
    let table = u8::try_from(key.table).unwrap_or(libc::RT_TABLE_COMPAT);
    let mut body = vec![
        family(key.to.address),
        key.to.length,
        0,
        0,
        table,
        OURS,
        scope,
        route_type(*becomes),
    ];
    let bits = if *on_link && via.len() < 2 {
        u32::from(ON_LINK)
    } else {
        0
    };
    body.extend(bits.to_ne_bytes());
    let mut message = Message::new(kind, flags, &body).put_word(libc::RTA_TABLE, key.table);
    if key.to.length > 0 {
        message = message.put_address(libc::RTA_DST, key.to.address);
    }
    message = message.put_word(libc::RTA_PRIORITY, key.metric);
    match (via.as_slice(), index) {
        ([], Some(index)) if is_unicast => message = message.put_word(libc::RTA_OIF, *index),
        ([hop], Some(index)) => {
            let (attribute, value) = gateway(is_ipv6, hop.via);
            message = message
                .put_word(libc::RTA_OIF, *index)
                .put(attribute, &value);
        }
        ([], _) | ([_], None) => {}
        (hops, index) => {
            let value = multipath(is_ipv6, hops, index.unwrap_or_default(), *on_link);
            message = message.put(libc::RTA_MULTIPATH, &value);
        }
    }
    if let Some(source) = source {
        message = message.put_address(libc::RTA_PREFSRC, *source);
    }
    if let Some(mtu) = mtu {
        let mut metrics = Vec::new();
        put(&mut metrics, RTAX_MTU, &mtu.to_ne_bytes());
        message = message.put(libc::RTA_METRICS | NESTED, &metrics);
    }
    if is_ipv6 && *preference != Preference::Medium {
        message = message.put(RTA_PREF, &[preference_bits(*preference)]);
    }
    if let (true, Some(valid)) = (is_ipv6, valid) {
        message = message.put_word(RTA_EXPIRES, *valid);
    }
    message
}

/// A gateway of the route's own family, or of the other one (RFC 5549) with its family before it.
fn gateway(is_ipv6: bool, via: IpAddr) -> (u16, Vec<u8>) {
    if via.is_ipv6() == is_ipv6 {
        return (libc::RTA_GATEWAY, octets(via));
    }
    let mut value = u16::from(family(via)).to_ne_bytes().to_vec();
    value.extend(octets(via));
    (libc::RTA_VIA, value)
}

/// `struct rtnexthop`s.
fn multipath(is_ipv6: bool, hops: &[Hop], index: u32, on_link: bool) -> Vec<u8> {
    let mut value = Vec::new();
    for hop in hops {
        let (attribute, via) = gateway(is_ipv6, hop.via);
        let mut attributes = Vec::new();
        put(&mut attributes, attribute, &via);
        let length = u16::try_from(8 + attributes.len()).unwrap_or_default();
        value.extend(length.to_ne_bytes());
        let share = u8::try_from(hop.weight.saturating_sub(1)).unwrap_or(u8::MAX);
        value.extend([if on_link { ON_LINK } else { 0 }, share]);
        value.extend(index.to_ne_bytes());
        value.extend(attributes);
    }
    value
}

const fn route_type(kind: RouteKind) -> u8 {
    match kind {
        RouteKind::Unicast => libc::RTN_UNICAST,
        RouteKind::Blackhole => libc::RTN_BLACKHOLE,
        RouteKind::Unreachable => libc::RTN_UNREACHABLE,
        RouteKind::Prohibit => libc::RTN_PROHIBIT,
        RouteKind::Throw => libc::RTN_THROW,
    }
}

/// RFC 4191 §2.1.
const fn preference_bits(preference: Preference) -> u8 {
    match preference {
        Preference::High => 1,
        Preference::Medium => 0,
        Preference::Low => 3,
    }
}

/// `struct fib_rule_hdr`.
fn policy_rule(kind: u16, wanted: &PolicyRule, flags: libc::c_int) -> Message {
    let length = |prefix: &Option<Prefix>| prefix.map_or(0, |prefix| prefix.length);
    let af = if wanted.is_ipv6 {
        libc::AF_INET6
    } else {
        libc::AF_INET
    };
    let action = match (wanted.table, wanted.kind) {
        (Some(_), _) | (None, RouteKind::Unicast | RouteKind::Throw) => rule::TO_TABLE,
        (None, RouteKind::Blackhole) => rule::BLACKHOLE,
        (None, RouteKind::Unreachable) => rule::UNREACHABLE,
        (None, RouteKind::Prohibit) => rule::PROHIBIT,
    };
    let table = wanted.table.unwrap_or_default();
    let mut body = vec![
        u8::try_from(af).unwrap_or_default(),
        length(&wanted.to),
        length(&wanted.from),
        0,
        u8::try_from(table).unwrap_or(libc::RT_TABLE_COMPAT),
        0,
        0,
        action,
    ];
    body.extend(if wanted.invert { rule::INVERT } else { 0 }.to_ne_bytes());
    let mut message = Message::new(kind, flags, &body).put_word(rule::PRIORITY, wanted.priority);
    for (attribute, prefix) in [(rule::SOURCE, wanted.from), (rule::DESTINATION, wanted.to)] {
        if let Some(prefix) = prefix {
            message = message.put_address(attribute, prefix.address);
        }
    }
    if wanted.table.is_some() {
        message = message.put_word(rule::TABLE, table);
    }
    if let Some((mark, mask)) = wanted.mark {
        message = message
            .put_word(rule::MARK, mark)
            .put_word(rule::MASK, mask);
    }
    for (attribute, name) in [
        (rule::INCOMING, &wanted.incoming),
        (rule::OUTGOING, &wanted.outgoing),
    ] {
        if let Some(name) = name {
            let mut text = name.as_bytes().to_vec();
            text.push(0);
            message = message.put(attribute, &text);
        }
    }
    if let Some(length) = wanted.suppress_length {
        message = message.put_word(rule::SUPPRESS_LENGTH, u32::from(length));
    }
    message.put(rule::PROTOCOL, &[OURS])
}

fn family(address: IpAddr) -> u8 {
    let family = match address {
        IpAddr::V4(_) => libc::AF_INET,
        IpAddr::V6(_) => libc::AF_INET6,
    };
    u8::try_from(family).unwrap_or_default()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// Appends `struct rtattr` and its value, padded to four octets.
fn put(octets: &mut Vec<u8>, kind: u16, value: &[u8]) {
    octets.resize(octets.len().next_multiple_of(4), 0);
    let length = u16::try_from(4 + value.len()).unwrap_or_default();
    octets.extend(length.to_ne_bytes());
    octets.extend(kind.to_ne_bytes());
    octets.extend(value);
    octets.resize(octets.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests;
