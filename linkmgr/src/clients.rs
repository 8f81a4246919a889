//! Which clients run on which links, and what have they got? [`Clients`]: DHCPv4, router advertisements, DHCPv6, together.
//!
//! The plan says which clients should run ([`Clients::apply_plan`]), the links where they can ([`Clients::apply_links`]); what comes
//! in goes to the one that it is for, and what they supply is gathered as facts. The driving order is: one `apply_…` or
//! `handle_…`, then [`Clients::poll_ports`] and [`Clients::poll_transmit`], [`Clients::poll_note`], [`Clients::poll_standing`] and
//! [`Clients::poll_memory`] until they are empty, [`Clients::poll_ports`] again for those that are not needed any more, [`Clients::take_changed`] for a new plan,
//! then [`Clients::poll_timeout`].
//!
//! Knows nothing of how a packet is caught or sent, and nothing of what becomes of a supply.

mod adjust;
mod memory;
mod on_link;
mod opening;
mod routers;
mod said;
mod slot;
mod turns;
mod wanted;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use config::matcher::Mac;
use config::time::{Instant, WallTime};
use policy::facts::{MadeMacs, Supplier, Supply};
use policy::{LinkFacts, LinkId, LinksPlan};

use crate::arp::ArpPacket;
use crate::dhcp4::{ArpFilter, Checksum, Clocks};
use crate::dhcp6::Duid;
use crate::former::Former;
use crate::slaac::Secret;
use crate::tables::{Map, Set};
use crate::watches::Standing;
use crate::{dhcp4, dhcp6, lldp, macs, ra};
pub use memory::Memory;
use on_link::OnLink;
use opening::Opening;
pub use opening::PortChanges;
use turns::Turns;
use wanted::Wanted;

/// How soon a port that cannot be had is tried again: what is missing, descriptors or rights, does not come back at once.
const REOPEN: Duration = Duration::from_secs(10);

/// The hardware address of a link that has none.
const NOBODY: Mac = Mac([0; 6]);

/// Who this machine is, as far as clients need it.
#[derive(Debug, Clone)]
pub struct Machine {
    /// By what DHCPv6 servers know it.
    pub duid: Duid,
    /// What stable addresses are made of.
    pub secret: Secret,
    /// Which start of the kernel this is (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: Arc<str>,
}

/// Through what a client hears and speaks on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    /// IPv4 packets to UDP port 68, before there is an address.
    Packet,
    /// ARP.
    Arp,
    /// UDP port 68 at this address.
    Dhcp4(Ipv4Addr),
    /// Router advertisements and solicitations.
    Icmp6,
    /// UDP port 546.
    Dhcp6,
    /// LLDP; nothing is sent.
    Lldp,
}

/// A port that should be open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedPort {
    /// Of the link with this index.
    pub index: u32,
    /// Which.
    pub port: Port,
    /// What of ARP comes through; for [`Port::Arp`].
    pub arp: Option<ArpFilter>,
    /// The link's hardware address.
    pub mac: Option<Mac>,
}

/// Something to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// By the link with this index.
    pub index: u32,
    /// Through which port.
    pub port: Port,
    /// To which neighbour, for [`Port::Packet`] and [`Port::Arp`].
    pub neighbour: Mac,
    /// To which address, for the others.
    pub to: IpAddr,
    /// From which address, when not from the port's own; for [`Port::Dhcp6`].
    pub from: Option<Ipv6Addr>,
    /// What.
    pub octets: Vec<u8>,
}

/// Something that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// By the link with this index.
    pub index: u32,
    /// Through which port.
    pub port: Port,
    /// From whom; unspecified for [`Port::Packet`] and [`Port::Arp`].
    pub from: IpAddr,
    /// The hop limit that was left, for [`Port::Icmp6`].
    pub hop_limit: u8,
    /// Whether a UDP checksum can be right, for [`Port::Packet`].
    pub checksum: Checksum,
    /// What.
    pub octets: Vec<u8>,
}

/// Something that a person should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Of this link.
    pub link: Arc<str>,
    /// Through what; `None` of the profile's own addresses.
    pub supplier: Option<Supplier>,
    /// What.
    pub text: String,
}

/// How the clients of a link stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// DHCPv4.
    pub dhcp4: Option<dhcp4::Status>,
    /// Whether DHCPv4 is wanted, and does not run: the link has no hardware address of six octets.
    pub lacks_mac: bool,
    /// Router advertisements.
    pub ra: Option<ra::Report>,
    /// DHCPv6.
    pub dhcp6: Option<dhcp6::Report>,
    /// The IPv4 link-local address that is probed for or used.
    pub ipv4ll: Option<Ipv4Addr>,
    /// What is at the other end of the cable.
    pub lldp: Vec<lldp::Neighbour>,
}

