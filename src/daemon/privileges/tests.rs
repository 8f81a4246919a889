//! What is left of root, in the daemon and in the helper?

#![expect(clippy::disallowed_methods, reason = "tests read and write files")]

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use config::Config;
use config::model::ResolvConfMode;
use nix::sys::signal::kill;
use nix::sys::wait::{WaitStatus, waitpid};
use resolver_io::resolv_conf::{Insist, State};

use super::*;
use crate::helper::HelperReply;
use crate::kernel_clock::synchronised;

const OLD: &str = "nameserver 192.0.2.53\n";
/// CAP_NET_BIND_SERVICE and CAP_NET_RAW; CAP_NET_ADMIN only where links are written to.
const DAEMON_BITS: u64 = 1 << 10 | 1 << 13;
/// CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER.
const HELPER_BITS: u64 = 1 | 1 << 1 | 1 << 3;
/// How long the helper may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// The stub is wanted when a file says so; enough to tell the helper's own copy from the daemon's.
fn understand(texts: Vec<ConfigText>) -> Config {
    let mut config = Config::default();
    let stub = |text: &ConfigText| matches!(&text.text, Ok(text) if text.contains("\"stub\""));
    if texts.iter().any(stub) {
        config.resolver.resolv_conf = ResolvConfMode::Stub;
    }
    config
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // The daemon's user must be able to reach its directories.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("resolv.conf"), OLD).unwrap();
        let config_path = dir.path().join("etc/linnet.toml");
        std::fs::write(&config_path, config).unwrap();
        let root_only = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(config_path, root_only).unwrap();
        Self { dir }
    }

    fn options(&self) -> Options {
        let at = |name: &str| self.dir.path().join(name);
        Options {
            user: None,
            runtime_dir: at("run"),
            paths: Paths {
                config_dir: Some(at("etc")),
                state_dir: at("state"),
                resolv_conf: at("resolv.conf"),
            },
            manages_links: false,
        }
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("resolv.conf")).unwrap()
    }
}

/// A forked daemon that has started; it obeys one octet at a time.
struct Daemon {
    pid: Pid,
    line: UnixStream,
    helper: Option<u32>,
}

/// Forks, starts for real, and lives `life` inside; `life` sees the started daemon and the line to the test.
fn daemon(options: &Options, life: fn(Started, &mut UnixStream)) -> Daemon {
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    // SAFETY: the child uses what is its own and ends by _exit.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            drop(ours);
            let lived = std::panic::catch_unwind(move || {
                let started = start(options, understand, Bound::default()).unwrap();
                let helper = started.helper.map_or(0, |pid| pid.as_raw().cast_unsigned());
                theirs.write_all(&helper.to_ne_bytes()).unwrap();
                life(started, &mut theirs);
            });
            // SAFETY: _exit has no preconditions.
            unsafe { libc::_exit(i32::from(lived.is_err())) }
        }
        ForkResult::Parent { child } => {
            drop(theirs);
            ours.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut helper = [0; 4];
            ours.read_exact(&mut helper).expect("the daemon starts");
            let helper = u32::from_ne_bytes(helper);
            Daemon {
                pid: child,
                line: ours,
                helper: (helper != 0).then_some(helper),
            }
        }
    }
}

impl Daemon {
    fn wait_for_octet(&mut self) {
        let mut octet = [0];
        self.line.read_exact(&mut octet).expect("the daemon lives");
    }

    fn end(mut self) -> WaitStatus {
        drop(self.line.write_all(&[0]));
        waitpid(self.pid, None).unwrap()
    }
}

fn field(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let words: Vec<&str> = line.unwrap_or("missing").split_whitespace().collect();
    words.join(" ")
}

fn threads(pid: u32) -> Vec<String> {
    std::fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap())
        .collect()
}

fn check(status: &str, capabilities: u64) {
    assert_eq!(
        field(status, "CapEff:"),
        format!("{capabilities:016x}"),
        "{status}"
    );
    assert_eq!(
        field(status, "CapPrm:"),
        format!("{capabilities:016x}"),
        "{status}"
    );
    for set in ["CapInh:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(status, set), format!("{:016x}", 0), "{set} {status}");
    }
    assert_eq!(field(status, "NoNewPrivs:"), "1", "{status}");
    assert_eq!(field(status, "Seccomp:"), "2", "{status}");
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let step = Duration::from_millis(5);
    let mut waited = Duration::ZERO;
    while !holds() {
        assert!(waited < PATIENCE, "{what}");
        std::thread::sleep(step);
        waited += step;
    }
}

fn can_become_others(test: &str) -> bool {
    let can = Uid::effective().is_root()
        && capabilities::can_become(Uid::from_raw(65_534), Gid::from_raw(65_534));
    if !can {
        skip(test, "not root");
    }
    can
}

