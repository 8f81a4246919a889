//! Do the clients of a link get along? IPv4: a last word through a port that is closed next, the fallback to link-local
//! addresses, and our own other links.

mod former;
mod together;
mod work;

use config::model::{
    Dhcp4Settings, Dhcp6Settings, Dhcp6When, DuidUse, Identity, Prefix, ProfileId,
};
use policy::links::{Clients as Wanted, LinkPlan};

use super::*;
use crate::arp::ArpOperation;
use crate::dhcp4::StateName;
use crate::dhcp4::server::{ACK, ADDRESS, MAC, OFFER, SERVER, server_message, usual};

const LINK: LinkId = LinkId { index: 7, birth: 1 };
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 9]);
const WALL: WallTime = WallTime(1_800_000_000);

struct World {
    clients: Clients,
    links: BTreeMap<LinkId, LinkFacts>,
    now: Instant,
    /// Ports that are open, as the daemon would have them.
    open: Vec<WantedPort>,
    sent: Vec<Transmit>,
}

impl World {
    fn new(wanted: Wanted) -> Self {
        let machine = Machine {
            duid: Duid::from_uuid([1; 16]),
            secret: Secret([7; 32]),
            boot_id: "boot".into(),
        };
        let now = Instant::ZERO + Duration::from_secs(100);
        let facts = |name: &str, mac| LinkFacts {
            name: name.into(),
            kind: "ethernet".into(),
            mac: Some(mac),
            up: true,
            ..LinkFacts::default()
        };
        let other = LinkId { index: 8, birth: 2 };
        let mut world = Self {
            clients: Clients::new(machine, Memory::default(), 1),
            links: BTreeMap::from([(LINK, facts("eth0", MAC)), (other, facts("eth1", OTHER))]),
            now,
            open: Vec::new(),
            sent: Vec::new(),
        };
        world.plan(wanted);
        world.clients.apply_links(&world.links, WALL, now);
        world.drain();
        world
    }

    fn plan(&mut self, clients: Wanted) {
        let link = LinkPlan {
            clients,
            ..link_plan()
        };
        let plan = LinksPlan {
            links: BTreeMap::from([(LINK, link)]),
            ..LinksPlan::default()
        };
        self.clients.apply_plan(&plan.into(), WALL, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        self.open_ports();
        while let Some(transmit) = self.clients.poll_transmit() {
            let is_open = |open: &WantedPort| open.port == transmit.port;
            assert!(
                self.open.iter().any(is_open),
                "{transmit:?} without its port"
            );
            self.sent.push(transmit);
        }
        self.open_ports();
    }

    fn open_ports(&mut self) {
        let changes = self.clients.poll_ports().unwrap_or_default();
        let is_same = |open: &WantedPort, place| (open.index, open.port) == place;
        for place in changes.close {
            let before = self.open.len();
            self.open.retain(|open| !is_same(open, place));
            assert_ne!(self.open.len(), before, "{place:?} is not open");
        }
        for wanted in changes.open {
            self.open
                .retain(|open| !is_same(open, (wanted.index, wanted.port)));
            self.open.push(wanted);
        }
        self.open.sort_by_key(|open| (open.index, open.port));
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.clients.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.clients.handle_timeout(WALL, self.now);
            self.drain();
        }
        self.now = end;
    }

    fn hear(&mut self, port: Port, octets: Vec<u8>) {
        let heard = Heard {
            index: LINK.index,
            port,
            from: SERVER.into(),
            hop_limit: 0,
            checksum: Checksum::Complete,
            octets,
        };
        let links = &self.links;
        let is_own = |mac| links.values().any(|link| link.mac == Some(mac));
        self.clients.handle_heard(&heard, is_own, WALL, self.now);
        self.drain();
    }

    fn reply(&mut self, kind: u8) {
        let asked = self
            .sent
            .iter()
            .rfind(|sent| sent.port == Port::Packet)
            .unwrap();
        let xid = *asked.octets[32..].first_chunk::<4>().unwrap();
        let message = server_message(kind, u32::from_be_bytes(xid), ADDRESS, &usual());
        self.hear(Port::Dhcp4(ADDRESS), message);
    }

    fn neighbour(&mut self, mac: Mac, address: Ipv4Addr) {
        let packet = ArpPacket {
            operation: ArpOperation::Reply,
            ..ArpPacket::announcement(mac, address)
        };
        self.hear(Port::Arp, packet.emit());
    }

    fn state(&self) -> StateName {
        let report = self.clients.report(LINK, self.now).unwrap();
        report.dhcp4.unwrap().state
    }

