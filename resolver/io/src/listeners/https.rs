//! How are questions asked by HTTPS? HTTP/2 alone, GET and POST (RFC 8484), one question to a request.
//!
//! The library speaks HTTP/2 and bounds its frames, headers and resets; here is what DNS makes of a request, and how long one may
//! last. Nothing but the one path is served, and nothing of a request is kept.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::{Buf, Bytes};
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request, Response, StatusCode, header};
use resolver::carried::{Carried, pad};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::house::{Delivery, Door, House, IN_FLIGHT_MAX, SLOWEST, Taken, Unsent};
use super::shares::Share;
use super::stream::End;
use crate::Caller;

/// The type of a DNS message (RFC 8484 §6).
const MESSAGE_TYPE: &str = "application/dns-message";
/// The longest question, in octets.
const QUESTION_MAX: usize = 4096;
/// The longest question in base64url without padding.
const VALUE_MAX: usize = (QUESTION_MAX * 4).div_ceil(3);
/// The most octets of headers.
const HEADERS_MAX: u32 = 16 << 10;
/// Octets that a client may send before it is heard.
const WINDOW: u32 = 64 << 10;
/// Octets of answers that wait for the client's window, of one connection.
const UNSENT_MAX: usize = 64 << 10;
/// Resets of one connection that are borne.
const RESETS_MAX: usize = 32;

/// Serves one connection whose TLS is up.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    caller: Caller,
    house: &Arc<House>,
    door: &Arc<Door>,
) -> End {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(u32::try_from(IN_FLIGHT_MAX).unwrap_or(1))
        .max_header_list_size(HEADERS_MAX)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buffer_size(UNSENT_MAX)
        .max_concurrent_reset_streams(RESETS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX);
    let greeted = tokio::time::timeout(SLOWEST, builder.handshake::<_, Piece>(stream)).await;
    let Ok(Ok(mut connection)) = greeted else {
        return End::Bad;
    };
    // Ended with the connection.
    let mut requests = JoinSet::new();
    loop {
        let quiet_since = Instant::now();
        let request = tokio::select! {
            request = connection.accept() => request,
            Some(answered) = requests.join_next() => match answered {
                Ok(Err(Slow)) => {
                    // It is told, if it reads at all.
                    connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                    poll_fn(|cx| {
                        let _later = connection.poll_closed(cx);
                        Poll::Ready(())
                    })
                    .await;
                    return End::Bad;
                }
                Ok(Ok(())) | Err(_) => continue,
            },
            () = house.until_idle_too_long(quiet_since), if requests.is_empty() => break,
        };
        match request {
            Some(Ok((request, respond))) => {
                let (house, door) = (Arc::clone(house), Arc::clone(door));
                requests
                    .spawn(async move { answer(request, respond, caller, &house, &door).await });
            }
            Some(Err(error)) if error.is_io() => return End::Done,
            Some(Err(_)) => return End::Bad,
            None => return End::Done,
        }
    }
    // Idle: it is told, and has a while to end what it began.
    connection.graceful_shutdown();
    let _ended = tokio::time::timeout(SLOWEST, async {
        while let Some(Ok(_)) = connection.accept().await {}
    })
    .await;
    End::Done
}

/// The client does not take its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slow;

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Piece>,
    caller: Caller,
    house: &House,
    door: &Door,
) -> Result<(), Slow> {
    let (head, mut body) = request.into_parts();
    let question = tokio::time::timeout(SLOWEST, question(&head, &mut body, &door.path)).await;
    let wire = match question.unwrap_or(Err(StatusCode::REQUEST_TIMEOUT)) {
        Ok(wire) => wire,
        Err(status) => {
            door.counts.malformed.up();
            if respond.send_response(refusal(status), true).is_ok() {
                // What is still on its way is taken, or the client would hear of a reset instead of the status.
                let _taken = tokio::time::timeout(SLOWEST, drain(&mut body)).await;
            }
            return Ok(());
        }
    };
    let padded = Carried::parse(&wire).padded;
    let (back, mut answers) = mpsc::channel(1);
    let delivery = match house.take(door, caller, wire, (&back, 0)) {
        Taken::Asked => answers.recv().await.map(|(_, delivery)| delivery),
        Taken::Answered(wire) => Some(Delivery { wire, share: None }),
        Taken::Silence => None,
    };
    let delivery = delivery.filter(|delivery| !delivery.wire.is_empty());
    let Some(Delivery { mut wire, share }) = delivery else {
        respond.send_reset(Reason::PROTOCOL_ERROR);
        return Ok(());
    };
    if padded {
        pad(&mut wire);
    }
    let mut unsent = house.unsent();
    if !unsent.grow(wire.len()) {
        // That of all clients together: this one need not be to blame.
        door.counts.limited.up();
        respond.send_reset(Reason::ENHANCE_YOUR_CALM);
        return Ok(());
    }
    let response = Response::builder()
        .header(header::CONTENT_TYPE, MESSAGE_TYPE)
        .header(header::CONTENT_LENGTH, wire.len())
        // RFC 8484 §5.1: no longer than the shortest TTL.
        .header(
            header::CACHE_CONTROL,
            format!("max-age={}", freshness(&wire)),
        )
        .body(());
    let Ok(response) = response else {
        return Ok(());
    };
    let Ok(body) = respond.send_response(response, false) else {
        return Ok(());
    };
    let (told, written) = oneshot::channel();
    let kept = Kept {
        _unsent: unsent,
        _share: share,
        _told: told,
    };
    let taken = tokio::time::timeout(SLOWEST, async {
        send(body, wire.into(), kept).await;
        let _all_pieces_gone = written.await;
    });
    taken.await.map_err(|_| Slow)
}

