//! What do records say of a question? Rows, the example of RFC 4592, and the second opinion of the DNS library.

use super::*;
use config::rdata;

/// `NAME TYPE DATA`, with flags after `;`.
fn table(rows: &[&str]) -> Records {
    let records: Vec<Record> = rows.iter().map(|row| record(row)).collect();
    Records::new(&records)
}

fn record(row: &str) -> Record {
    let (row, flags) = row.split_once(';').unwrap_or((row, ""));
    let mut words = row.splitn(3, ' ');
    let name = words.next().unwrap();
    let record_type = rdata::parse_type(words.next().unwrap()).unwrap();
    let data = rdata::parse(record_type, words.next().unwrap(), None).unwrap();
    Record {
        name: name.trim_start_matches("*.").parse().unwrap(),
        wildcard: name.starts_with("*."),
        record_type,
        data: vec![data.into()],
        ttl: 60,
        pass_on: flags.contains("pass-on"),
        reverse: flags.contains("reverse"),
    }
}

/// Returns the code, the answers as text, and where it leads on; `-` when nothing is said.
fn answers(table: &Records, question: &str) -> String {
    let (name, kind) = question.split_once(' ').unwrap();
    let question = Question {
        name: name.parse().unwrap(),
        record_type: crate::present::parse_type(kind).unwrap(),
        class: class::IN,
    };
    let Some(said) = table.lookup(&question) else {
        return "-".to_owned();
    };
    let records = said.answers.iter().map(|record| {
        let kind = crate::present::type_name(record.record_type);
        let text = crate::present::rdata_text(record);
        format!("{} {kind} {text}", record.owner())
    });
    let records: Vec<String> = records.collect();
    let alias = said
        .alias
        .map_or_else(String::new, |alias| format!(" => {alias}"));
    format!("{} {}{alias}", said.rcode, records.join(", "))
}

#[test]
fn a_name_has_what_it_has_and_nothing_else() {
    let table = table(&[
        "nas.test A 192.0.2.1",
        "nas.test A 192.0.2.2",
        "nas.test MX 10 mx.test",
        "part.test A 192.0.2.3;pass-on",
        "alias.test CNAME www.example.com",
    ]);
    for (question, expected) in [
        ("nas.test A", "0 nas.test A 192.0.2.1, nas.test A 192.0.2.2"),
        ("NAS.test AAAA", "0 "),
        ("nas.test MX", "0 nas.test MX 10 mx.test."),
        (
            "nas.test ANY",
            "0 nas.test A 192.0.2.1, nas.test A 192.0.2.2, nas.test MX 10 mx.test.",
        ),
        ("x.nas.test A", "-"),
        ("test A", "-"),
        ("part.test A", "0 part.test A 192.0.2.3"),
        ("part.test AAAA", "-"),
        (
            "alias.test A",
            "0 alias.test CNAME www.example.com. => www.example.com",
        ),
        ("alias.test CNAME", "0 alias.test CNAME www.example.com."),
        ("alias.test ANY", "0 alias.test CNAME www.example.com."),
    ] {
        assert_eq!(answers(&table, question), expected, "{question}");
    }
}

/// The example of RFC 4592 §2.2.1.
#[test]
fn wildcards_are_those_of_rfc_4592() {
    let table = table(&[
        "*.example TXT \"this is a wildcard\"",
        "*.example MX 10 host1.example",
        "sub.*.example TXT \"this is not a wildcard\"",
        "host1.example A 192.0.2.1",
        "_ssh._tcp.host1.example SRV 0 0 22 host1.example",
        "_ssh._tcp.host2.example SRV 0 0 22 host2.example",
    ]);
    for (question, expected) in [
        ("host3.example MX", "0 host3.example MX 10 host1.example."),
        ("host3.example A", "0 "),
        (
            "foo.bar.example TXT",
            "0 foo.bar.example TXT \"this is a wildcard\"",
        ),
        ("host1.example MX", "0 "),
        ("sub.*.example MX", "0 "),
        ("_telnet._tcp.host1.example SRV", "3 "),
        ("host2.example MX", "0 "),
        ("ghost.*.example MX", "3 "),
        ("example MX", "-"),
        ("elsewhere.test MX", "-"),
    ] {
        assert_eq!(answers(&table, question), expected, "{question}");
    }
}

