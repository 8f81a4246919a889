//! What becomes of links between two plans, in words? Who sets them up, addresses and routes that come and go, and which
//! link has the default route. A lifetime that changes is no news: leases are renewed all day.

use std::collections::BTreeMap;

use crate::links::{HopPlan, LinkPlan, LinksPlan, Uplink};

/// So many addresses and routes of a link are told.
const TOLD: usize = 8;
/// So many sentences are told; of a machine with a thousand links nobody reads more.
const TOLD_IN_ALL: usize = 64;

/// Returns what changed, a sentence each; empty when nothing that matters did.
pub fn changes(old: &LinksPlan, new: &LinksPlan) -> Vec<String> {
    let mut changes = Vec::new();
    let makes = |plan: &LinksPlan, name: &str| plan.made.iter().any(|it| *it.link.name == *name);
    for made in &new.made {
        let name = &made.link.name;
        if !makes(old, name) {
            let (kind, profile) = (&made.link.kind, &made.profile);
            changes.push(format!("{name} is made by profile {profile}: {kind}"));
        }
    }
    let gone = old.made.iter().map(|made| &made.link.name);
    let gone = gone.filter(|name| !makes(new, name));
    changes.extend(gone.map(|name| format!("{name} is not wanted any more")));
    let mut left_out = 0;
    for (id, link) in &new.links {
        let name = &link.name;
        let before = old.links.get(id);
        if changes.len() >= TOLD_IN_ALL {
            left_out += usize::from(before != Some(link));
            continue;
        }
        if before.is_none_or(|before| before.profile != link.profile) {
            changes.push(format!("{name} is set up by profile {}", link.profile));
        }
        comings_and_goings(before, Some(link), name, (old, new), &mut changes);
    }
    for (id, link) in &old.links {
        if !new.links.contains_key(id) && !new.held.contains(id) {
            changes.push(format!("{} is let go", link.name));
        }
    }
    if changes.len() > TOLD_IN_ALL || left_out > 0 {
        left_out += changes.len().saturating_sub(TOLD_IN_ALL);
        changes.truncate(TOLD_IN_ALL);
        changes.push(format!("{left_out} more links or things on links change"));
    }
    for (family, before, after) in [
        ("IPv4", &old.uplinks.v4, &new.uplinks.v4),
        ("IPv6", &old.uplinks.v6, &new.uplinks.v6),
    ] {
        let link = |uplink: &Option<Uplink>| uplink.as_ref().map(|uplink| uplink.link);
        match after {
            _ if link(before) == link(after) => {}
            Some(uplink) => changes.push(uplink.to_string()),
            None => changes.push(format!("no link has an {family} default route")),
        }
    }
    changes
}

/// Says how a route leaves, with the link's name where it is another one than the plan's.
fn way(hop: &HopPlan, whole: &LinksPlan) -> String {
    let via = hop.via.map(|via| format!(" via {via}"));
    let link = hop.link.and_then(|id| whole.links.get(&id));
    let link = link.map(|link| format!(" on {}", link.name));
    via.into_iter().chain(link).collect()
}

fn comings_and_goings(
    before: Option<&LinkPlan>,
    after: Option<&LinkPlan>,
    name: &str,
    (before_whole, after_whole): (&LinksPlan, &LinksPlan),
    changes: &mut Vec<String>,
) {
    let things = |plan: Option<&LinkPlan>, whole: &LinksPlan| -> BTreeMap<String, String> {
        let Some(plan) = plan else {
            return BTreeMap::new();
        };
        let addresses = plan.addresses.iter().map(|(prefix, address)| {
            let by = address.supplier.map_or_else(
                || " of the profile".to_owned(),
                |supplier| format!(" by {supplier}"),
            );
            (format!("address {prefix}"), by)
        });
        let routes = plan.routes.iter().map(|(key, route)| {
            let hops: Vec<String> = route.via.iter().map(|hop| way(hop, whole)).collect();
            let via = match hops.as_slice() {
                [] => String::new(),
                hops => hops.join(","),
            };
            (format!("route {}{via}", key.to), String::new())
        });
        addresses.chain(routes).collect()
    };
    // Most plans leave most links as they were.
    let same = |one: &LinkPlan, other: &LinkPlan| {
        one.addresses.keys().eq(other.addresses.keys()) && one.routes == other.routes
    };
    if let (Some(before), Some(after)) = (before, after)
        && same(before, after)
    {
        return;
    }
    let (old, new) = (things(before, before_whole), things(after, after_whole));
    let come = new.iter().filter(|(thing, _)| !old.contains_key(*thing));
    let gone = old.keys().filter(|thing| !new.contains_key(*thing));
    let told: Vec<String> = come
        .map(|(thing, by)| format!("{name} gets {thing}{by}"))
        .chain(gone.map(|thing| format!("{name} loses {thing}")))
        .collect();
    let more = told.len().saturating_sub(TOLD);
    changes.extend(told.into_iter().take(TOLD));
    if more > 0 {
        changes.push(format!(
            "{name}: {more} more addresses and routes come or go"
        ));
    }
}
