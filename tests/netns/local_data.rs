//! Are records, lists and DNS64 what another resolver makes of the same words? Beside unbound, in the same run.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::lab::{Lab, UPSTREAM};
use tests::namespace::{isolated, shell};
use tests::office::{HOME, Office, advertise, dig, links, until_answers};
use tests::peer::{Peer, until};

use crate::dnssec::clock;
use crate::{LINNET, LINNETD, json};

/// Where the unbound is that linnet is compared with.
const OTHER: &str = "127.0.0.19";

/// Starts an unbound beside linnet, with these lines in its `server:` and after it.
fn unbound(dir: &Path, server: &str, more: &str, probe: &str) -> Peer {
    let path = dir.join("other.conf");
    let config = format!(
        "server:\n  interface: {OTHER}\n  do-daemonize: no\n  do-ip6: no\n  username: \"\"\n  chroot: \"\"\n  directory: \"{}\"\n  \
         pidfile: \"\"\n  use-syslog: no\n  logfile: \"\"\n  do-not-query-localhost: no\n  edns-buffer-size: 1232\n  \
         aggressive-nsec: no\n  trust-anchor-signaling: no\n{server}remote-control:\n  control-enable: no\n{more}",
        dir.display()
    );
    fs::write(&path, config).unwrap();
    let peer = Peer::start(
        dir,
        "other",
        None,
        &["unbound", "-d", "-c", &path.display().to_string()],
    );
    until_answers(None, OTHER, probe);
    peer
}

/// What a client gets: code, whether AD is set, and the answer's records without TTLs, in order of text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Got {
    code: String,
    authentic: bool,
    answers: Vec<String>,
}

fn ask(server: &str, question: &str) -> Got {
    let text = shell(&format!(
        "dig @{server} +time=5 +tries=1 +noall +comments +answer {question} 2>&1; true"
    ));
    let code = text
        .split("status: ")
        .nth(1)
        .and_then(|rest| rest.split(',').next());
    let flags = text
        .split(";; flags:")
        .nth(1)
        .and_then(|rest| rest.split(';').next());
    let records = text
        .lines()
        .filter(|line| !line.starts_with(';') && !line.is_empty());
    let mut answers: Vec<String> = records
        .map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (owner, rest) = fields.split_first().unwrap();
            format!(
                "{} {}",
                owner.to_lowercase(),
                rest.get(2..).unwrap_or_default().join(" ")
            )
        })
        .filter(|record| !record.contains(" RRSIG "))
        .collect();
    answers.sort();
    Got {
        code: code.unwrap_or("none").to_owned(),
        authentic: flags
            .unwrap_or_default()
            .split_whitespace()
            .any(|flag| flag == "ad"),
        answers,
    }
}

/// Asks both, and notes where they differ.
fn differences(questions: &[&str], both_asked: &mut usize) -> Vec<String> {
    let mut different = Vec::new();
    for question in questions {
        *both_asked += 1;
        let (ours, theirs) = (ask("127.0.0.53", question), ask(OTHER, question));
        if (&ours.code, &ours.answers) != (&theirs.code, &theirs.answers) {
            different.push(format!(
                "{question}\n  linnet  {ours:?}\n  unbound {theirs:?}"
            ));
        }
    }
    different
}

/// Type and data, one of each type that people write.
const RECORDS: &[(&str, &str)] = &[
    ("A", "192.0.2.7"),
    ("AAAA", "2001:db8::7"),
    ("MX", "10 mx.own.test."),
    ("TXT", "\"some text\" \"and \\\"more\\\"\""),
    ("SRV", "1 2 8443 sip.own.test."),
    ("CAA", "128 issue \"ca.test; x=1\""),
    (
        "SSHFP",
        "4 2 123456789ABCDEF67890123456789ABCDEF67890123456789ABCDEF123456789",
    ),
    (
        "TLSA",
        "3 1 1 D2ABDE240D7CD3EE6B4B28C54DF034B97983A1D16E8A410E4561CB106618E971",
    ),
    ("NAPTR", "100 50 \"s\" \"SIP+D2U\" \"\" _sip._udp.own.test."),
    ("NS", "ns.own.test."),
    ("PTR", "host.own.test."),
    ("HTTPS", "1 . alpn=\"h2,h3\" port=8443 ipv4hint=192.0.2.7"),
    ("SVCB", "16 svc.own.test. mandatory=\"alpn\" alpn=\"dot\""),
    ("HINFO", "\"a\" \"b\""),
    ("TYPE65280", "\\# 3 ABCDEF"),
];

