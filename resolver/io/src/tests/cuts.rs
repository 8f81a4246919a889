//! Does a way that swallows everything cost more than what is under way, and does what nobody waits for leave later?

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;

use super::calls::{CallServer, Manner, by_h3, by_https, h3, https, https_at, quic};
use super::servers::*;
use super::streams::{ask, assert_replies, by_stream, named, trusting};
use super::*;
use crate::silence::SILENCE;

/// A way to a server; connections that are there when it is cut hear nothing any more, and are not told.
struct Way {
    address: SocketAddr,
    cuts: watch::Sender<u32>,
}

impl Way {
    fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut cuts: watch::Receiver<u32>) {
    let mut buffer = vec![0; 4096];
    loop {
        tokio::select! {
            read = from.read(&mut buffer) => match read {
                Ok(count) if count > 0 => to.write_all(&buffer[..count]).await.unwrap_or_default(),
                _ => return,
            },
            // Both ends stay as they are.
            _ = cuts.changed() => std::future::pending().await,
        }
    }
}

async fn by_tcp(server: SocketAddr) -> Way {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (cuts, seen) = watch::channel(0);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(server).await.unwrap();
            let ((a, b), (c, d)) = (client.into_split(), server.into_split());
            // What was cut before does not concern it.
            let mut seen = seen.clone();
            seen.mark_unchanged();
            tokio::spawn(carry(a, d, seen.clone()));
            tokio::spawn(carry(c, b, seen));
        }
    });
    Way { address, cuts }
}

async fn by_udp(server: SocketAddr) -> Way {
    let front = Arc::new(UdpSocket::bind(loopback()).await.unwrap());
    let address = front.local_addr().unwrap();
    let (cuts, seen) = watch::channel(0);
    tokio::spawn(async move {
        let mut backs = HashMap::new();
        let mut buffer = vec![0; 65536];
        while let Ok((count, from)) = front.recv_from(&mut buffer).await {
            if let Entry::Vacant(place) = backs.entry(from) {
                let back = Arc::new(UdpSocket::bind(loopback()).await.unwrap());
                back.connect(server).await.unwrap();
                place.insert((Arc::clone(&back), *seen.borrow()));
                let (front, mut seen) = (Arc::clone(&front), seen.clone());
                seen.mark_unchanged();
                tokio::spawn(async move {
                    let mut buffer = vec![0; 65536];
                    loop {
                        tokio::select! {
                            Ok(count) = back.recv(&mut buffer) => {
                                let _sent = front.send_to(&buffer[..count], from).await;
                            }
                            _ = seen.changed() => return,
                        }
                    }
                });
            }
            let (back, since) = &backs[&from];
            if *since == *seen.borrow() {
                let _sent = back.send(&buffer[..count]).await;
            }
        }
    });
    Way { address, cuts }
}

/// Makes a question to a server.
type By = fn(u64, SocketAddr) -> Transmit;

const NAME: Option<&str> = Some("dns.example");

/// Three ways to ask, each with a server and a way to it.
async fn ways(authority: &Authority) -> Vec<(&'static str, CallServer, Way, By)> {
    let identity = |alpn: &[u8]| {
        authority
            .issue(&["dns.example"], Made::Well, &[alpn])
            .config
    };
    let by_quic: By = |exchange, to| named(by_stream(exchange, to, Transport::Quic), NAME);
    let mut ways: Vec<(_, _, _, By)> = Vec::with_capacity(3);
    let server = https(identity(b"h2"), Manner::Well);
    let way = by_tcp(server.address).await;
    ways.push(("HTTPS", server, way, |exchange, to| {
        by_https(exchange, to, NAME)
    }));
    let server = h3(identity(b"h3"), Manner::Well);
    let way = by_udp(server.address).await;
    ways.push(("HTTP/3", server, way, |exchange, to| {
        by_h3(exchange, to, NAME)
    }));
    let server = quic(identity(b"doq"), 1000);
    let way = by_udp(server.address).await;
    ways.push(("QUIC", server, way, by_quic));
    ways
}

/// The silence is counted from when a task of its own asks, which on a busy machine is later than the test.
const LONG_SILENCE: Duration = SILENCE.saturating_add(Duration::from_millis(250));

#[test]
fn a_connection_that_dies_without_a_word_is_left_after_a_moment() {
    run(async {
        let authority = Authority::new();
        for (what, server, way, by) in ways(&authority).await {
            let mut driver = trusting(&authority);
            let first = [by(1, way.address)];
            assert_replies(&ask(&mut driver, &first).await, &first);
            way.cut();
            driver.transmit(by(2, way.address));
            driver.finish_round();
            let silence = gather(&mut driver, 1);
            assert!(
                tokio::time::timeout(LONG_SILENCE, silence).await.is_err(),
                "{what}"
            );
            // The one before is still waited for.
            let next = [by(3, way.address)];
            assert_replies(&ask(&mut driver, &next).await, &next);
            assert_eq!(server.connections.load(Ordering::SeqCst), 2, "{what}");
            // Given up, it leaves nothing that the next could go by.
            way.cut();
            driver.transmit(by(4, way.address));
            driver.finish_round();
            let silence = gather(&mut driver, 1);
            assert!(
                tokio::time::timeout(LONG_SILENCE, silence).await.is_err(),
                "{what}"
            );
            driver.cancel(ExchangeId(4));
            driver.finish_round();
            let next = [by(5, way.address)];
            assert_replies(&ask(&mut driver, &next).await, &next);
            assert_eq!(server.connections.load(Ordering::SeqCst), 3, "{what}");
        }
    });
}

#[test]
fn what_nobody_waits_for_any_more_does_not_leave_when_the_server_is_back() {
    run(async {
        let authority = Authority::new();
        let mut driver = trusting(&authority);
        // Nobody takes the connection up yet.
        let listener = std::net::TcpListener::bind(loopback()).unwrap();
        let address = listener.local_addr().unwrap();
        let by = |exchange| by_https(exchange, address, NAME);
        for exchange in 1..=5000 {
            driver.transmit(by(exchange));
            if exchange > 1 {
                driver.cancel(ExchangeId(exchange));
            }
        }
        driver.finish_round();
        let nothing = gather(&mut driver, 1);
        let wait = Duration::from_millis(300);
        assert!(tokio::time::timeout(wait, nothing).await.is_err());
        let identity = authority.issue(&["dns.example"], Made::Well, &[b"h2"]);
        let server = https_at(listener, identity.config, Manner::Well);
        let sent = [by(1)];
        assert_replies(&gather(&mut driver, 1).await, &sent);
        assert_eq!(server.seen.try_iter().count(), 1);
        assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    });
}
