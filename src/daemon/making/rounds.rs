//! What is done for an order of links, and what is written down before? [`carry_out`]: lists, compares and asks until nothing is left.
//!
//! What is asked for is in the book before the kernel is asked, so that linnetd may die at any point. A link is asked for with an index that
//! is drawn: one with its name and this index is ours, whether its maker lived to hear of it or not.

#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use policy::virtual_links::{
    LinkChange, LinkChanges, LinkNote, OwnLinks, PresentLink, Scope, changes,
};

use super::Order;
use super::kept::{Book, Ours, is_drawn};

/// How often it is compared anew: what was done may make other things possible, a port of a link for one.
const ROUNDS: usize = 4;
/// How often a port of somebody else is asked to be taken back, where what keeps it out may pass: with each try it goes down and up.
const OWED_TRIES: usize = 8;
/// How long it is until the last order is tried again: nobody is there who could do so later, and who stops linnetd waits.
const LAST_PAUSES: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
];

/// Links by name.
pub(crate) type Links = BTreeMap<Arc<str>, PresentLink>;

/// What reaches the kernel and the disk.
pub(crate) trait Hands {
    /// Lists all links.
    fn list(&mut self) -> Result<Links, Arc<str>>;
    /// Has the kernel make one change. `indexes` are those of all links, and of those that are to be made.
    fn change(
        &mut self,
        change: &LinkChange,
        there: &Links,
        indexes: &BTreeMap<Arc<str>, u32>,
    ) -> Result<(), Refusal>;
    /// Replaces what is written down; whether that went well.
    fn keep(&mut self, text: &str) -> bool;
    /// Lets time pass.
    fn wait(&mut self, pause: Duration);
}

/// Why the kernel has not made a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Its words.
    pub(crate) text: Arc<str>,
    /// Whether the same may be done later, though nothing is told of what stands in its way.
    pub(crate) passes: bool,
}

/// What has come of an order.
#[derive(Debug)]
pub(crate) struct Carried {
    /// What the kernel refuses.
    pub(crate) failures: Failures,
    /// What is left for another reason.
    pub(crate) notes: BTreeSet<LinkNote>,
    /// Links of somebody else, by index, that keep links in place which are to go.
    pub(crate) uppers: BTreeSet<u32>,
    /// Whether some of the failures may pass.
    pub(crate) passes: bool,
}

/// What could not be done, by the link that it is about.
pub(crate) type Failures = BTreeMap<Arc<str>, String>;

/// Does all that can be done, but makes no link that lacks its key; what the kernel refuses keeps nothing else from being done.
///
/// # Errors
/// When the kernel does not list links.
pub(crate) fn carry_out(
    order: &Order,
    lacking: &Failures,
    book: &mut Book,
    hands: &mut impl Hands,
) -> Result<Carried, Arc<str>> {
    let mut round = Round {
        book,
        hands,
        failures: Failures::new(),
        refused: Vec::new(),
        passes: false,
    };
    let mut notes = BTreeSet::new();
    let mut uppers = BTreeSet::new();
    for _ in 0..ROUNDS {
        let there = round.hands.list()?;
        round.book.forget_gone(&there);
        round.book.take_over(order, &there);
        let LinkChanges {
            changes,
            notes: left,
        } = changes(&order.wanted, &order.spared, &there, &round.book.ours.links);
        notes = left;
        uppers = uppers_in(&notes, &there);
        if round.go(&changes, &there, lacking) == 0 {
            break;
        }
    }
    let Round {
        failures, passes, ..
    } = round;
    book.keep(|text| hands.keep(text));
    Ok(Carried {
        failures,
        notes,
        uppers,
        passes,
    })
}

