//! What becomes of one client's question? From its arrival to its answer.
//!
//! ```text
//! handle_query ─ pass → cache ──────────────────────────────────────────────► answered
//!      │
//!      └► synthesized? ─► single label? ─► routed ─► cache ─► waiting for a lookup ─► answered
//!              ▲          (next candidate)    │                      │
//!              └──────────────────────────────┴──── alias leads on ◄─┘
//! ```
//!
//! The scope of a name is fixed when the name is routed. A query whose name routes elsewhere under a later plan ends with an
//! error: it is never asked in two scopes. How far it is stands in `progress`. Does not choose upstreams (`ask`) and does not write
//! answers (`answer`).

use std::time::Duration;

use config::name::DomainName;
use config::time::Instant;
use policy::{Refusal, Route, ScopeId, ScopeState, Target};

use crate::Resolver;
use crate::answer::ANSWER_ROOM;
use crate::cache::Key;
use crate::chain::{self, Hop, is_claimed};
use crate::conclude::{Conclusion, failed};
use crate::event::{Answer, Below, Channel, ClientQuery, Step, Timer};
use crate::exchange::{Asking, Whom};
use crate::guest::is_withheld;
use crate::local::Translation;
use crate::lookup::Waiter;
use crate::progress::{Chain, Delivery, Found, Next, Outcome, Query, Searching, Visit};
use crate::proof::Judged;
use crate::record::parse_reply;
use crate::refusal::Refused;
use crate::search::{self, Search, search};
use crate::synthesize::synthesize;
use crate::template::Template;
use crate::wire::{
    ClientEdns, EDNS_UDP_SIZE, Envelope, NameBuffer, ParsedQuery, QueryError, QueryView, Question,
    rcode,
};

/// How long a client waits for its answer at most. The promise is 4.5 s; the rest is for the way through the shell.
pub(crate) const BUDGET: Duration = Duration::from_millis(4400);
/// The most questions in flight: as many as come in 800 ms at 20,000 a second. Each takes some hundred bytes.
pub const QUERIES_MAX: usize = 16_384;
/// Questions in flight from which on their memory is worth giving back afterwards: some megabytes.
const CROWD: usize = QUERIES_MAX / 8;
/// Room for the steps of a question that is asked once.
const STEPS_USUAL: usize = 4;

impl Resolver {
    pub(crate) fn receive(&mut self, query: ClientQuery<'_>, below: Option<Below>, now: Instant) {
        // A pass leads to where the name goes for everybody.
        if below.is_none() && self.answer_hit(&query, now) {
            return;
        }
        self.counters.queries += 1;
        let mut buffer: NameBuffer = [0; 255];
        let view = match QueryView::parse(query.wire, &mut buffer) {
            Ok(view) => view,
            Err(QueryError::Silence) => return,
            Err(QueryError::Reject(rejection)) => {
                let mut wire = Vec::new();
                rejection.emit(&mut wire);
                if rejection.rcode == rcode::REFUSED {
                    self.counters.refused += 1;
                }
                self.answers.push_back(Answer {
                    client: query.client,
                    wire,
                });
                return;
            }
        };
        let parsed = view.to_parsed();
        if self.is_duplicate(&query, &parsed) {
            return;
        }
        self.last_query += 1;
        let query = Box::new(Query {
            id: self.last_query,
            client: query.client,
            stub: query.stub,
            channel: query.channel,
            origin: query.origin,
            asked_at: now,
            pass: self.shortcuts.pass(query.stub),
            steps: begun(below.as_ref()),
            below,
            chain: Chain::new(parsed.question.name.clone()),
            parsed,
            searching: None,
            lookup: None,
            local: crate::local::Progress::default(),
            is_mark: false,
            delivery: Delivery::Usual,
        });
        self.was_crowded |= self.queries.len() >= CROWD;
        if self.queries.len() >= QUERIES_MAX {
            self.finish(query, Outcome::Refused(Refused::too_many()), now);
            return;
        }
        self.advance(query, now);
    }

    /// Hands a waiting query what its lookup came to, and how: `steps` are moved to it.
    pub(crate) fn resume(
        &mut self,
        id: u64,
        conclusion: Conclusion,
        steps: &mut Vec<Step>,
        now: Instant,
    ) {
        let Some(mut query) = self.queries.remove(id) else {
            return;
        };
        query.lookup = None;
        query.steps.append(steps);
        let next = match conclusion {
            Conclusion::Refused(refused) => {
                let outage = refused.is_outage();
                let stale = outage.then(|| self.stale_instead(&mut query, &refused, now));
                let refused = || Next::Done(Outcome::Refused(refused));
                stale.flatten().unwrap_or_else(refused)
            }
            Conclusion::Reply {
                signed,
                plain,
                extended_error,
                verdict: _,
            } => {
                let version = match query.parsed.dnssec_ok() {
                    true => signed,
                    false => plain,
                };
                let found = Found {
                    extended_error,
                    template: Some((version.template, 0)),
                    ..Found::default()
                };
                self.take_hop(&mut query, &version.hop, found)
            }
        };
        self.go_on(query, next, now);
    }

