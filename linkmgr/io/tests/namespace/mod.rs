//! How does a test of this crate get a network of its own? It runs itself again inside a new namespace.

use std::io::Write as _;
use std::process::{Command, Stdio};

const INSIDE: &str = "LINNET_TEST_NAMESPACE";

/// Runs a story in a network namespace, in which the test of this name runs itself again.
pub(crate) fn in_namespace(test: &str, story: impl AsyncFnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        return runtime.unwrap().block_on(story());
    }
    // SAFETY: geteuid has no preconditions.
    let is_root = unsafe { libc::geteuid() } == 0;
    let flags = if is_root { "-n" } else { "-Urn" };
    let probe = Command::new("unshare")
        .args([flags, "ip", "link", "set", "lo", "up"])
        .stdin(Stdio::null())
        .output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        let _shown = writeln!(std::io::stderr(), "SKIP {test}: no namespaces here");
        return;
    }
    let output = Command::new("unshare")
        .arg(flags)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
