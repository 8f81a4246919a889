//! Sans-IO split-DNS stub resolver.
//!
//! [`Resolver`] takes questions, replies and time, and gives answers and messages to send. It opens no socket and reads
//! no clock. Its methods come in five families; the shell drives them in this order:
//!
//! 1. `apply_*`: a new plan, hosts table or set of local names.
//! 2. `handle_*`: a client's question, an upstream's reply or failure, a deadline that has passed.
//! 3. `poll_*`, each until `None`: `poll_answer`, `poll_transmit`, `poll_cancel`, `poll_hangup`, `poll_visit`, `poll_order`, `poll_event`; then `poll_timeout` for the
//!    next deadline.
//! 4. `handle_work` while `has_work`, when no input waits: what is left of a dear computation, slice by slice.
//! 5. Questions about itself: `status`, `counters`, `flush`.
//!
//! `now` never goes back between calls.

mod answer;
mod ask;
mod bounds;
pub mod cache;
pub mod carried;
mod chain;
mod conclude;
pub mod cookie;
mod denials;
pub mod designation;
mod discovery;
pub mod event;
mod exchange;
mod failure;
mod fetches;
mod flush;
mod guest;
pub mod histogram;
mod hopeless;
pub mod hosts;
mod labels;
mod learn;
pub mod ledger;
pub mod llmnr;
pub mod local;
mod lookup;
mod loops;
pub mod mdns;
mod memory;
mod neighbours;
mod networks;
mod numbered;
mod outages;
mod points;
pub mod present;
mod probing;
mod progress;
mod proof;
mod prospects;
mod query;
pub mod reach;
mod reader;
pub mod record;
pub mod recursion;
mod refusal;
mod reply;
mod scope;
mod search;
pub mod shortcut;
mod slices;
mod stale;
pub mod synthesize;
pub mod template;
#[cfg(test)]
mod tests;
mod timer;
mod trim;
mod trust;
mod underway;
mod upstream;
mod validate;
mod walks;
pub mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use config::time::Instant;
use dnssec::TrustAnchors;
use dnssec::crypto::Algorithms;
use policy::DnsPlan;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use cache::{Cache, Forget};
use exchange::Exchanges;
use hosts::Hosts;
use labels::Labels;
use ledger::Ledger;
use local::Local;
use lookup::{Lookups, Waiter};
use loops::Marks;
use neighbours::Neighbours;
use networks::Networks;
use numbered::Numbered;
use progress::Query;
use reach::Reaching;
use scope::Scopes;
use shortcut::Shortcuts;
use slices::Paused;
use stale::Keeping;
use timer::Timers;
use trust::Trust;
use walks::Walks;

pub use bounds::DATAGRAMS_MAX;
pub use flush::Flush;
pub use labels::is_never_called_out;
pub use prospects::Prospects;
pub use query::QUERIES_MAX;

pub use event::{
    Answer, Below, Channel, ClientId, ClientQuery, Clock, Counters, Event, ExchangeId, Failure,
    GroupId, Hangup, HttpFault, LocalNames, ScopeStatus, Stub, Timer, TlsFault, Trace, Transmit,
};

/// The split-DNS stub resolver; see the crate's page for how to drive it.
#[derive(Debug)]
pub struct Resolver {
    rng: StdRng,
    plan: Arc<DnsPlan>,
    scopes: Scopes,
    networks: Networks,
    /// When what is remembered was told last.
    memory_told_at: Option<Instant>,
    keeping: Keeping,
    neighbours: Neighbours,
    labels: Labels,
    reaching: Reaching,
    cache: Cache,
    shortcuts: Shortcuts,
    hosts: Hosts,
    local_names: LocalNames,
    local: Local,
    queries: Numbered<Query>,
    queries_by_client: BTreeMap<(ClientId, u64), u64>,
    last_query: u64,
    /// Whether so many questions were under way that their memory is worth giving back.
    was_crowded: bool,
    lookups: Lookups,
    exchanges: Exchanges,
    timers: Timers,
    answers: VecDeque<Answer>,
    marks: Marks,
    transmits: VecDeque<Transmit>,
    cancels: VecDeque<ExchangeId>,
    events: VecDeque<Event>,
    counters: Counters,
    ledger: Ledger,
    trace_hits: bool,
    /// Whether proofs count for other names than the one asked for.
    denies_again: bool,
    trust: Trust,
    paused: Paused,
    walks: Walks,
    clock: Clock,
    /// Queries that wait for the proof of a scope, by its incarnation.
    held_by_scope: BTreeMap<u64, Vec<u64>>,
    /// Until when the shell was away, last.
    back_at: Instant,
}

/// What a resolver needs to know before its first plan.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bytes that all caches together may take.
    pub cache_size: usize,
    /// Bytes that keys, cuts and verdicts may take.
    pub dnssec_cache_size: usize,
    /// Seed of ids and of the choice among equals; from the operating system, or fixed in tests.
    pub seed: [u8; 32],
}

