//! Do questions go by HTTPS and QUIC as their RFCs say, and is a server that is not right told from one that is?

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;
use config::pin::Pin;
use resolver::{HttpFault, TlsFault};
use rustls::ServerConfig;

use super::servers::*;
use super::streams::{ask, assert_replies, by_stream, named, trusting};
use super::*;

/// How a server of HTTPS answers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Manner {
    Well,
    /// Each connection after one question no more.
    OnceEach,
    /// The first connection after so many no more, whatever is under way.
    FirstEnds(usize),
    Status(u16),
    NotDns,
}

pub(super) struct CallServer {
    pub(super) address: SocketAddr,
    pub(super) seen: Receiver<Vec<u8>>,
    pub(super) connections: Arc<AtomicUsize>,
}

/// Runs a server in a thread with a runtime of its own.
pub(super) fn serve<F: Future<Output = ()>>(
    start: impl FnOnce(Sender<Vec<u8>>, Sender<SocketAddr>, Arc<AtomicUsize>) -> F + Send + 'static,
) -> CallServer {
    let (sender, seen) = channel();
    let (told, address) = channel();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(start(sender, told, count));
    });
    CallServer {
        address: address.recv().unwrap(),
        seen,
        connections,
    }
}

pub(super) fn https(config: ServerConfig, manner: Manner) -> CallServer {
    https_at(TcpListener::bind(loopback()).unwrap(), config, manner)
}

/// Runs a server at a socket that is there already.
pub(super) fn https_at(listener: TcpListener, config: ServerConfig, manner: Manner) -> CallServer {
    serve(move |seen, told, count| async move {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        told.send(listener.local_addr().unwrap()).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        while let Ok((stream, _)) = listener.accept().await {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            let (acceptor, seen) = (acceptor.clone(), seen.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let Ok(mut connection) = h2::server::handshake(stream).await else {
                    return;
                };
                let mut accepted = 0;
                while let Some(Ok((request, respond))) = connection.accept().await {
                    accepted += 1;
                    tokio::spawn(respond_to(request, respond, manner, seen.clone()));
                    match manner {
                        Manner::OnceEach => connection.graceful_shutdown(),
                        // RFC 9113 §6.8: at once, so that what comes after is not looked at.
                        Manner::FirstEnds(many) if number == 1 && accepted == many => {
                            connection.abrupt_shutdown(h2::Reason::NO_ERROR);
                        }
                        Manner::FirstEnds(_)
                        | Manner::Well
                        | Manner::Status(_)
                        | Manner::NotDns => {}
                    }
                }
            });
        }
    })
}

async fn respond_to(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    manner: Manner,
    seen: Sender<Vec<u8>>,
) {
    assert_eq!(request.method(), http::Method::POST);
    assert_eq!(request.uri().path(), "/dns-query");
    assert_eq!(request.headers()["content-type"], "application/dns-message");
    assert!(
        request
            .uri()
            .host()
            .is_some_and(|host| host == "dns.example" || host == "127.0.0.1")
    );
    let length = request.headers()["content-length"].clone();
    let mut body = request.into_body();
    let mut wire = Vec::new();
    while let Some(piece) = body.data().await {
        let Ok(piece) = piece else {
            return;
        };
        body.flow_control().release_capacity(piece.len()).unwrap();
        wire.extend_from_slice(&piece);
    }
    assert_eq!(length, wire.len().to_string());
    let _kept = seen.send(wire.clone());
    let (status, content) = match manner {
        Manner::Well | Manner::OnceEach | Manner::FirstEnds(_) => (200, "application/dns-message"),
        Manner::Status(status) => (status, "application/dns-message"),
        Manner::NotDns => (200, "text/html"),
    };
    let response = http::Response::builder()
        .status(status)
        .header("content-type", content)
        .body(())
        .unwrap();
    // The connection may have ended meanwhile.
    if let Ok(mut body) = respond.send_response(response, false) {
        let _sent = body.send_data(Bytes::from(wire), true);
    }
}

