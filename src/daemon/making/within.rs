//! What is set within links that are there? Keys and peers of tunnels, and associations, which the kernel tells link by link.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::model::PublicKey;
use linkmgr::kinds::macsec::OwnReceives;
use linkmgr_io::ask::AskError;
use policy::virtual_links::PresentLink;

use super::rounds::{Failures, Links};
use super::tunnels::Readings;
use super::{Made, Order, Work, keep, list, may_pass};
use crate::link_keys::Keys;

impl Work {
    /// Lists the links, when there is anything to be set within one.
    pub(super) fn list_for(&mut self, order: &Order) -> Result<Links, AskError> {
        let mut links = order.wanted.iter().map(|wanted| &wanted.link);
        let is_needed = links.any(|link| link.wireguard.is_some() || link.macsec.is_some())
            || !order.spared.released().is_empty();
        match is_needed {
            true => list(&mut self.asker),
            false => Ok(Links::new()),
        }
    }

    /// Sets all that is said within links. Nothing is done where they are not listed: all would seem to be gone, and what is set in them to be
    /// nobody's.
    pub(super) fn set_within(
        &mut self,
        order: &Order,
        keys: &Keys,
        listed: Result<Links, AskError>,
        made: &mut Made,
        failures: &mut Failures,
    ) {
        let there = match listed {
            Ok(there) => there,
            Err(error) => return made.fail_to_list(&error),
        };
        let tunnels = made.tunnels.insert(BTreeMap::new());
        let mut passes = self.set_tunnels(order, keys, &there, tunnels, failures);
        passes |= self.set_associations(order, keys, &there, failures);
        made.passes |= passes;
    }

    /// Sets keys and peers of the tunnels that are there; returns whether what fails may pass.
    fn set_tunnels(
        &mut self,
        order: &Order,
        keys: &Keys,
        there: &Links,
        tunnels: &mut BTreeMap<Arc<str>, Readings>,
        failures: &mut Failures,
    ) -> bool {
        let mut passes = false;
        let wanted = order.wanted.iter().map(|wanted| &wanted.link);
        let mut wanted = wanted
            .filter_map(|link| Some((&link.name, link.wireguard.as_ref()?)))
            .peekable();
        if wanted.peek().is_none() {
            self.book.ours.peers.clear();
            return passes;
        }
        self.book
            .ours
            .peers
            .retain(|name, _| there.contains_key(name));
        for (name, settings) in wanted {
            let link = there.get(name);
            let is_tunnel = |link: &&PresentLink| {
                link.kind
                    .is_some_and(|kind| kind.name == linkmgr::kinds::wireguard::FAMILY)
            };
            let Some(link) = link.filter(is_tunnel) else {
                continue;
            };
            let peers = &self.book.ours.peers;
            let mut ours = peers.get(name).cloned().unwrap_or_default();
            let write_down = |ours: &BTreeSet<PublicKey>| {
                self.book.ours.peers.insert(Arc::clone(name), ours.clone());
                self.book.keep(|text| keep(&self.path, text));
            };
            let link_of = (name, link.index);
            let set = self
                .tunnels
                .set(link_of, settings, keys, &mut ours, write_down);
            self.book.ours.peers.insert(Arc::clone(name), ours);
            match set {
                Ok(readings) => drop(tunnels.insert(Arc::clone(name), readings)),
                Err(error) => {
                    passes |= may_pass(&*error);
                    failures
                        .entry(Arc::clone(name))
                        .or_insert_with(|| error.to_string());
                    // It stays as it is, and its other end is followed all the same.
                    if let Ok(readings) = self.tunnels.look(link.index) {
                        tunnels.insert(Arc::clone(name), readings);
                    }
                }
            }
        }
        passes
    }

