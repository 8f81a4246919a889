//! How is a request written? [`emit`], from [`KernelRequest`] to netlink messages.
//!
//! Switches are no messages: they are files below `/proc/sys/net`, or settings of cards.

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use config::model::{AddressAttributes, AddressScope, PolicyRule, Prefix, RouteKind, RouteTuning};
use linkmgr::KernelRequest;
use linkmgr::kernel::{NextHop, OURS, OwnRoute};
use linkmgr::kinds::Message;
use linkmgr::kinds::tlv::{NESTED, put, put_nested, put_text, put_word};
use linkmgr::request::AddressRequest;
use policy::facts::Preference;

use crate::message::{address, own_route, rule};

const REPLACE: u16 = 0x100;
const EXCLUSIVE: u16 = 0x200;
const CREATE: u16 = 0x400;
/// What a flag of a deletion would mean is none of these.
const NONE: u16 = 0;

const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const SCOPE_HOST: u8 = 254;
const SCOPE_NOWHERE: u8 = 255;
/// The longest IPv4 prefix with a broadcast address (RFC 3021).
const LONGEST_WITH_BROADCAST: u8 = 30;

/// Returns the messages of a request, in order. None for what is not asked by message.
pub(crate) fn emit(request: &KernelRequest) -> Vec<Message> {
    match request {
        KernelRequest::SetUp { index, up } => vec![set_up(*index, *up)],
        KernelRequest::SetMtu { index, mtu } => vec![set_link(*index, |body| {
            put_word(body, libc::IFLA_MTU, *mtu);
        })],
        KernelRequest::SetMac {
            index,
            mac,
            while_down,
        } => {
            let set = set_link(*index, |body| put(body, libc::IFLA_ADDRESS, &mac.0));
            match while_down {
                true => vec![set_up(*index, false), set, set_up(*index, true)],
                false => vec![set],
            }
        }
        KernelRequest::AddAddress(request) => vec![put_address(request, CREATE | EXCLUSIVE)],
        KernelRequest::ReplaceAddress(request) => vec![put_address(request, CREATE | REPLACE)],
        KernelRequest::DeleteAddress {
            index,
            address,
            peer,
        } => vec![delete_address(*index, address, *peer)],
        KernelRequest::AddRoute(route) => {
            vec![route_message(libc::RTM_NEWROUTE, CREATE | EXCLUSIVE, route)]
        }
        KernelRequest::ReplaceRoute(route) => {
            vec![route_message(libc::RTM_NEWROUTE, CREATE | REPLACE, route)]
        }
        KernelRequest::DeleteRoute(route) => {
            vec![route_message(libc::RTM_DELROUTE, NONE, route)]
        }
        KernelRequest::AddRule(rule) => {
            vec![rule_message(libc::RTM_NEWRULE, CREATE | EXCLUSIVE, rule)]
        }
        KernelRequest::DeleteRule(rule) => vec![rule_message(libc::RTM_DELRULE, NONE, rule)],
        KernelRequest::ReadSwitch { .. }
        | KernelRequest::ReadPrefixRoute { .. }
        | KernelRequest::SetSwitch { .. } => Vec::new(),
    }
}

fn set_up(index: u32, up: bool) -> Message {
    let mask = libc::IFF_UP;
    Message {
        kind: libc::RTM_SETLINK,
        flags: NONE,
        body: link_header(index, if up { mask } else { 0 }, mask),
    }
}

fn set_link(index: u32, attributes: impl FnOnce(&mut Vec<u8>)) -> Message {
    let mut body = link_header(index, 0, 0);
    attributes(&mut body);
    Message {
        kind: libc::RTM_SETLINK,
        flags: NONE,
        body,
    }
}

