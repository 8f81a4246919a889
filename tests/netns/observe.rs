//! Does whoever watches see what happens, and nothing that is not theirs? curl and a collector before the real daemon.

use std::fs;

use tests::exposition::Numbers;
use tests::lab::{AUTHORITY, Lab};
use tests::namespace::{isolated, shell};
use tests::office::{Office, dig, links};
use tests::peer::{Peer, until};

use crate::dnssec::clock;
use crate::guests::certificate;
use crate::{LINNET, LINNETD, json};

/// Fetches the numbers with curl, in the form that Prometheus asks for or in the older one.
fn scrape(place: &str, openmetrics: bool) -> Numbers {
    let accept = match openmetrics {
        true => {
            "-H 'Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1'"
        }
        false => "",
    };
    let text = shell(&format!("curl -sS --fail --max-time 5 {accept} {place}"));
    Numbers::read(&text, openmetrics).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Makes a folder that linnetd may write to, whoever it has become.
fn open_folder(office: &Office, name: &str) -> String {
    let path = office.path(name);
    fs::create_dir_all(&path).unwrap();
    shell(&format!("chmod 777 {path}"));
    path
}

#[test]
fn prometheus_gets_numbers_over_both_sockets_and_no_names() {
    isolated(
        "observe::prometheus_gets_numbers_over_both_sockets_and_no_names",
        || {
            let office = Office::raise();
            let socket = office.path("run/metrics");
            office.configure_usual("");
            office.configure(
                "conf.d/10-metrics.toml",
                &format!("[metrics]\nlisten = \"unix:{socket}\"\n"),
            );
            let linnetd = office.linnetd(LINNETD, &[]);
            for _ in 0..3 {
                assert!(dig("+short git.corp.test").contains("10.8.0.80"));
            }
            let place = format!("--unix-socket {socket} http://linnet/metrics");
            let upstream = [
                ("scope", "office@vpn0"),
                ("upstream", "10.8.0.1"),
                ("transport", "plain"),
            ];
            let numbers = scrape(&place, false);
            assert!(numbers.value("linnet_upstream_sent_total", &upstream) >= 1.0);
            assert!(numbers.value("linnet_upstream_reply_seconds_count", &upstream) >= 1.0);
            assert!(numbers.value("linnet_upstream_works", &upstream) > 0.5);
            assert!(numbers.value("linnet_upstream_forged_total", &upstream) < 0.5);
            shell("ip link set vpn0 down");
            until("the link is down", || {
                dig("git.corp.test").contains("REFUSED")
            });
            for openmetrics in [false, true] {
                let numbers = scrape(&place, openmetrics);
                let vpn = ("scope", "office@vpn0");
                assert!(numbers.value("linnet_queries_total", &[]) >= 4.0);
                assert!(numbers.value("linnet_cache_hits_total", &[vpn]) >= 2.0);
                let seconds = numbers.value("linnet_answer_seconds_count", &[vpn]);
                assert!(seconds >= 2.0, "{seconds}");
                let code = ("rcode", "NOERROR");
                assert!(numbers.value("linnet_answers_total", &[vpn, code]) >= 1.0);
                let refused = [vpn, ("trouble", "not-ready")];
                assert!(numbers.value("linnet_troubles_total", &refused) >= 1.0);
                assert!(numbers.value("linnet_scope_ready", &[vpn]) < 0.5);
                assert!(numbers.value("process_resident_memory_bytes", &[]) > 1e6);
                for name in [
                    "linnet_leaks_prevented_total",
                    "linnet_cache_bytes",
                    "process_open_fds",
                ] {
                    assert!(numbers.names().any(|known| known == name), "{name}");
                }
                for value in numbers.label_values() {
                    let tells = value.contains("corp") || value.contains("127.0.0.1");
                    assert!(!tells, "a label tells {value}");
                }
            }
            let words = format!("curl -s -o /dev/null -w '%{{http_code}}' --unix-socket {socket}");
            assert_eq!(shell(&format!("{words} http://linnet/")), "404");
            assert_eq!(shell(&format!("{words} -d x http://linnet/metrics")), "405");
            assert_eq!(shell(&format!("{words} -I http://linnet/metrics")), "200");
            // Many that say nothing must not keep one from being served for long, and the stub not at all.
            let idle: Vec<_> = (0..7)
                .map(|_| std::os::unix::net::UnixStream::connect(&socket).unwrap())
                .collect();
            scrape(&place, false);
            drop(idle);
            office.configure(
                "conf.d/10-metrics.toml",
                "[metrics]\nlisten = \"127.0.0.1:9153\"\n",
            );
            linnetd.signal(libc::SIGHUP);
            until("it moves", || {
                shell("curl -s --max-time 2 http://127.0.0.1:9153/metrics || true")
                    .contains("linnet_queries")
            });
            scrape("http://127.0.0.1:9153/metrics", true);
            assert!(!fs::exists(&socket).unwrap(), "the old socket is gone");
            office.configure("conf.d/10-metrics.toml", "");
            linnetd.signal(libc::SIGHUP);
            until("it ends", || {
                shell("curl -s -o /dev/null http://127.0.0.1:9153/metrics; echo $?").contains('7')
            });
        },
    );
}

#[test]
fn metrics_that_cannot_be_served_stop_nothing_and_are_told() {
    isolated(
        "observe::metrics_that_cannot_be_served_stop_nothing_and_are_told",
        || {
            let office = Office::raise();
            office.configure_usual("");
            let taken = office.path("taken");
            fs::write(&taken, "mine").unwrap();
            office.configure(
                "conf.d/10-metrics.toml",
                &format!("[metrics]\nlisten = \"unix:{taken}\"\n[dnstap]\nsocket = \"unix:/run/nobody\"\n"),
            );
            let _linnetd = office.linnetd(LINNETD, &[]);
            assert!(dig("+short git.corp.test").contains("10.8.0.80"));
            assert_eq!(fs::read_to_string(&taken).unwrap(), "mine");
            until("both are told", || {
                let status = json(&office, &["status"]);
                let observers = status["observers"].as_array().unwrap();
                observers.len() == 2 && observers.iter().all(|observer| observer["works"] == false)
            });
            let (_, text) = office.linnet(LINNET, &["status"]);
            assert!(
                text.contains("! metrics") && text.contains("! dnstap"),
                "{text}"
            );
            let (_, text) = office.linnet(LINNET, &["doctor"]);
            assert!(
                text.contains("metrics") && text.contains("dnstap"),
                "{text}"
            );
            assert!(
                text.contains(&taken) && text.contains("/run/nobody"),
                "{text}"
            );
        },
    );
}

#[test]
fn a_collector_gets_every_message_of_clients_and_upstreams() {
    isolated(
        "observe::a_collector_gets_every_message_of_clients_and_upstreams",
        || {
            let office = Office::raise();
            let dir = open_folder(&office, "tap");
            let (socket, file) = (format!("{dir}/sock"), format!("{dir}/out"));
            let collector = |file: &str| {
                let command = [
                    "fstrm_capture",
                    "-t",
                    "protobuf:dnstap.Dnstap",
                    "-u",
                    &socket,
                    "-w",
                    file,
                ];
                let peer = Peer::start(office.dir(), "fstrm", None, &command);
                until("the collector listens", || fs::exists(&socket).unwrap());
                shell(&format!("chmod 777 {socket}"));
                peer
            };
            let mut first = collector(&file);
            office.configure_usual("");
            office.configure(
                "conf.d/10-tap.toml",
                &format!("[dnstap]\nsocket = \"unix:{socket}\"\n"),
            );
            let mut linnetd = office.linnetd(LINNETD, &[]);
            let written = || {
                json(&office, &["status"])["observers"][0]["told"]
                    .as_u64()
                    .unwrap()
            };
            assert!(dig("+short git.corp.test").contains("10.8.0.80"));
            until("the first question is told", || written() >= 4);
            let before = written();
            assert!(dig("+short git.corp.test").contains("10.8.0.80"));
            assert!(dig("+short +tcp git.corp.test").contains("10.8.0.80"));
            until("hits are told", || written() >= before + 4);
            // A collector that goes and comes again is found again, and answers do not wait for it.
            first.signal(libc::SIGTERM);
            first.wait();
            let (one, text) = read(&file);
            for kind in ["CQ", "CR", "FQ", "FR"] {
                assert!(one.contains(&format!(" {kind} ")), "{kind}: {one}");
            }
            assert!(!one.contains(" RQ ") && !one.contains(" RR "), "{one}");
            assert!(one.contains("\"git.corp.test.\" IN A"), "{one}");
            assert!(one.contains(" TCP ") && one.contains(" UDP "), "{one}");
            for part in [
                "type: CLIENT_RESPONSE",
                "query_address: \"127.0.0.1\"",
                "response_address: \"10.8.0.1\"",
                "response_address: \"127.0.0.53\"",
                "response_port: 53",
                "version: \"linnet ",
            ] {
                assert!(text.contains(part), "{part}: {text}");
            }
            fs::remove_file(&socket).unwrap();
            for _ in 0..3 {
                assert!(dig("+short git.corp.test").contains("10.8.0.80"));
            }
            let again = format!("{dir}/again");
            let mut second = collector(&again);
            let asked = std::cell::Cell::new(0);
            until("the second collector is found", || {
                asked.set(asked.get() + 1);
                dig("+short www.example.test");
                json(&office, &["status"])["observers"][0]["works"] == true
            });
            assert!(dig("+short www.example.test").contains("192.0.2.80"));
            linnetd.signal(libc::SIGTERM);
            assert_eq!(linnetd.wait(), Some(0));
            second.signal(libc::SIGTERM);
            second.wait();
            let (again, _) = read(&again);
            assert!(again.contains("\"www.example.test.\" IN A"), "{again}");
        },
    );
}

/// Reads a file of frames with dnstap-ldns: a line for each, and the whole.
fn read(file: &str) -> (String, String) {
    let short = shell(&format!("dnstap-ldns -q -r {file}"));
    (short, shell(&format!("dnstap-ldns -y -r {file}")))
}

#[test]
fn a_file_of_frames_without_clients_is_whole_when_the_daemon_ends() {
    isolated(
        "observe::a_file_of_frames_without_clients_is_whole_when_the_daemon_ends",
        || {
            let office = Office::raise();
            let file = format!("{}/frames", open_folder(&office, "tap"));
            office.configure_usual("");
            office.configure(
                "conf.d/10-tap.toml",
                &format!("[dnstap]\nfile = \"{file}\"\nclient-addresses = false\n"),
            );
            let mut linnetd = office.linnetd(LINNETD, &[]);
            assert!(dig("+short git.corp.test").contains("10.8.0.80"));
            linnetd.signal(libc::SIGTERM);
            assert_eq!(linnetd.wait(), Some(0));
            let (short, text) = read(&file);
            assert!(short.contains(" CQ ") && short.contains(" FR "), "{short}");
            assert!(!text.contains("query_address"), "{text}");
        },
    );
}

#[test]
fn a_collector_tells_our_own_recursion_from_what_upstreams_are_asked() {
    isolated(
        "observe::a_collector_tells_our_own_recursion_from_what_upstreams_are_asked",
        || {
            let dir = links();
            let lab = Lab::raise(&dir);
            let office = Office::bare(dir);
            let file = format!("{}/frames", open_folder(&office, "tap"));
            let text = format!(
                "[resolver]\nrecursion = \"always\"\ntrust-anchors = \"{}\"\nroot-servers = [\"{AUTHORITY}\"]\n",
                lab.anchor.display()
            );
            office.configure("linnet.toml", &text);
            office.configure(
                "conf.d/10-tap.toml",
                &format!("[dnstap]\nfile = \"{file}\"\nmessages = \"forwarder\"\n"),
            );
            let mut linnetd = office.linnetd(LINNETD, &["--clock", &clock()]);
            let answer = dig("www.nsec.test");
            assert!(answer.contains("status: NOERROR"), "{answer}");
            linnetd.signal(libc::SIGTERM);
            assert_eq!(linnetd.wait(), Some(0));
            let (short, text) = read(&file);
            for kind in ["RQ", "RR"] {
                assert!(short.contains(&format!(" {kind} ")), "{kind}: {short}");
            }
            assert!(
                !short.contains(" FQ ") && !short.contains(" FR "),
                "{short}"
            );
            let server = format!("response_address: \"{AUTHORITY}\"");
            assert!(text.contains(&server), "{text}");
        },
    );
}

#[test]
fn log_and_dnstap_tell_where_and_how_a_question_came() {
    isolated(
        "observe::log_and_dnstap_tell_where_and_how_a_question_came",
        || {
            let office = Office::raise();
            let dir = open_folder(&office, "told");
            let (log, tap) = (format!("{dir}/queries"), format!("{dir}/frames"));
            office.configure_usual("");
            certificate(&office, "good");
            office.configure(
                "conf.d/10-told.toml",
                &format!(
                    "[log]\nqueries = \"all\"\nfile = \"{log}\"\n[dnstap]\nfile = \"{tap}\"\n"
                ),
            );
            office.configure(
                "conf.d/20-listeners.toml",
                "[[listeners]]\naddress = \"127.0.0.1:5300\"\n\
                 [[listeners]]\naddress = \"127.0.0.1:8853\"\ntransport = \"tls\"\n\
                 certificate = \"good.pem\"\nkey = \"good.key\"\n",
            );
            let mut linnetd = office.linnetd(LINNETD, &[]);
            until("the listeners are open", || {
                let status = json(&office, &["status"]);
                let listeners = status["listeners"].as_array().cloned().unwrap_or_default();
                listeners.len() == 2 && listeners.iter().all(|one| one["state"] == "open")
            });
            for (way, told) in [
                ("@127.0.0.53", "listener=127.0.0.53:53 over=udp"),
                ("@127.0.0.53 +tcp", "listener=127.0.0.53:53 over=tcp"),
                ("@127.0.0.1 -p 5300", "listener=127.0.0.1:5300 over=udp"),
                (
                    "@127.0.0.1 -p 5300 +tcp",
                    "listener=127.0.0.1:5300 over=tcp",
                ),
                (
                    "@127.0.0.1 -p 8853 +tls",
                    "listener=127.0.0.1:8853 over=tls",
                ),
            ] {
                // Not in the cache, which listeners answer from without a word.
                let name = format!("n{}.example.test", told.len() + way.len());
                let line = format!("dig +time=3 +tries=1 {way} {name}; true");
                assert!(shell(&line).contains("status: "), "{way}");
                until(told, || {
                    let text = fs::read_to_string(&log).unwrap_or_default();
                    text.lines().last().is_some_and(|line| line.contains(told))
                });
            }
            linnetd.signal(libc::SIGTERM);
            assert_eq!(linnetd.wait(), Some(0));
            // The reader ends where TLS begins, of which it does not know.
            let text = shell(&format!("dnstap-ldns -y -r {tap} 2>/dev/null; true"));
            for part in ["response_port: 53\n", "response_port: 5300\n"] {
                for kind in ["CLIENT_QUERY", "CLIENT_RESPONSE"] {
                    let told = text.split("---").filter(|one| one.contains(kind));
                    let same: Vec<&str> = told.filter(|one| one.contains(part)).collect();
                    for protocol in ["socket_protocol: UDP", "socket_protocol: TCP"] {
                        let is_told = same.iter().any(|one| one.contains(protocol));
                        assert!(is_told, "{kind}, {part} {protocol}: {text}");
                    }
                }
            }
        },
    );
}

#[test]
fn the_log_has_reasons_and_names_only_when_they_are_on() {
    isolated(
        "observe::the_log_has_reasons_and_names_only_when_they_are_on",
        || {
            let office = Office::raise();
            let dir = open_folder(&office, "log");
            let file = format!("{dir}/queries");
            let configure = |more: &str| {
                office.configure(
                    "conf.d/10-log.toml",
                    &format!("[log]\nqueries = \"all\"\nfile = \"{file}\"\n{more}"),
                );
            };
            office.configure_usual("");
            configure("");
            let linnetd = office.linnetd(LINNETD, &[]);
            let log = || fs::read_to_string(&file).unwrap_or_default();
            for _ in 0..2 {
                assert!(dig("+short git.corp.test").contains("10.8.0.80"));
            }
            until("both are logged", || log().lines().count() >= 2);
            let text = log();
            assert!(!text.contains("corp"), "{text}");
            let lines: Vec<&str> = text.lines().collect();
            for part in [
                "client=127.0.0.1:",
                " listener=127.0.0.53:53 over=udp ",
                " name=#",
                " type=A ",
                " scope=office@vpn0 rule=longest-suffix owner=\"profile office\"",
                " by=10.8.0.1 transport=udp ",
                " rcode=NOERROR ",
                " ms=",
            ] {
                assert!(lines[0].contains(part), "{part}: {text}");
            }
            assert!(lines[1].contains(" cached=yes "), "{text}");
            // logrotate moves the file away and sends SIGHUP.
            fs::rename(&file, format!("{file}.1")).unwrap();
            configure("names = true\n");
            linnetd.signal(libc::SIGHUP);
            until("the new file is there", || fs::exists(&file).unwrap());
            shell("ip link set vpn0 down");
            until("the link is down", || {
                dig("git.corp.test").contains("REFUSED")
            });
            until("the refusal is logged", || log().contains("rcode=REFUSED"));
            let text = log();
            let refusal = text.lines().find(|line| line.contains("REFUSED")).unwrap();
            assert!(
                refusal.contains(" name=git.corp.test ") && refusal.contains(" ede=15 why=\""),
                "{refusal}"
            );
            // A flood fills no disk.
            configure("lines-per-second = 5\n");
            linnetd.signal(libc::SIGHUP);
            until("the limit is in force", || {
                shell(
                    "for at in $(seq 40); do echo \"x$at.example.test A\"; done | dig @127.0.0.53 +short -f - >/dev/null; true",
                );
                json(&office, &["status"])["observers"][0]["left_out"]
                    .as_u64()
                    .unwrap()
                    > 0
            });
            until("it is told what was left out", || {
                dig("y.example.test");
                log().contains("left-out=")
            });
        },
    );
}
