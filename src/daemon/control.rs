//! Who speaks to the daemon, and how? The varlink server: its socket, one task for each connection.
//!
//! Calls become [`Input::Control`] and are answered in the order in which they come on a connection. What a call means is
//! [`crate::world`]'s business; how bytes become calls is [`frame`]'s, and which calls there are [`method`]'s.

mod frame;
mod method;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use linnet::api::{Notice, Reply};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::input::{ConnectionId, ControlCall, Input, Method};
use crate::subscribers::Names;
use frame::Frames;
use method::Asked;

pub(crate) use method::{error, invalid_parameter, to_value};

/// Connections at a time.
const MAX_CONNECTIONS: usize = 64;
/// Of these, how many only privileged callers get: nobody else can lock them out.
const RESERVED_CONNECTIONS: usize = 16;
/// Notices that wait for one subscriber; more are counted and left out.
const WAITING_NOTICES: usize = 256;
/// Bytes read at once.
const READ_SIZE: usize = 4096;
/// Everybody may call; what a caller may do is decided call by call.
const SOCKET_MODE: u32 = 0o666;

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// Somebody answers there.
    #[error("another linnetd runs: it answers at {path}", path = path.display())]
    AnotherRuns {
        /// The socket.
        path: PathBuf,
    },
    /// It cannot be made.
    #[error("cannot make the control socket {path}", path = path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The listening socket: made under a name of its own, so that nobody meets it before it can answer.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    prepared: PathBuf,
    published: bool,
    connections: Arc<Semaphore>,
    last: u64,
    masters: [u32; 2],
}

impl ControlSocket {
    /// Makes the socket beside `path`; a privileged caller is root, this process's user, or `started_by`.
    ///
    /// # Errors
    /// [`ControlError`]; a socket that nobody answers is no obstacle.
    pub(crate) fn prepare(path: &Path, started_by: u32) -> Result<Self, ControlError> {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(ControlError::AnotherRuns {
                path: path.to_owned(),
            });
        }
        let prepared = path.with_extension("new");
        let failed = |source| ControlError::Io {
            path: path.to_owned(),
            source,
        };
        remove(&prepared).map_err(failed)?;
        let listener = UnixListener::bind(&prepared).map_err(failed)?;
        std::fs::set_permissions(&prepared, std::fs::Permissions::from_mode(SOCKET_MODE))
            .map_err(failed)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            prepared,
            published: false,
            connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            last: 0,
            masters: [nix::unistd::geteuid().as_raw(), started_by],
        })
    }

    /// Puts the socket in its place, over that of a daemon that is dead.
    ///
    /// # Errors
    /// [`ControlError::Io`].
    pub(crate) fn publish(&mut self) -> Result<(), ControlError> {
        std::fs::rename(&self.prepared, &self.path).map_err(|source| ControlError::Io {
            path: self.path.clone(),
            source,
        })?;
        self.published = true;
        Ok(())
    }

    /// Takes the next connection and gives it a task; its calls come out of `inputs`. Cancel-safe.
    pub(crate) async fn accept(&mut self, inputs: &mpsc::Sender<Input>) {
        let stream = match self.listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors: the next connection that ends makes room, and until then there is nothing to do.
                tracing::warn!(%error, "cannot take a connection to the control socket");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                return;
            }
        };
        let Ok(credentials) = stream.peer_cred() else {
            return;
        };
        let caller = Caller {
            uid: credentials.uid(),
            pid: credentials.pid(),
        };
        let privileged = caller.uid == 0 || self.masters.contains(&caller.uid);
        if !privileged && self.connections.available_permits() <= RESERVED_CONNECTIONS {
            tracing::warn!("too many connections to the control socket: one is turned away");
            return;
        }
        let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else {
            tracing::warn!("too many connections to the control socket: one is turned away");
            return;
        };
        self.last += 1;
        let connection = Connection {
            id: ConnectionId(self.last),
            caller,
            privileged,
            frames: Frames::default(),
            stream,
            inputs: inputs.clone(),
            _permit: permit,
        };
        tokio::spawn(connection.serve());
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let path = if self.published {
            &self.path
        } else {
            &self.prepared
        };
        if let Err(error) = remove(path) {
            tracing::warn!(%error, "the control socket stays behind");
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Who calls, as the kernel tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The user.
    pub(crate) uid: u32,
    /// The process that connected, when it is in sight.
    pub(crate) pid: Option<i32>,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}", self.uid)?;
        match self.pid {
            Some(pid) => write!(f, ", pid {pid}"),
            None => Ok(()),
        }
    }
}

