//! A small Internet: servers by address, each with zones as lists of records, and with habits, good and bad.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use config::name::DomainName;
use config::time::Instant;

use crate::event::Channel;
use crate::record::{ParsedReply, RawRecord, parse_reply};
use crate::recursion::{Addresses, Ask, Reach, Recursion, Settings, WalkFailure};
use crate::wire::{Question, class, rcode, rtype};

pub(crate) const BUDGET: Duration = Duration::from_secs(20);
pub(crate) const BOTH: Reach = Reach { v4: true, v6: true };

/// What is wrong with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    Good,
    Silent,
    /// REFUSED to all.
    Lame,
    /// Refers to the root.
    Upward,
    /// NXDOMAIN for names that exist only because others are below them.
    DeniesEmpty,
    /// FORMERR to questions with OPT.
    NoEdns,
    /// TC by UDP, always.
    Truncates,
    /// Answers another question first.
    Confused,
    /// Loses the first so many questions.
    Loses(u32),
}

#[derive(Debug)]
struct Host {
    zones: Vec<DomainName>,
    habit: Habit,
    asked: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Internet {
    hosts: BTreeMap<IpAddr, Host>,
    records: BTreeMap<DomainName, Vec<RawRecord>>,
    /// Appended to the additional section of every reply of a server.
    pub(crate) poison: BTreeMap<IpAddr, Vec<RawRecord>>,
}

#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) result: Result<ParsedReply, WalkFailure>,
    pub(crate) asks: Vec<Ask>,
    pub(crate) elapsed: Duration,
}

pub(crate) fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

pub(crate) fn question(text: &str, record_type: u16) -> Question {
    Question {
        name: name(text),
        record_type,
        class: class::IN,
    }
}

/// `OWNER TYPE VALUE`, as in a zone file; DS and RRSIG take any value.
pub(crate) fn record(text: &str) -> RawRecord {
    let mut words = text.split_whitespace();
    let owner = name(words.next().unwrap());
    let kind = words.next().unwrap();
    let value = words.next().unwrap();
    let wire = |value: &str| name(value).as_wire().to_vec();
    let (record_type, rdata) = match kind {
        "A" | "AAAA" => return RawRecord::address(&owner, value.parse().unwrap(), 300),
        "NS" => (rtype::NS, wire(value)),
        "CNAME" => (rtype::CNAME, wire(value)),
        "DNAME" => (rtype::DNAME, wire(value)),
        "SOA" => (rtype::SOA, [wire(value), wire("."), vec![0; 20]].concat()),
        "DS" => (rtype::DS, vec![0, 1, 13, 2, 9, 9]),
        "RRSIG" => {
            let covered: u16 = value.parse().unwrap();
            let rest = vec![0; 17];
            (
                rtype::RRSIG,
                [covered.to_be_bytes().to_vec(), rest].concat(),
            )
        }
        other => panic!("{other}"),
    };
    RawRecord::new(&owner, record_type, 300, rdata)
}

impl Internet {
    /// A root and `test`, each with one server by v4: 1.0.0.1 and 1.0.0.2.
    pub(crate) fn new() -> Self {
        let mut net = Self::default();
        net.zone(
            ".",
            &["1.0.0.1"],
            &[
                ". NS ns.root",
                "ns.root A 1.0.0.1",
                "test NS ns.test",
                "ns.test A 1.0.0.2",
            ],
        );
        net.zone(
            "test",
            &["1.0.0.2"],
            &["test NS ns.test", "ns.test A 1.0.0.2"],
        );
        net
    }

    pub(crate) fn zone(&mut self, apex: &str, servers: &[&str], records: &[&str]) {
        for server in servers {
            let host = self
                .hosts
                .entry(server.parse().unwrap())
                .or_insert_with(|| Host {
                    zones: Vec::new(),
                    habit: Habit::Good,
                    asked: 0,
                });
            host.zones.push(name(apex));
        }
        self.add(apex, records);
        self.add(apex, &[&format!("{apex} SOA {apex}")]);
    }

