//! What does a DHCPv4 client do next? The state machine of RFC 2131, with its states and their order.
//!
//! What has happened is understood here, what follows from it is in [`super::turns`]; what is sent is made in [`super::send`], and
//! how a client finds back to a network that it knows is in [`super::reattach`].

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Arc;

use config::matcher::Mac;
use config::model::BootpUse;
use config::time::Instant;
use policy::facts::Supply;

use super::reattach::{Known, Search, WitnessQuery};
use super::remembered::Candidate;
use super::state::{Held, State, earliest};
use super::wire::{Addressee, Reply, ReplyKind};
use super::{
    ArpFilter, Event, LeaseStatus, Received, Setup, Socket, Sockets, Status, Transmit, Trouble,
    frame,
};
use crate::acd::Acd;
use crate::arp::ArpPacket;
use crate::offered::without_names;
use crate::random::Random;

/// REQUESTs for one offer, before another is looked for.
const MAX_REQUESTS: u32 = 3;

/// A DHCPv4 client of one link. After every `handle_…`, [`Self::renew`] and [`Self::release`]: open what [`Self::sockets`]
/// says; take [`Self::poll_transmit`] and [`Self::poll_event`] until both are empty; close what [`Self::sockets`] does not say
/// any more; wait for [`Self::poll_timeout`].
#[derive(Debug)]
pub struct Client {
    pub(super) setup: Setup,
    pub(super) client_id: Arc<[u8]>,
    pub(super) random: Random,
    pub(super) state: State,
    /// Networks that were met, the latest first.
    pub(super) known: Vec<Known>,
    pub(super) acd: Option<Acd>,
    pub(super) witness_query: Option<WitnessQuery>,
    /// Since when a lease is asked for: the `secs` field.
    pub(super) began_at: Instant,
    pub(super) transmits: VecDeque<Transmit>,
    pub(super) events: VecDeque<Event>,
    pub(super) trouble: Option<Trouble>,
    pub(super) has_carrier: bool,
    /// Whether somebody wished that nothing is asked for.
    pub(super) rests: bool,
    pub(super) conflicts: u32,
    /// Those about addresses of BOOTP servers: such a server knows nobody's leases, so that they say nothing of a copy of this machine.
    pub(super) boot_conflicts: u32,
    /// Since when there is a lease, and no conflict about it; those of before are forgotten after a while.
    pub(super) well_since: Option<Instant>,
    pub(super) naks: u32,
    pub(super) told_silent: bool,
    /// What was told last, while it holds.
    pub(super) told: Option<Supply>,
}

impl Client {
    /// Makes a client that waits for [`Self::handle_carrier`]; `candidates` come from [`super::Leases::candidates`].
    pub fn new(setup: Setup, candidates: Vec<Candidate>, now: Instant) -> Self {
        let mut random = Random::new(setup.seed);
        // RFC 7844 §2: nothing is said that another network could know us by.
        let recalled = candidates.iter().filter(|_| !setup.settings.anonymous);
        let recalled = recalled
            .filter_map(|candidate| Known::recall(candidate, &setup.kind, &mut random, now));
        let bootp = setup.settings.bootp;
        let mut known: Vec<Known> = recalled
            .filter(|known| is_good_for(bootp, known.lease.is_by_bootp()))
            .collect();
        // What is on the link already was left there by a run before, and is used on as after a change of carrier.
        let left = known.iter().position(|it| it.may_be_held(&setup.addresses));
        let left = left.map(|at| known.remove(at));
        let held = left.as_ref().map(|it| Held {
            lease: Box::new(it.lease.clone()),
            unconfirmed: true,
        });
        known.splice(..0, left);
        let state = match known.is_empty() {
            true => State::Init { until: None },
            false => State::InitReboot(held),
        };
        let mut client = Self {
            client_id: setup.client_id(),
            setup,
            random,
            state,
            known,
            acd: None,
            witness_query: None,
            began_at: now,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            trouble: None,
            has_carrier: false,
            rests: false,
            conflicts: 0,
            boot_conflicts: 0,
            well_since: None,
            naks: 0,
            told_silent: false,
            told: None,
        };
        if let Some(held) = client.state.held() {
            let supply = without_names(held.lease.supply(true));
            client.tell(supply);
        }
        client
    }

