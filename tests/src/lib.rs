//! What do the suites share? Where things are, and how a test says that it cannot run.

pub mod dnsmasq;
pub mod exposition;
pub mod faults;
pub mod fuzz;
pub mod lab;
pub mod machine;
pub mod namespace;
pub mod office;
pub mod oracle;
pub mod peer;
pub mod radvd;

use std::path::{Path, PathBuf};

/// Returns the project's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the root")
        .to_owned()
}

/// Returns the folder of test data beside the project, when it is there.
pub fn shared() -> Option<PathBuf> {
    let path = root().parent()?.join("shared");
    path.is_dir().then_some(path)
}

/// Says that a test cannot run here, in the form that `tests/run` counts.
#[expect(clippy::print_stdout, reason = "the runner reads it")]
pub fn skip(test: &str, reason: &str) {
    println!("SKIP {test}: {reason}");
}

/// Prints a line for whoever watches: what a test measured.
#[expect(clippy::print_stdout, reason = "it is shown with --nocapture only")]
pub fn say(text: &str) {
    println!("{text}");
}
