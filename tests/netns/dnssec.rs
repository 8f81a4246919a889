//! Does linnet judge as others do, and never in the way? On a small signed internet, beside unbound and delv.

use std::collections::BTreeMap;
use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tests::lab::{AUTHORITY, Lab, REFEREE, UPSTREAM};
use tests::namespace::{isolated, shell};
use tests::office::{Office, dig, links};
use tests::peer::{Tap, occurrences, until};

use crate::{LINNET, LINNETD, json};

/// What a client sees of an answer: its code, and AD.
pub(crate) type Seen = (String, bool);

pub(crate) fn ask(server: &str, name: &str, record_type: &str) -> Seen {
    let text = shell(&format!(
        "dig @{server} +dnssec +time=5 +tries=2 {name} {record_type}; true"
    ));
    let field = |start: &str, end: &str| {
        let from = text.find(start)? + start.len();
        let length = text[from..].find(end)?;
        Some(text[from..from + length].to_owned())
    };
    let flags = field(";; flags:", ";").unwrap_or_default();
    (
        field("status: ", ",").unwrap_or_default(),
        flags.split_whitespace().any(|flag| flag == "ad"),
    )
}

/// The kernel of a test machine may call its clock unsynchronised; this says what time it is.
pub(crate) fn clock() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs().to_string()
}

/// At home with a linnet that validates everything, from the lab's own root.
fn validating(dir: PathBuf, lab: &Lab) -> Office {
    let office = Office::bare(dir);
    let anchor = lab.anchor.display();
    office.configure(
        "linnet.toml",
        &format!("[resolver]\ndnssec = \"enforce\"\ntrust-anchors = \"{anchor}\"\n"),
    );
    office.configure("profiles/home.toml", tests::office::HOME);
    office
}

/// Writes the lab's anchor as delv reads it; returns the file.
fn delv_anchors(office: &Office, lab: &Lab) -> String {
    let anchors = office.path("anchors.conf");
    let ds = fs::read_to_string(&lab.anchor).unwrap();
    let fields: Vec<&str> = ds.split_whitespace().skip(3).collect();
    let [tag, algorithm, kind, ref digest @ ..] = fields[..] else {
        panic!("{ds}");
    };
    let digest = digest.concat();
    let text = format!("trust-anchors {{ . static-ds {tag} {algorithm} {kind} \"{digest}\"; }};\n");
    fs::write(&anchors, text).unwrap();
    anchors
}

fn questions() -> Vec<(String, &'static str)> {
    let mut questions = Vec::new();
    for zone in [
        "nsec",
        "nsec3",
        "optout",
        "p384",
        "rsa",
        "expired",
        "early",
        "mismatch",
        "unknown",
        "plain",
        "sub.optout",
    ] {
        let zone = format!("{zone}.test");
        for (name, record_type) in [
            ("www.", "A"),
            ("www.", "TXT"),
            ("nothing.", "A"),
            ("deep.nothing.", "AAAA"),
            ("any.wild.", "A"),
            ("any.wild.", "MX"),
            ("b.ent.", "A"),
            ("alias.", "A"),
            ("alias.", "AAAA"),
            ("", "SOA"),
            ("", "DS"),
            ("", "DNSKEY"),
        ] {
            questions.push((format!("{name}{zone}"), record_type));
        }
    }
    for name in [
        "out",
        "plain",
        "nowhere",
        "stale",
        "www.old",
        "nothing.old",
        "mail",
    ] {
        for record_type in ["A", "AAAA", "MX"] {
            questions.push((format!("{name}.nsec.test"), record_type));
        }
    }
    for (name, record_type) in [
        (".", "SOA"),
        (".", "DNSKEY"),
        ("com", "DS"),
        ("nothing.com", "A"),
        ("nothing", "TXT"),
    ] {
        questions.push((name.to_owned(), record_type));
    }
    questions
}

