//! Can what all profiles want of links hold together? One network on two links, default routes of one rank, prefixes from nowhere, packets
//! that do not pass the link below.
//!
//! Warnings: whether both profiles ever find their links is known when the links are there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::diagnostic::Findings;
use crate::kind::Parent;
use crate::model::{PolicyRule, Prefix, Profile, ProfileId, RouteKind};
use crate::raw::{Span, Table};

/// Where a profile says what it wants of its links.
pub(crate) struct Said {
    /// The profile.
    pub(crate) profile: ProfileId,
    /// Which of the files it is.
    pub(crate) file: usize,
    /// `mtu` in it.
    mtu_at: Option<Span>,
    /// `addresses` in it.
    addresses_at: Option<Span>,
    /// Each of `[[routes]]`.
    routes_at: Vec<Span>,
    /// `from` of `[delegated]`.
    from_at: Option<Span>,
    /// `goto` of those of `[[rules]]` that have it.
    gotos: Vec<Goto>,
}

/// A rule that goes on with another one.
struct Goto {
    priority: u32,
    to: u32,
    at: Option<Span>,
}

impl Said {
    /// Notes the places of a profile; `None` for one that could not contradict another.
    pub(crate) fn of(profile: &Profile, file: usize, top: &Table) -> Option<Self> {
        let network = &profile.network;
        let is_alone = network.mtu.is_none()
            && network.addresses.is_empty()
            && network.routes.is_empty()
            && network.rules.is_empty()
            && network.delegated.is_none();
        if is_alone {
            return None;
        }
        let routes = top.tables("routes").unwrap_or_default();
        let delegated = top.table("delegated");
        let rules = top.tables("rules").unwrap_or_default();
        let number = |said: &Table, key| u32::try_from(said.integer(key)?).ok();
        let gotos = rules.iter().filter_map(|(_, said)| {
            Some(Goto {
                priority: number(said, "priority")?,
                to: number(said, "goto")?,
                at: said.key("goto"),
            })
        });
        Some(Self {
            profile: profile.id.clone(),
            file,
            mtu_at: top.key("mtu"),
            addresses_at: top.key("addresses"),
            routes_at: routes.iter().map(|(span, _)| span.clone()).collect(),
            from_at: delegated.and_then(|said| said.key("from")),
            gotos: gotos.collect(),
        })
    }
}

