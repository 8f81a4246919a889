//! Do our octets say to the kernel what `ip` says? Compared attribute by attribute with what it sent; `testdata/kinds/record`
//! writes that down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::kind::{Attribute, KINDS, Kind, Maker, Parent, Value, Wire};
use config::layer::{Layer, LayerKind, Origin, Rank, load};
use config::model::VirtualLink;

use super::message::{self, Missing, VlanOwner};
use super::{Message, decode, tlv};

const CASES: &str = include_str!("../../testdata/kinds/cases");
const BYTES: &str = include_str!("../../testdata/kinds/bytes");

/// What `ip` says though nobody asked for it, as kind, number and value; the kernel takes the same when it is left out.
const UNASKED: [(&str, u16, &[u8]); 9] = [
    ("gre", 14, &[0, 0]),
    ("gre", 15, &[0, 0]),
    ("gretap", 10, &[1]),
    ("ip6gre", 15, &[2, 0]),
    // IFLA_GRE_ERSPAN_VER, which a tunnel that is no ERSPAN passes over.
    ("ip6gre", 22, &[1]),
    ("ip6tnl", 16, &[2, 0]),
    ("sit", 10, &[1]),
    // Learning, and the port: what the kernel has for both.
    ("vxlan", 7, &[1]),
    ("vxlan", 15, &[0x21, 0x18]),
];

struct Case {
    name: &'static str,
    link: VirtualLink,
    /// The link whose settings as a port are meant.
    port: Option<&'static str>,
    /// The link whose own VLANs are meant.
    bridge: Option<&'static str>,
    removes: bool,
    theirs: Message,
}

fn cases() -> Vec<Case> {
    let bytes: BTreeMap<&str, &str> = BYTES
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .collect();
    CASES
        .split("\n## ")
        .skip(1)
        .map(|block| {
            let name = block.lines().next().unwrap();
            let line_with = |start: &str| block.lines().find_map(|line| line.strip_prefix(start));
            let port = line_with("port ").filter(|port| !port.starts_with('='));
            let bridge = line_with("bridge ");
            let keys: Vec<&str> = block
                .lines()
                .skip(1)
                .filter(|line| line.contains(" = "))
                .collect();
            let (of_link, of_port) = if port.is_some() {
                keys.split_at(1)
            } else {
                keys.split_at(keys.len())
            };
            let mut text = format!("[link]\nname = \"x0\"\n{}\n", of_link.join("\n"));
            if let Some(port) = port {
                text += &format!("[[ports]]\nname = \"{port}\"\n{}\n", of_port.join("\n"));
            }
            let layer = Layer {
                origin: Origin {
                    rank: Rank::Admin,
                    path: "profiles/x.toml".into(),
                },
                kind: LayerKind::of("profiles/x.toml").unwrap(),
                text,
            };
            let loaded = load(&[layer]);
            assert!(!loaded.has_errors(), "{name}: {:#?}", loaded.diagnostics);
            let profile = loaded.config.profiles.into_values().next().unwrap();
            Case {
                name,
                link: profile.link.unwrap(),
                port,
                bridge,
                removes: line_with("remove vlans").is_some(),
                theirs: from_hex(bytes[name]),
            }
        })
        .collect()
}

fn from_hex(hex: &str) -> Message {
    let octets: Vec<u8> = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    Message {
        kind: tlv::half(&octets, 4).unwrap(),
        // Without NLM_F_REQUEST and NLM_F_ACK, which the sender adds.
        flags: tlv::half(&octets, 6).unwrap() & !5,
        body: octets[16..].to_vec(),
    }
}

fn index_of(name: &str) -> Option<u32> {
    match name {
        "up0" => Some(10),
        "up1" => Some(11),
        _ => None,
    }
}

fn name_of(index: u32) -> Option<Arc<str>> {
    match index {
        10 => Some("up0".into()),
        11 => Some("up1".into()),
        _ => None,
    }
}

fn ours(case: &Case) -> Message {
    let kind = case.link.kind;
    if let Some(bridge) = case.bridge {
        let mut messages = message::add_vlans(
            index_of(bridge).unwrap(),
            VlanOwner::Bridge,
            &case.link.vlans,
        );
        return messages.pop().unwrap();
    }
    let Some(port) = case.port else {
        return message::make(&case.link, None, &index_of).unwrap();
    };
    let index = index_of(port).unwrap();
    let settings = &case.link.ports[port];
    if settings.vlans.is_empty() {
        return message::change_port(index, kind, &settings.attributes, &index_of).unwrap();
    }
    let mut messages = if case.removes {
        let vlans: Vec<u16> = settings.vlans.keys().copied().collect();
        message::remove_vlans(index, VlanOwner::Port, &vlans)
    } else {
        message::add_vlans(index, VlanOwner::Port, &settings.vlans)
    };
    messages.pop().unwrap()
}

