//! What does the kernel tell? [`KernelEvent`]: typed, no netlink bytes.

use std::net::IpAddr;
use std::sync::Arc;

use config::matcher::Mac;
use config::model::Prefix;
use policy::facts::DefaultRoute;

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
    /// An address is there, or has changed. Tentative and failed ones (RFC 4862 §5.4) are not told.
    Address {
        /// `ifindex`.
        index: u32,
        /// The address.
        address: Prefix,
    },
    /// An address is gone.
    AddressGone {
        /// `ifindex`.
        index: u32,
        /// The address.
        address: Prefix,
    },
    /// A default route of the main table is there (a destination of length 0, or one half of 0/1 and 128/1).
    Route(RouteMessage),
    /// These default routes are there, all of one destination and one metric, in the place of all others of the same
    /// destination and metric on any link; the kernel does not tell that those are gone.
    RoutesReplaced(Vec<RouteMessage>),
    /// A default route is gone.
    RouteGone(RouteMessage),
}

/// A link, as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkMessage {
    /// `ifindex`.
    pub index: u32,
    /// The name.
    pub name: Arc<str>,
    /// The alternative names.
    pub alt_names: Vec<Arc<str>>,
    /// `ethernet`, `wifi`, `loopback`, or `IFLA_INFO_KIND`.
    pub kind: Arc<str>,
    /// The driver, from sysfs.
    pub driver: Option<Arc<str>>,
    /// The device's path, from sysfs.
    pub path: Option<Arc<str>>,
    /// The hardware address.
    pub mac: Option<Mac>,
    /// `IFF_UP`.
    pub admin_up: bool,
    /// `IFF_LOWER_UP`, and an operational state (RFC 2863) that is not down.
    pub carrier: bool,
    /// `IFF_LOOPBACK`.
    pub loopback: bool,
    /// `IFF_MULTICAST`, and neither `IFF_POINTOPOINT` nor `IFF_LOOPBACK`: a link with neighbours that hear a multicast.
    pub multicast: bool,
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
}
