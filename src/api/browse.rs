//! What neighbours have: multicast DNS (RFC 6762), its services (RFC 6763), and LLMNR (RFC 4795).

use serde::{Deserialize, Serialize};

/// Parameters of `Browse`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BrowseParameters {
    /// The name, as `_ipp._tcp.local`; all types of services when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The record type; PTR when absent.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub record_type: Option<String>,
    /// The link; all of them when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// A record of a neighbour that came or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// Whether it is there now.
    pub present: bool,
    /// The link.
    pub link: String,
    /// Its owner.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub record_type: String,
    /// Its data, as in a zone file.
    pub data: String,
}

/// Multicast DNS on a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MulticastStatus {
    /// The link.
    pub link: String,
    /// `resolve` or `respond`: what the configuration asks for there.
    pub mode: String,
    /// Whether it is listened to now: with `resolve` only while somebody asks, and a while longer.
    pub listens: bool,
    /// What is said of this machine there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<String>,
    /// The services that are announced there, each with its name in force and how far it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// Records of neighbours that are known.
    pub records: u64,
    /// Messages heard.
    pub heard: u64,
    /// Messages that were not to be believed or could not be read.
    pub ignored: u64,
}

/// LLMNR on a link where it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LlmnrStatus {
    /// The link.
    pub link: String,
    /// Who says that it is asked there.
    pub owner: String,
    /// Questions said.
    pub said: u64,
    /// Responses that counted.
    pub heard: u64,
    /// Responses that were not to be believed or could not be read.
    pub ignored: u64,
    /// Questions to which two neighbours said that the name is theirs alone.
    pub conflicts: u64,
}
