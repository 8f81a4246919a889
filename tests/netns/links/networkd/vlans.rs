//! The same for VLANs, one in another among them.

use super::*;
use tests::machine::in_machine;

const PROFILES: [(&str, &str); 4] = [
    (
        "trunk",
        "match = { name = \"c0\" }\naddresses = [\"192.0.2.10/24\"]\nra = false\nmetric = 300\n",
    ),
    (
        "office",
        "match = { name = \"v5\" }\naddresses = [\"10.5.0.1/24\", \"2001:db8:5::1/64\"]\nra = false\nmetric = 300\nmtu = 1400\n\
         [[routes]]\nto = \"10.55.0.0/16\"\nvia = \"10.5.0.9\"\nmetric = 70\n[link]\nkind = \"vlan\"\nparent = \"c0\"\nid = 5\n",
    ),
    (
        "service",
        "match = { name = \"s6\" }\nra = false\n[link]\nkind = \"vlan\"\nparent = \"c0\"\nid = 6\nprotocol = \"802.1ad\"\nreorder-header = false\n",
    ),
    (
        "customer",
        "match = { name = \"q7\" }\naddresses = [\"10.7.0.1/24\"]\nra = false\nmetric = 300\n[link]\nkind = \"vlan\"\nparent = \"s6\"\nid = 7\nloose-binding = true\n",
    ),
];

const NETWORKS: [(&str, &str); 7] = [
    (
        "10-c0.network",
        "[Match]\nName=c0\n[Network]\nAddress=192.0.2.10/24\nIPv6AcceptRA=no\nVLAN=v5\nVLAN=s6\n",
    ),
    (
        "10-v5.netdev",
        "[NetDev]\nName=v5\nKind=vlan\n[VLAN]\nId=5\n",
    ),
    (
        "10-v5.network",
        "[Match]\nName=v5\n[Link]\nMTUBytes=1400\n[Network]\nAddress=10.5.0.1/24\nAddress=2001:db8:5::1/64\nIPv6AcceptRA=no\n\
         [Route]\nDestination=10.55.0.0/16\nGateway=10.5.0.9\nMetric=70\n",
    ),
    (
        "10-s6.netdev",
        "[NetDev]\nName=s6\nKind=vlan\n[VLAN]\nId=6\nProtocol=802.1ad\nReorderHeader=no\n",
    ),
    (
        "10-s6.network",
        "[Match]\nName=s6\n[Network]\nIPv6AcceptRA=no\nVLAN=q7\n",
    ),
    (
        "10-q7.netdev",
        "[NetDev]\nName=q7\nKind=vlan\n[VLAN]\nId=7\nLooseBinding=yes\n",
    ),
    (
        "10-q7.network",
        "[Match]\nName=q7\n[Network]\nAddress=10.7.0.1/24\nIPv6AcceptRA=no\n",
    ),
];

const DECISIONS: [Decision; 3] = [
    Decision {
        name: "a link's prefix routes have its metric",
        reason: "of two links in one network, the one that is ranked first has it",
        lines: &["proto \"kernel\""],
        change: Becomes("metric null", "metric 300"),
    },
    Decision {
        name: "a link's IPv6 prefix routes have its metric too",
        reason: "as those of IPv4",
        lines: &["to \"2001:db8:5::/64\"", "proto \"kernel\""],
        change: Becomes("metric 256", "metric 300"),
    },
    Decision {
        name: "static routes have linnet's number",
        reason: "it marks what is linnet's",
        lines: &["route"],
        change: Becomes("proto \"static\"", "proto \"112\""),
    },
];

/// The machine is many times slower.
const PATIENCE: Duration = Duration::from_secs(120);
const PACE: Duration = Duration::from_secs(1);

#[test]
fn both_make_the_same_vlans() {
    const NAME: &str = "links::networkd::vlans::both_make_the_same_vlans";
    in_machine(NAME, &["8021q", "veth"], || {
        if !PathBuf::from(NETWORKD).exists() {
            return tests::skip(NAME, "systemd-networkd is not installed");
        }
        let dir = folder();
        let [theirs, ours] = ["theirs", "ours"].map(|name| {
            shell(&format!(
                "ip netns add {name} && ip -n {name} link set lo up && ip -n {name} link add c0 address 02:00:00:00:00:10 type veth peer name s0 && \
                 ip -n {name} link set s0 up"
            ));
            let _servers = Vec::new();
            Place { name, _servers }
        });
        let _networkd = networkd(&dir, &NETWORKS);
        let _linnetd = linnetd(&dir, &PROFILES);
        let whole = [
            "link s6: on \"c0\" mtu 1500 up true",
            "link q7: on \"s6\" mtu 1500 up true",
            "link v5: on \"c0\" mtu 1400 up true",
            "address c0: \"192.0.2.10\"",
            "address q7: \"10.7.0.1\"",
            "address v5: \"10.5.0.1\"",
            "address v5: \"2001:db8:5::1\"",
            "to \"2001:db8:5::/64\"",
            "10.55.0.0/16",
        ];
        let [theirs, ours] = [theirs, ours].map(|place| place.settled(&whole, PACE, PATIENCE));
        assert!(
            ours.iter().any(|line| line.contains("\"802.1ad\" id 6")),
            "{ours:#?}"
        );
        compare(theirs, &ours, &DECISIONS);
    });
}
