//! What can others do to a host that listens for them? Floods, slow clients, idle connections, and every published packet that
//! once broke a server: the host's own programs go on, and memory stays where it was.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tests::namespace::{isolated, shell};
use tests::office::{Office, dig};
use tests::peer::{Peer, until};
use tests::{shared, skip};

use crate::guests::{LAN, dig_at, raise};
use crate::{LINNET, LINNETD, json};

const OPEN: &str = "[[listeners]]\naddress = \"10.0.0.1\"\nallow = [\"10.0.0.0/24\"]\nclaims = true\n\
                    [[listeners]]\naddress = \"127.0.0.1:5300\"\n";
/// A listener that this very process reaches.
const NEAR: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5300);

/// Resident memory of a process that is its own, in KiB: pages of the program that come as they are run are no growth, and a test's build has many.
fn resident(peer: &Peer) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", peer.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let text = line.unwrap().trim().trim_end_matches(" kB");
    text.parse().unwrap()
}

fn counted(office: &Office, place: &str, what: &str) -> u64 {
    let status = json(office, &["status"]);
    let listeners = status["listeners"].as_array().cloned().unwrap_or_default();
    let found = listeners.into_iter().find(|one| one["place"] == place);
    found.unwrap_or_default()[what].as_u64().unwrap_or(0)
}

fn started(office: &Office) -> Peer {
    office.configure_usual("");
    office.configure("conf.d/listeners.toml", OPEN);
    let linnetd = office.linnetd(LINNETD, &[]);
    until("the listeners are open", || {
        let status = json(office, &["status"]);
        let listeners = status["listeners"].as_array().cloned().unwrap_or_default();
        listeners.len() == 2 && listeners.iter().all(|one| one["state"] == "open")
    });
    linnetd
}

/// A query for `www.example.test`.
fn query(id: u16) -> Vec<u8> {
    let mut wire = id.to_be_bytes().to_vec();
    wire.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    wire.extend_from_slice(b"\x03www\x07example\x04test\0\0\x01\0\x01");
    wire
}

fn framed(wire: &[u8]) -> Vec<u8> {
    let length = u16::try_from(wire.len()).unwrap();
    [&length.to_be_bytes()[..], wire].concat()
}

/// Claims `lost.test` for an upstream that hears and says nothing: questions for it stay open as long as questions do.
fn deaf_upstream(office: &Office) -> Peer {
    shell("ip -n home addr add 192.0.2.99/24 dev p0");
    let lost = "[dns]\nupstreams = [\"192.0.2.99\"]\nclaims = [\"lost.test\"]\n";
    office.configure("profiles/lost.toml", lost);
    let deaf = "import socket,time\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n\
                s.bind(('192.0.2.99',53))\ntime.sleep(60)";
    Peer::start(office.dir(), "deaf", Some("home"), &["python3", "-c", deaf])
}

#[test]
fn a_flood_of_one_guest_starves_neither_another_nor_the_host_and_grows_nothing() {
    isolated(
        "abuse::a_flood_of_one_guest_starves_neither_another_nor_the_host_and_grows_nothing",
        || {
            let office = Office::raise();
            let _deaf = deaf_upstream(&office);
            let linnetd = started(&office);
            raise(LAN);
            shell("ip -n lan addr add 10.0.0.3/24 dev n0");
            let names: String = (0..20_000)
                .map(|at| format!("n{at}.lost.test A\n"))
                .collect();
            let file = office.path("names");
            fs::write(&file, names).unwrap();
            assert!(dig("+short www.example.test").contains("192.0.2.80"));
            let before = resident(&linnetd);
            let flood = Peer::start(
                office.dir(),
                "flood",
                Some(LAN),
                &[
                    "dnsperf", "-s", "10.0.0.1", "-a", "10.0.0.2", "-d", &file, "-l", "3", "-q",
                    "5000", "-c", "50", "-t", "1",
                ],
            );
            let begun = Instant::now();
            let mut asked = 0;
            while begun.elapsed() < Duration::from_secs(2) {
                let other = dig_at(LAN, "@10.0.0.1 -b 10.0.0.3 +short www.example.test");
                assert!(other.contains("192.0.2.80"), "after {asked}: {other}");
                let own = dig("+short git.corp.test");
                assert!(own.contains("10.8.0.80"), "after {asked}: {own}");
                asked += 1;
            }
            assert!(asked > 2, "{asked} questions in two seconds");
            let grown = resident(&linnetd).saturating_sub(before);
            assert!(grown < 16 << 10, "{grown} KiB more: {}", flood.log());
            assert!(
                counted(&office, "10.0.0.1:53", "queries") > 100,
                "{}",
                flood.log()
            );
        },
    );
}

