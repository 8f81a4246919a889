//! Servers that answer late, all of them: whoever waits long enough for them gets what they say, for as long as it lasts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::signed::{Zone, world_with};
use super::world::{HOME, PLAIN, Say, World};
use crate::event::ClientId;

const SECOND: &str = "192.0.2.54";
/// Milliseconds between two questions, where they are many and where they are few.
const PACE: u64 = 20;
const SLOW_PACE: u64 = 250;
/// What the programs of a user have who has configured nothing.
const DEFAULT: &str = "[resolver]\nrecursion = \"auto\"\n";
const ONE: &str = "match = { name = \"home*\" }\n[dns]\nupstreams = [\"192.0.2.53\"]\n";
const TWO: &str =
    "match = { name = \"home*\" }\n[dns]\nupstreams = [\"192.0.2.53\", \"192.0.2.54\"]\n";

/// How answers are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judging {
    Off,
    /// By default, and nothing is signed: each answer is looked at, and the root's keys are asked for again and again.
    Unsigned,
    /// The zone is signed, and its keys are known.
    Warm,
}

const WAYS: [Judging; 3] = [Judging::Off, Judging::Unsigned, Judging::Warm];

/// Questions for new names, and what became of them.
struct Story {
    world: World,
    zone: Zone,
    judging: Judging,
    servers: &'static [&'static str],
    asked: Vec<(u64, ClientId)>,
    turns: u64,
}

impl Story {
    fn new(judging: Judging, servers: &'static [&'static str]) -> Self {
        let home = if servers.len() > 1 { TWO } else { ONE };
        let profiles = [("home", home)];
        let zone = Zone::new("late.test");
        let mut world = match judging {
            Judging::Off => World::with(PLAIN, &profiles),
            Judging::Unsigned => World::with(DEFAULT, &profiles),
            Judging::Warm => world_with("enforce", &profiles, std::slice::from_ref(&zone)),
        };
        for server in servers {
            let server = world.server(server);
            server.delay = Duration::from_millis(1);
            server.in_turn = true;
            server.otherwise(Say::NoName(4, 4));
        }
        let mut story = Self {
            world,
            zone,
            judging,
            servers,
            asked: Vec::new(),
            turns: 0,
        };
        for server in servers {
            story.zone.serve_keys_at(&mut story.world, server);
        }
        // What is done when a scope is met is done, and a walk has found that nobody lets it through.
        story.go_on(5_000);
        story.took("before");
        story
    }

    fn delay(&mut self, delay: Duration) {
        for server in self.servers {
            self.world.server(server).delay = delay;
        }
    }

    fn go_on(&mut self, millis: u64) {
        self.go_on_at(PACE, millis);
    }

    fn go_on_at(&mut self, pace: u64, millis: u64) {
        for _ in 0..millis / pace {
            self.turns += 1;
            let name = format!("n{}.late.test", self.turns);
            if self.judging == Judging::Warm {
                for server in self.servers {
                    self.zone.serve_at(&mut self.world, server, &name);
                }
            }
            let client = self.world.put(&format!("{name} A"));
            let at = self.world.now.as_nanos() / 1_000_000;
            self.asked.push((at, client));
            self.world.run_for(pace);
        }
    }

    /// Returns how long the questions since took, in order, in milliseconds; none may fail.
    fn took(&mut self, what: &str) -> Vec<u64> {
        self.world.run_for(5_000);
        let (mut took, mut failed) = (Vec::new(), BTreeMap::new());
        for (at, client) in std::mem::take(&mut self.asked) {
            let seen = self.world.answer(client);
            took.push(seen.at.as_nanos() / 1_000_000 - at);
            if !matches!(seen.rcode, 0 | 3) {
                *failed.entry(seen.why().to_owned()).or_insert(0) += 1;
            }
        }
        assert_eq!(failed, BTreeMap::new(), "{what}, of {}", took.len());
        took.sort_unstable();
        took
    }
}

#[test]
fn nobody_goes_without_an_answer_where_all_servers_come_to_be_a_second_late() {
    for judging in WAYS {
        for servers in [&[HOME][..], &[HOME, SECOND]] {
            for lasting in [6_000, 15_000] {
                let what = format!("{judging:?}, {} servers, {lasting} ms", servers.len());
                let mut story = Story::new(judging, servers);
                story.delay(Duration::from_secs(1));
                story.world.sent.clear();
                story.go_on(lasting);
                let took = story.took(&what);
                assert!(took.last() <= Some(&2_000), "{what}: {:?}", took.last());
                // Until it is known how late they are, each is asked again and again; then once, or each of them once.
                let most = (took.len() + 300) * servers.len();
                let sent = story.world.sent.len();
                assert!(sent <= most, "{what}: {sent} for {}", took.len());
            }
        }
    }
}

#[test]
fn answers_come_however_late_the_only_server_is() {
    for judging in WAYS {
        for millis in [300, 1_500, 2_000, 3_000, 3_900] {
            let what = format!("{judging:?}, {millis} ms");
            let mut story = Story::new(judging, &[HOME]);
            story.delay(Duration::from_millis(millis));
            story.go_on(10_000);
            let took = story.took(&what);
            let most = match judging {
                Judging::Off | Judging::Warm => millis,
                // What nobody proves is served without proof when time runs out.
                Judging::Unsigned => (2 * millis).min(4_400),
            };
            assert!(took.last() <= Some(&most), "{what}: {:?}", took.last());
        }
    }
}

