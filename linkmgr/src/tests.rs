//! Stories of events, and the facts that they leave.

use std::net::IpAddr;

use config::model::Prefix;
use policy::facts::DefaultRoute;
use policy::{LinkFacts, LinkId};

use config::time::Instant;

use crate::observed::Observed;
use crate::tables::counted::looks;
use crate::{
    AddressMessage, KernelEvent as Event, LinkManager, LinkMessage, RouteMessage, Usability,
    local_names,
};

const NOW: Instant = Instant::ZERO;

fn link(index: u32, name: &str) -> LinkMessage {
    LinkMessage {
        index,
        name: name.into(),
        kind: "veth".into(),
        admin_up: true,
        carrier: true,
        ..LinkMessage::default()
    }
}

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix {
        address: address.parse().unwrap(),
        length: length.parse().unwrap(),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn address(index: u32, text: &str) -> Event {
    Event::Address(AddressMessage::lasting(index, prefix(text)))
}

fn address_gone(index: u32, text: &str) -> Event {
    Event::AddressGone {
        index,
        address: prefix(text),
    }
}

fn route(index: u32, to: &str, metric: u32, gateway: &str) -> RouteMessage {
    RouteMessage {
        index,
        to: prefix(to),
        route: hop(metric, gateway),
        source: None,
        protocol: 3,
    }
}

fn hop(metric: u32, gateway: &str) -> DefaultRoute {
    DefaultRoute {
        metric,
        gateway: (!gateway.is_empty()).then(|| ip(gateway)),
    }
}

fn told(events: impl IntoIterator<Item = Event>) -> LinkManager {
    let mut links = LinkManager::default();
    for event in events {
        links.handle_event(event, NOW);
    }
    links
}

fn only(links: &LinkManager) -> (LinkId, &LinkFacts) {
    assert_eq!(links.facts().len(), 1);
    let (id, facts) = links.facts().iter().next().unwrap();
    (*id, facts)
}

fn home() -> Vec<Event> {
    vec![
        Event::Link(link(2, "home0")),
        address(2, "192.0.2.10/24"),
        address(2, "2001:db8::10/64"),
        Event::Route(route(2, "0.0.0.0/0", 100, "192.0.2.1")),
        Event::Route(route(2, "::/0", 1024, "fe80::1")),
    ]
}

fn listing(events: Vec<Event>) -> Vec<Event> {
    let mut all = vec![Event::ListingBegins];
    all.extend(events);
    all.push(Event::ListingEnds);
    all
}

#[test]
fn link_with_addresses_and_default_routes_is_told_whole() {
    let links = told(home());
    let (_, facts) = only(&links);
    assert_eq!(&*facts.name, "home0");
    assert!(facts.up);
    assert_eq!(
        facts.addresses,
        [prefix("192.0.2.10/24"), prefix("2001:db8::10/64")]
    );
    assert_eq!(facts.default_route4, Some(hop(100, "192.0.2.1")));
    assert_eq!(facts.default_route6, Some(hop(1024, "fe80::1")));
}

#[test]
fn up_needs_both_the_administrator_and_the_carrier() {
    for (admin_up, carrier, up) in [
        (false, false, false),
        (true, false, false),
        (false, true, false),
        (true, true, true),
    ] {
        let links = told([Event::Link(LinkMessage {
            admin_up,
            carrier,
            ..link(2, "home0")
        })]);
        assert_eq!(only(&links).1.up, up, "{admin_up} {carrier}");
    }
}

#[test]
fn refresh_without_difference_changes_nothing() {
    let mut links = told(home());
    for event in home() {
        assert!(!links.handle_event(event.clone(), NOW), "{event:?}");
    }
    for event in listing(home()) {
        assert!(!links.handle_event(event.clone(), NOW), "{event:?}");
    }
}

#[test]
fn rename_keeps_the_link_and_what_it_has() {
    let mut links = told(home());
    let (before, _) = only(&links);
    assert!(links.handle_event(Event::Link(link(2, "uplink")), NOW));
    let (after, facts) = only(&links);
    assert_eq!(before, after);
    assert_eq!(&*facts.name, "uplink");
    assert_eq!(facts.default_route4, Some(hop(100, "192.0.2.1")));
}

#[test]
fn link_that_comes_again_is_another_one_without_the_old_ones_things() {
    let mut links = told(home());
    let (before, _) = only(&links);
    assert!(links.handle_event(Event::LinkGone { index: 2 }, NOW));
    assert!(links.facts().is_empty());
    assert!(links.handle_event(Event::Link(link(2, "home0")), NOW));
    let (after, facts) = only(&links);
    assert_eq!(after.index, before.index);
    assert!(after.birth > before.birth);
    assert!(facts.addresses.is_empty());
    assert_eq!(facts.default_route4, None);
}

#[test]
fn address_and_route_before_their_link_are_kept() {
    let mut story = home();
    story.rotate_left(1);
    let links = told(story);
    assert_eq!(only(&links).1, only(&told(home())).1);
}

#[test]
fn half_a_listing_is_no_fact() {
    let mut links = told(home());
    let before = links.facts().clone();
    for event in [
        Event::ListingBegins,
        Event::Link(link(2, "other")),
        Event::Link(link(3, "vpn0")),
        Event::LinkGone { index: 2 },
    ] {
        assert!(!links.handle_event(event, NOW));
        assert_eq!(links.facts(), &before);
    }
}

#[test]
fn listing_removes_what_it_does_not_name_and_keeps_the_rest_as_it_is() {
    let mut links = told(home());
    links.handle_event(Event::Link(link(3, "vpn0")), NOW);
    let home_id = *links.facts().keys().next().unwrap();
    let mut changes = Vec::new();
    for event in listing(home()) {
        changes.push(links.handle_event(event, NOW));
    }
    assert_eq!(changes.iter().filter(|changed| **changed).count(), 1);
    assert_eq!(changes.last(), Some(&true));
    assert_eq!(only(&links).0, home_id);
}

#[test]
fn listing_that_begins_again_starts_from_nothing() {
    let mut links = LinkManager::default();
    links.handle_event(Event::ListingBegins, NOW);
    links.handle_event(Event::Link(link(9, "stale")), NOW);
    for event in listing(home()) {
        links.handle_event(event, NOW);
    }
    assert_eq!(&*only(&links).1.name, "home0");
}

#[test]
fn end_of_a_listing_that_never_began_changes_nothing() {
    let mut links = told(home());
    assert!(!links.handle_event(Event::ListingEnds, NOW));
    assert_eq!(links.facts().len(), 1);
}

#[test]
fn another_kind_with_the_same_index_after_lost_messages_is_another_link() {
    let mut links = told(home());
    let (before, _) = only(&links);
    for event in listing(vec![Event::Link(LinkMessage {
        kind: "tun".into(),
        ..link(2, "home0")
    })]) {
        links.handle_event(event, NOW);
    }
    assert_ne!(only(&links).0, before);
}

#[test]
fn link_that_goes_and_comes_within_a_listing_is_another_one() {
    let mut links = told(home());
    let (before, _) = only(&links);
    let mut story = listing(home());
    story.insert(1, Event::LinkGone { index: 2 });
    for event in story {
        links.handle_event(event, NOW);
    }
    assert_ne!(only(&links).0, before);
}

#[test]
fn routes_go_with_a_link_that_is_taken_down_though_the_kernel_is_silent() {
    let mut links = told(home());
    assert!(links.handle_event(
        Event::Link(LinkMessage {
            admin_up: false,
            carrier: false,
            ..link(2, "home0")
        }),
        NOW
    ));
    links.handle_event(Event::Link(link(2, "home0")), NOW);
    let (_, facts) = only(&links);
    assert!(facts.up);
    assert_eq!((facts.default_route4, facts.default_route6), (None, None));
}

#[test]
fn routes_stay_with_a_link_that_loses_its_carrier() {
    let mut links = told(home());
    links.handle_event(
        Event::Link(LinkMessage {
            carrier: false,
            ..link(2, "home0")
        }),
        NOW,
    );
    let (_, facts) = only(&links);
    assert!(!facts.up);
    assert_eq!(facts.default_route4, Some(hop(100, "192.0.2.1")));
}

#[test]
fn ipv4_routes_go_with_the_last_ipv4_address_of_their_link() {
    let mut links = told(home());
    links.handle_event(address(2, "192.0.2.11/24"), NOW);
    links.handle_event(address_gone(2, "192.0.2.11/24"), NOW);
    assert!(only(&links).1.default_route4.is_some());
    links.handle_event(address_gone(2, "192.0.2.10/24"), NOW);
    let (_, facts) = only(&links);
    assert_eq!(facts.default_route4, None);
    assert!(facts.default_route6.is_some());
}

#[test]
fn ipv4_routes_go_with_their_source_address_once_no_link_has_it() {
    let sourced = RouteMessage {
        source: Some(ip("198.51.100.7")),
        ..route(2, "0.0.0.0/0", 50, "192.0.2.1")
    };
    let mut links = told(home());
    for event in [
        Event::Link(link(1, "lo")),
        address(1, "198.51.100.7/32"),
        address(2, "198.51.100.7/32"),
        Event::Route(sourced),
    ] {
        links.handle_event(event, NOW);
    }
    let metric = |links: &LinkManager| {
        let facts = links.facts().values().find(|facts| &*facts.name == "home0");
        facts.unwrap().default_route4.unwrap().metric
    };
    links.handle_event(address_gone(2, "198.51.100.7/32"), NOW);
    assert_eq!(metric(&links), 50, "lo still has it");
    assert!(links.handle_event(address_gone(1, "198.51.100.7/32"), NOW));
    assert_eq!(metric(&links), 100);
}

#[test]
fn best_of_several_default_routes_counts_and_the_next_follows() {
    let mut links = told(home());
    let better = route(2, "0.0.0.0/0", 50, "192.0.2.2");
    assert!(links.handle_event(Event::Route(better), NOW));
    assert_eq!(only(&links).1.default_route4, Some(hop(50, "192.0.2.2")));
    let worse = route(2, "0.0.0.0/0", 700, "192.0.2.3");
    assert!(!links.handle_event(Event::Route(worse), NOW));
    assert!(links.handle_event(Event::RouteGone(better), NOW));
    assert_eq!(only(&links).1.default_route4, Some(hop(100, "192.0.2.1")));
}

#[test]
fn replaced_route_leaves_its_old_link() {
    let mut links = told(home());
    links.handle_event(Event::Link(link(3, "vpn0")), NOW);
    assert!(links.handle_event(
        Event::RoutesReplaced(vec![route(3, "0.0.0.0/0", 100, "198.51.100.1")]),
        NOW
    ));
    let routes: Vec<_> = links
        .facts()
        .values()
        .map(|facts| facts.default_route4)
        .collect();
    assert_eq!(routes, [None, Some(hop(100, "198.51.100.1"))]);
}

#[test]
fn an_address_that_goes_leads_past_each_link_once_and_past_no_routes_that_begin_with_others() {
    let looks_beside_links_among = |links: u32| {
        let mut observed = Observed::default();
        for index in 1..=links {
            let [_, a, b, c] = index.to_be_bytes();
            let own = format!("10.{a}.{b}.{c}");
            let sourced = RouteMessage {
                source: Some(ip(&own)),
                ..route(index, "0.0.0.0/0", index, "10.0.0.1")
            };
            for event in [
                Event::Link(link(index, &format!("eth{index}"))),
                address(index, &format!("{own}/8")),
                // It keeps what is not its own.
                address(index, "192.0.2.1/24"),
                Event::Route(sourced),
            ] {
                observed.apply(event, NOW);
            }
        }
        let before = looks();
        let touched = observed.apply(address_gone(5, "10.0.0.5/8"), NOW);
        assert_eq!(touched.indexes, [5, 5], "its route, and itself");
        assert_eq!(observed.facts(5).unwrap().default_route4, None);
        assert!(observed.facts(6).unwrap().default_route4.is_some());
        // Whether another link has it is asked of all: to keep who has which address would cost each link memory.
        looks() - before - u64::from(links)
    };
    let (few, many) = (
        looks_beside_links_among(10),
        looks_beside_links_among(10_000),
    );
    assert!(few == many && few < 10, "{few} {many}");
}

#[test]
fn both_halves_on_one_link_are_a_default_route_and_one_is_not() {
    let rows = [
        ("0.0.0.0/1", "128.0.0.0/1", "10.8.0.1", true),
        ("::/1", "8000::/1", "fe80::8", false),
    ];
    for (lower, upper, gateway, is_ipv4) in rows {
        let mut links = told([Event::Link(link(5, "tun0"))]);
        let read = |links: &LinkManager| {
            let (_, facts) = only(links);
            if is_ipv4 {
                facts.default_route4
            } else {
                facts.default_route6
            }
        };
        assert!(!links.handle_event(Event::Route(route(5, lower, 0, gateway)), NOW));
        assert_eq!(read(&links), None);
        assert!(links.handle_event(Event::Route(route(5, upper, 50, gateway)), NOW));
        assert_eq!(read(&links), Some(hop(50, gateway)));
        assert!(links.handle_event(Event::RouteGone(route(5, lower, 0, gateway)), NOW));
        assert_eq!(read(&links), None);
    }
}

#[test]
fn halves_on_two_links_are_no_default_route() {
    let links = told([
        Event::Link(link(5, "tun0")),
        Event::Link(link(6, "tun1")),
        Event::Route(route(5, "0.0.0.0/1", 0, "")),
        Event::Route(route(6, "128.0.0.0/1", 0, "")),
    ]);
    assert!(
        links
            .facts()
            .values()
            .all(|facts| facts.default_route4.is_none())
    );
}

#[test]
fn loopback_is_a_fact_too() {
    let links = told([Event::Link(LinkMessage {
        loopback: true,
        ..link(1, "lo")
    })]);
    assert!(only(&links).1.loopback);
}

#[test]
fn own_addresses_come_best_link_first_without_loopback_and_link_local() {
    let mut story = home();
    story.extend([
        Event::Link(LinkMessage {
            loopback: true,
            ..link(1, "lo")
        }),
        address(1, "127.0.0.1/8"),
        address(2, "fe80::10/64"),
        Event::Link(link(7, "aaa0")),
        address(7, "203.0.113.7/24"),
        Event::Link(link(8, "wifi0")),
        address(8, "198.51.100.8/24"),
        Event::Route(route(8, "0.0.0.0/0", 20, "198.51.100.1")),
        Event::Link(LinkMessage {
            carrier: false,
            ..link(9, "down0")
        }),
        address(9, "192.0.2.99/24"),
        Event::Route(route(9, "0.0.0.0/0", 1, "192.0.2.98")),
    ]);
    let names = local_names(told(story).facts());
    let addresses = ["198.51.100.8", "192.0.2.10", "2001:db8::10", "203.0.113.7"];
    assert_eq!(names.addresses, addresses.map(ip));
    let gateways = ["198.51.100.1", "192.0.2.1", "fe80::1"];
    assert_eq!(names.gateways, gateways.map(ip));
    let outbound = ["198.51.100.8", "192.0.2.10", "2001:db8::10"];
    assert_eq!(names.outbound, outbound.map(ip));
}

#[test]
fn machine_with_no_other_addresses_has_its_link_local_or_loopback_ones() {
    let lo = || {
        vec![
            Event::Link(link(1, "lo")),
            address(1, "127.0.0.1/8"),
            address(1, "::1/128"),
        ]
    };
    let alone = local_names(told(lo()).facts());
    assert_eq!(alone.addresses, ["127.0.0.1", "::1"].map(ip));
    let mut story = lo();
    story.extend([Event::Link(link(2, "home0")), address(2, "fe80::10/64")]);
    assert_eq!(local_names(told(story).facts()).addresses, [ip("fe80::10")]);
}

#[test]
fn addresses_that_somebody_made_of_prefixes_are_told_from_all_others() {
    let made = |text: &str, change: fn(&mut AddressMessage)| {
        let mut message = AddressMessage::lasting(2, prefix(text));
        message.valid = Some(3600);
        change(&mut message);
        let links = told([Event::Link(link(2, "home0")), Event::Address(message)]);
        let (id, _) = only(&links);
        links.made_of_prefixes(id).len()
    };
    let address = "2001:db8::5:6:7:8/64";
    assert_eq!(made(address, |_| ()), 1);
    assert_eq!(made(address, |it| it.valid = None), 0);
    assert_eq!(made(address, |it| it.secondary = true), 0);
    assert_eq!(made(address, |it| it.usability = Usability::Tentative), 0);
    assert_eq!(made("2001:db8::5:6:7:8/128", |_| ()), 0);
    assert_eq!(made("fe80::5:6:7:8/64", |_| ()), 0);
    assert_eq!(made("192.0.2.5/24", |_| ()), 0);
}
