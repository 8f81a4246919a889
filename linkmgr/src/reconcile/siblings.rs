//! Do default routes of several links keep out of each other's way? The kernel tells them apart by their metric alone, and the journal names no
//! link: whoever takes a metric takes it from the link that had it.
//!
//! A plan that ranks links anew gives the metric of one to another. The better places are taken first, and a link that is to get a better one keeps
//! what it has until it is there: somebody else may have the better one, as with a link that was left to others.

use policy::LinkId;
use policy::links::RouteKey;

use super::decide::View;
use crate::kernel::OwnRoute;
use crate::observed::MAIN;

impl View<'_> {
    /// Whether a default route that is there is to move to a better place, as it is, and is not there yet.
    pub(super) fn awaits_better(&self, key: &RouteKey, there: &OwnRoute) -> bool {
        let Some(index) = there.index().filter(|_| key.to.length == 0) else {
            return false;
        };
        let Some((id, link)) = self.id_by_index.get(&index).zip(self.link(index)) else {
            return false;
        };
        let better = link.routes.range(RouteKey { metric: 0, ..*key }..*key);
        let mut better = better.filter(|(other, _)| other.from == key.from);
        better.any(|(other, _)| {
            let planned = self.planned_route(other);
            let planned = planned.filter(|(holder, _)| holder == id);
            let is_it = planned.is_some_and(|(LinkId { index, .. }, planned)| {
                self.own_route(index, *other, planned).hops == there.hops
            });
            is_it && !self.leaves_by(other, index)
        })
    }

    /// Whether a place is held by a default route of another link that is to move to a better one first.
    pub(super) fn awaits_sibling(&self, key: &RouteKey, wanted: &OwnRoute) -> bool {
        let there = self.observed.own().route(key).map(|there| &there.route);
        there.is_some_and(|there| {
            let is_sibling = there.index().is_some_and(|index| !wanted.leaves_by(index));
            is_sibling && self.awaits_better(key, there)
        })
    }

    /// Whether the place of a route is held by a link by which it does not leave, or by a routing program: an adoption takes nothing from
    /// either.
    pub(super) fn is_others_place(&self, key: &RouteKey, wanted: &OwnRoute) -> bool {
        let is_other = |index: u32| !wanted.leaves_by(index);
        let own = self.observed.own().route(key).into_iter();
        let mut own = own.flat_map(|there| &there.route.hops);
        // Of other routes of others nothing is told.
        let is_told = key.table == MAIN && key.from.is_none();
        let mut holders = self.observed.with_default(key.to, key.metric);
        own.any(|hop| is_other(hop.index))
            || is_told && holders.any(|(index, maker)| maker.is_left_alone() || is_other(index))
    }

    /// Whether a link was adopted a moment ago: what comes by then is taken as what was there.
    pub(super) fn was_adopted(&self, index: u32) -> bool {
        let until = self.adopted.get(&index);
        until.is_some_and(|until| *until > self.now)
    }

    /// Whether a route of ours leaves by a link.
    fn leaves_by(&self, key: &RouteKey, index: u32) -> bool {
        let there = self.observed.own().route(key);
        there.is_some_and(|there| there.route.leaves_by(index))
    }
}
