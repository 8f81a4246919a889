//! Of which links is it found out what lies behind them, and what follows from it? From the plan to grounds, from findings to facts.
//!
//! How it is found out is the resolver's; which link comes before which is `policy`'s. A link that works has no advantage over one that
//! nobody can try: then only what is bad counts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use config::model::{CheckUse, DefaultUse, Upstream};
use config::time::Instant;
use linnet::api::{Notice, PortalStatus, ReachStatus};
use policy::facts::{Family, Reach, Supplier};
use policy::links::Uplink;
use policy::plan::ScopeLink;
use policy::{LinkId, Owner, ScopeId, ScopePlan, ScopeState};
use resolver::reach::{Connectivity, Ground};

use super::{Effect, World};
use crate::convert;

impl World {
    /// Has those links judged that are to be, by the plan in force.
    pub(super) fn apply_grounds(&mut self, now: Instant) {
        let said = &self.config.connectivity;
        self.resolver.apply_connectivity(Connectivity {
            name: said.name.clone(),
            page: said.url.clone(),
            asks_portals: said.portal,
            retry_max: said.retry_max,
        });
        let grounds = self.grounds();
        self.resolver.apply_grounds(grounds, now);
    }

    /// Takes how far links reach into the facts; returns whether that is news.
    pub(super) fn take_reach(&mut self) -> bool {
        let reach = self.reach_facts();
        let is_news = reach != self.facts.reach;
        self.facts.reach = reach;
        is_news
    }

    /// Takes the news that a link reaches farther or less far.
    pub(super) fn handle_reach(&mut self, id: LinkId, now: Instant, effects: &mut Vec<Effect>) {
        if let Some(link) = self.facts.links.get(&id) {
            let name = link.name.to_string();
            let (reach, portal) = self.reach_status(id, now);
            for family in &reach {
                tracing::info!(link = %name, family = family.family, reach = family.reach, why = family.why, "what lies behind a link is known anew");
            }
            if let Some(url) = portal.as_ref().and_then(|portal| portal.url.as_ref()) {
                tracing::info!(link = %name, url, "a portal wants somebody to log in");
            }
            effects.push(Effect::Notice(Notice::Reach {
                link: name,
                reach,
                portal,
            }));
        }
        if self.take_reach() {
            self.replan(now, effects);
        }
    }

    /// Tells how far a link reaches.
    pub(super) fn reach_status(
        &self,
        id: LinkId,
        now: Instant,
    ) -> (Vec<ReachStatus>, Option<PortalStatus>) {
        let link = self.resolver.reaches().find(|told| told.link == id);
        let portal = link.and_then(|link| link.portal.as_ref());
        (
            convert::reach(link, now),
            portal.map(|portal| convert::portal(portal, now)),
        )
    }

    pub(super) fn grounds(&self) -> Vec<Ground> {
        let check = self.config.connectivity.check;
        if check == CheckUse::Never {
            return Vec::new();
        }
        let (v4, v6) = (self.candidates(Family::Ipv4), self.candidates(Family::Ipv6));
        let all: BTreeSet<LinkId> = v4.union(&v6).copied().collect();
        let is_choice = all.len() > 1;
        let uplinks = self.plan.links.uplinks.current();
        let mut grounds = Vec::new();
        for id in all {
            let wanted = match check {
                CheckUse::Always => true,
                CheckUse::Auto => is_choice || self.is_supplied(id),
                CheckUse::Never => false,
            };
            let (Some(link), Some((scope, plan))) = (self.facts.links.get(&id), self.own_scope(id))
            else {
                continue;
            };
            if !wanted {
                continue;
            }
            grounds.push(Ground {
                link: ScopeLink {
                    name: Arc::clone(&link.name),
                    id: Some(id),
                },
                scope: Some(scope.clone()),
                upstreams: plan.upstreams.clone(),
                v4: v4.contains(&id),
                v6: v6.contains(&id),
                is_uplink: [uplinks.v4, uplinks.v6].contains(&Some(id)),
                awaits_address: self.awaits_address(id, &plan.upstreams),
                api: self.portal_api(id),
                network: link.network(),
            });
        }
        grounds
    }

    /// The links that are up and have a default route.
    fn candidates(&self, family: Family) -> BTreeSet<LinkId> {
        let uplinks = &self.plan.links.uplinks;
        let uplink = match family {
            Family::Ipv4 => &uplinks.v4,
            Family::Ipv6 => &uplinks.v6,
        };
        let candidates = uplink.iter().flat_map(|uplink: &Uplink| &uplink.candidates);
        let up = candidates.filter(|candidate| candidate.up);
        up.map(|candidate| candidate.link).collect()
    }

    /// Whether a link has no address yet that these upstreams could be asked from, though one is planned: the kernel has not added it, or
    /// looks whether somebody else has it.
    fn awaits_address(&self, id: LinkId, upstreams: &[Upstream]) -> bool {
        let is_near =
            |address: IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let is_source = |address: IpAddr| {
            let fits = |upstream: &Upstream| {
                let of = upstream.address;
                of.is_ipv4() == address.is_ipv4() && (is_near(of) || !is_near(address))
            };
            upstreams.iter().any(fits)
        };
        let Some((link, plan)) = self
            .facts
            .links
            .get(&id)
            .zip(self.plan.links.links.get(&id))
        else {
            return false;
        };
        let mut usable = link.addresses.iter();
        let mut planned = plan.addresses.keys();
        !usable.any(|prefix| is_source(prefix.address))
            && planned.any(|prefix| is_source(prefix.address))
    }

