//! Does another machine have a static address of this link? [`Watches`]: neighbours are told, asked and listened to as the profile
//! says of each address (RFC 5227).
//!
//! ```text
//!             ┌──────────────── carrier lost ◄── any
//!             ▼
//!   resting ──► waiting ──(a turn)──► acting ──(nobody objects, no watch)──► resting
//!      │           ▲                    │
//!      └──► pausing┴──(a conflict)──────┘
//! ```
//!
//! Where ARP is not to be had, what acts waits until it is: silence says nothing then.
//!
//! An address that is used only when nobody has it ([`ConflictUse::yields`]) is asked for before it is there, all others once they
//! are. What was there before the watch began is neither asked for nor told of. Whether an address comes or goes is decided by who
//! hears [`Standing`]s.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use config::matcher::Mac;
use config::model::ConflictUse;
use config::time::Instant;

use crate::acd::{self, Acd, Pace};
use crate::arp::ArpPacket;
use crate::dhcp4::ArpFilter;
use crate::random::Random;

/// How soon an address that somebody has is asked for again, the first [`acd::MAX_CONFLICTS`] times: whoever pulls the wrong
/// cable out sees it work.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// The same where two may have begun together, and each have kept the other from it: so far apart at random that one of them has the
/// address before the other asks again (RFC 5227 §1.1 lets it take 7 seconds).
const APART: RangeInclusive<Duration> = RETRY_INTERVAL..=Duration::from_secs(40);

/// How long an address is there before neighbours are asked beside its use: nobody waits for them, and what else links need
/// comes first when many come up together. Within PROBE_WAIT (RFC 5227 §1.1).
const SETTLING: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_millis(950);

/// At whole ones of these it ends, so that a thousand links do not wake the processor a thousand times.
const SETTLED: Duration = Duration::from_millis(50);

/// What was found of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is known, or not any more.
    Unknown,
    /// Nobody else has it.
    Free,
    /// Nobody can be asked, nor heard.
    Unasked,
    /// This machine has it.
    Conflict(Mac),
}

/// What there is to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Something was found of an address.
    Found(Ipv4Addr, Standing),
    /// Somebody used an address, and was told that it is ours.
    Defended(Ipv4Addr, Mac),
}

/// The watches over the static addresses of one link that has ARP. The driving order is: one `apply` or `handle_…`,
/// [`Self::grant`] when it [`Self::wants_turn`], then `poll_…`.
#[derive(Debug)]
pub struct Watches {
    mac: Mac,
    has_carrier: bool,
    /// Whether ARP is not to be had.
    is_deaf: bool,
    watch_by_address: BTreeMap<Ipv4Addr, Watch>,
    random: Random,
    transmits: VecDeque<ArpPacket>,
    events: VecDeque<Event>,
}

#[derive(Debug)]
struct Watch {
    conflict_use: ConflictUse,
    /// Whether the link has the address.
    is_there: bool,
    stage: Stage,
    found: Standing,
    /// Conflicts since the carrier came.
    conflicts: u32,
}

#[derive(Debug)]
enum Stage {
    /// There is nothing to do.
    Resting,
    /// It is to be asked for or told of as soon as it is the link's turn.
    Waiting,
    /// Somebody is asked, told or listened to.
    Acting(Box<Acd>),
    /// Until then nobody is asked: somebody else has it, or it has come just now.
    Pausing { until: Instant },
    /// Somebody is to be asked or listened to, and ARP is not to be had.
    Deaf,
}

