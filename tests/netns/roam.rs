//! Is a laptop that leaves one network and comes to another answered by the other one, at once, and by nobody else?
//!
//! Network A is unbound at 192.0.2.53, network B is dnsmasq at 198.51.100.53; both know the same names, with other addresses.

use std::fs;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use tests::dnsmasq::Dnsmasq;
use tests::namespace::{isolated, shell};
use tests::office::{Office, carries, dig, unbound, until_answers};
use tests::oracle::query;
use tests::peer::{Peer, Tap, until};

use crate::LINNETD;

/// The first right answer after the new address; the middle one of all trips, because a test machine has other things to do.
const PROMISED: Duration = Duration::from_millis(150);
const TRIPS: usize = 5;
/// Names in the caches besides the one that is asked for at once.
const NAMES: usize = 40;
/// Between two questions of the client that waits for the new network.
const EAGER: Duration = Duration::from_millis(5);

/// A network: where its server is, and how its addresses begin.
struct Network {
    namespace: &'static str,
    server: &'static str,
    mine: &'static str,
    prefix: [u8; 3],
}

const A: Network = Network {
    namespace: "home",
    server: "192.0.2.53",
    mine: "192.0.2.2",
    prefix: [192, 0, 2],
};
const B: Network = Network {
    namespace: "cafe",
    server: "198.51.100.53",
    mine: "198.51.100.2",
    prefix: [198, 51, 100],
};

/// Raises the server of B, on an address of its own that no link carries yet.
fn cafe(office: &Office) -> Peer {
    let peer = Dnsmasq::new(
        "local-ttl=60 address=/example.test/198.51.100.80 address=/pub.test/198.51.100.82",
    )
    .start(office.dir(), "dnsmasq", Some("cafe"));
    until_answers(Some("cafe"), "127.0.0.1", "www.example.test");
    peer
}

fn ask(socket: &UdpSocket, id: usize, name: &str) {
    let id = u16::try_from(id % 0x1_0000).unwrap();
    socket.send(&query(id, name, 1)).unwrap();
}

fn client() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect("127.0.0.53:53").unwrap();
    socket.set_read_timeout(Some(EAGER)).unwrap();
    socket
}

/// Returns the one address in an answer.
fn address(answer: &[u8]) -> Option<[u8; 4]> {
    let found = answer
        .windows(14)
        .find(|window| window[..4] == [0, 1, 0, 1] && window[8..10] == [0, 4])?;
    found.last_chunk().copied()
}

/// Asks again and again until the network answers; returns how long that took. Fails on an address of another network.
fn first_right(here: &Network, since: Instant) -> Duration {
    let socket = client();
    let mut buffer = [0; 2048];
    let mut asked = 0;
    loop {
        ask(&socket, asked, "www.example.test");
        asked += 1;
        while let Ok(length) = socket.recv(&mut buffer) {
            if let Some(address) = address(&buffer[..length]) {
                assert_eq!(address[..3], here.prefix, "an answer of the other network");
                return since.elapsed();
            }
        }
        assert!(
            since.elapsed() < Duration::from_secs(10),
            "no answer in the new network: {}",
            dig("www.example.test")
        );
    }
}

/// Asks for all names, and sees that each answer is of this network.
fn all_of(here: &Network, names: &[String]) {
    for name in names {
        let answer = dig(&format!("+short {name}"));
        let prefix = here.prefix.map(|octet| octet.to_string()).join(".");
        assert!(answer.starts_with(&prefix), "{name}: {answer:?}");
    }
}

