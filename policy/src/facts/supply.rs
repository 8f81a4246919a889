//! What did the network supply to a link? [`Supply`]: a DHCP lease, what routers advertise, an address that we took ourselves.
//!
//! Clients report; they never write to the kernel. What a profile takes of a supply is decided in [`crate::links`].

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use config::model::{Mapping, Prefix, Upstream};
use config::name::DomainName;
use config::time::Instant;

/// Through what something was supplied; each has its own supply on each link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Supplier {
    /// A DHCPv4 server.
    Dhcp4,
    /// A DHCPv6 server.
    Dhcp6,
    /// Routers.
    Ra,
    /// Nobody: RFC 3927.
    Ipv4ll,
}

impl Supplier {
    /// All of them, in the order in which their upstreams are asked.
    pub const ALL: [Self; 4] = [Self::Dhcp4, Self::Dhcp6, Self::Ra, Self::Ipv4ll];
}

impl fmt::Display for Supplier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dhcp4 => "DHCPv4",
            Self::Dhcp6 => "DHCPv6",
            Self::Ra => "router advertisement",
            Self::Ipv4ll => "IPv4 link-local",
        })
    }
}

/// What was supplied to one link through one supplier, whole: what is not in it is over.
///
/// An empty one says that its client has asked in vain; there is none while nothing is known yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Supply {
    /// Addresses.
    pub addresses: Vec<SuppliedAddress>,
    /// Routes; a default route among them has length 0.
    pub routes: Vec<SuppliedRoute>,
    /// Prefixes to hand on to other links (IA_PD).
    pub delegated: Vec<Delegated>,
    /// Resolvers, in order, encrypted ones (RFC 9463) first.
    pub upstreams: Vec<Upstream>,
    /// Search suffixes.
    pub search: Vec<DomainName>,
    /// The largest packet, in octets.
    pub mtu: Option<u32>,
    /// The hop limit of packets to send.
    pub hop_limit: Option<u8>,
    /// How long a neighbour counts as reachable.
    pub reachable: Option<Duration>,
    /// How long between two questions for a neighbour.
    pub retransmit: Option<Duration>,
    /// Through which routers packets from which prefix get on; none where every router takes all of them (RFC 8028).
    pub sources: Vec<SuppliedSource>,
    /// Prefixes by which IPv4 is reached (RFC 8781).
    pub pref64: Vec<Mapping>,
    /// The address of the portal's API (RFC 8910).
    pub portal: Option<Arc<str>>,
    /// Time servers.
    pub time_servers: Vec<IpAddr>,
    /// Whether the network prefers that IPv4 is done without (RFC 8925).
    pub ipv6_only: bool,
    /// Whether nobody has confirmed it in this place yet: a lease of before, used while its server is asked.
    pub unconfirmed: bool,
    /// Whether nobody at all has answered in this place, neither a server nor the gateway of before: a lease that is kept because
    /// nobody denies it.
    pub doubted: bool,
}

/// Where packets from a prefix get on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppliedSource {
    /// The prefix of the link that they come from.
    pub prefix: Prefix,
    /// The routers that advertise it, the best first: others may drop what comes from it (BCP 38).
    pub via: Vec<IpAddr>,
}

/// A supplied address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SuppliedAddress {
    /// The address; the length is that of the prefix that counts as on the link (128 for none).
    pub prefix: Prefix,
    /// Until when new connections may begin with it; `None` for ever.
    pub preferred_until: Option<Instant>,
    /// Until when it may be used at all; `None` for ever.
    pub valid_until: Option<Instant>,
    /// Whether the kernel makes temporary addresses beside it (`IFA_F_MANAGETEMPADDR`).
    pub temporaries: bool,
}

/// A supplied route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SuppliedRoute {
    /// Where to.
    pub to: Prefix,
    /// Through which neighbour; `None` on the link itself.
    pub via: Option<IpAddr>,
    /// The source address that goes with it.
    pub source: Option<IpAddr>,
    /// How a router recommends itself.
    pub preference: Preference,
    /// Until when; `None` for ever.
    pub valid_until: Option<Instant>,
}

/// How a router recommends itself (RFC 4191 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Preference {
    /// After the others.
    Low,
    /// As the others.
    #[default]
    Medium,
    /// Before the others.
    High,
}

/// A prefix to hand on to other links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delegated {
    /// The prefix, at most 64 long.
    pub prefix: Prefix,
    /// Until when new connections may begin with it; `None` for ever.
    pub preferred_until: Option<Instant>,
    /// Until when it may be used at all; `None` for ever.
    pub valid_until: Option<Instant>,
    /// A part that may not be handed on (RFC 6603).
    pub excluded: Option<Prefix>,
}
