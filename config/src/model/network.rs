//! What does a user want of a link below its names? [`NetworkSettings`]: addresses, clients, routes, rules, switches.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{BootpUse, DnsUpdate, HardwareSettings, OwnOptions, Prefix, ProfileId, StaticAddress};
use crate::matcher::Mac;

/// The part of a profile that the link manager applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSettings {
    /// Whether the link is set up by itself; otherwise by `linnet up`.
    pub autoconnect: bool,
    /// The largest packet, in octets; `None` leaves it as it is, or as the network says.
    pub mtu: Option<u32>,
    /// The hardware address; `None` leaves it as it is.
    pub mac: Option<MacUse>,
    /// Static addresses.
    pub addresses: Vec<StaticAddress>,
    /// DHCPv4; `None` when it is off.
    pub dhcp4: Option<Dhcp4Settings>,
    /// DHCPv6; `None` when it is off.
    pub dhcp6: Option<Dhcp6Settings>,
    /// The name that DHCP servers hear.
    pub hostname: HostnameUse,
    /// Router advertisements.
    pub ra: RaUse,
    /// IPv4 link-local addresses (RFC 3927).
    pub ipv4ll: Ipv4llMode,
    /// What is taken of what the network supplies.
    pub take: Take,
    /// Whether the link may have the default route.
    pub default_route: DefaultRouteUse,
    /// Metric of the routes that do not name one; `None` for the link kind's own.
    pub metric: Option<u32>,
    /// Table of the routes that do not name one; `None` for main.
    pub table: Option<u32>,
    /// Higher wins when several links could have the default route.
    pub priority: i32,
    /// `[[routes]]`.
    pub routes: Vec<Route>,
    /// `[[rules]]`.
    pub rules: Vec<PolicyRule>,
    /// What network cards are to do.
    pub hardware: HardwareSettings,
    /// What happens when the carrier goes.
    pub carrier: CarrierPolicy,
    /// IPv4 and IPv6 forwarding; `None` leaves it as it is.
    pub forwarding: Option<bool>,
    /// Whether switches are listened to (LLDP).
    pub lldp: bool,
    /// The part of a prefix that was delegated to another link; `None` for none.
    pub delegated: Option<DelegatedUse>,
}

/// Which hardware address a link has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MacUse {
    /// This one.
    Given(Mac),
    /// One that is made up, the same each time.
    Stable,
    /// One that is made up, another one with each boot.
    Random,
}

impl MacUse {
    /// Whether it is made up here.
    pub const fn is_made_up(self) -> bool {
        match self {
            Self::Given(_) => false,
            Self::Stable | Self::Random => true,
        }
    }
}

/// Which part of a delegated prefix a link gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegatedUse {
    /// The profile of the link that it was delegated to; `None` for any.
    pub from: Option<ProfileId>,
    /// Which /64 of it, from 0; `None` for one that is free.
    pub subnet: Option<u32>,
    /// The lower half of the link's address.
    pub host: u64,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            autoconnect: true,
            mtu: None,
            mac: None,
            addresses: Vec::new(),
            dhcp4: None,
            dhcp6: None,
            hostname: HostnameUse::Host,
            ra: RaUse::Kernel,
            ipv4ll: Ipv4llMode::Off,
            take: Take::default(),
            default_route: DefaultRouteUse::Auto,
            metric: None,
            table: None,
            priority: 0,
            routes: Vec::new(),
            rules: Vec::new(),
            hardware: HardwareSettings::default(),
            carrier: CarrierPolicy::default(),
            forwarding: None,
            delegated: None,
            lldp: false,
        }
    }
}

impl NetworkSettings {
    /// Whether anything is wanted of the link itself; a profile of names alone leaves it untouched.
    ///
    /// Metrics, priorities and what is taken only say how: they touch nothing where there is nothing else.
    pub fn touches(&self) -> bool {
        self.mtu.is_some()
            || self.mac.is_some()
            || !self.addresses.is_empty()
            || self.dhcp4.is_some()
            || self.dhcp6.is_some()
            || self.ra != RaUse::Kernel
            || self.ipv4ll != Ipv4llMode::Off
            || !self.routes.is_empty()
            || !self.rules.is_empty()
            || self.forwarding.is_some()
            || self.delegated.is_some()
            || self.lldp
            || !self.hardware.values.is_empty()
    }