    /// Takes that the link got or lost its carrier (or went up or down). A lease outlives a carrier; when it comes back, the
    /// lease is confirmed anew, or found to be of another network. Until that is known its names are not asked for: only
    /// addresses and routes stay.
    pub fn handle_carrier(&mut self, has_carrier: bool, now: Instant) {
        if has_carrier == self.has_carrier {
            return;
        }
        self.has_carrier = has_carrier;
        if has_carrier {
            self.attach(now);
        } else {
            self.detach();
        }
    }

    /// Takes that the machine has slept: the lease is confirmed anew, as after a change of carrier.
    pub fn handle_resume(&mut self, now: Instant) {
        if self.has_carrier && !self.rests {
            self.detach();
            self.attach(now);
        }
    }

    /// Takes a packet of one of the sockets; what is not for us, malformed or late changes nothing. ARP that comes from this
    /// machine's other links is to be kept away.
    pub fn handle_packet(&mut self, octets: &[u8], received: Received, now: Instant) {
        match received {
            Received::Packet(checksum) => {
                if let Some(datagram) = frame::parse(octets, checksum) {
                    self.handle_message(datagram.payload, datagram.source, now);
                }
            }
            Received::Udp(source) => self.handle_message(octets, source, now),
            Received::Arp => {
                if let Some(packet) = ArpPacket::parse(octets) {
                    self.handle_arp(&packet, now);
                }
            }
        }
    }

    fn handle_message(&mut self, message: &[u8], source: Ipv4Addr, now: Instant) {
        let Some(addressee) = Addressee::of(message) else {
            return;
        };
        if addressee.mac != self.setup.mac {
            return self.watch_others(message, addressee.mac, now);
        }
        if self.state.exchange().map(|exchange| exchange.xid) != Some(addressee.xid) {
            return;
        }
        let Some(mut reply) = Reply::parse(message) else {
            return;
        };
        let is_boot = reply.kind == ReplyKind::Boot;
        if !is_good_for(self.setup.settings.bootp, is_boot) {
            return;
        }
        if is_boot {
            reply.came_from(source);
        }
        // RFC 6842 §3: what is repeated must be ours.
        let is_ours = |id: &Vec<u8>| id[..] == self.client_id[..];
        let accepted = &self.setup.settings.accept_servers;
        let is_accepted = accepted.is_empty() || accepted.contains(&reply.server.into());
        let rejected = &self.setup.settings.reject_servers;
        let is_rejected = [reply.server, source]
            .into_iter()
            .any(|server| rejected.contains(&server.into()));
        if !reply.client_id.as_ref().is_none_or(is_ours) || is_rejected || !is_accepted {
            return;
        }
        match (&self.state, reply.kind) {
            (_, ReplyKind::Boot) => self.take_boot(reply, message, now),
            // Of what a BOOTP server gave no DHCP server can say yes or no.
            (State::Rebooting(_), kind) if self.reboots_by_bootp() => {
                if kind == ReplyKind::Offer {
                    self.take_offer(reply, now);
                }
            }
            (State::Selecting(_), ReplyKind::Offer) => self.take_offer(reply, now),
            // RFC 4039 §3.1.
            (State::Selecting(_), ReplyKind::Ack) if reply.rapid_commit && self.rapid_commit() => {
                self.bind(reply, message, now);
            }
            (State::Requesting(_, offer, _), ReplyKind::Ack) if offer.server == reply.server => {
                self.bind(reply, message, now);
            }
            (State::Requesting(_, offer, _), ReplyKind::Nak) if offer.server == reply.server => {
                self.refused(&reply, now);
            }
            (State::Rebooting(_) | State::Renewing(..) | State::Rebinding(..), ReplyKind::Ack) => {
                self.bind(reply, message, now);
            }
            (State::Rebooting(_) | State::Renewing(..) | State::Rebinding(..), ReplyKind::Nak) => {
                self.refused(&reply, now);
            }
            (
                State::Init { .. }
                | State::Selecting(_)
                | State::Requesting(..)
                | State::InitReboot(_)
                | State::Rebooting(_)
                | State::Bound(_)
                | State::Renewing(..)
                | State::Rebinding(..),
                ReplyKind::Offer | ReplyKind::Ack | ReplyKind::Nak,
            ) => {}
        }
    }

