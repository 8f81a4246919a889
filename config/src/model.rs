//! What does the configuration mean? The checked model: everything here is valid by construction.
//!
//! `raw` says what the user wrote; `check` turns it into these types. Nothing here keeps spans or file names: what is
//! wrong has been reported by then.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

pub use crate::listener::{ListenerConfig, ListenerStub};
use crate::matcher::LinkMatch;
use crate::name::DomainName;
use crate::observing::Observing;
use crate::pin::Pin;

mod address;
mod connectivity;
mod dhcp;
mod hardware;
mod kind;
mod local;
mod macsec;
mod neighbours;
mod network;
mod service;

pub use address::{
    AddressAttributes, AddressLabel, AddressScope, ConflictUse, MAX_LABEL, StaticAddress,
};
pub use connectivity::{CheckUse, ConnectivityConfig};
pub use dhcp::{BootpUse, DnsUpdate, OwnOptions};
pub use hardware::{Hardware, HardwareSettings, LinkMode, OFFLOADS, Offload, WAKE_WORDS};
pub(crate) use kind::read_key;
pub use kind::{
    Endpoint, EndpointHost, PeerSettings, PortSettings, PublicKey, Secret, SecretSource,
    VirtualLink, VlanUse, WireguardSettings,
};
pub use local::{BlockAction, BlockError, Dns64, ListConfig, ListFormat, Mapping, Record};
pub use macsec::{ChannelId, MacsecSettings, SendingAssociation};
pub use neighbours::{LlmnrMode, MdnsMode};
pub use network::{
    AddressGeneration, CarrierPolicy, CarrierUse, ClientId, DefaultRouteUse, DelegatedUse,
    Dhcp4Settings, Dhcp6Settings, Dhcp6When, DuidUse, Hop, HostnameUse, Identity, Ipv4llMode,
    MacUse, NetworkSettings, PolicyRule, Privacy, RaSettings, RaUse, Route, RouteKind, RouteTuning,
    Take,
};
pub use service::{Service, ServiceName, ServiceProtocol};

/// The whole configuration, immutable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// Whether files are read by themselves when they change.
    pub autoload: bool,
    /// `[resolver]`.
    pub resolver: ResolverConfig,
    /// `[links]`.
    pub links: LinksConfig,
    /// `[connectivity]`.
    pub connectivity: ConnectivityConfig,
    /// `[[listeners]]`.
    pub listeners: Vec<ListenerConfig>,
    /// `[metrics]`, `[dnstap]` and `[log]`.
    pub observing: Observing,
    /// `profiles/*.toml`, by id.
    pub profiles: BTreeMap<ProfileId, Profile>,
    /// Files of profiles that have errors, with the links that they are for; `None` where that cannot be read either. What
    /// they want is not known, so that these links stay as they are.
    pub broken: BTreeMap<ProfileId, Option<LinkMatch>>,
    /// `[[records]]` of all files.
    pub records: Vec<Record>,
    /// `[[lists]]` of all files, in the order in which they decide.
    pub lists: Vec<ListConfig>,
    /// `[[services]]` of all files.
    pub services: Vec<Service>,
}

