//! How do the links that profiles make come to be? [`Maker`]: a thread that lists, compares and asks until nothing is left.
//!
//! What is to be done is found by `policy::virtual_links`, how it is said by `linkmgr::kinds`. A thread, because the kernel may
//! take seconds to make or remove a link; it sleeps as long as there is no order.

pub(crate) mod associations;
mod kept;
mod tunnels;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use config::model::PublicKey;
use linkmgr::kinds::generic::{self, Family};
use linkmgr::kinds::macsec::OwnReceives;
use linkmgr::kinds::message::{self, Missing};
use linkmgr::kinds::present;
use linkmgr::kinds::tun::Tun;
use linkmgr::kinds::wireguard::PeerReading;
use linkmgr::kinds::wireguard::endpoints::PeerId;
use linkmgr_io::ask::{self, AskError, Asker, Part};
use policy::virtual_links::{
    LinkChange, LinkChanges, LinkNote, OwnLinks, PresentLink, Scope, WantedLink, changes,
};
use tokio::sync::mpsc;

use crate::clock;
use crate::link_keys::Keys;
use associations::{Associations, Board};
use kept::{keep, recall};
pub(crate) use tunnels::Readings;
use tunnels::Tunnels;
use waiting::{Waiting, next};

/// How often it is compared anew: what was done may make other things possible, a port of a link for one.
const ROUNDS: usize = 4;

/// What the links should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    /// The links that should be there.
    pub(crate) wanted: Vec<WantedLink>,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Task {
    /// Have the links be as ordered, with these keys.
    Links(Order, Keys),
    /// Tell the kernel where a tunnel's peer is.
    Tell(PeerId, SocketAddr),
    /// Look how the peers of a tunnel do.
    Look(Arc<str>),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Done {
    /// Of [`Task::Links`].
    Made(Made),
    /// Of [`Task::Look`].
    Looked(Arc<str>, Readings),
    /// Of no task: something has become of associations.
    Counted(Board),
}

/// What came of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    /// What is ours, to be kept.
    pub(crate) kept: String,
    /// What is not as wanted, and why.
    pub(crate) notes: Vec<String>,
    /// The tunnels that are as they should be, with what the kernel tells of their peers.
    pub(crate) tunnels: BTreeMap<Arc<str>, Readings>,
    /// How associations are.
    pub(crate) associations: Board,
    /// Files whose keys have to be marked as used before they are.
    pub(crate) unmarked: Vec<String>,
}

/// Takes tasks, one after another; of several orders that wait, the last counts.
#[derive(Debug)]
pub(crate) struct Maker {
    /// What the thread begins with, as long as there is none: most machines make no links.
    kept: Option<String>,
    boot: Arc<str>,
    /// Where packet numbers are written down.
    numbers: PathBuf,
    tasks: Option<std::sync::mpsc::Sender<Task>>,
    outcomes: mpsc::UnboundedReceiver<Done>,
    outcome: mpsc::UnboundedSender<Done>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Maker {
    /// Makes one without a thread; `kept` is what it said to keep before, `numbers` the file of packet numbers.
    pub(crate) fn new(kept: Option<String>, boot: Arc<str>, numbers: PathBuf) -> Self {
        let (outcome, outcomes) = mpsc::unbounded_channel();
        Self {
            kept,
            boot,
            numbers,
            tasks: None,
            outcomes,
            outcome,
            thread: None,
        }
    }

    /// Has something done.
    ///
    /// # Errors
    /// When there are no threads or sockets left.
    pub(crate) fn order(&mut self, task: Task) -> io::Result<()> {
        if self.tasks.is_none() {
            self.start()?;
        }
        if let Some(tasks) = &self.tasks {
            // A thread that is gone makes nothing; nothing else depends on it.
            let _taken = tasks.send(task);
        }
        Ok(())
    }

    fn start(&mut self) -> io::Result<()> {
        let (tasks, to_do) = std::sync::mpsc::channel::<Task>();
        let done = self.outcome.clone();
        let recall = |text: String| recall(&text, &self.boot);
        let mut work = Work {
            asker: Asker::open(Part::Route)?,
            boot: Arc::clone(&self.boot),
            ours: self.kept.take().map_or_else(Ours::default, recall),
            tunnels: Tunnels::default(),
            associations: Associations::new(self.numbers.clone()),
        };
        let thread = thread::Builder::new()
            .name("linnet-maker".to_owned())
            .spawn(move || {
                // That nobody hears of it does not end the watch: what sends is looked at until this ends.
                while let Some(waiting) = next(&to_do, &work.associations) {
                    for outcome in work.do_all(waiting) {
                        let _heard = done.send(outcome);
                    }
                }
                work.associations.stop();
            })?;
        self.tasks = Some(tasks);
        self.thread = Some(thread);
        Ok(())
    }

    /// Waits for what came of a task. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Done {
        match self.outcomes.recv().await {
            Some(done) => done,
            None => std::future::pending().await,
        }
    }