#[test]
fn ten_thousand_idle_connections_take_what_one_client_may_and_no_more() {
    const NAME: &str = "abuse::ten_thousand_idle_connections_take_what_one_client_may_and_no_more";
    isolated(NAME, || {
        let office = Office::raise();
        let linnetd = started(&office);
        raise(LAN);
        let before = resident(&linnetd);
        let files = fs::read_dir(format!("/proc/{}/fd", linnetd.pid()))
            .unwrap()
            .count();
        // Each is closed at once by linnetd beyond the bound; this side keeps what it can of them.
        let mut held = Vec::new();
        let mut most = 0;
        let mut made = 0;
        for at in 0..10_000 {
            // Where it is slower than we are, the kernel drops some, and each of those costs a second.
            if at % 50 == 0 {
                until("it has taken them", || {
                    counted(&office, "127.0.0.1:5300", "limited") + 32 >= made
                });
            }
            let Ok(stream) = TcpStream::connect_timeout(&NEAR, Duration::from_secs(1)) else {
                continue;
            };
            made += 1;
            if held.len() < 400 {
                held.push(stream);
            }
            if at == 500 || at % 2500 == 0 {
                most = most.max(counted(&office, "127.0.0.1:5300", "connections"));
            }
        }
        assert!((1..=32).contains(&most), "{most} connections");
        assert!(counted(&office, "127.0.0.1:5300", "limited") > 9_000);
        let more = fs::read_dir(format!("/proc/{}/fd", linnetd.pid()))
            .unwrap()
            .count();
        assert!(more <= files + 40, "{files} descriptors, then {more}");
        let grown = resident(&linnetd).saturating_sub(before);
        assert!(grown < 8 << 10, "{grown} KiB more");
        // Another client is served by TCP all the while.
        let other = dig_at(LAN, "@10.0.0.1 +tcp +short www.example.test");
        assert!(other.contains("192.0.2.80"), "{other}");
        drop(held);
        until("they are gone", || {
            counted(&office, "127.0.0.1:5300", "connections") == 0
        });
    });
}

#[test]
fn who_sends_or_reads_octet_by_octet_is_closed_in_five_seconds() {
    isolated(
        "abuse::who_sends_or_reads_octet_by_octet_is_closed_in_five_seconds",
        || {
            let office = Office::raise();
            let linnetd = started(&office);
            let before = resident(&linnetd);
            let begun = Instant::now();
            let mut slow = TcpStream::connect(NEAR).unwrap();
            // One that asks without end and never reads.
            let mut deaf = TcpStream::connect(NEAR).unwrap();
            deaf.set_write_timeout(Some(Duration::from_millis(200)))
                .unwrap();
            let mut big = 7_u16.to_be_bytes().to_vec();
            big.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
            big.extend_from_slice(b"\x03big\x04corp\x04test\0\0\x10\0\x01");
            let big = framed(&big);
            let mut is_closed = (false, false);
            for octet in framed(&query(1)).iter().cycle() {
                if slow.write_all(&[*octet]).is_err() {
                    is_closed.0 = true;
                }
                for _ in 0..200 {
                    match deaf.write(&big) {
                        Ok(_) => {}
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                        Err(_) => {
                            is_closed.1 = true;
                            break;
                        }
                    }
                }
                if is_closed == (true, true) || begun.elapsed() > Duration::from_secs(12) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(250));
            }
            assert_eq!(is_closed, (true, true), "after {:?}", begun.elapsed());
            let grown = resident(&linnetd).saturating_sub(before);
            assert!(grown < 8 << 10, "{grown} KiB more");
            assert!(counted(&office, "127.0.0.1:5300", "malformed") >= 2);
            // Whoever is quick is served in between.
            let mut quick = TcpStream::connect(NEAR).unwrap();
            quick.write_all(&framed(&query(2))).unwrap();
            let mut answer = [0; 64];
            let length = quick.read(&mut answer).unwrap();
            assert!(length > 30 && answer[2..4] == 2_u16.to_be_bytes());
        },
    );
}

