//! What was at the path before linnet took it? The journal's record, durable before anything else changes.
//!
//! One JSON file, replaced as a whole: a temporary file, `fsync`, `rename`, `fsync` of the directory. It is only believed
//! when it and its directory belong to the caller and nobody else may write them, for it says what root puts into `/etc`.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink,
};
use std::path::{Path, PathBuf};

use super::original::Original;

/// The journal's name in its directory.
const NAME: &str = "resolv-conf";
/// The next record, before it is renamed.
const TEMPORARY: &str = "resolv-conf.new";
/// The longest record that is read, in bytes: an original of the permitted length in hexadecimal, and more.
const MAX_RECORD: u64 = 8 << 20;
/// How many files that lost their place are kept.
const MAX_SAVED: u32 = 10_000;

/// Where the record lies.
#[derive(Debug, Clone)]
pub struct Journal {
    directory: PathBuf,
}

/// What was there, and what linnet put in its place.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// The path that was taken.
    pub(super) path: PathBuf,
    /// The name, beside the path, under which the next file is prepared; a leftover of that name is linnet's.
    pub(super) temporary: String,
    /// What was there.
    pub(super) original: Original,
    /// The texts that linnet put there or is about to put there: a file with one of these is linnet's.
    pub(super) texts: Vec<String>,
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be read or written.
    #[error("cannot use the journal {path}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Somebody else could have written it.
    #[error(
        "the journal {path} must belong to this user and be writable by nobody else; look at it, then remove it",
        path = path.display()
    )]
    NotTrusted {
        /// The file or directory.
        path: PathBuf,
    },
    /// It is not a record.
    #[error(
        "the journal {path} cannot be understood; it holds the original resolv.conf: look at it, then remove it",
        path = path.display()
    )]
    Garbled {
        /// The file.
        path: PathBuf,
        /// Where it stops making sense.
        source: serde_json::Error,
    },
}

impl Journal {
    /// Names the journal in `directory`, which is made when the first record is written.
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
        }
    }

    /// Returns the file of the record.
    pub fn path(&self) -> PathBuf {
        self.directory.join(NAME)
    }

    /// Removes a record that was never finished.
    pub(super) fn sweep(&self) -> Result<(), JournalError> {
        let path = self.directory.join(TEMPORARY);
        remove_if_there(&path).map_err(|source| JournalError::Io { path, source })
    }

    pub(super) fn read(&self) -> Result<Option<Record>, JournalError> {
        let path = self.path();
        let file = File::options()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&path);
        let file = match file {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(JournalError::Io { path, source }),
        };
        let failed = |source| JournalError::Io {
            path: path.clone(),
            source,
        };
        let directory = fs::symlink_metadata(&self.directory).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !directory.is_dir()
            || !metadata.is_file()
            || !is_private(&directory)
            || !is_private(&metadata)
        {
            return Err(JournalError::NotTrusted { path });
        }
        let mut text = Vec::new();
        file.take(MAX_RECORD)
            .read_to_end(&mut text)
            .map_err(failed)?;
        match serde_json::from_slice::<Record>(&text) {
            Ok(record) if super::is_temporary(&record.temporary, &record.path) => Ok(Some(record)),
            Ok(_) => Err(JournalError::NotTrusted { path }),
            Err(source) => Err(JournalError::Garbled { path, source }),
        }
    }

    pub(super) fn write(&self, record: &Record) -> Result<(), JournalError> {
        let path = self.path();
        let write = || -> io::Result<()> {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.directory)?;
            let temporary = self.directory.join(TEMPORARY);
            remove_if_there(&temporary)?;
            let mut file = File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(&serde_json::to_vec(record)?)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            self.settle()
        };
        write().map_err(|source| JournalError::Io { path, source })
    }

    pub(super) fn remove(&self) -> Result<(), JournalError> {
        let path = self.path();
        let remove = || {
            remove_if_there(&self.directory.join(TEMPORARY))?;
            remove_if_there(&path)?;
            match self.settle() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                settled => settled,
            }
        };
        remove().map_err(|source| JournalError::Io { path, source })
    }

    /// Keeps a copy of an original that cannot go back, as `resolv-conf.saved-N`; `None` when there was none.
    pub(super) fn save(&self, original: &Original) -> Result<Option<PathBuf>, JournalError> {
        let mut path = self.path();
        let mut save = || -> io::Result<Option<PathBuf>> {
            for number in 1..MAX_SAVED {
                path = self.directory.join(format!("{NAME}.saved-{number}"));
                let saved = match original {
                    Original::Missing => return Ok(None),
                    Original::Symlink { target, .. } => symlink(target.as_path(), &path),
                    Original::File { bytes, mode, .. } => File::options()
                        .write(true)
                        .create_new(true)
                        .mode(0o600)
                        .open(&path)
                        .and_then(|mut file| {
                            file.write_all(&bytes.0)?;
                            file.set_permissions(Permissions::from_mode(mode & 0o700))?;
                            file.sync_all()
                        }),
                };
                match saved {
                    Ok(()) => {
                        self.settle()?;
                        return Ok(Some(path.clone()));
                    }
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(error),
                }
            }
            Err(io::ErrorKind::AlreadyExists.into())
        };
        let saved = save();
        saved.map_err(|source| JournalError::Io { path, source })
    }

    fn settle(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}

/// Removes a file; that there is none is fine.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Err(_) | Ok(()) => Ok(()),
    }
}

fn is_private(metadata: &fs::Metadata) -> bool {
    // SAFETY: geteuid has no preconditions and cannot fail.
    let me = unsafe { libc::geteuid() };
    metadata.uid() == me && metadata.mode() & 0o022 == 0
}
