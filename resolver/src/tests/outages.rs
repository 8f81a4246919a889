//! Which failures are told again without asking, how they are counted and told, and when they end before their time.

use std::time::Duration;

use policy::facts::DefaultRoute;

use super::message::{Ask, asked};
use super::world::{HOME, Say, World};
use crate::event::{ClientId, ClientQuery, Event, Failure, Stub};
use crate::ledger::Trouble;
use crate::wire::rcode;
use crate::{Channel, Flush};

const SCOPE: &str = "home@home0";
const SECOND: &str = "192.0.2.54";

/// Asks, and lets the time of a client pass; returns what it got.
fn wait_for(world: &mut World, text: &str) -> super::message::Seen {
    let client = world.put(text);
    let begun = world.now;
    while !world.has_answer(client) {
        world.run_for(10);
        assert!(world.now.since(begun) <= Duration::from_millis(4_400));
    }
    world.answer(client)
}

/// Asks for what needs no time; returns what came.
fn at_once(world: &mut World, text: &str) -> super::message::Seen {
    let client = world.put(text);
    assert!(world.has_answer(client), "{text}");
    world.answer(client)
}

fn troubles(world: &World) -> Vec<(&'static str, u64)> {
    let counts = world.status(SCOPE).counts;
    let all = Trouble::ALL.iter().zip(counts.troubles);
    all.filter(|(_, count)| *count > 0)
        .map(|(trouble, count)| (trouble.as_str(), count))
        .collect()
}

#[test]
fn whatever_upstreams_fail_by_is_asked_once_and_told_with_its_reason() {
    let rows = [
        (Say::Silence, rcode::SERVFAIL, Some(22)),
        (Say::Fail(Failure::Unreachable), rcode::SERVFAIL, Some(23)),
        (Say::Fail(Failure::Refused), rcode::SERVFAIL, Some(23)),
        (Say::Code(rcode::SERVFAIL), rcode::SERVFAIL, Some(0)),
        (Say::Code(rcode::REFUSED), rcode::REFUSED, Some(0)),
        (
            Say::Error(rcode::REFUSED, 18, "not you"),
            rcode::REFUSED,
            Some(18),
        ),
    ];
    for (say, code, error) in rows {
        let mut world = World::new();
        world.server(HOME).says("a.test A", say.clone());
        let first = wait_for(&mut world, "a.test A");
        assert_eq!(first.codes(), (code, error), "{say:?}");
        assert!(!first.why().is_empty());
        let sent = world.sent.len();
        for _ in 0..2 {
            let again = at_once(&mut world, "a.test A");
            assert_eq!(again.codes(), (code, Some(13)), "{say:?}");
            assert_eq!(again.why(), first.why(), "{say:?}");
        }
        // Another type is another question.
        world.put("a.test TXT");
        assert!(world.sent.len() > sent, "{say:?}");
        world.run_for(1_000);
        let sent = world.sent.len();
        world.put("a.test A");
        assert!(world.sent.len() > sent, "{say:?}: its second is over");
    }
}

#[test]
fn failures_told_again_are_no_hits_and_each_is_told() {
    let mut world = World::new();
    let home = world.server(HOME);
    home.says("a.test A", Say::Code(rcode::SERVFAIL));
    home.answers("b.test A", &["b.test 300 A 192.0.2.1"]);
    world.ask("b.test A");
    world.ask("b.test A");
    let mut told = 0;
    for client in 1..=10 {
        let wire = asked("a.test A").wire();
        let query = ClientQuery {
            client: ClientId(1_000 + client),
            stub: Stub::Main,
            channel: Channel::Udp,
            origin: None,
            wire: &wire,
        };
        let mut shortcut = world.resolver.shortcut();
        let mut out = Vec::new();
        assert!(!shortcut.answer(&wire, Stub::Main, Channel::Udp, &mut out, world.now));
        world.expect(query.client, asked("a.test A"));
        world.resolver.handle_query(query, world.now);
        while let Some(event) = world.resolver.poll_event() {
            told += u32::from(matches!(event, Event::Answered(_)));
        }
        if client == 1 {
            world.pump();
            world.run_for(20);
        }
    }
    // The first was told while it ran.
    assert_eq!(told, 9);
    world.pump();
    assert_eq!(
        troubles(&world),
        [("upstream-error", 1), ("cached-error", 9)]
    );
    let status = world.status(SCOPE);
    assert_eq!(status.cache_hits, 1);
    assert_eq!(
        (status.counts.answers.count(), status.counts.retold),
        (2, 9)
    );
    assert_eq!(status.counts.count(), 11);
    assert_eq!(status.counts.rcodes[usize::from(rcode::SERVFAIL)], 10);
    assert_eq!(
        (status.counts.recent, status.counts.recent_failed),
        (11, 10)
    );
    let counters = world.resolver.counters();
    assert_eq!((counters.queries, counters.cache_hits), (12, 1));
    world.sleep(600);
    assert_eq!(world.status(SCOPE).counts.recent, 0);
}