impl Watches {
    /// Makes a set without any address.
    pub fn new(mac: Mac, has_carrier: bool, seed: u64) -> Self {
        Self {
            mac,
            has_carrier,
            is_deaf: false,
            watch_by_address: BTreeMap::new(),
            random: Random::new(seed),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Takes what is to be done about which addresses, and which of them are on the link.
    pub fn apply(
        &mut self,
        wanted: &BTreeMap<Ipv4Addr, ConflictUse>,
        there: &[Ipv4Addr],
        now: Instant,
    ) {
        let events = &mut self.events;
        self.watch_by_address.retain(|address, watch| {
            let stays = wanted.get(address) == Some(&watch.conflict_use);
            if !stays && watch.found != Standing::Unknown {
                events.push_back(Event::Found(*address, Standing::Unknown));
            }
            stays
        });
        for (address, conflict_use) in wanted {
            let is_there = there.contains(address);
            if let Some(watch) = self.watch_by_address.get_mut(address) {
                if watch.is_there != is_there {
                    watch.is_there = is_there;
                    self.turned(*address, now);
                }
                continue;
            }
            let yields = conflict_use.yields();
            let stage = if !self.has_carrier {
                Stage::Resting
            } else if is_there && conflict_use.watches() {
                let seed = self.random.bits();
                Stage::Acting(Box::new(Acd::watch(*address, self.mac, seed, now)))
            } else if yields && !is_there {
                Stage::Waiting
            } else {
                Stage::Resting
            };
            let watch = Watch {
                conflict_use: *conflict_use,
                is_there,
                stage,
                found: Standing::Unknown,
                conflicts: 0,
            };
            self.watch_by_address.insert(*address, watch);
        }
        self.fall_deaf();
    }

    /// Follows that an address came or went.
    fn turned(&mut self, address: Ipv4Addr, now: Instant) {
        let seed = self.random.bits();
        let Some(watch) = self.watch_by_address.get_mut(&address) else {
            return;
        };
        let is_acting = matches!(watch.stage, Stage::Acting(_));
        match (watch.conflict_use.yields(), watch.is_there) {
            _ if !self.has_carrier => {}
            // It was asked for before it came; or somebody has put it there.
            (true, true) if is_acting && watch.found == Standing::Free => {}
            (true, true) => {
                watch.stage = Stage::Acting(Box::new(Acd::watch(address, self.mac, seed, now)));
            }
            // It has to be free again before it comes again; who has it is known.
            (true, false) => match watch.found {
                Standing::Conflict(_) => {}
                Standing::Free | Standing::Unasked | Standing::Unknown => {
                    watch.stage = Stage::Waiting;
                    self.found(address, Standing::Unknown);
                }
            },
            (false, true) => watch.stage = pause(&mut self.random, now),
            (false, false) => {
                watch.stage = Stage::Resting;
                self.found(address, Standing::Unknown);
            }
        }
    }

    /// Takes what hardware address the link has, and whether it has a carrier: where it leads with another is another place,
    /// maybe.
    pub fn handle_link(&mut self, mac: Mac, has_carrier: bool, now: Instant) {
        if (self.mac, self.has_carrier) != (mac, has_carrier) {
            (self.mac, self.has_carrier) = (mac, has_carrier);
            self.begin_anew(now);
        }
    }

    /// Takes whether ARP is not to be had. Silence says nothing then: whoever is asked is asked anew when it is.
    pub fn handle_deaf(&mut self, is_deaf: bool, now: Instant) {
        if std::mem::replace(&mut self.is_deaf, is_deaf) == is_deaf {
            return;
        }
        if is_deaf {
            return self.fall_deaf();
        }
        for watch in self.watch_by_address.values_mut() {
            if matches!(watch.stage, Stage::Deaf) {
                watch.stage = match watch.is_there {
                    true => pause(&mut self.random, now),
                    false => Stage::Waiting,
                };
            }
        }
    }

    /// Leaves off what cannot be done without ARP.
    fn fall_deaf(&mut self) {
        if !self.is_deaf {
            return;
        }
        self.transmits.clear();
        for (address, watch) in &mut self.watch_by_address {
            if !matches!(watch.stage, Stage::Acting(_)) {
                continue;
            }
            watch.stage = Stage::Deaf;
            if watch.found != Standing::Unasked {
                watch.found = Standing::Unasked;
                let event = Event::Found(*address, Standing::Unasked);
                self.events.push_back(event);
            }
        }
    }

    /// Takes that the machine was asleep.
    pub fn handle_resume(&mut self, now: Instant) {
        if self.has_carrier {
            self.begin_anew(now);
        }
    }

    fn begin_anew(&mut self, now: Instant) {
        for (address, watch) in &mut self.watch_by_address {
            watch.conflicts = 0;
            let yields = watch.conflict_use.yields();
            watch.stage = match (self.has_carrier, watch.is_there) {
                (true, false) if yields => Stage::Waiting,
                (true, true) => pause(&mut self.random, now),
                (true | false, _) => Stage::Resting,
            };
            // What is there stays until somebody objects.
            if watch.found != Standing::Unknown
                && !(watch.is_there && watch.found == Standing::Free)
            {
                watch.found = Standing::Unknown;
                self.events
                    .push_back(Event::Found(*address, Standing::Unknown));
            }
        }
    }

    /// Whether something waits for [`Self::grant`].
    pub fn wants_turn(&self) -> bool {
        let mut watches = self.watch_by_address.values();
        watches.any(|watch| matches!(watch.stage, Stage::Waiting))
    }

    /// Whether it is this link's turn still: somebody is being asked or told.
    pub fn has_turn(&self) -> bool {
        let mut watches = self.watch_by_address.values();
        watches.any(|watch| matches!(&watch.stage, Stage::Acting(acd) if !acd.is_holding()))
    }

    /// Begins what waits.
    pub fn grant(&mut self, now: Instant) {
        for (address, watch) in &mut self.watch_by_address {
            if !matches!(watch.stage, Stage::Waiting) {
                continue;
            }
            let seed = self.random.bits();
            // Beside its use the kernel has an answer for who asks at the same time.
            let pace = match watch.conflict_use {
                ConflictUse::ProbeCarefully if !watch.is_there => Pace::CAREFUL,
                ConflictUse::Ignore
                | ConflictUse::Announce
                | ConflictUse::Check
                | ConflictUse::Watch
                | ConflictUse::Probe
                | ConflictUse::ProbeCarefully => Pace::QUICK,
            };
            // Whoever is known to have it is not told again and again.
            let acd = match watch.conflict_use.asks() || watch.conflicts > 0 {
                true => Acd::new(*address, self.mac, pace, seed, now),
                false => Acd::hold(*address, self.mac, seed, now),
            };
            watch.stage = Stage::Acting(Box::new(acd));
        }
        self.fall_deaf();
        self.drain(now);
    }

    /// Takes an ARP packet, as [`Acd::handle_arp`] wants it.
    pub fn handle_packet(&mut self, octets: &[u8], now: Instant) {
        let Some(packet) = ArpPacket::parse(octets) else {
            return;
        };
        for watch in self.watch_by_address.values_mut() {
            if let Stage::Acting(acd) = &mut watch.stage {
                acd.handle_arp(&packet, now);
            }
        }
        self.drain(now);
    }

    /// Takes that time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        for watch in self.watch_by_address.values_mut() {
            match &mut watch.stage {
                Stage::Acting(acd) => acd.handle_timeout(now),
                Stage::Pausing { until } if *until <= now => watch.stage = Stage::Waiting,
                Stage::Pausing { .. } | Stage::Resting | Stage::Waiting | Stage::Deaf => {}
            }
        }
        self.drain(now);
    }

