//! Is a kept answer the same as a fresh one but for id, flags, spelling and TTLs?

use super::*;
use crate::record::{ParsedReply, parse_reply};
use crate::wire::{ClientEdns, class};

fn question() -> Question {
    Question {
        name: "www.a.test".parse().unwrap(),
        record_type: rtype::A,
        class: class::IN,
    }
}

fn spelled() -> Vec<u8> {
    b"\x03wWw\x01A\x04test\0\0\x01\0\x01".to_vec()
}

fn envelope(question_wire: &[u8], udp_size: Option<u16>, channel: Channel) -> Envelope<'_> {
    Envelope {
        id: 0xbeef,
        checking_disabled: false,
        understands_authentic: true,
        question_wire,
        edns: udp_size.map(|udp_size| ClientEdns {
            udp_size,
            dnssec_ok: true,
            nsid: false,
        }),
        channel,
    }
}

fn addresses(count: u8) -> Vec<RawRecord> {
    let name = question().name;
    (0..count)
        .map(|last| RawRecord::address(&name, [10, 0, 0, last].into(), 300))
        .collect()
}

fn named(name: &str, record_type: u16, rdata: &[u8]) -> RawRecord {
    RawRecord::new(&name.parse().unwrap(), record_type, 300, rdata.to_vec())
}

fn read(out: &[u8]) -> ParsedReply {
    parse_reply(out, 0xbeef, &question()).unwrap()
}

#[test]
fn an_answer_reads_back_as_what_was_put_in() {
    let name = |text: &str| text.parse::<config::name::DomainName>().unwrap();
    let target = name("host.b.test");
    let soa = [
        name("ns.b.test").as_wire(),
        name("admin.b.test").as_wire(),
        &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 60],
    ]
    .concat();
    let mut answers = vec![
        RawRecord::alias(&question().name, &target, 300),
        RawRecord::address(&target, [10, 0, 0, 1].into(), 30),
        named("host.b.test", rtype::MX, b"\0\x0a\x02MX\x01b\x04test\0"),
        named("host.b.test", 33, b"\0\x01\0\x01\0\x35\x01t\x01b\x04test\0"),
        named("host.b.test", 65280, b"\x01\x02\x03"),
    ];
    // Spelling survives, in owners and in rdata.
    answers[1].name = b"\x04HOST\x01B\x04test\0".as_slice().into();
    let authority = [named("b.test", rtype::SOA, &soa)];
    let additional = [named(".", rtype::NS, b"\x01x\0")];
    let template = Template::build(&question(), 3, &answers, &authority, &additional);
    let spelled = spelled();
    let mut out = Vec::new();
    template.emit(
        &envelope(&spelled, Some(1232), Channel::Udp),
        100,
        None,
        &mut out,
    );
    assert_eq!(out[HEADER..HEADER + spelled.len()], spelled);
    let reply = read(&out);
    assert_eq!(
        (reply.rcode, reply.truncated, reply.authoritative),
        (3, false, false)
    );
    assert!(reply.recursion_available && !reply.authentic_data);
    assert!(reply.edns.unwrap().dnssec_ok);
    let aged = |records: &[RawRecord]| -> Vec<RawRecord> {
        let age = |record: &RawRecord| RawRecord {
            ttl: record.ttl.saturating_sub(100),
            ..record.clone()
        };
        records.iter().map(age).collect()
    };
    let mut wanted = aged(&answers);
    // The owner at the question takes the client's spelling.
    wanted[0].name = b"\x03wWw\x01A\x04test\0".as_slice().into();
    // Suffixes found in the question or in earlier names are shared only when spelled alike, or in the question.
    assert_eq!(reply.answers, wanted);
    assert_eq!(reply.additional, aged(&additional));
    // RFC 2308 §3: the SOA's TTL is not above its MINIMUM.
    assert_eq!(reply.authority[0].ttl, 0);
    assert_eq!(reply.authority[0].rdata, soa);
}

#[test]
fn names_are_compressed() {
    let template = Template::build(&question(), 0, &addresses(3), &[], &[]);
    let spelled = spelled();
    let mut out = Vec::new();
    template.emit(&envelope(&spelled, None, Channel::Udp), 0, None, &mut out);
    assert_eq!(out.len(), HEADER + spelled.len() + 3 * 16);
}

