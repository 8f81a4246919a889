//! Do links behind this host get their parts of a delegated prefix, and keep connections when the provider changes it? With kea.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tests::namespace::{isolated, shell};
use tests::office::carries;
use tests::peer::{Peer, until};
use tests::radvd;

use super::words::Words;
use super::{LINNET, LINNETD, folder, ip, office};
use crate::json;

/// The provider's end, and two links behind us. That to the provider is as other managers leave it: the kernel makes no link-local
/// address.
const LINKS: &str = "\
ip netns add isp && ip -n isp link set lo up && ip link add wan0 type veth peer name r0 netns isp && \
ip netns exec isp sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.conf.r0.addr_gen_mode=1 && \
sysctl -qw net.ipv6.conf.wan0.addr_gen_mode=1 && ip link set wan0 up && ip -n isp link set r0 up && ip -n isp addr add fe80::1/64 dev r0 nodad && ip -n isp addr add 2001:db8:1::1/64 dev r0 nodad && \
for lan in lan0 lan1; do ip netns add $lan && ip -n $lan link set lo up && ip link add $lan type veth peer name h0 netns $lan && \
ip -n $lan link set h0 up && sysctl -qw net.ipv6.conf.$lan.accept_dad=0; done";

/// What kernels have that forward IPv6 link by link.
const BY_LINK: &str = "/proc/sys/net/ipv6/conf/lan0/force_forwarding";

/// kea with a pool of one prefix.
fn kea(dir: &Path, name: &str, pool: &str) -> Peer {
    let conf = dir.join(format!("{name}.json"));
    let text = format!(
        r#"{{"Dhcp6": {{"interfaces-config": {{"interfaces": ["r0"]}}, "lease-database": {{"type": "memfile", "persist": false}},
           "server-id": {{"type": "EN", "enterprise-id": 32473, "identifier": "010203", "persist": false}},
           "preferred-lifetime": 3000, "valid-lifetime": 4000,
           "subnet6": [{{"subnet": "2001:db8:1::/64", "interface": "r0",
             "pd-pools": [{{"prefix": "{pool}", "prefix-len": 56, "delegated-len": 56}}]}}],
           "loggers": [{{"name": "kea-dhcp6", "severity": "INFO", "output_options": [{{"output": "stdout"}}]}}]}}}}"#
    );
    fs::write(&conf, text).unwrap();
    let command = format!(
        "KEA_PIDFILE_DIR={0} KEA_LOCKFILE_DIR={0} exec kea-dhcp6 -c {1}",
        dir.display(),
        conf.display()
    );
    let peer = Peer::start(dir, name, Some("isp"), &["sh", "-c", &command]);
    until("kea serves", || peer.log().contains("DHCP6_STARTED"));
    peer
}

/// The address of a link that begins so.
fn address(link: &str, begins: &str) -> Option<Value> {
    let told = ip(&format!("-6 addr show dev {link}"));
    let infos = told[0]["addr_info"].as_array()?.clone();
    infos.into_iter().find(|info| {
        info["local"]
            .as_str()
            .unwrap_or_default()
            .starts_with(begins)
    })
}

fn seconds(address: &Value, which: &str) -> u64 {
    address[which].as_u64().unwrap()
}

/// What comes of a connection to a place: without a route back nobody answers in time.
fn connect(to: &str) -> ErrorKind {
    let at = format!("[{to}]:9").parse().unwrap();
    let tried = TcpStream::connect_timeout(&at, Duration::from_millis(700));
    tried.map_or_else(|error| error.kind(), |_| panic!("nobody listens there"))
}