pub(super) fn quic(config: ServerConfig, patience: usize) -> CallServer {
    serve(move |seen, told, count| async move {
        let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(Arc::new(config)).unwrap();
        let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        let endpoint = quinn::Endpoint::server(config, loopback()).unwrap();
        told.send(endpoint.local_addr().unwrap()).unwrap();
        while let Some(incoming) = endpoint.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let seen = seen.clone();
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else {
                    return;
                };
                for _ in 0..patience {
                    let Ok((mut send, mut receive)) = connection.accept_bi().await else {
                        return;
                    };
                    let stream = receive.read_to_end(70_000).await.unwrap();
                    let _kept = seen.send(stream.clone());
                    send.write_all(&stream).await.unwrap();
                    send.finish().unwrap();
                    let _acknowledged = send.stopped().await;
                }
                connection.close(0_u32.into(), b"");
            });
        }
    })
}

/// A server of HTTP/3.
pub(super) fn h3(config: ServerConfig, manner: Manner) -> CallServer {
    serve(move |seen, told, count| async move {
        let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(Arc::new(config)).unwrap();
        let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        let endpoint = quinn::Endpoint::server(config, loopback()).unwrap();
        told.send(endpoint.local_addr().unwrap()).unwrap();
        while let Some(incoming) = endpoint.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let seen = seen.clone();
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else {
                    return;
                };
                let connection = h3_quinn::Connection::new(connection);
                let Ok(mut connection) = h3::server::Connection::<_, Bytes>::new(connection).await
                else {
                    return;
                };
                while let Ok(Some(resolver)) = connection.accept().await {
                    let Ok((request, stream)) = resolver.resolve_request().await else {
                        return;
                    };
                    tokio::spawn(respond_by_h3(request, stream, manner, seen.clone()));
                    if matches!(manner, Manner::OnceEach) {
                        let _goes = connection.shutdown(0).await;
                    }
                }
            });
        }
    })
}

async fn respond_by_h3(
    request: http::Request<()>,
    mut stream: h3::server::RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>,
    manner: Manner,
    seen: Sender<Vec<u8>>,
) {
    use bytes::Buf as _;

    assert_eq!(request.method(), http::Method::POST);
    assert_eq!(request.uri().path(), "/dns-query");
    assert_eq!(request.headers()["content-type"], "application/dns-message");
    let mut wire = Vec::new();
    while let Ok(Some(mut piece)) = stream.recv_data().await {
        wire.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
    }
    assert_eq!(request.headers()["content-length"], wire.len().to_string());
    let _kept = seen.send(wire.clone());
    let (status, content) = match manner {
        Manner::Well | Manner::OnceEach | Manner::FirstEnds(_) => (200, "application/dns-message"),
        Manner::Status(status) => (status, "application/dns-message"),
        Manner::NotDns => (200, "text/html"),
    };
    let response = http::Response::builder()
        .status(status)
        .header("content-type", content)
        .body(())
        .unwrap();
    if stream.send_response(response).await.is_ok() {
        let _sent = stream.send_data(Bytes::from(wire)).await;
        let _finished = stream.finish().await;
    }
}

pub(super) fn by_h3(exchange: u64, to: SocketAddr, name: Option<&str>) -> Transmit {
    let mut transmit = by_https(exchange, to, name);
    transmit.upstream.transport = Transport::H3;
    transmit
}

#[test]
fn http3_server_is_asked_with_id_0_padded_and_many_times_on_one_connection() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let identity = authority.issue(&["dns.example", "127.0.0.1"], Made::Well, &[b"h3"]);
        let server = h3(identity.config, Manner::Well);
        for (base, name) in [(0, Some("dns.example")), (100, None)] {
            let sent: Vec<_> = (1..=50)
                .map(|exchange| by_h3(base + exchange, server.address, name))
                .collect();
            assert_replies(&ask(&mut driver, &sent).await, &sent);
            for wire in server.seen.try_iter() {
                assert_eq!((&wire[..2], wire.len() % 128), (&[0, 0][..], 0));
            }
        }
        assert_eq!(server.connections.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn http3_server_that_lets_go_costs_nobody_an_answer_and_one_that_is_gone_is_told() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let identity = authority.issue(&["dns.example"], Made::Well, &[b"h3"]);
        let server = h3(identity.config, Manner::OnceEach);
        for exchange in 1..=5 {
            let sent = [by_h3(exchange, server.address, Some("dns.example"))];
            assert_replies(&ask(&mut driver, &sent).await, &sent);
        }
        let (socket, nobody) = peer();
        drop(socket);
        let sent = [by_h3(9, nobody, None)];
        let failed = Got::Failed(9, Failure::Refused);
        assert_eq!(ask(&mut driver, &sent).await, [failed]);
    });
}

