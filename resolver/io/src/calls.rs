//! How do messages go where each has a stream of its own? DNS over HTTPS (RFC 8484, by HTTP/2 or HTTP/3) and over QUIC (RFC 9250).
//!
//! One task for each upstream of each group keeps its connection and makes the calls; what comes of them is handed back
//! through a queue that wakes the driver. Which upstream, when again, and for how long is the core's to say. Only this file
//! and those below it know the libraries.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use config::model::Transport;
use resolver::{ExchangeId, Failure, Hangup, HttpFault, TlsFault, Transmit};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::{AbortHandle, JoinSet};

use crate::EXCHANGE_LIFETIME;
use crate::clock::Sleep;
use crate::edns::{self, Additions};
use crate::rounds::Found;
use crate::silence::Owed;
use crate::slots::{Key, Slots};
use crate::tls::{Peer, Tls};

mod https;
mod https3;
mod quic;

pub(crate) use https::tls_failure;

/// How long a connection and its handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(3);
/// How long a connection is kept without calls.
const IDLE_TIME: Duration = Duration::from_secs(10);
/// How long a stream is waited for before another connection is made: who grants more when some have ended has said so by then.
const STREAM_TIME: Duration = Duration::from_millis(100);
/// Upstreams at once.
const ROUTES_MAX: usize = 64;
/// Calls under way at once.
const CALLS_MAX: usize = 2048;
/// How long a server that was not believed, or serves no DNS, is not asked again.
const DISBELIEF_TIME: Duration = Duration::from_secs(1);
/// Octets of a DNS header.
const HEADER: usize = 12;

/// The upstreams, and the calls under way.
#[derive(Debug)]
pub(crate) struct Calls {
    routes: Slots<Route>,
    route_by_exchange: HashMap<ExchangeId, Key>,
    sender: UnboundedSender<Done>,
    done: UnboundedReceiver<Done>,
    sleep: Sleep,
}

#[derive(Debug)]
struct Route {
    /// Whose, and to whom; its message and exchange mean nothing.
    like: Transmit,
    orders: UnboundedSender<Order>,
    task: AbortHandle,
    refused: Option<(Failure, Instant)>,
    used_at: Instant,
}

/// A message on its way.
#[derive(Debug, Clone)]
struct Call {
    exchange: ExchangeId,
    /// The id under which its reply is to come back.
    id: [u8; 2],
    /// As it is sent: with id 0 (RFC 8484 §4.1, RFC 9250 §4.2.1), padded.
    wire: Vec<u8>,
    replayed: bool,
}

/// What the keeper of a route is to do.
#[derive(Debug)]
enum Order {
    Ask(Call),
    /// Nobody waits for it any more.
    Forget(ExchangeId),
}

/// What came of a call.
#[derive(Debug)]
struct Done {
    exchange: ExchangeId,
    outcome: Result<Vec<u8>, Failure>,
}

/// A connection, which lives as long as any of its calls.
#[derive(Debug)]
struct Kept {
    line: Line,
    said: Mutex<Said>,
}

/// Whether a call goes by another connection when this one lets no more streams be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    /// After a moment.
    OrElsewhere,
    /// There is nowhere else.
    Here,
}

/// What is asked on a connection, and what came.
#[derive(Debug, Default)]
struct Said {
    /// Calls under way.
    open: usize,
    owed: Owed,
    /// Whether it has brought a reply.
    has_served: bool,
}

/// A connection.
#[derive(Debug)]
enum Line {
    Https(https::Line),
    H3(https3::Line),
    Quic(quic::Line),
}

impl Room {
    /// Only one that has served may be left for lack of room, and once: others may have none either.
    const fn of(call: &Call, has_served: bool) -> Self {
        match has_served && !call.replayed {
            true => Self::OrElsewhere,
            false => Self::Here,
        }
    }

    /// Waits until a stream is opened. A server may grant so many streams and never more (RFC 9000 §4.6): its connection is left then as if it
    /// had ended, and what is open there stays.
    async fn wait<T>(self, opening: impl Future<Output = T>) -> Result<T, Failure> {
        match self {
            Self::Here => Ok(opening.await),
            Self::OrElsewhere => tokio::time::timeout(STREAM_TIME, opening)
                .await
                .map_err(|_| Failure::Closed),
        }
    }
}

impl Calls {
    /// No upstreams.
    pub(crate) fn new() -> Self {
        let (sender, done) = mpsc::unbounded_channel();
        Self {
            routes: Slots::new(),
            route_by_exchange: HashMap::new(),
            sender,
            done,
            sleep: Sleep::new(),
        }
    }

