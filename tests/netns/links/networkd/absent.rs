//! The same for kinds that this machine's kernel need not have: VLANs, one in another among them, a bond, tunnels, a VRF.

use super::*;
use tests::machine::in_machine;

const PROFILES: [(&str, &str); 10] = [
    (
        "bond",
        "match = { name = \"bond7\" }\naddresses = [\"10.30.0.1/24\"]\nra = false\nmetric = 300\n[link]\nkind = \"bond\"\nmode = \"active-backup\"\nmii-interval = \"100ms\"\n\
         primary = \"c1\"\nprimary-reselect = \"better\"\nports = [\"c1\", \"c2\"]\n",
    ),
    (
        "ipip",
        "match = { name = \"t0\" }\naddresses = [\"10.31.0.1/30\"]\nra = false\nmetric = 300\n[link]\nkind = \"ipip\"\nlocal = \"192.0.2.10\"\nremote = \"192.0.2.20\"\nttl = 33\n",
    ),
    (
        "gre",
        "match = { name = \"t1\" }\naddresses = [\"10.32.0.1/30\"]\nra = false\nmetric = 300\n[link]\nkind = \"gre\"\nlocal = \"192.0.2.10\"\nremote = \"192.0.2.21\"\nkey = 7\nttl = 33\n",
    ),
    (
        "sit",
        "match = { name = \"t2\" }\naddresses = [\"2001:db8:33::1/64\"]\nra = false\nmetric = 300\n[link]\nkind = \"sit\"\nlocal = \"192.0.2.10\"\nremote = \"192.0.2.22\"\nttl = 33\n",
    ),
    (
        "six",
        "match = { name = \"t3\" }\naddresses = [\"10.34.0.1/30\"]\nra = false\nmetric = 300\n[link]\nkind = \"ip6tnl\"\nlocal = \"2001:db8::10\"\nremote = \"2001:db8::20\"\nhop-limit = 33\n",
    ),
    (
        "vrf",
        "match = { name = \"red\" }\nra = false\n[link]\nkind = \"vrf\"\ntable = 77\nports = [\"c3\"]\n",
    ),
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

const NETWORKS: [(&str, &str); 22] = [
    (
        "10-bond7.netdev",
        "[NetDev]\nName=bond7\nKind=bond\n[Bond]\nMode=active-backup\nMIIMonitorSec=100ms\nPrimaryReselectPolicy=better\n",
    ),
    (
        "10-bond7.network",
        "[Match]\nName=bond7\n[Network]\nAddress=10.30.0.1/24\nIPv6AcceptRA=no\n",
    ),
    (
        "10-c1.network",
        "[Match]\nName=c1\n[Network]\nBond=bond7\nPrimarySlave=yes\n",
    ),
    ("10-c2.network", "[Match]\nName=c2\n[Network]\nBond=bond7\n"),
    (
        "10-c3.network",
        "[Match]\nName=c3\n[Network]\nVRF=red\nIPv6AcceptRA=no\n",
    ),
    (
        "10-red.netdev",
        "[NetDev]\nName=red\nKind=vrf\n[VRF]\nTable=77\n",
    ),
    (
        "10-red.network",
        "[Match]\nName=red\n[Network]\nIPv6AcceptRA=no\nLinkLocalAddressing=no\n",
    ),
    (
        "10-t0.netdev",
        "[NetDev]\nName=t0\nKind=ipip\n[Tunnel]\nLocal=192.0.2.10\nRemote=192.0.2.20\nTTL=33\nIndependent=yes\n",
    ),
    (
        "10-t0.network",
        "[Match]\nName=t0\n[Network]\nAddress=10.31.0.1/30\nIPv6AcceptRA=no\n",
    ),
    (
        "10-t1.netdev",
        "[NetDev]\nName=t1\nKind=gre\n[Tunnel]\nLocal=192.0.2.10\nRemote=192.0.2.21\nKey=7\nTTL=33\nIndependent=yes\n",
    ),
    (
        "10-t1.network",
        "[Match]\nName=t1\n[Network]\nAddress=10.32.0.1/30\nIPv6AcceptRA=no\n",
    ),
    (
        "10-t2.netdev",
        "[NetDev]\nName=t2\nKind=sit\n[Tunnel]\nLocal=192.0.2.10\nRemote=192.0.2.22\nTTL=33\nIndependent=yes\n",
    ),
    (
        "10-t2.network",
        "[Match]\nName=t2\n[Network]\nAddress=2001:db8:33::1/64\nIPv6AcceptRA=no\n",
    ),
    (
        "10-t3.netdev",
        "[NetDev]\nName=t3\nKind=ip6tnl\n[Tunnel]\nMode=any\nLocal=2001:db8::10\nRemote=2001:db8::20\nTTL=33\nIndependent=yes\n",
    ),
    (
        "10-t3.network",
        "[Match]\nName=t3\n[Network]\nAddress=10.34.0.1/30\nIPv6AcceptRA=no\n",
    ),
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
        lines: &["metric 256", "to \"2001:db8:", "proto \"kernel\""],
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
fn both_make_the_same_of_kinds_that_kernels_lack() {
    const NAME: &str = "links::networkd::absent::both_make_the_same_of_kinds_that_kernels_lack";
    in_machine(
        NAME,
        &[
            "8021q",
            "veth",
            "bonding",
            "ipip",
            "ip_gre",
            "sit",
            "ip6_tunnel",
            "vrf",
        ],
        || {
            if !PathBuf::from(NETWORKD).exists() {
                return tests::skip(NAME, "systemd-networkd is not installed");
            }
            let dir = folder();
            let [theirs, ours] = ["theirs", "ours"].map(|name| {
            shell(&format!(
                "ip netns add {name} && ip -n {name} link set lo up && for n in 0 1 2 3; do \
                 ip -n {name} link add c$n address 02:00:00:00:00:1$n type veth peer name s$n && ip -n {name} link set s$n up; done"
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
                "address bond7: \"10.30.0.1\"",
                "address t0: \"10.31.0.1\"",
                "address t1: \"10.32.0.1\"",
                "address t2: \"2001:db8:33::1\"",
                "address t3: \"10.34.0.1\"",
                "link c1: on \"s1\" mtu 1500 up true master \"bond7\"",
                "link c2: on \"s2\" mtu 1500 up true master \"bond7\"",
                "link c3: on \"s3\" mtu 1500 up true master \"red\"",
            ];
            let [theirs, ours] = [theirs, ours].map(|place| place.settled(&whole, PACE, PATIENCE));
            assert!(
                ours.iter().any(|line| line.contains("\"802.1ad\" id 6")),
                "{ours:#?}"
            );
            compare(theirs, ours, &DECISIONS);
        },
    );
}
