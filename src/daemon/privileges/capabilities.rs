//! Which capabilities remain, and how is all else given up for good?

#![expect(
    clippy::disallowed_methods,
    reason = "the kernel tells what it maps in files, before anything else is opened"
)]

use std::io;

use caps::{CapSet, Capability, CapsHashSet};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use super::account::Account;
use super::{PrivilegeError, Warning, step};

/// What the daemon keeps: port 53, binding sockets to links, and, last, writing to links.
const DAEMON: [(Capability, &str); 3] = [
    (Capability::CAP_NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE"),
    (Capability::CAP_NET_RAW, "CAP_NET_RAW"),
    (Capability::CAP_NET_ADMIN, "CAP_NET_ADMIN"),
];
/// What the helper keeps: putting back a file with its owner and mode, wherever it may lie.
const HELPER: [(Capability, &str); 3] = [
    (Capability::CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE"),
    (Capability::CAP_CHOWN, "CAP_CHOWN"),
    (Capability::CAP_FOWNER, "CAP_FOWNER"),
];
/// More than the kernel will ever number.
const MAX_CAPABILITY: u32 = 64;

/// Whether this process may become another user: a user namespace may know one id only.
pub(super) fn can_become(uid: Uid, gid: Gid) -> bool {
    let may = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    let groups = std::fs::read_to_string("/proc/self/setgroups");
    let groups_allowed = groups.map_or(true, |text| text.trim() == "allow");
    may(Capability::CAP_SETUID)
        && may(Capability::CAP_SETGID)
        && groups_allowed
        && is_mapped("/proc/self/uid_map", uid.as_raw())
        && is_mapped("/proc/self/gid_map", gid.as_raw())
}

/// Becomes `user` with the daemon's capabilities and no way back.
pub(super) fn drop_to_user(
    user: Account,
    manages_links: bool,
    warnings: &mut Vec<Warning>,
) -> Result<(), PrivilegeError> {
    empty_bounding()?;
    // SAFETY: PR_SET_KEEPCAPS takes a number; the kernel clears it at the next exec.
    check("keep capabilities over the change of user", unsafe {
        libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0)
    })?;
    setgroups(&[]).map_err(step("leave all groups"))?;
    setresgid(user.gid, user.gid, user.gid).map_err(step("change the group"))?;
    setresuid(user.uid, user.uid, user.uid).map_err(step("change the user"))?;
    keep(of_daemon(manages_links), warnings)?;
    no_way_back()
}

/// Stays root with the helper's capabilities and no way back.
pub(super) fn keep_for_helper() -> Result<(), PrivilegeError> {
    empty_bounding()?;
    keep(&HELPER, &mut Vec::new())?;
    no_way_back()
}

/// Keeps user and capabilities, which are one process's here, and closes the ways to more.
pub(super) fn renounce(
    manages_links: bool,
    warnings: &mut Vec<Warning>,
) -> Result<(), PrivilegeError> {
    for (capability, name) in of_daemon(manages_links) {
        if !caps::has_cap(None, CapSet::Effective, *capability).unwrap_or(false) {
            warnings.push(Warning::NoCapability(name));
        }
    }
    no_way_back()
}

/// What the daemon needs: to observe links takes no CAP_NET_ADMIN.
fn of_daemon(manages_links: bool) -> &'static [(Capability, &'static str)] {
    match manages_links {
        true => &DAEMON,
        false => &DAEMON[..2],
    }
}

fn keep(
    wanted: &[(Capability, &'static str)],
    warnings: &mut Vec<Warning>,
) -> Result<(), PrivilegeError> {
    let failed = |error: caps::errors::CapsError| PrivilegeError::Step {
        step: "set the capabilities",
        source: io::Error::other(error),
    };
    let permitted = caps::read(None, CapSet::Permitted).map_err(failed)?;
    let mut kept = CapsHashSet::new();
    for (capability, name) in wanted {
        if permitted.contains(capability) {
            kept.insert(*capability);
        } else {
            warnings.push(Warning::NoCapability(name));
        }
    }
    // SAFETY: PR_CAP_AMBIENT_CLEAR_ALL takes zeros.
    check("clear the ambient capabilities", unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_CLEAR_ALL,
            0,
            0,
            0,
        )
    })?;
    let none = CapsHashSet::new();
    caps::set(None, CapSet::Inheritable, &none).map_err(failed)?;
    caps::set(None, CapSet::Effective, &none).map_err(failed)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(failed)?;
    caps::set(None, CapSet::Effective, &kept).map_err(failed)
}

/// Empties the bounding set, those capabilities included that this program has no name for.
fn empty_bounding() -> Result<(), PrivilegeError> {
    for number in 0..MAX_CAPABILITY {
        // SAFETY: PR_CAPBSET_READ and PR_CAPBSET_DROP take a number.
        let held = unsafe { libc::prctl(libc::PR_CAPBSET_READ, number, 0, 0, 0) };
        match held {
            0 => {}
            // SAFETY: as above.
            1 => check("empty the bounding set (CAP_SETPCAP is needed)", unsafe {
                libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0)
            })?,
            _ => break,
        }
    }
    Ok(())
}

fn no_way_back() -> Result<(), PrivilegeError> {
    // SAFETY: both take a number.
    check("set no_new_privs", unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    })?;
    // SAFETY: as above.
    check("become undumpable", unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0)
    })
}

fn check(what: &'static str, result: libc::c_int) -> Result<(), PrivilegeError> {
    if result == 0 {
        return Ok(());
    }
    Err(step(what)(io::Error::last_os_error()))
}

/// Whether a map of a user namespace (`inside outside count` per line) knows an id.
fn is_mapped(map: &str, id: u32) -> bool {
    let Ok(text) = std::fs::read_to_string(map) else {
        return true;
    };
    text.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        match (numbers.next(), numbers.nth(1)) {
            (Some(Ok(first)), Some(Ok(count))) => {
                (first..first.saturating_add(count)).contains(&u64::from(id))
            }
            _ => false,
        }
    })
}
