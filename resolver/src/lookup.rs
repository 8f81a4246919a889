//! What is being asked of upstreams, and for whom? Identical questions in flight share one [`Lookup`].
//!
//! A lookup is at home in one scope for its whole life and knows no other. This file keeps the books; `ask` drives.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hasher as _;
use std::time::Duration;

use config::model::Upstream;
use config::time::Instant;
use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;
use hashbrown::HashTable;

use crate::ask::ATTEMPTS_MAX;
use crate::conclude::Conclusion;
use crate::event::{ExchangeId, Failure, Step};
use crate::exchange::Asking;
use crate::failure::Cause;
use crate::numbered::{Numbered, Rooms};
use crate::reach::Asked;
use crate::record::ParsedReply;
use crate::recursion::Walk;
use crate::refusal::Refused;
use crate::upstream::Doubt;
use crate::validate::Judging;

/// How long a lookup takes in more queries; then a new one starts, so that none waits on attempts long past.
pub(crate) const JOIN_LIFETIME: Duration = Duration::from_secs(4);
/// Lookups of a scope that have ended and are still in its list, besides as many as are under way.
const ENDED_MAX: usize = 64;
/// How many of the first are looked at.
const OLDEST_MAX: usize = 16;
/// For how many a list has room that is kept for the next lookup: more than one are rare, and a crowd's list is long.
const LIST_ROOM: usize = 4;

/// A question on its way to the upstreams of a scope.
#[derive(Debug)]
pub(crate) struct Lookup {
    pub(crate) asking: Asking,
    pub(crate) started_at: Instant,
    pub(crate) sent_at: Instant,
    /// Messages sent, repetitions by TCP or without EDNS included.
    pub(crate) attempts: u8,
    /// How often all upstreams have been gone through.
    pub(crate) round: u8,
    pub(crate) waiters: Vec<Waiter>,
    pub(crate) exchanges: Vec<ExchangeId>,
    /// Asked in this round.
    pub(crate) tried: Vec<Upstream>,
    /// Asked at all, in order.
    pub(crate) asked: Vec<Upstream>,
    /// Asked by stream where datagrams brought nothing.
    pub(crate) streamed: Vec<Upstream>,
    /// Those that refused a stream.
    pub(crate) shut: Vec<Upstream>,
    /// Those that were said to be out of reach when they were asked once more.
    pub(crate) lost: Vec<Upstream>,
    /// Those that called a query with EDNS an error.
    pub(crate) plain: Vec<Upstream>,
    /// Those that called a query with a cookie an error.
    pub(crate) bare: Vec<Upstream>,
    /// Those that called our cookie wrong.
    pub(crate) bad_cookie: Vec<Upstream>,
    /// Those that sent our question back to us.
    pub(crate) looped: Vec<Upstream>,
    /// Those that a mark went to.
    pub(crate) marked: Vec<Upstream>,
    /// Whether somebody asked the same while it was under way.
    pub(crate) doubled: bool,
    /// Replies in a guise that is not their own, by upstream.
    pub(crate) doubted: Vec<(Upstream, Doubt, ParsedReply)>,
    pub(crate) failures: Vec<(Upstream, Failure)>,
    /// How many of those are of upstreams that were not asked, as too much is under way to them.
    pub(crate) passed_by: usize,
    /// The best of the replies that are errors.
    pub(crate) bad: Option<(Upstream, ParsedReply)>,
    /// Who replied with errors: those are not asked again.
    pub(crate) errors: Vec<(Upstream, u16)>,
    /// When the first error was at hand.
    pub(crate) bad_at: Instant,
    /// Who gave the reply that counts.
    pub(crate) won_by: Option<Upstream>,
    /// A good reply that is being judged.
    pub(crate) judging: Option<Box<Judging>>,
    /// How far it is without its upstreams.
    pub(crate) walk: Option<Box<Walk>>,
    /// Whether that was tried.
    pub(crate) walked: bool,
    /// Whether it was asked before something was forgotten, which it must not bring back.
    pub(crate) antedates: bool,
    /// Whether its walk is under way and nobody has replied to it yet.
    pub(crate) scouts: bool,
    /// Replies that its walk has had.
    pub(crate) walk_replies: u16,
    /// What is handed on when it is in vain.
    pub(crate) second_best: Option<Conclusion>,
    /// What was wrong with the last reply that was judged bogus.
    pub(crate) bogus: Option<Refused>,
    pub(crate) steps: Vec<Step>,
}

