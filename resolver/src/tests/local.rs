//! Records, lists, rebinding protection and DNS64, in the simulated world: what clients get, and who was asked for it.

use std::sync::Arc;

use config::model::{BlockError, ListConfig, ListFormat};

use super::message::{Ask, Seen, asked};
use super::world::{HOME, OFFICE, PLAIN, Say, World};
use crate::event::Stub;
use crate::local::Listed;
use crate::local::list::ListReader;

/// A world with this linnet.toml, its records and its rebinding protection in force.
fn world(main: &str) -> World {
    let mut world = World::with(&format!("{PLAIN}{main}"), &[]);
    world.resolver.apply_records(&world.config);
    let resolver = &world.config.resolver;
    let exceptions = resolver
        .rebinding_protection
        .then(|| resolver.rebinding_exceptions.clone());
    world.resolver.apply_rebinding_protection(exceptions);
    world
}

fn listed(name: &str, text: &str) -> Listed {
    let config = ListConfig {
        name: name.into(),
        path: name.into(),
        format: if text.contains(" CNAME ") {
            ListFormat::Rpz
        } else if text.starts_with(|first: char| first.is_ascii_digit()) {
            ListFormat::Hosts
        } else {
            ListFormat::Domains
        },
        action: None,
        subdomains: None,
        error: BlockError::Blocked,
        exceptions: Vec::new(),
        scopes: Vec::new(),
    };
    let mut reader = ListReader::new(&config);
    for line in text.lines() {
        reader.line(line.as_bytes());
    }
    Listed {
        config,
        list: Arc::new(reader.finish()),
    }
}

fn aa(seen: &Seen) -> bool {
    seen.flags & 0x0400 != 0
}

const RECORDS: &str = "[[records]]\nname = \"nas.test\"\ntype = \"A\"\ndata = \"192.0.2.7\"\n\
     [[records]]\nname = \"to-office.test\"\ntype = \"CNAME\"\ndata = \"git.corp.test\"\n\
     [[records]]\nname = \"own.corp.test\"\ntype = \"A\"\ndata = \"192.0.2.8\"\n\
     [[records]]\nname = \"*.loop.test\"\ntype = \"CNAME\"\ndata = \"x.loop.test\"\n";

#[test]
fn records_are_answered_here_with_authority_and_other_types_are_not_there() {
    let mut world = world(RECORDS);
    let seen = world.ask("NAS.test A");
    assert_eq!(seen.answers, ["nas.test 60 A 192.0.2.7"]);
    assert!(
        aa(&seen) && seen.flags & 0x20 == 0,
        "authoritative, and never authentic"
    );
    let none = world.ask("nas.test AAAA");
    assert_eq!(
        (none.rcode, none.answers.len(), none.authority.len()),
        (0, 0, 1)
    );
    assert_eq!(world.take_sent(), [""; 0]);
    let bypass = Ask {
        stub: Stub::Bypass,
        ..asked("nas.test A")
    };
    world.ask_as(&bypass);
    assert_eq!(world.take_sent(), [format!("{HOME} nas.test A")]);
}

/// Promise 1: where an alias of ours leads is asked where it routes, and nowhere else.
#[test]
fn an_alias_of_ours_leads_to_the_scope_of_its_target() {
    let mut world = world(RECORDS);
    world
        .server(OFFICE)
        .answers("git.corp.test A", &["git.corp.test 60 A 10.8.0.80"]);
    let seen = world.ask("to-office.test A");
    assert_eq!(
        seen.answers,
        [
            "to-office.test 60 CNAME git.corp.test",
            "git.corp.test 60 A 10.8.0.80"
        ]
    );
    assert!(!aa(&seen));
    assert_eq!(world.take_sent(), [format!("{OFFICE} git.corp.test A")]);
    world.switch("vpn0", false);
    let refused = world.ask("to-office.test A");
    assert_eq!(
        refused.codes(),
        (5, Some(15)),
        "the claim holds while the link is down"
    );
    assert_eq!(world.take_sent(), [""; 0]);
}

#[test]
fn the_administrators_record_wins_over_a_claim_and_circles_end() {
    let mut world = world(RECORDS);
    assert_eq!(
        world.ask("own.corp.test A").answers,
        ["own.corp.test 60 A 192.0.2.8"]
    );
    assert_eq!(world.ask("a.loop.test A").rcode, 2);
    assert_eq!(world.take_sent(), [""; 0]);
    let why = world
        .resolver
        .why_recorded(&"own.corp.test".parse().unwrap())
        .unwrap();
    assert!(why.text.contains("own.corp.test"), "{why:?}");
}

