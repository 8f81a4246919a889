//! What if two links have the same prefix? Their prefix routes get metrics that differ, so that one of them decides.
//!
//! The kernel keeps IPv4 routes of one prefix and metric in the order of their making, which nobody can see; of IPv6 ones it
//! makes a choice of its own.

use config::model::Prefix;

use super::make::{Draft, MAIN, Taken};

/// Moves metrics of prefix routes up where an earlier link has the same already.
pub(super) fn spread(drafts: &mut [Draft<'_>]) {
    let mut taken = Taken::new();
    for draft in drafts.iter_mut() {
        let mut own = Taken::new();
        for (prefix, address) in &mut draft.plan.addresses {
            if address.no_prefix_route || prefix.length >= prefix.host_length() {
                continue;
            }
            let network = prefix.network();
            address.metric = free(&taken, network, address.metric);
            own.insert((network, address.metric));
        }
        let routes = std::mem::take(&mut draft.plan.routes);
        for (mut key, route) in routes {
            if key.table == MAIN && route.supplier.is_some() {
                key.metric = free(&taken, key.to, key.metric);
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
}

fn free(taken: &Taken, network: Prefix, mut metric: u32) -> u32 {
    while metric < u32::MAX && taken.contains(&(network, metric)) {
        metric += 1;
    }
    metric
}
