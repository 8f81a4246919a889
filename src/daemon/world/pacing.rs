//! How often is a plan made, and of which links? With a thousand links of ours, not for each of the thousand things that the
//! kernel says while they are set up; with a thousand links of others, for none of them.

use std::time::Duration;

use config::time::Instant;
use policy::Interest;

use super::{Effect, World};

/// With fewer links than this a plan costs less than waiting.
const MANY_LINKS: u32 = 100;
/// How long after a plan the next one waits, for each link: five times what a plan costs.
const PAUSE_PER_LINK: Duration = Duration::from_micros(60);

/// When plans are made.
#[derive(Debug)]
pub(super) struct Pace {
    /// Until when the next plan waits.
    pause_until: Instant,
    /// When a plan is to be made, when one waits.
    due_at: Option<Instant>,
    /// Whether the configuration may be about other links than before.
    interest_is_old: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            pause_until: Instant::ZERO,
            due_at: None,
            interest_is_old: true,
        }
    }
}

impl Pace {
    /// Returns when a plan is to be made that waits.
    pub(super) const fn due_at(&self) -> Option<Instant> {
        self.due_at
    }

    /// Takes that the configuration is another one.
    pub(super) const fn renew_interest(&mut self) {
        self.interest_is_old = true;
    }

    /// Takes that a plan of so many links is made.
    pub(super) fn begin(&mut self, links: usize, now: Instant) {
        let pause = match u32::try_from(links) {
            Ok(links) if links < MANY_LINKS => Duration::ZERO,
            links => PAUSE_PER_LINK * links.unwrap_or(u32::MAX),
        };
        self.pause_until = now + pause;
        self.due_at = None;
    }
}

impl World {
    /// Makes a plan, and has the links made that it wants, at once; or, where there are many links and one was made a moment ago, a moment later.
    pub(super) fn replan_soon(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if now >= self.pace.pause_until {
            self.replan(now, effects);
            self.order_links(now, effects);
        } else {
            self.pace.due_at = Some(self.pace.pause_until);
        }
    }

    /// Tells the links which of them matter, when claims or the configuration are others than before.
    pub(super) fn apply_interest(&mut self, now: Instant) {
        let layers = self.claims.layers();
        if !std::mem::take(&mut self.pace.interest_is_old) && self.facts.layers == layers {
            return;
        }
        self.facts.layers = layers;
        let interest = Interest::of(&self.config, &self.facts.layers);
        if self.linking.links.apply_interest(interest) {
            self.take_links(now);
        }
    }
}