const PASSED_ON: &str = "[[records]]\nname = \"mail.test\"\ntype = \"MX\"\ndata = \"10 relay.test\"\npass-on = true\n\
     [[records]]\nname = \"*.lab.test\"\ntype = \"TXT\"\ndata = \"ours\"\npass-on = true\n\
     [[records]]\nname = \"nas.above.test\"\ntype = \"A\"\ndata = \"192.0.2.7\"\n";

/// RFC 8020: a name that does not exist has no MX either, and nothing below it.
#[test]
fn name_with_records_here_is_not_told_to_be_missing_elsewhere() {
    let mut world = world(PASSED_ON);
    let home = world.server(HOME);
    home.answers("www.test A", &["www.test 60 CNAME mail.test"]);
    home.answers("www.test TXT", &["www.test 60 TXT \"theirs\""]);
    for turn in 0..2 {
        for name in ["mail.test A", "a.lab.test A", "lab.test A"] {
            let seen = world.ask(name);
            let counts = (seen.rcode, seen.answers.len(), seen.authority.len());
            assert_eq!(counts, (0, 0, 1), "{name}");
            assert_eq!(world.take_sent().len(), 1 - turn, "{name}");
        }
        assert_eq!(world.ask("other.test A").rcode, 3);
        let alias = world.ask("www.test A");
        assert_eq!(alias.rcode, 0);
        assert_eq!(alias.answers, ["www.test 60 CNAME mail.test"]);
        world.take_sent();
    }
    let both = Ask {
        dnssec_ok: true,
        ..asked("mail.test AAAA")
    };
    assert_eq!(world.ask_as(&both).rcode, 0);
    let bypass = Ask {
        stub: Stub::Bypass,
        ..asked("mail.test A")
    };
    assert_eq!(world.ask_as(&bypass).rcode, 3);
    let checking = Ask {
        flags: 0x0110,
        ..both
    };
    assert_eq!(world.ask_as(&checking).rcode, 3, "there is a proof of it");
    // That something is below a name is no guest's business, where nobody told him of it.
    let guest = |text: &str| Ask {
        stub: Stub::Guest,
        ..asked(text)
    };
    assert_eq!(world.ask_as(&guest("mail.test A")).rcode, 0);
    assert_eq!(world.ask("above.test A").rcode, 0);
    assert_eq!(world.ask_as(&guest("above.test A")).rcode, 3);
    // Where an alias ends, what is there is said.
    let denied = |to: &str| {
        let alias = vec![format!("{to}.alias.test 60 CNAME {to}")];
        Say::Sections(3, [alias, Vec::new(), Vec::new()])
    };
    let home = world.server(HOME);
    for to in ["nas.above.test", "mail.test"] {
        home.says(&format!("{to}.alias.test A"), denied(to));
    }
    let seen = world.ask("nas.above.test.alias.test A");
    assert_eq!((seen.rcode, seen.answers.len()), (0, 2), "{seen:?}");
    let seen = world.ask("mail.test.alias.test A");
    assert_eq!((seen.rcode, seen.answers.len()), (0, 1), "{seen:?}");
    // What a list has comes first.
    let list = listed("list", "mail.test.alias.test\n");
    world.resolver.apply_lists(vec![list]);
    world.server(HOME).answers(
        "to.alias.test A",
        &["to.alias.test 60 CNAME mail.test.alias.test"],
    );
    let seen = world.ask("to.alias.test A");
    assert!(seen.error.is_some_and(|(code, _)| code == 15));
    // What is kept is what they said.
    world.resolver.apply_records(&config::Config::default());
    assert_eq!(world.ask("mail.test A").rcode, 3);
}

#[test]
fn new_records_hide_what_was_cached_and_give_it_back() {
    let mut world = world("");
    world
        .server(HOME)
        .answers("www.test A", &["www.test 60 A 192.0.2.1"]);
    assert_eq!(world.ask("www.test A").answers, ["www.test 60 A 192.0.2.1"]);
    assert_eq!(world.ask("www.test A").answers, ["www.test 60 A 192.0.2.1"]);
    let with = World::with(
        &format!("{PLAIN}[[records]]\nname = \"www.test\"\ntype = \"A\"\ndata = \"192.0.2.9\"\n"),
        &[],
    );
    world.resolver.apply_records(&with.config);
    assert_eq!(world.ask("www.test A").answers, ["www.test 60 A 192.0.2.9"]);
    world.resolver.apply_records(&config::Config::default());
    assert_eq!(world.ask("www.test A").answers, ["www.test 60 A 192.0.2.1"]);
    assert_eq!(world.take_sent().len(), 1, "the cache kept it");
}

