//! What is the right answer? Name servers within the test that answer every name by rule, so that a client can tell.
//!
//! An address says which network made it, when, in which of the network's lives, and for which name. An answer from another network,
//! one that is older than its TTL, and one for another name are seen for what they are. A server notes names that it must never hear.
//!
//! Rules by the first letter of a name: `n` does not exist; `a` is an alias of the same name with `h` in `Network::alias_zone`;
//! all others have the types A and AAAA.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use crate::namespace::inside;

/// The TTL of every record, in seconds.
pub const TTL: u32 = 4;
/// How long a server waits for a packet before it looks at its mode again.
const TURN: Duration = Duration::from_millis(10);
/// Names that must not be heard and were: so many are kept.
const LEAKS_SHOWN: usize = 20;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const TC: u8 = 0x02;

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Milliseconds since the test began.
pub fn now_ms() -> u64 {
    u64::try_from(EPOCH.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// What an address says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The network's mark, below 16.
    pub mark: u8,
    /// In which life of the network, modulo 16.
    pub life: u8,
    /// When: seconds since the test began, modulo 4096.
    pub second: u16,
    /// The name's hash, 12 bits.
    pub name: u16,
}

impl Stamp {
    /// Reads an address.
    pub fn read(address: [u8; 4]) -> Self {
        let word = u32::from_be_bytes(address);
        let bits = |shift: u32, mask: u32| u16::try_from(word >> shift & mask).unwrap_or(0);
        let octet = |shift: u32| u8::try_from(word >> shift & 15).unwrap_or(0);
        Self {
            mark: octet(28),
            life: octet(24),
            second: bits(12, 0xfff),
            name: bits(0, 0xfff),
        }
    }

    /// Returns the address.
    pub fn write(self) -> [u8; 4] {
        let word = u32::from(self.mark & 15) << 28
            | u32::from(self.life & 15) << 24
            | u32::from(self.second & 0xfff) << 12
            | u32::from(self.name & 0xfff);
        word.to_be_bytes()
    }

    /// Returns how many seconds ago it was made.
    pub fn age(self) -> u16 {
        second().wrapping_sub(self.second) & 0xfff
    }

    /// Returns the hash that a name has in addresses.
    pub fn hash(name: &str) -> u16 {
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
            (hash ^ u64::from(octet.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
        });
        u16::try_from((hash ^ hash >> 24) & 0xfff).unwrap_or(0)
    }
}

fn second() -> u16 {
    u16::try_from((now_ms() / 1000) & 0xfff).unwrap_or(0)
}

/// A network whose servers answer alike.
pub struct Network {
    mark: u8,
    life: AtomicU8,
    alias_zone: String,
    forbidden: Box<dyn Fn(&str) -> bool + Send + Sync>,
    leaked: Mutex<Vec<String>>,
    asked: AtomicU64,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").field("mark", &self.mark).finish()
    }
}