/// Returns the links of somebody else that keep others in place.
fn uppers_in(notes: &BTreeSet<LinkNote>, there: &Links) -> BTreeSet<u32> {
    let uppers = notes.iter().filter_map(|note| match note {
        LinkNote::CarriesForeign { upper, .. } => Some(there.get(upper)?.index),
        LinkNote::Waits { .. }
        | LinkNote::Foreign(_)
        | LinkNote::Spared(_)
        | LinkNote::Carries { .. }
        | LinkNote::NotAnew(..)
        | LinkNote::PortTaken { .. }
        | LinkNote::PortAbsent { .. } => None,
    });
    uppers.collect()
}

/// As [`carry_out`], when there is no order after this one: what may pass is tried again for a while.
///
/// # Errors
/// When the kernel does not list links.
pub(crate) fn carry_out_last(
    order: &Order,
    book: &mut Book,
    hands: &mut impl Hands,
) -> Result<Carried, Arc<str>> {
    let none = Failures::new();
    for pause in LAST_PAUSES {
        let carried = carry_out(order, &none, book, hands)?;
        if !carried.passes {
            return Ok(carried);
        }
        hands.wait(pause);
    }
    carry_out(order, &none, book, hands)
}

struct Round<'a, H> {
    book: &'a mut Book,
    hands: &'a mut H,
    failures: Failures,
    /// Changes that the kernel has refused: in this order they are not asked for again.
    refused: Vec<LinkChange>,
    passes: bool,
}