#[test]
fn a_name_that_was_being_asked_for_when_a_list_came_is_blocked_from_then_on() {
    let mut world = world("");
    world
        .server(HOME)
        .answers("x.ads.test A", &["x.ads.test 60 A 192.0.2.1"]);
    let client = world.put("x.ads.test A");
    world
        .resolver
        .apply_lists(vec![listed("ads", "ads.test\n")]);
    world.run();
    assert_eq!(world.answer(client).rcode, 0, "it was asked before");
    for _ in 0..2 {
        assert_eq!(world.ask("x.ads.test A").codes(), (3, Some(15)));
    }
}

#[test]
fn a_listed_name_is_blocked_with_the_reason_and_its_cached_answer_is_not_served() {
    let mut world = world("");
    world
        .server(HOME)
        .answers("x.ads.test A", &["x.ads.test 60 A 192.0.2.1"]);
    for _ in 0..2 {
        assert_eq!(world.ask("x.ads.test A").rcode, 0);
    }
    world
        .resolver
        .apply_lists(vec![listed("ads", "ads.test\n")]);
    world.take_sent();
    let seen = world.ask("x.ads.test A");
    assert_eq!(seen.codes(), (3, Some(15)));
    assert_eq!(
        (seen.why(), seen.authority.len()),
        ("list ads has *.ads.test", 1)
    );
    assert_eq!(world.take_sent(), [""; 0]);
    assert_eq!(world.resolver.list_hits("ads"), 1);
    let why = world
        .resolver
        .why_listed(&"ads.test".parse().unwrap())
        .unwrap();
    assert_eq!(
        why.text,
        "list ads says that it does not exist, by its rule ads.test"
    );
    world.resolver.apply_lists(Vec::new());
    assert_eq!(world.ask("x.ads.test A").rcode, 0);
    assert_eq!(world.take_sent(), [""; 0], "it was only hidden");
}

#[test]
fn a_tracker_under_another_name_is_still_a_tracker() {
    let mut world = world("");
    let rows = [
        "www.site.test 60 CNAME cdn.test",
        "cdn.test 60 CNAME t.ads.test",
        "t.ads.test 60 A 192.0.2.1",
    ];
    world.server(HOME).answers("www.site.test A", &rows);
    for _ in 0..2 {
        assert_eq!(world.ask("www.site.test A").answers.len(), 3);
    }
    world
        .resolver
        .apply_lists(vec![listed("ads", "ads.test\n")]);
    for _ in 0..2 {
        let seen = world.ask("www.site.test A");
        assert_eq!(seen.codes(), (3, Some(15)), "{seen:#?}");
        assert_eq!(seen.answers, rows[..2]);
    }
    world.resolver.apply_lists(vec![
        listed("pass", "t.ads.test CNAME rpz-passthru.\n"),
        listed("ads", "ads.test\n"),
    ]);
    assert_eq!(
        world.ask("www.site.test A").answers.len(),
        3,
        "the first list that knows it decides"
    );
}

#[test]
fn a_policy_rewrites_once_and_its_alias_is_routed() {
    let policy = "own.test CNAME git.corp.test.\n*.own.test CNAME *.walled.test.\nmail.test A 192.0.2.5\nother.test CNAME rpz-drop.\n\
         git.corp.test CNAME .\n";
    let mut world = world("");
    world.resolver.apply_lists(vec![listed("policy", policy)]);
    world
        .server(OFFICE)
        .answers("git.corp.test A", &["git.corp.test 60 A 10.8.0.80"]);
    let seen = world.ask("own.test A");
    assert_eq!(
        seen.answers,
        [
            "own.test 60 CNAME git.corp.test",
            "git.corp.test 60 A 10.8.0.80"
        ]
    );
    assert_eq!(world.take_sent(), [format!("{OFFICE} git.corp.test A")]);
    world.server(HOME).answers(
        "a.own.test.walled.test A",
        &["a.own.test.walled.test 60 A 192.0.2.4"],
    );
    assert_eq!(world.ask("a.own.test A").answers.len(), 2);
    assert_eq!(
        world.ask("mail.test A").answers,
        ["mail.test 60 A 192.0.2.5"]
    );
    assert_eq!(
        world.ask("other.test A").codes(),
        (5, Some(15)),
        "an answer, not silence"
    );
}