    fn drain(&mut self, now: Instant) {
        let mut standings = Vec::new();
        let random = &mut self.random;
        for (address, watch) in &mut self.watch_by_address {
            let Stage::Acting(acd) = &mut watch.stage else {
                continue;
            };
            self.transmits
                .extend(std::iter::from_fn(|| acd.poll_transmit()));
            let events: Vec<acd::Event> = std::iter::from_fn(|| acd.poll_event()).collect();
            let is_over = acd.is_holding() && !watch.conflict_use.watches();
            if is_over {
                watch.stage = Stage::Resting;
            }
            for event in events {
                match event {
                    acd::Event::Clear => {
                        watch.conflicts = 0;
                        standings.push((*address, Standing::Free));
                    }
                    acd::Event::Defended(neighbour) => {
                        let event = Event::Defended(*address, neighbour);
                        self.events.push_back(event);
                    }
                    acd::Event::Conflict(neighbour) | acd::Event::Lost(neighbour) => {
                        watch.conflicts += 1;
                        let (least, most) = (*APART.start(), *APART.end());
                        let apart = match may_be_mutual(watch.conflict_use, &event) {
                            true => random.between(least, most),
                            false => RETRY_INTERVAL,
                        };
                        // RFC 5227 §2.1.1.
                        let pause = match watch.conflicts > acd::MAX_CONFLICTS {
                            true => acd::RATE_LIMIT_INTERVAL + apart - RETRY_INTERVAL,
                            false => apart,
                        };
                        watch.stage = Stage::Pausing { until: now + pause };
                        standings.push((*address, Standing::Conflict(neighbour)));
                    }
                }
            }
        }
        for (address, found) in standings {
            self.found(address, found);
        }
    }

