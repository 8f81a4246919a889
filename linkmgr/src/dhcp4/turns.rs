//! What follows when something has happened to a DHCPv4 client? The edges between its states (RFC 2131 figure 5), and what is
//! told of them.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use config::matcher::Mac;
use config::model::BootpUse;
use config::time::Instant;
use policy::facts::Supply;

use super::client::Client;
use super::lease::Lease;
use super::options::{code, is_host};
use super::reattach::{Boot, WitnessQuery};
use super::remembered::{Remembered, Witness};
use super::send::FIRST_WAIT;
use super::state::{Held, State};
use super::wire::{Reply, ReplyKind};
use super::{Event, Trouble};
use crate::acd::{self, Acd, Pace};
use crate::arp::{ArpPacket, EVERYBODY};
use crate::offered::without_names;

/// The least wait after a DECLINE (RFC 2131 §3.1 step 5).
const DECLINE_WAIT: Duration = Duration::from_secs(10);
/// The longest wait between a NAK and the next DISCOVER; the first goes at once.
const MAX_NAK_WAIT: Duration = Duration::from_secs(64);
/// DISCOVERs without an offer after which the network counts as silent: about twelve seconds.
const SILENT_AFTER: u32 = 3;
/// MIN_V6ONLY_WAIT (RFC 8925 §3.4).
const MIN_V6ONLY_WAIT: Duration = Duration::from_secs(300);
/// Conflicts after which a client that does not go by its hardware address takes itself for a copy.
const CLONE_AFTER: u32 = 2;
/// How long all is well until conflicts are forgotten. A copy shows when it comes, or when either of both asks for more time; a lease of
/// a day is prolonged within half of it.
const WELL: Duration = Duration::from_secs(86_400);

impl Client {
    /// The link is in a network, maybe in one that is known.
    pub(super) fn attach(&mut self, now: Instant) {
        if self.rests {
            return;
        }
        self.naks = 0;
        self.conflicts = 0;
        self.boot_conflicts = 0;
        self.well_since = None;
        self.begin(now);
        let state = std::mem::replace(&mut self.state, State::Init { until: None });
        self.reboot(state.into_held(), now);
    }

    /// The link is in no network. Who is anonymous has been in none (RFC 7844 §3.3): wherever the link is next, nobody there hears of an
    /// address or a gateway of before.
    pub(super) fn detach(&mut self) {
        self.acd = None;
        self.witness_query = None;
        self.transmits.clear();
        let state = std::mem::replace(&mut self.state, State::Init { until: None });
        let held = state.into_held().map(|held| Held {
            unconfirmed: true,
            ..held
        });
        if self.setup.settings.anonymous {
            self.known.clear();
            if self.told.is_some() {
                self.withdraw(Trouble::Forgotten);
            }
            return;
        }
        match &held {
            Some(held) => self.tell(without_names(held.lease.supply(true))),
            None if self.told.is_some() => self.withdraw(Trouble::OtherNetwork),
            None => {}
        }
        if held.is_some() || !self.known.is_empty() {
            self.state = State::InitReboot(held);
        }
    }

    /// Looks for servers (INIT to SELECTING).
    ///
    /// A lease of before that nobody has confirmed or denied here is kept for what is left of it (RFC 2131 §3.2): its addresses
    /// and routes without its names, and behind those of links that are known to lead somewhere.
    pub(super) fn select(&mut self, held: Option<Held>, now: Instant) {
        self.acd = None;
        self.witness_query = None;
        if let Some(held) = &held {
            let (address, mac, seed) = (held.lease.address, self.setup.mac, self.random.bits());
            // Whoever has it here has it rightly.
            self.acd = Some(Acd::new(address, mac, Pace::QUICK, seed, now));
            let supply = Supply {
                doubted: true,
                ..without_names(held.lease.supply(true))
            };
            if self.trouble != Some(Trouble::Unanswered) {
                self.trouble = Some(Trouble::Unanswered);
                self.events.push_back(Event::Noted(Trouble::Unanswered));
            }
            self.tell(supply);
        }
        self.state = State::Selecting(self.search(held, now));
        self.discover(now);
        self.drain_acd(now);
    }

    pub(super) fn discover(&mut self, now: Instant) {
        self.send_discover(now);
        let State::Selecting(search) = &self.state else {
            return;
        };
        if search.exchange.sent < SILENT_AFTER {
            return;
        }
        let is_kept = search.held.is_some();
        if !self.told_silent {
            self.told_silent = true;
            self.events.push_back(Event::Silent);
        }
        // A supply of nothing: asked in vain, which is not the same as not asked.
        if !is_kept {
            self.tell(Supply::default());
        }
    }

