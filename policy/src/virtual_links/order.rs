//! In which order are links made, each after those that it stands on? As many steps as there are links, not their square.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::WantedLink;

/// Which links wait for which others to be made.
#[derive(Default)]
pub(super) struct Waits {
    /// The links that wait for nobody.
    free: BTreeSet<Arc<str>>,
    /// For how many others a link waits.
    count_by_link: BTreeMap<Arc<str>, usize>,
    waiting_by_link: BTreeMap<Arc<str>, Vec<Arc<str>>>,
}

impl Waits {
    pub(super) fn of(wanted: &BTreeMap<Arc<str>, WantedLink>) -> Self {
        // A veth makes two names.
        let mut makers: BTreeMap<&Arc<str>, BTreeSet<&Arc<str>>> = BTreeMap::new();
        for (name, wanted) in wanted {
            for made in std::iter::once(name).chain(&wanted.link.peer) {
                makers.entry(made).or_default().insert(name);
            }
        }
        let mut waits = Self::default();
        for (name, wanted) in wanted {
            let below = wanted.link.below();
            let below: BTreeSet<&Arc<str>> = below
                .filter_map(|name| makers.get(name))
                .flatten()
                .copied()
                .collect();
            if below.is_empty() {
                waits.free.insert(Arc::clone(name));
            }
            waits.count_by_link.insert(Arc::clone(name), below.len());
            for other in below {
                let waiting = waits.waiting_by_link.entry(Arc::clone(other));
                waiting.or_default().push(Arc::clone(name));
            }
        }
        waits
    }

    /// Returns the next link that waits for nobody.
    pub(super) fn next(&mut self) -> Option<Arc<str>> {
        self.free.pop_first()
    }

    /// Takes that nobody has to wait for a link any more.
    pub(super) fn done(&mut self, name: &Arc<str>) {
        for waiting in self.waiting_by_link.remove(name).into_iter().flatten() {
            if let Some(count) = self.count_by_link.get_mut(&waiting) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.free.insert(waiting);
                }
            }
        }
    }
}
