//! Why was it decided so? [`Because`], built while planning and routing, never reconstructed.

use std::fmt;

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

impl Rule {
    /// Returns the rule's name, as it stands in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LongestSuffix => "longest-suffix",
            Self::Priority => "priority",
            Self::LinkRank => "link-rank",
            Self::OwnerName => "owner-name",
            Self::Default => "default",
            Self::Exclusive => "exclusive",
            Self::LinkPrefix => "link-prefix",
            Self::SearchExpansion => "search-expansion",
            Self::NoScope => "no-scope",
        }
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            owner,
            rule,
            suffix,
        } = self;
        match rule {
            Rule::LongestSuffix => write!(
                f,
                "{owner} claims {suffix}, the longest suffix that covers it"
            ),
            Rule::Priority => write!(f, "{owner} claims {suffix} with the highest priority"),
            Rule::LinkRank => write!(f, "{owner} claims {suffix}, and its link ranks first"),
            Rule::OwnerName => write!(f, "{owner} claims {suffix}, and comes first by name"),
            Rule::Default => write!(f, "nobody claims it, and {owner} has the default scope"),
            Rule::Exclusive => write!(
                f,
                "{owner} is a full tunnel: it takes every name that nobody claims"
            ),
            Rule::LinkPrefix => write!(f, "{suffix} is the reverse zone of a prefix of {owner}"),
            Rule::SearchExpansion => write!(
                f,
                "it is a search suffix appended to a name in {suffix}, which {owner} claims"
            ),
            Rule::NoScope => f.write_str("nobody claims it, and there is no default scope"),
        }
    }
}

impl Outcome {
    /// Returns the outcome's name, as it stands in JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Won => "won",
            Self::Lost(_) => "lost",
            Self::Excluded(_) => "excluded",
            Self::Released => "released",
            Self::NotTrusted => "not-trusted",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Won => f.write_str("the name goes here"),
            Self::Lost(rule) => f.write_str(match rule {
                Rule::Priority => "another has a higher priority",
                Rule::LinkRank => "another's link ranks before",
                Rule::OwnerName => "another comes first by name",
                Rule::Exclusive => "a full tunnel comes before",
                Rule::LongestSuffix
                | Rule::Default
                | Rule::LinkPrefix
                | Rule::SearchExpansion
                | Rule::NoScope => "another claims a longer suffix, or comes before by kind",
            }),
            Self::Excluded(suffix) => write!(f, "its owner excludes {suffix}"),
            Self::Released => f.write_str("its link is away, and it lets go meanwhile"),
            Self::NotTrusted => f.write_str("the network may not claim names"),
        }
    }
}
