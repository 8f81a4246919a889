//! What do routers supply to a link? [`Client`]: router advertisements in, a [`Supply`] out, without sockets and without a clock.
//!
//! The driving order is: one `handle_…`, then [`Client::poll_transmit`] and [`Client::poll_event`] until both are empty, then
//! [`Client::poll_timeout`]. Nothing here writes to the kernel; what of a supply is there is decided by the plan.
//!
//! | RFC | what | where |
//! |---|---|---|
//! | 4861 | routers, prefixes on the link, unreachable routers | `router`, `prefixes`, `client` |
//! | 4862 | addresses, the two-hour rule | `prefixes`; [`crate::slaac`] makes them (RFC 7217) |
//! | 4191 | preferences, routes to more than everywhere | `router` |
//! | 5175, 8106, 8781, 8910, 9463 | flags, resolvers and suffixes, PREF64, portal, encrypted resolvers | [`wire`], `supply` |
//! | 8028 | which router takes packets from which prefix | `supply` |
//! | 7559 | solicitations that do not give up | `solicit` |
//! | 9096 | prefixes that are left out are deprecated at once | `prefixes` |
//! | 9762 | prefixes that are there to be delegated | `prefixes`, `delegation`, [`Dhcp6Flags`] |
//!
//! Whoever is on the link can speak as a router; so packets are counted per router, and strangers' together, tables are bounded,
//! and no packet takes away an address sooner than in two hours.
//!
//! # Limitations
//! Of several routers with prefixes of their own, the one that fits a packet's source is told ([`policy::facts::SuppliedSource`]);
//! which of several addresses a connection begins with is the kernel's choice (RFC 6724). No SEND (RFC 3971), no provisioning domains
//! (RFC 8801).

mod client;
mod delegation;
mod memory;
mod prefixes;
mod report;
mod router;
mod solicit;
mod supply;
#[cfg(test)]
mod tests;
pub mod wire;

use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use config::matcher::Mac;
use config::model::RaSettings;
use policy::facts::Supply;

pub use client::Client;
pub use delegation::Delegation;
pub use memory::Memory;
pub use report::{PrefixReport, Report, RouterReport, RouterState};

use crate::slaac::Secret;

/// What a client is made of.
#[derive(Debug, Clone)]
pub struct Setup {
    /// What the profile wants.
    pub settings: RaSettings,
    /// The link's name: zone of link-local upstreams, and part of what a stable address is made of.
    pub link: Arc<str>,
    /// The hardware address, when it has six octets.
    pub mac: Option<Mac>,
    /// What stable addresses are made of beside the network (RFC 7217 §5).
    pub secret: Secret,
    /// The network as far as it is known before any router speaks (an SSID); empty when it is not.
    pub network: Arc<[u8]>,
    /// Addresses that were on the link before the client began, made of prefixes by whoever was there: they are used on, so that no
    /// connection ends with a change of managers.
    pub addresses: Vec<Ipv6Addr>,
    /// Different for each link and each start.
    pub seed: u64,
    /// What [`Event::Keep`] said in this network before.
    pub remembered: Option<Remembered>,
}

/// What a client said to keep, and how long ago.
#[derive(Debug, Clone)]
pub struct Remembered {
    /// What was kept.
    pub memory: Memory,
    /// How long ago that was.
    pub age: Duration,
    /// Whether the link may have come to another place since: the machine was started anew.
    pub moved: bool,
}

/// A packet to send by the link's raw ICMPv6 socket, with hop limit 255.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: Ipv6Addr,
    /// The ICMPv6 message; its checksum is the kernel's.
    pub octets: Vec<u8>,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// What routers supply, whole.
    Supplied(Box<Supply>),
    /// No router supplies anything.
    Withdrawn,
    /// What to remember of this network.
    Keep(Box<Memory>),
    /// What routers say of DHCPv6.
    Dhcp6(Dhcp6Flags),
    /// These routers have not been heard in this place, and count no more.
    LeftBehind(Vec<Ipv6Addr>),
}

/// What routers say of DHCPv6 (RFC 4861 §4.2, RFC 9762).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dhcp6Flags {
    /// Addresses are to be had (M).
    pub managed: bool,
    /// Other things are to be had (O).
    pub other: bool,
    /// A prefix of one's own is to be had (P of a prefix, RFC 9762).
    pub delegation: bool,
}

/// How reachable a router is, as the kernel's neighbour table says (RFC 4861 §7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reachability {
    /// It has answered (`NUD_REACHABLE`, `NUD_PERMANENT`, `NUD_NOARP`).
    Reachable,
    /// Nothing speaks against it (`NUD_STALE`, `NUD_DELAY`, `NUD_PROBE`, `NUD_INCOMPLETE`, no entry).
    Unknown,
    /// It does not answer (`NUD_FAILED`).
    Failed,
    /// It answers that it is no router any more (RFC 4861 §7.2.5).
    NoRouter,
}
