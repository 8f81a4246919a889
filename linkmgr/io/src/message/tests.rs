//! Bytes of another encoder, and bytes of no sense.

use netlink_packet_core::{
    DefaultNla, NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NetlinkMessage,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoBondPort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVxlan, LinkAttribute,
    LinkFlags, LinkInfo, LinkLayerType, LinkMessage as Link, Prop, State,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage as Route, RouteNextHop, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage as Rt};

use config::model::{AddressAttributes, RouteKind, RouteTuning};
use linkmgr::kernel::NextHop;
use linkmgr::{AddressMessage as Told, Usability};
use policy::facts::Preference;
use policy::links::RouteKey;

use super::*;

fn bytes(message: Rt, flags: u16) -> Vec<u8> {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = flags;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

fn parsed(message: Rt) -> Vec<KernelEvent> {
    parse_message(&bytes(message, 0))
}

fn ethernet(index: u32, attributes: Vec<LinkAttribute>) -> Link {
    let mut link = Link::default();
    link.header.index = index;
    link.header.link_layer_type = LinkLayerType::Ether;
    link.header.flags = LinkFlags::Up | LinkFlags::LowerUp;
    link.attributes = attributes;
    link
}

fn veth() -> Link {
    ethernet(
        7,
        vec![
            LinkAttribute::IfName("home0".into()),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
            LinkAttribute::OperState(State::Up),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth)]),
            LinkAttribute::PropList(vec![Prop::AltIfName("a-long-name".into())]),
        ],
    )
}

fn default_route4(index: u32, metric: u32) -> Route {
    let mut route = Route::default();
    route.header = RouteHeader {
        address_family: AddressFamily::Inet,
        table: RouteHeader::RT_TABLE_MAIN,
        kind: RouteType::Unicast,
        protocol: netlink_packet_route::route::RouteProtocol::Dhcp,
        ..RouteHeader::default()
    };
    route.attributes = vec![
        RouteAttribute::Table(254),
        RouteAttribute::Priority(metric),
        RouteAttribute::Gateway(RouteAddress::Inet(Ipv4Addr::new(192, 0, 2, 1))),
        RouteAttribute::Oif(index),
        RouteAttribute::PrefSource(RouteAddress::Inet(Ipv4Addr::new(192, 0, 2, 10))),
    ];
    route
}

fn told_route4(index: u32, metric: u32) -> RouteMessage {
    RouteMessage {
        index,
        to: Prefix {
            address: Ipv4Addr::UNSPECIFIED.into(),
            length: 0,
        },
        route: DefaultRoute {
            metric,
            gateway: Some(IpAddr::from([192, 0, 2, 1])),
        },
        source: Some(IpAddr::from([192, 0, 2, 10])),
        protocol: 16,
    }
}

fn address6(flags: AddressFlags) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet6;
    message.header.prefix_len = 64;
    message.header.index = 7;
    message.attributes = vec![
        AddressAttribute::Address(Ipv6Addr::LOCALHOST.into()),
        AddressAttribute::Flags(flags),
    ];
    message
}

#[test]
fn link_whose_name_is_no_utf8_is_seen() {
    let mut bytes = bytes(Rt::NewLink(veth()), 0);
    let at = bytes.windows(5).position(|part| part == b"home0").unwrap();
    bytes[at + 1] = 0xff;
    let [KernelEvent::Link(link)] = &parse_message(&bytes)[..] else {
        panic!("it is not told");
    };
    assert_eq!((link.index, &*link.name), (7, "h\u{fffd}me0"));
}

#[test]
fn link_is_read_with_its_kind_and_names() {
    let expected = LinkMessage {
        index: 7,
        name: "home0".into(),
        alt_names: ["a-long-name".into()].into(),
        kind: "veth".into(),
        mac: Some(Mac([2, 0, 0, 0, 0, 1])),
        admin_up: true,
        carrier: true,
        arp: true,
        ..LinkMessage::default()
    };
    assert_eq!(parsed(Rt::NewLink(veth())), [KernelEvent::Link(expected)]);
    assert_eq!(
        parsed(Rt::DelLink(veth())),
        [KernelEvent::LinkGone { index: 7 }]
    );
}

