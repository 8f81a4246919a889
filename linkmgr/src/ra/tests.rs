//! Does a link get from its routers what the RFCs say, as long as they say, and nothing else? With a stepped clock.

mod network;
mod packet;
mod transitions;

pub(super) use packet::Ra;

use std::net::IpAddr;

use config::model::{AddressGeneration, Prefix, Privacy};
use network::Network;
use policy::facts::{Delegated, Preference};

use super::*;

const A: &str = "fe80::a";
const B: &str = "fe80::b";
const HOURS: u64 = 3600;

/// A router that has a prefix and is a default router.
fn usual(prefix: &str) -> Ra {
    Ra::new(1800).prefix(prefix, 64, 0xc0, 86400, 14400)
}

#[test]
fn one_packet_gives_address_default_route_and_resolvers() {
    let mut network = Network::new();
    assert_eq!(
        network.sent(),
        1,
        "a link that is up is solicited for at once"
    );
    let ra = usual("2001:db8:1::")
        .flags(0x40)
        .option(5, &[0, 0, 0, 0, 5, 0])
        .rdnss(600, &["fe80::53", "2001:db8::53"])
        .dnssl(600, b"\x04home\x07example\0")
        .dnr(
            1,
            600,
            "dns.example",
            &["2001:db8::853"],
            b"\0\x01\0\x04\x03dot",
        );
    network.hear(A, &ra);
    let supply = network.supply();
    let address = supply.addresses[0];
    assert_eq!(address.prefix.length, 64);
    assert_eq!(address.prefix.network().to_string(), "2001:db8:1::/64");
    assert_eq!(address.valid_until, Some(network.at(86400)));
    assert_eq!(address.preferred_until, Some(network.at(14400)));
    assert!(!address.temporaries);
    assert_eq!(network.routes(), ["::/0 via fe80::a"]);
    let upstreams: Vec<String> = supply.upstreams.iter().map(ToString::to_string).collect();
    assert_eq!(
        upstreams,
        [
            "tls://[2001:db8::853]#dns.example",
            "fe80::53%eth0",
            "2001:db8::53"
        ]
    );
    assert_eq!(supply.search[0].to_string(), "home.example");
    assert_eq!(supply.mtu, Some(1280));
    assert!(!supply.unconfirmed);
    assert_eq!(
        network.flags,
        Dhcp6Flags {
            other: true,
            ..Dhcp6Flags::default()
        }
    );
}

#[test]
fn an_address_that_was_made_of_a_prefix_before_is_used_on_unless_the_profile_says_how_or_it_is_somebody_elses()
 {
    let there = "2001:db8:1:0:5:6:7:8";
    let address = |network: &Network| network.supply().addresses[0].prefix.address.to_string();
    let mut network = Network::on(&["2001:db8:9::1", there], RaSettings::default());
    network.hear(A, &usual("2001:db8:1::"));
    assert_eq!(address(&network), there);
    network.dad_failed(there.parse().unwrap());
    assert_ne!(address(&network), there, "another one is made");
    let eui64 = RaSettings {
        addresses: AddressGeneration::Eui64,
        ..RaSettings::default()
    };
    let mut network = Network::on(&[there], eui64);
    network.hear(A, &usual("2001:db8:1::"));
    assert_eq!(address(&network), "2001:db8:1:0:253:ff:fea1:b2c3");
}

#[test]
fn a_silent_router_loses_each_thing_at_its_own_time_and_nothing_else() {
    let mut network = Network::new();
    let ra = usual("2001:db8:1::")
        .rdnss(600, &["2001:db8::53"])
        .dnssl(1200, b"\x04home\x07example\0");
    network.hear(A, &ra);
    network.run_until(599);
    assert_eq!(network.supply().upstreams.len(), 1);
    network.run_until(600);
    assert_eq!(network.supply().upstreams.len(), 0);
    assert_eq!(network.supply().search.len(), 1);
    network.run_until(1200);
    assert_eq!(network.supply().search.len(), 0);
    assert_eq!(network.routes(), ["::/0 via fe80::a"]);
    network.run_until(1800);
    assert_eq!(network.routes(), Vec::<String>::new());
    network.run_until(86399);
    assert_eq!(network.supply().addresses.len(), 1);
    network.run_until(86400);
    assert_eq!(network.supplied, None, "the last thing is over");
    assert_eq!(network.withdrawals, 1);
}