    /// The first offer is taken: every server that answers gives addresses of its network, and waiting for more would cost each
    /// start what it might save one.
    pub(super) fn take_offer(&mut self, offer: Reply, now: Instant) {
        if !is_host(offer.address) {
            return;
        }
        if self.prefers_ipv6(&offer) {
            return self.do_without(&offer, now);
        }
        let exchange = self.exchange(now);
        let state = std::mem::replace(&mut self.state, State::Init { until: None });
        self.acd = Some(Acd::new(
            offer.address,
            self.setup.mac,
            Pace::QUICK,
            self.random.bits(),
            now,
        ));
        self.state = State::Requesting(exchange, Box::new(offer), state.into_held());
        self.request_offer(now);
        self.drain_acd(now);
    }

    /// A BOOTP server has answered. Its address is without end, and nobody can be asked to prolong it, so DHCP servers go first
    /// (RFC 1534 §3): they have as long as for the first question. Neighbours are asked for the address meanwhile, since its
    /// server cannot be told that somebody has it and would give no other one.
    pub(super) fn take_boot(&mut self, reply: Reply, message: &[u8], now: Instant) {
        if !is_host(reply.address) {
            return;
        }
        let is_only = self.setup.settings.bootp == BootpUse::Only;
        let is_taken = match &self.state {
            State::Selecting(_) if is_only && self.boot_conflicts == 0 => true,
            State::Selecting(_) => return self.hold_boot(reply, message, now),
            // The lease that is asked for tells whose word counts; and in another network DHCP servers go first.
            State::Rebooting(reboot) => {
                let is_same = reply.address == reboot.address || reboot.is_in_place();
                is_only || (is_same && self.reboots_by_bootp())
            }
            State::Init { .. }
            | State::Requesting(..)
            | State::InitReboot(_)
            | State::Bound(_)
            | State::Renewing(..)
            | State::Rebinding(..) => false,
        };
        if is_taken {
            self.bind(reply, message, now);
        }
    }

    /// SELECTING: keeps the first answer of a BOOTP server until DHCP servers have had their time.
    fn hold_boot(&mut self, reply: Reply, message: &[u8], now: Instant) {
        let State::Selecting(search) = &mut self.state else {
            return;
        };
        if search.boot.is_some() {
            return;
        }
        let address = reply.address;
        let message = message.into();
        search.boot = Some(Box::new(Boot { reply, message }));
        search.exchange.next_at = now + FIRST_WAIT;
        // A lease that is doubted is on the link: whether somebody has that is asked first.
        let is_free = search.held.is_none() || self.acd.is_none();
        if is_free {
            let (mac, seed) = (self.setup.mac, self.random.bits());
            self.acd = Some(Acd::new(address, mac, Pace::QUICK, seed, now));
            self.drain_acd(now);
        }
    }

    /// Another machine has the address that a BOOTP server gives: it is not put on the link.
    fn drop_boot(&mut self, address: Ipv4Addr, neighbour: Mac, now: Instant) {
        let State::Selecting(search) = &mut self.state else {
            return;
        };
        let is_its = |boot: &mut Box<Boot>| boot.reply.address == address;
        if search.boot.take_if(is_its).is_none() {
            return;
        }
        self.acd = None;
        self.count_conflict(true, now);
        let wait = wait_after(self.conflicts + self.boot_conflicts);
        if let State::Selecting(search) = &mut self.state {
            search.exchange.next_at = now + wait;
        }
        let trouble = Trouble::Conflict { address, neighbour };
        if self.trouble.as_ref() != Some(&trouble) {
            self.trouble = Some(trouble.clone());
            self.events.push_back(Event::Noted(trouble));
        }
    }

    fn prefers_ipv6(&self, reply: &Reply) -> bool {
        // Of BOOTP nobody has asked for it (RFC 8925 §3.2).
        let is_of_dhcp = reply.kind != ReplyKind::Boot;
        is_of_dhcp && self.setup.settings.ipv6_only && reply.options.ipv6_only().is_some()
    }

    /// RFC 8925 §3.2: IPv4 is left alone for as long as the network says.
    fn do_without(&mut self, reply: &Reply, now: Instant) {
        let seconds = reply.options.ipv6_only().unwrap_or_default();
        let wait = Duration::from_secs(seconds.into()).max(MIN_V6ONLY_WAIT);
        self.acd = None;
        self.witness_query = None;
        self.state = State::Init {
            until: Some(now + wait),
        };
        self.tell(Supply {
            ipv6_only: true,
            ..Supply::default()
        });
        self.trouble = Some(Trouble::Ipv6Only);
    }

