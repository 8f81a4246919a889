//! Is a clock believed when it may be, and what it let in dropped when it may not?

use super::*;

const DAY: u64 = 24 * 60 * 60;
/// 2026-11-01.
const BUILT: u64 = 1_793_491_200;
/// 2027-02-09.
const NOW: u64 = BUILT + 100 * DAY;
/// 2040-01-01.
const LATE: u64 = 2_208_988_800;

/// The signatures of the root's keys last three weeks.
const GENUINE: Evidence = Evidence {
    inception: NOW - 10 * DAY,
    expiration: NOW + 11 * DAY,
};

fn reading(wall: u64, uptime: u64, is_synchronised: bool) -> Reading {
    Reading {
        wall,
        uptime,
        is_synchronised,
    }
}

fn unsynchronised(wall: u64, uptime: u64) -> Reading {
    reading(wall, uptime, false)
}

#[test]
fn one_reading_is_judged_by_floor_and_kernel() {
    let saved = BUILT + 50 * DAY;
    let rows = [
        ("1970", None, reading(0, 5, false), Because::BelowFloor),
        (
            "1970, synchronised",
            None,
            reading(0, 5, true),
            Because::BelowFloor,
        ),
        (
            "just below the build",
            None,
            reading(BUILT - 1, 5, true),
            Because::BelowFloor,
        ),
        (
            "at the build",
            None,
            reading(BUILT, 5, true),
            Because::Synchronised,
        ),
        (
            "below the saved time",
            Some(saved),
            reading(saved - JUMP - 1, 5, true),
            Because::BelowFloor,
        ),
        (
            "a little behind the saved time",
            Some(saved),
            reading(saved - JUMP, 5, true),
            Because::Synchronised,
        ),
        (
            "right and synchronised",
            Some(saved),
            reading(NOW, 5, true),
            Because::Synchronised,
        ),
        (
            "right and young",
            Some(saved),
            reading(NOW, 5, false),
            Because::Waiting,
        ),
        (
            "right and old",
            Some(saved),
            reading(NOW, GRACE, false),
            Because::Uncorroborated,
        ),
        ("2040", None, reading(LATE, 5, false), Because::Waiting),
        (
            "2040, synchronised",
            None,
            reading(LATE, 5, true),
            Because::Synchronised,
        ),
        (
            "as late as plausible",
            None,
            reading(BUILT + PLAUSIBLE - 1, GRACE, false),
            Because::Uncorroborated,
        ),
        (
            "later than plausible",
            None,
            reading(BUILT + PLAUSIBLE, GRACE, false),
            Because::Implausible,
        ),
        (
            "later, but synchronised",
            None,
            reading(BUILT + PLAUSIBLE, GRACE, true),
            Because::Synchronised,
        ),
        (
            "the end of time",
            None,
            reading(u64::MAX, u64::MAX, false),
            Because::Implausible,
        ),
    ];
    for (name, saved_at, reading, because) in rows {
        let mut clock = Clock::new(BUILT, saved_at);
        let forget = clock.handle_reading(reading);
        assert_eq!(clock.because(), because, "{name}");
        let is_trusted = because == Because::Synchronised;
        assert_eq!(clock.judgement().dates_count(), is_trusted, "{name}");
        assert_eq!(forget == Forget::Excepted, is_trusted, "{name}");
    }
}

#[test]
fn before_the_first_reading_dates_do_not_count() {
    let clock = Clock::new(BUILT, Some(NOW));
    assert_eq!(
        clock.judgement(),
        Judgement::Unsynchronised { floor: NOW - JUMP }
    );
    assert_eq!(clock.because(), Because::Unread);
    assert_eq!(clock.to_save(), None);
}

#[test]
fn laptop_in_1970_resolves_until_ntp_steps_the_clock() {
    let mut clock = Clock::new(BUILT, None);
    assert_eq!(
        clock.handle_reading(unsynchronised(30, 30)),
        Forget::Nothing
    );
    assert_eq!(clock.handle_evidence(GENUINE), Forget::Nothing);
    assert_eq!(
        clock.handle_reading(unsynchronised(60, 60)),
        Forget::Nothing
    );
    assert_eq!(
        clock.judgement(),
        Judgement::Unsynchronised { floor: BUILT }
    );
    // The step and the flag may be seen apart.
    assert_eq!(
        clock.handle_reading(unsynchronised(NOW, 61)),
        Forget::Everything
    );
    assert!(!clock.judgement().dates_count());
    assert_eq!(
        clock.handle_reading(reading(NOW + 9, 70, true)),
        Forget::Excepted
    );
    assert_eq!(clock.judgement(), Judgement::Trusted(NOW + 9));
}

