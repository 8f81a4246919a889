//! What is kept of an address that is there? As little as can be: every link has some, governed or not.

use std::net::{IpAddr, Ipv6Addr};

use config::model::Prefix;
use config::time::Instant;

use crate::kernel::{AddressMessage, Usability};
use crate::slaac::PREFIX_LENGTH;

const FOR_EVER: u32 = u32::MAX;
const NANOS: u64 = 1_000_000_000;

const TENTATIVE: u8 = 1;
const DUPLICATE: u8 = 2;
const TEMPORARIES: u8 = 4;
const NO_PREFIX_ROUTE: u8 = 8;
const TEMPORARY: u8 = 16;

/// An address, and until when it stays. Points in time are whole seconds since boot, as coarse as the kernel's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObservedAddress {
    pub(crate) prefix: Prefix,
    pub(crate) protocol: u8,
    flags: u8,
    preferred_until: u32,
    valid_until: u32,
}

impl ObservedAddress {
    pub(super) fn new(message: &AddressMessage, now: Instant) -> Self {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let usability = match message.usability {
            Usability::Usable => 0,
            Usability::Tentative => TENTATIVE,
            Usability::Duplicate => DUPLICATE,
        };
        Self {
            prefix: message.address,
            protocol: message.protocol,
            flags: usability
                | flag(message.temporaries, TEMPORARIES)
                | flag(message.no_prefix_route, NO_PREFIX_ROUTE)
                | flag(
                    message.secondary && message.address.address.is_ipv6(),
                    TEMPORARY,
                ),
            preferred_until: until(message.preferred, now),
            valid_until: until(message.valid, now),
        }
    }

    pub(crate) const fn usability(&self) -> Usability {
        if self.flags & DUPLICATE != 0 {
            Usability::Duplicate
        } else if self.flags & TENTATIVE != 0 {
            Usability::Tentative
        } else {
            Usability::Usable
        }
    }

    pub(crate) const fn temporaries(&self) -> bool {
        self.flags & TEMPORARIES != 0
    }

    pub(crate) const fn no_prefix_route(&self) -> bool {
        self.flags & NO_PREFIX_ROUTE != 0
    }

    /// Returns the address when it is an IPv6 one that somebody has made of a prefix that a router advertises.
    pub(crate) fn made_of_prefix(&self) -> Option<Ipv6Addr> {
        let is_made = self.prefix.length == PREFIX_LENGTH
            && self.valid_until != FOR_EVER
            && self.flags & TEMPORARY == 0
            && self.usability() == Usability::Usable;
        match self.prefix.address {
            IpAddr::V6(v6) if is_made && !v6.is_unicast_link_local() => Some(v6),
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        }
    }

    /// `None` for ever.
    pub(crate) fn preferred_until(&self) -> Option<Instant> {
        instant(self.preferred_until)
    }

    /// `None` for ever.
    pub(crate) fn valid_until(&self) -> Option<Instant> {
        instant(self.valid_until)
    }
}

fn until(seconds: Option<u32>, now: Instant) -> u32 {
    let Some(seconds) = seconds else {
        return FOR_EVER;
    };
    let until = now.as_nanos() / NANOS + u64::from(seconds);
    u32::try_from(until).map_or(FOR_EVER - 1, |until| until.min(FOR_EVER - 1))
}

fn instant(seconds: u32) -> Option<Instant> {
    (seconds != FOR_EVER).then(|| Instant::from_nanos(u64::from(seconds) * NANOS))
}
