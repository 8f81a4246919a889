//! What is given back of a setting when linnet dies on the way, the kernel's word is late, or somebody else has set it? What it was
//! before linnet, wherever it still is as linnet made it.

use policy::links::Switch;

use super::*;
use crate::Setting;

fn with_mtu(machine: &Machine, mtu: u32) -> LinksPlan {
    let home = LinkPlan {
        mtu: Some(mtu),
        ..up()
    };
    plan(machine, &[("home0", home)])
}

fn mtu(machine: &Machine) -> u32 {
    machine.kernel.links()[&2].mtu
}

fn keep_journal(machine: &mut Machine) {
    assert_eq!(machine.links.poll_request(machine.now), None);
    let journal = machine.links.poll_journal().unwrap();
    machine.journal = Some(journal.text);
    machine
        .links
        .handle_journal(journal.version, true, machine.now);
}

#[test]
fn what_a_setting_was_comes_back_though_it_was_to_be_changed_once_more() {
    let ways: [fn(&mut Machine); 4] = [
        // It dies before the kernel is asked.
        |machine| machine.start(),
        // Nobody wants it any more, before the kernel is asked.
        |_| {},
        // It dies, and its successor finds that it is as wanted.
        |machine| {
            machine.start();
            machine.apply(&with_mtu(machine, 1400));
        },
        // It dies, and its successor wants something else and dies too.
        |machine| {
            machine.start();
            let wanted = with_mtu(machine, 1200);
            machine.links.apply_plan(Arc::new(wanted), machine.now);
            keep_journal(machine);
            machine.start();
        },
    ];
    for (place, way) in ways.into_iter().enumerate() {
        let mut machine = Machine::new();
        machine.apply(&with_mtu(&machine, 1400));
        assert_eq!(mtu(&machine), 1400);
        let wanted = with_mtu(&machine, 1300);
        machine.links.apply_plan(Arc::new(wanted), machine.now);
        keep_journal(&mut machine);
        way(&mut machine);
        machine.apply(&LinksPlan::default());
        assert_eq!(mtu(&machine), 1500, "{place}");
    }
}

#[test]
fn what_else_we_had_made_of_a_setting_is_forgotten_when_it_is_as_asked() {
    let mut machine = Machine::new();
    machine.apply(&with_mtu(&machine, 1400));
    machine.apply(&with_mtu(&machine, 1300));
    let journal = machine.journal.clone().unwrap();
    assert!(!journal.contains("had"), "{journal}");
    // Somebody else's by now, whatever we had made of it before.
    machine.links.stop(StopLevel::Clean, machine.now);
    machine.kernel.put_setting((2, Setting::Mtu), 1400);
    machine.drive();
    assert_eq!(mtu(&machine), 1400);
}

#[test]
fn what_the_kernel_has_not_told_yet_is_given_back_when_it_has() {
    for is_stop in [false, true] {
        let mut machine = Machine::new();
        let wanted = with_mtu(&machine, 1400);
        machine.links.apply_plan(Arc::new(wanted), machine.now);
        keep_journal(&mut machine);
        // The answers come before the kernel's word of what it has done.
        while let Some((id, request)) = machine.links.poll_request(machine.now) {
            let answer = machine.kernel.handle_request(&request, machine.now);
            machine.links.handle_answer(id, answer, machine.now);
        }
        assert_eq!(mtu(&machine), 1400);
        assert!(machine.kernel.links()[&2].admin_up);
        match is_stop {
            true => machine.links.stop(StopLevel::Clean, machine.now),
            false => {
                let nothing = Arc::new(LinksPlan::default());
                machine.links.apply_plan(nothing, machine.now);
            }
        }
        assert_eq!(machine.links.poll_request(machine.now), None);
        assert!(!machine.links.is_idle());
        machine.drive();
        assert_eq!(mtu(&machine), 1500, "{is_stop}");
        assert!(!machine.kernel.links()[&2].admin_up, "{is_stop}");
        assert!(machine.links.is_idle());
    }
}

fn without_routers(machine: &Machine) -> LinksPlan {
    let mut home = up();
    home.switches.insert(Switch::AcceptRa, 0);
    plan(machine, &[("home0", home)])
}

/// Of most switches the kernel tells nothing: what one was before us is read when we want it, not remembered.
#[test]
fn a_switch_that_somebody_sets_between_two_plans_is_his_again_at_the_end() {
    for by_hand in [1, 2] {
        let mut machine = Machine::new();
        let wanted = without_routers(&machine);
        machine.apply(&wanted);
        machine.apply(&LinksPlan::default());
        machine
            .kernel
            .put_switch("home0", Switch::AcceptRa, by_hand);
        machine.apply(&wanted);
        assert_eq!(machine.kernel.switch("home0", Switch::AcceptRa), 0);
        machine.links.stop(StopLevel::Clean, machine.now);
        machine.drive();
        assert_eq!(machine.kernel.switch("home0", Switch::AcceptRa), by_hand);
    }
}

#[test]
fn what_somebody_sets_after_a_death_is_his_again_at_the_end() {
    for by_hand in [1, 2] {
        let mut machine = Machine::new();
        let wanted = without_routers(&machine);
        machine.apply(&wanted);
        let journal = machine.journal.clone();
        machine.apply(&LinksPlan::default());
        // It was given back, and the journal does not know it yet.
        machine.journal = journal;
        machine
            .kernel
            .put_switch("home0", Switch::AcceptRa, by_hand);
        machine.start();
        machine.apply(&wanted);
        assert_eq!(machine.kernel.switch("home0", Switch::AcceptRa), 0);
        machine.links.stop(StopLevel::Clean, machine.now);
        machine.drive();
        assert_eq!(machine.kernel.switch("home0", Switch::AcceptRa), by_hand);
    }
}

#[test]
fn what_is_set_again_against_somebody_is_in_the_end_what_it_was_before_us() {
    let mut machine = Machine::new();
    machine.apply(&with_mtu(&machine, 1400));
    machine.start();
    machine.apply(&with_mtu(&machine, 1400));
    machine.kernel.put_setting((2, Setting::Mtu), 1450);
    machine.pass(Duration::from_secs(10));
    assert_eq!(mtu(&machine), 1400);
    machine.links.stop(StopLevel::Clean, machine.now);
    machine.drive();
    assert_eq!(mtu(&machine), 1500);
}
