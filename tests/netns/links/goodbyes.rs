//! Does whoever takes a link down tell servers first? dnsmasq gives addresses of both families, and says which it gets back.

use super::*;

/// So often that a race would show.
const ROUNDS: usize = 10;
const PROFILE: &str = "match = { name = \"net0\" }\ndhcp4 = true\nra = true\ndhcp6 = true\n";
/// Whether the server tells its hardware address.
const ARP: &str = "ip netns exec isp sysctl -qw net.ipv4.conf.r0.arp_ignore";

#[test]
fn both_leases_are_given_back_before_the_link_goes_down() {
    isolated(
        "links::goodbyes::both_leases_are_given_back_before_the_link_goes_down",
        || {
            let dir = folder();
            // Nobody waits for duplicates of link-local addresses.
            shell(
                "ip netns add isp && ip -n isp link set lo up && ip link add net0 type veth peer name r0 netns isp && \
                 sysctl -qw net.ipv6.conf.net0.accept_dad=0 && ip netns exec isp sysctl -qw net.ipv6.conf.r0.accept_dad=0 && \
                 sysctl -qw net.ipv4.neigh.net0.retrans_time_ms=20 net.ipv4.neigh.net0.mcast_solicit=100 && \
                 ip -n isp addr add 192.0.2.1/24 dev r0 && ip -n isp addr add 2001:db8:a::1/64 dev r0 && ip -n isp link set r0 up",
            );
            let server = Dnsmasq::leasing(
                "r0",
                "192.0.2.100,192.0.2.150,1h",
                &dir.join("leases"),
                "port=0 log-dhcp bind-dynamic enable-ra dhcp-range=2001:db8:a::1:0,2001:db8:a::1:ffff,64,1h",
            )
            .start(&dir, "server", Some("isp"));
            let office = office(dir);
            office.configure("profiles/net.toml", PROFILE);
            let _linnetd = office.linnetd(LINNETD, &[]);
            let has = |begins: &str| addresses("net0").iter().any(|it| it.starts_with(begins));
            let given_back = |begins: &str| {
                let log = server.log();
                let lines = log.lines().filter(|line| line.contains("DHCPRELEASE"));
                lines.filter(|line| line.contains(begins)).count()
            };
            for round in 1..=ROUNDS {
                let before = [" 192.0.2.", " 00:04:"].map(|begins| (begins, given_back(begins)));
                until("both leases are there", || {
                    has("192.0.2.") && has("2001:db8:a::1:")
                });
                // The kernel has to ask for the server's hardware address, which the server does not tell at first.
                shell(&format!("{ARP}=8 && ip neigh flush dev net0"));
                let (code, text) = office.linnet(LINNET, &["down", "net0"]);
                assert_eq!(code, 0, "{text}");
                shell(&format!("{ARP}=0"));
                until("the link is down", || {
                    !shell("ip link show dev net0").contains(",UP")
                });
                // By DHCPv6 it says who gives back, and not what.
                for (begins, before) in before {
                    until(&format!("{begins} is given back, round {round}"), || {
                        given_back(begins) > before
                    });
                }
                let (code, text) = office.linnet(LINNET, &["up", "net0"]);
                assert_eq!(code, 0, "{text}");
            }
        },
    );
}

#[test]
fn a_lease_that_could_not_be_given_back_is_told() {
    isolated(
        "links::goodbyes::a_lease_that_could_not_be_given_back_is_told",
        || {
            let dir = folder();
            shell(
                "ip netns add isp && ip -n isp link set lo up && ip link add net0 type veth peer name r0 netns isp && \
                 ip -n isp addr add 192.0.2.1/24 dev r0 && ip -n isp link set r0 up",
            );
            let _server = Dnsmasq::leasing(
                "r0",
                "192.0.2.100,192.0.2.150,1h",
                &dir.join("leases"),
                "port=0 bind-dynamic",
            )
            .start(&dir, "server", Some("isp"));
            let office = office(dir);
            office.configure(
                "profiles/net.toml",
                "match = { name = \"net0\" }\ndhcp4 = true\n",
            );
            let linnetd = office.linnetd(LINNETD, &[]);
            until("the lease is there", || {
                addresses("net0")
                    .iter()
                    .any(|it| it.starts_with("192.0.2."))
            });
            // Nobody learns the server's hardware address any more.
            shell(&format!("{ARP}=8 && ip neigh flush dev net0"));
            let (code, text) = office.linnet(LINNET, &["down", "net0"]);
            assert_eq!(code, 0, "{text}");
            until("that is told", || {
                let log = linnetd.log();
                let mut lines = log.lines();
                lines.any(|line| {
                    line.contains("INFO") && line.contains("a lease may not have been given back")
                })
            });
        },
    );
}
