//! Worlds of a train: two uplinks whose carriers flap, sleeps of minutes to days, clocks that jump.

use std::time::Duration;

use linnet::config_dirs::Kind;

use super::air::Network;
use super::host::Host;
use super::story::{file, main, tell};

const UPLINKS: &str =
    "match = { name = [\"wlan0\", \"wwan0\"] }\ndhcp4 = true\nra = true\ndhcp6 = true\n";
const PATIENT: &str = "match = { name = [\"wlan0\", \"wwan0\"] }\ndhcp4 = true\nra = true\n[carrier]\nsupplied = \"20s\"\n";
const OFFICE: &str =
    "match = { name = \"vpn0\" }\n[dns]\nupstreams = [\"10.8.0.1\"]\nclaims = [\"corp.example\"]\n";
const WLAN: u32 = 3;
const WWAN: u32 = 5;
const ON_BOARD: u8 = 6;
const CELLS: [u8; 2] = [7, 9];

fn traveller(seed: u64) -> Host {
    let uplinks = if seed.is_multiple_of(2) {
        UPLINKS
    } else {
        PATIENT
    };
    let files = vec![
        main(seed / 2),
        file(Kind::Profile, "profiles/uplinks.toml", uplinks),
        file(Kind::Profile, "profiles/office.toml", OFFICE),
    ];
    let mut host = Host::new(seed, files);
    host.add_network(Network::new(ON_BOARD).with_router());
    host.add_network(Network::new(CELLS[0]).with_router());
    host.add_network(Network::new(CELLS[1]));
    host.add_link(WLAN, "wlan0", "wifi");
    host.add_link(WWAN, "wwan0", "wwan");
    host
}

fn act(host: &mut Host) {
    host.faults.roll(&mut host.dice);
    host.start();
    host.attach(WLAN, ON_BOARD);
    host.attach(WWAN, CELLS[0]);
    for _ in 0..8 {
        match host.dice.below(12) {
            0..=2 => flap(host, WLAN, ON_BOARD),
            3 | 4 => {
                let cell = host.dice.of(&CELLS);
                flap(host, WWAN, cell);
            }
            5 => {
                let time = host.dice.of(&[60, 4000, 50_000, 400_000]);
                let time = host.dice.seconds(time / 2, time);
                host.sleep(time);
            }
            6 => {
                host.wall_shift = host.dice.of(&[0, 0, -3600, 86_400, -400_000_000]);
                host.set_clock();
            }
            7 => {
                let network = host.dice.of(&[ON_BOARD, CELLS[0]]);
                host.spoil_names(network);
                host.network(network).loses_one_in = 4;
            }
            8 => host.spoil_leases(ON_BOARD),
            9 if host.dice.one_in(3) => host.crash(),
            _ => host.ask_on(),
        }
        host.wait();
    }
    host.wall_shift = 0;
    host.set_clock();
    host.attach(WWAN, CELLS[0]);
    host.attach(WLAN, ON_BOARD);
    host.calm_down();
    host.check_leavings(&[]);
    host.check_uplink(WLAN, ON_BOARD);
    host.detach(WLAN);
    host.run_for(Duration::from_secs(30));
    host.check_uplink(WWAN, CELLS[0]);
    host.check_rest();
    host.end();
}

fn flap(host: &mut Host, index: u32, network: u8) {
    for _ in 0..=host.dice.below(2) {
        host.detach(index);
        let away = host.dice.of(&[0, 20, 1000, 9000]);
        let away = host.dice.millis(0, away + 1);
        host.run_for(away);
        host.attach(index, network);
        let stay = host.dice.millis(0, 5000);
        host.run_for(stay);
    }
}

#[test]
fn a_train_has_two_uplinks_and_neither_is_to_be_relied_on() {
    tell("train", 500, act, traveller);
}
