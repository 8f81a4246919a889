//! Is what has failed asked for again upon what may mend it, soon, and upon nothing else?

use std::num::NonZeroU32;

use config::matcher::Mac;

use super::*;
use crate::Setting;
use crate::fake::FakeAddress;
use crate::kernel::{NextHop, OwnRoute};

/// An hour: everybody has had the time to try again.
const LONG: Duration = Duration::from_secs(3600);

fn with_route(machine: &Machine, key: RouteKey, route: RoutePlan) -> LinksPlan {
    let mut wanted = up();
    wanted.addresses.insert(prefix("192.0.2.10/24"), lasting());
    wanted.routes.insert(key, route);
    LinksPlan {
        rules: [].into(),
        ..plan(machine, &[("home0", wanted)])
    }
}

fn foreign(key: RouteKey, index: u32, via: &str) -> OwnRoute {
    let via = (!via.is_empty()).then(|| via.parse().unwrap());
    OwnRoute {
        key,
        kind: RouteKind::Unicast,
        hops: vec![NextHop::only(index, via)],
        on_link: false,
        source: None,
        mtu: None,
        preference: Preference::Medium,
        tuning: RouteTuning::default(),
        valid: None,
    }
}

fn is_there(machine: &Machine, key: RouteKey) -> bool {
    machine.state("home0", &Item::Route(key)) == ItemState::Ours
}

#[test]
fn a_card_that_has_to_be_down_for_another_hardware_address_is_down_for_that_alone() {
    let mac = |last: u8| Mac([2, 0, 0, 0, 0, last]);
    let mut machine = Machine::new();
    machine.kernel.put_link(LinkMessage {
        mac: Some(mac(0)),
        ..link(2, "home0")
    });
    machine.apply(&plan(&machine, &[("home0", home())]));
    let (before, routes) = (machine.prefixes(2), machine.kernel.routes().clone());
    assert_eq!((before.len(), routes.len()), (2, 3));
    machine.kernel.hold_mac(2);
    let wanted = |last: u8| LinkPlan {
        mac: Some(mac(last)),
        ..home()
    };
    let asked = |last: u8, while_down: bool| KernelRequest::SetMac {
        index: 2,
        mac: mac(last),
        while_down,
    };
    let from = machine.sent.len();
    machine.apply(&plan(&machine, &[("home0", wanted(1))]));
    let first = [asked(1, false), asked(1, true)];
    assert_eq!(machine.sent[from..][..2], first);
    let link = &machine.kernel.links()[&2];
    assert!(link.mac == Some(mac(1)) && link.admin_up);
    assert_eq!(machine.prefixes(2), before);
    let keys = |machine: &Machine| machine.kernel.routes().keys().copied().collect::<Vec<_>>();
    assert_eq!(keys(&machine), routes.into_keys().collect::<Vec<_>>());
    let items = machine.links.items(Some(machine.id("home0")));
    assert!(
        items.iter().all(|(_, state)| *state == ItemState::Ours),
        "{items:?}"
    );
    // The next one is not tried in vain.
    let from = machine.sent.len();
    machine.apply(&plan(&machine, &[("home0", wanted(2))]));
    assert_eq!(machine.sent[from], asked(2, true));
}

#[test]
fn a_route_waits_for_the_address_that_it_begins_with_on_whatever_link_that_comes() {
    let mut machine = Machine::new();
    let key = key("10.0.0.0/8", 50);
    let route = RoutePlan {
        source: Some("10.9.0.1".parse().unwrap()),
        ..through("192.0.2.1")
    };
    let wanted = with_route(&machine, key, route);
    machine.apply(&wanted);
    machine.pass(LONG);
    assert!(!is_there(&machine, key));
    let before = machine.sent.len();
    // Another address of another link mends nothing.
    let other = FakeAddress::foreign(prefix("10.9.0.2/24"));
    machine.kernel.put_address(3, other, machine.now);
    machine.pass(LONG);
    assert_eq!(machine.sent[before..], []);
    let source = FakeAddress::foreign(prefix("10.9.0.1/24"));
    machine.kernel.put_address(3, source, machine.now);
    machine.drive();
    assert!(is_there(&machine, key), "{:?}", machine.sent);
    assert_eq!(machine.links.poll_timeout(), None);
}

