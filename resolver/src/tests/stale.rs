//! Answers whose time is over, and answers that are renewed before it is.

use std::time::Duration;

use super::message::{Ask, asked};
use super::signed::{self, Zone};
use super::world::{HOME, OFFICE, Say, World};
use crate::event::Failure;
use crate::wire::rcode;

const DAY: Duration = Duration::from_secs(86_400);

/// The bit of AD.
const AD: u16 = 0x20;

/// A world in which `a.test` is known, and its time is over.
fn known() -> World {
    let mut world = World::new();
    world.resolver.apply_keeping(DAY, false);
    world
        .server(HOME)
        .answers("a.test A", &["a.test 60 A 192.0.2.1"])
        .answers("www.test A", &["www.test 60 CNAME a.test"]);
    world
        .server(OFFICE)
        .answers("git.corp.test A", &["git.corp.test 60 A 10.0.0.9"]);
    for question in ["a.test A", "www.test A", "git.corp.test A", "gone.test A"] {
        world.ask(question);
    }
    world.sleep(100);
    world.sent.clear();
    world
}

#[test]
fn a_silent_upstream_costs_less_than_a_second_once_and_nothing_then() {
    let mut world = known();
    world.server(HOME).silent = true;
    let began = world.now;
    let client = world.put("a.test A");
    world.run_for(799);
    assert!(!world.has_answer(client));
    world.run_for(1);
    let seen = world.answer(client);
    assert_eq!(seen.answers, ["a.test 30 A 192.0.2.1"]);
    assert_eq!(seen.codes(), (rcode::NOERROR, Some(3)));
    assert_eq!(seen.at.since(began).as_millis(), 800);
    // The next one need not wait, for half a minute.
    let before = world.sent.len();
    let client = world.put("a.test A");
    assert_eq!(world.answer(client).codes(), (rcode::NOERROR, Some(3)));
    assert_eq!(world.sent.len(), before);
    world.sleep(31);
    world.put("a.test A");
    assert!(world.sent.len() > before);
}

/// A popular name, whose server is back, is not kept from being asked for by those who ask.
#[test]
fn who_gets_a_stale_answer_does_not_put_off_the_next_try() {
    let mut world = known();
    world.server(HOME).silent = true;
    world.put("a.test A");
    // Until nobody tries any more.
    world.run_for(5_000);
    world.server(HOME).silent = false;
    for _ in 0..4 {
        world.put("a.test A");
        world.run_for(10_000);
    }
    let seen = world.ask("a.test A");
    assert_eq!(seen.codes(), (rcode::NOERROR, None));
}

/// The name is asked for anew at its next expiry, not half a minute after an outage that is long over; nor where it was the name's alone.
#[test]
fn a_fresh_answer_ends_that_the_stale_one_is_given_at_once() {
    for others in [false, true] {
        let mut world = known();
        let home = world.server(HOME);
        match others {
            false => home.silent = true,
            true => drop(home.says("a.test A", Say::Silence)),
        }
        let client = world.put("a.test A");
        world.run_for(500);
        if others {
            let other = world.put("b.test A");
            world.run_for(100);
            assert_eq!(world.answer(other).rcode, rcode::NXDOMAIN);
        }
        world.run_for(400);
        assert_eq!(world.answer(client).codes(), (rcode::NOERROR, Some(3)));
        let home = world.server(HOME);
        home.silent = false;
        home.answers("a.test A", &["a.test 5 A 192.0.2.7"]);
        world.run_for(2_000);
        for _ in 0..4 {
            let seen = world.ask("a.test A");
            assert_eq!(seen.codes(), (rcode::NOERROR, None), "{others}");
            assert!(seen.answers[0].ends_with("192.0.2.7"), "{seen:?}");
            world.sleep(6);
        }
    }
}

