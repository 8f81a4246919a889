//! What has become of the questions of each scope? Counts and latencies of fixed size, kept while the plan has the scope.
//!
//! A cache hit costs nothing here: the cache counts it. What is counted is in words that a label may have: no name of a
//! question and no client.

use std::collections::BTreeMap;

use config::time::Instant;
use dnssec::Verdict;
use policy::{DnsPlan, ScopeId};

use crate::event::{ExtendedError, Failure, HttpFault, ScopeStatus, Step, TlsFault};
use crate::histogram::Histogram;
use crate::progress::Query;
use crate::wire::rcode;

/// Response codes that are counted one by one; all above are one (RFC 6895 §2.3 has none between 24 and 65534).
const RCODES: usize = 24;

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
    /// A failure that was kept from a moment ago.
    CachedError,
    /// Anything else: loops, limits.
    Other,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::NoReply,
        Self::Unreachable,
        Self::UpstreamError,
        Self::Bogus,
        Self::NotReady,
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
            Self::CachedError => "cached-error",
            Self::Other => "other",
        }
    }

    /// Tells the trouble of an answer by its code and Extended DNS Error (RFC 8914 §4); `None` when it has none.
    pub fn of(rcode: u16, extended_error: Option<&ExtendedError>) -> Option<Self> {
        const YXDOMAIN: u16 = 6;
        match rcode {
            rcode::NOERROR | rcode::NXDOMAIN | YXDOMAIN => return None,
            rcode::REFUSED => return Some(Self::NotReady),
            _ => {}
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
}

/// What has become of the questions of a scope that its cache could not answer at once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScopeCounts {
    /// How long the answers took, errors included.
    pub answers: Histogram,
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
    pub(crate) fn fill(&self, status: &mut ScopeStatus) {
        if let Some(entry) = self.entry_by_scope.get(&status.id) {
            status.cache_hits += entry.hits;
            status.cache_misses += entry.misses;
            status.counts.clone_from(&entry.counts);
        }
    }

    /// Counts an answer that is not a hit.
    pub(crate) fn note(
        &mut self,
        query: &Query,
        rcode: u16,
        extended_error: Option<&ExtendedError>,
        now: Instant,
    ) {
        let Some(entry) = scope(query).and_then(|id| self.entry_by_scope.get_mut(id)) else {
            return;
        };
        let counts = &mut entry.counts;
        counts.answers.record(now.since(query.asked_at));
        if let Some(count) = counts.rcodes.get_mut(usize::from(rcode).min(RCODES)) {
            *count += 1;
        }
        if let Some(trouble) = Trouble::of(rcode, extended_error)
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
    use super::*;

    #[test]
    fn trouble_is_told_by_code_and_extended_error() {
        let rows = [
            (rcode::NOERROR, None, None),
            (rcode::NXDOMAIN, Some(15), None),
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
                Trouble::of(rcode, error.as_ref()),
                expected,
                "{rcode} {code:?}"
            );
        }
    }

    #[test]
    fn troubles_are_counted_in_the_order_in_which_they_are_told() {
        for (place, trouble) in Trouble::ALL.into_iter().enumerate() {
            assert_eq!(trouble as usize, place);
        }
    }
}
