//! Do routes of others at the places of ours stay, and do ours change when they are alone again?

use super::stories::foreign_route;
use super::*;
use crate::KernelEvent;
use crate::fake::FakeAddress;
use crate::kernel::{NextHop, OURS, OwnRoute, RouteMessage};
use policy::facts::DefaultRoute;

const V4: &str = "10.1.0.0/16";
const V6: &str = "2001:db8:1::/48";
const ALL4: &str = "0.0.0.0/0";
const ALL6: &str = "::/0";
/// The number that `ip` gives.
const BOOT: u8 = 3;

/// A machine whose second link is up and has addresses, and routes of ours by the first one, two of them to everywhere.
fn machine() -> Machine {
    let mut machine = Machine::new();
    let mut other = link(3, "vpn0");
    (other.admin_up, other.carrier) = (true, true);
    machine.kernel.put_link(other);
    for address in ["198.51.100.2/24", "203.0.113.2/24"] {
        let address = FakeAddress::foreign(prefix(address));
        machine.kernel.put_address(3, address, machine.now);
    }
    want(&mut machine, "1");
    machine
}

/// Has the routes lead to neighbours that end like this.
fn want(machine: &mut Machine, host: &str) {
    let mut wanted = home();
    let nets = [V4, V6, ALL4, ALL6].map(|to| match to.contains(':') {
        true => (to, "2001:db8::"),
        false => (to, "192.0.2."),
    });
    for (to, net) in nets {
        let route = through(&format!("{net}{host}"));
        wanted.routes.insert(key(to, 50), route);
    }
    let wanted = plan(machine, &[("home0", wanted)]);
    machine.apply(&wanted);
}

fn tell(machine: &mut Machine, event: KernelEvent) {
    machine.links.handle_event(event, machine.now);
    machine.drive();
}

fn shared(theirs: &OwnRoute, is_first: bool) -> KernelEvent {
    let theirs = theirs.clone();
    KernelEvent::PlaceShared { theirs, is_first }
}

/// Where the route to somewhere leads in the kernel, and how it stands.
fn stands(machine: &Machine, to: &str) -> (String, ItemState) {
    let key = key(to, 50);
    let via = machine.kernel.routes()[&key].route.hops[0].via.unwrap();
    (via.to_string(), machine.state("home0", &Item::Route(key)))
}

#[test]
fn a_route_beside_which_somebody_elses_stands_changes_when_that_has_left() {
    for is_first in [true, false] {
        let mut machine = machine();
        let theirs = foreign_route(V4, 50, 3, "198.51.100.1");
        tell(&mut machine, shared(&theirs, is_first));
        assert_eq!(
            stands(&machine, V4),
            ("192.0.2.1".to_owned(), ItemState::Ours)
        );
        want(&mut machine, "2");
        let kept = ("192.0.2.1".to_owned(), ItemState::Foreign);
        assert_eq!(stands(&machine, V4), kept);
        let holder = machine.links.holder(&Item::Route(key(V4, 50)));
        assert_eq!(holder, Some(Holder::Beside));
        // What is told twice is there once.
        tell(&mut machine, shared(&theirs, is_first));
        let other = foreign_route(V4, 50, 3, "198.51.100.9");
        tell(&mut machine, KernelEvent::PlaceLeft(other));
        assert_eq!(stands(&machine, V4), kept);
        tell(&mut machine, KernelEvent::PlaceLeft(theirs));
        assert_eq!(
            stands(&machine, V4),
            ("192.0.2.2".to_owned(), ItemState::Ours)
        );
    }
}

