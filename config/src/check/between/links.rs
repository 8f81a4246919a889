//! Can the links of all profiles be made? Two of one name cannot, and none that stands on itself by way of others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::diagnostic::Findings;
use crate::model::{Profile, ProfileId, VirtualLink};
use crate::raw::Span;

/// Where a profile says that it makes a link.
pub(crate) struct Said {
    /// The profile.
    pub(crate) profile: ProfileId,
    /// Which of the files it is.
    pub(crate) file: usize,
    /// `[link]` in it.
    pub(crate) at: Option<Span>,
}

/// Reports links that cannot be, and takes them out of their profiles.
pub(crate) fn check(
    said: &[Said],
    profiles: &mut BTreeMap<ProfileId, Profile>,
    files: &mut [Findings<'_>],
) {
    let mut faults: Vec<(usize, String, &str)> = Vec::new();
    let mut link_by_name: BTreeMap<Arc<str>, &VirtualLink> = BTreeMap::new();
    for (at, one) in said.iter().enumerate() {
        let Some(link) = profiles.get(&one.profile).and_then(|it| it.link.as_ref()) else {
            continue;
        };
        for name in std::iter::once(&link.name).chain(&link.peer) {
            if let Some(other) = link_by_name.get(name) {
                let message = format!(
                    "{name} is made by another profile already, as a {}",
                    other.kind
                );
                faults.push((at, message, "give one of them another name"));
            } else {
                link_by_name.insert(name.clone(), link);
            }
        }
    }
    let mut full_by_mark: BTreeMap<u32, &Arc<str>> = BTreeMap::new();
    for (at, one) in said.iter().enumerate() {
        // One that is not made by itself may be another form of one that is.
        let profile = profiles.get(&one.profile);
        let profile = profile.filter(|it| it.network.autoconnect);
        let Some(link) = profile.and_then(|it| it.link.as_ref()) else {
            continue;
        };
        let full = link
            .wireguard
            .as_ref()
            .filter(|settings| settings.is_full());
        let Some(mark) = full.map(|settings| settings.mark_in_force()) else {
            continue;
        };
        if let Some(other) = full_by_mark.insert(mark, &link.name) {
            let message = format!("{other} takes all addresses too, by the same mark {mark}");
            faults.push((at, message, "add a `mark` of its own to [link]"));
        }
    }
    let mut port_owner: BTreeMap<&Arc<str>, &VirtualLink> = BTreeMap::new();
    for (at, one) in said.iter().enumerate() {
        let Some(link) = profiles.get(&one.profile).and_then(|it| it.link.as_ref()) else {
            continue;
        };
        if let Some(way) = circle(link, &link_by_name) {
            let message = format!("the link would stand on itself: {}", way.join(" on "));
            faults.push((at, message, "take one of these parents or ports away"));
        }
        for port in link.ports.keys() {
            if let Some(owner) = port_owner.insert(port, link) {
                let message = format!("{port} is a port of {} already", owner.name);
                faults.push((at, message, "a link is a port of one other link at most"));
            }
        }
    }
    for (at, message, help) in faults {
        let Some(one) = said.get(at) else {
            continue;
        };
        if let Some(findings) = files.get_mut(one.file) {
            let message = format!("{message}; the link is not made");
            findings.error(one.at.clone(), message, Some(help.to_owned()));
        }
        if let Some(profile) = profiles.get_mut(&one.profile) {
            profile.link = None;
        }
    }
}

/// Returns the way from a link down to itself.
fn circle(
    link: &VirtualLink,
    link_by_name: &BTreeMap<Arc<str>, &VirtualLink>,
) -> Option<Vec<String>> {
    let mut seen: BTreeSet<&Arc<str>> = BTreeSet::new();
    // Each with the way that led there.
    let mut open: Vec<(&VirtualLink, Vec<String>)> = vec![(link, vec![link.name.to_string()])];
    while let Some((at, way)) = open.pop() {
        for below in at.below() {
            let mut on = way.clone();
            on.push(below.to_string());
            if *below == link.name || link.peer.as_ref() == Some(below) {
                return Some(on);
            }
            if !seen.insert(below) {
                continue;
            }
            if let Some(next) = link_by_name.get(below) {
                open.push((next, on));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::layer::{Layer, LayerKind, Loaded, Origin, Rank, load};

    fn loaded(profiles: &[(&str, &str)]) -> Loaded {
        let layers: Vec<Layer> = profiles
            .iter()
            .map(|(path, text)| Layer {
                origin: Origin {
                    rank: Rank::Admin,
                    path: (*path).into(),
                },
                text: (*text).to_owned(),
                kind: LayerKind::of(path).unwrap(),
            })
            .collect();
        load(&layers)
    }

    fn made(loaded: &Loaded) -> Vec<&str> {
        let profiles = loaded.config.profiles.values();
        profiles
            .filter_map(|profile| profile.link.as_ref().map(|link| &*link.name))
            .collect()
    }

    #[test]
    fn links_in_a_circle_are_not_made_and_the_way_is_told() {
        let loaded = loaded(&[
            (
                "profiles/a.toml",
                "[link]\nname = \"br0\"\nkind = \"bridge\"\nports = [\"v5\"]",
            ),
            (
                "profiles/b.toml",
                "[link]\nname = \"v5\"\nkind = \"vlan\"\nparent = \"br0\"\nid = 5",
            ),
            (
                "profiles/c.toml",
                "[link]\nname = \"v6\"\nkind = \"vlan\"\nparent = \"v5\"\nid = 6",
            ),
        ]);
        let told: Vec<&str> = loaded
            .diagnostics
            .iter()
            .map(|found| found.message.as_str())
            .collect();
        assert_eq!(
            told,
            [
                "the link would stand on itself: br0 on v5 on br0; the link is not made",
                "the link would stand on itself: v5 on br0 on v5; the link is not made",
            ]
        );
        assert_eq!(made(&loaded), ["v6"]);
        assert_eq!(loaded.config.profiles.len(), 3, "what they claim holds");
    }

    #[test]
    fn the_other_end_of_a_pair_closes_a_circle_too() {
        let loaded = loaded(&[
            (
                "profiles/a.toml",
                "[link]\nname = \"p0\"\nkind = \"veth\"\npeer = \"p1\"",
            ),
            (
                "profiles/b.toml",
                "[link]\nname = \"br0\"\nkind = \"bridge\"\nports = [\"p0\", \"p1\"]",
            ),
        ]);
        assert_eq!(loaded.diagnostics, [], "a pair is not a circle");
        assert_eq!(made(&loaded), ["p0", "br0"]);
    }

    #[test]
    fn one_name_is_made_once_and_one_port_has_one_owner() {
        let loaded = loaded(&[
            (
                "profiles/a.toml",
                "[link]\nname = \"x0\"\nkind = \"bridge\"\nports = [\"lan1\"]",
            ),
            ("profiles/b.toml", "[link]\nname = \"x0\"\nkind = \"dummy\""),
            (
                "profiles/c.toml",
                "[link]\nname = \"x1\"\nkind = \"bond\"\nmii-interval = \"100ms\"\nports = [\"lan1\"]",
            ),
            (
                "profiles/d.toml",
                "[link]\nname = \"x2\"\nkind = \"veth\"\npeer = \"x1\"",
            ),
        ]);
        let told: Vec<&str> = loaded
            .diagnostics
            .iter()
            .map(|found| found.message.as_str())
            .collect();
        assert_eq!(
            told,
            [
                "x0 is made by another profile already, as a bridge; the link is not made",
                "lan1 is a port of x0 already; the link is not made",
                "x1 is made by another profile already, as a bond; the link is not made",
            ]
        );
        assert_eq!(made(&loaded), ["x0"]);
    }

    #[test]
    fn two_tunnels_that_take_everything_need_a_mark_each() {
        let tunnel = |name: &str, more: &str| {
            format!(
                "{more}[[peers]]\npublic-key = \"M7O3sJJdILHWfX96PHoUQ/V35lOeI27CTI7FnxLgABU=\"\nallowed = [\"::/0\"]\n\
                 [link]\nname = \"{name}\"\nkind = \"wireguard\"\nprivate-key-file = \"/k\"\n"
            )
        };
        let marked = tunnel("wg2", "") + "mark = 2\n";
        let loaded = loaded(&[
            ("profiles/a.toml", &tunnel("wg0", "")),
            ("profiles/b.toml", &tunnel("wg1", "")),
            ("profiles/c.toml", &marked),
            ("profiles/d.toml", &tunnel("wg3", "autoconnect = false\n")),
        ]);
        let told: Vec<&str> = loaded
            .diagnostics
            .iter()
            .map(|found| found.message.as_str())
            .collect();
        assert_eq!(
            told,
            ["wg0 takes all addresses too, by the same mark 51820; the link is not made"]
        );
        assert_eq!(made(&loaded), ["wg0", "wg2", "wg3"]);
    }
}