#[test]
fn what_is_no_question_and_who_is_no_client_gets_silence() {
    isolated(
        "abuse::what_is_no_question_and_who_is_no_client_gets_silence",
        || {
            let office = Office::raise();
            let _linnetd = started(&office);
            // In the cache, so that silence is told from waiting.
            assert!(dig("+short www.example.test").contains("192.0.2.80"));
            assert!(shell("dig @127.0.0.1 -p 5300 +short www.example.test").contains("192.0.2.80"));
            let socket = |port: u16| {
                let socket = UdpSocket::bind(("127.0.0.1", port)).unwrap();
                socket
                    .set_read_timeout(Some(Duration::from_millis(700)))
                    .unwrap();
                socket
            };
            let ask = |socket: &UdpSocket, wire: &[u8]| {
                socket.send_to(wire, NEAR).unwrap();
                let mut answer = [0; 512];
                let length = socket.recv(&mut answer).ok()?;
                Some(answer[..length].to_vec())
            };
            let client = socket(0);
            let good = ask(&client, &query(1)).expect("an answer");
            assert_eq!(good[3] & 15, 0);
            // An answer to our answer, as another resolver or a forger would send it.
            assert_eq!(ask(&client, &good), None);
            let mut error = query(1);
            error[2] |= 0x80;
            error[3] = 1;
            assert_eq!(ask(&client, &error), None);
            assert_eq!(ask(&client, &query(1)[..11]), None);
            for port in [7, 19, 53, 123] {
                assert_eq!(ask(&socket(port), &query(1)), None, "port {port}");
            }
            assert_eq!(counted(&office, "127.0.0.1:5300", "reflective"), 4);
            // The second octet of flags and the counts, and the code that answers.
            for (place, octet, code) in [(2, 0x11, 4), (5, 0, 1), (5, 2, 1), (7, 1, 1)] {
                let mut wire = query(1);
                wire[place] = octet;
                let answer = ask(&client, &wire).expect("an error");
                assert_eq!(answer[3] & 15, code, "{place} {octet}");
                assert_ne!(answer[2] & 0x80, 0);
            }
        },
    );
}

