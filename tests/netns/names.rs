//! Which server answers which name?

use tests::namespace::{isolated, shell};
use tests::office::{Office, dig};
use tests::peer::until;

use crate::{LINNET, LINNETD, json};

#[test]
fn split_names_are_answered_by_their_own_servers() {
    isolated(
        "names::split_names_are_answered_by_their_own_servers",
        || {
            let office = Office::raise();
            office.configure_usual("");
            let _linnetd = office.linnetd(LINNETD, &[]);
            for transport in ["", "+tcp"] {
                assert!(
                    dig(&format!("{transport} +short www.example.test")).contains("192.0.2.80"),
                    "{transport}"
                );
                assert!(
                    dig(&format!("{transport} +short git.corp.test")).contains("10.8.0.80"),
                    "{transport}"
                );
            }
            let explained = json(&office, &["explain", "git.corp.test"]);
            assert_eq!(explained["because"]["profile"], "office");
            assert_eq!(explained["because"]["rule"], "longest-suffix");
            assert_eq!(explained["target"]["link"], "vpn0");
            assert_eq!(
                explained["last"]["steps"]
                    .as_array()
                    .map(|steps| !steps.is_empty()),
                Some(true),
                "{explained}"
            );
            assert!(office.vpn_log().len() + office.home_log().len() > 0);
            assert!(
                !office.home_log().contains("corp.test. A IN"),
                "home was asked for git.corp.test: {}",
                office.home_log()
            );
        },
    );
}

#[test]
fn excluded_names_go_where_they_would_go_without_the_profile() {
    isolated(
        "names::excluded_names_go_where_they_would_go_without_the_profile",
        || {
            let office = Office::raise();
            office.configure_usual("");
            let _linnetd = office.linnetd(LINNETD, &[]);
            assert!(
                dig("+short www.corp.test").contains("192.0.2.81"),
                "excluded, so home answers"
            );
            let explained = json(&office, &["explain", "www.corp.test"]);
            let outcomes: Vec<&str> = explained["candidates"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|candidate| candidate["outcome"].as_str())
                .collect();
            assert!(
                outcomes.contains(&"excluded") && outcomes.contains(&"won"),
                "{explained}"
            );
        },
    );
}

#[test]
fn large_answers_come_by_tcp_and_whole() {
    isolated("names::large_answers_come_by_tcp_and_whole", || {
        let office = Office::raise();
        office.configure_usual("");
        let _linnetd = office.linnetd(LINNETD, &[]);
        let whole = dig("big.corp.test TXT");
        assert_eq!(whole.matches("TXT\t\"").count(), 16, "{whole}");
        assert!(
            whole.contains("(TCP)"),
            "dig came back by TCP after truncation: {whole}"
        );
        let cut = dig("+ignore +bufsize=512 big.corp.test TXT");
        assert!(cut.contains(" tc "), "{cut}");
    });
}

#[test]
fn aliases_lead_on_to_the_scope_of_their_target() {
    isolated(
        "names::aliases_lead_on_to_the_scope_of_their_target",
        || {
            let office = Office::raise();
            office.configure_usual("");
            let _linnetd = office.linnetd(LINNETD, &[]);
            assert!(dig("+short alias.corp.test").contains("10.8.0.80"));
            let out = dig("+short out.corp.test");
            assert!(
                out.contains("www.example.test.") && out.contains("192.0.2.80"),
                "{out}"
            );
            let dname = dig("x.old.corp.test");
            assert!(
                dname.contains("DNAME")
                    && dname.contains("x.wild.corp.test.")
                    && dname.contains("10.8.0.82"),
                "{dname}"
            );
            let intruder = dig("+short intruder.example.test");
            assert!(
                intruder.contains("git.corp.test.") && intruder.contains("10.8.0.80"),
                "{intruder}"
            );
        },
    );
}

#[test]
fn names_with_a_meaning_of_their_own_ask_nobody() {
    isolated(
        "names::names_with_a_meaning_of_their_own_ask_nobody",
        || {
            let office = Office::raise();
            office.configure_usual("");
            let _linnetd = office.linnetd(LINNETD, &[]);
            assert!(dig("+short localhost").contains("127.0.0.1"));
            assert!(dig("+short x.localhost AAAA").contains("::1"));
            assert!(
                dig("+short sandbox").contains("192.0.2.2")
                    || dig("+short sandbox").contains("10.8.0.2")
            );
            assert!(dig("+short _gateway").contains("192.0.2.53"));
            for name in ["x.onion", "x.invalid", "x.alt", "printer.local"] {
                let answer = dig(name);
                assert!(answer.contains("NXDOMAIN"), "{name}: {answer}");
                assert!(
                    !office.home_log().contains(name),
                    "{name} was asked at home"
                );
            }
            assert!(dig("+short -x 127.0.0.1").contains("localhost."));
            let refused = dig("+norecurse www.example.test");
            assert!(refused.contains("REFUSED"), "{refused}");
            assert!(
                dig("AXFR example.test").contains("Transfer failed")
                    || dig("+tcp AXFR example.test").contains("failed")
            );
        },
    );
}

