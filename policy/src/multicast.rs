//! On which links are neighbours asked themselves, by multicast DNS and by LLMNR, and for which names? [`MulticastPlan`].
//!
//! # The rules
//! 1. A link can: it is up, has an address, and its neighbours hear a multicast (no tunnel, no loopback).
//! 2. What the governing profile says of `mdns` holds, whatever the link's kind.
//! 3. Else `[resolver]` says, for links of the kinds `ethernet` and `wifi`, and for bridges, bonds and VLANs that hold a
//!    default route: behind other kinds are containers and machines of one's own, not a neighbourhood.
//! 4. While a full tunnel takes all names, rule 3 holds on its own link only: it was asked that nothing is said elsewhere.
//!
//! The same rules hold for `llmnr` (RFC 4795), which is off unless somebody says otherwise, and is for names of one label.
//!
//! A name goes to the neighbours when it is in `.local` or the reverse zone of link-local addresses (RFC 6762 §3, §4), and
//! nobody claims it: claims are [`crate::DomainTable`]'s, and win. A search suffix in `.local` says that its names are in
//! the network's own DNS.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::Config;
use config::model::{DnsSettings, LlmnrMode, MdnsMode, Prefix, ProfileId, Service};
use config::name::{DomainName, wire_suffixes};

use crate::domains::DomainTable;
use crate::explain::Rule;
use crate::facts::{Facts, LinkFacts, LinkId, Owner};
use crate::plan::{ScopeId, ScopePlan};
use crate::scope::rank;

/// `local.`
const LOCAL: &[u8] = b"\x05local\0";
/// Suffixes of names that only neighbours know (RFC 6762 §3, §4).
const SUFFIXES: [&[u8]; 6] = [
    LOCAL,
    b"\x03254\x03169\x07in-addr\x04arpa\0",
    b"\x018\x01e\x01f\x03ip6\x04arpa\0",
    b"\x019\x01e\x01f\x03ip6\x04arpa\0",
    b"\x01a\x01e\x01f\x03ip6\x04arpa\0",
    b"\x01b\x01e\x01f\x03ip6\x04arpa\0",
];
/// Kinds of links that have a neighbourhood.
const ORDINARY: [&str; 2] = ["ethernet", "wifi"];
/// Kinds that have one when they lead on to the network.
const UPPER: [&str; 4] = ["bridge", "bond", "vlan", "team"];

/// Where names are asked of the neighbours themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MulticastPlan {
    /// The links, the best first; those where `mdns` is off are left out.
    pub links: Vec<MulticastLink>,
    /// Suffixes in `.local` that are asked by unicast, as somebody searches in them.
    pub unicast: Vec<DomainName>,
    /// The links on which single labels are asked by LLMNR, the best first.
    pub llmnr: Vec<LlmnrLink>,
}

/// A link on which single labels are asked by LLMNR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LlmnrLink {
    /// Which.
    pub id: LinkId,
    /// Its name.
    pub name: Arc<str>,
    /// Who says so.
    pub owner: Owner,
    /// Its addresses: they tell who is on the link, and by which families it can be spoken there.
    pub addresses: Vec<Prefix>,
}

/// A link on which neighbours are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MulticastLink {
    /// Which.
    pub id: LinkId,
    /// Its name.
    pub name: Arc<str>,
    /// What is done by multicast DNS.
    pub mdns: MdnsMode,
    /// Who says so.
    pub owner: Owner,
    /// Its addresses: they tell who is on the link, and are what a responder answers with.
    pub addresses: Vec<Prefix>,
    /// Services that a responder announces there.
    pub services: Vec<Arc<Service>>,
}

impl MulticastLink {
    /// Whether the link has an address of this family, so that it can be spoken there.
    pub fn has(&self, v4: bool) -> bool {
        self.addresses
            .iter()
            .any(|prefix| prefix.address.is_ipv4() == v4)
    }
}

impl MulticastPlan {
    /// Whether an unclaimed name is asked of the neighbours.
    pub fn covers(&self, name: &DomainName) -> bool {
        self.resolves()
            && name.label_count() > 1
            && is_for_neighbours(name)
            && !self.is_unicast(name)
    }

    /// Whether any link does multicast DNS.
    pub fn resolves(&self) -> bool {
        !self.links.is_empty()
    }

    /// Whether somebody searches in a suffix in `.local` that covers the name.
    pub fn is_unicast(&self, name: &DomainName) -> bool {
        self.unicast.iter().any(|suffix| name.is_in(suffix))
    }

