//! Which links should there be that are made, and what has to change? [`wanted()`] and [`changes`], pure functions.
//!
//! A link is made after those that it stands on, and removed before them. What is there already is changed where it can be, and
//! made anew where it must be and the journal proves that we made it. Nothing else is ever removed: not a link of the same
//! name, not one that stands on a link of ours, not a port that somebody else has put into a bridge of ours, not an attribute that no
//! profile has named. A link that was released is nobody's business here.

mod order;
mod owed;
mod removal;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::kind::{Attribute, Change, LinkKind, Parent, Value, Wire};
use config::matcher::Mac;
use config::model::{ProfileId, VirtualLink, VlanUse};

pub use wanted::{Spared, wanted};

/// A link that a profile wants to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedLink {
    /// The profile.
    pub profile: ProfileId,
    /// What it is.
    pub link: VirtualLink,
    /// The hardware address that it is made with.
    pub mac: Option<Mac>,
}

/// A link as it is, as far as this file looks at it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PresentLink {
    /// `ifindex`.
    pub index: u32,
    /// Its kind, when it is one of the table.
    pub kind: Option<LinkKind>,
    /// Whether it is up.
    pub up: bool,
    /// The link that it stands on, by name.
    pub parent: Option<Arc<str>>,
    /// The link that it is a port of, by name.
    pub port_of: Option<Arc<str>>,
    /// What is said of it.
    pub attributes: BTreeMap<&'static str, Value>,
    /// What is said of it as a port.
    pub port_attributes: BTreeMap<&'static str, Value>,
    /// Its VLANs, when it is a bridge or a port of one.
    pub vlans: BTreeMap<u16, VlanUse>,
}

/// What the journal proves to be ours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnLinks {
    /// Links that we made, with their index: one of the same name and another index is somebody else's.
    pub made: BTreeMap<Arc<str>, u32>,
    /// Ports that we made such, with the link that they are ports of.
    pub joined: BTreeSet<(Arc<str>, Arc<str>)>,
    /// Attributes that we set: of links, and of ports as such.
    pub set: BTreeSet<(Arc<str>, Scope, &'static str)>,
    /// VLANs that we added.
    pub vlans: BTreeSet<(Arc<str>, u16)>,
    /// Ports of others that had to leave for a while, with the link that they have to come back to, by index.
    pub owed: BTreeMap<u32, u32>,
    /// Links that went down for a while and have to come up again, by index.
    pub owed_up: BTreeSet<u32>,
}

/// What an attribute is said of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The link itself.
    Link,
    /// The link as a port.
    Port,
}

