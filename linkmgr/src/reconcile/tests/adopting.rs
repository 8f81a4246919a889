//! What becomes of a link that was left to others and is taken back? What its clients supply late is ours, and no other link loses its default
//! route.

use config::model::RaSettings;
use policy::facts::{DefaultRoute, Supplier};

use super::stories::foreign_route;
use super::*;
use crate::kernel::OURS;
use crate::{KernelEvent, RouteMessage};

const LEASE: Duration = Duration::from_secs(600);

/// A link whose clients have supplied nothing yet.
fn asking() -> LinkPlan {
    let mut plan = up();
    plan.clients.dhcp4 = Some(Arc::default());
    plan.clients.ra = Some(RaSettings::default());
    plan
}

/// The same, and what its network supplies from then on, with default routes of this metric.
fn supplied(metric: u32, now: Instant) -> LinkPlan {
    let until = Some(now + LEASE);
    let mut plan = asking();
    for (address, to, gateway, supplier) in [
        ("192.0.2.10/24", "0.0.0.0/0", "192.0.2.1", Supplier::Dhcp4),
        ("2001:db8::10/64", "::/0", "2001:db8::1", Supplier::Ra),
    ] {
        let supplier = Some(supplier);
        let lease = AddressPlan {
            supplier,
            preferred_until: until,
            valid_until: until,
            ..lasting()
        };
        plan.addresses.insert(prefix(address), lease);
        for (to, metric) in [(to, metric), (beyond(to), 100)] {
            let route = RoutePlan {
                supplier,
                valid_until: until.filter(|_| supplier == Some(Supplier::Ra)),
                ..through(gateway)
            };
            plan.routes.insert(key(to, metric), route);
        }
    }
    plan
}

/// Where else a network leads.
fn beyond(to: &str) -> &'static str {
    match to {
        "0.0.0.0/0" => "10.0.0.0/8",
        _ => "2001:db8:5::/48",
    }
}

/// A link with an address and one default route of this metric, as the profile says.
fn uplink(network: &str, metric: u32) -> LinkPlan {
    let mut plan = up();
    plan.addresses
        .insert(prefix(&format!("{network}.10/24")), lasting());
    let gateway = through(&format!("{network}.1"));
    plan.routes.insert(key("0.0.0.0/0", metric), gateway);
    plan
}

fn of(machine: &Machine, links: &[(&str, LinkPlan)]) -> LinksPlan {
    LinksPlan {
        rules: [].into(),
        ..plan(machine, links)
    }
}

/// A link that had everything and was left to others a while ago.
fn released() -> Machine {
    let mut machine = Machine::new();
    let wanted = supplied(100, machine.now);
    machine.apply(&of(&machine, &[("home0", wanted)]));
    machine.links.release(machine.id("home0"));
    machine.apply(&LinksPlan::default());
    machine.pass(Duration::from_secs(100));
    assert_eq!(machine.kernel.routes().len(), 4);
    machine
}

fn adopt(machine: &mut Machine, links: &[(&str, LinkPlan)]) {
    let wanted = Arc::new(of(machine, links));
    machine.links.apply_plan(wanted, machine.now);
    machine.links.adopt(machine.id("home0"), machine.now);
    machine.drive();
}

/// Has a link be up with an address that others have given it.
fn set_up_by_others(machine: &mut Machine, (index, name): (u32, &str), address: &str) {
    let mut on = link(index, name);
    on.admin_up = true;
    machine.kernel.put_link(on);
    let address = crate::fake::FakeAddress::foreign(prefix(address));
    machine.kernel.put_address(index, address, START);
}

/// By which link each IPv4 default route leaves, by metric.
fn ways(machine: &Machine) -> Vec<(u32, u32)> {
    let routes = machine.kernel.routes().iter();
    let defaults = routes.filter(|(key, _)| key.to == prefix("0.0.0.0/0"));
    defaults
        .map(|(key, it)| (key.metric, it.route.hops[0].index))
        .collect()
}

