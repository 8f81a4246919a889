//! How do the keys of MACsec get into the kernel, and who counts what they send? [`Associations`], in the thread of the [`super::Maker`].
//!
//! What may send, and from which packet number on, is decided by [`Counting`]; here are its hands: the kernel, and a file that is on
//! the disk before anything is sent by it. Keys stay no longer than it takes to compare them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::model::{ChannelId, MacsecSettings};
use config::time::Instant;
use linkmgr::kinds::generic::Family;
use linkmgr::kinds::macsec::ledger::Moment;
use linkmgr::kinds::macsec::sending::{Counting, Hands, NotSent, Sender, Sends, Step, told};
use linkmgr::kinds::macsec::{
    FAMILY, OwnReceives, Reading, Receives, get, readings, receive_differences,
};
use linkmgr_io::ask::Asker;

use super::reach;
use crate::clock;
use crate::link_keys::Keys;
use crate::store;

/// Where packet numbers are written down, in the state directory.
pub(crate) const NUMBERS_FILE: &str = "macsec-numbers";
/// What the helper writes beside the ledger when linnetd has gone without a word.
const LEFT_FILE: &str = "macsec-left";
/// The longest ledger that is read, in bytes.
const MAX_LEDGER: u64 = 4 << 20;

/// How an association is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Association {
    /// Who it is received from; none for the one that sends.
    pub(crate) from: Option<ChannelId>,
    /// Its number.
    pub(crate) number: u8,
    /// How it is, in words.
    pub(crate) state: String,
}

/// How the associations of all links are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Board {
    /// By link.
    pub(crate) links: BTreeMap<Arc<str>, Vec<Association>>,
    /// What does not send, and why, by link.
    pub(crate) troubles: BTreeMap<Arc<str>, String>,
}

/// What we have a link receive, and what writes that down.
pub(super) type Own<'a> = (&'a mut OwnReceives, &'a mut dyn FnMut(&OwnReceives));

/// The associations, and the part of the kernel that has them.
#[derive(Debug)]
pub(super) struct Associations {
    ledger: PathBuf,
    reached: Option<(Asker, Family)>,
    counting: Option<Counting>,
    /// When what sends is looked at next.
    look_at: Option<Instant>,
    name_by_index: BTreeMap<u32, Arc<str>>,
    number_by_index: BTreeMap<u32, u8>,
    board: Board,
    /// Files whose keys are to be marked as used.
    unmarked: BTreeSet<Arc<str>>,
}

impl Associations {
    /// Makes one that has not looked at anything; `ledger` is the file of packet numbers.
    pub(super) fn new(ledger: PathBuf) -> Self {
        Self {
            ledger,
            reached: None,
            counting: None,
            look_at: None,
            name_by_index: BTreeMap::new(),
            number_by_index: BTreeMap::new(),
            board: Board::default(),
            unmarked: BTreeSet::new(),
        }
    }

    /// Begins an order: says what is there already.
    pub(super) fn begin(&mut self) {
        self.unmarked.clear();
        self.board = Board::default();
    }

