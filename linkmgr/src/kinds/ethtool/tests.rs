//! Do our octets say to a card what `ethtool` says? Compared with what it sent, which `testdata/ethtool/record` writes down. And are answers read?

use std::collections::{BTreeMap, BTreeSet};

use config::model::{Offload, WAKE_WORDS};

use super::*;

const BYTES: &str = include_str!("../../../testdata/ethtool/bytes");
/// `ETHTOOL_A_HEADER_FLAGS`: that answers are to have their bits by number, which are read by name here.
const HEADER_FLAGS: u16 = 3;
/// `ETHTOOL_A_LINKMODES_OURS`: ethtool offers all modes that it has found; the kernel does so itself when it is told of none.
const OURS: u16 = 3;

const FAMILY: Family = Family(0x15);

fn answer(command: u8, attributes: impl FnOnce(&mut Vec<u8>)) -> Message {
    let mut bytes = Vec::new();
    attributes(&mut bytes);
    generic::message(FAMILY, command, 0, &bytes)
}

#[test]
fn modes_are_read_as_they_are_set() {
    for mode in [
        LinkMode::Negotiated,
        LinkMode::Fixed {
            speed: 100,
            is_full: false,
        },
        LinkMode::Fixed {
            speed: 800_000,
            is_full: true,
        },
    ] {
        let value = mode.value();
        assert_eq!(LinkMode::of_value(value), mode);
        let set = set(FAMILY, "eth0", Hardware::Mode, value);
        assert_eq!(super::value(&set, Hardware::Mode), Some(value));
    }
    let silent = answer(GET_MODE, |_| {});
    assert_eq!(value(&silent, Hardware::Mode), None);
}

#[test]
fn what_wakes_is_read_from_a_list_or_a_mask() {
    let set = set(FAMILY, "eth0", Hardware::Wake, 0b10_0010);
    assert_eq!(value(&set, Hardware::Wake), Some(0b10_0010));
    let masked = answer(GET_WAKE, |bytes| {
        tlv::put_nested(bytes, WAKE_MODES, |bytes| {
            tlv::put_nested(bytes, BITS, |bytes| {
                for (bit, is_set) in [(0, false), (5, true)] {
                    tlv::put_nested(bytes, BIT, |bytes| {
                        tlv::put_word(bytes, BIT_INDEX, bit);
                        if is_set {
                            tlv::put(bytes, BIT_VALUE, &[]);
                        }
                    });
                }
            });
        });
    });
    assert_eq!(value(&masked, Hardware::Wake), Some(1 << 5));
}

#[test]
fn offloads_go_by_name_and_tell_whether_they_can_be_changed() {
    let list = |bytes: &mut Vec<u8>, number: u16, all: &[&str]| {
        tlv::put_nested(bytes, number, |bytes| {
            tlv::put(bytes, NO_MASK, &[]);
            tlv::put_nested(bytes, BITS, |bytes| {
                for name in all {
                    tlv::put_nested(bytes, BIT, |bytes| tlv::put_text(bytes, BIT_NAME, name));
                }
            });
        });
    };
    let told = answer(GET_OFFLOADS, |bytes| {
        list(bytes, CHANGEABLE, &["rx-gro"]);
        list(bytes, ACTIVE, &["rx-gro", "highdma"]);
    });
    let offload = |name| Hardware::Offload(Offload::of(name).unwrap());
    assert_eq!(value(&told, offload("rx-gro")), Some(1));
    assert_eq!(value(&told, offload("rx-lro")), Some(0));
    assert!(is_changeable(&told, offload("rx-gro")));
    assert!(!is_changeable(&told, offload("rx-lro")));
    let whole = told.body.len();
    for cut in 0..whole {
        let cut = Message {
            body: told.body[..cut].to_vec(),
            ..told.clone()
        };
        let _told = value(&cut, offload("rx-gro"));
    }
    for is_on in [0, 1] {
        let set = set(FAMILY, "eth0", offload("rx-gro"), is_on);
        let attributes = &set.body[generic::HEADER..];
        let wanted = tlv::find(attributes, WANTED).unwrap();
        assert_eq!(names(wanted, "rx-gro"), is_on == 1);
    }
}

