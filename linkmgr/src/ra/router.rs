//! What is known of one router? [`Router`]: what it advertised, until when each part of it holds, and whether it is reached.

use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use config::model::{Mapping, Prefix};
use config::name::DomainName;
use config::time::Instant;
use policy::facts::Preference;

use super::Reachability;
use super::wire::Advertisement;
use crate::octets::{Lifetime, earlier, is_over};
use crate::offered::{Designated, Portal};

/// Things of one kind that one router may have in force, over all its packets.
const EACH_MAX: usize = 16;
/// How long things without a time of their own last after a packet of a router that is no default router: the longest that
/// a default router lasts (RFC 4861 §6.2.1).
const UNTIMED: Duration = Duration::from_secs(9000);
/// Packets of one router in a row, and one more in each [`PACKET_EVERY`].
const PACKETS: u8 = 10;
/// A router advertises no more often than this (RFC 4861 §6.2.1: `MinRtrAdvInterval` is at least 3 s), but answers others beside.
const PACKET_EVERY: Duration = Duration::from_secs(1);
/// How soon after a packet its router is asked again, at the earliest.
const REFRESH_MIN: Duration = Duration::from_secs(2);
/// For how long a router that was not reached stays unused though it speaks, the first time; twice as long each time after.
const PENALTY: Duration = Duration::from_secs(30);
/// Its longest.
const PENALTY_DOUBLINGS: u32 = 6;

/// Something that lasts until a time; `None` for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Timed<T> {
    pub(super) item: T,
    pub(super) until: Option<Instant>,
}

/// A router that was heard.
#[derive(Debug, Clone)]
pub(super) struct Router {
    pub(super) address: Ipv6Addr,
    /// Routes that it advertises; the one to everywhere is among them.
    pub(super) routes: Vec<Timed<Route>>,
    pub(super) resolvers: Vec<Timed<Ipv6Addr>>,
    pub(super) search: Vec<Timed<DomainName>>,
    pub(super) pref64: Vec<Timed<Mapping>>,
    pub(super) encrypted: Vec<Timed<Designated>>,
    pub(super) managed: bool,
    pub(super) other: bool,
    pub(super) mtu: Option<u32>,
    /// These last as long as the router: 0 in a later packet does not take them back (RFC 4861 §6.3.4).
    pub(super) hop_limit: Option<u8>,
    pub(super) reachable: Option<Duration>,
    pub(super) retransmit: Option<Duration>,
    pub(super) portal: Option<Arc<str>>,
    /// Until when that which has no time of its own holds.
    pub(super) untimed_until: Instant,
    pub(super) heard_at: Instant,
    /// Its last packet, for the next time; empty when that is too long.
    pub(super) octets: Vec<u8>,
    /// When to ask it again before something of it ends.
    pub(super) refresh_at: Option<Instant>,
    /// Whether it was heard in this place, since the carrier came.
    pub(super) confirmed: bool,
    /// Whether the kernel has reached it in this place.
    pub(super) reached: bool,
    /// Whether it tells what it has in several packets.
    pub(super) splits: bool,
    pub(super) reach: Reach,
    pub(super) bucket: Bucket,
}

/// A route of a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) to: Prefix,
    pub(super) preference: Preference,
}

/// The route to everywhere.
pub(super) const EVERYWHERE: Prefix = Prefix {
    address: std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    length: 0,
};

/// Whether a router is reached.
///
/// ```text
///  usable ── the kernel gives up (NUD_FAILED), or others answer and it does not ──► failed
///    ▲                                                                               │
///    └── it answers (NUD_REACHABLE), or speaks after its penalty ────────────────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reach {
    failed_at: Option<Instant>,
    failures: u32,
}

impl Reach {
    pub(super) const fn is_failed(&self) -> bool {
        self.failed_at.is_some()
    }

    /// Takes a failure; returns whether it is news.
    pub(super) fn fail(&mut self, now: Instant) -> bool {
        if self.failed_at.is_some() {
            return false;
        }
        self.failed_at = Some(now);
        self.failures = self.failures.saturating_add(1);
        true
    }

    /// Takes that it was reached; returns whether that is news.
    pub(super) fn reach(&mut self) -> bool {
        self.failures = 0;
        self.failed_at.take().is_some()
    }