fn put_address(request: &AddressRequest, flags: u16) -> Message {
    let AddressRequest {
        index,
        address: prefix,
        preferred,
        valid,
        temporaries,
        no_prefix_route,
        metric,
        attributes:
            AddressAttributes {
                peer,
                label,
                scope,
                skips_dad,
            },
    } = *request;
    let mut body = address_header(index, &prefix, scope);
    put_ip(&mut body, libc::IFA_LOCAL, prefix.address);
    put_ip(&mut body, libc::IFA_ADDRESS, peer.unwrap_or(prefix.address));
    if let IpAddr::V4(v4) = prefix.address
        && peer.is_none()
        && prefix.length <= LONGEST_WITH_BROADCAST
    {
        let host_bits = u32::MAX.checked_shr(prefix.length.into()).unwrap_or(0);
        let broadcast = v4.to_bits() | host_bits;
        put(&mut body, libc::IFA_BROADCAST, &broadcast.to_be_bytes());
    }
    if let Some(label) = label {
        let mut text = label.as_str().as_bytes().to_vec();
        text.push(0);
        put(&mut body, libc::IFA_LABEL, &text);
    }
    let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
    let own = flag(temporaries, address::MANAGE_TEMPORARIES)
        | flag(no_prefix_route, address::NO_PREFIX_ROUTE)
        | flag(skips_dad, libc::IFA_F_NODAD);
    put_word(&mut body, libc::IFA_FLAGS, own);
    let lifetimes = [preferred, valid].map(|it| it.unwrap_or(u32::MAX).to_ne_bytes());
    let mut cache = lifetimes.concat();
    // When it was made and changed is the kernel's to say.
    cache.extend([0; 8]);
    put(&mut body, libc::IFA_CACHEINFO, &cache);
    put(&mut body, address::IFA_PROTO, &[OURS]);
    if metric != 0 {
        put_word(&mut body, address::IFA_RT_PRIORITY, metric);
    }
    Message {
        kind: libc::RTM_NEWADDR,
        flags,
        body,
    }
}

fn delete_address(index: u32, prefix: &Prefix, peer: Option<IpAddr>) -> Message {
    let mut body = address_header(index, prefix, None);
    put_ip(&mut body, libc::IFA_LOCAL, prefix.address);
    // Others may have the same address, and other ends.
    if let Some(peer) = peer {
        put_ip(&mut body, libc::IFA_ADDRESS, peer);
    }
    Message {
        kind: libc::RTM_DELADDR,
        flags: NONE,
        body,
    }
}

/// A deletion says as much as tells ours from others: never what a route is like.
///
/// The kernel compares the ways of an IPv4 route one by one, in the order in which whoever made it gave them, and that is told nowhere here.
/// So several are left out: its number and type, table, prefix and metric are compared all the same. Of an IPv6 route each way is deleted by itself.
fn route_message(kind: u16, flags: u16, route: &OwnRoute) -> Message {
    let is_new = kind == libc::RTM_NEWROUTE;
    let OwnRoute { key, hops, .. } = route;
    let mut body = route_header(route, is_new);
    if key.to.length > 0 {
        put_ip(&mut body, libc::RTA_DST, key.to.address);
    }
    if let Some(from) = key.from {
        put_ip(&mut body, libc::RTA_SRC, from.address);
    }
    put_word(&mut body, libc::RTA_TABLE, key.table);
    put_word(&mut body, libc::RTA_PRIORITY, key.metric);
    match hops.as_slice() {
        [] => {}
        [hop] => {
            put_gateway(&mut body, key.to.address, hop.via);
            put_word(&mut body, libc::RTA_OIF, hop.index);
        }
        _ if !is_new && key.to.address.is_ipv4() => {}
        hops => put_nested(&mut body, libc::RTA_MULTIPATH | NESTED, |body| {
            hops.iter().for_each(|hop| put_hop(body, route, hop));
        }),
    }
    if is_new {
        if let Some(source) = route.source {
            put_ip(&mut body, libc::RTA_PREFSRC, source);
        }
        put_metrics(&mut body, route);
        if key.to.address.is_ipv6() {
            let preference = preference(route.preference);
            put(&mut body, own_route::RTA_PREF, &[preference]);
            if let Some(valid) = route.valid {
                put_word(&mut body, own_route::RTA_EXPIRES, valid);
            }
        }
    }
    Message { kind, flags, body }
}

