//! May an association send, and from which packet number on? [`Counting`]: no number is ever used twice, whenever the daemon dies.
//!
//! ```text
//! not there ─ reserve, mark, add ─► sends, watched ── look: reserve is low ─► reserve
//!     ▲                               │   ▲   ▲        look: cannot reserve ─► switched off until it can
//!     └── switch off, read, write ◄───┘   │   └── another daemon of the same boot: reads the kernel, and reserves
//!                                         └────── switched off at a stop: goes on after what was read
//! ```
//!
//! The ledger is on the disk before anything that it allows. What sends is looked at often enough that it cannot pass its
//! reserve; at a stop it is switched off, as nobody would look at it. What was left behind without a watcher goes on in the same
//! boot, where the kernel still counts, and never in another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use config::time::Instant;

use super::ledger::{BLOCK, END, Entry, LOW, Ledger, Moment, PER_SECOND, UNDER_WAY, USED_UP, Use};
use super::{FIRST, Held, Reading};
pub use hands::{Hands, Sender, Sends, Step};
pub use why::{NotSent, told};

mod hands;
mod why;

/// Between two looks lies this at most; a link that is not hurried is still found out to be gone.
const LONGEST: Duration = Duration::from_secs(10);
const SHORTEST: Duration = Duration::from_millis(500);

/// What sends, and that somebody looks at it.
#[derive(Debug, Clone)]
struct Watched {
    number: u8,
    one: Use,
    /// What the kernel said last.
    next: u64,
    /// Switched off until the reserve can be written.
    is_held_back: bool,
}

/// Counts the packet numbers of all that sends.
#[derive(Debug)]
pub struct Counting {
    ledger: Result<Ledger, Arc<str>>,
    /// This moment.
    now: Moment,
    /// Whether it was written since this began: then nobody's word of an earlier death counts.
    is_written: bool,
    watched: BTreeMap<u32, Watched>,
}

impl Counting {
    /// Takes the ledger's text as it was kept (`Ok(None)` when there never was one), and the moments from which on nobody
    /// was there to watch what sends.
    pub fn new(
        text: Result<Option<String>, Arc<str>>,
        left: &[Moment],
        boot: Arc<str>,
        now: Instant,
    ) -> Self {
        let mut new = Self {
            ledger: Err(Arc::default()),
            now: Moment {
                boot,
                at: Duration::ZERO,
            },
            is_written: false,
            watched: BTreeMap::new(),
        };
        new.tell_time(now);
        let ledger = match text {
            Ok(None) => Ok(Ledger::new(new.now.clone())),
            Ok(Some(text)) => Ledger::read(&text).map_err(|error| error.to_string().into()),
            Err(error) => Err(error),
        };
        new.ledger = ledger.map(|mut ledger| {
            for from in left {
                ledger.leave_unwatched(from);
            }
            ledger
        });
        new
    }

    /// Tells what time it is. To be done before anything else.
    pub fn tell_time(&mut self, now: Instant) {
        self.now.at = now.since(Instant::ZERO);
    }

    /// Has a link send by `sender` and nothing else that is counted here; without one, by nothing.
    ///
    /// # Errors
    /// Why it does not send.
    pub fn set<H: Hands>(
        &mut self,
        hands: &mut H,
        index: u32,
        sender: Option<&Sender<'_>>,
    ) -> Result<Option<Sends>, NotSent> {
        let mut readings = hands.read().map_err(NotSent::Kernel)?;
        // What is gone sends no more.
        self.watched.retain(|index, _| readings.contains_key(index));
        let reading = readings.remove(&index).ok_or(NotSent::NoLink)?;
        let one_of = |key| Use {
            key,
            channel: reading.channel,
        };
        let wanted = sender.map(|sender| (sender.number, one_of(sender.key.id())));
        for (number, held) in &reading.sends {
            let one = one_of(held.key);
            let is_in_the_way = wanted.is_some_and(|(at, _)| at == *number);
            if wanted != Some((*number, one)) && (is_in_the_way || self.knows(one)) {
                self.end(hands, index, (*number, one), true)?;
            }
        }
        let (Some(sender), Some((number, one))) = (sender, wanted) else {
            self.watched.remove(&index);
            return Ok(None);
        };
        let held = reading.sends.get(&number).filter(|it| it.key == one.key);
        let mut others = self.watched.iter().filter(|(other, _)| **other != index);
        let refused = if others.any(|(_, other)| other.one == one) {
            Some(NotSent::Twice)
        } else if reading.offloaded {
            Some(NotSent::Offloaded)
        } else if reading.key_length != sender.key.length() {
            Some(NotSent::Length(sender.key.length()))
        } else {
            None
        };
        if let Some(refused) = refused {
            if held.is_some() {
                switch_off(hands, index, number)?;
            }
            self.watched.remove(&index);
            return Err(refused);
        }
        match held {
            Some(held) => self.take_over(hands, index, (number, one), *held).map(Some),
            None => self.begin(hands, index, sender, one).map(Some),
        }
    }