    /// Takes a query on that waited.
    pub(crate) fn go_on(&mut self, query: Box<Query>, next: Next, now: Instant) {
        match next {
            Next::Advance => self.advance(query, now),
            Next::Done(outcome) => self.settle(query, outcome, now),
        }
    }

    /// The client has waited long enough.
    pub(crate) fn take_budget(&mut self, id: u64, now: Instant) {
        if let Some(lookup) = self.queries.get(id).and_then(|query| query.lookup) {
            self.cut_judging(lookup, now);
        }
        let Some(mut query) = self.queries.remove(id) else {
            return;
        };
        if let Some(refused) = self.leave_labels(id) {
            self.finish(query, Outcome::Refused(refused), now);
            return;
        }
        self.counters.timed_out += 1;
        let lookup = query.lookup.take();
        let mut may_keep = false;
        let refused = match lookup.and_then(|id| self.lookups.get(id)) {
            Some(lookup) => {
                query.steps.extend_from_slice(&lookup.steps);
                may_keep = lookup.looped.is_empty();
                failed(lookup)
            }
            None => Refused::not_asked(),
        };
        if let Some(lookup) = lookup {
            if may_keep {
                self.keep_silence(lookup, &refused, now);
            }
            self.leave_late(lookup, Waiter::Query(id), now);
        }
        self.finish(query, Outcome::Refused(refused), now);
    }

    /// Ends queries whose names belong elsewhere since the plan changed.
    pub(crate) fn reroute(&mut self, now: Instant) {
        let ids: Vec<u64> = self.queries.numbers();
        for id in ids {
            let Some(query) = self.queries.get(id) else {
                continue;
            };
            let moved = query.chain.visits.iter().find_map(|visit| {
                let route = self.route(query, &visit.name);
                let stays = matches!(&route.target, Target::Ask(scope) if *scope == visit.scope)
                    && self.scopes.get(&visit.scope).is_some_and(|scope| {
                        scope.incarnation == visit.incarnation
                            && scope.plan.state == ScopeState::Ready
                    });
                (!stays).then(|| match &route.target {
                    Target::Ask(_) => (Refused::scope_lost(&visit.name, &visit.scope), None),
                    Target::Refuse(_) => {
                        let refused = Refused::by_route(&visit.name, &route, &self.plan);
                        (refused, Some(Step::Routed(visit.name.clone(), route)))
                    }
                })
            });
            let Some(refused) = moved else {
                continue;
            };
            let Some(mut query) = self.queries.remove(id) else {
                continue;
            };
            let (refused, step) = refused;
            if let Some(lookup) = query.lookup.take() {
                if let Some(lookup) = self.lookups.get(lookup) {
                    query.steps.extend_from_slice(&lookup.steps);
                }
                self.leave(lookup, Waiter::Query(id), now);
            }
            query.steps.extend(step);
            self.finish(query, Outcome::Refused(refused), now);
        }
    }

    /// Answers from the cache when this very question went the long way before.
    fn answer_hit(&mut self, query: &ClientQuery<'_>, now: Instant) -> bool {
        let mut wire = Vec::new();
        let own = self.shortcuts.own();
        let answered = own.answer(query.wire, query.stub, query.channel, &mut wire, now);
        if answered {
            self.answers.push_back(Answer {
                client: query.client,
                wire,
            });
        }
        answered
    }

    fn is_duplicate(&self, query: &ClientQuery<'_>, parsed: &ParsedQuery) -> bool {
        let first = (query.client, 0);
        let last = (query.client, u64::MAX);
        self.queries_by_client.range(first..=last).any(|(_, id)| {
            self.queries
                .get(*id)
                .is_some_and(|other| other.parsed == *parsed && other.stub == query.stub)
        })
    }

