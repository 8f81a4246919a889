//! What does the kernel have to hear of keys and peers? Messages of the generic family `wireguard`.
//!
//! A link is set whole: its own settings and peers in one message, or in several when there are many peers, of which only the
//! first replaces what was there. Names of endpoints are resolved elsewhere: [`endpoints`] says which, and when again.

pub mod compare;
pub mod endpoints;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use config::model::{PeerSettings, Prefix, PublicKey, Secret};

use zeroize::Zeroize as _;

use super::Message;
use super::encode::of_address;
use super::generic::{self, Family};
use super::tlv::{self, NESTED};

/// The family's name.
pub const FAMILY: &str = "wireguard";

const GET_DEVICE: u8 = 0;
const SET_DEVICE: u8 = 1;
/// `NLM_F_ROOT | NLM_F_MATCH`.
const DUMP: u16 = 0x300;

// WGDEVICE_A_*
const IFINDEX: u16 = 1;
const PRIVATE_KEY: u16 = 3;
const FLAGS: u16 = 5;
const LISTEN_PORT: u16 = 6;
const FWMARK: u16 = 7;
const PEERS: u16 = 8;
const REPLACE_PEERS: u32 = 1;

// WGPEER_A_*
const PUBLIC_KEY: u16 = 1;
const PRESHARED_KEY: u16 = 2;
const PEER_FLAGS: u16 = 3;
const ENDPOINT: u16 = 4;
const KEEPALIVE: u16 = 5;
const LAST_HANDSHAKE: u16 = 6;
const RECEIVED: u16 = 7;
const SENT: u16 = 8;
const ALLOWED: u16 = 9;
const REMOVE_PEER: u32 = 1;
const REPLACE_ALLOWED: u32 = 2;
const UPDATE_ONLY: u32 = 4;

// WGALLOWEDIP_A_*
const ALLOWED_FAMILY: u16 = 1;
const ALLOWED_ADDRESS: u16 = 2;
const ALLOWED_LENGTH: u16 = 3;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// A message stays well below what a socket sends at once; the kernel takes up to 64 KiB in an attribute.
const MESSAGE: usize = 16 << 10;

/// A link of WireGuard with everything that is secret or was resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// This side's key.
    pub private_key: Secret,
    /// The port of UDP; 0 lets the kernel draw one.
    pub listen_port: u16,
    /// The mark of the tunnel's own packets.
    pub mark: u32,
    /// The peers.
    pub peers: BTreeMap<PublicKey, Peer>,
}

/// A peer as the kernel hears of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// A secret beside the keys.
    pub preshared_key: Option<Secret>,
    /// Where it is reached; `None` leaves it to the peer, or for later.
    pub endpoint: Option<SocketAddr>,
    /// How often an empty packet keeps the way open.
    pub keepalive: Duration,
    /// The networks that are behind it.
    pub allowed: Vec<Prefix>,
}

impl Peer {
    /// Takes what a profile says, with its secret and its endpoint as far as they are known.
    pub fn of(
        settings: &PeerSettings,
        preshared_key: Option<Secret>,
        endpoint: Option<SocketAddr>,
    ) -> Self {
        Self {
            preshared_key,
            endpoint,
            keepalive: settings.keepalive,
            allowed: settings.allowed.iter().copied().collect(),
        }
    }
}

/// Sets a link whole: peers that are not named are gone.
pub fn set_device(family: Family, index: u32, device: &Device) -> Vec<Message> {
    let mut own = Vec::with_capacity(OWN_OCTETS);
    tlv::put(&mut own, PRIVATE_KEY, &device.private_key.0);
    tlv::put(&mut own, LISTEN_PORT, &device.listen_port.to_ne_bytes());
    tlv::put_word(&mut own, FWMARK, device.mark);
    tlv::put_word(&mut own, FLAGS, REPLACE_PEERS);
    let messages = put_peers(family, index, &own, &device.peers);
    own.zeroize();
    messages
}

/// What a link's own settings take in a message, at most.
const OWN_OCTETS: usize = 64;

