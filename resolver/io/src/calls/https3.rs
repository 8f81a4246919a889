//! How is a question asked by HTTP/3? POST (RFC 8484 §4.1, RFC 9114 §4), each on a QUIC stream of its own.
//!
//! The library behind it has no stable interface yet: nothing else knows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h3::client::{RequestStream, SendRequest};
use h3::error::{ConnectionError, StreamError};
use h3_quinn::{BidiStream, OpenStreams};
use http::header::CONTENT_TYPE;
use quinn::{Connection, VarInt};
use resolver::{Failure, HttpFault, Transmit};
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use super::{Room, https, quic};
use crate::tls::Peer;

/// H3_EXCESSIVE_LOAD (RFC 9114 §8.1).
const H3_EXCESSIVE_LOAD: VarInt = VarInt::from_u32(0x107);
/// Octets that a connection may bring by itself: its handshake, its settings, and what is sent again.
const ALLOWED_FIRST: u64 = 256 << 10;
/// Octets that it may bring for each question besides: the longest answer, and as much again for what is around it or lost.
const ALLOWED_EACH: u64 = 2 * (https::REPLY_MAX as u64 + https::HEAD_MAX as u64);
/// How often that is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Interim responses that are passed over (RFC 9114 §4.1).
const INTERIM_MAX: usize = 8;

/// A connection.
pub(super) struct Line {
    requests: SendRequest<OpenStreams, Bytes>,
    uri: String,
    quic: quic::Line,
    task: AbortHandle,
    watch: AbortHandle,
    /// Octets that it may have brought so far.
    allowed: Arc<AtomicU64>,
}

/// Connects, and has the server show itself. Nothing is sent before it has (no 0-RTT).
pub(super) async fn connect(like: &Transmit, peer: &Peer) -> Result<Line, Failure> {
    let quic = quic::connect(like, peer).await?;
    let connection = h3_quinn::Connection::new(quic.connection().clone());
    let mut builder = h3::client::builder();
    builder
        .max_field_section_size(https::HEAD_MAX.into())
        .send_grease(false);
    let allowed = Arc::new(AtomicU64::new(ALLOWED_FIRST));
    let watched = tokio::spawn(watch(quic.connection().clone(), Arc::clone(&allowed)));
    let built = builder.build::<_, _, Bytes>(connection).await;
    let (mut connection, requests) = built.map_err(|error| connection_failure(&error))?;
    let task = tokio::spawn(async move {
        let error = connection.wait_idle().await;
        tracing::debug!(%error, "an HTTP/3 connection ends");
    });
    Ok(Line {
        requests,
        uri: https::uri(like),
        quic,
        task: task.abort_handle(),
        watch: watched.abort_handle(),
        allowed,
    })
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line")
            .field("uri", &self.uri)
            .finish_non_exhaustive()
    }
}

impl Line {
    /// Whether it takes no more questions.
    pub(super) fn is_dead(&self) -> bool {
        self.task.is_finished() || self.quic.is_dead()
    }

    /// Asks.
    pub(super) fn ask(
        &self,
        wire: Vec<u8>,
        room: Room,
    ) -> impl Future<Output = Result<Vec<u8>, Failure>> + Send + 'static {
        self.allowed.fetch_add(ALLOWED_EACH, Ordering::Relaxed);
        let (requests, uri) = (self.requests.clone(), self.uri.clone());
        async move { ask(requests, &uri, wire, room).await }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
        self.watch.abort();
    }
}

async fn ask(
    mut requests: SendRequest<OpenStreams, Bytes>,
    uri: &str,
    wire: Vec<u8>,
    room: Room,
) -> Result<Vec<u8>, Failure> {
    let failed = |error: StreamError| stream_failure(&error);
    let request = https::request(uri, wire.len())?;
    let mut stream = room
        .wait(requests.send_request(request))
        .await?
        .map_err(failed)?;
    stream.send_data(Bytes::from(wire)).await.map_err(failed)?;
    stream.finish().await.map_err(failed)?;
    let mut response = stream.recv_response().await.map_err(failed)?;
    for _ in 0..INTERIM_MAX {
        if response.status().is_informational() {
            response = stream.recv_response().await.map_err(failed)?;
        }
    }
    https::judge(response.status(), response.headers().get(CONTENT_TYPE))?;
    read(&mut stream).await
}

async fn read(stream: &mut RequestStream<BidiStream<Bytes>, Bytes>) -> Result<Vec<u8>, Failure> {
    let failed = |error: StreamError| stream_failure(&error);
    let mut reply = Vec::new();
    // A frame of no length looks like the end, which is the end however often one looks.
    for _ in 0..2 {
        while let Some(piece) = stream.recv_data().await.map_err(failed)? {
            https::take(&mut reply, piece)?;
        }
    }
    Ok(reply)
}

/// Closes a connection that brings more than all that was asked there can need: the library keeps frames until they are whole, those
/// that it does not know too, and takes the server's word for their length.
async fn watch(connection: Connection, allowed: Arc<AtomicU64>) {
    let mut interval = tokio::time::interval(LOOK_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            _ = connection.closed() => return,
        }
        let brought = connection.stats().udp_rx.bytes;
        if brought > allowed.load(Ordering::Relaxed) {
            connection.close(H3_EXCESSIVE_LOAD, b"");
            return;
        }
    }
}

fn stream_failure(error: &StreamError) -> Failure {
    if let StreamError::ConnectionError { 0: error, .. } = error {
        return connection_failure(error);
    }
    // RFC 9114 §4.2.2: more than we said that we take.
    if let StreamError::HeaderTooBig { .. } = error {
        return Failure::Http(HttpFault::NotDns);
    }
    // Reset, refused, or a server that goes: the question may be asked on another connection.
    Failure::Closed
}

fn connection_failure(error: &ConnectionError) -> Failure {
    match matches!(error, ConnectionError::Timeout { .. }) {
        true => Failure::TimedOut,
        false => Failure::Closed,
    }
}
