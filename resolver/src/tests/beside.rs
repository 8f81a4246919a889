//! AAAA is not replied to: when A is asked beside it, which of the two answers, and whose silence counts.

use std::time::Duration;

use super::message::{Ask, Seen, asked};
use super::world::{HOME, PLAIN, Say, World};
use crate::event::{ClientId, Failure, Stub};
use crate::ledger::Trouble;

const MAPPED: &str = "dns64 = \"64:ff9b::/96\"\n";
const SCOPE: &str = "home@home0";
/// What 192.0.2.2 is made into.
const MADE: &str = "a.test 60 AAAA 64:ff9b::c000:202";
/// When A is asked, and when its answer is there, in milliseconds.
const ALONE: u64 = 2000;
const BOTH: u128 = 2010;
/// All the time of a client.
const ALL: u128 = 4400;

fn world(main: &str) -> World {
    World::with(&format!("{PLAIN}{main}"), &[])
}

/// Whose server is silent for AAAA, and has this address.
fn half_deaf() -> World {
    let mut world = world(MAPPED);
    world
        .server(HOME)
        .says("a.test AAAA", Say::Silence)
        .answers("a.test A", &["a.test 60 A 192.0.2.2"]);
    world
}

/// Lets time pass until a client is answered; returns after how many milliseconds it was.
fn wait_for(world: &mut World, client: ClientId) -> (u128, Seen) {
    let begun = world.now;
    while !world.has_answer(client) {
        world.step_on();
    }
    (world.now.since(begun).as_millis(), world.answer(client))
}

fn ask(world: &mut World, text: &str) -> (u128, Seen) {
    let client = world.put(text);
    wait_for(world, client)
}

/// Returns how often each type was asked for, AAAA first, and forgets it.
fn count(world: &mut World) -> (usize, usize) {
    let sent = world.take_sent();
    let of = |record_type: &str| sent.iter().filter(|row| row.ends_with(record_type)).count();
    (of(" AAAA"), of(" A"))
}

#[test]
fn whoever_waits_for_aaaa_is_told_of_a_after_two_seconds_and_the_next_at_once() {
    let mut world = half_deaf();
    let client = world.put("a.test AAAA");
    world.run_for(ALONE - 1);
    assert_eq!(count(&mut world).1, 0, "it is asked alone first");
    let (_, seen) = wait_for(&mut world, client);
    assert_eq!(seen.answers, [MADE]);
    assert_eq!(count(&mut world).1, 1);
    // What is being asked for is silent for whoever joins as well.
    let (after, seen) = ask(&mut world, "a.test AAAA");
    assert_eq!((after, &seen.answers[..]), (0, &[MADE.to_owned()][..]));
    assert_eq!(
        world.resolver.counters().cache_hits,
        0,
        "who has waited had it not at hand"
    );
    // Its silence is found out in the end, and kept.
    world.run_for(2500);
    let (after, seen) = ask(&mut world, "a.test AAAA");
    assert_eq!((after, seen.answers.len()), (0, 1));
    assert_eq!(count(&mut world).1, 0);
}

#[test]
fn a_late_answer_for_aaaa_wins_when_it_comes_first_and_is_kept_when_it_does_not() {
    for (a_takes, answer, at) in [
        (1500, "a.test 60 AAAA 2001:db8::1", 2500),
        (100, MADE, 2100),
    ] {
        let mut world = half_deaf();
        let home = world.server(HOME);
        home.answers("a.test AAAA", &["a.test 60 AAAA 2001:db8::1"]);
        home.delay = Duration::from_millis(2500);
        let client = world.put("a.test AAAA");
        world.run_for(ALONE - 1);
        world.server(HOME).delay = Duration::from_millis(a_takes);
        let (after, seen) = wait_for(&mut world, client);
        assert_eq!((after + 1999, &*seen.answers[0]), (at, answer));
        world.run_for(1000);
        let (after, seen) = ask(&mut world, "a.test AAAA");
        let is_kept = seen.answers[0].ends_with(" AAAA 2001:db8::1");
        assert!(after == 0 && is_kept, "{a_takes}: {after} {seen:?}");
    }
}

#[test]
fn without_addresses_aaaa_is_waited_for_and_a_name_that_is_not_there_is_told() {
    for (say, rcode, at) in [
        (Say::NoRecords(30, 60), 2, ALL),
        (Say::Silence, 2, ALL),
        (Say::Code(2), 2, ALL),
        (Say::Answer(vec!["a.test 60 A 10.0.0.1".to_owned()]), 2, ALL),
        (Say::NoName(30, 60), 3, BOTH),
    ] {
        let mut world = half_deaf();
        world.server(HOME).says("a.test A", say.clone());
        let (after, seen) = ask(&mut world, "a.test AAAA");
        let told = (seen.rcode, seen.answers.len());
        assert_eq!((after, told), (at, (rcode, 0)), "{say:?}");
        world.run();
    }
}

