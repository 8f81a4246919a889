//! How does a message go to an upstream by stream? One connection, one message, one reply or more until it is cancelled.
//!
//! ```text
//! Connecting ──writable──► Writing ──all sent──► Reading ──whole message──► reply, and on
//!      └──────────error, end──────┴──────────────────┴──► failure
//! ```

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

use resolver::{Channel, Failure, Transmit};

use crate::bind::{self, is_passing};
use crate::frame::{self, Frame, Inbound};
use crate::poller::Interest;

/// A connection to an upstream.
#[derive(Debug)]
pub(crate) struct TcpExchange {
    stream: TcpStream,
    state: State,
    inbound: Inbound,
}

#[derive(Debug)]
enum State {
    /// The handshake is under way.
    Connecting { message: Vec<u8> },
    /// Some of the message is not sent.
    Writing { message: Vec<u8>, sent: usize },
    /// The message is sent.
    Reading,
}

impl TcpExchange {
    /// Begins to connect.
    ///
    /// # Errors
    /// Why the exchange cannot be.
    pub(crate) fn start(transmit: &Transmit) -> Result<Self, Failure> {
        let mut message = Vec::with_capacity(frame::PREFIX + transmit.wire.len());
        if !frame::emit(&transmit.wire, &mut message) {
            return Err(Failure::Resources);
        }
        let (socket, address) =
            bind::upstream(&transmit.upstream, transmit.link.as_ref(), Channel::Tcp)?;
        socket
            .set_tcp_nodelay(true)
            .map_err(|error| bind::failure(&error))?;
        bind::connect(&socket, address)?;
        Ok(Self {
            stream: TcpStream::from(socket),
            state: State::Connecting { message },
            inbound: Inbound::default(),
        })
    }

    /// Goes on as far as the socket lets; returns what to watch for next.
    ///
    /// # Errors
    /// How the connection failed.
    pub(crate) fn advance(&mut self, scratch: &mut [u8]) -> Result<Interest, Failure> {
        if let State::Connecting { message } = &mut self.state {
            let refused = self.stream.take_error();
            if let Ok(Some(error)) | Err(error) = refused {
                return Err(bind::failure(&error));
            }
            self.state = State::Writing {
                message: std::mem::take(message),
                sent: 0,
            };
        }
        while let State::Writing { message, sent } = &mut self.state {
            let rest = message.get(*sent..).unwrap_or_default();
            if rest.is_empty() {
                self.state = State::Reading;
                break;
            }
            match self.stream.write(rest) {
                Ok(0) => return Err(Failure::Closed),
                Ok(count) => *sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Interest::WRITE);
                }
                Err(error) => return Err(bind::failure(&error)),
            }
        }
        match self.stream.read(scratch) {
            Ok(0) => Err(Failure::Closed),
            Ok(count) => {
                self.inbound
                    .extend(scratch.get(..count).unwrap_or_default());
                Ok(Interest::READ)
            }
            Err(error) if is_passing(&error) => Ok(Interest::READ),
            Err(error) => Err(bind::failure(&error)),
        }
    }

    /// Takes the next whole message.
    ///
    /// # Errors
    /// [`Failure::Closed`] when the stream makes no sense.
    pub(crate) fn next_reply(&mut self) -> Result<Option<Range<usize>>, Failure> {
        match self.inbound.next() {
            Frame::Whole(range) => Ok(Some(range)),
            Frame::Partial => Ok(None),
            Frame::Bad => Err(Failure::Closed),
        }
    }

    /// Returns the octets of a reply.
    pub(crate) fn reply(&self, range: Range<usize>) -> &[u8] {
        self.inbound.get(range)
    }
}

impl AsFd for TcpExchange {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
