//! What do people notice of the client? Leases that last, servers that are silent, networks that are found again.

use super::*;

fn gaps(said: &[Said]) -> Vec<f64> {
    let gaps = said
        .windows(2)
        .map(|pair| pair[1].at.since(pair[0].at).as_secs_f64());
    gaps.collect()
}

#[test]
fn a_lease_is_supplied_as_soon_as_it_is_acknowledged_and_then_nothing_wakes_the_machine() {
    let mut world = World::usual();
    world.bind();
    assert_eq!(world.kinds(), [1, 3]);
    assert_eq!(world.supplied().len(), 1);
    assert!(!world.supplied()[0].unconfirmed);
    world.pass(seconds(5));
    let sockets = world.client.sockets();
    assert_eq!(sockets.arp, Some(ArpFilter::conflicts(ADDRESS)));
    assert!(!sockets.packet && sockets.udp.is_none());
    let renew_at = world.client.status().lease.unwrap().renew_at;
    assert_eq!(
        world.client.poll_timeout(),
        renew_at,
        "T1 is the next thing"
    );
}

#[test]
fn nobody_answers_and_questions_become_rarer_as_the_rfc_says() {
    for seed in 0..20 {
        let mut world = World::new(Dhcp4Settings::default(), Vec::new());
        world.client.random = Random::new(seed);
        world.carrier(true);
        world.pass(seconds(400));
        let waits = gaps(&world.said);
        for (wait, middle) in waits.iter().zip([4.0, 8.0, 16.0, 32.0, 64.0, 64.0, 64.0]) {
            assert!((wait - middle).abs() <= 1.0, "{waits:?}");
        }
        let silent = world.events.iter().filter(|event| **event == Event::Silent);
        assert_eq!(silent.count(), 1, "told once");
        let first = world.said[0].octets[4..8].to_vec();
        assert!(world.said.iter().all(|said| said.octets[4..8] == first));
        assert!(
            world.said.last().unwrap().octets[8..10] > [0, 100][..],
            "secs counts"
        );
    }
}

#[test]
fn a_wish_to_renew_while_nobody_answers_asks_at_once_and_begins_with_short_waits() {
    let mut world = World::usual();
    world.carrier(true);
    world.pass(seconds(300));
    world.said.clear();
    world.client.renew(world.now);
    world.drain();
    world.pass(seconds(14));
    let waits = gaps(&world.said);
    assert_eq!((world.said[0].kind, waits.len()), (Some(1), 2), "{waits:?}");
}

#[test]
fn a_hundred_renewals_move_the_times_and_nothing_else() {
    let mut world = World::usual();
    world.bind();
    world.pass(seconds(5));
    world.events.clear();
    let arp = world
        .said
        .iter()
        .filter(|said| said.by == Socket::Arp)
        .count();
    for _ in 0..100 {
        let renew_at = world.client.status().lease.unwrap().renew_at.unwrap();
        world.pass(renew_at.since(world.now));
        assert_eq!(world.state(), StateName::Renewing);
        let said = world.last();
        assert_eq!(
            (said.by, said.to, said.kind),
            (Socket::Udp, SERVER, Some(3))
        );
        assert_eq!(said.octets[12..16], ADDRESS.octets(), "ciaddr");
        assert_eq!(
            (said.option(50), said.option(54)),
            (None, None),
            "RFC 2131 §4.3.2"
        );
        world.reply(ACK);
    }
    assert_eq!(world.withdrawn(), 0);
    let supplies = world.supplied();
    assert_eq!(supplies.len(), 100);
    let timeless = |supply: &Supply| {
        let mut supply = supply.clone();
        for address in &mut supply.addresses {
            (address.valid_until, address.preferred_until) = (None, None);
        }
        for route in &mut supply.routes {
            route.valid_until = None;
        }
        supply
    };
    assert!(
        supplies
            .iter()
            .all(|supply| timeless(supply) == timeless(supplies[0]))
    );
    let after = world
        .said
        .iter()
        .filter(|said| said.by == Socket::Arp)
        .count();
    assert_eq!(arp, after, "nothing is probed or announced again");
}

