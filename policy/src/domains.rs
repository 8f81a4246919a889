//! Where does a name belong? [`DomainTable`]: one total order, no race across trust zones.
//!
//! # The order
//! 1. An owner whose exclusion covers the name at least as closely as its claim is out.
//! 2. A claim that is not believed, or that was let go while its link is away, is passed over.
//! 3. Longest claimed suffix; the default of a scope counts as the root.
//! 4. At the root: full tunnels, then `[resolver]`, then profiles, then claims made at run time, then a foreign resolv.conf.
//! 5. The claim's explicit priority.
//! 6. A scope that can be asked before one whose link is down, that before one whose link is absent; then the link's rank: the one that holds the IP default route wins.
//! 7. The owner's name, so that the order is total.
//!
//! The winner's scope is where the name is asked. If it cannot be asked the name is refused, never passed on.
//! A name that is a search suffix appended to a name that another scope claims is refused as well: the C library appends its
//! list to names that failed, and the expansion would tell another link about them.
//!
//! [`DomainTable::route`] and [`DomainTable::explain`] take the same walk; the first stops at the winner.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::name::{DomainName, wire_suffixes};

use crate::explain::{Because, Candidate, Explanation, Outcome, Rule};
use crate::facts::{Owner, Trust};
use crate::plan::{ScopeId, ScopeState};

/// Name to route. Made by [`crate::plan()`], immutable; looking a name up allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainTable {
    entries_by_suffix: BTreeMap<Box<[u8]>, Vec<Entry>>,
    exclusions_by_owner: BTreeMap<Owner, BTreeSet<Box<[u8]>>>,
    search: BTreeSet<Box<[u8]>>,
    nobody: Arc<Because>,
}

/// Where a name goes, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where.
    pub target: Target,
    /// Why; shared with the table, so that routing allocates nothing.
    pub because: Arc<Because>,
}

/// Where a name goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To this scope.
    Ask(ScopeId),
    /// Nowhere.
    Refuse(Refusal),
}

/// Why a name goes nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Its claim's scope cannot be asked, and the claim fails closed.
    ScopeNotReady {
        /// The scope.
        scope: ScopeId,
        /// What is wrong with it.
        state: ScopeState,
    },
    /// It is a search suffix appended to a name that a scope claims: answered NXDOMAIN.
    SearchExpansion {
        /// The claimed name within.
        inner: DomainName,
    },
    /// Nobody claims it, and there is no default scope.
    NoScope,
}

impl Target {
    /// Returns the scope that the name belongs to, whether or not it can be asked.
    pub const fn scope(&self) -> Option<&ScopeId> {
        match self {
            Self::Ask(scope) | Self::Refuse(Refusal::ScopeNotReady { scope, .. }) => Some(scope),
            Self::Refuse(Refusal::SearchExpansion { .. } | Refusal::NoScope) => None,
        }
    }
}

/// One claim on one suffix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) order: Order,
    pub(crate) trust: Trust,
    pub(crate) suffix: DomainName,
    pub(crate) scope: ScopeId,
    pub(crate) state: ScopeState,
    pub(crate) hold: Hold,
    pub(crate) because: Arc<Because>,
}

/// The place of a claim among those on the same suffix; less comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Order {
    pub(crate) class: Class,
    pub(crate) priority: std::cmp::Reverse<i32>,
    pub(crate) state: ScopeState,
    pub(crate) rank: Rank,
    pub(crate) owner: Owner,
    pub(crate) scope: ScopeId,
}

/// What kind of claim it is; kinds below `Claim` are defaults, at the root only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Claim,
    Prefix,
    Exclusive,
    ResolverDefault,
    ProfileDefault,
    RuntimeDefault,
    ForeignDefault,
}

/// The rank of a link; less is better.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub(crate) no_default_route: bool,
    pub(crate) metric: u32,
    pub(crate) link: Arc<str>,
}

/// What a claim does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    Ask,
    Refuse,
    Release,
}

impl Default for DomainTable {
    /// The table that refuses everything.
    fn default() -> Self {
        let nobody = Because {
            owner: Owner::Builtin,
            rule: Rule::NoScope,
            suffix: DomainName::root(),
        };
        Self {
            entries_by_suffix: BTreeMap::new(),
            exclusions_by_owner: BTreeMap::new(),
            search: BTreeSet::new(),
            nobody: Arc::new(nobody),
        }
    }
}

