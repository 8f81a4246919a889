//! What can be told of links by command? Up, down, adopt, release, renew; and what the plan for them is.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use config::model::{Manage, Profile, VirtualLink};
use config::time::Instant;
use linkmgr::{Item, ItemState};
use linnet::api::{ItemStatus, LinkParameters, LinkStatus, PlanReply, Reply};
use policy::facts::Told;
use policy::{LinkFacts, LinkId};
use serde_json::json;

use super::calls::done;
use super::{Effect, World};
use crate::control::{Caller, error};
use crate::convert;

/// Links that are named to somebody who asks for one that is not there.
const NAMED_MAX: usize = 8;

/// What is told of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Steer {
    /// It is to be set up, whatever `autoconnect` says, and what was undone by hand is to be there again.
    Up,
    /// It is to be taken down, with all that is ours.
    Down,
    /// What is there already is to be ours.
    Adopt,
    /// It is to be left to others, as it is.
    Release,
    /// Its leases are to be asked for anew.
    Renew,
}

impl World {
    pub(super) fn steer(
        &mut self,
        steer: Steer,
        parameters: &LinkParameters,
        caller: &Caller,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) -> Reply {
        let LinkParameters { link: name } = parameters;
        if self.config.links.manage == Manage::None {
            let help = "links are only observed: [links] says manage = \"none\" in linnet.toml";
            return error("NotManaged", help);
        }
        let id = self.linking.links.id_of(name);
        let is_made = self.maker_of(name).is_some();
        match (id, steer) {
            (None, Steer::Up | Steer::Down) if is_made => {}
            (None, _) => return error("NoSuchLink", self.why_not_there(name)),
            (Some(id), _) if self.plan.profiles_by_link.contains_key(&id) => {}
            (Some(id), _) => {
                return error("NoProfile", self.why_no_profile(name, id));
            }
        }
        tracing::info!(%caller, link = %name, ?steer, "told of a link");
        let wall = self.linking.wall(now);
        match (steer, id) {
            (Steer::Up, _) => {
                self.tell(name, Some(Told::Up));
                self.raise_below(name);
                if is_made {
                    self.making.order_anew();
                }
                if let Some(id) = id {
                    self.linking.links.retry(id, now);
                }
            }
            (Steer::Down, _) => {
                if let Some(id) = id {
                    self.linking.give_back(id, now);
                }
                self.tell(name, Some(Told::Down));
            }
            (Steer::Adopt, Some(id)) => {
                // A profile that does nothing by itself is told so for as long as the link is there.
                let profile = self.plan.profiles_by_link.get(&id);
                let profile = profile.and_then(|profile| self.config.profiles.get(profile));
                let by_itself = profile.is_none_or(|profile| profile.network.autoconnect);
                self.tell(name, (!by_itself).then_some(Told::Up));
                if let Some((_, made)) = self.maker_of(name) {
                    let made = Arc::clone(&made.name);
                    self.making.adopt(&made);
                }
                let before = Arc::clone(&self.plan.links);
                self.replan(now, effects);
                self.linking.links.adopt(id, now);
                for rule in self.plan.links.rules.difference(&before.rules) {
                    self.linking.links.adopt_rule(rule);
                }
            }
            (Steer::Release, Some(id)) => {
                self.linking.links.release(id);
                for port in self.ports_with(id) {
                    self.linking.links.release(port);
                }
                self.tell(name, Some(Told::Release));
                let before = Arc::clone(&self.plan.links);
                self.replan(now, effects);
                for rule in before.rules.difference(&self.plan.links.rules) {
                    self.linking.links.release_rule(rule);
                }
            }
            (Steer::Renew, Some(id)) => self.linking.clients.renew(id, wall, now),
            (Steer::Adopt | Steer::Release | Steer::Renew, None) => {}
        }
        self.telling.order();
        done(&json!({}))
    }

    /// Returns the ports of a link that are set up for its profile, and for no other.
    fn ports_with(&self, id: LinkId) -> Vec<LinkId> {
        let profile = self.plan.profiles_by_link.get(&id);
        let planned = self.plan.links.links.iter();
        let ports = planned.filter(|(port, plan)| {
            let of = self.facts.links.get(port).and_then(|link| link.port_of);
            let is_its = of.is_some_and(|of| of.get() == id.index);
            is_its && profile == Some(&plan.profile)
        });
        ports.map(|(port, _)| *port).collect()
    }

    /// Has the links be made too that one stands on, where profiles make them.
    fn raise_below(&mut self, name: &str) {
        let mut seen = BTreeSet::new();
        let mut parent = self.parent_of(name);
        while let Some(name) = parent.filter(|name| seen.insert(Arc::clone(name))) {
            if self.linking.links.id_of(&name).is_none() && self.maker_of(&name).is_some() {
                self.tell(&name, Some(Told::Up));
            }
            parent = self.parent_of(&name);
        }
    }

    /// Returns the link that one stands on which a profile makes.
    fn parent_of(&self, name: &str) -> Option<Arc<str>> {
        self.maker_of(name)?.1.parent.clone()
    }

