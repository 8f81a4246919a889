//! Are records shown as zone files write them?

use super::*;

fn record(record_type: u16, rdata: &[u8]) -> RawRecord {
    RawRecord {
        name: b"\x03WWW\x07ex\x1bmple\0".as_slice().into(),
        record_type,
        class: class::IN,
        ttl: 60,
        rdata: rdata.to_vec(),
    }
}

#[test]
fn records_read_as_in_a_zone_file() {
    let rrsig = [
        0, 1, 13, 2, 0, 0, 0, 60, 0x5f, 0x5e, 0x10, 0x00, 0, 0, 0, 0, 0x12, 0x34, 1, b'a', 0, 1, 2,
        3, 4,
    ];
    let nsec = [1, b'b', 0, 0, 6, 0x40, 0, 0, 0, 0, 3, 1, 1, 0x40];
    let rows: &[(u16, &[u8], &str)] = &[
        (1, &[10, 0, 0, 1], "10.0.0.1"),
        (1, &[10, 0, 0], "\\# 3 0a0000"),
        (2, b"\x01a\x03b.c\0", "a.b\\.c."),
        (2, &[0], "."),
        (15, b"\0\x0a\x02mx\0", "10 mx."),
        (16, b"\x05a\"b\x1b[\x00", "\"a\\\"b\\027[\" \"\""),
        (16, b"", "\\# 0"),
        (28, &[0; 16], "::"),
        (33, b"\0\x01\0\x02\0\x35\x01t\0", "1 2 53 t."),
        (43, &[0x12, 0x34, 8, 2, 0xab, 0xcd], "4660 8 2 abcd"),
        (
            46,
            &rrsig,
            "A 13 2 60 20200913122640 19700101000000 4660 a. AQIDBA==",
        ),
        (47, &nsec, "b. A RRSIG NSEC CAA"),
        (51, &[1, 0, 0, 10, 0], "1 0 10 -"),
        (65, b"\0\x01\0\0\x01\0\x03\x02h2", "1 . alpn=h2,"),
        (257, b"\0\x05issueca.test", "0 issue \"ca.test\""),
        (65280, &[1, 2], "\\# 2 0102"),
        (65280, &[], "\\# 0"),
    ];
    for (record_type, rdata, text) in rows {
        assert_eq!(
            rdata_text(&record(*record_type, rdata)),
            *text,
            "{record_type}"
        );
    }
    assert_eq!(
        record_text(&record(1, &[10, 0, 0, 1])),
        "WWW.ex\\027mple. 60 IN A 10.0.0.1"
    );
}

#[test]
fn dates_are_right_around_leap_days() {
    // 2000-02-29 23:59:59, 2000-03-01, 2026-12-31 12:00:00, 2106-02-07 06:28:15
    for (seconds, text) in [
        (951_868_799, "20000229235959"),
        (951_868_800, "20000301000000"),
        (1_798_718_400, "20261231120000"),
        (u32::MAX, "21060207062815"),
    ] {
        assert_eq!(date_text(seconds), text);
    }
}

#[test]
fn types_have_names_both_ways() {
    for number in 0..=u16::MAX {
        assert_eq!(parse_type(&type_name(number)), Some(number));
    }
    assert_eq!(parse_type("https"), Some(65));
    assert_eq!(parse_type("TYPE65"), Some(65));
    assert_eq!(parse_type("type65280"), Some(65280));
    assert_eq!(parse_type("28"), Some(28));
    for bad in ["", "TYPE", "TYPE65536", "+1", "nosuch", "é"] {
        assert_eq!(parse_type(bad), None, "{bad}");
    }
    assert_eq!(class_name(1), "IN");
    assert_eq!(rcode_name(16), "BADVERS");
}

#[test]
fn names_of_types_agree_with_the_library() {
    for &(number, name) in TYPES {
        let theirs = RecordType::from(number);
        if !matches!(theirs, RecordType::Unknown(_)) {
            assert_eq!(theirs.to_string(), name);
        }
    }
}

#[test]
fn nothing_unprintable_comes_out() {
    let mut state = 1u32;
    for round in 0..20_000u32 {
        let rdata: Vec<u8> = (0..round % 40)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_be_bytes()[0] & if state & 0x80 == 0 { 0x07 } else { 0xff }
            })
            .collect();
        let record_type = u16::try_from(round % 262).unwrap();
        let text = record_text(&record(record_type, &rdata));
        assert!(
            text.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
            "{text:?}"
        );
    }
}