/// `[resolver]`: the stub, and the default scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolverConfig {
    /// Whether the stub listens at all.
    pub enabled: bool,
    /// Where the stub listens, UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// Where the bypass stub listens: no search, no synthesis, no validation.
    pub listen_bypass: Vec<SocketAddr>,
    /// Threads that answer from the cache at each address; none leaves that to the loop.
    pub threads: usize,
    /// Who writes `/etc/resolv.conf`.
    pub resolv_conf: ResolvConfMode,
    /// Upstreams of the default scope; they come before those of any link.
    pub upstreams: Vec<Upstream>,
    /// Search suffixes of the whole machine, tried after those of the links.
    pub search: Vec<DomainName>,
    /// How an upstream is chosen, where a profile does not say.
    pub selection: Selection,
    /// Validation, where a profile does not say.
    pub dnssec: DnssecMode,
    /// The least that a transport must give, where a profile does not say.
    pub transport: TransportFloor,
    /// Whether `/etc/hosts` answers.
    pub hosts: bool,
    /// Bytes that all caches together may take.
    pub cache_size: u64,
    /// Bytes that keys, cuts and verdicts may take besides.
    pub dnssec_cache_size: u64,
    /// How long after their time answers may be given when their upstreams are silent or fail; zero for never.
    pub serve_stale: Duration,
    /// Whether names that are asked for again and again are asked anew before their answers run out.
    pub prefetch: bool,
    /// Whether a proof that names do not exist counts for the others that it covers (RFC 8198).
    pub aggressive_nsec: bool,
    /// Whether RSASHA1 and DS by SHA-1 count.
    pub dnssec_sha1: bool,
    /// When names that nobody claims are resolved from the root down, where a profile does not say.
    pub recursion: RecursionMode,
    /// Servers of a root of one's own; none for the public root's.
    pub root_servers: Vec<IpAddr>,
    /// Directory or file of trust anchors that replaces the built-in ones.
    pub trust_anchors: Option<String>,
    /// Whether the anchors follow the keys that their zones publish (RFC 5011).
    pub trust_anchor_rollover: bool,
    /// Whether plain upstreams are asked for encrypted forms of theirs (RFC 9462).
    pub discover_encrypted: bool,
    /// Whether HTTPS upstreams are asked by HTTP/3 where that gets through.
    pub http3: bool,
    /// File or directory of certificates of authorities that replaces the system's.
    pub tls_roots: Option<String>,
    /// Multicast DNS on ordinary links, where a profile does not say.
    pub mdns: MdnsMode,
    /// LLMNR on ordinary links, where a profile does not say.
    pub llmnr: LlmnrMode,
    /// DNS64 for names that nobody claims, where a profile does not say.
    pub dns64: Dns64,
    /// Whether names that nobody claims may not have addresses of private networks.
    pub rebinding_protection: bool,
    /// Names, with all below them, that may have them all the same.
    pub rebinding_exceptions: Vec<DomainName>,
}

impl Default for ResolverConfig {
    fn default() -> Self {
        let port = crate::DNS_PORT;
        Self {
            enabled: true,
            listen: vec![SocketAddr::from((Ipv4Addr::new(127, 0, 0, 53), port))],
            listen_bypass: vec![SocketAddr::from((Ipv4Addr::new(127, 0, 0, 54), port))],
            threads: 1,
            resolv_conf: ResolvConfMode::Unmanaged,
            upstreams: Vec::new(),
            search: Vec::new(),
            selection: Selection::Ordered,
            dnssec: DnssecMode::Auto,
            transport: TransportFloor::Any,
            hosts: true,
            cache_size: 8 << 20,
            dnssec_cache_size: 4 << 20,
            serve_stale: Duration::from_secs(86_400),
            prefetch: true,
            aggressive_nsec: true,
            dnssec_sha1: true,
            recursion: RecursionMode::Auto,
            root_servers: Vec::new(),
            trust_anchors: None,
            trust_anchor_rollover: true,
            discover_encrypted: false,
            http3: false,
            tls_roots: None,
            mdns: MdnsMode::Resolve,
            llmnr: LlmnrMode::Off,
            dns64: Dns64::Auto,
            rebinding_protection: false,
            rebinding_exceptions: Vec::new(),
        }
    }
}

/// Who writes `/etc/resolv.conf`, and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResolvConfMode {
    /// Never touched; read only to learn the machine's own servers.
    #[default]
    Unmanaged,
    /// It names the stub.
    Stub,
    /// It names the upstreams of the default scope.
    Uplink,
}

/// How an upstream is chosen within a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// The first of the list that works; an earlier one that recovers is taken again.
    #[default]
    Ordered,
    /// The one with the least round-trip time.
    Fastest,
    /// The two with the least, both at once; the first good reply wins.
    Hedged,
}

/// When names are resolved from the root down, without upstreams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecursionMode {
    /// When nobody replies, or what they reply is not to be believed.
    #[default]
    Auto,
    /// First of all; upstreams are asked when that fails.
    Always,
    /// Never.
    Never,
}

/// What validation does in a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DnssecMode {
    /// [`Self::Enforce`] where the scope's upstreams have proven that they let signatures through, else [`Self::Observe`].
    #[default]
    Auto,
    /// Bogus answers are refused.
    Enforce,
    /// Verdicts are counted and reported; answers are served.
    Observe,
    /// No validation.
    Off,
}

/// The least that a transport must give before a scope uses an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransportFloor {
    /// Plain UDP and TCP will do.
    #[default]
    Any,
    /// They will do, where there is no TLS; who is at the other end of it, nobody asks (RFC 7858 §4.1).
    Opportunistic,
    /// Only TLS, HTTPS and QUIC.
    Encrypted,
}

