//! Are keys trusted when they may be, over simulated years?
//!
//! Here are the zone and the resolver; the rules are in `machine`, whole rolls in `rolls`, the text form in `saved`.

mod machine;
mod rolls;
mod saved;
mod walk;

use hickory_proto::dnssec::rdata::DNSKEY;
use hickory_proto::dnssec::{Algorithm, PublicKeyBuf};
use hickory_proto::rr::Name;

use super::*;
use crate::anchors::tests::{KSK_2010, KSK_2017, KSK_2024, name, root_key, with_flags};
use crate::anchors::{Anchor, key_tag};

/// 2017-01-01.
const START: u64 = 1_483_228_800;
const TTL: u32 = 172_800;
/// How long a signature still holds when it is fetched, at the root.
const SIGNED_FOR: u64 = 15 * DAY;

/// A key with any bytes, SEP and zone bit set.
fn key(seed: u8) -> DNSKEY {
    DNSKEY::with_flags(257, PublicKeyBuf::new(vec![seed; 32], Algorithm::ED25519))
}

fn zsk() -> SeenKey {
    SeenKey {
        key: with_flags(&key(200), 256),
        signs: false,
    }
}

fn signs(key: &DNSKEY) -> SeenKey {
    SeenKey {
        key: key.clone(),
        signs: true,
    }
}

fn idle(key: &DNSKEY) -> SeenKey {
    SeenKey {
        key: key.clone(),
        signs: false,
    }
}

/// The key revoked, and signing so itself.
fn revoked(key: &DNSKEY) -> SeenKey {
    SeenKey {
        key: with_flags(key, 257 | 0x80),
        signs: true,
    }
}

/// An RRset with these keys and a zone-signing key, seen at `now`.
fn rrset(keys: impl IntoIterator<Item = SeenKey>, now: u64) -> Observation {
    Observation {
        keys: keys.into_iter().chain([zsk()]).collect(),
        original_ttl: TTL,
        signatures_expire_at: now + SIGNED_FOR,
    }
}

fn point(keys: &[&DNSKEY]) -> TrustPoint {
    let anchors = keys.iter().map(|&key| Anchor::Key(key.clone()));
    TrustPoint::new(&name("corp.test"), anchors.collect())
}

/// Tags of the trusted keys, sorted.
fn trusted(point: &TrustPoint) -> Vec<u16> {
    let mut tags: Vec<u16> = point.trusted().iter().map(Anchor::key_tag).collect();
    tags.sort_unstable();
    tags
}

fn tags(keys: &[&DNSKEY]) -> Vec<u16> {
    let mut tags: Vec<u16> = keys.iter().map(|&key| key_tag(key)).collect();
    tags.sort_unstable();
    tags
}

fn state(point: &TrustPoint, key: &DNSKEY) -> KeyState {
    let tracked = point.keys().iter().find(|tracked| tracked.key == *key);
    tracked.map_or(KeyState::Start, |tracked| tracked.state)
}

/// Observes and says only whether the RRset was vouched for.
fn see(point: &mut TrustPoint, keys: impl IntoIterator<Item = SeenKey>, now: u64) -> bool {
    let observed = point.observe(&rrset(keys, now), now);
    assert_eq!(observed.is_deleted, point.is_deleted());
    observed.is_authenticated
}
