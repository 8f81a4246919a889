//! How is a name resolved without anybody's help? An iterative resolver: from the root down, zone by zone.
//!
//! [`Recursion`] holds what all questions share: servers, delegations, the root. A [`Walk`] is one question; for its user it is
//! like one recursive upstream that does not validate and understands DO. Both are pure: the shell, or whoever drives,
//! sends what [`Walk::poll_transmit`] gives and hands back what came. Order: `handle_*`, then `poll_transmit` and
//! `poll_cancel` until `None`, `poll_done`, `poll_timeout`.
//!
//! ```text
//! prime the root ─► closest known zone ─► ask one of its servers for a part of the name (RFC 9156)
//!                          ▲                 │ referral down: that zone · nothing said: more of the name
//!                          │                 │ alias: the same for its target · no server with address: a walk inside the walk
//!                          └─────────────────┤ answer: done
//! ```
//!
//! # Limitations
//! Answers are not kept here, only the way to them: the caller has a cache. Nothing is validated; proofs are passed on.

mod address;
mod bounded;
mod delegations;
mod descend;
mod minimise;
mod roots;
mod servers;
mod sort;
mod task;
mod walk;

use std::net::IpAddr;
use std::time::Duration;

use config::name::DomainName;
use config::time::Instant;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::wire::Question;
use delegations::Delegations;
use roots::Roots;
use servers::Servers;

pub use address::Addresses;
pub use roots::{ROOT_HINTS, built_in_hints};
pub use walk::{ASKS_MAX, Ask, AskId, Walk, WalkFailure};

/// Octets that delegations and server addresses take by default.
pub const MEMORY_DEFAULT: usize = 1 << 20;

/// What recursion needs to know before the first question.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Seed of the choice among equal servers.
    pub seed: [u8; 32],
    /// Octets that delegations and server addresses may take.
    pub memory: usize,
    /// Which addresses learned from replies may be asked.
    pub addresses: Addresses,
    /// The root's servers, for priming.
    pub hints: Vec<(DomainName, Vec<IpAddr>)>,
}

/// Which kinds of addresses the machine can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

/// What all walks share.
#[derive(Debug)]
pub struct Recursion {
    rng: StdRng,
    addresses: Addresses,
    servers: Servers,
    delegations: Delegations,
    roots: Roots,
    memory: usize,
    hints: Vec<(DomainName, Vec<IpAddr>)>,
    last_ask: u64,
    /// Until when the shell was away, last.
    back_at: Instant,
}

/// How much is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Size {
    /// Zones whose servers are known.
    pub delegations: usize,
    /// Servers of which something is known.
    pub servers: usize,
    /// Octets that delegations and server addresses take.
    pub octets: usize,
}

impl Settings {
    /// Makes settings for the public Internet.
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            seed,
            memory: MEMORY_DEFAULT,
            addresses: Addresses::Public,
            hints: built_in_hints(),
        }
    }
}

impl Recursion {
    /// Makes a resolver that knows the hints and nothing else.
    pub fn new(settings: Settings) -> Self {
        Self {
            rng: StdRng::from_seed(settings.seed),
            addresses: settings.addresses,
            servers: Servers::new(),
            delegations: Delegations::new(settings.memory),
            roots: Roots::new(settings.hints.clone()),
            memory: settings.memory,
            hints: settings.hints,
            last_ask: 0,
            back_at: Instant::ZERO,
        }
    }

    /// As [`Self::new`], one beside another: what both ask at a time has different numbers.
    pub fn beside(settings: Settings) -> Self {
        Self {
            last_ask: 1 << 63,
            ..Self::new(settings)
        }
    }

    /// Begins to resolve a question; it ends within `budget`.
    pub fn begin(
        &mut self,
        question: Question,
        dnssec_ok: bool,
        reach: Reach,
        budget: Duration,
        now: Instant,
    ) -> Walk {
        Walk::begin(question, dnssec_ok, reach, now + budget, self, now)
    }

    /// Takes that the shell was away until `now`: that replies to what was sent before are late, or missed, says nothing of servers.
    pub const fn handle_absence(&mut self, now: Instant) {
        self.back_at = now;
    }

    /// Forgets everything that was learned, for instance because the machine is in another network.
    pub fn flush(&mut self) {
        self.servers = Servers::new();
        self.delegations = Delegations::new(self.memory);
        self.roots = Roots::new(self.hints.clone());
    }

    /// Forgets the delegations of zones whose names, in wire form, are meant, and the addresses of such servers.
    pub fn forget_where(&mut self, is_meant: impl Fn(&[u8]) -> bool) {
        self.delegations.forget_where(is_meant);
    }

    /// Returns how much is remembered.
    pub fn size(&self) -> Size {
        Size {
            delegations: self.delegations.len(),
            servers: self.servers.len(),
            octets: self.delegations.size(),
        }
    }
}

#[cfg(test)]
mod tests;
