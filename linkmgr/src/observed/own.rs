//! Which routes and rules with our number are there? By what the kernel tells them apart.
//!
//! Routes of others are not here, whatever place they take.

use std::net::{IpAddr, Ipv4Addr};

use config::model::{PolicyRule, Prefix};
use config::time::Instant;
use policy::links::RouteKey;

use super::until;
use crate::kernel::OwnRoute;
use crate::tables::{Map, Set};

/// The least key.
const FIRST: RouteKey = RouteKey {
    table: 0,
    to: Prefix {
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        length: 0,
    },
    metric: 0,
    from: None,
};

/// Routes and rules with our number.
#[derive(Debug, Default)]
pub(crate) struct Own {
    route_by_key: Map<RouteKey, ObservedRoute>,
    /// Which leave by a link, by its index.
    keys_by_link: Set<(u32, RouteKey)>,
    /// Which have a preferred source.
    keys_by_source: Set<(IpAddr, RouteKey)>,
    /// How many routes of others are beside one of ours, at the same place.
    others_by_key: Map<RouteKey, u32>,
    rules: Set<PolicyRule>,
}

/// What a link has lost, so that routes go with it.
#[derive(Clone, Copy)]
pub(super) enum Loss<'a> {
    /// Itself.
    Link,
    /// That it is up. Whether others live says the function, for IPv4 or IPv6.
    Up(&'a dyn Fn(u32, bool) -> bool),
    /// Its last IPv4 address.
    Ipv4(&'a dyn Fn(u32, bool) -> bool),
}

/// A route, and until when it stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObservedRoute {
    pub(crate) route: OwnRoute,
    pub(crate) valid_until: Option<Instant>,
}

impl Own {
    pub(crate) fn route(&self, key: &RouteKey) -> Option<&ObservedRoute> {
        self.route_by_key.get(key)
    }

    pub(crate) fn has_rule(&self, rule: &PolicyRule) -> bool {
        self.rules.contains(rule)
    }

    pub(super) fn insert(&mut self, route: OwnRoute, now: Instant) {
        let valid_until = until(route.valid, now);
        if self.take(&route.key).is_none() {
            // One that is new has come to a free place.
            self.others_by_key.remove(&route.key);
        }
        self.put(ObservedRoute { route, valid_until });
    }

    /// Follows that a route of somebody else is at a place; returns whether that is beside one of ours.
    pub(super) fn share(&mut self, key: RouteKey) -> bool {
        let is_shared = self.route_by_key.contains_key(&key);
        if is_shared {
            *self.others_by_key.entry(key).or_default() += 1;
        }
        is_shared
    }

    /// Follows that a route of somebody else has left a place, which may be one of ours.
    pub(super) fn leave(&mut self, key: &RouteKey) {
        if let Some(others) = self.others_by_key.get_mut(key) {
            *others -= 1;
            if *others == 0 {
                self.others_by_key.remove(key);
            }
        }
    }

    pub(super) fn has_others(&self, key: &RouteKey) -> bool {
        self.others_by_key.contains_key(key)
    }

    /// Takes over what no listing tells.
    pub(super) fn inherit(&mut self, before: Self) {
        let others = before.others_by_key.into_iter();
        let others = others.filter(|(key, _)| self.route_by_key.contains_key(key));
        self.others_by_key = others.collect();
    }

    /// Removes a route, or one of the ways of an IPv6 one; one that has taken its place on another link stays.
    pub(super) fn remove(&mut self, gone: &OwnRoute) {
        let Some(there) = self.route_by_key.get(&gone.key) else {
            return;
        };
        if let ([lost], true) = (gone.hops.as_slice(), gone.key.to.address.is_ipv6())
            && there.route.hops.len() > 1
        {
            let (index, via) = (lost.index, lost.via);
            self.change(&gone.key, |route| {
                route
                    .hops
                    .retain(|hop| (hop.index, hop.via) != (index, via));
                route.settle_ways();
            });
        } else if there.route.hops == gone.hops {
            self.take(&gone.key);
        }
    }

