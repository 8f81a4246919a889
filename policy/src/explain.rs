//! Why was it decided so? [`Because`], built while planning and routing, never reconstructed.

use config::name::DomainName;

use crate::domains::Target;
use crate::facts::{Owner, Trust};
use crate::plan::ScopeId;

/// The reason of one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Because {
    /// Who decided.
    pub owner: Owner,
    /// By which rule.
    pub rule: Rule,
    /// The suffix that covers the name; the root for a default.
    pub suffix: DomainName,
}

/// The rule that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The only claim there is for this suffix, and the longest.
    LongestSuffix,
    /// Among equal suffixes, the higher priority.
    Priority,
    /// Among equal priorities, the link with the IP default route, or the lower metric.
    LinkRank,
    /// Among equal ranks, the owner's name.
    OwnerName,
    /// Nobody claims it: the default scope.
    Default,
    /// A full tunnel takes all that nobody claims.
    Exclusive,
    /// A reverse name within a link's own prefix.
    LinkPrefix,
    /// A search suffix appended to a claimed name.
    SearchExpansion,
    /// Nobody claims it, and there is no default scope.
    NoScope,
}

/// A route with every candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The name.
    pub name: DomainName,
    /// Where it goes.
    pub target: Target,
    /// Why.
    pub because: Because,
    /// Every claim that covers the name, in the total order; the winner among them.
    pub candidates: Vec<Candidate>,
}

/// A claim that covers a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Who claims.
    pub owner: Owner,
    /// How far it is believed.
    pub trust: Trust,
    /// The claimed suffix; the root for a default.
    pub suffix: DomainName,
    /// Its priority.
    pub priority: i32,
    /// Its scope.
    pub scope: ScopeId,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It won.
    Won,
    /// Another came before it by this rule.
    Lost(Rule),
    /// Its owner excludes the name.
    Excluded(DomainName),
    /// Its link is down or absent, and it was let go.
    Released,
    /// Its owner is not believed: the network may not claim.
    NotTrusted,
}
