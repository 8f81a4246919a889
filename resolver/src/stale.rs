//! What is given when nothing fresh comes, and what is asked for before it runs out? (RFC 8767)
//!
//! ```text
//! miss, and an answer whose time is over ─► asked as ever ─ reply ──────────────► fresh answer
//!                                             ├─ 0.8 s without ─► stale answer; the asking goes on for whoever comes next
//!                                             └─ failure ───────► stale answer; the next get it at once
//! at once: for 30 s, or until a fresh answer is there, or an upstream answers that said nothing, or nothing good, all the while
//! hit in the last tenth of its time, not the first ─► answered; asked for anew in its scope
//! ```
//!
//! A stale answer comes from the cache of the scope that the name routes to, hence never from another network, and only while
//! that scope may be asked: a claim that is refused stays refused. It is one of the same kind (DO, CD, judged or not), and no
//! signature has run out that it hangs on, in it or in the chain of trust above. What is bogus is no failure of this kind.

use std::collections::BTreeMap;
use std::time::Duration;

use config::time::Instant;
use policy::ScopeId;

use crate::Resolver;
use crate::answer::encode;
use crate::cache::{Key, Slot};
use crate::chain::Hop;
use crate::event::{ExtendedError, Step, Timer};
use crate::exchange::{Asking, Whom};
use crate::failure::Cause;
use crate::lookup::Waiter;
use crate::progress::{Found, Next, Query};
use crate::proof::Judged;
use crate::refusal::Refused;
use crate::wire::{Question, rcode, rtype};

/// How long a client waits for a fresh answer when there is a stale one (RFC 8767 §5: 1.8 s at most).
const CLIENT_PATIENCE: Duration = Duration::from_millis(800);
/// TTL of a stale answer, in seconds (RFC 8767 §4).
const STALE_TTL: u32 = 30;
/// How long stale answers are given at once after nothing fresh came (RFC 8767 §5).
const RECHECK_AFTER: Duration = Duration::from_secs(30);
/// The most questions of which it is known that nothing fresh came.
const MARKS_MAX: usize = 4096;
/// The most questions that are asked anew before their answers run out, in one second.
const RENEWALS_MAX: u32 = 50;

/// What is kept beyond its time, and renewed before it.
#[derive(Debug)]
pub(crate) struct Keeping {
    /// How long answers may be given after their time.
    longest: Duration,
    renews: bool,
    /// The questions whose stale answers are given at once.
    marks: BTreeMap<Mark, Wanting>,
    /// When the last of them ends.
    last_until: Instant,
    /// When the youngest of them was asked first.
    youngest: Instant,
    renewed_since: Instant,
    renewed: u32,
}

/// By what an answer is signed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed<'a> {
    /// The answer with its own signatures.
    pub(crate) hop: &'a Hop,
    /// How long those hold that its verdict hangs on, up to the trust anchor; `None` when it was not judged, or none are.
    pub(crate) above: Option<Duration>,
}

impl<'a> Signed<'a> {
    /// An answer that was not judged.
    pub(crate) const fn alone(hop: &'a Hop) -> Self {
        Self { hop, above: None }
    }
}

/// Slot, question, DO and CD.
type Mark = (Slot, Question, bool, bool);

/// A question that nothing fresh came to.
#[derive(Debug)]
struct Wanting {
    failed: Try,
    until: Instant,
    /// When an upstream had begun to work, so that the question is worth another try.
    lifted_at: Option<Instant>,
}

/// A try that brought nothing fresh.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Try {
    /// When its question was asked first.
    pub(crate) begun_at: Instant,
    /// Whether nobody was heard at all.
    pub(crate) silent: bool,
}

/// What was known before a good reply.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before {
    /// When the youngest message was sent that its upstream had replied to.
    pub(crate) heard: Option<Instant>,
    /// When the youngest message was sent that any upstream of its scope had answered.
    pub(crate) answered: Option<Instant>,
}

impl Try {
    /// A try that ended so.
    pub(crate) fn new(begun_at: Instant, refused: &Refused) -> Self {
        Self {
            begun_at,
            silent: refused.cause != Cause::Word,
        }
    }
}

impl Default for Keeping {
    fn default() -> Self {
        Self {
            longest: Duration::ZERO,
            renews: false,
            marks: BTreeMap::new(),
            last_until: Instant::ZERO,
            youngest: Instant::ZERO,
            renewed_since: Instant::ZERO,
            renewed: 0,
        }
    }
}

