//! Is a name, or one above it, among a million? A sorted set of names with a number for each, in some ten bytes a name.
//!
//! A name's key is its labels from the root down, each with its length: the key of a name above is the beginning of the key.
//! Keys lie sorted in blocks of [`BLOCK`]; within a block each says how much of the one before it shares, and the rest. So
//! the whole name is there to compare with, and there are no false positives: a hash only says quickly that a name is *not*
//! there (a filter of [`FILTER_BITS`] bits a name, of which one in some fifty strange names has to be looked up in vain).
//!
//! It is built from keys in any order in sorted runs that are merged at the end, so that building takes little more than
//! twice what the set does. Knows nothing of what the numbers mean.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::Hasher as _;

use config::name::{MAX_NAME, wire_suffixes};
use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;

/// Keys between two that are whole.
const BLOCK: usize = 16;
/// Bits of the filter for each name.
const FILTER_BITS: usize = 12;
/// Keys gathered before they are sorted into a run.
const RUN_KEYS: usize = 1 << 16;
/// Any number; a filter that somebody can fool costs them the time of a search.
const SEED: u64 = 0x6c69_6e6e_6574_2131;

/// A sorted set of names.
pub(crate) struct Names {
    keys: Box<[u8]>,
    /// Where each block begins in `keys`.
    blocks: Box<[u32]>,
    filter: Filter,
    len: usize,
}

/// A name's key, and where the keys of the names above it end.
pub(crate) struct Key {
    octets: [u8; MAX_NAME],
    /// Ends of labels, the one below the root first.
    ends: [u8; 128],
    labels: usize,
}

impl Key {
    /// Makes the key of a name in wire form, lower case; `None` when it is not a whole name.
    pub(crate) fn new(wire: &[u8]) -> Option<Self> {
        let mut key = Self {
            octets: [0; MAX_NAME],
            ends: [0; 128],
            labels: 0,
        };
        let length = wire
            .len()
            .checked_sub(1)
            .filter(|length| *length < MAX_NAME)?;
        let mut at = 0;
        // From the last label to the first: what is left of the name when it is read from its end.
        let mut starts = [0u8; 128];
        let mut count = 0;
        for suffix in wire_suffixes(wire) {
            if suffix.len() == 1 {
                break;
            }
            *starts.get_mut(count)? = u8::try_from(wire.len() - suffix.len()).ok()?;
            count += 1;
        }
        let mut end = length;
        for start in starts.get(..count)?.iter().rev() {
            let start = usize::from(*start);
            let label = wire.get(start..end)?;
            key.octets
                .get_mut(at..at + label.len())?
                .copy_from_slice(label);
            at += label.len();
            *key.ends.get_mut(key.labels)? = u8::try_from(at).ok()?;
            key.labels += 1;
            end = start;
        }
        Some(key)
    }

    /// Returns the whole key.
    pub(crate) fn octets(&self) -> &[u8] {
        self.above(0)
    }

    /// Returns the number of labels.
    pub(crate) fn labels(&self) -> usize {
        self.labels
    }

    /// Returns the key of the name so many labels above.
    pub(crate) fn above(&self, labels: usize) -> &[u8] {
        let end = match self.labels.checked_sub(labels + 1) {
            Some(last) => usize::from(self.ends.get(last).copied().unwrap_or(0)),
            None => 0,
        };
        self.octets.get(..end).unwrap_or_default()
    }
}

impl Names {
    /// Returns the number of names.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.keys.len() + size_of_val(&*self.blocks) + size_of_val(&*self.filter.words)
    }

    /// Returns the number of a name, by its key.
    pub(crate) fn find(&self, key: &[u8]) -> Option<u32> {
        if !self.filter.may_have(key) {
            return None;
        }
        let head = |at: &u32| {
            let mut walk = Walk::new(self.keys.get(*at as usize..).unwrap_or_default());
            walk.next();
            walk
        };
        let after = self.blocks.partition_point(|at| head(at).key() <= key);
        let block = self.blocks.get(after.checked_sub(1)?)?;
        let mut walk = Walk::new(self.keys.get(*block as usize..)?);
        for _ in 0..BLOCK {
            let number = walk.next()?;
            match walk.key().cmp(key) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Some(number),
                std::cmp::Ordering::Greater => return None,
            }
        }
        None
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names")
            .field("len", &self.len)
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

