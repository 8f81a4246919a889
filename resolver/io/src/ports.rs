//! By which port does a datagram leave? A port is drawn at random for each question, and renewed before anybody can find it.
//!
//! Who does not see our messages must guess id and port to forge a reply (RFC 5452 §9.2). Both are drawn anew for each question:
//! the id by the core, the port from a handful of sockets to the same upstream on the same link whose ports the kernel chose at
//! random. To find one of these ports takes probes and time; none takes questions for longer than [`LIFETIME`] or more than
//! [`QUESTIONS_MAX`] of them, and a question that comes alone has a new one. Sockets are connected: they hear their upstream only,
//! and ICMP errors come back at once.
//!
//! What comes to a port goes to the exchange with its id; what fits none goes to all that wait there, so that the core counts it
//! against each. Whether a reply is the right one is the core's to say.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use policy::LinkId;
use rand::rngs::{StdRng, SysRng};
use rand::{RngExt as _, SeedableRng as _};
use resolver::{Channel, DATAGRAMS_MAX, ExchangeId, Failure, Transmit};

use crate::batch::{Received, Telling, Wait};
use crate::bind::{self, is_passing};
use crate::poller::{Interest, Poller, Token};
use crate::rounds::Found;
use crate::slots::{Key, Slots};

/// Ports to one upstream among which one is drawn.
const DRAW: usize = 16;

/// Questions that leave by one port at most.
const QUESTIONS_MAX: usize = 64;

/// How long a port takes questions.
const LIFETIME: Duration = Duration::from_secs(1);

/// Age at which a question is forgotten: twice what the core spends on one.
const QUESTION_LIFETIME: Duration = Duration::from_secs(10);

/// Where a port leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    address: IpAddr,
    port: u16,
    zone: Option<Arc<str>>,
    link: Option<LinkId>,
    mark: u32,
}

/// A socket of its own port.
#[derive(Debug)]
struct Port {
    socket: UdpSocket,
    way: Way,
    opened_at: Instant,
    /// Questions that left by it, in order; ids differ.
    questions: Vec<Question>,
    /// How many of them are open.
    open: usize,
    /// Whether it takes more.
    draws: bool,
}

#[derive(Debug, Clone, Copy)]
struct Question {
    id: u16,
    /// `None` when it is done with.
    exchange: Option<ExchangeId>,
    /// Whether something came for it.
    replied: bool,
}

/// All ports.
#[derive(Debug)]
pub(crate) struct Ports {
    ports: Slots<Port>,
    /// Those that take questions.
    drawn_by_way: BTreeMap<Way, Vec<Key>>,
    port_by_exchange: HashMap<ExchangeId, Key>,
    received: Received,
    rng: StdRng,
}

