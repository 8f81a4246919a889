//! Are routers asked as RFC 4861 §6.3.7 and RFC 7559 say, whatever happens?

use super::*;

/// What is asked of routers: `run` and `idle` are as in [`solicit`]; nobody has answered (`asking`), something is about to end
/// (`refresh`), somebody wants it (`owed`), there is no carrier (`stopped`), the router of before has not answered here (`doubted`), is not
/// reached (`failed`) or is none (`resigned`).
const SOLICITATIONS: [&str; 8] = [
    "asking", "idle", "refresh", "owed", "stopped", "doubted", "failed", "resigned",
];

/// Event; what is asked after it, in the order of [`SOLICITATIONS`], and how many solicitations it sends (`n` are several); `.` leaves it as
/// it is, and nothing is sent.
pub(super) const SOLICITING: [(&str, [&str; 8]); EVENTS] = [
    // RFC 7559 §2: a default router is what they are for. Who is not reached is none yet (docs/decisions.md).
    ("RA", ["idle", ".", "idle", ".", ".", "idle", ".", "idle"]),
    // RFC 7559 §2: a router that is none ends nothing.
    (
        "RA, lifetime 0",
        [".", "run +1", ".", ".", ".", ".", ".", "."],
    ),
    (
        "RA, without the prefix",
        ["idle", ".", "idle", ".", ".", "idle", ".", "idle"],
    ),
    (
        "RA, without prefixes",
        ["idle", ".", "idle", ".", ".", "idle", ".", "idle"],
    ),
    (
        "RA, preferred 0",
        ["idle", ".", "idle", ".", ".", "idle", ".", "idle"],
    ),
    (
        "RA, valid 0",
        ["idle", ".", "idle", ".", ".", "idle", ".", "idle"],
    ),
    (
        "RA, valid 600",
        ["idle", ".", "idle", ".", ".", "idle", ".", "idle"],
    ),
    (
        "RA, with P",
        ["idle", ".", "idle", ".", ".", "idle", ".", "idle"],
    ),
    (
        "RA, with P, preferred 0",
        ["idle", ".", "idle", ".", ".", "idle", ".", "idle"],
    ),
    (
        "RA of another",
        ["idle", ".", ".", ".", ".", ".", "idle", "idle"],
    ),
    (
        "RA of another, 5 s",
        [
            "idle", ".", "run +1", "idle +1", ".", "idle +1", "idle", "idle",
        ],
    ),
    // RFC 4861 §6.1.2.
    ("half a packet", [".", ".", ".", ".", ".", ".", ".", "."]),
    ("hop limit 254", [".", ".", ".", ".", ".", ".", ".", "."]),
    // There is nobody to ask.
    (
        "carrier goes",
        [
            "stopped", "stopped", "stopped", "stopped", ".", "stopped", "stopped", "stopped",
        ],
    ),
    // RFC 4861 §6.3.7, at once, but for one that was sent just now.
    (
        "carrier comes",
        [
            "run +1", "run +1", "run +1", ".", "run +1", "run +1", "run +1", "run +1",
        ],
    ),
    (
        "carrier comes, 15 s",
        [
            "run +n", "run +n", "run +n", "run +n", "run +n", "run +n", "run +n", "run +n",
        ],
    ),
    // RFC 4861 §7.3: reaching is no word of this place.
    ("REACHABLE", [".", ".", ".", ".", ".", ".", "idle", "."]),
    ("STALE", [".", ".", ".", ".", ".", ".", ".", "."]),
    // RFC 4861 §7.3.3: who else is there?
    (
        "FAILED",
        [".", "run +1", "run +1", ".", ".", "run +1", ".", "run +1"],
    ),
    // RFC 4861 §7.2.5.
    (
        "NA without R",
        [".", "run +1", ".", ".", ".", ".", "run +1", "."],
    ),
    ("DAD failed", [".", ".", ".", ".", ".", ".", ".", "."]),
    // Once, though nobody needs it.
    (
        "renew",
        [
            "run +1", "idle +1", "run +1", ".", ".", "run +1", "run +1", "run +1",
        ],
    ),
    // RFC 4861 §6.3.7: who still asks begins anew, with a source.
    (
        "link-local again",
        [
            "run +1", ".", "run +1", ".", ".", "run +1", "run +1", "run +1",
        ],
    ),
    // RFC 7559 §2, without end; three quarters of the shortest time.
    (
        "timer",
        [
            "run +1", "run +1", "run +1", "idle +1", ".", "run +1", "run +1", "run +1",
        ],
    ),
    (
        "14 s",
        [
            "run +n", ".", "run +n", "idle +1", ".", "run +n", "run +n", "run +n",
        ],
    ),
    (
        "lifetime over",
        [
            "run +n", "run +n", "run +n", "run +n", ".", "run +n", "run +n", "run +n",
        ],
    ),
    (
        "two hours",
        [
            "run +n", "run +n", "run +n", "run +n", ".", "run +n", "run +n", "run +n",
        ],
    ),
    (
        "preferred over",
        [
            "run +n", "run +n", "run +n", "run +n", ".", "run +n", "run +n", "run +n",
        ],
    ),
    (
        "all over",
        [
            "run +n", "run +n", "run +n", "run +n", ".", "run +n", "run +n", "run +n",
        ],
    ),
];

fn soliciting(state: &str) -> Network {
    let mut network = Network::new();
    let events: &[&str] = match state {
        "asking" => &[],
        "idle" | "refresh" | "owed" => &["RA"],
        "stopped" => &["RA", "carrier goes"],
        "doubted" => &["RA", "carrier comes"],
        "failed" => &["RA", "FAILED"],
        "resigned" => &["RA, lifetime 0"],
        other => panic!("no state is called {other}"),
    };
    network.step(2);
    after(&mut network, events);
    match state {
        "refresh" => after(&mut network, &["timer", "STALE"]),
        "owed" => {
            happen(&mut network, "renew");
            happen(&mut network, "renew");
        }
        _ => {}
    }
    network
}

fn solicitation(network: &Network) -> &'static str {
    let client = &network.client;
    match client.solicitation.sent() {
        _ if client.detached => {
            assert_eq!(client.solicitation.sent(), None, "there is nobody to ask");
            "stopped"
        }
        Some(_) => "run",
        None => "idle",
    }
}

#[test]
fn every_event_has_routers_asked_as_it_should_in_every_state() {
    let mut wrong = Vec::new();
    for (event, row) in SOLICITING {
        for (state, expected) in SOLICITATIONS.into_iter().zip(row) {
            let mut network = soliciting(state);
            let before = solicitation(&network);
            assert_eq!(
                before,
                if matches!(state, "idle" | "stopped") {
                    state
                } else {
                    "run"
                }
            );
            let sent = network.sent();
            happen(&mut network, event);
            let sent = match network.sent() - sent {
                0 => "",
                1 => " +1",
                _ => " +n",
            };
            let found = format!("{}{sent}", solicitation(&network));
            let expected = if expected == "." { before } else { expected };
            if found != expected {
                wrong.push(format!("{state} -- {event} --> {found}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
