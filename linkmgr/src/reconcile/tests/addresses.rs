//! Do static addresses wait for, or give way to, others that have them, as the profile says? And is what else there is to say of one
//! heeded where it is ours, and left where it is not?

use config::matcher::Mac;
use config::model::AddressLabel;

use super::*;
use crate::fake::FakeAddress;
use crate::watches::Standing;

const OWN: &str = "192.0.2.10/24";
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 9]);

fn wanted(address: AddressPlan) -> LinkPlan {
    let mut plan = up();
    plan.addresses.insert(prefix(OWN), address);
    plan
}

fn with(conflicts: ConflictUse) -> LinkPlan {
    wanted(AddressPlan {
        conflicts,
        ..lasting()
    })
}

/// A machine whose link has ARP, and is up.
fn machine() -> Machine {
    let mut machine = Machine::new();
    machine.kernel.put_link(LinkMessage {
        arp: true,
        mac: Some(Mac([2, 0, 0, 0, 0, 1])),
        admin_up: true,
        carrier: true,
        ..link(2, "home0")
    });
    machine.drive();
    machine
}

impl Machine {
    fn found(&mut self, standing: Standing) -> Vec<KernelRequest> {
        let address = "192.0.2.10".parse().unwrap();
        self.links.handle_standing(2, address, standing, self.now);
        self.drive()
    }

    fn own_state(&self) -> ItemState {
        self.state("home0", &Item::Address(2, prefix(OWN)))
    }
}

#[test]
fn an_address_that_yields_comes_when_it_is_free_and_goes_when_it_is_not() {
    for conflicts in [ConflictUse::Probe, ConflictUse::ProbeCarefully] {
        let mut machine = machine();
        machine.apply(&plan(&machine, &[("home0", with(conflicts))]));
        assert_eq!(machine.prefixes(2), Vec::<String>::new());
        assert_eq!(machine.own_state(), ItemState::Probing);
        machine.found(Standing::Conflict(OTHER));
        assert_eq!(machine.own_state(), ItemState::Conflict(OTHER));
        machine.found(Standing::Unknown);
        assert_eq!(machine.own_state(), ItemState::Probing);
        assert_eq!(machine.prefixes(2), Vec::<String>::new());
        for _ in 0..2 {
            machine.found(Standing::Free);
            assert_eq!(machine.prefixes(2), [OWN]);
            assert_eq!(machine.own_state(), ItemState::Ours);
            // Another place, maybe: nobody has objected yet.
            assert_eq!(machine.found(Standing::Unknown), []);
            assert_eq!(machine.own_state(), ItemState::Ours);
            machine.found(Standing::Conflict(OTHER));
            assert_eq!(machine.prefixes(2), Vec::<String>::new());
            assert_eq!(machine.own_state(), ItemState::Conflict(OTHER));
        }
        // Another link with this index knows nothing of it.
        machine.kernel.remove_link(2, machine.now);
        machine.drive();
        machine.kernel.put_link(LinkMessage {
            arp: true,
            mac: Some(OTHER),
            ..link(2, "home0")
        });
        machine.drive();
        machine.apply(&plan(&machine, &[("home0", with(conflicts))]));
        assert_eq!(machine.own_state(), ItemState::Probing);
    }
}

#[test]
fn an_address_that_does_not_yield_is_there_whoever_has_it() {
    for conflicts in [
        ConflictUse::Announce,
        ConflictUse::Check,
        ConflictUse::Watch,
    ] {
        let mut machine = machine();
        machine.apply(&plan(&machine, &[("home0", with(conflicts))]));
        assert_eq!(machine.prefixes(2), [OWN]);
        assert_eq!(machine.found(Standing::Conflict(OTHER)), []);
        assert_eq!(machine.own_state(), ItemState::Conflict(OTHER));
        for standing in [Standing::Free, Standing::Unknown] {
            assert_eq!(machine.found(standing), []);
            assert_eq!(machine.own_state(), ItemState::Ours);
        }
    }
}

#[test]
fn nobody_is_waited_for_where_there_is_no_arp() {
    let mut machine = Machine::new();
    machine.apply(&plan(&machine, &[("home0", with(ConflictUse::Probe))]));
    assert_eq!(machine.prefixes(2), [OWN]);
    assert_eq!(machine.own_state(), ItemState::Ours);
}