/// RFC 8914 §4.5: whoever shows why must not say that a name is blocked which leads somewhere.
#[test]
fn what_a_policy_puts_in_place_of_an_answer_is_told_as_forged_and_nothing_else_is() {
    let policy = "own.test CNAME git.corp.test.\n*.own.test CNAME *.walled.test.\nmail.test A 192.0.2.5\n\
         text.test TXT here\nnull.test A 0.0.0.0\nnull.test AAAA ::1\ngone.test CNAME .\nempty.test CNAME *.\n\
         other.test CNAME rpz-drop.\ndead.test CNAME nowhere.test.\n";
    let mut world = world("");
    let mut list = listed("policy", policy);
    list.config.error = BlockError::Filtered;
    world.resolver.apply_lists(vec![list]);
    world
        .server(OFFICE)
        .answers("git.corp.test A", &["git.corp.test 60 A 10.8.0.80"]);
    let walled = "a.own.test.walled.test";
    world.server(HOME).answers(
        &format!("{walled} A"),
        &[&format!("{walled} 60 A 192.0.2.4")],
    );
    for (question, codes) in [
        ("own.test A", (0, Some(4))),
        ("own.test CNAME", (0, Some(4))),
        ("a.own.test A", (0, Some(4))),
        ("mail.test A", (0, Some(4))),
        ("mail.test ANY", (0, Some(4))),
        ("text.test TXT", (0, Some(4))),
        ("dead.test A", (3, Some(17))),
        ("dead.test CNAME", (0, Some(4))),
        ("mail.test MX", (0, Some(17))),
        ("null.test A", (0, Some(17))),
        ("null.test AAAA", (0, Some(17))),
        ("gone.test A", (3, Some(17))),
        ("empty.test A", (0, Some(17))),
        ("other.test A", (5, Some(17))),
        ("git.corp.test A", (0, None)),
    ] {
        let seen = world.ask(question);
        assert_eq!(seen.codes(), codes, "{question}: {seen:#?}");
    }
    let hosts = "203.0.113.7 www.test\n127.0.0.1 ads.test\n";
    world.resolver.apply_lists(vec![listed("hosts", hosts)]);
    assert_eq!(world.ask("www.test A").codes(), (0, Some(4)));
    assert_eq!(world.ask("www.test AAAA").codes(), (0, Some(15)));
    assert_eq!(world.ask("ads.test A").codes(), (3, Some(15)));
}

#[test]
fn a_list_holds_where_it_is_meant_to_and_leaves_its_exceptions_alone() {
    let mut world = world("");
    let mut list = listed("ads", "test\n");
    list.config.exceptions = vec!["good.test".parse().unwrap()];
    list.config.scopes = vec!["default".into()];
    list.config.error = BlockError::Filtered;
    world.resolver.apply_lists(vec![list.clone()]);
    assert_eq!(world.ask("x.bad.test A").codes(), (3, Some(17)));
    assert_eq!(world.ask("x.good.test A").codes(), (3, None));
    assert_eq!(
        world.ask("git.corp.test A").codes(),
        (3, None),
        "a claimed name"
    );
    list.config.scopes = vec!["office".into()];
    world.resolver.apply_lists(vec![list]);
    assert_eq!(world.ask("x.bad.test A").codes(), (3, None));
    assert_eq!(world.ask("git.corp.test A").codes(), (3, Some(17)));
    let bypass = Ask {
        stub: Stub::Bypass,
        ..asked("git.corp.test A")
    };
    assert_eq!(world.ask_as(&bypass).codes(), (3, None));
}

const PROTECTED: &str = "rebinding-protection = true\nrebinding-exceptions = [\"plex.test\"]\n";

