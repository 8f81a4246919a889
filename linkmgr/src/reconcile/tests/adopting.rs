//! What is taken over, and what stays its owner's? After a release, of what clients supply late, among links that want one place, and of rules.

use policy::facts::Supplier;

use super::stories::foreign_route;
use super::*;
use crate::kernel::OURS;

/// A link with a client that has supplied nothing yet.
fn asking() -> LinkPlan {
    let mut plan = up();
    plan.clients.ipv4ll = true;
    plan
}

/// The same, and what the client has got.
fn supplied() -> LinkPlan {
    let supplier = Some(Supplier::Ipv4ll);
    let mut plan = asking();
    let address = AddressPlan {
        supplier,
        ..lasting()
    };
    plan.addresses.insert(prefix("192.0.2.10/24"), address);
    let route = RoutePlan {
        supplier,
        ..through("192.0.2.1")
    };
    plan.routes.insert(key("0.0.0.0/0", 100), route);
    plan
}

/// A link with an address and one default route of this metric.
fn uplink(network: &str, metric: u32) -> LinkPlan {
    let mut plan = up();
    plan.addresses
        .insert(prefix(&format!("{network}.10/24")), lasting());
    let gateway = through(&format!("{network}.1"));
    plan.routes.insert(key("0.0.0.0/0", metric), gateway);
    plan
}

fn one(machine: &Machine, home: LinkPlan) -> LinksPlan {
    LinksPlan {
        rules: [].into(),
        ..plan(machine, &[("home0", home)])
    }
}

fn two(machine: &Machine, home: LinkPlan, vpn: LinkPlan) -> LinksPlan {
    let whole = plan(machine, &[("home0", home), ("vpn0", vpn)]);
    LinksPlan {
        rules: [].into(),
        ..whole
    }
}

/// By which link each default route leaves, by metric.
fn ways(machine: &Machine) -> Vec<(u32, u32)> {
    let routes = machine.kernel.routes().iter();
    let defaults = routes.filter(|(key, _)| key.to.length == 0);
    defaults
        .map(|(key, it)| (key.metric, it.route.hops[0].index))
        .collect()
}

#[test]
fn what_a_client_supplies_after_the_adoption_of_its_link_is_ours() {
    for restarts in [false, true] {
        let mut machine = Machine::new();
        let (asking, supplied) = (asking(), supplied());
        let asking = one(&machine, asking);
        let supplied = one(&machine, supplied);
        machine.apply(&supplied);
        machine.links.release(machine.id("home0"));
        machine.apply(&LinksPlan::default());
        machine.pass(Duration::from_secs(100));
        let sent = machine.sent.len();
        machine.apply(&asking);
        machine.links.adopt(machine.id("home0"), machine.now);
        machine.drive();
        if restarts {
            machine.start();
            machine.apply(&asking);
        }
        machine.apply(&supplied);
        machine.pass(Duration::from_secs(10));
        for item in [
            Item::Route(key("0.0.0.0/0", 100)),
            Item::Address(2, prefix("192.0.2.10/24")),
        ] {
            assert_eq!(machine.state("home0", &item), ItemState::Ours, "{item:?}");
        }
        let journal = machine.journal.clone().unwrap();
        assert!(!journal.contains("owed"), "it holds once: {journal}");
        let written = &machine.sent[sent..];
        assert!(
            written.iter().all(KernelRequest::is_read),
            "{written:#?} is needless"
        );
        machine.links.stop(StopLevel::Clean, machine.now);
        machine.drive();
        assert!(machine.kernel.routes().is_empty(), "restart: {restarts}");
    }
}

#[test]
fn what_is_supplied_long_after_an_adoption_or_after_another_release_is_others() {
    for is_released in [false, true] {
        let mut machine = Machine::new();
        let asking = one(&machine, asking());
        let supplied = one(&machine, supplied());
        machine.apply(&supplied);
        machine.links.release(machine.id("home0"));
        machine.apply(&LinksPlan::default());
        machine.apply(&asking);
        machine.links.adopt(machine.id("home0"), machine.now);
        machine.drive();
        if is_released {
            machine.links.release(machine.id("home0"));
        } else {
            machine.pass(Duration::from_secs(3601));
        }
        machine.apply(&supplied);
        machine.pass(Duration::from_secs(10));
        let item = Item::Route(key("0.0.0.0/0", 100));
        assert_eq!(machine.state("home0", &item), ItemState::Adopted);
    }
}

#[test]
fn a_link_that_cannot_have_its_better_place_keeps_the_one_it_has() {
    // Whether the other link wants the place that is left, or nobody does.
    for is_wanted in [true, false] {
        let mut machine = Machine::new();
        let first = two(&machine, uplink("192.0.2", 100), uplink("198.51.100", 101));
        machine.apply(&first);
        assert_eq!(ways(&machine), [(100, 2), (101, 3)]);
        machine.links.release(machine.id("home0"));
        machine.apply(&two(&machine, up(), uplink("198.51.100", 101)));
        let home = if is_wanted {
            uplink("192.0.2", 101)
        } else {
            up()
        };
        machine.apply(&two(&machine, home, uplink("198.51.100", 100)));
        machine.pass(Duration::from_secs(100));
        assert_eq!(ways(&machine), [(100, 2), (101, 3)], "wanted: {is_wanted}");
        machine
            .kernel
            .take_route(&key("0.0.0.0/0", 100), machine.now);
        machine.pass(Duration::from_secs(1000));
        let after = ways(&machine);
        match is_wanted {
            true => assert_eq!(after, [(100, 3), (101, 2)]),
            false => assert_eq!(after, [(100, 3)]),
        }
    }
}

