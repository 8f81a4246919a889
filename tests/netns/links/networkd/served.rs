//! The same for what DHCPv6 servers and several routers supply, for what is handed on, and for links with ports and tunnels that this machine's kernel has.

use super::*;

pub(super) const PROFILES: [(&str, &str); 4] = [
    (
        "managed",
        "match = { name = \"c3\" }\ndhcp6 = true\nra = true\nmetric = 210\naddress-generation = \"eui64\"\n[dhcp]\ndelegate = 56\n",
    ),
    (
        "stateless",
        "match = { name = \"c4\" }\ndhcp6 = true\nra = true\nmetric = 220\naddress-generation = \"eui64\"\n",
    ),
    (
        "behind",
        "match = { name = \"c5\" }\nra = false\nmetric = 200\nforwarding = true\n[delegated]\nfrom = \"managed\"\nsubnet = 1\n",
    ),
    (
        "overlay",
        "match = { name = \"vx0\" }\naddresses = [\"10.22.0.1/24\"]\nra = false\nmetric = 300\n[link]\nkind = \"vxlan\"\nid = 42\nlocal = \"192.0.2.10\"\nremote = \"192.0.2.99\"\ndestination-port = 4789\nttl = 9\n",
    ),
];

pub(super) const NETWORKS: [(&str, &str); 6] = [
    (
        "10-c3.network",
        "[Match]\nName=c3\n[Network]\nDHCP=ipv6\nIPv6AcceptRA=yes\n[DHCPv6]\nPrefixDelegationHint=::/56\nUseDNS=no\n[IPv6AcceptRA]\nRouteMetric=210\nUseDNS=no\n",
    ),
    (
        "10-c4.network",
        "[Match]\nName=c4\n[Network]\nDHCP=ipv6\nIPv6AcceptRA=yes\n[DHCPv6]\nUseDNS=no\n[IPv6AcceptRA]\nRouteMetric=220\nUseDNS=no\n",
    ),
    (
        "10-c5.network",
        "[Match]\nName=c5\n[Network]\nIPv6AcceptRA=no\nIPForward=yes\nDHCPPrefixDelegation=yes\n[DHCPPrefixDelegation]\nUplinkInterface=c3\nSubnetId=1\nToken=static:::1\nManageTemporaryAddress=no\nRouteMetric=200\n",
    ),
    (
        "10-c6.network",
        "[Match]\nName=c6\n[Network]\nBridge=br7\n[Bridge]\nCost=20\nPriority=16\nHairPin=yes\n",
    ),
    (
        "10-vx0.netdev",
        "[NetDev]\nName=vx0\nKind=vxlan\n[VXLAN]\nVNI=42\nLocal=192.0.2.10\nRemote=192.0.2.99\nDestinationPort=4789\nTTL=9\nIndependent=yes\n",
    ),
    (
        "10-vx0.network",
        "[Match]\nName=vx0\n[Network]\nAddress=10.22.0.1/24\nIPv6AcceptRA=no\n",
    ),
];

pub(super) const WHOLE: [&str; 7] = [
    "\"2001:db8:3::1234\"",
    "address c3: \"2001:db8:3::ff:fe00:13",
    "address c3: \"2001:db8:33::ff:fe00:13",
    "address c4: \"2001:db8:4::ff:fe00:14",
    "address c5: \"2001:db8:a:1::1\"",
    "10.22.0.1",
    "link c6: on null mtu 1500 up true master \"br7\"",
];

/// What is there for `c3` and `c4`: a server with one address and one prefix to give, and routers, two of them on one link.
pub(super) fn servers(dir: &Path, name: &str) -> Vec<Peer> {
    let lan = format!("lan-{name}");
    shell(&format!(
        "ip -n {lan} addr add 2001:db8:3::1/64 dev s3 nodad; ip -n {lan} addr add fe80::3/64 dev s3 nodad; ip -n {lan} addr add fe80::33/64 dev s3 nodad
         ip -n {lan} addr add 2001:db8:4::1/64 dev s4 nodad; ip -n {lan} addr add fe80::4/64 dev s4 nodad"
    ));
    let first = "interface s3 { AdvSendAdvert on; AdvManagedFlag on; MinRtrAdvInterval 3; MaxRtrAdvInterval 10; AdvRASrcAddress { fe80::3; };\n\
         prefix 2001:db8:3::/64 { AdvOnLink on; AdvAutonomous on; }; };\n\
         interface s4 { AdvSendAdvert on; AdvOtherConfigFlag on; MinRtrAdvInterval 3; MaxRtrAdvInterval 10; AdvRASrcAddress { fe80::4; };\n\
         prefix 2001:db8:4::/64 { AdvOnLink on; AdvAutonomous on; }; };\n";
    let second = "interface s3 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 10; AdvDefaultPreference low; AdvRASrcAddress { fe80::33; };\n\
         prefix 2001:db8:33::/64 { AdvOnLink on; AdvAutonomous on; }; };\n";
    vec![
        radvd::start(dir, &format!("{name}-radvd3"), &lan, first),
        radvd::start(dir, &format!("{name}-radvd33"), &lan, second),
        kea(dir, name, &lan),
    ]
}

