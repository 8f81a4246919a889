//! Does the driver keep its word on real sockets? Loopback and high ports only; links in a namespace of the test's own.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use config::model::Upstream;
use policy::LinkId;
use policy::plan::ScopeLink;
use resolver::GroupId;

use super::*;
use crate::stub_tcp::{CONNECTIONS_MAX, IN_FLIGHT_MAX};

mod absence;
mod calls;
mod cuts;
mod hostile;
mod quic;
mod servers;
mod streams;
mod visits;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// An input that outlives its round.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Got {
    Query(ClientId, Channel, Vec<u8>),
    Reply(u64, Vec<u8>),
    Failed(u64, Failure),
    Gone(ClientId),
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test)
}

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn driver() -> (Driver, SocketAddr) {
    let listen = Listen {
        address: loopback(),
        stub: Stub::Main,
    };
    // The port that the kernel gave to UDP may be taken for TCP by another test.
    let driver = (0..20)
        .find_map(|_| Driver::bind(&[listen]).ok())
        .expect("a free port");
    let address = driver.local_addresses()[0].address;
    (driver, address)
}

/// Waits for a round with something in it.
async fn round(driver: &mut Driver) -> Vec<Got> {
    tokio::time::timeout(PATIENCE, driver.ready())
        .await
        .expect("something comes");
    take(driver)
}

fn take(driver: &mut Driver) -> Vec<Got> {
    let mut got = Vec::new();
    while let Some(input) = driver.poll_input() {
        got.push(match input {
            Input::Query {
                client,
                channel,
                wire,
                ..
            } => Got::Query(client, channel, wire.to_vec()),
            Input::Reply { exchange, wire } => Got::Reply(exchange.0, wire.to_vec()),
            Input::Failed { exchange, failure } => Got::Failed(exchange.0, failure),
            Input::ClientGone(client) => Got::Gone(client),
        });
    }
    driver.finish_round();
    got
}

async fn gather(driver: &mut Driver, count: usize) -> Vec<Got> {
    let mut got = Vec::new();
    while got.len() < count {
        got.extend(round(driver).await);
    }
    got
}

fn query_of(got: &Got) -> (ClientId, Vec<u8>) {
    match got {
        Got::Query(client, _, wire) => (*client, wire.clone()),
        other @ (Got::Reply(..) | Got::Failed(..) | Got::Gone(_)) => panic!("{other:?}"),
    }
}

fn message(number: u16) -> Vec<u8> {
    let mut wire = vec![0; 12 + usize::from(number % 100)];
    wire[..2].copy_from_slice(&number.to_be_bytes());
    wire
}

fn framed(wire: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(frame::emit(wire, &mut out));
    out
}

fn read_frame(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut wire = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut wire).unwrap();
    wire
}

fn client(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn peer() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(loopback()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn transmit(exchange: u64, to: SocketAddr, channel: Channel) -> Transmit {
    Transmit {
        exchange: ExchangeId(exchange),
        upstream: Upstream {
            port: to.port(),
            ..Upstream::plain(to.ip())
        },
        channel,
        link: None,
        group: GroupId(1),
        mark: 0,
        wire: message(7),
    }
}

fn link(name: &str, index: Option<u32>) -> ScopeLink {
    ScopeLink {
        name: Arc::from(name),
        id: index.map(|index| LinkId { index, birth: 0 }),
    }
}

#[test]
fn datagrams_of_many_clients_are_answered_each_to_its_own() {
    run(async {
        let (mut driver, address) = driver();
        let clients: Vec<_> = (0..150).map(|_| peer().0).collect();
        for (number, client) in (0..).zip(&clients) {
            client.send_to(&message(number), address).unwrap();
        }
        let got = gather(&mut driver, clients.len()).await;
        assert_eq!(got.len(), clients.len());
        for got in got.iter().rev() {
            let (client, wire) = query_of(got);
            assert!(matches!(got, Got::Query(_, Channel::Udp, _)));
            driver.answer(Answer { client, wire });
        }
        driver.finish_round();
        for (number, client) in (0..).zip(&clients) {
            let mut buffer = [0; 512];
            let (length, from) = client.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..length], from), (&message(number)[..], address));
        }
        assert_eq!(driver.clients.len(), 0);
    });
}

