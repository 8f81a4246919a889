//! Do servers that speak BOOTP give our client an address, and only where nobody has a better one?

use config::model::{BootpUse, Dhcp4Settings};
use linkmgr::dhcp4::{Leases, StateName};
use tests::namespace::{isolated, shell};
use tests::peer::until;

use super::host::Host;
use super::{FIRST, Lan};

const RESERVED: std::net::Ipv4Addr = std::net::Ipv4Addr::new(192, 0, 2, 7);

/// A server that knows RFC 951 and 1497 alone: whatever else a question says, it gives everybody the same address.
const OLD_SERVER: &str = r#"
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"br0")
s.bind(("", 67))
print("serves", flush=True)
ip = socket.inet_aton
vend = b"\x63\x82\x53\x63\x01\x04" + ip("255.255.255.0") + b"\x03\x04" + ip("192.0.2.1") + b"\x06\x04" + ip("192.0.2.53") + b"\xff"
while True:
    q = s.recv(2048)
    print("asked", flush=True)
    r = b"\x02\x01\x06\x00" + q[4:12] + bytes(4) + ip("192.0.2.7") + ip("192.0.2.1") + bytes(4) + q[28:44] + bytes(192) + vend
    s.sendto(r.ljust(300, b"\x00"), ("255.255.255.255", 68))
"#;

fn host(bootp: BootpUse, leases: Leases) -> Host {
    let settings = Dhcp4Settings {
        bootp,
        ..Dhcp4Settings::default()
    };
    Host::new("c0", settings, leases)
}

#[test]
fn dnsmasq_and_dhcpd_give_addresses_without_end_to_who_asks_by_bootp() {
    isolated(
        "dhcp4::bootp::dnsmasq_and_dhcpd_give_addresses_without_end_to_who_asks_by_bootp",
        || {
            let lan = Lan::raise();
            for name in ["dnsmasq", "dhcpd"] {
                let server = match name {
                    "dnsmasq" => lan.dnsmasq("bootp-dynamic"),
                    _ => lan.dhcpd(
                        "ping-check false;\nsubnet 192.0.2.0 netmask 255.255.255.0 {\n range dynamic-bootp 192.0.2.100 192.0.2.110;\n\
                         option routers 192.0.2.1;\n}\n",
                    ),
                };
                let mut host = host(BootpUse::Only, Leases::default());
                host.carrier(true);
                host.until("an address", |host| host.address().is_some());
                assert_eq!(host.state(), StateName::Bound);
                let lease = host.client.status().lease.unwrap();
                assert!(lease.bootp && lease.expires_at.is_none(), "{lease:?}");
                let supply = host.supply.clone().unwrap();
                let own = &supply.addresses[0];
                assert_eq!((own.prefix.length, own.valid_until), (24, None));
                assert!(
                    supply.routes.iter().any(|route| route.to.length == 0),
                    "{supply:?}"
                );
                let log = server.log();
                assert!(log.contains("BOOTP") || log.contains("BOOTREPLY"), "{log}");
                assert!(!log.contains("DHCPDISCOVER"), "{log}");
                drop((host, server));
                shell("ip addr flush dev c0");
            }
        },
    );
}

#[test]
fn an_old_server_is_enough_where_there_is_no_other_and_dhcp_goes_first() {
    isolated(
        "dhcp4::bootp::an_old_server_is_enough_where_there_is_no_other_and_dhcp_goes_first",
        || {
            let lan = Lan::raise();
            let script = lan.file("old.py", OLD_SERVER);
            let old = lan.peer("old", &["python3", script.to_str().unwrap()]);
            until("it serves", || old.log().contains("serves"));
            let mut alone = host(BootpUse::Fallback, Leases::default());
            alone.carrier(true);
            let took = alone.until("its address", |host| host.address() == Some(RESERVED));
            super::tell("a BOOTP server after a question of DHCP", took);
            assert_eq!(
                alone.states,
                [StateName::Init, StateName::Selecting, StateName::Bound]
            );
            // Who was here before has its word at once.
            let leases = alone.leases.clone();
            drop(alone);
            let mut again = host(BootpUse::Fallback, leases);
            again.carrier(true);
            let took = again.until("the same address", |host| host.state() == StateName::Bound);
            assert!(took < std::time::Duration::from_secs(1), "{took:?}");
            assert_eq!(again.address(), Some(RESERVED));
            drop(again);
            shell("ip addr flush dev c0");
            // Beside a DHCP server, which cannot have the same port, on the same wire.
            shell(
                "ip netns add new && ip link add n0 netns new type veth peer name n1 netns lan && ip -n lan link set n1 master br0 up && \
                 ip -n new link set n0 up && ip -n new addr add 192.0.2.2/24 dev n0",
            );
            let dnsmasq = tests::dnsmasq::Dnsmasq::leasing(
                "n0",
                "192.0.2.100,192.0.2.110,1h",
                &lan.path().join("leases"),
                "port=0 log-dhcp bind-dynamic dhcp-sequential-ip",
            )
            .start(lan.path(), "new", Some("new"));
            until("dnsmasq serves", || {
                dnsmasq.log().contains("sockets bound exclusively")
            });
            let asked = || old.log().matches("asked").count();
            let before = asked();
            let mut both = host(BootpUse::Fallback, Leases::default());
            both.carrier(true);
            both.until("an address", |host| host.address().is_some());
            assert_eq!(both.address(), Some(FIRST));
            until("the old one was asked too", || asked() > before);
        },
    );
}
