//! What is kept, for how long, and for whom; and what concurrent questions share.

use policy::ScopeId;

use super::message::{Ask, asked};
use super::world::{HOME, OFFICE, Say, World};
use crate::Flush;
use crate::wire::rcode;

#[test]
fn a_kept_answer_counts_down_and_is_asked_for_again_when_it_is_old() {
    let mut world = World::new();
    world
        .server(HOME)
        .answers("a.test A", &["a.test 300 A 192.0.2.1"]);
    world.ask("a.test A");
    let rows = [(0, 300), (10, 290), (200, 90), (89, 1)];
    for (later, ttl) in rows {
        world.sleep(later);
        let seen = world.ask("A.test A");
        assert_eq!(seen.answers, [format!("a.test {ttl} A 192.0.2.1")]);
    }
    assert_eq!(world.sent.len(), 1);
    assert_eq!(world.resolver.counters().cache_hits, 4);
    world.sleep(2);
    assert_eq!(world.ask("a.test A").answers, ["a.test 300 A 192.0.2.1"]);
    assert_eq!(world.sent.len(), 2);
}

#[test]
fn negative_answers_are_kept_as_long_as_their_soa_says() {
    let rows = [
        (Say::NoName(60, 3600), rcode::NXDOMAIN, 60),
        (Say::NoName(3600, 30), rcode::NXDOMAIN, 30),
        (Say::NoRecords(60, 3600), rcode::NOERROR, 60),
        (Say::NoName(0, 60), rcode::NXDOMAIN, 0),
        (Say::NoName(1_000_000, 1_000_000), rcode::NXDOMAIN, 10_800),
        (Say::Code(rcode::NXDOMAIN), rcode::NXDOMAIN, 0),
        (Say::Code(rcode::NOERROR), rcode::NOERROR, 0),
    ];
    for (say, code, seconds) in rows {
        let mut world = World::new();
        world.server(HOME).says("a.test A", say.clone());
        assert_eq!(world.ask("a.test A").rcode, code);
        if seconds > 0 {
            world.sleep(seconds - 1);
            let seen = world.ask("a.test A");
            assert_eq!((seen.rcode, world.sent.len()), (code, 1), "{say:?}");
            world.sleep(1);
        }
        world.ask("a.test A");
        assert_eq!(world.sent.len(), 2, "{say:?}");
    }
}

#[test]
fn a_failure_is_kept_for_a_moment_and_says_so() {
    let mut world = World::new();
    let error = Say::Error(rcode::SERVFAIL, 9, "no keys");
    world.server(HOME).says("a.test A", error);
    let seen = world.ask("a.test A");
    assert_eq!(seen.codes(), (rcode::SERVFAIL, Some(9)));
    assert_eq!(seen.why(), "no keys");
    for _ in 0..2 {
        let again = world.ask("a.test A");
        assert_eq!(again.codes(), (rcode::SERVFAIL, Some(13)));
        assert_eq!(again.why(), "no keys");
    }
    assert_eq!(world.sent.len(), 1);
    // An outage that has ended is over.
    world.sleep(1);
    world
        .server(HOME)
        .answers("a.test A", &["a.test 300 A 192.0.2.1"]);
    assert_eq!(world.ask("a.test A").rcode, rcode::NOERROR);
    assert_eq!(world.sent.len(), 2);
}

#[test]
fn an_answer_of_no_lifetime_is_not_kept() {
    let mut world = World::new();
    world
        .server(HOME)
        .answers("a.test A", &["a.test 0 A 192.0.2.1"]);
    for _ in 0..2 {
        assert_eq!(world.ask("a.test A").answers, ["a.test 0 A 192.0.2.1"]);
    }
    assert_eq!(world.sent.len(), 2);
}

#[test]
fn the_cache_is_bounded_whatever_is_asked() {
    let mut world = World::new();
    let padding = (0..30).map(|at| format!("long.test 300 A 192.0.2.{at}"));
    let rows: Vec<String> = padding.collect();
    for at in 0..2000 {
        let name = format!("n{at}.test");
        let rows = rows.iter().map(|row| row.replace("long.test", &name));
        let say = Say::Answer(rows.collect());
        world.server(HOME).says(&format!("{name} A"), say);
        world.ask(&format!("{name} A"));
    }
    let status = world.status("home@home0");
    assert!(status.cache_bytes <= 1 << 20, "{}", status.cache_bytes);
    assert!(status.cache_entries > 100, "{}", status.cache_entries);
}

#[test]
fn a_scope_never_gets_the_answers_of_another() {
    let mut world = World::new();
    let row = ["a.corp.test 300 A 10.0.0.9"];
    world.server(OFFICE).answers("a.corp.test A", &row);
    world
        .server(HOME)
        .answers("a.corp.test A", &["a.corp.test 300 A 6.6.6.6"]);
    assert_eq!(world.ask("a.corp.test A").answers, row);
    world.switch("vpn0", false);
    assert_eq!(world.ask("a.corp.test A").rcode, rcode::REFUSED);
    // Another network may be behind a link that was down.
    world.switch("vpn0", true);
    assert_eq!(world.ask("a.corp.test A").answers, row);
    assert_eq!(
        world.take_sent(),
        ["10.8.0.1 a.corp.test A", "10.8.0.1 a.corp.test A"]
    );
    // Let go, the name is public, and what the claim's server said is not.
    let released = "match = { name = \"vpn*\" }\n[dns]\nupstreams = [\"10.8.0.1\"]\nclaims = [\"corp.test\"]\nwhen-down = \"release\"\n";
    let home = "match = { name = \"home*\" }\n[dns]\nupstreams = [\"192.0.2.53\"]\n";
    world.reconfigure(super::world::PLAIN, &[("home", home), ("office", released)]);
    world.switch("vpn0", false);
    let seen = world.ask("a.corp.test A");
    assert_eq!(seen.answers, ["a.corp.test 300 A 6.6.6.6"]);
}

