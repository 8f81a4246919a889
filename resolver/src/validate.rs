//! What is a reply worth, before anybody gets it? Lets the validator judge it.
//!
//! ```text
//! good reply ─► judge ─► DS, DNSKEY in the same scope (`fetches`) ─► … ─► verdict  (dear ones in slices: `slices`)
//!                 secure, insecure · observe ───────────────────────► kept and handed on, with and without signatures
//!                 bogus, indeterminate · enforce ─► the next upstream, else SERVFAIL with the reason
//! ```
//!
//! A chain of trust never leaves its scope: what it would have to ask elsewhere counts as not fetched. Names that somebody
//! claims are islands: no question about them goes to their public parents, so they are Insecure unless an anchor lies
//! within the claim. Where their own scope is the one that public names go to, they may validate through those parents; that
//! they do not is no fault then. The logic of DNSSEC is `dnssec`'s; whether a scope can validate at all is `proof`'s.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use config::model::Upstream;
use config::name::{DomainName, wire_suffixes};
use config::time::Instant;
use dnssec::{Fetch, IndeterminateReason, Record, Reply, Step as Stage, Validation, Verdict};

use crate::Resolver;
use crate::answer::encode;
use crate::chain::{End, Hop};
use crate::conclude::{Conclusion, Version};
use crate::event::{Event, ExtendedError, Step, Timer};
use crate::exchange::Asking;
use crate::present::type_name;
use crate::proof::Stance;
use crate::record::RawRecord;
use crate::refusal::Refused;
use crate::stale::Signed;
use crate::trim::{age, trim, trim_unproven, without_signatures};
use crate::wire::{Question, rcode, rtype};

/// How long it is remembered that what is said of a name is not to be believed (RFC 4035 §4.7): to find out is work.
const DISBELIEF_LIFETIME: Duration = Duration::from_secs(5);

/// A reply that is being judged.
#[derive(Debug)]
pub(crate) struct Judging {
    pub(crate) upstream: Upstream,
    hop: Hop,
    extended_error: Option<ExtendedError>,
    /// When it came: its records age while others are waited for.
    came_at: Instant,
    pub(crate) validation: Validation,
    /// What is being fetched, by the lookup that fetches it.
    pub(crate) fetch_by_lookup: BTreeMap<u64, Vec<Fetch>>,
    /// How often it had to wait for others.
    slices: u32,
}

impl Resolver {
    /// Whether nothing about a name may be asked where public names are: somebody claims it, or a name above it.
    pub(crate) fn is_island(&self, name: &DomainName) -> bool {
        wire_suffixes(name.as_wire())
            .any(|suffix| suffix != [0] && self.plan.domains.is_claimed(suffix))
    }

    /// Whether a validator has anything to say on a name.
    pub(crate) fn is_within_trust(&self, name: &DomainName, now: Instant) -> bool {
        !self.is_island(name)
            || self
                .trust
                .anchor_of(name, self.wall(now).seconds)
                .is_some_and(|owner| self.is_island(&owner))
    }

    /// Whether an island may be judged by its public parents: they are asked where it is asked itself.
    pub(crate) fn may_validate(&self, asking: &Asking) -> bool {
        self.plan.default_scope().as_ref() == Some(&asking.scope)
    }

    /// Begins to judge a lookup's reply.
    pub(crate) fn judge(
        &mut self,
        id: u64,
        upstream: &Upstream,
        hop: Hop,
        extended_error: Option<ExtendedError>,
        now: Instant,
    ) {
        let Some(lookup) = self.lookups.get_mut(id) else {
            return;
        };
        let (hop, asked) = first_alias(hop, &lookup.asking.question);
        let Some(question) = judged_question(&asked) else {
            return;
        };
        let mut validation = self.trust.validator.begin(question, &judged_reply(&hop));
        self.charge(id, upstream, &mut validation);
        let Some(lookup) = self.lookups.get_mut(id) else {
            return;
        };
        lookup.walk = None;
        lookup.judging = Some(Box::new(Judging {
            upstream: upstream.clone(),
            hop,
            extended_error,
            came_at: now,
            validation,
            fetch_by_lookup: BTreeMap::new(),
            slices: 0,
        }));
        self.timers.clear(Timer::Hedge, id);
        self.timers.clear(Timer::Exchange, id);
        self.timers.clear(Timer::Walk, id);
        self.go_on_judging(id, now);
    }

    pub(crate) fn go_on_judging(&mut self, id: u64, now: Instant) {
        let wall = self.wall(now);
        loop {
            let Some(lookup) = self.lookups.get_mut(id) else {
                return;
            };
            let Some(judging) = &mut lookup.judging else {
                return;
            };
            let fetches = match judging.validation.step(&mut self.trust.validator, wall) {
                Stage::Done(outcome) => {
                    self.judged(id, &outcome, now);
                    return;
                }
                Stage::Paused => {
                    judging.slices = judging.slices.saturating_add(1);
                    let slices = judging.slices;
                    self.pause(id, slices);
                    return;
                }
                Stage::Fetch(fetches) => fetches,
            };
            let asking = lookup.asking.clone();
            let mut came = false;
            for fetch in fetches {
                came |= self.fetch(id, &asking, fetch, now);
            }
            if !came {
                return;
            }
        }
    }