#[test]
fn laptop_in_2040_behind_a_portal_never_believes_its_clock() {
    let mut clock = Clock::new(BUILT, Some(NOW));
    for minute in 0..3000 {
        assert_eq!(
            clock.handle_reading(unsynchronised(LATE + minute * 60, minute * 60)),
            Forget::Nothing
        );
        assert_eq!(clock.handle_evidence(GENUINE), Forget::Nothing);
        assert!(!clock.judgement().dates_count(), "{minute}");
    }
    assert_eq!(
        clock.handle_reading(reading(NOW, 180_000, true)),
        Forget::Everything
    );
    assert_eq!(clock.judgement(), Judgement::Trusted(NOW));
}

#[test]
fn flag_without_a_step_drops_what_the_exception_let_in() {
    let mut clock = Clock::new(BUILT, None);
    assert_eq!(
        clock.handle_reading(unsynchronised(NOW, 10)),
        Forget::Nothing
    );
    assert_eq!(
        clock.handle_reading(reading(NOW + 50, 60, true)),
        Forget::Excepted
    );
    assert_eq!(
        clock.handle_reading(reading(NOW + 110, 120, true)),
        Forget::Nothing
    );
}

#[test]
fn server_without_ntp_is_trusted_once_signatures_agree_and_grace_is_over() {
    let mut clock = Clock::new(BUILT, None);
    assert_eq!(
        clock.handle_reading(unsynchronised(NOW, 20)),
        Forget::Nothing
    );
    assert_eq!(clock.handle_evidence(GENUINE), Forget::Nothing);
    assert_eq!(clock.because(), Because::Waiting);
    assert_eq!(
        clock.handle_reading(unsynchronised(NOW + GRACE - 21, GRACE - 1)),
        Forget::Nothing
    );
    assert_eq!(
        clock.handle_reading(unsynchronised(NOW + GRACE - 20, GRACE)),
        Forget::Excepted
    );
    assert_eq!(clock.because(), Because::Corroborated);
    assert_eq!(clock.judgement(), Judgement::Trusted(NOW + GRACE - 20));

    // The daemon starts again on the same machine: the grace is long over, the evidence is asked for anew.
    let mut clock = Clock::new(BUILT, None);
    assert_eq!(
        clock.handle_reading(unsynchronised(NOW, 9 * DAY)),
        Forget::Nothing
    );
    assert_eq!(clock.because(), Because::Uncorroborated);
    assert_eq!(clock.handle_evidence(GENUINE), Forget::Excepted);
    assert!(clock.judgement().dates_count());
}

#[test]
fn server_without_ntp_and_with_a_wrong_clock_stays_excepted() {
    let wrong = BUILT + DAY;
    let mut clock = Clock::new(BUILT, None);
    for hour in 0..1000 {
        assert_eq!(
            clock.handle_reading(unsynchronised(wrong + hour * 3600, hour * 3600)),
            Forget::Nothing
        );
        assert_eq!(clock.handle_evidence(GENUINE), Forget::Nothing);
    }
    assert_eq!(clock.because(), Because::Contradicted);
    assert!(!clock.judgement().dates_count());
}

#[test]
fn one_contradiction_outweighs_the_agreement_before_it() {
    // Whoever replays signatures as old as the clock is slow is contradicted by one genuine reply.
    let slow = BUILT + DAY;
    let replayed = Evidence {
        inception: slow - DAY,
        expiration: slow + DAY,
    };
    let mut clock = Clock::new(BUILT, None);
    assert_eq!(
        clock.handle_reading(unsynchronised(slow, 20)),
        Forget::Nothing
    );
    assert_eq!(clock.handle_evidence(replayed), Forget::Nothing);
    assert_eq!(clock.handle_evidence(GENUINE), Forget::Nothing);
    assert_eq!(
        clock.handle_reading(unsynchronised(slow + GRACE, 20 + GRACE)),
        Forget::Nothing
    );
    assert_eq!(clock.because(), Because::Contradicted);
    // Agreement after it has to last as long again.
    let later = |uptime| unsynchronised(slow + uptime, uptime);
    assert_eq!(clock.handle_reading(later(DAY)), Forget::Nothing);
    assert_eq!(clock.handle_evidence(GENUINE), Forget::Nothing);
    assert_eq!(clock.handle_evidence(replayed), Forget::Nothing);
    assert_eq!(
        clock.handle_reading(later(DAY + GRACE - 1)),
        Forget::Nothing
    );
    assert_eq!(clock.because(), Because::Waiting);
    assert_eq!(clock.handle_reading(later(DAY + GRACE)), Forget::Excepted);
}