/// Says of most strange keys that they are not there: four bits of one word for each key.
struct Filter {
    words: Box<[u64]>,
}

impl Filter {
    fn new(keys: usize) -> Self {
        let words = (keys * FILTER_BITS).div_ceil(64).max(1);
        Self {
            words: vec![0; words].into(),
        }
    }

    fn place(&self, key: &[u8]) -> (usize, u64) {
        let shared = SharedSeed::from_u64(SEED);
        let mut hasher = FoldHasher::with_seed(SEED, &shared);
        hasher.write(key);
        let hash = hasher.finish();
        let wide = u128::from(hash) * self.words.len() as u128;
        let word = usize::try_from(wide >> 64).unwrap_or(0);
        // The upper bits have chosen the word.
        let bits = (0..4).fold(0, |bits, at| bits | 1u64 << (hash >> (6 * at) & 63));
        (word, bits)
    }

    fn insert(&mut self, key: &[u8]) {
        let (word, bits) = self.place(key);
        if let Some(word) = self.words.get_mut(word) {
            *word |= bits;
        }
    }

    fn may_have(&self, key: &[u8]) -> bool {
        let (word, bits) = self.place(key);
        self.words.get(word).is_some_and(|word| word & bits == bits)
    }
}

/// Reads keys one after another, each made of the one before.
struct Walk<'a> {
    rest: &'a [u8],
    key: [u8; MAX_NAME],
    length: usize,
}

impl<'a> Walk<'a> {
    fn new(rest: &'a [u8]) -> Self {
        Self {
            rest,
            key: [0; MAX_NAME],
            length: 0,
        }
    }

    /// Goes on to the next key; returns its number.
    fn next(&mut self) -> Option<u32> {
        let [shared, length, rest @ ..] = self.rest else {
            return None;
        };
        let (shared, length) = (usize::from(*shared), usize::from(*length));
        let (own, mut rest) = rest.split_at_checked(length)?;
        self.key
            .get_mut(shared..shared + length)?
            .copy_from_slice(own);
        self.length = shared + length;
        let mut number = 0;
        for shift in (0..).step_by(7).take(5) {
            let (octet, after) = rest.split_first()?;
            rest = after;
            number |= u32::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                break;
            }
        }
        self.rest = rest;
        Some(number)
    }

    fn key(&self) -> &[u8] {
        self.key.get(..self.length).unwrap_or_default()
    }
}

/// Writes keys one after another.
#[derive(Default)]
struct Writer {
    octets: Vec<u8>,
    last: Vec<u8>,
}

impl Writer {
    /// Forgets the last key, so that the next one is whole.
    fn cut(&mut self) {
        self.last.clear();
    }

    fn push(&mut self, key: &[u8], mut number: u32) {
        let pairs = self.last.iter().zip(key);
        let shared = pairs.take_while(|(one, other)| one == other).count();
        let own = key.get(shared..).unwrap_or_default();
        // A key is shorter than a name, and a name is at most 255 octets.
        let short = |length: usize| u8::try_from(length).unwrap_or(u8::MAX);
        self.octets.extend([short(shared), short(own.len())]);
        self.octets.extend_from_slice(own);
        loop {
            let low = (number & 0x7f).to_be_bytes()[3];
            number >>= 7;
            if number == 0 {
                self.octets.push(low);
                break;
            }
            self.octets.push(low | 0x80);
        }
        self.last.truncate(shared);
        self.last.extend_from_slice(own);
    }
}

/// Gathers names.
#[derive(Default)]
pub(crate) struct Builder {
    octets: Vec<u8>,
    gathered: Vec<(u32, u32)>,
    runs: Vec<Run>,
}

