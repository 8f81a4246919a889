//! How is a request written? [`emit`], from [`KernelRequest`] to netlink bytes; an acknowledgement is asked for with each.
//!
//! Switches are no messages: they are files below `/proc/sys/net`.

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use config::model::{Hop, PolicyRule, Prefix, RouteKind};
use linkmgr::KernelRequest;
use linkmgr::kernel::{OURS, OwnRoute};
use linkmgr::request::AddressRequest;
use policy::facts::Preference;

use crate::message::{address, own_route, rule};

const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const REPLACE: u16 = 0x100;
const EXCLUSIVE: u16 = 0x200;
const CREATE: u16 = 0x400;
/// What a flag of a deletion would mean is none of these.
const NONE: u16 = 0;

const NESTED: u16 = 0x8000;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const SCOPE_HOST: u8 = 254;
const SCOPE_NOWHERE: u8 = 255;
/// The longest IPv4 prefix with a broadcast address (RFC 3021).
const LONGEST_WITH_BROADCAST: u8 = 30;

/// Appends the messages of a request, with sequence numbers from `sequence` on; returns how many. None for what is not asked
/// by message.
pub(crate) fn emit(request: &KernelRequest, sequence: u32, bytes: &mut Vec<u8>) -> u32 {
    let mut messages = Messages {
        bytes,
        sequence,
        count: 0,
    };
    match request {
        KernelRequest::SetUp { index, up } => messages.set_up(*index, *up),
        KernelRequest::SetMtu { index, mtu } => messages.set_link(*index, |message| {
            message.word(libc::IFLA_MTU, *mtu);
        }),
        KernelRequest::SetMac {
            index,
            mac,
            while_down,
        } => {
            if *while_down {
                messages.set_up(*index, false);
            }
            messages.set_link(*index, |message| {
                message.attribute(libc::IFLA_ADDRESS, &mac.0);
            });
            if *while_down {
                messages.set_up(*index, true);
            }
        }
        KernelRequest::AddAddress(request) => messages.address(request, CREATE | EXCLUSIVE),
        KernelRequest::ReplaceAddress(request) => messages.address(request, CREATE | REPLACE),
        KernelRequest::DeleteAddress { index, address, .. } => {
            messages.delete_address(*index, address);
        }
        KernelRequest::AddRoute(route) => {
            messages.route(libc::RTM_NEWROUTE, CREATE | EXCLUSIVE, route);
        }
        KernelRequest::ReplaceRoute(route) => {
            messages.route(libc::RTM_NEWROUTE, CREATE | REPLACE, route);
        }
        KernelRequest::DeleteRoute(route) => messages.route(libc::RTM_DELROUTE, NONE, route),
        KernelRequest::AddRule(rule) => {
            messages.rule(libc::RTM_NEWRULE, CREATE | EXCLUSIVE, rule);
        }
        KernelRequest::DeleteRule(rule) => messages.rule(libc::RTM_DELRULE, NONE, rule),
        KernelRequest::ReadSwitch { .. } | KernelRequest::SetSwitch { .. } => {}
    }
    messages.count
}

struct Messages<'a> {
    bytes: &'a mut Vec<u8>,
    sequence: u32,
    count: u32,
}

/// One message; its length is written when it is whole.
struct Message<'a> {
    bytes: &'a mut Vec<u8>,
    start: usize,
}

