//! Is there an answer to every event in every state, and is it the RFC's (RFC 2131 figure 5)?

use super::*;
use StateName::{Bound, Init, InitReboot, Rebinding, Rebooting, Renewing, Requesting, Selecting};

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happens {
    CarrierComes,
    CarrierGoes,
    Resume,
    Offer,
    Ack,
    RapidAck,
    /// A BOOTP server's answer.
    Boot,
    Nak,
    /// An ACK of another transaction.
    LateAck,
    /// The next timer of the state runs out.
    Timer,
    /// All timers run out, up to the end of the lease.
    Expiry,
    /// Another machine has the address, and goes on having it.
    Conflict,
    /// The gateway of before answers.
    Gateway,
    Renew,
    Release,
    /// Not a message at all.
    Garbage,
}

use Happens::{
    Ack, Boot, CarrierComes, CarrierGoes, Conflict, Expiry, Garbage, Gateway, LateAck, Nak, Offer,
    RapidAck, Release, Renew, Resume, Timer,
};

pub(super) const ALL: [Happens; 16] = [
    CarrierComes,
    CarrierGoes,
    Resume,
    Offer,
    Ack,
    RapidAck,
    Boot,
    Nak,
    LateAck,
    Timer,
    Expiry,
    Conflict,
    Gateway,
    Renew,
    Release,
    Garbage,
];

fn in_state(state: StateName) -> World {
    let mut world = World::usual();
    match state {
        Init => {}
        Selecting => world.carrier(true),
        Requesting => {
            world.carrier(true);
            world.reply(OFFER);
        }
        InitReboot => {
            world.bind();
            world.carrier(false);
        }
        Rebooting => {
            world.bind();
            world.carrier(false);
            world.carrier(true);
        }
        Bound => world.bind(),
        Renewing => {
            world.bind();
            world.pass(seconds(550));
        }
        Rebinding => {
            world.bind();
            world.pass(seconds(900));
        }
    }
    assert_eq!(world.state(), state);
    world
}

pub(super) fn happen(world: &mut World, event: Happens) {
    match event {
        CarrierComes => world.carrier(true),
        CarrierGoes => world.carrier(false),
        Resume => {
            world.client.handle_resume(world.now);
            world.drain();
        }
        Offer => world.reply(OFFER),
        Ack => world.reply(ACK),
        RapidAck => {
            let mut options = usual();
            options.push((code::RAPID_COMMIT, Vec::new()));
            world.reply_with(ACK, ADDRESS, &options);
        }
        Boot => world.boot(),
        Nak => world.reply(NAK),
        LateAck => {
            let message = server_message(ACK, world.xid() ^ 1, ADDRESS, &usual());
            world.hear(&message);
        }
        Timer => {
            if let Some(due_at) = world.client.state.due_at() {
                world.pass(due_at.since(world.now));
            }
        }
        Expiry => {
            let status = world.client.status();
            if let Some(expires_at) = status.lease.and_then(|lease| lease.expires_at) {
                world.pass(expires_at.since(world.now));
            }
        }
        Conflict => {
            world.neighbour(OTHER, ADDRESS);
            world.pass(seconds(1));
            world.neighbour(OTHER, ADDRESS);
        }
        Gateway => world.neighbour(GATEWAY, SERVER),
        Renew => {
            world.client.renew(world.now);
            world.drain();
        }
        Release => {
            world.client.release(world.now);
            world.drain();
        }
        Garbage => {
            for length in [0, 1, 27, 28, 240, 300, 1500, 10_000] {
                let octets = vec![2; length];
                for received in [
                    Received::Packet(Checksum::Complete),
                    Received::Arp,
                    Received::Udp(SERVER),
                ] {
                    world.client.handle_packet(&octets, received, world.now);
                }
            }
            world.drain();
        }
    }
}

