//! What exactly is at a path, and how is exactly that put there again? [`Original`].
//!
//! A file is its bytes, mode, owner, modification time and extended attributes (ACLs and labels are among them); a symlink
//! its target, owner and time. Not kept: the inode, and with it access time, other hard links and `chattr` flags.

use std::ffi::{CStr, CString, OsString};
use std::fs::{self, File, FileTimes, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{
    MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown, lchown, symlink,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The longest resolv.conf that is taken, in bytes; the C library reads some hundred.
pub const MAX_ORIGINAL: u64 = 1 << 20;
/// The mode of the file that linnet puts there: every client reads it.
const OUR_MODE: u32 = 0o644;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Original {
    /// A regular file.
    File {
        /// Its content.
        bytes: Bytes,
        /// Its permission bits.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
        /// When it was last modified.
        modified: Moment,
        /// Its extended attributes.
        xattrs: Vec<(Bytes, Bytes)>,
    },
    /// A symbolic link; what it leads to is never looked at.
    Symlink {
        /// Where it leads.
        target: Bytes,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
        /// When it was made.
        modified: Moment,
    },
    /// Nothing.
    Missing,
}

/// A time stamp of a file: nanoseconds since 1970 began, negative before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Moment {
    /// Seconds.
    seconds: i64,
    /// Nanoseconds, below 10⁹.
    nanos: i64,
}

/// Bytes that need not be text; hexadecimal in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Original {
    /// Reads what is at `path` without following a link.
    ///
    /// # Errors
    /// `InvalidInput` for what is neither file nor link, `FileTooLarge` above [`MAX_ORIGINAL`], and what the kernel says.
    pub fn read(path: &Path) -> io::Result<Self> {
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Missing),
            Err(error) => return Err(error),
        };
        if metadata.is_symlink() {
            let target = fs::read_link(path)?.into_os_string().into_vec();
            return Ok(Self::Symlink {
                target: Bytes(target),
                uid: metadata.uid(),
                gid: metadata.gid(),
                modified: Moment::of(&metadata),
            });
        }
        if !metadata.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let file = File::options()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut bytes = Vec::new();
        if (&file).take(MAX_ORIGINAL + 1).read_to_end(&mut bytes)? as u64 > MAX_ORIGINAL {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Self::File {
            bytes: Bytes(bytes),
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            modified: Moment::of(&metadata),
            xattrs: xattrs(&file)?,
        })
    }

    /// Whether it is the same kind with the same content, whoever owns it.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File { bytes: one, .. }, Self::File { bytes: two, .. }) => one == two,
            (Self::Symlink { target: one, .. }, Self::Symlink { target: two, .. }) => one == two,
            (Self::Missing, Self::Missing) => true,
            (Self::File { .. } | Self::Symlink { .. } | Self::Missing, _) => false,
        }
    }

    /// Puts it at `path` in one step, prepared as `temporary` in the same directory; returns what could not be restored.
    pub(super) fn restore(&self, temporary: &Path, path: &Path) -> io::Result<Vec<String>> {
        let mut lost = Vec::new();
        match self {
            Self::Missing => super::journal::remove_if_there(path)?,
            Self::Symlink {
                target,
                uid,
                gid,
                modified,
            } => {
                super::journal::remove_if_there(temporary)?;
                symlink(target.as_path(), temporary)?;
                if let Err(error) = lchown(temporary, Some(*uid), Some(*gid)) {
                    lost.push(format!("owner {uid}:{gid} ({error})"));
                }
                modified.set_on_link(temporary)?;
                fs::rename(temporary, path)?;
            }
            Self::File {
                bytes,
                mode,
                uid,
                gid,
                modified,
                xattrs,
            } => {
                let mut file = create(temporary)?;
                file.write_all(&bytes.0)?;
                // The owner before the mode: a change of owner clears the set-id bits.
                if let Err(error) = fchown(&file, Some(*uid), Some(*gid)) {
                    lost.push(format!("owner {uid}:{gid} ({error})"));
                }
                file.set_permissions(Permissions::from_mode(*mode))?;
                for (name, value) in xattrs {
                    if let Err(error) = set_xattr(&file, name, value) {
                        let name = String::from_utf8_lossy(&name.0).into_owned();
                        lost.push(format!("attribute {name} ({error})"));
                    }
                }
                file.set_times(FileTimes::new().set_modified(modified.as_system_time()))?;
                file.sync_all()?;
                fs::rename(temporary, path)?;
            }
        }
        sync_directory(path)?;
        Ok(lost)
    }
}