#[test]
fn records_of_every_type_are_those_that_unbound_makes_of_the_same_text() {
    isolated(
        "local_data::records_of_every_type_are_those_that_unbound_makes_of_the_same_text",
        || {
            let office = Office::raise();
            office.configure_usual("dnssec = \"off\"");
            let mut ours = String::new();
            let mut theirs =
                String::from("  module-config: \"iterator\"\n  local-zone: \"own.test.\" static\n");
            for (kind, data) in RECORDS {
                let name = format!("{}.own.test", kind.to_lowercase());
                ours += &format!(
                    "[[records]]\nname = \"{name}\"\ntype = \"{kind}\"\ndata = '{data}'\nttl = 300\n"
                );
                theirs += &format!("  local-data: '{name}. 300 {kind} {data}'\n");
            }
            ours += "[[records]]\nname = \"alias.own.test\"\ntype = \"CNAME\"\ndata = \"git.corp.test\"\n\
                     [[records]]\nname = \"*.wild.own.test\"\ntype = \"A\"\ndata = \"192.0.2.9\"\n\
                     [[records]]\nname = \"back.own.test\"\ntype = \"A\"\ndata = \"198.18.0.7\"\nreverse = true\n\
                     [[records]]\nname = \"www.example.test\"\ntype = \"TXT\"\ndata = \"ours\"\npass-on = true\n";
            office.configure("conf.d/10-records.toml", &ours);
            let _other = unbound(office.dir(), &theirs, "", "a.own.test");
            let _linnetd = office.linnetd(LINNETD, &[]);
            let questions: Vec<String> = RECORDS
                .iter()
                .flat_map(|(kind, _)| {
                    let name = format!("{}.own.test", kind.to_lowercase());
                    [
                        format!("{name} {kind}"),
                        format!("+tcp {name} {kind}"),
                        format!("{name} LOC"),
                    ]
                })
                .collect();
            let questions: Vec<&str> = questions.iter().map(String::as_str).collect();
            let mut asked = 0;
            let different = differences(&questions, &mut asked);
            assert!(different.is_empty(), "{}", different.join("\n"));
            assert_eq!(asked, 3 * RECORDS.len());

            let got = dig("mx.own.test MX");
            assert!(
                got.contains("flags: qr aa rd ra;") && got.contains("300"),
                "{got}"
            );
            assert!(
                dig("+short alias.own.test").contains("10.8.0.80"),
                "the alias is asked at the office"
            );
            assert!(
                !office.home_log().contains("corp.test. A IN"),
                "{}",
                office.home_log()
            );
            assert!(dig("+short a.b.wild.own.test").contains("192.0.2.9"));
            assert!(dig("+short -x 198.18.0.7").contains("back.own.test."));
            assert!(dig("+short www.example.test TXT").contains("ours"));
            assert!(
                dig("+short www.example.test").contains("192.0.2.80"),
                "other types are passed on"
            );
            let explained = json(&office, &["explain", "a.own.test"]);
            assert_eq!(explained["local"], "record", "{explained}");
            assert!(
                explained["because"]["text"]
                    .as_str()
                    .unwrap()
                    .contains("a.own.test")
            );

            office.configure(
                "conf.d/10-records.toml",
                &ours
                    .replace("192.0.2.7\"\n", "192.0.2.77\"\n")
                    .replace("'192.0.2.7'", "'192.0.2.77'"),
            );
            let (code, text) = office.linnet(LINNET, &["config", "reload"]);
            assert_eq!(code, 0, "{text}");
            assert!(dig("+short a.own.test").contains("192.0.2.77"));
        },
    );
}

