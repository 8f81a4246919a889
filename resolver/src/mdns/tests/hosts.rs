//! Simulated links with hosts on them: what one says to the group, all others hear a millisecond later, and it itself too.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use config::model::{MdnsMode, Prefix, Service};
use config::time::Instant;
use policy::multicast::{MulticastLink, MulticastPlan};
use policy::{LinkId, Owner};

use crate::mdns::message::{Message, Wanted};
use crate::mdns::{
    Family, Finding, Heard, InquiryId, MDNS_PORT, Mdns, PlaceId, Sight, Spoken, Whom,
};
use crate::wire::class;

/// How long a message takes.
const TRAVEL: Duration = Duration::from_millis(1);
/// More events than this are a loop without end.
const EVENTS_MAX: u32 = 100_000;

/// A host: its name, and on which wires it has which address.
pub(super) struct Host {
    pub(super) mdns: Mdns,
    pub(super) links: Vec<(usize, MulticastLink)>,
    pub(super) found: BTreeMap<InquiryId, (Instant, Finding)>,
    pub(super) sights: Vec<(Instant, Sight)>,
}

/// Everything: hosts, wires, and what is on its way.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) hosts: Vec<Host>,
    on_the_way: Vec<(Instant, usize, Vec<u8>, Packet)>,
    /// Whether a message gets lost: its number, its sender.
    pub(super) loses: fn(u32, usize) -> bool,
    pub(super) sent: Vec<(Instant, usize, Message)>,
    count: u32,
}

#[derive(Clone)]
struct Packet {
    from: usize,
    wire: usize,
    source: SocketAddr,
    to: Whom,
}

