//! What have we added, and what was there before? The journal: state and its text, without files.
//!
//! An item is written down before the kernel is asked for it, so that whatever has our number and is not written down was
//! never ours. The text is replaced whole. It proves nothing about another boot or another network namespace: after a
//! loss of power there is nothing to clean, and the text need not survive one.

#[cfg(test)]
mod tests;
mod text;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use config::matcher::Mac;
use config::model::{PolicyRule, Prefix};
use policy::facts::Supplier;
use policy::links::RouteKey;

use crate::kernel::{OURS, OwnRoute};
use crate::status::{Item, Setting};
use crate::tables::{Map, Set};

/// The least prefix.
const FIRST: Prefix = Prefix {
    address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    length: 0,
};

/// What proves that a journal is about the kernel of today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// Differs after each start of the machine, and in each network namespace.
    pub id: Arc<str>,
    /// Which addresses the kernel marks as ours.
    pub marks: AddressMarks,
}

/// Which addresses have the protocol number of whoever has asked for them (`IFA_PROTO`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AddressMarks {
    /// None, before Linux 5.18.
    #[default]
    None,
    /// Those that he has made. An IPv4 one of somebody else's keeps its number when it is asked for again, before Linux 6.4.
    Made,
    /// All.
    All,
}

impl AddressMarks {
    /// Whether an address with this number may be ours, when it is written down as that.
    pub(crate) const fn admit(self, protocol: u8, is_ipv6: bool) -> bool {
        match self {
            Self::None => true,
            Self::Made => protocol == OURS || protocol == 0 && !is_ipv6,
            Self::All => protocol == OURS,
        }
    }
}

/// The journal, to be kept whole in the place of the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalText {
    /// Counts.
    pub version: u64,
    /// One line an item.
    pub text: String,
}

/// A setting's value as a number: 0 and 1, octets, 48 bits of address, or what the file says.
pub(crate) type Value = i64;

/// Returns a hardware address as a value.
pub(crate) const fn mac_value(Mac(octets): Mac) -> Value {
    let [a, b, c, d, e, f] = octets;
    Value::from_be_bytes([0, 0, a, b, c, d, e, f])
}

/// Returns the hardware address that a value is.
pub(crate) const fn mac_of(value: Value) -> Mac {
    let [_, _, octets @ ..] = value.to_be_bytes();
    Mac(octets)
}

/// What a setting was, and what we made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) was: Value,
    pub(crate) ours: Value,
}

/// What we have added and changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Entries {
    pub(crate) addresses: Map<(u32, Prefix), Option<Supplier>>,
    /// Addresses of ours that somebody else made otherwise than planned: with a route of his own for their prefix instead of the
    /// kernel's, another end or another scope.
    pub(crate) bare: Set<(u32, Prefix)>,
    pub(crate) routes: Map<RouteKey, Option<Supplier>>,
    /// The links and neighbours that IPv6 routes of ours may go by: of one place the kernel makes one route, whoever has made its ways.
    pub(crate) ways: Map<RouteKey, Set<(u32, IpAddr)>>,
    pub(crate) rules: Set<PolicyRule>,
    pub(crate) settings: Map<(u32, Setting), Changed>,
    /// What else we had made of settings, until what was asked for since is seen: it may be refused, or never be sent.
    pub(crate) had: Map<(u32, Setting), Set<Value>>,
    /// The kinds of the links above: a link never changes its kind, so that another kind is another link.
    pub(crate) kinds: Map<u32, Arc<str>>,
}

/// The journal, and how far it is kept.
#[derive(Debug)]
pub(crate) struct Journal {
    id: Arc<str>,
    entries: Entries,
    /// Settings of a run before that have not been compared since: somebody else may have set them while nobody looked.
    unseen: Set<(u32, Setting)>,
    version: u64,
    offered: u64,
    settled: u64,
    /// Whether what is kept names things that are no more: harmless, and mended when there is time.
    has_leavings: bool,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            id: "".into(),
            entries: Entries::default(),
            unseen: Set::default(),
            version: 0,
            offered: 0,
            settled: 0,
            has_leavings: false,
        }
    }
}