impl<H: Hands> Round<'_, H> {
    /// Makes changes, in order; returns how many of them were made.
    fn go(&mut self, changes: &[LinkChange], there: &Links, lacking: &Failures) -> usize {
        let mut indexes: BTreeMap<Arc<str>, u32> = there
            .iter()
            .map(|(name, link)| (Arc::clone(name), link.index))
            .collect();
        // All that goes comes first: of a name that comes again the book has the index of before until then.
        let is_removal = |change: &LinkChange| matches!(change, LinkChange::Remove(_));
        let first = changes.iter().take_while(|change| is_removal(change));
        let count = first.count();
        let (removed, rest) = changes.split_at(count);
        let mut done = 0;
        let refused = self.refused.clone();
        for change in removed.iter().filter(|change| !refused.contains(change)) {
            done += usize::from(self.make(change, there, &mut indexes));
        }
        // A name that is still ours has a link of before, which did not go.
        let is_taken = |name: &Arc<str>| self.book.ours.links.made.contains_key(name);
        let is_possible = |change: &LinkChange| match change {
            LinkChange::Make(wanted) => {
                let link = &wanted.link;
                let mut names = std::iter::once(&link.name).chain(&link.peer);
                !lacking.contains_key(&link.name) && !names.any(is_taken)
            }
            LinkChange::Remove(_)
            | LinkChange::SetUp(..)
            | LinkChange::Set { .. }
            | LinkChange::Join { .. }
            | LinkChange::Rejoin { .. }
            | LinkChange::Leave(_)
            | LinkChange::SetPort { .. }
            | LinkChange::AddVlans(..)
            | LinkChange::RemoveVlans(..) => true,
        };
        let asked = rest.iter().enumerate();
        let asked = asked.filter(|(at, _)| !self.is_refused(rest, *at));
        let rest: Vec<&LinkChange> = asked
            .map(|(_, change)| change)
            .filter(|change| is_possible(change))
            .collect();
        for change in &rest {
            self.book.write_down(change, there);
        }
        let is_kept = self.book.keep(|text| self.hands.keep(text));
        let rest = match is_kept {
            true => rest,
            false => self.without_owing(rest, there),
        };
        for change in rest {
            if let LinkChange::Make(wanted) = change {
                for name in std::iter::once(&wanted.link.name).chain(&wanted.link.peer) {
                    let drawn = self.book.ours.links.made.get(name).copied();
                    indexes.extend(drawn.map(|index| (Arc::clone(name), index)));
                }
            }
            done += usize::from(self.make(change, there, &mut indexes));
        }
        done
    }

    /// Whether the kernel has refused a change in this order, or the one that a link goes down and comes up for alone.
    fn is_refused(&self, changes: &[LinkChange], at: usize) -> bool {
        let Some(change) = changes.get(at) else {
            return false;
        };
        let next_to = if let LinkChange::SetUp(_, up) = change {
            let at = match up {
                true => at.checked_sub(1),
                false => at.checked_add(1),
            };
            at.and_then(|at| changes.get(at))
        } else {
            None
        };
        let reason = next_to.filter(|reason| subject(reason) == subject(change));
        self.refused.contains(change) || reason.is_some_and(|it| self.refused.contains(it))
    }

    /// Leaves out what a port of somebody else would have to leave for: that it is to come back is not written down.
    fn without_owing<'c>(
        &mut self,
        changes: Vec<&'c LinkChange>,
        there: &Links,
    ) -> Vec<&'c LinkChange> {
        let of = |port: &Arc<str>| there.get(port).and_then(|link| link.port_of.as_ref());
        let leaves = changes.iter().filter_map(|change| match change {
            LinkChange::Leave(port) => {
                let of = of(port)?;
                (!self.book.is_joined(port, of)).then_some(of)
            }
            LinkChange::Make(_)
            | LinkChange::Remove(_)
            | LinkChange::SetUp(..)
            | LinkChange::Set { .. }
            | LinkChange::Join { .. }
            | LinkChange::Rejoin { .. }
            | LinkChange::SetPort { .. }
            | LinkChange::AddVlans(..)
            | LinkChange::RemoveVlans(..) => None,
        });
        let whole: BTreeSet<&Arc<str>> = leaves.collect();
        let text = "its ports cannot leave for a while, for that cannot be written down";
        for name in &whole {
            self.failures.insert(Arc::clone(name), text.to_owned());
            self.passes = true;
        }
        let stays =
            |name: &Arc<str>| whole.contains(name) || of(name).is_some_and(|of| whole.contains(of));
        let (left_out, rest): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| match change {
                LinkChange::SetUp(name, _)
                | LinkChange::Set { name, .. }
                | LinkChange::Leave(name)
                | LinkChange::Join { port: name, .. }
                | LinkChange::Rejoin { port: name, .. } => stays(name),
                LinkChange::Make(_)
                | LinkChange::Remove(_)
                | LinkChange::SetPort { .. }
                | LinkChange::AddVlans(..)
                | LinkChange::RemoveVlans(..) => false,
            });
        self.refused.extend(left_out.into_iter().cloned());
        rest
    }

    fn make(
        &mut self,
        change: &LinkChange,
        there: &Links,
        indexes: &mut BTreeMap<Arc<str>, u32>,
    ) -> bool {
        match self.hands.change(change, there, indexes) {
            Ok(()) => {
                if let LinkChange::Remove(name) = change {
                    indexes.remove(name);
                }
                self.book.done(change);
                true
            }
            Err(Refusal { text, passes }) => {
                self.book.failed(change, there, passes);
                self.failures.insert(subject(change), text.to_string());
                self.refused.push(change.clone());
                self.passes |= passes;
                false
            }
        }
    }
}

impl Book {
    /// Strikes out what is gone: it is ours no more, whoever takes its name or its place.
    fn forget_gone(&mut self, there: &Links) {
        let OwnLinks {
            made,
            joined,
            set: _,
            vlans,
            owed,
            owed_up,
        } = &mut self.ours.links;
        made.retain(|name, index| there.get(name).is_some_and(|link| link.index == *index));
        joined.retain(|(port, of)| is_port(there, port, of));
        vlans.retain(|(name, vlan)| has_vlan(there, name, *vlan));
        let by_index = |index: u32| there.values().find(|link| link.index == index);
        owed.retain(|port, of| {
            let is_out = by_index(*port).is_some_and(|port| port.port_of.is_none());
            is_out && by_index(*of).is_some()
        });
        let tries = &mut self.tries_by_owed;
        tries.retain(|port, _| owed.contains_key(port));
        owed_up.retain(|index| by_index(*index).is_some_and(|link| !link.up));
    }

