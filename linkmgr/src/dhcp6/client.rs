//! What follows from each message and each moment? [`Client`]: one exchange about leases, one about other information, and the
//! small ones beside.

mod states;
mod told;
mod wanted;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use config::model::{Dhcp6When, Prefix};
use config::time::Instant;
use policy::facts::{SuppliedAddress, Supply};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::auth::Key;
use super::compose::{About, compose};
use super::exchange::{Exchange, Manner, Step};
use super::leases::{Extent, Leases};
use super::memory::Memory;
use super::registration::Registrations;
use super::supply::{Offered, supply};
use super::wire::{Message, MessageType, Sort, Status, StatusCode};
use super::{ALL_SERVERS, Event, LeaseReport, Report, Setup, Transmit};
use crate::octets::{Lifetime, earlier};
use crate::ra::Dhcp6Flags;

/// How long leases are confirmed before they are used as they are (`CNF_MAX_RD`, RFC 8415 §7.6).
const CONFIRM_FOR: Duration = Duration::from_secs(10);
/// When information is asked for again, when the server does not say (`IRT_DEFAULT`).
const REFRESH: u32 = 86400;
/// The soonest (`IRT_MINIMUM`).
const REFRESH_MIN: u32 = 600;
/// How long a server is asked for information because it has said so: it is there, or was a moment ago.
const TOLD_FOR: Duration = Duration::from_secs(600);
/// How often a Solicit goes unanswered before other information is asked for by itself.
const PATIENCE: u32 = 3;
/// What it waits after a server promised and did not give, or gave what others have; twice as long each time.
const SETBACK: Duration = Duration::from_secs(1);
/// Its longest: 2^7 s.
const SETBACKS_MAX: u32 = 7;
/// How long leases are held until it is forgotten that others went wrong.
const WELL: Duration = Duration::from_secs(60);
/// The preference that ends the gathering of advertisements (RFC 8415 §18.2.1).
const BEST: u8 = 255;

/// The DHCPv6 client of one link.
///
/// Inputs: [`Client::handle_link_local`], [`Client::handle_advertised`], [`Client::handle_packet`],
/// [`Client::handle_dad_failed`], [`Client::handle_addresses`], [`Client::handle_lifetimes`], [`Client::handle_reattach`], [`Client::handle_release`],
/// [`Client::handle_timeout`]. After each, ask [`Client::poll_transmit`] and [`Client::poll_event`] until they are empty,
/// then [`Client::poll_timeout`].
#[derive(Debug)]
pub struct Client {
    setup: Setup,
    rng: StdRng,
    link_local: Option<Ipv6Addr>,
    flags: Dhcp6Flags,
    state: State,
    leases: Leases,
    information: Information,
    /// What is told to servers beside: addresses of others, leases given back.
    notice: Option<Notice>,
    registrations: Registrations,
    /// Options of the Reply that gave leases, and the Reply.
    granted: (Offered, Vec<u8>),
    /// Options of the Reply to an Information-request, and the Reply.
    informed: (Offered, Vec<u8>),
    /// Whether anybody has answered in this place.
    confirmed: bool,
    /// Whether the link may have come to another place since somebody answered; nobody is named to be asked then.
    moved: bool,
    key: Option<Key>,
    sol_max_rt: Option<u32>,
    inf_max_rt: Option<u32>,
    setbacks: u32,
    /// Since when all is well; setbacks are forgotten after [`WELL`].
    well_since: Option<Instant>,
    complaint: Option<Status>,
    passed_over: u64,
    told: Option<Supply>,
    /// Whether there is something new to remember.
    keep: bool,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

/// How far the client is with its leases; see the diagram of [`super`].
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Nothing is wanted, or nothing can be sent.
    Idle,
    /// SOLICIT, with the best advertisement so far.
    Soliciting(Exchange, Option<Box<Offer>>),
    /// REQUEST, of this server, for these leases.
    Requesting(Exchange, Vec<u8>, Vec<(Sort, Vec<Prefix>)>),
    /// CONFIRM.
    Confirming(Exchange),
    /// Leases are held.
    Bound,
    /// RENEW, until T2.
    Renewing(Exchange),
    /// REBIND, until leases are over.
    Rebinding(Exchange),
    /// Everything was given back.
    Released,
}

/// An advertisement.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Offer {
    server: Vec<u8>,
    leases: Vec<(Sort, Vec<Prefix>)>,
    /// How many sorts of what is wanted it has, and its preference.
    rank: (usize, u8),
}

/// How far the client is with other information.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Information {
    /// It is not asked for.
    Idle,
    /// INFORMATION-REQUEST; of one server when that has said so.
    Asking(Exchange, Option<Vec<u8>>),
    /// It is there.
    Informed {
        /// When to ask again.
        refresh_at: Instant,
    },
}