impl DomainTable {
    /// Makes a table from claims in any order.
    pub(crate) fn new(
        entries: Vec<Entry>,
        exclusions: impl IntoIterator<Item = (Owner, DomainName)>,
        search: impl IntoIterator<Item = DomainName>,
    ) -> Self {
        let mut table = Self::default();
        for entry in entries {
            table
                .entries_by_suffix
                .entry(entry.suffix.as_wire().into())
                .or_default()
                .push(entry);
        }
        for entries in table.entries_by_suffix.values_mut() {
            entries.sort_by(|one, other| one.order.cmp(&other.order));
            settle_rules(entries);
        }
        for (owner, suffix) in exclusions {
            table
                .exclusions_by_owner
                .entry(owner)
                .or_default()
                .insert(suffix.as_wire().into());
        }
        table.search = search
            .into_iter()
            .filter(|suffix| !suffix.is_root())
            .map(|suffix| suffix.as_wire().into())
            .collect();
        table
    }

    /// Routes a name.
    pub fn route(&self, name: &DomainName) -> Route {
        self.route_wire(name.as_wire())
    }

    /// Routes a name in wire form, in lower case, uncompressed and whole.
    pub fn route_wire(&self, wire: &[u8]) -> Route {
        let Some(winner) = self.winner(wire) else {
            return self.guard(wire, None).unwrap_or_else(|| Route {
                target: Target::Refuse(Refusal::NoScope),
                because: Arc::clone(&self.nobody),
            });
        };
        if let Some(route) = self.guard(wire, Some(winner)) {
            return route;
        }
        Route {
            target: winner.target(),
            because: Arc::clone(&winner.because),
        }
    }

    /// Whether an owner claims this name, the defaults not counted: such a name is never special, and never public.
    pub fn is_claimed(&self, wire: &[u8]) -> bool {
        self.winner(wire)
            .is_some_and(|winner| winner.order.class <= Class::Prefix)
    }

    /// Routes a name and tells every claim that was looked at.
    pub fn explain(&self, name: &DomainName) -> Explanation {
        let route = self.route(name);
        let winner = self.winner(name.as_wire());
        let candidates = self
            .covering(name.as_wire())
            .map(|entry| Candidate {
                owner: entry.order.owner.clone(),
                trust: entry.trust,
                suffix: entry.suffix.clone(),
                priority: entry.order.priority.0,
                scope: entry.scope.clone(),
                outcome: self.outcome(entry, winner, name),
            })
            .collect();
        Explanation {
            name: name.clone(),
            target: route.target,
            because: Because::clone(&route.because),
            candidates,
        }
    }

    /// Returns the suffixes that a scope claims, in order; defaults and reverse zones left out.
    pub fn claims_of(&self, scope: &ScopeId) -> Vec<DomainName> {
        let claims = self.entries_by_suffix.values().flatten();
        let mut suffixes: Vec<DomainName> = claims
            .filter(|entry| entry.scope == *scope && entry.order.class == Class::Claim)
            .map(|entry| entry.suffix.clone())
            .collect();
        suffixes.sort();
        suffixes
    }

    /// Returns what names get that nobody claims.
    pub fn default_target(&self) -> Target {
        self.winner(&[0])
            .map_or(Target::Refuse(Refusal::NoScope), Entry::target)
    }

    fn covering<'t>(&'t self, wire: &'t [u8]) -> impl Iterator<Item = &'t Entry> {
        wire_suffixes(wire)
            .filter_map(|suffix| self.entries_by_suffix.get(suffix))
            .flatten()
    }

    fn winner<'t>(&'t self, wire: &'t [u8]) -> Option<&'t Entry> {
        self.covering(wire).find(|entry| {
            entry.hold != Hold::Release
                && entry.is_believed()
                && self.exclusion(entry, wire).is_none()
        })
    }