    /// A server has given, confirmed or prolonged a lease.
    pub(super) fn bind(&mut self, reply: Reply, message: &[u8], now: Instant) {
        if self.prefers_ipv6(&reply) {
            return self.do_without(&reply, now);
        }
        let requested_at = self
            .state
            .exchange()
            .map_or(now, |exchange| exchange.began_at);
        let kind = Arc::clone(&self.setup.kind);
        let lease = Lease::new(reply, message, &kind, &mut self.random, requested_at);
        let Some(lease) = lease.filter(|lease| !lease.is_over(now)) else {
            return;
        };
        let witnesses = self.witnesses_of(&lease);
        // The gateway of another network may have the same address: it counts as known only when it has answered here.
        let was_in_place = match &self.state {
            State::Rebooting(reboot) => Some(reboot.is_in_place()),
            State::Selecting(_) | State::Requesting(..) => Some(false),
            State::Init { .. }
            | State::InitReboot(_)
            | State::Bound(_)
            | State::Renewing(..)
            | State::Rebinding(..) => None,
        };
        let is_held = self
            .state
            .held()
            .is_some_and(|held| held.lease.address == lease.address);
        let is_watched = self
            .acd
            .as_ref()
            .is_some_and(|acd| acd.address() == lease.address);
        if !is_watched {
            let (address, mac, seed) = (lease.address, self.setup.mac, self.random.bits());
            self.acd = Some(match is_held {
                true => Acd::hold(address, mac, seed, now),
                false => Acd::new(address, mac, Pace::QUICK, seed, now),
            });
        }
        // Whoever is known needs no second question; with each renewal nobody is asked for who is known to be silent.
        let is_known = !witnesses.is_empty() && was_in_place.unwrap_or(is_held);
        self.witness_query = match (is_known, was_in_place) {
            (true, None) => None,
            (true, Some(_)) => WitnessQuery::new(&lease, &witnesses, now),
            (false, _) => WitnessQuery::new(&lease, &[], now),
        };
        self.naks = 0;
        self.well_since.get_or_insert(now);
        self.told_silent = false;
        self.trouble = None;
        self.tell(lease.supply(false));
        self.keep(&lease, witnesses);
        self.state = State::Bound(Held {
            lease: Box::new(lease),
            unconfirmed: false,
        });
        self.query_witness(now);
        self.drain_acd(now);
    }

    /// A server has said NAK.
    pub(super) fn refused(&mut self, reply: &Reply, now: Instant) {
        let trouble = Trouble::Nak(reply.options.text(code::MESSAGE));
        let state = std::mem::replace(&mut self.state, State::Init { until: None });
        match &state {
            // In another network the lease of this one was asked for in vain, and is good for the next time here.
            State::Rebooting(reboot) if !reboot.is_in_place() => {}
            State::Rebooting(reboot) => self.forget(&reboot.network.clone()),
            // It speaks of its offer.
            State::Init { .. } | State::Selecting(_) | State::Requesting(..) => {}
            State::InitReboot(_) | State::Bound(_) | State::Renewing(..) | State::Rebinding(..) => {
                if let Some(held) = state.held() {
                    self.forget(&held.lease.network.clone());
                }
            }
        }
        self.withdraw(trouble);
        self.acd = None;
        self.witness_query = None;
        self.naks += 1;
        if self.naks == 1 {
            return self.select(None, now);
        }
        let wait = Duration::from_secs(1 << self.naks.min(6)).min(MAX_NAK_WAIT);
        self.state = State::Init {
            until: Some(now + self.random.around(wait, wait / 4)),
        };
    }

    pub(super) fn expire(&mut self, now: Instant) {
        if let Some(held) = self.state.held() {
            self.forget(&held.lease.network.clone());
        }
        self.withdraw(Trouble::Expired);
        self.acd = None;
        self.witness_query = None;
        if self.has_carrier {
            self.begin(now);
            return self.select(None, now);
        }
        self.state = match self.known.is_empty() {
            true => State::Init { until: None },
            false => State::InitReboot(None),
        };
    }

