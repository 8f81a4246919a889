//! How far links reach, as the control interface tells it.

use serde::{Deserialize, Serialize};

/// How far one family gets through a link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachStatus {
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// `validated`, `unknown`, `portal`, `nowhere`.
    pub reach: String,
    /// Since when, in milliseconds before now.
    pub since_ms: u64,
    /// What was found last.
    pub why: String,
}

/// The portal that a link's network has announced, or behaves like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortalStatus {
    /// Where its API is; empty where it has announced none.
    pub api: String,
    /// Whether somebody has to log in, as it says itself; absent while it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captive: Option<bool>,
    /// Where to log in, or to stay longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Whether `url` is where it leads everybody who looks at any page: its own word, without any proof.
    #[serde(default)]
    pub redirects: bool,
    /// Where there is something to read about the place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub venue: Option<String>,
    /// How long the session lasts, in milliseconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_ms: Option<u64>,
    /// Whether it can be made longer at `url`.
    #[serde(default)]
    pub can_extend: bool,
    /// Why it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}
