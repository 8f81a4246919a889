//! Which part of a delegated prefix goes to which link? [`assign`]: one prefix of 64 bits for each, the same for the same link each
//! time, and routes that keep the rest from looping.
//!
//! Pure. A link's number within a prefix comes from its name and from the prefix's length alone, so that it does not depend on
//! which links there were before; only two links that want the same number make the later one, by name, take the next.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::facts::Delegated;
use config::model::Prefix;
use config::time::Instant;

/// The length of what a link gets.
const LENGTH: u8 = 64;
/// The host of a link that hands a prefix on: the first address of it, which is also easy to say.
const ROUTER: u128 = 1;

/// What a link gets of one delegated prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assigned {
    /// Our address in it, with the length of the prefix.
    pub address: Prefix,
    /// Until when new connections may begin with it; `None` for ever.
    pub preferred_until: Option<Instant>,
    /// Until when it may be used at all; `None` for ever.
    pub valid_until: Option<Instant>,
}

/// A link that hands prefixes on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Downstream {
    /// Its name.
    pub link: Arc<str>,
    /// The number that somebody chose for it; `None` for one of its own.
    pub subnet: Option<u64>,
}

/// What becomes of delegated prefixes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assignment {
    /// What each link gets, in the order of the prefixes: old ones too, for as long as they are valid.
    pub links: BTreeMap<Arc<str>, Vec<Assigned>>,
    /// Prefixes whose remains are to be unreachable: packets to what no link has must not go back where they came from
    /// (RFC 7084 §4.3, WPD-5).
    pub unreachable: Vec<(Prefix, Option<Instant>)>,
    /// Links that got nothing of a prefix, and the prefix: it is too small, or the number that was chosen does not fit.
    pub without: Vec<(Arc<str>, Prefix)>,
}

/// Shares delegated prefixes out.
pub fn assign(delegated: &[Delegated], downstream: &BTreeSet<Downstream>) -> Assignment {
    let mut assignment = Assignment::default();
    for prefix in delegated {
        let IpAddr::V6(network) = prefix.prefix.network().address else {
            continue;
        };
        if prefix.prefix.length > LENGTH {
            continue;
        }
        assignment
            .unreachable
            .push((prefix.prefix.network(), prefix.valid_until));
        let numbers = numbers(prefix, network, downstream);
        for one in downstream {
            let Some(number) = numbers.get(&one.link) else {
                assignment.without.push((one.link.clone(), prefix.prefix));
                continue;
            };
            let assigned = Assigned {
                address: Prefix {
                    address: subnet(network, *number, ROUTER).into(),
                    length: LENGTH,
                },
                preferred_until: prefix.preferred_until,
                valid_until: prefix.valid_until,
            };
            let list = assignment.links.entry(one.link.clone()).or_default();
            list.push(assigned);
        }
    }
    assignment
}

/// Returns each link's number within a prefix: chosen ones first.
fn numbers(
    prefix: &Delegated,
    network: Ipv6Addr,
    downstream: &BTreeSet<Downstream>,
) -> BTreeMap<Arc<str>, u64> {
    let bits = u32::from(LENGTH - prefix.prefix.length);
    let last = match bits {
        64 => u64::MAX,
        bits => (1 << bits) - 1,
    };
    let range = prefix
        .excluded
        .and_then(|part| excluded(network, part, last));
    let is_excluded = |number: u64| range.is_some_and(|(from, to)| (from..=to).contains(&number));
    let mut taken = BTreeSet::new();
    let mut numbers = BTreeMap::new();
    for one in downstream {
        let chosen = one
            .subnet
            .filter(|number| *number <= last && !is_excluded(*number));
        if let Some(number) = chosen.filter(|number| taken.insert(*number)) {
            numbers.insert(one.link.clone(), number);
        }
    }
    for one in downstream.iter().filter(|one| one.subnet.is_none()) {
        let mut number = spread(&one.link) & last;
        // Each step passes one number of another link, or all excluded ones at once.
        let found = (0..=downstream.len() + 1).find_map(|_| {
            match range.filter(|_| is_excluded(number)) {
                Some((_, to)) => number = to.wrapping_add(1) & last,
                None if taken.contains(&number) => number = number.wrapping_add(1) & last,
                None => return Some(number),
            }
            None
        });
        if let Some(number) = found {
            taken.insert(number);
            numbers.insert(one.link.clone(), number);
        }
    }
    numbers
}

/// Returns the first and the last number that may not be handed on (RFC 6603: it belongs to the link to the server).
fn excluded(network: Ipv6Addr, part: Prefix, last: u64) -> Option<(u64, u64)> {
    let IpAddr::V6(address) = part.network().address else {
        return None;
    };
    let number = |bits: u128| u64::try_from(bits >> 64).unwrap_or(u64::MAX) & last;
    let length = part.length.min(LENGTH);
    let rest = u64::MAX.checked_shr(u32::from(length)).unwrap_or(0);
    let from = number(address.to_bits() ^ network.to_bits());
    Some((from, from.saturating_add(rest).min(last)))
}

fn subnet(network: Ipv6Addr, number: u64, host: u128) -> Ipv6Addr {
    Ipv6Addr::from_bits(network.to_bits() | u128::from(number) << 64 | host)
}