/// A text with or without its final zero is the same text.
fn trimmed(value: &[u8]) -> &[u8] {
    value.strip_suffix(&[0]).unwrap_or(value)
}

const IFLA_LINKINFO: u16 = 18;

#[test]
fn our_octets_are_those_of_ip() {
    for case in cases() {
        let name = case.name;
        let (ours, theirs) = (ours(&case), &case.theirs);
        assert_eq!(ours.kind, theirs.kind, "{name}");
        assert_eq!(ours.flags, theirs.flags, "{name}");
        assert_eq!(ours.body[..16], theirs.body[..16], "{name}: header");
        let outer = |message: &Message| -> BTreeMap<u16, Vec<u8>> {
            tlv::attributes(&message.body[16..])
                .filter(|(number, _)| *number != IFLA_LINKINFO)
                .map(|(number, value)| (number, trimmed(value).to_vec()))
                .collect()
        };
        assert_eq!(outer(&ours), outer(theirs), "{name}: beside its kind");
        compare_info(&case, &ours, theirs);
    }
}

fn compare_info(case: &Case, ours: &Message, theirs: &Message) {
    let name = case.name;
    let info =
        |message: &Message| tlv::find(&message.body[16..], IFLA_LINKINFO).map(<[u8]>::to_vec);
    let (ours, theirs) = match (info(ours), info(theirs)) {
        (Some(ours), Some(theirs)) => (ours, theirs),
        (None, None) => return,
        different => panic!("{name}: {different:?}"),
    };
    let slot = if case.port.is_some() {
        message::INFO_SLAVE_DATA
    } else {
        let kind = |info: &[u8]| trimmed(tlv::find(info, message::INFO_KIND).unwrap()).to_vec();
        assert_eq!(kind(&ours), kind(&theirs), "{name}");
        message::INFO_DATA
    };
    let data = |info: &[u8]| -> BTreeMap<u16, Vec<u8>> {
        let data = tlv::find(info, slot).unwrap_or_default();
        tlv::attributes(data)
            .map(|(number, value)| (number, value.to_vec()))
            .collect()
    };
    let (mut ours, mut theirs) = (data(&ours), data(&theirs));
    if case.link.kind.has_peer {
        let inner = |data: &BTreeMap<u16, Vec<u8>>| {
            let name = tlv::find(&data[&1][16..], 3).map(|name| trimmed(name).to_vec());
            (data[&1][..16].to_vec(), name)
        };
        assert_eq!(inner(&ours), inner(&theirs), "{name}: the other end");
        (ours, theirs) = (BTreeMap::new(), BTreeMap::new());
    }
    for (number, value) in &ours {
        // The id that goes with `external` is nobody's.
        if name == "vxlan-external" && *number == 1 {
            continue;
        }
        assert_eq!(
            Some(value),
            theirs.get(number),
            "{name}: attribute {number}"
        );
    }
    theirs.retain(|number, value| {
        let kind = case.link.kind.name;
        let is_zero = value.iter().all(|octet| *octet == 0);
        let is_unasked = UNASKED.contains(&(kind, *number, value.as_slice()));
        !ours.contains_key(number) && !is_zero && !is_unasked
    });
    assert_eq!(theirs, BTreeMap::new(), "{name}: ip says more");
}

#[test]
fn what_was_written_reads_back() {
    for case in cases() {
        let name = case.name;
        for message in [ours(&case), case.theirs.clone()] {
            let Some(info) = tlv::find(&message.body[16..], IFLA_LINKINFO) else {
                continue;
            };
            let read = decode::link_info(info, &name_of);
            if let Some(port) = case.port {
                // Requests of ip for ports do not name the kind as answers of the kernel do.
                let data = tlv::find(info, message::INFO_SLAVE_DATA).unwrap();
                let rows = case.link.kind.ports.unwrap();
                let read = decode::values(rows, data, &name_of);
                assert_eq!(read, case.link.ports[port].attributes, "{name}");
                continue;
            }
            assert_eq!(read.kind, Some(case.link.kind), "{name}");
            for (key, value) in &case.link.attributes {
                let is_elsewhere = case.link.kind.attribute(key).unwrap().wire == Wire::Elsewhere;
                if is_elsewhere || (name == "vxlan-external" && *key == "id") {
                    continue;
                }
                assert_eq!(read.attributes.get(key), Some(value), "{name}: {key}");
            }
            if let Parent::Attribute(_) = case.link.kind.parent {
                let parent = case.link.parent.as_deref().and_then(index_of);
                assert_eq!(read.parent.filter(|index| *index != 0), parent, "{name}");
            }
        }
    }
}

