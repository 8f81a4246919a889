//! Is what others have set up already taken over as it is? Addresses and routes as initramfs, dhclient, systemd-networkd and
//! NetworkManager leave them: a start of linnetd changes nothing of what is right, and cuts nothing that has to be renewed.

use std::fs;
use std::path::Path;

use tests::dnsmasq::Dnsmasq;
use tests::namespace::{isolated, shell};
use tests::peer::{Peer, until};
use tests::radvd;

use super::words::{NOTHING, Words};
use super::{LINNET, LINNETD, addresses, folder, ip, link_status, office};

/// What somebody has left on `net0`, and the profile that says the same.
struct Left {
    by: &'static str,
    commands: &'static str,
    profile: &'static str,
}

const FIXED: &str =
    "match = { name = \"net0\" }\naddresses = [\"192.0.2.10/24\", \"2001:db8::10/64\"]\n";

const LEFT: [Left; 4] = [
    Left {
        // The kernel's own autoconfiguration (`ip=192.0.2.10::192.0.2.1:255.255.255.0::net0:off`).
        by: "the kernel, for initramfs",
        commands: "ip addr add 192.0.2.10/24 broadcast 192.0.2.255 dev net0; ip addr add 2001:db8::10/64 dev net0; \
                   ip route add default via 192.0.2.1 dev net0 proto boot",
        profile: "metric = 0\n[[routes]]\nto = \"0.0.0.0/0\"\nvia = \"192.0.2.1\"\nmetric = 0\n",
    },
    Left {
        by: "ifupdown with dhclient before it",
        commands: "ip addr add 192.0.2.10/24 brd + dev net0 label net0; ip addr add 2001:db8::10/64 dev net0; \
                   ip route add default via 192.0.2.1 dev net0 onlink metric 100",
        profile: "[[routes]]\nto = \"0.0.0.0/0\"\nvia = \"192.0.2.1\"\nmetric = 100\n",
    },
    Left {
        by: "systemd-networkd",
        commands: "ip addr add 192.0.2.10/24 brd 192.0.2.255 dev net0; ip addr add 2001:db8::10/64 dev net0; \
                   ip route add default via 192.0.2.1 dev net0 proto static metric 100; \
                   ip route add 10.1.0.0/16 via 192.0.2.1 dev net0 proto static metric 100",
        profile: "[[routes]]\nto = \"0.0.0.0/0\"\nvia = \"192.0.2.1\"\nmetric = 100\n\
                  [[routes]]\nto = \"10.1.0.0/16\"\nvia = \"192.0.2.1\"\nmetric = 100\n",
    },
    Left {
        by: "NetworkManager",
        commands: "ip addr add 192.0.2.10/24 brd 192.0.2.255 dev net0 noprefixroute; ip addr add 2001:db8::10/64 dev net0 noprefixroute; \
                   ip route add 192.0.2.0/24 dev net0 proto kernel scope link src 192.0.2.10 metric 100; \
                   ip -6 route add 2001:db8::/64 dev net0 proto kernel metric 100; \
                   ip route add default via 192.0.2.1 dev net0 proto static metric 100",
        profile: "[[routes]]\nto = \"0.0.0.0/0\"\nvia = \"192.0.2.1\"\nmetric = 100\n",
    },
];

fn links() {
    shell(
        "ip netns add far; ip link add net0 address 02:00:00:00:00:10 type veth peer name far0 netns far && \
         sysctl -qw net.ipv6.conf.net0.accept_dad=0 net.ipv6.conf.net0.accept_ra=0 && ip link set net0 up && ip -n far link set far0 up && \
         ip -n far addr add 192.0.2.1/24 dev far0",
    );
}

#[test]
fn what_is_right_already_is_left_as_it_is() {
    isolated(
        "links::adoption::what_is_right_already_is_left_as_it_is",
        || {
            let dir = folder();
            links();
            let office = office(dir.clone());
            for Left {
                by,
                commands,
                profile,
            } in &LEFT
            {
                shell(&format!(
                    "ip addr flush dev net0 scope global; ip route flush dev net0; {commands}"
                ));
                let kernel = || shell("ip addr show net0; ip route; ip -6 route; ip rule");
                let before = kernel();
                office.configure("profiles/server.toml", &format!("{FIXED}{profile}"));
                let words = Words::from_now(&office, "monitor link address route rule");
                let mut linnetd = office.linnetd(LINNETD, &[]);
                assert_eq!(words.when_all_is_written(), NOTHING, "left by {by}");
                let told = link_status(&office, "net0").to_string();
                assert!(told.contains("adopted"), "{by}: {told}");
                linnetd.signal(libc::SIGTERM);
                linnetd.wait();
                assert_eq!(kernel(), before, "left by {by}");
                fs::remove_dir_all(office.dir().join("state")).unwrap();
            }
        },
    );
}

