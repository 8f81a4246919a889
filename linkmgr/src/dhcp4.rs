//! How does a link get an IPv4 address from its network? [`Client`]: DHCPv4 (RFC 2131) without sockets and without a clock.
//!
//! Nothing here writes to the kernel: the client tells what was supplied ([`Event::Supplied`]), what of it is there is
//! decided by the plan. How it is driven: [`Client`].
//!
//! ```text
//!              carrier, nothing remembered                      carrier, lease remembered
//!   INIT ───────── DISCOVER ────────┐                 INIT-REBOOT ── ARP to the old gateway, REQUEST ──┐
//!    ▲ ▲                            ▼                                                                  ▼
//!    │ │                        SELECTING ── OFFER: REQUEST ──► REQUESTING                         REBOOTING
//!    │ │ NAK, conflict: DECLINE     │ ACK (rapid commit)            │ ACK                              │ ACK
//!    │ └────────────────────────────┼───────────────────────────────┼──────────────────────────────────┘ NAK: INIT
//!    │                              ▼                               ▼     nobody answers: SELECTING, the lease is kept
//!    │ lease over, NAK            BOUND ◄──────────────────── ACK ──┴───────┐
//!    └────────────── REBINDING ◄─ T2 ── RENEWING ◄─ T1 ── BOUND             │
//!                        └──────────────────┴───────────────────────────────┘
//! ```
//!
//! # Limitations
//! Ethernet only (hardware addresses of six octets). No FORCERENEW (RFC 3203). A BOOTP server's answer needs the magic cookie (RFC 1497): without it there is no mask and no router.

mod client;
mod frame;
mod lease;
mod options;
mod reattach;
mod remembered;
mod send;
mod state;
mod turns;
mod wire;

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use config::matcher::Mac;
use config::model::{Dhcp4Settings, Prefix};
use config::time::Instant;
use policy::facts::{NetworkId, Supply};

#[cfg(test)]
pub(crate) use wire::tests as server;

pub(crate) use wire::update_flags;

pub use client::Client;
pub use remembered::{Age, Candidate, Clocks, Leases, Remembered, Witness};
pub(crate) use send::by_mac;

/// What a client is made of; all of it stays as it is while the client runs.
#[derive(Debug, Clone)]
pub struct Setup {
    /// What the profile says.
    pub settings: Arc<Dhcp4Settings>,
    /// The link's hardware address; with another one it is another client.
    pub mac: Mac,
    /// The one that it came with, for [`config::model::ClientId::PermanentMac`]; the present one where that is not known.
    pub permanent_mac: Mac,
    /// The link's kind, as in `LinkFacts`: networks are told apart by it too.
    pub kind: Arc<str>,
    /// The machine's DUID, for [`config::model::ClientId::Duid`] (RFC 4361).
    pub duid: Arc<[u8]>,
    /// Tells this link from the machine's others in front of the DUID (RFC 4361 §6.1).
    pub iaid: u32,
    /// What the client before us called itself, for [`config::model::ClientId::Kept`].
    pub former_id: Option<Arc<[u8]>>,
    /// What [`config::model::ClientId::Stable`] is made of.
    pub stable: [u8; 16],
    /// IPv4 addresses that were on the link before the client began.
    pub addresses: Vec<Ipv4Addr>,
    /// The one of them that another client seems to have got by DHCP: it is wished for where no lease is remembered.
    pub wish: Option<Ipv4Addr>,
    /// Different for each link and each start.
    pub seed: u64,
}

/// By which socket something goes, or came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Socket {
    /// `AF_PACKET` for IPv4, without link header, bound to the link, filtered to UDP for port 68.
    Packet,
    /// `AF_PACKET` for ARP, without link header, bound to the link.
    Arp,
    /// UDP at the lease's address, port 68, bound to the link.
    Udp,
}

/// Which sockets must be open; without need there is none, so that nothing wakes the machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sockets {
    /// [`Socket::Packet`].
    pub packet: bool,
    /// [`Socket::Arp`], and what it must let through.
    pub arp: Option<ArpFilter>,
    /// [`Socket::Udp`] at this address. When it cannot be bound (the address is not there yet), what was to be sent by it
    /// is lost as a datagram may be.
    pub udp: Option<Ipv4Addr>,
}

/// What an ARP socket lets through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArpFilter {
    /// Everything: neighbours are being asked.
    All,
    /// What names one of these addresses as its sender, from another hardware address than ours: conflicts, and nothing else.
    Conflicts(Arc<[Ipv4Addr]>),
}

impl ArpFilter {
    /// Makes the filter for conflicts about one address.
    pub fn conflicts(address: Ipv4Addr) -> Self {
        Self::Conflicts(Arc::from([address]))
    }

    /// Makes the filter that lets through what either does.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Conflicts(one), Self::Conflicts(other)) => {
                Self::Conflicts(one.iter().chain(other.iter()).copied().collect())
            }
            (Self::All, _) | (_, Self::All) => Self::All,
        }
    }
}

/// Something to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// By which socket.
    pub by: Socket,
    /// To which neighbour, for the packet sockets; ff:ff:ff:ff:ff:ff for all.
    pub neighbour: Mac,
    /// From which address; for [`Socket::Udp`] it is the one that the socket is bound to.
    pub from: Ipv4Addr,
    /// To which address; for [`Socket::Udp`] the port is 67.
    pub to: Ipv4Addr,
    /// An IPv4 packet, an ARP packet, or the payload of a datagram.
    pub octets: Vec<u8>,
}

