//! Are names read, written, compared and reversed as RFC 1035 says?

use super::*;

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

#[test]
fn presentation_and_wire_agree() {
    assert_eq!(
        name("Git.Corp.Test.").as_wire(),
        b"\x03git\x04corp\x04test\0"
    );
    assert_eq!(name("a\\.b.test").labels().next(), Some(b"a.b".as_slice()));
    assert_eq!(name("a\\046b.test").to_string(), "a\\.b.test");
    assert_eq!(name("bücher.test").to_string(), "xn--bcher-kva.test");
    assert_eq!(name(".").to_string(), ".");
    assert_eq!(
        DomainName::from_wire(b"\x03WWW\0rest").unwrap(),
        name("www")
    );
}

#[test]
fn bad_names_say_why() {
    let rows = [
        ("", NameError::EmptyLabel),
        ("a..b", NameError::EmptyLabel),
        (".a", NameError::EmptyLabel),
        ("a\\", NameError::BadEscape),
        ("a\\99", NameError::BadEscape),
        ("a\\999", NameError::BadEscape),
    ];
    for (text, error) in rows {
        assert_eq!(text.parse::<DomainName>(), Err(error), "{text}");
    }
    assert_eq!(
        "a".repeat(64).parse::<DomainName>(),
        Err(NameError::LabelTooLong)
    );
    assert_eq!(
        "abc.".repeat(70).parse::<DomainName>(),
        Err(NameError::NameTooLong)
    );
    assert_eq!(DomainName::from_wire(b"\xc0\x0c"), Err(NameError::BadWire));
    assert_eq!(DomainName::from_wire(b"\x03ab"), Err(NameError::BadWire));
}

#[test]
fn suffixes_walk_to_the_root() {
    let all: Vec<String> = name("a.b.c")
        .suffixes()
        .map(|wire| DomainName::from_wire(wire).unwrap().to_string())
        .collect();
    assert_eq!(all, ["a.b.c", "b.c", "c", "."]);
    assert!(name("git.corp.test").is_in(&name("corp.test")));
    assert!(!name("gitcorp.test").is_in(&name("corp.test")));
    assert_eq!(
        name("git.corp.test").strip_suffix(&name("test")),
        Some(name("git.corp"))
    );
    assert_eq!(
        name("git").join(&name("corp.test")).unwrap(),
        name("git.corp.test")
    );
}

#[test]
fn order_is_from_the_root() {
    let mut names = [
        name("b.a"),
        name("a"),
        name("a.b"),
        name("z.a"),
        DomainName::root(),
    ];
    names.sort();
    assert_eq!(
        names.map(|name| name.to_string()),
        [".", "a", "b.a", "z.a", "a.b"]
    );
}

#[test]
fn prefixes_make_reverse_zones() {
    let zones = |address: &str, length| -> Vec<String> {
        DomainName::reverse_zones(address.parse().unwrap(), length)
            .iter()
            .map(DomainName::to_string)
            .collect()
    };
    assert_eq!(zones("10.8.3.9", 24), ["3.8.10.in-addr.arpa"]);
    assert_eq!(
        zones("10.8.3.9", 23),
        ["2.8.10.in-addr.arpa", "3.8.10.in-addr.arpa"]
    );
    assert_eq!(zones("0.0.0.0", 0), ["in-addr.arpa"]);
    assert_eq!(zones("10.8.3.9", 32), ["9.3.8.10.in-addr.arpa"]);
    assert_eq!(zones("2001:db8::", 32), ["8.b.d.0.1.0.0.2.ip6.arpa"]);
    assert_eq!(zones("2001:db8::", 31).len(), 2);
    assert_eq!(
        DomainName::reverse_of("192.0.2.5".parse().unwrap()).to_string(),
        "5.2.0.192.in-addr.arpa"
    );
}

#[test]
fn names_without_escapes_are_read_alike_by_the_short_way() {
    let long = "a".repeat(MAX_LABEL);
    let longest = [long.as_str(); 3].join(".");
    let texts = [
        "",
        ".",
        "..",
        "a",
        "A.b",
        "a.b.",
        "a..b",
        ".a",
        "a.b..",
        "a\\.b",
        "a\0b",
        "\0",
        "-_/.x",
        "a b",
        &long,
        &format!("{long}a"),
        &format!("x.{long}a.y"),
        &longest,
        &format!("{longest}.{}", "b".repeat(61)),
        &format!("{longest}.{}.", "b".repeat(61)),
        &format!("{longest}.{}", "b".repeat(62)),
        &format!("{longest}.{}.", "b".repeat(62)),
        &format!("{longest}.{long}"),
        &"a.".repeat(127),
        &"a.".repeat(128),
    ];
    let mut short = 0;
    for text in texts {
        if let Some(name) = plain(text) {
            short += 1;
            assert_eq!(Ok(&name), escaped(text).as_ref(), "{text}");
        } else {
            let read = escaped(text);
            assert!(read.is_err() || text.contains('\\'), "{text}: {read:?}");
        }
    }
    assert_eq!(short, 12);
}

#[test]
fn names_as_nearly_all_are_are_read_as_any_name_is() {
    let long = "a".repeat(63);
    for text in [
        "a",
        "A.b-_.C",
        "a1.",
        "x--.y",
        &format!("{long}.b"),
        &["ab"; 84].join("."),
    ] {
        assert_eq!(
            DomainName::of_hosts(text),
            Some(text.parse().unwrap()),
            "{text}"
        );
    }
    let others = [
        "", ".", "..", ".a", "a..b", "1.test", "10.0.0.1", "*.a", "~a", "a b", "a\\.b", "a/b",
        "ä.test", "a\0b", "fe80::1",
    ];
    let longer = [format!("{long}a"), ["ab"; 85].join("."), "a".repeat(300)];
    for text in others.into_iter().chain(longer.iter().map(String::as_str)) {
        assert_eq!(DomainName::of_hosts(text), None, "{text}");
    }
}
