//! What do all listeners have in common? The way to the resolver, and the bounds that hold for all of them together.
//!
//! A [`Door`] is what one listener lets in; the [`House`] is what is behind every door. Which question is taken is decided here,
//! by the same rules for every transport.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
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
use super::datagrams::Sender;
use super::rates::PerSecond;
use super::shares::{Share, Shares};
use crate::Caller;

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
/// Octets of answers that may wait for slow readers.
const UNSENT_MAX: usize = 16 << 20;

/// Open questions of one connection; it is not read while it has as many.
pub(super) const IN_FLIGHT_MAX: usize = 100;
/// How long a connection may be idle (RFC 7766 §6.2.3, RFC 9250 §5.5.1).
pub(super) const IDLE_TIME: Duration = Duration::from_secs(30);
/// How long when connections are scarce.
const IDLE_TIME_SCARCE: Duration = Duration::from_secs(2);
/// How often it is looked whether an idle connection has been so for too long.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// How long a handshake, a question or the taking of an answer may last, from its first octet to its last.
pub(super) const SLOWEST: Duration = Duration::from_secs(5);

/// What one listener lets in.
#[derive(Debug, Clone)]
pub(super) struct Door {
    /// Its transport and address.
    pub(super) place: Arc<str>,
    transport: Transport,
    address: SocketAddr,
    /// Who may ask.
    pub(super) allow: AccessList,
    /// As which stub it answers.
    pub(super) stub: Stub,
    /// The path of its requests.
    pub(super) path: Arc<str>,
    /// Its certificate, when it has one that can be used.
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    /// Whole answers by UDP that a client without a cookie may have in a second.
    pub(super) client_rate: u32,
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
    /// Refusals to strangers by UDP.
    pub(super) refusals: PerSecond,
    /// Threads for the datagrams of one listener.
    pub(super) threads: usize,
    unsent: Arc<AtomicUsize>,
    /// Octets of answers that may wait for slow readers, of all connections together.
    pub(super) unsent_max: usize,
}

/// A question on its way to the resolver.
#[derive(Debug)]
pub struct Asked {
    /// Who asks, where, and how.
    pub caller: Caller,
    /// As which stub it is to be answered.
    pub stub: Stub,
    /// The message.
    pub wire: Vec<u8>,
}

/// The way back of an answer; dropped without one, its door hears so too.
#[derive(Debug)]
pub(super) struct Back {
    way: Way,
    answer: Vec<u8>,
    share: Option<Share>,
}

/// Where an answer goes. There is room for as many as can be on their way there.
#[derive(Debug)]
pub(super) enum Way {
    /// To a connection, with the tag of its question.
    Tagged(mpsc::Sender<(u64, Delivery)>, u64),
    /// To whoever sent a datagram.
    Datagram(mpsc::Sender<(Sender, Delivery)>, Sender),
}

/// An answer on its way to its client, which has one question less open when this is dropped: once it is written, or cannot be.
#[derive(Debug)]
pub(super) struct Delivery {
    /// The message; empty when there is none.
    pub(super) wire: Vec<u8>,
    /// None when the answer was there before it could be a question that is open.
    pub(super) share: Option<Share>,
}

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

/// What becomes of a message that is not answered at once.
#[derive(Debug)]
pub(super) enum Judged {
    /// It is to be asked, and has its share.
    Good(Share),
    /// Its answer is written.
    Answered,
    /// It gets no answer.
    Silence,
}

/// Octets that wait for a slow reader.
#[derive(Debug)]
pub(super) struct Unsent {
    all: Arc<AtomicUsize>,
    own: usize,
    most: usize,
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
            address: config.socket(),
            allow: AccessList::new(config.address, &config.allow),
            stub: stub_of(config),
            path: Arc::clone(&config.path),
            tls,
            client_rate: config.client_rate,
            counts,
        }
    }
}

impl Door {
    /// Says who asks here; `asked` is the address that its messages came to, where that is known.
    pub(super) fn caller(
        &self,
        peer: SocketAddr,
        asked: Option<IpAddr>,
        channel: Channel,
    ) -> Caller {
        // One address is told as it is configured, with its link.
        let has_many = self.address.ip().is_unspecified();
        let asked = asked.filter(|_| has_many);
        Caller {
            peer,
            at: asked.map_or(self.address, |ip| SocketAddr::new(ip, self.address.port())),
            transport: self.transport,
            channel,
        }
    }