    /// Takes a query as far as it gets without waiting.
    pub(crate) fn advance(&mut self, mut query: Box<Query>, now: Instant) {
        loop {
            let question = query.question();
            let route = self.route(&query, &question.name);
            let own = self.own_mark(&query, &question, &route, now);
            query.is_mark |= own.is_some();
            let next = match own.or_else(|| self.without_scope(&mut query, &question, &route)) {
                Some(next) => next,
                None if self.is_for_neighbours(&query, &route) => {
                    self.ask_neighbours(query, &route, now);
                    return;
                }
                None => {
                    query
                        .steps
                        .push(Step::Routed(question.name.clone(), route.clone()));
                    match &route.target {
                        _ if is_withheld(query.stub, &route, &self.plan) => {
                            Next::Done(query.withhold(question.name, &route))
                        }
                        Target::Refuse(refusal) => {
                            if matches!(refusal, Refusal::SearchExpansion { .. }) {
                                self.counters.leaks_prevented += 1;
                            }
                            let refused = Refused::by_route(&question.name, &route, &self.plan);
                            Next::Done(Outcome::Refused(refused))
                        }
                        Target::Ask(scope) => match self.look_up(&mut query, &question, scope, now)
                        {
                            Some(next) => next,
                            None => {
                                self.wait(query, now);
                                return;
                            }
                        },
                    }
                }
            };
            match next {
                Next::Advance => {}
                Next::Done(outcome) => match self.translate(&mut query, outcome, now) {
                    Translation::Again => {}
                    Translation::Held => {
                        self.keep_waiting(query, now);
                        return;
                    }
                    Translation::Done(outcome) => {
                        if let Some(outcome) = query.settle(outcome) {
                            self.end_or_call_out(query, outcome, now);
                            return;
                        }
                    }
                },
            }
        }
    }

    pub(crate) fn settle(&mut self, mut query: Box<Query>, outcome: Outcome, now: Instant) {
        match self.translate(&mut query, outcome, now) {
            Translation::Again => self.advance(query, now),
            Translation::Held => self.keep_waiting(query, now),
            Translation::Done(outcome) => match query.settle(outcome) {
                Some(outcome) => self.end_or_call_out(query, outcome, now),
                None => self.advance(query, now),
            },
        }
    }

    /// What can be said of a name before it is routed: synthesis, and the search for single labels.
    fn without_scope(
        &mut self,
        query: &mut Query,
        question: &Question,
        route: &Route,
    ) -> Option<Next> {
        if let Some(next) = self.answer_recorded(query, question, route) {
            return Some(next);
        }
        let claimed = is_claimed(route);
        if let Some(made) = synthesize(
            question,
            &self.local_names,
            &self.hosts,
            query.stub,
            claimed || self.is_for_neighbours(query, route),
        ) {
            query.steps.push(Step::Synthesized(made.kind));
            query.chain.answers.extend(made.answers);
            query.chain.authentic = false;
            let found = Found {
                rcode: made.rcode,
                authority: made.authority,
                extended_error: made.extended_error,
                authoritative: query.chain.visits.is_empty(),
                ..Found::default()
            };
            return Some(Next::Done(Outcome::Found(found)));
        }
        if query.stub.is_bypass() {
            return None;
        }
        if let Some(next) = self.answer_listed(query, question, route) {
            return Some(next);
        }
        if query.searching.is_none() && query.chain.is_at_start() {
            let Search::Candidates(candidates) = search(question, &self.plan.search, claimed)
            else {
                return None;
            };
            query.searching = Some(Searching {
                rest: candidates.into(),
                tried: Vec::new(),
                failed: None,
                exists: false,
            });
            return Some(match query.search_on() {
                true => Next::Advance,
                false => Next::Done(Outcome::Refused(Refused::single_label(&question.name))),
            });
        }
        // The target of an alias, without dots: nobody above the root's servers could know it.
        if !claimed && !search::may_be_asked(&question.name, question.record_type) {
            return Some(Next::Done(Outcome::Refused(Refused::single_label(
                &question.name,
            ))));
        }
        None
    }

    /// Looks into the scope's cache; `None` when the query must wait, and its visit is noted.
    pub(crate) fn look_up(
        &mut self,
        query: &mut Query,
        question: &Question,
        id: &ScopeId,
        now: Instant,
    ) -> Option<Next> {
        let incarnation = self.scopes.get(id).map_or(0, |scope| scope.incarnation);
        let Some(scope) = self.scopes.living(id, incarnation) else {
            return Some(Next::Done(Outcome::Refused(Refused::scope_lost(
                &question.name,
                id,
            ))));
        };
        let slot = scope.slot;
        if let Some(next) = self.map_back(query, question, id, now) {
            return Some(next);
        }
        query.chain.visits.push(Visit {
            name: question.name.clone(),
            scope: id.clone(),
            incarnation,
        });
        let key = Key {
            slot,
            name: question.name.as_wire(),
            record_type: question.record_type,
            class: question.class,
            dnssec_ok: query.parsed.dnssec_ok(),
            checking_disabled: query.parsed.checking_disabled,
        };
        // A failure was that of the usual way; a tunnel's own may work.
        let hit = self.cache.get(&key, now);
        let hit = hit.filter(|hit| query.below.is_none() || !hit.template.is_failure());
        let Some(hit) = hit else {
            return self.stale_at_once(query, question, &key, id, now);
        };
        let (template, age) = (hit.template, hit.age);
        if hit.is_due && template.rcode() == rcode::NOERROR {
            self.renew(query, question, (id, incarnation), now);
        }
        let hop = self.reread(&template, age, question, query, id)?;
        query.steps.push(Step::CacheHit(id.clone()));
        let found = Found {
            extended_error: template.error().cloned(),
            template: Some((template, age)),
            ..Found::default()
        };
        Some(self.take_hop(query, &hop, found))
    }

