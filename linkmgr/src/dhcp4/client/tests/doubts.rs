//! What becomes of a lease that nobody confirms or denies where the link is? It is kept, asked about, and taken back at the first
//! word against it.

use super::*;

/// In SELECTING with a lease of before, a second after the carrier came back.
fn in_doubt() -> World {
    let mut world = World::usual();
    world.bind();
    world.pass(seconds(5));
    world.carrier(false);
    world.pass(seconds(1));
    world.carrier(true);
    world.pass(seconds(1));
    assert_eq!(world.state(), StateName::Selecting);
    world.events.clear();
    world.said.clear();
    world
}

fn latest(world: &World) -> &Supply {
    world.client.told.as_ref().expect("something is supplied")
}

fn has_names(supply: &Supply) -> bool {
    !supply.upstreams.is_empty() || !supply.search.is_empty() || supply.portal.is_some()
}

/// The questions for the gateway, and when.
fn questions(world: &World) -> Vec<Instant> {
    let arp = world.said.iter().filter(|said| said.by == Socket::Arp);
    let to_gateway = arp.filter(|said| said.to == SERVER);
    to_gateway.map(|said| said.at).collect()
}

#[test]
fn a_lease_is_kept_without_its_names_for_as_long_as_it_lasts_when_nobody_answers() {
    let mut world = in_doubt();
    let supply = latest(&world).clone();
    assert!(supply.doubted && supply.unconfirmed && !has_names(&supply));
    assert!(!supply.addresses.is_empty() && !supply.routes.is_empty());
    let lease = world.client.status().lease.unwrap();
    assert!(lease.unconfirmed);
    let left = lease.expires_at.unwrap().since(world.now);
    world.pass(left - Duration::from_millis(1));
    assert_eq!(
        (world.withdrawn(), world.state()),
        (0, StateName::Selecting)
    );
    let silent = world.events.iter().filter(|event| **event == Event::Silent);
    assert_eq!(silent.count(), 1, "told, and nothing taken away");
    world.pass(Duration::from_millis(1));
    assert_eq!(world.troubles(), [&Trouble::Expired]);
    world.pass(seconds(70));
    assert_eq!(latest(&world), &Supply::default(), "asked in vain");
}

#[test]
fn gateways_are_asked_on_ever_more_rarely_and_the_lease_is_back_at_their_first_word() {
    let mut world = in_doubt();
    // A switch that lets nothing through for half a minute.
    world.pass(seconds(30));
    let asked = questions(&world);
    let waits: Vec<f64> = asked
        .windows(2)
        .map(|pair| pair[1].since(pair[0]).as_secs_f64())
        .collect();
    assert!(waits.is_sorted() && waits[0] >= 1.0, "{waits:?}");
    assert!((6..=16).contains(&asked.len()), "{waits:?}");
    let late = world.now.since(*asked.last().unwrap());
    assert!(late < seconds(8), "a quarter of the silence: {late:?}");
    assert_eq!(world.client.sockets().arp, Some(ArpFilter::All));
    world.neighbour(GATEWAY, SERVER);
    assert!(has_names(latest(&world)) && !latest(&world).doubted);
    assert_eq!(
        (world.withdrawn(), world.state()),
        (0, StateName::Rebooting)
    );
    assert_eq!(world.last().option(50), Some(ADDRESS.octets().to_vec()));
    assert_eq!(world.client.status().trouble, None);
    // Its server is dead all the while.
    world.pass(seconds(60));
    assert_eq!((world.withdrawn(), world.state()), (0, StateName::Bound));
    let mut silent = in_doubt();
    silent.pass(seconds(600));
    let asked = questions(&silent);
    let last = asked.last_chunk::<2>().unwrap();
    assert!(last[1].since(last[0]) <= seconds(64));
}

#[test]
fn whoever_asks_for_a_renewal_in_doubt_has_everybody_asked_at_once() {
    let mut world = in_doubt();
    world.pass(seconds(500));
    world.said.clear();
    world.client.renew(world.now);
    world.drain();
    assert_eq!(questions(&world), [world.now]);
    assert_eq!(world.last().option(50), Some(ADDRESS.octets().to_vec()));
    assert_eq!(
        (world.withdrawn(), world.state()),
        (0, StateName::Rebooting)
    );
    world.pass(seconds(1));
    assert!(latest(&world).doubted, "and goes on as before");
}