#[test]
fn the_ways_that_others_have_beside_ours_are_told_apart() {
    let mut machine = machine();
    let way = |host: &str| NextHop::only(2, Some(format!("2001:db8::{host}").parse().unwrap()));
    let with = |hops: Vec<NextHop>| OwnRoute {
        hops,
        ..foreign_route(V6, 50, 2, "")
    };
    // The kernel tells all of them, ours among them.
    let all = with(vec![way("1"), way("2"), way("3")]);
    tell(&mut machine, shared(&all, false));
    want(&mut machine, "4");
    for gone in ["2", "3"] {
        let kept = ("2001:db8::1".to_owned(), ItemState::Foreign);
        assert_eq!(stands(&machine, V6), kept, "before {gone}");
        tell(&mut machine, KernelEvent::PlaceLeft(with(vec![way(gone)])));
    }
    let changed = ("2001:db8::4".to_owned(), ItemState::Ours);
    assert_eq!(stands(&machine, V6), changed);
}

#[test]
fn routes_beside_ours_that_go_without_a_word_of_the_kernel_are_known_to_be_gone() {
    type Act = fn(&mut Machine);
    let take = |machine: &mut Machine, address: &str| {
        let now = machine.now;
        machine.kernel.take_address(3, &prefix(address), now);
    };
    let rows: [(&str, Act); 4] = [
        ("its link is down", |machine| {
            let down = KernelRequest::SetUp {
                index: 3,
                up: false,
            };
            machine.kernel.handle_request(&down, machine.now);
        }),
        ("its link is gone", |machine| {
            machine.kernel.remove_link(3, machine.now);
        }),
        ("no address is left", |machine| {
            let now = machine.now;
            for address in ["203.0.113.2/24", "198.51.100.2/24"] {
                machine.kernel.take_address(3, &prefix(address), now);
            }
        }),
        ("its source is gone", |machine| {
            let now = machine.now;
            let address = prefix("198.51.100.2/24");
            machine.kernel.take_address(3, &address, now);
        }),
    ];
    for (what, act) in rows {
        let mut machine = machine();
        let theirs = OwnRoute {
            source: Some("198.51.100.2".parse().unwrap()),
            ..foreign_route(V4, 50, 3, "198.51.100.1")
        };
        tell(&mut machine, shared(&theirs, true));
        let of_ipv6 = foreign_route(V6, 50, 3, "2001:db8:9::1");
        tell(&mut machine, shared(&of_ipv6, true));
        want(&mut machine, "2");
        // Another address has nothing to do with it.
        take(&mut machine, "203.0.113.2/24");
        machine.drive();
        assert_eq!(stands(&machine, V4).1, ItemState::Foreign, "{what}");
        act(&mut machine);
        machine.drive();
        let changed = ("192.0.2.2".to_owned(), ItemState::Ours);
        assert_eq!(stands(&machine, V4), changed, "{what}");
        // Of IPv6 the kernel tells.
        assert_eq!(stands(&machine, V6).1, ItemState::Foreign, "{what}");
    }
}

#[test]
fn somebody_elses_route_that_is_replaced_before_ours_takes_nothing_from_us() {
    let mut machine = machine();
    let theirs = foreign_route(V4, 50, 3, "198.51.100.1");
    let later = foreign_route(V4, 50, 3, "198.51.100.7");
    let before = machine.sent.len();
    tell(&mut machine, shared(&theirs, true));
    tell(&mut machine, KernelEvent::PlaceTaken(later.clone()));
    assert_eq!(machine.sent[before..], []);
    assert_eq!(stands(&machine, V4).1, ItemState::Ours);
    want(&mut machine, "2");
    assert_eq!(stands(&machine, V4).1, ItemState::Foreign);
    tell(&mut machine, KernelEvent::PlaceLeft(later.clone()));
    let changed = ("192.0.2.2".to_owned(), ItemState::Ours);
    assert_eq!(stands(&machine, V4), changed);
    // Behind ours it is ours that is replaced.
    tell(&mut machine, shared(&theirs, false));
    tell(&mut machine, KernelEvent::PlaceTaken(later));
    assert_eq!(stands(&machine, V4).1, ItemState::Foreign);
}

