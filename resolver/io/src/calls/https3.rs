//! How is a question asked by HTTP/3? POST (RFC 8484 §4.1, RFC 9114 §4), each on a QUIC stream of its own.
//!
//! The library behind it has no stable interface yet: nothing else knows it.

use bytes::{Buf as _, Bytes};
use h3::client::{RequestStream, SendRequest};
use h3::error::{ConnectionError, StreamError};
use h3_quinn::{BidiStream, OpenStreams};
use http::header::CONTENT_TYPE;
use resolver::{Failure, HttpFault, Transmit};
use tokio::task::AbortHandle;

use super::{https, quic};
use crate::tls::Peer;

/// The longest head of a response, in octets.
const HEAD_MAX: u64 = 16 << 10;
/// The longest reply.
const REPLY_MAX: usize = u16::MAX as usize;

/// A connection.
pub(super) struct Line {
    requests: SendRequest<OpenStreams, Bytes>,
    uri: String,
    quic: quic::Line,
    task: AbortHandle,
}

/// Connects, and has the server show itself. Nothing is sent before it has (no 0-RTT).
pub(super) async fn connect(like: &Transmit, peer: &Peer) -> Result<Line, Failure> {
    let quic = quic::connect(like, peer).await?;
    let connection = h3_quinn::Connection::new(quic.connection().clone());
    let mut builder = h3::client::builder();
    builder.max_field_section_size(HEAD_MAX).send_grease(false);
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
    ) -> impl Future<Output = Result<Vec<u8>, Failure>> + Send + 'static {
        let (requests, uri) = (self.requests.clone(), self.uri.clone());
        async move { ask(requests, &uri, wire).await }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn ask(
    mut requests: SendRequest<OpenStreams, Bytes>,
    uri: &str,
    wire: Vec<u8>,
) -> Result<Vec<u8>, Failure> {
    let failed = |error: StreamError| stream_failure(&error);
    let request = https::request(uri)?;
    let mut stream = requests.send_request(request).await.map_err(failed)?;
    stream.send_data(Bytes::from(wire)).await.map_err(failed)?;
    stream.finish().await.map_err(failed)?;
    let response = stream.recv_response().await.map_err(failed)?;
    https::judge(response.status(), response.headers().get(CONTENT_TYPE))?;
    read(&mut stream).await
}

async fn read(stream: &mut RequestStream<BidiStream<Bytes>, Bytes>) -> Result<Vec<u8>, Failure> {
    let mut reply = Vec::new();
    while let Some(mut piece) = stream
        .recv_data()
        .await
        .map_err(|error| stream_failure(&error))?
    {
        if reply.len() + piece.remaining() > REPLY_MAX {
            return Err(Failure::Http(HttpFault::NotDns));
        }
        while piece.has_remaining() {
            let octets = piece.chunk();
            reply.extend_from_slice(octets);
            let taken = octets.len();
            piece.advance(taken);
        }
    }
    Ok(reply)
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
