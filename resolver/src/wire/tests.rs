//! Are questions read, and answers written, as RFC 1035 and RFC 6891 say?

use super::*;
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::RecordType;

/// `Git.corp.TEST. A IN`, id 0x1234, RD.
const PLAIN: &[u8] =
    b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03Git\x04corp\x04TEST\0\0\x01\0\x01";
/// OPT: 4096 octets, DO, NSID asked for.
const OPT: &[u8] = b"\0\0\x29\x10\x00\0\0\x80\0\0\x04\0\x03\0\0";

fn with(change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut wire = PLAIN.to_vec();
    change(&mut wire);
    wire
}

fn with_opt(opt: &[u8]) -> Vec<u8> {
    let mut wire = [PLAIN, opt].concat();
    wire[11] = 1;
    wire
}

#[test]
fn a_query_is_read_in_lower_case_and_keeps_its_spelling() {
    let wire = with_opt(OPT);
    let mut buffer = [0; 255];
    let view = QueryView::parse(&wire, &mut buffer).unwrap();
    assert_eq!(view.id, 0x1234);
    assert_eq!(view.name, b"\x03git\x04corp\x04test\0");
    assert_eq!(view.question_wire, &PLAIN[HEADER..]);
    assert_eq!((view.record_type, view.class), (rtype::A, class::IN));
    let edns = view.edns.unwrap();
    assert_eq!(
        (edns.udp_size, edns.dnssec_ok, edns.nsid),
        (4096, true, true)
    );
    let parsed = view.to_parsed();
    assert_eq!(parsed.question.name, "git.corp.test".parse().unwrap());
    assert_eq!(
        parsed.envelope(Channel::Udp).question_wire,
        view.question_wire
    );
    assert_eq!(parse_query(&wire), Ok(parsed));
}

#[test]
fn what_is_not_answered_from_a_scope_gets_its_code() {
    let typed = |record_type: u16| {
        with(|wire| {
            let at = wire.len() - 4;
            wire[at..at + 2].copy_from_slice(&record_type.to_be_bytes());
        })
    };
    let two_opts = {
        let mut wire = [PLAIN, OPT, OPT].concat();
        wire[11] = 2;
        wire
    };
    let rows: Vec<(&str, Vec<u8>, Option<u16>)> = vec![
        ("short", PLAIN[..11].to_vec(), None),
        ("a reply", with(|wire| wire[2] |= 0x80), None),
        ("a notify", with(|wire| wire[2] = 0x21), Some(rcode::NOTIMP)),
        (
            "a header alone",
            with(|wire| wire.truncate(12)),
            Some(rcode::FORMERR),
        ),
        (
            "no question",
            with(|wire| wire[5] = 0),
            Some(rcode::FORMERR),
        ),
        (
            "two questions",
            with(|wire| wire[5] = 2),
            Some(rcode::FORMERR),
        ),
        (
            "a cut name",
            with(|wire| wire.truncate(20)),
            Some(rcode::FORMERR),
        ),
        (
            "a cut type",
            with(|wire| wire.truncate(PLAIN.len() - 1)),
            Some(rcode::FORMERR),
        ),
        (
            "a pointer",
            with(|wire| wire[12] = 0xc0),
            Some(rcode::FORMERR),
        ),
        ("an answer", with(|wire| wire[7] = 1), Some(rcode::FORMERR)),
        (
            "a missing OPT",
            with(|wire| wire[11] = 1),
            Some(rcode::FORMERR),
        ),
        ("two OPTs", two_opts, Some(rcode::FORMERR)),
        (
            "an OPT with a name",
            with_opt(&[b"\x01a", OPT].concat()),
            Some(rcode::FORMERR),
        ),
        (
            "a cut option",
            with_opt(b"\0\0\x29\x10\x00\0\0\0\0\0\x03\0\x03\0"),
            Some(rcode::FORMERR),
        ),
        (
            "octets behind",
            with(|wire| wire.push(0)),
            Some(rcode::FORMERR),
        ),
        (
            "EDNS 1",
            with_opt(b"\0\0\x29\x10\x00\0\x01\0\0\0\0"),
            Some(rcode::BADVERS),
        ),
        (
            "no recursion",
            with(|wire| wire[2] = 0),
            Some(rcode::REFUSED),
        ),
        (
            "class CH",
            with(|wire| *wire.last_mut().unwrap() = 3),
            Some(rcode::REFUSED),
        ),
        ("AXFR", typed(rtype::AXFR), Some(rcode::REFUSED)),
        ("IXFR", typed(rtype::IXFR), Some(rcode::REFUSED)),
        ("MAILA", typed(rtype::MAILA), Some(rcode::REFUSED)),
        ("MAILB", typed(rtype::MAILB), Some(rcode::REFUSED)),
        ("MD", typed(rtype::MD), Some(rcode::REFUSED)),
        ("MF", typed(rtype::MF), Some(rcode::REFUSED)),
        ("OPT as type", typed(rtype::OPT), Some(rcode::REFUSED)),
        ("type 0", typed(0), Some(rcode::REFUSED)),
    ];
    for (what, wire, code) in rows {
        assert_eq!(parse_query(&wire).unwrap_err(), code, "{what}");
    }
}

