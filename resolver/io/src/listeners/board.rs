//! How are the listeners doing? States and counters, written by their thread and read by whoever reports.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is known of all listeners.
#[derive(Debug, Clone, Default)]
pub struct Board {
    entries: Arc<Mutex<BTreeMap<String, Entry>>>,
}

#[derive(Debug, Clone)]
struct Entry {
    stub: &'static str,
    state: String,
    counts: Arc<Counts>,
}

/// What one listener is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerStatus {
    /// Its transport and address, as `tls 10.0.0.1:853`.
    pub place: String,
    /// As which stub it answers.
    pub stub: &'static str,
    /// `open`, or what keeps it from being so.
    pub state: String,
    /// Questions taken.
    pub queries: u64,
    /// Datagrams and connections of clients that are not on its list.
    pub strangers: u64,
    /// Questions and connections of clients that had their share, or asked too often.
    pub limited: u64,
    /// Questions that could be read, and that nobody is told the answer to here: without RD, of another class, for a transfer, with another
    /// opcode or version of EDNS.
    pub refused: u64,
    /// Messages that cannot be read, connections that broke the rules or were too slow.
    pub malformed: u64,
    /// Datagrams from ports whose owners answer to anything.
    pub reflective: u64,
    /// Connections that are open.
    pub connections: u64,
}

/// Counters of one listener.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) queries: Count,
    pub(super) strangers: Count,
    pub(super) limited: Count,
    pub(super) refused: Count,
    pub(super) malformed: Count,
    pub(super) reflective: Count,
    pub(super) connections: Count,
}

/// A number that several threads see.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// Adds one.
    pub(super) fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds some.
    pub(super) fn add(&self, some: u64) {
        if some > 0 {
            self.0.fetch_add(some, Ordering::Relaxed);
        }
    }

    /// Takes one away.
    pub(super) fn down(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Board {
    /// Returns what every listener is doing.
    pub fn status(&self) -> Vec<ListenerStatus> {
        let entries = self.lock();
        let entries = entries.iter();
        entries
            .map(|(place, entry)| ListenerStatus {
                place: place.clone(),
                stub: entry.stub,
                state: entry.state.clone(),
                queries: entry.counts.queries.read(),
                strangers: entry.counts.strangers.read(),
                limited: entry.counts.limited.read(),
                refused: entry.counts.refused.read(),
                malformed: entry.counts.malformed.read(),
                reflective: entry.counts.reflective.read(),
                connections: entry.counts.connections.read(),
            })
            .collect()
    }

    /// Notes a listener; one at the same place keeps its counters.
    pub(super) fn open(&self, place: &str, stub: &'static str) -> Arc<Counts> {
        let mut entries = self.lock();
        let entry = entries.entry(place.to_owned()).or_insert_with(|| Entry {
            stub,
            state: "opening".to_owned(),
            counts: Arc::default(),
        });
        entry.stub = stub;
        Arc::clone(&entry.counts)
    }

    /// Notes what a listener is doing; true when that is news.
    pub(super) fn note(&self, place: &str, state: &str) -> bool {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(place) else {
            return false;
        };
        let news = entry.state != state;
        state.clone_into(&mut entry.state);
        news
    }

    /// Forgets a listener.
    pub(super) fn close(&self, place: &str) {
        self.lock().remove(place);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
