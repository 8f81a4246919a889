//! Do other people's routers and DHCPv6 servers and our clients understand each other? radvd, dnsmasq and kea on one real network.

mod host;

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv6Addr, SocketAddrV6, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::model::{Dhcp6Settings, Dhcp6When};
use tests::dnsmasq::Dnsmasq;
use tests::namespace::{isolated, shell};
use tests::peer::Peer;
use tests::radvd;

use host::Host;

/// From a link that is up to an address, with radvd, which waits up to half a second before it answers (RFC 4861 §6.2.6).
const PROMISED: Duration = Duration::from_secs(5);

/// A bridge in the namespace `lan`; `c0` of this namespace is plugged into it.
struct Lan {
    dir: tempfile::TempDir,
}

impl Lan {
    fn raise() -> Self {
        shell(
            "ip netns add lan && ip -n lan link add br0 type bridge forward_delay 0 mcast_snooping 0 && ip -n lan link set br0 up && \
             ip -n lan link set lo up && ip link add c0 type veth peer name c1 netns lan && \
             ip -n lan link set c1 master br0 up && sysctl -qw net.ipv6.conf.c0.accept_ra=0",
        );
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A namespace with a router that has the address fe80::NUMBER, and an address in a prefix.
    fn router(&self, name: &str, number: u8, prefix: &str) {
        shell(&format!(
            "ip netns add {name} && ip -n {name} link add r0 type veth peer name {name} netns lan && \
             ip -n lan link set {name} master br0 up && ip -n {name} link set lo up && \
             ip netns exec {name} sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.conf.r0.addr_gen_mode=1 && \
             ip -n {name} link set r0 up && ip -n {name} addr add fe80::{number}/64 dev r0 nodad && \
             ip -n {name} addr add {prefix}1/64 dev r0 nodad"
        ));
    }

    fn radvd(&self, name: &str, text: &str) -> Peer {
        radvd::advertise(self.path(), name, name, "r0", text)
    }

    fn kea(&self, text: &str) -> Peer {
        let conf = self.file(
            "kea.json",
            &format!(
                r#"{{"Dhcp6": {{"interfaces-config": {{"interfaces": ["r0"]}}, "lease-database": {{"type": "memfile", "persist": false}},
                   "server-id": {{"type": "EN", "enterprise-id": 32473, "identifier": "010203", "persist": false}}, {text},
                   "loggers": [{{"name": "kea-dhcp6", "severity": "INFO", "output_options": [{{"output": "stdout"}}]}}]}}}}"#
            ),
        );
        let command = format!(
            "KEA_PIDFILE_DIR={0} KEA_LOCKFILE_DIR={0} exec kea-dhcp6 -c {1}",
            self.path().display(),
            conf.display()
        );
        Peer::start(self.path(), "kea", Some("r1"), &["sh", "-c", &command])
    }
}

fn usual(prefix: &str) -> String {
    format!("prefix {prefix}/64 {{ AdvOnLink on; AdvAutonomous on; }};")
}

#[test]
fn a_router_gives_an_address_a_route_and_resolvers() {
    isolated(
        "ipv6::a_router_gives_an_address_a_route_and_resolvers",
        || {
            let lan = Lan::raise();
            lan.router("r1", 1, "2001:db8:1::");
            let _radvd = lan.radvd(
            "r1",
            &format!(
                "{} route 2001:db8:ff::/48 {{ AdvRoutePreference low; }}; RDNSS 2001:db8:1::53 {{ }}; DNSSL home.example {{ }}; AdvLinkMTU 1400;",
                usual("2001:db8:1::")
            ),
        );
            shell("ip link set c0 up");
            let mut host = Host::new("c0", Dhcp6Settings::default());
            let took = host.until("there is an address", |host| {
                !host.routed.addresses.is_empty()
            });
            assert!(took < PROMISED, "{took:?}");
            assert_eq!(host.prefixes(), ["2001:db8:1::/64"]);
            assert_eq!(host.routers(), ["fe80::1"]);
            assert_eq!(
                host.routed.upstreams[0].address.to_string(),
                "2001:db8:1::53"
            );
            assert_eq!(host.routed.search[0].to_string(), "home.example");
            assert_eq!(host.routed.mtu, Some(1400));
            assert!(
                host.routed
                    .routes
                    .iter()
                    .any(|route| route.to.to_string() == "2001:db8:ff::/48")
            );
            host.until("the router is reached", |_| reaches("2001:db8:1::1"));
            assert!(host.memory.is_some());
        },
    );
}

