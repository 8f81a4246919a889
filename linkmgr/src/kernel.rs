//! What does the kernel tell? [`KernelEvent`]: typed, no netlink bytes.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use config::matcher::Mac;
use config::model::{AddressAttributes, PolicyRule, Prefix, RouteKind, RouteTuning};
use policy::facts::{DefaultRoute, Preference};
use policy::links::{RouteKey, Switch};

/// The protocol number of every route, rule and address that linnet adds. It marks; the journal proves.
pub const OURS: u8 = 112;

/// `RTPROT_REDIRECT`, `RTPROT_KERNEL` and `RTPROT_RA`: of IPv6 what the kernel has made by itself.
const BY_ITSELF: [u8; 3] = [1, 2, 9];

/// Whether a route of somebody else to this destination, with this protocol number, may go when one of ours at the same place is
/// replaced. What the kernel itself has heard from IPv6 routers or made for prefixes has no part in that.
pub fn stands_beside(protocol: u8, to: Prefix) -> bool {
    to.address.is_ipv4() || !BY_ITSELF.contains(&protocol)
}

/// One thing that the kernel said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelEvent {
    /// A whole listing begins: at the start, and after messages were lost (ENOBUFS). What it does not name is gone.
    ListingBegins,
    /// The listing is complete.
    ListingEnds,
    /// A link is there, or has changed.
    Link(LinkMessage),
    /// A link is gone.
    LinkGone {
        /// `ifindex`.
        index: u32,
    },
    /// An address is there, or has changed.
    Address(AddressMessage),
    /// An address is gone.
    AddressGone {
        /// `ifindex`.
        index: u32,
        /// The address.
        address: Prefix,
    },
    /// A default route of the main table is there (a destination of length 0, or one half of 0/1 and 128/1).
    Route(RouteMessage),
    /// These default routes are there, all of one destination and one metric, in the place of others of the same destination and
    /// metric on any link: of IPv6 all of them, of IPv4 the first. The kernel does not tell that those are gone.
    RoutesReplaced(Vec<RouteMessage>),
    /// A default route is gone.
    RouteGone(RouteMessage),
    /// A route with our number is there, or has changed; a default route is told by [`KernelEvent::Route`] too.
    OwnRoute(OwnRoute),
    /// A route with our number is gone.
    OwnRouteGone(OwnRoute),
    /// Somebody else's route is there in the place of another: if that was ours, nothing else tells so.
    PlaceTaken(OwnRoute),
    /// Somebody else's route is there beside another one, which may be ours: `ip route prepend` and `append` do so. A default route is
    /// told by [`KernelEvent::Route`] too.
    PlaceShared {
        /// Theirs; of IPv6 with all ways that the place has.
        theirs: OwnRoute,
        /// Whether it is before all that were there.
        is_first: bool,
    },
    /// Somebody else's route is gone, which may have been beside ours.
    PlaceLeft(OwnRoute),
    /// A rule with our number is there.
    Rule(PolicyRule),
    /// A rule with our number is gone.
    RuleGone(PolicyRule),
    /// A rule with another number is there: whoever made it, the same with our number would stand beside it.
    RuleTaken {
        /// It.
        rule: PolicyRule,
        /// Who has made it (`FRA_PROTOCOL`); 0 when nobody says so.
        protocol: u8,
    },
    /// A rule with another number is gone: its place is free.
    RuleFreed {
        /// It.
        rule: PolicyRule,
        /// Who had made it.
        protocol: u8,
    },
    /// How switches of a link are.
    Switches {
        /// `ifindex`.
        index: u32,
        /// Their values; `None` for one that may be another by now.
        values: Vec<(Switch, Option<i32>)>,
    },
}

/// An address, as the kernel describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressMessage {
    /// `ifindex`.
    pub index: u32,
    /// The address.
    pub address: Prefix,
    /// Whether it may be used.
    pub usability: Usability,
    /// How many seconds new connections may begin with it; `None` for ever.
    pub preferred: Option<u32>,
    /// How many seconds it may be used at all; `None` for ever.
    pub valid: Option<u32>,
    /// Who made it (`IFA_PROTO`); 0 when nobody says so, as always before Linux 5.18.
    pub protocol: u8,
    /// `IFA_F_MANAGETEMPADDR`.
    pub temporaries: bool,
    /// `IFA_F_NOPREFIXROUTE`.
    pub no_prefix_route: bool,
    /// `IFA_F_SECONDARY`: an IPv4 address that the kernel takes away with the first one of its prefix; of IPv6 a temporary
    /// address.
    pub secondary: bool,
    /// The metric of the kernel's own route for the prefix (`IFA_RT_PRIORITY`); 0 when it is the kernel's usual one.
    pub metric: u32,
    /// What else there is to know of it; a label that is the link's name is none.
    pub attributes: AddressAttributes,
}

