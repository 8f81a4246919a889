//! Whose judging goes on next, and who pays for it? What costs much is computed in slices, between which others are served.
//!
//! An ordinary reply is judged at once. What is left of a dear one waits until the shell has nothing better to do
//! ([`Resolver::handle_work`]); whoever has had fewest slices comes first, so that a hostile zone waits for itself.

use std::collections::BTreeSet;
use std::net::IpAddr;

use config::model::Upstream;
use config::time::Instant;
use dnssec::{Source, Validation};

use crate::Resolver;
use crate::lookup::Waiter;
use crate::scope::Scope;

/// Octets of an address of IPv6 that tell one client from another: a site may have all below.
const SITE_OCTETS: usize = 7;
/// What tells a client's number from an upstream's.
const OF_CLIENT4: u64 = 1 << 56;
const OF_CLIENT6: u64 = 2 << 56;
const OF_UPSTREAM: u64 = 3 << 56;

/// Judgings that are paused: how many slices each has had, and the lookup.
#[derive(Debug, Default)]
pub(crate) struct Paused(BTreeSet<(u32, u64)>);

impl Resolver {
    /// Whether something is left to compute when there is nothing else to do.
    pub fn has_work(&self) -> bool {
        !self.paused.0.is_empty()
    }

    /// Computes one slice more of what is left; to be called while [`Resolver::has_work`] and no input waits.
    pub fn handle_work(&mut self, now: Instant) {
        if let Some((_, id)) = self.paused.0.pop_first() {
            self.go_on_judging(id, now);
        }
    }

    /// Lets a judging wait for its next slice.
    pub(crate) fn pause(&mut self, id: u64, slices: u32) {
        self.counters.paused += 1;
        self.paused.0.insert((slices, id));
    }

    /// Has those who ask and the upstream that replied pay for a judging.
    pub(crate) fn charge(&self, id: u64, upstream: &Upstream, validation: &mut Validation) {
        let Some(lookup) = self.lookups.get(id) else {
            return;
        };
        for waiter in &lookup.waiters {
            if let Waiter::Query(query) = waiter
                && let Some(origin) = self.queries.get(*query).and_then(|query| query.origin)
            {
                validation.charge_to(of_client(origin));
            }
        }
        let scope = self.scopes.get(&lookup.asking.scope);
        if let Some(source) = scope.and_then(|scope| of_upstream(scope, upstream)) {
            validation.charge_to(source);
        }
    }
}

fn of_client(origin: IpAddr) -> Source {
    Source(match origin.to_canonical() {
        IpAddr::V4(address) => OF_CLIENT4 | u64::from(address.to_bits()),
        IpAddr::V6(address) => {
            let octets = address.octets().into_iter().take(SITE_OCTETS);
            OF_CLIENT6 | octets.fold(0, |number, octet| number << 8 | u64::from(octet))
        }
    })
}

/// One that is not of the scope, as the servers that are asked from the root down, has no number: its zone pays.
fn of_upstream(scope: &Scope, upstream: &Upstream) -> Option<Source> {
    const PLACES: u64 = 1 << 8;
    let place = scope
        .states()
        .position(|state| state.upstream == *upstream)?;
    let place = u64::try_from(place).ok()?.min(PLACES - 1);
    Some(Source(OF_UPSTREAM | (scope.incarnation * PLACES) | place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_of_one_site_are_one_source_and_all_others_are_not() {
        let of = |text: &str| of_client(text.parse().unwrap());
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        let all = [
            "192.0.2.1",
            "192.0.2.2",
            "2001:db8::1",
            "2001:db8:1::1",
            "::1",
        ];
        let sources: BTreeSet<Source> = all.iter().map(|text| of(text)).collect();
        assert_eq!(sources.len(), all.len());
    }
}