    /// Sets the associations of the links that are there, and ends all others; returns whether what fails may pass.
    fn set_associations(
        &mut self,
        order: &Order,
        keys: &Keys,
        there: &Links,
        failures: &mut Failures,
    ) -> bool {
        let mut passes = false;
        self.associations.begin();
        let wanted = order.wanted.iter().map(|wanted| &wanted.link);
        let wanted: Vec<_> = wanted
            .filter_map(|link| Some((&link.name, link.macsec.as_ref()?)))
            .collect();
        let mut set = BTreeSet::new();
        if wanted.is_empty() {
            self.book.ours.receives.clear();
        } else {
            let receives = &mut self.book.ours.receives;
            receives.retain(|name, _| there.contains_key(name));
            for (name, settings) in wanted {
                let is_macsec = |link: &&PresentLink| {
                    let kind = link.kind.map(|kind| kind.name);
                    kind == Some(linkmgr::kinds::macsec::FAMILY)
                };
                let Some(link) = there.get(name).filter(is_macsec) else {
                    continue;
                };
                set.insert(link.index);
                let receives = &self.book.ours.receives;
                let mut ours = receives.get(name).cloned().unwrap_or_default();
                let mut write_down = |ours: &OwnReceives| {
                    let receives = &mut self.book.ours.receives;
                    receives.insert(Arc::clone(name), ours.clone());
                    self.book.keep(|text| keep(&self.path, text));
                };
                let own = (&mut ours, &mut write_down as &mut dyn FnMut(&OwnReceives));
                let done = self
                    .associations
                    .set((name, link.index), settings, keys, own);
                self.book.ours.receives.insert(Arc::clone(name), ours);
                if let Err(error) = done {
                    passes |= may_pass(&*error);
                    failures
                        .entry(Arc::clone(name))
                        .or_insert_with(|| error.to_string());
                }
            }
        }
        // One that was released goes on as it is.
        let released = order.spared.released().iter();
        let released = released.filter_map(|name| there.get(name));
        set.extend(released.map(|link| link.index));
        self.associations.end(&set);
        self.book.keep(|text| keep(&self.path, text));
        passes
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use config::model::ChannelId;
    use linnet::config_dirs::{ConfigText, Kind, Rank};
    use policy::virtual_links::{Spared, wanted};

    use super::*;
    use crate::making::Beginning;
    use crate::reload;

    const KEY: &str = "M7O3sJJdILHWfX96PHoUQ/V35lOeI27CTI7FnxLgABU=";

    #[test]
    fn links_that_are_not_listed_are_not_taken_to_be_gone() {
        let dir = tempfile::tempdir().unwrap();
        let mut work = Work::begin(Beginning {
            path: dir.path().join("made"),
            boot: "boot".into(),
            numbers: dir.path().join("numbers"),
            random: 1,
        })
        .unwrap();
        let text =
            "[link]\nname = \"wg0\"\nkind = \"wireguard\"\nprivate-key-file = \"/e/wg0.key\"\n";
        let config = reload::config_of(vec![ConfigText {
            rank: Rank::Admin,
            kind: Kind::Profile,
            path: "/e/profiles/wg0.toml".into(),
            text: Ok(text.to_owned()),
        }]);
        let order = Order {
            wanted: wanted(&config, &policy::Facts::default()),
            spared: Spared::default(),
            adopted: BTreeSet::new(),
            is_last: false,
        };
        assert!(!order.wanted.is_empty());
        let peer = PublicKey::of_base64(KEY).unwrap();
        let ours = &mut work.book.ours;
        ours.peers.insert("wg0".into(), [peer].into());
        let channel = ChannelId {
            mac: "02:00:00:00:00:01".parse().unwrap(),
            port: 1,
        };
        ours.receives
            .insert("sec0".into(), [(channel, None)].into());
        let before = ours.clone();

        let mut made = Made::default();
        let lost = io::Error::from_raw_os_error(libc::ENOBUFS);
        let mut failures = Failures::new();
        let keys = Keys::default();
        work.set_within(&order, &keys, Err(lost.into()), &mut made, &mut failures);
        assert_eq!(work.book.ours, before);
        assert!(made.passes, "it is tried again");
        assert_eq!(made.tunnels, None, "those that are followed still are");
        assert!(made.notes[0].contains("does not list links"), "{made:?}");

        // One that is not in a listing is gone.
        work.set_within(&order, &keys, Ok(Links::new()), &mut made, &mut failures);
        assert_eq!(work.book.ours, super::super::kept::Ours::default());
        assert_eq!(made.tunnels, Some(BTreeMap::new()));
    }
}