    fn addresses(&self, supplier: Supplier) -> Option<usize> {
        let supply = self.clients.supplies().get(&(LINK, supplier))?;
        Some(supply.addresses.len())
    }
}

fn link_plan() -> LinkPlan {
    LinkPlan::new("eth0".into(), ProfileId("eth0".into()))
}

fn wanted(dhcp4: bool, ipv4ll: bool) -> Wanted {
    Wanted {
        dhcp4: dhcp4.then(|| Arc::new(Dhcp4Settings::default())),
        ipv4ll,
        ..Wanted::default()
    }
}

#[test]
fn the_last_word_goes_through_a_port_that_is_closed_next() {
    let mut world = World::new(wanted(true, false));
    world.reply(OFFER);
    world.reply(ACK);
    assert_eq!(world.state(), StateName::Bound);
    world.pass(Duration::from_secs(10));
    let ports: Vec<Port> = world.open.iter().map(|open| open.port).collect();
    assert_eq!(
        ports,
        [Port::Arp],
        "a holder hears of conflicts, and nothing else"
    );
    assert!(world.clients.release(LINK, WALL, world.now));
    world.drain();
    assert_eq!(world.sent.last().unwrap().port, Port::Dhcp4(ADDRESS));
    assert!(world.open.is_empty(), "{:?}", world.open);
    assert_eq!(world.addresses(Supplier::Dhcp4), None);
}

#[test]
fn a_link_without_a_hardware_address_has_no_dhcp4_and_that_is_told() {
    let mut world = World::new(wanted(true, false));
    let lacks_mac = |world: &World| {
        let report = world.clients.report(LINK, world.now).unwrap();
        (report.dhcp4.is_some(), report.lacks_mac)
    };
    assert_eq!(lacks_mac(&world), (true, false));
    world.links.get_mut(&LINK).unwrap().mac = None;
    world.clients.apply_links(&world.links, WALL, world.now);
    world.drain();
    assert_eq!(lacks_mac(&world), (false, true));
    world.plan(Wanted {
        lldp: true,
        ..wanted(false, false)
    });
    assert_eq!(lacks_mac(&world), (false, false));
}

#[test]
fn a_port_that_cannot_be_had_is_tried_again_and_no_other() {
    let mut world = World::new(wanted(true, false));
    world.reply(OFFER);
    world.reply(ACK);
    world.pass(Duration::from_secs(10));
    let [open] = world.open.as_slice() else {
        panic!("{:?}", world.open);
    };
    let again = PortChanges {
        open: vec![open.clone()],
        close: Vec::new(),
    };
    let place = (open.index, open.port);
    let clients = &mut world.clients;
    for _ in 0..3 {
        clients.handle_unheard(&[place], WALL, world.now);
        assert_eq!(clients.poll_ports(), None);
        let at = clients.poll_timeout().unwrap();
        assert_eq!(at, world.now + REOPEN);
        world.now = at;
        clients.handle_timeout(WALL, at);
        assert_eq!(clients.poll_ports(), Some(again.clone()));
    }
    clients.handle_unheard(&[], WALL, world.now);
    assert!(clients.poll_timeout().unwrap() > world.now + REOPEN);
    // One that is not wanted any more is closed, though it was never had.
    clients.handle_unheard(&[place], WALL, world.now);
    world.plan(Wanted::default());
    assert_eq!(world.open, []);
}

#[test]
fn a_decline_goes_out_and_what_our_own_other_link_says_is_no_conflict() {
    let mut world = World::new(wanted(true, false));
    world.reply(OFFER);
    world.neighbour(OTHER, ADDRESS);
    assert_eq!(world.state(), StateName::Requesting);
    world.neighbour(Mac([2, 0, 0, 0, 0, 77]), ADDRESS);
    assert_eq!(world.state(), StateName::Init);
    assert_eq!(world.sent.last().unwrap().port, Port::Packet);
    assert!(world.open.is_empty());
}

