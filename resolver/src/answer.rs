//! How does a query end? Its answer is written, kept for the next who asks, and told.
//!
//! A reply is kept under its question in the slot of the scope that gave it, as far as it is believed. An answer put together
//! from several replies is not kept: each of its parts is, and it is put together again.

use std::sync::Arc;
use std::time::Duration;

use config::time::Instant;

use crate::Resolver;
use crate::cache::{self, Key};
use crate::chain::{End, Hop};
use crate::event::{Answer, Event, ExtendedError, Timer, Trace};
use crate::exchange::Asking;
use crate::ledger::Trouble;
use crate::local::told_at_end;
use crate::progress::{Delivery, Found, Outcome, Query};
use crate::refusal::Refused;
use crate::stale::{Signed, Try};
use crate::template::{Template, error_answer};
use crate::wire::{Question, rcode};

/// Room for an answer, in octets; larger ones grow.
pub(crate) const ANSWER_ROOM: usize = 512;
/// The most events that wait to be taken; when nobody takes them, later ones are dropped.
const EVENTS_MAX: usize = 4096;
/// How long an alias that leads out of its scope is kept at most.
const ALIAS_LIFETIME_MAX: Duration = Duration::from_secs(3600);

impl Resolver {
    /// Keeps what a reply says; returns it encoded.
    pub(crate) fn store(&mut self, asking: &Asking, hop: &Hop, now: Instant) -> Arc<Template> {
        let template = encode(&asking.question, hop);
        self.keep(asking, hop, Signed::alone(hop), Arc::new(template), now)
    }

    /// Keeps an encoded reply under its question, DO and CD.
    pub(crate) fn keep(
        &mut self,
        asking: &Asking,
        hop: &Hop,
        signed: Signed<'_>,
        template: Arc<Template>,
        now: Instant,
    ) -> Arc<Template> {
        let question = &asking.question;
        let lifetime = match &hop.end {
            End::Final => cache::lifetime(question, hop.rcode, &hop.answers, &hop.authority),
            End::Goto(_) | End::Refused(..) => {
                let shortest = hop.answers.iter().map(|record| record.ttl).min();
                shortest.map(|ttl| Duration::from_secs(ttl.into()).min(ALIAS_LIFETIME_MAX))
            }
            End::Loop => None,
        };
        self.keep_for(asking, hop, signed, template, lifetime, now)
    }

    fn keep_for(
        &mut self,
        asking: &Asking,
        hop: &Hop,
        signed: Signed<'_>,
        template: Arc<Template>,
        lifetime: Option<Duration>,
        now: Instant,
    ) -> Arc<Template> {
        let question = &asking.question;
        if asking.fleeting {
            return template;
        }
        let Some(scope) = self.scopes.living(&asking.scope, asking.incarnation) else {
            return template;
        };
        let key = Key {
            slot: scope.slot,
            name: question.name.as_wire(),
            record_type: question.record_type,
            class: question.class,
            dnssec_ok: asking.dnssec_ok,
            checking_disabled: asking.checking_disabled,
        };
        match &hop.end {
            End::Final => {}
            // Not the whole answer: it must be put together.
            End::Goto(_) | End::Refused(..) | End::Loop => self.cache.revoke(&key),
        }
        self.keeping.unmark(&key, question, now);
        if let Some(lifetime) = lifetime {
            let stale = self.stale_time(signed, lifetime, now);
            self.cache
                .insert_lasting(&key, Arc::clone(&template), lifetime, stale, now);
        }
        template
    }

    /// Keeps a failure of what was asked for at `begun_at` for so long, with what is told of it; without that, its reason, as that of a moment ago. An answer that was
    /// known before and may still be given is kept in its place, but not where nobody failed: where what came is not to be believed,
    /// or was refused on purpose.
    pub(crate) fn keep_failure(
        &mut self,
        asking: &Asking,
        refused: &Refused,
        told: Option<ExtendedError>,
        lifetime: Duration,
        begun_at: Instant,
        now: Instant,
    ) {
        let question = &asking.question;
        if let Some(scope) = self.scopes.get(&asking.scope) {
            let key = Key {
                slot: scope.slot,
                name: question.name.as_wire(),
                record_type: question.record_type,
                class: question.class,
                dnssec_ok: asking.dnssec_ok,
                checking_disabled: asking.checking_disabled,
            };
            let failed = Try::new(begun_at, refused);
            if refused.is_outage() && self.spare_stale(&key, question, failed, now) {
                return;
            }
        }
        let failure = Hop::failure(refused.rcode);
        let told = told.unwrap_or_else(|| refused.kept());
        let template = encode(question, &failure).telling(Some(told));
        let signed = Signed::alone(&failure);
        let (template, lifetime) = (Arc::new(template), Some(lifetime));
        drop(self.keep_for(asking, &failure, signed, template, lifetime, now));
    }

