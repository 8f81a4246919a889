//! What was found out about the upstreams of a network, for the day when it is met again?
//!
//! By network and upstream, never by upstream alone: the same address may be another server elsewhere. What is remembered
//! only saves waiting; it is asked again at once. Bounded; the network not met for longest is forgotten first.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::model::Upstream;
use policy::NetworkId;
use serde::{Deserialize, Serialize};

/// The most networks that are remembered.
const NETWORKS_MAX: usize = 64;
/// The most upstreams of one.
const UPSTREAMS_MAX: usize = 16;
/// The form of the text; another one is not read.
const VERSION: u32 = 1;

/// All that is remembered, the network met last at the end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Networks {
    known: Vec<(NetworkId, BTreeMap<Upstream, Validates>)>,
}

/// Whether answers through an upstream could be validated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Validates {
    Yes,
    /// Why not.
    No(Arc<str>),
}

#[derive(Serialize, Deserialize)]
struct Text {
    version: u32,
    networks: Vec<NetworkText>,
}

#[derive(Serialize, Deserialize)]
struct NetworkText {
    network: NetworkId,
    upstreams: BTreeMap<Upstream, Validates>,
}

impl Networks {
    /// Returns what is known of an upstream in a network.
    pub(crate) fn validates(&self, network: &NetworkId, upstream: &Upstream) -> Option<&Validates> {
        let (_, upstreams) = self.known.iter().find(|(known, _)| known == network)?;
        upstreams.get(upstream)
    }

    /// Remembers something; returns whether that is news.
    pub(crate) fn note(
        &mut self,
        network: &NetworkId,
        upstream: &Upstream,
        validates: Validates,
    ) -> bool {
        let known = self.known.iter().position(|(known, _)| known == network);
        let mut upstreams = known.map_or_else(BTreeMap::new, |at| self.known.remove(at).1);
        let before = upstreams.insert(upstream.clone(), validates.clone());
        while upstreams.len() > UPSTREAMS_MAX {
            let other = upstreams.keys().find(|known| *known != upstream).cloned();
            if let Some(other) = other {
                upstreams.remove(&other);
            }
        }
        self.known.push((network.clone(), upstreams));
        if self.known.len() > NETWORKS_MAX {
            self.known.remove(0);
        }
        before.as_ref() != Some(&validates)
    }

    /// Writes it down.
    pub(crate) fn to_text(&self) -> String {
        let networks = self.known.iter().cloned();
        let text = Text {
            version: VERSION,
            networks: networks
                .map(|(network, upstreams)| NetworkText { network, upstreams })
                .collect(),
        };
        serde_json::to_string(&text).unwrap_or_default()
    }

    /// Reads what was written down; `None` when it is something else.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let text: Text = serde_json::from_str(text).ok()?;
        (text.version == VERSION).then(|| {
            let mut networks = Self::default();
            for NetworkText { network, upstreams } in text.networks {
                for (upstream, validates) in upstreams {
                    networks.note(&network, &upstream, validates);
                }
            }
            networks
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(number: usize) -> NetworkId {
        NetworkId(format!("net {number}").into())
    }

    fn upstream(text: &str) -> Upstream {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_written_down_reads_back_and_nothing_else_does() {
        let mut networks = Networks::default();
        let why = Validates::No("RRSIG missing".into());
        assert!(networks.note(&network(1), &upstream("192.0.2.1"), Validates::Yes));
        assert!(!networks.note(&network(1), &upstream("192.0.2.1"), Validates::Yes));
        assert!(networks.note(&network(2), &upstream("fe80::1%eth0"), why.clone()));
        let read = Networks::from_text(&networks.to_text()).unwrap();
        assert_eq!(read, networks);
        let known = read.validates(&network(2), &upstream("fe80::1%eth0"));
        assert_eq!(known, Some(&why));
        assert_eq!(read.validates(&network(2), &upstream("192.0.2.1")), None);
        for other in ["", "{", "[]", r#"{"version":2,"networks":[]}"#] {
            assert_eq!(Networks::from_text(other), None, "{other}");
        }
    }

    #[test]
    fn the_networks_met_last_are_remembered() {
        let mut networks = Networks::default();
        for number in 0..200 {
            networks.note(&network(number), &upstream("192.0.2.1"), Validates::Yes);
            networks.note(&network(0), &upstream("192.0.2.1"), Validates::Yes);
        }
        assert_eq!(networks.known.len(), NETWORKS_MAX);
        let known = |number| networks.validates(&network(number), &upstream("192.0.2.1"));
        assert!(known(0).is_some() && known(199).is_some() && known(1).is_none());
    }
}
