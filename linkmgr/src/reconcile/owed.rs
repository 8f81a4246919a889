//! What is ours of a link that was adopted, of what its clients supply only afterwards?
//!
//! A link that was released has no client, and gets one with the plan that adopts it: what the client supplies is there already, from the time before, and is
//! ours as what the profile says is. That holds for the first supply of each client, over a restart too, and for an hour at most.

use std::time::Duration;

use policy::facts::Supplier;
use policy::links::Clients;
use policy::{LinkId, LinkPlan};

use crate::LinkManager;
use crate::status::{Item, ItemState};

/// How long the first supply of a client is waited for: longer than a server is away, and short enough to be remembered.
const OWED: Duration = Duration::from_secs(3600);

impl LinkManager {
    /// Remembers that the first supplies of a link's clients are to be ours.
    pub(super) fn owe(&mut self, link: LinkId, planned: &LinkPlan) {
        let kind = self.observed.link_message(link.index).map(|it| &it.kind);
        let writer = &mut self.writer;
        writer.owed_until = Some(writer.now + OWED);
        for supplier in suppliers(&planned.clients) {
            if supplied(planned, supplier, link.index).is_empty() {
                writer.journal.owe(link.index, supplier, kind);
            }
        }
    }

    /// Makes first supplies ours that have come.
    pub(super) fn adopt_supplied(&mut self) {
        let owed = &self.writer.journal.entries().owed;
        let (Some(plan), false) = (self.writer.plan.clone(), owed.is_empty()) else {
            return;
        };
        let owed: Vec<(u32, Supplier)> = owed.iter().copied().collect();
        let now = self.writer.now;
        let until = *self.writer.owed_until.get_or_insert(now + OWED);
        for (index, supplier) in owed {
            let id = self.id_by_index.get(&index).copied();
            let Some((id, planned)) = id.and_then(|id| Some((id, plan.links.get(&id)?))) else {
                continue;
            };
            let is_over = until <= now || !suppliers(&planned.clients).contains(&supplier);
            let items = supplied(planned, supplier, index);
            let mut is_whole = !items.is_empty();
            for item in items {
                let record = self.writer.record_by_item.get(&item);
                let state = record.and_then(|record| record.state.clone());
                let state = state.unwrap_or(ItemState::Waiting);
                is_whole &= !matches!(state, ItemState::Waiting | ItemState::Probing);
                if !is_over {
                    self.adopt_item(&item, &state, planned);
                }
            }
            if is_whole || is_over {
                self.writer.journal.strike_owed(index, Some(supplier));
            }
            if is_whole && !is_over {
                self.take_rivals(id);
            }
        }
    }
}

/// Returns everything of a plan that one client supplies.
fn supplied(planned: &LinkPlan, supplier: Supplier, index: u32) -> Vec<Item> {
    let addresses = planned.addresses.iter();
    let addresses = addresses.filter(|(_, plan)| plan.supplier == Some(supplier));
    let addresses = addresses.map(|(prefix, _)| Item::Address(index, *prefix));
    let routes = planned.routes.iter();
    let routes = routes.filter(|(_, plan)| plan.supplier == Some(supplier));
    let routes = routes.map(|(key, _)| Item::Route(*key));
    addresses.chain(routes).collect()
}

fn suppliers(clients: &Clients) -> Vec<Supplier> {
    let Clients {
        dhcp4,
        dhcp6,
        ra,
        ipv4ll,
        lldp: _,
    } = clients;
    let all = [
        (Supplier::Dhcp4, dhcp4.is_some()),
        (Supplier::Dhcp6, dhcp6.is_some()),
        (Supplier::Ra, ra.is_some()),
        (Supplier::Ipv4ll, *ipv4ll),
    ];
    let wanted = all.into_iter().filter(|(_, is_wanted)| *is_wanted);
    wanted.map(|(supplier, _)| supplier).collect()
}
