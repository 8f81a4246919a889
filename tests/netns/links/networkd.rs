//! Does linnet make of a configuration what systemd-networkd makes of the same? Both in namespaces of their own, before equal
//! networks, and the kernel is asked what came of it.
//!
//! What differs on purpose is in [`DECISIONS`], with the reason; nothing else may differ, and no decision may be there in vain. Kinds
//! that this machine's kernel need not have are compared in a virtual machine.

mod absent;
mod served;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::dnsmasq::Dnsmasq;
use tests::namespace::{isolated, shell};
use tests::peer::Peer;
use tests::radvd;

use super::{LINNETD, folder};

const NETWORKD: &str = "/lib/systemd/systemd-networkd";
const STORY: &str = "both_make_the_same_of_one_configuration_but_for_what_is_decided";

/// A difference that is wanted: in which lines of networkd's, what becomes of them, and why.
#[derive(Clone, Copy)]
struct Decision {
    name: &'static str,
    reason: &'static str,
    /// Parts that a line has.
    lines: &'static [&'static str],
    change: Change,
}

#[derive(Clone, Copy)]
enum Change {
    /// This becomes that.
    Becomes(&'static str, &'static str),
    /// linnet has nothing of the kind.
    Missing,
    /// linnet alone has it.
    Ours,
}

use Change::{Becomes, Missing, Ours};

/// In this order.
const DECISIONS: [Decision; 13] = [
    Decision {
        name: "prefix routes of router advertisements are the kernel's",
        reason: "as those of every other address: the kernel takes them away with it",
        lines: &["via null dev \"c", "proto \"ra\""],
        change: Becomes("proto \"ra\"", "proto \"kernel\""),
    },
    Decision {
        name: "addresses of router advertisements have the kernel's prefix route",
        reason: "there is no other; temporary ones are made only where `privacy` says so",
        lines: &["temporaries true"],
        change: Becomes(
            "noprefixroute true temporaries true",
            "noprefixroute null temporaries null",
        ),
    },
    Decision {
        name: "the MTU of a router advertisement is the link's for IPv6",
        reason: "RFC 4861 §6.3.4; on the default route alone, neighbours would be sent more",
        lines: &["dev \"c1\"", "pref \"high\""],
        change: Becomes("metrics [{\"mtu\":1400}]", "metrics null"),
    },
    Decision {
        name: "no host route to a gateway that is in the prefix",
        reason: "the prefix route leads there",
        lines: &["to \"198.18.0.1\" ", "proto \"dhcp\""],
        change: Missing,
    },
    Decision {
        name: "no host route to the gateway of a leased route either",
        reason: "the prefix route leads there",
        lines: &["to \"198.18.0.9\" ", "proto \"dhcp\""],
        change: Missing,
    },
    Decision {
        name: "a link's prefix routes have its metric",
        reason: "of two links in one network, the one that is ranked first has it",
        lines: &["dev \"c0\"", "proto \"kernel\""],
        change: Becomes("metric null", "metric 100"),
    },
    Decision {
        name: "a link's IPv6 prefix routes have its metric too",
        reason: "as those of IPv4",
        lines: &["dev \"c0\"", "proto \"kernel\""],
        change: Becomes("metric 256", "metric 100"),
    },
    Decision {
        name: "prefix routes of links that are made have their metric",
        reason: "as those of others",
        lines: &["scope \"link\"", "proto \"kernel\""],
        change: Becomes("metric null", "metric 300"),
    },
    Decision {
        name: "a rule with an action names no table",
        reason: "none decides",
        lines: &["rule", "prohibit"],
        change: Becomes(",\"table\":\"main\"", ""),
    },
    Decision {
        name: "rules have linnet's number",
        reason: "it marks what is linnet's",
        lines: &["rule"],
        change: Becomes("\"protocol\":\"static\"", "\"protocol\":\"112\""),
    },
    Decision {
        name: "static routes have linnet's number",
        reason: "it marks what is linnet's",
        lines: &["route"],
        change: Becomes("proto \"static\"", "proto \"112\""),
    },
    Decision {
        name: "leased routes have linnet's number",
        reason: "it marks what is linnet's",
        lines: &["route"],
        change: Becomes("proto \"dhcp\"", "proto \"112\""),
    },
    Decision {
        name: "advertised routes have linnet's number",
        reason: "it marks what is linnet's",
        lines: &["route"],
        change: Becomes("proto \"ra\"", "proto \"112\""),
    },
];