/// A server that needs a second for each question, and takes up one after the other by stream, answers one in a second.
#[test]
fn who_was_deaf_to_datagrams_once_is_not_asked_by_stream_alone_for_long() {
    for judging in WAYS {
        for seconds in [3, 150] {
            for hears_for in [0, 1_000] {
                let what = format!("{judging:?}, deaf for {seconds} s, well for {hears_for} ms");
                let mut story = Story::new(judging, &[HOME]);
                story.world.server(HOME).deaf = true;
                story.go_on_at(SLOW_PACE, seconds * 1_000);
                let took = story.took(&what);
                let late = took.iter().filter(|&&took| took > 100).count();
                assert!(late <= 2, "{what}: {late} waited");
                story.world.server(HOME).deaf = false;
                story.go_on(hears_for);
                story.delay(Duration::from_secs(1));
                story.go_on(6_000);
                let took = story.took(&what);
                assert!(took.last() <= Some(&3_000), "{what}: {:?}", took.last());
            }
        }
    }
}

/// Three of ten datagrams lost are no reason to go by stream for ten minutes.
#[test]
fn who_loses_datagrams_is_not_taken_for_one_that_is_deaf_to_them() {
    let mut story = Story::new(Judging::Off, &[HOME]);
    story.world.server(HOME).loss = 30;
    story.go_on(30_000);
    let took = story.took("loss");
    let late = took[took.len() * 99 / 100];
    assert!(late <= 250, "p99 {late}");
    let manners = |story: &Story| {
        story.world.status("home@home0").upstreams[0]
            .manners
            .clone()
    };
    assert_eq!(manners(&story), Vec::<&str>::new());
    story.world.server(HOME).deaf = true;
    story.go_on(3_000);
    assert_eq!(manners(&story), ["TCP only"]);
}

#[test]
fn loss_at_the_first_costs_little_where_the_second_works() {
    for judging in WAYS {
        for seed in 1..6 {
            let what = format!("{judging:?}, seed {seed}");
            let mut story = Story::new(judging, &[HOME, SECOND]);
            if judging == Judging::Unsigned {
                for server in [HOME, SECOND] {
                    // Nothing that could be kept.
                    let nothing = Say::Sections(0, <[Vec<String>; 3]>::default());
                    story.world.server(server).says(". DNSKEY", nothing);
                }
            }
            story.go_on(2_000);
            story.took(&what);
            let home = story.world.server(HOME);
            (home.loss, home.chance) = (30, seed);
            story.go_on(1_000);
            story.took(&what);
            story.go_on(10_000);
            let took = story.took(&what);
            let (middle, late) = (took[took.len() / 2], took[took.len() * 99 / 100]);
            assert!(
                middle <= 2 && late <= 250,
                "{what}: p50 {middle}, p99 {late}"
            );
        }
    }
}

/// The time that a proof takes is the records' own.
#[test]
fn a_reply_grows_older_while_its_proof_is_waited_for() {
    let zone = Zone::new("late.test");
    let mut world = world_with("enforce", &[("home", ONE)], std::slice::from_ref(&zone));
    zone.serve_at(&mut world, HOME, "a.late.test");
    world.server(HOME).says("late.test DNSKEY", Say::Silence);
    let client = world.put("a.late.test A");
    world.run_for(2_500);
    assert!(!world.has_answer(client));
    zone.serve_keys_at(&mut world, HOME);
    world.run_for(1_900);
    let seen = world.answer(client);
    let waited = seen.at.as_nanos() / 1_000_000_000 - Duration::from_nanos(0).as_secs();
    assert!(waited >= 2, "{waited}");
    let row = |ttl: u64| vec![format!("a.late.test {ttl} A 192.0.2.1")];
    assert!(
        [297, 298].iter().any(|&ttl| seen.answers == row(ttl)),
        "{seen:?}"
    );
    // In the cache too.
    world.sleep(293);
    assert_eq!(world.ask("a.late.test A").answers.len(), 1);
    let sent = world.sent.len();
    world.sleep(6);
    world.ask("a.late.test A");
    assert!(world.sent.len() > sent);
}

/// Where nobody is let through to the root, an outage shows that to a few questions; the others fail or wait as if there were none.
#[test]
fn an_outage_does_not_send_every_question_to_the_root() {
    let mut story = Story::new(Judging::Unsigned, &[HOME, SECOND]);
    // What was found out about walks has had its time.
    story.world.sleep(1_000);
    for server in [HOME, SECOND] {
        story.world.server(server).silent = true;
    }
    story.world.sent.clear();
    for number in 0..2_000 {
        story.world.put(&format!("w{number}.late.test A"));
        if number % 10 == 0 {
            story.world.run_for(20);
        }
    }
    story.world.run_for(1_000);
    let servers = [HOME, SECOND].map(|server| server.parse().unwrap());
    let sent = story.world.sent.iter();
    let walked = sent.filter(|sent| !servers.contains(&sent.server)).count();
    assert!((1..1_000).contains(&walked), "{walked}");
    for server in [HOME, SECOND] {
        story.world.server(server).silent = false;
    }
    story.world.run_for(500);
    assert_eq!(story.world.ask("after.late.test A").rcode, 3);
}