impl Ports {
    /// Makes none yet.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            ports: Slots::new(),
            drawn_by_way: BTreeMap::new(),
            port_by_exchange: HashMap::new(),
            received: Received::new(Telling::Nothing),
            rng: StdRng::try_from_rng(&mut SysRng).map_err(io::Error::other)?,
        })
    }

    /// Returns how many questions are open.
    pub(crate) fn len(&self) -> usize {
        self.port_by_exchange.len()
    }

    /// Whether there is no port at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    /// Sends a message by a port that is drawn for it; what an earlier message of that port met with comes to `found`.
    ///
    /// # Errors
    /// Why the exchange cannot be.
    pub(crate) fn send(
        &mut self,
        poller: &Poller,
        transmit: &Transmit,
        found: &mut VecDeque<Found>,
        now: Instant,
    ) -> Result<(), Failure> {
        let id = message_id(&transmit.wire).ok_or(Failure::Resources)?;
        if self.len() >= DATAGRAMS_MAX {
            return Err(Failure::Resources);
        }
        if let Some(key) = self.draw(transmit, id, now)
            && let Some(port) = self.ports.get(key)
        {
            match port.socket.send(&transmit.wire) {
                Ok(_) => {
                    self.note(key, id, transmit.exchange);
                    return Ok(());
                }
                // It is about one that was sent before.
                Err(error) => self.fail(key, bind::failure(&error), found),
            }
        }
        let key = self.open(poller, transmit, now)?;
        let port = self.ports.get(key).ok_or(Failure::Resources)?;
        if let Err(error) = port.socket.send(&transmit.wire) {
            self.close(key);
            return Err(bind::failure(&error));
        }
        self.note(key, id, transmit.exchange);
        Ok(())
    }

    /// Forgets a question; its port stays for the others.
    pub(crate) fn cancel(&mut self, exchange: ExchangeId) {
        let Some(key) = self.port_by_exchange.remove(&exchange) else {
            return;
        };
        if let Some(port) = self.ports.get_mut(key)
            && let Some(question) = port.question_of(exchange)
        {
            question.exchange = None;
            port.open -= 1;
        }
        self.close_idle(key);
    }

    /// Takes what came to a port.
    pub(crate) fn handle_seen(&mut self, key: Key, found: &mut VecDeque<Found>) {
        let Some(port) = self.ports.get_mut(key) else {
            return;
        };
        match self.received.receive(port.socket.as_fd(), Wait::Never) {
            Ok(count) => {
                for place in 0..count {
                    let wire = self.received.get(place).map_or(&[][..], |(_, wire)| wire);
                    port.hand_over(message_id(wire), place, found);
                }
            }
            Err(error) if is_passing(&error) => {}
            // "Fragmentation needed" about a message that any path carries: forged, or of no interest.
            Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {}
            Err(error) => self.fail(key, bind::failure(&error), found),
        }
    }

    /// Returns the octets of a datagram of the last look.
    pub(crate) fn datagram(&self, place: usize) -> &[u8] {
        self.received.get(place).map_or(&[], |(_, wire)| wire)
    }

    /// Lets no port take any more questions: their own addresses may not be ours any longer.
    pub(crate) fn renew(&mut self) {
        let keys: Vec<Key> = self.drawn_by_way.values().flatten().copied().collect();
        for key in keys {
            self.retire(key);
            self.close_idle(key);
        }
    }

    /// Retires and closes what is too old.
    pub(crate) fn expire(&mut self, now: Instant) {
        let keys: Vec<Key> = self
            .ports
            .iter()
            .filter(|(_, port)| port.is_old(now))
            .map(|(key, _)| key)
            .collect();
        for key in keys {
            self.retire(key);
            self.close_idle(key);
            let forgotten = LIFETIME + QUESTION_LIFETIME;
            let opened_at = self.ports.get(key).map_or(now, |port| port.opened_at);
            if now.saturating_duration_since(opened_at) >= forgotten {
                self.close(key);
            }
        }
    }

    /// Draws a port that is there; `None` when it is to be a new one.
    fn draw(&mut self, transmit: &Transmit, id: u16, now: Instant) -> Option<Key> {
        let way = way(transmit).ok()?;
        let drawn = self.drawn_by_way.get(&way)?;
        let place = self.rng.random_range(0..DRAW);
        let key = *drawn.get(place)?;
        let port = self.ports.get(key)?;
        let is_free = !port.is_old(now) && !port.has(id);
        if port.is_old(now) {
            self.retire(key);
            self.close_idle(key);
        }
        is_free.then_some(key)
    }

    fn open(&mut self, poller: &Poller, transmit: &Transmit, now: Instant) -> Result<Key, Failure> {
        let way = way(transmit)?;
        let (socket, address) = bind::upstream(
            &transmit.upstream,
            transmit.link.as_ref(),
            transmit.mark,
            Channel::Udp,
        )?;
        bind::ignore_path_mtu(&socket, address.is_ipv4()).map_err(|error| bind::failure(&error))?;
        bind::connect(&socket, address)?;
        let key = self.ports.insert(Port {
            socket: UdpSocket::from(socket),
            way: way.clone(),
            opened_at: now,
            questions: Vec::new(),
            open: 0,
            draws: true,
        });
        let watched = self.ports.get(key).map_or(Ok(()), |port| {
            poller.add(port.socket.as_fd(), Token::Port(key), Interest::READ)
        });
        if let Err(error) = watched {
            drop(self.ports.remove(key));
            return Err(bind::failure(&error));
        }
        let drawn = self.drawn_by_way.entry(way).or_default();
        drawn.push(key);
        if drawn.len() > DRAW {
            let oldest = drawn.remove(0);
            if let Some(port) = self.ports.get_mut(oldest) {
                port.draws = false;
            }
            self.close_idle(oldest);
        }
        Ok(key)
    }

    fn note(&mut self, key: Key, id: u16, exchange: ExchangeId) {
        let Some(port) = self.ports.get_mut(key) else {
            return;
        };
        port.questions.push(Question {
            id,
            exchange: Some(exchange),
            replied: false,
        });
        port.open += 1;
        let full = port.questions.len() >= QUESTIONS_MAX;
        self.port_by_exchange.insert(exchange, key);
        if full {
            self.retire(key);
        }
    }

    /// Takes a port out of the draw.
    fn retire(&mut self, key: Key) {
        let Some(port) = self.ports.get_mut(key) else {
            return;
        };
        if !std::mem::take(&mut port.draws) {
            return;
        }
        if let Some(drawn) = self.drawn_by_way.get_mut(&port.way) {
            drawn.retain(|other| *other != key);
            if drawn.is_empty() {
                self.drawn_by_way.remove(&port.way);
            }
        }
    }

    /// Closes a port that is out of the draw and on which nobody waits.
    fn close_idle(&mut self, key: Key) {
        let idle = |port: &Port| !port.draws && port.open == 0;
        if self.ports.get(key).is_some_and(idle) {
            drop(self.ports.remove(key));
        }
    }

    /// Ends all questions of a port, and closes it.
    fn fail(&mut self, key: Key, failure: Failure, found: &mut VecDeque<Found>) {
        if let Some(port) = self.ports.get(key) {
            let open = port.questions.iter().filter(|question| !question.replied);
            let failed = open.filter_map(|question| question.exchange);
            found.extend(failed.map(|exchange| Found::Failed(exchange, failure)));
        }
        self.close(key);
    }

    fn close(&mut self, key: Key) {
        self.retire(key);
        let Some(port) = self.ports.remove(key) else {
            return;
        };
        for exchange in port
            .questions
            .iter()
            .filter_map(|question| question.exchange)
        {
            self.port_by_exchange.remove(&exchange);
        }
    }
}