/// Reports what profiles contradict each other in.
pub(crate) fn check(
    said: &[Said],
    profiles: &BTreeMap<ProfileId, Profile>,
    files: &mut [Findings<'_>],
) {
    mtus(said, profiles, files);
    networks(said, profiles, files);
    defaults(said, profiles, files);
    delegated(said, profiles, files);
    gotos(said, profiles, files);
}

fn warn(files: &mut [Findings<'_>], file: usize, at: Option<Span>, message: String, help: &str) {
    if let Some(findings) = files.get_mut(file) {
        findings.warn(at, message, Some(help.to_owned()));
    }
}

fn path(files: &[Findings<'_>], file: usize) -> Arc<str> {
    files
        .get(file)
        .map_or_else(|| "".into(), |findings| Arc::clone(findings.file))
}

/// Finds links that are to have a greater MTU than the one that they stand on: the kernel refuses it, or takes it back.
fn mtus(said: &[Said], profiles: &BTreeMap<ProfileId, Profile>, files: &mut [Findings<'_>]) {
    for one in said {
        let profile = profiles.get(&one.profile);
        let link = profile.and_then(|profile| profile.link.as_ref());
        // MACsec needs some octets of its parent's, and how many its cipher says.
        let stacked =
            link.filter(|link| link.kind.parent == Parent::Link && link.kind.name != "macsec");
        let (Some(parent), Some(mtu)) = (
            stacked.and_then(|link| link.parent.as_ref()),
            profile.and_then(|profile| profile.network.mtu),
        ) else {
            continue;
        };
        let below = governor(profiles, parent);
        let allowed = below.and_then(|profile| profile.network.mtu);
        let (Some(below), Some(allowed)) = (
            below.and_then(|profile| said.iter().find(|other| other.profile == profile.id)),
            allowed.filter(|allowed| *allowed < mtu),
        ) else {
            continue;
        };
        let there = path(files, below.file);
        let message =
            format!("an MTU of {mtu} does not pass {parent}, to which {there} gives {allowed}");
        let help = format!(
            "write {allowed} or less, or raise `mtu` there; no link carries more than the one that it stands on"
        );
        warn(files, one.file, one.mtu_at.clone(), message, &help);
    }
}

/// Returns the profile that a link of this name has, the first that matches; `None` where it takes more than a name to know.
fn governor<'a>(profiles: &'a BTreeMap<ProfileId, Profile>, name: &str) -> Option<&'a Profile> {
    let mut profiles = profiles.values();
    let (profile, matches) = profiles.find_map(|profile| {
        let matches = profile.matches.as_ref()?;
        let named = matches.name.is_empty() || matches.name.iter().any(|glob| glob.matches(name));
        named.then_some((profile, matches))
    })?;
    let by_name_alone = matches.mac.is_empty()
        && matches.kind.is_empty()
        && matches.driver.is_empty()
        && matches.path.is_empty();
    Some(profile).filter(|profile| by_name_alone && profile.network.autoconnect)
}

/// Finds networks within each other; in another table than main they are kept apart on purpose.
fn networks(said: &[Said], profiles: &BTreeMap<ProfileId, Profile>, files: &mut [Findings<'_>]) {
    let mut networks: Vec<(Prefix, Prefix, &Said)> = Vec::new();
    for one in said {
        let Some(profile) = profiles.get(&one.profile) else {
            continue;
        };
        let network = &profile.network;
        let own = network.addresses.iter().filter(|_| network.table.is_none());
        networks.extend(own.map(|own| (own.network(), own.prefix, one)));
    }
    // What lies within a network comes right behind it.
    networks.sort_by_key(|(network, own, said)| (*network, *own, said.file));
    let mut around: Vec<(Prefix, Prefix, &Said)> = Vec::new();
    for (network, own, one) in networks {
        while around
            .last()
            .is_some_and(|(outer, ..)| !outer.covers(network))
        {
            around.pop();
        }
        let other = around
            .iter()
            .rev()
            .find(|(.., other)| other.file != one.file);
        if let Some((outer, other_own, other)) = other {
            let (first, later) = match other.file < one.file {
                true => (*other, one),
                false => (one, *other),
            };
            let there = path(files, first.file);
            let links = |said: &Said| profiles.get(&said.profile)?.matches.as_ref();
            let (message, help) = if links(first).is_some() && links(first) == links(later) {
                (
                    format!(
                        "{there} is for the same links, and comes first: no link has this profile"
                    ),
                    "give all addresses of a link in one profile, or match others",
                )
            } else if own.address == other_own.address {
                (
                    format!("{} is an address of {there} too", own.address),
                    "give each link an address of its own",
                )
            } else if *outer == network {
                (
                    format!("the network {network} is in {there} too"),
                    "packets to it take the link with the lower `metric`; name it in the profile that is to have them",
                )
            } else {
                (
                    format!("the networks {network} and {outer} of {there} overlap"),
                    "packets to both take the link of the longer one; give the links networks apart",
                )
            };
            warn(files, later.file, later.addresses_at.clone(), message, help);
        }
        around.push((network, own, one));
    }
}

/// Finds default routes that somebody gave one metric.
fn defaults(said: &[Said], profiles: &BTreeMap<ProfileId, Profile>, files: &mut [Findings<'_>]) {
    let mut file_by_rank: BTreeMap<(Prefix, Option<u32>, u32), usize> = BTreeMap::new();
    for one in said {
        let Some(profile) = profiles.get(&one.profile) else {
            continue;
        };
        for (route, at) in profile.network.routes.iter().zip(&one.routes_at) {
            let is_default =
                route.to.length == 0 && route.kind == RouteKind::Unicast && route.from.is_none();
            let Some(metric) = route.metric.filter(|_| is_default) else {
                continue;
            };
            let table = route.table.or(profile.network.table);
            let first = *file_by_rank
                .entry((route.to, table, metric))
                .or_insert(one.file);
            if first != one.file {
                let there = path(files, first);
                let message = format!("a default route of metric {metric} is in {there} too");
                let help = "leave `metric` out, so that linnet ranks the links, or give one of them a higher one";
                warn(files, one.file, Some(at.clone()), message, help);
            }
        }
    }
}

/// Finds profiles that wait for a prefix that nobody asks for.
fn delegated(said: &[Said], profiles: &BTreeMap<ProfileId, Profile>, files: &mut [Findings<'_>]) {
    for one in said {
        let wanted = profiles.get(&one.profile);
        let wanted = wanted.and_then(|profile| profile.network.delegated.as_ref());
        let Some(from) = wanted.and_then(|wanted| wanted.from.as_ref()) else {
            continue;
        };
        let asks = |profile: &Profile| {
            let dhcp6 = profile.network.dhcp6.as_ref();
            dhcp6.is_some_and(|dhcp6| dhcp6.delegate.is_some())
        };
        let message = match profiles.get(from) {
            Some(profile) if asks(profile) => continue,
            Some(_) => format!("profile {from} asks for no prefix"),
            None => format!("there is no profile {from}"),
        };
        let help = "name a profile with dhcp6 = true, and `delegate` in [dhcp]";
        warn(files, one.file, one.from_at.clone(), message, help);
    }
}

/// Finds rules that go on where there is none. Somebody else's may be there, so that it is no error.
fn gotos(said: &[Said], profiles: &BTreeMap<ProfileId, Profile>, files: &mut [Findings<'_>]) {
    if said.iter().all(|one| one.gotos.is_empty()) {
        return;
    }
    let rules = profiles.values().flat_map(|profile| &profile.network.rules);
    let tunnels = profiles.values().filter_map(|profile| {
        let link = profile.link.as_ref()?;
        Some(link.wireguard.as_ref()?.rules())
    });
    let tunnels: Vec<PolicyRule> = tunnels.flatten().collect();
    let standing: BTreeSet<(bool, u32)> = rules
        .chain(&tunnels)
        .map(|rule| (rule.is_ipv6, rule.priority))
        .collect();
    for one in said {
        let own = profiles.get(&one.profile);
        let own = own.map_or(&[][..], |profile| &profile.network.rules);
        for Goto { priority, to, at } in &one.gotos {
            let is_it = |rule: &&PolicyRule| rule.priority == *priority && rule.goto == Some(*to);
            let lacks = |rule: &&PolicyRule| {
                !rule.is_kernels_place(*to) && !standing.contains(&(rule.is_ipv6, *to))
            };
            let lacking: BTreeSet<bool> = own
                .iter()
                .filter(is_it)
                .filter(lacks)
                .map(|rule| rule.is_ipv6)
                .collect();
            let what = match (lacking.contains(&false), lacking.contains(&true)) {
                (false, false) => continue,
                (true, false) => "no IPv4 rule",
                (false, true) => "no IPv6 rule",
                (true, true) => "no rule",
            };
            let message = format!(
                "rule {priority} goes on with {to}, and {what} of a profile is there: the kernel passes over rule {priority} until somebody's is"
            );
            let help = format!(
                "add a rule with priority = {to} (kind = \"nothing\" makes it a mere place), or write the number of one"
            );
            warn(files, one.file, at.clone(), message, &help);
        }
    }
}