impl Journal {
    /// Takes the text of a run before; what it says of another boot counts for nothing.
    pub(crate) fn load(text: Option<&str>, boot: &Boot) -> Self {
        let entries = text.and_then(|text| text::parse(text, &boot.id));
        // A text that proves nothing is replaced as soon as there is something to prove.
        let entries = entries.unwrap_or_default();
        Self {
            id: boot.id.clone(),
            unseen: entries.settings.keys().copied().collect(),
            entries,
            ..Self::default()
        }
    }

    pub(crate) const fn entries(&self) -> &Entries {
        &self.entries
    }

    /// Whether an address, route or rule is written down as ours.
    pub(crate) fn proves(&self, item: &Item) -> bool {
        match item {
            Item::Address(index, prefix) => self.entries.addresses.contains_key(&(*index, *prefix)),
            Item::Route(key) => self.entries.routes.contains_key(key),
            Item::Rule(rule) => self.entries.rules.contains(rule),
            Item::Setting(index, setting) => {
                self.entries.settings.contains_key(&(*index, *setting))
            }
        }
    }

    /// Returns who supplied what is written down.
    pub(crate) fn supplier(&self, item: &Item) -> Option<Supplier> {
        match item {
            Item::Address(index, prefix) => self.entries.addresses.get(&(*index, *prefix)),
            Item::Route(key) => self.entries.routes.get(key),
            Item::Rule(_) | Item::Setting(..) => None,
        }
        .copied()
        .flatten()
    }

    pub(crate) fn changed(&self, index: u32, setting: Setting) -> Option<Changed> {
        self.entries.settings.get(&(index, setting)).copied()
    }

    /// Writes down an address, route or rule.
    pub(crate) fn write_down(
        &mut self,
        item: &Item,
        supplier: Option<Supplier>,
        kind: Option<&Arc<str>>,
    ) {
        let is_news = match item {
            Item::Address(index, prefix) => {
                let key = (*index, *prefix);
                self.entries.addresses.insert(key, supplier) != Some(supplier)
            }
            Item::Route(key) => self.entries.routes.insert(*key, supplier) != Some(supplier),
            Item::Rule(rule) => self.entries.rules.insert(rule.clone()),
            Item::Setting(..) => false,
        };
        self.note_kind(item, kind);
        self.version += u64::from(is_news);
    }

    /// Writes down that an address is otherwise than planned, as by somebody else who made it, and stays so.
    pub(crate) fn write_down_bare(&mut self, index: u32, prefix: Prefix) {
        self.version += u64::from(self.entries.bare.insert((index, prefix)));
    }

    /// Whether an address was made by somebody else, otherwise than planned.
    pub(crate) fn is_bare(&self, index: u32, prefix: Prefix) -> bool {
        self.entries.bare.contains(&(index, prefix))
    }

    /// Takes that the routes of others for these prefixes went with the link; returns the addresses, which are ours to make anew.
    pub(crate) fn strike_bare(&mut self, index: u32) -> Vec<Item> {
        let here = self.entries.bare.range((index, FIRST)..);
        let here = here.take_while(|(of, _)| *of == index);
        let here: Vec<(u32, Prefix)> = here.copied().collect();
        for bare in &here {
            self.entries.bare.remove(bare);
        }
        self.has_leavings |= !here.is_empty();
        here.into_iter()
            .map(|(index, prefix)| Item::Address(index, prefix))
            .collect()
    }

    /// Takes that the route of others for this prefix is gone: the address is ours to make anew.
    pub(crate) fn strike_bare_address(&mut self, index: u32, prefix: Prefix) {
        self.has_leavings |= self.entries.bare.remove(&(index, prefix));
    }