impl Keeping {
    /// Notes that nothing fresh came; who asks meanwhile does not put off when it is asked for again (RFC 8767 §5).
    fn mark(&mut self, mark: Mark, failed: Try, now: Instant) {
        if let Some(known) = self.marks.get_mut(&mark)
            && now < known.until
        {
            // A try from before the upstream came back says nothing of the time after. One from then on says that it is the name:
            // who answers others has answered them since this was asked first, and that is kept.
            if known.lifted_at.is_some_and(|at| at <= failed.begun_at) {
                known.lifted_at = None;
                known.failed.silent = failed.silent;
            }
            return;
        }
        if self.marks.len() >= MARKS_MAX {
            self.marks.retain(|_, known| now < known.until);
        }
        if self.marks.len() < MARKS_MAX {
            let until = now + RECHECK_AFTER;
            self.last_until = self.last_until.max(until);
            self.youngest = self.youngest.max(failed.begun_at);
            let wanting = Wanting {
                failed,
                until,
                lifted_at: None,
            };
            self.marks.insert(mark, wanting);
        }
    }

    fn is_marked(&self, mark: &Mark, now: Instant) -> bool {
        let known = self.marks.get(mark);
        known.is_some_and(|known| now < known.until && known.lifted_at.is_none())
    }

    /// Whether there are any marks whose time is not over.
    fn has_marks(&mut self, now: Instant) -> bool {
        if now >= self.last_until {
            self.marks.clear();
        }
        !self.marks.is_empty()
    }

    /// Takes in that there is a fresh answer.
    pub(crate) fn unmark(&mut self, key: &Key<'_>, question: &Question, now: Instant) {
        if self.has_marks(now) {
            self.marks.remove(&mark(key, question));
        }
    }

    /// Has those questions asked again that a good reply says to be worth it; `recovered` tells that its upstream had failed.
    pub(crate) fn lift(&mut self, slot: Slot, before: Before, recovered: bool, now: Instant) {
        // Who answered others meanwhile has not begun to work: it is the name that gets no answer.
        let was_silent = |begun_at| before.heard.is_none_or(|heard| heard < begun_at);
        // Nor where others were answered; a sole upstream that answers nothing but errors does not count as failing.
        let was_bad = |begun_at| before.answered.is_none_or(|answered| answered < begun_at);
        let may_end = recovered || was_silent(self.youngest) || was_bad(self.youngest);
        if !self.has_marks(now) || !may_end {
            return;
        }
        for ((at, ..), known) in &mut self.marks {
            let ends = match known.failed.silent {
                true => was_silent(known.failed.begun_at),
                false => recovered || was_bad(known.failed.begun_at),
            };
            if *at == slot && ends && known.lifted_at.is_none() {
                known.lifted_at = Some(now);
            }
        }
    }

    fn may_renew(&mut self, now: Instant) -> bool {
        if now.since(self.renewed_since) >= Duration::from_secs(1) {
            self.renewed_since = now;
            self.renewed = 0;
        }
        self.renewed += 1;
        self.renews && self.renewed <= RENEWALS_MAX
    }
}

impl Resolver {
    /// Takes how long answers may be given after their time, and whether they are asked for anew before it.
    pub fn apply_keeping(&mut self, serve_stale: Duration, prefetch: bool) {
        self.keeping.longest = serve_stale;
        self.keeping.renews = prefetch;
        if serve_stale.is_zero() {
            self.keeping.marks.clear();
        }
    }

    /// Returns how long an answer that counts for `lifetime` may be given after that.
    pub(crate) fn stale_time(
        &self,
        signed: Signed<'_>,
        lifetime: Duration,
        now: Instant,
    ) -> Duration {
        let Signed { hop, above } = signed;
        if !matches!(hop.rcode, rcode::NOERROR | rcode::NXDOMAIN) {
            return Duration::ZERO;
        }
        let wall = self.wall(now);
        if !wall.dates_count {
            return self.keeping.longest;
        }
        let records = hop.answers.iter().chain(&hop.authority);
        let ends = records
            .filter(|record| record.record_type == rtype::RRSIG)
            .filter_map(|record| record.rdata.get(8..12)?.first_chunk::<4>().copied());
        let left = ends.map(|end| seconds_until(u32::from_be_bytes(end), wall.seconds));
        let left = left.min().map_or(Duration::MAX, Duration::from_secs);
        let signed_for = left.min(above.unwrap_or(Duration::MAX));
        self.keeping
            .longest
            .min(signed_for.saturating_sub(lifetime))
    }

