//! How do the links that profiles make come to be? [`Maker`]: a thread that lists, compares and asks until nothing is left.
//!
//! What is to be done is found by `policy::virtual_links`, how it is said by `linkmgr::kinds`. A thread, because the kernel may
//! take seconds to make or remove a link; it sleeps as long as there is no order.

pub(crate) mod associations;
pub(crate) mod kept;
pub(crate) mod rounds;
#[cfg(test)]
mod tests;
mod tunnels;
mod waiting;
mod within;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use linkmgr::kinds::generic::{self, Family};
use linkmgr::kinds::message::{self, Missing};
use linkmgr::kinds::present;
use linkmgr::kinds::tun::Tun;
use linkmgr::kinds::wireguard::endpoints::PeerId;
use linkmgr::request;
use linkmgr_io::ask::{self, AskError, Asker, Part};
use policy::virtual_links::{LinkChange, LinkNote, Spared, WantedLink};
use tokio::sync::mpsc;

use crate::clock;
use crate::link_keys::Keys;
use crate::store;
use associations::{Associations, Board};
use kept::Book;
use rounds::{Carried, Failures, Hands, Links, Refusal, carry_out, carry_out_last};
pub(crate) use tunnels::Readings;
use tunnels::Tunnels;
use waiting::{Waiting, next};

/// What the links should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    /// The links that should be there.
    pub(crate) wanted: Vec<WantedLink>,
    /// Which others stay as they are.
    pub(crate) spared: Spared,
    /// Which become linnetd's again, where it made them before they were released.
    pub(crate) adopted: BTreeSet<Arc<str>>,
    /// Whether there will be no other.
    pub(crate) is_last: bool,
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Made {
    /// What is not as wanted, and why.
    pub(crate) notes: Vec<String>,
    /// Whether some of it may be done later, though nothing is told of what stands in its way.
    pub(crate) passes: bool,
    /// The tunnels that are as they should be, with what the kernel tells of their peers; `None` when it does not even list them.
    pub(crate) tunnels: Option<BTreeMap<Arc<str>, Readings>>,
    /// How associations are.
    pub(crate) associations: Board,
    /// Files whose keys have to be marked as used before they are.
    pub(crate) unmarked: Vec<String>,
    /// Links of somebody else, by index, that keep links in place which are to go.
    pub(crate) uppers: BTreeSet<u32>,
}

impl Made {
    /// What is there is not known: nothing more is done, and it is tried again.
    fn fail_to_list(&mut self, error: &dyn fmt::Display) {
        let note = format!("the kernel does not list links: {error}");
        self.notes.push(note);
        self.passes = true;
    }
}