#[test]
fn solicitations_go_on_until_a_default_router_answers_and_begin_before_it_ends() {
    let mut network = Network::new();
    network.run_until(100);
    // Once before there is a source address; 0, 4, 12, 28, 60 with a tenth of chance.
    assert_eq!(network.sent(), 6);
    network.hear(A, &Ra::new(0).route("2001:db8::", 32, 0, 600));
    network.run_until(150);
    assert!(
        network.sent() > 6,
        "a router that is no default router is no end of it"
    );
    network.hear(A, &Ra::new(1000));
    let before = network.sent();
    network.run_until(150 + 749);
    assert_eq!(network.sent(), before, "an answered link is silent");
    network.run_until(150 + 751);
    assert_eq!(
        network.sent(),
        before + 1,
        "three quarters of its time are over"
    );
    network.hear(A, &Ra::new(1000));
    network.run_until(150 + 751 + 700);
    assert_eq!(network.sent(), before + 1);
    assert_eq!(network.routes(), ["::/0 via fe80::a"]);
}

#[test]
fn no_forged_packet_ends_an_address_before_two_hours() {
    // Received valid lifetime, what was left, what is left then (RFC 4862 §5.5.3 e).
    let rows = [
        (86400, 10000, 86400),
        (9000, 86400, 9000),
        (7201, 86400, 7201),
        (7200, 86400, 7200),
        (60, 86400, 7200),
        (0, 86400, 7200),
        (60, 3600, 3600),
        (3601, 3600, 3601),
        (0, 3600, 3600),
        (u32::MAX, 3600, u32::MAX),
        (60, u32::MAX, 7200),
    ];
    for (received, left, expected) in rows {
        let mut network = Network::new();
        network.hear(
            A,
            &Ra::new(1800).prefix("2001:db8:1::", 64, 0xc0, left, left.min(60)),
        );
        network.hear(
            A,
            &Ra::new(1800).prefix("2001:db8:1::", 64, 0xc0, received, 0),
        );
        let address = network.supply().addresses[0];
        let expected = (expected != u32::MAX).then(|| network.at(expected.into()));
        assert_eq!(address.valid_until, expected, "{received} after {left}");
        assert_eq!(
            address.preferred_until,
            Some(network.now),
            "deprecated at once"
        );
    }
}

#[test]
fn a_prefix_with_no_time_or_another_length_makes_no_address() {
    let mut network = Network::new();
    network.hear(A, &Ra::new(1800).prefix("2001:db8:1::", 64, 0xc0, 0, 0));
    assert!(network.supply().addresses.is_empty());
    network.hear(A, &Ra::new(1800).prefix("2001:db8:2::", 56, 0xc0, 600, 600));
    assert!(network.supply().addresses.is_empty());
    assert_eq!(network.routes(), ["2001:db8:2::/56", "::/0 via fe80::a"]);
    network.hear(A, &Ra::new(1800).prefix("2001:db8:3::", 64, 0x40, 600, 600));
    assert_eq!(
        network.supply().addresses[0].prefix.length,
        128,
        "not on the link"
    );
}

#[test]
fn a_router_that_says_that_it_is_none_is_no_way_to_anywhere_until_it_advertises_again() {
    let mut network = Network::new();
    network.hear(A, &usual("2001:db8:1::").rdnss(600, &["2001:db8::a"]));
    network.hear(B, &usual("2001:db8:2::"));
    assert_eq!(network.routes(), ["::/0 via fe80::a", "::/0 via fe80::b"]);
    // RFC 4861 §7.2.5.
    network.neighbour(A, Reachability::NoRouter);
    assert_eq!(network.routes(), ["::/0 via fe80::b"]);
    assert_eq!(
        network.supply().addresses.len(),
        2,
        "what it says of the link holds"
    );
    assert_eq!(
        network.supply().upstreams[0].address.to_string(),
        "2001:db8::a"
    );
    // That it is reached makes it no router.
    network.neighbour(A, Reachability::Reachable);
    assert_eq!(network.routes(), ["::/0 via fe80::b"]);
    network.hear(A, &usual("2001:db8:1::"));
    assert_eq!(network.routes().len(), 2);
    // The only one that is left is no better.
    network.neighbour(B, Reachability::NoRouter);
    network.neighbour(A, Reachability::NoRouter);
    assert_eq!(network.routes(), [""; 0]);
}

