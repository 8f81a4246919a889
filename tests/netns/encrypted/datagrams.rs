//! Do QUIC and HTTP/3 work with other people's servers, and is a wrong certificate refused with its reason?
//!
//! knot serves QUIC with ngtcp2 and GnuTLS, below the kernel's own UDP (XDP); caddy serves HTTP/3 with quic-go and Go's TLS, before unbound.

use std::path::Path;

use tests::namespace::{has_other_users, isolated, shell};
use tests::office::{dig, until_answers};
use tests::peer::{Peer, Tap, until};
use tests::skip;

use super::{
    FRONT, SERVER, WRONG, assert_nothing_in_the_clear, clock, configure, office, option, pin,
    refused, serves, unbound,
};
use crate::LINNETD;

/// knot with plain DNS at 53 and QUIC at 853, as `certificate`; it tells each frame.
fn knot(dir: &Path, certificate: &str) -> Peer {
    let zone = dir.join("root.zone");
    let big: String = (0..16)
        .map(|at| format!("big.test. TXT \"{at:02}{}\"\n", "x".repeat(250)))
        .collect();
    let text = format!(
        "$TTL 60\n. SOA ns.test. root.test. 1 60 60 60 60\n. NS ns.test.\nns.test. A {SERVER}\nwww.example.test. A 192.0.2.80\n\
         *.many.test. A 192.0.2.83\n{big}"
    );
    std::fs::write(&zone, text).expect("the story's folder is writable");
    let file = dir.join("quic-knot.conf");
    let config = format!(
        "server:\n  rundir: {0}\n  listen: {SERVER}@53\n  key-file: {0}/{certificate}.key\n  cert-file: {0}/{certificate}.pem\n  \
         udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n\
         xdp:\n  listen: p0\n  udp: off\n  tcp: off\n  quic: on\n  quic-port: 853\n  quic-log: on\n\
         database:\n  storage: {0}\nlog:\n  - target: stderr\n    any: debug\n\
         zone:\n  - domain: .\n    file: {1}\n    zonefile-load: whole\n    journal-content: none\n",
        dir.display(),
        zone.display()
    );
    std::fs::write(&file, config).expect("the story's folder is writable");
    let command = ["knotd", "-c", &file.display().to_string()];
    let peer = Peer::start(dir, "quic-knot", Some("home"), &command);
    until_answers(Some("home"), SERVER, "www.example.test");
    peer
}

/// caddy before unbound, with HTTP/3 (and HTTP/2) at 443 as the right one, and at other ports with certificates that are wrong.
fn caddy(dir: &Path) -> Peer {
    let site = |port: u16, certificate: &str| {
        format!(
            "https://:{port} {{\n\tbind {FRONT}\n\ttls {0}/{certificate}.pem {0}/{certificate}.key\n\tlog\n\
             \treverse_proxy https://{SERVER}:443 {{\n\t\ttransport http {{\n\t\t\ttls_insecure_skip_verify\n\
             \t\t\tversions 2\n\t\t}}\n\t}}\n}}\n",
            dir.display()
        )
    };
    let mut config = format!(
        "{{\n\tadmin off\n\tauto_https off\n\tdefault_sni other.example\n\tstorage file_system {}/caddy\n}}\n",
        dir.display()
    );
    config += &site(443, "right");
    for (at, (certificate, ..)) in (0..).zip(WRONG) {
        config += &site(FIRST_WRONG_PORT + at, certificate);
    }
    let file = dir.join("Caddyfile");
    std::fs::write(&file, config).expect("the story's folder is writable");
    let home = dir.display();
    let command = [
        "env",
        &format!("XDG_CONFIG_HOME={home}"),
        &format!("XDG_DATA_HOME={home}"),
        "caddy",
        "run",
        "--adapter",
        "caddyfile",
        "--config",
        &file.display().to_string(),
    ];
    let peer = Peer::start(dir, "caddy", Some("home"), &command);
    until("caddy serves", || peer.log().contains("serving initial"));
    peer
}

/// Where caddy has the first of the wrong certificates.
const FIRST_WRONG_PORT: u16 = 4001;