/// One connection.
struct Connection {
    id: ConnectionId,
    caller: Caller,
    privileged: bool,
    frames: Frames,
    stream: UnixStream,
    inputs: mpsc::Sender<Input>,
    _permit: OwnedSemaphorePermit,
}

/// The connection is at its end: closed, broken, or not speaking varlink.
struct Ended;

impl Connection {
    async fn serve(mut self) {
        while let Ok(call) = self.next_call().await {
            if self.answer(&call).await.is_err() {
                break;
            }
        }
        let gone = Input::ControlGone(self.id);
        // A loop that has ended needs no news.
        let _told = self.inputs.send(gone).await;
    }

    /// Waits for the next whole call.
    async fn next_call(&mut self) -> Result<Vec<u8>, Ended> {
        loop {
            match self.frames.next() {
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => self.read().await?,
                Err(error) => {
                    tracing::debug!(%error, caller = %self.caller, "a caller is cut off");
                    return Err(Ended);
                }
            }
        }
    }

    async fn read(&mut self) -> Result<(), Ended> {
        let mut bytes = [0; READ_SIZE];
        match self.stream.read(&mut bytes).await {
            Ok(0) | Err(_) => Err(Ended),
            Ok(length) => {
                self.frames.push(bytes.get(..length).unwrap_or_default());
                Ok(())
            }
        }
    }

    async fn answer(&mut self, wire: &[u8]) -> Result<(), Ended> {
        let call = frame::parse_call(wire).map_err(|error| {
            tracing::debug!(%error, caller = %self.caller, "a caller does not speak varlink");
            Ended
        })?;
        let oneway = call.oneway;
        match method::understand(call, self.privileged) {
            Asked::Reply(reply) => self.reply(&reply, oneway).await,
            Asked::Subscribe(parameters) => {
                let names = match self.privileged {
                    true => Names::Told,
                    false => Names::Withheld,
                };
                self.stream(|notices| Method::Subscribe(notices, parameters, names))
                    .await
            }
            Asked::Browse(parameters) => {
                self.stream(|notices| Method::Browse(parameters, notices))
                    .await
            }
            Asked::Method(method) => {
                let reply = self.ask(method).await?;
                self.reply(&reply, oneway).await
            }
        }
    }

    /// Has the world answer.
    async fn ask(&self, method: Method) -> Result<Reply, Ended> {
        let (answer, answered) = oneshot::channel();
        let call = ControlCall {
            connection: self.id,
            caller: self.caller,
            method,
            answer,
        };
        let input = Input::Control(Box::new(call));
        self.inputs.send(input).await.map_err(|_| Ended)?;
        Ok(match answered.await {
            Ok(reply) => reply,
            Err(_) => error("Busy", "linnetd is about to end"),
        })
    }

    async fn reply(&mut self, reply: &Reply, oneway: bool) -> Result<(), Ended> {
        if oneway {
            return Ok(());
        }
        let wire = frame::emit_reply(reply);
        self.stream.write_all(&wire).await.map_err(|_| Ended)
    }

    /// Tells what happens until the caller goes.
    async fn stream(
        &mut self,
        method: impl FnOnce(mpsc::Sender<Notice>) -> Method,
    ) -> Result<(), Ended> {
        let (sender, mut notices) = mpsc::channel(WAITING_NOTICES);
        let accepted = self.ask(method(sender)).await?;
        if accepted.error.is_some() {
            return self.reply(&accepted, false).await;
        }
        self.tell(&Notice::Ready).await?;
        loop {
            tokio::select! {
                notice = notices.recv() => {
                    let notice = notice.ok_or(Ended)?;
                    self.tell(&notice).await?;
                }
                read = self.read() => {
                    read?;
                    // Nothing more is answered here; what piles up beyond a call's length ends the connection.
                    if self.frames.is_too_long() {
                        return Err(Ended);
                    }
                }
            }
        }
    }

    async fn tell(&mut self, notice: &Notice) -> Result<(), Ended> {
        let reply = Reply {
            parameters: to_value(notice),
            continues: true,
            error: None,
        };
        self.reply(&reply, false).await
    }
}
