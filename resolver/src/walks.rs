//! When does the resolver go its own way, and how? A lookup that its upstreams cannot serve is resolved from the root down.
//!
//! ```text
//! nobody replies, or every reply was bogus ─► walk ─► judged, its chain fetched by walks too ─► handed on
//!                                               └ fails: what the upstreams gave; no walk for a while
//! ```
//!
//! Only where public names go: in the default scope, on its link, for names that nobody claims; and not in place of upstreams that are all
//! encrypted, as it is in the clear. How names are resolved from the
//! root is `recursion`'s; what a reply is worth is `validate`'s.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use config::model::{RecursionMode, Upstream};
use config::time::Instant;
use rand::RngExt as _;

use crate::Resolver;
use crate::chain;
use crate::conclude::{Conclusion, Version};
use crate::event::{Channel, ExchangeId, Failure, Step, Timer};
use crate::exchange::{Asking, Edns, Exchange, Mismatch, Purpose};
use crate::lookup::{Lookup, Waiter};
use crate::record::parse_reply;
use crate::recursion::{Addresses, AskId, Reach, Recursion, Settings, WalkFailure};
use crate::scope::Scope;
use crate::trim::trim_unproven;
use crate::wire::class;

/// How long one walk may take.
const WALK_BUDGET: Duration = Duration::from_millis(3500);
/// How long it may take while an answer is at hand that may be served.
const REFEREE_BUDGET: Duration = Duration::from_millis(1500);
/// How long no walk is tried after one that reached nobody.
const BLOCKED_FOR: Duration = Duration::from_secs(900);
/// The most walks at once that nobody has replied to yet, when nobody has replied to any lately: an outage of everything is not
/// for each question to find out.
const SCOUTS_MAX: usize = 64;
/// How long a reply says that walks are let through.
const LET_THROUGH_FOR: Duration = Duration::from_secs(2);

/// Own recursion, for one network at a time.
#[derive(Debug)]
pub(crate) struct Walks {
    recursion: Recursion,
    /// What those learn that were asked before something was forgotten; nobody else walks by it.
    apart: Recursion,
    settings: Settings,
    /// The incarnation of the scope that it has learned in.
    learned_in: u64,
    blocked_until: Instant,
    /// Walks under way that nobody has replied to yet.
    scouts: usize,
    replied_at: Option<Instant>,
}

impl Walks {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        let settings = Settings::new(seed);
        Self {
            recursion: Recursion::new(settings.clone()),
            apart: Recursion::beside(settings.clone()),
            settings,
            learned_in: 0,
            blocked_until: Instant::ZERO,
            scouts: 0,
            replied_at: None,
        }
    }

    /// Whether another walk may begin.
    fn has_room(&self, now: Instant) -> bool {
        let is_let_through = |at| now.since(at) < LET_THROUGH_FOR;
        now >= self.blocked_until
            && (self.scouts < SCOUTS_MAX || self.replied_at.is_some_and(is_let_through))
    }

    /// Takes from which servers to walk; none means those of the public root.
    pub(crate) fn apply(&mut self, roots: &[IpAddr]) {
        let mut settings = Settings::new(self.settings.seed);
        if let Ok(name) = "root-server.invalid".parse()
            && !roots.is_empty()
        {
            // A root of one's own lies wherever one has put it.
            settings.addresses = Addresses::Any;
            settings.hints = vec![(name, roots.to_vec())];
        }
        self.recursion = Recursion::new(settings.clone());
        self.apart = Recursion::beside(settings.clone());
        self.settings = settings;
        self.blocked_until = Instant::ZERO;
    }

    /// Notes that a lookup's walk was replied to, or has ended.
    pub(crate) fn end_scouting(&mut self, lookup: &mut Lookup) {
        if std::mem::take(&mut lookup.scouts) {
            self.scouts = self.scouts.saturating_sub(1);
        }
    }

    /// Until when no walk is tried, because the last one reached nobody.
    pub(crate) const fn blocked_until(&self) -> Instant {
        self.blocked_until
    }

    /// Returns where a lookup's walk learns.
    fn memory(&mut self, antedates: bool) -> &mut Recursion {
        match antedates {
            true => &mut self.apart,
            false => &mut self.recursion,
        }
    }

    /// Takes that the shell was away until `now`.
    pub(crate) const fn handle_absence(&mut self, now: Instant) {
        self.recursion.handle_absence(now);
        self.apart.handle_absence(now);
    }

    /// Forgets what was learned.
    pub(crate) fn flush(&mut self) {
        self.recursion.flush();
        self.apart.flush();
        self.blocked_until = Instant::ZERO;
        self.replied_at = None;
    }

    /// Forgets the delegations of zones that are meant, and the addresses of such servers.
    pub(crate) fn forget_where(&mut self, is_meant: impl Fn(&[u8]) -> bool) {
        self.recursion.forget_where(is_meant);
        // What was learned before the one time is forgotten by the other.
        self.apart.flush();
    }
}

