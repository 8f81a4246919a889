//! Who was this machine to DHCP servers before linnet? [`Former`], read from what the client that had the link has left in files.
//!
//! Servers give an address to whoever calls himself as before. The files are others', and some are said to be private: what does not
//! read as it did when this was written counts as not there, and nothing but an identifier is taken from them. Opens no file.

mod blocks;
mod packets;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use config::matcher::Mac;
use config::model::Prefix;

use crate::dhcp6::Duid;

/// Octets that are read of one file: a file of dhclient is rewritten long before.
pub const FILE_MAX: usize = 256 << 10;
/// The longest client identifier: what one option of DHCPv4 holds.
const CLIENT_ID_MAX: usize = 255;
/// Names of the types of DUIDs, as systemd writes them (RFC 8415 §11, RFC 6355).
const DUID_TYPES: [(&str, u8); 4] = [
    ("DUID-LLT", 1),
    ("DUID-EN/Vendor", 2),
    ("DUID-LL", 3),
    ("DUID-UUID", 4),
];

/// What a DHCP client that had the link has left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Former {
    /// Its last word on IPv4.
    pub dhcp4: Option<Former4>,
    /// Its last word on IPv6.
    pub dhcp6: Option<Former6>,
    /// IPv6 addresses that are on the link, and were made of prefixes that a router advertises.
    pub made: Vec<Ipv6Addr>,
}

/// A DHCPv4 lease of another client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former4 {
    /// The address that it had.
    pub address: Ipv4Addr,
    /// What it called itself (option 61), where it is known to have done so.
    pub client_id: Option<Arc<[u8]>>,
    /// Whose file says so.
    pub by: Leaving,
}

/// What another client called itself to DHCPv6 servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former6 {
    /// The machine.
    pub duid: Duid,
    /// The link.
    pub iaid: u32,
    /// The address that it had; `None` where the file speaks of none.
    pub address: Option<Ipv6Addr>,
    /// Whose file says so.
    pub by: Leaving,
}

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leaving {
    /// `/run/systemd/netif/leases/INDEX`.
    NetworkdLease,
    /// `/run/systemd/netif/links/INDEX`.
    NetworkdLink,
    /// `/run/NetworkManager/devices/INDEX`.
    NetworkManager,
    /// `/var/lib/dhcpcd/LINK.lease`: the server's message.
    DhcpcdLease,
    /// `/var/lib/dhcpcd/LINK.lease6`: the server's message.
    DhcpcdLease6,
    /// `/var/lib/dhcp/dhclient.LINK.leases` (dhclient.leases(5)), of IPv4 or IPv6.
    Dhclient,
    /// `/run/net-LINK.conf`, of an initramfs.
    Initramfs,
}

impl Leaving {
    /// Every kind, the one whose word counts most first: what is gone with a restart of the machine is the youngest.
    pub const ALL: [Self; 7] = [
        Self::NetworkdLease,
        Self::NetworkdLink,
        Self::NetworkManager,
        Self::DhcpcdLease,
        Self::DhcpcdLease6,
        Self::Dhclient,
        Self::Initramfs,
    ];

    /// Reads one file for the link of this name.
    pub fn parse(self, octets: &[u8], link: &str) -> Former {
        let octets = octets.get(..FILE_MAX).unwrap_or(octets);
        match self {
            Self::DhcpcdLease => packets::dhcp4(octets),
            Self::DhcpcdLease6 => packets::dhcp6(octets),
            Self::Dhclient => blocks::dhclient(octets).remove(link).unwrap_or_default(),
            Self::NetworkdLease | Self::NetworkdLink | Self::NetworkManager | Self::Initramfs => {
                let text = String::from_utf8_lossy(octets);
                let lines = || Lines(&text);
                match self {
                    Self::NetworkdLease => networkd_lease(&lines()),
                    Self::NetworkManager => network_manager(&lines()),
                    Self::Initramfs => initramfs(&lines()),
                    Self::NetworkdLink
                    | Self::DhcpcdLease
                    | Self::DhcpcdLease6
                    | Self::Dhclient => networkd_link(&lines()),
                }
            }
        }
    }
}

impl Former {
    /// Adds what another file says of what this one says nothing of; who is on the link counts, not who was.
    ///
    /// Numbers of links are others in another network namespace. What names no address, networkd's word on DHCPv6, is believed when
    /// networkd's DHCPv4 lease of the same number is on the link, or an address that a DHCPv6 server has given: one with no network.
    pub fn add(&mut self, other: Self, on_link: &[Prefix]) {
        let Self { dhcp4, dhcp6, made } = other;
        self.made.extend(made);
        let is_there = |address: IpAddr| on_link.iter().any(|it| it.address == address);
        let dhcp4 = dhcp4.filter(|it| is_there(it.address.into()));
        self.dhcp4 = self.dhcp4.take().or(dhcp4);
        let is_given = |it: &Prefix| it.address.is_ipv6() && it.length == 128;
        let dhcp6 = dhcp6.filter(|it| match it.address {
            Some(address) => is_there(address.into()),
            None => {
                let by = self.dhcp4.as_ref().map(|dhcp4| dhcp4.by);
                by == Some(Leaving::NetworkdLease) || on_link.iter().any(is_given)
            }
        });
        self.dhcp6 = self.dhcp6.take().or(dhcp6);
    }
}

/// What dhcpcd is told of itself, and has of the link: its client identifier is in no file.
#[derive(Debug, Clone, Copy)]
pub struct Dhcpcd<'a> {
    /// `/etc/dhcpcd.conf`.
    pub conf: &'a [u8],
    /// `/var/lib/dhcpcd/duid`.
    pub duid: &'a [u8],
    /// The link's hardware address.
    pub mac: Mac,
    /// The number of the VLAN that the link is.
    pub vlan: Option<u16>,
}