/// Says something of a link itself, and of some peers each whole; in several messages when there is much.
fn put_peers(
    family: Family,
    index: u32,
    own: &[u8],
    peers: &BTreeMap<PublicKey, Peer>,
) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut peers = peers.iter().peekable();
    // A peer of many networks goes on in the next message.
    let mut rest: &[Prefix] = &[];
    let mut unfinished: Option<(&PublicKey, &Peer)> = None;
    let mut is_first = true;
    while is_first || unfinished.is_some() || peers.peek().is_some() {
        let mut bytes = Vec::new();
        tlv::put_word(&mut bytes, IFINDEX, index);
        if is_first {
            bytes.extend(own);
        }
        let mut listed = Vec::new();
        let mut at = 0_u16;
        while listed.len() < MESSAGE {
            let (key, peer, is_more) = if let Some((key, peer)) = unfinished.take() {
                (key, peer, true)
            } else if let Some((key, peer)) = peers.next() {
                rest = &peer.allowed;
                (key, peer, false)
            } else {
                break;
            };
            let room = (MESSAGE - listed.len().min(MESSAGE)) / ALLOWED_OCTETS + 1;
            let (now, later) = rest.split_at(room.min(rest.len()));
            tlv::put_nested(&mut listed, at | NESTED, |bytes| {
                put_peer(bytes, *key, peer, now, is_more);
            });
            at = at.saturating_add(1);
            rest = later;
            if !later.is_empty() {
                unfinished = Some((key, peer));
            }
        }
        if !listed.is_empty() {
            tlv::put(&mut bytes, PEERS | NESTED, &listed);
        }
        messages.push(generic::message(family, SET_DEVICE, 0, &bytes));
        bytes.zeroize();
        listed.zeroize();
        is_first = false;
    }
    messages
}

/// The most that a network takes in a message.
const ALLOWED_OCTETS: usize = 44;

fn put_peer(bytes: &mut Vec<u8>, key: PublicKey, peer: &Peer, allowed: &[Prefix], is_more: bool) {
    tlv::put(bytes, PUBLIC_KEY, &key.0);
    if !is_more {
        tlv::put_word(bytes, PEER_FLAGS, REPLACE_ALLOWED);
        // All zeros take a secret of before away.
        let preshared = peer.preshared_key.as_ref().map_or(&[0; 32], |key| &key.0);
        tlv::put(bytes, PRESHARED_KEY, preshared);
        if let Some(endpoint) = peer.endpoint {
            tlv::put(bytes, ENDPOINT, &of_endpoint(endpoint));
        }
        let seconds = u16::try_from(peer.keepalive.as_secs()).unwrap_or(u16::MAX);
        tlv::put(bytes, KEEPALIVE, &seconds.to_ne_bytes());
    }
    if allowed.is_empty() {
        return;
    }
    tlv::put_nested(bytes, ALLOWED | NESTED, |bytes| {
        for (at, prefix) in (0_u16..).zip(allowed) {
            tlv::put_nested(bytes, at | NESTED, |bytes| {
                let family = if prefix.address.is_ipv4() {
                    AF_INET
                } else {
                    AF_INET6
                };
                tlv::put(bytes, ALLOWED_FAMILY, &family.to_ne_bytes());
                tlv::put(bytes, ALLOWED_ADDRESS, &of_address(prefix.address));
                tlv::put(bytes, ALLOWED_LENGTH, &[prefix.length]);
            });
        }
    });
}

/// Tells one peer's endpoint, and nothing else; a peer that is gone meanwhile stays so.
pub fn set_endpoint(family: Family, index: u32, key: PublicKey, endpoint: SocketAddr) -> Message {
    one_peer(family, index, |bytes| {
        tlv::put(bytes, PUBLIC_KEY, &key.0);
        tlv::put_word(bytes, PEER_FLAGS, UPDATE_ONLY);
        tlv::put(bytes, ENDPOINT, &of_endpoint(endpoint));
    })
}

/// Takes a peer away.
pub fn remove_peer(family: Family, index: u32, key: PublicKey) -> Message {
    one_peer(family, index, |bytes| {
        tlv::put(bytes, PUBLIC_KEY, &key.0);
        tlv::put_word(bytes, PEER_FLAGS, REMOVE_PEER);
    })
}

fn one_peer(family: Family, index: u32, peer: impl FnOnce(&mut Vec<u8>)) -> Message {
    let mut bytes = Vec::new();
    tlv::put_word(&mut bytes, IFINDEX, index);
    tlv::put_nested(&mut bytes, PEERS | NESTED, |bytes| {
        tlv::put_nested(bytes, NESTED, peer);
    });
    generic::message(family, SET_DEVICE, 0, &bytes)
}