/// Who waits for a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiter {
    /// A client's question.
    Query(u64),
    /// The judging of another lookup's reply, which needs this for its chain of trust.
    Judging(u64),
    /// The proof that a scope, by its incarnation, can validate.
    Proof(u64),
    /// Whoever keeps the trust points.
    Keys,
    /// Nobody in particular: what it brings is kept for the next who asks.
    Nobody,
    /// The scope, to learn of encrypted forms of an upstream.
    Discovery,
    /// Who wants to know whether the network's own DNS serves a zone in `.local`.
    LocalZone,
    /// Those who want to know by which prefix a scope's network translates, by the scope's incarnation.
    Prefix(u64),
    /// Who finds out how far a link reaches.
    Reach(Asked),
}

impl Waiter {
    /// Whether it is a client, whose time ends it.
    pub(crate) const fn is_client(self) -> bool {
        matches!(self, Self::Query(_))
    }
}

/// All lookups.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    lookup_by_id: Numbered<Lookup>,
    /// Those that may be joined, by what makes questions identical.
    joinable: HashTable<Joinable>,
    seed: u64,
    crowd_by_incarnation: BTreeMap<u64, Crowd>,
    last: u64,
    rooms: Rooms<Lookup>,
}

/// A lookup, with the hash of what makes its question identical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Joinable {
    id: u64,
    hash: u64,
}

/// The lookups of a scope.
#[derive(Debug, Default)]
struct Crowd {
    count: usize,
    /// In the order in which they began; those that have ended are taken out later.
    begun: VecDeque<u64>,
}

impl Lookups {
    /// Makes none yet; `seed` must not be guessable by whoever chooses names.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }

    /// Returns the lookup that a query may join.
    pub(crate) fn joinable(&self, asking: &Asking, now: Instant) -> Option<u64> {
        let id = self.find(asking, hash(asking, self.seed))?;
        let lookup = self.lookup_by_id.get(id)?;
        // One that may send no more has nothing to offer to whoever comes after an outage.
        let is_spent = lookup.attempts >= ATTEMPTS_MAX && lookup.judging.is_none();
        (now.since(lookup.started_at) < JOIN_LIFETIME && !is_spent).then_some(id)
    }

    pub(crate) fn start(&mut self, asking: Asking, now: Instant) -> u64 {
        self.last += 1;
        let hash = hash(&asking, self.seed);
        if let Some(before) = self.find(&asking, hash)
            && let Ok(entry) = self.joinable.find_entry(hash, |other| other.id == before)
        {
            entry.remove();
        }
        let crowd = self
            .crowd_by_incarnation
            .entry(asking.incarnation)
            .or_default();
        crowd.count += 1;
        crowd.begun.push_back(self.last);
        // Each that has ended is passed over once for each that has begun, on the average.
        if crowd.begun.len() > 2 * crowd.count + ENDED_MAX {
            let alive = &self.lookup_by_id;
            let last = self.last;
            crowd
                .begun
                .retain(|id| *id == last || alive.get(*id).is_some());
        }
        let mut room = self.rooms.take();
        let lists = room.as_deref_mut().map_or_else(Lists::new, Lists::of);
        let lookup = Rooms::fill(room, Lookup::new(asking, now, lists));
        self.lookup_by_id.insert(self.last, lookup);
        let joinable = Joinable {
            id: self.last,
            hash,
        };
        self.joinable
            .insert_unique(hash, joinable, |joinable| joinable.hash);
        self.last
    }