#[test]
fn the_preferred_router_comes_first_and_another_takes_over_when_it_is_not_reached() {
    let mut network = Network::new();
    network.hear(A, &usual("2001:db8:1::").rdnss(600, &["2001:db8::a"]));
    let high = usual("2001:db8:2::")
        .flags(0b01 << 3)
        .rdnss(600, &["2001:db8::b"]);
    network.hear(B, &high);
    assert_eq!(network.routes(), ["::/0 via fe80::b", "::/0 via fe80::a"]);
    assert_eq!(network.supply().routes[0].preference, Preference::High);
    network.run_until(5);
    let sent = network.sent();
    network.neighbour(B, Reachability::Failed);
    assert_eq!(network.routes(), ["::/0 via fe80::a"]);
    assert_eq!(
        network.supply().upstreams[0].address.to_string(),
        "2001:db8::a"
    );
    assert_eq!(
        network.supply().addresses.len(),
        2,
        "addresses stay: they have their own time"
    );
    assert_eq!(network.sent(), sent + 1, "who else is there?");
    // It speaks, but is not reached.
    network.run_until(15);
    network.hear(B, &high);
    assert_eq!(network.routes(), ["::/0 via fe80::a"]);
    network.neighbour(B, Reachability::Reachable);
    assert_eq!(network.routes(), ["::/0 via fe80::b", "::/0 via fe80::a"]);
    // The only ones that are left are used though they are not reached.
    network.neighbour(A, Reachability::Failed);
    network.neighbour(B, Reachability::Failed);
    assert_eq!(network.routes().len(), 2);
    network.run_until(60);
    network.hear(A, &usual("2001:db8:1::"));
    assert_eq!(
        network.routes(),
        ["::/0 via fe80::a"],
        "the penalty is over, and it speaks"
    );
}

#[test]
fn routes_have_their_own_preference_and_one_to_everywhere_overrides_the_header() {
    let mut network = Network::new();
    network.hear(
        A,
        &Ra::new(1800)
            .route("::", 0, 0b01, 900)
            .route("2001:db8:ff::", 48, 0b11, 600),
    );
    let routes = network.supply().routes;
    assert_eq!(routes[0].preference, Preference::High);
    assert_eq!(routes[0].valid_until, Some(network.at(900)));
    assert_eq!(routes[1].preference, Preference::Low);
    network.hear(A, &Ra::new(0).route("2001:db8:ff::", 48, 0b11, 600));
    assert_eq!(
        network.routes(),
        ["2001:db8:ff::/48 via fe80::a"],
        "no default router, but still a router"
    );
    network.hear(A, &Ra::new(0).route("2001:db8:ff::", 48, 0b11, 0));
    assert_eq!(network.supplied, None);
}

#[test]
fn a_prefix_that_its_router_leaves_out_is_deprecated_at_once_and_not_cut() {
    let mut network = Network::new();
    network.hear(A, &usual("2001:db8:1::"));
    network.run_until(100);
    network.hear(A, &usual("2001:db8:2::"));
    let [old, new] = network.supply().addresses[..] else {
        panic!("both addresses are there");
    };
    assert_eq!(old.preferred_until, Some(network.now));
    assert_eq!(old.valid_until, Some(network.at(2 * HOURS)));
    assert_eq!(new.preferred_until, Some(network.at(14400)));
    network.run_until(100 + 2 * HOURS);
    assert_eq!(network.supply().addresses.len(), 1);
}

#[test]
fn a_prefix_of_two_routers_needs_both_to_leave_it_out() {
    let mut network = Network::new();
    network.hear(A, &usual("2001:db8:1::"));
    network.hear(B, &usual("2001:db8:1::"));
    network.hear(A, &usual("2001:db8:2::"));
    let preferred = |network: &Network| network.supply().addresses[0].preferred_until;
    assert_eq!(preferred(&network), Some(network.at(14400)));
    network.hear(B, &usual("2001:db8:2::"));
    assert_eq!(preferred(&network), Some(network.now));
}

