//! Which addresses may a stranger make us ask? Delegations from the public tree name public addresses only.
//!
//! A private, loopback or link-local address in public data is a mistake or an attack on what listens there. A tree of one's
//! own needs [`Addresses::Any`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which server addresses learned from replies may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// Those of the public Internet.
    Public,
    /// Any, for private roots and tests.
    Any,
}

impl Addresses {
    /// Whether an address may be asked.
    pub fn permits(self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::Any, _) => true,
            (Self::Public, IpAddr::V4(v4)) => is_public4(v4),
            (Self::Public, IpAddr::V6(v6)) => is_public6(v6),
        }
    }
}

/// After the IANA special-purpose registry (RFC 6890).
fn is_public4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = matches!(
        (a, b, c),
        (0 | 10 | 127 | 224..=255, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !special
}

/// Global unicast is 2000::/3 so far (RFC 4291 §2.4); tunnels that carry any IPv4 address are left out.
fn is_public6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let global = a & 0xe000 == 0x2000;
    let special = matches!((a, b), (0x2001, 0 | 0xdb8) | (0x2002 | 0x3fff, _));
    global && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_permitted() {
        let rows = [
            ("198.41.0.4", true),
            ("172.32.0.1", true),
            ("2001:503:ba3e::2:30", true),
            ("127.0.0.53", false),
            ("10.1.2.3", false),
            ("172.31.0.1", false),
            ("192.168.1.1", false),
            ("169.254.0.1", false),
            ("100.64.0.1", false),
            ("0.0.0.0", false),
            ("255.255.255.255", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("fe80::1", false),
            ("fd00::1", false),
            ("2002:7f00:1::", false),
            ("64:ff9b::7f00:1", false),
        ];
        for (text, expected) in rows {
            let address = text.parse().unwrap();
            assert_eq!(Addresses::Public.permits(address), expected, "{text}");
            assert!(Addresses::Any.permits(address));
        }
    }
}
