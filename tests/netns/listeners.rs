//! Who may ask at a listener, what do they see, and over which transports? Real clients in namespaces of their own.

use tests::namespace::{isolated, shell};
use tests::office::{Office, dig};
use tests::peer::{Peer, until};

use crate::guests::{CONTAINER, LAN, STRANGER, at, certificate, dig_at, raise};
use crate::{LINNET, LINNETD, json};

const LISTENERS: &str = r#"
[[listeners]]
address = "172.17.0.1"
allow = ["172.17.0.0/24"]
stub = "main"
claims = true

[[listeners]]
address = "10.0.0.1"
allow = ["10.0.0.0/24"]
"#;

/// What the status says of a listener.
fn listener(office: &Office, place: &str) -> serde_json::Value {
    let status = json(office, &["status"]);
    let listeners = status["listeners"].as_array().cloned().unwrap_or_default();
    let found = listeners.into_iter().find(|one| one["place"] == place);
    found.unwrap_or_default()
}

fn until_open(office: &Office, place: &str) {
    until(&format!("{place} is open"), || {
        listener(office, place)["state"] == "open"
    });
}

#[test]
fn a_container_sees_all_a_guest_what_nobody_claims_and_a_stranger_nothing() {
    isolated(
        "listeners::a_container_sees_all_a_guest_what_nobody_claims_and_a_stranger_nothing",
        || {
            let office = Office::raise();
            office.configure_usual("");
            office.configure("conf.d/listeners.toml", LISTENERS);
            // Before there is any of the addresses.
            let _linnetd = office.linnetd(LINNETD, &[]);
            until_open(&office, "172.17.0.1:53");
            for neighbour in [CONTAINER, LAN, STRANGER] {
                raise(neighbour);
            }
            for transport in ["", "+tcp"] {
                let all = dig_at(CONTAINER, &format!("@172.17.0.1 {transport} git.corp.test"));
                assert!(all.contains("10.8.0.80"), "{all}");
                let search = dig_at(CONTAINER, &format!("@172.17.0.1 {transport} git"));
                assert!(search.contains("10.8.0.80"), "{search}");
                let own = dig_at(CONTAINER, &format!("@172.17.0.1 {transport} sandbox"));
                assert!(own.contains("status: NOERROR"), "{own}");
                let open = dig_at(LAN, &format!("@10.0.0.1 {transport} www.example.test"));
                assert!(open.contains("192.0.2.80"), "{open}");
                for claimed in ["git.corp.test", "intruder.example.test"] {
                    let refused = dig_at(LAN, &format!("@10.0.0.1 {transport} {claimed}"));
                    assert!(refused.contains("status: REFUSED"), "{refused}");
                    assert!(refused.contains("EDE: 18 (Prohibited)"), "{refused}");
                    assert!(!refused.contains("10.8.0."), "{refused}");
                }
            }
            assert!(
                !office.home_log().contains("git.corp.test. A IN"),
                "nothing claimed leaves by home: {}",
                office.home_log()
            );
            // The listener's own network, and nobody from elsewhere, whichever way the address is reached.
            let refused = dig_at(STRANGER, "@10.0.0.1 www.example.test");
            assert!(refused.contains("status: REFUSED"), "{refused}");
            assert!(refused.contains("EDE: 18"), "{refused}");
            let closed = dig_at(STRANGER, "@10.0.0.1 +tcp www.example.test");
            assert!(!closed.contains("status:"), "{closed}");
            let closed = dig_at(LAN, "@172.17.0.1 www.example.test");
            assert!(closed.contains("status: REFUSED"), "{closed}");
            let other = listener(&office, "10.0.0.1:53");
            assert_eq!(other["strangers"].as_u64(), Some(2), "{other}");
            let withheld = json(&office, &["status"])["counters"]["withheld"].as_u64();
            assert_eq!(withheld, Some(4), "two names, two transports");
            let (_, text) = office.linnet(LINNET, &["doctor"]);
            assert!(text.contains("172.17.0.1:53 is open"), "{text}");
            let (_, text) = office.linnet(LINNET, &["status"]);
            assert!(
                text.contains("listeners for others") && text.contains("2 from strangers"),
                "{text}"
            );
        },
    );
}

