//! What do we intend for the links? [`LinksPlan`]: for each link that a profile governs, everything that should be in the kernel.
//!
//! A plan names what should be there; what has to be asked of the kernel to get there is found by the link manager, which
//! compares. Lifetimes are points in time, so that a plan made twice is the same plan.

mod carrier;
mod delegate;
mod gotos;
mod joint;
mod kind;
mod macs;
mod make;
mod overlap;
mod ports;
mod show;
mod supplied;
#[cfg(test)]
mod tests;
mod uplink;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use config::matcher::Mac;
use config::model::{
    AddressAttributes, ConflictUse, Dhcp4Settings, Dhcp6Settings, Hardware, PolicyRule, Prefix,
    ProfileId, RaSettings, RouteKind, RouteTuning,
};
use config::time::Instant;

use crate::facts::{LinkId, Preference, Supplier};
use crate::virtual_links::WantedLink;

pub use kind::usual_metric;
pub(crate) use make::plan;
pub use uplink::{Uplink, UplinkCandidate, UplinkRule, Uplinks};

/// What we intend for all links.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinksPlan {
    /// The links that we write to; what is not here is only observed, and what is ours on it is given back.
    pub links: BTreeMap<LinkId, LinkPlan>,
    /// Links that stay as they are, with all that is ours on them: what their profile wants cannot be read.
    pub held: BTreeSet<LinkId>,
    /// The links that profiles make, those that others stand on first.
    pub made: Vec<WantedLink>,
    /// Rules for all links together.
    pub rules: BTreeSet<PolicyRule>,
    /// The links that have the default routes, and why.
    pub uplinks: Uplinks,
    /// When the plan is to be made anew though no fact has changed but the time: something's grace ends.
    pub review_at: Option<Instant>,
}

/// What we intend for one link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkPlan {
    /// Its name.
    pub name: Arc<str>,
    /// The profile that governs it.
    pub profile: ProfileId,
    /// Whether it should be up; `None` leaves it as it is.
    pub admin_up: Option<bool>,
    /// The largest packet, in octets; `None` leaves it as it is.
    pub mtu: Option<u32>,
    /// The hardware address; `None` leaves it as it is.
    pub mac: Option<Mac>,
    /// Addresses.
    pub addresses: BTreeMap<Prefix, AddressPlan>,
    /// Routes by what the kernel tells them apart by.
    pub routes: BTreeMap<RouteKey, RoutePlan>,
    /// Per-link settings below `/proc/sys/net`; those of before come back when the link is let go.
    pub switches: BTreeMap<Switch, i32>,
    /// The clients that should run.
    pub clients: Clients,
}

impl LinkPlan {
    /// Makes a plan that wants nothing of a link.
    pub const fn new(name: Arc<str>, profile: ProfileId) -> Self {
        Self {
            name,
            profile,
            admin_up: None,
            mtu: None,
            mac: None,
            addresses: BTreeMap::new(),
            routes: BTreeMap::new(),
            switches: BTreeMap::new(),
            clients: Clients {
                dhcp4: None,
                dhcp6: None,
                ra: None,
                ipv4ll: false,
                lldp: false,
            },
        }
    }
}

/// An address that should be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressPlan {
    /// Who wants it: `None` the profile.
    pub supplier: Option<Supplier>,
    /// Until when new connections may begin with it; `None` for ever.
    pub preferred_until: Option<Instant>,
    /// Until when it may be used at all; `None` for ever.
    pub valid_until: Option<Instant>,
    /// Whether the kernel makes temporary addresses beside it (`IFA_F_MANAGETEMPADDR`).
    pub temporaries: bool,
    /// Whether the kernel makes no route of its own for the prefix (`IFA_F_NOPREFIXROUTE`): there is one in
    /// [`LinkPlan::routes`], or none is wanted.
    pub no_prefix_route: bool,
    /// The metric of the kernel's own route for the prefix (`IFA_RT_PRIORITY`).
    pub metric: u32,
    /// What the kernel is to know of it beside that.
    pub attributes: AddressAttributes,
    /// What is done about others that have it too; what is supplied is its client's to watch.
    pub conflicts: ConflictUse,
}

/// By what the kernel tells routes apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteKey {
    /// The table; 254 is main.
    pub table: u32,
    /// Where to, host bits cleared.
    pub to: Prefix,
    /// The metric; lower wins. Never 0 for IPv6, where the kernel makes 1024 of it.
    pub metric: u32,
    /// For packets from where, of IPv6 alone, host bits cleared.
    pub from: Option<Prefix>,
}

