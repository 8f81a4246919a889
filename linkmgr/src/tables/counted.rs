//! How many things were walked over? [`Map`] and [`Set`] as the standard library has them, and [`looks`].

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, btree_map, btree_set};
use std::iter::Inspect;
use std::ops::{Deref, DerefMut, RangeBounds};

thread_local! {
    static LOOKS: Cell<u64> = const { Cell::new(0) };
}

/// Returns how many entries of maps and sets this thread has walked over.
pub(crate) fn looks() -> u64 {
    LOOKS.get()
}

fn look(entries: usize) {
    LOOKS.set(LOOKS.get() + entries as u64);
}

/// What counts the entries that an iterator comes past.
type Counted<I> = Inspect<I, fn(&<I as Iterator>::Item)>;

fn counted<I: Iterator>(entries: I) -> Counted<I> {
    entries.inspect(|_| look(1))
}

/// A map.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Map<K, V>(BTreeMap<K, V>);

/// A set.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Set<T>(BTreeSet<T>);

impl<K: Ord, V> Map<K, V> {
    pub(crate) fn iter(&self) -> Counted<btree_map::Iter<'_, K, V>> {
        counted(self.0.iter())
    }

    pub(crate) fn iter_mut(&mut self) -> Counted<btree_map::IterMut<'_, K, V>> {
        counted(self.0.iter_mut())
    }

    pub(crate) fn keys(&self) -> Counted<btree_map::Keys<'_, K, V>> {
        counted(self.0.keys())
    }

    pub(crate) fn into_keys(self) -> Counted<btree_map::IntoKeys<K, V>> {
        counted(self.0.into_keys())
    }

    pub(crate) fn values(&self) -> Counted<btree_map::Values<'_, K, V>> {
        counted(self.0.values())
    }

    #[expect(dead_code, reason = "so that nobody goes through all of it uncounted")]
    pub(crate) fn values_mut(&mut self) -> Counted<btree_map::ValuesMut<'_, K, V>> {
        counted(self.0.values_mut())
    }

    pub(crate) fn range(&self, range: impl RangeBounds<K>) -> Counted<btree_map::Range<'_, K, V>> {
        counted(self.0.range(range))
    }

    pub(crate) fn retain(&mut self, mut is_kept: impl FnMut(&K, &mut V) -> bool) {
        look(self.0.len());
        self.0.retain(|key, value| is_kept(key, value));
    }
}

impl<T: Ord> Set<T> {
    pub(crate) fn iter(&self) -> Counted<btree_set::Iter<'_, T>> {
        counted(self.0.iter())
    }

    pub(crate) fn range(&self, range: impl RangeBounds<T>) -> Counted<btree_set::Range<'_, T>> {
        counted(self.0.range(range))
    }

    pub(crate) fn retain(&mut self, is_kept: impl FnMut(&T) -> bool) {
        look(self.0.len());
        self.0.retain(is_kept);
    }
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Default for Set<T> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

impl<K: Clone, V: Clone> Clone for Map<K, V> {
    fn clone(&self) -> Self {
        look(self.0.len());
        Self(self.0.clone())
    }
}

impl<T: Clone> Clone for Set<T> {
    fn clone(&self) -> Self {
        look(self.0.len());
        Self(self.0.clone())
    }
}

impl<K, V> Deref for Map<K, V> {
    type Target = BTreeMap<K, V>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<K, V> DerefMut for Map<K, V> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<T> Deref for Set<T> {
    type Target = BTreeSet<T>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T> DerefMut for Set<T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Map<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl<T: Ord> FromIterator<T> for Set<T> {
    fn from_iter<I: IntoIterator<Item = T>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl<T> IntoIterator for Set<T> {
    type Item = T;
    type IntoIter = Counted<btree_set::IntoIter<T>>;

    fn into_iter(self) -> Self::IntoIter {
        counted(self.0.into_iter())
    }
}

impl<'a, T> IntoIterator for &'a Set<T> {
    type Item = &'a T;
    type IntoIter = Counted<btree_set::Iter<'a, T>>;

    fn into_iter(self) -> Self::IntoIter {
        counted(self.0.iter())
    }
}

impl<K, V> IntoIterator for Map<K, V> {
    type Item = (K, V);
    type IntoIter = Counted<btree_map::IntoIter<K, V>>;

    fn into_iter(self) -> Self::IntoIter {
        counted(self.0.into_iter())
    }
}

impl<'a, K, V> IntoIterator for &'a Map<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Counted<btree_map::Iter<'a, K, V>>;

    fn into_iter(self) -> Self::IntoIter {
        counted(self.0.iter())
    }
}

impl<'a, K, V> IntoIterator for &'a mut Map<K, V> {
    type Item = (&'a K, &'a mut V);
    type IntoIter = Counted<btree_map::IterMut<'a, K, V>>;

    fn into_iter(self) -> Self::IntoIter {
        counted(self.0.iter_mut())
    }
}
