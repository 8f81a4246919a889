//! What goes into the resolver and what comes out of it: plain values, no sockets.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use config::model::{Transport, Upstream};
use config::name::DomainName;
use config::time::{Instant, WallTime};
use dnssec::Verdict;
use dnssec::anchors::rollover::Observation;
use dnssec::clock::Evidence;
use policy::plan::ScopeLink;
use policy::{LinkId, Route, ScopeId};

pub use crate::failure::{Failure, HttpFault, TlsFault};
use crate::ledger::{ScopeCounts, UpstreamCounts};

/// Who asked; opaque to the core, handed back with the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// One message to one upstream on behalf of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub u64);

/// A client's question, as it arrived.
#[derive(Debug, Clone, Copy)]
pub struct ClientQuery<'a> {
    /// Who asked.
    pub client: ClientId,
    /// Where.
    pub stub: Stub,
    /// How; decides truncation.
    pub channel: Channel,
    /// From which address, for what one client may cost; `None` for a question of our own.
    pub origin: Option<IpAddr>,
    /// The message.
    pub wire: &'a [u8],
}

/// For whose sake a question is asked that must not take a tunnel: the tunnel's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Below {
    /// The tunnel: names that nobody claims are not asked on it, though it may be the place for them.
    pub link: Arc<str>,
    /// The mark by which packets pass it by; 0 for none.
    pub mark: u32,
}

/// Which stub was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stub {
    /// 127.0.0.53: search, synthesis, validation.
    Main,
    /// 127.0.0.54: routing and the upstream's answer, nothing else.
    Bypass,
    /// As [`Stub::Main`], for clients that may not ask what is claimed.
    Guest,
    /// As [`Stub::Bypass`], for clients that may not ask what is claimed.
    GuestBypass,
}

impl Stub {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Main, Self::Bypass, Self::Guest, Self::GuestBypass];

    /// Whether it answers without search suffixes, hosts and the machine's own names.
    pub const fn is_bypass(self) -> bool {
        matches!(self, Self::Bypass | Self::GuestBypass)
    }

    /// Whether its clients may not ask what is claimed.
    pub const fn is_guest(self) -> bool {
        matches!(self, Self::Guest | Self::GuestBypass)
    }

    /// Returns its name, as the status has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Bypass => "bypass",
            Self::Guest => "main, without claims",
            Self::GuestBypass => "bypass, without claims",
        }
    }
}

/// How a message travels between client and stub, or stub and upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// A datagram.
    Udp,
    /// A stream, with length prefixes (RFC 7766); every encrypted transport counts as one.
    Tcp,
}

impl Channel {
    /// Returns how a question goes to an upstream at first: all but a plain one are a stream to us.
    pub const fn to(upstream: &Upstream) -> Self {
        match upstream.transport {
            Transport::Plain => Self::Udp,
            Transport::Tcp
            | Transport::Tls
            | Transport::Https
            | Transport::H3
            | Transport::Quic => Self::Tcp,
        }
    }
}

impl std::fmt::Display for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        })
    }
}

/// The answer to a client; always one for every question that is a question, in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// For whom.
    pub client: ClientId,
    /// The message.
    pub wire: Vec<u8>,
}

/// Which messages may share a connection: never those of two scopes, nor of one scope in two networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u64);

impl GroupId {
    /// Returns the group of messages that go another way by their mark; 0 is none. Groups are numbered from 1, and never 2^32.
    pub(crate) fn marked(self, mark: u32) -> Self {
        Self(self.0 | u64::from(mark) << u32::BITS)
    }

    /// Returns the group of messages without a mark.
    pub(crate) const fn unmarked(self) -> Self {
        Self(self.0 & u32::MAX as u64)
    }
}

/// Connections that must be closed: they are of no use any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hangup {
    /// Those of this group.
    pub group: GroupId,
    /// To this upstream; `None` for all.
    pub upstream: Option<Upstream>,
}

/// A message that the shell must send, bound to the link: a datagram from a random port, or on a connection of its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Comes back with the reply or the failure.
    pub exchange: ExchangeId,
    /// Whom to ask.
    pub upstream: Upstream,
    /// How.
    pub channel: Channel,
    /// The link to bind to; `None` leaves the choice to the kernel's routes.
    pub link: Option<ScopeLink>,
    /// Which connections may carry it.
    pub group: GroupId,
    /// The mark of its packets (`SO_MARK`), by which they pass a tunnel by; 0 for none.
    pub mark: u32,
    /// The message; its id is random. On a connection it may travel under another one, and the reply comes back with this.
    pub wire: Vec<u8>,
}