#[test]
fn what_is_not_dns_by_http3_is_a_failure_with_its_reason() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let name = Some("dns.example");
        let rows = [
            (Manner::Status(404), HttpFault::Status(404)),
            (Manner::Status(302), HttpFault::Status(302)),
            (Manner::NotDns, HttpFault::NotDns),
        ];
        for (exchange, (manner, fault)) in (1..).zip(rows) {
            let identity = authority.issue(&["dns.example"], Made::Well, &[b"h3"]);
            let server = h3(identity.config, manner);
            let sent = [by_h3(exchange, server.address, name)];
            let failed = Got::Failed(exchange, Failure::Http(fault));
            assert_eq!(ask(&mut driver, &sent).await, [failed]);
        }
        // One that speaks DNS over QUIC alone.
        let identity = authority.issue(&["dns.example"], Made::Well, &[b"doq"]);
        let server = quic(identity.config, 9);
        let sent = [by_h3(9, server.address, name)];
        let failed = Got::Failed(9, Failure::Http(HttpFault::NoHttp3));
        assert_eq!(ask(&mut driver, &sent).await, [failed]);
    });
}

pub(super) fn by_https(exchange: u64, to: SocketAddr, name: Option<&str>) -> Transmit {
    let mut transmit = named(by_stream(exchange, to, Transport::Https), name);
    transmit.upstream.path = Some("/dns-query".into());
    transmit
}

#[test]
fn https_server_is_asked_with_id_0_padded_and_many_times_on_one_connection() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let identity = authority.issue(&["dns.example", "127.0.0.1"], Made::Well, &[b"h2"]);
        let server = https(identity.config, Manner::Well);
        for (base, name) in [(0, Some("dns.example")), (100, None)] {
            let sent: Vec<_> = (1..=50)
                .map(|exchange| by_https(base + exchange, server.address, name))
                .collect();
            assert_replies(&ask(&mut driver, &sent).await, &sent);
            for wire in server.seen.try_iter() {
                assert_eq!((&wire[..2], wire.len() % 128), (&[0, 0][..], 0));
            }
        }
        assert_eq!(server.connections.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn https_server_that_lets_go_costs_nobody_an_answer() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let identity = authority.issue(&["dns.example"], Made::Well, &[b"h2"]);
        let server = https(identity.config, Manner::OnceEach);
        for exchange in 1..=5 {
            let sent = [by_https(exchange, server.address, Some("dns.example"))];
            assert_replies(&ask(&mut driver, &sent).await, &sent);
        }
    });
}

#[test]
fn https_server_that_lets_go_of_many_at_once_costs_none_of_them_an_answer() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let identity = authority.issue(&["dns.example"], Made::Well, &[b"h2"]);
        let server = https(identity.config, Manner::FirstEnds(30));
        let by = |exchange| by_https(exchange, server.address, Some("dns.example"));
        // One first, so that the connection has served before the others are under way.
        let first = [by(1)];
        assert_replies(&ask(&mut driver, &first).await, &first);
        let sent: Vec<_> = (2..=50).map(by).collect();
        assert_replies(&ask(&mut driver, &sent).await, &sent);
        assert_eq!(server.connections.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn what_is_not_dns_by_https_is_a_failure_with_its_reason() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let name = Some("dns.example");
        let rows = [
            (Manner::Status(404), HttpFault::Status(404)),
            (Manner::Status(302), HttpFault::Status(302)),
            (Manner::Status(503), HttpFault::Status(503)),
            (Manner::NotDns, HttpFault::NotDns),
        ];
        for (exchange, (manner, fault)) in (1..).zip(rows) {
            let identity = authority.issue(&["dns.example"], Made::Well, &[b"h2"]);
            let server = https(identity.config, manner);
            let sent = [by_https(exchange, server.address, name)];
            let failed = Got::Failed(exchange, Failure::Http(fault));
            assert_eq!(ask(&mut driver, &sent).await, [failed]);
        }
        let identity = authority.issue(&["dns.example"], Made::Well, &[b"http/1.1"]);
        let server = https(identity.config, Manner::Well);
        let sent = [by_https(9, server.address, name)];
        let failed = Got::Failed(9, Failure::Http(HttpFault::NoHttp2));
        assert_eq!(ask(&mut driver, &sent).await, [failed]);
    });
}

