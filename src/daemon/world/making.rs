//! Which links should be made, and when is it to be looked at anew? Tasks for the [`crate::making::Maker`].
//!
//! An order for links whose keys are in files waits until the helper has read those; nobody else keeps them.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use config::model::{StopUse, VirtualLink};
use config::time::Instant;
use linnet::api::AssociationStatus;
use policy::virtual_links::Spared;

use super::{Effect, World};
use crate::errands::Errand;
use crate::helper::KeeperError;
use crate::link_keys::{Keys, LinkKey};
use crate::making::associations::{Association, Board};
use crate::making::{Done, Made, Order, Task};

/// How long it is until what has failed and may pass is tried again, for the first time; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// Whether a link went that may have stood in the way of what has failed. That has it tried soon, once in each pause.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Room {
    #[default]
    None,
    /// One went, and nothing was tried since.
    Made,
    /// It was tried since; until the pause is over, others that go change nothing.
    Used,
}

/// The links that profiles make, as far as the world knows.
#[derive(Debug, Default)]
pub(super) struct Making {
    ordered: Option<Order>,
    /// The links that made ones are or stand on, with their indexes, and the link of somebody else that each is a port of: when that changes, it
    /// is looked at anew. What somebody takes out of a link of ours is not put back by that.
    around: BTreeMap<Arc<str>, (u32, u32)>,
    /// Whether links were made before, of which some may have to go.
    was_made: bool,
    notes: Vec<String>,
    /// How associations are.
    associations: Board,
    /// Links of somebody else, by index, that keep links in place which are to go.
    uppers: BTreeSet<u32>,
    /// What keys could not be marked.
    unmarked: Vec<String>,
    /// How many files were to be marked last.
    marking: usize,
    /// Whether the next order goes out though nothing seems to have changed.
    anew: bool,
    /// When the order goes out again, because what has failed may have passed.
    again_at: Option<Instant>,
    /// How often that was in vain.
    vain: u32,
    /// Whether what came of the last order is not known yet.
    is_under_way: bool,
    /// Whether the order that is under way went out again for that alone.
    is_again: bool,
    room: Room,
    /// Links that are to be linnetd's again with the next order.
    adopted: BTreeSet<Arc<str>>,
    /// When it was last known what had failed.
    told_at: Instant,
    /// Whether the daemon ends: what is there then stays, or goes, and is not made again.
    stops: bool,
}

impl Making {
    /// Takes whether anything was written down before.
    pub(super) fn new(was_made: bool) -> Self {
        Self {
            was_made,
            ..Self::default()
        }
    }

    /// Returns what is not as wanted.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        let troubles = self.associations.troubles.iter();
        let troubles = troubles.map(|(link, trouble)| format!("{link}: {trouble}"));
        let others = self.notes.iter().chain(&self.unmarked).cloned();
        others.chain(troubles)
    }

    /// Tells how the associations of a link are.
    pub(super) fn associations(&self, link: &str) -> Vec<AssociationStatus> {
        let listed = self.associations.links.get(link).into_iter().flatten();
        let told = |one: &Association| AssociationStatus {
            from: one.from.map(|from| from.to_string()),
            number: one.number,
            state: one.state.clone(),
        };
        listed.map(told).collect()
    }

    fn take_associations(&mut self, board: Board) {
        for (link, trouble) in &board.troubles {
            if self.associations.troubles.get(link) != Some(trouble) {
                tracing::warn!(%link, "{trouble}");
            }
        }
        self.associations = board;
    }

    /// Returns when the order goes out again.
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.again_at
    }

    /// Takes whether something has failed that may pass: then it is tried again, ever more rarely.
    fn put_off(&mut self, passes: bool, now: Instant) {
        if !passes || self.stops {
            (self.again_at, self.vain, self.is_again, self.room) = (None, 0, false, Room::None);
            return;
        }
        // What goes out because something else has happened says nothing of how long this lasts.
        self.vain = self
            .vain
            .saturating_add(u32::from(std::mem::take(&mut self.is_again)));
        self.told_at = now;
        let vain = match self.room {
            Room::Made => 0,
            Room::None | Room::Used => self.vain,
        };
        let doubled = 1_u32.checked_shl(vain).unwrap_or(u32::MAX);
        self.again_at = Some(now + FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE));
    }

    /// A link went, which may have stood in the way: what has failed is tried soon, as by itself for the first time.
    pub(super) fn link_went(&mut self, now: Instant) {
        // Where links come and go all the time, that they go says little.
        if self.room == Room::Used {
            return;
        }
        // An order that is under way may have come before.
        self.room = Room::Made;
        let soonest = now.max(self.told_at + FIRST_PAUSE);
        self.again_at = self.again_at.map(|at| at.min(soonest));
    }

    /// Has what is to go be looked at anew when one of the links is gone that have kept it.
    pub(super) fn look_at_uppers(&mut self, is_there: impl Fn(u32) -> bool, now: Instant) {
        let count = self.uppers.len();
        self.uppers.retain(|index| is_there(*index));
        if self.uppers.len() < count && !self.stops {
            self.anew = true;
            self.again_at = Some(now);
        }
    }

    /// Has a link be linnetd's again, with what its profile says of it.
    pub(super) fn adopt(&mut self, link: &Arc<str>) {
        self.adopted.insert(Arc::clone(link));
    }

    /// Has everything be ordered anew: key files may say something else, and somebody may have changed links by hand.
    pub(super) const fn order_anew(&mut self) {
        self.anew = true;
        if self.again_at.is_some() {
            self.again_at = Some(Instant::ZERO);
        }
    }
}

