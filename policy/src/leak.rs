//! Are the promises kept? Predicates over a configuration and its plan, for tests and debug builds.
//!
//! They are written against what the user said, not against the table's own order, so that a mistake in the order shows.

use config::Config;
use config::model::DefaultUse;
use config::name::DomainName;

use crate::domains::{Refusal, Route, Target};
use crate::facts::Owner;
use crate::plan::{Plan, ScopeState};

/// A promise that a plan breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Breach {
    /// A scope is asked that cannot be asked.
    AskedUnready(DomainName),
    /// A claimed name is asked in a scope whose owner does not claim it, has no default for it, and is no link's own.
    ClaimedNameLeft(DomainName),
    /// A name that nobody claims is asked in a scope that takes claimed names only.
    PublicNameEntered(DomainName),
    /// An excluded name is asked in the scope that excludes it.
    ExcludedNameEntered(DomainName),
}

/// Returns the first breach among names made from the configuration itself: its claims, exclusions and search suffixes, a
/// name below each, and a name that nobody mentions.
pub fn first_breach(config: &Config, plan: &Plan) -> Option<Breach> {
    let below: DomainName = "x".parse().ok()?;
    let mentioned = config.profiles.values().flat_map(|profile| {
        profile
            .dns
            .claims
            .iter()
            .chain(&profile.dns.exclude)
            .chain(&profile.dns.search)
    });
    let public: DomainName = "unmentioned.invalid-tld".parse().ok()?;
    mentioned
        .flat_map(|name| [Some(name.clone()), below.join(name).ok()])
        .flatten()
        .chain([public, DomainName::root()])
        .find_map(|name| breach(config, plan, &name))
}

/// Looks at one name, as everybody's and as each tunnel's own.
pub fn breach(config: &Config, plan: &Plan, name: &DomainName) -> Option<Breach> {
    let domains = &plan.dns.domains;
    let made = plan.links.made.iter();
    let tunnels = made.filter(|made| made.link.wireguard.is_some());
    let below = tunnels.map(|made| domains.route_below(name, &made.link.name));
    std::iter::once(domains.route(name))
        .chain(below)
        .find_map(|route| breach_by(config, plan, name, &route))
}

fn breach_by(config: &Config, plan: &Plan, name: &DomainName, route: &Route) -> Option<Breach> {
    let scope = match &route.target {
        Target::Refuse(
            Refusal::ScopeNotReady { .. } | Refusal::SearchExpansion { .. } | Refusal::NoScope,
        ) => return None,
        Target::Ask(scope) => plan.dns.scopes.get(scope)?,
    };
    if scope.state != ScopeState::Ready {
        return Some(Breach::AskedUnready(name.clone()));
    }
    let asked = match &scope.owner {
        Owner::Profile(asked) => asked,
        Owner::Supply(_) | Owner::ForeignResolvConf => {
            return is_left_to_network(config, plan, name, &route.because.owner)
                .then(|| Breach::ClaimedNameLeft(name.clone()));
        }
        Owner::Resolver | Owner::Claim(_) | Owner::Link(_) | Owner::Builtin => return None,
    };
    let dns = &config.profiles.get(asked)?.dns;
    let length = |suffixes: &[DomainName]| {
        suffixes
            .iter()
            .filter(|suffix| name.is_in(suffix))
            .map(|suffix| suffix.as_wire().len())
            .max()
    };
    let claimed = length(&dns.claims);
    let prefix = matches!(route.because.owner, Owner::Link(_));
    if length(&dns.exclude) >= claimed.max(Some(0)) && length(&dns.exclude).is_some() && !prefix {
        return Some(Breach::ExcludedNameEntered(name.clone()));
    }
    let takes_default = match dns.default {
        DefaultUse::Yes | DefaultUse::Exclusive => true,
        DefaultUse::Auto => dns.claims.is_empty(),
        DefaultUse::No => false,
    };
    if claimed.is_none() && !takes_default && !prefix {
        return Some(Breach::PublicNameEntered(name.clone()));
    }
    let stricter = config.profiles.values().any(|profile| {
        let theirs = length(&profile.dns.claims);
        let excluded = length(&profile.dns.exclude) >= theirs;
        let held = profile.dns.when_down != config::model::WhenDown::Release
            || plan.dns.scopes.values().any(|scope| {
                scope.owner == Owner::Profile(profile.id.clone())
                    && scope.state == ScopeState::Ready
            });
        profile.id != *asked && theirs > claimed && !excluded && held && !prefix
    });
    stricter.then(|| Breach::ClaimedNameLeft(name.clone()))
}

/// Whether the network is asked for a name that a profile claims and holds.
fn is_left_to_network(config: &Config, plan: &Plan, name: &DomainName, because: &Owner) -> bool {
    let length = |suffixes: &[DomainName]| {
        let covering = suffixes.iter().filter(|suffix| name.is_in(suffix));
        covering.map(|suffix| suffix.as_wire().len()).max()
    };
    let is_prefix = matches!(because, Owner::Link(_));
    config.profiles.values().any(|profile| {
        let claimed = length(&profile.dns.claims);
        let is_ready = || {
            plan.dns.scopes.values().any(|scope| {
                scope.owner == Owner::Profile(profile.id.clone())
                    && scope.state == ScopeState::Ready
            })
        };
        let is_released = profile.dns.when_down == config::model::WhenDown::Release && !is_ready();
        claimed.is_some() && length(&profile.dns.exclude) < claimed && !is_released && !is_prefix
    })
}
