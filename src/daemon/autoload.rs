//! Have files of the configuration changed? Followed only where `autoload` says so; otherwise nobody looks at them between two reloads.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use linnet::config_dirs;
use resolver_io::file_events::{EventMask, FileEvents, WatchMask};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::input::Input;

/// How long files must rest before they are read: an editor writes one in several steps, a person several files.
const REST: Duration = Duration::from_millis(200);
/// How long files that never rest go unread.
const MAX_UNREST: Duration = Duration::from_secs(2);

/// Follows the directories of the configuration, or does not.
#[derive(Debug)]
pub(crate) struct Autoload {
    directories: Vec<PathBuf>,
    inputs: mpsc::Sender<Input>,
    task: Option<JoinHandle<()>>,
}

impl Autoload {
    /// Makes one that follows nothing.
    pub(crate) fn new(config_dir: Option<&Path>, inputs: mpsc::Sender<Input>) -> Self {
        let directories = config_dirs::directories(config_dir);
        Self {
            directories: directories.into_iter().map(|(_, path)| path).collect(),
            inputs,
            task: None,
        }
    }

    /// Follows the files from now on, or lets them be.
    pub(crate) fn switch(&mut self, on: bool) {
        match (on, &self.task) {
            (true, None) => {
                let follow = follow(self.directories.clone(), self.inputs.clone());
                self.task = Some(tokio::spawn(follow));
            }
            (false, Some(task)) => {
                task.abort();
                self.task = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
    }
}

impl Drop for Autoload {
    fn drop(&mut self) {
        self.switch(false);
    }
}

async fn follow(directories: Vec<PathBuf>, inputs: mpsc::Sender<Input>) {
    let mut watch = match Watch::open(&directories) {
        Ok(watch) => watch,
        Err(error) => {
            tracing::error!(%error, "files of the configuration cannot be followed: linnet config reload has them read");
            return;
        }
    };
    loop {
        watch.stirred().await;
        // Directories may have come. What changes from here on is an event again, and what changed before is read now.
        match Watch::open(&directories) {
            Ok(anew) => watch = anew,
            Err(error) => {
                tracing::error!(%error, "files of the configuration are not followed any more");
                return;
            }
        }
        if inputs.send(Input::ConfigChanged).await.is_err() {
            return;
        }
    }
}

/// What is watched.
#[derive(Debug)]
struct Watch {
    events: FileEvents,
}

impl Watch {
    /// Watches each directory that is there, and the closest one above each that is not.
    fn open(directories: &[PathBuf]) -> io::Result<Self> {
        const CHANGES: WatchMask = WatchMask::CLOSE_WRITE
            .union(WatchMask::CREATE)
            .union(WatchMask::MOVE)
            .union(WatchMask::DELETE)
            .union(WatchMask::DELETE_SELF)
            .union(WatchMask::MOVE_SELF)
            .union(WatchMask::ATTRIB)
            .union(WatchMask::ONLYDIR);
        let events = FileEvents::new()?;
        let all = directories.iter().flat_map(|directory| {
            [
                directory.clone(),
                directory.join("conf.d"),
                directory.join("profiles"),
            ]
        });
        for directory in all {
            let mut there = directory.ancestors();
            let mut added = Err(io::ErrorKind::NotFound.into());
            while let Some(at) = there.next().filter(|_| added.is_err()) {
                added = events.add(at, CHANGES).map(drop);
                if let Err(error) = &added
                    && error.kind() != io::ErrorKind::NotFound
                {
                    break;
                }
            }
            added?;
        }
        Ok(Self { events })
    }

    /// Waits until something happened to a file, and all rest.
    async fn stirred(&mut self) {
        loop {
            self.events.readable().await;
            if self.drain() {
                break;
            }
        }
        let latest = Instant::now() + MAX_UNREST;
        let mut rests_at = Instant::now() + REST;
        while timeout_at(rests_at.min(latest), self.events.readable())
            .await
            .is_ok()
        {
            if self.drain() {
                rests_at = Instant::now() + REST;
            }
        }
    }

    /// Takes all events; returns whether any matters.
    fn drain(&mut self) -> bool {
        let mut matters = false;
        self.events.drain(|event| {
            let is_whole = event.name.is_none()
                || event.mask.contains(EventMask::Q_OVERFLOW)
                || event.mask.contains(EventMask::ISDIR);
            matters |= is_whole || event.name.is_some_and(is_read);
        });
        matters
    }
}

/// Whether a file of this name could be read: editors leave others beside.
fn is_read(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.ends_with(".toml") && !name.starts_with('.')
}
