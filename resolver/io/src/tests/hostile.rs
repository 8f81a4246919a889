//! What do servers of HTTP/3 and HTTP/2 come to that mean harm? A failure that says why, soon, and no more memory than an answer.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use resolver::HttpFault;
use rustls::ServerConfig;

use super::calls::{CallServer, by_h3, by_https, serve};
use super::servers::*;
use super::streams::{ask, assert_replies, trusting};
use super::*;

/// The longest that a failure may take to be told.
const SOON: Duration = Duration::from_secs(2);
/// Octets that an endless answer may bring.
const MOST: u64 = 8 << 20;

/// HEADERS: 200, application/dns-message (QPACK static 25 and 44).
const HEAD: &[u8] = &[1, 4, 0, 0, 0xd9, 0xec];
/// Frames of DATA, of SETTINGS, and of a kind that nobody knows.
const DATA: u8 = 0;
const SETTINGS: u8 = 4;
const UNKNOWN: u8 = 0x21;

/// What a server of HTTP/3 does on a request's stream, octet by octet.
#[derive(Debug, Clone)]
enum Manner {
    /// This, with the request's body as a DATA frame at its end.
    Answers(Vec<u8>),
    /// This and no more.
    Says(Vec<u8>),
    /// This, and then zeros without end.
    Floods(Vec<u8>),
    /// This, and then it resets the stream.
    Resets(Vec<u8>),
    /// Nothing, until the stream is given up.
    Stalls,
    /// GOAWAY on the control stream, then it rejects.
    Goes,
    /// This in place of SETTINGS on the control stream.
    Greets(Vec<u8>),
}

/// A frame; `length` in four octets.
fn frame(kind: u8, length: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend((0x8000_0000 | length).to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

fn whole(kind: u8, payload: &[u8]) -> Vec<u8> {
    frame(kind, u32::try_from(payload.len()).unwrap(), payload)
}

/// Returns the payload of a frame that is whole, and what follows.
fn split_frame(octets: &[u8]) -> (&[u8], &[u8]) {
    // RFC 9000 §16; ours are shorter than 16384 octets.
    let (length, at) = match octets[1] & 0xc0 {
        0 => (usize::from(octets[1]), 2),
        _ => (
            usize::from(octets[1] & 0x3f) << 8 | usize::from(octets[2]),
            3,
        ),
    };
    octets[at..].split_at(length)
}

/// A server whose streams do as told; counts what it could send, and streams that were given up.
struct Hostile {
    server: CallServer,
    sent: Arc<AtomicU64>,
    given_up: Arc<AtomicUsize>,
}

fn hostile(
    config: ServerConfig,
    mut manner: impl FnMut(usize) -> Manner + Send + 'static,
) -> Hostile {
    let (sent, given_up) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&sent), Arc::clone(&given_up));
    let server = serve(move |_, told, connections| async move {
        let (sent, given_up) = counts;
        let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(Arc::new(config)).unwrap();
        let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        let endpoint = quinn::Endpoint::server(config, loopback()).unwrap();
        told.send(endpoint.local_addr().unwrap()).unwrap();
        let mut number = 0;
        while let Some(incoming) = endpoint.accept().await {
            connections.fetch_add(1, Ordering::SeqCst);
            let Ok(connection) = incoming.await else {
                continue;
            };
            let manner = manner(number);
            number += 1;
            let (sent, given_up) = (Arc::clone(&sent), Arc::clone(&given_up));
            tokio::spawn(async move {
                let mut control = connection.open_uni().await.unwrap();
                let greeting = match &manner {
                    Manner::Greets(greeting) => greeting.clone(),
                    Manner::Answers(_)
                    | Manner::Says(_)
                    | Manner::Floods(_)
                    | Manner::Resets(_)
                    | Manner::Stalls
                    | Manner::Goes => whole(SETTINGS, &[]),
                };
                let _open = control.write_all(&[&[0], &greeting[..]].concat()).await;
                while let Ok((mut send, mut receive)) = connection.accept_bi().await {
                    if matches!(manner, Manner::Goes) {
                        let _gone = control.write_all(&whole(7, &[0])).await;
                    }
                    let (manner, sent, given_up) =
                        (manner.clone(), Arc::clone(&sent), Arc::clone(&given_up));
                    tokio::spawn(async move {
                        let request = receive.read_to_end(70_000).await.unwrap_or_default();
                        match manner {
                            Manner::Answers(mut octets) => {
                                let (_head, rest) = split_frame(&request);
                                let (body, _end) = split_frame(rest);
                                octets.extend(whole(DATA, body));
                                let _sent = send.write_all(&octets).await;
                                let _finished = send.finish();
                            }
                            Manner::Says(octets) => {
                                let _sent = send.write_all(&octets).await;
                                let _finished = send.finish();
                            }
                            Manner::Floods(octets) => {
                                let mut more = octets;
                                while send.write_all(&more).await.is_ok() {
                                    sent.fetch_add(more.len() as u64, Ordering::SeqCst);
                                    more = vec![0; 16 << 10];
                                }
                                given_up.fetch_add(1, Ordering::SeqCst);
                            }
                            Manner::Resets(octets) => {
                                let _sent = send.write_all(&octets).await;
                                tokio::time::sleep(Duration::from_millis(20)).await;
                                let _reset = send.reset(0x10c_u32.into());
                            }
                            Manner::Goes => {
                                let _reset = send.reset(0x10b_u32.into());
                            }
                            Manner::Stalls | Manner::Greets(_) => {
                                let _until = send.stopped().await;
                                given_up.fetch_add(1, Ordering::SeqCst);
                            }
                        }
                        let _acknowledged = send.stopped().await;
                    });
                }
            });
        }
    });
    Hostile {
        server,
        sent,
        given_up,
    }
}

