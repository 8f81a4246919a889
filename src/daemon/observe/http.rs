//! How does a scraper speak to us? Just enough of HTTP/1.1 (RFC 9112): one GET a connection, bounded in size and time.
//!
//! The bytes of a request are read by [`Request::parse`], which opens nothing; [`serve`] is what waits for sockets.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::exposition::Format;
use crate::input::Input;

/// The longest request; those of Prometheus have a few hundred octets.
const REQUEST_MAX: usize = 8192;
/// Connections at a time; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 8;
/// How long a connection may take from its first octet to its last.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(10);
/// How long to wait when the kernel has no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// A scraper waits for the numbers.
#[derive(Debug)]
pub(crate) struct Scrape {
    /// In which form.
    pub(crate) format: Format,
    /// Where they go.
    pub(crate) answer: oneshot::Sender<String>,
}

/// Where scrapers connect to.
#[derive(Debug)]
pub(super) enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// Takes connections for ever; the loop makes the numbers.
pub(super) async fn serve(listener: Listener, inputs: mpsc::Sender<Input>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
            return;
        };
        let inputs = inputs.clone();
        let accepted = match &listener {
            Listener::Unix(listener) => listener.accept().await.map(|(stream, _)| {
                tokio::spawn(async move {
                    limited(stream, inputs).await;
                    drop(permit);
                })
            }),
            Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                tokio::spawn(async move {
                    limited(stream, inputs).await;
                    drop(permit);
                })
            }),
        };
        if let Err(error) = accepted {
            tracing::warn!(%error, "cannot take a connection of a scraper");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn limited(stream: impl AsyncRead + AsyncWrite + Unpin, inputs: mpsc::Sender<Input>) {
    let answered = tokio::time::timeout(CONNECTION_LIFETIME, answer(stream, inputs)).await;
    match answered {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a scraper is not answered"),
        Err(_) => tracing::debug!("a scraper takes too long"),
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    inputs: mpsc::Sender<Input>,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    let request = loop {
        match Request::parse(&bytes) {
            Ok(Some(request)) => break Ok(request),
            Ok(None) => {}
            Err(status) => break Err(status),
        }
        let mut more = [0; 1024];
        let length = stream.read(&mut more).await?;
        if length == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(more.get(..length).unwrap_or_default());
    };
    let response = match request {
        Ok(Request { format, has_body }) => {
            let (answer, answered) = oneshot::channel();
            let scrape = Scrape { format, answer };
            match inputs.send(Input::Scrape(scrape)).await {
                Ok(()) => match answered.await {
                    Ok(text) => good(format, &text, has_body),
                    Err(_) => Status::Unavailable.response(),
                },
                Err(_) => Status::Unavailable.response(),
            }
        }
        Err(status) => status.response(),
    };
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}

/// A request for the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Request {
    format: Format,
    /// Whether the answer has a body: not that to HEAD.
    has_body: bool,
}

/// Why a request gets no numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    BadRequest,
    NotFound,
    MethodNotAllowed,
    TooLarge,
    Version,
    Unavailable,
}

impl Request {
    /// Reads a request; `None` while it is not whole.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, Status> {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            let too_large = bytes.len() > REQUEST_MAX;
            return if too_large {
                Err(Status::TooLarge)
            } else {
                Ok(None)
            };
        };
        if end > REQUEST_MAX {
            return Err(Status::TooLarge);
        }
        let head = bytes.get(..end).unwrap_or_default();
        let head = std::str::from_utf8(head).map_err(|_| Status::BadRequest)?;
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Status::BadRequest);
        };
        match version.strip_prefix("HTTP/") {
            Some("1.1" | "1.0") => {}
            Some(_) => return Err(Status::Version),
            None => return Err(Status::BadRequest),
        }
        let has_body = match method {
            "GET" => true,
            "HEAD" => false,
            _ => return Err(Status::MethodNotAllowed),
        };
        // A proxy may give the whole address (RFC 9112 §3.2.2).
        let path = match target.split_once("://") {
            Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
            None => target,
        };
        if path.split('?').next() != Some("/metrics") {
            return Err(Status::NotFound);
        }
        let mut format = Format::Text;
        for line in lines {
            let Some((name, value)) = line.split_once(':') else {
                return Err(Status::BadRequest);
            };
            if name.eq_ignore_ascii_case("accept") && wants_openmetrics(value) {
                format = Format::OpenMetrics;
            }
        }
        Ok(Some(Self { format, has_body }))
    }
}

/// Whether a scraper understands OpenMetrics and does not put it behind plain text.
fn wants_openmetrics(accept: &str) -> bool {
    let quality = |wanted: &str| {
        accept
            .split(',')
            .filter(|range| range.split(';').next().unwrap_or_default().trim() == wanted)
            .filter_map(|range| {
                let quality = range
                    .split(';')
                    .find_map(|part| part.trim().strip_prefix("q="));
                quality.map_or(Some(1.0), |quality| quality.trim().parse::<f32>().ok())
            })
            .fold(0.0, f32::max)
    };
    let openmetrics = quality("application/openmetrics-text");
    openmetrics > 0.0 && openmetrics >= quality("text/plain")
}