const POLICY: &str = "$TTL 60\n@ SOA localhost. root.localhost. 1 3600 600 86400 60\n  NS localhost.\n\
nx.example.test CNAME .\n*.nx.example.test CNAME .\nnodata.example.test CNAME *.\n\
pass.nx.example.test CNAME rpz-passthru.\n\
own.example.test A 192.0.2.201\nown.example.test A 192.0.2.202\nown.example.test AAAA 2001:db8::201\nown.example.test TXT \"a ; b\"\n\
*.below.example.test A 192.0.2.203\nbelow.example.test CNAME *.\n\
to.example.test CNAME www.example.test.\n*.walled.example.test CNAME *.pub.test.\n\
www.corp.test CNAME .\nstream.pub.test CNAME rpz-tcp-only.\n";

#[test]
fn a_policy_zone_does_what_unbound_does_with_it() {
    isolated(
        "local_data::a_policy_zone_does_what_unbound_does_with_it",
        || {
            let office = Office::raise();
            office.configure_usual("dnssec = \"off\"");
            office.configure("policy.zone", POLICY);
            office.configure(
                "conf.d/10-lists.toml",
                "[[lists]]\npath = \"policy.zone\"\nformat = \"rpz\"\n",
            );
            let zone = office.path("etc/policy.zone");
            let _other = unbound(
                office.dir(),
                "  module-config: \"respip iterator\"\n  local-zone: \"test.\" nodefault\n",
                &format!(
                    "rpz:\n  name: policy.test.\n  zonefile: \"{zone}\"\nforward-zone:\n  name: \".\"\n  forward-addr: 192.0.2.53\n"
                ),
                "www.example.test",
            );
            let _linnetd = office.linnetd(LINNETD, &[]);
            in_force(&office, "policy");
            let questions = [
                "www.example.test",
                "nx.example.test",
                "nx.example.test AAAA",
                "a.b.nx.example.test",
                "nodata.example.test",
                "nodata.example.test TXT",
                "pass.nx.example.test",
                "own.example.test",
                "own.example.test AAAA",
                "own.example.test TXT",
                "own.example.test MX",
                "x.own.example.test",
                "x.below.example.test",
                "x.y.below.example.test",
                "x.below.example.test AAAA",
                "below.example.test",
                "to.example.test",
                "x.walled.example.test",
                "alias.example.test",
                "+ignore stream.pub.test",
                "+tcp stream.pub.test",
                // What the cache has by now goes by TCP all the same.
                "+ignore stream.pub.test",
                "stream.pub.test",
            ];
            let mut asked = 0;
            let different = differences(&questions, &mut asked);
            assert!(different.is_empty(), "{}", different.join("\n"));
            assert_eq!(asked, questions.len());
            for server in ["127.0.0.53", OTHER] {
                let by = |how: &str| shell(&format!("dig @{server} {how} stream.pub.test"));
                let flags = by("+ignore");
                assert!(flags.contains("flags: qr aa tc rd ra;"), "{flags}");
                assert!(flags.contains("ANSWER: 0, AUTHORITY: 0"), "{flags}");
                let whole = by("+tcp");
                assert!(whole.contains("192.0.2.82"), "{whole}");
            }
            let got = dig("nx.example.test");
            assert!(
                got.contains("EDE: 15 (Blocked)")
                    && got.contains("list policy has nx.example.test"),
                "{got}"
            );
            let explained = json(&office, &["explain", "a.b.nx.example.test"]);
            assert_eq!(explained["local"], "list", "{explained}");
            assert!(
                explained["because"]["text"]
                    .as_str()
                    .unwrap()
                    .contains("*.nx.example.test"),
                "{explained}"
            );
            let listed = &json(&office, &["status"])["lists"][0];
            assert!(listed["hits"].as_u64().unwrap() >= 10, "{listed}");
        },
    );
}

