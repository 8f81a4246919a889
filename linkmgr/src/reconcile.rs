//! How is what should be there made of what is there? The writing half of [`LinkManager`].

use std::sync::Arc;

use config::time::Instant;
use policy::{LinkId, LinksPlan};

use crate::LinkManager;
use crate::journal::{Boot, JournalText};
use crate::request::{KernelAnswer, KernelRequest, RequestId};
use crate::status::{Item, ItemState, LinkReport, LinkTimer, StopLevel};

#[expect(
    clippy::needless_pass_by_ref_mut,
    reason = "these are the signatures; what is behind them changes"
)]
impl LinkManager {
    /// Takes the journal of a run before, and tells it what proves that the kernel is still the same one. Comes first, and
    /// once; without it nothing of before is ours.
    pub fn load_journal(&mut self, text: Option<&str>, boot: Boot) {
        drop((text, boot));
    }

    /// Takes what should be there. Nothing is asked for before the first listing is complete.
    pub fn apply_plan(&mut self, plan: Arc<LinksPlan>, now: Instant) {
        drop((plan, now));
    }

    /// Returns the journal when it has to be kept; what it proves is asked for after [`LinkManager::handle_journal`] only.
    pub fn poll_journal(&mut self) -> Option<JournalText> {
        None
    }

    /// Takes word of the journal of this version: it is kept, or could not be. A disk that is full is no reason to have no
    /// network: the requests go out all the same, and the journal is tried again later.
    pub fn handle_journal(&mut self, version: u64, is_kept: bool, now: Instant) {
        let _ = (version, is_kept, now);
    }

    /// Returns the next request, in the order in which the kernel must see them; at most 64 wait for answers.
    pub fn poll_request(&mut self, now: Instant) -> Option<(RequestId, KernelRequest)> {
        let _ = now;
        None
    }

    /// Takes the answer to a request.
    pub fn handle_answer(&mut self, id: RequestId, answer: KernelAnswer, now: Instant) {
        drop((id, answer, now));
    }

    /// Returns something that a client has to know.
    pub fn poll_report(&mut self) -> Option<LinkReport> {
        None
    }

    /// Returns the deadline, and what it is for; there is none while nothing is wrong.
    pub fn poll_timeout(&self) -> Option<(Instant, LinkTimer)> {
        None
    }

    /// Takes word that the deadline has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// Returns every planned item that belongs to a link, or to none (`None`: the rules), and how far it is.
    pub fn items(&self, link: Option<LinkId>) -> Vec<(Item, ItemState)> {
        let _ = link;
        Vec::new()
    }

    /// Asks again for what has failed or was undone by hand on this link (`linnet up`).
    pub fn retry(&mut self, link: LinkId, now: Instant) {
        let _ = (link, now);
    }

    /// Makes everything ours that is on this link as the plan wants it (`linnet adopt`).
    pub fn adopt(&mut self, link: LinkId, now: Instant) {
        let _ = (link, now);
    }

    /// Forgets that anything on this link is ours, so that it stays when the plan lets the link go (`linnet release`): first
    /// this, then the plan without the link.
    pub fn release(&mut self, link: LinkId) {
        let _ = link;
    }

    /// Gives back, and takes no plan after that; go on until [`LinkManager::is_idle`].
    pub fn stop(&mut self, level: StopLevel, now: Instant) {
        let _ = (level, now);
    }

    /// Whether no request is under way or could be sent, and the journal is kept.
    pub fn is_idle(&self) -> bool {
        true
    }
}