#[test]
fn routes_that_come_beside_ours_while_the_kernel_lists_are_known() {
    let mut machine = machine();
    let theirs = foreign_route(V4, 50, 3, "198.51.100.1");
    let listing = machine.kernel.listing(machine.now);
    let (last, listed) = listing.split_last().unwrap();
    let (first, listed) = listed.split_first().unwrap();
    let listed = listed.iter().cloned();
    let listed = [first.clone()].into_iter().chain(listed);
    for event in listed.chain([last.clone(), shared(&theirs, true)]) {
        machine.links.handle_event(event, machine.now);
    }
    machine.drive();
    want(&mut machine, "2");
    assert_eq!(stands(&machine, V4).1, ItemState::Foreign);
}

/// What is told of a default route beside [`KernelEvent::PlaceShared`] and its like.
fn messages(route: &OwnRoute, protocol: u8) -> Vec<RouteMessage> {
    let hops = route.hops.iter();
    let message = |hop: &NextHop| RouteMessage {
        index: hop.index,
        to: route.key.to,
        route: DefaultRoute {
            metric: route.key.metric,
            gateway: hop.via,
        },
        source: route.source,
        protocol,
    };
    hops.map(message).collect()
}

fn default_shared(machine: &mut Machine, theirs: &OwnRoute, is_first: bool) {
    for message in messages(theirs, BOOT) {
        tell(machine, KernelEvent::Route(message));
    }
    tell(machine, shared(theirs, is_first));
}

fn default_left(machine: &mut Machine, theirs: &OwnRoute) {
    for message in messages(theirs, BOOT) {
        tell(machine, KernelEvent::RouteGone(message));
    }
    tell(machine, KernelEvent::PlaceLeft(theirs.clone()));
}

fn default_replaced(machine: &mut Machine, theirs: &OwnRoute) {
    let messages = messages(theirs, BOOT);
    tell(machine, KernelEvent::RoutesReplaced(messages));
    tell(machine, KernelEvent::PlaceTaken(theirs.clone()));
}

fn has_default4(machine: &Machine, link: &str) -> bool {
    let facts = &machine.links.facts()[&machine.id(link)];
    facts.default_route4.is_some_and(|route| route.metric == 50)
}

#[test]
fn a_default_route_before_which_somebody_elses_is_replaced_stays_known() {
    let theirs = foreign_route(ALL4, 50, 3, "198.51.100.1");
    let later = foreign_route(ALL4, 50, 3, "198.51.100.7");
    let both = || {
        let mut machine = machine();
        default_shared(&mut machine, &theirs, true);
        let before = machine.sent.len();
        default_replaced(&mut machine, &later);
        assert_eq!(machine.sent[before..], []);
        assert_eq!(stands(&machine, ALL4).1, ItemState::Ours);
        assert!(has_default4(&machine, "home0") && has_default4(&machine, "vpn0"));
        machine
    };
    let mut machine = both();
    want(&mut machine, "2");
    let kept = ("192.0.2.1".to_owned(), ItemState::Foreign);
    assert_eq!(stands(&machine, ALL4), kept);
    default_left(&mut machine, &later);
    assert!(!has_default4(&machine, "vpn0"));
    let changed = ("192.0.2.2".to_owned(), ItemState::Ours);
    assert_eq!(stands(&machine, ALL4), changed);
    // Behind ours it is ours that is replaced, and what is behind stays.
    default_shared(&mut machine, &theirs, false);
    default_replaced(&mut machine, &later);
    assert_eq!(stands(&machine, ALL4).1, ItemState::Foreign);
    assert!(!has_default4(&machine, "home0"));
    default_left(&mut machine, &later);
    assert!(has_default4(&machine, "vpn0"));

    // What is wanted no more goes.
    let mut machine = both();
    let nothing = plan(&machine, &[("home0", home())]);
    machine.apply(&nothing);
    let ours = machine.kernel.routes().get(&key(ALL4, 50));
    assert_eq!(ours, None);
}