#[test]
fn a_packet_without_prefixes_says_nothing_about_them() {
    let mut network = Network::new();
    network.hear(A, &usual("2001:db8:1::"));
    let before = network.supply();
    network.hear(A, &Ra::new(1800));
    assert_eq!(network.supply().addresses, before.addresses);
}

#[test]
fn a_router_that_needs_several_packets_is_understood_after_the_first_round() {
    let mut network = Network::new();
    for _ in 0..3 {
        network.hear(A, &usual("2001:db8:1::"));
        network.hear(A, &usual("2001:db8:2::"));
        network.step(200);
    }
    let fresh = |network: &Network| {
        let supply = network.supply();
        let fresh = supply.addresses.iter();
        fresh
            .filter(|one| one.preferred_until > Some(network.now))
            .count()
    };
    network.hear(A, &usual("2001:db8:1::"));
    assert_eq!(fresh(&network), 2, "neither comes and goes");
}

#[test]
fn an_address_that_is_taken_is_made_anew_three_times() {
    let mut network = Network::new();
    network.hear(A, &usual("2001:db8:1::"));
    let mut seen = Vec::new();
    while let Some(address) = network.supply().addresses.first() {
        let IpAddr::V6(address) = address.prefix.address else {
            panic!("IPv6");
        };
        assert!(!seen.contains(&address));
        seen.push(address);
        network.dad_failed(address);
    }
    assert_eq!(seen.len(), 4);
    network.dad_failed(seen[0]);
    network.hear(A, &usual("2001:db8:1::"));
    assert!(
        network.supply().addresses.is_empty(),
        "the same packet brings none back"
    );
}

#[test]
fn addresses_are_made_as_the_profile_says() {
    let mut network = Network::with(RaSettings {
        addresses: AddressGeneration::Token(0x53),
        privacy: Privacy::Preferred,
    });
    network.hear(A, &usual("2001:db8:1::"));
    let address = network.supply().addresses[0];
    assert_eq!(address.prefix.to_string(), "2001:db8:1::53/64");
    assert!(address.temporaries);
    network.hear(B, &Ra::new(1800).prefix("2001:db8:2::", 64, 0x40, 600, 600));
    let apart = network.supply().addresses[1];
    assert_eq!(apart.prefix.length, 128);
    assert!(!apart.temporaries, "the kernel would refuse it (EINVAL)");
}

#[test]
fn a_prefix_to_be_delegated_makes_an_address_until_one_of_our_own_is_there() {
    let mut network = Network::new();
    network.hear(A, &Ra::new(1800).prefix("2001:db8:1::", 64, 0xd0, 600, 600));
    assert!(network.flags.delegation);
    assert_eq!(network.supply().addresses.len(), 1);
    let handed_on = Delegation::HandedOn;
    network.client.handle_delegation(handed_on, network.now);
    network.drain();
    assert!(network.supply().addresses.is_empty());
    assert_eq!(network.routes(), ["2001:db8:1::/64", "::/0 via fe80::a"]);
    network
        .client
        .handle_delegation(Delegation::None, network.now);
    network.drain();
    assert_eq!(network.supply().addresses.len(), 1, "it has gone again");
}

#[test]
fn a_prefix_may_say_only_that_others_are_to_be_had() {
    let mut network = Network::new();
    network.hear(A, &Ra::new(1800).prefix("2001:db8:1::", 64, 0x10, 600, 300));
    assert!(network.flags.delegation);
    assert_eq!(network.routes(), ["::/0 via fe80::a"]);
    network.run_until(299);
    assert!(network.flags.delegation);
    network.run_until(301);
    assert!(
        !network.flags.delegation,
        "it is valid still, not preferred"
    );
    network.hear(A, &Ra::new(1800).prefix("2001:db8:1::", 64, 0x10, 600, 300));
    assert!(network.flags.delegation);
    network.hear(A, &Ra::new(1800).prefix("2001:db8:1::", 64, 0x10, 600, 0));
    assert!(!network.flags.delegation, "its router takes it back");
}