    /// Keeps a failure from taking the place of an answer that may still be given; returns whether there is one.
    pub(crate) fn spare_stale(
        &mut self,
        key: &Key<'_>,
        question: &Question,
        failed: Try,
        now: Instant,
    ) -> bool {
        if self.keeping.longest.is_zero() || self.cache.get_stale(key, now).is_none() {
            return false;
        }
        self.mark_wanting(key, question, failed, now);
        true
    }

    /// Notes that nothing fresh came to a question, unless it may have come while nobody was there to take it.
    fn mark_wanting(&mut self, key: &Key<'_>, question: &Question, failed: Try, now: Instant) {
        if failed.begun_at >= self.back_at {
            self.keeping.mark(mark(key, question), failed, now);
        }
    }

    /// Gives a stale answer at once where nothing fresh came a moment ago.
    pub(crate) fn stale_at_once(
        &mut self,
        query: &mut Query,
        question: &Question,
        key: &Key<'_>,
        id: &ScopeId,
        now: Instant,
    ) -> Option<Next> {
        if !self.keeping.has_marks(now) || !self.keeping.is_marked(&mark(key, question), now) {
            return None;
        }
        self.stale(
            query,
            question,
            key,
            id,
            ("nothing fresh came a moment ago", None),
            now,
        )
    }

    /// Gives a stale answer in place of a failure.
    pub(crate) fn stale_instead(
        &mut self,
        query: &mut Query,
        refused: &Refused,
        now: Instant,
    ) -> Option<Next> {
        let failed = Try::new(query.asked_at, refused);
        self.stale_here(query, ("the upstreams fail", Some(failed)), now)
    }

    /// Says when a query that waits is given a stale answer, if there is one.
    pub(crate) fn await_fresh(&mut self, query: &Query, now: Instant) {
        let Some((id, slot)) = self.slot_of(query) else {
            return;
        };
        drop(id);
        let question = query.question();
        if self
            .cache
            .get_stale(&key(slot, &question, query), now)
            .is_some()
        {
            let at = (query.asked_at + CLIENT_PATIENCE).max(now);
            self.timers.set(Timer::Stale, query.id, at);
        }
    }

    /// A client has waited long enough for a fresh answer.
    pub(crate) fn take_stale_timeout(&mut self, id: u64, now: Instant) {
        let Some(mut query) = self.queries.remove(id) else {
            return;
        };
        let lookup = query.lookup.and_then(|lookup| self.lookups.get(lookup));
        let failed = Try {
            begun_at: lookup.map_or(query.asked_at, |lookup| lookup.started_at),
            silent: true,
        };
        let why = ("no reply came in time", Some(failed));
        let Some(next) = self.stale_here(&mut query, why, now) else {
            self.queries.insert(id, query);
            return;
        };
        if let Some(lookup) = query.lookup.take()
            && let Some(lookup) = self.lookups.get_mut(lookup)
        {
            query.steps.extend_from_slice(&lookup.steps);
            // What it brings is for whoever asks next.
            for waiter in &mut lookup.waiters {
                if *waiter == Waiter::Query(id) {
                    *waiter = Waiter::Nobody;
                }
            }
        }
        self.go_on(query, next, now);
    }

    /// Asks anew for what soon runs out.
    pub(crate) fn renew(
        &mut self,
        query: &Query,
        question: &Question,
        (id, incarnation): (&ScopeId, u64),
        now: Instant,
    ) {
        if !self.keeping.may_renew(now) {
            return;
        }
        let mut asking = Asking {
            scope: id.clone(),
            incarnation,
            question: question.clone(),
            dnssec_ok: query.parsed.dnssec_ok(),
            checking_disabled: query.parsed.checking_disabled,
            validate: false,
            recurse: false,
            fleeting: false,
            whom: Whom::Any,
            mark: query.below.as_ref().map_or(0, |below| below.mark),
        };
        if !asking.checking_disabled {
            match self.decide_judging(&question.name, &asking, now) {
                Judged::No => {}
                Judged::NotYet => return,
                Judged::Yes => {
                    asking.dnssec_ok = true;
                    asking.checking_disabled = true;
                    asking.validate = true;
                }
            }
        }
        self.counters.renewed += 1;
        self.ask(Waiter::Nobody, asking, now);
    }

