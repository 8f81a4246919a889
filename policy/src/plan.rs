//! What do we intend? [`Plan`], computed whole from configuration and facts.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use config::model::{
    Dns64, DnssecMode, ProfileId, RecursionMode, ResolvConfMode, Selection, Upstream,
};
use config::name::DomainName;

use crate::domains::{DomainTable, Refusal, Target};
use crate::explain::Because;
use crate::facts::{LinkId, NetworkId, Owner};
use crate::links::LinksPlan;
use crate::multicast::MulticastPlan;

/// Everything we intend.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Where names are asked.
    pub dns: Arc<DnsPlan>,
    /// What `/etc/resolv.conf` should say; `None` when it is not ours.
    pub resolv_conf: Option<ResolvConfPlan>,
    /// The profile that governs each link.
    pub profiles_by_link: BTreeMap<LinkId, ProfileId>,
    /// What should be in the kernel.
    pub links: Arc<LinksPlan>,
}

/// Where names are asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DnsPlan {
    /// The scopes, by id.
    pub scopes: BTreeMap<ScopeId, ScopePlan>,
    /// Name to scope.
    pub domains: DomainTable,
    /// Suffixes for single labels, in the order in which they are tried.
    pub search: Vec<SearchSuffix>,
    /// Things an administrator should know: claims that contradict each other, upstreams that cannot be used.
    pub notes: Vec<Note>,
    /// Where names are asked of the neighbours themselves.
    pub multicast: MulticastPlan,
    /// The profiles whose records are answered with, the best link's first.
    pub recorded: Vec<ProfileId>,
}

impl DnsPlan {
    /// Returns the scope of names that nobody claims, when it can be asked.
    pub fn default_scope(&self) -> Option<ScopeId> {
        match self.domains.default_target() {
            Target::Ask(scope) => Some(scope),
            Target::Refuse(_) => None,
        }
    }

    /// Says in one sentence why a name goes nowhere, for people and for Extended DNS Errors.
    pub fn refusal_text(&self, refusal: &Refusal, because: &Because) -> String {
        match refusal {
            Refusal::ScopeNotReady { scope, state } => {
                let link = self.scopes.get(scope).and_then(|scope| scope.link.as_ref());
                let link = link.map_or_else(String::new, |link| format!(" {}", link.name));
                let claim = match because.suffix.is_root() {
                    true => format!("all names are claimed by {}", because.owner),
                    false => format!("{} is claimed by {}", because.suffix, because.owner),
                };
                match state {
                    ScopeState::Ready => format!("{claim}, whose scope {scope} is ready"),
                    ScopeState::LinkDown => format!("{claim}, and its link{link} is down"),
                    ScopeState::LinkAbsent => format!("{claim}, and its link{link} is absent"),
                    ScopeState::NoUpstreams => format!("{claim}, which has no usable upstream"),
                }
            }
            Refusal::SearchExpansion { inner } => {
                format!(
                    "a search suffix was appended to {inner}, which is claimed by {}",
                    because.owner
                )
            }
            Refusal::NoScope => "nobody claims the name, and there is no default scope".to_owned(),
        }
    }
}

/// The id of a scope: owner and link, as `office@vpn0`. Stable from plan to plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct ScopeId(pub Arc<str>);

impl fmt::Display for ScopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A set of upstreams on a link in which a name may be asked: the unit of privacy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopePlan {
    /// Who made it.
    pub owner: Owner,
    /// The link that its sockets are bound to; `None` for a scope tied to no link.
    pub link: Option<ScopeLink>,
    /// The network that it is asked through: that of its link, or that of the default route; `None` when nothing tells.
    pub network: Option<NetworkId>,
    /// Whether it can be asked.
    pub state: ScopeState,
    /// Whom to ask, in order; those below the transport floor are left out and noted.
    pub upstreams: Vec<Upstream>,
    /// Whether plain ones are asked for encrypted forms of theirs (RFC 9462).
    pub discovers: bool,
    /// Whether HTTPS ones are asked by HTTP/3 where that gets through.
    pub http3: bool,
    /// How one is chosen.
    pub selection: Selection,
    /// Validation.
    pub dnssec: DnssecMode,
    /// When names are resolved from the root down; matters for the default scope only.
    pub recursion: RecursionMode,
    /// Whether IPv6 addresses are made of IPv4 ones, and how.
    pub dns64: Dns64,
}

/// The link of a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeLink {
    /// The name, or the match when no link is there.
    pub name: Arc<str>,
    /// The link; `None` while it is absent.
    pub id: Option<LinkId>,
}

/// Whether a scope can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScopeState {
    /// Yes.
    Ready,
    /// Its link is there but cannot carry packets.
    LinkDown,
    /// Its link is not there.
    LinkAbsent,
    /// It has no upstream that it may use.
    NoUpstreams,
}

impl fmt::Display for ScopeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::LinkDown => "link-down",
            Self::LinkAbsent => "link-absent",
            Self::NoUpstreams => "no-upstreams",
        })
    }
}

/// A suffix appended to single labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchSuffix {
    /// The suffix.
    pub suffix: DomainName,
    /// Who wants it.
    pub owner: Owner,
}

/// What `/etc/resolv.conf` should say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvConfPlan {
    /// Which form it has; never [`ResolvConfMode::Unmanaged`].
    pub mode: ResolvConfMode,
    /// `nameserver` lines.
    pub nameservers: Vec<IpAddr>,
    /// The `search` line; empty writes `search .`.
    pub search: Vec<DomainName>,
}

/// A thing an administrator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Whom it is about.
    pub owner: Owner,
    /// What it is.
    pub text: String,
}
