//! Does each packet leave by the router that takes it? Two providers on one link, each of which drops what comes from the other's
//! prefix (RFC 8028, BCP 38); and what a router says of hop limit and times.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tests::namespace::{isolated, shell};
use tests::peer::{Peer, until};
use tests::radvd;

use super::{LINNET, LINNETD, addresses, folder, office};

/// A place that both providers lead to.
const FAR: &str = "2001:db8:ee::1";

fn provider(dir: &Path, name: &str, number: u8, prefix: &str, says: &str) -> Peer {
    shell(&format!(
        "ip netns add {name} && ip -n {name} link add r0 type veth peer name {name} netns lan && ip -n lan link set {name} master br0 up && \
         ip -n {name} link set lo up && ip netns exec {name} sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.conf.r0.addr_gen_mode=1 && \
         ip -n {name} link set r0 up && ip -n {name} addr add fe80::{number}/64 dev r0 nodad && ip -n {name} addr add {prefix}1/64 dev r0 nodad && \
         ip -n {name} addr add {FAR}/128 dev lo && \
         ip netns exec {name} nft 'add table ip6 f; add chain ip6 f in {{ type filter hook input priority 0; }}; \
         add rule ip6 f in ip6 daddr {FAR} ip6 saddr != {prefix}/64 counter drop'"
    ));
    let says = format!("{says} prefix {prefix}/64 {{ AdvOnLink on; AdvAutonomous on; }};");
    radvd::advertise(dir, name, name, "r0", &says)
}

/// Whether a connection that begins with this address gets through: nobody listens there, and says so.
fn gets_through(from: Option<&str>) -> bool {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
    if let Some(from) = from {
        let from: Ipv6Addr = from.parse().unwrap();
        if socket
            .bind(&SocketAddr::new(from.into(), 0).into())
            .is_err()
        {
            return false;
        }
    }
    let to = SocketAddr::new(FAR.parse().unwrap(), 9);
    let tried = socket.connect_timeout(&to.into(), Duration::from_millis(700));
    matches!(tried, Err(error) if error.kind() == ErrorKind::ConnectionRefused)
}

fn own(prefix: &str) -> Option<String> {
    let mut all = addresses("net0").into_iter();
    all.find(|address| address.starts_with(prefix))
}

fn number(path: &str) -> u32 {
    let text = fs::read_to_string(format!("/proc/sys/net/ipv6/{path}")).unwrap();
    text.trim().parse().unwrap()
}

fn numbers() -> [u32; 3] {
    [
        number("conf/net0/hop_limit"),
        number("neigh/net0/base_reachable_time_ms"),
        number("neigh/net0/retrans_time_ms"),
    ]
}

#[test]
fn of_two_providers_each_gets_what_comes_from_its_prefix() {
    isolated(
        "links::routers::of_two_providers_each_gets_what_comes_from_its_prefix",
        || {
            let dir = folder();
            shell(
                "ip netns add lan && ip -n lan link add br0 type bridge forward_delay 0 mcast_snooping 0 && ip -n lan link set br0 up && \
                 ip link add net0 type veth peer name c1 netns lan && ip -n lan link set c1 master br0 up && \
                 sysctl -qw net.ipv6.conf.net0.accept_dad=0",
            );
            let says = "AdvDefaultPreference high; AdvCurHopLimit 48; AdvReachableTime 40000; AdvRetransTimer 2000;";
            let _one = provider(&dir, "r1", 1, "2001:db8:a::", says);
            let _two = provider(&dir, "r2", 2, "2001:db8:b::", "AdvCurHopLimit 0;");
            let before = numbers();
            let office = office(dir);
            office.configure(
                "profiles/any.toml",
                "match = { name = \"net0\" }\nra = true\n",
            );
            let mut linnetd = office.linnetd(LINNETD, &[]);
            until("both prefixes have an address", || {
                own("2001:db8:a:").is_some() && own("2001:db8:b:").is_some()
            });
            let (one, two) = (own("2001:db8:a:").unwrap(), own("2001:db8:b:").unwrap());
            until("the second provider gets what is its own", || {
                gets_through(Some(&two))
            });
            until("the first provider gets what is its own", || {
                gets_through(Some(&one))
            });
            for _ in 0..3 {
                assert!(gets_through(None), "{}", shell("ip -6 route; ip -6 rule"));
            }
            let rules = shell("ip -6 rule");
            assert!(rules.contains("from 2001:db8:b::/64"), "{rules}");
            // Neighbours of the other prefix are reached on the link itself.
            let near = shell(&format!("ip -6 route get 2001:db8:a::77 from {two}"));
            assert!(!near.contains("via"), "{near}");

            assert_eq!(numbers(), [48, 40_000, 2000]);
            let (code, text) = office.linnet(LINNET, &["plan"]);
            assert!(code == 0 && text.contains("hop_limit"), "{text}");
            office.configure(
                "profiles/any.toml",
                "match = { name = \"net0\" }\nra = true\n[take]\ntimers = false\n",
            );
            let (code, text) = office.linnet(LINNET, &["config", "reload"]);
            assert_eq!(code, 0, "{text}");
            until("what was there before is there again", || {
                numbers() == before
            });
            assert!(gets_through(Some(&two)));

            // Nothing of it is left behind.
            let (code, text) = office.linnet(LINNET, &["down", "net0"]);
            assert_eq!(code, 0, "{text}");
            until("the rules are gone", || {
                !shell("ip -6 rule").contains("2001:db8")
            });
            linnetd.signal(libc::SIGTERM);
            linnetd.wait();
        },
    );
}
