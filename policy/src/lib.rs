//! Config and facts to a plan: one total function.
//!
//! ```text
//! plan(&Config, &Facts) -> Plan        who may be asked, where names go, what resolv.conf says
//! DomainTable::route(name) -> Route    where one name goes, and why
//! ```
//!
//! No state, no clock, no error type: every configuration and every set of facts has a plan.

pub mod diff;
mod dns64;
pub mod domains;
pub mod explain;
pub mod facts;
mod interest;
pub mod leak;
pub mod links;
pub mod multicast;
pub mod plan;
mod profile;
mod resolv_conf;
mod scope;
mod suffixes;
mod supplied;
#[cfg(test)]
mod tests;
mod upstream;
pub mod virtual_links;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::Config;
use config::model::{DefaultUse, DnsSettings, ProfileId, RecursionMode};
use config::name::DomainName;

pub use domains::{DomainTable, Refusal, Route, Target};
pub use explain::{Because, Candidate, Explanation, Outcome, Rule};
pub use facts::{Facts, LinkFacts, LinkId, NetworkId, Owner};
pub use interest::Interest;
pub use links::{LinkPlan, LinksPlan, Uplinks};
pub use plan::{DnsPlan, Plan, ScopeId, ScopePlan, ScopeState};
pub use profile::{governed, matching_by_borrowed_mac};

use plan::{Note, SearchSuffix};
use scope::Scopes;
use supplied::Supplied;

/// Computes everything we intend.
pub fn plan(config: &Config, facts: &Facts) -> Plan {
    let mut notes = Vec::new();
    let profiles = profile::Profiles::of(config);
    let profiles_by_link = profile::by_link(&profiles, facts);
    let links = links::plan(config, facts, &profiles_by_link, &mut notes);
    let supplied = supplied::by_link(config, facts, &links);
    let own = own_layers(config, facts, &supplied);
    let metric_by_link = links.uplinks.metrics();
    let ground = scope::Ground {
        own: &own,
        profiles_by_link: &profiles_by_link,
        metric_by_link: &metric_by_link,
        uplink6: links.uplinks.v6.as_ref().map(|uplink| uplink.link),
        supplied: &supplied,
    };
    let scopes = scope::make(config, facts, &ground);
    let search = search(config, facts, &scopes, &supplied);
    let known = known_search(config, facts, &supplied);
    notes.extend(scopes.notes);
    shadowed(&profiles, facts, &mut notes);

    let searched_locals = known
        .iter()
        .filter(|suffix| suffix.label_count() > 1 && multicast::is_local(suffix))
        .cloned()
        .collect();
    let mut entries = scopes.entries;
    entries.extend(scopes.zones.iter().map(|(zone, claim)| (zone, *claim)));
    let domains = DomainTable::new(scopes.claims, entries, scopes.exclusions, known);
    let scopes_by_id = scopes
        .made
        .into_iter()
        .map(|made| (made.id, made.plan))
        .collect();
    let tunnel = multicast::tunnel(&domains, &scopes_by_id);
    let mut neighbours = multicast::plan(
        config,
        facts,
        &profiles_by_link,
        &metric_by_link,
        tunnel.as_ref(),
    );
    neighbours.unicast = searched_locals;
    let mut dns = DnsPlan {
        scopes: scopes_by_id,
        domains,
        search,
        notes: Vec::new(),
        multicast: neighbours,
        recorded: recorded(config, facts, &profiles_by_link, &metric_by_link),
    };
    let resolv_conf = resolv_conf::plan(config, &dns, &mut notes);
    dns.notes = notes;
    let plan = Plan {
        dns: Arc::new(dns),
        resolv_conf,
        profiles_by_link,
        links: Arc::new(links),
    };
    debug_assert_eq!(
        leak::first_breach(config, &plan),
        None,
        "a promise is broken"
    );
    plan
}

/// The layers that are not profiles and not claims made at run time.
fn own_layers(
    config: &Config,
    facts: &Facts,
    supplied: &BTreeMap<LinkId, Supplied>,
) -> Vec<(Owner, DnsSettings)> {
    let mut own = Vec::new();
    if !config.resolver.upstreams.is_empty() || is_on_its_own(config, facts, supplied) {
        let dns = DnsSettings {
            upstreams: config.resolver.upstreams.clone(),
            default: DefaultUse::Yes,
            ..DnsSettings::default()
        };
        own.push((Owner::Resolver, dns));
    }
    if let Some(foreign) = facts
        .foreign_resolv_conf
        .as_ref()
        .filter(|foreign| !foreign.upstreams.is_empty())
    {
        let dns = DnsSettings {
            upstreams: foreign.upstreams.clone(),
            default: DefaultUse::Yes,
            ..DnsSettings::default()
        };
        own.push((Owner::ForeignResolvConf, dns));
    }
    own
}

