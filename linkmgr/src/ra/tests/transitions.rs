//! Does every event lead where RFC 4861, 4862, 7559 and 9762 have it, for solicitations, a router and a prefix? One table for each, with
//! the same events.

mod prefixes;
mod routers;
mod solicitations;

use std::collections::BTreeSet;

use super::network::OWN;
use super::*;
use crate::random::Random;

/// What can happen, in the order of each table.
const EVENTS: usize = 29;

const P: &str = "2001:db8:1::";
const NAMED: &str = "2001:db8:1::53";
/// Flags of a prefix: on the link, addresses, delegation.
const L: u8 = 0x80;
const AUTO: u8 = 0x40;
const DELEGATION: u8 = 0x10;
const DAY: u32 = 86400;
const PREFERRED: u32 = 14400;

fn advertised(lifetime: u16) -> Ra {
    Ra::new(lifetime).rdnss(DAY / 2, &[NAMED])
}

fn with_prefix(flags: u8, valid: u32, preferred: u32) -> Ra {
    advertised(1800).prefix(P, 64, flags, valid, preferred)
}

fn happen(network: &mut Network, event: &str) {
    match event {
        "RA" => network.hear(A, &with_prefix(L | AUTO, DAY, PREFERRED)),
        "RA, lifetime 0" => {
            let ra = advertised(0).prefix(P, 64, L | AUTO, DAY, PREFERRED);
            network.hear(A, &ra);
        }
        "RA, without the prefix" => {
            let ra = advertised(1800).prefix("2001:db8:2::", 64, L | AUTO, DAY, PREFERRED);
            network.hear(A, &ra);
        }
        "RA, without prefixes" => network.hear(A, &advertised(1800)),
        "RA, preferred 0" => network.hear(A, &with_prefix(L | AUTO, DAY, 0)),
        "RA, valid 0" => network.hear(A, &with_prefix(L | AUTO, 0, 0)),
        "RA, valid 600" => network.hear(A, &with_prefix(L | AUTO, 600, 600)),
        "RA, with P" => network.hear(A, &with_prefix(L | AUTO | DELEGATION, DAY, PREFERRED)),
        "RA, with P, preferred 0" => {
            network.hear(A, &with_prefix(L | AUTO | DELEGATION, DAY, 0));
        }
        "RA of another" => network.hear(B, &other()),
        "RA of another, 5 s" => {
            network.hear(B, &other());
            network.step(5);
        }
        "half a packet" => {
            let octets = with_prefix(L | AUTO, DAY, PREFERRED).octets();
            let mut endless = octets.clone();
            endless[17] = 0;
            let mut solicitation = octets.clone();
            solicitation[0] = 133;
            let mut coded = octets.clone();
            coded[1] = 1;
            let from_afar = "2001:db8::a";
            for (octets, from) in [
                (&octets[..15], A),
                (&octets[..octets.len() - 3], A),
                (&endless, A),
                (&solicitation, A),
                (&coded, A),
                (&octets, from_afar),
            ] {
                let from = from.parse().unwrap();
                network.client.handle_packet(octets, from, 255, network.now);
            }
            network.drain();
        }
        "hop limit 254" => {
            let octets = with_prefix(L | AUTO, DAY, PREFERRED).octets();
            let from = A.parse().unwrap();
            network
                .client
                .handle_packet(&octets, from, 254, network.now);
            network.drain();
        }
        "carrier goes" => {
            network.client.handle_detach(network.now);
            network.drain();
        }
        "carrier comes" => {
            network.client.handle_reattach(network.now);
            network.drain();
        }
        "carrier comes, 15 s" => {
            happen(network, "carrier comes");
            network.step(15);
        }
        "REACHABLE" => network.neighbour(A, Reachability::Reachable),
        "STALE" => network.neighbour(A, Reachability::Unknown),
        "FAILED" => network.neighbour(A, Reachability::Failed),
        "NA without R" => network.neighbour(A, Reachability::NoRouter),
        "DAD failed" => {
            if let Some(address) = address(network) {
                network.dad_failed(address);
                assert_ne!(self::address(network), Some(address), "another one is made");
            }
        }
        "renew" => {
            network.client.handle_renew(network.now);
            network.drain();
        }
        "link-local again" => {
            network.client.handle_link_local(None, network.now);
            network.drain();
            let own = OWN.parse().unwrap();
            network.client.handle_link_local(Some(own), network.now);
            network.drain();
        }
        "timer" => {
            network.now = network.client.poll_timeout().unwrap_or(network.now);
            network.client.handle_timeout(network.now);
            network.drain();
        }
        "14 s" => network.step(14),
        "lifetime over" => network.step(1801),
        "two hours" => network.step(2 * HOURS + 1),
        "preferred over" => network.step(u64::from(PREFERRED) + 1),
        "all over" => network.step(u64::from(DAY) + 1),
        other => panic!("no event is called {other}"),
    }
}

/// What another router says, which lasts longer.
fn other() -> Ra {
    Ra::new(9000).prefix("2001:db8:3::", 64, L | AUTO, DAY, PREFERRED)
}

/// Goes through what happens, one second after the other.
fn after(network: &mut Network, events: &[&str]) {
    for event in events {
        happen(network, event);
        network.step(1);
    }
}

/// Returns the address of the prefix that is supplied.
fn address(network: &Network) -> Option<Ipv6Addr> {
    let prefix = Prefix {
        address: P.parse().unwrap(),
        length: 64,
    };
    let addresses = network.supply().addresses;
    let mut addresses = addresses.iter().map(|one| one.prefix.address);
    match addresses.find(|address| prefix.contains(*address))? {
        IpAddr::V6(address) => Some(address),
        IpAddr::V4(_) => panic!("IPv6"),
    }
}

#[test]
fn the_tables_have_the_same_events_and_each_only_once() {
    let events = solicitations::SOLICITING.map(|row| row.0);
    assert_eq!(events, routers::STANDING.map(|row| row.0));
    assert_eq!(events, prefixes::LIVING.map(|row| row.0));
    let once: BTreeSet<&str> = events.into();
    assert_eq!(once.len(), EVENTS);
}

#[test]
fn whatever_happens_in_whatever_order_nothing_is_told_twice_and_nobody_is_asked_without_a_carrier()
{
    let mut random = Random::new(1);
    for _ in 0..200 {
        let mut network = Network::new();
        let mut was_detached = false;
        for _ in 0..60 {
            let at = random.bits() % u64::try_from(EVENTS).unwrap();
            let (event, _) = solicitations::SOLICITING[usize::try_from(at).unwrap()];
            let sent = network.sent();
            happen(&mut network, event);
            let wait = random.between(Duration::from_secs(1), Duration::from_secs(40));
            network.step(wait.as_secs());
            if was_detached && network.client.detached {
                assert_eq!(network.sent(), sent, "{event}");
            }
            was_detached = network.client.detached;
        }
    }
}
