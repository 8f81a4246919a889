//! How do lists of a million names come into the daemon beside full service? [`ListLoader`]: one task for each follows its
//! file, and a plain thread of low priority reads it when it changes.
//!
//! Lists are read one at a time, so that the memory for one is free again before the next. Decides nothing: what is read goes
//! to the event loop as [`Input::List`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use config::diagnostic::Diagnostic;
use config::model::ListConfig;
use linnet::list_files;
use resolver::local::list::List;
use resolver_io::resolv_conf::FileWatch;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::clock;
use crate::input::Input;
use crate::memory;

/// How much the reading of a list stands back behind answering.
const NICENESS: libc::c_int = 10;
/// How long a file that cannot be followed goes unread.
const UNFOLLOWED: Duration = Duration::from_secs(60);

/// What came of reading a list.
#[derive(Debug)]
pub(crate) struct ListRead {
    /// Which list.
    pub(crate) config: ListConfig,
    /// Its names, or why there are none.
    pub(crate) outcome: Result<Arc<List>, String>,
    /// What is wrong with the file.
    pub(crate) findings: Vec<Diagnostic>,
    /// How long it took.
    pub(crate) took: Duration,
}

/// Follows the files of all lists.
#[derive(Debug)]
pub(crate) struct ListLoader {
    config_dir: Option<PathBuf>,
    inputs: mpsc::Sender<Input>,
    turn: Arc<Semaphore>,
    tasks: Vec<JoinHandle<()>>,
}

impl ListLoader {
    /// Makes one that follows nothing.
    pub(crate) fn new(config_dir: Option<PathBuf>, inputs: mpsc::Sender<Input>) -> Self {
        Self {
            config_dir,
            inputs,
            turn: Arc::new(Semaphore::new(1)),
            tasks: Vec::new(),
        }
    }

    /// Follows these from now on, and reads each of them now.
    pub(crate) fn follow(&mut self, lists: Vec<ListConfig>) {
        for task in self.tasks.drain(..) {
            task.abort();
        }
        for list in lists {
            let path = list_files::path(self.config_dir.as_deref(), &list);
            let follow = follow(list, path, Arc::clone(&self.turn), self.inputs.clone());
            self.tasks.push(tokio::spawn(follow));
        }
    }
}

impl Drop for ListLoader {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn follow(
    list: ListConfig,
    path: PathBuf,
    turn: Arc<Semaphore>,
    inputs: mpsc::Sender<Input>,
) {
    let mut watch = FileWatch::new(&path).ok();
    loop {
        let Ok(permit) = turn.acquire().await else {
            return;
        };
        let (done, read) = oneshot::channel();
        let (config, file) = (list.clone(), path.clone());
        let reads = move || {
            stand_back();
            let begun = clock::now();
            let read = list_files::read(&file, &config);
            let findings = list_files::findings(&file, &read);
            let read = ListRead {
                config,
                findings: findings.into_iter().map(|(found, _)| found).collect(),
                outcome: read.map(Arc::new).map_err(|error| error.to_string()),
                took: clock::now().since(begun),
            };
            // Nobody waits when the list is not wanted any more.
            drop(done.send(read));
        };
        let thread = std::thread::Builder::new().name("linnet-lists".to_owned());
        if let Err(error) = thread.spawn(reads) {
            tracing::error!(%error, list = list.name, "no thread to read a list");
        }
        if let Ok(read) = read.await {
            memory::trim();
            if inputs.send(Input::List(Box::new(read))).await.is_err() {
                return;
            }
        }
        drop(permit);
        match &mut watch {
            Some(watch) => watch.stirred().await,
            None => tokio::time::sleep(UNFOLLOWED).await,
        }
    }
}

/// Lets this thread run when others need not.
fn stand_back() {
    // SAFETY: setpriority touches no memory; on Linux a zero means the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}
