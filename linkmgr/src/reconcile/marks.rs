//! Which items have to be compared again? Those whose plan has changed, those that the kernel told of, and those that a
//! change of their link may mend. Nothing else: the work is proportional to what has changed.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;

use config::model::Prefix;
use policy::links::Switch;
use policy::{LinkId, LinkPlan, LinksPlan};

use super::decide::View;
use super::record::Record;
use super::{INHERITED, Writer};
use crate::LinkManager;
use crate::kernel::Usability;
use crate::observed::Touched;
use crate::request::KernelRequest;
use crate::status::{Item, ItemState, Setting};

/// What of a link has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changed {
    /// Itself: whatever the kernel tells of a link.
    Link,
    /// Its addresses or its routes.
    Addresses,
}

impl LinkManager {
    /// Marks what differs from the plan before.
    pub(super) fn mark_plan(&mut self, plan: Arc<LinksPlan>) {
        let writer = &mut self.writer;
        let before = writer.plan.replace(Arc::clone(&plan));
        if before.is_none() {
            writer.inherited_until = Some(writer.now + INHERITED);
            writer.dirty.extend(writer.journal.items());
        }
        let before = before.unwrap_or_default();
        let ids: BTreeSet<LinkId> = before
            .links
            .keys()
            .chain(plan.links.keys())
            .copied()
            .collect();
        for id in ids {
            let (old, new) = (before.links.get(&id), plan.links.get(&id));
            if old == new {
                continue;
            }
            for route in old.iter().flat_map(|old| old.routes.keys()) {
                writer.claimants.remove(&(*route, id));
            }
            for route in new.iter().flat_map(|new| new.routes.keys()) {
                writer.claimants.insert((*route, id));
            }
            let wants = |plan: Option<&LinkPlan>, switch: &Switch| {
                plan.is_some_and(|plan| plan.switches.contains_key(switch))
            };
            let switches = old.into_iter().chain(new);
            let switches = switches.flat_map(|plan| plan.switches.keys());
            // What it was before us may have been read long ago, and be somebody else's by now.
            for switch in switches.filter(|switch| wants(old, switch) != wants(new, switch)) {
                let item = Item::Setting(id.index, Setting::Switch(*switch));
                self.observed.doubt_switch(&item);
            }
            for item in [old, new]
                .into_iter()
                .flatten()
                .flat_map(|plan| items_of(id.index, plan))
            {
                writer.mark_anew(item);
            }
            writer.mark_waiting_routes(id.index);
        }
        for id in before.held.symmetric_difference(&plan.held) {
            let items: Vec<Item> = writer.journal.items_of(id.index).collect();
            writer.dirty.extend(items);
            writer.dirty.extend(
                writer
                    .journal
                    .entries()
                    .routes
                    .keys()
                    .copied()
                    .map(Item::Route),
            );
        }
        for rule in before.rules.symmetric_difference(&plan.rules) {
            writer.mark_anew(Item::Rule(rule.clone()));
        }
        self.hear_of_all();
    }

    /// Marks everything that is wanted of a link, as if it were wanted for the first time.
    pub(super) fn mark_link(&mut self, id: LinkId) {
        let Some(plan) = self.writer.plan.clone() else {
            return;
        };
        let wanted = plan.links.get(&id).map(|plan| items_of(id.index, plan));
        for item in wanted.into_iter().flatten() {
            self.writer.mark_anew(item);
        }
    }

    /// Marks what an event touched.
    pub(crate) fn mark(&mut self, touched: Touched) -> Vec<u32> {
        if self.writer.plan.is_none() {
            return touched.indexes;
        }
        if let Some((index, up)) = touched.turned {
            self.turned(index, up);
        }
        let mut changed = Changed::Addresses;
        for item in touched.items {
            if let Item::Address(index, prefix) = &item
                && let Some(address) = self.observed.address_of(*index, prefix)
                && address.usability() == Usability::Usable
            {
                self.mend_awaiting(prefix.address);
            }
            if let Item::Address(index, prefix) = &item
                && matches!(prefix.address, IpAddr::V6(v6) if v6.is_unicast_link_local())
            {
                // Whether the kernel has to make one depends on whether there is one.
                let way = Item::Setting(*index, Setting::Switch(Switch::LinkLocal6));
                if self.writer.record_by_item.contains_key(&way) {
                    self.writer.dirty.insert(way);
                }
            }
            if let Item::Setting(_, Setting::Mtu) = item {
                changed = Changed::Link;
            }
            let writer = &self.writer;
            if !writer.record_by_item.contains_key(&item) && !writer.journal.proves(&item) {
                continue;
            }
            if let Item::Route(_) | Item::Rule(_) = item {
                // One route may lead to the gateway of another.
                for index in self.view().indexes_of(&item) {
                    self.mend(index, Changed::Addresses);
                }
            }
            self.writer.dirty.insert(item);
        }
        for index in &touched.indexes {
            self.mend(*index, changed);
        }
        touched.indexes
    }

