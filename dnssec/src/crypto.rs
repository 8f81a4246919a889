//! Does a signature fit, does a digest, and what is a name's hash? The library computes; what is put together here is what
//! RFC 4034 says is signed.

use hickory_proto::dnssec::crypto::Digest;
use hickory_proto::dnssec::{Algorithm, DigestType, PublicKey as _, PublicKeyBuf};

use crate::name::Name;
use crate::record::{Ds, Key, Sig, canonical};
use crate::rrset::Set;

/// Which algorithms count (RFC 8624 §3.1, §3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Algorithms {
    /// Whether RSASHA1 (5), RSASHA1-NSEC3-SHA1 (7) and DS by SHA-1 count; without, such zones are insecure.
    pub sha1: bool,
}

impl Default for Algorithms {
    fn default() -> Self {
        Self { sha1: true }
    }
}

impl Algorithms {
    /// Whether signatures of an algorithm can be checked.
    pub(crate) fn can_verify(self, algorithm: u8) -> bool {
        match algorithm {
            5 | 7 => self.sha1,
            8 | 10 | 13 | 14 | 15 => true,
            _ => false,
        }
    }

    /// Whether digests of a type can be checked.
    pub(crate) fn can_digest(self, digest_type: u8) -> bool {
        match digest_type {
            1 => self.sha1,
            2 | 4 => true,
            _ => false,
        }
    }
}

/// Returns what a signature is made over (RFC 4034 §3.1.8.1).
pub(crate) fn signed_data(set: &Set, sig: &Sig) -> Option<Vec<u8>> {
    let count = set.name.count();
    let owner = match sig.labels < set.name.signed_count() {
        true => set.name.suffix(sig.labels).wildcard()?,
        false if sig.labels > count => return None,
        false => set.name.clone(),
    };
    let mut rdatas: Vec<Vec<u8>> = set
        .rdatas
        .iter()
        .map(|rdata| canonical(set.record_type, rdata))
        .collect();
    rdatas.sort_unstable();
    rdatas.dedup();
    let mut data = sig.head.clone();
    for rdata in rdatas {
        data.extend_from_slice(owner.as_wire());
        data.extend_from_slice(&set.record_type.to_be_bytes());
        data.extend_from_slice(&set.class.to_be_bytes());
        data.extend_from_slice(&sig.original_ttl.to_be_bytes());
        data.extend_from_slice(&u16::try_from(rdata.len()).ok()?.to_be_bytes());
        data.extend_from_slice(&rdata);
    }
    Some(data)
}

/// Whether a signature over `data` is by `key`.
pub(crate) fn verify(key: &Key, data: &[u8], signature: &[u8]) -> bool {
    let public = PublicKeyBuf::new(key.public.clone(), Algorithm::from_u8(key.algorithm));
    public.verify(data, signature).is_ok()
}

/// Whether a DS is of a key (RFC 4034 §5.1.4).
pub(crate) fn digests(ds: &Ds, owner: &Name, key: &Key) -> bool {
    let parts = [owner.as_wire(), &key.rdata];
    Digest::from_iter(parts, DigestType::from(ds.digest_type))
        .is_ok_and(|digest| digest.as_ref() == ds.digest)
}

/// Hashes a name (RFC 5155 §5).
pub(crate) fn nsec3_hash(name: &Name, salt: &[u8], iterations: u16) -> Vec<u8> {
    Digest::iterated(salt, name.as_wire(), DigestType::SHA1, iterations)
        .map(|digest| digest.as_ref().to_vec())
        .unwrap_or_default()
}
