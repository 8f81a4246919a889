//! How is the lower half of an IPv6 address made? [`address`]: stable and opaque (RFC 7217), of the hardware address, or given.
//!
//! Temporary addresses (RFC 8981) are the kernel's: it makes them beside an address that has `IFA_F_MANAGETEMPADDR`.

use std::fmt;
use std::net::Ipv6Addr;

use config::matcher::Mac;
use config::model::AddressGeneration;
use ring::hmac;

/// How often another address is made when one is taken (`IDGEN_RETRIES`, RFC 7217 §7).
pub const RETRIES: u8 = 3;
/// How long a prefix is that addresses are made of (RFC 4862 §5.5.3 d, RFC 7136).
pub const PREFIX_LENGTH: u8 = 64;

/// A secret that stable addresses are made of: whoever knows it can tell them in every network. It does not show in `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Returns what a link is known by that keeps its name: the same for ever, and nobody else can make it.
    pub fn identifier(&self, link: &str) -> [u8; 16] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let mut context = hmac::Context::with_key(&key);
        // Nothing else is made of this secret and begins so.
        context.update(b"client identifier\0");
        context.update(link.as_bytes());
        let tag = context.sign();
        tag.as_ref().first_chunk().copied().unwrap_or_default()
    }
}

/// What an address is made of beside its prefix.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// How it is made.
    pub generation: AddressGeneration,
    /// What nobody else knows.
    pub secret: &'a Secret,
    /// The link's name (`Net_Iface`).
    pub link: &'a str,
    /// The network (`Network_ID`); empty when it is not known.
    pub network: &'a [u8],
    /// The hardware address, when it has six octets.
    pub mac: Option<Mac>,
}

/// Returns the address in the prefix of 64 bits that `prefix` is in; `taken` is how many made of the same before turned out to be
/// somebody else's. `None` when there is no other one.
pub fn address(prefix: Ipv6Addr, taken: u8, origin: &Origin<'_>) -> Option<Ipv6Addr> {
    let low = match (origin.generation, origin.mac) {
        (AddressGeneration::Eui64, Some(mac)) => (taken == 0).then(|| eui64(mac))?,
        (AddressGeneration::Token(token), _) => (taken == 0).then_some(token)?,
        // A link without a hardware address has nothing to make one of.
        (AddressGeneration::Stable, _) | (AddressGeneration::Eui64, None) => {
            (taken <= RETRIES).then(|| stable(prefix, taken, origin))?
        }
    };
    Some(Ipv6Addr::from_bits(high(prefix) | u128::from(low)))
}

fn high(prefix: Ipv6Addr) -> u128 {
    prefix.to_bits() & !u128::from(u64::MAX)
}

/// RFC 4291 appendix A: ff:fe in the middle, the universal bit turned.
fn eui64(mac: Mac) -> u64 {
    let [a, b, c, d, e, f] = mac.0;
    u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

/// RFC 7217 §5: `F(Prefix, Net_Iface, Network_ID, DAD_Counter, secret_key)`, F being HMAC-SHA-256 with the secret as its key.
fn stable(prefix: Ipv6Addr, taken: u8, origin: &Origin<'_>) -> u64 {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &origin.secret.0);
    // One round in 2^40 is reserved; 255 of them in a row are not seen in the life of the universe.
    for round in 0..=u8::MAX {
        let mut context = hmac::Context::with_key(&key);
        context.update(&high(prefix).to_be_bytes());
        for part in [origin.link.as_bytes(), origin.network] {
            // Lengths keep what is in one part from being read as another.
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        context.update(&[taken, round]);
        let low = context
            .sign()
            .as_ref()
            .first_chunk::<8>()
            .map_or(0, |octets| u64::from_be_bytes(*octets));
        if !is_reserved(low) {
            return low;
        }
    }
    1
}

/// Interface identifiers with a meaning of their own (RFC 5453, and the anycast addresses of RFC 2526).
fn is_reserved(low: u64) -> bool {
    low == 0
        || (0x0200_5eff_fe00_0000..=0x0200_5eff_feff_ffff).contains(&low)
        || (0xfdff_ffff_ffff_ff80..=0xfdff_ffff_ffff_ffff).contains(&low)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: Secret = Secret([7; 32]);
    const PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 0);

    fn origin(generation: AddressGeneration) -> Origin<'static> {
        Origin {
            generation,
            secret: &SECRET,
            link: "eth0",
            network: b"home",
            mac: Some(Mac([0, 0x53, 0, 0xa1, 0xb2, 0xc3])),
        }
    }

    #[test]
    fn a_stable_address_is_the_same_each_time_and_another_one_everywhere_else() {
        let here = origin(AddressGeneration::Stable);
        let first = address(PREFIX, 0, &here).unwrap();
        assert_eq!(address(PREFIX, 0, &here), Some(first));
        let others = [
            address("2001:db8:1:3::".parse().unwrap(), 0, &here),
            address(PREFIX, 1, &here),
            address(
                PREFIX,
                0,
                &Origin {
                    link: "eth1",
                    ..here
                },
            ),
            address(
                PREFIX,
                0,
                &Origin {
                    network: b"office",
                    ..here
                },
            ),
            // A part does not run into the next one.
            address(
                PREFIX,
                0,
                &Origin {
                    link: "eth0h",
                    network: b"ome",
                    ..here
                },
            ),
            address(
                PREFIX,
                0,
                &Origin {
                    secret: &Secret([8; 32]),
                    ..here
                },
            ),
        ];
        for (row, other) in others.iter().enumerate() {
            let other = other.unwrap();
            assert_ne!(other.segments()[4..], first.segments()[4..], "row {row}");
        }
        assert_eq!(first.segments()[..4], PREFIX.segments()[..4]);
        assert!(
            !format!("{SECRET:?}").contains('7'),
            "a secret is not printed"
        );
    }

    #[test]
    fn a_taken_address_is_made_anew_three_times_and_no_more() {
        let here = origin(AddressGeneration::Stable);
        assert!(address(PREFIX, RETRIES, &here).is_some());
        assert_eq!(address(PREFIX, RETRIES + 1, &here), None);
    }

    #[test]
    fn an_address_of_the_hardware_or_a_token_is_not_made_anew() {
        let here = origin(AddressGeneration::Eui64);
        let made = address(PREFIX, 0, &here).unwrap();
        assert_eq!(made.to_string(), "2001:db8:1:2:253:ff:fea1:b2c3");
        assert_eq!(address(PREFIX, 1, &here), None);
        let here = origin(AddressGeneration::Token(0x53));
        assert_eq!(
            address(PREFIX, 0, &here).unwrap().to_string(),
            "2001:db8:1:2::53"
        );
        assert_eq!(address(PREFIX, 1, &here), None);
    }

    #[test]
    fn a_link_without_hardware_address_has_stable_ones() {
        let stable = address(
            PREFIX,
            0,
            &Origin {
                mac: None,
                ..origin(AddressGeneration::Stable)
            },
        );
        let eui64 = address(
            PREFIX,
            0,
            &Origin {
                mac: None,
                ..origin(AddressGeneration::Eui64)
            },
        );
        assert_eq!(stable, eui64);
    }

    #[test]
    fn reserved_identifiers_are_known() {
        for (low, reserved) in [
            (0, true),
            (1, false),
            (0x0200_5eff_fe00_5213, true),
            (0xfdff_ffff_ffff_ff7f, false),
            (0xfdff_ffff_ffff_ffff, true),
        ] {
            assert_eq!(is_reserved(low), reserved, "{low:x}");
        }
    }
}