#[test]
fn a_lease_lasts_as_long_as_it_may_when_its_server_is_silent() {
    let mut world = World::usual();
    world.bind();
    let lease = world.client.status().lease.unwrap();
    world.pass(lease.rebind_at.unwrap().since(world.now));
    assert_eq!(world.state(), StateName::Rebinding);
    let said = world.last().clone();
    assert_eq!((said.by, said.to), (Socket::Packet, Ipv4Addr::BROADCAST));
    assert_eq!(said.octets[12..16], ADDRESS.octets());
    world.pass(lease.expires_at.unwrap().since(world.now) - Duration::from_millis(1));
    assert_eq!(world.withdrawn(), 0);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.troubles(), [&Trouble::Expired]);
    assert_eq!(world.state(), StateName::Selecting);
    let asked: Vec<_> = world
        .said
        .iter()
        .filter(|said| said.kind == Some(3))
        .cloned()
        .collect();
    for by in [Socket::Udp, Socket::Packet] {
        let asked: Vec<_> = asked
            .iter()
            .skip(1)
            .filter(|said| said.by == by)
            .cloned()
            .collect();
        let waits = gaps(&asked);
        assert!(
            !waits.is_empty() && waits.iter().all(|wait| *wait >= 60.0),
            "RFC 2131 §4.4.5: {waits:?}"
        );
    }
}

#[test]
fn another_server_may_prolong_a_lease() {
    let mut world = World::usual();
    world.bind();
    world.pass(seconds(900));
    let mut options = usual();
    options[0].1 = vec![192, 0, 2, 3];
    world.reply_with(ACK, ADDRESS, &options);
    let lease = world.client.status().lease.unwrap();
    assert_eq!(lease.server, Ipv4Addr::new(192, 0, 2, 3));
    assert_eq!(world.withdrawn(), 0);
}

#[test]
fn naks_are_told_with_their_message_and_do_not_spin() {
    let mut world = World::usual();
    world.bind();
    world.pass(seconds(550));
    let mut options = usual();
    options.push((code::MESSAGE, b"moved".to_vec()));
    world.reply_with(NAK, Ipv4Addr::UNSPECIFIED, &options);
    assert_eq!(world.troubles(), [&Trouble::Nak(Some("moved".into()))]);
    assert_eq!(world.state(), StateName::Selecting, "at once");
    let before = world.said.len();
    for _ in 0..8 {
        while world.state() != StateName::Selecting {
            world.next();
        }
        world.reply(OFFER);
        world.reply_with(NAK, Ipv4Addr::UNSPECIFIED, &options);
    }
    let discovers: Vec<Said> = world.said[before..]
        .iter()
        .filter(|said| said.kind == Some(1))
        .cloned()
        .collect();
    let waits = gaps(&discovers);
    assert!(
        waits.is_sorted_by(|a, b| b > &(a * 0.6)) && waits[0] > 2.0 && waits[5] > 40.0,
        "{waits:?}"
    );
}

#[test]
fn an_address_that_a_neighbour_has_is_declined_and_not_used() {
    let mut world = World::usual();
    world.carrier(true);
    world.reply(OFFER);
    let probe = world
        .said
        .iter()
        .find(|said| said.by == Socket::Arp)
        .unwrap();
    assert_eq!(probe.octets[14..18], [0; 4], "a probe, beside the REQUEST");
    world.neighbour(OTHER, ADDRESS);
    let said = world.last().clone();
    assert_eq!(
        (said.kind, said.option(50)),
        (Some(4), Some(ADDRESS.octets().to_vec()))
    );
    assert_eq!(said.option(54), Some(SERVER.octets().to_vec()));
    assert!(world.supplied().is_empty());
    world.reply(ACK);
    assert!(
        world.supplied().is_empty(),
        "an ACK that comes late is for nobody"
    );
    let declined_at = world.now;
    world.next();
    assert_eq!(
        (world.state(), world.now.since(declined_at)),
        (StateName::Selecting, seconds(10))
    );
}

#[test]
fn a_conflict_in_the_first_second_takes_the_address_back() {
    let mut world = World::usual();
    world.bind();
    world.pass(Duration::from_millis(300));
    world.neighbour(OTHER, ADDRESS);
    assert_eq!(world.withdrawn(), 1);
    assert_eq!(world.last().kind, Some(4));
    let expected = Trouble::Conflict {
        address: ADDRESS,
        neighbour: OTHER,
    };
    assert_eq!(world.client.status().trouble, Some(expected));
}