/// Kinds of which all is compared: nothing of it changes by itself.
const WHOLE_KINDS: [&str; 7] = ["vxlan", "bond", "ipip", "gre", "sit", "ip6tnl", "vrf"];

/// What a profile and a .network file say in their own words.
const PROFILES: [(&str, &str); 4] = [
    (
        "fixed",
        r#"match = { name = "c0" }
addresses = [
  "192.0.2.10/24", "192.0.2.11/24", "2001:db8::10/64",
  { address = "10.77.0.1/32", peer = "10.77.0.2" },
  { address = "10.78.0.1/24", label = "c0:web", prefix-route = false },
  { address = "10.79.0.1/24", scope = "host", metric = 70 },
  { address = "2001:db8:77::1/64", preferred = false, conflicts = "ignore" },
  { address = "2001:db8:78::1/128", peer = "2001:db8:78::2" },
]
mtu = 1450
ra = false
metric = 100
[[routes]]
to = "0.0.0.0/0"
via = "192.0.2.1"
metric = 100
[[routes]]
to = "::/0"
via = "2001:db8::1"
metric = 100
[[routes]]
to = "198.51.100.0/24"
via = "192.0.2.1"
metric = 50
table = 100
[[routes]]
to = "203.0.113.0/24"
via = "10.99.0.1"
on-link = true
metric = 100
[[routes]]
to = "10.1.0.0/16"
via = "192.0.2.1"
source = "192.0.2.11"
mtu = 1400
metric = 100
[[routes]]
to = "10.2.0.0/16"
kind = "blackhole"
metric = 100
[[routes]]
to = "10.3.0.0/16"
kind = "unreachable"
metric = 100
[[routes]]
to = "10.4.0.0/16"
kind = "prohibit"
metric = 100
[[routes]]
to = "10.6.0.0/16"
kind = "throw"
metric = 100
table = 100
[[routes]]
to = "10.11.255.255/32"
kind = "broadcast"
metric = 100
table = 100
[[routes]]
to = "10.11.0.7/32"
kind = "anycast"
metric = 100
table = 100
[[routes]]
to = "239.7.0.0/16"
kind = "multicast"
metric = 100
table = 100
[[routes]]
to = "2001:db8:11::7/128"
kind = "anycast"
metric = 100
table = 100
[[routes]]
to = "2001:db8:2::/48"
kind = "unreachable"
metric = 100
[[routes]]
to = "10.5.0.0/16"
via = ["192.0.2.2", "192.0.2.3 weight 3"]
metric = 100
[[routes]]
to = "10.7.0.0/16"
metric = 100
[[routes]]
to = "2001:db8:5::/48"
via = "2001:db8::1"
metric = 70
mtu = 1400
[[rules]]
from = "10.9.0.0/16"
table = 100
priority = 1000
[[rules]]
to = "2001:db8:7::/48"
table = 100
priority = 1001
[[rules]]
mark = "0x2/0xff"
table = 100
priority = 1002
family = "ipv4"
[[rules]]
incoming = "c1"
table = 254
suppress-length = 0
priority = 1003
family = "ipv4"
[[rules]]
from = "10.10.0.0/16"
kind = "prohibit"
priority = 1004
"#,
    ),
    (
        "leased",
        "match = { name = \"c1\" }\ndhcp4 = true\nra = true\nmetric = 200\naddress-generation = \"eui64\"\n",
    ),
    (
        "bridge",
        "match = { name = \"br7\" }\naddresses = [\"10.20.0.1/24\"]\nmetric = 300\n[link]\nkind = \"bridge\"\nports = [\"c2\"]\nageing-time = \"2m\"\n[[ports]]\nname = \"c6\"\ncost = 20\npriority = 16\nhairpin = true\n",
    ),
    (
        "macvlan",
        "match = { name = \"mv0\" }\naddresses = [\"10.21.0.1/24\"]\nmetric = 300\n[link]\nkind = \"macvlan\"\nparent = \"c0\"\nmode = \"bridge\"\n",
    ),
];