    /// Takes that it spoke. Whoever is heard but not reached would come and go with each packet, hence the penalty.
    fn speak(&mut self, now: Instant) {
        let penalty = PENALTY * 2_u32.pow(self.failures.saturating_sub(1).min(PENALTY_DOUBLINGS));
        if self
            .failed_at
            .is_some_and(|failed_at| now >= failed_at + penalty)
        {
            self.failed_at = None;
        }
    }
}

/// How many packets may still come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bucket {
    left: u8,
    filled_at: Instant,
}

impl Bucket {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            left: PACKETS,
            filled_at: now,
        }
    }

    /// Takes one out; returns whether there was one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let more = now.since(self.filled_at).as_secs() / PACKET_EVERY.as_secs();
        if more > 0 {
            let left = u64::from(self.left).saturating_add(more);
            self.left = u8::try_from(left).unwrap_or(PACKETS).min(PACKETS);
            self.filled_at = now;
        }
        let is_one = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_one
    }
}

impl Router {
    pub(super) fn new(address: Ipv6Addr, now: Instant) -> Self {
        Self {
            address,
            routes: Vec::new(),
            resolvers: Vec::new(),
            search: Vec::new(),
            pref64: Vec::new(),
            encrypted: Vec::new(),
            managed: false,
            other: false,
            mtu: None,
            hop_limit: None,
            reachable: None,
            retransmit: None,
            portal: None,
            untimed_until: now,
            heard_at: now,
            octets: Vec::new(),
            refresh_at: None,
            confirmed: false,
            reached: false,
            splits: false,
            reach: Reach::default(),
            bucket: Bucket::new(now),
        }
    }

    /// Takes what it advertises; prefixes are kept elsewhere, as several routers may have one.
    pub(super) fn hear(&mut self, said: &Advertisement, now: Instant) {
        self.heard_at = now;
        self.confirmed = true;
        self.reach.speak(now);
        self.managed = said.managed;
        self.other = said.other;
        self.untimed_until = now
            + if said.lifetime.is_zero() {
                UNTIMED
            } else {
                said.lifetime
            };
        // RFC 4861 §6.3.4: what a packet does not mention stays.
        self.mtu = said.mtu.or(self.mtu);
        let time = |time: Duration| (!time.is_zero()).then_some(time);
        self.hop_limit = (said.hop_limit != 0)
            .then_some(said.hop_limit)
            .or(self.hop_limit);
        self.reachable = time(said.reachable).or(self.reachable);
        self.retransmit = time(said.retransmit).or(self.retransmit);
        match &said.portal {
            None => {}
            Some(Portal::None) => self.portal = None,
            Some(Portal::At(uri)) => self.portal = Some(uri.clone()),
        }
        let lifetime = Lifetime(u32::try_from(said.lifetime.as_secs()).unwrap_or(u32::MAX - 1));
        self.route(EVERYWHERE, said.preference, lifetime, now);
        // RFC 4191 §3.1: a route to everywhere among the options overrides the header.
        for route in &said.routes {
            self.route(route.to, route.preference, route.lifetime, now);
        }
        for (address, lifetime) in &said.resolvers {
            put(&mut self.resolvers, *address, *lifetime, now);
        }
        for (name, lifetime) in &said.search {
            put(&mut self.search, name.clone(), *lifetime, now);
        }
        for (mapping, lifetime) in &said.pref64 {
            put(&mut self.pref64, *mapping, *lifetime, now);
        }
        for (designated, lifetime) in &said.encrypted {
            // RFC 9463 §6.2: known by its name; what else is said of it is the latest.
            self.encrypted
                .retain(|known| known.item.name != designated.name || known.item == *designated);
            put(&mut self.encrypted, designated.clone(), *lifetime, now);
        }
        self.plan_refresh(said, now);
    }

    fn route(&mut self, to: Prefix, preference: Preference, lifetime: Lifetime, now: Instant) {
        self.routes
            .retain(|known| known.item.to != to || known.item.preference == preference);
        if to == EVERYWHERE && self.default_route().is_none() {
            // There is always room for this one.
            self.routes.truncate(EACH_MAX - 1);
        }
        put(&mut self.routes, Route { to, preference }, lifetime, now);
    }

