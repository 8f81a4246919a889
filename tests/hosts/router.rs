//! What does a router advertise (RFC 4861)? One prefix, one resolver, how long it is a router, and how it recommends itself.

use std::net::Ipv6Addr;

/// A router.
#[derive(Debug, Clone)]
pub(super) struct Router {
    /// 0 when it is no default router.
    pub(super) lifetime: u16,
    /// The network's number, which is in its prefix.
    number: u8,
    /// Counts its prefixes: a new one after each renumbering.
    pub(super) generation: u8,
    /// The prefixes of before that it still says are over.
    pub(super) says_farewell: bool,
    pub(super) valid: u32,
    pub(super) is_silent: bool,
    /// M and O: whether there is DHCPv6.
    pub(super) managed: bool,
    /// RFC 4191: 1 is high, 3 is low.
    pub(super) preference: u8,
}

impl Router {
    pub(super) const fn new(number: u8) -> Self {
        Self {
            lifetime: 1800,
            number,
            generation: 0,
            says_farewell: false,
            valid: 7200,
            is_silent: false,
            managed: false,
            preference: 0,
        }
    }

    pub(super) fn address(&self) -> Ipv6Addr {
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, self.number.into(), 1)
    }

    pub(super) fn prefix(&self) -> Ipv6Addr {
        self.prefix_of(self.generation)
    }

    fn prefix_of(&self, generation: u8) -> Ipv6Addr {
        Ipv6Addr::new(
            0x2001,
            0xdb8,
            self.number.into(),
            generation.into(),
            0,
            0,
            0,
            0,
        )
    }

    pub(super) fn resolver(&self) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, self.number.into(), 0xff, 0, 0, 0, 0x53)
    }

    /// Writes an advertisement.
    pub(super) fn advertise(&self) -> Vec<u8> {
        let flags = (u8::from(self.managed) * 0xc0) | (self.preference << 3);
        let mut octets = vec![134, 0, 0, 0, 64, flags];
        octets.extend(self.lifetime.to_be_bytes());
        octets.extend([0; 8]);
        let mut prefix = |generation: u8, preferred: u32| {
            octets.extend([3, 4, 64, 0xc0]);
            octets.extend(self.valid.to_be_bytes());
            octets.extend(preferred.to_be_bytes());
            octets.extend([0; 4]);
            octets.extend(self.prefix_of(generation).octets());
        };
        prefix(self.generation, self.valid / 2);
        if self.says_farewell && self.generation > 0 {
            prefix(self.generation - 1, 0);
        }
        octets.extend([25, 3, 0, 0]);
        octets.extend(1800_u32.to_be_bytes());
        octets.extend(self.resolver().octets());
        octets
    }
}