#[test]
fn a_strangers_name_has_no_private_address() {
    let mut world = world(PROTECTED);
    for (question, rows, dropped) in [
        ("a.test A", vec!["a.test 60 A 10.0.0.1"], true),
        (
            "b.test A",
            vec!["b.test 60 A 192.0.2.1", "b.test 60 A 127.0.0.1"],
            true,
        ),
        ("c.test AAAA", vec!["c.test 60 AAAA ::ffff:192.0.2.1"], true),
        (
            "d.test A",
            vec!["d.test 60 CNAME e.test", "e.test 60 A 192.168.1.1"],
            true,
        ),
        ("f.test A", vec!["f.test 60 A 192.0.2.1"], false),
        ("x.plex.test A", vec!["x.plex.test 60 A 192.168.1.1"], false),
        (
            "g.test A",
            vec![
                "g.test 60 CNAME x.plex.test",
                "x.plex.test 60 A 192.168.1.1",
            ],
            true,
        ),
    ] {
        world.server(HOME).answers(question, &rows);
        for _ in 0..2 {
            let seen = world.ask(question);
            assert_eq!(seen.codes(), (0, dropped.then_some(17)), "{question}");
            assert_eq!(seen.answers.is_empty(), dropped, "{question}: {seen:#?}");
        }
    }
    assert_eq!(world.resolver.counters().rebinding, 10);
    world
        .server(OFFICE)
        .answers("git.corp.test A", &["git.corp.test 60 A 10.8.0.80"]);
    assert_eq!(
        world.ask("git.corp.test A").answers.len(),
        1,
        "its owner vouches for it"
    );
}

/// An attacker's alias to a claimed name would let a page of the attacker's speak to it.
#[test]
fn a_strangers_alias_to_a_claimed_name_is_no_way_round() {
    let mut world = world(PROTECTED);
    world
        .server(HOME)
        .answers("evil.test A", &["evil.test 60 CNAME git.corp.test"]);
    world
        .server(OFFICE)
        .answers("git.corp.test A", &["git.corp.test 60 A 10.8.0.80"]);
    assert_eq!(world.ask("evil.test A").codes(), (0, Some(17)));
    world
        .server(OFFICE)
        .answers("out.corp.test A", &["out.corp.test 60 CNAME in.test"]);
    world
        .server(HOME)
        .answers("in.test A", &["in.test 60 A 10.0.0.1"]);
    assert_eq!(
        world.ask("out.corp.test A").codes(),
        (0, None),
        "the office says where it leads"
    );
}

#[test]
fn switching_protection_on_hides_what_was_cached_before() {
    let mut world = world("");
    world
        .server(HOME)
        .answers("a.test A", &["a.test 60 A 10.0.0.1"]);
    for _ in 0..2 {
        assert_eq!(world.ask("a.test A").answers.len(), 1);
    }
    world.resolver.apply_rebinding_protection(Some(Vec::new()));
    assert_eq!(world.ask("a.test A").codes(), (0, Some(17)));
    world.resolver.apply_rebinding_protection(None);
    assert_eq!(world.ask("a.test A").answers.len(), 1);
}

const MAPPED: &str = "dns64 = \"64:ff9b::/96\"\n";

/// Returns the addresses of the AAAA records.
fn addresses(seen: &Seen) -> Vec<std::net::Ipv6Addr> {
    let rows = seen.answers.iter();
    rows.filter_map(|row| row.split_once(" AAAA ")?.1.parse().ok())
        .collect()
}

