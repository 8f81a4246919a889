//! How is a small file of our own read, and replaced as a whole? For persistent claims, in the daemon's own directory.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;
/// Nobody else's business.
const MODE: u32 = 0o600;

/// Reads a file; `None` when there is none, or none that can be read, which is logged.
pub(crate) fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    let opened = File::options().read(true).open(path);
    match opened.and_then(|file| file.take(MAX_FILE).read_to_string(&mut text)) {
        Ok(_) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::error!(%error, path = %path.display(), "cannot be read");
            None
        }
    }
}

/// Replaces a file: whoever reads it sees the old text or the new one, also after a loss of power.
///
/// # Errors
/// What the kernel says; the old file is there then.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(MODE)
        .open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    File::options().read(true).open(directory)?.sync_all()
}