/// What the kernel keeps of a route's connections.
fn put_metrics(body: &mut Vec<u8>, route: &OwnRoute) {
    let RouteTuning {
        mtu_lock,
        advmss,
        cwnd,
        initcwnd,
        initrwnd,
        quickack,
        congestion,
    } = &route.tuning;
    // A congestion window counts where it is locked only (tcp_metrics.c).
    let locks = [
        (own_route::RTAX_MTU, *mtu_lock && route.mtu.is_some()),
        (own_route::RTAX_CWND, cwnd.is_some()),
    ];
    let locks = locks.into_iter().filter(|(_, is_locked)| *is_locked);
    let locks = locks.fold(0, |bits, (metric, _)| bits | 1_u32 << metric);
    let numbers = [
        (
            own_route::RTAX_LOCK,
            Some(locks).filter(|locks| *locks != 0),
        ),
        (own_route::RTAX_MTU, route.mtu),
        (own_route::RTAX_CWND, *cwnd),
        (own_route::RTAX_ADVMSS, *advmss),
        (own_route::RTAX_INITCWND, *initcwnd),
        (own_route::RTAX_INITRWND, *initrwnd),
        (own_route::RTAX_QUICKACK, quickack.then_some(1)),
    ];
    if route.tuning == RouteTuning::default() && route.mtu.is_none() {
        return;
    }
    put_nested(body, libc::RTA_METRICS | NESTED, |body| {
        for (metric, number) in numbers {
            if let Some(number) = number {
                put_word(body, metric, number);
            }
        }
        if let Some(name) = congestion {
            put_text(body, own_route::RTAX_CC_ALGO, name);
        }
    });
}

fn rule_message(kind: u16, flags: u16, wanted: &PolicyRule) -> Message {
    let mut body = rule_header(wanted);
    put_word(&mut body, rule::PRIORITY, wanted.priority);
    put(&mut body, rule::PROTOCOL, &[OURS]);
    if let Some(from) = wanted.from {
        put_ip(&mut body, rule::SOURCE, from.address);
    }
    if let Some(to) = wanted.to {
        put_ip(&mut body, rule::DESTINATION, to.address);
    }
    if let Some((mark, mask)) = wanted.mark {
        put_word(&mut body, rule::MARK, mark);
        put_word(&mut body, rule::MASK, mask);
    }
    if let Some(name) = &wanted.incoming {
        put_text(&mut body, rule::INCOMING, name);
    }
    if let Some(name) = &wanted.outgoing {
        put_text(&mut body, rule::OUTGOING, name);
    }
    if let Some(table) = wanted.table {
        put_word(&mut body, rule::TABLE, table);
    }
    if let Some(length) = wanted.suppress_length {
        put_word(&mut body, rule::SUPPRESS_LENGTH, length.into());
    }
    if let Some(goto) = wanted.goto {
        put_word(&mut body, rule::GOTO_PLACE, goto);
    }
    if wanted.vrf {
        put(&mut body, rule::L3MDEV, &[1]);
    }
    if let Some((first, last)) = wanted.users {
        let users = [first, last].map(u32::to_ne_bytes).concat();
        put(&mut body, rule::USERS, &users);
    }
    if let Some(protocol) = wanted.protocol {
        put(&mut body, rule::IP_PROTOCOL, &[protocol]);
    }
    let ports = [
        (rule::SOURCE_PORTS, wanted.source_ports),
        (rule::DESTINATION_PORTS, wanted.destination_ports),
    ];
    for (number, ports) in ports {
        if let Some((first, last)) = ports {
            let ports = [first, last].map(u16::to_ne_bytes).concat();
            put(&mut body, number, &ports);
        }
    }
    Message { kind, flags, body }
}

fn put_ip(body: &mut Vec<u8>, number: u16, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => put(body, number, &v4.octets()),
        IpAddr::V6(v6) => put(body, number, &v6.octets()),
    }
}

/// A gateway of the other family goes by another name (RFC 8950).
fn put_gateway(body: &mut Vec<u8>, to: IpAddr, via: Option<IpAddr>) {
    let Some(via) = via else {
        return;
    };
    if to.is_ipv4() == via.is_ipv4() {
        return put_ip(body, libc::RTA_GATEWAY, via);
    }
    let mut value = u16::from(family(via)).to_ne_bytes().to_vec();
    match via {
        IpAddr::V4(v4) => value.extend(v4.octets()),
        IpAddr::V6(v6) => value.extend(v6.octets()),
    }
    put(body, libc::RTA_VIA, &value);
}

/// `struct rtnexthop`, whose length stands where an attribute has its own, and flags and weight where that has its number.
fn put_hop(body: &mut Vec<u8>, route: &OwnRoute, hop: &NextHop) {
    let share = u8::try_from(hop.weight.saturating_sub(1)).unwrap_or(u8::MAX);
    let is_on_link = route.on_link && hop.via.is_some();
    let flags = if is_on_link { own_route::ON_LINK } else { 0 };
    let mut value = hop.index.to_ne_bytes().to_vec();
    put_gateway(&mut value, route.key.to.address, hop.via);
    put(body, u16::from_ne_bytes([flags, share]), &value);
}