/// RELEASE or DECLINE: told a few times, whether or not anybody answers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Notice {
    exchange: Exchange,
    server: Vec<u8>,
    leases: Vec<(Sort, Vec<Prefix>)>,
}

impl Client {
    /// Begins; nothing is sent before there is a link-local address, and a reason. What is remembered is supplied, unconfirmed.
    pub fn new(mut setup: Setup, now: Instant) -> Self {
        let remembered = setup.remembered.take();
        // RFC 7844 §4.2: nothing is said that another network could know us by.
        let remembered = remembered.filter(|_| !setup.settings.anonymous);
        let mut client = Self {
            rng: StdRng::seed_from_u64(setup.seed),
            link_local: None,
            flags: Dhcp6Flags::default(),
            state: State::Idle,
            leases: Leases::default(),
            information: Information::Idle,
            notice: None,
            registrations: Registrations::default(),
            granted: <_>::default(),
            informed: <_>::default(),
            confirmed: false,
            moved: remembered.as_ref().is_some_and(|kept| kept.moved),
            key: None,
            sol_max_rt: None,
            inf_max_rt: None,
            setbacks: 0,
            well_since: None,
            complaint: None,
            passed_over: 0,
            told: None,
            keep: false,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            setup,
        };
        if let Some(remembered) = remembered {
            client.leases = remembered.memory.leases(remembered.age, now);
            let mut wanted = client.sorts_of_profile();
            // What one before has handed on is not this link's own.
            if remembered.memory.is_own && client.setup.settings.delegate.is_none() {
                wanted.push(Sort::Prefixes);
            }
            client
                .leases
                .held
                .retain(|held| wanted.contains(&held.sort));
            let link = &client.setup.link;
            if let Some(reply) = Message::parse(&remembered.memory.granted)
                && client.leases.is_held()
            {
                client.granted = (Offered::of(&reply, link), remembered.memory.granted);
            }
            if let Some(reply) = Message::parse(&remembered.memory.informed)
                && remembered.age < Duration::from_secs(REFRESH.into())
            {
                client.informed = (Offered::of(&reply, link), remembered.memory.informed);
            }
        }
        client.settle(now);
        client
    }

    /// Takes the link's own link-local address, or that there is none that is usable.
    pub fn handle_link_local(&mut self, address: Option<Ipv6Addr>, now: Instant) {
        let is_new = self.link_local.is_none() && address.is_some();
        self.link_local = address;
        if address.is_none() {
            self.pause();
        } else if is_new && self.state != State::Released {
            self.forget_place();
            self.reattach(now);
        }
        self.settle(now);
    }

    /// Takes what routers say ([`crate::ra::Event::Dhcp6`]).
    pub fn handle_advertised(&mut self, flags: Dhcp6Flags, now: Instant) {
        self.flags = flags;
        self.settle(now);
    }

    /// Takes a datagram that came to port 546; what is not for us is passed over.
    pub fn handle_packet(&mut self, octets: &[u8], from: Ipv6Addr, now: Instant) {
        let Some(message) = Message::parse(octets) else {
            self.passed_over = self.passed_over.saturating_add(1);
            return;
        };
        // RFC 8415 §16: a message of another client, or without a server. Servers and relays speak from their link-local
        // address, which nobody beyond the link can; a Reconfigure comes from wherever its server is (§18.3.11), and proves
        // itself by its key.
        let is_for_us =
            message.client.as_deref() == Some(self.setup.duid.octets()) && message.server.is_some();
        let is_ours = is_for_us && from.is_unicast_link_local();
        let taken = match message.kind {
            MessageType::Advertise if is_ours => self.advertised(&message, now),
            MessageType::Reply if is_ours => self.replied(&message, octets, now),
            MessageType::Reconfigure if is_for_us => self.reconfigured(&message, octets, now),
            MessageType::AddrRegReply => self.registrations.take(&message, &mut self.rng, now),
            MessageType::Advertise
            | MessageType::Reply
            | MessageType::Reconfigure
            | MessageType::Solicit
            | MessageType::Request
            | MessageType::Confirm
            | MessageType::Renew
            | MessageType::Rebind
            | MessageType::Release
            | MessageType::Decline
            | MessageType::InformationRequest
            | MessageType::AddrRegInform => false,
        };
        if !taken {
            self.passed_over = self.passed_over.saturating_add(1);
        }
        self.settle(now);
    }

    /// Takes that a supplied address is somebody else's (`IFA_F_DADFAILED`): it is declined.
    pub fn handle_dad_failed(&mut self, address: Ipv6Addr, now: Instant) {
        let Some(prefix) = self.leases.drop_address(address) else {
            return;
        };
        self.notify(
            MessageType::Decline,
            vec![(Sort::Addresses, vec![prefix])],
            now,
        );
        // RFC 8415 §18.2.8: another one is asked for; not at once, as a server may have nothing else.
        self.count_setback(now);
        if matches!(self.state, State::Bound | State::Confirming(_)) {
            self.solicit(now);
        }
        self.settle(now);
    }

