//! What do all listeners have in common? The way to the resolver, and the bounds that hold for all of them together.
//!
//! A [`Door`] is what one listener lets in; the [`House`] is what is behind every door. Which question is taken is decided here,
//! by the same rules for every transport.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use config::model::{ListenerConfig, ListenerStub, Transport};
use resolver::carried::turn_away;
use resolver::cookie::Cookies;
use resolver::event::ExtendedError;
use resolver::shortcut::Shortcut;
use resolver::wire::{NameBuffer, QueryError, QueryView, rcode};
use resolver::{Channel, Stub};
use tokio::sync::mpsc;

use super::access::AccessList;
use super::board::Counts;
use super::rates::Rates;
use super::shares::{Share, Shares};

/// Open questions of all clients of all listeners; a quarter of what the resolver has open at most, so that the host's own
/// programs are never kept waiting by others.
pub(super) const QUERIES_MAX: usize = 1024;
/// Open questions of one client.
const QUERIES_EACH: usize = 256;
/// Connections of all clients.
const CONNECTIONS_MAX: usize = 512;
/// Connections of one client.
const CONNECTIONS_EACH: usize = 32;
/// Room for an answer, in octets; larger ones grow.
const ANSWER_ROOM: usize = 512;
/// Octets of answers that wait for slow readers, of all connections together.
const UNSENT_MAX: usize = 16 << 20;

/// Open questions of one connection; it is not read while it has as many.
pub(super) const IN_FLIGHT_MAX: usize = 100;
/// How long a connection may be idle (RFC 7766 §6.2.3, RFC 9250 §5.5.1).
pub(super) const IDLE_TIME: Duration = Duration::from_secs(30);
/// How long when connections are scarce.
const IDLE_TIME_SCARCE: Duration = Duration::from_secs(2);
/// How long a handshake, a question or the taking of an answer may last, from its first octet to its last.
pub(super) const SLOWEST: Duration = Duration::from_secs(5);

/// What one listener lets in.
#[derive(Debug, Clone)]
pub(super) struct Door {
    /// Its transport and address.
    pub(super) place: Arc<str>,
    transport: Transport,
    /// Who may ask.
    pub(super) allow: AccessList,
    /// As which stub it answers.
    pub(super) stub: Stub,
    /// The path of its requests.
    pub(super) path: Arc<str>,
    /// Its certificate, when it has one that can be used.
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    /// What it counts.
    pub(super) counts: Arc<Counts>,
}

/// What is behind every door.
#[derive(Debug)]
pub(super) struct House {
    asked: mpsc::Sender<(Asked, Back)>,
    shortcut: Mutex<Shortcut>,
    clock: fn() -> config::time::Instant,
    queries: Shares,
    pub(super) connections: Shares,
    pub(super) cookies: Cookies,
    pub(super) rates: Mutex<Rates>,
    unsent: Arc<AtomicUsize>,
    started: Instant,
}

/// A question on its way to the resolver.
#[derive(Debug)]
pub struct Asked {
    /// Who asks.
    pub peer: SocketAddr,
    /// As which stub it is to be answered.
    pub stub: Stub,
    /// How the question came.
    pub transport: Transport,
    /// How the answer travels.
    pub channel: Channel,
    /// The message.
    pub wire: Vec<u8>,
}

/// The way back of an answer; dropped without one, its door hears so too.
#[derive(Debug)]
pub(super) struct Back {
    to: mpsc::UnboundedSender<(u64, Vec<u8>)>,
    tag: u64,
    answer: Vec<u8>,
    _share: Share,
}

/// Where a door hears answers: its tag and the message, which is empty when there is none.
pub(super) type Answers = mpsc::UnboundedReceiver<(u64, Vec<u8>)>;

/// What becomes of a message.
#[derive(Debug)]
pub(super) enum Taken {
    /// It is asked; its answer comes with its tag.
    Asked,
    /// It is answered on the spot.
    Answered(Vec<u8>),
    /// It gets no answer.
    Silence,
}

/// Octets that wait for a slow reader.
#[derive(Debug)]
pub(super) struct Unsent {
    all: Arc<AtomicUsize>,
    own: usize,
}

impl Door {
    /// Makes the door of a listener.
    pub(super) fn new(
        config: &ListenerConfig,
        place: Arc<str>,
        tls: Option<Arc<rustls::ServerConfig>>,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            place,
            transport: config.transport,
            allow: AccessList::new(config.address, &config.allow),
            stub: stub_of(config),
            path: Arc::clone(&config.path),
            tls,
            counts,
        }
    }
}

/// Returns as which stub a listener answers.
pub(super) const fn stub_of(config: &ListenerConfig) -> Stub {
    match (config.stub, config.claims) {
        (ListenerStub::Main, true) => Stub::Main,
        (ListenerStub::Main, false) => Stub::Guest,
        (ListenerStub::Bypass, true) => Stub::Bypass,
        (ListenerStub::Bypass, false) => Stub::GuestBypass,
    }
}

/// Returns how a listener is called.
pub(super) fn place_of(config: &ListenerConfig) -> String {
    match config.transport {
        Transport::Plain => config.to_string(),
        Transport::Tls | Transport::Https | Transport::H3 | Transport::Quic => {
            format!("{} {config}", config.transport.as_str())
        }
    }
}

