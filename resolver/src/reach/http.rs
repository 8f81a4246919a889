//! What does one HTTP/1.1 request say, and what comes back? The message that asks, and a reader for the reply (RFC 9112).
//!
//! The reply is whoever's: a portal's, or a stranger's that stands in its way. It is bounded, and what is not understood is an
//! error, never a guess. Opens nothing.

use config::url::Url;
use httparse::{EMPTY_HEADER, Status};

/// The longest head of a reply, in octets.
const HEAD_MAX: usize = 8 << 10;
/// The most fields of a head.
const FIELDS_MAX: usize = 64;
/// The longest body; an answer of RFC 8908 has a few hundred octets.
pub const BODY_MAX: usize = 16 << 10;
/// The longest line that begins a chunk.
const CHUNK_LINE_MAX: usize = 64;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    /// What a portal says of us (RFC 8908 §4).
    Portal,
    /// Anything at all.
    Anything,
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Of which media type the body is, without parameters, in lower case.
    pub content_type: String,
    /// Where it leads to.
    pub location: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why what comes back is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// It is not HTTP/1.
    #[error("it does not speak HTTP")]
    NotHttp,
    /// Its head is too long.
    #[error("the head of its reply is too long")]
    HeadTooLong,
    /// Its body is too long.
    #[error("its reply is too long")]
    BodyTooLong,
    /// Its head or its chunks cannot be read.
    #[error("its reply is malformed")]
    Malformed,
    /// It ends before its end.
    #[error("its reply is cut off")]
    CutOff,
}

/// Writes the request (RFC 9112 §3).
pub fn request(url: &Url, wants: Wants) -> Vec<u8> {
    let accept = match wants {
        // RFC 8908 §4.1.
        Wants::Portal => "application/captive+json",
        Wants::Anything => "*/*",
    };
    format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: {accept}\r\nCache-Control: no-cache\r\nConnection: close\r\n\r\n",
        url.target,
        url.authority()
    )
    .into_bytes()
}

/// Reads a reply as it comes in.
#[derive(Debug, Default)]
pub struct Reader {
    seen: Vec<u8>,
    head: Option<Head>,
    /// Whether the head is all that is waited for.
    by_head: bool,
}

#[derive(Debug)]
struct Head {
    reply: Reply,
    /// Where the body begins in what was seen.
    at: usize,
    length: Length,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Known(usize),
    Chunked,
    ToTheEnd,
}

impl Reader {
    /// Makes a reader of what was asked for. Only what a portal says is read to its end: the page that somebody puts in the place of
    /// another may be as long as it likes.
    pub fn new(wants: Wants) -> Self {
        Self {
            by_head: wants == Wants::Anything,
            ..Self::default()
        }
    }

    /// Takes what has come in; returns the reply once it is whole.
    ///
    /// # Errors
    /// [`ReplyError`]; nothing more is to be read then.
    pub fn take(&mut self, octets: &[u8]) -> Result<Option<Reply>, ReplyError> {
        self.seen.extend_from_slice(octets);
        loop {
            let Some(head) = &self.head else {
                let Some(head) = read_head(&self.seen, self.by_head)? else {
                    return Ok(None);
                };
                // RFC 9110 §15.2: what goes before the reply is not it.
                if (100..200).contains(&head.reply.status) {
                    self.seen.drain(..head.at);
                    continue;
                }
                self.head = Some(head);
                continue;
            };
            return head.whole(&self.seen, false);
        }
    }

    /// Takes the end of the connection.
    ///
    /// # Errors
    /// [`ReplyError`].
    pub fn end(mut self) -> Result<Reply, ReplyError> {
        if let Some(reply) = self.take(&[])? {
            return Ok(reply);
        }
        let head = self.head.as_ref().ok_or(match self.seen.is_empty() {
            true => ReplyError::CutOff,
            false => ReplyError::NotHttp,
        })?;
        head.whole(&self.seen, true)?.ok_or(ReplyError::CutOff)
    }
}

impl Reply {
    /// Whether it is a page that a person is to read.
    pub fn is_page(&self) -> bool {
        matches!(
            self.content_type.as_str(),
            "text/html" | "application/xhtml+xml"
        )
    }
}

impl Head {
    fn whole(&self, seen: &[u8], ended: bool) -> Result<Option<Reply>, ReplyError> {
        let rest = seen.get(self.at..).unwrap_or_default();
        let body = match self.length {
            Length::Known(length) => match rest.get(..length) {
                Some(body) => body.to_vec(),
                None => return Ok(None),
            },
            Length::Chunked => match unchunk(rest)? {
                Some(body) => body,
                None => return Ok(None),
            },
            Length::ToTheEnd if rest.len() > BODY_MAX => return Err(ReplyError::BodyTooLong),
            Length::ToTheEnd if ended => rest.to_vec(),
            Length::ToTheEnd => return Ok(None),
        };
        Ok(Some(Reply {
            body,
            ..self.reply.clone()
        }))
    }
}

