//! How does the event loop have files read and written without waiting for a disk? [`Errands`]: one after another, in a
//! task that owns the [`Keeper`].
//!
//! Decides nothing: what may be done is the keeper's business, what is wanted the world's.

use std::time::Duration;

use linnet::config_dirs::ConfigText;
use policy::plan::ResolvConfPlan;
use resolver_io::resolv_conf::Insist;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::doors::KeyFile;
use crate::helper::{Keeper, KeeperError, ResolvConfReport};
use crate::link_keys::LinkKey;

/// How long after the start the first errand is begun: the helper makes itself ready for it, which on a machine with one processor is
/// time that clients wait who have waited for us.
const REST: Duration = Duration::from_millis(20);
/// How many errands may wait; each follows from an event that is rare.
const WAITING: usize = 16;

/// A thing to have done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Errand {
    /// Read the configuration.
    ReadConfig,
    /// Read the certificates and keys of the listeners.
    ReadKeys,
    /// Read the key files of the links that profiles make.
    ReadLinkKeys,
    /// Mark the keys in these files as used.
    MarkLinkKeys(Vec<String>),
    /// Write resolv.conf.
    Take(ResolvConfPlan, Insist),
    /// Put back what was there.
    GiveBack,
    /// See whose resolv.conf is.
    Look,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Of [`Errand::ReadConfig`].
    Config(Result<Vec<ConfigText>, KeeperError>),
    /// Of [`Errand::ReadKeys`].
    Keys(Result<Vec<KeyFile>, KeeperError>),
    /// Of [`Errand::ReadLinkKeys`].
    LinkKeys(Result<Vec<LinkKey>, KeeperError>),
    /// Of [`Errand::MarkLinkKeys`]: what could not be marked.
    Marked(Result<Vec<String>, KeeperError>),
    /// Of the others.
    ResolvConf(Result<ResolvConfReport, KeeperError>),
}

/// The errands that wait, and the outcomes that come.
#[derive(Debug)]
pub(crate) struct Errands {
    errands: mpsc::Sender<Errand>,
    outcomes: mpsc::Receiver<Outcome>,
    task: tokio::task::JoinHandle<Keeper>,
}

impl Errands {
    /// Gives the keeper a task of its own.
    pub(crate) fn start(keeper: Keeper) -> Self {
        let (errands, taken) = mpsc::channel(WAITING);
        let (done, outcomes) = mpsc::channel(WAITING);
        let task = tokio::spawn(run(keeper, taken, done));
        Self {
            errands,
            outcomes,
            task,
        }
    }

    /// Sends the keeper on an errand.
    pub(crate) async fn send(&self, errand: Errand) {
        if self.errands.send(errand).await.is_err() {
            tracing::error!("nobody does errands: the keeper's task has ended");
        }
    }

    /// Waits for the next outcome. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Outcome {
        match self.outcomes.recv().await {
            Some(outcome) => outcome,
            // The task ends after `quit` only.
            None => std::future::pending().await,
        }
    }

    /// Lets the errands under way end, gives resolv.conf back, and ends the helper.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub(crate) async fn quit(self) -> Result<ResolvConfReport, KeeperError> {
        let Self {
            errands,
            mut outcomes,
            task,
        } = self;
        drop(errands);
        // Outcomes that nobody takes must not keep the task from ending.
        while outcomes.recv().await.is_some() {}
        match task.await {
            Ok(keeper) => keeper.quit().await,
            Err(_) => Err(KeeperError::Gone),
        }
    }
}

async fn run(
    mut keeper: Keeper,
    mut errands: mpsc::Receiver<Errand>,
    outcomes: mpsc::Sender<Outcome>,
) -> Keeper {
    let rested = Instant::now() + REST;
    while let Some(errand) = errands.recv().await {
        tokio::time::sleep_until(rested).await;
        let outcome = match errand {
            Errand::ReadConfig => Outcome::Config(keeper.read_config().await),
            Errand::ReadKeys => Outcome::Keys(keeper.read_keys().await),
            Errand::ReadLinkKeys => Outcome::LinkKeys(keeper.read_link_keys().await),
            Errand::MarkLinkKeys(paths) => Outcome::Marked(keeper.mark_link_keys(paths).await),
            Errand::Take(plan, insist) => {
                let ResolvConfPlan {
                    mode,
                    nameservers,
                    search,
                } = plan;
                let taken = keeper.take_resolv_conf(mode, nameservers, search, insist);
                Outcome::ResolvConf(taken.await)
            }
            Errand::GiveBack => Outcome::ResolvConf(keeper.give_back_resolv_conf().await),
            Errand::Look => Outcome::ResolvConf(keeper.resolv_conf_status().await),
        };
        if outcomes.send(outcome).await.is_err() {
            break;
        }
    }
    keeper
}