#[test]
fn a_prefix_of_our_own_makes_the_address_of_the_link() {
    let mut network = Network::new();
    network.hear(A, &Ra::new(1800).prefix("2001:db8:1::", 64, 0xd0, 600, 600));
    let on_link = network.supply().addresses[0];
    let until = network.now + Duration::from_secs(3600);
    let delegated = |prefix: &str, length, excluded: Option<&str>| Delegated {
        prefix: Prefix {
            address: prefix.parse().unwrap(),
            length,
        },
        preferred_until: Some(until),
        valid_until: Some(until),
        excluded: excluded.map(|excluded| Prefix {
            address: excluded.parse().unwrap(),
            length: 64,
        }),
    };
    let mut address = |delegation: Delegated| {
        let supply = Supply {
            delegated: vec![delegation],
            ..Supply::default()
        };
        let delegation = Delegation::of(&supply, false, network.now);
        network.client.handle_delegation(delegation, network.now);
        network.drain();
        let addresses = &network.supply().addresses;
        assert_eq!(addresses.len(), 1, "{addresses:?}");
        addresses[0]
    };
    let own = address(delegated("2001:db8:ff00::", 64, None));
    assert!(own.prefix.to_string().starts_with("2001:db8:ff00:0:"));
    assert_eq!(own.prefix.length, 128, "nothing of it is on the link");
    assert_eq!(
        (own.preferred_until, own.valid_until),
        (Some(until), Some(until))
    );
    let beside = address(delegated("2001:db8:ff00::", 60, Some("2001:db8:ff00::")));
    assert!(beside.prefix.to_string().starts_with("2001:db8:ff00:1:"));
    let again = address(delegated("2001:db8:ff00::", 64, None));
    assert_eq!(again, own);
    // Somebody else has it.
    let IpAddr::V6(taken) = own.prefix.address else {
        unreachable!("an IPv6 address");
    };
    network.dad_failed(taken);
    let other = network.supply().addresses[0];
    assert_ne!(other, own);
    assert!(other.prefix.to_string().starts_with("2001:db8:ff00:0:"));
    // What its server takes back is none.
    let supply = Supply {
        delegated: vec![Delegated {
            preferred_until: Some(network.now),
            ..delegated("2001:db8:ff00::", 64, None)
        }],
        ..Supply::default()
    };
    let delegation = Delegation::of(&supply, false, network.now);
    network.client.handle_delegation(delegation, network.now);
    network.drain();
    assert_eq!(network.supply().addresses, [on_link]);
}

#[test]
fn a_flood_is_bounded_and_known_routers_are_heard_through_it() {
    let mut network = Network::new();
    network.hear(A, &usual("2001:db8:1::"));
    for number in 0..5000_u32 {
        let from = format!(
            "fe80::{:x}:{:x}",
            number >> 16,
            number & 0xffff | 0x1_0000 >> 4
        );
        let mut ra = Ra::new(9000).flags(0b01 << 3);
        for prefix in 0..16 {
            ra = ra.prefix(
                &format!("2001:db8:{:x}:{prefix:x}::", number & 0xffff),
                64,
                0xc0,
                86400,
                86400,
            );
        }
        network.hear(&from, &ra);
        if number % 100 == 0 {
            network.step(1);
        }
    }
    let supply = network.supply();
    assert!(supply.addresses.len() <= 16, "{}", supply.addresses.len());
    assert!(supply.routes.len() <= 8 * 17, "{}", supply.routes.len());
    assert!(network.supplies < 200, "{} changes", network.supplies);
    let report = network.client.report(network.now);
    assert!(report.routers.len() <= 8);
    assert!(report.too_many > 4000);
    network.hear(A, &usual("2001:db8:1::").rdnss(600, &["2001:db8::53"]));
    let known = report
        .routers
        .iter()
        .any(|router| router.address.to_string() == A);
    assert_eq!(known, !network.supply().upstreams.is_empty());
}

