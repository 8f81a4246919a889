//! Who is at a place among the routes of the fake kernel? One route, or several: the first is used, the others stand behind it.
//!
//! Of IPv6 the kernel makes one of those by neighbours, and tells it with the number of whoever was there first.

use super::*;
use crate::kernel::stands_beside;

impl FakeKernel {
    /// Returns all routes, those too that stand behind another one at its place.
    pub fn all_routes(&self) -> impl Iterator<Item = &FakeRoute> {
        let behind = self.behind.values().flatten();
        self.route_by_key.values().chain(behind)
    }

    /// Puts a route before those that have its place, or behind them, as somebody else does with `ip route prepend` and `append`; returns
    /// whether the kernel took it.
    pub fn put_beside(
        &mut self,
        route: &OwnRoute,
        protocol: u8,
        is_first: bool,
        now: Instant,
    ) -> bool {
        let key = route.key;
        let is_same =
            |it: &&FakeRoute| (it.route.kind, &it.route.hops) == (route.kind, &route.hops);
        if !self.route_by_key.contains_key(&key) {
            return self.put_route(route, protocol, false, now).is_ok();
        }
        if self.check_route(route).is_err() || self.at(&key).any(|it| is_same(&it)) {
            return false;
        }
        let made = FakeRoute::made(route, protocol, now);
        let is_ipv6 = key.to.address.is_ipv6();
        let behind = self.behind.entry(key).or_default();
        if is_first && !is_ipv6 {
            let before = self.route_by_key.insert(key, made.clone());
            behind.splice(..0, before);
        } else {
            behind.push(made.clone());
        }
        let told = match self.merged(&key) {
            // Several at once come under the number of whoever was there first.
            Some(all) if route.hops.len() > 1 => all,
            Some(all) => FakeRoute { protocol, ..all },
            None => made,
        };
        let protocol = told.protocol;
        let events = tell_route(&told, now, true);
        self.events.extend(events.into_iter().flat_map(beside));
        if stands_beside(protocol, key.to) {
            self.events.push_back(KernelEvent::PlaceShared {
                theirs: told.route,
                is_first,
            });
        }
        true
    }

    /// Takes a route away as somebody else would, wherever at its place it stands.
    pub fn take_this_route(&mut self, route: &FakeRoute, now: Instant) {
        let _was_there = self.take_where(&route.route.key, |it| it == route, now);
    }

    /// Returns the routes at a place, the first one first.
    pub(super) fn at(&self, key: &RouteKey) -> impl Iterator<Item = &FakeRoute> {
        let first = self.route_by_key.get(key).into_iter();
        first.chain(self.behind.get(key).into_iter().flatten())
    }

    /// Returns all routes, to be changed.
    pub(super) fn all_routes_mut(&mut self) -> impl Iterator<Item = &mut FakeRoute> {
        let behind = self.behind.values_mut().flatten();
        self.route_by_key.values_mut().chain(behind)
    }

    /// Lists a place.
    pub(super) fn list_place(&self, key: &RouteKey, now: Instant) -> Vec<KernelEvent> {
        if !self.behind.contains_key(key) {
            let only = self.at(key).flat_map(|it| tell_route(it, now, true));
            return only.collect();
        }
        if let Some(all) = self.merged(key) {
            return tell_route(&all, now, true)
                .into_iter()
                .flat_map(beside)
                .collect();
        }
        let told = self.at(key).flat_map(|it| tell_route(it, now, true));
        let mut events: Vec<KernelEvent> = told.flat_map(beside).collect();
        let all: Vec<&FakeRoute> = self.at(key).collect();
        let Some(ours) = all.iter().position(|it| it.protocol == OURS) else {
            return events;
        };
        let (before, behind) = all.split_at(ours);
        let shared = |is_first| {
            move |it: &&FakeRoute| KernelEvent::PlaceShared {
                theirs: it.route.clone(),
                is_first,
            }
        };
        let is_beside =
            |it: &&&FakeRoute| it.protocol != OURS && stands_beside(it.protocol, key.to);
        // The one that is first came last.
        let before = before.iter().rev().filter(is_beside);
        events.extend(before.map(shared(true)));
        events.extend(behind.iter().filter(is_beside).map(shared(false)));
        events
    }

    /// Takes away the first route at a place of which this holds.
    pub(super) fn take_where(
        &mut self,
        key: &RouteKey,
        is_it: impl Fn(&FakeRoute) -> bool,
        now: Instant,
    ) -> Result<(), i32> {
        let gone = self.remove(key, is_it).ok_or(ESRCH)?;
        self.tell_gone(&gone, now);
        Ok(())
    }

    /// Removes the first route at a place of which this holds, and says nothing.
    pub(super) fn remove(
        &mut self,
        key: &RouteKey,
        is_it: impl Fn(&FakeRoute) -> bool,
    ) -> Option<FakeRoute> {
        let place = self.at(key).position(is_it)?;
        let mut behind = self.behind.remove(key).unwrap_or_default();
        let gone = match place.checked_sub(1) {
            Some(place) => Some(behind.remove(place)),
            None => self.route_by_key.remove(key),
        };
        if place == 0 && !behind.is_empty() {
            self.route_by_key.insert(*key, behind.remove(0));
        }
        if !behind.is_empty() {
            self.behind.insert(*key, behind);
        }
        gone
    }

    /// Says that a route is gone; of somebody else's it is told where ours is.
    pub(super) fn tell_gone(&mut self, gone: &FakeRoute, now: Instant) {
        self.events.extend(tell_route(gone, now, false));
        let key = gone.route.key;
        let is_told = gone.protocol != OURS && self.at(&key).any(|it| it.protocol == OURS);
        if is_told && stands_beside(gone.protocol, key.to) {
            self.events
                .push_back(KernelEvent::PlaceLeft(gone.route.clone()));
        }
    }

    /// Returns the routes of an IPv6 place as the one that the kernel makes of them; `None` where it makes none.
    fn merged(&self, key: &RouteKey) -> Option<FakeRoute> {
        let first = self.at(key).next()?;
        let hops: Vec<NextHop> = self.at(key).flat_map(|it| it.route.hops.clone()).collect();
        let are_ways = self.at(key).all(|it| !it.route.hops.is_empty())
            && hops.iter().all(|hop| hop.via.is_some());
        let mut all = first.clone();
        all.route.hops = hops;
        (key.to.address.is_ipv6() && are_ways).then_some(all)
    }
}

/// Says of default routes that they are there, and in the place of none.
fn beside(event: KernelEvent) -> Vec<KernelEvent> {
    if let KernelEvent::RoutesReplaced(routes) = event {
        return routes.into_iter().map(KernelEvent::Route).collect();
    }
    vec![event]
}