/// All clients of the machine.
#[derive(Debug)]
pub struct Clients {
    machine: Machine,
    seed: u64,
    plan: Arc<LinksPlan>,
    /// What is known of each link that clients run on.
    facts: Map<LinkId, (Wanted, Traits)>,
    clients: Map<LinkId, OnLink>,
    /// When the clients of a link have something to do, where they have.
    due_at: Map<LinkId, Instant>,
    /// The same in the order of time.
    due: Set<(Instant, LinkId)>,
    /// What others have left, for clients that begin.
    formers: BTreeMap<LinkId, Former>,
    memory: Memory,
    supplies: Map<(LinkId, Supplier), Supply>,
    /// Which of them are others than they were.
    changed: BTreeSet<(LinkId, Supplier)>,
    kept: bool,
    opening: Opening,
    /// When ports that cannot be had are tried again.
    reopen_at: Option<Instant>,
    transmits: VecDeque<Transmit>,
    notes: VecDeque<Note>,
    standings: VecDeque<(u32, Ipv4Addr, Standing)>,
    turns: Turns,
}

/// What the clients need to know of a link.
#[derive(Debug, Clone, Eq)]
pub(crate) struct Traits {
    name: Arc<str>,
    kind: Arc<str>,
    mac: Option<Mac>,
    up: bool,
    link_local: Option<Ipv6Addr>,
    addresses: Vec<Ipv6Addr>,
    /// For clients that begin.
    permanent_mac: Option<Mac>,
    ipv4: Vec<Ipv4Addr>,
    lent4: Option<Ipv4Addr>,
    /// The static addresses to look after that it has.
    fixed4: Vec<Ipv4Addr>,
    arp: bool,
}

impl PartialEq for Traits {
    /// What only matters to clients that begin makes no difference to those that run: most of it is what they have supplied.
    fn eq(&self, other: &Self) -> bool {
        let Self {
            name,
            kind,
            mac,
            up,
            link_local,
            addresses,
            permanent_mac: _,
            ipv4: _,
            lent4: _,
            fixed4,
            arp,
        } = self;
        (name, kind, mac, up) == (&other.name, &other.kind, &other.mac, &other.up)
            && (link_local, addresses, fixed4, arp)
                == (
                    &other.link_local,
                    &other.addresses,
                    &other.fixed4,
                    &other.arp,
                )
    }
}

impl Traits {
    fn of(facts: &LinkFacts, wanted: &Wanted) -> Self {
        let ipv6 = || {
            let addresses = facts.addresses.iter();
            addresses.filter_map(|prefix| match prefix.address {
                IpAddr::V6(v6) => Some(v6),
                IpAddr::V4(_) => None,
            })
        };
        let addresses = facts.addresses.iter();
        let ipv4 = addresses.filter_map(|prefix| match prefix.address {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        });
        let ipv4: Vec<Ipv4Addr> = ipv4.collect();
        Self {
            fixed4: wanted.watched_of(&ipv4),
            arp: facts.arp,
            ipv4,
            lent4: facts.lent4,
            name: Arc::clone(&facts.name),
            kind: Arc::clone(&facts.kind),
            mac: facts.mac,
            permanent_mac: facts.known_mac,
            up: facts.up,
            link_local: ipv6().find(Ipv6Addr::is_unicast_link_local),
            addresses: ipv6().filter(|v6| !v6.is_unicast_link_local()).collect(),
        }
    }
}

impl Clients {
    /// Makes a set without any client. `memory` is what [`Self::poll_memory`] gave before, `seed` another number each time.
    pub fn new(machine: Machine, memory: Memory, seed: u64) -> Self {
        Self {
            machine,
            seed,
            plan: Arc::default(),
            facts: Map::default(),
            clients: Map::default(),
            due_at: Map::default(),
            due: Set::default(),
            formers: BTreeMap::new(),
            memory,
            supplies: Map::default(),
            changed: BTreeSet::new(),
            kept: false,
            opening: Opening::default(),
            reopen_at: None,
            transmits: VecDeque::new(),
            notes: VecDeque::new(),
            standings: VecDeque::new(),
            turns: Turns::default(),
        }
    }