#[test]
fn when_the_preferred_router_dies_the_other_one_is_used() {
    isolated(
        "ipv6::when_the_preferred_router_dies_the_other_one_is_used",
        || {
            let lan = Lan::raise();
            lan.router("r1", 1, "2001:db8:1::");
            lan.router("r2", 2, "2001:db8:2::");
            let high = format!("AdvDefaultPreference high; {}", usual("2001:db8:1::"));
            let _first = lan.radvd("r1", &high);
            let _second = lan.radvd("r2", &usual("2001:db8:2::"));
            shell(
                "ip -n r2 addr add 2001:db8:ee::1/128 dev lo && ip -n r1 addr add 2001:db8:ee::1/128 dev lo && \
                 ip -n r1 route add 2001:db8:2::/64 dev r0 && ip -n r2 route add 2001:db8:1::/64 dev r0 && ip link set c0 up",
            );
            let mut host = Host::new("c0", Dhcp6Settings::default());
            host.until("both routers are there", |host| host.routers().len() == 2);
            assert_eq!(host.routers(), ["fe80::1", "fe80::2"]);
            host.until("it is reached", |_| reaches("2001:db8:ee::1"));
            // It is gone without a word.
            shell("ip -n lan link set r1 down");
            let took = host.until("the other one is used alone", |host| {
                let _tried = reaches("2001:db8:ee::1");
                host.routers() == ["fe80::2"]
            });
            assert!(took < Duration::from_secs(15), "{took:?}");
            host.until("the other one leads there", |_| reaches("2001:db8:ee::1"));
            assert_eq!(host.prefixes().len(), 2, "addresses have their own time");
            shell("ip -n lan link set r1 up");
            host.until("it comes back when it is reached", |host| {
                let _tried = reaches("fe80::1");
                host.routers() == ["fe80::1", "fe80::2"]
            });
        },
    );
}

