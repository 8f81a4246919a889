//! What does a lease give, and until when? [`Lease`]: one ACK, its times, and the supply that it makes.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use config::model::{Prefix, Upstream};
use config::time::Instant;
use policy::facts::{NetworkId, Preference, SuppliedAddress, SuppliedRoute, Supply};

use super::options::{Route, class_length, is_host, prefix};
use super::remembered::{Age, Candidate};
use super::wire::{Reply, ReplyKind};
use crate::random::Random;

/// A lease without end (RFC 2131 §3.3).
const INFINITE: u32 = u32::MAX;
/// How far T1 and T2 are spread, of the lease time (RFC 2131 §4.4.5: "random fuzz").
const FUZZ: u32 = 64;
/// The least MTU that is taken: every IPv4 host takes packets of this size (RFC 791 §3.1); less is a mistake.
const LEAST_MTU: u16 = 576;
/// Servers of a kind that are taken.
const MAX_SERVERS: usize = 8;

/// A lease: `renew_at ≤ rebind_at ≤ expires_at`, or none of them when it has no end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    /// The address.
    pub(crate) address: Ipv4Addr,
    /// Who gave it.
    pub(crate) server: Ipv4Addr,
    /// In which network.
    pub(crate) network: NetworkId,
    /// When it was asked for.
    pub(crate) acquired_at: Instant,
    /// Its ends.
    pub(crate) times: Option<Times>,
    /// The server's message.
    pub(crate) message: Arc<[u8]>,
    reply: Reply,
}

/// When a lease is prolonged, and when it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    /// T1.
    pub(crate) renew_at: Instant,
    /// T2.
    pub(crate) rebind_at: Instant,
    /// The end.
    pub(crate) expires_at: Instant,
}

impl Lease {
    /// Makes a lease of an ACK, or of a BOOTREPLY, which gives one without end (RFC 1534 §3); `None` when it gives no address that a host can have, or no time. The time counts from the
    /// REQUEST (RFC 2131 §4.4.1).
    pub(crate) fn new(
        reply: Reply,
        message: &[u8],
        kind: &str,
        random: &mut Random,
        requested_at: Instant,
    ) -> Option<Self> {
        if !is_host(reply.address) {
            return None;
        }
        let seconds = match reply.kind {
            ReplyKind::Ack => reply.lease_time.filter(|seconds| *seconds != 0)?,
            ReplyKind::Boot => INFINITE,
            ReplyKind::Offer | ReplyKind::Nak => return None,
        };
        let times =
            (seconds != INFINITE).then(|| Times::new(seconds, &reply, random, requested_at));
        Some(Self {
            address: reply.address,
            server: reply.server,
            network: network(&reply, kind),
            acquired_at: requested_at,
            times,
            message: kept(&reply, message),
            reply,
        })
    }

    /// Makes a lease of what was remembered; `None` when it is over, or was not written by us.
    pub(crate) fn recall(
        candidate: &Candidate,
        kind: &str,
        random: &mut Random,
        now: Instant,
    ) -> Option<Self> {
        let message = &candidate.remembered.message;
        let reply = Reply::parse(message)?;
        let mut lease = Self::new(reply, message, kind, random, now)?;
        lease.network = candidate.remembered.network.clone();
        let age = match candidate.age {
            Age::Known(age) | Age::Dated(age) => age,
            Age::Unknown => Duration::ZERO,
        };
        lease.acquired_at = now - age;
        if let Some(times) = &mut lease.times {
            let lasts = times.expires_at.since(now).checked_sub(age)?;
            let shift = |at: Instant| now + at.since(now).saturating_sub(age);
            *times = Times {
                renew_at: shift(times.renew_at),
                rebind_at: shift(times.rebind_at),
                expires_at: now + lasts,
            };
            if lasts.is_zero() {
                return None;
            }
        }
        Some(lease)
    }

    /// Returns the address with the length of its prefix (RFC 2132 §3.3; without a mask, by class).
    pub(crate) fn prefix(&self) -> Prefix {
        own_prefix(&self.reply)
    }

    /// Whether a BOOTP server gave it: nobody prolongs it, and nobody takes it back.
    pub(crate) fn is_by_bootp(&self) -> bool {
        self.reply.kind == ReplyKind::Boot
    }

    /// Returns the first router: it tells the network apart, and knows whether we are in it.
    pub(crate) fn router(&self) -> Option<Ipv4Addr> {
        gateway(&self.reply)
    }

    /// Returns the name servers.
    pub(crate) fn resolvers(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.reply.resolvers.iter().copied()
    }

    /// Returns what came of options that were asked for by number.
    pub(crate) fn own_options(&self, asked: &BTreeSet<u16>) -> Vec<(u16, Arc<[u8]>)> {
        let numbers = asked.iter().copied();
        let found = numbers.filter_map(|number| {
            let octets = self.reply.options.get(u8::try_from(number).ok()?)?;
            Some((number, octets.into()))
        });
        found.collect()
    }

