//! How does the event loop talk to the helper without waiting for a disk? [`HelperClient`].

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram as StdUnixDatagram;
use std::time::Duration;

use tokio::net::UnixDatagram;
use zeroize::Zeroizing;

use super::frame::{Assembly, MAX_PACKET, MAX_REPLY, MAX_REQUEST, Numbered, packets};
use super::{HelperReply, HelperRequest};

/// How long the helper may take; a slow disk under its `fsync`s takes seconds.
const REPLY_TIME: Duration = Duration::from_secs(20);

/// The daemon's end of the socket pair. One request at a time.
#[derive(Debug)]
pub(crate) struct HelperClient {
    socket: UnixDatagram,
    assembly: Assembly,
    number: u64,
}

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeeperError {
    /// The helper has ended; only a restart of linnetd brings it back.
    #[error("the root helper has ended: restart linnetd")]
    Gone,
    /// It does not reply in time.
    #[error("the root helper does not reply")]
    NoReply,
    /// Its configuration does not allow the request.
    #[error("the root helper refuses: {0}")]
    Refused(String),
    /// It was tried and failed.
    #[error("{0}")]
    Failed(String),
    /// A reply to something else.
    #[error("the root helper replied to another question")]
    Unexpected,
    /// The socket pair fails.
    #[error("cannot reach the root helper")]
    Io(#[from] io::Error),
}

impl HelperClient {
    /// Takes the socket into the event loop. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        // The type says datagrams; packets in sequence are sent and received by the same calls.
        let socket = StdUnixDatagram::from(socket);
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: UnixDatagram::from_std(socket)?,
            assembly: Assembly::default(),
            number: 0,
        })
    }

    pub(super) async fn call(
        &mut self,
        request: &HelperRequest,
    ) -> Result<HelperReply, KeeperError> {
        tokio::time::timeout(REPLY_TIME, self.exchange(request))
            .await
            .map_err(|_| KeeperError::NoReply)?
    }

    async fn exchange(&mut self, request: &HelperRequest) -> Result<HelperReply, KeeperError> {
        self.number += 1;
        let message = Numbered {
            number: self.number,
            body: request,
        };
        for packet in packets(&message, MAX_REQUEST)? {
            self.socket.send(&packet).await.map_err(gone)?;
        }
        let mut packet = Zeroizing::new(vec![0; MAX_PACKET]);
        loop {
            let length = self.socket.recv(&mut packet).await.map_err(gone)?;
            let Some(packet) = packet.get(..length).filter(|packet| !packet.is_empty()) else {
                return Err(KeeperError::Gone);
            };
            let reply: Option<Numbered<HelperReply>> = self.assembly.add(packet, MAX_REPLY)?;
            // Replies to earlier calls, which nobody waits for, come first.
            if let Some(reply) = reply
                && reply.number == self.number
            {
                return Ok(reply.body);
            }
        }
    }
}

fn gone(error: io::Error) -> KeeperError {
    match error.raw_os_error() {
        Some(libc::EPIPE | libc::ECONNRESET | libc::ECONNREFUSED | libc::ENOTCONN) => {
            KeeperError::Gone
        }
        Some(_) | None => KeeperError::Io(error),
    }
}
