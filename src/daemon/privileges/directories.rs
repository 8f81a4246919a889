//! Whose are the daemon's directories? They are made, with their owners, while there is still root.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use super::{Options, Owner};

/// Journal, memory and anchors are nobody else's business.
const STATE_MODE: u32 = 0o700;
/// Clients reach the control socket.
const RUNTIME_MODE: u32 = 0o755;

/// Why a directory cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirectoryError {
    /// It cannot be made or given to the user.
    #[error("cannot prepare the directory {path}", path = path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It is in use for something else: giving it away would break that.
    #[error(
        "{path} belongs to another user or is not empty: name an empty directory, or chown it to linnetd's user",
        path = path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
}

/// Makes the state, journal and runtime directories; the first and the last belong to `owner`, the journal to root.
pub(super) fn make(options: &Options, owner: Option<Owner>) -> Result<(), DirectoryError> {
    let state = &options.paths.state_dir;
    let journal = options.paths.journal_dir();
    prepare(
        &options.runtime_dir,
        RUNTIME_MODE,
        owner,
        &["control", "linnet.toml", "conf.d", "profiles"],
    )?;
    prepare(state, STATE_MODE, owner, &["journal"])?;
    if owner.is_none() {
        return Ok(());
    }
    let failed = |source| DirectoryError::Io {
        path: journal.clone(),
        source,
    };
    match DirBuilder::new().mode(STATE_MODE).create(&journal) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error)),
        Err(_) | Ok(()) => {
            let metadata = fs::symlink_metadata(&journal).map_err(failed)?;
            // The daemon's user could have put another directory there.
            if !metadata.is_dir() || metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
                return Err(DirectoryError::InUse { path: journal });
            }
            Ok(())
        }
    }
}

/// Makes one directory, or takes one over that is empty or holds nothing but `known` names.
fn prepare(
    path: &Path,
    mode: u32,
    owner: Option<Owner>,
    known: &[&str],
) -> Result<(), DirectoryError> {
    let failed = |source| DirectoryError::Io {
        path: path.to_owned(),
        source,
    };
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o755);
    builder.create(path).map_err(failed)?;
    let Some((uid, gid)) = owner else {
        return Ok(());
    };
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.uid() != uid.as_raw() {
        let mut strangers = fs::read_dir(path).map_err(failed)?.filter(|entry| {
            entry.as_ref().map_or(true, |entry| {
                let name = entry.file_name();
                !known.iter().any(|known| name == *known)
            })
        });
        if metadata.uid() != 0 || strangers.next().is_some() {
            return Err(DirectoryError::InUse {
                path: path.to_owned(),
            });
        }
        chown(path, Some(uid.as_raw()), Some(gid.as_raw())).map_err(failed)?;
    }
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)
}