/// What a line of `bytes` asks: a setting, and the value that it is to have; `None` to read it.
fn asked(setting: &str, value: &str) -> (Hardware, Option<i32>) {
    let hardware = Hardware::all().find(|it| it.name() == setting).unwrap();
    if value == "?" {
        return (hardware, None);
    }
    let value = match hardware {
        Hardware::Mode => match value.split_once('-') {
            None => LinkMode::Negotiated.value(),
            Some((speed, duplex)) => {
                let speed = speed.parse().unwrap();
                let is_full = duplex == "full";
                LinkMode::Fixed { speed, is_full }.value()
            }
        },
        Hardware::Wake => {
            let said: BTreeSet<&str> = value.split('+').filter(|it| *it != "off").collect();
            let words = (0..).zip(WAKE_WORDS).filter(|(_, it)| said.contains(it));
            words.map(|(bit, _)| 1 << bit).sum()
        }
        Hardware::Offload(_) => (value == "on").into(),
    };
    (hardware, Some(value))
}

/// The attributes with their flags, whose order means nothing; what pads them is of no account, and ethtool leaves there what was there.
fn pieces(mut bytes: &[u8]) -> BTreeMap<u16, Vec<Vec<u8>>> {
    let mut pieces: BTreeMap<u16, Vec<Vec<u8>>> = BTreeMap::new();
    while !bytes.is_empty() {
        let length = usize::from(tlv::half(bytes, 0).unwrap());
        let number = tlv::half(bytes, 2).unwrap();
        let mut value = bytes[4..length].to_vec();
        if number & NESTED != 0 {
            value = Vec::new();
            for (number, all) in self::pieces(&bytes[4..length]) {
                all.iter().for_each(|it| tlv::put(&mut value, number, it));
            }
        }
        pieces.entry(number).or_default().push(value);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    pieces
}

#[test]
fn our_octets_are_those_of_ethtool() {
    let mut compared = BTreeSet::new();
    for line in BYTES.lines() {
        let [setting, value, hex] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let (hardware, wanted) = asked(setting, value);
        compared.insert((hardware, wanted));
        let theirs: Vec<u8> = (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        let (flags, theirs) = (tlv::half(&theirs, 6).unwrap(), &theirs[16..]);
        let family = Family(0);
        let ours = match wanted {
            None => get(family, "e0", hardware),
            Some(value) => set(family, "e0", hardware, value),
        };
        // NLM_F_REQUEST and NLM_F_ACK, which the sender adds.
        assert_eq!(ours.flags, flags & !5, "{line}");
        assert_eq!(ours.body[..4], theirs[..4], "{line}: command and version");
        let (ours, mut theirs) = (pieces(&ours.body[4..]), pieces(&theirs[4..]));
        let header = theirs.get_mut(&(HEADER | NESTED)).unwrap();
        let mut named = pieces(&header[0]);
        named.remove(&HEADER_FLAGS);
        assert_eq!(named.len(), 1, "{line}");
        header[0].clear();
        tlv::put(&mut header[0], HEADER_NAME, &named[&HEADER_NAME][0]);
        if value == "negotiated" {
            assert!(theirs.remove(&(OURS | NESTED)).is_some(), "{line}");
        }
        assert_eq!(ours, theirs, "{line}");
    }
    for hardware in Hardware::all() {
        let count = compared.iter().filter(|(of, _)| *of == hardware).count();
        assert!(count >= 2, "{}", hardware.name());
    }
    for (bit, _) in (0..).zip(WAKE_WORDS).filter(|(_, word)| !word.is_empty()) {
        assert!(compared.contains(&(Hardware::Wake, Some(1 << bit))));
    }
}
