//! What guests are told: nothing of what is claimed, in no order of questions, and whatever the cache holds.

use super::message::{Ask, Seen, asked};
use super::world::{HOME, OFFICE, World};
use crate::event::Stub;
use crate::wire::rcode;

fn world(profiles: &[(&str, &str)]) -> World {
    let mut world = World::with(super::world::PLAIN, profiles);
    world
        .server(HOME)
        .answers("www.example.test A", &["www.example.test 300 A 192.0.2.80"])
        .answers(
            "intruder.example.test A",
            &["intruder.example.test 300 CNAME git.corp.test"],
        )
        .answers(
            "near.example.test A",
            &[
                "near.example.test 300 CNAME nas.home.test",
                "nas.home.test 300 A 192.0.2.81",
            ],
        )
        .answers("nas.home.test A", &["nas.home.test 300 A 192.0.2.81"]);
    world
        .server(OFFICE)
        .answers("git.corp.test A", &["git.corp.test 300 A 10.8.0.80"])
        .answers("www.example.test A", &["www.example.test 300 A 10.8.0.99"]);
    world
}

fn ask(world: &mut World, stub: Stub, question: &str) -> Seen {
    world.ask_as(&Ask {
        stub,
        ..asked(question)
    })
}

#[test]
fn a_claimed_name_is_refused_to_guests_and_asked_nowhere() {
    for stub in [Stub::Guest, Stub::GuestBypass] {
        let mut world = world(&[]);
        let seen = ask(&mut world, stub, "git.corp.test A");
        assert_eq!(seen.codes(), (rcode::REFUSED, Some(18)));
        assert_eq!(seen.why(), "git.corp.test is private to this host");
        assert!(world.sent.is_empty(), "{:?}", world.sent);
        let seen = ask(&mut world, stub, "www.example.test A");
        assert_eq!(seen.codes(), (rcode::NOERROR, None));
        assert_eq!(world.resolver.counters().withheld, 1);
    }
}

#[test]
fn what_the_host_has_cached_is_no_way_round() {
    let mut world = world(&[]);
    for _ in 0..2 {
        let seen = ask(&mut world, Stub::Main, "git.corp.test A");
        assert_eq!(seen.answers, ["git.corp.test 300 A 10.8.0.80"]);
        for stub in [Stub::Guest, Stub::GuestBypass] {
            let seen = ask(&mut world, stub, "git.corp.test A");
            assert_eq!(seen.codes(), (rcode::REFUSED, Some(18)));
        }
    }
    // What anybody may ask is kept once for all.
    ask(&mut world, Stub::Main, "www.example.test A");
    let sent = world.sent.len();
    ask(&mut world, Stub::Guest, "www.example.test A");
    assert_eq!(world.sent.len(), sent);
}

#[test]
fn an_alias_does_not_lead_guests_into_what_is_claimed() {
    let mut world = world(&[(
        "home",
        "match = { name = \"home*\" }\n[dns]\nupstreams = [\"192.0.2.53\"]\nclaims = [\"home.test\"]\ndefault = \"yes\"\n",
    )]);
    for host_first in [false, true] {
        for question in ["intruder.example.test A", "near.example.test A"] {
            if host_first {
                let seen = ask(&mut world, Stub::Main, question);
                assert_eq!(seen.codes().0, rcode::NOERROR, "{question}");
                assert_eq!(seen.answers.len(), 2, "{question}");
            }
            let before = world.sent.len();
            for _ in 0..2 {
                let seen = ask(&mut world, Stub::Guest, question);
                assert_eq!(seen.codes(), (rcode::REFUSED, Some(18)), "{question}");
                assert!(seen.answers.is_empty(), "{question}");
            }
            let asked_office = world.sent.get(before..).unwrap_or_default().iter();
            assert!(
                asked_office
                    .filter(|sent| sent.server.to_string() == OFFICE)
                    .count()
                    == 0,
                "{question}"
            );
        }
    }
}

#[test]
fn a_full_tunnel_is_nobodys_but_the_hosts() {
    let mut world = world(&[(
        "office",
        "match = { name = \"vpn*\" }\n[dns]\nupstreams = [\"10.8.0.1\"]\ndefault = \"exclusive\"\n",
    )]);
    let seen = ask(&mut world, Stub::Main, "www.example.test A");
    assert_eq!(seen.answers, ["www.example.test 300 A 10.8.0.99"]);
    let seen = ask(&mut world, Stub::Guest, "www.example.test A");
    assert_eq!(seen.codes(), (rcode::REFUSED, Some(18)));
    world.remove_link("vpn0");
    world.apply();
    let seen = ask(&mut world, Stub::Guest, "www.example.test A");
    assert_eq!(seen.answers, ["www.example.test 300 A 192.0.2.80"]);
}

#[test]
fn guests_hear_neither_of_links_that_are_down_nor_of_search_suffixes() {
    let mut world = world(&[]);
    world.switch("vpn0", false);
    for question in ["git.corp.test A", "git.corp.test.home.test A", "git A"] {
        let seen = ask(&mut world, Stub::Guest, question);
        let told = seen.error.map(|(_, text)| text).unwrap_or_default();
        for word in ["office", "vpn0", "claim"] {
            assert!(!told.contains(word), "{question}: {told}");
        }
    }
}

#[test]
fn guests_are_not_led_past_the_host_to_its_upstream() {
    let mut world = world(&[]);
    let seen = ask(&mut world, Stub::Guest, "_dns.resolver.arpa SVCB");
    assert_eq!(seen.codes().0, rcode::NOERROR);
    assert!(seen.answers.is_empty() && world.sent.is_empty());
    ask(&mut world, Stub::Main, "_dns.resolver.arpa SVCB");
    assert_eq!(world.sent.len(), 1, "the host may discover");
}
