//! Do the routes of two links to one place keep out of each other's way? The kernel tells them apart by their metric alone, and the journal
//! names no link: whoever takes a metric takes it from the link that had it.
//!
//! A plan that ranks links anew gives the metric of one to another. The better places are taken first. A link that is to get a better one
//! keeps what it has until it is there, whatever keeps it from it: it is never left without a route because another one was given its place.

use config::model::{RouteKind, RouteTuning};
use policy::LinkId;
use policy::facts::{DefaultRoute, Preference};
use policy::links::{RouteKey, RoutePlan};

use super::decide::View;
use crate::kernel::{OwnRoute, RouteMessage};
use crate::observed::MAIN;

impl View<'_> {
    /// Whether a place is held by a route of another link that is to get a better one, and has not got it yet.
    pub(super) fn awaits_sibling(
        &self,
        key: &RouteKey,
        wanted: &OwnRoute,
        there: &OwnRoute,
    ) -> bool {
        let holder = there.index();
        let is_sibling = holder.is_some_and(|index| !wanted.leaves_by(index));
        is_sibling && self.awaits_better(key, there)
    }

    /// Whether the link of a route is to get a better one to the same place, and has not got it yet.
    pub(super) fn awaits_better(&self, key: &RouteKey, there: &OwnRoute) -> bool {
        let Some(index) = there.index() else {
            return false;
        };
        let Some((id, link)) = self.id_by_index.get(&index).zip(self.link(index)) else {
            return false;
        };
        let better = link.routes.range(RouteKey { metric: 0, ..*key }..*key);
        let mut better = better.filter(|(other, _)| other.from == key.from);
        better.any(|(other, _)| {
            let holds = |(holder, _): (LinkId, _)| holder == *id;
            self.planned_route(other).is_some_and(holds) && !self.leaves_by(other, index)
        })
    }

    /// Whether a route of ours leaves by a link.
    fn leaves_by(&self, key: &RouteKey, index: u32) -> bool {
        let there = self.observed.own().route(key);
        there.is_some_and(|there| there.route.leaves_by(index))
    }

    /// Whether somebody else has made just the default route that a profile wants. Of his other routes nothing is told, nor of what a
    /// default route says beside its way.
    pub(super) fn is_same_of_other(
        &self,
        key: &RouteKey,
        planned: &RoutePlan,
        wanted: &OwnRoute,
    ) -> bool {
        let is_default = key.table == MAIN && key.from.is_none() && key.to.length == 0;
        let is_plain = wanted.kind == RouteKind::Unicast
            && wanted.mtu.is_none()
            && wanted.preference == Preference::Medium
            && wanted.tuning == RouteTuning::default();
        let ([hop], None, true) = (
            wanted.hops.as_slice(),
            planned.supplier,
            is_default && is_plain,
        ) else {
            return false;
        };
        self.observed.has_default(&RouteMessage {
            index: hop.index,
            to: key.to,
            route: DefaultRoute {
                metric: key.metric,
                gateway: hop.via,
            },
            source: wanted.source,
            protocol: 0,
        })
    }

    /// Whether the place of a default route is that of another link, by which it does not leave.
    pub(super) fn is_others_place(&self, key: &RouteKey, wanted: &OwnRoute) -> bool {
        let is_default = key.table == MAIN && key.from.is_none();
        is_default && {
            let mut links = self.observed.with_default(key.to, key.metric).peekable();
            links.peek().is_some() && !links.any(|index| wanted.leaves_by(index))
        }
    }
}