    /// Watches what sends on a link whose key is not to be had: it stays as it is.
    ///
    /// # Errors
    /// Why it does not send any more.
    pub fn watch<H: Hands>(
        &mut self,
        hands: &mut H,
        index: u32,
        number: u8,
    ) -> Result<(), NotSent> {
        let reading = read_one(hands, index)?;
        if let Some(held) = reading.sends.get(&number) {
            let one = Use {
                key: held.key,
                channel: reading.channel,
            };
            if self.knows(one) {
                self.take_over(hands, index, (number, one), *held)?;
            }
        }
        Ok(())
    }

    /// Looks how far everything has come, and reserves more; returns what does not send any more, and why.
    pub fn look<H: Hands>(&mut self, hands: &mut H) -> Vec<(u32, NotSent)> {
        let mut readings = match hands.read() {
            Ok(readings) => readings,
            Err(why) => {
                let failed = |index: &u32| (*index, NotSent::Kernel(why.clone()));
                return self.watched.keys().map(failed).collect();
            }
        };
        let mut failed = Vec::new();
        for (index, watched) in self.watched.clone() {
            let Some(reading) = readings.remove(&index) else {
                // Gone with its numbers: they stay reserved.
                self.watched.remove(&index);
                continue;
            };
            if let Err(error) = self.look_at(hands, index, &watched, &reading) {
                failed.push((index, error));
            }
        }
        failed
    }

    /// Returns when it has to be looked again, from the last look on.
    pub fn next_look(&self) -> Option<Duration> {
        let left = self.watched.values().map(|watched| {
            let reserved = self.entry(watched.one).map_or(0, |entry| entry.reserved);
            // A second is for what comes between: a disk, other threads.
            let spare = reserved.saturating_sub(watched.next + PER_SECOND);
            Duration::from_millis(spare.saturating_mul(1000) / PER_SECOND)
        });
        left.min().map(|left| left.clamp(SHORTEST, LONGEST))
    }

    /// Switches everything off: nobody looks at it from now on. Where that goes well nothing is lost.
    pub fn stop<H: Hands>(&mut self, hands: &mut H) {
        for (index, watched) in std::mem::take(&mut self.watched) {
            let one = watched.one;
            let ended = self.end(hands, index, (watched.number, one), false);
            // What cannot be switched off may go on, and nobody will look.
            if ended.is_err()
                && let Some(entry) = self.entry(one).cloned()
            {
                let unwatched = true;
                let _left = self.write(hands, one, Entry { unwatched, ..entry });
            }
        }
    }

    /// Forgets a link that is about to be removed, or is not to send any more.
    pub fn leave<H: Hands>(&mut self, hands: &mut H, index: u32) {
        if let Some(watched) = self.watched.remove(&index) {
            let _ended = self.end(hands, index, (watched.number, watched.one), true);
        }
    }

    /// Returns what sends, by index of its link.
    pub fn watched(&self) -> impl Iterator<Item = u32> {
        self.watched.keys().copied()
    }

    /// Returns below which number everything may be used that a link sends with.
    pub fn reserved(&self, index: u32) -> Option<u64> {
        let watched = self.watched.get(&index)?;
        self.entry(watched.one).map(|entry| entry.reserved)
    }

    fn entry(&self, one: Use) -> Option<&Entry> {
        self.ledger.as_ref().ok()?.find(one)
    }

    fn knows(&self, one: Use) -> bool {
        self.entry(one).is_some()
    }

    /// Writes an entry down, on the disk before in memory.
    fn write<H: Hands>(&mut self, hands: &mut H, one: Use, entry: Entry) -> Result<(), NotSent> {
        let ledger = self.ledger.as_mut();
        let ledger = ledger.map_err(|why| NotSent::Unread(why.clone()))?;
        let mut next = ledger.clone();
        next.written.clone_from(&self.now);
        next.put(one, entry);
        hands.keep(&next.text()).map_err(NotSent::NotKept)?;
        *ledger = next;
        self.is_written = true;
        Ok(())
    }