    pub(super) fn drain_acd(&mut self, now: Instant) {
        let Some(acd) = &mut self.acd else {
            return;
        };
        let packets = std::iter::from_fn(|| acd.poll_transmit());
        // A lease that is doubted is not announced, and not defended.
        let is_doubted = matches!(&self.state, State::Selecting(_));
        let packets = packets.filter(|packet| !is_doubted || packet.is_probe());
        let packets: Vec<ArpPacket> = packets.collect();
        let events = std::iter::from_fn(|| acd.poll_event());
        let events: Vec<acd::Event> = events.collect();
        let address = acd.address();
        for packet in packets {
            self.send_arp(&packet, EVERYBODY);
        }
        for event in events {
            match event {
                acd::Event::Clear if is_doubted => self.acd = None,
                acd::Event::Clear => self.use_probed(now),
                acd::Event::Defended(neighbour) => self
                    .events
                    .push_back(Event::Noted(Trouble::Conflict { address, neighbour })),
                // Whoever listens has heard of it.
                acd::Event::Conflict(neighbour) | acd::Event::Lost(neighbour) if is_doubted => {
                    self.drop_boot(address, neighbour, now);
                }
                acd::Event::Conflict(neighbour) | acd::Event::Lost(neighbour) => {
                    self.give_up(address, neighbour, now);
                }
            }
        }
    }

    /// Another machine has the address (RFC 2131 §3.1 step 5): the server hears of it, and a new one is looked for later.
    fn give_up(&mut self, address: Ipv4Addr, neighbour: Mac, now: Instant) {
        let is_by_bootp = match &self.state {
            State::Bound(held) | State::Renewing(held, _) | State::Rebinding(held, _) => {
                held.lease.is_by_bootp()
            }
            // While its address is probed it is not on the link.
            State::Rebooting(_) => self.reboots_by_bootp(),
            // Offers are of DHCP, whatever lease is on the link meanwhile.
            State::Requesting(..)
            | State::Init { .. }
            | State::Selecting(_)
            | State::InitReboot(_) => false,
        };
        let (server, network) = match &self.state {
            State::Requesting(_, offer, _) => (Some(offer.server), None),
            State::Rebooting(reboot) => (
                self.server_of(&reboot.network),
                Some(reboot.network.clone()),
            ),
            State::Bound(held) | State::Renewing(held, _) | State::Rebinding(held, _) => {
                let server = (!is_by_bootp).then_some(held.lease.server);
                (server, Some(held.lease.network.clone()))
            }
            State::Init { .. } | State::Selecting(_) | State::InitReboot(_) => (None, None),
        };
        self.count_conflict(is_by_bootp, now);
        if let Some(server) = server {
            self.send_decline(address, server, now);
        }
        if let Some(network) = network {
            self.forget(&network);
        }
        let is_copy = !is_by_bootp && self.conflicts >= CLONE_AFTER && self.call_by_mac();
        self.withdraw(match is_copy {
            true => Trouble::Clone { address, neighbour },
            false => Trouble::Conflict { address, neighbour },
        });
        self.acd = None;
        self.witness_query = None;
        self.state = State::Init {
            until: Some(now + wait_after(self.conflicts + self.boot_conflicts)),
        };
    }

    /// Counts a conflict with those of before, unless all went well since.
    fn count_conflict(&mut self, is_by_bootp: bool, now: Instant) {
        let since = self.well_since.take();
        if since.is_some_and(|since| now.since(since) > WELL) {
            (self.conflicts, self.boot_conflicts) = (0, 0);
        }
        match is_by_bootp {
            true => self.boot_conflicts += 1,
            false => self.conflicts += 1,
        }
    }

    pub(super) fn begin(&mut self, now: Instant) {
        self.began_at = now;
    }

    /// Tells what is supplied, unless it has been told.
    pub(super) fn tell(&mut self, supply: Supply) {
        if self.told.as_ref() != Some(&supply) {
            self.told = Some(supply.clone());
            self.events.push_back(Event::Supplied(Box::new(supply)));
        }
    }

    /// Tells that nothing is supplied any more, and why.
    pub(super) fn withdraw(&mut self, trouble: Trouble) {
        self.trouble = Some(trouble.clone());
        self.events.push_back(match self.told.take() {
            Some(_) => Event::Withdrawn(trouble),
            None => Event::Noted(trouble),
        });
    }

    /// Tells what is to be kept.
    pub(super) fn keep(&mut self, lease: &Lease, witnesses: Vec<Witness>) {
        self.remember(lease, witnesses.clone());
        self.events.push_back(Event::Keep(Box::new(Remembered {
            network: lease.network.clone(),
            message: Arc::clone(&lease.message),
            witnesses,
            acquired_at: lease.acquired_at,
        })));
    }
}

/// How long it is after a conflict until servers are asked again (RFC 2131 §3.1 step 5, RFC 5227 §2.1.1).
const fn wait_after(conflicts: u32) -> Duration {
    match conflicts > acd::MAX_CONFLICTS {
        true => acd::RATE_LIMIT_INTERVAL,
        false => DECLINE_WAIT,
    }
}
