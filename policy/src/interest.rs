//! Which links can matter to a plan at all? [`Interest`]: the others need no facts, however many there are.
//!
//! A host of containers has thousands of links that no profile is for, that lead nowhere and have no address that anybody
//! could ask for. They cost nothing here; what they are is told when somebody asks for the status.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use config::Config;
use config::matcher::LinkMatch;

use crate::facts::{LinkFacts, Owner, RuntimeLayer};
use crate::profile;

/// Kinds of links that come in crowds and have no ports: of these only are links left out. A bridge may be what a link of ours
/// is a port of, an Ethernet has neighbours.
const CROWDS: [&str; 10] = [
    "veth", "tun", "macvlan", "macvtap", "ipvlan", "ipvtap", "vlan", "vxlan", "dummy", "ifb",
];

/// Which links can matter; by default all.
///
/// It says yes too often rather than too seldom: a link that is covered and does not matter costs its facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interest {
    everything: bool,
    /// Links that somebody names: profiles, claims made at run time, links that stand on them.
    names: BTreeSet<Arc<str>>,
    /// Matches that name no link.
    matches: Vec<LinkMatch>,
}

impl Default for Interest {
    fn default() -> Self {
        Self {
            everything: true,
            names: BTreeSet::new(),
            matches: Vec::new(),
        }
    }
}

impl Interest {
    /// Collects what a configuration, and what was claimed at run time, may be about.
    pub fn of(config: &Config, layers: &BTreeMap<Owner, RuntimeLayer>) -> Self {
        let mut interest = Self {
            everything: false,
            ..Self::default()
        };
        for profile in config.profiles.values() {
            if let Some(matches) = &profile.matches {
                interest.add(matches);
            }
            if let Some(link) = &profile.link {
                interest.names.insert(Arc::clone(&link.name));
                interest.names.extend(link.below().cloned());
            }
        }
        for broken in config.broken.values() {
            match broken {
                Some(matches) => interest.add(matches),
                // Any link may be meant.
                None => interest.everything = true,
            }
        }
        let named = layers.values().filter_map(|layer| layer.link.clone());
        interest.names.extend(named);
        interest
    }

    fn add(&mut self, matches: &LinkMatch) {
        match profile::literal_names(matches) {
            Some(names) => self.names.extend(names.map(Arc::from)),
            None => self.matches.push(matches.clone()),
        }
    }

    /// Whether a link can matter: somebody may mean it, it leads somewhere, it has an address that this machine is known by, or it
    /// is of a kind of which there are few.
    pub fn covers(&self, link: &LinkFacts) -> bool {
        let is_named = |name: &Arc<str>| self.names.contains(name);
        let has_route = link.default_route4.is_some() || link.default_route6.is_some();
        self.everything
            || !CROWDS.contains(&&*link.kind)
            || has_route
            || has_far_address(link)
            || is_named(&link.name)
            || link.alt_names.iter().any(is_named)
            || self.is_matched(link)
    }

    fn is_matched(&self, link: &LinkFacts) -> bool {
        if self.matches.is_empty() {
            return false;
        }
        let names = profile::names(link);
        let traits = profile::traits(link, &names);
        self.matches.iter().any(|matches| matches.matches(&traits))
    }
}

/// Whether a link has an address that reaches beyond it.
fn has_far_address(link: &LinkFacts) -> bool {
    let is_far = |address: IpAddr| match address {
        IpAddr::V4(v4) => !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local(),
    };
    link.addresses.iter().any(|prefix| is_far(prefix.address))
}

#[cfg(test)]
mod tests {
    use config::model::{DnsSettings, NetworkSettings, Prefix, Profile, ProfileId, Upstream};

    use super::*;
    use crate::facts::{DefaultRoute, Facts, LinkId, Trust};
    use crate::plan;

    const KINDS: [&str; 5] = ["veth", "ethernet", "macvlan", "bridge", "tun"];
    const ADDRESSES: [&[&str]; 4] = [
        &[],
        &["fe80::1/64"],
        &["192.0.2.7/24"],
        &["fe80::1/64", "2001:db8::7/64", "169.254.1.1/16"],
    ];

