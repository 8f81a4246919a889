//! What does `linnet status` tell of routers and prefixes? [`Report`], with everything in seconds from now.

use std::net::Ipv6Addr;

use config::time::Instant;
use policy::facts::Preference;

use super::client::Client;
use super::router::Router;
use crate::octets::{Lifetime, is_over};

/// What is known of routers and prefixes.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// The routers.
    pub routers: Vec<RouterReport>,
    /// The prefixes.
    pub prefixes: Vec<PrefixReport>,
    /// How often routers have been asked since the last answer; `None` when there is no need to.
    pub solicitations: Option<u32>,
    /// Packets that were no valid router advertisements (RFC 4861 §6.1.2).
    pub invalid: u64,
    /// Packets and prefixes that were too many.
    pub too_many: u64,
}

/// What is known of a router.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RouterReport {
    /// Its link-local address.
    pub address: Ipv6Addr,
    /// How it fares.
    pub state: RouterState,
    /// How it recommends itself: `low`, `medium`, `high`.
    pub preference: &'static str,
    /// For how long it is a default router, in seconds; `None` when it is none.
    pub lifetime: Option<u32>,
    /// Seconds since its last packet.
    pub heard: u64,
    /// Whether addresses are to be had from DHCPv6 (M).
    pub managed: bool,
    /// Whether other things are to be had from DHCPv6 (O).
    pub other: bool,
    /// How many routes it has besides the one to everywhere.
    pub routes: usize,
}

/// How a router fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouterState {
    /// It is used.
    Usable,
    /// It is remembered, or was there before the carrier went; it has not spoken since.
    Unconfirmed,
    /// It is not reached; others are used where there are any.
    Failed,
}

/// What is known of a prefix.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PrefixReport {
    /// The prefix.
    pub prefix: String,
    /// Seconds that it stays on the link; `None` when it is not. 4294967295 is for ever, here as below.
    pub on_link: Option<u32>,
    /// Seconds that new connections may begin with the address made of it; `None` without address.
    pub preferred: Option<u32>,
    /// Seconds that the address is valid.
    pub valid: Option<u32>,
    /// How many addresses made of it were somebody else's.
    pub taken: u8,
    /// The routers that advertise it; none when it was left out.
    pub routers: Vec<Ipv6Addr>,
}

/// Writes the report.
pub(super) fn report(client: &Client, now: Instant) -> Report {
    Report {
        routers: client
            .routers
            .iter()
            .map(|known| router(known, now))
            .collect(),
        prefixes: client
            .prefixes
            .list
            .iter()
            .map(|known| PrefixReport {
                prefix: known.prefix.to_string(),
                on_link: known.on_link.map(|on_link| left(on_link.until, now)),
                preferred: known.address.map(|made| left(made.preferred_until, now)),
                valid: known.address.map(|made| left(made.valid_until, now)),
                taken: known.taken,
                routers: known.routers.clone(),
            })
            .collect(),
        solicitations: client.solicitation.sent(),
        invalid: client.invalid,
        too_many: client.too_many.saturating_add(client.prefixes.refused),
    }
}

fn left(until: Option<Instant>, now: Instant) -> u32 {
    Lifetime::left(until, now).0
}

fn router(known: &Router, now: Instant) -> RouterReport {
    let default = known
        .default_route()
        .filter(|timed| !is_over(timed.until, now));
    RouterReport {
        address: known.address,
        state: if known.reach.is_failed() {
            RouterState::Failed
        } else if known.confirmed {
            RouterState::Usable
        } else {
            RouterState::Unconfirmed
        },
        preference: match default.map_or(Preference::Medium, |timed| timed.item.preference) {
            Preference::Low => "low",
            Preference::Medium => "medium",
            Preference::High => "high",
        },
        lifetime: default.map(|timed| left(timed.until, now)),
        heard: now.since(known.heard_at).as_secs(),
        managed: known.managed,
        other: known.other,
        routes: known.routes.len() - usize::from(known.default_route().is_some()),
    }
}
