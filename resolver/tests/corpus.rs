//! Do the parsers stand real and damaged packets? Runs them over the shared corpus; skipped where there is none.
//!
//! Every packet is read here and by hickory-proto, which must agree, and goes through a template and back.

use std::path::PathBuf;
use std::process::Command;

use config::name::DomainName;
use hickory_proto::op::Message;
use hickory_proto::rr::{RData, Record, RecordType};
use hickory_proto::serialize::binary::BinDecodable as _;
use resolver::Channel;
use resolver::present::record_text;
use resolver::record::{ParsedReply, RawRecord, ReplyError, parse_reply, soa_minimum};
use resolver::template::Template;
use resolver::wire::{ClientEdns, Envelope, QueryError, QueryView, Question, build_query};

/// The longest that a record counts, in seconds, and that a denial does.
const KEPT: u32 = 86_400;
const DENIAL_KEPT: u32 = 10_800;
/// Damaged copies that are made of every packet.
const COPIES: usize = 20;

/// Says that a test cannot run here, in the form that is counted.
#[expect(clippy::print_stdout, reason = "the runner reads it")]
fn skip(test: &str, reason: &str) {
    println!("SKIP {test}: {reason}");
}

/// Returns the packets of the corpus; `None` where there is none, which is said.
fn packets(test: &str) -> Option<Vec<Vec<u8>>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora/dns");
    let archive = root.join("dns-fuzzing/packets.tar.gz");
    let unpacked = Command::new("gzip").arg("-dc").arg(&archive).output();
    let Ok(output) = unpacked else {
        skip(test, "gzip does not run");
        return None;
    };
    if !output.status.success() {
        skip(test, &format!("there is no {}", archive.display()));
        return None;
    }
    let mut packets = untar(&output.stdout);
    for number in 2..=9 {
        let vectors = root.join(format!("unbound-vectors/test_packets.{number}"));
        let output = Command::new("cat").arg(&vectors).output();
        packets.extend(output.ok().and_then(|output| unhex(&output.stdout)));
    }
    Some(packets)
}

fn untar(archive: &[u8]) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    let mut rest = archive;
    while let Some((header, tail)) = rest.split_at_checked(512) {
        let size = std::str::from_utf8(&header[124..135]).unwrap_or_default();
        let size = usize::from_str_radix(size.trim_end_matches('\0').trim(), 8).unwrap_or(0);
        let Some((padded, after)) = tail.split_at_checked(size.next_multiple_of(512)) else {
            break;
        };
        if header[156] == b'0' && size > 0 {
            files.push(padded[..size].to_vec());
        }
        rest = after;
    }
    files
}

/// Reads the hexadecimal digits of a file in which `;` and `#` begin comments.
fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let digits: String = text
        .lines()
        .flat_map(|line| line.split([';', '#']).next())
        .flat_map(|line| line.chars().filter(char::is_ascii_hexdigit))
        .collect();
    let pairs = digits.as_bytes().chunks_exact(2);
    let octets = pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    octets.collect()
}

/// Guesses what a packet replies to.
fn asked(packet: &[u8]) -> Option<(u16, Question)> {
    let name = DomainName::from_wire(packet.get(12..)?).ok()?;
    let kind = packet
        .get(12 + name.as_wire().len()..)?
        .first_chunk::<4>()?;
    let question = Question {
        name,
        record_type: u16::from_be_bytes([kind[0], kind[1]]),
        class: u16::from_be_bytes([kind[2], kind[3]]),
    };
    Some((u16::from_be_bytes([packet[0], packet[1]]), question))
}

fn question_wire(question: &Question) -> Vec<u8> {
    let query = build_query(question, 0, false, false);
    query[12..12 + question.name.as_wire().len() + 4].to_vec()
}

fn envelope(question_wire: &[u8], channel: Channel, udp_size: u16) -> Envelope<'_> {
    Envelope {
        id: 99,
        checking_disabled: true,
        understands_authentic: true,
        question_wire,
        edns: Some(ClientEdns {
            udp_size,
            dnssec_ok: true,
            nsid: false,
        }),
        channel,
    }
}

fn template(question: &Question, reply: &ParsedReply) -> Template {
    Template::build(
        question,
        reply.rcode,
        &reply.answers,
        &reply.authority,
        &reply.additional,
    )
}

/// Reads a packet in every way there is, and writes what came of it in every way there is.
fn exercise(packet: &[u8]) {
    let mut buffer = [0; 255];
    let mut out = Vec::new();
    match QueryView::parse(packet, &mut buffer) {
        Ok(view) => assert_eq!(view.to_parsed().question.name.as_wire(), view.name),
        Err(QueryError::Silence) => {}
        Err(QueryError::Reject(rejection)) => rejection.emit(&mut out),
    }
    let Some((id, question)) = asked(packet) else {
        return;
    };
    let Ok(reply) = parse_reply(packet, id, &question) else {
        return;
    };
    let wire = question_wire(&question);
    let template = template(&question, &reply);
    for size in [0, 600, 1232, 65535] {
        let envelope = envelope(&wire, Channel::Udp, size);
        template.emit(&envelope, 7, reply.extended_errors.first(), &mut out);
        assert!(out.len() <= usize::from(size.max(512)));
        parse_reply(&out, 99, &question).expect("what is written can be read");
    }
    for record in reply.answers.iter().chain(&reply.authority) {
        assert!(!record_text(record).is_empty());
    }
}

