//! What becomes of what another manager of the link has left? It is taken over without a moment without it, and the kernel's own
//! client gets back what was its own.

use policy::facts::{DefaultRoute, Supplier};
use policy::links::Switch;

use super::stories::foreign_route;
use super::*;
use crate::fake::FakeAddress;
use crate::{KernelEvent, KernelFault, RouteMessage};

const LEASE: Duration = Duration::from_secs(3600);

fn leased(metric: u32) -> LinkPlan {
    let mut wanted = up();
    let lease = AddressPlan {
        valid_until: Some(START + LEASE),
        metric,
        supplier: Some(Supplier::Dhcp4),
        ..lasting()
    };
    wanted.addresses.insert(prefix("192.0.2.10/24"), lease);
    wanted
}

/// A link that is up, with an address as NetworkManager and dhcpcd leave it: with a route of their own for its prefix.
fn with_bare_address() -> Machine {
    let mut machine = Machine::new();
    let mut on = link(2, "home0");
    on.admin_up = true;
    machine.kernel.put_link(on);
    let left = FakeAddress {
        no_prefix_route: true,
        valid_until: Some(START + Duration::from_secs(900)),
        preferred_until: Some(START + Duration::from_secs(900)),
        ..FakeAddress::foreign(prefix("192.0.2.10/24"))
    };
    machine.kernel.put_address(2, left, START);
    let beside = foreign_route("192.0.2.0/24", 0, 2, "");
    assert!(machine.kernel.put_foreign_route(&beside, 2, START));
    machine.drive();
    machine
}

fn deletions(machine: &Machine) -> usize {
    let sent = machine.sent.iter();
    sent.filter(|request| matches!(request, KernelRequest::DeleteAddress { .. }))
        .count()
}

#[test]
fn a_leased_address_that_another_client_made_without_the_kernels_route_is_never_taken_away() {
    let mut machine = with_bare_address();
    let wanted = plan(&machine, &[("home0", leased(100))]);
    machine.apply(&wanted);
    machine.pass(Duration::from_secs(10));
    let item = Item::Address(2, prefix("192.0.2.10/24"));
    assert_eq!(machine.state("home0", &item), ItemState::Ours);
    assert_eq!(deletions(&machine), 0, "{:#?}", machine.sent);
    // The next daemon knows it too.
    machine.start();
    machine.apply(&wanted);
    machine.pass(Duration::from_secs(10));
    assert_eq!(machine.state("home0", &item), ItemState::Ours);
    assert_eq!(deletions(&machine), 0, "{:#?}", machine.sent);
}

#[test]
fn what_another_client_made_becomes_ours_where_the_kernel_does_not_mark_it_too() {
    let mut machine = Machine::new();
    machine.kernel.make_older();
    machine.start();
    let mut on = link(2, "home0");
    on.admin_up = true;
    machine.kernel.put_link(on);
    let left = FakeAddress {
        valid_until: Some(START + Duration::from_secs(900)),
        preferred_until: Some(START + Duration::from_secs(900)),
        ..FakeAddress::foreign(prefix("192.0.2.10/24"))
    };
    machine.kernel.put_address(2, left, START);
    machine.drive();
    let wanted = plan(&machine, &[("home0", leased(100))]);
    machine.apply(&wanted);
    let item = Item::Address(2, prefix("192.0.2.10/24"));
    assert_eq!(machine.state("home0", &item), ItemState::Ours);
    // The next daemon knows it too, and takes it away with its lease.
    machine.start();
    machine.apply(&wanted);
    assert_eq!(machine.state("home0", &item), ItemState::Ours);
    machine.apply(&plan(&machine, &[("home0", up())]));
    assert_eq!(machine.prefixes(2), Vec::<String>::new());
}

#[test]
fn it_is_made_anew_when_the_link_was_down_as_the_route_beside_it_is_gone() {
    let mut machine = with_bare_address();
    machine.apply(&plan(&machine, &[("home0", leased(100))]));
    machine.pass(Duration::from_secs(10));
    for up in [false, true] {
        let mut turned = machine.kernel.links()[&2].clone();
        turned.admin_up = up;
        machine.kernel.put_link(turned);
        machine.drive();
    }
    machine.pass(Duration::from_secs(10));
    assert_eq!(deletions(&machine), 1, "{:#?}", machine.sent);
    let addresses = machine.kernel.addresses();
    assert!(!addresses[0].1.no_prefix_route, "{addresses:?}");
}

#[test]
fn it_is_made_anew_too_when_the_link_was_down_while_nobody_looked() {
    let mut machine = with_bare_address();
    let wanted = plan(&machine, &[("home0", leased(100))]);
    machine.apply(&wanted);
    machine.pass(Duration::from_secs(10));
    // The kernel drops the route in silence, and keeps the address.
    machine.kernel.take_route(&key("192.0.2.0/24", 0), START);
    machine.start();
    machine.apply(&wanted);
    machine.pass(Duration::from_secs(10));
    assert_eq!(deletions(&machine), 1, "{:#?}", machine.sent);
    let addresses = machine.kernel.addresses();
    assert!(!addresses[0].1.no_prefix_route, "{addresses:?}");
    let item = Item::Address(2, prefix("192.0.2.10/24"));
    assert_eq!(machine.state("home0", &item), ItemState::Ours);
    assert!(!machine.journal.as_ref().unwrap().contains("bare"));
}

