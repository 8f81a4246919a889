//! Is a tunnel up that a profile describes, does it stay, and is its other end found again? With the kernel's WireGuard on both sides.
//!
//! ```text
//! this machine ── home0 ── home: router, names ── office: 198.51.100.2, later .3
//!      └───────────── wg0 ═════════════════════════ wg0 10.9.0.1: names of corp.test
//! ```

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tests::dnsmasq::Dnsmasq;
use tests::machine::in_machine;
use tests::namespace::{isolated, shell};
use tests::office::{Office, dig};
use tests::peer::{Peer, until};
use tests::say;

use crate::{LINNET, LINNETD, json};

/// Everything is many times slower in the machine.
const SOON: u64 = 60;
/// A silent peer is looked for after 135 s, and found on the next try of the handshake.
const SILENCE: u64 = 200;

const HOME: &str = "match = { name = \"home*\" }\n[dns]\nupstreams = [\"192.0.2.53\"]\n";

struct World {
    office: Office,
    dir: PathBuf,
    names: Peer,
    _corp: Peer,
    key: String,
}

/// Waits for something that may take long.
fn within(seconds: u64, what: &str, check: impl Fn() -> bool) {
    let begun = Instant::now();
    while !check() {
        if begun.elapsed() > Duration::from_secs(seconds) {
            let state =
                "ip addr; ip rule; ip route show table all; wg show; cat /run/story/linnetd.log";
            panic!(
                "{what}: not within {seconds} s\n{}",
                shell(&format!("{state}; true"))
            );
        }
        thread::sleep(Duration::from_millis(200));
    }
    say(&format!("{what}: {:.1} s", begun.elapsed().as_secs_f64()));
}

fn does(line: &str) -> bool {
    shell(&format!("{line} >/dev/null 2>&1 && echo yes; true")).contains("yes")
}

fn dnsmasq(dir: &Path, namespace: &str, address: &str, records: &str) -> Peer {
    let hosts = dir.join(format!("{namespace}.hosts"));
    fs::write(&hosts, records).unwrap();
    Dnsmasq::new(&format!(
        "log-queries local-ttl=1 bind-dynamic local=/test/ listen-address={address} addn-hosts={}",
        hosts.display()
    ))
    .start(dir, &format!("{namespace}-names"), Some(namespace))
}

impl World {
    fn raise() -> Self {
        let dir = PathBuf::from("/run/story");
        fs::create_dir_all(&dir).unwrap();
        shell(
            "chmod 755 /run/story; cd /run/story && umask 077 && for k in here there; do wg genkey >$k.key && wg pubkey <$k.key >$k.pub; done && \
             wg genpsk >both.key && ip link set lo up && \
             ip netns add home && ip netns add office && ip -n home link set lo up && ip -n office link set lo up && \
             ip link add home0 type veth peer name p0 netns home && ip link add r0 netns home type veth peer name e0 netns office && \
             ip -n home addr add 192.0.2.53/24 dev p0 && ip -n home addr add 192.0.2.54/24 dev p0 && ip -n home link set p0 up && \
             ip -n home addr add 198.51.100.1/24 dev r0 && ip -n home link set r0 up && ip netns exec home sysctl -qw net.ipv4.ip_forward=1 && \
             ip -n office addr add 198.51.100.2/24 dev e0 && ip -n office link set e0 up && ip -n office route add default via 198.51.100.1 && \
             ip addr add 192.0.2.2/24 dev home0 && ip link set home0 up && ip route add default via 192.0.2.53 && \
             ip -n office link add wg0 type wireguard && \
             ip netns exec office wg set wg0 private-key there.key listen-port 51820 peer $(cat here.pub) preshared-key both.key allowed-ips 10.9.0.2/32 && \
             ip -n office addr add 10.9.0.1/24 dev wg0 && ip -n office link set wg0 up && ip -n office addr add 203.0.113.1/32 dev lo",
        );
        let names = dnsmasq(
            &dir,
            "home",
            "192.0.2.53",
            "198.51.100.2 vpn.example.test\n",
        );
        let corp = dnsmasq(
            &dir,
            "office",
            "10.9.0.1",
            "10.9.0.80 git.corp.test\n10.9.0.81 www.example.test\n",
        );
        let office = Office::bare(dir.clone());
        office.configure("linnet.toml", "");
        office.configure("profiles/home.toml", HOME);
        let key = fs::read_to_string(dir.join("there.pub")).unwrap();
        Self {
            office,
            names,
            _corp: corp,
            key: key.trim().to_owned(),
            dir,
        }
    }

