//! Where questions go: to the scope that claims them, by search suffixes, or nowhere.

use super::message::{Ask, asked};
use super::world::{OFFICE, Say, World};
use crate::Flush;
use crate::wire::rcode;

/// A world whose servers know one name each.
fn world() -> World {
    let mut world = World::new();
    let rows = [
        (super::world::HOME, "www.example.test"),
        (super::world::HOME, "printer.home.test"),
        (OFFICE, "git.corp.test"),
        (super::world::LAB, "rig.lab.test"),
    ];
    for (server, name) in rows {
        let row = format!("{name} 300 A {server}");
        world
            .server(server)
            .answers(&format!("{name} A"), &[row.as_str()]);
    }
    world
}

#[test]
fn each_name_is_asked_in_the_scope_that_claims_it() {
    let rows = [
        ("www.example.test A", "home@home0", "192.0.2.53"),
        ("WWW.Example.TEST A", "home@home0", "192.0.2.53"),
        ("git.corp.test A", "office@vpn0", "10.8.0.1"),
        ("GIT.CORP.TEST A", "office@vpn0", "10.8.0.1"),
        ("rig.lab.test A", "lab@lab0", "10.9.0.1"),
    ];
    for (question, scope, server) in rows {
        let mut world = world();
        let seen = world.ask(question);
        assert_eq!(seen.codes(), (rcode::NOERROR, None), "{question}");
        assert!(seen.answers[0].ends_with(&format!(" 300 A {server}")));
        assert_eq!(world.sent.len(), 1, "{question}");
        let sent = &world.sent[0];
        assert_eq!(
            (&*sent.scope.0, sent.server.to_string()),
            (scope, server.into())
        );
        let link = world.plan.dns.scopes[&sent.scope].link.as_ref();
        assert_eq!(sent.link, link.and_then(|link| link.id), "{question}");
    }
}

#[test]
fn names_of_a_link_that_is_away_are_refused_and_say_why() {
    let mut world = world();
    world.switch("vpn0", false);
    let seen = world.ask("git.corp.test A");
    assert_eq!(seen.codes(), (rcode::REFUSED, Some(15)));
    assert_eq!(
        seen.why(),
        "corp.test is claimed by profile office and its link vpn0 is down"
    );
    world.remove_link("vpn0");
    world.apply();
    let seen = world.ask("git.corp.test A");
    assert_eq!(seen.codes(), (rcode::REFUSED, Some(15)));
    assert!(seen.why().ends_with("is not there"), "{}", seen.why());
    assert!(world.sent.is_empty());
    assert_eq!(world.resolver.counters().refused, 2);
    assert_eq!(world.ask("www.example.test A").rcode, rcode::NOERROR);
}

#[test]
fn without_any_default_scope_public_names_are_refused_and_claimed_ones_are_not() {
    let mut world = world();
    world.switch("home0", false);
    let seen = world.ask("www.example.test A");
    assert_eq!(seen.codes(), (rcode::REFUSED, Some(22)));
    assert_eq!(
        seen.why(),
        "nobody claims www.example.test, and there is no default scope"
    );
    assert_eq!(world.ask("git.corp.test A").rcode, rcode::NOERROR);
}

#[test]
fn a_single_label_is_completed_in_the_order_of_the_links() {
    let mut world = world();
    let seen = world.ask("git A");
    assert_eq!(
        seen.answers,
        [
            "git 300 CNAME git.corp.test",
            "git.corp.test 300 A 10.8.0.1"
        ]
    );
    assert_eq!(
        world.take_sent(),
        ["192.0.2.53 git.home.test A", "10.8.0.1 git.corp.test A"]
    );
    let seen = world.ask("printer A");
    assert_eq!(seen.rcode, rcode::NOERROR);
    assert_eq!(world.take_sent(), ["192.0.2.53 printer.home.test A"]);
    let seen = world.ask("nobody A");
    assert_eq!(seen.codes(), (rcode::NXDOMAIN, Some(0)));
    assert_eq!(
        seen.why(),
        "nobody was looked for as nobody.home.test, nobody.corp.test"
    );
}

