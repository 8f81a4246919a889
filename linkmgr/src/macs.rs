//! Which hardware addresses does this machine make up? [`made`]: of its secret and a link's name, so that they are the same when
//! linnet is started again, and nothing has to be remembered of them.

use config::matcher::Mac;
use policy::facts::MadeMacs;
use ring::hmac;

use crate::slaac::Secret;

/// What everything here begins with. No prefix begins so that [`crate::slaac`] makes an address of: their lower half is zero.
const PURPOSE: &[u8] = b"hardware address\0";

/// Of the first octet, what makes it the address of a group, and what says that nobody has assigned it.
const GROUP: u8 = 1;
const LOCAL: u8 = 2;

/// Makes the hardware addresses for a link of this name up. `boot_id` is which start of the kernel this is.
///
/// Two machines have one with a probability of 2^-46: one bit says that nobody has assigned it, and one that it is no group's
/// (IEEE 802-2014 §8.2).
pub fn made(secret: &Secret, boot_id: &str, link: &str) -> MadeMacs {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret.0);
    // Neither an id nor a name has a zero in it, so that no part runs into the next one.
    let mac = |parts: [&[u8]; 2]| {
        let mut context = hmac::Context::with_key(&key);
        for part in [PURPOSE, parts[0], b"\0", parts[1], b"\0", link.as_bytes()] {
            context.update(part);
        }
        let tag = context.sign();
        let mut octets: [u8; 6] = tag.as_ref().first_chunk().copied().unwrap_or_default();
        octets[0] = octets[0] & !GROUP | LOCAL;
        Mac(octets)
    };
    MadeMacs {
        stable: mac([b"stable", b""]),
        random: mac([b"random", boot_id.as_bytes()]),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SECRET: Secret = Secret([7; 32]);
    const BOOT: &str = "3f0c3a9e-61b5-4a53-8b43-7d8b5c8a9a11";

    /// An upgrade that made others would cut connections, and cost the machine its leases.
    #[test]
    fn an_upgrade_makes_the_same_addresses() {
        let MadeMacs { stable, random } = made(&SECRET, BOOT, "eth0");
        assert_eq!(stable.to_string(), "5a:64:88:b8:1a:37");
        assert_eq!(random.to_string(), "16:fe:97:3c:a8:8d");
    }

    #[test]
    fn an_address_is_the_same_each_time_and_another_one_everywhere_else() {
        let here = made(&SECRET, BOOT, "eth0");
        assert_eq!(made(&SECRET, BOOT, "eth0"), here);
        assert_ne!(here.stable, here.random);
        let next_boot = made(&SECRET, "3f0c3a9e-61b5-4a53-8b43-7d8b5c8a9a12", "eth0");
        assert_eq!(next_boot.stable, here.stable);
        assert_ne!(next_boot.random, here.random);
        let others = [
            made(&SECRET, BOOT, "eth1"),
            made(&SECRET, BOOT, ""),
            made(&Secret([8; 32]), BOOT, "eth0"),
        ];
        for (row, other) in others.into_iter().enumerate() {
            assert_ne!(other.stable, here.stable, "row {row}");
            assert_ne!(other.random, here.random, "row {row}");
        }
    }

    #[test]
    fn every_address_is_locally_administered_and_of_one_link_alone() {
        let mut seen = BTreeSet::new();
        for number in 0..10_000 {
            let MadeMacs { stable, random } = made(&SECRET, BOOT, &format!("eth{number}"));
            for mac in [stable, random] {
                assert_eq!(mac.0[0] & 0b11, 0b10, "{mac}");
                assert!(seen.insert(mac), "{mac} is there twice");
            }
        }
    }
}
