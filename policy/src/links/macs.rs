//! Which hardware address should a link have? What its profile says, and what becomes of one that is made up where it would do harm.

use std::collections::BTreeMap;

use config::Config;
use config::matcher::Mac;
use config::model::{NetworkSettings, ProfileId};

use crate::facts::{Facts, LinkFacts, LinkId};
use crate::virtual_links::WantedLink;

/// Links that give all their ports one hardware address: what comes in for another one is lost.
const GIVERS: [&str; 2] = ["bond", "team"];
/// Links that would have the least hardware address of all their ports, whatever comes.
const TAKERS: [&str; 1] = ["bridge"];

/// Returns the hardware address that a link should have. None is made up for one that has none of six octets: a profile for many
/// links may well match a tunnel too. Nor of what a bond gives its ports, or is about to give them: that stays, whatever it is.
pub(super) fn of(
    network: &NetworkSettings,
    link: &LinkFacts,
    master: Option<&LinkFacts>,
    made: &[WantedLink],
    facts: &Facts,
) -> Option<Mac> {
    let wanted = network.mac?;
    if !wanted.is_made_up() {
        return facts.mac(wanted, &link.name);
    }
    let own = link.mac?;
    let gives = |kind: &str| GIVERS.contains(&kind);
    let made = made.iter().map(|made| &made.link);
    let mut givers = made.filter(|made| gives(made.kind.name));
    let is_given = master.is_some_and(|master| gives(&master.kind))
        || givers.any(|made| made.ports.contains_key(&link.name));
    match is_given {
        true => Some(own),
        false => facts.mac(wanted, &link.name),
    }
}

/// Has bridges made with a hardware address where their profiles say none: that of the first of their ports that is there, which it has or
/// is to have. Left to itself a bridge would have the least of all its ports, and with the port of a container another one, for which
/// servers have another lease.
pub(super) fn of_bridges(
    made: &mut [WantedLink],
    config: &Config,
    facts: &Facts,
    profiles_by_link: &BTreeMap<LinkId, ProfileId>,
) {
    let takes = |made: &&mut WantedLink| {
        made.mac.is_none() && TAKERS.contains(&made.link.kind.name) && !made.link.ports.is_empty()
    };
    for bridge in made.iter_mut().filter(takes) {
        let there = facts.links.iter();
        let ports = there.filter(|(_, link)| bridge.link.ports.contains_key(&link.name));
        let ports = ports.filter(|(_, link)| link.mac.is_some());
        let Some((id, first)) = ports.min_by_key(|(_, link)| &link.name) else {
            continue;
        };
        let profile = profiles_by_link.get(id);
        let profile = profile.and_then(|profile| config.profiles.get(profile));
        let wanted = profile.and_then(|profile| profile.network.mac);
        let wanted = wanted.and_then(|mac| facts.mac(mac, &first.name));
        bridge.mac = wanted.or(first.mac);
    }
}
