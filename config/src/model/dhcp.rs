//! What is said to DHCP servers that no key of its own is for? [`OwnOptions`], by number; who writes our name into DNS, and what BOOTP servers are good for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Options that an administrator wants to be sent, and to be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnOptions {
    /// Their octets, by number.
    pub send: BTreeMap<u16, Arc<[u8]>>,
    /// Numbers that are asked for, to be shown.
    pub request: BTreeSet<u16>,
}

/// Who writes the host's name into DNS (RFC 4702 §2.1, RFC 4704 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DnsUpdate {
    /// The server, name and address both.
    #[default]
    Server,
    /// We write where the name leads; the server writes the way back.
    Client,
    /// Nobody.
    Nobody,
}

/// What answers of BOOTP servers are good for (RFC 951, RFC 1534).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootpUse {
    /// They are taken where no DHCP server answers.
    #[default]
    Fallback,
    /// Nobody else is asked: what is sent is BOOTP, and says nothing of DHCP.
    Only,
    /// Nothing.
    Never,
}
