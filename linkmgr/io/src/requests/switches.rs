//! How is a switch read and set? A file below `/proc/sys/net`, of the network namespace of the thread that opens it.

use std::ffi::{CStr, OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use linkmgr::{KernelAnswer, KernelFault};
use policy::links::Switch;

const ROOT: &str = "/proc/sys/net";

/// Reads a switch.
pub(super) fn read(link: &str, switch: Switch) -> KernelAnswer {
    match path(link, switch).and_then(|path| number(&path)) {
        Ok(value) => KernelAnswer::Value(value),
        Err(error) => failed(&error),
    }
}

/// Sets a switch.
pub(super) fn set(link: &str, switch: Switch, value: i32) -> KernelAnswer {
    let set = path(link, switch).and_then(|path| write(&path, value));
    match set {
        Ok(()) => KernelAnswer::Done,
        Err(error) => failed(&error),
    }
}

/// While it lives, IPv4 addresses stay when the first one of their prefix goes.
pub(super) struct Promoting(Option<PathBuf>);

impl Promoting {
    /// Has the addresses of a link stay, and the switch come back at the end.
    pub(super) fn begin(index: u32) -> Self {
        let Some(name) = name(index) else {
            return Self(None);
        };
        let links = PathBuf::from(ROOT).join("ipv4/conf");
        let path = links.join(&name).join("promote_secondaries");
        let is_on = number(&path).is_ok_and(|value| value != 0);
        if is_on {
            return Self(None);
        }
        if let Err(error) = write(&path, 1) {
            tracing::warn!(%error, link = %name.display(), "other addresses may go with the one that is deleted");
            return Self(None);
        }
        Self(Some(path))
    }
}

impl Drop for Promoting {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = write(path, 0)
        {
            tracing::warn!(%error, path = %path.display(), "cannot be set back");
        }
    }
}

/// A name may have dots, but no slash.
fn path(link: &str, switch: Switch) -> io::Result<PathBuf> {
    if link.contains('/') || [".", ".."].contains(&link) {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(PathBuf::from(ROOT).join(switch.path(link)))
}

fn number(path: &std::path::Path) -> io::Result<i32> {
    let text = fs::read_to_string(path)?;
    text.trim().parse().map_err(io::Error::other)
}

fn write(path: &std::path::Path, value: i32) -> io::Result<()> {
    // Opened to write, never made: what is not there is no switch.
    let mut file = fs::File::options().write(true).open(path)?;
    io::Write::write_all(&mut file, format!("{value}\n").as_bytes())
}

fn failed(error: &io::Error) -> KernelAnswer {
    let missing = error.kind() == io::ErrorKind::NotFound;
    let otherwise = if missing { libc::ENOENT } else { libc::EIO };
    KernelAnswer::Failed(KernelFault {
        errno: error.raw_os_error().unwrap_or(otherwise),
        text: None,
    })
}

/// Returns the name as the kernel has it, which may be no UTF-8.
fn name(index: u32) -> Option<OsString> {
    let mut buffer = [0; libc::IF_NAMESIZE];
    // SAFETY: the buffer has the length that the call needs.
    let name = unsafe { libc::if_indextoname(index, buffer.as_mut_ptr()) };
    if name.is_null() {
        return None;
    }
    // SAFETY: the call has written a string with its end into the buffer.
    let name = unsafe { CStr::from_ptr(buffer.as_ptr()) };
    Some(OsStr::from_bytes(name.to_bytes()).to_owned())
}
