//! Listeners and upstream sockets for the resolver core. No decisions are made here.
//!
//! [`Driver`] owns every socket of the resolver. The shell waits in [`Driver::ready`], then takes inputs from
//! [`Driver::poll_input`] until there are none, gives them to the core, hands the core's output to [`Driver::answer`],
//! [`Driver::transmit`] and [`Driver::cancel`], and ends the round with [`Driver::finish_round`], which sends what was batched.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use config::model::Transport;
use resolver::shortcut::Shortcut;
use resolver::{Answer, Channel, ClientId, Clock, ExchangeId, Failure, Hangup, Stub, Transmit};
use tokio::time::Sleep;

use batch::{Received, Telling};
use calls::Calls;
use clients::{CLIENTS_MAX, Clients, Origin};
use handover::Datagrams;
use poller::{Interest, Poller, Token};
use ports::Ports;
use rounds::{Batch, Found};
use slots::{Key, Slots};
use streams::Streams;
use stub_tcp::{Connection, Listener};
use stub_udp::UdpStub;
use threads::{Post, Threads};
use tls::Tls;

pub use bound::Bound;
pub use threads::panics;
pub use tls::Authorities;

mod batch;
mod bind;
mod bound;
mod calls;
mod clients;
mod clock;
pub mod edns;
pub mod file_events;
pub mod frame;
mod handover;
pub mod holder;
pub mod listeners;
pub mod llmnr;
pub mod multicast;
mod poller;
mod ports;
pub mod resolv_conf;
mod rounds;
mod silence;
mod slots;
mod streams;
mod stub_tcp;
mod stub_udp;
mod threads;
mod tls;
pub mod visits;

#[cfg(test)]
mod tests;

/// Bytes read from a stream at once: the longest message with its length.
const SCRATCH: usize = 2 + u16::MAX as usize;

/// Age at which an exchange that the core forgot is given up: twice what the core spends on a question.
pub(crate) const EXCHANGE_LIFETIME: std::time::Duration = std::time::Duration::from_secs(10);

/// How long what was sent to an upstream may stay unacknowledged before the kernel gives the connection up.
pub(crate) const UNACKNOWLEDGED_TIME: std::time::Duration = std::time::Duration::from_secs(5);

/// Rounds after which the runtime has its turn, however much there is to do.
const ROUNDS_MAX: u32 = 16;

/// Looks at the sockets for one who was away: as many as it takes to read all that can be under way, most of it twice.
const LOOKS_MAX: u32 = 32;

/// Turns that the tasks of calls have then: more than a reply takes from its socket to here.
const TURNS_MAX: u32 = 32;

/// Every socket of the resolver.
#[derive(Debug)]
pub struct Driver {
    poller: Poller,
    addresses: Vec<Listen>,
    udp_stubs: Vec<UdpStub>,
    listeners: Vec<Listener>,
    connections: Slots<Connection>,
    clients: Clients,
    ports: Ports,
    /// The listener threads, when there are any.
    threads: Option<Threads>,
    socket_batch: Received,
    received: Datagrams,
    streams: Streams,
    calls: Calls,
    tls: Tls,
    /// The octets of the last reply that came by a call.
    carried: Vec<u8>,
    clock: Option<Clock>,
    received_at: Instant,
    batch: Batch,
    scratch: Box<[u8]>,
    /// Connections with whole questions.
    askers: VecDeque<Key>,
    /// Connections with unsent answers.
    unsent: Vec<Key>,
    found: VecDeque<Found>,
    looked: bool,
    rounds: u32,
    sweep_at: Option<Pin<Box<Sleep>>>,
    /// Whether the next sweep was late, and waits for what came meanwhile to be taken.
    is_sweep_put_off: bool,
}

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// The address, for UDP and TCP.
    pub address: SocketAddr,
    /// As which stub.
    pub stub: Stub,
}

/// Who asks, where, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The client's address.
    pub peer: SocketAddr,
    /// The address of the stub or listener that was asked; of a listener at all addresses the very one, where the kernel tells it.
    pub at: SocketAddr,
    /// How the question came.
    pub transport: Transport,
    /// How the answer travels.
    pub channel: Channel,
}

