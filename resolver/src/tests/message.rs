//! Messages of clients and servers, written and read for tests: text rows in, text rows out.

use config::name::DomainName;
use config::time::Instant;

use crate::event::{Channel, Stub};
use crate::record::{RawRecord, parse_reply};
use crate::wire::{Question, rtype};

/// A question and all that a message says beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) id: u16,
    /// As it is spelled.
    pub(crate) name: String,
    pub(crate) record_type: u16,
    pub(crate) class: u16,
    /// The second word of the header.
    pub(crate) flags: u16,
    pub(crate) edns: bool,
    pub(crate) version: u8,
    pub(crate) dnssec_ok: bool,
    /// The largest datagram that OPT says is taken.
    pub(crate) udp_size: u16,
    /// How often the question stands in the message.
    pub(crate) questions: u16,
    pub(crate) stub: Stub,
    pub(crate) channel: Channel,
}

/// The records of a reply, as rows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Records<'a> {
    pub(crate) answers: &'a [String],
    pub(crate) authority: &'a [String],
    pub(crate) additional: &'a [String],
    /// An Extended DNS Error.
    pub(crate) error: Option<(u16, &'a str)>,
}

/// An answer that a client got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) rcode: u16,
    /// The second word of the header.
    pub(crate) flags: u16,
    /// `OWNER TTL TYPE VALUE`.
    pub(crate) answers: Vec<String>,
    pub(crate) authority: Vec<String>,
    pub(crate) additional: Vec<String>,
    pub(crate) error: Option<(u16, String)>,
    pub(crate) wire: Vec<u8>,
}

impl<'a> Records<'a> {
    pub(crate) fn answers(rows: &'a [String]) -> Self {
        Self {
            answers: rows,
            ..Self::default()
        }
    }

    pub(crate) fn authority(rows: &'a [String]) -> Self {
        Self {
            authority: rows,
            ..Self::default()
        }
    }
}

/// Reads `NAME TYPE`, as a client with EDNS asks by UDP.
pub(crate) fn asked(text: &str) -> Ask {
    let (name, kind) = text.split_once(' ').unwrap();
    Ask {
        name: name.to_owned(),
        record_type: type_of(kind),
        ..Ask::default()
    }
}

impl Ask {
    /// Writes the message.
    pub(crate) fn wire(&self) -> Vec<u8> {
        let mut wire = Vec::new();
        let additional = u16::from(self.edns);
        for word in [self.id, self.flags, self.questions, 0, 0, additional] {
            wire.extend_from_slice(&word.to_be_bytes());
        }
        for _ in 0..self.questions {
            wire.extend_from_slice(&spelled(&self.name));
            wire.extend_from_slice(&self.record_type.to_be_bytes());
            wire.extend_from_slice(&self.class.to_be_bytes());
        }
        if self.edns {
            let dnssec = u8::from(self.dnssec_ok) << 7;
            wire.extend_from_slice(&[0, 0, 41]);
            wire.extend_from_slice(&self.udp_size.to_be_bytes());
            wire.extend_from_slice(&[0, self.version, dnssec, 0, 0, 0]);
        }
        wire
    }

    /// Reads what the resolver sent.
    pub(crate) fn read(wire: &[u8], channel: Channel) -> Self {
        // Authoritative servers are asked without RD, which is no question for a stub.
        let mut desired = wire.to_vec();
        desired[2] |= 0x01;
        let parsed = crate::wire::parse_query(&desired).unwrap();
        Self {
            id: parsed.id,
            name: parsed.question.name.to_string(),
            record_type: parsed.question.record_type,
            class: parsed.question.class,
            flags: u16::from_be_bytes([wire[2], wire[3]]),
            edns: parsed.edns.is_some(),
            dnssec_ok: parsed.dnssec_ok(),
            channel,
            ..Self::default()
        }
    }
}

impl Seen {
    /// Reads an answer to `ask`.
    pub(crate) fn new(wire: &[u8], ask: &Ask, at: Instant) -> Self {
        let flags = u16::from_be_bytes([wire[2], wire[3]]);
        let mut seen = Self {
            at,
            rcode: flags & 15,
            flags,
            answers: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
            error: None,
            wire: wire.to_vec(),
        };
        let question = Question {
            name: ask.name.parse().unwrap(),
            record_type: ask.record_type,
            class: ask.class,
        };
        if flags & 0x7800 != 0 || (wire[5] == 0 && seen.rcode != 1) {
            return seen;
        }
        let read = parse_reply(wire, ask.id, &question).unwrap();
        let texts = |records: &[RawRecord]| records.iter().map(text).collect();
        seen.rcode = read.rcode;
        seen.answers = texts(&read.answers);
        seen.authority = texts(&read.authority);
        seen.additional = texts(&read.additional);
        seen.error = read
            .extended_errors
            .first()
            .map(|error| (error.code, error.text.clone()));
        seen
    }

    /// Returns code and Extended DNS Error code.
    pub(crate) fn codes(&self) -> (u16, Option<u16>) {
        (self.rcode, self.error.as_ref().map(|(code, _)| *code))
    }

    /// Returns the text of the Extended DNS Error.
    pub(crate) fn why(&self) -> &str {
        self.error.as_ref().map_or("", |(_, text)| text)
    }
}

