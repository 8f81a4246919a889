//! What does the network of a link supply for names? One layer for each link, of all that its clients heard.
//!
//! The suppliers of a link are one trust zone, so that they share a scope: a name server that DHCP named stands in for one
//! that routers named. The layer has no claims, whatever the network says. It follows `[dns]` of the link's profile in
//! everything but upstreams, which come after those of the profile.

use std::collections::BTreeMap;
use std::net::IpAddr;

use config::Config;
use config::model::{DefaultUse, DnsSettings, Mapping, Upstream};

use crate::facts::{Facts, LinkId, Supplier, Supply};
use crate::links::{LinkPlan, LinksPlan};

/// What a link's network supplies for names.
#[derive(Debug, Default)]
pub(crate) struct Supplied {
    /// Its layer.
    pub(crate) dns: DnsSettings,
    /// By which prefixes it translates.
    pub(crate) pref64: Vec<Mapping>,
    /// Whether the scope of the profile asks the supplied upstreams and takes all names itself, so that the layer would be
    /// the same scope again.
    pub(crate) is_profiles: bool,
}

/// Whether a layer makes no scope: it says nothing that could be asked.
pub(crate) fn is_silent(dns: &DnsSettings) -> bool {
    let takes_all = matches!(dns.default, DefaultUse::Yes | DefaultUse::Exclusive);
    dns.upstreams.is_empty() && dns.claims.is_empty() && !takes_all
}

/// Collects what is supplied, for each link that is set up.
pub(crate) fn by_link(
    config: &Config,
    facts: &Facts,
    links: &LinksPlan,
) -> BTreeMap<LinkId, Supplied> {
    let set_up = links.links.iter();
    let set_up = set_up.filter(|(_, plan)| plan.admin_up != Some(false));
    set_up
        .filter_map(|(id, plan)| Some((*id, of_link(config, facts, *id, plan)?)))
        .collect()
}

fn of_link(config: &Config, facts: &Facts, id: LinkId, plan: &LinkPlan) -> Option<Supplied> {
    let profile = config.profiles.get(&plan.profile)?;
    let take = profile.network.take;
    let mut supplied = Supplied::default();
    let dns = &mut supplied.dns;
    for supply in supplies(facts, id, plan) {
        let is_new = |upstream: &&Upstream| is_outside(upstream);
        for upstream in supply.upstreams.iter().filter(is_new).filter(|_| take.dns) {
            if !dns.upstreams.contains(upstream) {
                dns.upstreams.push(upstream.clone());
            }
        }
        for suffix in supply.search.iter().filter(|_| take.search) {
            if !dns.search.contains(suffix) {
                dns.search.push(suffix.clone());
            }
        }
        for mapping in supply.pref64.iter().filter(|_| take.dns) {
            if !supplied.pref64.contains(mapping) {
                supplied.pref64.push(*mapping);
            }
        }
    }
    // Stable: within each half the order is that of the suppliers.
    dns.upstreams
        .sort_by_key(|upstream| !upstream.transport.is_encrypted());
    let said = &profile.dns;
    supplied.is_profiles = said.upstreams.is_empty()
        && matches!(said.default, DefaultUse::Yes | DefaultUse::Exclusive);
    dns.default = match said.default {
        DefaultUse::Exclusive => DefaultUse::No,
        DefaultUse::Auto | DefaultUse::Yes | DefaultUse::No => said.default,
    };
    dns.priority = said.priority;
    dns.dnssec = said.dnssec;
    dns.transport = said.transport;
    dns.selection = said.selection;
    dns.recursion = said.recursion;
    dns.dns64.clone_from(&said.dns64);
    if is_silent(said) {
        let own = std::mem::take(&mut dns.search);
        dns.search.clone_from(&said.search);
        let more = own
            .into_iter()
            .filter(|suffix| !said.search.contains(suffix));
        dns.search.extend(more);
    }
    Some(supplied)
}

/// The supplies of the clients that are to run.
fn supplies<'a>(
    facts: &'a Facts,
    id: LinkId,
    plan: &'a LinkPlan,
) -> impl Iterator<Item = &'a Supply> {
    let clients = &plan.clients;
    Supplier::ALL
        .into_iter()
        .filter(|supplier| match supplier {
            Supplier::Dhcp4 => clients.dhcp4.is_some(),
            Supplier::Dhcp6 => clients.dhcp6.is_some(),
            Supplier::Ra => clients.ra.is_some(),
            Supplier::Ipv4ll => clients.ipv4ll,
        })
        .filter_map(move |supplier| facts.supplies.get(&(id, supplier)))
}

/// Whether an upstream is another machine: a network that names this one would have us ask ourselves for ever.
fn is_outside(upstream: &Upstream) -> bool {
    let address = upstream.address.to_canonical();
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !address.is_loopback() && !address.is_unspecified() && !address.is_multicast() && !is_broadcast
}
