//! How does the command reach the daemon? One varlink call at a time over its control socket, blocking.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use linnet::api::{Call, INTERFACE, Reply};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How long a single reply may take; a question has 4.5 s in the daemon.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// What is told when the daemon does not know what is asked of it.
pub(crate) const OLDER: &str =
    "linnetd is older than linnet; restart it (systemctl restart linnetd)";

/// A connection to the daemon.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<UnixStream>,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.get_ref().as_fd()
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// Nobody listens at the socket.
    #[error("linnetd does not answer at {}; is it running? (systemctl status linnetd)", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("the connection to linnetd broke")]
    Broken(#[source] std::io::Error),
    /// The daemon closed the connection.
    #[error("linnetd closed the connection")]
    Closed,
    /// What came is not a reply.
    #[error("linnetd's reply is not understood; are linnet and linnetd of one version?")]
    NotUnderstood(#[source] serde_json::Error),
    /// The daemon said no.
    #[error("{}", refusal(name, parameters))]
    Refused {
        /// The error's name.
        name: String,
        /// Its parameters.
        parameters: serde_json::Value,
    },
}

fn refusal(name: &str, parameters: &serde_json::Value) -> String {
    let text = parameters
        .get("message")
        .or_else(|| parameters.get("parameter"))
        .and_then(|text| text.as_str());
    match (name.rsplit('.').next().unwrap_or(name), text) {
        ("PermissionDenied", _) => "permission denied: this call is for root".to_owned(),
        ("MethodNotFound", _) => OLDER.to_owned(),
        ("InvalidParameter", Some(text)) => format!("the parameter {text} is not valid"),
        (short, Some(text)) => format!("{short}: {text}"),
        (short, None) => short.to_owned(),
    }
}

impl Connection {
    /// Connects to the control socket.
    ///
    /// # Errors
    /// [`CallError::Unreachable`].
    pub(crate) fn open(path: &Path) -> Result<Self, CallError> {
        let unreachable = |source| CallError::Unreachable {
            path: path.to_owned(),
            source,
        };
        let stream = UnixStream::connect(path).map_err(unreachable)?;
        stream
            .set_read_timeout(Some(REPLY_TIMEOUT))
            .map_err(CallError::Broken)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Calls a method of [`INTERFACE`] and returns its result.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) fn call<R: DeserializeOwned>(
        &mut self,
        method: &str,
        parameters: impl Serialize,
    ) -> Result<R, CallError> {
        self.send(method, parameters, false)?;
        self.receive()
    }

    /// Subscribes: no time limit from here on; take the replies with [`Connection::receive`].
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) fn subscribe(
        &mut self,
        method: &str,
        parameters: impl Serialize,
    ) -> Result<(), CallError> {
        self.wait_forever()?;
        self.send(method, parameters, true)
    }

    /// Whether a whole reply is here already, so that [`Connection::receive`] need not wait.
    pub(crate) fn has_message(&self) -> bool {
        self.stream.buffer().contains(&0)
    }

    /// Lifts the time limit on replies.
    ///
    /// # Errors
    /// [`CallError::Broken`].
    pub(crate) fn wait_forever(&self) -> Result<(), CallError> {
        self.stream
            .get_ref()
            .set_read_timeout(None)
            .map_err(CallError::Broken)
    }

    /// Sets how long a reply may take.
    ///
    /// # Errors
    /// [`CallError::Broken`].
    pub(crate) fn wait_at_most(&self, time: Duration) -> Result<(), CallError> {
        self.stream
            .get_ref()
            .set_read_timeout(Some(time))
            .map_err(CallError::Broken)
    }

    fn send(
        &mut self,
        method: &str,
        parameters: impl Serialize,
        more: bool,
    ) -> Result<(), CallError> {
        let parameters = serde_json::to_value(parameters).map_err(CallError::NotUnderstood)?;
        let method = format!("{INTERFACE}.{method}");
        let call = Call {
            method,
            parameters,
            more,
            oneway: false,
            upgrade: false,
        };
        let mut wire = serde_json::to_vec(&call).map_err(CallError::NotUnderstood)?;
        wire.push(0);
        self.stream
            .get_mut()
            .write_all(&wire)
            .map_err(CallError::Broken)
    }

    /// Waits for the next reply.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) fn receive<R: DeserializeOwned>(&mut self) -> Result<R, CallError> {
        let mut wire = Vec::new();
        self.stream
            .read_until(0, &mut wire)
            .map_err(CallError::Broken)?;
        if wire.pop() != Some(0) {
            return Err(CallError::Closed);
        }
        let reply: Reply = serde_json::from_slice(&wire).map_err(CallError::NotUnderstood)?;
        match reply.error {
            Some(name) => Err(CallError::Refused {
                name,
                parameters: reply.parameters,
            }),
            None => {
                let absent = reply.parameters.is_null();
                let parameters = if absent {
                    serde_json::json!({})
                } else {
                    reply.parameters
                };
                serde_json::from_value(parameters).map_err(CallError::NotUnderstood)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_the_daemon_does_not_know_says_what_to_do() {
        let parameters = serde_json::json!({ "method": "org.linnet.Manager.Renew" });
        let text = refusal("org.varlink.service.MethodNotFound", &parameters);
        assert_eq!(text, OLDER);
    }
}
