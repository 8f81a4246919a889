//! What does the kernel say of a route with our number? `struct rtmsg` and its attributes, of any table and type.

use std::net::IpAddr;

use config::model::{RouteKind, RouteTuning};
use linkmgr::kernel::{NextHop, OURS, OwnRoute, stands_beside};
use policy::facts::Preference;
use policy::links::RouteKey;

use super::{ROUTE_HEADER_LENGTH, attributes_of, half, ip, prefix, text, unspecified, via, word};

/// `RTA_EXPIRES`.
pub(crate) const RTA_EXPIRES: u16 = 23;
/// `RTA_PREF`.
pub(crate) const RTA_PREF: u16 = 20;
/// `RTAX_*`.
pub(crate) const RTAX_LOCK: u16 = 1;
pub(crate) const RTAX_MTU: u16 = 2;
pub(crate) const RTAX_CWND: u16 = 7;
pub(crate) const RTAX_ADVMSS: u16 = 8;
pub(crate) const RTAX_INITCWND: u16 = 11;
pub(crate) const RTAX_INITRWND: u16 = 14;
pub(crate) const RTAX_QUICKACK: u16 = 15;
pub(crate) const RTAX_CC_ALGO: u16 = 16;
/// `RTNH_F_ONLINK`.
pub(crate) const ON_LINK: u8 = 4;
const NEXT_HOP_HEADER_LENGTH: usize = 8;
/// Where `rtm_protocol` is.
const PROTOCOL: usize = 5;

/// Reads a route; `None` for one with another number than ours.
pub(super) fn parse(body: &[u8]) -> Option<OwnRoute> {
    (*body.get(PROTOCOL)? == OURS).then(|| any(body)).flatten()
}

/// Reads a route with another number than ours.
pub(super) fn of_other(body: &[u8]) -> Option<OwnRoute> {
    let route = (*body.get(PROTOCOL)? != OURS).then(|| any(body));
    route.flatten()
}

/// Reads a route and its number.
pub(super) fn with_number(body: &[u8]) -> Option<(u8, OwnRoute)> {
    Some((*body.get(PROTOCOL)?, any(body)?))
}

/// Reads a route of somebody else that may go when another one at its place is replaced.
pub(super) fn beside(body: &[u8]) -> Option<OwnRoute> {
    let theirs = of_other(body)?;
    stands_beside(*body.get(PROTOCOL)?, theirs.key.to).then_some(theirs)
}

/// Reads by what the kernel tells a route apart; `None` for one whose place none of ours ever has.
pub(super) fn place(body: &[u8]) -> Option<RouteKey> {
    let (header, attributes) = body.split_at_checked(ROUTE_HEADER_LENGTH)?;
    let [family, length, from_length, service, table, ..] = *header else {
        return None;
    };
    if service != 0 || word(header, 8)? & libc::RTM_F_CLONED != 0 {
        return None;
    }
    let (mut table, mut metric) = (u32::from(table), 0);
    let mut to = unspecified(family)?;
    let mut from = to;
    for (attribute, value) in attributes_of(attributes) {
        match attribute {
            libc::RTA_TABLE => table = word(value, 0)?,
            libc::RTA_DST => to = ip(family, value)?,
            libc::RTA_SRC => from = ip(family, value)?,
            libc::RTA_PRIORITY => metric = word(value, 0)?,
            _ => {}
        }
    }
    Some(RouteKey {
        table,
        to: prefix(to, length)?,
        metric,
        from: match from_length {
            0 => None,
            length => Some(prefix(from, length)?),
        },
    })
}

/// Reads a route, whoever made it. One for a type of service is at a place of its own, where none of ours ever is.
fn any(body: &[u8]) -> Option<OwnRoute> {
    let (header, attributes) = body.split_at_checked(ROUTE_HEADER_LENGTH)?;
    let [family, length, from_length, service, table, _, _, kind, ..] = *header else {
        return None;
    };
    let flags = word(header, 8)?;
    if service != 0 || flags & libc::RTM_F_CLONED != 0 {
        return None;
    }
    let kind = route_kind(kind)?;
    let mut table = u32::from(table);
    let mut to = unspecified(family)?;
    let mut from = to;
    let mut route = Attributes::default();
    let mut several = None;
    for (attribute, value) in attributes_of(attributes) {
        match attribute {
            libc::RTA_TABLE => table = word(value, 0)?,
            libc::RTA_DST => to = ip(family, value)?,
            libc::RTA_SRC => from = ip(family, value)?,
            libc::RTA_OIF => route.index = word(value, 0),
            libc::RTA_PRIORITY => route.metric = word(value, 0)?,
            libc::RTA_GATEWAY => route.via = ip(family, value),
            libc::RTA_VIA => route.via = via(value),
            libc::RTA_PREFSRC => route.source = ip(family, value),
            libc::RTA_MULTIPATH => several = Some(value),
            libc::RTA_METRICS => metrics(value, &mut route),
            libc::RTA_CACHEINFO => route.valid = valid(value),
            RTA_PREF => route.preference = value.first().map_or(Preference::Medium, preference),
            _ => {}
        }
    }
    let mut hops = Vec::new();
    match several {
        Some(several) => read_hops(family, several, &mut hops, &mut route.on_link),
        None => hops.extend(route.index.map(|index| NextHop::only(index, route.via))),
    }
    // The kernel lets IPv6 routes that drop leave by the loopback link.
    hops.retain(|_| kind.has_link());
    hops.sort();
    Some(OwnRoute {
        key: RouteKey {
            table,
            to: prefix(to, length)?,
            metric: route.metric,
            from: match from_length {
                0 => None,
                length => Some(prefix(from, length)?),
            },
        },
        kind,
        hops,
        on_link: route.on_link || flags & u32::from(ON_LINK) != 0,
        source: route.source,
        mtu: route.mtu,
        preference: route.preference,
        tuning: route.tuning,
        valid: route.valid,
    })
}

