//! Is resolv.conf whole whenever linnetd is killed? The daemon itself, at a thousand moments of its life.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tests::namespace::{isolated, shell};
use tests::peer::until;

use crate::LINNETD;

/// Kills of a whole story.
const KILLS: u64 = 1000;
/// Every so many kills, the next start ends as it should, and the old file must be back.
const KILLS_PER_STOP: u64 = 20;
/// A debug build takes the file after some 10 ms of its own and 20 ms that the helper is left alone; what comes after is the way back.
const LATEST_MICROS: u64 = 60_000;
/// Which part of the moments belongs to the way back, after a SIGTERM.
const LATEST_RETURN_MICROS: u64 = 6_000;
const OLD: &str = "# mine\nnameserver 192.0.2.53\nsearch home.test\n";

#[test]
fn linnetd_killed_at_a_thousand_moments_leaves_a_whole_file() {
    const NAME: &str = "kill::linnetd_killed_at_a_thousand_moments_leaves_a_whole_file";
    isolated(NAME, || {
        let dir = Path::new("/run/story");
        fs::create_dir_all(dir.join("etc")).unwrap();
        fs::create_dir(dir.join("there")).unwrap();
        fs::write(
            dir.join("etc/linnet.toml"),
            "[resolver]\nresolv-conf = \"stub\"\nsearch = [\"corp.test\"]\n",
        )
        .unwrap();
        let path = dir.join("there/resolv.conf");
        fs::write(&path, OLD).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        shell(&format!("touch -d @1000000000 {}", path.display()));
        let mut moments = Moments(0x2545_f491_4f6c_dd1d);
        let (mut old, mut taken) = (0, 0);
        for kill in 0..KILLS {
            let mut daemon = start(dir, &path);
            thread::sleep(Duration::from_micros(moments.below(LATEST_MICROS)));
            if kill % 3 == 0 {
                send(daemon.id(), libc::SIGTERM);
                thread::sleep(Duration::from_micros(moments.below(LATEST_RETURN_MICROS)));
            }
            // The helper gives the file back when the daemon dies: every other time it is killed in the middle of that.
            let helpers = children(daemon.id());
            send(daemon.id(), libc::SIGKILL);
            if kill % 2 == 0 {
                thread::sleep(Duration::from_micros(moments.below(1_500)));
                for helper in &helpers {
                    send(*helper, libc::SIGKILL);
                }
            }
            daemon.wait().unwrap();
            until("the helper has ended", || {
                helpers.iter().all(|helper| {
                    !Path::new(&format!("/proc/{helper}/ns")).exists() || is_dead(*helper)
                })
            });
            let text = fs::read_to_string(&path).unwrap();
            if text == OLD {
                old += 1;
            } else {
                assert!(
                    text.starts_with("# Written by linnet")
                        && text.contains("\nnameserver 127.0.0.53\n")
                        && text.ends_with("search corp.test\n"),
                    "kill {kill}: {text:?}"
                );
                taken += 1;
            }
            if kill % KILLS_PER_STOP == 0 {
                stops_cleanly(dir, &path);
            }
        }
        stops_cleanly(dir, &path);
        assert!(old > 50 && taken > 50, "{old} old, {taken} taken");
    });
}

fn start(dir: &Path, path: &Path) -> Child {
    let place = |name: &str| dir.join(name).into_os_string();
    Command::new(LINNETD)
        .args(["--log", "off", "--config-dir"])
        .arg(place("etc"))
        .arg("--runtime-dir")
        .arg(place("run"))
        .arg("--state-dir")
        .arg(place("state"))
        .arg("--resolv-conf")
        .arg(path)
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

/// Starts linnetd once more, waits until it has the file, ends it, and expects what was there before everything.
fn stops_cleanly(dir: &Path, path: &Path) {
    // A killed one leaves its socket, and maybe the file taken: neither says that this one listens to signals.
    drop(fs::remove_file(dir.join("run/control")));
    let mut daemon = start(dir, path);
    until("the file is taken", || {
        dir.join("run/control").exists()
            && fs::read_to_string(path).is_ok_and(|text| text.contains("127.0.0.53"))
    });
    send(daemon.id(), libc::SIGTERM);
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
    assert_eq!(fs::read_to_string(path).unwrap(), OLD);
    let metadata = fs::metadata(path).unwrap();
    assert_eq!(
        (metadata.mode() & 0o7777, metadata.mtime()),
        (0o640, 1_000_000_000)
    );
    let left: Vec<_> = fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["resolv.conf"], "nothing lies beside it");
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

/// Whether a process of this namespace has ended and only waits to be reaped.
fn is_dead(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ")
        .next()
        .is_none_or(|rest| !rest.starts_with(['R', 'S', 'D', 'T']))
}

fn send(pid: u32, signal: i32) {
    let pid = i32::try_from(pid).unwrap();
    // SAFETY: kill takes numbers; the process is a child of this test, or its helper, in this test's own namespace.
    unsafe { libc::kill(pid, signal) };
}

/// Moments that are the same in every run.
struct Moments(u64);

impl Moments {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
