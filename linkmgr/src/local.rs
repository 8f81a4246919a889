//! Where is this machine? Its addresses, gateways and outgoing addresses, the best link's first.
//!
//! The names that answer with them belong to the resolver, which this crate does not know: plain vectors go out.

use std::collections::BTreeMap;
use std::net::IpAddr;

use config::model::Prefix;
use policy::facts::DefaultRoute;
use policy::{LinkFacts, LinkId};

/// The machine's addresses, each list with the best link's first and nothing twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalAddresses {
    /// Addresses of the links that are up; loopback and link-local ones only when there are no others.
    pub addresses: Vec<IpAddr>,
    /// Gateways of the default routes, by metric.
    pub gateways: Vec<IpAddr>,
    /// For each default route, by metric, the address that packets leave with.
    pub outbound: Vec<IpAddr>,
}

/// Reads the machine's addresses out of the facts.
///
/// Links that are up come in the order of rank: by the metric of their best default route, those without one last,
/// then by name.
pub fn local_names(facts: &BTreeMap<LinkId, LinkFacts>) -> LocalAddresses {
    let mut links: Vec<&LinkFacts> = facts.values().filter(|link| link.up).collect();
    links.sort_by_key(|link| {
        let best = default_routes(link).map(|(_, route)| route.metric).min();
        (best.is_none(), best, link.name.clone())
    });
    let mut routes: Vec<(bool, DefaultRoute, &LinkFacts)> = links
        .iter()
        .flat_map(|link| default_routes(link).map(|(is_ipv6, route)| (is_ipv6, route, *link)))
        .collect();
    // Stable: equal metrics keep the order of rank, and IPv4 before IPv6 of one link.
    routes.sort_by_key(|(_, route, _)| route.metric);
    LocalAddresses {
        addresses: addresses(&links),
        gateways: once(routes.iter().filter_map(|(_, route, _)| route.gateway)),
        outbound: once(
            routes
                .iter()
                .filter_map(|(is_ipv6, _, link)| source(link, *is_ipv6)),
        ),
    }
}

/// How far an address reaches, the farthest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Beyond,
    Link,
    Machine,
}

fn default_routes(link: &LinkFacts) -> impl Iterator<Item = (bool, DefaultRoute)> {
    let ipv4 = link.default_route4.map(|route| (false, route));
    let ipv6 = link.default_route6.map(|route| (true, route));
    ipv4.into_iter().chain(ipv6)
}

fn addresses(links: &[&LinkFacts]) -> Vec<IpAddr> {
    let all = || links.iter().flat_map(|link| &link.addresses);
    let farthest = all().map(|prefix| reach(prefix.address)).min();
    once(
        all()
            .map(|prefix| prefix.address)
            .filter(|address| Some(reach(*address)) == farthest),
    )
}

/// Returns the address that a packet leaves with, as far as the facts tell: the first that reaches farthest.
fn source(link: &LinkFacts, is_ipv6: bool) -> Option<IpAddr> {
    let family = |prefix: &&Prefix| prefix.address.is_ipv6() == is_ipv6;
    let candidates = link.addresses.iter().filter(family);
    candidates
        .map(|prefix| prefix.address)
        .min_by_key(|address| reach(*address))
}

fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(v4) if v4.is_loopback() => Reach::Machine,
        IpAddr::V4(v4) if v4.is_link_local() => Reach::Link,
        IpAddr::V6(v6) if v6.is_loopback() => Reach::Machine,
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Reach::Link,
        IpAddr::V4(_) | IpAddr::V6(_) => Reach::Beyond,
    }
}

fn once(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut seen = Vec::new();
    for address in addresses {
        if !seen.contains(&address) {
            seen.push(address);
        }
    }
    seen
}