    fn found(&mut self, address: Ipv4Addr, found: Standing) {
        if let Some(watch) = self.watch_by_address.get_mut(&address)
            && watch.found != found
        {
            watch.found = found;
            self.events.push_back(Event::Found(address, found));
        }
    }

    /// Returns the next packet to send to everybody.
    pub fn poll_transmit(&mut self) -> Option<ArpPacket> {
        self.transmits.pop_front()
    }

    /// Returns the next thing to tell.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns when [`Self::handle_timeout`] is due; `None` while only packets matter.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = |watch: &Watch| match &watch.stage {
            Stage::Acting(acd) => acd.poll_timeout(),
            Stage::Pausing { until } => Some(*until),
            Stage::Resting | Stage::Waiting | Stage::Deaf => None,
        };
        self.watch_by_address.values().filter_map(due).min()
    }

    /// Returns what of ARP is to be heard; `None` when nothing is.
    pub fn arp(&self) -> Option<ArpFilter> {
        let mut held: Vec<Ipv4Addr> = Vec::new();
        for (address, watch) in &self.watch_by_address {
            match &watch.stage {
                Stage::Acting(acd) if acd.is_probing() => return Some(ArpFilter::All),
                // It is wanted for as long as it is not to be had.
                Stage::Deaf => return Some(ArpFilter::All),
                Stage::Acting(_) => held.push(*address),
                Stage::Resting | Stage::Waiting | Stage::Pausing { .. } => {}
            }
        }
        let is_needed = !held.is_empty() || !self.transmits.is_empty();
        is_needed.then(|| ArpFilter::Conflicts(Arc::from(held)))
    }
}

/// Whether whoever is in the way may have given the address up for us at the same moment: he only wanted it too, or took it with us.
const fn may_be_mutual(conflict_use: ConflictUse, event: &acd::Event) -> bool {
    match conflict_use {
        ConflictUse::ProbeCarefully => true,
        ConflictUse::Probe => matches!(event, acd::Event::Lost(_)),
        ConflictUse::Ignore | ConflictUse::Announce | ConflictUse::Check | ConflictUse::Watch => {
            false
        }
    }
}

fn pause(random: &mut Random, now: Instant) -> Stage {
    let wait = random.between(*SETTLING.start(), *SETTLING.end());
    let until = (now + wait).as_nanos();
    let whole = u64::try_from(SETTLED.as_nanos()).unwrap_or(u64::MAX);
    Stage::Pausing {
        until: Instant::from_nanos(until.div_ceil(whole).saturating_mul(whole)),
    }
}

#[cfg(test)]
mod tests;