    /// Marks the routes that wait for an address.
    fn mend_awaiting(&mut self, address: IpAddr) {
        let writer = &mut self.writer;
        let first = Item::Setting(0, Setting::Up);
        let awaiting = writer.awaiting.range((address, first)..);
        let awaiting = awaiting.take_while(|(of, _)| *of == address);
        let awaiting: Vec<Item> = awaiting.map(|(_, item)| item.clone()).collect();
        writer.mend(awaiting);
    }

    /// Marks what a change of this link may mend. What stands on it cares for the link alone, not for what comes and goes on it.
    fn mend(&mut self, index: u32, changed: Changed) {
        let writer = &mut self.writer;
        // Settings come first among the items.
        let here = writer
            .unsatisfied
            .range((index, Item::Setting(0, Setting::Up))..);
        let here = here.take_while(|(of, _)| *of == index);
        let is_meant = |item: &&Item| match (item, changed) {
            (Item::Setting(of, _), Changed::Addresses) => *of == index,
            (Item::Setting(..), Changed::Link)
            | (Item::Address(..) | Item::Route(_) | Item::Rule(_), _) => true,
        };
        let here = here.map(|(_, item)| item).filter(is_meant).cloned();
        let here: Vec<Item> = here.collect();
        writer.mend(here);
    }

    /// Follows that a link was taken up or down. One that somebody else takes down stays down.
    fn turned(&mut self, index: u32, up: bool) {
        let writer = &mut self.writer;
        if !up {
            writer.doubt_bare(Some(index));
            // What others had beside addresses that they made is gone, and nobody makes it again.
            let bare = writer.journal.strike_bare(index);
            writer.dirty.extend(bare);
        }
        if up {
            writer.overridden.remove(&index);
        } else if !writer.turning.remove(&index) {
            writer.overridden.insert(index);
        }
    }

    /// Follows that a link is gone, or is another one.
    pub(crate) fn mark_gone(&mut self, id: LinkId) {
        let writer = &mut self.writer;
        writer.overridden.remove(&id.index);
        writer.turning.remove(&id.index);
        let every = (id.index, Ipv4Addr::UNSPECIFIED)..=(id.index, Ipv4Addr::BROADCAST);
        let standings = writer.standings.range(every);
        let standings: Vec<(u32, Ipv4Addr)> = standings.map(|(key, _)| *key).collect();
        for key in standings {
            writer.standings.remove(&key);
        }
        writer.doubt_bare(Some(id.index));
        // What was asked for and not seen may be on the next link with this index.
        let now = writer.now;
        let unseen = |record: &Record| record.unseen_until().is_some_and(|until| until > now);
        let records = &writer.record_by_item;
        let pending: BTreeSet<Item> = writer
            .journal
            .items_of(id.index)
            .filter(|item| writer.busy.contains(item) || records.get(item).is_some_and(unseen))
            .collect();
        for item in writer.journal.items_of(id.index).collect::<Vec<_>>() {
            if !pending.contains(&item) {
                writer.journal.strike(&item);
            }
        }
        // By ranges: what happens to one link costs nothing for the others.
        let mut here = BTreeSet::new();
        for range in ranges(id.index) {
            let records = writer.record_by_item.range(range.clone());
            here.extend(records.map(|(item, _)| item.clone()));
            for items in [&writer.inherited, &writer.adopting, &writer.dirty] {
                here.extend(items.range(range.clone()).cloned());
            }
        }
        for item in here.difference(&pending) {
            writer.dequeue(item);
            writer.not_mended(item);
            writer.forget_delay(item);
            writer.record_by_item.remove(item);
            writer.inherited.remove(item);
            writer.adopting.remove(item);
            writer.dirty.remove(item);
            writer.dirty_later.remove(item);
        }
        writer.needs_down.remove(&id.index);
        writer.adopted.remove(&id.index);
        writer.rivals.retain(|_, rivals| rivals.avoid(id.index));
        let waiting: Vec<(u32, Item)> = writer
            .unsatisfied
            .range((id.index, Item::Setting(0, Setting::Up))..)
            .take_while(|(index, _)| *index == id.index)
            .cloned()
            .collect();
        for waiting in waiting {
            writer.unsatisfied.remove(&waiting);
        }
    }

    /// Marks everything after a listing: what it says may be anything.
    pub(crate) fn mark_listing(&mut self) {
        if !std::mem::replace(&mut self.writer.is_ready, true) {
            self.check_kinds();
        }
        self.hear_of_all();
        self.hear_anew();
        let writer = &mut self.writer;
        // What was said of it is lost, or in the listing.
        writer.turning.clear();
        writer.doubt_bare(None);
        writer.dirty.extend(writer.journal.items());
        let Some(plan) = &writer.plan else {
            return;
        };
        for (id, plan) in &plan.links {
            writer.dirty.extend(items_of(id.index, plan));
        }
        writer
            .dirty
            .extend(plan.rules.iter().cloned().map(Item::Rule));
    }