/// Sorted keys, written one after another.
struct Run {
    octets: Box<[u8]>,
    len: usize,
}

/// Says which number a name has that comes twice; the first that came is the first argument.
pub(crate) type Merge<'a> = &'a mut dyn FnMut(u32, u32) -> u32;

impl Builder {
    /// Takes a name; `merge` is asked when one comes twice.
    pub(crate) fn add(&mut self, key: &[u8], number: u32, merge: Merge<'_>) {
        let Ok(at) = u32::try_from(self.octets.len()) else {
            return;
        };
        let Ok(length) = u8::try_from(key.len()) else {
            return;
        };
        self.octets.push(length);
        self.octets.extend_from_slice(key);
        self.gathered.push((at, number));
        if self.gathered.len() >= RUN_KEYS {
            self.sort(merge);
        }
    }

    fn key_at(octets: &[u8], at: u32) -> &[u8] {
        let at = at as usize;
        let length = usize::from(octets.get(at).copied().unwrap_or(0));
        octets.get(at + 1..at + 1 + length).unwrap_or_default()
    }

    /// Makes a run of what was gathered.
    fn sort(&mut self, merge: Merge<'_>) {
        let octets = std::mem::take(&mut self.octets);
        let mut gathered = std::mem::take(&mut self.gathered);
        let key = |at: u32| Self::key_at(&octets, at);
        // Of equal keys the one that came first lies first.
        gathered.sort_unstable_by(|(one, _), (other, _)| {
            key(*one).cmp(key(*other)).then(one.cmp(other))
        });
        let mut writer = Writer {
            octets: Vec::with_capacity(octets.len() / 2),
            last: Vec::new(),
        };
        let mut len = 0;
        let mut put = |key: &[u8], number: u32| {
            writer.push(key, number);
            len += 1;
        };
        let mut held: Option<(u32, u32)> = None;
        for (at, number) in gathered.iter().copied() {
            match &mut held {
                Some((before, kept)) if key(*before) == key(at) => *kept = merge(*kept, number),
                Some((before, kept)) => {
                    put(key(*before), *kept);
                    held = Some((at, number));
                }
                None => held = Some((at, number)),
            }
        }
        if let Some((at, number)) = held {
            put(key(at), number);
        }
        self.runs.push(Run {
            octets: writer.octets.into(),
            len,
        });
        gathered.clear();
        let mut octets = octets;
        octets.clear();
        // The room is used again for the next run.
        (self.octets, self.gathered) = (octets, gathered);
    }

    /// Makes the set.
    pub(crate) fn finish(mut self, merge: Merge<'_>) -> Names {
        if !self.gathered.is_empty() {
            self.sort(merge);
        }
        self.octets = Vec::new();
        self.gathered = Vec::new();
        let room = self.runs.iter().map(|run| run.octets.len()).sum();
        let most = self.runs.iter().map(|run| run.len).sum::<usize>();
        let mut filter = Filter::new(most);
        let mut blocks = Vec::with_capacity(most.div_ceil(BLOCK));
        let mut writer = Writer {
            octets: Vec::with_capacity(room),
            last: Vec::new(),
        };
        let mut len = 0;
        self.merged(merge, |key, number| {
            if len % BLOCK == 0 {
                blocks.push(u32::try_from(writer.octets.len()).unwrap_or(u32::MAX));
                writer.cut();
            }
            filter.insert(key);
            writer.push(key, number);
            len += 1;
        });
        Names {
            keys: writer.octets.into(),
            blocks: blocks.into(),
            filter,
            len,
        }
    }

