//! What is done when the machine sleeps and wakes? Nothing is dropped: what was there is used, and confirmed beside that.

use std::sync::Arc;

use config::model::MdnsMode;
use config::time::Instant;

use super::{Effect, World};
use crate::sleep::Sleep;

impl World {
    pub(super) fn handle_sleep(&mut self, sleep: Sleep, now: Instant, effects: &mut Vec<Effect>) {
        match sleep {
            Sleep::Falls => {
                tracing::info!("the machine is about to sleep");
                // RFC 6762 §10.1: neighbours need not find out by themselves.
                self.resolver.fall_silent();
                self.resolver.hang_up();
                effects.push(Effect::MaySleep);
            }
            Sleep::Wakes => {
                tracing::info!(
                    "the machine was asleep: leases, routers and connections are looked at anew"
                );
                let wall = self.linking.wall(now);
                self.linking.clients.handle_resume(wall, now);
                self.resolver.handle_resume(now);
                // The neighbours that were left are met again.
                self.resolver.apply_plan(Arc::clone(&self.plan.dns), now);
            }
        }
    }

    /// Has the machine wait for us before it sleeps while there is something to do then: a goodbye to say, or a connection
    /// to close that its other end would keep.
    pub(super) fn delay_sleep(&mut self, effects: &mut Vec<Effect>) {
        let dns = &self.plan.dns;
        let neighbours = &dns.multicast.links;
        let responds = neighbours.iter().any(|link| link.mdns == MdnsMode::Respond);
        let mut upstreams = dns.scopes.values().flat_map(|scope| &scope.upstreams);
        let connects = upstreams.any(|upstream| upstream.transport.is_encrypted());
        let is_needed = responds || connects;
        if std::mem::replace(&mut self.delays, is_needed) != is_needed {
            effects.push(Effect::Delay(is_needed));
        }
    }
}