#[test]
fn all_routers_that_another_manager_took_for_its_default_route_are_taken_from_it_at_once() {
    let mut machine = Machine::new();
    let mut on = link(2, "home0");
    on.admin_up = true;
    machine.kernel.put_link(on);
    let left = foreign_route("::/0", 1024, 2, "fe80::1");
    assert!(machine.kernel.put_foreign_route(&left, 9, START));
    machine.apply(&plan(&machine, &[("home0", home())]));
    // Two more of the same place: the kernel tells each when it comes, and none that goes for another.
    let beside = |via: &str, metric, protocol| {
        KernelEvent::Route(RouteMessage {
            index: 2,
            to: prefix("::/0"),
            route: DefaultRoute {
                metric,
                gateway: Some(via.parse().unwrap()),
            },
            source: None,
            protocol,
        })
    };
    let told = [
        beside("fe80::2", 1024, 9),
        beside("fe80::3", 1024, 9),
        // A routing program's has the place with a manager's: the kernel would take one for the other.
        beside("fe80::4", 512, 9),
        beside("fe80::5", 512, 12),
    ];
    for event in told {
        machine.links.handle_event(event, START);
    }
    machine.pass(Duration::from_secs(10));
    let from = machine.sent.len();
    machine.links.adopt(machine.id("home0"), machine.now);
    machine.drive();
    machine.pass(Duration::from_secs(10));
    let sent = machine.sent[from..].iter();
    let taken: Vec<(u32, String)> = sent
        .filter_map(|request| {
            if let KernelRequest::ReplaceRoute(route) = request {
                return Some(('+', route));
            }
            let KernelRequest::DeleteRoute(route) = request else {
                return None;
            };
            Some(('-', route))
        })
        .map(|(sign, route)| {
            let via = route.hops[0].via.unwrap();
            (route.key.metric, format!("{sign}{via}"))
        })
        .collect();
    let expected = [
        "+fe80::3", "-fe80::3", "+fe80::2", "-fe80::2", "+fe80::1", "-fe80::1",
    ];
    assert_eq!(taken, expected.map(|it| (1024, it.to_owned())));
    assert!(!machine.kernel.routes().contains_key(&key("::/0", 1024)));
}

#[test]
fn no_link_local_address_is_made_where_another_manager_has_made_one() {
    let mut machine = Machine::new();
    let mut on = link(2, "home0");
    on.admin_up = true;
    machine.kernel.put_link(on);
    let way = ("home0".to_owned(), Switch::LinkLocal6);
    machine.kernel.put_switch("home0", Switch::LinkLocal6, 1);
    let theirs = FakeAddress::foreign(prefix("fe80::77/64"));
    machine.kernel.put_address(2, theirs, START);
    let mut wanted = up();
    wanted.switches = [(Switch::LinkLocal6, 0)].into();
    machine.apply(&plan(&machine, &[("home0", wanted)]));
    assert_eq!(machine.kernel.switches()[&way], 1, "there is one");
    machine
        .kernel
        .take_address(2, &prefix("fe80::77/64"), machine.now);
    machine.drive();
    assert_eq!(machine.kernel.switches()[&way], 0, "it is gone");
}

#[test]
fn the_kernels_own_client_is_given_back_with_a_link_that_is_released() {
    let mut machine = Machine::new();
    let switches = [
        (Switch::AcceptRa, 0),
        (Switch::UseTempaddr, 2),
        (Switch::LinkLocal6, 0),
        (Switch::Promote4, 1),
    ];
    let before = [1, 0, 1, 0];
    for ((switch, _), was) in switches.into_iter().zip(before) {
        machine.kernel.put_switch("home0", switch, was);
    }
    let mut wanted = leased(100);
    wanted.switches = switches.into();
    machine.apply(&plan(&machine, &[("home0", wanted)]));
    let now = |machine: &Machine| {
        switches.map(|(switch, _)| machine.kernel.switches()[&("home0".to_owned(), switch)])
    };
    assert_eq!(now(&machine), [0, 2, 0, 1]);
    machine.links.release(machine.id("home0"));
    machine.apply(&LinksPlan::default());
    assert_eq!(now(&machine), [1, 0, 1, 1], "the address is left behind");
    assert_eq!(machine.prefixes(2), ["192.0.2.10/24"]);
    machine.links.stop(StopLevel::Detach, machine.now);
    machine.drive();
    let journal = machine.journal.unwrap();
    assert!(!journal.contains("was "), "{journal}");
}