/// Why the stub cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program has the port.
    #[error("{address} ({channel}) is in use{}", holder.as_ref().map(|holder| format!(" by {holder}")).unwrap_or_default())]
    InUse {
        /// The address.
        address: SocketAddr,
        /// UDP or TCP.
        channel: Channel,
        /// The process, as `dnsmasq (pid 812)`, when /proc tells.
        holder: Option<String>,
    },
    /// Anything else.
    #[error("cannot listen at {address} ({channel})")]
    Io {
        /// The address.
        address: SocketAddr,
        /// UDP or TCP.
        channel: Channel,
        /// What the kernel said.
        source: io::Error,
    },
    /// There are no random numbers.
    #[error("cannot get random numbers")]
    Random(#[source] io::Error),
    /// There is no way to wait for sockets.
    #[error("cannot wait for sockets")]
    Poller(#[source] io::Error),
}

/// What a socket brought.
#[derive(Debug)]
pub enum Input<'a> {
    /// A client's question.
    Query {
        /// Who.
        client: ClientId,
        /// Where.
        stub: Stub,
        /// How.
        channel: Channel,
        /// From which address.
        origin: Option<IpAddr>,
        /// The message.
        wire: &'a [u8],
    },
    /// An upstream's reply.
    Reply {
        /// To which message.
        exchange: ExchangeId,
        /// The reply.
        wire: &'a [u8],
    },
    /// An exchange failed.
    Failed {
        /// Which.
        exchange: ExchangeId,
        /// How.
        failure: Failure,
    },
    /// A client closed its connection; its open questions need no answer.
    ClientGone(ClientId),
}

impl Driver {
    /// Opens the listeners; must be called within a tokio runtime that has I/O and time enabled.
    ///
    /// With port 0 the kernel chooses one for UDP, and TCP takes the same.
    ///
    /// # Errors
    /// [`BindError`], with the process that holds the port; nothing stays open.
    pub fn bind(listen: &[Listen]) -> Result<Self, BindError> {
        Self::bind_groups(listen, 1)
    }

    /// As [`Driver::bind`], with so many UDP sockets at each address, for as many threads.
    ///
    /// # Errors
    /// As for [`Driver::bind`].
    pub fn bind_groups(listen: &[Listen], sockets: usize) -> Result<Self, BindError> {
        Self::at(Bound::open(listen, sockets)?)
    }

    /// Takes listeners that are open; must be called within a tokio runtime that has I/O and time enabled.
    ///
    /// # Errors
    /// [`BindError::Poller`] or [`BindError::Random`].
    pub fn at(bound: Bound) -> Result<Self, BindError> {
        let poller = Poller::new().map_err(BindError::Poller)?;
        let mut udp_stubs = Vec::with_capacity(bound.places.len());
        let mut listeners = Vec::with_capacity(bound.places.len());
        let mut addresses = Vec::with_capacity(bound.places.len());
        for (number, place) in bound.places.into_iter().enumerate() {
            let bound::Place {
                listen,
                mut udp,
                udp_guard,
                tcp,
                tcp_guard,
            } = place;
            let stub = listen.stub;
            let socket = udp.swap_remove(0);
            let udp_stub = UdpStub::new(socket, udp, stub, udp_guard);
            for socket in udp_stub.sockets() {
                poller
                    .add(&**socket, Token::UdpStub(number), Interest::READ)
                    .map_err(BindError::Poller)?;
            }
            udp_stubs.push(udp_stub);
            poller
                .add(&tcp, Token::Listener(number), Interest::READ)
                .map_err(BindError::Poller)?;
            listeners.push(Listener {
                socket: tcp,
                stub,
                guard: tcp_guard,
                paused: false,
            });
            addresses.push(listen);
        }
        Ok(Self {
            poller,
            addresses,
            udp_stubs,
            listeners,
            connections: Slots::new(),
            clients: Clients::new(CLIENTS_MAX),
            ports: Ports::new().map_err(BindError::Random)?,
            threads: None,
            socket_batch: Received::new(Telling::Nothing),
            received: Datagrams::default(),
            streams: Streams::new(),
            calls: Calls::new(),
            tls: Tls::new(),
            carried: Vec::new(),
            clock: None,
            received_at: Instant::now(),
            batch: Batch::default(),
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            askers: VecDeque::new(),
            unsent: Vec::new(),
            found: VecDeque::new(),
            looked: false,
            rounds: 0,
            sweep_at: None,
            is_sweep_put_off: false,
        })
    }

