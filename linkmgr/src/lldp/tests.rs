//! Are neighbours known as long as they say, and strangers' frames harmless?

use super::*;

fn element(kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    let mut octets = (kind << 9 | length).to_be_bytes().to_vec();
    octets.extend(data);
    octets
}

fn frame(port: &str, lasts: u16, more: &[(u16, &[u8])]) -> Vec<u8> {
    let mut octets = element(1, &[4, 2, 0, 0, 0, 0, 0x53]);
    octets.extend(element(2, &[&[5], port.as_bytes()].concat()));
    octets.extend(element(3, &lasts.to_be_bytes()));
    for (kind, data) in more {
        octets.extend(element(*kind, data));
    }
    octets.extend([0, 0]);
    octets
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

#[test]
fn a_switch_is_known_with_all_that_it_says_until_its_time_is_over() {
    let mut neighbours = Neighbours::default();
    let more: [(u16, &[u8]); 8] = [
        (4, b"uplink to the lab"),
        (5, b"switch1.corp.test"),
        (6, b"A switch\r\nVersion 1\x1b[2J"),
        (7, &[0, 0x14, 0, 0x14]),
        (8, &[5, 1, 192, 0, 2, 1, 2, 0, 0, 0, 1, 0]),
        (127, &[0, 0x80, 0xc2, 1, 0, 42]),
        (127, &[0, 0x12, 0x0f, 4, 5, 0xf2]),
        (99, b"from the future"),
    ];
    let octets = frame("ge-0/0/1", 120, &more);
    assert!(neighbours.handle_packet(&octets, at(0)));
    assert!(!neighbours.handle_packet(&octets, at(30)), "nothing new");
    let [neighbour] = neighbours.iter().collect::<Vec<_>>()[..] else {
        panic!("one switch");
    };
    assert_eq!(
        (&*neighbour.chassis, &*neighbour.port),
        ("02:00:00:00:00:53", "ge-0/0/1")
    );
    assert_eq!(neighbour.name.as_deref(), Some("switch1.corp.test"));
    assert_eq!(
        neighbour.description.as_deref(),
        Some("A switch  Version 1[2J")
    );
    let capabilities: Vec<&str> = neighbour.capabilities.names().collect();
    assert_eq!(capabilities, ["bridge", "router"]);
    assert_eq!(
        neighbour.addresses,
        ["192.0.2.1".parse::<IpAddr>().unwrap()]
    );
    assert_eq!(
        (neighbour.vlan, neighbour.max_frame),
        (Some(42), Some(1522))
    );
    assert_eq!(neighbours.poll_timeout(), Some(at(150)));
    assert!(!neighbours.handle_timeout(at(149)));
    assert!(neighbours.handle_timeout(at(150)));
    assert_eq!(neighbours.poll_timeout(), None);
}

#[test]
fn a_neighbour_that_says_goodbye_is_gone_and_so_are_all_without_carrier() {
    let mut neighbours = Neighbours::default();
    neighbours.handle_packet(&frame("1", 120, &[]), at(0));
    neighbours.handle_packet(&frame("2", 120, &[]), at(0));
    assert!(neighbours.handle_packet(&frame("1", 0, &[]), at(1)));
    assert!(
        !neighbours.handle_packet(&frame("3", 0, &[]), at(1)),
        "nobody has known it"
    );
    assert_eq!(neighbours.iter().count(), 1);
    assert!(neighbours.clear() && !neighbours.clear());
}

#[test]
fn a_flood_of_neighbours_is_bounded() {
    let mut neighbours = Neighbours::default();
    for port in 0..1000 {
        neighbours.handle_packet(&frame(&port.to_string(), 65535, &[]), at(0));
    }
    assert_eq!(neighbours.iter().count(), MAX_NEIGHBOURS);
}

#[test]
fn what_is_not_as_the_standard_wants_it_is_dropped_whole() {
    let good = frame("1", 120, &[(5, b"name")]);
    assert!(Frame::parse(&good).is_some());
    // The end may be missing, but nothing may be cut.
    assert!(Frame::parse(&good[..good.len() - 2]).is_some());
    let cut: Vec<usize> = (0..good.len() - 2)
        .filter(|length| Frame::parse(&good[..*length]).is_some())
        .collect();
    assert_eq!(cut, [frame("1", 120, &[]).len() - 2], "before the name");
    let chassis = element(1, &[7, b'a']);
    let port = element(2, &[7, b'b']);
    let life = element(3, &[0, 9]);
    for parts in [
        [&port, &chassis, &life],
        [&chassis, &life, &port],
        [&chassis, &port, &port],
        [&element(1, &[4]), &port, &life],
        [&chassis, &element(2, &[]), &life],
        [&chassis, &port, &element(3, &[9])],
        [&element(1, &[7; 300]), &port, &life],
    ] {
        assert_eq!(Frame::parse(&parts.map(Vec::as_slice).concat()), None);
    }
    let twice = frame("1", 120, &[(3, &[0, 1])]);
    assert_eq!(Frame::parse(&twice), None);
}

#[test]
fn names_that_cannot_be_shown_are_digits() {
    for (data, expected) in [
        (&[4, 2, 0, 0, 0, 0, 1][..], "02:00:00:00:00:01"),
        (&[5, 1, 192, 0, 2, 9], "192.0.2.9"),
        (&[4, 1, 2], "0102"),
        (&[7, b'r', b'o', b'w', 0x1b, b'1'], "row1"),
        (&[7, 0xe2, 0x80, 0xae, b'x'], "x"),
    ] {
        let octets = [
            element(1, data),
            element(2, &[7, b'p']),
            element(3, &[0, 9]),
        ]
        .concat();
        assert_eq!(&*Frame::parse(&octets).unwrap().neighbour.chassis, expected);
    }
}
