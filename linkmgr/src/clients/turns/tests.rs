//! Does everybody have a turn, and nobody too many at once?

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use config::matcher::Mac;
use config::model::{AddressAttributes, ConflictUse, Prefix, ProfileId};
use policy::links::AddressPlan;
use policy::{LinkFacts, LinkPlan, LinksPlan};

use super::*;
use crate::clients::{Machine, Memory, Port, Transmit};
use crate::dhcp6::Duid;
use crate::slaac::Secret;

const LINKS: u32 = 1000;
const WALL: WallTime = WallTime(1_800_000_000);

fn prefix(index: u32) -> Prefix {
    Prefix {
        address: std::net::Ipv4Addr::from_bits(0x0a00_0001 + index * 256).into(),
        length: 24,
    }
}

fn id(index: u32) -> LinkId {
    LinkId { index, birth: 1 }
}

fn link_plan(index: u32) -> LinkPlan {
    let address = AddressPlan {
        supplier: None,
        preferred_until: None,
        valid_until: None,
        temporaries: false,
        no_prefix_route: false,
        metric: 0,
        attributes: AddressAttributes::default(),
        conflicts: ConflictUse::Check,
    };
    let mut plan = LinkPlan::new("eth".into(), ProfileId("any".into()));
    plan.addresses.insert(prefix(index), address);
    plan
}

fn facts(index: u32, has_address: bool) -> LinkFacts {
    let [_, _, high, low] = index.to_be_bytes();
    LinkFacts {
        name: format!("eth{index}").into(),
        mac: Some(Mac([2, 0, 0, 0, high, low])),
        up: true,
        arp: true,
        addresses: has_address.then(|| prefix(index)).into_iter().collect(),
        ..LinkFacts::default()
    }
}

fn clients() -> Clients {
    let machine = Machine {
        duid: Duid::from_uuid([1; 16]),
        secret: Secret([7; 32]),
        boot_id: "boot".into(),
    };
    Clients::new(machine, Memory::default(), 1)
}

/// Takes all that there is to send; tells which ports are open.
fn drain(clients: &mut Clients, sent: &mut Vec<Transmit>, open: &mut BTreeSet<(u32, Port)>) {
    open_ports(clients, open);
    sent.extend(std::iter::from_fn(|| clients.poll_transmit()));
    open_ports(clients, open);
}

fn open_ports(clients: &mut Clients, open: &mut BTreeSet<(u32, Port)>) {
    let changes = clients.poll_ports().unwrap_or_default();
    for place in &changes.close {
        assert!(open.remove(place), "{place:?} is not open");
    }
    let wanted = changes.open.iter();
    open.extend(wanted.map(|wanted| (wanted.index, wanted.port)));
}

#[test]
fn a_thousand_links_that_come_up_together_take_turns() {
    let mut clients = clients();
    let mut now = Instant::ZERO + Duration::from_secs(100);
    let plan = LinksPlan {
        links: (1..=LINKS)
            .map(|index| (id(index), link_plan(index)))
            .collect(),
        ..LinksPlan::default()
    };
    clients.apply_plan(&Arc::new(plan), WALL, now);
    for has_address in [false, true] {
        let links = (1..=LINKS).map(|index| (id(index), facts(index, has_address)));
        clients.apply_links(&links.collect(), WALL, now);
    }
    let begun = now;
    let (mut sent, mut open, mut most) = (Vec::new(), BTreeSet::new(), 0);
    drain(&mut clients, &mut sent, &mut open);
    while let Some(at) = clients.poll_timeout() {
        most = most.max(open.len());
        now = at;
        clients.handle_timeout(WALL, now);
        drain(&mut clients, &mut sent, &mut open);
    }
    assert_eq!((open.len(), most), (0, MAX_TURNS));
    let mut sent_by_link: BTreeMap<u32, u32> = BTreeMap::new();
    for transmit in &sent {
        assert_eq!(transmit.port, Port::Arp);
        *sent_by_link.entry(transmit.index).or_default() += 1;
    }
    let counts: BTreeSet<u32> = sent_by_link.values().copied().collect();
    assert_eq!((sent_by_link.len(), counts), (1000, BTreeSet::from([5])));
    // Three seconds for each sixteenth of them.
    let took = now.since(begun);
    assert!((40..60).contains(&took.as_secs()), "{took:?}");
}

#[test]
fn a_link_that_goes_leaves_its_turn_to_others() {
    let mut clients = clients();
    let mut now = Instant::ZERO + Duration::from_secs(100);
    let plan = |range: std::ops::RangeInclusive<u32>| LinksPlan {
        links: range.map(|index| (id(index), link_plan(index))).collect(),
        ..LinksPlan::default()
    };
    let many = 2 * u32::try_from(MAX_TURNS).unwrap();
    clients.apply_plan(&Arc::new(plan(1..=many)), WALL, now);
    for has_address in [false, true] {
        let links = (1..=many).map(|index| (id(index), facts(index, has_address)));
        clients.apply_links(&links.collect(), WALL, now);
    }
    now = now + Duration::from_secs(1);
    clients.handle_timeout(WALL, now);
    assert_eq!(
        (clients.turns.waiting.len(), clients.turns.taken.len()),
        (MAX_TURNS, MAX_TURNS)
    );
    clients.apply_plan(&Arc::new(plan(many / 2 + 1..=many)), WALL, now);
    assert_eq!(
        (clients.turns.waiting.len(), clients.turns.taken.len()),
        (0, MAX_TURNS)
    );
    clients.apply_plan(&Arc::new(LinksPlan::default()), WALL, now);
    assert_eq!(clients.turns.taken.len(), 0);
    assert_eq!(clients.poll_timeout(), None);
}
