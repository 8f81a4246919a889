//! Does a link keep the hardware address that was made up for it when linnetd is killed, does its network hear no other one, and has it
//! its own back without the profile?

use std::fs;
use std::net::Ipv6Addr;

use tests::namespace::{isolated, shell};
use tests::peer::until;

use super::words::{NOTHING, Words};
use super::{LINNET, LINNETD, Network, addresses, folder, ip, link_status, office};

const DYNAMIC: &str = "match = { name = \"net*\" }\nmac = \"random\"\ndhcp4 = true\nra = true\naddress-generation = \"eui64\"\n";
const STATIC: &str =
    "match = { name = \"net0\" }\nmac = \"random\"\nra = false\naddresses = [\"192.0.2.7/24\"]\n";
const OTHER: &str = "match = { name = \"net1\" }\nmac = \"random\"\n";

fn mac(link: &str) -> String {
    let told = ip(&format!("link show dev {link}"));
    told[0]["address"].as_str().unwrap().to_owned()
}

fn first_octet(mac: &str) -> u8 {
    u8::from_str_radix(&mac[..2], 16).unwrap()
}

/// The address that is made of a hardware address in a prefix (RFC 4291 appendix A).
fn eui64(prefix: u64, mac: &str) -> String {
    let octets: Vec<u8> = mac
        .split(':')
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect();
    let [a, b, c, d, e, f] = octets.try_into().unwrap();
    let low = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    Ipv6Addr::from_bits(u128::from(prefix) << 64 | u128::from(low)).to_string()
}

#[test]
fn a_random_address_outlives_linnetd_is_all_that_a_network_hears_and_goes_with_its_profile() {
    isolated(
        "links::macs::a_random_address_outlives_linnetd_is_all_that_a_network_hears_and_goes_with_its_profile",
        || {
            let dir = folder();
            let cafe = Network::cafe(&dir, "net0");
            shell("ip link add net1 type veth peer name far1 && ip link set far1 up");
            let own = [mac("net0"), mac("net1")];
            let office = office(dir.clone());
            office.configure("profiles/any.toml", DYNAMIC);
            let mut linnetd = office.linnetd(LINNETD, &[]);
            until("each link has another address", || {
                mac("net0") != own[0] && mac("net1") != own[1]
            });
            let made = [mac("net0"), mac("net1")];
            assert_ne!(made[0], made[1]);
            for mac in &made {
                assert_eq!(first_octet(mac) & 0b11, 0b10, "{mac}");
            }
            cafe.plug("up");
            until("the network has given addresses", || {
                let all = addresses("net0");
                all.iter().any(|it| it.starts_with("192.0.2."))
                    && all.contains(&eui64(0x2001_0db8_000a_0000, &made[0]))
            });
            let text = shell("ip -6 address show dev net0 scope link");
            assert!(text.contains(&eui64(0xfe80 << 48, &made[0])), "{text}");
            assert!(cafe.heard(&made[0]) && !cafe.heard(&own[0]));

            // Another linnetd finds the address as it makes it, and writes nothing at all.
            office.configure("profiles/any.toml", STATIC);
            office.configure("profiles/other.toml", OTHER);
            let (code, text) = office.linnet(LINNET, &["config", "reload"]);
            assert_eq!(code, 0, "{text}");
            until("the static address is there, and nothing else", || {
                addresses("net0") == ["192.0.2.7"]
            });
            for signal in [libc::SIGKILL, libc::SIGTERM] {
                let words = Words::from_now(&office, "monitor link address route rule");
                // What is under way on the other side of the mark is no word of the next linnetd.
                let before = words.when_all_is_written();
                linnetd.signal(signal);
                linnetd.wait();
                linnetd = office.linnetd(LINNETD, &[]);
                let written = words.when_all_is_written();
                assert_eq!(written[before.len()..], NOTHING, "signal {signal}");
                assert_eq!([mac("net0"), mac("net1")], made);
            }
            let told = link_status(&office, "net0");
            let items = told["items"].as_array().unwrap();
            let item = items.iter().find(|it| it["item"] == "hardware address");
            assert_eq!(item.unwrap()["state"], "ours", "{told}");

            let (_, plan) = office.linnet(LINNET, &["plan"]);
            assert!(
                plan.contains(&format!("hardware address {}", made[0])),
                "{plan}"
            );
            // Without the profile all is as it was.
            for file in ["any", "other"] {
                fs::remove_file(office.dir().join(format!("etc/profiles/{file}.toml"))).unwrap();
            }
            let (code, text) = office.linnet(LINNET, &["config", "reload"]);
            assert_eq!(code, 0, "{text}");
            until("each link has its own address again", || {
                [mac("net0"), mac("net1")] == own
            });
        },
    );
}