    /// Strikes out links that are gone, or are others than those that the journal of a run before is about.
    pub(super) fn check_kinds(&mut self) {
        let kinds = &self.writer.journal.entries().kinds;
        let others: Vec<u32> = kinds
            .iter()
            .filter(|(index, kind)| self.observed.kind(**index) != Some(kind))
            .map(|(index, _)| *index)
            .collect();
        for index in others {
            self.writer.journal.strike_link(index);
        }
    }
}

impl Writer {
    /// Marks the routes of a link that wait for others: no plan need name them any more.
    fn mark_waiting_routes(&mut self, index: u32) {
        let first = (index, Item::Setting(0, Setting::Up));
        let here = self.unsatisfied.range(first..);
        let here = here.take_while(|(of, _)| *of == index);
        let waits = |item: &Item| {
            let record = self.record_by_item.get(item);
            let state = record.and_then(|record| record.state.as_ref());
            matches!(item, Item::Route(_)) && state == Some(&ItemState::Waiting)
        };
        let waiting = here.map(|(_, item)| item).filter(|item| waits(item));
        self.dirty.extend(waiting.cloned());
    }

    /// Marks what something may have mended.
    fn mend(&mut self, items: Vec<Item>) {
        for item in items {
            if let Some(record) = self.record_by_item.get_mut(&item) {
                record.heard();
            }
            self.dirty.insert(item);
        }
    }

    /// Remembers that a link will go down by our doing, or that it does not: the kernel's word of it may come after its answer.
    pub(super) fn expect_turn(&mut self, request: &KernelRequest, is_sent: bool) {
        let Some((index, Setting::Up | Setting::Mac, _)) = request.setting() else {
            return;
        };
        let goes_down = matches!(
            request,
            KernelRequest::SetUp { up: false, .. }
                | KernelRequest::SetMac {
                    while_down: true,
                    ..
                }
        );
        match goes_down && is_sent {
            true => self.turning.insert(index),
            false => self.turning.remove(&index),
        };
    }
}

/// Returns where settings and addresses of a link are among items.
fn ranges(index: u32) -> [Range<Item>; 2] {
    let next = index.saturating_add(1);
    let first = Prefix {
        address: Ipv4Addr::UNSPECIFIED.into(),
        length: 0,
    };
    [
        Item::Setting(index, Setting::Up)..Item::Setting(next, Setting::Up),
        Item::Address(index, first)..Item::Address(next, first),
    ]
}

/// Returns everything that is wanted of a link.
pub(super) fn items_of(index: u32, plan: &LinkPlan) -> Vec<Item> {
    let setting = |is_wanted: bool, setting| is_wanted.then_some(Item::Setting(index, setting));
    let settings = [
        setting(plan.admin_up.is_some(), Setting::Up),
        setting(plan.mtu.is_some(), Setting::Mtu),
        setting(plan.mac.is_some(), Setting::Mac),
    ];
    let switches = plan.switches.keys();
    let switches = switches.map(|switch| Item::Setting(index, Setting::Switch(*switch)));
    let addresses = plan
        .addresses
        .keys()
        .map(|prefix| Item::Address(index, *prefix));
    let routes = plan.routes.keys().map(|key| Item::Route(*key));
    let settings = settings.into_iter().flatten().chain(switches);
    settings.chain(addresses).chain(routes).collect()
}

impl View<'_> {
    /// Returns the indexes of the links whose changes may mend an item: all that a route leaves by, and of a setting also the link below,
    /// which bounds the MTU, and may have to be up first. 0 for none.
    pub(super) fn indexes_of(&self, item: &Item) -> Vec<u32> {
        match item {
            Item::Setting(index, _) => {
                let link = self.observed.link_message(*index);
                let parent = link.and_then(|link| link.parent);
                std::iter::once(*index)
                    .chain(parent.map(NonZeroU32::get))
                    .collect()
            }
            Item::Address(index, _) => vec![*index],
            Item::Route(key) => {
                let mut indexes = match self.planned_route(key) {
                    Some((id, route)) => {
                        let others = route.via.iter().filter_map(|hop| hop.link);
                        let others = others.map(|link| link.index);
                        // The link that has the place may have to get another one first.
                        let there = self.observed.own().route(key);
                        let holder = there.and_then(|there| there.route.index());
                        let holder = holder.filter(|index| *index != id.index);
                        others.chain([id.index]).chain(holder).collect()
                    }
                    None => {
                        let there = self.observed.own().route(key).into_iter();
                        let hops = there.flat_map(|there| &there.route.hops);
                        hops.map(|hop| hop.index).collect::<Vec<_>>()
                    }
                };
                if indexes.is_empty() {
                    indexes.push(0);
                }
                indexes
            }
            Item::Rule(_) => vec![0],
        }
    }
}
