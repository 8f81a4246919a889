//! What can be told of one link? To try again, to make ours what is there, to forget that anything is ours.

use std::net::{IpAddr, Ipv4Addr};

use config::model::{PolicyRule, Prefix};
use config::time::Instant;
use policy::facts::Supplier;
use policy::links::{Clients, RouteKey, Switch};
use policy::{LinkId, LinkPlan};

use super::INHERITED;
use crate::LinkManager;
use crate::journal::AddressMarks;
use crate::kernel::OURS;
use crate::observed::MAIN;
use crate::status::{Item, ItemState, Setting};
use crate::watches::Standing;

impl LinkManager {
    /// Asks again for what has failed or was undone by hand on this link (`linnet up`). What the kernel does not tell of is read anew.
    pub fn retry(&mut self, link: LinkId, now: Instant) {
        self.writer.now = now;
        self.writer.overridden.remove(&link.index);
        self.observed.forget_switches(link.index);
        self.mark_link(link);
    }

    /// Reads the switches of all links of the plan anew, and has them be as planned (`linnet config reload`).
    pub fn look_anew(&mut self, now: Instant) {
        self.writer.now = now;
        let plan = self.writer.plan.clone().unwrap_or_default();
        for (id, link) in plan
            .links
            .iter()
            .filter(|(_, link)| !link.switches.is_empty())
        {
            self.observed.forget_switches(id.index);
            for switch in link.switches.keys() {
                let item = Item::Setting(id.index, Setting::Switch(*switch));
                self.writer.mark_anew(item);
            }
        }
    }

    /// Takes what was found of others that have a static address of the link with this index.
    pub fn handle_standing(
        &mut self,
        index: u32,
        address: Ipv4Addr,
        standing: Standing,
        now: Instant,
    ) {
        let writer = &mut self.writer;
        writer.now = now;
        let before = match standing {
            Standing::Unknown => writer.standings.remove(&(index, address)),
            Standing::Free | Standing::Unasked | Standing::Conflict(_) => {
                writer.standings.insert((index, address), standing)
            }
        };
        let id = self.id_by_index.get(&index);
        let plan = writer.plan.as_ref();
        let link = plan.and_then(|plan| plan.links.get(id?));
        if let Some(link) = link.filter(|_| before != Some(standing)) {
            let its = link.addresses.keys();
            let its = its.filter(|prefix| prefix.address == IpAddr::V4(address));
            let its = its.map(|prefix| Item::Address(index, *prefix));
            writer.dirty.extend(its);
        }
    }

    /// Makes everything ours that is on this link as the plan wants it (`linnet adopt`): first the plan with the link, then this. Default
    /// routes that another configurator of links has left beside ours become ours too, and go: he is not there to do it. That holds for what is
    /// planned within a minute as well, as a link that was released has no client before.
    pub fn adopt(&mut self, link: LinkId, now: Instant) {
        self.writer.now = now;
        // A plan that has come just before this is to be compared first.
        self.settle();
        let plan = self.writer.plan.clone().unwrap_or_default();
        let Some(planned) = plan.links.get(&link) else {
            return;
        };
        for (item, state) in self.items(Some(link)) {
            match (&item, state) {
                (Item::Address(index, prefix), ItemState::Adopted) => {
                    self.adopt_address(*index, *prefix);
                }
                // It has our number.
                (Item::Route(key), ItemState::Adopted) => {
                    let planned = planned.routes.get(key);
                    self.make_ours(&item, planned.and_then(|planned| planned.supplier));
                }
                (Item::Route(_), ItemState::Foreign) => {
                    self.writer.adopting.insert(item);
                }
                _ => {}
            }
        }
        let until = self.writer.now + INHERITED;
        self.writer.adopted.insert(link.index, until);
        self.take_rivals(link);
        self.take_back(link, planned);
        self.retry(link, now);
    }

    /// Makes routes ours again that are nobody's and were ours by their number, as far as they are this link's alone, before anybody says what becomes
    /// of them: a link that was released gets its clients with the plan that adopts it. They have as long to say it again as after a restart.
    fn take_back(&mut self, link: LinkId, planned: &LinkPlan) {
        let own = self.observed.own();
        let view = self.view();
        let is_left = |key: &RouteKey| {
            let there = own.route(key);
            let is_its = view
                .planned_route(key)
                .is_some_and(|(holder, _)| holder == link);
            !is_its
                && !self.writer.journal.proves(&Item::Route(*key))
                && there.is_some_and(|there| there.route.leaves_by_alone(link.index))
        };
        let left = own.keys().filter(is_left);
        let left = left.map(|key| (key, who_may_say(&planned.clients, &key)));
        // What no client makes may be another program's, by its number too; a default route would mislead packets for ever.
        let left = left.filter(|(key, supplier)| supplier.is_some() || key.to.length == 0);
        let left: Vec<(RouteKey, Option<Supplier>)> = left.collect();
        for (key, supplier) in left {
            let item = Item::Route(key);
            self.make_ours(&item, supplier);
            self.writer.inherited.insert(item);
            self.writer.inherited_until = Some(self.writer.now + INHERITED);
        }
    }

    /// Makes an address ours that is there as it is planned: by the journal alone where the kernel has our mark on it.
    fn adopt_address(&mut self, index: u32, prefix: Prefix) {
        let item = Item::Address(index, prefix);
        self.writer.record(&item).is_adopted = true;
        let there = self.observed.address_of(index, &prefix);
        let is_marked = there.is_some_and(|there| there.protocol == OURS);
        if self.writer.marks != AddressMarks::None && is_marked {
            let view = self.view();
            let link = view.link(index);
            let planned = link.and_then(|link| link.addresses.get(&prefix));
            let supplier = planned.and_then(|planned| planned.supplier);
            self.make_ours(&item, supplier);
        } else {
            self.writer.adopting.insert(item);
        }
    }

