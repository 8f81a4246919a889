//! Is a question our own, come back? An upstream that forwards to us sends it to us as somebody else's.
//!
//! Both would wait for each other: so the copy is told, and its asker answers with an error, which ends the circle. Most copies have
//! our spelling, or our id. A forwarder that spells names itself gives nothing away: where a question has to be repeated while somebody
//! else asks for the same name, the upstream gets a mark after it, which is a question for the same name with a type that nobody has a
//! use for. When that comes back before a reply, the upstream is known to forward to us; for a while a mark goes out as soon as
//! somebody else asks. Whoever guesses a mark has one guess. Other names are asked of it as before: it may know them itself.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use config::model::Upstream;
use config::name::DomainName;
use config::time::Instant;
use rand::RngExt as _;

use crate::Resolver;
use crate::conclude::FAILURE_LIFETIME;
use crate::event::{Channel, ExchangeId, Step};
use crate::exchange::{Asking, Purpose};
use crate::progress::Query;
use crate::refusal::Refused;
use crate::wire::{Question, rcode};

/// How long an upstream that has forwarded to us gets marks at once.
const REMEMBERED: Duration = Duration::from_secs(30);
/// Types for private use (RFC 6895 §3.1): asked by nobody, and passed on by whoever obeys RFC 3597 §3.
const MARKS: RangeInclusive<u16> = 65_280..=65_534;
const WHY: &str = "it sends our question back to us";

/// A mark under way.
#[derive(Debug)]
pub(crate) struct Mark {
    lookup: u64,
    exchange: ExchangeId,
    incarnation: u64,
    name: DomainName,
    upstream: Upstream,
}

/// Marks by the types of their questions: as many as there are types, each until its exchange ends.
pub(crate) type Marks = BTreeMap<u16, Mark>;

impl Resolver {
    /// Returns the upstream that sends a question back which we asked it.
    pub(crate) fn own_question(
        &mut self,
        query: &Query,
        asking: &Asking,
        now: Instant,
    ) -> Option<Upstream> {
        if MARKS.contains(&asking.question.record_type)
            && let Some(upstream) = self.own_mark(asking, now)
        {
            return Some(upstream);
        }
        let parsed = &query.parsed;
        let ids = self.lookups.asking_for(asking);
        for &id in &ids {
            let Some(lookup) = self.lookups.get_mut(id) else {
                continue;
            };
            for exchange in &lookup.exchanges {
                let Some(exchange) = self.exchanges.get_mut(*exchange) else {
                    continue;
                };
                if exchange.is_copied_by(parsed.id, &parsed.question_wire) {
                    let upstream = exchange.upstream.clone();
                    lookup.looped.push(upstream.clone());
                    lookup.steps.push(Step::Dropped(upstream.clone(), WHY));
                    self.note_loop(asking, &upstream, now);
                    return Some(upstream);
                }
            }
        }
        for id in ids {
            self.mark_known(id, now);
        }
        None
    }

    /// Sends marks after a question that somebody else asks too, to whom it went and who forwards to us as far as is known.
    fn mark_known(&mut self, id: u64, now: Instant) {
        let Some(lookup) = self.lookups.get(id) else {
            return;
        };
        let asking = &lookup.asking;
        let Some(scope) = self.scopes.living(&asking.scope, asking.incarnation) else {
            return;
        };
        let loops = |upstream: &Upstream| scope.state(upstream).is_some_and(|it| it.loops(now));
        let exchanges = lookup.exchanges.iter();
        let open = exchanges.filter_map(|exchange| self.exchanges.get(*exchange));
        let known: Vec<(Upstream, Channel)> = open
            .filter(|exchange| loops(&exchange.upstream))
            .map(|exchange| (exchange.upstream.clone(), exchange.channel))
            .collect();
        for (upstream, channel) in known {
            self.mark(id, &upstream, channel, now);
        }
    }

