//! What does `linnet status` tell of DHCPv6? [`Report`], with everything in seconds from now.

use std::net::Ipv6Addr;
use std::sync::Arc;

use super::wire::Sort;

/// State and leases.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// The message that is being sent, as the RFC names it, or `bound`, `informed`, `idle`.
    pub state: &'static str,
    /// How often that message was sent.
    pub sent: u32,
    /// The server's DUID, in hexadecimal.
    pub server: Option<String>,
    /// The leases.
    pub leases: Vec<LeaseReport>,
    /// Seconds until they are renewed (T1).
    pub renew: Option<u32>,
    /// Seconds until anybody is asked to prolong them (T2).
    pub rebind: Option<u32>,
    /// Seconds until other information is asked for again.
    pub refresh: Option<u32>,
    /// Options that were asked for by number, with their octets.
    pub options: Vec<(u16, Arc<[u8]>)>,
    /// The last complaint of a server.
    pub complaint: Option<Arc<str>>,
    /// Addresses of our own making that the network has noted (RFC 9686).
    pub registered: Vec<Ipv6Addr>,
    /// Messages that were none, or not for us.
    pub passed_over: u64,
}

/// A lease.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LeaseReport {
    /// What it is for.
    pub sort: Sort,
    /// The address or prefix.
    pub prefix: String,
    /// Seconds that new connections may begin with it; 4294967295 is for ever.
    pub preferred: u32,
    /// Seconds that it is valid.
    pub valid: u32,
    /// Whether the server took it back.
    pub taken_back: bool,
}
