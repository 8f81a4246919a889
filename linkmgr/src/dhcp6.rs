//! What does a DHCPv6 server supply to a link? [`Client`]: RFC 8415 messages in and out, a [`Supply`] out, without sockets and
//! without a clock.
//!
//! The driving order is: one `handle_…`, then [`Client::poll_transmit`] and [`Client::poll_event`] until both are empty, then
//! [`Client::poll_timeout`]. A server that is silent keeps nobody waiting: what is not supplied is not there, and comes later.
//!
//! ```text
//!   Idle ── a reason, a link-local address ──► SOLICIT ── ADVERTISE ──► REQUEST ── REPLY ──► Bound
//!                                                │ ▲ ▲                     │ 10 times,        │ ▲
//!                                 REPLY, rapid   │ │ └── NotOnLink ────────┤ or nothing given │ │
//!                                 commit ────────┼─┼─────────────────────────────────────────┤ │
//!                                                │ └── leases are over ◄── REBIND ◄── T2 ─ RENEW ◄─ T1
//!   back, addresses only: CONFIRM ── NotOnLink ──┘                           │ REPLY          │ REPLY
//!   back, prefixes too: REBIND              any Reply, or 10 s of silence: Bound ◄────────────┘
//!                                           NoBinding: REQUEST
//! ```
//!
//! Beside it, when addresses are not asked for, or nobody has any: INFORMATION-REQUEST, again at the refresh time (option 32).
//!
//! | RFC | what | where |
//! |---|---|---|
//! | 8415 | messages, leases, times | `wire`, `leases`, `exchange`, `client` |
//! | 8415 §20.4 | Reconfigure | `auth` |
//! | 6355 | DUID-UUID | [`Duid`] |
//! | 7844 §4 | nothing that tells who asks | `compose`, `client` |
//! | 6603 | a part of a prefix that is not handed on | `wire` |
//! | 4075, 5908, 3646, 8910, 9463, 4704 | time servers, resolvers, portal, encrypted resolvers, the host's name | `wire`, `supply` |
//! | 9686 | addresses that are registered | `registration` |
//!
//! # Limitations
//! No IA_TA, no relays, no unicast, no prefix longer than 64.

mod auth;
mod client;
mod compose;
mod exchange;
mod leases;
mod memory;
mod registration;
mod report;
mod supply;
#[cfg(test)]
mod tests;
pub mod wire;

use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use config::matcher::Mac;
use config::model::Dhcp6Settings;
use policy::facts::Supply;
use ring::hmac;

pub use client::Client;
pub use memory::Memory;
pub use report::{LeaseReport, Report};

/// All servers and relays of the link (RFC 8415 §7.1).
const ALL_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);

/// What a client is made of.
#[derive(Debug, Clone)]
pub struct Setup {
    /// What the profile wants.
    pub settings: Arc<Dhcp6Settings>,
    /// The link's name: zone of link-local upstreams.
    pub link: Arc<str>,
    /// By what servers know us.
    pub duid: Duid,
    /// By what servers tell this link from our others; the same each time.
    pub iaid: u32,
    /// Different for each link and each start.
    pub seed: u64,
    /// What [`Event::Keep`] said in this network before.
    pub remembered: Option<Remembered>,
}

/// A DHCP unique identifier (RFC 8415 §11): 3 to 130 octets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duid(Arc<[u8]>);

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

/// A datagram to send to port 547 from port 546 of the link's socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where to: `ff02::1:2`.
    pub to: Ipv6Addr,
    /// The source; `None` for the link-local address.
    pub from: Option<Ipv6Addr>,
    /// The message.
    pub octets: Vec<u8>,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// What servers supply, whole.
    Supplied(Box<Supply>),
    /// Nothing is supplied any more.
    Withdrawn,
    /// What to remember of this network.
    Keep(Box<Memory>),
    /// A release that was asked for is done: the client may be dropped.
    Released,
}

impl Duid {
    /// Makes one of 128 bits that are this machine's own (DUID-UUID, RFC 6355).
    pub fn from_uuid(uuid: [u8; 16]) -> Self {
        let mut octets = vec![0, 4];
        octets.extend(uuid);
        Self(octets.into())
    }

    /// Makes one of `/etc/machine-id`, which itself stays on the machine (`machine-id(5)` has it kept from the network).
    pub fn from_machine_id(machine_id: [u8; 16]) -> Self {
        let mut uuid = derive(&machine_id, b"linnet DUID-UUID");
        // RFC 9562 §5.8: a UUID of one's own making.
        uuid[6] = uuid[6] & 0x0f | 0x80;
        uuid[8] = uuid[8] & 0x3f | 0x80;
        Self::from_uuid(uuid)
    }

    /// Makes one that is another one each time.
    pub(crate) fn from_seed(seed: u64) -> Self {
        Self::from_machine_id((u128::from(seed) << 64 | u128::from(!seed)).to_be_bytes())
    }

    /// Makes one of a hardware address of six octets (DUID-LL, RFC 8415 §11.4).
    pub fn from_mac(Mac([a, b, c, d, e, f]): Mac) -> Self {
        Self(Arc::new([0, 3, 0, 1, a, b, c, d, e, f]))
    }

    /// Makes one of its octets; `None` when they are too few or too many.
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        (3..=130)
            .contains(&octets.len())
            .then(|| Self(octets.into()))
    }

    /// Returns the octets.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

/// Returns by what servers tell a link from our others: the same for the same name each time.
pub fn iaid(link: &str) -> u32 {
    let [a, b, c, d, ..] = derive(link.as_bytes(), b"linnet IAID");
    u32::from_be_bytes([a, b, c, d])
}

fn derive(from: &[u8], purpose: &[u8]) -> [u8; 16] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, from), purpose);
    tag.as_ref()
        .first_chunk()
        .copied()
        .expect("a tag has 32 octets")
}
