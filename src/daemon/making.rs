//! How do the links that profiles make come to be? [`Maker`]: a thread that lists, compares and asks until nothing is left.
//!
//! What is to be done is found by `policy::virtual_links`, how it is said by `linkmgr::kinds`. A thread, because the kernel may
//! take seconds to make or remove a link; it sleeps as long as there is no order.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::thread;

use config::kind::LinkKind;
use linkmgr::kinds::message::{self, Missing};
use linkmgr::kinds::present;
use linkmgr::kinds::tun::Tun;
use linkmgr_io::ask::{self, AskError, Asker, Part};
use policy::virtual_links::{
    LinkChange, LinkChanges, LinkNote, OwnLinks, PresentLink, Scope, WantedLink, changes,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// How often it is compared anew: what was done may make other things possible, a port of a link for one.
const ROUNDS: usize = 4;

/// What the links should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    /// The links that should be there.
    pub(crate) wanted: Vec<WantedLink>,
}

/// What came of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    /// What is ours, to be kept.
    pub(crate) kept: String,
    /// What is not as wanted, and why.
    pub(crate) notes: Vec<String>,
}

/// Takes orders, one after another; of several that wait, the last counts.
#[derive(Debug)]
pub(crate) struct Maker {
    /// What the thread begins with, as long as there is none: most machines make no links.
    kept: Option<String>,
    boot: Arc<str>,
    orders: Option<std::sync::mpsc::Sender<Order>>,
    outcomes: mpsc::UnboundedReceiver<Made>,
    outcome: mpsc::UnboundedSender<Made>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Maker {
    /// Makes one without a thread; `kept` is what it said to keep before.
    pub(crate) fn new(kept: Option<String>, boot: Arc<str>) -> Self {
        let (outcome, outcomes) = mpsc::unbounded_channel();
        Self {
            kept,
            boot,
            orders: None,
            outcomes,
            outcome,
            thread: None,
        }
    }

    /// Has the links be as ordered.
    ///
    /// # Errors
    /// When there are no threads or sockets left.
    pub(crate) fn order(&mut self, order: Order) -> io::Result<()> {
        if self.orders.is_none() {
            self.start()?;
        }
        if let Some(orders) = &self.orders {
            // A thread that is gone makes nothing; nothing else depends on it.
            let _taken = orders.send(order);
        }
        Ok(())
    }

    fn start(&mut self) -> io::Result<()> {
        let (orders, to_do) = std::sync::mpsc::channel::<Order>();
        let done = self.outcome.clone();
        let recall = |text: String| recall(&text, &self.boot);
        let mut work = Work {
            asker: Asker::open(Part::Route)?,
            boot: Arc::clone(&self.boot),
            ours: self.kept.take().map_or_else(OwnLinks::default, recall),
        };
        let thread = thread::Builder::new()
            .name("linnet-maker".to_owned())
            .spawn(move || {
                while let Ok(mut order) = to_do.recv() {
                    while let Ok(later) = to_do.try_recv() {
                        order = later;
                    }
                    let notes = work.carry_out(&order);
                    let kept = keep(&work.ours, &work.boot);
                    if done.send(Made { kept, notes }).is_err() {
                        return;
                    }
                }
            })?;
        self.orders = Some(orders);
        self.thread = Some(thread);
        Ok(())
    }

    /// Waits for what came of an order. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Made {
        match self.outcomes.recv().await {
            Some(made) => made,
            None => std::future::pending().await,
        }
    }

    /// Waits until every order is carried out; returns what came of the last.
    pub(crate) fn finish(mut self) -> Option<Made> {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
        let mut last = None;
        while let Ok(made) = self.outcomes.try_recv() {
            last = Some(made);
        }
        last
    }
}

struct Work {
    asker: Asker,
    boot: Arc<str>,
    ours: OwnLinks,
}

impl Work {
    /// Does all that can be done; returns what cannot.
    fn carry_out(&mut self, order: &Order) -> Vec<String> {
        let mut failures = BTreeMap::new();
        let mut notes = BTreeSet::new();
        for _ in 0..ROUNDS {
            let there = match self.list() {
                Ok(there) => there,
                Err(error) => return vec![format!("the kernel does not list links: {error}")],
            };
            // What is gone is ours no more, whoever takes its name.
            self.ours
                .made
                .retain(|name, index| there.get(name).is_some_and(|link| link.index == *index));
            let LinkChanges {
                changes,
                notes: left,
            } = changes(&order.wanted, &there, &self.ours);
            notes = left;
            let before = failures.len();
            let mut done = 0;
            let mut indexes: BTreeMap<Arc<str>, u32> = there
                .iter()
                .map(|(name, link)| (Arc::clone(name), link.index))
                .collect();
            for change in &changes {
                match self.apply(change, &there, &mut indexes) {
                    Ok(()) => done += 1,
                    Err(error) => {
                        failures.insert(subject(change), error.to_string());
                    }
                }
            }
            if done == 0 || changes.is_empty() || failures.len() > before {
                break;
            }
        }
        let failed = failures
            .into_iter()
            .map(|(name, error)| format!("{name} cannot be made as its profile wants it: {error}"));
        failed.chain(notes.iter().map(told)).collect()
    }

    fn list(&mut self) -> Result<BTreeMap<Arc<str>, PresentLink>, AskError> {
        let mut answers = Vec::new();
        for listing in present::listings() {
            answers.extend(self.asker.ask(&listing)?);
        }
        Ok(present::present(&answers))
    }