/// Nobody gets the address of before from a server that tells everybody else the one of now.
#[test]
fn stale_answers_end_for_all_when_the_upstream_answers_again() {
    let faults = [
        Say::Silence,
        Say::Fail(Failure::Refused),
        Say::Code(rcode::SERVFAIL),
    ];
    for fault in faults {
        let mut world = known();
        let home = world.server(HOME);
        home.answers("c.test A", &["c.test 60 A 192.0.2.3"]);
        world.ask("c.test A");
        world.sleep(61);
        let home = world.server(HOME);
        for question in ["a.test A", "c.test A", "b.test A"] {
            home.says(question, fault.clone());
        }
        for question in ["a.test A", "c.test A"] {
            assert_eq!(world.ask(question).codes().1, Some(3), "{fault:?}");
        }
        // Nobody tries any more.
        world.sleep(6);
        let home = world.server(HOME);
        for name in ["a", "b", "c"] {
            let row = format!("{name}.test 60 A 192.0.2.8");
            home.answers(&format!("{name}.test A"), &[&row]);
        }
        assert_eq!(world.ask("b.test A").codes().1, None, "{fault:?}");
        for question in ["a.test A", "c.test A"] {
            let seen = world.ask(question);
            assert_eq!(seen.codes(), (rcode::NOERROR, None), "{fault:?}");
            assert!(seen.answers[0].ends_with("192.0.2.8"), "{seen:?}");
        }
    }
}

/// That a name gets no answer says nothing of its upstream, nor others' answers of the name.
#[test]
fn a_dead_name_is_not_asked_for_more_because_others_are_answered() {
    for fault in [Say::Silence, Say::Code(rcode::SERVFAIL)] {
        let mut world = known();
        world.server(HOME).says("a.test A", fault.clone());
        let mut waits = 0;
        for turn in 0..28 {
            let client = world.put("a.test A");
            waits += u32::from(!world.has_answer(client));
            world.run_for(500);
            assert_eq!(world.ask(&format!("n{turn}.test A")).codes().1, None);
            world.run_for(500);
            assert_eq!(world.answer(client).codes().1, Some(3), "{fault:?}");
        }
        assert!(waits <= 2, "{waits} {fault:?}");
    }
}

/// Of the time after its return, only those tries tell that were begun then.
#[test]
fn a_try_from_before_the_upstream_came_back_does_not_count_against_it() {
    let mut world = known();
    world.server(HOME).silent = true;
    let client = world.put("a.test A");
    // All messages are spent, and nothing has come of the try yet.
    world.run_for(4_000);
    assert_eq!(world.answer(client).codes().1, Some(3));
    world.server(HOME).silent = false;
    assert_eq!(world.ask("b.test A").codes().1, None);
    world.run_for(3_000);
    for _ in 0..2 {
        assert_eq!(world.ask("a.test A").codes(), (rcode::NOERROR, None));
        world.sleep(61);
    }
}

#[test]
fn what_comes_late_is_kept_for_the_next() {
    let mut world = known();
    world.server(HOME).delay = Duration::from_millis(1500);
    let client = world.put("a.test A");
    world.run_for(1_000);
    assert_eq!(world.answer(client).codes(), (rcode::NOERROR, Some(3)));
    world.run_for(1_000);
    let seen = world.ask("a.test A");
    assert_eq!(seen.codes(), (rcode::NOERROR, None));
    assert_eq!(seen.answers, ["a.test 60 A 192.0.2.1"]);
}

#[test]
fn failures_are_answered_with_what_was_known_and_do_not_take_its_place() {
    for say in [
        Say::Code(rcode::SERVFAIL),
        Say::Code(rcode::REFUSED),
        Say::Fail(Failure::Refused),
        Say::Fail(Failure::Unreachable),
    ] {
        let mut world = known();
        world.server(HOME).says("a.test A", say.clone());
        for _ in 0..3 {
            let seen = world.ask("a.test A");
            assert_eq!(seen.codes(), (rcode::NOERROR, Some(3)), "{say:?}");
        }
        world.sleep(60);
        assert_eq!(world.ask("a.test A").codes().1, Some(3), "{say:?}");
    }
}

