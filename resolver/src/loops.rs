//! Is a question our own, come back? An upstream that forwards to us sends it to us as somebody else's.
//!
//! Both would wait for each other: so the copy is told, and its asker answers with an error, which ends the circle. Most copies have
//! our spelling, or our id. A forwarder that spells names itself gives nothing away: when what is being asked of an upstream is asked from
//! the same side, this host or another one, it gets a mark after it, which is a question for the same name with a type that nobody has a
//! use for; where the question has to be repeated, whoever else asks the same is enough. When the mark comes back before a reply, the
//! upstream is known to forward to us, and nothing is expected of it for that question. One whose mark does not come back gets none for a
//! while, but with repetitions. Whoever guesses a mark has one guess. Other names are asked of it as before: it may know them itself. What
//! came back is known of the name and of those below it; of all others when the root was among it, or names that have nothing in common.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use config::model::Upstream;
use config::name::DomainName;
use config::time::Instant;
use policy::{Route, Target};
use rand::RngExt as _;

use crate::Resolver;
use crate::conclude::FAILURE_LIFETIME;
use crate::event::{Channel, ExchangeId, Step, Timer};
use crate::exchange::{Asking, Exchange, Purpose, Whom};
use crate::guest::is_withheld;
use crate::progress::{Next, Outcome, Query};
use crate::record::ParsedReply;
use crate::refusal::Refused;
use crate::wire::{Question, rcode};

/// How long an upstream that has forwarded to us is known to.
const REMEMBERED: Duration = Duration::from_secs(30);
/// How long one that kept a mark gets none at once: its log shows one now and then, no more.
const STRAIGHT: Duration = Duration::from_secs(600);
/// Types for private use (RFC 6895 §3.1): asked by nobody, and passed on by whoever obeys RFC 3597 §3.
const MARKS: RangeInclusive<u16> = 65_280..=65_534;
/// The most marks that an upstream may have and not have sent back.
const OPEN_MAX: usize = 4;
/// What Extended DNS Errors say of a question that nobody answered (RFC 8914 §4): nothing, a failure of before, nobody reachable, the network.
const NOBODY_ANSWERED: [u16; 4] = [0, 13, 22, 23];
/// So many names of different top-level domains must have come back from an upstream itself before that is taken for its way with all: it may
/// forward to us a few domains only, and whoever owns one sees what is asked for in it, and may send it to us in its stead.
const UNRELATED_MIN: usize = 3;
/// The most names that are known to come back from an upstream.
const SEEN_MAX: usize = 8;
const WHY: &str = "it sends our question back to us";

/// A mark under way.
#[derive(Debug)]
pub(crate) struct Mark {
    exchange: ExchangeId,
    /// The question that it went with.
    asking: Asking,
    upstream: Upstream,
    is_back: bool,
}

impl Mark {
    /// Whether it is still open whether this upstream of a scope sends it back.
    fn is_open(&self, upstream: &Upstream, incarnation: u64) -> bool {
        !self.is_back && self.asking.incarnation == incarnation && self.upstream == *upstream
    }
}

/// Marks by the types of their questions: as many as there are types, each until its exchange ends.
pub(crate) type Marks = BTreeMap<u16, Mark>;

/// Which names an upstream has sent back to us lately.
#[derive(Debug, Clone, Default)]
pub(crate) struct Looped {
    /// The oldest first.
    seen: Vec<Seen>,
}

/// A name that came back.
#[derive(Debug, Clone)]
struct Seen {
    name: DomainName,
    /// Whether it came from where the upstream is.
    from_there: bool,
    until: Instant,
}

impl Looped {
    /// Whether anything came back.
    pub(crate) fn any(&self, now: Instant) -> bool {
        self.seen.iter().any(|seen| now < seen.until)
    }

    /// Whether a name would come back too, as far as can be told.
    pub(crate) fn reaches(&self, name: &DomainName, now: Instant) -> bool {
        let seen = self.seen.iter().filter(|seen| now < seen.until);
        let mut tops = BTreeSet::new();
        for seen in seen {
            if name.is_in(&seen.name) {
                return true;
            }
            if seen.from_there {
                tops.insert(seen.name.labels().last());
            }
        }
        tops.len() >= UNRELATED_MIN
    }

