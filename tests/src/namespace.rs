//! How does a test get a network of its own? It runs itself again inside new namespaces.
//!
//! Inside, the test is root of private network, mount and process namespaces with a private `/run` and `/etc/resolv.conf`;
//! whatever it leaves behind dies with it, and the machine's own links are not even visible.

use std::env;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::thread::{self, JoinHandle};

use crate::skip;

const INSIDE: &str = "LINNET_TEST_INSIDE";

/// Runs `story` in namespaces of its own; call it as the whole body of `test`, whose full name is `name`.
///
/// # Panics
/// When the story does.
pub fn isolated(name: &str, story: impl FnOnce()) {
    if env::var(INSIDE).as_deref() == Ok(name) {
        prepare();
        story();
        return;
    }
    let user: &[&str] = if is_root() { &[] } else { &["--map-root-user"] };
    let probe = Command::new("unshare")
        .args(user)
        .args(["--net", "--mount", "--pid", "--fork", "true"])
        .output();
    match probe {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            return skip(
                name,
                &format!(
                    "no namespaces here: {}",
                    String::from_utf8_lossy(&output.stderr).trim()
                ),
            );
        }
        Err(error) => return skip(name, &format!("unshare cannot be run: {error}")),
    }
    let status = Command::new("unshare")
        .args(user)
        .args([
            "--net",
            "--mount",
            "--pid",
            "--ipc",
            "--uts",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ])
        .arg(env::current_exe().expect("a test knows its own file"))
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, name)
        .status()
        .expect("unshare has just worked");
    assert!(status.success(), "{name} failed inside its namespaces");
}

/// Whether the test runs as the machine's root.
pub fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Whether the test, already isolated, is root of the machine too, so that other users exist for it.
pub fn has_other_users() -> bool {
    std::fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_whitespace().nth(2) != Some("1"))
}

/// Runs something in a thread of its own inside a network namespace that `ip netns` made; programs that it starts are there too.
///
/// # Panics
/// When there is no such namespace.
pub fn inside<T: Send + 'static>(
    namespace: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let file = File::open(format!("/run/netns/{namespace}")).expect("the namespace was made");
    thread::spawn(move || {
        // SAFETY: setns with an open descriptor of a network namespace changes this thread alone.
        let entered = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
        assert_eq!(entered, 0, "the test is root of its namespaces");
        run()
    })
}

fn prepare() {
    shell(
        "mount -t tmpfs -o mode=755 tmpfs /run && mkdir -p /run/netns /run/lock /run/etc && mount --make-shared /run && \
         mount -t sysfs -o ro sysfs /sys 2>/dev/null; \
         printf '# empty\\n' >/run/etc/resolv.conf && mount --bind /run/etc/resolv.conf \"$(readlink -f /etc/resolv.conf)\"; \
         hostname sandbox; ip link set lo up",
    );
}

/// Runs a line of shell and returns its standard output.
///
/// # Panics
/// When it fails; the message has the line and its standard error.
pub fn shell(line: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", line])
        .output()
        .expect("sh is there");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{line}\nfailed: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}
