//! How does a client find back to a network that it knows? INIT-REBOOT (RFC 2131 §3.2) and, faster, its neighbours: a gateway
//! that answers to its old address by its old hardware address is there only (RFC 4436), and so are servers that are neighbours.
//!
//! A lease whose age is certain is used as soon as the gateway answers, and confirmed behind; one of another boot is probed
//! for first. When no gateway answers for a second, this may be another network, and servers are looked for at once; but it may as
//! well be a switch that does not let anything through yet, or a router that starts again. So a lease that was held is kept
//! while nobody denies it, and gateways are asked on, ever more rarely, for as long as it lasts.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use config::time::Instant;
use policy::facts::NetworkId;

use super::Trouble;
use super::client::Client;
use super::lease::Lease;
use super::options::{is_host, prefix};
use super::remembered::{Age, Candidate, MAX_WITNESSES, Witness};
use super::send::Exchange;
use super::state::{Held, State};
use super::wire::Reply;
use crate::acd::{Acd, Pace};
use crate::arp::{ArpOperation, ArpPacket, EVERYBODY};

/// When gateways are asked again, and at last doubted: a second after the carrier in all.
const PATIENCE: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_millis(300),
    Duration::from_millis(500),
];
/// How long it is between two questions for them from then on: a part of the time that they are silent.
const DOUBT_PART: u32 = 4;
const LEAST_DOUBT: Duration = Duration::from_secs(1);
const LONGEST_DOUBT: Duration = Duration::from_secs(64);
/// REQUESTs for a lease of before, when the place is known but the server is silent; then its ordinary times go on.
const MAX_REBOOT_REQUESTS: u32 = 3;
/// Questions for a neighbour's hardware address, and the time between them.
const MAX_QUERIES: u32 = 3;
const QUERY_INTERVAL: Duration = Duration::from_secs(1);
/// Networks that are kept in mind.
const MAX_KNOWN: usize = 4;

/// A network that was met.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) lease: Lease,
    witnesses: Vec<Witness>,
    trust: Trust,
}

/// What must happen before a lease of before is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trust {
    /// Its gateway answers.
    Place,
    /// And no neighbour has its address.
    Probe,
    /// Its server confirms it.
    Server,
}

impl Known {
    /// Takes what was kept; `None` when it is over or broken.
    pub(super) fn recall(
        candidate: &Candidate,
        kind: &str,
        random: &mut crate::random::Random,
        now: Instant,
    ) -> Option<Self> {
        let lease = Lease::recall(candidate, kind, random, now)?;
        let is_endless = lease.times.is_none();
        Some(Self {
            lease,
            witnesses: candidate.remembered.witnesses.clone(),
            trust: match candidate.age {
                Age::Known(_) => Trust::Place,
                Age::Dated(_) => Trust::Probe,
                // What has no end is not over, whatever the date is.
                Age::Unknown if is_endless => Trust::Probe,
                Age::Unknown => Trust::Server,
            },
        })
    }

    /// Whether the lease was left on the link by a run before: given in this boot, and still there.
    pub(super) fn may_be_held(&self, addresses: &[Ipv4Addr]) -> bool {
        self.trust == Trust::Place && addresses.contains(&self.lease.address)
    }

    /// Whether its gateway is enough, so that it is worth asking while servers are looked for.
    fn is_askable(&self, now: Instant) -> bool {
        !self.witnesses.is_empty() && self.trust != Trust::Server && !self.lease.is_over(now)
    }
}

/// SELECTING.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) exchange: Exchange,
    /// The lease that is supplied meanwhile: of before, and neither confirmed nor denied in this place.
    pub(super) held: Option<Held>,
    /// When gateways of networks that are known are asked again.
    pub(super) ask_at: Option<Instant>,
    /// What a BOOTP server has answered: good enough when no DHCP server has answered the same question.
    pub(super) boot: Option<Box<Boot>>,
}

/// A BOOTREPLY of a server that does not know DHCP.
#[derive(Debug)]
pub(super) struct Boot {
    pub(super) reply: Reply,
    pub(super) message: Arc<[u8]>,
}

/// REBOOTING.
#[derive(Debug)]
pub(super) struct Reboot {
    pub(super) exchange: Exchange,
    /// The network whose lease is asked for.
    pub(super) network: NetworkId,
    /// The address that is asked for.
    pub(super) address: Ipv4Addr,
    /// The lease that is supplied meanwhile: of before the carrier went, or found here.
    pub(super) held: Option<Held>,
    stage: Stage,
}

/// What is known of the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Gateways were asked so many times.
    Asking { asked: usize, next_at: Instant },
    /// The gateway has answered; neighbours are asked for the address.
    Probing,
    /// The gateway has answered; the lease is used, or its server is waited for.
    InPlace,
}