#[test]
fn the_hardware_address_that_a_link_came_with_is_told_apart() {
    let came_with = LinkAttribute::PermAddress(vec![2, 0, 0, 0, 0, 7]);
    let port = |kind: InfoPortKind| {
        let data = vec![InfoBondPort::PermHwaddr(vec![2, 0, 0, 0, 0, 8])];
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::PortKind(kind),
            LinkInfo::PortData(InfoPortData::BondPort(data)),
        ])
    };
    for (attributes, last) in [
        (vec![], None),
        (vec![came_with.clone()], Some(7)),
        (vec![port(InfoPortKind::Bond)], Some(8)),
        (vec![port(InfoPortKind::Bond), came_with.clone()], Some(7)),
        (vec![port(InfoPortKind::Bridge)], None),
        (vec![LinkAttribute::PermAddress(vec![1; 20])], None),
    ] {
        let name = LinkAttribute::IfName("eth0".into());
        let present = LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]);
        let attributes = [name, present].into_iter().chain(attributes).collect();
        let events = parsed(Rt::NewLink(ethernet(2, attributes)));
        let [KernelEvent::Link(link)] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(link.mac, Some(Mac([2, 0, 0, 0, 0, 1])));
        let expected = last.map(|last| Mac([2, 0, 0, 0, 0, last]));
        assert_eq!(link.permanent_mac, expected, "{link:?}");
    }
}

#[test]
fn a_link_stands_on_the_one_that_its_kind_or_it_says_where_that_is_here() {
    let kind = |kind: InfoKind| LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]);
    let vxlan = || {
        let data = InfoData::Vxlan(vec![InfoVxlan::Id(5), InfoVxlan::Link(9)]);
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Vxlan), LinkInfo::Data(data)])
    };
    for (attributes, expected) in [
        (vec![], None),
        (vec![LinkAttribute::Link(9), kind(InfoKind::Vlan)], Some(9)),
        (vec![LinkAttribute::Link(2)], None),
        (vec![vxlan()], Some(9)),
        (
            vec![LinkAttribute::Link(9), LinkAttribute::LinkNetNsId(0)],
            None,
        ),
        (vec![LinkAttribute::LinkNetNsId(0), vxlan()], None),
    ] {
        let name = LinkAttribute::IfName("top0".into());
        let attributes = std::iter::once(name).chain(attributes).collect();
        let events = parsed(Rt::NewLink(ethernet(2, attributes)));
        let [KernelEvent::Link(link)] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(link.parent.map(NonZeroU32::get), expected, "{link:?}");
    }
}

#[test]
fn carrier_needs_an_operational_state_that_is_not_down() {
    let rows = [
        (State::Unknown, true),
        (State::NotPresent, false),
        (State::Down, false),
        (State::LowerLayerDown, false),
        (State::Dormant, true),
        (State::Up, true),
    ];
    for (state, carrier) in rows {
        let attributes = vec![
            LinkAttribute::IfName("eth0".into()),
            LinkAttribute::OperState(state),
        ];
        let events = parsed(Rt::NewLink(ethernet(2, attributes)));
        let [KernelEvent::Link(link)] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(
            (link.carrier, &*link.kind),
            (carrier, "ethernet"),
            "{state:?}"
        );
    }
}

#[test]
fn bridge_port_that_leaves_its_bridge_is_not_gone() {
    let mut port = veth();
    port.header.interface_family = AddressFamily::Bridge;
    assert_eq!(parsed(Rt::DelLink(port.clone())), []);
    assert_eq!(parsed(Rt::NewLink(port)), []);
}

#[test]
fn event_of_the_wireless_extensions_describes_no_link() {
    let mut link = veth();
    link.attributes
        .push(LinkAttribute::Other(DefaultNla::new(11, vec![0; 8])));
    assert_eq!(parsed(Rt::NewLink(link)), []);
}

#[test]
fn own_address_of_a_point_to_point_link_is_told_not_the_peers() {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = 32;
    message.header.index = 9;
    message.attributes = vec![
        AddressAttribute::Address(Ipv4Addr::new(10, 8, 0, 1).into()),
        AddressAttribute::Local(Ipv4Addr::new(10, 8, 0, 2).into()),
    ];
    let address = Prefix {
        address: IpAddr::from([10, 8, 0, 2]),
        length: 32,
    };
    assert_eq!(
        parsed(Rt::NewAddress(message)),
        [KernelEvent::Address(Told {
            attributes: AddressAttributes {
                peer: Some(IpAddr::from([10, 8, 0, 1])),
                ..AddressAttributes::default()
            },
            ..Told::lasting(9, address)
        })]
    );
}

