//! Do the listeners keep their word on real sockets? Loopback and high ports; encryption and neighbours are for the namespaces.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use config::model::{ListenerStub, Prefix, Transport};
use resolver::{Channel, Resolver, Settings, Stub};
use tokio::io::AsyncWriteExt as _;

use super::*;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

fn listeners() -> (Listeners, Board) {
    let resolver = Resolver::new(Settings {
        cache_size: 1 << 16,
        dnssec_cache_size: 1 << 16,
        seed: [1; 32],
    });
    let board = Board::default();
    let now = || config::time::Instant::ZERO;
    let listeners = Listeners::new(board.clone(), resolver.shortcut(), 2, now, [2; 32]);
    (listeners, board)
}

fn config() -> ListenerConfig {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = free.local_addr().unwrap();
    ListenerConfig {
        address: address.ip(),
        port: address.port(),
        zone: None,
        transport: Transport::Plain,
        allow: Vec::new(),
        stub: ListenerStub::Main,
        claims: false,
        certificate: None,
        key: None,
        path: "/".into(),
        client_rate: 1000,
    }
}

/// Has one plain listener opened, and returns where it is.
fn open(listeners: &mut Listeners, board: &Board) -> SocketAddr {
    let config = config();
    let address = config.socket();
    listeners
        .apply(vec![Listener { config, tls: None }])
        .unwrap();
    until(board, |status| {
        status.len() == 1 && status[0].state == "open"
    });
    address
}

fn until(board: &Board, holds: impl Fn(&[ListenerStatus]) -> bool) {
    let begun = Instant::now();
    while !holds(&board.status()) {
        assert!(begun.elapsed() < PATIENCE, "{:?}", board.status());
        std::thread::yield_now();
    }
}

fn next(listeners: &mut Listeners) -> (ClientId, Asked) {
    let begun = Instant::now();
    loop {
        if let Some(asked) = listeners.try_next() {
            return asked;
        }
        assert!(begun.elapsed() < PATIENCE, "a question comes");
        std::thread::yield_now();
    }
}

fn query(id: u16) -> Vec<u8> {
    let mut wire = id.to_be_bytes().to_vec();
    wire.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1]);
    wire
}

fn framed(wire: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(crate::frame::emit(wire, &mut out));
    out
}

fn client() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

#[test]
fn a_datagram_is_asked_once_and_answered_to_its_client() {
    let (mut listeners, board) = listeners();
    let address = open(&mut listeners, &board);
    let socket = client();
    socket.send_to(&query(7), address).unwrap();
    let (client, asked) = next(&mut listeners);
    assert_eq!(asked.stub, Stub::Guest);
    assert_eq!(
        (asked.caller.peer, asked.wire),
        (socket.local_addr().unwrap(), query(7))
    );
    let caller = Caller {
        peer: socket.local_addr().unwrap(),
        at: address,
        transport: Transport::Plain,
        channel: Channel::Udp,
    };
    assert_eq!(listeners.caller_of(client), Some(caller));
    let answer = Answer {
        client,
        wire: query(8),
    };
    assert_eq!(listeners.answer(answer.clone()), None);
    assert_eq!(
        listeners.answer(answer),
        None,
        "a second answer goes nowhere"
    );
    assert_eq!(listeners.caller_of(client), Some(caller), "for traces");
    let mut bytes = [0; 512];
    let (length, from) = socket.recv_from(&mut bytes).unwrap();
    assert_eq!((&bytes[..length], from), (&query(8)[..], address));
    // Others' clients are others'.
    for other in [ClientId(1), ClientId(u64::MAX)] {
        let answer = Answer {
            client: other,
            wire: Vec::new(),
        };
        assert_eq!(listeners.answer(answer.clone()), Some(answer));
    }
}

#[test]
fn who_asks_a_listener_at_all_addresses_is_told_with_the_one_that_he_asked() {
    let (mut listeners, board) = listeners();
    let config = ListenerConfig {
        address: Ipv4Addr::UNSPECIFIED.into(),
        allow: vec![Prefix {
            address: Ipv4Addr::LOCALHOST.into(),
            length: 8,
        }],
        ..config()
    };
    let port = config.port;
    let listener = Listener { config, tls: None };
    listeners.apply(vec![listener]).unwrap();
    until(&board, |status| {
        status.len() == 1 && status[0].state == "open"
    });
    let address = SocketAddr::from(([127, 0, 0, 9], port));
    client().send_to(&query(7), address).unwrap();
    let (_, asked) = next(&mut listeners);
    assert_eq!(asked.caller.at, address);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&framed(&query(8))).unwrap();
    let (_, asked) = next(&mut listeners);
    assert_eq!(asked.caller.at, address);
}

