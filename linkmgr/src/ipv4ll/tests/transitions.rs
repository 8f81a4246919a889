//! Does every event lead from every state to the state that RFC 3927 has for it, and is what it wants sent and told? The whole table.

use super::*;

/// As in the table of [`Acd`], and besides: `tenth` is `ask0` after MAX_CONFLICTS conflicts, `last` is `hold*` after as many; `wait` is
/// the wait of RATE_LIMIT_INTERVAL.
const STATES: [&str; 11] = [
    "idle", "ask0", "ask1", "ask3", "tenth", "tell", "tell*", "hold", "hold*", "last", "wait",
];

/// Event; the state after it, in the order of [`STATES`], and what is sent (`p` a probe, `a` an announcement), told (`S` supplied, `X`
/// conflict, `W` withdrawn) and chosen (`n` a new address); `.` leaves the state as it is, and nothing is said.
const TABLE: [(&str, [&str; 11]); 13] = [
    // RFC 3927 §2.2.1: PROBE_WAIT comes first.
    (
        "carrier comes",
        ["ask0", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    (
        "carrier goes",
        [
            ".", "idle", "idle", "idle", "idle", "idle W", "idle W", "idle W", "idle W", "idle W",
            "idle",
        ],
    ),
    // RFC 3927 §2.2: the test comes before the use.
    (
        "resume",
        [
            ".", "ask0", "ask0", "ask0", "ask0", "ask0 W", "ask0 W", "ask0 W", "ask0 W", "ask0 W",
            "ask0",
        ],
    ),
    // RFC 3927 §2.2.1, until ANNOUNCE_WAIT is over.
    (
        "probe of another",
        [
            ".", "ask0 Xn", "ask0 Xn", "ask0 Xn", "wait Xn", ".", ".", ".", ".", ".", ".",
        ],
    ),
    (
        "probe for another",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    // RFC 3927 §2.2.1, with more than MAX_CONFLICTS in one search; §2.5 b once there is an address.
    (
        "reply",
        [
            ".", "ask0 Xn", "ask0 Xn", "ask0 Xn", "wait Xn", "tell* aX", "ask0 XWn", "hold* aX",
            "ask0 XWn", "ask0 XWn", ".",
        ],
    ),
    (
        "announcement of another",
        [
            ".", "ask0 Xn", "ask0 Xn", "ask0 Xn", "wait Xn", "tell* aX", "ask0 XWn", "hold* aX",
            "ask0 XWn", "ask0 XWn", ".",
        ],
    ),
    // DEFEND_INTERVAL.
    (
        "reply, ten seconds later",
        [
            ".", "ask0 Xn", "ask0 Xn", "ask0 Xn", "wait Xn", "tell* aX", "tell* aX", "hold* aX",
            "hold* aX", "hold* aX", ".",
        ],
    ),
    (
        "asked for",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    (
        "own echo",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    (
        "garbage",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
    // RFC 3927 §2.2.1: PROBE_NUM, ANNOUNCE_WAIT, RATE_LIMIT_INTERVAL; §2.4: ANNOUNCE_NUM.
    (
        "timer",
        [
            ".", "ask1 p", "ask2 p", "tell aS", "ask1 p", "hold a", "hold* a", ".", ".", ".",
            "ask0",
        ],
    ),
    (
        "timer, too early",
        [".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "."],
    ),
];

struct Link {
    client: Client,
    now: Instant,
}

impl Link {
    fn in_state(state: &'static str) -> Self {
        let now = Instant::ZERO;
        let mut link = Self {
            client: Client::new(OWN, 1),
            now,
        };
        if state == "idle" {
            return link;
        }
        link.happen("carrier comes");
        let conflicts = match state {
            "tenth" | "last" => acd::MAX_CONFLICTS,
            "wait" => acd::MAX_CONFLICTS + 1,
            _ => 0,
        };
        for _ in 0..conflicts {
            link.happen("reply");
        }
        let timers = match state {
            "ask1" => 1,
            "ask3" => 3,
            "tell" | "tell*" => 4,
            "hold" | "hold*" | "last" => 5,
            _ => 0,
        };
        for _ in 0..timers {
            link.happen("timer");
            // What is taken out is sent.
            link.said();
        }
        if matches!(state, "tell*" | "hold*" | "last") {
            link.happen("reply");
        }
        link.said();
        assert_eq!(link.state(), name(state));
        link
    }

    fn state(&self) -> String {
        match &self.client.stage {
            Stage::Idle => "idle".to_owned(),
            Stage::Watching(acd) => acd.state(self.now),
            Stage::Waiting(_) => "wait".to_owned(),
        }
    }

    fn hear(&mut self, packet: ArpPacket) {
        self.client.handle_packet(&packet.emit(), self.now);
    }

    fn happen(&mut self, event: &str) {
        let elsewhere = Ipv4Addr::new(169, 254, 1, 1);
        let address = self.client.address;
        match event {
            "carrier comes" => self.client.handle_carrier(true, self.now),
            "carrier goes" => self.client.handle_carrier(false, self.now),
            "resume" => self.client.handle_resume(self.now),
            "probe of another" => self.hear(ArpPacket::probe(OTHER, address)),
            "probe for another" => self.hear(ArpPacket::probe(OTHER, elsewhere)),
            // Nobody is listened to without a watch.
            "reply" if self.client.address().is_some() => conflict(&mut self.client, self.now),
            "reply" | "announcement of another" => {
                self.hear(ArpPacket::announcement(OTHER, address));
            }
            "reply, ten seconds later" => {
                self.now = self.now + Duration::from_secs(10);
                self.happen("reply");
            }
            "asked for" => self.hear(ArpPacket::request(OTHER, elsewhere, address)),
            "own echo" => {
                self.hear(ArpPacket::probe(OWN, address));
                self.hear(ArpPacket::announcement(OWN, address));
            }
            "garbage" => {
                let octets = ArpPacket::announcement(OTHER, address).emit();
                self.client.handle_packet(&octets[..27], self.now);
                // Of another network, another protocol, other lengths, and no operation.
                for at in [1, 3, 4, 5, 7] {
                    let mut octets = octets.clone();
                    octets[at] = 9;
                    self.client.handle_packet(&octets, self.now);
                }
                for length in [0, 1, 28, 1500] {
                    self.client.handle_packet(&vec![2; length], self.now);
                }
            }
            "timer" => {
                self.now = self.client.poll_timeout().unwrap_or(self.now);
                self.client.handle_timeout(self.now);
            }
            "timer, too early" => self.client.handle_timeout(self.now),
            other => panic!("no event is called {other}"),
        }
    }

    /// Takes what was sent and told since.
    fn said(&mut self) -> String {
        let packets = std::iter::from_fn(|| self.client.poll_transmit());
        let mut said: String = packets
            .map(|packet| if packet.is_probe() { 'p' } else { 'a' })
            .collect();
        while let Some(event) = self.client.poll_event() {
            said.push(match event {
                Event::Supplied(supply) => {
                    let address = self.client.address().expect("it is held");
                    assert_eq!(supply.addresses[0].prefix.address, IpAddr::V4(address));
                    'S'
                }
                Event::Withdrawn => 'W',
                Event::Conflict { neighbour, .. } => {
                    assert_eq!(neighbour, OTHER);
                    'X'
                }
            });
        }
        said
    }
}

fn name(state: &'static str) -> &'static str {
    match state {
        "tenth" => "ask0",
        "last" => "hold*",
        _ => state,
    }
}

#[test]
fn every_event_leads_where_it_should_from_every_state() {
    let mut wrong = Vec::new();
    for (event, row) in TABLE {
        for (state, expected) in STATES.into_iter().zip(row) {
            let mut link = Link::in_state(state);
            let before = link.client.address;
            link.happen(event);
            let mut found = format!("{} {}", link.state(), link.said());
            if link.client.address != before {
                found.push('n');
            }
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
    assert!(wrong.is_empty(), "{wrong:#?}");
}