#[test]
fn a_client_without_a_cookie_gets_small_answers_and_one_with_ours_whole_ones() {
    isolated(
        "abuse::a_client_without_a_cookie_gets_small_answers_and_one_with_ours_whole_ones",
        || {
            let office = Office::raise();
            let _linnetd = started(&office);
            let ask = |more: &str| {
                let line = format!(
                    "dig @127.0.0.1 -p 5300 +time=3 +tries=1 +ignore +bufsize=1232 {more} 2>&1; true"
                );
                shell(&line)
            };
            let name = "TXT big.corp.test";
            let whole = ask(&format!("+tcp {name}"));
            assert_eq!(whole.matches("TXT\t\"").count(), 16, "{whole}");
            let unproven = ask(&format!("+nocookie {name}"));
            assert!(unproven.contains(" tc "), "{unproven}");
            let first = ask("+cookie=0123456789abcdef www.example.test");
            assert!(first.contains("(good)"), "{first}");
            let cookie = first
                .lines()
                .find_map(|line| line.strip_prefix("; COOKIE: "))
                .and_then(|rest| rest.split_whitespace().next())
                .expect("a cookie")
                .to_owned();
            assert_eq!(cookie.len(), 48, "{cookie}");
            let size = |text: &str| -> usize {
                let line = text
                    .lines()
                    .find_map(|line| line.strip_prefix(";; MSG SIZE  rcvd: "));
                line.unwrap().trim().parse().unwrap()
            };
            let many = "mid.corp.test TXT";
            let small = ask(&format!("+nocookie {many}"));
            assert!(small.contains(" tc ") && size(&small) <= 512, "{small}");
            let proven = ask(&format!("+cookie={cookie} {many}"));
            assert!(!proven.contains(" tc ") && size(&proven) > 512, "{proven}");
            let forged = ask(&format!("+cookie={}00000000 {many}", &cookie[..40]));
            assert!(forged.contains(" tc "), "{forged}");
            let bad = ask("+ednsopt=10:0102 +nocookie www.example.test");
            assert!(bad.contains("status: FORMERR"), "{bad}");
        },
    );
}

/// Every message of the published sets: raw files, lines of hexadecimal digits, and archives of either.
fn packets(folder: &Path, unpacked: &Path) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            let name = path.to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".tar.gz") {
                shell(&format!("tar -xzf {name} -C {}", unpacked.display()));
            } else {
                let bytes = fs::read(&path).unwrap();
                packets.extend(hexadecimal(&bytes));
                packets.push(bytes);
            }
        }
    }
    packets.retain(|packet| packet.len() <= 65_000);
    packets
}

