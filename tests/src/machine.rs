//! How does a test run on a kernel that has what this machine's lacks? It runs itself again in a virtual machine with Debian's.
//!
//! The machine's root is this one's, read-only beneath what it writes, so that the test's own file is there at the same path.
//! Code in it runs many times slower: a story does much in one boot, and measures nothing.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::{shared, skip};

const INSIDE: &str = "LINNET_TEST_INSIDE_MACHINE";
/// How long a story may take, in seconds.
const PATIENCE: &str = "540";

/// Runs `story` as root of a virtual machine; call it as the whole body of `test`, whose full name is `name`. Modules of the
/// kernel that are to be there first are named.
///
/// # Panics
/// When the story does.
pub fn in_machine(name: &str, modules: &[&str], story: impl FnOnce()) {
    run(name, modules, &[], story);
}

/// Runs `story` in a virtual machine as [`in_machine`] does, which has more devices: QEMU's arguments say which.
///
/// # Panics
/// When the story does.
pub fn in_machine_with(name: &str, modules: &[&str], devices: &str, story: impl FnOnce()) {
    run(name, modules, &[&format!("--qemu={devices}")], story);
}

/// Runs `story` in a virtual machine as [`in_machine`] does, with systemd as its first process.
///
/// # Panics
/// When the story does.
pub fn in_booted_machine(name: &str, modules: &[&str], story: impl FnOnce()) {
    run(name, modules, &["--systemd"], story);
}

fn run(name: &str, modules: &[&str], how: &[&str], story: impl FnOnce()) {
    if env::var(INSIDE).as_deref() == Ok(name) {
        story();
        return;
    }
    let Some(runner) = runner() else {
        return skip(name, "../shared/vm/vmrun is not there");
    };
    let ready = Command::new(&runner).arg("--setup").output();
    match ready {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr);
            return skip(name, &format!("no virtual machine: {}", why.trim()));
        }
        Err(error) => return skip(name, &format!("vmrun cannot be run: {error}")),
    }
    let status = Command::new(&runner)
        .args(how)
        .args(["--timeout", PATIENCE, "--modprobe", &modules.join(",")])
        .args([
            "--env",
            &format!("{INSIDE}={name}"),
            "--env",
            "RUST_BACKTRACE=1",
        ])
        .arg("--")
        .arg(env::current_exe().expect("a test knows its own file"))
        .args(["--exact", name, "--nocapture"])
        .status()
        .expect("vmrun has just worked");
    assert!(status.success(), "{name} failed in its machine: {status}");
}

/// Whether this is inside of one.
pub fn is_in_machine() -> bool {
    env::var_os(INSIDE).is_some()
}

fn runner() -> Option<PathBuf> {
    let path = shared()?.join("vm/vmrun");
    path.exists().then_some(path)
}