    /// Answers a query.
    pub(crate) fn finish(&mut self, query: Box<Query>, outcome: Outcome, now: Instant) {
        self.timers.clear(Timer::Budget, query.id);
        self.timers.clear(Timer::Stale, query.id);
        self.queries_by_client.remove(&(query.client, query.id));
        let envelope = query.parsed.envelope(query.channel);
        let mut wire = Vec::with_capacity(ANSWER_ROOM);
        let mut is_kept_failure = false;
        let refused = match &outcome {
            Outcome::Refused(refused) => Trouble::of_refused(refused, &query.steps),
            Outcome::Found(_) => None,
        };
        let (rcode, extended_error) = match outcome {
            Outcome::Refused(refused) => {
                error_answer(
                    &envelope,
                    refused.rcode,
                    Some(&refused.extended_error),
                    &mut wire,
                );
                if refused.rcode == rcode::REFUSED {
                    self.counters.refused += 1;
                }
                (refused.rcode, Some(refused.extended_error))
            }
            Outcome::Found(mut found) => {
                if query.chain.visits.is_empty() {
                    self.counters.synthesized += 1;
                }
                let own = found.extended_error.take();
                let forged = query.chain.forged.as_ref();
                let extended_error =
                    own.or_else(|| forged.map(|error| told_at_end(error, found.rcode)));
                let error = extended_error.as_ref();
                match &found.template {
                    Some((template, age)) => {
                        // A failure is counted and told each time.
                        is_kept_failure = template.is_failure();
                        if !is_kept_failure {
                            self.let_pass(&query, template);
                        }
                        template.emit(&envelope, *age, error, &mut wire);
                    }
                    None => assemble(&query, &found).emit(&envelope, 0, error, &mut wire),
                }
                if query.delivery == Delivery::ComeBack {
                    truncate(&mut wire);
                }
                (found.rcode, extended_error)
            }
        };
        self.answers.push_back(Answer {
            client: query.client,
            wire,
        });
        self.counters.withheld += u64::from(query.is_withheld());
        let trouble = refused.or_else(|| Trouble::of(rcode, extended_error.as_ref(), &query.steps));
        let is_known = query.is_hit();
        let is_hit = is_known && trouble.is_none();
        self.counters.cache_hits += u64::from(is_hit);
        if !is_hit {
            let is_retold = is_known && is_kept_failure;
            self.ledger.note(&query, rcode, trouble, is_retold, now);
        }
        if !is_hit || self.trace_hits {
            self.tell(query, rcode, extended_error, now);
        }
    }

    /// Lets the same question go straight to the cache next time.
    fn let_pass(&mut self, query: &Query, template: &Arc<Template>) {
        let [visit] = query.chain.visits.as_slice() else {
            return;
        };
        let question = &query.parsed.question;
        if query.searching.is_some() || query.below.is_some() || visit.name != question.name {
            return;
        }
        // A pass is good for datagrams too.
        if query.delivery != Delivery::Usual {
            return;
        }
        let Some(scope) = self.scopes.living(&visit.scope, visit.incarnation) else {
            return;
        };
        let key = Key {
            slot: scope.slot,
            name: question.name.as_wire(),
            record_type: question.record_type,
            class: question.class,
            dnssec_ok: query.parsed.dnssec_ok(),
            checking_disabled: query.parsed.checking_disabled,
        };
        self.cache.grant(&key, template, query.pass);
    }

    fn tell(
        &mut self,
        query: Box<Query>,
        rcode: u16,
        extended_error: Option<ExtendedError>,
        now: Instant,
    ) {
        if self.events.len() >= EVENTS_MAX {
            return;
        }
        let trace = Trace {
            client: query.client,
            name: query.parsed.question.name,
            record_type: query.parsed.question.record_type,
            steps: query.steps,
            rcode,
            extended_error,
            elapsed: now.since(query.asked_at),
            is_mark: query.is_mark,
        };
        self.events.push_back(Event::Answered(Box::new(trace)));
    }
}

/// Tells the client of a whole answer to ask by stream (RFC 1035 §4.1.1, RFC 7766 §5).
fn truncate(wire: &mut [u8]) {
    const TC: u8 = 0x02;
    if let Some(flags) = wire.get_mut(2) {
        *flags |= TC;
    }
}

/// Encodes what a reply says.
pub(crate) fn encode(question: &Question, hop: &Hop) -> Template {
    Template::build(question, hop.rcode, &hop.answers, &hop.authority, &[])
}

/// Puts an answer together from the records of a chain.
fn assemble(query: &Query, found: &Found) -> Template {
    let question = &query.parsed.question;
    let template = Template::build(
        question,
        found.rcode,
        &query.chain.answers,
        &found.authority,
        &[],
    );
    match (found.authoritative, query.chain.authentic) {
        (true, _) => template.authoritative(),
        (false, true) => template.authentic(),
        (false, false) => template,
    }
}