    /// Returns the exclusion that puts a claim's owner out: one at least as long as the claim.
    fn exclusion<'t>(&'t self, entry: &Entry, wire: &'t [u8]) -> Option<&'t [u8]> {
        let exclusions = self.exclusions_by_owner.get(&entry.order.owner)?;
        wire_suffixes(wire)
            .take_while(|suffix| suffix.len() >= entry.suffix.as_wire().len())
            .find(|suffix| exclusions.contains(*suffix))
    }

    /// Refuses a search suffix appended to a name that a scope other than the winner's claims.
    fn guard(&self, wire: &[u8], winner: Option<&Entry>) -> Option<Route> {
        if self.search.is_empty() {
            return None;
        }
        for suffix in wire_suffixes(wire).skip(1) {
            if !self.search.contains(suffix) {
                continue;
            }
            let mut inner = [0; config::name::MAX_NAME];
            let length = wire.len() - suffix.len();
            inner
                .get_mut(..length)?
                .copy_from_slice(wire.get(..length)?);
            let inner = inner.get(..=length)?;
            let Some(claim) = self
                .winner(inner)
                .filter(|claim| claim.order.class == Class::Claim)
            else {
                continue;
            };
            if winner.is_some_and(|winner| winner.order.owner == claim.order.owner) {
                continue;
            }
            let because = Because {
                owner: claim.order.owner.clone(),
                rule: Rule::SearchExpansion,
                suffix: claim.suffix.clone(),
            };
            let inner = DomainName::from_wire(inner).ok()?;
            let target = Target::Refuse(Refusal::SearchExpansion { inner });
            return Some(Route {
                target,
                because: Arc::new(because),
            });
        }
        None
    }

    fn outcome(&self, entry: &Entry, winner: Option<&Entry>, name: &DomainName) -> Outcome {
        if !entry.is_believed() {
            return Outcome::NotTrusted;
        }
        if let Some(exclusion) = self.exclusion(entry, name.as_wire()) {
            return Outcome::Excluded(
                DomainName::from_wire(exclusion).unwrap_or_else(|_| DomainName::root()),
            );
        }
        if entry.hold == Hold::Release {
            return Outcome::Released;
        }
        match winner {
            Some(winner) if std::ptr::eq(winner, entry) => Outcome::Won,
            Some(winner) if winner.suffix == entry.suffix => {
                Outcome::Lost(rule_between(&winner.order, &entry.order))
            }
            Some(_) | None => Outcome::Lost(Rule::LongestSuffix),
        }
    }
}

impl Entry {
    fn is_believed(&self) -> bool {
        self.trust > Trust::Network || self.order.class > Class::Prefix
    }

    fn target(&self) -> Target {
        match self.hold {
            Hold::Ask => Target::Ask(self.scope.clone()),
            Hold::Refuse | Hold::Release => Target::Refuse(Refusal::ScopeNotReady {
                scope: self.scope.clone(),
                state: self.state,
            }),
        }
    }
}

/// Writes down, for each claim, the rule by which it comes before the next.
fn settle_rules(entries: &mut [Entry]) {
    for at in 0..entries.len() {
        let rule = match entries[at].order.class {
            Class::Prefix => Rule::LinkPrefix,
            Class::Exclusive => Rule::Exclusive,
            Class::ResolverDefault
            | Class::ProfileDefault
            | Class::RuntimeDefault
            | Class::ForeignDefault => Rule::Default,
            Class::Claim => match entries.get(at + 1) {
                Some(next) => rule_between(&entries[at].order, &next.order),
                None => Rule::LongestSuffix,
            },
        };
        let entry = &mut entries[at];
        let because = Because {
            owner: entry.order.owner.clone(),
            rule,
            suffix: entry.suffix.clone(),
        };
        entry.because = Arc::new(because);
    }
}

/// Returns the rule by which one claim comes before another on the same suffix.
fn rule_between(first: &Order, second: &Order) -> Rule {
    if first.class != second.class {
        return if first.class == Class::Exclusive {
            Rule::Exclusive
        } else {
            Rule::LongestSuffix
        };
    }
    if first.priority != second.priority {
        return Rule::Priority;
    }
    if (first.state, first.rank.no_default_route, first.rank.metric)
        != (
            second.state,
            second.rank.no_default_route,
            second.rank.metric,
        )
    {
        return Rule::LinkRank;
    }
    Rule::OwnerName
}
