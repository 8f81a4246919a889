//! What of a network outlives the client? [`Memory`]: leases with what was left of them, and the Replies that had the options.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use config::model::Prefix;
use config::time::Instant;

use super::leases::{Held, Leases};
use super::wire::{DUID_LENGTHS, Sort};
use crate::octets::Lifetime;

/// Leases that are read back.
const READ_MAX: usize = 32;

/// What outlives the client: JSON, for the state directory, by network. Another client takes it with its age.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Memory {
    server: Vec<u8>,
    leases: Vec<Kept>,
    renew: Option<Lifetime>,
    rebind: Option<Lifetime>,
    /// Whether prefixes are for the link itself (RFC 9762), and not for others.
    #[serde(default)]
    pub(super) is_own: bool,
    /// The last Reply that gave leases.
    pub(super) granted: Vec<u8>,
    /// The last Reply to an Information-request.
    pub(super) informed: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Kept {
    is_prefix: bool,
    address: Ipv6Addr,
    length: u8,
    preferred: Lifetime,
    valid: Lifetime,
    excluded: Option<(Ipv6Addr, u8)>,
    taken_back: bool,
}

impl Memory {
    pub(super) fn of(leases: &Leases, granted: &[u8], informed: &[u8], now: Instant) -> Self {
        let left = |until: Option<Instant>| Lifetime::left(until, now);
        let kept = leases.held.iter().filter_map(|held| {
            let (address, length) = parts(held.prefix)?;
            Some(Kept {
                is_prefix: held.sort == Sort::Prefixes,
                address,
                length,
                preferred: left(held.preferred_until),
                valid: left(held.valid_until),
                excluded: held.excluded.and_then(parts),
                taken_back: held.taken_back,
            })
        });
        Self {
            server: leases.server.clone(),
            leases: kept.collect(),
            renew: leases.renew_at.map(|at| left(Some(at))),
            rebind: leases.rebind_at.map(|at| left(Some(at))),
            is_own: false,
            granted: granted.to_vec(),
            informed: informed.to_vec(),
        }
    }

    /// Returns the leases that are not over.
    pub(super) fn leases(&self, age: Duration, now: Instant) -> Leases {
        let held = self.leases.iter().take(READ_MAX).filter_map(|kept| {
            let valid = kept.valid.aged(age);
            (!valid.is_zero()).then(|| Held {
                sort: if kept.is_prefix {
                    Sort::Prefixes
                } else {
                    Sort::Addresses
                },
                prefix: whole((kept.address, kept.length)),
                preferred_until: kept.preferred.aged(age).until(now),
                valid_until: valid.until(now),
                excluded: kept.excluded.map(whole),
                taken_back: kept.taken_back,
            })
        });
        let at = |left: Option<Lifetime>| left.and_then(|left| left.aged(age).until(now));
        let server = if DUID_LENGTHS.contains(&self.server.len()) {
            self.server.clone()
        } else {
            Vec::new()
        };
        Leases {
            server,
            held: held.collect(),
            renew_at: at(self.renew),
            rebind_at: at(self.rebind),
        }
    }
}

fn parts(prefix: Prefix) -> Option<(Ipv6Addr, u8)> {
    match prefix.address {
        IpAddr::V6(address) => Some((address, prefix.length)),
        IpAddr::V4(_) => None,
    }
}

fn whole((address, length): (Ipv6Addr, u8)) -> Prefix {
    Prefix {
        address: address.into(),
        length: length.min(128),
    }
}