/// One thing to do, in its place among others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkChange {
    /// Make a link; it is down.
    Make(Box<WantedLink>),
    /// Remove one that we made.
    Remove(Arc<str>),
    /// Take it up or down.
    SetUp(Arc<str>, bool),
    /// Change attributes.
    Set {
        /// Of which link.
        name: Arc<str>,
        /// Its kind.
        kind: LinkKind,
        /// The attributes; all that are said, where the kind wants that.
        attributes: BTreeMap<&'static str, Value>,
        /// The parent, where it is named in the same breath.
        parent: Option<Arc<str>>,
    },
    /// Make a link a port.
    Join {
        /// The port.
        port: Arc<str>,
        /// Of which link.
        of: Arc<str>,
    },
    /// Make a link a port again that somebody else had made one, and that had to leave for a while: it stays theirs.
    Rejoin {
        /// The port.
        port: Arc<str>,
        /// Of which link.
        of: Arc<str>,
    },
    /// Let a port go.
    Leave(Arc<str>),
    /// Change attributes of a port.
    SetPort {
        /// The port.
        port: Arc<str>,
        /// The kind of the link that it is a port of.
        kind: LinkKind,
        /// The attributes.
        attributes: BTreeMap<&'static str, Value>,
    },
    /// Add VLANs, or change how a link is a member of them.
    AddVlans(Arc<str>, BTreeMap<u16, VlanUse>),
    /// Take VLANs away that we added.
    RemoveVlans(Arc<str>, Vec<u16>),
}

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkNote {
    /// A link waits for the one that it stands on.
    Waits {
        /// Which.
        name: Arc<str>,
        /// For which.
        below: Arc<str>,
    },
    /// A link of this name is there, of another kind, and somebody else has made it.
    Foreign(Arc<str>),
    /// Nobody wants it, but a profile that cannot be read may.
    Spared(Arc<str>),
    /// It stays as it is, because with it would go what stands on it, and that has to stay.
    Carries {
        /// Which.
        name: Arc<str>,
        /// What stands on it.
        upper: Arc<str>,
    },
    /// It stays as it is, because somebody else's link stands on it, and would go with it.
    CarriesForeign {
        /// Which.
        name: Arc<str>,
        /// What stands on it.
        upper: Arc<str>,
    },
    /// It would have to be made anew for this attribute, or its parent, and somebody else has made it.
    NotAnew(Arc<str>, &'static str),
    /// A port is one of another link already, and somebody else has made it that.
    PortTaken {
        /// The port.
        port: Arc<str>,
        /// Whose it is.
        of: Arc<str>,
    },
    /// There is no link of a port's name.
    PortAbsent {
        /// The port.
        port: Arc<str>,
        /// Whose it would be.
        of: Arc<str>,
    },
}

/// What has to change, in order, and what is left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkChanges {
    /// What to do.
    pub changes: Vec<LinkChange>,
    /// What is not done, and why.
    pub notes: BTreeSet<LinkNote>,
}

/// Compares what should be with what is. Doing all of it and comparing again leaves nothing to do.
pub fn changes(
    wanted: &[WantedLink],
    spared: &Spared,
    present: &BTreeMap<Arc<str>, PresentLink>,
    ours: &OwnLinks,
) -> LinkChanges {
    let mut uppers_by_parent: BTreeMap<&Arc<str>, Vec<&Arc<str>>> = BTreeMap::new();
    for (name, link) in present {
        if let Some(parent) = &link.parent {
            uppers_by_parent.entry(parent).or_default().push(name);
        }
    }
    let mut walk = Walk {
        spared,
        present,
        uppers_by_parent,
        ours,
        there: present.keys().cloned().collect(),
        gone: BTreeSet::new(),
        back: BTreeMap::new(),
        out: LinkChanges::default(),
    };
    walk.remove_unwanted(wanted);
    walk.remove_changed(wanted);
    for one in wanted {
        walk.link(one);
    }
    walk.put_back();
    // All go before any comes: a port may move from one link to another.
    for one in wanted {
        walk.let_ports_go(&one.link);
    }
    walk.let_go_unwanted(wanted);
    for one in wanted {
        walk.ports(&one.link);
    }
    walk.come_up();
    walk.out
}

struct Walk<'a> {
    spared: &'a Spared,
    present: &'a BTreeMap<Arc<str>, PresentLink>,
    /// What stands on a link, or is the other end of it.
    uppers_by_parent: BTreeMap<&'a Arc<str>, Vec<&'a Arc<str>>>,
    ours: &'a OwnLinks,
    /// Links that are there when the changes so far are done.
    there: BTreeSet<Arc<str>>,
    /// Links of before that are not.
    gone: BTreeSet<Arc<str>>,
    /// Ports of others that come back, with the link that they come back to.
    back: BTreeMap<Arc<str>, Arc<str>>,
    out: LinkChanges,
}

impl<'a> Walk<'a> {
    fn is_ours(&self, name: &Arc<str>) -> bool {
        let index = self.present.get(name).map(|link| link.index);
        index.is_some() && self.ours.made.get(name).copied() == index
    }