const NETWORKS: [(&str, &str); 7] = [
    (
        "10-c0.network",
        "[Match]\nName=c0\n[Link]\nMTUBytes=1450\n[Network]\nAddress=192.0.2.10/24\nAddress=192.0.2.11/24\nAddress=2001:db8::10/64\nIPv6AcceptRA=no\nMACVLAN=mv0\n\
         [Address]\nAddress=10.77.0.1/32\nPeer=10.77.0.2/32\n\
         [Address]\nAddress=10.78.0.1/24\nLabel=c0:web\nAddPrefixRoute=no\n\
         [Address]\nAddress=10.79.0.1/24\nScope=host\nRouteMetric=70\n\
         [Address]\nAddress=2001:db8:77::1/64\nPreferredLifetime=0\nDuplicateAddressDetection=none\n\
         [Address]\nAddress=2001:db8:78::1/128\nPeer=2001:db8:78::2/128\n\
         [Route]\nGateway=192.0.2.1\nMetric=100\n[Route]\nGateway=2001:db8::1\nMetric=100\n\
         [Route]\nDestination=198.51.100.0/24\nGateway=192.0.2.1\nMetric=50\nTable=100\n\
         [Route]\nDestination=203.0.113.0/24\nGateway=10.99.0.1\nGatewayOnLink=yes\nMetric=100\n\
         [Route]\nDestination=10.1.0.0/16\nGateway=192.0.2.1\nPreferredSource=192.0.2.11\nMTUBytes=1400\nMetric=100\n\
         [Route]\nDestination=10.2.0.0/16\nType=blackhole\nMetric=100\n[Route]\nDestination=10.3.0.0/16\nType=unreachable\nMetric=100\n\
         [Route]\nDestination=10.4.0.0/16\nType=prohibit\nMetric=100\n[Route]\nDestination=10.6.0.0/16\nType=throw\nMetric=100\nTable=100\n\
         [Route]\nDestination=10.11.255.255\nType=broadcast\nMetric=100\nTable=100\n[Route]\nDestination=10.11.0.7\nType=anycast\nMetric=100\nTable=100\n\
         [Route]\nDestination=239.7.0.0/16\nType=multicast\nMetric=100\nTable=100\n[Route]\nDestination=2001:db8:11::7\nType=anycast\nMetric=100\nTable=100\n\
         [Route]\nDestination=2001:db8:2::/48\nType=unreachable\nMetric=100\n\
         [Route]\nDestination=10.5.0.0/16\nMultiPathRoute=192.0.2.2 1\nMultiPathRoute=192.0.2.3 3\nMetric=100\n\
         [Route]\nDestination=10.7.0.0/16\nMetric=100\nScope=link\n\
         [Route]\nDestination=2001:db8:5::/48\nGateway=2001:db8::1\nMetric=70\nMTUBytes=1400\n\
         [RoutingPolicyRule]\nFrom=10.9.0.0/16\nTable=100\nPriority=1000\n[RoutingPolicyRule]\nTo=2001:db8:7::/48\nTable=100\nPriority=1001\n\
         [RoutingPolicyRule]\nFirewallMark=2/255\nTable=100\nPriority=1002\n[RoutingPolicyRule]\nIncomingInterface=c1\nTable=254\nSuppressPrefixLength=0\nPriority=1003\n\
         [RoutingPolicyRule]\nFrom=10.10.0.0/16\nType=prohibit\nPriority=1004\n",
    ),
    (
        "10-c1.network",
        "[Match]\nName=c1\n[Network]\nDHCP=ipv4\nIPv6AcceptRA=yes\nIPv6PrivacyExtensions=no\n[DHCPv4]\nRouteMetric=200\nUseDNS=no\n[IPv6AcceptRA]\nRouteMetric=200\nDHCPv6Client=no\nUseDNS=no\n",
    ),
    ("10-c2.network", "[Match]\nName=c2\n[Network]\nBridge=br7\n"),
    (
        "10-br7.netdev",
        "[NetDev]\nName=br7\nKind=bridge\n[Bridge]\nAgeingTimeSec=120\n",
    ),
    (
        "10-br7.network",
        "[Match]\nName=br7\n[Network]\nAddress=10.20.0.1/24\nIPv6AcceptRA=no\n",
    ),
    (
        "10-mv0.netdev",
        "[NetDev]\nName=mv0\nKind=macvlan\n[MACVLAN]\nMode=bridge\n",
    ),
    (
        "10-mv0.network",
        "[Match]\nName=mv0\n[Network]\nAddress=10.21.0.1/24\nIPv6AcceptRA=no\n",
    ),
];

