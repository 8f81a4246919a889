//! Which leases are held, and until when? [`Leases`]: what a Reply changes of them (RFC 8415 §18.2.10.1).
//!
//! An address that is taken back is gone at once: it is not ours. A prefix that is taken back is deprecated first, since others
//! have made addresses of it (RFC 9096 §3.5).

use std::time::Duration;

use config::model::Prefix;
use config::time::Instant;

use super::wire::{Association, Message, OfferedLease, Sort, StatusCode};
use crate::octets::{Lifetime, earlier, is_over};

/// Leases that one link may hold.
const HELD_MAX: usize = 32;
/// How long a prefix that was taken back stays with those who have addresses of it.
const GRACE: Lifetime = Lifetime(7200);
/// The soonest that a server has us renew, unless leases are shorter than twice this.
const RENEW_MIN: Duration = Duration::from_secs(10);

/// A lease that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) sort: Sort,
    pub(super) prefix: Prefix,
    pub(super) preferred_until: Option<Instant>,
    pub(super) valid_until: Option<Instant>,
    pub(super) excluded: Option<Prefix>,
    /// Whether the server took it back, so that it is not asked for again.
    pub(super) taken_back: bool,
}

/// The leases of one link; all of one server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Leases {
    pub(super) server: Vec<u8>,
    pub(super) held: Vec<Held>,
    /// T1; `None` for never.
    pub(super) renew_at: Option<Instant>,
    /// T2, never before T1; `None` for never.
    pub(super) rebind_at: Option<Instant>,
}

/// How much a Reply says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All: what it does not have is over.
    Whole,
    /// What it does not have stays as it is.
    Part,
}

/// What a Reply has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Outcome {
    /// Whether any lease was given or prolonged.
    pub(super) granted: bool,
    /// Whether the server knows nothing of some (NoBinding).
    pub(super) no_binding: bool,
    /// Whether some do not fit this link (NotOnLink).
    pub(super) not_on_link: bool,
}

impl Leases {
    /// Takes a Reply.
    pub(super) fn take(
        &mut self,
        reply: &Message,
        wanted: &[Sort],
        iaid: u32,
        extent: Extent,
        now: Instant,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let mut times = Times::default();
        for sort in wanted {
            let Some(association) = reply.association(*sort, iaid) else {
                continue;
            };
            match association.status.as_ref().map(|status| status.code) {
                Some(StatusCode::NoBinding) => {
                    outcome.no_binding = true;
                    continue;
                }
                Some(StatusCode::NotOnLink) => {
                    outcome.not_on_link = true;
                    continue;
                }
                Some(
                    StatusCode::Success
                    | StatusCode::UnspecFail
                    | StatusCode::NoAddrsAvail
                    | StatusCode::UseMulticast
                    | StatusCode::NoPrefixAvail
                    | StatusCode::Other(_),
                )
                | None => {}
            }
            if extent == Extent::Whole {
                let said = |held: &Held| {
                    let mut leases = association.leases.iter();
                    leases.any(|lease| lease.prefix == held.prefix)
                };
                self.take_back(now, |held| held.sort == *sort && !said(held));
            }
            for lease in &association.leases {
                if lease.valid.is_zero() {
                    self.take_back(now, |held| held.prefix == lease.prefix);
                } else {
                    self.grant(*sort, lease, now);
                    outcome.granted = true;
                }
            }
            times.take(association);
        }
        if outcome.granted {
            (self.renew_at, self.rebind_at) = times.ends(now);
            if let Some(server) = &reply.server {
                self.server.clone_from(server);
            }
        }
        outcome
    }

    fn grant(&mut self, sort: Sort, lease: &OfferedLease, now: Instant) {
        let held = Held {
            sort,
            prefix: lease.prefix,
            preferred_until: lease.preferred.until(now),
            valid_until: lease.valid.until(now),
            excluded: lease.excluded,
            taken_back: false,
        };
        let mut known = self.held.iter_mut();
        if let Some(known) = known.find(|known| known.prefix == lease.prefix) {
            *known = held;
        } else if self.held.len() < HELD_MAX {
            self.held.push(held);
        }
    }