    /// Writes down the ways that a route of ours is to have, beside those that it may have.
    pub(crate) fn write_down_ways(&mut self, route: &OwnRoute) {
        let new: Set<(u32, IpAddr)> = ways_of(route).collect();
        if !new.is_empty() {
            let ways = self.entries.ways.entry(route.key).or_default();
            let before = ways.len();
            ways.extend(new);
            self.version += u64::from(ways.len() > before);
        }
    }

    /// Takes that a route of ours has these ways, and no others.
    pub(crate) fn settle_ways(&mut self, route: &OwnRoute) {
        let Some(ways) = self.entries.ways.get_mut(&route.key) else {
            return;
        };
        let there: Set<(u32, IpAddr)> = ways_of(route).collect();
        if *ways != there {
            self.has_leavings = true;
            match there.is_empty() {
                true => drop(self.entries.ways.remove(&route.key)),
                false => *ways = there,
            }
        }
    }

    /// Returns the ways that an IPv6 route of ours may have, when they are written down.
    pub(crate) fn ways(&self, key: &RouteKey) -> Option<&Set<(u32, IpAddr)>> {
        self.entries.ways.get(key)
    }

    /// Whether a setting has a value that we have made, or asked for.
    pub(crate) fn is_ours(&self, place: (u32, Setting), is: Value) -> bool {
        let had = self.entries.had.get(&place);
        let changed = self.changed(place.0, place.1);
        changed.is_some_and(|changed| changed.ours == is)
            || had.is_some_and(|had| had.contains(&is))
    }

    /// Takes word that a setting is as it is to be: when that is what we have asked for last, nothing of ours from before is there.
    pub(crate) fn settle_setting(&mut self, place: (u32, Setting), is: Value) {
        self.unseen.remove(&place);
        let Entries { settings, had, .. } = &mut self.entries;
        let (Some(changed), Some(values)) = (settings.get_mut(&place), had.get_mut(&place)) else {
            return;
        };
        if changed.ours == is {
            had.remove(&place);
        } else if values.remove(&is) {
            // It was not asked for after all, or the kernel's word of it is on its way.
            values.insert(std::mem::replace(&mut changed.ours, is));
        } else {
            return;
        }
        self.has_leavings = true;
    }

    /// Writes down what a setting was, unless that is known from an earlier change, and what it is to be. What somebody else made
    /// of it after a run before, which may have given it back already, is what it was.
    pub(crate) fn write_down_setting(
        &mut self,
        (index, setting): (u32, Setting),
        is: Value,
        ours: Value,
        kind: Option<&Arc<str>>,
    ) {
        let place = (index, setting);
        let before = self.changed(index, setting);
        // A card may make something else of a wish.
        let is_card = matches!(setting, Setting::Switch(switch) if switch.hardware().is_some());
        let is_theirs = self.unseen.remove(&place) && !is_card && !self.is_ours(place, is);
        let before_us = before.filter(|_| !is_theirs);
        let was = before_us.map_or(is, |before| before.was);
        let changed = Changed { was, ours };
        if before != Some(changed) {
            if let Some(before) = before_us.filter(|before| before.ours != ours) {
                let had = self.entries.had.entry(place).or_default();
                had.insert(before.ours);
                had.remove(&ours);
            }
            self.entries.settings.insert(place, changed);
            self.note_kind(&Item::Setting(index, setting), kind);
            self.version += 1;
        }
    }

    /// Strikes an item out.
    pub(crate) fn strike(&mut self, item: &Item) {
        self.has_leavings |= match item {
            Item::Address(index, prefix) => {
                self.entries.bare.remove(&(*index, *prefix));
                self.entries.addresses.remove(&(*index, *prefix)).is_some()
            }
            Item::Route(key) => {
                self.entries.ways.remove(key);
                self.entries.routes.remove(key).is_some()
            }
            Item::Rule(rule) => self.entries.rules.remove(rule),
            Item::Setting(index, setting) => {
                self.unseen.remove(&(*index, *setting));
                self.entries.had.remove(&(*index, *setting));
                self.entries.settings.remove(&(*index, *setting)).is_some()
            }
        };
        if let Item::Address(index, _) | Item::Setting(index, _) = item
            && self.items_of(*index).next().is_none()
        {
            self.entries.kinds.remove(index);
        }
    }

