//! Which of the things that were learned may stay? A map bounded by weight; what was not used for longest goes first.
//!
//! Knows nothing of expiry: whoever reads looks at that.

use std::borrow::Borrow;
use std::collections::BTreeMap;

#[derive(Debug)]
struct Entry<V> {
    value: V,
    weight: usize,
    used: u64,
}

/// A map that forgets.
#[derive(Debug)]
pub(crate) struct Bounded<K, V> {
    entry_by_key: BTreeMap<K, Entry<V>>,
    key_by_use: BTreeMap<u64, K>,
    last_use: u64,
    weight: usize,
    limit: usize,
}

impl<K: Ord + Clone, V> Bounded<K, V> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            entry_by_key: BTreeMap::new(),
            key_by_use: BTreeMap::new(),
            last_use: 0,
            weight: 0,
            limit,
        }
    }

    /// Looks a thing up, which counts as a use.
    pub(crate) fn get<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let entry = self.entry_by_key.get_mut(key)?;
        self.last_use += 1;
        if let Some(key) = self.key_by_use.remove(&entry.used) {
            self.key_by_use.insert(self.last_use, key);
        }
        entry.used = self.last_use;
        Some(&mut entry.value)
    }

    /// Keeps a thing in place of what the key had; one that is heavier than the limit is not kept.
    pub(crate) fn insert(&mut self, key: K, value: V, weight: usize) {
        self.remove(&key);
        if weight > self.limit {
            return;
        }
        self.last_use += 1;
        let used = self.last_use;
        self.key_by_use.insert(used, key.clone());
        let entry = Entry {
            value,
            weight,
            used,
        };
        self.entry_by_key.insert(key, entry);
        self.weight += weight;
        while self.weight > self.limit
            && let Some((_, oldest)) = self.key_by_use.pop_first()
        {
            if let Some(gone) = self.entry_by_key.remove(&oldest) {
                self.weight -= gone.weight;
            }
        }
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some(gone) = self.entry_by_key.remove(key) {
            self.key_by_use.remove(&gone.used);
            self.weight -= gone.weight;
        }
    }

    pub(crate) fn remove_where(&mut self, is_meant: impl Fn(&K) -> bool) {
        for (_, gone) in self.entry_by_key.extract_if(.., |key, _| is_meant(key)) {
            self.key_by_use.remove(&gone.used);
            self.weight -= gone.weight;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entry_by_key.len()
    }

    pub(crate) fn weight(&self) -> usize {
        self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let mut map = Bounded::new(30);
        for key in ["a", "b", "c"] {
            map.insert(key, key, 10);
        }
        assert!(map.get("a").is_some());
        map.insert("d", "d", 10);
        assert!(map.get("b").is_none());
        assert!(map.get("a").is_some());
        assert_eq!((map.len(), map.weight()), (3, 30));
        map.remove_where(|key| *key != "a");
        assert_eq!((map.len(), map.weight()), (1, 10));
        for key in ["e", "f", "g"] {
            map.insert(key, key, 10);
        }
        assert!(map.get("a").is_none());
        assert_eq!((map.len(), map.weight()), (3, 30));
    }

    #[test]
    fn replaced_and_too_heavy_things_leave_no_weight_behind() {
        let mut map = Bounded::new(30);
        map.insert("a", 1, 10);
        map.insert("a", 2, 20);
        assert_eq!(map.weight(), 20);
        map.insert("a", 3, 31);
        assert_eq!((map.len(), map.weight()), (0, 0));
    }
}