#[test]
fn trusted_clock_is_not_talked_out_of_its_trust() {
    let replayed = Evidence {
        inception: 0,
        expiration: BUILT,
    };
    for is_synchronised in [true, false] {
        let mut clock = Clock::new(BUILT, None);
        assert_eq!(
            clock.handle_reading(reading(NOW, DAY, is_synchronised)) == Forget::Excepted,
            is_synchronised
        );
        assert_eq!(
            clock.handle_evidence(GENUINE) == Forget::Excepted,
            !is_synchronised
        );
        assert_eq!(clock.handle_evidence(replayed), Forget::Nothing);
        assert_eq!(
            clock.handle_reading(unsynchronised(NOW + 60, DAY + 60)),
            Forget::Nothing
        );
        assert_eq!(clock.judgement(), Judgement::Trusted(NOW + 60));
    }
}

#[test]
fn blocking_ntp_does_not_switch_dates_off() {
    let mut clock = Clock::new(BUILT, None);
    assert_eq!(
        clock.handle_reading(reading(NOW, 100, true)),
        Forget::Excepted
    );
    for day in 1..200 {
        let drift = day; // seconds a day
        let reading = unsynchronised(NOW + day * DAY + drift, 100 + day * DAY);
        assert_eq!(clock.handle_reading(reading), Forget::Nothing);
        assert_eq!(clock.because(), Because::HeldOver);
        assert!(clock.judgement().dates_count());
    }
}

#[test]
fn jump_of_a_trusted_clock_drops_everything_and_its_trust() {
    let rows = [
        (
            "forward, still synchronised",
            reading(LATE, 160, true),
            true,
            Forget::Everything,
        ),
        (
            "forward, set by hand",
            reading(LATE, 160, false),
            false,
            Forget::Everything,
        ),
        (
            "back, set by hand",
            reading(NOW - DAY, 160, false),
            false,
            Forget::Everything,
        ),
        (
            "back below the floor, synchronised",
            reading(BUILT - 1, 160, true),
            false,
            Forget::Everything,
        ),
        (
            "suspended for a month",
            reading(NOW + 30 * DAY + 40, 100 + 30 * DAY, false),
            true,
            Forget::Nothing,
        ),
        (
            "slewed",
            reading(NOW + 60 + JUMP, 160, false),
            true,
            Forget::Nothing,
        ),
        (
            "just a jump",
            reading(NOW + 61 + JUMP, 160, false),
            false,
            Forget::Everything,
        ),
        (
            "the time since boot went back",
            reading(NOW, 99, false),
            false,
            Forget::Everything,
        ),
    ];
    for (name, next, is_trusted, forget) in rows {
        let mut clock = Clock::new(BUILT, None);
        assert_eq!(
            clock.handle_reading(reading(NOW, 100, true)),
            Forget::Excepted
        );
        assert_eq!(clock.handle_reading(next), forget, "{name}");
        assert_eq!(clock.judgement().dates_count(), is_trusted, "{name}");
    }
}

#[test]
fn jump_starts_the_grace_over() {
    let mut clock = Clock::new(BUILT, None);
    assert_eq!(
        clock.handle_reading(unsynchronised(LATE, 5 * DAY)),
        Forget::Nothing
    );
    assert_eq!(
        clock.handle_reading(unsynchronised(NOW, 5 * DAY + 1)),
        Forget::Everything
    );
    assert_eq!(clock.handle_evidence(GENUINE), Forget::Nothing);
    assert_eq!(clock.because(), Because::Waiting);
    let later = unsynchronised(NOW + GRACE, 5 * DAY + 1 + GRACE);
    assert_eq!(clock.handle_reading(later), Forget::Excepted);
}

#[test]
fn only_a_trusted_time_is_saved_and_not_too_often() {
    let mut clock = Clock::new(BUILT, None);
    assert_eq!(
        clock.handle_reading(unsynchronised(NOW, 5)),
        Forget::Nothing
    );
    assert_eq!(clock.to_save(), None);
    assert_eq!(
        clock.handle_reading(reading(NOW + 1, 6, true)),
        Forget::Excepted
    );
    assert_eq!(clock.to_save(), Some(NOW + 1));
    clock.handle_saved(NOW + 1);
    assert_eq!(clock.to_save(), None);
    assert_eq!(
        clock.handle_reading(reading(NOW + SAVE_INTERVAL, 5 + SAVE_INTERVAL, true)),
        Forget::Nothing
    );
    assert_eq!(clock.to_save(), None);
    assert_eq!(
        clock.handle_reading(reading(NOW + 1 + SAVE_INTERVAL, 6 + SAVE_INTERVAL, true)),
        Forget::Nothing
    );
    assert_eq!(clock.to_save(), Some(NOW + 1 + SAVE_INTERVAL));
}

