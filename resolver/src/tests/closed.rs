//! Upstreams that nobody is behind, where hosts and routers say so once in a second: what clients wait, and what they are told.

use std::time::Duration;

use super::message::Seen;
use super::world::{HOME, PLAIN, Say, World};
use crate::event::{Channel, Failure};
use crate::wire::rcode;

const SECOND: &str = "192.0.2.54";

/// Asks, and lets time pass until there is an answer; returns it with what it took.
fn wait_for(world: &mut World, text: &str) -> (Seen, Duration) {
    let begun = world.now;
    let client = world.put(text);
    while !world.has_answer(client) {
        world.run_for(10);
    }
    let seen = world.answer(client);
    let took = seen.at.since(begun);
    (seen, took)
}

/// A world whose server is as far as that, and was met or not.
fn world(millis: u64, met: bool) -> World {
    let mut world = World::new();
    world.server(HOME).delay = Duration::from_millis(millis);
    if met {
        world.ask("known.test A");
    }
    world
}

#[test]
fn a_closed_port_is_told_within_a_second_for_each_name() {
    for (millis, met) in [(1, false), (1, true), (60, false), (60, true)] {
        let mut world = world(millis, met);
        world.server(HOME).closed = Some(Failure::Refused);
        for turn in 0..10 {
            let (seen, took) = wait_for(&mut world, &format!("n{turn}.test A"));
            assert_eq!(seen.codes(), (rcode::SERVFAIL, Some(23)), "{turn}");
            assert!(seen.why().contains("refuses connections"), "{seen:?}");
            assert!(took < Duration::from_millis(900), "{turn}: {took:?}");
        }
        // Whoever asks again a moment later finds a server that is back.
        world.server(HOME).closed = None;
        world.run_for(1_000);
        assert_eq!(world.ask("n9.test A").codes(), (rcode::NXDOMAIN, None));
    }
}

#[test]
fn who_is_out_of_reach_is_told_so_for_each_name() {
    let mut world = world(1, true);
    world.server(HOME).closed = Some(Failure::Unreachable);
    for turn in 0..10 {
        let (seen, took) = wait_for(&mut world, &format!("n{turn}.test A"));
        assert_eq!(seen.codes(), (rcode::SERVFAIL, Some(23)), "{turn}");
        assert!(seen.why().contains("is unreachable"), "{seen:?}");
        assert!(took < Duration::from_millis(2_500), "{turn}: {took:?}");
    }
}

/// The two questions of one program, a late word of the first message, or what was said an hour ago, are no second time.
#[test]
fn a_route_that_is_away_for_a_moment_costs_no_answer() {
    for (millis, again) in [(2, false), (120, false), (2, true)] {
        let mut world = world(2, true);
        let questions = ["a.test A", "a.test AAAA"];
        let home = world.server(HOME);
        home.delay = Duration::from_millis(millis);
        for question in questions {
            home.says(question, Say::Fail(Failure::Unreachable));
        }
        let mut clients = questions.map(|question| world.put(question));
        if again {
            world.run_for(3_000);
            for client in clients {
                assert_eq!(world.answer(client).rcode, rcode::SERVFAIL);
            }
            world.sleep(3_600);
            clients = questions.map(|question| world.put(question));
        }
        world.server(HOME).delay = Duration::from_millis(2);
        // ICMP has said what it says in this second.
        for question in questions {
            world.server(HOME).says(question, Say::Silence);
        }
        world.run_for(600);
        for client in clients {
            assert!(!world.has_answer(client), "{millis} {again}");
        }
        for question in questions {
            world.server(HOME).says(question, Say::NoName(60, 60));
        }
        world.run_for(1_000);
        for client in clients {
            assert_eq!(world.answer(client).codes(), (rcode::NXDOMAIN, None));
        }
    }
}

#[test]
fn who_is_silent_is_waited_for_beside_a_closed_port() {
    let home =
        format!("match = {{ name = \"home*\" }}\n[dns]\nupstreams = [\"{HOME}\", \"{SECOND}\"]\n");
    let mut world = World::with(PLAIN, &[("home", &home)]);
    world.server(HOME).closed = Some(Failure::Refused);
    let second = world.server(SECOND);
    second.otherwise(Say::ByStream(
        Box::new(Say::NoName(60, 60)),
        Box::new(Say::Silence),
    ));
    second.delay = Duration::from_millis(3_000);
    for turn in 0..5 {
        let (seen, _) = wait_for(&mut world, &format!("n{turn}.test A"));
        assert_eq!(seen.codes(), (rcode::NXDOMAIN, None), "{turn}");
    }
}

/// Small forwarders do not listen for streams, and may have to ask around themselves.
#[test]
fn a_slow_server_that_takes_no_streams_is_waited_for() {
    let mut world = world(1, true);
    let home = world.server(HOME);
    home.says("slow.test A", Say::NoName(60, 60));
    home.delay = Duration::from_millis(2_000);
    let client = world.put("slow.test A");
    let mut refused = 0;
    for _ in 0..190 {
        world.run_for(10);
        let by_stream = world.sent.iter().skip(refused);
        let by_stream = by_stream.filter(|sent| sent.channel == Channel::Tcp);
        let streams: Vec<_> = by_stream.map(|sent| sent.exchange).collect();
        refused = world.sent.len();
        for exchange in streams {
            world
                .resolver
                .handle_failure(exchange, Failure::Refused, world.now);
            world.pump();
        }
    }
    assert!(!world.has_answer(client));
    let sent = world.sent.iter();
    assert!(sent.filter(|sent| sent.channel == Channel::Tcp).count() > 0);
    world.run_for(200);
    assert_eq!(world.answer(client).codes(), (rcode::NXDOMAIN, None));
}