impl House {
    /// Makes a house whose questions go to `asked` when the shortcut cannot answer them; `secret` is for its cookies.
    pub(super) fn new(
        asked: mpsc::Sender<(Asked, Back)>,
        shortcut: Shortcut,
        clock: fn() -> config::time::Instant,
        secret: [u8; 16],
    ) -> Self {
        let now = Instant::now();
        Self {
            asked,
            shortcut: Mutex::new(shortcut),
            clock,
            queries: Shares::new(QUERIES_MAX, QUERIES_EACH),
            connections: Shares::new(CONNECTIONS_MAX, CONNECTIONS_EACH),
            cookies: Cookies::new(secret),
            rates: Mutex::new(Rates::new(now)),
            unsent: Arc::default(),
            started: now,
        }
    }

    /// Takes a client's message: asks it, answers it, or lets it fall.
    pub(super) fn take(
        &self,
        door: &Door,
        peer: SocketAddr,
        channel: Channel,
        wire: Vec<u8>,
        back: (&mpsc::UnboundedSender<(u64, Vec<u8>)>, u64),
    ) -> Taken {
        let mut answer = Vec::with_capacity(ANSWER_ROOM);
        if self.answer_at_once(&wire, door.stub, channel, &mut answer) {
            door.counts.queries.up();
            return Taken::Answered(answer);
        }
        let mut buffer: NameBuffer = [0; 255];
        match QueryView::parse(&wire, &mut buffer) {
            Ok(_) => {}
            Err(QueryError::Silence) => {
                door.counts.malformed.up();
                return Taken::Silence;
            }
            Err(QueryError::Reject(rejection)) => {
                door.counts.malformed.up();
                rejection.emit(&mut answer);
                return Taken::Answered(answer);
            }
        }
        let Some(share) = self.queries.take(peer.ip()) else {
            return self.limited(door, channel, &wire);
        };
        door.counts.queries.up();
        let asked = Asked {
            peer,
            stub: door.stub,
            transport: door.transport,
            channel,
            wire,
        };
        let back = Back {
            to: back.0.clone(),
            tag: back.1,
            answer: Vec::new(),
            _share: share,
        };
        match self.asked.try_send((asked, back)) {
            Ok(()) => Taken::Asked,
            // There is room for as many as have a share; only at the end of the daemon there is nobody left to ask.
            Err(_) => Taken::Silence,
        }
    }

    /// Answers what the cache has, without the resolver's loop.
    fn answer_at_once(&self, wire: &[u8], stub: Stub, channel: Channel, out: &mut Vec<u8>) -> bool {
        let shortcut = self.shortcut.lock();
        let mut shortcut = shortcut.unwrap_or_else(PoisonError::into_inner);
        shortcut.answer(wire, stub, channel, out, (self.clock)())
    }

    fn limited(&self, door: &Door, channel: Channel, wire: &[u8]) -> Taken {
        door.counts.limited.up();
        let mut answer = Vec::new();
        match refuse_greedy(wire, channel, &mut answer) {
            true => Taken::Answered(answer),
            false => Taken::Silence,
        }
    }

    /// Returns how long a connection may be idle now.
    pub(super) fn idle_time(&self) -> Duration {
        if self.connections.is_scarce() {
            IDLE_TIME_SCARCE
        } else {
            IDLE_TIME
        }
    }

    /// Counts the octets that a connection's client has yet to take.
    pub(super) fn unsent(&self) -> Unsent {
        Unsent {
            all: Arc::clone(&self.unsent),
            own: 0,
        }
    }

    /// Counts a datagram whose sender is not proven.
    pub(super) fn count(&self, address: IpAddr) -> super::rates::Allowed {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.count(address, Instant::now())
    }

    /// Whether one more stranger hears that it is one.
    pub(super) fn may_refuse(&self) -> bool {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.may_refuse(Instant::now())
    }

    /// Returns the time that cookies are made of.
    pub(super) fn cookie_time(&self) -> u32 {
        u32::try_from(self.started.elapsed().as_secs()).unwrap_or(u32::MAX)
    }
}

/// Writes the answer to a client that has its share of open questions, over `out`; false when its message gets none.
pub(crate) fn refuse_greedy(wire: &[u8], channel: Channel, out: &mut Vec<u8>) -> bool {
    let error = ExtendedError {
        code: 0,
        text: "too many questions of this client are open".to_owned(),
    };
    turn_away(wire, channel, rcode::REFUSED, &error, out)
}

/// Writes FORMERR to a message that can be read but for one of its options, over `out`; false when it gets no answer.
pub(super) fn format_error(wire: &[u8], out: &mut Vec<u8>) -> bool {
    let error = ExtendedError {
        code: 0,
        text: "an EDNS option cannot be read".to_owned(),
    };
    turn_away(wire, Channel::Udp, rcode::FORMERR, &error, out)
}

impl Back {
    /// Hands an answer to its door.
    pub(super) fn answer(mut self, wire: Vec<u8>) {
        self.answer = wire;
    }
}

impl Drop for Back {
    fn drop(&mut self) {
        // The door may be gone.
        let _gone = self.to.send((self.tag, std::mem::take(&mut self.answer)));
    }
}

impl Unsent {
    /// Adds to them; false when there is no room left for any.
    pub(super) fn grow(&mut self, octets: usize) -> bool {
        self.own += octets;
        self.all.fetch_add(octets, Ordering::Relaxed) + octets <= UNSENT_MAX
    }

    /// Takes away what the client took.
    pub(super) fn shrink(&mut self, octets: usize) {
        let octets = octets.min(self.own);
        self.own -= octets;
        self.all.fetch_sub(octets, Ordering::Relaxed);
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.shrink(self.own);
    }
}
