//! Which claims stand at a suffix? Many thousands of suffixes in few octets each, found by hash.
//!
//! Suffixes lie one after another in one buffer, claims as numbers in another; a table of places finds them. The table is made
//! once and never changes. Does not know what a claim is, and not which one wins.

use std::hash::Hasher as _;

use config::name::{DomainName, wire_suffixes};
use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;
use hashbrown::HashTable;

/// The most labels of a name of 255 octets.
const LABELS_MAX: usize = 127;
/// Seed of the table: its keys come from the administrator and from authenticated owners, so that nobody gains by collisions.
const SEED: u64 = 0x6c69_6e6e_6574;

/// Suffixes and the numbers of the claims on each.
#[derive(Clone, Default)]
pub(crate) struct Suffixes {
    /// Wire forms, in order.
    names: Box<[u8]>,
    places: Box<[Place]>,
    claims: Box<[u32]>,
    /// Numbers of places, by the hash of their names.
    table: HashTable<u32>,
    /// That of the root, which covers every name.
    root: Option<Place>,
    /// Whether there is a suffix of so many labels.
    depths: Box<[bool]>,
}

/// Where a suffix and its claims are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    name: u32,
    claims: u32,
    count: u32,
    length: u8,
}

impl Place {
    /// Where its claims are.
    const fn claims(&self) -> std::ops::Range<usize> {
        self.claims as usize..(self.claims + self.count) as usize
    }
}

/// A suffix that covers a name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'t> {
    /// In wire form.
    pub(crate) suffix: &'t [u8],
    /// Numbers of the claims on it, in order.
    pub(crate) claims: &'t [u32],
}

/// The suffixes that cover a name.
#[derive(Debug)]
pub(crate) struct Covering<'t, 'n> {
    suffixes: &'t Suffixes,
    /// How many suffixes of the name are left, the root counted.
    labels: usize,
    rest: &'n [u8],
}

impl<'t> Iterator for Covering<'t, '_> {
    type Item = Found<'t>;

    fn next(&mut self) -> Option<Found<'t>> {
        loop {
            self.labels = self.labels.checked_sub(1)?;
            let suffix = self.rest;
            let length = usize::from(*suffix.first()?);
            self.rest = suffix.get(length + 1..).unwrap_or_default();
            let may_be = self.suffixes.depths.get(self.labels);
            if may_be.is_some_and(|there| *there)
                && let Some(found) = self.suffixes.find(suffix)
            {
                return Some(found);
            }
        }
    }
}

impl Suffixes {
    /// Makes the table from pairs of suffix and claim, sorted by suffix, those of one suffix in their order.
    pub(crate) fn new(sorted: &[(&DomainName, u32)]) -> Self {
        let mut names =
            Vec::with_capacity(sorted.iter().map(|(name, _)| name.as_wire().len()).sum());
        let mut places: Vec<Place> = Vec::with_capacity(sorted.len());
        let mut depths = vec![false; LABELS_MAX + 1];
        let mut before: Option<&DomainName> = None;
        for (at, &(name, _)) in (0u32..).zip(sorted) {
            match places.last_mut() {
                Some(place) if before == Some(name) => place.count += 1,
                Some(_) | None => {
                    let wire = name.as_wire();
                    places.push(Place {
                        name: u32::try_from(names.len()).expect("suffixes fit into 4 GiB"),
                        claims: at,
                        count: 1,
                        length: u8::try_from(wire.len()).expect("a name has 255 octets at most"),
                    });
                    if let Some(depth) = depths.get_mut(name.label_count()) {
                        *depth = true;
                    }
                    names.extend_from_slice(wire);
                }
            }
            before = Some(name);
        }
        let deepest = depths.iter().rposition(|there| *there);
        depths.truncate(deepest.map_or(0, |deepest| deepest + 1));
        let root = places.iter().find(|place| place.length == 1).copied();
        let mut table = HashTable::with_capacity(places.len());
        for (number, place) in (0u32..).zip(&places) {
            let hash_at = |&other: &u32| {
                let place = places.get(other as usize);
                hash(place.map_or(&[], |place| name_at(&names, *place)))
            };
            table.insert_unique(hash(name_at(&names, *place)), number, hash_at);
        }
        Self {
            names: names.into(),
            places: places.into(),
            claims: sorted.iter().map(|&(_, claim)| claim).collect(),
            table,
            root,
            depths: depths.into(),
        }
    }

    /// Returns the suffixes that cover a name in wire form, the longest first. Allocates nothing.
    pub(crate) fn covering<'t, 'n>(&'t self, wire: &'n [u8]) -> Covering<'t, 'n> {
        Covering {
            suffixes: self,
            labels: wire_suffixes(wire).count(),
            rest: wire,
        }
    }

    /// Returns all suffixes, in the order of their wire forms.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Found<'_>> {
        self.places.iter().map(|place| self.found(*place))
    }

    /// Returns on how many suffixes there is such a claim, without a look at their names.
    pub(crate) fn count(&self, is_meant: impl Fn(&u32) -> bool) -> usize {
        let its = |place: &&Place| {
            let claims = self.claims.get(place.claims()).unwrap_or_default();
            claims.iter().any(&is_meant)
        };
        self.places.iter().filter(its).count()
    }

    fn find(&self, wire: &[u8]) -> Option<Found<'_>> {
        if wire.len() == 1 {
            return Some(self.found(self.root?));
        }
        let is_it = |&number: &u32| {
            let place = self.places.get(number as usize);
            place.is_some_and(|place| name_at(&self.names, *place) == wire)
        };
        let &number = self.table.find(hash(wire), is_it)?;
        Some(self.found(*self.places.get(number as usize)?))
    }

    fn found(&self, place: Place) -> Found<'_> {
        Found {
            suffix: name_at(&self.names, place),
            claims: self.claims.get(place.claims()).unwrap_or_default(),
        }
    }
}

fn name_at(names: &[u8], place: Place) -> &[u8] {
    let start = place.name as usize;
    names
        .get(start..start + usize::from(place.length))
        .unwrap_or_default()
}

fn hash(wire: &[u8]) -> u64 {
    let mut hasher = FoldHasher::with_seed(SEED, SharedSeed::global_fixed());
    hasher.write(wire);
    hasher.finish()
}

/// The table follows from the rest.
impl PartialEq for Suffixes {
    fn eq(&self, other: &Self) -> bool {
        self.names == other.names && self.places == other.places && self.claims == other.claims
    }
}

impl Eq for Suffixes {}

impl std::fmt::Debug for Suffixes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = |found: Found<'_>| {
            DomainName::from_wire(found.suffix).unwrap_or_else(|_| DomainName::root())
        };
        f.debug_map()
            .entries(self.iter().map(|found| (name(found), found.claims)))
            .finish()
    }
}
