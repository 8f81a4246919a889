//! Does another machine have this address? [`Acd`]: address conflict detection (RFC 5227), before an address is used and after.
//!
//! ```text
//!   probing ──(nobody objects)──► announcing ──► holding ◄─┐
//!      │ somebody has it              │            │ └─ defended: at most once in DEFEND_INTERVAL
//!      ▼                              ▼            ▼
//!   Conflict                         Lost ◄── conflict again
//! ```
//!
//! Whether the address may be used while it is probed is the owner's decision; [`Event::Clear`] tells when nobody has
//! objected. A holder waits for packets only: it has no timer.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::time::Duration;

use config::matcher::Mac;
use config::time::Instant;

use crate::arp::ArpPacket;
use crate::random::Random;

/// RFC 5227 §1.1.
const ANNOUNCE_NUM: u32 = 2;
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);
/// Conflicts after which a new address is tried once in [`RATE_LIMIT_INTERVAL`] only.
pub const MAX_CONFLICTS: u32 = 10;
/// The least time between addresses then.
pub const RATE_LIMIT_INTERVAL: Duration = Duration::from_secs(60);

/// How neighbours are asked before an address counts as free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// PROBE_WAIT.
    first: RangeInclusive<Duration>,
    /// PROBE_NUM.
    probes: u32,
    /// PROBE_MIN and PROBE_MAX.
    interval: RangeInclusive<Duration>,
    /// ANNOUNCE_WAIT.
    wait: Duration,
}

impl Pace {
    /// As RFC 5227 §1.1 says: for an address that nobody has checked. It takes 4 to 7 seconds.
    pub const CAREFUL: Self = Self {
        first: Duration::ZERO..=Duration::from_secs(1),
        probes: 3,
        interval: Duration::from_secs(1)..=Duration::from_secs(2),
        wait: Duration::from_secs(2),
    };
    /// For an address that a server gives out: it has a record of it, and neighbours of today answer within milliseconds. It
    /// takes 0.6 to 0.8 seconds.
    pub const QUICK: Self = Self {
        first: Duration::ZERO..=Duration::ZERO,
        probes: 3,
        interval: Duration::from_millis(150)..=Duration::from_millis(250),
        wait: Duration::from_millis(300),
    };
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// Nobody objects: the address is announced.
    Clear,
    /// Another machine has the address, or wants it at the same time; it was not announced yet. Nothing more comes.
    Conflict(Mac),
    /// Another machine uses the address, and was told that it is ours.
    Defended(Mac),
    /// Another machine goes on using the address: it must be given up (RFC 5227 §2.4 b). Nothing more comes.
    Lost(Mac),
}

/// The watch over one address.
#[derive(Debug)]
pub struct Acd {
    address: Ipv4Addr,
    mac: Mac,
    pace: Pace,
    phase: Phase,
    defended_at: Option<Instant>,
    random: Random,
    transmits: VecDeque<ArpPacket>,
    events: VecDeque<Event>,
}

/// Where the watch is, with the time of its next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// So many probes were sent.
    Probing { sent: u32, next_at: Instant },
    /// So many announcements were sent.
    Announcing { sent: u32, next_at: Instant },
    /// Packets are listened to.
    Holding,
    /// It is over.
    Over,
}

impl Acd {
    /// Begins to probe an address for a link with this hardware address.
    pub fn new(address: Ipv4Addr, mac: Mac, pace: Pace, seed: u64, now: Instant) -> Self {
        let mut random = Random::new(seed);
        let next_at = now + random.between(*pace.first.start(), *pace.first.end());
        let mut acd = Self {
            address,
            mac,
            pace,
            phase: Phase::Probing { sent: 0, next_at },
            defended_at: None,
            random,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        };
        acd.handle_timeout(now);
        acd
    }

    /// Begins to hold an address that is ours already, without probing.
    pub fn hold(address: Ipv4Addr, mac: Mac, seed: u64, now: Instant) -> Self {
        let mut acd = Self::new(address, mac, Pace::CAREFUL, seed, now);
        acd.transmits.clear();
        acd.phase = Phase::Announcing {
            sent: 0,
            next_at: now,
        };
        acd.handle_timeout(now);
        acd.events.clear();
        acd
    }