/// The lines of a file that are a message in hexadecimal digits.
fn hexadecimal(bytes: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(bytes);
    let digits = text.lines().map(|line| {
        let digits = line.split(';').next().unwrap_or_default();
        digits.split_whitespace().collect::<String>()
    });
    let whole = digits.filter(|digits| {
        digits.len() >= 24
            && digits.len().is_multiple_of(2)
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    let octet = |digits: &str, at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    whole
        .map(|digits| {
            (0..digits.len())
                .step_by(2)
                .map(|at| octet(&digits, at))
                .collect()
        })
        .collect()
}

#[test]
fn every_published_packet_is_survived_by_udp_and_tcp() {
    const NAME: &str = "abuse::every_published_packet_is_survived_by_udp_and_tcp";
    isolated(NAME, || {
        let Some(shared) = shared().filter(|shared| shared.join("corpora/dns").is_dir()) else {
            return skip(NAME, "the published packets are not beside the project");
        };
        let office = Office::raise();
        let unpacked = office.dir().join("unpacked");
        fs::create_dir_all(&unpacked).unwrap();
        let mut packets = packets(&shared.join("corpora/dns"), &unpacked);
        packets.extend(self::packets(&unpacked, &unpacked));
        assert!(packets.len() > 9_000, "{} packets", packets.len());
        let mut linnetd = started(&office);
        assert!(dig("+short www.example.test").contains("192.0.2.80"));
        let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let stub: SocketAddr = "127.0.0.53:53".parse().unwrap();
        let mut stream: Option<TcpStream> = None;
        let mut after_first = 0;
        for turn in 0..2 {
            for (at, packet) in packets.iter().enumerate() {
                for place in [stub, NEAR] {
                    let _too_long = socket.send_to(packet, place);
                    let mut answer = [0; 4096];
                    while let Ok(length) = socket.recv(&mut answer) {
                        assert!(
                            length >= 12 && answer[2] & 0x80 != 0,
                            "an answer is an answer"
                        );
                    }
                }
                if at % 7 == turn {
                    let place = if at % 2 == 0 { stub } else { NEAR };
                    let held = stream.take().or_else(|| TcpStream::connect(place).ok());
                    stream = held.filter(|mut held| {
                        held.set_nonblocking(true).unwrap();
                        held.write_all(&framed(packet)).is_ok()
                    });
                }
                if at % 1000 == 0 {
                    assert!(
                        linnetd.runs(),
                        "linnetd ended after {at}: {}",
                        linnetd.log()
                    );
                    assert!(
                        dig("+short www.example.test").contains("192.0.2.80"),
                        "after {at}"
                    );
                }
            }
            if turn == 0 {
                std::thread::sleep(Duration::from_millis(500));
                after_first = resident(&linnetd);
            }
        }
        assert!(linnetd.runs());
        assert!(dig("+short git.corp.test").contains("10.8.0.80"));
        assert!(dig("+tcp +short git.corp.test").contains("10.8.0.80"));
        let grown = resident(&linnetd).saturating_sub(after_first);
        assert!(
            grown < 4 << 10,
            "{grown} KiB more by the same packets once more"
        );
        assert!(!linnetd.log().contains("panicked"), "{}", linnetd.log());
    });
}

#[test]
fn one_program_of_the_host_that_runs_wild_leaves_room_for_the_others() {
    isolated(
        "abuse::one_program_of_the_host_that_runs_wild_leaves_room_for_the_others",
        || {
            let office = Office::raise();
            let _deaf = deaf_upstream(&office);
            let linnetd = started(&office);
            assert!(dig("+short www.example.test").contains("192.0.2.80"));
            let before = resident(&linnetd);
            let wild = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
            wild.set_nonblocking(true).unwrap();
            let mut refused = 0;
            let mut answer = [0; 512];
            for id in 0..3200_u16 {
                let mut wire = id.to_be_bytes().to_vec();
                wire.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 6]);
                wire.extend_from_slice(format!("n{id:05}").as_bytes());
                wire.extend_from_slice(b"\x04lost\x04test\0\0\x01\0\x01");
                let _full = wild.send_to(&wire, "127.0.0.53:53");
                if id % 10 == 0 {
                    std::thread::sleep(Duration::from_millis(5));
                }
                while wild.recv(&mut answer).is_ok() {
                    refused += usize::from(answer[3] & 15 != 0);
                }
            }
            // While the wild one's questions are open, a miss of another program is asked and answered.
            let other = dig("git.corp.test");
            assert!(other.contains("10.8.0.80"), "{refused} errors: {other}");
            let by_tcp = dig("+tcp alias.corp.test");
            assert!(by_tcp.contains("10.8.0.80"), "{refused} errors: {by_tcp}");
            // REFUSED for what is beyond its share, SERVFAIL for what is beyond its upstream's.
            until("the wild one hears that it has too many", || {
                while wild.recv(&mut answer).is_ok() {
                    refused += usize::from(answer[3] & 15 != 0);
                }
                refused > 500
            });
            let grown = resident(&linnetd).saturating_sub(before);
            assert!(grown < 26 << 10, "{grown} KiB more");
        },
    );
}