#[test]
fn asked_in_vain_is_an_empty_supply_and_the_fallback_is_given_up_for_a_lease() {
    let mut world = World::new(wanted(true, false));
    world.pass(Duration::from_secs(5));
    assert_eq!(world.addresses(Supplier::Dhcp4), None, "not in vain yet");
    world.pass(Duration::from_secs(15));
    assert_eq!(world.addresses(Supplier::Dhcp4), Some(0));
    // So the plan wants the fallback.
    world.plan(wanted(true, true));
    assert_eq!(world.addresses(Supplier::Ipv4ll), None, "probed for first");
    world.pass(Duration::from_secs(10));
    assert_eq!(world.addresses(Supplier::Ipv4ll), Some(1));
    let report = world.clients.report(LINK, world.now).unwrap();
    assert!(report.ipv4ll.unwrap().is_link_local());
    // A server comes up.
    world.pass(Duration::from_secs(30));
    world.reply(OFFER);
    world.reply(ACK);
    assert_eq!(world.addresses(Supplier::Dhcp4), Some(1));
    world.plan(wanted(true, false));
    assert_eq!(world.addresses(Supplier::Ipv4ll), None);
}

#[test]
fn after_a_sleep_a_link_local_address_is_asked_for_anew_and_nobody_is_asked_without_a_carrier() {
    let mut world = World::new(Wanted {
        ipv4ll: true,
        ra: Some(<_>::default()),
        ..Wanted::default()
    });
    world.pass(Duration::from_secs(10));
    assert_eq!(world.addresses(Supplier::Ipv4ll), Some(1));
    world.clients.handle_resume(WALL, world.now);
    world.drain();
    assert_eq!(
        world.addresses(Supplier::Ipv4ll),
        None,
        "it may be somebody else's"
    );
    world.pass(Duration::from_secs(10));
    assert_eq!(world.addresses(Supplier::Ipv4ll), Some(1));
    world.links.get_mut(&LINK).unwrap().up = false;
    world.clients.apply_links(&world.links, WALL, world.now);
    world.drain();
    let sent = world.sent.len();
    world.clients.handle_resume(WALL, world.now);
    world.drain();
    world.pass(Duration::from_secs(60));
    assert_eq!(world.sent.len(), sent);
}

/// DUID and IAID of the first DHCPv6 message of a link with this hardware address.
fn identity(settings: &Dhcp6Settings, mac: Mac) -> (Vec<u8>, u32) {
    let mut world = World::new(Wanted {
        dhcp6: Some(Arc::new(settings.clone())),
        ..Wanted::default()
    });
    let link = world.links.get_mut(&LINK).unwrap();
    link.mac = Some(mac);
    link.addresses.push(Prefix {
        address: "fe80::1".parse().unwrap(),
        length: 64,
    });
    world.clients.apply_links(&world.links, WALL, world.now);
    world.drain();
    let sent = world.sent.iter().find(|sent| sent.port == Port::Dhcp6);
    let octets = &sent.expect("somebody is solicited").octets;
    let length = usize::from(octets[7]);
    let (duid, rest) = octets[8..].split_at(length);
    // The elapsed time, then the association.
    let iaid = rest[10..].first_chunk::<4>().unwrap();
    (duid.to_vec(), u32::from_be_bytes(*iaid))
}

#[test]
fn dhcp6_servers_know_us_by_what_the_profile_says() {
    let always = Dhcp6Settings {
        when: Dhcp6When::Always,
        ..Dhcp6Settings::default()
    };
    let with = |duid, iaid| Dhcp6Settings {
        identity: Identity { duid, iaid },
        ..always.clone()
    };
    let by_name = dhcp6::iaid("eth0");
    let machine = Duid::from_uuid([1; 16]).octets().to_vec();
    let by_mac = [&[0, 3, 0, 1][..], &MAC.0].concat();
    assert_eq!(identity(&always, MAC), (machine.clone(), by_name));
    let by_mac_settings = with(DuidUse::Mac, Some(7));
    assert_eq!(identity(&by_mac_settings, MAC), (by_mac.clone(), 7));
    let octets: Arc<[u8]> = Arc::new([0, 1, 2, 3]);
    let said = with(DuidUse::Octets(octets), None);
    assert_eq!(identity(&said, MAC), (vec![0, 1, 2, 3], by_name));
    // Another hardware address, and nobody knows it for the same.
    let anonymous = Dhcp6Settings {
        anonymous: true,
        ..with(DuidUse::MachineId, Some(7))
    };
    assert_eq!(identity(&anonymous, MAC), (by_mac, by_name));
    let other = [&[0, 3, 0, 1][..], &[2, 0, 0, 0, 0, 0x55]].concat();
    let moved = identity(&anonymous, Mac([2, 0, 0, 0, 0, 0x55]));
    assert_eq!(moved, (other, by_name));
}

