//! Does the daemon start, reload, complain and end as an administrator expects?

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use tests::dnsmasq::Dnsmasq;
use tests::namespace::{has_other_users, isolated, shell};
use tests::office::{Office, dig};
use tests::peer::{Peer, until};
use tests::skip;

use crate::{LINNET, LINNETD, json};

#[test]
fn a_broken_drop_in_leaves_the_rest_running_and_is_reported() {
    isolated(
        "daemon::a_broken_drop_in_leaves_the_rest_running_and_is_reported",
        || {
            let office = Office::raise();
            office.configure_usual("");
            office.configure(
                "conf.d/10-broken.toml",
                "[resolver]\nlissen = [\"127.0.0.53:53\"]\nhosts = \"maybe\"\n",
            );
            let _linnetd = office.linnetd(LINNETD, &[]);
            assert!(dig("+short git.corp.test").contains("10.8.0.80"));
            let status = json(&office, &["status"]);
            let found = status["diagnostics"].as_array().unwrap();
            assert!(found.len() >= 2, "{status}");
            assert!(
                found
                    .iter()
                    .all(|found| found["file"].as_str().unwrap().ends_with("10-broken.toml")),
                "{status}"
            );
            assert!(
                found.iter().any(|found| found["help"]
                    .as_str()
                    .is_some_and(|help| help.contains("listen"))),
                "{status}"
            );
        },
    );
}

#[test]
fn a_reload_takes_a_good_file_and_keeps_the_old_one_for_a_bad() {
    isolated(
        "daemon::a_reload_takes_a_good_file_and_keeps_the_old_one_for_a_bad",
        || {
            let office = Office::raise();
            office.configure_usual("");
            let linnetd = office.linnetd(LINNETD, &[]);
            office.configure(
                "profiles/office.toml",
                &tests::office::OFFICE.replace("corp.test", "other.test"),
            );
            linnetd.signal(libc::SIGHUP);
            until("the claim has moved", || {
                json(&office, &["explain", "x.other.test"])["because"]["profile"] == "office"
            });
            assert_ne!(
                json(&office, &["explain", "git.corp.test"])["because"]["profile"],
                "office"
            );
            office.configure("linnet.toml", "[resolver\n");
            let (code, text) = office.linnet(LINNET, &["config", "reload"]);
            assert_eq!(code, 1, "{text}");
            assert!(text.contains("linnet.toml:1"), "{text}");
            let etc = office.path("etc");
            let anchors = office.path("etc/keys");
            office.configure("linnet.toml", "[resolver]\ntrust-anchors = \"keys\"\n");
            fs::write(&anchors, ". DS 20326 8 2 E06D\nbroken. DS x\n").unwrap();
            let (code, text) = office.linnet(LINNET, &["config", "check", &etc]);
            assert_eq!(code, 1, "{text}");
            assert!(text.contains("etc/keys:2"), "{text}");
            office.configure("linnet.toml", "[resolver\n");
            assert_eq!(
                json(&office, &["explain", "x.other.test"])["because"]["profile"],
                "office",
                "the old one stays"
            );
            assert!(dig("+short www.example.test").contains("192.0.2.80"));
        },
    );
}

#[test]
fn a_busy_port_is_told_with_its_holder() {
    isolated("daemon::a_busy_port_is_told_with_its_holder", || {
        let office = Office::raise();
        office.configure_usual("resolv-conf = \"stub\"");
        let path = office.path("resolv.conf");
        fs::write(&path, "nameserver 192.0.2.53\n").unwrap();
        let _dnsmasq = Dnsmasq::new("bind-interfaces listen-address=127.0.0.53").start(
            office.dir(),
            "dnsmasq",
            None,
        );
        until("dnsmasq listens", || dig("localhost").contains("status:"));
        let mut linnetd = office.start(&[LINNETD], &["--resolv-conf", &path]);
        assert_eq!(linnetd.wait(), Some(1));
        assert!(
            linnetd.log().contains("127.0.0.53:53") && linnetd.log().contains("dnsmasq"),
            "{}",
            linnetd.log()
        );
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "nameserver 192.0.2.53\n",
            "resolv.conf is untouched"
        );
    });
}

#[test]
fn every_thread_holds_what_it_needs_and_no_way_back() {
    const NAME: &str = "daemon::every_thread_holds_what_it_needs_and_no_way_back";
    isolated(NAME, || {
        if !has_other_users() {
            return skip(NAME, "no other user to become: not root of the machine");
        }
        let office = Office::raise();
        office.configure_usual("");
        let linnetd = office.linnetd(LINNETD, &[]);
        let field = |status: &str, name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        // CAP_NET_BIND_SERVICE is bit 10, CAP_NET_ADMIN bit 12, CAP_NET_RAW bit 13.
        let three = format!("{:016x}", (1 << 10) | (1 << 12) | (1 << 13));
        let mut threads = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", linnetd.pid()))
            .unwrap()
            .flatten()
        {
            // One that only reads a file may have ended by now.
            let Ok(status) = fs::read_to_string(thread.path().join("status")) else {
                continue;
            };
            assert!(
                !field(&status, "Uid:")
                    .split_whitespace()
                    .any(|uid| uid == "0"),
                "{status}"
            );
            assert!(
                !field(&status, "Gid:")
                    .split_whitespace()
                    .any(|gid| gid == "0"),
                "{status}"
            );
            assert_eq!(field(&status, "Groups:"), "", "{status}");
            assert_eq!(field(&status, "CapEff:"), three, "{status}");
            assert_eq!(field(&status, "CapPrm:"), three, "{status}");
            assert_eq!(field(&status, "CapInh:"), format!("{:016x}", 0), "{status}");
            assert_eq!(field(&status, "CapAmb:"), format!("{:016x}", 0), "{status}");
            assert_eq!(field(&status, "CapBnd:"), format!("{:016x}", 0), "{status}");
            assert_eq!(field(&status, "NoNewPrivs:"), "1", "{status}");
            assert_eq!(field(&status, "Seccomp:"), "2", "{status}");
            threads += 1;
        }
        assert!(threads > 0);
        let children =
            fs::read_to_string(format!("/proc/{0}/task/{0}/children", linnetd.pid())).unwrap();
        let helper = children
            .split_whitespace()
            .next()
            .expect("the root helper runs");
        // It lets the daemon begin first, and takes no request before it is confined.
        let status = || fs::read_to_string(format!("/proc/{helper}/status")).unwrap();
        until("the helper is confined", || {
            field(&status(), "Seccomp:") == "2"
        });
        let status = status();
        assert_eq!(field(&status, "NoNewPrivs:"), "1", "{status}");
        assert_eq!(field(&status, "Seccomp:"), "2", "{status}");
        let held = u64::from_str_radix(&field(&status, "CapEff:"), 16).unwrap();
        assert_eq!(
            held & (1 << 21 | 1 << 12 | 1 << 13),
            0,
            "no SYS_ADMIN, NET_ADMIN, NET_RAW: {status}"
        );
    });
}