/// A route that should be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutePlan {
    /// Who wants it: `None` the profile.
    pub supplier: Option<Supplier>,
    /// What becomes of the packets.
    pub kind: RouteKind,
    /// The ways that it takes; none for the link itself.
    pub via: Vec<HopPlan>,
    /// Whether the neighbours count as reachable whatever the addresses say.
    pub on_link: bool,
    /// The preferred source address.
    pub source: Option<IpAddr>,
    /// The largest packet, in octets.
    pub mtu: Option<u32>,
    /// How a router recommends itself.
    pub preference: Preference,
    /// What connections begin with.
    pub tuning: RouteTuning,
    /// Until when; `None` for ever.
    pub valid_until: Option<Instant>,
}

/// One way that a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HopPlan {
    /// The neighbour; `None` for the link itself.
    pub via: Option<IpAddr>,
    /// The link that it leaves by; `None` for that of the plan.
    pub link: Option<LinkId>,
    /// Its share among several, 1 to 256.
    pub weight: u16,
}

impl HopPlan {
    /// Makes a way through a neighbour on the plan's own link.
    pub const fn through(via: IpAddr) -> Self {
        Self {
            via: Some(via),
            link: None,
            weight: 1,
        }
    }
}

/// A per-link setting: a file below `/proc/sys/net`, or one of a network card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Switch {
    /// `ipv6/conf/LINK/accept_ra`.
    AcceptRa,
    /// `ipv6/conf/LINK/use_tempaddr`.
    UseTempaddr,
    /// `ipv6/conf/LINK/addr_gen_mode`: that there is a link-local address. Whatever makes one will do.
    LinkLocal6,
    /// `ipv6/conf/LINK/disable_ipv6`.
    DisableIpv6,
    /// `ipv6/conf/LINK/forwarding`.
    Forwarding6,
    /// `ipv6/conf/LINK/force_forwarding`: without it the kernel looks at its switch for all links alone.
    ForceForwarding6,
    /// `ipv4/conf/LINK/forwarding`.
    Forwarding4,
    /// `ipv6/conf/LINK/mtu`.
    Mtu6,
    /// `ipv6/conf/LINK/hop_limit`.
    HopLimit6,
    /// `ipv6/neigh/LINK/base_reachable_time_ms`.
    Reachable6,
    /// `ipv6/neigh/LINK/retrans_time_ms`.
    Retransmit6,
    /// `ipv4/conf/LINK/promote_secondaries`: whether addresses stay when the first one of their prefix goes.
    Promote4,
    /// A setting of a network card.
    Hardware(Hardware),
}

impl Switch {
    /// Returns the setting of a network card that it is, when it is one.
    pub const fn hardware(self) -> Option<Hardware> {
        match self {
            Self::Hardware(hardware) => Some(hardware),
            Self::AcceptRa
            | Self::UseTempaddr
            | Self::LinkLocal6
            | Self::DisableIpv6
            | Self::Forwarding6
            | Self::ForceForwarding6
            | Self::Forwarding4
            | Self::Mtu6
            | Self::HopLimit6
            | Self::Reachable6
            | Self::Retransmit6
            | Self::Promote4 => None,
        }
    }

    /// Returns the path below `/proc/sys/net` for the link of this name; of a network card, where it would be.
    pub fn path(self, link: &str) -> String {
        let (table, file) = match self {
            Self::AcceptRa => ("ipv6/conf", "accept_ra"),
            Self::UseTempaddr => ("ipv6/conf", "use_tempaddr"),
            Self::LinkLocal6 => ("ipv6/conf", "addr_gen_mode"),
            Self::DisableIpv6 => ("ipv6/conf", "disable_ipv6"),
            Self::Forwarding6 => ("ipv6/conf", "forwarding"),
            Self::ForceForwarding6 => ("ipv6/conf", "force_forwarding"),
            Self::Forwarding4 => ("ipv4/conf", "forwarding"),
            Self::Mtu6 => ("ipv6/conf", "mtu"),
            Self::HopLimit6 => ("ipv6/conf", "hop_limit"),
            Self::Reachable6 => ("ipv6/neigh", "base_reachable_time_ms"),
            Self::Retransmit6 => ("ipv6/neigh", "retrans_time_ms"),
            Self::Promote4 => ("ipv4/conf", "promote_secondaries"),
            Self::Hardware(hardware) => ("hardware", hardware.name()),
        };
        format!("{table}/{link}/{file}")
    }
}

/// The clients that should run on a link.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clients {
    /// DHCPv4.
    pub dhcp4: Option<Arc<Dhcp4Settings>>,
    /// DHCPv6.
    pub dhcp6: Option<Arc<Dhcp6Settings>>,
    /// Router advertisements.
    pub ra: Option<RaSettings>,
    /// IPv4 link-local addresses.
    pub ipv4ll: bool,
    /// What switches say (LLDP).
    pub lldp: bool,
}