    fn profile(&self, allowed: &str, more: &str) {
        let text = format!(
            "addresses = [\"10.9.0.2/32\"]\n[link]\nname = \"wg0\"\nkind = \"wireguard\"\nprivate-key-file = \"/run/story/here.key\"\n\
             [[peers]]\npublic-key = \"{}\"\npreshared-key-file = \"/run/story/both.key\"\nendpoint = \"vpn.example.test:51820\"\n\
             allowed = [{allowed}]\nkeepalive = \"5s\"\n{more}",
            self.key
        );
        self.office.configure("profiles/tunnel.toml", &text);
    }

    fn reload(&self) {
        let (code, text) = self.office.linnet(LINNET, &["config", "reload"]);
        assert_eq!(code, 0, "{text}");
    }

    /// What was asked at home; linnetd spells names at random.
    fn asked(&self) -> String {
        self.names.log().to_ascii_lowercase()
    }

    /// Has the office move to another address, and its name with it.
    fn move_office(&self, from: &str, to: &str) {
        shell(&format!(
            "ip -n office addr del {from}/24 dev e0 && ip -n office addr add {to}/24 dev e0 && ip -n office route replace default via 198.51.100.1"
        ));
        fs::write(
            self.dir.join("home.hosts"),
            format!("{to} vpn.example.test\n"),
        )
        .unwrap();
        self.names.signal(libc::SIGHUP);
        let line = format!("dig @192.0.2.53 +short vpn.example.test | grep -qx {to}");
        within(SOON, "the name leads there", || does(&line));
    }
}

fn passes() -> bool {
    does("busybox ping -q -c1 -W2 10.9.0.1")
}

fn index() -> String {
    shell("cat /sys/class/net/wg0/ifindex 2>/dev/null; true")
}

#[test]
fn a_tunnel_is_made_found_again_and_left_alone_as_its_profile_says() {
    const NAME: &str = "wireguard::a_tunnel_is_made_found_again_and_left_alone_as_its_profile_says";
    in_machine(NAME, &["wireguard", "veth"], || {
        let world = World::raise();
        let dns = "[dns]\nupstreams = [\"10.9.0.1\"]\nclaims = [\"corp.test\"]\n";
        world.profile("\"10.9.0.0/24\"", dns);
        let linnetd = key_that_others_may_read(&world);
        split_tunnel(&world);
        let linnetd = killed_and_back(&world, linnetd);
        networks_change(&world);
        peers_in_step(&world, dns);
        office_moves(&world);
        full_tunnel(&world);
        gone_with_its_profile(&world);
        drop(linnetd);
    });
}

