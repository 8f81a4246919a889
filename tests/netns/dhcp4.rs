//! Do other people's DHCP servers and our client understand each other? dnsmasq, kea and dhcpd on one real network.

mod bootp;
mod host;

use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::model::{ClientId, Dhcp4Settings, OwnOptions, Transport};
use linkmgr::dhcp4::{Leases, StateName, Trouble};
use tests::dnsmasq::Dnsmasq;
use tests::namespace::{isolated, shell};
use tests::peer::{Peer, until};

use host::Host;

const FIRST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
const SECOND: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 101);

/// A bridge in the namespace `lan`, where servers are; `c0` of this namespace is plugged into it.
struct Lan {
    dir: tempfile::TempDir,
}

impl Lan {
    fn raise() -> Self {
        shell(
            "ip netns add lan && ip -n lan link add br0 type bridge forward_delay 0 && ip -n lan link set br0 up && ip -n lan link set lo up && \
             ip -n lan addr add 192.0.2.1/24 dev br0 && ip link add c0 type veth peer name c1 netns lan && \
             ip -n lan link set c1 master br0 up && ip link set c0 up",
        );
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn peer(&self, name: &str, command: &[&str]) -> Peer {
        Peer::start(self.path(), name, Some("lan"), command)
    }

    /// dnsmasq with these options besides.
    fn dnsmasq(&self, options: &str) -> Peer {
        let peer = Dnsmasq::leasing(
            "br0",
            "192.0.2.100,192.0.2.110,1h",
            &self.path().join("leases"),
            &format!("port=0 log-dhcp bind-interfaces dhcp-sequential-ip {options}"),
        )
        .start(self.path(), "dnsmasq", Some("lan"));
        until("dnsmasq serves", || {
            peer.log()
                .contains("sockets bound exclusively to interface br0")
        });
        peer
    }

    /// kea with a subnet of these keys.
    fn kea(&self, name: &str, subnet: &str, more: &str) -> Peer {
        let text = format!(
            r#"{{"Dhcp4": {{"interfaces-config": {{"interfaces": ["br0"], "dhcp-socket-type": "raw"}}, "lease-database": {{"type": "memfile", "persist": false}},
               "authoritative": true, {more} "subnet4": [{{{subnet}}}],
               "loggers": [{{"name": "kea-dhcp4", "severity": "INFO", "output_options": [{{"output": "stdout"}}]}}]}}}}"#
        );
        let conf = self.file(&format!("{name}.json"), &text);
        let command = format!(
            "KEA_PIDFILE_DIR={0} KEA_LOCKFILE_DIR={0} exec kea-dhcp4 -c {1}",
            self.path().display(),
            conf.display()
        );
        let peer = self.peer(name, &["sh", "-c", &command]);
        until("kea serves", || peer.log().contains("DHCP4_STARTED"));
        peer
    }

    /// ISC's server.
    fn dhcpd(&self, conf: &str) -> Peer {
        let leases = self.file("dhcpd.leases", "");
        let conf = self.file("dhcpd.conf", conf);
        let command = format!(
            "exec dhcpd -4 -f -d -user root -group root -cf {} -lf {} -pf {} br0",
            conf.display(),
            leases.display(),
            self.path().join("dhcpd.pid").display()
        );
        let peer = self.peer("dhcpd", &["sh", "-c", &command]);
        until("dhcpd serves", || {
            peer.log().contains("Server starting service")
        });
        peer
    }

    /// Another machine with an address.
    fn neighbour(address: Ipv4Addr) {
        shell(&format!(
            "ip netns add other && ip link add o0 netns other type veth peer name o1 netns lan && ip -n lan link set o1 master br0 up && \
             ip -n other link set o0 up && ip -n other addr add {address}/24 dev o0"
        ));
    }
}

/// Says how long something took, for whoever watches.
fn tell(what: &str, took: Duration) {
    let _shown = writeln!(std::io::stderr(), "{what}: {took:?}");
}

fn host() -> Host {
    Host::new("c0", Dhcp4Settings::default(), Leases::default())
}

/// Says whether these lines of `ip monitor` tell of a deleted address.
fn deletes(monitor: &Peer) -> bool {
    monitor
        .log()
        .lines()
        .any(|line| line.starts_with("Deleted") && line.contains("inet 192"))
}