#[test]
fn what_is_remembered_is_supplied_at_once_and_confirmed_by_the_router() {
    let mut network = Network::new();
    network.hear(A, &usual("2001:db8:1::").rdnss(3600, &["2001:db8::53"]));
    let memory = network.kept.clone().expect("it is to be kept");
    let text = format!("{memory:?}");
    assert!(text.contains("fe80::a"));
    let before = network.supply();

    let mut later = Network::restarted(memory.clone(), 600);
    let supply = later.supply();
    assert!(supply.unconfirmed);
    assert_eq!(supply.addresses[0].prefix, before.addresses[0].prefix);
    assert_eq!(supply.addresses[0].valid_until, Some(later.at(86400 - 600)));
    assert_eq!(later.routes(), ["::/0 via fe80::a"]);
    assert_eq!(supply.upstreams.len(), 1);
    assert_eq!(later.sent(), 1);
    later.hear(A, &usual("2001:db8:1::"));
    assert!(!later.supply().unconfirmed);

    let late = Network::remembering(memory.clone(), 2000);
    assert_eq!(
        late.routes(),
        Vec::<String>::new(),
        "the router's time is over"
    );
    let over = Network::remembering(memory, 100_000);
    assert_eq!(over.supplied, None);
}

#[test]
fn in_another_place_the_routers_of_before_count_as_left_behind() {
    let mut network = Network::new();
    network.hear(A, &usual("2001:db8:1::"));
    network.step(100);
    network.client.handle_reattach(network.now);
    network.drain();
    assert_eq!(
        network.routes(),
        ["::/0 via fe80::a"],
        "nothing is dropped before anybody speaks"
    );
    assert!(network.supply().unconfirmed);
    network.hear(B, &usual("2001:db8:2::"));
    assert_eq!(network.routes(), ["::/0 via fe80::b", "::/0 via fe80::a"]);
    network.step(6);
    assert_eq!(network.routes(), ["::/0 via fe80::b"]);
    let old = network.supply().addresses[0];
    assert!(old.preferred_until <= Some(network.now), "deprecated");
    assert!(old.valid_until > Some(network.now), "not cut");
}

/// A router that names a resolver, a suffix and a portal.
fn naming(prefix: &str) -> Ra {
    usual(prefix)
        .rdnss(600, &["fe80::53"])
        .dnssl(600, b"\x04home\x07example\0")
        .option(37, b"https://portal.example/api\0\0\0\0")
}

fn names_anybody(supply: &Supply) -> bool {
    let is_silent = supply.upstreams.is_empty() && supply.search.is_empty();
    !is_silent || supply.portal.is_some()
}

#[test]
fn names_are_sent_to_nobody_between_two_places() {
    let mut network = Network::new();
    network.hear(A, &naming("2001:db8:1::"));
    assert!(names_anybody(&network.supply()));
    let sent = network.sent();
    network.client.handle_detach(network.now);
    network.drain();
    assert!(!names_anybody(&network.supply()));
    assert_eq!(network.routes(), ["::/0 via fe80::a"]);
    network.step(500);
    assert_eq!(network.sent(), sent, "there is nobody to ask");
    network.client.handle_reattach(network.now);
    network.drain();
    assert_eq!(network.sent(), sent + 1);
    assert!(!names_anybody(&network.supply()));
    network.neighbour(A, Reachability::Reachable);
    assert!(
        !names_anybody(&network.supply()),
        "many routers are fe80::1"
    );
    network.hear(B, &usual("2001:db8:2::").rdnss(600, &["2001:db8:2::53"]));
    let supply = network.supply();
    let asked: Vec<String> = supply.upstreams.iter().map(ToString::to_string).collect();
    assert_eq!(asked, ["2001:db8:2::53"], "nobody of before");
    assert!(supply.search.is_empty() && supply.portal.is_none());
    network.hear(A, &naming("2001:db8:1::"));
    assert_eq!(network.supply().upstreams.len(), 2);
}

#[test]
fn where_no_router_speaks_those_of_before_are_left_behind() {
    let mut network = Network::new();
    network.hear(A, &naming("2001:db8:1::"));
    network.step(100);
    network.client.handle_detach(network.now);
    network.client.handle_reattach(network.now);
    network.drain();
    network.step(13);
    assert_eq!(network.routes(), ["::/0 via fe80::a"]);
    assert!(network.left_behind.is_empty());
    network.step(1);
    assert_eq!(network.routes(), Vec::<String>::new());
    assert_eq!(network.left_behind, [A.parse::<Ipv6Addr>().unwrap()]);
    let old = network.supply().addresses[0];
    assert!(old.preferred_until <= Some(network.now), "deprecated");
    assert!(old.valid_until > Some(network.now), "not cut");
    network.hear(A, &naming("2001:db8:1::"));
    assert_eq!(network.routes(), ["::/0 via fe80::a"]);
    assert_eq!(network.supply().addresses.len(), 1);
    assert_eq!(network.supply().addresses[0].prefix, old.prefix);
    assert!(network.supply().addresses[0].preferred_until > Some(network.now));
}

