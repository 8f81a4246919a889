//! Does an administrator see at once what is wrong? The text of `status`, whole.

use std::collections::BTreeMap;

use super::*;
use linnet::api::{ClockStatus, ItemKind, ItemStatus};

fn latency(p50: f64, p95: f64, p99: f64) -> Latency {
    Latency {
        count: 1,
        sum_ms: 1.0,
        p50_ms: Some(p50),
        p95_ms: Some(p95),
        p99_ms: Some(p99),
    }
}

fn upstream(address: &str, failing: Option<&str>) -> UpstreamStatus {
    UpstreamStatus {
        upstream: address.to_owned(),
        current: failing.is_none(),
        srtt_ms: failing.is_none().then_some(11.25),
        sent: 1000,
        lost: if failing.is_some() { 400 } else { 2 },
        failing: failing.map(str::to_owned),
        latency: latency(10.0, 42.0, 180.0),
        ..UpstreamStatus::default()
    }
}

fn scope(id: &str, answers: u64, hits: u64, troubles: &[(&str, u64)]) -> ScopeStatus {
    ScopeStatus {
        id: id.to_owned(),
        owner: "profile x".to_owned(),
        state: "ready".to_owned(),
        answers,
        cache_hits: hits,
        troubles: troubles
            .iter()
            .map(|(trouble, count)| ((*trouble).to_owned(), *count))
            .collect::<BTreeMap<_, _>>(),
        latency: latency(12.0, 80.0, 4400.0),
        ..ScopeStatus::default()
    }
}

#[test]
fn trouble_stands_first_and_the_worst_scope_before_the_others() {
    let mut home = scope("home@wlan0", 128_431, 111_735, &[("no-reply", 500)]);
    home.upstreams = vec![
        upstream("192.0.2.53", None),
        upstream("192.0.2.54", Some("no reply")),
    ];
    let mut office = scope("office@vpn0", 12, 6, &[("not-ready", 4)]);
    office.state = "link-absent".to_owned();
    office.claims = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]
        .map(|label| format!("{label}.test"))
        .to_vec();
    let status = Status {
        version: "1.0".to_owned(),
        pid: 812,
        uptime_ms: 273_600_000,
        generation: 12,
        scopes: vec![home, office],
        default_scope: Some("home@wlan0".to_owned()),
        clock: ClockStatus {
            dates_count: true,
            because: String::new(),
        },
        counters: serde_json::json!({ "queries": 130_000, "cache_hits": 111_741 })
            .as_object()
            .cloned()
            .unwrap(),
        ..Status::default()
    };
    let expected = "\
linnetd 1.0, pid 812, up 3 d 4 h, plan 12; 130000 queries, 85 % from the cache, 0.3 % errors
! an upstream of home@wlan0 fails: 192.0.2.54 (no reply)
! scope office@vpn0 is link-absent: a.test b.test c.test and 7 more refused

SCOPE         STATE        ANSWERS  CACHED  ERRORS    P50    P95     P99  ENTRIES
office@vpn0   link-absent       12    50 %    33 %  12 ms  80 ms  4.40 s        0  4 not-ready
home@wlan0 *  ready         128431    87 %   0.3 %  12 ms  80 ms  4.40 s        0  500 no-reply

UPSTREAM    SCOPE       STATE     SRTT    P50    P95     P99  SENT   LOST
192.0.2.54  home@wlan0  FAILING      -  10 ms  42 ms  180 ms  1000   40 %  no reply
192.0.2.53  home@wlan0  current  11 ms  10 ms  42 ms  180 ms  1000  0.2 %

home@wlan0: by profile x
office@vpn0: by profile x
  claims a.test b.test c.test d.test e.test f.test g.test h.test and 2 more (--json shows all)

listens at nothing
resolv.conf , 
default scope home@wlan0
";
    let text = text(&status, &[]);
    assert_eq!(text, expected, "{text}");
}

/// Its upstream answers each question, by REFUSED.
#[test]
fn a_scope_whose_last_answers_are_errors_is_in_trouble_though_its_upstream_works() {
    let mut home = scope("home@wlan0", 30, 0, &[("upstream-error", 30)]);
    home.upstreams = vec![upstream("192.0.2.53", None)];
    for (errors, of, is_told) in [(30, 30, true), (4, 8, true), (3, 8, false), (7, 7, false)] {
        (home.recent_errors, home.recent) = (errors, of);
        let status = Status {
            scopes: vec![home.clone()],
            ..Status::default()
        };
        let told = format!(
            "! {errors} of the last {of} answers of home@wlan0 were errors; so far: 30 upstream-error\n"
        );
        assert_eq!(
            text(&status, &[]).contains(&told),
            is_told,
            "{errors} of {of}"
        );
    }
}

#[test]
fn how_one_of_several_is_chosen_and_where_that_is_remembered_is_told() {
    let mut home = scope("home@wlan0", 1, 1, &[]);
    home.selection = "fastest".to_owned();
    home.network = Some("wifi 192.0.2.0/24 by 192.0.2.1".to_owned());
    let mut one = upstream("192.0.2.53", None);
    one.proof = "validates".to_owned();
    home.upstreams = vec![one];
    let shown = |home: &ScopeStatus| {
        let status = Status {
            scopes: vec![home.clone()],
            ..Status::default()
        };
        text(&status, &[])
    };
    let text = shown(&home);
    assert!(
        text.contains("  in network wifi 192.0.2.0/24 by 192.0.2.1\n"),
        "{text}"
    );
    assert!(
        text.contains("  dnssec through 192.0.2.53: validates\n"),
        "{text}"
    );
    assert!(!text.contains("asks"), "there is no choice: {text}");
    home.upstreams.push(upstream("192.0.2.54", None));
    let text = shown(&home);
    assert!(text.contains("  asks fastest\n"), "{text}");
}

#[test]
fn without_trouble_no_line_begins_with_an_exclamation_mark() {
    let status = Status {
        scopes: vec![scope("home@wlan0", 1, 1, &[])],
        default_scope: Some("home@wlan0".to_owned()),
        clock: ClockStatus {
            dates_count: true,
            because: String::new(),
        },
        ..Status::default()
    };
    assert!(!text(&status, &[]).contains('!'), "{}", text(&status, &[]));
    let rival = "dhclient runs on eth0, which linnet sets up, pid 8 (linnet doctor)".to_owned();
    let text = text(&status, &[rival]);
    assert_eq!(
        text.lines().nth(1),
        Some("! dhclient runs on eth0, which linnet sets up, pid 8 (linnet doctor)")
    );
}

#[test]
fn a_rule_has_a_line_when_it_is_others_or_not_there() {
    let rule = |state: &str, detail: Option<&str>| ItemStatus {
        kind: Some(ItemKind::Rule),
        item: format!("rule {state}"),
        state: state.to_owned(),
        detail: detail.map(str::to_owned),
    };
    let mut status = Status {
        rules: vec![rule("ours", None)],
        ..Status::default()
    };
    assert!(!text(&status, &[]).contains("rule"));
    let others = rule("adopted", Some("somebody else has made it"));
    status
        .rules
        .extend([others, rule("failed", Some("no such table"))]);
    let text = text(&status, &[]);
    let lines = "\nrules\n  rule adopted adopted: somebody else has made it\n  ! rule failed failed: no such table\n";
    assert!(text.contains(lines), "{text}");
}