#[test]
fn a_lease_of_dnsmasq_brings_all_that_it_has() {
    isolated("dhcp4::a_lease_of_dnsmasq_brings_all_that_it_has", || {
        let lan = Lan::raise();
        let dnsmasq = lan.dnsmasq(
            "dhcp-option=option:router,192.0.2.1\ndhcp-option=option:dns-server,192.0.2.53\ndhcp-option=option:domain-search,eng.corp.test,corp.test\n\
             dhcp-option=option:mtu,1400\ndhcp-option=option:ntp-server,192.0.2.9\ndhcp-option=114,https://portal.test/api\n\
             dhcp-option=option:classless-static-route,198.51.100.0/24,192.0.2.9,0.0.0.0/0,192.0.2.1\ndhcp-rapid-commit\n\
             dhcp-userclass=set:lab,guest\ndhcp-option=tag:lab,43,01:02:ff\n\
             dhcp-match=set:own,224,linnet\ndhcp-option=tag:own,225,seen\ndhcp-option=226,unasked\n",
        );
        let settings = Dhcp4Settings {
            hostname: Some("host".into()),
            vendor_class: Some("linnet".into()),
            user_class: vec!["lab".into(), "guest".into()],
            own: OwnOptions {
                send: [(224, b"linnet"[..].into())].into(),
                request: [43, 225].into(),
            },
            ..Dhcp4Settings::default()
        };
        let mut host = Host::new("c0", settings, Leases::default());
        host.carrier(true);
        let took = host.until("a lease", |host| host.address() == Some(FIRST));
        tell("carrier to address", took);
        assert!(
            !host.states.contains(&StateName::Requesting),
            "rapid commit: {:?}",
            host.states
        );
        let supply = host.supply.clone().unwrap();
        let search: Vec<String> = supply.search.iter().map(ToString::to_string).collect();
        assert!(
            search.len() == 2 && search[0].starts_with("eng.corp.test"),
            "{search:?}"
        );
        assert_eq!(supply.upstreams[0].address.to_string(), "192.0.2.53");
        assert_eq!(supply.portal.as_deref(), Some("https://portal.test/api"));
        assert_eq!((supply.mtu, supply.time_servers.len()), (Some(1400), 1));
        let routes: Vec<String> = supply
            .routes
            .iter()
            .map(|route| route.to.to_string())
            .collect();
        assert_eq!(routes, ["198.51.100.0/24", "0.0.0.0/0"]);
        // Who says of which class it is gets one, who sends an option of its own the other.
        let lease = host.client.status().lease.unwrap();
        let own: Vec<(u16, &[u8])> = lease
            .options
            .iter()
            .map(|(number, octets)| (*number, &octets[..]))
            .collect();
        assert_eq!(own, [(43, &[1, 2, 255][..]), (225, b"seen")]);
        let log = dnsmasq.log();
        assert!(
            log.contains("client provides name: host") && log.contains("vendor class: linnet"),
            "{log}"
        );
        host.until("the gateway is known", |host| {
            format!("{:?}", host.leases).contains("Witness")
        });
        // Released, the address is free again.
        host.client.release(host.now());
        host.settle();
        until("dnsmasq hears of it", || {
            dnsmasq.log().contains("DHCPRELEASE(br0) 192.0.2.100")
        });
    });
}

