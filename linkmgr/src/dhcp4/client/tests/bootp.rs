//! Is a BOOTP server's answer good for what RFC 1534 says, and for no more?

use super::*;

fn world(bootp: BootpUse, candidates: Vec<Candidate>) -> World {
    let settings = Dhcp4Settings {
        bootp,
        ..Dhcp4Settings::default()
    };
    World::new(settings, candidates)
}

/// A lease of before that a BOOTP server gave.
fn booted() -> Candidate {
    let mut candidate = candidate(Age::Known(seconds(10)));
    candidate.remembered.message = boot_message(7, ADDRESS, &usual_of_bootp()).into();
    candidate
}

/// The client has a lease of a BOOTP server, and its gateway is known.
fn bound(bootp: BootpUse) -> World {
    let mut world = world(bootp, Vec::new());
    world.carrier(true);
    world.boot();
    if bootp == BootpUse::Fallback {
        world.pass(seconds(4));
    }
    assert_eq!(world.state(), StateName::Bound);
    world.neighbour(GATEWAY, SERVER);
    world.pass(seconds(10));
    world.said.clear();
    world.events.clear();
    world
}

#[test]
fn its_address_is_taken_when_no_dhcp_server_has_answered_and_is_without_end() {
    let mut world = world(BootpUse::Fallback, Vec::new());
    world.carrier(true);
    world.boot();
    assert_eq!(world.state(), StateName::Selecting);
    assert!(world.supplied().is_empty());
    world.pass(seconds(4));
    assert_eq!(world.state(), StateName::Bound);
    assert_eq!(world.kinds(), [1], "asked once, and no REQUEST");
    let lease = world.client.status().lease.unwrap();
    assert!(lease.bootp && !lease.unconfirmed);
    assert_eq!((lease.server, lease.expires_at), (SERVER, None));
    let supply = world.supplied()[0];
    assert_eq!(supply.addresses[0].prefix.to_string(), "192.0.2.7/24");
    assert_eq!(supply.addresses[0].valid_until, None);
    assert_eq!((supply.routes.len(), supply.upstreams.len()), (1, 1));
    world.neighbour(GATEWAY, SERVER);
    world.pass(seconds(10));
    assert_eq!(world.client.poll_timeout(), None, "nothing is due for ever");
}

#[test]
fn a_dhcp_server_goes_first_however_late_it_is_within_the_wait() {
    let mut world = world(BootpUse::Fallback, Vec::new());
    world.carrier(true);
    world.boot();
    world.pass(seconds(2));
    world.reply(OFFER);
    assert_eq!(world.state(), StateName::Requesting);
    world.boot();
    world.reply(ACK);
    assert_eq!(world.state(), StateName::Bound);
    assert!(!world.client.status().lease.unwrap().bootp);
}

#[test]
fn an_address_that_no_host_can_have_leaves_the_questions_going_on() {
    let mut world = world(BootpUse::Fallback, Vec::new());
    world.carrier(true);
    let message = boot_message(world.xid(), Ipv4Addr::UNSPECIFIED, &usual_of_bootp());
    world.hear(&message);
    world.next();
    assert_eq!(
        (world.state(), world.kinds()),
        (StateName::Selecting, vec![1, 1])
    );
}

#[test]
fn where_nobody_else_is_asked_it_is_taken_at_once_and_dhcp_servers_are_not_heard() {
    let mut world = world(BootpUse::Only, Vec::new());
    world.carrier(true);
    let mut rapid = usual();
    rapid.push((code::RAPID_COMMIT, Vec::new()));
    world.reply_with(ACK, ADDRESS, &rapid);
    world.reply(OFFER);
    world.reply(NAK);
    assert_eq!(world.state(), StateName::Selecting);
    assert!(world.troubles().is_empty());
    for code in [50, 51, 53, 54, 55, 57, 61, 80] {
        assert_eq!(world.said[0].option(code), None, "option {code}");
    }
    world.boot();
    assert_eq!(world.state(), StateName::Bound);
    world.client.release(world.now);
    world.drain();
    assert!(world.said.iter().all(|said| said.kind.is_none()));
}

