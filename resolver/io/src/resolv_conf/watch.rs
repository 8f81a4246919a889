//! Has a file that others write (`/etc/resolv.conf`, `/etc/hosts`) changed? [`FileWatch`].
//!
//! Watches directories, not only the file, so that a write, a rename over it, a flipped symlink and a target that appears
//! later are all seen; every directory of a chain of symlinks is watched. Only reads, takes no lock, writes nothing.
//!
//! # Limitations
//! A file system mounted over the path is not an event of the directory; it is seen at the next event.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use inotify::WatchDescriptor;
use tokio::time::Instant;

use crate::file_events::{EventMask, FileEvents, WatchMask};

/// How long a file must rest before it is read: writers that truncate and write leave it half-written in between.
pub const REST: Duration = Duration::from_millis(30);
/// How long a file that never rests goes unread.
pub const MAX_UNREST: Duration = Duration::from_millis(500);
/// The longest file that is read, in bytes; lists of blocked names make `/etc/hosts` long.
pub const MAX_WATCHED: u64 = 64 << 20;
/// As many symlinks as the kernel follows.
const MAX_SYMLINKS: usize = 40;
/// How often the way is walked anew when it changes meanwhile.
const MAX_WALKS: usize = 3;

/// Follows one file by its path.
///
/// Read the first contents with [`FileWatch::contents`], later ones with [`FileWatch::changed`].
#[derive(Debug)]
pub struct FileWatch {
    path: PathBuf,
    events: FileEvents,
    /// The names that matter in each watched directory; empty for a watched file.
    names_by_watch: BTreeMap<i32, BTreeSet<OsString>>,
    watches: Vec<WatchDescriptor>,
    last: Option<Signature>,
    unrest: Option<Unrest>,
}

/// What is at the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contents {
    /// A file with these bytes.
    Bytes(Vec<u8>),
    /// Nothing, or a symlink to nothing.
    Missing,
    /// Something that cannot be read.
    Unreadable(io::ErrorKind),
}

/// Why a file cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {path}", path = path.display())]
pub struct WatchError {
    /// The file.
    pub path: PathBuf,
    /// What the kernel said; `EMFILE` when `fs.inotify.max_user_instances` is used up.
    pub source: io::Error,
}

/// Events came; the file is read when they stop.
#[derive(Debug, Clone, Copy)]
struct Unrest {
    read_at: Instant,
    read_latest_at: Instant,
}

/// Tells contents apart without keeping them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signature {
    Bytes { length: usize, hash: u64 },
    Missing,
    Unreadable(io::ErrorKind),
}

