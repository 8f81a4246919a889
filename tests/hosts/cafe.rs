//! Worlds of a laptop that roams: cafes with portals and short leases, two of them alike to the last bit of their addresses.

use std::net::Ipv4Addr;
use std::time::Duration;

use config::model::Prefix;
use linkmgr::fake::FakeAddress;
use linnet::config_dirs::Kind;

use super::air::Network;
use super::host::Host;
use super::story::{file, main, tell};

const LAPTOP: &str =
    "match = { name = [\"wlan0\", \"eth0\"] }\ndhcp4 = true\nra = true\ndhcp6 = true\n";
/// Servers that whoever wrote the profile has chosen: their addresses are in two of the cafes, where others answer.
const CHOSEN: &str = "[dns]\nupstreams = [\"192.168.1.53\", \"192.168.1.54\"]\n";
const OFFICE: &str = "match = { name = \"vpn0\" }\n[dns]\nupstreams = [\"10.8.0.1\"]\nclaims = [\"corp.example\"]\nsearch = [\"corp.example\"]\n";
const WLAN: u32 = 3;

/// Whether the servers are chosen, and not the network's.
const fn has_chosen(seed: u64) -> bool {
    seed % 3 == 1
}

/// Returns where the laptop may be.
const fn places(seed: u64) -> &'static [u8] {
    match has_chosen(seed) {
        true => &[1, 2],
        false => &[1, 2, 3, 4],
    }
}

fn laptop(seed: u64) -> Host {
    let chosen = if has_chosen(seed) { CHOSEN } else { "" };
    let files = vec![
        main(seed),
        file(
            Kind::Profile,
            "profiles/laptop.toml",
            &format!("{LAPTOP}{chosen}"),
        ),
        file(Kind::Profile, "profiles/office.toml", OFFICE),
    ];
    let mut host = Host::new(seed, files);
    host.add_network(Network::at(1, [192, 168, 1]));
    host.add_network(Network::at(2, [192, 168, 1]));
    host.add_network(Network::new(3).with_router());
    host.add_network(Network::new(4).with_dhcp6());
    host.add_link(WLAN, "wlan0", "wifi");
    host
}

/// Somebody else has an address of the prefix that leases are of: that goes with nobody's lease.
fn share_prefix(host: &mut Host) {
    let address = Prefix {
        address: Ipv4Addr::new(192, 168, 1, 250).into(),
        length: 24,
    };
    let mut there = host.kernel.addresses().iter();
    if !there.any(|(_, it)| it.prefix == address) {
        let theirs = FakeAddress::foreign(address);
        host.kernel.put_address(WLAN, theirs, host.now);
        host.rules.others_acted(host.now);
        host.follow_kernel();
    }
}

fn act(host: &mut Host) {
    host.faults.roll(&mut host.dice);
    host.start();
    let mut here = host.dice.of(places(host.seed));
    host.attach(WLAN, here);
    for _ in 0..10 {
        match host.dice.below(12) {
            0..=2 => {
                // Another access point: of the same network, or of another one.
                let other = host.dice.of(places(host.seed));
                here = host.dice.of(&[here, other]);
                host.ask_before_leaving();
                host.detach(WLAN);
                let away = host.dice.of(&[0, 3, 200, 5000]);
                host.run_for(Duration::from_millis(away));
                host.attach(WLAN, here);
                host.ask_after_coming();
            }
            3 => host.spoil_names(here),
            4 => host.spoil_leases(here),
            5 => host.network(here).loses_one_in = 5,
            8 => share_prefix(host),
            6 => {
                let time = host.dice.seconds(30, 4000);
                host.sleep(time);
            }
            7 if host.dice.one_in(3) => host.crash(),
            _ => {
                for _ in 0..3 {
                    host.ask_something();
                    let pause = host.dice.millis(0, 700);
                    host.run_for(pause);
                }
            }
        }
        let time = host.dice.of(&[10, 500, 4000, 40_000]);
        let time = host.dice.millis(0, time);
        host.run_for(time);
    }
    host.calm_down();
    host.check_leavings(&[]);
    host.check_uplink(WLAN, here);
    host.check_rest();
    host.end();
}

#[test]
fn a_laptop_roams_between_cafes() {
    tell("cafe", 2600, act, laptop);
}