#[test]
fn adopting_a_link_takes_away_default_routes_that_another_manager_has_left_beside_ours_and_no_others()
 {
    let mut machine = Machine::new();
    for (index, name) in [(2, "home0"), (3, "vpn0")] {
        let mut on = link(index, name);
        on.admin_up = true;
        machine.kernel.put_link(on);
    }
    let routes = [
        ("0.0.0.0/0", 1024, 2, "192.0.2.1", 16),
        ("0.0.0.0/0", 5, 2, "192.0.2.1", 3),
        ("::/0", 1024, 2, "fe80::1", 9),
        // A routing program's, one for another place, one for half of all, and one of another link.
        ("0.0.0.0/0", 32, 2, "192.0.2.1", 12),
        ("10.9.0.0/16", 1024, 2, "192.0.2.1", 16),
        ("0.0.0.0/1", 1024, 2, "192.0.2.1", 16),
        ("0.0.0.0/0", 1025, 3, "203.0.113.1", 16),
    ];
    let theirs = FakeAddress::foreign(prefix("192.0.2.10/24"));
    machine.kernel.put_address(2, theirs, START);
    let theirs = FakeAddress::foreign(prefix("203.0.113.10/24"));
    machine.kernel.put_address(3, theirs, START);
    for (to, metric, index, via, protocol) in routes {
        let left = foreign_route(to, metric, index, via);
        assert!(machine.kernel.put_foreign_route(&left, protocol, START));
    }
    machine.apply(&plan(&machine, &[("home0", home())]));
    machine.pass(Duration::from_secs(10));
    let there = |machine: &Machine| {
        let places = routes.map(|(to, metric, ..)| key(to, metric));
        places.map(|place| machine.kernel.routes().contains_key(&place))
    };
    assert_eq!(there(&machine), [true; 7], "nobody has said so");
    machine.links.adopt(machine.id("home0"), machine.now);
    machine.drive();
    machine.pass(Duration::from_secs(10));
    let left = [false, false, false, true, true, true, true];
    assert_eq!(there(&machine), left, "{:#?}", machine.sent);
    for own in [key("0.0.0.0/0", 100), key("::/0", 100)] {
        assert_eq!(machine.state("home0", &Item::Route(own)), ItemState::Ours);
    }
    let journal = machine.journal.as_ref().unwrap();
    assert!(!journal.contains("1024"), "{journal}");
}

#[test]
fn a_default_route_of_others_stays_where_there_is_none_of_ours_yet() {
    let mut machine = Machine::new();
    let mut on = link(2, "home0");
    on.admin_up = true;
    machine.kernel.put_link(on);
    let theirs = FakeAddress::foreign(prefix("192.0.2.10/24"));
    machine.kernel.put_address(2, theirs, START);
    let left = foreign_route("0.0.0.0/0", 1024, 2, "192.0.2.1");
    assert!(machine.kernel.put_foreign_route(&left, 16, START));
    machine.apply(&plan(&machine, &[("home0", leased(100))]));
    machine.links.adopt(machine.id("home0"), machine.now);
    machine.drive();
    machine.pass(Duration::from_secs(10));
    let place = key("0.0.0.0/0", 1024);
    assert_eq!(machine.kernel.routes()[&place].protocol, 16);
}

#[test]
fn a_rival_that_the_kernel_was_too_busy_for_is_taken_later() {
    let mut machine = Machine::new();
    let mut on = link(2, "home0");
    on.admin_up = true;
    machine.kernel.put_link(on);
    let theirs = FakeAddress::foreign(prefix("192.0.2.10/24"));
    machine.kernel.put_address(2, theirs, START);
    let left = foreign_route("0.0.0.0/0", 1024, 2, "192.0.2.1");
    assert!(machine.kernel.put_foreign_route(&left, 16, START));
    machine.apply(&plan(&machine, &[("home0", home())]));
    machine.pass(Duration::from_secs(10));
    machine.links.adopt(machine.id("home0"), machine.now);
    let place = key("0.0.0.0/0", 1024);
    let mut refused = 0;
    for _ in 0..ROUNDS {
        if let Some(journal) = machine.links.poll_journal() {
            machine
                .links
                .handle_journal(journal.version, true, machine.now);
        }
        while let Some((id, request)) = machine.links.poll_request(machine.now) {
            let is_rival =
                matches!(&request, KernelRequest::ReplaceRoute(route) if route.key == place);
            let answer = match is_rival && refused == 0 {
                true => KernelAnswer::Failed(KernelFault {
                    errno: 16,
                    text: None,
                }),
                false => machine.kernel.handle_request(&request, machine.now),
            };
            refused += u32::from(is_rival);
            machine.links.handle_answer(id, answer, machine.now);
        }
        if refused > 0 {
            break;
        }
    }
    assert_eq!(refused, 1);
    machine.pass(Duration::from_secs(60));
    assert!(!machine.kernel.routes().contains_key(&place));
}