    /// A server's ACK of our lease to another machine that calls itself as we do.
    fn watch_others(&mut self, message: &[u8], neighbour: Mac, now: Instant) {
        let Some(address) = self.state.held().map(|held| held.lease.address) else {
            return;
        };
        let Some(reply) = Reply::parse(message) else {
            return;
        };
        let is_ours = reply.client_id.as_deref() == Some(&self.client_id[..]);
        if reply.kind == ReplyKind::Ack && reply.address == address && is_ours {
            self.call_by_mac();
            self.withdraw(Trouble::Clone { address, neighbour });
            self.select(None, now);
        }
    }

    fn handle_arp(&mut self, packet: &ArpPacket, now: Instant) {
        if let Some(acd) = &mut self.acd {
            acd.handle_arp(packet, now);
        }
        self.hear_of_doubted(packet);
        self.hear_witness(packet, now);
        self.drain_acd(now);
    }

    /// Takes that time has passed; to be called at [`Self::poll_timeout`], harmless earlier.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(acd) = &mut self.acd {
            acd.handle_timeout(now);
        }
        self.drain_acd(now);
        self.query_witness(now);
        if self.state.due_at().is_none_or(|due_at| due_at > now) {
            return;
        }
        if self
            .state
            .held()
            .is_some_and(|held| held.lease.is_over(now))
        {
            return self.expire(now);
        }
        match &self.state {
            State::Init { .. } => self.select(None, now),
            State::Selecting(_) => self.go_on_selecting(now),
            State::Requesting(exchange, ..) if exchange.sent >= MAX_REQUESTS => {
                let state = std::mem::replace(&mut self.state, State::Init { until: None });
                self.select(state.into_held(), now);
            }
            State::Requesting(..) => self.request_offer(now),
            State::InitReboot(_) => {}
            State::Rebooting(_) => self.go_on_rebooting(now),
            State::Bound(held) if held.times().is_some_and(|times| times.rebind_at <= now) => {
                self.rebind(now);
            }
            State::Bound(_) => self.renew(now),
            State::Renewing(held, _)
                if held.times().is_some_and(|times| times.rebind_at <= now) =>
            {
                self.rebind(now);
            }
            State::Renewing(..) | State::Rebinding(..) => self.request_more_time(now),
        }
    }

    /// Asks the server to prolong the lease at once; without a lease, looks for one at once.
    pub fn renew(&mut self, now: Instant) {
        self.rests = false;
        if !self.has_carrier {
            return;
        }
        match std::mem::replace(&mut self.state, State::Init { until: None }) {
            // Nobody prolongs it; what has changed is heard as when the link came up.
            State::Bound(held) if held.lease.is_by_bootp() => {
                self.begin(now);
                self.ask_anew(held, now);
            }
            State::Bound(held) | State::Renewing(held, _) | State::Rebinding(held, _) => {
                self.begin(now);
                let exchange = self.exchange(now);
                self.state = State::Renewing(held, exchange);
                self.request_more_time(now);
            }
            // Whoever asks for it has mended something: the long waits are over.
            State::Init { .. } | State::Selecting(Search { held: None, .. }) => {
                self.begin(now);
                self.select(None, now);
            }
            // In doubt everybody is asked at once.
            state @ State::Selecting(Search { held: Some(_), .. }) => {
                self.begin(now);
                self.reboot(state.into_held(), now);
            }
            state @ (State::Requesting(..) | State::InitReboot(_) | State::Rebooting(_)) => {
                self.state = state;
            }
        }
    }

    fn rebind(&mut self, now: Instant) {
        let state = std::mem::replace(&mut self.state, State::Init { until: None });
        let Some(held) = state.into_held() else {
            return;
        };
        self.begin(now);
        let exchange = self.exchange(now);
        self.state = State::Rebinding(held, exchange);
        self.request_more_time(now);
    }

    /// Gives the lease back (RFC 2131 §4.4.6) and rests until [`Self::renew`] or a new client.
    pub fn release(&mut self, now: Instant) {
        self.rests = true;
        self.acd = None;
        self.witness_query = None;
        let state = std::mem::replace(&mut self.state, State::Init { until: None });
        if let Some(held) = state.into_held() {
            if self.has_carrier && !held.lease.is_by_bootp() {
                self.send_release(&held.lease, now);
            }
            self.forget(&held.lease.network);
        }
        self.withdraw(Trouble::Released);
    }

    /// Returns the next thing to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// Returns the next thing to tell.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns when [`Self::handle_timeout`] is due, whatever comes.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let query = self.witness_query.as_ref();
        earliest([
            self.state.due_at(),
            self.acd.as_ref().and_then(Acd::poll_timeout),
            query.map(|query| query.next_at),
        ])
    }

    /// Returns which sockets must be open.
    pub fn sockets(&self) -> Sockets {
        let sends = |socket: Socket| self.transmits.iter().find(|it| it.by == socket);
        let (listens, renews) = match &self.state {
            State::Init { .. } | State::InitReboot(_) | State::Bound(_) => (false, None),
            State::Selecting(_) | State::Requesting(..) | State::Rebooting(_) => (true, None),
            State::Renewing(held, _) => (false, Some(held.lease.address)),
            // By UDP as well, so that the kernel does not tell the server that nobody listens.
            State::Rebinding(held, _) => (true, Some(held.lease.address)),
        };
        let is_probing = self.acd.as_ref().is_some_and(Acd::is_probing);
        let is_asking = match &self.state {
            State::Rebooting(_) => true,
            State::Selecting(search) => search.ask_at.is_some(),
            State::Init { .. }
            | State::Requesting(..)
            | State::InitReboot(_)
            | State::Bound(_)
            | State::Renewing(..)
            | State::Rebinding(..) => false,
        };
        let is_asking = is_asking || self.witness_query.is_some() || sends(Socket::Arp).is_some();
        let doubted = self.state.doubted().map(|held| held.lease.address);
        let watched = self.acd.as_ref().map(Acd::address);
        let holds = watched.or(doubted).map(ArpFilter::conflicts);
        Sockets {
            packet: listens || sends(Socket::Packet).is_some(),
            arp: match is_probing || is_asking {
                true => Some(ArpFilter::All),
                false => holds,
            },
            udp: renews.or_else(|| sends(Socket::Udp).map(|it| it.from)),
        }
    }

    /// Returns what is supplied, as [`Event::Supplied`] said it last.
    pub const fn supply(&self) -> Option<&Supply> {
        self.told.as_ref()
    }

    /// Returns how things stand.
    pub fn status(&self) -> Status {
        let lease = self.state.held().map(|held| {
            let lease = &held.lease;
            LeaseStatus {
                address: lease.prefix(),
                server: lease.server,
                bootp: lease.is_by_bootp(),
                network: lease.network.clone(),
                acquired_at: lease.acquired_at,
                renew_at: lease.times.map(|times| times.renew_at),
                rebind_at: lease.times.map(|times| times.rebind_at),
                expires_at: lease.times.map(|times| times.expires_at),
                unconfirmed: held.unconfirmed,
                options: lease.own_options(&self.setup.settings.own.request),
            }
        });
        Status {
            state: self.state.name(),
            lease,
            trouble: self.trouble.clone(),
            next_at: self.poll_timeout(),
        }
    }
}

/// Whether an answer is good for anything: one of BOOTP, or one of DHCP.
fn is_good_for(bootp: BootpUse, is_boot: bool) -> bool {
    match bootp {
        BootpUse::Fallback => true,
        BootpUse::Only => is_boot,
        BootpUse::Never => !is_boot,
    }
}

#[cfg(test)]
mod tests;
