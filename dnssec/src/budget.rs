//! What may one question cost? Every expensive thing is paid for here (KeyTrap CVE-2023-50387, NSEC3 CVE-2023-50868).

/// What may be spent on one reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Signatures checked.
    pub signatures: u32,
    /// Signatures that did not fit; an ordinary zone has none.
    pub failures: u32,
    /// Blocks of hashing for NSEC3: names times iterations, times what the salt needs.
    pub hash_rounds: u32,
    /// Digests of keys.
    pub digests: u32,
    /// Records fetched.
    pub fetches: u32,
    /// Octets of rdata in what is fetched.
    pub bytes: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            signatures: 96,
            failures: 8,
            hash_rounds: 2560,
            digests: 64,
            fetches: 64,
            bytes: 1 << 20,
        }
    }
}

impl Budget {
    /// What the dearest of ordinary zones needs when nothing is known of it yet.
    pub(crate) const ORDINARY: Self = Self {
        signatures: 24,
        failures: 2,
        hash_rounds: 1024,
        digests: 16,
        fetches: 32,
        bytes: 1 << 17,
    };

    /// Returns the lesser of each.
    pub(crate) fn at_most(self, other: Self) -> Self {
        Self {
            signatures: self.signatures.min(other.signatures),
            failures: self.failures.min(other.failures),
            hash_rounds: self.hash_rounds.min(other.hash_rounds),
            digests: self.digests.min(other.digests),
            fetches: self.fetches.min(other.fetches),
            bytes: self.bytes.min(other.bytes),
        }
    }

    /// Returns what is spent when `left` is left.
    pub(crate) const fn without(self, left: Self) -> Self {
        Self {
            signatures: self.signatures.saturating_sub(left.signatures),
            failures: self.failures.saturating_sub(left.failures),
            hash_rounds: self.hash_rounds.saturating_sub(left.hash_rounds),
            digests: self.digests.saturating_sub(left.digests),
            fetches: self.fetches.saturating_sub(left.fetches),
            bytes: self.bytes.saturating_sub(left.bytes),
        }
    }
}

/// What one signature costs, in blocks of SHA-1: both take about 60 µs then.
pub(crate) const SIGNATURE: u32 = 512;
/// What is computed for one reply before others have their turn, in blocks of SHA-1: all that an ordinary one needs.
pub const SLICE_DEFAULT: u32 = 4 * SIGNATURE;
/// The most records of one RRset of NSEC or NSEC3 that are looked at; a name has one, or one for each way to hash.
pub(crate) const DENIALS_PER_SET: usize = 4;
/// The most RRsets of one section of a reply that are looked at; a reply with more is not judged.
pub(crate) const SETS_MAX: usize = 256;
/// The most signatures of one RRset that are kept.
pub(crate) const SIGS_KEPT: usize = 64;
/// The most keys of one tag and algorithm that are tried for a signature.
pub(crate) const KEYS_PER_TAG: usize = 4;
/// The most signatures of one RRset that are tried.
pub(crate) const SIGS_PER_SET: usize = 8;

/// Something costs more than is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spent;

/// Takes `cost` off what is left.
pub(crate) fn spend(left: &mut u32, cost: u32) -> Result<(), Spent> {
    *left = left.checked_sub(cost).ok_or(Spent)?;
    Ok(())
}