impl Resolver {
    /// Whether a lookup may be resolved without its upstreams.
    pub(crate) fn may_walk(&self, id: u64, now: Instant) -> bool {
        let Some(lookup) = self.lookups.get(id) else {
            return false;
        };
        let may = |waiter: &Waiter| match waiter {
            // A proof is about the upstreams.
            Waiter::Proof(_) => false,
            Waiter::Reach(asked) => asked.may_walk(),
            Waiter::Query(_)
            | Waiter::Judging(_)
            | Waiter::Keys
            | Waiter::Nobody
            | Waiter::Discovery
            | Waiter::LocalZone
            | Waiter::Prefix(_) => true,
        };
        let is_reach = |waiter: &Waiter| matches!(waiter, Waiter::Reach(_));
        let (asking, waiters) = (&lookup.asking, &lookup.waiters);
        // A made-up name right below the root tells nobody anything, so that the way to the root is what counts. One that is
        // configured is somebody's.
        let is_made_up = !self.reaching.is_chosen(&asking.question.name);
        let is_for_reach = !waiters.is_empty() && waiters.iter().all(is_reach);
        // The keys that judge what a walk brought are asked for on the way that it was let go.
        let is_judging = |waiter: &Waiter| matches!(waiter, Waiter::Judging(_));
        let is_for_walked = asking.recurse && waiters.iter().all(is_judging);
        let mode = match is_for_reach && is_made_up || is_for_walked {
            true => self.planned_recursion(asking),
            false => self.recursion_of(asking),
        };
        !lookup.walked && waiters.iter().all(may) && self.may_walk_by(mode, asking, now)
    }

    /// Whether a question may be resolved without the upstreams of its scope.
    pub(crate) fn may_walk_for(&self, asking: &Asking, now: Instant) -> bool {
        self.may_walk_by(self.recursion_of(asking), asking, now)
    }

    fn may_walk_by(&self, mode: RecursionMode, asking: &Asking, now: Instant) -> bool {
        mode != RecursionMode::Never
            && self.walks.has_room(now)
            && asking.question.class == class::IN
            && self.plan.default_scope().as_ref() == Some(&asking.scope)
            && !self.is_island(&asking.question.name)
            // Nobody gets past a portal's door.
            && self.jail(&asking.scope).is_none()
    }

    /// Returns when questions of a scope are resolved without its upstreams. Servers from the root down are asked in the clear: where
    /// nobody else is, whoever stops the encrypted upstreams would be told all names (RFC 8310 §5).
    pub(crate) fn recursion_of(&self, asking: &Asking) -> RecursionMode {
        let mode = self.planned_recursion(asking);
        let scope = self.scopes.get(&asking.scope);
        match mode == RecursionMode::Auto && scope.is_some_and(Scope::is_encrypted) {
            true => RecursionMode::Never,
            false => mode,
        }
    }

    /// Returns what the configuration says of it.
    pub(crate) fn planned_recursion(&self, asking: &Asking) -> RecursionMode {
        let scope = self.scopes.get(&asking.scope);
        scope.map_or(RecursionMode::Never, |scope| scope.plan.recursion)
    }