/// Travels to and fro; `leave` and `arrive` move the laptop, the address comes last.
fn travel(
    office: &Office,
    link: fn(&Network) -> &'static str,
    leave: fn(&Network),
    arrive: fn(&Network),
) {
    let names: Vec<String> = (0..NAMES).map(|at| format!("h{at}.pub.test")).collect();
    all_of(&A, &names);
    assert!(dig("+short www.example.test").starts_with("192.0.2."));
    let mut took = Vec::new();
    for (from, to) in [(&A, &B), (&B, &A)].iter().cycle().take(TRIPS) {
        leave(from);
        fs::write(office.path("resolv.conf"), "").unwrap();
        let nowhere = Instant::now();
        let answer = dig("www.example.test");
        assert!(
            answer.contains("EDE:") && nowhere.elapsed() < Duration::from_millis(4500),
            "there is no network: {answer}"
        );
        arrive(to);
        let link = link(to);
        until("the link carries", || carries(link));
        let tap = Tap::start(office.dir(), link);
        // What a DHCP client does, the address last but for the route that needs it.
        fs::write(
            office.path("resolv.conf"),
            format!("nameserver {}\n", to.server),
        )
        .unwrap();
        let since = Instant::now();
        shell(&format!(
            "ip addr add {}/24 dev {link} && ip route add default via {}",
            to.mine, to.server
        ));
        took.push(first_right(to, since));
        all_of(to, &names);
        // Whoever still has the old server in mind asks it by then; nothing tells that nobody has.
        thread::sleep(Duration::from_millis(500));
        let packets = tap.stop();
        let old: Vec<u8> = from
            .server
            .split('.')
            .map(|octet| octet.parse().unwrap())
            .collect();
        assert!(
            !packets.windows(4).any(|window| window == old),
            "{} is spoken to from the new network",
            from.server
        );
    }
    tests::say(&format!("first right answers after {took:.0?}"));
    took.sort();
    assert!(took[took.len() / 2] <= PROMISED, "{took:?}");
}

#[test]
fn one_link_goes_from_network_to_network() {
    isolated("roam::one_link_goes_from_network_to_network", || {
        let office = world();
        office.configure("linnet.toml", "");
        let _server = cafe(&office);
        let home = unbound(office.dir(), "home", A.server);
        fs::write(office.path("resolv.conf"), "nameserver 192.0.2.53\n").unwrap();
        let path = office.path("resolv.conf");
        let _linnetd = office.linnetd(LINNETD, &["--resolv-conf", &path]);
        travel(
            &office,
            |_| "wlan0",
            |from| {
                // The radio's other end moves, so that the link stays the same link.
                shell(&format!(
                    "ip addr flush dev wlan0 && ip -n {} link set p0 down && sleep 0.05",
                    from.namespace
                ));
            },
            |to| {
                let other = if to.namespace == A.namespace { &B } else { &A };
                shell(&format!(
                    "ip -n {0} link set p0 netns {1} && ip -n {1} link set p0 up && ip -n {1} addr add {2}/24 dev p0",
                    other.namespace, to.namespace, to.server
                ));
            },
        );
        drop(home);
    });
}

#[test]
fn one_link_goes_and_another_comes() {
    isolated("roam::one_link_goes_and_another_comes", || {
        let office = world();
        office.configure("linnet.toml", "");
        for (id, link, network) in [("cable", "wlan0", &A), ("radio", "cafe0", &B)] {
            office.configure(
                &format!("profiles/{id}.toml"),
                &format!(
                    "match = {{ name = \"{link}\" }}\n[dns]\nupstreams = [\"{}\"]\n",
                    network.server
                ),
            );
        }
        shell(
            "ip link add cafe0 type veth peer name p1 netns cafe && ip -n cafe link set p1 up && \
             ip -n cafe addr add 198.51.100.53/24 dev p1",
        );
        let _server = cafe(&office);
        let home = unbound(office.dir(), "home", A.server);
        let _linnetd = office.linnetd(LINNETD, &[]);
        let link = |network: &Network| {
            if network.namespace == A.namespace {
                "wlan0"
            } else {
                "cafe0"
            }
        };
        travel(
            &office,
            link,
            |from| {
                let link = if from.namespace == A.namespace {
                    "wlan0"
                } else {
                    "cafe0"
                };
                shell(&format!(
                    "ip addr flush dev {link} && ip link set {link} down"
                ));
            },
            |to| {
                let link = if to.namespace == A.namespace {
                    "wlan0"
                } else {
                    "cafe0"
                };
                shell(&format!("ip link set {link} up"));
            },
        );
        drop(home);
    });
}

/// Two networks, and the laptop's radio in the first.
fn world() -> Office {
    let dir = std::path::PathBuf::from("/run/story");
    fs::create_dir_all(&dir).unwrap();
    shell(
        "chmod 755 /run/story && for n in home cafe; do ip netns add $n && ip -n $n link set lo up; done && \
         ip link add wlan0 type veth peer name p0 netns home && ip -n home addr add 192.0.2.53/24 dev p0 && \
         ip -n home link set p0 up && ip addr add 192.0.2.2/24 dev wlan0 && ip link set wlan0 up && \
         ip route add default via 192.0.2.53",
    );
    until("wlan0 carries", || carries("wlan0"));
    Office::bare(dir)
}