    /// Waits until every task is done; returns what came of the last order.
    pub(crate) fn finish(mut self) -> Option<Made> {
        drop(self.tasks.take());
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
        let mut last = None;
        while let Ok(done) = self.outcomes.try_recv() {
            match done {
                Done::Made(made) => last = Some(made),
                Done::Looked(..) | Done::Counted(_) => {}
            }
        }
        last
    }
}

/// What the file of made links proves to be ours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Ours {
    links: OwnLinks,
    /// Peers of tunnels that we added.
    peers: BTreeMap<Arc<str>, BTreeSet<PublicKey>>,
    /// Associations that we have links receive.
    receives: BTreeMap<Arc<str>, OwnReceives>,
}

struct Work {
    asker: Asker,
    boot: Arc<str>,
    ours: Ours,
    tunnels: Tunnels,
    associations: Associations,
}

impl Work {
    fn do_all(&mut self, waiting: Waiting) -> Vec<Done> {
        let mut outcomes = Vec::new();
        if let Some((order, keys)) = waiting.links {
            let mut tunnels = BTreeMap::new();
            let notes = self.carry_out(&order, &keys, &mut tunnels);
            outcomes.push(Done::Made(Made {
                kept: keep(&self.ours, &self.boot),
                notes,
                tunnels,
                associations: self.associations.board(),
                unmarked: self.associations.unmarked(),
            }));
        } else if self
            .associations
            .look_at()
            .is_some_and(|at| at <= clock::now())
            && self.associations.look()
        {
            outcomes.push(Done::Counted(self.associations.board()));
        }
        for (peer, endpoint) in waiting.tells {
            let told = match self.index_of(&peer.0) {
                Some(index) => self.tunnels.tell(index, &peer, endpoint),
                None => Ok(()),
            };
            if let Err(error) = told {
                tracing::warn!(%error, link = %peer.0, "the kernel does not take a peer's endpoint");
            }
        }
        for link in waiting.looks {
            // Of one that is gone there is nothing to look at.
            let looked = self.index_of(&link).map(|index| self.tunnels.look(index));
            if let Some(Ok(readings)) = looked {
                outcomes.push(Done::Looked(link, readings));
            }
        }
        outcomes
    }