/// PREF64 (RFC 8781 §4): 2001:db8:64::/96, for so many seconds.
fn pref64(seconds: u16) -> String {
    // Counted in units of 8, above three bits for the length of the prefix.
    format!("2602{:04x}20010db80064000000000000", (seconds / 8) << 3)
}

/// Advertises until something holds: the client may not listen yet.
fn until_advertised(options: &str, what: &str, holds: impl Fn() -> bool) {
    const BETWEEN: Duration = Duration::from_secs(3);
    let mut advertised: Option<Instant> = None;
    until(what, || {
        if advertised.is_none_or(|at| at.elapsed() > BETWEEN) {
            advertised = Some(Instant::now());
            advertise("00", options);
        }
        holds()
    });
}

/// Holds that addresses are made by the prefix of home's router as long as it tells it.
fn made_while_told(office: &Office) {
    shell("ip netns exec home sysctl -qw net.ipv6.conf.all.forwarding=1");
    until("the router has its own address", || {
        let shown = shell("ip -n home -6 addr show dev p0 scope link");
        shown.contains("fe80::") && !shown.contains("tentative")
    });
    let _linnetd = office.linnetd(LINNETD, &[]);
    let made = || dig("+short www.example.test AAAA");
    assert!(!made().contains("2001:db8:64:"), "{}", made());
    until_advertised(&pref64(600), "addresses are made", || {
        made().contains("2001:db8:64::c000:250")
    });
    assert!(dig("+short www.example.test").contains("192.0.2.80"));
    until_advertised(&pref64(0), "no more are made", || {
        let seen = dig("www.example.test AAAA");
        assert!(seen.contains("NOERROR"), "{seen}");
        !seen.contains("2001:db8:64:")
    });
}

#[test]
fn addresses_are_made_by_the_prefix_that_a_router_tells_while_it_tells_it() {
    isolated(
        "local_data::addresses_are_made_by_the_prefix_that_a_router_tells_while_it_tells_it",
        || {
            let office = Office::raise();
            office.configure_usual("dnssec = \"off\"");
            office.configure("profiles/home.toml", &format!("ra = true\n{HOME}"));
            made_while_told(&office);
        },
    );
}

#[test]
fn a_resolver_of_our_own_has_the_prefix_of_the_default_routes_router() {
    isolated(
        "local_data::a_resolver_of_our_own_has_the_prefix_of_the_default_routes_router",
        || {
            let office = Office::raise();
            office.configure_usual("dnssec = \"off\"\nupstreams = [\"192.0.2.53\"]");
            office.configure(
                "profiles/home.toml",
                "match = { name = \"home*\" }\nra = true\n",
            );
            made_while_told(&office);
        },
    );
}

fn in_force(office: &Office, name: &str) {
    until(&format!("list {name} is in force"), || {
        let status = json(office, &["status"]);
        let lists = status["lists"].as_array().cloned().unwrap_or_default();
        lists
            .iter()
            .any(|list| list["name"] == name && list["state"] == "in-force")
    });
}