fn dnsmasq(dir: &Path) -> Peer {
    Dnsmasq::leasing(
        "far0",
        "192.0.2.100,192.0.2.110,1h",
        &dir.join("leases"),
        "port=0 bind-dynamic log-dhcp dhcp-host=02:00:00:00:00:10,192.0.2.105",
    )
    .start(dir, "dnsmasq", Some("far"))
}

#[test]
fn a_lease_of_another_client_is_renewed_in_place() {
    isolated(
        "links::adoption::a_lease_of_another_client_is_renewed_in_place",
        || {
            let dir = folder();
            links();
            let _dnsmasq = dnsmasq(&dir);
            let office = office(dir.clone());
            office.configure(
                "profiles/any.toml",
                "match = { name = \"net0\" }\ndhcp4 = true\n",
            );
            // For ever, as initramfs leaves it; for a time, as dhclient, networkd and NetworkManager do.
            for (by, lifetime) in [
                ("initramfs", ""),
                ("dhclient", "valid_lft 900 preferred_lft 900"),
            ] {
                shell(&format!(
                    "ip addr flush dev net0 scope global; ip addr add 192.0.2.105/24 brd + dev net0 {lifetime}; ip route add default via 192.0.2.1"
                ));
                let echo = Peer::start(
                    &dir,
                    "echo",
                    Some("far"),
                    &["socat", "TCP-LISTEN:7,fork,reuseaddr", "EXEC:cat"],
                );
                let mut talk = None;
                until("there is a connection", || {
                    talk = std::net::TcpStream::connect("192.0.2.1:7").ok();
                    talk.is_some()
                });
                let monitor = Peer::start(&dir, "monitor", None, &["ip", "monitor", "address"]);
                let mut linnetd = office.linnetd(LINNETD, &[]);
                until("the address lasts as long as the lease", || {
                    let told = ip("addr show dev net0");
                    let infos = told[0]["addr_info"].as_array().unwrap().clone();
                    infos.iter().any(|info| {
                        info["local"] == "192.0.2.105"
                            && info["valid_life_time"]
                                .as_u64()
                                .is_some_and(|valid| (3500..=3600).contains(&valid))
                    })
                });
                use std::io::{Read as _, Write as _};
                let mut talk = talk.unwrap();
                talk.write_all(b"still here").unwrap();
                let mut octets = [0; 10];
                talk.read_exact(&mut octets).unwrap();
                assert_eq!(addresses("net0"), ["192.0.2.105"], "{by}");
                let log = monitor.log();
                assert!(!log.contains("Deleted"), "{by}: {log}");
                linnetd.signal(libc::SIGKILL);
                linnetd.wait();
                fs::remove_dir_all(office.dir().join("state")).unwrap();
                drop(echo);
            }
        },
    );
}

#[test]
fn a_network_has_a_route_when_the_link_was_down_while_nobody_looked_and_the_old_one_stays_else() {
    isolated(
        "links::adoption::a_network_has_a_route_when_the_link_was_down_while_nobody_looked_and_the_old_one_stays_else",
        || {
            let dir = folder();
            links();
            let _dnsmasq = dnsmasq(&dir);
            // As NetworkManager and dhcpcd leave it: with a route of their own for its network.
            shell(
                "ip addr add 192.0.2.105/24 brd + dev net0 noprefixroute valid_lft 900 preferred_lft 900 && \
                 ip route add 192.0.2.0/24 dev net0 proto kernel scope link src 192.0.2.105 metric 100",
            );
            let office = office(dir.clone());
            office.configure(
                "profiles/any.toml",
                "match = { name = \"net0\" }\ndhcp4 = true\n",
            );
            let is_ours = || {
                let told = link_status(&office, "net0");
                let items = told["items"].as_array().cloned().unwrap_or_default();
                items.iter().any(|item| {
                    item["item"]
                        .as_str()
                        .is_some_and(|it| it.starts_with("address 192.0.2.105"))
                        && item["state"] == "ours"
                })
            };
            let route = || shell("ip route show 192.0.2.0/24 dev net0");
            let mut linnetd = office.linnetd(LINNETD, &[]);
            until("the address is taken over", is_ours);
            linnetd.signal(libc::SIGKILL);
            linnetd.wait();
            let monitor = Peer::start(
                &dir,
                "monitor",
                None,
                &["ip", "monitor", "address", "route"],
            );
            let mut linnetd = office.linnetd(LINNETD, &[]);
            until("the address is known again", is_ours);
            assert!(!monitor.log().contains("Deleted"), "{}", monitor.log());
            linnetd.signal(libc::SIGKILL);
            linnetd.wait();
            // With the link goes the route, and nobody says so; the address stays.
            shell("ip link set net0 down && ip link set net0 up");
            assert_eq!(route(), "");
            assert_eq!(addresses("net0"), ["192.0.2.105"]);
            let _linnetd = office.linnetd(LINNETD, &[]);
            until("the network has a route", || {
                route().contains("src 192.0.2.105")
            });
            until("the address is ours", is_ours);
        },
    );
}

