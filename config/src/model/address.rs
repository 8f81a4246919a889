//! What is a static address? [`StaticAddress`]: its number, what else the kernel is to know of it, and what is done about others
//! that have it too.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use super::Prefix;

/// A static address of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaticAddress {
    /// The address, with the length of its network.
    pub prefix: Prefix,
    /// What the kernel is to know of it beside that.
    pub attributes: AddressAttributes,
    /// Whether connections that name no address may begin with it.
    pub preferred: bool,
    /// Whether the kernel makes a route for its network.
    pub prefix_route: bool,
    /// The metric of that route; `None` for the profile's.
    pub metric: Option<u32>,
    /// What is done about others that have it too.
    pub conflicts: ConflictUse,
}

impl From<Prefix> for StaticAddress {
    fn from(prefix: Prefix) -> Self {
        Self {
            prefix,
            attributes: AddressAttributes::default(),
            preferred: true,
            prefix_route: true,
            metric: None,
            conflicts: ConflictUse::default(),
        }
    }
}

impl StaticAddress {
    /// Returns the network that neighbours are in: the other end's, where there is one.
    pub fn network(&self) -> Prefix {
        self.attributes.network(self.prefix)
    }
}

/// What an address is beside its number. Few have any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddressAttributes {
    /// The address of the other end, of the same family.
    pub peer: Option<IpAddr>,
    /// What old programs call it, of IPv4 alone; `None` for the link's name.
    pub label: Option<AddressLabel>,
    /// How far it is known, of IPv4 alone; `None` for what is usual of such addresses.
    pub scope: Option<AddressScope>,
    /// Whether the kernel does not ask whether somebody has it (`IFA_F_NODAD`), of IPv6 alone.
    pub skips_dad: bool,
}

impl AddressAttributes {
    /// Returns the network that an address with these attributes leads to.
    pub fn network(&self, own: Prefix) -> Prefix {
        let address = self.peer.unwrap_or(own.address);
        Prefix { address, ..own }.network()
    }
}

/// The longest label (`IFNAMSIZ` less its end), in octets.
pub const MAX_LABEL: usize = 15;

/// What old programs call an IPv4 address; valid by construction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressLabel {
    octets: [u8; MAX_LABEL],
    length: u8,
}

impl AddressLabel {
    /// Makes a label of at most [`MAX_LABEL`] printable ASCII octets without spaces; `None` of anything else.
    pub fn new(text: &str) -> Option<Self> {
        let mut octets = [0; MAX_LABEL];
        octets
            .get_mut(..text.len())?
            .copy_from_slice(text.as_bytes());
        let is_good = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic());
        let length = u8::try_from(text.len()).ok()?;
        is_good.then_some(Self { octets, length })
    }

    /// Returns its text.
    pub fn as_str(&self) -> &str {
        let text = self.octets.get(..self.length.into()).unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }
}

impl fmt::Debug for AddressLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for AddressLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far an IPv4 address is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressScope {
    /// Everywhere.
    Global,
    /// On the link.
    Link,
    /// On this machine.
    Host,
}

impl AddressScope {
    /// Returns what is usual of an address.
    pub const fn usual(address: Ipv4Addr) -> Self {
        if address.is_loopback() {
            Self::Host
        } else if address.is_link_local() {
            Self::Link
        } else {
            Self::Global
        }
    }

    /// Returns the kernel's number (`RT_SCOPE_…`).
    pub const fn number(self) -> u8 {
        match self {
            Self::Global => 0,
            Self::Link => 253,
            Self::Host => 254,
        }
    }

    /// Returns the scope of a number; `None` of one that nobody can ask for here.
    pub const fn of(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Global),
            253 => Some(Self::Link),
            254 => Some(Self::Host),
            _ => None,
        }
    }

    /// Returns its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Link => "link",
            Self::Host => "host",
        }
    }
}

/// What is done about others that have a static address too (RFC 5227; of IPv6 the kernel does what RFC 4862 §5.4 says, or
/// nothing).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConflictUse {
    /// Nothing: nobody is asked, nobody is told.
    Ignore,
    /// Neighbours are told that it is here.
    Announce,
    /// Neighbours are asked for it beside its use, and told.
    #[default]
    Check,
    /// The same, and what they say is listened to as long as it is here.
    Watch,
    /// They are asked before it is used, for less than a second; it goes when somebody else goes on using it.
    Probe,
    /// They are asked for as long as RFC 5227 says.
    ProbeCarefully,
}

impl ConflictUse {
    /// Whether neighbours are asked.
    pub const fn asks(self) -> bool {
        match self {
            Self::Ignore | Self::Announce => false,
            Self::Check | Self::Watch | Self::Probe | Self::ProbeCarefully => true,
        }
    }

    /// Whether neighbours are listened to as long as the address is used.
    pub const fn watches(self) -> bool {
        match self {
            Self::Ignore | Self::Announce | Self::Check => false,
            Self::Watch | Self::Probe | Self::ProbeCarefully => true,
        }
    }

    /// Whether the address is used only when nobody else has it.
    pub const fn yields(self) -> bool {
        match self {
            Self::Ignore | Self::Announce | Self::Check | Self::Watch => false,
            Self::Probe | Self::ProbeCarefully => true,
        }
    }

    /// Returns its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Announce => "announce",
            Self::Check => "check",
            Self::Watch => "watch",
            Self::Probe => "probe",
            Self::ProbeCarefully => "probe-carefully",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_what_the_kernel_keeps_whole() {
        for text in ["a", "eth0:web", "123456789012345"] {
            let label = AddressLabel::new(text);
            assert_eq!(label.map(|label| label.to_string()).as_deref(), Some(text));
        }
        for text in ["", "1234567890123456", "a b", "ä", "a\u{7f}"] {
            assert_eq!(AddressLabel::new(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_of_scopes_are_read_as_they_are_written() {
        for scope in [AddressScope::Global, AddressScope::Link, AddressScope::Host] {
            assert_eq!(AddressScope::of(scope.number()), Some(scope));
        }
        assert_eq!(AddressScope::of(200), None);
    }
}