    /// Does all that can be done; returns what cannot.
    fn carry_out(
        &mut self,
        order: &Order,
        keys: &Keys,
        tunnels: &mut BTreeMap<Arc<str>, Readings>,
    ) -> Vec<String> {
        let mut failures = BTreeMap::new();
        let lacking = lacking(order, keys);
        let mut notes = BTreeSet::new();
        for _ in 0..ROUNDS {
            let there = match self.list() {
                Ok(there) => there,
                Err(error) => return vec![format!("the kernel does not list links: {error}")],
            };
            // What is gone is ours no more, whoever takes its name.
            self.ours
                .links
                .made
                .retain(|name, index| there.get(name).is_some_and(|link| link.index == *index));
            let LinkChanges {
                changes,
                notes: left,
            } = changes(&order.wanted, &there, &self.ours.links);
            notes = left;
            let before = failures.len();
            let mut done = 0;
            let mut indexes: BTreeMap<Arc<str>, u32> = there
                .iter()
                .map(|(name, link)| (Arc::clone(name), link.index))
                .collect();
            for change in changes.iter().filter(|one| !makes_one_of(one, &lacking)) {
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
        self.set_tunnels(order, keys, tunnels, &mut failures);
        self.set_associations(order, keys, &mut failures);
        failures.extend(lacking);
        let failed = failures
            .into_iter()
            .map(|(name, error)| format!("{name} cannot be made as its profile wants it: {error}"));
        failed.chain(notes.iter().map(told)).collect()
    }

    /// Sets keys and peers of the tunnels that are there.
    fn set_tunnels(
        &mut self,
        order: &Order,
        keys: &Keys,
        tunnels: &mut BTreeMap<Arc<str>, Readings>,
        failures: &mut BTreeMap<Arc<str>, String>,
    ) {
        let wanted = order.wanted.iter().map(|wanted| &wanted.link);
        let mut wanted = wanted
            .filter_map(|link| Some((&link.name, link.wireguard.as_ref()?)))
            .peekable();
        if wanted.peek().is_none() {
            self.ours.peers.clear();
            return;
        }
        let there = self.list().unwrap_or_default();
        self.ours.peers.retain(|name, _| there.contains_key(name));
        for (name, settings) in wanted {
            let link = there.get(name);
            let is_tunnel = |link: &&PresentLink| {
                link.kind
                    .is_some_and(|kind| kind.name == linkmgr::kinds::wireguard::FAMILY)
            };
            let Some(link) = link.filter(is_tunnel) else {
                continue;
            };
            let ours = self.ours.peers.entry(Arc::clone(name)).or_default();
            match self.tunnels.set((name, link.index), settings, keys, ours) {
                Ok(readings) => {
                    // One that was there before we came is not ours to remove.
                    let added = |key: &&PublicKey| {
                        readings
                            .get(key)
                            .is_none_or(|it| *it == PeerReading::default())
                    };
                    ours.retain(|key| settings.peers.contains_key(key));
                    ours.extend(settings.peers.keys().filter(added));
                    tunnels.insert(Arc::clone(name), readings);
                }
                Err(error) => {
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
    }

    /// Sets the associations of the links that are there, and ends all others.
    fn set_associations(
        &mut self,
        order: &Order,
        keys: &Keys,
        failures: &mut BTreeMap<Arc<str>, String>,
    ) {
        self.associations.begin();
        let wanted = order.wanted.iter().map(|wanted| &wanted.link);
        let wanted: Vec<_> = wanted
            .filter_map(|link| Some((&link.name, link.macsec.as_ref()?)))
            .collect();
        let mut set = BTreeSet::new();
        if wanted.is_empty() {
            self.ours.receives.clear();
        } else {
            let there = self.list().unwrap_or_default();
            self.ours
                .receives
                .retain(|name, _| there.contains_key(name));
            for (name, settings) in wanted {
                let is_macsec = |link: &&PresentLink| {
                    let kind = link.kind.map(|kind| kind.name);
                    kind == Some(linkmgr::kinds::macsec::FAMILY)
                };
                let Some(link) = there.get(name).filter(is_macsec) else {
                    continue;
                };
                set.insert(link.index);
                let ours = self.ours.receives.entry(Arc::clone(name)).or_default();
                let done = self
                    .associations
                    .set((name, link.index), settings, keys, ours);
                if let Err(error) = done {
                    failures
                        .entry(Arc::clone(name))
                        .or_insert_with(|| error.to_string());
                }
            }
        }
        self.associations.end(&set);
    }

    fn index_of(&mut self, name: &str) -> Option<u32> {
        let answers = self.asker.ask(&message::get(name)).ok()?;
        Some(message::link_of(answers.first()?)?.0)
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
        if let LinkChange::Remove(name) = change
            && let Some(link) = there.get(name)
        {
            self.associations.leave(link.index);
        }
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
        let ours = &mut self.ours.links;
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

/// Reaches a family of the kernel, unless it is reached already.
fn reach<'a>(
    reached: &'a mut Option<(Asker, Family)>,
    family: &str,
) -> Result<&'a mut (Asker, Family), AskError> {
    let absent = || io::Error::from_raw_os_error(libc::ENOENT);
    if reached.is_none() {
        let mut asker = Asker::open(Part::Generic)?;
        let answers = asker.ask(&generic::find(family))?;
        let family = answers.first().and_then(generic::family_of);
        *reached = Some((asker, family.ok_or_else(absent)?));
    }
    reached.as_mut().ok_or_else(|| absent().into())
}

/// Returns the links that have no key that can be used, and why.
fn lacking(order: &Order, keys: &Keys) -> BTreeMap<Arc<str>, String> {
    let links = order.wanted.iter().map(|wanted| &wanted.link);
    let lacking = links.filter_map(|link| {
        let of_tunnel = link.wireguard.as_ref();
        let of_tunnel = of_tunnel.and_then(|settings| tunnels::device(settings, keys).err());
        let mut files = link.macsec.iter().flat_map(|settings| settings.key_files());
        let missing =
            of_tunnel.or_else(|| files.find_map(|file| keys.find_association(file).err()))?;
        Some((Arc::clone(&link.name), missing.to_string()))
    });
    lacking.collect()
}

/// Whether a link would be made that lacks its key: it would be there, and carry nothing.
fn makes_one_of(change: &LinkChange, lacking: &BTreeMap<Arc<str>, String>) -> bool {
    match change {
        LinkChange::Make(wanted) => lacking.contains_key(&wanted.link.name),
        LinkChange::Remove(_)
        | LinkChange::SetUp(..)
        | LinkChange::Set { .. }
        | LinkChange::Join { .. }
        | LinkChange::Leave(_)
        | LinkChange::SetPort { .. }
        | LinkChange::AddVlans(..)
        | LinkChange::RemoveVlans(..) => false,
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

fn missing(missing: Missing) -> io::Error {
    match missing {
        Missing::Link(name) => io::Error::other(format!("{name} is not there")),
        Missing::Ioctl => io::Error::other("it is made another way"),
    }
}