fn ways6(hosts: &[&str]) -> OwnRoute {
    let way = |host: &&str| NextHop::only(2, Some(format!("2001:db8::{host}").parse().unwrap()));
    OwnRoute {
        hops: hosts.iter().map(way).collect(),
        ..foreign_route(ALL6, 50, 2, "")
    }
}

#[test]
fn an_ipv6_default_route_changes_when_the_ways_of_others_have_left() {
    let mut machine = machine();
    // The kernel tells all ways with the number of the latest.
    default_shared(&mut machine, &ways6(&["1", "2"]), false);
    default_shared(&mut machine, &ways6(&["1", "2", "3"]), false);
    want(&mut machine, "4");
    for gone in ["2", "3"] {
        let kept = ("2001:db8::1".to_owned(), ItemState::Foreign);
        assert_eq!(stands(&machine, ALL6), kept, "before {gone}");
        default_left(&mut machine, &ways6(&[gone]));
    }
    let changed = ("2001:db8::4".to_owned(), ItemState::Ours);
    assert_eq!(stands(&machine, ALL6), changed);
    // A way that comes before ours is replaced goes with it.
    default_shared(&mut machine, &ways6(&["4", "5"]), false);
    let ours = messages(&ways6(&["4"]), OURS);
    tell(&mut machine, KernelEvent::RoutesReplaced(ours));
    tell(&mut machine, KernelEvent::OwnRoute(ways6(&["4"])));
    want(&mut machine, "1");
    let changed = ("2001:db8::1".to_owned(), ItemState::Ours);
    assert_eq!(stands(&machine, ALL6), changed);
}

/// Has the kernel list what it has and these default routes beside ours, as one with ours where it is of IPv6.
fn list_with(machine: &mut Machine, theirs: &OwnRoute) {
    let place = theirs.key;
    let is_ipv6 = place.to.address.is_ipv6();
    machine.kernel.lose_events();
    for mut event in machine.kernel.listing(machine.now) {
        if let KernelEvent::OwnRoute(ours) = &mut event
            && ours.key == place
            && is_ipv6
        {
            ours.hops.extend(&theirs.hops);
        }
        if let KernelEvent::ListingEnds = event {
            if !is_ipv6 {
                let now = machine.now;
                machine.links.handle_event(shared(theirs, true), now);
            }
            let number = if is_ipv6 { OURS } else { BOOT };
            for message in messages(theirs, number) {
                let now = machine.now;
                machine.links.handle_event(KernelEvent::Route(message), now);
            }
        }
        machine.links.handle_event(event, machine.now);
    }
    machine.drive();
}

#[test]
fn default_routes_beside_ours_are_known_over_a_listing_until_one_shows_none() {
    let rows = [
        (ALL4, foreign_route(ALL4, 50, 3, "198.51.100.1"), "192.0.2."),
        (ALL6, ways6(&["2"]), "2001:db8::"),
    ];
    for (to, theirs, net) in rows {
        for is_told in [true, false] {
            let mut machine = machine();
            default_shared(&mut machine, &theirs, true);
            let before = machine.sent.len();
            list_with(&mut machine, &theirs);
            assert_eq!(machine.sent[before..], [], "{to}");
            want(&mut machine, "4");
            let kept = (format!("{net}1"), ItemState::Foreign);
            assert_eq!(stands(&machine, to), kept);
            match is_told {
                true => default_left(&mut machine, &theirs),
                false => {
                    machine.list();
                    machine.drive();
                }
            }
            let changed = (format!("{net}4"), ItemState::Ours);
            assert_eq!(stands(&machine, to), changed, "{is_told}");
        }
    }
}

/// What others put at a place.
fn theirs_at(to: &str, host: &str) -> OwnRoute {
    let (index, via) = match to.contains(':') {
        true => (2, format!("2001:db8::{host}")),
        false => (3, format!("198.51.100.{host}")),
    };
    foreign_route(to, 50, index, &via)
}