impl Network {
    /// Makes a network; its servers must never hear a name that `forbidden` is true of.
    pub fn new(
        mark: u8,
        alias_zone: &str,
        forbidden: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            mark,
            life: AtomicU8::new(0),
            alias_zone: alias_zone.to_owned(),
            forbidden: Box::new(forbidden),
            leaked: Mutex::default(),
            asked: AtomicU64::new(0),
        })
    }

    /// Begins another life: what was answered before is not to be heard again.
    pub fn rebirth(&self) {
        self.life.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns in which life it is, modulo 16.
    pub fn life(&self) -> u8 {
        self.life.load(Ordering::Relaxed) & 15
    }

    /// Returns the names that it was not to hear, the first of them.
    pub fn leaked(&self) -> Vec<String> {
        lock(&self.leaked).clone()
    }

    /// Returns how many questions came.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Answers a message; `None` when it is none. `truncated` leaves the records out and says so.
    fn answer(&self, query: &[u8], rcode: u8, truncated: bool) -> Option<Vec<u8>> {
        let (name, end) = read_name(query)?;
        let question = query.get(12..end + 4)?;
        let record_type = u16::from_be_bytes(*query.get(end..)?.first_chunk()?);
        self.asked.fetch_add(1, Ordering::Relaxed);
        if (self.forbidden)(&name) {
            let mut leaked = lock(&self.leaked);
            if leaked.len() < LEAKS_SHOWN {
                leaked.push(format!("{name} at {} ms", now_ms()));
            }
        }
        let mut records = Vec::new();
        let mut answers = 0;
        let mut authority = 0;
        let mut rcode = rcode;
        let owner = name.to_ascii_lowercase();
        match owner.as_bytes().first() {
            _ if rcode != 0 || truncated => {}
            Some(b'n') => {
                rcode = 3;
                authority = 1;
                soa(&mut records);
            }
            Some(b'a') if !self.alias_zone.is_empty() => {
                let number = owner.split('.').next()?.get(1..)?;
                let target = wire_name(&format!("h{number}.{}", self.alias_zone));
                record(&mut records, 5, &target);
                answers = 1;
            }
            _ if record_type == TYPE_A || record_type == TYPE_AAAA => {
                let stamp = Stamp {
                    mark: self.mark,
                    life: self.life(),
                    second: second(),
                    name: Stamp::hash(&owner),
                };
                let mut rdata = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                rdata[12..].copy_from_slice(&stamp.write());
                record(
                    &mut records,
                    record_type,
                    if record_type == TYPE_A {
                        &rdata[12..]
                    } else {
                        &rdata
                    },
                );
                answers = 1;
            }
            _ => {
                authority = 1;
                soa(&mut records);
            }
        }
        let edns = query.get(11).is_some_and(|&additional| additional > 0);
        let mut reply = query.get(..2)?.to_vec();
        let flags = 0x81 | if truncated { TC } else { 0 };
        reply.extend([
            flags,
            0x80 | rcode,
            0,
            1,
            0,
            answers,
            0,
            authority,
            0,
            u8::from(edns),
        ]);
        reply.extend(question);
        reply.extend(records);
        if edns {
            reply.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        }
        Some(reply)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread of the oracle panics")
}

/// Reads the question's name, in the spelling of the message, and returns where it ends.
pub fn read_name(message: &[u8]) -> Option<(String, usize)> {
    let mut at = 12;
    let mut name = String::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        if !name.is_empty() {
            name.push('.');
        }
        let label = message.get(at..at + length)?;
        name.extend(label.iter().map(|&octet| char::from(octet)));
        at += length;
    }
}

/// Writes a name in wire form.
pub fn wire_name(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        wire.push(u8::try_from(label.len()).expect("a label is short"));
        wire.extend(label.bytes());
    }
    wire.push(0);
    wire
}

/// Makes a question with EDNS.
pub fn query(id: u16, name: &str, record_type: u16) -> Vec<u8> {
    let mut wire = id.to_be_bytes().to_vec();
    wire.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    wire.extend(wire_name(name));
    wire.extend(record_type.to_be_bytes());
    wire.extend([0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    wire
}

/// Writes a record of the question's name.
fn record(out: &mut Vec<u8>, record_type: u16, rdata: &[u8]) {
    out.extend([0xc0, 12]);
    out.extend(record_type.to_be_bytes());
    out.extend([0, 1]);
    out.extend(TTL.to_be_bytes());
    out.extend(u16::try_from(rdata.len()).expect("short").to_be_bytes());
    out.extend(rdata);
}

/// Writes the SOA of the root, so that a denial is kept as long as an answer.
fn soa(out: &mut Vec<u8>) {
    out.extend([0, 0, 6, 0, 1]);
    out.extend(TTL.to_be_bytes());
    let mut rdata = wire_name("ns.test");
    rdata.extend(wire_name("root.test"));
    for number in [1, 3600, 600, 86_400, TTL] {
        rdata.extend(number.to_be_bytes());
    }
    out.extend(u16::try_from(rdata.len()).expect("short").to_be_bytes());
    out.extend(rdata);
}

/// What a server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It answers.
    Right,
    /// It hears and says nothing.
    Silent,
    /// Its ports are closed.
    Closed,
    /// It answers SERVFAIL.
    ServFail,
    /// It answers REFUSED.
    Refused,
    /// It answers so much later.
    Late(Duration),
    /// By UDP it says that the answer does not fit; by TCP it answers.
    Truncates,
}

/// A server: one address, UDP and TCP, in a namespace; it ends when dropped.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    mode: Mutex<Mode>,
    ended: AtomicBool,
    network: Arc<Network>,
    address: SocketAddr,
    open: AtomicBool,
}

