//! What has become of the questions of each scope? Counts and latencies of fixed size, kept while the plan has the scope.
//!
//! A cache hit costs nothing here: the cache counts it. What is counted is in words that a label may have: no name of a
//! question and no client.

use std::collections::BTreeMap;
use std::time::Duration;

use config::time::Instant;
use dnssec::Verdict;
use policy::{DnsPlan, ScopeId, Target};

use crate::event::{ExtendedError, Failure, HttpFault, ScopeStatus, Step, TlsFault};
use crate::failure::Cause;
use crate::histogram::Histogram;
use crate::progress::Query;
use crate::refusal::Refused;
use crate::wire::rcode;

/// Response codes that are counted one by one; all above are one (RFC 6895 §2.3 has none between 24 and 65534).
const RCODES: usize = 24;
/// For how long after the last answer it counts what the last ones were.
const RECENT: Duration = Duration::from_secs(600);

/// Why a question ended with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// No upstream replied in time.
    NoReply,
    /// No upstream could be reached.
    Unreachable,
    /// The replies were errors.
    UpstreamError,
    /// The replies were judged bogus.
    Bogus,
    /// The name may not be asked now: its scope is not ready, or there is none.
    NotReady,
    /// A rule refuses the name: a list says so, or it is claimed and a guest asked.
    ByRule,
    /// A failure that was kept from a moment ago.
    CachedError,
    /// Anything else: loops, limits, and what this host could not do.
    Other,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::NoReply,
        Self::Unreachable,
        Self::UpstreamError,
        Self::Bogus,
        Self::NotReady,
        Self::ByRule,
        Self::CachedError,
        Self::Other,
    ];

    /// Returns the word for it, in labels and in `status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoReply => "no-reply",
            Self::Unreachable => "unreachable",
            Self::UpstreamError => "upstream-error",
            Self::Bogus => "bogus",
            Self::NotReady => "not-ready",
            Self::ByRule => "refused-by-rule",
            Self::CachedError => "cached-error",
            Self::Other => "other",
        }
    }

    /// Whether somebody decided that it should be so, so that nothing is out of order.
    pub const fn is_meant(self) -> bool {
        match self {
            Self::NotReady | Self::ByRule => true,
            Self::NoReply
            | Self::Unreachable
            | Self::UpstreamError
            | Self::Bogus
            | Self::CachedError
            | Self::Other => false,
        }
    }

    /// Tells the trouble of an answer by its code, its Extended DNS Error (RFC 8914 §4) and what happened to its question; `None`
    /// when it has none.
    pub fn of(rcode: u16, extended_error: Option<&ExtendedError>, steps: &[Step]) -> Option<Self> {
        if !is_failure(rcode) {
            return None;
        }
        if rcode == rcode::REFUSED {
            return Some(Self::of_refusal(steps));
        }
        Some(match extended_error.map(|error| error.code) {
            Some(22) => Self::NoReply,
            Some(23) => Self::Unreachable,
            Some(1 | 2 | 5..=12 | 25 | 27) => Self::Bogus,
            Some(13) => Self::CachedError,
            None | Some(0) if rcode == rcode::SERVFAIL => Self::UpstreamError,
            None | Some(_) => match rcode {
                rcode::SERVFAIL => Self::Other,
                _ => Self::UpstreamError,
            },
        })
    }

    /// As [`Self::of`], of an answer that this resolver made an error.
    pub(crate) fn of_refused(refused: &Refused, steps: &[Step]) -> Option<Self> {
        match refused.cause {
            Cause::Own | Cause::Loop if is_failure(refused.rcode) => Some(Self::Other),
            Cause::Own
            | Cause::Loop
            | Cause::Word
            | Cause::Silence
            | Cause::Disbelief
            | Cause::Decision => Self::of(refused.rcode, Some(&refused.extended_error), steps),
        }
    }

    /// Tells who refused a question: what happened to it last. An upstream's Extended DNS Error may be any, so it says nothing.
    fn of_refusal(steps: &[Step]) -> Self {
        let refused = |step: &Step| match step {
            Step::Withheld(_) | Step::Local(..) => Some(Self::ByRule),
            Step::Routed(_, route) => match route.target {
                Target::Refuse(_) => Some(Self::NotReady),
                Target::Ask(_) => None,
            },
            Step::CacheHit(_) => Some(Self::CachedError),
            Step::Asked(..) | Step::Replied { .. } | Step::Failed(..) | Step::Dropped(..) => {
                Some(Self::UpstreamError)
            }
            Step::Synthesized(_)
            | Step::Searched(_)
            | Step::Below(_)
            | Step::Stale(..)
            | Step::Judged(..)
            | Step::Walked(_)
            | Step::Alias(_)
            | Step::Portal(_)
            | Step::Neighbours(_) => None,
        };
        let found = steps.iter().rev().find_map(refused);
        found.unwrap_or(Self::NotReady)
    }
}

