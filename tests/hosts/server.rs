//! Worlds of a machine that carries others: links that come and go by the dozen, addresses, routes and rules of others at any time;
//! a fixed profile, restarts, reloads of files that are right, changed or broken.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use config::model::{Hop, Prefix, RouteKind};
use linkmgr::fake::FakeAddress;
use linkmgr::kernel::OwnRoute;
use linnet::config_dirs::{ConfigText, Kind};
use policy::facts::Preference;
use policy::links::RouteKey;

use super::air::Network;
use super::host::{Faults, Host};
use super::story::{file, tell};
use crate::input::Input;

const MAIN: &str = "[resolver]\ndnssec = \"off\"\nmdns = \"off\"\nrecursion = \"never\"\n[links]\nstop = \"clean\"\n";
const FIXED: &str = "match = { name = \"eth0\" }\naddresses = [\"192.0.2.10/24\"]\n[dns]\nupstreams = [\"192.0.2.53\"]\n[[routes]]\nto = \"0.0.0.0/0\"\nvia = \"192.0.2.1\"\n";
const MORE: &str = "[[routes]]\nto = \"198.51.100.0/24\"\nvia = \"192.0.2.1\"\nmetric = 7\n[[routes]]\nto = \"203.0.113.0/24\"\nkind = \"blackhole\"\n[[rules]]\npriority = 500\nfrom = \"198.18.0.0/15\"\ntable = 77\n";
const OFFICE: &str =
    "match = { name = \"vpn0\" }\n[dns]\nupstreams = [\"10.8.0.1\"]\nclaims = [\"corp.example\"]\n";
const ETH: u32 = 2;
const RACK: u8 = 9;

fn files(fixed: &str) -> Vec<ConfigText> {
    vec![
        file(Kind::Main, "linnet.toml", MAIN),
        file(Kind::Profile, "profiles/fixed.toml", fixed),
        file(Kind::Profile, "profiles/office.toml", OFFICE),
    ]
}

fn machine(seed: u64) -> Host {
    let mut host = Host::new(seed, files(FIXED));
    host.add_network(Network::fixed(RACK, [192, 0, 2], 53));
    host.add_network(Network::new(1));
    host.add_link(ETH, "eth0", "ethernet");
    host.attach(ETH, RACK);
    host.add_link(3, "br0", "bridge");
    host
}

fn prefix(a: u8, b: u8, c: u8, d: u8, length: u8) -> Prefix {
    Prefix {
        address: Ipv4Addr::new(a, b, c, d).into(),
        length,
    }
}

/// Others come and go.
fn others_act(host: &mut Host) {
    let now = host.now;
    let index = 20 + u32::try_from(host.dice.below(12)).unwrap();
    let low = u8::try_from(index).unwrap();
    let is_there = host.kernel.links().contains_key(&index);
    match host.dice.below(6) {
        0 | 1 if !is_there => {
            host.add_link(index, &format!("veth{index}"), "veth");
            let up = linkmgr::KernelRequest::SetUp { index, up: true };
            host.kernel.handle_request(&up, now);
            host.attach(index, 1);
            let address = prefix(172, 17, low, 1, 24);
            host.kernel
                .put_address(index, FakeAddress::foreign(address), now);
        }
        2 if is_there => host.remove_link(index),
        3 => {
            // Also where a profile wants to be, and on our own link.
            let to = host.dice.of(&[
                prefix(10, low, 0, 0, 16),
                prefix(198, 51, 100, 0, 24),
                prefix(203, 0, 113, 0, 24),
                prefix(0, 0, 0, 0, 0),
            ]);
            let metric = host.dice.of(&[0, 7, 100, 900]);
            let key = RouteKey {
                table: host.dice.of(&[254, 254, 77]),
                to,
                metric,
            };
            let protocol = host.dice.of(&[4, 12, 186]);
            let there = host.kernel.routes().get(&key);
            if there.is_some_and(|there| there.protocol != protocol) {
                return;
            }
            let via = [Hop {
                via: IpAddr::from([192, 0, 2, 77]),
                weight: 1,
            }];
            let route = OwnRoute {
                key,
                index: Some(ETH),
                kind: RouteKind::Unicast,
                via: via.into(),
                on_link: true,
                source: None,
                mtu: None,
                preference: Preference::Medium,
                valid: None,
            };
            host.kernel.put_foreign_route(&route, protocol, now);
            host.tell(format!("others: {key:?}"));
        }
        4 => {
            let keys: Vec<RouteKey> = host
                .kernel
                .routes()
                .values()
                .filter(|it| it.protocol != linkmgr::kernel::OURS)
                .map(|it| it.route.key)
                .collect();
            if !keys.is_empty() {
                let key = host.dice.of(&keys);
                host.kernel.take_route(&key, now);
                host.tell(format!("others take {key:?}"));
            }
        }
        _ => {
            let d = u8::try_from(host.dice.below(4)).unwrap();
            let address = prefix(192, 0, 2, 10 + d, 24);
            let mut there = host.kernel.addresses().iter();
            if !there.any(|(_, it)| it.prefix == address) {
                host.kernel
                    .put_address(ETH, FakeAddress::foreign(address), now);
                host.tell(format!("others: {address}"));
            }
        }
    }
    host.follow_kernel();
}