#[test]
fn every_verdict_is_that_of_unbound_and_delv() {
    isolated("dnssec::every_verdict_is_that_of_unbound_and_delv", || {
        let dir = links();
        let lab = Lab::raise(&dir);
        let office = validating(dir, &lab);
        let _linnetd = office.linnetd(LINNETD, &["--clock", &clock()]);
        let anchors = delv_anchors(&office, &lab);
        let mut wrong = Vec::new();
        let mut seen: BTreeMap<Seen, usize> = BTreeMap::new();
        for (name, record_type) in questions() {
            let ours = ask("127.0.0.54", &name, record_type);
            let theirs = ask(REFEREE, &name, record_type);
            let delv = shell(&format!(
                "delv @{UPSTREAM} -a {anchors} +root=. {name} {record_type} 2>&1; true"
            ));
            let refused = delv.contains("resolution failed") && !delv.contains("ncache");
            if ours != theirs || refused != (ours.0 == "SERVFAIL") {
                wrong.push(format!(
                    "{name} {record_type}: {ours:?}, unbound {theirs:?}, delv {}",
                    delv.lines().next().unwrap_or_default()
                ));
            }
            *seen.entry(ours).or_default() += 1;
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(
            seen.len() >= 5 && seen.values().sum::<usize>() > 150,
            "{seen:?}"
        );
    });
}

/// Whoever validates behind linnet needs what linnet has by DO and CD, and comes to the same.
#[test]
fn those_who_validate_for_themselves_behind_the_stub_come_to_the_same() {
    isolated(
        "dnssec::those_who_validate_for_themselves_behind_the_stub_come_to_the_same",
        || {
            let dir = links();
            let lab = Lab::raise(&dir);
            let office = validating(dir, &lab);
            let _linnetd = office.linnetd(LINNETD, &["--clock", &clock()]);
            let anchors = delv_anchors(&office, &lab);
            let anchor = lab.anchor.display();
            let host_conf = office.path("host.conf");
            let text = format!(
                "server:\n  do-not-query-localhost: no\n  do-ip6: no\n  trust-anchor-file: \"{anchor}\"\n  local-zone: \"test.\" nodefault\n\
                 forward-zone:\n  name: \".\"\n  forward-addr: 127.0.0.53\n"
            );
            fs::write(&host_conf, text).unwrap();
            for (name, record_type, delv, host) in [
                ("www.nsec.test", "A", "fully validated", "(secure)"),
                ("nothing.nsec3.test", "A", "fully validated", "(secure)"),
                ("any.wild.rsa.test", "A", "fully validated", "(secure)"),
                ("out.nsec.test", "A", "fully validated", "(secure)"),
                ("www.plain.test", "A", "unsigned answer", "(insecure)"),
                ("www.unknown.test", "A", "unsigned answer", "(insecure)"),
                ("www.expired.test", "A", "resolution failed", "(BOGUS"),
                ("www.mismatch.test", "A", "resolution failed", "(BOGUS"),
            ] {
                let told = shell(&format!(
                    "delv @127.0.0.53 -a {anchors} +root=. {name} {record_type} 2>&1; true"
                ));
                assert!(told.contains(delv), "{name}: {delv:?} is not in\n{told}");
                let told = shell(&format!(
                    "unbound-host -C {host_conf} -v -t {record_type} {name} 2>&1; true"
                ));
                assert!(told.contains(host), "{name}: {host:?} is not in\n{told}");
                let ours = ask("127.0.0.53", name, record_type);
                assert_eq!(ours.1, host == "(secure)", "{name}: {ours:?}");
                assert_eq!(ours.0 == "SERVFAIL", host == "(BOGUS", "{name}: {ours:?}");
            }
        },
    );
}

#[test]
fn the_chain_is_shown_link_by_link() {
    isolated("dnssec::the_chain_is_shown_link_by_link", || {
        let dir = links();
        let lab = Lab::raise(&dir);
        let office = validating(dir, &lab);
        let _linnetd = office.linnetd(LINNETD, &["--clock", &clock()]);
        for (name, code, words) in [
            (
                "www.nsec.test",
                0,
                [
                    "signed by nsec.test",
                    "DS signed by test",
                    "NOERROR, validated",
                ],
            ),
            (
                "www.plain.test",
                0,
                ["plain.test has no DS", "insecure", "NOERROR, not validated"],
            ),
            (
                "www.expired.test",
                1,
                ["time is over", "signature expired", "SERVFAIL"],
            ),
            (
                "www.mismatch.test",
                1,
                [
                    "no DNSKEY of mismatch.test fits",
                    "DNSKEY missing",
                    "SERVFAIL",
                ],
            ),
        ] {
            let (exit, text) = office.linnet(LINNET, &["query", "--dnssec", name]);
            assert_eq!(exit, code, "{text}");
            for word in words {
                assert!(text.contains(word), "{word:?} is not in\n{text}");
            }
        }
        let denied = || json(&office, &["status"])["counters"]["denied_again"].clone();
        assert_eq!(denied(), 0);
        for (name, record_type) in [("nothing", "A"), ("nothing-else", "TXT")] {
            assert_eq!(
                ask("127.0.0.53", &format!("{name}.nsec.test"), record_type),
                ("NXDOMAIN".to_owned(), true)
            );
        }
        assert_eq!(denied(), 1, "one proof is enough for both");
        let (_, text) = office.linnet(
            LINNET,
            &["dnssec", "nta", "add", "expired.test", "--for", "1h"],
        );
        let (exit, text) = match office.linnet(LINNET, &["query", "www.expired.test"]) {
            (0, told) => (0, told),
            (exit, told) => (exit, text + &told),
        };
        assert_eq!(exit, 0, "{text}");
        assert!(
            ask("127.0.0.53", "www.nsec.test", "A").1,
            "the rest is judged as before"
        );
    });
}

#[test]
fn a_private_zone_under_a_signed_parent_asks_its_parent_nothing() {
    isolated(
        "dnssec::a_private_zone_under_a_signed_parent_asks_its_parent_nothing",
        || {
            let dir = links();
            let lab = Lab::raise(&dir);
            let _vpn = tests::office::knot(&dir, "vpn", "10.8.0.1");
            let office = validating(dir, &lab);
            office.configure("profiles/office.toml", tests::office::OFFICE);
            let _linnetd = office.linnetd(LINNETD, &["--clock", &clock()]);
            let (home, vpn) = (
                Tap::start(office.dir(), "home0"),
                Tap::start(office.dir(), "vpn0"),
            );
            // The proof for this name covers corp.test too, where public names are asked.
            assert_eq!(
                ask("127.0.0.53", "coro.test", "A"),
                ("NXDOMAIN".to_owned(), true)
            );
            assert!(dig("+short git.corp.test").contains("10.8.0.80"));
            assert_eq!(
                ask("127.0.0.53", "git.corp.test", "A"),
                ("NOERROR".to_owned(), false)
            );
            assert_eq!(ask("127.0.0.53", "nothing.corp.test", "A").0, "NXDOMAIN");
            let explained = |name: &str| office.linnet(LINNET, &["explain", name]).1;
            for (name, words) in [
                (
                    "git.corp.test",
                    ["an island, as it is claimed", "the upstreams alone"],
                ),
                (
                    "www.nsec.test",
                    [
                        "validated from the anchor at . (enforce)",
                        "from the root down when nobody replies",
                    ],
                ),
            ] {
                let told = explained(name);
                for word in words {
                    assert!(told.contains(word), "{word:?} is not in\n{told}");
                }
            }
            assert_eq!(
                ask("127.0.0.53", "www.nsec.test", "A"),
                ("NOERROR".to_owned(), true)
            );
            let (home, vpn) = (home.stop(), vpn.stop());
            assert!(occurrences(&home, "nsec.test") > 0, "the tap works");
            assert_eq!(
                occurrences(&home, "corp.test"),
                0,
                "corp.test was asked at home"
            );
            assert!(occurrences(&vpn, "git.corp.test") > 0, "the tap works");
            assert_eq!(occurrences(&vpn, "nsec.test"), 0);
            for record_type in [43, 48] {
                let asked = [0, 0, record_type, 0, 1];
                assert!(
                    !vpn.windows(asked.len()).any(|window| window == asked),
                    "type {record_type} was asked through the VPN"
                );
            }
        },
    );
}

#[test]
fn behind_a_full_tunnel_a_claim_validates_if_its_public_parents_let_it() {
    isolated(
        "dnssec::behind_a_full_tunnel_a_claim_validates_if_its_public_parents_let_it",
        || {
            let dir = links();
            let lab = Lab::raise(&dir);
            let office = validating(dir, &lab);
            office.configure(
                "profiles/home.toml",
                "match = { name = \"home*\" }\n[dns]\nupstreams = [\"192.0.2.53\"]\ndefault = \"exclusive\"\n\
                 claims = [\"nsec.test\", \"plain.test\", \"mismatch.test\"]\n",
            );
            let _linnetd = office.linnetd(LINNETD, &["--clock", &clock()]);
            for (name, code, authentic) in [
                ("www.nsec.test", "NOERROR", true),
                ("nothing.nsec.test", "NXDOMAIN", true),
                ("www.plain.test", "NOERROR", false),
                // To whoever claims it, what the public parent says of it is no reason to be without it.
                ("www.mismatch.test", "NOERROR", false),
                ("www.expired.test", "SERVFAIL", false),
            ] {
                let seen = ask("127.0.0.53", name, "A");
                assert_eq!((&*seen.0, seen.1), (code, authentic), "{name}");
            }
        },
    );
}

/// How a relay treats questions.
#[derive(Default)]
struct Manners {
    /// It takes DO away.
    strips: AtomicBool,
    /// It drops what only a proof asks for.
    mute: AtomicBool,
    /// Questions that it had.
    had: AtomicU32,
}

/// Hands questions on to unbound.
fn relay(at: &str, manners: &Arc<Manners>) {
    let socket = UdpSocket::bind((at, 53)).unwrap();
    let manners = Arc::clone(manners);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            let mut query = buffer[..length].to_vec();
            manners.had.fetch_add(1, Ordering::Relaxed);
            if manners.mute.load(Ordering::Relaxed) && occurrences(&query, "root-servers.net") > 0 {
                continue;
            }
            if manners.strips.load(Ordering::Relaxed) {
                // The flags of OPT, which follows the question, are its TTL's last two octets.
                let mut at = 12;
                while query[at] != 0 {
                    at += 1 + usize::from(query[at]);
                }
                query[at + 12] &= 0x7f;
            }
            let upstream = UdpSocket::bind("0.0.0.0:0").unwrap();
            upstream
                .set_read_timeout(Some(Duration::from_secs(2)))
                .unwrap();
            upstream.send_to(&query, (UPSTREAM, 53)).unwrap();
            if let Ok(length) = upstream.recv(&mut buffer) {
                socket.send_to(&buffer[..length], client).unwrap();
            }
        }
    });
}

