//! May a question be denied by what was proven for others (RFC 8198)? Asked before an upstream is, and only where bogus
//! answers would be refused: what nobody validates must not be concluded from.

use config::time::Instant;
use dnssec::{Step as Stage, Verdict};

use crate::Resolver;
use crate::chain::{End, Hop};
use crate::conclude::Conclusion;
use crate::event::Step;
use crate::exchange::Asking;
use crate::record::RawRecord;
use crate::scope::Scope;
use crate::trim::trim;
use crate::validate::{judged_question, judged_reply};
use crate::wire::rtype;

impl Resolver {
    /// Switches the reuse of denials for other names.
    pub fn apply_aggressive_nsec(&mut self, on: bool) {
        self.denies_again = on;
        self.trust.denials.clear();
    }

    /// Returns a denial from memory, judged, and how that came.
    pub(crate) fn deny_again(
        &mut self,
        asking: &Asking,
        now: Instant,
    ) -> Option<(Conclusion, Step)> {
        let question = &asking.question;
        let is_special = matches!(
            question.record_type,
            rtype::DS | rtype::ANY | rtype::RRSIG | rtype::NSEC | rtype::NSEC3
        );
        // What the public parent of an island proves does not count for it.
        let is_public = self.is_within_trust(&question.name, now);
        if is_special || !is_public || !self.may_deny(asking) {
            return None;
        }
        let judged = judged_question(question)?;
        let (reply, _) = self
            .trust
            .denials
            .reply(asking.incarnation, &judged, seconds(now))?;
        let wall = self.wall(now);
        let mut validation = self.trust.validator.begin(judged, &reply);
        let outcome = match validation.step(&mut self.trust.validator, wall) {
            Stage::Done(outcome) if outcome.verdict == Verdict::Secure => outcome,
            // What it would have to fetch first is no faster than to ask.
            Stage::Done(_) | Stage::Fetch(_) | Stage::Paused => return None,
        };
        let raw = |record: &dnssec::Record| RawRecord {
            name: record.name.clone(),
            record_type: record.record_type,
            class: record.class,
            ttl: record.ttl,
            rdata: record.rdata.clone(),
        };
        let mut hop = Hop {
            rcode: outcome.rcode,
            answers: Vec::new(),
            authority: reply.authority.iter().map(raw).collect(),
            aliases: Vec::new(),
            end: End::Final,
        };
        trim(&mut hop, &outcome);
        self.counters.count(outcome.verdict);
        self.counters.denied_again += 1;
        let links = std::iter::once("denied by what was proven before".to_owned())
            .chain(outcome.links.iter().map(ToString::to_string))
            .collect();
        let conclusion = Self::judged_conclusion(question, hop, true, None, Verdict::Secure);
        self.hand_on(asking, &conclusion, outcome.signed_for, now);
        Some((conclusion, Step::Judged(Verdict::Secure, links)))
    }

    /// Keeps what a Secure reply proves beyond the question, `ttl` seconds long.
    pub(crate) fn keep_denial(&mut self, asking: &Asking, hop: &Hop, ttl: u32, now: Instant) {
        if self.may_deny(asking) {
            let authority = judged_reply(hop).authority;
            let place = asking.incarnation;
            self.trust
                .denials
                .keep(place, &authority, ttl, seconds(now));
        }
    }

    fn may_deny(&self, asking: &Asking) -> bool {
        self.denies_again
            && self.clock.dates_count
            && self.scopes.get(&asking.scope).is_some_and(Scope::enforces)
    }
}

fn seconds(now: Instant) -> u64 {
    const NANOS_PER_SECOND: u64 = 1_000_000_000;
    now.as_nanos() / NANOS_PER_SECOND
}
