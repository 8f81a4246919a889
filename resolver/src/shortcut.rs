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
//!
//! Messages that have come together are answered together: all are read first, and then each part of the cache is locked once for
//! all that it knows. Between two locked instructions a processor begins nothing, so that one wait for memory would follow another.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use config::time::Instant;
use policy::{DnsPlan, ScopeId};

use crate::cache::{Cache, Key, Pass, SHARDS_MAX, Slot};
use crate::event::{Channel, Stub};
use crate::template::Template;
use crate::wire::{Envelope, NameBuffer, QueryView};

/// How many messages are answered together at most.
pub const TOGETHER: usize = 64;
/// What follows the last message of a part: more than any number of one.
const NOBODY: u8 = u8::MAX;

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

/// Room for the names in messages that are answered together; used again and again.
pub struct Room(Box<[NameBuffer]>);

/// An answer that is known, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    template: &'a Template,
    age: u32,
    envelope: Envelope<'a>,
}

/// A message that was read.
#[derive(Clone, Copy)]
struct Asked<'a> {
    /// What the caller knows it by.
    place: usize,
    view: QueryView<'a>,
    slot: Slot,
    hash: u64,
    /// The number of another of the same part.
    next: u8,
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
        self.look();
        if !self.ways.open {
            return false;
        }
        let mut buffer: NameBuffer = [0; 255];
        let Some((view, slot)) = self.ways.read(wire, &mut buffer) else {
            return false;
        };
        let pass = self.ways.pass(stub);
        let key = key(&view, slot);
        let answered = self.shared.cache.pass(&key, pass, now, |template, age| {
            let envelope = view.envelope(channel);
            let found = Found {
                template,
                age,
                envelope,
            };
            found.emit(out);
        });
        self.tally.add(u64::from(answered));
        answered
    }

    /// As [`Self::answer`] for messages that have come together, [`TOGETHER`] at most. Those with an answer are handed to `take`, in any
    /// order, by what the caller knows them by; it writes them somewhere while others wait for a lock. The rest is the core's.
    pub fn answer_all<'w>(
        &mut self,
        messages: impl IntoIterator<Item = (usize, &'w [u8])>,
        room: &mut Room,
        (stub, channel): (Stub, Channel),
        mut take: impl FnMut(usize, Found<'_>),
        now: Instant,
    ) {
        self.look();
        if !self.ways.open {
            return;
        }
        let (ways, cache) = (&*self.ways, &self.shared.cache);
        let mut asked = [const { None }; TOGETHER];
        let mut first_by_part = [NOBODY; SHARDS_MAX];
        let places = asked.iter_mut().zip(&mut room.0);
        for (number, ((asked, buffer), (place, wire))) in (0u8..).zip(places.zip(messages)) {
            let Some((view, slot)) = ways.read(wire, buffer) else {
                continue;
            };
            let hash = cache.hash(&key(&view, slot));
            let Some(first) = first_by_part.get_mut(cache.place(hash)) else {
                continue;
            };
            *asked = Some(Asked {
                place,
                view,
                slot,
                hash,
                next: std::mem::replace(first, number),
            });
        }
        let asked = |number: u8| asked.get(usize::from(number)).and_then(Option::as_ref);
        let pass = ways.pass(stub);
        let mut hits = 0;
        for (part, first) in first_by_part.into_iter().enumerate() {
            if first == NOBODY {
                continue;
            }
            let its = std::iter::successors(asked(first), |before| asked(before.next));
            let its =
                its.map(|asked: &Asked<'_>| (asked, key(&asked.view, asked.slot), asked.hash));
            hits += cache.pass_each(part, its, pass, now, |asked, template, age| {
                let envelope = asked.view.envelope(channel);
                let found = Found {
                    template,
                    age,
                    envelope,
                };
                take(asked.place, found);
            });
        }
        self.tally.add(hits);
    }

    /// Takes the ways in force.
    fn look(&mut self) {
        if self.ways.generation != self.shared.generation.load(Ordering::Acquire) {
            self.ways = self.shared.ways();
        }
    }
}

impl Found<'_> {
    /// Writes the answer over `out`; allocates only when that is too small.
    pub fn emit(&self, out: &mut Vec<u8>) {
        self.template.emit(&self.envelope, self.age, None, out);
    }
}

impl Room {
    /// Makes it for [`TOGETHER`] messages.
    pub fn new() -> Self {
        Self(vec![[0; 255]; TOGETHER].into_boxed_slice())
    }
}

impl Default for Room {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room").finish_non_exhaustive()
    }
}

impl Tally {
    /// Counts; only its shortcut does, so that no other thread's sum is lost.
    fn add(&self, hits: u64) {
        let before = self.hits.load(Ordering::Relaxed);
        self.hits.store(before + hits, Ordering::Relaxed);
    }
}

impl Ways {
    /// Reads a message whose question has a place in the cache.
    fn read<'m>(
        &self,
        wire: &'m [u8],
        buffer: &'m mut NameBuffer,
    ) -> Option<(QueryView<'m>, Slot)> {
        let view = QueryView::parse(wire, buffer).ok()?;
        let slot = self.slot(view.name)?;
        Some((view, slot))
    }

    const fn pass(&self, stub: Stub) -> Pass {
        Pass {
            epoch: self.epoch,
            stub,
        }
    }

    fn slot(&self, name: &[u8]) -> Option<Slot> {
        let place = self.plan.domains.place(name)?;
        *self.slots.get(place)?
    }
}

fn key<'a>(view: &QueryView<'a>, slot: Slot) -> Key<'a> {
    Key {
        slot,
        name: view.name,
        record_type: view.record_type,
        class: view.class,
        dnssec_ok: view.dnssec_ok(),
        checking_disabled: view.checking_disabled,
    }
}

/// Epoch 0 is that of entries nobody has a pass to.
fn next(epoch: u32) -> u32 {
    epoch.checked_add(1).unwrap_or(1)
}
