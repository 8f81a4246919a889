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
use crate::suffixes::Suffixes;

/// Name to route. Made by [`crate::plan()`], immutable; finding the scope of a name allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DomainTable {
    claims: Box<[Claim]>,
    scopes: Box<[ScopeId]>,
    suffixes: Suffixes,
    /// What owners exclude, in the order of their owners.
    exclusions: Box<[BTreeSet<Box<[u8]>>]>,
    search: BTreeSet<Box<[u8]>>,
}

/// Where a name goes, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where.
    pub target: Target,
    /// Why.
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

/// What one owner's claims in one scope have in common, whatever suffixes they are on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) order: Order,
    pub(crate) trust: Trust,
    pub(crate) hold: Hold,
    /// The number of its scope; set by the table.
    scope: u32,
    /// The place of its owner's exclusions; set by the table.
    exclusions: Option<u32>,
}

/// A claim on a suffix that covers a name.
#[derive(Clone, Copy)]
struct Covering<'t> {
    claim: &'t Claim,
    /// The next in order on the same suffix.
    next: Option<&'t Claim>,
    suffix: &'t [u8],
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

impl Claim {
    pub(crate) fn new(order: Order, trust: Trust, hold: Hold) -> Self {
        Self {
            order,
            trust,
            hold,
            scope: 0,
            exclusions: None,
        }
    }

    fn is_believed(&self) -> bool {
        self.trust > Trust::Network || self.order.class > Class::Prefix
    }

    fn target(&self) -> Target {
        let scope = self.order.scope.clone();
        match self.hold {
            Hold::Ask => Target::Ask(scope),
            Hold::Refuse | Hold::Release => Target::Refuse(Refusal::ScopeNotReady {
                scope,
                state: self.order.state,
            }),
        }
    }
}

impl DomainTable {
    /// Makes a table from claims, and the suffixes on which they are by their number, both in any order.
    pub(crate) fn new(
        claims: Vec<Claim>,
        entries: Vec<(&DomainName, u32)>,
        exclusions: impl IntoIterator<Item = (Owner, DomainName)>,
        search: impl IntoIterator<Item = DomainName>,
    ) -> Self {
        let mut excluded: BTreeMap<Owner, BTreeSet<Box<[u8]>>> = BTreeMap::new();
        for (owner, suffix) in exclusions {
            let suffixes = excluded.entry(owner).or_default();
            suffixes.insert(suffix.as_wire().into());
        }
        let scopes: BTreeSet<&ScopeId> = claims.iter().map(|claim| &claim.order.scope).collect();
        let scopes: Box<[ScopeId]> = scopes.into_iter().cloned().collect();
        let mut claims = claims;
        for claim in &mut claims {
            let at = scopes.binary_search(&claim.order.scope).unwrap_or_default();
            claim.scope = u32::try_from(at).expect("there are fewer scopes than 2^32");
            let at = excluded
                .keys()
                .position(|owner| *owner == claim.order.owner);
            claim.exclusions = at.and_then(|at| u32::try_from(at).ok());
        }
        let mut entries = entries;
        let order = |number: u32| claims.get(number as usize).map(|claim| &claim.order);
        // Equal ones are the same claim on the same suffix.
        entries.sort_unstable_by(|(one, first), (other, second)| {
            let suffixes = one.as_wire().cmp(other.as_wire());
            suffixes.then_with(|| order(*first).cmp(&order(*second)))
        });
        let search = search.into_iter().filter(|suffix| !suffix.is_root());
        Self {
            suffixes: Suffixes::new(&entries),
            claims: claims.into(),
            scopes,
            exclusions: excluded.into_values().collect(),
            search: search.map(|suffix| suffix.as_wire().into()).collect(),
        }
    }

    /// Routes a name.
    pub fn route(&self, name: &DomainName) -> Route {
        self.route_wire(name.as_wire())
    }

    /// Routes a name as if a link were no place for names that nobody claims: what is asked to find the way to a tunnel's other
    /// side cannot take the tunnel. Claims hold, those on that link too.
    pub fn route_below(&self, name: &DomainName, link: &str) -> Route {
        let is_its_default =
            |claim: &Claim| claim.order.class > Class::Prefix && *claim.order.rank.link == *link;
        let wire = name.as_wire();
        self.routed(
            wire,
            self.winner_among(wire, |claim| !is_its_default(claim)),
        )
    }

