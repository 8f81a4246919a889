//! What can a client do by QUIC? Streams that never end or are taken back, handshakes of somebody else's address, connections that come and go.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, ReadError, ReadToEndError, TransportConfig};
use tests::namespace::isolated;
use tokio::runtime::Runtime;

use super::{Meanwhile, QUIC, SLOWEST, World, big_question, framed, question};

/// The longest answer that is waited for.
const ANSWER_MAX: usize = 4096;

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// Makes an endpoint at 127.0.SOURCE.1; within a runtime.
fn endpoint(world: &World, source: u8) -> Endpoint {
    let crypto = QuicClientConfig::try_from(world.client(b"doq")).unwrap();
    let own = SocketAddr::from(([127, 0, source, 1], 0));
    let mut endpoint = Endpoint::client(own).unwrap();
    endpoint.set_default_client_config(ClientConfig::new(Arc::new(crypto)));
    endpoint
}

async fn connect(endpoint: &Endpoint) -> Connection {
    let connecting = endpoint.connect(QUIC, "dns.test").unwrap();
    let connected = tokio::time::timeout(SLOWEST, connecting).await;
    connected.expect("in time").expect("it is let in")
}

/// Asks on a stream of its own; whether an answer comes.
async fn ask(connection: &Connection) -> bool {
    let (mut sender, mut receiver) = connection.open_bi().await.unwrap();
    sender.write_all(&framed(&question(0))).await.unwrap();
    sender.finish().unwrap();
    let answer = receiver.read_to_end(ANSWER_MAX).await;
    answer.is_ok_and(|answer| answer.len() > 32)
}

/// A question of which one octet comes is given up; others on its connection are answered.
pub(super) fn an_unfinished_question_ends_and_its_connection_does_not(world: &World) {
    runtime().block_on(async {
        let endpoint = endpoint(world, 5);
        let connection = connect(&endpoint).await;
        let begun = Instant::now();
        let mut open = Vec::new();
        // One more is answered than are left open.
        for _ in 0..99 {
            let (mut sender, receiver) = connection.open_bi().await.unwrap();
            sender.write_all(&[0]).await.unwrap();
            open.push((sender, receiver));
        }
        assert!(ask(&connection).await, "beside 99 that are not whole");
        for (sender, mut receiver) in open {
            let ended = receiver.read_to_end(ANSWER_MAX).await;
            let Err(ReadToEndError::Read(ReadError::Reset(code))) = ended else {
                panic!("{ended:?}");
            };
            // DOQ_EXCESSIVE_LOAD.
            assert_eq!(u64::from(code), 4);
            drop(sender);
        }
        let took = begun.elapsed();
        assert!(Duration::from_secs(4) < took && took < SLOWEST, "{took:?}");
        assert!(ask(&connection).await, "afterwards");
    });
}

/// An answer that its client does not take is given up; others on its connection are answered.
pub(super) fn an_answer_that_is_not_taken_ends_and_its_connection_does_not(world: &World) {
    runtime().block_on(async {
        let mut transport = TransportConfig::default();
        transport.stream_receive_window(256_u32.into());
        let crypto = QuicClientConfig::try_from(world.client(b"doq")).unwrap();
        let mut config = ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::new(transport));
        let mut endpoint = endpoint(world, 6);
        endpoint.set_default_client_config(config);
        let connection = connect(&endpoint).await;
        let begun = Instant::now();
        let (mut sender, mut receiver) = connection.open_bi().await.unwrap();
        sender.write_all(&framed(&big_question(0))).await.unwrap();
        sender.finish().unwrap();
        assert!(ask(&connection).await, "beside an answer that waits");
        let reset = tokio::time::timeout(SLOWEST, receiver.received_reset()).await;
        let code = reset.expect("it is given up").unwrap();
        assert_eq!(code.map(u64::from), Some(4));
        let took = begun.elapsed();
        assert!(Duration::from_secs(4) < took, "{took:?}");
        assert!(ask(&connection).await, "afterwards");
    });
}

/// A connection that asks nothing.
pub(super) struct Idle {
    runtime: Runtime,
    _endpoint: Endpoint,
    connection: Connection,
}

impl Idle {
    pub(super) fn connect(world: &World, source: u8) -> Self {
        let runtime = runtime();
        let (endpoint, connection) = runtime.block_on(async {
            let endpoint = endpoint(world, source);
            let connection = connect(&endpoint).await;
            (endpoint, connection)
        });
        Self {
            runtime,
            _endpoint: endpoint,
            connection,
        }
    }

    pub(super) fn until_closed(self) {
        self.runtime.block_on(async {
            let closed = tokio::time::timeout(SLOWEST, self.connection.closed()).await;
            closed.expect("it is closed");
        });
    }
}

