//! Can all of it hold together? What the kernel would refuse, and what an administrator cannot have meant.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use crate::diagnostic::Findings;
use crate::model::{DefaultRouteUse, NetworkSettings, RaUse, Route, RouteKind, StaticAddress};
use crate::raw::{Span, Table};

/// The least MTU of IPv6 (RFC 8200 §5).
const IPV6_MTU: u32 = 1280;
/// What the last address of an IPv4 network is.
const BROADCAST: &str = "the broadcast address";

/// Looks at a profile's settings together.
pub(super) fn check(top: &Table, network: &NetworkSettings, findings: &mut Findings<'_>) {
    mtu(top, network, findings);
    overlaps(top, network, findings);
    hosts(top, network, findings);
    // A route that could not be read would be missing between those that were.
    let said = top.tables("routes").unwrap_or_default();
    if said.len() == network.routes.len() && !top.is_faulty("addresses") {
        let at: Vec<(&Span, &Route)> = said
            .iter()
            .zip(&network.routes)
            .map(|((span, _), route)| (span, route))
            .collect();
        for ((_, said), route) in said.iter().zip(&network.routes) {
            near(said, network, route, findings);
            source(said, network, route, findings);
            if is_default(route) && network.default_route == DefaultRouteUse::Never {
                let message = "this is a default route, and `default-route` says never";
                let help = Some("leave out one of the two".to_owned());
                findings.error(said.key("to"), message, help);
            }
        }
        twice(network, &at, findings);
    }
}

fn is_default(route: &Route) -> bool {
    route.to.length == 0 && route.kind == RouteKind::Unicast && route.from.is_none()
}

fn mtu(top: &Table, network: &NetworkSettings, findings: &mut Findings<'_>) {
    let Some(mtu) = network.mtu.filter(|mtu| *mtu < IPV6_MTU) else {
        return;
    };
    let is_ipv6 = |own: &StaticAddress| own.prefix.address.is_ipv6();
    let why = if network.addresses.iter().any(is_ipv6) {
        "it has an IPv6 address"
    } else if matches!(network.ra, RaUse::Own(_)) {
        "it listens to router advertisements"
    } else if network.dhcp6.is_some() {
        "it asks for IPv6 addresses"
    } else if network.delegated.is_some() {
        "it gets a part of an IPv6 prefix"
    } else if network
        .routes
        .iter()
        .any(|route| route.to.address.is_ipv6())
    {
        "it has an IPv6 route"
    } else {
        if matches!(network.ra, RaUse::Kernel) {
            let message =
                format!("with an MTU of {mtu} the link has no IPv6, whoever would give it some");
            let help = Some(format!(
                "write {IPV6_MTU} or more, or `ra = false` where none is wanted (RFC 8200 §5)"
            ));
            findings.warn(top.key("mtu"), message, help);
        }
        return;
    };
    let message = format!("an MTU of {mtu} is too small for IPv6, and {why}");
    let help = Some(format!(
        "write {IPV6_MTU} or more; below that the kernel takes IPv6 off the link (RFC 8200 §5)"
    ));
    findings.error(top.key("mtu"), message, help);
}

/// What an address means in an IPv4 network besides a host (RFC 1122 §3.2.1.3); of two addresses both are hosts (RFC 3021).
fn meaning(own: &StaticAddress, address: IpAddr) -> Option<&'static str> {
    let network = own.network();
    let IpAddr::V4(first) = network.network().address else {
        return None;
    };
    let hosts = u32::MAX
        .checked_shr(u32::from(network.length))
        .filter(|hosts| *hosts > 1)?;
    if address == IpAddr::from(Ipv4Addr::from_bits(first.to_bits() | hosts)) {
        Some(BROADCAST)
    } else if address == IpAddr::V4(first) {
        Some("the network address")
    } else {
        None
    }
}

/// Warns of addresses that hardly anybody can be reached by.
fn hosts(top: &Table, network: &NetworkSettings, findings: &mut Findings<'_>) {
    for own in &network.addresses {
        let address = own.prefix.address;
        let is_mapped = matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
        let (message, help) = if is_mapped {
            (
                format!("{address} never goes over a link (RFC 4291 §2.5.5.2)"),
                "write the IPv4 address itself",
            )
        } else if let Some(meaning) = meaning(own, address) {
            (
                format!("{address} is {meaning} of {}", own.network()),
                "write an address of one host; neighbours may not answer this one",
            )
        } else {
            continue;
        };
        findings.warn(top.key("addresses"), message, Some(help.to_owned()));
    }
}

