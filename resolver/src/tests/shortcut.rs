//! A question gets the same answer whichever way it takes, and no old one when something else comes into force.

use std::collections::BTreeSet;

use super::message::{Ask, asked};
use super::signed::{self, Zone};
use super::world::{HOME, OFFICE, Say, World};
use crate::event::{Channel, Stub};
use crate::wire::rcode;

/// The ways in which clients ask for one and the same.
fn manners(name: &str) -> Vec<Ask> {
    let base = asked(name);
    let mut manners = Vec::new();
    for (at, flags) in [0x0100, 0x0110, 0x0120, 0x0130].into_iter().enumerate() {
        for (edns, dnssec_ok, udp_size) in [
            (false, false, 512),
            (true, false, 100),
            (true, false, 1232),
            (true, true, 4096),
        ] {
            for spelling in [base.name.clone(), base.name.to_uppercase()] {
                manners.push(Ask {
                    id: 100 + u16::try_from(at).unwrap(),
                    flags,
                    name: spelling,
                    edns,
                    dnssec_ok,
                    udp_size,
                    ..base.clone()
                });
            }
        }
    }
    manners
}

#[test]
fn both_ways_give_the_same_octets() {
    let mut world = World::new();
    let many: Vec<String> = (0..40)
        .map(|at| format!("many.test 300 A 192.0.2.{at}"))
        .collect();
    let server = world.server(HOME);
    server.answers("a.test A", &["a.test 300 A 192.0.2.1"]);
    server.answers(
        "alias.test A",
        &["alias.test 60 CNAME a.test", "a.test 300 A 192.0.2.1"],
    );
    server.says("many.test A", Say::Answer(many));
    server.says("none.test A", Say::NoName(600, 600));
    server.says("empty.test A", Say::NoRecords(600, 600));
    world
        .server(OFFICE)
        .answers("git.corp.test A", &["git.corp.test 300 A 10.8.0.7"]);
    let names = [
        "a.test A",
        "alias.test A",
        "many.test A",
        "none.test A",
        "empty.test A",
        "git.corp.test A",
    ];
    let mut shortcut = world.resolver.shortcut();
    let mut passed = 0;
    for name in names {
        for (stub, channel) in [
            (Stub::Main, Channel::Udp),
            (Stub::Main, Channel::Tcp),
            (Stub::Bypass, Channel::Udp),
        ] {
            for ask in manners(name) {
                let ask = Ask {
                    stub,
                    channel,
                    ..ask
                };
                // The first may ask the server; from then on there is a pass.
                world.ask_as(&ask);
                world.resolver.trace_hits(true);
                let long = world.ask_as(&ask).wire;
                let mut short = Vec::new();
                let mut answers = |world: &World| {
                    shortcut.answer(&ask.wire(), stub, channel, &mut short, world.now)
                };
                assert!(!answers(&world), "closed while hits are traced");
                world.resolver.trace_hits(false);
                passed += usize::from(answers(&world));
                assert_eq!(short, long, "{ask:?}");
                assert_eq!(world.ask_as(&ask).wire, long, "{ask:?}");
            }
        }
    }
    assert_eq!(passed, 3 * names.len() * manners("a.test A").len());
}

/// What the core counts and tells of a failure, no listener thread could.
#[test]
fn a_failure_goes_the_long_way_each_time() {
    let mut world = World::new();
    let server = world.server(HOME);
    server.says("broken.test A", Say::Error(rcode::SERVFAIL, 22, "no"));
    server.says("refused.test A", Say::Code(rcode::REFUSED));
    let mut shortcut = world.resolver.shortcut();
    for name in ["broken.test A", "refused.test A"] {
        for ask in manners(name) {
            let first = world.ask_as(&ask);
            let mut short = Vec::new();
            let passes = shortcut.answer(&ask.wire(), ask.stub, ask.channel, &mut short, world.now);
            assert!(!passes, "{ask:?}");
            let again = world.ask_as(&ask);
            assert_eq!(again.rcode, first.rcode, "{ask:?}");
            assert_eq!(world.resolver.counters().cache_hits, 0);
        }
    }
}