#[derive(Default)]
struct Attributes {
    index: Option<u32>,
    metric: u32,
    via: Option<IpAddr>,
    on_link: bool,
    source: Option<IpAddr>,
    mtu: Option<u32>,
    preference: Preference,
    tuning: RouteTuning,
    valid: Option<u32>,
}

/// Reads `RTAX_*`. Of a congestion window the kernel says by itself that it is locked.
fn metrics(value: &[u8], route: &mut Attributes) {
    let tuning = &mut route.tuning;
    for (kind, value) in attributes_of(value) {
        let number = word(value, 0);
        match kind {
            RTAX_LOCK => tuning.mtu_lock = number.is_some_and(|locks| locks & 1 << RTAX_MTU != 0),
            RTAX_MTU => route.mtu = number,
            RTAX_CWND => tuning.cwnd = number,
            RTAX_ADVMSS => tuning.advmss = number,
            RTAX_INITCWND => tuning.initcwnd = number,
            RTAX_INITRWND => tuning.initrwnd = number,
            RTAX_QUICKACK => tuning.quickack = number == Some(1),
            RTAX_CC_ALGO => tuning.congestion = text(value),
            _ => {}
        }
    }
}

/// Reads the `struct rtnexthop`s of `RTA_MULTIPATH`.
fn read_hops(family: u8, mut bytes: &[u8], hops: &mut Vec<NextHop>, on_link: &mut bool) {
    while let Some(length) = half(bytes, 0).map(usize::from) {
        let (Some(header), Some(index)) = (bytes.get(..NEXT_HOP_HEADER_LENGTH), word(bytes, 4))
        else {
            return;
        };
        let (flags, share) = (header[2], header[3]);
        let Some(attributes) = bytes.get(NEXT_HOP_HEADER_LENGTH..length) else {
            return;
        };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        *on_link |= flags & ON_LINK != 0;
        let via = attributes_of(attributes).find_map(|(kind, value)| match kind {
            libc::RTA_GATEWAY => ip(family, value),
            libc::RTA_VIA => via(value),
            _ => None,
        });
        hops.push(NextHop {
            index,
            via,
            weight: u16::from(share) + 1,
        });
    }
}

const fn route_kind(kind: u8) -> Option<RouteKind> {
    Some(match kind {
        libc::RTN_UNICAST => RouteKind::Unicast,
        libc::RTN_BLACKHOLE => RouteKind::Blackhole,
        libc::RTN_UNREACHABLE => RouteKind::Unreachable,
        libc::RTN_PROHIBIT => RouteKind::Prohibit,
        libc::RTN_THROW => RouteKind::Throw,
        libc::RTN_LOCAL => RouteKind::Local,
        libc::RTN_BROADCAST => RouteKind::Broadcast,
        libc::RTN_ANYCAST => RouteKind::Anycast,
        libc::RTN_MULTICAST => RouteKind::Multicast,
        _ => return None,
    })
}

/// `RTA_PREF` has the bits of RFC 4191 §2.1.
const fn preference(bits: &u8) -> Preference {
    match *bits {
        1 => Preference::High,
        3 => Preference::Low,
        _ => Preference::Medium,
    }
}

/// `rta_expires` of `struct rta_cacheinfo`, in ticks of `USER_HZ`, which is 100 everywhere; 0 for ever.
fn valid(value: &[u8]) -> Option<u32> {
    const TICKS: u32 = 100;
    match word(value, 8)?.cast_signed() {
        0 => None,
        ticks => Some(ticks.max(0).cast_unsigned() / TICKS),
    }
}
