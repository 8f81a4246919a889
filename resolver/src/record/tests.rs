//! Is a reply read whole or not at all?

use super::*;

fn question() -> Question {
    Question {
        name: "www.a.test".parse().unwrap(),
        record_type: rtype::A,
        class: class::IN,
    }
}

/// A reply to `WWW.a.test A` with these counts of records and these octets of them.
fn reply(flags: u16, counts: [u16; 3], records: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    let [answers, authority, additional] = counts;
    for word in [7, flag::QR | flags, 1, answers, authority, additional] {
        wire.extend_from_slice(&word.to_be_bytes());
    }
    wire.extend_from_slice(b"\x03WWW\x01a\x04test\0\0\x01\0\x01");
    wire.extend_from_slice(records);
    wire
}

fn read(wire: &[u8]) -> Result<ParsedReply, ReplyError> {
    parse_reply(wire, 7, &question())
}

#[test]
fn compressed_names_come_out_whole() {
    // CNAME to x.a.test by pointer to offset 16, and an A record at the name in that rdata (offset 40).
    let records = b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01X\xc0\x10\xc0\x28\0\x01\0\x01\xff\0\0\0\0\x04\x0a\0\0\x01";
    let parsed = read(&reply(0, [2, 0, 0], records)).unwrap();
    let [alias, address] = parsed.answers.as_slice() else {
        panic!("{parsed:?}");
    };
    assert_eq!(*alias.name, *b"\x03WWW\x01a\x04test\0");
    assert_eq!(alias.rdata, b"\x01X\x01a\x04test\0");
    assert_eq!(cname_target(alias), Some("x.a.test".parse().unwrap()));
    assert_eq!(dname_target(alias), None);
    assert_eq!(*address.name, *b"\x01X\x01a\x04test\0");
    assert!(address.is_at(&"x.a.test".parse().unwrap()));
    // RFC 2181 §8
    assert_eq!((alias.ttl, address.ttl), (60, 0));
}

#[test]
fn a_reply_to_something_else_is_told_apart() {
    let good = reply(0, [0; 3], b"");
    assert!(read(&good).is_ok());
    let mut query = good.clone();
    query[2] = 0;
    assert_eq!(read(&query), Err(ReplyError::NotAReply));
    assert_eq!(read(&good[..11]), Err(ReplyError::NotAReply));
    assert_eq!(parse_reply(&good, 8, &question()), Err(ReplyError::WrongId));
    for at in [13, good.len() - 3, good.len() - 1] {
        let mut other = good.clone();
        other[at] ^= 2;
        assert_eq!(read(&other), Err(ReplyError::WrongQuestion), "{at}");
    }
}

