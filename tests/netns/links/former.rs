//! Does a host survive the change to linnet? Real managers set up a link, are stopped as for a switch-over, and linnetd takes over what
//! they have left: connections live on, the addresses are the same, one of everything is there in the end, and the way back is open.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::dnsmasq::Dnsmasq;
use tests::namespace::{isolated, shell};
use tests::office::Office;
use tests::peer::{Peer, until, until_within};

use super::{LINNET, LINNETD, folder, ip, link_status, office};

/// Another manager of links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Former {
    Networkd,
    NetworkManager,
    Dhclient,
    Dhcpcd,
    Udhcpc,
    Initramfs,
}

pub(super) const NETWORKD: &str = "[Match]\nName=net0\n[Network]\nDHCP=yes\nIPv6AcceptRA=yes\n";
const NETWORK_MANAGER: &str = "[main]\nplugins=keyfile\nno-auto-default=*\ndns=none\nrc-manager=unmanaged\ndhcp=internal\n[connectivity]\nenabled=false\n";
const CONNECTION: &str = "[connection]\nid=net0\nuuid=3f4c0f3b-9a0e-4a5f-8f5e-6c0fd1c3a001\ntype=ethernet\ninterface-name=net0\n\
                          [ipv4]\nmethod=auto\ndad-timeout=0\n[ipv6]\nmethod=auto\n";
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>"#;
/// What udhcpc runs, as Debian's does.
const SCRIPT: &str = "#!/bin/sh
case $1 in
deconfig) ip -4 addr flush dev $interface; ip link set $interface up ;;
bound|renew)
    ip -4 addr replace $ip/$mask broadcast $broadcast dev $interface
    ip -4 route replace default via $router dev $interface ;;
esac
";
const SWITCHES: [&str; 3] = ["accept_ra", "addr_gen_mode", "use_tempaddr"];

impl Former {
    fn prepare(self, dir: &Path) -> Option<Peer> {
        match self {
            Self::Networkd => {
                shell(
                    "mkdir -p /run/systemd/network /run/systemd/netif/links /run/systemd/netif/leases && chown -R systemd-network:systemd-network /run/systemd/netif",
                );
                fs::write("/run/systemd/network/10.network", NETWORKD).unwrap();
                None
            }
            Self::NetworkManager => {
                shell("mkdir -p /run/dbus /etc/NetworkManager/system-connections");
                fs::write("/run/dbus/conf", BUS).unwrap();
                fs::write("/etc/NetworkManager/NetworkManager.conf", NETWORK_MANAGER).unwrap();
                let profile = "/etc/NetworkManager/system-connections/net0.nmconnection";
                fs::write(profile, CONNECTION).unwrap();
                shell(&format!("chmod 600 {profile}"));
                let bus = ["dbus-daemon", "--nofork", "--config-file=/run/dbus/conf"];
                let bus = Peer::start(dir, "bus", None, &bus);
                until("there is a bus", || {
                    Path::new("/run/dbus/system_bus_socket").exists()
                });
                Some(bus)
            }
            Self::Udhcpc => {
                let script = dir.join("udhcpc");
                fs::write(&script, SCRIPT).unwrap();
                shell(&format!(
                    "chmod 755 {}; ip link set net0 up",
                    script.display()
                ));
                None
            }
            Self::Dhclient | Self::Dhcpcd | Self::Initramfs => {
                shell("ip link set net0 up");
                None
            }
        }
    }

    fn start(self, dir: &Path) -> Vec<Peer> {
        let start = |name: &str, command: &[&str]| Peer::start(dir, name, None, command);
        match self {
            Self::Networkd => vec![start("networkd", &["/lib/systemd/systemd-networkd"])],
            Self::NetworkManager => vec![start("nm", &["NetworkManager", "-n", "--debug"])],
            Self::Dhclient => {
                let client = |family: &str, name: &str| {
                    let leases = format!("/var/lib/dhcp/{name}.net0.leases");
                    let pid = format!("/run/{name}.pid");
                    let command = [
                        "dhclient", family, "-d", "-pf", &pid, "-lf", &leases, "net0",
                    ];
                    start(name, &command)
                };
                let first = client("-4", "dhclient");
                // It asks from its link-local address, which the kernel tries first.
                until("there is a link-local address", || {
                    has_address("scope link")
                });
                vec![first, client("-6", "dhclient6")]
            }
            Self::Dhcpcd => vec![start("dhcpcd", &["dhcpcd", "-B", "--noarp", "net0"])],
            Self::Udhcpc => {
                let script = dir.join("udhcpc").display().to_string();
                let command = ["busybox", "udhcpc", "-f", "-i", "net0", "-s", &script];
                vec![start("udhcpc", &command)]
            }
            Self::Initramfs => vec![start(
                "ipconfig",
                &[
                    "/usr/lib/klibc/bin/ipconfig",
                    "-t",
                    "10",
                    "-c",
                    "dhcp",
                    "-d",
                    "net0",
                ],
            )],
        }
    }