/// What passes between a client and the listener when nothing that the listener says arrives.
struct OneWay {
    /// Octets that the listener heard and said.
    heard: usize,
    said: usize,
    /// The first octet that it said.
    first: u8,
}

/// Has a client begin a handshake from 127.0.SOURCE.1, and lets nothing come back, for as long as is said.
fn one_way(world: &World, source: u8, lasts: Duration) -> OneWay {
    let front = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let back = UdpSocket::bind(SocketAddr::from(([127, 0, source, 1], 0))).unwrap();
    for socket in [&front, &back] {
        socket
            .set_read_timeout(Some(Duration::from_millis(10)))
            .unwrap();
    }
    let place = front.local_addr().unwrap();
    let runtime = runtime();
    runtime.block_on(async {
        let endpoint = endpoint(world, source);
        let connecting = endpoint.connect(place, "dns.test").unwrap();
        let mut passed = OneWay {
            heard: 0,
            said: 0,
            first: 0,
        };
        let begun = Instant::now();
        let mut bytes = [0; 2048];
        while begun.elapsed() < lasts {
            // The client's own timers.
            tokio::time::sleep(Duration::from_millis(1)).await;
            if let Ok(count) = front.recv(&mut bytes) {
                back.send_to(&bytes[..count], QUIC).unwrap();
                passed.heard += count;
            }
            while let Ok(count) = back.recv(&mut bytes) {
                if passed.said == 0 {
                    passed.first = bytes[0];
                }
                passed.said += count;
            }
        }
        drop(connecting);
        passed
    })
}

/// Whether a client's first packet is answered with Retry (RFC 9000 §17.2.5).
pub(super) fn is_told_to_retry(world: &World, source: u8) -> bool {
    let passed = one_way(world, source, Duration::from_millis(300));
    passed.said > 0 && passed.said < passed.heard && passed.first & 0xf0 == 0xf0
}

#[test]
fn an_address_that_is_not_proven_gets_three_times_what_it_sent_at_most() {
    isolated(
        "limits::quic::an_address_that_is_not_proven_gets_three_times_what_it_sent_at_most",
        || {
            let world = World::raise();
            let passed = one_way(&world, 1, Duration::from_secs(4));
            assert!(passed.heard >= 1200 && passed.said > 0);
            assert!(
                passed.said <= 3 * passed.heard,
                "{} octets for {}",
                passed.said,
                passed.heard
            );
        },
    );
}

#[test]
fn a_question_that_is_taken_back_does_not_end_its_connection() {
    isolated(
        "limits::quic::a_question_that_is_taken_back_does_not_end_its_connection",
        || {
            let world = World::raise();
            let before = world.held();
            let meanwhile = Meanwhile::begin();
            runtime().block_on(async {
                let endpoint = endpoint(&world, 1);
                let connection = connect(&endpoint).await;
                for number in 0..2000_u32 {
                    let (mut sender, mut receiver) = connection.open_bi().await.unwrap();
                    let whole = framed(&question(0));
                    // Taken back in the middle, or when it is asked (RFC 9250 §4.3.1).
                    if number % 2 == 0 {
                        sender.write_all(&whole[..9]).await.unwrap();
                        sender.reset(3_u32.into()).unwrap();
                    } else {
                        sender.write_all(&whole).await.unwrap();
                        sender.finish().unwrap();
                    }
                    let _gone = receiver.stop(3_u32.into());
                }
                assert!(ask(&connection).await, "{:?}", connection.close_reason());
            });
            let grown = world.grown(&before);
            assert!(grown < 8 << 10, "{grown} KiB more");
            meanwhile.end();
            world.serves_another();
        },
    );
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    isolated(
        "limits::quic::connections_that_come_and_go_leave_nothing_behind",
        || {
            let world = World::raise();
            let before = world.held();
            let meanwhile = Meanwhile::begin();
            let count = runtime().block_on(async {
                let endpoint = endpoint(&world, 1);
                let begun = Instant::now();
                let mut count = 0;
                while begun.elapsed() < Duration::from_secs(3) {
                    let connecting = endpoint.connect(QUIC, "dns.test").unwrap();
                    // Its first packet leaves, and then its last.
                    tokio::task::yield_now().await;
                    drop(connecting);
                    tokio::task::yield_now().await;
                    count += 1;
                }
                count
            });
            let grown = world.grown(&before);
            assert!(count > 1000, "{count} connections");
            assert!(grown < 24 << 10, "{grown} KiB more for {count}");
            meanwhile.end();
            world.serves_another();
        },
    );
}