    /// Has a link receive and send by its profile; when a key is missing, what sends goes on as it is, and is watched.
    ///
    /// # Errors
    /// What the kernel says against what is received, or why a key is missing.
    pub(super) fn set(
        &mut self,
        (name, index): (&Arc<str>, u32),
        settings: &MacsecSettings,
        keys: &Keys,
        own: Own<'_>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        self.name_by_index.insert(index, Arc::clone(name));
        let received = self.receive(index, settings, keys, own);
        let failed = received.as_ref().err().map(ToString::to_string);
        let mut listed = Vec::new();
        for (channel, numbers) in &settings.receives {
            listed.extend(numbers.keys().map(|number| Association {
                from: Some(*channel),
                number: *number,
                state: failed.clone().unwrap_or_else(|| "receives".to_owned()),
            }));
        }
        self.board.links.insert(Arc::clone(name), listed);
        let Some(sends) = &settings.sends else {
            self.number_by_index.remove(&index);
            let none = self.count(|counting, hands| counting.set(hands, index, None));
            if let Some(Err(error)) = none {
                self.refuse(index, &error);
            }
            return received;
        };
        let number = sends.number;
        self.number_by_index.insert(index, number);
        let sent = match keys.find_association(&sends.key_file) {
            Ok((key, is_marked)) => {
                let sender = Sender {
                    number,
                    key: &key,
                    is_marked,
                };
                let set = |counting: &mut Counting, hands: &mut Reached<'_>| {
                    counting.set(hands, index, Some(&sender))
                };
                self.count(set)
            }
            Err(_) => self
                .count(|counting, hands| counting.watch(hands, index, number))
                .map(|watched| watched.map(|()| None)),
        };
        match sent {
            Some(Ok(Some(Sends::NeedsMark))) => {
                self.unmarked.insert(Arc::clone(&sends.key_file));
                self.tell(index, "waits until its key is marked as used");
            }
            Some(Ok(Some(Sends::On(_, reserved)))) => self.tell(index, &told(reserved)),
            Some(Ok(None)) => self.tell(index, "stays as it is, as its key cannot be read"),
            Some(Err(error)) => self.refuse(index, &error),
            None => self.tell(index, "the kernel has no MACsec"),
        }
        received
    }

    /// Ends an order: whatever sends and is counted here, and is not wanted on these links, stops.
    pub(super) fn end(&mut self, wanted: &BTreeSet<u32>) {
        let is_there = || matches!(self.ledger.try_exists(), Ok(true) | Err(_));
        if self.counting.is_none() && !is_there() {
            return;
        }
        let held = self.count(|_, hands| hands.read());
        let Some(Ok(held)) = held else {
            return;
        };
        for index in held.keys().filter(|index| !wanted.contains(index)) {
            self.number_by_index.remove(index);
            let ended = self.count(|counting, hands| counting.set(hands, *index, None));
            if let Some(Err(error)) = ended {
                tracing::warn!(%error, index, "an association that nobody wants may go on sending");
            }
        }
        self.look();
    }

    /// Forgets a link that is about to be removed.
    pub(super) fn leave(&mut self, index: u32) {
        if self.counting.is_some() {
            self.count(|counting, hands| counting.leave(hands, index));
        }
    }

    /// Returns when [`Associations::look`] is due.
    pub(super) const fn look_at(&self) -> Option<Instant> {
        self.look_at
    }

    /// Looks how far everything has come, and reserves more; whether there is something new to tell.
    pub(super) fn look(&mut self) -> bool {
        self.look_at = None;
        if self.counting.is_none() {
            return false;
        }
        let before = self.board.clone();
        let failed = self.count(|counting, hands| counting.look(hands));
        let failed = failed.unwrap_or_default();
        let failing: BTreeSet<u32> = failed.iter().map(|(index, _)| *index).collect();
        for (index, error) in &failed {
            self.refuse(*index, error);
        }
        let counting = self.counting.as_ref();
        let sending: Vec<(u32, u64)> = counting
            .into_iter()
            .flat_map(|counting| {
                let indexes = counting.watched();
                indexes.filter_map(|index| Some((index, counting.reserved(index)?)))
            })
            .collect();
        let wait = counting.and_then(Counting::next_look);
        for (index, reserved) in sending {
            if !failing.contains(&index) {
                self.tell(index, &told(reserved));
            }
        }
        self.look_at = wait.map(|wait| clock::now() + wait);
        self.board != before
    }

    /// Switches off what sends: nobody will look at it.
    pub(super) fn stop(&mut self) {
        self.look_at = None;
        if self.counting.is_some() {
            self.count(|counting, hands| counting.stop(hands));
        }
    }

    /// Returns how all associations are.
    pub(super) fn board(&self) -> Board {
        self.board.clone()
    }

    /// Returns the files whose keys are to be marked as used.
    pub(super) fn unmarked(&self) -> Vec<String> {
        self.unmarked.iter().map(ToString::to_string).collect()
    }

    fn receive(
        &mut self,
        index: u32,
        settings: &MacsecSettings,
        keys: &Keys,
        (ours, write_down): Own<'_>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let mut wanted = Receives::new();
        let mut missing = None;
        for (channel, files) in &settings.receives {
            let of_channel = wanted.entry(*channel).or_default();
            for (number, file) in files {
                match keys.find_association(file) {
                    Ok((key, _)) => drop(of_channel.insert(*number, key)),
                    Err(why) => missing = Some(why),
                }
            }
        }
        if let Some(why) = missing {
            // What is there stays: it cannot be told what of it is not wanted.
            return Err(why.to_string().into());
        }
        let (asker, family) = reach(&mut self.reached, FAMILY)?;
        let held = readings(&asker.ask(&get(*family))?);
        let held = held
            .get(&index)
            .ok_or("it is not there as a link of this kind")?;
        let was_there = |channel: &ChannelId, number: Option<u8>| {
            let held = held.receives.get(channel);
            held.is_some_and(|held| number.is_none_or(|number| held.contains_key(&number)))
        };
        let mut listed = OwnReceives::new();
        for (channel, keys) in &wanted {
            let numbers = keys.keys().map(|number| Some(*number));
            listed.extend(
                std::iter::once(None)
                    .chain(numbers)
                    .map(|number| (*channel, number)),
            );
        }
        // What is gone is ours no more, and one that was there before we came is not ours to remove.
        ours.retain(|one| was_there(&one.0, one.1));
        let added = listed.iter().filter(|one| !was_there(&one.0, one.1));
        ours.extend(added.copied());
        write_down(ours);
        for mut message in receive_differences(*family, index, &wanted, held, ours) {
            let said = asker.ask(&message);
            message.forget();
            said?;
        }
        ours.retain(|one| listed.contains(one));
        Ok(())
    }

    /// Has something done with the numbers; `None` when the kernel knows nothing of such links.
    fn count<T>(&mut self, what: impl FnOnce(&mut Counting, &mut Reached<'_>) -> T) -> Option<T> {
        let (asker, family) = reach(&mut self.reached, FAMILY).ok()?;
        let mut hands = Reached {
            asker,
            family: *family,
            ledger: &self.ledger,
        };
        let counting = self.counting.get_or_insert_with(|| {
            let boot = linkmgr_io::boot_id().unwrap_or_default().into();
            Counting::new(read(&self.ledger), &left(&self.ledger), boot, clock::now())
        });
        counting.tell_time(clock::now());
        Some(what(counting, &mut hands))
    }

    fn tell(&mut self, index: u32, state: &str) {
        let number = self.number_by_index.get(&index);
        if let (Some(number), Some(name)) = (number, self.name_by_index.get(&index)) {
            self.board.troubles.remove(name);
            let listed = self.board.links.entry(Arc::clone(name)).or_default();
            listed.retain(|one| one.from.is_some());
            let one = Association {
                from: None,
                number: *number,
                state: state.to_owned(),
            };
            listed.insert(0, one);
        }
    }

    fn refuse(&mut self, index: u32, error: &NotSent) {
        let text = error.to_string();
        self.tell(index, &text);
        if let Some(name) = self.name_by_index.get(&index) {
            self.board.troubles.insert(Arc::clone(name), text);
        }
    }
}