#[test]
fn links_change_places_when_nothing_is_in_the_way() {
    let mut machine = Machine::new();
    let first = two(&machine, uplink("192.0.2", 100), uplink("198.51.100", 101));
    machine.apply(&first);
    for (home, vpn) in [(101, 100), (100, 101), (20_100, 200), (100, 101)] {
        let changed = two(&machine, uplink("192.0.2", home), uplink("198.51.100", vpn));
        machine.apply(&changed);
        machine.pass(Duration::from_secs(5));
        let mut expected = [(home, 2), (vpn, 3)];
        expected.sort_unstable();
        assert_eq!(ways(&machine), expected);
    }
}

#[test]
fn adoption_takes_no_default_route_of_another_link() {
    let mut machine = Machine::new();
    let mut on = link(3, "vpn0");
    on.admin_up = true;
    machine.kernel.put_link(on);
    let address = crate::fake::FakeAddress::foreign(prefix("198.51.100.2/24"));
    machine.kernel.put_address(3, address, START);
    let theirs = foreign_route("0.0.0.0/0", 100, 3, "198.51.100.1");
    assert!(machine.kernel.put_foreign_route(&theirs, 16, START));
    machine.apply(&two(&machine, uplink("192.0.2", 100), up()));
    machine.links.adopt(machine.id("home0"), machine.now);
    machine.drive();
    machine.pass(Duration::from_secs(100));
    assert_eq!(ways(&machine), [(100, 3)]);
    let item = Item::Route(key("0.0.0.0/0", 100));
    assert_eq!(machine.state("home0", &item), ItemState::Foreign);
}

#[test]
fn a_rule_that_somebody_else_has_is_adopted_and_is_ours_by_command_only() {
    let mut machine = Machine::new();
    machine.kernel.put_foreign_rule(&rule(100), 3);
    let wanted = plan(&machine, &[("home0", up())]);
    machine.apply(&wanted);
    machine.pass(Duration::from_secs(100));
    let state = |machine: &Machine| machine.links.items(None)[0].1.clone();
    assert_eq!(state(&machine), ItemState::Adopted);
    assert_eq!(machine.kernel.rules(), [(rule(100), 3)]);
    // There is one at any time.
    machine.kernel.take_rule(&rule(100), 3);
    machine.drive();
    assert_eq!(machine.kernel.rules(), [(rule(100), OURS)]);
    machine.kernel.put_foreign_rule(&rule(100), 3);
    machine.pass(Duration::from_secs(100));
    assert_eq!(machine.kernel.rules().len(), 2);
    for _ in 0..2 {
        machine.links.adopt_rule(&rule(100));
        machine.drive();
        assert_eq!(machine.kernel.rules(), [(rule(100), OURS)]);
        assert_eq!(state(&machine), ItemState::Ours);
    }
    // Nothing of the command is left that would take what comes later.
    machine.kernel.put_foreign_rule(&rule(100), 3);
    machine.list();
    machine.pass(Duration::from_secs(100));
    assert_eq!(machine.kernel.rules().len(), 2);
    machine.links.stop(StopLevel::Clean, machine.now);
    machine.drive();
    assert_eq!(machine.kernel.rules(), [(rule(100), 3)]);
}

#[test]
fn a_rule_of_somebody_else_is_taken_when_ours_is_there() {
    let mut machine = Machine::new();
    machine.kernel.put_foreign_rule(&rule(100), 3);
    machine.apply(&plan(&machine, &[("home0", up())]));
    let sent = machine.sent.len();
    machine.links.adopt_rule(&rule(100));
    machine.drive();
    let expected = [
        KernelRequest::AddRule(rule(100)),
        KernelRequest::TakeRule(rule(100), 3),
    ];
    assert_eq!(machine.sent[sent..], expected);
    assert_eq!(machine.kernel.rules(), [(rule(100), OURS)]);
}

#[test]
fn a_journal_that_could_not_be_kept_is_tried_again_soon_and_with_the_next_plan() {
    let mut machine = Machine::new();
    let wanted = plan(&machine, &[("home0", home())]);
    machine.links.apply_plan(Arc::new(wanted.clone()), START);
    let mut now = START;
    let mut tries = Vec::new();
    for _ in 0..8 {
        let journal = machine.links.poll_journal().unwrap();
        machine.links.handle_journal(journal.version, false, now);
        assert!(!machine.links.is_journal_kept());
        let (at, _) = machine.links.poll_timeout().unwrap();
        tries.push(at.since(now).as_secs());
        now = at;
        machine.links.handle_timeout(now);
    }
    assert_eq!(tries, [1, 2, 4, 8, 16, 30, 30, 30]);
    let journal = machine.links.poll_journal().unwrap();
    machine.links.handle_journal(journal.version, false, now);
    assert_eq!(machine.links.poll_journal(), None, "it is not its time");
    machine.links.apply_plan(Arc::new(wanted), now);
    let journal = machine.links.poll_journal().expect("a plan is a reason");
    machine.links.handle_journal(journal.version, true, now);
    assert!(machine.links.is_journal_kept());
    assert_eq!(machine.links.poll_timeout(), None);
}