/// What is there when all is set up.
const WHOLE: [&str; 11] = [
    "10.77.0.1",
    "10.79.0.1",
    "2001:db8:78::1",
    "10.20.0.1",
    "10.21.0.1",
    "198.18.0.111",
    "2001:db8:1::ff",
    "198.19.0.0/24",
    "2001:db8:ff::/48",
    "10.5.0.0/16",
    "2001:db8:5::/48",
];

/// A machine, and the network that it is in.
struct Place {
    name: &'static str,
    _servers: Vec<Peer>,
}

impl Place {
    fn raise(dir: &Path, name: &'static str) -> Self {
        let lan = format!("lan-{name}");
        shell(&format!(
            "ip netns add {name}; ip netns add {lan}; ip -n {name} link set lo up; ip -n {lan} link set lo up
             ip netns exec {lan} sysctl -qw net.ipv6.conf.all.forwarding=1
             for n in 0 1 2 3 4 5 6; do ip -n {name} link add c$n address 02:00:00:00:00:1$n type veth peer name s$n netns {lan} address 02:00:00:00:00:2$n; done
             for n in 0 1 2 3 4 5 6; do ip netns exec {lan} sysctl -qw net.ipv6.conf.s$n.accept_dad=0; ip -n {lan} link set s$n up; done
             ip -n {lan} addr add 198.18.0.1/24 dev s1; ip -n {lan} addr add 2001:db8:1::1/64 dev s1 nodad"
        ));
        let dnsmasq = Dnsmasq::leasing(
            "s1",
            "198.18.0.100,198.18.0.200,1h",
            &dir.join(format!("{name}.leases")),
            "port=0 bind-dynamic dhcp-host=02:00:00:00:00:11,198.18.0.111 \
             dhcp-option=option:classless-static-route,198.19.0.0/24,198.18.0.9,0.0.0.0/0,198.18.0.1",
        )
        .start(dir, &format!("{name}-dnsmasq"), Some(&lan));
        let text = "interface s1 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 10; AdvDefaultPreference high;\n\
            prefix 2001:db8:1::/64 { AdvOnLink on; AdvAutonomous on; }; route 2001:db8:ff::/48 { AdvRoutePreference low; }; AdvLinkMTU 1400; };\n";
        let mut servers = vec![
            dnsmasq,
            radvd::start(dir, &format!("{name}-radvd"), &lan, text),
        ];
        servers.extend(served::servers(dir, name));
        Self {
            name,
            _servers: servers,
        }
    }

    fn ip(&self, arguments: &str) -> Vec<Value> {
        let told = shell(&format!("ip -n {} -j {arguments}", self.name));
        serde_json::from_str(&told).unwrap_or_default()
    }