/// Asks a server that does this by HTTP/3; returns what came of it, and how much it could send.
async fn meet(
    driver: &mut Driver,
    authority: &Authority,
    exchange: u64,
    manner: Manner,
) -> (Got, u64) {
    let identity = authority.issue(&["dns.example"], Made::Well, &[b"h3"]);
    let server = hostile(identity.config, move |_| manner.clone());
    let sent = [by_h3(exchange, server.server.address, Some("dns.example"))];
    let began = Instant::now();
    let got = ask(driver, &sent).await.remove(0);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    (got, server.sent.load(Ordering::SeqCst))
}

#[test]
fn what_is_no_answer_by_http3_is_told_soon_and_keeps_nothing() {
    const NOT_DNS: Failure = Failure::Http(HttpFault::NotDns);
    let status = |index: u8| whole(1, &[0, 0, 0xff, index - 63, 0xec]);
    let endless = 0x3fff_ffff;
    run(async move {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let rows: Vec<(&str, Manner, Failure)> = vec![
            (
                "an endless body",
                Manner::Floods([HEAD, &frame(DATA, endless, &[])].concat()),
                NOT_DNS,
            ),
            (
                "an endless head",
                Manner::Floods(frame(1, endless, &[0, 0])),
                Failure::Closed,
            ),
            (
                "an endless unknown frame",
                Manner::Floods(frame(UNKNOWN, endless, &[])),
                Failure::Closed,
            ),
            (
                "an endless unknown frame after the head",
                Manner::Floods([HEAD, &frame(UNKNOWN, endless, &[])].concat()),
                Failure::Closed,
            ),
            (
                "endless trailers",
                Manner::Floods([HEAD, &frame(1, endless, &[])].concat()),
                Failure::Closed,
            ),
            (
                "a page",
                Manner::Answers(vec![1, 4, 0, 0, 0xd9, 0xf4]),
                NOT_DNS,
            ),
            ("no type", Manner::Answers(vec![1, 3, 0, 0, 0xd9]), NOT_DNS),
            (
                "302",
                Manner::Answers(status(66)),
                Failure::Http(HttpFault::Status(302)),
            ),
            (
                "400",
                Manner::Answers(status(67)),
                Failure::Http(HttpFault::Status(400)),
            ),
            (
                "500",
                Manner::Answers(status(71)),
                Failure::Http(HttpFault::Status(500)),
            ),
            ("no body", Manner::Says(HEAD.to_vec()), Failure::Garbled),
            (
                "half a header",
                Manner::Says([HEAD, &whole(DATA, &[0; 11])].concat()),
                Failure::Garbled,
            ),
            (
                "half a frame",
                Manner::Says([HEAD, &frame(DATA, 100, &[0; 50])].concat()),
                Failure::Closed,
            ),
            (
                "half a head",
                Manner::Says(HEAD[..4].to_vec()),
                Failure::Closed,
            ),
            ("nothing", Manner::Says(Vec::new()), Failure::Closed),
            (
                "a body before the head",
                Manner::Says(whole(DATA, &[0; 20])),
                Failure::Closed,
            ),
            (
                "settings on a request",
                Manner::Says(whole(SETTINGS, &[])),
                Failure::Closed,
            ),
            (
                "a frame of HTTP/2",
                Manner::Says(whole(9, &[0])),
                Failure::Closed,
            ),
            (
                "a promise",
                Manner::Says(whole(5, &[0, 0, 0, 0xd9])),
                Failure::Closed,
            ),
            (
                "another protocol",
                Manner::Says(vec![0x40, 0x41, 0]),
                Failure::Closed,
            ),
            (
                "another protocol, later",
                Manner::Says([HEAD, &[0x40, 0x41, 0]].concat()),
                Failure::Closed,
            ),
            (
                "a dynamic table",
                Manner::Says(whole(1, &[5, 0, 0x80])),
                Failure::Closed,
            ),
            (
                "a string without end",
                Manner::Says(whole(1, &[0, 0, 0x27, 0xff, 0xff, 0xff, 0x7f])),
                Failure::Closed,
            ),
            (
                "a reset amid the body",
                Manner::Resets([HEAD, &frame(DATA, 100, &[0; 50])].concat()),
                Failure::Closed,
            ),
            ("a reset", Manner::Resets(Vec::new()), Failure::Closed),
            ("a goodbye", Manner::Goes, Failure::Closed),
            (
                "no settings first",
                Manner::Greets(whole(DATA, &[0])),
                Failure::Closed,
            ),
            (
                "a setting of HTTP/2",
                Manner::Greets(whole(SETTINGS, &[2, 0])),
                Failure::Closed,
            ),
            (
                "half settings",
                Manner::Greets(whole(SETTINGS, &[0x40])),
                Failure::Closed,
            ),
        ];
        for (exchange, (what, manner, failure)) in (1..).zip(rows) {
            let (got, sent) = meet(&mut driver, &authority, exchange, manner).await;
            assert_eq!(got, Got::Failed(exchange, failure), "{what}");
            assert!(sent < MOST, "{what}: {sent}");
        }
    });
}