#[test]
fn listeners_come_and_go_with_a_reload_and_the_stub_goes_on() {
    isolated(
        "listeners::listeners_come_and_go_with_a_reload_and_the_stub_goes_on",
        || {
            let office = Office::raise();
            office.configure_usual("");
            let linnetd = office.linnetd(LINNETD, &[]);
            raise(LAN);
            let asked = || dig_at(LAN, "@10.0.0.1 +short www.example.test");
            assert!(!asked().contains("192.0.2.80"));
            office.configure("conf.d/listeners.toml", LISTENERS);
            linnetd.signal(libc::SIGHUP);
            until_open(&office, "10.0.0.1:53");
            assert!(asked().contains("192.0.2.80"));
            // A connection outlives a change of its listener's list; whoever comes later meets the new one.
            let narrower = LISTENERS.replace("10.0.0.0/24", "10.0.0.9/32");
            office.configure("conf.d/listeners.toml", &narrower);
            let (code, text) = office.linnet(LINNET, &["config", "reload"]);
            assert_eq!(code, 0, "{text}");
            until("the list is the new one", || {
                dig_at(LAN, "@10.0.0.1 www.example.test").contains("REFUSED")
            });
            office.configure("conf.d/listeners.toml", "");
            linnetd.signal(libc::SIGHUP);
            until("it is closed", || {
                json(&office, &["status"])["listeners"].is_null() && !asked().contains("192.0.2.80")
            });
            assert!(dig("+short www.example.test").contains("192.0.2.80"));
            let open = "[[listeners]]\naddress = \"10.0.0.1\"\n";
            office.configure("conf.d/listeners.toml", open);
            let (code, text) = office.linnet(LINNET, &["config", "check", &office.path("etc")]);
            assert_eq!(code, 1, "{text}");
            assert!(text.contains("say who may ask"), "{text}");
        },
    );
}

#[test]
fn a_listener_at_all_addresses_answers_from_the_one_that_was_asked() {
    isolated(
        "listeners::a_listener_at_all_addresses_answers_from_the_one_that_was_asked",
        || {
            let office = Office::raise();
            office.configure_usual("listen = [\"127.0.0.53:53\", \"[::1]:53\"]");
            office.configure(
                "conf.d/listeners.toml",
                "[[listeners]]\naddress = \"0.0.0.0\"\nallow = [\"10.0.0.0/24\"]\n\
                 [[listeners]]\naddress = \"::\"\nallow = [\"2001:db8:5::/64\"]\n\
                 [[listeners]]\naddress = \"[fe80::53%lan0]:5353\"\nallow = [\"fe80::/64\"]\n",
            );
            let _linnetd = office.linnetd(LINNETD, &[]);
            until_open(&office, "0.0.0.0:53");
            until_open(&office, "[::]:53");
            let waits = listener(&office, "[fe80::53%lan0]:5353");
            assert_eq!(waits["state"], "there is no link lan0", "{waits}");
            raise(LAN);
            shell("ip addr add 10.0.0.7/24 dev lan0");
            for place in ["10.0.0.1", "10.0.0.7", "2001:db8:5::1"] {
                for transport in ["", "+tcp"] {
                    let answer = dig_at(LAN, &format!("@{place} {transport} www.example.test"));
                    assert!(answer.contains("192.0.2.80"), "{place}: {answer}");
                    assert!(!answer.contains("unexpected source"), "{answer}");
                }
            }
            until_open(&office, "[fe80::53%lan0]:5353");
            let near = || dig_at(LAN, "@fe80::53%n0 -p 5353 www.example.test");
            assert!(near().contains("192.0.2.80"), "{}", near());
            // The stub has its own addresses, and answers there as the stub.
            assert!(dig("+short git.corp.test").contains("10.8.0.80"));
            assert!(dig("+tcp +short git.corp.test").contains("10.8.0.80"));
            assert!(shell("dig @::1 +short git.corp.test").contains("10.8.0.80"));
            // The link goes, and comes back as another one.
            shell("ip link del lan0 && ip netns del lan");
            raise(LAN);
            until("the new link is listened at", || {
                near().contains("192.0.2.80")
            });
        },
    );
}