impl Dhcpcd<'_> {
    /// Fills in the client identifier where the server has not said it back: DUID and IAID (RFC 4361), as `duid` has it in dhcpcd.conf(5).
    /// None where something else is said there of one of them.
    pub fn complete(&self, former: &mut Former) {
        let id = || {
            let text = std::str::from_utf8(self.conf).ok()?;
            let mut words = text
                .lines()
                .filter_map(|line| line.split_whitespace().next());
            let is_other = |word: &str| ["clientid", "iaid", "anonymous"].contains(&word);
            if words.clone().any(is_other) || !words.any(|word| word == "duid") {
                return None;
            }
            let duid = std::str::from_utf8(self.duid).ok()?;
            let duid = Duid::from_octets(&octets(duid.trim(), 16)?)?;
            // The last four octets of the hardware address, which VLANs share with their link: of them the number.
            let [_, _, of_mac @ ..] = self.mac.0;
            let of_vlan = |vlan: u16| (u32::from(vlan) | 0xff00_0000).to_be_bytes();
            let iaid = self.vlan.map_or(of_mac, of_vlan);
            Some([&[255], &iaid[..], duid.octets()].concat().into())
        };
        if let Some(dhcp4) = &mut former.dhcp4
            && dhcp4.client_id.is_none()
        {
            dhcp4.client_id = id();
        }
    }
}

/// Reads a file of dhclient, which many links share, at once: what it says of each.
pub fn shared(octets: &[u8]) -> BTreeMap<Box<str>, Former> {
    blocks::dhclient(octets.get(..FILE_MAX).unwrap_or(octets))
}

/// `KEY=VALUE`, one a line.
struct Lines<'a>(&'a str);

impl<'a> Lines<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        let mut lines = self.0.lines().map(str::trim);
        lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    }

    fn address<A: FromStr>(&self, key: &str) -> Option<A> {
        self.get(key)?.parse().ok()
    }
}

fn networkd_lease(lines: &Lines<'_>) -> Former {
    let lease = |address| Former4 {
        address,
        client_id: lines.get("CLIENTID").and_then(pairs).and_then(client_id),
        by: Leaving::NetworkdLease,
    };
    Former {
        dhcp4: lines.address("ADDRESS").map(lease),
        ..Former::default()
    }
}

fn networkd_link(lines: &Lines<'_>) -> Former {
    let identity = || {
        let iaid = lines.get("DHCP6_CLIENT_IAID")?.strip_prefix("0x")?;
        let iaid = u32::from_str_radix(iaid, 16).ok()?;
        let (kind, data) = lines.get("DHCP6_CLIENT_DUID")?.split_once(':')?;
        let (_, kind) = DUID_TYPES.iter().find(|(name, _)| *name == kind)?;
        let octets = [&[0, *kind], &pairs(data)?[..]].concat();
        Some(Former6 {
            duid: Duid::from_octets(&octets)?,
            iaid,
            address: None,
            by: Leaving::NetworkdLink,
        })
    };
    Former {
        dhcp6: identity(),
        ..Former::default()
    }
}

fn network_manager(lines: &Lines<'_>) -> Former {
    let lease = |address| Former4 {
        address,
        client_id: lines
            .get("dhcp4.dhcp_client_identifier")
            .and_then(|text| octets(text, 16))
            .and_then(client_id),
        by: Leaving::NetworkManager,
    };
    let identity = || {
        let duid = octets(lines.get("dhcp6.dhcp6_client_id")?, 16)?;
        let iaid = octets(lines.get("dhcp6.iaid")?, 16)?;
        Some(Former6 {
            duid: Duid::from_octets(&duid)?,
            iaid: u32::from_be_bytes(iaid.try_into().ok()?),
            address: Some(lines.address("dhcp6.ip6_address")?),
            by: Leaving::NetworkManager,
        })
    };
    Former {
        dhcp4: lines.address("dhcp4.ip_address").map(lease),
        dhcp6: identity(),
        ..Former::default()
    }
}

/// klibc's ipconfig and those that write as it does quote for a shell.
fn initramfs(lines: &Lines<'_>) -> Former {
    let said = |key: &str| Some(lines.get(key)?.trim_matches(['\'', '"']));
    let is_leased = matches!(said("PROTO"), Some("dhcp" | "bootp"));
    let address = said("IPV4ADDR").and_then(|text| text.parse().ok());
    let lease = |address| Former4 {
        address,
        client_id: None,
        by: Leaving::Initramfs,
    };
    Former {
        dhcp4: address.filter(|_| is_leased).map(lease),
        ..Former::default()
    }
}

/// RFC 2132 §9.14: a type and at least one octet.
fn client_id(octets: Vec<u8>) -> Option<Arc<[u8]>> {
    (2..=CLIENT_ID_MAX)
        .contains(&octets.len())
        .then(|| octets.into())
}

/// Reads numbers of one octet with colons between them.
fn octets(text: &str, radix: u32) -> Option<Vec<u8>> {
    text.split(':')
        .map(|octet| u8::from_str_radix(octet, radix).ok())
        .collect()
}

/// Reads pairs of hexadecimal digits with nothing between them.
fn pairs(text: &str) -> Option<Vec<u8>> {
    let digit = |octet: u8| char::from(octet).to_digit(16);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let pairs = pairs
        .iter()
        .map(|[high, low]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok());
    pairs.collect()
}
