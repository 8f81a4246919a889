//! Does every event lead from every state to the state that RFC 5227 has for it, and is what it wants sent and told? The whole table.

use super::*;

/// `askN` and `quickN`: so many probes were sent, at the pace of RFC 5227 or of a server's addresses; after three, ANNOUNCE_WAIT runs.
/// `*`: the address was defended less than DEFEND_INTERVAL ago.
const STATES: [&str; 10] = [
    "ask0", "ask1", "ask3", "quick1", "quick3", "tell", "tell*", "hold", "hold*", "over",
];

/// Event; the state after it, in the order of [`STATES`], and what is sent (`p` a probe, `a` an announcement) and told (`C` nobody objects,
/// `D` defended, `X` conflict before the announcement, `L` lost); `.` leaves the state as it is, and nothing is said.
const TABLE: [(&str, [&str; 10]); 12] = [
    // RFC 5227 §2.1.1. At the quick pace the address is used, and the kernel has an answer.
    (
        "probe of another",
        [
            "over X", "over X", "over X", ".", ".", ".", ".", ".", ".", ".",
        ],
    ),
    (
        "probe for another",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    // RFC 5227 §2.1.1, until ANNOUNCE_WAIT is over; then §2.4 b.
    (
        "reply",
        [
            "over X", "over X", "over X", "over X", "over X", "tell* aD", "over L", "hold* aD",
            "over L", ".",
        ],
    ),
    (
        "announcement of another",
        [
            "over X", "over X", "over X", "over X", "over X", "tell* aD", "over L", "hold* aD",
            "over L", ".",
        ],
    ),
    (
        "reply, nine seconds later",
        [
            "over X", "over X", "over X", "over X", "over X", "tell* aD", "over L", "hold* aD",
            "over L", ".",
        ],
    ),
    // DEFEND_INTERVAL.
    (
        "reply, ten seconds later",
        [
            "over X", "over X", "over X", "over X", "over X", "tell* aD", "tell* aD", "hold* aD",
            "hold* aD", ".",
        ],
    ),
    // RFC 826: the kernel answers.
    (
        "asked for",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    (
        "another's address is used",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    // RFC 5227 §2.1.1, §2.4: its sender is not another host.
    (
        "own echo",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    // RFC 5227 §1.1: only a request is a probe.
    (
        "reply of nobody",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    // RFC 5227 §2.1.1: PROBE_NUM, ANNOUNCE_WAIT; §2.3: ANNOUNCE_NUM.
    (
        "timer",
        [
            "ask1 p", "ask2 p", "tell aC", "quick2 p", "tell aC", "hold a", "hold* a", ".", ".",
            ".",
        ],
    ),
    (
        "timer, too early",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
];

impl Acd {
    /// Names the state as [`STATES`] does.
    pub(crate) fn state(&self, now: Instant) -> String {
        let is_fresh = |at: Instant| now.since(at) < DEFEND_INTERVAL;
        let mark = match self.defended_at.is_some_and(is_fresh) {
            true => "*",
            false => "",
        };
        match self.phase {
            Phase::Probing { sent, .. } if self.pace == Pace::CAREFUL => format!("ask{sent}"),
            Phase::Probing { sent, .. } => format!("quick{sent}"),
            Phase::Announcing { .. } => format!("tell{mark}"),
            Phase::Holding => format!("hold{mark}"),
            Phase::Over => "over".to_owned(),
        }
    }
}

struct Watch {
    acd: Acd,
    now: Instant,
}

impl Watch {
    fn in_state(state: &str) -> Self {
        let now = Instant::ZERO;
        let acd = match state {
            "quick1" | "quick3" => Acd::new(ADDRESS, OWN, Pace::QUICK, 1, now),
            "ask0" | "ask1" | "ask3" | "over" => Acd::new(ADDRESS, OWN, Pace::CAREFUL, 1, now),
            _ => Acd::hold(ADDRESS, OWN, 1, now),
        };
        let mut watch = Self { acd, now };
        let timers = match state {
            "ask1" | "hold" | "hold*" => 1,
            "quick3" => 2,
            "ask3" => 3,
            _ => 0,
        };
        for _ in 0..timers {
            watch.happen("timer");
        }
        if matches!(state, "over" | "tell*" | "hold*") {
            watch.happen("reply");
        }
        watch.said();
        assert_eq!(watch.acd.state(watch.now), state);
        watch
    }

    fn happen(&mut self, event: &str) {
        let elsewhere = Ipv4Addr::new(192, 0, 2, 8);
        let mut hear = |packet: ArpPacket| self.acd.handle_arp(&packet, self.now);
        match event {
            "probe of another" => hear(ArpPacket::probe(OTHER, ADDRESS)),
            "probe for another" => hear(ArpPacket::probe(OTHER, elsewhere)),
            "reply" => hear(answer(OTHER)),
            "announcement of another" => hear(ArpPacket::announcement(OTHER, ADDRESS)),
            "reply, nine seconds later" => {
                self.now = self.now + DEFEND_INTERVAL - Duration::from_secs(1);
                self.happen("reply");
            }
            "reply, ten seconds later" => {
                self.now = self.now + DEFEND_INTERVAL;
                self.happen("reply");
            }
            "asked for" => hear(ArpPacket::request(OTHER, elsewhere, ADDRESS)),
            "another's address is used" => hear(ArpPacket::announcement(OTHER, elsewhere)),
            "own echo" => {
                hear(ArpPacket::probe(OWN, ADDRESS));
                hear(ArpPacket::announcement(OWN, ADDRESS));
                hear(answer(OWN));
            }
            "reply of nobody" => hear(ArpPacket {
                sender_address: Ipv4Addr::UNSPECIFIED,
                target_address: ADDRESS,
                ..answer(OTHER)
            }),
            "timer" => {
                self.now = self.acd.poll_timeout().unwrap_or(self.now);
                self.acd.handle_timeout(self.now);
            }
            "timer, too early" => self.acd.handle_timeout(self.now),
            other => panic!("no event is called {other}"),
        }
    }

    /// Takes what was sent and told since.
    fn said(&mut self) -> String {
        let mut said = String::new();
        while let Some(packet) = self.acd.poll_transmit() {
            assert_eq!((packet.sender, packet.target_address), (OWN, ADDRESS));
            said.push(if packet.is_probe() { 'p' } else { 'a' });
        }
        while let Some(event) = self.acd.poll_event() {
            let (letter, neighbour) = match event {
                Event::Clear => ('C', OTHER),
                Event::Conflict(neighbour) => ('X', neighbour),
                Event::Defended(neighbour) => ('D', neighbour),
                Event::Lost(neighbour) => ('L', neighbour),
            };
            assert_eq!(neighbour, OTHER);
            said.push(letter);
        }
        said
    }
}

#[test]
fn every_event_leads_where_it_should_from_every_state() {
    let mut wrong = Vec::new();
    for (event, row) in TABLE {
        for (state, expected) in STATES.into_iter().zip(row) {
            let mut watch = Watch::in_state(state);
            watch.happen(event);
            let after = watch.acd.state(watch.now);
            let found = format!("{after} {}", watch.said());
            let expected = if expected == "." { state } else { expected };
            if found.trim_end() != expected {
                wrong.push(format!("{state} -- {event} --> {found}, not {expected}"));
            }
            let is_timed = ["ask", "quick", "tell"];
            let is_timed = is_timed.iter().any(|name| after.starts_with(name));
            assert_eq!(watch.acd.poll_timeout().is_some(), is_timed, "{found}");
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