    /// Whether the network may supply upstreams.
    pub fn takes_upstreams(&self) -> bool {
        let asks = self.dhcp4.is_some() || self.dhcp6.is_some();
        self.take.dns && (asks || matches!(self.ra, RaUse::Own(_)))
    }
}

/// The name that DHCP servers hear.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HostnameUse {
    /// The host's.
    #[default]
    Host,
    /// This one.
    Name(Arc<str>),
    /// None.
    Nothing,
}

/// Who makes what of router advertisements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RaUse {
    /// The kernel, if it does: its switch is left as it is.
    #[default]
    Kernel,
    /// Nobody.
    Off,
    /// We do, and the kernel does not.
    Own(RaSettings),
}

/// How the DHCPv4 client presents itself (RFC 2131).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dhcp4Settings {
    /// The client identifier (option 61).
    pub client_id: ClientId,
    /// What the identifier is made of, where it is one of IAID and DUID.
    pub identity: Identity,
    /// The host name to send (options 12 and 81); `None` sends none.
    pub hostname: Option<Arc<str>>,
    /// Whether nothing is sent that tells who we are (RFC 7844).
    pub anonymous: bool,
    /// The vendor class (option 60).
    pub vendor_class: Option<Arc<str>>,
    /// The user classes (option 77, RFC 3004).
    pub user_class: Vec<Arc<str>>,
    /// The only servers that are listened to; none for all.
    pub accept_servers: Vec<IpAddr>,
    /// Servers that are not listened to.
    pub reject_servers: Vec<IpAddr>,
    /// Who writes the name into DNS (option 81).
    pub dns_update: DnsUpdate,
    /// Options by number.
    pub own: OwnOptions,
    /// Whether IPv4 is done without when the network prefers that (RFC 8925).
    pub ipv6_only: bool,
    /// Whether replies must be broadcast.
    pub broadcast: bool,
    /// What answers of BOOTP servers are good for.
    pub bootp: BootpUse,
}

/// By what DHCPv6 servers know us, and DHCPv4 servers with [`ClientId::Duid`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The machine.
    pub duid: DuidUse,
    /// The link; `None` for one of its name.
    pub iaid: Option<u32>,
}

/// By what DHCP servers know the machine (RFC 8415 §11).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DuidUse {
    /// As the DHCP client that had the link before us, DUID and IAID; by [`Self::MachineId`] where there was none.
    #[default]
    Kept,
    /// By something made of `/etc/machine-id` (DUID-UUID, RFC 6355).
    MachineId,
    /// By the link's hardware address (DUID-LL).
    Mac,
    /// By these octets, the type before them.
    Octets(Arc<[u8]>),
}

/// By what a DHCPv4 server knows us.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ClientId {
    /// That of the DHCP client that had the link before us; [`Self::Mac`] where there was none, or it had none.
    #[default]
    Kept,
    /// The hardware address, with its type before it.
    Mac,
    /// The hardware address that the link came with, with its type before it, whatever it has at present.
    PermanentMac,
    /// IAID and DUID (RFC 4361).
    Duid,
    /// Something made of the link's name that nobody else can make, whatever its hardware address is.
    Stable,
    /// These octets, the type before them.
    Octets(Arc<[u8]>),
}

/// What the DHCPv6 client asks for (RFC 8415).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dhcp6Settings {
    /// By what servers know us.
    pub identity: Identity,
    /// The host name to send (option 39); `None` sends none.
    pub hostname: Option<Arc<str>>,
    /// Whether nothing is sent that tells who we are (RFC 7844).
    pub anonymous: bool,
    /// When it runs.
    pub when: Dhcp6When,
    /// Whether addresses are asked for (IA_NA).
    pub addresses: bool,
    /// The length of a prefix to ask for (IA_PD); 0 leaves it to the server, `None` asks for none.
    pub delegate: Option<u8>,
    /// Whether two messages are enough (RFC 8415 §18.2.1).
    pub rapid_commit: bool,
    /// Whether servers that wish it are told of the addresses that are made here (RFC 9686).
    pub register: bool,
    /// The user classes (option 15).
    pub user_class: Vec<Arc<str>>,
    /// Who writes the name into DNS (option 39).
    pub dns_update: DnsUpdate,
    /// Options by number.
    pub own: OwnOptions,
}

