//! Why does a name go where it goes? The result of `Explain`.

use serde::{Deserialize, Serialize};

use super::Trace;

/// A route with every candidate, and the last question for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The name.
    pub name: String,
    /// Where it goes.
    pub target: Target,
    /// Why.
    pub because: Reason,
    /// Every claim that covers it, in the order in which they are weighed.
    pub candidates: Vec<Candidate>,
    /// What is answered without any scope, in words: `/etc/hosts`, `localhost`, a special-use name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<String>,
    /// The names tried, when a single label is searched for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub searched: Vec<String>,
    /// Whether its answers are validated, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<String>,
    /// Who is asked in which order, in words: upstreams, servers from the root down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// What it is for tunnels that begin there, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The last question for this name, when there was one lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Trace>,
}

/// Where a name goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// `ask`, `refuse` or `local`.
    pub action: String,
    /// The scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The scope's link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Its upstreams, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upstreams: Vec<String>,
    /// How one of them is chosen: `ordered`, `fastest`, `hedged`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<String>,
    /// Whom of them a question would go to first at present; two with `hedged`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<String>,
    /// Why it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

/// Why a name goes where it goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Who decided, as `profile office`.
    pub owner: String,
    /// The profile's id, when a profile decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The rule, as `longest-suffix`.
    pub rule: String,
    /// The suffix that covers the name.
    pub suffix: String,
    /// The same in one sentence.
    pub text: String,
}

/// A claim that covers a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Who claims.
    pub owner: String,
    /// The profile's id, when a profile claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// How far it is believed.
    pub trust: String,
    /// The claimed suffix.
    pub suffix: String,
    /// Its priority.
    pub priority: i32,
    /// Its scope.
    pub scope: String,
    /// `won`, `lost`, `excluded`, `released`, `not-trusted`.
    pub outcome: String,
    /// Why, in words.
    pub detail: String,
}