/// Errors to questions that one upstream was asked alone, to prove it, are not told to those who ask the same of any.
#[test]
fn failure_of_a_question_to_one_upstream_alone_is_not_kept_for_all() {
    let mut world = World::with("[resolver]\nrecursion = \"never\"\n", &[]);
    world.server(HOME).otherwise(Say::Code(rcode::SERVFAIL));
    let to_home = |sent: &&super::world::Sent| sent.server.to_string() == HOME;
    let proof = world.sent.iter().find(to_home).expect("a proof has begun");
    let proof = proof.asked.clone();
    // Long enough for all that it is asked, and no more than a failure is kept.
    let begun = world.now;
    while world
        .resolver
        .poll_timeout()
        .is_some_and(|(at, _)| at.since(begun) < Duration::from_millis(900))
    {
        world.step_on();
    }
    let client = world.put_as(&Ask {
        id: proof.id ^ 1,
        name: proof.name.to_ascii_lowercase(),
        ..proof
    });
    assert!(!world.has_answer(client), "{:?}", world.answer(client));
}

#[test]
fn who_refuses_is_told_apart() {
    let mut world = World::new();
    world.server(HOME).otherwise(Say::Code(rcode::REFUSED));
    for name in ["a.test A", "b.test A"] {
        assert_eq!(world.ask(name).rcode, rcode::REFUSED);
    }
    assert_eq!(troubles(&world), [("upstream-error", 2)]);
    let guest = Ask {
        stub: Stub::Guest,
        ..asked("git.corp.test A")
    };
    assert_eq!(world.ask_as(&guest).rcode, rcode::REFUSED);
    world.switch("vpn0", false);
    world.ask("git.corp.test A");
    let counts = world.status("office@vpn0").counts;
    for trouble in Trouble::ALL {
        let expected = u64::from(matches!(trouble, Trouble::ByRule | Trouble::NotReady));
        assert_eq!(counts.troubles[trouble as usize], expected, "{trouble:?}");
    }
    assert_eq!(counts.recent, 0, "what is meant is nobody's failure");
}

#[test]
fn silence_that_ends_is_over_for_every_name() {
    let mut world = World::new();
    world.server(HOME).silent = true;
    wait_for(&mut world, "a.test A");
    world.server(HOME).silent = false;
    world.put("b.test A");
    world.run_for(20);
    let sent = world.sent.len();
    let client = world.put("a.test A");
    assert!(world.sent.len() > sent);
    world.run_for(20);
    assert_eq!(world.answer(client).rcode, rcode::NXDOMAIN);
}

#[test]
fn a_name_that_gets_no_answer_is_not_asked_more_because_others_do() {
    let mut world = World::new();
    world.server(HOME).says("a.test A", Say::Silence);
    let client = world.put("a.test A");
    for turn in 0..45 {
        world.put(&format!("n{turn}.test A"));
        world.run_for(100);
    }
    assert!(world.has_answer(client));
    world.put("late.test A");
    world.run_for(20);
    let sent = world.sent.len();
    assert_eq!(
        at_once(&mut world, "a.test A").codes(),
        (rcode::SERVFAIL, Some(13))
    );
    assert_eq!(world.sent.len(), sent);
}

/// A client's time is over after its upstream has come back: neither the answer that others have got meanwhile goes, nor is what was
/// lost before told to those who come after.
#[test]
fn who_waited_in_vain_spoils_nothing_for_others() {
    let mut world = World::new();
    world.server(HOME).silent = true;
    wait_for(&mut world, "long.test A");
    let clients = [world.put("a.test A"), world.put("b.test A")];
    // All messages are spent.
    world.run_for(4_000);
    world.server(HOME).silent = false;
    let later = world.put("a.test A");
    world.run_for(20);
    assert_eq!(world.answer(later).rcode, rcode::NXDOMAIN);
    world.run_for(400);
    for client in clients {
        assert!(world.has_answer(client));
    }
    assert_eq!(at_once(&mut world, "a.test A").rcode, rcode::NXDOMAIN);
    assert_eq!(world.ask("b.test A").rcode, rcode::NXDOMAIN);
}

#[test]
fn what_was_said_elsewhere_or_of_another_link_is_not_told_again() {
    let mut world = World::new();
    world.server(HOME).silent = true;
    wait_for(&mut world, "a.test A");
    world.switch("home0", false);
    world.switch("home0", true);
    let sent = world.sent.len();
    world.put("a.test A");
    assert!(world.sent.len() > sent);
}

