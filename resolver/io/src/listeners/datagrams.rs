//! How do datagrams of others come in and answers go out? From the address that was asked, and never more than a client that may
//! be forged is worth.
//!
//! | who asks | gets |
//! |---|---|
//! | whoever is not on the list | REFUSED with EDE 18, a few times a second for all of them; then silence |
//! | a port whose owner answers to anything | silence |
//! | a client without a cookie of ours | answers of 512 octets, with a cookie when it has one of its own; by TCP the rest |
//! | a client with our cookie | answers of 1232 octets, with a newer one |
//!
//! A listener has a group of sockets, each with a thread of its own (`threads`), as the stub has: what the cache has is answered
//! there, without a lock or an allocation. What the resolver answers is sent by the listener's task.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::{Arc, LazyLock};

use config::time::Instant;
use resolver::Channel;
use resolver::carried::{CLIENT_COOKIE, Carried, Cookie, put_cookie, truncate, turn_away};
use resolver::event::ExtendedError;
use resolver::shortcut::Shortcut;
use resolver::wire::{EDNS_UDP_SIZE, rcode};
use tokio::sync::{mpsc, watch};

use super::access::is_reflective;
use super::house::{Delivery, Door, House, Judged, QUERIES_MAX, Way, format_error};
use super::rates::{Allowed, Rates};
use crate::batch::{Arrival, Outbox, Received, Telling};
use crate::threads::{Crew, Desk, Hold};

/// The largest answer to a client whose address is not proven, in octets (RFC 1035 §4.2.1).
const UNPROVEN_SIZE: u16 = 512;

/// Who sent a datagram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender {
    peer: SocketAddr,
    /// From where its answer leaves; as the kernel chooses, when the socket has one address.
    from: Option<Arrival>,
    cookie: Option<[u8; CLIENT_COOKIE]>,
    /// How long its answer may be, in octets, a cookie in it included.
    size: u16,
}

/// A UDP listener.
#[derive(Debug)]
pub(super) struct Datagrams {
    socket: Arc<UdpSocket>,
    house: Arc<House>,
    answers: mpsc::Receiver<(Sender, Delivery)>,
    /// Ends with this, and last: what it holds goes after the sockets.
    _crew: Crew,
}

impl Datagrams {
    /// Has threads serve a group of bound sockets, which hold `hold`; those at an address of many are told where datagrams come in.
    ///
    /// # Errors
    /// When there are no threads left.
    pub(super) fn open(
        sockets: Vec<UdpSocket>,
        house: &Arc<House>,
        door: &watch::Receiver<Arc<Door>>,
        hold: Hold,
    ) -> io::Result<Self> {
        let (back, answers) = mpsc::channel(QUERIES_MAX);
        let mut crew = Crew::holding(hold);
        let rates = Arc::new(Rates::new());
        let sockets: Vec<Arc<UdpSocket>> = sockets.into_iter().map(Arc::new).collect();
        for socket in &sockets {
            let has_many = socket.local_addr()?.ip().is_unspecified();
            let desk = DoorDesk {
                telling: match has_many {
                    true => Telling::Arrival,
                    false => Telling::Nothing,
                },
                now: Instant::ZERO,
                shortcut: house.shortcut(),
                house: Arc::clone(house),
                door: Arc::clone(&door.borrow()),
                watched: door.clone(),
                rates: Arc::clone(&rates),
                back: back.clone(),
                tally: Tally::default(),
            };
            crew.start(socket, desk)?;
        }
        let socket = sockets.into_iter().next();
        Ok(Self {
            socket: socket.ok_or(io::ErrorKind::InvalidInput)?,
            house: Arc::clone(house),
            answers,
            _crew: crew,
        })
    }