    /// Ends it as somebody does who changes to linnet.
    fn stop(self, running: Vec<Peer>) {
        for mut peer in running {
            match self {
                // With SIGTERM it takes along what it has from servers.
                Self::Networkd => peer.signal(libc::SIGKILL),
                Self::NetworkManager | Self::Dhclient | Self::Udhcpc => {
                    peer.signal(libc::SIGTERM);
                }
                // A signal that comes while a hook of its runs is lost on it.
                Self::Dhcpcd => {
                    let mut told = None;
                    until_within(Duration::from_secs(20), "dhcpcd ends", || {
                        if told.is_none_or(|at: Instant| at.elapsed() > Duration::from_secs(2)) {
                            peer.signal(libc::SIGTERM);
                            told = Some(Instant::now());
                        }
                        peer.has_ended()
                    });
                }
                Self::Initramfs => {}
            }
            peer.wait();
        }
    }
}

pub(super) fn has_address(which: &str) -> bool {
    let told = shell(&format!("ip -6 addr show dev net0 {which}"));
    told.contains("inet6") && !told.contains("tentative")
}

/// Every address of `net0`, with its length.
pub(super) fn there() -> BTreeSet<String> {
    let told = ip("addr show dev net0");
    let infos = told[0]["addr_info"].as_array().unwrap().clone();
    let told = infos.iter().map(|info| {
        format!(
            "{}/{}",
            info["local"].as_str().unwrap_or_default(),
            info["prefixlen"]
        )
    });
    told.collect()
}

pub(super) fn defaults(family: &str) -> usize {
    let told = shell(&format!("ip {family} route show default"));
    told.lines()
        .filter(|line| line.starts_with("default"))
        .count()
}

fn switches() -> Vec<String> {
    let read = |switch| {
        let path = format!("/proc/sys/net/ipv6/conf/net0/{switch}");
        fs::read_to_string(path).unwrap()
    };
    SWITCHES.into_iter().map(read).collect()
}

pub(super) fn network(dir: &Path) -> Vec<Peer> {
    shell(
        "for d in /var/lib/NetworkManager /var/lib/dhcp /var/lib/dhcpcd /etc/NetworkManager; do mount -t tmpfs -o mode=755 tmpfs $d; done
         ip netns add far && ip link add net0 address 02:00:00:00:00:10 type veth peer name far0 netns far && ip -n far link set lo up && ip -n far link set far0 up
         ip -n far addr add 192.0.2.1/24 dev far0; ip -n far addr add 2001:db8:a::1/64 dev far0 nodad
         ip netns exec far sysctl -qw net.ipv6.conf.all.forwarding=1",
    );
    let dnsmasq = Dnsmasq::leasing(
        "far0",
        "192.0.2.100,192.0.2.150,1h",
        &dir.join("leases"),
        "port=0 bind-dynamic log-dhcp dhcp-range=2001:db8:a::1000,2001:db8:a::1fff,slaac,64,1h enable-ra ra-param=far0,10,1800",
    );
    let listen = |name, listen| {
        let command = ["socat", listen, "EXEC:cat"];
        Peer::start(dir, name, Some("far"), &command)
    };
    vec![
        dnsmasq.start(dir, "dnsmasq", Some("far")),
        listen("echo4", "TCP4-LISTEN:7,fork,reuseaddr"),
        listen("echo6", "TCP6-LISTEN:7,fork,reuseaddr,ipv6only=1"),
    ]
}

pub(super) fn connect(to: &str) -> TcpStream {
    let mut talk = None;
    until("there is a connection", || {
        talk = TcpStream::connect(to).ok();
        talk.is_some()
    });
    let talk = talk.unwrap();
    talk.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    talk
}

pub(super) fn talk(stream: &mut TcpStream) {
    stream.write_all(b"still here").unwrap();
    let mut octets = [0; 10];
    stream.read_exact(&mut octets).unwrap();
    assert_eq!(&octets, b"still here");
}

/// Addresses of the plan: of two leases and a prefix.
const ADDRESSES: usize = 3;

/// Whether every address of the plan is there, and how.
pub(super) fn addresses_are(status: &Value, good: &[&str]) -> bool {
    let items = status["items"].as_array().cloned().unwrap_or_default();
    let is_address = |item: &&Value| {
        item["item"]
            .as_str()
            .is_some_and(|it| it.starts_with("address "))
    };
    let addresses: Vec<&Value> = items.iter().filter(is_address).collect();
    let is_good = |item: &&Value| good.contains(&item["state"].as_str().unwrap_or_default());
    addresses.len() == ADDRESSES && addresses.iter().all(is_good)
}

