//! Who may ask at a listener, and who counts as one client? By address; nothing here touches a socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use config::model::Prefix;

/// Bits of an IPv6 address that one client has to itself: whoever has a /64 has all addresses in it.
const CLIENT_BITS: u32 = 64;

/// Ports whose owners answer to whatever they are sent (echo and its like): a datagram from there starts a loop.
const ECHO_PORTS: [u16; 7] = [0, 7, 9, 13, 17, 19, 37];

/// Ports from which others' datagrams get silence: those, and ports of servers, from where a question is forged to hit the
/// server (DNS, TFTP, sunrpc, NTP, NetBIOS, SNMP, CLDAP, RIP, SSDP, WS-Discovery, mDNS, memcached).
const REFLECTIVE_PORTS: [u16; 20] = [
    0, 7, 9, 13, 17, 19, 37, 53, 69, 111, 123, 137, 138, 161, 389, 520, 1900, 3702, 5353, 11211,
];

/// The networks that may ask.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct AccessList {
    /// The host itself may; the list is that of a listener on loopback.
    local: bool,
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl AccessList {
    /// Makes the list of a listener at `own`.
    pub(super) fn new(own: IpAddr, allow: &[Prefix]) -> Self {
        let mut list = Self {
            local: own.to_canonical().is_loopback(),
            ..Self::default()
        };
        for prefix in allow {
            let length = u32::from(prefix.length);
            match prefix.address {
                IpAddr::V4(address) => {
                    let mask = u32::MAX
                        .checked_shl(32_u32.saturating_sub(length))
                        .unwrap_or(0);
                    list.v4.push((address.to_bits() & mask, mask));
                }
                IpAddr::V6(address) => {
                    let mask = u128::MAX
                        .checked_shl(128_u32.saturating_sub(length))
                        .unwrap_or(0);
                    list.v6.push((address.to_bits() & mask, mask));
                }
            }
        }
        list
    }

    /// Whether a client may ask. Nobody is at the unspecified address, and nobody asks from a multicast one.
    pub(super) fn admits(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        if client.is_unspecified()
            || client.is_multicast()
            || client == IpAddr::V4(Ipv4Addr::BROADCAST)
        {
            return false;
        }
        if self.local && client.is_loopback() {
            return true;
        }
        match client {
            IpAddr::V4(address) => {
                let bits = address.to_bits();
                self.v4
                    .iter()
                    .any(|(network, mask)| bits & mask == *network)
            }
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                self.v6
                    .iter()
                    .any(|(network, mask)| bits & mask == *network)
            }
        }
    }
}

/// Whether a datagram from this port gets silence whatever it says.
pub(super) fn is_reflective(port: u16) -> bool {
    REFLECTIVE_PORTS.contains(&port)
}

/// Whether the owner of this port answers to whatever it is sent.
pub(crate) fn is_echo(port: u16) -> bool {
    ECHO_PORTS.contains(&port)
}

/// Returns what stands for a client: its IPv4 address, or the /64 of its IPv6 address.
pub(super) fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let mask = u128::MAX << (u128::BITS - CLIENT_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn list_admits_by_rows() {
        let prefix = |text: &str, length| Prefix {
            address: address(text),
            length,
        };
        let some = [
            prefix("10.0.0.0", 24),
            prefix("192.0.2.7", 32),
            prefix("2001:db8::", 64),
        ];
        let rows = [
            ("10.0.0.1", &some[..], "10.0.0.200", true),
            ("10.0.0.1", &some, "10.0.1.1", false),
            ("10.0.0.1", &some, "192.0.2.7", true),
            ("10.0.0.1", &some, "192.0.2.8", false),
            ("10.0.0.1", &some, "::ffff:10.0.0.9", true),
            ("10.0.0.1", &some, "2001:db8::9", true),
            ("10.0.0.1", &some, "2001:db8:0:1::9", false),
            ("10.0.0.1", &some, "127.0.0.1", false),
            ("127.0.0.1", &[], "127.0.0.9", true),
            ("127.0.0.1", &[], "10.0.0.1", false),
            ("::1", &[], "::1", true),
            ("0.0.0.0", &[], "10.0.0.1", false),
            ("0.0.0.0", &[prefix("0.0.0.0", 0)], "203.0.113.9", true),
            ("0.0.0.0", &[prefix("0.0.0.0", 0)], "0.0.0.0", false),
            ("0.0.0.0", &[prefix("0.0.0.0", 0)], "224.0.0.251", false),
            ("0.0.0.0", &[prefix("0.0.0.0", 0)], "255.255.255.255", false),
            ("::", &[prefix("::", 0)], "2001:db8::1", true),
            ("::", &[prefix("::", 0)], "10.0.0.1", false),
        ];
        for (own, allow, client, expected) in rows {
            let list = AccessList::new(address(own), allow);
            assert_eq!(list.admits(address(client)), expected, "{client} at {own}");
        }
    }

    #[test]
    fn one_client_is_an_address_or_a_64() {
        let rows = [
            ("10.0.0.1", "10.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ];
        for (one, client) in rows {
            assert_eq!(client_of(address(one)), address(client));
        }
    }
}