#[test]
fn an_ipv6_address_that_is_still_checked_mends_when_it_may_be_used() {
    let mut machine = Machine::new();
    let key = key("2001:db8:9::/48", 50);
    let source = prefix("2001:db8:8::1/64");
    let route = RoutePlan {
        source: Some(source.address),
        ..through("")
    };
    let wanted = with_route(&machine, key, route);
    let mut address = FakeAddress::foreign(source);
    address.usability = crate::Usability::Tentative;
    machine.kernel.put_address(3, address, machine.now);
    machine.apply(&wanted);
    machine.pass(LONG);
    assert!(!is_there(&machine, key));
    address.usability = crate::Usability::Usable;
    machine.kernel.put_address(3, address, machine.now);
    machine.drive();
    assert!(is_there(&machine, key));
}

#[test]
fn a_default_route_takes_its_place_when_somebody_elses_goes_from_another_link() {
    let address = prefix("198.51.100.2/24");
    let whole = |machine: &mut Machine| machine.kernel.remove_link(3, machine.now);
    let bare = |machine: &mut Machine| machine.kernel.take_address(3, &address, machine.now);
    let alone = |machine: &mut Machine| {
        let key = key("0.0.0.0/0", 100);
        machine.kernel.take_route(&key, machine.now);
    };
    let ways: [&dyn Fn(&mut Machine); 3] = [&alone, &bare, &whole];
    for goes in ways {
        default_of_another_goes(goes);
    }
}

fn default_of_another_goes(goes: &dyn Fn(&mut Machine)) {
    let mut machine = Machine::new();
    let (mut other, now) = (link(3, "vpn0"), machine.now);
    (other.admin_up, other.carrier) = (true, true);
    machine.kernel.put_link(other);
    let theirs = FakeAddress::foreign(prefix("198.51.100.2/24"));
    machine.kernel.put_address(3, theirs, now);
    let key = key("0.0.0.0/0", 100);
    let theirs = foreign(key, 3, "198.51.100.1");
    assert!(machine.kernel.put_foreign_route(&theirs, 4, now));
    let wanted = with_route(&machine, key, through("192.0.2.1"));
    machine.apply(&wanted);
    machine.pass(Duration::from_secs(1));
    let item = Item::Route(key);
    assert_eq!(machine.state("home0", &item), ItemState::Foreign);
    goes(&mut machine);
    machine.drive();
    assert!(is_there(&machine, key));
}

#[test]
fn what_may_be_mended_unheard_is_tried_ever_more_rarely_and_no_stop_waits_for_it() {
    let mut machine = Machine::new();
    let key = key("0.0.0.0/0", 100);
    let wanted = with_route(&machine, key, through("203.0.113.1"));
    machine.apply(&wanted);
    machine.pass(LONG * 24);
    let adds = |it: &&KernelRequest| matches!(it, KernelRequest::AddRoute(_));
    let tries = machine.sent.iter().filter(adds).count();
    assert!((90..120).contains(&tries), "{tries} in a day");
    assert!(machine.links.is_idle(), "nobody waits for it");
    // Of a route to the gateway that somebody else adds the kernel tells nothing.
    let way = foreign(super::key("203.0.113.1/32", 0), 2, "");
    assert!(machine.kernel.put_foreign_route(&way, 4, machine.now));
    machine.pass(Duration::from_secs(900));
    assert!(is_there(&machine, key));
    assert_eq!(machine.links.poll_timeout(), None, "and that is that");
}

#[test]
fn a_route_whose_place_is_taken_comes_when_it_is_free() {
    let mut machine = Machine::new();
    let key = key("10.0.0.0/8", 50);
    let wanted = with_route(&machine, key, through("192.0.2.1"));
    let mut there = link(2, "home0");
    (there.admin_up, there.carrier) = (true, true);
    machine.kernel.put_link(there);
    let theirs = foreign(key, 2, "");
    assert!(machine.kernel.put_foreign_route(&theirs, 4, machine.now));
    machine.apply(&wanted);
    let item = Item::Route(key);
    assert_eq!(machine.state("home0", &item), ItemState::Foreign);
    machine.kernel.take_route(&key, machine.now);
    machine.pass(Duration::from_secs(10));
    assert!(is_there(&machine, key));
}

