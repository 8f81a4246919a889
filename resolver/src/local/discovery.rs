//! By which prefix does a network translate? Asks for `ipv4only.arpa` in a scope (RFC 7050), and remembers what came of it.
//!
//! ```text
//! unknown ── first question that needs to know: held up to 1 s ──► asking ──► known, until its TTL is over ─► unknown
//! ```
//!
//! The question is asked without DO and CD and is never validated: its whole point is an answer that somebody made. Nothing
//! is inferred from silence but that it is silent.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use config::model::{Dns64, Mapping, Prefix};
use config::time::Instant;
use policy::ScopeId;

use crate::Resolver;
use crate::cache::Slot;
use crate::chain::is_claimed;
use crate::conclude::Conclusion;
use crate::event::Timer;
use crate::exchange::{Asking, Whom};
use crate::lookup::Waiter;
use crate::record::{RawRecord, soa_minimum};
use crate::wire::{Question, class, rtype};

/// How long questions wait to learn of the prefix.
const HOLD_MAX: Duration = Duration::from_secs(1);
/// How long it is known at least, and at most.
const KNOWN_MIN: Duration = Duration::from_secs(60);
const KNOWN_MAX: Duration = Duration::from_secs(86_400);
/// How long the want of a prefix is known at most: a network may come to have one.
const NONE_MAX: Duration = Duration::from_secs(3600);
/// The most prefixes of one network.
const MAX_MAPPINGS: usize = 8;
/// The addresses that `ipv4only.arpa` has (RFC 7050 §2.2).
const WELL_KNOWN: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 0, 170), Ipv4Addr::new(192, 0, 0, 171)];

/// What is known of the scopes' networks.
#[derive(Debug, Default)]
pub(crate) struct Discovery {
    known_by_scope: BTreeMap<ScopeId, Known>,
    /// Queries that wait to know, by the incarnation of their scope.
    held_by_scope: BTreeMap<u64, Vec<u64>>,
}

#[derive(Debug)]
struct Known {
    /// Another place in the cache is another network.
    slot: Slot,
    mappings: Vec<Mapping>,
    until: Instant,
    asking: bool,
}

/// What is known of a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Knowledge {
    /// IPv4 addresses are reached by these; empty when they are not.
    Mappings(Vec<Mapping>),
    /// That has to be asked.
    Unknown,
}

impl Resolver {
    /// Returns by which prefixes IPv4 addresses of a scope are reached.
    pub(super) fn mappings(&self, id: &ScopeId, now: Instant) -> Knowledge {
        let none = Knowledge::Mappings(Vec::new());
        let Some(scope) = self.scopes.get(id) else {
            return none;
        };
        match &scope.plan.dns64 {
            Dns64::Off => none,
            Dns64::Prefixes(mappings) => Knowledge::Mappings(mappings.clone()),
            Dns64::Auto => match self.local.discovery.known_by_scope.get(id) {
                Some(known) if known.slot == scope.slot && now < known.until => {
                    Knowledge::Mappings(known.mappings.clone())
                }
                Some(_) | None => Knowledge::Unknown,
            },
        }
    }

    /// Asks for the prefix of a scope, unless that is under way; `held` waits for it.
    pub(super) fn learn_prefix(&mut self, id: &ScopeId, held: Option<u64>, now: Instant) {
        let Some(scope) = self.scopes.get(id) else {
            return;
        };
        let (slot, incarnation) = (scope.slot, scope.incarnation);
        if let Some(query) = held {
            let waiting = self.local.discovery.held_by_scope.entry(incarnation);
            waiting.or_default().push(query);
            self.timers
                .set_earlier(Timer::Prefix, incarnation, now + HOLD_MAX);
        }
        let known = self.local.discovery.known_by_scope.get(id);
        if known.is_some_and(|known| known.asking && known.slot == slot) {
            return;
        }
        let scopes = &self.scopes;
        self.local
            .discovery
            .known_by_scope
            .retain(|id, _| scopes.get(id).is_some());
        let Ok(name) = "ipv4only.arpa".parse() else {
            return;
        };
        // A name that somebody claims is asked there and nowhere else.
        let route = self.plan.domains.route(&name);
        let may_ask = !is_claimed(&route) || route.target.scope() == Some(id);
        let known = Known {
            slot,
            mappings: Vec::new(),
            until: if may_ask { now } else { now + KNOWN_MIN },
            asking: may_ask,
        };
        self.local
            .discovery
            .known_by_scope
            .insert(id.clone(), known);
        if !may_ask {
            self.timers.set(Timer::Prefix, incarnation, now);
            return;
        }
        let asking = Asking {
            scope: id.clone(),
            incarnation,
            question: Question {
                name,
                record_type: rtype::AAAA,
                class: class::IN,
            },
            dnssec_ok: false,
            checking_disabled: false,
            validate: false,
            recurse: false,
            fleeting: false,
            whom: Whom::Any,
            mark: 0,
        };
        self.ask(Waiter::Prefix(incarnation), asking, now);
    }