#[test]
fn an_address_in_use_is_defended_once_and_then_given_up() {
    let mut world = World::usual();
    world.bind();
    world.pass(seconds(100));
    world.neighbour(OTHER, ADDRESS);
    assert_eq!((world.withdrawn(), world.troubles().len()), (0, 1));
    assert_eq!(world.said.last().unwrap().by, Socket::Arp);
    world.pass(seconds(3));
    world.neighbour(OTHER, ADDRESS);
    assert_eq!((world.withdrawn(), world.last().kind), (1, Some(4)));
}

#[test]
fn a_copy_of_this_machine_is_found_and_this_one_goes_by_its_hardware_address() {
    let settings = Dhcp4Settings {
        client_id: ClientId::Duid,
        ..Dhcp4Settings::default()
    };
    let mut world = World::new(settings, Vec::new());
    for _ in 0..2 {
        world.bind();
        assert_eq!(world.said[0].option(61).unwrap()[0], 255);
        world.neighbour(OTHER, ADDRESS);
        world.pass(seconds(10));
    }
    let clones = world
        .troubles()
        .into_iter()
        .filter(|it| matches!(it, Trouble::Clone { .. }));
    assert_eq!(clones.count(), 1);
    assert_eq!(world.last().option(61).unwrap(), [1, 2, 0, 0, 0, 0, 1]);
}

#[test]
fn who_loses_an_address_now_and_then_is_no_copy() {
    for (apart, is_copy) in [(seconds(3600), true), (seconds(2 * 86_400), false)] {
        let settings = Dhcp4Settings {
            client_id: ClientId::Duid,
            ..Dhcp4Settings::default()
        };
        let mut world = World::new(settings, Vec::new());
        let mut endless = usual();
        endless[1].1 = vec![0xff; 4];
        world.carrier(true);
        for _ in 0..3 {
            world.reply_with(OFFER, ADDRESS, &endless);
            world.reply_with(ACK, ADDRESS, &endless);
            world.pass(apart);
            world.neighbour(OTHER, ADDRESS);
            world.pass(seconds(1));
            world.neighbour(OTHER, ADDRESS);
            assert_eq!(world.state(), StateName::Init);
            world.pass(seconds(10));
        }
        assert_eq!(world.withdrawn(), 3);
        let mut troubles = world.troubles().into_iter();
        let found = troubles.any(|it| matches!(it, Trouble::Clone { .. }));
        assert_eq!(found, is_copy, "{apart:?}");
    }
}

#[test]
fn a_copy_that_is_given_our_lease_in_our_hearing_is_found_at_once() {
    let settings = Dhcp4Settings {
        client_id: ClientId::Octets(Arc::new([0, 42])),
        ..Dhcp4Settings::default()
    };
    let mut world = World::new(settings, Vec::new());
    world.bind();
    world.pass(seconds(900));
    let mut options = usual();
    options.push((code::CLIENT_ID, vec![0, 42]));
    let mut message = server_message(ACK, 99, ADDRESS, &options);
    message[28..34].copy_from_slice(&OTHER.0);
    world.hear(&message);
    assert!(matches!(world.troubles()[..], [Trouble::Clone { .. }]));
    assert_eq!(world.state(), StateName::Selecting);
    assert_eq!(world.last().option(61).unwrap()[0], 1);
}

#[test]
fn a_known_network_is_entered_when_its_gateway_answers_and_confirmed_behind() {
    let mut world = World::new(
        Dhcp4Settings::default(),
        vec![candidate(Age::Known(seconds(10)))],
    );
    assert_eq!(world.state(), StateName::InitReboot);
    world.carrier(true);
    let said = world.last();
    assert_eq!(
        (said.kind, said.option(50)),
        (Some(3), Some(ADDRESS.octets().to_vec()))
    );
    assert_eq!(
        said.option(54),
        None,
        "INIT-REBOOT: every server may answer"
    );
    let question = world
        .said
        .iter()
        .find(|said| said.by == Socket::Arp)
        .unwrap();
    assert_eq!(
        (question.to, &question.octets[14..18]),
        (SERVER, &ADDRESS.octets()[..])
    );
    assert!(
        world.supplied().is_empty(),
        "not before it is known where we are"
    );
    world.neighbour(OTHER, SERVER);
    assert!(world.supplied().is_empty(), "the same address elsewhere");
    world.neighbour(GATEWAY, SERVER);
    assert!(world.supplied()[0].unconfirmed);
    assert!(!world.supplied()[0].upstreams.is_empty());
    world.reply(ACK);
    assert!(!world.supplied()[1].unconfirmed);
    assert_eq!((world.state(), world.withdrawn()), (StateName::Bound, 0));
}