    /// Returns the hardware addresses that this machine makes up for a link of this name.
    pub fn made_macs(&self, link: &str) -> MadeMacs {
        macs::made(&self.machine.secret, &self.machine.boot_id, link)
    }

    /// Takes a packet. `is_own` says whether a hardware address is that of any link of the machine: the kernel answers for an
    /// address by each of them, and what one of ours says by ARP is no conflict.
    pub fn handle_heard(
        &mut self,
        heard: &Heard,
        is_own: impl Fn(Mac) -> bool,
        wall: WallTime,
        now: Instant,
    ) {
        if heard.port == Port::Arp
            && let Some(packet) = ArpPacket::parse(&heard.octets)
            && is_own(packet.sender)
        {
            return;
        }
        let index = heard.index;
        let mut clients = self.clients.range_mut(LinkId { index, birth: 0 }..);
        let Some((id, on_link)) = clients.next().filter(|(id, _)| id.index == index) else {
            return;
        };
        on_link.handle_heard(heard, now);
        let id = *id;
        self.gather(id, wall, now);
        self.take_turns(wall, now);
    }

    /// Takes which ports, of those that [`Self::poll_ports`] gave, cannot be had, and no others: they are given once more after a while.
    pub fn handle_unheard(&mut self, unheard: &[(u32, Port)], wall: WallTime, now: Instant) {
        self.reopen_at = (!unheard.is_empty()).then(|| now + REOPEN);
        let before = self.opening.take_unheard(unheard);
        let mut is_deaf: BTreeMap<u32, bool> = before.map(|(index, _)| (index, false)).collect();
        for (index, port) in unheard {
            *is_deaf.entry(*index).or_default() |= *port == Port::Arp;
        }
        for (index, is_deaf) in is_deaf {
            self.act(self.at(index), wall, now, |on_link| {
                on_link.handle_deaf(is_deaf, now);
            });
        }
    }

    /// Takes that an address that we made or were given is somebody else's (`IFA_F_DADFAILED`).
    pub fn handle_dad_failed(
        &mut self,
        index: u32,
        address: Ipv6Addr,
        wall: WallTime,
        now: Instant,
    ) {
        self.act(self.at(index), wall, now, |on_link| {
            on_link.handle_dad_failed(address, now);
        });
    }

    /// Takes what the kernel says of a neighbour.
    pub fn handle_neighbour(
        &mut self,
        index: u32,
        neighbour: Ipv6Addr,
        reachability: ra::Reachability,
        wall: WallTime,
        now: Instant,
    ) {
        self.act(self.at(index), wall, now, |on_link| {
            on_link.handle_neighbour(neighbour, reachability, now);
        });
    }

    /// Takes that the machine was asleep: everything is confirmed where there is a carrier, and nothing is dropped but addresses that
    /// nobody gave out (RFC 3927 §2.2).
    pub fn handle_resume(&mut self, wall: WallTime, now: Instant) {
        let all = self.clients.keys().copied().collect();
        self.act(all, wall, now, |on_link| on_link.handle_resume(now));
    }

    /// Takes that time has passed.
    pub fn handle_timeout(&mut self, wall: WallTime, now: Instant) {
        if self.reopen_at.is_some_and(|at| at <= now) {
            self.reopen_at = None;
            self.opening.reopen();
        }
        let due = self.due.iter().take_while(|(at, _)| *at <= now);
        let mut due: Vec<LinkId> = due.map(|(_, id)| *id).collect();
        due.sort_unstable();
        self.act(due, wall, now, |on_link| on_link.handle_timeout(now));
    }

    /// Has a link's leases asked for anew at once.
    pub fn renew(&mut self, link: LinkId, wall: WallTime, now: Instant) {
        self.act(vec![link], wall, now, |on_link| on_link.renew(now));
    }

    /// Gives a link's leases back. Returns whether servers are to be told: [`Self::poll_transmit`] gives that, and it has to leave before the
    /// link goes down.
    #[must_use]
    pub fn release(&mut self, link: LinkId, wall: WallTime, now: Instant) -> bool {
        let before = self.transmits.len();
        self.act(vec![link], wall, now, |on_link| on_link.release(now));
        self.transmits.len() > before
    }

