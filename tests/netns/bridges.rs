//! Does a bridge that a profile makes carry packets? Its ports are up without a profile of their own, have no addresses, and
//! are as they were when nobody wants the bridge any more.

use std::fs;
use std::path::PathBuf;

use tests::dnsmasq::Dnsmasq;
use tests::namespace::{isolated, shell};
use tests::office::Office;
use tests::peer::{Peer, until};

use crate::{LINNET, LINNETD, json};

const BRIDGE: &str =
    "dhcp4 = true\n[link]\nname = \"br0\"\nkind = \"bridge\"\nports = [\"net0\"]\n";
/// A profile for whatever comes, as a package may ship it.
const ANYTHING: &str = "match = { kind = \"veth\" }\ndhcp4 = true\n";

/// A network with a DHCP server at the other end of `net0`, whose cable is plugged in and whose link is down.
fn network() -> (Office, Peer) {
    let dir = PathBuf::from("/run/story");
    fs::create_dir_all(&dir).unwrap();
    shell(
        "chmod 755 /run/story && ip netns add lan && ip -n lan link set lo up && ip link add net0 type veth peer name r0 netns lan && \
         ip -n lan addr add 192.0.2.1/24 dev r0 && ip -n lan link set r0 up",
    );
    let server = Dnsmasq::leasing(
        "r0",
        "192.0.2.100,192.0.2.150,600",
        &dir.join("leases"),
        "port=0 bind-dynamic",
    )
    .start(&dir, "dnsmasq", Some("lan"));
    let office = Office::bare(dir);
    office.configure(
        "linnet.toml",
        "[resolver]\ndnssec = \"off\"\nrecursion = \"never\"\n",
    );
    (office, server)
}

fn addresses(link: &str) -> String {
    shell(&format!("ip -4 -brief address show dev {link} | cat"))
}

fn mac(link: &str) -> String {
    shell(&format!("cat /sys/class/net/{link}/address"))
}

fn is_up(link: &str) -> bool {
    shell(&format!("ip -oneline link show dev {link}")).contains(",UP")
}

#[test]
fn a_bridge_carries_and_gives_its_port_back() {
    isolated("bridges::a_bridge_carries_and_gives_its_port_back", || {
        let (office, _server) = network();
        office.configure("profiles/br.toml", BRIDGE);
        let _linnetd = office.linnetd(LINNETD, &[]);
        until("the bridge has a lease", || {
            addresses("br0").contains("192.0.2.")
        });
        assert!(is_up("net0"));
        let status = json(&office, &["status"]);
        let links = status["links"].as_array().unwrap();
        let port = links.iter().find(|link| link["name"] == "net0").unwrap();
        assert_eq!(port["port_of"], "br0");
        // A container comes, whose address is less than all others.
        let before = (mac("br0"), addresses("br0"));
        assert_eq!(before.0, mac("net0"));
        shell(
            "ip link add c0 address 02:00:00:00:00:01 type veth peer name c1 && ip link set c0 master br0 && ip link set c0 up && ip link set c1 up",
        );
        assert_eq!((mac("br0"), addresses("br0")), before);
        shell("ip link del c0");

        fs::remove_file(office.dir().join("etc/profiles/br.toml")).unwrap();
        office.linnet(LINNET, &["config", "reload"]);
        until("the bridge is gone", || {
            !shell("ip -brief link | cat").contains("br0")
        });
        until("its port is down, as it was", || !is_up("net0"));
    });
}

#[test]
fn a_port_has_no_lease_of_its_own() {
    isolated("bridges::a_port_has_no_lease_of_its_own", || {
        let (office, server) = network();
        office.configure("profiles/anything.toml", ANYTHING);
        let _linnetd = office.linnetd(LINNETD, &[]);
        until("the link has a lease", || {
            addresses("net0").contains("192.0.2.")
        });
        office.configure("profiles/br.toml", BRIDGE);
        office.linnet(LINNET, &["config", "reload"]);
        until("the bridge has a lease", || {
            addresses("br0").contains("192.0.2.")
        });
        until("its port has none", || {
            !addresses("net0").contains("192.0.2.")
        });
        assert!(is_up("net0"));
        let log = server.log();
        assert!(!log.contains("DHCPDECLINE"), "{log}");
        let (_, status) = office.linnet(LINNET, &["status"]);
        assert!(
            status.contains("net0 is a port of br0: addresses and routes are those of br0"),
            "{status}"
        );
    });
}
