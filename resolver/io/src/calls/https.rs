//! How is a question asked by HTTP? POST over HTTP/2 (RFC 8484 §4.1), many on one connection.

use std::io;
use std::net::TcpStream as StdStream;

use bytes::{Buf, BufMut as _, Bytes};
use h2::client::SendRequest;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode};
use resolver::{Channel, Failure, HttpFault, TlsFault, Transmit};
use rustls::AlertDescription;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

use crate::bind;
use crate::tls::{self, Peer};

/// What is sent and taken (RFC 8484 §6).
const DNS_MESSAGE: &str = "application/dns-message";
/// The longest reply.
pub(super) const REPLY_MAX: usize = u16::MAX as usize;
/// The longest head of a response, in octets.
pub(super) const HEAD_MAX: u32 = 16 << 10;

/// A connection.
#[derive(Debug)]
pub(super) struct Line {
    requests: SendRequest<Bytes>,
    uri: String,
    task: AbortHandle,
}

/// Connects, and has the server show itself.
pub(super) async fn connect(like: &Transmit, peer: &Peer) -> Result<Line, Failure> {
    let stream = tcp(like).await?;
    let connector = TlsConnector::from(std::sync::Arc::clone(&peer.config));
    let stream = connector
        .connect(peer.name.clone(), stream)
        .await
        .map_err(|error| tls_failure(&error))?;
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(Failure::Http(HttpFault::NoHttp2));
    }
    let mut builder = h2::client::Builder::new();
    builder.enable_push(false).max_header_list_size(HEAD_MAX);
    let (requests, connection) = builder
        .handshake(stream)
        .await
        .map_err(|error| http_failure(&error))?;
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "an HTTP connection ends");
        }
    });
    Ok(Line {
        requests,
        uri: uri(like),
        task: task.abort_handle(),
    })
}

impl Line {
    /// Whether it takes no more questions.
    pub(super) fn is_dead(&self) -> bool {
        self.task.is_finished()
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

async fn ask(requests: SendRequest<Bytes>, uri: &str, wire: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let failed = |error: h2::Error| http_failure(&error);
    let request = request(uri, wire.len())?;
    let mut requests = requests.ready().await.map_err(failed)?;
    let (response, mut body) = requests.send_request(request, false).map_err(failed)?;
    body.send_data(Bytes::from(wire), true).map_err(failed)?;
    let response = response.await.map_err(failed)?;
    judge(response.status(), response.headers().get(CONTENT_TYPE))?;
    let mut body = response.into_body();
    let mut reply = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(failed)?;
        let length = piece.len();
        take(&mut reply, piece)?;
        body.flow_control()
            .release_capacity(length)
            .map_err(failed)?;
    }
    Ok(reply)
}

/// Takes a piece of a body, of either version of HTTP; one that is longer than a DNS message is none.
pub(super) fn take(reply: &mut Vec<u8>, piece: impl Buf) -> Result<(), Failure> {
    if reply.len() + piece.remaining() > REPLY_MAX {
        return Err(Failure::Http(HttpFault::NotDns));
    }
    reply.put(piece);
    Ok(())
}

/// Writes the head of a request with a body of so many octets (RFC 8484 §4.1), of either version of HTTP. The length could be left
/// out (RFC 9110 §8.6), but there are servers behind others that take no request without.
pub(super) fn request(uri: &str, length: usize) -> Result<Request<()>, Failure> {
    Request::builder()
        .method(Method::POST)
        .uri(uri)
        .header(CONTENT_TYPE, DNS_MESSAGE)
        .header(CONTENT_LENGTH, length)
        .header(ACCEPT, DNS_MESSAGE)
        .body(())
        .map_err(|_| Failure::Http(HttpFault::NotDns))
}

/// Judges the head of a response: success, and a DNS message (RFC 8484 §4.2).
pub(super) fn judge(status: StatusCode, content: Option<&HeaderValue>) -> Result<(), Failure> {
    if !status.is_success() {
        return Err(Failure::Http(HttpFault::Status(status.as_u16())));
    }
    let is_dns = content
        .and_then(|content| content.to_str().ok())
        .and_then(|content| content.split(';').next())
        .is_some_and(|content| content.trim().eq_ignore_ascii_case(DNS_MESSAGE));
    match is_dns {
        true => Ok(()),
        false => Err(Failure::Http(HttpFault::NotDns)),
    }
}

/// Connects a socket that is bound to the scope's link.
async fn tcp(like: &Transmit) -> Result<TcpStream, Failure> {
    let failed = |error: io::Error| bind::failure(&error);
    let (socket, address) =
        bind::upstream(&like.upstream, like.link.as_ref(), like.mark, Channel::Tcp)?;
    socket.set_tcp_nodelay(true).map_err(failed)?;
    let unacknowledged = Some(crate::UNACKNOWLEDGED_TIME);
    socket
        .set_tcp_user_timeout(unacknowledged)
        .map_err(failed)?;
    bind::connect(&socket, address)?;
    let stream = TcpStream::from_std(StdStream::from(socket)).map_err(failed)?;
    stream.writable().await.map_err(failed)?;
    match stream.take_error() {
        Ok(None) => Ok(stream),
        Ok(Some(error)) | Err(error) => Err(bind::failure(&error)),
    }
}

/// Writes the server's URI: the name that its certificate is for, or its address.
pub(super) fn uri(like: &Transmit) -> String {
    let upstream = &like.upstream;
    let path = upstream.path.as_deref().unwrap_or("/");
    match &upstream.server_name {
        Some(name) if upstream.port == upstream.transport.default_port() => {
            format!("https://{name}{path}")
        }
        Some(name) => format!("https://{name}:{}{path}", upstream.port),
        None => {
            let address = std::net::SocketAddr::new(upstream.address, upstream.port);
            format!("https://{address}{path}")
        }
    }
}

pub(crate) fn tls_failure(error: &io::Error) -> Failure {
    let inner = error.get_ref();
    match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
            Failure::Http(HttpFault::NoHttp2)
        }
        Some(error) => Failure::Tls(tls::fault(error)),
        None if error.kind() == io::ErrorKind::UnexpectedEof => Failure::Closed,
        None => bind::failure(error),
    }
}

fn http_failure(error: &h2::Error) -> Failure {
    if let Some(error) = error.get_io() {
        let inner = error.get_ref();
        return match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            // An alert after the handshake: the server does not take us.
            Some(_) => Failure::Tls(TlsFault::Handshake),
            None => Failure::Closed,
        };
    }
    if error.is_go_away() || error.is_reset() {
        return Failure::Closed;
    }
    Failure::Http(HttpFault::NoHttp2)
}