#[test]
fn what_clients_supply_after_the_adoption_of_their_link_is_ours() {
    for restarts in [false, true] {
        let mut machine = released();
        let sent = machine.sent.len();
        adopt(&mut machine, &[("home0", asking())]);
        if restarts {
            machine.start();
            machine.apply(&of(&machine, &[("home0", asking())]));
        }
        machine.pass(Duration::from_secs(3));
        let wanted = of(&machine, &[("home0", supplied(100, machine.now))]);
        machine.apply(&wanted);
        machine.pass(Duration::from_secs(100));
        let items = machine.links.items(Some(machine.id("home0")));
        let placed = |it: &&(Item, ItemState)| !matches!(it.0, Item::Setting(..));
        for (item, state) in items.iter().filter(placed) {
            assert_eq!(*state, ItemState::Ours, "{item:?}, restart: {restarts}");
        }
        let deleted = machine.sent[sent..].iter().find(|it| it.is_deletion());
        assert_eq!(deleted, None, "nothing is taken away meanwhile");
        // It goes with the cable, and at a clean end.
        machine.apply(&of(&machine, &[("home0", asking())]));
        assert_eq!(machine.kernel.routes().len(), 0, "restart: {restarts}");
        machine.apply(&wanted);
        machine.links.stop(StopLevel::Clean, machine.now);
        machine.drive();
        assert!(machine.kernel.routes().is_empty(), "restart: {restarts}");
    }
}

#[test]
fn what_clients_do_not_say_again_goes_after_a_minute() {
    let mut machine = released();
    adopt(&mut machine, &[("home0", asking())]);
    machine.pass(Duration::from_secs(50));
    assert_eq!(machine.kernel.routes().len(), 4);
    // The network is another place now, or its routes have another metric.
    let wanted = of(&machine, &[("home0", supplied(20_100, machine.now))]);
    machine.apply(&wanted);
    assert_eq!(ways(&machine), [(100, 2), (20_100, 2)]);
    machine.pass(Duration::from_secs(20));
    assert_eq!(ways(&machine), [(20_100, 2)]);
    assert_eq!(machine.links.poll_timeout(), None, "nothing is waited for");
}

#[test]
fn what_is_released_again_before_its_clients_say_it_stays() {
    let mut machine = released();
    adopt(&mut machine, &[("home0", asking())]);
    machine.links.release(machine.id("home0"));
    let journal = machine.links.poll_journal().unwrap();
    assert!(!journal.text.contains("route"), "{}", journal.text);
    machine
        .links
        .handle_journal(journal.version, true, machine.now);
    machine.apply(&LinksPlan::default());
    machine.pass(Duration::from_secs(100));
    assert_eq!(machine.kernel.routes().len(), 4);
}

#[test]
fn routes_of_a_taken_back_link_that_nobody_would_say_again_go_only_where_they_mislead() {
    let mut machine = released();
    // The profile says another place by now, and has no clients.
    adopt(&mut machine, &[("home0", uplink("192.0.2", 50))]);
    assert_eq!(ways(&machine), [(50, 2)]);
    let left = [key("10.0.0.0/8", 100), key("2001:db8:5::/48", 100)];
    for left in left {
        assert!(machine.kernel.routes().contains_key(&left), "{left:?}");
    }
}

#[test]
fn an_adoption_takes_nothing_of_another_link() {
    // Whether what the other link has is somebody else's, or has our number and nobody's proof.
    for protocol in [16, OURS] {
        let mut machine = Machine::new();
        let mut on = link(3, "vpn0");
        on.admin_up = true;
        machine.kernel.put_link(on);
        let address = crate::fake::FakeAddress::foreign(prefix("198.51.100.2/24"));
        machine.kernel.put_address(3, address, START);
        let theirs = foreign_route("0.0.0.0/0", 100, 3, "198.51.100.1");
        assert!(machine.kernel.put_foreign_route(&theirs, protocol, START));
        let wanted = [("home0", uplink("192.0.2", 100))];
        machine.apply(&of(&machine, &wanted));
        adopt(&mut machine, &wanted);
        machine.pass(Duration::from_secs(100));
        assert_eq!(ways(&machine), [(100, 3)], "protocol {protocol}");
        let item = Item::Route(key("0.0.0.0/0", 100));
        assert_eq!(machine.state("home0", &item), ItemState::Foreign);
        let default = Holder::Default {
            index: 3,
            maker: Protocol(16),
        };
        let holder = match protocol {
            OURS => Holder::Unproven { index: Some(3) },
            _ => default,
        };
        assert_eq!(machine.links.holder(&item), Some(holder));
    }
}