#[test]
fn second_answer_to_one_question_goes_nowhere() {
    run(async {
        let (mut driver, address) = driver();
        let (socket, from) = peer();
        socket.send_to(&message(1), address).unwrap();
        let (client, wire) = query_of(&round(&mut driver).await[0]);
        let caller = driver.caller_of(client).unwrap();
        assert_eq!((caller.peer, caller.channel), (from, Channel::Udp));
        driver.answer(Answer { client, wire });
        let wire = message(2);
        driver.answer(Answer { client, wire });
        driver.finish_round();
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..length], message(1));
        socket.set_nonblocking(true).unwrap();
        assert!(socket.recv(&mut buffer).is_err());
    });
}

#[test]
fn waiting_can_be_given_up_and_nothing_is_lost() {
    run(async {
        let (mut driver, address) = driver();
        let (socket, _) = peer();
        for number in 0..50 {
            let waited = tokio::time::timeout(Duration::ZERO, driver.ready()).await;
            assert!(waited.is_err());
            socket.send_to(&message(number), address).unwrap();
            tokio::time::timeout(PATIENCE, driver.ready())
                .await
                .unwrap();
            let again = tokio::time::timeout(PATIENCE, driver.ready()).await;
            assert!(again.is_ok(), "still ready");
            let got = take(&mut driver);
            assert_eq!(query_of(&got[0]).1, message(number));
        }
    });
}

#[test]
fn answers_of_a_connection_go_out_in_any_order() {
    run(async {
        let (mut driver, address) = driver();
        let mut stream = client(address);
        let together: Vec<u8> = (1..=3)
            .flat_map(|number| framed(&message(number)))
            .collect();
        stream.write_all(&together).unwrap();
        let got = gather(&mut driver, 3).await;
        for got in got.iter().rev() {
            let (client, wire) = query_of(got);
            let caller = driver.caller_of(client).unwrap();
            assert_eq!(caller.peer, stream.local_addr().unwrap());
            assert_eq!(caller.channel, Channel::Tcp);
            driver.answer(Answer { client, wire });
        }
        driver.finish_round();
        for number in [3, 2, 1] {
            assert_eq!(read_frame(&mut stream), message(number));
        }
    });
}

/// A query with these options in its OPT.
fn with_options(number: u16, options: &[u8]) -> Vec<u8> {
    let mut wire = number.to_be_bytes().to_vec();
    wire.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, b'a', 0, 0, 1, 0, 1]);
    let length = u8::try_from(options.len()).unwrap();
    wire.extend_from_slice(&[0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, length]);
    wire.extend_from_slice(options);
    wire
}

/// RFC 7828 §3.3.2: who asks is told, and nobody else; while connections are scarce, that there is no time.
#[test]
fn connection_is_told_how_long_it_may_be_idle_when_it_asks() {
    run(async {
        let (mut driver, address) = driver();
        let mut stream = client(address);
        let mut others = Vec::new();
        for (scarce, tenths) in [(false, 300_u16), (true, 0)] {
            while scarce && others.len() + 1 < CONNECTIONS_MAX {
                let mut other = client(address);
                other.write_all(&framed(&message(1))).unwrap();
                gather(&mut driver, 1).await;
                others.push(other);
            }
            for (option, told) in [(&[0, 11, 0, 0][..], true), (&[0, 12, 0, 0], false)] {
                stream.write_all(&framed(&with_options(7, option))).unwrap();
                let got = gather(&mut driver, 1).await;
                let (client, _) = query_of(&got[0]);
                let wire = with_options(7, &[]);
                driver.answer(Answer { client, wire });
                driver.finish_round();
                let said = [&[0, 11, 0, 2][..], &tenths.to_be_bytes()].concat();
                let expected = with_options(7, if told { &said } else { &[] });
                assert_eq!(read_frame(&mut stream), expected, "{scarce} {option:?}");
            }
        }
    });
}

#[test]
fn question_may_come_octet_by_octet_and_the_client_end_its_half() {
    run(async {
        let (mut driver, address) = driver();
        let mut stream = client(address);
        let writer = std::thread::spawn(move || {
            for octet in framed(&message(9)) {
                stream.write_all(&[octet]).unwrap();
                std::thread::yield_now();
            }
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            stream
        });
        let got = gather(&mut driver, 1).await;
        let (client, wire) = query_of(&got[0]);
        assert_eq!(wire, message(9));
        let mut stream = writer.join().unwrap();
        while driver
            .connections
            .iter()
            .any(|(_, connection)| connection.interest().read)
        {
            assert_eq!(round(&mut driver).await, []);
        }
        driver.answer(Answer { client, wire });
        driver.finish_round();
        assert_eq!(read_frame(&mut stream), message(9));
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        assert!(driver.connections.is_empty());
    });
}

