//! Do clients of the stub and of listeners get the same answer from a thread as from the resolver's loop, octet by octet? And does a
//! thread leave the heap alone meanwhile? Real sockets on loopback, a server of the test's own, and a clock that stands.

#![expect(clippy::unwrap_used, reason = "a test may fail at any line")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use config::Config;
use config::model::{
    DnssecMode, ListenerConfig, ListenerStub, Prefix, RecursionMode, ResolverConfig, Transport,
    Upstream,
};
use config::time::Instant;
use policy::{Facts, plan};
use resolver::carried::{Carried, Cookie};
use resolver::{ClientQuery, Resolver, Settings, Stub};
use resolver_io::listeners::{Board, Listener, Listeners};
use resolver_io::{Driver, Input, Listen};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether allocations of listener threads are counted.
static COUNTING: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// The clock, in seconds.
static SECONDS: AtomicU64 = AtomicU64::new(1000);
/// Questions that came to the loop.
static LONG_WAYS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static SEEN: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

impl Counting {
    fn count() {
        // Reading the name allocates nothing, but must not be counted within itself all the same.
        if COUNTING.load(Ordering::Relaxed) && !SEEN.replace(true) {
            let mut name = [0_u8; 16];
            // SAFETY: PR_GET_NAME writes 16 octets at most.
            unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
            if name.starts_with(b"linnet-listener") {
                COUNT.fetch_add(1, Ordering::Relaxed);
            }
            SEEN.set(false);
        }
    }
}

// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and `place` is from `System`.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn clock() -> Instant {
    Instant::ZERO + Duration::from_secs(SECONDS.load(Ordering::SeqCst))
}

/// Answers every question: `none` does not exist, `many` has forty addresses, `most` as many as fit into 512 octets without a cookie
/// and not with one, others have one.
fn serve(socket: &UdpSocket) {
    let mut bytes = [0; 2048];
    while let Ok((length, peer)) = socket.recv_from(&mut bytes) {
        let query = &bytes[..length];
        let end = 12 + query[12..].iter().position(|octet| *octet == 0).unwrap() + 5;
        let label = query[13..17].to_ascii_lowercase();
        let is_address = query[end - 4..end] == [0, 1, 0, 1];
        let (code, count): (u8, u8) = match &label[..] {
            b"none" => (3, 0),
            b"many" if is_address => (0, 40),
            b"most" if is_address => (0, 29),
            _ if is_address => (0, 1),
            _ => (0, 0),
        };
        let authority = u8::from(count == 0);
        let mut answer = query[..2].to_vec();
        answer.extend([0x81, 0x80 | code, 0, 1, 0, count, 0, authority, 0, 0]);
        answer.extend(&query[12..end]);
        for last in 0..count {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, last]);
        }
        if count == 0 {
            // The SOA record of the root, with a MINIMUM of 200.
            answer.extend([0, 0, 6, 0, 1, 0, 0, 1, 44, 0, 22, 0, 0]);
            answer.extend([0; 19]);
            answer.push(200);
        }
        let _sent = socket.send_to(&answer, peer);
    }
}

/// What the loop is told by whoever tests it.
enum Order {
    /// Closes or opens the way past the loop.
    Trace(bool),
    End,
}

struct Running {
    stub: SocketAddr,
    /// Listeners at one address, at all, and at one whose clients get three answers a second.
    listeners: [SocketAddr; 3],
    orders: UnboundedSender<(Order, Sender<()>)>,
}

impl Running {
    fn order(&self, order: Order) {
        let (done, heard) = channel();
        self.orders.send((order, done)).unwrap();
        heard.recv_timeout(PATIENCE).unwrap();
    }
}

fn free_port() -> u16 {
    let socket = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    socket.local_addr().unwrap().port()
}

