//! What becomes of settings that somebody changes by hand? What the kernel tells of is set again by itself, ever more rarely against
//! somebody who does not give in; the rest when it is asked for.

use policy::links::Switch;

use super::*;
use crate::{KernelEvent, LinkReport, RouteMessage, Setting};

fn item(switch: Switch) -> Item {
    Item::Setting(2, Setting::Switch(switch))
}

fn applied() -> Machine {
    let mut machine = Machine::new();
    let mut home = home();
    home.switches = [
        (Switch::Forwarding4, 1),
        (Switch::ForceForwarding6, 1),
        (Switch::AcceptRa, 0),
        (Switch::DisableIpv6, 0),
    ]
    .into();
    let wanted = plan(&machine, &[("home0", home)]);
    machine.apply(&wanted);
    machine.pass(Duration::from_secs(20));
    assert_eq!(value(&machine, Switch::Forwarding4), 1);
    machine
}

fn value(machine: &Machine, switch: Switch) -> i32 {
    machine.kernel.switches()[&("home0".to_owned(), switch)]
}

/// Somebody sets a switch, and the kernel tells it as it tells this one.
fn set_by_hand(machine: &mut Machine, switch: Switch, value: i32, told: Option<Option<i32>>) {
    machine.kernel.put_switch("home0", switch, value);
    if let Some(told) = told {
        let event = KernelEvent::Switches {
            index: 2,
            values: vec![(switch, told)],
        };
        machine.links.handle_event(event, machine.now);
    }
    machine.drive();
}

fn writes(machine: &Machine) -> usize {
    let is_write = |request: &&KernelRequest| matches!(request, KernelRequest::SetSwitch { .. });
    machine.sent.iter().filter(is_write).count()
}

#[test]
fn what_the_kernel_tells_of_is_set_again_at_once_and_reported() {
    let rows = [
        (Switch::Forwarding4, 0, Some(0)),
        (Switch::ForceForwarding6, 0, None),
        (Switch::AcceptRa, 2, Some(2)),
    ];
    for (switch, by_hand, told) in rows {
        let mut machine = applied();
        let before = value(&machine, switch);
        set_by_hand(&mut machine, switch, by_hand, Some(told));
        assert_eq!(value(&machine, switch), before, "{switch:?}");
        assert_eq!(machine.state("home0", &item(switch)), ItemState::Ours);
        let report = LinkReport::Undone(machine.id("home0"), Setting::Switch(switch));
        assert_eq!(machine.links.poll_report(), Some(report));
        assert_eq!(machine.links.poll_report(), None);
    }
}

#[test]
fn what_is_told_as_it_is_costs_nothing() {
    let mut machine = applied();
    let sent = machine.sent.len();
    for told in [Switch::Forwarding4, Switch::ForceForwarding6] {
        set_by_hand(&mut machine, told, 1, Some(Some(1)));
    }
    // One that nobody wants anything of.
    set_by_hand(&mut machine, Switch::UseTempaddr, 2, Some(Some(2)));
    assert_eq!(machine.sent.len(), sent);
}

#[test]
fn whoever_does_not_give_in_is_answered_ever_more_rarely() {
    for (switch, told) in [
        (Switch::Forwarding4, Some(0)),
        (Switch::ForceForwarding6, None),
    ] {
        let mut machine = applied();
        let before = writes(&machine);
        let mut shown = 0;
        for _ in 0..600 {
            set_by_hand(&mut machine, switch, 0, Some(told));
            let state = machine.state("home0", &item(switch));
            shown += usize::from(state == ItemState::Changed);
            machine.pass(Duration::from_millis(100));
        }
        let written = writes(&machine) - before;
        assert!((4..=12).contains(&written), "{switch:?}: {written}");
        assert!(shown > 300, "{switch:?}: {shown}");
        // He has gone.
        machine.pass(Duration::from_secs(61));
        assert_eq!(value(&machine, switch), 1);
        assert_eq!(machine.state("home0", &item(switch)), ItemState::Ours);
    }
}