fn act(host: &mut Host) {
    host.faults = Faults::roll(&mut host.dice);
    host.start();
    for _ in 0..40 {
        match host.dice.below(16) {
            0..=8 => others_act(host),
            9 => {
                let text =
                    host.dice
                        .of(&["", MORE, "broken = [", "addresses = [\"192.0.2.300/24\"]\n"]);
                host.files = files(&format!("{FIXED}{text}"));
                if host.dice.one_in(4) {
                    host.files[0].text = Ok("[resolver".to_owned());
                }
                host.reload();
            }
            10 => host.spoil_names(RACK),
            11 if host.dice.one_in(2) => host.crash(),
            12 if host.dice.one_in(2) => {
                host.faults.crash = 0;
                if host.daemon.is_some() {
                    host.stop();
                    host.rules.lets_go = false;
                }
                host.start();
            }
            _ => host.ask_on(),
        }
        let time = host.dice.of(&[10, 500, 20_000]);
        let time = host.dice.millis(0, time);
        host.run_for(time);
    }
    let is_more = host.dice.one_in(2);
    host.files = files(&format!("{FIXED}{}", if is_more { MORE } else { "" }));
    host.reload();
    host.calm_down();
    // Of routes of others that have left their place nobody tells.
    let listing = host.kernel.listing(host.now);
    host.feed(Input::Kernel(listing));
    host.run_for(Duration::from_secs(5));
    check(host, is_more);
    assert_eq!(host.network_of("fresh.pub.test"), Some(RACK));
    host.check_rest();
    host.stop();
    assert_eq!(host.ours(), Vec::<String>::new(), "something is left");
}

/// What the profile says is there, whoever made it, and nothing else is ours.
fn check(host: &Host, is_more: bool) {
    let wanted = prefix(192, 0, 2, 10, 24);
    let mut addresses = host.kernel.addresses().iter();
    assert!(addresses.any(|(index, it)| *index == ETH && it.prefix == wanted));
    let has = |to: Prefix| host.kernel.routes().keys().any(|key| key.to == to);
    assert!(has(prefix(0, 0, 0, 0, 0)), "there is no default route");
    let fixed = [wanted];
    host.check_leavings(&fixed);
    let more = [prefix(198, 51, 100, 0, 24), prefix(203, 0, 113, 0, 24)];
    for to in more {
        let ours = host
            .kernel
            .routes()
            .values()
            .any(|it| it.protocol == linkmgr::kernel::OURS && it.route.key.to == to);
        assert!(!is_more || has(to), "{to} is not there");
        assert!(is_more || !ours, "{to} is left");
    }
    let rules = host.kernel.rules().iter();
    let ours = rules
        .filter(|(_, protocol)| *protocol == linkmgr::kernel::OURS)
        .count();
    assert_eq!(ours, usize::from(is_more), "rules");
}

#[test]
fn a_server_leaves_alone_what_others_have_made() {
    tell("server", 400, act, machine);
}