fn listener(address: [u8; 4], client_rate: u32) -> Listener {
    let config = ListenerConfig {
        address: IpAddr::from(address),
        port: free_port(),
        zone: None,
        transport: Transport::Plain,
        allow: vec![Prefix {
            address: IpAddr::from([127, 0, 0, 0]),
            length: 8,
        }],
        stub: ListenerStub::Main,
        claims: true,
        certificate: None,
        key: None,
        path: "/".into(),
        client_rate,
    };
    Listener { config, tls: None }
}

/// Runs what a daemon runs, until told to end.
fn run(started: &Sender<Running>, server: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut upstream = Upstream::plain(server.ip());
    upstream.port = server.port();
    let config = Config {
        resolver: ResolverConfig {
            upstreams: vec![upstream],
            dnssec: DnssecMode::Off,
            recursion: RecursionMode::Never,
            ..ResolverConfig::default()
        },
        ..Config::default()
    };
    let mut core = Resolver::new(Settings {
        cache_size: 1 << 20,
        dnssec_cache_size: 1 << 20,
        seed: [7; 32],
    });
    core.apply_plan(Arc::clone(&plan(&config, &Facts::default()).dns), clock());
    runtime.block_on(async {
        let listen = Listen {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            stub: Stub::Main,
        };
        let mut driver = (0..20)
            .find_map(|_| Driver::bind_groups(&[listen], 2).ok())
            .expect("a free port");
        driver.start_threads(|| core.shortcut(), clock).unwrap();
        let board = Board::default();
        let mut listeners = Listeners::new(board.clone(), core.shortcut(), 2, clock, [2; 32]);
        let [one, all, few] = [
            ([127, 0, 0, 1], 100_000),
            ([0, 0, 0, 0], 100_000),
            ([127, 0, 0, 1], 3),
        ]
        .map(|(address, rate)| listener(address, rate));
        let places = [&one, &all, &few].map(|listener| listener.config.socket());
        listeners.apply(vec![one, all, few]).unwrap();
        let begun = std::time::Instant::now();
        while board
            .status()
            .iter()
            .filter(|one| one.state == "open")
            .count()
            < 3
        {
            assert!(begun.elapsed() < PATIENCE, "{:?}", board.status());
            std::thread::yield_now();
        }
        let (sender, mut orders) = unbounded_channel();
        let running = Running {
            stub: driver.local_addresses()[0].address,
            listeners: places,
            orders: sender,
        };
        started.send(running).unwrap();
        loop {
            let (mut asked, mut order) = (None, None);
            tokio::select! {
                () = driver.ready() => {}
                one = listeners.next() => asked = Some(one),
                one = orders.recv() => order = one,
            }
            if let Some((client, asked)) = asked {
                LONG_WAYS.fetch_add(1, Ordering::SeqCst);
                let query = ClientQuery {
                    client,
                    stub: asked.stub,
                    channel: asked.caller.channel,
                    origin: Some(asked.caller.peer.ip()),
                    wire: &asked.wire,
                };
                core.handle_query(query, clock());
            }
            while let Some(input) = driver.poll_input() {
                match input {
                    Input::Query {
                        client,
                        stub,
                        channel,
                        origin,
                        wire,
                    } => {
                        LONG_WAYS.fetch_add(1, Ordering::SeqCst);
                        let query = ClientQuery {
                            client,
                            stub,
                            channel,
                            origin,
                            wire,
                        };
                        core.handle_query(query, clock());
                    }
                    Input::Reply { exchange, wire } => core.handle_reply(exchange, wire, clock()),
                    Input::Failed { exchange, failure } => {
                        core.handle_failure(exchange, failure, clock());
                    }
                    Input::ClientGone(client) => core.handle_client_gone(client),
                }
            }
            while let Some(answer) = core.poll_answer() {
                if let Some(answer) = listeners.answer(answer) {
                    driver.answer(answer);
                }
            }
            while let Some(transmit) = core.poll_transmit() {
                driver.transmit(transmit);
            }
            while let Some(exchange) = core.poll_cancel() {
                driver.cancel(exchange);
            }
            while core.poll_event().is_some() {}
            driver.finish_round();
            match order {
                Some((Order::Trace(on), done)) => {
                    core.trace_hits(on);
                    done.send(()).unwrap();
                }
                Some((Order::End, done)) => {
                    drop((driver, listeners));
                    done.send(()).unwrap();
                    break;
                }
                None => {}
            }
        }
    });
}