#[test]
fn a_router_that_starts_again_is_known_by_what_it_says_to_all() {
    let mut world = in_doubt();
    world.hear_arp(&ArpPacket::announcement(OTHER, SERVER));
    assert!(latest(&world).doubted, "the same address elsewhere");
    world.hear_arp(&ArpPacket::announcement(GATEWAY, SERVER));
    assert!(!latest(&world).doubted && has_names(latest(&world)));
}

#[test]
fn a_server_that_answers_decides() {
    // Its own: the same lease, nothing moves.
    let mut world = in_doubt();
    world.reply(OFFER);
    assert!(latest(&world).doubted, "an offer is no lease");
    world.reply(ACK);
    assert!(!latest(&world).doubted && !latest(&world).unconfirmed);
    assert_eq!((world.withdrawn(), world.state()), (0, StateName::Bound));
    // Another's: one lease in the place of the other, in one step.
    let mut world = in_doubt();
    let (other, mut options) = (Ipv4Addr::new(198, 51, 100, 7), usual());
    options[3].1 = vec![198, 51, 100, 1];
    world.reply_with(OFFER, other, &options);
    world.reply_with(ACK, other, &options);
    let supplied = world.supplied();
    assert_eq!((world.withdrawn(), supplied.len()), (0, 1));
    let addresses = supplied[0].addresses.iter();
    let addresses: Vec<_> = addresses.map(|it| it.prefix.address).collect();
    assert_eq!(addresses, [std::net::IpAddr::V4(other)]);
    // One that makes an offer and is not heard of again.
    let mut world = in_doubt();
    world.reply(OFFER);
    world.pass(seconds(40));
    assert_eq!(
        (world.withdrawn(), world.state()),
        (0, StateName::Selecting)
    );
    assert!(latest(&world).doubted);
}

#[test]
fn whoever_has_the_address_here_keeps_it() {
    for after in [Duration::from_millis(1), seconds(100)] {
        let mut world = in_doubt();
        world.pass(after);
        world.said.clear();
        world.neighbour(OTHER, ADDRESS);
        assert_eq!(world.troubles().last(), Some(&&Trouble::OtherNetwork));
        assert_eq!(
            (world.withdrawn(), world.state()),
            (1, StateName::Selecting)
        );
        assert!(world.said.is_empty(), "not declined, not defended");
        let forgets = |event: &Event| matches!(event, Event::Forget(_));
        assert!(
            !world.events.iter().any(forgets),
            "good for its own network"
        );
    }
    let world = in_doubt();
    assert!(
        world.client.acd.as_ref().is_some_and(Acd::is_probing),
        "neighbours are asked for it"
    );
}

#[test]
fn a_carrier_that_goes_again_and_a_release_end_the_doubt() {
    let mut world = in_doubt();
    world.carrier(false);
    assert_eq!(
        (world.withdrawn(), world.state()),
        (0, StateName::InitReboot)
    );
    assert!(!latest(&world).doubted && !has_names(latest(&world)));
    world.carrier(true);
    world.neighbour(GATEWAY, SERVER);
    assert!(has_names(latest(&world)));
    let mut world = in_doubt();
    world.client.release(world.now);
    world.drain();
    assert_eq!((world.withdrawn(), world.state()), (1, StateName::Init));
}

#[test]
fn what_a_run_before_left_on_the_link_is_held_from_the_start() {
    let begun = |addresses: Vec<Ipv4Addr>, age| {
        let setup = Setup {
            addresses,
            ..setup(Dhcp4Settings::default())
        };
        let mut world = World::of(setup, vec![candidate(age)]);
        world.drain();
        world
    };
    let mut world = begun(vec![ADDRESS], Age::Known(seconds(10)));
    assert!(!has_names(latest(&world)) && !latest(&world).addresses.is_empty());
    world.carrier(true);
    world.pass(seconds(300));
    assert_eq!(
        (world.withdrawn(), world.state()),
        (0, StateName::Selecting)
    );
    assert!(latest(&world).doubted);
    world.neighbour(GATEWAY, SERVER);
    assert!(has_names(latest(&world)));
    // Not there any more, or of another boot: it waits for somebody's word.
    for (addresses, age) in [
        (Vec::new(), Age::Known(seconds(10))),
        (vec![ADDRESS], Age::Dated(seconds(10))),
        (vec![ADDRESS], Age::Unknown),
    ] {
        let world = begun(addresses, age);
        assert_eq!(world.client.told, None, "{age:?}");
    }
}