#[test]
fn a_place_that_this_link_and_another_have_is_not_taken() {
    let mut machine = Machine::new();
    for (index, name) in [(2, "home0"), (3, "vpn0")] {
        let mut on = link(index, name);
        on.admin_up = true;
        machine.kernel.put_link(on);
    }
    let left = foreign_route("0.0.0.0/0", 100, 3, "198.51.100.1");
    let address = crate::fake::FakeAddress::foreign(prefix("198.51.100.2/24"));
    machine.kernel.put_address(3, address, START);
    assert!(machine.kernel.put_foreign_route(&left, 16, START));
    let wanted = [("home0", uplink("192.0.2", 100))];
    machine.apply(&of(&machine, &wanted));
    machine.pass(Duration::from_secs(10));
    // Two of one place: the kernel replaces the one that is first.
    let beside = KernelEvent::Route(RouteMessage {
        index: 2,
        to: prefix("0.0.0.0/0"),
        route: DefaultRoute {
            metric: 100,
            gateway: Some("192.0.2.1".parse().unwrap()),
        },
        source: None,
        protocol: 16,
    });
    machine.links.handle_event(beside, machine.now);
    adopt(&mut machine, &wanted);
    machine.pass(Duration::from_secs(10));
    assert_eq!(ways(&machine), [(100, 3)]);
    // Named is the one that keeps the other from being taken.
    let holder = Holder::Default {
        index: 3,
        maker: Protocol(16),
    };
    let item = Item::Route(key("0.0.0.0/0", 100));
    assert_eq!(machine.links.holder(&item), Some(holder));
}

#[test]
fn of_several_links_in_the_way_one_whose_maker_says_who_he_is_is_named() {
    let mut machine = Machine::new();
    let everywhere = key("0.0.0.0/0", 100);
    for (index, protocol, (named, maker)) in [(2, 16, (2, 16)), (5, 0, (5, 0)), (3, 12, (3, 12))] {
        let theirs = KernelEvent::Route(RouteMessage {
            index,
            to: everywhere.to,
            route: DefaultRoute {
                metric: everywhere.metric,
                gateway: None,
            },
            source: None,
            protocol,
        });
        machine.links.handle_event(theirs, machine.now);
        let holder = Holder::Default {
            index: named,
            maker: Protocol(maker),
        };
        let told = machine.links.holder(&Item::Route(everywhere));
        assert_eq!(told, Some(holder), "after {protocol}");
    }
}

#[test]
fn a_link_keeps_its_default_route_until_its_better_place_is_free() {
    for is_taken_back in [false, true] {
        let mut machine = Machine::new();
        let both = [
            ("home0", uplink("192.0.2", 100)),
            ("vpn0", uplink("198.51.100", 101)),
        ];
        machine.apply(&of(&machine, &both));
        machine.links.release(machine.id("home0"));
        let better = of(&machine, &[("vpn0", uplink("198.51.100", 100))]);
        machine.apply(&better);
        machine.pass(Duration::from_secs(100));
        assert_eq!(ways(&machine), [(100, 2), (101, 3)]);
        if is_taken_back {
            adopt(&mut machine, &both);
            machine.pass(Duration::from_secs(100));
            assert_eq!(ways(&machine), [(100, 2), (101, 3)]);
            let item = Item::Route(key("0.0.0.0/0", 100));
            assert_eq!(machine.state("home0", &item), ItemState::Ours);
            machine.apply(&better);
        } else {
            let place = key("0.0.0.0/0", 100);
            machine.kernel.take_route(&place, machine.now);
        }
        machine.pass(Duration::from_secs(100));
        assert_eq!(ways(&machine), [(100, 3)], "taken back: {is_taken_back}");
    }
}

