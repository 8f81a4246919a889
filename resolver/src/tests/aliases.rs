//! Aliases, from a question to its answer: within a scope, to another, to one that is down, in circles, under a DNAME.

use config::model::RecursionMode;

use super::world::{HOME, LAB, OFFICE, PLAIN, Say, World};
use crate::Flush;
use crate::wire::rcode;

/// The public root, for walks.
const ROOT: &str = "198.51.100.1";

#[test]
fn a_chain_within_a_scope_is_believed_and_asked_once() {
    let mut world = World::new();
    let rows = [
        "git.corp.test 300 CNAME forge.corp.test",
        "forge.corp.test 60 A 10.0.0.9",
    ];
    world.server(OFFICE).answers("git.corp.test A", &rows);
    assert_eq!(world.ask("git.corp.test A").answers, rows);
    assert_eq!(world.take_sent(), ["10.8.0.1 git.corp.test A"]);
}

#[test]
fn an_incomplete_chain_is_asked_on_in_its_scope() {
    let mut world = World::new();
    world
        .server(OFFICE)
        .answers(
            "git.corp.test A",
            &["git.corp.test 300 CNAME forge.corp.test"],
        )
        .answers("forge.corp.test A", &["forge.corp.test 60 A 10.0.0.9"]);
    let seen = world.ask("git.corp.test A");
    assert_eq!(
        seen.answers,
        [
            "git.corp.test 300 CNAME forge.corp.test",
            "forge.corp.test 60 A 10.0.0.9"
        ]
    );
    assert_eq!(
        world.take_sent(),
        ["10.8.0.1 git.corp.test A", "10.8.0.1 forge.corp.test A"]
    );
}

#[test]
fn a_target_that_another_scope_claims_is_asked_there_and_never_believed_here() {
    let mut world = World::new();
    world.server(HOME).answers(
        "www.example.test A",
        &[
            "www.example.test 300 CNAME git.corp.test",
            "git.corp.test 300 A 6.6.6.6",
        ],
    );
    world
        .server(OFFICE)
        .answers("git.corp.test A", &["git.corp.test 60 A 10.0.0.9"]);
    for time in ["fresh", "kept"] {
        let seen = world.ask("www.example.test A");
        assert_eq!(
            seen.answers,
            [
                "www.example.test 300 CNAME git.corp.test",
                "git.corp.test 60 A 10.0.0.9"
            ],
            "{time}"
        );
    }
    assert_eq!(
        world.take_sent(),
        ["192.0.2.53 www.example.test A", "10.8.0.1 git.corp.test A"]
    );
}

#[test]
fn each_claim_is_asked_for_its_own_part_of_a_chain() {
    let mut world = World::new();
    world.server(HOME).answers(
        "www.example.test A",
        &["www.example.test 300 CNAME a.corp.test"],
    );
    world.server(OFFICE).answers(
        "a.corp.test A",
        &["a.corp.test 300 CNAME b.lab.test", "b.lab.test 9 A 6.6.6.6"],
    );
    world
        .server(LAB)
        .answers("b.lab.test A", &["b.lab.test 300 A 10.9.9.9"]);
    let seen = world.ask("www.example.test A");
    assert_eq!(seen.answers.last().unwrap(), "b.lab.test 300 A 10.9.9.9");
    assert_eq!(seen.answers.len(), 3);
    assert_eq!(
        world.take_sent(),
        [
            "192.0.2.53 www.example.test A",
            "10.8.0.1 a.corp.test A",
            "10.9.0.1 b.lab.test A"
        ]
    );
}

#[test]
fn a_target_whose_scope_is_down_is_refused_now_and_from_the_cache() {
    let mut world = World::new();
    world.switch("vpn0", false);
    world.server(HOME).answers(
        "www.example.test A",
        &[
            "www.example.test 300 CNAME git.corp.test",
            "git.corp.test 300 A 6.6.6.6",
        ],
    );
    for time in ["fresh", "kept"] {
        let seen = world.ask("www.example.test A");
        assert_eq!(seen.codes(), (rcode::REFUSED, Some(15)), "{time}");
        assert!(seen.answers.is_empty(), "{time}");
    }
    assert_eq!(world.take_sent(), ["192.0.2.53 www.example.test A"]);
}

#[test]
fn what_was_believed_of_a_kept_alias_is_judged_anew_under_each_plan() {
    let mut world = World::new();
    let rows = [
        "www.example.test 300 CNAME git.new.test",
        "git.new.test 300 A 192.0.2.99",
    ];
    world.server(HOME).answers("www.example.test A", &rows);
    assert_eq!(world.ask("www.example.test A").answers, rows);
    assert_eq!(world.ask("www.example.test A").answers, rows);
    // Now somebody claims the target.
    let home = "match = { name = \"home*\" }\n[dns]\nupstreams = [\"192.0.2.53\"]\n";
    let lab =
        "match = { name = \"lab*\" }\n[dns]\nupstreams = [\"10.9.0.1\"]\nclaims = [\"new.test\"]\n";
    world.reconfigure(PLAIN, &[("home", home), ("lab", lab)]);
    world
        .server(LAB)
        .answers("git.new.test A", &["git.new.test 60 A 10.9.9.9"]);
    let seen = world.ask("www.example.test A");
    assert_eq!(seen.answers.last().unwrap(), "git.new.test 60 A 10.9.9.9");
    assert_eq!(
        world.take_sent(),
        ["192.0.2.53 www.example.test A", "10.9.0.1 git.new.test A"]
    );
}

