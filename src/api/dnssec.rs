//! What is trusted, for how long, and is the clock believed? Parameters and results of the calls about validation.

use serde::{Deserialize, Serialize};

/// Parameters of `AddNegativeAnchor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddNegativeAnchorParameters {
    /// The name at and below which nothing is validated.
    pub name: String,
    /// How long, in seconds: an hour when absent, a week at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<u64>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Result of `AddNegativeAnchor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddNegativeAnchorReply {
    /// The anchor as it is in force.
    pub anchor: NegativeAnchor,
}

/// Parameters of `RemoveNegativeAnchor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveNegativeAnchorParameters {
    /// The anchor's name.
    pub name: String,
}

/// A name at and below which nothing is validated for a while (RFC 7646).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NegativeAnchor {
    /// The name.
    pub name: String,
    /// When it ends, in Unix seconds.
    pub expires_at: u64,
    /// The same as RFC 3339 writes it, in UTC.
    pub expires: String,
    /// Why it was added; empty when nothing was said.
    pub reason: String,
}

/// A key of a trust point, which is trusted without proof if its state says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustAnchor {
    /// The zone whose key it is.
    pub owner: String,
    /// The key's tag.
    pub key_tag: u16,
    /// The key's algorithm, as IANA numbers them.
    pub algorithm: u8,
    /// Where it is on its way, in words (RFC 5011).
    pub state: String,
}

/// Whether the clock is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockStatus {
    /// Whether the dates of signatures count; while they do not, no answer is told to be authentic.
    pub dates_count: bool,
    /// Why, in words.
    pub because: String,
}