/// Returns the response to a request that is no question.
fn refusal(status: StatusCode) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    if status == StatusCode::METHOD_NOT_ALLOWED {
        // RFC 9110 §15.5.6.
        let allowed = header::HeaderValue::from_static("GET, POST");
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

/// What an answer holds until its last octet is written, or it is dropped.
#[derive(Debug)]
struct Kept {
    _unsent: Unsent,
    _share: Option<Share>,
    _told: oneshot::Sender<Infallible>,
}

/// Some of an answer, as the library keeps it until it is written.
#[derive(Debug)]
struct Piece {
    octets: Bytes,
    _kept: Arc<Kept>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.octets.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.octets.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.octets.advance(count);
    }
}

/// Takes the question out of a request.
async fn question(
    head: &http::request::Parts,
    body: &mut RecvStream,
    path: &str,
) -> Result<Vec<u8>, StatusCode> {
    if head.uri.path() != path {
        return Err(StatusCode::NOT_FOUND);
    }
    if head.method == Method::GET {
        let query = head.uri.query().unwrap_or_default();
        let value = query.split('&').find_map(|part| part.strip_prefix("dns="));
        let value = value.ok_or(StatusCode::BAD_REQUEST)?;
        if value.len() > VALUE_MAX {
            return Err(StatusCode::URI_TOO_LONG);
        }
        return decode(value).ok_or(StatusCode::BAD_REQUEST);
    }
    if head.method != Method::POST {
        return Err(StatusCode::METHOD_NOT_ALLOWED);
    }
    let kind = head.headers.get(header::CONTENT_TYPE);
    if kind.is_none_or(|kind| {
        !kind
            .as_bytes()
            .eq_ignore_ascii_case(MESSAGE_TYPE.as_bytes())
    }) {
        return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let mut wire = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(|_| StatusCode::BAD_REQUEST)?;
        if wire.len() + piece.len() > QUESTION_MAX {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        wire.extend_from_slice(&piece);
        // What was taken makes room for more.
        let _open = body.flow_control().release_capacity(piece.len());
    }
    Ok(wire)
}

/// Takes the rest of a body that is of no use, as far as that is reasonable.
async fn drain(body: &mut RecvStream) {
    let mut taken = 0;
    while let Some(Ok(piece)) = body.data().await {
        taken += piece.len();
        if taken > UNSENT_MAX {
            return;
        }
        let _open = body.flow_control().release_capacity(piece.len());
    }
}

/// Gives an answer to the library as fast as the client's window lets it.
async fn send(mut body: SendStream<Piece>, mut rest: Bytes, kept: Kept) {
    let kept = Arc::new(kept);
    while !rest.is_empty() {
        body.reserve_capacity(rest.len());
        let Some(Ok(room)) = poll_fn(|cx| body.poll_capacity(cx)).await else {
            return;
        };
        if room == 0 {
            continue;
        }
        let piece = Piece {
            octets: rest.split_to(room.min(rest.len())),
            _kept: Arc::clone(&kept),
        };
        if body.send_data(piece, rest.is_empty()).is_err() {
            return;
        }
    }
}

/// Reads base64url without padding (RFC 8484 §4.1, RFC 4648 §5).
pub fn decode(text: &str) -> Option<Vec<u8>> {
    if text.len() > VALUE_MAX {
        return None;
    }
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    for group in text.as_bytes().chunks(4) {
        let mut bits: u32 = 0;
        for octet in group {
            let value = match octet {
                b'A'..=b'Z' => octet - b'A',
                b'a'..=b'z' => octet - b'a' + 26,
                b'0'..=b'9' => octet - b'0' + 52,
                b'-' => 62,
                b'_' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        let missing = 4 - group.len();
        let [_, one, two, three] = (bits << (6 * missing)).to_be_bytes();
        let octets = [one, two, three];
        // One character alone is no octet; what is left over must be zero.
        let whole = octets.get(..3_usize.checked_sub(missing).filter(|count| *count > 0)?)?;
        if octets.get(whole.len()..)?.iter().any(|octet| *octet != 0) {
            return None;
        }
        out.extend_from_slice(whole);
    }
    Some(out)
}

/// Returns how long an answer may be kept by a cache of HTTP, in seconds.
fn freshness(answer: &[u8]) -> u32 {
    resolver::carried::shortest_ttl(answer).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_is_read_by_rows() {
        let rows: [(&str, Option<&[u8]>); 12] = [
            ("", Some(b"")),
            ("AA", Some(b"\0")),
            ("_-8", Some(&[0xff, 0xef])),
            ("AAAB", Some(&[0, 0, 1])),
            (
                "AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB",
                Some(b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01"),
            ),
            ("A", None),
            ("AAAAA", None),
            ("AB", None),
            ("AAB", None),
            ("AA==", None),
            ("AA+/", None),
            ("AA A", None),
        ];
        for (text, expected) in rows {
            assert_eq!(decode(text).as_deref(), expected, "{text}");
        }
        assert_eq!(decode(&"A".repeat(6000)), None);
    }
}