#[test]
fn what_gets_no_answer_takes_no_room_of_what_does() {
    isolated(
        "abuse::what_gets_no_answer_takes_no_room_of_what_does",
        || {
            let office = Office::raise();
            let _linnetd = started(&office);
            assert!(dig("+short www.example.test").contains("192.0.2.80"));
            // Responses and scraps, each from a port of its own: more than there is room for questions.
            let response = [0, 1, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            for at in 0..40_000 {
                let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
                let wire = &response[..if at % 2 == 0 { 12 } else { 11 }];
                let _full = socket.send_to(wire, "127.0.0.53:53");
                if at % 100 == 0 {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
            // Two at a time from one socket, as the C library asks, and none of them in the cache.
            let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
            let patience = Some(Duration::from_secs(5));
            socket.set_read_timeout(patience).unwrap();
            for id in 0..2_u16 {
                let mut wire = id.to_be_bytes().to_vec();
                wire.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
                wire.extend_from_slice(b"\x01x\x03pub\x04test\0\0\x01\0\x01");
                wire[13] = b'a' + u8::try_from(id).unwrap();
                socket.send_to(&wire, "127.0.0.53:53").unwrap();
            }
            let mut answer = [0; 512];
            for _ in 0..2 {
                socket.recv(&mut answer).expect("an answer");
                assert_ne!(answer[3] & 15, 5, "refused");
            }
            let by_tcp = dig("+tcp git.corp.test");
            assert!(by_tcp.contains("10.8.0.80"), "{by_tcp}");
            // By TCP it ends the connection.
            let mut stream = TcpStream::connect("127.0.0.53:53").unwrap();
            stream.write_all(&framed(&response)).unwrap();
            stream.set_read_timeout(patience).unwrap();
            let begun = Instant::now();
            assert_eq!(stream.read(&mut answer).unwrap_or_default(), 0);
            assert!(begun.elapsed() < Duration::from_secs(3));
        },
    );
}

/// Threads that ask without end.
const WILD: u16 = 3;
/// Questions after which all that may wait do.
const UNDER_WAY: u64 = 100_000;
/// How long a link that goes may stay unseen while they do, and an order unanswered: they have processors of their own to keep busy.
const SEEN: Duration = Duration::from_secs(5);

#[test]
fn questions_without_end_keep_neither_a_link_from_being_seen_nor_an_order_waiting() {
    isolated(
        "abuse::questions_without_end_keep_neither_a_link_from_being_seen_nor_an_order_waiting",
        || {
            let office = Office::raise();
            let _deaf = deaf_upstream(&office);
            let _linnetd = started(&office);
            let over = Arc::new(AtomicBool::new(false));
            let sent = Arc::new(AtomicU64::new(0));
            let wild: Vec<_> = (0..WILD)
                .map(|thread| {
                    let (over, sent) = (Arc::clone(&over), Arc::clone(&sent));
                    std::thread::spawn(move || {
                        let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
                        socket.connect("127.0.0.53:53").unwrap();
                        for number in 0_u32.. {
                            if over.load(Ordering::Relaxed) {
                                return;
                            }
                            sent.fetch_add(1, Ordering::Relaxed);
                            // Names that wait, and names that are answered.
                            let zone = ["lost.test", "pub.test"][usize::from(number % 8 > 0)];
                            let name = format!("t{thread}n{number}.{zone}");
                            let _full = socket.send(&tests::oracle::query(7, &name, 1));
                        }
                    })
                })
                .collect();
            until("they are under way", || {
                sent.load(Ordering::Relaxed) > UNDER_WAY
            });
            let state = || {
                let (code, text) = office.linnet(LINNET, &["--json", "status"]);
                assert_eq!(code, 0, "{text}");
                let status: serde_json::Value = serde_json::from_str(&text).unwrap();
                let scopes = status["scopes"].as_array().cloned().unwrap_or_default();
                let office = scopes
                    .into_iter()
                    .find(|one| one["id"].to_string().contains("office"));
                office.unwrap_or_default()["state"].to_string()
            };
            let mut slowest = Duration::ZERO;
            for how in ["down", "up"] {
                let begun = Instant::now();
                shell(&format!("ip link set vpn0 {how}"));
                until("the link is seen", || {
                    state().contains("ready") == (how == "up")
                });
                slowest = slowest.max(begun.elapsed());
            }
            over.store(true, Ordering::Relaxed);
            for thread in wild {
                thread.join().unwrap();
            }
            tests::say(&format!("{sent:?} questions; seen after {slowest:?}"));
            assert!(slowest < SEEN, "{slowest:?}");
        },
    );
}
