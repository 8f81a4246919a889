//! What do all routers together supply? [`supply`]: the best router first, and whoever is not reached only when nobody else is there.

use std::net::{IpAddr, Ipv6Addr};

use config::model::{AddressGeneration, Prefix, Privacy, Upstream};
use policy::facts::{SuppliedAddress, SuppliedRoute, SuppliedSource, Supply};

use super::Dhcp6Flags;
use super::client::Client;
use super::prefixes::Advertised;
use super::router::{EVERYWHERE, Router};
use crate::offered;
use crate::slaac::{self, Origin};

/// Resolvers that are supplied, over all routers.
const UPSTREAMS_MAX: usize = 16;
/// Suffixes that are supplied, over all routers.
const SEARCH_MAX: usize = 32;

/// Returns the routers that count, the best first.
fn counting(client: &Client) -> Vec<&Router> {
    let reached = client.routers.iter().any(|known| !known.reach.is_failed());
    let mut routers: Vec<&Router> = client
        .routers
        .iter()
        .filter(|known| !reached || !known.reach.is_failed())
        .collect();
    // Stable: of equals, who was heard first.
    routers.sort_by_key(|router| std::cmp::Reverse(router.rank()));
    routers
}

/// Returns what is supplied.
pub(super) fn supply(client: &Client) -> Supply {
    let routers = counting(client);
    let mut supply = Supply {
        unconfirmed: !routers.is_empty() && routers.iter().all(|router| !router.confirmed),
        ..Supply::default()
    };
    for known in &client.prefixes.list {
        prefix(client, known, &mut supply);
    }
    supply
        .addresses
        .extend(client.own.addresses(&origin(client)));
    supply.sources = sources(client, &routers);
    routes(client, &mut supply);
    // Whoever did not speak here names nobody to ask here, once somebody did.
    let is_any_here = routers.iter().any(|router| router.confirmed);
    let mut routers = routers;
    routers.retain(|router| router.confirmed || !is_any_here);
    let link = &client.setup.link;
    let mut encrypted: Vec<_> = routers
        .iter()
        .flat_map(|router| &router.encrypted)
        .map(|timed| &timed.item)
        .collect();
    encrypted.sort_by_key(|designated| designated.priority);
    for designated in encrypted {
        designated
            .upstreams(link)
            .into_iter()
            .for_each(|upstream| push(&mut supply.upstreams, upstream, UPSTREAMS_MAX));
    }
    for router in &routers {
        for resolver in &router.resolvers {
            let upstream: Upstream = offered::upstream(resolver.item, link);
            push(&mut supply.upstreams, upstream, UPSTREAMS_MAX);
        }
        for suffix in &router.search {
            push(&mut supply.search, suffix.item.clone(), SEARCH_MAX);
        }
        for mapping in &router.pref64 {
            push(&mut supply.pref64, mapping.item, SEARCH_MAX);
        }
    }
    let latest = |has: fn(&Router) -> bool| {
        let having = routers.iter().filter(|router| has(router));
        having.max_by_key(|router| router.heard_at)
    };
    // RFC 4861 §6.3.4: the latest word counts.
    supply.mtu = latest(|router| router.mtu.is_some()).and_then(|router| router.mtu);
    supply.hop_limit =
        latest(|router| router.hop_limit.is_some()).and_then(|router| router.hop_limit);
    supply.reachable =
        latest(|router| router.reachable.is_some()).and_then(|router| router.reachable);
    supply.retransmit =
        latest(|router| router.retransmit.is_some()).and_then(|router| router.retransmit);
    supply.portal =
        latest(|router| router.portal.is_some()).and_then(|router| router.portal.clone());
    match client.moved {
        true => offered::without_names(supply),
        false => supply,
    }
}

fn push<T: PartialEq>(list: &mut Vec<T>, item: T, max: usize) {
    if list.len() < max && !list.contains(&item) {
        list.push(item);
    }
}

fn prefix(client: &Client, known: &Advertised, supply: &mut Supply) {
    let mut with_route = false;
    let made = known
        .address
        .filter(|_| !(known.delegation && client.own.is_any()));
    if let (Some(made), IpAddr::V6(high)) = (made, known.prefix.address) {
        let origin = origin(client);
        let there = there(client, high).filter(|_| known.taken == 0);
        if let Some(address) = there.or_else(|| slaac::address(high, known.taken, &origin)) {
            with_route = made.with_route;
            supply.addresses.push(SuppliedAddress {
                prefix: Prefix {
                    address: address.into(),
                    length: if with_route { known.prefix.length } else { 128 },
                },
                preferred_until: made.preferred_until,
                valid_until: made.valid_until,
                // The kernel refuses to make any beside an address that has no prefix of 64 bits.
                temporaries: with_route && client.setup.settings.privacy != Privacy::Off,
            });
        }
    }
    if let Some(on_link) = known.on_link.filter(|_| !with_route) {
        supply.routes.push(SuppliedRoute {
            to: known.prefix,
            via: None,
            source: None,
            preference: policy::facts::Preference::Medium,
            valid_until: on_link.until,
        });
    }
}