impl AddressMessage {
    /// Makes an address that stays for ever, is in use, and that nobody claims.
    pub const fn lasting(index: u32, address: Prefix) -> Self {
        Self {
            index,
            address,
            usability: Usability::Usable,
            preferred: None,
            valid: None,
            protocol: 0,
            temporaries: false,
            no_prefix_route: false,
            secondary: false,
            metric: 0,
            attributes: AddressAttributes {
                peer: None,
                label: None,
                scope: None,
                skips_dad: false,
            },
        }
    }
}

/// Whether an address may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Usability {
    /// Yes: its uniqueness is proven (RFC 4862 §5.4), or it is optimistic (RFC 4429).
    Usable,
    /// Not yet.
    Tentative,
    /// Never: somebody else has it.
    Duplicate,
}

/// A route with our number, as the kernel has it or is to have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnRoute {
    /// By what the kernel tells it apart.
    pub key: RouteKey,
    /// What becomes of the packets.
    pub kind: RouteKind,
    /// The ways that it takes, in order, the weight of a single one being 1; none for one that drops.
    pub hops: Vec<NextHop>,
    /// Whether the neighbours count as reachable whatever the addresses say.
    pub on_link: bool,
    /// The preferred source address.
    pub source: Option<IpAddr>,
    /// The largest packet, in octets.
    pub mtu: Option<u32>,
    /// How a router recommends itself; always medium for IPv4.
    pub preference: Preference,
    /// What connections begin with.
    pub tuning: RouteTuning,
    /// How many seconds it stays; `None` for ever, and always for IPv4.
    pub valid: Option<u32>,
}

impl OwnRoute {
    /// Returns the `ifindex` of the first link that it leaves by; `None` for one that drops.
    pub fn index(&self) -> Option<u32> {
        self.hops.first().map(|hop| hop.index)
    }

    /// Whether it leaves by a link, alone or beside others.
    pub fn leaves_by(&self, index: u32) -> bool {
        self.hops.iter().any(|hop| hop.index == index)
    }

    /// Whether it leaves by a link and by no other.
    pub(crate) fn leaves_by_alone(&self, index: u32) -> bool {
        self.leaves_by(index) && self.hops.iter().all(|hop| hop.index == index)
    }

    /// Puts the ways in order; one that is left alone has no share.
    pub(crate) fn settle_ways(&mut self) {
        self.hops.sort();
        if let [only] = self.hops.as_mut_slice() {
            only.weight = 1;
        }
    }

    /// Whether what it leads to is on a link itself.
    pub fn is_near(&self) -> bool {
        self.kind == RouteKind::Unicast && self.hops.iter().all(|hop| hop.via.is_none())
    }
}

/// One way that a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NextHop {
    /// `ifindex` of the link that it leaves by.
    pub index: u32,
    /// The neighbour; `None` for the link itself.
    pub via: Option<IpAddr>,
    /// Its share among several, 1 to 256.
    pub weight: u16,
}

impl NextHop {
    /// Makes the only way of a route.
    pub const fn only(index: u32, via: Option<IpAddr>) -> Self {
        Self {
            index,
            via,
            weight: 1,
        }
    }
}

/// A link, as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkMessage {
    /// `ifindex`.
    pub index: u32,
    /// The name.
    pub name: Arc<str>,
    /// The alternative names.
    pub alt_names: Box<[Arc<str>]>,
    /// `ethernet`, `wifi`, `loopback`, or `IFLA_INFO_KIND`.
    pub kind: Arc<str>,
    /// The driver, from sysfs.
    pub driver: Option<Arc<str>>,
    /// The device's path, from sysfs.
    pub path: Option<Arc<str>>,
    /// The hardware address.
    pub mac: Option<Mac>,
    /// The one that it came with (`IFLA_PERM_ADDRESS`), or that it had before a bond gave it the bond's.
    pub permanent_mac: Option<Mac>,
    /// The largest packet, in octets.
    pub mtu: u32,
    /// `IFLA_MASTER`: the index of the link that it is a port of.
    pub port_of: Option<NonZeroU32>,
    /// The index of the link that it stands on (or, of a pair, of the other end), where that is in this namespace.
    pub parent: Option<NonZeroU32>,
    /// `IFF_UP`.
    pub admin_up: bool,
    /// `IFF_LOWER_UP`, and an operational state (RFC 2863) that is not down.
    pub carrier: bool,
    /// `IFF_LOOPBACK`.
    pub loopback: bool,
    /// `IFF_MULTICAST`, and neither `IFF_POINTOPOINT` nor `IFF_LOOPBACK`: a link with neighbours that hear a multicast.
    pub multicast: bool,
    /// Neither `IFF_NOARP` nor `IFF_POINTOPOINT` nor `IFF_LOOPBACK`: a link whose IPv4 neighbours are found by ARP.
    pub arp: bool,
}

/// A default route, or one half of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteMessage {
    /// `ifindex` of the link that it leaves by.
    pub index: u32,
    /// Where to: length 0 or 1.
    pub to: Prefix,
    /// Metric and gateway.
    pub route: DefaultRoute,
    /// The preferred source address: the kernel drops an IPv4 route without a word when this address goes.
    pub source: Option<IpAddr>,
    /// Who has made it (`rtm_protocol`).
    pub protocol: u8,
}