#[test]
fn of_two_upstreams_one_that_strips_is_asked_last_and_the_next_start_knows_it() {
    isolated(
        "dnssec::of_two_upstreams_one_that_strips_is_asked_last_and_the_next_start_knows_it",
        || {
            let dir = links();
            let lab = Lab::raise(&dir);
            let office = Office::bare(dir);
            let [stripping, good]: [Arc<Manners>; 2] = Default::default();
            stripping.strips.store(true, Ordering::Relaxed);
            relay("127.0.0.10", &stripping);
            relay("127.0.0.11", &good);
            let anchor = lab.anchor.display();
            office.configure(
                "linnet.toml",
                &format!(
                    "[resolver]\nupstreams = [\"127.0.0.10\", \"127.0.0.11\"]\nrecursion = \"never\"\ntrust-anchors = \"{anchor}\"\n"
                ),
            );
            let secure = ("NOERROR".to_owned(), true);
            let upstreams = || json(&office, &["status"])["scopes"][0]["upstreams"].clone();
            {
                let _linnetd = office.linnetd(LINNETD, &["--clock", &clock()]);
                assert_eq!(ask("127.0.0.53", "www.nsec.test", "A"), secure);
                until("both are known", || {
                    upstreams()[0]["proof"].to_string().contains("127.0.0.10")
                });
                assert_eq!(upstreams()[1]["proof"], "validates", "{}", upstreams());
                let before = stripping.had.load(Ordering::Relaxed);
                assert_eq!(ask("127.0.0.53", "www.nsec3.test", "A"), secure);
                assert_eq!(ask("127.0.0.53", "www.plain.test", "A").0, "NOERROR");
                let after = stripping.had.load(Ordering::Relaxed);
                assert_eq!(before, after, "it is not asked what must be validated");
            }
            // The proof is slow now, and nobody waits for it.
            good.mute.store(true, Ordering::Relaxed);
            let _linnetd = office.linnetd(LINNETD, &["--clock", &clock()]);
            let begun = Instant::now();
            assert_eq!(ask("127.0.0.53", "www.nsec.test", "A"), secure);
            assert_eq!(ask("127.0.0.53", "www.expired.test", "A").0, "SERVFAIL");
            assert!(begun.elapsed() < Duration::from_millis(1500), "it was held");
            let network = fs::read_to_string(office.path("state/networks.json")).unwrap();
            assert!(network.contains("192.0.2.0/24 by 192.0.2.53"), "{network}");
        },
    );
}

