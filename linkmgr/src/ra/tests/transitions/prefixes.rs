//! Does a prefix live as RFC 4861 §6.3.4, RFC 4862 §5.5.3, RFC 9096 §3.5 and RFC 9762 say, whatever happens?

use config::time::Instant;

use super::*;

/// What a prefix is good for: its address is preferred (`pref`; `short`, for two hours at most), deprecated (`depr`; `cut`, for two hours at
/// most) or not there; it is on the link (`L`), and offers delegation (`P`). `LP` has an address of one that was delegated instead; `taken`
/// is on the link, and all addresses of it are somebody else's.
const PREFIXES: [&str; 11] = [
    "none", "pref L", "pref", "L", "depr L", "cut L", "short L", "pref LP", "P", "LP", "taken",
];

/// Event; what the prefix is good for after it, in the order of [`PREFIXES`]; `.` leaves it as it is.
pub(super) const LIVING: [(&str, [&str; 11]); EVENTS] = [
    // RFC 4861 §6.3.4, RFC 4862 §5.5.3; the prefix outlives that its router is one.
    (
        "RA",
        [
            "pref L", ".", "pref L", "pref L", "pref L", "pref L", "pref L", "pref L", "pref L",
            "pref L", ".",
        ],
    ),
    (
        "RA, lifetime 0",
        [
            "pref L", ".", "pref L", "pref L", "pref L", "pref L", "pref L", "pref L", "pref L",
            "pref L", ".",
        ],
    ),
    // RFC 9096 §3.5, and docs/decisions.md.
    (
        "RA, without the prefix",
        [
            ".", "cut L", "cut", ".", ".", ".", "cut L", "cut L", "none", "L", ".",
        ],
    ),
    // RFC 4861 §6.3.4: what a packet does not mention stays.
    (
        "RA, without prefixes",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    // RFC 4862 §5.5.4.
    (
        "RA, preferred 0",
        [
            "depr L", "depr L", "depr L", "depr L", ".", "depr L", "depr L", "depr L", "depr L",
            "depr L", ".",
        ],
    ),
    // RFC 4861 §6.3.4 ends what is on the link; RFC 4862 §5.5.3 d, e.
    (
        "RA, valid 0",
        [
            ".", "cut", "cut", "none", "cut", "cut", "cut", "cut", "none", "cut", "none",
        ],
    ),
    // RFC 4862 §5.5.3 e: two hours, but preferred as it says.
    (
        "RA, valid 600",
        [
            "short L", "short L", "short L", "short L", "short L", "short L", ".", "short L",
            "short L", "short L", ".",
        ],
    ),
    // RFC 9762 §7.1.
    (
        "RA, with P",
        [
            "pref LP", "pref LP", "pref LP", "pref LP", "pref LP", "pref LP", "pref LP", ".",
            "pref LP", ".", "LP",
        ],
    ),
    // RFC 9762 §7.1: what is not preferred offers nothing; beside a prefix of our own there is no address of it all the same.
    (
        "RA, with P, preferred 0",
        [
            "depr L", "depr L", "depr L", "depr L", ".", "depr L", "depr L", "depr L", "depr L",
            "L", ".",
        ],
    ),
    (
        "RA of another",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    (
        "RA of another, 5 s",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
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
    // docs/decisions.md: addresses and routes are used on.
    (
        "carrier goes",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    (
        "carrier comes",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    // docs/links.md: what is left behind is deprecated.
    (
        "carrier comes, 15 s",
        [
            ".", "cut L", "cut", ".", ".", ".", "cut L", "cut L", "none", "L", ".",
        ],
    ),
    // RFC 4861 §6.3.6: what a router says of the link holds, however it stands.
    (
        "REACHABLE",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    (
        "STALE",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    (
        "FAILED",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    (
        "NA without R",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    // RFC 7217 §6: another one, of the same prefix.
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
    (
        "timer",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    (
        "14 s",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    // RFC 4861 §6.3.4, §6.3.5.
    (
        "lifetime over",
        [".", ".", ".", ".", ".", ".", "cut", ".", ".", ".", "."],
    ),
    // RFC 4862 §5.5.4.
    (
        "two hours",
        [".", ".", ".", ".", ".", "none", "none", ".", ".", ".", "."],
    ),
    // RFC 4862 §5.5.4; RFC 9762 §7.1: what is not preferred offers nothing.
    (
        "preferred over",
        [
            ".", "depr L", "depr", ".", ".", "none", "none", "depr L", "none", "L", ".",
        ],
    ),
    (
        "all over",
        [
            ".", "none", "none", "none", "none", "none", "none", "none", "none", "none", "none",
        ],
    ),
];

fn living(state: &str) -> Network {
    let mut network = Network::new();
    network.step(2);
    let flags = match state {
        "none" => 0,
        "pref" => AUTO,
        "L" => L,
        "pref LP" | "LP" => L | AUTO | DELEGATION,
        "P" => DELEGATION,
        _ => L | AUTO,
    };
    network.hear(A, &with_prefix(flags, DAY, PREFERRED));
    match state {
        "depr L" => happen(&mut network, "RA, preferred 0"),
        "cut L" => happen(&mut network, "RA, without the prefix"),
        "short L" => happen(&mut network, "RA, valid 600"),
        "LP" => {
            let handed_on = Delegation::HandedOn;
            network.client.handle_delegation(handed_on, network.now);
            network.drain();
        }
        "taken" => after(&mut network, &["DAD failed"; 4]),
        _ => {}
    }
    // Not a packet in several parts.
    network.step(20);
    network
}

fn prefix(network: &Network) -> String {
    let client = &network.client;
    let supply = network.supply();
    let own = address(network).map(IpAddr::V6);
    let own = supply
        .addresses
        .iter()
        .find(|one| Some(one.prefix.address) == own);
    let ends_in = |seconds: u64, until: Option<Instant>| {
        until.is_some_and(|until| until <= network.at(seconds))
    };
    let own = own.map(|own| {
        let is_short = ends_in(2 * HOURS, own.valid_until);
        match (ends_in(0, own.preferred_until), is_short) {
            (false, false) => "pref",
            (false, true) => "short",
            (true, false) => "depr",
            (true, true) => "cut",
        }
    });
    let mut known = client.prefixes.list.iter();
    let known = known.find(|known| known.prefix.to_string().starts_with(P));
    let on_link = known.is_some_and(|known| known.on_link.is_some());
    let letters = [(on_link, "L"), (network.flags.delegation, "P")];
    let letters: String = letters
        .iter()
        .filter_map(|(is_so, letter)| is_so.then_some(*letter))
        .collect();
    match (own, letters.as_str()) {
        (None, "") => "none".to_owned(),
        (Some(own), "") => own.to_owned(),
        (None, letters) => letters.to_owned(),
        (Some(own), letters) => format!("{own} {letters}"),
    }
}

#[test]
fn every_event_leads_a_prefix_where_it_should_from_every_state() {
    let mut wrong = Vec::new();
    for (event, row) in LIVING {
        for (state, expected) in PREFIXES.into_iter().zip(row) {
            let mut network = living(state);
            let before = prefix(&network);
            assert_eq!(before, if state == "taken" { "L" } else { state });
            happen(&mut network, event);
            let found = prefix(&network);
            let expected = if expected == "." { &before } else { expected };
            if found != expected {
                wrong.push(format!("{state} -- {event} --> {found}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
