//! How do the neighbours and the resolver hear of each other? Multicast DNS and LLMNR, between sockets and core.

use super::Running;
use crate::clock;

impl Running<'_> {
    /// Hands the resolver what the neighbours said.
    pub(super) fn hear(&mut self) {
        let now = clock::now();
        while let Some(heard) = self.multicast.poll_heard() {
            self.world.resolver.handle_heard(&heard, now);
        }
    }

    /// Hands on what the resolver has to say to the neighbours, and what it has seen of them.
    pub(super) fn speak(&mut self) {
        if let Some(places) = self.world.resolver.poll_listening() {
            self.multicast.listen(&places);
            let is_shared = self.multicast.is_shared();
            self.world.resolver.apply_shared_port(is_shared);
        }
        while let Some(spoken) = self.world.resolver.poll_spoken() {
            self.multicast.send(&spoken);
        }
        while let Some(order) = self.world.resolver.poll_order() {
            self.llmnr.obey(order);
        }
        self.world.take_sights(clock::now());
    }
}