#[test]
fn a_hundred_renewals_by_kea_delete_no_address() {
    isolated("dhcp4::a_hundred_renewals_by_kea_delete_no_address", || {
        let lan = Lan::raise();
        let subnet = r#""subnet": "192.0.2.0/24", "pools": [{"pool": "192.0.2.100 - 192.0.2.110"}], "option-data": [{"name": "routers", "data": "192.0.2.1"}]"#;
        let kea = lan.kea(
            "kea",
            subnet,
            r#""valid-lifetime": 60, "renew-timer": 20, "rebind-timer": 40,"#,
        );
        let mut host = host();
        host.carrier(true);
        host.until("a lease", |host| host.address().is_some());
        assert!(
            host.states.contains(&StateName::Requesting),
            "{:?}",
            host.states
        );
        let address = host.address();
        let monitor = Peer::start(lan.path(), "monitor", None, &["ip", "monitor", "address"]);
        host.live(Duration::from_millis(800));
        for _ in 0..100 {
            host.client.renew(host.now());
            host.until("RENEWING", |host| host.state() == StateName::Renewing);
            host.until("renewed", |host| host.state() == StateName::Bound);
        }
        assert_eq!(host.address(), address);
        assert!(host.troubles.is_empty(), "{:?}", host.troubles);
        until("the monitor has seen the renewals", || {
            monitor.log().matches("192.0.2.100").count() >= 100
        });
        assert!(!deletes(&monitor), "{}", monitor.log());
        let status = host.client.status().lease.unwrap();
        assert_eq!(
            status.expires_at.unwrap().since(status.acquired_at),
            Duration::from_secs(60)
        );
        // The server comes back with another network: it says NAK, and the client gets an address of the new one.
        drop(kea);
        shell(
            "ip -n lan addr flush dev br0; ip -n lan addr add 203.0.113.1/24 dev br0; ip -n lan addr add 192.0.2.1/24 dev br0",
        );
        let subnet =
            r#""subnet": "203.0.113.0/24", "pools": [{"pool": "203.0.113.100 - 203.0.113.110"}]"#;
        let _kea = lan.kea("kea2", subnet, r#""valid-lifetime": 60,"#);
        host.client.renew(host.now());
        host.until("an address of the new network", |host| {
            host.address() == Some(Ipv4Addr::new(203, 0, 113, 100))
        });
        assert!(
            host.troubles.iter().any(|it| matches!(it, Trouble::Nak(_))),
            "{:?}",
            host.troubles
        );
    });
}

#[test]
fn a_network_that_prefers_ipv6_and_resolvers_that_are_encrypted_are_understood() {
    isolated(
        "dhcp4::a_network_that_prefers_ipv6_and_resolvers_that_are_encrypted_are_understood",
        || {
            let lan = Lan::raise();
            let definitions = r#""option-def": [{"name": "dnr", "code": 162, "type": "binary"}],"#;
            let subnet = |option: &str| {
                format!(
                    r#""subnet": "192.0.2.0/24", "pools": [{{"pool": "192.0.2.100 - 192.0.2.110"}}], "option-data": [{option},
                   {{"name": "domain-name-servers", "data": "192.0.2.53"}}]"#
                )
            };
            // dns.test at 192.0.2.54 by TLS (RFC 9463 §5.1).
            let dnr = "001a 0001 0a 03646e73 04746573 7400 04 c0000236 0001 0004 03646f74"
                .replace(' ', "");
            let kea = lan.kea(
                "kea",
                &subnet(&format!(
                    r#"{{"code": 162, "data": "{dnr}", "csv-format": false, "always-send": true}}"#
                )),
                definitions,
            );
            let mut host = host();
            host.carrier(true);
            host.until("a lease", |host| host.address().is_some());
            let upstreams = host.supply.clone().unwrap().upstreams;
            assert_eq!(upstreams.len(), 2, "{upstreams:?}");
            assert_eq!(
                (upstreams[0].transport, upstreams[0].server_name.as_deref()),
                (Transport::Tls, Some("dns.test"))
            );
            host.client.release(host.now());
            host.settle();
            drop(kea);
            let _kea = lan.kea(
                "kea2",
                &subnet(r#"{"code": 108, "data": "1800", "csv-format": true}"#),
                definitions,
            );
            let settings = Dhcp4Settings {
                ipv6_only: true,
                ..Dhcp4Settings::default()
            };
            let mut host = Host::new("c0", settings, Leases::default());
            host.carrier(true);
            host.until("IPv4 is done without", |host| {
                host.supply.as_ref().is_some_and(|supply| supply.ipv6_only)
            });
            assert_eq!((host.address(), host.state()), (None, StateName::Init));
        },
    );
}

#[test]
fn an_address_that_somebody_has_is_declined_and_another_one_comes() {
    isolated(
        "dhcp4::an_address_that_somebody_has_is_declined_and_another_one_comes",
        || {
            let lan = Lan::raise();
            Lan::neighbour(FIRST);
            let dnsmasq = lan.dnsmasq("dhcp-option=option:router,192.0.2.1\n");
            let mut host = host();
            host.carrier(true);
            host.until("a conflict", |host| !host.troubles.is_empty());
            assert!(
                matches!(host.troubles[0], Trouble::Conflict { address: FIRST, .. }),
                "{:?}",
                host.troubles
            );
            until("dnsmasq hears of it", || {
                dnsmasq.log().contains("DHCPDECLINE(br0) 192.0.2.100")
            });
            let took = host.until("another address", |host| host.address() == Some(SECOND));
            assert!(
                took > Duration::from_secs(8),
                "RFC 2131 §3.1 step 5: {took:?}"
            );
            // Somebody takes this one too, much later: it is defended, and given up when he goes on.
            host.live(Duration::from_secs(3));
            shell(&format!("ip -n other addr add {SECOND}/24 dev o0"));
            shell(&format!(
                "ip netns exec other sh -c 'arping -V >/dev/null 2>&1; true'; ip netns exec other python3 -c '\n{ANNOUNCE}'"
            ));
            host.until("it is given up", |host| host.address() != Some(SECOND));
        },
    );
}

/// Announces 192.0.2.101 twice, as RFC 5227 does.
const ANNOUNCE: &str = r#"
import socket, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("o0", 0x0806))
mac = s.getsockname()[4]
ip = bytes([192, 0, 2, 101])
for _ in range(2):
    s.send(b"\xff" * 6 + mac + b"\x08\x06" + bytes([0, 1, 8, 0, 6, 4, 0, 1]) + mac + ip + bytes(6) + ip)
    time.sleep(1)
