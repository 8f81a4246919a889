//! Which profile governs which link, and which reverse zones are a link's own?

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use config::Config;
use config::matcher::{Glob, LinkMatch, LinkTraits};
use config::model::{Prefix, Profile, ProfileId};
use config::name::DomainName;

use crate::facts::{Facts, LinkFacts, LinkId};

/// Most reverse zones for one prefix; a longer list says nothing that a person would have said.
const MAX_ZONES: usize = 256;

/// Kinds of links whose hardware address is, or may be, that of a link below or of a port.
const BORROWERS: [&str; 11] = [
    "vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "macsec", "bridge", "bond", "team", "hsr",
    "batadv",
];

/// Returns the profiles that name a link's hardware address, which may be another link's, and nothing else of it.
pub fn matching_by_borrowed_mac<'a>(config: &'a Config, link: &LinkFacts) -> Vec<&'a ProfileId> {
    let is_borrowed = BORROWERS.contains(&&*link.kind);
    let profiles = config.profiles.values().filter(|_| is_borrowed);
    let by_mac = profiles.filter(|profile| {
        let matches = profile.matches.as_ref();
        matches.is_some_and(|it| {
            it.has_mac(link.known_mac) && it.name.is_empty() && it.kind.is_empty()
        })
    });
    by_mac.map(|profile| &profile.id).collect()
}

/// Assigns each link to the first profile that matches it, as [`crate::plan()`] does.
pub fn governed(config: &Config, facts: &Facts) -> BTreeMap<LinkId, ProfileId> {
    by_link(&Profiles::of(config), facts)
}

/// Assigns each link to the first profile, in the order of their ids, that matches it.
pub(crate) fn by_link(profiles: &Profiles<'_>, facts: &Facts) -> BTreeMap<LinkId, ProfileId> {
    let mut profiles_by_link = BTreeMap::new();
    for (id, link) in &facts.links {
        if let Some(profile) = profiles.matching(link).first() {
            profiles_by_link.insert(*id, (*profile).clone());
        }
    }
    profiles_by_link
}

/// The profiles by the links that they name, so that a thousand links with a profile each are a thousand steps.
pub(crate) struct Profiles<'a> {
    by_name: BTreeMap<&'a str, Vec<&'a Profile>>,
    /// Those that name no link.
    others: Vec<&'a Profile>,
}

impl<'a> Profiles<'a> {
    /// Sorts the profiles of a configuration.
    pub(crate) fn of(config: &'a Config) -> Self {
        let mut profiles = Self {
            by_name: BTreeMap::new(),
            others: Vec::new(),
        };
        for profile in config.profiles.values() {
            let Some(matches) = &profile.matches else {
                continue;
            };
            match literal_names(matches) {
                None => profiles.others.push(profile),
                Some(names) => {
                    for name in names {
                        profiles.by_name.entry(name).or_default().push(profile);
                    }
                }
            }
        }
        profiles
    }

    /// Returns every profile that matches a link, in the order of their ids.
    pub(crate) fn matching(&self, link: &LinkFacts) -> Vec<&'a ProfileId> {
        let names = names(link);
        let named = names.iter().filter_map(|name| self.by_name.get(name));
        let mut found: Vec<&ProfileId> = named
            .flatten()
            .chain(&self.others)
            .filter(|profile| {
                let matches = profile.matches.as_ref();
                matches.is_some_and(|matches| may_mean(matches, link, &names))
            })
            .map(|profile| &profile.id)
            .collect();
        found.sort();
        found.dedup();
        found
    }
}

/// Whether a match fits a link. A loopback link is the kernel's own, and is meant by nobody who does not say its name, or that kind.
fn may_mean(matches: &LinkMatch, link: &LinkFacts, names: &[&str]) -> bool {
    let is = |globs: &[Glob], word: &str| globs.iter().any(|glob| glob.literal() == Some(word));
    let is_said = || is(&matches.kind, &link.kind) || names.iter().any(|it| is(&matches.name, it));
    matches.matches(&traits(link, names)) && (!link.loopback || is_said())
}

/// Returns the names of the only links that a match can fit, when it says so.
pub(crate) fn literal_names(matches: &LinkMatch) -> Option<impl Iterator<Item = &str>> {
    let is_named = !matches.name.is_empty();
    let is_literal = matches.name.iter().all(|glob| glob.literal().is_some());
    (is_named && is_literal).then(|| matches.name.iter().filter_map(Glob::literal))
}

/// Returns all names of a link.
pub(crate) fn names(link: &LinkFacts) -> Vec<&str> {
    std::iter::once(&link.name)
        .chain(&link.alt_names)
        .map(|name| &**name)
        .collect()
}

/// Returns what a match can see of a link.
pub(crate) fn traits<'a>(link: &'a LinkFacts, names: &'a [&'a str]) -> LinkTraits<'a> {
    LinkTraits {
        names,
        mac: link.known_mac,
        borrows_mac: BORROWERS.contains(&&*link.kind),
        kind: &link.kind,
        driver: link.driver.as_deref(),
        path: link.path.as_deref(),
    }
}

/// Returns the links that a profile may be for whose file has errors. A link that a sound profile comes first for is not
/// among them.
pub(crate) fn held(
    config: &Config,
    facts: &Facts,
    profiles_by_link: &BTreeMap<LinkId, ProfileId>,
) -> BTreeSet<LinkId> {
    let is_held = |id: &LinkId, link: &LinkFacts| {
        let names = names(link);
        let governing = profiles_by_link.get(id);
        let mut broken = config.broken.iter();
        broken.any(|(broken, matches)| {
            let may_match = matches
                .as_ref()
                .is_none_or(|matches| may_mean(matches, link, &names));
            may_match && governing.is_none_or(|governing| broken <= governing)
        })
    };
    let links = facts.links.iter();
    match config.broken.is_empty() {
        true => BTreeSet::new(),
        false => links
            .filter(|(id, link)| is_held(id, link))
            .map(|(id, _)| *id)
            .collect(),
    }
}

/// Returns the reverse zones of a prefix that a link has; none for host routes, loopback, link-local and the whole space.
pub(crate) fn reverse_zones(prefix: Prefix) -> Vec<DomainName> {
    let (host, local) = match prefix.address {
        IpAddr::V4(address) => (32, address.is_link_local() || address.is_loopback()),
        IpAddr::V6(address) => (
            128,
            address.is_unicast_link_local() || address.is_loopback(),
        ),
    };
    if local || prefix.length == 0 || prefix.length >= host {
        return Vec::new();
    }
    let mut zones = DomainName::reverse_zones(prefix.address, prefix.length);
    zones.truncate(MAX_ZONES);
    zones
}