/// A router's advertisement of 2001:db8:1::/64, whose addresses are for hosts without a prefix of their own (RFC 9762).
fn advertisement() -> Vec<u8> {
    let mut octets = vec![134, 0, 0, 0, 64, 0];
    octets.extend(1800_u16.to_be_bytes());
    octets.extend([0; 8]);
    octets.extend([3, 4, 64, 0xd0]);
    octets.extend(86_400_u32.to_be_bytes());
    octets.extend(86_400_u32.to_be_bytes());
    octets.extend([0; 4]);
    octets.extend([0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    octets
}

/// A server's Reply that delegates 2001:db8:ff00::/56 at once.
fn delegation(asked: &[u8]) -> Vec<u8> {
    let mut prefix = 3600_u32.to_be_bytes().to_vec();
    prefix.extend(3600_u32.to_be_bytes());
    prefix.extend([56, 0x20, 1, 0xd, 0xb8, 0xff, 0]);
    prefix.extend([0; 10]);
    let mut association = dhcp6::iaid("eth0").to_be_bytes().to_vec();
    association.extend(1000_u32.to_be_bytes());
    association.extend(2000_u32.to_be_bytes());
    let put = |octets: &mut Vec<u8>, number: u16, value: &[u8]| {
        octets.extend(number.to_be_bytes());
        octets.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        octets.extend(value);
    };
    put(&mut association, 26, &prefix);
    let mut octets = vec![7];
    octets.extend(&asked[1..4]);
    put(&mut octets, 1, Duid::from_uuid([1; 16]).octets());
    put(&mut octets, 2, &[0, 3, 0, 1, 2, 0, 0, 0, 0, 1]);
    put(&mut octets, 25, &association);
    put(&mut octets, 14, &[]);
    octets
}

#[test]
fn what_a_delegated_prefix_changes_of_the_routers_supply_is_kept_too() {
    let mut world = World::new(Wanted {
        ra: Some(<_>::default()),
        dhcp6: Some(Arc::new(Dhcp6Settings {
            delegate: Some(0),
            ..Dhcp6Settings::default()
        })),
        ..Wanted::default()
    });
    let link = world.links.get_mut(&LINK).unwrap();
    link.addresses.push(Prefix {
        address: "fe80::1".parse().unwrap(),
        length: 64,
    });
    world.clients.apply_links(&world.links, WALL, world.now);
    world.drain();
    let hear = |world: &mut World, port, octets| {
        let heard = Heard {
            index: LINK.index,
            port,
            from: "fe80::a".parse().unwrap(),
            hop_limit: 255,
            checksum: Checksum::Complete,
            octets,
        };
        world
            .clients
            .handle_heard(&heard, |_| false, WALL, world.now);
        world.drain();
    };
    hear(&mut world, Port::Icmp6, advertisement());
    let kept = |world: &World| {
        let clocks = world.clients.clocks(WALL, world.now);
        world.clients.memory.ra("eth0", &clocks).unwrap().age
    };
    assert_eq!(kept(&world), Duration::ZERO);
    assert_eq!(world.addresses(Supplier::Ra), Some(1));
    world.pass(Duration::from_secs(50));
    let is_solicit = |sent: &&Transmit| sent.port == Port::Dhcp6 && sent.octets[0] == 1;
    let asked = world.sent.iter().rfind(is_solicit);
    let reply = delegation(&asked.unwrap().octets);
    hear(&mut world, Port::Dhcp6, reply);
    assert_eq!(
        world.addresses(Supplier::Ra),
        Some(0),
        "there is a prefix of our own"
    );
    assert_eq!(
        kept(&world),
        Duration::ZERO,
        "kept as it is since the prefix came"
    );
}

#[test]
fn a_stable_identifier_is_of_the_link_and_its_name() {
    let identifier = |name: &str, mac| {
        let mut world = World::new(Wanted::default());
        let link = world.links.get_mut(&LINK).unwrap();
        (link.name, link.mac) = (name.into(), Some(mac));
        world.plan(Wanted {
            dhcp4: Some(Arc::new(Dhcp4Settings {
                client_id: config::model::ClientId::Stable,
                ..Dhcp4Settings::default()
            })),
            ..Wanted::default()
        });
        world.clients.apply_links(&world.links, WALL, world.now);
        world.drain();
        let asked = world.sent.iter().rfind(|sent| sent.port == Port::Packet);
        let message = &asked.expect("servers are looked for").octets[28..];
        let at = message.windows(3).position(|it| it == [61, 17, 0]).unwrap();
        message[at + 2..at + 19].to_vec()
    };
    let own = identifier("eth0", MAC);
    assert_eq!(own, identifier("eth0", OTHER), "whatever the card is");
    assert_ne!(own, identifier("eth9", MAC));
}