#[test]
fn where_it_is_good_for_nothing_it_is_not_heard() {
    let mut world = world(BootpUse::Never, Vec::new());
    world.carrier(true);
    world.boot();
    world.next();
    assert_eq!(
        (world.state(), world.kinds()),
        (StateName::Selecting, vec![1, 1])
    );
    // Nor what was kept of it, nor of DHCP where that is good for nothing.
    for (bootp, candidate, is_kept) in [
        (BootpUse::Never, booted(), false),
        (BootpUse::Fallback, booted(), true),
        (BootpUse::Only, booted(), true),
        (BootpUse::Only, candidate(Age::Known(seconds(10))), false),
        (BootpUse::Never, candidate(Age::Known(seconds(10))), true),
    ] {
        let world = self::world(bootp, vec![candidate]);
        assert_eq!(world.state() == StateName::InitReboot, is_kept, "{bootp:?}");
    }
}

#[test]
fn when_the_cable_comes_back_the_gateway_or_the_server_is_enough() {
    for bootp in [BootpUse::Fallback, BootpUse::Only] {
        let mut world = bound(bootp);
        world.carrier(false);
        world.carrier(true);
        assert_eq!(world.state(), StateName::Rebooting);
        world.boot();
        assert_eq!(world.state(), StateName::Bound);
        world.carrier(false);
        world.carrier(true);
        world.neighbour(GATEWAY, SERVER);
        world.pass(seconds(60));
        assert_eq!(world.state(), StateName::Bound, "its server is silent");
        assert!(world.client.status().lease.unwrap().unconfirmed);
        assert_eq!(world.withdrawn(), 0);
        assert!(!world.kinds().contains(&3), "nobody could say yes");
    }
}

#[test]
fn a_dhcp_server_that_is_there_now_takes_its_place_and_none_refuses_it() {
    let mut world = bound(BootpUse::Fallback);
    world.carrier(false);
    world.carrier(true);
    world.reply(NAK);
    world.reply(ACK);
    assert_eq!(
        (world.state(), world.withdrawn()),
        (StateName::Rebooting, 0)
    );
    world.neighbour(GATEWAY, SERVER);
    let other = Ipv4Addr::new(192, 0, 2, 100);
    world.reply_with(OFFER, other, &usual());
    assert_eq!(world.state(), StateName::Requesting);
    world.reply_with(ACK, other, &usual());
    let lease = world.client.status().lease.unwrap();
    assert_eq!(
        (lease.address.address, lease.bootp),
        (std::net::IpAddr::V4(other), false)
    );
    assert_eq!(world.withdrawn(), 0, "one address took the other's place");
}

#[test]
fn in_another_network_it_is_no_more_than_anywhere() {
    let mut world = bound(BootpUse::Fallback);
    world.carrier(false);
    world.carrier(true);
    let other = Ipv4Addr::new(198, 51, 100, 7);
    let message = boot_message(world.xid(), other, &usual_of_bootp());
    world.hear(&message);
    assert_eq!(world.state(), StateName::Rebooting);
    // Where the gateway of before has answered, its table has changed.
    world.neighbour(GATEWAY, SERVER);
    world.hear(&message);
    assert_eq!(world.state(), StateName::Bound);
}

#[test]
fn a_server_that_is_late_is_heard_as_soon_as_one_that_is_not() {
    let mut world = world(BootpUse::Fallback, Vec::new());
    world.carrier(true);
    world.pass(seconds(200));
    world.boot();
    world.pass(seconds(4));
    assert_eq!(world.state(), StateName::Bound);
}

#[test]
fn an_address_that_somebody_has_is_not_put_on_the_link_again() {
    for bootp in [BootpUse::Fallback, BootpUse::Only] {
        let mut world = world(bootp, Vec::new());
        world.carrier(true);
        let mut supplied = 0;
        for turn in 0..8 {
            world.boot();
            world.pass(Duration::from_millis(100));
            supplied = supplied.max(
                world
                    .supplied()
                    .iter()
                    .filter(|it| !it.addresses.is_empty())
                    .count(),
            );
            world.neighbour(OTHER, ADDRESS);
            world.pass(seconds(20));
            assert_ne!(world.state(), StateName::Bound, "{bootp:?} {turn}");
        }
        let once = usize::from(bootp == BootpUse::Only);
        assert_eq!(supplied, once, "{bootp:?}");
        let conflict = Trouble::Conflict {
            address: ADDRESS,
            neighbour: OTHER,
        };
        assert!(world.troubles().iter().all(|it| **it == conflict));
        // It has gone.
        world.pass(seconds(100));
        world.boot();
        world.pass(seconds(5));
        assert_eq!(world.state(), StateName::Bound, "{bootp:?}");
    }
}

