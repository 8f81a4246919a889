//! How is a small file of our own read, and replaced as a whole? For what is kept, in the daemon's own directory.
//!
//! [`write()`] waits for the disk, which takes milliseconds, or seconds on a slow one. What the daemon keeps for its own sake goes
//! through a [`Writer`], for which nobody waits; what somebody asked to be kept is on the disk when he is told so.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

/// The longest file that is read, in bytes: the journal of a hundred thousand links.
const MAX_FILE: u64 = 64 << 20;
/// Nobody else's business.
const MODE: u32 = 0o600;
/// Bytes of the writer's stack.
const STACK: usize = 64 << 10;

/// Reads a file; `None` when there is none, or none that can be read, which is logged.
pub(crate) fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    let opened = File::options().read(true).open(path);
    match opened.and_then(|file| file.take(MAX_FILE).read_to_string(&mut text)) {
        Ok(_) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::error!(%error, path = %path.display(), "cannot be read");
            None
        }
    }
}

/// Replaces a file: whoever reads it sees the old text or the new one, also after a loss of power.
///
/// # Errors
/// What the kernel says; the old file is there then.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    put(path, text)?.sync_all()?;
    fs::rename(beside(path), path)?;
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    File::options().read(true).open(directory)?.sync_all()
}

/// As [`write()`], but without waiting for the disk: what is in it may be lost with the power.
///
/// # Errors
/// What the kernel says; the old file is there then.
pub(crate) fn write_for_this_boot(path: &Path, text: &str) -> io::Result<()> {
    drop(put(path, text)?);
    fs::rename(beside(path), path)
}

fn beside(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Writes the text beside the file.
fn put(path: &Path, text: &str) -> io::Result<File> {
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(MODE)
        .open(beside(path))?;
    file.write_all(text.as_bytes())?;
    Ok(file)
}

/// Replaces files one after another, in a thread that lives as long as there are any; all are written when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    queue: Arc<Mutex<Queue>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(PathBuf, String)>,
    /// Whether a thread looks at it.
    served: bool,
}

impl Writer {
    /// Has a file replaced; of several texts for one file that wait, the last is written.
    pub(crate) fn write(&mut self, path: PathBuf, text: String) {
        {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.waiting.retain(|(other, _)| *other != path);
            queue.waiting.push_back((path, text));
            if std::mem::replace(&mut queue.served, true) {
                return;
            }
        }
        self.join();
        let queue = Arc::clone(&self.queue);
        let thread = Builder::new()
            .name("linnet-writer".to_owned())
            .stack_size(STACK)
            .spawn(move || serve(&queue));
        match thread {
            Ok(thread) => self.thread = Some(thread),
            Err(_) => serve(&self.queue),
        }
    }

    fn join(&mut self) {
        let ended = self.thread.take().map(JoinHandle::join);
        if let Some(Err(_)) = ended {
            tracing::error!("the thread that writes files has panicked");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.join();
    }
}

fn serve(queue: &Mutex<Queue>) {
    loop {
        let next = {
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            let next = queue.waiting.pop_front();
            queue.served = next.is_some();
            next
        };
        let Some((path, text)) = next else {
            return;
        };
        replace(&path, &text);
    }
}

/// As [`write()`]; what goes wrong is logged.
pub(crate) fn replace(path: &Path, text: &str) {
    if let Err(error) = write(path, text) {
        tracing::error!(%error, path = %path.display(), "cannot be kept");
    }
}

/// As [`write_for_this_boot()`]; what goes wrong is logged.
pub(crate) fn replace_for_this_boot(path: &Path, text: &str) {
    if let Err(error) = write_for_this_boot(path, text) {
        tracing::error!(%error, path = %path.display(), "cannot be kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_text_of_each_file_is_there_in_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for rounds in [1, 100] {
            let mut writer = Writer::default();
            for round in 0..rounds {
                writer.write(path("a"), format!("a {round}"));
                writer.write(path("b"), format!("b {round}"));
            }
            drop(writer);
            for name in ["a", "b"] {
                assert_eq!(read(&path(name)), Some(format!("{name} {}", rounds - 1)));
            }
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_does_not_keep_others_from_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::default();
        writer.write(dir.path().join("none/a"), "a".to_owned());
        writer.write(dir.path().join("b"), "b".to_owned());
        drop(writer);
        assert_eq!(read(&dir.path().join("b")).as_deref(), Some("b"));
    }
}