impl FileWatch {
    /// Watches `path`, which need not exist. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// [`WatchError`] when the kernel gives no watch.
    pub fn new(path: &Path) -> Result<Self, WatchError> {
        let failed = |source| WatchError {
            path: path.to_owned(),
            source,
        };
        let mut watch = Self {
            path: path.to_owned(),
            events: FileEvents::new().map_err(failed)?,
            names_by_watch: BTreeMap::new(),
            watches: Vec::new(),
            last: None,
            unrest: None,
        };
        watch.arm().map_err(failed)?;
        Ok(watch)
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what is there now; [`FileWatch::changed`] tells of later contents only.
    pub fn contents(&mut self) -> Contents {
        let contents = read(&self.path);
        self.last = Some(contents.signature());
        contents
    }

    /// Waits until the contents differ from those last returned, and returns them. Cancel-safe.
    pub async fn changed(&mut self) -> Contents {
        loop {
            self.stirred().await;
            let contents = read(&self.path);
            let signature = contents.signature();
            if self.last.replace(signature) != Some(signature) {
                return contents;
            }
        }
    }

    /// Waits until something happened to the file and it rests, and does not read it. Cancel-safe.
    pub async fn stirred(&mut self) {
        loop {
            match self.unrest {
                None => {
                    self.events.readable().await;
                    self.drain();
                }
                Some(unrest) => {
                    let read_at = unrest.read_at.min(unrest.read_latest_at);
                    // A timer that is up wins, or a file that never rests would never be read.
                    if Instant::now() < read_at
                        && tokio::time::timeout_at(read_at, self.events.readable())
                            .await
                            .is_ok()
                    {
                        self.drain();
                        continue;
                    }
                    self.unrest = None;
                    // Links may lead elsewhere by now; what changes after this call is an event again.
                    if let Err(error) = self.arm() {
                        tracing::warn!(%error, "cannot watch all directories of a file");
                    }
                    return;
                }
            }
        }
    }

    /// Takes all events; those that matter start or prolong the unrest.
    fn drain(&mut self) {
        let mut matters = false;
        let names_by_watch = &self.names_by_watch;
        self.events.drain(|event| {
            let lost = event.mask.contains(EventMask::Q_OVERFLOW);
            let names = names_by_watch.get(&event.wd.get_watch_descriptor_id());
            matters |= lost
                || names.is_some_and(|names| event.name.is_none_or(|name| names.contains(name)));
        });
        if matters {
            let now = Instant::now();
            let latest = self
                .unrest
                .map_or(now + MAX_UNREST, |unrest| unrest.read_latest_at);
            self.unrest = Some(Unrest {
                read_at: now + REST,
                read_latest_at: latest,
            });
        }
    }

    /// Watches all that the file's contents depend on.
    fn arm(&mut self) -> io::Result<()> {
        let mut way = Way::of(&self.path);
        for _ in 0..MAX_WALKS {
            self.arm_on(&way)?;
            // What changed before its watch was in place made no event.
            let again = Way::of(&self.path);
            if again == way {
                break;
            }
            way = again;
        }
        Ok(())
    }

    /// Watches every directory on the way to the file, and the file itself.
    fn arm_on(&mut self, way: &Way) -> io::Result<()> {
        const FILE: WatchMask = WatchMask::MODIFY
            .union(WatchMask::CLOSE_WRITE)
            .union(WatchMask::ATTRIB)
            .union(WatchMask::DELETE_SELF)
            .union(WatchMask::MOVE_SELF);
        const DIRECTORY: WatchMask = FILE
            .union(WatchMask::CREATE)
            .union(WatchMask::MOVE)
            .union(WatchMask::DELETE)
            .union(WatchMask::ONLYDIR);
        let mut names_by_watch: BTreeMap<i32, BTreeSet<OsString>> = BTreeMap::new();
        let mut watches = Vec::new();
        let mut add = |at: &Path, mask: WatchMask| -> io::Result<i32> {
            let watch = self.events.add(at, mask)?;
            let id = watch.get_watch_descriptor_id();
            watches.push(watch);
            Ok(id)
        };
        let mut first_error = None;
        for (directory, names) in &way.names_by_directory {
            match add(directory, DIRECTORY) {
                Ok(id) => names_by_watch
                    .entry(id)
                    .or_default()
                    .extend(names.iter().cloned()),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        // The target of a bind mount changes in a directory that is not on the way.
        if let Some(file) = &way.file
            && let Ok(id) = add(file, FILE)
        {
            names_by_watch.entry(id).or_default();
        }
        for old in std::mem::replace(&mut self.watches, watches) {
            if !names_by_watch.contains_key(&old.get_watch_descriptor_id()) {
                self.events.remove(old);
            }
        }
        self.names_by_watch = names_by_watch;
        match first_error {
            Some(error) if self.names_by_watch.is_empty() => Err(error),
            Some(_) | None => Ok(()),
        }
    }
}

impl Contents {
    fn signature(&self) -> Signature {
        match self {
            Self::Bytes(bytes) => {
                let mut hasher = DefaultHasher::new();
                hasher.write(bytes);
                Signature::Bytes {
                    length: bytes.len(),
                    hash: hasher.finish(),
                }
            }
            Self::Missing => Signature::Missing,
            Self::Unreadable(kind) => Signature::Unreadable(*kind),
        }
    }
}

fn read(path: &Path) -> Contents {
    let read = || -> io::Result<Vec<u8>> {
        // A FIFO in its place must not stop the event loop.
        let mut options = File::options();
        let file = options
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut bytes = Vec::new();
        if file.take(MAX_WATCHED + 1).read_to_end(&mut bytes)? as u64 > MAX_WATCHED {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Contents::Bytes(bytes),
        Err(error) if is_missing(&error) => Contents::Missing,
        Err(error) => Contents::Unreadable(error.kind()),
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// The directories and names that decide what a path leads to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Way {
    names_by_directory: BTreeMap<PathBuf, BTreeSet<OsString>>,
    file: Option<PathBuf>,
}

impl Way {
    /// Walks `path` with all its symlinks, to the file or to the first name that is missing.
    ///
    /// Directories above the first are noted only where a symlink or a missing name makes them matter, so that a rename of
    /// `/usr` is not watched for.
    fn of(path: &Path) -> Self {
        let mut way = Self::default();
        let mut next = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        for _ in 0..MAX_SYMLINKS {
            let (Some(parent), Some(name)) = (next.parent(), next.file_name()) else {
                break;
            };
            let Ok(parent) = parent.canonicalize() else {
                way.note_missing(parent);
                break;
            };
            way.note(&parent, name);
            let here = parent.join(name);
            match std::fs::read_link(&here) {
                Ok(target) => next = parent.join(target),
                Err(_) => {
                    way.file = here.exists().then_some(here);
                    break;
                }
            }
        }
        way
    }

    fn note(&mut self, directory: &Path, name: &OsStr) {
        let names = self.names_by_directory.entry(directory.to_owned());
        names.or_default().insert(name.to_owned());
    }

    /// Notes the first missing name on the way to `directory`.
    fn note_missing(&mut self, directory: &Path) {
        let mut present = PathBuf::new();
        for component in directory.components() {
            let Ok(here) = present.join(component).canonicalize() else {
                if let Component::Normal(name) = component {
                    self.note(&present, name);
                }
                return;
            };
            present = here;
        }
    }
}

#[cfg(test)]
mod tests;
