//! What if two links have the same prefix? Their prefix routes get metrics that differ, so that one of them decides.
//!
//! The kernel keeps IPv4 routes of one prefix and metric in the order of their making, which nobody can see; of IPv6 ones it
//! makes a choice of its own. A link whose lease nobody has confirmed in this place comes after all others, whatever its metric:
//! it may be in another network, where what goes to the same prefix is lost.

use config::model::Prefix;

use super::make::{Draft, MAIN, Taken};
use crate::facts::{Facts, Supplier};

/// Moves metrics of prefix routes up where an earlier link has the same already.
pub(super) fn spread(drafts: &mut [Draft<'_>], facts: &Facts) {
    let mut taken = Taken::new();
    let is_doubted = |draft: &Draft<'_>| {
        let supply = facts.supplies.get(&(draft.id, Supplier::Dhcp4));
        supply.is_some_and(|supply| supply.doubted)
    };
    for doubted in [false, true] {
        for draft in drafts
            .iter_mut()
            .filter(|draft| is_doubted(draft) == doubted)
        {
            spread_one(draft, doubted, &mut taken);
        }
    }
}

fn spread_one(draft: &mut Draft<'_>, is_last: bool, taken: &mut Taken) {
    let free = |network: Prefix, metric: u32| {
        let above = highest(taken, network).filter(|_| is_last);
        free(
            taken,
            network,
            above.map_or(metric, |above| metric.max(above)),
        )
    };
    let mut own = Taken::new();
    for (prefix, address) in &mut draft.plan.addresses {
        let is_alone = prefix.length >= prefix.host_length() && address.attributes.peer.is_none();
        if address.no_prefix_route || is_alone {
            continue;
        }
        let network = address.attributes.network(*prefix);
        address.metric = free(network, address.metric);
        own.insert((network, address.metric));
    }
    let routes = std::mem::take(&mut draft.plan.routes);
    for (mut key, route) in routes {
        if key.table == MAIN && route.supplier.is_some() {
            key.metric = free(key.to, key.metric);
            while draft.plan.routes.contains_key(&key) && key.metric < u32::MAX {
                key.metric += 1;
            }
        }
        if key.table == MAIN {
            own.insert((key.to, key.metric));
        }
        draft.plan.routes.insert(key, route);
    }
    // Not `append`, which builds the whole set anew.
    taken.extend(own);
}

/// Returns the highest metric that a network has so far.
fn highest(taken: &Taken, network: Prefix) -> Option<u32> {
    let mut its = taken.range((network, 0)..=(network, u32::MAX));
    its.next_back().map(|(_, metric)| *metric)
}

fn free(taken: &Taken, network: Prefix, mut metric: u32) -> u32 {
    while metric < u32::MAX && taken.contains(&(network, metric)) {
        metric += 1;
    }
    metric
}