#[test]
fn that_ipv4_is_not_wanted_is_believed_of_those_who_were_asked() {
    let settings = Dhcp4Settings {
        bootp: BootpUse::Only,
        ipv6_only: true,
        ..Dhcp4Settings::default()
    };
    let mut world = World::new(settings, Vec::new());
    world.carrier(true);
    let mut options = usual_of_bootp();
    options.push((code::IPV6_ONLY, vec![0, 0, 7, 8]));
    let message = boot_message(world.xid(), ADDRESS, &options);
    world.hear(&message);
    assert_eq!(world.state(), StateName::Bound);
}

#[test]
fn a_lease_without_end_is_good_whatever_the_date_is() {
    let mut candidate = booted();
    candidate.age = Age::Unknown;
    let mut world = world(BootpUse::Fallback, vec![candidate]);
    world.carrier(true);
    world.neighbour(GATEWAY, SERVER);
    assert!(world.supplied().is_empty(), "neighbours are asked first");
    world.pass(seconds(2));
    assert_eq!(world.supplied().len(), 1);
}

#[test]
fn a_lease_of_dhcp_is_not_confirmed_by_it() {
    let mut world = World::usual();
    world.bind();
    world.carrier(false);
    world.carrier(true);
    world.boot();
    assert_eq!(world.state(), StateName::Rebooting);
    world.reply(ACK);
    world.pass(seconds(550));
    assert_eq!(world.state(), StateName::Renewing);
    world.boot();
    assert_eq!(world.state(), StateName::Renewing);
}

#[test]
fn its_server_hears_of_no_conflict_and_of_no_release() {
    let mut world = bound(BootpUse::Fallback);
    world.neighbour(OTHER, ADDRESS);
    world.pass(seconds(1));
    world.neighbour(OTHER, ADDRESS);
    assert_eq!((world.state(), world.kinds()), (StateName::Init, vec![]));
    let mut world = bound(BootpUse::Fallback);
    world.client.release(world.now);
    world.drain();
    assert_eq!((world.withdrawn(), world.kinds()), (1, vec![]));
    assert!(matches!(world.events[0], Event::Forget(_)));
}

#[test]
fn a_wish_to_renew_asks_anew_and_brings_what_has_changed() {
    for bootp in [BootpUse::Fallback, BootpUse::Only] {
        let mut world = bound(bootp);
        world.client.renew(world.now);
        world.drain();
        assert_eq!(world.state(), StateName::Rebooting);
        let mut options = usual_of_bootp();
        let mut resolvers = options.iter_mut().filter(|(code, _)| *code == 6);
        resolvers.next().unwrap().1 = vec![192, 0, 2, 54];
        let message = boot_message(world.xid(), ADDRESS, &options);
        world.hear(&message);
        assert_eq!((world.state(), world.withdrawn()), (StateName::Bound, 0));
        let supply = world.supplied();
        assert_eq!(supply[0].upstreams[0].to_string(), "192.0.2.54");
    }
}

#[test]
fn a_wish_to_renew_takes_nothing_away_where_nobody_answers() {
    let mut world = bound(BootpUse::Fallback);
    world.client.renew(world.now);
    world.pass(seconds(60));
    assert_eq!(world.state(), StateName::Bound);
    assert!(!world.client.status().lease.unwrap().unconfirmed);
    assert!(world.supplied().is_empty() && world.troubles().is_empty());
    assert_eq!(world.client.poll_timeout(), None);
}

#[test]
fn who_does_not_say_who_it_is_is_known_by_where_it_sends_from() {
    let settings = Dhcp4Settings {
        bootp: BootpUse::Only,
        accept_servers: vec![SERVER.into()],
        ..Dhcp4Settings::default()
    };
    let mut world = World::new(settings, Vec::new());
    world.carrier(true);
    let mut message = boot_message(world.xid(), ADDRESS, &usual_of_bootp());
    let stranger = Ipv4Addr::new(192, 0, 2, 66);
    let received = Received::Udp(stranger);
    world.client.handle_packet(&message, received, world.now);
    assert_eq!(world.state(), StateName::Selecting);
    // Where to boot from is another question.
    message[20..24].copy_from_slice(&stranger.octets());
    world.hear(&message);
    assert_eq!(world.client.status().lease.unwrap().server, SERVER);
    // And is still known after a start.
    let mut kept = world.events.iter().filter_map(|event| match event {
        Event::Keep(remembered) => Some((**remembered).clone()),
        Event::Supplied(_)
        | Event::Withdrawn(_)
        | Event::Forget(_)
        | Event::Silent
        | Event::Noted(_) => None,
    });
    let candidate = Candidate {
        remembered: kept.next().unwrap(),
        age: Age::Known(seconds(10)),
    };
    let mut setup = setup(Dhcp4Settings::default());
    setup.addresses = vec![ADDRESS];
    let world = World::of(setup, vec![candidate]);
    assert_eq!(world.client.status().lease.unwrap().server, SERVER);
}

