//! Is what fails in a soak judged rightly when the machine stands still?

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tests::oracle::{Network, Stamp, now_ms, query};

use super::clients::{Asked, Kind, Tally};
use super::halts::{Halts, Who};
use super::troubles::Troubles;
use super::{HOME, VPN, World};

const NAME: &str = "h7.pub.test";
/// Of a run that is so long that no gap of these is much of it.
const TOOK: Duration = Duration::from_secs(3600);

fn world() -> World {
    World {
        home: Network::new(HOME, "", |_| false),
        vpn: Network::new(VPN, "", |_| false),
        troubles: Troubles::default(),
        tally: Tally::default(),
        halts: Arc::default(),
        over: AtomicBool::new(false),
    }
}

/// A question for `NAME` that is asked now.
fn asked(kind: Kind) -> Asked {
    Asked {
        kind,
        number: 7,
        record_type: 1,
        sent_ms: now_ms(),
        life: 0,
        by: "a test",
        is_guest: false,
    }
}

/// An answer with addresses, or an error with a code and no words.
fn answer(name: &str, rcode: u8, code: Option<u16>, address: Option<[u8; 4]>) -> Vec<u8> {
    let mut message = query(7, name, 1);
    message[2] |= 0x80;
    message[3] = rcode;
    let mut options = message.split_off(message.len() - 11);
    if let Some(address) = address {
        message[7] = 1;
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 4, 0, 4]);
        message.extend(address);
    }
    if let Some(code) = code {
        options[10] = 6;
        options.extend([0, 15, 0, 2]);
        options.extend(code.to_be_bytes());
    }
    message.extend(options);
    message
}

/// A gap of up to four seconds around now on both processors.
fn stand_still(halts: &Halts) {
    let now = now_ms();
    for processor in [0, 1] {
        halts.pretend(Who::Watch(processor), now.saturating_sub(2000), now + 2000);
    }
}

fn report(world: &World) -> String {
    world.tally.settle(&world.halts, u64::MAX);
    world.tally.report(TOOK, &world.halts)
}

#[test]
fn nobody_replied_while_the_machine_stood_still_is_not_wrong_and_else_it_is() {
    for code in [13, 22, 23] {
        for is_still in [true, false] {
            let world = world();
            let question = asked(Kind::Public);
            world
                .tally
                .judge(&question, &answer(NAME, 2, Some(code), None), &world);
            // It is noted after it was judged.
            if is_still {
                stand_still(&world.halts);
            }
            let told = report(&world);
            let (wrong, failed) = if is_still { (0, 1) } else { (1, 0) };
            let wanted = format!(" {wrong} wrong; while the machine stood still {failed} failed,");
            assert!(told.contains(&wanted), "{code}: {told}");
        }
    }
}

#[test]
fn what_is_false_stays_wrong_whatever_the_machine_did() {
    let long_ago = Stamp {
        mark: HOME,
        life: 0,
        second: 2000,
        name: Stamp::hash(NAME),
    };
    let long_ago = long_ago.write();
    for (what, kind, message) in [
        (
            "another network's address",
            Kind::Public,
            answer(NAME, 0, None, Some([VPN << 4, 0, 0, 0])),
        ),
        (
            "what was true long ago",
            Kind::Public,
            answer(NAME, 0, None, Some(long_ago)),
        ),
        ("denied", Kind::Public, answer(NAME, 3, None, None)),
        (
            "an address of what is not there",
            Kind::Absent,
            answer("n7.pub.test", 0, None, Some([HOME << 4, 0, 0, 0])),
        ),
        ("no reason", Kind::Public, answer(NAME, 2, None, None)),
        ("refused", Kind::Public, answer(NAME, 5, Some(22), None)),
        ("bogus", Kind::Public, answer(NAME, 2, Some(6), None)),
        (
            "not blocked",
            Kind::Blocked,
            answer("b7.ads.test", 2, Some(22), None),
        ),
    ] {
        let world = world();
        stand_still(&world.halts);
        world.tally.judge(&asked(kind), &message, &world);
        let told = report(&world);
        assert!(
            told.contains(" 1 wrong; while the machine stood still 0 failed,"),
            "{what}: {told}"
        );
    }
}

#[test]
fn what_is_unanswered_too_slow_or_one_too_many_is_judged_alike() {
    for is_still in [true, false] {
        let world = world();
        if is_still {
            stand_still(&world.halts);
        }
        world.tally.miss(&asked(Kind::Public), &world);
        let mut crowded = answer(NAME, 5, Some(0), None);
        let length = crowded.len();
        // The option's length, and that of all options.
        (crowded[length - 3], crowded[length - 7]) = (20, 24);
        crowded.extend(b"too many questions");
        world.tally.judge(&asked(Kind::Public), &crowded, &world);
        let told = report(&world);
        let (own, excused) = if is_still { (0, 1) } else { (1, 0) };
        for wanted in [
            format!(" {own} told that there are too many, {own} unanswered ("),
            " 0 wrong; while the machine stood still 0 failed,".to_owned(),
            format!(" {excused} were unanswered, 0 came too late and {excused} were told"),
        ] {
            assert!(told.contains(&wanted), "{wanted}: {told}");
        }
    }
}
