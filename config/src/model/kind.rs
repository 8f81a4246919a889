//! What link does a profile make? [`VirtualLink`]: its kind, what it stands on, its ports and its attributes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use zeroize::{Zeroize as _, Zeroizing};

use super::{Hop, MacsecSettings, PolicyRule, Prefix, Route, RouteKind, RouteTuning};
use crate::kind::{LinkKind, Value};
use crate::name::DomainName;
use crate::pin::{PREFIX, Pin};

/// `[link]`: a link that linnet makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualLink {
    /// What it is.
    pub kind: LinkKind,
    /// Its name: 1 to 15 octets.
    pub name: Arc<str>,
    /// The link that it stands on.
    pub parent: Option<Arc<str>>,
    /// The name of its other end.
    pub peer: Option<Arc<str>>,
    /// What is said of it, by the names of the kind's attributes.
    pub attributes: BTreeMap<&'static str, Value>,
    /// Its ports by name.
    pub ports: BTreeMap<Arc<str>, PortSettings>,
    /// VLANs of a bridge itself.
    pub vlans: BTreeMap<u16, VlanUse>,
    /// Keys and peers.
    pub wireguard: Option<Arc<WireguardSettings>>,
    /// Associations with their keys.
    pub macsec: Option<Arc<MacsecSettings>>,
}

impl VirtualLink {
    /// Returns the names of the links that must be there before it can be: parent and ports.
    pub fn below(&self) -> impl Iterator<Item = &Arc<str>> {
        let primary = self.attributes.values().filter_map(|value| match value {
            Value::Link(name) => Some(name),
            Value::Number(_)
            | Value::Switch(_)
            | Value::Word(_)
            | Value::Time(_)
            | Value::Address(_)
            | Value::Addresses(_)
            | Value::Mac(_)
            | Value::Pairs(_)
            | Value::PortRange(..) => None,
        });
        self.parent.iter().chain(self.ports.keys()).chain(primary)
    }
}

impl VirtualLink {
    /// Returns the files that its keys are in.
    pub fn key_files(&self) -> impl Iterator<Item = &Arc<str>> {
        let associations = self.macsec.iter();
        let associations = associations.flat_map(|settings| settings.key_files());
        let settings = self.wireguard.iter();
        let of_tunnel = settings.flat_map(|settings| {
            let peers = settings.peers.values();
            let beside = peers.filter_map(|peer| peer.preshared_key.as_ref());
            let sources = std::iter::once(&settings.private_key).chain(beside);
            sources.filter_map(SecretSource::file)
        });
        of_tunnel.chain(associations)
    }
}

/// What is said of a port.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PortSettings {
    /// By the names of the kind's attributes of ports.
    pub attributes: BTreeMap<&'static str, Value>,
    /// VLANs of a bridge's port; empty leaves them to the bridge.
    pub vlans: BTreeMap<u16, VlanUse>,
}

/// How a port is a member of a VLAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct VlanUse {
    /// Whether frames leave without the tag.
    pub untagged: bool,
    /// Whether frames without a tag belong to it.
    pub pvid: bool,
}

/// 32 octets that nobody is shown, and that are overwritten when they are let go of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secret(pub [u8; 32]);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Secret {
    /// Reads a key as `wg genkey` writes it; `None` when it is none. White space around it counts for nothing.
    pub fn of_base64(text: &str) -> Option<Self> {
        read_key(text.trim()).map(Self)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(crate::secret::MASK)
    }
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In the profile.
    Said(Secret),
    /// In a file, in base64, that root alone may read.
    File(Arc<str>),
}

impl SecretSource {
    /// Returns the file that it is in.
    pub const fn file(&self) -> Option<&Arc<str>> {
        match self {
            Self::Said(_) => None,
            Self::File(path) => Some(path),
        }
    }
}

/// A peer's key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Reads a key as `wg pubkey` writes it; `None` when it is none.
    pub fn of_base64(text: &str) -> Option<Self> {
        read_key(text).map(Self)
    }
}

/// Reads a key of WireGuard: 32 octets in base64, 44 characters.
pub(crate) fn read_key(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_suffix('=')?;
    let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + digits.len()));
    text.push_str(PREFIX);
    text.push_str(digits);
    let pin: Pin = text.parse().ok()?;
    Some(pin.0)
}