impl Messages<'_> {
    fn message(&mut self, kind: u16, flags: u16, header: &[u8]) -> Message<'_> {
        let start = self.bytes.len();
        let sequence = self.sequence.wrapping_add(self.count);
        self.count += 1;
        self.bytes.extend(0_u32.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        let flags = flags | REQUEST | ACKNOWLEDGE;
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(sequence.to_ne_bytes());
        self.bytes.extend(0_u32.to_ne_bytes());
        self.bytes.extend(header);
        Message {
            bytes: self.bytes,
            start,
        }
    }

    fn set_up(&mut self, index: u32, up: bool) {
        let mask = libc::IFF_UP;
        let header = link_header(index, if up { mask } else { 0 }, mask);
        self.message(libc::RTM_SETLINK, NONE, &header).finish();
    }

    fn set_link(&mut self, index: u32, attributes: impl FnOnce(&mut Message<'_>)) {
        let header = link_header(index, 0, 0);
        let mut message = self.message(libc::RTM_SETLINK, NONE, &header);
        attributes(&mut message);
        message.finish();
    }

    fn address(&mut self, request: &AddressRequest, flags: u16) {
        let AddressRequest {
            index,
            address: prefix,
            preferred,
            valid,
            temporaries,
            no_prefix_route,
            metric,
        } = *request;
        let header = address_header(index, &prefix);
        let mut message = self.message(libc::RTM_NEWADDR, flags, &header);
        message.ip(libc::IFA_LOCAL, prefix.address);
        message.ip(libc::IFA_ADDRESS, prefix.address);
        if let IpAddr::V4(v4) = prefix.address
            && prefix.length <= LONGEST_WITH_BROADCAST
        {
            let host_bits = u32::MAX.checked_shr(prefix.length.into()).unwrap_or(0);
            let broadcast = v4.to_bits() | host_bits;
            message.attribute(libc::IFA_BROADCAST, &broadcast.to_be_bytes());
        }
        let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
        let flags = flag(temporaries, address::MANAGE_TEMPORARIES)
            | flag(no_prefix_route, address::NO_PREFIX_ROUTE);
        message.word(libc::IFA_FLAGS, flags);
        let lifetimes = [preferred, valid].map(|it| it.unwrap_or(u32::MAX).to_ne_bytes());
        let mut cache = lifetimes.concat();
        // When it was made and changed is the kernel's to say.
        cache.extend([0; 8]);
        message.attribute(libc::IFA_CACHEINFO, &cache);
        message.attribute(address::IFA_PROTO, &[OURS]);
        if metric != 0 {
            message.word(address::IFA_RT_PRIORITY, metric);
        }
        message.finish();
    }

    fn delete_address(&mut self, index: u32, prefix: &Prefix) {
        let header = address_header(index, prefix);
        let mut message = self.message(libc::RTM_DELADDR, NONE, &header);
        message.ip(libc::IFA_LOCAL, prefix.address);
        message.finish();
    }

    /// A deletion says as much as tells ours from others: never what a route is like.
    fn route(&mut self, kind: u16, flags: u16, route: &OwnRoute) {
        let is_new = kind == libc::RTM_NEWROUTE;
        let OwnRoute { key, via, .. } = route;
        let mut message = self.message(kind, flags, &route_header(route, is_new));
        if key.to.length > 0 {
            message.ip(libc::RTA_DST, key.to.address);
        }
        message.word(libc::RTA_TABLE, key.table);
        message.word(libc::RTA_PRIORITY, key.metric);
        match (via.as_slice(), route.index) {
            ([], index) => {
                if let Some(index) = index {
                    message.word(libc::RTA_OIF, index);
                }
            }
            ([hop], index) => {
                message.gateway(key.to.address, hop.via);
                if let Some(index) = index {
                    message.word(libc::RTA_OIF, index);
                }
            }
            (hops, index) => {
                let index = index.unwrap_or(0);
                message.hops(key.to.address, index, route.on_link, hops);
            }
        }
        if is_new {
            if let Some(source) = route.source {
                message.ip(libc::RTA_PREFSRC, source);
            }
            if let Some(mtu) = route.mtu {
                let start = message.open(libc::RTA_METRICS);
                message.word(own_route::RTAX_MTU, mtu);
                message.close(start);
            }
            if key.to.address.is_ipv6() {
                message.attribute(own_route::RTA_PREF, &[preference(route.preference)]);
                if let Some(valid) = route.valid {
                    message.word(own_route::RTA_EXPIRES, valid);
                }
            }
        }
        message.finish();
    }

    fn rule(&mut self, kind: u16, flags: u16, wanted: &PolicyRule) {
        let mut message = self.message(kind, flags, &rule_header(wanted));
        message.word(rule::PRIORITY, wanted.priority);
        message.attribute(rule::PROTOCOL, &[OURS]);
        if let Some(from) = wanted.from {
            message.ip(rule::SOURCE, from.address);
        }
        if let Some(to) = wanted.to {
            message.ip(rule::DESTINATION, to.address);
        }
        if let Some((mark, mask)) = wanted.mark {
            message.word(rule::MARK, mark);
            message.word(rule::MASK, mask);
        }
        if let Some(name) = &wanted.incoming {
            message.text(rule::INCOMING, name);
        }
        if let Some(name) = &wanted.outgoing {
            message.text(rule::OUTGOING, name);
        }
        if let Some(table) = wanted.table {
            message.word(rule::TABLE, table);
        }
        if let Some(length) = wanted.suppress_length {
            message.word(rule::SUPPRESS_LENGTH, length.into());
        }
        message.finish();
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "messages and attributes of a request are far shorter than their length fields can say"
)]
impl Message<'_> {
    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = 4 + value.len();
        self.bytes.extend((length as u16).to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.pad();
    }

    fn word(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    fn ip(&mut self, kind: u16, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => self.attribute(kind, &v4.octets()),
            IpAddr::V6(v6) => self.attribute(kind, &v6.octets()),
        }
    }

    fn text(&mut self, kind: u16, text: &str) {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        self.attribute(kind, &value);
    }

    /// A gateway of the other family goes by another name (RFC 5549).
    fn gateway(&mut self, to: IpAddr, via: IpAddr) {
        if to.is_ipv4() == via.is_ipv4() {
            return self.ip(libc::RTA_GATEWAY, via);
        }
        let mut value = u16::from(family(via)).to_ne_bytes().to_vec();
        match via {
            IpAddr::V4(v4) => value.extend(v4.octets()),
            IpAddr::V6(v6) => value.extend(v6.octets()),
        }
        self.attribute(libc::RTA_VIA, &value);
    }

    fn hops(&mut self, to: IpAddr, index: u32, on_link: bool, hops: &[Hop]) {
        let all = self.open(libc::RTA_MULTIPATH);
        for hop in hops {
            let start = self.bytes.len();
            self.bytes.extend(0_u16.to_ne_bytes());
            let share = hop.weight.saturating_sub(1).min(u8::MAX.into()) as u8;
            let flags = if on_link { own_route::ON_LINK } else { 0 };
            self.bytes.extend([flags, share]);
            self.bytes.extend(index.to_ne_bytes());
            self.gateway(to, hop.via);
            let length = (self.bytes.len() - start) as u16;
            self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        }
        self.close(all);
    }

    fn open(&mut self, kind: u16) -> usize {
        let start = self.bytes.len();
        self.bytes.extend(0_u16.to_ne_bytes());
        self.bytes.extend((kind | NESTED).to_ne_bytes());
        start
    }

    fn close(&mut self, start: usize) {
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    fn pad(&mut self) {
        let length = self.bytes.len() - self.start;
        let padding = length.next_multiple_of(4) - length;
        self.bytes.extend(std::iter::repeat_n(0, padding));
    }

    fn finish(self) {
        let length = (self.bytes.len() - self.start) as u32;
        self.bytes[self.start..self.start + 4].copy_from_slice(&length.to_ne_bytes());
    }
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
fn address_header(index: u32, prefix: &Prefix) -> Vec<u8> {
    let scope = match prefix.address {
        IpAddr::V4(v4) if v4.is_loopback() => SCOPE_HOST,
        IpAddr::V4(v4) if v4.is_link_local() => SCOPE_LINK,
        // Of IPv6 the kernel knows itself.
        IpAddr::V4(_) | IpAddr::V6(_) => SCOPE_UNIVERSE,
    };
    let mut header = vec![family(prefix.address), prefix.length, 0, scope];
    header.extend(index.to_ne_bytes());
    header
}

/// `struct rtmsg`.
fn route_header(route: &OwnRoute, is_new: bool) -> Vec<u8> {
    let OwnRoute { key, kind, .. } = route;
    let is_near = *kind == RouteKind::Unicast && route.via.is_empty();
    let scope = match (key.to.address.is_ipv4(), is_near) {
        (true, _) if !is_new => SCOPE_NOWHERE,
        (true, true) => SCOPE_LINK,
        (true, false) | (false, _) => SCOPE_UNIVERSE,
    };
    let kind = match kind {
        RouteKind::Unicast => libc::RTN_UNICAST,
        RouteKind::Blackhole => libc::RTN_BLACKHOLE,
        RouteKind::Unreachable => libc::RTN_UNREACHABLE,
        RouteKind::Prohibit => libc::RTN_PROHIBIT,
        RouteKind::Throw => libc::RTN_THROW,
    };
    let table = u8::try_from(key.table).unwrap_or(0);
    let mut header = vec![family(key.to.address), key.to.length, 0, 0];
    header.extend([table, OURS, scope, kind]);
    let flags = match route.on_link && route.via.len() == 1 && is_new {
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
        RouteKind::Unicast => rule::TO_TABLE,
        RouteKind::Blackhole => rule::BLACKHOLE,
        RouteKind::Unreachable => rule::UNREACHABLE,
        RouteKind::Prohibit => rule::PROHIBIT,
        RouteKind::Throw => rule::NOTHING,
    };
    let mut header = vec![family, length(wanted.to), length(wanted.from), 0];
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