#[test]
fn a_name_that_was_not_there_is_not_there_yet_and_says_so() {
    let mut world = known();
    world.server(HOME).silent = true;
    let seen = world.ask("gone.test A");
    assert_eq!(seen.codes(), (rcode::NXDOMAIN, Some(19)));
    // It has a record here by now, and what was said of it is stale all the same.
    let text =
        "[[records]]\nname = \"gone.test\"\ntype = \"MX\"\ndata = \"10 a.test\"\npass-on = true\n";
    let with = World::with(text, &[]);
    world.resolver.apply_records(&with.config);
    assert_eq!(world.ask("gone.test A").codes(), (rcode::NOERROR, Some(3)));
}

#[test]
fn aliases_are_followed_through_stale_answers() {
    let mut world = known();
    world.server(HOME).silent = true;
    let seen = world.ask("www.test A");
    assert_eq!(
        seen.answers,
        ["www.test 30 CNAME a.test", "a.test 30 A 192.0.2.1"]
    );
    assert_eq!(seen.error.map(|(code, _)| code), Some(3));
}

#[test]
fn what_is_bogus_or_blocked_by_the_upstream_is_no_outage() {
    for code in [6, 7, 9, 15, 16, 17] {
        let mut world = known();
        let error = Say::Error(rcode::SERVFAIL, code, "no");
        world.server(HOME).says("a.test A", error);
        let seen = world.ask("a.test A");
        assert_eq!(seen.codes(), (rcode::SERVFAIL, Some(code)));
        // The next one is not given it either, while the failure is kept and after that.
        for _ in 0..10 {
            let seen = world.ask("a.test A");
            assert_eq!(seen.rcode, rcode::SERVFAIL, "{code}: {seen:?}");
            world.sleep(3);
        }
    }
}

#[test]
fn nothing_is_given_beyond_the_bound_or_without_leave() {
    let mut world = known();
    world.server(HOME).silent = true;
    world.sleep(86_400 + 60);
    assert_eq!(world.ask("a.test A").rcode, rcode::SERVFAIL);
    let mut world = known();
    world.server(HOME).silent = true;
    world.resolver.apply_keeping(Duration::ZERO, false);
    assert_eq!(world.ask("a.test A").rcode, rcode::SERVFAIL);
}

/// Asks for an address in both ways in which a judged answer is kept; returns code, Extended DNS Error and AD.
fn ask_signed(world: &mut World) -> [(u16, Option<u16>, bool); 2] {
    [false, true].map(|dnssec_ok| {
        let ask = Ask {
            dnssec_ok,
            // RD and AD.
            flags: 0x0120,
            ..asked("www.zone.test A")
        };
        let answer = world.ask_as(&ask);
        let (code, error) = answer.codes();
        (code, error, answer.flags & AD != 0)
    })
}

/// A world in which a signed address is known, of a zone whose signatures count for so many seconds from now on.
fn known_signed(signed_for: u32) -> (World, Zone) {
    let mut zone = Zone::new("zone.test");
    let mut world = signed::world(std::slice::from_ref(&zone));
    world.resolver.apply_keeping(DAY, false);
    // The world is a second old.
    zone.signed_for = signed_for + 1;
    zone.serve(&mut world, "www.zone.test", true);
    assert_eq!(ask_signed(&mut world), [(0, None, true); 2]);
    (world, zone)
}