#[test]
fn a_lease_of_another_boot_is_probed_for_and_one_without_age_waits_for_its_server() {
    let mut world = World::new(
        Dhcp4Settings::default(),
        vec![candidate(Age::Dated(seconds(10)))],
    );
    world.carrier(true);
    world.neighbour(GATEWAY, SERVER);
    assert!(world.supplied().is_empty());
    world.pass(seconds(1));
    assert!(world.supplied()[0].unconfirmed);
    let mut world = World::new(Dhcp4Settings::default(), vec![candidate(Age::Unknown)]);
    world.carrier(true);
    world.neighbour(GATEWAY, SERVER);
    world.pass(seconds(3));
    assert!(world.supplied().is_empty());
    world.reply(ACK);
    assert_eq!(world.supplied().len(), 1);
}

#[test]
fn a_known_network_whose_server_is_down_is_used_until_the_lease_is_over() {
    let mut world = World::new(
        Dhcp4Settings::default(),
        vec![candidate(Age::Dated(seconds(10)))],
    );
    world.carrier(true);
    world.neighbour(GATEWAY, SERVER);
    world.pass(seconds(60));
    assert_eq!(world.state(), StateName::Bound);
    assert!(world.client.status().lease.unwrap().unconfirmed);
    world.pass(seconds(989 - 60));
    assert_eq!(
        (world.withdrawn(), world.state()),
        (0, StateName::Rebinding)
    );
    world.pass(seconds(2));
    assert_eq!(world.troubles(), [&Trouble::Expired]);
}

#[test]
fn a_lease_that_is_over_or_broken_is_not_recalled() {
    let mut broken = candidate(Age::Known(seconds(1)));
    broken.remembered.message = Arc::new([2; 300]);
    let over = candidate(Age::Known(seconds(1000)));
    let mut world = World::new(Dhcp4Settings::default(), vec![broken, over]);
    world.carrier(true);
    assert_eq!(world.state(), StateName::Selecting);
}

#[test]
fn what_may_be_another_network_is_doubted_within_a_second() {
    let mut world = World::usual();
    world.bind();
    world.pass(seconds(5));
    world.carrier(false);
    assert!(
        world.supplied().last().unwrap().upstreams.is_empty(),
        "names stay here"
    );
    assert_eq!(world.withdrawn(), 0, "addresses stay");
    world.pass(seconds(1));
    world.carrier(true);
    world.pass(seconds(1));
    assert_eq!(world.troubles(), [&Trouble::Unanswered]);
    assert_eq!(
        (world.state(), world.last().kind),
        (StateName::Selecting, Some(1))
    );
    assert!(world.supplied().last().unwrap().doubted);
    // A server there says NAK to the old lease: it is good for the next time in its own network.
    world.carrier(false);
    world.carrier(true);
    world.reply_with(NAK, Ipv4Addr::UNSPECIFIED, &usual());
    assert!(
        !world
            .events
            .iter()
            .any(|event| matches!(event, Event::Forget(_)))
    );
}

#[test]
fn a_carrier_that_blinks_leaves_the_address_alone() {
    let mut world = World::usual();
    world.bind();
    world.pass(seconds(5));
    world.carrier(false);
    world.carrier(true);
    world.neighbour(GATEWAY, SERVER);
    let supply = world.supplied();
    assert!(supply.last().unwrap().unconfirmed && !supply.last().unwrap().upstreams.is_empty());
    world.reply(ACK);
    assert_eq!((world.withdrawn(), world.state()), (0, StateName::Bound));
    let addresses: Vec<_> = world
        .supplied()
        .iter()
        .map(|it| it.addresses[0].prefix)
        .collect();
    assert!(addresses.iter().all(|prefix| *prefix == addresses[0]));
}