    fn is_joined(&self, port: &Arc<str>, of: &Arc<str>) -> bool {
        let joined = (Arc::clone(port), Arc::clone(of));
        self.ours.links.joined.contains(&joined)
    }

    /// Strikes out what was released, and writes down what is ours again. That is what linnetd made, which its index tells, and what its profile
    /// says of it.
    fn take_over(&mut self, order: &Order, there: &Links) {
        let released = order.spared.released();
        let Ours {
            links,
            peers,
            receives,
        } = &mut self.ours;
        links.made.retain(|name, _| !released.contains(name));
        links.joined.retain(|(_, of)| !released.contains(of));
        links.set.retain(|(name, ..)| !released.contains(name));
        let is_released = |name: &Arc<str>| {
            let bridge = there.get(name).and_then(|link| link.port_of.as_ref());
            released.contains(bridge.unwrap_or(name))
        };
        links.vlans.retain(|(name, _)| !is_released(name));
        peers.retain(|name, _| !released.contains(name));
        receives.retain(|name, _| !released.contains(name));
        let adopted = order.wanted.iter().map(|wanted| &wanted.link);
        for link in adopted.filter(|link| order.adopted.contains(&link.name)) {
            let held = there.get(&link.name);
            let held = held.filter(|held| held.kind.is_none_or(|kind| kind == link.kind));
            let Some(held) = held.filter(|held| is_drawn(held.index)) else {
                continue;
            };
            links.made.insert(Arc::clone(&link.name), held.index);
            if let Some(peer) = &link.peer {
                let index = there.get(peer).map(|held| held.index);
                let index = index.filter(|index| is_drawn(*index));
                links
                    .made
                    .extend(index.map(|index| (Arc::clone(peer), index)));
            }
            let mut vlans = vec![(&link.name, &link.vlans)];
            for (port, settings) in &link.ports {
                if is_port(there, port, &link.name) {
                    let joined = (Arc::clone(port), Arc::clone(&link.name));
                    links.joined.insert(joined);
                    vlans.push((port, &settings.vlans));
                }
            }
            for (name, said) in vlans {
                let here = said.keys().filter(|vlan| has_vlan(there, name, **vlan));
                links
                    .vlans
                    .extend(here.map(|vlan| (Arc::clone(name), *vlan)));
            }
            if let Some(tunnel) = &link.wireguard {
                let keys = tunnel.peers.keys().copied().collect();
                peers.insert(Arc::clone(&link.name), keys);
            }
        }
    }

    /// Writes down what a change will make ours.
    fn write_down(&mut self, change: &LinkChange, there: &Links) {
        match change {
            LinkChange::Make(wanted) => {
                for name in std::iter::once(&wanted.link.name).chain(&wanted.link.peer) {
                    let index = self.draw(there);
                    self.ours.links.made.insert(Arc::clone(name), index);
                }
            }
            LinkChange::Join { .. } | LinkChange::AddVlans(..) => self.done(change),
            // A port of somebody else has to come back, whoever is there to see to it.
            LinkChange::Leave(name) => {
                let port = there.get(name);
                let of = port.and_then(|port| port.port_of.as_ref());
                if let (Some(port), Some(of)) = (port, of)
                    && !self.is_joined(name, of)
                {
                    let of = there.get(of).map(|of| (port.index, of.index));
                    self.ours.links.owed.extend(of);
                }
            }
            // What goes down does so for a while.
            LinkChange::SetUp(name, false) => {
                let index = there.get(name).map(|link| link.index);
                self.ours.links.owed_up.extend(index);
            }
            // What goes is struck out afterwards, and of attributes nothing is kept.
            LinkChange::Remove(_)
            | LinkChange::SetUp(_, true)
            | LinkChange::Set { .. }
            | LinkChange::Rejoin { .. }
            | LinkChange::SetPort { .. }
            | LinkChange::RemoveVlans(..) => {}
        }
    }