#[test]
fn no_answer_outlives_the_signature_that_it_was_believed_for() {
    // The address counts for 300 s, and would be given for a day after that.
    for signed_for in [200, 301, 400, 3_000] {
        let (mut world, _) = known_signed(signed_for);
        world.server(HOME).silent = true;
        let began = world.now;
        let mut stale = 0;
        for _ in 0..400 {
            world.sleep(5);
            let age = world.now.since(began).as_secs();
            let seen = ask_signed(&mut world);
            let expected = match () {
                () if age < 300.min(signed_for.into()) => (0, None, true),
                () if age < signed_for.into() => (0, Some(3), true),
                () => {
                    let (code, _, authentic) = seen[0];
                    assert_eq!(
                        (code, authentic),
                        (2, false),
                        "{signed_for} at {age}: {seen:?}"
                    );
                    continue;
                }
            };
            // Whoever waits for something fresh is given what is there when he has waited, not when he asked.
            let is_on_the_edge = age + 10 >= signed_for.into();
            if !is_on_the_edge {
                assert_eq!(seen, [expected; 2], "{signed_for} at {age}");
                stale += usize::from(expected.1.is_some());
            }
        }
        assert_eq!(stale > 0, signed_for >= 400, "{signed_for}: {stale}");
    }
}

#[test]
fn no_answer_outlives_the_signatures_above_its_own() {
    // The address counts for 300 s and is signed for a day; what the parent says of its zone is signed for less.
    for signed_for in [200, 1_000] {
        let mut parent = Zone::new("test");
        let mut child = Zone::new("zone.test");
        let mut world = signed::world(std::slice::from_ref(&parent));
        world.resolver.apply_keeping(DAY, false);
        child.serve_keys(&mut world);
        child.serve(&mut world, "www.zone.test", true);
        parent.signed_for = signed_for + 1;
        parent.serve_delegation(&mut world, &child);
        child.signed_for = 86_400;
        assert_eq!(ask_signed(&mut world), [(0, None, true); 2]);
        world.server(HOME).silent = true;
        let began = world.now;
        world.sleep(u64::from(signed_for.min(300)) - 20);
        assert_eq!(ask_signed(&mut world), [(0, None, true); 2]);
        if signed_for > 300 {
            world.sleep(60);
            assert_eq!(ask_signed(&mut world), [(0, Some(3), true); 2]);
        }
        while world.now.since(began).as_secs() < signed_for.into() {
            world.sleep(1);
        }
        for (code, _, authentic) in ask_signed(&mut world) {
            assert_eq!((code, authentic), (2, false), "{signed_for}");
        }
    }
}

#[test]
fn an_answer_that_does_not_fit_its_signature_any_more_is_not_covered_up_by_an_older_one() {
    let (mut world, zone) = known_signed(86_400);
    world.sleep(301);
    zone.serve(&mut world, "www.zone.test", false);
    for _ in 0..3 {
        let seen = ask_signed(&mut world);
        assert_eq!(seen, [(rcode::SERVFAIL, Some(6), false); 2]);
        world.sleep(1);
    }
    // Right again, it is believed again.
    zone.serve(&mut world, "www.zone.test", true);
    world.sleep(60);
    assert_eq!(ask_signed(&mut world), [(0, None, true); 2]);
}

#[test]
fn a_claimed_name_whose_link_is_down_stays_refused() {
    let mut world = known();
    world.switch("vpn0", false);
    let seen = world.ask("git.corp.test A");
    assert_eq!(seen.codes(), (rcode::REFUSED, Some(15)));
    // Nor does it come back from what the link knew before.
    world.server(OFFICE).silent = true;
    world.switch("vpn0", true);
    assert_eq!(world.ask("git.corp.test A").rcode, rcode::SERVFAIL);
}

#[test]
fn who_asks_otherwise_is_not_given_another_kind_of_answer() {
    let mut world = known();
    world.server(HOME).silent = true;
    for (dnssec_ok, flags) in [(true, 0x0100), (false, 0x0110)] {
        let ask = Ask {
            dnssec_ok,
            flags,
            ..asked("a.test A")
        };
        assert_eq!(world.ask_as(&ask).rcode, rcode::SERVFAIL);
    }
}

