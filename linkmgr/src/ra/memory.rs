//! What of a network outlives the client? [`Memory`]: each router's last packet, and what became of prefixes; replayed by the
//! next client with everything aged by the time between.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use config::model::Prefix;
use config::time::Instant;
use policy::facts::Supply;

use super::prefixes::{Advertised, Made, Offer, OnLink, Prefixes};
use super::router::Router;
use super::wire::{Advertisement, HOP_LIMIT};
use crate::octets::Lifetime;

/// Routers and prefixes that are read back.
const READ_MAX: usize = 16;
/// How often the same is kept again at most, because its times have moved.
const AGAIN: Duration = Duration::from_secs(60);

/// What outlives the client: JSON, for the state directory, by network. Another client takes it with its age.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Memory {
    routers: Vec<KeptRouter>,
    prefixes: Vec<KeptPrefix>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct KeptRouter {
    address: Ipv6Addr,
    /// Its last packet.
    octets: Vec<u8>,
    /// Seconds between that and the keeping.
    age: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct KeptPrefix {
    address: Ipv6Addr,
    length: u8,
    on_link: Option<Lifetime>,
    preferred: Option<Lifetime>,
    valid: Option<Lifetime>,
    with_route: bool,
    taken: u8,
    delegation: bool,
    #[serde(default)]
    offer: Option<Lifetime>,
    routers: Vec<Ipv6Addr>,
}

impl Memory {
    pub(super) fn of(routers: &[Router], prefixes: &Prefixes, now: Instant) -> Self {
        let routers = routers.iter().filter(|router| !router.octets.is_empty());
        Self {
            routers: routers
                .map(|router| KeptRouter {
                    address: router.address,
                    octets: router.octets.clone(),
                    age: now.since(router.heard_at).as_secs(),
                })
                .collect(),
            prefixes: prefixes
                .list
                .iter()
                .filter_map(|known| KeptPrefix::of(known, now))
                .collect(),
        }
    }

    /// Puts back what is not over.
    pub(super) fn replay(
        self,
        age: Duration,
        routers: &mut Vec<Router>,
        prefixes: &mut Prefixes,
        now: Instant,
    ) {
        for kept in self.routers.into_iter().take(READ_MAX) {
            let Ok(said) = Advertisement::parse(&kept.octets, kept.address, HOP_LIMIT) else {
                continue;
            };
            let mut router = Router::new(kept.address, now);
            let since = age.saturating_add(Duration::from_secs(kept.age));
            router.hear(&said.aged(since), now);
            router.confirmed = false;
            router.octets = kept.octets;
            // Its times are those of then.
            router.heard_at = now - since;
            routers.push(router);
        }
        let prefixes_kept = self.prefixes.into_iter().take(READ_MAX);
        prefixes
            .list
            .extend(prefixes_kept.filter_map(|kept| kept.aged(age, now)));
    }
}

impl KeptPrefix {
    fn of(known: &Advertised, now: Instant) -> Option<Self> {
        let IpAddr::V6(address) = known.prefix.address else {
            return None;
        };
        let left = |until: Option<Instant>| Lifetime::left(until, now);
        Some(Self {
            address,
            length: known.prefix.length,
            on_link: known.on_link.map(|on_link| left(on_link.until)),
            preferred: known.address.map(|made| left(made.preferred_until)),
            valid: known.address.map(|made| left(made.valid_until)),
            with_route: known.address.is_some_and(|made| made.with_route),
            taken: known.taken,
            delegation: known.delegation,
            offer: known.offer.map(|offer| left(offer.until)),
            routers: known.routers.clone(),
        })
    }

    fn aged(self, age: Duration, now: Instant) -> Option<Advertised> {
        let left = |lifetime: Lifetime| lifetime.aged(age);
        let on_link = self.on_link.map(left).filter(|left| !left.is_zero());
        let valid = self.valid.map(left).filter(|left| !left.is_zero());
        let offer = self.offer.map(left).filter(|left| !left.is_zero());
        let prefix = Prefix {
            address: self.address.into(),
            length: self.length.min(128),
        };
        let made = valid.map(|valid| Made {
            preferred_until: self
                .preferred
                .map_or(Some(now), |left| left.aged(age).until(now)),
            valid_until: valid.until(now),
            with_route: self.with_route,
        });
        (on_link.is_some() || made.is_some()).then(|| Advertised {
            prefix: prefix.network(),
            on_link: on_link.map(|left| OnLink {
                until: left.until(now),
            }),
            address: made,
            taken: self.taken,
            delegation: self.delegation,
            offer: offer.map(|left| Offer {
                until: left.until(now),
            }),
            routers: self.routers.into_iter().take(READ_MAX).collect(),
            left_out_at: None,
        })
    }
}

impl Advertisement {
    /// Returns what is left of it when this long has passed.
    fn aged(mut self, age: Duration) -> Self {
        self.lifetime = self.lifetime.saturating_sub(age);
        let lifetimes = self
            .prefixes
            .iter_mut()
            .flat_map(|prefix| [&mut prefix.valid, &mut prefix.preferred])
            .chain(self.routes.iter_mut().map(|route| &mut route.lifetime))
            .chain(self.resolvers.iter_mut().map(|(_, lifetime)| lifetime))
            .chain(self.search.iter_mut().map(|(_, lifetime)| lifetime))
            .chain(self.pref64.iter_mut().map(|(_, lifetime)| lifetime))
            .chain(self.encrypted.iter_mut().map(|(_, lifetime)| lifetime));
        for lifetime in lifetimes {
            *lifetime = lifetime.aged(age);
        }
        self
    }
}

/// When to keep: what is supplied is another thing, or half of the shortest time that was kept is over.
#[derive(Debug, Clone, Default)]
pub(super) struct Keeper {
    kept: Option<(Supply, Vec<u8>)>,
    again_at: Option<Instant>,
}

impl Keeper {
    /// Whether to keep; if so, it counts as done.
    pub(super) fn is_due(&mut self, told: &Supply, prefixes: &Prefixes, now: Instant) -> bool {
        let taken = prefixes.list.iter().map(|known| known.taken).collect();
        let shape = (timeless(told), taken);
        let is_again = self.again_at.is_some_and(|at| at <= now);
        if self.kept.as_ref() == Some(&shape) && !is_again {
            return false;
        }
        self.kept = Some(shape);
        let addresses = told.addresses.iter().map(|address| address.valid_until);
        let routes = told.routes.iter().map(|route| route.valid_until);
        let shortest = addresses.chain(routes).flatten().min();
        self.again_at = shortest.map(|until| now + (until.since(now) / 2).max(AGAIN));
        true
    }
}

/// Returns a supply without its times.
fn timeless(told: &Supply) -> Supply {
    let mut shape = told.clone();
    for address in &mut shape.addresses {
        (address.preferred_until, address.valid_until) = (None, None);
    }
    for route in &mut shape.routes {
        route.valid_until = None;
    }
    shape
}