/// Waits until linnetd has leases and router, and what they supply is on the link; returns what it says.
fn taken_over(office: &Office) -> Value {
    let mut status = Value::Null;
    until("linnetd has taken over", || {
        status = link_status(office, "net0");
        let supplies = status["supplies"].as_array().cloned().unwrap_or_default();
        let has = |supplier: &str| {
            supplies.iter().any(|supply| {
                supply["supplier"] == supplier
                    && supply["addresses"]
                        .as_array()
                        .is_some_and(|it| !it.is_empty())
            })
        };
        ["dhcp4", "dhcp6", "ra"].into_iter().all(has)
            && addresses_are(&status, &["ours", "adopted"])
    });
    status
}

fn switch_over(name: &str, manager: Former) {
    isolated(&format!("links::former::{name}"), || {
        let dir = folder();
        let network = network(&dir);
        let _bus = manager.prepare(&dir);
        let running = manager.start(&dir);
        let leased6 = |address: &String| address.starts_with("2001:") && address.ends_with("/128");
        let wants6 = !matches!(manager, Former::Initramfs | Former::Udhcpc);
        // dhcpcd waits for a while before it asks.
        until_within(Duration::from_secs(20), "the link is set up", || {
            let there = there();
            there.iter().any(|address| address.starts_with("192.0.2."))
                && (!wants6 || there.iter().any(leased6))
                && has_address("scope global")
                && there
                    .iter()
                    .any(|address| address.starts_with("2001:") && address.ends_with("/64"))
                && [defaults("-4"), defaults("-6")] == [1, 1]
        });
        let mut talks = [connect("192.0.2.1:7"), connect("[2001:db8:a::1]:7")];
        manager.stop(running);
        let before = there();
        let switches_before = switches();

        let office = office(dir.clone());
        office.configure(
            "profiles/any.toml",
            "match = { name = \"net0\" }\ndhcp4 = true\ndhcp6 = true\nra = true\n",
        );
        let monitor = ["ip", "-o", "monitor", "address", "route"];
        let monitor = Peer::start(&dir, "monitor", None, &monitor);
        let _linnetd = office.linnetd(LINNETD, &[]);
        let status = taken_over(&office);
        talks.iter_mut().for_each(talk);
        let log = monitor.log();
        let mut gone = log.lines().filter(|line| line.starts_with("Deleted"));
        let is_lost = |line: &str| line.contains(" inet") || line.contains("default");
        assert!(!gone.any(is_lost), "{manager:?}: {log}");
        let after = there();
        match manager {
            // They know no DHCPv6.
            Former::Initramfs | Former::Udhcpc => {
                assert!(after.is_superset(&before), "{before:?} {after:?}");
            }
            Former::Networkd | Former::NetworkManager | Former::Dhclient | Former::Dhcpcd => {
                assert_eq!(before, after, "{manager:?}: {status}");
            }
        }

        let (code, text) = office.linnet(LINNET, &["adopt", "net0"]);
        assert_eq!(code, 0, "{text}");
        until(
            "there is one default route of each family, of linnet",
            || {
                let ours =
                    shell("ip route show default proto 112; ip -6 route show default proto 112");
                ours.lines().count() == 2
                    && [defaults("-4"), defaults("-6")] == [1, 1]
                    && addresses_are(&link_status(&office, "net0"), &["ours"])
            },
        );
        talks.iter_mut().for_each(talk);
        assert_eq!(there(), after, "{manager:?}");

        let (code, text) = office.linnet(LINNET, &["release", "net0"]);
        assert_eq!(code, 0, "{text}");
        until("the kernel has back what it had", || {
            switches() == switches_before
        });
        talks.iter_mut().for_each(talk);
        let asked = network[0].log().matches("DHCPACK").count();
        let running = manager.start(&dir);
        let address = |there: BTreeSet<String>| {
            let mut v4 = there.into_iter().filter(|it| it.starts_with("192.0.2."));
            v4.next()
        };
        until_within(
            Duration::from_secs(20),
            "the other manager has it again",
            || {
                network[0].log().matches("DHCPACK").count() > asked
                    && address(there()) == address(before.clone())
            },
        );
        talk(&mut connect("192.0.2.1:7"));
        drop(running);
    });
}

#[test]
fn a_host_of_networkd() {
    switch_over("a_host_of_networkd", Former::Networkd);
}

#[test]
fn a_host_of_network_manager() {
    switch_over("a_host_of_network_manager", Former::NetworkManager);
}

#[test]
fn a_host_of_dhclient() {
    switch_over("a_host_of_dhclient", Former::Dhclient);
}

#[test]
fn a_host_of_dhcpcd() {
    switch_over("a_host_of_dhcpcd", Former::Dhcpcd);
}

#[test]
fn a_host_of_udhcpc() {
    switch_over("a_host_of_udhcpc", Former::Udhcpc);
}

#[test]
fn a_host_that_an_initramfs_set_up() {
    switch_over("a_host_that_an_initramfs_set_up", Former::Initramfs);
}
