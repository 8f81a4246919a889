//! Does a claimed name ever leave by another link? A tap on the home link is the witness.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tests::namespace::{isolated, shell};
use tests::office::{Office, dig};
use tests::oracle::query;
use tests::peer::{Tap, occurrences, until};

use crate::LINNETD;

/// Questions for names behind the VPN, as many again for public ones.
const QUESTIONS: usize = 10_000;
/// How often the VPN goes down and comes up.
const FLAPS: usize = 100;
/// How long a client waits; the answer is due after 4.5 s.
const CLIENT_PATIENCE: Duration = Duration::from_secs(6);

/// What a client saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Address([u8; 4]),
    Error { rcode: u8, explained: bool },
    Nothing,
}

fn ask(id: u16, name: &str) -> Seen {
    let mut query = id.to_be_bytes().to_vec();
    query.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend(label.bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    query.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(CLIENT_PATIENCE)).unwrap();
    socket.connect("127.0.0.53:53").unwrap();
    socket.send(&query).unwrap();
    let mut answer = [0; 2048];
    let Ok(length) = socket.recv(&mut answer) else {
        return Seen::Nothing;
    };
    let answer = &answer[..length];
    let rcode = answer[3] & 15;
    if rcode != 0 || answer[7] == 0 {
        // An OPT record with option 15 (EDE).
        let explained = answer.windows(3).any(|window| window == [0, 0, 41])
            && answer.windows(2).any(|window| window == [0, 15]);
        return Seen::Error { rcode, explained };
    }
    // Type A, class IN, a TTL, four octets.
    let address = answer
        .windows(14)
        .find(|window| window[..4] == [0, 1, 0, 1] && window[8..10] == [0, 4])
        .map(|window| [window[10], window[11], window[12], window[13]]);
    address.map_or(Seen::Nothing, Seen::Address)
}

/// Asks without waiting, as soon as the port takes questions and for a while after; tells how many were refused, right and lost.
fn ask_from_the_first_moment() -> [usize; 3] {
    let ask = |id: u16| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect("127.0.0.53:53").unwrap();
        let (name, last) = match id % 2 {
            0 => (format!("h{id}.wild.corp.test"), [10, 8, 0, 82]),
            _ => (format!("h{id}.pub.test"), [192, 0, 2, 82]),
        };
        socket.send(&query(id, &name, 1)).unwrap();
        thread::sleep(Duration::from_micros(500));
        (socket, last)
    };
    let asked: Vec<_> = (0..100).map(ask).collect();
    let mut seen = [0; 3];
    for (socket, last) in asked {
        socket.set_read_timeout(Some(CLIENT_PATIENCE)).unwrap();
        let mut answer = [0; 2048];
        let place = match socket.recv(&mut answer) {
            Ok(length) => 1 + usize::from(!answer[..length].windows(4).any(|part| part == last)),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => 0,
            Err(_) => 2,
        };
        seen[place] += 1;
    }
    seen
}

#[test]
fn no_question_leaks_or_is_lost_while_linnetd_starts() {
    isolated(
        "leak::no_question_leaks_or_is_lost_while_linnetd_starts",
        || {
            let office = Office::raise();
            for threads in [0, 1, 2] {
                office.configure_usual(&format!("threads = {threads}"));
                // No more of them: a debug build holds each claim against each other.
                let mut claims = tests::office::OFFICE.to_owned();
                let many: Vec<String> = (0..200).map(|at| format!("\"c{at}.test\"")).collect();
                claims = claims.replace(
                    "\"corp.test\"]\nsearch",
                    &format!("\"corp.test\",{}]\nsearch", many.join(",")),
                );
                office.configure("profiles/office.toml", &claims);
                let tap = Tap::start(office.dir(), "home0");
                let _linnetd = office.start(&[LINNETD], &[]);
                let [_, right, wrong] = ask_from_the_first_moment();
                assert!(right > 0, "linnetd answers with {threads} threads");
                assert_eq!(wrong, 0, "with {threads} threads; {right} were right");
                let packets = tap.stop();
                assert!(occurrences(&packets, "pub.test") > 0, "the tap listens");
                assert_eq!(occurrences(&packets, "corp.test"), 0);
            }
        },
    );
}

