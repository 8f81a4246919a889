//! Who wrote `/etc/resolv.conf`, and how do we take it and give it back?
//!
//! [`ResolvConf`] owns the journal of one path. Every step is durable before the next:
//!
//! ```text
//! take:       journal{original, text} -> file beside, fsync -> rename -> fsync of the directory
//! give back:  original beside, fsync -> rename -> fsync of the directory -> journal removed
//! ```
//!
//! Whenever it is killed, the path holds the old bytes or a whole new file, and the journal tells which: a file is linnet's
//! exactly when its text is one that the journal announced. [`FileWatch`] tells when to look again.
//!
//! # Limitations
//! A program that replaces the file in the instant between the last look and the rename loses its version.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use config::time::WallTime;

mod journal;
mod original;
mod take;
mod watch;
mod writer;

pub use journal::{Journal, JournalError};
pub use original::{Bytes, MAX_ORIGINAL, Moment, Original};
pub use take::{Obstacle, TakeError};
pub use watch::{Contents, FileWatch, MAX_UNREST, MAX_WATCHED, REST, WatchError};
pub use writer::{Witness, Writer};

use journal::{Record, remove_if_there};

/// How often the file may change under a take before the take gives up.
const MAX_RACES: usize = 3;

/// One path, and the journal of what was there.
#[derive(Debug)]
pub struct ResolvConf {
    path: PathBuf,
    journal: Journal,
    record: Option<Record>,
    witness: Option<Witness>,
}

/// Whose the file is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Not taken.
    Untouched,
    /// It says what linnet wrote.
    Ours,
    /// It was taken, and somebody else has written it since.
    Overwritten(Overwritten),
}

/// Somebody else's write, which stays.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Overwritten {
    /// When, in seconds since 1970; `None` when the file is gone.
    #[serde(with = "when")]
    pub when: Option<WallTime>,
    /// Who, as far as it can be told.
    pub by: Writer,
}

/// Whether a file that somebody else has overwritten is taken once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Insist {
    /// It is: somebody said so by a start or a reload.
    Yes,
    /// It is left alone.
    No,
}

/// What a take did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// The file was somebody else's and is linnet's.
    New,
    /// It was linnet's and says something else.
    Updated,
    /// It said that already.
    Unchanged,
    /// Somebody else has overwritten it, and it was left alone.
    LeftAlone(Overwritten),
}

/// What giving back did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GivenBack {
    /// There was nothing to give back.
    Nothing,
    /// The original is back; what the list names is not as it was (an owner, an attribute: permission was missing).
    Restored(Vec<String>),
    /// Somebody else's file was left alone; the original was kept as a copy, when it said something else.
    LeftAlone {
        /// Who wrote it.
        overwritten: Overwritten,
        /// The copy.
        saved: Option<PathBuf>,
    },
}