#[test]
fn every_row_of_the_table_was_compared() {
    let mut said: BTreeSet<(&str, bool, &str)> = BTreeSet::new();
    for case in cases() {
        let kind = case.link.kind.name;
        said.extend(case.link.attributes.keys().map(|key| (kind, false, *key)));
        for port in case.link.ports.values() {
            said.extend(port.attributes.keys().map(|key| (kind, true, *key)));
        }
    }
    // These have the rows of another kind.
    let twin = |kind: &'static Kind| match kind.name {
        "gretap" => "gre",
        "macvtap" => "macvlan",
        name => name,
    };
    let missing = |kind: &'static Kind, rows: &'static [Attribute], port: bool| -> Vec<String> {
        rows.iter()
            .filter(|row| row.wire != Wire::Elsewhere)
            .filter(|row| !said.contains(&(twin(kind), port, row.key.name)))
            .map(|row| format!("{} of {}", row.key.name, kind.name))
            .collect()
    };
    let mut rows: Vec<String> = Vec::new();
    for kind in &KINDS {
        rows.extend(missing(kind, kind.attributes, false));
        rows.extend(missing(kind, kind.ports.unwrap_or_default(), true));
    }
    assert_eq!(rows, Vec::<String>::new());
    let kinds: BTreeSet<&str> = cases().iter().map(|case| case.link.kind.name).collect();
    for kind in KINDS.iter().filter(|kind| kind.maker == Maker::Netlink) {
        assert!(kinds.contains(kind.name), "{}", kind.name);
    }
}

#[test]
fn a_parent_that_is_not_there_is_named() {
    for case in cases().into_iter().filter(|case| case.port.is_none()) {
        if case.link.parent.is_some() {
            let made = message::make(&case.link, None, &|_| None);
            assert_eq!(made, Err(Missing::Link("up0".to_owned())), "{}", case.name);
        }
    }
}

#[test]
fn no_octets_make_reading_panic() {
    // A small generator of our own: the same changes in every run (xorshift64).
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % bound.max(1) as u64).unwrap()
    };
    for case in cases() {
        let info = tlv::find(&case.theirs.body[16..], IFLA_LINKINFO).unwrap_or_default();
        for _ in 0..2000 {
            let mut octets = info.to_vec();
            for _ in 0..=below(3) {
                if !octets.is_empty() {
                    let at = below(octets.len());
                    octets[at] = below(256).to_le_bytes()[0];
                }
            }
            octets.truncate(below(octets.len() + 1));
            drop(decode::link_info(&octets, &name_of));
        }
    }
}

#[test]
fn many_vlans_go_in_several_messages_and_a_pvid_stands_alone() {
    use config::model::VlanUse;

    let odd = (1..=4093).step_by(2).map(|vlan| (vlan, VlanUse::default()));
    let messages = message::add_vlans(7, VlanOwner::Port, &odd.collect());
    assert_eq!(messages.len(), 2);
    assert!(messages.iter().all(|message| message.body.len() < 32 << 10));
    let all = (1..=4094).map(|vlan| {
        let pvid = vlan == 1000;
        let how = VlanUse {
            untagged: pvid,
            pvid,
        };
        (vlan, how)
    });
    let messages = message::add_vlans(7, VlanOwner::Port, &all.collect());
    let infos = tlv::find(&messages[0].body[16..], 26).unwrap();
    let infos: Vec<(u16, u16)> = tlv::attributes(infos)
        .map(|(_, info)| (tlv::half(info, 0).unwrap(), tlv::half(info, 2).unwrap()))
        .collect();
    assert_eq!(infos, [(8, 1), (16, 999), (6, 1000), (8, 1001), (16, 4094)]);
}

#[test]
fn a_value_of_another_shape_is_left_out_where_it_cannot_be() {
    let kind = config::kind::LinkKind::of("vlan").unwrap();
    let said = BTreeMap::from([("id", Value::Number(-1))]);
    let made = super::encode::data(kind.attributes, &said, &index_of).unwrap();
    assert_eq!(made, [6, 0, 1, 0, 0xff, 0xff, 0, 0]);
}
