//! Are messages read as RFC 8415 lays them out, and is nothing that somebody nests or cuts a danger?

use super::super::tests::{Answer, IAID};
use super::*;

#[test]
fn a_deeply_nested_message_is_read_like_any_other() {
    // IA_NA in IA_NA in IA_NA, as deep as a datagram allows.
    let mut value = vec![0; 12];
    while value.len() < MESSAGE_MAX - 100 {
        let mut outer = vec![0; 12];
        outer.extend(option::IA_NA.to_be_bytes());
        outer.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        outer.extend(value);
        value = outer;
    }
    let octets = Answer::new(MessageType::Reply)
        .with(option::IA_NA, &value)
        .octets(1);
    let message = Message::parse(&octets).unwrap();
    assert_eq!(message.associations.len(), 1);
    assert!(message.associations[0].leases.is_empty());
    let mut long = octets;
    long.resize(MESSAGE_MAX + 1, 0);
    assert_eq!(Message::parse(&long), None);
}

#[test]
fn every_length_that_is_cut_is_noticed() {
    let octets = Answer::new(MessageType::Reply)
        .addresses((10, 20), &[("2001:db8::1", 30, 40)])
        .prefixes((10, 20), &[("2001:db8::", 30, 40)])
        .status(0)
        .octets(1);
    assert!(Message::parse(&octets).is_some());
    let whole = Message::parse(&octets).unwrap();
    for length in 0..octets.len() {
        // Whole options may end there.
        let cut = Message::parse(&octets[..length]);
        assert_ne!(cut.as_ref(), Some(&whole), "{length}");
    }
}

#[test]
fn leases_that_make_no_sense_are_passed_over() {
    let rows = [
        (
            "preferred longer than valid",
            Answer::new(MessageType::Reply).addresses((0, 0), &[("2001:db8::1", 50, 40)]),
        ),
        (
            "link-local",
            Answer::new(MessageType::Reply).addresses((0, 0), &[("fe80::1", 30, 40)]),
        ),
        (
            "multicast",
            Answer::new(MessageType::Reply).addresses((0, 0), &[("ff02::1", 30, 40)]),
        ),
        (
            "loopback",
            Answer::new(MessageType::Reply).addresses((0, 0), &[("::1", 30, 40)]),
        ),
        (
            "embedded IPv4",
            Answer::new(MessageType::Reply).addresses((0, 0), &[("::ffff:127.0.0.1", 30, 40)]),
        ),
        (
            "multicast prefix",
            Answer::new(MessageType::Reply).prefixes((0, 0), &[("ff00::", 30, 40)]),
        ),
    ];
    for (name, row) in rows {
        let message = Message::parse(&row.octets(1)).unwrap();
        assert!(message.associations[0].leases.is_empty(), "{name}");
    }
    let late = Answer::new(MessageType::Reply).addresses((30, 20), &[("2001:db8::1", 30, 40)]);
    let message = Message::parse(&late.octets(1)).unwrap();
    assert!(message.associations.is_empty(), "T1 beyond T2");
}

#[test]
fn an_excluded_part_lies_within_its_prefix() {
    let within = Prefix {
        address: "2001:db8:100::".parse().unwrap(),
        length: 48,
    };
    let rows: [(&[u8], Option<&str>); 6] = [
        (&[64, 0x12, 0x34], Some("2001:db8:100:1234::/64")),
        (&[56, 0x12], Some("2001:db8:100:1200::/56")),
        (&[49, 0x80], Some("2001:db8:100:8000::/49")),
        (&[48], None),
        (&[64, 0x12], None),
        (&[130, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], None),
    ];
    for (value, expected) in rows {
        let read = exclude(within, value).map(|prefix| prefix.to_string());
        assert_eq!(read.as_deref(), expected, "{value:?}");
    }
}

#[test]
fn what_a_client_writes_a_server_can_read() {
    let mut writer = Writer::new(MessageType::Request, 0x12_3456);
    writer.put(option::CLIENT_ID, &[0, 4, 1, 2]);
    let lease = Prefix {
        address: "2001:db8::1".parse().unwrap(),
        length: 128,
    };
    writer.put_association(Sort::Addresses, IAID, [&lease]);
    let message = Message::parse(&writer.finish()).unwrap();
    assert_eq!(
        (message.kind, message.transaction),
        (MessageType::Request, 0x12_3456)
    );
    let association = message.association(Sort::Addresses, IAID).unwrap();
    assert_eq!(association.leases[0].prefix, lease);
    assert_eq!(message.association(Sort::Prefixes, IAID), None);
}

#[test]
fn words_of_a_server_are_fit_to_be_shown() {
    let mut value = vec![0, 1];
    value.extend(b"no \x1b[2Jway\n");
    value.extend([b'x'; 1000]);
    let read = status(&value).unwrap();
    assert!(read.text.starts_with("no [2Jwayxxx"));
    assert_eq!(read.text.len(), TEXT_MAX);
}