    /// Hands out the keys of all runs in order, each once.
    fn merged(self, merge: Merge<'_>, mut put: impl FnMut(&[u8], u32)) {
        let mut walks: Vec<Walk<'_>> = self.runs.iter().map(|run| Walk::new(&run.octets)).collect();
        // Of equal keys that of the earlier run came first.
        let mut next: BinaryHeap<Reverse<(Vec<u8>, usize, u32)>> = BinaryHeap::new();
        for (at, walk) in walks.iter_mut().enumerate() {
            if let Some(number) = walk.next() {
                next.push(Reverse((walk.key().to_vec(), at, number)));
            }
        }
        let mut held: Option<(Vec<u8>, u32)> = None;
        while let Some(Reverse((key, at, number))) = next.pop() {
            let spare = match &mut held {
                Some((before, kept)) if *before == key => {
                    *kept = merge(*kept, number);
                    Some(key)
                }
                Some((before, kept)) => {
                    put(before, *kept);
                    *kept = number;
                    Some(std::mem::replace(before, key))
                }
                None => {
                    held = Some((key, number));
                    None
                }
            };
            if let Some(walk) = walks.get_mut(at)
                && let Some(number) = walk.next()
            {
                let mut key = spare.unwrap_or_default();
                key.clear();
                key.extend_from_slice(walk.key());
                next.push(Reverse((key, at, number)));
            }
        }
        if let Some((key, number)) = held {
            put(&key, number);
        }
    }
}

#[cfg(test)]
mod tests {
    use config::name::DomainName;

    use super::*;

    fn wire(name: &str) -> Vec<u8> {
        name.parse::<DomainName>().unwrap().as_wire().to_vec()
    }

    fn set(names: &[(&str, u32)]) -> Names {
        let mut builder = Builder::default();
        let mut merge = |one: u32, other: u32| one * 10 + other;
        for (name, number) in names {
            let key = Key::new(&wire(name)).unwrap();
            builder.add(key.octets(), *number, &mut merge);
        }
        builder.finish(&mut merge)
    }

    #[test]
    fn a_key_begins_with_the_keys_of_the_names_above() {
        let key = Key::new(&wire("www.corp.test")).unwrap();
        assert_eq!(key.octets(), b"\x04test\x04corp\x03www");
        assert_eq!(key.above(1), b"\x04test\x04corp");
        assert_eq!(key.above(2), b"\x04test");
        assert_eq!((key.above(3), key.labels()), (&b""[..], 3));
        assert!(Key::new(&wire(".")).unwrap().octets().is_empty());
        let long = vec!["a"; 127].join(".");
        assert_eq!(Key::new(&wire(&long)).unwrap().labels(), 127);
    }

    #[test]
    fn names_are_found_and_no_others() {
        let names = set(&[("b.test", 2), ("a.test", 1), ("test", 300), ("a.test", 4)]);
        let find = |name: &str| names.find(Key::new(&wire(name)).unwrap().octets());
        assert_eq!(names.len(), 3);
        assert_eq!(
            (find("a.test"), find("b.test"), find("test")),
            (Some(14), Some(2), Some(300))
        );
        assert_eq!(
            (find("c.test"), find("tes"), find("x.a.test")),
            (None, None, None)
        );
        let empty = set(&[]);
        assert_eq!(empty.find(b"\x04test"), None);
    }

    #[test]
    fn many_names_of_several_runs_are_all_there_and_take_little() {
        let mut builder = Builder::default();
        let mut merge = |one: u32, _: u32| one;
        let name = |at: u32| format!("host{at}.example{}.test", at % 977);
        let many = 3 * u32::try_from(RUN_KEYS).unwrap() + 17;
        for at in (0..many).chain(0..100) {
            let key = Key::new(&wire(&name(at * 7919 % many))).unwrap();
            builder.add(key.octets(), at % 300, &mut merge);
        }
        let names = builder.finish(&mut merge);
        assert_eq!(names.len(), many as usize);
        for at in (0..many).step_by(97) {
            let key = Key::new(&wire(&name(at * 7919 % many))).unwrap();
            assert_eq!(names.find(key.octets()), Some(at % 300), "{at}");
            let strange = Key::new(&wire(&format!("x{at}.example.test"))).unwrap();
            assert_eq!(names.find(strange.octets()), None);
        }
        assert!(names.bytes() / names.len() < 16, "{names:?}");
    }
}
