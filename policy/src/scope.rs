//! Which scopes are there, and what does each claim? Layers of DNS settings times links.
//!
//! A layer is what one owner wants: `[resolver]`, a profile, a link's network, a claim made at run time, a foreign resolv.conf. Each layer has a
//! scope for every link that it governs, or one scope without a link when it is tied to none, or when its links are absent:
//! its claims hold all the same. Nothing else makes a scope.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use config::Config;
use config::model::{DefaultUse, DnsSettings, Mapping, ProfileId, RecursionMode, WhenDown};
use config::name::DomainName;

use crate::dns64;
use crate::domains::{Claim, Class, Hold, Order, Rank};
use crate::facts::{Facts, LinkFacts, LinkId, NetworkId, Owner, Trust};
use crate::plan::{Note, ScopeId, ScopeLink, ScopePlan, ScopeState};
use crate::supplied::{self, Supplied};
use crate::upstream;

/// What defaults are on.
static ROOT: LazyLock<DomainName> = LazyLock::new(DomainName::root);

/// What one owner wants, and for which links.
#[derive(Debug)]
struct Layer<'a> {
    owner: Owner,
    /// The first part of its scopes' ids.
    name: String,
    trust: Trust,
    dns: &'a DnsSettings,
    governs: Governs<'a>,
}

/// Which links a layer governs.
#[derive(Debug)]
enum Governs<'a> {
    /// It is tied to no link.
    Nothing,
    /// These; never empty.
    Links(Vec<(LinkId, &'a LinkFacts)>),
    /// None is there; how the links would be called.
    Absent(Arc<str>),
}

/// A scope with all that it claims.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) id: ScopeId,
    pub(crate) plan: ScopePlan,
    pub(crate) rank: Rank,
    pub(crate) search: Vec<DomainName>,
}

/// All scopes and claims, and what is to be said about them.
#[derive(Debug, Default)]
pub(crate) struct Scopes<'a> {
    pub(crate) made: Vec<Made>,
    pub(crate) claims: Vec<Claim>,
    /// Suffixes with the numbers of the claims on them.
    pub(crate) entries: Vec<(&'a DomainName, u32)>,
    /// The same for suffixes that nobody wrote down.
    pub(crate) zones: Vec<(DomainName, u32)>,
    pub(crate) exclusions: Vec<(Owner, DomainName)>,
    pub(crate) notes: Vec<Note>,
    /// That of the default route.
    network: Option<NetworkId>,
    /// The prefixes by which the network of the IPv6 default route translates.
    pref64: &'a [Mapping],
}

/// What scopes are made of beside configuration and facts.
pub(crate) struct Ground<'a> {
    /// Layers that are neither profiles nor claims made at run time.
    pub(crate) own: &'a [(Owner, DnsSettings)],
    /// Which profile governs each link.
    pub(crate) profiles_by_link: &'a BTreeMap<LinkId, ProfileId>,
    /// Metrics of default routes, as planned.
    pub(crate) metric_by_link: &'a BTreeMap<LinkId, u32>,
    /// The link with the IPv6 default route.
    pub(crate) uplink6: Option<LinkId>,
    /// What the networks supply.
    pub(crate) supplied: &'a BTreeMap<LinkId, Supplied>,
}

/// Makes every scope of a configuration and these facts.
pub(crate) fn make<'a>(config: &'a Config, facts: &'a Facts, ground: &Ground<'a>) -> Scopes<'a> {
    let mut scopes = Scopes {
        network: default_network(facts, ground.metric_by_link),
        pref64: default_pref64(facts, ground),
        ..Scopes::default()
    };
    for layer in layers(config, facts, ground) {
        for suffix in &layer.dns.exclude {
            scopes
                .exclusions
                .push((layer.owner.clone(), suffix.clone()));
        }
        match &layer.governs {
            Governs::Nothing => scopes.add(config, &layer, None, None, ground),
            Governs::Absent(name) => {
                let link = ScopeLink {
                    name: Arc::clone(name),
                    id: None,
                };
                scopes.add(config, &layer, Some(link), None, ground);
            }
            Governs::Links(links) => {
                for (id, link) in links {
                    let scope_link = ScopeLink {
                        name: Arc::clone(&link.name),
                        id: Some(*id),
                    };
                    scopes.add(config, &layer, Some(scope_link), Some(link), ground);
                }
            }
        }
    }
    scopes.claim_prefixes(facts);
    scopes
}