/// Whether somebody at an address answers: nobody listens, and says so.
fn reaches(address: &str) -> bool {
    let address: Ipv6Addr = address.parse().unwrap();
    let index = shell("cat /sys/class/net/c0/ifindex")
        .trim()
        .parse()
        .unwrap();
    let scope = if address.is_unicast_link_local() {
        index
    } else {
        0
    };
    let at = SocketAddrV6::new(address, 9, 0, scope);
    let tried = TcpStream::connect_timeout(&at.into(), Duration::from_millis(500));
    matches!(tried, Err(error) if error.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn a_renumbered_network_deprecates_the_old_prefix_at_once() {
    isolated(
        "ipv6::a_renumbered_network_deprecates_the_old_prefix_at_once",
        || {
            let lan = Lan::raise();
            lan.router("r1", 1, "2001:db8:1::");
            let mut radvd = lan.radvd("r1", &usual("2001:db8:1::"));
            shell("ip link set c0 up");
            let mut host = Host::new("c0", Dhcp6Settings::default());
            host.until("there is an address", |host| {
                !host.routed.addresses.is_empty()
            });
            // Killed: no last word about the old prefix.
            radvd.signal(libc::SIGKILL);
            radvd.wait();
            fs::remove_file(lan.path().join("r1.pid")).unwrap_or_default();
            let _radvd = lan.radvd("r1", &usual("2001:db8:2::"));
            host.until("the new address is there", |host| {
                host.prefixes().len() == 2
            });
            let now = host.now();
            let [old, new] = host.routed.addresses[..] else {
                panic!("both are there");
            };
            assert!(old.preferred_until <= Some(now), "deprecated");
            assert!(
                old.valid_until > Some(now + Duration::from_secs(7000)),
                "not cut"
            );
            assert!(new.preferred_until > Some(now));
        },
    );
}

#[test]
fn a_stateless_server_gives_resolvers() {
    isolated("ipv6::a_stateless_server_gives_resolvers", || {
        let lan = Lan::raise();
        lan.router("r1", 1, "2001:db8:1::");
        let _dnsmasq = Dnsmasq::new(
            "port=0 bind-interfaces interface=r0 enable-ra leasefile-ro log-dhcp dhcp-range=2001:db8:1::,ra-stateless,64,1h \
             dhcp-option=option6:dns-server,[2001:db8:1::53] dhcp-option=option6:domain-search,lan.example \
             dhcp-option=option6:ntp-server,[2001:db8:1::123]",
        )
        .start(lan.path(), "dnsmasq", Some("r1"));
        shell("ip link set c0 up");
        let mut host = Host::new("c0", Dhcp6Settings::default());
        host.until("the server has answered", |host| {
            !host.served.upstreams.is_empty()
        });
        assert_eq!(
            host.served.upstreams[0].address.to_string(),
            "2001:db8:1::53"
        );
        assert_eq!(host.served.search[0].to_string(), "lan.example");
        assert!(host.served.addresses.is_empty());
        assert_eq!(host.dhcp6.report(host.now()).state, "informed");
        assert_eq!(host.prefixes(), ["2001:db8:1::/64"]);
    });
}

#[test]
fn kea_leases_an_address_and_a_prefix_and_takes_them_back() {
    isolated(
        "ipv6::kea_leases_an_address_and_a_prefix_and_takes_them_back",
        || {
            let lan = Lan::raise();
            lan.router("r1", 1, "2001:db8:1::");
            let kea = lan.kea(
            r#""renew-timer": 2, "rebind-timer": 30, "preferred-lifetime": 60, "valid-lifetime": 90,
               "option-data": [{"name": "dns-servers", "data": "2001:db8:1::53"}, {"name": "domain-search", "data": "corp.example"}],
               "subnet6": [{"subnet": "2001:db8:1::/64", "interface": "r0", "pools": [{"pool": "2001:db8:1::100-2001:db8:1::1ff"}],
                 "pd-pools": [{"prefix": "2001:db8:ff00::", "prefix-len": 40, "delegated-len": 56,
                               "excluded-prefix": "2001:db8:ff00:0:8000::", "excluded-prefix-len": 72}]}]"#,
        );
            shell("ip link set c0 up");
            let settings = Dhcp6Settings {
                when: Dhcp6When::Always,
                delegate: Some(56),
                ..Dhcp6Settings::default()
            };
            let mut host = Host::new("c0", settings);
            let took = host.until("there are leases", |host| !host.served.addresses.is_empty());
            assert!(took < Duration::from_secs(8), "{took:?}: {}", kea.log());
            assert!(
                host.served.addresses[0]
                    .prefix
                    .to_string()
                    .starts_with("2001:db8:1::1")
            );
            let delegated = host.served.delegated[0];
            assert_eq!(delegated.prefix.length, 56);
            assert_eq!(
                host.served.upstreams[0].address.to_string(),
                "2001:db8:1::53"
            );
            assert_eq!(host.served.search[0].to_string(), "corp.example");
            let (address, until) = (
                host.served.addresses[0].prefix,
                host.served.addresses[0].valid_until,
            );
            host.until("it is renewed", |host| {
                host.served.addresses[0].valid_until > until
            });
            assert_eq!(host.served.addresses[0].prefix, address);
            assert_eq!(host.dhcp6.report(host.now()).state, "bound");
            let now = host.now();
            host.dhcp6.handle_release(now);
            host.until("it is given back", |host| host.released);
            assert!(host.served.addresses.is_empty() && host.served.delegated.is_empty());
            assert!(kea.log().contains("RELEASE"), "{}", kea.log());
        },
    );
}

#[test]
fn a_silent_server_keeps_nobody_waiting() {
    isolated("ipv6::a_silent_server_keeps_nobody_waiting", || {
        let lan = Lan::raise();
        lan.router("r1", 1, "2001:db8:1::");
        let text = format!(
            "AdvManagedFlag on; {} RDNSS 2001:db8:1::53 {{ }};",
            usual("2001:db8:1::")
        );
        let _radvd = lan.radvd("r1", &text);
        shell("ip link set c0 up");
        let mut host = Host::new("c0", Dhcp6Settings::default());
        host.until("there is an address", |host| {
            !host.routed.addresses.is_empty()
        });
        assert_eq!(host.routed.upstreams.len(), 1);
        host.live(Duration::from_secs(3));
        assert_eq!(host.dhcp6.report(host.now()).state, "SOLICIT");
        assert_eq!(host.prefixes(), ["2001:db8:1::/64"]);
    });
}