impl Default for Dhcp6Settings {
    fn default() -> Self {
        Self {
            identity: Identity::default(),
            hostname: None,
            anonymous: false,
            when: Dhcp6When::Advertised,
            addresses: true,
            delegate: None,
            rapid_commit: true,
            register: true,
            user_class: Vec::new(),
            dns_update: DnsUpdate::Server,
            own: OwnOptions::default(),
        }
    }
}

/// When the DHCPv6 client runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dhcp6When {
    /// As router advertisements say (their M and O flags).
    #[default]
    Advertised,
    /// Whatever routers say.
    Always,
}

/// What is made of router advertisements (RFC 4861, 4862).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RaSettings {
    /// How the lower half of an address is made.
    pub addresses: AddressGeneration,
    /// Temporary addresses (RFC 8981).
    pub privacy: Privacy,
}

/// How the lower half of an IPv6 address is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AddressGeneration {
    /// Another one in each network, the same each time (RFC 7217).
    #[default]
    Stable,
    /// Of the hardware address (RFC 4291 appendix A).
    Eui64,
    /// These 64 bits.
    Token(u64),
}

/// Temporary addresses (RFC 8981).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Privacy {
    /// None.
    #[default]
    Off,
    /// There are some, but connections leave from the lasting one.
    Available,
    /// Connections leave from them.
    Preferred,
}

/// IPv4 link-local addresses (RFC 3927).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ipv4llMode {
    /// None.
    #[default]
    Off,
    /// When DHCP brings nothing.
    Fallback,
    /// Always.
    Always,
}

/// What is taken of what the network supplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Take {
    /// Upstreams.
    pub dns: bool,
    /// Search suffixes.
    pub search: bool,
    /// Routes other than the default route.
    pub routes: bool,
    /// The MTU.
    pub mtu: bool,
    /// The hop limit, and the times of neighbour discovery.
    pub timers: bool,
}

impl Default for Take {
    fn default() -> Self {
        Self {
            dns: true,
            search: true,
            routes: true,
            mtu: true,
            timers: true,
        }
    }
}

/// Whether a link may have the default route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DefaultRouteUse {
    /// When something supplies one.
    #[default]
    Auto,
    /// Never: one that is supplied is left out.
    Never,
}

/// One of `[[routes]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where to.
    pub to: Prefix,
    /// What becomes of the packets.
    pub kind: RouteKind,
    /// The ways that it takes, with their weights; none for the link itself.
    pub via: Vec<Hop>,
    /// Whether the neighbours count as reachable whatever the addresses say.
    pub on_link: bool,
    /// The metric; lower wins.
    pub metric: Option<u32>,
    /// The table; `None` for main, or the link's own.
    pub table: Option<u32>,
    /// The preferred source address.
    pub source: Option<IpAddr>,
    /// The largest packet, in octets.
    pub mtu: Option<u32>,
    /// For packets from where, of IPv6 alone.
    pub from: Option<Prefix>,
    /// What connections begin with.
    pub tuning: RouteTuning,
}

/// What connections by a route begin with, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RouteTuning {
    /// Whether the MTU is not made smaller by what is heard on the way.
    pub mtu_lock: bool,
    /// The largest segment to offer, in octets.
    pub advmss: Option<u32>,
    /// The largest congestion window, in segments.
    pub cwnd: Option<u32>,
    /// The first congestion window, in segments.
    pub initcwnd: Option<u32>,
    /// The first receive window to offer, in segments.
    pub initrwnd: Option<u32>,
    /// Whether all is acknowledged at once.
    pub quickack: bool,
    /// How congestion is controlled.
    pub congestion: Option<Arc<str>>,
}

impl Route {
    /// Whether it names links, so that it may leave by others than its profile's.
    pub fn names_links(&self) -> bool {
        self.via.iter().any(|hop| hop.link.is_some())
    }
}