#[test]
fn a_known_network_is_found_though_its_gateway_comes_late() {
    for (age, is_found) in [
        (Age::Known(seconds(10)), true),
        (Age::Dated(seconds(10)), true),
        (Age::Unknown, false),
    ] {
        let mut world = World::new(Dhcp4Settings::default(), vec![candidate(age)]);
        world.carrier(true);
        world.pass(seconds(40));
        assert_eq!(world.state(), StateName::Selecting);
        let asks = questions(&world)
            .last()
            .is_some_and(|at| *at > world.said[0].at + seconds(2));
        assert_eq!(asks, is_found, "{age:?}");
        world.neighbour(GATEWAY, SERVER);
        world.pass(seconds(1));
        assert_eq!(
            world.supplied().last().is_some_and(|it| has_names(it)),
            is_found
        );
    }
}

#[test]
fn an_address_that_another_client_left_is_wished_for() {
    let begun = |anonymous: bool, candidates: Vec<Candidate>| {
        let settings = Dhcp4Settings {
            anonymous,
            ..Dhcp4Settings::default()
        };
        let setup = Setup {
            wish: Some(Ipv4Addr::new(192, 0, 2, 77)),
            ..setup(settings)
        };
        let mut world = World::of(setup, candidates);
        world.carrier(true);
        world.last().option(50)
    };
    assert_eq!(begun(false, Vec::new()), Some(vec![192, 0, 2, 77]));
    assert_eq!(begun(true, Vec::new()), None);
    let known = candidate(Age::Known(seconds(10)));
    assert_eq!(begun(false, vec![known]), Some(ADDRESS.octets().to_vec()));
}

/// The name server, which is no gateway.
const NAMES: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);

#[test]
fn a_network_without_a_gateway_is_known_by_any_of_its_servers() {
    let names = Mac([2, 0, 0, 0, 0, 53]);
    let mut options = usual();
    options.retain(|(code, _)| *code != code::ROUTER);
    let mut world = World::usual();
    world.carrier(true);
    world.reply_with(OFFER, ADDRESS, &options);
    world.reply_with(ACK, ADDRESS, &options);
    world.neighbour(GATEWAY, SERVER);
    world.neighbour(names, NAMES);
    let kept = world.events.iter().rev().find_map(|event| match event {
        Event::Keep(kept) => Some(kept.witnesses.clone()),
        Event::Supplied(_)
        | Event::Withdrawn(_)
        | Event::Forget(_)
        | Event::Silent
        | Event::Noted(_) => None,
    });
    let macs: Vec<Mac> = kept.unwrap().iter().map(|it| it.mac).collect();
    assert_eq!(macs, [GATEWAY, names]);
    world.pass(seconds(5));
    world.carrier(false);
    world.pass(seconds(1));
    world.said.clear();
    world.carrier(true);
    let asked = |world: &World, of: Ipv4Addr| {
        let arp = world.said.iter().filter(|said| said.by == Socket::Arp);
        arp.filter(|said| said.to == of).count()
    };
    assert_eq!((asked(&world, SERVER), asked(&world, NAMES)), (1, 1));
    world.pass(seconds(2));
    assert!(latest(&world).doubted, "nobody answers");
    // Elsewhere another name server has that address.
    world.neighbour(Mac([2, 0, 0, 0, 0, 99]), NAMES);
    assert!(latest(&world).doubted);
    // The DHCP server stays dead.
    world.neighbour(names, NAMES);
    assert!(!latest(&world).doubted && has_names(latest(&world)));
    assert_eq!(world.withdrawn(), 0);
}

#[test]
fn whoever_was_kept_alone_is_read_as_the_only_one() {
    let kept = candidate(Age::Unknown).remembered;
    let text = serde_json::to_string(&kept).unwrap();
    assert_eq!(serde_json::from_str::<Remembered>(&text).unwrap(), kept);
    let witness = serde_json::to_string(&kept.witnesses[0]).unwrap();
    let old = text.replace(
        &format!("\"witnesses\":[{witness}]"),
        &format!("\"witness\":{witness}"),
    );
    assert_ne!(old, text);
    assert_eq!(serde_json::from_str::<Remembered>(&old).unwrap(), kept);
    let none = old.replace(&format!("\"witness\":{witness}"), "\"witness\":null");
    let read = serde_json::from_str::<Remembered>(&none).unwrap();
    assert_eq!(read.witnesses, []);
}
