//! Which configuration files are there, and what do they say? Reads the directories; understands nothing.
//!
//! `/usr/lib/linnet` (vendor), `/etc/linnet` (admin), `/run/linnet` (runtime), each with `linnet.toml`, `conf.d/*.toml` and
//! `profiles/*.toml`. What lies there and cannot be read is an entry with the reason: it is never skipped in silence.
//! Both binaries read with this: the daemon and its helper, and `linnet config check`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::diagnostic::{Diagnostic, Severity};
use config::layer::{self, Layer, LayerKind, Origin};
use config::model::ProfileId;

/// Where packages put their configuration.
pub const VENDOR_DIR: &str = "/usr/lib/linnet";
/// Where the administrator puts it.
pub const ADMIN_DIR: &str = "/etc/linnet";
/// Where it lives until the next boot.
pub const RUNTIME_DIR: &str = "/run/linnet";
/// The longest file that is read, in bytes.
pub const MAX_CONFIG_FILE: u64 = 1 << 20;
/// How many files are read; more is a mistake, told as one unreadable entry.
pub const MAX_CONFIG_FILES: usize = 4096;

/// Which of the directories a file comes from; a later one overrides an earlier one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Rank {
    /// `/usr/lib/linnet`.
    Vendor,
    /// `/etc/linnet`, or the directory of `--config-dir`.
    Admin,
    /// `/run/linnet`.
    Runtime,
}

/// What a file is for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `linnet.toml`.
    Main,
    /// `conf.d/*.toml`.
    DropIn,
    /// `profiles/*.toml`.
    Profile,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ConfigText {
    /// Where it comes from.
    pub rank: Rank,
    /// What it is for.
    pub kind: Kind,
    /// Its path.
    pub path: PathBuf,
    /// What it says, or why it cannot be read, in words.
    pub text: Result<String, String>,
}

impl ConfigText {
    /// Makes a layer of the file, without its text when it cannot be read; the finding says why.
    pub fn into_layer(self) -> (Layer, Option<Diagnostic>) {
        let path: Arc<str> = self.path.to_string_lossy().into();
        let part = |pick: Option<&OsStr>| -> Arc<str> {
            pick.unwrap_or_default().to_string_lossy().into()
        };
        let kind = match self.kind {
            Kind::Main => LayerKind::Main,
            Kind::DropIn => LayerKind::DropIn(part(self.path.file_name())),
            Kind::Profile => LayerKind::Profile(ProfileId(part(self.path.file_stem()))),
        };
        let rank = match self.rank {
            Rank::Vendor => layer::Rank::Vendor,
            Rank::Admin => layer::Rank::Admin,
            Rank::Runtime => layer::Rank::Runtime,
        };
        let unreadable = self.text.as_ref().err().map(|why| Diagnostic {
            severity: Severity::Error,
            file: Arc::clone(&path),
            line: 0,
            column: 0,
            message: format!("cannot be read: {why}"),
            help: None,
            span: None,
        });
        let text = self.text.unwrap_or_default();
        (
            Layer {
                origin: Origin { rank, path },
                text,
                kind,
            },
            unreadable,
        )
    }
}

/// Whom a reader with more rights than its caller believes.
///
/// The helper reads as root for a daemon that is not root. A file that the daemon's user can put there, or make point at a
/// root-only file, must neither be read for it nor speak for the administrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Believe {
    /// Whatever the caller may read.
    Everything,
    /// Only what this user (root) alone can have put there.
    Only(u32),
}

/// Returns the directories to read: `replacement` alone, or the three usual ones.
pub fn directories(replacement: Option<&Path>) -> Vec<(Rank, PathBuf)> {
    match replacement {
        Some(directory) => vec![(Rank::Admin, directory.to_owned())],
        None => vec![
            (Rank::Vendor, VENDOR_DIR.into()),
            (Rank::Admin, ADMIN_DIR.into()),
            (Rank::Runtime, RUNTIME_DIR.into()),
        ],
    }
}

/// Reads all files, in the order in which they override each other: by kind of directory, then main file, drop-ins and
/// profiles, each by name.
pub fn read(directories: &[(Rank, PathBuf)], believe: Believe) -> Vec<ConfigText> {
    read_but(directories, believe, None)
}

/// As [`read`], without the profiles, which may be large.
pub fn read_mains(directories: &[(Rank, PathBuf)], believe: Believe) -> Vec<ConfigText> {
    read_but(directories, believe, Some(Kind::Profile))
}

