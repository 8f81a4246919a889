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

/// How many rooms are kept: as many as questions wait at once at a busy time, a quarter of a megabyte with all that is in them.
const ROOMS_MAX: usize = 128;

/// The memory of things that have ended, for the next ones: what comes and goes with every question need not go by the allocator.
#[derive(Debug)]
pub(crate) struct Rooms<T> {
    /// In the boxes that the table takes.
    ended: Vec<Box<T>>,
}

impl<T> Default for Rooms<T> {
    fn default() -> Self {
        Self { ended: Vec::new() }
    }
}

impl<T> Rooms<T> {
    /// Keeps the room of a thing that has ended, unless there are enough. What is in it stays there until it is filled.
    pub(crate) fn put(&mut self, ended: Box<T>) {
        if self.ended.len() < ROOMS_MAX {
            self.ended.push(ended);
        }
    }

    /// Takes a room, with what the last thing left in it.
    pub(crate) fn take(&mut self) -> Option<Box<T>> {
        self.ended.pop()
    }

    /// Puts a thing into a room, or into a new one; nothing is left of what was there.
    pub(crate) fn fill(room: Option<Box<T>>, thing: T) -> Box<T> {
        match room {
            Some(mut room) => {
                *room = thing;
                room
            }
            None => Box::new(thing),
        }
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
    fn rooms_are_filled_again_and_no_more_are_kept_than_enough() {
        let mut rooms = Rooms::default();
        assert_eq!(rooms.take(), None);
        for number in 0..ROOMS_MAX + 10 {
            rooms.put(Box::new(number));
        }
        let room = rooms.take().unwrap();
        assert_eq!(*room, ROOMS_MAX - 1);
        let place = &raw const *room;
        let filled = Rooms::fill(Some(room), 7);
        assert!(*filled == 7 && std::ptr::eq(&raw const *filled, place));
        assert_eq!(std::iter::from_fn(|| rooms.take()).count(), ROOMS_MAX - 1);
        assert_eq!(*Rooms::fill(None, 8), 8);
    }

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