#[test]
fn wrong_certificates_by_quic_are_refused_with_their_reason() {
    let name = "encrypted::datagrams::wrong_certificates_by_quic_are_refused_with_their_reason";
    isolated(name, || {
        if !has_other_users() {
            return skip(name, "knot needs the machine's root for XDP");
        }
        let office = office();
        let tap = Tap::start(office.dir(), "home0");
        let clock = clock(&office);
        for (certificate, is_pinned, name, reason) in WRONG {
            let option = option(&office, is_pinned);
            let _knot = knot(office.dir(), certificate);
            let upstream = format!("quic://{SERVER}{option}{name}");
            refused(&office, &clock, &upstream, reason);
        }
        assert_nothing_in_the_clear(tap);
    });
}

#[test]
fn wrong_certificates_by_http3_are_refused_with_their_reason() {
    isolated(
        "encrypted::datagrams::wrong_certificates_by_http3_are_refused_with_their_reason",
        || {
            let office = office();
            shell(&format!("ip -n home addr add {FRONT}/24 dev p0"));
            let tap = Tap::start(office.dir(), "home0");
            let clock = clock(&office);
            let front = caddy(office.dir());
            for (at, (_, is_pinned, name, reason)) in (0..).zip(WRONG) {
                let option = option(&office, is_pinned);
                let port = FIRST_WRONG_PORT + at;
                let upstream = match name.is_empty() {
                    true => format!("h3://{FRONT}:{port}/dns-query"),
                    false => format!("h3://dns.example:{port}/dns-query@{FRONT}{option}"),
                };
                refused(&office, &clock, &upstream, reason);
                if is_pinned {
                    let upstream = format!("h3://{FRONT}:{port}/dns-query{option}");
                    refused(&office, &clock, &upstream, reason);
                }
            }
            drop(front);
            assert_nothing_in_the_clear(tap);
        },
    );
}

/// The lengths of what stands at the beginning of streams, in knot's log.
fn questions(log: &str) -> Vec<usize> {
    let begins = |line: &&str| {
        line.contains(" frm rx ") && line.contains(" STREAM(") && line.contains(" offset=0 ")
    };
    log.lines().filter(begins).filter_map(length).collect()
}

/// The lengths of knot's own first words in each handshake: certificates, or none where a session is resumed.
fn first_words(log: &str) -> Vec<usize> {
    let begins = |line: &&str| {
        line.contains(" frm tx ") && line.contains(" Handshake CRYPTO(0x06) offset=0 ")
    };
    log.lines().filter(begins).filter_map(length).collect()
}

fn length(line: &str) -> Option<usize> {
    let (_, rest) = line.split_once(" len=")?;
    rest.split(' ').next()?.parse().ok()
}

/// The least that a certificate and its signature take in a handshake.
const CERTIFICATE: usize = 400;

