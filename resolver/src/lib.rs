//! Sans-IO split-DNS stub resolver.
//!
//! [`Resolver`] takes questions, replies and time, and gives answers and messages to send. It opens no socket and reads
//! no clock. Its methods come in four families; the shell drives them in this order:
//!
//! 1. `apply_*`: a new plan, hosts table or set of local names.
//! 2. `handle_*`: a client's question, an upstream's reply or failure, a deadline that has passed.
//! 3. `poll_*`, each until `None`: `poll_answer`, `poll_transmit`, `poll_cancel`, `poll_event`; then `poll_timeout` for the
//!    next deadline.
//! 4. Questions about itself: `status`, `counters`, `flush`.
//!
//! `now` never goes back between calls.

pub mod cache;
pub mod event;
pub mod hosts;
pub mod present;
mod reader;
pub mod record;
pub mod synthesize;
pub mod template;
pub mod wire;

use std::sync::Arc;

use config::name::DomainName;
use config::time::Instant;
use policy::{DnsPlan, ScopeId};

pub use event::{
    Answer, Channel, ClientId, ClientQuery, Counters, Event, ExchangeId, Failure, LocalNames,
    ScopeStatus, Stub, Timer, Trace, Transmit,
};

/// The split-DNS stub resolver; see the crate's page for how to drive it.
#[derive(Debug)]
pub struct Resolver {}

/// What a resolver needs to know before its first plan.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bytes that all caches together may take.
    pub cache_size: usize,
    /// Seed of ids and of the choice among equals; from the operating system, or fixed in tests.
    pub seed: [u8; 32],
}

/// What to forget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flush {
    /// Everything.
    All,
    /// A name and all below it, in every scope.
    Suffix(DomainName),
    /// One scope.
    Scope(ScopeId),
}

impl Resolver {
    /// Makes a resolver that refuses everything until a plan is applied.
    pub fn new(_settings: Settings) -> Self {
        Self {}
    }

    /// Puts a new plan in force: scopes that are gone or whose link is another one lose their cache, and their
    /// questions in flight are answered with an error.
    pub fn apply_plan(&mut self, _plan: Arc<DnsPlan>, _now: Instant) {}

    /// Replaces the hosts table; `text` is in the form of hosts(5).
    pub fn apply_hosts(&mut self, _text: &str) {}

    /// Replaces the names of the machine itself.
    pub fn apply_local_names(&mut self, _names: LocalNames) {}

    /// Takes a client's question; the answer may be ready at once (cache, hosts, refusal).
    pub fn handle_query(&mut self, _query: ClientQuery<'_>, _now: Instant) {}

    /// Takes an upstream's reply.
    pub fn handle_reply(&mut self, _exchange: ExchangeId, _wire: &[u8], _now: Instant) {}

    /// Takes the news that an exchange failed.
    pub fn handle_failure(&mut self, _exchange: ExchangeId, _failure: Failure, _now: Instant) {}

    /// Acts on every deadline up to `now`.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// Forgets a client that went away; its question is not answered.
    pub fn handle_client_gone(&mut self, _client: ClientId) {}

    /// Returns the next answer to send to a client.
    pub fn poll_answer(&mut self) -> Option<Answer> {
        None
    }

    /// Returns the next message to send to an upstream.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        None
    }

    /// Returns the next exchange whose reply is of no use any more; the shell closes its socket.
    pub fn poll_cancel(&mut self) -> Option<ExchangeId> {
        None
    }

    /// Returns the next thing worth telling.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// Returns the next deadline and its reason.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        None
    }

    /// Makes traces for cache hits too, while somebody watches; off, a hit leaves counters only.
    pub fn trace_hits(&mut self, _on: bool) {}

    /// Forgets; returns the number of entries dropped.
    pub fn flush(&mut self, _what: &Flush) -> usize {
        0
    }

    /// Returns what every scope is doing.
    pub fn status(&self, _now: Instant) -> Vec<ScopeStatus> {
        Vec::new()
    }

    /// Returns what has been done since the start.
    pub fn counters(&self) -> Counters {
        Counters::default()
    }
}
