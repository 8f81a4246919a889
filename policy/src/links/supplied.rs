//! What is taken of what the network supplies? Addresses always, the rest as the profile says.

use std::cmp::Reverse;
use std::ops::RangeInclusive;
use std::time::Duration;

use config::model::{
    AddressAttributes, ConflictUse, Ipv4llMode, PolicyRule, Prefix, Privacy, RaUse, RouteKind,
    RouteTuning,
};

use super::make::{Draft, IPV6_MTU, MAIN};
use super::{AddressPlan, HopPlan, RoutePlan, Switch};
use crate::facts::{Facts, LinkId, SuppliedRoute, Supplier, Supply};

/// The least MTU that is taken of DHCPv4: every host can take packets of this size (RFC 791 §3.1), and servers that name
/// less are mistaken.
const IPV4_MTU: u32 = 576;
/// The least hop limit that is taken of routers: less does not cross the Internet.
const HOP_LIMIT_MIN: u8 = 32;
/// How long a neighbour may count as reachable (RFC 4861 §6.2.1: an hour at most).
const REACHABLE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
/// How long there may be between two questions for a neighbour.
const RETRANSMIT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
/// Tables for packets from prefixes that not every router takes, of links with indexes below [`LINKS_MAX`].
const SOURCES_TABLE: u32 = 1_120_000_000;
/// Prefixes of a link that have one.
const SOURCES_MAX: u32 = 16;
/// Above it, indexes share tables; the kernel counts from 1.
const LINKS_MAX: u32 = 1_000_000;
/// Right before the main table, so that whatever an administrator or a VPN has to say comes first.
const SOURCES_PRIORITY: u32 = 32_764;
/// The greatest: that of the length field of an IP packet.
const MAX_MTU: u32 = 65_535;

/// Adds what a link's network supplies.
pub(super) fn add(draft: &mut Draft<'_>, facts: &Facts) {
    for supplier in Supplier::ALL {
        if let Some(supply) = taken(draft, facts, supplier) {
            addresses(draft, supplier, supply);
            routes(draft, supplier, supply);
            mtu(draft, supplier, supply);
            timers(draft, supplier, supply);
            sources(draft, supply);
        }
    }
}

/// Returns the supply of a client that the profile wants.
fn taken<'a>(draft: &Draft<'_>, facts: &'a Facts, supplier: Supplier) -> Option<&'a Supply> {
    let network = draft.network;
    let is_wanted = match supplier {
        Supplier::Dhcp4 => network.dhcp4.is_some(),
        Supplier::Dhcp6 => network.dhcp6.is_some(),
        Supplier::Ra => matches!(network.ra, RaUse::Own(_)),
        Supplier::Ipv4ll => network.ipv4ll != Ipv4llMode::Off && draft.wants_ipv4ll(facts),
    };
    let key: (LinkId, Supplier) = (draft.id, supplier);
    facts.supplies.get(&key).filter(|_| is_wanted)
}

fn addresses(draft: &mut Draft<'_>, supplier: Supplier, supply: &Supply) {
    let makes_temporaries = match draft.network.ra {
        RaUse::Own(settings) => settings.privacy != Privacy::Off,
        RaUse::Kernel | RaUse::Off => false,
    };
    for address in &supply.addresses {
        let is_over = address.valid_until.is_some_and(|end| end <= draft.as_of);
        // The kernel knows an address once, whatever its length.
        let mut own = draft.plan.addresses.keys();
        if is_over || own.any(|own| own.address == address.prefix.address) {
            continue;
        }
        let network = address.prefix.network();
        let is_routed_apart = supply.routes.iter().any(|route| {
            is_prefix_route(route, network) && route.valid_until != address.valid_until
        });
        let plan = AddressPlan {
            supplier: Some(supplier),
            preferred_until: address.preferred_until,
            valid_until: address.valid_until,
            temporaries: address.temporaries && makes_temporaries,
            no_prefix_route: is_routed_apart,
            metric: draft.metric(),
            attributes: AddressAttributes::default(),
            conflicts: ConflictUse::Ignore,
        };
        draft.add_address(address.prefix, plan);
    }
}

/// Whether a route says only that a network is on the link.
fn is_prefix_route(route: &SuppliedRoute, network: Prefix) -> bool {
    route.via.is_none() && route.to.network() == network
}

fn routes(draft: &mut Draft<'_>, supplier: Supplier, supply: &Supply) {
    let mut supplied: Vec<&SuppliedRoute> = supply.routes.iter().collect();
    // Those on the link first, as the neighbours of others may be behind them; then as routers recommend themselves.
    supplied.sort_by_key(|route| (route.via.is_some(), Reverse(route.preference)));
    let mut has_default4 = false;
    for route in supplied {
        if route.valid_until.is_some_and(|end| end <= draft.as_of) {
            continue;
        }
        let to = route.to.network();
        let is_on_link = route.via.is_none();
        let is_own_prefix = is_on_link
            && supply
                .addresses
                .iter()
                .any(|own| to.contains(own.prefix.address));
        let is_default = to.length == 0;
        let is_taken = match is_default {
            true => draft.takes_defaults(),
            // A half of everywhere is a default route by another name.
            false if to.length == 1 => draft.takes_defaults() && draft.network.take.routes,
            false => draft.network.take.routes || is_own_prefix,
        };
        if !is_taken || is_made_by_kernel(draft, route) {
            continue;
        }
        let hop = route.via.map(HopPlan::through);
        let plan = RoutePlan {
            supplier: Some(supplier),
            kind: RouteKind::Unicast,
            via: hop.into_iter().collect(),
            on_link: route.via.is_some_and(|via| !draft.is_near(via)),
            source: route.source,
            mtu: None,
            preference: route.preference,
            tuning: RouteTuning::default(),
            valid_until: route.valid_until,
        };
        if is_default && to.address.is_ipv4() {
            // The kernel never leaves the first for the second, so that the second is only in the way.
            if !std::mem::replace(&mut has_default4, true) {
                draft.add_default(to, draft.table(), None, plan);
            }
        } else if is_default {
            draft.add_default(to, draft.table(), None, plan);
        } else {
            draft.add_route(to, draft.table(), draft.metric(), plan);
        }
    }
}