fn layers<'a>(config: &'a Config, facts: &'a Facts, ground: &Ground<'a>) -> Vec<Layer<'a>> {
    let mut layers = Vec::new();
    let mut links_by_profile: BTreeMap<&ProfileId, Vec<(LinkId, &LinkFacts)>> = BTreeMap::new();
    for (id, profile) in ground.profiles_by_link {
        if let Some(link) = facts.links.get(id) {
            let links = links_by_profile.entry(profile).or_default();
            links.push((*id, link));
        }
    }
    for (owner, dns) in ground.own {
        let (name, trust) = match owner {
            Owner::ForeignResolvConf => ("resolv.conf", Trust::Network),
            Owner::Resolver
            | Owner::Profile(_)
            | Owner::Supply(_)
            | Owner::Claim(_)
            | Owner::Link(_)
            | Owner::Builtin => ("resolver", Trust::Administrator),
        };
        layers.push(Layer {
            owner: owner.clone(),
            name: name.to_owned(),
            trust,
            dns,
            governs: Governs::Nothing,
        });
    }
    for profile in config.profiles.values() {
        let governs = match &profile.matches {
            None => Governs::Nothing,
            Some(matches) => match links_by_profile.remove(&profile.id) {
                None => Governs::Absent(matches.to_string().into()),
                Some(links) => Governs::Links(links),
            },
        };
        let owner = Owner::Profile(profile.id.clone());
        let name = profile.id.to_string();
        layers.push(Layer {
            owner,
            name,
            trust: Trust::Administrator,
            dns: &profile.dns,
            governs,
        });
    }
    for (id, supplied) in ground.supplied {
        let link = facts.links.get(id);
        let Some(link) = link.filter(|_| !supplied.is_profiles) else {
            continue;
        };
        layers.push(Layer {
            owner: Owner::Supply(Arc::clone(&link.name)),
            name: "supplied".to_owned(),
            trust: Trust::Network,
            dns: &supplied.dns,
            governs: Governs::Links(vec![(*id, link)]),
        });
    }
    for (owner, layer) in &facts.layers {
        let governs = match &layer.link {
            None => Governs::Nothing,
            Some(name) => {
                let named = |link: &LinkFacts| link.name == *name || link.alt_names.contains(name);
                let links: Vec<_> = facts
                    .links
                    .iter()
                    .filter(|(_, link)| named(link))
                    .map(|(id, link)| (*id, link))
                    .collect();
                if links.is_empty() {
                    Governs::Absent(Arc::clone(name))
                } else {
                    Governs::Links(links)
                }
            }
        };
        let name = match owner {
            Owner::Claim(name) => format!("claim:{name}"),
            Owner::Resolver
            | Owner::Profile(_)
            | Owner::Supply(_)
            | Owner::Link(_)
            | Owner::ForeignResolvConf
            | Owner::Builtin => {
                format!("claim:{owner}")
            }
        };
        layers.push(Layer {
            owner: owner.clone(),
            name,
            trust: layer.trust,
            dns: &layer.dns,
            governs,
        });
    }
    layers
}

