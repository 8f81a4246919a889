//! Where do scrapers connect? A unix socket, or an address; made and removed here, served by [`super::http`].

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use config::observing::Place;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::http::{Listener, serve};
use crate::input::Input;

/// Everybody may ask for numbers, as for the status.
const SOCKET_MODE: u32 = 0o666;
/// Connections that wait in the kernel.
const BACKLOG: i32 = 16;

/// How the server does, for whoever asks.
#[derive(Debug, Default)]
pub(super) struct State {
    scrapes: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl State {
    /// Returns how many scrapes were answered.
    pub(super) fn scrapes(&self) -> u64 {
        self.scrapes.load(Ordering::Relaxed)
    }

    /// Returns why nobody can connect.
    pub(super) fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn count_scrape(&self) {
        self.scrapes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// The server, while it runs.
#[derive(Debug)]
pub(super) struct Server {
    task: JoinHandle<()>,
    socket: Option<PathBuf>,
}

impl Server {
    /// Listens, and answers from now on.
    ///
    /// # Errors
    /// What the kernel says; or that somebody else answers there.
    pub(super) fn start(place: &Place, inputs: mpsc::Sender<Input>) -> io::Result<Self> {
        let (listener, socket) = match place {
            Place::Unix(path) => {
                let path = Path::new(&**path);
                (Listener::Unix(unix(path)?), Some(path.to_owned()))
            }
            Place::Address(address) => {
                let socket = socket2::Socket::new(
                    socket2::Domain::for_address(*address),
                    socket2::Type::STREAM.nonblocking().cloexec(),
                    None,
                )?;
                socket.set_reuse_address(true)?;
                socket.bind(&(*address).into())?;
                socket.listen(BACKLOG)?;
                (Listener::Tcp(TcpListener::from_std(socket.into())?), None)
            }
        };
        Ok(Self {
            task: tokio::spawn(serve(listener, inputs)),
            socket,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(path) = &self.socket
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::debug!(%error, "the socket for metrics stays behind");
        }
    }
}

/// Listens at a path, over the socket of a daemon that is dead; never over a file.
fn unix(path: &Path) -> io::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::other("somebody else answers there"));
    }
    let is_socket =
        std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_socket {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(listener)
}
