//! What do leases and options together supply? [`Offered`], which a Reply brings, and [`supply`].

use std::net::IpAddr;
use std::sync::Arc;

use config::model::Upstream;
use config::name::DomainName;
use policy::facts::{Delegated, SuppliedAddress, Supply};

use super::leases::Leases;
use super::wire::{Message, Sort};
use crate::offered::{self, Portal};

/// What a Reply offers besides leases.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Offered {
    upstreams: Vec<Upstream>,
    search: Vec<DomainName>,
    time_servers: Vec<IpAddr>,
    portal: Option<Arc<str>>,
}

impl Offered {
    /// Reads what a Reply offers.
    pub(super) fn of(reply: &Message, link: &Arc<str>) -> Self {
        let mut encrypted: Vec<_> = reply.encrypted.iter().collect();
        encrypted.sort_by_key(|designated| designated.priority);
        let plain = reply.resolvers.iter();
        Self {
            // Encrypted ones first (RFC 9463 §3.1.9).
            upstreams: encrypted
                .into_iter()
                .flat_map(|designated| designated.upstreams(link))
                .chain(plain.map(|address| offered::upstream(*address, link)))
                .collect(),
            search: reply.search.clone(),
            time_servers: reply.time_servers.iter().copied().map(IpAddr::V6).collect(),
            portal: match &reply.portal {
                Some(Portal::At(uri)) => Some(uri.clone()),
                Some(Portal::None) | None => None,
            },
        }
    }
}

/// Returns what is supplied: options of the server that gave leases count before those that were asked for alone.
pub(super) fn supply(leases: &Leases, offered: &[&Offered], confirmed: bool) -> Supply {
    let mut supply = Supply::default();
    for held in &leases.held {
        match held.sort {
            Sort::Addresses => supply.addresses.push(SuppliedAddress {
                prefix: held.prefix,
                preferred_until: held.preferred_until,
                valid_until: held.valid_until,
                temporaries: false,
            }),
            Sort::Prefixes => supply.delegated.push(Delegated {
                prefix: held.prefix,
                preferred_until: held.preferred_until,
                valid_until: held.valid_until,
                excluded: held.excluded,
            }),
        }
    }
    for offered in offered {
        if supply.upstreams.is_empty() {
            supply.upstreams.clone_from(&offered.upstreams);
        }
        if supply.search.is_empty() {
            supply.search.clone_from(&offered.search);
        }
        if supply.time_servers.is_empty() {
            supply.time_servers.clone_from(&offered.time_servers);
        }
        supply.portal = supply.portal.take().or_else(|| offered.portal.clone());
    }
    supply.unconfirmed = !confirmed && supply != Supply::default();
    supply
}