#[test]
fn the_c_library_resolves_through_the_stub() {
    isolated("names::the_c_library_resolves_through_the_stub", || {
        let office = Office::raise();
        office.configure_usual("");
        shell("printf 'nameserver 127.0.0.53\\noptions edns0 trust-ad\\n' > /etc/resolv.conf");
        let _linnetd = office.linnetd(LINNETD, &[]);
        assert!(shell("getent ahostsv4 git.corp.test").contains("10.8.0.80"));
        assert!(shell("getent ahostsv4 www.example.test").contains("192.0.2.80"));
        assert!(
            shell("getent ahostsv4 git").contains("10.8.0.80"),
            "the search suffix of the profile"
        );
    });
}

#[test]
fn links_that_come_go_and_change_their_names_are_followed() {
    isolated(
        "names::links_that_come_go_and_change_their_names_are_followed",
        || {
            let office = Office::raise();
            office.configure_usual("");
            let _linnetd = office.linnetd(LINNETD, &[]);
            let gone = |words: &str| {
                until(words, || {
                    dig("fresh.wild.corp.test").contains("status: REFUSED")
                });
            };
            assert!(dig("+short git.corp.test").contains("10.8.0.80"));
            shell("ip link set vpn0 down");
            gone("the VPN is down");
            let refused = dig("git.corp.test");
            assert!(
                refused.contains("EDE: 15") && refused.contains("office"),
                "{refused}"
            );
            shell("ip link set vpn0 up");
            until("the VPN is back", || {
                dig("+short git.corp.test").contains("10.8.0.80")
            });
            shell("ip link set vpn0 down && ip link set vpn0 name away0 && ip link set away0 up");
            gone("the link has another name");
            shell("ip link set away0 down && ip link set away0 name vpn7 && ip link set vpn7 up");
            until("it matches again", || {
                dig("+short git.corp.test").contains("10.8.0.80")
            });
            shell("ip link del vpn7");
            gone("the link is deleted");
            assert!(
                dig("+short www.example.test").contains("192.0.2.80"),
                "home goes on"
            );
            let (code, text) = office.linnet(LINNET, &["status"]);
            assert!(code == 0 && text.contains("link-absent"), "{text}");
        },
    );
}

#[test]
fn the_bypass_stub_neither_searches_nor_synthesizes() {
    isolated(
        "names::the_bypass_stub_neither_searches_nor_synthesizes",
        || {
            let office = Office::raise();
            office.configure_usual("");
            let _linnetd = office.linnetd(LINNETD, &[]);
            let bypass = |what: &str| {
                shell(&format!(
                    "dig @127.0.0.54 +time=5 +tries=1 {what} 2>&1; true"
                ))
            };
            assert!(bypass("+short git.corp.test").contains("10.8.0.80"));
            assert!(bypass("+tcp +short www.example.test").contains("192.0.2.80"));
            assert!(!bypass("+short git").contains("10.8.0.80"));
        },
    );
}

#[test]
fn an_address_is_looked_up_on_its_own_link() {
    isolated("names::an_address_is_looked_up_on_its_own_link", || {
        let office = Office::raise();
        office.configure_usual("");
        let _linnetd = office.linnetd(LINNETD, &[]);
        let told = json(&office, &["explain", "10.8.0.80"]);
        assert_eq!(told["name"], "80.0.8.10.in-addr.arpa", "{told}");
        assert_eq!(told["target"]["scope"], "office@vpn0", "{told}");
        assert_eq!(
            json(&office, &["explain", "11.0.0.1"])["target"]["scope"],
            "home@home0"
        );
        // knot has no such zone and says so itself.
        let (code, text) = office.linnet(LINNET, &["query", "10.8.0.80"]);
        assert_eq!(code, 1, "{text}");
        assert!(
            text.contains("REFUSED") && text.contains("10.8.0.1"),
            "{text}"
        );
    });
}