    /// What is in the kernel, a line for each thing.
    fn lines(&self) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        for link in self.ip("-d addr") {
            let name = link["ifname"].as_str().unwrap().to_owned();
            let info = &link["linkinfo"];
            let data = &info["info_data"];
            lines.insert(format!(
                "link {name}: on {} mtu {} up {} master {} kind {} stp {} ageing {} mode {} protocol {} id {} flags {} port {} whole {}",
                link["link"],
                link["mtu"],
                link["flags"].to_string().contains("\"UP\""),
                link["master"],
                info["info_kind"],
                data["stp_state"],
                data["ageing_time"],
                data["mode"],
                data["protocol"],
                data["id"],
                data["flags"],
                part_of(&info["info_slave_data"], &["cost", "priority", "hairpin", "state"]),
                if WHOLE_KINDS.iter().any(|kind| info["info_kind"] == *kind) { data } else { &Value::Null },
            ));
            for address in link["addr_info"].as_array().unwrap() {
                // A bridge's is made of its hardware address, and that is drawn.
                if address["scope"] != "link" {
                    lines.insert(format!(
                        "address {name}: {}/{} brd {} scope {} dynamic {} noprefixroute {} temporaries {} secondary {} peer {} label {} deprecated {} nodad {}",
                        address["local"],
                        address["prefixlen"],
                        address["broadcast"],
                        address["scope"],
                        address["dynamic"],
                        address["noprefixroute"],
                        address["mngtmpaddr"],
                        address["secondary"],
                        address["address"],
                        address["label"],
                        address["deprecated"],
                        address["nodad"],
                    ));
                }
            }
        }
        for link in ["c0", "c5"] {
            lines.insert(format!("forwards {link}: {:?}", self.forwards(link)));
        }
        for family in ["-4", "-6"] {
            for route in self.ip(&format!("-d {family} route show table all")) {
                // What the kernel makes of links alone is not ours to compare.
                if route["table"] == "local"
                    || route["dst"] == "fe80::/64"
                    || route["dst"] == "ff00::/8"
                {
                    continue;
                }
                lines.insert(format!(
                    "route {family} {} table {} to {} via {} dev {} proto {} metric {} source {} flags {} nexthops {} metrics {} pref {} scope {} expires {}",
                    route["type"],
                    route["table"],
                    route["dst"],
                    route["gateway"],
                    route["dev"],
                    route["protocol"],
                    route["metric"],
                    route["prefsrc"],
                    route["flags"],
                    route["nexthops"],
                    route["metrics"],
                    route["pref"],
                    route["scope"],
                    route.get("expires").is_some(),
                ));
            }
            for rule in self.ip(&format!("-d {family} rule")) {
                lines.insert(format!("rule {family} {rule}"));
            }
        }
        lines
    }

    /// Whether packets that come in by a link go on, for IPv4 and IPv6.
    fn forwards(&self, link: &str) -> (bool, bool) {
        let read = |file: &str| {
            let file = format!("/proc/sys/net/{file}");
            let told = shell(&format!("ip netns exec {} cat {file}; true", self.name));
            told.trim() == "1"
        };
        let by_link = read(&format!("ipv6/conf/{link}/force_forwarding"));
        let v4 = read(&format!("ipv4/conf/{link}/forwarding"));
        (v4, by_link || read("ipv6/conf/all/forwarding"))
    }

    /// Waits until all is there and nothing changes any more.
    fn settled(&self, whole: &[&str], pace: Duration, patience: Duration) -> BTreeSet<String> {
        let begun = Instant::now();
        let mut before = BTreeSet::new();
        loop {
            thread::sleep(pace);
            let lines = self.lines();
            let has = |part: &str| lines.iter().any(|line| line.contains(part));
            if whole.iter().all(|part| has(part)) && lines == before {
                return lines;
            }
            assert!(begun.elapsed() < patience, "{}: {lines:#?}", self.name);
            before = lines;
        }
    }
}

fn part_of(data: &Value, keys: &[&str]) -> Value {
    let parts = keys
        .iter()
        .map(|key| ((*key).to_owned(), data[*key].clone()));
    Value::Object(parts.collect())
}

