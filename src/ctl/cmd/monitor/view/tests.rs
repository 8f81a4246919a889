//! Does every screen fit, and does it say what matters? Frames at several sizes, their escapes taken out.

use std::time::Duration;

use linnet::api::{ClockStatus, ResolvConfStatus};

use super::*;

fn bare(line: &str) -> String {
    let mut text = String::new();
    let mut escaped = false;
    for c in line.chars() {
        match c {
            '\x1b' => escaped = true,
            'm' if escaped => escaped = false,
            _ if escaped => {}
            c => text.push(c),
        }
    }
    text
}

fn status(uptime_ms: u64, queries: u64) -> Status {
    let upstream = |address: &str, failing: Option<&str>| UpstreamStatus {
        upstream: address.to_owned(),
        current: failing.is_none(),
        srtt_ms: Some(11.0),
        sent: queries / 10,
        lost: if failing.is_some() { queries / 20 } else { 0 },
        failing: failing.map(str::to_owned),
        ..UpstreamStatus::default()
    };
    let mut home = ScopeStatus {
        id: "home@wlan0".to_owned(),
        state: "ready".to_owned(),
        answers: queries,
        cache_hits: queries * 9 / 10,
        upstreams: vec![
            upstream("192.0.2.53", None),
            upstream("192.0.2.54", Some("no reply")),
        ],
        ..ScopeStatus::default()
    };
    home.latency.count = queries / 10;
    home.latency.sum_ms = 1.2 * f64::from(u32::try_from(queries).unwrap());
    let office = ScopeStatus {
        id: "office@vpn0".to_owned(),
        state: "link-down".to_owned(),
        claims: vec!["corp.test".to_owned()],
        ..ScopeStatus::default()
    };
    Status {
        version: "1.0".to_owned(),
        pid: 7,
        uptime_ms,
        generation: 12,
        scopes: vec![home, office],
        default_scope: Some("home@wlan0".to_owned()),
        clock: ClockStatus {
            dates_count: true,
            because: String::new(),
        },
        resolv_conf: ResolvConfStatus::default(),
        counters: serde_json::json!({ "queries": queries, "cache_hits": queries * 9 / 10 })
            .as_object()
            .cloned()
            .unwrap(),
        ..Status::default()
    }
}

fn failed(name: &str) -> Notice {
    Notice::Answered {
        trace: Trace {
            name: name.to_owned(),
            record_type: "A".to_owned(),
            rcode: "SERVFAIL".to_owned(),
            extended_error: Some("22: no reply in time from 192.0.2.53".to_owned()),
            elapsed_ms: 4400.0,
            ..Trace::default()
        },
    }
}

fn view() -> View {
    let mut view = View::default();
    view.take_status(status(10_000, 1000));
    view.take_status(status(11_000, 2200));
    view
}

fn screen(view: &mut View, size: (usize, usize), now: Instant) -> Vec<String> {
    view.lines(size, now)
        .iter()
        .map(|line| bare(line))
        .collect()
}

#[test]
fn a_usual_terminal_shows_rates_troubles_scopes_and_what_failed() {
    let begun = Instant::now();
    let mut view = view();
    view.take_notice(failed("git.corp.test"), begun);
    let lines = screen(&mut view, (80, 24), begun + Duration::from_secs(65));
    let expected = [
        " linnet 1.0   up 11 s   plan 12                            space holds  q quits ",
        "    1200 q/s   90 % from the cache   0 errors/s   █ max 1200",
        " ! an upstream of home@wlan0 fails: 192.0.2.54 (no reply)",
        " ! scope office@vpn0 is link-down: corp.test refused",
        "",
        " SCOPE, UPSTREAM          Q/S CACHED  ERR/S     TIME                            ",
        " office@vpn0                0      -      0        -  LINK-DOWN",
        " home@wlan0 *            1200   90 %      0    12 ms  ",
        "   192.0.2.53             120                  11 ms  ██    current  0 % lost",
    ];
    for (line, expected) in lines.iter().zip(expected) {
        let cut: String = expected.chars().take(80).collect();
        assert_eq!(line, &cut, "{lines:#?}");
    }
    let failed = lines
        .iter()
        .find(|line| line.contains("git.corp.test"))
        .unwrap();
    assert_eq!(
        failed,
        "  1min  SERVFAIL  4.40 s  git.corp.test A    no reply in time from 192.0.2.53"
    );
}