    /// Takes a name that came back.
    pub(crate) fn take(&mut self, name: DomainName, from_there: bool, now: Instant) {
        self.seen
            .retain(|seen| now < seen.until && seen.name != name);
        if self.seen.len() >= SEEN_MAX {
            // One more of a domain tells nothing new, and the root tells most.
            let alike = |seen: &Seen| seen.name.labels().last() == name.labels().last();
            let place = self.seen.iter().position(alike);
            let place = place.or_else(|| self.seen.iter().position(|seen| !seen.name.is_root()));
            self.seen.remove(place.unwrap_or(0));
        }
        self.seen.push(Seen {
            name,
            from_there,
            until: now + REMEMBERED,
        });
    }
}

impl Resolver {
    /// Returns the upstream that sends a question back which we asked it.
    pub(crate) fn own_question(
        &mut self,
        query: &Query,
        asking: &Asking,
        now: Instant,
    ) -> Option<Upstream> {
        let parsed = &query.parsed;
        let ids = self.lookups.asking_for(asking);
        let mut copied = None;
        for &id in &ids {
            let Some(lookup) = self.lookups.get_mut(id) else {
                continue;
            };
            lookup.doubled = true;
            let is_copied = |exchange: &ExchangeId| {
                let exchange = self.exchanges.get(*exchange)?;
                exchange
                    .is_copied_by(parsed.id, &parsed.question_wire)
                    .then(|| exchange.upstream.clone())
            };
            let Some(upstream) = lookup.exchanges.iter().find_map(is_copied) else {
                continue;
            };
            if !lookup.looped.contains(&upstream) {
                lookup.looped.push(upstream.clone());
                lookup.steps.push(Step::Dropped(upstream.clone(), WHY));
            }
            self.note_loop(asking, &upstream, query.origin, now);
            copied = Some(upstream);
            break;
        }
        for id in ids {
            self.mark_suspects(id, query.origin, now);
        }
        copied
    }

    /// Sends marks after a question that somebody at `origin` asks too, to those whom it went to and who forward to us, or may.
    fn mark_suspects(&mut self, id: u64, origin: Option<IpAddr>, now: Instant) {
        let Some(lookup) = self.lookups.get(id) else {
            return;
        };
        let asking = &lookup.asking;
        let Some(scope) = self.scopes.living(&asking.scope, asking.incarnation) else {
            return;
        };
        let may_loop = |exchange: &&Exchange| {
            let upstream = &exchange.upstream;
            let may_be = origin.is_some_and(|origin| may_be(origin, upstream));
            let state = scope.state(upstream);
            state.is_some_and(|it| it.looped().any(now) || may_be && it.may_loop(now))
        };
        let exchanges = lookup.exchanges.iter();
        let open = exchanges.filter_map(|exchange| self.exchanges.get(*exchange));
        let suspects: Vec<(Upstream, Channel)> = open
            .filter(may_loop)
            .map(|exchange| (exchange.upstream.clone(), exchange.channel))
            .collect();
        for (upstream, channel) in suspects {
            self.mark(id, &upstream, channel, now);
        }
    }

    /// Sends a mark after a question that is asked again, when somebody else asks it too, or when its upstream is known to forward to us: one
    /// that waits for us already may not ask again.
    pub(crate) fn mark_again(
        &mut self,
        id: u64,
        upstream: &Upstream,
        channel: Channel,
        now: Instant,
    ) {
        let Some(lookup) = self.lookups.get(id) else {
            return;
        };
        let asking = &lookup.asking;
        let scope = self.scopes.living(&asking.scope, asking.incarnation);
        let state = scope.and_then(|scope| scope.state(upstream));
        let loops = state.is_some_and(|state| state.looped().any(now));
        if loops || lookup.doubled || self.lookups.asking_for(asking).len() > 1 {
            self.mark(id, upstream, channel, now);
        }
    }

