//! What is made of a network card that does not do as it is told?

use config::model::{Hardware, LinkMode, Offload};
use policy::links::Switch;

use super::*;
use crate::fake::Stubborn;
use crate::status::Setting;

fn offload() -> Switch {
    Switch::Hardware(Hardware::Offload(Offload::of("rx-gro").unwrap()))
}

fn wanted(switch: Switch, value: i32) -> LinkPlan {
    let mut plan = up();
    plan.switches = [(switch, value)].into();
    plan
}

fn is_set(request: &KernelRequest) -> bool {
    matches!(request, KernelRequest::SetSwitch { .. })
}

#[test]
fn an_offload_that_stays_as_it_was_has_failed_though_the_kernel_says_yes() {
    for (how, words) in [
        (Stubborn::Kept, "hangs on another one"),
        (Stubborn::Fixed, "does not let it be changed"),
    ] {
        let mut machine = Machine::new();
        let item = Item::Setting(2, Setting::Switch(offload()));
        machine.kernel.make_stubborn("home0", offload(), Some(how));
        let plan = plan(&machine, &[("home0", wanted(offload(), 0))]);
        machine.apply(&plan);
        let ItemState::Failed(fault) = machine.state("home0", &item) else {
            panic!("{:?}", machine.state("home0", &item));
        };
        assert!(fault.to_string().contains(words), "{fault}");
        // It keeps nothing else from being set up, and is not tried for ever.
        assert!(machine.kernel.links()[&2].admin_up);
        machine.pass(Duration::from_secs(600));
        let tries = machine.sent.iter().filter(|it| is_set(it)).count();
        assert!((2..=4).contains(&tries), "{tries}");
        assert_eq!(machine.links.poll_timeout(), None);
        // What it hangs on is as it should be, and somebody asks again.
        machine.kernel.make_stubborn("home0", offload(), None);
        machine.pass(Duration::from_secs(60));
        machine.links.retry(machine.id("home0"), machine.now);
        machine.drive();
        assert_eq!(machine.state("home0", &item), ItemState::Ours);
        machine.links.stop(StopLevel::Clean, machine.now);
        machine.drive();
        machine.start();
        machine.apply(&LinksPlan::default());
        let key = ("home0".to_owned(), offload());
        assert_eq!(machine.kernel.switches()[&key], 1, "it is given back");
    }
}

#[test]
fn what_cannot_be_changed_and_is_right_is_left_alone() {
    let mut machine = Machine::new();
    let fixed = Some(Stubborn::Fixed);
    machine.kernel.make_stubborn("home0", offload(), fixed);
    machine.apply(&plan(&machine, &[("home0", wanted(offload(), 1))]));
    let item = Item::Setting(2, Setting::Switch(offload()));
    assert_eq!(machine.state("home0", &item), ItemState::Adopted);
    assert!(!machine.sent.iter().any(is_set));
}

#[test]
fn a_speed_that_is_still_negotiated_is_believed() {
    let mut machine = Machine::new();
    let mode = Switch::Hardware(Hardware::Mode);
    let kept = Some(Stubborn::Kept);
    machine.kernel.make_stubborn("home0", mode, kept);
    let fixed = LinkMode::Fixed {
        speed: 100,
        is_full: true,
    };
    let plan = plan(&machine, &[("home0", wanted(mode, fixed.value()))]);
    machine.apply(&plan);
    let item = Item::Setting(2, Setting::Switch(mode));
    assert_eq!(machine.state("home0", &item), ItemState::Ours);
    assert_eq!(machine.sent.iter().filter(|it| is_set(it)).count(), 1);
}