    /// Begins to resolve a lookup's question from the root down.
    pub(crate) fn walk(&mut self, id: u64, now: Instant) {
        let Some(lookup) = self.lookups.get_mut(id) else {
            return;
        };
        lookup.walked = true;
        lookup.scouts = true;
        self.walks.scouts += 1;
        lookup.steps.push(Step::Walked(Arc::from("begun")));
        let (asking, antedates) = (lookup.asking.clone(), lookup.antedates);
        let budget = match lookup.second_best {
            Some(_) => REFEREE_BUDGET,
            None => WALK_BUDGET,
        };
        if self.walks.learned_in != asking.incarnation {
            self.walks.learned_in = asking.incarnation;
            self.walks.recursion.flush();
            self.walks.apart.flush();
        }
        let reach = self.reach();
        let walk = self.walks.memory(antedates).begin(
            asking.question,
            asking.dnssec_ok || asking.validate,
            reach,
            budget,
            now,
        );
        if let Some(lookup) = self.lookups.get_mut(id) {
            lookup.walk = Some(Box::new(walk));
        }
        self.go_on_walking(id, now);
    }

    /// Which kinds of addresses may be tried; the kernel says soon enough which of them lead nowhere.
    fn reach(&self) -> Reach {
        let outbound = &self.local_names.outbound;
        Reach {
            v4: true,
            v6: outbound.iter().any(IpAddr::is_ipv6),
        }
    }

    fn go_on_walking(&mut self, id: u64, now: Instant) {
        let Some(lookup) = self.lookups.get_mut(id) else {
            return;
        };
        let antedates = lookup.antedates;
        let Some(mut walk) = lookup.walk.take() else {
            return;
        };
        while let Some(ask) = walk.poll_cancel() {
            self.end_ask(id, ask);
        }
        while let Some(ask) = walk.poll_transmit() {
            // Neither an alias nor a server's name may lead a claimed name out of its scope.
            if self.is_island(&ask.question.name) {
                walk.handle_forbidden(ask.id, self.walks.memory(antedates), now);
                continue;
            }
            let Some(lookup) = self.lookups.get(id) else {
                return;
            };
            let asking = Asking {
                question: ask.question.clone(),
                ..lookup.asking.clone()
            };
            let Some(scope) = self.scopes.living(&asking.scope, asking.incarnation) else {
                walk.handle_failure(ask.id, Failure::NoLink, self.walks.memory(antedates), now);
                continue;
            };
            let server = Upstream::plain(ask.server);
            if ask.channel == Channel::Udp && self.exchanges.has_share(&asking, &server) {
                let failure = Failure::Resources;
                walk.handle_failure(ask.id, failure, self.walks.memory(antedates), now);
                continue;
            }
            let way = scope.way();
            let mut wire = ask.wire;
            let message: u16 = self.rng.random();
            if let Some(place) = wire.first_chunk_mut::<2>() {
                *place = message.to_be_bytes();
            }
            let exchange = Exchange::new(
                asking,
                Purpose::Walk(id, ask.id.0),
                server,
                ask.channel,
                Edns::With,
                message,
                now,
            );
            let transmit = self.exchanges.add(exchange, wire, way);
            self.counters.exchanges += 1;
            if let Some(lookup) = self.lookups.get_mut(id) {
                lookup.exchanges.push(transmit.exchange);
            }
            self.transmits.push_back(transmit);
        }
        if let Some(done) = walk.poll_done() {
            self.timers.clear(Timer::Walk, id);
            self.end_walk(id, done, walk.asks(), now);
            return;
        }
        match walk.poll_timeout() {
            Some(at) => self.timers.set(Timer::Walk, id, at),
            None => self.timers.clear(Timer::Walk, id),
        }
        if let Some(lookup) = self.lookups.get_mut(id) {
            lookup.walk = Some(walk);
        }
    }

    fn end_ask(&mut self, id: u64, ask: AskId) {
        let Some(lookup) = self.lookups.get(id) else {
            return;
        };
        let is_meant = |exchange: &&ExchangeId| {
            let open = self.exchanges.get(**exchange);
            open.is_some_and(|open| open.purpose == Purpose::Walk(id, ask.0))
        };
        if let Some(exchange) = lookup.exchanges.iter().find(is_meant).copied() {
            self.end_exchange(exchange);
        }
    }