    /// Whether a network gives something to a link.
    fn is_supplied(&self, id: LinkId) -> bool {
        let mut supplies = self.facts.supplies.iter();
        supplies.any(|((link, supplier), supply)| {
            *link == id
                && *supplier != Supplier::Ipv4ll
                && !(supply.addresses.is_empty() && supply.upstreams.is_empty())
        })
    }

    /// The scope in which public names may be asked through a link: its network's own first.
    fn own_scope(&self, id: LinkId) -> Option<(&ScopeId, &ScopePlan)> {
        let scopes = self.plan.dns.scopes.iter();
        let its = scopes.filter(|(_, scope)| {
            let link = scope.link.as_ref().and_then(|link| link.id);
            link == Some(id) && scope.state == ScopeState::Ready && !scope.upstreams.is_empty()
        });
        let rank = |scope: &ScopePlan| match &scope.owner {
            Owner::Supply(_) => Some(0),
            Owner::Profile(profile) => {
                let dns = &self.config.profiles.get(profile)?.dns;
                let is_open = match dns.default {
                    DefaultUse::Yes | DefaultUse::Exclusive => true,
                    DefaultUse::Auto => dns.claims.is_empty(),
                    DefaultUse::No => false,
                };
                is_open.then_some(1)
            }
            Owner::Resolver
            | Owner::Claim(_)
            | Owner::Link(_)
            | Owner::ForeignResolvConf
            | Owner::Builtin => None,
        };
        let ranked = its.filter_map(|(id, scope)| Some((rank(scope)?, id, scope)));
        let best = ranked.min_by_key(|(rank, _, _)| *rank);
        best.map(|(_, id, scope)| (id, scope))
    }

    /// Where the portal of a link's network has its API. Which supplier comes first is ours to say (RFC 8910 §3).
    fn portal_api(&self, id: LinkId) -> Option<Arc<str>> {
        if !self.config.connectivity.portal {
            return None;
        }
        Supplier::ALL.iter().find_map(|supplier| {
            let supply = self.facts.supplies.get(&(id, *supplier))?;
            supply.portal.clone()
        })
    }

    fn reach_facts(&self) -> BTreeMap<(LinkId, Family), Reach> {
        let mut facts = BTreeMap::new();
        for family in [Family::Ipv4, Family::Ipv6] {
            let told = self.resolver.reaches().filter_map(|link| {
                let mut families = link.families.iter();
                let told = families.find(|told| told.family == family)?;
                Some((link.link, told.reach, told.is_tried))
            });
            let candidates = self.candidates(family);
            let counting = counting(&candidates, told.collect());
            facts.extend(counting.map(|(link, reach)| ((link, family), reach)));
        }
        facts
    }
}

/// What counts of what is told of the links that could have a default route: whoever cannot be tried is not to be passed over for that.
fn counting(
    candidates: &BTreeSet<LinkId>,
    mut told: Vec<(LinkId, Reach, bool)>,
) -> impl Iterator<Item = (LinkId, Reach)> {
    told.retain(|(link, _, _)| candidates.contains(link));
    let tried = told.iter().filter(|(_, _, is_tried)| *is_tried);
    let all_tried = tried.count() == candidates.len();
    told.into_iter().map(move |(link, reach, _)| match reach {
        Reach::Validated if !all_tried => (link, Reach::Unknown),
        Reach::Validated | Reach::Unknown | Reach::Portal | Reach::Nowhere => (link, reach),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn id(index: u32) -> LinkId {
        LinkId { index, birth: 1 }
    }

    #[test]
    fn that_a_link_works_counts_where_all_were_tried_and_bad_news_always() {
        type Row<'a> = (&'a [u32], &'a [(u32, Reach, bool)], &'a [(u32, Reach)]);
        let rows: [Row<'_>; 6] = [
            (
                &[2],
                &[(2, Reach::Validated, true)],
                &[(2, Reach::Validated)],
            ),
            // Link 3 has no name servers of its own.
            (
                &[2, 3],
                &[(2, Reach::Validated, true)],
                &[(2, Reach::Unknown)],
            ),
            (
                &[2, 3],
                &[(2, Reach::Nowhere, true)],
                &[(2, Reach::Nowhere)],
            ),
            // Link 3 is being asked.
            (
                &[2, 3],
                &[(2, Reach::Validated, true), (3, Reach::Unknown, false)],
                &[(2, Reach::Unknown), (3, Reach::Unknown)],
            ),
            (
                &[2, 3],
                &[(2, Reach::Validated, true), (3, Reach::Portal, true)],
                &[(2, Reach::Validated), (3, Reach::Portal)],
            ),
            // One without a default route is nobody's rival.
            (&[2], &[(4, Reach::Validated, true)], &[]),
        ];
        for (candidates, told, expected) in rows {
            let candidates = candidates.iter().copied().map(id).collect();
            let told = told
                .iter()
                .map(|(link, reach, tried)| (id(*link), *reach, *tried));
            let counted: Vec<_> = counting(&candidates, told.collect()).collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|(link, reach)| (id(*link), *reach))
                .collect();
            assert_eq!(counted, expected, "{candidates:?}");
        }
    }
}
