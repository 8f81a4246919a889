//! Does the client go through RFC 2131's states as the RFC says? A fake server, a fake neighbourhood and a fake clock.

mod bootp;
mod doubts;
mod stories;
mod table;

use std::net::Ipv4Addr;
use std::time::Duration;

use super::*;
use crate::arp::ArpOperation;
use crate::dhcp4::options::{Options, code};
use crate::dhcp4::remembered::{Age, Candidate, Remembered, Witness};
use crate::dhcp4::wire::tests::{
    ACK, ADDRESS, MAC, NAK, OFFER, SERVER, boot_message, server_message, usual, usual_of_bootp,
};
use crate::dhcp4::{Checksum, StateName};
use config::model::{ClientId, Dhcp4Settings};
use policy::facts::Supply;

/// The gateway's hardware address, and another machine's.
const GATEWAY: Mac = Mac([2, 0, 0, 0, 0, 0xfe]);
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);

/// What a client has said, as far as tests look at it.
#[derive(Debug, Clone)]
struct Said {
    at: Instant,
    by: Socket,
    to: Ipv4Addr,
    kind: Option<u8>,
    octets: Vec<u8>,
}

impl Said {
    fn option(&self, code: u8) -> Option<Vec<u8>> {
        let options = Options::find(&self.octets)?;
        options.get(code).map(<[u8]>::to_vec)
    }
}

/// A client, its link, and the time.
struct World {
    client: Client,
    now: Instant,
    said: Vec<Said>,
    events: Vec<Event>,
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn setup(settings: Dhcp4Settings) -> Setup {
    Setup {
        settings: settings.into(),
        mac: MAC,
        permanent_mac: Mac([2, 0, 0, 0, 0x0f, 1]),
        kind: "ethernet".into(),
        duid: Arc::new([0, 2, 1, 2, 3]),
        iaid: 9,
        addresses: Vec::new(),
        former_id: None,
        stable: [7; 16],
        wish: None,
        seed: 5,
    }
}

fn candidate(age: Age) -> Candidate {
    Candidate {
        remembered: Remembered {
            network: policy::facts::NetworkId("ethernet 192.0.2.0/24 by 192.0.2.1".into()),
            message: server_message(ACK, 7, ADDRESS, &usual()).into(),
            witnesses: vec![Witness {
                address: SERVER,
                mac: GATEWAY,
            }],
            acquired_at: Instant::ZERO,
        },
        age,
    }
}

impl World {
    fn new(settings: Dhcp4Settings, candidates: Vec<Candidate>) -> Self {
        Self::of(setup(settings), candidates)
    }

    fn of(setup: Setup, candidates: Vec<Candidate>) -> Self {
        let now = Instant::ZERO + seconds(100);
        Self {
            client: Client::new(setup, candidates, now),
            now,
            said: Vec::new(),
            events: Vec::new(),
        }
    }

    fn usual() -> Self {
        Self::new(Dhcp4Settings::default(), Vec::new())
    }

    /// Takes what the client says and tells.
    fn drain(&mut self) {
        let before = self.client.sockets();
        while let Some(transmit) = self.client.poll_transmit() {
            let is_open = match transmit.by {
                Socket::Packet => before.packet,
                Socket::Arp => before.arp.is_some(),
                Socket::Udp => before.udp == Some(transmit.from),
            };
            assert!(is_open, "{transmit:?} without its socket: {before:?}");
            let octets = match transmit.by {
                Socket::Packet => transmit.octets[28..].to_vec(),
                Socket::Arp | Socket::Udp => transmit.octets,
            };
            let options = Options::find(&octets);
            self.said.push(Said {
                at: self.now,
                by: transmit.by,
                to: transmit.to,
                kind: options.and_then(|options| options.get(53)?.first().copied()),
                octets,
            });
        }
        self.events
            .extend(std::iter::from_fn(|| self.client.poll_event()));
        let status = self.client.status();
        if let Some(lease) = status.lease {
            assert!(lease.renew_at <= lease.rebind_at && lease.rebind_at <= lease.expires_at);
        }
    }

    fn carrier(&mut self, has_carrier: bool) {
        self.client.handle_carrier(has_carrier, self.now);
        self.drain();
    }