/// What is signed is told with AD and, to who wants them, with signatures; all of it grows older.
#[test]
fn both_ways_count_down_alike_also_what_is_signed() {
    let zone = Zone::new("signed.test");
    let mut world = signed::world(std::slice::from_ref(&zone));
    zone.serve_keys(&mut world);
    zone.serve(&mut world, "a.signed.test", true);
    let server = world.server(HOME);
    server.answers("plain.test A", &["plain.test 300 A 192.0.2.1"]);
    server.says("none.test A", Say::NoName(250, 250));
    let mut shortcut = world.resolver.shortcut();
    let (mut passed, mut seen) = (0, BTreeSet::new());
    for seconds in [0, 1, 6, 40, 150] {
        world.sleep(seconds);
        for name in ["a.signed.test A", "plain.test A", "none.test A"] {
            for ask in manners(name) {
                world.ask_as(&ask);
                world.resolver.trace_hits(true);
                let long = world.ask_as(&ask);
                world.resolver.trace_hits(false);
                let mut short = Vec::new();
                let channel = Channel::Udp;
                let hit = shortcut.answer(&ask.wire(), Stub::Main, channel, &mut short, world.now);
                passed += usize::from(hit);
                assert_eq!(short, long.wire, "{seconds} s, {ask:?}");
                seen.insert((long.flags & 0x20, long.answers.len(), long.answers.concat()));
            }
        }
    }
    assert!(passed > 400, "{passed}");
    let kinds: BTreeSet<(u16, usize)> = seen.iter().map(|(ad, count, _)| (*ad, *count)).collect();
    assert!(
        kinds.is_superset(&[(0x20, 1), (0x20, 2), (0, 1)].into()),
        "{kinds:?}"
    );
    // The same records with other TTLs.
    assert!(seen.len() >= 5 * 3, "{seen:?}");
}

#[test]
fn what_comes_into_force_makes_older_answers_unreachable_at_once() {
    let mut world = World::new();
    world
        .server(OFFICE)
        .answers("git.corp.test A", &["git.corp.test 300 A 10.8.0.7"]);
    let ask = asked("git.corp.test A");
    let mut shortcut = world.resolver.shortcut();
    let mut passes = |world: &World| {
        let mut out = Vec::new();
        shortcut.answer(&ask.wire(), Stub::Main, Channel::Udp, &mut out, world.now)
    };
    world.ask("git.corp.test A");
    assert!(passes(&world));

    world.resolver.apply_hosts("192.0.2.99 git.corp.test\n");
    assert!(!passes(&world), "another hosts table");
    assert_eq!(
        world.ask("git.corp.test A").answers.len(),
        1,
        "from the long way"
    );
    world.resolver.apply_hosts("");
    world.ask("git.corp.test A");
    assert!(passes(&world));

    world.switch("vpn0", false);
    assert!(!passes(&world), "the link is down");
    assert_eq!(world.ask("git.corp.test A").rcode, rcode::REFUSED);
    assert!(!passes(&world));
    world.switch("vpn0", true);
    assert!(!passes(&world), "what was known before the link went down");
    world.ask("git.corp.test A");
    assert!(passes(&world));

    world.resolver.flush(&crate::Flush::All);
    assert!(!passes(&world), "flushed");
}

#[test]
fn names_that_are_synthesized_or_searched_never_pass() {
    let mut world = World::new();
    world.resolver.apply_hosts("192.0.2.99 box.test\n");
    world.server(HOME).answers(
        "printer.home.test A",
        &["printer.home.test 300 A 192.0.2.8"],
    );
    let mut shortcut = world.resolver.shortcut();
    for name in [
        "box.test A",
        "localhost A",
        "printer A",
        "1.0.0.127.in-addr.arpa PTR",
    ] {
        for _ in 0..3 {
            world.ask(name);
        }
        let mut out = Vec::new();
        let wire = asked(name).wire();
        assert!(
            !shortcut.answer(&wire, Stub::Main, Channel::Udp, &mut out, world.now),
            "{name}"
        );
    }
}

#[test]
fn questions_answered_beside_the_core_are_counted() {
    let mut world = World::new();
    world
        .server(HOME)
        .answers("a.test A", &["a.test 300 A 192.0.2.1"]);
    world.ask("a.test A");
    let wire = asked("a.test A").wire();
    let mut shortcuts = [world.resolver.shortcut(), world.resolver.shortcut()];
    for shortcut in &mut shortcuts {
        for _ in 0..5 {
            let mut out = Vec::new();
            assert!(shortcut.answer(&wire, Stub::Main, Channel::Udp, &mut out, world.now));
        }
    }
    let counters = world.resolver.counters();
    assert_eq!((counters.queries, counters.cache_hits), (11, 10));
    assert_eq!(world.status("home@home0").cache_hits, 10);
}