impl Reboot {
    /// Whether this is the network of the lease that is asked for.
    pub(super) const fn is_in_place(&self) -> bool {
        matches!(self.stage, Stage::Probing | Stage::InPlace)
    }

    pub(super) fn due_at(&self) -> Instant {
        match self.stage {
            Stage::Asking { next_at, .. } => next_at,
            Stage::Probing | Stage::InPlace => self.exchange.next_at,
        }
    }
}

/// The question for the hardware addresses of neighbours, so that the network is known again.
#[derive(Debug)]
pub(super) struct WitnessQuery {
    own: Ipv4Addr,
    /// Those who have not answered.
    addresses: Vec<Ipv4Addr>,
    asked: u32,
    pub(super) next_at: Instant,
}

impl WitnessQuery {
    /// Asks for those of the lease's neighbours that are not known; `None` when all are.
    pub(super) fn new(lease: &Lease, known: &[Witness], now: Instant) -> Option<Self> {
        let mut addresses = neighbours(lease);
        addresses.retain(|address| known.iter().all(|known| known.address != *address));
        (!addresses.is_empty()).then_some(Self {
            own: lease.address,
            addresses,
            asked: 0,
            next_at: now,
        })
    }
}

/// Returns who is in the network of a lease for sure: its gateway, then its server and name servers that are neighbours.
fn neighbours(lease: &Lease) -> Vec<Ipv4Addr> {
    let own = lease.prefix();
    let is_near = |address: &Ipv4Addr| prefix(*address, own.length).network() == own.network();
    let servers = std::iter::once(lease.server).chain(lease.resolvers());
    let servers = servers.filter(|server| is_host(*server) && is_near(server));
    let mut addresses = Vec::new();
    for address in lease.router().into_iter().chain(servers) {
        if address != lease.address && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses.truncate(MAX_WITNESSES);
    addresses
}

impl Client {
    /// INIT-REBOOT: asks everybody at once, the gateways of all networks that are known and the servers of this one.
    pub(super) fn reboot(&mut self, held: Option<Held>, now: Instant) {
        self.known.retain(|known| !known.lease.is_over(now));
        let is_held = |known: &&Known| {
            let held = held.as_ref();
            held.is_some_and(|held| held.lease.network == known.lease.network)
        };
        let latest = self
            .known
            .iter()
            .find(is_held)
            .or_else(|| self.known.first());
        let Some(latest) = latest else {
            if held.is_some() {
                self.withdraw(Trouble::Expired);
            }
            return self.select(None, now);
        };
        let (network, address) = (latest.lease.network.clone(), latest.lease.address);
        let exchange = self.exchange(now);
        self.state = State::Rebooting(Box::new(Reboot {
            exchange,
            network,
            address,
            held,
            stage: Stage::Asking {
                asked: 0,
                next_at: now,
            },
        }));
        self.request_again(now);
        self.ask_witnesses(now);
    }

    /// Asks who gave a lease without end whether it is still so; without an answer it stays as it is.
    pub(super) fn ask_anew(&mut self, held: Held, now: Instant) {
        let exchange = self.exchange(now);
        self.state = State::Rebooting(Box::new(Reboot {
            exchange,
            network: held.lease.network.clone(),
            address: held.lease.address,
            held: Some(held),
            stage: Stage::InPlace,
        }));
        self.request_again(now);
    }

    /// RFC 4436 §2.1: asked by their hardware addresses, so that in another network nobody hears of the address.
    fn ask_witnesses(&mut self, now: Instant) {
        let State::Rebooting(reboot) = &mut self.state else {
            return;
        };
        let Stage::Asking { asked, next_at } = &mut reboot.stage else {
            return;
        };
        let Some(wait) = PATIENCE.get(*asked) else {
            let held = reboot.held.take();
            return self.select(held, now);
        };
        *next_at = now + *wait;
        *asked += 1;
        self.send_questions(|_| true);
    }

    /// Asks the gateways of known networks; returns whether there were any.
    fn send_questions(&mut self, is_meant: impl Fn(&Known) -> bool) -> bool {
        let own = self.setup.mac;
        let meant = self.known.iter().filter(|known| is_meant(known));
        let questions = meant.flat_map(|known| {
            let address = known.lease.address;
            let witnesses = known.witnesses.iter();
            witnesses.map(move |it| (ArpPacket::request(own, address, it.address), it.mac))
        });
        let questions: Vec<_> = questions.collect();
        for (request, neighbour) in &questions {
            self.send_arp(request, *neighbour);
        }
        !questions.is_empty()
    }

    /// Begins to look for servers, and for gateways beside.
    pub(super) fn search(&mut self, held: Option<Held>, now: Instant) -> Search {
        let is_askable = |known: &Known| known.is_askable(now);
        let ask_at = self.known.iter().any(is_askable).then(|| now + LEAST_DOUBT);
        Search {
            exchange: self.exchange(now),
            held,
            ask_at,
            boot: None,
        }
    }

    /// Time has passed in SELECTING.
    pub(super) fn go_on_selecting(&mut self, now: Instant) {
        let State::Selecting(search) = &mut self.state else {
            return;
        };
        let is_due = |at: Instant| at <= now;
        let (asks, discovers) = (
            search.ask_at.is_some_and(is_due),
            is_due(search.exchange.next_at),
        );
        if asks {
            let silent_for = now.since(search.exchange.began_at);
            let wait = (silent_for / DOUBT_PART).clamp(LEAST_DOUBT, LONGEST_DOUBT);
            search.ask_at = Some(now + wait);
            let has_asked = self.send_questions(|known| known.is_askable(now));
            if let State::Selecting(search) = &mut self.state
                && !has_asked
            {
                search.ask_at = None;
            }
        }
        if !discovers {
            return;
        }
        let boot = match &mut self.state {
            State::Selecting(search) => search.boot.take(),
            State::Init { .. }
            | State::Requesting(..)
            | State::InitReboot(_)
            | State::Rebooting(_)
            | State::Bound(_)
            | State::Renewing(..)
            | State::Rebinding(..) => None,
        };
        match boot {
            Some(boot) => self.bind(boot.reply, &boot.message, now),
            None => self.discover(now),
        }
    }

    /// Somebody else has the address that is doubted: it belongs to another place.
    pub(super) fn hear_of_doubted(&mut self, packet: &ArpPacket) {
        let State::Selecting(search) = &mut self.state else {
            return;
        };
        let is_its = |held: &mut Held| held.lease.address == packet.sender_address;
        if packet.sender != self.setup.mac && search.held.take_if(is_its).is_some() {
            self.acd = None;
            self.withdraw(Trouble::OtherNetwork);
        }
    }

    /// Time has passed in REBOOTING.
    pub(super) fn go_on_rebooting(&mut self, now: Instant) {
        let State::Rebooting(reboot) = &mut self.state else {
            return;
        };
        if let Stage::Asking { .. } = reboot.stage {
            return self.ask_witnesses(now);
        }
        if reboot.exchange.sent < MAX_REBOOT_REQUESTS {
            return self.request_again(now);
        }
        // RFC 2131 §3.2: without an answer, the lease may be used for what is left of it.
        match reboot.held.take() {
            Some(held) => self.state = State::Bound(held),
            None => self.select(None, now),
        }
    }

    /// Hears what gateways say.
    pub(super) fn hear_witness(&mut self, packet: &ArpPacket, now: Instant) {
        let heard = Witness {
            address: packet.sender_address,
            mac: packet.sender,
        };
        let is_reply = packet.operation == ArpOperation::Reply && packet.target == self.setup.mac;
        if let Some(query) = &mut self.witness_query
            && is_reply
            && let Some(place) = query.addresses.iter().position(|it| *it == heard.address)
        {
            query.addresses.remove(place);
            if query.addresses.is_empty() {
                self.witness_query = None;
            }
            self.keep_witness(heard);
        }
        // A router that has just started says so to all, unasked.
        let is_meant = |known: &&Known| match &self.state {
            State::Rebooting(reboot) => matches!(reboot.stage, Stage::Asking { .. }),
            State::Selecting(_) => known.is_askable(now),
            State::Init { .. }
            | State::Requesting(..)
            | State::InitReboot(_)
            | State::Bound(_)
            | State::Renewing(..)
            | State::Rebinding(..) => false,
        };
        let mut meant = self.known.iter().filter(is_meant);
        let Some(known) = meant.find(|it| it.witnesses.contains(&heard)) else {
            return;
        };
        let (lease, trust) = (known.lease.clone(), known.trust);
        self.arrive(lease, trust, now);
    }

    /// The link is in the network of this lease.
    fn arrive(&mut self, lease: Lease, trust: Trust, now: Instant) {
        let fresh = self.exchange(now);
        let state = std::mem::replace(&mut self.state, State::Init { until: None });
        let asked = match &state {
            State::Rebooting(reboot) if reboot.network == lease.network => {
                Some(reboot.exchange.clone())
            }
            State::Rebooting(_)
            | State::Selecting(_)
            | State::Init { .. }
            | State::Requesting(..)
            | State::InitReboot(_)
            | State::Bound(_)
            | State::Renewing(..)
            | State::Rebinding(..) => None,
        };
        let is_asked = asked.is_some();
        // A lease that was held here all along needs no probe, whatever the clock was when it was kept.
        let mut held = state.into_held();
        let is_held = |held: &Held| held.lease.network == lease.network;
        let is_held = held.as_ref().is_some_and(is_held);
        let trust = if is_held { Trust::Place } else { trust };
        if !is_held && held.take().is_some() {
            self.withdraw(Trouble::OtherNetwork);
        }
        self.trouble = None;
        self.state = State::Rebooting(Box::new(Reboot {
            exchange: asked.unwrap_or(fresh),
            network: lease.network.clone(),
            address: lease.address,
            held,
            stage: match trust {
                Trust::Place | Trust::Server => Stage::InPlace,
                Trust::Probe => Stage::Probing,
            },
        }));
        let (mac, seed) = (self.setup.mac, self.random.bits());
        match trust {
            Trust::Place => {
                self.acd = Some(Acd::hold(lease.address, mac, seed, now));
                self.use_unconfirmed(lease);
            }
            Trust::Probe => self.acd = Some(Acd::new(lease.address, mac, Pace::QUICK, seed, now)),
            Trust::Server => {}
        }
        if !is_asked {
            self.request_again(now);
        }
    }

    /// Nobody has the address that is probed.
    pub(super) fn use_probed(&mut self, _now: Instant) {
        let State::Rebooting(reboot) = &mut self.state else {
            return;
        };
        if reboot.stage != Stage::Probing {
            return;
        }
        reboot.stage = Stage::InPlace;
        let network = reboot.network.clone();
        let known = self.known.iter().find(|it| it.lease.network == network);
        if let Some(lease) = known.map(|known| known.lease.clone()) {
            self.use_unconfirmed(lease);
        }
    }

    fn use_unconfirmed(&mut self, lease: Lease) {
        self.tell(lease.supply(true));
        if let State::Rebooting(reboot) = &mut self.state {
            reboot.held = Some(Held {
                lease: Box::new(lease),
                unconfirmed: true,
            });
        }
    }

    /// Asks for the hardware addresses of neighbours, when it is time.
    pub(super) fn query_witness(&mut self, now: Instant) {
        let Some(query) = &mut self.witness_query else {
            return;
        };
        if query.next_at > now {
            return;
        }
        if query.asked >= MAX_QUERIES {
            self.witness_query = None;
            return;
        }
        query.asked += 1;
        query.next_at = now + QUERY_INTERVAL;
        let (own, mac) = (query.own, self.setup.mac);
        let requests = query.addresses.iter();
        let requests = requests.map(|address| ArpPacket::request(mac, own, *address));
        for request in requests.collect::<Vec<_>>() {
            self.send_arp(&request, EVERYBODY);
        }
    }

    fn keep_witness(&mut self, witness: Witness) {
        let State::Bound(held) = &self.state else {
            return;
        };
        let lease = held.lease.clone();
        let mut witnesses = self.witnesses_of(&lease);
        if !witnesses.contains(&witness) {
            witnesses.retain(|known| known.address != witness.address);
            witnesses.push(witness);
            self.keep(&lease, witnesses);
        }
    }

    /// Returns the witnesses of a network that is known, as far as the lease still names them.
    pub(super) fn witnesses_of(&self, lease: &Lease) -> Vec<Witness> {
        let mut known = self.known.iter();
        let known = known.find(|it| it.lease.network == lease.network);
        let mut witnesses = known.map_or_else(Vec::new, |known| known.witnesses.clone());
        let named = neighbours(lease);
        witnesses.retain(|witness| named.contains(&witness.address));
        witnesses
    }

    /// Returns the server of a network that is known; `None` for one of BOOTP, which hears nothing but questions.
    pub(super) fn server_of(&self, network: &NetworkId) -> Option<Ipv4Addr> {
        let mut known = self.known.iter();
        let found = known.find(|it| it.lease.network == *network)?;
        (!found.lease.is_by_bootp()).then_some(found.lease.server)
    }

    /// Whether the lease that is being confirmed is one of BOOTP.
    pub(super) fn reboots_by_bootp(&self) -> bool {
        let State::Rebooting(reboot) = &self.state else {
            return false;
        };
        let mut known = self.known.iter();
        known.any(|it| it.lease.network == reboot.network && it.lease.is_by_bootp())
    }

    /// Keeps a network in mind, as the latest.
    pub(super) fn remember(&mut self, lease: &Lease, witnesses: Vec<Witness>) {
        self.known.retain(|it| it.lease.network != lease.network);
        let others = match self.setup.settings.anonymous {
            true => 0,
            false => MAX_KNOWN - 1,
        };
        self.known.truncate(others);
        self.known.insert(
            0,
            Known {
                lease: lease.clone(),
                witnesses,
                trust: Trust::Place,
            },
        );
    }

    /// Forgets a network whose lease is of no use.
    pub(super) fn forget(&mut self, network: &NetworkId) {
        self.known.retain(|it| it.lease.network != *network);
        self.events.push_back(super::Event::Forget(network.clone()));
    }
}