#[test]
fn what_is_odd_but_an_answer_by_http3_is_one() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let early = [1, 3, 0, 0, 0xd8];
        let rows = [
            HEAD.to_vec(),
            [&early, &early, HEAD].concat(),
            [HEAD, &whole(DATA, &[])].concat(),
            [&whole(UNKNOWN, &[1; 100]), HEAD, &whole(UNKNOWN, &[])].concat(),
        ];
        for (exchange, row) in (1..).zip(rows) {
            let identity = authority.issue(&["dns.example"], Made::Well, &[b"h3"]);
            let server = hostile(identity.config, move |_| Manner::Answers(row.clone()));
            let sent = [by_h3(exchange, server.server.address, Some("dns.example"))];
            assert_replies(&ask(&mut driver, &sent).await, &sent);
        }
    });
}

#[test]
fn noise_by_http3_always_comes_to_something() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let identity = authority.issue(&["dns.example"], Made::Well, &[b"h3"]);
        // xorshift64, so that every run hears the same.
        let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = move || {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            usize::try_from(chance >> 33).unwrap()
        };
        let whole = [HEAD, &whole(DATA, &[0; 11]), &whole(1, &[0, 0, 0xd9])].concat();
        let server = hostile(identity.config, move |number| {
            let mut octets = whole.clone();
            for _ in 0..=next() % 4 {
                let at = next() % octets.len();
                match next() % 3 {
                    0 => octets[at] = u8::try_from(next() % 256).unwrap(),
                    1 => octets.insert(at, u8::try_from(next() % 256).unwrap()),
                    _ => drop(octets.remove(at)),
                }
            }
            match number % 8 {
                7 => Manner::Greets(octets),
                _ => Manner::Says(octets),
            }
        });
        for exchange in 1..=400 {
            let sent = [by_h3(exchange, server.server.address, Some("dns.example"))];
            for transmit in &sent {
                driver.transmit(transmit.clone());
            }
            driver.finish_round();
            // What greets well by chance says nothing.
            let got = tokio::time::timeout(Duration::from_secs(1), gather(&mut driver, 1)).await;
            match got {
                // A body that is long enough is the core's to read.
                Ok(got) => assert!(
                    matches!(got[..], [Got::Failed(..) | Got::Reply(..)]),
                    "{got:?}"
                ),
                Err(_) => assert_eq!(exchange % 8, 0, "{exchange}"),
            }
            driver.hang_up(&Hangup {
                group: GroupId(1),
                upstream: None,
            });
            driver.cancel(ExchangeId(exchange));
            while let Ok(_late) = tokio::time::timeout(Duration::ZERO, round(&mut driver)).await {}
        }
    });
}