#[test]
fn names_that_are_asked_for_again_are_renewed_before_they_run_out() {
    let mut world = known();
    world.resolver.apply_keeping(DAY, true);
    world.ask("a.test A");
    world.sent.clear();
    // Asked once, and not in its last tenth.
    world.sleep(30);
    world.ask("a.test A");
    assert_eq!(world.take_sent(), Vec::<String>::new());
    world.sleep(25);
    let seen = world.ask("a.test A");
    assert_eq!(seen.answers, ["a.test 5 A 192.0.2.1"]);
    assert_eq!(world.take_sent(), ["192.0.2.53 a.test A"]);
    // It is fresh again, and nobody waited.
    world.sleep(10);
    assert_eq!(world.ask("a.test A").answers, ["a.test 50 A 192.0.2.1"]);
    assert_eq!(world.take_sent(), Vec::<String>::new());
    // One that nobody asked for before is not renewed.
    world.sleep(46);
    world.sent.clear();
    world.ask("git.corp.test A");
    world.sent.clear();
    world.sleep(56);
    world.ask("git.corp.test A");
    assert_eq!(world.take_sent(), Vec::<String>::new());
}

#[test]
fn names_are_renewed_where_they_belong_and_not_too_many_at_once() {
    let mut world = known();
    world.resolver.apply_keeping(DAY, true);
    for turn in 0..200 {
        let name = format!("n{turn}.corp.test");
        let row = format!("{name} 100 A 10.0.0.9");
        world.server(OFFICE).answers(&format!("{name} A"), &[&row]);
        world.ask(&format!("{name} A"));
        world.ask(&format!("{name} A"));
    }
    world.sleep(91);
    world.sent.clear();
    for turn in 0..200 {
        world.put(&format!("n{turn}.corp.test A"));
    }
    let sent = world.take_sent();
    assert!(sent.iter().all(|sent| sent.starts_with(OFFICE)));
    assert_eq!(sent.len(), 50);
}

#[test]
fn a_question_that_comes_back_is_told_so_and_ends() {
    for (name, answers) in [("abcdefghijklmnopqrstuvwxyz.test", true), ("a.b", false)] {
        let mut world = World::new();
        world.server(HOME).silent = true;
        let client = world.put(&format!("{name} A"));
        let sent = world.sent.last().unwrap();
        let (wire, exchange) = (sent.wire.clone(), sent.exchange);
        // A redirected packet is the same; a forwarder gives it an id of its own.
        let forwarded = [&[0x47, 0x11][..], &wire[2..]].concat();
        for copy in [Some(wire), answers.then_some(forwarded)]
            .into_iter()
            .flatten()
        {
            let answer = world.put_wire(&copy);
            let answer = answer.expect("it is answered at once");
            assert_eq!(answer[3] & 15, 2, "SERVFAIL");
            assert!(answer.windows(9).any(|text| text == b"questions"));
        }
        let before = world.sent.len();
        assert_eq!(before, 1);
        // The forwarder hands the error back, and the client is told why.
        let records = super::message::Records::default();
        let reply = super::message::reply(&world.sent[0].wire, 2, &records);
        world.inject(exchange, &reply);
        world.run();
        let seen = world.answer(client);
        assert_eq!(seen.rcode, rcode::SERVFAIL);
        assert!(seen.why().contains("back to us"), "{}", seen.why());
    }
}

#[test]
fn one_scope_does_not_take_the_room_of_all() {
    let mut world = World::new();
    world.server(OFFICE).silent = true;
    let clients: Vec<_> = (0..4172)
        .map(|turn| world.put(&format!("n{turn}.corp.test A")))
        .collect();
    let refused = clients.iter().filter(|&&client| world.has_answer(client));
    assert_eq!(refused.count(), 76);
    // Nobody else notices.
    let client = world.put("elsewhere.test A");
    world.run_for(50);
    assert_eq!(world.answer(client).rcode, rcode::NXDOMAIN);
}