#[test]
fn questions_that_are_refused_are_not_malformed() {
    let (mut listeners, board) = listeners();
    let address = open(&mut listeners, &board);
    let socket = client();
    // The place of an octet in the question, and what it is: without RD, Chaos, AXFR, NOTIFY.
    for (place, octet) in [(2, 0), (18, 3), (16, 252), (2, 0x21)] {
        let mut wire = query(7);
        wire[place] = octet;
        socket.send_to(&wire, address).unwrap();
    }
    let mut cut = query(8);
    cut.truncate(15);
    socket.send_to(&cut, address).unwrap();
    until(&board, |status| {
        status[0].refused + status[0].malformed == 5
    });
    let status = &board.status()[0];
    assert_eq!(
        (status.refused, status.malformed, status.queries),
        (4, 1, 0)
    );
}

#[test]
fn one_client_has_its_share_open_and_hears_when_it_asks_for_more() {
    let (mut listeners, board) = listeners();
    let address = open(&mut listeners, &board);
    let socket = client();
    let mut open = Vec::new();
    let mut refused = 0;
    for id in 0..300 {
        socket.send_to(&query(id), address).unwrap();
        until(&board, |status| {
            status[0].queries + status[0].limited > id.into()
        });
        if board.status()[0].limited == refused {
            open.push(next(&mut listeners).0);
        } else {
            let mut bytes = [0; 512];
            socket.recv(&mut bytes).unwrap();
            assert_eq!(bytes[3] & 15, 5, "REFUSED");
            refused += 1;
        }
    }
    assert_eq!((open.len(), refused), (256, 44));
    for client in open {
        listeners.answer(Answer {
            client,
            wire: query(1),
        });
    }
    // They are given back once the answers are sent.
    let begun = Instant::now();
    while listeners.try_next().is_none() {
        assert!(begun.elapsed() < PATIENCE, "one more is asked");
        socket.send_to(&query(1), address).unwrap();
        std::thread::yield_now();
    }
}

#[test]
fn an_answer_that_waits_to_be_taken_is_still_of_its_clients_share() {
    let (mut listeners, board) = listeners();
    let address = open(&mut listeners, &board);
    // Two connections that ask as much as one may, and read nothing.
    let questions: Vec<u8> = (0..100).flat_map(|id| framed(&query(id))).collect();
    let mut deaf = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&questions).unwrap();
        let asked: Vec<ClientId> = (0..100).map(|_| next(&mut listeners).0).collect();
        for client in asked {
            listeners.answer(Answer {
                client,
                wire: vec![0; 60_000],
            });
        }
        deaf.push(stream);
    }
    let socket = client();
    let asks = |count: u64| {
        for id in 0..count {
            let before = board.status()[0].clone();
            socket.send_to(&query(1), address).unwrap();
            until(&board, |status| {
                let (now, before) = (&status[0], &before);
                now.queries + now.limited > before.queries + before.limited
            });
            if board.status()[0].limited > before.limited {
                return id;
            }
        }
        count
    };
    // The kernel has some of the answers.
    let taken = asks(256);
    assert!((56..100).contains(&taken), "{taken}");
    drop(deaf);
    until(&board, |status| status[0].connections == 0);
    assert_eq!(asks(100), 100, "all is given back");
}

