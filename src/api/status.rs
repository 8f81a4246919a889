//! What is the daemon doing? The result of `Status`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ClockStatus, NegativeAnchor, TrustAnchor};

/// Everything at a glance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// The number of the plan in force.
    pub generation: u64,
    /// Where it listens.
    pub listen: Vec<ListenStatus>,
    /// Where others than this host's programs may ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<ListenerStatus>,
    /// Who writes `/etc/resolv.conf`.
    pub resolv_conf: ResolvConfStatus,
    /// Links of the kernel.
    pub links: Vec<super::LinkStatus>,
    /// Links that profiles make, and that are not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmade: Vec<super::UnmadeStatus>,
    /// Profiles that match links, and that no link has; those that make theirs are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub idle_profiles: Vec<String>,
    /// The rules that profiles want, and how far each is: they are no link's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<super::ItemStatus>,
    /// Scopes.
    pub scopes: Vec<ScopeStatus>,
    /// The scope of names that nobody claims; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_scope: Option<String>,
    /// Search suffixes, in order.
    pub search: Vec<String>,
    /// Claims made at run time.
    pub claims: Vec<ClaimStatus>,
    /// The lists of names, in the order in which they decide.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<ListStatus>,
    /// Whether the clock is believed.
    pub clock: ClockStatus,
    /// Keys that are trusted without proof.
    pub trust_anchors: Vec<TrustAnchor>,
    /// Names at and below which nothing is validated for a while.
    pub negative_anchors: Vec<NegativeAnchor>,
    /// What is wrong with the configuration and the trust anchors; errors mean that an older one, or the rest, is in force.
    pub diagnostics: Vec<Diagnostic>,
    /// What keeps the journal of links from being kept; absent while it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_trouble: Option<String>,
    /// Things to know: contradicting claims, unusable upstreams.
    pub notes: Vec<String>,
    /// Multicast DNS, by link; links that do none are left out.
    #[serde(default)]
    pub multicast: Vec<super::MulticastStatus>,
    /// LLMNR, by link; links where it is off are left out.
    #[serde(default)]
    pub llmnr: Vec<super::LlmnrStatus>,
    /// Zones in `.local` that the network's own DNS serves.
    #[serde(default)]
    pub unicast_locals: Vec<String>,
    /// Metrics, dnstap and query log, those that are configured.
    #[serde(default)]
    pub observers: Vec<ObserverStatus>,
    /// Counters of the resolver.
    pub counters: serde_json::Map<String, serde_json::Value>,
}

/// One that watches what happens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObserverStatus {
    /// `metrics`, `dnstap` or `log`.
    pub what: String,
    /// Where to: a socket, an address, a file, `stderr`.
    pub place: String,
    /// Whether it is open.
    pub works: bool,
    /// Why it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Scrapes, messages or lines that were told.
    pub told: u64,
    /// Messages or lines that were left out.
    pub left_out: u64,
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenStatus {
    /// Address and port.
    pub address: String,
    /// `main` or `bypass`.
    pub stub: String,
}

/// A listener for others than this host's programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// Its transport and address, as `tls 10.0.0.1:853`.
    pub place: String,
    /// As which stub it answers.
    pub stub: String,
    /// `open`, or what keeps it from being so.
    pub state: String,
    /// Questions taken.
    pub queries: u64,
    /// Datagrams and connections of clients that are not on its list.
    pub strangers: u64,
    /// Questions and connections of clients that had their share, or asked too often.
    pub limited: u64,
    /// Questions that could be read, and that nobody is told the answer to here: without RD, of another class, for a transfer.
    #[serde(default)]
    pub refused: u64,
    /// Messages that cannot be read, connections that broke the rules or were too slow.
    pub malformed: u64,
    /// Datagrams from ports whose owners answer to anything.
    pub reflective: u64,
    /// Connections that are open.
    pub connections: u64,
}

