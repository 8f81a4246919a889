//! What does linnetd do for links that only a machine with Debian's kernel has? One of a kind that stands in none of our tables gets what its
//! profile says; cards are told how fast they are and what wakes the machine.

use std::fs;
use std::path::PathBuf;

use config::kind::LinkKind;
use tests::dnsmasq::Dnsmasq;
use tests::namespace::shell;
use tests::office::Office;
use tests::peer::{Peer, until};

use crate::{LINNET, LINNETD, json};

/// Their drivers, and what a profile says of each; what ethtool shows before and then.
const CARDS: [(&str, &str, [&str; 2]); 2] = [
    (
        "e1000e",
        "speed = 100\nduplex = \"full\"",
        ["Auto-negotiation: on", "Speed: 100Mb/s"],
    ),
    (
        "vmxnet3",
        "wake-on-lan = [\"magic\"]",
        ["\tWake-on: d", "\tWake-on: g"],
    ),
];
/// Their modules; and how the machine comes to have them.
pub(super) const MODULES: [&str; 2] = [CARDS[0].0, CARDS[1].0];
pub(super) const DEVICES: &str = "-device e1000e -device vmxnet3";

/// An Ethernet in a tunnel.
const UNKNOWN: &str = "erspan";

/// Begins with none of it set, has one linnetd set all of it, and takes the profiles away.
pub(super) fn links_and_cards() {
    let dir = PathBuf::from("/run/story");
    fs::create_dir_all(&dir).unwrap();
    shell("chmod 755 /run/story");
    let _served = far_end(&dir);
    let office = Office::bare(dir);
    office.configure("linnet.toml", "");
    assert!(LinkKind::of(UNKNOWN).is_none());
    let profile = format!("match = {{ kind = \"{UNKNOWN}\" }}\ndhcp4 = true\n");
    office.configure("profiles/tunnel.toml", &profile);
    for (driver, says, [before, _]) in CARDS {
        assert!(shown(driver).contains(before), "{}", shown(driver));
        let profile = format!("match = {{ driver = \"{driver}\" }}\n[hardware]\n{says}\n");
        office.configure(&format!("profiles/{driver}.toml"), &profile);
    }
    let _linnetd = office.linnetd(LINNETD, &[]);
    until("the lease and its route are there", || {
        let addresses = shell("ip -4 -brief address show dev odd0");
        let routes = shell("ip -4 route show default dev odd0");
        // All kinds that linnet knows nothing of have one metric.
        addresses.contains("198.51.100.1") && routes.contains("metric 500")
    });
    for (driver, _, [_, then]) in CARDS {
        until("the card is set", || shown(driver).contains(then));
        fs::remove_file(office.path(&format!("etc/profiles/{driver}.toml"))).unwrap();
    }
    let fast = shown(CARDS[0].0);
    assert!(
        fast.contains("Duplex: Full") && fast.contains("Auto-negotiation: off"),
        "{fast}"
    );
    let status = json(&office, &["status"]);
    let mut links = status["links"].as_array().unwrap().iter();
    assert!(
        links.any(|link| link["name"] == "odd0" && link["kind"] == UNKNOWN),
        "{status}"
    );
    let (code, text) = office.linnet(LINNET, &["config", "reload"]);
    assert_eq!(code, 0, "{text}");
    for (driver, _, [before, _]) in CARDS {
        until("the card is as it was", || shown(driver).contains(before));
    }
}

/// Makes both ends of the tunnel, and serves DHCP at the far one.
fn far_end(dir: &std::path::Path) -> Peer {
    let tunnel = |name: &str, local: &str, remote: &str| {
        format!("{name} type {UNKNOWN} seq key 1 local {local} remote {remote} erspan_ver 1")
    };
    let (near, far) = ("203.0.113.1", "203.0.113.2");
    shell(&format!(
        "ip netns add far && ip link add m0 type veth peer name m1 netns far && ip addr add {near}/24 dev m0 && ip link set m0 up && \
         ip -n far addr add {far}/24 dev m1 && ip -n far link set m1 up && ip link add {} && ip -n far link add {} && \
         ip -n far link set odd1 up && ip -n far addr add 198.51.100.1/24 dev odd1",
        tunnel("odd0", near, far),
        tunnel("odd1", far, near)
    ));
    Dnsmasq::leasing(
        "odd1",
        "198.51.100.100,198.51.100.150,255.255.255.0,600",
        &dir.join("far.leases"),
        "port=0 bind-dynamic",
    )
    .start(dir, "dnsmasq", Some("far"))
}

/// What ethtool shows of a driver's card.
fn shown(driver: &str) -> String {
    shell(&format!(
        "for link in /sys/class/net/*; do [ \"$(basename \"$(readlink $link/device/driver)\")\" != {driver} ] || ethtool ${{link##*/}}; done"
    ))
}
