//! What can be told of links by command? Up, down, adopt, release, renew; and what the plan for them is.

use std::num::NonZeroU32;

use config::time::Instant;
use linnet::api::{ItemStatus, LinkParameters, LinkStatus, PlanReply, Reply};
use policy::facts::Told;
use policy::{LinkFacts, LinkId};
use serde_json::json;

use super::World;
use super::calls::done;
use crate::control::{Caller, error};
use crate::convert;

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
    ) -> Reply {
        let LinkParameters { link: name } = parameters;
        let Some(id) = self.linking.links.id_of(name) else {
            return error("NoSuchLink", format!("there is no link {name}"));
        };
        if !self.plan.profiles_by_link.contains_key(&id) {
            let help = format!(
                "no profile matches {name}: a link without one is only observed; write a profile with match = {{ name = \"{name}\" }}"
            );
            return error("NoProfile", help);
        }
        tracing::info!(%caller, link = %name, ?steer, "told of a link");
        let wall = self.linking.wall(now);
        let linking = &mut self.linking;
        match steer {
            Steer::Up => {
                self.facts.told.insert(id, Told::Up);
                linking.links.retry(id, now);
            }
            Steer::Down => {
                linking.clients.release(id, wall, now);
                self.facts.told.insert(id, Told::Down);
            }
            Steer::Adopt => {
                self.facts.told.remove(&id);
                linking.links.adopt(id, now);
            }
            Steer::Release => {
                linking.links.release(id);
                self.facts.told.insert(id, Told::Release);
            }
            Steer::Renew => linking.clients.renew(id, wall, now),
        }
        done(&json!({}))
    }

    /// Tells what should be in the kernel.
    pub(super) fn tell_plan(&self, now: Instant) -> Reply {
        let text = self.plan.links.seen_at(now).to_string();
        done(&PlanReply {
            generation: self.generation,
            lines: text.lines().map(ToOwned::to_owned).collect(),
        })
    }

    /// Tells how a link is.
    pub(super) fn link_status(&self, id: LinkId, link: &LinkFacts, now: Instant) -> LinkStatus {
        let profile = self.plan.profiles_by_link.get(&id);
        let items = self.linking.links.items(Some(id));
        let items: Vec<ItemStatus> = items
            .iter()
            .map(|(item, state)| convert::item(item, state))
            .collect();
        let supplied = self.facts.supplies.iter();
        let supplied = supplied.filter(|((link, _), _)| *link == id);
        let supplied = supplied.map(|((_, supplier), supply)| (*supplier, supply));
        let report = self.linking.clients.report(id, now);
        let told = self.facts.told.get(&id).map(|told| match told {
            Told::Up => "up",
            Told::Down => "down",
            Told::Release => "release",
        });
        let masters = self.facts.links.iter();
        let mut masters =
            masters.filter(|(id, _)| Some(id.index) == link.port_of.map(NonZeroU32::get));
        let (reach, portal) = self.reach_status(id, now);
        LinkStatus {
            port_of: masters.next().map(|(_, master)| master.name.to_string()),
            reach,
            portal,
            told: told.map(ToOwned::to_owned),
            items,
            supplies: convert::supplies(supplied, report.as_ref(), now),
            cable: convert::cable(report.as_ref()),
            peers: self.peers(&link.name, now),
            associations: self.making.associations(&link.name),
            ..convert::link(id.index, link, profile.map(ToString::to_string))
        }
    }
}