"#;

#[test]
fn a_known_network_is_entered_within_milliseconds_and_confirmed_behind() {
    isolated(
        "dhcp4::a_known_network_is_entered_within_milliseconds_and_confirmed_behind",
        || {
            let lan = Lan::raise();
            let conf = "authoritative;\ndefault-lease-time 600;\nping-check false;\nsubnet 192.0.2.0 netmask 255.255.255.0 {\n range 192.0.2.100 192.0.2.110;\n\
                    option routers 192.0.2.1;\n option domain-name-servers 192.0.2.53;\n option domain-name \"corp.test\";\n}\n";
            let dhcpd = lan.dhcpd(conf);
            let mut first = host();
            first.carrier(true);
            first.until("a lease", |host| host.state() == StateName::Bound);
            first.until("the gateway is known", |host| {
                format!("{:?}", host.leases).contains("Witness")
            });
            let address = first.address();
            let leases = first.leases.clone();
            let text = serde_json::to_string(&leases).unwrap();
            drop(first);
            let leases: Leases = serde_json::from_str(&text).unwrap();
            let again = |leases: &Leases| {
                shell("ip addr flush dev c0; ip neigh flush dev c0");
                Host::new("c0", Dhcp4Settings::default(), leases.clone())
            };

            // The server is there: used at once, confirmed behind.
            let mut best = Duration::MAX;
            for _ in 0..5 {
                let mut host = again(&leases);
                host.applies = false;
                assert_eq!(host.state(), StateName::InitReboot);
                host.carrier(true);
                let took = host.until("an address", |host| host.address() == address);
                best = best.min(took);
                host.until("it is confirmed", |host| host.state() == StateName::Bound);
                assert_eq!(
                    host.states,
                    [
                        StateName::InitReboot,
                        StateName::Rebooting,
                        StateName::Bound
                    ]
                );
                assert!(!host.supply.clone().unwrap().unconfirmed);
            }
            tell("carrier to address in a known network", best);
            assert!(best < Duration::from_millis(10), "{best:?}");

            // The server is gone: the lease is good for what is left of it.
            drop(dhcpd);
            let mut host = again(&leases);
            host.carrier(true);
            host.until("an address", |host| host.address() == address);
            assert!(host.supply.clone().unwrap().unconfirmed);
            host.live(Duration::from_secs(2));
            assert_eq!(host.address(), address);
            drop(host);

            // Another network with the same addresses: its gateway has another hardware address, and the lease is not used.
            shell("ip -n lan link set br0 address 02:00:00:00:99:99");
            let _dnsmasq = lan.dnsmasq("dhcp-option=option:router,192.0.2.1\n");
            let mut host = again(&leases);
            host.carrier(true);
            host.until("a lease", |host| host.state() == StateName::Bound);
            assert!(!host.states.is_empty() && !host.supply.clone().unwrap().unconfirmed);
        },
    );
}