/// FNV-1a: the same in every version and on every machine, which is all that is asked of it.
fn spread(link: &str) -> u64 {
    let folded = link.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
    });
    // Few bits are used: fold the many into them.
    folded ^ folded >> 32 ^ folded >> 16 ^ folded >> 48
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn prefix(text: &str, length: u8) -> Prefix {
        Prefix {
            address: text.parse().unwrap(),
            length,
        }
    }

    fn delegated(text: &str, length: u8) -> Delegated {
        Delegated {
            prefix: prefix(text, length),
            preferred_until: None,
            valid_until: None,
            excluded: None,
        }
    }

    fn links(names: &[&str]) -> BTreeSet<Downstream> {
        let named = names.iter().map(|name| Downstream {
            link: (*name).into(),
            subnet: None,
        });
        named.collect()
    }

    fn of<'a>(assignment: &'a Assignment, link: &str) -> &'a [Assigned] {
        assignment.links.get(link).map_or(&[], Vec::as_slice)
    }

    #[test]
    fn each_link_has_its_own_and_the_same_each_time() {
        let given = [delegated("2001:db8:1200::", 40)];
        let all = assign(&given, &links(&["lan0", "lan1", "guest0"]));
        let numbers: BTreeSet<Prefix> = all.links.values().map(|list| list[0].address).collect();
        assert_eq!(numbers.len(), 3);
        for link in ["lan0", "lan1", "guest0"] {
            let alone = assign(&given, &links(&[link]));
            assert_eq!(
                of(&alone, link),
                of(&all, link),
                "{link} keeps its own whoever else is there"
            );
            assert_eq!(of(&all, link)[0].address.length, 64);
        }
        assert_eq!(all.unreachable, [(given[0].prefix, None)]);
        assert!(all.without.is_empty());
    }

    #[test]
    fn another_prefix_gives_the_same_numbers_and_the_old_one_keeps_its_time() {
        let soon = Instant::ZERO + Duration::from_secs(60);
        let old = Delegated {
            preferred_until: Some(Instant::ZERO),
            valid_until: Some(soon),
            ..delegated("2001:db8:1200::", 56)
        };
        let new = delegated("2001:db8:3400::", 56);
        let both = assign(&[old, new], &links(&["lan0"]));
        let [first, second] = of(&both, "lan0") else {
            panic!("it has one of each");
        };
        assert_eq!(first.preferred_until, Some(Instant::ZERO), "deprecated");
        assert_eq!(first.valid_until, Some(soon), "not cut");
        let number = |one: &Assigned| match one.address.address {
            IpAddr::V6(v6) => v6.segments()[3],
            IpAddr::V4(_) => 0,
        };
        assert_eq!(number(first), number(second));
        assert_eq!(both.unreachable[0], (old.prefix, Some(soon)));
    }

    #[test]
    fn a_small_prefix_goes_as_far_as_it_goes() {
        let names = ["a", "b", "c", "d", "e"];
        let all = assign(&[delegated("2001:db8::", 62)], &links(&names));
        let got: BTreeSet<Prefix> = all.links.values().map(|list| list[0].address).collect();
        assert_eq!(got.len(), 4);
        assert_eq!(all.without.len(), 1);
        let one = assign(&[delegated("2001:db8::", 64)], &links(&["a"]));
        assert_eq!(of(&one, "a")[0].address.to_string(), "2001:db8::1/64");
        let none = assign(&[delegated("2001:db8::", 65)], &links(&["a"]));
        assert_eq!(none, Assignment::default());
    }

    #[test]
    fn what_somebody_chose_comes_first_and_what_is_excluded_is_given_to_nobody() {
        let mut given = delegated("2001:db8::", 62);
        given.excluded = Some(prefix("2001:db8:0:2::", 64));
        let mut downstream = links(&["a", "b", "c", "d"]);
        downstream.insert(Downstream {
            link: "chosen".into(),
            subnet: Some(1),
        });
        downstream.insert(Downstream {
            link: "excluded".into(),
            subnet: Some(2),
        });
        downstream.insert(Downstream {
            link: "beyond".into(),
            subnet: Some(9),
        });
        let all = assign(&[given], &downstream);
        assert_eq!(
            of(&all, "chosen")[0].address.to_string(),
            "2001:db8:0:1::1/64"
        );
        let got: Vec<String> = all
            .links
            .values()
            .map(|list| list[0].address.to_string())
            .collect();
        assert!(!got.contains(&"2001:db8:0:2::1/64".to_owned()), "{got:?}");
        assert_eq!(got.len(), 3);
        let without: BTreeSet<&str> = all.without.iter().map(|(link, _)| &**link).collect();
        assert!(without.contains("excluded") && without.contains("beyond"));
        // All of it is excluded.
        given.excluded = Some(given.prefix);
        assert!(assign(&[given], &downstream).links.is_empty());
    }

    #[test]
    fn a_thousand_links_each_have_their_own() {
        let names: Vec<String> = (0..1000).map(|number| format!("lan{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let all = assign(&[delegated("2001:db8::", 48)], &links(&names));
        let got: BTreeSet<Prefix> = all.links.values().map(|list| list[0].address).collect();
        assert_eq!(got.len(), 1000);
    }
}