    /// When three quarters of the shortest time in the packet are over, and it has not spoken, it is asked. Only what the packet
    /// has counts: what it leaves out no answer would bring.
    fn plan_refresh(&mut self, said: &Advertisement, now: Instant) {
        let header = (!said.lifetime.is_zero()).then_some(said.lifetime);
        let prefixes = said.prefixes.iter().flat_map(|prefix| {
            [
                (prefix.autonomous && !prefix.preferred.is_zero()).then_some(prefix.preferred),
                prefix.on_link.then_some(prefix.valid),
            ]
        });
        let others = said.routes.iter().map(|route| route.lifetime);
        let others = others
            .chain(said.resolvers.iter().map(|(_, lifetime)| *lifetime))
            .chain(said.search.iter().map(|(_, lifetime)| *lifetime))
            .chain(said.pref64.iter().map(|(_, lifetime)| *lifetime))
            .chain(said.encrypted.iter().map(|(_, lifetime)| *lifetime))
            .chain(prefixes.flatten());
        let others = others.filter(|lifetime| !lifetime.is_zero());
        let shortest = others.filter_map(Lifetime::duration).chain(header).min();
        self.refresh_at = shortest.map(|lasts| now + (lasts * 3 / 4).max(REFRESH_MIN));
    }

    /// Forgets what is over; returns whether anything was.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let mut changed = expire(&mut self.routes, now);
        changed |= expire(&mut self.resolvers, now);
        changed |= expire(&mut self.search, now);
        changed |= expire(&mut self.pref64, now);
        changed |= expire(&mut self.encrypted, now);
        if self.untimed_until <= now && self.has_untimed() {
            (self.managed, self.other, self.mtu, self.portal) = (false, false, None, None);
            changed = true;
        }
        changed
    }

    const fn has_untimed(&self) -> bool {
        self.managed || self.other || self.mtu.is_some() || self.portal.is_some()
    }

    /// Whether nothing of it is in force.
    pub(super) fn is_empty(&self) -> bool {
        self.routes.is_empty()
            && self.resolvers.is_empty()
            && self.search.is_empty()
            && self.pref64.is_empty()
            && self.encrypted.is_empty()
            && !self.has_untimed()
    }

    /// Returns when the first thing of it is over.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        let untimed = self.has_untimed().then_some(self.untimed_until);
        [
            first(&self.routes),
            first(&self.resolvers),
            first(&self.search),
            first(&self.pref64),
            first(&self.encrypted),
        ]
        .into_iter()
        .fold(untimed, earlier)
    }

    /// Returns its route to everywhere.
    pub(super) fn default_route(&self) -> Option<&Timed<Route>> {
        self.routes.iter().find(|timed| timed.item.to == EVERYWHERE)
    }

    /// Returns how good it is beside others: the better the greater.
    pub(super) fn rank(&self) -> (bool, Option<Preference>, bool) {
        let preference = self.default_route().map(|timed| timed.item.preference);
        (!self.reach.is_failed(), preference, self.confirmed)
    }

    /// Takes what the kernel says; returns whether it is news.
    pub(super) fn neighbour(&mut self, reachability: Reachability, now: Instant) -> bool {
        match reachability {
            Reachability::Reachable => self.reach.reach(),
            Reachability::Unknown => false,
            Reachability::Failed => self.reach.fail(now),
            Reachability::NoRouter => self.resign(),
        }
    }

    /// RFC 4861 §7.2.5: it is no default router any more, until it advertises again. What it says of the link holds.
    fn resign(&mut self) -> bool {
        // Nor is it one after a restart.
        self.octets.clear();
        let is_news = !self.routes.is_empty();
        self.routes.clear();
        is_news
    }
}

/// Takes one thing for as long as it lasts; nothing at all ends it.
fn put<T: PartialEq>(list: &mut Vec<Timed<T>>, item: T, lifetime: Lifetime, now: Instant) {
    let known = list.iter().position(|timed| timed.item == item);
    let until = lifetime.until(now);
    match known {
        Some(at) if lifetime.is_zero() => {
            list.remove(at);
        }
        Some(at) => {
            if let Some(timed) = list.get_mut(at) {
                timed.until = until;
            }
        }
        None if lifetime.is_zero() || list.len() >= EACH_MAX => {}
        None => list.push(Timed { item, until }),
    }
}

fn expire<T>(list: &mut Vec<Timed<T>>, now: Instant) -> bool {
    let before = list.len();
    list.retain(|timed| !is_over(timed.until, now));
    list.len() != before
}

fn first<T>(list: &[Timed<T>]) -> Option<Instant> {
    list.iter().filter_map(|timed| timed.until).min()
}