    /// Has an association send that is not there.
    fn begin<H: Hands>(
        &mut self,
        hands: &mut H,
        index: u32,
        sender: &Sender<'_>,
        one: Use,
    ) -> Result<Sends, NotSent> {
        self.watched.remove(&index);
        let ledger = self.ledger.as_ref();
        let ledger = ledger.map_err(|why| NotSent::Unread(why.clone()))?;
        let start = match ledger.find(one) {
            Some(entry) if entry.unwatched => return Err(NotSent::Unwatched),
            Some(entry) => entry.reserved,
            None if sender.is_marked => return Err(NotSent::Forgotten),
            None if !ledger.has_room() => return Err(NotSent::TooMany),
            None => FIRST.into(),
        };
        if start >= USED_UP {
            return Err(NotSent::UsedUp);
        }
        if !sender.is_marked {
            // Were it marked first, whoever dies in between would find a key that was used, and nothing known of it.
            if ledger.find(one).is_none() {
                let entry = Entry {
                    reserved: start,
                    floor: start,
                    open: None,
                    unwatched: false,
                };
                self.write(hands, one, entry)?;
            }
            return Ok(Sends::NeedsMark);
        }
        let entry = Entry {
            reserved: (start + BLOCK).min(END),
            floor: start,
            open: Some(Arc::clone(&self.now.boot)),
            unwatched: false,
        };
        let reserved = entry.reserved;
        self.write(hands, one, entry)?;
        let number = sender.number;
        let watched = Watched {
            number,
            one,
            next: start,
            is_held_back: false,
        };
        // Before it is known whether it went well: what may send is watched.
        self.watched.insert(index, watched);
        let add = Step::Add {
            number,
            key: sender.key,
            next: narrow(start),
        };
        if let Err(why) = hands.act(index, add) {
            let is_there = held_of(hands, index, number);
            if matches!(is_there, Err(NotSent::Removed | NotSent::NoLink)) {
                // None of the numbers was used: a kernel that does not want it costs none, however often it is asked.
                self.watched.remove(&index);
                let unused = Entry {
                    reserved: start,
                    floor: start,
                    open: None,
                    unwatched: false,
                };
                let _kept = self.write(hands, one, unused);
            }
            return Err(NotSent::Kernel(why));
        }
        Ok(Sends::On(one.channel, reserved))
    }

    /// Goes on with an association that is in the kernel.
    fn take_over<H: Hands>(
        &mut self,
        hands: &mut H,
        index: u32,
        (number, one): (u8, Use),
        mut held: Held,
    ) -> Result<Sends, NotSent> {
        let ledger = match &self.ledger {
            Ok(ledger) => ledger,
            Err(why) => {
                let refused = NotSent::Unread(why.clone());
                switch_off(hands, index, number)?;
                return Err(refused);
            }
        };
        let boot = Some(&self.now.boot);
        let entry = ledger.find(one).cloned();
        let is_here = entry.as_ref().is_some_and(|it| it.open.as_ref() == boot);
        if entry.as_ref().is_some_and(|it| it.unwatched) && !is_here {
            switch_off(hands, index, number)?;
            return Err(NotSent::Unwatched);
        }
        let reserved = entry.as_ref().map_or(0, |entry| entry.reserved);
        let floor = entry
            .as_ref()
            .map_or(0, |it| if is_here { it.floor } else { it.reserved });
        let is_sound = reached(held) >= floor;
        let is_set = !is_sound || !held.active;
        if is_set && held.active {
            switch_off(hands, index, number)?;
            held = held_of(hands, index, number)?;
        }
        let mut start = reached(held);
        if is_set {
            start = (start + UNDER_WAY).max(if is_sound { 0 } else { reserved });
        }
        if start >= USED_UP {
            self.end(hands, index, (number, one), true)?;
            return Err(NotSent::UsedUp);
        }
        let watched = Watched {
            number,
            one,
            next: start,
            is_held_back: false,
        };
        let is_written = is_here
            && self.is_written
            && entry.as_ref().is_some_and(|entry| !entry.unwatched)
            && reserved.saturating_sub(start) >= LOW;
        if !is_written {
            let renewed = Entry {
                reserved: (start + BLOCK).min(END).max(reserved),
                floor: start,
                open: boot.cloned(),
                unwatched: false,
            };
            if let Err(error) = self.write(hands, one, renewed) {
                return self.not_written(hands, index, watched, held, error);
            }
        }
        self.watched.insert(index, watched);
        if is_set {
            let on = Step::Switch {
                number,
                is_on: true,
                next: Some(narrow(start)),
            };
            hands.act(index, on).map_err(NotSent::Kernel)?;
        }
        let reserved = self.entry(one).map_or(0, |entry| entry.reserved);
        Ok(Sends::On(one.channel, reserved))
    }

