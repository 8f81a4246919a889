//! Is what is written what the reader of the kernel's own messages understands?

use config::matcher::Mac;
use config::model::AddressLabel;
use linkmgr::{AddressMessage, KernelEvent, Usability};
use policy::links::{RouteKey, Switch};

use super::*;
use crate::frame::frame;
use crate::parse_message;

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix {
        address: address.parse().unwrap(),
        length: length.parse().unwrap(),
    }
}

fn octets(request: &KernelRequest, sequence: u32) -> Vec<u8> {
    let mut octets = Vec::new();
    for message in emit(request) {
        frame(&message, sequence, &mut octets);
    }
    octets
}

/// The kernel's notices have the form of the requests.
fn read(request: &KernelRequest) -> Vec<KernelEvent> {
    parse_message(&octets(request, 1))
}

fn route(to: &str, via: &[(&str, u16)]) -> OwnRoute {
    OwnRoute {
        key: RouteKey {
            table: 254,
            to: prefix(to),
            metric: 100,
            from: None,
        },
        kind: RouteKind::Unicast,
        hops: match via {
            [] => vec![NextHop::only(7, None)],
            via => via
                .iter()
                .map(|(via, weight)| NextHop {
                    index: 7,
                    via: via.parse().ok(),
                    weight: *weight,
                })
                .collect(),
        },
        on_link: false,
        source: None,
        mtu: None,
        preference: Preference::Medium,
        tuning: RouteTuning::default(),
        valid: None,
    }
}

#[test]
fn attributes_of_an_address_are_written_as_they_are_read() {
    let none = AddressAttributes::default();
    for (address, attributes) in [
        (
            "192.0.2.7/32",
            AddressAttributes {
                peer: Some("192.0.2.8".parse().unwrap()),
                label: AddressLabel::new("home0:web"),
                scope: Some(AddressScope::Link),
                ..none
            },
        ),
        (
            "169.254.1.1/16",
            AddressAttributes {
                scope: Some(AddressScope::Global),
                ..none
            },
        ),
        (
            "2001:db8::7/64",
            AddressAttributes {
                peer: Some("2001:db8::8".parse().unwrap()),
                skips_dad: true,
                ..none
            },
        ),
    ] {
        let told = AddressMessage {
            preferred: Some(0),
            protocol: OURS,
            attributes,
            ..AddressMessage::lasting(7, prefix(address))
        };
        let wanted = AddressRequest {
            index: 7,
            address: prefix(address),
            preferred: Some(0),
            valid: None,
            temporaries: false,
            no_prefix_route: false,
            metric: 0,
            attributes,
        };
        let request = KernelRequest::AddAddress(wanted);
        assert_eq!(read(&request), [KernelEvent::Address(told)]);
        let address = prefix(address);
        let gone = KernelRequest::DeleteAddress {
            index: 7,
            address,
            peer: attributes.peer,
        };
        assert_eq!(
            read(&gone),
            [KernelEvent::AddressGone { index: 7, address }]
        );
    }
}

#[test]
fn an_address_is_written_as_it_is_read() {
    for address in [
        "192.0.2.7/24",
        "2001:db8::7/64",
        "192.0.2.7/32",
        "169.254.1.1/16",
    ] {
        for (preferred, valid, temporaries, no_prefix_route) in [
            (None, None, false, true),
            (Some(60), Some(3600), true, false),
        ] {
            let wanted = AddressRequest {
                index: 7,
                address: prefix(address),
                preferred,
                valid,
                temporaries,
                no_prefix_route,
                metric: 0,
                attributes: AddressAttributes::default(),
            };
            let told = AddressMessage {
                usability: Usability::Usable,
                preferred,
                valid,
                protocol: OURS,
                temporaries,
                no_prefix_route,
                ..AddressMessage::lasting(7, prefix(address))
            };
            for request in [
                KernelRequest::AddAddress(wanted),
                KernelRequest::ReplaceAddress(wanted),
            ] {
                assert_eq!(read(&request), [KernelEvent::Address(told)]);
            }
            let gone = KernelRequest::DeleteAddress {
                index: 7,
                address: prefix(address),
                peer: None,
            };
            let address = prefix(address);
            assert_eq!(
                read(&gone),
                [KernelEvent::AddressGone { index: 7, address }]
            );
        }
    }
}