impl<'a> Scopes<'a> {
    fn add(
        &mut self,
        config: &Config,
        layer: &Layer<'a>,
        link: Option<ScopeLink>,
        facts: Option<&LinkFacts>,
        ground: &Ground<'_>,
    ) {
        let dns = layer.dns;
        // A network that offers suffixes alone has no scope that could go before another.
        let is_offer = matches!(layer.owner, Owner::Supply(_));
        if supplied::is_silent(dns) || (is_offer && dns.upstreams.is_empty()) {
            return;
        }
        let link_id = link.as_ref().and_then(|link| link.id);
        let supplied = link_id.and_then(|id| ground.supplied.get(&id));
        // A profile that names nobody means whom its link's network names.
        let lent = supplied.filter(|_| matches!(layer.owner, Owner::Profile(_)));
        let offered = match lent.filter(|_| dns.upstreams.is_empty()) {
            Some(lent) => &lent.dns.upstreams,
            None => &dns.upstreams,
        };
        let id = ScopeId(match &link {
            None => layer.name.clone().into(),
            Some(ScopeLink { id: None, .. }) => format!("{}@-", layer.name).into(),
            Some(link) => format!("{}@{}", layer.name, link.name).into(),
        });
        let floor = dns.transport.unwrap_or(config.resolver.transport);
        let upstreams = upstream::usable(&layer.owner, offered, floor, &mut self.notes);
        let recursion = dns.recursion.unwrap_or(config.resolver.recursion);
        let state = match (&link, facts) {
            (Some(_), None) => ScopeState::LinkAbsent,
            (Some(_), Some(facts)) if !facts.up => ScopeState::LinkDown,
            (None, _) | (Some(_), Some(_))
                if upstreams.is_empty() && recursion != RecursionMode::Always =>
            {
                ScopeState::NoUpstreams
            }
            (None, _) | (Some(_), Some(_)) => ScopeState::Ready,
        };
        let network = match &link {
            None => self.network.clone(),
            Some(_) => facts.and_then(LinkFacts::network),
        };
        let pref64 = match &link {
            None if dns64::takes_all(dns) => self.pref64,
            // Whoever translates on the way to the Internet need not reach what is only claimed.
            None => &[],
            Some(_) => supplied.map_or(&[][..], |supplied| &supplied.pref64),
        };
        let metric = link_id.and_then(|id| ground.metric_by_link.get(&id));
        let rank = rank(facts, metric);
        self.claim(layer, &id, state, &rank);
        let plan = ScopePlan {
            owner: layer.owner.clone(),
            link,
            network,
            state,
            upstreams,
            discovers: config.resolver.discover_encrypted,
            http3: config.resolver.http3,
            selection: dns.selection.unwrap_or(config.resolver.selection),
            dnssec: dns.dnssec.unwrap_or(config.resolver.dnssec),
            recursion,
            dns64: dns64::of(config, dns, pref64),
        };
        let mut search = dns.search.clone();
        if let Some(lent) = lent.filter(|lent| lent.is_profiles || lent.dns.upstreams.is_empty()) {
            search.extend(lent.dns.search.iter().cloned());
        }
        self.made.push(Made {
            id,
            plan,
            rank,
            search,
        });
    }

    fn claim(&mut self, layer: &Layer<'a>, id: &ScopeId, state: ScopeState, rank: &Rank) {
        let dns = layer.dns;
        let claim = |class: Class, hold: Hold| {
            let order = Order {
                class,
                priority: std::cmp::Reverse(dns.priority),
                state,
                rank: rank.clone(),
                owner: layer.owner.clone(),
                scope: id.clone(),
            };
            Claim::new(order, layer.trust, hold)
        };
        if !dns.claims.is_empty() {
            let hold = hold_claim(dns.when_down, state);
            self.enter(claim(Class::Claim, hold), &dns.claims);
        }
        let root = std::slice::from_ref(&*ROOT);
        let class = match layer.owner {
            Owner::Resolver | Owner::Builtin => Class::ResolverDefault,
            // One class: the better link goes before, and on one link the profile does.
            Owner::Profile(_) | Owner::Link(_) | Owner::Supply(_) => Class::ProfileDefault,
            Owner::Claim(_) => Class::RuntimeDefault,
            Owner::ForeignResolvConf => Class::ForeignDefault,
        };
        let hold = if state == ScopeState::Ready {
            Hold::Ask
        } else {
            Hold::Release
        };
        match dns.default {
            DefaultUse::Exclusive => {
                let hold = hold_exclusive(dns.when_down, state);
                self.enter(claim(Class::Exclusive, hold), root);
            }
            DefaultUse::Yes => self.enter(claim(class, hold), root),
            DefaultUse::Auto if dns.claims.is_empty() => self.enter(claim(class, hold), root),
            DefaultUse::Auto | DefaultUse::No => {}
        }
    }

    /// Puts a claim on suffixes.
    fn enter(&mut self, claim: Claim, suffixes: &'a [DomainName]) {
        let number = self.number(claim);
        self.entries
            .extend(suffixes.iter().map(|suffix| (suffix, number)));
    }