/// Reads the head, when it is all there.
fn read_head(seen: &[u8], is_all: bool) -> Result<Option<Head>, ReplyError> {
    use httparse::Error;

    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Response::new(&mut fields);
    let at = match head.parse(seen.get(..HEAD_MAX).unwrap_or(seen)) {
        Ok(Status::Complete(at)) => at,
        Ok(Status::Partial) if seen.len() >= HEAD_MAX => return Err(ReplyError::HeadTooLong),
        Ok(Status::Partial) => return Ok(None),
        Err(Error::Version) => return Err(ReplyError::NotHttp),
        Err(Error::TooManyHeaders) => return Err(ReplyError::HeadTooLong),
        Err(
            Error::HeaderName | Error::HeaderValue | Error::NewLine | Error::Status | Error::Token,
        ) => {
            return Err(ReplyError::Malformed);
        }
    };
    let status = head.code.filter(|status| *status >= 100);
    let status = status.ok_or(ReplyError::Malformed)?;
    let mut reply = Reply {
        status,
        ..Reply::default()
    };
    let (mut known, mut chunked) = (None, false);
    for field in head.headers {
        let value = || str::from_utf8(field.value).map_err(|_| ReplyError::Malformed);
        match field.name.to_ascii_lowercase().as_str() {
            "content-type" => {
                let kind = value()?.split(';').next().unwrap_or_default();
                reply.content_type = kind.trim().to_ascii_lowercase();
            }
            "location" => reply.location = Some(value()?.to_owned()),
            "content-length" => {
                let value = value()?;
                let is_number = value.bytes().all(|octet| octet.is_ascii_digit());
                let length = value.parse::<usize>().ok().filter(|_| is_number);
                let length = length.ok_or(ReplyError::Malformed)?;
                // RFC 9112 §6.3: two that differ are an attack.
                if known.is_some_and(|known| known != length) {
                    return Err(ReplyError::Malformed);
                }
                known = Some(length);
            }
            "transfer-encoding" => match value()?.eq_ignore_ascii_case("chunked") {
                true => chunked = true,
                false => return Err(ReplyError::Malformed),
            },
            _ => {}
        }
    }
    let length = match known {
        // RFC 9112 §6.3: these have no body, whatever else they say.
        _ if is_all || matches!(status, 100..=199 | 204 | 304) => Length::Known(0),
        Some(_) if chunked => return Err(ReplyError::Malformed),
        None if chunked => Length::Chunked,
        Some(length) if length > BODY_MAX => return Err(ReplyError::BodyTooLong),
        Some(length) => Length::Known(length),
        None => Length::ToTheEnd,
    };
    Ok(Some(Head { reply, at, length }))
}

