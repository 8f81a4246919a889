//! How is a question asked by QUIC? A stream for each, with id 0 and a length (RFC 9250 §4.2). HTTP/3 has its connections from here.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use config::model::Transport;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, IdleTimeout,
    ReadToEndError, RecvStream, SendStream, TokioRuntime, TransportConfig, VarInt, WriteError,
};
use resolver::carried::Carried;
use resolver::{Channel, Failure, HttpFault, TlsFault, Transmit};
use tokio::io::Interest;

use super::Room;
use crate::bind;
use crate::frame;
use crate::tls::{LastFault, Peer};

/// DOQ_NO_ERROR, DOQ_PROTOCOL_ERROR and DOQ_REQUEST_CANCELLED (RFC 9250 §8.4).
const NO_ERROR: VarInt = VarInt::from_u32(0);
const PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
const REQUEST_CANCELLED: VarInt = VarInt::from_u32(3);
/// H3_NO_ERROR (RFC 9114 §8.1).
const H3_NO_ERROR: VarInt = VarInt::from_u32(0x100);
/// Streams that a server of HTTP/3 opens: control, two of QPACK, and some that mean nothing (RFC 9114 §6.2).
const H3_STREAMS: VarInt = VarInt::from_u32(8);
/// The alert "no application protocol" as an error of QUIC (RFC 9001 §4.8, RFC 7301 §3.2).
const NO_PROTOCOL: u64 = 0x100 + 120;
/// Octets of one stream that may wait here: the longest answer, and what is around it.
const STREAM_WINDOW: VarInt = VarInt::from_u32(128 << 10);
/// Octets of all streams of a connection that may.
const CONNECTION_WINDOW: VarInt = VarInt::from_u32(1 << 20);
/// After so long without a packet the connection is gone.
const IDLE_TIME: Duration = Duration::from_secs(15);

/// How long an error that somebody else has taken is left alone.
const ERROR_PAUSE: Duration = Duration::from_millis(20);

/// A connection, with the socket that is its own.
#[derive(Debug)]
pub(super) struct Line {
    connection: Connection,
    /// What is said when it is closed.
    over: VarInt,
    /// Ends when it is dropped.
    _endpoint: Endpoint,
}

/// Connects, and has the server show itself.
pub(super) async fn connect(like: &Transmit, peer: &Peer) -> Result<Line, Failure> {
    let (socket, address) =
        bind::upstream(&like.upstream, like.link.as_ref(), like.mark, Channel::Udp)?;
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    // The kernel draws the port. Connected, the socket hears that server only, and ICMP errors come back at once.
    socket
        .bind(&any.into())
        .map_err(|error| bind::failure(&error))?;
    bind::connect(&socket, address)?;
    let failed = |error: std::io::Error| bind::failure(&error);
    let socket = UdpSocket::from(socket);
    let errors = socket.try_clone().and_then(tokio::net::UdpSocket::from_std);
    let errors = errors.map_err(failed)?;
    let endpoint = Endpoint::new(
        EndpointConfig::default(),
        None,
        socket,
        Arc::new(TokioRuntime),
    );
    let endpoint = endpoint.map_err(failed)?;
    let config = QuicClientConfig::try_from(Arc::clone(&peer.config));
    let config = config.map_err(|_| Failure::Tls(TlsFault::Handshake))?;
    let mut config = ClientConfig::new(Arc::new(config));
    let mut transport = TransportConfig::default();
    let idle = IdleTimeout::try_from(IDLE_TIME).map_err(|_| Failure::Resources)?;
    transport.max_idle_timeout(Some(idle));
    let is_h3 = like.upstream.transport == Transport::H3;
    // The server opens no streams (RFC 9250 §5.4), or those of HTTP/3 alone.
    transport.max_concurrent_bidi_streams(VarInt::from_u32(0));
    transport.max_concurrent_uni_streams(match is_h3 {
        true => H3_STREAMS,
        false => VarInt::from_u32(0),
    });
    // What a server sends out of order waits here for what is missing, whatever was asked.
    transport.stream_receive_window(STREAM_WINDOW);
    transport.receive_window(CONNECTION_WINDOW);
    transport.datagram_receive_buffer_size(None);
    config.transport_config(Arc::new(transport));
    let name = match &like.upstream.server_name {
        Some(name) => name.to_string(),
        None => like.upstream.address.to_string(),
    };
    let connecting = endpoint.connect_with(config, address, &name);
    let connecting = connecting.map_err(|_| Failure::Tls(TlsFault::WrongName))?;
    let connection = tokio::select! {
        connected = connecting => connected.map_err(|error| match is_h3 && lacks_protocol(&error) {
            true => Failure::Http(HttpFault::NoHttp3),
            false => failure(&error, Some(&peer.fault)),
        })?,
        failure = icmp(&errors) => return Err(failure),
    };
    Ok(Line {
        connection,
        over: if is_h3 { H3_NO_ERROR } else { NO_ERROR },
        _endpoint: endpoint,
    })
}

