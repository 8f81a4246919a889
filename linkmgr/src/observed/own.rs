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

    /// Removes a route; one that has taken its place on another link stays.
    pub(super) fn remove(&mut self, gone: &OwnRoute) {
        let is_same = |there: &ObservedRoute| {
            let there = &there.route;
            there.index == gone.index && there.via == gone.via
        };
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

    /// Removes the routes of a link, or its IPv4 ones only; returns which.
    pub(super) fn clear(&mut self, index: u32, ipv4_only: bool) -> Vec<RouteKey> {
        self.take_where(|route| {
            route.index == Some(index) && (!ipv4_only || route.key.to.address.is_ipv4())
        })
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
