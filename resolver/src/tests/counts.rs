//! What became of the questions of a scope: hits, codes, troubles and latencies stand in its status.

use std::time::Duration;

use super::world::{HOME, OFFICE, Say, World};
use crate::event::Failure;
use crate::ledger::Trouble;
use crate::wire::rcode;

const SCOPE: &str = "home@home0";

fn trouble(world: &World, scope: &str, trouble: Trouble) -> u64 {
    world.status(scope).counts.troubles[trouble as usize]
}

#[test]
fn hits_are_counted_by_the_cache_and_the_rest_with_its_latency() {
    let mut world = World::new();
    let home = world.server(HOME);
    home.answers("a.test A", &["a.test 300 A 192.0.2.1"]);
    home.delay = Duration::from_millis(20);
    for _ in 0..4 {
        world.ask("a.test A");
    }
    let status = world.status(SCOPE);
    assert_eq!(status.cache_hits, 3);
    assert_eq!(status.counts.answers.count(), 1);
    assert_eq!(status.counts.rcodes[usize::from(rcode::NOERROR)], 1);
    let median = status.counts.answers.percentile(500).unwrap();
    assert!(
        median.abs_diff(Duration::from_millis(20)) <= Duration::from_millis(5),
        "{median:?}"
    );
    let upstream = &status.upstreams[0];
    assert_eq!(upstream.counts.replies.count(), 1);
    assert_eq!(status.counts.failed(), 0);
}

#[test]
fn every_failure_is_counted_as_what_it_was() {
    for (say, expected) in [
        (Say::Silence, Trouble::NoReply),
        (Say::Fail(Failure::Unreachable), Trouble::Unreachable),
        (Say::Code(rcode::SERVFAIL), Trouble::UpstreamError),
        (Say::Error(rcode::SERVFAIL, 6, "bogus"), Trouble::Bogus),
    ] {
        let mut world = World::new();
        world.server(HOME).says("a.test A", say.clone());
        world.ask("a.test A");
        world.run();
        for other in Trouble::ALL {
            let count = u64::from(other == expected);
            assert_eq!(trouble(&world, SCOPE, other), count, "{say:?} {other:?}");
        }
        let status = world.status(SCOPE);
        assert_eq!(
            status.counts.rcodes[usize::from(rcode::SERVFAIL)],
            1,
            "{say:?}"
        );
    }
}

#[test]
fn failures_of_an_upstream_are_counted_by_kind() {
    let mut world = World::new();
    world
        .server(HOME)
        .says("a.test A", Say::Fail(Failure::Refused));
    world.ask("a.test A");
    world.run();
    let status = world.status(SCOPE);
    let upstream = &status.upstreams[0];
    // UDP, and TCP after it.
    let heard: u64 = upstream.counts.failures.values().sum();
    assert!(upstream.counts.failures["refused"] > 0, "{status:?}");
    assert_eq!(heard, upstream.lost, "{status:?}");
}

#[test]
fn a_name_whose_scope_is_not_ready_counts_there_and_nowhere_else() {
    let mut world = World::new();
    world.switch("vpn0", false);
    world.ask("git.corp.test A");
    assert_eq!(trouble(&world, "office@vpn0", Trouble::NotReady), 1);
    assert_eq!(world.status(SCOPE).counts.failed(), 0);
}

#[test]
fn counts_outlive_the_cache_that_a_plan_closes_and_go_with_the_scope() {
    let mut world = World::new();
    world
        .server(OFFICE)
        .answers("git.corp.test A", &["git.corp.test 300 A 10.8.0.80"]);
    world.ask("git.corp.test A");
    world.ask("git.corp.test A");
    let before = world.status("office@vpn0");
    assert_eq!((before.cache_hits, before.counts.answers.count()), (1, 1));
    world.switch("vpn0", false);
    world.switch("vpn0", true);
    let after = world.status("office@vpn0");
    assert_eq!(after.cache_entries, 0, "the cache is another one");
    assert_eq!((after.cache_hits, after.counts.answers.count()), (1, 1));
    world.ask("git.corp.test A");
    world.ask("git.corp.test A");
    let later = world.status("office@vpn0");
    assert_eq!((later.cache_hits, later.counts.answers.count()), (2, 2));
}
