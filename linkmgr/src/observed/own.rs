//! Which routes and rules with our number are there? By what the kernel tells them apart.
//!
//! Routes of others are not here, whatever place they take; of those beside ours it is known that they are. Rules of others are known: they are few.

use std::net::{IpAddr, Ipv4Addr};

use config::model::{PolicyRule, Prefix};
use config::time::Instant;
use policy::links::RouteKey;

use super::beside::Beside;
use super::until;
use crate::kernel::{NextHop, OwnRoute};
use crate::protocol::Protocol;
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
    beside: Beside,
    rules: Set<PolicyRule>,
    /// Those of others, and their numbers.
    taken: Set<(PolicyRule, u8)>,
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
            self.beside.forget(&route.key);
        }
        self.put(ObservedRoute { route, valid_until });
    }

    /// Follows that a route of somebody else is at a place; returns whether that is news and beside one of ours.
    pub(super) fn share(&mut self, theirs: &OwnRoute, was_first: bool) -> bool {
        let ours = self.route_by_key.get(&theirs.key);
        ours.is_some_and(|ours| self.beside.share(theirs, &ours.route, was_first))
    }

    /// Follows that a route of somebody else has left a place, which may be one of ours.
    pub(super) fn leave(&mut self, theirs: &OwnRoute) {
        self.beside.leave(theirs);
    }

    pub(super) fn has_others(&self, key: &RouteKey) -> bool {
        self.beside.has(key)
    }

    /// Follows whose the ways of IPv6 routes are: a listing tells those of one place as one route, with the number of whoever was there
    /// first. What ours may have is said by `ways`, where it is known.
    pub(super) fn tell_apart<'a>(
        &mut self,
        ways: impl Fn(&RouteKey) -> Option<&'a Set<(u32, IpAddr)>>,
    ) {
        let there = self.route_by_key.values().map(|there| &there.route);
        let several = there.filter(|it| it.key.to.address.is_ipv6() && it.hops.len() > 1);
        let theirs = several.filter_map(|there| not_ours(there, ways(&there.key)?));
        for theirs in theirs.collect::<Vec<_>>() {
            self.set_apart(&theirs);
        }
    }

    /// As [`Own::tell_apart`], of the place of which the kernel has just told all ways.
    pub(super) fn tell_apart_at(&mut self, key: &RouteKey, ways: Option<&Set<(u32, IpAddr)>>) {
        let Some(there) = self.route_by_key.get(key).map(|there| &there.route) else {
            return;
        };
        let has_ways = !there.hops.is_empty() && there.hops.iter().all(|hop| hop.via.is_some());
        if !key.to.address.is_ipv6() || !has_ways {
            return;
        }
        self.beside.keep_ways(there);
        if let Some(theirs) = ways.and_then(|ways| not_ours(there, ways)) {
            self.set_apart(&theirs);
        }
    }

    /// Takes that some ways of a route of ours are somebody else's.
    fn set_apart(&mut self, theirs: &OwnRoute) {
        self.change(&theirs.key, |ours| {
            ours.hops.retain(|hop| !theirs.hops.contains(hop));
            ours.settle_ways();
        });
        self.share(theirs, false);
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

    /// Follows that somebody else's route has replaced the first at its place; returns whether that was ours.
    pub(super) fn give_way(&mut self, theirs: &OwnRoute) -> bool {
        !self.beside.replace_first(theirs) && self.take(&theirs.key).is_some()
    }

    /// Returns which routes at a place of ours stay when the first one there is replaced, ours among them.
    pub(super) fn behind_first(&self, key: &RouteKey) -> Vec<&OwnRoute> {
        let ours = self.route_by_key.get(key);
        ours.map_or_else(Vec::new, |ours| self.beside.behind_first(&ours.route))
    }

    /// Follows that whatever was at a place has been replaced: of an IPv6 route all ways go, whosever they are.
    pub(super) fn forget_ways(&mut self, key: &RouteKey) {
        if key.to.address.is_ipv6() {
            self.beside.forget(key);
        }
    }

    /// Returns which somebody else has made this rule, if one has: of several the one with the least number that says who it is.
    pub(crate) fn maker_of(&self, rule: &PolicyRule) -> Option<Protocol> {
        let first = (rule.clone(), 0);
        let these = self.taken.range(first..);
        let makers = these.map_while(|(it, number)| (it == rule).then_some(Protocol(*number)));
        makers.min_by_key(|maker| (*maker == Protocol::UNSPECIFIED, maker.0))
    }

    /// Follows that somebody else has a rule.
    pub(super) fn take_rule(&mut self, rule: PolicyRule, protocol: u8) {
        self.taken.insert((rule, protocol));
    }

    /// Follows that somebody else has a rule no more.
    pub(super) fn free_rule(&mut self, rule: PolicyRule, protocol: u8) {
        self.taken.remove(&(rule, protocol));
    }

    pub(super) fn insert_rule(&mut self, rule: PolicyRule) {
        self.rules.insert(rule);
    }

    pub(super) fn remove_rule(&mut self, rule: &PolicyRule) {
        self.rules.remove(rule);
    }

    /// Removes the routes that go with a link; returns which, and those of ours beside which others' routes have gone with it.
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
        let mut touched: Vec<RouteKey> = gone.collect();
        for key in &touched {
            self.take(key);
        }
        let is_here = |route: &OwnRoute| route.leaves_by(index);
        let alone = self
            .beside
            .drop_where(|route| is_here(route) && goes(route));
        touched.extend(alone);
        touched
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

    /// Whether a route has this preferred source address, or one of others beside ours.
    pub(super) fn has_source(&self, source: IpAddr) -> bool {
        self.by_source(source).next().is_some() || self.beside.has_source(source)
    }

    /// Follows that no link has this address any more: the kernel drops IPv4 routes from it, and lets IPv6 routes forget it;
    /// it tells neither.
    pub(super) fn forget_source(&mut self, source: IpAddr) -> Vec<RouteKey> {
        let mut touched: Vec<RouteKey> = self.by_source(source).collect();
        for key in &touched {
            match source {
                IpAddr::V4(_) => drop(self.take(key)),
                IpAddr::V6(_) => self.change(key, |route| route.source = None),
            }
        }
        let alone = self.beside.drop_where(|route| route.source == Some(source));
        touched.extend(alone);
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

/// Returns the ways that a route has beside those of ours; `None` when there are none.
fn not_ours(there: &OwnRoute, ways: &Set<(u32, IpAddr)>) -> Option<OwnRoute> {
    let is_ours = |hop: &NextHop| hop.via.is_some_and(|via| ways.contains(&(hop.index, via)));
    let mut hops = there.hops.clone();
    hops.retain(|hop| !is_ours(hop));
    // Where none is ours, all are of somebody who has our number.
    let is_mixed = !hops.is_empty() && hops.len() < there.hops.len();
    is_mixed.then(|| OwnRoute {
        hops,
        ..there.clone()
    })
}