fn start() -> Running {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = server.local_addr().unwrap();
    std::thread::spawn(move || serve(&server));
    let (started, running) = channel();
    std::thread::spawn(move || run(&started, address));
    running.recv_timeout(PATIENCE).unwrap()
}

fn client() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Asks from `socket`; the answer comes from where the question went, or the test fails.
fn ask(socket: &UdpSocket, to: SocketAddr, wire: &[u8]) -> Vec<u8> {
    socket.send_to(wire, to).unwrap();
    let mut bytes = [0; 4096];
    let (length, from) = socket.recv_from(&mut bytes).unwrap();
    assert_eq!(from, to);
    bytes[..length].to_vec()
}

/// Writes a question for `NAME A` with these flags, and an OPT record with this size, DO and these options.
fn question(name: &str, flags: u16, opt: Option<(u16, bool, &[u8])>) -> Vec<u8> {
    let mut wire = vec![0x12, 0x67];
    wire.extend(flags.to_be_bytes());
    wire.extend([0, 1, 0, 0, 0, 0, 0, u8::from(opt.is_some())]);
    for label in name.split('.') {
        wire.push(u8::try_from(label.len()).unwrap());
        wire.extend(label.as_bytes());
    }
    wire.extend([0, 0, 1, 0, 1]);
    if let Some((size, dnssec_ok, options)) = opt {
        wire.extend([0, 0, 41]);
        wire.extend(size.to_be_bytes());
        wire.extend([0, 0, if dnssec_ok { 0x80 } else { 0 }, 0]);
        wire.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
        wire.extend(options);
    }
    wire
}

fn cookie(client: &[u8], server: &[u8]) -> Vec<u8> {
    let length = u8::try_from(client.len() + server.len()).unwrap();
    [&[0, 10, 0, length][..], client, server].concat()
}