    /// Follows that a reserve is not on the disk: what sends goes on as long as the old one lasts by far.
    fn not_written<H: Hands>(
        &mut self,
        hands: &mut H,
        index: u32,
        mut watched: Watched,
        held: Held,
        error: NotSent,
    ) -> Result<Sends, NotSent> {
        let boot = Some(&self.now.boot);
        let entry = self.entry(watched.one);
        let reserved = entry.filter(|entry| entry.open.as_ref() == boot);
        let left = reserved.map_or(0, |entry| entry.reserved.saturating_sub(reached(held)));
        let is_enough = left > 2 * PER_SECOND && held.active;
        if !is_enough {
            watched.is_held_back = true;
            let number = watched.number;
            self.watched.insert(index, watched);
            if held.active {
                switch_off(hands, index, number)?;
            }
            return Err(error);
        }
        self.watched.insert(index, watched);
        Err(error)
    }

    fn look_at<H: Hands>(
        &mut self,
        hands: &mut H,
        index: u32,
        watched: &Watched,
        reading: &Reading,
    ) -> Result<(), NotSent> {
        let Watched { number, one, .. } = *watched;
        let held = reading.sends.get(&number);
        let Some(held) = held.filter(|held| held.key == one.key) else {
            self.watched.remove(&index);
            return Err(NotSent::Removed);
        };
        if reading.channel != one.channel || reading.offloaded {
            self.watched.remove(&index);
            switch_off(hands, index, number)?;
            return Err(match reading.offloaded {
                true => NotSent::Offloaded,
                false => NotSent::OtherChannel,
            });
        }
        let next = reached(*held);
        if next >= USED_UP {
            self.watched.remove(&index);
            self.end(hands, index, (number, one), true)?;
            return Err(NotSent::UsedUp);
        }
        if let Some(watched) = self.watched.get_mut(&index) {
            watched.next = next;
        }
        let reserved = self.entry(one).map_or(0, |entry| entry.reserved);
        if reserved.saturating_sub(next) >= LOW && !watched.is_held_back {
            return Ok(());
        }
        if watched.is_held_back {
            return self.take_over(hands, index, (number, one), *held).map(drop);
        }
        let renewed = Entry {
            reserved: (next + BLOCK).min(END).max(reserved),
            floor: self.entry(one).map_or(next, |entry| entry.floor),
            open: Some(Arc::clone(&self.now.boot)),
            unwatched: false,
        };
        match self.write(hands, one, renewed) {
            Ok(()) => Ok(()),
            Err(error) => {
                let watched = Watched {
                    next,
                    ..watched.clone()
                };
                self.not_written(hands, index, watched, *held, error)
                    .map(drop)
            }
        }
    }

    /// Switches an association off, and writes down how far it has come.
    fn end<H: Hands>(
        &mut self,
        hands: &mut H,
        index: u32,
        (number, one): (u8, Use),
        is_removed: bool,
    ) -> Result<(), NotSent> {
        switch_off(hands, index, number)?;
        let next = reached(held_of(hands, index, number)?);
        if let Some(entry) = self.entry(one).cloned() {
            let is_here = entry.open.as_ref() == Some(&self.now.boot);
            let exact = (next + UNDER_WAY).min(END);
            // Somebody who set it back has told nothing of how far it had come.
            let reserved = if is_here && next >= entry.floor {
                exact
            } else {
                exact.max(entry.reserved)
            };
            let ended = Entry {
                reserved,
                floor: reserved,
                open: None,
                unwatched: entry.unwatched && !is_here,
            };
            if self.write(hands, one, ended).is_err()
                && let Ok(ledger) = &mut self.ledger
            {
                // What was reserved on the disk holds; what is beyond it is known here at least.
                let reserved = exact.max(entry.reserved);
                ledger.put(one, Entry { reserved, ..entry });
            }
        }
        if is_removed {
            let remove = Step::Remove { number };
            hands.act(index, remove).map_err(NotSent::Kernel)?;
        }
        Ok(())
    }
}

/// The kernel tells 0 when there is no number left.
const fn reached(held: Held) -> u64 {
    if held.next == 0 { END } else { held.next }
}

/// What is not used up fits.
fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn read_one<H: Hands>(hands: &mut H, index: u32) -> Result<Reading, NotSent> {
    let mut readings = hands.read().map_err(NotSent::Kernel)?;
    readings.remove(&index).ok_or(NotSent::NoLink)
}

fn held_of<H: Hands>(hands: &mut H, index: u32, number: u8) -> Result<Held, NotSent> {
    let reading = read_one(hands, index)?;
    reading.sends.get(&number).copied().ok_or(NotSent::Removed)
}

fn switch_off<H: Hands>(hands: &mut H, index: u32, number: u8) -> Result<(), NotSent> {
    let off = Step::Switch {
        number,
        is_on: false,
        next: None,
    };
    hands.act(index, off).map_err(NotSent::Kernel)
}

#[cfg(test)]
mod tests;