    /// Says why no profile is for a link, and what to do.
    fn why_no_profile(&self, name: &str, id: LinkId) -> String {
        let mut links = self.linking.links.all_links();
        let link = links.find_map(|(of, link)| (of == id).then_some(link));
        let link = link.unwrap_or_default();
        if let Some(profile) = policy::matching_by_borrowed_mac(&self.config, &link).first() {
            let kind = &link.kind;
            return format!(
                "profile {profile} names the hardware address of {name}, which a {kind} may have from another link: add kind = \"{kind}\" or a name to its match"
            );
        }
        format!(
            "no profile matches {name}: a link without one is only observed; write a profile with match = {{ name = \"{name}\" }}"
        )
    }

    /// Says why there is no link of a name, and what could have been meant.
    fn why_not_there(&self, name: &str) -> String {
        if let Some((profile, link)) = self.maker_of(name) {
            let (name, id) = (&link.name, &profile.id);
            return format!("{name} is not there: linnet up {name} makes it, as profile {id} says");
        }
        let profiles = self.config.profiles.values();
        let mut named = profiles.filter(|profile| *profile.id.0 == *name);
        if let Some(profile) = named.next() {
            return format!("there is no link {name}: {}", self.why_no_link_of(profile));
        }
        let governed = self.plan.profiles_by_link.keys();
        let governed = governed.filter_map(|id| Some(&self.facts.links.get(id)?.name));
        let made = self.config.profiles.values();
        let made = made.filter_map(|profile| Some(&profile.link.as_ref()?.name));
        let names: BTreeSet<&Arc<str>> = governed.chain(made).collect();
        let shown: Vec<&str> = names.iter().take(NAMED_MAX).map(|name| &***name).collect();
        let more = if names.len() > NAMED_MAX { ", …" } else { "" };
        match shown.as_slice() {
            [] => format!("there is no link {name}, and no profile is for any link that is there"),
            shown => format!(
                "there is no link {name}; those that profiles are for: {}{more}",
                shown.join(", ")
            ),
        }
    }

    /// Says which links a profile is for whose name was taken for a link's.
    fn why_no_link_of(&self, profile: &Profile) -> String {
        let id = &profile.id;
        if let Some(VirtualLink { name, .. }) = &profile.link {
            return format!("profile {id} makes {name}");
        }
        let governed = self.plan.profiles_by_link.iter();
        let governed = governed.filter(|(_, by)| *by == id);
        let names: Vec<&str> = governed
            .filter_map(|(link, _)| Some(&*self.facts.links.get(link)?.name))
            .collect();
        match (names.as_slice(), &profile.matches) {
            ([], Some(matches)) => {
                format!("profile {id} is for links that match {matches}, and none does")
            }
            ([], None) => format!("profile {id} is for no link"),
            (names, _) => format!("profile {id} is for {}", names.join(", ")),
        }
    }

    /// Tells what should be in the kernel.
    pub(super) fn tell_plan(&self, now: Instant) -> Reply {
        let text = self.plan.links.seen_at(now).to_string();
        done(&PlanReply {
            generation: self.generation,
            lines: text.lines().map(ToOwned::to_owned).collect(),
        })
    }

    fn name_at(&self, index: u32) -> String {
        let mut links = self.facts.links.iter();
        let link = links.find(|(id, _)| id.index == index);
        link.map_or_else(
            || format!("the link with index {index}"),
            |(_, link)| link.name.to_string(),
        )
    }

    /// Tells what a plan wants of a link, or of none (the rules), and how far each thing is.
    pub(super) fn items(&self, link: Option<LinkId>) -> Vec<ItemStatus> {
        let items = self.linking.links.items(link);
        let told = items.iter().map(|(item, state)| {
            // A rule of somebody else's is as good as ours, but goes when he likes, and no adoption takes it.
            let is_others = *state == ItemState::Foreign
                || *state == ItemState::Adopted && matches!(item, Item::Rule(_));
            let holder = match is_others {
                true => self.linking.links.holder(item),
                false => None,
            };
            convert::item(item, state, holder, |index| self.name_at(index))
        });
        told.collect()
    }

    /// Tells how a link is.
    pub(super) fn link_status(&self, id: LinkId, link: &LinkFacts, now: Instant) -> LinkStatus {
        let profile = self.plan.profiles_by_link.get(&id);
        let supplied = self.facts.supplies.iter();
        let supplied = supplied.filter(|((link, _), _)| *link == id);
        let supplied = supplied.map(|((_, supplier), supply)| (*supplier, supply));
        let report = self.linking.clients.report(id, now);
        let told = self
            .facts
            .told
            .get(&id)
            .map(|told| told.as_str().to_owned());
        let masters = self.facts.links.iter();
        let mut masters =
            masters.filter(|(id, _)| Some(id.index) == link.port_of.map(NonZeroU32::get));
        let (reach, portal) = self.reach_status(id, now);
        LinkStatus {
            port_of: masters.next().map(|(_, master)| master.name.to_string()),
            reach,
            portal,
            told,
            items: self.items(Some(id)),
            supplies: convert::supplies(supplied, report.as_ref(), now),
            cable: convert::cable(report.as_ref()),
            peers: self.peers(&link.name, now),
            associations: self.making.associations(&link.name),
            ..convert::link(id.index, link, profile.map(ToString::to_string))
        }
    }
}