fn flip(packet: &mut [u8], at: usize, bits: u8) {
    if let Some(octet) = packet.get_mut(at) {
        *octet ^= bits;
    }
}

#[test]
fn no_packet_and_no_damaged_packet_is_too_much() {
    let Some(packets) = packets("no_packet_and_no_damaged_packet_is_too_much") else {
        return;
    };
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below.max(1)
    };
    for packet in packets {
        exercise(&packet);
        for _ in 0..COPIES {
            let mut copy = packet.clone();
            for _ in 0..=random(4) {
                let at = random(copy.len());
                match random(6) {
                    0 => copy.truncate(at),
                    1 => copy.insert(at, 0xc0),
                    2 => copy.extend_from_within(at..),
                    3 => flip(&mut copy, at, 1 << random(8)),
                    4 => flip(&mut copy, at, 0xff),
                    _ => flip(&mut copy, 2, 0x80),
                }
            }
            exercise(&copy);
        }
    }
}

fn library_record(record: &RawRecord) -> Option<Record<RData>> {
    let mut wire = record.name.to_vec();
    wire.extend_from_slice(&record.record_type.to_be_bytes());
    wire.extend_from_slice(&record.class.to_be_bytes());
    wire.extend_from_slice(&record.ttl.to_be_bytes());
    wire.extend_from_slice(&u16::try_from(record.rdata.len()).ok()?.to_be_bytes());
    wire.extend_from_slice(&record.rdata);
    Record::from_bytes(&wire).ok()
}

fn assert_same(ours: &[RawRecord], theirs: &[Record<RData>], packet: usize) {
    // Not taken over here, as it is hop by hop.
    let is_content = |record: &&Record<RData>| record.record_type() != RecordType::TSIG;
    let theirs: Vec<&Record<RData>> = theirs.iter().filter(is_content).collect();
    assert_eq!(
        ours.len(),
        theirs.len(),
        "packet {packet} {ours:?} {theirs:?}"
    );
    for (our, their) in ours.iter().zip(theirs) {
        let mut our = library_record(our).expect("the library read it when it was compressed");
        // RFC 2181 §8, and no longer than an answer is kept; the library leaves such TTLs as they are.
        let expected = match their.ttl & 0x8000_0000 {
            0 => their.ttl.min(KEPT),
            _ => 0,
        };
        assert_eq!(our.ttl, expected, "packet {packet}");
        our.ttl = their.ttl;
        // The library leaves names compressed in types it does not know.
        if matches!(their.data, RData::Unknown { .. }) {
            our.data = their.data.clone();
        }
        assert_eq!(&our, their, "packet {packet}");
        assert_eq!(
            (our.ttl, &our.name),
            (their.ttl, &their.name),
            "packet {packet}"
        );
    }
}

#[test]
fn the_library_reads_the_same_records() {
    let Some(packets) = packets("the_library_reads_the_same_records") else {
        return;
    };
    let (mut compared, mut refused) = (0, Vec::new());
    for (at, packet) in packets.iter().enumerate() {
        let Some((id, question)) = asked(packet) else {
            continue;
        };
        let ours = parse_reply(packet, id, &question);
        let Ok(theirs) = Message::from_vec(packet) else {
            continue;
        };
        match ours {
            Ok(reply) if reply.truncated => {}
            Ok(reply) => {
                compared += 1;
                assert_same(&reply.answers, &theirs.answers, at);
                assert_same(&reply.authority, &theirs.authorities, at);
                assert_same(&reply.additional, &theirs.additionals, at);
                let code = u16::from(theirs.metadata.response_code);
                assert_eq!(reply.rcode, code, "packet {at}");
            }
            Err(ReplyError::Malformed(reason)) => refused.push((at, reason)),
            Err(ReplyError::NotAReply | ReplyError::WrongId | ReplyError::WrongQuestion) => {}
        }
    }
    assert!(compared > 1000, "{compared}");
    assert!(refused.len() < 20, "{compared} {refused:?}");
}

#[test]
fn a_template_gives_back_what_the_upstream_said() {
    let Some(packets) = packets("a_template_gives_back_what_the_upstream_said") else {
        return;
    };
    let mut out = Vec::new();
    for (at, packet) in packets.iter().enumerate() {
        let Some((id, question)) = asked(packet) else {
            continue;
        };
        let Ok(reply) = parse_reply(packet, id, &question) else {
            continue;
        };
        let wire = question_wire(&question);
        let envelope = envelope(&wire, Channel::Tcp, 1232);
        template(&question, &reply).emit(&envelope, 0, None, &mut out);
        let back = parse_reply(&out, 99, &question).expect("what is written can be read");
        let plain = |records: &[RawRecord]| -> Vec<RawRecord> {
            let plain = |record: &RawRecord| RawRecord {
                name: record.name.to_ascii_lowercase().into(),
                rdata: record.rdata.to_ascii_lowercase(),
                ..record.clone()
            };
            records.iter().map(plain).collect()
        };
        let mut authority = plain(&reply.authority);
        for record in &mut authority {
            let longest = soa_minimum(record).map_or(u32::MAX, |minimum| minimum.min(DENIAL_KEPT));
            record.ttl = record.ttl.min(longest);
        }
        assert_eq!(back.rcode, reply.rcode, "packet {at}");
        assert_eq!(plain(&back.answers), plain(&reply.answers), "packet {at}");
        assert_eq!(plain(&back.authority), authority, "packet {at}");
        assert_eq!(
            plain(&back.additional),
            plain(&reply.additional),
            "packet {at}"
        );
    }
}
