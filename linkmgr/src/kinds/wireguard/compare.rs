//! What has to be said so that a link is as its profile wants it? [`differences`], from what the kernel tells: nothing, when it is
//! so already.
//!
//! Peers that somebody else has added stay, and a peer that has moved by itself is not called back: the kernel follows whoever has
//! the right key.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use config::model::{Prefix, PublicKey, Secret};

use super::{
    Device, FWMARK, LISTEN_PORT, PEERS, PRESHARED_KEY, PRIVATE_KEY, PUBLIC_KEY, Peer, PeerReading,
    peers_of, put_peers, remove_peer, set_device,
};
use crate::kinds::Message;
use crate::kinds::generic::{self, Family};
use crate::kinds::tlv;

/// Without a handshake for so long a peer is not where the kernel has it (`REJECT_AFTER_TIME`).
const LOST_AFTER: Duration = Duration::from_secs(180);

/// What the kernel tells of a link, secrets and all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    private_key: Option<Secret>,
    listen_port: u16,
    mark: u32,
    preshared: BTreeMap<PublicKey, Secret>,
    /// What it tells of the peers.
    pub peers: BTreeMap<PublicKey, PeerReading>,
}

impl Reading {
    /// Reads the answers to [`super::get_device`].
    pub fn of(answers: &[Message]) -> Self {
        let mut reading = Self {
            peers: peers_of(answers),
            ..Self::default()
        };
        for answer in answers {
            let attributes = answer.body.get(generic::HEADER..).unwrap_or_default();
            for (kind, value) in tlv::attributes(attributes) {
                match kind {
                    PRIVATE_KEY => reading.private_key = secret(value),
                    LISTEN_PORT => reading.listen_port = tlv::half(value, 0).unwrap_or_default(),
                    FWMARK => reading.mark = tlv::word(value, 0).unwrap_or_default(),
                    PEERS => reading.read_preshared(value),
                    _ => {}
                }
            }
        }
        reading
    }

    fn read_preshared(&mut self, listed: &[u8]) {
        for (_, peer) in tlv::attributes(listed) {
            let key = tlv::find(peer, PUBLIC_KEY).and_then(|key| key.try_into().ok());
            let preshared = tlv::find(peer, PRESHARED_KEY).and_then(secret);
            if let (Some(key), Some(preshared)) = (key, preshared) {
                self.preshared.insert(PublicKey(key), preshared);
            }
        }
    }

    /// Whether nothing was ever set.
    fn is_blank(&self) -> bool {
        self.private_key.is_none() && self.peers.is_empty()
    }
}

/// All zeros stand for none.
fn secret(octets: &[u8]) -> Option<Secret> {
    let octets: [u8; 32] = octets.try_into().ok()?;
    (octets != [0; 32]).then_some(Secret(octets))
}

/// What is known besides of a link that is compared.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The peers that we added.
    pub ours: &'a BTreeSet<PublicKey>,
    /// Endpoints that we told.
    pub told: &'a BTreeMap<PublicKey, SocketAddr>,
    /// The time that the kernel counts handshakes by.
    pub wall: Duration,
}

/// Returns what has to be said, in order.
pub fn differences(
    family: Family,
    index: u32,
    wanted: &Device,
    held: &Reading,
    known: Known<'_>,
) -> Vec<Message> {
    if held.is_blank() {
        return set_device(family, index, wanted);
    }
    let mut messages: Vec<Message> = known
        .ours
        .iter()
        .filter(|key| held.peers.contains_key(key) && !wanted.peers.contains_key(key))
        .map(|key| remove_peer(family, index, *key))
        .collect();
    let mut own = Vec::new();
    if held.private_key.as_ref() != Some(&wanted.private_key) {
        tlv::put(&mut own, PRIVATE_KEY, &wanted.private_key.0);
    }
    if wanted.listen_port != 0 && held.listen_port != wanted.listen_port {
        tlv::put(&mut own, LISTEN_PORT, &wanted.listen_port.to_ne_bytes());
    }
    if held.mark != wanted.mark {
        tlv::put_word(&mut own, FWMARK, wanted.mark);
    }
    let changed = wanted
        .peers
        .iter()
        .filter_map(|(key, peer)| Some((*key, change(*key, peer, held, known)?)));
    let changed: BTreeMap<PublicKey, Peer> = changed.collect();
    if !own.is_empty() || !changed.is_empty() {
        messages.extend(put_peers(family, index, &own, &changed));
    }
    messages
}

/// Returns what is to be told of a peer, when that is anything.
fn change(key: PublicKey, wanted: &Peer, held: &Reading, known: Known<'_>) -> Option<Peer> {
    let Some(reading) = held.peers.get(&key) else {
        return Some(wanted.clone());
    };
    let allowed = |prefixes: &[Prefix]| prefixes.iter().copied().collect::<BTreeSet<Prefix>>();
    let is_same = held.preshared.get(&key) == wanted.preshared_key.as_ref()
        && reading.keepalive == wanted.keepalive
        && allowed(&reading.allowed) == allowed(&wanted.allowed);
    let endpoint = wanted.endpoint.filter(|endpoint| {
        let is_lost = known.wall.saturating_sub(reading.last_handshake) > LOST_AFTER;
        let is_news = known
            .told
            .get(&key)
            .map_or(is_lost, |told| told != endpoint);
        reading.endpoint != Some(*endpoint) && (is_news || reading.endpoint.is_none())
    });
    (!is_same || endpoint.is_some()).then(|| Peer {
        endpoint,
        ..wanted.clone()
    })
}

#[cfg(test)]
mod tests;