#[test]
fn a_route_that_waits_for_its_better_place_goes_when_it_is_to_have_none() {
    let mut machine = Machine::new();
    let both = [
        ("home0", uplink("192.0.2", 100)),
        ("vpn0", uplink("198.51.100", 101)),
    ];
    machine.apply(&of(&machine, &both));
    machine.links.release(machine.id("home0"));
    machine.apply(&of(&machine, &[("vpn0", uplink("198.51.100", 100))]));
    assert_eq!(ways(&machine), [(100, 2), (101, 3)]);
    let mut none = uplink("198.51.100", 100);
    none.routes.clear();
    machine.apply(&of(&machine, &[("vpn0", none)]));
    assert_eq!(ways(&machine), [(100, 2)]);
}

#[test]
fn a_third_link_takes_no_default_route_that_waits_for_its_better_place() {
    let mut machine = Machine::new();
    let mut third = link(4, "wan0");
    third.admin_up = true;
    machine.kernel.put_link(third);
    machine.drive();
    let all = |first: u32| {
        [
            ("vpn0", uplink("198.51.100", first)),
            ("wan0", uplink("203.0.113", first + 1)),
        ]
    };
    let mut three = vec![("home0", uplink("192.0.2", 100))];
    three.extend(all(101));
    machine.apply(&of(&machine, &three));
    assert_eq!(ways(&machine), [(100, 2), (101, 3), (102, 4)]);
    machine.links.release(machine.id("home0"));
    machine.apply(&of(&machine, &all(100)));
    machine.pass(Duration::from_secs(100));
    assert_eq!(ways(&machine), [(100, 2), (101, 3), (102, 4)]);
    machine
        .kernel
        .take_route(&key("0.0.0.0/0", 100), machine.now);
    machine.pass(Duration::from_secs(100));
    assert_eq!(ways(&machine), [(100, 3), (101, 4)]);
}

#[test]
fn links_change_places_when_nothing_is_in_the_way() {
    let mut machine = Machine::new();
    for (home, vpn) in [
        (100, 101),
        (101, 100),
        (100, 101),
        (20_100, 200),
        (100, 101),
    ] {
        let changed = [
            ("home0", uplink("192.0.2", home)),
            ("vpn0", uplink("198.51.100", vpn)),
        ];
        machine.apply(&of(&machine, &changed));
        machine.pass(Duration::from_secs(5));
        let mut expected = [(home, 2), (vpn, 3)];
        expected.sort_unstable();
        assert_eq!(ways(&machine), expected);
    }
}

#[test]
fn a_release_ends_what_an_adoption_had_begun() {
    let mut machine = Machine::new();
    set_up_by_others(&mut machine, (2, "home0"), "192.0.2.10/24");
    let rival = foreign_route("0.0.0.0/0", 1024, 2, "192.0.2.1");
    assert!(machine.kernel.put_foreign_route(&rival, 16, START));
    let wanted = of(&machine, &[("home0", uplink("192.0.2", 100))]);
    machine.apply(&wanted);
    machine.pass(Duration::from_secs(10));
    machine.links.adopt(machine.id("home0"), machine.now);
    machine.links.release(machine.id("home0"));
    machine.apply(&LinksPlan::default());
    machine.pass(Duration::from_secs(5));
    // It is set up again, and nobody has said that it is to be adopted.
    machine.apply(&wanted);
    machine.pass(Duration::from_secs(100));
    assert_eq!(ways(&machine), [(100, 2), (1024, 2)]);
    assert_eq!(
        machine.kernel.routes()[&key("0.0.0.0/0", 1024)].protocol,
        16
    );
}

#[test]
fn what_another_manager_left_meanwhile_is_taken_when_clients_have_supplied() {
    let mut machine = Machine::new();
    set_up_by_others(&mut machine, (2, "home0"), "192.0.2.11/24");
    // One in the way, one beside.
    for metric in [100, 1024] {
        let theirs = foreign_route("0.0.0.0/0", metric, 2, "192.0.2.1");
        assert!(machine.kernel.put_foreign_route(&theirs, 16, START));
    }
    adopt(&mut machine, &[("home0", asking())]);
    assert_eq!(ways(&machine), [(100, 2), (1024, 2)]);
    machine.pass(Duration::from_secs(3));
    let wanted = of(&machine, &[("home0", supplied(100, machine.now))]);
    machine.apply(&wanted);
    machine.pass(Duration::from_secs(100));
    assert_eq!(ways(&machine), [(100, 2)]);
    let item = Item::Route(key("0.0.0.0/0", 100));
    assert_eq!(machine.state("home0", &item), ItemState::Ours);
    // What comes long afterwards stays.
    let theirs = foreign_route("0.0.0.0/0", 1024, 2, "192.0.2.1");
    assert!(machine.kernel.put_foreign_route(&theirs, 16, machine.now));
    machine.apply(&of(&machine, &[("home0", asking())]));
    machine.apply(&wanted);
    machine.pass(Duration::from_secs(100));
    assert_eq!(ways(&machine), [(100, 2), (1024, 2)]);
}