/// `struct sockaddr_in` or `struct sockaddr_in6`.
fn of_endpoint(endpoint: SocketAddr) -> Vec<u8> {
    let mut octets = Vec::new();
    match endpoint {
        SocketAddr::V4(v4) => {
            octets.extend(AF_INET.to_ne_bytes());
            octets.extend(v4.port().to_be_bytes());
            octets.extend(v4.ip().octets());
            octets.extend([0; 8]);
        }
        SocketAddr::V6(v6) => {
            octets.extend(AF_INET6.to_ne_bytes());
            octets.extend(v6.port().to_be_bytes());
            octets.extend(v6.flowinfo().to_be_bytes());
            octets.extend(v6.ip().octets());
            octets.extend(v6.scope_id().to_ne_bytes());
        }
    }
    octets
}

/// Asks for a link's settings and peers.
pub fn get_device(family: Family, index: u32) -> Message {
    let mut bytes = Vec::new();
    tlv::put_word(&mut bytes, IFINDEX, index);
    generic::message(family, GET_DEVICE, DUMP, &bytes)
}

/// What the kernel tells of a peer; no secrets are read.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct PeerReading {
    /// Where it was last heard from, or is sent to.
    pub endpoint: Option<SocketAddr>,
    /// When its keys were last agreed on, since 1970; zero for never.
    pub last_handshake: Duration,
    /// Octets received from it.
    pub received: u64,
    /// Octets sent to it.
    pub sent: u64,
    /// Its keepalive interval.
    pub keepalive: Duration,
    /// The networks that are behind it.
    pub allowed: Vec<Prefix>,
}

impl fmt::Debug for PeerReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerReading")
            .field("endpoint", &self.endpoint)
            .field("last_handshake", &self.last_handshake)
            .field("allowed", &self.allowed)
            .finish_non_exhaustive()
    }
}

/// Reads the answers to [`get_device`]; a peer with many networks is spread over several.
pub fn peers_of(answers: &[Message]) -> BTreeMap<PublicKey, PeerReading> {
    let mut readings: BTreeMap<PublicKey, PeerReading> = BTreeMap::new();
    for answer in answers {
        let attributes = answer.body.get(generic::HEADER..).unwrap_or_default();
        let listed = tlv::find(attributes, PEERS).unwrap_or_default();
        for (_, peer) in tlv::attributes(listed) {
            let Some(key) = tlv::find(peer, PUBLIC_KEY).and_then(|key| key.try_into().ok()) else {
                continue;
            };
            read_peer(peer, readings.entry(PublicKey(key)).or_default());
        }
    }
    readings
}

fn read_peer(peer: &[u8], reading: &mut PeerReading) {
    let number = |octets: &[u8]| octets.get(..8)?.try_into().ok().map(u64::from_ne_bytes);
    for (kind, value) in tlv::attributes(peer) {
        match kind {
            ENDPOINT => reading.endpoint = endpoint_of(value),
            KEEPALIVE => {
                let seconds = tlv::half(value, 0).unwrap_or_default();
                reading.keepalive = Duration::from_secs(seconds.into());
            }
            LAST_HANDSHAKE => {
                let seconds = number(value).unwrap_or_default();
                reading.last_handshake = Duration::from_secs(seconds);
            }
            RECEIVED => reading.received = number(value).unwrap_or_default(),
            SENT => reading.sent = number(value).unwrap_or_default(),
            ALLOWED => {
                let prefixes = tlv::attributes(value).filter_map(|(_, one)| allowed_of(one));
                reading.allowed.extend(prefixes);
            }
            _ => {}
        }
    }
}

fn allowed_of(octets: &[u8]) -> Option<Prefix> {
    let address = tlv::find(octets, ALLOWED_ADDRESS)?;
    let address = if let Ok(v4) = <[u8; 4]>::try_from(address) {
        IpAddr::V4(Ipv4Addr::from(v4))
    } else {
        IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?))
    };
    let length = *tlv::find(octets, ALLOWED_LENGTH)?.first()?;
    Some(Prefix { address, length })
}

fn endpoint_of(octets: &[u8]) -> Option<SocketAddr> {
    let family = tlv::half(octets, 0)?;
    let port = u16::from_be_bytes(octets.get(2..4)?.try_into().ok()?);
    match family {
        AF_INET => {
            let v4: [u8; 4] = octets.get(4..8)?.try_into().ok()?;
            Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(v4)), port))
        }
        AF_INET6 => {
            let v6: [u8; 16] = octets.get(8..24)?.try_into().ok()?;
            Some(SocketAddr::new(IpAddr::V6(Ipv6Addr::from(v6)), port))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