    /// Takes the answer to the question for the prefix.
    pub(crate) fn take_prefix(&mut self, asking: &Asking, conclusion: &Conclusion, now: Instant) {
        let Some(scope) = self.scopes.living(&asking.scope, asking.incarnation) else {
            return;
        };
        let slot = scope.slot;
        let (mappings, lifetime) = match conclusion {
            Conclusion::Reply { plain, .. } => {
                let addresses = plain.hop.answers.iter().filter_map(address);
                let mappings = learn(&addresses.collect::<Vec<_>>());
                let records = match mappings.is_empty() {
                    true => plain.hop.authority.iter(),
                    false => plain.hop.answers.iter(),
                };
                let ttl = records
                    .map(|record| record.ttl.min(soa_minimum(record).unwrap_or(u32::MAX)))
                    .min();
                let most = if mappings.is_empty() {
                    NONE_MAX
                } else {
                    KNOWN_MAX
                };
                let ttl = Duration::from_secs(ttl.unwrap_or_default().into());
                (mappings, ttl.clamp(KNOWN_MIN, most))
            }
            Conclusion::Refused(_) => (Vec::new(), KNOWN_MIN),
        };
        let known = Known {
            slot,
            mappings,
            until: now + lifetime,
            asking: false,
        };
        let known_by_scope = &mut self.local.discovery.known_by_scope;
        let before = known_by_scope.insert(asking.scope.clone(), known);
        let after = known_by_scope
            .get(&asking.scope)
            .map(|known| &known.mappings);
        if before.as_ref().map(|known| &known.mappings) != after {
            // What had no addresses before may have some.
            self.shortcuts.void();
        }
        self.release_prefix(asking.incarnation, now);
    }

    /// Lets queries go on that waited for the prefix long enough.
    pub(crate) fn take_prefix_timeout(&mut self, incarnation: u64, now: Instant) {
        let scopes = &self.scopes;
        for (id, known) in &mut self.local.discovery.known_by_scope {
            let is_meant = scopes
                .get(id)
                .is_some_and(|scope| scope.incarnation == incarnation);
            if is_meant && known.asking {
                known.until = now + KNOWN_MIN;
            }
        }
        self.release_prefix(incarnation, now);
    }

    fn release_prefix(&mut self, incarnation: u64, now: Instant) {
        self.timers.clear(Timer::Prefix, incarnation);
        let held = self.local.discovery.held_by_scope.remove(&incarnation);
        for id in held.unwrap_or_default() {
            self.translate_again(id, now);
        }
    }
}

fn address(record: &RawRecord) -> Option<Ipv6Addr> {
    let octets: [u8; 16] = record.rdata.as_slice().try_into().ok()?;
    (record.record_type == rtype::AAAA).then(|| octets.into())
}

/// RFC 7050 §3: the prefix is what lies around one of the well-known addresses. Where an address can be read in several
/// ways, the one counts that another address confirms.
fn learn(addresses: &[Ipv6Addr]) -> Vec<Mapping> {
    let readings: Vec<Vec<Mapping>> = addresses.iter().map(|address| readings(*address)).collect();
    let mut learned: Vec<Mapping> = Vec::new();
    for (at, mine) in readings.iter().enumerate() {
        let confirmed = |mapping: &&Mapping| {
            let mut others = readings
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != at);
            others.any(|(_, theirs)| theirs.contains(mapping))
        };
        let chosen = match mine.as_slice() {
            [only] => Some(*only),
            several => several.iter().find(confirmed).copied(),
        };
        learned.extend(chosen);
    }
    learned.sort_unstable();
    learned.dedup();
    learned.truncate(MAX_MAPPINGS);
    learned
}

fn readings(address: Ipv6Addr) -> Vec<Mapping> {
    let of_length = |length: &u8| {
        let prefix = Prefix {
            address: IpAddr::V6(address),
            length: *length,
        };
        let mapping = Mapping::new(prefix.network())?;
        let embedded = mapping.extract(address)?;
        WELL_KNOWN.contains(&embedded).then_some(mapping)
    };
    Mapping::LENGTHS.iter().filter_map(of_length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_of_every_length_is_learned_from_the_addresses_made_by_it() {
        for text in [
            "64:ff9b::/96",
            "2001:db8:64::/96",
            "2001:db8:122:344::/64",
            "2001:db8:122:300::/56",
            "2001:db8:122::/48",
            "2001:db8:100::/40",
            "2001:db8::/32",
        ] {
            let (address, length) = text.split_once('/').unwrap();
            let mapping = Mapping::new(Prefix {
                address: address.parse().unwrap(),
                length: length.parse().unwrap(),
            })
            .unwrap();
            let both = WELL_KNOWN.map(|address| mapping.embed(address));
            assert_eq!(learn(&both), [mapping], "{text}");
            assert_eq!(learn(&both[..1]), [mapping], "{text}");
        }
        let strange: Ipv6Addr = "2001:db8::1".parse().unwrap();
        assert_eq!(learn(&[strange]), []);
        assert_eq!(learn(&[]), []);
    }

    #[test]
    fn several_prefixes_are_all_learned_and_a_doubtful_one_only_when_confirmed() {
        let mapping = |address: &str, length| {
            Mapping::new(Prefix {
                address: address.parse().unwrap(),
                length,
            })
            .unwrap()
        };
        let (one, other) = (mapping("64:ff9b::", 96), mapping("2001:db8:64::", 96));
        let made = [one.embed(WELL_KNOWN[0]), other.embed(WELL_KNOWN[0])];
        assert_eq!(
            learn(&made),
            [one, other]
                .into_iter()
                .collect::<std::collections::BTreeSet<_>>()
                .into_iter()
                .collect::<Vec<_>>()
        );
        // The well-known address stands twice: as /32 it would leave a tail, as /96 it has a prefix that looks like one.
        let odd = mapping("2001:db8:c000:aa::", 96);
        assert_eq!(learn(&[odd.embed(WELL_KNOWN[0])]), [odd]);
    }
}
