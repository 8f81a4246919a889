//! How are things found by their numbers? One table for questions, lookups and exchanges under way.
//!
//! Numbers are counted up, and most things are gone soon after they came: a table by hash finds them in one step, and moves none of
//! them when another one goes. Whoever goes through all does so in the order of numbers, so that nothing depends on the hash.

use std::hash::Hasher as _;

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;
use hashbrown::HashTable;

/// Things by their numbers.
#[derive(Debug)]
pub(crate) struct Numbered<T> {
    table: HashTable<(u64, Box<T>)>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self {
            table: HashTable::new(),
        }
    }
}

impl<T> Numbered<T> {
    /// Puts a thing in; its number is nobody else's.
    pub(crate) fn insert(&mut self, number: u64, thing: Box<T>) {
        debug_assert!(self.get(number).is_none(), "{number} is there already");
        let hash_of = |(number, _): &(u64, Box<T>)| hash(*number);
        self.table
            .insert_unique(hash(number), (number, thing), hash_of);
    }

    pub(crate) fn get(&self, number: u64) -> Option<&T> {
        let is_it = |(other, _): &(u64, Box<T>)| *other == number;
        let found = self.table.find(hash(number), is_it);
        found.map(|(_, thing)| &**thing)
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let is_it = |(other, _): &(u64, Box<T>)| *other == number;
        let found = self.table.find_mut(hash(number), is_it);
        found.map(|(_, thing)| &mut **thing)
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<Box<T>> {
        let is_it = |(other, _): &(u64, Box<T>)| *other == number;
        let found = self.table.find_entry(hash(number), is_it).ok()?;
        let ((_, thing), _) = found.remove();
        Some(thing)
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Returns all numbers, in order.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let mut numbers: Vec<u64> = self.table.iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Returns all things, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        let numbers = self.numbers().into_iter();
        numbers.filter_map(|number| Some((number, self.get(number)?)))
    }
}

/// Nobody else chooses numbers.
fn hash(number: u64) -> u64 {
    let mut hasher = FoldHasher::with_seed(0, SharedSeed::global_fixed());
    hasher.write_u64(number);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_found_until_they_are_taken_and_are_gone_through_in_order() {
        let mut numbered = Numbered::default();
        for number in 0..1000u64 {
            numbered.insert(number, Box::new(number * 2));
            assert_eq!(numbered.get(number), Some(&(number * 2)));
            if number % 3 > 0 {
                assert_eq!(numbered.remove(number), Some(Box::new(number * 2)));
                assert_eq!(numbered.remove(number), None);
            }
        }
        *numbered.get_mut(999).unwrap() = 7;
        let left: Vec<(u64, u64)> = numbered.iter().map(|(at, thing)| (at, *thing)).collect();
        assert_eq!(left.len(), numbered.len());
        assert!(left.is_sorted() && left.contains(&(3, 6)) && left.last() == Some(&(999, 7)));
    }
}