#[test]
fn addresses_are_made_where_there_are_none_and_only_there() {
    let mut world = world(MAPPED);
    world
        .server(HOME)
        .says("four.test AAAA", Say::NoRecords(30, 600))
        .answers(
            "four.test A",
            &["four.test 60 A 192.0.2.33", "four.test 60 A 192.0.2.34"],
        )
        .answers("six.test AAAA", &["six.test 60 AAAA 2001:db8::1"])
        .says("none.test AAAA", Say::NoRecords(30, 60))
        .says("none.test A", Say::NoRecords(30, 60))
        .answers(
            "mapped.test AAAA",
            &["mapped.test 60 AAAA ::ffff:192.0.2.1"],
        )
        .answers("mapped.test A", &["mapped.test 60 A 192.0.2.1"])
        .says("private.test AAAA", Say::NoRecords(30, 60))
        .answers("private.test A", &["private.test 60 A 10.0.0.1"])
        .says("broken.test AAAA", Say::Code(4))
        .answers("broken.test A", &["broken.test 60 A 192.0.2.2"])
        .says("half.test AAAA", Say::NoRecords(30, 60))
        .says("half.test A", Say::Code(2))
        .answers("alias.test AAAA", &["alias.test 60 CNAME four.test"])
        .answers(
            "alias.test A",
            &["alias.test 60 CNAME four.test", "four.test 60 A 192.0.2.33"],
        );
    let made = |text: &str| {
        format!("64:ff9b::{text}")
            .parse::<std::net::Ipv6Addr>()
            .unwrap()
    };
    for _ in 0..2 {
        let four = world.ask("four.test AAAA");
        assert_eq!(addresses(&four), [made("192.0.2.33"), made("192.0.2.34")]);
        assert!(
            four.answers[0].starts_with("four.test 30 AAAA"),
            "no longer than the denial: {:?}",
            four.answers
        );
        assert_eq!(addresses(&world.ask("six.test AAAA")).len(), 1);
        let none = world.ask("none.test AAAA");
        assert_eq!(
            (none.rcode, none.answers.len(), none.authority.len()),
            (0, 0, 1)
        );
        assert_eq!(
            addresses(&world.ask("mapped.test AAAA")),
            [made("192.0.2.1")]
        );
        assert_eq!(world.ask("private.test AAAA").answers.len(), 0);
        assert_eq!(
            addresses(&world.ask("broken.test AAAA")),
            [made("192.0.2.2")]
        );
        assert_eq!(
            world.ask("half.test AAAA").rcode,
            2,
            "whether there is one is not known"
        );
        assert_eq!(world.ask("nowhere.test AAAA").rcode, 3);
        let alias = world.ask("alias.test AAAA");
        assert_eq!(alias.answers[0], "alias.test 60 CNAME four.test");
        assert_eq!(addresses(&alias), [made("192.0.2.33")]);
    }
    assert_eq!(
        world.ask("four.test A").answers.len(),
        2,
        "other types are as they are"
    );
    let both = Ask {
        dnssec_ok: true,
        flags: 0x0110,
        ..asked("four.test AAAA")
    };
    assert_eq!(
        world.ask_as(&both).answers.len(),
        0,
        "RFC 6147 §5.5: CD and DO"
    );
    let bypass = Ask {
        stub: Stub::Bypass,
        ..asked("four.test AAAA")
    };
    assert_eq!(world.ask_as(&bypass).answers.len(), 0);
}

/// Asks, and lets no more time pass than that takes.
fn ask_soon(world: &mut World, text: &str) -> Seen {
    let client = world.put(text);
    while !world.has_answer(client) {
        world.step_on();
    }
    world.answer(client)
}

/// RFC 6147 §5.1.2 and §5.1.3: an error is as good as none of this type, and silence is an error.
#[test]
fn failures_are_translated_alike_whether_fresh_or_told_again() {
    let unreachable = Say::Fail(crate::event::Failure::Unreachable);
    let silence = Say::Silence;
    for (say, fresh, told_again) in [
        // The answer for A ends what nobody could be reached for.
        (unreachable, true, false),
        (Say::Code(2), true, true),
        (Say::Code(5), true, true),
        // The time of the first client ends with it.
        (silence, false, true),
    ] {
        for (four, count) in [(true, 1), (false, 0)] {
            let mut world = world(MAPPED);
            let home = world.server(HOME);
            home.says("a.test AAAA", say.clone());
            match four {
                true => home.answers("a.test A", &["a.test 60 A 192.0.2.2"]),
                false => home.says("a.test A", Say::NoRecords(30, 60)),
            };
            let first = ask_soon(&mut world, "a.test AAAA");
            let expected = if fresh { (0, count) } else { (2, 0) };
            let seen = (first.rcode, first.answers.len());
            assert_eq!(seen, expected, "{say:?} {four}");
            let sent = world.take_sent();
            let again = ask_soon(&mut world, "a.test AAAA");
            assert_eq!((again.rcode, again.answers.len()), (0, count), "{say:?}");
            let sent = (sent, world.take_sent());
            let asked = sent.1.iter().any(|row| row.ends_with(" AAAA"));
            assert_eq!(asked, !told_again, "{say:?}: {sent:?}");
        }
    }
}

