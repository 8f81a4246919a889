//! Whom does linnetd ask of two upstreams that both work, by what does it know a server again, and when does it ask before anybody waits?

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use tests::faults::{SECOND, upstreams};
use tests::namespace::{isolated, shell};
use tests::office::{HOME, Office, dig, links, until_answers};
use tests::oracle::{Mode, Server, query};
use tests::peer::{Peer, until};

use crate::{LINNETD, failover, json};

/// How much later the slower server answers.
const LATER: Duration = Duration::from_millis(20);
/// A second upstream is asked after so long at least, where one is asked after the other (docs/upstreams.md).
const IN_TURN: Duration = Duration::from_millis(150);

/// Raises two servers at home, and a linnetd that chooses in this way.
fn raise(selection: &str) -> (Office, [Server; 2], Peer) {
    let office = Office::bare(links());
    let servers = upstreams();
    let main = format!("[resolver]\ndnssec = \"off\"\nselection = \"{selection}\"\n");
    office.configure("linnet.toml", &main);
    let both = format!("\"192.0.2.53\", \"{SECOND}\"");
    office.configure("profiles/home.toml", &HOME.replace("\"192.0.2.53\"", &both));
    let linnetd = office.linnetd(LINNETD, &[]);
    until("linnetd answers", || {
        dig("+short +time=1 h0.pub.test").contains('.')
    });
    (office, servers, linnetd)
}

/// What status says of home's two upstreams, in their order.
fn told(office: &Office) -> Vec<serde_json::Value> {
    let status = json(office, &["status"]);
    let scopes = status["scopes"].as_array().unwrap().clone();
    let upstreams = scopes
        .iter()
        .flat_map(|scope| scope["upstreams"].as_array().unwrap().clone());
    let told: Vec<_> = upstreams.collect();
    assert_eq!(told.len(), 2, "{told:?}");
    told
}

/// How many messages went to each.
fn sent(office: &Office) -> [u64; 2] {
    let told = told(office);
    [0, 1].map(|at| told[at]["sent"].as_u64().unwrap())
}

/// Asks for a new name; returns how long that took.
fn ask(turn: u16) -> Duration {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect("127.0.0.53:53").unwrap();
    let patience = Some(Duration::from_secs(5));
    socket.set_read_timeout(patience).unwrap();
    let began = Instant::now();
    socket
        .send(&query(turn, &format!("h{turn}.pub.test"), 1))
        .unwrap();
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).expect("an answer");
    assert!(
        answer[3] & 15 == 0 && answer[7] > 0,
        "{:?}",
        &answer[..length]
    );
    began.elapsed()
}

#[test]
fn the_fastest_is_asked_and_left_when_another_one_is_faster() {
    isolated(
        "selection::the_fastest_is_asked_and_left_when_another_one_is_faster",
        || {
            let (office, servers, _linnetd) = raise("fastest");
            let mut turn = 0;
            for fast in [1, 0, 1] {
                servers[fast].set(Mode::Right);
                servers[1 - fast].set(Mode::Late(LATER));
                // One question in 32 tells how the other one does.
                for _ in 0..300 {
                    turn += 1;
                    ask(turn);
                }
                let before = sent(&office);
                for _ in 0..100 {
                    turn += 1;
                    ask(turn);
                }
                let after = sent(&office);
                let of_fast = after[fast] - before[fast];
                // That it was found out who is faster now shows that the other one is asked too, now and then.
                assert!(of_fast >= 85, "{of_fast} of 100 to the faster");
            }
        },
    );
}

#[test]
fn hedged_questions_wait_for_neither_of_two_servers() {
    isolated(
        "selection::hedged_questions_wait_for_neither_of_two_servers",
        || {
            let (office, servers, _linnetd) = raise("hedged");
            let before = sent(&office);
            for turn in 1..=20 {
                ask(turn);
            }
            let after = sent(&office);
            for at in [0, 1] {
                assert!(after[at] - before[at] >= 20, "{before:?}, {after:?}");
            }
            let mut turn = 100;
            let mut waits = Vec::new();
            for silent in [0, 1, 0, 1, 0] {
                servers[silent].set(Mode::Silent);
                turn += 1;
                waits.push(ask(turn));
                servers[silent].set(Mode::Right);
                until("both work", || {
                    turn += 1;
                    ask(turn);
                    told(&office)
                        .iter()
                        .all(|upstream| upstream["failing"].is_null())
                });
            }
            waits.sort();
            assert!(waits[2] < IN_TURN / 3, "{waits:?}");
        },
    );
}

