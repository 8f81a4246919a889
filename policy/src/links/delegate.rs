//! What becomes of prefixes that are to be handed on (IA_PD)? Each link that wants one gets a /64 of it; the rest is
//! unreachable, so that packets to it do not go back and forth (RFC 7084 §4.2, WPD-5).
//!
//! What was delegated is there until it ends, or its server takes it back or gives another in its place: a provider's modem that
//! starts again has no say in the addresses of the links behind (RFC 9096 §3.5). Neither has a cable that nobody has put
//! in: to them the part is as good as their own, and goes with what the profile calls fixed.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use config::model::{AddressAttributes, ConflictUse, DelegatedUse, Prefix, RouteKind, RouteTuning};

use super::make::{Draft, MAIN};
use super::{AddressPlan, RoutePlan, carrier};
use crate::facts::{Delegated, Facts, LinkId, Owner, Preference, Supplier};
use crate::plan::Note;

/// The length of what a link gets.
const SUBNET: u8 = 64;
/// Behind everything that somebody could want to reach within the prefix.
const METRIC: u32 = 2_147_483_647;
/// How many subnets are looked at for a free one.
const MOST_TRIES: u64 = 65_536;

/// Hands on what was delegated to any of the links.
pub(super) fn hand_on(drafts: &mut [Draft<'_>], facts: &Facts, notes: &mut Vec<Note>) {
    for at in 0..drafts.len() {
        for delegated in supplied(drafts, at, facts) {
            hand_on_one(drafts, at, &delegated, facts, notes);
        }
    }
}

/// Returns what was delegated to one link, and is not over.
fn supplied(drafts: &[Draft<'_>], at: usize, facts: &Facts) -> Vec<Delegated> {
    let Some(draft) = drafts.get(at) else {
        return Vec::new();
    };
    // What no other link gets of it is unreachable too where it is the link's own (RFC 9762).
    let is_wanted = draft.network.dhcp6.is_some();
    let supply = facts.supplies.get(&(draft.id, Supplier::Dhcp6));
    let delegated = supply.filter(|_| is_wanted);
    let is_over = |one: &&Delegated| one.valid_until.is_some_and(|end| end <= facts.as_of);
    let is_whole = |one: &&Delegated| one.prefix.address.is_ipv6() && one.prefix.length <= SUBNET;
    delegated
        .into_iter()
        .flat_map(|supply| &supply.delegated)
        .filter(|one| !is_over(one))
        .filter(is_whole)
        .copied()
        .collect()
}

fn hand_on_one(
    drafts: &mut [Draft<'_>],
    at: usize,
    delegated: &Delegated,
    facts: &Facts,
    notes: &mut Vec<Note>,
) {
    let Some((upper, upper_profile)) = drafts
        .get(at)
        .map(|draft| (draft.id, draft.plan.profile.clone()))
    else {
        return;
    };
    let mut taken = BTreeSet::new();
    let is_meant = |id: LinkId, wanted: &DelegatedUse| {
        let from = wanted.from.as_ref();
        id != upper && from.is_none_or(|from| *from == upper_profile)
    };
    // Those that say which one come first, so that nobody takes it from them.
    for says_which in [true, false] {
        for draft in drafts.iter_mut() {
            let Some(wanted) = draft.network.delegated.as_ref() else {
                continue;
            };
            let is_turn = wanted.subnet.is_some() == says_which;
            let is_held = carrier::held(draft.network.carrier.fixed, draft.id, facts).is_held();
            if !is_turn || !is_held || !is_meant(draft.id, wanted) {
                continue;
            }
            let found = match wanted.subnet {
                Some(number) => {
                    Some(u64::from(number)).filter(|number| is_free(delegated, &taken, *number))
                }
                None => first_free(delegated, &taken, &draft.link.name),
            };
            let Some(number) = found else {
                let name = &draft.link.name;
                notes.push(Note {
                    owner: Owner::Profile(draft.plan.profile.clone()),
                    text: match wanted.subnet {
                        Some(number) => format!("{name} gets nothing of {}: there is no subnet {number} in it, or another link has it", delegated.prefix),
                        None => format!("{name} gets nothing of {}: other links have all of it", delegated.prefix),
                    },
                });
                continue;
            };
            taken.insert(number);
            let address = AddressPlan {
                supplier: Some(Supplier::Dhcp6),
                preferred_until: delegated.preferred_until,
                valid_until: delegated.valid_until,
                temporaries: false,
                no_prefix_route: false,
                metric: draft.metric(),
                attributes: AddressAttributes::default(),
                conflicts: ConflictUse::Ignore,
            };
            let own = Prefix {
                address: subnet(delegated, number, wanted.host),
                length: SUBNET,
            };
            draft.add_address(own, address);
        }
    }
    if let Some(draft) = drafts.get_mut(at) {
        let rest = RoutePlan {
            supplier: Some(Supplier::Dhcp6),
            kind: RouteKind::Unreachable,
            via: Vec::new(),
            on_link: false,
            source: None,
            mtu: None,
            preference: Preference::Medium,
            tuning: RouteTuning::default(),
            valid_until: delegated.valid_until,
        };
        draft.add_route(delegated.prefix.network(), MAIN, METRIC, rest);
    }
}

/// How many subnets a prefix has, less one.
fn last(delegated: &Delegated) -> u64 {
    let bits = u32::from(SUBNET.saturating_sub(delegated.prefix.length));
    1_u64.checked_shl(bits).map_or(u64::MAX, |count| count - 1)
}

fn is_free(delegated: &Delegated, taken: &BTreeSet<u64>, number: u64) -> bool {
    let network = Prefix {
        address: subnet(delegated, number, 0),
        length: SUBNET,
    };
    let excluded = delegated.excluded;
    let is_excluded =
        excluded.is_some_and(|excluded| excluded.covers(network) || network.covers(excluded));
    number <= last(delegated) && !taken.contains(&number) && !is_excluded
}

/// Finds a subnet for a link: always the same one where it can be, so that a new link does not number others anew.
fn first_free(delegated: &Delegated, taken: &BTreeSet<u64>, name: &str) -> Option<u64> {
    let last = last(delegated);
    // FNV-1a.
    let start = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let numbers = (0..=last.min(MOST_TRIES)).map(|step| start.wrapping_add(step) & last);
    numbers
        .into_iter()
        .find(|number| is_free(delegated, taken, *number))
}

fn subnet(delegated: &Delegated, number: u64, host: u64) -> IpAddr {
    let IpAddr::V6(base) = delegated.prefix.network().address else {
        return delegated.prefix.address;
    };
    let bits = base.to_bits() | (u128::from(number) << SUBNET) | u128::from(host);
    IpAddr::V6(Ipv6Addr::from_bits(bits))
}