#[test]
fn an_address_that_clients_supply_after_the_adoption_is_ours_though_it_never_ends() {
    let mut machine = Machine::new();
    let mut lasting_lease = asking();
    let lease = AddressPlan {
        supplier: Some(Supplier::Ipv4ll),
        ..lasting()
    };
    let address = prefix("169.254.7.7/16");
    lasting_lease.addresses.insert(address, lease);
    let wanted = [("home0", lasting_lease)];
    machine.apply(&of(&machine, &wanted));
    machine.links.release(machine.id("home0"));
    machine.apply(&LinksPlan::default());
    adopt(&mut machine, &[("home0", asking())]);
    machine.pass(Duration::from_secs(7));
    machine.apply(&of(&machine, &wanted));
    machine.pass(Duration::from_secs(10));
    let item = Item::Address(2, address);
    assert_eq!(machine.state("home0", &item), ItemState::Ours);
}

#[test]
fn a_late_adoption_takes_neither_other_routes_nor_those_of_routing_programs() {
    const BIRD: u8 = 12;
    let mut machine = Machine::new();
    set_up_by_others(&mut machine, (2, "home0"), "192.0.2.11/24");
    for (to, protocol) in [("0.0.0.0/0", BIRD), ("10.0.0.0/8", 16)] {
        let theirs = foreign_route(to, 100, 2, "192.0.2.1");
        assert!(machine.kernel.put_foreign_route(&theirs, protocol, START));
    }
    adopt(&mut machine, &[("home0", asking())]);
    machine.pass(Duration::from_secs(3));
    let wanted = of(&machine, &[("home0", supplied(100, machine.now))]);
    machine.apply(&wanted);
    machine.pass(Duration::from_secs(30));
    for (to, protocol) in [("0.0.0.0/0", BIRD), ("10.0.0.0/8", 16)] {
        let there = &machine.kernel.routes()[&key(to, 100)];
        assert_eq!(there.protocol, protocol, "{to}");
        let item = Item::Route(key(to, 100));
        let state = machine.state("home0", &item);
        assert_eq!(state, ItemState::Foreign, "{to}");
        let default = Holder::Default {
            index: 2,
            maker: Protocol(BIRD),
        };
        let holder = (to == "0.0.0.0/0").then_some(default);
        assert_eq!(machine.links.holder(&item), holder, "{to}");
    }
}

#[test]
fn an_adoption_is_over_after_a_minute() {
    let mut machine = Machine::new();
    let place = key("0.0.0.0/0", 100);
    set_up_by_others(&mut machine, (2, "home0"), "192.0.2.11/24");
    set_up_by_others(&mut machine, (3, "vpn0"), "198.51.100.11/24");
    // Another link has the place, so that nothing is taken.
    let theirs = foreign_route("0.0.0.0/0", 100, 3, "198.51.100.1");
    assert!(machine.kernel.put_foreign_route(&theirs, 16, START));
    adopt(&mut machine, &[("home0", uplink("192.0.2", 100))]);
    machine.pass(Duration::from_secs(100));
    assert_eq!(ways(&machine), [(100, 3)]);
    machine.kernel.take_route(&place, machine.now);
    let theirs = foreign_route("0.0.0.0/0", 100, 2, "192.0.2.9");
    assert!(machine.kernel.put_foreign_route(&theirs, 16, machine.now));
    machine.pass(Duration::from_secs(1000));
    assert_eq!(machine.kernel.routes()[&place].protocol, 16);
}