/// Warns of addresses whose networks lie within each other: which of them a neighbour is in is then a matter of chance.
fn overlaps(top: &Table, network: &NetworkSettings, findings: &mut Findings<'_>) {
    for (at, first) in network.addresses.iter().enumerate() {
        let later = network.addresses.get(at + 1..).unwrap_or_default();
        let one = &first.prefix;
        for second in later {
            let other = &second.prefix;
            let has_peer = [first, second]
                .iter()
                .any(|it| it.attributes.peer.is_some());
            let is_same_host = one.address == other.address;
            if is_same_host && one.length != other.length {
                let message = format!("{one} and {other} are one address; a link has it once");
                findings.error(
                    top.key("addresses"),
                    message,
                    Some("leave out one of the two".to_owned()),
                );
            } else if one.length == other.length
                && first.network() == second.network()
                && first.attributes.scope != second.attributes.scope
            {
                let message = format!("{one} and {other} are in one network, and have two scopes");
                let help = Some("the kernel wants one `scope` for all of a network".to_owned());
                findings.error(top.key("addresses"), message, help);
            } else if !has_peer
                && one.length != other.length
                && one.length < one.host_length()
                && other.length < other.host_length()
                && (one.covers(*other) || other.covers(*one))
            {
                let message = format!(
                    "the networks {} and {} overlap",
                    one.network(),
                    other.network()
                );
                let help = Some(
                    "neighbours in both are reached by the longer one; give the addresses one length if they are in one network".to_owned(),
                );
                findings.warn(top.key("addresses"), message, help);
            }
        }
    }
}

/// Whether the network may supply addresses of this family.
fn is_supplied(network: &NetworkSettings, is_ipv4: bool) -> bool {
    match is_ipv4 {
        true => network.dhcp4.is_some(),
        false => network.dhcp6.is_some() || matches!(network.ra, RaUse::Own(_)),
    }
}

fn near(said: &Table, network: &NetworkSettings, route: &Route, findings: &mut Findings<'_>) {
    if route.on_link {
        return;
    }
    // Which networks are on other links is said elsewhere, if anywhere.
    let here = route.via.iter().filter(|hop| hop.link.is_none());
    for via in here.filter_map(|hop| hop.via) {
        let is_ipv4 = via.is_ipv4();
        let is_link_local = matches!(via, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let own: Vec<&StaticAddress> = network
            .addresses
            .iter()
            .filter(|own| own.prefix.address.is_ipv4() == is_ipv4)
            .collect();
        if own.iter().any(|own| own.prefix.address == via) {
            let message = format!("{via} is the link's own address");
            let help = Some("name the router's".to_owned());
            findings.error(said.key("via"), message, help);
            continue;
        }
        let is_all = |own: &&&StaticAddress| {
            own.attributes.peer.is_none() && meaning(own, via) == Some(BROADCAST)
        };
        if let Some(own) = own.iter().find(is_all) {
            let message = format!("{via} is {BROADCAST} of {}", own.network());
            let help = Some("name the router's".to_owned());
            findings.error(said.key("via"), message, help);
            continue;
        }
        // Without any address here, others may set them.
        if is_link_local || is_supplied(network, is_ipv4) || own.is_empty() {
            continue;
        }
        let is_on_link = |other: &Route| {
            let is_plain = other.via.is_empty() && other.kind == RouteKind::Unicast;
            is_plain && other.to != route.to && other.to.contains(via)
        };
        let is_in = |own: &&StaticAddress| {
            let network = own.network();
            let has_others = network.length < network.host_length();
            network.contains(via) && (has_others || own.attributes.peer.is_some())
        };
        if own.iter().any(is_in) || network.routes.iter().any(is_on_link) {
            continue;
        }
        let networks: Vec<String> = own.iter().map(|own| own.network().to_string()).collect();
        let message = format!(
            "{via} is not on the link: the addresses are in {}",
            networks.join(", ")
        );
        let help = Some(
            "name a neighbour in one of these networks, or add on-link = true if it is there all the same".to_owned(),
        );
        // The kernel may hear of more networks, where it is let.
        if !is_ipv4 && network.ra == RaUse::Kernel {
            findings.warn(said.key("via"), message, help);
        } else {
            findings.error(said.key("via"), message, help);
        }
    }
}

fn source(said: &Table, network: &NetworkSettings, route: &Route, findings: &mut Findings<'_>) {
    let Some(source) = route.source else {
        return;
    };
    let is_ipv4 = source.is_ipv4();
    let mut own = network.addresses.iter();
    let has_own = network
        .addresses
        .iter()
        .any(|own| own.prefix.address.is_ipv4() == is_ipv4);
    if has_own && !is_supplied(network, is_ipv4) && !own.any(|own| own.prefix.address == source) {
        let message = format!("{source} is no address of the link");
        let help = Some("add it to `addresses`, or name one that is there".to_owned());
        findings.error(said.key("source"), message, help);
    }
}

/// Finds routes that the kernel cannot tell apart: the later would take the place of the earlier.
fn twice(network: &NetworkSettings, routes: &[(&Span, &Route)], findings: &mut Findings<'_>) {
    let mut first_by_key = BTreeMap::new();
    for (span, route) in routes {
        let table = route.table.or(network.table);
        let metric = route.metric.or(network.metric);
        let key = (route.to, table, metric, route.from);
        if first_by_key.insert(key, route).is_none() {
            continue;
        }
        let (message, help) = match is_default(route) {
            true => (
                "there are two default routes of one rank".to_owned(),
                "name both neighbours in one route, as via = [\"10.8.0.1\", \"10.8.0.2\"], or give one of them a higher metric",
            ),
            false => (
                format!("there are two routes to {} of one metric", route.to),
                "name all neighbours in one route, or give one of them a higher metric",
            ),
        };
        findings.error(Some((*span).clone()), message, Some(help.to_owned()));
    }
}
