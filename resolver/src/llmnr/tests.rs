//! Does LLMNR ask as RFC 4795 has it, believe whom it may, and end in time?

use std::net::IpAddr;

use policy::Owner;

use super::*;
use crate::wire::{class, rtype};

const WLAN: LinkId = LinkId { index: 2, birth: 1 };
const ETH: LinkId = LinkId { index: 3, birth: 1 };

fn link(id: LinkId, name: &str, address: &str) -> LlmnrLink {
    LlmnrLink {
        id,
        name: name.into(),
        owner: Owner::Resolver,
        addresses: vec![Prefix {
            address: address.parse().unwrap(),
            length: 24,
        }],
    }
}

fn plan(links: Vec<LlmnrLink>) -> MulticastPlan {
    MulticastPlan {
        llmnr: links,
        ..MulticastPlan::default()
    }
}

fn question(name: &str) -> Question {
    Question {
        name: name.parse().unwrap(),
        record_type: rtype::A,
        class: class::IN,
    }
}

/// A machine on links of ours, with a clock.
struct World {
    llmnr: Llmnr,
    now: Instant,
    /// When something was said, in milliseconds since the beginning, and where.
    said: Vec<(u128, PlaceId, Vec<u8>)>,
    dialled: Vec<(PlaceId, SocketAddr, Vec<u8>)>,
    ended: Vec<LlmnrId>,
}

const BEGINNING: Duration = Duration::from_secs(1000);

impl World {
    fn new(links: Vec<LlmnrLink>) -> Self {
        let now = Instant::ZERO + BEGINNING;
        let mut llmnr = Llmnr::new([7; 32]);
        llmnr.apply(&plan(links), now);
        Self {
            llmnr,
            now,
            said: Vec::new(),
            dialled: Vec::new(),
            ended: Vec::new(),
        }
    }

    fn one() -> Self {
        Self::new(vec![link(WLAN, "wlan0", "192.0.2.1")])
    }

    fn ask(&mut self, name: &str) -> LlmnrId {
        self.llmnr.inquire(&question(name), self.now).unwrap()
    }

    fn collect(&mut self) {
        while let Some(order) = self.llmnr.poll_order() {
            match order {
                Order::Say { place, wire, .. } => {
                    let at = (self.now.since(Instant::ZERO) - BEGINNING).as_millis();
                    self.said.push((at, place, wire));
                }
                Order::Dial {
                    place, to, wire, ..
                } => self.dialled.push((place, to, wire)),
                Order::End(id) => self.ended.push(id),
            }
        }
    }

    fn run_for(&mut self, millis: u64) {
        let until = self.now + Duration::from_millis(millis);
        while let Some(at) = self.llmnr.poll_timeout().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.llmnr.handle_timeout(self.now);
            self.collect();
        }
        self.now = until;
    }

    /// Runs until something was said so often.
    fn run_until_said(&mut self, count: usize) {
        for _ in 0..2000 {
            if self.said.len() >= count {
                return;
            }
            self.run_for(1);
        }
        panic!("said {} times, not {count}", self.said.len());
    }

    fn hear(&mut self, id: LlmnrId, source: &str, wire: Vec<u8>) {
        self.hear_at(id, WLAN, source, Some(wire), false);
    }

    fn hear_at(
        &mut self,
        id: LlmnrId,
        link: LinkId,
        source: &str,
        wire: Option<Vec<u8>>,
        by_tcp: bool,
    ) {
        let heard = Overheard {
            id,
            place: PlaceId {
                link,
                family: Family::V4,
            },
            source: SocketAddr::new(source.parse::<IpAddr>().unwrap(), LLMNR_PORT),
            by_tcp,
            wire,
        };
        self.llmnr.handle_overheard(&heard, self.now);
        self.collect();
    }

    fn finding(&mut self) -> Option<LlmnrFinding> {
        let (id, finding) = self.llmnr.poll_finding()?;
        assert!(self.ended.contains(&id), "its sockets are closed");
        Some(finding)
    }

    fn last_query(&self) -> Vec<u8> {
        self.said.last().unwrap().2.clone()
    }
}

