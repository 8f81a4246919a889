//! To which destinations may others have routes that matter? Those of ours, and of what will be ours.
//!
//! Of other people's routes there may be a million, of which nothing is told; only who takes the place of one of ours, or stands beside
//! it, is heard of.

use std::collections::BTreeSet;

use config::model::Prefix;

use super::Writer;
use crate::LinkManager;

/// What has to be heard of.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    destinations: BTreeSet<Prefix>,
    /// Whether that is to be told.
    is_due: bool,
    /// Whether there was a plan, or something was written down: without them nobody knows what will be ours.
    is_known: bool,
}

impl LinkManager {
    /// Returns to where the routes lead that are ours or will be, when that is not as it was last returned. Until the first time
    /// all routes of others are to be told that take another's place, and from then on those that lead there: before the next request is
    /// performed. During a listing both are.
    pub fn poll_destinations(&mut self) -> Option<Vec<Prefix>> {
        let hearing = &mut self.writer.hearing;
        let is_due = hearing.is_known && std::mem::take(&mut hearing.is_due);
        is_due.then(|| hearing.destinations.iter().copied().collect())
    }

    /// Follows what is planned, written down, and there.
    pub(super) fn hear_of_all(&mut self) {
        let claimed = self.writer.claimants.iter().map(|(key, _)| key.to);
        let written = self.writer.journal.entries().routes.keys();
        let there = self.observed.own().keys();
        let all = claimed.chain(written.map(|key| key.to));
        let destinations: BTreeSet<Prefix> = all.chain(there.map(|key| key.to)).collect();
        let hearing = &mut self.writer.hearing;
        let is_first = !std::mem::replace(&mut hearing.is_known, self.writer.plan.is_some());
        hearing.is_due |= is_first || hearing.destinations != destinations;
        hearing.destinations = destinations;
    }

    /// Has it be heard anew after a listing: until its end more was heard of.
    pub(super) const fn hear_anew(&mut self) {
        self.writer.hearing.is_due = true;
    }

    /// Follows that there is a route with our number, whoever made it.
    pub(crate) fn hear_of(&mut self, destination: Prefix) {
        let hearing = &mut self.writer.hearing;
        hearing.is_due |= hearing.destinations.insert(destination);
    }
}

impl Writer {
    /// Follows what a run before has written down: who comes beside it is heard of before it is listed who is there.
    pub(super) fn hear_of_written(&mut self) {
        let written = self.journal.entries().routes.keys();
        self.hearing.destinations = written.map(|key| key.to).collect();
        self.hearing.is_due = !self.hearing.destinations.is_empty();
        self.hearing.is_known = self.hearing.is_due;
    }
}
