//! Which keys does a trust point publish, and which of them sign? Reads one reply for [`rollover`](crate::anchors::rollover);
//! what follows from it is decided there.

use hickory_proto::dnssec::rdata::DNSKEY;
use hickory_proto::dnssec::{Algorithm, PublicKeyBuf};

use crate::anchors::rollover::{Observation, SeenKey};
use crate::budget::{KEYS_PER_TAG, SIGS_PER_SET};
use crate::crypto::{Algorithms, signed_data, verify};
use crate::name::Name;
use crate::record::{Key, Sig, rtype};
use crate::rrset::{find, sets};
use crate::validator::Reply;

/// The most keys of one RRset that are looked at: signatures of so many have room in a message.
const KEYS_MAX: usize = 32;

/// Reads the DNSKEY RRset of `owner` out of a reply, at `now` in Unix seconds; `None` when it has none.
///
/// Every key is tried with its own signature, revoked ones too: they vouch for their revocation (RFC 5011 §2.1).
pub fn observe_keys(
    owner: &Name,
    reply: &Reply,
    algorithms: Algorithms,
    now: u64,
) -> Option<Observation> {
    let answers = sets(&reply.answers);
    let set = find(&answers, owner, rtype::DNSKEY)?;
    let keys: Vec<Key> = set
        .rdatas
        .iter()
        .filter_map(|rdata| Key::read(rdata))
        .filter(|key| key.is_of_zone() && key.protocol == 3)
        .take(KEYS_MAX)
        .collect();
    let mut signs = vec![false; keys.len()];
    let mut observation = Observation {
        signatures_expire_at: u64::MAX,
        ..Observation::default()
    };
    let current = |sig: &&Sig| sig.signer == *owner && until(sig, now).is_some();
    for sig in set.sigs.iter().filter(current).take(SIGS_PER_SET) {
        let (Some(data), true) = (signed_data(set, sig), algorithms.can_verify(sig.algorithm))
        else {
            continue;
        };
        let fitting =
            |(_, key): &(usize, &Key)| key.tag == sig.key_tag && key.algorithm == sig.algorithm;
        for (at, key) in keys.iter().enumerate().filter(fitting).take(KEYS_PER_TAG) {
            let fits = verify(key, &data, &sig.signature);
            if let (true, Some(found), Some(until)) = (fits, signs.get_mut(at), until(sig, now)) {
                *found = true;
                observation.original_ttl = sig.original_ttl;
                observation.signatures_expire_at = observation.signatures_expire_at.min(until);
            }
        }
    }
    if !signs.contains(&true) {
        observation.signatures_expire_at = now;
    }
    let seen = |(key, signs): (Key, bool)| {
        let public = PublicKeyBuf::new(key.public, Algorithm::from_u8(key.algorithm));
        SeenKey {
            key: DNSKEY::with_flags(key.flags, public),
            signs,
        }
    };
    observation.keys = keys.into_iter().zip(signs).map(seen).collect();
    Some(observation)
}

/// Returns when a signature ends, if `now` is within its dates (RFC 4034 §3.1.5, serial numbers).
fn until(sig: &Sig, now: u64) -> Option<u64> {
    let short = u32::try_from(now & u64::from(u32::MAX)).ok()?;
    let since = short.wrapping_sub(sig.inception).cast_signed();
    let left = sig.expiration.wrapping_sub(short).cast_signed();
    (since >= 0).then_some(now + u64::try_from(left).ok()?)
}
