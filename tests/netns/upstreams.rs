//! What does a client notice when all upstreams fail? An answer or an error that says why, in time, and nothing once it is over.
//!
//! `tests/bench/upstream-faults` shows the same beside other servers.

use std::path::PathBuf;
use std::time::Duration;

use tests::faults::{DEADLINE, Fault, SECOND, Seen, measure, upstream, upstreams};
use tests::namespace::isolated;
use tests::office::{HOME, Office, dig, links};
use tests::oracle::Server;
use tests::peer::until;

use crate::LINNETD;

/// A machine that runs other tests may be late by this.
const SLACK: Duration = Duration::from_millis(400);
/// After a fault the upstream is asked again within this.
const BACK: Duration = Duration::from_millis(1500);

/// How long most faults last.
const LASTING: Duration = Duration::from_secs(3);

/// What clients of linnetd saw of a fault of its only upstream.
fn seen(fault: Fault) -> Seen {
    let office = Office::bare(links());
    let server = upstream();
    office.configure("profiles/home.toml", HOME);
    seen_by(&office, "", fault, &[server], LASTING)
}

/// What clients of a linnetd with this in its main file saw.
fn seen_by(
    office: &Office,
    main: &str,
    fault: Fault,
    servers: &[Server],
    lasting: Duration,
) -> Seen {
    office.configure("linnet.toml", main);
    let linnetd = office.linnetd(LINNETD, &[]);
    until("linnetd answers", || {
        dig("+short +time=1 h0.pub.test").contains('.')
    });
    let seen = measure(fault, servers, lasting);
    drop(linnetd);
    let what = format!("{fault} at {} for {lasting:?}, {main:?}", servers.len());
    tests::say(&format!("{what}: {seen:?}"));
    assert_eq!(seen.unanswered, 0, "{what}: {seen:?}");
    assert_eq!(seen.unexplained, 0, "{what}: {seen:?}");
    assert!(seen.worst <= DEADLINE + SLACK, "{what}: {seen:?}");
    assert!(
        seen.back.is_some_and(|back| back <= BACK),
        "{what}: {seen:?}"
    );
    seen
}

#[test]
fn a_killed_upstream_is_missed_no_longer_than_it_is_away() {
    isolated(
        "upstreams::a_killed_upstream_is_missed_no_longer_than_it_is_away",
        || {
            let _seen = seen(Fault::Killed);
        },
    );
}

#[test]
fn a_blackholed_upstream_costs_no_client_more_than_its_patience() {
    isolated(
        "upstreams::a_blackholed_upstream_costs_no_client_more_than_its_patience",
        || {
            let _seen = seen(Fault::Blackholed);
        },
    );
}

#[test]
fn a_lossy_upstream_is_asked_again() {
    isolated("upstreams::a_lossy_upstream_is_asked_again", || {
        let seen = seen(Fault::Loss);
        assert!(seen.failed * 20 <= seen.asked, "one in twenty: {seen:?}");
    });
}

#[test]
fn an_upstream_that_hears_tcp_alone_is_asked_by_tcp() {
    isolated(
        "upstreams::an_upstream_that_hears_tcp_alone_is_asked_by_tcp",
        || {
            let seen = seen(Fault::TcpOnly);
            assert_eq!(seen.failed, 0, "{seen:?}");
        },
    );
}

#[test]
fn an_upstream_that_is_to_be_asked_by_tcp_is_asked_so_from_the_first_question_on() {
    isolated(
        "upstreams::an_upstream_that_is_to_be_asked_by_tcp_is_asked_so_from_the_first_question_on",
        || {
            let office = Office::bare(links());
            let server = upstream();
            let home = HOME.replace("\"192.0.2.53\"", "\"tcp://192.0.2.53\"");
            assert_ne!(home, HOME);
            office.configure("profiles/home.toml", &home);
            let seen = seen_by(&office, "", Fault::TcpOnly, &[server], LASTING);
            assert_eq!(seen.failed, 0, "{seen:?}");
            // Whoever sends a datagram first waits for that long.
            assert!(seen.worst < Duration::from_millis(400), "{seen:?}");
        },
    );
}

#[test]
fn a_truncating_upstream_answers_by_tcp() {
    isolated("upstreams::a_truncating_upstream_answers_by_tcp", || {
        let seen = seen(Fault::Truncating);
        assert_eq!(seen.failed, 0, "{seen:?}");
    });
}

/// For long enough that whatever is kept for a moment has run out, with answers looked at and without.
fn slow(servers: &[Server], upstreams: &str) {
    let office = Office::bare(PathBuf::from("/run/story"));
    let home = format!("match = {{ name = \"home*\" }}\n[dns]\nupstreams = [{upstreams}]\n");
    office.configure("profiles/home.toml", &home);
    for (main, seconds) in [("[resolver]\ndnssec = \"off\"\n", 6), ("", 20)] {
        let lasting = Duration::from_secs(seconds);
        let seen = seen_by(&office, main, Fault::Slow, servers, lasting);
        assert_eq!(seen.failed, 0, "{main:?}: {seen:?}");
    }
}

#[test]
fn a_slow_upstream_is_waited_for() {
    isolated("upstreams::a_slow_upstream_is_waited_for", || {
        links();
        slow(&[upstream()], "\"192.0.2.53\"");
    });
}

#[test]
fn two_slow_upstreams_are_waited_for() {
    isolated("upstreams::two_slow_upstreams_are_waited_for", || {
        links();
        let upstreams = upstreams();
        slow(&upstreams, &format!("\"192.0.2.53\", \"{SECOND}\""));
    });
}

/// What is remembered of the network from one day is no reason to fail on the next.
#[test]
fn a_slow_upstream_is_waited_for_even_if_it_was_deaf_to_datagrams_before() {
    isolated(
        "upstreams::a_slow_upstream_is_waited_for_even_if_it_was_deaf_to_datagrams_before",
        || {
            let office = Office::bare(links());
            let servers = [upstream()];
            office.configure("profiles/home.toml", HOME);
            for fault in [Fault::TcpOnly, Fault::Slow] {
                let seen = seen_by(&office, "", fault, &servers, 2 * LASTING);
                assert_eq!(seen.failed, 0, "{fault}: {seen:?}");
            }
        },
    );
}