#[test]
fn a_single_label_that_has_other_records_exists() {
    let mut world = world();
    world
        .server(OFFICE)
        .says("git.corp.test AAAA", Say::NoRecords(60, 60));
    let seen = world.ask("git AAAA");
    assert_eq!((seen.rcode, seen.answers.len()), (rcode::NOERROR, 0));
}

#[test]
fn a_single_label_is_never_asked_bare_and_not_searched_at_the_bypass() {
    let mut world = world();
    world.reconfigure(
        super::world::PLAIN,
        &[(
            "home",
            "match = { name = \"home*\" }\n[dns]\nupstreams = [\"192.0.2.53\"]\n",
        )],
    );
    let seen = world.ask("git A");
    assert_eq!(seen.codes(), (rcode::NXDOMAIN, Some(0)));
    assert!(world.sent.is_empty());
    world.ask("test NS");
    assert_eq!(world.take_sent(), ["192.0.2.53 test NS"]);
}

#[test]
fn a_failing_suffix_does_not_become_a_denial() {
    let mut world = world();
    let failing = Say::Code(rcode::SERVFAIL);
    world.server(OFFICE).says("git.corp.test A", failing);
    for time in ["fresh", "kept"] {
        let seen = world.ask("git A");
        assert_eq!(seen.rcode, rcode::SERVFAIL, "{time}: {seen:?}");
    }
    assert_eq!(
        world.take_sent(),
        ["192.0.2.53 git.home.test A", "10.8.0.1 git.corp.test A"]
    );
}

#[test]
fn a_search_suffix_appended_to_a_claimed_name_is_not_asked_for() {
    let rows = [
        ("git.corp.test.home.test A", true),
        ("GIT.corp.TEST.home.TEST A", true),
        ("git.corp.test.corp.test A", false),
        ("www.example.test.home.test A", false),
    ];
    for up in [true, false] {
        for (question, guarded) in rows {
            let mut world = world();
            world.switch("vpn0", up);
            let seen = world.ask(question);
            if guarded {
                assert_eq!(seen.codes(), (rcode::NXDOMAIN, Some(15)), "{question}");
                assert!(world.sent.is_empty(), "{question}");
                assert_eq!(world.resolver.counters().leaks_prevented, 1);
            }
            let inner = |sent: &super::world::Sent| {
                sent.server.to_string() != OFFICE && sent.asked.name.contains("corp.test")
            };
            assert!(!world.sent.iter().any(inner), "{question}");
        }
    }
}

#[test]
fn a_vpn_with_the_default_takes_all_but_other_claims() {
    let office =
        "match = { name = \"vpn*\" }\n[dns]\nupstreams = [\"10.8.0.1\"]\ndefault = \"exclusive\"\n";
    let mut world = World::with(super::world::PLAIN, &[("office", office)]);
    world.ask("www.example.test A");
    world.ask("rig.lab.test A");
    assert_eq!(
        world.take_sent(),
        ["10.8.0.1 www.example.test A", "10.9.0.1 rig.lab.test A"]
    );
    world.switch("vpn0", false);
    let seen = world.ask("www.other.test A");
    assert_eq!(seen.codes(), (rcode::REFUSED, Some(15)));
    assert!(world.sent.is_empty());
    world.remove_link("vpn0");
    world.apply();
    world.ask("www.other.test A");
    assert_eq!(world.take_sent(), ["192.0.2.53 www.other.test A"]);
}

#[test]
fn an_excluded_name_goes_where_it_would_go_without_the_claim() {
    let office = "match = { name = \"vpn*\" }\n[dns]\nupstreams = [\"10.8.0.1\"]\nclaims = [\"corp.test\"]\nexclude = [\"www.corp.test\"]\n";
    let mut world = World::with(super::world::PLAIN, &[("office", office)]);
    world.ask("www.corp.test A");
    world.ask("git.corp.test A");
    assert_eq!(
        world.take_sent(),
        ["192.0.2.53 www.corp.test A", "10.8.0.1 git.corp.test A"]
    );
}