impl Resolver {
    /// Makes a resolver that refuses everything until a plan is applied.
    pub fn new(settings: Settings) -> Self {
        let mut rng = StdRng::from_seed(settings.seed);
        // Whoever learns ids must not learn how names are hashed.
        let cache = Cache::new(settings.cache_size, rng.random());
        Self {
            shortcuts: Shortcuts::new(cache.clone()),
            cache,
            walks: Walks::new(rng.random()),
            lookups: Lookups::new(rng.random()),
            neighbours: Neighbours::new(rng.random()),
            labels: Labels::new(rng.random()),
            reaching: Reaching::default(),
            rng,
            plan: Arc::new(DnsPlan::default()),
            scopes: Scopes::default(),
            networks: Networks::default(),
            memory_told_at: None,
            keeping: Keeping::default(),
            hosts: Hosts::default(),
            local_names: LocalNames::default(),
            local: Local::default(),
            queries: Numbered::default(),
            queries_by_client: BTreeMap::new(),
            last_query: 0,
            was_crowded: false,
            exchanges: Exchanges::default(),
            timers: Timers::default(),
            answers: VecDeque::new(),
            marks: Marks::new(),
            transmits: VecDeque::new(),
            cancels: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            ledger: Ledger::default(),
            trace_hits: false,
            denies_again: true,
            trust: Trust::new(settings.dnssec_cache_size),
            paused: Paused::default(),
            clock: Clock::default(),
            held_by_scope: BTreeMap::new(),
            back_at: Instant::ZERO,
        }
    }

    /// Puts a new plan in force: scopes that are gone or whose link is another one lose their cache, and their
    /// questions in flight are answered with an error.
    pub fn apply_plan(&mut self, plan: Arc<DnsPlan>, now: Instant) {
        let before = self.scopes.status(&self.cache, now);
        self.scopes.apply(&plan, &self.networks, &self.cache, now);
        let after = self.scopes.status(&self.cache, now);
        self.ledger.carry(&before, &after);
        self.ledger.follow(&plan);
        let recorded_before = std::mem::replace(&mut self.plan, plan);
        if recorded_before.recorded != self.plan.recorded {
            self.shortcuts.void();
        }
        let scopes = &self.scopes;
        self.shortcuts
            .apply(&self.plan, |id| scopes.get(id).map(|scope| scope.slot));
        self.reroute(now);
        self.retract(now);
        self.apply_neighbours(now);
        self.apply_labels(now);
        self.attend(now);
        self.warm_new(now);
    }

    /// Takes what was remembered of networks, as [`Event::Networks`] told it, before the first plan; returns whether it
    /// can be read.
    pub fn apply_networks(&mut self, text: &str) -> bool {
        let networks = Networks::from_text(text);
        let readable = networks.is_some();
        self.networks = networks.unwrap_or_default();
        readable
    }

    /// Replaces the hosts table; `text` is in the form of hosts(5).
    pub fn apply_hosts(&mut self, text: &str) {
        self.hosts = Hosts::parse(text);
        self.shortcuts.void();
    }

    /// Replaces the names of the machine itself.
    pub fn apply_local_names(&mut self, names: LocalNames, now: Instant) {
        if names.addresses != self.local_names.addresses {
            self.scopes.renew_cookies();
        }
        self.local_names = names;
        self.shortcuts.void();
        self.apply_own_name(now);
    }

    /// Replaces the trust anchors; everything that was judged by the old ones is forgotten.
    pub fn apply_trust(&mut self, anchors: TrustAnchors) {
        self.trust.replace(&anchors);
        self.cache.flush(Forget::All);
        self.shortcuts.void();
    }

    /// Takes whether RSASHA1 and DS by SHA-1 count; everything that was judged otherwise is forgotten.
    pub fn apply_sha1(&mut self, counts: bool) {
        if self.trust.take_algorithms(Algorithms { sha1: counts }) {
            self.cache.flush(Forget::All);
            self.shortcuts.void();
        }
    }

    /// Takes from which servers names are resolved from the root down; none means those of the public root.
    pub fn apply_root_servers(&mut self, roots: &[IpAddr]) {
        self.walks.apply(roots);
    }

    /// Takes what time it is. When dates come to count, everything that was judged without them is forgotten.
    pub fn apply_clock(&mut self, clock: Clock) {
        let believed = clock.dates_count && !self.clock.dates_count;
        self.clock = clock;
        if believed {
            self.trust.forget();
            self.cache.flush(Forget::All);
            self.shortcuts.void();
        }
    }

    /// Has all connections to upstreams closed, as the machine is about to sleep: their other ends would wait for nobody.
    pub fn hang_up(&mut self) {
        self.scopes.hang_up();
    }

    /// Takes that the machine was asleep. Connections of before lead nowhere, though nobody says so, and are made anew, those of
    /// the default scope at once. What is known of upstreams and what is cached stays.
    pub fn handle_resume(&mut self, now: Instant) {
        self.scopes.hang_up();
        self.warm(now);
    }

