//! Does a link-local address keep to RFC 3927? A fake clock, and a neighbour that speaks when it is told to.

mod transitions;

use std::collections::BTreeSet;

use super::*;
use crate::arp::ArpOperation;

const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);

fn pass(client: &mut Client, now: &mut Instant, time: Duration) -> usize {
    let end = *now + time;
    let mut sent = 0;
    loop {
        sent += std::iter::from_fn(|| client.poll_transmit()).count();
        match client.poll_timeout() {
            Some(next) if next <= end => *now = next,
            _ => break,
        }
        client.handle_timeout(*now);
    }
    *now = end;
    sent
}

fn conflict(client: &mut Client, now: Instant) {
    let address = client.address().unwrap();
    let packet = ArpPacket {
        operation: ArpOperation::Reply,
        ..ArpPacket::announcement(OTHER, address)
    };
    client.handle_packet(&packet.emit(), now);
}

#[test]
fn choices_keep_to_the_middle_of_the_prefix_and_follow_from_the_hardware_address() {
    let mut random = Random::new(9);
    for _ in 0..10_000 {
        let [a, b, c, _] = choose(&mut random).octets();
        assert!((a, b) == (169, 254) && (1..=254).contains(&c));
    }
    let first = |mac, seed| Client::new(mac, seed).address;
    assert_eq!(first(OWN, 1), first(OWN, 2));
    assert_ne!(first(OWN, 1), first(OTHER, 1));
}

#[test]
fn an_address_that_nobody_has_is_supplied_and_then_nothing_wakes_the_machine() {
    let mut client = Client::new(OWN, 1);
    let mut now = Instant::ZERO;
    client.handle_carrier(true, now);
    let sent = pass(&mut client, &mut now, Duration::from_secs(20));
    assert_eq!(sent, 5, "three probes, two announcements");
    let Some(Event::Supplied(supply)) = client.poll_event() else {
        panic!("nothing is supplied");
    };
    assert_eq!(supply.addresses[0].prefix.length, 16);
    assert!(supply.routes.is_empty());
    assert_eq!((client.poll_timeout(), client.is_probing()), (None, false));
    client.handle_carrier(false, now);
    assert_eq!(client.poll_event(), Some(Event::Withdrawn));
    let before = client.address;
    client.handle_carrier(true, now);
    assert_eq!(client.address(), Some(before), "the same again");
}

#[test]
fn another_is_chosen_when_somebody_has_it_and_ever_more_slowly() {
    let mut client = Client::new(OWN, 1);
    let mut now = Instant::ZERO;
    client.handle_carrier(true, now);
    let mut tried = BTreeSet::new();
    for _ in 0..11 {
        tried.insert(client.address().unwrap());
        conflict(&mut client, now);
    }
    assert_eq!(tried.len(), 11);
    assert_eq!(client.address(), None);
    assert_eq!(client.poll_timeout(), Some(now + acd::RATE_LIMIT_INTERVAL));
    pass(&mut client, &mut now, Duration::from_secs(80));
    let events: Vec<Event> = std::iter::from_fn(|| client.poll_event()).collect();
    assert!(
        matches!(events.last(), Some(Event::Supplied(_))),
        "{events:?}"
    );
}

#[test]
fn an_address_in_use_is_defended_and_then_given_up() {
    let mut client = Client::new(OWN, 1);
    let mut now = Instant::ZERO;
    client.handle_carrier(true, now);
    pass(&mut client, &mut now, Duration::from_secs(20));
    conflict(&mut client, now);
    conflict(&mut client, now + Duration::from_secs(1));
    let events: Vec<Event> = std::iter::from_fn(|| client.poll_event()).collect();
    let withdrawn = events.iter().filter(|event| **event == Event::Withdrawn);
    assert_eq!((events.len(), withdrawn.count()), (4, 1), "{events:?}");
    assert!(client.is_probing(), "for another one");
}
