//! Listeners and upstream sockets for the resolver core. No decisions are made here.
//!
//! [`Driver`] owns every socket of the resolver. The shell waits in [`Driver::ready`], then takes inputs from
//! [`Driver::poll_input`] until there are none, gives them to the core, hands the core's output to [`Driver::answer`],
//! [`Driver::transmit`] and [`Driver::cancel`], and ends the round with [`Driver::finish_round`], which sends what was batched.

use std::net::SocketAddr;

use resolver::{Answer, Channel, ClientId, ExchangeId, Failure, Stub, Transmit};

pub mod resolv_conf;

/// Every socket of the resolver.
#[derive(Debug)]
pub struct Driver {}

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// The address, for UDP and TCP.
    pub address: SocketAddr,
    /// As which stub.
    pub stub: Stub,
}

/// Why the stub cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program has the port.
    #[error("{address} ({channel:?}) is in use{}", holder.as_ref().map(|holder| format!(" by {holder}")).unwrap_or_default())]
    InUse {
        /// The address.
        address: SocketAddr,
        /// UDP or TCP.
        channel: Channel,
        /// The process, as `dnsmasq (pid 812)`, when /proc tells.
        holder: Option<String>,
    },
    /// Anything else.
    #[error("cannot listen at {address} ({channel:?})")]
    Io {
        /// The address.
        address: SocketAddr,
        /// UDP or TCP.
        channel: Channel,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// What a socket brought.
#[derive(Debug)]
pub enum Input<'a> {
    /// A client's question.
    Query {
        /// Who.
        client: ClientId,
        /// Where.
        stub: Stub,
        /// How.
        channel: Channel,
        /// The message.
        wire: &'a [u8],
    },
    /// An upstream's reply.
    Reply {
        /// To which message.
        exchange: ExchangeId,
        /// The reply.
        wire: &'a [u8],
    },
    /// An exchange failed.
    Failed {
        /// Which.
        exchange: ExchangeId,
        /// How.
        failure: Failure,
    },
    /// A client closed its connection; its open questions need no answer.
    ClientGone(ClientId),
}

impl Driver {
    /// Opens the listeners.
    ///
    /// # Errors
    /// [`BindError`], with the process that holds the port; nothing stays open.
    pub fn bind(_listen: &[Listen]) -> Result<Self, BindError> {
        Ok(Self {})
    }

    /// Waits until [`Driver::poll_input`] has something. Cancel-safe.
    pub async fn ready(&mut self) {
        std::future::pending::<()>().await;
    }

    /// Returns the next input without waiting.
    pub fn poll_input(&mut self) -> Option<Input<'_>> {
        None
    }

    /// Queues an answer for its client.
    pub fn answer(&mut self, _answer: Answer) {}

    /// Sends a message to an upstream on a socket of its own.
    pub fn transmit(&mut self, _transmit: Transmit) {}

    /// Closes the socket of an exchange.
    pub fn cancel(&mut self, _exchange: ExchangeId) {}

    /// Sends the queued answers.
    pub fn finish_round(&mut self) {}
}