#[test]
fn what_does_not_fit_is_cut_between_sets() {
    let spelled = spelled();
    let many = addresses(60);
    let other = [named("b.test", rtype::NS, b"\x01x\0")];
    // name, answers, authority, additional, size, kept of each, TC
    type Row<'a> = (
        &'a str,
        &'a [RawRecord],
        &'a [RawRecord],
        &'a [RawRecord],
        Option<u16>,
        [usize; 3],
        bool,
    );
    let rows: &[Row<'_>] = &[
        (
            "all fits",
            &many[..20],
            &other,
            &other,
            None,
            [20, 1, 1],
            false,
        ),
        ("an answer too big", &many, &[], &[], None, [0, 0, 0], true),
        (
            "room by EDNS",
            &many,
            &[],
            &[],
            Some(1232),
            [60, 0, 0],
            false,
        ),
        (
            "a size below 512",
            &many[..20],
            &[],
            &[],
            Some(0),
            [20, 0, 0],
            false,
        ),
        (
            "authority too big",
            &other,
            &many,
            &[],
            None,
            [1, 0, 0],
            true,
        ),
        (
            "additional too big",
            &other,
            &[],
            &many,
            None,
            [1, 0, 0],
            false,
        ),
    ];
    for (what, answers, authority, additional, size, kept, truncated) in rows {
        let template = Template::build(&question(), 0, answers, authority, additional);
        let mut out = Vec::new();
        template.emit(&envelope(&spelled, *size, Channel::Udp), 0, None, &mut out);
        assert!(
            out.len() <= usize::from(size.unwrap_or(512).max(512)),
            "{what}"
        );
        let reply = read(&out);
        let got = [&reply.answers, &reply.authority, &reply.additional].map(Vec::len);
        assert_eq!((got, reply.truncated), (*kept, *truncated), "{what}");
        template.emit(&envelope(&spelled, *size, Channel::Tcp), 0, None, &mut out);
        let reply = read(&out);
        let got = [&reply.answers, &reply.authority, &reply.additional].map(Vec::len);
        assert_eq!(
            got,
            [answers.len(), authority.len(), additional.len()],
            "{what}"
        );
    }
}

#[test]
fn signatures_go_with_the_set_they_cover() {
    let mut covered = addresses(20);
    covered.push(named(
        "www.a.test",
        rtype::RRSIG,
        &[&[0, 1][..], &[0; 300]].concat(),
    ));
    let alias = [named("x.test", rtype::CNAME, b"\x01x\0")];
    let template = Template::build(&question(), 0, &[&alias[..], &covered].concat(), &[], &[]);
    let spelled = spelled();
    let mut out = Vec::new();
    template.emit(&envelope(&spelled, None, Channel::Udp), 0, None, &mut out);
    let reply = read(&out);
    assert_eq!((reply.answers.len(), reply.truncated), (1, true));
}

#[test]
fn an_answer_above_64_kib_is_cut_when_it_is_built() {
    let huge: Vec<RawRecord> = (0..300u16)
        .map(|at| named("x.test", 65280 + at / 100, &[7; 400]))
        .collect();
    let template = Template::build(&question(), 0, &huge, &[], &[]);
    let spelled = spelled();
    let mut out = Vec::new();
    template.emit(
        &envelope(&spelled, Some(65535), Channel::Tcp),
        0,
        None,
        &mut out,
    );
    assert!(out.len() <= MAX_MESSAGE);
    let reply = read(&out);
    assert_eq!((reply.answers.len(), reply.truncated), (100, true));
}

#[test]
fn extended_codes_and_errors_need_edns() {
    let error = ExtendedError {
        code: 15,
        text: "é".repeat(200),
    };
    let spelled = spelled();
    let template = Template::build(&question(), 16, &[], &[], &[]).authoritative();
    let mut out = Vec::new();
    for send in [
        |template: &Template, envelope: &Envelope<'_>, error: &ExtendedError, out: &mut Vec<u8>| {
            template.emit(envelope, 0, Some(error), out);
        },
        |_: &Template, envelope: &Envelope<'_>, error: &ExtendedError, out: &mut Vec<u8>| {
            error_answer(envelope, 16, Some(error), out);
        },
    ] {
        send(
            &template,
            &envelope(&spelled, None, Channel::Udp),
            &error,
            &mut out,
        );
        let reply = read(&out);
        assert_eq!((reply.rcode, reply.edns), (rcode::SERVFAIL, None));
        send(
            &template,
            &envelope(&spelled, Some(512), Channel::Udp),
            &error,
            &mut out,
        );
        let reply = read(&out);
        assert_eq!(reply.rcode, 16);
        assert_eq!(reply.extended_errors[0].code, 15);
        assert_eq!(
            reply.extended_errors[0].text,
            "é".repeat(MAX_EXTRA_TEXT / 2)
        );
    }
    template.emit(&envelope(&spelled, None, Channel::Udp), 0, None, &mut out);
    assert!(read(&out).authoritative);
}

#[test]
fn sending_again_allocates_nothing_more() {
    let template = Template::build(&question(), 0, &addresses(20), &[], &[]);
    let spelled = spelled();
    let mut out = Vec::with_capacity(4096);
    let place = out.as_ptr();
    for _ in 0..3 {
        template.emit(
            &envelope(&spelled, Some(1232), Channel::Udp),
            5,
            None,
            &mut out,
        );
    }
    assert_eq!((out.as_ptr(), out.capacity()), (place, 4096));
}

#[test]
fn authentic_is_told_to_those_who_understand_it() {
    let template = Template::build(&question(), 0, &addresses(1), &[], &[]);
    let spelled = spelled();
    for (authentic, understands, told) in [
        (true, true, true),
        (true, false, false),
        (false, true, false),
    ] {
        let template = match authentic {
            true => template.clone().authentic(),
            false => template.clone(),
        };
        let envelope = Envelope {
            understands_authentic: understands,
            ..envelope(&spelled, Some(1232), Channel::Udp)
        };
        let mut out = Vec::new();
        template.emit(&envelope, 0, None, &mut out);
        assert_eq!(read(&out).authentic_data, told);
    }
}