/// While a list is replaced, names in the old and in the new one are blocked without a gap.
#[test]
fn a_list_is_replaced_beside_full_service_and_without_a_gap() {
    isolated(
        "local_data::a_list_is_replaced_beside_full_service_and_without_a_gap",
        || {
            let office = Office::raise();
            office.configure_usual("dnssec = \"off\"");
            let padding: String = (0..20_000)
                .map(|at| format!("pad{at}.pad.test\n"))
                .collect();
            office.configure(
                "ads.txt",
                &format!("{padding}both.test\nwww.example.test\nnot a name\n"),
            );
            office.configure(
                "conf.d/10-lists.toml",
                "[[lists]]\npath = \"ads.txt\"\nexceptions = [\"good.both.test\"]\n",
            );
            let (code, text) = office.linnet(LINNET, &["config", "check", &office.path("etc")]);
            assert!(
                code == 0 && text.contains("ads.txt:20003:5") && text.contains("|     ^"),
                "{text}"
            );
            let _linnetd = office.linnetd(LINNETD, &[]);
            in_force(&office, "ads");
            assert!(dig("www.example.test").contains("NXDOMAIN"));
            let stop = Arc::new(AtomicBool::new(false));
            let asked = Arc::new(AtomicU32::new(0));
            let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&asked));
            let asker = thread::spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    let got = ask("127.0.0.53", "x.both.test");
                    assert_eq!(got.code, "NXDOMAIN", "a gap after {counted:?} questions");
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            });
            let names = |name: &str| {
                let status = json(&office, &["status"]);
                status["lists"][0][name].as_u64().unwrap()
            };
            assert_eq!((names("names"), names("broken_lines")), (20_002, 1));
            // As a download does: beside, and moved over it.
            office.configure(
                "ads.new",
                &format!("{padding}both.test\nalias.example.test\n"),
            );
            shell(&format!(
                "mv {} {}",
                office.path("etc/ads.new"),
                office.path("etc/ads.txt")
            ));
            until("the new list is in force", || names("broken_lines") == 0);
            until("its names are blocked", || {
                dig("alias.example.test").contains("NXDOMAIN")
            });
            assert!(
                dig("+short www.example.test").contains("192.0.2.80"),
                "and those of the old one are not"
            );
            // A download that failed must not open the door.
            shell(&format!("rm {}", office.path("etc/ads.txt")));
            until("the list is told to be broken", || {
                json(&office, &["status"])["lists"][0]["state"] == "broken"
            });
            assert!(dig("alias.example.test").contains("NXDOMAIN"));
            let (_, text) = office.linnet(LINNET, &["status"]);
            assert!(text.contains("ads") && text.contains("broken"), "{text}");
            stop.store(true, Ordering::Relaxed);
            asker.join().unwrap();
            assert!(asked.load(Ordering::Relaxed) > 5);
            assert!(!dig("good.both.test").contains("EDE"), "an exception");
        },
    );
}

#[test]
fn private_addresses_of_strangers_are_dropped_when_that_is_switched_on() {
    isolated(
        "local_data::private_addresses_of_strangers_are_dropped_when_that_is_switched_on",
        || {
            let office = Office::raise();
            office.configure_usual("dnssec = \"off\"");
            let _linnetd = office.linnetd(LINNETD, &[]);
            for _ in 0..2 {
                assert!(dig("+short intruder.example.test").contains("10.8.0.80"));
            }
            office.configure_usual("dnssec = \"off\"\nrebinding-protection = true");
            assert_eq!(office.linnet(LINNET, &["config", "reload"]).0, 0);
            let got = dig("intruder.example.test");
            assert!(
                got.contains("ANSWER: 0") && got.contains("EDE: 17 (Filtered)"),
                "{got}"
            );
            assert!(
                dig("+short git.corp.test").contains("10.8.0.80"),
                "its owner vouches for it"
            );
            assert!(dig("+short www.example.test").contains("192.0.2.80"));
            office.configure_usual(
                "dnssec = \"off\"\nrebinding-protection = true\nrebinding-exceptions = [\"example.test\"]",
            );
            assert_eq!(office.linnet(LINNET, &["config", "reload"]).0, 0);
            assert!(dig("+short intruder.example.test").contains("10.8.0.80"));
        },
    );
}

/// Signed, unsigned, aliases within and across, wildcards, denials, forgeries; with every combination of DO and CD.
const TRANSLATED: &[&str] = &[
    "www.nsec.test",
    "www.nsec3.test",
    "www.plain.test",
    "www.optout.test",
    "www.sub.optout.test",
    "alias.nsec.test",
    "out.nsec.test",
    "plain.nsec.test",
    "www.old.nsec.test",
    "any.wild.nsec.test",
    "b.ent.nsec.test",
    "nothing.nsec.test",
    "nothing.plain.test",
    "nowhere.nsec.test",
];

