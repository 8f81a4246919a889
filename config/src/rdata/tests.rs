//! Does every type have the octets of its RFC, and every mistake its place?

use super::*;

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn read(kind: &str, text: &str) -> String {
    match parse(parse_type(kind).unwrap(), text, None) {
        Ok(rdata) => hex(&rdata),
        Err(error) => format!("{error} at {:?}", &text[error.part.clone()]),
    }
}

#[test]
fn every_type_has_the_octets_of_its_rfc() {
    let rows: &[(&str, &str, &str)] = &[
        ("A", "192.0.2.1", "c0000201"),
        ("AAAA", "2001:db8::1", "20010db8000000000000000000000001"),
        ("CNAME", "Git.Test", "036769740474657374 00"),
        ("DNAME", "git.test.", "036769740474657374 00"),
        ("NS", ".", "00"),
        ("PTR", "a\\.b.test", "03612e620474657374 00"),
        ("MX", "10 mx.test", "000a 026d780474657374 00"),
        ("TXT", "a \"b c\" \"\"", "0161 03622063 00"),
        ("TXT", "\"\\\"\\\\\\009;\"", "04225c093b"),
        ("SRV", "1 2 8443 .", "00010002 20fb 00"),
        (
            "CAA",
            "128 issue \"ca.test; x=1\"",
            "80 056973737565 63612e746573743b20783d31",
        ),
        ("CAA", "0 issue \"\"", "00 056973737565"),
        ("SSHFP", "4 2 12 34ab", "04021234ab"),
        ("TLSA", "3 1 1 00FF", "03010100ff"),
        (
            "NAPTR",
            "100 50 s SIP+D2U \"\" _sip.test",
            "00640032 0173 075349502b443255 00 045f7369700474657374 00",
        ),
        (
            "URI",
            "10 1 \"https://a.test/\"",
            "000a0001 68747470733a2f2f612e746573742f",
        ),
        ("HINFO", "a b", "01610162"),
        ("DS", "1 8 2 00ab", "0001080200ab"),
        ("OPENPGPKEY", "AQ ID BA==", "01020304"),
        ("EUI48", "00-00-5e-00-53-2a", "00005e00532a"),
        (
            "SOA",
            "ns.test root.test 1 2 3 4 5",
            "026e730474657374 00 04726f6f740474657374 00 0000000100000002000000030000000400000005",
        ),
        (
            "HTTPS",
            "1 . alpn=h2,h3 port=8443",
            "000100 0001000602683202683300030002 20fb",
        ),
        ("HTTPS", "0 svc.test.", "0000 037376630474657374 00"),
        (
            "SVCB",
            "1 . ipv6hint=2001:db8::1 ipv4hint=\"192.0.2.1,192.0.2.2\"",
            "000100 00040008c0000201c0000202 0006001020010db8000000000000000000000001",
        ),
        (
            "SVCB",
            "16 foo.test mandatory=port,alpn alpn=h2 port=1",
            "0010 03666f6f0474657374 00 0000000400010003 00010003026832 000300020001",
        ),
        (
            "SVCB",
            "1 . alpn=\"f\\\\\\\\oo\\\\,bar,h2\"",
            "000100 0001000c 08665c6f6f2c626172 026832",
        ),
        (
            "SVCB",
            "1 . key667=hel\\210qo",
            "000100 029b0006 68656cd2716f",
        ),
        ("TYPE65280", "\\# 3 ab cdef", "abcdef"),
        ("A", "\\# 4 c0000201", "c0000201"),
        ("TYPE65280", "\\# 0", ""),
    ];
    for (kind, text, expected) in rows {
        assert_eq!(read(kind, text), expected.replace(' ', ""), "{kind} {text}");
    }
}