#[test]
fn a_second_daemon_says_that_one_runs() {
    isolated("daemon::a_second_daemon_says_that_one_runs", || {
        let office = Office::raise();
        office.configure_usual("");
        let _first = office.linnetd(LINNETD, &[]);
        let (etc, run, state) = (office.path("etc"), office.path("run"), office.path("state"));
        let mut second = Peer::start(
            office.dir(),
            "second",
            None,
            &[
                LINNETD,
                "--config-dir",
                &etc,
                "--runtime-dir",
                &run,
                "--state-dir",
                &state,
            ],
        );
        assert_eq!(second.wait(), Some(1));
        assert!(second.log().contains("linnetd"), "{}", second.log());
        assert!(
            dig("+short git.corp.test").contains("10.8.0.80"),
            "the first goes on"
        );
    });
}

#[test]
fn the_doctor_and_the_monitor_see_what_happens() {
    isolated(
        "daemon::the_doctor_and_the_monitor_see_what_happens",
        || {
            let office = Office::raise();
            office.configure_usual("");
            let _linnetd = office.linnetd(LINNETD, &[]);
            let run = office.path("run");
            let monitor = Peer::start(
                office.dir(),
                "monitor",
                None,
                &[LINNET, "--runtime-dir", &run, "--json", "monitor"],
            );
            until("the monitor is ready", || monitor.log().contains("ready"));
            assert!(dig("+short git.corp.test").contains("10.8.0.80"));
            until("the question is told", || {
                monitor.log().contains("git.corp.test")
            });
            let told = monitor.log();
            assert!(
                told.contains("10.8.0.1") && told.contains("office@vpn0"),
                "{told}"
            );
            let (code, text) = office.linnet(LINNET, &["doctor"]);
            assert!(text.contains("127.0.0.53:53 answers"), "{code} {text}");
            let (code, text) = office.linnet(LINNET, &["query", "git.corp.test"]);
            assert!(
                code == 0 && text.contains("10.8.0.80") && text.contains("office@vpn0"),
                "{text}"
            );
            // The name alone; below it nothing is meant, and elsewhere there is no such answer.
            for (arguments, dropped) in [
                (&["flush", "corp.test"][..], "0 answers"),
                (
                    &["flush", "git.corp.test", "--scope", "home@home0"],
                    "0 answers",
                ),
                (
                    &["flush", "git.corp.test", "--scope", "office@vpn0"],
                    "1 answers",
                ),
            ] {
                let (code, text) = office.linnet(LINNET, arguments);
                assert!(
                    code == 0 && text.starts_with(dropped),
                    "{arguments:?} {text}"
                );
            }
            office.linnet(LINNET, &["query", "git.corp.test", "AAAA"]);
            let (code, text) = office.linnet(LINNET, &["flush", "--suffix", "corp.test"]);
            assert!(code == 0 && !text.starts_with("0 "), "{text}");
            let (code, text) = office.linnet(LINNET, &["flush", "--scope", "nowhere"]);
            assert!(
                code != 0 && text.contains("there is no scope nowhere"),
                "{text}"
            );
        },
    );
}

#[test]
fn a_service_manager_is_told_of_every_turn() {
    isolated("daemon::a_service_manager_is_told_of_every_turn", || {
        let office = Office::raise();
        office.configure_usual("");
        let path = office.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        shell(&format!("chmod 777 {path}"));
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let notify = format!("NOTIFY_SOCKET={path}");
        let mut linnetd = office.start(&["env", &notify, "WATCHDOG_USEC=400000", LINNETD], &[]);
        let hear = |what: &str| {
            let mut heard = String::new();
            until(&format!("linnetd says {what}"), || {
                let mut message = [0; 4096];
                let length = socket.recv(&mut message).unwrap_or(0);
                heard = String::from_utf8_lossy(&message[..length]).into_owned();
                heard.lines().any(|line| line.starts_with(what))
            });
            heard
        };
        hear("READY=1");
        hear("WATCHDOG=1");
        linnetd.signal(libc::SIGHUP);
        let reloading = hear("RELOADING=1");
        assert!(
            reloading.contains("MONOTONIC_USEC="),
            "Type=notify-reload needs the time: {reloading}"
        );
        hear("READY=1");
        shell("ip link set vpn0 down");
        assert!(hear("STATUS=").contains("1 of 2 scopes ready"));
        linnetd.signal(libc::SIGTERM);
        hear("STOPPING=1");
        assert_eq!(linnetd.wait(), Some(0), "{}", linnetd.log());
    });
}
