//! What does a chain of trust need that is not at hand? Fetches its links, in the scope of the question.
//!
//! A fetch goes first to whom the judged reply came from. Does not judge: what it brings is `dnssec`'s.

use config::name::DomainName;
use config::time::Instant;
use dnssec::{Fetch, FetchFailure, Reply};
use policy::ScopeId;

use crate::Resolver;
use crate::cache::Key;
use crate::chain::is_claimed;
use crate::conclude::Conclusion;
use crate::event::Channel;
use crate::exchange::{Asking, Whom};
use crate::lookup::Waiter;
use crate::record::parse_reply;
use crate::scope::Scope;
use crate::template::Template;
use crate::validate::{Judging, judged_reply, records};
use crate::wire::{ClientEdns, EDNS_UDP_SIZE, Envelope, Question};

impl Resolver {
    /// Fetches a link of a chain; returns whether it is there already, or never will be.
    pub(crate) fn fetch(&mut self, id: u64, asking: &Asking, fetch: Fetch, now: Instant) -> bool {
        let question = fetched_question(&fetch, asking.question.class);
        let allowed = question
            .as_ref()
            .is_some_and(|question| self.may_fetch(question, &asking.scope));
        let (Some(question), true) = (question, allowed) else {
            if let Some(judging) = self.judging(id) {
                let nothing = Err(FetchFailure::NotAllowed);
                judging.validation.handle_fetch(&fetch, nothing);
            }
            return true;
        };
        let whom = match (&asking.whom, self.judging(id)) {
            (Whom::Only(_), _) | (_, None) => asking.whom.clone(),
            (Whom::Any | Whom::First(_), Some(judging)) => Whom::First(judging.upstream.clone()),
        };
        let asking = Asking {
            question,
            dnssec_ok: true,
            checking_disabled: true,
            validate: false,
            whom,
            ..asking.clone()
        };
        // What one upstream stripped must not come back by the cache, in the chain of another's answer.
        let as_kept = !asking.recurse
            && self
                .scopes
                .get(&asking.scope)
                .is_some_and(Scope::speaks_as_one);
        if as_kept && let Some(reply) = self.kept_reply(&asking, now) {
            if let Some(judging) = self.judging(id) {
                judging.validation.handle_fetch(&fetch, Ok(&reply));
            }
            return true;
        }
        let lookup = self.ask(Waiter::Judging(id), asking, now);
        if let Some(judging) = self.judging(id) {
            judging
                .fetch_by_lookup
                .entry(lookup)
                .or_default()
                .push(fetch);
        }
        false
    }

    pub(crate) fn judging(&mut self, id: u64) -> Option<&mut Judging> {
        self.lookups.get_mut(id)?.judging.as_deref_mut()
    }

    /// A fetch must go where its name routes, or be about a name above the scope's own that nobody claims.
    fn may_fetch(&self, question: &Question, scope: &ScopeId) -> bool {
        let route = self.plan.domains.route(&question.name);
        match is_claimed(&route) || self.is_island(&question.name) {
            true => route.target.scope() == Some(scope),
            false => true,
        }
    }

    /// Takes what a fetch of a chain brought.
    pub(crate) fn take_fetched(
        &mut self,
        id: u64,
        fetched: u64,
        conclusion: &Conclusion,
        now: Instant,
    ) {
        let Some(judging) = self.judging(id) else {
            return;
        };
        let Some(fetches) = judging.fetch_by_lookup.remove(&fetched) else {
            return;
        };
        let reply = match conclusion {
            Conclusion::Reply { signed, .. } => Ok(judged_reply(&signed.hop)),
            Conclusion::Refused(_) => Err(FetchFailure::NoReply),
        };
        for fetch in fetches {
            let brought = reply.as_ref().map_err(|failure| *failure);
            judging.validation.handle_fetch(&fetch, brought);
        }
        self.go_on_judging(id, now);
    }

    /// Lets go of what a judging that ends was waiting for.
    pub(crate) fn drop_fetches(&mut self, id: u64, judging: &Judging, now: Instant) {
        for lookup in judging.fetch_by_lookup.keys() {
            self.leave(*lookup, Waiter::Judging(id), now);
        }
    }

    /// Returns a reply that was kept before.
    fn kept_reply(&self, asking: &Asking, now: Instant) -> Option<Reply> {
        let slot = self.scopes.get(&asking.scope)?.slot;
        let question = &asking.question;
        let key = Key {
            slot,
            name: question.name.as_wire(),
            record_type: question.record_type,
            class: question.class,
            dnssec_ok: true,
            checking_disabled: true,
        };
        let hit = self.cache.get(&key, now)?;
        if hit.template.is_failure() {
            return None;
        }
        let wire = message(question, &hit.template, hit.age);
        let reply = parse_reply(&wire, 0, question).ok()?;
        Some(Reply {
            rcode: reply.rcode,
            answers: records(&reply.answers),
            authority: records(&reply.authority),
        })
    }
}

fn fetched_question(fetch: &Fetch, class: u16) -> Option<Question> {
    Some(Question {
        name: DomainName::from_wire(fetch.name.as_wire()).ok()?,
        record_type: fetch.record_type,
        class,
    })
}

/// Writes a template as the message of an upstream.
fn message(question: &Question, template: &Template, age: u32) -> Vec<u8> {
    let mut question_wire = question.name.as_wire().to_vec();
    question_wire.extend_from_slice(&question.record_type.to_be_bytes());
    question_wire.extend_from_slice(&question.class.to_be_bytes());
    let envelope = Envelope {
        id: 0,
        checking_disabled: true,
        understands_authentic: false,
        question_wire: &question_wire,
        edns: Some(ClientEdns {
            udp_size: EDNS_UDP_SIZE,
            dnssec_ok: true,
            nsid: false,
        }),
        channel: Channel::Tcp,
    };
    let mut wire = Vec::new();
    template.emit(&envelope, age, None, &mut wire);
    wire
}
