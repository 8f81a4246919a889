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
        Some(Told::Up) => true,
        // One that is released stays, and is nobody's business.
        Some(Told::Down | Told::Release) => false,
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
            let mac = profile.network.mac;
            let mac = mac.filter(|mac| !mac.is_made_up() || has_mac(link.kind.name));
            let wanted = WantedLink {
                profile: profile.id.clone(),
                link: link.clone(),
                mac: mac.and_then(|mac| facts.mac(mac, &link.name)),
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

/// Whether links of a kind have a hardware address of their own; the others carry plain IP, or have that of what they stand on.
fn has_mac(kind: &str) -> bool {
    const HAVE: [&str; 12] = [
        "bond", "bridge", "dummy", "geneve", "ifb", "macsec", "macvlan", "macvtap", "tap", "veth",
        "vlan", "vxlan",
    ];
    HAVE.contains(&kind)
}

/// Which links stay as they are, though nobody seems to want them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spared {
    /// Of those that were made all but these, which profiles make that can be read: one that cannot be read may want the others.
    all_but: Option<BTreeSet<Arc<str>>>,
    /// Links that were released, both ends of a pair.
    released: BTreeSet<Arc<str>>,
}

impl Spared {
    /// Returns what is spared under a configuration, and by what was told.
    pub fn of(config: &Config, facts: &Facts) -> Self {
        let made = config.profiles.values().filter_map(|it| it.link.as_ref());
        let names = made.flat_map(|link| std::iter::once(&link.name).chain(&link.peer));
        Self {
            all_but: (!config.broken.is_empty()).then(|| names.cloned().collect()),
            ..Self::of_released(config, facts)
        }
    }

    /// Returns what is spared by what was told alone.
    pub fn of_released(config: &Config, facts: &Facts) -> Self {
        let told = facts.told.iter();
        let told = told.filter(|(_, told)| **told == Told::Release);
        let links = told.filter_map(|(id, _)| facts.links.get(id));
        let mut released: BTreeSet<Arc<str>> = links.map(|link| link.name.clone()).collect();
        if released.is_empty() {
            return Self::default();
        }
        for link in config.profiles.values().filter_map(|it| it.link.as_ref()) {
            let ends = || std::iter::once(&link.name).chain(&link.peer);
            if ends().any(|end| released.contains(end)) {
                released.extend(ends().cloned());
            }
        }
        Self {
            all_but: None,
            released,
        }
    }

    /// Returns the links that were released.
    pub const fn released(&self) -> &BTreeSet<Arc<str>> {
        &self.released
    }

    pub(super) fn is_released(&self, name: &Arc<str>) -> bool {
        self.released.contains(name)
    }

    pub(super) fn has(&self, name: &Arc<str>) -> bool {
        let known = self.all_but.as_ref();
        self.is_released(name) || known.is_some_and(|known| !known.contains(name))
    }
}
