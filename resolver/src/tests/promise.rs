//! Promise 1 in every order of events: a claimed name never leaves by another scope, whatever happens meanwhile.

use super::world::{HOME, LAB, OFFICE, Say, World};
use crate::event::{ClientId, Failure};
use crate::wire::rcode;

/// splitmix64, so that a seed tells the whole story.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        let at = self.below(of.len() as u64);
        of[usize::try_from(at).unwrap()].clone()
    }
}

const QUESTIONS: &[&str] = &[
    "git.corp.test A",
    "corp.test SOA",
    "wiki.corp.test AAAA",
    "rig.lab.test A",
    "www.example.test A",
    "to-corp.example.test A",
    "to-lab.corp.test A",
    "git.corp.test.home.test A",
    "git A",
    "rig A",
];
const LINKS: &[&str] = &["home0", "vpn0", "lab0"];

fn world(random: &mut Random) -> World {
    let mut world = World::new();
    world
        .server(HOME)
        .answers("www.example.test A", &["www.example.test 60 A 192.0.2.80"])
        .answers(
            "to-corp.example.test A",
            &["to-corp.example.test 60 CNAME git.corp.test"],
        );
    world
        .server(OFFICE)
        .answers("git.corp.test A", &["git.corp.test 60 A 10.0.0.9"])
        .answers(
            "to-lab.corp.test A",
            &["to-lab.corp.test 60 CNAME rig.lab.test"],
        );
    world
        .server(LAB)
        .answers("rig.lab.test A", &["rig.lab.test 60 A 10.9.0.9"]);
    let faults = [
        Say::Silence,
        Say::Code(rcode::SERVFAIL),
        Say::Code(rcode::REFUSED),
        Say::Code(rcode::NXDOMAIN),
        Say::Fail(Failure::Refused),
        Say::Fail(Failure::NoLink),
        Say::Fail(Failure::Unreachable),
        Say::Truncated(Box::new(Say::Silence)),
    ];
    for server in [HOME, OFFICE, LAB] {
        let delay = random.below(600);
        let fault = random.pick(&faults);
        let server = world.server(server);
        server.delay = std::time::Duration::from_millis(delay);
        server.otherwise(fault);
    }
    world
}

/// Where a name may go: `None` is anywhere.
fn claimed_by(name: &str) -> Option<&'static str> {
    [("corp.test", OFFICE), ("lab.test", LAB)]
        .into_iter()
        .find(|(suffix, _)| name == *suffix || name.ends_with(&format!(".{suffix}")))
        .map(|(_, server)| server)
}

/// One step of the story; returns the client that asked, if one did.
fn happens(world: &mut World, random: &mut Random) -> Option<ClientId> {
    let link = random.pick(LINKS);
    match random.below(10) {
        0 => world.switch(link, false),
        1 => world.switch(link, true),
        2 => {
            world.remove_link(link);
            world.apply();
        }
        3 => {
            world.remove_link(link);
            world.add_link(link);
            world.apply();
        }
        4 | 5 => world.run_for(random.below(1500)),
        6 => {
            let server = random.pick(&[HOME, OFFICE, LAB]);
            let loses = u32::try_from(random.below(4)).unwrap();
            world.server(server).loses = loses;
        }
        _ => return Some(world.put(random.pick(QUESTIONS))),
    }
    None
}

#[test]
fn a_claimed_name_never_leaves_by_another_scope_in_any_order_of_events() {
    let (mut refused, mut answered) = (0, 0);
    for seed in 0..2_000 {
        let mut random = Random(seed);
        let mut world = world(&mut random);
        let clients: Vec<ClientId> = (0..30)
            .filter_map(|_| happens(&mut world, &mut random))
            .collect();
        world.run();
        for sent in &world.sent {
            let server = sent.server.to_string();
            let may = claimed_by(&sent.asked.name);
            assert!(
                may.is_none_or(|may| may == server),
                "seed {seed}: {sent} left for {server}"
            );
            assert!(
                may.is_some() || server == HOME,
                "seed {seed}: {sent}, a public name, left for {server}"
            );
        }
        for client in clients {
            let seen = world.answer(client);
            refused += u32::from(seen.rcode == rcode::REFUSED);
            answered += u32::from(!seen.answers.is_empty());
        }
    }
    assert!(refused > 1_000 && answered > 1_000, "{refused} {answered}");
}

#[test]
fn a_question_under_way_when_its_link_goes_is_answered_at_once() {
    let mut world = World::new();
    world.server(OFFICE).silent = true;
    let client = world.put("git.corp.test A");
    world.run_for(100);
    assert!(!world.has_answer(client));
    world.switch("vpn0", false);
    assert!(world.has_answer(client));
    assert_eq!(world.answer(client).codes(), (rcode::REFUSED, Some(15)));
    assert!(!world.cancelled.is_empty());
}
