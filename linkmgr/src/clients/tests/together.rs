//! Do the clients for IPv6 of a link know of each other, whichever of them begins when, and does what they supply end with them?

use config::model::{Privacy, RaSettings};

use super::*;

/// A link with a link-local address.
fn world(wanted: Wanted) -> World {
    let mut world = World::new(wanted);
    let link = world.links.get_mut(&LINK).unwrap();
    link.addresses.push(Prefix {
        address: "fe80::1".parse().unwrap(),
        length: 64,
    });
    world.clients.apply_links(&world.links, WALL, world.now);
    world.drain();
    world
}

fn hear(world: &mut World, port: Port, octets: Vec<u8>) {
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
}

/// A router's advertisement that says M.
fn managed() -> Vec<u8> {
    let mut octets = advertisement();
    octets[5] = 0x80;
    octets
}

fn both(ra: Option<RaSettings>, dhcp6: Option<Dhcp6Settings>) -> Wanted {
    Wanted {
        ra,
        dhcp6: dhcp6.map(Arc::new),
        ..Wanted::default()
    }
}

fn private() -> RaSettings {
    RaSettings {
        privacy: Privacy::Preferred,
        ..RaSettings::default()
    }
}

fn asks_for_another() -> Dhcp6Settings {
    Dhcp6Settings {
        hostname: Some("another".into()),
        ..Dhcp6Settings::default()
    }
}

fn handing_on() -> Dhcp6Settings {
    Dhcp6Settings {
        delegate: Some(0),
        ..Dhcp6Settings::default()
    }
}

/// Types of the DHCPv6 messages that were sent since.
fn asked(world: &mut World) -> Vec<u8> {
    let sent = std::mem::take(&mut world.sent).into_iter();
    let sent = sent.filter(|sent| sent.port == Port::Dhcp6);
    sent.map(|sent| sent.octets[0]).collect()
}

/// A server delegates a prefix at once.
fn delegate(world: &mut World) {
    let is_solicit = |sent: &&Transmit| sent.port == Port::Dhcp6 && sent.octets[0] == 1;
    let asked = world.sent.iter().rfind(is_solicit);
    let reply = delegation(&asked.expect("somebody is solicited").octets);
    hear(world, Port::Dhcp6, reply);
}

#[test]
fn who_begins_beside_a_client_that_has_heard_routers_hears_what_they_said() {
    let ra = || Some(RaSettings::default());
    let mut world = world(both(ra(), None));
    hear(&mut world, Port::Icmp6, managed());
    assert!(asked(&mut world).is_empty());
    world.plan(both(ra(), Some(Dhcp6Settings::default())));
    assert_eq!(asked(&mut world), [1], "the first");
    world.plan(both(ra(), Some(asks_for_another())));
    assert_eq!(asked(&mut world), [1], "and its successor");
}

#[test]
fn who_begins_beside_a_client_with_a_prefix_of_its_own_makes_addresses_of_no_other() {
    let mut world = world(both(Some(RaSettings::default()), Some(handing_on())));
    hear(&mut world, Port::Icmp6, advertisement());
    world.pass(Duration::from_secs(50));
    delegate(&mut world);
    assert_eq!(world.addresses(Supplier::Ra), Some(0));
    world.plan(both(Some(private()), Some(handing_on())));
    assert_eq!(world.addresses(Supplier::Ra), Some(0));
    // Nobody has a prefix of its own any more.
    world.plan(both(Some(private()), None));
    assert_eq!(world.addresses(Supplier::Ra), Some(1));
}

#[test]
fn what_a_client_supplied_ends_with_it_unless_the_next_one_has_it_too() {
    let mut world = world(both(Some(RaSettings::default()), Some(handing_on())));
    hear(&mut world, Port::Icmp6, advertisement());
    world.pass(Duration::from_secs(50));
    delegate(&mut world);
    let delegated = |world: &World| {
        let supply = world.clients.supplies().get(&(LINK, Supplier::Dhcp6))?;
        Some(supply.delegated.len())
    };
    assert_eq!(delegated(&world), Some(1));
    let others = Dhcp6Settings {
        hostname: Some("another".into()),
        ..handing_on()
    };
    world.plan(both(Some(RaSettings::default()), Some(others.clone())));
    assert_eq!(delegated(&world), Some(1), "it is remembered");
    let _changed = world.clients.take_changed();
    // Who is anonymous remembers nothing, and nobody would prolong it.
    let anonymous = Dhcp6Settings {
        anonymous: true,
        ..others
    };
    world.plan(both(Some(RaSettings::default()), Some(anonymous)));
    assert_eq!(delegated(&world), None);
    let key = (LINK, Supplier::Dhcp6);
    assert!(world.clients.take_changed().contains(&key));
    assert_eq!(world.addresses(Supplier::Ra), Some(1));
}

#[test]
fn what_routers_said_holds_whoever_listens_to_them() {
    let of = |ra| both(Some(ra), None);
    let mut world = world(of(private()));
    hear(&mut world, Port::Icmp6, advertisement());
    assert_eq!(world.addresses(Supplier::Ra), Some(1));
    let _changed = world.clients.take_changed();
    let available = RaSettings {
        privacy: Privacy::Available,
        ..RaSettings::default()
    };
    world.plan(of(available));
    assert_eq!(world.addresses(Supplier::Ra), Some(1));
    world.pass(Duration::from_secs(10));
    assert_eq!(world.addresses(Supplier::Ra), Some(1));
}

#[test]
fn an_ipv4_lease_ends_with_its_client_and_that_servers_were_asked_in_vain_does_not() {
    let anonymous = || Wanted {
        dhcp4: Some(Arc::new(Dhcp4Settings {
            anonymous: true,
            ..Dhcp4Settings::default()
        })),
        ..Wanted::default()
    };
    let mut world = World::new(wanted(true, false));
    world.reply(OFFER);
    world.reply(ACK);
    assert_eq!(world.addresses(Supplier::Dhcp4), Some(1));
    world.plan(anonymous());
    assert_eq!(world.addresses(Supplier::Dhcp4), None);
    let mut world = World::new(wanted(true, false));
    world.pass(Duration::from_secs(20));
    assert_eq!(world.addresses(Supplier::Dhcp4), Some(0));
    world.plan(anonymous());
    assert_eq!(world.addresses(Supplier::Dhcp4), Some(0));
    // In another place nobody has asked yet.
    let link = world.links.get_mut(&LINK).unwrap();
    (link.mac, link.up) = (Some(Mac([2, 0, 0, 0, 0, 0x55])), false);
    world.clients.apply_links(&world.links, WALL, world.now);
    world.drain();
    assert_eq!(world.addresses(Supplier::Dhcp4), None);
}
