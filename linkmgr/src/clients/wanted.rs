//! What is wanted of one link's clients? [`Wanted`]: those that the plan says, and static addresses to look after.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use config::model::ConflictUse;
use config::time::Instant;
use policy::LinkPlan;
use policy::links::Clients;

use super::on_link::OnLink;
use crate::watches::Watches;

/// What is wanted of one link.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Wanted {
    pub(super) clients: Clients,
    /// The static addresses that others are told of or asked for.
    pub(super) watched: BTreeMap<Ipv4Addr, ConflictUse>,
}

impl Wanted {
    /// Returns what a plan wants of a link with or without ARP.
    pub(super) fn of(plan: &LinkPlan, has_arp: bool) -> Self {
        let addresses = plan.addresses.iter().filter(|_| has_arp);
        let watched = addresses.filter_map(|(prefix, address)| match prefix.address {
            IpAddr::V4(v4) if address.conflicts != ConflictUse::Ignore => {
                Some((v4, address.conflicts))
            }
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        });
        Self {
            clients: plan.clients.clone(),
            watched: watched.collect(),
        }
    }

    /// Returns those of some addresses that others are told of or asked for.
    pub(super) fn watched_of(&self, addresses: &[Ipv4Addr]) -> Vec<Ipv4Addr> {
        let is_watched = |address: &&Ipv4Addr| self.watched.contains_key(*address);
        addresses.iter().filter(is_watched).copied().collect()
    }

    /// Whether a plan may want anything at all.
    pub(super) fn may_be(plan: &LinkPlan) -> bool {
        let mut addresses = plan.addresses.iter();
        plan.clients != Clients::default()
            || addresses.any(|(prefix, address)| {
                prefix.address.is_ipv4() && address.conflicts != ConflictUse::Ignore
            })
    }
}

impl OnLink {
    /// Follows what is wanted of static addresses, and how the link is.
    pub(super) fn watch(&mut self, seed: u64, now: Instant) {
        let Some(traits) = &self.traits else {
            return;
        };
        let Some(mac) = traits.mac else {
            return;
        };
        if self.watches.is_none() && self.wanted.watched.is_empty() {
            return;
        }
        let watches = self
            .watches
            .get_or_insert_with(|| Watches::new(mac, traits.up, seed ^ 4));
        watches.handle_link(mac, traits.up, now);
        watches.apply(&self.wanted.watched, &traits.fixed4, now);
    }

    /// Follows whether ARP is not to be had on the link.
    pub(super) fn handle_deaf(&mut self, is_deaf: bool, now: Instant) {
        if let Some(watches) = &mut self.watches {
            watches.handle_deaf(is_deaf, now);
        }
    }
}
