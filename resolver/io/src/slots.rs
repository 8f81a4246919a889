//! How does a number from outside find a thing that may be gone? A slab whose keys carry a generation.
//!
//! A key of a removed thing finds nothing, even when its place has been taken again. There is no bound here: who inserts
//! asks [`Slots::len`] first.

/// Bits of a generation, so that a key and a tag fit into 64 bits.
const GENERATION_BITS: u32 = 24;

/// Where a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// Writes the key as a number below 2⁵⁶.
    pub(crate) fn to_number(self) -> u64 {
        (u64::from(self.generation) << u32::BITS) | u64::from(self.index)
    }

    /// Reads what [`Key::to_number`] wrote.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the two halves are taken apart"
    )]
    pub(crate) fn from_number(number: u64) -> Self {
        Self {
            index: number as u32,
            generation: (number >> u32::BITS) as u32 & generation_mask(),
        }
    }
}

/// A slab with generations.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slots<T> {
    /// Makes an empty slab.
    pub(crate) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Returns how many things are in it.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Whether nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts a thing in.
    pub(crate) fn insert(&mut self, value: T) -> Key {
        if let Some(index) = self.free.pop()
            && let Some(entry) = self.entries.get_mut(index as usize)
        {
            entry.generation = entry.generation.wrapping_add(1) & generation_mask();
            entry.value = Some(value);
            return Key {
                index,
                generation: entry.generation,
            };
        }
        let index = u32::try_from(self.entries.len()).expect("the owners bound their slabs");
        self.entries.push(Entry {
            generation: 0,
            value: Some(value),
        });
        Key {
            index,
            generation: 0,
        }
    }

    /// Finds a thing.
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let entry = self.entries.get(key.index as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        entry.value.as_ref()
    }

    /// Finds a thing to change it.
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        entry.value.as_mut()
    }

    /// Takes a thing out.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        let value = entry.value.take()?;
        self.free.push(key.index);
        Some(value)
    }

    /// Walks over all things, by place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        (0..).zip(&self.entries).filter_map(|(index, entry)| {
            let generation = entry.generation;
            Some((Key { index, generation }, entry.value.as_ref()?))
        })
    }
}

const fn generation_mask() -> u32 {
    (1 << GENERATION_BITS) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_of_a_removed_thing_finds_nothing_after_its_place_is_taken() {
        let mut slots = Slots::new();
        let old = slots.insert('a');
        assert_eq!(slots.remove(old), Some('a'));
        let new = slots.insert('b');
        assert_eq!(slots.get(old), None);
        assert_eq!(slots.remove(old), None);
        assert_eq!(slots.get(new), Some(&'b'));
        assert_eq!(slots.len(), 1);
    }

    #[test]
    fn key_survives_the_way_through_a_number() {
        let mut slots = Slots::new();
        let mut key = slots.insert(0);
        for _ in 0..1000 {
            slots.remove(key);
            key = slots.insert(0);
        }
        assert_eq!(Key::from_number(key.to_number()), key);
        assert_eq!(Key::from_number(key.to_number() | 0xff << 56), key);
    }
}
