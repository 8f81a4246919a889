//! Which hardware address should a link have? What its profile says, and what becomes of one that is made up where it would do harm.

use config::matcher::Mac;
use config::model::NetworkSettings;

use crate::facts::{Facts, LinkFacts};

/// Links that give all their ports one hardware address: what comes in for another one is lost.
const GIVERS: [&str; 2] = ["bond", "team"];

/// Returns the hardware address that a link should have. None is made up for one that has none of six octets: a profile for many
/// links may well match a tunnel too.
pub(super) fn of(network: &NetworkSettings, link: &LinkFacts, facts: &Facts) -> Option<Mac> {
    let wanted = network.mac?;
    let has_none = link.mac.is_none();
    let mac = facts.mac(wanted, &link.name);
    mac.filter(|_| !(wanted.is_made_up() && has_none))
}

/// Returns the hardware address that a port should have. Of what a bond has given nothing is made up: it stays, whatever it is.
pub(super) fn of_port(
    network: &NetworkSettings,
    port: &LinkFacts,
    master: &LinkFacts,
    facts: &Facts,
) -> Option<Mac> {
    let is_given = GIVERS.contains(&&*master.kind);
    match network.mac?.is_made_up() && is_given {
        true => port.mac,
        false => of(network, port, facts),
    }
}