#[test]
fn servers_know_us_by_the_identifier_that_was_chosen_and_a_lease_of_another_network_is_refused() {
    isolated(
        "dhcp4::servers_know_us_by_the_identifier_that_was_chosen_and_a_lease_of_another_network_is_refused",
        || {
            let lan = Lan::raise();
            let conf = "authoritative;\ndefault-lease-time 600;\nping-check false;\nsubnet 192.0.2.0 netmask 255.255.255.0 {\n range 192.0.2.100 192.0.2.110;\n\
                        option routers 192.0.2.1;\n}\nhost us { option dhcp-client-identifier 00:42:43; fixed-address 192.0.2.7; }\n";
            let dhcpd = lan.dhcpd(conf);
            let settings = Dhcp4Settings {
                client_id: ClientId::Octets(std::sync::Arc::new([0, 0x42, 0x43])),
                hostname: Some("host.corp.test".into()),
                ..Dhcp4Settings::default()
            };
            let mut host = Host::new("c0", settings.clone(), Leases::default());
            host.carrier(true);
            host.until("the address that is reserved", |host| {
                host.address() == Some(Ipv4Addr::new(192, 0, 2, 7))
            });
            let leases = host.leases.clone();
            drop((host, dhcpd));
            // The link has moved to a network of other addresses, whose server says NAK at once.
            shell(
                "ip addr flush dev c0; ip -n lan addr flush dev br0; ip -n lan addr add 203.0.113.1/24 dev br0",
            );
            let _dhcpd = lan.dhcpd(
                "authoritative;\nping-check false;\nsubnet 203.0.113.0 netmask 255.255.255.0 {\n range 203.0.113.100 203.0.113.110;\n option routers 203.0.113.1;\n}\n",
            );
            let mut host = Host::new("c0", settings, leases);
            host.carrier(true);
            let took = host.until("an address of this network", |host| {
                host.address()
                    .is_some_and(|address| address.octets()[0] == 203)
            });
            assert!(took < Duration::from_secs(3), "{took:?}");
            assert!(
                host.troubles.iter().any(|it| matches!(it, Trouble::Nak(_))),
                "{:?}",
                host.troubles
            );
            let kept = serde_json::to_string(&host.leases).unwrap();
            assert!(
                kept.contains("192.0.2.0/24"),
                "its own network's lease is kept: {kept}"
            );
        },
    );
}

/// Says what switches say, once.
const SWITCH: &str = r#"
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("c1", 0x88cc))
tlv = lambda kind, data: (kind << 9 | len(data)).to_bytes(2, "big") + data
mac = s.getsockname()[4]
s.send(b"\x01\x80\xc2\x00\x00\x0e" + mac + b"\x88\xcc" + tlv(1, b"\x04" + mac) + tlv(2, b"\x05ge-0/0/1") + tlv(3, b"\x00\x78") + tlv(5, b"switch1") + tlv(0, b""))
"#;

#[test]
fn what_a_switch_says_is_heard_through_a_socket_of_its_own() {
    isolated(
        "dhcp4::what_a_switch_says_is_heard_through_a_socket_of_its_own",
        || {
            let _lan = Lan::raise();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let index: u32 = shell("cat /sys/class/net/c0/ifindex")
                .trim()
                .parse()
                .unwrap();
            let heard = runtime.block_on(async {
                let mut ports = linkmgr_io::Ports::new().unwrap();
                let wanted = linkmgr::clients::WantedPort {
                    index,
                    port: linkmgr::clients::Port::Lldp,
                    arp: None,
                    mac: None,
                };
                let failed = ports.apply(linkmgr::clients::PortChanges {
                    open: vec![wanted],
                    close: Vec::new(),
                });
                assert!(failed.is_empty(), "{failed:?}");
                shell(&format!("ip netns exec lan python3 -c '{SWITCH}'"));
                tokio::time::timeout(Duration::from_secs(5), ports.next())
                    .await
                    .unwrap()
            });
            let mut neighbours = linkmgr::lldp::Neighbours::default();
            assert!(neighbours.handle_packet(&heard[0].octets, config::time::Instant::ZERO));
            let neighbour = neighbours.iter().next().unwrap();
            assert_eq!(
                (neighbour.name.as_deref(), &*neighbour.port),
                (Some("switch1"), "ge-0/0/1")
            );
        },
    );
}