#[test]
fn an_upstream_that_strips_signatures_is_seen_and_does_not_break_names() {
    isolated(
        "dnssec::an_upstream_that_strips_signatures_is_seen_and_does_not_break_names",
        || {
            let dir = links();
            let lab = Lab::raise(&dir);
            let office = Office::bare(dir);
            let manners = Arc::new(Manners::default());
            manners.strips.store(true, Ordering::Relaxed);
            relay("127.0.0.10", &manners);
            let anchor = lab.anchor.display();
            office.configure(
                "linnet.toml",
                &format!(
                    "[resolver]\nupstreams = [\"127.0.0.10\"]\nrecursion = \"never\"\ntrust-anchors = \"{anchor}\"\n"
                ),
            );
            let _linnetd = office.linnetd(LINNETD, &["--clock", &clock()]);
            let mode = || json(&office, &["status"])["scopes"][0]["dnssec"].to_string();
            assert_eq!(
                ask("127.0.0.53", "www.nsec.test", "A"),
                ("NOERROR".to_owned(), false)
            );
            assert!(mode().contains("observe"), "{}", mode());
            manners.strips.store(false, Ordering::Relaxed);
            office.linnet(LINNET, &["flush"]);
            until("it is seen that signatures come through", || {
                ask("127.0.0.53", "www.nsec.test", "A") == ("NOERROR".to_owned(), true)
            });
            assert!(mode().contains("enforce"), "{}", mode());
            assert_eq!(ask("127.0.0.53", "www.expired.test", "A").0, "SERVFAIL");
        },
    );
}