/// One test, as the counting and the clock are everybody's.
#[test]
fn threads_answer_as_the_loop_does_and_allocate_nothing() {
    let running = start();
    let socket = client();
    let [one, all, few] = running.listeners;
    // 0.0.0.0 is asked at two of its addresses.
    let places = [running.stub, one, at(all, 1), at(all, 7)];

    let own = *b"01234567";
    let first = ask(
        &socket,
        one,
        &question("some.test", 0x100, Some((1232, false, &cookie(&own, &[])))),
    );
    let server = match Carried::parse(&first).cookie {
        Some(Cookie::Good(client, server)) if *client == own => server.to_vec(),
        other => panic!("{other:?}"),
    };
    assert_eq!(server.len(), 16);
    let (alone, whole) = (cookie(&own, &[]), cookie(&own, &server));

    let mut compared = 0;
    let mut sizes = Vec::new();
    for seconds in [0, 7, 60] {
        SECONDS.fetch_add(seconds, Ordering::SeqCst);
        for name in [
            "some.test",
            "many.test",
            "most.test",
            "none.test",
            "SoMe.tEsT",
        ] {
            for flags in [0x0100, 0x0130] {
                for opt in [
                    None,
                    Some((100, false, &[][..])),
                    Some((1232, true, &[])),
                    Some((4096, false, &alone)),
                    Some((520, false, &whole)),
                    Some((4096, false, &whole)),
                ] {
                    let wire = question(name, flags, opt);
                    for place in places {
                        // The first may ask the server; from then on it is in the cache.
                        ask(&socket, place, &wire);
                        running.order(Order::Trace(true));
                        let before = LONG_WAYS.load(Ordering::SeqCst);
                        let long = ask(&socket, place, &wire);
                        assert_eq!(LONG_WAYS.load(Ordering::SeqCst), before + 1, "by the loop");
                        running.order(Order::Trace(false));
                        let short = ask(&socket, place, &wire);
                        assert_eq!(
                            LONG_WAYS.load(Ordering::SeqCst),
                            before + 1,
                            "by a thread: {name} {flags:x} {opt:?} at {place}"
                        );
                        assert_eq!(short, long, "{name} {flags:x} {opt:?} at {place}");
                        compared += 1;
                        // No longer than the client takes, nor than it may have, with the cookie in it.
                        let most = match opt {
                            None | Some((..=512, ..)) => 512,
                            Some((size, ..)) if place == running.stub => size,
                            Some((size, _, options)) if options == whole => size.min(1232),
                            Some(_) => 512,
                        };
                        assert!(
                            long.len() <= usize::from(most),
                            "{} octets: {name} {opt:?} at {place}",
                            long.len()
                        );
                        if opt.is_some() {
                            sizes.push((
                                place == running.stub,
                                opt == Some((4096, false, &whole[..])),
                                long.len(),
                            ));
                        }
                    }
                }
            }
        }
    }
    assert_eq!(compared, 3 * 5 * 2 * 6 * 4);
    // Forty addresses fit for whoever is proven, or is on this host by the stub.
    let longest = |stub, proven| {
        let same = sizes
            .iter()
            .filter(|(at, by, _)| (*at, *by) == (stub, proven));
        same.map(|(_, _, length)| *length).max().unwrap()
    };
    assert!(longest(true, true) > 600 && longest(false, true) > 600);
    let most = |options: &[u8]| {
        let wire = question("most.test", 0x100, Some((1232, false, options)));
        ask(&socket, one, &wire)
    };
    let (bare, sealed) = (most(&[]), most(&alone));
    assert_eq!((bare.len(), bare[2] & 2), (27 + 29 * 16 + 11, 0));
    assert_eq!((sealed.len(), sealed[2] & 2), (27 + 11 + 28, 2));

    // The real way, from the socket and back, a hundred times at each place; proven or not, short or cut.
    let wires = [
        question("some.test", 0x100, None),
        question("most.test", 0x100, Some((1232, false, &alone))),
        question("none.test", 0x100, Some((1232, false, &alone))),
        question("many.test", 0x100, Some((1232, false, &whole))),
    ];
    for counted in [false, true] {
        COUNTING.store(counted, Ordering::SeqCst);
        for number in 0..if counted { 100 } else { 10 } {
            for place in places {
                for wire in &wires {
                    ask(&socket, place, wire);
                }
            }
            assert_eq!(COUNT.load(Ordering::SeqCst), 0, "in round {number}");
        }
        COUNTING.store(false, Ordering::SeqCst);
    }

    // Where a client may have three answers a second, three more say "ask by TCP", and then there is silence; a cookie helps.
    let plain = question("some.test", 0x100, None);
    for number in 0..6 {
        let answer = ask(&socket, few, &plain);
        assert_eq!(
            (answer[2] & 2 != 0, answer[7]),
            (number > 2, u8::from(number < 3)),
            "{number}"
        );
    }
    // One socket's questions are answered in their order: that the next one's answer comes first is the silence.
    socket.send_to(&plain, few).unwrap();
    let proven = question("some.test", 0x100, Some((1232, false, &whole)));
    let answer = ask(&socket, few, &proven);
    assert_eq!((answer[7], answer[11]), (1, 1), "with a cookie");
    SECONDS.fetch_add(1, Ordering::SeqCst);
    assert_eq!(ask(&socket, few, &plain)[7], 1, "in another second");
    running.order(Order::End);
}

fn at(place: SocketAddr, last: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, last], place.port()))
}