#[test]
fn a_router_that_is_reached_stays_though_it_answers_no_solicitation() {
    let mut network = Network::new();
    network.hear(A, &naming("2001:db8:1::"));
    network.hear(B, &usual("2001:db8:2::"));
    network.client.handle_detach(network.now);
    network.client.handle_reattach(network.now);
    network.drain();
    network.neighbour(A, Reachability::Reachable);
    network.step(60);
    assert_eq!(network.routes(), ["::/0 via fe80::a"]);
    assert!(network.supply().unconfirmed && !names_anybody(&network.supply()));
    // That was of another place.
    network.client.handle_detach(network.now);
    network.client.handle_reattach(network.now);
    network.drain();
    network.step(14);
    assert_eq!(network.routes(), Vec::<String>::new());
}

#[test]
fn a_router_of_before_is_left_behind_though_the_new_one_leads_nowhere() {
    let mut network = Network::new();
    network.hear(A, &naming("2001:db8:1::"));
    network.client.handle_reattach(network.now);
    network.drain();
    network.hear(B, &Ra::new(0).prefix("fd00:1::", 64, 0xc0, 86400, 14400));
    network.step(6);
    assert_eq!(network.routes(), Vec::<String>::new());
}

#[test]
fn to_ask_again_is_no_reason_to_doubt() {
    let mut network = Network::new();
    network.hear(A, &naming("2001:db8:1::"));
    network.step(10);
    let (before, sent) = (network.supply(), network.sent());
    network.client.handle_renew(network.now);
    network.drain();
    assert_eq!(network.sent(), sent + 1);
    network.step(60);
    assert_eq!(network.supply(), before);
}

#[test]
fn after_a_restart_names_are_sent_on_but_not_after_a_boot() {
    let mut network = Network::new();
    network.hear(A, &naming("2001:db8:1::"));
    let memory = network.kept.clone().unwrap();
    let boot = Network::remembering(memory.clone(), 5);
    assert_eq!(boot.routes(), ["::/0 via fe80::a"]);
    assert!(!names_anybody(&boot.supply()));
    let mut restart = Network::restarted(memory, 5);
    assert!(names_anybody(&restart.supply()) && restart.supply().unconfirmed);
    restart.step(14);
    assert!(!names_anybody(&restart.supply()), "nobody is here");
}

#[test]
fn the_same_router_with_the_same_prefix_is_the_same_place() {
    let mut network = Network::new();
    network.hear(A, &naming("2001:db8:1::"));
    assert!(!network.client.is_same_place(), "it was never away");
    for (prefix, is_same) in [("2001:db8:1::", true), ("2001:db8:2::", false)] {
        network.client.handle_detach(network.now);
        network.client.handle_reattach(network.now);
        network.drain();
        assert!(!network.client.is_same_place());
        network.hear(A, &naming(prefix));
        assert_eq!(network.client.is_same_place(), is_same, "{prefix}");
    }
}

#[test]
fn back_in_the_same_place_nothing_changes() {
    let mut network = Network::new();
    network.hear(A, &usual("2001:db8:1::"));
    network.step(10);
    let before = network.routes();
    network.client.handle_reattach(network.now);
    network.drain();
    network.hear(A, &usual("2001:db8:1::"));
    network.step(60);
    assert_eq!(network.routes(), before);
    assert!(!network.supply().unconfirmed);
}

#[test]
fn a_router_that_was_lost_with_the_carrier_is_used_again_with_it() {
    let mut network = Network::new();
    network.hear(A, &usual("2001:db8:1::").flags(0b01 << 3));
    network.hear(B, &usual("2001:db8:1::"));
    network.neighbour(A, Reachability::Failed);
    assert_eq!(network.routes(), ["::/0 via fe80::b"]);
    network.step(5);
    network.client.handle_reattach(network.now);
    network.drain();
    network.hear(A, &usual("2001:db8:1::").flags(0b01 << 3));
    network.hear(B, &usual("2001:db8:1::"));
    assert_eq!(network.routes(), ["::/0 via fe80::a", "::/0 via fe80::b"]);
}