    /// Makes a call.
    ///
    /// # Errors
    /// Why it cannot be made.
    pub(crate) fn start(
        &mut self,
        tls: &mut Tls,
        transmit: Transmit,
        now: Instant,
        found: &mut VecDeque<Found>,
    ) -> Result<(), Failure> {
        if self.sleep.has_slept() {
            self.close_where(found, |_| true);
        }
        if self.route_by_exchange.len() >= CALLS_MAX {
            return Err(Failure::Resources);
        }
        let exchange = transmit.exchange;
        let mut wire = Vec::with_capacity(transmit.wire.len().next_multiple_of(128) + 2);
        let additions = Additions {
            keepalive: false,
            padding: true,
        };
        edns::emit(&transmit.wire, 0, additions, &mut wire);
        let id = transmit.wire.first_chunk::<2>().copied();
        let key = self.route(tls, transmit, now)?;
        let route = self.routes.get_mut(key).ok_or(Failure::Resources)?;
        match route.refused {
            Some((failure, until)) if now < until => return Err(failure),
            Some(_) | None => route.refused = None,
        }
        route.used_at = now;
        let call = Call {
            exchange,
            id: id.unwrap_or_default(),
            wire,
            replayed: false,
        };
        let ask = Order::Ask(call);
        route.orders.send(ask).map_err(|_| Failure::Resources)?;
        self.route_by_exchange.insert(exchange, key);
        Ok(())
    }

    /// Whether any call is under way.
    pub(crate) fn has_open(&self) -> bool {
        !self.route_by_exchange.is_empty()
    }

    /// Lets nobody wait for a call any more.
    pub(crate) fn cancel(&mut self, exchange: ExchangeId) {
        if !self.route_by_exchange.is_empty()
            && let Some(key) = self.route_by_exchange.remove(&exchange)
            && let Some(route) = self.routes.get(key)
        {
            // Its keeper is gone, and the call with it.
            let _told = route.orders.send(Order::Forget(exchange));
        }
    }

