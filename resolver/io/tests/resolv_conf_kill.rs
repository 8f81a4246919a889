//! Does resolv.conf survive SIGKILL at any moment? A child takes, updates and gives back in a loop; it is killed a thousand times.

#![expect(clippy::unwrap_used, reason = "a test may fail at any line")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use resolver_io::resolv_conf::{GivenBack, Insist, Journal, Original, ResolvConf, State};

const LOOP: &str = "LINNET_TEST_RESOLV_CONF_LOOP";
const FIRST: &str = "# linnet\nnameserver 127.0.0.53\n";
const SECOND: &str = "# linnet\nnameserver 127.0.0.53\nsearch corp.test office.example.test\n";
const OLD: &str = "# mine\nnameserver 192.0.2.53\nsearch home.test\n";
/// Kills of each of the three kinds.
const KILLS: u64 = 334;
/// A child needs two or three milliseconds to start, and one round takes a fraction of one.
const LATEST_KILL_MICROS: u64 = 9_000;

#[test]
fn a_file_survives_every_kill() {
    survive(|path| {
        fs::write(path, OLD).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o640)).unwrap();
        // Owners can be given away by root only; the rest holds without.
        drop(chown(path, Some(1), Some(2)));
        let time = std::time::SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(time).unwrap();
    });
}

#[test]
fn a_symlink_survives_every_kill() {
    survive(|path| {
        fs::write(path.with_file_name("target.conf"), OLD).unwrap();
        symlink("target.conf", path).unwrap();
    });
}

#[test]
fn a_missing_file_survives_every_kill() {
    survive(|_| {});
}

/// The child's body; without its variable there is nothing to do.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(LOOP) else {
        return;
    };
    let (path, journal) = paths(Path::new(&dir));
    let (mut ours, _) = ResolvConf::recover(&path, journal).unwrap();
    loop {
        ours.take(FIRST, Insist::Yes).unwrap();
        ours.take(SECOND, Insist::No).unwrap();
        ours.take(FIRST, Insist::No).unwrap();
        ours.give_back().unwrap();
    }
}

fn survive(lay: impl Fn(&Path)) {
    // Memory: what matters is the order of the calls, and a disk would make a round last longer than a child lives.
    let shm = Path::new("/dev/shm");
    let dir = if shm.is_dir() {
        tempfile::tempdir_in(shm).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    };
    let (path, _) = paths(dir.path());
    fs::create_dir(path.parent().unwrap()).unwrap();
    lay(&path);
    let before = look(&path);
    let beside = names(path.parent().unwrap());
    let mut moment = Moments(0x9e37_79b9_7f4a_7c15);
    let (mut old, mut whole) = (0, 0);
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(LOOP, dir.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(moment.next()));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(9),
            "the child ends by the kill only"
        );
        let here = look(&path);
        if here == before {
            old += 1;
        } else {
            let text = fs::read_to_string(&path).unwrap();
            assert!(text == FIRST || text == SECOND, "kill {kill}: {text:?}");
            let metadata = fs::symlink_metadata(&path).unwrap();
            assert!(metadata.is_file() && metadata.permissions().mode() & 0o777 == 0o644);
            whole += 1;
        }
        // Every other time the next start takes the file again before the stop, as a restart of the daemon does.
        let (mut next, done) = ResolvConf::recover(&path, paths(dir.path()).1).unwrap();
        assert!(
            !matches!(done, GivenBack::LeftAlone { .. }),
            "kill {kill}: nobody else has written"
        );
        if kill % 2 == 0 {
            next.take(SECOND, Insist::Yes).unwrap();
            assert_eq!(next.state().unwrap(), State::Ours);
        }
        next.give_back().unwrap();
        assert_eq!(look(&path), before, "kill {kill}");
        assert_eq!(names(path.parent().unwrap()), beside, "kill {kill}");
        assert!(names(&dir.path().join("journal")).is_empty(), "kill {kill}");
    }
    assert!(old > 0 && whole > 0, "{old} old, {whole} whole");
}

fn paths(dir: &Path) -> (PathBuf, Journal) {
    (
        dir.join("etc/resolv.conf"),
        Journal::new(&dir.join("journal")),
    )
}

fn look(path: &Path) -> Original {
    Original::read(path).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "resolv.conf")
        .collect();
    names.sort();
    names
}

/// Moments spread over the child's life, in microseconds.
struct Moments(u64);

impl Moments {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % LATEST_KILL_MICROS
    }
}
