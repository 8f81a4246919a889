//! Which link has the default route, and why? One order over all links, IPv4 and IPv6 apart.
//!
//! # The order
//! Only links with a default route are asked.
//! 1. A link that is up comes before one that is down.
//! 2. One in whose network somebody has answered before one whose lease of before nobody knows here.
//! 3. One that reaches the Internet before one that nobody has tried, that before one with a portal, that before one that
//!    leads nowhere.
//! 4. The higher `priority` of the profile.
//! 5. The lower metric: that of the profile, or else that of the link's kind.
//! 6. The link that has it already.
//! 7. The link that was there first.
//!
//! Among links that lead nowhere the one that has it comes first: there is nothing to be gained by another.
//!
//! The order is carried out by metrics, as the kernel asks the lowest. Each link has its own where it can; one that ranks
//! behind another with an equal metric has one more, and one that ranks behind another with a higher metric has
//! 20,000 more. Metrics that somebody wrote down in `[[routes]]`, and those of routes that are not ours, stay as they
//! are: if such a route has the lowest, the kernel takes it, and [`UplinkRule::Fixed`] says so.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use config::Config;
use config::model::{Prefix, ProfileId};

use super::RoutePlan;
use super::make::{Draft, MAIN, key};
use crate::facts::{CurrentUplinks, Facts, Family, LinkFacts, LinkId, Reach};

/// What is added to the metric of a link that ranks behind one with a higher metric.
const DEMOTED: u32 = 20_000;
/// Metrics from here on have no room for others above them.
const NO_ROOM: u32 = 1 << 31;
/// How far metrics of one kind may spread before they count as another's.
const SPREAD: u32 = 24;

/// The links that have the default routes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Uplinks {
    /// That of IPv4.
    pub v4: Option<Uplink>,
    /// That of IPv6.
    pub v6: Option<Uplink>,
}

impl Uplinks {
    /// Returns what the next plan is to know of this one.
    pub fn current(&self) -> CurrentUplinks {
        CurrentUplinks {
            v4: self.v4.as_ref().map(|uplink| uplink.link),
            v6: self.v6.as_ref().map(|uplink| uplink.link),
        }
    }

    /// Returns the best metric of each link with a default route, of either family.
    pub(crate) fn metrics(&self) -> BTreeMap<LinkId, u32> {
        let mut metric_by_link = BTreeMap::new();
        let candidates = [&self.v4, &self.v6].into_iter().flatten();
        for candidate in candidates.flat_map(|uplink| &uplink.candidates) {
            let metric = metric_by_link
                .entry(candidate.link)
                .or_insert(candidate.metric);
            *metric = candidate.metric.min(*metric);
        }
        metric_by_link
    }
}

/// The link that has the default route of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    /// Which family.
    pub family: Family,
    /// The link.
    pub link: LinkId,
    /// Why it comes before the next.
    pub rule: UplinkRule,
    /// All links with a default route, the one that has it first.
    pub candidates: Vec<UplinkCandidate>,
}

/// A link with a default route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UplinkCandidate {
    /// The link.
    pub link: LinkId,
    /// Its name.
    pub name: Arc<str>,
    /// Whether it can carry packets.
    pub up: bool,
    /// Whether nobody in its network has answered: its default route is of a lease of before.
    pub doubted: bool,
    /// How far it reaches.
    pub reach: Reach,
    /// The priority of its profile.
    pub priority: i32,
    /// The metric that it would have alone.
    pub own_metric: u32,
    /// The metric that its default route gets.
    pub metric: u32,
    /// Whether the metric is written down, or somebody else's.
    pub is_fixed: bool,
    /// Whether it had the default route before.
    pub is_current: bool,
    /// The link by whose default route packets leave here too, when that is one route over several links.
    pub shares: Option<LinkId>,
}

/// By what one link comes before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UplinkRule {
    /// There is no other.
    Only,
    /// It is up, and the other is not.
    Up,
    /// Somebody in its network has answered, and nobody in the other's.
    Answered,
    /// It reaches farther.
    Reach,
    /// Its profile has the higher priority.
    Priority,
    /// Its metric is lower.
    Metric,
    /// It had the default route before.
    Current,
    /// It was there first.
    First,
    /// Its metric, or the other's, is written down or somebody else's, and it is the lower one.
    Fixed,
    /// Both have it: it is one route over several links.
    Shared,
}

impl UplinkRule {
    /// Returns the rule's name, as it stands in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Only => "only",
            Self::Up => "up",
            Self::Answered => "answered",
            Self::Reach => "reach",
            Self::Priority => "priority",
            Self::Metric => "metric",
            Self::Current => "current",
            Self::First => "first",
            Self::Fixed => "fixed",
            Self::Shared => "shared",
        }
    }
}

