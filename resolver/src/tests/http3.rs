//! Where HTTPS upstreams may be asked by HTTP/3: are they, and what does a network that stops it cost?

use std::time::Duration;

use config::model::Transport;
use policy::facts::DefaultRoute;

use super::world::{HOME, Say, World};
use crate::event::{Failure, HttpFault};
use crate::wire::rcode;

const MAIN: &str = "[resolver]\ndnssec = \"off\"\nhttp3 = true\n";
const PROFILE: &str =
    "match = { name = \"home*\" }\n[dns]\nupstreams = [\"https://dns.example/q@192.0.2.53\"]\n";

fn world() -> World {
    let mut world = World::with(MAIN, &[("home", PROFILE)]);
    let anything = Say::Anything("192.0.2.80");
    world.server(HOME).otherwise(anything);
    world
}

/// Returns by which transports messages went since this was last asked.
fn transports(world: &mut World) -> Vec<Transport> {
    let sent = std::mem::take(&mut world.sent);
    sent.iter().map(|sent| sent.transport).collect()
}

/// Asks for a name of its own; returns how long that took.
fn ask(world: &mut World, name: &str) -> Duration {
    let begun = world.now;
    let client = world.put(&format!("{name}.test A"));
    world.run();
    let answer = world.answer(client);
    assert_eq!(answer.rcode, rcode::NOERROR, "{name}");
    answer.at.since(begun)
}

#[test]
fn a_server_that_speaks_http3_is_found_out_before_the_first_question_and_asked_by_it_alone() {
    let mut world = world();
    assert_eq!(transports(&mut world), [Transport::H3, Transport::Https]);
    world.run();
    // One good reply makes another; two in a row, and it works.
    assert_eq!(transports(&mut world), [Transport::H3]);
    ask(&mut world, "a");
    assert_eq!(transports(&mut world), [Transport::H3]);
    let home = world.status("home@home0");
    let shown: Vec<String> = home
        .upstreams
        .iter()
        .map(|state| state.upstream.to_string())
        .collect();
    assert_eq!(
        shown,
        [
            "h3://dns.example/q@192.0.2.53",
            "https://dns.example/q@192.0.2.53"
        ]
    );
    assert!(home.upstreams[0].current && home.upstreams[0].failing.is_none());
}

#[test]
fn without_the_switch_nothing_goes_by_http3() {
    let main = MAIN.replace("true", "false");
    let mut world = World::with(&main, &[("home", PROFILE)]);
    world.run();
    world.ask("a.test A");
    assert!(
        transports(&mut world)
            .iter()
            .all(|by| *by == Transport::Https)
    );
}

#[test]
fn what_stops_http3_costs_nobody_time_and_is_tried_now_and_then() {
    for failure in [
        None,
        Some(Failure::Refused),
        Some(Failure::Unreachable),
        Some(Failure::Http(HttpFault::NoHttp3)),
        Some(Failure::TimedOut),
    ] {
        let mut world = World::with(MAIN, &[]);
        let server = world.server(HOME);
        server.otherwise(Say::Anything("192.0.2.80"));
        server.shut = Some((Transport::H3, failure));
        world.reconfigure(MAIN, &[("home", PROFILE)]);
        world.run();
        transports(&mut world);
        let mut tried = 0;
        for turn in 0..100 {
            let took = ask(&mut world, &format!("n{turn}"));
            assert!(took <= Duration::from_millis(10), "{failure:?} {took:?}");
            tried += transports(&mut world)
                .iter()
                .filter(|by| **by == Transport::H3)
                .count();
            world.sleep(1);
        }
        // Every 30 seconds, while there are questions.
        assert!((3..=5).contains(&tried), "{failure:?} {tried}");
        // It comes to work, as on another network's day.
        world.server(HOME).shut = None;
        world.sleep(31);
        ask(&mut world, "again");
        transports(&mut world);
        ask(&mut world, "after");
        assert_eq!(transports(&mut world), [Transport::H3], "{failure:?}");
    }
}

#[test]
fn http3_that_stops_getting_through_is_left_within_one_question() {
    for failure in [None, Some(Failure::Closed), Some(Failure::Refused)] {
        let mut world = world();
        world.run();
        ask(&mut world, "before");
        world.server(HOME).shut = Some((Transport::H3, failure));
        let took = ask(&mut world, "first");
        assert!(took <= Duration::from_millis(400), "{failure:?} {took:?}");
        for turn in 0..5 {
            ask(&mut world, &format!("n{turn}"));
        }
        let took = ask(&mut world, "last");
        assert!(took <= Duration::from_millis(10), "{failure:?} {took:?}");
    }
}

#[test]
fn answers_that_are_none_by_http3_end_in_answers_by_http2() {
    for failure in [
        Failure::Http(HttpFault::Status(503)),
        Failure::Http(HttpFault::NotDns),
        Failure::Garbled,
        Failure::Closed,
    ] {
        let mut world = world();
        world.run();
        world.server(HOME).shut = Some((Transport::H3, Some(failure)));
        let took = ask(&mut world, "a");
        assert!(took <= Duration::from_millis(30), "{failure:?} {took:?}");
    }
}

#[test]
fn which_of_both_gets_through_is_remembered_for_each_network() {
    let gateway = |world: &mut World, address: [u8; 4]| {
        for link in world.facts.links.values_mut() {
            if &*link.name == "home0" {
                link.default_route4 = Some(DefaultRoute {
                    metric: 100,
                    gateway: Some(address.into()),
                });
            }
        }
        world.apply();
    };
    let (open, shut) = ([192, 0, 2, 1], [198, 51, 100, 1]);
    let mut world = World::with(MAIN, &[]);
    let server = world.server(HOME);
    server.otherwise(Say::Anything("192.0.2.80"));
    gateway(&mut world, open);
    world.reconfigure(MAIN, &[("home", PROFILE)]);
    world.run();
    ask(&mut world, "a");
    world.server(HOME).shut = Some((Transport::H3, None));
    gateway(&mut world, shut);
    world.run();
    ask(&mut world, "b");
    world.sleep(60);
    transports(&mut world);
    // Back in the first one, it is asked first, as it worked there.
    world.server(HOME).shut = None;
    gateway(&mut world, open);
    ask(&mut world, "c");
    let by: Vec<Transport> = world
        .sent
        .iter()
        .filter(|sent| sent.asked.name.starts_with("c."))
        .map(|sent| sent.transport)
        .collect();
    assert_eq!(by, [Transport::H3]);
    transports(&mut world);
    // In the second one, nobody waits for it.
    world.server(HOME).shut = Some((Transport::H3, None));
    gateway(&mut world, shut);
    assert_eq!(ask(&mut world, "d"), Duration::from_millis(10));
}