#[test]
fn an_error_for_aaaa_meanwhile_leaves_the_answer_to_a() {
    let mut world = half_deaf();
    let home = world.server(HOME);
    home.says("a.test AAAA", Say::Fail(Failure::Closed));
    home.delay = Duration::from_millis(2100);
    let client = world.put("a.test AAAA");
    world.run_for(ALONE - 1);
    world.server(HOME).delay = Duration::from_millis(1500);
    let (after, seen) = wait_for(&mut world, client);
    assert_eq!((after + 1999, &*seen.answers[0]), (3500, MADE));
}

#[test]
fn a_is_asked_beside_only_where_an_error_would_be_translated() {
    let rows: [(&str, Ask); 5] = [
        (
            MAPPED,
            Ask {
                stub: Stub::Bypass,
                ..asked("a.test AAAA")
            },
        ),
        // RFC 6147 §5.5.
        (
            MAPPED,
            Ask {
                dnssec_ok: true,
                flags: 0x0110,
                ..asked("a.test AAAA")
            },
        ),
        (MAPPED, asked("a.test MX")),
        ("dns64 = \"off\"\n", asked("a.test AAAA")),
        ("", asked("a.test AAAA")),
    ];
    for (main, ask) in rows {
        let mut world = world(main);
        let home = world.server(HOME);
        home.otherwise(Say::Silence);
        home.answers("a.test A", &["a.test 60 A 192.0.2.2"]);
        let client = world.put_as(&ask);
        let (after, seen) = wait_for(&mut world, client);
        assert_eq!((after, seen.rcode), (ALL, 2), "{main} {ask:?}");
        assert_eq!(count(&mut world).1, 0, "{main} {ask:?}");
    }
}

/// The prefix is asked for when it is needed, and what is said of it is not waited for where nobody says it.
#[test]
fn a_prefix_that_is_not_known_yet_is_learned_first() {
    for (say, expected) in [
        (
            Say::Answer(vec![
                "ipv4only.arpa 120 AAAA 64:ff9b::192.0.0.170".to_owned(),
            ]),
            (2020, 0, 1),
        ),
        (Say::Silence, (ALL, 2, 0)),
    ] {
        let mut world = world("dns64 = \"auto\"\n");
        world
            .server(HOME)
            .says("a.test AAAA", Say::Silence)
            .says("ipv4only.arpa AAAA", say.clone())
            .answers("a.test A", &["a.test 60 A 192.0.2.2"]);
        let (after, seen) = ask(&mut world, "a.test AAAA");
        assert_eq!((after, seen.rcode, seen.answers.len()), expected, "{say:?}");
    }
}

#[test]
fn a_client_that_goes_and_a_scope_that_goes_end_both_questions() {
    let mut world = half_deaf();
    world.server(HOME).says("a.test A", Say::Silence);
    let client = world.put("a.test AAAA");
    world.run_for(ALONE + 100);
    assert_eq!(count(&mut world).1, 1);
    world.leave(client);
    world.run();
    assert_eq!(count(&mut world), (0, 0), "nobody waits for either");

    let client = world.put("b.test AAAA");
    world.server(HOME).otherwise(Say::Silence);
    world.run_for(ALONE + 100);
    world.switch("home0", false);
    assert!(world.has_answer(client));
    world.take_sent();
    world.run();
    assert_eq!(count(&mut world), (0, 0));
}

/// A message that could not be sent says nothing; one that was, later, and had no reply, does.
#[test]
fn silence_counts_once_a_message_has_left() {
    let mut world = half_deaf();
    world
        .server(HOME)
        .says("a.test AAAA", Say::Fail(Failure::Resources));
    let client = world.put("a.test AAAA");
    world.run_for(20);
    world.server(HOME).says("a.test AAAA", Say::Silence);
    let (after, seen) = wait_for(&mut world, client);
    assert_eq!((after + 20, &*seen.answers[0]), (BOTH, MADE));
}

/// What this host fails by is nobody's silence: nothing is made of it, it is not kept, and it has a word of its own.
#[test]
fn what_fails_here_is_not_the_upstreams_silence() {
    for failure in [Failure::Resources, Failure::NoLink] {
        let mut world = half_deaf();
        world.server(HOME).says("a.test AAAA", Say::Fail(failure));
        let (_, seen) = ask(&mut world, "a.test AAAA");
        assert_eq!(seen.codes(), (2, Some(23)), "{failure}");
        assert_eq!(count(&mut world).1, 0, "{failure}: A would fail alike");
        let troubles = world.status(SCOPE).counts.troubles;
        assert_eq!(troubles[Trouble::Other as usize], 1, "{failure}");
        let home = world.server(HOME);
        home.answers("a.test AAAA", &["a.test 60 AAAA 2001:db8::1"]);
        let (_, seen) = ask(&mut world, "a.test AAAA");
        assert_eq!(seen.answers.len(), 1, "{failure} is not kept");
        assert!(world.status(SCOPE).upstreams[0].failing.is_none());
    }
}