#[test]
fn knot_is_asked_by_quic() {
    let name = "encrypted::datagrams::knot_is_asked_by_quic";
    isolated(name, || {
        if !has_other_users() {
            return skip(name, "knot needs the machine's root for XDP");
        }
        let office = office();
        let server = knot(office.dir(), "right");
        let pin = pin(office.dir(), "right");
        for upstream in [
            format!("quic://{SERVER}"),
            format!("quic://{SERVER}?pin={pin}"),
        ] {
            configure(&office, &upstream);
            let _linnetd = office.linnetd(LINNETD, &[]);
            assert!(dig("one.many.test").contains("192.0.2.83"), "{upstream}");
        }
        serves(&office, &format!("quic://{SERVER}#dns.example"));
        let linnetd = office.linnetd(LINNETD, &[]);
        let big = dig("+bufsize=512 big.test TXT");
        assert_eq!(big.matches("xxxx\"").count(), 16, "{big}");
        // Padded (RFC 8467 §4.1), below the length of RFC 9250 §4.2, and never as early data.
        let log = server.log();
        let questions = questions(&log);
        let is_padded = |length: &usize| length % 128 == 2;
        assert!(questions.len() > 200, "{questions:?}");
        assert!(questions.iter().all(is_padded), "{questions:?}");
        assert!(!log.contains("type=0RTT"), "early data");
        // This server grants a hundred streams and then no more: another connection is made, without a wait, by a session that is resumed.
        let names: String = (0..210)
            .map(|at| format!("again{at}.many.test A\n"))
            .collect();
        std::fs::write(office.path("again"), names).unwrap();
        let told = dig(&format!("+noall +stats -f {}", office.path("again")));
        let times: Vec<u32> = told
            .lines()
            .filter_map(|line| line.strip_prefix(";; Query time: "))
            .filter_map(|rest| rest.split(' ').next()?.parse().ok())
            .collect();
        assert_eq!(times.len(), 210, "{told}");
        assert!(times.iter().all(|time| *time < 600), "{times:?}");
        let begun = first_words(&server.log());
        assert!(
            begun.first().is_some_and(|words| *words >= CERTIFICATE),
            "{begun:?}"
        );
        assert!(
            begun.last().is_some_and(|words| *words < CERTIFICATE),
            "{begun:?}"
        );
        // Killed, it says nothing to anybody; a new one knows neither connections nor sessions.
        drop(server);
        let server = knot(office.dir(), "right");
        let answer = dig("three.many.test");
        assert!(answer.contains("192.0.2.83"), "{answer}");
        let begun = first_words(&server.log());
        assert!(begun.iter().all(|words| *words >= CERTIFICATE), "{begun:?}");
        drop(linnetd);
    });
}

#[test]
fn caddy_is_asked_by_http3_and_by_http2_where_that_does_not_get_through() {
    isolated(
        "encrypted::datagrams::caddy_is_asked_by_http3_and_by_http2_where_that_does_not_get_through",
        || {
            let office = office();
            shell(&format!("ip -n home addr add {FRONT}/24 dev p0"));
            let _unbound = unbound(office.dir(), "right");
            let server = caddy(office.dir());
            let pin = pin(office.dir(), "right");
            for upstream in [
                format!("h3://dns.example/dns-query@{FRONT}?pin={pin}"),
                format!("h3://{FRONT}/dns-query?pin={pin}"),
            ] {
                configure(&office, &upstream);
                let _linnetd = office.linnetd(LINNETD, &[]);
                assert!(dig("one.many.test").contains("192.0.2.83"), "{upstream}");
            }
            serves(&office, &format!("h3://dns.example/dns-query@{FRONT}"));
            let linnetd = office.linnetd(LINNETD, &[]);
            let big = dig("+bufsize=512 big.test TXT");
            assert_eq!(big.matches("xxxx\"").count(), 16, "{big}");
            assert!(server.log().contains("HTTP/3.0"));
            assert!(!server.log().contains("HTTP/2.0"));
            // Killed, it says nothing to anybody; a new one knows neither connections nor sessions.
            drop(server);
            let server = caddy(office.dir());
            let answer = dig("two.many.test");
            assert!(answer.contains("192.0.2.83"), "{answer}");
            drop(linnetd);
            // HTTPS, by HTTP/3 where that gets through.
            configure(&office, &format!("https://dns.example/dns-query@{FRONT}"));
            let main = std::fs::read_to_string(office.path("etc/linnet.toml")).unwrap();
            office.configure("linnet.toml", &format!("{main}http3 = true\n"));
            let _linnetd = office.linnetd(LINNETD, &[]);
            let is_told = |version: &str, name: &str| {
                dig(name);
                let log = server.log();
                let last = log.lines().rfind(|line| line.contains("handled request"));
                last.is_some_and(|line| line.contains(version))
            };
            let mut turn = 0;
            let mut until_by = |version: &str| {
                until(version, || {
                    turn += 1;
                    is_told(version, &format!("n{turn}.many.test"))
                });
            };
            until_by("HTTP/3.0");
            shell(
                "ip netns exec home nft 'add table ip t; add chain ip t i { type filter hook input priority 0; }; \
                 add rule ip t i udp dport 443 drop'",
            );
            until_by("HTTP/2.0");
            shell("ip netns exec home nft delete table ip t");
            let answer = dig("three.many.test");
            assert!(answer.contains("192.0.2.83"), "{answer}");
        },
    );
}
