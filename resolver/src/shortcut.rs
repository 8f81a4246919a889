//! Which questions need no core? A [`Shortcut`] answers, on any thread, what is in the cache as it stands.
//!
//! It takes the steps of the long way that can be taken without waiting: read the question in place, find its scope in the
//! domain table of the plan in force, look into that scope's slot, copy the answer and patch it. An entry answers only with a
//! pass (see `cache`), so that names that are synthesized, searched or put together never come this way, nor do failures, which are
//! counted and logged each time. The core publishes what
//! is in force as `Ways`, whole; a shortcut notices before each question that there are new ones, and what older ones led to
//! is out of reach at once.
//!
//! Everything else is left to the core, which also answers when a shortcut cannot: byte for byte the same.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use config::time::Instant;
use policy::{DnsPlan, ScopeId};

use crate::cache::{Cache, Key, Pass, Slot};
use crate::event::{Channel, Stub};
use crate::wire::{NameBuffer, QueryView};

/// What is in force.
#[derive(Debug)]
struct Ways {
    /// Never that of other ways.
    generation: u64,
    /// Whether questions may go this way at all.
    open: bool,
    epoch: u32,
    plan: Arc<DnsPlan>,
    /// Where the answers of each scope of the domain table are.
    slots: Box<[Option<Slot>]>,
}

/// What the core shares with its shortcuts.
#[derive(Debug)]
struct Shared {
    /// That of `ways`.
    generation: AtomicU64,
    ways: Mutex<Arc<Ways>>,
    tallies: Mutex<Tallies>,
    cache: Cache,
}

/// What all shortcuts have done.
#[derive(Debug, Default)]
struct Tallies {
    /// Those that there are.
    live: Vec<Arc<Tally>>,
    /// The hits of those that are gone.
    past: u64,
}

/// What one shortcut has done, on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Tally {
    hits: AtomicU64,
}

/// The core's side: publishes ways, counts what all shortcuts have done.
#[derive(Debug)]
pub(crate) struct Shortcuts {
    shared: Arc<Shared>,
    /// The core's own.
    own: Shortcut,
    epoch: u32,
    open: bool,
}

/// Answers questions from the cache; one for each thread. A clone is another, for another thread.
#[derive(Debug)]
pub struct Shortcut {
    shared: Arc<Shared>,
    ways: Arc<Ways>,
    tally: Arc<Tally>,
}

impl Shortcuts {
    /// Makes one that leads nowhere yet.
    pub(crate) fn new(cache: Cache) -> Self {
        let ways = Arc::new(Ways {
            generation: 0,
            open: false,
            epoch: 0,
            plan: Arc::default(),
            slots: Box::default(),
        });
        let shared = Arc::new(Shared {
            generation: AtomicU64::new(0),
            ways: Mutex::new(ways),
            tallies: Mutex::default(),
            cache,
        });
        Self {
            own: Shortcut::new(&shared),
            shared,
            epoch: 1,
            open: true,
        }
    }

    /// Makes another, for a thread of its own.
    pub(crate) fn another(&self) -> Shortcut {
        Shortcut::new(&self.shared)
    }

    /// Returns the core's own.
    pub(crate) fn own(&mut self) -> &mut Shortcut {
        &mut self.own
    }

    /// Returns what a question needs that goes the long way to come this way next time.
    pub(crate) fn pass(&self, stub: Stub) -> Pass {
        Pass {
            epoch: self.epoch,
            stub,
        }
    }

    /// Puts a plan in force, and makes all passes void.
    pub(crate) fn apply(&mut self, plan: &Arc<DnsPlan>, slot: impl Fn(&ScopeId) -> Option<Slot>) {
        let slots = plan.domains.scopes().iter().map(slot).collect();
        let plan = Arc::clone(plan);
        self.epoch = next(self.epoch);
        self.publish(plan, slots);
    }

    /// Makes all passes void: every question goes the long way once more.
    pub(crate) fn void(&mut self) {
        self.epoch = next(self.epoch);
        self.again();
    }

    /// Opens or closes the way for all questions.
    pub(crate) fn set_open(&mut self, open: bool) {
        self.open = open;
        self.again();
    }

    /// Returns the questions that were answered this way.
    pub(crate) fn hits(&self) -> u64 {
        let tallies = self.shared.tallies();
        let live = tallies.live.iter();
        tallies.past
            + live
                .map(|tally| tally.hits.load(Ordering::Relaxed))
                .sum::<u64>()
    }

    fn again(&self) {
        let ways = self.shared.ways();
        self.publish(Arc::clone(&ways.plan), ways.slots.clone());
    }

    fn publish(&self, plan: Arc<DnsPlan>, slots: Box<[Option<Slot>]>) {
        let mut ways = self
            .shared
            .ways
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let generation = ways.generation + 1;
        *ways = Arc::new(Ways {
            generation,
            open: self.open,
            epoch: self.epoch,
            plan,
            slots,
        });
        self.shared.generation.store(generation, Ordering::Release);
    }
}

impl Shared {
    fn ways(&self) -> Arc<Ways> {
        let ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&ways)
    }

    fn tallies(&self) -> MutexGuard<'_, Tallies> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for Shortcut {
    fn clone(&self) -> Self {
        Self::new(&self.shared)
    }
}

impl Drop for Shortcut {
    fn drop(&mut self) {
        let mut tallies = self.shared.tallies();
        tallies.past += self.tally.hits.load(Ordering::Relaxed);
        tallies
            .live
            .retain(|tally| !Arc::ptr_eq(tally, &self.tally));
    }
}

impl Shortcut {
    fn new(shared: &Arc<Shared>) -> Self {
        let tally = Arc::new(Tally::default());
        shared.tallies().live.push(Arc::clone(&tally));
        Self {
            ways: shared.ways(),
            shared: Arc::clone(shared),
            tally,
        }
    }

    /// Answers a client's message over `out` if that can be done at once; otherwise it is the core's. Allocates only when
    /// `out` is too small.
    #[must_use]
    pub fn answer(
        &mut self,
        wire: &[u8],
        stub: Stub,
        channel: Channel,
        out: &mut Vec<u8>,
        now: Instant,
    ) -> bool {
        if self.ways.generation != self.shared.generation.load(Ordering::Acquire) {
            self.ways = self.shared.ways();
        }
        if !self.ways.open {
            return false;
        }
        let mut buffer: NameBuffer = [0; 255];
        let Ok(view) = QueryView::parse(wire, &mut buffer) else {
            return false;
        };
        let Some(slot) = self.ways.slot(view.name) else {
            return false;
        };
        let key = Key {
            slot,
            name: view.name,
            record_type: view.record_type,
            class: view.class,
            dnssec_ok: view.dnssec_ok(),
            checking_disabled: view.checking_disabled,
        };
        let pass = Pass {
            epoch: self.ways.epoch,
            stub,
        };
        let answered = self.shared.cache.pass(&key, pass, now, |template, age| {
            template.emit(&view.envelope(channel), age, None, out);
        });
        if answered {
            self.tally.add_hit();
        }
        answered
    }
}

impl Tally {
    /// Counts; only its shortcut does, so that nothing has to be locked.
    fn add_hit(&self) {
        let before = self.hits.load(Ordering::Relaxed);
        self.hits.store(before + 1, Ordering::Relaxed);
    }
}

impl Ways {
    fn slot(&self, name: &[u8]) -> Option<Slot> {
        let place = self.plan.domains.place(name)?;
        *self.slots.get(place)?
    }
}

/// Epoch 0 is that of entries nobody has a pass to.
fn next(epoch: u32) -> u32 {
    epoch.checked_add(1).unwrap_or(1)
}