#[test]
fn connection_with_many_open_questions_is_not_read_until_one_is_answered() {
    run(async {
        let (mut driver, address) = driver();
        let mut stream = client(address);
        let count = IN_FLIGHT_MAX + 8;
        for _ in 0..count {
            stream.write_all(&framed(&message(1))).unwrap();
        }
        let first = gather(&mut driver, IN_FLIGHT_MAX).await;
        assert_eq!(first.len(), IN_FLIGHT_MAX);
        assert!(
            tokio::time::timeout(Duration::from_millis(20), driver.ready())
                .await
                .is_err()
        );
        for got in &first {
            let (client, wire) = query_of(got);
            driver.answer(Answer { client, wire });
        }
        driver.finish_round();
        assert_eq!(gather(&mut driver, 8).await.len(), 8);
    });
}

#[test]
fn client_that_does_not_read_is_closed() {
    run(async {
        let (mut driver, address) = driver();
        let mut stream = client(address);
        let mut open = 0;
        let mut closed = false;
        for _ in 0..2000 {
            if stream.write_all(&framed(&message(1))).is_err() {
                break;
            }
            for got in round(&mut driver).await {
                match got {
                    Got::Query(client, ..) => {
                        open += 1;
                        let wire = vec![0; 60_000];
                        driver.answer(Answer { client, wire });
                    }
                    Got::Gone(_) => {}
                    other @ (Got::Reply(..) | Got::Failed(..)) => panic!("{other:?}"),
                }
            }
            driver.finish_round();
            closed = driver.connections.is_empty();
            if closed {
                break;
            }
        }
        assert!(closed, "still open after {open} answers");
        assert_eq!(driver.clients.len(), 0);
    });
}

#[test]
fn stream_without_sense_is_closed_and_its_questions_are_let_go() {
    run(async {
        let (mut driver, address) = driver();
        let mut stream = client(address);
        stream.write_all(&framed(&message(1))).unwrap();
        let (client, wire) = query_of(&gather(&mut driver, 1).await[0]);
        stream.write_all(b"\0\x03abc").unwrap();
        assert_eq!(gather(&mut driver, 1).await, [Got::Gone(client)]);
        driver.answer(Answer { client, wire });
        driver.finish_round();
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    });
}

#[test]
fn newest_connection_takes_the_place_of_the_longest_idle_one() {
    run(async {
        let (mut driver, address) = driver();
        let mut streams = Vec::new();
        for number in 0..=CONNECTIONS_MAX {
            let mut stream = client(address);
            stream.write_all(&framed(&message(1))).unwrap();
            streams.push(stream);
            let (client, wire) = query_of(&gather(&mut driver, 1).await[0]);
            driver.answer(Answer { client, wire });
            driver.finish_round();
            read_frame(&mut streams[number]);
        }
        assert_eq!(driver.connections.len(), CONNECTIONS_MAX);
        assert_eq!(streams[0].read(&mut [0]).unwrap(), 0, "the first is closed");
        let last = streams.last_mut().unwrap();
        last.write_all(&framed(&message(5))).unwrap();
        assert_eq!(query_of(&gather(&mut driver, 1).await[0]).1, message(5));
    });
}

#[test]
fn busy_port_names_the_program_that_has_it() {
    run(async {
        let listen = |address| {
            let stub = Stub::Main;
            Driver::bind(&[Listen { address, stub }])
        };
        let own = format!("(pid {})", std::process::id());
        let (_driver, address) = driver();
        let error = listen(address).unwrap_err();
        assert!(error.to_string().contains(&own), "{error}");
        assert!(matches!(
            error,
            BindError::InUse {
                channel: Channel::Udp,
                ..
            }
        ));

        let holder = TcpListener::bind(loopback()).unwrap();
        let address = holder.local_addr().unwrap();
        let error = listen(address).unwrap_err();
        assert!(error.to_string().contains(&own), "{error}");
        assert!(matches!(
            error,
            BindError::InUse {
                channel: Channel::Tcp,
                ..
            }
        ));
        assert_eq!(
            holder::find(address, Channel::Udp),
            None,
            "what was opened before the failure is closed"
        );
    });
}

#[test]
fn exchange_with_a_closed_port_is_refused_at_once() {
    run(async {
        let (mut driver, _) = driver();
        let (socket, address) = peer();
        drop(socket);
        driver.transmit(transmit(1, address, Channel::Udp));
        assert_eq!(round(&mut driver).await, [Got::Failed(1, Failure::Refused)]);
        driver.transmit(transmit(2, address, Channel::Tcp));
        assert_eq!(
            gather(&mut driver, 1).await,
            [Got::Failed(2, Failure::Refused)]
        );
        assert!(driver.streams.is_empty());
    });
}