/// Waits for what ICMP brings: the library passes over it.
async fn icmp(socket: &tokio::net::UdpSocket) -> Failure {
    loop {
        let ready = socket.ready(Interest::ERROR).await;
        match ready.and_then(|_| socket.take_error()) {
            // "Fragmentation needed" is what it looks for itself.
            Ok(Some(error)) if error.raw_os_error() != Some(libc::EMSGSIZE) => {
                return bind::failure(&error);
            }
            Ok(_) => tokio::time::sleep(ERROR_PAUSE).await,
            Err(error) => return bind::failure(&error),
        }
    }
}

impl Line {
    /// Whether it takes no more questions.
    pub(super) fn is_dead(&self) -> bool {
        self.connection.close_reason().is_some()
    }

    /// Returns the connection.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Asks.
    pub(super) fn ask(
        &self,
        wire: Vec<u8>,
        room: Room,
    ) -> impl Future<Output = Result<Vec<u8>, Failure>> + Send + 'static {
        let connection = self.connection.clone();
        async move { ask(&connection, &wire, room).await }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.connection.close(self.over, b"");
    }
}

/// The stream of a question.
struct Asked {
    send: SendStream,
    receive: RecvStream,
    is_sent: bool,
}

impl Drop for Asked {
    /// Tells the server that nobody waits any more (RFC 9250 §4.3.1). Neither says anything where all was read, or the connection has ended.
    fn drop(&mut self) {
        if !self.is_sent {
            // Dropped as it is, it would end: half a question is an error (RFC 9250 §4.3.3).
            let _told = self.send.reset(REQUEST_CANCELLED);
        }
        let _told = self.receive.stop(REQUEST_CANCELLED);
    }
}

async fn ask(connection: &Connection, wire: &[u8], room: Room) -> Result<Vec<u8>, Failure> {
    let opened = room.wait(connection.open_bi()).await?;
    let (send, receive) = opened.map_err(|error| failure(&error, None))?;
    let mut asked = Asked {
        send,
        receive,
        is_sent: false,
    };
    let mut message = Vec::with_capacity(frame::PREFIX + wire.len());
    if !frame::emit(wire, &mut message) {
        return Err(Failure::Resources);
    }
    // RFC 9250 §4.3.3: fatal, for all that is asked there.
    let wrong = |failure: Failure| {
        connection.close(PROTOCOL_ERROR, b"");
        failure
    };
    asked
        .send
        .write_all(&message)
        .await
        .map_err(|error| match error {
            WriteError::ConnectionLost(error) => failure(&error, None),
            WriteError::Stopped(_) => wrong(Failure::Closed),
            WriteError::ClosedStream | WriteError::ZeroRttRejected => Failure::Closed,
        })?;
    // RFC 9250 §4.2: the end says that nothing follows.
    asked.send.finish().map_err(|_| Failure::Closed)?;
    asked.is_sent = true;
    let reply = asked
        .receive
        .read_to_end(frame::PREFIX + usize::from(u16::MAX));
    let reply = reply.await.map_err(|error| match error {
        ReadToEndError::Read(quinn::ReadError::ConnectionLost(error)) => failure(&error, None),
        ReadToEndError::Read(_) => Failure::Closed,
        ReadToEndError::TooLong => wrong(Failure::Garbled),
    })?;
    match frame::parse(&reply) {
        frame::Frame::Whole(range) if range.end == reply.len() => {
            let reply = reply.get(range).unwrap_or_default();
            match is_allowed(reply) {
                true => Ok(reply.to_vec()),
                false => Err(wrong(Failure::Garbled)),
            }
        }
        frame::Frame::Whole(_) | frame::Frame::Bad => Err(wrong(Failure::Garbled)),
        frame::Frame::Partial => Err(wrong(Failure::Closed)),
    }
}

/// Whether a message may come by QUIC: with id 0 (RFC 9250 §4.2.1), and without keepalive (§5.5.2).
fn is_allowed(reply: &[u8]) -> bool {
    reply.starts_with(&[0, 0]) && !Carried::parse(reply).keepalive
}

/// Whether a server knows none of the protocols that were offered.
fn lacks_protocol(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::TransportError(error) => u64::from(error.code) == NO_PROTOCOL,
        ConnectionError::ConnectionClosed(close) => u64::from(close.error_code) == NO_PROTOCOL,
        ConnectionError::VersionMismatch
        | ConnectionError::ApplicationClosed(_)
        | ConnectionError::Reset
        | ConnectionError::TimedOut
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => false,
    }
}

/// Tells what ended a connection; `fault` when it was still being made.
fn failure(error: &ConnectionError, fault: Option<&LastFault>) -> Failure {
    let disbelief = fault.and_then(LastFault::take);
    if let Some(disbelief) = disbelief {
        return Failure::Tls(disbelief);
    }
    match error {
        ConnectionError::TimedOut => Failure::TimedOut,
        ConnectionError::VersionMismatch
        | ConnectionError::TransportError(_)
        | ConnectionError::ConnectionClosed(_)
        | ConnectionError::CidsExhausted
            if fault.is_some() =>
        {
            Failure::Tls(TlsFault::Handshake)
        }
        ConnectionError::VersionMismatch
        | ConnectionError::TransportError(_)
        | ConnectionError::ConnectionClosed(_)
        | ConnectionError::ApplicationClosed(_)
        | ConnectionError::Reset
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => Failure::Closed,
    }
}