#[test]
fn an_infinite_lifetime_has_no_end() {
    let mut network = Network::new();
    network.hear(
        A,
        &Ra::new(1800).prefix("2001:db8:1::", 64, 0xc0, u32::MAX, u32::MAX),
    );
    let address = network.supply().addresses[0];
    assert_eq!((address.valid_until, address.preferred_until), (None, None));
}

#[test]
fn our_own_router_is_not_heard() {
    let mut network = Network::new();
    network.hear(network::OWN, &usual("2001:db8:1::"));
    assert_eq!(network.supplied, None);
}

#[test]
fn each_prefix_knows_its_routers_where_they_differ() {
    let mut network = Network::new();
    network.hear(A, &usual("2001:db8:a::"));
    assert!(network.supply().sources.is_empty(), "one takes everything");
    network.hear(B, &usual("2001:db8:b::"));
    let told = |network: &Network| -> Vec<String> {
        let supply = network.supply();
        let sources = supply.sources.iter();
        sources
            .map(|source| format!("{} {:?}", source.prefix, source.via))
            .collect()
    };
    assert_eq!(
        told(&network),
        ["2001:db8:a::/64 [fe80::a]", "2001:db8:b::/64 [fe80::b]"]
    );
    // Connections begin with an address that their router takes.
    for route in network.supply().routes {
        let own = if route.via == Some(A.parse().unwrap()) {
            "2001:db8:a:"
        } else {
            "2001:db8:b:"
        };
        assert!(
            route.source.unwrap().to_string().starts_with(own),
            "{route:?}"
        );
    }
    // Both have both: it does not matter.
    let both = || usual("2001:db8:a::").prefix("2001:db8:b::", 64, 0xc0, 86400, 14400);
    network.step(20);
    network.hear(A, &both());
    network.hear(B, &both());
    assert!(network.supply().sources.is_empty());
    assert!(
        network
            .supply()
            .routes
            .iter()
            .all(|route| route.source.is_none())
    );
    // One has more.
    network.step(20);
    network.hear(B, &usual("2001:db8:b::"));
    assert_eq!(
        told(&network),
        [
            "2001:db8:a::/64 [fe80::a]",
            "2001:db8:b::/64 [fe80::a, fe80::b]"
        ]
    );
    // A router that is not reached takes nothing.
    network.neighbour(B, Reachability::Failed);
    assert!(network.supply().sources.is_empty());
}

#[test]
fn temporary_addresses_that_are_preferred_are_the_kernels_to_choose() {
    let mut network = Network::with(RaSettings {
        privacy: Privacy::Preferred,
        ..RaSettings::default()
    });
    network.hear(A, &usual("2001:db8:a::"));
    network.hear(B, &usual("2001:db8:b::"));
    let supply = network.supply();
    assert_eq!(supply.sources.len(), 2);
    assert!(supply.routes.iter().all(|route| route.source.is_none()));
}

#[test]
fn the_last_word_on_times_counts_and_zero_says_nothing() {
    let says = |hop_limit: u8, reachable: u32, retransmit: u32| {
        usual("2001:db8:a::").times(hop_limit, reachable, retransmit)
    };
    let mut network = Network::new();
    network.hear(A, &says(0, 0, 0));
    let told = |network: &Network| {
        let supply = network.supply();
        (supply.hop_limit, supply.reachable, supply.retransmit)
    };
    assert_eq!(told(&network), (None, None, None));
    network.hear(A, &says(64, 30_000, 1000));
    let millis = |millis| Some(Duration::from_millis(millis));
    let first = (Some(64), millis(30_000), millis(1000));
    assert_eq!(told(&network), first);
    network.step(5);
    network.hear(A, &says(0, 0, 0));
    assert_eq!(told(&network), first);
    network.hear(B, &says(48, 0, 2000));
    assert_eq!(told(&network), (Some(48), millis(30_000), millis(2000)));
}
