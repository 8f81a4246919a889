//! Does linnetd set links up, and leave alone what is not its own? With dnsmasq as other people's network, on real links.

mod adoption;
mod advertised;
mod bootp;
mod cables;
mod carrier;
mod conflicts;
mod delegation;
mod doubts;
mod former;
mod full;
mod goodbyes;
mod link_local;
mod macs;
mod mistakes;
mod networkd;
mod others;
mod places;
mod released;
mod reload;
mod routers;
mod sleep;
mod switches;
mod switchover;
mod told;
mod undone;
mod words;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::dnsmasq::Dnsmasq;
use tests::namespace::{isolated, shell};
use tests::office::{Office, dig};
use tests::peer::{Peer, until, until_within};

use crate::{LINNET, LINNETD, json};
use words::Words;

/// A profile of everybody's network, as a laptop has it.
const ANY_NETWORK: &str = "match = { name = \"net*\" }\ndhcp4 = true\nra = true\n";

/// Somebody's network: a namespace with a router that serves addresses and names.
struct Network {
    name: &'static str,
    link: &'static str,
    /// What every name in `.test` has for an address there.
    answer: &'static str,
    /// Its router's own address.
    v6: String,
    /// The router without leases.
    dnsmasq: Dnsmasq,
    router: Peer,
}

impl Network {
    /// Raises the cafe's network at the other end of a link.
    fn cafe(dir: &Path, link: &'static str) -> Self {
        Self::raise(dir, "cafe", link, "192.0.2", "2001:db8:a", "192.0.2.80")
    }

    /// Raises the cafe's network at the other end of `net0`, and that of work at `net1`.
    fn two(dir: &Path) -> (Self, Self) {
        let answer = "198.51.100.80";
        let work = Self::raise(dir, "work", "net1", "198.51.100", "2001:db8:b", answer);
        (Self::cafe(dir, "net0"), work)
    }

    /// Raises the network `name` at the other end of `link`, whose cable is not plugged in.
    fn raise(
        dir: &Path,
        name: &'static str,
        link: &'static str,
        v4: &str,
        v6: &str,
        answer: &'static str,
    ) -> Self {
        shell(&format!(
            "ip netns add {name} && ip -n {name} link set lo up && ip link add {link} type veth peer name r0 netns {name} && \
             ip -n {name} addr add {v4}.1/24 dev r0 && ip -n {name} addr add {v6}::1/64 dev r0 nodad && \
             ip netns exec {name} sysctl -qw net.ipv6.conf.all.forwarding=1 && ip -n {name} link set r0 up && ip -n {name} link set r0 down"
        ));
        let dnsmasq = Dnsmasq::new(&format!(
            "log-queries log-dhcp bind-dynamic interface=r0 enable-ra dhcp-range={v6}::,ra-stateless,64,600 \
             dhcp-option=option6:dns-server,[{v6}::1] address=/test/{answer}"
        ));
        let leases = format!(
            "no-ping dhcp-authoritative dhcp-leasefile={} dhcp-range={v4}.100,{v4}.150,255.255.255.0,600",
            dir.join(format!("{name}.leases")).display()
        );
        let router = dnsmasq.clone().with(&leases).start(dir, name, Some(name));
        Self {
            name,
            link,
            answer,
            v6: format!("{v6}::1/64"),
            dnsmasq,
            router,
        }
    }

    /// Has the router go on with everything but leases: nobody hears of DHCPv4 any more.
    fn without_leases(&mut self, dir: &Path) {
        self.router.signal(libc::SIGKILL);
        self.router.wait();
        self.router = self.dnsmasq.start(dir, "deaf", Some(self.name));
    }

    /// The kernel takes IPv6 addresses away with the link.
    fn plug(&self, how: &str) {
        shell(&format!(
            "ip -n {0} link set r0 {how} && {{ [ {how} = down ] || ip -n {0} addr replace {1} dev r0 nodad; }}",
            self.name, self.v6
        ));
    }

    /// Whether somebody asked here for this name.
    fn heard(&self, name: &str) -> bool {
        self.router.log().to_ascii_lowercase().contains(name)
    }
}

