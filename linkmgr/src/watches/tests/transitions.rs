//! Does every event lead where RFC 5227 and docs/links.md have it, for a static address that stays and for one that yields? The whole tables.

use super::*;

/// What can happen, in the order of each table.
const EVENTS: usize = 16;

/// How an address stands that stays (`"watch"`): `absent` is not on the link, `rest` is without a carrier, `settle` has just come, `clash` is
/// somebody else's; the others are as in the tables of [`Stage`] and [`Acd`].
const STAYING: [&str; 10] = [
    "absent", "rest", "settle", "wait", "quick1", "tell", "hold", "hold*", "clash", "deaf",
];

/// Event; how the address stands after it, in the order of [`STAYING`], and what is sent (`p` a probe, `a` an announcement) and told (`F` free,
/// `U` unknown, `N` unasked, `X` conflict, `D` defended); `.` leaves it as it is, and nothing is said.
const STAYS: [(&str, [&str; 10]); EVENTS] = [
    // Whoever is there is not known any more; what is there stays.
    (
        "carrier goes",
        [
            ".", ".", "rest", "rest", "rest", "rest", "rest", "rest", "rest U", "rest U",
        ],
    ),
    // RFC 5227 §2.1: with the carrier, another place and after a sleep the test is made anew.
    (
        "carrier comes",
        [".", "pause", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    (
        "another hardware address",
        [
            ".", "pause", ".", "pause", "pause", "pause", "pause", "pause", "pause U", "pause U",
        ],
    ),
    (
        "resume",
        [
            ".", ".", ".", "pause", "pause", "pause", "pause", "pause", "pause U", "pause U",
        ],
    ),
    // Links take turns.
    (
        "turn",
        [".", ".", ".", "quick1 p", ".", ".", ".", ".", ".", "."],
    ),
    // RFC 5227 §2.1.1, §2.3.
    (
        "timer",
        [
            ".", ".", "wait", ".", "quick2 p", "hold a", ".", ".", "wait", ".",
        ],
    ),
    // RFC 5227 §2.1.1; at the quick pace whoever only wants it is no conflict (docs/links.md).
    (
        "probe of another",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    // RFC 5227 §2.1.1, §2.4 b.
    (
        "reply",
        [
            ".", ".", ".", ".", "pause X", "tell* aD", "hold* aD", "pause X", ".", ".",
        ],
    ),
    // RFC 5227 §2.4: its sender is not another host.
    (
        "own echo",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    (
        "garbage",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    // docs/decisions.md: silence counts for nothing.
    (
        "no ARP",
        [
            ".", ".", ".", ".", "deaf N", "deaf N", "deaf N", "deaf N", ".", ".",
        ],
    ),
    (
        "ARP again",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", "pause"],
    ),
    // Somebody else may have put it there, or taken it away.
    (
        "it comes",
        ["pause", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    (
        "it goes",
        [
            ".", ".", "rest", "rest", "rest", "rest U", "rest U", "rest U", "rest U", "rest U",
        ],
    ),
    // From `"watch"` to `"probe"`, or back.
    (
        "another word",
        [
            "wait", ".", "hold", "hold", "hold", "hold U", "hold U", "hold U", "hold U", "deaf UN",
        ],
    ),
    (
        "not wanted",
        [
            "gone", "gone", "gone", "gone", "gone", "gone U", "gone U", "gone U", "gone U",
            "gone U",
        ],
    ),
];

/// How an address stands that yields (`"probe"`): but for `hold` it is not on the link yet.
const YIELDING: [&str; 8] = [
    "rest", "wait", "quick1", "tell", "hold", "hold*", "clash", "deaf",
];

/// Event; how the address stands after it, in the order of [`YIELDING`], and what is sent and told, as in [`STAYS`].
const YIELDS: [(&str, [&str; 8]); EVENTS] = [
    // Whoever is there is not known any more; what is there stays.
    (
        "carrier goes",
        [
            ".", "rest", "rest", "rest U", "rest", "rest", "rest U", "rest U",
        ],
    ),
    // RFC 5227 §2.1: with the carrier, another place and after a sleep the test is made anew.
    ("carrier comes", ["wait", ".", ".", ".", ".", ".", ".", "."]),
    (
        "another hardware address",
        [
            "wait", ".", "wait", "wait U", "pause", "pause", "wait U", "wait U",
        ],
    ),
    (
        "resume",
        [
            ".", ".", "wait", "wait U", "pause", "pause", "wait U", "wait U",
        ],
    ),
    // Links take turns.
    ("turn", [".", "quick1 p", ".", ".", ".", ".", ".", "."]),
    // RFC 5227 §2.1.1, §2.3.
    (
        "timer",
        [".", ".", "quick2 p", "hold a", ".", ".", "wait", "."],
    ),
    // RFC 5227 §2.1.1; at the quick pace whoever only wants it is no conflict (docs/links.md).
    ("probe of another", [".", ".", ".", ".", ".", ".", ".", "."]),
    // RFC 5227 §2.1.1, §2.4 b.
    (
        "reply",
        [
            ".", ".", "pause X", "tell* aD", "hold* aD", "pause X", ".", ".",
        ],
    ),
    // RFC 5227 §2.4: its sender is not another host.
    ("own echo", [".", ".", ".", ".", ".", ".", ".", "."]),
    ("garbage", [".", ".", ".", ".", ".", ".", ".", "."]),
    // docs/decisions.md: silence counts for nothing.
    (
        "no ARP",
        [".", ".", "deaf N", "deaf N", "deaf N", "deaf N", ".", "."],
    ),
    ("ARP again", [".", ".", ".", ".", ".", ".", ".", "wait"]),
    // Somebody else may have put it there, or taken it away.
    (
        "it comes",
        [".", "hold", "hold", ".", ".", ".", "hold", "."],
    ),
    (
        "it goes",
        [".", ".", ".", ".", "wait U", "wait U", ".", "."],
    ),
    // From `"watch"` to `"probe"`, or back.
    (
        "another word",
        [
            ".", "rest", "rest", "rest U", "hold U", "hold U", "rest U", "rest U",
        ],
    ),
    (
        "not wanted",
        [
            "gone", "gone", "gone", "gone U", "gone U", "gone U", "gone U", "gone U",
        ],
    ),
];

fn in_state(conflict_use: ConflictUse, state: &str) -> World {
    let mut world = World::new(conflict_use, false);
    let to_turn: &[&str] = match conflict_use.yields() {
        true => &[],
        false => &["it comes", "timer"],
    };
    let to_tell: &[&str] = match conflict_use.yields() {
        true => &["turn", "timer", "timer", "timer"],
        false => &["it comes", "timer", "turn", "timer", "timer", "timer"],
    };
    let events: &[&[&str]] = match state {
        "absent" => &[],
        "settle" => &[&["it comes"]],
        "rest" => &[to_turn, &["carrier goes"]],
        "wait" => &[to_turn],
        "quick1" => &[to_turn, &["turn"]],
        "clash" => &[to_turn, &["turn", "reply"]],
        "deaf" => &[to_turn, &["turn", "no ARP"]],
        "tell" => &[to_tell],
        "hold" => &[to_tell, &["it comes", "timer"]],
        "hold*" => &[to_tell, &["it comes", "timer", "reply"]],
        other => panic!("no state is called {other}"),
    };
    for event in events.concat() {
        world.happen(event);
        world.said();
    }
    assert_eq!(world.state(), name(state));
    world
}

fn name(state: &str) -> &str {
    match state {
        "absent" => "rest",
        "settle" | "clash" => "pause",
        _ => state,
    }
}

impl World {
    fn state(&self) -> String {
        let Some(watch) = self.watches.watch_by_address.get(&ADDRESS) else {
            return "gone".to_owned();
        };
        match &watch.stage {
            Stage::Resting => "rest".to_owned(),
            Stage::Waiting => "wait".to_owned(),
            Stage::Acting(acd) => acd.state(self.now),
            Stage::Pausing { .. } => "pause".to_owned(),
            Stage::Deaf => "deaf".to_owned(),
        }
    }

    fn happen(&mut self, event: &str) {
        let now = self.now;
        let watches = &mut self.watches;
        match event {
            "carrier goes" => watches.handle_link(OWN, false, now),
            "carrier comes" => watches.handle_link(OWN, true, now),
            "another hardware address" => watches.handle_link(Mac([2, 0, 0, 0, 0, 3]), true, now),
            "resume" => watches.handle_resume(now),
            "turn" => watches.grant(now),
            "timer" => {
                self.now = watches.poll_timeout().unwrap_or(now);
                watches.handle_timeout(self.now);
            }
            "probe of another" => {
                watches.handle_packet(&ArpPacket::probe(OTHER, ADDRESS).emit(), now);
            }
            "reply" => self.hear(OTHER),
            "own echo" => self.hear(OWN),
            "garbage" => {
                let octets = ArpPacket::announcement(OTHER, ADDRESS).emit();
                watches.handle_packet(&octets[..27], now);
                for length in [0, 1, 28, 1500] {
                    watches.handle_packet(&vec![2; length], now);
                }
            }
            "no ARP" => watches.handle_deaf(true, now),
            "ARP again" => watches.handle_deaf(false, now),
            "it comes" => self.has(true),
            "it goes" => self.has(false),
            "another word" => {
                let is_there = watches.watch_by_address[&ADDRESS].is_there;
                self.conflict_use = match self.conflict_use.yields() {
                    true => ConflictUse::Watch,
                    false => ConflictUse::Probe,
                };
                self.has(is_there);
            }
            "not wanted" => watches.apply(&BTreeMap::new(), &[], now),
            other => panic!("no event is called {other}"),
        }
    }

    /// Takes what was sent and told since.
    fn said(&mut self) -> String {
        let packets = std::iter::from_fn(|| self.watches.poll_transmit());
        let mut said: String = packets
            .map(|packet| if packet.is_probe() { 'p' } else { 'a' })
            .collect();
        while let Some(event) = self.watches.poll_event() {
            let (address, letter) = match event {
                Event::Found(address, Standing::Free) => (address, 'F'),
                Event::Found(address, Standing::Unknown) => (address, 'U'),
                Event::Found(address, Standing::Unasked) => (address, 'N'),
                Event::Found(address, Standing::Conflict(neighbour)) => {
                    assert_eq!(neighbour, OTHER);
                    (address, 'X')
                }
                Event::Defended(address, neighbour) => {
                    assert_eq!(neighbour, OTHER);
                    (address, 'D')
                }
            };
            assert_eq!(address, ADDRESS);
            said.push(letter);
        }
        said
    }
}

fn wrong<const STATES: usize>(
    conflict_use: ConflictUse,
    states: [&str; STATES],
    table: [(&str, [&str; STATES]); EVENTS],
) -> Vec<String> {
    let mut wrong = Vec::new();
    for (event, row) in table {
        for (state, expected) in states.into_iter().zip(row) {
            let mut world = in_state(conflict_use, state);
            world.happen(event);
            let found = format!("{} {}", world.state(), world.said());
            let expected = if expected == "." {
                name(state)
            } else {
                expected
            };
            if found.trim_end() != expected {
                wrong.push(format!("{state} -- {event} --> {found}, not {expected}"));
            }
        }
    }
    wrong
}

#[test]
fn every_event_leads_an_address_that_stays_where_it_should_from_every_state() {
    let wrong = wrong(ConflictUse::Watch, STAYING, STAYS);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_event_leads_an_address_that_yields_where_it_should_from_every_state() {
    let wrong = wrong(ConflictUse::Probe, YIELDING, YIELDS);
    assert!(wrong.is_empty(), "{wrong:#?}");
}
