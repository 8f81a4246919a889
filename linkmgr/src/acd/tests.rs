//! Does the watch over an address keep to RFC 5227? A fake clock, and a neighbour that speaks at each moment.

mod transitions;

use super::*;
use crate::arp::ArpOperation;

const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

fn run(acd: &mut Acd, until: Duration) -> (Vec<(Duration, ArpPacket)>, Vec<(Duration, Event)>) {
    let (mut sent, mut events) = (Vec::new(), Vec::new());
    let mut now = Instant::ZERO;
    loop {
        let at = now.since(Instant::ZERO);
        sent.extend(std::iter::from_fn(|| acd.poll_transmit()).map(|packet| (at, packet)));
        events.extend(std::iter::from_fn(|| acd.poll_event()).map(|event| (at, event)));
        match acd.poll_timeout() {
            Some(next) if next.since(Instant::ZERO) <= until => now = next,
            _ => return (sent, events),
        }
        acd.handle_timeout(now);
    }
}

fn answer(sender: Mac) -> ArpPacket {
    ArpPacket {
        operation: ArpOperation::Reply,
        ..ArpPacket::request(sender, ADDRESS, Ipv4Addr::UNSPECIFIED)
    }
}

#[test]
fn an_address_is_probed_announced_and_held_without_a_timer() {
    for (pace, least, most) in [(Pace::CAREFUL, 4.0, 7.0), (Pace::QUICK, 0.6, 0.8)] {
        for seed in 0..50 {
            let mut acd = Acd::new(ADDRESS, OWN, pace.clone(), seed, Instant::ZERO);
            let (sent, events) = run(&mut acd, Duration::from_secs(3600));
            let probes = sent.iter().filter(|(_, packet)| packet.is_probe());
            assert_eq!((probes.count(), sent.len()), (3, 5));
            let [(clear_at, Event::Clear)] = events[..] else {
                panic!("{events:?}");
            };
            let clear_at = clear_at.as_secs_f64();
            assert!((least..=most).contains(&clear_at), "{clear_at}");
            assert_eq!(sent[4].0 - sent[3].0, ANNOUNCE_INTERVAL);
            assert_eq!(acd.poll_timeout(), None, "nothing wakes a holder");
        }
    }
}

#[test]
fn who_uses_or_wants_the_address_while_it_is_probed_has_it() {
    let probe = ArpPacket::probe(OTHER, ADDRESS);
    for (pace, packet, expected) in [
        (Pace::CAREFUL, answer(OTHER), Some(Event::Conflict(OTHER))),
        (Pace::CAREFUL, probe, Some(Event::Conflict(OTHER))),
        (Pace::CAREFUL, answer(OWN), None),
        (Pace::QUICK, answer(OTHER), Some(Event::Conflict(OTHER))),
        (Pace::QUICK, probe, None),
        (
            Pace::CAREFUL,
            ArpPacket::probe(OTHER, Ipv4Addr::new(192, 0, 2, 8)),
            None,
        ),
    ] {
        let mut acd = Acd::new(ADDRESS, OWN, pace, 1, Instant::ZERO);
        acd.handle_arp(&packet, Instant::ZERO);
        assert_eq!(acd.poll_event(), expected, "{packet:?}");
        if expected.is_some() {
            let (_, events) = run(&mut acd, Duration::from_secs(60));
            assert!(events.is_empty(), "it is over");
        }
    }
}

#[test]
fn an_address_is_defended_once_and_given_up_when_the_other_goes_on() {
    let second = |seconds: u64| Instant::ZERO + Duration::from_secs(seconds);
    let mut acd = Acd::hold(ADDRESS, OWN, 1, Instant::ZERO);
    run(&mut acd, Duration::from_secs(10));
    let mut hear = |at: u64| {
        acd.handle_arp(&answer(OTHER), second(at));
        let defended = std::iter::from_fn(|| acd.poll_transmit()).count();
        (acd.poll_event(), defended)
    };
    assert_eq!(hear(100), (Some(Event::Defended(OTHER)), 1));
    assert_eq!(
        hear(110),
        (Some(Event::Defended(OTHER)), 1),
        "ten seconds later"
    );
    assert_eq!(hear(119), (Some(Event::Lost(OTHER)), 0));
    assert_eq!(hear(140), (None, 0), "it is over");
}