    /// Returns the link of a default route that was adopted a moment ago.
    fn adopted_a_moment_ago(&self, item: &Item) -> Option<LinkId> {
        let Item::Route(key) = item else {
            return None;
        };
        if key.to.length > 0 || key.table != MAIN || self.writer.adopted.is_empty() {
            return None;
        }
        let view = self.view();
        let (holder, _) = view.planned_route(key)?;
        view.was_adopted(holder.index).then_some(holder)
    }

    /// Makes a default route ours that somebody else has the place of, and that was asked for only after the adoption of its link. Who has
    /// the places of other routes is not told.
    pub(super) fn adopt_late(&mut self, item: Item) {
        if self.adopted_a_moment_ago(&item).is_some() && self.writer.adopting.insert(item.clone()) {
            self.writer.mark_anew(item);
        }
    }

    /// Takes what has come only after the adoption of its link, once it is there as planned: an address that was there already, once, and
    /// the rivals of a default route.
    pub(super) fn take_late(&mut self, item: &Item) {
        if let Item::Address(index, prefix) = item {
            let record = self.writer.record(item);
            let is_left = record.state == Some(ItemState::Adopted) && !record.is_adopted;
            if is_left && self.view().was_adopted(*index) {
                self.adopt_address(*index, *prefix);
                self.writer.mark_anew(item.clone());
            }
            return;
        }
        if let Some(link) = self.adopted_a_moment_ago(item)
            && self.writer.rivals.values().all(|it| it.avoid(link.index))
        {
            self.take_rivals(link);
        }
    }

    /// Makes a rule ours that is there with our number, as with [`LinkManager::adopt`].
    pub fn adopt_rule(&mut self, rule: &PolicyRule) {
        if self.observed.own().has_rule(rule) {
            self.make_ours(&Item::Rule(rule.clone()), None);
        }
    }

    /// Writes down that something is ours which the kernel has as it would be then: there is nothing to ask for.
    fn make_ours(&mut self, item: &Item, supplier: Option<Supplier>) {
        let kind = match item {
            Item::Address(index, _) => self.observed.link_message(*index).map(|link| &link.kind),
            Item::Setting(..) | Item::Route(_) | Item::Rule(_) => None,
        };
        self.writer.journal.write_down(item, supplier, kind);
        self.writer.dirty.insert(item.clone());
    }

    /// Forgets that anything on this link is ours, so that it stays when the plan lets the link go (`linnet release`): first
    /// this, then the plan without the link. A route that has other links too stays ours: it goes on without this one.
    /// The kernel's own client, if it was switched off for ours, is given back with that plan: nobody else may listen to routers.
    pub fn release(&mut self, link: LinkId) {
        let own = self.observed.own();
        let is_here = |key: &RouteKey| {
            let route = own.route(key);
            route.is_some_and(|route| route.route.leaves_by_alone(link.index))
        };
        let there: Vec<RouteKey> = own.by_link(link.index).filter(is_here).collect();
        // What is under way is written down, and nobody has seen it.
        let plan = self.writer.plan.as_ref();
        let planned = plan.and_then(|plan| plan.links.get(&link));
        let planned = planned.into_iter().flat_map(|plan| plan.routes.keys());
        let is_its = |key: &&RouteKey| {
            let view = self.view();
            view.planned_route(key).is_some_and(|(holder, route)| {
                holder == link && route.via.iter().all(|hop| hop.link.is_none())
            })
        };
        let planned: Vec<RouteKey> = planned.filter(is_its).copied().collect();
        self.writer.adopted.remove(&link.index);
        let rivals = self.writer.forget_rivals(link.index);
        for key in there.into_iter().chain(planned).chain(rivals) {
            let item = Item::Route(key);
            self.writer.journal.strike(&item);
            self.writer.inherited.remove(&item);
            self.writer.adopting.remove(&item);
            self.writer.dirty.insert(item);
        }
        self.writer
            .adopting
            .retain(|item| !matches!(item, Item::Address(index, _) if *index == link.index));
        let items: Vec<Item> = self.writer.journal.items_of(link.index).collect();
        for item in items.iter().filter(|item| !is_kernels_client(item)) {
            self.writer.journal.strike(item);
        }
        // Not when there is time: whoever is told that it is released may rely on it.
        self.writer.journal.offer_again();
    }

    /// Forgets that a rule is ours, as with [`LinkManager::release`].
    pub fn release_rule(&mut self, rule: &PolicyRule) {
        self.writer.journal.strike(&Item::Rule(rule.clone()));
    }
}

/// Returns which client may supply a route that is there.
fn who_may_say(clients: &Clients, key: &RouteKey) -> Option<Supplier> {
    let all = match key.to.address {
        IpAddr::V4(_) => [
            (clients.dhcp4.is_some(), Supplier::Dhcp4),
            (clients.ipv4ll, Supplier::Ipv4ll),
        ],
        IpAddr::V6(_) => [
            (clients.ra.is_some(), Supplier::Ra),
            (clients.dhcp6.is_some(), Supplier::Dhcp6),
        ],
    };
    let mut all = all.into_iter();
    all.find_map(|(is_there, supplier)| is_there.then_some(supplier))
}

/// Whether an item is a switch of the kernel's own client for routers, or what is set in its place.
const fn is_kernels_client(item: &Item) -> bool {
    matches!(
        item,
        Item::Setting(
            _,
            Setting::Switch(
                Switch::AcceptRa
                    | Switch::UseTempaddr
                    | Switch::LinkLocal6
                    | Switch::HopLimit6
                    | Switch::Reachable6
                    | Switch::Retransmit6
            )
        )
    )
}