#[test]
fn answers_that_nobody_takes_have_a_bound_for_all_clients_together() {
    const MOST: usize = 256 << 10;
    let serve = async |most: usize| {
        let (asking, mut asked) = mpsc::channel(QUERIES_MAX);
        let resolver = Resolver::new(Settings {
            cache_size: 1 << 16,
            dnssec_cache_size: 1 << 16,
            seed: [1; 32],
        });
        let now = || config::time::Instant::ZERO;
        let mut house = House::new(asking, resolver.shortcut(), 1, now, [2; 16]);
        house.unsent_max = most;
        let house = Arc::new(house);
        let door = Door::new(&config(), "here".into(), None, Arc::default());
        let mut ends = tokio::task::JoinSet::new();
        let mut deaf = Vec::new();
        // Two answers to each, of which the pipe holds next to nothing.
        for client in 0..4_u8 {
            let (mut near, far) = tokio::io::duplex(64);
            let peer = SocketAddr::from(([10, 0, 0, client], 5300));
            let cover = stream::Cover::Plain;
            let caller = door.caller(peer, None, Channel::Tcp);
            let talk = stream::Conversation::new(far, caller, cover, Arc::clone(&house));
            let door = door.clone();
            ends.spawn(async move { talk.serve(&door).await });
            let mut backs: Vec<Back> = Vec::new();
            for id in 0..2 {
                near.write_all(&framed(&query(id))).await.unwrap();
                backs.push(asked.recv().await.unwrap().1);
            }
            for back in backs {
                back.answer(vec![0; 60_000]);
            }
            deaf.push(near);
        }
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        let mut ended = 0;
        while let Some(end) = ends.try_join_next() {
            assert_eq!(end.unwrap(), stream::End::Bad);
            ended += 1;
        }
        ended
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // 480,000 octets wait, of which there may be 262,144: two clients may, and what one that is ended held is free again.
    let (few, many) = runtime.block_on(async { (serve(MOST).await, serve(2 * MOST).await) });
    assert_eq!((few, many), (2, 0));
}

#[test]
fn answers_of_a_connection_come_in_any_order_and_nonsense_ends_it() {
    let (mut listeners, board) = listeners();
    let address = open(&mut listeners, &board);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let both = [framed(&query(1)), framed(&query(2))].concat();
    let (front, back) = both.split_at(25);
    stream.write_all(front).unwrap();
    let (first, _) = next(&mut listeners);
    stream.write_all(back).unwrap();
    let (second, _) = next(&mut listeners);
    for (client, id) in [(second, 2), (first, 1)] {
        listeners.answer(Answer {
            client,
            wire: query(id),
        });
        let mut answer = vec![0; framed(&query(id)).len()];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, framed(&query(id)));
    }
    let mut reply = query(3);
    reply[2] |= 0x80;
    stream.write_all(&framed(&reply)).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "closed");
    until(&board, |status| status[0].connections == 0);
}

#[test]
fn a_listener_that_takes_the_address_of_another_one_is_open_at_once() {
    let (mut listeners, board) = listeners();
    let near = config();
    let far = ListenerConfig {
        address: Ipv4Addr::UNSPECIFIED.into(),
        ..near.clone()
    };
    // Each has the port of the other, and none stands beside it.
    for config in [&near, &far].into_iter().cycle().take(20) {
        let (config, place) = (config.clone(), place_of(config));
        listeners
            .apply(vec![Listener { config, tls: None }])
            .unwrap();
        until(&board, |status| {
            let [one] = status else { return false };
            assert!(!one.state.contains("in use"), "{one:?}");
            one.place == place && one.state == "open"
        });
    }
}

#[test]
fn a_listener_whose_address_is_not_there_is_open_and_what_is_not_wanted_any_more_is_closed() {
    let (mut listeners, board) = listeners();
    let mut absent = config();
    absent.address = IpAddr::from([198, 51, 100, 77]);
    absent.allow = vec![Prefix {
        address: IpAddr::from([198, 51, 100, 0]),
        length: 24,
    }];
    let near = config();
    let address = near.socket();
    let both = [absent, near.clone()].map(|config| Listener { config, tls: None });
    listeners.apply(both.to_vec()).unwrap();
    until(&board, |status| {
        status.len() == 2 && status.iter().all(|one| one.state == "open")
    });
    listeners.apply(Vec::new()).unwrap();
    until(&board, <[_]>::is_empty);
    let begun = Instant::now();
    let taken = loop {
        if let (Ok(_), Ok(taken)) = (UdpSocket::bind(address), TcpListener::bind(address)) {
            break taken;
        }
        assert!(begun.elapsed() < PATIENCE, "the port is free again");
        std::thread::yield_now();
    };
    let listener = Listener {
        config: near,
        tls: None,
    };
    listeners.apply(vec![listener]).unwrap();
    until(&board, |status| {
        status
            .first()
            .is_some_and(|one| one.state.contains("in use"))
    });
    drop(taken);
    until(&board, |status| status[0].state == "open");
}
