//! Which keys are trusted without proof, and below which names does validation not happen at all?
//!
//! [`TrustAnchors`] holds positive anchors (DS and DNSKEY form) and negative ones (RFC 7646) by owner and answers with the
//! longest match. [`parse_anchors`] reads anchor files; [`rollover`] follows the keys through RFC 5011. Nothing here
//! verifies a signature, reads a file or a clock.

mod base64;
pub mod negative;
pub mod read;
pub mod rollover;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use hickory_proto::dnssec::rdata::{DNSKEY, DS};
use hickory_proto::dnssec::{Algorithm, DigestType, PublicKey as _};
use hickory_proto::rr::{LowerName, Name};

pub use negative::{NegativeAnchor, NegativeError};
pub use read::{Diagnostic, ParsedAnchors, Problem, parse_anchors};

/// The root's keys as IANA publishes them: key tag and SHA-256 digest, all RSASHA256 (RFC 7958).
const ROOT_KEYS: [(u16, [u8; 32]); 2] = [
    // KSK-2017, signs the root until 2026-10-11.
    (
        20326,
        [
            0xe0, 0x6d, 0x44, 0xb8, 0x0b, 0x8f, 0x1d, 0x39, 0xa9, 0x5c, 0x0b, 0x0d, 0x7c, 0x65,
            0xd0, 0x84, 0x58, 0xe8, 0x80, 0x40, 0x9b, 0xbc, 0x68, 0x34, 0x57, 0x10, 0x42, 0x37,
            0xc7, 0xf8, 0xec, 0x8d,
        ],
    ),
    // KSK-2024, signs the root from 2026-10-11.
    (
        38696,
        [
            0x68, 0x3d, 0x2d, 0x0a, 0xcb, 0x8c, 0x9b, 0x71, 0x2a, 0x19, 0x48, 0xb2, 0x7f, 0x74,
            0x12, 0x19, 0x29, 0x8d, 0x0a, 0x45, 0x0d, 0x61, 0x2c, 0x48, 0x3a, 0xf4, 0x44, 0xa4,
            0xc0, 0xfb, 0x2b, 0x16,
        ],
    ),
];

/// One key that is trusted, as itself or by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anchor {
    /// The digest of a key.
    Ds(DS),
    /// The key.
    Key(DNSKEY),
}

impl Anchor {
    /// Whether `key` of the zone `owner` is the one this anchor means.
    ///
    /// A revoked key is never meant (RFC 5011 §2.1), nor is one that may not sign zones (RFC 4034 §2.1.1).
    pub fn matches(&self, owner: &Name, key: &DNSKEY) -> bool {
        if key.revoke() || !key.zone_key() {
            return false;
        }
        match self {
            Self::Key(own) => is_same_key(own, key),
            Self::Ds(ds) => {
                ds.algorithm() == key.public_key().algorithm()
                    && key_tag(key) == ds.key_tag()
                    && ds.covers(owner, key).unwrap_or(false)
            }
        }
    }

    /// Returns the key tag (RFC 4034 appendix B).
    pub fn key_tag(&self) -> u16 {
        match self {
            Self::Ds(ds) => ds.key_tag(),
            Self::Key(key) => key_tag(key),
        }
    }

    /// Returns the algorithm of the key.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ds(ds) => ds.algorithm(),
            Self::Key(key) => key.public_key().algorithm(),
        }
    }
}

/// What covers a name most closely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match<'a> {
    /// Keys of an enclosing zone are trusted: validation starts there.
    Positive {
        /// The zone the keys belong to.
        owner: &'a Name,
        /// Its anchors, at least one.
        anchors: &'a [Anchor],
    },
    /// Somebody switched validation off here: the name is insecure (RFC 7646).
    Negative(&'a NegativeAnchor),
}

/// All anchors in force, by owner.
///
/// - made by [`built_in`](Self::built_in) or [`empty`](Self::empty) and [`add`](Self::add)
/// - changed by [`set_point`](Self::set_point) (the outcome of RFC 5011), [`add_negative`](Self::add_negative),
///   [`remove_negative`](Self::remove_negative), [`drop_expired`](Self::drop_expired)
/// - asked with [`deepest`](Self::deepest)
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustAnchors {
    anchors_by_owner: BTreeMap<LowerName, Vec<Anchor>>,
    negative_by_name: BTreeMap<LowerName, NegativeAnchor>,
}

impl TrustAnchors {
    /// Returns no anchors: every name is indeterminate.
    pub const fn empty() -> Self {
        Self {
            anchors_by_owner: BTreeMap::new(),
            negative_by_name: BTreeMap::new(),
        }
    }

