//! In which order are entries forgotten? Two lists through one slab: probation and protected, each newest first.
//!
//! Knows nothing of hashing, time or capacity; the store above decides who moves.

use std::sync::Arc;

use config::time::Instant;

use super::{Key, Slot};
use crate::template::Template;

/// No entry.
pub(super) const NONE: u32 = u32::MAX;

/// A stored answer.
pub(super) struct Node {
    pub(super) slot: Slot,
    pub(super) name: Box<[u8]>,
    pub(super) record_type: u16,
    pub(super) class: u16,
    pub(super) dnssec_ok: bool,
    pub(super) checking_disabled: bool,
    pub(super) hash: u64,
    pub(super) template: Arc<Template>,
    pub(super) stored_at: Instant,
    pub(super) expires_at: Instant,
    pub(super) bytes: usize,
    pub(super) segment: Segment,
    pub(super) newer: u32,
    pub(super) older: u32,
}

/// Which list an entry is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Segment {
    /// Not asked for since it was stored.
    Probation,
    /// Asked for.
    Protected,
}

/// All entries, by place and in order.
#[derive(Default)]
pub(super) struct Nodes {
    slab: Vec<Option<Node>>,
    free: Vec<u32>,
    probation: List,
    protected: List,
}

struct List {
    newest: u32,
    oldest: u32,
    bytes: usize,
}

impl Default for List {
    fn default() -> Self {
        Self {
            newest: NONE,
            oldest: NONE,
            bytes: 0,
        }
    }
}

impl Node {
    pub(super) fn is(&self, key: &Key<'_>) -> bool {
        *self.name == *key.name
            && self.slot == key.slot
            && self.record_type == key.record_type
            && self.class == key.class
            && self.dnssec_ok == key.dnssec_ok
            && self.checking_disabled == key.checking_disabled
    }
}

impl Nodes {
    pub(super) fn len(&self) -> usize {
        self.slab.len() - self.free.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.probation.bytes + self.protected.bytes
    }

    pub(super) fn bytes_in(&self, segment: Segment) -> usize {
        self.list(segment).bytes
    }

    /// Returns the entry to forget first.
    pub(super) fn oldest(&self) -> Option<u32> {
        self.oldest_in(Segment::Probation)
            .or_else(|| self.oldest_in(Segment::Protected))
    }

    pub(super) fn oldest_in(&self, segment: Segment) -> Option<u32> {
        Some(self.list(segment).oldest).filter(|&at| at != NONE)
    }

    /// Returns the places of the entries that `wanted` picks, in no particular order of use.
    pub(super) fn matching(&self, wanted: impl Fn(&Node) -> bool) -> Vec<u32> {
        let places = (0u32..).zip(&self.slab);
        places
            .filter(|(_, node)| node.as_ref().is_some_and(&wanted))
            .map(|(at, _)| at)
            .collect()
    }

    pub(super) fn at(&self, at: u32) -> &Node {
        let node = self.slab.get(at as usize).and_then(Option::as_ref);
        node.expect("lists and table hold places in use")
    }

    pub(super) fn insert(&mut self, node: Node, segment: Segment) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| {
            self.slab.push(None);
            u32::try_from(self.slab.len() - 1).expect("2^32 entries do not fit into memory")
        });
        self.slab[at as usize] = Some(node);
        self.link(at, segment);
        at
    }

    pub(super) fn remove(&mut self, at: u32) -> Node {
        self.unlink(at);
        self.free.push(at);
        let node = self.slab.get_mut(at as usize).and_then(Option::take);
        node.expect("lists and table hold places in use")
    }

    /// Puts an entry that is in no list at the newest end of one.
    pub(super) fn link(&mut self, at: u32, segment: Segment) {
        let older = self.list(segment).newest;
        let node = self.at_mut(at);
        node.segment = segment;
        node.newer = NONE;
        node.older = older;
        let bytes = node.bytes;
        if older != NONE {
            self.at_mut(older).newer = at;
        }
        let list = self.list_mut(segment);
        list.bytes += bytes;
        list.newest = at;
        if older == NONE {
            list.oldest = at;
        }
    }

    /// Takes an entry out of its list.
    pub(super) fn unlink(&mut self, at: u32) {
        let node = self.at(at);
        let (newer, older, bytes, segment) = (node.newer, node.older, node.bytes, node.segment);
        if newer != NONE {
            self.at_mut(newer).older = older;
        }
        if older != NONE {
            self.at_mut(older).newer = newer;
        }
        let list = self.list_mut(segment);
        list.bytes -= bytes;
        if newer == NONE {
            list.newest = older;
        }
        if older == NONE {
            list.oldest = newer;
        }
    }

    fn at_mut(&mut self, at: u32) -> &mut Node {
        let node = self.slab.get_mut(at as usize).and_then(Option::as_mut);
        node.expect("lists and table hold places in use")
    }

    fn list(&self, segment: Segment) -> &List {
        match segment {
            Segment::Probation => &self.probation,
            Segment::Protected => &self.protected,
        }
    }

    fn list_mut(&mut self, segment: Segment) -> &mut List {
        match segment {
            Segment::Probation => &mut self.probation,
            Segment::Protected => &mut self.protected,
        }
    }
}