    /// Takes the usable addresses that the link has from router advertisements: they are registered when the network wants
    /// that (RFC 9686).
    pub fn handle_addresses(&mut self, addresses: &[Ipv6Addr], now: Instant) {
        let leased: Vec<IpAddr> = self
            .leases
            .of(Sort::Addresses)
            .map(|prefix| prefix.address)
            .collect();
        let own: Vec<Ipv6Addr> = addresses
            .iter()
            .filter(|address| !leased.contains(&IpAddr::V6(**address)))
            .copied()
            .collect();
        self.registrations.set(&own);
        self.settle(now);
    }

    /// Takes how long the addresses last that routers let us make.
    pub fn handle_lifetimes(&mut self, addresses: &[SuppliedAddress]) {
        self.registrations.set_lifetimes(addresses);
    }

    /// Takes that the carrier is gone: wherever the link is next, names are sent to nobody before somebody speaks there.
    pub fn handle_detach(&mut self, now: Instant) {
        self.moved = true;
        self.confirmed = false;
        self.forget_place();
        self.tell(now);
    }

    /// Has who is anonymous forget what there was in the place before: nothing of it is confirmed, prolonged or given back where the link
    /// is next (RFC 7844 §4.2).
    fn forget_place(&mut self) {
        if !self.setup.settings.anonymous {
            return;
        }
        if self.notice.is_some() {
            self.end_notice();
        }
        if self.state != State::Released {
            self.state = State::Idle;
        }
        self.information = Information::Idle;
        self.leases = Leases::default();
        self.granted = <_>::default();
        self.informed = <_>::default();
        self.key = None;
        self.keep |= self.told.is_some();
    }

    /// Takes that the link is known to be where it was: routers say so ([`crate::ra::Client::is_same_place`]).
    pub fn handle_same_place(&mut self, now: Instant) {
        if std::mem::take(&mut self.moved) {
            self.settle(now);
        }
    }

    /// Takes that what there is should be prolonged at once, for no reason but that somebody wants it. Who wants it has often mended something:
    /// what is being asked for is asked for anew, at once.
    pub fn handle_renew(&mut self, now: Instant) {
        self.setbacks = 0;
        match self.state {
            State::Idle | State::Released => {}
            // The server of an advertisement may be what was wrong.
            State::Soliciting(..) | State::Requesting(..) => self.solicit(now),
            State::Confirming(_) => self.confirm(now),
            State::Bound | State::Renewing(_) => self.renew(now),
            State::Rebinding(_) => self.rebind(now),
        }
        match &mut self.information {
            Information::Idle => {}
            Information::Asking(..) => self.inquire(now),
            Information::Informed { refresh_at } => *refresh_at = now,
        }
        self.settle(now);
    }

    /// Takes that the carrier is back, or that the machine was asleep: leases stay, and are confirmed, but of those who are anonymous.
    pub fn handle_reattach(&mut self, now: Instant) {
        self.moved = true;
        self.forget_place();
        if self.state != State::Released {
            self.reattach(now);
        }
        self.settle(now);
    }

    /// Takes that leases are to be given back. Nothing is supplied from then.
    pub fn handle_release(&mut self, now: Instant) {
        let leases: Vec<_> = self.held();
        self.state = State::Released;
        self.information = Information::Idle;
        self.registrations = Registrations::default();
        if leases.is_empty() || self.link_local.is_none() {
            self.events.push_back(Event::Released);
        } else {
            self.notify(MessageType::Release, leases, now);
        }
        self.leases = Leases::default();
        self.granted = <_>::default();
        self.informed = <_>::default();
        self.settle(now);
    }

    /// Takes that time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.settle(now);
    }

    /// Returns the next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// Returns the next thing that follows.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns when [`Client::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let ends = self.leases.ends_at();
        if self.link_local.is_none() {
            return ends;
        }
        let state = match &self.state {
            State::Idle | State::Released => None,
            State::Bound => earlier(self.leases.renew_at, self.leases.rebind_at),
            State::Soliciting(exchange, _)
            | State::Requesting(exchange, ..)
            | State::Confirming(exchange)
            | State::Renewing(exchange)
            | State::Rebinding(exchange) => Some(exchange.due_at()),
        };
        let information = match &self.information {
            Information::Idle => None,
            Information::Asking(exchange, _) => Some(exchange.due_at()),
            // While leases are asked for, it is not asked for again.
            Information::Informed { refresh_at } => self.wants_information().then_some(*refresh_at),
        };
        let notice = self.notice.as_ref().map(|notice| notice.exchange.due_at());
        [
            ends,
            state,
            information,
            notice,
            self.registrations.due_at(),
        ]
        .into_iter()
        .fold(None, earlier)
    }
}
