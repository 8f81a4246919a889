//! The walk along aliases, by rows: what one reply says under each of the rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::{Because, Owner, Rule, ScopeState};

use super::*;
use crate::wire::class;

const HOME: &str = "home";

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

fn a(owner: &str) -> RawRecord {
    RawRecord::address(&name(owner), [10, 0, 0, 1].into(), 60)
}

fn cname(owner: &str, target: &str) -> RawRecord {
    RawRecord::alias(&name(owner), &name(target), 60)
}

fn dname(owner: &str, target: &str) -> RawRecord {
    RawRecord::new(
        &name(owner),
        rtype::DNAME,
        60,
        name(target).as_wire().into(),
    )
}

fn soa(owner: &str) -> RawRecord {
    let mut rdata = vec![0, 0];
    rdata.extend_from_slice(&[0; 20]);
    RawRecord::new(&name(owner), rtype::SOA, 60, rdata)
}

fn route_to(suffix: &str, target: Target) -> Route {
    let because = Because {
        owner: Owner::Resolver,
        rule: Rule::LongestSuffix,
        suffix: name(suffix),
    };
    Route {
        target,
        because: Arc::new(because),
    }
}

/// `corp.test` and `lab.test` are claimed, `lab.test` by another scope, `down.test` by one that cannot be asked; all else
/// goes to a default scope.
fn route(name: &DomainName) -> Route {
    let ask = |scope: &str| Target::Ask(ScopeId(scope.into()));
    let table = BTreeMap::from([
        ("corp.test", ask(HOME)),
        ("lab.test", ask("lab")),
        (
            "down.test",
            Target::Refuse(Refusal::ScopeNotReady {
                scope: ScopeId("down".into()),
                state: ScopeState::LinkDown,
            }),
        ),
    ]);
    for (suffix, target) in table {
        if name.is_in(&self::name(suffix)) {
            return route_to(suffix, target);
        }
    }
    route_to(".", ask("default"))
}

fn walk(asked: &str, code: u16, answers: Vec<RawRecord>, authority: Vec<RawRecord>) -> Hop {
    let question = Question {
        name: name(asked),
        record_type: rtype::A,
        class: class::IN,
    };
    let reply = ParsedReply {
        rcode: code,
        authoritative: false,
        truncated: false,
        recursion_available: true,
        authentic_data: true,
        answers,
        authority,
        additional: Vec::new(),
        edns: None,
        extended_errors: Vec::new(),
        cookie: None,
    };
    follow(&question, &ScopeId(HOME.into()), reply, route)
}

/// Says where a walk ended, and with how many records.
fn told(hop: &Hop) -> String {
    let end = match &hop.end {
        End::Final => format!("final {}", hop.rcode),
        End::Goto(name) => format!("goto {name}"),
        End::Refused(name, _) => format!("refused {name}"),
        End::Loop => "loop".to_owned(),
    };
    format!("{end}, {} records", hop.answers.len())
}

#[test]
fn every_reply_is_believed_as_far_as_its_names_belong_to_its_scope() {
    let q = "www.corp.test";
    let rows: [(&str, u16, Vec<RawRecord>, Vec<RawRecord>, &str); 15] = [
        ("answer", 0, vec![a(q)], vec![], "final 0, 1 records"),
        (
            "stray records",
            0,
            vec![a(q), a("evil.test")],
            vec![],
            "final 0, 1 records",
        ),
        (
            "no records",
            0,
            vec![],
            vec![soa("corp.test")],
            "final 0, 0 records",
        ),
        (
            "no name",
            3,
            vec![],
            vec![soa("corp.test")],
            "final 3, 0 records",
        ),
        ("failure", 2, vec![], vec![], "final 2, 0 records"),
        (
            "alias at home",
            0,
            vec![cname(q, "x.corp.test"), a("x.corp.test")],
            vec![],
            "final 0, 2 records",
        ),
        (
            "alias at home, no records",
            0,
            vec![cname(q, "x.corp.test")],
            vec![soa("corp.test")],
            "final 0, 1 records",
        ),
        (
            "alias at home, unfinished",
            0,
            vec![cname(q, "x.corp.test")],
            vec![],
            "goto x.corp.test, 1 records",
        ),
        (
            "alias to the public",
            0,
            vec![cname(q, "x.test"), a("x.test")],
            vec![],
            "final 0, 2 records",
        ),
        (
            "alias to the public, unfinished",
            0,
            vec![cname(q, "x.test")],
            vec![],
            "goto x.test, 1 records",
        ),
        (
            "alias to the public, unknown there",
            3,
            vec![cname(q, "x.test")],
            vec![],
            "goto x.test, 1 records",
        ),
        (
            "alias to the public, failed there",
            2,
            vec![cname(q, "x.test")],
            vec![],
            "goto x.test, 1 records",
        ),
        (
            "alias into a claim",
            0,
            vec![cname(q, "x.lab.test"), a("x.lab.test")],
            vec![],
            "goto x.lab.test, 1 records",
        ),
        (
            "alias into a claim that is down",
            0,
            vec![cname(q, "x.down.test"), a("x.down.test")],
            vec![],
            "refused x.down.test, 1 records",
        ),
        (
            "circle",
            0,
            vec![cname(q, "x.corp.test"), cname("x.corp.test", q)],
            vec![],
            "loop, 2 records",
        ),
    ];
    for (case, code, answers, authority, expected) in rows {
        assert_eq!(told(&walk(q, code, answers, authority)), expected, "{case}");
    }
}

#[test]
fn a_dname_makes_its_own_alias_whatever_the_upstream_says() {
    let answers = vec![
        dname("old.corp.test", "new.corp.test"),
        cname("www.old.corp.test", "evil.test"),
        a("www.new.corp.test"),
        a("evil.test"),
    ];
    let hop = walk("www.old.corp.test", 0, answers, vec![]);
    assert_eq!(told(&hop), "final 0, 3 records");
    assert_eq!(
        cname_target(&hop.answers[1]),
        Some(name("www.new.corp.test"))
    );
}

#[test]
fn a_dname_at_the_name_itself_does_not_rename_it() {
    let answers = vec![dname("old.corp.test", "new.corp.test")];
    assert_eq!(
        told(&walk("old.corp.test", 0, answers, vec![soa("corp.test")])),
        "final 0, 0 records"
    );
}

#[test]
fn a_dname_that_makes_a_name_too_long_is_told() {
    let label = "a".repeat(63);
    let long = format!("{label}.{label}.{label}");
    let asked = format!("{}.old.corp.test", "b".repeat(62));
    let hop = walk(&asked, 0, vec![dname("old.corp.test", &long)], vec![]);
    assert_eq!(told(&hop), "final 6, 1 records");
}

#[test]
fn more_aliases_than_allowed_are_a_loop() {
    let chain = |length: usize| {
        let names: Vec<String> = (0..=length).map(|at| format!("n{at}.corp.test")).collect();
        let mut records: Vec<RawRecord> = names
            .windows(2)
            .map(|pair| cname(&pair[0], &pair[1]))
            .collect();
        records.push(a(&names[length]));
        told(&walk("n0.corp.test", 0, records, vec![]))
    };
    assert_eq!(chain(ALIASES_MAX), "final 0, 12 records");
    assert_eq!(chain(ALIASES_MAX + 1), "loop, 12 records");
}