    /// Whether it was over at `now`.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.times.is_some_and(|times| times.expires_at <= now)
    }

    /// Returns what it supplies.
    pub(crate) fn supply(&self, unconfirmed: bool) -> Supply {
        let until = self.times.map(|times| times.expires_at);
        let options = &self.reply.options;
        let plain = self
            .reply
            .resolvers
            .iter()
            .copied()
            .filter(|to| is_host(*to));
        let plain = plain.take(MAX_SERVERS).map(IpAddr::V4).map(Upstream::plain);
        let mut upstreams = options.encrypted();
        upstreams.extend(plain);
        let time_servers = self.reply.time_servers.iter().copied();
        let time_servers = time_servers.filter(|address| is_host(*address));
        Supply {
            addresses: vec![SuppliedAddress {
                prefix: self.prefix(),
                preferred_until: until,
                valid_until: until,
                temporaries: false,
            }],
            routes: self.routes(until),
            upstreams,
            search: options.search(),
            mtu: self
                .reply
                .mtu
                .filter(|mtu| *mtu >= LEAST_MTU)
                .map(u32::from),
            portal: options.portal(),
            time_servers: time_servers.take(MAX_SERVERS).map(IpAddr::V4).collect(),
            unconfirmed,
            ..Supply::default()
        }
    }

    /// RFC 3442: classless routes, and the older options only where there are none. A neighbour that no prefix and no route
    /// reaches gets a route of its own, as clouds that give /32 addresses expect.
    fn routes(&self, until: Option<Instant>) -> Vec<SuppliedRoute> {
        let options = &self.reply.options;
        let given = options.classless_routes().unwrap_or_else(|| {
            let mut routes = options.static_routes();
            routes.extend(gateway(&self.reply).map(|via| Route {
                to: prefix(Ipv4Addr::UNSPECIFIED, 0),
                via: Some(via),
            }));
            routes
        });
        let own = self.prefix();
        let contains = |network: Prefix, address: Ipv4Addr| {
            prefix(address, network.length).network() == network.network()
        };
        let is_reached = |via: Ipv4Addr| {
            let mut direct = given.iter().filter(|route| route.via.is_none());
            contains(own, via) || direct.any(|route| contains(route.to, via))
        };
        let mut routes: Vec<Route> = Vec::new();
        for route in &given {
            if let Some(via) = route.via.filter(|via| !is_reached(*via)) {
                let direct = Route {
                    to: prefix(via, 32),
                    via: None,
                };
                if !routes.contains(&direct) {
                    routes.push(direct);
                }
            }
            // A route through ourselves leads nowhere.
            if route.via != Some(self.address) && !routes.iter().any(|other| other.to == route.to) {
                routes.push(*route);
            }
        }
        let supplied = routes.into_iter().map(|route| SuppliedRoute {
            to: route.to,
            via: route.via.map(IpAddr::V4),
            source: Some(IpAddr::V4(self.address)),
            preference: Preference::Medium,
            valid_until: until,
        });
        supplied.collect()
    }
}

impl Times {
    /// RFC 2131 §4.4.5: T1 is half of the lease, T2 seven eighths, where the server does not say or says nonsense; spread, so
    /// that machines that started together do not come back together.
    fn new(seconds: u32, reply: &Reply, random: &mut Random, from: Instant) -> Self {
        let lasts = Duration::from_secs(seconds.into());
        let fuzz = lasts / FUZZ;
        let given = |seconds: Option<u32>| seconds.map(|s| Duration::from_secs(s.into()));
        let sound = |(t1, t2): &(Duration, Duration)| !t1.is_zero() && t1 <= t2 && *t2 < lasts;
        let said = given(reply.renewal)
            .zip(given(reply.rebinding))
            .filter(sound);
        let (t1, t2) = said.unwrap_or_else(|| {
            let half = given(reply.renewal).filter(|t1| !t1.is_zero() && *t1 < lasts * 7 / 8);
            let half = half.unwrap_or_else(|| random.around(lasts / 2, fuzz));
            (half, random.around(lasts * 7 / 8, fuzz))
        });
        Self {
            renew_at: from + t1,
            rebind_at: from + t2.max(t1),
            expires_at: from + lasts,
        }
    }
}

/// Returns what is kept of a message: who sent it is not in one of BOOTP, and is written where it says where to boot from (`siaddr`).
fn kept(reply: &Reply, message: &[u8]) -> Arc<[u8]> {
    let mut kept = message.to_vec();
    if reply.kind == ReplyKind::Boot
        && let Some(siaddr) = kept.get_mut(20..24)
    {
        siaddr.copy_from_slice(&reply.server.octets());
    }
    kept.into()
}

fn own_prefix(reply: &Reply) -> Prefix {
    let length = reply.length.filter(|length| *length != 0);
    prefix(
        reply.address,
        length.unwrap_or_else(|| class_length(reply.address)),
    )
}

fn gateway(reply: &Reply) -> Option<Ipv4Addr> {
    let default = reply.options.classless_routes().map(|routes| {
        let mut default = routes.into_iter().filter(|route| route.to.length == 0);
        default.find_map(|route| route.via)
    });
    let mut routers = reply.routers.iter().copied();
    default.unwrap_or_else(|| routers.find(|via| is_host(*via) && *via != reply.address))
}

/// Tells the network as `LinkFacts::network` does, so that what others remember of it is found under the same.
fn network(reply: &Reply, kind: &str) -> NetworkId {
    let prefix = own_prefix(reply).network();
    let text = match gateway(reply) {
        Some(gateway) => format!("{kind} {prefix} by {gateway}"),
        None => format!("{kind} {prefix}"),
    };
    NetworkId(text.into())
}

#[cfg(test)]
mod tests;