    pub(crate) fn add(&mut self, apex: &str, records: &[&str]) {
        let all = self.records.entry(name(apex)).or_default();
        all.extend(records.iter().map(|text| record(text)));
    }

    pub(crate) fn habit(&mut self, server: &str, habit: Habit) {
        self.hosts.get_mut(&server.parse().unwrap()).unwrap().habit = habit;
    }

    pub(crate) fn recursion(&self) -> Recursion {
        self.recursion_with(Addresses::Any)
    }

    pub(crate) fn recursion_with(&self, addresses: Addresses) -> Recursion {
        let mut settings = Settings::new([3; 32]);
        settings.addresses = addresses;
        settings.hints = vec![(
            name("ns.root"),
            self.hosts
                .iter()
                .filter(|(_, host)| host.zones.contains(&DomainName::root()))
                .map(|(&address, _)| address)
                .collect(),
        )];
        Recursion::new(settings)
    }

    pub(crate) fn resolve(&mut self, asked: &str, record_type: u16) -> Run {
        let mut recursion = self.recursion();
        self.resolve_with(
            &mut recursion,
            question(asked, record_type),
            BOTH,
            Instant::ZERO,
        )
    }

    pub(crate) fn resolve_with(
        &mut self,
        recursion: &mut Recursion,
        asked: Question,
        reach: Reach,
        start: Instant,
    ) -> Run {
        let mut now = start;
        let mut walk = recursion.begin(asked.clone(), true, reach, BUDGET, now);
        let mut asks = Vec::new();
        let mut mail = VecDeque::new();
        loop {
            while let Some(ask) = walk.poll_transmit() {
                for wire in self.replies(&ask) {
                    mail.push_back((now + Duration::from_millis(20), ask.id, wire));
                }
                asks.push(ask);
            }
            while let Some(id) = walk.poll_cancel() {
                mail.retain(|(_, other, _)| *other != id);
            }
            if let Some(result) = walk.poll_done() {
                assert_eq!(walk.poll_timeout(), None);
                return Run {
                    result: result.map(|wire| parse_reply(&wire, 0, &asked).unwrap()),
                    asks,
                    elapsed: now.since(start),
                };
            }
            let due = walk.poll_timeout().unwrap();
            match mail.front() {
                Some(&(at, ..)) if at <= due => {
                    let (at, id, wire) = mail.pop_front().unwrap();
                    now = at;
                    walk.handle_reply(id, &wire, recursion, now);
                }
                _ => {
                    now = due;
                    walk.handle_timeout(recursion, now);
                }
            }
        }
    }

    fn replies(&mut self, ask: &Ask) -> Vec<Vec<u8>> {
        assert_eq!(ask.wire[2] & 1, 0, "RD is set");
        let has_opt = ask.wire[11] == 1;
        let Some(host) = self.hosts.get_mut(&ask.server) else {
            return Vec::new();
        };
        host.asked += 1;
        let good = self.answer(ask);
        let host = &self.hosts[&ask.server];
        let plain = |code: u16, flags: u16| encode(&ask.question, flags | code, [&[], &[], &[]]);
        match host.habit {
            Habit::Silent => Vec::new(),
            Habit::Loses(first) if host.asked <= first => Vec::new(),
            Habit::Lame => vec![plain(rcode::REFUSED, 0x8000)],
            Habit::Upward => {
                let up = [record(". NS ns.root")];
                vec![encode(&ask.question, 0x8000, [&[], &up, &[]])]
            }
            Habit::NoEdns if has_opt => vec![plain(rcode::FORMERR, 0x8000)],
            Habit::Truncates if ask.channel == Channel::Udp => vec![plain(0, 0x8600)],
            Habit::Confused => {
                let other = question("other.test", rtype::A);
                let wrong = [record("other.test A 6.6.6.6")];
                vec![encode(&other, 0x8400, [&wrong, &[], &[]]), good]
            }
            Habit::Good
            | Habit::Loses(_)
            | Habit::NoEdns
            | Habit::Truncates
            | Habit::DeniesEmpty => vec![good],
        }
    }

