//! What was told of links by command, and how does it outlive the daemon? In a file that is void on another kernel.
//!
//! What was told goes with its link, and with the link's profile. Of a link that a profile makes it outlives the link, by its name.

use std::collections::BTreeSet;
use std::sync::Arc;

use config::model::{Profile, ProfileId, VirtualLink};
use config::time::Instant;
use linkmgr::Boot;
use linnet::api::UnmadeStatus;
use policy::LinkId;
use policy::facts::Told;
use serde::{Deserialize, Serialize};

use super::{Effect, Kept, World};

/// What is kept of what was told.
#[derive(Debug)]
pub(super) struct Telling {
    boot: Arc<str>,
    /// What was told in a life before, until the first plan.
    before: Vec<Entry>,
    /// What the file says.
    kept: Vec<Entry>,
    /// Whether links are to be made or removed once everything else is on its way.
    is_due: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct File {
    boot: String,
    links: Vec<Entry>,
}

/// What was told of one link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    link: String,
    /// `ifindex`, which no other link gets as long as the kernel runs; absent while the link is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    told: String,
}

impl Telling {
    /// Takes the text of the file. It says nothing about another kernel.
    pub(super) fn new(text: Option<&str>, boot: &Boot) -> Self {
        let file = text.map(serde_json::from_str::<File>).transpose();
        let file = file.unwrap_or_else(|error| {
            tracing::warn!(%error, "what was told of links cannot be read: their profiles alone count");
            None
        });
        let links = file.filter(|file| *file.boot == *boot.id);
        let kept = links.map_or_else(Vec::new, |file| file.links);
        Self {
            boot: Arc::clone(&boot.id),
            before: kept.clone(),
            kept,
            is_due: false,
        }
    }

    /// Has links be made or removed, last of all.
    pub(super) const fn order(&mut self) {
        self.is_due = true;
    }
}

impl World {
    /// Takes up what was told in a life before; the links are known by now.
    pub(super) fn tell_again(&mut self) {
        for Entry { link, index, told } in std::mem::take(&mut self.telling.before) {
            let Some(told) = Told::of(&told) else {
                continue;
            };
            let is_made = self.maker_of(&link).is_some();
            let links = &mut self.linking.links;
            let there = index.and_then(|index| links.id_at(index));
            // One that is made anew has another index.
            let there = there.or_else(|| links.id_of(&link).filter(|_| is_made));
            match there {
                Some(id) => {
                    if told == Told::Release {
                        // The journal may not have heard of it.
                        links.release(id);
                    }
                    self.facts.told.insert(id, told);
                }
                None if is_made => drop(self.facts.told_absent.insert(link.into(), told)),
                None => {}
            }
        }
    }

    /// Returns the profile that makes the link of this name, and the link.
    pub(super) fn maker_of(&self, name: &str) -> Option<(&Profile, &VirtualLink)> {
        let mut makers = self.config.profiles.values();
        makers.find_map(|profile| {
            let link = profile.link.as_ref()?;
            (*link.name == *name).then_some((profile, link))
        })
    }

    /// Tells something of a link, or of one that a profile makes and that is not there.
    pub(super) fn tell(&mut self, name: &str, told: Option<Told>) {
        match (self.linking.links.id_of(name), told) {
            (Some(id), Some(told)) => drop(self.facts.told.insert(id, told)),
            (Some(id), None) => drop(self.facts.told.remove(&id)),
            (None, Some(told)) => drop(self.facts.told_absent.insert(name.into(), told)),
            (None, None) => drop(self.facts.told_absent.remove(name)),
        }
    }

    /// Returns what was told of a link that a profile makes, and that outlives it.
    pub(super) fn told_outlives(&self, id: LinkId) -> Option<(Arc<str>, Told)> {
        let told = self.facts.told.get(&id)?;
        let name = &self.facts.links.get(&id)?.name;
        self.maker_of(name)?;
        Some((Arc::clone(name), *told))
    }

    /// Follows that a link has come, or is gone.
    pub(super) fn follow_told(&mut self, id: LinkId, outlives: Option<(Arc<str>, Told)>) {
        match (self.facts.links.get(&id), outlives) {
            (Some(link), _) => {
                if let Some(told) = self.facts.told_absent.remove(&link.name) {
                    self.facts.told.insert(id, told);
                }
            }
            (None, Some((name, told))) => drop(self.facts.told_absent.insert(name, told)),
            (None, None) => {}
        }
    }

    /// Forgets what was told of links that no profile is for any more, and keeps the rest.
    pub(super) fn keep_told(&mut self, effects: &mut Vec<Effect>) {
        let facts = &self.facts;
        if facts.told.is_empty() && facts.told_absent.is_empty() && self.telling.kept.is_empty() {
            return;
        }
        // Of a profile that cannot be read nobody knows what it is for.
        if self.config.broken.is_empty() {
            let governed = &self.plan.profiles_by_link;
            self.facts.told.retain(|id, _| governed.contains_key(id));
            let mut absent = std::mem::take(&mut self.facts.told_absent);
            absent.retain(|name, _| self.maker_of(name).is_some());
            self.facts.told_absent = absent;
        }
        let entry = |name: &Arc<str>, index, told: Told| Entry {
            link: name.to_string(),
            index,
            told: told.as_str().to_owned(),
        };
        let there = self.facts.told.iter().filter_map(|(id, told)| {
            let link = self.facts.links.get(id)?;
            Some(entry(&link.name, Some(id.index), *told))
        });
        let absent = self.facts.told_absent.iter();
        let absent = absent.map(|(name, told)| entry(name, None, *told));
        let links: Vec<Entry> = there.chain(absent).collect();
        if links != self.telling.kept {
            self.telling.kept.clone_from(&links);
            let boot = self.telling.boot.to_string();
            let text = serde_json::to_string(&File { boot, links }).unwrap_or_default();
            effects.push(Effect::Keep(Kept::Told, text));
        }
    }

    /// Has links be made or removed as was told. That comes after everything else: who leaves says so through the link first.
    pub(super) fn order_told(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if !self.linking.is_leaving() && std::mem::take(&mut self.telling.is_due) {
            self.order_links(now, effects);
            effects.sort_by_key(|effect| matches!(effect, Effect::Make(_)));
        }
    }

    /// Returns the links that profiles make and that are not there.
    pub(super) fn unmade(&self) -> Vec<UnmadeStatus> {
        let makers = self.config.profiles.values();
        let links = makers.filter_map(|profile| Some((profile, profile.link.as_ref()?)));
        let absent = links.filter(|(_, link)| self.linking.links.id_of(&link.name).is_none());
        let told = |(profile, link): (&Profile, &VirtualLink)| UnmadeStatus {
            name: link.name.to_string(),
            kind: link.kind.name.to_owned(),
            profile: profile.id.to_string(),
            autoconnect: profile.network.autoconnect,
            told: self
                .facts
                .told_absent
                .get(&link.name)
                .map(|told| told.as_str().to_owned()),
        };
        absent.map(told).collect()
    }

    /// Returns the profiles that are for links, and that no link has: a name may be misspelt.
    pub(super) fn idle_profiles(&self) -> Vec<String> {
        let governed = policy::governed(&self.config, &self.facts);
        let busy: BTreeSet<&ProfileId> = governed.values().collect();
        let profiles = self.config.profiles.values();
        let for_links =
            profiles.filter(|profile| profile.matches.is_some() && profile.link.is_none());
        let idle = for_links.filter(|profile| !busy.contains(&profile.id));
        idle.map(|profile| profile.id.to_string()).collect()
    }
}
