//! What stands in the way of taking resolv.conf, and what can an administrator do about it?

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::journal::JournalError;
use super::original::Original;

/// How many leftovers of other programs with our name are stepped over.
const MAX_NAMES: u32 = 100;
/// `FS_IMMUTABLE_FL` of linux/fs.h.
const IMMUTABLE: libc::c_int = 0x10;
/// `FS_APPEND_FL` of linux/fs.h.
const APPEND_ONLY: libc::c_int = 0x20;
/// `FS_IOC_GETFLAGS` of linux/fs.h: `_IOR('f', 1, long)`.
const GET_FLAGS: libc::c_ulong = {
    const READ: libc::c_ulong = 2 << 30;
    READ | (size_of::<libc::c_long>() as libc::c_ulong) << 16 | (b'f' as libc::c_ulong) << 8 | 1
};

/// Why resolv.conf was not taken; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The file cannot be replaced.
    #[error("cannot take {path}: {obstacle}", path = path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// What stands in the way, and what to do.
        obstacle: Obstacle,
        /// What the kernel said.
        source: io::Error,
    },
    /// The journal cannot be used, so that the original could not be given back.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// `chattr +i` or `+a`, on the file.
    #[error("the file is immutable: look with lsattr, allow it with chattr -ia")]
    Immutable,
    /// `chattr +i` or `+a`, on its directory.
    #[error("its directory is immutable: look with lsattr -d, allow it with chattr -ia")]
    DirectoryImmutable,
    /// The file system is mounted read-only.
    #[error("the file system is read-only: say resolv-conf = \"unmanaged\", or mount it writable")]
    ReadOnly,
    /// Something is mounted over the file, as containers do.
    #[error(
        "something is mounted over it, as in a container (see findmnt): say resolv-conf = \"unmanaged\", or unmount it"
    )]
    Mounted,
    /// Permission is missing.
    #[error(
        "permission is missing: linnetd must be started as root, or --resolv-conf must name a file of its user"
    )]
    Denied,
    /// There is no directory to put it in.
    #[error("its directory does not exist")]
    NoDirectory,
    /// A directory, a device or a pipe lies there.
    #[error("it is neither a file nor a symlink")]
    NotAFile,
    /// The file is too long to be a resolv.conf.
    #[error("it is longer than 1 MiB")]
    TooLong,
    /// It changes all the time.
    #[error(
        "another program keeps writing it: say resolv-conf = \"unmanaged\", or stop that program"
    )]
    Contended,
    /// Anything else; the source tells.
    #[error("the kernel does not let it be replaced")]
    Other,
}

impl Obstacle {
    /// Tells from an error, and from what lies at `path`, what stands in the way.
    pub fn of(path: &Path, error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                let directory = path.parent().unwrap_or_else(|| Path::new("/"));
                if is_fixed(path) {
                    Self::Immutable
                } else if is_fixed(directory) {
                    Self::DirectoryImmutable
                } else {
                    Self::Denied
                }
            }
            Some(libc::EROFS) => Self::ReadOnly,
            Some(libc::EBUSY | libc::EXDEV) => Self::Mounted,
            Some(libc::ENOENT | libc::ENOTDIR) => Self::NoDirectory,
            Some(libc::EISDIR | libc::ELOOP | libc::ENXIO) => Self::NotAFile,
            Some(_) => Self::Other,
            None if error.kind() == io::ErrorKind::InvalidInput => Self::NotAFile,
            None if error.kind() == io::ErrorKind::FileTooLarge => Self::TooLong,
            None if error.kind() == io::ErrorKind::ResourceBusy => Self::Contended,
            None => Self::Other,
        }
    }
}

/// Finds what can be found before anything is written.
pub(super) fn check(path: &Path, here: &Original) -> io::Result<()> {
    let fixed = match here {
        Original::File { .. } => is_fixed(path),
        Original::Symlink { .. } | Original::Missing => false,
    };
    if fixed {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    Ok(())
}

/// Whether an error of reading means that something foreign lies there, no file of linnet's.
pub(super) fn is_foreign(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::FileTooLarge
    )
}

/// Returns what the names of prepared files begin with; a number follows.
pub(super) fn temporary_prefix(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!(".{name}.linnet-")
}

/// Returns a name beside `path` that nobody has.
pub(super) fn free_name(path: &Path) -> io::Result<String> {
    let prefix = temporary_prefix(path);
    for number in 0..MAX_NAMES {
        let name = format!("{prefix}{number}");
        match std::fs::symlink_metadata(path.with_file_name(&name)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(name),
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Writes a time as RFC 3339 does, in UTC.
pub(super) fn date(seconds: u64) -> String {
    const DAY: u64 = 86_400;
    let (days, rest) = (seconds / DAY, seconds % DAY);
    // Years begin in March, so that the leap day is the last: days since 0000-03-01, in eras of 400 years.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn is_fixed(path: &Path) -> bool {
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path);
    let Ok(file) = file else { return false };
    let mut flags: libc::c_int = 0;
    // SAFETY: the kernel writes one int, whatever the size in the request's number says.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), GET_FLAGS as _, &raw mut flags) };
    result == 0 && flags & (IMMUTABLE | APPEND_ONLY) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_000_000_000, "2001-09-09T01:46:40Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1_796_083_199, "2026-11-30T23:59:59Z"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }
}
