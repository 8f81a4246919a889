//! Does a router count as RFC 4861 §6.3.4, §6.3.6, §7.2.5 and §7.3 say, whatever happens, alone and beside another?

use super::*;

/// How a router stands: `resigned` is no default router, `pardoned` is failed, but its penalty is over, `away` is without a carrier,
/// `doubted` has not spoken since it came, `reached` neither, but the kernel has reached it. `/f` has failed, `/r` has resigned.
const ROUTERS: [&str; 11] = [
    "unknown", "usable", "resigned", "failed", "pardoned", "away", "away/f", "away/r", "doubted",
    "reached", "doubt/r",
];

/// Event; how the router stands after it, in the order of [`ROUTERS`]; `.` leaves it as it is.
pub(super) const STANDING: [(&str, [&str; 11]); EVENTS] = [
    // RFC 4861 §6.3.4. Hearing is not reaching (docs/decisions.md). What is read without a carrier is of the place before.
    (
        "RA",
        [
            "usable", ".", "usable", ".", "usable", ".", ".", ".", "usable", "usable", "usable",
        ],
    ),
    // RFC 4861 §6.3.4.
    (
        "RA, lifetime 0",
        [
            "resigned", "resigned", ".", "resigned", "resigned", ".", ".", ".", "resigned",
            "resigned", "resigned",
        ],
    ),
    (
        "RA, without the prefix",
        [
            "usable", ".", "usable", ".", "usable", ".", ".", ".", "usable", "usable", "usable",
        ],
    ),
    (
        "RA, without prefixes",
        [
            "usable", ".", "usable", ".", "usable", ".", ".", ".", "usable", "usable", "usable",
        ],
    ),
    (
        "RA, preferred 0",
        [
            "usable", ".", "usable", ".", "usable", ".", ".", ".", "usable", "usable", "usable",
        ],
    ),
    (
        "RA, valid 0",
        [
            "usable", ".", "usable", ".", "usable", ".", ".", ".", "usable", "usable", "usable",
        ],
    ),
    (
        "RA, valid 600",
        [
            "usable", ".", "usable", ".", "usable", ".", ".", ".", "usable", "usable", "usable",
        ],
    ),
    (
        "RA, with P",
        [
            "usable", ".", "usable", ".", "usable", ".", ".", ".", "usable", "usable", "usable",
        ],
    ),
    (
        "RA, with P, preferred 0",
        [
            "usable", ".", "usable", ".", "usable", ".", ".", ".", "usable", "usable", "usable",
        ],
    ),
    (
        "RA of another",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    // docs/links.md: who does not answer beside it is left behind.
    (
        "RA of another, 5 s",
        [
            ".", ".", ".", ".", ".", ".", ".", ".", "unknown", "unknown", "unknown",
        ],
    ),
    // RFC 4861 §6.1.2.
    (
        "half a packet",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    (
        "hop limit 254",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    // docs/decisions.md: addresses and routes hurt nobody, names wait.
    (
        "carrier goes",
        [
            ".", "away", "away/r", "away/f", "away/f", ".", ".", ".", "away", "away", "away/r",
        ],
    ),
    // What was not reached may be there.
    (
        "carrier comes",
        [
            ".", "doubted", "doubt/r", "doubted", "doubted", "doubted", "doubted", "doubt/r", ".",
            "doubted", ".",
        ],
    ),
    // docs/links.md: where nobody answers all are left behind,
    (
        "carrier comes, 15 s",
        [
            ".", "unknown", "unknown", "unknown", "unknown", "unknown", "unknown", "unknown",
            "unknown", "unknown", "unknown",
        ],
    ),
    // RFC 4861 §7.3.1.
    (
        "REACHABLE",
        [
            ".", ".", ".", "usable", "usable", ".", "away", ".", "reached", ".", ".",
        ],
    ),
    // RFC 4861 §7.3.2: nothing speaks against it.
    (
        "STALE",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    // RFC 4861 §7.3.3, §6.3.6.
    (
        "FAILED",
        [
            ".", "failed", ".", ".", ".", "away/f", ".", ".", "failed", "failed", ".",
        ],
    ),
    // RFC 4861 §7.2.5.
    (
        "NA without R",
        [
            ".", "resigned", ".", "resigned", "resigned", "away/r", "away/r", ".", "doubt/r",
            "doubt/r", ".",
        ],
    ),
    (
        "DAD failed",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    (
        "renew",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    (
        "link-local again",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    // RFC 4861 §6.3.5 in the end: nobody is asked without a carrier.
    (
        "timer",
        [
            ".", ".", ".", ".", ".", "away/r", "away/r", ".", ".", ".", ".",
        ],
    ),
    // but for whom the kernel has reached.
    (
        "14 s",
        [
            ".", ".", ".", ".", ".", ".", ".", ".", "unknown", ".", "unknown",
        ],
    ),
    // RFC 4861 §6.3.5.
    (
        "lifetime over",
        [
            ".", "resigned", ".", "resigned", "resigned", "away/r", "away/r", ".", "unknown",
            "doubt/r", "unknown",
        ],
    ),
    (
        "two hours",
        [
            ".", "resigned", ".", "resigned", "resigned", "away/r", "away/r", ".", "unknown",
            "doubt/r", "unknown",
        ],
    ),
    (
        "preferred over",
        [
            ".", "resigned", ".", "resigned", "resigned", "away/r", "away/r", ".", "unknown",
            "doubt/r", "unknown",
        ],
    ),
    (
        "all over",
        [
            ".", "unknown", "unknown", "unknown", "unknown", "unknown", "unknown", "unknown",
            "unknown", "unknown", "unknown",
        ],
    ),
];

/// What is supplied of a router as it stands: a route, when it is alone and beside another; whether its resolvers are asked, where that
/// follows from it (RFC 4861 §6.3.6, and docs/decisions.md).
const SUPPLIED: [(&str, bool, bool, Option<bool>); 10] = [
    ("unknown", false, false, Some(false)),
    ("usable", true, true, Some(true)),
    ("resigned", false, false, None),
    // Who is not reached is better than nobody.
    ("failed", true, false, None),
    // No name is sent between two places.
    ("away", true, true, Some(false)),
    ("away/f", true, false, Some(false)),
    ("away/r", false, false, Some(false)),
    ("doubted", true, true, Some(false)),
    ("reached", true, true, Some(false)),
    ("doubt/r", false, false, Some(false)),
];

fn standing(state: &str, beside_another: bool) -> Network {
    let mut network = Network::new();
    if beside_another {
        network.hear(B, &other());
    }
    let events: &[&str] = match state {
        "unknown" => &[],
        "usable" => &["RA"],
        "resigned" => &["RA", "NA without R"],
        "failed" | "pardoned" => &["RA", "FAILED"],
        "away" => &["RA", "carrier goes"],
        "away/f" => &["RA", "FAILED", "carrier goes"],
        "away/r" => &["RA, lifetime 0", "carrier goes"],
        "doubted" => &["RA", "carrier comes"],
        "reached" => &["RA", "carrier comes", "REACHABLE"],
        "doubt/r" => &["RA, lifetime 0", "carrier comes"],
        other => panic!("no state is called {other}"),
    };
    network.step(2);
    after(&mut network, events);
    if state == "pardoned" {
        network.step(30);
    }
    network
}

fn router(network: &Network) -> &'static str {
    let client = &network.client;
    let address: Ipv6Addr = A.parse().unwrap();
    let Some(router) = client.routers.iter().find(|known| known.address == address) else {
        return "unknown";
    };
    let is_default = router.default_route().is_some();
    match (client.detached, is_default) {
        (true, false) => "away/r",
        (true, true) if router.reach.is_failed() => "away/f",
        (true, true) => "away",
        (false, false) if router.confirmed => "resigned",
        (false, false) => "doubt/r",
        (false, true) if router.reach.is_failed() => "failed",
        (false, true) if router.confirmed => "usable",
        (false, true) if router.reached => "reached",
        (false, true) => "doubted",
    }
}

#[test]
fn every_event_leads_a_router_where_it_should_from_every_state() {
    let mut wrong = Vec::new();
    for (event, row) in STANDING {
        for (state, expected) in ROUTERS.into_iter().zip(row) {
            for beside_another in [false, true] {
                let mut network = standing(state, beside_another);
                let before = router(&network);
                assert_eq!(before, if state == "pardoned" { "failed" } else { state });
                happen(&mut network, event);
                let found = router(&network);
                let expected = if expected == "." { before } else { expected };
                let cell = format!("{state} (beside another: {beside_another}) -- {event} -->");
                if found != expected {
                    wrong.push(format!("{cell} {found}, not {expected}"));
                    continue;
                }
                let row = SUPPLIED.iter().find(|row| row.0 == found).unwrap();
                let is_alone = !network.routes().contains(&format!("::/0 via {B}"));
                let has_route = network.routes().contains(&format!("::/0 via {A}"));
                if has_route != if is_alone { row.1 } else { row.2 } {
                    wrong.push(format!("{cell} {found}, with a route: {has_route}"));
                }
                let upstreams = network.supply().upstreams;
                let is_asked = upstreams.iter().any(|one| one.address.to_string() == NAMED);
                if row.3.is_some_and(|expected| expected != is_asked) {
                    wrong.push(format!("{cell} {found}, with resolvers: {is_asked}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