/// Whether a client has to take an answer with this code for a failure.
pub(crate) const fn is_failure(rcode: u16) -> bool {
    !matches!(rcode, rcode::NOERROR | rcode::NXDOMAIN | rcode::YXDOMAIN)
}

/// What has become of the questions of a scope that its cache could not answer at once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScopeCounts {
    /// How long the answers took, errors included, but for those that were told again.
    pub answers: Histogram,
    /// How many were failures of a moment ago, told again without asking: they are no hits.
    pub retold: u64,
    /// Of how many answers of late it is known whether they were failures, hits left out; 0 when nothing was asked lately.
    pub recent: u32,
    /// How many of those were failures that nobody meant.
    pub recent_failed: u32,
    /// How many had each code; the last is for all codes beyond.
    pub rcodes: [u64; RCODES + 1],
    /// How many were errors, by trouble in the order of [`Trouble::ALL`].
    pub troubles: [u64; Trouble::ALL.len()],
    /// How many were judged Secure, Insecure, Bogus, Indeterminate.
    pub verdicts: [u64; 4],
}

impl ScopeCounts {
    /// The words for [`ScopeCounts::verdicts`].
    pub const VERDICTS: [&'static str; 4] = ["secure", "insecure", "bogus", "indeterminate"];

    /// Returns how many were errors.
    pub fn failed(&self) -> u64 {
        self.troubles.iter().sum()
    }

    /// Returns how many there were.
    pub fn count(&self) -> u64 {
        self.answers.count() + self.retold
    }
}

/// What has become of the messages to an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpstreamCounts {
    /// How long its replies took, over any transport.
    pub replies: Histogram,
    /// How many exchanges failed by something that was heard, by what.
    pub failures: BTreeMap<&'static str, u64>,
}

impl UpstreamCounts {
    /// Counts an exchange that failed.
    pub(crate) fn note_failure(&mut self, failure: Failure) {
        *self.failures.entry(word(failure)).or_default() += 1;
    }
}

/// Returns the word for a failure; what a server may choose, as the status of HTTP, is not in it.
const fn word(failure: Failure) -> &'static str {
    match failure {
        Failure::Refused => "refused",
        Failure::Unreachable => "unreachable",
        Failure::NoLink => "no-link",
        Failure::Closed => "closed",
        Failure::TimedOut => "timed-out",
        Failure::Garbled => "garbled",
        Failure::Tls(fault) => match fault {
            TlsFault::WrongName => "tls-wrong-name",
            TlsFault::WrongAddress => "tls-wrong-address",
            TlsFault::Expired => "tls-expired",
            TlsFault::NotYetValid => "tls-not-yet-valid",
            TlsFault::UnknownAuthority => "tls-unknown-authority",
            TlsFault::SelfSigned => "tls-self-signed",
            TlsFault::WrongPin => "tls-wrong-pin",
            TlsFault::NoAuthorities => "tls-no-authorities",
            TlsFault::BadCertificate => "tls-bad-certificate",
            TlsFault::Handshake => "tls-handshake",
            TlsFault::NotTls => "not-tls",
        },
        Failure::Http(fault) => match fault {
            HttpFault::NoHttp2 => "http-no-http2",
            HttpFault::NoHttp3 => "http-no-http3",
            HttpFault::Status(_) => "http-status",
            HttpFault::NotDns => "http-not-dns",
        },
        Failure::Resources => "resources",
    }
}