    /// Sends a mark, once for each question and upstream.
    fn mark(&mut self, id: u64, upstream: &Upstream, channel: Channel, now: Instant) {
        let Some(lookup) = self.lookups.get(id) else {
            return;
        };
        if lookup.asking.recurse || lookup.marked.contains(upstream) {
            return;
        }
        let asked = lookup.asking.clone();
        let is_open = |mark: &&Mark| mark.is_open(upstream, asked.incarnation);
        if self.marks.values().filter(is_open).count() >= OPEN_MAX {
            return;
        }
        let first = self.rng.random_range(MARKS);
        let types = (first..=*MARKS.end()).chain(*MARKS.start()..first);
        let mut free = types.filter(|it| !self.marks.contains_key(it));
        let Some(record_type) = free.next() else {
            return;
        };
        let asking = Asking {
            question: Question {
                record_type,
                ..asked.question.clone()
            },
            ..asked.clone()
        };
        let (purpose, by) = (Purpose::Mark, Some(channel));
        let Some(exchange) = self.send_watched(&asking, purpose, upstream.clone(), by, now) else {
            return;
        };
        let mark = Mark {
            exchange,
            asking: asked,
            upstream: upstream.clone(),
            is_back: false,
        };
        self.marks.insert(record_type, mark);
        if let Some(lookup) = self.lookups.get_mut(id) {
            lookup.marked.push(upstream.clone());
        }
    }

    /// Expects a mark no more, as its exchange has ended.
    pub(crate) fn forget_mark(&mut self, id: ExchangeId) {
        self.timers.clear(Timer::Probe, id.0);
        self.marks.retain(|_, mark| mark.exchange != id);
    }

    /// Takes a mark that comes back, and expects nothing of its upstream for the question that it went with. Its name may be one that no
    /// client may ask for.
    pub(crate) fn own_mark(
        &mut self,
        query: &Query,
        question: &Question,
        route: &Route,
        now: Instant,
    ) -> Option<Next> {
        if !MARKS.contains(&question.record_type) || is_withheld(query.stub, route, &self.plan) {
            return None;
        }
        let Target::Ask(scope) = &route.target else {
            return None;
        };
        let incarnation = self.scopes.get(scope)?.incarnation;
        let is_of = |mark: &Mark| {
            let asked = &mark.asking;
            asked.incarnation == incarnation && asked.question.name == question.name
        };
        let mark = self.marks.get_mut(&question.record_type);
        let Some(mark) = mark.filter(|mark| is_of(mark)) else {
            // A stranger's guess: what it could have been counts no more.
            self.marks.retain(|_, mark| !is_of(mark));
            return None;
        };
        mark.is_back = true;
        let (asking, upstream) = (mark.asking.clone(), mark.upstream.clone());
        let is_news = self.note_loop(&asking, &upstream, query.origin, now);
        for id in self.lookups.asking_for(&asking) {
            self.expect_nothing_of(id, &upstream, now);
        }
        if is_news {
            self.mark_doubled(incarnation, now);
        }
        let refused = Refused::returned_mark(&upstream);
        Some(Next::Done(Outcome::Refused(refused)))
    }

    /// Sends marks after all questions of a scope that somebody else has asked too and that may go round.
    fn mark_doubled(&mut self, incarnation: u64, now: Instant) {
        for id in self.lookups.ids() {
            let lookup = self.lookups.get(id);
            if lookup.is_some_and(|it| it.doubled && it.asking.incarnation == incarnation) {
                self.mark_suspects(id, None, now);
            }
        }
    }

    /// Notes that an upstream forwards to us; returns whether that is news.
    fn note_loop(
        &mut self,
        asking: &Asking,
        upstream: &Upstream,
        origin: Option<IpAddr>,
        now: Instant,
    ) -> bool {
        self.counters.looped += 1;
        let scope = self.scopes.living(&asking.scope, asking.incarnation);
        let state = scope.and_then(|scope| scope.state_mut(upstream));
        let from_there = origin.is_some_and(|origin| is_there(origin, upstream));
        let name = asking.question.name.clone();
        state.is_some_and(|state| state.found_to_loop(name, from_there, now))
    }

