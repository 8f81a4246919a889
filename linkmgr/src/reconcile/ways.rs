//! Which ways of the kernel's IPv6 routes are ours? Those that are written down.
//!
//! The kernel makes one route of all ways by neighbours that one place has, whoever has made them, and lists it with the number of whoever was there first.

use policy::links::RouteKey;

use super::Writer;
use crate::LinkManager;
use crate::observed::Observed;
use crate::request::KernelRequest;
use crate::status::{Item, ItemState};

impl LinkManager {
    /// Follows in a listing whose the ways are.
    pub(crate) fn tell_ways_apart(&self, listed: &mut Observed) {
        listed.tell_apart(|key| self.writer.journal.ways(key));
    }

    /// Follows in a notice whose the ways of a route are: it names all that its place has, whoever has put the last ones there.
    pub(crate) fn tell_ways_apart_at(&mut self, key: &RouteKey) {
        let ways = self.writer.journal.ways(key);
        self.observed.tell_apart_at(key, ways);
    }

    /// Writes down the ways of a route that is ours as it is, and no others: another run may have made it, or somebody else, and what was
    /// written down for a request may not have come about.
    pub(super) fn note_ways(&mut self, item: &Item, state: &ItemState) {
        if let (Item::Route(key), ItemState::Ours) = (item, state)
            && let Some(there) = self.observed.own().route(key)
        {
            self.writer.journal.write_down_ways(&there.route);
            self.writer.journal.settle_ways(&there.route);
        }
    }

    /// Takes that the kernel has refused a request: what it was to bring is not ours, should somebody else put it there.
    pub(super) fn take_back_ways(&mut self, request: &KernelRequest) {
        if let Some(refused) = request.route()
            && let Some(there) = self.observed.own().route(&refused.key)
        {
            self.writer.journal.settle_ways(&there.route);
        }
    }
}

impl Writer {
    /// Follows that the kernel has made a route.
    pub(super) fn follow_ways(&mut self, request: &KernelRequest) {
        if let Some(route) = request.route() {
            self.journal.settle_ways(route);
        }
    }
}
