//! Which names are answered here, and with what?

use super::*;

fn names() -> LocalNames {
    LocalNames {
        hostname: Some("laptop.home.test".parse().unwrap()),
        addresses: vec!["192.168.1.5".parse().unwrap()],
        gateways: vec!["192.168.1.1".parse().unwrap()],
        outbound: Vec::new(),
    }
}

fn ask(name: &str, record_type: u16, stub: Stub, claimed: bool) -> Option<Synthesized> {
    let question = Question {
        name: name.parse().unwrap(),
        record_type,
        class: class::IN,
    };
    let hosts = Hosts::parse("10.1.1.1 printer\n127.0.1.1 box.test\n10.1.1.2 localhost\n");
    synthesize(&question, &names(), &hosts, stub, claimed)
}

/// What became of a question, in short: `forward`, `nxdomain`, `nodata`, or rdata in hexadecimal.
fn outcome(answer: Option<Synthesized>) -> String {
    let Some(answer) = answer else {
        return "forward".into();
    };
    match (answer.rcode, answer.answers.as_slice()) {
        (rcode::NXDOMAIN, []) => {
            assert_eq!(answer.authority.len(), 1);
            "nxdomain".into()
        }
        (rcode::NOERROR, []) => {
            assert_eq!(answer.authority.len(), 1);
            "nodata".into()
        }
        (rcode::NOERROR, records) => {
            assert!(answer.authority.is_empty());
            let texts = records.iter().map(crate::present::rdata_text);
            texts.collect::<Vec<_>>().join(" ")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_special_name_is_answered_as_its_rfc_says() {
    const TXT: u16 = 16;
    let zero = format!("{}ip6.arpa", "0.".repeat(32));
    let one = format!("1.{}ip6.arpa", "0.".repeat(31));
    // name, type, outcome on the main stub, outcome when a scope claims it
    let rows: &[(&str, u16, &str, &str)] = &[
        ("localhost", rtype::A, "127.0.0.1", "127.0.0.1"),
        ("LocalHost", rtype::AAAA, "::1", "::1"),
        (
            "a.b.localhost",
            rtype::ANY,
            "127.0.0.1 ::1",
            "127.0.0.1 ::1",
        ),
        ("localhost", TXT, "nodata", "nodata"),
        ("localhost.localdomain", rtype::A, "127.0.0.1", "127.0.0.1"),
        ("localhost.test", rtype::A, "forward", "forward"),
        (
            "1.0.0.127.in-addr.arpa",
            rtype::PTR,
            "localhost.",
            "localhost.",
        ),
        (
            "9.8.7.127.in-addr.arpa",
            rtype::PTR,
            "localhost.",
            "localhost.",
        ),
        (
            "53.0.0.127.in-addr.arpa",
            rtype::PTR,
            "_localdnsstub.",
            "_localdnsstub.",
        ),
        (
            "1.1.0.127.in-addr.arpa",
            rtype::PTR,
            "box.test.",
            "box.test.",
        ),
        ("127.in-addr.arpa", rtype::NS, "nodata", "nodata"),
        (&one, rtype::PTR, "localhost.", "localhost."),
        (&zero, rtype::PTR, "nxdomain", "forward"),
        ("printer", rtype::A, "10.1.1.1", "10.1.1.1"),
        ("printer", rtype::AAAA, "nodata", "nodata"),
        ("laptop.home.test", rtype::A, "192.168.1.5", "192.168.1.5"),
        ("laptop", rtype::A, "192.168.1.5", "192.168.1.5"),
        ("laptop", rtype::AAAA, "nodata", "nodata"),
        ("laptop", rtype::MX, "nodata", "nodata"),
        ("laptop.home.test", rtype::MX, "forward", "forward"),
        ("home.test", rtype::A, "forward", "forward"),
        (
            "5.1.168.192.in-addr.arpa",
            rtype::PTR,
            "laptop.home.test.",
            "laptop.home.test.",
        ),
        ("6.1.168.192.in-addr.arpa", rtype::PTR, "forward", "forward"),
        ("_gateway", rtype::A, "192.168.1.1", "192.168.1.1"),
        ("_gateway", rtype::AAAA, "nodata", "nodata"),
        ("_outbound", rtype::A, "nxdomain", "nxdomain"),
        ("_localdnsstub", rtype::A, "127.0.0.53", "127.0.0.53"),
        ("_localdnsproxy", rtype::A, "127.0.0.54", "127.0.0.54"),
        ("invalid", rtype::A, "nxdomain", "nxdomain"),
        ("x.invalid", rtype::A, "nxdomain", "nxdomain"),
        ("x.onion", rtype::A, "nxdomain", "nxdomain"),
        ("x.alt", rtype::A, "nxdomain", "nxdomain"),
        ("printer.local", rtype::A, "nxdomain", "forward"),
        ("local", rtype::SOA, "nxdomain", "forward"),
        ("notlocal", rtype::A, "forward", "forward"),
        ("x.test", rtype::A, "forward", "forward"),
        ("x.home.arpa", rtype::A, "forward", "forward"),
        ("resolver.arpa", rtype::SVCB, "nodata", "nodata"),
        ("_dns.resolver.arpa", rtype::SVCB, "forward", "forward"),
        ("_dns.resolver.arpa", rtype::A, "nodata", "nodata"),
        ("x._dns.resolver.arpa", rtype::SVCB, "nodata", "nodata"),
        ("1.2.3.0.in-addr.arpa", rtype::PTR, "nxdomain", "forward"),
        (
            "255.255.255.255.in-addr.arpa",
            rtype::PTR,
            "nxdomain",
            "forward",
        ),
        (
            "254.255.255.255.in-addr.arpa",
            rtype::PTR,
            "forward",
            "forward",
        ),
        (
            "4.3.254.169.in-addr.arpa",
            rtype::PTR,
            "nxdomain",
            "forward",
        ),
        ("1.0.8.e.f.ip6.arpa", rtype::PTR, "nxdomain", "forward"),
        ("1.0.b.e.f.ip6.arpa", rtype::PTR, "nxdomain", "forward"),
        ("1.0.c.e.f.ip6.arpa", rtype::PTR, "forward", "forward"),
        ("1.2.0.192.in-addr.arpa", rtype::PTR, "nxdomain", "forward"),
        ("1.0.168.192.in-addr.arpa", rtype::PTR, "forward", "forward"),
        ("ipv4only.arpa", rtype::AAAA, "forward", "forward"),
    ];
    for &(name, record_type, main, claimed) in rows {
        let got = outcome(ask(name, record_type, Stub::Main, false));
        assert_eq!(got, main, "{name} {record_type}");
        let got = outcome(ask(name, record_type, Stub::Main, true));
        assert_eq!(got, claimed, "{name} {record_type} claimed");
    }
}

#[test]
fn bypass_stub_knows_special_names_and_nothing_of_the_machine() {
    for (name, wanted) in [
        ("localhost", "127.0.0.1"),
        ("x.onion", "nxdomain"),
        ("printer", "forward"),
        ("laptop", "forward"),
        ("_gateway", "forward"),
    ] {
        let got = outcome(ask(name, rtype::A, Stub::Bypass, false));
        assert_eq!(got, wanted, "{name}");
    }
}

#[test]
fn a_machine_without_addresses_still_finds_itself() {
    let question = Question {
        name: "laptop".parse().unwrap(),
        record_type: rtype::ANY,
        class: class::IN,
    };
    let names = LocalNames {
        addresses: Vec::new(),
        ..names()
    };
    let answer = synthesize(&question, &names, &Hosts::default(), Stub::Main, false);
    assert_eq!(outcome(answer), "127.0.0.2 ::1");
}

#[test]
fn denied_names_say_which_rfc_denies_them() {
    let answer = ask("x.onion", rtype::A, Stub::Main, false).unwrap();
    let error = answer.extended_error.unwrap();
    assert_eq!(
        error.text,
        "onion is answered on this machine (RFC 7686 §2)"
    );
}

#[test]
fn rows_of_the_table_are_whole_names() {
    for row in SPECIALS {
        let name = DomainName::from_wire(row.suffix).unwrap();
        assert_eq!(name.as_wire(), row.suffix, "{name}");
    }
}