    /// Returns a link as it was, unless it is gone by now.
    fn held(&self, name: &Arc<str>) -> Option<&'a PresentLink> {
        if self.gone.contains(name) {
            return None;
        }
        self.present.get(name)
    }

    fn link(&mut self, one: &WantedLink) {
        let link = &one.link;
        if let Some(held) = self.held(&link.name) {
            if needs_making(link, held) != Some(KIND) {
                self.set(link, held);
            }
            return;
        }
        if let Some(parent) = link
            .parent
            .as_ref()
            .filter(|name| !self.there.contains(*name))
        {
            let note = LinkNote::Waits {
                name: link.name.clone(),
                below: parent.clone(),
            };
            self.out.notes.insert(note);
            return;
        }
        let mut one = one.clone();
        // A primary that is not there yet is named when it is.
        let there = &self.there;
        one.link
            .attributes
            .retain(|_, value| is_nameable(value, there));
        self.there.insert(link.name.clone());
        self.there.extend(link.peer.clone());
        self.out.changes.push(LinkChange::Make(Box::new(one)));
        if !link.vlans.is_empty() {
            let vlans = LinkChange::AddVlans(link.name.clone(), link.vlans.clone());
            self.out.changes.push(vlans);
        }
    }

    /// Changes the attributes of a link that is there.
    fn set(&mut self, link: &VirtualLink, held: &PresentLink) {
        let rows = link.kind.attributes;
        let mut differing = self.differing(
            &link.name,
            Scope::Link,
            rows,
            &link.attributes,
            &held.attributes,
        );
        differing.retain(|key, value| {
            let is_anew = row(rows, key).is_none_or(|row| row.change == Change::Anew);
            !is_anew && is_nameable(value, &self.there)
        });
        let cost = |key: &str| row(rows, key).map_or(Change::Live, |row| row.change);
        let hardest = differing.keys().map(|key| cost(key)).max();
        if let Some(hardest) = hardest {
            let mut said = differing;
            if link.kind.changes_whole {
                said.extend(link.attributes.clone());
            }
            let parent = link.parent.clone().filter(|_| link.kind.changes_whole);
            let set = LinkChange::Set {
                name: link.name.clone(),
                kind: link.kind,
                attributes: said,
                parent,
            };
            let needs_down = hardest >= Change::Down && held.up;
            let ports = if hardest == Change::Empty {
                self.ports_of(&link.name)
            } else {
                Vec::new()
            };
            let leave = ports.iter().cloned().map(LinkChange::Leave);
            self.out.changes.extend(leave);
            if needs_down {
                self.out
                    .changes
                    .push(LinkChange::SetUp(link.name.clone(), false));
            }
            self.out.changes.push(set);
            if needs_down {
                self.out
                    .changes
                    .push(LinkChange::SetUp(link.name.clone(), true));
            }
            for port in ports {
                let joined = (port, link.name.clone());
                let is_ours = self.ours.joined.contains(&joined);
                let (port, of) = joined;
                let name = port.clone();
                let change = match is_ours {
                    true => LinkChange::Join { port, of },
                    false => LinkChange::Rejoin { port, of },
                };
                self.join(&name, change, Some(link.kind));
            }
        }
        self.vlans(&link.name, &link.vlans, &held.vlans);
    }

    /// Returns what differs: what is said and is not so, and what we said once and nobody says any more.
    fn differing(
        &self,
        name: &Arc<str>,
        scope: Scope,
        rows: &'static [Attribute],
        said: &BTreeMap<&'static str, Value>,
        held: &BTreeMap<&'static str, Value>,
    ) -> BTreeMap<&'static str, Value> {
        let mut differing = BTreeMap::new();
        for row in rows.iter().filter(|row| row.wire != Wire::Elsewhere) {
            let key = row.key.name;
            let was_set = self.ours.set.contains(&(name.clone(), scope, key));
            let value = said
                .get(key)
                .cloned()
                .or_else(|| row.default().filter(|_| was_set));
            if let Some(value) = value
                && held.get(key) != Some(&value)
            {
                differing.insert(key, value);
            }
        }
        differing
    }

    fn ports_of(&self, name: &Arc<str>) -> Vec<Arc<str>> {
        let ports = self
            .present
            .iter()
            .filter(|(_, link)| link.port_of.as_ref() == Some(name));
        ports.map(|(port, _)| port.clone()).collect()
    }

    /// Makes a link a port, in a way that its kind bears.
    fn join(&mut self, port: &Arc<str>, change: LinkChange, kind: Option<LinkKind>) {
        let is_up = self.held(port).is_some_and(|port| port.up);
        let goes_down = kind.is_some_and(|kind| kind.joins_down) && is_up;
        if goes_down {
            self.out
                .changes
                .push(LinkChange::SetUp(port.clone(), false));
        }
        self.out.changes.push(change);
        if goes_down {
            self.out.changes.push(LinkChange::SetUp(port.clone(), true));
        }
    }

    fn has_ports(&self, link: &VirtualLink) -> bool {
        let held = self.held(&link.name);
        let is_other = held.is_some_and(|held| needs_making(link, held) == Some(KIND));
        self.there.contains(&link.name) && !is_other
    }

    fn let_ports_go(&mut self, link: &VirtualLink) {
        if !self.has_ports(link) || self.held(&link.name).is_none() {
            return;
        }
        let left = self.ours.joined.iter().filter(|(port, of)| {
            let held = self.held(port).and_then(|held| held.port_of.as_ref());
            let is_left = link.ports.contains_key(port) || self.spared.is_released(port);
            *of == link.name && held == Some(of) && !is_left
        });
        let left: Vec<LinkChange> = left
            .map(|(port, _)| LinkChange::Leave(port.clone()))
            .collect();
        self.out.changes.extend(left);
    }

    /// Lets go of what we made of links that no profile means any more, and that stay because somebody else has made them.
    fn let_go_unwanted(&mut self, wanted: &[WantedLink]) {
        let meant: Vec<&VirtualLink> = wanted
            .iter()
            .map(|one| &one.link)
            .filter(|link| self.has_ports(link))
            .collect();
        let is_meant = |name: &Arc<str>| meant.iter().any(|link| link.name == *name);
        let is_port = |name: &Arc<str>| meant.iter().any(|link| link.ports.contains_key(name));
        let left: Vec<Arc<str>> = self
            .ours
            .joined
            .iter()
            .filter(|(port, of)| {
                let held = self.held(port).and_then(|held| held.port_of.as_ref());
                let is_unwanted = !is_meant(of) && !self.stays(of);
                held == Some(of) && !self.gone.contains(of) && is_unwanted
            })
            .map(|(port, _)| port.clone())
            .collect();
        let mut vlans: BTreeMap<Arc<str>, Vec<u16>> = BTreeMap::new();
        for (name, vlan) in &self.ours.vlans {
            let held = self.held(name);
            let held = held.filter(|held| held.vlans.contains_key(vlan));
            // With a port that goes go its VLANs, and with a bridge those of its ports.
            let is_bare = |held: &PresentLink| {
                let of = held.port_of.as_ref();
                of.is_some_and(|of| self.gone.contains(of))
            };
            let bridge = held.and_then(|held| held.port_of.as_ref());
            if held.is_some_and(|held| !is_bare(held))
                && !self.stays(bridge.unwrap_or(name))
                && !is_meant(name)
                && !is_port(name)
                && !left.contains(name)
            {
                vlans.entry(name.clone()).or_default().push(*vlan);
            }
        }
        let left = left.into_iter().map(LinkChange::Leave);
        self.out.changes.extend(left);
        let vlans = vlans.into_iter();
        let vlans = vlans.map(|(name, vlans)| LinkChange::RemoveVlans(name, vlans));
        self.out.changes.extend(vlans);
    }

    fn ports(&mut self, link: &VirtualLink) {
        if !self.has_ports(link) {
            return;
        }
        for (port, settings) in &link.ports {
            if self.spared.is_released(port) {
                continue;
            }
            if !self.there.contains(port) {
                let note = LinkNote::PortAbsent {
                    port: port.clone(),
                    of: link.name.clone(),
                };
                self.out.notes.insert(note);
                continue;
            }
            let held = self.held(port);
            let master = held
                .and_then(|held| held.port_of.as_ref())
                .filter(|of| !self.gone.contains(*of))
                .or_else(|| self.back.get(port));
            let is_joined = master == Some(&link.name);
            if let Some(of) = master.filter(|of| **of != link.name)
                && !self.ours.joined.contains(&(port.clone(), of.clone()))
            {
                let note = LinkNote::PortTaken {
                    port: port.clone(),
                    of: of.clone(),
                };
                self.out.notes.insert(note);
                continue;
            }
            if !is_joined {
                let change = LinkChange::Join {
                    port: port.clone(),
                    of: link.name.clone(),
                };
                self.join(port, change, Some(link.kind));
            }
            let none = BTreeMap::new();
            let told = held.filter(|_| is_joined);
            let rows = link.kind.ports.unwrap_or_default();
            let attributes = self.differing(
                port,
                Scope::Port,
                rows,
                &settings.attributes,
                told.map_or(&none, |held| &held.port_attributes),
            );
            if !attributes.is_empty() {
                self.out.changes.push(LinkChange::SetPort {
                    port: port.clone(),
                    kind: link.kind,
                    attributes,
                });
            }
            let no_vlans = BTreeMap::new();
            let vlans = told.map_or(&no_vlans, |held| &held.vlans);
            self.vlans(port, &settings.vlans, vlans);
        }
    }

    fn vlans(
        &mut self,
        name: &Arc<str>,
        said: &BTreeMap<u16, VlanUse>,
        held: &BTreeMap<u16, VlanUse>,
    ) {
        let added: BTreeMap<u16, VlanUse> = said
            .iter()
            .filter(|(vlan, how)| held.get(vlan) != Some(how))
            .map(|(vlan, how)| (*vlan, *how))
            .collect();
        let removed: Vec<u16> = held
            .keys()
            .filter(|vlan| !said.contains_key(vlan))
            .filter(|vlan| self.ours.vlans.contains(&(name.clone(), **vlan)))
            .copied()
            .collect();
        if !removed.is_empty() {
            let change = LinkChange::RemoveVlans(name.clone(), removed);
            self.out.changes.push(change);
        }
        if !added.is_empty() {
            self.out
                .changes
                .push(LinkChange::AddVlans(name.clone(), added));
        }
    }
}

