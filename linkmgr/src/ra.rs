//! What do routers supply to a link? [`Client`]: router advertisements in, a [`Supply`] out (RFC 4861, 4862, 4191, 8106).
//!
//! Addresses are made by [`crate::slaac`]; nothing here opens a socket, reads a clock or writes to the kernel.

use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use config::matcher::Mac;
use config::model::RaSettings;
use config::time::Instant;
use policy::facts::Supply;

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
}

/// What outlives the client: JSON, for the state directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Memory {}

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
}

/// The router client of one link.
///
/// Inputs: [`Client::handle_link_local`], [`Client::handle_packet`], [`Client::handle_neighbour`],
/// [`Client::handle_dad_failed`], [`Client::handle_delegation`], [`Client::handle_reattach`], [`Client::handle_timeout`].
/// After each, ask [`Client::poll_transmit`] and [`Client::poll_event`] until they are empty, then
/// [`Client::poll_timeout`].
#[derive(Debug)]
pub struct Client {}

#[expect(
    clippy::needless_pass_by_ref_mut,
    reason = "how the client is driven comes before what it does"
)]
impl Client {
    /// Begins; a link that is up is solicited for at once.
    pub fn new(_setup: Setup, _now: Instant) -> Self {
        Self {}
    }

    /// Takes the link's own link-local address, or that there is none that is usable. Until there is one, solicitations leave
    /// from the unspecified address.
    pub fn handle_link_local(&mut self, _address: Option<Ipv6Addr>, _now: Instant) {}

    /// Takes an ICMPv6 message from its type on; what is no valid router advertisement is passed over.
    pub fn handle_packet(
        &mut self,
        _octets: &[u8],
        _from: Ipv6Addr,
        _hop_limit: u8,
        _now: Instant,
    ) {
    }

    /// Takes what the kernel says of a neighbour; who is no router of ours is passed over.
    pub fn handle_neighbour(
        &mut self,
        _neighbour: Ipv6Addr,
        _reachability: Reachability,
        _now: Instant,
    ) {
    }

    /// Takes that an address is somebody else's (`IFA_F_DADFAILED`): another one is made of the same prefix.
    pub fn handle_dad_failed(&mut self, _address: Ipv6Addr, _now: Instant) {}

    /// Takes whether DHCPv6 has brought a prefix of our own: no address is made of prefixes that are there to be delegated
    /// from then (RFC 9762).
    pub fn handle_delegation(&mut self, _delegated: bool, _now: Instant) {}

    /// Takes that the carrier is back, or that the machine was asleep: what is known stays, and routers are asked at once.
    pub fn handle_reattach(&mut self, _now: Instant) {}

    /// Takes that time has passed.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// Returns the next packet to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        None
    }

    /// Returns the next thing that follows.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// Returns when [`Client::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Returns what is known of routers and prefixes, for `linnet status`.
    pub fn report(&self, _now: Instant) -> Report {
        Report::default()
    }
}

/// What is known of routers and prefixes.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {}
