//! Why does a question fail, in words for its client? Codes and texts of Extended DNS Errors (RFC 8914 §4).
//!
//! Says what was decided elsewhere, and whose doing it is ([`Cause`]); decides nothing but how to say it.

use std::borrow::Cow;

use config::DNS_PORT;
use config::model::Upstream;
use config::name::DomainName;
use dnssec::Verdict;
use policy::{DnsPlan, Refusal, Route, ScopeId, ScopeState, Target};

use crate::event::{ExtendedError, Failure};
use crate::failure::Cause;
use crate::record::ParsedReply;
use crate::wire::rcode;

/// Codes of Extended DNS Errors.
mod code {
    pub(super) const OTHER: u16 = 0;
    pub(super) const STALE: u16 = 3;
    pub(super) const CACHED_ERROR: u16 = 13;
    pub(super) const NOT_READY: u16 = 14;
    pub(super) const BLOCKED: u16 = 15;
    pub(super) const PROHIBITED: u16 = 18;
    pub(super) const NO_REACHABLE_AUTHORITY: u16 = 22;
    pub(super) const NETWORK_ERROR: u16 = 23;
}

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) rcode: u16,
    pub(crate) extended_error: ExtendedError,
    /// Whose doing it is.
    pub(crate) cause: Cause,
}

impl Refused {
    /// Returns what is told with it while it is kept: the same reason, as that of a moment ago (RFC 8914 §4.14).
    pub(crate) fn kept(&self) -> ExtendedError {
        match self.extended_error.text.as_str() {
            "" => cached_error(),
            text => ExtendedError {
                code: code::CACHED_ERROR,
                text: text.to_owned(),
            },
        }
    }

    /// Whether nothing is known by it of whoever was asked: nobody was heard, or is said to have been.
    pub(crate) fn tells_nothing(&self) -> bool {
        match self.cause {
            Cause::Silence | Cause::Own => true,
            Cause::Word => matches!(
                self.extended_error.code,
                code::NO_REACHABLE_AUTHORITY | code::NETWORK_ERROR
            ),
            Cause::Disbelief | Cause::Loop | Cause::Decision => false,
        }
    }

    /// Whether it is what upstreams said, or that none of them said anything: kept for a moment it is the same.
    pub(crate) const fn is_upstreams(&self) -> bool {
        match self.cause {
            Cause::Word | Cause::Silence => true,
            Cause::Disbelief | Cause::Loop | Cause::Own | Cause::Decision => false,
        }
    }

    /// The name may not be asked for.
    pub(crate) fn by_route(name: &DomainName, route: &Route, plan: &DnsPlan) -> Self {
        let owner = &route.because.owner;
        let suffix = &route.because.suffix;
        let refusal = match &route.target {
            Target::Ask(scope) => return Self::scope_lost(name, scope),
            Target::Refuse(refusal) => refusal,
        };
        match refusal {
            Refusal::ScopeNotReady { scope, state } => {
                let what = if suffix.is_root() {
                    "every other name".to_owned()
                } else {
                    suffix.to_string()
                };
                let link = plan.scopes.get(scope).and_then(|scope| scope.link.as_ref());
                let link = link.map_or_else(
                    || "its link".to_owned(),
                    |link| format!("its link {}", link.name),
                );
                let reason = match state {
                    ScopeState::LinkDown => format!("{link} is down"),
                    ScopeState::LinkAbsent => format!("{link} is not there"),
                    ScopeState::NoUpstreams => "it has no upstream that can be used".to_owned(),
                    ScopeState::Ready => "it is getting ready".to_owned(),
                };
                let text = format!("{what} is claimed by {owner} and {reason}");
                Self::decided(rcode::REFUSED, code::BLOCKED, text)
            }
            Refusal::SearchExpansion { inner } => {
                let text =
                    format!("{inner} is claimed by {owner}, and {name} would tell others about it");
                Self::decided(rcode::NXDOMAIN, code::BLOCKED, text)
            }
            Refusal::NoScope => {
                let text = format!("nobody claims {name}, and there is no default scope");
                Self::decided(rcode::REFUSED, code::NO_REACHABLE_AUTHORITY, text)
            }
        }
    }

    /// The name is kept from the clients of this listener. Who claims it is not their business.
    pub(crate) fn withheld(name: &DomainName, route: &Route) -> Self {
        let text = match route.because.suffix.is_root() {
            true => "all names are private to this host while its tunnel is up".to_owned(),
            false => format!("{name} is private to this host"),
        };
        Self::decided(rcode::REFUSED, code::PROHIBITED, text)
    }