impl Port {
    fn is_old(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.opened_at) >= LIFETIME
    }

    /// Whether a message with this id left by it: its reply could be taken for another's.
    fn has(&self, id: u16) -> bool {
        self.questions.iter().any(|question| question.id == id)
    }

    fn question_of(&mut self, exchange: ExchangeId) -> Option<&mut Question> {
        let mut questions = self.questions.iter_mut();
        questions.find(|question| question.exchange == Some(exchange))
    }

    /// Gives a datagram to whom it is for.
    fn hand_over(&mut self, id: Option<u16>, place: usize, found: &mut VecDeque<Found>) {
        let fitting = self
            .questions
            .iter_mut()
            .find(|question| Some(question.id) == id);
        match fitting {
            Some(question) => {
                question.replied = true;
                let exchange = question.exchange;
                found.extend(exchange.map(|exchange| Found::Datagram(exchange, place)));
            }
            None => {
                let open = self
                    .questions
                    .iter()
                    .filter_map(|question| question.exchange);
                found.extend(open.map(|exchange| Found::Datagram(exchange, place)));
            }
        }
    }
}

fn way(transmit: &Transmit) -> Result<Way, Failure> {
    let link = match &transmit.link {
        None => None,
        Some(link) => Some(link.id.ok_or(Failure::NoLink)?),
    };
    Ok(Way {
        address: transmit.upstream.address,
        port: transmit.upstream.port,
        zone: transmit.upstream.zone.clone(),
        link,
        mark: transmit.mark,
    })
}

fn message_id(wire: &[u8]) -> Option<u16> {
    wire.first_chunk().map(|id| u16::from_be_bytes(*id))
}

#[cfg(test)]
mod tests;