#[test]
fn what_is_forgotten_is_asked_for_again_and_nothing_else_is() {
    let mut world = World::new();
    let name = |text: &str| text.parse().unwrap();
    let names = ["a.test", "b.a.test", "c.test", "www.test"];
    let questions = |world: &mut World| {
        for name in names {
            for record_type in ["A", "AAAA"] {
                world.ask(&format!("{name} {record_type}"));
            }
        }
        let sent = world.take_sent().into_iter();
        let mut asked: Vec<String> = sent
            .map(|line| line.split(' ').nth(1).unwrap().to_owned())
            .collect();
        asked.dedup();
        asked
    };
    for name in names {
        let home = world.server(HOME);
        home.answers(&format!("{name} A"), &[&format!("{name} 300 A 192.0.2.1")]);
        home.says(&format!("{name} AAAA"), Say::NoRecords(300, 300));
    }
    let alias = ["www.test 300 CNAME a.test", "a.test 300 A 192.0.2.1"];
    world.server(HOME).answers("www.test A", &alias);
    questions(&mut world);
    let here = || Some(ScopeId("home@home0".into()));
    let elsewhere = || Some(ScopeId("office@vpn0".into()));
    let rows: [(Flush, usize, &[&str]); 8] = [
        (Flush::Name(name("test"), None), 0, &[]),
        (
            Flush::Name(name("a.test"), None),
            3,
            &["a.test", "www.test"],
        ),
        (Flush::Name(name("b.a.test"), here()), 2, &["b.a.test"]),
        (Flush::Name(name("b.a.test"), elsewhere()), 0, &[]),
        (
            Flush::Suffix(name("a.test"), here()),
            5,
            &["a.test", "b.a.test", "www.test"],
        ),
        (Flush::Suffix(name("test"), elsewhere()), 0, &[]),
        (Flush::Scope(ScopeId("home@home0".into())), 8, &names),
        (Flush::All, 8, &names),
    ];
    for (what, dropped, asked) in rows {
        assert_eq!(world.resolver.flush(&what), dropped, "{what:?}");
        assert_eq!(questions(&mut world), asked, "{what:?}");
    }
}

#[test]
fn identical_questions_share_one_exchange_and_different_ones_do_not() {
    let mut world = World::new();
    world
        .server(HOME)
        .answers("a.test A", &["a.test 300 A 192.0.2.1"]);
    let base = asked("a.test A");
    let same = Ask {
        id: 9,
        name: "A.TEST".into(),
        ..base.clone()
    };
    let signed = Ask {
        dnssec_ok: true,
        ..base.clone()
    };
    let unchecked = Ask {
        flags: 0x0110,
        ..base.clone()
    };
    let clients: Vec<_> = [&base, &base, &same, &signed, &unchecked]
        .into_iter()
        .map(|ask| world.put_as(ask))
        .collect();
    assert_eq!(world.sent.len(), 3);
    world.run();
    for client in clients {
        let seen = world.answer(client);
        assert_eq!(seen.answers, ["a.test 300 A 192.0.2.1"]);
    }
    assert_eq!(world.sent.len(), 3);
}

#[test]
fn a_client_that_goes_away_takes_its_exchange_along_unless_it_is_shared() {
    let mut world = World::new();
    let first = world.put("a.test A");
    let second = world.put("a.test A");
    world.leave(first);
    assert!(world.cancelled.is_empty());
    world.leave(second);
    assert_eq!(world.cancelled, [world.sent[0].exchange]);
    world.run();
    assert!(world.answered.is_empty());
    assert_eq!(world.resolver.poll_timeout(), None);
}

#[test]
fn a_late_client_gets_its_own_attempt_and_its_own_time() {
    let mut world = World::new();
    world.server(HOME).loses = 1;
    world
        .server(HOME)
        .answers("a.test A", &["a.test 300 A 192.0.2.1"]);
    let first = world.put("a.test A");
    world.run_for(990);
    let second = world.put("a.test A");
    world.run();
    assert_eq!(world.answer(first).rcode, rcode::NOERROR);
    assert_eq!(world.answer(second).rcode, rcode::NOERROR);
    assert_eq!(world.sent.len(), 2);

    world.server(HOME).silent = true;
    let begun = world.now;
    let first = world.put("b.test A");
    world.run_for(4200);
    let second = world.put("b.test A");
    world.run();
    assert!(world.answer(first).at.since(begun).as_millis() <= 4500);
    let waited = world.answer(second).at.since(begun).as_millis();
    assert!((4201..=8700).contains(&waited), "{waited}");
}