fn link(wire: usize, index: u32, address: [u8; 4], mode: MdnsMode) -> (usize, MulticastLink) {
    let link = MulticastLink {
        id: LinkId { index, birth: 1 },
        name: format!("lan{index}").into(),
        mdns: mode,
        owner: Owner::Resolver,
        addresses: vec![Prefix {
            address: IpAddr::V4(address.into()),
            length: 24,
        }],
        services: Vec::new(),
    };
    (wire, link)
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            now: Instant::ZERO + Duration::from_secs(5000),
            hosts: Vec::new(),
            on_the_way: Vec::new(),
            loses: |_, _| false,
            sent: Vec::new(),
            count: 0,
        }
    }

    /// Adds a host with these links: wire and address; returns its number.
    pub(super) fn host(
        &mut self,
        name: &str,
        mode: MdnsMode,
        places: &[(usize, [u8; 4])],
    ) -> usize {
        let number = self.hosts.len();
        let seed = u8::try_from(number).unwrap() + 1;
        let mut mdns = Mdns::new([seed; 32]);
        let links: Vec<_> = places
            .iter()
            .zip(0..)
            .map(|((wire, address), index)| link(*wire, index, *address, mode))
            .collect();
        mdns.apply_hostname(Some(&name.parse().unwrap()), self.now);
        mdns.apply(&plan(&links), self.now);
        self.hosts.push(Host {
            mdns,
            links,
            found: BTreeMap::new(),
            sights: Vec::new(),
        });
        self.drain(number);
        number
    }

    /// Gives a host other links.
    pub(super) fn relink(&mut self, host: usize, mode: MdnsMode, places: &[(usize, [u8; 4])]) {
        let links: Vec<_> = places
            .iter()
            .zip(0..)
            .map(|((wire, address), index)| link(*wire, index, *address, mode))
            .collect();
        self.hosts[host].mdns.apply(&plan(&links), self.now);
        self.hosts[host].links = links;
        self.drain(host);
    }

    /// Has a host offer these services on all of its links.
    pub(super) fn offer(&mut self, host: usize, services: &[Service]) {
        let services: Vec<_> = services.iter().cloned().map(Arc::new).collect();
        for (_, link) in &mut self.hosts[host].links {
            link.services.clone_from(&services);
        }
        let plan = plan(&self.hosts[host].links);
        self.hosts[host].mdns.apply(&plan, self.now);
        self.drain(host);
    }

    /// Has one link of a host do something else.
    pub(super) fn mode(&mut self, host: usize, link: usize, mode: MdnsMode) {
        self.hosts[host].links[link].1.mdns = mode;
        let plan = plan(&self.hosts[host].links);
        self.hosts[host].mdns.apply(&plan, self.now);
        self.drain(host);
    }

    pub(super) fn ask(
        &mut self,
        host: usize,
        name: &str,
        record_type: u16,
    ) -> Result<InquiryId, Finding> {
        let asked = self.hosts[host]
            .mdns
            .inquire(&wanted(name, record_type), self.now);
        self.drain(host);
        asked
    }

    /// Asks and waits; returns what was found and after how many milliseconds.
    pub(super) fn find(&mut self, host: usize, name: &str, record_type: u16) -> (Finding, u64) {
        let begun = self.now;
        match self.ask(host, name, record_type) {
            Err(finding) => (finding, 0),
            Ok(id) => {
                self.run(Duration::from_secs(5));
                let (at, finding) = self.hosts[host].found[&id].clone();
                (finding, u64::try_from(at.since(begun).as_millis()).unwrap())
            }
        }
    }

    /// Goes on for a while.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..EVENTS_MAX {
            let arrival = self.on_the_way.iter().map(|(at, ..)| *at).min();
            let timers = self
                .hosts
                .iter()
                .filter_map(|host| host.mdns.poll_timeout());
            let Some(next) = timers.chain(arrival).min().filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            let arrived: Vec<_> = self
                .on_the_way
                .iter()
                .filter(|(at, ..)| *at <= self.now)
                .cloned()
                .collect();
            self.on_the_way.retain(|(at, ..)| *at > self.now);
            for (_, host, wire, packet) in arrived {
                self.deliver(host, &wire, &packet);
            }
            for host in 0..self.hosts.len() {
                let due = self.hosts[host].mdns.poll_timeout();
                if due.is_some_and(|at| at <= self.now) {
                    self.hosts[host].mdns.handle_timeout(self.now);
                    self.drain(host);
                }
            }
        }
        panic!("it goes on and on");
    }

    /// Sends a message as a stranger would.
    pub(super) fn inject(&mut self, wire: usize, source: &str, message: Vec<u8>) {
        let packet = Packet {
            from: usize::MAX,
            wire,
            source: source.parse().unwrap(),
            to: Whom::Group,
        };
        for host in 0..self.hosts.len() {
            self.on_the_way
                .push((self.now, host, message.clone(), packet.clone()));
        }
    }

    pub(super) fn drain(&mut self, host: usize) {
        let at = self.now;
        drop(self.hosts[host].mdns.poll_listening());
        while let Some(spoken) = self.hosts[host].mdns.poll_spoken() {
            self.send(host, spoken);
        }
        let host = &mut self.hosts[host];
        while let Some((id, finding)) = host.mdns.poll_finding() {
            host.found.insert(id, (at, finding));
        }
        while let Some(sight) = host.mdns.poll_sight() {
            host.sights.push((at, sight));
        }
    }

    fn send(&mut self, from: usize, spoken: Spoken) {
        let message = Message::parse(&spoken.wire).expect("what we write can be read");
        self.sent.push((self.now, from, message));
        self.count += 1;
        let links = self.hosts[from].links.iter();
        let Some((wire, link)) = links
            .into_iter()
            .find(|(_, link)| link.id == spoken.place.link)
        else {
            return;
        };
        let packet = Packet {
            from,
            wire: *wire,
            source: SocketAddr::new(link.addresses[0].address, MDNS_PORT),
            to: spoken.to,
        };
        let is_lost = (self.loses)(self.count, from);
        for host in 0..self.hosts.len() {
            if !is_lost || host == from {
                self.on_the_way.push((
                    self.now + TRAVEL,
                    host,
                    spoken.wire.clone(),
                    packet.clone(),
                ));
            }
        }
    }

    fn deliver(&mut self, host: usize, wire: &[u8], packet: &Packet) {
        let now = self.now;
        let links: Vec<MulticastLink> = self.hosts[host]
            .links
            .iter()
            .filter(|(on, _)| *on == packet.wire)
            .map(|(_, link)| link.clone())
            .collect();
        for link in links {
            let own = link.addresses[0].address;
            let to_group = match packet.to {
                Whom::Group => true,
                Whom::One(to) if to.ip() == own && packet.from != host => false,
                Whom::One(_) => continue,
            };
            let heard = Heard {
                place: PlaceId {
                    link: link.id,
                    family: Family::V4,
                },
                source: packet.source,
                to_group,
                hop_limit: Some(255),
                from_self: false,
                wire,
            };
            self.hosts[host].mdns.handle_heard(&heard, now);
        }
        self.drain(host);
    }
}

fn plan(links: &[(usize, MulticastLink)]) -> MulticastPlan {
    MulticastPlan {
        links: links.iter().map(|(_, link)| link.clone()).collect(),
        ..MulticastPlan::default()
    }
}

pub(super) fn wanted(name: &str, record_type: u16) -> Wanted {
    Wanted {
        name: name.parse().unwrap(),
        record_type,
        class: class::IN,
        unicast: false,
    }
}

/// Returns the addresses and links of a finding.
pub(super) fn addresses(finding: &Finding) -> Vec<String> {
    let Finding::Records { links, records } = finding else {
        return vec![format!("{finding:?}")];
    };
    let mut texts: Vec<String> = records
        .iter()
        .map(|record| {
            let octets: [u8; 4] = record.rdata.clone().try_into().expect("an A record");
            format!("{} {}", Ipv4Addr::from(octets), links[0])
        })
        .collect();
    texts.sort();
    texts
}