#[test]
fn a_claims_server_may_speak_of_public_targets_and_what_it_leaves_out_is_asked_in_public() {
    let mut world = World::new();
    let whole = [
        "a.corp.test 300 CNAME www.example.test",
        "www.example.test 300 A 10.0.0.80",
    ];
    world
        .server(OFFICE)
        .answers("a.corp.test A", &whole)
        .answers("b.corp.test A", &["b.corp.test 300 CNAME www.example.test"]);
    world
        .server(HOME)
        .answers("www.example.test A", &["www.example.test 300 A 192.0.2.80"]);
    assert_eq!(world.ask("a.corp.test A").answers, whole);
    let seen = world.ask("b.corp.test A");
    assert_eq!(seen.answers[1], "www.example.test 300 A 192.0.2.80");
    // What the claim's server said of it is not what the public gets.
    let seen = world.ask("www.example.test A");
    assert_eq!(seen.answers, ["www.example.test 300 A 192.0.2.80"]);
}

#[test]
fn aliases_end_after_eleven_or_in_a_circle() {
    for (length, expected) in [(11, rcode::NOERROR), (12, rcode::SERVFAIL)] {
        let mut world = World::new();
        for at in 0..length {
            let row = format!("n{at}.test 300 CNAME n{}.test", at + 1);
            world
                .server(HOME)
                .answers(&format!("n{at}.test A"), &[row.as_str()]);
        }
        let last = format!("n{length}.test");
        let row = format!("{last} 300 A 192.0.2.1");
        world
            .server(HOME)
            .answers(&format!("{last} A"), &[row.as_str()]);
        assert_eq!(world.ask("n0.test A").rcode, expected, "{length}");
    }
    let mut world = World::new();
    world
        .server(HOME)
        .answers("a.test A", &["a.test 300 CNAME b.corp.test"]);
    world
        .server(OFFICE)
        .answers("b.corp.test A", &["b.corp.test 300 CNAME a.test"]);
    for time in ["fresh", "kept"] {
        let seen = world.ask("a.test A");
        assert_eq!(seen.codes(), (rcode::SERVFAIL, Some(0)), "{time}");
    }
    assert_eq!(world.sent.len(), 2);
}

#[test]
fn the_end_of_a_chain_decides_code_and_denial() {
    let mut world = World::new();
    world
        .server(HOME)
        .answers("a.test A", &["a.test 300 CNAME none.corp.test"])
        .answers("b.test A", &["b.test 300 CNAME empty.corp.test"]);
    world
        .server(OFFICE)
        .says("none.corp.test A", Say::NoName(60, 60))
        .says("empty.corp.test A", Say::NoRecords(60, 60));
    for (question, code) in [("a.test A", rcode::NXDOMAIN), ("b.test A", rcode::NOERROR)] {
        let seen = world.ask(question);
        assert_eq!((seen.rcode, seen.answers.len()), (code, 1), "{question}");
        assert_eq!(seen.authority, ["test 60 SOA 60"], "{question}");
    }
}

#[test]
fn a_dname_makes_its_alias_here_and_too_long_a_name_is_told() {
    let mut world = World::new();
    world.server(HOME).answers(
        "a.old.test A",
        &[
            "old.test 300 DNAME corp.test",
            "a.old.test 300 CNAME evil.test",
            "evil.test 300 A 6.6.6.6",
        ],
    );
    world
        .server(OFFICE)
        .answers("a.corp.test A", &["a.corp.test 300 A 10.0.0.9"]);
    let seen = world.ask("a.old.test A");
    assert_eq!(
        seen.answers,
        [
            "old.test 300 DNAME corp.test",
            "a.old.test 300 CNAME a.corp.test",
            "a.corp.test 300 A 10.0.0.9"
        ]
    );
    assert_eq!(
        world.take_sent(),
        ["192.0.2.53 a.old.test A", "10.8.0.1 a.corp.test A"]
    );

    let label = "x".repeat(60);
    let long = format!("{label}.{label}.{label}.old.test");
    let row = format!("old.test 300 DNAME {label}.{label}.test");
    let question = format!("{long} A");
    let yxdomain = Say::Sections(6, [vec![row], vec![], vec![]]);
    world.server(HOME).says(&question, yxdomain);
    let seen = world.ask(&question);
    assert_eq!((seen.rcode, seen.answers.len()), (6, 1));
}