impl World {
    /// Says which ports somebody has taken out of links that are made: they stay out until they are asked for anew.
    pub(super) fn ports_taken_out(&self) -> Vec<String> {
        let Some(order) = self
            .making
            .ordered
            .as_ref()
            .filter(|_| !self.making.is_under_way)
        else {
            return Vec::new();
        };
        let made = order.wanted.iter().map(|wanted| &wanted.link);
        let made = made.filter(|link| !link.ports.is_empty());
        let mut found = Vec::new();
        for link in made {
            if self.linking.links.id_of(&link.name).is_none() {
                continue;
            }
            for port in link.ports.keys() {
                let id = self.linking.links.id_of(port);
                let facts = id.and_then(|id| self.facts.links.get(&id));
                let is_out = facts.is_some_and(|facts| facts.port_of.is_none());
                // Of what could not be done there is a line already.
                let said = format!("{port} ");
                let is_told = self.making.notes.iter().any(|note| note.starts_with(&said));
                if is_out && !is_told && !order.spared.released().contains(port) {
                    let name = &link.name;
                    found.push(format!(
                        "{port} is no port of {name} any more: somebody has taken it out, and linnet up {name} puts it back"
                    ));
                }
            }
        }
        found
    }

    /// Orders what the configuration wants, when that or something around it has changed.
    pub(super) fn order_links(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        // Before there is a plan everything that was made would seem to be unwanted.
        if !self.begun || self.making.stops {
            return;
        }
        let wanted = self.plan.links.made.clone();
        // Nobody makes anything, and nothing was made before.
        let is_idle = self.making.ordered.is_none() && !self.making.was_made;
        if wanted.is_empty() && is_idle {
            return;
        }
        let names: BTreeSet<&Arc<str>> = wanted
            .iter()
            .flat_map(|wanted| std::iter::once(&wanted.link.name).chain(wanted.link.below()))
            .collect();
        let links = self.facts.links.iter();
        let ours: BTreeSet<u32> = links
            .clone()
            .filter(|(_, link)| wanted.iter().any(|one| one.link.name == link.name))
            .map(|(id, _)| id.index)
            .collect();
        let theirs = |of: Option<NonZeroU32>| {
            let of = of.map_or(0, NonZeroU32::get);
            if ours.contains(&of) { 0 } else { of }
        };
        let around = links
            .filter(|(_, link)| names.contains(&link.name))
            .map(|(id, link)| (Arc::clone(&link.name), (id.index, theirs(link.port_of))))
            .collect();
        let order = Order {
            wanted,
            spared: Spared::of(&self.config, &self.facts),
            adopted: std::mem::take(&mut self.making.adopted),
            is_last: false,
        };
        let mut links = order.wanted.iter().map(|wanted| &wanted.link);
        let needs_keys = links.any(|link| link.key_files().next().is_some());
        let anew = std::mem::take(&mut self.making.anew);
        let is_same = self.making.ordered.as_ref() == Some(&order);
        let is_due = self.making.again_at.is_some_and(|at| at <= now);
        let is_nothing_else = is_same && self.making.around == around && !anew;
        if is_nothing_else && !is_due {
            return;
        }
        self.making.is_again = is_nothing_else;
        // An order under way when the link went does not count: what it tells leads to another one.
        if is_nothing_else {
            self.making.room = match self.making.room {
                Room::Made => Room::Used,
                Room::None | Room::Used => Room::None,
            };
        }
        self.making.again_at = None;
        if !is_same {
            self.making.vain = 0;
        }
        self.making.around = around;
        self.making.is_under_way = true;
        self.making.ordered = Some(order.clone());
        effects.push(if needs_keys {
            Effect::Errand(Errand::ReadLinkKeys)
        } else {
            Effect::Make(Task::Links(order, Keys::default()))
        });
    }