#[test]
fn every_frame_fits_every_size() {
    let begun = Instant::now();
    let mut view = view();
    for at in 0..300 {
        view.take_notice(failed(&format!("a-rather-long-name-{at}.corp.test")), begun);
    }
    for width in [1, 20, 40, 79, 80, 200] {
        for height in [1, 5, 10, 12, 24, 60] {
            let lines = screen(&mut view, (width, height), begun);
            assert!(lines.len() <= height, "{width}x{height}: {lines:#?}");
            for line in &lines {
                assert!(line.chars().count() <= width, "{width}x{height}: {line:?}");
            }
        }
    }
}

/// Half a word, and half a number, say something else than the whole.
#[test]
fn what_does_not_fit_is_shortened_by_whole_words_with_a_sign() {
    let row = vec![
        (Style::Bad, " ! one two".to_owned()),
        (Style::Dim, "   1234  ".to_owned()),
    ];
    for (width, expected) in [
        (80, " ! one two   1234  "),
        (17, " ! one two   1234"),
        (16, " ! one two   …"),
        (13, " ! one two  …"),
        (11, " ! one two…"),
        (10, " ! one …"),
        (7, " ! one…"),
    ] {
        assert_eq!(bare(&fit(&row, width)), expected, "{width}");
    }
    let long = vec![(Style::Plain, "a-name-without-end.test".to_owned())];
    assert_eq!(bare(&fit(&long, 10)), "a-name-wi…");
    let begun = Instant::now();
    let mut view = view();
    let is_upstream = |line: &&String| line.starts_with("   192.0.2.54");
    let mut failing = |width| {
        let lines = screen(&mut view, (width, 24), begun);
        lines.iter().find(is_upstream).unwrap().clone()
    };
    for width in [80, 100] {
        let line = failing(width);
        assert!(
            line.contains("no reply") && line.ends_with("lost"),
            "{line:?}"
        );
    }
    let line = failing(60);
    assert!(line.ends_with("no reply…"), "{line:?}");
    let line = failing(58);
    assert!(line.ends_with("no …"), "{line:?}");
    assert_eq!(
        column("a-long-name-of-a-scope@wlan0", 70),
        "a-long-name-of-a-…"
    );
    assert_eq!(column("home@wlan0", 70), "home@wlan0        ");
}

#[test]
fn more_scopes_than_fit_are_reached_by_scrolling() {
    let mut view = View::default();
    let mut many = status(1000, 10);
    for at in 0..50 {
        many.scopes.push(ScopeStatus {
            id: format!("scope{at:02}"),
            state: "ready".to_owned(),
            ..ScopeStatus::default()
        });
    }
    view.take_status(many);
    let now = Instant::now();
    let shown = |view: &mut View| screen(view, (80, 24), now).join("\n");
    assert!(shown(&mut view).contains("more below"));
    assert!(!shown(&mut view).contains("scope49"));
    for _ in 0..100 {
        view.scroll(1);
    }
    assert!(shown(&mut view).contains("scope49"), "{}", shown(&mut view));
    for _ in 0..100 {
        view.scroll(-1);
    }
    assert!(shown(&mut view).contains("office@vpn0"));
}

#[test]
fn a_name_cannot_steer_the_terminal() {
    let mut view = view();
    let now = Instant::now();
    view.take_notice(failed("\x1b[2Jevil\r\n.test"), now);
    let lines = view.lines((80, 24), now);
    assert!(lines.iter().any(|line| line.contains("?[2Jevil??.test")));
}

#[test]
fn a_view_on_hold_changes_nothing_and_a_lost_daemon_is_told() {
    let mut view = view();
    let now = Instant::now();
    view.pause();
    view.take_status(status(12_000, 9000));
    view.take_notice(failed("late.test"), now);
    view.take_loss("linnetd does not answer; waiting for it");
    let text = screen(&mut view, (80, 24), now).join("\n");
    assert!(
        text.contains("PAUSED") && text.contains("1200 q/s"),
        "{text}"
    );
    assert!(!text.contains("late.test"), "{text}");
    assert!(text.contains("! linnetd does not answer"), "{text}");
}
