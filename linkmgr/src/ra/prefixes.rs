//! Which prefixes do routers advertise, and which addresses follow? [`Prefixes`] (RFC 4861 §6.3.4, RFC 4862 §5.5.3).
//!
//! A prefix that its routers stop advertising, while they advertise others, is deprecated at once instead of after its time
//! (RFC 9096 §3.5 asks routers to say so; those that were switched off cannot). Its address stays, so that connections end by
//! themselves.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use config::model::Prefix;
use config::time::Instant;

use super::wire::PrefixInformation;
use crate::octets::{Lifetime, earlier, is_over};
use crate::slaac;

/// Prefixes that one link may have.
const PREFIXES_MAX: usize = 16;
/// No single packet shortens what is left of an address below this (RFC 4862 §5.5.3 e).
const TWO_HOURS: Lifetime = Lifetime(7200);
/// When a prefix comes back this soon after it was left out, its router tells what it has in several packets.
const SPLIT: Duration = Duration::from_secs(10);

/// The prefixes of one link.
#[derive(Debug, Clone, Default)]
pub(super) struct Prefixes {
    pub(super) list: Vec<Advertised>,
    /// How many found no room.
    pub(super) refused: u64,
}

/// A prefix that was advertised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Advertised {
    pub(super) prefix: Prefix,
    /// Until when it is on the link; `None` when it is not.
    pub(super) on_link: Option<OnLink>,
    /// The address made of it, while it is valid.
    pub(super) address: Option<Made>,
    /// How many addresses made of it turned out to be somebody else's.
    pub(super) taken: u8,
    /// Whether prefixes of one's own are meant to be used instead of it (P).
    pub(super) delegation: bool,
    /// That such prefixes are to be had.
    pub(super) offer: Option<Offer>,
    /// The routers that advertise it.
    pub(super) routers: Vec<Ipv6Addr>,
    /// Since when no router advertises it.
    pub(super) left_out_at: Option<Instant>,
}

/// That a prefix is on the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OnLink {
    /// `None` for ever.
    pub(super) until: Option<Instant>,
}

/// That prefixes of one's own are to be had: while the prefix that says so is preferred (RFC 9762 §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offer {
    /// `None` for ever.
    pub(super) until: Option<Instant>,
}

/// What there is to say of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Made {
    /// `None` for ever.
    pub(super) preferred_until: Option<Instant>,
    /// `None` for ever.
    pub(super) valid_until: Option<Instant>,
    /// Whether its prefix was on the link when it was made; the kernel cannot change that without taking the address.
    pub(super) with_route: bool,
}

impl Prefixes {
    /// Takes one prefix of a router's packet. Returns whether the router tells what it has in several packets.
    pub(super) fn hear(&mut self, said: &PrefixInformation, from: Ipv6Addr, now: Instant) -> bool {
        let known = self
            .list
            .iter()
            .position(|known| known.prefix == said.prefix);
        let at = match known {
            Some(at) => at,
            // RFC 4862 §5.5.3 d, RFC 4861 §6.3.4: nothing begins with a lifetime of zero.
            None if said.valid.is_zero()
                || !(said.on_link || said.autonomous || said.delegation) =>
            {
                return false;
            }
            None if self.list.len() >= PREFIXES_MAX && !self.make_room(now) => {
                self.refused = self.refused.saturating_add(1);
                return false;
            }
            None => {
                self.list.push(Advertised::new(said.prefix));
                self.list.len() - 1
            }
        };
        let Some(known) = self.list.get_mut(at) else {
            return false;
        };
        let split =
            known.left_out_at.is_some_and(|at| now.since(at) < SPLIT) && !said.preferred.is_zero();
        known.left_out_at = None;
        known.delegation = said.delegation;
        if said.preferred.is_zero() {
            known.routers.retain(|router| *router != from);
        } else {
            known.offer = said.delegation.then(|| Offer {
                until: said.preferred.until(now),
            });
            if !known.routers.contains(&from) {
                known.routers.push(from);
            }
        }
        known.hear(said, now);
        split
    }

    /// Takes that a router's packet, which has prefixes, does not have these: those that no other router advertises are
    /// deprecated. Returns whether any was.
    pub(super) fn leave_out(
        &mut self,
        from: Ipv6Addr,
        said: &[PrefixInformation],
        now: Instant,
    ) -> bool {
        let mut changed = false;
        for known in &mut self.list {
            if said.iter().all(|one| one.prefix != known.prefix) {
                changed |= known.lose(from, now);
            }
        }
        changed
    }

    /// Takes that a router is gone for good: the link is in another place. Returns whether anything was deprecated.
    pub(super) fn forsake(&mut self, router: Ipv6Addr, now: Instant) -> bool {
        self.leave_out(router, &[], now)
    }

