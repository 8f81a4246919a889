//! Is the kernel still the same one, and the same network namespace? [`boot`], by which a journal is believed.

use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;

use linkmgr::{AddressMarks, Boot};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const RELEASE: &str = "/proc/sys/kernel/osrelease";
const NAMESPACE: &str = "/proc/self/ns/net";
/// `SO_NETNS_COOKIE`, since Linux 5.14.
const NAMESPACE_COOKIE: libc::c_int = 71;
/// Since when the kernel keeps `IFA_PROTO` of addresses that are made, and of IPv4 addresses that are asked for again.
const MARKS_MADE: (u32, u32) = (5, 18);
const MARKS_ALL: (u32, u32) = (6, 4);

/// Returns what proves that a journal is about this kernel and this network namespace.
///
/// # Errors
/// When `/proc` does not tell: then no journal may be believed.
pub fn boot() -> io::Result<Boot> {
    let id = boot_id()?;
    let namespace = match cookie() {
        Some(cookie) => format!("cookie-{cookie}"),
        // A number that is used again only after the namespace is gone.
        None => format!("inode-{}", fs::metadata(NAMESPACE)?.ino()),
    };
    let release = fs::read_to_string(RELEASE)?;
    Ok(Boot {
        id: format!("{id}/{namespace}").into(),
        marks: marks(&release),
    })
}

/// Returns what tells one run of the kernel from another, whatever the namespace.
///
/// # Errors
/// When `/proc` does not tell.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string(BOOT_ID)?.trim().to_owned())
}

fn marks(release: &str) -> AddressMarks {
    match version(release) {
        Some(version) if version >= MARKS_ALL => AddressMarks::All,
        Some(version) if version >= MARKS_MADE => AddressMarks::Made,
        Some(_) | None => AddressMarks::None,
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next()?.parse().ok();
    Some((number()?, number()?))
}

fn cookie() -> Option<u64> {
    let socket = Socket::new(NETLINK_ROUTE).ok()?;
    let mut cookie = 0_u64;
    let mut length = u32::try_from(size_of::<u64>()).ok()?;
    // SAFETY: the option writes one 64-bit number, for which there is room; the descriptor is open.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            NAMESPACE_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    (result == 0).then_some(cookie)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_is_told_the_same_twice() {
        let once = boot().unwrap();
        assert_eq!(boot().unwrap(), once);
        assert!(!once.id.contains(char::is_whitespace), "{once:?}");
    }

    #[test]
    fn versions_are_read_as_distributions_write_them() {
        let rows = [
            ("6.18.44-fc-v669\n", Some((6, 18)), AddressMarks::All),
            ("6.4.0", Some((6, 4)), AddressMarks::All),
            ("6.1.0-57-amd64", Some((6, 1)), AddressMarks::Made),
            ("5.18.0", Some((5, 18)), AddressMarks::Made),
            ("5.4.0-150-generic", Some((5, 4)), AddressMarks::None),
            ("nonsense", None, AddressMarks::None),
        ];
        for (release, expected, marked) in rows {
            assert_eq!(version(release), expected, "{release}");
            assert_eq!(marks(release), marked, "{release}");
        }
    }
}
