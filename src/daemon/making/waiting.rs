//! What is to be done next by the [`super::Maker`]? The tasks that wait, or a look at what sends.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;

use linkmgr::kinds::wireguard::endpoints::PeerId;

use super::associations::Associations;
use super::{Order, Task};
use crate::clock;
use crate::link_keys::Keys;

/// Waits for tasks, or until it is time to look at what sends; `None` when there will be no more.
pub(super) fn next(
    to_do: &std::sync::mpsc::Receiver<Task>,
    associations: &Associations,
) -> Option<Waiting> {
    let first = match associations.look_at() {
        None => Some(to_do.recv().ok()?),
        Some(at) => match to_do.recv_timeout(at.since(clock::now())) {
            Ok(task) => Some(task),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return None,
        },
    };
    let mut waiting = Waiting::default();
    for task in first.into_iter().chain(to_do.try_iter()) {
        waiting.take(task);
    }
    Some(waiting)
}

/// The tasks that wait.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) links: Option<(Order, Keys)>,
    pub(super) tells: BTreeMap<PeerId, SocketAddr>,
    pub(super) looks: BTreeSet<Arc<str>>,
}

impl Waiting {
    fn take(&mut self, task: Task) {
        match task {
            Task::Links(order, keys) => self.links = Some((order, keys)),
            Task::Tell(peer, endpoint) => {
                self.tells.insert(peer, endpoint);
            }
            Task::Look(link) => {
                self.looks.insert(link);
            }
        }
    }
}