fn good(format: Format, text: &str, has_body: bool) -> String {
    let body = if has_body { text } else { "" };
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{body}",
        format.media_type(),
        text.len()
    )
}

impl Status {
    fn response(self) -> String {
        let (line, more, body) = match self {
            Self::BadRequest => ("400 Bad Request", "", "this is not an HTTP request\n"),
            Self::NotFound => ("404 Not Found", "", "the numbers are at /metrics\n"),
            Self::MethodNotAllowed => (
                "405 Method Not Allowed",
                "Allow: GET, HEAD\r\n",
                "GET and HEAD are all there is\n",
            ),
            Self::TooLarge => (
                "431 Request Header Fields Too Large",
                "",
                "the request is too long\n",
            ),
            Self::Version => (
                "505 HTTP Version Not Supported",
                "",
                "HTTP/1.1 is spoken here\n",
            ),
            Self::Unavailable => ("503 Service Unavailable", "", "linnetd is about to end\n"),
        };
        format!(
            "HTTP/1.1 {line}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n{more}Connection: close\r\n\r\n{body}",
            body.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<Request>, Status> {
        Request::parse(text.as_bytes())
    }

    const TEXT: Result<Option<Request>, Status> = Ok(Some(Request {
        format: Format::Text,
        has_body: true,
    }));

    #[test]
    fn requests_are_read_as_they_are_meant() {
        for (text, expected) in [
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", TEXT),
            ("GET /metrics HTTP/1.0\r\n\r\n", TEXT),
            ("GET /metrics?a=b HTTP/1.1\r\n\r\n", TEXT),
            ("GET http://x/metrics HTTP/1.1\r\n\r\n", TEXT),
            ("GET /metrics HTTP/1.1\r\n", Ok(None)),
            ("", Ok(None)),
            ("GET / HTTP/1.1\r\n\r\n", Err(Status::NotFound)),
            ("GET http://x HTTP/1.1\r\n\r\n", Err(Status::NotFound)),
            (
                "POST /metrics HTTP/1.1\r\n\r\n",
                Err(Status::MethodNotAllowed),
            ),
            ("GET /metrics HTTP/2\r\n\r\n", Err(Status::Version)),
            ("GET /metrics\r\n\r\n", Err(Status::BadRequest)),
            ("GET  /metrics HTTP/1.1\r\n\r\n", Err(Status::BadRequest)),
            (
                "GET /metrics HTTP/1.1\r\nno colon\r\n\r\n",
                Err(Status::BadRequest),
            ),
            ("\r\n\r\n", Err(Status::BadRequest)),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
        let head = parse("HEAD /metrics HTTP/1.1\r\n\r\n").unwrap().unwrap();
        assert!(!head.has_body);
        assert_eq!(
            Request::parse(b"GET /\xff HTTP/1.1\r\n\r\n"),
            Err(Status::BadRequest)
        );
    }

    #[test]
    fn a_request_without_end_is_cut_off() {
        let mut bytes = b"GET /metrics HTTP/1.1\r\n".to_vec();
        bytes.resize(REQUEST_MAX, b'a');
        assert_eq!(Request::parse(&bytes), Ok(None));
        bytes.resize(REQUEST_MAX + 1, b'a');
        assert_eq!(Request::parse(&bytes), Err(Status::TooLarge));
        bytes.extend_from_slice(b"\r\n\r\n");
        assert_eq!(Request::parse(&bytes), Err(Status::TooLarge));
    }

    #[test]
    fn the_form_is_the_one_that_the_scraper_prefers() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, expected) in [
            (prometheus, Format::OpenMetrics),
            ("*/*", Format::Text),
            ("text/plain", Format::Text),
            ("application/openmetrics-text", Format::OpenMetrics),
            (
                "application/openmetrics-text;q=0.2, text/plain;q=0.9",
                Format::Text,
            ),
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text;q=x", Format::Text),
        ] {
            let text = format!("GET /metrics HTTP/1.1\r\naccept: {accept}\r\n\r\n");
            assert_eq!(parse(&text).unwrap().unwrap().format, expected, "{accept}");
        }
    }

    #[test]
    fn no_octets_make_reading_panic() {
        let good = b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: text/plain;q=1\r\n\r\n";
        for at in 0..good.len() {
            for octet in 0..=u8::MAX {
                let mut bytes = good.to_vec();
                bytes[at] = octet;
                let _read = Request::parse(&bytes);
                let _read = Request::parse(&bytes[..at]);
            }
        }
    }
}
