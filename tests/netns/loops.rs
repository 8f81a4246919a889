//! What becomes of a question when an upstream forwards to linnet? dnsmasq, unbound and knot-resolver, on this host and on the router.
//!
//! Nobody can answer such a question. It must not multiply, its client must hear why in time, and all others be answered at once.

use std::fs;
use std::time::{Duration, Instant};

use tests::namespace::{isolated, shell};
use tests::office::{HOME, OFFICE, Office, dig, knot, links, until_answers};
use tests::peer::{Peer, Tap, occurrences};

use crate::{LINNET, LINNETD, json};

/// When questions must have ended, whether they go round or not, and whether or not it is known yet who forwards to us. What is asked for their
/// validation goes round too.
const AT_ONCE: Duration = Duration::from_millis(500);
/// When the first must have that goes round by a listener. What linnet asks as it starts may come back before that is open; dnsmasq then
/// sends none of it again, so that nothing comes back before linnet asks by stream, after 0.8 s.
const FIRST: Duration = Duration::from_millis(1500);
/// The most packets with the name of a question that goes round: some tries of the forwarder, there and back.
const PACKETS: usize = 64;

/// The most questions that come of one that goes round.
const COPIES: u64 = 30;

/// A server that forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forwarder {
    /// dnsmasq, which keeps what it is asked as it is.
    Dnsmasq,
    /// unbound, which does so.
    Unbound,
    /// unbound, which spells names at random (0x20).
    UnboundSpells,
    /// knot-resolver, which always does.
    Kresd,
}

/// Where it stands, and where it finds linnet.
#[derive(Debug, Clone, Copy)]
struct Place {
    namespace: Option<&'static str>,
    address: &'static str,
    port: u16,
    linnet: &'static str,
}

/// On this host, with linnet's own stub.
const HERE: Place = Place {
    namespace: None,
    address: "127.0.0.9",
    port: 5353,
    linnet: "127.0.0.53",
};
/// On the router, with a listener of linnet's.
const ROUTER: Place = Place {
    namespace: Some("home"),
    address: "192.0.2.53",
    port: 53,
    linnet: "192.0.2.2",
};

impl Forwarder {
    /// Starts it; it answers `own.test` itself.
    fn start(self, office: &Office, place: Place) -> Peer {
        let Place {
            namespace,
            address,
            port,
            linnet,
        } = place;
        let dir = office.dir().display();
        let file = office.path("forwarder.conf");
        let path = file.as_str();
        let (config, command): (String, Vec<&str>) = match self {
            Self::Dnsmasq => (
                format!(
                    "port={port}\nlisten-address={address}\nbind-interfaces\nno-resolv\nno-hosts\nserver={linnet}\n\
                     address=/own.test/192.0.2.90\nuser=root\ngroup=root\n"
                ),
                vec![
                    "dnsmasq",
                    "--keep-in-foreground",
                    "--log-facility=-",
                    "-C",
                    path,
                ],
            ),
            Self::Unbound | Self::UnboundSpells => (
                format!(
                    "server:\n  interface: {address}@{port}\n  do-daemonize: no\n  username: \"\"\n  chroot: \"\"\n  directory: \"{dir}\"\n  \
                     pidfile: \"\"\n  use-syslog: no\n  logfile: \"\"\n  access-control: 0.0.0.0/0 allow\n  module-config: \"iterator\"\n  \
                     do-not-query-localhost: no\n  use-caps-for-id: {}\n  local-zone: \"test.\" nodefault\n  \
                     local-data: \"own.test. 60 A 192.0.2.90\"\nforward-zone:\n  name: \".\"\n  forward-addr: {linnet}@53\n\
                     remote-control:\n  control-enable: no\n",
                    if self == Self::Unbound { "no" } else { "yes" }
                ),
                vec!["unbound", "-d", "-c", path],
            ),
            Self::Kresd => (
                format!(
                    "net.listen('{address}', {port}, {{ kind = 'dns' }})\ntrust_anchors.remove('.')\n\
                     policy.add(policy.suffix(policy.ANSWER({{ [kres.type.A] = {{ rdata=kres.str2ip('192.0.2.90'), ttl=60 }} }}), \
                     policy.todnames({{'own.test'}})))\npolicy.add(policy.all(policy.FORWARD('{linnet}')))\n"
                ),
                vec!["kresd", "-n", "-c", path],
            ),
        };
        fs::write(&file, config).unwrap();
        let home = office.path("kresd");
        fs::create_dir_all(&home).unwrap();
        let mut command = command;
        if self == Self::Kresd {
            command.push(&home);
        }
        let peer = Peer::start(office.dir(), "forwarder", namespace, &command);
        let at = format!("{address} -p {port}");
        until_answers(namespace, &at, "own.test");
        peer
    }
}

/// What came of one question.
#[derive(Debug)]
struct Seen {
    took: Duration,
    answer: String,
    packets: usize,
}

impl Seen {
    /// Asks, and counts the packets on a link that have the name.
    fn of(office: &Office, link: &str, name: &str, how: &str) -> Self {
        let tap = Tap::start(office.dir(), link);
        let begun = Instant::now();
        let answer = dig(&format!("{how} {name}"));
        let took = begun.elapsed();
        let packets = occurrences(&tap.stop(), name);
        tests::say(&format!(
            "{name} {how} on {link}: {took:?}, {packets} packets"
        ));
        Self {
            took,
            answer,
            packets,
        }
    }
}