    /// Removes whatever has this key, as somebody else's route has taken its place.
    pub(super) fn displace(&mut self, key: &RouteKey) -> bool {
        self.take(key).is_some()
    }

    pub(super) fn insert_rule(&mut self, rule: PolicyRule) {
        self.rules.insert(rule);
    }

    pub(super) fn remove_rule(&mut self, rule: &PolicyRule) {
        self.rules.remove(rule);
    }

    /// Removes the routes that go with a link; returns which.
    pub(super) fn clear(&mut self, index: u32, loss: Loss<'_>) -> Vec<RouteKey> {
        let goes = |route: &OwnRoute| {
            let is_ipv4 = route.key.to.address.is_ipv4();
            let mut others = route.hops.iter().filter(|hop| hop.index != index);
            match loss {
                // Of several links the kernel marks one dead to the route, until it is up again.
                Loss::Link => is_ipv4 || others.next().is_none(),
                Loss::Up(lives) => !others.any(|hop| lives(hop.index, is_ipv4)),
                Loss::Ipv4(lives) => is_ipv4 && !others.any(|hop| lives(hop.index, true)),
            }
        };
        let here = self.by_link(index);
        let gone = here.filter(|key| self.route(key).is_some_and(|there| goes(&there.route)));
        let gone: Vec<RouteKey> = gone.collect();
        for key in &gone {
            self.take(key);
        }
        gone
    }

    /// Follows that an IPv6 route over several links has lost those of a link that is gone; returns which.
    pub(super) fn thin_out(&mut self, index: u32) -> Vec<RouteKey> {
        let touched: Vec<RouteKey> = self.by_link(index).collect();
        for key in &touched {
            self.change(key, |route| {
                route.hops.retain(|hop| hop.index != index);
                route.settle_ways();
            });
        }
        touched
    }

    /// Whether a route has this preferred source address.
    pub(super) fn has_source(&self, source: IpAddr) -> bool {
        self.by_source(source).next().is_some()
    }

    /// Follows that no link has this address any more: the kernel drops IPv4 routes from it, and lets IPv6 routes forget it;
    /// it tells neither.
    pub(super) fn forget_source(&mut self, source: IpAddr) -> Vec<RouteKey> {
        let touched: Vec<RouteKey> = self.by_source(source).collect();
        for key in &touched {
            match source {
                IpAddr::V4(_) => drop(self.take(key)),
                IpAddr::V6(_) => self.change(key, |route| route.source = None),
            }
        }
        touched
    }

    /// Returns everything that is here.
    pub(crate) fn keys(&self) -> impl Iterator<Item = RouteKey> {
        self.route_by_key.keys().copied()
    }

    /// Returns which routes leave by a link.
    pub(crate) fn by_link(&self, index: u32) -> impl Iterator<Item = RouteKey> {
        let here = self.keys_by_link.range((index, FIRST)..);
        here.map_while(move |(of, key)| (*of == index).then_some(*key))
    }

    fn by_source(&self, source: IpAddr) -> impl Iterator<Item = RouteKey> {
        let here = self.keys_by_source.range((source, FIRST)..);
        here.map_while(move |(of, key)| (*of == source).then_some(*key))
    }

    fn put(&mut self, route: ObservedRoute) {
        let key = route.route.key;
        let indexes = route.route.hops.iter().map(|hop| (hop.index, key));
        self.keys_by_link.extend(indexes);
        let source = route.route.source;
        self.keys_by_source
            .extend(source.map(|source| (source, key)));
        self.route_by_key.insert(key, route);
    }

    fn take(&mut self, key: &RouteKey) -> Option<ObservedRoute> {
        let route = self.route_by_key.remove(key)?;
        for hop in &route.route.hops {
            self.keys_by_link.remove(&(hop.index, *key));
        }
        if let Some(source) = route.route.source {
            self.keys_by_source.remove(&(source, *key));
        }
        Some(route)
    }

    fn change(&mut self, key: &RouteKey, change: impl FnOnce(&mut OwnRoute)) {
        if let Some(mut route) = self.take(key) {
            change(&mut route.route);
            self.put(route);
        }
    }
}
