//! When the shell was away, as in a machine that is halted: replies wait, deadlines pass, and none of it is anybody's fault.

use std::time::Duration;

use config::model::RecursionMode;

use super::world::{HOME, OFFICE, PLAIN, Say, World};
use crate::event::{ClientId, UpstreamStatus};
use crate::wire::rcode;

const SECOND: &str = "192.0.2.54";
const TWO: &str =
    "match = { name = \"home*\" }\n[dns]\nupstreams = [\"192.0.2.53\", \"192.0.2.54\"]\n";
/// Longer than anybody waits.
const HALT: Duration = Duration::from_secs(5);

/// A world whose two servers are known to be 20 ms away.
fn two() -> World {
    let mut world = World::with(PLAIN, &[("home", TWO)]);
    for server in [HOME, SECOND] {
        let server = world.server(server);
        server.delay = Duration::from_millis(20);
        server.otherwise(Say::NoName(60, 60));
    }
    for number in 0..40 {
        world.put(&format!("before{number}.test A"));
        world.run_for(30);
    }
    world
}

fn ask(world: &mut World, count: u32) -> Vec<ClientId> {
    let names = 0..count;
    names
        .map(|number| world.put(&format!("n{number}.test A")))
        .collect()
}

/// Lets time pass in which nobody looks, and then says so.
fn halt(world: &mut World) {
    world.now = world.now + HALT;
    world.resolver.handle_absence(world.now);
}

fn upstreams(world: &World) -> Vec<UpstreamStatus> {
    world.status("home@home0").upstreams
}

#[test]
fn replies_that_waited_are_taken_and_say_nothing_of_how_far_their_server_is() {
    let mut world = two();
    let srtts = |world: &World| -> Vec<Option<Duration>> {
        upstreams(world).iter().map(|status| status.srtt).collect()
    };
    let before = srtts(&world);
    let clients = ask(&mut world, 100);
    halt(&mut world);
    world.run();
    for client in clients {
        assert_eq!(world.answer(client).rcode, rcode::NXDOMAIN);
    }
    assert_eq!(srtts(&world), before);
    assert_eq!(world.resolver.counters().timed_out, 0);
}

#[test]
fn what_is_missed_when_one_comes_back_is_held_against_nobody() {
    let mut world = two();
    world.server(HOME).silent = true;
    let clients = ask(&mut world, 100);
    world.run_for(40);
    halt(&mut world);
    // Beside them somebody asks who has all his time.
    world.server(HOME).silent = false;
    let later = world.put("later.test A");
    world.run();
    for client in clients {
        assert!(world.has_answer(client));
    }
    assert_eq!(world.answer(later).rcode, rcode::NXDOMAIN);
    for status in upstreams(&world) {
        assert_eq!((status.failing, status.loss_percent), (None, 0));
    }
    // Who is silent from then on is found out as ever.
    world.server(HOME).silent = true;
    for number in 0..10 {
        world.put(&format!("silent{number}.test A"));
        world.run_for(500);
    }
    let failing = upstreams(&world)
        .into_iter()
        .find(|it| it.failing.is_some());
    assert_eq!(failing.unwrap().upstream.to_string(), HOME);
}

#[test]
fn questions_of_before_have_their_chance_when_one_comes_back() {
    let mut world = World::new();
    world.server(OFFICE).silent = true;
    for number in 0..4_096 {
        world.put(&format!("n{number}.corp.test A"));
    }
    world.run_for(10);
    world.now = world.now + Duration::from_secs(2);
    world.resolver.handle_absence(world.now);
    let refused = world.put("beyond.corp.test A");
    assert_eq!(world.answer(refused).rcode, rcode::REFUSED);
    assert_eq!(world.resolver.counters().displaced, 0);
    world.run_for(600);
    world.put("later.corp.test A");
    assert_eq!(world.resolver.counters().displaced, 1);
}

#[test]
fn a_name_whose_reply_was_missed_is_asked_for_as_ever() {
    for name in ["known.test", "new.test"] {
        let (question, row) = (format!("{name} A"), format!("{name} 60 A 192.0.2.1"));
        let mut world = World::new();
        let day = Duration::from_secs(86_400);
        world.resolver.apply_keeping(day, false);
        let known = ["known.test 60 A 192.0.2.1"];
        world.server(HOME).answers("known.test A", &known);
        world.ask("known.test A");
        world.sleep(100);
        world.server(HOME).says(&question, Say::Silence);
        let client = world.put(&question);
        world.run_for(40);
        halt(&mut world);
        world.server(HOME).answers(&question, &[&row]);
        world.run_for(0);
        assert_ne!(world.answer(client).codes().1, None, "{name}");
        let client = world.put(&question);
        world.run_for(40);
        assert_eq!(
            world.answer(client).codes(),
            (rcode::NOERROR, None),
            "{name}"
        );
    }
}

#[test]
fn a_walk_whose_time_is_over_when_one_comes_back_ends_no_walks() {
    const ROOT: &str = "198.51.100.1";
    let mut world = World::new();
    world.config.resolver.recursion = RecursionMode::Always;
    world.resolver.apply_root_servers(&[ROOT.parse().unwrap()]);
    world.apply();
    let walks = |world: &World| {
        let servers = world.sent.iter().map(|sent| sent.server.to_string());
        servers.filter(|server| server == ROOT).count()
    };
    world.server(ROOT).silent = true;
    world.put("before.test A");
    world.run_for(40);
    halt(&mut world);
    world.run();
    assert!(walks(&world) > 0);
    // Who lets nobody through then is found out as ever.
    for goes in [true, false] {
        world.sent.clear();
        world.ask(&format!("{goes}.test A"));
        assert_eq!(walks(&world) > 0, goes);
    }
}