impl fmt::Display for Uplink {
    /// Writes one sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = self.family;
        let Some(first) = self.candidates.first() else {
            return write!(f, "no link has an {family} default route");
        };
        write!(f, "{} has the {family} default route: ", first.name)?;
        let Some(next) = self.candidates.get(1) else {
            return f.write_str("no other link has one");
        };
        match self.rule {
            UplinkRule::Only => f.write_str("no other link has one"),
            UplinkRule::Up => write!(f, "it is up, and {} is down", next.name),
            UplinkRule::Answered => {
                write!(f, "nobody has answered in the network of {}", next.name)
            }
            UplinkRule::Reach => write!(f, "it {}, and {} {}", first.reach, next.name, next.reach),
            UplinkRule::Priority => write!(
                f,
                "its profile has priority {}, and that of {} has {}",
                first.priority, next.name, next.priority
            ),
            UplinkRule::Metric => write!(
                f,
                "its metric is {}, and that of {} is {}",
                first.own_metric, next.name, next.own_metric
            ),
            UplinkRule::Current => write!(f, "it had it before, and {} is no better", next.name),
            UplinkRule::First => write!(f, "{} is no better, and came later", next.name),
            UplinkRule::Shared => write!(f, "it shares it with {}", next.name),
            UplinkRule::Fixed => {
                let fixed = if first.is_fixed { first } else { next };
                write!(
                    f,
                    "its metric {} is below the {} of {}; that of {} is not linnet's to change",
                    first.metric, next.metric, next.name, fixed.name
                )
            }
        }
    }
}

/// A default route of the main table that waits for its metric.
pub(super) struct Default {
    pub(super) family: Family,
    /// The metric that somebody wrote down.
    pub(super) fixed: Option<u32>,
    pub(super) to: Prefix,
    pub(super) route: RoutePlan,
}