impl Server {
    /// Starts a server, and waits until it listens.
    ///
    /// # Panics
    /// When it cannot.
    pub fn start(namespace: &str, address: Ipv4Addr, network: &Arc<Network>) -> Self {
        let shared = Arc::new(Shared {
            mode: Mutex::new(Mode::Right),
            ended: AtomicBool::new(false),
            network: Arc::clone(network),
            address: (address, 53).into(),
            open: AtomicBool::new(false),
        });
        let (udp, tcp) = (Arc::clone(&shared), Arc::clone(&shared));
        let _serves = inside(namespace, move || udp.serve_udp());
        let _serves = inside(namespace, move || tcp.serve_tcp());
        crate::peer::until(&format!("{address} listens"), || {
            shared.open.load(Ordering::Relaxed)
        });
        Self { shared }
    }

    /// Sets what it does from here on.
    pub fn set(&self, mode: Mode) {
        *lock(&self.shared.mode) = mode;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn mode(&self) -> Mode {
        *lock(&self.mode)
    }

    fn runs(&self) -> bool {
        !self.ended.load(Ordering::Relaxed)
    }

    fn reply(&self, query: &[u8], mode: Mode, by_udp: bool) -> Option<Vec<u8>> {
        match mode {
            Mode::Right | Mode::Late(_) => self.network.answer(query, 0, false),
            Mode::Truncates => self.network.answer(query, 0, by_udp),
            Mode::ServFail => self.network.answer(query, 2, false),
            Mode::Refused => self.network.answer(query, 5, false),
            // It is heard all the same: a leak is a leak.
            Mode::Silent | Mode::Closed => self.network.answer(query, 0, false).and(None),
        }
    }

    fn serve_udp(&self) {
        let mut buffer = [0; 2048];
        while self.runs() {
            if self.mode() == Mode::Closed {
                thread::sleep(TURN);
                continue;
            }
            let Ok(socket) = UdpSocket::bind(self.address) else {
                thread::sleep(TURN);
                continue;
            };
            let _set = socket.set_read_timeout(Some(TURN));
            self.open.store(true, Ordering::Relaxed);
            let mut late: VecDeque<(Instant, Vec<u8>, SocketAddr)> = VecDeque::new();
            while self.runs() && self.mode() != Mode::Closed {
                while late.front().is_some_and(|(due, ..)| *due <= Instant::now()) {
                    if let Some((_, query, from)) = late.pop_front()
                        && let Some(reply) = self.reply(&query, Mode::Right, true)
                    {
                        let _sent = socket.send_to(&reply, from);
                    }
                }
                let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                let query = &buffer[..length];
                let mode = self.mode();
                if let Mode::Late(time) = mode {
                    late.push_back((Instant::now() + time, query.to_vec(), from));
                } else if let Some(reply) = self.reply(query, mode, true) {
                    let _sent = socket.send_to(&reply, from);
                }
            }
        }
    }

    fn serve_tcp(self: &Arc<Self>) {
        while self.runs() {
            if self.mode() == Mode::Closed {
                thread::sleep(TURN);
                continue;
            }
            let Ok(listener) = TcpListener::bind(self.address) else {
                thread::sleep(TURN);
                continue;
            };
            let _set = listener.set_nonblocking(true);
            while self.runs() && self.mode() != Mode::Closed {
                match listener.accept() {
                    Ok((stream, _)) => {
                        let shared = Arc::clone(self);
                        thread::spawn(move || shared.serve_stream(stream));
                    }
                    Err(_) => thread::sleep(TURN),
                }
            }
        }
    }

    fn serve_stream(&self, mut stream: TcpStream) {
        let _set = stream.set_nonblocking(false);
        let _set = stream.set_read_timeout(Some(TURN));
        let mut held = Vec::new();
        let mut buffer = [0; 4096];
        while self.runs() && self.mode() != Mode::Closed {
            match stream.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => held.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                Err(_) => return,
            }
            while let Some((length, rest)) = held.split_first_chunk::<2>() {
                let length = usize::from(u16::from_be_bytes(*length));
                let Some(query) = rest.get(..length).map(<[u8]>::to_vec) else {
                    break;
                };
                held.drain(..length + 2);
                let mode = self.mode();
                if let Mode::Late(time) = mode {
                    thread::sleep(time);
                }
                if let Some(reply) = self.reply(&query, mode, false) {
                    let length = u16::try_from(reply.len()).expect("short").to_be_bytes();
                    if stream.write_all(&[&length[..], &reply].concat()).is_err() {
                        return;
                    }
                }
            }
        }
    }
}