    /// Keeps the room of a lookup that has ended, and of its lists.
    pub(crate) fn keep_room(&mut self, mut ended: Box<Lookup>) {
        ended.empty();
        self.rooms.put(ended);
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Lookup> {
        self.lookup_by_id.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut Lookup> {
        self.lookup_by_id.get_mut(id)
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<Box<Lookup>> {
        let lookup = self.lookup_by_id.remove(id)?;
        let incarnation = lookup.asking.incarnation;
        if let Some(crowd) = self.crowd_by_incarnation.get_mut(&incarnation) {
            crowd.count -= 1;
            if crowd.count == 0 {
                self.crowd_by_incarnation.remove(&incarnation);
            }
        }
        let hash = hash(&lookup.asking, self.seed);
        if let Ok(entry) = self.joinable.find_entry(hash, |other| other.id == id) {
            entry.remove();
        }
        Some(lookup)
    }

    /// Returns how many there are for a scope, by its incarnation.
    pub(crate) fn of_scope(&self, incarnation: u64) -> usize {
        let crowd = self.crowd_by_incarnation.get(&incarnation);
        crowd.map_or(0, |crowd| crowd.count)
    }

    /// Returns one of the first lookups of a scope, by the scope's incarnation, that fits.
    pub(crate) fn oldest_of(
        &mut self,
        incarnation: u64,
        fits: impl Fn(&Lookup) -> bool,
    ) -> Option<u64> {
        let crowd = self.crowd_by_incarnation.get_mut(&incarnation)?;
        while let Some(first) = crowd.begun.front()
            && self.lookup_by_id.get(*first).is_none()
        {
            crowd.begun.pop_front();
        }
        let mut oldest = crowd.begun.iter().take(OLDEST_MAX).copied();
        oldest.find(|id| self.lookup_by_id.get(*id).is_some_and(&fits))
    }

    /// Returns those for the same question in the same scope, however and of whom it is asked; of those that may be joined.
    pub(crate) fn asking_for(&self, asking: &Asking) -> Vec<u64> {
        let fits = |joinable: &&Joinable| {
            let lookup = self.lookup_by_id.get(joinable.id);
            lookup.is_some_and(|lookup| {
                lookup.asking.recurse == asking.recurse && asks_same(&lookup.asking, asking)
            })
        };
        let found = self.joinable.iter_hash(hash(asking, self.seed));
        let mut ids: Vec<u64> = found.filter(fits).map(|joinable| joinable.id).collect();
        ids.sort_unstable();
        ids
    }

    fn find(&self, asking: &Asking, hash: u64) -> Option<u64> {
        let is_same = |joinable: &Joinable| {
            let lookup = self.lookup_by_id.get(joinable.id);
            lookup.is_some_and(|lookup| is_same(&lookup.asking, asking))
        };
        let found = self.joinable.find(hash, is_same);
        found.map(|joinable| joinable.id)
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.lookup_by_id.numbers()
    }
}

/// The lists of a lookup that nearly every one fills.
struct Lists {
    waiters: Vec<Waiter>,
    exchanges: Vec<ExchangeId>,
    tried: Vec<Upstream>,
    asked: Vec<Upstream>,
    steps: Vec<Step>,
}

impl Lists {
    /// Makes new ones.
    fn new() -> Self {
        Self {
            // Nearly always one of each; room for four, which a first push makes, is 2 KiB.
            waiters: Vec::with_capacity(1),
            exchanges: Vec::with_capacity(1),
            tried: Vec::with_capacity(1),
            asked: Vec::with_capacity(1),
            steps: Vec::new(),
        }
    }

    /// Takes those of a lookup that was emptied.
    fn of(ended: &mut Lookup) -> Self {
        Self {
            waiters: std::mem::take(&mut ended.waiters),
            exchanges: std::mem::take(&mut ended.exchanges),
            tried: std::mem::take(&mut ended.tried),
            asked: std::mem::take(&mut ended.asked),
            steps: std::mem::take(&mut ended.steps),
        }
    }
}

impl Lookup {
    /// Makes a lookup that nothing has happened to; `lists` are empty.
    fn new(asking: Asking, now: Instant, lists: Lists) -> Self {
        Self {
            asking,
            started_at: now,
            sent_at: now,
            attempts: 0,
            round: 0,
            waiters: lists.waiters,
            exchanges: lists.exchanges,
            tried: lists.tried,
            asked: lists.asked,
            streamed: Vec::new(),
            shut: Vec::new(),
            lost: Vec::new(),
            plain: Vec::new(),
            bare: Vec::new(),
            bad_cookie: Vec::new(),
            looped: Vec::new(),
            marked: Vec::new(),
            doubled: false,
            doubted: Vec::new(),
            failures: Vec::new(),
            passed_by: 0,
            bad: None,
            errors: Vec::new(),
            bad_at: now,
            won_by: None,
            judging: None,
            walk: None,
            walked: false,
            antedates: false,
            scouts: false,
            walk_replies: 0,
            second_best: None,
            bogus: None,
            steps: lists.steps,
        }
    }

    /// Empties what the next one uses again, and gives up what few have and what may be large.
    fn empty(&mut self) {
        empty(&mut self.waiters);
        empty(&mut self.exchanges);
        empty(&mut self.tried);
        empty(&mut self.asked);
        empty(&mut self.steps);
        (self.bad, self.judging, self.walk) = (None, None, None);
        (self.second_best, self.bogus) = (None, None);
        self.doubted = Vec::new();
    }

    /// Returns whose doing it is that nobody has replied: this host's, when no message that it meant to send has left.
    pub(crate) fn cause(&self) -> Cause {
        let own = self.failures.iter();
        let own = own.filter(|(_, failure)| failure.cause() == Cause::Own);
        let has_left = self.asked.len() > own.count().saturating_sub(self.passed_by);
        // What a walk asks is not among those.
        let is_out = self.walked || !self.exchanges.is_empty();
        match is_out || has_left {
            true => Cause::Silence,
            false => Cause::Own,
        }
    }

    /// Whether there is a word of each that was asked of why there is no reply.
    pub(crate) fn is_told(&self) -> bool {
        let is_why = |failure| matches!(failure, Failure::Refused | Failure::Unreachable);
        self.asked.iter().all(|asked| {
            let mut failures = self.failures.iter();
            failures.any(|(upstream, failure)| upstream == asked && is_why(*failure))
        })
    }

    /// Whether this host could not ask somebody who was to be asked.
    pub(crate) fn is_hindered(&self) -> bool {
        let mut failures = self.failures.iter();
        failures.any(|(_, failure)| failure.cause() == Cause::Own)
    }

    /// Keeps an error reply if it is better than the one that is kept: one that says why is.
    pub(crate) fn keep_bad(&mut self, upstream: Upstream, reply: ParsedReply, now: Instant) {
        if self.errors.is_empty() {
            self.bad_at = now;
        }
        self.errors.push((upstream.clone(), reply.rcode));
        let says_why = |reply: &ParsedReply| !reply.extended_errors.is_empty();
        let better = self
            .bad
            .as_ref()
            .is_none_or(|(_, kept)| !says_why(kept) && says_why(&reply));
        if better {
            self.bad = Some((upstream, reply));
        }
    }
}

fn empty<T>(list: &mut Vec<T>) {
    list.clear();
    list.shrink_to(LIST_ROOM);
}

/// Whether one reply answers both.
fn is_same(one: &Asking, other: &Asking) -> bool {
    let bits = |asking: &Asking| {
        (
            asking.dnssec_ok,
            asking.checking_disabled,
            asking.validate,
            asking.recurse,
            asking.fleeting,
        )
    };
    bits(one) == bits(other)
        && asks_same(one, other)
        && one.whom == other.whom
        && one.mark == other.mark
}

/// Whether both ask the same in the same scope, for which the incarnation stands.
fn asks_same(one: &Asking, other: &Asking) -> bool {
    one.incarnation == other.incarnation && one.question == other.question
}

/// The rest of what makes questions identical differs seldom.
fn hash(asking: &Asking, seed: u64) -> u64 {
    let mut hasher = FoldHasher::with_seed(seed, SharedSeed::global_fixed());
    hasher.write_u64(asking.incarnation);
    hasher.write_u16(asking.question.record_type);
    hasher.write(asking.question.name.as_wire());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(name: &str) -> Asking {
        Asking::sample(name, 1)
    }

    /// Leaves something in everything that a lookup has.
    fn use_up(lookup: &mut Lookup, now: Instant) {
        let upstream: Upstream = "192.0.2.1".parse().unwrap();
        (lookup.attempts, lookup.round, lookup.passed_by) = (3, 2, 1);
        (lookup.sent_at, lookup.bad_at) = (now, now);
        lookup.waiters = (0..1000).map(Waiter::Query).collect();
        lookup.exchanges = (0..9).map(ExchangeId).collect();
        for list in [
            &mut lookup.tried,
            &mut lookup.asked,
            &mut lookup.streamed,
            &mut lookup.shut,
            &mut lookup.lost,
            &mut lookup.plain,
            &mut lookup.bare,
            &mut lookup.bad_cookie,
            &mut lookup.looped,
            &mut lookup.marked,
        ] {
            list.push(upstream.clone());
        }
        (lookup.doubled, lookup.walked) = (true, true);
        (lookup.antedates, lookup.scouts) = (true, true);
        lookup.walk_replies = 4;
        lookup
            .failures
            .push((upstream.clone(), Failure::Unreachable));
        lookup.errors.push((upstream.clone(), 2));
        lookup.second_best = Some(Conclusion::Refused(Refused::too_many()));
        lookup.bogus = Some(Refused::too_many());
        lookup.won_by = Some(upstream);
        lookup.steps = vec![Step::Synthesized("here"); 99];
    }

    #[test]
    fn a_lookup_in_a_used_room_is_as_a_new_one_and_keeps_no_crowd_of_lists() {
        let (before, now) = (Instant::from_nanos(1), Instant::from_nanos(7000));
        let mut lookups = Lookups::new(0);
        let first = lookups.start(asking("first.test"), before);
        use_up(lookups.get_mut(first).unwrap(), before);
        let ended = lookups.remove(first).unwrap();
        lookups.keep_room(ended);

        let second = lookups.start(asking("second.test"), now);
        let used = lookups.get(second).unwrap();
        let mut others = Lookups::new(0);
        let other = others.start(asking("second.test"), now);
        assert_eq!(
            format!("{used:?}"),
            format!("{:?}", others.get(other).unwrap())
        );
        let room = [
            used.waiters.capacity(),
            used.exchanges.capacity(),
            used.steps.capacity(),
        ];
        // New lists have room for one, or none.
        assert_eq!(room, [LIST_ROOM; 3]);
    }
}