    /// Gives every UDP socket to a thread of its own, which answers by a shortcut what it can and hands over the rest.
    ///
    /// `clock` is the one whose time the core is given.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left: the sockets without a thread are served here as before.
    pub fn start_threads(
        &mut self,
        mut shortcut: impl FnMut() -> Shortcut,
        clock: fn() -> config::time::Instant,
    ) -> io::Result<()> {
        let threads = Threads::new()?;
        self.poller
            .add(threads.handover(), Token::Handover, Interest::READ)?;
        let threads = self.threads.insert(threads);
        for (place, stub) in self.udp_stubs.iter().enumerate() {
            for socket in stub.sockets() {
                let post = Post {
                    socket: Arc::clone(socket),
                    place,
                    stub: stub.stub,
                    guard: stub.guard,
                };
                self.poller.remove(&**socket)?;
                if let Err(error) = threads.start(post, shortcut(), clock) {
                    self.poller
                        .add(&**socket, Token::UdpStub(place), Interest::READ)?;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Returns how many questions the threads had to drop, because the loop did not take them.
    pub fn lost(&self) -> u64 {
        self.threads.as_ref().map_or(0, Threads::lost)
    }

    /// Waits until [`Driver::poll_input`] has something. Cancel-safe.
    pub async fn ready(&mut self) {
        self.rounds += 1;
        if self.rounds >= ROUNDS_MAX {
            self.rounds = 0;
            tokio::task::yield_now().await;
        }
        poll_fn(|cx| self.poll_ready(cx)).await;
    }

    /// Returns the next input of this round without waiting; `None` ends the round, even when more is waiting.
    pub fn poll_input(&mut self) -> Option<Input<'_>> {
        let found = self.next_found()?;
        Some(self.input(found))
    }

    /// Hands over all that upstreams have sent, in up to `LOOKS_MAX` looks, and no question: for a shell that was away, so that no
    /// reply is late only because nobody took it.
    ///
    /// A call whose own time has run out meanwhile may be lost all the same.
    pub async fn catch_up(&mut self, mut take: impl FnMut(Input<'_>)) {
        for _ in 0..LOOKS_MAX {
            self.poller.look();
            let mut any = false;
            while let Some(found) = self.next_reply() {
                any = true;
                take(self.input(found));
            }
            if !any {
                break;
            }
        }
        // Calls are tasks: what has come for them goes from one to the next.
        for _ in 0..TURNS_MAX {
            if !self.calls.has_open() {
                break;
            }
            tokio::task::yield_now().await;
            poll_fn(|cx| {
                let _any = self.calls.poll_done(cx, &mut self.found);
                Poll::Ready(())
            })
            .await;
            while let Some(found) = self.next_reply() {
                take(self.input(found));
            }
        }
    }

    fn input(&mut self, found: Found) -> Input<'_> {
        match found {
            Found::Query(client, stub, place) => Input::Query {
                client,
                stub,
                channel: Channel::Udp,
                origin: self.clients.get(client).map(|client| client.peer.ip()),
                wire: self
                    .received
                    .get(place)
                    .map_or(&[], |datagram| datagram.wire),
            },
            Found::Question(client, stub, key, range) => Input::Query {
                client,
                stub,
                channel: Channel::Tcp,
                origin: self.clients.get(client).map(|client| client.peer.ip()),
                wire: self
                    .connections
                    .get(key)
                    .map_or(&[], |connection| connection.question(range)),
            },
            Found::Datagram(exchange, place) => Input::Reply {
                exchange,
                wire: self.ports.datagram(place),
            },
            Found::Streamed(exchange, key, range) => Input::Reply {
                exchange,
                wire: self.streams.message(key, range).unwrap_or_default(),
            },
            Found::Carried(exchange, wire) => {
                self.carried = wire;
                let wire = &self.carried;
                Input::Reply { exchange, wire }
            }
            Found::Failed(exchange, failure) => Input::Failed { exchange, failure },
            Found::Gone(client) => Input::ClientGone(client),
        }
    }

    /// Queues an answer for its client; one for a client that is gone, or answered before, is dropped.
    pub fn answer(&mut self, answer: Answer) {
        let Some(client) = self.clients.remove(answer.client) else {
            return;
        };
        match client.origin {
            Origin::Udp => {
                if let Some(stub) = self.udp_stubs.get_mut(client.place) {
                    stub.push(client.peer, answer.wire);
                }
            }
            Origin::Tcp(key) => self.answer_connection(key, answer.client, answer.wire),
        }
    }

    /// Sends a message to an upstream: from one of its ports, or by [`Driver::finish_round`] on a connection of its group.
    /// What prevents it comes as [`Input::Failed`].
    ///
    /// Every datagram of that upstream is handed over, until [`Driver::cancel`]: the first may be forged.
    pub fn transmit(&mut self, transmit: Transmit) {
        let Transmit { exchange, .. } = transmit;
        let (poller, now) = (&self.poller, Instant::now());
        let started = match (transmit.upstream.transport, transmit.channel) {
            (Transport::Plain, Channel::Udp) => {
                self.ports.send(poller, &transmit, &mut self.found, now)
            }
            (Transport::Plain | Transport::Tcp | Transport::Tls, Channel::Udp | Channel::Tcp) => {
                self.streams
                    .start(poller, &mut self.tls, transmit, now, &mut self.found)
            }
            (Transport::Https | Transport::H3 | Transport::Quic, _) => {
                self.calls
                    .start(&mut self.tls, transmit, now, &mut self.found)
            }
        };
        if let Err(failure) = started {
            self.found.push_back(Found::Failed(exchange, failure));
        }
    }

    /// Lets no port that is open take another question to an upstream: links or addresses have changed.
    pub fn renew_ports(&mut self) {
        self.ports.renew();
    }

    /// Gives up an exchange.
    pub fn cancel(&mut self, exchange: ExchangeId) {
        self.ports.cancel(exchange);
        self.streams.cancel(exchange);
        self.calls.cancel(exchange);
    }

    /// Closes connections that must not be used any more.
    pub fn hang_up(&mut self, hangup: &Hangup) {
        self.streams.hang_up(hangup, &mut self.found);
        self.calls.hang_up(hangup, &mut self.found);
    }

    /// Takes the time of day, by which certificates are judged. When dates come to count, whoever was believed without
    /// them has to show himself again.
    pub fn set_clock(&mut self, clock: Clock) {
        if self.clock != Some(clock) {
            self.clock = Some(clock);
            if self.tls.set_clock(clock) {
                self.doubt();
            }
        }
    }

    /// Returns what certificates are judged by.
    pub(crate) const fn tls(&mut self) -> &mut Tls {
        &mut self.tls
    }

    /// Takes which authorities vouch for encrypted upstreams; their certificates are read when the first is needed.
    pub fn set_authorities(&mut self, authorities: Authorities) {
        self.tls.set_authorities(authorities);
        self.doubt();
    }

    fn doubt(&mut self) {
        self.streams
            .doubt(&self.poller, &mut self.tls, &mut self.found);
        self.calls.doubt(&mut self.found);
    }

    /// Sends the queued answers, and lets the next round look at the sockets again.
    pub fn finish_round(&mut self) {
        self.flush();
        self.begin_batch();
        self.looked = false;
    }

    /// Returns where it listens, with the ports that the kernel chose.
    pub fn local_addresses(&self) -> &[Listen] {
        &self.addresses
    }

    /// Returns whose question is open, or was answered a short while ago.
    pub fn caller_of(&self, client: ClientId) -> Option<Caller> {
        let client = self.clients.get(client)?;
        Some(Caller {
            peer: client.peer,
            at: self.addresses.get(client.place)?.address,
            transport: Transport::Plain,
            channel: match client.origin {
                Origin::Udp => Channel::Udp,
                Origin::Tcp(_) => Channel::Tcp,
            },
        })
    }
}
