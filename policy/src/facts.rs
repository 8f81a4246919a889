//! What has the outside told us? Immutable values, collected by the shell, read by [`crate::plan()`].

mod supply;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use config::matcher::Mac;
use config::model::{DnsSettings, Mapping, Prefix, Upstream};
use config::name::DomainName;

pub use supply::{Delegated, Preference, SuppliedAddress, SuppliedRoute, Supplier, Supply};

/// Everything the outside told us.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The links of the kernel.
    pub links: BTreeMap<LinkId, LinkFacts>,
    /// What the network supplied to each link, and through what.
    pub supplies: BTreeMap<(LinkId, Supplier), Supply>,
    /// Claims made at run time, by owner.
    pub layers: BTreeMap<Owner, RuntimeLayer>,
    /// What a resolv.conf that is not ours names; `None` when there is none or it is ours.
    pub foreign_resolv_conf: Option<ForeignResolvConf>,
    /// The domain part of the host's name: the C library appends it when resolv.conf names no search suffix.
    pub host_domain: Option<DomainName>,
}

/// A kernel network interface: index and birth, so that a new link with an old index is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId {
    /// `ifindex`.
    pub index: u32,
    /// Counts links as linnet met them.
    pub birth: u32,
}

/// What is known of a link.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkFacts {
    /// The name.
    pub name: Arc<str>,
    /// The alternative names.
    pub alt_names: Vec<Arc<str>>,
    /// `ethernet`, `wifi`, `loopback`, or the kernel's `IFLA_INFO_KIND`.
    pub kind: Arc<str>,
    /// The driver, when the device has one.
    pub driver: Option<Arc<str>>,
    /// The device's path, when it has one.
    pub path: Option<Arc<str>>,
    /// The hardware address, when it has six octets.
    pub mac: Option<Mac>,
    /// Whether it can carry packets: `IFF_UP`, and carrier (`IFF_LOWER_UP`, RFC 2863 operational state not down).
    pub up: bool,
    /// Whether it is a loopback link; such a link never has a scope of its own.
    pub loopback: bool,
    /// Whether it has neighbours that hear a multicast: not a tunnel, not loopback.
    pub multicast: bool,
    /// Its addresses.
    pub addresses: Vec<Prefix>,
    /// The metric of its IPv4 default route (0.0.0.0/0, or both halves), and the gateway; the best when several.
    pub default_route4: Option<DefaultRoute>,
    /// The same for IPv6.
    pub default_route6: Option<DefaultRoute>,
    /// By which prefixes its router says that it translates (PREF64, RFC 8781).
    pub pref64: Vec<Mapping>,
}

/// What a network is told by, so that it is known again: `ethernet 192.0.2.0/24 by 192.0.2.1`.
///
/// Two networks may be told by the same; what is remembered by it must do no harm in the wrong one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct NetworkId(pub Arc<str>);

impl LinkFacts {
    /// Returns what the network of this link is told by: its router, and the prefix that the router is in. IPv4 alone tells
    /// where there is any, so that a network is not another one when its router advertisement comes.
    pub fn network(&self) -> Option<NetworkId> {
        let gateway = |route: Option<DefaultRoute>| route.and_then(|route| route.gateway);
        let is_lasting = |address: &IpAddr| match address {
            IpAddr::V4(v4) => !v4.is_link_local(),
            IpAddr::V6(v6) => !v6.is_unicast_link_local(),
        };
        let prefixes = |v4: bool| {
            let own = self.addresses.iter();
            let own = own.filter(|prefix| prefix.address.is_ipv4() == v4);
            own.filter(|prefix| is_lasting(&prefix.address))
                .map(|prefix| prefix.network())
                .min()
        };
        let by = |gateway: Option<IpAddr>, prefix: Option<Prefix>| {
            let kind = &self.kind;
            Some(match (prefix, gateway) {
                (Some(prefix), Some(gateway)) => format!("{kind} {prefix} by {gateway}"),
                (Some(prefix), None) => format!("{kind} {prefix}"),
                (None, Some(gateway)) => format!("{kind} by {gateway}"),
                (None, None) => return None,
            })
        };
        by(gateway(self.default_route4), prefixes(true))
            .or_else(|| by(gateway(self.default_route6), prefixes(false)))
            .map(|text| NetworkId(text.into()))
    }
}

/// A default route of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DefaultRoute {
    /// The metric; lower wins.
    pub metric: u32,
    /// The neighbour; `None` for a point-to-point link.
    pub gateway: Option<IpAddr>,
}

/// Who says a thing about DNS; each owner has its own layer, and withdrawing one withdraws that layer only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// `[resolver]` of the configuration.
    Resolver,
    /// A profile.
    Profile(config::model::ProfileId),
    /// A caller of the control interface, by the name that it gave its claim.
    Claim(Arc<str>),
    /// The kernel: a link's own prefixes.
    Link(Arc<str>),
    /// A resolv.conf of somebody else.
    ForeignResolvConf,
    /// Names with a meaning of their own (RFC 6761).
    Builtin,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolver => f.write_str("[resolver]"),
            Self::Profile(id) => write!(f, "profile {id}"),
            Self::Claim(name) => write!(f, "claim {name}"),
            Self::Link(name) => write!(f, "link {name}"),
            Self::ForeignResolvConf => f.write_str("foreign resolv.conf"),
            Self::Builtin => f.write_str("built in"),
        }
    }
}

/// What an owner claimed at run time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeLayer {
    /// The link's name; the claim outlives the link. `None` for a claim tied to no link.
    pub link: Option<Arc<str>>,
    /// What it wants.
    pub dns: DnsSettings,
    /// How far it is believed.
    pub trust: Trust,
}

/// How far an owner is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// The network: DHCP, router advertisements, a resolv.conf that they wrote. May offer upstreams and search
    /// suffixes; its claims are not taken.
    Network,
    /// An authenticated peer: a VPN. May claim domains.
    Authenticated,
    /// The administrator: profiles, and callers with the right to claim.
    Administrator,
}

/// What a resolv.conf of somebody else names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ForeignResolvConf {
    /// `nameserver` lines, our own stub left out.
    pub upstreams: Vec<Upstream>,
    /// `search` or `domain`.
    pub search: Vec<DomainName>,
}