#[test]
fn dns64_makes_what_unbound_makes_and_of_forgeries_nothing() {
    isolated(
        "local_data::dns64_makes_what_unbound_makes_and_of_forgeries_nothing",
        || {
            let dir = links();
            let lab = Lab::raise(&dir);
            let office = Office::bare(dir);
            office.configure(
            "linnet.toml",
            &format!(
                "[resolver]\ndnssec = \"enforce\"\ntrust-anchors = \"{}\"\ndns64 = \"2001:db8:64::/96\"\n",
                lab.anchor.display()
            ),
        );
            office.configure("profiles/home.toml", HOME);
            let _other = unbound(
                office.dir(),
                &format!(
                    "  module-config: \"dns64 validator iterator\"\n  dns64-prefix: 2001:db8:64::/96\n  trust-anchor-file: \"{}\"\n  \
                 val-sig-skew-min: 0\n  val-sig-skew-max: 0\n  local-zone: \"test.\" nodefault\n",
                    lab.anchor.display()
                ),
                &format!("forward-zone:\n  name: \".\"\n  forward-addr: {UPSTREAM}\n"),
                "www.plain.test",
            );
            let _linnetd = office.linnetd(LINNETD, &["--clock", &clock()]);
            let mut questions = Vec::new();
            for name in TRANSLATED {
                for flags in ["", "+dnssec", "+dnssec +cd"] {
                    questions.push(format!("{flags} {name} AAAA"));
                }
                questions.push(format!("{name} A"));
                questions.push(format!("{name} MX"));
            }
            for forged in ["www.expired.test", "www.mismatch.test", "stale.nsec.test"] {
                questions.push(format!("{forged} AAAA"));
                questions.push(format!("+dnssec {forged} AAAA"));
            }
            let questions: Vec<&str> = questions.iter().map(String::as_str).collect();
            let mut asked = 0;
            let different = differences(&questions, &mut asked);
            assert!(different.is_empty(), "{}", different.join("\n"));
            assert_eq!(asked, questions.len());
            let made = ask("127.0.0.53", "+dnssec www.nsec.test AAAA");
            assert_eq!(made.answers, ["www.nsec.test. AAAA 2001:db8:64::c000:250"]);
            assert!(!made.authentic, "what is made is never authentic");
            assert!(
                ask("127.0.0.53", "+dnssec www.nsec.test A").authentic,
                "what it is made of is"
            );
            assert!(!ask("127.0.0.53", "+dnssec www.nsec.test AAAA").authentic);
            assert_eq!(ask("127.0.0.53", "www.expired.test AAAA").code, "SERVFAIL");
            let traced = json(&office, &["query", "www.nsec.test", "AAAA"]);
            assert!(
                traced["trace"]["steps"].to_string().contains("dns64"),
                "{traced}"
            );
        },
    );
}

