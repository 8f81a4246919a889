//! Sans-IO link manager: what the kernel says, as facts.
//!
//! [`LinkManager`] folds [`KernelEvent`]s into [`LinkFacts`]. It sends nothing to the kernel.

pub mod kernel;

use std::collections::BTreeMap;

pub use kernel::{KernelEvent, LinkMessage, RouteMessage};
use policy::{LinkFacts, LinkId};

/// The links of the machine, as last reported.
#[derive(Debug, Default)]
pub struct LinkManager {
    facts: BTreeMap<LinkId, LinkFacts>,
}

impl LinkManager {
    /// Takes one thing that the kernel said; returns whether any fact has changed.
    pub fn handle_event(&mut self, _event: KernelEvent) -> bool {
        false
    }

    /// Returns the facts of every link.
    pub fn facts(&self) -> &BTreeMap<LinkId, LinkFacts> {
        &self.facts
    }
}