/// What a link differs in when it is of another kind.
const KIND: &str = "kind";
const PARENT: &str = "parent";

/// Returns what a link would have to be made anew for.
fn needs_making(link: &VirtualLink, held: &PresentLink) -> Option<&'static str> {
    // A tun and a tap tell the same kind; which of both is no attribute that is told.
    let is_same = held.kind.is_some_and(|kind| kind == link.kind)
        || (held.kind.is_none() && link.kind.maker == config::kind::Maker::Tun);
    if !is_same {
        return Some(KIND);
    }
    if link.kind.parent != Parent::None && link.parent != held.parent {
        return Some(PARENT);
    }
    link.attributes.iter().find_map(|(key, value)| {
        let row = row(link.kind.attributes, key)?;
        let is_anew = row.change == Change::Anew && row.wire != Wire::Elsewhere;
        let differs = held.attributes.get(key).is_some_and(|held| held != value);
        (is_anew && differs).then_some(*key)
    })
}

fn row(rows: &'static [Attribute], key: &str) -> Option<&'static Attribute> {
    rows.iter().find(|row| row.key.name == key)
}

/// Whether a value can be said: the link that it names is there.
fn is_nameable(value: &Value, there: &BTreeSet<Arc<str>>) -> bool {
    if let Value::Link(name) = value {
        there.contains(name)
    } else {
        true
    }
}

#[cfg(test)]
mod tests;
