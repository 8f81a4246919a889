//! Which answers are known already? One store for all scopes, bounded in bytes.
//!
//! A scope's answers are under its [`Slot`]; closing the slot forgets them. Does not read messages and does not decide
//! which scope a question belongs to.

use std::sync::Arc;
use std::time::Duration;

use config::name::DomainName;
use config::time::Instant;

use crate::record::RawRecord;
use crate::template::Template;
use crate::wire::Question;

/// A scope's place in the cache; never equal to one that was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    index: u32,
    epoch: u32,
}

/// What an answer depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    /// The scope.
    pub slot: Slot,
    /// QNAME in wire form, in lower case.
    pub name: &'a [u8],
    /// QTYPE.
    pub record_type: u16,
    /// QCLASS.
    pub class: u16,
    /// DO.
    pub dnssec_ok: bool,
    /// CD.
    pub checking_disabled: bool,
}

/// A fresh answer.
#[derive(Debug, Clone, Copy)]
pub struct Hit<'a> {
    /// The answer.
    pub template: &'a Arc<Template>,
    /// Seconds since it was stored, for [`Template::emit`].
    pub age: u32,
}

/// What to forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forget<'a> {
    /// Everything.
    All,
    /// A name and all below it, in every slot.
    Suffix(&'a DomainName),
    /// One slot, which stays open.
    Slot(Slot),
}

/// What a slot holds and has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Entries.
    pub entries: usize,
    /// Bytes.
    pub bytes: usize,
    /// Answers found.
    pub hits: u64,
    /// Answers not found.
    pub misses: u64,
}

/// The store.
#[derive(Debug)]
pub struct Cache {
    capacity: usize,
}

impl Cache {
    /// Makes an empty cache of at most `capacity` bytes; `seed` must not be guessable by whoever chooses names.
    pub fn new(capacity: usize, _seed: [u8; 32]) -> Self {
        Self { capacity }
    }

    /// Makes a place for a scope.
    pub fn open(&mut self) -> Slot {
        Slot { index: 0, epoch: 0 }
    }

    /// Forgets a scope and all its answers; returns the number of entries dropped.
    pub fn close(&mut self, _slot: Slot) -> usize {
        0
    }

    /// Returns the answer if it is known and fresh; counts a hit or a miss of the slot. Allocates nothing.
    pub fn get(&mut self, _key: &Key<'_>, _now: Instant) -> Option<Hit<'_>> {
        None
    }

    /// Stores an answer for `lifetime`, in place of an older one; not when the slot is closed or the answer too big.
    pub fn insert(
        &mut self,
        _key: &Key<'_>,
        _template: Arc<Template>,
        _lifetime: Duration,
        _now: Instant,
    ) {
    }

    /// Forgets; returns the number of entries dropped.
    pub fn flush(&mut self, _what: Forget<'_>) -> usize {
        0
    }

    /// Returns what a slot holds; zeros when it is closed.
    pub fn usage(&self, _slot: Slot) -> Usage {
        Usage::default()
    }

    /// Returns the number of entries in all slots.
    pub fn len(&self) -> usize {
        0
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes that all entries take.
    pub fn bytes(&self) -> usize {
        self.capacity.min(0)
    }
}

/// Returns how long an answer may be kept; `None` when it may not.
pub fn lifetime(
    _question: &Question,
    _rcode: u16,
    _answers: &[RawRecord],
    _authority: &[RawRecord],
) -> Option<Duration> {
    None
}