/// `struct ifinfomsg`.
fn link_header(index: u32, flags: i32, change: i32) -> Vec<u8> {
    let mut header = vec![0; 4];
    header.extend(index.to_ne_bytes());
    header.extend(flags.to_ne_bytes());
    header.extend(change.to_ne_bytes());
    header
}

/// `struct ifaddrmsg`.
fn address_header(index: u32, prefix: &Prefix, scope: Option<AddressScope>) -> Vec<u8> {
    let scope = match prefix.address {
        IpAddr::V4(v4) => scope.unwrap_or_else(|| AddressScope::usual(v4)).number(),
        // Of IPv6 the kernel knows itself.
        IpAddr::V6(_) => SCOPE_UNIVERSE,
    };
    let mut header = vec![family(prefix.address), prefix.length, 0, scope];
    header.extend(index.to_ne_bytes());
    header
}

/// `struct rtmsg`.
fn route_header(route: &OwnRoute, is_new: bool) -> Vec<u8> {
    let OwnRoute { key, kind, .. } = route;
    let scope = match kind {
        _ if key.to.address.is_ipv6() => SCOPE_UNIVERSE,
        _ if !is_new => SCOPE_NOWHERE,
        RouteKind::Local => SCOPE_HOST,
        RouteKind::Broadcast | RouteKind::Anycast | RouteKind::Multicast => SCOPE_LINK,
        RouteKind::Unicast if route.is_near() => SCOPE_LINK,
        RouteKind::Unicast
        | RouteKind::Blackhole
        | RouteKind::Unreachable
        | RouteKind::Prohibit
        | RouteKind::Throw => SCOPE_UNIVERSE,
    };
    let kind = match kind {
        RouteKind::Unicast => libc::RTN_UNICAST,
        RouteKind::Blackhole => libc::RTN_BLACKHOLE,
        RouteKind::Unreachable => libc::RTN_UNREACHABLE,
        RouteKind::Prohibit => libc::RTN_PROHIBIT,
        RouteKind::Throw => libc::RTN_THROW,
        RouteKind::Local => libc::RTN_LOCAL,
        RouteKind::Broadcast => libc::RTN_BROADCAST,
        RouteKind::Anycast => libc::RTN_ANYCAST,
        RouteKind::Multicast => libc::RTN_MULTICAST,
    };
    let table = u8::try_from(key.table).unwrap_or(0);
    let from_length = key.from.map_or(0, |from| from.length);
    let mut header = vec![family(key.to.address), key.to.length, from_length, 0];
    header.extend([table, OURS, scope, kind]);
    let flags = match route.on_link && route.hops.len() == 1 && is_new {
        true => u32::from(own_route::ON_LINK),
        false => 0,
    };
    header.extend(flags.to_ne_bytes());
    header
}

/// `struct fib_rule_hdr`.
fn rule_header(wanted: &PolicyRule) -> Vec<u8> {
    let length = |prefix: Option<Prefix>| prefix.map_or(0, |prefix| prefix.length);
    let family = if wanted.is_ipv6 { AF_INET6 } else { AF_INET };
    let table = wanted.table.and_then(|table| u8::try_from(table).ok());
    let action = match wanted.kind {
        RouteKind::Unicast if wanted.goto.is_some() => rule::GOTO,
        // No rule is of the kinds that only routes have.
        RouteKind::Unicast
        | RouteKind::Local
        | RouteKind::Broadcast
        | RouteKind::Anycast
        | RouteKind::Multicast => rule::TO_TABLE,
        RouteKind::Blackhole => rule::BLACKHOLE,
        RouteKind::Unreachable => rule::UNREACHABLE,
        RouteKind::Prohibit => rule::PROHIBIT,
        RouteKind::Throw => rule::NOTHING,
    };
    let mut header = vec![family, length(wanted.to), length(wanted.from), wanted.tos];
    header.extend([table.unwrap_or(0), 0, 0, action]);
    let flags = if wanted.invert { rule::INVERT } else { 0 };
    header.extend(flags.to_ne_bytes());
    header
}

/// RFC 4191 §2.1.
const fn preference(preference: Preference) -> u8 {
    match preference {
        Preference::Low => 3,
        Preference::Medium => 0,
        Preference::High => 1,
    }
}

/// As wide as the headers have them.
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

const fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => AF_INET,
        IpAddr::V6(_) => AF_INET6,
    }
}