    /// Takes what came of calls; pending while nothing did.
    pub(crate) fn poll_done(
        &mut self,
        cx: &mut Context<'_>,
        found: &mut VecDeque<Found>,
    ) -> Poll<()> {
        if self.routes.is_empty() {
            return Poll::Pending;
        }
        let before = found.len();
        while let Poll::Ready(Some(Done { exchange, outcome })) = self.done.poll_recv(cx) {
            let Some(route) = self.route_by_exchange.remove(&exchange) else {
                continue;
            };
            match outcome {
                Ok(wire) => found.push_back(Found::Carried(exchange, wire)),
                Err(failure) => {
                    if let Failure::Tls(_) | Failure::Http(HttpFault::NoHttp2 | HttpFault::NoHttp3) =
                        failure
                        && let Some(route) = self.routes.get_mut(route)
                    {
                        route.refused = Some((failure, Instant::now() + DISBELIEF_TIME));
                    }
                    found.push_back(Found::Failed(exchange, failure));
                }
            }
        }
        if found.len() > before {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Closes what must not be used any more.
    pub(crate) fn hang_up(&mut self, hangup: &Hangup, found: &mut VecDeque<Found>) {
        self.close_where(found, |route| {
            route.like.group == hangup.group
                && hangup
                    .upstream
                    .as_ref()
                    .is_none_or(|upstream| *upstream == route.like.upstream)
        });
    }

    /// Has every server show itself again.
    pub(crate) fn doubt(&mut self, found: &mut VecDeque<Found>) {
        self.close_where(found, |_| true);
    }

    fn close_where(&mut self, found: &mut VecDeque<Found>, meant: impl Fn(&Route) -> bool) {
        let keys: Vec<Key> = self
            .routes
            .iter()
            .filter(|(_, route)| meant(route))
            .map(|(key, _)| key)
            .collect();
        for key in keys {
            self.close(key, found);
        }
    }

    fn close(&mut self, key: Key, found: &mut VecDeque<Found>) {
        let Some(route) = self.routes.remove(key) else {
            return;
        };
        route.task.abort();
        let mut open: Vec<ExchangeId> = self
            .route_by_exchange
            .extract_if(|_, route| *route == key)
            .map(|(exchange, _)| exchange)
            .collect();
        open.sort_unstable();
        let failed = |exchange| Found::Failed(exchange, Failure::Closed);
        found.extend(open.into_iter().map(failed));
    }

    fn route(&mut self, tls: &mut Tls, like: Transmit, now: Instant) -> Result<Key, Failure> {
        let same =
            |route: &Route| route.like.group == like.group && route.like.upstream == like.upstream;
        if let Some((key, _)) = self.routes.iter().find(|(_, route)| same(route)) {
            return Ok(key);
        }
        if self.routes.len() >= ROUTES_MAX {
            let oldest = self.routes.iter().min_by_key(|(_, route)| route.used_at);
            if let Some((key, _)) = oldest {
                self.close(key, &mut VecDeque::new());
            }
        }
        let peer = tls.peer(&like.upstream)?;
        let (orders, receiver) = mpsc::unbounded_channel();
        let keeper = Keeper {
            like: like.clone(),
            peer,
            done: self.sender.clone(),
            line: None,
            waiting: VecDeque::new(),
            open: JoinSet::new(),
            asked_by_exchange: HashMap::new(),
        };
        let task = tokio::spawn(keeper.keep(receiver)).abort_handle();
        Ok(self.routes.insert(Route {
            like,
            orders,
            task,
            refused: None,
            used_at: now,
        }))
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps the connection of one route, and makes its calls.
struct Keeper {
    like: Transmit,
    peer: Peer,
    done: UnboundedSender<Done>,
    /// The connection for the next calls.
    line: Option<Arc<Kept>>,
    /// Those that wait for a connection.
    waiting: VecDeque<Call>,
    open: JoinSet<(Call, Result<Vec<u8>, Failure>)>,
    asked_by_exchange: HashMap<ExchangeId, Asked>,
}

/// A call that was begun.
#[derive(Debug)]
struct Asked {
    task: AbortHandle,
    line: Arc<Kept>,
    at: Instant,
}

type Connecting = Pin<Box<dyn Future<Output = Result<Line, Failure>> + Send>>;

impl Keeper {
    async fn keep(mut self, mut orders: UnboundedReceiver<Order>) {
        let mut connecting: Option<Connecting> = None;
        loop {
            if connecting.is_none() && !self.waiting.is_empty() {
                connecting = Some(connect(self.like.clone(), self.peer.clone()));
            }
            let idle = self.open.is_empty() && self.line.is_some();
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Ask(call)) => self.begin(call),
                    Some(Order::Forget(exchange)) => self.forget(exchange),
                    None => return,
                },
                connected = come_about(&mut connecting) => {
                    connecting = None;
                    self.take_line(connected);
                }
                Some(ended) = self.open.join_next(), if !self.open.is_empty() => {
                    if let Ok((call, outcome)) = ended {
                        self.end(call, outcome);
                    }
                }
                () = tokio::time::sleep(IDLE_TIME), if idle => self.line = None,
            }
        }
    }

    /// Makes a call, or lets it wait for a connection.
    fn begin(&mut self, call: Call) {
        let now = Instant::now();
        let is_of_use = |kept: &Arc<Kept>| !kept.line.is_dead() && !kept.is_silent(now);
        let Some(kept) = self.line.clone().filter(is_of_use) else {
            self.line = None;
            self.waiting.push_back(call);
            return;
        };
        let (exchange, wire) = (call.exchange, call.wire.clone());
        let room = Room::of(&call, kept.said().has_served);
        let task = match &kept.line {
            Line::Https(line) => self.open.spawn(timed(call, line.ask(wire))),
            Line::H3(line) => self.open.spawn(timed(call, line.ask(wire, room))),
            Line::Quic(line) => self.open.spawn(timed(call, line.ask(wire, room))),
        };
        kept.note_asked(now);
        let asked = Asked {
            task,
            line: kept,
            at: now,
        };
        self.asked_by_exchange.insert(exchange, asked);
    }

    /// Takes a connection that came about, or why none did.
    fn take_line(&mut self, connected: Result<Line, Failure>) {
        match connected {
            Ok(line) => {
                self.line = Some(Arc::new(Kept::new(line)));
                for call in std::mem::take(&mut self.waiting) {
                    self.begin(call);
                }
            }
            Err(failure) => {
                for call in std::mem::take(&mut self.waiting) {
                    self.tell(&call, Err(failure));
                }
            }
        }
    }

    /// Nobody waits for a call any more.
    fn forget(&mut self, exchange: ExchangeId) {
        self.waiting.retain(|call| call.exchange != exchange);
        if let Some(asked) = self.asked_by_exchange.remove(&exchange) {
            asked.task.abort();
            self.give_up(&asked);
        }
    }

    /// Takes a connection out of use on which a call was given up, and which may be dead.
    fn give_up(&mut self, asked: &Asked) {
        let is_silent = asked.line.note_given_up(asked.at, Instant::now());
        if is_silent {
            self.leave(&asked.line);
        }
    }

    /// Lets what is to come go by another connection.
    fn leave(&mut self, kept: &Arc<Kept>) {
        if self
            .line
            .as_ref()
            .is_some_and(|line| Arc::ptr_eq(line, kept))
        {
            self.line = None;
        }
    }

    fn end(&mut self, call: Call, outcome: Result<Vec<u8>, Failure>) {
        let Some(asked) = self.asked_by_exchange.remove(&call.exchange) else {
            return;
        };
        if let Err(Failure::TimedOut) = outcome {
            self.give_up(&asked);
            return self.tell(&call, outcome);
        }
        let has_served = asked.line.note_heard(outcome.is_ok(), Instant::now());
        match outcome {
            // One that has served and ends has had enough of this connection (RFC 9113 §8.7, RFC 9250 §5.4). Its other calls may
            // still be answered there; what is to come goes by another.
            Err(Failure::Closed) if has_served && !call.replayed => {
                self.leave(&asked.line);
                self.begin(Call {
                    replayed: true,
                    ..call
                });
            }
            outcome => self.tell(&call, outcome),
        }
    }

    fn tell(&self, call: &Call, outcome: Result<Vec<u8>, Failure>) {
        let outcome = outcome.and_then(|mut wire| {
            if wire.len() < HEADER {
                return Err(Failure::Garbled);
            }
            if let Some(place) = wire.first_chunk_mut::<2>() {
                *place = call.id;
            }
            Ok(wire)
        });
        let exchange = call.exchange;
        // The driver is gone, and nobody waits.
        let _told = self.done.send(Done { exchange, outcome });
    }
}

impl Kept {
    fn new(line: Line) -> Self {
        Self {
            line,
            said: Mutex::default(),
        }
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the server owes replies, and has said nothing for so long that it may be gone.
    fn is_silent(&self, now: Instant) -> bool {
        self.said().owed.is_silent(now)
    }

    fn note_asked(&self, now: Instant) {
        let mut said = self.said();
        said.open += 1;
        said.owed.note_asked(now);
    }

    /// Notes that something came of a call; returns whether the connection has brought a reply yet.
    fn note_heard(&self, is_reply: bool, now: Instant) -> bool {
        let mut said = self.said();
        said.open = said.open.saturating_sub(1);
        let is_owing = said.open > 0;
        said.owed.note_heard(is_owing, now);
        said.has_served |= is_reply;
        said.has_served
    }

    /// Notes that nobody waits for a call of then any more; returns whether nothing came for long since.
    fn note_given_up(&self, asked_at: Instant, now: Instant) -> bool {
        let mut said = self.said();
        said.open = said.open.saturating_sub(1);
        let is_owing = said.open > 0;
        said.owed.note_given_up(is_owing);
        said.owed.has_been_silent_since(asked_at, now)
    }
}

impl Line {
    fn is_dead(&self) -> bool {
        match self {
            Self::Https(line) => line.is_dead(),
            Self::H3(line) => line.is_dead(),
            Self::Quic(line) => line.is_dead(),
        }
    }
}

async fn timed(
    call: Call,
    asked: impl Future<Output = Result<Vec<u8>, Failure>>,
) -> (Call, Result<Vec<u8>, Failure>) {
    let outcome = tokio::time::timeout(EXCHANGE_LIFETIME, asked).await;
    (call, outcome.unwrap_or(Err(Failure::TimedOut)))
}

/// Waits for a connection that is being made, for ever when none is.
async fn come_about(connecting: &mut Option<Connecting>) -> Result<Line, Failure> {
    match connecting {
        Some(connecting) => connecting.await,
        None => std::future::pending().await,
    }
}

fn connect(like: Transmit, peer: Peer) -> Connecting {
    let connected = async move {
        match like.upstream.transport {
            Transport::Https => https::connect(&like, &peer).await.map(Line::Https),
            Transport::H3 => https3::connect(&like, &peer).await.map(Line::H3),
            Transport::Quic => quic::connect(&like, &peer).await.map(Line::Quic),
            // Those are streams.
            Transport::Plain | Transport::Tcp | Transport::Tls => {
                Err(Failure::Tls(TlsFault::Handshake))
            }
        }
    };
    Box::pin(async move {
        let connected = tokio::time::timeout(HANDSHAKE_TIME, connected).await;
        connected.unwrap_or(Err(Failure::TimedOut))
    })
}