#[expect(clippy::print_stdout, reason = "the runner reads it")]
fn skip(test: &str, reason: &str) {
    println!("SKIP {test}: {reason}");
}

/// Starts a thread after the drop, tells the test, and waits to be let go.
fn wait_with_a_thread(started: Started, line: &mut UnixStream) {
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || stopped.recv().is_ok());
    line.write_all(&[1]).unwrap();
    let mut octet = [0];
    drop(line.read(&mut octet));
    drop(stop);
    thread.join().unwrap();
    drop(started);
}

#[test]
fn every_thread_of_both_holds_what_it_needs_and_no_more() {
    if !can_become_others("privileges::tests::every_thread_of_both_holds_what_it_needs_and_no_more")
    {
        return;
    }
    for manages_links in [false, true] {
        each_holds_what_it_needs(manages_links);
    }
}

fn each_holds_what_it_needs(manages_links: bool) {
    let place = Place::new("");
    let options = Options {
        manages_links,
        ..place.options()
    };
    let mut daemon = daemon(&options, wait_with_a_thread);
    daemon.wait_for_octet();
    let tasks = threads(daemon.pid.as_raw().cast_unsigned());
    assert_eq!(tasks.len(), 2);
    for status in &tasks {
        check(status, DAEMON_BITS | u64::from(manages_links) << 12);
        for ids in ["Uid:", "Gid:"] {
            let ids = field(status, ids);
            assert!(!ids.split(' ').any(|id| id == "0"), "{status}");
        }
        assert_eq!(field(status, "Groups:"), "", "{status}");
    }
    let helper = daemon.helper.expect("root has a helper");
    let name = || std::fs::read_to_string(format!("/proc/{helper}/comm")).unwrap();
    until("the helper is confined", || {
        field(&threads(helper)[0], "Seccomp_filters:") != "0" && name() == "linnetd-helper\n"
    });
    until("all its filters are in force", || {
        field(&threads(helper)[0], "Seccomp_filters:") == field(&tasks[0], "Seccomp_filters:")
    });
    let tasks = threads(helper);
    assert_eq!(tasks.len(), 1);
    check(&tasks[0], HELPER_BITS);
    assert_eq!(field(&tasks[0], "Uid:"), "0 0 0 0");
    let owner = |path: &Path| {
        let metadata = std::fs::metadata(path).unwrap();
        (metadata.uid() == 0, metadata.mode() & 0o7777)
    };
    assert_eq!(owner(&options.paths.state_dir), (false, 0o700));
    assert_eq!(owner(&options.paths.journal_dir()), (true, 0o700));
    assert_eq!(owner(&options.runtime_dir), (false, 0o755));
    assert_eq!(
        daemon.end(),
        WaitStatus::Exited(daemon_pid(&tasks, helper), 0)
    );
}

/// The helper's parent is the daemon.
fn daemon_pid(tasks: &[String], _helper: u32) -> Pid {
    Pid::from_raw(field(&tasks[0], "PPid:").parse().unwrap())
}

#[test]
fn what_is_denied_fails_and_what_is_needed_works() {
    if !can_become_others("privileges::tests::what_is_denied_fails_and_what_is_needed_works") {
        return;
    }
    let place = Place::new("");
    let daemon = daemon(&place.options(), |started, _| {
        let denied = |result: libc::c_long| {
            result == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
        };
        // SAFETY: every call is denied before it looks at its arguments.
        unsafe {
            assert!(denied(libc::syscall(libc::SYS_unshare, libc::CLONE_NEWNET)));
            assert!(denied(libc::syscall(libc::SYS_ptrace, 0, 0, 0, 0)));
            assert!(denied(libc::syscall(libc::SYS_execve, 0, 0, 0)));
            assert!(denied(libc::syscall(libc::SYS_setresuid, 0, 0, 0)));
            assert!(denied(libc::syscall(libc::SYS_io_uring_setup, 1, 0)));
            assert!(denied(libc::syscall(libc::SYS_bpf, 0, 0, 0)));
            assert!(denied(libc::syscall(libc::SYS_clock_adjtime, 0, 0)));
            let namespace = libc::CLONE_NEWUSER | libc::SIGCHLD;
            assert!(denied(libc::syscall(
                libc::SYS_clone,
                namespace,
                0,
                0,
                0,
                0
            )));
        }
        let program = std::process::Command::new("/bin/true").spawn();
        assert!(program.is_err());
        std::thread::spawn(|| ()).join().unwrap();
        std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        drop(started);
    });
    let pid = daemon.pid;
    assert_eq!(daemon.end(), WaitStatus::Exited(pid, 0));
}