    /// Reads a kept answer as if it came anew: which of it is believed depends on the plan in force.
    pub(crate) fn reread(
        &self,
        template: &Template,
        age: u32,
        question: &Question,
        query: &Query,
        id: &ScopeId,
    ) -> Option<Hop> {
        let mut question_wire = question.name.as_wire().to_vec();
        question_wire.extend_from_slice(&question.record_type.to_be_bytes());
        question_wire.extend_from_slice(&question.class.to_be_bytes());
        let envelope = Envelope {
            id: 0,
            checking_disabled: query.parsed.checking_disabled,
            understands_authentic: false,
            question_wire: &question_wire,
            edns: Some(ClientEdns {
                udp_size: EDNS_UDP_SIZE,
                dnssec_ok: query.parsed.dnssec_ok(),
                nsid: false,
            }),
            channel: Channel::Tcp,
        };
        let mut wire = Vec::with_capacity(ANSWER_ROOM);
        template.emit(&envelope, age, None, &mut wire);
        let reply = parse_reply(&wire, 0, question).ok()?;
        let route = |name: &DomainName| query.route(name, &self.plan);
        Some(chain::follow(question, id, reply, route))
    }

    /// Asks for what a query needs now, or lets it wait until it is known whether the reply must be judged.
    pub(crate) fn wait(&mut self, mut query: Box<Query>, now: Instant) {
        let Some(visit) = query.chain.visits.last() else {
            return;
        };
        let mut asking = Asking {
            scope: visit.scope.clone(),
            incarnation: visit.incarnation,
            question: query.question(),
            dnssec_ok: query.parsed.dnssec_ok(),
            checking_disabled: query.parsed.checking_disabled,
            validate: false,
            recurse: false,
            fleeting: false,
            whom: Whom::Any,
            mark: query.below.as_ref().map_or(0, |below| below.mark),
        };
        // Before anything that makes it wait: what it would wait for may be what waits for it.
        if let Some(upstream) = self.own_question(&query, &asking, now) {
            let refused = Refused::looped(&upstream);
            self.finish(query, Outcome::Refused(refused), now);
            return;
        }
        if self.is_for_portal(&mut query, now) {
            // What the upstream thinks of it is no help either.
            asking.checking_disabled = true;
        } else if !asking.checking_disabled {
            match self.decide_judging(&asking.question.name.clone(), &asking, now) {
                Judged::No => {}
                Judged::NotYet => {
                    let incarnation = asking.incarnation;
                    self.hold(query, incarnation, now);
                    return;
                }
                // The signatures are for us, and the upstream's own opinion is not asked for.
                Judged::Yes => {
                    asking.dnssec_ok = true;
                    asking.checking_disabled = true;
                    asking.validate = true;
                    if let Some((conclusion, step)) = self.deny_again(&asking, now) {
                        let id = query.id;
                        self.keep_waiting(query, now);
                        self.resume(id, conclusion, &mut vec![step], now);
                        return;
                    }
                }
            }
        }
        let Some(admitted) = self.admit(query, &asking, now) else {
            return;
        };
        query = admitted;
        query.lookup = Some(self.ask(Waiter::Query(query.id), asking, now));
        self.keep_waiting(query, now);
    }

    /// Puts a query where its budget ends it.
    pub(crate) fn keep_waiting(&mut self, query: Box<Query>, now: Instant) {
        let id = query.id;
        self.queries_by_client.insert((query.client, id), id);
        self.timers
            .set_earlier(Timer::Budget, id, query.asked_at + BUDGET);
        self.await_fresh(&query, now);
        self.queries.insert(id, query);
    }
}

/// The first steps of a question.
fn begun(below: Option<&Below>) -> Vec<Step> {
    let mut steps = Vec::with_capacity(STEPS_USUAL);
    steps.extend(below.map(|below| Step::Below(below.link.clone())));
    steps
}