    /// Sends what the resolver answers, until this is dropped.
    pub(super) async fn serve(mut self) {
        let mut outbox = Outbox::new();
        let mut shares = Vec::new();
        while let Some(first) = self.answers.recv().await {
            let mut next = Some(first);
            // No more than a batch, so that others on this thread have their turn.
            while let Some((sender, Delivery { wire, share })) = next
                && let Some(out) = outbox.next()
            {
                if !wire.is_empty() {
                    *out = wire;
                    seal(&self.house, &sender, out, self.house.now());
                    outbox.keep(sender.peer, sender.from);
                    shares.extend(share);
                }
                next = if outbox.next().is_some() {
                    self.answers.try_recv().ok()
                } else {
                    None
                };
            }
            outbox.send(self.socket.as_fd());
            shares.clear();
        }
    }
}

/// One thread's part of a listener.
struct DoorDesk {
    telling: Telling,
    house: Arc<House>,
    watched: watch::Receiver<Arc<Door>>,
    /// That of `watched`, looked at anew before each batch.
    door: Arc<Door>,
    shortcut: Shortcut,
    rates: Arc<Rates>,
    back: mpsc::Sender<(Sender, Delivery)>,
    now: Instant,
    tally: Tally,
}

/// What is counted of one batch, so that threads meet at the listener's counters once for each.
#[derive(Default)]
struct Tally {
    queries: u64,
    strangers: u64,
    limited: u64,
    reflective: u64,
}

impl Desk for DoorDesk {
    fn telling(&self) -> Telling {
        self.telling
    }

    fn serve(&mut self, received: &mut Received, outbox: &mut Outbox, socket: BorrowedFd<'_>) {
        if self.watched.has_changed().unwrap_or(false) {
            self.door = Arc::clone(&self.watched.borrow_and_update());
        }
        self.now = self.house.now();
        for place in 0..received.len() {
            let arrival = received.arrival(place);
            if let Some((peer, wire)) = received.get_mut(place) {
                self.take(peer, arrival, wire, outbox);
            }
        }
        let counts = &self.door.counts;
        let Tally {
            queries,
            strangers,
            limited,
            reflective,
        } = std::mem::take(&mut self.tally);
        counts.queries.add(queries);
        counts.strangers.add(strangers);
        counts.limited.add(limited);
        counts.reflective.add(reflective);
        outbox.send(socket);
    }
}

impl DoorDesk {
    /// Takes a datagram; what is answered at once goes into the outbox.
    fn take(
        &mut self,
        peer: SocketAddr,
        arrival: Option<Arrival>,
        wire: &mut [u8],
        outbox: &mut Outbox,
    ) {
        if is_reflective(peer.port()) {
            self.tally.reflective += 1;
            return;
        }
        let Some(out) = outbox.next() else {
            return;
        };
        let from = arrival.map(|arrival| departure(peer, arrival));
        if !self.door.allow.admits(peer.ip()) {
            self.tally.strangers += 1;
            if self.house.refusals.may_refuse(self.now) && refuse(wire, out) {
                outbox.keep(peer, from);
            }
            return;
        }
        let carried = Carried::parse(wire);
        let (cookie, proof) = match carried.cookie {
            None => (None, Proof::None),
            Some(Cookie::Bad) => (None, Proof::Unreadable),
            Some(Cookie::Good(client, server)) => {
                let now = cookie_time(self.now);
                let holds = self.house.cookies.holds(client, server, peer.ip(), now);
                let proof = if holds { Proof::Good } else { Proof::None };
                (Some(*client), proof)
            }
        };
        let most = match proof {
            Proof::Good => EDNS_UDP_SIZE,
            Proof::None | Proof::Unreadable => UNPROVEN_SIZE,
        };
        let sender = Sender {
            peer,
            from,
            cookie,
            size: carried.size().limit(wire, most),
        };
        if self.answer(&sender, proof, wire, out) {
            seal(&self.house, &sender, out, self.now);
            outbox.keep(peer, from);
        }
    }

