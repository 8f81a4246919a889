//! Do keys and peers arrive whole? Compared with what `wg` sent, and read back.

use std::collections::BTreeSet;

use super::*;

fn key(octet: u8) -> [u8; 32] {
    [octet; 32]
}

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix {
        address: address.parse().unwrap(),
        length: length.parse().unwrap(),
    }
}

fn device() -> Device {
    let first = Peer {
        preshared_key: Some(Secret(key(3))),
        endpoint: Some("192.0.2.1:51820".parse().unwrap()),
        keepalive: Duration::from_secs(25),
        allowed: vec![prefix("10.9.0.0/24"), prefix("2001:db8:9::/64")],
    };
    let second = Peer {
        preshared_key: None,
        endpoint: Some("[2001:db8::1]:51821".parse().unwrap()),
        keepalive: Duration::ZERO,
        allowed: vec![prefix("0.0.0.0/0")],
    };
    Device {
        private_key: Secret(key(0x48)),
        listen_port: 51_820,
        mark: 7,
        peers: BTreeMap::from([(PublicKey(key(1)), first), (PublicKey(key(2)), second)]),
    }
}

/// Attributes of a message, nested ones with their path, in no order: `wg` puts peers as its file has them.
fn flat(bytes: &[u8], nested: &[&[u16]], path: &[u16], to: &mut BTreeSet<(Vec<u16>, Vec<u8>)>) {
    for (at, (number, value)) in (0..).zip(tlv::attributes(bytes)) {
        let mut here = path.to_vec();
        // The numbers of a list count for nothing.
        here.push(if path.len() % 2 == 1 { at } else { number });
        let shape: Vec<u16> = here
            .iter()
            .enumerate()
            .map(|(at, n)| if at % 2 == 1 { 0 } else { *n })
            .collect();
        if nested.contains(&shape.as_slice()) {
            flat(value, nested, &here, to);
        } else {
            to.insert((here, value.to_vec()));
        }
    }
}

/// PEERS, one of them, its ALLOWED, one of them.
const NESTS: [&[u16]; 4] = [&[8], &[8, 0], &[8, 0, 9], &[8, 0, 9, 0]];

#[test]
fn our_octets_are_those_of_wg() {
    let theirs = include_str!("../../../testdata/kinds/wireguard-bytes").trim();
    let octets: Vec<u8> = (0..theirs.len() / 2)
        .map(|at| u8::from_str_radix(&theirs[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let family = Family(tlv::half(&octets, 4).unwrap());
    let index = tlv::word(tlv::find(&octets[20..], 1).unwrap_or(&[0; 4]), 0).unwrap();
    let [ours] = &set_device(family, index, &device())[..] else {
        panic!("one message is enough");
    };
    assert_eq!(ours.kind, family.0);
    assert_eq!(ours.body[..4], octets[16..20], "command and version");
    let (mut said, mut expected) = (BTreeSet::new(), BTreeSet::new());
    flat(&ours.body[4..], &NESTS, &[], &mut said);
    flat(&octets[20..], &NESTS, &[], &mut expected);
    // wg names the link, we its index; and it leaves out a secret that is not there instead of taking it away.
    said.retain(|(path, _)| path[..] != [1]);
    expected.retain(|(path, _)| path[..] != [1] && path[..] != [2]);
    said.retain(|(path, value)| {
        !(path.last() == Some(&2) && path.len() == 3 && value[..] == [0; 32])
    });
    assert_eq!(said, expected);
}

#[test]
fn thousands_of_networks_and_peers_go_in_several_messages_and_none_is_lost() {
    let mut device = device();
    let many = (0..5000_u32).map(|at| Prefix {
        address: IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + at * 256)),
        length: 24,
    });
    device.peers.get_mut(&PublicKey(key(1))).unwrap().allowed = many.collect();
    for at in 10..200 {
        let peer = device.peers[&PublicKey(key(2))].clone();
        device.peers.insert(PublicKey(key(at)), peer);
    }
    let messages = set_device(Family(30), 5, &device);
    assert!(messages.len() > 10);
    assert!(messages.iter().all(|message| message.body.len() < 32 << 10));
    let flags = |message: &Message| tlv::find(&message.body[4..], FLAGS).is_some();
    assert!(flags(&messages[0]), "the first replaces what was there");
    assert!(!messages[1..].iter().any(flags), "the others add");
    let read = peers_of(&messages);
    assert_eq!(read.len(), device.peers.len());
    for (key, peer) in &device.peers {
        assert_eq!(read[key].allowed, peer.allowed);
        assert_eq!(read[key].endpoint, peer.endpoint);
    }
}

#[test]
fn secrets_are_not_shown() {
    let text = format!("{:?}", device());
    assert!(!text.contains("72, 72") && text.contains("***"), "{text}");
}

#[test]
fn a_link_without_peers_is_set_and_one_peer_is_told_or_taken_alone() {
    let mut device = device();
    device.peers.clear();
    assert_eq!(set_device(Family(30), 5, &device).len(), 1);
    let endpoint = "192.0.2.9:1".parse().unwrap();
    let told = set_endpoint(Family(30), 5, PublicKey(key(1)), endpoint);
    assert_eq!(
        peers_of(&[told])[&PublicKey(key(1))].endpoint,
        Some(endpoint)
    );
    let taken = remove_peer(Family(30), 5, PublicKey(key(1)));
    let peers = tlv::find(&taken.body[4..], PEERS).unwrap();
    let peer = tlv::find(peers, 0).unwrap();
    assert_eq!(tlv::find(peer, PEER_FLAGS), Some(&[1, 0, 0, 0][..]));
}

#[test]
fn no_octets_make_reading_panic() {
    let message = &set_device(Family(30), 5, &device())[0];
    for cut in 0..message.body.len() {
        let mut octets = message.body[..cut].to_vec();
        if let Some(octet) = octets.get_mut(cut / 2) {
            *octet = octet.wrapping_mul(37).wrapping_add(11);
        }
        let message = Message {
            body: octets,
            ..message.clone()
        };
        drop(peers_of(&[message]));
    }
}
