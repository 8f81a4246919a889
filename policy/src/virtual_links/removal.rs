//! Which links go, and what keeps one? Those of ours that nobody wants, or that have to be made anew, with those of ours that stand on them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{KIND, LinkChange, LinkNote, Walk, WantedLink, needs_making};

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
        let Some(upper) = self.kept_above(name, &mut seen) else {
            return false;
        };
        let name = name.clone();
        self.out.notes.insert(LinkNote::Carries { name, upper });
        true
    }

    /// Whether a link of ours that nobody wants stays all the same.
    pub(super) fn stays(&self, name: &Arc<str>) -> bool {
        let mut notes = self.out.notes.iter();
        self.spared.has(name)
            || notes.any(
                |note| matches!(note, LinkNote::Carries { name: carrier, .. } if carrier == name),
            )
    }

    /// Returns a link that would go with another one, and that was released, or that a profile which cannot be read may want.
    fn kept_above(&self, name: &Arc<str>, seen: &mut BTreeSet<Arc<str>>) -> Option<Arc<str>> {
        // The ends of a pair stand on each other.
        if !seen.insert(name.clone()) {
            return None;
        }
        let links = self.present.iter();
        let mut uppers = links.filter(|(_, link)| link.parent.as_ref() == Some(name));
        uppers.find_map(|(upper, _)| {
            let is_kept =
                self.spared.is_released(upper) || self.is_ours(upper) && self.spared.has(upper);
            match is_kept {
                true => Some(upper.clone()),
                false => self.kept_above(upper, seen),
            }
        })
    }

    /// Removes a link of ours, those of ours that stand on it first.
    fn remove(&mut self, name: &Arc<str>) {
        if self.gone.contains(name) {
            return;
        }
        self.gone.insert(name.clone());
        self.there.remove(name);
        let upper: Vec<Arc<str>> = self
            .present
            .iter()
            .filter(|(_, link)| link.parent.as_ref() == Some(name))
            .map(|(name, _)| name.clone())
            .collect();
        for upper in upper {
            if self.is_ours(&upper) {
                self.remove(&upper);
            }
        }
        self.out.changes.push(LinkChange::Remove(name.clone()));
    }
}
