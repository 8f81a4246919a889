//! Who was this machine to DHCP servers before linnet? [`Former`], read from what the client that had the link has left in files.
//!
//! Servers give an address to whoever calls himself as before. The files are others', and some are said to be private: what does not
//! read as it did when this was written counts as not there, and nothing but an identifier is taken from them. Opens no file.

mod blocks;
mod packets;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use config::matcher::Mac;

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
            Self::Dhclient => blocks::dhclient(octets, link),
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
    /// Adds what another file says of what this one says nothing of; who is on the link counts, not who was. What names no address is
    /// about whoever has the IPv4 address: numbers of links are others in another network namespace.
    pub fn add(&mut self, other: Self, on_link: &[IpAddr]) {
        let Self { dhcp4, dhcp6, made } = other;
        self.made.extend(made);
        let dhcp4 = dhcp4.filter(|it| on_link.contains(&it.address.into()));
        self.dhcp4 = self.dhcp4.take().or(dhcp4);
        let dhcp6 = dhcp6.filter(|it| match it.address {
            Some(address) => on_link.contains(&address.into()),
            None => self.dhcp4.is_some(),
        });
        self.dhcp6 = self.dhcp6.take().or(dhcp6);
    }

    /// Makes the client identifier of dhcpcd, which is in no file, of its DUID (RFC 4361): an IAID of the hardware address before it.
    pub fn with_dhcpcd_duid(mut self, text: &[u8], mac: Mac) -> Self {
        let duid = std::str::from_utf8(text).ok();
        let duid = duid.and_then(|text| octets(text.trim(), 16));
        if let Some(dhcp4) = &mut self.dhcp4
            && dhcp4.client_id.is_none()
            && let Some(duid) = duid.as_deref().and_then(Duid::from_octets)
        {
            let [_, _, iaid @ ..] = mac.0;
            let id = [&[255], &iaid[..], duid.octets()].concat();
            dhcp4.client_id = Some(id.into());
        }
        self
    }
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
    };
    let identity = || {
        let duid = octets(lines.get("dhcp6.dhcp6_client_id")?, 16)?;
        let iaid = octets(lines.get("dhcp6.iaid")?, 16)?;
        Some(Former6 {
            duid: Duid::from_octets(&duid)?,
            iaid: u32::from_be_bytes(iaid.try_into().ok()?),
            address: Some(lines.address("dhcp6.ip6_address")?),
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
