//! Do associations arrive whole? Compared with what `ip macsec` sent, and read back.

use config::matcher::Mac;

use super::sending::Step;
use super::*;

const BYTES: &str = include_str!("../../../testdata/kinds/macsec-bytes");
const LINK: u32 = 4;
const FAMILY: Family = Family(0x21);
const CHANNEL: ChannelId = ChannelId {
    mac: Mac([2, 0, 0, 0, 0, 2]),
    port: 7,
};

fn key() -> Key {
    Key::of_hex("1a1b1c1d1e1f20212223242526272829").unwrap()
}

/// A message as it was recorded: our id in place of the one that `ip` was told, and marks of nested attributes, which `ip` leaves out.
fn recorded(name: &str) -> String {
    let line = BYTES
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let ours = key().id().to_string();
    line.unwrap_or_else(|| panic!("{name} is not recorded"))
        .replace("0102030405060708090a0b0c0d0e0f10", &ours)
}

fn hex(message: &Message) -> String {
    assert_eq!((message.kind, message.flags), (FAMILY.0, 0));
    let body = message.body.iter().map(|octet| format!("{octet:02x}"));
    let text: String = body.collect();
    let nested = |number: u16| {
        (number | NESTED)
            .to_le_bytes()
            .map(|o| format!("{o:02x}"))
            .concat()
    };
    let plain = |number: u16| number.to_le_bytes().map(|o| format!("{o:02x}")).concat();
    [CHANNEL_NEST, ASSOCIATION]
        .iter()
        .fold(text, |text, number| {
            text.replace(&nested(*number), &plain(*number))
        })
}

const CHANNEL_NEST: u16 = super::CHANNEL;

fn held(receives: BTreeMap<ChannelId, BTreeMap<u8, Held>>) -> Reading {
    Reading {
        channel: ChannelId {
            mac: Mac([2, 0, 0, 0, 0, 1]),
            port: 1,
        },
        key_length: 16,
        offloaded: false,
        sends: BTreeMap::new(),
        receives,
    }
}

#[test]
fn what_sends_is_told_as_ip_tells_it() {
    let key = key();
    let switch = |is_on, next| Step::Switch {
        number: 2,
        is_on,
        next,
    };
    let add = Step::Add {
        number: 2,
        key: &key,
        next: 67_108_865,
    };
    for (name, step) in [
        ("add-send", add),
        ("switch-off", switch(false, None)),
        ("switch-on", switch(true, Some(134_217_729))),
        ("remove-send", Step::Remove { number: 2 }),
    ] {
        assert_eq!(hex(&step.message(FAMILY, LINK)), recorded(name), "{name}");
    }
}

#[test]
fn what_is_received_is_told_as_ip_tells_it_and_once() {
    let wanted = Receives::from([(CHANNEL, BTreeMap::from([(3, key())]))]);
    let ours = OwnReceives::from([(CHANNEL, None), (CHANNEL, Some(3))]);
    let say = |wanted: &Receives, held: &Reading, ours: &OwnReceives| {
        let messages = receive_differences(FAMILY, LINK, wanted, held, ours);
        messages.iter().map(hex).collect::<Vec<_>>()
    };
    let all = |names: &[&str]| names.iter().map(|name| recorded(name)).collect::<Vec<_>>();
    let nothing = held(BTreeMap::new());
    let added = all(&["add-channel", "add-receive"]);
    assert_eq!(say(&wanted, &nothing, &OwnReceives::new()), added);
    let with = |id| {
        let one = Held {
            key: id,
            next: 9,
            active: true,
        };
        held(BTreeMap::from([(CHANNEL, BTreeMap::from([(3, one)]))]))
    };
    let so = with(key().id());
    assert!(say(&wanted, &so, &ours).is_empty(), "it is so already");
    let other = with(KeyId([9; 16]));
    let replaced = all(&["switch-receive-off", "remove-receive", "add-receive"]);
    assert_eq!(say(&wanted, &other, &ours), replaced);
    let none = Receives::new();
    assert_eq!(say(&none, &so, &ours), all(&["remove-channel"]));
    let empty = Receives::from([(CHANNEL, BTreeMap::new())]);
    assert_eq!(say(&empty, &so, &ours), replaced[..2]);
    let foreign = OwnReceives::new();
    assert!(say(&none, &so, &foreign).is_empty(), "others have added it");
    assert!(say(&empty, &so, &foreign).is_empty());
}

#[test]
fn links_are_read_as_the_kernel_tells_them_and_nonsense_is_none() {
    let association = |bytes: &mut Vec<u8>| {
        tlv::put(bytes, NUMBER, &[2]);
        tlv::put_word(bytes, NEXT, 0);
        tlv::put(bytes, KEY_ID, &[7; 16]);
        tlv::put(bytes, ACTIVE, &[1]);
    };
    let mut bytes = vec![0, 1, 0, 0];
    tlv::put_word(&mut bytes, IFINDEX, LINK);
    tlv::put_nested(&mut bytes, OFFLOAD, |bytes| {
        tlv::put(bytes, OFFLOAD_TYPE, &[0]);
    });
    tlv::put_nested(&mut bytes, SECY, |bytes| {
        tlv::put(bytes, SECY_ID, &CHANNEL.octets());
        tlv::put(bytes, SECY_CIPHER, &0x0080_0200_0100_0001_u64.to_ne_bytes());
    });
    tlv::put_nested(&mut bytes, SENDS, |bytes| {
        tlv::put_nested(bytes, 1, association);
    });
    tlv::put_nested(&mut bytes, CHANNELS, |bytes| {
        tlv::put_nested(bytes, 1, |bytes| {
            tlv::put(bytes, CHANNEL_ID, &CHANNEL.octets());
            tlv::put_nested(bytes, CHANNEL_ASSOCIATIONS, |bytes| {
                tlv::put_nested(bytes, 1, association);
            });
        });
    });
    let message = |body: &[u8]| Message {
        kind: FAMILY.0,
        flags: 0,
        body: body.to_vec(),
    };
    let one = Held {
        key: KeyId([7; 16]),
        next: 0,
        active: true,
    };
    let expected = Reading {
        channel: CHANNEL,
        key_length: 16,
        offloaded: false,
        sends: BTreeMap::from([(2, one)]),
        receives: BTreeMap::from([(CHANNEL, BTreeMap::from([(2, one)]))]),
    };
    let read = readings(&[message(&bytes)]);
    assert_eq!(read, BTreeMap::from([(LINK, expected)]));
    for cut in 0..bytes.len() {
        drop(readings(&[message(&bytes[..cut])]));
    }
}

#[test]
fn keys_are_read_whole_and_never_shown() {
    for (digits, length) in [
        (32, Some(16)),
        (64, Some(32)),
        (31, None),
        (33, None),
        (0, None),
    ] {
        let key = Key::of_hex(&format!(" {}\n", "aB".repeat(32).get(..digits).unwrap()));
        assert_eq!(key.map(|key| key.length()), length, "{digits}");
    }
    assert_eq!(Key::of_hex(&"0g".repeat(16)), None);
    assert_eq!(Key::of_hex(&"\u{e9}".repeat(16)), None);
    assert!(!format!("{:?}", key()).contains("1a"));
    let id = key().id();
    assert_eq!(KeyId::of_hex(&id.to_string()), Some(id));
    let other = Key::of_hex(&"00".repeat(16)).unwrap();
    assert_ne!(id, other.id());
    assert_eq!(KeyId::of_hex("+123456789012345678901234567890f"), None);
}