    /// As RFC 1034 §4.3.2 says.
    fn answer(&self, ask: &Ask) -> Vec<u8> {
        let host = &self.hosts[&ask.server];
        let asked = &ask.question;
        let poison = self.poison.get(&ask.server).cloned().unwrap_or_default();
        let is_ds = asked.record_type == rtype::DS;
        let zone = host
            .zones
            .iter()
            .filter(|zone| asked.name.is_in(zone) && !(is_ds && asked.name == **zone))
            .max_by_key(|zone| zone.label_count());
        let Some(zone) = zone else {
            return encode(asked, 0x8005, [&[], &[], &poison]);
        };
        let records = &self.records[zone];
        let below = |r: &&RawRecord| {
            let owner = r.owner();
            r.record_type == rtype::NS
                && owner != *zone
                && asked.name.is_in(&owner)
                && !(is_ds && owner == asked.name)
        };
        if let Some(cut) = records.iter().find(below).map(RawRecord::owner) {
            let authority: Vec<RawRecord> = records
                .iter()
                .filter(|r| r.is_at(&cut) && r.record_type != rtype::A)
                .cloned()
                .collect();
            let targets: Vec<DomainName> = authority
                .iter()
                .filter_map(|r| DomainName::from_wire(&r.rdata).ok())
                .collect();
            let mut glue: Vec<RawRecord> = records
                .iter()
                .filter(|r| matches!(r.record_type, rtype::A | rtype::AAAA))
                .filter(|r| targets.contains(&r.owner()))
                .cloned()
                .collect();
            glue.extend(poison);
            return encode(asked, 0x8000, [&[], &authority, &glue]);
        }
        let covers = |r: &RawRecord, t: u16| {
            r.record_type == rtype::RRSIG && r.rdata[..2] == t.to_be_bytes()
        };
        let mut answers = Vec::new();
        for r in records {
            let is_wanted = [asked.record_type, rtype::CNAME]
                .iter()
                .any(|&t| r.record_type == t || covers(r, t));
            let is_dname = r.record_type == rtype::DNAME && asked.name.is_in(&r.owner());
            if (r.is_at(&asked.name) && is_wanted) || (is_dname && !r.is_at(&asked.name)) {
                answers.push(r.clone());
            }
        }
        if answers.is_empty() {
            let denies_empty = host.habit == Habit::DeniesEmpty;
            let is_there = |r: &RawRecord| {
                r.is_at(&asked.name) || (!denies_empty && r.owner().is_in(&asked.name))
            };
            let exists = records.iter().any(is_there);
            let soa: Vec<RawRecord> = records
                .iter()
                .filter(|r| r.record_type == rtype::SOA)
                .cloned()
                .collect();
            let code = if exists { 0 } else { rcode::NXDOMAIN };
            return encode(asked, 0x8400 | code, [&[], &soa, &poison]);
        }
        let mut more: Vec<RawRecord> = Vec::new();
        if asked.record_type == rtype::NS {
            more.extend(
                records
                    .iter()
                    .filter(|r| r.record_type == rtype::A)
                    .cloned(),
            );
        }
        more.extend(poison);
        encode(asked, 0x8400, [&answers, &[], &more])
    }
}

/// Writes a message without compression, with ID 0.
pub(crate) fn encode(asked: &Question, flags: u16, sections: [&[RawRecord]; 3]) -> Vec<u8> {
    let mut wire = vec![0, 0];
    wire.extend(flags.to_be_bytes());
    wire.extend(1u16.to_be_bytes());
    for section in sections {
        wire.extend(u16::try_from(section.len()).unwrap().to_be_bytes());
    }
    wire.extend(asked.name.as_wire());
    wire.extend(asked.record_type.to_be_bytes());
    wire.extend(asked.class.to_be_bytes());
    for r in sections.into_iter().flatten() {
        wire.extend(&r.name);
        wire.extend(r.record_type.to_be_bytes());
        wire.extend(r.class.to_be_bytes());
        wire.extend(r.ttl.to_be_bytes());
        wire.extend(u16::try_from(r.rdata.len()).unwrap().to_be_bytes());
        wire.extend(&r.rdata);
    }
    wire
}