/// The reply to a question that was asked before is for who asked it; who asks after `flush` gets what is said after it.
#[test]
fn what_was_asked_before_a_flush_is_not_kept() {
    let name = || "a.test".parse().unwrap();
    for what in [
        Flush::All,
        Flush::Name(name(), None),
        Flush::Suffix("test".parse().unwrap(), None),
        Flush::Scope(policy::ScopeId(SCOPE.into())),
    ] {
        let mut world = World::new();
        let home = world.server(HOME);
        home.delay = Duration::from_millis(50);
        home.answers("a.test A", &["a.test 300 A 192.0.2.1"]);
        let before = world.put("a.test A");
        world.run_for(20);
        world.resolver.flush(&what);
        let home = world.server(HOME);
        home.answers("a.test A", &["a.test 300 A 192.0.2.2"]);
        let meanwhile = world.put("a.test A");
        world.run_for(200);
        assert_eq!(world.answer(before).answers, ["a.test 300 A 192.0.2.1"]);
        assert_eq!(world.answer(meanwhile).answers, ["a.test 300 A 192.0.2.2"]);
        let after = at_once(&mut world, "a.test A");
        assert_eq!(after.answers, ["a.test 300 A 192.0.2.2"], "{what:?}");
        assert_eq!(world.sent.len(), 2, "{what:?}");
    }
}

#[test]
fn no_ttl_is_longer_than_an_answer_is_kept() {
    let mut world = World::new();
    let home = world.server(HOME);
    home.answers("a.test A", &["a.test 9999999 A 192.0.2.1"]);
    let alias = ["b.test 9999999 CNAME a.test", "a.test 9999999 A 192.0.2.1"];
    home.answers("b.test A", &alias);
    home.says("none.test A", Say::NoName(9_999_999, 9_999_999));
    let has = |wire: &[u8], ttl: u32| wire.windows(4).any(|at| *at == ttl.to_be_bytes());
    for _ in 0..2 {
        for name in ["a.test A", "b.test A"] {
            let wire = world.ask(name).wire;
            assert!(has(&wire, 86_400) && !has(&wire, 9_999_999), "{wire:?}");
        }
        assert_eq!(world.ask("a.test A").answers, ["a.test 86400 A 192.0.2.1"]);
        let seen = world.ask("b.test A").answers;
        assert_eq!(
            seen,
            ["b.test 86400 CNAME a.test", "a.test 86400 A 192.0.2.1"]
        );
        let seen = world.ask("none.test A").authority;
        assert!(seen[0].contains(" 10800 SOA "), "{seen:?}");
    }
}

#[test]
fn what_nobody_answers_here_is_refused_with_the_reason() {
    let mut world = World::new();
    let base = asked("a.test A");
    let rows = [
        (
            Ask {
                class: 3,
                ..base.clone()
            },
            21,
        ),
        (
            Ask {
                flags: 0,
                ..base.clone()
            },
            20,
        ),
        (
            Ask {
                record_type: 252,
                ..base.clone()
            },
            21,
        ),
    ];
    for (ask, code) in rows {
        let seen = world.ask_as(&ask);
        assert_eq!(seen.codes(), (rcode::REFUSED, Some(code)), "{ask:?}");
        assert!(!seen.why().is_empty());
        let plain = Ask { edns: false, ..ask };
        assert_eq!(world.ask_as(&plain).codes(), (rcode::REFUSED, None));
    }
}

#[test]
fn fastest_asks_the_faster_of_two_that_work_and_now_and_then_the_other() {
    for (fast, slow) in [(HOME, SECOND), (SECOND, HOME)] {
        let home = format!(
            "match = {{ name = \"home*\" }}\n[dns]\nupstreams = [\"{HOME}\", \"{SECOND}\"]\nselection = \"fastest\"\n"
        );
        let mut world = World::with(super::world::PLAIN, &[("home", &home)]);
        world.server(fast).delay = Duration::from_millis(5);
        world.server(slow).delay = Duration::from_millis(25);
        for turn in 0..640 {
            world.ask(&format!("n{turn}.test A"));
        }
        let asked = world.take_sent();
        let to = |server: &str| asked.iter().filter(|line| line.starts_with(server)).count();
        let (fast, slow) = (to(&format!("{fast} ")), to(&format!("{slow} ")));
        // One in 32 goes to one of the two by chance: about 10 of 640 to the slower.
        assert!((2..=30).contains(&slow), "{fast}:{slow}");
        assert!(fast >= 610, "{fast}:{slow}");
    }
}

/// Nothing ever went wrong there, and nothing is to be proven: its time alone is worth remembering.
#[test]
fn the_time_of_a_server_is_known_again_in_its_network() {
    let gateway = |world: &mut World, address: [u8; 4]| {
        let links = world.facts.links.values_mut();
        for link in links.filter(|link| &*link.name == "home0") {
            link.default_route4 = Some(DefaultRoute {
                metric: 100,
                gateway: Some(address.into()),
            });
        }
        world.apply();
    };
    let srtt = |world: &World| world.status(SCOPE).upstreams[0].srtt;
    let mut world = World::new();
    world.server(HOME).delay = Duration::from_millis(30);
    gateway(&mut world, [192, 0, 2, 1]);
    world.ask("a.test A");
    gateway(&mut world, [198, 51, 100, 1]);
    assert_eq!(srtt(&world), None);
    world.server(HOME).delay = Duration::from_millis(90);
    world.ask("b.test A");
    gateway(&mut world, [192, 0, 2, 1]);
    assert_eq!(srtt(&world), Some(Duration::from_millis(30)));
}