    /// Begins to listen for others that have an address that neighbours know already to be ours.
    pub fn watch(address: Ipv4Addr, mac: Mac, seed: u64, now: Instant) -> Self {
        let mut acd = Self::hold(address, mac, seed, now);
        acd.transmits.clear();
        acd.phase = Phase::Holding;
        acd
    }

    /// Returns the address.
    pub const fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Whether everything is to be heard; otherwise packets with our address as sender are enough.
    pub const fn is_probing(&self) -> bool {
        matches!(self.phase, Phase::Probing { .. })
    }

    /// Whether nothing is left but to listen.
    pub const fn is_holding(&self) -> bool {
        matches!(self.phase, Phase::Holding)
    }

    /// Takes an ARP packet that is not of this machine's: the kernel answers for an address by every link, and that is no
    /// conflict.
    pub fn handle_arp(&mut self, packet: &ArpPacket, now: Instant) {
        if packet.sender == self.mac {
            return;
        }
        let uses = packet.sender_address == self.address;
        let wants = packet.is_probe() && packet.target_address == self.address;
        match self.phase {
            // RFC 5227 §2.1.1. Where the address is used while it is probed, the kernel has an answer for who only wants it.
            Phase::Probing { .. } if uses || (wants && self.pace == Pace::CAREFUL) => {
                self.phase = Phase::Over;
                self.events.push_back(Event::Conflict(packet.sender));
            }
            Phase::Announcing { .. } | Phase::Holding if uses => self.defend(packet.sender, now),
            Phase::Probing { .. } | Phase::Announcing { .. } | Phase::Holding | Phase::Over => {}
        }
    }

    /// RFC 5227 §2.4 b.
    fn defend(&mut self, neighbour: Mac, now: Instant) {
        let is_fresh = |at: Instant| now.since(at) < DEFEND_INTERVAL;
        if self.defended_at.is_some_and(is_fresh) {
            self.phase = Phase::Over;
            self.events.push_back(Event::Lost(neighbour));
            return;
        }
        self.defended_at = Some(now);
        self.transmits
            .push_back(ArpPacket::announcement(self.mac, self.address));
        self.events.push_back(Event::Defended(neighbour));
    }

    /// Takes that time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Probing { sent, next_at } if next_at <= now && sent < self.pace.probes => {
                self.transmits
                    .push_back(ArpPacket::probe(self.mac, self.address));
                let sent = sent + 1;
                let wait = match sent < self.pace.probes {
                    true => {
                        let (least, most) =
                            (*self.pace.interval.start(), *self.pace.interval.end());
                        self.random.between(least, most)
                    }
                    false => self.pace.wait,
                };
                self.phase = Phase::Probing {
                    sent,
                    next_at: now + wait,
                };
            }
            Phase::Probing { next_at, .. } if next_at <= now => {
                self.events.push_back(Event::Clear);
                self.announce(0, now);
            }
            Phase::Announcing { sent, next_at } if next_at <= now => self.announce(sent, now),
            Phase::Probing { .. } | Phase::Announcing { .. } | Phase::Holding | Phase::Over => {}
        }
    }

    fn announce(&mut self, sent: u32, now: Instant) {
        self.transmits
            .push_back(ArpPacket::announcement(self.mac, self.address));
        let sent = sent + 1;
        self.phase = match sent < ANNOUNCE_NUM {
            true => Phase::Announcing {
                sent,
                next_at: now + ANNOUNCE_INTERVAL,
            },
            false => Phase::Holding,
        };
    }

    /// Returns the next packet to send to everybody.
    pub fn poll_transmit(&mut self) -> Option<ArpPacket> {
        self.transmits.pop_front()
    }

    /// Returns the next thing found.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns when [`Self::handle_timeout`] is due; `None` while only packets matter.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Probing { next_at, .. } | Phase::Announcing { next_at, .. } => Some(next_at),
            Phase::Holding | Phase::Over => None,
        }
    }
}

#[cfg(test)]
mod tests;
