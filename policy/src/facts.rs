//! What has the outside told us? Immutable values, collected by the shell, read by [`crate::plan()`].

mod supply;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::Arc;

use config::matcher::Mac;
use config::model::{DnsSettings, MacUse, Prefix, Upstream};
use config::name::DomainName;
use config::time::Instant;

pub use supply::{
    Delegated, Preference, SuppliedAddress, SuppliedRoute, SuppliedSource, Supplier, Supply,
};

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
    /// The host's name, which DHCP servers hear.
    pub hostname: Option<Arc<str>>,
    /// Since when links are not up that were up before.
    pub down_since: BTreeMap<LinkId, Instant>,
    /// How far packets get through links, where somebody has tried.
    pub reach: BTreeMap<(LinkId, Family), Reach>,
    /// What was told of links by command; it goes with the link.
    pub told: BTreeMap<LinkId, Told>,
    /// What was told of links that profiles make and that are not there, by name.
    pub told_absent: BTreeMap<Arc<str>, Told>,
    /// The links that hold the default routes by the plan in force: among equals they keep them.
    pub uplinks: CurrentUplinks,
    /// The hardware addresses that this machine makes up, by the name of the link that they are for; none where no profile wants any.
    pub made_macs: BTreeMap<Arc<str>, MadeMacs>,
    /// How this kernel forwards IPv6.
    pub forwarding6: Forwarding6,
    /// The moment of these facts: what has an end, and has it by then, is over. [`crate::LinksPlan::review_at`] says when
    /// another moment makes another plan.
    pub as_of: Instant,
}

impl Facts {
    /// Takes the links as the kernel tells them, and notes which of them went down. What hangs on a link ends with it, and what
    /// was tried on it when it goes down.
    pub fn take_links(&mut self, links: &BTreeMap<LinkId, LinkFacts>, now: Instant) {
        let gone = self.links.keys().filter(|id| !links.contains_key(id));
        for id in gone.copied().collect::<Vec<_>>() {
            self.take_link(id, None, now);
        }
        for (id, link) in links {
            self.take_link(*id, Some(link), now);
        }
    }

    /// Takes one link as the kernel tells it now, or that it is gone or does not matter ([`crate::Interest`]).
    pub fn take_link(&mut self, id: LinkId, link: Option<&LinkFacts>, now: Instant) {
        let is_up = link.is_some_and(|link| link.up);
        let was_up = self.links.get(&id).is_some_and(|link| link.up);
        if is_up || link.is_none() {
            self.down_since.remove(&id);
        } else if was_up {
            self.down_since.insert(id, now);
        }
        if !is_up {
            for family in [Family::Ipv4, Family::Ipv6] {
                self.reach.remove(&(id, family));
            }
        }
        match link {
            Some(link) => {
                self.links.insert(id, link.clone());
            }
            None => {
                self.links.remove(&id);
                self.told.remove(&id);
                for supplier in Supplier::ALL {
                    self.supplies.remove(&(id, supplier));
                }
            }
        }
    }

    /// Returns the hardware address that a link of this name is to have.
    pub(crate) fn mac(&self, wanted: MacUse, link: &str) -> Option<Mac> {
        let made = || self.made_macs.get(link);
        match wanted {
            MacUse::Given(mac) => Some(mac),
            MacUse::Stable => Some(made()?.stable),
            MacUse::Random => Some(made()?.random),
        }
    }

    /// Returns how far packets get through a link.
    pub(crate) fn reach(&self, link: LinkId, family: Family) -> Reach {
        let reach = self.reach.get(&(link, family));
        reach.copied().unwrap_or_default()
    }
}

/// The hardware addresses that a machine makes up for a link of some name: locally administered, and of nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MadeMacs {
    /// The one that is the same each time ([`MacUse::Stable`]).
    pub stable: Mac,
    /// The one of this boot ([`MacUse::Random`]).
    pub random: Mac,
}

/// How a kernel forwards IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Forwarding6 {
    /// Link by link, where each says so (`force_forwarding`, Linux 6.17 and later).
    #[default]
    ByLink,
    /// For all links at once, and it does (`net.ipv6.conf.all.forwarding`).
    All,
    /// For all links at once, and it does not.
    None,
}

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// Returns the family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

/// What somebody told of a link by command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// To be set up, whatever `autoconnect` says.
    Up,
    /// To be taken down, with all that is ours.
    Down,
    /// To be left to others: nothing of it is written any more.
    Release,
}

impl Told {
    /// Returns it as it is called everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Release => "release",
        }
    }

    /// Reads what [`Told::as_str`] returned.
    pub fn of(text: &str) -> Option<Self> {
        let all = [Self::Up, Self::Down, Self::Release];
        all.into_iter().find(|told| told.as_str() == text)
    }
}

/// The links that hold the default routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CurrentUplinks {
    /// For IPv4.
    pub v4: Option<LinkId>,
    /// For IPv6.
    pub v6: Option<LinkId>,
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
    /// The one that it is known by: what it came with, or had before we or a bond gave it another.
    pub known_mac: Option<Mac>,
    /// Whether it can carry packets: `IFF_UP`, and carrier (`IFF_LOWER_UP`, RFC 2863 operational state not down).
    pub up: bool,
    /// Whether it is a loopback link; such a link never has a scope of its own.
    pub loopback: bool,
    /// Whether it has neighbours that hear a multicast: not a tunnel, not loopback.
    pub multicast: bool,
    /// Whether its IPv4 neighbours are found by ARP.
    pub arp: bool,
    /// The index of the link that it is a port of.
    pub port_of: Option<NonZeroU32>,
    /// Its addresses.
    pub addresses: Vec<Prefix>,
    /// The first IPv4 address that ends by itself: some DHCP client has set it.
    pub lent4: Option<Ipv4Addr>,
    /// The metric of its IPv4 default route (0.0.0.0/0, or both halves), and the gateway; the best when several.
    pub default_route4: Option<DefaultRoute>,
    /// The same for IPv6.
    pub default_route6: Option<DefaultRoute>,
}

/// What a network is told by, so that it is known again: `ethernet 192.0.2.0/24 by 192.0.2.1`.
///
/// Two networks may be told by the same; what is remembered by it must do no harm in the wrong one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct NetworkId(pub Arc<str>);

/// How far packets of one family get through a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// To the Internet: an answer from there was seen.
    Validated,
    /// Nobody has tried.
    #[default]
    Unknown,
    /// To a portal that wants a person first.
    Portal,
    /// Nowhere: it was tried in vain.
    Nowhere,
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Validated => "works",
            Self::Unknown => "is untried",
            Self::Portal => "leads to a portal",
            Self::Nowhere => "leads nowhere",
        })
    }
}

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
    /// The network of a link, by DHCP and router advertisements.
    Supply(Arc<str>),
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
            Self::Supply(link) => write!(f, "network of {link}"),
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
