//! What is written down of links that are made? The [`Book`]: by it alone is anything removed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::model::{ChannelId, PublicKey};
use linkmgr::kinds::macsec::OwnReceives;
use policy::virtual_links::OwnLinks;
use serde::{Deserialize, Serialize};

use super::rounds::Links;

/// The kernel counts indexes from 1 on, and gives none from here on by itself.
const FIRST_DRAWN: u32 = 1 << 30;

/// Whether only linnetd gives a link such an index.
pub(super) const fn is_drawn(index: u32) -> bool {
    index >= FIRST_DRAWN
}

/// What is written down, and the indexes that links are asked for with.
#[derive(Debug)]
pub(crate) struct Book {
    pub(super) ours: Ours,
    boot: Arc<str>,
    /// How often the kernel has refused to take a port back that is owed, by the port's index.
    pub(super) tries_by_owed: BTreeMap<u32, usize>,
    /// The text that is kept, as far as is known.
    kept: Option<String>,
    /// Begins anywhere, and counts.
    pub(super) drawn: u32,
}

/// What the book proves to be ours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Ours {
    pub(super) links: OwnLinks,
    /// Peers of tunnels that we added.
    pub(super) peers: BTreeMap<Arc<str>, BTreeSet<PublicKey>>,
    /// Associations that we have links receive.
    pub(super) receives: BTreeMap<Arc<str>, OwnReceives>,
}

impl Book {
    /// Opens what a run before has written; `random` is where indexes begin.
    pub(crate) fn open(kept: Option<&str>, boot: Arc<str>, random: u32) -> Self {
        Self {
            ours: kept.map_or_else(Ours::default, |text| recall(text, &boot)),
            boot,
            tries_by_owed: BTreeMap::new(),
            kept: None,
            drawn: random,
        }
    }

    /// Returns an index that no link has, and that none gets by chance: those that the kernel chooses are others.
    pub(super) fn draw(&mut self, there: &Links) -> u32 {
        loop {
            self.drawn = self.drawn.wrapping_add(1);
            let index = FIRST_DRAWN | self.drawn & (FIRST_DRAWN - 1);
            if there.values().all(|link| link.index != index) {
                return index;
            }
        }
    }

    /// Has it kept, unless it is; returns whether it is then. A disk that is full costs no link: what is made meanwhile is not proven to
    /// whoever comes after.
    pub(super) fn keep(&mut self, put: impl FnOnce(&str) -> bool) -> bool {
        let text = keep(&self.ours, &self.boot);
        if self.kept.as_ref() == Some(&text) {
            return true;
        }
        let is_put = put(&text);
        if is_put {
            self.kept = Some(text);
        }
        is_put
    }
}

/// The file in which it is written down what is ours. Attributes that were set are not in it: after a restart they stay as
/// they are when no profile names them any more.
#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    boot: String,
    made: BTreeMap<String, u32>,
    joined: Vec<(String, String)>,
    vlans: Vec<(String, u16)>,
    #[serde(default)]
    owed: Vec<(u32, u32)>,
    #[serde(default)]
    owed_up: BTreeSet<u32>,
    #[serde(default)]
    peers: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    receives: BTreeMap<String, Vec<(String, u16, Option<u8>)>>,
}

fn keep(ours: &Ours, boot: &str) -> String {
    let Ours {
        links,
        peers,
        receives,
    } = ours;
    let file = File {
        boot: boot.to_owned(),
        made: links
            .made
            .iter()
            .map(|(name, index)| (name.to_string(), *index))
            .collect(),
        joined: links
            .joined
            .iter()
            .map(|(port, of)| (port.to_string(), of.to_string()))
            .collect(),
        vlans: links
            .vlans
            .iter()
            .map(|(name, vlan)| (name.to_string(), *vlan))
            .collect(),
        owed: links.owed.iter().map(|(port, of)| (*port, *of)).collect(),
        owed_up: links.owed_up.clone(),
        peers: peers
            .iter()
            .map(|(name, keys)| {
                let keys = keys.iter().map(ToString::to_string);
                (name.to_string(), keys.collect())
            })
            .collect(),
        receives: receives
            .iter()
            .map(|(name, all)| {
                let all = all.iter().map(|(channel, number)| {
                    let ChannelId { mac, port } = channel;
                    (mac.to_string(), *port, *number)
                });
                (name.to_string(), all.collect())
            })
            .collect(),
    };
    serde_json::to_string(&file).unwrap_or_default()
}

/// Nothing is ours on another kernel, or by a text that does not read.
fn recall(text: &str, boot: &str) -> Ours {
    let Ok(file) = serde_json::from_str::<File>(text) else {
        tracing::warn!("what was made of links cannot be read: nothing of it is removed");
        return Ours::default();
    };
    if file.boot != boot {
        return Ours::default();
    }
    let pair = |(one, other): (String, String)| (one.into(), other.into());
    let links = OwnLinks {
        made: file
            .made
            .into_iter()
            .map(|(name, index)| (name.into(), index))
            .collect(),
        joined: file.joined.into_iter().map(pair).collect(),
        set: BTreeSet::new(),
        vlans: file
            .vlans
            .into_iter()
            .map(|(name, vlan)| (name.into(), vlan))
            .collect(),
        owed: file.owed.into_iter().collect(),
        owed_up: file.owed_up,
    };
    let keys = |keys: Vec<String>| {
        keys.iter()
            .filter_map(|key| PublicKey::of_base64(key))
            .collect()
    };
    Ours {
        links,
        peers: file
            .peers
            .into_iter()
            .map(|(name, of)| (name.into(), keys(of)))
            .collect(),
        receives: file
            .receives
            .into_iter()
            .map(|(name, all)| {
                let all = all.into_iter().filter_map(|(mac, port, number)| {
                    let mac = mac.parse().ok()?;
                    Some((ChannelId { mac, port }, number))
                });
                (name.into(), all.collect())
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_is_known_again_on_the_same_kernel_only() {
        let links = OwnLinks {
            made: BTreeMap::from([("br0".into(), 7)]),
            joined: BTreeSet::from([("eth1".into(), "br0".into())]),
            set: BTreeSet::new(),
            vlans: BTreeSet::from([("eth1".into(), 10)]),
            owed: BTreeMap::from([(3, 4)]),
            owed_up: BTreeSet::from([4]),
        };
        let peers = BTreeMap::from([("wg0".into(), BTreeSet::from([PublicKey([7; 32])]))]);
        let channel = ChannelId {
            mac: config::matcher::Mac([2, 0, 0, 0, 0, 2]),
            port: 1,
        };
        let receives = BTreeSet::from([(channel, None), (channel, Some(3))]);
        let receives = BTreeMap::from([("secure0".into(), receives)]);
        let ours = Ours {
            links,
            peers,
            receives,
        };
        let text = keep(&ours, "boot");
        assert_eq!(recall(&text, "boot"), ours);
        assert_eq!(recall(&text, "another"), Ours::default());
        assert_eq!(recall("nonsense", "boot"), Ours::default());
        let before = text.replace(",\"peers\"", ",\"other\"");
        assert_eq!(
            recall(&before, "boot").links,
            ours.links,
            "files of before had no peers"
        );
        let before = text.replace(",\"owed\"", ",\"other\"");
        let before = before.replace(",\"owed_up\"", ",\"another\"");
        assert_eq!(recall(&before, "boot").links.made, ours.links.made);
    }
}