    /// Says in words where a name that is covered goes.
    pub fn told(&self) -> String {
        let links: Vec<String> = self
            .links
            .iter()
            .map(|link| {
                format!(
                    "{} ({}: mdns = {})",
                    link.name,
                    link.owner,
                    link.mdns.as_str()
                )
            })
            .collect();
        format!(
            "nobody claims it, and names of this kind are known to the neighbours only (RFC 6762 §3): asked by multicast on {}",
            links.join(", ")
        )
    }
}

/// Whether a name is of a kind that neighbours answer for.
pub fn is_for_neighbours(name: &DomainName) -> bool {
    wire_suffixes(name.as_wire()).any(|suffix| SUFFIXES.contains(&suffix))
}

/// Whether a name is in `.local`.
pub fn is_local(name: &DomainName) -> bool {
    wire_suffixes(name.as_wire()).any(|suffix| suffix == LOCAL)
}

/// Decides which links do what.
pub(crate) fn plan(
    config: &Config,
    facts: &Facts,
    profiles_by_link: &BTreeMap<LinkId, ProfileId>,
    metric_by_link: &BTreeMap<LinkId, u32>,
    tunnel: Option<&Tunnel>,
) -> MulticastPlan {
    let mut ranked: Vec<_> = facts
        .links
        .iter()
        .filter(|(_, link)| link.up && link.multicast && !link.addresses.is_empty())
        .map(|(id, link)| (rank(Some(link), metric_by_link.get(id)), *id, link))
        .collect();
    ranked.sort_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
    let services: Vec<Arc<Service>> = config.services.iter().cloned().map(Arc::new).collect();
    let mut plan = MulticastPlan::default();
    for (_, id, link) in ranked {
        let profile = profiles_by_link.get(&id);
        let ground = Ground {
            config,
            id,
            link,
            profile,
            tunnel,
        };
        let (llmnr, owner) = ground.choice(config.resolver.llmnr, |dns| dns.llmnr);
        if llmnr == LlmnrMode::Resolve {
            plan.llmnr.push(LlmnrLink {
                id,
                name: Arc::clone(&link.name),
                owner,
                addresses: link.addresses.clone(),
            });
        }
        let (mdns, owner) = ground.choice(config.resolver.mdns, |dns| dns.mdns);
        let announced = services.iter().filter(|service| service.is_for(profile));
        if mdns != MdnsMode::Off {
            plan.links.push(MulticastLink {
                id,
                name: Arc::clone(&link.name),
                mdns,
                owner,
                addresses: link.addresses.clone(),
                services: match mdns {
                    MdnsMode::Respond => announced.cloned().collect(),
                    MdnsMode::Off | MdnsMode::Resolve => Vec::new(),
                },
            });
        }
    }
    plan
}

/// A full tunnel that takes all names, whether or not it can be asked.
#[derive(Debug)]
pub(crate) struct Tunnel {
    /// Its link, when that is there.
    link: Option<LinkId>,
}

/// Returns the full tunnel in force.
pub(crate) fn tunnel(
    domains: &DomainTable,
    scopes: &BTreeMap<ScopeId, ScopePlan>,
) -> Option<Tunnel> {
    let route = domains.route(&DomainName::root());
    if route.because.rule != Rule::Exclusive {
        return None;
    }
    let scope = route.target.scope().and_then(|id| scopes.get(id));
    let link = scope.and_then(|scope| scope.link.as_ref());
    Some(Tunnel {
        link: link.and_then(|link| link.id),
    })
}

/// What decides about a link.
struct Ground<'a> {
    config: &'a Config,
    id: LinkId,
    link: &'a LinkFacts,
    profile: Option<&'a ProfileId>,
    tunnel: Option<&'a Tunnel>,
}

impl Ground<'_> {
    /// Says what is done on the link, and who says so.
    fn choice<T: Copy + Default>(
        &self,
        general: T,
        of: impl FnOnce(&DnsSettings) -> Option<T>,
    ) -> (T, Owner) {
        let link = self.link;
        let is_ordinary = ORDINARY.contains(&&*link.kind)
            || (UPPER.contains(&&*link.kind)
                && (link.default_route4.is_some() || link.default_route6.is_some()));
        let is_outside = self
            .tunnel
            .is_some_and(|tunnel| tunnel.link != Some(self.id));
        let general = match is_ordinary && !is_outside {
            true => general,
            false => T::default(),
        };
        let said = self.profile.and_then(|id| {
            let said = of(&self.config.profiles.get(id)?.dns)?;
            Some((said, Owner::Profile(id.clone())))
        });
        said.unwrap_or((general, Owner::Resolver))
    }
}

#[cfg(test)]
mod tests;
