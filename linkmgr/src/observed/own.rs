//! Which routes and rules with our number are there? By what the kernel tells them apart.
//!
//! Routes of others are not here, whatever place they take.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use config::model::PolicyRule;
use config::time::Instant;
use policy::links::RouteKey;

use super::until;
use crate::kernel::OwnRoute;

/// Routes and rules with our number.
#[derive(Debug, Default)]
pub(crate) struct Own {
    route_by_key: BTreeMap<RouteKey, ObservedRoute>,
    rules: BTreeSet<PolicyRule>,
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
        let route = ObservedRoute { route, valid_until };
        self.route_by_key.insert(route.route.key, route);
    }

    /// Removes a route, or one of the ways of an IPv6 one; one that has taken its place on another link stays.
    pub(super) fn remove(&mut self, gone: &OwnRoute) {
        if let Some(there) = self.route_by_key.get_mut(&gone.key)
            && let ([lost], true) = (gone.hops.as_slice(), gone.key.to.address.is_ipv6())
            && there.route.hops.len() > 1
        {
            let hops = &mut there.route.hops;
            hops.retain(|hop| (hop.index, hop.via) != (lost.index, lost.via));
            return there.route.settle_ways();
        }
        let is_same = |there: &ObservedRoute| there.route.hops == gone.hops;
        if self.route_by_key.get(&gone.key).is_some_and(is_same) {
            self.route_by_key.remove(&gone.key);
        }
    }

    /// Removes whatever has this key, as somebody else's route has taken its place.
    pub(super) fn displace(&mut self, key: &RouteKey) -> bool {
        self.route_by_key.remove(key).is_some()
    }

    pub(super) fn insert_rule(&mut self, rule: PolicyRule) {
        self.rules.insert(rule);
    }

    pub(super) fn remove_rule(&mut self, rule: &PolicyRule) {
        self.rules.remove(rule);
    }

    /// Removes the routes that go with a link; returns which.
    pub(super) fn clear(&mut self, index: u32, loss: Loss<'_>) -> Vec<RouteKey> {
        self.take_where(|route| {
            let is_ipv4 = route.key.to.address.is_ipv4();
            let mut others = route.hops.iter().filter(|hop| hop.index != index);
            route.leaves_by(index)
                && match loss {
                    // Of several links the kernel marks one dead to the route, until it is up again.
                    Loss::Link => is_ipv4 || others.next().is_none(),
                    Loss::Up(lives) => !others.any(|hop| lives(hop.index, is_ipv4)),
                    Loss::Ipv4(lives) => is_ipv4 && !others.any(|hop| lives(hop.index, true)),
                }
        })
    }

    /// Follows that an IPv6 route over several links has lost those of a link that is gone; returns which.
    pub(super) fn thin_out(&mut self, index: u32) -> Vec<RouteKey> {
        let mut touched = Vec::new();
        for (key, route) in &mut self.route_by_key {
            let hops = &mut route.route.hops;
            let before = hops.len();
            hops.retain(|hop| hop.index != index);
            if hops.len() != before {
                route.route.settle_ways();
                touched.push(*key);
            }
        }
        touched
    }

    /// Whether a route has this preferred source address.
    pub(super) fn has_source(&self, source: IpAddr) -> bool {
        let mut routes = self.route_by_key.values();
        routes.any(|route| route.route.source == Some(source))
    }

    /// Follows that no link has this address any more: the kernel drops IPv4 routes from it, and lets IPv6 routes forget it;
    /// it tells neither.
    pub(super) fn forget_source(&mut self, source: IpAddr) -> Vec<RouteKey> {
        if source.is_ipv4() {
            return self.take_where(|route| route.source == Some(source));
        }
        let mut touched = Vec::new();
        for (key, route) in &mut self.route_by_key {
            if route.route.source == Some(source) {
                route.route.source = None;
                touched.push(*key);
            }
        }
        touched
    }

    /// Returns everything that is here.
    pub(crate) fn keys(&self) -> impl Iterator<Item = RouteKey> {
        self.route_by_key.keys().copied()
    }

    fn take_where(&mut self, is_wanted: impl Fn(&OwnRoute) -> bool) -> Vec<RouteKey> {
        if self.route_by_key.is_empty() {
            return Vec::new();
        }
        let gone: Vec<RouteKey> = self
            .route_by_key
            .values()
            .filter(|route| is_wanted(&route.route))
            .map(|route| route.route.key)
            .collect();
        for key in &gone {
            self.route_by_key.remove(key);
        }
        gone
    }
}