    /// Routes a name in wire form, in lower case, uncompressed and whole.
    pub fn route_wire(&self, wire: &[u8]) -> Route {
        self.routed(wire, self.winner(wire))
    }

    fn routed(&self, wire: &[u8], winner: Option<Covering<'_>>) -> Route {
        if let Some((inner, claim)) = self.guard(wire, winner) {
            let mut inner = wire.get(..inner).unwrap_or_default().to_vec();
            inner.push(0);
            let inner = DomainName::from_wire(&inner).unwrap_or_else(|_| DomainName::root());
            return Route {
                target: Target::Refuse(Refusal::SearchExpansion { inner }),
                because: claim.because(Rule::SearchExpansion),
            };
        }
        match winner {
            Some(winner) => Route {
                target: winner.claim.target(),
                because: winner.because(winner.rule()),
            },
            None => Route {
                target: Target::Refuse(Refusal::NoScope),
                because: Arc::new(Because {
                    owner: Owner::Builtin,
                    rule: Rule::NoScope,
                    suffix: DomainName::root(),
                }),
            },
        }
    }

    /// Returns the number in [`DomainTable::scopes`] of the scope where a name is asked, as [`DomainTable::route_wire`]
    /// would; `None` when it is refused. Allocates nothing.
    pub fn place(&self, wire: &[u8]) -> Option<usize> {
        let winner = self.winner(wire)?;
        let asked = winner.claim.hold == Hold::Ask && self.guard(wire, Some(winner)).is_none();
        asked.then_some(winner.claim.scope as usize)
    }

    /// Returns all scopes that claim anything, by their numbers.
    pub fn scopes(&self) -> &[ScopeId] {
        &self.scopes
    }

    /// Whether an owner claims this name, the defaults not counted: such a name is never special, and never public.
    pub fn is_claimed(&self, wire: &[u8]) -> bool {
        self.winner(wire)
            .is_some_and(|winner| winner.claim.order.class <= Class::Prefix)
    }

    /// Routes a name and tells every claim that was looked at.
    pub fn explain(&self, name: &DomainName) -> Explanation {
        let route = self.route(name);
        let winner = self.winner(name.as_wire());
        let candidates = self
            .covering(name.as_wire())
            .map(|covering| Candidate {
                owner: covering.claim.order.owner.clone(),
                trust: covering.claim.trust,
                suffix: covering.suffix(),
                priority: covering.claim.order.priority.0,
                scope: covering.claim.order.scope.clone(),
                outcome: self.outcome(covering, winner, name),
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
        let claimed = self.claimed(scope);
        let mut suffixes: Vec<DomainName> = claimed.filter_map(name).collect();
        suffixes.sort();
        suffixes
    }

    /// Returns some of what [`DomainTable::claims_of`] does, in order, and how many there are in all: there may be very many.
    pub fn some_claims_of(&self, scope: &ScopeId, most: usize) -> (Vec<DomainName>, usize) {
        let claimed = self.claimed(scope);
        let mut some: Vec<DomainName> = claimed.take(most).filter_map(name).collect();
        some.sort();
        let count = self.suffixes.count(self.is_claim_of(scope));
        (some, count)
    }

    fn claimed(&self, scope: &ScopeId) -> impl Iterator<Item = &[u8]> {
        let is_its = self.is_claim_of(scope);
        let found = self.suffixes.iter();
        found
            .filter(move |found| found.claims.iter().any(&is_its))
            .map(|found| found.suffix)
    }

    /// Returns a test by their numbers for the claims of a scope, its defaults and reverse zones left out.
    fn is_claim_of(&self, scope: &ScopeId) -> impl Fn(&u32) -> bool + use<> {
        let is_its =
            |claim: &Claim| claim.order.scope == *scope && claim.order.class == Class::Claim;
        let its: Box<[bool]> = self.claims.iter().map(is_its).collect();
        move |number| its.get(*number as usize).is_some_and(|its| *its)
    }

    /// Returns what names get that nobody claims.
    pub fn default_target(&self) -> Target {
        self.winner(&[0])
            .map_or(Target::Refuse(Refusal::NoScope), |winner| {
                winner.claim.target()
            })
    }

    fn covering<'t>(&'t self, wire: &[u8]) -> impl Iterator<Item = Covering<'t>> {
        let claim = |number: &u32| self.claims.get(*number as usize);
        self.suffixes.covering(wire).flat_map(move |found| {
            let followed = found.claims.iter().enumerate();
            followed.filter_map(move |(at, number)| {
                Some(Covering {
                    claim: claim(number)?,
                    next: found.claims.get(at + 1).and_then(claim),
                    suffix: found.suffix,
                })
            })
        })
    }

