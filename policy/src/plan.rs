//! What do we intend? [`Plan`], computed whole from configuration and facts.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use config::model::{DnssecMode, ResolvConfMode, Selection, Upstream};
use config::name::DomainName;

use crate::domains::DomainTable;
use crate::facts::{LinkId, Owner};

/// Everything we intend.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Where names are asked.
    pub dns: Arc<DnsPlan>,
    /// What `/etc/resolv.conf` should say; `None` when it is not ours.
    pub resolv_conf: Option<ResolvConfPlan>,
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
    /// Whether it can be asked.
    pub state: ScopeState,
    /// Whom to ask, in order; those below the transport floor are left out and noted.
    pub upstreams: Vec<Upstream>,
    /// How one is chosen.
    pub selection: Selection,
    /// Validation.
    pub dnssec: DnssecMode,
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