#[test]
fn the_longest_name_fits_and_one_octet_more_does_not() {
    let name = |last: u8| {
        let mut name = Vec::new();
        for length in [63, 63, 63, last] {
            name.push(length);
            name.extend(std::iter::repeat_n(b'X', usize::from(length)));
        }
        name.push(0);
        [&PLAIN[..12], &name, b"\0\x01\0\x01"].concat()
    };
    assert!(parse_query(&name(61)).is_ok());
    assert_eq!(parse_query(&name(62)).unwrap_err(), Some(rcode::FORMERR));
}

#[test]
fn a_rejection_is_a_reply_to_what_was_asked() {
    let wire = with_opt(b"\0\0\x29\x10\x00\0\x01\0\0\0\0");
    let mut buffer = [0; 255];
    let Err(QueryError::Reject(rejection)) = QueryView::parse(&wire, &mut buffer) else {
        panic!("EDNS version 1 was taken");
    };
    let mut out = vec![9; 3];
    rejection.emit(&mut out);
    let message = Message::from_vec(&out).unwrap();
    assert_eq!(message.metadata.id, 0x1234);
    assert_eq!(message.metadata.message_type, MessageType::Response);
    // The library has two names for 16.
    let code = u16::from(message.metadata.response_code);
    assert_eq!(code, u16::from(ResponseCode::BADVERS));
    assert!(message.metadata.recursion_desired);
    assert_eq!(message.queries.len(), 1);
    assert_eq!(message.edns.unwrap().version(), 0);

    let notify = with(|wire| wire[2] = 0x20);
    let mut buffer = [0; 255];
    let Err(QueryError::Reject(rejection)) = QueryView::parse(&notify, &mut buffer) else {
        panic!("NOTIFY was taken");
    };
    rejection.emit(&mut out);
    assert_eq!(out, b"\x12\x34\xa0\x84\0\0\0\0\0\0\0\0");
}

#[test]
fn queries_to_upstreams_read_back_alike_here_and_in_the_library() {
    let question = Question {
        name: "git.corp.test".parse().unwrap(),
        record_type: rtype::AAAA,
        class: class::IN,
    };
    for (checking_disabled, dnssec_ok) in [(false, false), (true, false), (false, true)] {
        let wire = build_query(&question, 77, checking_disabled, dnssec_ok);
        let parsed = parse_query(&wire).unwrap();
        assert_eq!((parsed.id, &parsed.question), (77, &question));
        assert_eq!(parsed.checking_disabled, checking_disabled);
        assert_eq!(parsed.dnssec_ok(), dnssec_ok);
        assert!(!parsed.authentic_data);
        let message = Message::from_vec(&wire).unwrap();
        assert_eq!(message.metadata.op_code, OpCode::Query);
        assert_eq!(message.queries[0].query_type(), RecordType::AAAA);
        assert_eq!(message.queries[0].name().to_string(), "git.corp.test.");
        let edns = message.edns.unwrap();
        assert_eq!(edns.max_payload(), EDNS_UDP_SIZE);
        assert_eq!(edns.flags().dnssec_ok, dnssec_ok);
    }
}