    /// Strikes out everything of a link, which is gone or is not ours any more.
    pub(crate) fn strike_link(&mut self, index: u32) {
        let items: Vec<Item> = self.items_of(index).collect();
        for item in &items {
            self.strike(item);
        }
        self.entries.kinds.remove(&index);
    }

    /// Returns the addresses and settings of one link.
    pub(crate) fn items_of(&self, index: u32) -> impl Iterator<Item = Item> {
        let addresses = self.entries.addresses.range((index, FIRST)..);
        let addresses = addresses.map_while(move |((of, prefix), _)| {
            (*of == index).then_some(Item::Address(index, *prefix))
        });
        let settings = self.entries.settings.range((index, Setting::Up)..);
        let settings = settings.map_while(move |((of, setting), _)| {
            (*of == index).then_some(Item::Setting(index, *setting))
        });
        addresses.chain(settings)
    }

    /// Returns everything that is written down.
    pub(crate) fn items(&self) -> impl Iterator<Item = Item> {
        let Entries {
            addresses,
            routes,
            rules,
            settings,
            ..
        } = &self.entries;
        let addresses = addresses
            .keys()
            .map(|(index, it)| Item::Address(*index, *it));
        let routes = routes.keys().map(|key| Item::Route(*key));
        let rules = rules.iter().map(|rule| Item::Rule(rule.clone()));
        let settings = settings
            .keys()
            .map(|(index, it)| Item::Setting(*index, *it));
        addresses.chain(routes).chain(rules).chain(settings)
    }

    /// Returns the text when it has to be kept: something is written down that the kept one does not have, or nothing else
    /// is to be done and the kept one has leavings. One version at a time is under way.
    pub(crate) fn poll(&mut self, is_idle: bool) -> Option<JournalText> {
        if self.offered > self.settled {
            return None;
        }
        if is_idle && std::mem::take(&mut self.has_leavings) {
            self.version += 1;
        }
        if self.version == self.offered {
            return None;
        }
        self.offered = self.version;
        self.has_leavings = false;
        Some(JournalText {
            version: self.version,
            text: text::emit(&self.id, &self.entries),
        })
    }

    /// Takes word of a version.
    pub(crate) fn settle(&mut self, version: u64) {
        self.settled = self.settled.max(version.min(self.offered));
    }

    /// Has everything kept once more.
    pub(crate) const fn offer_again(&mut self) {
        self.version += 1;
    }

    /// Whether everything written down is kept, as far as it can be.
    pub(crate) const fn is_settled(&self) -> bool {
        self.settled == self.version
    }

    /// Whether there is nothing to keep.
    pub(crate) const fn is_clean(&self) -> bool {
        self.is_settled() && !self.has_leavings
    }

    fn note_kind(&mut self, item: &Item, kind: Option<&Arc<str>>) {
        let (Item::Address(index, _) | Item::Setting(index, _)) = item else {
            return;
        };
        if let Some(kind) = kind
            && self.entries.kinds.get(index) != Some(kind)
        {
            self.entries.kinds.insert(*index, Arc::clone(kind));
            self.version += 1;
        }
    }
}

/// Returns the ways of an IPv6 route of which the kernel makes one with those of others.
fn ways_of(route: &OwnRoute) -> impl Iterator<Item = (u32, IpAddr)> {
    let hops = route.hops.iter();
    let hops = hops.filter(|_| route.key.to.address.is_ipv6());
    hops.filter_map(|hop| Some((hop.index, hop.via?)))
}