/// Puts chunks together (RFC 9112 §7.1); `None` while the last is not there.
fn unchunk(mut rest: &[u8]) -> Result<Option<Vec<u8>>, ReplyError> {
    let mut body = Vec::new();
    loop {
        let searched = rest.get(..CHUNK_LINE_MAX).unwrap_or(rest);
        let (begins, length) = match httparse::parse_chunk_size(searched) {
            Ok(Status::Complete(line)) => line,
            Ok(Status::Partial) if rest.len() < CHUNK_LINE_MAX => return Ok(None),
            Ok(Status::Partial) | Err(_) => return Err(ReplyError::Malformed),
        };
        let length = usize::try_from(length).map_err(|_| ReplyError::BodyTooLong)?;
        if length == 0 {
            // Trailers say nothing that anybody waits for.
            return Ok(Some(body));
        }
        if length > BODY_MAX - body.len() {
            return Err(ReplyError::BodyTooLong);
        }
        let after = rest.get(begins..).unwrap_or_default();
        let Some((chunk, after)) = after.split_at_checked(length) else {
            return Ok(None);
        };
        body.extend_from_slice(chunk);
        match after.split_at_checked(2) {
            Some((b"\r\n", after)) => rest = after,
            Some(_) => return Err(ReplyError::Malformed),
            None => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Reply, ReplyError> {
        // In pieces of every size it comes to the same.
        let whole = {
            let mut reader = Reader::default();
            match reader.take(text.as_bytes()) {
                Ok(Some(reply)) => Ok(reply),
                Ok(None) => reader.end(),
                Err(error) => Err(error),
            }
        };
        for size in 1..6 {
            let mut reader = Reader::default();
            let mut came = None;
            for piece in text.as_bytes().chunks(size) {
                came = reader.take(piece).transpose();
                if came.is_some() {
                    break;
                }
            }
            let came = came.unwrap_or_else(|| reader.end());
            assert_eq!(came, whole, "in pieces of {size}: {text:?}");
        }
        whole
    }

    #[test]
    fn replies_by_rows() {
        let body = |text: &str| read(text).map(|reply| String::from_utf8(reply.body).unwrap());
        let ok = |text: &str| Ok(text.to_owned());
        let head = "HTTP/1.1 200 OK\r\nContent-Type: Application/Captive+JSON; charset=utf-8\r\n";
        let rows = [
            (format!("{head}Content-Length: 2\r\n\r\n{{}}more"), ok("{}")),
            (format!("{head}\r\n{{}}"), ok("{}")),
            (
                format!(
                    "{head}Transfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n1;x=y\r\n}}\r\n0\r\n\r\n"
                ),
                ok("{}"),
            ),
            (
                format!("HTTP/1.1 100 Continue\r\n\r\n{head}\r\n{{}}"),
                ok("{}"),
            ),
            ("HTTP/1.0 204 No Content\r\n\r\n".to_owned(), ok("")),
            (
                format!("{head}Content-Length: 3\r\n\r\n{{}}"),
                Err(ReplyError::CutOff),
            ),
            (
                format!("{head}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}"),
                Err(ReplyError::Malformed),
            ),
            (
                format!("{head}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{{}}"),
                Err(ReplyError::Malformed),
            ),
            (
                format!("{head}Transfer-Encoding: chunked\r\n\r\n+1\r\n{{\r\n0\r\n\r\n"),
                Err(ReplyError::Malformed),
            ),
            (
                format!("{head}Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"),
                Err(ReplyError::Malformed),
            ),
            (
                format!("{head}Transfer-Encoding: chunked\r\n\r\nfffffff\r\n"),
                Err(ReplyError::BodyTooLong),
            ),
            (
                format!(
                    "{head}Transfer-Encoding: chunked\r\n\r\n1;{}",
                    "x".repeat(CHUNK_LINE_MAX)
                ),
                Err(ReplyError::Malformed),
            ),
            (
                format!(
                    "HTTP/1.1 200 OK\r\n{}\r\n",
                    "A: b\r\n".repeat(FIELDS_MAX + 1)
                ),
                Err(ReplyError::HeadTooLong),
            ),
            (
                format!("{head}Content-Length: +2\r\n\r\n{{}}"),
                Err(ReplyError::Malformed),
            ),
            (
                format!("{head}Content-Length: 999999\r\n\r\n"),
                Err(ReplyError::BodyTooLong),
            ),
            ("SSH-2.0-OpenSSH\r\n".to_owned(), Err(ReplyError::NotHttp)),
            (
                "HTTP/1.1 2x0 OK\r\n\r\n".to_owned(),
                Err(ReplyError::Malformed),
            ),
            (
                "HTTP/1.1 200 OK\r\nno colon\r\n\r\n".to_owned(),
                Err(ReplyError::Malformed),
            ),
            ("HTTP/1.1 200".to_owned(), Err(ReplyError::NotHttp)),
            (String::new(), Err(ReplyError::CutOff)),
            (
                format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(HEAD_MAX)),
                Err(ReplyError::HeadTooLong),
            ),
            (
                format!("{head}\r\n{}", "x".repeat(BODY_MAX + 1)),
                Err(ReplyError::BodyTooLong),
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(body(&text), expected, "{text:?}");
        }
        let reply = read("HTTP/1.1 302 Found\r\nLocation: https://portal.test/in\r\n\r\n").unwrap();
        assert_eq!(reply.location.as_deref(), Some("https://portal.test/in"));
        let reply = read(&format!("{head}\r\n")).unwrap();
        assert_eq!(reply.content_type, "application/captive+json");
    }

    #[test]
    fn of_a_page_the_head_is_enough_however_long_it_is() {
        let page = "HTTP/1.1 200 OK\r\nContent-Type: text/HTML; charset=x\r\nContent-Length: 9999999\r\n\r\n<html>";
        for size in [1, 7, 1000] {
            let mut reader = Reader::new(Wants::Anything);
            let mut pieces = page.as_bytes().chunks(size);
            let reply = pieces.find_map(|piece| reader.take(piece).unwrap());
            let reply = reply.unwrap();
            assert!(reply.is_page() && reply.body.is_empty(), "{reply:?}");
        }
        let mut whole = Reader::new(Wants::Portal);
        assert_eq!(whole.take(page.as_bytes()), Err(ReplyError::BodyTooLong));
        let mut reader = Reader::new(Wants::Anything);
        assert_eq!(reader.take(b"SSH-2.0-x\r\n"), Err(ReplyError::NotHttp));
    }

    #[test]
    fn a_request_has_the_host_and_asks_for_nothing_else() {
        let url: Url = "https://portal.test:8443/api?x=1".parse().unwrap();
        let text = String::from_utf8(request(&url, Wants::Portal)).unwrap();
        assert!(
            text.starts_with("GET /api?x=1 HTTP/1.1\r\nHost: portal.test:8443\r\nAccept: application/captive+json\r\n")
        );
        assert!(text.ends_with("Connection: close\r\n\r\n"), "{text}");
    }
}
