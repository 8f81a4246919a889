//! Do questions reach the loop from listener threads, and answers their clients, and do the threads end?

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use config::time::Instant;
use resolver::{Answer, Resolver, Settings, Stub};

use super::{Crew, Desk, Hearing, Panics, panics};
use crate::batch::{Outbox, Received};
use crate::{Bound, Driver, Input, Listen};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

fn clock() -> Instant {
    Instant::ZERO
}

fn resolver() -> Resolver {
    Resolver::new(Settings {
        cache_size: 1 << 20,
        dnssec_cache_size: 1 << 20,
        seed: [7; 32],
    })
}

fn client(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Answers so many questions with their own octets, backwards.
async fn serve(driver: &mut Driver, count: usize) {
    let mut served = 0;
    while served < count {
        tokio::time::timeout(PATIENCE, driver.ready())
            .await
            .expect("something comes");
        while let Some(input) = driver.poll_input() {
            if let Input::Query { client, wire, .. } = input {
                let wire = wire.iter().rev().copied().collect();
                driver.answer(Answer { client, wire });
                served += 1;
            }
        }
        driver.finish_round();
    }
}

/// Says what it hears, but for one word that it cannot bear, and one that it waits at until somebody lets it go on.
struct Touchy {
    waits: Sender<()>,
    goes_on: Receiver<()>,
}

impl Desk for Touchy {
    fn serve(&mut self, received: &mut Received, outbox: &mut Outbox, socket: BorrowedFd<'_>) {
        for place in 0..received.len() {
            let Some((peer, wire)) = received.get(place) else {
                continue;
            };
            if wire == b"panic" {
                // Whatever comes after this is of another batch.
                self.waits.send(()).unwrap();
                panic!("as it was told");
            }
            if wire == b"wait" {
                self.waits.send(()).unwrap();
                self.goes_on.recv().unwrap();
            }
            if let Some(out) = outbox.next() {
                out.clear();
                out.extend_from_slice(wire);
                outbox.keep(peer, None);
            }
        }
        outbox.send(socket);
    }
}

/// Starts a crew of one; returns with it where it listens, who says that it waits, and who lets it go on.
fn touchy() -> (Crew, SocketAddr, Receiver<()>, Sender<()>) {
    let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let address = socket.local_addr().unwrap();
    let ((waits, waiting), (go_on, goes_on)) = (channel(), channel());
    let mut crew = Crew::default();
    crew.start(&socket, Touchy { waits, goes_on }).unwrap();
    (crew, address, waiting, go_on)
}

#[test]
fn a_thread_that_panics_begins_anew_and_its_socket_is_read_on() {
    let (_crew, address, waiting, _go_on) = touchy();
    let client = client(address);
    for word in [&b"one"[..], b"panic", b"two", b"panic", b"three"] {
        client.send(word).unwrap();
        if word == b"panic" {
            waiting.recv_timeout(PATIENCE).unwrap();
        } else {
            let mut answer = [0; 20];
            let length = client.recv(&mut answer).unwrap();
            assert_eq!(&answer[..length], word);
        }
    }
    assert!(panics() >= 2);
}

#[test]
fn panics_are_counted_each_and_told_ever_less_often() {
    let start = std::time::Instant::now();
    let mut panics = Panics::default();
    let mut told = Vec::new();
    // Ten a second for 200 seconds, a long rest, and one more.
    let tenths = (0..2000).chain([4000]);
    for at in tenths {
        if let Some(times) = panics.note(start + at * Duration::from_millis(100)) {
            told.push((at / 10, times));
        }
    }
    let rows = [
        (0, 1),
        (1, 10),
        (3, 20),
        (7, 40),
        (15, 80),
        (31, 160),
        (63, 320),
        (127, 640),
        (191, 640),
        // The last nine seconds before the rest, and this one.
        (400, 90),
    ];
    assert_eq!(told, rows);
}

#[test]
fn sockets_of_a_crew_are_closed_when_nobody_holds_it_any_more() {
    for _ in 0..50 {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let address = socket.local_addr().unwrap();
        let ((waits, _waiting), (_go_on, goes_on)) = (channel(), channel());
        let (hold, mut held) = tokio::sync::mpsc::channel(1);
        let mut crew = Crew::holding(hold);
        crew.start(&socket, Touchy { waits, goes_on }).unwrap();
        drop(socket);
        drop(crew);
        assert_eq!(held.blocking_recv(), None);
        UdpSocket::bind(address).expect("it is closed");
    }
}

#[test]
fn whoever_drops_a_crew_does_not_wait_for_a_thread_that_is_at_work() {
    let (crew, address, waiting, go_on) = touchy();
    client(address).send(b"wait").unwrap();
    waiting.recv_timeout(PATIENCE).unwrap();
    let (dropped, is_dropped) = channel();
    let dropping = std::thread::spawn(move || {
        drop(crew);
        dropped.send(()).unwrap();
    });
    is_dropped.recv_timeout(PATIENCE).expect("it is dropped");
    go_on.send(()).unwrap();
    dropping.join().unwrap();
    // The thread ends, and the socket with it.
    let begun = std::time::Instant::now();
    while UdpSocket::bind(address).is_err() {
        assert!(begun.elapsed() < PATIENCE, "the socket is closed");
        std::thread::yield_now();
    }
}

#[test]
fn what_keeps_clients_from_being_heard_is_news_once() {
    use std::io::ErrorKind::{NotConnected, OutOfMemory};
    let mut hearing = Hearing::default();
    for (fault, is_news) in [
        (None, false),
        (Some(NotConnected), true),
        (Some(NotConnected), false),
        (Some(OutOfMemory), true),
        (None, true),
        (None, false),
    ] {
        assert_eq!(hearing.is_news(fault), is_news, "{fault:?}");
    }
}

#[test]
fn what_threads_cannot_answer_comes_to_the_loop_and_goes_back_through_the_same_socket() {
    for sockets in [1, 3] {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listen = Listen {
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                stub: Stub::Main,
            };
            let mut driver = (0..20)
                .find_map(|_| Driver::bind_groups(&[listen], sockets).ok())
                .expect("a free port");
            let server = driver.local_addresses()[0].address;
            let core = resolver();
            driver.start_threads(|| core.shortcut(), clock).unwrap();
            let clients: Vec<UdpSocket> = (0..20).map(|_| client(server)).collect();
            for (number, socket) in (0u8..).zip(&clients) {
                for length in [13, 200] {
                    socket.send(&vec![number; length]).unwrap();
                }
            }
            serve(&mut driver, 40).await;
            for (number, socket) in (0u8..).zip(&clients) {
                for length in [13, 200] {
                    let mut answer = [0; 300];
                    // Connected: only an answer from where the question went comes in.
                    assert_eq!(socket.recv(&mut answer).unwrap(), length);
                    assert_eq!(answer[..length], vec![number; length]);
                }
            }
            assert_eq!(driver.lost(), 0);
            // The threads end, or this does not.
            drop(driver);
            Driver::bind(&[Listen {
                address: server,
                stub: Stub::Main,
            }])
            .expect("the sockets are closed");
        });
    }
}