/// What each event makes of a lease of BOOTP; what is not listed leaves the state as it is.
#[test]
fn a_lease_of_bootp_has_its_own_ways_out() {
    use StateName::{Bound, Init, InitReboot, Rebooting, Requesting, Selecting};
    let rows = [
        (Bound, table::Happens::CarrierGoes, InitReboot),
        (Bound, table::Happens::Resume, Rebooting),
        (Bound, table::Happens::Conflict, Init),
        (Bound, table::Happens::Renew, Rebooting),
        (Bound, table::Happens::Release, Init),
        (InitReboot, table::Happens::CarrierComes, Rebooting),
        (InitReboot, table::Happens::Release, Init),
        (Rebooting, table::Happens::CarrierGoes, InitReboot),
        (Rebooting, table::Happens::Boot, Bound),
        (Rebooting, table::Happens::Offer, Requesting),
        (Rebooting, table::Happens::Conflict, Selecting),
        (Rebooting, table::Happens::Release, Init),
    ];
    for state in [Bound, InitReboot, Rebooting] {
        for event in table::ALL {
            let mut world = bound(BootpUse::Fallback);
            if state != Bound {
                world.carrier(false);
            }
            if state == Rebooting {
                world.carrier(true);
            }
            table::happen(&mut world, event);
            let row = rows.iter().find(|row| (row.0, row.1) == (state, event));
            let expected = row.map_or(state, |row| row.2);
            assert_eq!(world.state(), expected, "{state} {event:?}");
        }
    }
}

#[test]
fn what_others_have_of_its_addresses_makes_nobody_a_copy_by_dhcp() {
    let settings = Dhcp4Settings {
        bootp: BootpUse::Fallback,
        client_id: ClientId::Duid,
        ..Dhcp4Settings::default()
    };
    let mut world = World::new(settings, Vec::new());
    world.carrier(true);
    let take = |world: &mut World| {
        world.reply(OFFER);
        world.reply(ACK);
        assert_eq!(world.state(), StateName::Bound);
        world.neighbour(OTHER, ADDRESS);
        world.pass(seconds(20));
    };
    let clones = |world: &World| {
        let troubles = world.troubles();
        let clones = troubles.iter();
        clones
            .filter(|it| matches!(it, Trouble::Clone { .. }))
            .count()
    };
    for _ in 0..2 {
        world.boot();
        world.pass(Duration::from_millis(100));
        world.neighbour(OTHER, ADDRESS);
        world.pass(seconds(20));
    }
    take(&mut world);
    assert_eq!(clones(&world), 0, "{:?}", world.troubles());
    take(&mut world);
    assert_eq!(clones(&world), 1, "two of its own do");
}

#[test]
fn a_conflict_is_that_of_the_lease_whose_address_is_probed() {
    let counts = |world: &World| (world.client.conflicts, world.client.boot_conflicts);
    // A lease of BOOTP that is on no link yet.
    for age in [Age::Unknown, Age::Dated(seconds(10))] {
        let candidate = Candidate { age, ..booted() };
        let mut world = world(BootpUse::Only, vec![candidate]);
        world.carrier(true);
        world.neighbour(GATEWAY, SERVER);
        assert_eq!(world.state(), StateName::Rebooting, "{age:?}");
        world.neighbour(OTHER, ADDRESS);
        assert_eq!(world.state(), StateName::Init, "{age:?}");
        assert_eq!(counts(&world), (0, 1), "{age:?}");
        // Its server may give it again, to somebody who asks first now.
        world.pass(seconds(20));
        world.boot();
        assert_eq!(world.state(), StateName::Selecting, "{age:?}");
        assert!(world.supplied().iter().all(|it| it.addresses.is_empty()));
    }
    // An offer of DHCP, while a lease of BOOTP is doubted.
    let mut world = bound(BootpUse::Fallback);
    world.carrier(false);
    world.carrier(true);
    world.pass(seconds(1));
    assert!(world.client.state.doubted().is_some());
    let other = Ipv4Addr::new(192, 0, 2, 100);
    world.reply_with(OFFER, other, &usual());
    assert_eq!(world.state(), StateName::Requesting);
    world.neighbour(OTHER, other);
    assert_eq!(world.state(), StateName::Init);
    assert_eq!(counts(&world), (1, 0));
}