fn folder() -> PathBuf {
    let dir = PathBuf::from("/run/story");
    fs::create_dir_all(&dir).unwrap();
    shell("chmod 755 /run/story");
    dir
}

fn office(dir: PathBuf) -> Office {
    let office = Office::bare(dir);
    // These networks sign nothing, and have no way to the root.
    office.configure(
        "linnet.toml",
        "[resolver]\ndnssec = \"off\"\nrecursion = \"never\"\n",
    );
    office
}

/// Asks for names that nobody asked for, until one has this answer; returns how long that took.
fn until_answer(answer: &str, tag: &str) -> Duration {
    let begun = Instant::now();
    let mut turn = 0;
    until(&format!("names of {tag} are {answer}"), || {
        turn += 1;
        dig(&format!(
            "+short +time=1 +tries=1 @127.0.0.53 n{turn}.{tag}.test"
        ))
        .trim()
            == answer
    });
    begun.elapsed()
}

/// Where linnet says that a name goes which nobody claims: scope, link, and why.
fn explained(office: &Office) -> [String; 3] {
    let told = json(office, &["explain", "www.elsewhere.test"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    [
        text(&told["target"]["scope"]),
        text(&told["target"]["link"]),
        text(&told["because"]["text"]),
    ]
}

/// Where and why, as long as a network has the default route.
fn by_network_of(link: &str) -> [String; 3] {
    [
        format!("supplied@{link}"),
        link.to_owned(),
        format!("nobody claims it, and network of {link} has the default scope"),
    ]
}

/// Returns what `ip -j` prints.
fn ip(arguments: &str) -> Value {
    serde_json::from_str(&shell(&format!("ip -j {arguments}"))).unwrap()
}

fn addresses(link: &str) -> Vec<String> {
    let told = ip(&format!("addr show dev {link}"));
    let infos = told[0]["addr_info"].as_array().unwrap().clone();
    infos
        .iter()
        .filter(|info| info["scope"] == "global")
        .map(|info| info["local"].as_str().unwrap().to_owned())
        .collect()
}

fn default_link(family: &str) -> Option<String> {
    let routes = ip(&format!("{family} route show default"));
    let routes = routes.as_array()?;
    let best = routes
        .iter()
        .min_by_key(|route| route["metric"].as_u64().unwrap_or(0))?;
    best["dev"].as_str().map(str::to_owned)
}

fn link_status(office: &Office, name: &str) -> Value {
    let status = json(office, &["status"]);
    let links = status["links"]
        .as_array()
        .or_else(|| status["status"]["links"].as_array());
    let links = links.unwrap_or_else(|| panic!("{status}")).clone();
    links.into_iter().find(|link| link["name"] == name).unwrap()
}

#[test]
fn addresses_default_route_and_names_move_from_network_to_network() {
    isolated(
        "links::addresses_default_route_and_names_move_from_network_to_network",
        || {
            let dir = folder();
            let (mut cafe, work) = Network::two(&dir);
            let office = office(dir.clone());
            office.configure("profiles/any.toml", ANY_NETWORK);
            let _linnetd = office.linnetd(LINNETD, &[]);

            cafe.plug("up");
            let took = until_answer(cafe.answer, "cafe");
            tests::say(&format!(
                "the first answer in a network that nobody knows: {took:?}"
            ));
            until("both default routes are the cafe's", || {
                ["-4", "-6"]
                    .iter()
                    .all(|family| default_link(family).as_deref() == Some("net0"))
            });
            assert!(
                addresses("net0")
                    .iter()
                    .any(|address| address.starts_with("192.0.2."))
            );
            assert_eq!(explained(&office), by_network_of("net0"));

            cafe.plug("down");
            work.plug("up");
            until_answer(work.answer, "work");
            until("the default routes have moved", || {
                ["-4", "-6"]
                    .iter()
                    .all(|family| default_link(family).as_deref() == Some("net1"))
            });
            assert!(!cafe.heard(".work.test"), "the cafe heard of names of work");
            assert_eq!(explained(&office), by_network_of("net1"));

            // Nobody is there who would answer DHCP: the first answer needs none.
            cafe.without_leases(&dir);
            work.plug("down");
            cafe.plug("up");
            let took = until_answer(cafe.answer, "back");
            let supplies = link_status(&office, "net0")["supplies"].clone();
            let mut leases = supplies.as_array().unwrap().iter();
            assert!(
                leases.any(|it| it["supplier"] == "dhcp4" && it["unconfirmed"] == true),
                "{supplies}"
            );
            assert_eq!(explained(&office), by_network_of("net0"));
            tests::say(&format!(
                "the first answer in a network that was left: {took:?}"
            ));
            assert!(!work.heard(".back.test") && !work.heard(".cafe.test"));
            until("the default routes are back", || {
                ["-4", "-6"]
                    .iter()
                    .all(|family| default_link(family).as_deref() == Some("net0"))
            });
            assert_eq!(work.link, "net1");
        },
    );
}

#[test]
fn a_hundred_renewals_delete_no_address_and_cut_no_connection() {
    isolated(
        "links::a_hundred_renewals_delete_no_address_and_cut_no_connection",
        || {
            let dir = folder();
            let cafe = Network::cafe(&dir, "net0");
            let office = office(dir.clone());
            office.configure("profiles/any.toml", ANY_NETWORK);
            let _linnetd = office.linnetd(LINNETD, &[]);
            cafe.plug("up");
            until_answer(cafe.answer, "cafe");
            until("the lease is there for good", || {
                addresses("net0")
                    .iter()
                    .any(|address| address.starts_with("192.0.2."))
            });
            let echo = Peer::start(
                &dir,
                "echo",
                Some("cafe"),
                &["socat", "TCP-LISTEN:7,fork", "EXEC:cat"],
            );
            let mut talk = None;
            until("there is a connection", || {
                talk = std::net::TcpStream::connect("192.0.2.1:7").ok();
                talk.is_some()
            });
            let mut talk = talk.unwrap();
            let words = Words::from_now(&office, "monitor address");
            let acknowledged = || cafe.router.log().matches("DHCPACK").count();
            for _ in 0..100 {
                let before = acknowledged();
                let (code, text) = office.linnet(LINNET, &["renew", "net0"]);
                assert_eq!(code, 0, "{text}");
                until("the server has renewed it", || acknowledged() > before);
            }
            use std::io::{Read as _, Write as _};
            talk.write_all(b"still here").unwrap();
            let mut octets = [0; 10];
            talk.read_exact(&mut octets).unwrap();
            assert_eq!(&octets, b"still here");
            let told = words.so_far();
            assert!(
                !told.iter().any(|word| word.starts_with("Deleted")),
                "{told:#?}"
            );
            drop(echo);
        },
    );
}

#[test]
fn what_others_made_stays_whatever_happens_to_linnetd() {
    isolated(
        "links::what_others_made_stays_whatever_happens_to_linnetd",
        || {
            let dir = folder();
            let cafe = Network::cafe(&dir, "net0");
            shell(
                "ip link add other0 type veth peer name other1 && ip link set other0 up && ip link set other1 up && ip addr add 203.0.113.1/24 dev other0",
            );
            let by_hand = |place: u8| {
                shell(&format!(
                    "ip addr add 10.{place}.0.1/24 dev net0 && ip route add 10.{place}.1.0/24 dev other0 && \
                 ip route add 10.{place}.2.0/24 via 203.0.113.{place} proto bird && ip -6 route add 2001:db8:f{place}::/48 dev other0 && \
                 ip rule add from 10.{place}.0.0/16 lookup 10{place} priority 5{place} && ip route add default via 203.0.113.9 table 10{place}"
                ))
            };
            let whole = |place: u8| {
                let text = shell("ip addr; ip route show table all; ip -6 route; ip rule");
                for part in [
                    format!("10.{place}.0.1/24"),
                    format!("10.{place}.1.0/24 dev other0"),
                    format!("10.{place}.2.0/24 via 203.0.113.{place}"),
                    format!("2001:db8:f{place}::/48"),
                    format!("from 10.{place}.0.0/16 lookup 10{place}"),
                    format!("default via 203.0.113.9 dev other0 table 10{place}"),
                ] {
                    assert!(text.contains(&part), "{part} is gone: {text}");
                }
            };
            shell("ip link set net0 up");
            by_hand(1);
            let office = office(dir);
            office.configure("profiles/any.toml", ANY_NETWORK);
            let mut linnetd = office.linnetd(LINNETD, &[]);
            cafe.plug("up");
            until_answer(cafe.answer, "cafe");
            by_hand(2);
            let (code, text) = office.linnet(LINNET, &["config", "reload"]);
            assert_eq!(code, 0, "{text}");
            let lease = addresses("net0")
                .into_iter()
                .find(|address| address.starts_with("192.0.2."));
            linnetd.signal(libc::SIGKILL);
            linnetd.wait();
            let mut linnetd = office.linnetd(LINNETD, &[]);
            until_answer(cafe.answer, "again");
            let status = link_status(&office, "net0");
            assert_eq!(status["profile"], "any", "{status}");
            if let Some(lease) = lease {
                assert!(
                    addresses("net0").contains(&lease),
                    "the lease is kept over SIGKILL"
                );
            }
            whole(1);
            whole(2);
            // Down takes what is ours, and nothing else.
            let (code, text) = office.linnet(LINNET, &["down", "net0"]);
            assert_eq!(code, 0, "{text}");
            until("what is ours is gone", || {
                !addresses("net0")
                    .iter()
                    .any(|address| address.starts_with("192.0.2."))
            });
            let text = shell("ip addr; ip route; ip rule");
            assert!(
                text.contains("10.1.0.1/24") && text.contains("10.2.2.0/24 via 203.0.113.2"),
                "{text}"
            );
            linnetd.signal(libc::SIGTERM);
            linnetd.wait();
            let text = shell("ip addr; ip route; ip rule");
            assert!(
                text.contains("10.1.0.1/24") && text.contains("from 10.2.0.0/16"),
                "{text}"
            );
        },
    );
}

#[test]
fn a_link_without_a_profile_is_not_touched() {
    isolated("links::a_link_without_a_profile_is_not_touched", || {
        let dir = folder();
        let cafe = Network::cafe(&dir, "eth9");
        let office = office(dir.clone());
        office.configure("profiles/any.toml", ANY_NETWORK);
        // A profile of names alone says nothing of addresses.
        office.configure(
            "profiles/names.toml",
            "match = { name = \"eth9\" }\n[dns]\nupstreams = [\"192.0.2.1\"]\n",
        );
        let monitor = Peer::start(
            &dir,
            "monitor",
            None,
            &["ip", "monitor", "address", "link", "route", "rule"],
        );
        let _linnetd = office.linnetd(LINNETD, &[]);
        cafe.plug("up");
        // Longer than a first DHCPDISCOVER and a first solicitation may wait: nothing tells of what nobody sends.
        thread::sleep(Duration::from_secs(3));
        let log = monitor.log();
        assert!(!log.contains("inet ") && !log.contains("UP>"), "{log}");
        assert!(!cafe.heard("dhcpdiscover"));
        let (code, text) = office.linnet(LINNET, &["up", "eth9"]);
        assert_eq!(code, 0, "{text}");
        let (code, text) = office.linnet(LINNET, &["up", "lo"]);
        assert!(
            code != 0 && text.contains("no profile matches lo"),
            "{text}"
        );
    });
}

#[test]
fn what_stays_at_the_end_is_as_the_configuration_says() {
    isolated(
        "links::what_stays_at_the_end_is_as_the_configuration_says",
        || {
            let dir = folder();
            let cafe = Network::cafe(&dir, "net0");
            let office = office(dir);
            office.configure("profiles/any.toml", ANY_NETWORK);
            let accept_ra =
                || fs::read_to_string("/proc/sys/net/ipv6/conf/net0/accept_ra").unwrap();
            let has_lease = || {
                addresses("net0")
                    .iter()
                    .any(|address| address.starts_with("192.0.2."))
            };
            let before = (
                accept_ra(),
                shell("ip route; ip rule; ip -br addr show net0"),
            );
            for (stop, leaves, given_back) in [
                ("release", true, false),
                ("detach", true, true),
                ("clean", false, true),
            ] {
                office.configure(
                "linnet.toml",
                &format!("[resolver]\ndnssec = \"off\"\nrecursion = \"never\"\n[links]\nstop = \"{stop}\"\n"),
            );
                let mut linnetd = office.linnetd(LINNETD, &[]);
                cafe.plug("up");
                until_answer(cafe.answer, stop);
                until("there is a lease", has_lease);
                assert_eq!(accept_ra().trim(), "0");
                linnetd.signal(libc::SIGTERM);
                linnetd.wait();
                assert_eq!(has_lease(), leaves, "{stop}");
                assert_eq!(default_link("-4").is_some(), leaves, "{stop}");
                assert_eq!(accept_ra() == before.0, given_back, "{stop}");
            }
            cafe.plug("down");
            until("everything is as it was", || {
                shell("ip route; ip rule; ip -br addr show net0") == before.1
            });
        },
    );
}

#[test]
fn links_are_made_by_profile_and_removed_when_nobody_wants_them() {
    isolated(
        "links::links_are_made_by_profile_and_removed_when_nobody_wants_them",
        || {
            let office = office(folder());
            // Somebody else has the number of the network that a profile wants.
            shell(
                "ip link add port0 type veth peer name port1 && ip link add other0 type veth peer name other1 && \
                 ip link add theirs type vxlan id 42 dstport 4789",
            );
            office.configure(
                "profiles/overlay.toml",
                "[link]\nname = \"vx0\"\nkind = \"vxlan\"\nid = 42\ndestination-port = 4789\n",
            );
            office.configure(
            "profiles/bridge.toml",
            "match = { name = \"br7\" }\naddresses = [\"10.7.0.1/24\"]\n[link]\nkind = \"bridge\"\nstp = true\n[[ports]]\nname = \"port0\"\n",
        );
            office.configure(
                "profiles/pair.toml",
                "match = { name = \"pair0\" }\n[link]\nkind = \"veth\"\npeer = \"pair1\"\n",
            );
            office.configure(
                "profiles/tunnel.toml",
                "match = { name = \"wg7\" }\n[link]\nkind = \"wireguard\"\nprivate-key = \"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\"\n",
            );
            let (code, text) = office.linnet(LINNET, &["config", "check", &office.path("etc")]);
            assert_eq!(code, 0, "{text}");
            let mut linnetd = office.linnetd(LINNETD, &[]);
            let links = || shell("ip -d link");
            until("the bridge is there, with its port", || {
                let text = links();
                text.contains("br7:")
                    && text.contains("pair0@pair1")
                    && text.contains("stp_state 1")
                    && text.contains("master br7")
            });
            until("the bridge has its address", || {
                shell("ip -4 addr").contains("10.7.0.1/24")
            });
            // A kernel may be without WireGuard; then the kernel's own word is passed on.
            let (_, status) = office.linnet(LINNET, &["status"]);
            let is_told = status.contains("wg7 cannot be made as its profile wants it: ");
            assert!(is_told || links().contains("wg7:"), "{status}");
            assert!(status.contains("vx0 cannot be made"), "{status}");
            // Somebody removes it: it is made again. Another daemon knows what is its own.
            shell("ip link del br7 && ip link del theirs");
            until("what was kept away is made", || links().contains("vx0:"));
            until("it is there again", || links().contains("br7:"));
            linnetd.signal(libc::SIGKILL);
            linnetd.wait();
            let linnetd = office.linnetd(LINNETD, &[]);
            fs::remove_file(office.dir().join("etc/profiles/pair.toml")).unwrap();
            fs::remove_file(office.dir().join("etc/profiles/bridge.toml")).unwrap();
            let (code, text) = office.linnet(LINNET, &["config", "reload"]);
            assert_eq!(code, 0, "{text}");
            until("what was made is gone", || {
                let text = links();
                !text.contains("br7") && !text.contains("pair0")
            });
            let text = links();
            assert!(text.contains("port0") && text.contains("other0"), "{text}");
            drop(linnetd);
        },
    );
}