#[test]
fn own_recursion_validates_where_the_upstream_strips_and_where_it_is_dead() {
    isolated(
        "dnssec::own_recursion_validates_where_the_upstream_strips_and_where_it_is_dead",
        || {
            let dir = links();
            let lab = Lab::raise(&dir);
            let _vpn = tests::office::knot(&dir, "vpn", "10.8.0.1");
            let office = Office::bare(dir);
            let manners = Arc::new(Manners::default());
            manners.strips.store(true, Ordering::Relaxed);
            relay("127.0.0.10", &manners);
            let anchor = lab.anchor.display();
            let resolver = |upstream: &str| {
                office.configure(
                    "linnet.toml",
                    &format!(
                        "[resolver]\nupstreams = [\"{upstream}\"]\ntrust-anchors = \"{anchor}\"\nroot-servers = [\"{AUTHORITY}\"]\n"
                    ),
                );
            };
            office.configure("profiles/office.toml", tests::office::OFFICE);
            // One upstream strips signatures, the other refuses to be asked.
            for upstream in ["127.0.0.10", "127.0.0.11"] {
                resolver(upstream);
                let mut linnetd = office.linnetd(LINNETD, &["--clock", &clock()]);
                let tap = Tap::start(office.dir(), "home0");
                for (name, seen) in [
                    ("www.nsec.test", ("NOERROR", true)),
                    ("nothing.nsec3.test", ("NXDOMAIN", true)),
                    ("out.nsec.test", ("NOERROR", true)),
                    ("www.plain.test", ("NOERROR", false)),
                    ("www.expired.test", ("SERVFAIL", false)),
                    ("git.corp.test", ("NOERROR", false)),
                ] {
                    let ours = ask("127.0.0.53", name, "A");
                    assert_eq!((&*ours.0, ours.1), seen, "{name} by {upstream}");
                }
                let told = office.linnet(LINNET, &["query", "alias.nsec.test"]).1;
                assert!(told.contains("recursion"), "{told}");
                shell("ip link set vpn0 down");
                assert_eq!(ask("127.0.0.53", "git.corp.test", "A").0, "REFUSED");
                shell("ip link set vpn0 up");
                let packets = tap.stop();
                assert!(occurrences(&packets, "nsec.test") > 0, "the tap works");
                assert_eq!(
                    occurrences(&packets, "corp.test"),
                    0,
                    "the root was asked for corp.test"
                );
                linnetd.signal(libc::SIGTERM);
                assert_eq!(linnetd.wait(), Some(0), "{}", linnetd.log());
            }
        },
    );
}