#[test]
fn what_is_asked_before_anybody_reads_is_answered_by_the_loop_or_a_thread() {
    for sockets in [1, 3] {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listen = [Listen {
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                stub: Stub::Main,
            }];
            let bound = (0..20)
                .find_map(|_| Bound::open(&listen, sockets).ok())
                .expect("a free port");
            assert!(bound.is(&listen, sockets) && !bound.is(&listen, sockets + 1));
            assert_eq!(bound.descriptors().count(), sockets + 1);
            let server = bound.places[0].listen.address;
            let clients: Vec<UdpSocket> = (0..30).map(|_| client(server)).collect();
            for (number, socket) in (0u8..).zip(&clients) {
                socket.send(&[number; 13]).unwrap();
            }
            let mut driver = Driver::at(bound).unwrap();
            let mut first = 0;
            while let Some(input) = driver.poll_input() {
                if let Input::Query { client, wire, .. } = input {
                    let wire = wire.to_vec();
                    driver.answer(Answer { client, wire });
                    first += 1;
                }
            }
            driver.finish_round();
            assert!(first > 0 && (sockets > 1 || first == 30), "{first}");
            let core = resolver();
            driver.start_threads(|| core.shortcut(), clock).unwrap();
            serve(&mut driver, 30 - first).await;
            for (number, socket) in (0u8..).zip(&clients) {
                let mut answer = [0; 300];
                assert_eq!(socket.recv(&mut answer).unwrap(), 13);
                assert_eq!(answer[..13], [number; 13]);
            }
        });
    }
}

#[test]
fn a_group_of_sockets_takes_no_address_that_somebody_has() {
    let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let listen = Listen {
        address,
        stub: Stub::Main,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let refused = Driver::bind_groups(&[listen], 2);
        assert!(matches!(refused, Err(crate::BindError::InUse { .. })));
    });
}