    fn apply(
        &mut self,
        change: &LinkChange,
        there: &BTreeMap<Arc<str>, PresentLink>,
        indexes: &mut BTreeMap<Arc<str>, u32>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        if let LinkChange::Make(wanted) = change
            && let Some(tun) = Tun::of(&wanted.link)
        {
            ask::make_tun(&tun)?;
        } else {
            let index_of = |name: &str| indexes.get(name).copied();
            let is_bridge = |name: &str| {
                let link = there.get(name).and_then(|link| link.kind);
                link.map(|kind| kind.name) == Some("bridge")
            };
            for message in present::messages(change, &index_of, &is_bridge).map_err(missing)? {
                self.asker.ask(&message)?;
            }
        }
        self.record(change, indexes);
        Ok(())
    }

    /// Writes down what was done.
    fn record(&mut self, change: &LinkChange, indexes: &mut BTreeMap<Arc<str>, u32>) {
        let ours = &mut self.ours;
        match change {
            LinkChange::Make(wanted) => {
                for name in std::iter::once(&wanted.link.name).chain(&wanted.link.peer) {
                    let found = self.asker.ask(&message::get(name)).ok();
                    let index =
                        found.and_then(|answers| Some(message::link_of(answers.first()?)?.0));
                    if let Some(index) = index {
                        indexes.insert(Arc::clone(name), index);
                        ours.made.insert(Arc::clone(name), index);
                    }
                }
            }
            LinkChange::Remove(name) => {
                ours.made.remove(name);
                indexes.remove(name);
            }
            LinkChange::SetUp(..) => {}
            LinkChange::Set {
                name, attributes, ..
            } => set(ours, name, Scope::Link, attributes.keys()),
            LinkChange::SetPort {
                port, attributes, ..
            } => set(ours, port, Scope::Port, attributes.keys()),
            LinkChange::Join { port, of } => {
                ours.joined.insert((Arc::clone(port), Arc::clone(of)));
            }
            LinkChange::Leave(port) => ours.joined.retain(|(joined, _)| joined != port),
            LinkChange::AddVlans(name, vlans) => {
                let added = vlans.keys().map(|vlan| (Arc::clone(name), *vlan));
                ours.vlans.extend(added);
            }
            LinkChange::RemoveVlans(name, vlans) => {
                for vlan in vlans {
                    ours.vlans.remove(&(Arc::clone(name), *vlan));
                }
            }
        }
    }
}

fn set<'a>(
    ours: &mut OwnLinks,
    name: &Arc<str>,
    scope: Scope,
    attributes: impl Iterator<Item = &'a &'static str>,
) {
    let told = attributes.map(|attribute| (Arc::clone(name), scope, *attribute));
    ours.set.extend(told);
}

fn subject(change: &LinkChange) -> Arc<str> {
    Arc::clone(match change {
        LinkChange::Make(wanted) => &wanted.link.name,
        LinkChange::Remove(name)
        | LinkChange::SetUp(name, _)
        | LinkChange::Set { name, .. }
        | LinkChange::Leave(name)
        | LinkChange::AddVlans(name, _)
        | LinkChange::RemoveVlans(name, _)
        | LinkChange::Join { port: name, .. }
        | LinkChange::SetPort { port: name, .. } => name,
    })
}

fn told(note: &LinkNote) -> String {
    match note {
        LinkNote::Waits { name, below } => format!("{name} waits for {below}"),
        LinkNote::Foreign(name) => {
            format!("{name} is there, of another kind, and somebody else has made it")
        }
        LinkNote::NotAnew(name, what) => format!(
            "{name} would have to be made anew for its {what}, and somebody else has made it"
        ),
        LinkNote::PortTaken { port, of } => {
            format!("{port} is a port of {of} already, and somebody else has made it that")
        }
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
}

fn keep(ours: &OwnLinks, boot: &str) -> String {
    let file = File {
        boot: boot.to_owned(),
        made: ours
            .made
            .iter()
            .map(|(name, index)| (name.to_string(), *index))
            .collect(),
        joined: ours
            .joined
            .iter()
            .map(|(port, of)| (port.to_string(), of.to_string()))
            .collect(),
        vlans: ours
            .vlans
            .iter()
            .map(|(name, vlan)| (name.to_string(), *vlan))
            .collect(),
    };
    serde_json::to_string(&file).unwrap_or_default()
}

/// Nothing is ours on another kernel, or by a text that does not read.
fn recall(text: &str, boot: &str) -> OwnLinks {
    let Ok(file) = serde_json::from_str::<File>(text) else {
        tracing::warn!("what was made of links cannot be read: nothing of it is removed");
        return OwnLinks::default();
    };
    if file.boot != boot {
        return OwnLinks::default();
    }
    let pair = |(one, other): (String, String)| (one.into(), other.into());
    OwnLinks {
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
    }
}

fn missing(missing: Missing) -> io::Error {
    match missing {
        Missing::Link(name) => io::Error::other(format!("{name} is not there")),
        Missing::Ioctl => io::Error::other("it is made another way"),
    }
}

/// Whether a link of this kind is made here; WireGuard needs keys that only the helper can read.
pub(crate) fn can_make(kind: LinkKind) -> bool {
    kind.name != "wireguard"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_is_known_again_on_the_same_kernel_only() {
        let ours = OwnLinks {
            made: BTreeMap::from([("br0".into(), 7)]),
            joined: BTreeSet::from([("eth1".into(), "br0".into())]),
            set: BTreeSet::new(),
            vlans: BTreeSet::from([("eth1".into(), 10)]),
        };
        let text = keep(&ours, "boot");
        assert_eq!(recall(&text, "boot"), ours);
        assert_eq!(recall(&text, "another"), OwnLinks::default());
        assert_eq!(recall("nonsense", "boot"), OwnLinks::default());
    }
}