    /// Takes the keys that an order has waited for.
    pub(super) fn handle_link_keys(
        &self,
        files: Result<Vec<LinkKey>, KeeperError>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(order) = self.making.ordered.clone().filter(|_| !self.making.stops) else {
            return;
        };
        let links = order.wanted.iter().map(|wanted| wanted.link.clone());
        let links: Vec<VirtualLink> = links.collect();
        let keys = Keys::of(files, &links);
        effects.push(Effect::Make(Task::Links(order, keys)));
    }

    /// Takes what came of marking keys; what is marked may send from now on.
    pub(super) fn handle_marked(
        &mut self,
        marked: Result<Vec<String>, KeeperError>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let troubles = marked.unwrap_or_else(|error| {
            let trouble = format!("keys cannot be marked as used, and are not: {error}");
            vec![trouble; self.making.marking]
        });
        for trouble in &troubles {
            tracing::warn!("{trouble}");
        }
        // When nothing is better than before, it is not tried again before something happens.
        let is_better = troubles.len() < self.making.marking;
        self.making.unmarked = troubles;
        self.making.unmarked.dedup();
        if is_better {
            self.making.order_anew();
            self.order_links(now, effects);
        }
    }

    /// Takes what came of a task.
    pub(super) fn handle_done(&mut self, done: Done, now: Instant, effects: &mut Vec<Effect>) {
        match done {
            Done::Made(made) => self.handle_made(made, now, effects),
            Done::Looked(link, readings) => self.handle_looked(&link, &readings, now),
            Done::Counted(board) => self.making.take_associations(board),
        }
    }

    fn handle_made(&mut self, made: Made, now: Instant, effects: &mut Vec<Effect>) {
        let Made {
            notes,
            passes,
            tunnels,
            associations,
            unmarked,
            uppers,
        } = made;
        self.making.take_associations(associations);
        self.making.is_under_way = false;
        // One that is not known has gone meanwhile, or is yet to be heard of.
        let is_known = |index: &u32| self.linking.links.id_at(*index).is_some();
        let (known, unknown): (BTreeSet<u32>, BTreeSet<u32>) =
            uppers.into_iter().partition(is_known);
        self.making.uppers = known;
        self.making.put_off(passes || !unknown.is_empty(), now);
        if !unmarked.is_empty() && !self.making.stops {
            self.making.marking = unmarked.len();
            effects.push(Effect::Errand(Errand::MarkLinkKeys(unmarked)));
        }
        for note in notes
            .iter()
            .filter(|note| !self.making.notes.contains(note))
        {
            tracing::warn!("{note}");
        }
        self.making.notes = notes;
        if let Some(tunnels) = tunnels {
            self.follow_tunnels(&tunnels, now);
        }
    }

    /// Has the links that were made removed at the end, where nothing of ours is to stay.
    pub(super) fn remove_made_links(&mut self, effects: &mut Vec<Effect>) {
        self.making.stops = true;
        self.making.again_at = None;
        if self.config.links.stop == StopUse::Clean && self.making.ordered.is_some() {
            // What was released stays.
            let nothing = Order {
                wanted: Vec::new(),
                spared: Spared::of_released(&self.config, &self.facts),
                adopted: BTreeSet::new(),
                is_last: true,
            };
            effects.push(Effect::Make(Task::Links(nothing, Keys::default())));
        }
    }
}