/// What is known of a packet besides its octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// An IPv4 packet.
    Packet(Checksum),
    /// An ARP packet.
    Arp,
    /// The payload of a datagram from this address, port 67.
    Udp(Ipv4Addr),
}

/// Whether a packet's UDP checksum can be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// It came over a wire.
    Complete,
    /// It came from this machine (`TP_STATUS_CSUMNOTREADY`): nobody has computed it.
    Unfinished,
}

/// What the client tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// What is supplied, whole; it replaces what was supplied before.
    Supplied(Box<Supply>),
    /// Nothing is supplied any more.
    Withdrawn(Trouble),
    /// To be kept for the next time in this network; it replaces what was kept under the same network.
    Keep(Box<Remembered>),
    /// What was kept of this network is of no use.
    Forget(NetworkId),
    /// Nobody answers for so long that IPv4 should be had otherwise (RFC 3927); told once, until something is supplied. An empty
    /// supply comes with it, unless a lease of before is kept.
    Silent,
    /// Something that a person should know; the client goes on.
    Noted(Trouble),
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The server says that the lease is not, or no more, ours; with its message.
    Nak(Option<Arc<str>>),
    /// The lease is over, and no server has prolonged it.
    Expired,
    /// Another machine has the address.
    Conflict {
        /// The address.
        address: Ipv4Addr,
        /// The other machine.
        neighbour: Mac,
    },
    /// Another machine gets the same lease: it calls itself as this one does, as copies of one disk image do. This one
    /// calls itself by its hardware address from here on.
    Clone {
        /// The address.
        address: Ipv4Addr,
        /// The other machine.
        neighbour: Mac,
    },
    /// The link has come to another network.
    OtherNetwork,
    /// The link lost its carrier, or the machine slept: who is anonymous keeps no lease beyond that.
    Forgotten,
    /// Neither the gateway of before nor any server has answered in this place: the lease is kept, and doubted.
    Unanswered,
    /// The network prefers that IPv4 is done without (RFC 8925).
    Ipv6Only,
    /// It was released, as somebody wished.
    Released,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nak(None) => f.write_str("the server refuses the lease"),
            Self::Nak(Some(message)) => write!(f, "the server refuses the lease: {message}"),
            Self::Expired => f.write_str("the lease is over"),
            Self::Conflict { address, neighbour } => {
                write!(f, "{neighbour} has the address {address} too")
            }
            Self::Clone { address, neighbour } => write!(
                f,
                "{neighbour} gets the lease of {address} too: it has the same client identifier, is it a copy of this machine?"
            ),
            Self::OtherNetwork => f.write_str("this is another network"),
            Self::Forgotten => f.write_str("who is anonymous takes no lease to where the link is next"),
            Self::Unanswered => f.write_str(
                "neither the gateway of before nor a server has answered here: the lease is kept, its names are not asked for",
            ),
            Self::Ipv6Only => f.write_str("the network prefers that IPv4 is done without"),
            Self::Released => f.write_str("released"),
        }
    }
}

/// The states of RFC 2131 §4.4, figure 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StateName {
    /// Nothing is asked for: no carrier, or a wait.
    Init,
    /// Servers are looked for.
    Selecting,
    /// An offer is being taken.
    Requesting,
    /// A lease is remembered; no carrier.
    InitReboot,
    /// A remembered lease is being confirmed.
    Rebooting,
    /// There is a lease.
    Bound,
    /// Its server is asked to prolong it.
    Renewing,
    /// Any server is asked to prolong it.
    Rebinding,
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Init => "INIT",
            Self::Selecting => "SELECTING",
            Self::Requesting => "REQUESTING",
            Self::InitReboot => "INIT-REBOOT",
            Self::Rebooting => "REBOOTING",
            Self::Bound => "BOUND",
            Self::Renewing => "RENEWING",
            Self::Rebinding => "REBINDING",
        })
    }
}

/// How a client stands, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The state.
    pub state: StateName,
    /// The lease, when there is one.
    pub lease: Option<LeaseStatus>,
    /// What went wrong last, until something is supplied.
    pub trouble: Option<Trouble>,
    /// When something is sent or decided next, if nothing comes.
    pub next_at: Option<Instant>,
}

/// How a lease stands: `renew_at ≤ rebind_at ≤ expires_at`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseStatus {
    /// The address, with the length of its prefix.
    pub address: Prefix,
    /// The server.
    pub server: Ipv4Addr,
    /// Whether it is one of BOOTP, whose addresses have no end (RFC 1534).
    pub bootp: bool,
    /// The network that it is kept under.
    pub network: NetworkId,
    /// When it was given, or given anew.
    pub acquired_at: Instant,
    /// T1: when its server is asked to prolong it; `None` for a lease without end.
    pub renew_at: Option<Instant>,
    /// T2: when any server is asked to prolong it; `None` for a lease without end.
    pub rebind_at: Option<Instant>,
    /// When it is over; `None` for a lease without end.
    pub expires_at: Option<Instant>,
    /// Whether no server has confirmed it in this place yet.
    pub unconfirmed: bool,
    /// Options that were asked for by number, with their octets.
    pub options: Vec<(u16, Arc<[u8]>)>,
}