    /// Lets time pass, timer by timer.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut steps = 0;
        while let Some(next) = self.client.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.client.handle_timeout(self.now);
            self.drain();
            steps += 1;
            assert!(steps < 10_000, "a timer that does not go on");
        }
        self.now = end;
    }

    /// Goes to the next timer.
    fn next(&mut self) {
        let next = self.client.poll_timeout().expect("something is due");
        self.pass(next.since(self.now));
    }

    fn xid(&self) -> u32 {
        self.client
            .state
            .exchange()
            .map_or(0, |exchange| exchange.xid)
    }

    fn hear(&mut self, message: &[u8]) {
        self.client
            .handle_packet(message, Received::Udp(SERVER), self.now);
        self.drain();
    }

    fn reply_with(&mut self, kind: u8, address: Ipv4Addr, options: &[(u8, Vec<u8>)]) {
        let message = server_message(kind, self.xid(), address, options);
        self.hear(&message);
    }

    fn reply(&mut self, kind: u8) {
        self.reply_with(kind, ADDRESS, &usual());
    }

    /// A BOOTP server answers.
    fn boot(&mut self) {
        let message = boot_message(self.xid(), ADDRESS, &usual_of_bootp());
        self.hear(&message);
    }

    fn hear_arp(&mut self, packet: &ArpPacket) {
        self.client
            .handle_packet(&packet.emit(), Received::Arp, self.now);
        self.drain();
    }

    /// A neighbour says that it has an address.
    fn neighbour(&mut self, mac: Mac, address: Ipv4Addr) {
        let packet = ArpPacket {
            operation: ArpOperation::Reply,
            target: MAC,
            ..ArpPacket::request(mac, address, ADDRESS)
        };
        self.hear_arp(&packet);
    }

    /// DISCOVER, OFFER, REQUEST, ACK; the gateway answers.
    fn bind(&mut self) {
        self.carrier(true);
        self.reply(OFFER);
        self.reply(ACK);
        assert_eq!(self.state(), StateName::Bound);
        self.neighbour(GATEWAY, SERVER);
    }

    fn state(&self) -> StateName {
        self.client.status().state
    }

    fn kinds(&self) -> Vec<u8> {
        self.said.iter().filter_map(|said| said.kind).collect()
    }

    fn last(&self) -> &Said {
        let mut said = self.said.iter().rev();
        said.find(|said| said.kind.is_some())
            .expect("something was said")
    }

    fn supplied(&self) -> Vec<&Supply> {
        let supplies = self.events.iter().filter_map(|event| match event {
            Event::Supplied(supply) => Some(&**supply),
            Event::Withdrawn(_)
            | Event::Keep(_)
            | Event::Forget(_)
            | Event::Silent
            | Event::Noted(_) => None,
        });
        supplies.collect()
    }

    fn troubles(&self) -> Vec<&Trouble> {
        let troubles = self.events.iter().filter_map(|event| match event {
            Event::Withdrawn(trouble) | Event::Noted(trouble) => Some(trouble),
            Event::Supplied(_) | Event::Keep(_) | Event::Forget(_) | Event::Silent => None,
        });
        troubles.collect()
    }

    fn withdrawn(&self) -> usize {
        let is_withdrawn = |event: &&Event| matches!(event, Event::Withdrawn(_));
        self.events.iter().filter(is_withdrawn).count()
    }
}

#[test]
fn only_accepted_servers_are_listened_to_and_a_relay_is_none() {
    let settings = Dhcp4Settings {
        accept_servers: vec![SERVER.into()],
        ..Dhcp4Settings::default()
    };
    let mut world = World::new(settings, Vec::new());
    world.carrier(true);
    let mut stranger = usual();
    stranger[0].1 = vec![192, 0, 2, 66];
    world.reply_with(OFFER, ADDRESS, &stranger);
    assert_eq!(world.state(), StateName::Selecting);
    world.reply_with(OFFER, ADDRESS, &usual());
    assert_eq!(world.state(), StateName::Requesting);
}

#[test]
fn options_by_number_are_sent_while_something_is_asked_for_and_what_comes_is_shown() {
    let own = config::model::OwnOptions {
        send: [(43, Arc::from([1, 2])), (124, Arc::from([0, 0, 0, 9]))].into(),
        request: [43, 125, 224].into(),
    };
    let settings = Dhcp4Settings {
        own,
        ..Dhcp4Settings::default()
    };
    let mut world = World::new(settings, Vec::new());
    world.carrier(true);
    let mut options = usual();
    // Longer than an option can be (RFC 3396).
    options.push((125, vec![9; 300]));
    options.push((224, b"lab".to_vec()));
    options.push((225, b"nobody asked".to_vec()));
    world.reply_with(OFFER, ADDRESS, &options);
    world.reply_with(ACK, ADDRESS, &options);
    for said in world.said.iter().filter(|said| said.by == Socket::Packet) {
        assert_eq!(said.option(43), Some(vec![1, 2]), "{:?}", said.kind);
        assert_eq!(said.option(124), Some(vec![0, 0, 0, 9]));
    }
    let lease = world.client.status().lease.unwrap();
    let expected: [(u16, Arc<[u8]>); 2] = [(125, [9; 300].into()), (224, b"lab"[..].into())];
    assert_eq!(lease.options, expected);
    world.client.release(world.now);
    world.drain();
    let said = world.last();
    assert_eq!((said.kind, said.option(43)), (Some(7), None));
}