    /// Returns the root's anchors 20326 and 38696.
    pub fn built_in() -> Self {
        let mut anchors = Self::empty();
        for (tag, digest) in ROOT_KEYS {
            let ds = DS::new(
                tag,
                Algorithm::RSASHA256,
                DigestType::SHA256,
                digest.to_vec(),
            );
            anchors.add(&Name::root(), Anchor::Ds(ds));
        }
        anchors
    }

    /// Adds one anchor; one that is there already changes nothing.
    pub fn add(&mut self, owner: &Name, anchor: Anchor) {
        let anchors = self.anchors_by_owner.entry(absolute(owner)).or_default();
        if !anchors.contains(&anchor) {
            anchors.push(anchor);
        }
    }

    /// Replaces all anchors of `owner`; none deletes the trust point (RFC 5011 §5).
    pub fn set_point(&mut self, owner: &Name, anchors: Vec<Anchor>) {
        let owner = absolute(owner);
        if anchors.is_empty() {
            self.anchors_by_owner.remove(&owner);
        } else {
            self.anchors_by_owner.insert(owner, anchors);
        }
    }

    /// Adds a negative anchor, in place of one at the same name.
    ///
    /// What was cached at and below the name is to be dropped, here and when the anchor goes (RFC 7646).
    pub fn add_negative(&mut self, anchor: NegativeAnchor) {
        self.negative_by_name
            .insert(absolute(anchor.name()), anchor);
    }

    /// Removes the negative anchor at exactly `name` and returns it.
    pub fn remove_negative(&mut self, name: &Name) -> Option<NegativeAnchor> {
        self.negative_by_name.remove(&absolute(name))
    }

    /// Removes the negative anchors that hold no longer at `now` and returns them.
    ///
    /// What was cached below them is to be dropped with them.
    pub fn drop_expired(&mut self, now: u64) -> Vec<NegativeAnchor> {
        self.negative_by_name
            .extract_if(.., |_, anchor| !anchor.holds(now))
            .map(|(_, anchor)| anchor)
            .collect()
    }

    /// Returns the positive trust points, by owner.
    pub fn points(&self) -> impl Iterator<Item = (&Name, &[Anchor])> {
        self.anchors_by_owner
            .iter()
            .map(|(owner, anchors)| (&**owner, anchors.as_slice()))
    }

    /// Returns the negative anchors by name, expired ones too.
    pub fn negatives(&self) -> impl Iterator<Item = &NegativeAnchor> {
        self.negative_by_name.values()
    }

    /// Returns when the next negative anchor ends, in Unix seconds.
    pub fn next_expiry(&self) -> Option<u64> {
        self.negatives().map(NegativeAnchor::expires_at).min()
    }

    /// Returns the anchor that covers `name` most closely at `now`, in Unix seconds.
    ///
    /// The longest match counts, and at the same name a negative anchor goes before a positive one (RFC 7646). `None`
    /// means that nothing says how to validate the name: indeterminate (RFC 4035 §4.3). DS records belong to the parent
    /// (RFC 4035 §3.1.4.1): for them the caller asks with the parent's name.
    pub fn deepest(&self, name: &Name, now: u64) -> Option<Match<'_>> {
        let mut at = absolute(name);
        loop {
            if let Some(anchor) = self
                .negative_by_name
                .get(&at)
                .filter(|anchor| anchor.holds(now))
            {
                return Some(Match::Negative(anchor));
            }
            if let Some((owner, anchors)) = self.anchors_by_owner.get_key_value(&at) {
                return Some(Match::Positive { owner, anchors });
            }
            at.iter().next()?;
            at = absolute(&at.base_name());
        }
    }
}

/// Returns the key tag (RFC 4034 appendix B); it changes when a key is revoked.
pub fn key_tag(key: &DNSKEY) -> u16 {
    // Emitting a key into memory fails for one above 64 KiB only, which no message carries.
    key.calculate_key_tag().unwrap_or(0)
}

/// Whether both are the same key, whatever their flags say.
fn is_same_key(one: &DNSKEY, other: &DNSKEY) -> bool {
    let (one, other) = (one.public_key(), other.public_key());
    one.algorithm() == other.algorithm() && one.public_bytes() == other.public_bytes()
}

/// Names differ by their final dot for hickory, never for us.
fn absolute(name: &Name) -> LowerName {
    let mut name = name.to_lowercase();
    name.set_fqdn(true);
    LowerName::from(name)
}