/// What each event makes of each state; what is not listed leaves the state as it is.
const CHANGES: [(StateName, Happens, StateName); 49] = [
    (Init, CarrierComes, Selecting),
    (Selecting, CarrierGoes, Init),
    (Selecting, Offer, Requesting),
    (Selecting, RapidAck, Bound),
    (Selecting, Release, Init),
    (Requesting, CarrierGoes, Init),
    (Requesting, Ack, Bound),
    (Requesting, RapidAck, Bound),
    (Requesting, Resume, Selecting),
    // NAK: INIT, and from there at once.
    (Requesting, Nak, Selecting),
    (Requesting, Conflict, Init),
    (Requesting, Release, Init),
    (InitReboot, CarrierComes, Rebooting),
    // Without carrier, over is over.
    (InitReboot, Timer, Init),
    (InitReboot, Expiry, Init),
    (InitReboot, Release, Init),
    (Rebooting, CarrierGoes, InitReboot),
    (Rebooting, Ack, Bound),
    (Rebooting, RapidAck, Bound),
    (Rebooting, Nak, Selecting),
    (Rebooting, Release, Init),
    // Nobody answers: another network.
    (Rebooting, Expiry, Selecting),
    (Rebooting, Conflict, Selecting),
    (Bound, CarrierGoes, InitReboot),
    (Bound, Resume, Rebooting),
    (Bound, Timer, Renewing),
    (Bound, Expiry, Selecting),
    (Bound, Conflict, Init),
    (Bound, Renew, Renewing),
    (Bound, Release, Init),
    (Renewing, CarrierGoes, InitReboot),
    (Renewing, Resume, Rebooting),
    (Renewing, Ack, Bound),
    (Renewing, RapidAck, Bound),
    (Renewing, Nak, Selecting),
    (Renewing, Expiry, Selecting),
    (Renewing, Conflict, Init),
    (Renewing, Release, Init),
    (Rebinding, CarrierGoes, InitReboot),
    (Rebinding, Resume, Rebooting),
    (Rebinding, Ack, Bound),
    (Rebinding, RapidAck, Bound),
    (Rebinding, Nak, Selecting),
    (Rebinding, Expiry, Selecting),
    (Rebinding, Conflict, Init),
    // Asked for at once, its own server first.
    (Rebinding, Renew, Renewing),
    (Rebinding, Release, Init),
    // The same state, begun anew.
    (Selecting, Resume, Selecting),
    (Rebooting, Resume, Rebooting),
];

#[test]
fn the_table_of_transitions_is_exhaustive_and_right() {
    let states = [
        Init, Selecting, Requesting, InitReboot, Rebooting, Bound, Renewing, Rebinding,
    ];
    let mut wrong = Vec::new();
    for state in states {
        for event in ALL {
            let mut world = in_state(state);
            happen(&mut world, event);
            let mut rows = CHANGES
                .iter()
                .filter(|row| (row.0, row.1) == (state, event));
            let expected = rows.next().map_or(state, |row| row.2);
            assert!(rows.next().is_none(), "{state} {event:?} is there twice");
            if world.state() != expected {
                wrong.push(format!(
                    "{state} {event:?}: {}, not {expected}",
                    world.state()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn whatever_happens_in_whatever_order_nothing_is_told_twice_and_timers_go_on() {
    let mut random = Random::new(1);
    for seed in 0..300 {
        let mut world = World::new(
            Dhcp4Settings::default(),
            match seed % 3 {
                0 => Vec::new(),
                1 => vec![candidate(Age::Known(seconds(10)))],
                _ => vec![candidate(Age::Dated(seconds(10)))],
            },
        );
        for _ in 0..60 {
            let at = usize::try_from(random.bits()).unwrap() % ALL.len();
            happen(&mut world, ALL[at]);
            world.pass(random.between(Duration::ZERO, seconds(40)));
        }
        let mut is_supplied = false;
        for event in &world.events {
            match event {
                Event::Supplied(_) => is_supplied = true,
                Event::Withdrawn(_) => {
                    assert!(is_supplied, "nothing was there to withdraw");
                    is_supplied = false;
                }
                Event::Keep(_) | Event::Forget(_) | Event::Silent | Event::Noted(_) => {}
            }
        }
        assert_eq!(is_supplied, world.client.told.is_some());
    }
}