    fn number(&mut self, claim: Claim) -> u32 {
        let number = u32::try_from(self.claims.len()).expect("there are fewer claims than 2^32");
        self.claims.push(claim);
        number
    }

    /// Gives every link's own prefixes to the best scope of that link that can be asked.
    fn claim_prefixes(&mut self, facts: &Facts) {
        let mut best_by_link: BTreeMap<LinkId, usize> = BTreeMap::new();
        for (place, made) in self.made.iter().enumerate() {
            let link = made.plan.link.as_ref().and_then(|link| link.id);
            if let Some(id) = link.filter(|_| made.plan.state == ScopeState::Ready) {
                best_by_link.entry(id).or_insert(place);
            }
        }
        for (id, place) in best_by_link {
            let (Some(link), Some(made)) = (facts.links.get(&id), self.made.get(place)) else {
                continue;
            };
            if link.loopback {
                continue;
            }
            let owner = Owner::Link(Arc::clone(&link.name));
            let order = Order {
                class: Class::Prefix,
                priority: std::cmp::Reverse(0),
                state: ScopeState::Ready,
                rank: made.rank.clone(),
                owner,
                scope: made.id.clone(),
            };
            let number = self.number(Claim::new(order, Trust::Administrator, Hold::Ask));
            let prefixes = link.addresses.iter();
            let zones = prefixes.flat_map(|prefix| crate::profile::reverse_zones(*prefix));
            self.zones.extend(zones.map(|zone| (zone, number)));
        }
    }
}

/// Returns the prefixes by which the network translates that packets to them go to.
fn default_pref64<'a>(facts: &Facts, ground: &Ground<'a>) -> &'a [Mapping] {
    let is_up = |id: &LinkId| facts.links.get(id).is_some_and(|link| link.up);
    let uplink = ground.uplink6.filter(is_up);
    let supplied = uplink.and_then(|id| ground.supplied.get(&id));
    supplied.map_or(&[], |supplied| &supplied.pref64)
}

/// Returns the network that the best default route leads to.
fn default_network(facts: &Facts, metric_by_link: &BTreeMap<LinkId, u32>) -> Option<NetworkId> {
    let ranked = facts
        .links
        .iter()
        .map(|(id, link)| (rank(Some(link), metric_by_link.get(id)), link))
        .filter(|(rank, _)| !rank.no_default_route);
    let best = ranked.min_by(|(one, _), (other, _)| one.cmp(other));
    best.and_then(|(_, link)| link.network())
}

/// Ranks a link by the metric of its default route, as planned; a scope tied to none comes last.
pub(crate) fn rank(facts: Option<&LinkFacts>, metric: Option<&u32>) -> Rank {
    let best = facts.filter(|facts| facts.up).and(metric);
    Rank {
        no_default_route: best.is_none(),
        metric: best.copied().unwrap_or(u32::MAX),
        link: facts.map_or_else(|| "".into(), |facts| Arc::clone(&facts.name)),
    }
}

const fn hold_claim(when_down: WhenDown, state: ScopeState) -> Hold {
    match (state, when_down) {
        (ScopeState::Ready, _) => Hold::Ask,
        (ScopeState::LinkDown | ScopeState::LinkAbsent, WhenDown::Release) => Hold::Release,
        (ScopeState::LinkDown | ScopeState::LinkAbsent, WhenDown::Auto | WhenDown::Refuse) => {
            Hold::Refuse
        }
        (ScopeState::NoUpstreams, _) => Hold::Refuse,
    }
}

const fn hold_exclusive(when_down: WhenDown, state: ScopeState) -> Hold {
    match (state, when_down) {
        (ScopeState::Ready, _) => Hold::Ask,
        (ScopeState::LinkAbsent, WhenDown::Auto | WhenDown::Release) => Hold::Release,
        (ScopeState::LinkDown, WhenDown::Release) => Hold::Release,
        (ScopeState::LinkDown | ScopeState::LinkAbsent, WhenDown::Refuse) => Hold::Refuse,
        (ScopeState::LinkDown, WhenDown::Auto) => Hold::Refuse,
        (ScopeState::NoUpstreams, _) => Hold::Refuse,
    }
}