/// One way that a route takes: a neighbour, a link, or a neighbour on a link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hop {
    /// The neighbour; `None` for the link itself.
    pub via: Option<IpAddr>,
    /// The name of the link; `None` for that of the profile.
    pub link: Option<Arc<str>>,
    /// Its share among several, 1 to 256.
    pub weight: u16,
}

impl Hop {
    /// Makes a way through a neighbour on the profile's own link.
    pub const fn through(via: IpAddr) -> Self {
        Self {
            via: Some(via),
            link: None,
            weight: 1,
        }
    }
}

/// What becomes of the packets of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteKind {
    /// They are sent on.
    #[default]
    Unicast,
    /// They are dropped in silence.
    Blackhole,
    /// They are dropped, and their sender hears that nobody is there.
    Unreachable,
    /// They are dropped, and their sender hears that he may not.
    Prohibit,
    /// The rules below decide.
    Throw,
    /// They are for this machine.
    Local,
    /// They are for all of the link. IPv4 alone.
    Broadcast,
    /// They are for this machine as one of several that have the address: the kernel sends nothing from it.
    Anycast,
    /// They are for whoever on the link has joined the group.
    Multicast,
}

impl RouteKind {
    /// Whether a route of this kind leads out of a link, which it names.
    #[must_use]
    pub const fn has_link(self) -> bool {
        match self {
            Self::Unicast | Self::Local | Self::Broadcast | Self::Anycast | Self::Multicast => true,
            Self::Blackhole | Self::Unreachable | Self::Prohibit | Self::Throw => false,
        }
    }
}

/// One of `[[rules]]`, for one family: which table decides for which packets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct PolicyRule {
    /// Lower is asked first.
    pub priority: u32,
    /// Whether it is a rule for IPv6.
    pub is_ipv6: bool,
    /// From where.
    pub from: Option<Prefix>,
    /// Where to.
    pub to: Option<Prefix>,
    /// Mark and mask.
    pub mark: Option<(u32, u32)>,
    /// The link that packets come in by.
    pub incoming: Option<Arc<str>>,
    /// The link that sockets are bound to.
    pub outgoing: Option<Arc<str>>,
    /// The table that decides; `None` for an action of its own.
    pub table: Option<u32>,
    /// What becomes of the packets where no table decides.
    pub kind: RouteKind,
    /// Whether a route of at most this length does not count.
    pub suppress_length: Option<u8>,
    /// Whether everything else is meant.
    pub invert: bool,
    /// The type of service (for IPv6 the traffic class), without the bits of ECN; 0 for any.
    pub tos: u8,
    /// The number of the protocol above IP.
    pub protocol: Option<u8>,
    /// The first and the last port that packets come from.
    pub source_ports: Option<(u16, u16)>,
    /// The first and the last port that packets go to.
    pub destination_ports: Option<(u16, u16)>,
    /// The first and the last user whose sockets are meant.
    pub users: Option<(u32, u32)>,
    /// Whether the table is that of the VRF that packets belong to.
    pub vrf: bool,
    /// The place of the rule to go on with.
    pub goto: Option<u32>,
}

impl PolicyRule {
    /// Whether the kernel has a rule of its own at this place, of the family that this one is of: that of the local table, the main one, and
    /// the default one.
    pub const fn is_kernels_place(&self, priority: u32) -> bool {
        matches!(priority, 0 | 32766) || priority == 32767 && !self.is_ipv6
    }

    /// Whether `by` goes on with this one: its `goto` names this place, and both are of one family.
    pub fn is_target_of(&self, by: &Self) -> bool {
        by.is_ipv6 == self.is_ipv6 && by.goto == Some(self.priority)
    }
}

/// What happens when the carrier goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CarrierPolicy {
    /// Static addresses and routes.
    pub fixed: CarrierUse,
    /// What DHCP and routers supplied.
    pub supplied: CarrierUse,
}

impl Default for CarrierPolicy {
    fn default() -> Self {
        Self {
            fixed: CarrierUse::Ignore,
            supplied: CarrierUse::Grace(Duration::from_secs(3)),
        }
    }
}

/// How much the carrier counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CarrierUse {
    /// Not at all: items stay, and are applied without it.
    Ignore,
    /// Items that are there stay this long without it; zero takes them at once.
    Grace(Duration),
}