#[test]
fn of_several_known_networks_the_one_is_taken_whose_gateway_answers() {
    let mut elsewhere = candidate(Age::Known(seconds(1)));
    let mut options = usual();
    options[3].1 = vec![192, 0, 2, 99];
    elsewhere.remembered.network =
        policy::facts::NetworkId("ethernet 192.0.2.0/24 by 192.0.2.99".into());
    elsewhere.remembered.message =
        server_message(ACK, 7, Ipv4Addr::new(192, 0, 2, 8), &options).into();
    elsewhere.remembered.witnesses = Vec::new();
    let here = candidate(Age::Known(seconds(10)));
    let mut world = World::new(Dhcp4Settings::default(), vec![elsewhere, here]);
    world.carrier(true);
    assert_eq!(world.last().option(50), Some(vec![192, 0, 2, 8]));
    let before = world.xid();
    world.neighbour(GATEWAY, SERVER);
    assert_eq!(world.last().option(50), Some(ADDRESS.octets().to_vec()));
    assert_ne!(
        world.xid(),
        before,
        "an answer to the first question is not for the second"
    );
    world.reply(ACK);
    assert_eq!(world.state(), StateName::Bound);
}

#[test]
fn what_is_kept_is_what_is_recalled() {
    let mut world = World::usual();
    world.bind();
    let kept: Vec<&Remembered> = world
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Keep(remembered) => Some(&**remembered),
            Event::Supplied(_)
            | Event::Withdrawn(_)
            | Event::Forget(_)
            | Event::Silent
            | Event::Noted(_) => None,
        })
        .collect();
    let last = kept.last().unwrap();
    assert_eq!(last.witnesses[0].mac, GATEWAY);
    let again = Candidate {
        remembered: (*last).clone(),
        age: Age::Known(seconds(10)),
    };
    let mut later = World::new(Dhcp4Settings::default(), vec![again]);
    later.carrier(true);
    later.neighbour(GATEWAY, SERVER);
    assert_eq!(later.supplied()[0].upstreams, world.supplied()[0].upstreams);
}

#[test]
fn a_network_that_prefers_ipv6_alone_is_left_alone_for_as_long_as_it_says() {
    let option = |seconds: u32| {
        let mut options = usual();
        options.push((code::IPV6_ONLY, seconds.to_be_bytes().to_vec()));
        options
    };
    let settings = Dhcp4Settings {
        ipv6_only: true,
        ..Dhcp4Settings::default()
    };
    for (said, waits) in [(1800, 1800), (0, 300), (299, 300)] {
        let mut world = World::new(settings.clone(), Vec::new());
        world.carrier(true);
        assert!(world.last().option(55).unwrap().contains(&108));
        world.reply_with(OFFER, ADDRESS, &option(said));
        assert_eq!((world.state(), world.kinds().len()), (StateName::Init, 1));
        assert!(world.supplied()[0].ipv6_only && world.supplied()[0].addresses.is_empty());
        let due_at = world.client.poll_timeout().unwrap();
        assert_eq!(due_at.since(world.now), seconds(waits));
        world.next();
        assert_eq!(world.state(), StateName::Selecting);
    }
    let mut world = World::usual();
    world.carrier(true);
    world.reply_with(OFFER, ADDRESS, &option(1800));
    assert_eq!(
        world.state(),
        StateName::Requesting,
        "who has not asked takes no notice"
    );
}

#[test]
fn servers_that_are_not_listened_to_and_replies_for_others_change_nothing() {
    let settings = Dhcp4Settings {
        reject_servers: vec![SERVER.into()],
        ..Dhcp4Settings::default()
    };
    let mut world = World::new(settings, Vec::new());
    world.carrier(true);
    world.reply(OFFER);
    assert_eq!(world.state(), StateName::Selecting);
    let mut world = World::usual();
    world.carrier(true);
    for (at, octet) in [(4, 0xff), (33, 9)] {
        let mut message = server_message(OFFER, world.xid(), ADDRESS, &usual());
        message[at] ^= octet;
        world.hear(&message);
        assert_eq!(world.state(), StateName::Selecting);
    }
    let mut options = usual();
    options.push((code::CLIENT_ID, vec![1, 9, 9, 9, 9, 9, 9]));
    world.reply_with(OFFER, ADDRESS, &options);
    assert_eq!(world.state(), StateName::Selecting, "RFC 6842");
}