/// How nobody comes to hear of it, and what goes on then.
type Unheard = fn(&mut Machine);

const UNHEARD: [(&str, Unheard); 2] = [
    ("nobody is there", Machine::start),
    ("the kernel's word is lost", Machine::list),
];

#[test]
fn routes_that_others_put_beside_ours_while_nobody_hears_stay_when_ours_is_to_change() {
    for (what, unheard) in UNHEARD {
        for is_first in [true, false] {
            for to in [V4, V6, ALL4, ALL6] {
                let mut machine = machine();
                let others = [theirs_at(to, "7"), theirs_at(to, "8")];
                for theirs in &others {
                    assert!(machine.kernel.put_beside(theirs, BOOT, is_first, START));
                }
                unheard(&mut machine);
                let what = format!("{what}, {to}, first: {is_first}");
                let before = machine.sent.len();
                want(&mut machine, "1");
                assert_eq!(machine.sent[before..], [], "{what}");
                want(&mut machine, "2");
                let item = Item::Route(key(to, 50));
                let vias = |machine: &Machine| -> Vec<String> {
                    let all = machine.kernel.all_routes();
                    let here = all.filter(|it| it.route.key == key(to, 50));
                    here.map(|it| it.route.hops[0].via.unwrap().to_string())
                        .collect()
                };
                assert_eq!(vias(&machine).len(), 3, "{what}");
                assert_eq!(machine.state("home0", &item), ItemState::Foreign, "{what}");
                let all: Vec<_> = machine.kernel.all_routes().cloned().collect();
                let left = all
                    .iter()
                    .filter(|it| it.route.key == key(to, 50) && it.protocol == BOOT);
                for (number, theirs) in left.enumerate() {
                    let ends = |via: &String| via.ends_with(['1']);
                    assert!(vias(&machine).iter().any(ends), "{what}, before {number}");
                    machine.kernel.take_this_route(theirs, START);
                    machine.drive();
                }
                let changed = vias(&machine);
                assert!(
                    changed.len() == 1 && changed[0].ends_with('2'),
                    "{what}: {changed:?}"
                );
                assert_eq!(machine.state("home0", &item), ItemState::Ours, "{what}");
            }
        }
    }
}

#[test]
fn routes_of_others_that_have_left_unheard_keep_nothing_back() {
    for (what, unheard) in UNHEARD {
        let mut machine = machine();
        for to in [V4, V6] {
            let theirs = OwnRoute {
                on_link: true,
                ..theirs_at(to, "7")
            };
            assert!(machine.kernel.put_beside(&theirs, BOOT, true, START));
        }
        machine.drive();
        let all: Vec<_> = machine.kernel.all_routes().cloned().collect();
        for theirs in all.iter().filter(|it| it.protocol == BOOT) {
            machine.kernel.take_this_route(theirs, START);
        }
        unheard(&mut machine);
        want(&mut machine, "2");
        assert_eq!(stands(&machine, V4).0, "192.0.2.2", "{what}");
        assert_eq!(stands(&machine, V6).0, "2001:db8::2", "{what}");
    }
}

#[test]
fn ours_goes_and_theirs_stays_that_came_unheard() {
    for (what, unheard) in UNHEARD {
        for is_first in [true, false] {
            let mut machine = machine();
            for to in [V4, V6, ALL4, ALL6] {
                let theirs = theirs_at(to, "7");
                assert!(machine.kernel.put_beside(&theirs, BOOT, is_first, START));
            }
            unheard(&mut machine);
            let nothing = plan(&machine, &[("home0", home())]);
            machine.apply(&nothing);
            machine.pass(Duration::from_secs(120));
            let places = [V4, V6, ALL4, ALL6].map(|to| key(to, 50));
            let left = machine.kernel.all_routes();
            let left = left.filter(|it| places.contains(&it.route.key));
            let left: Vec<u8> = left.map(|it| it.protocol).collect();
            assert_eq!(left, [BOOT; 4], "{what}, first: {is_first}");
        }
    }
}

