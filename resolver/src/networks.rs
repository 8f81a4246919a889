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
/// The form of the text; of older ones, the first is read.
const VERSION: u32 = 2;

/// All that is remembered, the network met last at the end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Networks {
    known: Vec<(NetworkId, BTreeMap<Upstream, Memory>)>,
}

/// What is remembered of an upstream: a hint for the first question, never a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Memory {
    /// Whether answers through it could be validated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) validates: Option<Validates>,
    /// Smoothed round-trip time, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) srtt_us: Option<u32>,
    /// Whether it failed.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) failing: bool,
    /// How it wants to be asked.
    #[serde(flatten)]
    pub(crate) manners: Manners,
}

/// How an upstream wants to be asked, as its own replies have shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a thing that one server can do and another cannot"
)]
pub(crate) struct Manners {
    /// It calls EDNS an error.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) plain: bool,
    /// It brings nothing by datagrams.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) stream: bool,
    /// It sends cookies back.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) cookies: bool,
    /// It does not keep the spelling of a question.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) respells: bool,
}

/// Whether answers through an upstream could be validated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Validates {
    Yes,
    /// Why not.
    No(Arc<str>),
}

#[derive(Deserialize)]
struct Form {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Text<T> {
    version: u32,
    networks: Vec<NetworkText<T>>,
}

#[derive(Serialize, Deserialize)]
struct NetworkText<T> {
    network: NetworkId,
    upstreams: BTreeMap<Upstream, T>,
}

impl Networks {
    /// Returns what is known of an upstream in a network.
    pub(crate) fn memory(&self, network: &NetworkId, upstream: &Upstream) -> Option<&Memory> {
        let (_, upstreams) = self.known.iter().find(|(known, _)| known == network)?;
        upstreams.get(upstream)
    }

    /// Remembers something; returns whether that is news.
    pub(crate) fn note(
        &mut self,
        network: &NetworkId,
        upstream: &Upstream,
        mut learned: Memory,
    ) -> bool {
        let known = self.known.iter().position(|(known, _)| known == network);
        let mut upstreams = known.map_or_else(BTreeMap::new, |at| self.known.remove(at).1);
        let before = upstreams.remove(upstream);
        if let Some(before) = &before {
            learned.validates = learned.validates.or_else(|| before.validates.clone());
            learned.srtt_us = learned.srtt_us.or(before.srtt_us);
        }
        let is_news = before.is_none_or(|before| learned.is_news_after(&before));
        upstreams.insert(upstream.clone(), learned);
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
        is_news
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
        let Form { version } = serde_json::from_str(text).ok()?;
        match version {
            // That form knew of validation only.
            1 => Self::collect(text, |validates: Validates| Memory {
                validates: Some(validates),
                ..Memory::default()
            }),
            VERSION => Self::collect(text, |memory: Memory| memory),
            _ => None,
        }
    }

    fn collect<T: for<'a> Deserialize<'a>>(
        text: &str,
        memory: impl Fn(T) -> Memory,
    ) -> Option<Self> {
        let text: Text<T> = serde_json::from_str(text).ok()?;
        let mut networks = Self::default();
        for NetworkText { network, upstreams } in text.networks {
            for (upstream, written) in upstreams {
                networks.note(&network, &upstream, memory(written));
            }
        }
        Some(networks)
    }
}

impl Memory {
    /// Whether it is worth writing down, when `before` is written down already: a round-trip time is one when it is another
    /// by half.
    fn is_news_after(&self, before: &Self) -> bool {
        let near = match (self.srtt_us, before.srtt_us) {
            (Some(now), Some(then)) => now.abs_diff(then) <= then / 2,
            (now, then) => now == then,
        };
        let same = Self {
            srtt_us: before.srtt_us,
            ..self.clone()
        };
        !near || same != *before
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over references"
)]
fn is_false(value: &bool) -> bool {
    !*value
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

    fn validates(validates: Validates) -> Memory {
        Memory {
            validates: Some(validates),
            ..Memory::default()
        }
    }

    #[test]
    fn what_is_written_down_reads_back_and_nothing_else_does() {
        let mut networks = Networks::default();
        let why = validates(Validates::No("RRSIG missing".into()));
        let yes = validates(Validates::Yes);
        let full = Memory {
            srtt_us: Some(1234),
            failing: true,
            manners: Manners {
                plain: true,
                stream: true,
                cookies: true,
                respells: true,
            },
            ..why.clone()
        };
        assert!(networks.note(&network(1), &upstream("192.0.2.1"), yes.clone()));
        assert!(!networks.note(&network(1), &upstream("192.0.2.1"), yes));
        assert!(networks.note(&network(2), &upstream("fe80::1%eth0"), why));
        assert!(networks.note(&network(2), &upstream("fe80::1%eth0"), full.clone()));
        let read = Networks::from_text(&networks.to_text()).unwrap();
        assert_eq!(read, networks);
        let known = read.memory(&network(2), &upstream("fe80::1%eth0"));
        assert_eq!(known, Some(&full));
        assert_eq!(read.memory(&network(2), &upstream("192.0.2.1")), None);
        for other in ["", "{", "[]", r#"{"version":3,"networks":[]}"#] {
            assert_eq!(Networks::from_text(other), None, "{other}");
        }
    }

    #[test]
    fn the_form_before_this_one_is_read() {
        let text = r#"{"version":1,"networks":[{"network":"net 1","upstreams":{"192.0.2.1":"yes","192.0.2.2":{"no":"RRSIG missing"}}}]}"#;
        let networks = Networks::from_text(text).unwrap();
        let known = |of| networks.memory(&network(1), &upstream(of)).cloned();
        assert_eq!(known("192.0.2.1"), Some(validates(Validates::Yes)));
        let why = Validates::No("RRSIG missing".into());
        assert_eq!(known("192.0.2.2"), Some(validates(why)));
    }

    #[test]
    fn what_is_not_known_anew_stays_and_times_are_news_when_they_are_others() {
        let mut networks = Networks::default();
        let mut note = |memory| networks.note(&network(1), &upstream("192.0.2.1"), memory);
        let timed = |srtt_us| Memory {
            srtt_us,
            ..Memory::default()
        };
        assert!(note(validates(Validates::Yes)));
        assert!(note(timed(Some(1000))));
        assert!(!note(timed(None)));
        assert!(!note(timed(Some(1400))));
        assert!(note(timed(Some(5000))));
        let known = networks.memory(&network(1), &upstream("192.0.2.1"));
        let validates = known.and_then(|memory| memory.validates.clone());
        assert_eq!(validates, Some(Validates::Yes));
    }

    #[test]
    fn the_networks_met_last_are_remembered() {
        let mut networks = Networks::default();
        for number in 0..200 {
            for number in [number, 0] {
                let memory = validates(Validates::Yes);
                networks.note(&network(number), &upstream("192.0.2.1"), memory);
            }
        }
        assert_eq!(networks.known.len(), NETWORKS_MAX);
        let known = |number| networks.memory(&network(number), &upstream("192.0.2.1"));
        assert!(known(0).is_some() && known(199).is_some() && known(1).is_none());
    }
}
