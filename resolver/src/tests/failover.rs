//! When one of two servers fails, and when it is back: what clients wait, and who is asked meanwhile.

use std::time::Duration;

use super::world::{HOME, Say, Server, World};
use crate::event::{ClientId, Failure};
use crate::wire::rcode;

const SECOND: &str = "192.0.2.54";
/// Milliseconds between two questions.
const PACE: u64 = 50;
const FAULTS: &[&str] = &["drop", "refuse", "servfail", "loss", "slow"];

/// A world with two servers at home, 1 ms away, and a selection.
fn two(selection: &str) -> World {
    let home = format!(
        "match = {{ name = \"home*\" }}\n[dns]\nupstreams = [\"{HOME}\", \"{SECOND}\"]\nselection = \"{selection}\"\n"
    );
    let mut world = World::with(super::world::PLAIN, &[("home", &home)]);
    for server in [HOME, SECOND] {
        mend(world.server(server));
    }
    world
}

fn mend(server: &mut Server) {
    server.delay = Duration::from_millis(1);
    server.silent = false;
    server.loss = 0;
    server.otherwise(Say::NoName(60, 60));
}

fn spoil(server: &mut Server, fault: &str) {
    match fault {
        "drop" => server.silent = true,
        "refuse" => drop(server.otherwise(Say::Fail(Failure::Refused))),
        "unreachable" => drop(server.otherwise(Say::Fail(Failure::Unreachable))),
        "servfail" => drop(server.otherwise(Say::Code(rcode::SERVFAIL))),
        "refused" => drop(server.otherwise(Say::Code(rcode::REFUSED))),
        "loss" => server.loss = 30,
        "slow" => server.delay = Duration::from_secs(1),
        other => panic!("{other}"),
    }
}

/// What clients saw: their question's place in time, what it took, and the code.
struct Story {
    world: World,
    asked: Vec<(u64, ClientId)>,
    turns: u64,
}

impl Story {
    fn new(selection: &str) -> Self {
        Self {
            world: two(selection),
            asked: Vec::new(),
            turns: 0,
        }
    }

    /// Asks for new names for so many milliseconds.
    fn go_on(&mut self, millis: u64) {
        for _ in 0..millis / PACE {
            self.turns += 1;
            let client = self.world.put(&format!("n{}.test A", self.turns));
            let at = self.world.now.as_nanos() / 1_000_000;
            self.asked.push((at, client));
            self.world.run_for(PACE);
        }
    }

    /// Returns what the questions since took, in order, in milliseconds; all must be answered well.
    fn took(&mut self) -> Vec<u64> {
        self.world.run_for(5_000);
        let asked = std::mem::take(&mut self.asked);
        let mut took: Vec<u64> = asked
            .iter()
            .map(|(at, client)| {
                let seen = self.world.answer(*client);
                assert_eq!(seen.rcode, rcode::NXDOMAIN, "{seen:?}");
                seen.at.as_nanos() / 1_000_000 - at
            })
            .collect();
        took.sort_unstable();
        took
    }

    /// Whether the first server answers questions by itself.
    fn is_back(&self) -> bool {
        let scopes = self.world.resolver.status(self.world.now);
        let upstreams = scopes.iter().flat_map(|scope| &scope.upstreams);
        upstreams
            .filter(|status| status.upstream.address.to_string() == HOME)
            .all(|status| status.current)
    }
}

#[test]
fn whatever_the_first_of_two_fails_by_clients_hardly_notice() {
    for selection in ["ordered", "fastest", "hedged"] {
        for fault in FAULTS.iter().chain(&["unreachable", "refused"]) {
            let what = format!("{selection} {fault}");
            let mut story = Story::new(selection);
            story.go_on(3_000);
            story.asked.clear();
            spoil(story.world.server(HOME), fault);
            story.go_on(1_000);
            let early = story.asked.clone();
            story.asked.clear();
            story.go_on(5_000);
            let rest = story.took();
            story.asked = early;
            let early = story.took();
            let slowest = early.last().copied().unwrap();
            assert!(slowest <= 151, "{what}: {early:?}");
            let (middle, late) = (rest[rest.len() / 2], rest[rest.len() * 99 / 100]);
            assert!(middle <= 2, "{what}: p50 {middle}");
            assert!(late <= 250, "{what}: p99 {late}");
        }
    }
}

#[test]
fn the_first_in_order_is_asked_again_within_a_second_of_its_recovery() {
    for fault in FAULTS {
        for fails_for in [1_000, 6_000, 60_000] {
            let mut story = Story::new("ordered");
            story.go_on(3_000);
            spoil(story.world.server(HOME), fault);
            story.go_on(fails_for);
            mend(story.world.server(HOME));
            story.go_on(1_000);
            assert!(story.is_back(), "{fault} for {fails_for} ms");
        }
    }
}

#[test]
fn who_loses_some_is_not_taken_for_well_again_and_again() {
    let mut story = Story::new("ordered");
    story.go_on(1_000);
    spoil(story.world.server(HOME), "loss");
    let mut returns = 0;
    let mut was_back = true;
    for _ in 0..60 * 1000 / PACE {
        story.go_on(PACE);
        let back = story.is_back();
        returns += u32::from(back && !was_back);
        was_back = back;
    }
    assert!(returns <= 20, "{returns} returns in a minute");
    let took = story.took();
    let waited = took.iter().filter(|&&took| took > 100).count();
    assert!(waited * 20 < took.len(), "{waited} of {}", took.len());
}

