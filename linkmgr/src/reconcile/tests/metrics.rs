//! Does the kernel's route for a prefix rank as planned, and is it asked for once?

use super::*;
use crate::fake::FakeAddress;

fn ranked(metric: u32) -> LinkPlan {
    let mut plan = up();
    for address in ["192.0.2.10/24", "2001:db8::10/64"] {
        let address = prefix(address);
        plan.addresses.insert(
            address,
            AddressPlan {
                metric,
                ..lasting()
            },
        );
    }
    plan
}

fn metrics(machine: &Machine) -> Vec<u32> {
    let addresses = machine.kernel.addresses().iter();
    addresses.map(|(_, it)| it.metric).collect()
}

#[test]
fn a_metric_that_changes_is_changed_in_place_and_asked_for_once() {
    let mut machine = Machine::new();
    for (metric, is) in [(100, [100, 100]), (20_100, [20_100, 20_100]), (0, [0, 256])] {
        let wanted = plan(&machine, &[("home0", ranked(metric))]);
        machine.apply(&wanted);
        assert_eq!(metrics(&machine), is);
        machine.list();
        assert_eq!(machine.drive(), [], "metric {metric}");
        machine.start();
        machine.apply(&wanted);
        assert_eq!(machine.kernel.addresses().len(), 2);
        assert_eq!(machine.drive(), []);
    }
    let is_replaced = |it: &&KernelRequest| matches!(it, KernelRequest::ReplaceAddress(_));
    assert_eq!(machine.sent.iter().filter(is_replaced).count(), 4);
    assert!(!machine.sent.iter().any(KernelRequest::is_deletion));
}

#[test]
fn somebody_elses_address_ranks_where_he_has_put_it() {
    let mut machine = Machine::new();
    let theirs = FakeAddress {
        metric: 7,
        ..FakeAddress::foreign(prefix("192.0.2.10/24"))
    };
    machine.kernel.put_address(2, theirs, START);
    machine.apply(&plan(&machine, &[("home0", ranked(100))]));
    machine.links.stop(StopLevel::Clean, machine.now);
    machine.drive();
    assert_eq!(machine.kernel.addresses(), [(2, theirs)]);
}