    /// Ends the judging of a reply that a client has waited for long enough, where what is not proven is served all the same.
    pub(crate) fn cut_judging(&mut self, id: u64, now: Instant) {
        let Some(lookup) = self.lookups.get_mut(id) else {
            return;
        };
        // A walk would take longer still.
        lookup.walked = true;
        let Some(judging) = &lookup.judging else {
            return;
        };
        let (scope, upstream) = (lookup.asking.scope.clone(), judging.upstream.clone());
        let recurses = lookup.asking.recurse;
        if recurses || self.stance(&scope, &upstream) != Stance::Observe {
            return;
        }
        if let Some(judging) = self.judging(id) {
            let outcome = judging.validation.give_up(judging.is_waiting_for());
            self.judged(id, &outcome, now);
        }
    }

    fn judged(&mut self, id: u64, outcome: &dnssec::Outcome, now: Instant) {
        let Some(lookup) = self.lookups.get_mut(id) else {
            return;
        };
        let Some(judging) = lookup.judging.take() else {
            return;
        };
        let links = outcome.links.iter().map(ToString::to_string).collect();
        lookup.steps.push(Step::Judged(outcome.verdict, links));
        let asking = lookup.asking.clone();
        self.drop_fetches(id, &judging, now);
        let Judging {
            upstream,
            mut hop,
            mut extended_error,
            came_at,
            ..
        } = *judging;
        let waited = now.since(came_at);
        age(&mut hop, waited);
        self.counters.count(outcome.verdict);
        self.counters.curbed += u64::from(outcome.debtor.is_some());
        if !self.clock.dates_count {
            let evidence = outcome.evidence.iter().copied();
            self.events.extend(evidence.map(Event::Evidence));
        }
        // What was fetched from the root down leaves nobody to blame but the zone.
        let stance = match asking.recurse {
            true => Stance::Enforce,
            false => self.stance(&asking.scope, &upstream),
        };
        let mut doubtful = false;
        let mut verdict = outcome.verdict;
        match outcome.verdict {
            Verdict::Secure => {
                hop.rcode = outcome.rcode;
                trim(&mut hop, outcome);
                let denies = outcome.answers.is_empty() && outcome.leads_to.is_none();
                if denies && !asking.fleeting {
                    let waited = u32::try_from(waited.as_secs()).unwrap_or(u32::MAX);
                    let ttl = outcome.ttl.saturating_sub(waited);
                    self.keep_denial(&asking, &hop, ttl, now);
                }
            }
            Verdict::Insecure | Verdict::Indeterminate(IndeterminateReason::NoAnchor) => {
                trim_unproven(&mut hop, &asking.question.name);
            }
            // A private zone under a signed public name has no proof to show.
            Verdict::Bogus(_) | Verdict::Indeterminate(_)
                if !self.is_within_trust(&asking.question.name, now) =>
            {
                trim_unproven(&mut hop, &asking.question.name);
                verdict = Verdict::Insecure;
            }
            Verdict::Bogus(_) | Verdict::Indeterminate(_) => {
                if stance == Stance::Enforce {
                    self.reject(id, &asking, &upstream, outcome, now);
                    return;
                }
                trim_unproven(&mut hop, &asking.question.name);
                doubtful = self.may_walk(id, now);
                extended_error = extended_error.or_else(|| Some(told(outcome, &upstream)));
            }
        }
        if let Some(target) = outcome.leads_to.as_ref()
            && let Ok(target) = DomainName::from_wire(target.as_wire())
        {
            // The reply says nothing of the name that its aliases lead to, or nothing that is proven.
            hop.rcode = rcode::NOERROR;
            hop.authority.clear();
            hop.end = End::Goto(target);
        }
        let authentic = outcome.verdict.is_authentic() && self.clock.dates_count;
        let conclusion =
            Self::judged_conclusion(&asking.question, hop, authentic, extended_error, verdict);
        if doubtful {
            if let Some(lookup) = self.lookups.get_mut(id) {
                lookup.second_best = Some(conclusion);
            }
            self.walk(id, now);
            return;
        }
        self.hand_on(&asking, &conclusion, outcome.signed_for, now);
        self.conclude(id, &conclusion, now);
    }

    /// Makes both versions of a reply that was judged.
    pub(crate) fn judged_conclusion(
        question: &Question,
        hop: Hop,
        authentic: bool,
        extended_error: Option<ExtendedError>,
        verdict: Verdict,
    ) -> Conclusion {
        let plain = without_signatures(hop.clone(), question);
        Conclusion::Reply {
            signed: version(question, hop, authentic, extended_error.as_ref()),
            plain: version(question, plain, authentic, extended_error.as_ref()),
            extended_error,
            verdict: Some(verdict),
        }
    }