    fn stale_here(&mut self, query: &mut Query, why: Occasion, now: Instant) -> Option<Next> {
        let (id, slot) = self.slot_of(query)?;
        let question = query.question();
        let question_key = question.clone();
        let key = key(slot, &question_key, query);
        self.stale(query, &question, &key, &id, why, now)
    }

    /// Returns where the name that a query waits for is kept.
    fn slot_of(&mut self, query: &Query) -> Option<(ScopeId, Slot)> {
        if self.keeping.longest.is_zero() {
            return None;
        }
        let visit = query.chain.visits.last()?;
        if visit.name != query.chain.name {
            return None;
        }
        let scope = self.scopes.living(&visit.scope, visit.incarnation)?;
        Some((visit.scope.clone(), scope.slot))
    }

    fn stale(
        &mut self,
        query: &mut Query,
        question: &Question,
        key: &Key<'_>,
        id: &ScopeId,
        (why, failed): Occasion,
        now: Instant,
    ) -> Option<Next> {
        if self.keeping.longest.is_zero() {
            return None;
        }
        let kept = self.cache.get_stale(key, now)?;
        let mut hop = self.reread(&kept, 0, question, query, id)?;
        for record in hop.answers.iter_mut().chain(&mut hop.authority) {
            record.ttl = STALE_TTL;
        }
        let template = encode(question, &hop);
        let template = match kept.is_authentic() {
            true => template.authentic(),
            false => template,
        };
        if let Some(failed) = failed
            && !self.is_over(id, failed)
        {
            self.mark_wanting(key, question, failed, now);
        }
        self.counters.stale += 1;
        query.steps.push(Step::Stale(id.clone(), why));
        let found = Found {
            extended_error: Some(ExtendedError {
                code: match hop.rcode {
                    rcode::NXDOMAIN => code::STALE_NXDOMAIN,
                    _ => code::STALE,
                },
                text: why.to_owned(),
            }),
            template: Some((template.into(), 0)),
            ..Found::default()
        };
        Some(self.take_hop(query, &hop, found))
    }

    /// Whether an upstream has come back since a try was made in vain: whoever asks next will not.
    fn is_over(&self, id: &ScopeId, failed: Try) -> bool {
        let scope = self.scopes.get(id).filter(|_| failed.silent);
        scope.is_some_and(|scope| {
            let mut states = scope.states();
            states.any(|state| state.has_recovered_since(failed.begun_at))
        })
    }
}

/// Why a stale answer is given, and by which try there is no fresh one, if it is news that there is none.
type Occasion = (&'static str, Option<Try>);

/// Says of a stale answer that its name exists.
pub(crate) fn as_if_there(error: ExtendedError) -> ExtendedError {
    match error.code {
        code::STALE_NXDOMAIN => ExtendedError {
            code: code::STALE,
            ..error
        },
        _ => error,
    }
}

/// Codes of Extended DNS Errors (RFC 8914 §4).
mod code {
    pub(super) const STALE: u16 = 3;
    pub(super) const STALE_NXDOMAIN: u16 = 19;
}

fn key<'a>(slot: Slot, question: &'a Question, query: &Query) -> Key<'a> {
    Key {
        slot,
        name: question.name.as_wire(),
        record_type: question.record_type,
        class: question.class,
        dnssec_ok: query.parsed.dnssec_ok(),
        checking_disabled: query.parsed.checking_disabled,
    }
}

fn mark(key: &Key<'_>, question: &Question) -> Mark {
    (
        key.slot,
        question.clone(),
        key.dnssec_ok,
        key.checking_disabled,
    )
}

/// Dates of signatures are numbers in a circle (RFC 4034 §3.1.5).
fn seconds_until(end: u32, wall: u64) -> u64 {
    let [.., a, b, c, d] = wall.to_be_bytes();
    let left = end.wrapping_sub(u32::from_be_bytes([a, b, c, d]));
    match left < 1 << 31 {
        true => left.into(),
        false => 0,
    }
}
