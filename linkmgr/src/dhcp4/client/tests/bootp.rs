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
        world.next();
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
    world.next();
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
    }
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
    let mut world = bound(BootpUse::Only);
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

#[test]
fn who_does_not_say_who_it_is_is_known_by_where_it_sends_from() {
    let mut world = world(BootpUse::Only, Vec::new());
    world.client.setup.settings = Arc::new(Dhcp4Settings {
        bootp: BootpUse::Only,
        accept_servers: vec![SERVER.into()],
        ..Dhcp4Settings::default()
    });
    world.carrier(true);
    let mut message = boot_message(world.xid(), ADDRESS, &usual_of_bootp());
    message[20..24].fill(0);
    let stranger = Ipv4Addr::new(192, 0, 2, 66);
    let received = Received::Udp(stranger);
    world.client.handle_packet(&message, received, world.now);
    assert_eq!(world.state(), StateName::Selecting);
    world.hear(&message);
    assert_eq!(world.client.status().lease.unwrap().server, SERVER);
}
