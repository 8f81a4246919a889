//! What does a DHCPv6 server supply to a link? [`Client`]: RFC 8415 messages in and out, a [`Supply`] out.
//!
//! Nothing here opens a socket, reads a clock or writes to the kernel.

use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use config::model::Dhcp6Settings;
use config::time::Instant;
use policy::facts::Supply;
use ring::hmac;

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
    /// The host name to send (option 39); `None` sends none.
    pub hostname: Option<Arc<str>>,
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
}

/// What outlives the client: JSON, for the state directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Memory {}

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

/// The DHCPv6 client of one link.
///
/// Inputs: [`Client::handle_link_local`], [`Client::handle_advertised`], [`Client::handle_packet`],
/// [`Client::handle_dad_failed`], [`Client::handle_addresses`], [`Client::handle_reattach`], [`Client::handle_release`],
/// [`Client::handle_timeout`]. After each, ask [`Client::poll_transmit`] and [`Client::poll_event`] until they are empty,
/// then [`Client::poll_timeout`].
#[derive(Debug)]
pub struct Client {}

#[expect(
    clippy::needless_pass_by_ref_mut,
    reason = "how the client is driven comes before what it does"
)]
impl Client {
    /// Begins; nothing is sent before there is a link-local address, and a reason.
    pub fn new(_setup: Setup, _now: Instant) -> Self {
        Self {}
    }

    /// Takes the link's own link-local address, or that there is none that is usable.
    pub fn handle_link_local(&mut self, _address: Option<Ipv6Addr>, _now: Instant) {}

    /// Takes what routers say ([`crate::ra::Event::Dhcp6`]).
    pub fn handle_advertised(&mut self, _flags: crate::ra::Dhcp6Flags, _now: Instant) {}

    /// Takes a datagram that came to port 546; what is not for us is passed over.
    pub fn handle_packet(&mut self, _octets: &[u8], _from: Ipv6Addr, _now: Instant) {}

    /// Takes that a supplied address is somebody else's (`IFA_F_DADFAILED`): it is declined.
    pub fn handle_dad_failed(&mut self, _address: Ipv6Addr, _now: Instant) {}

    /// Takes the usable addresses that the link has from router advertisements: they are registered when the network wants
    /// that (RFC 9686).
    pub fn handle_addresses(&mut self, _addresses: &[Ipv6Addr], _now: Instant) {}

    /// Takes that the carrier is back, or that the machine was asleep: leases stay, and are confirmed.
    pub fn handle_reattach(&mut self, _now: Instant) {}

    /// Takes that leases are to be given back. Nothing is supplied from then.
    pub fn handle_release(&mut self, _now: Instant) {}

    /// Takes that time has passed.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// Returns the next datagram to send.
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

    /// Returns state and leases, for `linnet status`.
    pub fn report(&self, _now: Instant) -> Report {
        Report::default()
    }
}

/// State and leases.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {}

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
