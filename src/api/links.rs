//! Links as the control interface tells them, and what can be asked of them.

use serde::{Deserialize, Serialize};

/// A link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// `ifindex`.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Whether it can carry packets.
    pub up: bool,
    /// Its addresses with prefix lengths.
    pub addresses: Vec<String>,
    /// The profile that governs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The link that it is a port of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_of: Option<String>,
    /// Whether it has an IP default route, and its metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_route_metric: Option<u32>,
    /// What was told of it by command: `up`, `down`, `release`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
    /// What should be there by the plan, and how far each thing is; nothing for a link that is only observed.
    #[serde(default)]
    pub items: Vec<ItemStatus>,
    /// What its network supplies.
    #[serde(default)]
    pub supplies: Vec<SupplyStatus>,
    /// How far each family gets through it, where that is found out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reach: Vec<super::ReachStatus>,
    /// The portal of its network, when that announces one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal: Option<super::PortalStatus>,
    /// What is at the other end of its cable, by LLDP.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cable: Vec<CableStatus>,
    /// The peers of a tunnel that a profile makes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<PeerStatus>,
    /// The associations of a link of kind `macsec` that a profile makes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub associations: Vec<AssociationStatus>,
}

/// A link that a profile makes, and that is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmadeStatus {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The profile that makes it.
    pub profile: String,
    /// Whether it is made without being told so.
    pub autoconnect: bool,
    /// What was told of it by command: `up`, `down`, `release`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
}

/// A static association of MACsec.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssociationStatus {
    /// Who it is received from; the one that sends has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Its number.
    pub number: u8,
    /// How it is, in words.
    pub state: String,
}

/// A peer of a tunnel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Its key.
    pub public_key: String,
    /// The name by which the profile knows where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it was when the kernel was asked or told last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// How it is with its name, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// A machine at the other end of a cable, as it says itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CableStatus {
    /// Which machine it is: a hardware address, an address, a name.
    pub chassis: String,
    /// Which of its ports the cable is in.
    pub port: String,
    /// What that port is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_description: Option<String>,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it does: `bridge`, `router`, `telephone`.
    pub capabilities: Vec<String>,
    /// Where it is managed.
    pub addresses: Vec<String>,
    /// The VLAN of frames without a tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// The longest frame that it takes, in octets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_frame: Option<u16>,
}

/// What kind of thing an item is; kinds may be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemKind {
    /// What a link has one value of.
    Setting,
    /// An address of a link.
    Address,
    /// A route.
    Route,
    /// A rule.
    Rule,
    /// What a newer daemon knows; never said by this one.
    #[serde(other)]
    Unknown,
}

/// One thing that should be in the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemStatus {
    /// Its kind; an older daemon does not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ItemKind>,
    /// What, in words of iproute2: `address 192.0.2.7/24`.
    pub item: String,
    /// `waiting`, `ours`, `adopted`, `foreign`, `link-down`, `overridden`, `changed`, `taken`, `duplicate`, `probing`, `unasked`, `conflict`,
    /// `failed`.
    pub state: String,
    /// Why, for those that are not as they should be; of a rule that is `adopted`, who has made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What a network supplies through one supplier.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupplyStatus {
    /// `dhcp4`, `dhcp6`, `ra`, `ipv4ll`.
    pub supplier: String,
    /// The state of the client, in the words of its RFC; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Who supplies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Whether it is a BOOTP server, whose addresses have no end.
    #[serde(default)]
    pub bootp: bool,
    /// Addresses with prefix lengths.
    pub addresses: Vec<String>,
    /// Routes: where to, and through whom.
    pub routes: Vec<String>,
    /// Prefixes to hand on.
    pub delegated: Vec<String>,
    /// Resolvers.
    pub upstreams: Vec<String>,
    /// Search suffixes.
    pub search: Vec<String>,
    /// Time servers.
    #[serde(default)]
    pub time_servers: Vec<String>,
    /// The address of a portal's API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal: Option<String>,
    /// Options that the profile asks for by number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<OptionStatus>,
    /// Whether nobody has confirmed it in this place yet.
    pub unconfirmed: bool,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// When it is asked for again, in milliseconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_ms: Option<u64>,
    /// When it is over, in milliseconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
}

/// An option of DHCP that was asked for by number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptionStatus {
    /// Its number.
    pub number: u16,
    /// Its octets, as `01:0a`.
    pub octets: String,
    /// The same as text, where it is printable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Parameters of `Up`, `Down`, `Adopt`, `Release` and `Renew`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkParameters {
    /// The link's name.
    pub link: String,
}

/// Result of `Plan`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanReply {
    /// The plan's number.
    pub generation: u64,
    /// What should be in the kernel, a line for each thing.
    pub lines: Vec<String>,
}
