//! Rows: what has to be there before something else is asked for, and what of an address is not?

use policy::links::Switch;

use super::*;
use crate::fake::FakeAddress;

#[test]
fn a_link_goes_up_when_its_switches_are_set_and_not_before() {
    let mut machine = Machine::new();
    let mut wanted = home();
    wanted.switches = [(Switch::AcceptRa, 0), (Switch::Forwarding6, 1)].into();
    machine.apply(&plan(&machine, &[("home0", wanted)]));
    let place = |is_it: fn(&KernelRequest) -> bool| machine.sent.iter().position(is_it);
    let up = place(|it| matches!(it, KernelRequest::SetUp { up: true, .. })).unwrap();
    let last = machine
        .sent
        .iter()
        .rposition(|it| matches!(it, KernelRequest::SetSwitch { .. }));
    assert!(last.unwrap() < up, "{:?}", machine.sent);
    assert!(machine.kernel.links()[&2].admin_up);
}

#[test]
fn an_address_of_somebody_else_keeps_his_route_for_its_prefix() {
    let mut machine = Machine::new();
    let wanted = home();
    for prefix in wanted.addresses.keys() {
        let theirs = FakeAddress {
            no_prefix_route: true,
            ..FakeAddress::foreign(*prefix)
        };
        machine.kernel.put_address(2, theirs, machine.now);
    }
    machine.drive();
    let from = machine.sent.len();
    machine.apply(&plan(&machine, &[("home0", wanted)]));
    let sent = &machine.sent[from..];
    let touched = sent.iter().any(|it| {
        matches!(
            it,
            KernelRequest::AddAddress(_) | KernelRequest::ReplaceAddress(_)
        )
    });
    assert!(!touched, "{sent:?}");
}