/// Returns a plan of a route by `home0`, and by `vpn0`, of which nothing else is wanted.
fn over_two_links(machine: &Machine, key: RouteKey) -> LinksPlan {
    let other = machine.id("vpn0");
    let mut route = through("192.0.2.1");
    route.via.push(HopPlan {
        link: Some(other),
        ..HopPlan::through("198.51.100.1".parse().unwrap())
    });
    with_route(machine, key, route)
}

#[test]
fn a_route_over_two_links_that_waits_for_the_second_comes_when_that_is_up() {
    let mut machine = Machine::new();
    let key = key("10.0.0.0/8", 50);
    let theirs = FakeAddress::foreign(prefix("198.51.100.2/24"));
    machine.kernel.put_address(3, theirs, machine.now);
    let wanted = over_two_links(&machine, key);
    machine.apply(&wanted);
    let item = Item::Route(key);
    assert_eq!(machine.state("home0", &item), ItemState::LinkDown);
    let mut other = link(3, "vpn0");
    (other.admin_up, other.carrier) = (true, true);
    machine.kernel.put_link(other);
    machine.drive();
    assert!(is_there(&machine, key), "{:?}", machine.sent);
}

#[test]
fn a_route_over_two_links_that_has_failed_comes_with_what_its_second_link_lacked() {
    let mut machine = Machine::new();
    let key = key("10.0.0.0/8", 50);
    let mut other = link(3, "vpn0");
    (other.admin_up, other.carrier) = (true, true);
    machine.kernel.put_link(other);
    let wanted = over_two_links(&machine, key);
    machine.apply(&wanted);
    machine.pass(LONG);
    assert!(!is_there(&machine, key));
    let theirs = FakeAddress::foreign(prefix("198.51.100.2/24"));
    machine.kernel.put_address(3, theirs, machine.now);
    machine.drive();
    assert!(is_there(&machine, key), "{:?}", machine.sent);
}

/// Puts `home0` with this MTU, and a link on it.
fn stacked(machine: &mut Machine, mtu: u32) -> LinkId {
    let below = LinkMessage {
        mtu,
        ..link(2, "home0")
    };
    machine.kernel.put_link(below);
    let above = LinkMessage {
        mtu,
        parent: NonZeroU32::new(2),
        ..link(4, "home0.5")
    };
    machine.kernel.put_link(above);
    machine.drive();
    machine.id("home0.5")
}

fn only(id: LinkId, wanted: LinkPlan) -> LinksPlan {
    LinksPlan {
        links: [(id, wanted)].into(),
        ..LinksPlan::default()
    }
}

#[test]
fn an_mtu_that_the_link_below_does_not_allow_comes_when_that_allows_it() {
    let mut machine = Machine::new();
    let id = stacked(&mut machine, 1400);
    let wanted = LinkPlan {
        admin_up: None,
        mtu: Some(1500),
        ..up()
    };
    machine.apply(&only(id, wanted));
    machine.pass(LONG);
    let item = Item::Setting(4, Setting::Mtu);
    let state = machine.state("home0.5", &item);
    assert!(matches!(state, ItemState::Failed(_)), "{state:?}");
    let before = machine.sent.len();
    // What comes and goes on the link below mends nothing.
    let address = FakeAddress::foreign(prefix("192.0.2.10/24"));
    machine.kernel.put_address(2, address, machine.now);
    machine.pass(LONG);
    assert_eq!(machine.sent[before..], []);
    let below = LinkMessage {
        mtu: 1500,
        ..link(2, "home0")
    };
    machine.kernel.put_link(below);
    machine.drive();
    assert_eq!(machine.kernel.links()[&4].mtu, 1500);
    assert_eq!(machine.state("home0.5", &item), ItemState::Ours);
    assert_eq!(machine.links.poll_timeout(), None);
}

#[test]
fn a_link_that_may_not_be_up_before_the_one_below_is_comes_up_after_that() {
    let mut machine = Machine::new();
    let id = stacked(&mut machine, 1500);
    machine.apply(&only(id, up()));
    machine.pass(LONG);
    let item = Item::Setting(4, Setting::Up);
    let state = machine.state("home0.5", &item);
    assert!(matches!(state, ItemState::Failed(_)), "{state:?}");
    let below = LinkMessage {
        admin_up: true,
        ..link(2, "home0")
    };
    machine.kernel.put_link(below);
    machine.drive();
    assert_eq!(machine.state("home0.5", &item), ItemState::Ours);
}