/// Routers of one network that recommend themselves alike, each by its own address.
fn routers(dir: &Path) -> Vec<Peer> {
    shell("ip netns exec far sysctl -qw net.ipv6.conf.all.forwarding=1");
    let start = |number: u32| {
        shell(&format!(
            "ip -n far addr add fe80::{number}/64 dev far0 nodad"
        ));
        let says = format!("MaxRtrAdvInterval 4; AdvRASrcAddress {{ fe80::{number}; }};");
        radvd::advertise(dir, &format!("radvd{number}"), "far", "far0", &says)
    };
    (1..=3).map(start).collect()
}

#[test]
fn default_routes_by_all_routers_that_the_kernel_listened_to_are_taken_by_one_command() {
    isolated(
        "links::adoption::default_routes_by_all_routers_that_the_kernel_listened_to_are_taken_by_one_command",
        || {
            let dir = folder();
            links();
            shell("sysctl -qw net.ipv6.conf.net0.accept_ra=2");
            let routers = routers(&dir);
            let defaults = || shell("ip -6 route show default");
            until("the kernel has a route by each", || {
                defaults().matches("proto ra").count() == 3
            });
            drop(routers);
            let office = office(dir.clone());
            let route = "[[routes]]\nto = \"::/0\"\nvia = \"2001:db8::1\"\nmetric = 100\n";
            office.configure("profiles/server.toml", &format!("{FIXED}{route}"));
            let _linnetd = office.linnetd(LINNETD, &[]);
            until("linnet has one too", || defaults().contains("proto 112"));
            let monitor = Peer::start(&dir, "monitor", None, &["ip", "-6", "monitor", "route"]);
            let (code, text) = office.linnet(LINNET, &["adopt", "net0"]);
            assert_eq!(code, 0, "{text}");
            // The profile's addresses, and its route.
            assert!(text.contains(": 2 addresses and 1 route "), "{text}");
            assert!(!text.contains('!'), "{text}");
            until("there is no other", || defaults().lines().count() == 1);
            assert!(defaults().contains("metric 100"), "{}", defaults());
            let log = monitor.log();
            let is_ours = |line: &str| line.contains("default") && line.contains("metric 100");
            assert!(!log.lines().any(is_ours), "{log}");
        },
    );
}

#[test]
fn a_default_route_and_a_rule_of_others_are_told_with_the_names_of_their_makers() {
    isolated(
        "links::adoption::a_default_route_and_a_rule_of_others_are_told_with_the_names_of_their_makers",
        || {
            let dir = folder();
            links();
            shell(
                "ip addr add 192.0.2.9/24 dev net0 && ip route add default via 192.0.2.1 metric 100 proto bird && \
                 ip rule add from 192.0.2.0/24 lookup 254 priority 900 protocol bird && \
                 ip -6 rule add from 2001:db8::/64 lookup 254 priority 900",
            );
            let office = office(dir.clone());
            let more = "[[routes]]\nto = \"0.0.0.0/0\"\nvia = \"192.0.2.1\"\nmetric = 100\n\
                [[rules]]\npriority = 900\nfrom = \"192.0.2.0/24\"\ntable = 254\n\
                [[rules]]\npriority = 900\nfrom = \"2001:db8::/64\"\ntable = 254\n";
            office.configure("profiles/server.toml", &format!("{FIXED}{more}"));
            let _linnetd = office.linnetd(LINNETD, &[]);
            let status = || office.linnet(LINNET, &["status"]).1;
            until("the route waits for its place", || {
                status().contains("metric 100 table 254 foreign")
            });
            let told = status();
            for line in [
                "    ! route 0.0.0.0/0 metric 100 table 254 foreign: a routing program (protocol bird) has a default route with this metric by net0",
                "  rule 900 of IPv4 adopted: somebody else (protocol bird) has made it: ip -4 rule show priority 900",
                "  rule 900 of IPv6 adopted: somebody else has made it: ip -6 rule show priority 900",
            ] {
                assert!(told.lines().any(|it| it == line), "{line}: {told}");
            }
            // The command that is told shows it, and no other.
            let shown = shell("ip -4 rule show priority 900");
            assert_eq!(shown.lines().count(), 1, "{shown}");
            assert!(shown.contains("proto bird"), "{shown}");
            let (code, text) = office.linnet(LINNET, &["adopt", "net0"]);
            assert_eq!(code, 0, "{text}");
            // What is adopted is what the profile says; the address beside it is nobody's business.
            assert!(text.contains(": 2 addresses and 0 routes "), "{text}");
            shell(
                "ip rule del priority 900 protocol bird; ip -6 rule del priority 900; ip route del default proto bird",
            );
            until("everything is linnet's", || !status().contains("900"));
            let families = ["-4", "-6"].map(|it| shell(&format!("ip {it} rule show priority 900")));
            let is_ours = |shown: &String| shown.contains("proto 112");
            assert!(families.iter().all(is_ours), "{families:?}");
        },
    );
}
