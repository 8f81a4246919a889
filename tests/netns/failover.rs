//! Two real servers, of which the first vanishes by nft and comes back: who is asked, and what does `linnet status` say?

use std::time::{Duration, Instant};

use tests::namespace::{isolated, shell};
use tests::office::{Office, dig, until_answers};
use tests::peer::until;

use crate::{LINNETD, json};

/// Raises the office with a second server at home: the same answers, at another address, and as `sed` changes them. linnet
/// is to ask these upstreams.
pub(crate) fn raise(sed: &str, upstreams: &str) -> Office {
    let office = Office::raise();
    shell(&format!(
        "ip -n home addr add 192.0.2.54/24 dev p0 && \
         sed -e 's/interface: 192.0.2.53/interface: 192.0.2.54/' -e '{sed}' /run/story/unbound.conf > /run/story/second.conf && \
         (ip netns exec home unbound -d -c /run/story/second.conf >/run/story/second.log 2>&1 &)"
    ));
    until_answers(Some("home"), "192.0.2.54", "www.example.test");
    office.configure_usual("dnssec = \"off\"\nrecursion = \"never\"");
    let home = format!("match = {{ name = \"home*\" }}\n[dns]\nupstreams = [{upstreams}]\n");
    office.configure("profiles/home.toml", &home);
    office
}

/// Lets packets to a server come to nothing.
pub(crate) fn cut(server: &str, how: &str) {
    shell(&format!(
        "ip netns exec home nft 'add table ip t; add chain ip t in {{ type filter hook input priority 0; }}; \
         add rule ip t in ip daddr {server} {how}'"
    ));
}

/// What status says of home's first server.
fn first(office: &Office) -> serde_json::Value {
    let status = json(office, &["status"]);
    let scopes = status["scopes"].as_array().unwrap().clone();
    let mut upstreams = scopes
        .iter()
        .flat_map(|scope| scope["upstreams"].as_array().unwrap().clone());
    upstreams
        .find(|upstream| upstream["upstream"] == "192.0.2.53")
        .unwrap()
}

/// Asks for a new name; returns how long that took.
fn ask(turn: u32) -> Duration {
    let began = Instant::now();
    let answer = dig(&format!("+short n{turn}.pub.test"));
    assert!(answer.contains("192.0.2.82"), "{answer}");
    began.elapsed()
}

#[test]
fn a_server_that_vanishes_is_left_at_once_and_taken_again_when_it_is_back() {
    isolated(
        "failover::a_server_that_vanishes_is_left_at_once_and_taken_again_when_it_is_back",
        || {
            let office = raise("", "\"192.0.2.53\", \"192.0.2.54\"");
            let _linnetd = office.linnetd(LINNETD, &[]);
            ask(0);
            assert_eq!(first(&office)["current"], true);
            let rows = [
                (1000, "drop", "no reply"),
                (
                    2000,
                    "reject with icmp type admin-prohibited",
                    "unreachable",
                ),
                (
                    3000,
                    "reject with icmp type port-unreachable",
                    "connection refused",
                ),
            ];
            for (round, rule, why) in rows {
                cut("192.0.2.53", rule);
                let took = ask(round);
                assert!(took < Duration::from_secs(2), "{rule}: {took:?}");
                let status = first(&office);
                assert_eq!(status["failing"], why, "{rule}: {status}");
                assert!(status["next_try_ms"].is_number(), "{status}");
                for turn in 1..6 {
                    ask(round + turn);
                }
                assert_eq!(first(&office)["current"], false);
                shell("ip netns exec home nft flush ruleset");
                let began = Instant::now();
                let mut turn = round + 100;
                until("the first is asked again", || {
                    turn += 1;
                    ask(turn);
                    first(&office)["current"] == true
                });
                let took = began.elapsed();
                assert!(took < Duration::from_secs(5), "{rule}: back after {took:?}");
            }
        },
    );
}

#[test]
fn answers_outlive_the_servers_that_gave_them_and_say_so() {
    isolated(
        "failover::answers_outlive_the_servers_that_gave_them_and_say_so",
        || {
            // A name whose time is over soon.
            let sed = "s/www.example.test. 60 A/www.example.test. 1 A/";
            let office = raise(sed, "\"192.0.2.54\"");
            let _linnetd = office.linnetd(LINNETD, &[]);
            assert!(dig("+short www.example.test").contains("192.0.2.80"));
            assert!(dig("+short git.corp.test").contains("10.8.0.80"));
            std::thread::sleep(Duration::from_millis(1500));
            cut("192.0.2.54", "drop");
            let began = Instant::now();
            let answer = dig("www.example.test");
            let took = began.elapsed();
            assert!(answer.contains("192.0.2.80"), "{answer}");
            assert!(answer.contains("EDE: 3"), "{answer}");
            assert!(took < Duration::from_secs(2), "{took:?}");
            // A name behind a VPN that is down is refused, however well it was known.
            shell("ip link set vpn0 down");
            until("the claim is held", || {
                dig("git.corp.test").contains("status: REFUSED")
            });
        },
    );
}
