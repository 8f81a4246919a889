//! What does an item that has failed, or has to wait, wait for? An event that may mend it, a moment, or both.

use std::net::IpAddr;

use config::time::Instant;

use super::Writer;
use crate::status::Item;

impl Writer {
    /// Remembers that a change of one of these links may mend an item.
    pub(super) fn mended_by(&mut self, item: &Item, links: Vec<u32>) {
        self.not_mended(item);
        for index in &links {
            self.unsatisfied.insert((*index, item.clone()));
        }
        self.record(item).mended_by = links;
    }

    pub(super) fn not_mended(&mut self, item: &Item) {
        if let Some(record) = self.record_by_item.get_mut(item) {
            for index in std::mem::take(&mut record.mended_by) {
                self.unsatisfied.remove(&(index, item.clone()));
            }
        }
        if let Some(record) = self.record_by_item.get_mut(item)
            && let Some(source) = record.awaits.take()
        {
            self.awaiting.remove(&(source, item.clone()));
        }
    }

    /// Remembers that an address, of whatever link, may mend an item.
    pub(super) fn awaits(&mut self, item: &Item, source: IpAddr) {
        self.record(item).awaits = Some(source);
        self.awaiting.insert((source, item.clone()));
    }

    pub(super) fn delay(&mut self, item: &Item, at: Instant) {
        self.forget_delay(item);
        self.record(item).delayed_until = Some(at);
        self.delayed.insert((at, item.clone()));
    }

    /// The same for what may be mended unheard: it holds up neither a stop nor the journal.
    pub(super) fn delay_long(&mut self, item: &Item, at: Instant) {
        self.forget_delay(item);
        self.record(item).delayed_until = Some(at);
        self.late.insert((at, item.clone()));
    }

    pub(super) fn forget_delay(&mut self, item: &Item) {
        if let Some(record) = self.record_by_item.get_mut(item)
            && let Some(at) = record.delayed_until.take()
        {
            let entry = (at, item.clone());
            let _was_soon = self.delayed.remove(&entry) || self.late.remove(&entry);
        }
    }
}