/// Takes tasks, one after another; of several orders that wait, the last counts.
#[derive(Debug)]
pub(crate) struct Maker {
    /// What the thread begins with, as long as there is none: most machines make no links.
    beginning: Option<Beginning>,
    tasks: Option<std::sync::mpsc::Sender<Task>>,
    outcomes: mpsc::UnboundedReceiver<Done>,
    outcome: mpsc::UnboundedSender<Done>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What a [`Maker`] begins with.
#[derive(Debug)]
pub(crate) struct Beginning {
    /// Where links are written down that are made. Whoever is to read it does so before there is a task.
    pub(crate) path: PathBuf,
    /// Differs after each start of the machine, and in each network namespace.
    pub(crate) boot: Arc<str>,
    /// Where packet numbers are written down.
    pub(crate) numbers: PathBuf,
    /// Any number.
    pub(crate) random: u32,
}

impl Maker {
    /// Makes one without a thread.
    pub(crate) fn new(beginning: Beginning) -> Self {
        let (outcome, outcomes) = mpsc::unbounded_channel();
        Self {
            beginning: Some(beginning),
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
        let Some(beginning) = self.beginning.take() else {
            return Ok(());
        };
        let (tasks, to_do) = std::sync::mpsc::channel::<Task>();
        let done = self.outcome.clone();
        let mut work = Work::begin(beginning)?;
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

    /// Waits until every task is done.
    pub(crate) fn finish(mut self) {
        drop(self.tasks.take());
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

struct Work {
    asker: Asker,
    path: PathBuf,
    book: Book,
    tunnels: Tunnels,
    associations: Associations,
}

impl Work {
    fn begin(beginning: Beginning) -> io::Result<Self> {
        let Beginning {
            path,
            boot,
            numbers,
            random,
        } = beginning;
        Ok(Self {
            asker: Asker::open(Part::Route)?,
            book: Book::open(store::read(&path).as_deref(), boot, random),
            path,
            tunnels: Tunnels::default(),
            associations: Associations::new(numbers),
        })
    }

    fn do_all(&mut self, waiting: Waiting) -> Vec<Done> {
        let mut outcomes = Vec::new();
        if let Some((order, keys)) = waiting.links {
            outcomes.push(Done::Made(self.carry_out(&order, &keys)));
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

    /// Does all that can be done; returns what cannot, and whether some of that may pass.
    fn carry_out(&mut self, order: &Order, keys: &Keys) -> Made {
        let mut made = Made::default();
        let (lacking, may_come) = lacking(order, keys);
        let mut hands = Reached {
            asker: &mut self.asker,
            associations: &mut self.associations,
            path: &self.path,
        };
        let carried = match order.is_last {
            true => carry_out_last(order, &mut self.book, &mut hands),
            false => carry_out(order, &lacking, &mut self.book, &mut hands),
        };
        let carried = match carried {
            Ok(carried) => carried,
            Err(error) => {
                made.fail_to_list(&error);
                return self.told_with_keys(made);
            }
        };
        let Carried {
            mut failures,
            notes,
            uppers,
            passes,
        } = carried;
        made.uppers = uppers;
        made.passes = passes || may_come;
        let listed = self.list_for(order);
        self.set_within(order, keys, listed, &mut made, &mut failures);
        failures.extend(lacking);
        let failed = failures
            .into_iter()
            .map(|(name, error)| format!("{name} cannot be made as its profile wants it: {error}"));
        made.notes.extend(failed.chain(notes.iter().map(told)));
        self.told_with_keys(made)
    }

    /// Adds how associations are.
    fn told_with_keys(&self, made: Made) -> Made {
        Made {
            associations: self.associations.board(),
            unmarked: self.associations.unmarked(),
            ..made
        }
    }

    fn index_of(&mut self, name: &str) -> Option<u32> {
        let answers = self.asker.ask(&message::get(name)).ok()?;
        Some(message::link_of(answers.first()?)?.0)
    }
}

/// What makes links, and what they are written down in.
struct Reached<'a> {
    asker: &'a mut Asker,
    associations: &'a mut Associations,
    path: &'a Path,
}

impl Hands for Reached<'_> {
    fn list(&mut self) -> Result<Links, Arc<str>> {
        list(self.asker).map_err(|error| error.to_string().into())
    }

    fn change(
        &mut self,
        change: &LinkChange,
        there: &Links,
        indexes: &BTreeMap<Arc<str>, u32>,
    ) -> Result<(), Refusal> {
        let changed = apply(self, change, there, indexes);
        changed.map_err(|error| Refusal {
            text: error.to_string().into(),
            passes: may_pass(&*error),
        })
    }

    fn keep(&mut self, text: &str) -> bool {
        keep(self.path, text)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a thread of its own, and nothing comes after"
    )]
    fn wait(&mut self, pause: Duration) {
        thread::sleep(pause);
    }
}

fn keep(path: &Path, text: &str) -> bool {
    // It is void after a loss of power: nothing to wait for a disk for.
    match store::write_for_this_boot(path, text) {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(%error, path = %path.display(), "what is made of links cannot be written down");
            false
        }
    }
}

fn list(asker: &mut Asker) -> Result<Links, AskError> {
    let mut answers = Vec::new();
    for listing in present::listings() {
        answers.extend(asker.ask(&listing)?);
    }
    Ok(present::present(&answers))
}

fn apply(
    hands: &mut Reached<'_>,
    change: &LinkChange,
    there: &Links,
    indexes: &BTreeMap<Arc<str>, u32>,
) -> Result<(), Box<dyn std::error::Error>> {
    if let LinkChange::Remove(name) = change
        && let Some(link) = there.get(name)
    {
        hands.associations.leave(link.index);
    }
    let index_of = |name: &str| indexes.get(name).copied();
    if let LinkChange::Make(wanted) = change
        && let Some(tun) = Tun::of(&wanted.link)
    {
        return Ok(ask::make_tun(&tun, index_of(&wanted.link.name))?);
    }
    let is_bridge = |name: &str| {
        let link = there.get(name).and_then(|link| link.kind);
        link.map(|kind| kind.name) == Some("bridge")
    };
    for message in present::messages(change, &index_of, &is_bridge).map_err(missing)? {
        match hands.asker.ask(&message) {
            // With one end of a pair the other one went.
            Err(error)
                if matches!(change, LinkChange::Remove(_))
                    && error.errno() == Some(libc::ENODEV) => {}
            answer => drop(answer?),
        }
    }
    Ok(())
}

/// Whether what is refused for this may be done later: the kernel is too busy, somebody holds a name, an index, a number or a port, or what
/// it stands on has gone since it was looked at. What the kernel does not know, or finds wrong, stays so.
fn may_pass(error: &(dyn std::error::Error + 'static)) -> bool {
    const IN_THE_WAY: [i32; 7] = [
        libc::ENXIO,
        libc::EEXIST,
        libc::ENODEV,
        libc::EADDRINUSE,
        libc::EADDRNOTAVAIL,
        libc::ENETDOWN,
        libc::ETIMEDOUT,
    ];
    let asked = error.downcast_ref::<AskError>().and_then(AskError::errno);
    let done = error.downcast_ref::<io::Error>();
    let errno = asked.or_else(|| done.and_then(io::Error::raw_os_error));
    errno.is_some_and(|errno| request::passes(errno) || IN_THE_WAY.contains(&errno))
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

/// Returns the links that have no key that can be used, and why; and whether that may pass, as no file was read. What is in a file, or that
/// there is none, stays so until somebody changes that, and says so.
fn lacking(order: &Order, keys: &Keys) -> (Failures, bool) {
    let links = order.wanted.iter().map(|wanted| &wanted.link);
    let lacking = links.filter_map(|link| {
        let of_tunnel = link.wireguard.as_ref();
        let of_tunnel = of_tunnel.and_then(|settings| tunnels::device(settings, keys).err());
        let mut files = link.macsec.iter().flat_map(|settings| settings.key_files());
        let missing =
            of_tunnel.or_else(|| files.find_map(|file| keys.find_association(file).err()))?;
        Some((Arc::clone(&link.name), missing.to_string()))
    });
    let lacking: Failures = lacking.collect();
    let may_come = keys.are_unread() && !lacking.is_empty();
    (lacking, may_come)
}

fn told(note: &LinkNote) -> String {
    match note {
        LinkNote::Waits { name, below } => format!("{name} waits for {below}"),
        LinkNote::Spared(name) => format!(
            "{name} stays, though no profile makes it: one that cannot be read may (linnet config check)"
        ),
        LinkNote::Carries { name, upper } => format!(
            "{name} stays as it is: {upper} would go with it, which was released, or which a profile makes that cannot be read"
        ),
        LinkNote::CarriesForeign { name, upper } => format!(
            "{name} stays as it is: {upper} would go with it, and somebody else has made that; when {upper} is gone, this is done"
        ),
        LinkNote::Foreign(name) => {
            format!("{name} is there, of another kind, and somebody else has made it")
        }
        LinkNote::NotAnew(name, what) => format!(
            "{name} would have to be made anew for its {what}, and somebody else has made it"
        ),
        LinkNote::PortTaken { port, of } => {
            format!("{port} is a port of {of} already, and somebody else has made it that")
        }
        LinkNote::PortAbsent { port, of } => {
            format!("{of} is without its port {port}: there is no link of that name")
        }
    }
}

fn missing(missing: Missing) -> io::Error {
    match missing {
        Missing::Link(name) => io::Error::other(format!("{name} is not there")),
        Missing::Ioctl => io::Error::other("it is made another way"),
    }
}
