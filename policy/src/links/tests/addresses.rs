//! What becomes of what a profile says of a static address?

use config::model::{AddressAttributes, AddressLabel, AddressScope, ConflictUse, StaticAddress};

use super::*;

fn plain(text: &str) -> StaticAddress {
    prefix(text).into()
}

fn check_one(address: StaticAddress, table: Option<u32>, expected: &[&str]) {
    let network = NetworkSettings {
        addresses: vec![address],
        table,
        ra: RaUse::Off,
        ..NetworkSettings::default()
    };
    let told = lines(network, &one_link());
    let own: Vec<&str> = told
        .iter()
        .map(|line| line.trim())
        .filter(|line| line.starts_with("address ") || line.starts_with("route "))
        .collect();
    assert_eq!(own, expected, "{address:?}");
}

#[test]
fn attributes_of_addresses_are_planned_as_they_are_said() {
    let none = AddressAttributes::default();
    for (address, table, expected) in [
        (
            plain("192.0.2.10/24"),
            None,
            &["address 192.0.2.10/24 metric 100"][..],
        ),
        (
            StaticAddress {
                attributes: AddressAttributes {
                    label: AddressLabel::new("eth0:web"),
                    scope: Some(AddressScope::Link),
                    ..none
                },
                metric: Some(7),
                conflicts: ConflictUse::Probe,
                ..plain("192.0.2.10/24")
            },
            None,
            &["address 192.0.2.10/24 scope link label eth0:web metric 7 conflicts probe"],
        ),
        (
            StaticAddress {
                prefix_route: false,
                ..plain("192.0.2.10/24")
            },
            Some(1000),
            &["address 192.0.2.10/24 noprefixroute"],
        ),
        (
            StaticAddress {
                attributes: AddressAttributes {
                    peer: "10.9.0.2".parse().ok(),
                    ..none
                },
                ..plain("10.9.0.1/32")
            },
            None,
            &["address 10.9.0.1/32 peer 10.9.0.2 metric 100"],
        ),
        // The kernel's route would be in another table: ours leads to the other end.
        (
            StaticAddress {
                attributes: AddressAttributes {
                    peer: "10.9.0.2".parse().ok(),
                    ..none
                },
                ..plain("10.9.0.1/32")
            },
            Some(1000),
            &[
                "address 10.9.0.1/32 peer 10.9.0.2 noprefixroute",
                "route 10.9.0.2/32 src 10.9.0.1 table 1000 metric 100",
            ],
        ),
        (
            StaticAddress {
                attributes: AddressAttributes {
                    skips_dad: true,
                    ..none
                },
                preferred: false,
                conflicts: ConflictUse::Ignore,
                ..plain("2001:db8::10/64")
            },
            None,
            &["address 2001:db8::10/64 metric 100 nodad deprecated"],
        ),
    ] {
        check_one(address, table, expected);
    }
}