    /// Sends a mark after a question that is asked again, when somebody else asks it too.
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
        if lookup.waiters.len() > 1 || self.lookups.asking_for(&lookup.asking).len() > 1 {
            self.mark(id, upstream, channel, now);
        }
    }

    /// Sends a mark, once for each question and upstream.
    fn mark(&mut self, id: u64, upstream: &Upstream, channel: Channel, now: Instant) {
        let Some(lookup) = self.lookups.get(id) else {
            return;
        };
        let asking = &lookup.asking;
        let is_ours = |mark: &Mark| mark.lookup == id && mark.upstream == *upstream;
        if asking.recurse || self.marks.values().any(is_ours) {
            return;
        }
        let first = self.rng.random_range(MARKS);
        let types = (first..=*MARKS.end()).chain(*MARKS.start()..first);
        let mut free = types.filter(|it| !self.marks.contains_key(it));
        let Some(record_type) = free.next() else {
            return;
        };
        let name = asking.question.name.clone();
        let asking = Asking {
            question: Question {
                name: name.clone(),
                record_type,
                ..asking.question.clone()
            },
            ..asking.clone()
        };
        let (purpose, by) = (Purpose::Mark, Some(channel));
        if let Some(exchange) = self.send_watched(&asking, purpose, upstream.clone(), by, now) {
            let mark = Mark {
                lookup: id,
                exchange,
                incarnation: asking.incarnation,
                name,
                upstream: upstream.clone(),
            };
            self.marks.insert(record_type, mark);
        }
    }

    /// Expects a mark no more, as its exchange has ended.
    pub(crate) fn forget_mark(&mut self, id: ExchangeId) {
        self.marks.retain(|_, mark| mark.exchange != id);
    }

    /// Returns the upstream that sends a mark back, and expects nothing of it for the question that the mark went with.
    fn own_mark(&mut self, asking: &Asking, now: Instant) -> Option<Upstream> {
        let is_of = |mark: &Mark| {
            mark.incarnation == asking.incarnation && mark.name == asking.question.name
        };
        let mark = self.marks.get(&asking.question.record_type);
        let Some(mark) = mark.filter(|mark| is_of(mark)) else {
            // A stranger's guess: what it could have been counts no more.
            self.marks.retain(|_, mark| !is_of(mark));
            return None;
        };
        let (id, upstream) = (mark.lookup, mark.upstream.clone());
        self.note_loop(asking, &upstream, now);
        self.expect_nothing_of(id, &upstream, now);
        Some(upstream)
    }

    fn note_loop(&mut self, asking: &Asking, upstream: &Upstream, now: Instant) {
        self.counters.looped += 1;
        let scope = self.scopes.living(&asking.scope, asking.incarnation);
        if let Some(state) = scope.and_then(|scope| scope.state_mut(upstream)) {
            state.found_to_loop(now + REMEMBERED);
        }
    }

    /// Goes on without an upstream that forwards to us.
    fn expect_nothing_of(&mut self, id: u64, upstream: &Upstream, now: Instant) {
        let Some(lookup) = self.lookups.get_mut(id) else {
            return;
        };
        if lookup.looped.contains(upstream) {
            return;
        }
        lookup.looped.push(upstream.clone());
        lookup.steps.push(Step::Dropped(upstream.clone(), WHY));
        if lookup.errors.is_empty() {
            lookup.bad_at = now;
        }
        lookup.errors.push((upstream.clone(), rcode::SERVFAIL));
        let mut exchanges = lookup.exchanges.clone();
        exchanges.retain(|id| {
            let exchange = self.exchanges.get(*id);
            exchange.is_some_and(|exchange| exchange.upstream == *upstream)
        });
        for exchange in exchanges {
            let _ended: Option<Box<_>> = self.end_exchange(exchange);
        }
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
        self.keep_failure(
            &asking,
            &Refused::looped(upstream),
            None,
            FAILURE_LIFETIME,
            now,
        );
        self.conclude_failed(id, now);
    }
}