fn key_that_others_may_read(world: &World) -> Peer {
    let key = world.dir.join("here.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let linnetd = world.office.linnetd(LINNETD, &[]);
    let notes = || json(&world.office, &["status"])["notes"].to_string();
    within(SOON, "the key is refused", || {
        notes().contains("open to everybody")
    });
    assert!(
        notes().contains("chmod o= /run/story/here.key"),
        "{}",
        notes()
    );
    assert_eq!(index(), "", "a tunnel without its key is not made");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    world.reload();
    within(SOON, "the tunnel passes packets", passes);
    assert!(!notes().contains("here.key"), "{}", notes());
    linnetd
}

fn split_tunnel(world: &World) {
    within(SOON, "names of the office resolve", || {
        dig("+short git.corp.test").contains("10.9.0.80")
    });
    let asked = world.asked();
    assert!(asked.contains("vpn.example.test"), "{asked}");
    assert!(
        !asked.contains("corp.test"),
        "a claimed name left by another link: {asked}"
    );
    let status = json(&world.office, &["status"]);
    let wg0 = status["links"]
        .as_array()
        .unwrap()
        .iter()
        .find(|link| link["name"] == "wg0");
    let peer = &wg0.unwrap()["peers"][0];
    assert_eq!(peer["endpoint"], "198.51.100.2:51820", "{status}");
    assert_eq!(peer["name"], "vpn.example.test", "{status}");
    let told = json(&world.office, &["explain", "vpn.example.test"]);
    let endpoint = told["endpoint"].as_str().unwrap_or_default();
    assert!(
        endpoint.contains("wg0") && endpoint.contains("home@home0"),
        "{told}"
    );
    let log = world.office.path("linnetd.log");
    let secret = fs::read_to_string(world.dir.join("here.key")).unwrap();
    for text in [status.to_string(), fs::read_to_string(log).unwrap()] {
        assert!(!text.contains(secret.trim()), "a key is shown");
    }
}

/// Nothing is cut when linnetd is killed and comes back, and nothing is said that is so already.
fn killed_and_back(world: &World, linnetd: Peer) -> Peer {
    let before = index();
    let monitor = Peer::start(
        &world.dir,
        "monitor",
        None,
        &["ip", "monitor", "link", "route", "rule", "address"],
    );
    let pings = Peer::start(
        &world.dir,
        "pings",
        None,
        &["busybox", "ping", "-i", "0.2", "-w", "30", "10.9.0.1"],
    );
    let handshake = || shell("wg show wg0 latest-handshakes");
    let agreed = handshake();
    linnetd.signal(libc::SIGKILL);
    let mut killed = linnetd;
    killed.wait();
    drop(killed);
    let linnetd = world.office.linnetd(LINNETD, &[]);
    let peer = || {
        let status = json(&world.office, &["status"]);
        let links = status["links"].as_array().cloned().unwrap_or_default();
        let wg0 = links.into_iter().find(|link| link["name"] == "wg0");
        wg0.map(|link| link["peers"][0]["state"].to_string())
            .unwrap_or_default()
    };
    within(SOON, "the tunnel is taken up again", || {
        peer().contains("is resolved")
    });
    let mut pings = pings;
    within(40, "thirty seconds of packets are through", || {
        pings_ended(&world.dir)
    });
    // its last lines are there before it is gone
    pings.wait();
    let text = fs::read_to_string(world.dir.join("pings.log")).unwrap();
    assert!(text.contains(" 0% packet loss"), "{text}");
    assert_eq!(index(), before, "it is the same link");
    let agreed_now = handshake();
    let time = |text: &str| {
        text.split_whitespace()
            .last()
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    assert!(time(&agreed_now) >= time(&agreed));
    let seen = monitor.log();
    assert!(
        !seen.contains("Deleted") && !seen.contains("wg0: <"),
        "{seen}"
    );
    linnetd
}

fn pings_ended(dir: &Path) -> bool {
    fs::read_to_string(dir.join("pings.log")).is_ok_and(|text| text.contains("packet loss"))
}

/// In another network the name is asked for at once.
fn networks_change(world: &World) {
    world.move_office("198.51.100.2", "198.51.100.3");
    shell("ip route replace default via 192.0.2.54");
    within(
        SOON,
        "in another network the office is found at once",
        passes,
    );
}

/// Peers of the profile come and go; one that somebody else has added stays.
fn peers_in_step(world: &World, dns: &str) {
    let before = index();
    let other = shell("wg genkey | wg pubkey");
    let by_hand = shell("wg genkey | wg pubkey");
    shell(&format!(
        "wg set wg0 peer {} allowed-ips 10.77.0.0/24",
        by_hand.trim()
    ));
    let more = format!(
        "[[peers]]\npublic-key = \"{}\"\nallowed = [\"10.78.0.0/24\"]\n",
        other.trim()
    );
    world.profile("\"10.9.0.0/24\"", &format!("{more}{dns}"));
    world.reload();
    let peers = || shell("wg show wg0 allowed-ips");
    within(SOON, "the new peer is there", || {
        peers().contains(other.trim())
    });
    within(SOON, "it has its route", || {
        does("ip route show 10.78.0.0/24 | grep wg0")
    });
    world.profile("\"10.9.0.0/24\"", dns);
    world.reload();
    within(SOON, "it is gone again", || !peers().contains(other.trim()));
    within(SOON, "with its route", || {
        shell("ip route show 10.78.0.0/24").is_empty()
    });
    assert!(peers().contains(by_hand.trim()), "{}", peers());
    assert_eq!(index(), before);
    within(SOON, "the others were left alone", passes);
}

/// Without any sign from the network, silence alone tells that the office has moved.
fn office_moves(world: &World) {
    world.move_office("198.51.100.3", "198.51.100.2");
    within(SILENCE, "the office is found again after silence", passes);
    assert!(!world.asked().contains("corp.test"), "{}", world.asked());
}

fn full_tunnel(world: &World) {
    let dns =
        "[dns]\nupstreams = [\"10.9.0.1\"]\nclaims = [\"corp.test\"]\ndefault = \"exclusive\"\n";
    world.profile("\"0.0.0.0/0\"", dns);
    // Only the tunnel leads there, and a strict reverse path filter must not see a stranger in the tunnel's own packets.
    shell("sysctl -qw net.ipv4.conf.all.rp_filter=1");
    world.reload();
    within(SOON, "everything takes the tunnel", || {
        does("busybox ping -q -c1 -W2 203.0.113.1")
    });
    within(SOON, "names too", || {
        dig("+short www.example.test").contains("10.9.0.81")
    });
    within(
        SOON,
        "who comes in by the old way is answered by it",
        || does("ip netns exec office busybox ping -q -c1 -W2 -I 198.51.100.2 192.0.2.2"),
    );
    // Made anew, it has to find its way without itself.
    let before = index();
    shell("ip link delete wg0");
    within(SOON, "it is made anew, and finds the office", || {
        index() != before && does("busybox ping -q -c1 -W2 203.0.113.1")
    });
}

fn gone_with_its_profile(world: &World) {
    fs::remove_file(world.office.dir().join("etc/profiles/tunnel.toml")).unwrap();
    world.reload();
    within(SOON, "the tunnel is gone with its profile", || {
        index().is_empty()
    });
    within(SOON, "and its rules", || {
        !shell("ip rule").contains("51820")
    });
    within(SOON, "and the ways back", || {
        !shell("ip rule").contains("192.0.2.2")
    });
    within(SOON, "the machine is in its network as before", || {
        does("busybox ping -q -c1 -W2 198.51.100.2")
    });
}

/// Where the kernel has no WireGuard the way of the keys can be seen all the same: to the kernel, which says no.
#[test]
fn keys_are_read_by_root_alone_and_what_is_wrong_with_them_is_told() {
    const NAME: &str = "wireguard::keys_are_read_by_root_alone_and_what_is_wrong_with_them_is_told";
    isolated(NAME, || {
        let office = Office::raise();
        office.configure_usual("");
        let key = office.dir().join("wg0.key");
        let profile = format!(
            "[link]\nname = \"wg0\"\nkind = \"wireguard\"\nprivate-key-file = \"{}\"\n",
            key.display()
        );
        office.configure("profiles/tunnel.toml", &profile);
        let linnetd = office.linnetd(LINNETD, &[]);
        let notes = || json(&office, &["status"])["notes"].to_string();
        let write = |text: &str, mode: u32| {
            fs::write(&key, text).unwrap();
            fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
            let (code, text) = office.linnet(LINNET, &["config", "reload"]);
            assert_eq!(code, 0, "{text}");
        };
        until("a missing key is told", || {
            notes().contains("wg0.key cannot be read")
        });
        write("hunter2\n", 0o600);
        until("what is no key is told", || {
            notes().contains("has no key") && notes().contains("wg genkey")
        });
        assert!(!notes().contains("hunter2"), "{}", notes());
        let secret = "rn0Q/v8ArM2bP17o/5NVl1d13GjF00Oq5a1fUqJdCkA=";
        write(secret, 0o644);
        until("a key that is open to everybody is told", || {
            notes().contains("open to everybody")
        });
        write(secret, 0o600);
        let is_made = || does("ip link show wg0");
        until("the key is taken", || {
            is_made() || notes().contains("Unknown device type")
        });
        let (_, plan) = office.linnet(LINNET, &["plan"]);
        for text in [linnetd.log(), notes(), plan] {
            assert!(!text.contains(&secret[..20]), "{text}");
        }
    });
}