/// What goes by stream alone earns no pass, as those are for datagrams too.
#[test]
fn name_that_a_list_has_by_stream_alone_is_truncated_by_datagram() {
    const TC: u16 = 0x0200;
    let mut world = world("");
    let rows = "s.test CNAME rpz-tcp-only.\ns.home.test CNAME rpz-tcp-only.\nnx.test CNAME .\n";
    let later = listed("later", "s.test CNAME .\n");
    world
        .resolver
        .apply_lists(vec![listed("first", rows), later]);
    let home = world.server(HOME);
    home.answers("s.test A", &["s.test 60 A 192.0.2.1"]);
    home.answers(
        "s.home.test A",
        &["s.home.test 60 CNAME s.test", "s.test 60 A 192.0.2.1"],
    );
    home.answers(
        "www.test A",
        &["www.test 60 CNAME s.test", "s.test 60 A 192.0.2.1"],
    );
    let by_stream = |text: &str| Ask {
        channel: crate::Channel::Tcp,
        ..asked(text)
    };
    for _ in 0..3 {
        for name in ["s.test A", "www.test A", "s A"] {
            let seen = world.ask(name);
            assert_eq!((seen.rcode, seen.error.clone()), (0, None), "{name}");
            assert_ne!(seen.flags & TC, 0, "{name}");
            assert_eq!(seen.authority.len(), 0, "{name}");
            assert!(
                !seen.answers.iter().any(|row| row.contains(" A ")),
                "{seen:?}"
            );
            let seen = world.ask_as(&by_stream(name));
            assert_eq!(seen.flags & TC, 0, "{name}");
            assert!(
                seen.answers.contains(&"s.test 60 A 192.0.2.1".to_owned()),
                "{seen:?}"
            );
        }
    }
    assert_eq!(world.ask("nx.test A").flags & TC, 0);
    let why = world.resolver.why_listed(&"s.test".parse().unwrap());
    assert!(why.is_some_and(|why| why.text.contains("by TCP alone")));
    world.resolver.apply_lists(Vec::new());
    assert_eq!(world.ask("s.test A").answers.len(), 1);
}

#[test]
fn claimed_names_are_not_translated_by_the_default_scopes_prefix() {
    let mut world = world(MAPPED);
    world
        .server(OFFICE)
        .says("git.corp.test AAAA", Say::NoRecords(30, 60))
        .answers("git.corp.test A", &["git.corp.test 60 A 192.0.2.80"]);
    assert_eq!(world.ask("git.corp.test AAAA").answers.len(), 0);
    assert_eq!(world.take_sent(), [format!("{OFFICE} git.corp.test AAAA")]);
}

#[test]
fn an_address_below_the_prefix_is_named_by_the_address_in_it() {
    let mut world = world(MAPPED);
    let name =
        |address: &str| config::name::DomainName::reverse_of(address.parse().unwrap()).to_string();
    let (six, four) = (name("64:ff9b::198.18.0.33"), name("198.18.0.33"));
    world.server(HOME).answers(
        &format!("{four} PTR"),
        &[&format!("{four} 60 PTR four.test")],
    );
    let seen = world.ask(&format!("{six} PTR"));
    assert_eq!(
        seen.answers,
        [
            format!("{six} 60 CNAME {four}"),
            format!("{four} 60 PTR four.test")
        ]
    );
    assert_eq!(world.take_sent(), [format!("{HOME} {four} PTR")]);
    let other = name("fd00::1");
    world.ask(&format!("{other} PTR"));
    assert_eq!(world.take_sent(), [format!("{HOME} {other} PTR")]);
}

#[test]
fn the_reverse_name_of_a_claimed_network_is_not_asked_for_from_elsewhere() {
    let office = "match = { name = \"vpn*\" }\n[dns]\nupstreams = [\"10.8.0.1\"]\nclaims = [\"corp.test\", \"8.10.in-addr.arpa\"]\n";
    let mut world = World::with(
        &format!("{PLAIN}dns64 = \"fd64::/96\"\n"),
        &[("office", office)],
    );
    let six = config::name::DomainName::reverse_of("fd64::10.8.0.80".parse().unwrap());
    let seen = world.ask(&format!("{six} PTR"));
    assert_eq!(seen.rcode, 3);
    assert_eq!(
        world.take_sent(),
        [format!("{HOME} {six} PTR")],
        "it is asked as it is"
    );
}

const AUTO: &str = "dns64 = \"auto\"\n";