#[test]
fn address_is_told_with_whether_it_may_be_used() {
    let address = Prefix {
        address: Ipv6Addr::LOCALHOST.into(),
        length: 64,
    };
    let rows = [
        (AddressFlags::empty(), Usability::Usable),
        (AddressFlags::Permanent, Usability::Usable),
        (AddressFlags::Deprecated, Usability::Usable),
        (AddressFlags::Tentative, Usability::Tentative),
        (
            AddressFlags::Tentative | AddressFlags::Optimistic,
            Usability::Usable,
        ),
        (
            AddressFlags::Permanent | AddressFlags::Dadfailed,
            Usability::Duplicate,
        ),
    ];
    for (flags, usability) in rows {
        let told = Told {
            usability,
            ..Told::lasting(7, address)
        };
        let events = parsed(Rt::NewAddress(address6(flags)));
        assert_eq!(events, [KernelEvent::Address(told)], "{flags:?}");
    }
    let gone = KernelEvent::AddressGone { index: 7, address };
    let events = parsed(Rt::DelAddress(address6(AddressFlags::Permanent)));
    assert_eq!(events, [gone]);
}

#[test]
fn default_route_is_told_with_metric_gateway_and_source() {
    let route = || default_route4(7, 100);
    let told = told_route4(7, 100);
    assert_eq!(parsed(Rt::NewRoute(route())), [KernelEvent::Route(told)]);
    let theirs = || OwnRoute {
        key: RouteKey {
            table: 254,
            to: told.to,
            metric: 100,
            from: None,
        },
        kind: RouteKind::Unicast,
        hops: vec![NextHop::only(7, told.route.gateway)],
        on_link: false,
        source: told.source,
        mtu: None,
        preference: Preference::Medium,
        tuning: RouteTuning::default(),
        valid: None,
    };
    assert_eq!(
        parsed(Rt::DelRoute(route())),
        [
            KernelEvent::RouteGone(told),
            KernelEvent::PlaceLeft(theirs())
        ]
    );
    let shared = |is_first| KernelEvent::PlaceShared {
        theirs: theirs(),
        is_first,
    };
    let there = || KernelEvent::Route(told);
    let replaced = KernelEvent::RoutesReplaced(vec![told]);
    for (flags, events) in [
        (NLM_F_CREATE | NLM_F_EXCL, vec![there()]),
        (NLM_F_CREATE, vec![there(), shared(true)]),
        (NLM_F_CREATE | NLM_F_APPEND, vec![there(), shared(false)]),
        (
            NLM_F_REPLACE,
            vec![replaced, KernelEvent::PlaceTaken(theirs())],
        ),
    ] {
        assert_eq!(parse_message(&bytes(Rt::NewRoute(route()), flags)), events);
    }
}

#[test]
fn route_over_several_links_is_told_for_each() {
    let mut route = default_route4(7, 100);
    route.attributes = vec![
        RouteAttribute::Priority(5),
        RouteAttribute::MultiPath(
            [(7, 1), (8, 2)]
                .map(|(index, last)| {
                    let mut hop = RouteNextHop::default();
                    hop.interface_index = index;
                    hop.attributes = vec![RouteAttribute::Gateway(RouteAddress::Inet(
                        Ipv4Addr::new(192, 0, 2, last),
                    ))];
                    hop
                })
                .to_vec(),
        ),
    ];
    let told = [(7, 1), (8, 2)].map(|(index, last)| {
        KernelEvent::Route(RouteMessage {
            index,
            to: Prefix {
                address: Ipv4Addr::UNSPECIFIED.into(),
                length: 0,
            },
            route: DefaultRoute {
                metric: 5,
                gateway: Some(IpAddr::from([192, 0, 2, last])),
            },
            source: None,
            protocol: 16,
        })
    });
    assert_eq!(parsed(Rt::NewRoute(route)), told);
}

#[test]
fn route_that_is_no_default_route_is_passed_over() {
    let changes: [fn(&mut RouteHeader); 6] = [
        |header| header.destination_prefix_length = 2,
        |header| header.source_prefix_length = 48,
        |header| header.tos = 0x10,
        |header| header.table = 255,
        |header| header.kind = RouteType::BlackHole,
        |header| header.address_family = AddressFamily::Mpls,
    ];
    for (row, change) in changes.into_iter().enumerate() {
        let mut route = default_route4(7, 100);
        change(&mut route.header);
        assert_eq!(parsed(Rt::NewRoute(route)), [], "row {row}");
    }
}

