//! What is wanted of a link that is a port of another? That it is up, and no more: what a bridge or a bond takes in by it
//! never reaches an address of its own. Ports of a VRF are no such ports: they keep their addresses.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::model::{NetworkSettings, ProfileId, RaUse};

use super::{LinkPlan, LinksPlan};
use crate::facts::{Facts, LinkFacts, LinkId, Owner};
use crate::plan::Note;
use crate::virtual_links::WantedLink;

/// The kind of link whose ports keep their addresses.
const VRF: &str = "vrf";

/// Returns the link that has this one as a port, unless ports of its kind keep their addresses.
pub(super) fn master<'a>(link: &LinkFacts, facts: &'a Facts) -> Option<&'a LinkFacts> {
    let (_, master) = by_index(link.port_of?.get(), facts)?;
    (&*master.kind != VRF).then_some(master)
}

fn by_index(index: u32, facts: &Facts) -> Option<(&LinkId, &LinkFacts)> {
    let first = LinkId { index, birth: 0 };
    let found = facts.links.range(first..).next();
    found.filter(|(id, _)| id.index == index)
}

/// Says that a profile wants more of a port than a port can have.
pub(super) fn note(
    profile: &ProfileId,
    network: &NetworkSettings,
    link: &LinkFacts,
    master: &LinkFacts,
) -> Option<Note> {
    let wants = !network.addresses.is_empty()
        || !network.routes.is_empty()
        || network.dhcp4.is_some()
        || matches!(network.ra, RaUse::Own(_));
    wants.then(|| Note {
        owner: Owner::Profile(profile.clone()),
        text: format!(
            "{} is a port of {}: addresses and routes are those of {}, and what the profile says of them is left out for it",
            link.name, master.name, master.name
        ),
    })
}

/// Has the ports of links that profiles make be up, where no profile of their own says what becomes of them.
pub(super) fn raise(
    whole: &mut LinksPlan,
    facts: &Facts,
    profiles_by_link: &BTreeMap<LinkId, ProfileId>,
) {
    if whole.made.is_empty() {
        return;
    }
    let mut raised = Vec::new();
    let made_by_name: BTreeMap<&Arc<str>, &WantedLink> = whole
        .made
        .iter()
        .map(|made| (&made.link.name, made))
        .collect();
    let ports = facts.links.iter();
    let ports = ports.filter_map(|(id, link)| Some((id, link, link.port_of?)));
    for (id, link, master) in ports {
        let has_own = whole.links.contains_key(id) || whole.held.contains(id);
        let is_told = facts.told.contains_key(id);
        if has_own || is_told {
            continue;
        }
        let of = by_index(master.get(), facts);
        let made = of.and_then(|(of, master)| Some((of, *made_by_name.get(&master.name)?)));
        if let Some((of, made)) = made
            && made.link.ports.contains_key(&link.name)
            && profiles_by_link.get(of) == Some(&made.profile)
        {
            let mut plan = LinkPlan::new(Arc::clone(&link.name), made.profile.clone());
            plan.admin_up = Some(true);
            let of = whole.links.get(of);
            plan.clients.lldp = of.is_some_and(|of| of.clients.lldp);
            raised.push((*id, plan));
        }
    }
    whole.links.extend(raised);
}
