//! Which ways does a route over several links have? Those whose links are there and carry; none waits for another.
//!
//! A way leaves with its link, as the kernel's own dead hops do, and the others have its share; it comes back the same way. So
//! the route does not hang on the link of the profile that it is written in either. While no link carries, the ways are there
//! that the profile's `carrier` holds, as with a route by one link. The plan has the route on the first link that it leaves by.
//!
//! A profile whose links all have another one, as that comes first, is for no link, and lays nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::Config;
use config::model::{Hop, Manage, Profile, ProfileId, Route};

use super::make::Draft;
use super::{HopPlan, LinksPlan, carrier};
use crate::facts::{Facts, LinkFacts, LinkId, Owner, Told};
use crate::plan::Note;
use crate::profile::{self, Profiles};

/// A way of a route whose link is there.
#[derive(Clone, Copy)]
struct Way {
    link: LinkId,
    hop: HopPlan,
    carries: bool,
    is_held: bool,
}

/// Lays the routes that name links, and says which of their ways they go without.
pub(super) fn lay(
    drafts: &mut [Draft<'_>],
    whole: &mut LinksPlan,
    config: &Config,
    (facts, profiles_by_link): (&Facts, &BTreeMap<LinkId, ProfileId>),
    notes: &mut Vec<Note>,
) {
    if config.links.manage != Manage::Matched {
        return;
    }
    for (id, profile) in &config.profiles {
        let routes = profile.network.routes.iter();
        let mut routes = routes.filter(|route| route.names_links()).peekable();
        if routes.peek().is_none() {
            continue;
        }
        let set_up = drafts.iter().find(|draft| draft.plan.profile == *id);
        if set_up.is_none() && !profile.network.autoconnect {
            continue;
        }
        let mut governed = profiles_by_link
            .iter()
            .filter(|(_, governs)| *governs == id);
        let own = set_up.map(|draft| draft.id);
        let own = own.or_else(|| governed.next().map(|(link, _)| *link));
        if own.is_none()
            && let Some(text) = passed_over(profile, config, facts)
        {
            let owner = Owner::Profile(id.clone());
            notes.push(Note { owner, text });
            continue;
        }
        for route in routes {
            let (ways, without) = ways(route, (profile, own), drafts, whole, facts);
            lay_one(drafts, route, profile, &ways);
            notes.extend(note(id, route, &ways, &without));
        }
    }
}

/// Says which profile comes before one that governs no link, if no link could have it: none of those that are there, and none of those
/// that it names.
fn passed_over(profile: &Profile, config: &Config, facts: &Facts) -> Option<String> {
    let matches = profile.matches.as_ref()?;
    let profiles = Profiles::of(config);
    let mut first = None;
    for link in facts.links.values().filter(|link| !link.loopback) {
        let found = profiles.matching(link);
        if found.contains(&&profile.id) {
            first = first.or_else(|| Some((Arc::clone(&link.name), found.first().copied()?)));
        }
    }
    for name in profile::literal_names(matches).into_iter().flatten() {
        let mut links = facts.links.values();
        if links.any(|link| profile::names(link).contains(&name)) {
            continue;
        }
        // What its link is like is not known before it is there.
        let link = LinkFacts {
            name: name.into(),
            ..LinkFacts::default()
        };
        let found = profiles.matching(&link);
        let before = found.into_iter().find(|other| **other < profile.id)?;
        first.get_or_insert((link.name, before));
    }
    let (link, before) = first?;
    Some(format!(
        "its routes over several links are not laid, as it is for no link: {link} has the profile {before}, which comes first"
    ))
}

fn lay_one(drafts: &mut [Draft<'_>], route: &Route, profile: &Profile, ways: &[Way]) {
    let holder = ways
        .iter()
        .find_map(|way| drafts.iter().position(|draft| draft.id == way.link));
    let Some(draft) = holder.and_then(|at| drafts.get_mut(at)) else {
        return;
    };
    let mut via: Vec<HopPlan> = Vec::with_capacity(ways.len());
    for way in ways {
        let hop = HopPlan {
            link: Some(way.link).filter(|link| *link != draft.id),
            ..way.hop
        };
        let is_same = |other: &HopPlan| (other.via, other.link) == (hop.via, hop.link);
        if !via.iter().any(is_same) {
            via.push(hop);
        }
    }
    if let [
        HopPlan {
            via: None,
            link: None,
            ..
        },
    ] = via.as_slice()
    {
        via.clear();
    }
    draft.add_said_route(route, &profile.network, via);
}

/// Returns the ways that a route has, and why it goes without others.
fn ways(
    route: &Route,
    (profile, own): (&Profile, Option<LinkId>),
    drafts: &[Draft<'_>],
    whole: &mut LinksPlan,
    facts: &Facts,
) -> (Vec<Way>, Vec<String>) {
    let mut without = Vec::new();
    let mut found = Vec::new();
    for hop in &route.via {
        match link_of(hop, own, drafts, whole, facts) {
            Ok((link, facts_of)) => {
                let held = carrier::held(profile.network.carrier.fixed, link, facts);
                let ends_at = held.ends_at();
                whole.review_at = [whole.review_at, ends_at].into_iter().flatten().min();
                let way = Way {
                    link,
                    hop: HopPlan {
                        via: hop.via,
                        link: None,
                        weight: hop.weight,
                    },
                    carries: facts_of.up,
                    is_held: held.is_held(),
                };
                found.push((way, &facts_of.name));
            }
            Err(why) => without.push(why),
        }
    }
    let carries = found.iter().any(|(way, _)| way.carries);
    let is_taken = |way: &Way| if carries { way.carries } else { way.is_held };
    let left_out = found.iter().filter(|(way, _)| !is_taken(way));
    without.extend(left_out.map(|(_, name)| format!("{name} has no carrier")));
    let ways = found.into_iter().map(|(way, _)| way).filter(is_taken);
    (ways.collect(), without)
}

/// Finds the link of a way, or says why there is none.
fn link_of<'a>(
    hop: &Hop,
    own: Option<LinkId>,
    drafts: &[Draft<'_>],
    whole: &LinksPlan,
    facts: &'a Facts,
) -> Result<(LinkId, &'a LinkFacts), String> {
    let found = match &hop.link {
        Some(name) => {
            let mut links = facts.links.iter();
            let is_it = |link: &LinkFacts| profile::names(link).contains(&&**name);
            links.find(|(_, link)| is_it(link)).map(|(id, _)| *id)
        }
        None => own,
    };
    let there = found.and_then(|id| Some((id, facts.links.get(&id)?)));
    let Some((id, link)) = there else {
        return Err(match &hop.link {
            Some(name) => format!("there is no link {name}"),
            None => "the profile's own link is not there".to_owned(),
        });
    };
    let name: &Arc<str> = &link.name;
    if whole.held.contains(&id) || drafts.iter().any(|draft| draft.id == id) {
        return Ok((id, link));
    }
    Err(match facts.told.get(&id) {
        Some(Told::Down) => format!("{name} was taken down by command"),
        Some(Told::Release) => format!("{name} was released"),
        Some(Told::Up) | None if link.port_of.is_some() => format!("{name} is a port"),
        Some(Told::Up) | None => format!("no profile sets {name} up"),
    })
}

fn note(id: &ProfileId, route: &Route, ways: &[Way], without: &[String]) -> Option<Note> {
    if without.is_empty() {
        return None;
    }
    let without = without.join(", ");
    let to = route.to;
    Some(Note {
        owner: Owner::Profile(id.clone()),
        text: match ways {
            [] => format!("there is no route to {to}: {without}"),
            _ => format!("the route to {to} goes by fewer ways than it could: {without}"),
        },
    })
}