    /// Takes word that a change was made.
    fn done(&mut self, change: &LinkChange) {
        let ours = &mut self.ours.links;
        match change {
            // It was written down, or is not ours; what is back, or up, is seen.
            LinkChange::Make(_) | LinkChange::SetUp(..) | LinkChange::Rejoin { .. } => {}
            LinkChange::Remove(name) => drop(ours.made.remove(name)),
            LinkChange::Set {
                name, attributes, ..
            } => set(ours, name, Scope::Link, attributes.keys()),
            LinkChange::SetPort {
                port, attributes, ..
            } => set(ours, port, Scope::Port, attributes.keys()),
            LinkChange::Join { port, of } => {
                ours.joined.insert((Arc::clone(port), Arc::clone(of)));
            }
            LinkChange::Leave(port) => ours.joined.retain(|(joined, _)| joined != port),
            LinkChange::AddVlans(name, vlans) => {
                let added = vlans.keys().map(|vlan| (Arc::clone(name), *vlan));
                ours.vlans.extend(added);
            }
            LinkChange::RemoveVlans(name, vlans) => {
                for vlan in vlans {
                    ours.vlans.remove(&(Arc::clone(name), *vlan));
                }
            }
        }
    }

    /// Takes word that a change was not made, as far as is known, and whether it may be later. A link that is there nevertheless is known
    /// by its index.
    fn failed(&mut self, change: &LinkChange, there: &Links, passes: bool) {
        let ours = &mut self.ours.links;
        match change {
            LinkChange::Join { port, of } => {
                ours.joined.remove(&(Arc::clone(port), Arc::clone(of)));
            }
            LinkChange::AddVlans(name, _) => {
                let is_kept = |vlan: u16| has_vlan(there, name, vlan);
                ours.vlans.retain(|(of, vlan)| of != name || is_kept(*vlan));
            }
            LinkChange::Rejoin { port, of } => {
                let Some(index) = there.get(port).map(|link| link.index) else {
                    return;
                };
                let tries = self.tries_by_owed.entry(index).or_default();
                *tries += 1;
                if !passes || *tries >= OWED_TRIES {
                    ours.owed.remove(&index);
                    self.tries_by_owed.remove(&index);
                    tracing::warn!(%port, %of, "the kernel does not take a port of somebody else back: it stays out, until \"ip link set {port} master {of}\" puts it in");
                }
            }
            LinkChange::SetUp(name, true) if !passes => {
                let index = there.get(name).map(|link| link.index);
                ours.owed_up.retain(|owed| Some(*owed) != index);
            }
            LinkChange::Make(_)
            | LinkChange::Remove(_)
            | LinkChange::SetUp(..)
            | LinkChange::Set { .. }
            | LinkChange::Leave(_)
            | LinkChange::SetPort { .. }
            | LinkChange::RemoveVlans(..) => {}
        }
    }
}

fn is_port(there: &Links, port: &Arc<str>, of: &Arc<str>) -> bool {
    let link = there.get(port);
    link.and_then(|link| link.port_of.as_ref()) == Some(of)
}

fn has_vlan(there: &Links, name: &Arc<str>, vlan: u16) -> bool {
    let link = there.get(name);
    link.is_some_and(|link| link.vlans.contains_key(&vlan))
}

fn set<'a>(
    ours: &mut OwnLinks,
    name: &Arc<str>,
    scope: Scope,
    attributes: impl Iterator<Item = &'a &'static str>,
) {
    let told = attributes.map(|attribute| (Arc::clone(name), scope, *attribute));
    ours.set.extend(told);
}

fn subject(change: &LinkChange) -> Arc<str> {
    Arc::clone(match change {
        LinkChange::Make(wanted) => &wanted.link.name,
        LinkChange::Remove(name)
        | LinkChange::SetUp(name, _)
        | LinkChange::Set { name, .. }
        | LinkChange::Leave(name)
        | LinkChange::AddVlans(name, _)
        | LinkChange::RemoveVlans(name, _)
        | LinkChange::Join { port: name, .. }
        | LinkChange::Rejoin { port: name, .. }
        | LinkChange::SetPort { port: name, .. } => name,
    })
}
