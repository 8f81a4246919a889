//! Do the encrypted listeners keep their bounds against clients that keep no rules? What they do, what it costs, and whether the stub goes on.
//!
//! The clients are raw: octets of HTTP/2 through TLS, and QUIC that loses or never ends. What well-behaved ones get is in `listeners`.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use socket2::{Domain, Socket, Type};
use tests::office::{Office, dig};
use tests::peer::{Peer, until};

use crate::guests::certificate;
use crate::{LINNETD, json};

mod http2;
mod quic;
mod slow;

/// Where the listeners are, all on loopback, where every address of a client is another client.
const TLS: SocketAddr = near(8853);
const HTTPS: SocketAddr = near(8443);
const QUIC: SocketAddr = near(8853);

/// What ends in five seconds is over by then, on a busy machine too.
const SLOWEST: Duration = Duration::from_secs(10);

const fn near(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// A client's end of a connection.
type Tls = StreamOwned<ClientConnection, TcpStream>;

/// The office with encrypted listeners.
struct World {
    office: Office,
    linnetd: Peer,
    roots: RootCertStore,
}

/// What linnetd holds.
struct Held {
    /// Resident memory, in KiB.
    memory: u64,
    descriptors: usize,
}

impl World {
    fn raise() -> Self {
        let office = Office::raise();
        office.configure_usual("");
        certificate(&office, "good");
        let listener = |transport: &str, place: SocketAddr| {
            format!(
                "[[listeners]]\naddress = \"{place}\"\ntransport = \"{transport}\"\n\
                 certificate = \"good.pem\"\nkey = \"good.key\"\n"
            )
        };
        let listeners = [("tls", TLS), ("https", HTTPS), ("quic", QUIC)];
        let text = listeners.map(|(transport, place)| listener(transport, place));
        office.configure("conf.d/listeners.toml", &text.concat());
        let linnetd = office.linnetd(LINNETD, &[]);
        until("the listeners are open", || {
            let status = json(&office, &["status"]);
            let listeners = status["listeners"].as_array().cloned().unwrap_or_default();
            listeners.len() == 3 && listeners.iter().all(|one| one["state"] == "open")
        });
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(office.path("etc/ca.pem")).unwrap();
        roots.add(authority).unwrap();
        // In the cache from here on.
        assert!(dig("+short www.example.test").contains("192.0.2.80"));
        assert!(dig("+tcp big.corp.test TXT").contains("ANSWER: 16"));
        let told = dig("+tcp +keepalive big.corp.test A");
        assert!(told.contains("TCP KEEPALIVE: 30.0"), "{told}");
        let told = dig("+notcp +keepalive big.corp.test A");
        assert!(!told.contains("TCP KEEPALIVE"), "RFC 7828 §3.2.1: {told}");
        Self {
            office,
            linnetd,
            roots,
        }
    }

    fn client(&self, protocol: &[u8]) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap();
        let mut config = versions
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        config
    }

    /// Connects from 127.0.SOURCE.1, handshake included, to `place` with this protocol; `None` when it is closed before.
    fn connect(&self, source: u8, place: SocketAddr, protocol: &[u8]) -> Option<Tls> {
        let stream = tcp(source, place)?;
        let name = "dns.test".try_into().unwrap();
        let client = ClientConnection::new(Arc::new(self.client(protocol)), name).unwrap();
        let mut tls = StreamOwned::new(client, stream);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock).ok()?;
        }
        Some(tls)
    }

    fn held(&self) -> Held {
        let process = format!("/proc/{}", self.linnetd.pid());
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let text = line.unwrap().trim().trim_end_matches(" kB");
        Held {
            memory: text.parse().unwrap(),
            descriptors: fs::read_dir(format!("{process}/fd")).unwrap().count(),
        }
    }

    /// How much more memory linnetd has than it had, in KiB.
    fn grown(&self, before: &Held) -> u64 {
        self.held().memory.saturating_sub(before.memory)
    }

    /// What the status counts at a listener.
    fn counted(&self, place: &str, what: &str) -> u64 {
        let status = json(&self.office, &["status"]);
        let listeners = status["listeners"].as_array().cloned().unwrap_or_default();
        let found = listeners.into_iter().find(|one| one["place"] == place);
        found.unwrap_or_default()[what].as_u64().unwrap_or(0)
    }

    /// Another client is served by TLS.
    fn serves_another(&self) {
        let begun = Instant::now();
        let mut tls = self
            .connect(250, TLS, b"dot")
            .expect("another client is let in");
        assert!(ask(&mut tls, 1), "another client is answered");
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}