#[test]
fn a_route_over_several_ways_of_ours_changes_after_a_restart() {
    let mut machine = machine();
    let both = |machine: &mut Machine, last: &str| {
        let mut wanted = home();
        let ways = ["2001:db8::1", last].map(|via| HopPlan::through(via.parse().unwrap()));
        let route = RoutePlan {
            via: ways.into(),
            ..through("2001:db8::1")
        };
        wanted.routes.insert(key(V6, 50), route);
        let wanted = plan(machine, &[("home0", wanted)]);
        machine.apply(&wanted);
    };
    for (round, last) in ["2001:db8::2", "2001:db8::3"].into_iter().enumerate() {
        both(&mut machine, last);
        let hops = &machine.kernel.routes()[&key(V6, 50)].route.hops;
        assert_eq!(hops[1].via, Some(last.parse().unwrap()), "round {round}");
        machine.start();
    }
}

#[test]
fn several_ways_that_somebody_appends_to_ours_stay_when_ours_changes() {
    for to in [V6, ALL6] {
        let mut machine = machine();
        let theirs = OwnRoute {
            hops: ways6(&["7", "8"]).hops,
            ..foreign_route(to, 50, 2, "")
        };
        // The kernel tells all ways with our number.
        assert!(machine.kernel.put_beside(&theirs, BOOT, false, machine.now));
        let before = machine.sent.len();
        machine.drive();
        assert_eq!(machine.sent[before..], [], "{to}");
        let kept = |state| ("2001:db8::1".to_owned(), state);
        assert_eq!(stands(&machine, to), kept(ItemState::Ours), "{to}");
        want(&mut machine, "2");
        assert_eq!(stands(&machine, to), kept(ItemState::Foreign), "{to}");
        let places = machine.kernel.all_routes();
        let there = places.filter(|it| it.route.key == theirs.key).count();
        assert_eq!(there, 2, "{to}");
    }
}

#[test]
fn what_was_told_during_a_listing_and_is_in_it_is_there_once() {
    let mut machine = machine();
    let former = foreign_route(V4, 50, 3, "198.51.100.1");
    let theirs = foreign_route(V4, 50, 3, "198.51.100.7");
    tell(&mut machine, shared(&theirs, true));
    tell(&mut machine, shared(&former, true));
    tell(&mut machine, KernelEvent::PlaceTaken(theirs.clone()));
    want(&mut machine, "2");
    assert_eq!(stands(&machine, V4).1, ItemState::Foreign);
    tell(&mut machine, KernelEvent::PlaceLeft(theirs));
    let changed = ("192.0.2.2".to_owned(), ItemState::Ours);
    assert_eq!(stands(&machine, V4), changed);
}

#[test]
fn a_way_that_the_kernel_has_refused_is_theirs_who_put_it_there() {
    let mut machine = machine();
    let far = "2001:db8:9::1";
    let mut wanted = home();
    wanted.routes.insert(key(V6, 50), through(far));
    let wanted = plan(&machine, &[("home0", wanted)]);
    machine.apply(&wanted);
    // Until it is tried seldom.
    machine.pass(Duration::from_secs(60));
    assert_eq!(stands(&machine, V6).0, "2001:db8::1");
    let theirs = OwnRoute {
        on_link: true,
        ..foreign_route(V6, 50, 2, far)
    };
    assert!(machine.kernel.put_beside(&theirs, BOOT, false, machine.now));
    machine.start();
    for host in ["1", "2"] {
        want(&mut machine, host);
        let places = machine.kernel.all_routes();
        let there = places.filter(|it| it.route.key == theirs.key).count();
        assert_eq!(there, 2, "{host}");
    }
    assert_eq!(stands(&machine, V6).1, ItemState::Foreign);
}