#[test]
fn saved_time_that_was_wrong_is_let_go_after_a_day_of_agreement() {
    let mut clock = Clock::new(BUILT, Some(LATE));
    assert_eq!(
        clock.handle_reading(reading(NOW, 60, true)),
        Forget::Nothing
    );
    assert_eq!(clock.because(), Because::BelowFloor);
    assert_eq!(clock.handle_evidence(GENUINE), Forget::Nothing);
    let almost = reading(NOW + SAVED_DISTRUST - 61, SAVED_DISTRUST - 1, true);
    assert_eq!(clock.handle_reading(almost), Forget::Nothing);
    let at_last = reading(NOW + SAVED_DISTRUST - 60, SAVED_DISTRUST, true);
    assert_eq!(clock.handle_reading(at_last), Forget::Excepted);
    assert_eq!(clock.because(), Because::Synchronised);
    assert_eq!(clock.to_save(), Some(at_last.wall));

    // Without a kernel that says so, or below the build, nothing is let go.
    for next in [
        unsynchronised(NOW + 2 * DAY, 60 + 2 * DAY),
        reading(BUILT - 1, 60 + 2 * DAY, true),
    ] {
        let mut clock = Clock::new(BUILT, Some(LATE));
        let first = Reading {
            wall: next.wall - 2 * DAY,
            uptime: 60,
            ..next
        };
        assert_eq!(clock.handle_reading(first), Forget::Nothing);
        assert_eq!(
            clock.handle_evidence(Evidence {
                inception: 0,
                expiration: LATE
            }),
            Forget::Nothing
        );
        assert_eq!(clock.handle_reading(next), Forget::Nothing);
        assert_eq!(clock.because(), Because::BelowFloor);
        assert_eq!(
            clock.judgement(),
            Judgement::Unsynchronised { floor: LATE - JUMP }
        );
    }
}

fn pick<T: Copy>(from: &[T], at: u64) -> T {
    from[usize::try_from(at).unwrap() % from.len()]
}

#[test]
fn whatever_is_read_the_judge_keeps_its_promises() {
    let mut seed = 11_u64;
    let mut random = |below: u64| {
        // xorshift64
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let mut trusted = 0;
    for _ in 0..2_000 {
        let saved_at = pick(&[None, Some(NOW - DAY), Some(LATE)], random(60));
        let mut clock = Clock::new(BUILT, saved_at);
        let (mut wall, mut uptime) = (
            pick(&[0, BUILT - 1, NOW, LATE, BUILT + PLAUSIBLE], random(60)),
            random(DAY),
        );
        // Whether anything at all spoke for the clock since it last jumped.
        let mut has_support = false;
        for _ in 0..40 {
            let was_trusted = clock.judgement().dates_count();
            let forget = if random(3) == 0 {
                let inception = wall.saturating_sub(random(2 * DAY));
                let evidence = Evidence {
                    inception,
                    expiration: inception + random(4 * DAY),
                };
                has_support |= (inception..=evidence.expiration).contains(&wall);
                clock.handle_evidence(evidence)
            } else {
                let passed = random(1200);
                uptime += passed;
                let jumps = random(10) == 0;
                wall = if jumps {
                    pick(&[5, NOW, LATE], random(60)) + uptime
                } else {
                    wall + passed
                };
                let is_synchronised = random(4) == 0;
                let before = clock.last;
                let forget = clock.handle_reading(reading(wall, uptime, is_synchronised));
                let has_jumped =
                    before.is_some_and(|last| last.wall.abs_diff(wall).abs_diff(passed) > JUMP);
                has_support = is_synchronised || (has_support && !has_jumped);
                assert_eq!(forget == Forget::Everything, has_jumped);
                forget
            };
            let is_trusted = clock.judgement().dates_count();
            trusted += u64::from(is_trusted);
            assert!(
                !is_trusted || wall >= BUILT,
                "no time before the build is trusted"
            );
            assert!(!is_trusted || has_support, "nothing is trusted for nothing");
            assert!(
                was_trusted || !is_trusted || forget != Forget::Nothing,
                "the exception leaves nothing behind"
            );
            assert!(
                !was_trusted || is_trusted || forget == Forget::Everything,
                "trust is lost by a jump only"
            );
            assert!(is_trusted || clock.to_save().is_none());
        }
    }
    assert!(trusted > 10_000, "{trusted}");
}
