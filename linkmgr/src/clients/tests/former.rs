//! Do servers go on knowing a link by what its client before us called itself?

use config::model::ClientId;

use super::*;
use crate::former::{Former4, Former6, Leaving};

const HELD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
const THEIRS: &[u8] = &[255, 1, 2, 3, 4, 0, 2, 9, 9];

fn left(client_id: Option<&[u8]>) -> Former {
    Former {
        dhcp4: Some(Former4 {
            address: HELD,
            client_id: client_id.map(Into::into),
            by: Leaving::NetworkdLease,
        }),
        dhcp6: Some(Former6 {
            duid: Duid::from_octets(&[0, 2, 9, 9]).unwrap(),
            iaid: 0x0102_0304,
            address: None,
            by: Leaving::NetworkdLink,
        }),
        made: Vec::new(),
    }
}

fn settings(client_id: ClientId) -> Wanted {
    Wanted {
        dhcp4: Some(Arc::new(Dhcp4Settings {
            client_id,
            ..Dhcp4Settings::default()
        })),
        ..Wanted::default()
    }
}

/// Starts a client on what is remembered, where somebody has left this; returns its options 61 and 50.
fn first_words(world: &mut World, wanted: Wanted, left: Option<Former>) -> (Vec<u8>, Vec<u8>) {
    world.plan(Wanted::default());
    world.sent.clear();
    if let Some(left) = left {
        world.clients.take_former(LINK, left);
    }
    world.plan(wanted);
    world.clients.apply_links(&world.links, WALL, world.now);
    world.drain();
    let asked = world.sent.iter().find(|sent| sent.port == Port::Packet);
    let message = &asked.expect("servers are looked for").octets[28 + 240..];
    let mut rest = message;
    let (mut id, mut address) = (Vec::new(), Vec::new());
    while let [code, length, tail @ ..] = rest
        && *code != 255
    {
        let (value, tail) = tail.split_at(usize::from(*length));
        match code {
            61 => id = value.to_vec(),
            50 => address = value.to_vec(),
            _ => {}
        }
        rest = tail;
    }
    (id, address)
}

fn by_mac() -> Vec<u8> {
    [&[1], &MAC.0[..]].concat()
}

#[test]
fn the_address_of_the_client_before_is_asked_for_under_its_identifier_and_from_then_on() {
    let mut world = World::new(Wanted::default());
    let kept = || settings(ClientId::Kept);
    let first = first_words(&mut world, kept(), Some(left(Some(THEIRS))));
    assert_eq!(first, (THEIRS.to_vec(), HELD.octets().to_vec()));
    // The next linnetd finds no file any more.
    let memory = world.clients.poll_memory().expect("it is kept").to_text();
    let memory = Memory::from_text(&memory).unwrap();
    let machine = Machine {
        duid: Duid::from_uuid([1; 16]),
        secret: Secret([7; 32]),
        boot_id: "another".into(),
    };
    world.clients = Clients::new(machine, memory, 2);
    world.clients.apply_links(&world.links, WALL, world.now);
    let (id, _) = first_words(&mut world, kept(), None);
    assert_eq!(id, THEIRS);
    // Another card is another client, and the profile has the last word.
    let (id, _) = first_words(&mut world, settings(ClientId::Mac), None);
    assert_eq!(id, by_mac());
    // Somebody else had the link since, who called himself nothing.
    let (id, _) = first_words(&mut world, kept(), Some(left(None)));
    assert_eq!(id, by_mac());
}

#[test]
fn files_of_others_are_older_than_a_lease_of_our_own_with_that_address() {
    let mut world = World::new(wanted(true, false));
    world.reply(OFFER);
    world.reply(ACK);
    assert_eq!(world.state(), StateName::Bound);
    let mut stale = left(Some(THEIRS));
    stale.dhcp4.as_mut().unwrap().address = ADDRESS;
    world.links.get_mut(&LINK).unwrap().addresses.clear();
    let (id, _) = first_words(&mut world, wanted(true, false), Some(stale));
    assert_eq!(id, by_mac());
}

#[test]
fn dhcp6_servers_know_us_by_what_the_client_before_called_itself() {
    let always = Dhcp6Settings {
        when: Dhcp6When::Always,
        ..Dhcp6Settings::default()
    };
    let said = |settings: Dhcp6Settings| {
        let mut world = World::new(Wanted::default());
        let link = world.links.get_mut(&LINK).unwrap();
        link.addresses.push(Prefix {
            address: "fe80::1".parse().unwrap(),
            length: 64,
        });
        world.clients.take_former(LINK, left(None));
        world.plan(Wanted {
            dhcp6: Some(Arc::new(settings)),
            ..Wanted::default()
        });
        world.clients.apply_links(&world.links, WALL, world.now);
        world.drain();
        let sent = world.sent.iter().find(|sent| sent.port == Port::Dhcp6);
        sent.expect("somebody is solicited").octets[6..].to_vec()
    };
    let kept = said(always.clone());
    assert_eq!(kept[..6], [0, 4, 0, 2, 9, 9]);
    let iaid = [1, 2, 3, 4];
    assert!(kept.windows(4).any(|it| it == iaid), "{kept:?}");
    let machine = said(Dhcp6Settings {
        identity: Identity {
            duid: DuidUse::MachineId,
            iaid: None,
        },
        ..always
    });
    assert_eq!(machine[..2], [0, 18]);
    assert!(!machine.windows(4).any(|it| it == iaid), "{machine:?}");
}