/// Whether names are resolved from the root down because nobody names any upstream.
fn is_on_its_own(config: &Config, facts: &Facts, supplied: &BTreeMap<LinkId, Supplied>) -> bool {
    let mut offered = config
        .profiles
        .values()
        .map(|profile| &profile.dns)
        .chain(facts.layers.values().map(|layer| &layer.dns))
        .chain(supplied.values().map(|supplied| &supplied.dns));
    config.resolver.recursion == RecursionMode::Always
        && facts
            .foreign_resolv_conf
            .as_ref()
            .is_none_or(|foreign| foreign.upstreams.is_empty())
        && offered.all(|dns| dns.upstreams.is_empty())
}

/// The search list: scopes that can be asked, by the rank of their links; then `[resolver]`; a foreign resolv.conf only when
/// nobody else names any.
fn search(
    config: &Config,
    facts: &Facts,
    scopes: &Scopes<'_>,
    supplied: &BTreeMap<LinkId, Supplied>,
) -> Vec<SearchSuffix> {
    let mut ready: Vec<_> = scopes
        .made
        .iter()
        .filter(|made| made.plan.state == ScopeState::Ready)
        .collect();
    ready.sort_by(|one, other| (&one.rank, &one.id).cmp(&(&other.rank, &other.id)));
    let linked = ready.iter().flat_map(|made| {
        made.search
            .iter()
            .map(|suffix| (suffix, made.plan.owner.clone()))
    });
    let own = config
        .resolver
        .search
        .iter()
        .map(|suffix| (suffix, Owner::Resolver));
    // Suffixes of networks whose upstreams are not taken.
    let offered = supplied.iter().filter_map(|(id, supplied)| {
        let link = facts.links.get(id).filter(|link| link.up)?;
        let owner = Owner::Supply(Arc::clone(&link.name));
        let suffixes = supplied.dns.search.iter();
        Some(suffixes.map(move |suffix| (suffix, owner.clone())))
    });
    let mut list = unique(linked.chain(offered.flatten()).chain(own));
    if list.is_empty() {
        let foreign = facts
            .foreign_resolv_conf
            .iter()
            .flat_map(|foreign| &foreign.search);
        list = unique(foreign.map(|suffix| (suffix, Owner::ForeignResolvConf)));
    }
    list
}

/// Returns the profiles whose records hold: those with a link that is up, in the order of their links' ranks, and those that are
/// tied to none, last.
fn recorded(
    config: &Config,
    facts: &Facts,
    profiles_by_link: &BTreeMap<LinkId, ProfileId>,
    metric_by_link: &BTreeMap<LinkId, u32>,
) -> Vec<ProfileId> {
    let profiles = config.profiles.values();
    let mut ranked: Vec<_> = profiles
        .filter(|profile| !profile.records.is_empty())
        .filter_map(|profile| {
            if profile.matches.is_none() {
                return Some((scope::rank(None, None), &profile.id));
            }
            let links = profiles_by_link.iter().filter(|(_, id)| **id == profile.id);
            let up = links.filter_map(|(id, _)| {
                let link = facts.links.get(id).filter(|link| link.up)?;
                Some(scope::rank(Some(link), metric_by_link.get(id)))
            });
            Some((up.min()?, &profile.id))
        })
        .collect();
    ranked.sort();
    ranked.into_iter().map(|(_, id)| id.clone()).collect()
}

fn unique<'a>(suffixes: impl Iterator<Item = (&'a DomainName, Owner)>) -> Vec<SearchSuffix> {
    let mut seen = BTreeSet::new();
    suffixes
        .filter(|(suffix, _)| !suffix.is_root() && seen.insert(*suffix))
        .map(|(suffix, owner)| SearchSuffix {
            suffix: suffix.clone(),
            owner,
        })
        .collect()
}

/// Every suffix that somebody on this machine might append, whether or not its scope can be asked.
fn known_search(
    config: &Config,
    facts: &Facts,
    supplied: &BTreeMap<LinkId, Supplied>,
) -> BTreeSet<DomainName> {
    let profiles = config
        .profiles
        .values()
        .flat_map(|profile| &profile.dns.search);
    let layers = facts.layers.values().flat_map(|layer| &layer.dns.search);
    let foreign = facts
        .foreign_resolv_conf
        .iter()
        .flat_map(|foreign| &foreign.search);
    let supplied = supplied.values().flat_map(|supplied| &supplied.dns.search);
    profiles
        .chain(layers)
        .chain(supplied)
        .chain(foreign)
        .chain(&config.resolver.search)
        .chain(&facts.host_domain)
        .cloned()
        .collect()
}

/// Notes profiles whose links are all governed by others.
fn shadowed(profiles: &profile::Profiles<'_>, facts: &Facts, notes: &mut Vec<Note>) {
    for link in facts.links.values().filter(|link| !link.loopback) {
        let matching = profiles.matching(link);
        let Some((first, others)) = matching.split_first() else {
            continue;
        };
        for other in others {
            let text = format!(
                "link {} is governed by profile {first}, which matches too and comes first",
                link.name
            );
            notes.push(Note {
                owner: Owner::Profile((*other).clone()),
                text,
            });
        }
    }
}