/// The counts of all scopes.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entry_by_scope: BTreeMap<ScopeId, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    counts: ScopeCounts,
    /// Hits of caches that the scope had before its present one.
    hits: u64,
    /// Misses of them.
    misses: u64,
    recent: Recent,
}

/// Whether the last answers were failures.
#[derive(Debug, Default)]
struct Recent {
    /// A bit for each, the last one lowest; set for a failure.
    failed: u32,
    count: u32,
    noted_at: Instant,
}

impl Recent {
    fn note(&mut self, failed: bool, now: Instant) {
        self.failed = self.failed << 1 | u32::from(failed);
        self.count = (self.count + 1).min(u32::BITS);
        self.noted_at = now;
    }

    /// Returns of how many it is known, and how many of them were failures.
    fn read(&self, now: Instant) -> (u32, u32) {
        match now.since(self.noted_at) < RECENT {
            true => (self.count, self.failed.count_ones()),
            false => (0, 0),
        }
    }
}

impl Ledger {
    /// Keeps the scopes of a plan, and forgets the others.
    pub(crate) fn follow(&mut self, plan: &DnsPlan) {
        self.entry_by_scope
            .retain(|id, _| plan.scopes.contains_key(id));
        for id in plan.scopes.keys() {
            if !self.entry_by_scope.contains_key(id) {
                self.entry_by_scope.insert(id.clone(), Entry::default());
            }
        }
    }

    /// Takes over what the caches counted that a new plan has closed.
    pub(crate) fn carry(&mut self, before: &[ScopeStatus], after: &[ScopeStatus]) {
        for old in before {
            let new = after.iter().find(|new| new.id == old.id);
            let stays = new.is_some_and(|new| {
                new.cache_hits >= old.cache_hits && new.cache_misses >= old.cache_misses
            });
            if !stays && let Some(entry) = self.entry_by_scope.get_mut(&old.id) {
                entry.hits += old.cache_hits;
                entry.misses += old.cache_misses;
            }
        }
    }

    /// Adds what is counted here to the status of a scope.
    pub(crate) fn fill(&self, status: &mut ScopeStatus, now: Instant) {
        if let Some(entry) = self.entry_by_scope.get(&status.id) {
            status.cache_hits += entry.hits;
            status.cache_misses += entry.misses;
            status.counts.clone_from(&entry.counts);
            (status.counts.recent, status.counts.recent_failed) = entry.recent.read(now);
        }
    }

    /// Counts an answer that is not a hit; one that nobody was asked for is told again, and took no time.
    pub(crate) fn note(
        &mut self,
        query: &Query,
        rcode: u16,
        trouble: Option<Trouble>,
        is_retold: bool,
        now: Instant,
    ) {
        let Some(entry) = scope(query).and_then(|id| self.entry_by_scope.get_mut(id)) else {
            return;
        };
        let counts = &mut entry.counts;
        match is_retold {
            true => counts.retold += 1,
            false => counts.answers.record(now.since(query.asked_at)),
        }
        if !trouble.is_some_and(Trouble::is_meant) {
            entry.recent.note(trouble.is_some(), now);
        }
        if let Some(count) = counts.rcodes.get_mut(usize::from(rcode).min(RCODES)) {
            *count += 1;
        }
        if let Some(trouble) = trouble
            && let Some(count) = counts.troubles.get_mut(trouble as usize)
        {
            *count += 1;
        }
        let judged = query.steps.iter().rev().find_map(|step| {
            if let Step::Judged(verdict, _) = step {
                Some(verdict)
            } else {
                None
            }
        });
        let place = match judged {
            None => return,
            Some(Verdict::Secure) => 0,
            Some(Verdict::Insecure) => 1,
            Some(Verdict::Bogus(_)) => 2,
            Some(Verdict::Indeterminate(_)) => 3,
        };
        if let Some(count) = counts.verdicts.get_mut(place) {
            *count += 1;
        }
    }
}

