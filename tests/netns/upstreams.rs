//! What does a client notice when the only upstream fails? An answer or an error that says why, in time, and nothing once it is over.
//!
//! `tests/bench/upstream-faults` shows the same beside other servers.

use std::time::Duration;

use tests::faults::{DEADLINE, Fault, Seen, measure, upstream};
use tests::namespace::isolated;
use tests::office::{HOME, Office, dig, links};
use tests::peer::until;

use crate::LINNETD;

/// A machine that runs other tests may be late by this.
const SLACK: Duration = Duration::from_millis(400);
/// After a fault the upstream is asked again within this.
const BACK: Duration = Duration::from_millis(1500);

/// A fault of three seconds, and what clients of linnetd saw.
fn seen(fault: Fault) -> Seen {
    let office = Office::bare(links());
    let server = upstream();
    office.configure("linnet.toml", "");
    office.configure("profiles/home.toml", HOME);
    let _linnetd = office.linnetd(LINNETD, &[]);
    until("linnetd answers", || {
        dig("+short +time=1 h0.pub.test").contains('.')
    });
    let seen = measure(fault, &server, Duration::from_secs(3));
    tests::say(&format!("{fault}: {seen:?}"));
    assert_eq!(seen.unanswered, 0, "{fault}: {seen:?}");
    assert_eq!(seen.unexplained, 0, "{fault}: {seen:?}");
    assert!(seen.worst <= DEADLINE + SLACK, "{fault}: {seen:?}");
    assert!(
        seen.back.is_some_and(|back| back <= BACK),
        "{fault}: {seen:?}"
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
fn a_truncating_upstream_answers_by_tcp() {
    isolated("upstreams::a_truncating_upstream_answers_by_tcp", || {
        let seen = seen(Fault::Truncating);
        assert_eq!(seen.failed, 0, "{seen:?}");
    });
}

#[test]
fn a_slow_upstream_is_waited_for() {
    isolated("upstreams::a_slow_upstream_is_waited_for", || {
        let seen = seen(Fault::Slow);
        assert_eq!(seen.failed, 0, "{seen:?}");
    });
}
