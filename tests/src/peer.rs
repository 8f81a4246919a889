//! How do other people's programs run in a test? As children that end with it, in the namespace that it names.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::machine::is_in_machine;

/// How long a peer may take until it answers.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How many times slower a virtual machine is, beside others that run at the same time.
const MACHINE: u32 = 6;

/// A program that runs until it is dropped.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    log: PathBuf,
}

/// Lines of a log that a failed story shows.
const SHOWN_LINES: usize = 60;

impl Peer {
    /// Starts a program, in a network namespace when one is named; what it prints goes to `DIR/NAME.log`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(dir: &Path, name: &str, namespace: Option<&str>, command: &[&str]) -> Self {
        let log = dir.join(format!("{name}.log"));
        let out = fs::File::create(&log).expect("the test's folder is writable");
        let mut line: Vec<&str> = match namespace {
            Some(namespace) => vec!["ip", "netns", "exec", namespace],
            None => Vec::new(),
        };
        line.extend(command);
        let child = Command::new(line[0])
            .args(&line[1..])
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a file can be shared"))
            .stderr(out)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, log }
    }

    /// Returns its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns what it has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.child.id()).expect("a pid fits");
        // SAFETY: kill on a child that has not been waited for: the pid is still its own.
        unsafe { libc::kill(pid, signal) };
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Waits until it ends by itself, and returns its exit code.
    ///
    /// # Panics
    /// When it does not end in [`PATIENCE`].
    pub fn wait(&mut self) -> Option<i32> {
        let mut code = None;
        until("the program ends", || match self.child.try_wait() {
            Ok(Some(status)) => {
                code = status.code();
                true
            }
            Ok(None) | Err(_) => false,
        });
        code
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _waited = self.child.wait();
        if thread::panicking() {
            let _shown = writeln!(
                std::io::stderr(),
                "--- {}\n{}",
                self.log.display(),
                last_lines(&self.log())
            );
        }
    }
}

/// Waits until a condition holds.
///
/// # Panics
/// When it does not in [`PATIENCE`], or many times that in a virtual machine.
pub fn until(what: &str, holds: impl FnMut() -> bool) {
    let slower = if is_in_machine() { MACHINE } else { 1 };
    until_within(PATIENCE * slower, what, holds);
}

/// Waits until a condition holds, as long as is said.
///
/// # Panics
/// When it does not hold by then.
pub fn until_within(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(
            begun.elapsed() < patience,
            "after {patience:?} still not: {what}"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

/// Counts what passes a link: an AF_PACKET tap, the witness for leaks.
#[derive(Debug)]
pub struct Tap {
    capture: Child,
    file: PathBuf,
}

impl Tap {
    /// Starts to listen on a link of this namespace.
    ///
    /// # Panics
    /// When tcpdump cannot be started.
    pub fn start(dir: &Path, link: &str) -> Self {
        let file = dir.join(format!("{link}.pcap"));
        let mut capture = Command::new("tcpdump")
            .args([
                "-i",
                link,
                "-U",
                "-s",
                "0",
                "-n",
                "--immediate-mode",
                "-Z",
                "root",
                "-w",
            ])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tcpdump is installed by tests/setup");
        let mut words = [0; 64];
        // Its first words say that it listens.
        let heard = capture
            .stderr
            .as_mut()
            .expect("it is piped")
            .read(&mut words)
            .unwrap_or(0);
        assert!(heard > 0, "tcpdump does not listen on {link}");
        Self { capture, file }
    }

    /// Stops, and returns every packet in one row of bytes, letters in lower case.
    pub fn stop(mut self) -> Vec<u8> {
        // What has passed lies in the kernel's ring for a moment, and is lost with the program.
        thread::sleep(Duration::from_millis(200));
        let pid = i32::try_from(self.capture.id()).expect("a pid fits");
        // SAFETY: kill on a child that has not been waited for: the pid is still its own.
        unsafe { libc::kill(pid, libc::SIGTERM) };
        let _waited = self.capture.wait();
        fs::read(&self.file)
            .unwrap_or_default()
            .to_ascii_lowercase()
    }
}

/// Counts how often a name's labels occur in captured bytes, in wire form.
pub fn occurrences(packets: &[u8], name: &str) -> usize {
    let mut wire = Vec::new();
    for label in name.split('.') {
        wire.push(u8::try_from(label.len()).expect("a label is short"));
        wire.extend(label.to_ascii_lowercase().into_bytes());
    }
    packets
        .windows(wire.len())
        // However it is spelled (`resolver` does so at random); no length looks like a letter.
        .filter(|window| window.eq_ignore_ascii_case(&wire))
        .count()
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}
