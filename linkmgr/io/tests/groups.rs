//! Is LLDP heard whichever of its groups it is spoken to? A port on a link of a network namespace, in which the test runs itself again.

#![expect(clippy::unwrap_used, reason = "a test may fail at any line")]

mod namespace;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use config::matcher::Mac;
use linkmgr::clients::{Port, PortChanges, WantedPort};
use linkmgr_io::Ports;

use namespace::in_namespace;

/// Speaks LLDP to a group whose address ends so: one octet of nothing.
const SAY: &str = "import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0x88cc))
last = int(sys.argv[2])
s.send(bytes([1, 0x80, 0xc2, 0, 0, last]) + s.getsockname()[4] + bytes([0x88, 0xcc, last]))";

fn run(program: &str, arguments: &[&str]) {
    let ran = Command::new(program).args(arguments).status().unwrap();
    assert!(ran.success(), "{program} {arguments:?}");
}

#[test]
fn lldp_is_heard_whichever_bridge_it_is_meant_for() {
    in_namespace(
        "lldp_is_heard_whichever_bridge_it_is_meant_for",
        async || {
            let make = "link add home0 type veth peer name far0";
            for command in [make, "link set home0 up", "link set far0 up"] {
                run("ip", &command.split(' ').collect::<Vec<_>>());
            }
            let index = nix::net::if_::if_nametoindex("home0").unwrap();
            let mut ports = Ports::new().unwrap();
            let wanted = WantedPort {
                index,
                port: Port::Lldp,
                arp: None,
                mac: Some(Mac([2, 0, 0, 0, 0, 1])),
            };
            let failed = ports.apply(PortChanges {
                open: vec![wanted],
                close: Vec::new(),
            });
            assert!(failed.is_empty(), "{failed:?}");
            // A card passes on what its list has.
            let lists = std::fs::read_to_string("/proc/net/dev_mcast").unwrap();
            let of_home0 = lists.lines().filter(|line| line.contains("home0"));
            let joined = of_home0.filter_map(|line| line.split_whitespace().last());
            let joined: BTreeSet<&str> = joined.collect();
            for (last, group) in [
                ("14", "0180c200000e"),
                ("3", "0180c2000003"),
                ("0", "0180c2000000"),
            ] {
                assert!(joined.contains(group), "{group} of {joined:?}");
                run("python3", &["-c", SAY, "far0", last]);
                let heard = tokio::time::timeout(Duration::from_secs(30), ports.next()).await;
                let heard = heard.expect("it is heard");
                let octets: Vec<_> = heard.iter().map(|heard| heard.octets[0]).collect();
                assert_eq!(octets, [last.parse::<u8>().unwrap()]);
            }
        },
    );
}