    /// Makes a question of a message that came in here.
    pub(super) fn question(&self, caller: Caller, wire: Vec<u8>) -> Asked {
        Asked {
            caller,
            stub: self.stub,
            wire,
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
        Transport::Plain | Transport::Tcp => config.to_string(),
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
        threads: usize,
        clock: fn() -> config::time::Instant,
        secret: [u8; 16],
    ) -> Self {
        Self {
            asked,
            shortcut: Mutex::new(shortcut),
            clock,
            queries: Shares::new(QUERIES_MAX, QUERIES_EACH),
            connections: Shares::new(CONNECTIONS_MAX, CONNECTIONS_EACH),
            cookies: Cookies::new(secret),
            refusals: PerSecond::default(),
            threads,
            unsent: Arc::default(),
            unsent_max: UNSENT_MAX,
        }
    }

    /// Takes a client's message: asks it, answers it, or lets it fall.
    pub(super) fn take(
        &self,
        door: &Door,
        caller: Caller,
        wire: Vec<u8>,
        (back, tag): (&mpsc::Sender<(u64, Delivery)>, u64),
    ) -> Taken {
        let Caller { peer, channel, .. } = caller;
        let mut answer = Vec::with_capacity(ANSWER_ROOM);
        if self.answer_at_once(&wire, door.stub, channel, &mut answer) {
            door.counts.queries.up();
            return Taken::Answered(answer);
        }
        match self.judge(door, peer, channel, &wire, &mut answer) {
            Judged::Answered => Taken::Answered(answer),
            Judged::Silence => Taken::Silence,
            Judged::Good(share) => {
                let asked = door.question(caller, wire);
                match self.ask(asked, share, Way::Tagged(back.clone(), tag)) {
                    true => Taken::Asked,
                    false => Taken::Silence,
                }
            }
        }
    }

    /// Looks whether a message is a question whose client may have one more open; if not, writes its answer over `out`.
    pub(super) fn judge(
        &self,
        door: &Door,
        peer: SocketAddr,
        channel: Channel,
        wire: &[u8],
        out: &mut Vec<u8>,
    ) -> Judged {
        let mut buffer: NameBuffer = [0; 255];
        match QueryView::parse(wire, &mut buffer) {
            Ok(_) => {}
            Err(QueryError::Silence) => {
                door.counts.malformed.up();
                return Judged::Silence;
            }
            Err(QueryError::Reject(rejection)) => {
                match rejection.rcode {
                    rcode::FORMERR => door.counts.malformed.up(),
                    _ => door.counts.refused.up(),
                }
                rejection.emit(out);
                return Judged::Answered;
            }
        }
        if let Some(share) = self.queries.take(peer.ip()) {
            door.counts.queries.up();
            return Judged::Good(share);
        }
        door.counts.limited.up();
        match refuse_greedy(wire, channel, out) {
            true => Judged::Answered,
            false => Judged::Silence,
        }
    }

    /// Hands a good question to the resolver. There is room for as many as have a share; only at the end of the daemon is there
    /// nobody left to ask, and this false.
    pub(super) fn ask(&self, asked: Asked, share: Share, way: Way) -> bool {
        let back = Back {
            way,
            answer: Vec::new(),
            share: Some(share),
        };
        self.asked.try_send((asked, back)).is_ok()
    }

    /// Answers what the cache has, without the resolver's loop.
    fn answer_at_once(&self, wire: &[u8], stub: Stub, channel: Channel, out: &mut Vec<u8>) -> bool {
        let mut shortcut = self.lock_shortcut();
        shortcut.answer(wire, stub, channel, out, self.now())
    }

    /// Makes a shortcut for a thread.
    pub(super) fn shortcut(&self) -> Shortcut {
        self.lock_shortcut().clone()
    }

    fn lock_shortcut(&self) -> MutexGuard<'_, Shortcut> {
        let shortcut = self.shortcut.lock();
        shortcut.unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the time that the core is given.
    pub(super) fn now(&self) -> config::time::Instant {
        (self.clock)()
    }

    /// Returns how long a connection may be idle now.
    pub(super) fn idle_time(&self) -> Duration {
        if self.connections.is_scarce() {
            IDLE_TIME_SCARCE
        } else {
            IDLE_TIME
        }
    }

    /// Waits until a connection that has been idle since then has been so for too long, which changes with how many there are.
    pub(super) async fn until_idle_too_long(&self, since: Instant) {
        loop {
            let now = Instant::now();
            let end = since + self.idle_time();
            if end <= now {
                return;
            }
            tokio::time::sleep_until(end.min(now + LOOK_INTERVAL).into()).await;
        }
    }

    /// Counts the octets that a connection's client has yet to take.
    pub(super) fn unsent(&self) -> Unsent {
        Unsent {
            all: Arc::clone(&self.unsent),
            own: 0,
            most: self.unsent_max,
        }
    }
}

/// Writes the answer to a client that has its share of open questions, over `out`; false when its message gets none.
pub(crate) fn refuse_greedy(wire: &[u8], channel: Channel, out: &mut Vec<u8>) -> bool {
    static GREEDY: LazyLock<ExtendedError> = LazyLock::new(|| ExtendedError {
        code: 0,
        text: "too many questions of this client are open".to_owned(),
    });
    turn_away(wire, channel, rcode::REFUSED, &GREEDY, out)
}

/// Writes FORMERR to a message that can be read but for one of its options, over `out`; false when it gets no answer.
pub(super) fn format_error(wire: &[u8], out: &mut Vec<u8>) -> bool {
    static UNREAD: LazyLock<ExtendedError> = LazyLock::new(|| ExtendedError {
        code: 0,
        text: "an EDNS option cannot be read".to_owned(),
    });
    turn_away(wire, Channel::Udp, rcode::FORMERR, &UNREAD, out)
}

impl Back {
    /// Hands an answer to its door.
    pub(super) fn answer(mut self, wire: Vec<u8>) {
        self.answer = wire;
    }
}

impl Drop for Back {
    fn drop(&mut self) {
        let delivery = Delivery {
            wire: std::mem::take(&mut self.answer),
            share: self.share.take(),
        };
        // The door may be gone.
        match &self.way {
            Way::Tagged(to, tag) => drop(to.try_send((*tag, delivery))),
            Way::Datagram(to, sender) => drop(to.try_send((*sender, delivery))),
        }
    }
}

impl Unsent {
    /// Adds to them; false when there is no room left for any.
    pub(super) fn grow(&mut self, octets: usize) -> bool {
        self.own += octets;
        self.all.fetch_add(octets, Ordering::Relaxed) + octets <= self.most
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
