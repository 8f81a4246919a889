//! Which name is asked when? Stories with a clock that is stepped.

use config::model::{Endpoint, PeerSettings, Secret, SecretSource};

use super::*;

const LINK: &str = "wg0";

fn key(octet: u8) -> PublicKey {
    PublicKey([octet; 32])
}

fn id(octet: u8) -> PeerId {
    (LINK.into(), key(octet))
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn settings(peers: &[(u8, &str)]) -> WireguardSettings {
    let peer = |host: &str| PeerSettings {
        preshared_key: None,
        endpoint: Some(Endpoint {
            host: host.parse().map_or_else(
                |_| EndpointHost::Name(host.parse().unwrap()),
                EndpointHost::Address,
            ),
            port: 51_820,
        }),
        allowed: BTreeSet::new(),
        keepalive: Duration::ZERO,
        routes: true,
        metric: None,
    };
    WireguardSettings {
        private_key: SecretSource::Said(Secret([1; 32])),
        listen_port: 0,
        mark: 0,
        peers: peers
            .iter()
            .map(|(at, host)| (key(*at), peer(host)))
            .collect(),
    }
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

/// The wall clock of these stories is a million seconds ahead of the other.
fn wall(seconds: u64) -> Duration {
    Duration::from_secs(1_000_000 + seconds)
}

fn reading(handshake: Option<u64>, sent: u64) -> BTreeMap<PublicKey, PeerReading> {
    let reading = PeerReading {
        last_handshake: handshake.map_or(Duration::ZERO, wall),
        sent,
        endpoint: (sent > 0).then(|| "192.0.2.1:51820".parse().unwrap()),
        ..PeerReading::default()
    };
    BTreeMap::from([(key(1), reading)])
}

fn followed(peers: &[(u8, &str)]) -> Endpoints {
    let mut endpoints = Endpoints::default();
    endpoints.follow(&LINK.into(), Some(&settings(peers)));
    endpoints
}

#[test]
fn names_are_asked_without_the_tunnel_and_addresses_never() {
    let mut endpoints = followed(&[(1, "vpn.example"), (2, "192.0.2.9")]);
    let asked = endpoints.poll_lookup().unwrap();
    assert_eq!(asked.peer, id(1));
    assert_eq!(asked.name, "vpn.example".parse().unwrap());
    assert_eq!(&*asked.except, LINK);
    assert_eq!(endpoints.poll_lookup(), None);
    assert_eq!(
        endpoints.poll_timeout(),
        None,
        "nothing wakes while it is asked"
    );
    endpoints.handle_addresses(&id(1), &[address("192.0.2.1")], at(0));
    let told = endpoints.poll_endpoint().unwrap();
    assert_eq!(told, (id(1), "192.0.2.1:51820".parse().unwrap()));
    assert_eq!(endpoints.current(&id(1)), Some(told.1));
}

#[test]
fn what_fails_is_asked_again_ever_more_seldom() {
    let mut endpoints = followed(&[(1, "vpn.example")]);
    let mut now = at(0);
    let mut waits = Vec::new();
    for _ in 0..9 {
        assert!(endpoints.poll_lookup().is_some());
        endpoints.handle_addresses(&id(1), &[], now);
        let (retry_at, timer) = endpoints.poll_timeout().unwrap();
        assert_eq!(timer, EndpointTimer::Retry);
        endpoints.handle_timeout(retry_at - Duration::from_millis(1));
        assert_eq!(endpoints.poll_lookup(), None);
        waits.push(retry_at.since(now).as_secs());
        now = retry_at;
        endpoints.handle_timeout(now);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
}

#[test]
fn a_silent_peer_is_asked_for_again_only_when_something_is_sent_to_it() {
    let mut endpoints = followed(&[(1, "vpn.example")]);
    endpoints.poll_lookup().unwrap();
    endpoints.handle_addresses(&id(1), &[address("192.0.2.1")], at(0));
    endpoints.poll_endpoint().unwrap();
    // There is a handshake: it is looked at when that could be too old.
    endpoints.handle_timeout(at(135));
    assert_eq!(endpoints.poll_reading().as_deref(), Some(LINK));
    endpoints.handle_reading(&LINK.into(), &reading(Some(100), 500), wall(135), at(135));
    assert_eq!(
        endpoints.poll_timeout(),
        Some((at(235), EndpointTimer::Look))
    );
    // It is too old, and nothing was sent.
    endpoints.handle_timeout(at(235));
    endpoints.poll_reading().unwrap();
    endpoints.handle_reading(&LINK.into(), &reading(Some(100), 500), wall(235), at(235));
    assert_eq!(endpoints.poll_lookup(), None);
    assert_eq!(
        endpoints.poll_timeout(),
        Some((at(370), EndpointTimer::Look))
    );
    // Something is.
    endpoints.handle_timeout(at(370));
    endpoints.poll_reading().unwrap();
    endpoints.handle_reading(&LINK.into(), &reading(Some(100), 648), wall(370), at(370));
    assert!(endpoints.poll_lookup().is_some());
}

#[test]
fn every_address_of_a_name_has_its_turn() {
    let mut endpoints = followed(&[(1, "vpn.example")]);
    let all = [address("2001:db8::1"), address("192.0.2.1")];
    let (mut now, mut sent) = (0, 0);
    let mut told = Vec::new();
    for _ in 0..3 {
        endpoints.poll_lookup().unwrap();
        endpoints.handle_addresses(&id(1), &all, at(now));
        told.push(endpoints.poll_endpoint().unwrap().1.ip());
        now += 135;
        sent += 148;
        endpoints.handle_timeout(at(now));
        endpoints.poll_reading().unwrap();
        endpoints.handle_reading(&LINK.into(), &reading(None, sent), wall(now), at(now));
    }
    assert_eq!(told, [all[0], all[1], all[0]]);
}

#[test]
fn other_networks_below_ask_at_once_and_an_answer_from_before_does_not_count() {
    let mut endpoints = followed(&[(1, "vpn.example")]);
    endpoints.poll_lookup().unwrap();
    endpoints.handle_networks_changed();
    assert_eq!(endpoints.poll_lookup(), None, "it is being asked");
    endpoints.handle_addresses(&id(1), &[address("10.0.0.1")], at(1));
    assert_eq!(
        endpoints.poll_endpoint(),
        None,
        "that was the network before"
    );
    endpoints.poll_lookup().unwrap();
    endpoints.handle_addresses(&id(1), &[address("192.0.2.1")], at(2));
    assert!(endpoints.poll_endpoint().is_some());
    endpoints.handle_networks_changed();
    assert!(endpoints.poll_lookup().is_some());
    endpoints.handle_addresses(&id(1), &[address("192.0.2.1")], at(3));
    let told = endpoints.poll_endpoint();
    assert!(
        told.is_some(),
        "the kernel may have followed a packet elsewhere"
    );
}

#[test]
fn a_peer_that_is_gone_is_forgotten_and_one_that_stays_is_not_asked_for_again() {
    let mut endpoints = followed(&[(1, "vpn.example"), (2, "other.example")]);
    let link = Arc::from(LINK);
    endpoints.follow(&link, Some(&settings(&[(1, "vpn.example")])));
    assert_eq!(endpoints.poll_lookup().unwrap().peer, id(1));
    assert_eq!(endpoints.poll_lookup(), None);
    endpoints.handle_addresses(&id(2), &[address("192.0.2.1")], at(0));
    assert_eq!(endpoints.poll_endpoint(), None);
    endpoints.follow(&link, Some(&settings(&[(1, "new.example")])));
    assert!(
        endpoints.poll_lookup().is_some(),
        "another name is another question"
    );
    endpoints.follow(&link, None);
    assert_eq!(endpoints.poll_timeout(), None);
    endpoints.handle_timeout(at(1000));
    assert_eq!(endpoints.poll_reading(), None);
}

#[test]
fn what_nobody_asked_for_changes_nothing() {
    let mut endpoints = followed(&[(1, "vpn.example")]);
    endpoints.handle_reading(&LINK.into(), &reading(None, 1), wall(0), at(0));
    endpoints.handle_addresses(&id(9), &[], at(0));
    assert_eq!(endpoints.poll_timeout(), None);
    endpoints.poll_lookup().unwrap();
    endpoints.handle_addresses(&id(1), &[address("192.0.2.1")], at(0));
    endpoints.handle_addresses(&id(1), &[address("192.0.2.66")], at(0));
    assert_eq!(
        endpoints.poll_endpoint().unwrap().1.ip(),
        address("192.0.2.1")
    );
    assert_eq!(endpoints.poll_endpoint(), None);
}

#[test]
fn a_peer_that_is_reached_already_is_left_where_it_is_until_it_falls_silent_or_the_networks_change()
{
    let mut endpoints = followed(&[(1, "vpn.example")]);
    let mut fresh = reading(Some(100), 500);
    fresh.get_mut(&key(1)).unwrap().endpoint = Some("192.0.2.7:51820".parse().unwrap());
    endpoints.handle_reading(&LINK.into(), &fresh, wall(120), at(120));
    assert_eq!(endpoints.poll_lookup(), None, "nothing has to be asked");
    assert_eq!(endpoints.poll_endpoint(), None, "and nothing told");
    assert_eq!(
        endpoints.poll_timeout(),
        Some((at(235), EndpointTimer::Look))
    );
    endpoints.handle_networks_changed();
    assert!(endpoints.poll_lookup().is_some());
    endpoints.handle_reading(&LINK.into(), &fresh, wall(121), at(121));
    endpoints.handle_addresses(&id(1), &[address("192.0.2.1")], at(122));
    assert_eq!(
        endpoints.poll_endpoint().unwrap().1.ip(),
        address("192.0.2.1"),
        "the handshake was in the network before"
    );
}

#[test]
fn a_link_that_is_made_anew_is_told_again() {
    let mut endpoints = followed(&[(1, "vpn.example")]);
    endpoints.poll_lookup().unwrap();
    endpoints.handle_addresses(&id(1), &[address("192.0.2.1")], at(0));
    let told = endpoints.poll_endpoint();
    endpoints.handle_reading(&LINK.into(), &reading(None, 0), wall(1), at(1));
    assert_eq!(endpoints.poll_endpoint(), told);
}
