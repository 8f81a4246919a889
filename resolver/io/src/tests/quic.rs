//! Is a server of DNS over QUIC held to RFC 9250, and told how connections and questions end? With the error codes of §8.4.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};

use super::calls::{CallServer, serve};
use super::servers::*;
use super::streams::{ask, assert_replies, by_stream, named, trusting};
use super::*;

/// DOQ_NO_ERROR, DOQ_PROTOCOL_ERROR, DOQ_REQUEST_CANCELLED.
const NO_ERROR: u64 = 0;
const PROTOCOL_ERROR: u64 = 2;
const REQUEST_CANCELLED: u64 = 3;

/// What a server does on the first stream of its first connection; on all others it answers well.
#[derive(Debug, Clone)]
enum Manner {
    /// This, and the end.
    Says(Vec<u8>),
    /// Nothing, until its client wants no more.
    Stalls,
}

/// A server, and the codes with which its client ends streams that stall, and connections.
struct Strict {
    server: CallServer,
    codes: Receiver<u64>,
}

impl Strict {
    fn start(authority: &Authority, manner: Manner) -> Self {
        let identity = authority.issue(&["dns.example"], Made::Well, &[b"doq"]);
        let (code, codes) = channel();
        let server = serve(move |seen, told, count| async move {
            let config = Arc::new(identity.config);
            let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(config).unwrap();
            let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
            let endpoint = quinn::Endpoint::server(config, loopback()).unwrap();
            told.send(endpoint.local_addr().unwrap()).unwrap();
            while let Some(incoming) = endpoint.accept().await {
                let is_first = count.fetch_add(1, Ordering::SeqCst) == 0;
                let mut manner = Some(manner.clone()).filter(|_| is_first);
                let (seen, code) = (seen.clone(), code.clone());
                tokio::spawn(async move {
                    let connection = incoming.await.unwrap();
                    while let Ok((mut send, mut receive)) = connection.accept_bi().await {
                        let question = receive.read_to_end(70_000).await.unwrap();
                        let _kept = seen.send(question.clone());
                        match manner.take() {
                            Some(Manner::Stalls) => {
                                let code = code.clone();
                                tokio::spawn(async move {
                                    let stopped = send.stopped().await.unwrap().unwrap();
                                    code.send(stopped.into_inner()).unwrap();
                                });
                            }
                            manner => {
                                let reply = match manner {
                                    Some(Manner::Says(reply)) => reply,
                                    Some(Manner::Stalls) | None => question,
                                };
                                // One that is too long is not taken to its end.
                                let _sent = send.write_all(&reply).await;
                                let _ended = send.finish();
                            }
                        }
                    }
                    let closed = connection.closed().await;
                    let quinn::ConnectionError::ApplicationClosed(close) = closed else {
                        panic!("{closed}");
                    };
                    // The test may be over.
                    let _told = code.send(close.error_code.into_inner());
                });
            }
        });
        Self { server, codes }
    }

    fn question(&self, exchange: u64) -> [Transmit; 1] {
        let transmit = by_stream(exchange, self.server.address, Transport::Quic);
        [named(transmit, Some("dns.example"))]
    }

    /// Waits for the next code; the driver has its turns meanwhile.
    async fn code(&self) -> u64 {
        tokio::time::timeout(PATIENCE, async {
            loop {
                if let Ok(code) = self.codes.try_recv() {
                    return code;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("a code comes")
    }
}

/// A reply to the first question, with these options.
fn reply(options: &[u8]) -> Vec<u8> {
    let mut wire = query(0, "n1.test");
    let place = wire.len() - 2;
    let length = u16::try_from(options.len()).unwrap();
    wire[place..].copy_from_slice(&length.to_be_bytes());
    wire.extend_from_slice(options);
    wire
}

#[test]
fn a_reply_that_quic_forbids_is_none_and_ends_its_connection_with_a_protocol_error() {
    let whole = framed(&reply(&[]));
    let other_id = framed(&[&[0, 7], &reply(&[])[2..]].concat());
    let rows: [(&str, Vec<u8>, Failure); 9] = [
        ("id 7", other_id, Failure::Garbled),
        (
            "keepalive",
            framed(&reply(&[0, 11, 0, 2, 0, 100])),
            Failure::Garbled,
        ),
        (
            "keepalive without a time, after another option",
            framed(&reply(&[0, 12, 0, 1, 0, 0, 11, 0, 0])),
            Failure::Garbled,
        ),
        ("two", whole.repeat(2), Failure::Garbled),
        (
            "an octet more",
            [&whole[..], &[0]].concat(),
            Failure::Garbled,
        ),
        ("no header", framed(&[0; 11]), Failure::Garbled),
        ("too much", vec![255; 70_000], Failure::Garbled),
        ("half", whole[..20].to_vec(), Failure::Closed),
        ("nothing", Vec::new(), Failure::Closed),
    ];
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        for (what, said, failure) in rows {
            let strict = Strict::start(&authority, Manner::Says(said));
            let got = ask(&mut driver, &strict.question(1)).await;
            assert_eq!(got, [Got::Failed(1, failure)], "{what}");
            assert_eq!(strict.code().await, PROTOCOL_ERROR, "{what}");
            let sent = strict.question(2);
            assert_replies(&ask(&mut driver, &sent).await, &sent);
            assert_eq!(strict.server.connections.load(Ordering::SeqCst), 2);
        }
    });
}

#[test]
fn a_reply_that_quic_allows_leaves_its_connection_open_until_it_is_over() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let strict = Strict::start(&authority, Manner::Says(framed(&reply(&[0, 12, 0, 1, 0]))));
        for exchange in 1..=2 {
            let sent = strict.question(exchange);
            assert_replies(&ask(&mut driver, &sent).await, &sent);
        }
        assert_eq!(strict.server.connections.load(Ordering::SeqCst), 1);
        driver.hang_up(&Hangup {
            group: GroupId(1),
            upstream: None,
        });
        assert_eq!(strict.code().await, NO_ERROR);
    });
}

#[test]
fn a_question_by_quic_that_is_given_up_is_cancelled_and_its_connection_stays() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let strict = Strict::start(&authority, Manner::Stalls);
        driver.transmit(strict.question(1)[0].clone());
        driver.finish_round();
        while strict.server.seen.try_recv().is_err() {
            let turn = tokio::time::timeout(Duration::from_millis(5), driver.ready());
            assert!(turn.await.is_err(), "nothing comes");
        }
        driver.cancel(ExchangeId(1));
        assert_eq!(strict.code().await, REQUEST_CANCELLED);
        let sent = strict.question(2);
        assert_replies(&ask(&mut driver, &sent).await, &sent);
        assert_eq!(strict.server.connections.load(Ordering::SeqCst), 1);
    });
}