    /// Answers a client that may ask, in a message that says what its answer may have, over `out`; false when there is no answer, or not yet.
    fn answer(&mut self, sender: &Sender, proof: Proof, wire: &[u8], out: &mut Vec<u8>) -> bool {
        let peer = sender.peer;
        let allowed = match proof {
            Proof::Good => Allowed::Whole,
            Proof::None | Proof::Unreadable => {
                self.rates.count(peer.ip(), self.door.client_rate, self.now)
            }
        };
        if allowed != Allowed::Whole {
            self.tally.limited += 1;
            return allowed == Allowed::Short && truncate(wire, out);
        }
        match proof {
            Proof::Good | Proof::None => {}
            Proof::Unreadable => {
                self.door.counts.malformed.up();
                // RFC 7873 §5.2.2.
                return format_error(wire, out);
            }
        }
        let stub = self.door.stub;
        if self
            .shortcut
            .answer(wire, stub, Channel::Udp, out, self.now)
        {
            self.tally.queries += 1;
            return true;
        }
        match self.house.judge(&self.door, peer, Channel::Udp, wire, out) {
            Judged::Answered => true,
            Judged::Silence => false,
            Judged::Good(share) => {
                let asked = sender.from.map(|arrival| arrival.address);
                let caller = self.door.caller(peer, asked, Channel::Udp);
                let asked = self.door.question(caller, wire.to_vec());
                let way = Way::Datagram(self.back.clone(), *sender);
                self.house.ask(asked, share, way);
                false
            }
        }
    }
}

/// What a datagram's cookie proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// Its client was at this address a short while ago.
    Good,
    /// Nothing: it is not ours, or there is none.
    None,
    /// Nothing, and it breaks the rules of the option.
    Unreadable,
}

/// Returns from where the answer leaves to whoever came in there: from the address that was asked. Which link leads to the client
/// the routes say, by which packets of TCP go too; but link-local addresses say nothing without their link.
fn departure(peer: SocketAddr, arrival: Arrival) -> Arrival {
    let is_near = |address: IpAddr| match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let zone = match peer {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(peer) => peer.scope_id(),
    };
    let link = if zone != 0 {
        zone
    } else if is_near(arrival.address) || is_near(peer.ip()) {
        arrival.link
    } else {
        0
    };
    Arrival {
        address: arrival.address,
        link,
    }
}

/// Puts a new cookie onto an answer whose client has one of its own; with it, the answer is no longer than its client may have.
fn seal(house: &House, sender: &Sender, answer: &mut Vec<u8>, now: Instant) {
    if let Some(client) = &sender.cookie {
        let server = house
            .cookies
            .make(client, sender.peer.ip(), cookie_time(now));
        put_cookie(answer, client, &server, sender.size);
    }
}

/// Returns the time that cookies are made of.
fn cookie_time(now: Instant) -> u32 {
    let seconds = now.since(Instant::ZERO).as_secs();
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// Writes the answer to a stranger; false when its message gets none.
fn refuse(wire: &[u8], out: &mut Vec<u8>) -> bool {
    static PROHIBITED: LazyLock<ExtendedError> = LazyLock::new(|| ExtendedError {
        code: 18,
        text: String::new(),
    });
    turn_away(wire, Channel::Udp, rcode::REFUSED, &PROHIBITED, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_leaves_from_the_address_that_was_asked_and_by_a_link_where_an_address_needs_it() {
        let rows = [
            ("10.0.0.7:5300", "10.0.0.1", 3, 0),
            ("169.254.7.7:5300", "10.0.0.1", 3, 3),
            ("10.0.0.7:5300", "169.254.1.1", 3, 3),
            ("[2001:db8::7]:5300", "2001:db8::1", 3, 0),
            ("[2001:db8::7]:5300", "fe80::1", 3, 3),
            ("[fe80::7%5]:5300", "fe80::1", 3, 5),
        ];
        for (peer, address, link, expected) in rows {
            let arrival = Arrival {
                address: address.parse().unwrap(),
                link,
            };
            let from = departure(peer.parse().unwrap(), arrival);
            assert_eq!(
                (from.address, from.link),
                (arrival.address, expected),
                "{peer}"
            );
        }
    }
}