    /// Forgets what is over; returns whether anything was.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let mut changed = false;
        for known in &mut self.list {
            if known
                .on_link
                .is_some_and(|on_link| is_over(on_link.until, now))
            {
                known.on_link = None;
                changed = true;
            }
            if known.offer.is_some_and(|offer| is_over(offer.until, now)) {
                known.offer = None;
                changed = true;
            }
            if known
                .address
                .is_some_and(|made| is_over(made.valid_until, now))
            {
                known.address = None;
                changed = true;
            }
        }
        self.list.retain(|known| {
            known.on_link.is_some() || known.address.is_some() || known.offer.is_some()
        });
        changed
    }

    pub(super) fn ends_at(&self) -> Option<Instant> {
        let ends = self.list.iter().flat_map(|known| {
            let on_link = known.on_link.and_then(|on_link| on_link.until);
            let offered = known.offer.and_then(|offer| offer.until);
            [
                on_link,
                known.address.and_then(|made| made.valid_until),
                offered,
            ]
        });
        ends.fold(None, earlier)
    }

    /// Whether a router advertises this one.
    pub(super) fn has(&self, prefix: &Prefix, router: Ipv6Addr) -> bool {
        let mut known = self.list.iter();
        known.any(|known| known.prefix == *prefix && known.routers.contains(&router))
    }

    /// Whether a router advertises any of them.
    pub(super) fn has_any_of(&self, router: Ipv6Addr) -> bool {
        self.list
            .iter()
            .any(|known| known.routers.contains(&router))
    }

    /// Takes that an address made of one of them is somebody else's.
    pub(super) fn take_away(&mut self, address: Ipv6Addr) -> bool {
        let high = address.to_bits() >> 64;
        let known = self.list.iter_mut().find(|known| {
            known.address.is_some()
                && matches!(known.prefix.address, IpAddr::V6(prefix) if prefix.to_bits() >> 64 == high)
        });
        let Some(known) = known else {
            return false;
        };
        known.taken = known.taken.saturating_add(1).min(slaac::RETRIES + 1);
        true
    }

    /// Drops the one that matters least: deprecated, and nearest to its end.
    fn make_room(&mut self, now: Instant) -> bool {
        let is_idle = |known: &Advertised| {
            known.routers.is_empty()
                && known
                    .address
                    .is_none_or(|made| is_over(made.preferred_until, now))
        };
        let idle = self
            .list
            .iter()
            .enumerate()
            .filter(|(_, known)| is_idle(known));
        let idle = idle.min_by_key(|(_, known)| known.address.and_then(|made| made.valid_until));
        let Some((at, _)) = idle else {
            return false;
        };
        self.list.remove(at);
        true
    }
}

impl Advertised {
    fn new(prefix: Prefix) -> Self {
        Self {
            prefix,
            on_link: None,
            address: None,
            taken: 0,
            delegation: false,
            offer: None,
            routers: Vec::new(),
            left_out_at: None,
        }
    }

    fn hear(&mut self, said: &PrefixInformation, now: Instant) {
        if said.on_link {
            // RFC 4861 §6.3.4: zero ends it at once; without L nothing is said.
            self.on_link = (!said.valid.is_zero()).then(|| OnLink {
                until: said.valid.until(now),
            });
        }
        if !said.autonomous || self.prefix.length != slaac::PREFIX_LENGTH {
            return;
        }
        let preferred_until = said.preferred.until(now);
        match &mut self.address {
            None if said.valid.is_zero() => {}
            None => {
                self.address = Some(Made {
                    preferred_until,
                    valid_until: said.valid.until(now),
                    with_route: said.on_link,
                });
            }
            Some(made) => {
                made.preferred_until = preferred_until;
                made.valid_until = two_hour_rule(said.valid, made.valid_until, now);
                // Nothing is preferred that is not valid.
                made.preferred_until = earlier(made.preferred_until, made.valid_until);
            }
        }
    }

    /// Takes that a router has it no more; returns whether it is deprecated by that.
    fn lose(&mut self, router: Ipv6Addr, now: Instant) -> bool {
        let before = self.routers.len();
        self.routers.retain(|known| *known != router);
        if self.routers.len() == before || !self.routers.is_empty() {
            return false;
        }
        self.left_out_at = Some(now);
        if let Some(made) = &mut self.address {
            made.preferred_until = earlier(made.preferred_until, Some(now));
            made.valid_until = earlier(made.valid_until, TWO_HOURS.until(now));
        }
        if let Some(on_link) = &mut self.on_link {
            on_link.until = earlier(on_link.until, TWO_HOURS.until(now));
        }
        true
    }
}

/// RFC 4862 §5.5.3 e: nobody ends an address with a forged packet.
fn two_hour_rule(said: Lifetime, valid_until: Option<Instant>, now: Instant) -> Option<Instant> {
    let left = Lifetime::left(valid_until, now);
    if said > TWO_HOURS || said > left {
        said.until(now)
    } else if left <= TWO_HOURS {
        valid_until
    } else {
        TWO_HOURS.until(now)
    }
}