fn networkd(dir: &Path, networks: &[(&str, &str)]) -> Peer {
    let files = dir.join("networkd");
    fs::create_dir_all(&files).unwrap();
    for (name, text) in networks {
        fs::write(files.join(name), text).unwrap();
    }
    let script = format!(
        "mount --make-rprivate / && umount /sys && mount -t sysfs -o ro sysfs /sys && mount -t tmpfs -o mode=755 tmpfs /run && mkdir -p /run/systemd/network /run/systemd/netif/links /run/systemd/netif/leases && \
         cp /tmp/networkd-story/* /run/systemd/network/ && chown -R systemd-network /run/systemd/netif && exec {NETWORKD}"
    );
    // Seen from within, where /run is another one.
    shell(&format!(
        "mkdir -p /tmp/networkd-story && mount -t tmpfs tmpfs /tmp/networkd-story && cp {}/* /tmp/networkd-story/",
        files.display()
    ));
    Peer::start(
        dir,
        "networkd",
        Some("theirs"),
        &["unshare", "--mount", "sh", "-c", &script],
    )
}

fn linnetd(dir: &Path, profiles: &[(&str, &str)]) -> Peer {
    let etc = dir.join("etc");
    fs::create_dir_all(etc.join("profiles")).unwrap();
    let main = "[resolver]\ndnssec = \"off\"\nrecursion = \"never\"\n";
    fs::write(etc.join("linnet.toml"), main).unwrap();
    for (name, text) in profiles {
        fs::write(etc.join(format!("profiles/{name}.toml")), text).unwrap();
    }
    let path = |name: &str| dir.join(name).display().to_string();
    let command = [
        LINNETD,
        "--config-dir",
        &path("etc"),
        "--runtime-dir",
        &path("run"),
        "--state-dir",
        &path("state"),
    ];
    Peer::start(dir, "linnetd", Some("ours"), &command)
}

#[test]
fn both_make_the_same_of_one_configuration_but_for_what_is_decided() {
    isolated(
        "links::networkd::both_make_the_same_of_one_configuration_but_for_what_is_decided",
        || {
            if !PathBuf::from(NETWORKD).exists() {
                return tests::skip(STORY, "systemd-networkd is not installed");
            }
            let dir = folder();
            let theirs = Place::raise(&dir, "theirs");
            let ours = Place::raise(&dir, "ours");
            let _networkd = networkd(&dir, &[&NETWORKS[..], &served::NETWORKS].concat());
            let _linnetd = linnetd(&dir, &[&PROFILES[..], &served::PROFILES].concat());
            let (pace, patience) = (Duration::from_millis(400), Duration::from_secs(12));
            let whole = [&WHOLE[..], &served::WHOLE].concat();
            let settled = |place: &Place| place.settled(&whole, pace, patience);
            let decisions = [&DECISIONS[..], &served::DECISIONS].concat();
            compare(settled(&theirs), settled(&ours), &decisions);
            let mtu = shell("ip netns exec ours cat /proc/sys/net/ipv6/conf/c1/mtu");
            assert_eq!(mtu.trim(), "1400", "where they have it on the route");
        },
    );
}

/// Nothing differs but what is decided, and all of that does.
fn compare(mut theirs: BTreeSet<String>, mut ours: BTreeSet<String>, decisions: &[Decision]) {
    for Decision {
        name,
        reason,
        lines,
        change,
    } in decisions
    {
        let mut used = false;
        if let Ours = change {
            let before = ours.len();
            ours.retain(|line| !lines.iter().all(|part| line.contains(part)));
            used = ours.len() < before;
        }
        let decided = theirs.into_iter().filter_map(|line| {
            if !lines.iter().all(|part| line.contains(part)) {
                return Some(line);
            }
            match change {
                Becomes(theirs, ours) => {
                    used |= line.contains(theirs);
                    Some(line.replace(theirs, ours))
                }
                Missing => {
                    used = true;
                    None
                }
                Ours => Some(line),
            }
        });
        theirs = decided.collect();
        assert!(used, "nothing differs as it is decided: {name} ({reason})");
    }
    let mut left: Vec<String> = Vec::new();
    left.extend(
        theirs
            .difference(&ours)
            .map(|line| format!("theirs {line}")),
    );
    left.extend(
        ours.difference(&theirs)
            .map(|line| format!("ours   {line}")),
    );
    assert!(
        left.is_empty(),
        "what nobody has decided differs:\n{}",
        left.join("\n")
    );
}
