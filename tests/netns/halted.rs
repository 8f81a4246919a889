//! What do clients lose when linnetd stands still for a while, as in a machine that is halted? Nothing whose reply has come meanwhile.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use tests::faults::{SECOND, upstreams};
use tests::namespace::isolated;
use tests::office::{Office, dig, links};
use tests::oracle::{Mode, now_ms, query};
use tests::peer::{Peer, until};

use crate::{LINNETD, json};

/// A little more than a question is given: every deadline of those that are under way has passed.
const HALT: Duration = Duration::from_millis(4600);
/// Between two questions: so many that linnetd is seldom idle.
const PACE: Duration = Duration::from_millis(1);
/// How long is asked before each halt and after it.
const AROUND: Duration = Duration::from_millis(500);
/// How long the servers think: as many questions are under way.
const THINKING: Duration = Duration::from_millis(100);
/// When who comes back is given up.
const PATIENCE: Duration = Duration::from_secs(3);
/// It may be halted wherever it is.
const HALTS: u32 = 3;

/// How many questions were under way at a halt and had no answer, and the errors of all.
#[derive(Debug, Default)]
struct Seen {
    under_way: usize,
    errors: Vec<u8>,
    unanswered: usize,
}

/// Asks for new names before and after a halt, and not during it: the machine's other programs are halted too.
fn halt(linnetd: &Peer) -> Seen {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect("127.0.0.53:53").unwrap();
    socket.set_read_timeout(Some(PACE)).unwrap();
    let (unique, mut next) = (now_ms(), 0u16);
    let mut seen = Seen::default();
    let mut open: BTreeMap<u16, Instant> = BTreeMap::new();
    let mut buffer = [0; 2048];
    for is_after in [false, true] {
        let begun = Instant::now();
        while begun.elapsed() < AROUND || is_after && !open.is_empty() {
            if begun.elapsed() < AROUND {
                let name = format!("h{next}.x{unique}.pub.test");
                open.insert(next, Instant::now());
                socket.send(&query(next, &name, 1)).unwrap();
                next += 1;
            }
            if let Ok(length) = socket.recv(&mut buffer)
                && let [high, low, _, flags, ..] = buffer[..length]
                && open.remove(&u16::from_be_bytes([high, low])).is_some()
                && flags & 15 != 0
            {
                seen.errors.push(flags & 15);
            }
            if begun.elapsed() > AROUND + PATIENCE {
                seen.unanswered = open.len();
                break;
            }
        }
        if !is_after {
            linnetd.signal(libc::SIGSTOP);
            seen.under_way = open.len();
            thread::sleep(HALT);
            linnetd.signal(libc::SIGCONT);
        }
    }
    seen
}

#[test]
fn replies_that_came_during_a_halt_are_used_and_no_server_is_blamed_for_it() {
    isolated(
        "halted::replies_that_came_during_a_halt_are_used_and_no_server_is_blamed_for_it",
        || {
            let office = Office::bare(links());
            let servers = upstreams();
            let resolver = "[resolver]\ndnssec = \"off\"\nrecursion = \"never\"\n";
            office.configure("linnet.toml", resolver);
            let home = format!(
                "match = {{ name = \"home*\" }}\n[dns]\nupstreams = [\"192.0.2.53\", \"{SECOND}\"]\n"
            );
            office.configure("profiles/home.toml", &home);
            let linnetd = office.linnetd(LINNETD, &[]);
            until("linnetd answers", || {
                dig("+short +time=1 h0.pub.test").contains('.')
            });
            for server in &servers {
                server.set(Mode::Late(THINKING));
            }
            for _ in 0..HALTS {
                let seen = halt(&linnetd);
                tests::say(&format!("{seen:?}"));
                assert!(seen.under_way > 20, "{seen:?}");
                assert!(seen.errors.is_empty() && seen.unanswered == 0, "{seen:?}");
            }
            let status = json(&office, &["status"]);
            let counters = &status["counters"];
            assert_eq!(counters["timed_out"], 0, "{status}");
            for scope in status["scopes"].as_array().unwrap() {
                for upstream in scope["upstreams"].as_array().unwrap() {
                    assert!(upstream["failing"].is_null(), "{upstream}");
                }
            }
        },
    );
}
