//! Do others wait for a hostile zone? What it costs is computed between them, and what it goes on costing is curbed.

use super::message::{Ask, asked};
use super::signed::{Zone, world};
use crate::wire::rcode;

const AD: u16 = 0x20;

fn signed(name: &str) -> Ask {
    Ask {
        dnssec_ok: true,
        ..asked(&format!("{name} A"))
    }
}

#[test]
fn whoever_asks_meanwhile_is_answered_between_the_slices_of_a_dear_judging() {
    let zones = [Zone::new("trap.test"), Zone::new("good.test")];
    let mut world = world(&zones);
    let [trap, good] = &zones;
    trap.serve(&mut world, "www.trap.test", false);
    good.serve(&mut world, "www.good.test", true);
    let seen = world.ask_as(&signed("www.good.test"));
    assert_eq!((seen.rcode, seen.flags & AD), (rcode::NOERROR, AD));
    assert_eq!(
        world.resolver.counters().paused,
        0,
        "nothing ordinary waits"
    );

    let hostile = world.put_as(&signed("www.trap.test"));
    let mut served = 0;
    for _ in 0..1000 {
        if world.has_answer(hostile) {
            break;
        }
        if world.resolver.has_work() {
            // In the middle of it: a question is answered at once, and one that has to be judged is judged.
            let client = world.put_as(&signed("www.good.test"));
            assert!(world.has_answer(client));
            served += 1;
            world.step_on();
        } else {
            world.step_on();
        }
    }
    let refused = world.answer(hostile);
    assert_eq!(
        refused.codes(),
        (rcode::SERVFAIL, Some(6)),
        "{}",
        refused.why()
    );
    // Each signature that does not fit ends a slice.
    assert!(served >= 7, "{served}");
    assert_eq!(world.resolver.counters().paused, served);
    assert!(!world.resolver.has_work());
}

#[test]
fn a_judging_whose_clients_are_gone_leaves_no_work_behind() {
    let zones = [Zone::new("trap.test")];
    let mut world = world(&zones);
    zones[0].serve(&mut world, "www.trap.test", false);
    let client = world.put_as(&signed("www.trap.test"));
    for _ in 0..1000 {
        if world.resolver.has_work() {
            break;
        }
        world.step_on();
    }
    assert!(world.resolver.has_work());
    world.leave(client);
    let before = world.resolver.counters().paused;
    world.run();
    assert!(!world.resolver.has_work());
    assert_eq!(
        world.resolver.counters().paused,
        before,
        "nobody waits for it"
    );
}

#[test]
fn many_hostile_zones_from_one_place_cost_what_ordinary_ones_do_and_hurt_no_other() {
    let mut zones: Vec<Zone> = (0..20)
        .map(|number| Zone::new(&format!("trap{number}.test")))
        .collect();
    zones.push(Zone::new("good.test"));
    let mut world = world(&zones);
    for (number, zone) in zones.iter().take(20).enumerate() {
        zone.serve(&mut world, &format!("www.trap{number}.test"), false);
    }
    zones[20].serve(&mut world, "www.good.test", true);
    for number in 0..20 {
        let seen = world.ask_as(&signed(&format!("www.trap{number}.test")));
        assert_eq!(seen.rcode, rcode::SERVFAIL, "{number}");
    }
    let curbed = world.resolver.counters().curbed;
    assert!((5..15).contains(&curbed), "{curbed}");
    let seen = world.ask_as(&signed("www.good.test"));
    assert_eq!((seen.rcode, seen.flags & AD), (rcode::NOERROR, AD));
}

#[test]
fn which_algorithms_count_may_change_and_nothing_is_known_any_more_then() {
    let zones = [Zone::new("good.test")];
    let mut world = world(&zones);
    zones[0].serve(&mut world, "www.good.test", true);
    for (counts, messages) in [(true, 2), (true, 0), (false, 2), (false, 0), (true, 2)] {
        world.resolver.apply_sha1(counts);
        assert_eq!(world.resolver.trust.algorithms().sha1, counts);
        world.take_sent();
        let seen = world.ask_as(&signed("www.good.test"));
        assert_eq!((seen.rcode, seen.flags & AD), (rcode::NOERROR, AD));
        assert_eq!(world.take_sent().len(), messages, "{counts}");
    }
}