/// The kernel and the disk.
struct Reached<'a> {
    asker: &'a mut Asker,
    family: Family,
    ledger: &'a Path,
}

impl Hands for Reached<'_> {
    fn keep(&mut self, text: &str) -> Result<(), Arc<str>> {
        store::write(self.ledger, text)
            .map_err(|error| format!("{}: {error}", self.ledger.display()).into())
    }

    fn read(&mut self) -> Result<BTreeMap<u32, Reading>, Arc<str>> {
        let answers = self.asker.ask(&get(self.family));
        let answers = answers.map_err(|error| Arc::from(error.to_string()))?;
        Ok(readings(&answers))
    }

    fn act(&mut self, index: u32, step: Step<'_>) -> Result<(), Arc<str>> {
        let mut message = step.message(self.family, index);
        let said = self.asker.ask(&message);
        message.forget();
        said.map(drop).map_err(|error| error.to_string().into())
    }
}

/// Reads the ledger; that there is none is another thing than that it cannot be read.
fn read(path: &Path) -> Result<Option<String>, Arc<str>> {
    let mut text = String::new();
    let opened = File::options().read(true).open(path);
    match opened.and_then(|file| file.take(MAX_LEDGER).read_to_string(&mut text)) {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display()).into()),
    }
}

/// Reads from when on nobody watched, as far as somebody has said so.
fn left(ledger: &Path) -> Vec<Moment> {
    let text = store::read(&ledger.with_file_name(LEFT_FILE)).unwrap_or_default();
    text.lines().filter_map(Moment::of_text).collect()
}

/// How many boots are told of in which nobody watched.
const LEFT_BOOTS: usize = 64;

/// Says that from now on nobody watches what sends; for the helper, when linnetd has gone without a word.
pub(crate) fn leave_unwatched(ledger: &Path) {
    if !matches!(ledger.try_exists(), Ok(true)) {
        return;
    }
    let from = Moment {
        boot: linkmgr_io::boot_id().unwrap_or_default().into(),
        at: clock::now().since(Instant::ZERO),
    };
    let mut moments = left(ledger);
    moments.retain(|moment| moment.boot != from.boot);
    moments.push(from);
    let beyond = moments.len().saturating_sub(LEFT_BOOTS);
    let lines = moments.iter().skip(beyond);
    let text: String = lines.map(|moment| moment.text() + "\n").collect();
    store::replace(&ledger.with_file_name(LEFT_FILE), &text);
}