#[test]
fn without_any_upstream_names_come_from_the_root_down_and_a_profile_says_so_for_itself() {
    isolated(
        "dnssec::without_any_upstream_names_come_from_the_root_down_and_a_profile_says_so_for_itself",
        || {
            let dir = links();
            let lab = Lab::raise(&dir);
            let office = Office::bare(dir);
            let anchor = lab.anchor.display();
            let resolver = |more: &str| {
                let text = format!(
                    "[resolver]\ntrust-anchors = \"{anchor}\"\nroot-servers = [\"{AUTHORITY}\"]\n{more}"
                );
                office.configure("linnet.toml", &text);
            };
            let profile = |recursion: &str| {
                let text = format!(
                    "[match]\nname = \"home0\"\n[dns]\nupstreams = [\"192.0.2.99\"]\nrecursion = \"{recursion}\"\n"
                );
                office.configure("profiles/home.toml", &text);
            };
            let secure = ("NOERROR".to_owned(), true);
            resolver("recursion = \"always\"\n");
            let _linnetd = office.linnetd(LINNETD, &["--clock", &clock()]);
            assert_eq!(ask("127.0.0.53", "www.nsec.test", "A"), secure);
            assert_eq!(ask("127.0.0.53", "www.plain.test", "A").0, "NOERROR");
            assert_eq!(ask("127.0.0.53", "www.expired.test", "A").0, "SERVFAIL");

            // The upstream of this profile is not there; nobody waits for it.
            resolver("recursion = \"never\"\n");
            profile("always");
            let (code, text) = office.linnet(LINNET, &["config", "reload"]);
            assert_eq!(code, 0, "{text}");
            assert_eq!(ask("127.0.0.53", "www.nsec3.test", "A"), secure);
            profile("never");
            office.linnet(LINNET, &["config", "reload"]);
            assert_eq!(ask("127.0.0.53", "www.rsa.test", "A").0, "SERVFAIL");
        },
    );
}
