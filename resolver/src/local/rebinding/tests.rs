//! Which addresses are private, and where do they hide?

use super::*;

#[test]
fn private_is_what_leads_to_this_machine_its_link_or_its_network() {
    for text in [
        "0.0.0.0",
        "0.1.2.3",
        "10.1.2.3",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.1.2.3",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "255.255.255.255",
        "::",
        "::1",
        "::10.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:192.0.2.1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "fc00::1",
        "fdff::1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::192.0.2.1",
        "2002:c0a8:101::1",
    ] {
        assert!(is_private(&text.parse().unwrap()), "{text}");
    }
    for text in [
        "1.1.1.1",
        "100.63.255.255",
        "100.128.0.1",
        "169.253.1.1",
        "172.15.1.1",
        "172.32.0.1",
        "192.0.2.1",
        "192.167.1.1",
        "224.0.0.251",
        "2001:db8::1",
        "64:ff9b::192.0.2.1",
        "2002:c000:201::1",
        "fe00::1",
        "ff02::fb",
    ] {
        assert!(!is_private(&text.parse().unwrap()), "{text}");
    }
}

#[test]
fn hints_of_services_are_addresses_too() {
    let read = |text: &str| {
        let rdata = config::rdata::parse(HTTPS, text, None).unwrap();
        let record = RawRecord::new(&"a.test".parse().unwrap(), HTTPS, 60, rdata);
        addresses(&record)
    };
    let all = read("1 svc.test alpn=h2 ipv4hint=192.0.2.1,10.0.0.1 ipv6hint=2001:db8::1");
    let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["192.0.2.1", "10.0.0.1", "2001:db8::1"]);
    assert!(read("0 svc.test").is_empty());
    let broken = RawRecord::new(
        &"a.test".parse().unwrap(),
        HTTPS,
        60,
        vec![0, 1, 0, 0, 4, 0, 9, 10],
    );
    assert!(addresses(&broken).is_empty());
}