#[test]
fn nobody_is_tried_again_where_nobody_asks() {
    let mut story = Story::new("ordered");
    story.go_on(1_000);
    spoil(story.world.server(HOME), "drop");
    story.go_on(1_000);
    story.world.run_for(5_000);
    story.world.sent.clear();
    story.world.run_for(3_600_000);
    assert_eq!(story.world.take_sent(), Vec::<String>::new());
}

#[test]
fn a_dead_server_gets_two_copies_a_second_at_most() {
    let mut story = Story::new("ordered");
    story.go_on(1_000);
    spoil(story.world.server(HOME), "drop");
    story.go_on(2_000);
    story.world.sent.clear();
    story.go_on(60_000);
    let sent = story.world.take_sent();
    let copies = sent.iter().filter(|sent| sent.starts_with(HOME)).count();
    assert!((100..=130).contains(&copies), "{copies} copies in a minute");
}

#[test]
fn with_loss_on_both_all_questions_are_answered() {
    for selection in ["ordered", "fastest", "hedged"] {
        for loss in [15, 30] {
            let mut story = Story::new(selection);
            for (server, chance) in [(HOME, 3), (SECOND, 5)] {
                story.world.server(server).loss = loss;
                story.world.server(server).chance = chance;
            }
            story.go_on(20_000);
            let took = story.took();
            let late = took[took.len() * 99 / 100];
            assert!(late <= 1_400, "{selection} {loss} %: {late} ms");
            assert!(took.last().is_some_and(|&last| last < 4_400));
        }
    }
}

#[test]
fn the_only_server_is_asked_again_soon_and_not_too_often() {
    let mut world = World::new();
    world.server(HOME).delay = Duration::from_millis(10);
    world.ask("warm.test A");
    world.sent.clear();
    world.server(HOME).loses = 1;
    let began = world.now;
    let seen = world.ask("a.test A");
    assert_eq!(seen.rcode, rcode::NXDOMAIN);
    assert_eq!(seen.at.since(began).as_millis(), 60);
    world.server(HOME).silent = true;
    world.sent.clear();
    let began = world.now;
    let client = world.put("b.test A");
    world.run();
    let seen = world.answer(client);
    assert_eq!(seen.codes(), (rcode::SERVFAIL, Some(22)));
    assert!(seen.at.since(began) <= Duration::from_millis(4_400));
    let times: Vec<u128> = world
        .sent
        .iter()
        .map(|sent| sent.at.since(began).as_millis())
        .collect();
    assert_eq!(times, [0, 50, 100, 200, 400, 800, 1_600, 2_600, 3_600]);
}

#[test]
fn an_error_of_one_waits_for_the_lost_answer_of_the_other() {
    let mut world = two("ordered");
    spoil(world.server(HOME), "servfail");
    world.server(SECOND).loses = 2;
    let seen = world.ask("a.test A");
    assert_eq!(seen.rcode, rcode::NXDOMAIN, "{seen:?}");
}

#[test]
fn who_answers_by_stream_alone_is_asked_by_stream() {
    for datagrams in ["drop", "refuse"] {
        let mut world = World::new();
        let answer = Say::NoName(60, 60);
        let silent = match datagrams {
            "drop" => Say::Silence,
            _ => Say::Fail(Failure::Refused),
        };
        world
            .server(HOME)
            .otherwise(Say::ByStream(Box::new(silent), Box::new(answer)));
        let began = world.now;
        let seen = world.ask("a.test A");
        assert_eq!(seen.rcode, rcode::NXDOMAIN, "{datagrams}: {seen:?}");
        assert!(seen.at.since(began) <= Duration::from_millis(1_300));
        // What was learned is used for the next question.
        world.sent.clear();
        assert_eq!(world.ask("b.test A").rcode, rcode::NXDOMAIN);
        assert_eq!(world.take_sent(), ["192.0.2.53 b.test A by tcp"]);
    }
}

#[test]
fn when_both_come_back_after_both_were_gone_the_first_question_is_answered_at_once() {
    let mut story = Story::new("ordered");
    story.go_on(1_000);
    for server in [HOME, SECOND] {
        story.world.server(server).silent = true;
    }
    story.world.put("lost.test A");
    story.world.run_for(10_000);
    for server in [HOME, SECOND] {
        story.world.server(server).silent = false;
    }
    let began = story.world.now;
    let seen = story.world.ask("found.test A");
    assert_eq!(seen.at.since(began).as_millis(), 1);
    assert!(story.is_back() || story.world.now.since(began).as_secs() < 3);
}

#[test]
fn two_at_once_are_two_and_no_more() {
    let mut world = two("hedged");
    world.ask("a.test A");
    assert_eq!(
        world.take_sent(),
        ["192.0.2.53 a.test A", "192.0.2.54 a.test A"]
    );
}

/// Popular names have a lookup on the way whenever an outage ends: those who come then are not to wait for one that has given up.
#[test]
fn a_popular_name_is_asked_for_anew_when_the_servers_are_back() {
    let mut world = two("ordered");
    for server in [HOME, SECOND] {
        world.server(server).silent = true;
    }
    // Somebody asks twice a second, so that all messages of the lookup are spent.
    for _ in 0..7 {
        world.put("popular.test A");
        world.run_for(500);
    }
    for server in [HOME, SECOND] {
        mend(world.server(server));
    }
    let since = world.now;
    let client = world.put("popular.test A");
    world.run_for(6000);
    let answer = world.answer(client);
    assert_eq!(answer.rcode, rcode::NXDOMAIN);
    let took = answer.at.since(since).as_millis();
    assert!(took <= 1500, "{took} ms");
}