/// Who writes `/etc/resolv.conf`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvConfStatus {
    /// `unmanaged`, `stub` or `uplink`: what the configuration asks for.
    pub mode: String,
    /// `untouched`, `ours`, `overwritten` or `failed`.
    pub state: String,
    /// Who overwrote it, when, or why it could not be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A scope.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ScopeStatus {
    /// Its id.
    pub id: String,
    /// Who made it.
    pub owner: String,
    /// Its link's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// `ready`, `link-down`, `link-absent`, `no-upstreams`.
    pub state: String,
    /// What it claims.
    pub claims: Vec<String>,
    /// How one of its upstreams is chosen: `ordered`, `fastest`, `hedged`.
    #[serde(default)]
    pub selection: String,
    /// The network under which is remembered what is learned of its upstreams; absent where nothing tells one from another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// What is done about verdicts there, and why.
    pub dnssec: String,
    /// Whom it asks.
    pub upstreams: Vec<UpstreamStatus>,
    /// Entries in its cache.
    pub cache_entries: u64,
    /// Bytes of its cache.
    pub cache_bytes: u64,
    /// Answers that came straight from its cache, whichever cache that was.
    pub cache_hits: u64,
    /// Questions that its cache did not know, those of validation included.
    pub cache_misses: u64,
    /// Answers in all.
    #[serde(default)]
    pub answers: u64,
    /// The part of them that came straight from the cache, from 0 to 1; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hit_rate: Option<f64>,
    /// How long the others took.
    #[serde(default)]
    pub latency: Latency,
    /// How many of them had each code, as `SERVFAIL`.
    #[serde(default)]
    pub rcodes: BTreeMap<String, u64>,
    /// How many of them were errors, by trouble: `no-reply`, `unreachable`, `upstream-error`, `bogus`, `not-ready`,
    /// `refused-by-rule`, `cached-error`, `other`.
    #[serde(default)]
    pub troubles: BTreeMap<String, u64>,
    /// Of how many of the last answers it is known whether they were errors, 32 at most: those of the cache left out, and those that
    /// were refused on purpose. 0 when there was none for ten minutes.
    #[serde(default)]
    pub recent: u64,
    /// How many of those were errors.
    #[serde(default)]
    pub recent_errors: u64,
    /// How many of them were judged `secure`, `insecure`, `bogus`, `indeterminate`.
    #[serde(default)]
    pub verdicts: BTreeMap<String, u64>,
}

/// How long things took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// All of them together, in milliseconds.
    #[serde(default)]
    pub sum_ms: f64,
    /// The median, in milliseconds; absent, as all of these, before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// What 95 of 100 do not exceed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95_ms: Option<f64>,
    /// What 99 of 100 do not exceed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
}

/// An upstream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UpstreamStatus {
    /// As written in the configuration.
    pub upstream: String,
    /// Whether questions go to it now.
    pub current: bool,
    /// Smoothed round-trip time, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srtt_ms: Option<f64>,
    /// Messages sent.
    pub sent: u64,
    /// Exchanges without reply.
    pub lost: u64,
    /// Why others are asked before it, when it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
    /// How long until it is tried again, with the next question after that, in milliseconds, when it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try_ms: Option<f64>,
    /// The share of messages without reply in time of late.
    #[serde(default)]
    pub loss_percent: u8,
    /// How it is asked, where that is not as usual: `no EDNS`, `TCP only`, `cookies`, `no cookies`, `respells`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manners: Vec<String>,
    /// Replies that may be forged.
    #[serde(default)]
    pub forged: u64,
    /// Whether answers can be validated through it, as far as that is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub proof: String,
    /// How long its replies took.
    #[serde(default)]
    pub latency: Latency,
    /// Exchanges that failed by something that was heard, by what: `refused`, `unreachable`, `closed`, …; the rest of the lost
    /// is silence.
    #[serde(default)]
    pub failures: BTreeMap<String, u64>,
}

/// A list of blocked or rewritten names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListStatus {
    /// What it is called.
    pub name: String,
    /// Its file, as the configuration names it.
    pub path: String,
    /// `domains`, `hosts`, `rpz`.
    pub format: String,
    /// `loading`, `in-force`, `broken` (what was in force before stays so).
    pub state: String,
    /// Why it is broken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Names in force.
    pub names: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// Lines that could not be read.
    pub broken_lines: u64,
    /// How long the last reading took, in milliseconds.
    pub load_ms: f64,
    /// Questions that it has decided.
    pub hits: u64,
}

/// A claim made at run time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimStatus {
    /// The claim's name.
    pub owner: String,
    /// Its link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// What it claims.
    pub claims: Vec<String>,
    /// Whether it outlives the caller's connection.
    pub persistent: bool,
    /// Who made it: `uid 0, pid 812`.
    pub caller: String,
}

/// A finding about the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// `error` or `warning`.
    pub severity: String,
    /// The file.
    pub file: String,
    /// The line, from 1; 0 for the whole file.
    pub line: u64,
    /// The column, from 1; 0 for the whole line.
    pub column: u64,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Diagnostic {
    /// Returns file, line and column, as far as there are any.
    pub fn place(&self) -> String {
        let Self {
            file, line, column, ..
        } = self;
        match (line, column) {
            (0, _) => file.clone(),
            (_, 0) => format!("{file}:{line}"),
            _ => format!("{file}:{line}:{column}"),
        }
    }
}
