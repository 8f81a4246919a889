//! What is answered on this machine, and how answers are changed: records, lists, DNS64.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::Prefix;
use crate::name::DomainName;

/// One of `[[records]]`: the data of one type at one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The owner, without the `*` of a wildcard.
    pub name: DomainName,
    /// Whether all names below [`Record::name`] are meant (RFC 4592), and not itself.
    pub wildcard: bool,
    /// TYPE.
    pub record_type: u16,
    /// RDATA in wire form, each once.
    pub data: Vec<Box<[u8]>>,
    /// TTL in seconds.
    pub ttl: u32,
    /// Whether types that the name does not have here are asked for elsewhere.
    pub pass_on: bool,
    /// Whether the addresses point back to the name.
    pub reverse: bool,
}

/// One of `[[lists]]`: a file of names, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListConfig {
    /// What it is called, in answers and in `linnet status`.
    pub name: String,
    /// Its file; within the administrator's directory when it is not absolute.
    pub path: String,
    /// How the file is written.
    pub format: ListFormat,
    /// What becomes of its names; `None` as an RPZ file says, else NXDOMAIN.
    pub action: Option<BlockAction>,
    /// Whether names below a listed one are meant too; `None` as the format has it.
    pub subdomains: Option<bool>,
    /// What the answer says of the reason.
    pub error: BlockError,
    /// Names, with all below them, that it does not touch.
    pub exceptions: Vec<DomainName>,
    /// Whose scopes it holds in, profile ids and `default`; empty for everywhere.
    pub scopes: Vec<String>,
}

/// How a file of names is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListFormat {
    /// A name a line, with all names below it.
    #[default]
    Domains,
    /// As hosts(5): an address, and names that are meant exactly.
    Hosts,
    /// A response policy zone, its QNAME triggers.
    Rpz,
}

/// What becomes of a listed name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockAction {
    /// It does not exist.
    #[default]
    Nxdomain,
    /// It exists, without records.
    Nodata,
    /// The question is refused.
    Refuse,
    /// Its address is `0.0.0.0` and `::`.
    ZeroAddress,
}

/// What is said of the reason (RFC 8914 §4.16 to §4.18).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockError {
    /// Whoever runs this resolver decided so: code 15.
    #[default]
    Blocked,
    /// Somebody outside demanded it: code 16.
    Censored,
    /// Whoever asks wanted it: code 17.
    Filtered,
}

impl BlockError {
    /// Returns the INFO-CODE.
    pub const fn code(self) -> u16 {
        match self {
            Self::Blocked => 15,
            Self::Censored => 16,
            Self::Filtered => 17,
        }
    }
}

/// Whether IPv6 addresses are made of IPv4 ones (RFC 6147), and how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Dns64 {
    /// They are not.
    Off,
    /// When the network says by which prefix it translates (RFC 7050, RFC 8781).
    #[default]
    Auto,
    /// By these prefixes.
    Prefixes(Vec<Mapping>),
}

/// A prefix that IPv4 addresses are embedded in (RFC 6052 §2.2); valid by construction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mapping {
    bits: u128,
    length: u8,
}

impl Mapping {
    /// The lengths that a prefix may have, the usual first.
    pub const LENGTHS: [u8; 6] = [96, 64, 56, 48, 40, 32];

    /// Makes one of a prefix; `None` when its length is not one of [`Mapping::LENGTHS`], or a bit behind it or of the octet
    /// that must be zero is set.
    pub fn new(prefix: Prefix) -> Option<Self> {
        let std::net::IpAddr::V6(address) = prefix.address else {
            return None;
        };
        let good = Self::LENGTHS.contains(&prefix.length)
            && prefix.network() == prefix
            // RFC 6052 §2.2: bits 64 to 71 are zero.
            && address.octets()[8] == 0;
        good.then(|| Self {
            bits: address.to_bits(),
            length: prefix.length,
        })
    }

    /// Returns the prefix.
    pub fn prefix(self) -> Prefix {
        Prefix {
            address: Ipv6Addr::from_bits(self.bits).into(),
            length: self.length,
        }
    }

    /// Embeds an address.
    pub fn embed(self, address: Ipv4Addr) -> Ipv6Addr {
        let mut octets = self.bits.to_be_bytes();
        for (place, octet) in self.places().zip(address.octets()) {
            octets[place] = octet;
        }
        octets.into()
    }

    /// Returns the address that is embedded in another; `None` when that is not below the prefix, or its other bits are set.
    pub fn extract(self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        let octets = address.octets();
        let mut embedded = [0; 4];
        for (place, octet) in self.places().zip(&mut embedded) {
            *octet = octets[place];
        }
        let embedded = Ipv4Addr::from(embedded);
        (self.embed(embedded) == address).then_some(embedded)
    }

    /// The octets that the address goes to: behind the prefix, the ninth left out.
    fn places(self) -> impl Iterator<Item = usize> {
        let start = usize::from(self.length / 8);
        (start..).filter(|place| *place != 8).take(4)
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.prefix().fmt(f)
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.prefix().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        let (address, length) = text.split_once('/').unwrap();
        Prefix {
            address: address.parse().unwrap(),
            length: length.parse().unwrap(),
        }
    }

    #[test]
    fn addresses_are_embedded_as_the_table_of_rfc_6052_has_it() {
        let address: Ipv4Addr = "192.0.2.33".parse().unwrap();
        for (prefix, expected) in [
            ("2001:db8::/32", "2001:db8:c000:221::"),
            ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
            ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::/96", "2001:db8:122:344::c000:221"),
            ("64:ff9b::/96", "64:ff9b::c000:221"),
        ] {
            let mapping = Mapping::new(self::prefix(prefix)).unwrap();
            let embedded = mapping.embed(address);
            assert_eq!(embedded, expected.parse::<Ipv6Addr>().unwrap(), "{prefix}");
            assert_eq!(mapping.extract(embedded), Some(address), "{prefix}");
            let elsewhere = Ipv6Addr::from_bits(embedded.to_bits() ^ 1 << 127);
            assert_eq!(mapping.extract(elsewhere), None, "{prefix}");
        }
        let short = Mapping::new(prefix("2001:db8::/32")).unwrap();
        assert_eq!(short.extract("2001:db8:c000:221::1".parse().unwrap()), None);
    }

    #[test]
    fn a_prefix_of_another_form_is_none() {
        for text in [
            "64:ff9b::/95",
            "64:ff9b::1/96",
            "2001:db8::100:0:0:0/96",
            "192.0.2.0/24",
            "::/0",
        ] {
            assert_eq!(Mapping::new(prefix(text)), None, "{text}");
        }
    }
}