#[test]
fn a_stream_that_stalls_holds_up_nobody_and_is_given_up_with_its_question() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let identity = authority.issue(&["dns.example"], Made::Well, &[b"h3"]);
        let server = hostile(identity.config, |_| Manner::Stalls);
        let by = |exchange| by_h3(exchange, server.server.address, Some("dns.example"));
        for exchange in 1..=150 {
            driver.transmit(by(exchange));
        }
        driver.finish_round();
        let waited = tokio::time::timeout(Duration::from_millis(300), round(&mut driver)).await;
        assert!(waited.is_err(), "{waited:?}");
        for exchange in 1..=150 {
            driver.cancel(ExchangeId(exchange));
        }
        // A hundred at a time is what the server lets; the others never came to a stream.
        for _ in 0..100 {
            let _nothing =
                tokio::time::timeout(Duration::from_millis(20), round(&mut driver)).await;
            if server.given_up.load(Ordering::SeqCst) >= 100 {
                return;
            }
        }
        panic!("{:?} streams are given up", server.given_up);
    });
}

#[test]
fn who_comes_while_no_connection_is_made_does_not_wait_for_a_try_of_its_own() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        // It takes datagrams and says nothing.
        let (_socket, silent) = peer();
        let sent: Vec<_> = (1..=20)
            .map(|exchange| by_h3(exchange, silent, None))
            .collect();
        let began = Instant::now();
        let got = ask(&mut driver, &sent).await;
        assert!(
            began.elapsed() < Duration::from_secs(4),
            "{:?}",
            began.elapsed()
        );
        let is_timed_out = |got: &Got| matches!(got, Got::Failed(_, Failure::TimedOut));
        assert!(got.len() == 20 && got.iter().all(is_timed_out), "{got:?}");
    });
}

/// What a server of HTTP/2 does.
#[derive(Debug, Clone, Copy)]
enum Manner2 {
    EndlessBody,
    LongHead,
    ResetAmid,
    NoBody,
    WrongId,
    Noise,
}