    /// Takes that the shell was away until `now` (the machine was halted, or the process), while something was due; to be called before
    /// what has come meanwhile, and that before [`Resolver::handle_timeout`]. That replies to what was sent before are late, or missed,
    /// says nothing of upstreams, of servers from the root down, or of names. Questions of before are not displaced for others at once;
    /// their clients' time has gone on.
    pub fn handle_absence(&mut self, now: Instant) {
        self.back_at = now;
        self.walks.handle_absence(now);
    }

    /// Takes a client's question; the answer may be ready at once (cache, hosts, refusal).
    pub fn handle_query(&mut self, query: ClientQuery<'_>, now: Instant) {
        self.stir_reach(now);
        self.receive(query, None, now);
    }

    /// Takes a question of our own, for a tunnel's sake: it is asked below that tunnel.
    pub fn handle_query_below(&mut self, query: ClientQuery<'_>, below: Below, now: Instant) {
        self.scopes.expect_marks(below.mark);
        self.receive(query, Some(below), now);
    }

    /// Takes an upstream's reply.
    pub fn handle_reply(&mut self, exchange: ExchangeId, wire: &[u8], now: Instant) {
        self.take_reply(exchange, wire, now);
    }

    /// Takes the news that an exchange failed.
    pub fn handle_failure(&mut self, exchange: ExchangeId, failure: Failure, now: Instant) {
        self.take_failure(exchange, failure, now);
    }

    /// Acts on every deadline up to `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((timer, key)) = self.timers.pop(now) {
            match timer {
                Timer::Budget => self.take_budget(key, now),
                Timer::Hedge | Timer::Exchange | Timer::Probe | Timer::Walk => {
                    self.take_timeout(timer, key, now);
                }
                Timer::Proof => self.release(key, now),
                Timer::Memory => self.tell_memory(now),
                Timer::Stale => self.take_stale_timeout(key, now),
                Timer::Neighbours => self.take_neighbours_timeout(key, now),
                Timer::Labels => self.take_labels_timeout(now),
                Timer::Patience => self.lose_patience(key, now),
                Timer::Prefix => self.take_prefix_timeout(key, now),
                Timer::Reach => self.take_reach_timeout(key, now),
            }
        }
    }

    /// Forgets a client that went away; its question is not answered.
    pub fn handle_client_gone(&mut self, client: ClientId) {
        let own = self
            .queries_by_client
            .range((client, 0)..=(client, u64::MAX));
        let ids: Vec<u64> = own.map(|(_, &id)| id).collect();
        for id in ids {
            self.queries_by_client.remove(&(client, id));
            self.timers.clear(Timer::Budget, id);
            if let Some(query) = self.queries.remove(id)
                && let Some(lookup) = query.lookup
            {
                // Without the time, no exchange is old enough to count as lost.
                self.leave(lookup, Waiter::Query(id), Instant::ZERO);
            }
        }
    }

    /// Returns the next answer to send to a client.
    pub fn poll_answer(&mut self) -> Option<Answer> {
        self.answers.pop_front()
    }

    /// Returns the next message to send to an upstream.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// Returns the next exchange whose reply is of no use any more; the shell closes its socket.
    pub fn poll_cancel(&mut self) -> Option<ExchangeId> {
        self.cancels.pop_front()
    }

    /// Returns the next connections to close, whoever waits for something on them.
    pub fn poll_hangup(&mut self) -> Option<Hangup> {
        self.scopes.poll_hangup()
    }

    /// Returns the clock as it was last applied.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Returns the next thing worth telling.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns the next deadline and its reason.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        self.timers.next()
    }

    /// Makes traces for cache hits too, while somebody watches; off, a hit leaves counters only.
    pub fn trace_hits(&mut self, on: bool) {
        self.trace_hits = on;
        self.shortcuts.set_open(!on);
    }

    /// Returns what every scope is doing.
    pub fn status(&self, now: Instant) -> Vec<ScopeStatus> {
        let mut status = self.scopes.status(&self.cache, now);
        for scope in &mut status {
            self.ledger.fill(scope, now);
        }
        status
    }

    /// Returns whether, since this was last asked, so many questions were under way that their memory is worth giving back.
    pub fn take_crowd(&mut self) -> bool {
        std::mem::take(&mut self.was_crowded)
    }

    /// Takes how many datagrams of clients were dropped unread since the start.
    pub fn note_unread(&mut self, unread: u64) {
        self.counters.unread = unread;
    }

    /// Returns what has been done since the start.
    pub fn counters(&self) -> Counters {
        let hits = self.shortcuts.hits();
        Counters {
            queries: self.counters.queries + hits,
            cache_hits: self.counters.cache_hits + hits,
            ..self.counters
        }
    }

    /// Makes a way around the core for questions whose answers are in the cache, for a thread of its own.
    pub fn shortcut(&self) -> shortcut::Shortcut {
        self.shortcuts.another()
    }
}