const ENCRYPTED: &str = r#"
[[listeners]]
address = "10.0.0.1"
transport = "tls"
allow = ["10.0.0.0/24"]
certificate = "good.pem"
key = "good.key"

[[listeners]]
address = "10.0.0.1"
transport = "https"
allow = ["10.0.0.0/24"]
certificate = "good.pem"
key = "good.key"

[[listeners]]
address = "10.0.0.1"
transport = "quic"
allow = ["10.0.0.0/24"]
certificate = "good.pem"
key = "good.key"
"#;

#[test]
fn encrypted_listeners_serve_kdig_curl_and_unbound() {
    isolated(
        "listeners::encrypted_listeners_serve_kdig_curl_and_unbound",
        || {
            let office = Office::raise();
            office.configure_usual("");
            certificate(&office, "good");
            office.configure("conf.d/listeners.toml", ENCRYPTED);
            let _linnetd = office.linnetd(LINNETD, &[]);
            for neighbour in [LAN, STRANGER] {
                raise(neighbour);
            }
            for place in [
                "tls 10.0.0.1:853",
                "https 10.0.0.1:443",
                "quic 10.0.0.1:853",
            ] {
                until_open(&office, place);
            }
            let etc = office.path("etc");
            let verified = format!("+tls-ca={etc}/ca.pem +tls-hostname=dns.test");
            let kdig = |neighbour, more: &str| {
                at(
                    neighbour,
                    &format!("kdig +time=3 +retry=0 @10.0.0.1 {more}"),
                )
            };
            // The transport comes last: to verify means TLS to kdig.
            for transport in ["+tls", "+https", "+https +https-get", "+quic"] {
                let answer = kdig(LAN, &format!("{verified} {transport} www.example.test"));
                assert!(answer.contains("192.0.2.80"), "{transport}: {answer}");
                let refused = kdig(LAN, &format!("{verified} {transport} git.corp.test"));
                assert!(
                    refused.contains("status: REFUSED"),
                    "{transport}: {refused}"
                );
                // The client notices who it is not.
                let wrong = format!(
                    "+tls-ca={etc}/ca.pem +tls-hostname=other.test {transport} www.example.test"
                );
                let wrong = kdig(LAN, &wrong);
                assert!(!wrong.contains("192.0.2.80"), "{transport}: {wrong}");
                let stranger = kdig(
                    STRANGER,
                    &format!("{verified} {transport} www.example.test"),
                );
                assert!(!stranger.contains("192.0.2.80"), "{transport}: {stranger}");
            }
            // RFC 8467: whole blocks for whoever pads.
            let padded = kdig(LAN, &format!("+tls {verified} +padding www.example.test"));
            assert!(padded.contains("Received 468 B"), "{padded}");
            let keepalive = dig_at(LAN, "@10.0.0.1 -p 853 +tls +keepalive www.example.test");
            assert!(keepalive.contains("TCP KEEPALIVE: 30.0"), "{keepalive}");
            let message = "AAABAAABAAAAAAAAA3d3dwdleGFtcGxlBHRlc3QAAAEAAQ";
            let curl = |more: &str| {
                at(
                    LAN,
                    &format!(
                        "curl -s -o /dev/null -w '%{{http_code}} %{{http_version}} %{{content_type}}' --cacert {etc}/ca.pem {more}"
                    ),
                )
            };
            let place = "https://10.0.0.1/dns-query";
            for (more, expected) in [
                (
                    format!("'{place}?dns={message}'"),
                    "200 2 application/dns-message",
                ),
                (format!("'{place}?dns=!!'"), "400 2 "),
                (format!("'{place}'"), "400 2 "),
                ("https://10.0.0.1/".to_owned(), "404 2 "),
                (format!("-X PUT '{place}'"), "405 2 "),
                (format!("-d x '{place}'"), "415 2 "),
            ] {
                assert_eq!(curl(&more), expected, "{more}");
            }
            // unbound asks by TLS for its own clients, and verifies.
            let conf = office.dir().join("forwarder.conf");
            let text = format!(
                "server:\n  interface: 127.0.0.9\n  do-daemonize: no\n  username: \"\"\n  chroot: \"\"\n  directory: \"{dir}\"\n  pidfile: \"\"\n  \
                 use-syslog: no\n  logfile: \"\"\n  module-config: \"iterator\"\n  tls-cert-bundle: \"{etc}/ca.pem\"\n  \
                 local-zone: \"test.\" nodefault\nforward-zone:\n  name: \".\"\n  forward-tls-upstream: yes\n  \
                 forward-addr: 10.0.0.1@853#dns.test\nremote-control:\n  control-enable: no\n",
                dir = office.dir().display()
            );
            std::fs::write(&conf, text).unwrap();
            let _unbound = Peer::start(
                office.dir(),
                "forwarder",
                Some(LAN),
                &["unbound", "-d", "-c", &conf.display().to_string()],
            );
            until("unbound forwards by TLS", || {
                dig_at(LAN, "@127.0.0.9 +short www.example.test").contains("192.0.2.80")
            });
            let strangers: u64 = [
                "tls 10.0.0.1:853",
                "https 10.0.0.1:443",
                "quic 10.0.0.1:853",
            ]
            .iter()
            .filter_map(|place| listener(&office, place)["strangers"].as_u64())
            .sum();
            assert!(strangers >= 4, "{strangers}");
        },
    );
}