#[test]
fn the_prefix_is_learned_once_and_again_when_its_time_is_over() {
    let mut world = world(AUTO);
    world
        .server(HOME)
        .says("four.test AAAA", Say::NoRecords(30, 60))
        .answers("four.test A", &["four.test 60 A 192.0.2.33"])
        .answers(
            "ipv4only.arpa AAAA",
            &[
                "ipv4only.arpa 120 AAAA 2001:db8:64::192.0.0.170",
                "ipv4only.arpa 120 AAAA 2001:db8:64::192.0.0.171",
            ],
        );
    let first = world.put("four.test AAAA");
    let second = world.put("four.test AAAA");
    world.run();
    for client in [first, second] {
        let expected: std::net::Ipv6Addr = "2001:db8:64::192.0.2.33".parse().unwrap();
        assert_eq!(addresses(&world.answer(client)), [expected]);
    }
    let asked = |world: &mut World| {
        let sent = world.take_sent();
        sent.iter().filter(|row| row.contains("ipv4only")).count()
    };
    assert_eq!(asked(&mut world), 1);
    world.ask("four.test AAAA");
    assert_eq!(asked(&mut world), 0);
    world.sleep(121);
    world.ask("four.test AAAA");
    assert_eq!(asked(&mut world), 1);
    let direct = world.ask("ipv4only.arpa AAAA");
    assert_eq!(addresses(&direct).len(), 2);
}

#[test]
fn an_alias_of_a_policy_is_followed_to_the_ipv4_address_too() {
    let mut world = world(MAPPED);
    let policy = listed("policy", "own.test CNAME four.test.\n");
    world.resolver.apply_lists(vec![policy]);
    world
        .server(HOME)
        .says("four.test AAAA", Say::NoRecords(30, 60))
        .answers("four.test A", &["four.test 60 A 192.0.2.33"])
        .answers("own.test A", &["own.test 60 A 192.0.2.66"]);
    let seen = world.ask("own.test AAAA");
    let made: std::net::Ipv6Addr = "64:ff9b::192.0.2.33".parse().unwrap();
    assert_eq!(addresses(&seen), [made], "{seen:#?}");
    assert_eq!(seen.codes(), (0, Some(4)));
    assert_eq!(world.resolver.list_hits("policy"), 1);
}

#[test]
fn a_network_that_does_not_translate_is_asked_once_and_a_silent_one_holds_nobody_long() {
    let mut world = world(AUTO);
    world
        .server(HOME)
        .says("four.test AAAA", Say::NoRecords(30, 60))
        .says("ipv4only.arpa AAAA", Say::NoRecords(60, 60));
    for _ in 0..3 {
        assert_eq!(world.ask("four.test AAAA").answers.len(), 0);
    }
    let sent = world.take_sent();
    assert_eq!(
        sent,
        [
            format!("{HOME} four.test AAAA"),
            format!("{HOME} ipv4only.arpa AAAA")
        ]
    );

    let mut world = self::world(AUTO);
    world
        .server(HOME)
        .says("four.test AAAA", Say::NoRecords(30, 60))
        .says("ipv4only.arpa AAAA", Say::Silence);
    let begun = world.now;
    let client = world.put("four.test AAAA");
    world.run_for(1200);
    assert_eq!(world.answer(client).rcode, 0);
    assert!(world.answer(client).at.since(begun).as_millis() <= 1100);
}

#[test]
fn another_network_is_asked_anew() {
    let mut world = world(AUTO);
    world
        .server(HOME)
        .says("four.test AAAA", Say::NoRecords(30, 60))
        .answers("four.test A", &["four.test 60 A 192.0.2.33"])
        .answers(
            "ipv4only.arpa AAAA",
            &["ipv4only.arpa 6000 AAAA 64:ff9b::192.0.0.170"],
        );
    assert_eq!(world.ask("four.test AAAA").answers.len(), 1);
    world.switch("home0", false);
    world.switch("home0", true);
    world
        .server(HOME)
        .says("ipv4only.arpa AAAA", Say::NoRecords(60, 60));
    assert_eq!(world.ask("four.test AAAA").answers.len(), 0);
}

#[test]
fn a_guest_gets_records_of_names_that_nobody_claims_and_no_others() {
    let mut world = world(RECORDS);
    let guest = |text: &str| Ask {
        stub: Stub::Guest,
        ..asked(text)
    };
    assert_eq!(world.ask_as(&guest("nas.test A")).answers.len(), 1);
    assert_eq!(world.ask_as(&guest("own.corp.test A")).rcode, 5);
    assert_eq!(
        world.ask_as(&guest("to-office.test A")).rcode,
        5,
        "nor by an alias of ours"
    );
    assert_eq!(world.take_sent(), [""; 0]);
}
