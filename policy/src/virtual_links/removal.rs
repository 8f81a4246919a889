//! Which links go, and what keeps one? Those of ours that nobody wants, or that have to be made anew, with those of ours that stand on them.
//! What somebody else has put on one keeps it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{KIND, LinkChange, LinkNote, PresentLink, Walk, WantedLink, needs_making};

impl Walk<'_> {
    pub(super) fn remove_unwanted(&mut self, wanted: &[WantedLink]) {
        let names: BTreeSet<&Arc<str>> = wanted
            .iter()
            .flat_map(|one| std::iter::once(&one.link.name).chain(&one.link.peer))
            .collect();
        for name in self.ours.made.keys() {
            let is_left = self.spared.is_released(name);
            if names.contains(name) || is_left || !self.is_ours(name) {
                continue;
            }
            if self.spared.has(name) {
                self.out.notes.insert(LinkNote::Spared(name.clone()));
            } else if !self.is_kept(name) {
                self.remove(name);
            }
        }
    }

    /// Removes what is to be made anew, all before anything is made: a name or id may move from one link to another.
    pub(super) fn remove_changed(&mut self, wanted: &[WantedLink]) {
        for one in wanted {
            let link = &one.link;
            let Some(held) = self.held(&link.name) else {
                continue;
            };
            let Some(reason) = needs_making(link, held) else {
                continue;
            };
            if self.is_ours(&link.name) {
                if !self.is_kept(&link.name) {
                    self.remove(&link.name);
                }
            } else if reason == KIND {
                self.out.notes.insert(LinkNote::Foreign(link.name.clone()));
            } else {
                let note = LinkNote::NotAnew(link.name.clone(), reason);
                self.out.notes.insert(note);
            }
        }
    }

    /// Whether a link stays for what stands on it: the kernel would take that away too.
    fn is_kept(&mut self, name: &Arc<str>) -> bool {
        let mut seen = BTreeSet::new();
        let Some(note) = self.kept_by(name, name, &mut seen) else {
            return false;
        };
        self.out.notes.insert(note);
        true
    }

    /// Whether a link of ours that nobody wants stays all the same.
    pub(super) fn stays(&self, name: &Arc<str>) -> bool {
        let mut notes = self.out.notes.iter();
        self.spared.has(name)
            || notes.any(|note| match note {
                LinkNote::Carries { name: carrier, .. }
                | LinkNote::CarriesForeign { name: carrier, .. } => carrier == name,
                LinkNote::Waits { .. }
                | LinkNote::Foreign(_)
                | LinkNote::Spared(_)
                | LinkNote::NotAnew(..)
                | LinkNote::PortTaken { .. }
                | LinkNote::PortAbsent { .. } => false,
            })
    }

    /// Returns what there is to say of a link that would go with another one, and that was released, that a profile which cannot be read
    /// may want, or that is not ours. `below` stands on the link that is to go, or is that.
    fn kept_by(
        &self,
        name: &Arc<str>,
        below: &Arc<str>,
        seen: &mut BTreeSet<Arc<str>>,
    ) -> Option<LinkNote> {
        // The ends of a pair stand on each other.
        if !seen.insert(below.clone()) {
            return None;
        }
        self.uppers(below).into_iter().find_map(|upper| {
            let link = self.present.get(&upper)?;
            let is_ours = self.is_ours(&upper);
            let name = name.clone();
            if self.spared.is_released(&upper) || is_ours && self.spared.has(&upper) {
                return Some(LinkNote::Carries { name, upper });
            }
            if !is_ours && goes_along(link) {
                return Some(LinkNote::CarriesForeign { name, upper });
            }
            self.kept_by(&name, &upper, seen)
        })
    }

    fn uppers(&self, name: &Arc<str>) -> Vec<Arc<str>> {
        let uppers = self.uppers_by_parent.get(name).into_iter().flatten();
        uppers.map(|upper| Arc::clone(upper)).collect()
    }

    /// Removes a link of ours, those of ours that stand on it first.
    fn remove(&mut self, name: &Arc<str>) {
        if self.gone.contains(name) {
            return;
        }
        self.gone.insert(name.clone());
        self.there.remove(name);
        for upper in self.uppers(name) {
            if self.is_ours(&upper) {
                self.remove(&upper);
            }
        }
        self.out.changes.push(LinkChange::Remove(name.clone()));
    }
}

/// Whether a link goes with the one that it stands on. The other end of a pair does not stand on it: who makes one end makes both. Of a kind
/// that is not known the worst is believed.
fn goes_along(link: &PresentLink) -> bool {
    link.kind
        .is_none_or(|kind| kind.goes_with_parent && !kind.has_peer)
}