#[test]
fn certificates_are_read_by_whoever_may_checked_and_changed_by_a_reload() {
    isolated(
        "listeners::certificates_are_read_by_whoever_may_checked_and_changed_by_a_reload",
        || {
            let office = Office::raise();
            office.configure_usual("");
            certificate(&office, "good");
            certificate(&office, "next");
            let etc = office.path("etc");
            shell(&format!("chmod 644 {etc}/good.key"));
            office.configure("conf.d/listeners.toml", ENCRYPTED);
            raise(LAN);
            let linnetd = office.linnetd(LINNETD, &[]);
            let place = "tls 10.0.0.1:853";
            until("the open key is noticed", || {
                let state = listener(&office, place)["state"].to_string();
                state.contains("chmod o= ") && state.contains("good.key")
            });
            assert!(!linnetd.log().contains("PRIVATE KEY"));
            let name = || {
                at(
                    LAN,
                    "kdig +time=3 +retry=0 @10.0.0.1 -d +tls www.example.test",
                )
            };
            assert!(!name().contains("192.0.2.80"));
            shell(&format!("chmod 600 {etc}/good.key"));
            linnetd.signal(libc::SIGHUP);
            until_open(&office, place);
            assert!(name().contains("CN=good"), "{}", name());
            // Another one in its place, by name, without a restart; QUIC hears of it too.
            shell(&format!(
                "cd {etc} && cp next.pem good.pem && cp next.key good.key"
            ));
            linnetd.signal(libc::SIGHUP);
            until("the next certificate is shown", || {
                name().contains("CN=next")
            });
            let quic = || {
                at(
                    LAN,
                    "kdig +time=3 +retry=0 @10.0.0.1 -d +quic www.example.test",
                )
            };
            until("by QUIC too", || quic().contains("CN=next"));
            // One that is broken leaves the one before.
            shell(&format!("cd {etc} && echo nothing >good.pem"));
            linnetd.signal(libc::SIGHUP);
            until("the broken one is told", || {
                listener(&office, place)["state"]
                    .as_str()
                    .is_some_and(|state| state.contains("no certificate"))
            });
            assert!(name().contains("CN=next") && name().contains("192.0.2.80"));
        },
    );
}