#[test]
fn an_alias_into_a_special_name_ends_here() {
    let mut world = World::new();
    world
        .server(HOME)
        .answers("a.test A", &["a.test 300 CNAME x.localhost"])
        .answers("b.test A", &["b.test 300 CNAME hidden.onion"])
        .answers("c.test A", &["c.test 300 CNAME printer"]);
    assert_eq!(world.ask("a.test A").answers.len(), 2);
    assert_eq!(world.ask("b.test A").rcode, rcode::NXDOMAIN);
    assert_eq!(world.ask("c.test A").rcode, rcode::NXDOMAIN);
    assert_eq!(world.sent.len(), 3);
}

/// A root server that serves everything below it.
fn with_root(rows: &[(&str, Say)]) -> World {
    let mut world = World::new();
    let root = ROOT.parse().unwrap();
    world.config.resolver.recursion = RecursionMode::Always;
    world.resolver.apply_root_servers(&[root]);
    world.apply();
    world
        .server(ROOT)
        .otherwise(Say::NoRecords(60, 60))
        .answers(". NS", &[". 300 NS root-server.invalid"]);
    for (question, say) in rows {
        world.server(ROOT).says(question, say.clone());
    }
    world
        .server(OFFICE)
        .answers("git.corp.test A", &["git.corp.test 60 A 10.0.0.9"]);
    world
}

fn saw_claimed(world: &World) -> Vec<String> {
    let told = world
        .sent
        .iter()
        .filter(|sent| sent.server.to_string() != OFFICE && sent.asked.name.ends_with("corp.test"));
    told.map(ToString::to_string).collect()
}

#[test]
fn a_walk_from_the_root_does_not_follow_an_alias_into_a_claim() {
    let alias = Say::Answer(vec!["www.example.test 300 CNAME git.corp.test".into()]);
    for up in [true, false] {
        let mut world = with_root(&[("www.example.test A", alias.clone())]);
        world.switch("vpn0", up);
        let seen = world.ask("www.example.test A");
        assert_eq!(saw_claimed(&world), [""; 0]);
        assert!(
            world
                .sent
                .iter()
                .any(|sent| sent.server.to_string() == ROOT)
        );
        match up {
            true => assert_eq!(seen.answers[1], "git.corp.test 60 A 10.0.0.9"),
            false => assert_eq!(seen.codes(), (rcode::REFUSED, Some(15))),
        }
    }
}

/// Who walked before `flush` has its answer; the way that it learned is nobody's afterwards.
#[test]
fn a_delegation_that_was_asked_for_before_a_flush_is_not_kept() {
    let ns = |address: &str| {
        Say::Sections(
            0,
            [
                vec![],
                vec!["example.test 300 NS ns1.example.test".into()],
                vec![format!("ns1.example.test 300 A {address}")],
            ],
        )
    };
    let (before, after) = ("192.0.2.11", "192.0.2.12");
    let name = || "example.test".parse().unwrap();
    for what in [
        Flush::All,
        Flush::Name(name(), None),
        Flush::Suffix("test".parse().unwrap(), None),
    ] {
        let names = ["example.test A", "www.example.test A"];
        let mut world = with_root(&names.map(|name| (name, ns(before))));
        for (server, address) in [(before, "192.0.2.81"), (after, "192.0.2.82")] {
            world
                .server(server)
                .otherwise(Say::Anything(address))
                .says("example.test DS", Say::NoRecords(60, 60));
        }
        let asked = world.put("www.example.test A");
        // The root is asked for the zone, and has not replied.
        while !world
            .sent
            .iter()
            .any(|sent| sent.asked.name.ends_with("example.test"))
        {
            world.step_on();
        }
        world.resolver.flush(&what);
        for name in names {
            world.server(ROOT).says(name, ns(after));
        }
        world.run();
        assert_eq!(
            world.answer(asked).answers,
            ["www.example.test 60 A 192.0.2.81"],
            "{what:?}"
        );
        let later = world.ask("www.example.test A").answers;
        assert_eq!(later, ["www.example.test 60 A 192.0.2.82"], "{what:?}");
    }
}

#[test]
fn a_walk_from_the_root_does_not_look_for_servers_inside_a_claim() {
    let referral = Say::Sections(
        0,
        [
            vec![],
            vec!["example.test 300 NS ns1.corp.test".into()],
            vec![],
        ],
    );
    let mut world = with_root(&[
        ("example.test A", referral.clone()),
        ("www.example.test A", referral),
    ]);
    world
        .server(HOME)
        .answers("www.example.test A", &["www.example.test 300 A 192.0.2.80"]);
    let seen = world.ask("www.example.test A");
    assert_eq!(saw_claimed(&world), [""; 0]);
    assert_eq!(seen.answers, ["www.example.test 300 A 192.0.2.80"]);
}