    /// Takes a reply to a message of a walk.
    pub(crate) fn take_walk_reply(&mut self, exchange: ExchangeId, wire: &[u8], now: Instant) {
        let Some(open) = self.exchanges.get_mut(exchange) else {
            return;
        };
        let Purpose::Walk(id, ask) = open.purpose else {
            return;
        };
        let read = open.read(wire);
        if let Err(Mismatch::WaitOn(_) | Mismatch::Doubtful(..)) = read {
            self.counters.dropped += 1;
            return;
        }
        self.end_exchange(exchange);
        let Some(lookup) = self.lookups.get_mut(id) else {
            return;
        };
        lookup.walk_replies = lookup.walk_replies.saturating_add(1);
        self.walks.end_scouting(lookup);
        self.walks.replied_at = Some(now);
        if let Some(walk) = &mut lookup.walk {
            let recursion = self.walks.memory(lookup.antedates);
            match read {
                Ok(_) => {
                    let mut wire = wire.to_vec();
                    if let Some(place) = wire.first_chunk_mut::<2>() {
                        *place = [0; 2];
                    }
                    walk.handle_reply(AskId(ask), &wire, recursion, now);
                }
                Err(_) => walk.handle_failure(AskId(ask), Failure::Closed, recursion, now),
            }
        }
        self.go_on_walking(id, now);
    }

    /// Takes the news that a message of a walk was in vain.
    pub(crate) fn take_walk_failure(&mut self, id: u64, ask: u64, failure: Failure, now: Instant) {
        if let Some(lookup) = self.lookups.get_mut(id)
            && let Some(walk) = &mut lookup.walk
        {
            let recursion = self.walks.memory(lookup.antedates);
            walk.handle_failure(AskId(ask), failure, recursion, now);
        }
        self.go_on_walking(id, now);
    }

    /// Acts on a deadline of a walk.
    pub(crate) fn take_walk_timeout(&mut self, id: u64, now: Instant) {
        if let Some(lookup) = self.lookups.get_mut(id)
            && let Some(walk) = &mut lookup.walk
        {
            walk.handle_timeout(self.walks.memory(lookup.antedates), now);
        }
        self.go_on_walking(id, now);
    }

    fn end_walk(&mut self, id: u64, done: Result<Vec<u8>, WalkFailure>, asks: u16, now: Instant) {
        let Some(lookup) = self.lookups.get_mut(id) else {
            return;
        };
        let told = match &done {
            Ok(_) => format!("an answer after {asks} messages"),
            Err(failure) => failure.to_string(),
        };
        lookup.steps.push(Step::Walked(told.into()));
        self.walks.end_scouting(lookup);
        let question = lookup.asking.question.clone();
        let reply = done
            .as_ref()
            .ok()
            .and_then(|wire| parse_reply(wire, 0, &question).ok());
        let Some(reply) = reply else {
            if lookup.walk_replies == 0 && lookup.started_at >= self.back_at {
                // Nobody is let through to the servers.
                self.walks.blocked_until = now + BLOCKED_FOR;
                self.walks.replied_at = None;
            }
            self.after_walk(id, now);
            return;
        };
        lookup.asking.recurse = true;
        let asking = lookup.asking.clone();
        let plan = Arc::clone(&self.plan);
        let mut hop = chain::follow(&asking.question, &asking.scope, reply, |name| {
            plan.domains.route(name)
        });
        if asking.validate {
            let root = Upstream::plain(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
            self.judge(id, &root, hop, None, now);
            return;
        }
        trim_unproven(&mut hop, &asking.question.name);
        let template = self.store(&asking, &hop, now);
        self.conclude(
            id,
            &Conclusion::whole(Version::new(hop, template), None),
            now,
        );
    }

    /// Goes on after a walk that brought nothing: what the upstreams gave, or may still give, is all there is.
    pub(crate) fn after_walk(&mut self, id: u64, now: Instant) {
        let Some(lookup) = self.lookups.get_mut(id) else {
            return;
        };
        if let Some(second_best) = lookup.second_best.take() {
            self.conclude(id, &second_best, now);
            return;
        }
        let untouched = lookup.attempts == 0 && !lookup.asking.recurse;
        if untouched && self.ask_next(id, now) {
            return;
        }
        let waits = self
            .lookups
            .get(id)
            .is_some_and(|lookup| !lookup.exchanges.is_empty());
        if !waits {
            self.conclude_failed(id, now);
        }
    }
}