#[test]
fn a_route_is_written_as_it_is_read() {
    let mut wide = route("10.0.0.0/8", &[("192.0.2.1", 1)]);
    wide.key.table = 70_000;
    wide.source = Some("192.0.2.7".parse().unwrap());
    wide.mtu = Some(1400);
    let mut on_link = route("10.0.0.0/8", &[("198.51.100.1", 1)]);
    on_link.on_link = true;
    let mut low = route("2001:db8:1::/48", &[("fe80::1", 1)]);
    low.preference = Preference::Low;
    let mut blackhole = route("10.1.0.0/16", &[]);
    blackhole.kind = RouteKind::Blackhole;
    blackhole.hops.clear();
    for wanted in [
        wide,
        on_link,
        low,
        blackhole,
        route("10.2.0.0/16", &[]),
        route("10.3.0.0/16", &[("192.0.2.1", 1), ("192.0.2.2", 3)]),
        route("2001:db8:2::/48", &[("2001:db8::1", 2), ("2001:db8::2", 1)]),
        // RFC 5549.
        route("10.4.0.0/16", &[("fe80::1", 1)]),
    ] {
        for request in [
            KernelRequest::AddRoute(wanted.clone()),
            KernelRequest::ReplaceRoute(wanted.clone()),
        ] {
            assert_eq!(read(&request), [KernelEvent::OwnRoute(wanted.clone())]);
        }
        // A deletion says what tells ours from others, and no more.
        let [KernelEvent::OwnRouteGone(gone)] =
            &read(&KernelRequest::DeleteRoute(wanted.clone()))[..]
        else {
            panic!("{wanted:?}");
        };
        let is_told = wanted.hops.len() == 1 || wanted.key.to.address.is_ipv6();
        let hops = if is_told { &wanted.hops[..] } else { &[] };
        assert_eq!((gone.key, &gone.hops[..]), (wanted.key, hops));
    }
}

#[test]
fn a_rule_is_written_as_it_is_read() {
    let plain = PolicyRule {
        priority: 100,
        is_ipv6: false,
        from: None,
        to: None,
        mark: None,
        incoming: None,
        outgoing: None,
        table: Some(254),
        kind: RouteKind::Unicast,
        suppress_length: None,
        invert: false,
        ..PolicyRule::default()
    };
    for wanted in [
        plain.clone(),
        PolicyRule {
            is_ipv6: true,
            from: Some(prefix("2001:db8::/32")),
            to: Some(prefix("2001:db8:1::/48")),
            table: Some(70_000),
            ..plain.clone()
        },
        PolicyRule {
            mark: Some((0x53, 0xff)),
            incoming: Some("in0".into()),
            outgoing: Some("out0".into()),
            suppress_length: Some(0),
            invert: true,
            ..plain.clone()
        },
        PolicyRule {
            table: None,
            kind: RouteKind::Prohibit,
            ..plain.clone()
        },
        PolicyRule {
            tos: 0x10,
            protocol: Some(6),
            source_ports: Some((1, 65_535)),
            destination_ports: Some((22, 22)),
            users: Some((0, u32::MAX - 1)),
            ..plain.clone()
        },
        PolicyRule {
            table: None,
            vrf: true,
            ..plain.clone()
        },
        PolicyRule {
            table: None,
            goto: Some(200),
            ..plain
        },
    ] {
        let there = KernelRequest::AddRule(wanted.clone());
        assert_eq!(read(&there), [KernelEvent::Rule(wanted.clone())]);
        let gone = KernelRequest::DeleteRule(wanted.clone());
        assert_eq!(read(&gone), [KernelEvent::RuleGone(wanted)]);
    }
}

#[test]
fn a_setting_is_one_message_or_as_many_as_it_takes() {
    let mac = Mac([2, 0, 0, 0, 0, 1]);
    let set_mac = |while_down| KernelRequest::SetMac {
        index: 7,
        mac,
        while_down,
    };
    for (request, count) in [
        (KernelRequest::SetUp { index: 7, up: true }, 1),
        (
            KernelRequest::SetMtu {
                index: 7,
                mtu: 1400,
            },
            1,
        ),
        (set_mac(false), 1),
        (set_mac(true), 3),
        (
            KernelRequest::ReadSwitch {
                link: "home0".into(),
                switch: Switch::AcceptRa,
            },
            0,
        ),
    ] {
        assert_eq!(emit(&request).len(), count, "{request:?}");
    }
    let octets = octets(&set_mac(false), 9);
    assert_eq!(octets.len() % 4, 0);
    assert_eq!(octets[8..12], 9_u32.to_ne_bytes());
}