#[test]
fn what_is_no_answer_by_http2_is_told_soon_and_keeps_nothing() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let rows = [
            (Manner2::EndlessBody, Some(Failure::Http(HttpFault::NotDns))),
            (Manner2::LongHead, Some(Failure::Closed)),
            (Manner2::ResetAmid, Some(Failure::Closed)),
            (Manner2::NoBody, Some(Failure::Garbled)),
            (Manner2::WrongId, None),
            (Manner2::Noise, Some(Failure::Closed)),
        ];
        for (exchange, (manner, failure)) in (1..).zip(rows) {
            let identity = authority.issue(&["dns.example"], Made::Well, &[b"h2"]);
            let sent_octets = Arc::new(AtomicU64::new(0));
            let server = hostile2(identity.config, manner, Arc::clone(&sent_octets));
            let sent = [by_https(exchange, server.address, Some("dns.example"))];
            let began = Instant::now();
            let got = ask(&mut driver, &sent).await;
            assert!(began.elapsed() < SOON, "{manner:?}");
            match failure {
                Some(failure) => assert_eq!(got, [Got::Failed(exchange, failure)], "{manner:?}"),
                // The id is the stream's; whether it is the question's answer, the core sees.
                None => assert_replies(&got, &sent),
            }
            assert!(sent_octets.load(Ordering::SeqCst) < MOST, "{manner:?}");
        }
    });
}

fn hostile2(config: ServerConfig, manner: Manner2, sent: Arc<AtomicU64>) -> CallServer {
    use bytes::Bytes;
    use tokio::io::AsyncWriteExt as _;

    serve(move |_, told, _| async move {
        let listener = tokio::net::TcpListener::bind(loopback()).await.unwrap();
        told.send(listener.local_addr().unwrap()).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            if matches!(manner, Manner2::Noise) {
                let _sent = stream.write_all(&[0x55; 1 << 10]).await;
                continue;
            }
            let Ok(mut connection) = h2::server::handshake(stream).await else {
                continue;
            };
            let sent = Arc::clone(&sent);
            tokio::spawn(async move {
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let sent = Arc::clone(&sent);
                    tokio::spawn(async move {
                        let mut body = request.into_body();
                        let mut wire = Vec::new();
                        while let Some(Ok(piece)) = body.data().await {
                            wire.extend_from_slice(&piece);
                        }
                        let mut head = http::Response::builder()
                            .header("content-type", "application/dns-message");
                        if matches!(manner, Manner2::LongHead) {
                            for number in 0..40 {
                                head = head.header(format!("x-{number}"), "x".repeat(1000));
                            }
                        }
                        let Ok(mut body) = respond.send_response(head.body(()).unwrap(), false)
                        else {
                            return;
                        };
                        match manner {
                            Manner2::EndlessBody => {
                                let piece = Bytes::from(vec![0; 16 << 10]);
                                loop {
                                    body.reserve_capacity(piece.len());
                                    let room = poll_fn(|cx| body.poll_capacity(cx)).await;
                                    let Some(Ok(room)) = room else {
                                        return;
                                    };
                                    sent.fetch_add(room as u64, Ordering::SeqCst);
                                    if body.send_data(piece.slice(..room), false).is_err() {
                                        return;
                                    }
                                }
                            }
                            Manner2::ResetAmid => {
                                let _sent = body.send_data(Bytes::from_static(&[0; 20]), false);
                                tokio::time::sleep(Duration::from_millis(20)).await;
                                body.send_reset(h2::Reason::INTERNAL_ERROR);
                            }
                            Manner2::NoBody => {
                                let _sent = body.send_data(Bytes::new(), true);
                            }
                            Manner2::WrongId | Manner2::LongHead | Manner2::Noise => {
                                wire[..2].copy_from_slice(&[0xbe, 0xef]);
                                let _sent = body.send_data(Bytes::from(wire), true);
                            }
                        }
                    });
                }
            });
        }
    })
}
