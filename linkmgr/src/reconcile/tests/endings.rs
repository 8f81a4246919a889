//! What becomes of others' addresses when one of ours ends by itself, whether anybody watches it or not?

use policy::facts::Supplier;
use policy::links::Switch;

use super::*;
use crate::fake::FakeAddress;

const PROMOTE: Switch = Switch::Promote4;

/// A machine with a lease of a minute, and a cluster's virtual address that came after it.
fn leased() -> (Machine, LinksPlan) {
    let mut machine = Machine::new();
    let wanted = lease(&machine);
    machine.apply(&wanted);
    let theirs = FakeAddress::foreign(prefix("192.0.2.100/24"));
    machine.kernel.put_address(2, theirs, machine.now);
    machine.drive();
    (machine, wanted)
}

/// A lease of a minute.
fn lease(machine: &Machine) -> LinksPlan {
    let until = Some(machine.now + Duration::from_secs(60));
    let lease = AddressPlan {
        supplier: Some(Supplier::Dhcp4),
        preferred_until: until,
        valid_until: until,
        ..lasting()
    };
    let mut wanted = up();
    wanted.clients.dhcp4 = Some(Arc::default());
    wanted.addresses.insert(prefix("192.0.2.10/24"), lease);
    wanted.switches = [(PROMOTE, 1), (Switch::AcceptRa, 0)].into();
    plan(machine, &[("home0", wanted)])
}

const fn adds(request: &KernelRequest) -> bool {
    matches!(request, KernelRequest::AddAddress(_))
}

fn promotes(request: &KernelRequest) -> bool {
    let of = |it: Switch, to| it == PROMOTE && to == 1;
    matches!(request, KernelRequest::SetSwitch { switch, value, .. } if of(*switch, *value))
}

#[test]
fn the_switch_comes_before_the_address_so_that_linnetd_may_die_between() {
    let (machine, _) = leased();
    let place = |is_it: fn(&KernelRequest) -> bool| machine.sent.iter().position(is_it).unwrap();
    assert!(place(promotes) < place(adds), "{:?}", machine.sent);
}

#[test]
fn where_the_switch_cannot_be_set_there_is_an_address_all_the_same() {
    let mut machine = Machine::new();
    let wanted = lease(&machine);
    machine.links.apply_plan(Arc::new(wanted), machine.now);
    for _ in 0..10 {
        while let Some(event) = machine.kernel.poll_event() {
            machine.links.handle_event(event, machine.now);
        }
        if let Some(journal) = machine.links.poll_journal() {
            machine
                .links
                .handle_journal(journal.version, true, machine.now);
        }
        while let Some((id, request)) = machine.links.poll_request(machine.now) {
            let read_only = crate::KernelFault {
                errno: 30,
                text: None,
            };
            let answer = match promotes(&request) {
                true => KernelAnswer::Failed(read_only),
                false => machine.kernel.handle_request(&request, machine.now),
            };
            machine.links.handle_answer(id, answer, machine.now);
        }
    }
    assert_eq!(machine.prefixes(2), ["192.0.2.10/24"]);
}

fn switch(machine: &Machine, switch: Switch) -> i32 {
    machine.kernel.switches()[&("home0".to_owned(), switch)]
}

/// Time passes while nobody is there but the kernel.
fn pass_unwatched(machine: &mut Machine) {
    machine.now = machine.now + Duration::from_secs(61);
    machine.kernel.handle_timeout(machine.now);
}

#[test]
fn an_address_that_ends_while_linnetd_is_dead_takes_no_other_with_it() {
    let (mut machine, _) = leased();
    pass_unwatched(&mut machine);
    assert_eq!(machine.prefixes(2), ["192.0.2.100/24"]);
    // The next daemon gives back what the journal has of the switch.
    machine.start();
    machine.apply(&LinksPlan::default());
    assert_eq!(switch(&machine, PROMOTE), 0);
    assert_eq!(machine.prefixes(2), ["192.0.2.100/24"]);
}

#[test]
fn the_switch_stays_with_an_address_that_is_left_behind() {
    let (mut machine, _) = leased();
    machine.links.stop(StopLevel::Detach, machine.now);
    machine.drive();
    assert!(machine.links.is_idle());
    assert_eq!(
        switch(&machine, Switch::AcceptRa),
        1,
        "others are given back"
    );
    assert_eq!(switch(&machine, PROMOTE), 1);
    pass_unwatched(&mut machine);
    assert_eq!(machine.prefixes(2), ["192.0.2.100/24"]);
}

#[test]
fn the_switch_goes_after_the_address_and_not_before() {
    let (mut machine, _) = leased();
    machine.links.stop(StopLevel::Clean, machine.now);
    machine.drive();
    assert!(machine.links.is_idle());
    assert_eq!(machine.prefixes(2), ["192.0.2.100/24"]);
    assert_eq!(switch(&machine, PROMOTE), 0);
    let place = |is_it: fn(&KernelRequest) -> bool| machine.sent.iter().rposition(is_it).unwrap();
    let gone = place(|it| matches!(it, KernelRequest::DeleteAddress { .. }));
    let back = place(|it| {
        matches!(
            it,
            KernelRequest::SetSwitch {
                switch: PROMOTE,
                value: 0,
                ..
            }
        )
    });
    assert!(gone < back, "{:?}", machine.sent);
}

#[test]
fn the_switch_waits_until_a_lease_that_the_kernel_keeps_is_gone() {
    let (mut machine, _) = leased();
    // The kernel refuses to delete it, and the address ends by itself meanwhile.
    machine
        .links
        .apply_plan(Arc::new(LinksPlan::default()), machine.now);
    for _ in 0..3 {
        if let Some(journal) = machine.links.poll_journal() {
            machine
                .links
                .handle_journal(journal.version, true, machine.now);
        }
        while let Some((id, request)) = machine.links.poll_request(machine.now) {
            let busy = crate::KernelFault {
                errno: 16,
                text: None,
            };
            let answer = match matches!(request, KernelRequest::DeleteAddress { .. }) {
                true => KernelAnswer::Failed(busy),
                false => machine.kernel.handle_request(&request, machine.now),
            };
            machine.links.handle_answer(id, answer, machine.now);
        }
    }
    assert_eq!(switch(&machine, PROMOTE), 1);
    pass_unwatched(&mut machine);
    machine.drive();
    assert_eq!(machine.prefixes(2), ["192.0.2.100/24"]);
    assert_eq!(switch(&machine, PROMOTE), 0);
}