/// Why the original is not back; the journal still has it.
#[derive(Debug, thiserror::Error)]
pub enum GiveBackError {
    /// The file cannot be read or replaced.
    #[error("cannot give {path} back: {obstacle}", path = path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// What stands in the way, and what to do.
        obstacle: Obstacle,
        /// What the kernel said.
        source: io::Error,
    },
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl ResolvConf {
    /// Takes up what an earlier run left: a file that is still linnet's stays so, any other journal is closed.
    ///
    /// Touches nothing but the journal, unless the earlier run had another path: that one is given back.
    ///
    /// # Errors
    /// [`GiveBackError`] when the journal cannot be used; it is not changed then.
    pub fn recover(path: &Path, journal: Journal) -> Result<(Self, GivenBack), GiveBackError> {
        let record = journal.read()?;
        journal.sweep()?;
        let mut recovered = Self {
            path: path.to_owned(),
            journal,
            record,
            witness: None,
        };
        let Some(record) = &recovered.record else {
            return Ok((recovered, GivenBack::Nothing));
        };
        let leftover = beside(&record.path, &record.temporary);
        if let Err(error) = remove_if_there(&leftover) {
            tracing::warn!(%error, leftover = %leftover.display(), "cannot remove a leftover");
        }
        let elsewhere = record.path != path;
        let done = if elsewhere || recovered.state()? != State::Ours {
            recovered.give_back()?
        } else {
            GivenBack::Nothing
        };
        Ok((recovered, done))
    }

    /// Lets `witness` tell who overwrites the file.
    pub fn call_witness(&mut self, witness: Witness) {
        self.witness = Some(witness);
    }

    /// Returns the witness, whose file descriptor becomes readable when there is something to hear.
    pub fn witness(&mut self) -> Option<&mut Witness> {
        self.witness.as_mut()
    }

    /// Puts `text` at the path, in one step.
    ///
    /// # Errors
    /// [`TakeError`], which says what to do; nothing has changed then, and the journal is as it was.
    pub fn take(&mut self, text: &str, insist: Insist) -> Result<Taken, TakeError> {
        for _ in 0..MAX_RACES {
            let here = self.look().map_err(|error| self.cannot_take(error))?;
            match (&self.record, self.text_of(&here)) {
                (Some(_), Some(current)) if current == text => return Ok(Taken::Unchanged),
                (Some(record), Some(current)) => {
                    let texts = vec![current.to_owned(), text.to_owned()];
                    let next = Record {
                        texts,
                        ..record.clone()
                    };
                    if self.replace(next, text, &here)? {
                        return Ok(Taken::Updated);
                    }
                }
                (Some(_), None) if insist == Insist::No => {
                    return Ok(Taken::LeftAlone(self.overwritten(&here)));
                }
                (record, None) => {
                    if let Some(record) = record
                        && !record.original.says_the_same(&here)
                    {
                        self.journal.save(&record.original)?;
                    }
                    let next = Record {
                        path: self.path.clone(),
                        temporary: take::free_name(&self.path).map_err(|e| self.cannot_take(e))?,
                        original: here.clone(),
                        texts: vec![text.to_owned()],
                    };
                    if self.replace(next, text, &here)? {
                        return Ok(Taken::New);
                    }
                }
                (None, Some(_)) => unreachable!("only a record tells our texts"),
            }
        }
        Err(self.cannot_take(io::ErrorKind::ResourceBusy.into()))
    }

    /// Puts the original back, unless somebody else has overwritten the file; doing it again does nothing.
    ///
    /// # Errors
    /// [`GiveBackError`]; the journal keeps the original, and it can be tried again.
    pub fn give_back(&mut self) -> Result<GivenBack, GiveBackError> {
        let Some(record) = &self.record else {
            return Ok(GivenBack::Nothing);
        };
        let path = record.path.clone();
        let failed = |source: io::Error| GiveBackError::File {
            obstacle: Obstacle::of(&path, &source),
            path: path.clone(),
            source,
        };
        let here = Original::read(&path);
        let done = match here {
            Ok(here) if self.text_of(&here).is_some() => {
                let temporary = beside(&path, &record.temporary);
                let restored = record.original.restore(&temporary, &path);
                GivenBack::Restored(restored.map_err(failed)?)
            }
            // A run that was killed had put it back.
            Ok(here) if here.says_the_same(&record.original) => GivenBack::Restored(Vec::new()),
            Ok(here) => GivenBack::LeftAlone {
                overwritten: self.overwritten(&here),
                saved: self.journal.save(&record.original)?,
            },
            Err(error) if take::is_foreign(&error) => GivenBack::LeftAlone {
                overwritten: self.overwritten(&Original::Missing),
                saved: self.journal.save(&record.original)?,
            },
            Err(error) => return Err(failed(error)),
        };
        self.journal.remove()?;
        self.record = None;
        if let Some(witness) = &mut self.witness {
            witness.dismiss();
        }
        Ok(done)
    }

    /// Looks whose the file is.
    ///
    /// # Errors
    /// [`GiveBackError::File`] when it cannot be read.
    pub fn state(&mut self) -> Result<State, GiveBackError> {
        if let Some(witness) = &mut self.witness {
            witness.hear();
        }
        let Some(record) = &self.record else {
            return Ok(State::Untouched);
        };
        match Original::read(&record.path) {
            Ok(here) if self.text_of(&here).is_some() => Ok(State::Ours),
            Ok(here) => Ok(State::Overwritten(self.overwritten(&here))),
            Err(error) if take::is_foreign(&error) => {
                Ok(State::Overwritten(self.overwritten(&Original::Missing)))
            }
            Err(source) => Err(GiveBackError::File {
                obstacle: Obstacle::of(&record.path, &source),
                path: record.path.clone(),
                source,
            }),
        }
    }

    fn look(&self) -> io::Result<Original> {
        Original::read(&self.path)
    }

    /// Returns the text at the path when it is one that linnet put there.
    fn text_of<'a>(&'a self, here: &Original) -> Option<&'a str> {
        let Original::File { bytes, .. } = here else {
            return None;
        };
        let texts = &self.record.as_ref()?.texts;
        let ours = texts.iter().find(|text| text.as_bytes() == bytes.0);
        ours.map(String::as_str)
    }

    /// Announces `next` and renames `text` over the path; `false` when the path has changed since `seen`.
    fn replace(&mut self, next: Record, text: &str, seen: &Original) -> Result<bool, TakeError> {
        take::check(&self.path, seen).map_err(|error| self.cannot_take(error))?;
        if let Some(witness) = &mut self.witness {
            witness.attend(&self.path);
        }
        self.journal.write(&next)?;
        let temporary = beside(&self.path, &next.temporary);
        let put = || -> io::Result<bool> {
            original::prepare(text, &temporary)?;
            if self.look()? != *seen {
                return Ok(false);
            }
            std::fs::rename(&temporary, &self.path)?;
            Ok(true)
        };
        match put() {
            Ok(true) => {
                self.record = Some(next);
                // The file is in place; that its name is not yet durable costs at most a take after a power failure.
                if let Err(error) = original::sync_directory(&self.path) {
                    tracing::warn!(%error, "cannot make the directory of resolv.conf durable");
                }
                Ok(true)
            }
            Ok(false) => {
                self.withdraw(&temporary)?;
                Ok(false)
            }
            Err(error) => {
                let error = self.cannot_take(error);
                self.withdraw(&temporary)?;
                Err(error)
            }
        }
    }

    /// Takes back an announcement.
    fn withdraw(&self, temporary: &Path) -> Result<(), JournalError> {
        drop(remove_if_there(temporary));
        match &self.record {
            Some(record) => self.journal.write(record),
            None => self.journal.remove(),
        }
    }

    fn cannot_take(&self, source: io::Error) -> TakeError {
        TakeError::File {
            path: self.path.clone(),
            obstacle: Obstacle::of(&self.path, &source),
            source,
        }
    }

    fn overwritten(&self, here: &Original) -> Overwritten {
        let path = self
            .record
            .as_ref()
            .map_or(&self.path, |record| &record.path);
        // The change time is the moment of the write or of the rename, and no writer can set it.
        let when = std::fs::symlink_metadata(path)
            .ok()
            .and_then(|metadata| u64::try_from(metadata.ctime()).ok())
            .map(WallTime);
        let seen = self.witness.as_ref().and_then(Witness::last);
        Overwritten {
            when,
            by: seen.unwrap_or_else(|| Writer::guess(here)),
        }
    }
}

impl std::fmt::Display for Overwritten {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "overwritten by {}", self.by)?;
        match self.when {
            Some(WallTime(seconds)) => write!(f, " at {}", take::date(seconds)),
            None => f.write_str(", which removed it"),
        }
    }
}

fn beside(path: &Path, name: &str) -> PathBuf {
    path.with_file_name(name)
}

/// Whether `name` is one that linnet prepares files under, beside `path`.
fn is_temporary(name: &str, path: &Path) -> bool {
    let prefix = take::temporary_prefix(path);
    name.strip_prefix(&prefix)
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

mod when {
    //! A wall time as its seconds.

    use config::time::WallTime;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(
        when: &Option<WallTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        when.map(|WallTime(seconds)| seconds).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<WallTime>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(WallTime))
    }
}

#[cfg(test)]
mod tests;
