//! What does the kernel say of files and directories? [`FileEvents`], for whoever follows some of them.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use inotify::{Event, Inotify, WatchDescriptor};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub use inotify::{EventMask, WatchMask};

/// Room for some tens of events, in bytes.
const EVENT_BUFFER: usize = 4096;

/// Watched files and directories, and the events of them (`inotify(7)`).
#[derive(Debug)]
pub struct FileEvents {
    inotify: AsyncFd<Inotify>,
}

impl FileEvents {
    /// Watches nothing yet. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// What the kernel said; `EMFILE` when `fs.inotify.max_user_instances` is used up.
    pub fn new() -> io::Result<Self> {
        let inotify = Inotify::init()?;
        // SAFETY: an inotify instance owns one descriptor from its birth to its drop.
        let inotify = unsafe { AsyncFd::register_with_interest(inotify, Interest::READABLE) }?;
        Ok(Self { inotify })
    }

    /// Watches what is at `path`; what was watched there already is watched for `mask` from now on.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn add(&self, path: &Path, mask: WatchMask) -> io::Result<WatchDescriptor> {
        self.inotify.get_ref().watches().add(path, mask)
    }

    /// Watches it no more. A watch whose file is gone has gone with it.
    pub fn remove(&self, watch: WatchDescriptor) {
        drop(self.inotify.get_ref().watches().remove(watch));
    }

    /// Waits until there are events. Cancel-safe.
    pub async fn readable(&self) {
        match self.inotify.readable().await {
            Ok(mut guard) => guard.retain_ready(),
            // The runtime is shutting down.
            Err(_) => std::future::pending().await,
        }
    }

    /// Takes all events.
    pub fn drain(&mut self, mut take: impl FnMut(&Event<&OsStr>)) {
        let mut buffer = [0; EVENT_BUFFER];
        loop {
            let taken = self.inotify.try_io_mut(Interest::READABLE, |inotify| {
                inotify
                    .read_events(&mut buffer)?
                    .for_each(|event| take(&event));
                Ok(())
            });
            if taken.is_err() {
                return;
            }
        }
    }
}