/// Prepares `text` as `temporary`, durable.
pub(super) fn prepare(text: &str, temporary: &Path) -> io::Result<()> {
    let mut file = create(temporary)?;
    file.write_all(text.as_bytes())?;
    file.set_permissions(Permissions::from_mode(OUR_MODE))?;
    file.sync_all()
}

/// Makes the entry of `path` in its directory durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or_else(|| Path::new("/")))?.sync_all()
}

fn create(temporary: &Path) -> io::Result<File> {
    super::journal::remove_if_there(temporary)?;
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600);
    options.open(temporary)
}

fn xattrs(file: &File) -> io::Result<Vec<(Bytes, Bytes)>> {
    let fd = file.as_raw_fd();
    let names = sized(|buffer, length| {
        // SAFETY: `buffer` has room for `length` bytes, or `length` is 0 and it is not written to.
        unsafe { libc::flistxattr(fd, buffer.cast(), length) }
    });
    let names = match names {
        Ok(names) => names,
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut xattrs = Vec::new();
    for name in names.split_inclusive(|&byte| byte == 0) {
        let Ok(c_name) = CStr::from_bytes_with_nul(name) else {
            continue;
        };
        let value = sized(|buffer, length| {
            // SAFETY: as above; `c_name` ends in a NUL.
            unsafe { libc::fgetxattr(fd, c_name.as_ptr(), buffer.cast(), length) }
        });
        // One that may be listed but not read is the kernel's own.
        if let Ok(value) = value {
            xattrs.push((Bytes(c_name.to_bytes().to_vec()), Bytes(value)));
        }
    }
    Ok(xattrs)
}

/// Calls twice: for the length, then for the bytes.
fn sized(call: impl Fn(*mut u8, usize) -> isize) -> io::Result<Vec<u8>> {
    let length =
        usize::try_from(call(std::ptr::null_mut(), 0)).map_err(|_| io::Error::last_os_error())?;
    let mut bytes = vec![0; length];
    let length = usize::try_from(call(bytes.as_mut_ptr(), length))
        .map_err(|_| io::Error::last_os_error())?;
    bytes.truncate(length);
    Ok(bytes)
}

fn set_xattr(file: &File, name: &Bytes, value: &Bytes) -> io::Result<()> {
    let name = CString::new(name.0.clone())?;
    // SAFETY: the name ends in a NUL, the value has the length given.
    let result = unsafe {
        libc::fsetxattr(
            file.as_raw_fd(),
            name.as_ptr(),
            value.0.as_ptr().cast(),
            value.0.len(),
            0,
        )
    };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    // A label that the new file got by itself needs no setting.
    let has_it = xattrs(file)?
        .iter()
        .any(|(other, theirs)| other.0 == name.as_bytes() && theirs == value);
    if has_it { Ok(()) } else { Err(error) }
}

impl Moment {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            seconds: metadata.mtime(),
            nanos: metadata.mtime_nsec(),
        }
    }

    fn as_system_time(self) -> SystemTime {
        let seconds = Duration::from_secs(self.seconds.unsigned_abs());
        let nanos = Duration::from_nanos(self.nanos.unsigned_abs());
        if self.seconds < 0 {
            SystemTime::UNIX_EPOCH - seconds + nanos
        } else {
            SystemTime::UNIX_EPOCH + seconds + nanos
        }
    }

    fn set_on_link(self, link: &Path) -> io::Result<()> {
        let path = CString::new(link.as_os_str().as_bytes())?;
        let keep = libc::timespec {
            tv_sec: 0,
            tv_nsec: libc::UTIME_OMIT,
        };
        let modified = libc::timespec {
            tv_sec: self.seconds,
            tv_nsec: self.nanos,
        };
        let times = [keep, modified];
        // SAFETY: the path ends in a NUL; `times` are two timespecs.
        let result = unsafe {
            libc::utimensat(
                libc::AT_FDCWD,
                path.as_ptr(),
                times.as_ptr(),
                libc::AT_SYMLINK_NOFOLLOW,
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

impl Bytes {
    pub(super) fn as_path(&self) -> PathBuf {
        PathBuf::from(OsString::from_vec(self.0.clone()))
    }
}

impl serde::Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use std::fmt::Write as _;
        let mut text = String::with_capacity(self.0.len() * 2);
        for byte in &self.0 {
            write!(text, "{byte:02x}").map_err(serde::ser::Error::custom)?;
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> serde::Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let bytes: Option<Vec<u8>> = pairs
            .iter()
            .map(|&[high, low]| u8::try_from(digit(high)? << 4 | digit(low)?).ok())
            .collect();
        match bytes {
            Some(bytes) if rest.is_empty() => Ok(Self(bytes)),
            Some(_) | None => Err(serde::de::Error::custom("not pairs of hexadecimal digits")),
        }
    }
}