#[test]
fn exchange_bound_to_an_absent_link_is_not_sent() {
    run(async {
        let (mut driver, _) = driver();
        let (socket, address) = peer();
        let absent = [link("vpn0", None), link("vpn0", Some(999_999))];
        let mut exchange = 0;
        for link in absent {
            for channel in [Channel::Udp, Channel::Tcp] {
                exchange += 1;
                let link = Some(link.clone());
                driver.transmit(Transmit {
                    link,
                    ..transmit(exchange, address, channel)
                });
                let expected = Got::Failed(exchange, Failure::NoLink);
                assert_eq!(round(&mut driver).await, [expected]);
            }
        }
        let upstream = Upstream {
            zone: Some(Arc::from("nolink9")),
            ..Upstream::plain("fe80::1".parse().unwrap())
        };
        driver.transmit(Transmit {
            upstream,
            ..transmit(9, address, Channel::Udp)
        });
        assert_eq!(round(&mut driver).await, [Got::Failed(9, Failure::NoLink)]);
        socket.set_nonblocking(true).unwrap();
        assert!(socket.recv(&mut [0; 64]).is_err());
    });
}

#[test]
fn encrypted_upstream_is_never_asked_by_plain_datagrams() {
    run(async {
        let (mut driver, _) = driver();
        let (socket, address) = peer();
        for transport in [Transport::Tls, Transport::Https] {
            let mut transmit = transmit(1, address, Channel::Udp);
            transmit.upstream.transport = transport;
            driver.transmit(transmit);
            let got = gather(&mut driver, 1).await;
            assert!(matches!(got[..], [Got::Failed(1, _)]), "{got:?}");
        }
        socket.set_nonblocking(true).unwrap();
        assert!(socket.recv(&mut [0; 64]).is_err());
    });
}

#[test]
fn only_the_upstream_is_heard_until_the_exchange_is_cancelled() {
    run(async {
        let (mut driver, _) = driver();
        let (upstream, address) = peer();
        let (stranger, _) = peer();
        driver.transmit(transmit(1, address, Channel::Udp));
        let mut buffer = [0; 512];
        let (length, from) = upstream.recv_from(&mut buffer).unwrap();
        assert_eq!(buffer[..length], message(7));
        stranger.send_to(&message(66), from).unwrap();
        upstream.send_to(&message(1), from).unwrap();
        upstream.send_to(&message(2), from).unwrap();
        let got = gather(&mut driver, 2).await;
        assert_eq!(got, [Got::Reply(1, message(1)), Got::Reply(1, message(2))]);
        assert!(holder::find(from, Channel::Udp).is_some());
        driver.cancel(ExchangeId(1));
        driver.renew_ports();
        assert_eq!(
            holder::find(from, Channel::Udp),
            None,
            "the socket is closed"
        );
        driver.cancel(ExchangeId(1));
    });
}

#[test]
fn ports_of_exchanges_cannot_be_foretold() {
    run(async {
        let (mut driver, _) = driver();
        let (upstream, address) = peer();
        let mut ports = Vec::new();
        for exchange in 0..128 {
            driver.transmit(transmit(exchange, address, Channel::Udp));
            ports.push(upstream.recv_from(&mut [0; 512]).unwrap().1.port());
            driver.cancel(ExchangeId(exchange));
        }
        let distinct: BTreeSet<u16> = ports.iter().copied().collect();
        let steps: BTreeSet<u16> = ports
            .windows(2)
            .map(|pair| pair[1].wrapping_sub(pair[0]))
            .collect();
        assert!(distinct.len() > 120, "{ports:?}");
        assert!(steps.len() > 120, "{ports:?}");
        let spread = distinct.last().unwrap() - distinct.first().unwrap();
        assert!(spread > 8192, "{ports:?}");
    });
}

#[test]
fn reply_by_stream_is_taken_whole_and_a_cut_one_is_a_failure() {
    run(async {
        let (mut driver, _) = driver();
        let listener = TcpListener::bind(loopback()).unwrap();
        let address = listener.local_addr().unwrap();
        let upstream = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let first = read_frame(&mut stream);
            assert_eq!(first[2..], message(7)[2..]);
            for octet in framed(&first) {
                stream.write_all(&[octet]).unwrap();
            }
            let cut = |mut stream: TcpStream| {
                let wire = read_frame(&mut stream);
                stream.write_all(&framed(&wire)[..9]).unwrap();
            };
            cut(stream);
            cut(listener.accept().unwrap().0);
        });
        driver.transmit(transmit(1, address, Channel::Tcp));
        driver.finish_round();
        assert_eq!(gather(&mut driver, 1).await, [Got::Reply(1, message(7))]);
        driver.transmit(transmit(2, address, Channel::Tcp));
        driver.finish_round();
        assert_eq!(
            gather(&mut driver, 1).await,
            [Got::Failed(2, Failure::Closed)]
        );
        upstream.join().unwrap();
    });
}