/// What must hold of every forwarder: with names that it may spell as it likes, by UDP and TCP, with EDNS and without.
fn goes_round(forwarder: Forwarder, place: Place) {
    let office = Office::bare(links());
    let upstream = format!("\"{}:{}\"", place.address, place.port);
    let listener =
        "[[listeners]]\naddress = \"192.0.2.2\"\nallow = [\"192.0.2.0/24\"]\nclient-rate = 10000\n";
    let (main, link) = match place.namespace {
        // Of no link: on this host.
        None => (format!("upstreams = [{upstream}]\n"), "lo"),
        Some(_) => {
            let home = HOME.replace("\"192.0.2.53\"", &upstream);
            office.configure("profiles/home.toml", &home);
            (listener.to_owned(), "home0")
        }
    };
    // Who resolves from the root down does without them: nothing of it here, where there is no root.
    let main = format!("[resolver]\nrecursion = \"never\"\n{main}");
    office.configure("linnet.toml", &main);
    office.configure("profiles/office.toml", OFFICE);
    let _knot = knot(office.dir(), "vpn", "10.8.0.1");
    let _forwarder = forwarder.start(&office, place);
    let linnetd = office.linnetd(LINNETD, &[]);
    let cpu = cpu_ms(linnetd.pid());
    let mut limit = match place.namespace {
        None => AT_ONCE,
        Some(_) => FIRST,
    };
    for (at, how) in ["", "+noedns", "+tcp", "+dnssec", "+cd"]
        .into_iter()
        .enumerate()
    {
        // Few letters, and many.
        for name in [
            format!("n{at}.io"),
            format!("a-long-name-{at}.of.some.example.net"),
        ] {
            let seen = Seen::of(&office, link, &name, how);
            assert!(seen.answer.contains("SERVFAIL"), "{forwarder:?}: {seen:?}");
            let is_told = seen.answer.contains("sends our own questions back to us");
            assert!(how == "+noedns" || is_told, "{forwarder:?}: {seen:?}");
            assert!(seen.took < limit, "{forwarder:?}: {seen:?}");
            limit = AT_ONCE;
            assert!(seen.packets <= PACKETS, "{forwarder:?}: {seen:?}");
            for (name, address) in [("own.test", "192.0.2.90"), ("git.corp.test", "10.8.0.80")] {
                let begun = Instant::now();
                let answer = dig(&format!("+short {name}"));
                let took = begun.elapsed();
                let why = || office.linnet(LINNET, &["explain", name]).1;
                assert!(answer.contains(address), "{forwarder:?}: {name}: {}", why());
                assert!(took < AT_ONCE, "{forwarder:?}: {name} {took:?}");
            }
        }
    }
    // A crowd of them is no more than its questions.
    let many: String = (0..200)
        .map(|at| format!("many{at}.example.org A\n"))
        .collect();
    let file = office.path("many");
    fs::write(&file, many).unwrap();
    let counted = |name: &str| {
        json(&office, &["status"])["counters"][name]
            .as_u64()
            .unwrap()
    };
    let (before, begun) = (counted("queries"), Instant::now());
    shell(&format!(
        "for part in 1 2 3 4; do dig -b 127.0.0.$part @127.0.0.53 +time=5 +tries=1 +short -f {file} & done; wait"
    ));
    let (took, heard) = (begun.elapsed(), counted("queries") - before);
    let spent = cpu_ms(linnetd.pid()) - cpu;
    tests::say(&format!(
        "{forwarder:?} {link}: 800 questions in {took:?}, {heard} heard, {spent} ms of linnetd"
    ));
    assert!(heard <= 800 * COPIES, "{forwarder:?}: {heard}");
    let enough = match forwarder {
        Forwarder::Kresd => 1,
        Forwarder::Dnsmasq | Forwarder::Unbound | Forwarder::UnboundSpells => 10,
    };
    assert!(counted("looped") >= enough, "{forwarder:?}");
}

/// The time of processors that a process has had.
pub(crate) fn cpu_ms(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // Ticks are hundredths of a second.
    10 * (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap())
}

#[test]
fn questions_that_dnsmasq_sends_back_end_at_once() {
    isolated(
        "loops::questions_that_dnsmasq_sends_back_end_at_once",
        || {
            goes_round(Forwarder::Dnsmasq, HERE);
        },
    );
}

#[test]
fn questions_that_dnsmasq_on_the_router_sends_to_a_listener_end_at_once() {
    isolated(
        "loops::questions_that_dnsmasq_on_the_router_sends_to_a_listener_end_at_once",
        || goes_round(Forwarder::Dnsmasq, ROUTER),
    );
}

#[test]
fn questions_that_unbound_sends_back_end_at_once() {
    isolated(
        "loops::questions_that_unbound_sends_back_end_at_once",
        || {
            goes_round(Forwarder::Unbound, HERE);
        },
    );
}

#[test]
fn questions_that_unbound_on_the_router_spells_otherwise_end_soon() {
    isolated(
        "loops::questions_that_unbound_on_the_router_spells_otherwise_end_soon",
        || goes_round(Forwarder::UnboundSpells, ROUTER),
    );
}

#[test]
fn questions_that_knot_resolver_spells_otherwise_end_soon() {
    isolated(
        "loops::questions_that_knot_resolver_spells_otherwise_end_soon",
        || {
            goes_round(Forwarder::Kresd, HERE);
        },
    );
}