/// A response to a query: its flags besides QR, and addresses for the name that was asked for.
fn response(query: &[u8], flags: u16, addresses: &[[u8; 4]]) -> Vec<u8> {
    let mut wire = query.to_vec();
    wire[2..4].copy_from_slice(&(0x8000 | flags).to_be_bytes());
    wire[7] = u8::try_from(addresses.len()).unwrap();
    for address in addresses {
        wire.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4]);
        wire.extend_from_slice(address);
    }
    wire
}

fn addresses(finding: &LlmnrFinding) -> Vec<Vec<u8>> {
    let LlmnrFinding::Records { records, .. } = finding else {
        panic!("no records: {finding:?}");
    };
    records.iter().map(|record| record.rdata.clone()).collect()
}

#[test]
fn a_question_is_said_three_times_and_then_nobody_has_the_name() {
    let mut world = World::one();
    let id = world.ask("printer");
    world.run_for(3000);
    let times: Vec<u128> = world.said.iter().map(|(at, ..)| *at).collect();
    assert_eq!(times.len(), 3, "RFC 4795 §2.7");
    assert!(times[0] <= 100, "the jitter: {times:?}");
    assert_eq!((times[1] - times[0], times[2] - times[1]), (100, 200));
    let query = world.last_query();
    assert_eq!(query[2..12], [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(query[12..], *b"\x07printer\0\0\x01\0\x01");
    assert_eq!(world.finding(), Some(LlmnrFinding::NoName));
    assert_eq!(world.ended, [id]);
    // A client asks again at once: nothing more is said, until it may have come.
    assert_eq!(
        world.llmnr.inquire(&question("printer"), world.now),
        Ok(LlmnrId(2)),
        "two seconds are over"
    );
}

#[test]
fn that_nobody_has_a_name_is_remembered_for_a_moment() {
    let mut world = World::one();
    world.ask("printer");
    world.run_for(1000);
    let again = world.llmnr.inquire(&question("printer"), world.now);
    assert_eq!(again, Err(LlmnrFinding::NoName));
}

#[test]
fn all_who_answer_within_the_timeout_are_heard_and_the_answer_is_kept() {
    let mut world = World::one();
    let id = world.ask("printer");
    world.run_until_said(1);
    let query = world.last_query();
    world.run_for(20);
    world.hear(id, "192.0.2.7", response(&query, C, &[[192, 0, 2, 7]]));
    assert_eq!(world.finding(), None, "LLMNR_TIMEOUT is waited for");
    world.run_for(20);
    world.hear(id, "192.0.2.8", response(&query, C, &[[192, 0, 2, 8]]));
    world.run_for(200);
    let finding = world.finding().unwrap();
    assert_eq!(addresses(&finding), [[192, 0, 2, 7], [192, 0, 2, 8]]);
    assert!(
        matches!(&finding, LlmnrFinding::Records { conflict, .. } if conflict.is_empty()),
        "both said that they share it"
    );
    assert_eq!(world.said.len(), 1, "nothing is said again");
    world.run_for(10_000);
    let LlmnrFinding::Records { records, .. } = world
        .llmnr
        .inquire(&question("printer"), world.now)
        .unwrap_err()
    else {
        panic!("it is known");
    };
    assert_eq!(records[0].ttl, 20, "and older by ten seconds");
    world.run_for(21_000);
    let late = world.llmnr.inquire(&question("printer"), world.now);
    assert!(late.is_ok(), "its time is over");
}

#[test]
fn two_who_have_a_name_alone_are_both_told_so() {
    let mut world = World::one();
    let id = world.ask("printer");
    world.run_until_said(1);
    let query = world.last_query();
    world.hear(id, "192.0.2.7", response(&query, 0, &[[192, 0, 2, 7]]));
    world.hear(id, "192.0.2.66", response(&query, 0, &[[192, 0, 2, 66]]));
    world.run_for(200);
    let finding = world.finding().unwrap();
    assert_eq!(addresses(&finding), [[192, 0, 2, 7], [192, 0, 2, 66]]);
    let LlmnrFinding::Records { conflict, .. } = finding else {
        panic!("records");
    };
    assert_eq!(conflict.len(), 2);
    let told = world.last_query();
    assert_eq!((world.said.len(), &told[2..4]), (2, &[0x04, 0][..]), "C");
    assert_eq!(world.llmnr.status()[0].conflicts, 1);
    world.run_for(3000);
    assert_eq!(world.said.len(), 2, "a question with C is not repeated");
}

#[test]
fn what_is_not_to_be_believed_is_ignored() {
    let spoil: [(&str, &str, fn(&mut Vec<u8>)); 9] = [
        ("from elsewhere", "198.51.100.7", |_| {}),
        ("another id", "192.0.2.7", |wire| wire[0] ^= 1),
        ("T", "192.0.2.7", |wire| wire[2] |= 1),
        ("an rcode", "192.0.2.7", |wire| wire[3] |= 3),
        ("no response", "192.0.2.7", |wire| wire[2] &= 0x7f),
        ("an opcode", "192.0.2.7", |wire| wire[2] |= 0x28),
        ("another name", "192.0.2.7", |wire| wire[13] = b'q'),
        ("cut", "192.0.2.7", |wire| wire.truncate(40)),
        ("no question", "192.0.2.7", |wire| wire[5] = 0),
    ];
    for (what, source, spoil) in spoil {
        let mut world = World::one();
        let id = world.ask("printer");
        world.run_until_said(1);
        let mut wire = response(&world.last_query(), 0, &[[192, 0, 2, 7]]);
        spoil(&mut wire);
        world.hear(id, source, wire);
        assert_eq!(world.llmnr.status()[0].ignored, 1, "{what}");
        world.run_for(3000);
        assert_eq!(world.finding(), Some(LlmnrFinding::NoName), "{what}");
    }
}

#[test]
fn a_neighbour_s_word_names_no_loopback_and_leads_nowhere() {
    let mut world = World::one();
    let id = world.ask("printer");
    world.run_until_said(1);
    let mut wire = response(&world.last_query(), 0, &[[127, 0, 0, 1]]);
    // An alias to another name, whose address comes with it.
    wire[7] = 3;
    wire.extend_from_slice(b"\xc0\x0c\0\x05\0\x01\0\0\0\x1e\0\x06\x04evil\0");
    wire.extend_from_slice(b"\x04evil\0\0\x01\0\x01\0\0\0\x1e\0\x04\xc0\0\x02\x42");
    world.hear(id, "192.0.2.7", wire);
    world.run_for(300);
    let link = "wlan0".into();
    assert_eq!(world.finding(), Some(LlmnrFinding::NoRecords { link }));
}

#[test]
fn what_was_cut_short_is_asked_by_tcp() {
    const TC: u16 = 0x0200;
    let begin = || {
        let mut world = World::one();
        let id = world.ask("printer");
        world.run_until_said(1);
        let wire = response(&world.last_query(), TC, &[]);
        world.hear(id, "192.0.2.7", wire);
        let (_, to, query) = world.dialled.pop().unwrap();
        assert_eq!(to, "192.0.2.7:5355".parse().unwrap());
        (world, id, query)
    };
    let (mut world, id, query) = begin();
    world.run_for(500);
    assert_eq!(world.finding(), None);
    let whole = response(&query, 0, &[[192, 0, 2, 7], [192, 0, 2, 17]]);
    world.hear_at(id, WLAN, "192.0.2.7", Some(whole), true);
    assert_eq!(addresses(&world.finding().unwrap()).len(), 2);

    for wire in [None, Some(2), Some(TC)] {
        let (mut world, id, query) = begin();
        let wire = wire.map(|flags| response(&query, flags, &[]));
        world.hear_at(id, WLAN, "192.0.2.7", wire, true);
        world.run_for(200);
        let finding = world.finding();
        assert!(
            matches!(finding, Some(LlmnrFinding::Failed { .. })),
            "{finding:?}"
        );
    }
    // Silence ends as well, and a stranger's answer by TCP counts for nothing.
    let (mut world, id, query) = begin();
    let whole = response(&query, 0, &[[192, 0, 2, 7]]);
    world.hear_at(id, WLAN, "192.0.2.9", Some(whole), true);
    world.run_for(1600);
    let finding = world.finding();
    assert!(
        matches!(finding, Some(LlmnrFinding::Failed { .. })),
        "{finding:?}"
    );
}

#[test]
fn the_best_link_that_has_the_name_wins_and_a_silent_one_is_not_waited_for_long() {
    let links = || {
        vec![
            link(ETH, "eth0", "198.51.100.1"),
            link(WLAN, "wlan0", "192.0.2.1"),
        ]
    };
    let ask = |answers: &[LinkId]| {
        let mut world = World::new(links());
        let id = world.ask("printer");
        world.run_until_said(2);
        for (_, place, query) in world.said.clone() {
            if answers.contains(&place.link) {
                let (from, octet) = match place.link == ETH {
                    true => ("198.51.100.7", [198, 51, 100, 7]),
                    false => ("192.0.2.7", [192, 0, 2, 7]),
                };
                let wire = Some(response(&query, 0, &[octet]));
                world.hear_at(id, place.link, from, wire, false);
            }
        }
        world.run_for(250);
        world.finding()
    };
    assert_eq!(
        addresses(&ask(&[WLAN, ETH]).unwrap()),
        [[198, 51, 100, 7]],
        "never both"
    );
    assert_eq!(addresses(&ask(&[WLAN]).unwrap()), [[192, 0, 2, 7]]);
}

#[test]
fn nothing_outlives_its_link() {
    let mut world = World::one();
    let id = world.ask("printer");
    world.run_until_said(1);
    let wire = response(&world.last_query(), 0, &[[192, 0, 2, 7]]);
    world.hear(id, "192.0.2.7", wire);
    world.run_for(200);
    assert!(world.finding().is_some());
    assert!(
        world
            .llmnr
            .inquire(&question("printer"), world.now)
            .is_err()
    );
    // The same link leads to another network.
    let now = world.now;
    let elsewhere = link(WLAN, "wlan0", "203.0.113.1");
    world.llmnr.apply(&plan(vec![elsewhere]), now);
    let id = world.ask("printer");
    world.run_for(10);
    // Switched off while somebody waits.
    world.llmnr.apply(&plan(vec![]), now);
    world.collect();
    assert_eq!(world.llmnr.poll_finding(), Some((id, LlmnrFinding::NoName)));
    assert_eq!(world.llmnr.poll_timeout(), None);
}

#[test]
fn slow_neighbours_are_waited_for_longer_the_next_time() {
    let mut world = World::one();
    for name in ["one", "two", "three"] {
        let id = world.ask(name);
        let before = world.said.len();
        world.run_until_said(before + 1);
        let query = world.last_query();
        world.run_for(90);
        world.hear(id, "192.0.2.7", response(&query, 0, &[[192, 0, 2, 7]]));
        world.run_for(1000);
        assert!(world.finding().is_some());
    }
    world.said.clear();
    world.ask("four");
    world.run_for(3000);
    let times: Vec<u128> = world.said.iter().map(|(at, ..)| *at).collect();
    assert!(times[1] - times[0] > 110, "{times:?}");
    assert!(
        times[2] - times[0] <= 2000,
        "a second at most each: {times:?}"
    );
}

#[test]
fn questions_and_answers_at_a_time_are_bounded() {
    let mut world = World::one();
    for number in 0..SIDES_MAX {
        world.ask(&format!("n{number}"));
    }
    let more = world.llmnr.inquire(&question("more"), world.now);
    assert_eq!(more, Err(LlmnrFinding::TooMany));
    let same = world.llmnr.inquire(&question("n0"), world.now);
    assert_eq!(same, Ok(LlmnrId(1)), "the same question is one inquiry");
    world.run_until_said(SIDES_MAX);
    let query = world
        .said
        .iter()
        .find(|(_, _, wire)| wire[13..15] == *b"n0")
        .unwrap();
    let query = query.2.clone();
    for host in 0..200 {
        let source = format!("192.0.2.{host}");
        world.hear(
            LlmnrId(1),
            &source,
            response(&query, C, &[[192, 0, 2, host]]),
        );
    }
    world.run_for(300);
    assert_eq!(addresses(&world.finding().unwrap()).len(), 16);
}

/// C: the name is shared.
const C: u16 = 0x0400;
