//! When is what was learned of an upstream told, so that it is kept for the day when its network is met again?
//!
//! At once when nothing was told of late, else together with what is learned meanwhile: a server that comes and goes is no
//! reason to write a file every second. What is remembered is `networks`' to say.

use std::time::Duration;

use config::model::Upstream;
use config::time::Instant;

use crate::Resolver;
use crate::event::{Event, Timer};
use crate::exchange::Asking;

/// The least time between two tellings.
const TELL_INTERVAL: Duration = Duration::from_secs(30);

impl Resolver {
    /// Remembers what is known of an upstream in its network.
    pub(crate) fn remember(&mut self, asking: &Asking, upstream: &Upstream, now: Instant) {
        if !self.note_memory(asking, upstream, now) {
            return;
        }
        match self.memory_told_at {
            Some(told_at) if now.since(told_at) < TELL_INTERVAL => {
                self.timers
                    .set_earlier(Timer::Memory, 0, told_at + TELL_INTERVAL);
            }
            Some(_) | None => self.tell_memory(now),
        }
    }

    /// As [`Self::remember`], told at once: a proof is rare, and costs time to find again.
    pub(crate) fn remember_proof(&mut self, asking: &Asking, upstream: &Upstream, now: Instant) {
        if self.note_memory(asking, upstream, now) {
            self.tell_memory(now);
        }
    }

    fn note_memory(&mut self, asking: &Asking, upstream: &Upstream, now: Instant) -> bool {
        let Some(scope) = self.scopes.living(&asking.scope, asking.incarnation) else {
            return false;
        };
        let Some(network) = scope.plan.network.clone() else {
            return false;
        };
        let memory = scope.state(upstream).map(|state| state.memory(now));
        memory.is_some_and(|memory| self.networks.note(&network, upstream, memory))
    }

    /// Tells what is remembered.
    pub(crate) fn tell_memory(&mut self, now: Instant) {
        self.timers.clear(Timer::Memory, 0);
        self.memory_told_at = Some(now);
        self.events
            .push_back(Event::Networks(self.networks.to_text()));
    }
}
