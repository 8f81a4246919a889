//! `[connectivity]`: whether it is found out what lies behind links, and how.

use std::time::Duration;

use crate::name::DomainName;
use crate::url::Url;

/// `[connectivity]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectivityConfig {
    /// Which links are asked about.
    pub check: CheckUse,
    /// Whether a portal that a network announces is asked, and its names are let through (RFC 8908, RFC 8910).
    pub portal: bool,
    /// The name to ask for instead of one that is made up.
    pub name: Option<DomainName>,
    /// A page to look at beside.
    pub url: Option<Url>,
    /// The longest pause between two tries on a link that is bad.
    pub retry_max: Duration,
}

/// Which links are asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckUse {
    /// Those whose network supplies something, and all that could have the default route where there are several.
    #[default]
    Auto,
    /// All that have a default route.
    Always,
    /// None.
    Never,
}

impl Default for ConnectivityConfig {
    fn default() -> Self {
        Self {
            check: CheckUse::Auto,
            portal: true,
            name: None,
            url: None,
            retry_max: Duration::from_secs(300),
        }
    }
}