#[test]
fn who_is_anonymous_tells_nothing() {
    let settings = Dhcp4Settings {
        anonymous: true,
        hostname: Some("host.corp.test".into()),
        vendor_class: Some("linnet".into()),
        client_id: ClientId::Duid,
        user_class: vec!["lab".into()],
        own: config::model::OwnOptions {
            send: [(43, Arc::from([1, 2]))].into(),
            request: [125].into(),
        },
        ..Dhcp4Settings::default()
    };
    let mut world = World::new(settings, vec![candidate(Age::Known(seconds(10)))]);
    world.carrier(true);
    let said = world.last();
    assert_eq!(said.kind, Some(1), "no lease of before");
    assert!(!said.option(55).unwrap().contains(&125));
    for code in [12, 43, 50, 60, 77, 80, 81] {
        assert_eq!(said.option(code), None, "option {code}");
    }
    assert_eq!(said.option(61).unwrap(), [1, 2, 0, 0, 0, 0, 1]);
}

#[test]
fn who_is_anonymous_tells_nothing_of_the_place_before_once_the_link_was_down_or_the_machine_slept()
{
    for sleeps in [false, true] {
        let settings = Dhcp4Settings {
            anonymous: true,
            ..Dhcp4Settings::default()
        };
        let mut world = World::new(settings, Vec::new());
        world.bind();
        world.pass(seconds(5));
        world.said.clear();
        if sleeps {
            world.client.handle_resume(world.now);
            world.drain();
        } else {
            world.carrier(false);
            assert_eq!(world.withdrawn(), 1, "its address is on the link no more");
            world.carrier(true);
        }
        assert_eq!(world.state(), StateName::Selecting);
        world.pass(seconds(100));
        assert!(world.said.len() >= 4);
        for said in &world.said {
            let asked = (said.by, said.kind, said.option(50));
            assert_eq!(asked, (Socket::Packet, Some(1), None), "{sleeps}");
        }
        assert_eq!(world.troubles(), [&Trouble::Forgotten]);
    }
}

#[test]
fn a_lease_that_is_released_is_given_back_and_nothing_more_is_asked_for() {
    let mut world = World::usual();
    world.bind();
    world.client.release(world.now);
    assert_eq!(world.client.sockets().udp, Some(ADDRESS));
    world.drain();
    let said = world.last();
    assert_eq!(
        (said.by, said.kind, said.to),
        (Socket::Udp, Some(7), SERVER)
    );
    assert_eq!(world.client.sockets(), Sockets::default());
    world.carrier(false);
    world.carrier(true);
    assert_eq!(
        (world.state(), world.client.poll_timeout()),
        (StateName::Init, None)
    );
    world.client.renew(world.now);
    world.drain();
    assert_eq!(world.state(), StateName::Selecting);
}

#[test]
fn a_lease_survives_sleep_and_a_sleep_longer_than_the_lease_ends_it() {
    let mut world = World::usual();
    world.bind();
    world.now = world.now + seconds(600);
    world.client.handle_resume(world.now);
    world.drain();
    assert_eq!(world.state(), StateName::Rebooting);
    world.neighbour(GATEWAY, SERVER);
    assert_eq!(world.withdrawn(), 0);
    world.now = world.now + seconds(5000);
    world.client.handle_resume(world.now);
    world.drain();
    assert_eq!(world.troubles(), [&Trouble::Expired]);
    assert_eq!(world.state(), StateName::Selecting);
}

#[test]
fn a_lease_without_end_is_never_asked_for_again() {
    let mut world = World::usual();
    world.carrier(true);
    let mut options = usual();
    options[1].1 = vec![0xff; 4];
    world.reply_with(OFFER, ADDRESS, &options);
    world.reply_with(ACK, ADDRESS, &options);
    world.pass(seconds(10_000_000));
    assert_eq!(
        (world.state(), world.client.poll_timeout()),
        (StateName::Bound, None)
    );
}

#[test]
fn the_hardware_address_that_the_link_came_with_may_be_the_identifier() {
    let settings = Dhcp4Settings {
        client_id: ClientId::PermanentMac,
        ..Dhcp4Settings::default()
    };
    let mut world = World::new(settings, Vec::new());
    world.bind();
    let said = &world.said[0];
    assert_eq!(said.option(61).unwrap(), [1, 2, 0, 0, 0, 0x0f, 1]);
}