#[test]
fn a_flush_forgets_what_it_names_and_nothing_else() {
    let rows = [
        (
            Flush::All,
            3,
            vec!["www.example.test", "git.corp.test", "rig.lab.test"],
        ),
        (
            Flush::Suffix("corp.test".parse().unwrap(), None),
            1,
            vec!["git.corp.test"],
        ),
        (
            Flush::Suffix("test".parse().unwrap(), None),
            3,
            vec!["www.example.test", "git.corp.test", "rig.lab.test"],
        ),
        (
            Flush::Scope(policy::ScopeId("lab@lab0".into())),
            1,
            vec!["rig.lab.test"],
        ),
        (Flush::Scope(policy::ScopeId("none".into())), 0, vec![]),
    ];
    let names = ["www.example.test", "git.corp.test", "rig.lab.test"];
    for (flush, dropped, expected) in rows {
        let mut world = world();
        for name in names {
            world.ask(&format!("{name} A"));
        }
        world.sent.clear();
        assert_eq!(world.resolver.flush(&flush), dropped, "{flush:?}");
        for name in names {
            world.ask(&format!("{name} A"));
        }
        let again: Vec<String> = world
            .sent
            .iter()
            .map(|sent| sent.asked.name.clone())
            .collect();
        assert_eq!(again, expected, "{flush:?}");
    }
}

/// Whoever asked would take it for what their owners say.
#[test]
fn a_reply_that_nobody_judges_tells_nothing_of_names_that_nobody_asked_for() {
    let rows = |rows: &[&str]| rows.iter().map(|row| (*row).to_owned()).collect::<Vec<_>>();
    let beside = || {
        rows(&[
            "corp.test 300 SOA 60",
            "lab.test 300 SOA 60",
            "a.corp.test 300 NSEC z.corp.test",
            "a.lab.test 300 NSEC z.lab.test",
            "corp.test 300 NS ns.lab.test",
            "lab.test 300 NS ns.corp.test",
            ". 300 NS ns.corp.test",
            "rig.lab.test 300 A 10.8.0.66",
        ])
    };
    let strange = || {
        rows(&[
            "rig.lab.test 300 A 10.8.0.66",
            "ns.corp.test 300 A 10.8.0.66",
        ])
    };
    let answer = || rows(&["corp.test 300 NS rig.lab.test"]);
    for (mode, flags) in [("off", 0x0100), ("enforce", 0x0110)] {
        let mut world = World::with(&format!("[resolver]\ndnssec = \"{mode}\"\n"), &[]);
        let office = world.server(OFFICE);
        office.says(
            "corp.test NS",
            Say::Sections(0, [answer(), beside(), strange()]),
        );
        office.says(
            "no.corp.test A",
            Say::Sections(3, [vec![], beside(), strange()]),
        );
        for (question, code, count) in [
            ("corp.test NS", rcode::NOERROR, 1),
            ("no.corp.test A", rcode::NXDOMAIN, 0),
        ] {
            let ask = Ask {
                flags,
                dnssec_ok: true,
                ..asked(question)
            };
            // The second time from the cache.
            for _ in 0..2 {
                let seen = world.ask_as(&ask);
                assert_eq!((seen.rcode, seen.answers.len()), (code, count), "{mode}");
                let kinds = |row: &String| {
                    let words: Vec<&str> = row.split(' ').collect();
                    format!("{} {}", words[0], words[2])
                };
                let told: Vec<String> = seen.authority.iter().map(kinds).collect();
                let proofs = ["corp.test SOA", "a.corp.test NSEC"];
                assert_eq!(told, proofs, "{mode}: {question}");
                assert_eq!(seen.additional, [""; 0], "{mode}: {question}");
            }
        }
    }
}