#[test]
fn the_closest_wildcard_speaks() {
    let table = table(&[
        "*.dev.test A 192.0.2.1",
        "*.a.dev.test A 192.0.2.2",
        "*.open.test A 192.0.2.3;pass-on",
        "x.y.open.test A 192.0.2.4",
        "*.alias.test CNAME www.example.com",
    ]);
    for (question, expected) in [
        ("x.dev.test A", "0 x.dev.test A 192.0.2.1"),
        ("x.y.dev.test A", "0 x.y.dev.test A 192.0.2.1"),
        ("x.a.dev.test A", "0 x.a.dev.test A 192.0.2.2"),
        ("a.dev.test A", "0 "),
        ("dev.test A", "-"),
        ("x.dev.test AAAA", "0 "),
        ("z.open.test A", "0 z.open.test A 192.0.2.3"),
        ("z.open.test AAAA", "-"),
        ("y.open.test A", "-"),
        ("z.y.open.test A", "-"),
        (
            "x.alias.test A",
            "0 x.alias.test CNAME www.example.com. => www.example.com",
        ),
    ] {
        assert_eq!(answers(&table, question), expected, "{question}");
    }
}

#[test]
fn names_exist_that_have_records_or_stand_above_them_or_below_a_wildcard() {
    let table = table(&[
        "nas.home.test A 192.0.2.1",
        "*.open.test A 192.0.2.3;pass-on",
        "x.y.open.test A 192.0.2.4",
    ]);
    for (name, exists) in [
        ("nas.home.test", true),
        ("home.test", true),
        ("x.nas.home.test", false),
        ("other.home.test", false),
        ("open.test", true),
        ("a.b.open.test", true),
        ("y.open.test", true),
        ("z.y.open.test", false),
        ("other.test", false),
    ] {
        assert_eq!(table.has(&name.parse().unwrap()), exists, "{name}");
    }
}

#[test]
fn a_dname_moves_what_is_below_it() {
    let table = table(&["old.test DNAME new.example", "kept.old.test A 192.0.2.1"]);
    assert_eq!(
        answers(&table, "a.b.old.test A"),
        "0 old.test DNAME new.example., a.b.old.test CNAME a.b.new.example. => a.b.new.example"
    );
    assert_eq!(
        answers(&table, "old.test DNAME"),
        "0 old.test DNAME new.example."
    );
    assert_eq!(answers(&table, "old.test A"), "0 ");
    let long = vec!["l".repeat(60); 4].join(".");
    assert!(answers(&table, &format!("{long}.old.test A")).starts_with("6 old.test DNAME"));
}

#[test]
fn addresses_point_back_when_they_are_asked_to() {
    let table = table(&[
        "nas.test A 192.0.2.1;reverse",
        "nas.test AAAA 2001:db8::1;reverse",
        "quiet.test A 192.0.2.2",
        "3.2.0.192.in-addr.arpa PTR own.test",
        "three.test A 192.0.2.3;reverse",
    ]);
    let back = |address: &str| {
        let name = DomainName::reverse_of(address.parse().unwrap());
        answers(&table, &format!("{name} PTR"))
    };
    assert!(back("192.0.2.1").ends_with("PTR nas.test."));
    assert!(back("2001:db8::1").ends_with("PTR nas.test."));
    assert_eq!(back("192.0.2.2"), "-");
    assert!(
        back("192.0.2.3").ends_with("PTR own.test."),
        "what is written wins"
    );
    assert_eq!(answers(&table, "1.2.0.192.in-addr.arpa A"), "0 ");
}

/// The DNS library has the last word on what a text means.
#[test]
fn the_library_reads_the_same_octets_from_the_same_text() {
    use hickory_proto::rr::{RData, RecordType};
    use hickory_proto::serialize::binary::BinEncodable as _;
    for (kind, text) in [
        ("A", "192.0.2.1"),
        ("AAAA", "2001:db8::1"),
        ("CNAME", "git.test."),
        ("NS", "ns.test."),
        ("PTR", "a.test."),
        ("MX", "10 mx.test."),
        ("TXT", "\"some text\""),
        ("SRV", "1 2 8443 sip.test."),
        ("CAA", "0 issue \"ca.test\""),
        (
            "SSHFP",
            "4 2 123456789abcdef67890123456789abcdef67890123456789abcdef123456789",
        ),
        (
            "TLSA",
            "3 1 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971",
        ),
        ("NAPTR", "100 50 \"s\" \"sip+d2u\" \"\" _sip._udp.test."),
        ("HTTPS", "1 . alpn=h2,h3 port=8443 ipv4hint=192.0.2.1"),
        ("SVCB", "1 svc.test. alpn=dot"),
        ("HINFO", "\"a\" \"b\""),
    ] {
        let ours = rdata::parse(rdata::parse_type(kind).unwrap(), text, None).unwrap();
        let library: RecordType = kind.parse().unwrap();
        let parsed = RData::try_from_str(library, text);
        let Ok(parsed) = parsed else {
            panic!("{kind} {text}: {parsed:?}");
        };
        assert_eq!(ours, parsed.to_bytes().unwrap(), "{kind} {text}");
    }
}