fn read_but(
    directories: &[(Rank, PathBuf)],
    believe: Believe,
    but: Option<Kind>,
) -> Vec<ConfigText> {
    let mut texts = Vec::new();
    for (rank, directory) in directories {
        let mut reader = Reader {
            rank: *rank,
            believe,
            texts: &mut texts,
            open_by_directory: BTreeMap::new(),
        };
        let main = directory.join("linnet.toml");
        if fs::symlink_metadata(&main).is_ok() || !is_missing_or_searchable(directory) {
            reader.file(Kind::Main, main);
        }
        for (kind, name) in [(Kind::DropIn, "conf.d"), (Kind::Profile, "profiles")] {
            if but != Some(kind) {
                reader.directory(kind, &directory.join(name));
            }
        }
    }
    texts
}

struct Reader<'a> {
    rank: Rank,
    believe: Believe,
    texts: &'a mut Vec<ConfigText>,
    /// Which directories others may write, as far as that was asked.
    open_by_directory: BTreeMap<PathBuf, bool>,
}

impl Reader<'_> {
    fn directory(&mut self, kind: Kind, directory: &Path) {
        match self.list(directory) {
            Ok(paths) => {
                for path in paths {
                    if self.texts.len() > MAX_CONFIG_FILES {
                        self.add(kind, path, Err("there are too many files".to_owned()));
                        return;
                    }
                    self.file(kind, path);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.add(kind, directory.to_owned(), Err(error.to_string())),
        }
    }

    fn list(&mut self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        if let Believe::Only(_) = self.believe
            && self.is_open_to_others(directory.parent())
            && fs::symlink_metadata(directory)?.is_symlink()
        {
            return Err(io::Error::other(
                "a symlink in a directory that others may write is not followed",
            ));
        }
        let mut paths = Vec::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let hidden = path
                .file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if !hidden && path.extension() == Some(OsStr::new("toml")) {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    fn file(&mut self, kind: Kind, path: PathBuf) {
        let text = self.text(&path).map_err(|error| error.to_string());
        self.add(kind, path, text);
    }

    fn add(&mut self, kind: Kind, path: PathBuf, text: Result<String, String>) {
        self.texts.push(ConfigText {
            rank: self.rank,
            kind,
            path,
            text,
        });
    }

    fn text(&mut self, path: &Path) -> io::Result<String> {
        let guarded = match self.believe {
            Believe::Everything => None,
            Believe::Only(owner) => self.is_open_to_others(path.parent()).then_some(owner),
        };
        let mut flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        if guarded.is_some() {
            flags |= libc::O_NOFOLLOW;
        }
        let file = File::options().read(true).custom_flags(flags).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        if let Believe::Only(owner) = self.believe
            && (metadata.uid() != owner || metadata.mode() & 0o002 != 0)
        {
            return Err(io::Error::other(
                "it must belong to root and not be writable by everybody",
            ));
        }
        // In a directory of somebody else, a second name could be a root-only file from elsewhere.
        if guarded.is_some() && metadata.nlink() != 1 {
            return Err(io::Error::other(
                "it has a second name, in a directory that others may write",
            ));
        }
        let length = metadata.len().min(MAX_CONFIG_FILE);
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1);
        if file.take(MAX_CONFIG_FILE + 1).read_to_end(&mut bytes)? as u64 > MAX_CONFIG_FILE {
            return Err(io::Error::other("it is longer than 1 MiB"));
        }
        String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))
    }

    /// Whether somebody but the believed user can put entries into a directory.
    fn is_open_to_others(&mut self, directory: Option<&Path>) -> bool {
        let (Believe::Only(owner), Some(directory)) = (self.believe, directory) else {
            return matches!(self.believe, Believe::Only(_));
        };
        if let Some(open) = self.open_by_directory.get(directory) {
            return *open;
        }
        // A directory is as safe as those above it; in a sticky one (/tmp) nobody replaces what is another's.
        let open = directory.ancestors().enumerate().any(|(above, at)| {
            let at = if at.as_os_str().is_empty() {
                Path::new(".")
            } else {
                at
            };
            let Ok(metadata) = fs::metadata(at) else {
                return true;
            };
            let protected = above > 0 && metadata.mode() & 0o1000 != 0;
            let owned = metadata.uid() == owner || metadata.uid() == 0;
            !owned || (metadata.mode() & 0o022 != 0 && !protected)
        });
        self.open_by_directory.insert(directory.to_owned(), open);
        open
    }
}

/// Whether the main file's absence can be told: a directory that cannot be searched hides it.
fn is_missing_or_searchable(directory: &Path) -> bool {
    match fs::symlink_metadata(directory.join("linnet.toml")) {
        Ok(_) => true,
        Err(error) => matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        ),
    }
}
