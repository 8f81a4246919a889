//! What was asked, answered, and what happened on the way? Parameters and result of `Query`.

use serde::{Deserialize, Serialize};

/// Parameters of `Query`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryParameters {
    /// The name.
    pub name: String,
    /// The record type, as `AAAA` or `TYPE65`; `A` when absent.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub record_type: Option<String>,
    /// Whether to ask for signatures (DO).
    #[serde(default)]
    pub dnssec: bool,
    /// Whether to switch validation off (CD).
    #[serde(default)]
    pub checking_disabled: bool,
}

/// Result of `Query`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueryReply {
    /// The code, as `NOERROR`.
    pub rcode: String,
    /// Whether linnet validated every record.
    pub authentic: bool,
    /// The answer section.
    pub answers: Vec<Record>,
    /// The Extended DNS Error: code and text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_error: Option<String>,
    /// What happened.
    pub trace: Trace,
}

/// A resource record in presentation form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The owner name.
    pub name: String,
    /// Seconds to live.
    pub ttl: u32,
    /// The type.
    #[serde(rename = "type")]
    pub record_type: String,
    /// The data.
    pub data: String,
}

/// What became of one question.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// The name.
    pub name: String,
    /// The record type.
    #[serde(rename = "type")]
    pub record_type: String,
    /// The code of the answer.
    pub rcode: String,
    /// The Extended DNS Error: code and text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_error: Option<String>,
    /// From question to answer, in milliseconds.
    pub elapsed_ms: f64,
    /// Who asked, when known: `udp 127.0.0.1:40312`, `control uid 0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// What happened, in order.
    pub steps: Vec<Step>,
}

/// One thing that happened to a question.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// `synthesized`, `searched`, `routed`, `refused`, `cache-hit`, `asked`, `replied`, `failed`, `dropped`, `judged`,
    /// `alias`.
    pub what: String,
    /// The name that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// `udp` or `tcp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Round-trip time, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
    /// `secure`, `insecure`, `bogus` or `indeterminate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// The chain of trust, link by link.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// Anything else, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}
