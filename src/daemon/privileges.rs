//! Who is linnetd, and what may it do? [`start`], to be called before the first thread and before anything but the stub's sockets is opened.
//!
//! ```text
//! root: sockets -> directories -> fork -> daemon: user, two or three capabilities, nothing to regain, seccomp
//!                                     \-> witness -> helper: root, three capabilities, nothing to regain, seccomp, no sockets
//! else: nothing to regain, seccomp; one process serves its own requests
//! ```

mod account;
mod capabilities;
mod directories;
mod seccomp;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;

use linnet::config_dirs::{Believe, ConfigText};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{ForkResult, Gid, Pid, Uid, fchown, fork};
use resolver_io::Bound;
use resolver_io::resolv_conf::Witness;

use account::Account;

use crate::helper::{Custody, HelperClient, Keeper, Paths, Understand, serve};
use crate::memory;

pub(crate) use directories::DirectoryError;

/// The user that linnetd becomes when `--user` is not given.
pub(crate) const DEFAULT_USER: &str = "linnet";
/// The user that it becomes when there is no [`DEFAULT_USER`].
const FALLBACK_USER: &str = "nobody";
/// The signals that a service manager or a terminal sends to the whole group: they are the daemon's to handle, and the
/// helper ends when the daemon has.
const NOT_FOR_HELPER: [Signal; 7] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGQUIT,
    Signal::SIGPIPE,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// How long the helper waits for the daemon's first request before it prepares for it, in milliseconds.
const HELPER_PATIENCE: libc::c_int = 50;

/// What the command line says.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// `--user`.
    pub(crate) user: Option<String>,
    /// `--runtime-dir`.
    pub(crate) runtime_dir: PathBuf,
    /// Where configuration, state and resolv.conf are.
    pub(crate) paths: Paths,
    /// Whether linnetd writes to links at all.
    pub(crate) manages_links: bool,
}

/// linnetd as it will be until it ends.
#[derive(Debug)]
pub(crate) struct Started {
    /// Serves what needs root; make it a [`Keeper`] inside the runtime.
    pub(crate) keeper: KeeperSeed,
    /// The helper's process; it is reaped by waiting for this id.
    pub(crate) helper: Option<Pid>,
    /// The files of the configuration, root-only ones too.
    pub(crate) texts: Vec<ConfigText>,
    /// The stub's sockets, which are the daemon's alone.
    pub(crate) bound: Bound,
    /// What an administrator should know.
    pub(crate) warnings: Vec<Warning>,
}

/// A [`Keeper`] before there is a runtime.
#[derive(Debug)]
pub(crate) enum KeeperSeed {
    /// The daemon's end of the socket pair.
    Helper(OwnedFd),
    /// No helper.
    Here(Box<Custody>),
}

/// What an administrator should know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Warning {
    /// The user is missing.
    #[error(
        "there is no user {DEFAULT_USER}; linnetd runs as {FALLBACK_USER}: add the user (systemd-sysusers)"
    )]
    NoUser,
    /// A capability is missing.
    #[error("linnetd was started without the capability {0}")]
    NoCapability(&'static str),
    /// `--user root`.
    #[error("linnetd keeps running as root, as it was told")]
    StaysRoot,
}

/// Why linnetd does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrivilegeError {
    /// `--user` names nobody.
    #[error("there is no user {0}: add it, or name another with --user")]
    UnknownUser(String),
    /// A directory cannot be had.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A step of the way down failed.
    #[error("cannot {step}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A filter was refused.
    #[error("cannot install the seccomp filter")]
    Seccomp(#[from] seccomp::SeccompError),
}