/// Ranks all default routes, and gives those of the drafts their metrics.
pub(super) fn choose(
    drafts: &mut [Draft<'_>],
    config: &Config,
    facts: &Facts,
    profiles_by_link: &BTreeMap<LinkId, ProfileId>,
) -> Uplinks {
    let mut choose = |family| {
        let shared = shared(drafts, family);
        let mut candidates = candidates(drafts, config, facts, (profiles_by_link, &shared), family);
        candidates.sort_by_key(UplinkCandidate::place);
        rank(&mut candidates, drafts, family);
        share(&mut candidates, &shared, family, facts);
        candidates.sort_by_key(|candidate| (!candidate.up, candidate.metric));
        let first = candidates.first()?;
        Some(Uplink {
            family,
            link: first.link,
            rule: candidates
                .get(1)
                .map_or(UplinkRule::Only, |next| rule(first, next)),
            candidates,
        })
    };
    Uplinks {
        v4: choose(Family::Ipv4),
        v6: choose(Family::Ipv6),
    }
}

impl UplinkCandidate {
    /// The place in the order; less is better.
    fn place(&self) -> (bool, bool, Reach, bool, Reverse<i32>, u32, bool, LinkId) {
        (
            !self.up,
            self.doubted,
            self.reach,
            self.reach == Reach::Nowhere && !self.is_current,
            Reverse(self.priority),
            self.own_metric,
            !self.is_current,
            self.link,
        )
    }
}

fn candidates(
    drafts: &[Draft<'_>],
    config: &Config,
    facts: &Facts,
    (profiles_by_link, shared): (&BTreeMap<LinkId, ProfileId>, &BTreeMap<LinkId, LinkId>),
    family: Family,
) -> Vec<UplinkCandidate> {
    let (current, observed): (_, fn(&LinkFacts) -> Option<u32>) = match family {
        Family::Ipv4 => (facts.uplinks.v4, |link| {
            link.default_route4.map(|route| route.metric)
        }),
        Family::Ipv6 => (facts.uplinks.v6, |link| {
            link.default_route6.map(|route| route.metric)
        }),
    };
    let candidate = |id: LinkId, link: &LinkFacts, own_metric, is_fixed| UplinkCandidate {
        link: id,
        name: Arc::clone(&link.name),
        up: link.up,
        doubted: false,
        reach: facts.reach(id, family),
        priority: profiles_by_link
            .get(&id)
            .and_then(|profile| config.profiles.get(profile))
            .map_or(0, |profile| profile.network.priority),
        own_metric,
        metric: own_metric,
        is_fixed,
        is_current: current == Some(id),
        shares: None,
    };
    let mut found = Vec::new();
    for draft in drafts {
        let mut own = draft.defaults.iter();
        if let Some(first) = own.find(|default| default.family == family) {
            // A link has one place among the others: that of its own metric, if any of its routes follows that.
            let own = draft.defaults.iter();
            let mut own = own.filter(|default| default.family == family);
            let is_fixed = own.all(|default| default.fixed.is_some());
            let metric = first.fixed.filter(|_| is_fixed);
            let metric = metric.unwrap_or_else(|| draft.metric());
            let mut candidate = candidate(draft.id, draft.link, metric, is_fixed);
            // Having it by a metric that is written down is no merit among equals.
            let mut its = draft.defaults.iter();
            let supplier = first.route.supplier;
            let supply = supplier.and_then(|by| facts.supplies.get(&(draft.id, by)));
            candidate.doubted = supply.is_some_and(|supply| supply.doubted);
            candidate.is_current &=
                !its.any(|default| default.family == family && default.fixed.is_some());
            found.push(candidate);
        }
    }
    // What is seen of a route of ours on its other links is no route of others.
    for (id, link) in facts.links.iter().filter(|(_, link)| !link.loopback) {
        let Some(metric) = observed(link).filter(|_| !shared.contains_key(id)) else {
            continue;
        };
        if found.iter().all(|found| found.link != *id) {
            found.push(candidate(*id, link, metric, true));
        }
    }
    found
}

/// Returns the links that default routes of other links leave by too, and whose these are.
fn shared(drafts: &[Draft<'_>], family: Family) -> BTreeMap<LinkId, LinkId> {
    let mut first_by_link = BTreeMap::new();
    for draft in drafts {
        let its = draft.defaults.iter();
        let its = its.filter(|default| default.family == family);
        for link in its.flat_map(|default| &default.route.via) {
            if let Some(link) = link.link {
                first_by_link.entry(link).or_insert(draft.id);
            }
        }
    }
    first_by_link
}

/// Puts the other links of a route right behind the first.
fn share(
    candidates: &mut Vec<UplinkCandidate>,
    shared: &BTreeMap<LinkId, LinkId>,
    family: Family,
    facts: &Facts,
) {
    for (id, first) in shared {
        let first = candidates.iter().find(|it| it.link == *first);
        let (Some(first), Some(link)) = (first.cloned(), facts.links.get(id)) else {
            continue;
        };
        let shares = Some(first.link);
        match candidates.iter_mut().find(|it| it.link == *id) {
            Some(own) if own.metric > first.metric => {
                (own.metric, own.is_fixed, own.shares) = (first.metric, first.is_fixed, shares);
            }
            Some(_) => {}
            None => candidates.push(UplinkCandidate {
                link: *id,
                name: Arc::clone(&link.name),
                up: link.up,
                reach: facts.reach(*id, family),
                is_current: false,
                shares,
                ..first
            }),
        }
    }
}

/// Returns the higher of both; a metric without room above it keeps nobody down.
fn raised(floor: Option<u32>, metric: u32) -> Option<u32> {
    floor.max(Some(metric).filter(|metric| *metric < NO_ROOM))
}

/// Walks the candidates from the best to the worst and gives each a metric above those before it.
fn rank(candidates: &mut [UplinkCandidate], drafts: &mut [Draft<'_>], family: Family) {
    // Metrics that are somebody's already, wherever their links rank.
    let written = drafts.iter().flat_map(|draft| &draft.defaults);
    let written = written.filter(|default| default.family == family);
    let foreign = candidates.iter().filter(|candidate| candidate.is_fixed);
    let reserved: BTreeSet<u32> = written
        .filter_map(|default| default.fixed)
        .chain(foreign.map(|candidate| candidate.metric))
        .collect();
    let mut floor = None;
    for candidate in candidates {
        let draft = drafts.iter_mut().find(|draft| draft.id == candidate.link);
        let its = draft.map(|draft| (draft.take_defaults(family), draft));
        let Some((its, draft)) = its.filter(|(its, _)| !its.is_empty()) else {
            floor = raised(floor, candidate.metric);
            continue;
        };
        let mut next = above(draft.metric(), floor);
        let mut metrics = Vec::with_capacity(its.len());
        for default in its {
            let wanted = default.fixed.unwrap_or_else(|| {
                while reserved.contains(&next) && next < u32::MAX {
                    next += 1;
                }
                next
            });
            let wanted = key(default.to, MAIN, wanted).metric;
            let metric = draft.add_route(default.to, MAIN, wanted, default.route);
            if default.fixed.is_none() {
                next = metric.saturating_add(1);
            }
            metrics.push((metric, default.fixed.is_some()));
            floor = raised(floor, metric);
        }
        // The kernel looks at the best only.
        if let Some((metric, is_fixed)) = metrics.into_iter().min() {
            (candidate.metric, candidate.is_fixed) = (metric, is_fixed);
        }
    }
}

/// Returns the metric that comes closest to `own`, and is above `floor`.
fn above(own: u32, floor: Option<u32>) -> u32 {
    let Some(floor) = floor.filter(|floor| *floor >= own) else {
        return own;
    };
    if floor - own < SPREAD {
        return floor + 1;
    }
    let demoted = own.saturating_add(DEMOTED);
    demoted.max(floor.saturating_add(1))
}

/// Returns by what one candidate comes before the next.
fn rule(first: &UplinkCandidate, next: &UplinkCandidate) -> UplinkRule {
    if first.up != next.up {
        UplinkRule::Up
    } else if next.shares == Some(first.link) {
        UplinkRule::Shared
    } else if first.place() > next.place() {
        UplinkRule::Fixed
    } else if first.doubted != next.doubted {
        UplinkRule::Answered
    } else if first.reach != next.reach {
        UplinkRule::Reach
    } else if first.reach == Reach::Nowhere && first.is_current != next.is_current {
        UplinkRule::Current
    } else if first.priority != next.priority {
        UplinkRule::Priority
    } else if first.own_metric != next.own_metric {
        UplinkRule::Metric
    } else if first.is_current {
        UplinkRule::Current
    } else {
        UplinkRule::First
    }
}