#[test]
fn a_name_that_is_asked_for_again_is_fetched_before_its_time_is_over() {
    isolated(
        "selection::a_name_that_is_asked_for_again_is_fetched_before_its_time_is_over",
        || {
            let sed = "s/www.example.test. 60 A/www.example.test. 10 A/";
            let office = failover::raise(sed, "\"192.0.2.54\"");
            let heard = || {
                let log = fs::read_to_string("/run/story/second.log").unwrap_or_default();
                let log = log.to_ascii_lowercase();
                let asked = |line: &&str| line.contains(" www.example.test. a in");
                log.lines().filter(asked).count()
            };
            for prefetch in [false, true] {
                let main =
                    format!("dnssec = \"off\"\nrecursion = \"never\"\nprefetch = {prefetch}");
                office.configure("linnet.toml", &format!("[resolver]\n{main}\n"));
                let linnetd = office.linnetd(LINNETD, &[]);
                let before = heard();
                assert!(dig("+short www.example.test").contains("192.0.2.80"));
                until("it was asked for", || heard() == before + 1);
                // A name that nobody asks for twice is not worth it.
                assert!(dig("+short www.example.test").contains("192.0.2.80"));
                thread::sleep(Duration::from_millis(9200));
                assert!(dig("+short www.example.test").contains("192.0.2.80"));
                if prefetch {
                    until("it is fetched", || heard() == before + 2);
                } else {
                    thread::sleep(Duration::from_millis(300));
                    assert_eq!(heard(), before + 1);
                }
                // The first answer's time is over.
                thread::sleep(Duration::from_millis(1500));
                failover::cut("192.0.2.54", "drop");
                let answer = dig("www.example.test");
                assert!(answer.contains("192.0.2.80"), "{answer}");
                let is_stale = answer.contains("EDE: 3");
                assert_eq!(is_stale, !prefetch, "{answer}");
                shell("ip netns exec home nft flush ruleset");
                drop(linnetd);
            }
        },
    );
}

/// knot, which answers nobody by datagram who does not send the cookie that it gave.
fn knot_with_cookies(dir: &Path) -> Peer {
    let zone = dir.join("cookies.zone");
    fs::write(
        &zone,
        "$ORIGIN pub.test.\n$TTL 60\n@ SOA ns root 1 60 60 60 60\n@ NS ns\nns A 192.0.2.53\n* A 192.0.2.82\n",
    )
    .unwrap();
    let file = dir.join("cookies.conf");
    let config = format!(
        "server:\n  listen: 192.0.2.53@53\n  rundir: {0}\ndatabase:\n  storage: {0}\nlog:\n  - target: stderr\n    any: info\n\
         mod-cookies:\n  - id: strict\n    badcookie-slip: 1\nmod-stats:\n  - id: all\n    response-code: on\n\
         template:\n  - id: default\n    global-module: [mod-stats/all, mod-cookies/strict]\n\
         zone:\n  - domain: pub.test\n    file: {1}\n    zonefile-load: whole\n    journal-content: none\n",
        dir.display(),
        zone.display()
    );
    fs::write(&file, config).unwrap();
    let command = ["knotd", "-c", &file.display().to_string()];
    let peer = Peer::start(dir, "cookies-knot", Some("home"), &command);
    until_answers(Some("home"), "192.0.2.53", "x.pub.test");
    peer
}

/// How many answers of knot were like this.
fn answers(of: &str) -> u64 {
    let stats = shell("knotc -s /run/story/knot.sock -f stats");
    let line = stats.lines().find(|line| line.contains(of));
    let count = line.and_then(|line| line.rsplit(' ').next());
    count.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn a_server_that_wants_its_cookie_gets_it() {
    isolated("selection::a_server_that_wants_its_cookie_gets_it", || {
        let office = Office::bare(links());
        let _knot = knot_with_cookies(office.dir());
        office.configure(
            "linnet.toml",
            "[resolver]\ndnssec = \"off\"\nrecursion = \"never\"\n",
        );
        office.configure("profiles/home.toml", HOME);
        let _linnetd = office.linnetd(LINNETD, &[]);
        ask(0);
        let before = ["[BADCOOKIE]", "[NOERROR]"].map(answers);
        for turn in 1..=50 {
            ask(turn);
        }
        let after = ["[BADCOOKIE]", "[NOERROR]"].map(answers);
        // One cookie is good for all of them, and nobody was asked twice.
        assert_eq!(after[0], before[0], "answers without an answer");
        assert_eq!(after[1], before[1] + 50);
        let status = json(&office, &["status"]);
        let manners = &status["scopes"][0]["upstreams"][0]["manners"];
        let manners = manners.as_array().unwrap();
        assert!(manners.contains(&"cookies".into()), "{manners:?}");
    });
}