#[test]
fn two_links_get_their_parts_and_a_new_prefix_deprecates_the_old_one() {
    isolated(
        "links::delegation::two_links_get_their_parts_and_a_new_prefix_deprecates_the_old_one",
        || {
            let dir = folder();
            shell(LINKS);
            until("the provider's link carries", || carries("wan0"));
            let _radvd = radvd::advertise(&dir, "radvd", "isp", "r0", "");
            let first = kea(&dir, "kea1", "2001:db8:a00:aa00::");
            let office = office(dir.clone());
            office.configure(
                "profiles/wan.toml",
                "match = { name = \"wan0\" }\ndhcp6 = true\nra = true\n[dhcp]\nwhen = \"always\"\nstateful = false\ndelegate = 56\n",
            );
            for (lan, subnet) in [("lan0", "subnet = 1\n"), ("lan1", "")] {
                office.configure(
                    &format!("profiles/{lan}.toml"),
                    &format!("match = {{ name = \"{lan}\" }}\nforwarding = true\n[delegated]\nfrom = \"wan\"\n{subnet}"),
                );
            }
            let mut linnetd = office.linnetd(LINNETD, &[]);
            until("both links have their part", || {
                address("lan0", "2001:db8:a00:aa01:").is_some()
                    && address("lan1", "2001:db8:a00:aa").is_some()
            });
            let old0 = address("lan0", "2001:db8:a00:aa01:").unwrap();
            let old1 = address("lan1", "2001:db8:a00:aa").unwrap();
            assert_eq!(
                (&old0["local"], &old0["prefixlen"]),
                (&"2001:db8:a00:aa01::1".into(), &64.into())
            );
            assert_ne!(old0["local"], old1["local"], "a part belongs to one link");
            until("the default route is there", || {
                shell("ip -6 route show default").contains("via fe80::1")
            });
            // What nobody has does not go back to the provider.
            let rest = shell("ip -6 route show type unreachable");
            assert!(rest.contains("2001:db8:a00:aa00::/56"), "{rest}");
            let begun = std::time::Instant::now();
            let nobody = connect("2001:db8:a00:aaff::1");
            assert!(
                nobody == ErrorKind::HostUnreachable || nobody == ErrorKind::NetworkUnreachable,
                "{nobody:?}"
            );
            assert!(begun.elapsed() < Duration::from_millis(500));
            // Somebody behind us, with a connection that lasts.
            shell(
                "ip -n lan0 addr add 2001:db8:a00:aa01::100/64 dev h0 nodad && ip -n lan0 route add default via 2001:db8:a00:aa01::1",
            );
            // To a host behind the other link, through this one.
            let beside = old1["local"].as_str().unwrap();
            let host = format!("{beside}00");
            shell(&format!(
                "ip -n lan1 addr add {host}/64 dev h0 nodad && ip -n lan1 route add default via {beside}"
            ));
            if !Path::new(BY_LINK).exists() {
                let status = json(&office, &["status"]).to_string();
                assert!(status.contains("net.ipv6.conf.all.forwarding"), "{status}");
                shell("sysctl -qw net.ipv6.conf.all.forwarding=1");
            }
            let beyond = format!("TCP6-LISTEN:7,bind=[{host}],fork");
            let _beyond = Peer::start(
                &dir,
                "beyond",
                Some("lan1"),
                &["socat", &beyond, "EXEC:cat"],
            );
            until("a packet goes through", || {
                let ask = format!(
                    "echo through | ip netns exec lan0 socat -T1 - TCP6:[{host}]:7,connect-timeout=1 || true"
                );
                shell(&ask).contains("through")
            });
            let listen = "TCP6-LISTEN:7,bind=[2001:db8:a00:aa01::1],fork";
            let _echo = Peer::start(&dir, "echo", None, &["socat", listen, "EXEC:cat"]);
            let talk = "for i in $(seq 300); do echo word $i; sleep 0.1; done | socat - TCP6:[2001:db8:a00:aa01::1]:7,retry=20,interval=0.1";
            let talk = Peer::start(&dir, "talk", Some("lan0"), &["sh", "-c", talk]);
            until("there is a connection", || talk.log().contains("word 3"));
            let words = Words::from_now(&office, "monitor address");

            // The provider has another prefix, and says so when it is asked.
            drop(first);
            let _second = kea(&dir, "kea2", "2001:db8:b00:bb00::");
            let (code, text) = office.linnet(LINNET, &["renew", "wan0"]);
            assert_eq!(code, 0, "{text}");
            until("both links have a part of the new prefix", || {
                address("lan0", "2001:db8:b00:bb01::1").is_some()
                    && address("lan1", "2001:db8:b00:bb").is_some()
            });
            until("the old one is deprecated", || {
                ["lan0", "lan1"].iter().all(|lan| {
                    address(lan, "2001:db8:a00:aa")
                        .is_some_and(|old| seconds(&old, "preferred_life_time") == 0)
                })
            });
            let old = address("lan0", "2001:db8:a00:aa01:").unwrap();
            let valid = seconds(&old, "valid_life_time");
            assert!((3600..=7200).contains(&valid), "not cut: {valid} s");
            let new = address("lan0", "2001:db8:b00:bb01:").unwrap();
            assert!(seconds(&new, "preferred_life_time") > 2000);
            let rest = shell("ip -6 route show type unreachable");
            assert!(
                rest.contains("2001:db8:b00:bb00::/56") && rest.contains("2001:db8:a00:aa00::/56"),
                "{rest}"
            );
            // The provider's modem starts again: longer than what was supplied to its own link stays.
            shell("ip -n isp link set r0 down");
            until("the carrier is gone", || !carries("wan0"));
            // Longer than the grace that supplied things have.
            thread::sleep(Duration::from_millis(3300));
            let heard = talk.log().lines().count();
            until("the connection goes on", || {
                talk.log().lines().count() > heard + 3
            });
            let told = words.so_far();
            let lost = |line: &&String| line.starts_with("Deleted") && line.contains("lan");
            assert_eq!(told.iter().find(lost), None, "{told:#?}");
            let rest = shell("ip -6 route show type unreachable");
            assert!(rest.contains("2001:db8:b00:bb00::/56"), "{rest}");
            linnetd.signal(libc::SIGTERM);
            assert_eq!(linnetd.wait(), Some(0));
            let way = shell("sysctl -n net.ipv6.conf.wan0.addr_gen_mode");
            assert_eq!(way.trim(), "1", "given back");
            if Path::new(BY_LINK).exists() {
                assert_eq!(shell(&format!("cat {BY_LINK}")).trim(), "0", "given back");
            }
        },
    );
}
