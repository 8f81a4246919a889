//! Which links should be made, and when is it to be looked at anew? Orders for the [`crate::making::Maker`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::model::StopUse;
use policy::virtual_links::{WantedLink, wanted};

use super::{Effect, Kept, World};
use crate::making::{Made, Order, can_make};

/// The links that profiles make, as far as the world knows.
#[derive(Debug, Default)]
pub(super) struct Making {
    ordered: Option<Order>,
    /// The links that made ones are or stand on, with their indexes: when that changes, it is looked at anew.
    around: BTreeMap<Arc<str>, u32>,
    kept: Option<String>,
    notes: Vec<String>,
    /// What is left to others to make, and how.
    left: Vec<String>,
}

impl Making {
    /// Takes what was written down before.
    pub(super) fn new(kept: Option<String>) -> Self {
        Self {
            kept,
            ..Self::default()
        }
    }

    /// Returns what is not as wanted.
    pub(super) fn notes(&self) -> impl Iterator<Item = &String> {
        self.notes.iter().chain(&self.left)
    }
}

impl World {
    /// Orders what the configuration wants, when that or something around it has changed.
    pub(super) fn order_links(&mut self, effects: &mut Vec<Effect>) {
        let (wanted, others): (Vec<WantedLink>, Vec<WantedLink>) = wanted(&self.config)
            .into_iter()
            .partition(|wanted| can_make(wanted.link.kind));
        let left: Vec<String> = others.iter().map(left_to_others).collect();
        for note in left.iter().filter(|note| !self.making.left.contains(note)) {
            tracing::warn!("{note}");
        }
        self.making.left = left;
        // Nobody makes anything, and nothing was made before.
        if wanted.is_empty() && self.making.ordered.is_none() && self.making.kept.is_none() {
            return;
        }
        let names: BTreeSet<&Arc<str>> = wanted
            .iter()
            .flat_map(|wanted| std::iter::once(&wanted.link.name).chain(wanted.link.below()))
            .collect();
        let links = self.facts.links.iter();
        let around = links
            .filter(|(_, link)| names.contains(&link.name))
            .map(|(id, link)| (Arc::clone(&link.name), id.index))
            .collect();
        let order = Order { wanted };
        if self.making.ordered.as_ref() == Some(&order) && self.making.around == around {
            return;
        }
        self.making.around = around;
        self.making.ordered = Some(order.clone());
        effects.push(Effect::Make(order));
    }

    /// Takes what came of an order.
    pub(super) fn handle_made(&mut self, made: Made, effects: &mut Vec<Effect>) {
        let Made { kept, notes } = made;
        for note in notes
            .iter()
            .filter(|note| !self.making.notes.contains(note))
        {
            tracing::warn!("{note}");
        }
        self.making.notes = notes;
        if self.making.kept.as_ref() != Some(&kept) {
            self.making.kept = Some(kept.clone());
            effects.push(Effect::Keep(Kept::MadeLinks, kept));
        }
    }

    /// Has the links that were made removed at the end, where nothing of ours is to stay.
    pub(super) fn remove_made_links(&self, effects: &mut Vec<Effect>) {
        if self.config.links.stop == StopUse::Clean && self.making.ordered.is_some() {
            effects.push(Effect::Make(Order { wanted: Vec::new() }));
        }
    }
}

/// Says what an administrator has to do for a link that is not made here.
fn left_to_others(wanted: &WantedLink) -> String {
    let (name, kind) = (&wanted.link.name, wanted.link.kind.name);
    format!(
        "{name} is not made by linnetd: links of kind {kind} are left to other programs so far, as `ip link add {name} type {kind}` \
         or wg-quick; what else profile {} says is done as soon as it is there",
        wanted.profile
    )
}