    /// The scope of a name is another one than when the name was asked for.
    pub(crate) fn scope_lost(name: &DomainName, scope: &ScopeId) -> Self {
        let text = format!("where {name} belongs changed while it was asked in {scope}; ask again");
        Self::failed(Cause::Own, code::NETWORK_ERROR, text)
    }

    /// Nobody replied in time.
    pub(crate) fn no_reply(scope: &ScopeId, tried: &[Upstream], cause: Cause) -> Self {
        let text = format!("no reply in time from {} in {scope}", list(tried));
        Self::failed(cause, code::NO_REACHABLE_AUTHORITY, text)
    }

    /// The time was over before anybody was asked.
    pub(crate) fn not_asked() -> Self {
        let text = "the time was over before anybody could be asked".to_owned();
        Self::failed(Cause::Own, code::NO_REACHABLE_AUTHORITY, text)
    }

    /// A reply came, and what judging it needs did not.
    pub(crate) fn not_judged(upstream: &Upstream, why: &str) -> Self {
        let text = format!("{} answered, but {why}", address(upstream));
        Self::failed(Cause::Silence, code::NO_REACHABLE_AUTHORITY, text)
    }

    /// Nobody could be reached.
    pub(crate) fn unreachable(
        scope: &ScopeId,
        failures: &[(Upstream, Failure)],
        cause: Cause,
    ) -> Self {
        let mut texts: Vec<String> = Vec::new();
        for (upstream, failure) in failures {
            let text = format!("{} {}", address(upstream), failure_text(*failure));
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let text = format!("{} in {scope}", texts.join(", "));
        Self::failed(cause, code::NETWORK_ERROR, text)
    }

    /// Every upstream replied with an error; this is the best of them.
    pub(crate) fn by_reply(upstream: &Upstream, reply: &ParsedReply) -> Self {
        let own = || ExtendedError {
            code: code::OTHER,
            text: format!(
                "{} answered {}",
                address(upstream),
                crate::present::rcode_name(reply.rcode)
            ),
        };
        Self {
            // A code that speaks of the message between us and the upstream says nothing to the client.
            rcode: match reply.rcode {
                rcode::REFUSED | rcode::NOTIMP => reply.rcode,
                _ => rcode::SERVFAIL,
            },
            extended_error: reply.extended_errors.first().cloned().unwrap_or_else(own),
            cause: Cause::Word,
        }
    }

    /// A reply that was judged and is not to be believed.
    pub(crate) fn not_believed(upstream: &Upstream, verdict: Verdict, why: &str) -> Self {
        let reason = match verdict {
            Verdict::Bogus(reason) => reason.to_string(),
            Verdict::Indeterminate(reason) => reason.to_string(),
            Verdict::Secure | Verdict::Insecure => "nothing is wrong".to_owned(),
        };
        let text = format!("{reason}: {why} (from {})", address(upstream));
        let code = verdict.extended_error().unwrap_or(code::OTHER);
        Self::failed(Cause::Disbelief, code, text)
    }

    /// Aliases lead in a circle or too far.
    pub(crate) fn alias_loop(name: &DomainName) -> Self {
        let text = format!(
            "the aliases of {name} lead in a circle, or are more than {}",
            crate::chain::ALIASES_MAX
        );
        Self::failed(Cause::Loop, code::OTHER, text)
    }

    /// A single label that no search suffix completes.
    pub(crate) fn single_label(name: &DomainName) -> Self {
        let text = format!(
            "{name} is a single label and there is no search suffix; single labels are not asked for"
        );
        Self::decided(rcode::NXDOMAIN, code::OTHER, text)
    }

    /// A single label that does not exist below any search suffix.
    pub(crate) fn not_found(name: &DomainName, tried: &[DomainName], exists: bool) -> Self {
        let tried: Vec<String> = tried.iter().map(DomainName::to_string).collect();
        let text = format!("{name} was looked for as {}", tried.join(", "));
        let code = if exists {
            rcode::NOERROR
        } else {
            rcode::NXDOMAIN
        };
        Self::decided(code, code::OTHER, text)
    }

    /// A single label that no search suffix completes, and that no neighbour answered for.
    pub(crate) fn unanswered(name: &DomainName, tried: &[DomainName], links: &str) -> Self {
        let tried: Vec<String> = tried.iter().map(DomainName::to_string).collect();
        let searched = match tried.is_empty() {
            true => format!("{name} is a single label and there is no search suffix"),
            false => format!("{name} was looked for as {}", tried.join(", ")),
        };
        let text = format!("{searched}; nobody on {links} answered for it (LLMNR)");
        Self::decided(rcode::NXDOMAIN, code::OTHER, text)
    }

    /// The neighbours were asked when there was no time left.
    pub(crate) fn unheard(links: &str) -> Self {
        let text = format!("no answer in time from the neighbours on {links} (LLMNR)");
        Self::failed(Cause::Silence, code::NO_REACHABLE_AUTHORITY, text)
    }

    /// A neighbour has a label, and its answer did not come whole.
    pub(crate) fn half_answered(name: &DomainName, who: &str, link: &str) -> Self {
        let text = format!(
            "{who} on {link} answers for {name} (LLMNR), and neither by UDP nor by TCP with a whole answer"
        );
        Self::failed(Cause::Silence, code::NETWORK_ERROR, text)
    }

    /// What was found is a failure.
    pub(crate) fn again(rcode: u16, extended_error: Option<ExtendedError>) -> Self {
        Self {
            rcode,
            extended_error: extended_error.unwrap_or_else(cached_error),
            cause: Cause::Word,
        }
    }

    /// An upstream sends our question back to us.
    pub(crate) fn looped(upstream: &Upstream) -> Self {
        let text = format!(
            "{} sends our own questions back to us: it forwards to this stub",
            address(upstream)
        );
        Self::failed(Cause::Loop, code::OTHER, text)
    }

    /// A mark of ours that an upstream sends back; whoever looks at it should not look for its asker.
    pub(crate) fn returned_mark(upstream: &Upstream) -> Self {
        let text = format!(
            "made up by linnet to find this out: {} sends our own questions back to us",
            address(upstream)
        );
        Self::failed(Cause::Loop, code::OTHER, text)
    }

    /// Whether a stale answer says more: nobody decided that there is none, and nothing is wrong with what came.
    pub(crate) fn is_outage(&self) -> bool {
        let failed = matches!(self.rcode, rcode::SERVFAIL | rcode::REFUSED);
        failed
            && match self.cause {
                Cause::Silence | Cause::Loop | Cause::Own => true,
                // RFC 8914 §4: what is bogus, blocked, or not ready is not for want of an upstream.
                Cause::Word => matches!(
                    self.extended_error.code,
                    code::OTHER
                        | code::STALE
                        | code::CACHED_ERROR
                        | code::NOT_READY
                        | code::NO_REACHABLE_AUTHORITY
                        | code::NETWORK_ERROR
                ),
                Cause::Disbelief | Cause::Decision => false,
            }
    }

    /// There are too many questions in a scope.
    pub(crate) fn too_many_in(scope: &ScopeId) -> Self {
        Self::over_limit(format!("too many questions at once in {scope}"))
    }

    /// There are too many questions.
    pub(crate) fn too_many() -> Self {
        Self::over_limit("too many questions at once".to_owned())
    }

    /// A limit of our own is reached: nobody was asked, and nothing is said of the name.
    fn over_limit(text: String) -> Self {
        Self {
            cause: Cause::Own,
            ..Self::decided(rcode::REFUSED, code::OTHER, text)
        }
    }

    fn decided(rcode: u16, code: u16, text: String) -> Self {
        Self {
            rcode,
            extended_error: ExtendedError { code, text },
            cause: Cause::Decision,
        }
    }

    fn failed(cause: Cause, code: u16, text: String) -> Self {
        Self {
            rcode: rcode::SERVFAIL,
            extended_error: ExtendedError { code, text },
            cause,
        }
    }
}

/// Returns what is said with a failure that comes from the cache.
pub(crate) fn cached_error() -> ExtendedError {
    ExtendedError {
        code: code::CACHED_ERROR,
        text: "this failed a moment ago".to_owned(),
    }
}

fn failure_text(failure: Failure) -> Cow<'static, str> {
    let text = match failure {
        Failure::Refused => "refuses connections",
        Failure::Unreachable => "is unreachable",
        Failure::NoLink => "cannot be asked: the link is gone",
        Failure::Closed => "closed the connection",
        Failure::TimedOut => "made no connection in time",
        Failure::Garbled => "answered something else",
        Failure::Tls(_) | Failure::Http(_) => return format!("is not asked: {failure}").into(),
        Failure::Resources => "cannot be asked: this system is out of sockets",
    };
    text.into()
}

fn list(upstreams: &[Upstream]) -> String {
    let mut texts: Vec<String> = Vec::new();
    for upstream in upstreams {
        let text = address(upstream);
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    if texts.is_empty() {
        "anyone".to_owned()
    } else {
        texts.join(", ")
    }
}

fn address(upstream: &Upstream) -> String {
    if upstream.transport.is_encrypted() {
        let mut upstream = upstream.clone();
        upstream.pins = None;
        return upstream.to_string();
    }
    match (upstream.address, upstream.port) {
        (address, DNS_PORT) => address.to_string(),
        (address, port) => std::net::SocketAddr::new(address, port).to_string(),
    }
}