/// Writes the reply to a query.
pub(crate) fn reply(query: &[u8], code: u16, records: &Records<'_>) -> Vec<u8> {
    let end = 12 + wire_name_length(&query[12..]) + 4;
    let edns = query.len() > end;
    let referral =
        records.answers.is_empty() && records.authority.iter().any(|row| row.contains(" NS "));
    let authoritative = if referral { 0 } else { 0x0400 };
    let flags = 0x8180 | authoritative | code & 15;
    let error = records.error.filter(|_| edns);
    let count = |rows: &[String]| u16::try_from(rows.len()).unwrap();
    let mut wire = query[..2].to_vec();
    let additional = count(records.additional) + u16::from(edns);
    let counts = [count(records.answers), count(records.authority), additional];
    for word in [flags, 1].into_iter().chain(counts) {
        wire.extend_from_slice(&word.to_be_bytes());
    }
    wire.extend_from_slice(&query[12..end]);
    let sections = [records.answers, records.authority, records.additional];
    for row in sections.into_iter().flatten() {
        push(&mut wire, row);
    }
    if edns {
        let high = u8::try_from(code >> 4).unwrap();
        wire.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, high, 0, 0, 0]);
        let option = error.map(|(code, text)| {
            let length = u16::try_from(text.len()).unwrap() + 2;
            let words = [15, length, code].map(u16::to_be_bytes).concat();
            [&words, text.as_bytes()].concat()
        });
        let option = option.unwrap_or_default();
        wire.extend_from_slice(&u16::try_from(option.len()).unwrap().to_be_bytes());
        wire.extend_from_slice(&option);
    }
    wire
}

/// Takes the OPT record from the end of a reply that has one without options.
pub(crate) fn drop_options(wire: &mut Vec<u8>) {
    wire.truncate(wire.len() - 11);
    wire[11] -= 1;
}

/// Returns a name in wire form, spelled as given.
pub(crate) fn spelled(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        wire.push(u8::try_from(label.len()).unwrap());
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}

fn push(wire: &mut Vec<u8>, row: &str) {
    let words: Vec<&str> = row.split_whitespace().collect();
    let [owner, ttl, kind, value] = words[..] else {
        panic!("{row}");
    };
    let rdata = match kind {
        // RFC 3597 §5, more or less.
        _ if value.starts_with('#') => octets(&value[1..]),
        "A" | "AAAA" => match value.parse().unwrap() {
            std::net::IpAddr::V4(address) => address.octets().to_vec(),
            std::net::IpAddr::V6(address) => address.octets().to_vec(),
        },
        "CNAME" | "DNAME" | "NS" | "PTR" => spelled(value),
        "SOA" => {
            let minimum: u32 = value.parse().unwrap();
            [&[0; 18][..], &minimum.to_be_bytes()].concat()
        }
        "RRSIG" => [&type_of(value).to_be_bytes()[..], &[0; 20]].concat(),
        "SVCB" => {
            let digits: Vec<u32> = value
                .chars()
                .filter_map(|digit| digit.to_digit(16))
                .collect();
            let octet = |pair: &[u32]| u8::try_from(pair[0] * 16 + pair[1]).unwrap();
            digits.chunks_exact(2).map(octet).collect()
        }
        "NSEC" => [spelled(value), vec![0, 1, 0x40]].concat(),
        other => vec![0; other.len() + value.parse::<usize>().unwrap_or_default()],
    };
    wire.extend_from_slice(&spelled(owner));
    wire.extend_from_slice(&type_of(kind).to_be_bytes());
    wire.extend_from_slice(&1u16.to_be_bytes());
    wire.extend_from_slice(&ttl.parse::<u32>().unwrap().to_be_bytes());
    wire.extend_from_slice(&u16::try_from(rdata.len()).unwrap().to_be_bytes());
    wire.extend_from_slice(&rdata);
}

fn octets(hex: &str) -> Vec<u8> {
    let pairs = (0..hex.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn text(record: &RawRecord) -> String {
    let rdata = &record.rdata;
    let name = || DomainName::from_wire(rdata).unwrap().to_string();
    let value = match record.record_type {
        rtype::A => std::net::Ipv4Addr::from(*rdata.first_chunk::<4>().unwrap()).to_string(),
        rtype::AAAA => std::net::Ipv6Addr::from(*rdata.first_chunk::<16>().unwrap()).to_string(),
        rtype::CNAME | rtype::DNAME | rtype::NS | rtype::PTR => name(),
        rtype::SOA => u32::from_be_bytes(*rdata.last_chunk::<4>().unwrap()).to_string(),
        _ => String::new(),
    };
    let kind = crate::present::type_name(record.record_type);
    let owner = DomainName::from_wire(&record.name).unwrap();
    let text = format!("{owner} {} {kind} {value}", record.ttl);
    text.trim_end().to_owned()
}

fn type_of(text: &str) -> u16 {
    crate::present::parse_type(text).unwrap()
}

fn wire_name_length(wire: &[u8]) -> usize {
    let mut at = 0;
    while wire[at] != 0 {
        at += 1 + usize::from(wire[at]);
    }
    at + 1
}