#[test]
fn datagram_of_many_messages_is_read_to_its_end() {
    let mut datagram = bytes(Rt::NewLink(veth()), 0);
    datagram.extend(bytes(Rt::NewRoute(default_route4(7, 1)), 0));
    // NLMSG_DONE with NLM_F_DUMP_INTR and an errno.
    datagram.extend(20_u32.to_ne_bytes());
    datagram.extend(3_u16.to_ne_bytes());
    datagram.extend(0x10_u16.to_ne_bytes());
    datagram.extend([0; 8]);
    datagram.extend((-libc::ENOENT).to_ne_bytes());
    let mut events = Vec::new();
    let ending = parse_into(&datagram, &mut events);
    assert_eq!(events.len(), 2);
    let fault = KernelFault {
        errno: libc::ENOENT,
        text: None,
    };
    assert_eq!(ending.done, Some(Err(fault)));
    assert!(ending.interrupted);
}

#[test]
fn no_bytes_make_it_panic() {
    let datagrams = [
        bytes(Rt::NewLink(veth()), 0),
        bytes(Rt::NewAddress(address6(AddressFlags::Permanent)), 0),
        bytes(Rt::NewRoute(default_route4(7, 100)), 0),
        {
            let mut route = default_route4(7, 100);
            let mut hop = RouteNextHop::default();
            hop.attributes = route.attributes.split_off(2);
            route.attributes.push(RouteAttribute::MultiPath(vec![hop]));
            bytes(Rt::NewRoute(route), 0)
        },
    ];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        // xorshift64
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed & 0xffff_ffff).unwrap()
    };
    let mut still_read = 0;
    for datagram in &datagrams {
        for length in 0..datagram.len() {
            parse_message(&datagram[..length]);
        }
        for _ in 0..50_000 {
            let mut mutated = datagram.clone();
            for _ in 0..=random() % 4 {
                let place = random() % mutated.len();
                let value = [0, 1, 0x7f, 0x80, 0xff, random().to_ne_bytes()[0]];
                mutated[place] = value[random() % value.len()];
            }
            still_read += parse_message(&mutated).len();
        }
    }
    assert!(still_read > 0, "every mutation was refused at once");
}

/// A rule of somebody else from some network, with these attributes beside.
fn rule_of_others(kind: u16, attributes: &[(u16, &[u8])]) -> Vec<KernelEvent> {
    let mut body = vec![2, 0, 8, 0, 100, 0, 0, 1, 0, 0, 0, 0];
    let plain: [(u16, &[u8]); 4] = [
        (2, &[10, 0, 0, 0]),
        (6, &1000_u32.to_ne_bytes()),
        (14, &u32::MAX.to_ne_bytes()),
        (21, &[3]),
    ];
    for (kind, value) in plain.iter().chain(attributes) {
        let length = u16::try_from(4 + value.len()).unwrap();
        body.extend(length.to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let length = u32::try_from(HEADER_LENGTH + body.len()).unwrap();
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend([0; 10]);
    message.extend(body);
    parse_message(&message)
}

#[test]
fn a_rule_of_others_that_says_more_than_ours_can_is_another_one() {
    let none: &[u8] = &u32::MAX.to_ne_bytes();
    let same: [&[(u16, &[u8])]; 3] = [
        &[],
        &[(18, &[]), (13, none), (12, &[0; 8]), (11, &[0; 4])],
        &[(28, &[255, 255]), (29, &[0, 0])],
    ];
    let [plain, ..] = same.map(|attributes| {
        let told = rule_of_others(libc::RTM_NEWRULE, attributes);
        let [KernelEvent::RuleTaken { rule, protocol: 3 }] = told.as_slice() else {
            panic!("{attributes:?}: {told:?}");
        };
        let freed = KernelEvent::RuleFreed {
            rule: rule.clone(),
            protocol: 3,
        };
        let gone = rule_of_others(libc::RTM_DELRULE, attributes);
        assert_eq!(gone, [freed], "{attributes:?}");
        told
    });
    let others: [(u16, &[u8]); 8] = [
        (11, &[1, 0, 0, 0]),
        (12, &[0, 0, 0, 0, 0, 0, 0, 5]),
        (13, &[0, 0, 0, 0]),
        (14, &1000_u32.to_ne_bytes()),
        (25, &[0]),
        (26, &[0, 0, 0, 7]),
        (28, &[255, 0]),
        (29, &[0, 255]),
    ];
    for other in others {
        for kind in [libc::RTM_NEWRULE, libc::RTM_DELRULE] {
            assert_eq!(rule_of_others(kind, &[other]), [], "{other:?}");
        }
    }
    // Of ours it is told whatever it says.
    let ours = rule_of_others(libc::RTM_NEWRULE, &[(21, &[linkmgr::kernel::OURS])]);
    assert!(
        matches!(ours.as_slice(), [KernelEvent::Rule(_)]),
        "{plain:?}"
    );
}
