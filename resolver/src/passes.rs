//! Which questions go straight to the cache? Those that went the long way once, and whose answer was the whole of it.
//!
//! The long way asks: is it synthesized, is it a single label, where does it route? None of these can change before the next
//! plan, hosts table or set of local names; then all passes are void. A pass says where the answer is kept, not what it is.

use std::hash::Hasher as _;

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;
use hashbrown::HashTable;

use crate::cache::{Key, Slot};
use crate::event::Stub;
use crate::wire::QueryView;

/// The most passes; when there are more, all are void.
const PASSES_MAX: usize = 16_384;

/// The passes.
pub(crate) struct Passes {
    seed: u64,
    shared_seed: SharedSeed,
    table: HashTable<Pass>,
}

struct Pass {
    hash: u64,
    name: Box<[u8]>,
    kind: Kind,
    slot: Slot,
}

/// What besides the name makes a question.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kind {
    record_type: u16,
    class: u16,
    dnssec_ok: bool,
    checking_disabled: bool,
    stub: Stub,
}

impl Passes {
    /// Makes an empty set; `seed` must not be guessable by whoever chooses names.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            shared_seed: SharedSeed::from_u64(seed.rotate_left(32)),
            table: HashTable::new(),
        }
    }

    /// Returns where the answer to a question is kept. Allocates nothing.
    pub(crate) fn slot(&self, query: &QueryView<'_>, stub: Stub) -> Option<Slot> {
        let kind = Kind {
            record_type: query.record_type,
            class: query.class,
            dnssec_ok: query.dnssec_ok(),
            checking_disabled: query.checking_disabled,
            stub,
        };
        let hash = self.hash(query.name, kind);
        let pass = self
            .table
            .find(hash, |pass| pass.kind == kind && *pass.name == *query.name)?;
        Some(pass.slot)
    }

    /// Lets a question pass.
    pub(crate) fn insert(&mut self, key: &Key<'_>, stub: Stub) {
        self.remove(key, stub);
        if self.table.len() >= PASSES_MAX {
            self.clear();
        }
        let kind = kind(key, stub);
        let hash = self.hash(key.name, kind);
        let pass = Pass {
            hash,
            name: key.name.into(),
            kind,
            slot: key.slot,
        };
        self.table.insert_unique(hash, pass, |pass| pass.hash);
    }

    /// Makes the passes of a question void.
    pub(crate) fn revoke(&mut self, key: &Key<'_>) {
        self.remove(key, Stub::Main);
        self.remove(key, Stub::Bypass);
    }

    /// Makes all passes void.
    pub(crate) fn clear(&mut self) {
        self.table = HashTable::new();
    }

    fn remove(&mut self, key: &Key<'_>, stub: Stub) {
        let kind = kind(key, stub);
        let hash = self.hash(key.name, kind);
        let found = self
            .table
            .find_entry(hash, |pass| pass.kind == kind && *pass.name == *key.name);
        if let Ok(entry) = found {
            entry.remove();
        }
    }

    fn hash(&self, name: &[u8], kind: Kind) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared_seed);
        let bits = u64::from(kind.dnssec_ok) << 2
            | u64::from(kind.checking_disabled) << 1
            | u64::from(kind.stub == Stub::Bypass);
        hasher.write_u64(u64::from(kind.record_type) << 24 | u64::from(kind.class) << 8 | bits);
        hasher.write(name);
        hasher.finish()
    }
}

fn kind(key: &Key<'_>, stub: Stub) -> Kind {
    Kind {
        record_type: key.record_type,
        class: key.class,
        dnssec_ok: key.dnssec_ok,
        checking_disabled: key.checking_disabled,
        stub,
    }
}

impl std::fmt::Debug for Passes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passes")
            .field("len", &self.table.len())
            .finish_non_exhaustive()
    }
}