/// A thing worth telling; the shell logs it, counts it, and passes it to subscribers.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A question was answered.
    Answered(Box<Trace>),
    /// A trust point's own keys verified, freshly fetched: what their signatures say of the time.
    Evidence(Evidence),
    /// The keys of a trust point, as they are published now; `None` when nobody tells.
    Keys(DomainName, Option<Observation>),
    /// What is remembered of networks has changed: it is to be kept, for [`crate::Resolver::apply_networks`].
    Networks(String),
    /// How far this link reaches has changed, or what its portal says: [`crate::Resolver::reaches`] has it.
    Reach(LinkId),
}

/// What became of one question: the reasons, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Who asked.
    pub client: ClientId,
    /// The name asked for.
    pub name: DomainName,
    /// The record type asked for.
    pub record_type: u16,
    /// What happened, in order.
    pub steps: Vec<Step>,
    /// The answer's code, extended codes included (RFC 6891 §6.1.3).
    pub rcode: u16,
    /// The Extended DNS Error of the answer.
    pub extended_error: Option<ExtendedError>,
    /// From question to answer.
    pub elapsed: Duration,
    /// Whether nobody asked: it is a mark of ours, sent to an upstream, that came back as a question.
    pub is_mark: bool,
}

/// One thing that happened to a question.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// It was answered without a scope: hosts, localhost, a special-use name.
    Synthesized(&'static str),
    /// A search suffix was appended.
    Searched(DomainName),
    /// It is asked for this tunnel's own sake, which does not count as the place for names that nobody claims.
    Below(Arc<str>),
    /// The name (or the target of an alias) was routed.
    Routed(DomainName, Route),
    /// The scope's cache had it.
    CacheHit(ScopeId),
    /// The scope's cache had an answer whose time is over, and that was given; why.
    Stale(ScopeId, &'static str),
    /// An upstream was asked.
    Asked(ScopeId, Upstream, Channel),
    /// It replied.
    Replied {
        /// Who.
        upstream: Upstream,
        /// How.
        channel: Channel,
        /// From question to reply.
        rtt: Duration,
        /// Its code.
        rcode: u16,
    },
    /// It did not.
    Failed(Upstream, Channel, Failure),
    /// Its reply was dropped, and why.
    Dropped(Upstream, &'static str),
    /// Its reply was judged: the verdict, and the chain of trust, link by link.
    Judged(Verdict, Vec<String>),
    /// It was resolved from the root down; how far that came.
    Walked(Arc<str>),
    /// An alias led on.
    Alias(DomainName),
    /// The name (or the target of an alias) is kept from the clients of this listener.
    Withheld(DomainName),
    /// Its scope's network wants a person to log in first; what follows for it.
    Portal(Arc<str>),
    /// It was asked of the neighbours by multicast DNS or LLMNR, and how that ended.
    Neighbours(Arc<str>),
    /// It was answered or changed on this machine: `record`, `list`, `rebinding` or `dns64`, and by what.
    Local(&'static str, Arc<str>),
}

/// An Extended DNS Error (RFC 8914).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtendedError {
    /// INFO-CODE.
    pub code: u16,
    /// EXTRA-TEXT.
    pub text: String,
}

/// What the machine itself is called, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalNames {
    /// The host's name, as one label or more.
    pub hostname: Option<DomainName>,
    /// Its addresses, those of the best link first, loopback and link-local left out when there are others.
    pub addresses: Vec<IpAddr>,
    /// Gateways of the default routes, the best first: `_gateway`.
    pub gateways: Vec<IpAddr>,
    /// Source addresses of the default routes, the best first: `_outbound`.
    pub outbound: Vec<IpAddr>,
}

/// When the resolver wants to be called, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// When to ask a second upstream beside the first.
    Hedge,
    /// When to give up on an exchange.
    Exchange,
    /// When to answer a client with an error, because the total budget is spent.
    Budget,
    /// When to try an upstream of higher rank again.
    Probe,
    /// When to go on with a walk from the root down.
    Walk,
    /// When not to wait any longer for the proof that a scope can validate.
    Proof,
    /// When to have what was learned of networks kept.
    Memory,
    /// When to give a client a stale answer, because no fresh one came.
    Stale,
    /// When multicast DNS has something to do, or a question has waited for the network's own DNS long enough.
    Neighbours,
    /// When LLMNR has something to do.
    Labels,
    /// When not to wait any longer for what no client waits for, and whose budget would end it.
    Patience,
    /// When not to wait any longer to learn by which prefix a network translates.
    Prefix,
    /// When to find out how far a link reaches, or not to wait any longer for what is asked about it.
    Reach,
}

