//! Is nothing said that is so already, and nobody else's peer touched?

use super::*;
use crate::kinds::wireguard::{FLAGS, PEER_FLAGS, REMOVE_PEER};

const FAMILY: Family = Family(30);

fn key(octet: u8) -> PublicKey {
    PublicKey([octet; 32])
}

fn peer(preshared: Option<u8>, endpoint: Option<&str>, allowed: &[&str]) -> Peer {
    let prefix = |text: &&str| {
        let (address, length) = text.split_once('/').unwrap();
        Prefix {
            address: address.parse().unwrap(),
            length: length.parse().unwrap(),
        }
    };
    Peer {
        preshared_key: preshared.map(|octet| Secret([octet; 32])),
        endpoint: endpoint.map(|text| text.parse().unwrap()),
        keepalive: Duration::from_secs(25),
        allowed: allowed.iter().map(prefix).collect(),
    }
}

fn device() -> Device {
    Device {
        private_key: Secret([9; 32]),
        listen_port: 51_820,
        mark: 7,
        peers: BTreeMap::from([
            (
                key(1),
                peer(
                    Some(3),
                    Some("192.0.2.1:51820"),
                    &["10.9.0.0/24", "fd00::/64"],
                ),
            ),
            (key(2), peer(None, None, &["10.8.0.0/24"])),
        ]),
    }
}

/// What the kernel tells after it was set: the attributes have the same numbers both ways.
fn told(device: &Device) -> Reading {
    let mut reading = Reading::of(&set_device(FAMILY, 5, device));
    for peer in reading.peers.values_mut() {
        peer.last_handshake = Duration::from_secs(1000);
    }
    reading
}

fn compare(
    wanted: &Device,
    held: &Reading,
    ours: &[u8],
    told: &[(u8, &str)],
    wall: u64,
) -> Vec<Message> {
    let ours = ours.iter().map(|octet| key(*octet)).collect();
    let told = told
        .iter()
        .map(|(octet, at)| (key(*octet), at.parse().unwrap()))
        .collect();
    let known = Known {
        ours: &ours,
        told: &told,
        wall: Duration::from_secs(wall),
    };
    differences(FAMILY, 5, wanted, held, known)
}

#[test]
fn what_is_right_already_is_not_said_again_and_a_new_link_is_set_whole() {
    let wanted = device();
    assert_eq!(compare(&wanted, &told(&wanted), &[1, 2], &[], 1010), []);
    // The kernel draws the port where none is wanted.
    let mut any_port = device();
    any_port.listen_port = 0;
    assert_eq!(compare(&any_port, &told(&wanted), &[], &[], 1010), []);
    let fresh = Reading::of(&[]);
    assert_eq!(
        compare(&wanted, &fresh, &[], &[], 1010),
        set_device(FAMILY, 5, &wanted)
    );
}

#[test]
fn only_what_differs_is_said() {
    let held = told(&device());
    let mut wanted = device();
    wanted.mark = 8;
    let [message] = &compare(&wanted, &held, &[], &[], 1010)[..] else {
        panic!("one message is enough");
    };
    let attributes = &message.body[4..];
    assert_eq!(
        tlv::find(attributes, FWMARK),
        Some(&8_u32.to_ne_bytes()[..])
    );
    for kind in [PRIVATE_KEY, LISTEN_PORT, PEERS, FLAGS] {
        assert_eq!(tlv::find(attributes, kind), None, "{kind}");
    }
    let mut wanted = device();
    wanted.peers.get_mut(&key(2)).unwrap().allowed.clear();
    let messages = compare(&wanted, &held, &[], &[], 1010);
    let said = peers_of(&messages);
    assert_eq!(said.keys().copied().collect::<Vec<_>>(), [key(2)]);
    assert_eq!(
        tlv::find(&messages[0].body[4..], FLAGS),
        None,
        "peers of others stay"
    );
    let mut wanted = device();
    wanted.peers.get_mut(&key(1)).unwrap().preshared_key = None;
    let messages = compare(&wanted, &held, &[], &[], 1010);
    assert_eq!(
        Reading::of(&messages).preshared,
        BTreeMap::new(),
        "zeros take it away"
    );
    assert_eq!(
        peers_of(&messages)[&key(1)].endpoint,
        None,
        "and it is left where it is"
    );
}

#[test]
fn our_own_peers_go_and_those_of_others_stay() {
    let held = told(&device());
    let mut wanted = device();
    wanted.peers.clear();
    assert_eq!(compare(&wanted, &held, &[], &[], 1010), []);
    let [message] = &compare(&wanted, &held, &[2], &[], 1010)[..] else {
        panic!("one goes");
    };
    let peers = tlv::find(&message.body[4..], PEERS).unwrap();
    let flags = tlv::find(tlv::find(peers, 0).unwrap(), PEER_FLAGS);
    assert_eq!(flags, Some(&REMOVE_PEER.to_ne_bytes()[..]));
}

#[test]
fn a_peer_that_moved_by_itself_is_called_back_only_when_it_is_lost_or_the_profile_has_changed() {
    let mut moved = told(&device());
    moved.peers.get_mut(&key(1)).unwrap().endpoint = Some("198.51.100.7:4444".parse().unwrap());
    let wanted = device();
    let rows: [(&[(u8, &str)], u64, bool); 4] = [
        (&[], 1010, false),
        (&[], 1181, true),
        (&[(1, "192.0.2.1:51820")], 1181, false),
        (&[(1, "192.0.2.99:51820")], 1010, true),
    ];
    for (told, wall, expected) in rows {
        let said = !compare(&wanted, &moved, &[], told, wall).is_empty();
        assert_eq!(said, expected, "{told:?} {wall}");
    }
    moved.peers.get_mut(&key(1)).unwrap().endpoint = None;
    let messages = compare(&wanted, &moved, &[], &[(1, "192.0.2.1:51820")], 1010);
    assert_eq!(
        peers_of(&messages)[&key(1)].endpoint,
        wanted.peers[&key(1)].endpoint
    );
}

#[test]
fn secrets_are_not_shown() {
    let text = format!("{:?}", told(&device()));
    assert!(!text.contains("9, 9") && !text.contains("3, 3"), "{text}");
}

#[test]
fn no_octets_make_reading_panic() {
    let message = &set_device(FAMILY, 5, &device())[0];
    for cut in 0..message.body.len() {
        let mut octets = message.body[..cut].to_vec();
        if let Some(octet) = octets.get_mut(cut / 2) {
            *octet = octet.wrapping_mul(37).wrapping_add(11);
        }
        let message = Message {
            body: octets,
            ..message.clone()
        };
        drop(Reading::of(&[message]));
    }
}