/// `[links]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinksConfig {
    /// Which links linnet may write to.
    pub manage: Manage,
    /// Whether any link may get a default route from linnet.
    pub default_route: bool,
    /// Whether the carrier counts, where a profile does not say.
    pub carrier: bool,
    /// What stays when linnetd ends.
    pub stop: StopUse,
}

/// What stays when linnetd ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopUse {
    /// Everything as it is.
    Release,
    /// Addresses, routes and rules; settings of the kernel are given back, so that it goes on by itself.
    #[default]
    Detach,
    /// Nothing that is ours.
    Clean,
}

impl Default for LinksConfig {
    fn default() -> Self {
        Self {
            manage: Manage::Matched,
            default_route: true,
            carrier: true,
            stop: StopUse::Detach,
        }
    }
}

/// Which links linnet may write to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manage {
    /// Links that a profile matches.
    #[default]
    Matched,
    /// None: observe only.
    None,
}

/// A profile's id: its file's name without `.toml`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct ProfileId(pub Arc<str>);

impl fmt::Display for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the user wants for the links that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The file's name.
    pub id: ProfileId,
    /// Which links it governs; `None` for a profile of names alone, tied to no link.
    pub matches: Option<LinkMatch>,
    /// `[dns]`.
    pub dns: DnsSettings,
    /// `addresses`, `dhcp4`, `dhcp6`, `ra`, `[[routes]]`: checked here, applied by the link manager.
    pub network: NetworkSettings,
    /// `[link]`: the link that linnet makes.
    pub link: Option<VirtualLink>,
    /// `[[records]]`: answered on this machine while a link of the profile is up.
    pub records: Vec<Record>,
}

impl Profile {
    /// Whether anything is wanted of links, so that they are written to; a profile of names alone leaves them as they are.
    pub fn touches(&self) -> bool {
        self.link.is_some() || self.network.touches()
    }
}

/// What one owner wants of DNS: `[dns]` of a profile, or a claim made at run time.
///
/// The same type whoever says it, so that `policy` has one rule for all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DnsSettings {
    /// Whom to ask, in order.
    pub upstreams: Vec<Upstream>,
    /// Suffixes that are asked here and nowhere else.
    pub claims: Vec<DomainName>,
    /// Suffixes appended to single labels.
    pub search: Vec<DomainName>,
    /// Suffixes that go where they would go without these settings.
    pub exclude: Vec<DomainName>,
    /// Whether names that nobody claims may come here.
    pub default: DefaultUse,
    /// What happens to the claims while the link is down or absent.
    pub when_down: WhenDown,
    /// Higher wins among equal suffixes.
    pub priority: i32,
    /// Validation; `None` as `[resolver]` says.
    pub dnssec: Option<DnssecMode>,
    /// Transport floor; `None` as `[resolver]` says.
    pub transport: Option<TransportFloor>,
    /// Selection; `None` as `[resolver]` says.
    pub selection: Option<Selection>,
    /// Recursion; `None` as `[resolver]` says.
    pub recursion: Option<RecursionMode>,
    /// Multicast DNS on the owner's links; `None` as `[resolver]` says.
    pub mdns: Option<MdnsMode>,
    /// LLMNR on the owner's links; `None` as `[resolver]` says.
    pub llmnr: Option<LlmnrMode>,
    /// DNS64; `None` as `[resolver]` says for names that nobody claims, else off.
    pub dns64: Option<Dns64>,
}

/// Whether names that nobody claims may come to a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DefaultUse {
    /// As the claims say: no when there are any, else yes.
    #[default]
    Auto,
    /// Yes, when the link's rank is the best.
    Yes,
    /// No: claimed names only.
    No,
    /// All of them: a full tunnel.
    Exclusive,
}

/// What happens to claims while their link is down or absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenDown {
    /// As [`WhenDown::Refuse`] for claims, and for an exclusive default while the link is there but down; an exclusive
    /// default whose link is absent is let go, so that a laptop without its VPN still resolves.
    #[default]
    Auto,
    /// Claimed names, and all names of an exclusive default, are refused: a kill switch.
    Refuse,
    /// They go where they would go without the claim.
    Release,
}