    /// Notes that a mark has not come back.
    pub(crate) fn note_straight(&mut self, mark: &Exchange, now: Instant) {
        let asking = &mark.asking;
        let scope = self.scopes.living(&asking.scope, asking.incarnation);
        if let Some(state) = scope.and_then(|scope| scope.state_mut(&mark.upstream)) {
            state.found_straight(now + STRAIGHT, now);
        }
    }

    /// Whether an error of an upstream is that of the circle: a forwarder that heard us refuse its copies spares itself the next ones.
    pub(crate) fn errs_for_its_loop(
        &mut self,
        asking: &Asking,
        upstream: &Upstream,
        reply: &ParsedReply,
        now: Instant,
    ) -> bool {
        let scope = self.scopes.living(&asking.scope, asking.incarnation);
        let state = scope.and_then(|scope| scope.state(upstream));
        // Whoever says that a name is bogus or blocked has not failed by the circle.
        let mut said = reply.extended_errors.iter();
        let says_nothing_else = said.all(|error| NOBODY_ANSWERED.contains(&error.code));
        let name = &asking.question.name;
        let comes_back = state.is_some_and(|state| state.looped().reaches(name, now));
        reply.rcode == rcode::SERVFAIL && says_nothing_else && comes_back
    }

    /// Waits no longer for what else a lookup has asked an upstream.
    pub(crate) fn end_exchanges_with(&mut self, id: u64, upstream: &Upstream) {
        let lookup = self.lookups.get(id);
        let mut exchanges = lookup.map_or_else(Vec::new, |lookup| lookup.exchanges.clone());
        exchanges.retain(|id| {
            let exchange = self.exchanges.get(*id);
            exchange.is_some_and(|exchange| exchange.upstream == *upstream)
        });
        for exchange in exchanges {
            let _ended: Option<Box<_>> = self.end_exchange(exchange);
        }
    }

    /// Goes on without an upstream that forwards to us.
    fn expect_nothing_of(&mut self, id: u64, upstream: &Upstream, now: Instant) {
        let Some(lookup) = self.lookups.get_mut(id) else {
            return;
        };
        if !lookup.asked.contains(upstream) {
            return;
        }
        if !lookup.looped.contains(upstream) {
            lookup.looped.push(upstream.clone());
            lookup.steps.push(Step::Dropped(upstream.clone(), WHY));
        }
        if lookup.errors.iter().any(|(other, _)| other == upstream) {
            return;
        }
        if lookup.errors.is_empty() {
            lookup.bad_at = now;
        }
        lookup.errors.push((upstream.clone(), rcode::SERVFAIL));
        self.end_exchanges_with(id, upstream);
        let Some(lookup) = self.lookups.get(id).filter(|it| it.judging.is_none()) else {
            return;
        };
        let waits = !lookup.exchanges.is_empty() || lookup.walk.is_some();
        if self.ask_next(id, now) || waits {
            return;
        }
        let Some(lookup) = self.lookups.get(id) else {
            return;
        };
        if lookup.bad.is_some() {
            self.conclude_bad(id, now);
            return;
        }
        let asking = lookup.asking.clone();
        // What one upstream did that alone was asked, or on a tunnel's own way, is nobody else's.
        let is_for_all = !matches!(asking.whom, Whom::Only(_)) && asking.mark == 0;
        if is_for_all && !self.may_walk(id, now) {
            self.keep_failure(
                &asking,
                &Refused::looped(upstream),
                None,
                FAILURE_LIFETIME,
                now,
                now,
            );
        }
        self.conclude_failed(id, now);
    }
}

/// Whether whoever asks from there is where an upstream is: at its address, or on this host as it is.
fn is_there(origin: IpAddr, upstream: &Upstream) -> bool {
    let (origin, address) = (origin.to_canonical(), upstream.address.to_canonical());
    origin == address || origin.is_loopback() && address.is_loopback()
}

/// Whether whoever asks from there may be an upstream: both are on this host, or neither is. Which address of its own a forwarder asks
/// from is its affair.
fn may_be(origin: IpAddr, upstream: &Upstream) -> bool {
    let is_here = |address: IpAddr| address.to_canonical().is_loopback();
    is_here(origin) == is_here(upstream.address)
}