/// Returns the scope in which a question ended: the last that was asked, or the one that was not ready.
fn scope(query: &Query) -> Option<&ScopeId> {
    query.steps.iter().rev().find_map(|step| {
        if let Step::Routed(_, route) = step {
            route.target.scope()
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use config::model::Upstream;
    use config::name::DomainName;

    use super::*;
    use crate::event::Channel;

    #[test]
    fn trouble_is_told_by_code_and_extended_error() {
        let rows = [
            (rcode::NOERROR, None, None),
            (rcode::NXDOMAIN, Some(15), None),
            // Nobody was asked, and no rule is to blame: there was nobody to ask.
            (rcode::REFUSED, Some(15), Some(Trouble::NotReady)),
            (rcode::REFUSED, Some(22), Some(Trouble::NotReady)),
            (rcode::SERVFAIL, Some(22), Some(Trouble::NoReply)),
            (rcode::SERVFAIL, Some(23), Some(Trouble::Unreachable)),
            (rcode::SERVFAIL, Some(6), Some(Trouble::Bogus)),
            (rcode::SERVFAIL, Some(9), Some(Trouble::Bogus)),
            (rcode::SERVFAIL, Some(13), Some(Trouble::CachedError)),
            (rcode::SERVFAIL, Some(0), Some(Trouble::UpstreamError)),
            (rcode::SERVFAIL, None, Some(Trouble::UpstreamError)),
            (rcode::SERVFAIL, Some(14), Some(Trouble::Other)),
            (rcode::FORMERR, None, Some(Trouble::UpstreamError)),
        ];
        for (rcode, code, expected) in rows {
            let error = code.map(|code| ExtendedError {
                code,
                text: String::new(),
            });
            assert_eq!(
                Trouble::of(rcode, error.as_ref(), &[]),
                expected,
                "{rcode} {code:?}"
            );
        }
    }

    /// An upstream may refuse with any Extended DNS Error, those of our own refusals too.
    #[test]
    fn who_refused_is_told_by_what_happened_last() {
        let scope = ScopeId("home@home0".into());
        let name: DomainName = "a.test".parse().unwrap();
        let upstream = Upstream::plain([192, 0, 2, 1].into());
        let asked = Step::Asked(scope.clone(), upstream, Channel::Udp);
        let listed = Step::Local("list", "ads: a.test".into());
        let withheld = Step::Withheld(name);
        let kept = Step::CacheHit(scope);
        let rows = [
            (vec![asked.clone()], Trouble::UpstreamError),
            (vec![kept.clone()], Trouble::CachedError),
            (vec![listed.clone()], Trouble::ByRule),
            // A list may let a name pass; an alias may lead to one that is withheld.
            (vec![listed, asked.clone()], Trouble::UpstreamError),
            (vec![asked, withheld.clone()], Trouble::ByRule),
            (vec![kept, withheld], Trouble::ByRule),
        ];
        for (steps, expected) in rows {
            for code in [None, Some(0), Some(13), Some(15), Some(18), Some(22)] {
                let error = code.map(|code| ExtendedError {
                    code,
                    text: String::new(),
                });
                let found = Trouble::of(rcode::REFUSED, error.as_ref(), &steps);
                assert_eq!(found, Some(expected), "{steps:?} {code:?}");
            }
        }
    }

    #[test]
    fn what_the_last_answers_were_is_known_for_a_while() {
        let mut recent = Recent::default();
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        assert_eq!(recent.read(at(0)), (0, 0));
        for turn in 0..40 {
            recent.note(turn >= 30, at(turn));
        }
        assert_eq!(recent.read(at(40)), (32, 10));
        assert_eq!(recent.read(at(39 + 599)), (32, 10));
        assert_eq!(recent.read(at(39 + 600)), (0, 0));
    }

    #[test]
    fn troubles_are_counted_in_the_order_in_which_they_are_told() {
        for (place, trouble) in Trouble::ALL.into_iter().enumerate() {
            assert_eq!(trouble as usize, place);
        }
    }
}