/// Connects from 127.0.SOURCE.1; what does not come in [`SLOWEST`] does not come.
fn tcp(source: u8, place: SocketAddr) -> Option<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // Little is taken by the kernel of whoever does not read.
    socket.set_recv_buffer_size(4096).unwrap();
    let own = SocketAddr::from(([127, 0, source, 1], 0));
    socket.bind(&own.into()).unwrap();
    socket.connect(&place.into()).ok()?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(SLOWEST)).unwrap();
    stream.set_nodelay(true).unwrap();
    Some(stream)
}

/// A question for `www.example.test`.
fn question(id: u16) -> Vec<u8> {
    let mut wire = id.to_be_bytes().to_vec();
    wire.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    wire.extend_from_slice(b"\x03www\x07example\x04test\0\0\x01\0\x01");
    wire
}

/// A question whose answer has 4 KiB.
fn big_question(id: u16) -> Vec<u8> {
    let mut wire = id.to_be_bytes().to_vec();
    wire.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    wire.extend_from_slice(b"\x03big\x04corp\x04test\0\0\x10\0\x01");
    wire
}

fn framed(wire: &[u8]) -> Vec<u8> {
    let length = u16::try_from(wire.len()).unwrap();
    [&length.to_be_bytes()[..], wire].concat()
}

/// Asks on a connection of DNS over TLS; whether an answer comes.
fn ask(tls: &mut Tls, id: u16) -> bool {
    let mut answer = [0; 64];
    tls.write_all(&framed(&question(id))).is_ok()
        && tls.read(&mut answer).is_ok_and(|length| length > 30)
        && answer[2..4] == id.to_be_bytes()
}

/// Waits until the other end has closed, and returns how long that took; what it says is dropped.
fn until_closed(stream: &mut impl io::Read, begun: Instant) -> Duration {
    let mut bytes = [0; 4096];
    while let Ok(1..) = stream.read(&mut bytes) {
        assert!(begun.elapsed() < SLOWEST, "it goes on and on");
    }
    begun.elapsed()
}

/// The fewest questions of which it can be said how they are answered as a rule.
const ASKED_MIN: usize = 50;

/// Asks the stub all the while.
struct Meanwhile {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<Vec<Duration>>,
}

impl Meanwhile {
    /// Begins to ask, until [`Meanwhile::end`].
    fn begin() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let asking = thread::spawn(move || {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            socket.connect("127.0.0.53:53").unwrap();
            socket
                .set_read_timeout(Some(Duration::from_secs(1)))
                .unwrap();
            let mut times = Vec::new();
            for id in 0_u16.. {
                if stopped.load(Ordering::Acquire) && times.len() > ASKED_MIN {
                    break;
                }
                let begun = Instant::now();
                socket.send(&question(id)).unwrap();
                let mut answer = [0; 512];
                let length = socket.recv(&mut answer).expect("the stub answers");
                assert!(length > 30 && answer[..2] == id.to_be_bytes());
                times.push(begun.elapsed());
                // A pace, so that it is no flood of its own.
                thread::sleep(Duration::from_millis(2));
            }
            times
        });
        Self { stop, asking }
    }

    /// Ends, and holds that every question was answered, and as a rule at once.
    fn end(self) {
        self.stop.store(true, Ordering::Release);
        let mut times = self.asking.join().expect("the stub answers all the while");
        times.sort_unstable();
        let (middle, last) = (times[times.len() / 2], times[times.len() - 1]);
        assert!(
            middle < Duration::from_millis(20),
            "{middle:?} as a rule, {last:?} at most"
        );
    }
}
