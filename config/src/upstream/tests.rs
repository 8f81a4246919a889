//! Is an upstream read as it is written, and is the wrong part named?

use super::*;

#[test]
fn every_form_reads_back_as_it_was_written() {
    for text in [
        "192.0.2.1",
        "192.0.2.1:5353",
        "2001:db8::1",
        "[2001:db8::1]:5353",
        "fe80::1%eth0",
        "[fe80::1%eth0]:5353",
        "tcp://192.0.2.1",
        "tcp://[2001:db8::1]:5353",
        "tcp://[fe80::1%eth0]",
        "tls://192.0.2.1",
        "tls://192.0.2.1#dns.example",
        "tls://192.0.2.1:8853#dns.example",
        "tls://[2001:db8::1]#dns.example",
        "tls://[fe80::1%wg-0.1]:8853",
        "quic://192.0.2.1#dns.example",
        "quic://[2001:db8::1]:8853#dns.example",
        "https://dns.example/dns-query@192.0.2.1",
        "h3://dns.example/dns-query@192.0.2.1",
        "h3://dns.example:8443/dns-query@2001:db8::1",
        "h3://192.0.2.1/dns-query",
        "https://dns.example:8443/dns-query{?dns}@192.0.2.1",
        "https://dns.example/@2001:db8::1",
        "https://dns.example/a@b@fe80::1%eth0",
        "https://192.0.2.1/dns-query",
        "https://[2001:db8::1]:8443/dns-query",
        "tls://192.0.2.1?pin=sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "tls://192.0.2.1?pin=any",
        "tls://[2001:db8::1]:8853?pin=sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=#dns.example",
        "quic://192.0.2.1?pin=sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=&pin=sha256/A7DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "https://dns.example/q@192.0.2.1?pin=sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "https://192.0.2.1/q?pin=sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "h3://[2001:db8::1]:8443/q?x=1?pin=sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=&pin=sha256/A7DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    ] {
        let text = text.replace("{?dns}", "?x=1");
        let upstream: Upstream = text
            .parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(upstream.to_string(), text);
        assert_eq!(upstream.to_string().parse(), Ok(upstream));
    }
}

#[test]
fn other_spellings_mean_the_same() {
    for (said, meant) in [
        ("192.0.2.1:53", "192.0.2.1"),
        ("[2001:DB8:0::1]:53", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        (
            "tls://192.0.2.1:853#DNS.Example.",
            "tls://192.0.2.1#dns.example",
        ),
        (
            "tls://2001:db8::1#dns.example",
            "tls://[2001:db8::1]#dns.example",
        ),
        (
            "https://bücher.example/q@192.0.2.1",
            "https://xn--bcher-kva.example/q@192.0.2.1",
        ),
    ] {
        let upstream: Upstream = said.parse().unwrap();
        assert_eq!(upstream.to_string(), meant, "{said}");
    }
}

#[test]
fn the_wrong_part_is_named() {
    use UpstreamFault as F;
    for (text, fault, part) in [
        ("", F::Empty, ""),
        ("dns.example", F::BadAddress, "dns.example"),
        ("192.0.2", F::BadAddress, "192.0.2"),
        ("192.0.2.1:", F::BadPort, ""),
        ("192.0.2.1:0", F::BadPort, "0"),
        ("192.0.2.1:+53", F::BadPort, "+53"),
        ("192.0.2.1:70000", F::BadPort, "70000"),
        ("[2001:db8::1]53", F::BadPort, "53"),
        ("[2001:db8::1", F::BadAddress, "[2001:db8::1"),
        ("2001:db8::g", F::BadAddress, "2001:db8::g"),
        ("0.0.0.0", F::DeafAddress, "0.0.0.0"),
        ("::", F::DeafAddress, "::"),
        ("ff02::fb", F::DeafAddress, "ff02::fb"),
        ("255.255.255.255", F::DeafAddress, "255.255.255.255"),
        ("fe80::1%", F::BadZone, ""),
        ("fe80::1%a/b", F::BadZone, "a/b"),
        ("192.0.2.1%eth0", F::NeedlessZone, "eth0"),
        (
            "192.0.2.1#dns.example",
            F::NeedlessServerName,
            "dns.example",
        ),
        ("udp://192.0.2.1", F::UnknownScheme, "udp"),
        ("tcp://", F::BadAddress, ""),
        ("tcp://dns.example", F::BadAddress, "dns.example"),
        (
            "tcp://192.0.2.1#dns.example",
            F::NeedlessServerName,
            "dns.example",
        ),
        (
            "tcp://192.0.2.1?pin=any",
            F::BadAddress,
            "192.0.2.1?pin=any",
        ),
        ("TLS://192.0.2.1", F::UnknownScheme, "TLS"),
        ("tls://dns.example", F::BadAddress, "dns.example"),
        ("tls://192.0.2.1#", F::BadServerName, ""),
        ("tls://192.0.2.1#a b", F::BadServerName, "a b"),
        ("tls://192.0.2.1?pin=sha256/abc", F::BadPin, "sha256/abc"),
        ("tls://192.0.2.1?", F::UnknownOption, ""),
        ("tls://192.0.2.1?key=1#a", F::UnknownOption, "key=1"),
        ("https://a.example/q@192.0.2.1?x", F::UnknownOption, "x"),
        ("tls://me:pw@192.0.2.1", F::Credentials, "me:pw"),
        (
            "https://dns.example/dns-query",
            F::MissingAddress,
            "dns.example",
        ),
        (
            "https://dns.example@192.0.2.1",
            F::MissingPath,
            "@192.0.2.1",
        ),
        ("https://192.0.2.1", F::MissingPath, "192.0.2.1"),
        ("https://dns.example/a b@192.0.2.1", F::BadPath, "/a b"),
        (
            "https://dns.example/q@dns.example",
            F::BadAddress,
            "dns.example",
        ),
        ("https://dns.example:x/q@192.0.2.1", F::BadPort, "x"),
        (
            "https://dns.example/q@192.0.2.1:8443",
            F::MisplacedPort,
            "192.0.2.1:8443",
        ),
        (
            "https://dns.example/q@[2001:db8::1]",
            F::MisplacedPort,
            "[2001:db8::1]",
        ),
        (
            "https://dns.example/q?pin=any@192.0.2.1",
            F::MisplacedPin,
            "pin=any",
        ),
        (
            "https://dns.example/q?x&pin=any@192.0.2.1",
            F::MisplacedPin,
            "pin=any",
        ),
        ("https://192.0.2.1/q?x&pin=any", F::MisplacedPin, "pin=any"),
        (
            "https://192.0.2.1/q?pin=sha256/abc",
            F::BadPin,
            "sha256/abc",
        ),
        ("https://192.0.2.1/q?pin=any&x=1", F::BadPin, "any"),
        (
            "https://me:pw@dns.example/q@192.0.2.1",
            F::Credentials,
            "me:pw",
        ),
    ] {
        let error = text.parse::<Upstream>().unwrap_err();
        assert_eq!(
            (error.fault, &text[error.part.clone()]),
            (fault, part),
            "{text}"
        );
    }
}
