//! Who may keep others waiting, and for how long? Handshakes and questions that never end, readers that read nothing, and more connections
//! than there are places.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use tests::namespace::isolated;

use super::{
    HTTPS, Meanwhile, QUIC, SLOWEST, TLS, Tls, World, ask, big_question, framed, http2, question,
    quic, tcp, until_closed,
};

/// Connections that all clients may have, and one (docs/listeners.md).
const CONNECTIONS_MAX: usize = 512;
const CONNECTIONS_EACH: usize = 32;

/// Sends octet by octet until the other end has had enough; how long that took.
fn octet_by_octet(stream: &mut impl std::io::Write, octets: &[u8]) -> Duration {
    let begun = Instant::now();
    for octet in octets.iter().cycle() {
        if stream.write_all(&[*octet]).is_err() {
            break;
        }
        assert!(begun.elapsed() < SLOWEST, "it is borne without end");
        thread::sleep(Duration::from_millis(250));
    }
    begun.elapsed()
}

#[test]
fn what_has_begun_must_end_in_five_seconds() {
    isolated(
        "limits::slow::what_has_begun_must_end_in_five_seconds",
        || {
            let world = World::raise();
            let meanwhile = Meanwhile::begin();
            let least = Duration::from_secs(4);
            thread::scope(|scope| {
                let world = &world;
                for place in [TLS, HTTPS] {
                    // A handshake of which nothing comes, and one that comes octet by octet: a record of 512 octets.
                    scope.spawn(move || {
                        let mut stream = tcp(1, place).unwrap();
                        let took = until_closed(&mut stream, Instant::now());
                        assert!(took > least, "{took:?}");
                    });
                    scope.spawn(move || {
                        let mut stream = tcp(1, place).unwrap();
                        stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1]).unwrap();
                        let took = octet_by_octet(&mut stream, &[0]);
                        assert!(took > least, "{took:?}");
                    });
                }
                // A question, within TLS.
                scope.spawn(move || {
                    let mut tls = world.connect(2, TLS, b"dot").unwrap();
                    octet_by_octet(&mut tls, &framed(&question(1)));
                });
                // Answers that nobody reads, by TLS.
                scope.spawn(move || {
                    let mut tls = world.connect(3, TLS, b"dot").unwrap();
                    let begun = Instant::now();
                    tls.sock
                        .set_write_timeout(Some(Duration::from_millis(200)))
                        .unwrap();
                    let piece = framed(&big_question(1));
                    while begun.elapsed() < SLOWEST {
                        match tls.write(&piece) {
                            Ok(_) => {}
                            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                            Err(_) => return,
                        }
                    }
                    panic!("it is borne without end");
                });
                // The body of a request: that request is over, the connection is not.
                scope.spawn(move || {
                    let mut tls = http2::connect(world, 4, 1 << 16);
                    tls.write_all(&http2::post(1)).unwrap();
                    tls.sock
                        .set_read_timeout(Some(Duration::from_millis(500)))
                        .unwrap();
                    let begun = Instant::now();
                    let mut bytes = [0; 4096];
                    let mut seen = Vec::new();
                    // The headers of a response that ends with them, to stream 1.
                    let is_answer = |frame: &[u8]| frame[..] == [1, 5, 0, 0, 0, 1];
                    while !seen.windows(6).any(is_answer) {
                        assert!(begun.elapsed() < SLOWEST, "{seen:?}");
                        let _later = tls.write_all(&http2::data(1, &[0]));
                        if let Ok(count) = tls.read(&mut bytes) {
                            assert!(count > 0, "it is closed");
                            seen.extend_from_slice(&bytes[..count]);
                        }
                    }
                    assert!(begun.elapsed() > least, "{:?}", begun.elapsed());
                });
                scope.spawn(move || {
                    quic::an_unfinished_question_ends_and_its_connection_does_not(world);
                });
                scope.spawn(move || {
                    quic::an_answer_that_is_not_taken_ends_and_its_connection_does_not(world);
                });
            });
            meanwhile.end();
            for place in [
                "tls 127.0.0.1:8853",
                "https 127.0.0.1:8443",
                "quic 127.0.0.1:8853",
            ] {
                assert!(world.counted(place, "malformed") >= 1, "{place}");
            }
            world.serves_another();
        },
    );
}

#[test]
fn where_places_are_scarce_the_idle_go_and_whoever_asks_stays() {
    isolated(
        "limits::slow::where_places_are_scarce_the_idle_go_and_whoever_asks_stays",
        || {
            let world = World::raise();
            let before = world.held();
            let meanwhile = Meanwhile::begin();
            let mut busy = world.connect(1, TLS, b"dot").unwrap();
            // Idle since before anything is scarce.
            let mut idle = http2::connect(&world, 2, 1 << 16);
            let idle_quic = quic::Idle::connect(&world, 3);
            let begun = Instant::now();
            let mut held: Vec<Tls> = Vec::new();
            for source in 10..40 {
                let connected = std::iter::from_fn(|| world.connect(source, TLS, b"dot"));
                let own: Vec<Tls> = connected.take(CONNECTIONS_EACH + 8).collect();
                assert!(own.len() <= CONNECTIONS_EACH, "{} of one", own.len());
                held.extend(own);
                assert!(ask(&mut busy, 7), "after {}", held.len());
            }
            let took = begun.elapsed();
            let open = connections(&world);
            assert!(
                (CONNECTIONS_MAX * 3 / 4..=CONNECTIONS_MAX).contains(&open),
                "{open} are open of {} made in {took:?}",
                held.len()
            );
            // Its first packet does not count yet: it must show that it is where it says.
            assert!(quic::is_told_to_retry(&world, 4));
            let now = world.held();
            assert!(now.descriptors <= before.descriptors + CONNECTIONS_MAX + 40);
            let grown = world.grown(&before);
            assert!(grown < 48 << 10, "{grown} KiB more for {open} connections");
            // Idle for two seconds, all others go; whoever asks is served to the end.
            let begun = Instant::now();
            while connections(&world) > CONNECTIONS_MAX / 2 + 1 {
                assert!(
                    begun.elapsed() < SLOWEST,
                    "{} are open",
                    connections(&world)
                );
                assert!(ask(&mut busy, 8));
                thread::sleep(Duration::from_millis(100));
            }
            until_closed(&mut idle, begun);
            idle_quic.until_closed();
            assert!(ask(&mut busy, 9));
            world.serves_another();
            meanwhile.end();
            drop(held);
        },
    );
}

/// All that are open.
fn connections(world: &World) -> usize {
    let places: [(&str, SocketAddr); 3] = [("tls", TLS), ("https", HTTPS), ("quic", QUIC)];
    let counts = places
        .map(|(transport, place)| world.counted(&format!("{transport} {place}"), "connections"));
    usize::try_from(counts.iter().sum::<u64>()).unwrap()
}
