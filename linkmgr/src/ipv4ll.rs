//! How does a link get an IPv4 address when nobody gives one? [`Client`]: link-local addresses (RFC 3927), chosen by ourselves and
//! probed for before they are used.
//!
//! The first choice follows from the hardware address, so that a machine has the same one each time (RFC 3927 §2.1). A
//! carrier that comes back is another network, maybe: the address is probed for anew. No port is needed but ARP.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use config::matcher::Mac;
use config::model::Prefix;
use config::time::Instant;
use policy::facts::{SuppliedAddress, Supply};

use crate::acd::{self, Acd, Pace};
use crate::arp::ArpPacket;
use crate::random::Random;

/// 169.254/16, of which the first and the last 256 are kept back (RFC 3927 §2.1).
const NETWORK: Ipv4Addr = Ipv4Addr::new(169, 254, 0, 0);
const LENGTH: u8 = 16;
const KEPT_BACK: u32 = 256;
const CHOICES: u32 = 65536 - 2 * KEPT_BACK;

/// What the client tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// This address is ours.
    Supplied(Box<Supply>),
    /// None is.
    Withdrawn,
    /// Another machine has an address that was wanted or used.
    Conflict {
        /// The address.
        address: Ipv4Addr,
        /// The other machine.
        neighbour: Mac,
    },
}

/// A link-local address of one link. It needs an ARP socket that hears everything while [`Self::is_probing`], and conflicts with
/// [`Self::address`] afterwards.
#[derive(Debug)]
pub struct Client {
    mac: Mac,
    random: Random,
    has_carrier: bool,
    /// The address that is wanted or used; the same again after the carrier went.
    address: Ipv4Addr,
    stage: Stage,
    /// Conflicts since the search for an address began.
    conflicts: u32,
    is_told: bool,
    events: VecDeque<Event>,
}

#[derive(Debug)]
enum Stage {
    /// Without carrier.
    Idle,
    /// The address is probed for, or held.
    Watching(Box<Acd>),
    /// Too many conflicts: until then.
    Waiting(Instant),
}

impl Client {
    /// Makes a client that waits for [`Self::handle_carrier`].
    pub fn new(mac: Mac, seed: u64) -> Self {
        let [a, b, c, d, e, f] = mac.0;
        let mut by_mac = Random::new(u64::from_be_bytes([0, 0, a, b, c, d, e, f]));
        Self {
            mac,
            address: choose(&mut by_mac),
            random: Random::new(seed),
            has_carrier: false,
            stage: Stage::Idle,
            conflicts: 0,
            is_told: false,
            events: VecDeque::new(),
        }
    }

    /// Takes that the link got or lost its carrier.
    pub fn handle_carrier(&mut self, has_carrier: bool, now: Instant) {
        if has_carrier == self.has_carrier {
            return;
        }
        self.has_carrier = has_carrier;
        self.conflicts = 0;
        if has_carrier {
            return self.probe(now);
        }
        self.stage = Stage::Idle;
        self.withdraw();
    }

    /// Takes that the machine was asleep: somebody may have taken the address meanwhile, or the link be in another place (RFC 3927
    /// §2.2).
    pub fn handle_resume(&mut self, now: Instant) {
        if self.has_carrier {
            self.handle_carrier(false, now);
            self.handle_carrier(true, now);
        }
    }

    /// Takes an ARP packet, as [`Acd::handle_arp`] wants it.
    pub fn handle_packet(&mut self, octets: &[u8], now: Instant) {
        if let (Stage::Watching(acd), Some(packet)) = (&mut self.stage, ArpPacket::parse(octets)) {
            acd.handle_arp(&packet, now);
            self.drain(now);
        }
    }

    /// Takes that time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.stage {
            Stage::Idle => {}
            Stage::Watching(acd) => {
                acd.handle_timeout(now);
                self.drain(now);
            }
            Stage::Waiting(until) if *until <= now => self.probe(now),
            Stage::Waiting(_) => {}
        }
    }

    /// Returns the next ARP packet to send, to everybody.
    pub fn poll_transmit(&mut self) -> Option<ArpPacket> {
        match &mut self.stage {
            Stage::Watching(acd) => acd.poll_transmit(),
            Stage::Idle | Stage::Waiting(_) => None,
        }
    }

    /// Returns the next thing to tell.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns when [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Idle => None,
            Stage::Watching(acd) => acd.poll_timeout(),
            Stage::Waiting(until) => Some(*until),
        }
    }

    /// Whether the address is supplied.
    pub const fn supplies(&self) -> bool {
        self.is_told
    }

    /// Returns the address that is probed for or held; `None` when there is none.
    pub fn address(&self) -> Option<Ipv4Addr> {
        matches!(self.stage, Stage::Watching(_)).then_some(self.address)
    }

    /// Whether every ARP packet matters.
    pub fn is_probing(&self) -> bool {
        matches!(&self.stage, Stage::Watching(acd) if acd.is_probing())
    }

    fn probe(&mut self, now: Instant) {
        let seed = self.random.bits();
        let acd = Acd::new(self.address, self.mac, Pace::CAREFUL, seed, now);
        self.stage = Stage::Watching(Box::new(acd));
        self.drain(now);
    }

    fn drain(&mut self, now: Instant) {
        let Stage::Watching(acd) = &mut self.stage else {
            return;
        };
        let Some(event) = acd.poll_event() else {
            return;
        };
        match event {
            acd::Event::Clear => {
                self.is_told = true;
                // RFC 3927 §2.2.1 counts those of one search.
                self.conflicts = 0;
                let supply = supply(self.address);
                self.events.push_back(Event::Supplied(Box::new(supply)));
            }
            acd::Event::Defended(neighbour) => self.events.push_back(Event::Conflict {
                address: self.address,
                neighbour,
            }),
            acd::Event::Conflict(neighbour) | acd::Event::Lost(neighbour) => {
                self.events.push_back(Event::Conflict {
                    address: self.address,
                    neighbour,
                });
                self.withdraw();
                self.conflicts += 1;
                self.address = choose(&mut self.random);
                // RFC 3927 §2.2.1.
                if self.conflicts > acd::MAX_CONFLICTS {
                    self.stage = Stage::Waiting(now + acd::RATE_LIMIT_INTERVAL);
                } else {
                    self.probe(now);
                }
            }
        }
    }

    fn withdraw(&mut self) {
        if std::mem::take(&mut self.is_told) {
            self.events.push_back(Event::Withdrawn);
        }
    }
}

fn choose(random: &mut Random) -> Ipv4Addr {
    let spread = Duration::from_nanos(u64::from(CHOICES - 1));
    let offset = random.between(Duration::ZERO, spread).as_nanos();
    let offset = u32::try_from(offset).unwrap_or_default();
    Ipv4Addr::from_bits(NETWORK.to_bits() + KEPT_BACK + offset)
}

/// RFC 3927 §2.6: the whole prefix is on the link, nothing is behind a router.
fn supply(address: Ipv4Addr) -> Supply {
    Supply {
        addresses: vec![SuppliedAddress {
            prefix: Prefix {
                address: IpAddr::V4(address),
                length: LENGTH,
            },
            preferred_until: None,
            valid_until: None,
            temporaries: false,
        }],
        ..Supply::default()
    }
}

#[cfg(test)]
mod tests;