/// An IPv6-only network whose resolver translates: linnet validates, so it has to translate by itself.
#[test]
fn the_prefix_of_a_network_is_learned_from_its_resolver() {
    isolated(
        "local_data::the_prefix_of_a_network_is_learned_from_its_resolver",
        || {
            let dir = links();
            let lab = Lab::raise(&dir);
            let office = Office::bare(dir);
            let _translating = unbound(
                office.dir(),
                "  module-config: \"dns64 iterator\"\n  dns64-prefix: 64:ff9b::/96\n  local-zone: \"test.\" nodefault\n  log-queries: yes\n  \
             local-zone: \"ipv4only.arpa.\" transparent\n  local-data: \"ipv4only.arpa. 600 AAAA 64:ff9b::c000:aa\"\n  \
             local-data: \"ipv4only.arpa. 600 AAAA 64:ff9b::c000:ab\"\n",
                &format!("forward-zone:\n  name: \".\"\n  forward-addr: {UPSTREAM}\n"),
                "www.plain.test",
            );
            office.configure(
            "linnet.toml",
            &format!(
                "[resolver]\ndnssec = \"enforce\"\ntrust-anchors = \"{}\"\nupstreams = [\"{OTHER}\"]\n",
                lab.anchor.display()
            ),
        );
            let _linnetd = office.linnetd(LINNETD, &["--clock", &clock()]);
            for name in ["www.nsec.test", "www.plain.test"] {
                for flags in ["", "+dnssec"] {
                    let got = ask("127.0.0.53", &format!("{flags} {name} AAAA"));
                    assert_eq!(
                        got.answers,
                        [format!("{name}. AAAA 64:ff9b::c000:250")],
                        "{flags} {got:?}"
                    );
                }
            }
            let log = fs::read_to_string(office.path("other.log"))
                .unwrap()
                .to_lowercase();
            assert_eq!(log.matches("ipv4only.arpa. aaaa").count(), 1, "{log}");
            office.configure(
            "linnet.toml",
            &format!(
                "[resolver]\ndnssec = \"enforce\"\ntrust-anchors = \"{}\"\nupstreams = [\"{OTHER}\"]\ndns64 = \"off\"\n",
                lab.anchor.display()
            ),
        );
            assert_eq!(office.linnet(LINNET, &["config", "reload"]).0, 0);
            assert!(ask("127.0.0.53", "www.nsec.test AAAA").answers.is_empty());
            let own = ask("127.0.0.53", "ipv4only.arpa AAAA");
            assert_eq!(
                own.answers.len(),
                2,
                "a program that translates by itself can learn the prefix: {own:?}"
            );
        },
    );
}

#[test]
fn records_of_a_profile_hold_while_its_link_is_up_and_not_for_names_of_another() {
    isolated(
        "local_data::records_of_a_profile_hold_while_its_link_is_up_and_not_for_names_of_another",
        || {
            shell(
                "for link in home0 vpn0; do ip link add $link type veth peer name ${link}p && \
                 ip link set $link up && ip link set ${link}p up; done && ip addr add 10.9.0.1/24 dev home0",
            );
            let office = Office::bare(crate::neighbours::folder());
            let record = |name: &str, data: &str| {
                format!("[[records]]\nname = \"{name}\"\ntype = \"A\"\ndata = \"{data}\"\n")
            };
            office.configure(
                "linnet.toml",
                "[resolver]\ndnssec = \"off\"\nmdns = \"off\"\n",
            );
            let home = record("nas.test", "10.9.0.7") + &record("git.corp.test", "10.9.0.66");
            office.configure(
                "profiles/home.toml",
                &format!("match = {{ name = \"home0\" }}\n{home}"),
            );
            office.configure(
                "profiles/office.toml",
                "match = { name = \"vpn0\" }\n[dns]\nupstreams = [\"10.8.0.1\"]\nclaims = [\"corp.test\"]\n",
            );
            let _linnetd = office.linnetd(LINNETD, &[]);
            // Twice: the second time on a listener's own thread.
            for _ in 0..2 {
                assert!(dig("+short nas.test").contains("10.9.0.7"));
            }
            let told = json(&office, &["explain", "nas.test"]);
            assert_eq!(told["target"]["action"], "local", "{told}");
            assert!(told.to_string().contains("home"), "whose it is: {told}");
            shell("ip link set vpn0 down");
            until("the office's names are refused", || {
                let said = dig("git.corp.test");
                assert!(!said.contains("10.9.0.66"), "{said}");
                said.contains("REFUSED") && said.contains("vpn0")
            });
            shell("ip link set home0 down");
            until("the record goes with its link", || {
                !dig("nas.test").contains("10.9.0.7")
            });
            shell("ip link set home0 up");
            until("and comes back with it", || {
                dig("+short nas.test").contains("10.9.0.7")
            });
        },
    );
}