fn kea(dir: &Path, name: &str, lan: &str) -> Peer {
    let folder = dir.join(format!("{name}-kea"));
    fs::create_dir_all(&folder).unwrap();
    let conf = folder.join("kea.json");
    let text = r#"{"Dhcp6": {"interfaces-config": {"interfaces": ["s3", "s4"], "service-sockets-max-retries": 100, "service-sockets-retry-wait-time": 50}, "lease-database": {"type": "memfile", "persist": false},
       "server-id": {"type": "EN", "enterprise-id": 32473, "identifier": "010203", "persist": false},
       "preferred-lifetime": 3000, "valid-lifetime": 4000, "option-data": [{"name": "dns-servers", "data": "2001:db8:3::1"}],
       "subnet6": [{"subnet": "2001:db8:3::/64", "interface": "s3", "pools": [{"pool": "2001:db8:3::1234 - 2001:db8:3::1234"}],
         "pd-pools": [{"prefix": "2001:db8:a::", "prefix-len": 56, "delegated-len": 56}]}, {"subnet": "2001:db8:4::/64", "interface": "s4"}],
       "loggers": [{"name": "kea-dhcp6", "severity": "DEBUG", "debuglevel": 45, "output_options": [{"output": "stdout"}]}]}}"#;
    fs::write(&conf, text).unwrap();
    let command = format!(
        "KEA_PIDFILE_DIR={0} KEA_LOCKFILE_DIR={0} exec kea-dhcp6 -c {1}",
        folder.display(),
        conf.display()
    );
    Peer::start(
        dir,
        &format!("{name}-kea"),
        Some(lan),
        &["sh", "-c", &command],
    )
}

/// After the others.
pub(super) const DECISIONS: [Decision; 10] = [
    Decision {
        name: "the address of a DHCPv6 lease has the kernel's prefix route",
        reason: "as every other address; that of a /128 leads to nobody, as the address is this host's own",
        lines: &["address c3:", "::1234\"/128"],
        change: Becomes("noprefixroute true", "noprefixroute null"),
    },
    Decision {
        name: "so there is one",
        reason: "it comes and goes with the address",
        lines: &["to \"2001:db8:3::1234\" via null dev \"c3\" proto \"kernel\""],
        change: Ours,
    },
    Decision {
        name: "routers of one link have an order",
        reason: "that of their preference (RFC 4191); there all of them are one route with several hops, whatever they say of themselves",
        lines: &["to \"default\" via null", "\"fe80::33\"", "metric 210"],
        change: Missing,
    },
    Decision {
        name: "the first router has the default route, with a source that it takes",
        reason: "other routers may drop packets from prefixes that they did not advertise (RFC 8028)",
        lines: &[
            "to \"default\" via \"fe80::3\" dev \"c3\"",
            "metric 210 source \"2001:db8:3::ff:fe00:13\"",
            "pref \"medium\"",
        ],
        change: Ours,
    },
    Decision {
        name: "the second router comes after it",
        reason: "it says of itself that it does",
        lines: &[
            "to \"default\" via \"fe80::33\" dev \"c3\"",
            "metric 211 source \"2001:db8:33::ff:fe00:13\"",
            "pref \"low\"",
        ],
        change: Ours,
    },
    Decision {
        name: "what begins with the second router's prefix leaves by it",
        reason: "RFC 8028, by a table of its own",
        lines: &["table \"1120", "to \"default\" via \"fe80::33\" dev \"c3\""],
        change: Ours,
    },
    Decision {
        name: "rules lead to that table",
        reason: "after whatever else the main table knows",
        lines: &["rule -6", "\"src\":\"2001:db8:33::\",\"srclen\":64"],
        change: Ours,
    },
    Decision {
        name: "what no link gets of a delegated prefix is unreachable after all else",
        reason: "any other route to a part of it, and of any metric, is meant",
        lines: &["\"unreachable\"", "to \"2001:db8:a::/56\""],
        change: Becomes("metric 1024", "metric 2147483647"),
    },
    Decision {
        name: "links forward whose profiles say so",
        reason: "there one link makes a router of all of them, and kernels that are one stop listening to routers",
        lines: &["forwards c0"],
        change: Becomes("(true, true)", "(false, false)"),
    },
    Decision {
        name: "what nobody says of a link is as the kernel has it",
        reason: "there all attributes are written, this one with another value than the kernel's",
        lines: &["link vx0"],
        change: Becomes("\"udp_csum\":false", "\"udp_csum\":true"),
    },
];
