//! What does judging one reply still have to compute, and what was computed already?
//!
//! Every expensive thing passes by here: it is paid for by the budget, it is done once however often the judgement starts over,
//! and it is done in slices, so that whoever drives many judgements can let others have their turn ([`Stop::Pause`]).

use std::collections::BTreeMap;

use crate::budget::{Budget, SIGNATURE, Spent, spend};
use crate::crypto::{digests, nsec3_hash, verify};
use crate::name::Name;
use crate::record::{Ds, Key};

/// What a signature that does not fit takes of a slice: no ordinary zone has one, so that the first of them ends it.
const UNFIT: u32 = 4 * SIGNATURE;
/// What a block of hashing takes of a slice: ordinary zones need a dozen, hostile ones hundreds.
const BLOCK: u32 = 2;

/// Octets of a SHA-1 hash, of a block, and of what ends one at least.
const HASH: usize = 20;
const SHA1_BLOCK: usize = 64;
const PADDING: usize = 9;

/// Why nothing more is computed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It costs more than is left.
    Spent,
    /// The slice is used up; the rest comes with the next.
    Pause,
}

impl From<Spent> for Stop {
    fn from(_: Spent) -> Self {
        Self::Spent
    }
}

/// The computing for one reply.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) left: Budget,
    /// What this slice may still take, in blocks of SHA-1.
    slice: u32,
    /// Whether signatures fit, by all that they were checked over.
    fits: BTreeMap<Vec<u8>, bool>,
    hash_by_name: BTreeMap<(Name, Vec<u8>, u16), Vec<u8>>,
    /// Whether a DS is of a key, by both.
    is_of_key: BTreeMap<(Vec<u8>, Vec<u8>), bool>,
}

impl Work {
    pub(crate) const fn new(left: Budget) -> Self {
        Self {
            left,
            slice: 0,
            fits: BTreeMap::new(),
            hash_by_name: BTreeMap::new(),
            is_of_key: BTreeMap::new(),
        }
    }

    /// Begins another slice.
    pub(crate) const fn begin_slice(&mut self, size: u32) {
        self.slice = size;
    }

    /// Whatever is left of a slice suffices for one thing more, so that every slice comes further.
    fn take(&mut self, cost: u32) -> Result<(), Stop> {
        if self.slice == 0 {
            return Err(Stop::Pause);
        }
        self.slice = self.slice.saturating_sub(cost);
        Ok(())
    }

    /// Whether a signature over `data` is by `key`; `content` is all three, in parts that cannot be cut differently.
    pub(crate) fn verify(
        &mut self,
        key: &Key,
        data: &[u8],
        signature: &[u8],
        content: &[u8],
    ) -> Result<bool, Stop> {
        if let Some(known) = self.fits.get(content) {
            return Ok(*known);
        }
        self.take(SIGNATURE)?;
        spend(&mut self.left.signatures, 1)?;
        let fits = verify(key, data, signature);
        if !fits {
            self.slice = self.slice.saturating_sub(UNFIT - SIGNATURE);
            spend(&mut self.left.failures, 1)?;
        }
        self.fits.insert(content.to_vec(), fits);
        Ok(fits)
    }

    /// Whether a DS is of a key.
    pub(crate) fn digests(&mut self, ds: &Ds, owner: &Name, key: &Key) -> Result<bool, Stop> {
        let mut both = (vec![ds.digest_type], key.rdata.clone());
        both.0.extend_from_slice(&ds.digest);
        both.0.extend_from_slice(owner.as_wire());
        if let Some(known) = self.is_of_key.get(&both) {
            return Ok(*known);
        }
        self.take(BLOCK)?;
        spend(&mut self.left.digests, 1)?;
        let is_of_key = digests(ds, owner, key);
        self.is_of_key.insert(both, is_of_key);
        Ok(is_of_key)
    }

    /// Hashes a name (RFC 5155 §5).
    pub(crate) fn hash(
        &mut self,
        name: &Name,
        salt: &[u8],
        iterations: u16,
    ) -> Result<Vec<u8>, Stop> {
        let key = (name.clone(), salt.to_vec(), iterations);
        if let Some(hash) = self.hash_by_name.get(&key) {
            return Ok(hash.clone());
        }
        // SHA-1 works through blocks of 64 octets, of which 9 at least are padding.
        let blocks =
            u32::try_from((HASH + salt.len() + PADDING) / SHA1_BLOCK).unwrap_or(u32::MAX) + 1;
        let rounds = blocks.saturating_mul(u32::from(iterations) + 1);
        self.take(rounds.saturating_mul(BLOCK))?;
        spend(&mut self.left.hash_rounds, rounds)?;
        let hash = nsec3_hash(name, salt, iterations);
        self.hash_by_name.insert(key, hash.clone());
        Ok(hash)
    }
}
