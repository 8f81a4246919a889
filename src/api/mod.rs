//! The control interface as types: what travels over `/run/linnet/control`.
//!
//! Varlink: one JSON object and a NUL byte per message. [`INTERFACE`] is the interface's name, [`DEFINITION`] its text, and the
//! structs here are its parameters. Field names are the wire's names; a field that is absent means "not said".
//!
//! A command reads what another daemon says than that of its version: of a newer one, fields that it does not know are passed over, and words
//! of an enum are its `Unknown`; fields that an older one does not have yet are optional.

mod browse;
mod dnssec;
mod explain;
mod links;
mod query;
mod reach;
mod status;

pub use browse::{BrowseParameters, LlmnrStatus, MulticastStatus, Sight};
pub use dnssec::{
    AddNegativeAnchorParameters, AddNegativeAnchorReply, ClockStatus, NegativeAnchor,
    RemoveNegativeAnchorParameters, TrustAnchor,
};
pub use explain::{Candidate, Explanation, Reason, Target};
pub use links::{
    AssociationStatus, CableStatus, ItemKind, ItemStatus, LinkParameters, LinkStatus, OptionStatus,
    PeerStatus, PlanReply, SupplyStatus, UnmadeStatus,
};
pub use query::{QueryParameters, QueryReply, Record, Step, Trace};
pub use reach::{PortalStatus, ReachStatus};
pub use status::{
    ClaimStatus, Diagnostic, Latency, ListStatus, ListenStatus, ListenerStatus, ObserverStatus,
    ResolvConfStatus, ScopeStatus, Status, UpstreamStatus,
};

use serde::{Deserialize, Serialize};

/// The interface's name.
pub const INTERFACE: &str = "org.linnet.Manager";
/// The interface's definition, as `GetInterfaceDescription` returns it.
pub const DEFINITION: &str = include_str!("org.linnet.Manager.varlink");
/// Where the control socket is, when no runtime directory is given.
pub const CONTROL_SOCKET: &str = "/run/linnet/control";
/// The version of every JSON document that `linnet --json` prints; raised when a field goes or changes its meaning.
pub const SCHEMA_VERSION: u32 = 1;

/// A call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Interface and method, as `org.linnet.Manager.Status`.
    pub method: String,
    /// The method's parameters, an object.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub parameters: serde_json::Value,
    /// The caller takes more than one reply.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// The caller wants no reply.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub oneway: bool,
    /// The caller wants to change the protocol; never granted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub upgrade: bool,
}

/// A reply: parameters, or an error's name with its parameters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The result, or the error's parameters.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub parameters: serde_json::Value,
    /// More replies follow.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continues: bool,
    /// The error's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Parameters of `Status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusParameters {
    /// Without what the scopes claim, which may be much.
    pub brief: bool,
}

/// Parameters of `Subscribe`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubscribeParameters {
    /// Of questions only those that were slow or failed: then hits need leave no trace.
    pub notable: bool,
}

/// Parameters of `Explain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainParameters {
    /// The name.
    pub name: String,
}

/// Parameters of `Claim`: a layer of DNS settings with an owner.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClaimParameters {
    /// The claim's name; claiming again under the same name replaces it.
    pub owner: String,
    /// The link; the claim outlives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Upstreams, as in the configuration.
    pub upstreams: Vec<String>,
    /// Claimed suffixes.
    pub claims: Vec<String>,
    /// Search suffixes.
    pub search: Vec<String>,
    /// Excluded suffixes.
    pub exclude: Vec<String>,
    /// `auto`, `yes`, `no`, `exclusive`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// `auto`, `refuse`, `release`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when_down: Option<String>,
    /// Higher wins among equal suffixes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// Kept when the caller's connection ends, and over a restart of the daemon; else withdrawn with it.
    pub persistent: bool,
}

/// Parameters of `Withdraw`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithdrawParameters {
    /// The claim's name.
    pub owner: String,
}

/// Parameters of `Flush`; none of them: everything. A name or a suffix, not both; a scope narrows either.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlushParameters {
    /// One name, all types, and aliases that lead to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A name and all below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
    /// One scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

/// Result of `Flush`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlushReply {
    /// Entries dropped.
    pub dropped: u64,
}

/// Result of `Reload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadReply {
    /// Whether the new configuration is in force; if not, the old one still is.
    pub applied: bool,
    /// What was found.
    pub diagnostics: Vec<Diagnostic>,
}

/// One message of `Subscribe`; events may be added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Notice {
    /// The subscription is in force; what happens from here on is told.
    Ready,
    /// A question was answered.
    Answered {
        /// How.
        trace: Trace,
    },
    /// The plan changed.
    PlanChanged {
        /// The plan's number.
        generation: u64,
        /// What changed, in words.
        changes: Vec<String>,
    },
    /// `/etc/resolv.conf` changed hands.
    ResolvConf {
        /// Its state.
        status: ResolvConfStatus,
    },
    /// A link reaches farther or less far, or its portal says something else.
    Reach {
        /// The link's name.
        link: String,
        /// How far each family gets.
        reach: Vec<ReachStatus>,
        /// The portal of its network.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        portal: Option<PortalStatus>,
    },
    /// A record of a neighbour came or went.
    Seen {
        /// Which.
        sight: Sight,
    },
    /// The subscriber was too slow; this many messages were left out.
    Lost {
        /// How many.
        count: u64,
    },
    /// What a newer daemon tells of; never said by this one.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests;