    fn take_back(&mut self, now: Instant, is_meant: impl Fn(&Held) -> bool) {
        self.held
            .retain(|held| held.sort != Sort::Addresses || !is_meant(held));
        for held in self.held.iter_mut().filter(|held| is_meant(held)) {
            held.taken_back = true;
            held.preferred_until = earlier(held.preferred_until, Some(now));
            held.valid_until = earlier(held.valid_until, GRACE.until(now));
        }
    }

    /// Takes back everything: the server or the place is another one. Prefixes stay for a while.
    pub(super) fn lose(&mut self, now: Instant) {
        self.take_back(now, |_| true);
        (self.renew_at, self.rebind_at) = (None, None);
    }

    /// Drops an address that is somebody else's; whether it was held.
    pub(super) fn drop_address(&mut self, address: std::net::Ipv6Addr) -> Option<Prefix> {
        let is_it = |held: &Held| held.sort == Sort::Addresses && held.prefix.address == address;
        let at = self.held.iter().position(is_it)?;
        Some(self.held.remove(at).prefix)
    }

    /// Forgets what is over.
    pub(super) fn expire(&mut self, now: Instant) {
        self.held.retain(|held| !is_over(held.valid_until, now));
    }

    /// Returns the leases of a sort that are still the server's word.
    pub(super) fn of(&self, sort: Sort) -> impl Iterator<Item = &Prefix> {
        let held = self.held.iter();
        held.filter(move |held| held.sort == sort && !held.taken_back)
            .map(|held| &held.prefix)
    }

    /// Whether any lease is still the server's word.
    pub(super) fn is_held(&self) -> bool {
        self.held.iter().any(|held| !held.taken_back)
    }

    pub(super) fn ends_at(&self) -> Option<Instant> {
        self.held.iter().filter_map(|held| held.valid_until).min()
    }

    /// Returns when the last lease is over; `None` for never.
    pub(super) fn last_until(&self) -> Option<Instant> {
        let held = self.held.iter().filter(|held| !held.taken_back);
        let ends: Option<Vec<Instant>> = held.map(|held| held.valid_until).collect();
        ends.and_then(|ends| ends.into_iter().max())
    }
}

/// When to renew and rebind, over all associations: the earliest (RFC 8415 §18.2.4).
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    t1: Option<Duration>,
    t2: Option<Duration>,
    shortest: Option<Duration>,
}

impl Times {
    fn take(&mut self, association: &Association) {
        let leases = || {
            association
                .leases
                .iter()
                .filter(|lease| !lease.valid.is_zero())
        };
        let preferred = leases().map(|lease| lease.preferred);
        let preferred = preferred.filter(|lifetime| !lifetime.is_zero()).min();
        let Some(base) = preferred.or_else(|| leases().map(|lease| lease.valid).min()) else {
            return;
        };
        let base = base.duration();
        // RFC 8415 §21.4: 0 leaves it to the client; half and four fifths are what is recommended.
        let said = |lifetime: Lifetime, numerator: u32| match lifetime {
            Lifetime(0) => base.map(|base| base * numerator / 10),
            other => other.duration(),
        };
        let t1 = said(association.t1, 5);
        let t2 = said(association.t2, 8).map(|t2| t1.map_or(t2, |t1| t2.max(t1)));
        let min =
            |one: Option<Duration>, other: Option<Duration>| one.into_iter().chain(other).min();
        self.t1 = min(self.t1, t1);
        self.t2 = min(self.t2, t2);
        let valid = leases().filter_map(|lease| lease.valid.duration()).min();
        self.shortest = min(self.shortest, valid);
    }

    fn ends(self, now: Instant) -> (Option<Instant>, Option<Instant>) {
        let least = self
            .shortest
            .map_or(RENEW_MIN, |shortest| RENEW_MIN.min(shortest / 2));
        let t1 = self.t1.map(|t1| t1.max(least));
        let t2 = self.t2.map(|t2| t2.max(t1.unwrap_or(least)));
        (t1.map(|t1| now + t1), t2.map(|t2| now + t2))
    }
}
