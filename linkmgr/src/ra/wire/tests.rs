//! Is every option read as its RFC lays it out, and any octets without a panic?

use super::super::tests::Ra;
use super::*;

const FROM: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

fn parse(octets: &[u8]) -> Advertisement {
    Advertisement::parse(octets, FROM, 255).unwrap()
}

#[test]
fn what_rfc_4861_has_discarded_is_discarded() {
    let good = Ra::new(1800).octets();
    let with = |at: usize, octet: u8| {
        let mut octets = good.clone();
        octets[at] = octet;
        octets
    };
    let mut endless = good.clone();
    endless.extend([5, 0, 0, 0, 0, 0, 5, 0xdc]);
    let mut cut = good.clone();
    cut.extend([5, 1, 0]);
    let rows: [(&str, &[u8], Ipv6Addr, u8, Invalid); 8] = [
        ("type", &with(0, 133), FROM, 255, Invalid::OtherType),
        ("nothing", &[], FROM, 255, Invalid::OtherType),
        ("hop limit", &good, FROM, 254, Invalid::HopLimit),
        (
            "source",
            &good,
            "2001:db8::1".parse().unwrap(),
            255,
            Invalid::Source,
        ),
        ("code", &with(1, 1), FROM, 255, Invalid::Code),
        ("header", &good[..15], FROM, 255, Invalid::Short),
        ("empty option", &endless, FROM, 255, Invalid::EmptyOption),
        ("half an option", &cut, FROM, 255, Invalid::Short),
    ];
    for (name, octets, from, hop_limit, expected) in rows {
        let parsed = Advertisement::parse(octets, from, hop_limit);
        assert_eq!(parsed, Err(expected), "{name}");
    }
}

#[test]
fn every_option_is_read() {
    let octets = Ra::new(1800)
        .flags(0xc0 | 0b01 << 3)
        .option(1, &[0, 0x53, 0, 0xa1, 0xb2, 0xc3])
        .prefix("2001:db8:1::", 64, 0xd0, 86400, 14400)
        .option(5, &[0, 0, 0, 0, 5, 0xdc])
        .route("2001:db8:ff::", 48, 0b11, 600)
        .rdnss(300, &["2001:db8::53", "fe80::53"])
        .dnssl(300, b"\x04corp\x07example\0")
        .option(37, b"https://portal.example/api")
        // 600 s in units of 8, length code 0: /96.
        .option(
            38,
            &[0x02, 0x58, 0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0],
        )
        .dnr(
            1,
            300,
            "dns.example",
            &["2001:db8::853"],
            b"\0\x01\0\x04\x03dot",
        )
        .option(26, &[0x80, 0, 0, 0, 0, 1])
        .option(250, &[0; 6])
        .octets();
    let said = parse(&octets);
    assert!(said.managed && said.other);
    assert_eq!(said.preference, Preference::High);
    assert_eq!(said.lifetime, Duration::from_secs(1800));
    assert_eq!(said.mac, Some(Mac([0, 0x53, 0, 0xa1, 0xb2, 0xc3])));
    assert_eq!(said.mtu, Some(1500));
    let prefix = said.prefixes[0];
    assert_eq!(prefix.prefix.to_string(), "2001:db8:1::/64");
    assert!(prefix.on_link && prefix.autonomous && prefix.delegation);
    assert_eq!(
        (prefix.valid, prefix.preferred),
        (Lifetime(86400), Lifetime(14400))
    );
    assert_eq!(said.routes[0].to.to_string(), "2001:db8:ff::/48");
    assert_eq!(said.routes[0].preference, Preference::Low);
    assert_eq!(said.resolvers.len(), 2);
    assert_eq!(said.search[0].0.to_string(), "corp.example");
    assert_eq!(
        said.portal,
        Some(Portal::At("https://portal.example/api".into()))
    );
    assert_eq!(said.pref64[0].0.prefix().to_string(), "64:ff9b::/96");
    assert_eq!(said.pref64[0].1, Lifetime(600));
    let (encrypted, lifetime) = &said.encrypted[0];
    assert_eq!(
        encrypted.addresses,
        ["2001:db8::853".parse::<Ipv6Addr>().unwrap()]
    );
    assert_eq!(*lifetime, Lifetime(300));
    assert_eq!(said.flags, 0x8000_0000_0001_0000);
    assert_eq!(said.passed_over, 0);
}

#[test]
fn an_option_that_makes_no_sense_costs_only_itself() {
    let rows = [
        (
            "preferred longer than valid",
            Ra::new(0).prefix("2001:db8::", 64, 0xc0, 100, 200),
        ),
        (
            "link-local prefix",
            Ra::new(0).prefix("fe80::", 64, 0xc0, 100, 100),
        ),
        (
            "multicast prefix",
            Ra::new(0).prefix("ff02::", 64, 0xc0, 100, 100),
        ),
        (
            "everything on the link",
            Ra::new(0).prefix("::", 0, 0x80, 100, 100),
        ),
        (
            "prefix of 129 bits",
            Ra::new(0).prefix("2001:db8::", 129, 0xc0, 100, 100),
        ),
        (
            "reserved preference of a route",
            Ra::new(0).route("2001:db8::", 48, 0b10, 600),
        ),
        (
            "route to link-local",
            Ra::new(0).route("fe80::", 64, 0, 600),
        ),
        (
            "route longer than given",
            Ra::new(0).option(24, &[65, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]),
        ),
        (
            "MTU below 1280",
            Ra::new(0).option(5, &[0, 0, 0, 0, 4, 0xff]),
        ),
        (
            "PREF64 of no length",
            Ra::new(0).option(38, &[0, 6, 0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0]),
        ),
        (
            "portal of control characters",
            Ra::new(0).option(37, b"https://a\x1b[2J/"),
        ),
    ];
    for (name, row) in rows {
        let said = parse(&row.option(5, &[0, 0, 0, 0, 5, 0]).octets());
        assert_eq!(said.passed_over, 1, "{name}");
        assert_eq!(said.mtu, Some(1280), "{name}");
        assert!(said.prefixes.is_empty() && said.routes.is_empty(), "{name}");
    }
    assert_eq!(
        parse(&Ra::new(9).flags(0b10 << 3).octets()).preference,
        Preference::Medium
    );
    assert_eq!(
        parse(&Ra::new(0).flags(0b01 << 3).octets()).preference,
        Preference::Medium
    );
}

#[test]
fn a_packet_full_of_options_is_read_to_a_bounded_value() {
    let mut row = Ra::new(1800);
    for number in 0..200 {
        row = row.prefix(&format!("2001:db8:{number:x}::"), 64, 0xc0, 100, 100);
        row = row.rdnss(300, &["2001:db8::1", "2001:db8::2", "2001:db8::3"]);
    }
    let said = parse(&row.octets());
    assert_eq!(said.prefixes.len(), EACH_MAX);
    assert_eq!(said.resolvers.len(), EACH_MAX);
    assert!(said.passed_over > 300);
}

#[test]
fn a_solicitation_has_the_hardware_address_only_with_a_source() {
    assert_eq!(solicitation(None), [133, 0, 0, 0, 0, 0, 0, 0]);
    let with = solicitation(Some(Mac([1, 2, 3, 4, 5, 6])));
    assert_eq!(with[8..], [1, 1, 1, 2, 3, 4, 5, 6]);
}