    /// Who may mean a link: a profile by its name, by a part of it, by its kind, by another name, a claim, a broken profile.
    const MEANT: usize = 7;

    fn dns() -> DnsSettings {
        DnsSettings {
            upstreams: vec![Upstream::plain("192.0.2.53".parse().unwrap())],
            claims: vec!["corp.test".parse().unwrap()],
            ..DnsSettings::default()
        }
    }

    fn prefix(text: &str) -> Prefix {
        let (address, length) = text.split_once('/').unwrap();
        Prefix {
            address: address.parse().unwrap(),
            length: length.parse().unwrap(),
        }
    }

    fn world(meant: usize) -> (Config, Facts) {
        let glob = |text: &str| vec![text.parse().unwrap()];
        let matches = match meant {
            1 => LinkMatch::of_name("x7"),
            2 => LinkMatch {
                name: glob("x*"),
                ..LinkMatch::default()
            },
            3 => LinkMatch {
                kind: glob("veth"),
                ..LinkMatch::default()
            },
            4 => LinkMatch::of_name("other-x7"),
            _ => LinkMatch::of_name("office0"),
        };
        let profile = Profile {
            id: ProfileId("a".into()),
            matches: Some(matches),
            dns: dns(),
            network: NetworkSettings {
                addresses: vec![prefix("198.51.100.1/24").into()],
                ..NetworkSettings::default()
            },
            link: None,
            records: Vec::new(),
        };
        let mut config = Config::default();
        if meant == 6 {
            let broken = LinkMatch::of_name("x7");
            config.broken.insert(ProfileId("0".into()), Some(broken));
        }
        config.profiles.insert(profile.id.clone(), profile);
        let mut facts = Facts::default();
        if meant == 5 {
            let layer = RuntimeLayer {
                link: Some("x7".into()),
                dns: dns(),
                trust: Trust::Authenticated,
            };
            facts.layers.insert(Owner::Claim("vpn".into()), layer);
        }
        (config, facts)
    }

    #[test]
    fn links_that_are_not_covered_change_no_plan() {
        let (mut covered, mut left_out) = (0, 0);
        for world_of in 0..MEANT {
            for bits in 0..KINDS.len() * ADDRESSES.len() * 8 {
                let (config, mut facts) = world(world_of);
                let shape = bits / 8;
                let route = (bits & 1 != 0).then_some(DefaultRoute {
                    metric: 100,
                    gateway: None,
                });
                let link = LinkFacts {
                    name: "x7".into(),
                    alt_names: vec!["other-x7".into()],
                    kind: KINDS[shape % KINDS.len()].into(),
                    up: bits & 2 != 0,
                    multicast: bits & 4 != 0,
                    addresses: ADDRESSES[shape / KINDS.len()]
                        .iter()
                        .map(|text| prefix(text))
                        .collect(),
                    default_route4: route,
                    ..LinkFacts::default()
                };
                let interest = Interest::of(&config, &facts.layers);
                let without = plan(&config, &facts);
                assert!(Interest::default().covers(&link));
                let is_covered = interest.covers(&link);
                let id = LinkId { index: 7, birth: 1 };
                facts.links.insert(id, link.clone());
                if is_covered {
                    covered += 1;
                } else {
                    left_out += 1;
                    assert_eq!(plan(&config, &facts), without, "{world_of}: {link:?}");
                }
            }
        }
        assert!(covered > 100 && left_out > 30, "{covered} {left_out}");
    }

    #[test]
    fn a_broken_profile_that_may_mean_any_link_makes_all_links_matter() {
        let (mut config, facts) = world(0);
        let link = LinkFacts {
            kind: "veth".into(),
            ..LinkFacts::default()
        };
        assert!(!Interest::of(&config, &facts.layers).covers(&link));
        config.broken.insert(ProfileId("b".into()), None);
        assert!(Interest::of(&config, &facts.layers).covers(&link));
    }
}