/// Makes the directories, forks the helper, and gives up everything else.
///
/// As root this becomes [`DEFAULT_USER`] (or `--user`). Without root, or where no other user exists (a user namespace with
/// one id), nothing is forked and the user stays. The sockets come to belong to that user, and the helper has none of them.
///
/// # Errors
/// [`PrivilegeError`]; linnetd must end then.
pub(crate) fn start(
    options: &Options,
    understand: Understand,
    bound: Bound,
) -> Result<Started, PrivilegeError> {
    let mut warnings = Vec::new();
    let becomes = becomes(options.user.as_deref(), &mut warnings)?;
    let Some(user) = becomes else {
        directories::make(options, None)?;
        capabilities::renounce(options.manages_links, &mut warnings)?;
        seccomp::confine(seccomp::Role::Alone)?;
        let custody = Custody::new(options.paths.clone(), Believe::Everything, understand);
        return Ok(Started {
            texts: custody.texts(),
            keeper: KeeperSeed::Here(Box::new(custody)),
            helper: None,
            bound,
            warnings,
        });
    };
    directories::make(options, Some((user.uid, user.gid)))?;
    let (daemon_end, helper_end) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .map_err(step("make a socket pair"))?;
    // SAFETY: there is one thread, as the caller promises.
    let forked = unsafe { fork() }.map_err(step("fork the root helper"))?;
    let helper = match forked {
        ForkResult::Child => {
            drop(daemon_end);
            drop(bound);
            let code = match be_helper(options, understand, &helper_end) {
                Ok(()) => 0,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "no root helper");
                    1
                }
            };
            // SAFETY: _exit has no preconditions; the daemon's exit handlers are not for this process.
            unsafe { libc::_exit(code) }
        }
        ForkResult::Parent { child } => child,
    };
    drop(helper_end);
    // What the helper would read, without the way from one process to the other. Where the texts are now, the plan will be.
    let root = Believe::Only(Uid::effective().as_raw());
    memory::gather();
    let texts = Custody::new(options.paths.clone(), root, understand).texts();
    memory::scatter();
    // Sockets of one user share a port, as the stub and a listener at all addresses do.
    for socket in bound.descriptors() {
        fchown(socket, Some(user.uid), Some(user.gid)).map_err(step("give the sockets away"))?;
    }
    capabilities::drop_to_user(user, options.manages_links, &mut warnings)?;
    seccomp::confine(seccomp::Role::Daemon)?;
    Ok(Started {
        keeper: KeeperSeed::Helper(daemon_end),
        helper: Some(helper),
        texts,
        bound,
        warnings,
    })
}

impl KeeperSeed {
    /// Makes the keeper. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn keeper(self) -> io::Result<Keeper> {
        Ok(match self {
            Self::Helper(socket) => Keeper::Helper(HelperClient::new(socket)?),
            Self::Here(custody) => Keeper::Here(custody),
        })
    }
}

/// Finds the user to become; `None` to stay.
fn becomes(
    wanted: Option<&str>,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Account>, PrivilegeError> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let find = |name: &str| Account::find(name).map_err(step("look up the user"));
    let user = match wanted {
        Some(name) => {
            let user = find(name)?;
            user.ok_or_else(|| PrivilegeError::UnknownUser(name.to_owned()))?
        }
        None => match Account::of_machine(DEFAULT_USER) {
            Some(user) => user,
            None => match find(FALLBACK_USER)? {
                Some(user) if capabilities::can_become(user.uid, user.gid) => {
                    warnings.push(Warning::NoUser);
                    user
                }
                Some(_) => return Ok(None),
                None => return Err(PrivilegeError::UnknownUser(DEFAULT_USER.to_owned())),
            },
        },
    };
    if user.uid.is_root() {
        warnings.push(Warning::StaysRoot);
        return Ok(None);
    }
    Ok(capabilities::can_become(user.uid, user.gid).then_some(user))
}

/// The helper's life, from the fork on.
fn be_helper(
    options: &Options,
    understand: Understand,
    socket: &OwnedFd,
) -> Result<(), PrivilegeError> {
    for signal_number in NOT_FOR_HELPER {
        // SAFETY: to ignore a signal runs no code.
        unsafe { signal(signal_number, SigHandler::SigIgn) }.map_err(step("ignore a signal"))?;
    }
    wait_for_daemon(socket);
    let root = Uid::effective().as_raw();
    let mut custody = Custody::new(options.paths.clone(), Believe::Only(root), understand);
    // Only CAP_SYS_ADMIN gets a witness, and it is dropped next.
    match Witness::new() {
        Ok(witness) => custody.call_witness(witness),
        Err(error) => tracing::debug!(%error, "nobody will see who overwrites resolv.conf"),
    }
    let name = CString::new("linnetd-helper").unwrap_or_default();
    // SAFETY: PR_SET_NAME reads a string that ends in a NUL.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    capabilities::keep_for_helper()?;
    seccomp::confine(seccomp::Role::Helper)?;
    serve(custody, socket);
    Ok(())
}

/// Lets the daemon begin first, which may have one processor with us; nothing is read before all else is given up.
fn wait_for_daemon(socket: &OwnedFd) {
    let mut polled = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one pollfd. Whatever ends the wait, the next step is the same.
    unsafe { libc::poll(&raw mut polled, 1, HELPER_PATIENCE) };
}

/// Names the step that failed.
fn step<E: Into<io::Error>>(step: &'static str) -> impl Fn(E) -> PrivilegeError {
    move |source| PrivilegeError::Step {
        step,
        source: source.into(),
    }
}

/// The owner of the daemon's directories.
type Owner = (Uid, Gid);

#[cfg(test)]
mod tests;