    /// Returns the next thing to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        let transmit = self.transmits.pop_front();
        if self.transmits.is_empty() {
            self.opening.close_lingering();
        }
        transmit
    }

    /// Returns which ports should be open otherwise than before, when any should.
    pub fn poll_ports(&mut self) -> Option<PortChanges> {
        self.opening.poll()
    }

    /// Returns the next thing that a person should know.
    pub fn poll_note(&mut self) -> Option<Note> {
        self.notes.pop_front()
    }

    /// Returns what was found of a static address, with the index of its link.
    pub fn poll_standing(&mut self) -> Option<(u32, Ipv4Addr, Standing)> {
        self.standings.pop_front()
    }

    /// Returns what is to be kept, when that has changed.
    pub fn poll_memory(&mut self) -> Option<&Memory> {
        std::mem::take(&mut self.kept).then_some(&self.memory)
    }

    /// Returns what of [`Self::supplies`] has changed, come or gone since it was last asked.
    pub fn take_changed(&mut self) -> BTreeSet<(LinkId, Supplier)> {
        std::mem::take(&mut self.changed)
    }

    /// Returns what is supplied.
    pub fn supplies(&self) -> &BTreeMap<(LinkId, Supplier), Supply> {
        &self.supplies
    }

    /// Returns when [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = self.due.first().map(|(at, _)| *at);
        due.into_iter().chain(self.reopen_at).min()
    }

    /// Returns how the clients of a link stand; `None` when none runs.
    pub fn report(&self, link: LinkId, now: Instant) -> Option<Report> {
        self.clients.get(&link).map(|on_link| on_link.report(now))
    }

    fn clocks(&self, wall: WallTime, now: Instant) -> Clocks {
        Clocks {
            now,
            wall,
            boot_id: Arc::clone(&self.machine.boot_id),
        }
    }

    /// Returns the links of this index that clients run on.
    fn at(&self, index: u32) -> Vec<LinkId> {
        let here = self.clients.range(LinkId { index, birth: 0 }..);
        let here = here.take_while(|(id, _)| id.index == index);
        here.map(|(id, _)| *id).collect()
    }

    /// Has something happen to the clients of these links, and takes what they say.
    fn act(
        &mut self,
        links: Vec<LinkId>,
        wall: WallTime,
        now: Instant,
        mut act: impl FnMut(&mut OnLink),
    ) {
        for id in links {
            if let Some(on_link) = self.clients.get_mut(&id) {
                act(on_link);
            }
            self.gather(id, wall, now);
        }
        self.take_turns(wall, now);
    }

    /// Takes what a link's clients have to say.
    fn gather(&mut self, id: LinkId, wall: WallTime, now: Instant) {
        let clocks = self.clocks(wall, now);
        let Some(on_link) = self.clients.get_mut(&id) else {
            return;
        };
        let open = on_link.ports(id.index);
        let said = on_link.gather(id.index, now);
        // A last word goes through a port that its client does not need any more.
        let sends = |port| said.transmits.iter().any(|transmit| transmit.port == port);
        let lingering = open.into_iter().filter(|wanted| sends(wanted.port));
        self.opening.keep(lingering);
        self.transmits.extend(said.transmits);
        self.notes.extend(said.notes);
        let standings = said.standings.into_iter();
        self.standings
            .extend(standings.map(|(address, standing)| (id.index, address, standing)));
        for (supplier, supply) in said.supplies {
            let key = (id, supplier);
            let is_news = match supply {
                Some(supply) => {
                    let supply = *supply;
                    let differs = self.supplies.get(&key) != Some(&supply);
                    self.supplies.insert(key, supply);
                    differs
                }
                None => self.supplies.remove(&key).is_some(),
            };
            if is_news {
                self.changed.insert(key);
            }
        }
        for word in said.words {
            self.kept |= self.memory.take(word, &self.plan, &clocks);
        }
        self.follow(id);
    }

    /// Follows what the clients of a link wait for, when any run there.
    fn follow(&mut self, id: LinkId) {
        let on_link = self.clients.get(&id);
        let at = on_link.and_then(OnLink::poll_timeout);
        let before = match at {
            Some(at) => self.due_at.insert(id, at),
            None => self.due_at.remove(&id),
        };
        if before != at {
            self.due.extend(at.map(|at| (at, id)));
            if let Some(before) = before {
                self.due.remove(&(before, id));
            }
        }
        self.turns.follow(id, on_link);
        self.open_ports(id.index);
    }

    /// Follows which ports the clients of a link want.
    fn open_ports(&mut self, index: u32) {
        let clients = self.clients.range(LinkId { index, birth: 0 }..);
        let clients = clients.take_while(|(id, _)| id.index == index);
        let wanted = clients.flat_map(|(_, on_link)| on_link.ports(index));
        self.opening.follow(index, wanted.collect());
    }
}

#[cfg(test)]
mod tests;