/// One resolver to forward to, with transport and identity.
///
/// Written `192.0.2.1`, `192.0.2.1:5353`, `[2001:db8::1]:53`, `fe80::1%eth0`, `tls://192.0.2.1#dns.example`,
/// `https://dns.example/dns-query@192.0.2.1`, `h3://dns.example/dns-query@192.0.2.1`, `quic://192.0.2.1#dns.example`, each encrypted one with `?pin=sha256/…` after
/// the address; `Display` writes the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Upstream {
    /// The address; encrypted upstreams are given by address too, so that no name must be looked up first.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// The link of a link-local address.
    pub zone: Option<Arc<str>>,
    /// How to speak to it.
    pub transport: Transport,
    /// The name in its certificate.
    pub server_name: Option<Arc<str>>,
    /// The path of an HTTPS upstream.
    pub path: Option<Arc<str>>,
    /// Its keys: one of these, whoever vouches for it; an empty list stands for any key. `None` leaves it to the certificate.
    pub pins: Option<Arc<[Pin]>>,
}

impl Upstream {
    /// Makes a plain upstream at port 53.
    pub fn plain(address: IpAddr) -> Self {
        Self {
            address,
            port: Transport::Plain.default_port(),
            zone: None,
            transport: Transport::Plain,
            server_name: None,
            path: None,
            pins: None,
        }
    }

    /// Returns the same server by TLS, whoever that is.
    pub fn opportunistic(&self) -> Self {
        Self {
            port: Transport::Tls.default_port(),
            transport: Transport::Tls,
            pins: Some(Arc::new([])),
            ..self.clone()
        }
    }

    /// Returns the same HTTPS server by HTTP/3, at the same port (RFC 9114 §3.1).
    pub fn by_http3(&self) -> Option<Self> {
        (self.transport == Transport::Https).then(|| Self {
            transport: Transport::H3,
            ..self.clone()
        })
    }

    /// Whether anybody at its address is believed, though what he is told is encrypted.
    pub fn is_anybody(&self) -> bool {
        self.server_name.is_none() && self.pins.as_ref().is_some_and(|pins| pins.is_empty())
    }
}

/// How to speak to an upstream.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// UDP, and TCP when an answer is truncated.
    Plain,
    /// TCP alone (RFC 7766), for ways that datagrams do not take. Upstreams only.
    Tcp,
    /// DNS over TLS (RFC 7858).
    Tls,
    /// DNS over HTTPS (RFC 8484), by HTTP/2.
    Https,
    /// The same by HTTP/3 (RFC 9114).
    H3,
    /// DNS over QUIC (RFC 9250).
    Quic,
}

impl Transport {
    /// Returns the port where none is written.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Plain | Self::Tcp => crate::DNS_PORT,
            Self::Tls | Self::Quic => 853,
            Self::Https | Self::H3 => 443,
        }
    }

    /// Returns the word for it, which is its scheme where it has one.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Https => "https",
            Self::H3 => "h3",
            Self::Quic => "quic",
        }
    }

    /// Whether nobody on the way can read it.
    pub const fn is_encrypted(self) -> bool {
        match self {
            Self::Plain | Self::Tcp => false,
            Self::Tls | Self::Https | Self::H3 | Self::Quic => true,
        }
    }

    /// Whether it goes by HTTP, so that there is a path.
    pub const fn is_http(self) -> bool {
        match self {
            Self::Https | Self::H3 => true,
            Self::Plain | Self::Tcp | Self::Tls | Self::Quic => false,
        }
    }

    /// Whether it goes by QUIC.
    pub const fn is_quic(self) -> bool {
        match self {
            Self::Quic | Self::H3 => true,
            Self::Plain | Self::Tcp | Self::Tls | Self::Https => false,
        }
    }
}

/// An address with the length of its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// The address, host bits kept.
    pub address: IpAddr,
    /// The length of the network part, in bits.
    pub length: u8,
}

impl Prefix {
    /// Returns the network: the host bits are cleared.
    #[must_use]
    pub fn network(self) -> Self {
        let length = u32::from(self.length);
        let address = match self.address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX
                    .checked_shl(32_u32.saturating_sub(length))
                    .unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX
                    .checked_shl(128_u32.saturating_sub(length))
                    .unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
        };
        Self { address, ..self }
    }
}

impl Prefix {
    /// Whether an address is within the network.
    pub fn contains(self, address: IpAddr) -> bool {
        let other = Self { address, ..self };
        self.address.is_ipv4() == address.is_ipv4()
            && self.network().address == other.network().address
    }

    /// Whether all of another network is within this one.
    pub fn covers(self, other: Self) -> bool {
        other.length >= self.length && self.contains(other.address)
    }

    /// The length of a prefix of one host: 32 or 128.
    pub const fn host_length(self) -> u8 {
        match self.address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}
