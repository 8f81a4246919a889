//! Worlds of an office: a cable with DHCP, routers and a delegated prefix, and a VPN that comes and goes, whose names are claimed.

use std::time::Duration;

use config::model::Prefix;
use linnet::config_dirs::{ConfigText, Kind};

use super::air::Network;
use super::host::Host;
use super::story::{file, main, tell};

const CABLE: &str =
    "match = { name = \"eth0\" }\ndhcp4 = true\nra = true\ndhcp6 = true\n[dhcp]\ndelegate = 56\n";
const LAB: &str = "match = { name = \"lab0\" }\n[delegated]\nfrom = \"cable\"\nsubnet = 1\n";
const OFFICE: &str = "match = { name = \"vpn0\" }\naddresses = [\"10.8.0.2/24\"]\n[dns]\nupstreams = [\"10.8.0.1\"]\nclaims = [\"corp.example\"]\nsearch = [\"corp.example\"]\n";
const MORE: &str = "[[routes]]\nto = \"10.9.0.0/16\"\nvia = \"10.8.0.1\"\n";
const CABLE_INDEX: u32 = 2;
const LAB_INDEX: u32 = 4;
/// Behind the VPN.
const INSIDE: u8 = 8;
const PLACES: [u8; 3] = [4, 5, 6];

fn files(seed: u64, office: &str) -> Vec<ConfigText> {
    vec![
        main(seed),
        file(Kind::Profile, "profiles/cable.toml", CABLE),
        file(Kind::Profile, "profiles/lab.toml", LAB),
        file(Kind::Profile, "profiles/office.toml", office),
    ]
}

fn desk(seed: u64) -> Host {
    let mut host = Host::new(seed, files(seed, OFFICE));
    for number in [4, 5] {
        let mut network = Network::new(number).with_dhcp6();
        network.dhcp4.domain = Some("home.test");
        host.add_network(network);
    }
    host.add_network(Network::new(6));
    host.add_network(Network::fixed(INSIDE, [10, 8, 0], 1));
    host.add_link(CABLE_INDEX, "eth0", "ethernet");
    host.add_link(LAB_INDEX, "lab0", "ethernet");
    host
}

/// The VPN's link comes, or comes anew.
fn dial(host: &mut Host) {
    hang_up(host);
    let index = match host.dice.one_in(3) {
        true => 10,
        false => 10 + u32::try_from(host.dice.below(5)).unwrap(),
    };
    host.add_link(index, "vpn0", "tun");
    host.attach(index, INSIDE);
}

fn hang_up(host: &mut Host) {
    if let Some(index) = host.index_of("vpn0") {
        host.remove_link(index);
    }
}

fn act(host: &mut Host) {
    host.faults.roll(&mut host.dice);
    host.start();
    let mut here = host.dice.of(&PLACES);
    host.attach(CABLE_INDEX, here);
    for _ in 0..10 {
        match host.dice.below(14) {
            0 | 1 => dial(host),
            2 => hang_up(host),
            3 => {
                if let Some(index) = host.index_of("vpn0") {
                    host.detach(index);
                    let away = host.dice.millis(0, 4000);
                    host.run_for(away);
                    host.attach(index, INSIDE);
                }
            }
            4 => {
                here = host.dice.of(&PLACES);
                host.ask_before_leaving();
                host.detach(CABLE_INDEX);
                let away = host.dice.of(&[0, 3, 200, 5000]);
                host.run_for(Duration::from_millis(away));
                host.attach(CABLE_INDEX, here);
                host.ask_after_coming();
            }
            5 => {
                let network = host.dice.of(&[here, INSIDE]);
                host.spoil_names(network);
            }
            6 => host.spoil_leases(here),
            7 => host.spoil_routers(here),
            8 => {
                let office = host.dice.of(&["", MORE]);
                host.files = files(host.seed, &format!("{OFFICE}{office}"));
                host.reload();
            }
            9 if host.dice.one_in(3) => host.crash(),
            _ => host.ask_on(),
        }
        host.wait();
    }
    dial(host);
    host.files = files(host.seed, OFFICE);
    host.reload();
    host.calm_down();
    let own = Prefix {
        address: std::net::Ipv4Addr::new(10, 8, 0, 2).into(),
        length: 24,
    };
    host.check_leavings(&[own]);
    host.check_uplink(CABLE_INDEX, here);
    assert_eq!(host.network_of("fresh.corp.example"), Some(INSIDE));
    assert_eq!(host.network_of("intruder-fresh.pub.test"), Some(INSIDE));
    host.check_rest();
    host.end();
}

#[test]
fn an_office_is_reached_by_its_vpn_alone() {
    tell("office", 2200, act, desk);
}
