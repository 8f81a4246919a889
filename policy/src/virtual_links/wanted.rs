//! Which of the links that profiles make should be there, and in which order are they made?

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::Config;
use config::model::{Manage, Profile};

use super::{WantedLink, order};
use crate::facts::{Facts, Told};

/// Returns the links that profiles make and that should be there: by themselves, or because somebody said so. Those that others
/// stand on come first.
pub fn wanted(config: &Config, facts: &Facts) -> Vec<WantedLink> {
    if config.links.manage == Manage::None {
        return Vec::new();
    }
    let told = facts.told.iter();
    let told_by_name: BTreeMap<&str, Told> = told
        .filter_map(|(id, told)| Some((&*facts.links.get(id)?.name, *told)))
        .collect();
    let is_wanted = |profile: &Profile, name: &Arc<str>| match told_by_name.get(&**name) {
        // One that is released stays, and is not made again.
        Some(Told::Up | Told::Release) => true,
        Some(Told::Down) => false,
        None => match facts.told_absent.get(name) {
            Some(Told::Up) => true,
            Some(Told::Down | Told::Release) => false,
            None => profile.network.autoconnect,
        },
    };
    let mut open: BTreeMap<Arc<str>, WantedLink> = BTreeMap::new();
    for profile in config.profiles.values() {
        let made = profile.link.as_ref();
        if let Some(link) = made.filter(|link| is_wanted(profile, &link.name)) {
            let wanted = WantedLink {
                profile: profile.id.clone(),
                link: link.clone(),
                mac: profile.network.mac,
            };
            open.insert(link.name.clone(), wanted);
        }
    }
    let mut waits = order::Waits::of(&open);
    let mut ordered = Vec::with_capacity(open.len());
    // A circle has been reported and taken out when the configuration was read; were there one, its links come last.
    while let Some(name) = waits.next().or_else(|| open.keys().next().cloned()) {
        if let Some(link) = open.remove(&name) {
            waits.done(&name);
            ordered.push(link);
        }
    }
    ordered
}

/// Which of the links that were made, and that nobody wants, stay all the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Spared {
    /// None.
    #[default]
    None,
    /// All but these, which profiles make that can be read: one that cannot be read may want the others.
    AllBut(BTreeSet<Arc<str>>),
}

impl Spared {
    /// Returns what is spared under a configuration.
    pub fn of(config: &Config) -> Self {
        if config.broken.is_empty() {
            return Self::None;
        }
        let made = config.profiles.values().filter_map(|it| it.link.as_ref());
        let names = made.flat_map(|link| std::iter::once(&link.name).chain(&link.peer));
        Self::AllBut(names.cloned().collect())
    }

    pub(super) fn has(&self, name: &Arc<str>) -> bool {
        match self {
            Self::None => false,
            Self::AllBut(known) => !known.contains(name),
        }
    }
}