#[test]
fn no_vpn_name_is_seen_at_home_while_the_vpn_flaps() {
    isolated(
        "leak::no_vpn_name_is_seen_at_home_while_the_vpn_flaps",
        || {
            let office = Office::raise();
            office.configure_usual("search = [\"example.test\"]");
            let _linnetd = office.linnetd(LINNETD, &[]);
            let tap = Tap::start(office.dir(), "home0");
            let flapping = AtomicBool::new(true);
            let next = AtomicUsize::new(0);
            let (right, refused, wrong) = (
                AtomicUsize::new(0),
                AtomicUsize::new(0),
                AtomicUsize::new(0),
            );
            thread::scope(|scope| {
                scope.spawn(|| {
                    for _ in 0..FLAPS {
                        shell("ip link set vpn0 down");
                        thread::sleep(Duration::from_millis(30));
                        shell("ip link set vpn0 up");
                        thread::sleep(Duration::from_millis(60));
                    }
                    flapping.store(false, Ordering::Relaxed);
                });
                for _ in 0..24 {
                    scope.spawn(|| {
                        loop {
                            let at = next.fetch_add(1, Ordering::Relaxed);
                            if at >= QUESTIONS && !flapping.load(Ordering::Relaxed) {
                                break;
                            }
                            // Every fourth is what a C library makes of a name that failed: the search suffix appended.
                            let (name, expected) = match at % 4 {
                                0 => (format!("h{at}.wild.CORP.test"), [10, 8, 0, 82]),
                                1 => (format!("h{at}.wild.corp.test.example.test"), [0; 4]),
                                _ => (format!("h{at}.wild.corp.test"), [10, 8, 0, 82]),
                            };
                            let id = u16::try_from(at % 65_536).unwrap();
                            match ask(id, &name) {
                                Seen::Address(address) if address == expected => {
                                    right.fetch_add(1, Ordering::Relaxed)
                                }
                                Seen::Error {
                                    explained: true, ..
                                } => refused.fetch_add(1, Ordering::Relaxed),
                                Seen::Address(_) | Seen::Error { .. } | Seen::Nothing => {
                                    wrong.fetch_add(1, Ordering::Relaxed)
                                }
                            };
                            let public = ask(id, &format!("h{at}.pub.test"));
                            assert_eq!(
                                public,
                                Seen::Address([192, 0, 2, 82]),
                                "a public name, whatever the VPN does"
                            );
                        }
                    });
                }
            });
            let (right, refused, wrong) =
                (right.into_inner(), refused.into_inner(), wrong.into_inner());
            assert!(
                right > 0 && refused > 0,
                "{right} right, {refused} refused: the VPN was both up and down"
            );
            assert_eq!(
                wrong,
                0,
                "of {} answers for VPN names",
                right + refused + wrong
            );
            let packets = tap.stop();
            assert!(occurrences(&packets, "pub.test") > 100, "the tap works");
            assert_eq!(
                occurrences(&packets, "corp.test"),
                0,
                "corp.test was seen on home0"
            );
        },
    );
}

#[test]
fn the_c_library_s_search_does_not_carry_vpn_names_home() {
    isolated(
        "leak::the_c_library_s_search_does_not_carry_vpn_names_home",
        || {
            let office = Office::raise();
            office.configure_usual("search = [\"example.test\"]");
            shell(
                "printf 'nameserver 127.0.0.53\\nsearch example.test\\noptions edns0\\n' > /etc/resolv.conf",
            );
            let _linnetd = office.linnetd(LINNETD, &[]);
            let tap = Tap::start(office.dir(), "home0");
            shell("ip link del vpn0");
            until("the VPN is gone", || {
                dig("git.corp.test").contains("REFUSED")
            });
            for name in [
                "git.corp.test",
                "GIT.Corp.Test",
                "nowhere.corp.test",
                "git.corp.test.",
            ] {
                shell(&format!("getent ahosts {name}; getent hosts {name}; true"));
            }
            shell("getent ahosts www.example.test");
            let packets = tap.stop();
            assert!(
                occurrences(&packets, "www.example.test") > 0,
                "the tap works"
            );
            assert_eq!(
                occurrences(&packets, "corp.test"),
                0,
                "corp.test was seen on home0"
            );
        },
    );
}

#[test]
fn a_full_tunnel_takes_every_name_but_the_excluded() {
    isolated(
        "leak::a_full_tunnel_takes_every_name_but_the_excluded",
        || {
            let office = Office::raise();
            office.configure("linnet.toml", "");
            office.configure("profiles/home.toml", tests::office::HOME);
            office.configure(
            "profiles/office.toml",
            "match = { name = \"vpn0\" }\n[dns]\nupstreams = [\"10.8.0.1\"]\ndefault = \"exclusive\"\nexclude = [\"example.test\"]\n",
        );
            let _linnetd = office.linnetd(LINNETD, &[]);
            let tap = Tap::start(office.dir(), "home0");
            assert!(dig("+short git.corp.test").contains("10.8.0.80"));
            assert!(
                dig("other.pub.test").contains("REFUSED"),
                "knot is not authoritative for it, and home is not asked"
            );
            assert!(
                dig("+short www.example.test").contains("192.0.2.80"),
                "excluded from the tunnel"
            );
            let packets = tap.stop();
            assert_eq!(occurrences(&packets, "pub.test"), 0);
            assert!(
                occurrences(&packets, "www.example.test") > 0,
                "the tap works"
            );
        },
    );
}