impl fmt::Display for PublicKey {
    /// Writes base64, as `wg show` does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pin = Pin(self.0).to_string();
        f.write_str(pin.strip_prefix(PREFIX).unwrap_or_default())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Keys and peers of a link of kind `wireguard`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireguardSettings {
    /// This side's key.
    pub private_key: SecretSource,
    /// The port of UDP; 0 lets the kernel draw one.
    pub listen_port: u16,
    /// The mark of the tunnel's own packets; 0 for none.
    pub mark: u32,
    /// The peers by their keys.
    pub peers: BTreeMap<PublicKey, PeerSettings>,
}

/// One of `[[peers]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerSettings {
    /// A secret beside the keys.
    pub preshared_key: Option<SecretSource>,
    /// Where it is reached.
    pub endpoint: Option<Endpoint>,
    /// The networks that are behind it.
    pub allowed: BTreeSet<Prefix>,
    /// How often an empty packet keeps the way open; zero never does.
    pub keepalive: Duration,
    /// Whether what is allowed gets routes.
    pub routes: bool,
    /// The metric of those routes.
    pub metric: Option<u32>,
}

/// Where a peer is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// The host.
    pub host: EndpointHost,
    /// The port of UDP.
    pub port: u16,
}

/// The host of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndpointHost {
    /// Known by its address.
    Address(IpAddr),
    /// To be resolved, in the scope of the network below the tunnel.
    Name(DomainName),
}

/// The table and mark of a full tunnel whose profile names none.
const FULL_TUNNEL: u32 = 51_820;
/// Rules of a full tunnel come right before that of the main table.
const FULL_TUNNEL_PRIORITY: u32 = 32_700;

impl WireguardSettings {
    /// Whether a peer may have all addresses of a family, with routes.
    pub fn is_full(&self) -> bool {
        self.takes_all(false) || self.takes_all(true)
    }

    /// Returns the mark of the tunnel's own packets; a full tunnel has one of its own when none is said, lest its packets enter itself.
    pub fn mark_in_force(&self) -> u32 {
        if self.mark == 0 && self.is_full() {
            FULL_TUNNEL
        } else {
            self.mark
        }
    }

    /// Returns the routes of what peers are allowed; those of a full tunnel in the table that has the mark's number.
    pub fn routes(&self) -> Vec<Route> {
        let mut routes = Vec::new();
        for peer in self.peers.values().filter(|peer| peer.routes) {
            for prefix in &peer.allowed {
                let is_all = prefix.length == 0;
                routes.push(Route {
                    to: prefix.network(),
                    kind: RouteKind::Unicast,
                    via: Vec::<Hop>::new(),
                    on_link: false,
                    metric: peer.metric,
                    table: is_all.then(|| self.mark_in_force()),
                    source: None,
                    mtu: None,
                    from: None,
                    tuning: RouteTuning::default(),
                });
            }
        }
        routes
    }

    /// Whether all addresses of a family go to some peer, by routes.
    pub fn takes_all(&self, is_ipv6: bool) -> bool {
        let peers = self.peers.values().filter(|peer| peer.routes);
        let mut allowed = peers.flat_map(|peer| &peer.allowed);
        allowed.any(|prefix| prefix.length == 0 && prefix.address.is_ipv6() == is_ipv6)
    }

    /// Returns the rule by which answers to who came in by another link leave by that link: `address` is that link's.
    pub fn rule_for(address: IpAddr) -> PolicyRule {
        PolicyRule {
            priority: FULL_TUNNEL_PRIORITY - 1,
            is_ipv6: address.is_ipv6(),
            from: Some(Prefix {
                address,
                length: if address.is_ipv6() { 128 } else { 32 },
            }),
            table: Some(MAIN_TABLE),
            ..PolicyRule::default()
        }
    }

    /// Returns the rules of a full tunnel: the main table decides where it has more than a default route; else what the
    /// tunnel did not send itself goes into it.
    pub fn rules(&self) -> Vec<PolicyRule> {
        let mark = self.mark_in_force();
        let families = [false, true].into_iter();
        let families = families.filter(|is_ipv6| self.takes_all(*is_ipv6));
        let mut rules = Vec::new();
        for is_ipv6 in families {
            let rule = PolicyRule {
                priority: FULL_TUNNEL_PRIORITY,
                is_ipv6,
                table: Some(MAIN_TABLE),
                suppress_length: Some(0),
                ..PolicyRule::default()
            };
            let into = PolicyRule {
                priority: FULL_TUNNEL_PRIORITY + 1,
                mark: Some((mark, u32::MAX)),
                table: Some(mark),
                suppress_length: None,
                invert: true,
                ..rule.clone()
            };
            rules.extend([rule, into]);
        }
        rules
    }
}

/// `RT_TABLE_MAIN`.
const MAIN_TABLE: u32 = 254;
