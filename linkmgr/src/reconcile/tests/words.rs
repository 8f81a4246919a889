//! What follows from the kernel's word when it comes late, or not at all? From its silence nothing is to be left that is not as planned, and
//! what an administrator says by hand is to be told from what linnetd itself does.

use super::*;
use crate::fake::FakeAddress;
use crate::{KernelFault, Setting};

const UP: Item = Item::Setting(2, Setting::Up);

fn applied() -> (Machine, LinksPlan) {
    let mut machine = Machine::new();
    let wanted = plan(&machine, &[("home0", home())]);
    machine.apply(&wanted);
    machine.pass(Duration::from_secs(20));
    (machine, wanted)
}

/// Somebody takes the link up or down by hand.
fn set_by_hand(machine: &mut Machine, up: bool) {
    let request = KernelRequest::SetUp { index: 2, up };
    machine.kernel.handle_request(&request, machine.now);
}

/// Drives on while the kernel answers as told; its word is not read meanwhile.
fn drive_unheard(machine: &mut Machine, refuses: impl Fn(&KernelRequest) -> Option<i32>) {
    for _ in 0..10 {
        let now = machine.now;
        if let Some(journal) = machine.links.poll_journal() {
            machine.journal = Some(journal.text);
            machine.links.handle_journal(journal.version, true, now);
        }
        while let Some((id, request)) = machine.links.poll_request(now) {
            let answer = match refuses(&request) {
                Some(errno) => KernelAnswer::Failed(KernelFault { errno, text: None }),
                None => machine.kernel.handle_request(&request, now),
            };
            machine.sent.push(request);
            machine.links.handle_answer(id, answer, now);
        }
    }
}

#[test]
fn a_link_that_linnet_took_down_comes_up_with_the_next_plan() {
    let (mut machine, wanted) = applied();
    machine.apply(&LinksPlan::default());
    assert!(!machine.kernel.links()[&2].admin_up, "it was down before");
    machine.pass(Duration::from_secs(20));
    machine.apply(&wanted);
    assert!(machine.kernel.links()[&2].admin_up);
    assert_eq!(machine.state("home0", &UP), ItemState::Ours);
}

#[test]
fn an_administrators_down_is_heeded_whatever_linnet_did_before() {
    let (mut machine, wanted) = applied();
    machine.apply(&LinksPlan::default());
    machine.apply(&wanted);
    machine.pass(Duration::from_secs(20));
    for _ in 0..3 {
        set_by_hand(&mut machine, false);
        machine.drive();
        machine.pass(Duration::from_secs(100));
        assert!(!machine.kernel.links()[&2].admin_up, "nobody is fought");
        assert_eq!(machine.state("home0", &UP), ItemState::Overridden);
        set_by_hand(&mut machine, true);
        machine.drive();
        assert_eq!(machine.state("home0", &UP), ItemState::Ours);
    }
}

#[test]
fn an_administrators_down_is_heeded_while_linnet_takes_the_link_up() {
    let mut machine = Machine::new();
    let wanted = plan(&machine, &[("home0", home())]);
    machine.links.apply_plan(Arc::new(wanted), machine.now);
    drive_unheard(&mut machine, |_| None);
    // His word comes after ours in the kernel, and is read together with it.
    set_by_hand(&mut machine, false);
    machine.drive();
    machine.pass(Duration::from_secs(100));
    assert!(!machine.kernel.links()[&2].admin_up);
    assert_eq!(machine.state("home0", &UP), ItemState::Overridden);
}

#[test]
fn who_took_it_down_and_up_again_has_said_nothing_against_it() {
    let (mut machine, _) = applied();
    for up in [false, true] {
        set_by_hand(&mut machine, up);
        machine.drive();
    }
    machine.pass(Duration::from_secs(100));
    // That it went down is lost: nobody is known to have wanted it.
    set_by_hand(&mut machine, false);
    machine.list();
    machine.drive();
    machine.pass(Duration::from_secs(100));
    assert!(machine.kernel.links()[&2].admin_up);
}

#[test]
fn what_was_adopted_and_is_gone_unheard_is_made_after_a_listing() {
    let mut machine = Machine::new();
    let address = prefix("192.0.2.10/24");
    let theirs = FakeAddress::foreign(address);
    machine.kernel.put_address(2, theirs, machine.now);
    machine.drive();
    machine.apply(&plan(&machine, &[("home0", home())]));
    let item = Item::Address(2, address);
    assert_eq!(machine.state("home0", &item), ItemState::Adopted);
    machine.pass(Duration::from_secs(20));
    machine.kernel.take_address(2, &address, machine.now);
    machine.list();
    machine.drive();
    assert_eq!(machine.state("home0", &item), ItemState::Ours);
}

#[test]
fn what_was_made_unheard_and_is_not_wanted_any_more_goes_with_the_listing() {
    let mut machine = Machine::new();
    let wanted = plan(&machine, &[("home0", home())]);
    machine.links.apply_plan(Arc::new(wanted), machine.now);
    drive_unheard(&mut machine, |_| None);
    machine.kernel.lose_events();
    machine
        .links
        .apply_plan(Arc::new(LinksPlan::default()), machine.now);
    machine.drive();
    assert_eq!(machine.prefixes(2).len(), 2, "nobody has heard of them");
    machine.list();
    machine.drive();
    assert_eq!(machine.prefixes(2), [""; 0], "at once");
}

#[test]
fn what_failed_for_the_first_time_is_tried_again_though_the_kernel_says_nothing() {
    let mut machine = Machine::new();
    let wanted = plan(&machine, &[("home0", home())]);
    machine.links.apply_plan(Arc::new(wanted), machine.now);
    // Of an address that a route begins with: it is usable a moment later.
    let refuses =
        |request: &KernelRequest| matches!(request, KernelRequest::AddRoute(_)).then_some(22);
    drive_unheard(&mut machine, |request| refuses(request));
    machine.drive();
    machine.kernel.lose_events();
    machine.pass(Duration::from_secs(2));
    assert_eq!(machine.kernel.routes().len(), 3);
}