    /// Keeps both versions of a reply that was judged, each under the DO that it is for; all signatures that the verdict hangs on
    /// hold `signed_for` seconds.
    pub(crate) fn hand_on(
        &mut self,
        asking: &Asking,
        conclusion: &Conclusion,
        signed_for: Option<u32>,
        now: Instant,
    ) {
        let Conclusion::Reply { signed, plain, .. } = conclusion else {
            return;
        };
        for (version, dnssec_ok) in [(signed, true), (plain, false)] {
            let asking = Asking {
                dnssec_ok,
                checking_disabled: false,
                ..asking.clone()
            };
            let template = Arc::clone(&version.template);
            let signed = Signed {
                hop: &signed.hop,
                above: signed_for.map(|seconds| Duration::from_secs(seconds.into())),
            };
            drop(self.keep(&asking, &version.hop, signed, template, now));
        }
    }

    /// Turns to the next upstream after a reply that is not to be believed, or says why there is no answer.
    fn reject(
        &mut self,
        id: u64,
        asking: &Asking,
        upstream: &Upstream,
        outcome: &dnssec::Outcome,
        now: Instant,
    ) {
        let refused = Refused::not_believed(upstream, outcome.verdict, &outcome.why);
        let refused = self.blame_portal(refused, &asking.scope);
        self.doubt(asking, upstream, now);
        if let Some(lookup) = self.lookups.get_mut(id) {
            lookup.bogus = Some(refused.clone());
        }
        // What costs too much costs no less from anybody else.
        let is_costly = outcome.verdict == Verdict::Indeterminate(IndeterminateReason::BudgetSpent);
        if !is_costly && !asking.recurse && self.ask_next(id, now) {
            return;
        }
        if !is_costly && self.may_walk(id, now) {
            self.walk(id, now);
            return;
        }
        if let Verdict::Indeterminate(_) = outcome.verdict
            && let Some(lookup) = self.lookups.get_mut(id)
            && let Some(second_best) = lookup.second_best.take()
        {
            self.conclude(id, &second_best, now);
            return;
        }
        for dnssec_ok in [true, false] {
            let asking = Asking {
                dnssec_ok,
                checking_disabled: false,
                ..asking.clone()
            };
            let told = Some(refused.extended_error.clone());
            self.keep_failure(&asking, &refused, told, DISBELIEF_LIFETIME, now, now);
        }
        self.conclude(id, &Conclusion::Refused(refused), now);
    }
}

impl Judging {
    /// Whether it waits for what others have to say, not for its turn.
    pub(crate) fn is_fetching(&self) -> bool {
        !self.fetch_by_lookup.is_empty()
    }

    /// Says in words what it waits for.
    pub(crate) fn is_waiting_for(&self) -> String {
        let fetches = self.fetch_by_lookup.values().flatten();
        let texts: Vec<String> = fetches
            .map(|fetch| format!("{} of {}", type_name(fetch.record_type), fetch.name))
            .collect();
        match texts.is_empty() {
            true => "judging takes too long".to_owned(),
            false => format!("{} did not come in time", texts.join(", ")),
        }
    }
}

/// Encodes one version of a reply that was judged.
fn version(
    question: &Question,
    hop: Hop,
    authentic: bool,
    error: Option<&ExtendedError>,
) -> Version {
    let template = encode(question, &hop).telling(error.cloned());
    let template = match authentic {
        true => template.authentic(),
        false => template,
    };
    Version::new(hop, Arc::new(template))
}

/// Cuts a reply that leads elsewhere to its first alias, which can be judged alone; returns what that answers.
fn first_alias(mut hop: Hop, question: &Question) -> (Hop, Question) {
    match hop.end {
        End::Final | End::Loop => return (hop, question.clone()),
        End::Goto(_) | End::Refused(..) => {}
    }
    if hop.aliases.len() > 1
        && let Some(first) = hop.aliases.first().cloned()
    {
        hop.answers.retain(|record| {
            record.is_at(&question.name)
                || (question.name.is_in(&record.owner()) && !record.is_at(&first))
        });
        hop.aliases.truncate(1);
        hop.end = End::Goto(first);
    }
    let asked = Question {
        record_type: rtype::CNAME,
        ..question.clone()
    };
    (hop, asked)
}

pub(crate) fn judged_question(question: &Question) -> Option<dnssec::Question> {
    Some(dnssec::Question {
        name: dnssec::Name::from_wire(question.name.as_wire())?,
        record_type: question.record_type,
    })
}

pub(crate) fn judged_reply(hop: &Hop) -> Reply {
    Reply {
        rcode: hop.rcode,
        answers: records(&hop.answers),
        authority: records(&hop.authority),
    }
}

pub(crate) fn records(records: &[RawRecord]) -> Vec<Record> {
    records
        .iter()
        .map(|record| Record {
            name: record.name.clone(),
            record_type: record.record_type,
            class: record.class,
            ttl: record.ttl,
            rdata: record.rdata.clone(),
        })
        .collect()
}

fn told(outcome: &dnssec::Outcome, upstream: &Upstream) -> ExtendedError {
    Refused::not_believed(upstream, outcome.verdict, &outcome.why).extended_error
}