#[test]
fn what_is_there_is_used_unasked_and_somebody_elses_stays_even_in_conflict() {
    let mut machine = machine();
    let theirs = FakeAddress::foreign(prefix(OWN));
    machine.kernel.put_address(2, theirs, START);
    machine.drive();
    machine.apply(&plan(&machine, &[("home0", with(ConflictUse::Probe))]));
    assert_eq!(machine.own_state(), ItemState::Adopted);
    machine.found(Standing::Conflict(OTHER));
    assert_eq!(machine.own_state(), ItemState::Conflict(OTHER));
    let is_rule = |it: &KernelRequest| matches!(it, KernelRequest::AddRule(_));
    assert!(machine.sent.iter().all(is_rule), "{:?}", machine.sent);
    assert_eq!(machine.kernel.addresses(), [(2, theirs)]);
}

#[test]
fn what_is_said_of_an_address_of_ours_is_heeded_and_of_anothers_left() {
    let none = AddressAttributes::default();
    let label = AddressAttributes {
        label: AddressLabel::new("home0:web"),
        ..none
    };
    let peer = AddressAttributes {
        peer: "192.0.2.11".parse().ok(),
        ..none
    };
    let of = |attributes| {
        wanted(AddressPlan {
            attributes,
            ..lasting()
        })
    };
    let mut own = machine();
    for attributes in [none, label, peer, none] {
        own.apply(&plan(&own, &[("home0", of(attributes))]));
        assert_eq!(own.own_state(), ItemState::Ours, "{attributes:?}");
        assert_eq!(own.kernel.addresses()[0].1.attributes, attributes);
        own.start();
        own.apply(&plan(&own, &[("home0", of(attributes))]));
        assert_eq!(own.drive(), []);
    }
    for (theirs, ours, state) in [
        (label, none, ItemState::Adopted),
        (none, label, ItemState::Adopted),
        (peer, none, ItemState::Adopted),
        (none, peer, ItemState::Foreign),
    ] {
        let mut machine = machine();
        let there = FakeAddress {
            attributes: theirs,
            ..FakeAddress::foreign(prefix(OWN))
        };
        machine.kernel.put_address(2, there, START);
        machine.drive();
        machine.apply(&plan(&machine, &[("home0", of(ours))]));
        assert_eq!(machine.own_state(), state);
        if state == ItemState::Foreign {
            let item = Item::Address(2, prefix(OWN));
            assert_eq!(machine.links.holder(&item), Some(Holder::Peer(None)));
        }
        assert_eq!(machine.kernel.addresses(), [(2, there)]);
        if theirs.label.is_some() || state != ItemState::Adopted || ours.label.is_some() {
            continue;
        }
        let id = machine.id("home0");
        machine.links.adopt(id, machine.now);
        machine.drive();
        machine.start();
        machine.apply(&plan(&machine, &[("home0", of(ours))]));
        assert_eq!(machine.own_state(), ItemState::Ours);
        assert_eq!(machine.kernel.addresses()[0].1.attributes, theirs);
        let is_deletion =
            |sent: &&KernelRequest| matches!(sent, KernelRequest::DeleteAddress { .. });
        assert_eq!(machine.sent.iter().find(is_deletion), None);
    }
}

#[test]
fn who_has_an_address_with_another_prefix_is_told() {
    let mut machine = machine();
    let theirs = FakeAddress::foreign(prefix("2001:db8::10/64"));
    machine.kernel.put_address(2, theirs, START);
    machine.drive();
    let mut wanted = up();
    wanted
        .addresses
        .insert(prefix("2001:db8::10/128"), lasting());
    machine.apply(&plan(&machine, &[("home0", wanted)]));
    let item = Item::Address(2, prefix("2001:db8::10/128"));
    assert_eq!(machine.state("home0", &item), ItemState::Foreign);
    let holder = Holder::Prefix(prefix("2001:db8::10/64"));
    assert_eq!(machine.links.holder(&item), Some(holder));
}

#[test]
fn an_address_stays_when_the_link_gets_another_name() {
    let mut machine = machine();
    machine.apply(&plan(&machine, &[("home0", wanted(lasting()))]));
    let named = |name: &str| LinkMessage {
        arp: true,
        mac: Some(Mac([2, 0, 0, 0, 0, 1])),
        admin_up: true,
        carrier: true,
        ..link(2, name)
    };
    let from = machine.sent.len();
    machine.kernel.put_link(named("work0"));
    // As the kernel calls all but the first then.
    let mut own = machine.kernel.addresses()[0].1;
    own.attributes.label = AddressLabel::new("work0:2");
    machine.kernel.put_address(2, own, machine.now);
    machine.drive();
    machine.apply(&plan(&machine, &[("work0", wanted(lasting()))]));
    machine.start();
    machine.apply(&plan(&machine, &[("work0", wanted(lasting()))]));
    assert_eq!(machine.sent[from..], []);
}