/// Returns what addresses are made of beside a prefix.
fn origin(client: &Client) -> Origin<'_> {
    Origin {
        generation: client.setup.settings.addresses,
        secret: &client.setup.secret,
        link: &client.setup.link,
        network: &client.setup.network,
        mac: client.setup.mac,
    }
}

/// Returns the address that was made of this prefix before the client began; where the profile says how they are made it is not asked for.
fn there(client: &Client, prefix: Ipv6Addr) -> Option<Ipv6Addr> {
    let setup = &client.setup;
    let is_of = |address: &&Ipv6Addr| address.to_bits() >> 64 == prefix.to_bits() >> 64;
    let free = setup.settings.addresses == AddressGeneration::Stable;
    setup.addresses.iter().find(is_of).copied().filter(|_| free)
}

/// RFC 4861 §6.3.6: a router that is not reached is passed over where another one leads there too.
fn routes(client: &Client, supply: &mut Supply) {
    let mut routers: Vec<&Router> = client.routers.iter().collect();
    routers.sort_by_key(|router| std::cmp::Reverse(router.rank()));
    for router in &routers {
        for timed in &router.routes {
            let elsewhere = routers.iter().any(|other| {
                !other.reach.is_failed()
                    && other
                        .routes
                        .iter()
                        .any(|route| route.item.to == timed.item.to)
            });
            if router.reach.is_failed() && elsewhere {
                continue;
            }
            supply.routes.push(SuppliedRoute {
                to: timed.item.to,
                via: Some(router.address.into()),
                source: source(client, supply, timed.item.to, router.address),
                preference: timed.item.preference,
                valid_until: timed.until,
            });
        }
    }
}

/// RFC 8028 §3.1: packets leave by a router that advertises the prefix that they come from. Told only where there is a router
/// with a route to everywhere that does not.
fn sources(client: &Client, routers: &[&Router]) -> Vec<SuppliedSource> {
    let defaults = || {
        routers
            .iter()
            .filter(|router| router.default_route().is_some())
    };
    let made = client
        .prefixes
        .list
        .iter()
        .filter(|known| known.address.is_some() && !(known.delegation && client.own.is_any()));
    let sources = made.map(|known| SuppliedSource {
        prefix: known.prefix,
        via: defaults()
            .filter(|router| known.routers.contains(&router.address))
            .map(|router| router.address.into())
            .collect(),
    });
    let sources: Vec<SuppliedSource> = sources.filter(|source| !source.via.is_empty()).collect();
    let all = defaults().count();
    match sources.iter().any(|source| source.via.len() < all) {
        true => sources,
        false => Vec::new(),
    }
}

/// Which address connections begin with that leave by a router, where routers differ in what they take. Temporary addresses
/// that programs are to prefer are the kernel's to choose, which knows nothing of routers then.
fn source(client: &Client, supply: &Supply, to: Prefix, router: Ipv6Addr) -> Option<IpAddr> {
    if to != EVERYWHERE || client.setup.settings.privacy == Privacy::Preferred {
        return None;
    }
    let via = IpAddr::V6(router);
    let mut taken = supply.sources.iter();
    let taken = taken.find(|source| source.via.contains(&via))?;
    let mut addresses = supply.addresses.iter().map(|own| own.prefix.address);
    addresses.find(|address| taken.prefix.contains(*address))
}

/// Returns what routers say of DHCPv6: what one of them says is enough.
pub(super) fn flags(client: &Client) -> Dhcp6Flags {
    let routers = counting(client);
    Dhcp6Flags {
        managed: routers.iter().any(|router| router.managed),
        other: routers.iter().any(|router| router.other),
        delegation: client
            .prefixes
            .list
            .iter()
            .any(|known| known.offer.is_some() && !known.routers.is_empty()),
    }
}

/// Whether nothing is supplied.
pub(super) fn is_nothing(supply: &Supply) -> bool {
    // Times and limits of a router that supplies nothing else are of no use.
    let Supply {
        unconfirmed,
        hop_limit,
        reachable,
        retransmit,
        ..
    } = *supply;
    *supply
        == Supply {
            unconfirmed,
            hop_limit,
            reachable,
            retransmit,
            ..Supply::default()
        }
}