#[test]
fn the_daemon_may_still_ask_whether_the_clock_is_synchronised() {
    let test = "privileges::tests::the_daemon_may_still_ask_whether_the_clock_is_synchronised";
    if !can_become_others(test) {
        return;
    }
    if synchronised().is_err() {
        skip(test, "the system denies it to everybody");
        return;
    }
    let place = Place::new("");
    let daemon = daemon(&place.options(), |started, _| {
        synchronised().unwrap();
        drop(started);
    });
    let pid = daemon.pid;
    assert_eq!(daemon.end(), WaitStatus::Exited(pid, 0));
}

/// Runs `story` with a keeper, on a runtime as the daemon's.
fn with_keeper<F: Future<Output = ()>>(started: Started, story: impl FnOnce(Keeper) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { story(started.keeper.keeper().unwrap()).await });
}

async fn take(keeper: &mut Keeper) -> Result<State, crate::helper::KeeperError> {
    let stub = vec!["127.0.0.53".parse().unwrap()];
    let search = vec!["corp.test".parse().unwrap()];
    let report = keeper
        .take_resolv_conf(ResolvConfMode::Stub, stub, search, Insist::Yes)
        .await?;
    Ok(report.state)
}

#[test]
fn the_helper_takes_gives_back_and_reads_what_the_daemon_may_not() {
    if !can_become_others(
        "privileges::tests::the_helper_takes_gives_back_and_reads_what_the_daemon_may_not",
    ) {
        return;
    }
    let place = Place::new("resolv-conf = \"stub\"");
    let mut daemon = daemon(&place.options(), |started, line| {
        with_keeper(started, async |mut keeper| {
            let texts = keeper.read_config().await.unwrap();
            assert!(matches!(&texts[..], [text] if text.text.is_ok()));
            assert!(
                std::fs::read_to_string(&texts[0].path).is_err(),
                "root-only"
            );
            assert_eq!(take(&mut keeper).await.unwrap(), State::Ours);
            let foreign = vec!["198.51.100.1".parse().unwrap()];
            let refused = keeper
                .take_resolv_conf(ResolvConfMode::Stub, foreign, Vec::new(), Insist::Yes)
                .await;
            assert!(matches!(
                refused,
                Err(crate::helper::KeeperError::Refused(_))
            ));
            line.write_all(&[1]).unwrap();
            let mut octet = [0];
            drop(line.read(&mut octet));
            keeper.quit().await.unwrap();
        });
    });
    daemon.wait_for_octet();
    let text = place.text();
    assert!(text.contains("nameserver 127.0.0.53\n") && text.contains("search corp.test\n"));
    let pid = daemon.pid;
    assert_eq!(daemon.end(), WaitStatus::Exited(pid, 0));
    assert_eq!(place.text(), OLD);
}

#[test]
fn a_daemon_that_is_killed_leaves_the_old_resolv_conf() {
    if !can_become_others("privileges::tests::a_daemon_that_is_killed_leaves_the_old_resolv_conf") {
        return;
    }
    let place = Place::new("resolv-conf = \"stub\"");
    let mut daemon = daemon(&place.options(), |started, line| {
        with_keeper(started, async |mut keeper| {
            take(&mut keeper).await.unwrap();
            line.write_all(&[1]).unwrap();
            std::future::pending::<()>().await;
        });
    });
    daemon.wait_for_octet();
    assert_ne!(place.text(), OLD);
    // What a service manager sends to all processes does not end the helper early.
    let helper = Pid::from_raw(daemon.helper.unwrap().cast_signed());
    kill(helper, Signal::SIGTERM).unwrap();
    assert_ne!(place.text(), OLD);
    kill(daemon.pid, Signal::SIGKILL).unwrap();
    waitpid(daemon.pid, None).unwrap();
    until("it is given back", || place.text() == OLD);
}

#[test]
fn the_helper_refuses_what_its_own_copy_does_not_say() {
    let place = Place::new("resolv-conf = \"unmanaged\"");
    let paths = place.options().paths;
    let mut custody = Custody::new(paths, Believe::Everything, understand);
    let reply = custody.handle_request(crate::helper::HelperRequest::TakeResolvConf {
        mode: ResolvConfMode::Stub,
        nameservers: vec!["127.0.0.53".parse().unwrap()],
        search: Vec::new(),
        insist: Insist::Yes,
    });
    assert!(matches!(reply, HelperReply::Refused(_)), "{reply:?}");
    assert_eq!(place.text(), OLD);
    assert!(!place.options().paths.journal_dir().exists());
}

#[test]
fn a_directory_in_use_is_not_given_away() {
    if !can_become_others("privileges::tests::a_directory_in_use_is_not_given_away") {
        return;
    }
    let place = Place::new("");
    let mut options = place.options();
    options.paths.state_dir = place.dir.path().to_owned();
    let owner = Some((Uid::from_raw(65_534), Gid::from_raw(65_534)));
    assert!(matches!(
        directories::make(&options, owner),
        Err(DirectoryError::InUse { .. })
    ));
    assert_eq!(std::fs::metadata(place.dir.path()).unwrap().uid(), 0);
}
