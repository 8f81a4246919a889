//! Which ways of the kernel's IPv6 routes are ours? Those that are written down.
//!
//! The kernel makes one route of all ways by neighbours that one place has, whoever has made them, and lists it with the number of whoever was there first.

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

    /// Writes down the ways of a route that is ours as it is, where nobody has: another run may have made it, or somebody else.
    pub(super) fn note_ways(&mut self, item: &Item, state: &ItemState) {
        if let (Item::Route(key), ItemState::Ours) = (item, state)
            && self.writer.journal.ways(key).is_none()
            && let Some(there) = self.observed.own().route(key)
        {
            self.writer.journal.write_down_ways(&there.route);
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