#[test]
fn what_the_kernel_does_not_tell_of_is_put_right_when_asked_for() {
    type Ask = fn(&mut Machine);
    let rows: [(&str, Ask); 2] = [
        ("up", |machine| {
            machine.links.retry(machine.id("home0"), machine.now);
        }),
        ("reload", |machine| machine.links.look_anew(machine.now)),
    ];
    for (name, ask) in rows {
        let mut machine = applied();
        for (switch, by_hand) in [(Switch::AcceptRa, 2), (Switch::Forwarding4, 0)] {
            set_by_hand(&mut machine, switch, by_hand, None);
            assert_eq!(value(&machine, switch), by_hand);
        }
        ask(&mut machine);
        machine.drive();
        assert_eq!(value(&machine, Switch::AcceptRa), 0, "{name}");
        assert_eq!(value(&machine, Switch::Forwarding4), 1, "{name}");
        // What was there before linnet is what comes back, not what somebody has tried since.
        machine.links.stop(StopLevel::Clean, machine.now);
        machine.drive();
        assert_eq!(value(&machine, Switch::AcceptRa), 1, "{name}");
        assert_eq!(value(&machine, Switch::Forwarding4), 0, "{name}");
    }
}

#[test]
fn that_the_kernel_listens_to_routers_shows_by_its_routes_and_addresses() {
    for by_address in [true, false] {
        let mut machine = applied();
        set_by_hand(&mut machine, Switch::AcceptRa, 2, None);
        let event = match by_address {
            true => KernelEvent::Address(crate::AddressMessage {
                protocol: 2,
                ..crate::AddressMessage::lasting(2, prefix("2001:db8:5::7/64"))
            }),
            false => KernelEvent::Route(RouteMessage {
                index: 2,
                to: prefix("::/0"),
                route: policy::facts::DefaultRoute {
                    metric: 1024,
                    gateway: Some("fe80::1".parse().unwrap()),
                },
                source: None,
                protocol: 9,
            }),
        };
        machine.links.handle_event(event, machine.now);
        machine.drive();
        assert_eq!(value(&machine, Switch::AcceptRa), 0, "{by_address}");
    }
}

#[test]
fn that_ipv6_was_switched_off_shows_by_the_link_local_address() {
    let mut machine = applied();
    let own = prefix("fe80::5/64");
    let event = KernelEvent::Address(crate::AddressMessage::lasting(2, own));
    machine.links.handle_event(event, machine.now);
    machine.drive();
    set_by_hand(&mut machine, Switch::DisableIpv6, 1, None);
    let event = KernelEvent::AddressGone {
        index: 2,
        address: own,
    };
    machine.links.handle_event(event, machine.now);
    machine.drive();
    assert_eq!(value(&machine, Switch::DisableIpv6), 0);
}

#[test]
fn what_is_told_during_a_listing_is_not_lost() {
    let mut machine = applied();
    machine.kernel.put_switch("home0", Switch::Forwarding4, 0);
    let mut events = machine.kernel.listing(machine.now);
    let told = KernelEvent::Switches {
        index: 2,
        values: vec![(Switch::Forwarding4, Some(0))],
    };
    events.insert(1, told);
    for event in events {
        machine.links.handle_event(event, machine.now);
    }
    machine.drive();
    assert_eq!(value(&machine, Switch::Forwarding4), 1);
}

/// Of most switches the kernel tells nothing: each is read before it is given back.
#[test]
fn a_switch_that_somebody_has_set_since_is_not_given_back_over_it() {
    for (by_hand, in_the_end) in [(None, 1), (Some(2), 2)] {
        for is_stop in [false, true] {
            let mut machine = applied();
            if let Some(by_hand) = by_hand {
                set_by_hand(&mut machine, Switch::AcceptRa, by_hand, None);
            }
            if is_stop {
                machine.links.stop(StopLevel::Clean, machine.now);
                machine.drive();
                assert!(machine.links.is_idle());
            } else {
                let nothing = plan(&machine, &[]);
                machine.apply(&nothing);
            }
            let is = value(&machine, Switch::AcceptRa);
            assert_eq!(is, in_the_end, "{by_hand:?}, {is_stop}");
        }
    }
}