#[test]
fn socket_of_a_scope_reaches_its_link_only() {
    const INSIDE: &str = "LINNET_TEST_INSIDE_NAMESPACE";
    const NAME: &str = "tests::socket_of_a_scope_reaches_its_link_only";
    if std::env::var_os(INSIDE).is_some() {
        return run(async { links() });
    }
    let skip = |reason: &str| {
        writeln!(io::stdout(), "SKIP {NAME}: {reason}").unwrap();
    };
    let permitted = Command::new("unshare").args(["-Urn", "true"]).output();
    match permitted {
        Err(error) => return skip(&format!("unshare: {error}")),
        Ok(output) if !output.status.success() => {
            return skip(String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(_) => {}
    }
    let setup = "ip link set lo up && ip address add 10.9.9.9/32 dev lo && \
                 ip link add vpn0 type veth peer name far0 && ip link set vpn0 up && ip link set far0 up && \
                 ip address add 10.8.0.2/24 dev vpn0 && exec \"$@\"";
    let output = Command::new("unshare")
        .args(["-Urn", "sh", "-c", setup, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(text.contains("1 passed"), "{text}\n{errors}");
}

/// Runs where `vpn0` is a link of ours and 10.9.9.9 an address of `lo`.
fn links() {
    let index = |name: &str| batch::link_index(name).unwrap().get();
    let (mut driver, _) = driver();
    assert_eq!(driver.udp_stubs[0].guard, bind::Guard::Link);
    assert_eq!(driver.listeners[0].guard, bind::Guard::Link);

    let (upstream, address) = {
        let socket = UdpSocket::bind("10.9.9.9:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    };
    let mut buffer = [0; 512];
    driver.transmit(Transmit {
        link: Some(link("lo", Some(index("lo")))),
        ..transmit(1, address, Channel::Udp)
    });
    assert_eq!(upstream.recv_from(&mut buffer).unwrap().0, 19);
    driver.cancel(ExchangeId(1));

    // The same address by the other link: the kernel finds it there or not, but never at `lo`.
    driver.transmit(Transmit {
        link: Some(link("vpn0", Some(index("vpn0")))),
        ..transmit(2, address, Channel::Udp)
    });
    assert!(upstream.recv_from(&mut buffer).is_err());
    driver.cancel(ExchangeId(2));

    // A proxy of the VPN's on this host is behind no link.
    let (proxy, address) = peer();
    for (exchange, channel) in [(9, Channel::Udp), (10, Channel::Tcp)] {
        let listener = TcpListener::bind(address).unwrap();
        driver.transmit(Transmit {
            link: Some(link("vpn0", Some(index("vpn0")))),
            ..transmit(exchange, address, channel)
        });
        match channel {
            Channel::Udp => assert_eq!(proxy.recv_from(&mut buffer).unwrap().0, 19),
            Channel::Tcp => drop(listener.accept().unwrap()),
        }
        driver.cancel(ExchangeId(exchange));
    }

    // A link that is renamed is the same link; one that is down or gone is not used.
    let ip = |arguments: &str| {
        let status = Command::new("ip").args(arguments.split(' ')).status();
        assert!(status.unwrap().success(), "ip {arguments}");
    };
    let vpn = link("vpn0", Some(index("vpn0")));
    let to = SocketAddr::from(([10, 8, 0, 1], 53));
    let mut failures = Vec::new();
    for (exchange, change) in (3..).zip([
        "link set vpn0 name vpn9",
        "link set vpn9 down",
        "link del vpn9",
    ]) {
        ip(change);
        driver.hang_up(&Hangup {
            group: GroupId(1),
            upstream: None,
        });
        for channel in [Channel::Udp, Channel::Tcp] {
            driver.transmit(Transmit {
                link: Some(vpn.clone()),
                ..transmit(exchange, to, channel)
            });
            failures.extend(take(&mut driver));
            driver.cancel(ExchangeId(exchange));
        }
    }
    let unreachable = Got::Failed(4, Failure::Unreachable);
    let gone = Got::Failed(5, Failure::NoLink);
    assert_eq!(
        failures,
        [unreachable.clone(), unreachable, gone.clone(), gone]
    );
}