    fn winner(&self, wire: &[u8]) -> Option<Covering<'_>> {
        self.winner_among(wire, |_| true)
    }

    #[inline]
    fn winner_among(&self, wire: &[u8], counts: impl Fn(&Claim) -> bool) -> Option<Covering<'_>> {
        // Every question comes here, and most names are covered by the root alone: hence no chain of iterators.
        for found in self.suffixes.covering(wire) {
            for (at, &number) in found.claims.iter().enumerate() {
                let claim = self.claims.get(number as usize)?;
                let covering = Covering {
                    claim,
                    next: self.claim_at(found.claims.get(at + 1)),
                    suffix: found.suffix,
                };
                if claim.hold != Hold::Release
                    && claim.is_believed()
                    && counts(claim)
                    && self.exclusion(covering, wire).is_none()
                {
                    return Some(covering);
                }
            }
        }
        None
    }

    fn claim_at(&self, number: Option<&u32>) -> Option<&Claim> {
        self.claims.get(*number? as usize)
    }

    /// Returns the exclusion that puts a claim's owner out: one at least as long as the claim.
    fn exclusion<'t>(&'t self, covering: Covering<'_>, wire: &'t [u8]) -> Option<&'t [u8]> {
        let exclusions = self.exclusions.get(covering.claim.exclusions? as usize)?;
        wire_suffixes(wire)
            .take_while(|suffix| suffix.len() >= covering.suffix.len())
            .find(|suffix| exclusions.contains(*suffix))
    }

    /// Finds a search suffix that is appended to a name which a scope other than the winner's claims: the length of that
    /// name without its root label, and the claim.
    fn guard<'t>(
        &'t self,
        wire: &[u8],
        winner: Option<Covering<'t>>,
    ) -> Option<(usize, Covering<'t>)> {
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
                .filter(|claim| claim.claim.order.class == Class::Claim)
            else {
                continue;
            };
            let owner = |covering: Covering<'t>| &covering.claim.order.owner;
            if winner.is_some_and(|winner| owner(winner) == owner(claim)) {
                continue;
            }
            return Some((length, claim));
        }
        None
    }

    fn outcome(
        &self,
        covering: Covering<'_>,
        winner: Option<Covering<'_>>,
        name: &DomainName,
    ) -> Outcome {
        let claim = covering.claim;
        if !claim.is_believed() {
            return Outcome::NotTrusted;
        }
        if let Some(exclusion) = self.exclusion(covering, name.as_wire()) {
            return Outcome::Excluded(
                DomainName::from_wire(exclusion).unwrap_or_else(|_| DomainName::root()),
            );
        }
        if claim.hold == Hold::Release {
            return Outcome::Released;
        }
        match winner {
            Some(winner) if winner.is(covering) => Outcome::Won,
            Some(winner) if winner.suffix == covering.suffix => {
                Outcome::Lost(rule_between(&winner.claim.order, &claim.order))
            }
            Some(_) | None => Outcome::Lost(Rule::LongestSuffix),
        }
    }
}

impl Covering<'_> {
    fn is(self, other: Covering<'_>) -> bool {
        std::ptr::eq(self.claim, other.claim) && self.suffix == other.suffix
    }

    fn suffix(self) -> DomainName {
        DomainName::from_wire(self.suffix).unwrap_or_else(|_| DomainName::root())
    }

    fn because(self, rule: Rule) -> Arc<Because> {
        Arc::new(Because {
            owner: self.claim.order.owner.clone(),
            rule,
            suffix: self.suffix(),
        })
    }

    /// Returns the rule by which the claim comes before the next.
    fn rule(self) -> Rule {
        match self.claim.order.class {
            Class::Prefix => Rule::LinkPrefix,
            Class::Exclusive => Rule::Exclusive,
            Class::ResolverDefault
            | Class::ProfileDefault
            | Class::RuntimeDefault
            | Class::ForeignDefault => Rule::Default,
            Class::Claim => match self.next {
                Some(next) => rule_between(&self.claim.order, &next.order),
                None => Rule::LongestSuffix,
            },
        }
    }
}

fn name(wire: &[u8]) -> Option<DomainName> {
    DomainName::from_wire(wire).ok()
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