#[test]
fn every_mistake_says_what_it_is_and_where() {
    let rows: &[(&str, &str, &str)] = &[
        (
            "A",
            "192.0.2.300",
            "this is not an IPv4 address at \"192.0.2.300\"",
        ),
        ("A", "", "the address is missing at \"\""),
        (
            "A",
            "192.0.2.1 192.0.2.2",
            "there is more here than the type has at \"192.0.2.2\"",
        ),
        (
            "AAAA",
            "192.0.2.1",
            "this is not an IPv6 address at \"192.0.2.1\"",
        ),
        (
            "MX",
            "mx.test",
            "this is not a whole number from 0 to 65535 at \"mx.test\"",
        ),
        ("MX", "10", "the exchange is missing at \"\""),
        (
            "MX",
            "70000 mx.test",
            "this is not a whole number from 0 to 65535 at \"70000\"",
        ),
        (
            "MX",
            "+1 mx.test",
            "this is not a whole number from 0 to 65535 at \"+1\"",
        ),
        (
            "CNAME",
            "a..b",
            "this is not a domain name: a label is empty at \"a..b\"",
        ),
        (
            "TXT",
            "\"a",
            "the quotation mark is never closed at \"\\\"a\"",
        ),
        (
            "TXT",
            "a\\",
            "a backslash must be followed by a character or by three digits up to 255 at \"a\\\\\"",
        ),
        (
            "TXT",
            "a\\300",
            "a backslash must be followed by a character or by three digits up to 255 at \"a\\\\300\"",
        ),
        (
            "TLSA",
            "3 1 1 0g",
            "this is not an even number of hexadecimal digits at \"0g\"",
        ),
        (
            "SSHFP",
            "4 2",
            "the value in hexadecimal is missing at \"\"",
        ),
        (
            "CAA",
            "0 is-sue x",
            "this is not a tag of letters and digits at \"is-sue\"",
        ),
        ("OPENPGPKEY", "AQIDB", "this is not base 64 at \"AQIDB\""),
        (
            "HTTPS",
            "1 . port=70000",
            "this is no value for the service parameter at \"port=70000\"",
        ),
        (
            "HTTPS",
            "1 . prot=1",
            "this is no service parameter at \"prot=1\"",
        ),
        (
            "HTTPS",
            "1 . port=1 port=2",
            "this service parameter stands here twice at \"port=2\"",
        ),
        (
            "HTTPS",
            "1 . mandatory=alpn",
            "`mandatory` names a service parameter that is not here at \"mandatory=alpn\"",
        ),
        (
            "TYPE65280",
            "abc",
            "the text of this type is not known; write \\# LENGTH HEX (RFC 3597) at \"abc\"",
        ),
        (
            "TYPE65280",
            "\\# 3 abcd",
            "the length is not that of the octets that follow at \"3\"",
        ),
    ];
    for (kind, text, expected) in rows {
        assert_eq!(read(kind, text), *expected, "{kind} {text}");
    }
}

#[test]
fn names_are_below_the_origin_only_when_there_is_one() {
    let origin: DomainName = "zone.test".parse().unwrap();
    for (text, expected) in [
        ("www", "www.zone.test"),
        ("www.", "www"),
        ("@", "zone.test"),
        ("a\\.", "a\\..zone.test"),
    ] {
        let rdata = parse(5, text, Some(&origin)).unwrap();
        assert_eq!(
            rdata,
            expected.parse::<DomainName>().unwrap().as_wire(),
            "{text}"
        );
    }
}

#[test]
fn long_data_is_no_record() {
    let texts = format!("\"{}\" ", "x".repeat(255)).repeat(65);
    assert_eq!(
        parse(16, &texts, None).unwrap_err().fault,
        RdataFault::TooLong
    );
    let long = format!("\"{}\"", "x".repeat(256));
    assert_eq!(
        parse(16, &long, None).unwrap_err().fault,
        RdataFault::TextTooLong
    );
}

#[test]
fn types_are_known_by_mnemonic_and_by_number() {
    assert_eq!(parse_type("https"), Some(65));
    assert_eq!(parse_type("TYPE65"), Some(65));
    for text in ["", "TYPE", "TYPE+1", "TYPE65536", "HTTP", "täst"] {
        assert_eq!(parse_type(text), None, "{text}");
    }
    assert_eq!(
        (type_text(257), type_text(4711)),
        ("CAA".into(), "TYPE4711".into())
    );
}