/// Whether the kernel makes the route of an address, or we did for it.
fn is_made_by_kernel(draft: &Draft<'_>, route: &SuppliedRoute) -> bool {
    let network = route.to.network();
    let is_made = draft.plan.addresses.iter().any(|(prefix, address)| {
        prefix.network() == network
            && prefix.length < prefix.host_length()
            && !address.no_prefix_route
    });
    let is_there = draft.plan.routes.iter().any(|(key, route)| {
        key.to == network && key.table == draft.table() && route.via.is_empty()
    });
    route.via.is_none() && (is_made || is_there)
}

fn mtu(draft: &mut Draft<'_>, supplier: Supplier, supply: &Supply) {
    let offered = supply.mtu.filter(|mtu| *mtu <= MAX_MTU);
    let Some(mtu) = offered.filter(|_| draft.network.take.mtu) else {
        return;
    };
    match supplier {
        Supplier::Dhcp4 if mtu >= IPV4_MTU => draft.plan.mtu = Some(mtu),
        // RFC 4861 §6.3.4: less than the least, or more than the link's own, counts for nothing.
        Supplier::Ra if mtu >= IPV6_MTU && draft.network.mtu.is_none_or(|own| mtu <= own) => {
            let mtu = i32::try_from(mtu).unwrap_or(i32::MAX);
            draft.plan.switches.insert(Switch::Mtu6, mtu);
        }
        Supplier::Dhcp4 | Supplier::Ra | Supplier::Dhcp6 | Supplier::Ipv4ll => {}
    }
}

/// RFC 4861 §6.3.4. What is out of bounds is passed over: a hop limit of 1 would end everything that is not on the link.
fn timers(draft: &mut Draft<'_>, supplier: Supplier, supply: &Supply) {
    if supplier != Supplier::Ra || !draft.network.take.timers {
        return;
    }
    let switches = &mut draft.plan.switches;
    if let Some(limit) = supply.hop_limit.filter(|limit| *limit >= HOP_LIMIT_MIN) {
        switches.insert(Switch::HopLimit6, limit.into());
    }
    let mut time = |switch, time: Option<Duration>, bounds: RangeInclusive<Duration>| {
        if let Some(time) = time.filter(|time| bounds.contains(time)) {
            let millis = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
            switches.insert(switch, millis);
        }
    };
    time(Switch::Reachable6, supply.reachable, REACHABLE);
    time(Switch::Retransmit6, supply.retransmit, RETRANSMIT);
}

/// RFC 8028 §3: packets from a prefix that the link's first router does not take go to one that does, whatever stands in the
/// main table for everywhere. What it has for less than everywhere comes before.
fn sources(draft: &mut Draft<'_>, supply: &Supply) {
    if !draft.takes_defaults() || !draft.may_default || draft.table() != MAIN {
        return;
    }
    let is_default = |route: &&SuppliedRoute| route.to.length == 0 && route.to.address.is_ipv6();
    let defaults: Vec<&SuppliedRoute> = supply.routes.iter().filter(is_default).collect();
    let best = defaults
        .iter()
        .min_by_key(|route| Reverse(route.preference))
        .and_then(|route| route.via);
    for (at, source) in supply.sources.iter().enumerate() {
        if best.is_some_and(|best| source.via.contains(&best)) {
            continue;
        }
        let slot = u32::try_from(at).unwrap_or(SOURCES_MAX);
        if slot >= SOURCES_MAX {
            continue;
        }
        let table = SOURCES_TABLE + draft.id.index % LINKS_MAX * SOURCES_MAX + slot;
        for default in &defaults {
            let Some(via) = default.via.filter(|via| source.via.contains(via)) else {
                continue;
            };
            let plan = RoutePlan {
                supplier: Some(Supplier::Ra),
                kind: RouteKind::Unicast,
                via: vec![HopPlan::through(via)],
                on_link: false,
                source: None,
                mtu: None,
                preference: default.preference,
                tuning: RouteTuning::default(),
                valid_until: default.valid_until,
            };
            draft.add_route(default.to.network(), table, draft.metric(), plan);
        }
        let rule = |priority, table, suppress_length| PolicyRule {
            priority,
            is_ipv6: true,
            from: Some(source.prefix.network()),
            to: None,
            mark: None,
            incoming: None,
            outgoing: None,
            table: Some(table),
            kind: RouteKind::Unicast,
            suppress_length,
            invert: false,
            ..PolicyRule::default()
        };
        draft.rules.push(rule(SOURCES_PRIORITY, MAIN, Some(0)));
        draft.rules.push(rule(SOURCES_PRIORITY + 1, table, None));
    }
}