/// What the resolver has done since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Counters {
    /// Questions received.
    pub queries: u64,
    /// Answered from a cache.
    pub cache_hits: u64,
    /// Questions denied by what was proven for others (RFC 8198).
    pub denied_again: u64,
    /// Stale answers given (RFC 8767).
    pub stale: u64,
    /// Questions asked anew before their answers ran out.
    pub renewed: u64,
    /// Our own questions, sent back to us.
    pub looped: u64,
    /// Questions that gave their place to later ones: they had waited longest where as many waited as may.
    pub displaced: u64,
    /// Datagrams of clients that came faster than they were taken, and were dropped unread.
    pub unread: u64,
    /// Answered without a scope.
    pub synthesized: u64,
    /// Refused, because their scope is not ready.
    pub refused: u64,
    /// Messages sent to upstreams.
    pub exchanges: u64,
    /// Second messages, sent beside a slow first.
    pub hedges: u64,
    /// Exchanges without reply.
    pub lost: u64,
    /// Replies dropped: wrong id, wrong question, malformed.
    pub dropped: u64,
    /// Questions whose budget ended.
    pub timed_out: u64,
    /// Replies judged Secure.
    pub secure: u64,
    /// Replies judged Insecure.
    pub insecure: u64,
    /// Replies judged Bogus.
    pub bogus: u64,
    /// Replies of which nothing could be found out.
    pub indeterminate: u64,
    /// Replies judged for no more than an ordinary zone costs, because their zone or source had cost too much before.
    pub curbed: u64,
    /// Slices of judging that others were served before.
    pub paused: u64,
    /// Expansions of claimed names by a search suffix that were kept at home.
    pub leaks_prevented: u64,
    /// Questions of guests for what is claimed.
    pub withheld: u64,
    /// Questions that a list has decided.
    pub listed: u64,
    /// Answers dropped, because a name that nobody claims had an address of a private network.
    pub rebinding: u64,
    /// Questions answered with IPv6 addresses that were made of IPv4 ones.
    pub translated: u64,
}

impl Counters {
    /// Counts a verdict.
    pub(crate) fn count(&mut self, verdict: Verdict) {
        let counter = match verdict {
            Verdict::Secure => &mut self.secure,
            Verdict::Insecure => &mut self.insecure,
            Verdict::Bogus(_) => &mut self.bogus,
            Verdict::Indeterminate(_) => &mut self.indeterminate,
        };
        *counter += 1;
    }
}

/// The time of day, as the shell judges it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clock {
    /// When this was so.
    pub at: Instant,
    /// Seconds since 1970 then.
    pub wall: WallTime,
    /// Whether it is believed; without, signatures count whatever their dates, and AD is withheld.
    pub dates_count: bool,
}

impl Clock {
    /// Returns the time of day at `now`.
    pub fn read(&self, now: Instant) -> WallTime {
        WallTime(self.wall.0 + now.since(self.at).as_secs())
    }
}

/// What a scope is doing, for `status`.
#[derive(Debug, Clone, PartialEq)]
pub struct ScopeStatus {
    /// The scope.
    pub id: ScopeId,
    /// What is done about verdicts there, and why.
    pub dnssec: String,
    /// Its upstreams, in the order of the plan.
    pub upstreams: Vec<UpstreamStatus>,
    /// Entries in its cache.
    pub cache_entries: usize,
    /// Bytes of its cache.
    pub cache_bytes: usize,
    /// Hits of its cache.
    pub cache_hits: u64,
    /// Misses of its cache.
    pub cache_misses: u64,
    /// Answers that made room for others before their time.
    pub cache_evicted: u64,
    /// What became of the questions that were no hits.
    pub counts: ScopeCounts,
}

/// What an upstream is doing.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamStatus {
    /// Which.
    pub upstream: Upstream,
    /// Whether questions go to it now.
    pub current: bool,
    /// Smoothed round-trip time; `None` before the first reply.
    pub srtt: Option<Duration>,
    /// Messages sent.
    pub sent: u64,
    /// Exchanges without reply.
    pub lost: u64,
    /// Why it is not asked before others, when it fails.
    pub failing: Option<Arc<str>>,
    /// How long until it is tried again, with the next question after that, when it fails.
    pub next_try: Option<Duration>,
    /// The share of messages without reply in time of late, in per cent.
    pub loss_percent: u8,
    /// How it is asked, where that is not as usual.
    pub manners: Vec<&'static str>,
    /// Replies that may be forged: to another question, with another id, spelled otherwise, without its cookie.
    pub forged: u64,
    /// Whether answers can be validated through it, as far as that is known.
    pub proof: String,
    /// What became of the messages to it.
    pub counts: UpstreamCounts,
}