#[test]
fn a_reply_without_question_counts_when_ours_was_not_read() {
    for (code, taken) in [(1, true), (4, true), (0, false), (2, false), (5, false)] {
        let wire = [0, 7, 0x80, code, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(read(&wire).is_ok(), taken, "{code}");
    }
}

#[test]
fn edns_gives_the_upper_bits_and_the_errors_and_goes_away() {
    let records = b"\0\0\x29\x04\xd0\x01\0\x80\0\0\x0d\0\x0f\0\x09\0\x12no\x1b way\
        \x01x\0\0\x01\0\x01\0\0\0\0\0\x04\0\0\0\0";
    let parsed = read(&reply(3, [0, 0, 2], records)).unwrap();
    assert_eq!(parsed.rcode, 0x13);
    assert_eq!(parsed.additional.len(), 1);
    let edns = parsed.edns.unwrap();
    assert_eq!(
        (edns.udp_size, edns.version, edns.dnssec_ok),
        (1232, 0, true)
    );
    let error = &parsed.extended_errors[0];
    assert_eq!((error.code, error.text.as_str()), (18, "no way"));
}

#[test]
fn what_cannot_be_read_is_refused() {
    const A: &[u8] = b"\0\0\x01\0\x01\0\0\0\0\0\x04\0\0\0\0";
    const OPT: &[u8] = b"\0\0\x29\x04\xd0\0\0\0\0\0\0";
    let rows: &[(&str, [u16; 3], Vec<u8>)] = &[
        ("a missing record", [2, 0, 0], A.to_vec()),
        (
            "a short address",
            [1, 0, 0],
            b"\0\0\x01\0\x01\0\0\0\0\0\x03\0\0\0".to_vec(),
        ),
        (
            "a long address",
            [1, 0, 0],
            b"\0\0\x1c\0\x01\0\0\0\0\0\x03\0\0\0".to_vec(),
        ),
        (
            "a loop",
            [1, 0, 0],
            b"\xc0\x1c\0\x01\0\x01\0\0\0\0\0\x04\0\0\0\0".to_vec(),
        ),
        (
            "a pointer forth",
            [1, 0, 0],
            b"\xc0\x30\0\x01\0\x01\0\0\0\0\0\x04\0\0\0\0".to_vec(),
        ),
        (
            "a label of kind 01",
            [1, 0, 0],
            b"\x40\0\x01\0\x01\0\0\0\0\0\x04\0\0\0\0".to_vec(),
        ),
        (
            "a name over the border",
            [1, 0, 0],
            b"\0\0\x05\0\x01\0\0\0\0\0\x02\x03abc\0".to_vec(),
        ),
        (
            "octets behind a name",
            [1, 0, 0],
            b"\0\0\x05\0\x01\0\0\0\0\0\x02\0\0".to_vec(),
        ),
        (
            "an empty alias",
            [1, 0, 0],
            b"\0\0\x05\0\x01\0\0\0\0\0\0".to_vec(),
        ),
        (
            "a short SOA",
            [0, 1, 0],
            b"\0\0\x06\0\x01\0\0\0\0\0\x06\0\0\0\0\0\0".to_vec(),
        ),
        ("OPT as answer", [1, 0, 0], OPT.to_vec()),
        ("two OPTs", [0, 0, 2], [OPT, OPT].concat()),
    ];
    for (what, counts, records) in rows {
        let got = read(&reply(0, *counts, records));
        assert!(
            matches!(got, Err(ReplyError::Malformed(_))),
            "{what}: {got:?}"
        );
    }
    assert!(read(&reply(0, [1, 0, 0], A)).is_ok());
    assert!(matches!(
        read(&[reply(0, [0; 3], b""), vec![0; 65_535]].concat()),
        Err(ReplyError::Malformed(_))
    ));
}

#[test]
fn a_truncated_reply_keeps_its_whole_records() {
    let records = b"\0\0\x01\0\x01\0\0\0\0\0\x04\0\0\0\0\0\0\x01\0\x01\0";
    let parsed = read(&reply(flag::TC, [2, 0, 0], records)).unwrap();
    assert!(parsed.truncated);
    assert_eq!(parsed.answers.len(), 1);
}

#[test]
fn a_name_that_grows_by_pointers_stops_at_255_octets() {
    // Every name is a label and a pointer to the name before: the 255th octet comes long before the last.
    let mut records = Vec::new();
    let mut to = 12u16;
    for _ in 0..130u16 {
        let at = u16::try_from(28 + records.len()).unwrap();
        records.extend_from_slice(b"\x01b");
        records.extend_from_slice(&(0xc000 | to).to_be_bytes());
        records.extend_from_slice(b"\0\x01\0\x01\0\0\0\0\0\x04\0\0\0\0");
        to = at;
    }
    let got = read(&reply(0, [130, 0, 0], &records));
    assert_eq!(
        got,
        Err(ReplyError::Malformed("a name is longer than 255 octets"))
    );
    assert!(read(&reply(0, [100, 0, 0], &records)).is_ok());
}

#[test]
fn minimum_is_read_from_the_end_of_soa() {
    let mut rdata = b"\x01m\0\x01r\0".to_vec();
    for number in [1u32, 2, 3, 4, 900] {
        rdata.extend_from_slice(&number.to_be_bytes());
    }
    let name = DomainName::root();
    let soa = RawRecord::new(&name, rtype::SOA, 60, rdata.clone());
    assert_eq!(soa_minimum(&soa), Some(900));
    assert_eq!(
        soa_minimum(&RawRecord::new(&name, rtype::NS, 60, rdata)),
        None
    );
}