#[test]
fn quic_server_is_asked_with_id_0_padded_and_a_stream_for_each() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let identity = authority.issue(&["dns.example", "127.0.0.1"], Made::Well, &[b"doq"]);
        let server = quic(identity.config, 1000);
        for (base, name) in [(0, Some("dns.example")), (100, None)] {
            let sent: Vec<_> = (1..=50)
                .map(|exchange| {
                    let transmit = by_stream(base + exchange, server.address, Transport::Quic);
                    named(transmit, name)
                })
                .collect();
            assert_replies(&ask(&mut driver, &sent).await, &sent);
            for stream in server.seen.try_iter() {
                let length = usize::from(u16::from_be_bytes([stream[0], stream[1]]));
                assert_eq!(length, stream.len() - 2);
                assert_eq!((&stream[2..4], length % 128), (&[0, 0][..], 0));
            }
        }
        assert_eq!(server.connections.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn quic_server_that_lets_go_costs_nobody_an_answer_and_one_that_is_gone_is_told() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let identity = authority.issue(&["127.0.0.1"], Made::Well, &[b"doq"]);
        let server = quic(identity.config, 1);
        for exchange in 1..=4 {
            let sent = [by_stream(exchange, server.address, Transport::Quic)];
            assert_replies(&ask(&mut driver, &sent).await, &sent);
        }
        let (socket, nobody) = peer();
        drop(socket);
        let began = Instant::now();
        let sent = [by_stream(9, nobody, Transport::Quic)];
        let failed = Got::Failed(9, Failure::Refused);
        assert_eq!(ask(&mut driver, &sent).await, [failed]);
        assert!(began.elapsed() < Duration::from_secs(2));
    });
}

#[test]
fn every_wrong_certificate_is_refused_by_https_and_quic_too() {
    use TlsFault as F;
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let rows: [(&[&str], Made, F); 5] = [
            (&["other.example"], Made::Well, F::WrongName),
            (&["dns.example"], Made::Expired, F::Expired),
            (&["dns.example"], Made::Early, F::NotYetValid),
            (&["dns.example"], Made::ByAStranger, F::UnknownAuthority),
            (&["dns.example"], Made::ByItself, F::SelfSigned),
        ];
        let mut exchange = 0;
        for (names, made, fault) in rows {
            for transport in [Transport::Https, Transport::Quic, Transport::H3] {
                exchange += 1;
                let identity = authority.issue(names, made, &[b"h2", b"doq", b"h3"]);
                let server = match transport {
                    Transport::Https => https(identity.config, Manner::Well),
                    Transport::H3 => h3(identity.config, Manner::Well),
                    Transport::Plain | Transport::Tcp | Transport::Tls | Transport::Quic => {
                        quic(identity.config, 9)
                    }
                };
                let mut sent = by_https(exchange, server.address, Some("dns.example"));
                sent.upstream.transport = transport;
                let failed = Got::Failed(exchange, Failure::Tls(fault));
                assert_eq!(ask(&mut driver, &[sent]).await, [failed], "{transport:?}");
                assert!(server.seen.try_recv().is_err());
            }
        }
        let identity = authority.issue(&["dns.example"], Made::Well, &[b"doq"]);
        let server = quic(identity.config, 9);
        let mut sent = named(
            by_stream(99, server.address, Transport::Quic),
            Some("dns.example"),
        );
        sent.upstream.pins = Some([Pin([1; 32])].into());
        let failed = Got::Failed(99, Failure::Tls(F::WrongPin));
        assert_eq!(ask(&mut driver, &[sent]).await, [failed]);
    });
}

#[test]
fn calls_of_a_group_that_ends_fail_and_given_up_ones_bring_nothing() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        let identity = authority.issue(&["127.0.0.1"], Made::Well, &[b"doq"]);
        let server = quic(identity.config, 1000);
        driver.transmit(by_stream(1, server.address, Transport::Quic));
        driver.cancel(ExchangeId(1));
        driver.transmit(by_stream(2, server.address, Transport::Quic));
        driver.hang_up(&Hangup {
            group: GroupId(1),
            upstream: None,
        });
        driver.finish_round();
        assert_eq!(
            gather(&mut driver, 1).await,
            [Got::Failed(2, Failure::Closed)]
        );
        let sent = [by_stream(3, server.address, Transport::Quic)];
        assert_replies(&ask(&mut driver, &sent).await, &sent);
    });
}
