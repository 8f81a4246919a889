//! What users would tell: one story a test.

use config::matcher::Mac;
use policy::facts::Supplier;
use policy::links::Switch;

use super::*;
use crate::fake::FakeAddress;
use crate::kernel::{NextHop, OURS, OwnRoute};
use crate::{LinkReport, Setting, Usability};

fn applied() -> (Machine, LinksPlan) {
    let mut machine = Machine::new();
    let wanted = plan(&machine, &[("home0", home())]);
    machine.apply(&wanted);
    (machine, wanted)
}

fn leased(machine: &Machine, seconds: u64) -> AddressPlan {
    let until = Some(machine.now + Duration::from_secs(seconds));
    AddressPlan {
        supplier: Some(Supplier::Dhcp4),
        preferred_until: until,
        valid_until: until,
        ..lasting()
    }
}

fn dhcp() -> LinkPlan {
    LinkPlan {
        clients: Clients {
            dhcp4: Some(Arc::default()),
            ..Clients::default()
        },
        ..up()
    }
}

pub(super) fn foreign_route(to: &str, metric: u32, index: u32, via: &str) -> OwnRoute {
    let via = (!via.is_empty()).then(|| via.parse().unwrap());
    OwnRoute {
        key: key(to, metric),
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

fn step(request: &KernelRequest) -> u8 {
    match request {
        KernelRequest::ReadSwitch { .. }
        | KernelRequest::ReadPrefixRoute { .. }
        | KernelRequest::SetSwitch { .. }
        | KernelRequest::SetMac { .. } => 0,
        KernelRequest::SetUp { .. } | KernelRequest::SetMtu { .. } => 1,
        KernelRequest::AddAddress(_) | KernelRequest::ReplaceAddress(_) => 2,
        KernelRequest::AddRoute(_) | KernelRequest::ReplaceRoute(_) => 3,
        KernelRequest::AddRule(_) => 4,
        KernelRequest::DeleteRule(_) => 5,
        KernelRequest::DeleteRoute(_) => 6,
        KernelRequest::DeleteAddress { .. } => 7,
    }
}

#[test]
fn plan_becomes_true_in_order_and_nothing_is_asked_twice() {
    let (mut machine, wanted) = applied();
    let steps: Vec<u8> = machine.sent.iter().map(step).collect();
    assert_eq!(steps, [1, 2, 2, 3, 3, 3, 4], "{:#?}", machine.sent);
    assert_eq!(machine.kernel.routes().len(), 3);
    machine.apply(&wanted);
    machine.list();
    machine.pass(Duration::from_secs(100));
    assert_eq!(machine.sent.len(), 7);
    assert_eq!(machine.links.poll_timeout(), None, "nothing is waited for");
    assert!(machine.links.is_idle());
}

#[test]
fn restart_adopts_its_own_work_without_a_write() {
    let (mut machine, wanted) = applied();
    machine.start();
    machine.apply(&wanted);
    assert_eq!(machine.sent.len(), 7);
    let item = Item::Address(2, prefix("192.0.2.10/24"));
    assert_eq!(machine.state("home0", &item), ItemState::Ours);
}

#[test]
fn what_is_right_already_is_adopted_and_stays_when_the_plan_lets_it_go() {
    let mut machine = Machine::new();
    let mut up = link(2, "home0");
    (up.admin_up, up.carrier) = (true, true);
    machine.kernel.put_link(up);
    let address = FakeAddress::foreign(prefix("192.0.2.10/24"));
    machine.kernel.put_address(2, address, START);
    let mut wanted = super::up();
    wanted.addresses.insert(prefix("192.0.2.10/24"), lasting());
    let wanted = LinksPlan {
        rules: [].into(),
        ..plan(&machine, &[("home0", wanted)])
    };
    machine.apply(&wanted);
    assert_eq!(machine.sent, []);
    let item = Item::Address(2, prefix("192.0.2.10/24"));
    assert_eq!(machine.state("home0", &item), ItemState::Adopted);
    machine.apply(&LinksPlan::default());
    machine.links.stop(StopLevel::Clean, machine.now);
    machine.drive();
    assert_eq!(machine.sent, []);
    assert_eq!(machine.prefixes(2), ["192.0.2.10/24"]);
}

#[test]
fn renewal_is_in_place() {
    let mut machine = Machine::new();
    for _ in 0..100 {
        let mut wanted = dhcp();
        let lease = leased(&machine, 3600);
        wanted.addresses.insert(prefix("192.0.2.10/24"), lease);
        let wanted = plan(&machine, &[("home0", wanted)]);
        machine.apply(&wanted);
        machine.pass(Duration::from_secs(1800));
    }
    let deleted = |it: &&KernelRequest| matches!(it, KernelRequest::DeleteAddress { .. });
    assert_eq!(machine.sent.iter().find(deleted), None);
    let replaced = |it: &&KernelRequest| matches!(it, KernelRequest::ReplaceAddress(_));
    assert_eq!(machine.sent.iter().filter(replaced).count(), 99);
}

#[test]
fn a_lifetime_that_is_told_in_whole_seconds_is_no_reason_to_write() {
    let mut machine = Machine::new();
    // What is asked for, what is told and the moment of that lose nearly a second each.
    machine.now = machine.now + Duration::from_millis(900);
    let mut wanted = dhcp();
    let lease = leased(&machine, 3600);
    let until = lease
        .valid_until
        .map(|until| until + Duration::from_millis(900));
    let lease = AddressPlan {
        preferred_until: until,
        valid_until: until,
        ..lease
    };
    wanted.addresses.insert(prefix("192.0.2.10/24"), lease);
    let wanted = plan(&machine, &[("home0", wanted)]);
    machine.apply(&wanted);
    machine.pass(Duration::from_millis(10_050));
    let before = machine.sent.len();
    machine.list();
    machine.drive();
    assert_eq!(machine.sent[before..], []);
}

#[test]
fn lease_that_ends_goes_and_its_route_with_it() {
    let mut machine = Machine::new();
    let mut wanted = dhcp();
    let lease = leased(&machine, 3600);
    wanted.addresses.insert(prefix("192.0.2.10/24"), lease);
    wanted
        .routes
        .insert(key("0.0.0.0/0", 100), through("192.0.2.1"));
    let wanted = plan(&machine, &[("home0", wanted)]);
    machine.apply(&wanted);
    assert_eq!(machine.kernel.routes().len(), 1);
    let without = plan(&machine, &[("home0", dhcp())]);
    machine.apply(&without);
    assert_eq!(machine.prefixes(2), [""; 0]);
    assert!(machine.kernel.routes().is_empty());
}

#[test]
fn lease_of_a_run_before_waits_for_its_client() {
    let mut machine = Machine::new();
    let mut wanted = dhcp();
    let lease = leased(&machine, 3600);
    wanted.addresses.insert(prefix("192.0.2.10/24"), lease);
    let with = plan(&machine, &[("home0", wanted)]);
    machine.apply(&with);
    let without = plan(&machine, &[("home0", dhcp())]);
    machine.start();
    machine.apply(&without);
    machine.pass(Duration::from_secs(50));
    assert_eq!(machine.prefixes(2), ["192.0.2.10/24"]);
    machine.apply(&with);
    machine.pass(Duration::from_secs(50));
    assert_eq!(machine.prefixes(2), ["192.0.2.10/24"]);
    machine.start();
    machine.apply(&without);
    machine.pass(Duration::from_secs(70));
    assert_eq!(machine.prefixes(2), [""; 0], "nobody said it again");
    machine.apply(&with);
    machine.start();
    machine.apply(&plan(&machine, &[("home0", up())]));
    assert_eq!(machine.prefixes(2), [""; 0], "no client could");
}

#[test]
fn route_waits_for_what_can_mend_it_and_holds_up_nothing() {
    let mut machine = Machine::new();
    let mut wanted = home();
    let far = key("172.16.0.0/12", 5);
    wanted.routes.insert(far, through("198.51.100.1"));
    machine.apply(&plan(&machine, &[("home0", wanted)]));
    assert_eq!(machine.kernel.routes().len(), 3);
    let state = machine.state("home0", &Item::Route(far));
    let ItemState::Failed(fault) = state else {
        panic!("{state:?}");
    };
    assert_eq!(fault.errno, 101);
    machine.pass(Duration::from_secs(1000));
    let before = machine.sent.len();
    let near = FakeAddress::foreign(prefix("198.51.100.9/24"));
    machine.kernel.put_address(2, near, machine.now);
    machine.drive();
    assert_eq!(machine.sent.len(), before + 1);
    assert_eq!(machine.state("home0", &Item::Route(far)), ItemState::Ours);
}

#[test]
fn link_that_goes_down_and_up_gets_back_what_the_kernel_dropped_in_silence() {
    let (mut machine, _) = applied();
    machine.pass(Duration::from_secs(10));
    let mut down = machine.kernel.links()[&3].clone();
    down.admin_up = false;
    machine.kernel.put_link(down);
    // Somebody takes it down and up again: what went in between comes back.
    let request = |up| KernelRequest::SetUp { index: 2, up };
    machine.kernel.handle_request(&request(false), machine.now);
    machine.drive();
    let item = Item::Route(key("0.0.0.0/0", 100));
    assert_eq!(machine.state("home0", &item), ItemState::LinkDown);
    let up = Item::Setting(2, Setting::Up);
    assert_eq!(machine.state("home0", &up), ItemState::Overridden);
    assert!(
        !machine.kernel.links()[&2].admin_up,
        "an administrator's word"
    );
    machine.kernel.handle_request(&request(true), machine.now);
    machine.drive();
    assert_eq!(machine.state("home0", &item), ItemState::Ours);
    assert_eq!(machine.kernel.routes().len(), 3);
    machine.kernel.handle_request(&request(false), machine.now);
    machine.drive();
    machine.pass(Duration::from_secs(10));
    machine.links.retry(machine.id("home0"), machine.now);
    machine.drive();
    assert!(
        machine.kernel.links()[&2].admin_up,
        "`linnet up` is stronger"
    );
}

#[test]
fn default_route_moves_to_another_link_in_one_request() {
    let (mut machine, _) = applied();
    let mut old = home();
    old.routes.remove(&key("0.0.0.0/0", 100));
    let mut new = up();
    new.addresses.insert(prefix("198.51.100.2/24"), lasting());
    new.routes
        .insert(key("0.0.0.0/0", 100), through("198.51.100.1"));
    let from = machine.sent.len();
    machine.apply(&plan(&machine, &[("home0", old), ("vpn0", new)]));
    let routes: Vec<&KernelRequest> = machine.sent[from..]
        .iter()
        .filter(|it| {
            matches!(
                it,
                KernelRequest::ReplaceRoute(_) | KernelRequest::DeleteRoute(_)
            )
        })
        .collect();
    let [KernelRequest::ReplaceRoute(route)] = routes[..] else {
        panic!("{routes:?}");
    };
    assert_eq!(route.index(), Some(3));
}

#[test]
fn two_links_with_one_route_do_not_quarrel() {
    let mut machine = Machine::new();
    let mut other = home();
    other.addresses = [(prefix("192.0.2.11/24"), lasting())].into();
    other.routes.remove(&key("::/0", 100));
    machine.apply(&plan(&machine, &[("home0", home()), ("vpn0", other)]));
    machine.pass(Duration::from_secs(1000));
    let item = Item::Route(key("0.0.0.0/0", 100));
    assert_eq!(machine.state("home0", &item), ItemState::Ours);
    let home = machine.id("home0");
    assert_eq!(machine.state("vpn0", &item), ItemState::TakenBy(home));
    assert_eq!(machine.kernel.routes().len(), 3);
}

#[test]
fn a_rule_that_was_let_go_is_nobodys() {
    let (mut machine, _) = applied();
    let item = Item::Rule(rule(100));
    assert_eq!(machine.links.holder(&item), None);
    machine.links.release_rule(&rule(100));
    let nobody = Holder::Unproven { index: None };
    assert_eq!(machine.links.holder(&item), Some(nobody));
}

#[test]
fn of_several_makers_of_a_rule_one_who_says_who_he_is_is_named() {
    let (mut machine, _) = applied();
    let item = Item::Rule(rule(7));
    for (number, named) in [(0, 0), (18, 18), (12, 12)] {
        machine.kernel.put_foreign_rule(&rule(7), number);
        machine.drive();
        let holder = Some(Holder::Rule(Protocol(named)));
        assert_eq!(machine.links.holder(&item), holder, "after {number}");
    }
}

#[test]
fn foreign_things_in_the_way_stay_and_are_told() {
    let mut machine = Machine::new();
    let bird = foreign_route("10.0.0.0/8", 50, 3, "");
    let mut up = link(3, "vpn0");
    up.admin_up = true;
    machine.kernel.put_link(up);
    assert!(machine.kernel.put_foreign_route(&bird, 12, START));
    machine.kernel.put_foreign_rule(&rule(100), 3);
    machine.apply(&plan(&machine, &[("home0", home())]));
    machine.pass(Duration::from_secs(1000));
    let item = Item::Route(key("10.0.0.0/8", 50));
    assert_eq!(machine.state("home0", &item), ItemState::Foreign);
    // It is just as it is wanted.
    let [(item, state)] = machine.links.items(None).try_into().unwrap();
    assert_eq!(state, ItemState::Adopted);
    assert_eq!(machine.links.holder(&item), Some(Holder::Rule(Protocol(3))));
    machine.links.stop(StopLevel::Clean, machine.now);
    machine.drive();
    assert!(machine.links.is_idle());
    let left: Vec<u8> = machine
        .kernel
        .routes()
        .values()
        .map(|it| it.protocol)
        .collect();
    assert_eq!(left, [12]);
    assert_eq!(machine.kernel.rules(), [(rule(100), 3)]);
}

#[test]
fn what_has_our_number_and_no_proof_stays() {
    let mut machine = Machine::new();
    let unproven = foreign_route("10.9.0.0/16", 50, 3, "");
    let mut up = link(3, "vpn0");
    up.admin_up = true;
    machine.kernel.put_link(up);
    machine.kernel.put_foreign_route(&unproven, OURS, START);
    machine.kernel.put_foreign_rule(&rule(7), OURS);
    let marked = FakeAddress {
        protocol: OURS,
        ..FakeAddress::foreign(prefix("203.0.113.5/24"))
    };
    machine.kernel.put_address(2, marked, START);
    machine.apply(&plan(&machine, &[("home0", home())]));
    machine.links.stop(StopLevel::Clean, machine.now);
    machine.drive();
    assert_eq!(machine.prefixes(2), ["203.0.113.5/24"]);
    assert_eq!(machine.kernel.routes().len(), 1);
    assert_eq!(machine.kernel.rules().len(), 1);
}

#[test]
fn virtual_address_of_a_cluster_outlives_the_address_that_it_hangs_on() {
    let (mut machine, _) = applied();
    let virtual_address = FakeAddress::foreign(prefix("192.0.2.100/24"));
    machine.kernel.put_address(2, virtual_address, machine.now);
    machine.drive();
    let mut other = home();
    other.addresses.remove(&prefix("192.0.2.10/24"));
    other.addresses.insert(prefix("192.0.2.11/24"), lasting());
    machine.apply(&plan(&machine, &[("home0", other)]));
    assert_eq!(
        machine.prefixes(2),
        ["2001:db8::10/64", "192.0.2.100/24", "192.0.2.11/24"]
    );
}

#[test]
fn quarrel_gets_slower() {
    let (mut machine, _) = applied();
    let from = machine.sent.len();
    for _ in 0..600 {
        machine.pass(Duration::from_secs(1));
        let taken = prefix("192.0.2.10/24");
        machine.kernel.take_address(2, &taken, machine.now);
        machine.drive();
    }
    let added = machine.sent[from..]
        .iter()
        .filter(|it| matches!(it, KernelRequest::AddAddress(_)))
        .count();
    assert!((5..30).contains(&added), "{added}");
}

#[test]
fn settings_come_back_as_they_were_unless_somebody_has_set_them_since() {
    let mut machine = Machine::new();
    let mut wanted = up();
    wanted.mtu = Some(1400);
    wanted.mac = Some(Mac([2, 0, 0, 0, 0, 9]));
    wanted.switches = [(Switch::AcceptRa, 0), (Switch::Forwarding4, 1)].into();
    let mut with_mac = link(2, "home0");
    with_mac.mac = Some(Mac([2, 0, 0, 0, 0, 1]));
    machine.kernel.put_link(with_mac.clone());
    machine.drive();
    machine.apply(&plan(&machine, &[("home0", wanted)]));
    let now = &machine.kernel.links()[&2];
    assert_eq!(
        (now.mtu, now.mac, now.admin_up),
        (1400, Some(Mac([2, 0, 0, 0, 0, 9])), true)
    );
    let accept_ra = ("home0".to_owned(), Switch::AcceptRa);
    let forwarding = ("home0".to_owned(), Switch::Forwarding4);
    assert_eq!(machine.kernel.switches()[&accept_ra], 0);
    // It dies, and somebody sets the MTU.
    machine.start();
    let mut other = machine.kernel.links()[&2].clone();
    other.mtu = 1300;
    machine.kernel.put_link(other);
    machine.apply(&plan(&machine, &[("vpn0", up())]));
    let now = &machine.kernel.links()[&2];
    assert_eq!(
        (now.mtu, now.mac, now.admin_up),
        (1300, with_mac.mac, false)
    );
    assert_eq!(machine.kernel.switches()[&accept_ra], 1);
    assert_eq!(machine.kernel.switches()[&forwarding], 0);
    assert!(
        !machine.journal.as_ref().unwrap().contains(" 2 "),
        "{:?}",
        machine.journal
    );
}

#[test]
fn a_kernel_that_makes_no_link_local_address_is_told_to_and_any_way_of_making_one_will_do() {
    for (is, becomes, after) in [(1, 0, 1), (0, 0, 0), (2, 2, 2), (3, 3, 3)] {
        let mut machine = Machine::new();
        let way = ("home0".to_owned(), Switch::LinkLocal6);
        machine.kernel.put_switch("home0", Switch::LinkLocal6, is);
        let mut wanted = home();
        wanted.switches = [(Switch::LinkLocal6, 0)].into();
        machine.apply(&plan(&machine, &[("home0", wanted)]));
        assert_eq!(machine.kernel.switches()[&way], becomes, "{is}");
        machine.links.stop(StopLevel::Detach, machine.now);
        machine.drive();
        assert_eq!(machine.kernel.switches()[&way], after, "{is}");
    }
}

#[test]
fn detaching_gives_switches_back_and_keeps_the_rest() {
    let mut machine = Machine::new();
    let mut wanted = home();
    wanted.switches = [(Switch::AcceptRa, 0)].into();
    machine.apply(&plan(&machine, &[("home0", wanted)]));
    machine.links.stop(StopLevel::Detach, machine.now);
    machine.drive();
    assert!(machine.links.is_idle());
    let accept_ra = ("home0".to_owned(), Switch::AcceptRa);
    assert_eq!(machine.kernel.switches()[&accept_ra], 1);
    assert_eq!(machine.kernel.routes().len(), 3);
    assert_eq!(machine.prefixes(2).len(), 2);
}

#[test]
fn releasing_touches_nothing() {
    let (mut machine, _) = applied();
    let before = machine.sent.len();
    machine.links.stop(StopLevel::Release, machine.now);
    machine.apply(&LinksPlan::default());
    machine.pass(Duration::from_secs(100));
    assert!(machine.links.is_idle());
    assert_eq!(machine.sent.len(), before);
    assert_eq!(machine.kernel.routes().len(), 3);
}

#[test]
fn clean_stop_leaves_the_kernel_as_it_was() {
    let fresh = Machine::new();
    let (mut machine, _) = applied();
    machine.links.stop(StopLevel::Clean, machine.now);
    machine.drive();
    machine.pass(Duration::from_secs(10));
    assert!(machine.links.is_idle());
    assert_eq!(machine.kernel.links(), fresh.kernel.links());
    assert_eq!(machine.kernel.addresses(), []);
    assert!(machine.kernel.routes().is_empty() && machine.kernel.rules().is_empty());
    let text = machine.journal.unwrap();
    assert_eq!(
        text.lines()
            .filter(|line| !line.starts_with("link"))
            .count(),
        2,
        "{text}"
    );
}

#[test]
fn released_link_keeps_what_it_has() {
    let (mut machine, _) = applied();
    machine.links.release(machine.id("home0"));
    machine.apply(&LinksPlan::default());
    machine.links.stop(StopLevel::Clean, machine.now);
    machine.drive();
    assert_eq!(machine.kernel.routes().len(), 3);
    assert_eq!(machine.prefixes(2).len(), 2);
    assert!(machine.kernel.links()[&2].admin_up);
}

#[test]
fn a_route_by_two_links_stays_ours_when_one_of_them_is_released() {
    let mut machine = Machine::new();
    let other = machine.id("vpn0");
    let by = |ways: &[(&str, Option<LinkId>)]| RoutePlan {
        via: ways
            .iter()
            .map(|(via, link)| HopPlan {
                via: via.parse().ok(),
                link: *link,
                weight: 2,
            })
            .collect(),
        on_link: true,
        ..through("192.0.2.1")
    };
    let mut own = up();
    own.addresses.insert(prefix("192.0.2.10/24"), lasting());
    let place = key("10.0.0.0/8", 50);
    let with = |route: RoutePlan| {
        let mut own = own.clone();
        own.routes.insert(place, route);
        own
    };
    let (here, there) = (("192.0.2.1", None), ("198.51.100.1", Some(other)));
    let both = plan(
        &machine,
        &[("home0", with(by(&[here, there]))), ("vpn0", up())],
    );
    machine.apply(&both);
    assert_eq!(machine.kernel.routes()[&place].route.hops.len(), 2);
    machine.links.release(other);
    let without = plan(&machine, &[("home0", with(by(&[here])))]);
    machine.apply(&without);
    let item = Item::Route(place);
    assert_eq!(machine.state("home0", &item), ItemState::Ours);
    assert_eq!(machine.kernel.routes()[&place].route.hops.len(), 1);
    machine.links.stop(StopLevel::Clean, machine.now);
    machine.drive();
    assert!(machine.kernel.routes().is_empty());
}

#[test]
fn a_released_link_is_struck_out_at_once_and_can_be_adopted_again() {
    let (mut machine, wanted) = applied();
    // Something goes on failing, so that there is never a time with nothing else to do.
    machine.pass(Duration::from_secs(10));
    machine.links.release(machine.id("home0"));
    let journal = machine.links.poll_journal().expect("it is kept at once");
    assert!(!journal.text.contains("192.0.2.10"), "{}", journal.text);
    machine
        .links
        .handle_journal(journal.version, true, machine.now);
    machine.apply(&LinksPlan::default());
    let item = Item::Address(2, prefix("192.0.2.10/24"));
    machine.links.apply_plan(Arc::new(wanted), machine.now);
    machine.links.adopt(machine.id("home0"), machine.now);
    machine.drive();
    machine.pass(Duration::from_secs(10));
    assert_eq!(machine.state("home0", &item), ItemState::Ours);
    machine.links.stop(StopLevel::Clean, machine.now);
    machine.drive();
    assert_eq!(machine.prefixes(2), [""; 0]);
    assert!(machine.kernel.routes().is_empty());
}

#[test]
fn adopted_link_is_ours_to_clean() {
    let mut machine = Machine::new();
    let mut on = link(2, "home0");
    on.admin_up = true;
    machine.kernel.put_link(on);
    let address = FakeAddress::foreign(prefix("192.0.2.10/24"));
    machine.kernel.put_address(2, address, START);
    let left = foreign_route("0.0.0.0/0", 100, 2, "192.0.2.1");
    assert!(machine.kernel.put_foreign_route(&left, 16, START));
    machine.apply(&plan(&machine, &[("home0", home())]));
    machine.links.adopt(machine.id("home0"), machine.now);
    machine.drive();
    machine.pass(Duration::from_secs(10));
    let item = Item::Address(2, prefix("192.0.2.10/24"));
    assert_eq!(machine.state("home0", &item), ItemState::Ours);
    machine.links.stop(StopLevel::Clean, machine.now);
    machine.drive();
    assert_eq!(machine.prefixes(2), [""; 0]);
    assert!(machine.kernel.routes().is_empty());
}

#[test]
fn lost_events_are_made_up_by_a_listing() {
    let (mut machine, _) = applied();
    machine.pass(Duration::from_secs(10));
    machine
        .kernel
        .take_route(&key("10.0.0.0/8", 50), machine.now);
    machine
        .kernel
        .take_address(2, &prefix("2001:db8::10/64"), machine.now);
    machine.list();
    machine.drive();
    assert_eq!(machine.kernel.routes().len(), 3);
    assert_eq!(machine.prefixes(2).len(), 2);
}

#[test]
fn address_of_another_length_goes_before_the_new_one_comes() {
    let (mut machine, _) = applied();
    let mut other = home();
    other.addresses.remove(&prefix("2001:db8::10/64"));
    other
        .addresses
        .insert(prefix("2001:db8::10/128"), lasting());
    other.routes.remove(&key("::/0", 100));
    machine.apply(&plan(&machine, &[("home0", other)]));
    assert_eq!(machine.prefixes(2), ["192.0.2.10/24", "2001:db8::10/128"]);
}

#[test]
fn address_that_somebody_else_has_is_reported_once() {
    let (mut machine, wanted) = applied();
    let taken = FakeAddress {
        usability: Usability::Duplicate,
        protocol: OURS,
        ..FakeAddress::foreign(prefix("2001:db8::10/64"))
    };
    machine.kernel.put_address(2, taken, machine.now);
    machine.drive();
    let report = LinkReport::Duplicate(machine.id("home0"), prefix("2001:db8::10/64"));
    assert_eq!(machine.links.poll_report(), Some(report));
    machine.apply(&wanted);
    machine.list();
    machine.drive();
    assert_eq!(machine.links.poll_report(), None);
}

#[test]
fn full_disk_does_not_cost_the_network() {
    let mut machine = Machine::new();
    let wanted = plan(&machine, &[("home0", home())]);
    machine.links.apply_plan(Arc::new(wanted), START);
    let journal = machine.links.poll_journal().unwrap();
    assert_eq!(
        machine.links.poll_request(START),
        None,
        "it is not kept yet"
    );
    machine.links.handle_journal(journal.version, false, START);
    assert!(!machine.links.is_journal_kept(), "whoever asks is told");
    assert_eq!(machine.drive().len(), 7);
    assert_eq!(machine.journal, None);
    machine.pass(Duration::from_secs(31));
    assert!(machine.journal.is_some(), "it is tried again");
    assert!(machine.links.is_journal_kept());
}

#[test]
fn who_ends_tries_once_more_to_keep_what_could_not_be_kept() {
    for level in [StopLevel::Release, StopLevel::Detach] {
        for is_kept in [false, true] {
            let mut machine = Machine::new();
            let wanted = plan(&machine, &[("home0", home())]);
            machine.links.apply_plan(Arc::new(wanted), START);
            let journal = machine.links.poll_journal().unwrap();
            machine.links.handle_journal(journal.version, false, START);
            machine.drive();
            assert!(machine.links.is_idle() && machine.journal.is_none());

            machine.links.stop(level, START);
            assert!(!machine.links.is_idle(), "{level:?}: it is written first");
            let journal = machine.links.poll_journal().unwrap();
            assert!(journal.text.contains("192.0.2.10/24"), "{}", journal.text);
            machine
                .links
                .handle_journal(journal.version, is_kept, START);
            machine.drive();
            assert!(
                machine.links.is_idle(),
                "{level:?}: nobody waits for a disk"
            );
        }
    }
}

#[test]
fn no_more_than_a_batch_is_under_way() {
    let mut machine = Machine::new();
    let mut wanted = up();
    for number in 0..1000 {
        let (middle, last) = (number / 250, number % 250);
        let address = prefix(&format!("10.{middle}.{last}.1/24"));
        wanted.addresses.insert(address, lasting());
    }
    let wanted = plan(&machine, &[("home0", wanted)]);
    machine.links.apply_plan(Arc::new(wanted), START);
    let journal = machine.links.poll_journal().unwrap();
    machine.links.handle_journal(journal.version, true, START);
    let mut batch = Vec::new();
    while let Some(request) = machine.links.poll_request(START) {
        batch.push(request);
    }
    assert_eq!(batch.len(), crate::MAX_IN_FLIGHT);
    for (id, request) in batch {
        let answer = machine.kernel.handle_request(&request, START);
        machine.links.handle_answer(id, answer, START);
    }
    machine.drive();
    assert_eq!(machine.prefixes(2).len(), 1000);
}

#[test]
fn passing_fault_is_tried_again_by_itself() {
    let mut machine = Machine::new();
    let wanted = plan(&machine, &[("home0", home())]);
    machine.links.apply_plan(Arc::new(wanted), START);
    let journal = machine.links.poll_journal().unwrap();
    machine.links.handle_journal(journal.version, true, START);
    while let Some((id, _)) = machine.links.poll_request(START) {
        let fault = crate::KernelFault {
            errno: 105,
            text: None,
        };
        machine
            .links
            .handle_answer(id, KernelAnswer::Failed(fault), START);
    }
    machine.pass(Duration::from_secs(1));
    assert_eq!(machine.kernel.routes().len(), 3);
}
