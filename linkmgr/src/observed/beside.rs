//! Which routes of others are at the very places of ours? [`Beside`]: as the kernel has listed and told, and as they go without its word.

use std::net::IpAddr;

use policy::links::RouteKey;

use crate::kernel::{NextHop, OwnRoute};
use crate::tables::Map;

/// Routes of others beside ours.
#[derive(Debug, Default)]
pub(super) struct Beside {
    others_by_key: Map<RouteKey, Vec<Other>>,
}

/// A route of somebody else, or one way of an IPv6 one.
#[derive(Debug)]
struct Other {
    route: OwnRoute,
    /// Whether it was put before all that were there.
    was_first: bool,
}

impl Beside {
    pub(super) fn has(&self, key: &RouteKey) -> bool {
        self.others_by_key.contains_key(key)
    }

    /// Whether one of them has this preferred source address.
    pub(super) fn has_source(&self, source: IpAddr) -> bool {
        let mut others = self.others_by_key.values().flatten();
        others.any(|other| other.route.source == Some(source))
    }

    /// Follows that somebody has put a route beside one of ours; returns whether it was not known.
    pub(super) fn share(&mut self, theirs: &OwnRoute, ours: &OwnRoute, was_first: bool) -> bool {
        let others = self.others_by_key.entry(theirs.key).or_default();
        let before = others.len();
        for way in ways(theirs) {
            // Of IPv6 the kernel tells all ways, ours too.
            let is_ours = is_ipv6(ours) && ways(ours).any(|it| is_same(&it, &way));
            if !is_ours && !others.iter().any(|other| is_same(&other.route, &way)) {
                others.push(Other {
                    route: way,
                    was_first,
                });
            }
        }
        let is_new = others.len() > before;
        if others.is_empty() {
            self.others_by_key.remove(&theirs.key);
        }
        is_new
    }

    /// Follows that somebody's route has replaced the first of a place; returns whether that was one of others, before ours.
    pub(super) fn replace_first(&mut self, theirs: &OwnRoute) -> bool {
        // Of IPv6 all ways go.
        if is_ipv6(theirs) {
            self.forget(&theirs.key);
            return false;
        }
        let Some(others) = self.others_by_key.get_mut(&theirs.key) else {
            return false;
        };
        let Some(mut first) = first(others).map(|first| others.remove(first)) else {
            return false;
        };
        // A listing may have shown it already, when what was told meanwhile is heard.
        others.retain(|other| !is_same(&other.route, theirs));
        first.route = theirs.clone();
        // It is the last of those that came before all.
        others.push(first);
        true
    }

    /// Follows that an IPv6 place has these ways by neighbours, and no others.
    pub(super) fn keep_ways(&mut self, there: &OwnRoute) {
        let Some(others) = self.others_by_key.get_mut(&there.key) else {
            return;
        };
        let is_there = |hop: &NextHop| {
            let mut hops = there.hops.iter();
            hop.via.is_none() || hops.any(|it| (it.index, it.via) == (hop.index, hop.via))
        };
        others.retain(|other| other.route.hops.iter().all(is_there));
        if others.is_empty() {
            self.forget(&there.key);
        }
    }

    /// Returns which routes of a place stay when the first one there is replaced.
    pub(super) fn behind_first<'a>(&'a self, ours: &'a OwnRoute) -> Vec<&'a OwnRoute> {
        // Of IPv6 all ways go.
        if is_ipv6(ours) {
            return Vec::new();
        }
        let others = self.others_by_key.get(&ours.key);
        let others = others.map_or(&[][..], Vec::as_slice);
        let first = first(others);
        let there = others.iter().enumerate();
        let behind = there.filter(|(place, _)| Some(*place) != first);
        let behind = behind.map(|(_, other)| &other.route);
        behind.chain(first.map(|_| ours)).collect()
    }

    /// Follows that a route of somebody else has left its place.
    pub(super) fn leave(&mut self, theirs: &OwnRoute) {
        let Some(others) = self.others_by_key.get_mut(&theirs.key) else {
            return;
        };
        for way in ways(theirs) {
            let place = others.iter().position(|other| is_same(&other.route, &way));
            if let Some(place) = place {
                others.remove(place);
            }
        }
        if others.is_empty() {
            self.forget(&theirs.key);
        }
    }

    /// Follows that the kernel has dropped IPv4 routes without a word; returns the places that nobody of them is at any more.
    pub(super) fn drop_where(&mut self, goes: impl Fn(&OwnRoute) -> bool) -> Vec<RouteKey> {
        let mut left = Vec::new();
        for (key, others) in &mut self.others_by_key {
            others.retain(|other| is_ipv6(&other.route) || !goes(&other.route));
            left.extend(others.is_empty().then_some(*key));
        }
        for key in &left {
            self.forget(key);
        }
        left
    }

    /// Follows that nobody is beside the route at this place.
    pub(super) fn forget(&mut self, key: &RouteKey) {
        self.others_by_key.remove(key);
    }
}

/// Returns which of others is the first of its place; `None` when that is ours.
fn first(others: &[Other]) -> Option<usize> {
    others.iter().rposition(|other| other.was_first)
}

/// Returns what the kernel tells to come and go: of IPv6 each way of a route.
fn ways(route: &OwnRoute) -> impl Iterator<Item = OwnRoute> {
    let is_one = !is_ipv6(route) || route.hops.is_empty();
    let whole = is_one.then(|| route.clone());
    let hops = route.hops.iter().filter(move |_| !is_one);
    let apart = hops.map(|hop| OwnRoute {
        hops: vec![*hop],
        ..route.clone()
    });
    whole.into_iter().chain(apart)
}

fn is_same(one: &OwnRoute, other: &OwnRoute) -> bool {
    let places = |route: &OwnRoute| -> Vec<(u32, Option<IpAddr>)> {
        let hops = route.hops.iter();
        hops.map(|hop| (hop.index, hop.via)).collect()
    };
    one.kind == other.kind && places(one) == places(other)
}

fn is_ipv6(route: &OwnRoute) -> bool {
    route.key.to.address.is_ipv6()
}
