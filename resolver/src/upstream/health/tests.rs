//! Every state with every outcome, and what series of outcomes come to.

use super::*;

const fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

const FAST: Outcome = Outcome::Good(Duration::from_millis(5));
const LATE: Outcome = Outcome::Good(Duration::from_millis(1000));

/// One that works and was heard at 1000 ms.
fn working() -> Health {
    let mut health = Health::default();
    health.take(FAST, at(1000), false, at(1005));
    health
}

/// One that has failed once, for silence.
fn failing() -> Health {
    let mut health = working();
    let change = health.take(Outcome::Overtaken, at(2000), false, at(2150));
    assert_eq!(change, Change::Failed);
    health
}

/// One that has failed and given one good reply since.
fn returning() -> Health {
    let mut health = failing();
    health.take(FAST, at(3000), false, at(3005));
    assert!(health.is_on_its_way_back());
    health
}

#[test]
fn every_outcome_in_every_state() {
    use Change::{Failed, Nothing, Recovered};
    let states: [(&str, fn() -> Health); 3] = [
        ("working", working),
        ("failing", failing),
        ("returning", returning),
    ];
    let outcomes: [(Outcome, [Change; 3], [bool; 3]); 10] = [
        // outcome, what it changes in each state, and whether it is on its way back after it
        (FAST, [Nothing, Nothing, Recovered], [false, true, false]),
        (LATE, [Nothing, Nothing, Nothing], [false, false, false]),
        (Outcome::Heard, [Nothing; 3], [false, false, true]),
        (Outcome::Outdone(2), [Nothing; 3], [false; 3]),
        (Outcome::Overtaken, [Failed, Nothing, Nothing], [false; 3]),
        (Outcome::Lost, [Nothing; 3], [false; 3]),
        (Outcome::Refused, [Failed, Nothing, Nothing], [false; 3]),
        (Outcome::Unreachable, [Failed, Nothing, Nothing], [false; 3]),
        (Outcome::Closed, [Nothing; 3], [false; 3]),
        (Outcome::Blameless, [Nothing; 3], [false, false, true]),
    ];
    for (outcome, changes, returns) in outcomes {
        for (place, (name, state)) in states.iter().enumerate() {
            let mut health = state();
            let change = health.take(outcome, at(4000), false, at(4400));
            assert_eq!(change, changes[place], "{name} {outcome:?}");
            assert_eq!(
                health.is_on_its_way_back(),
                returns[place],
                "{name} {outcome:?}"
            );
            let fails = match change {
                Failed => true,
                Recovered => false,
                Nothing => *name != "working",
            };
            assert_eq!(health.is_failing(), fails, "{name} {outcome:?}");
            assert_eq!(health.why().is_some(), fails, "{name} {outcome:?}");
        }
    }
}

#[test]
fn one_slow_answer_among_others_is_no_failure() {
    let mut health = working();
    health.take(FAST, at(2050), false, at(2055));
    let change = health.take(Outcome::Overtaken, at(2000), false, at(2150));
    assert_eq!(change, Change::Nothing);
    assert!(!health.is_failing());
}

#[test]
fn a_quarter_lost_is_a_failure_and_a_tenth_is_none() {
    let fails = |one_in: u64| {
        let mut health = working();
        (0..400u64).find(|&turn| {
            let now = at(2000 + turn * 50);
            match turn % one_in == one_in - 1 {
                // What was sent later was heard before.
                true => health.take(
                    Outcome::Overtaken,
                    now - Duration::from_millis(60),
                    false,
                    now,
                ),
                false => health.take(FAST, now, false, now),
            };
            health.is_failing()
        })
    };
    assert_eq!(fails(10), None);
    assert!(fails(3).is_some_and(|turn| turn < 20));
}

#[test]
fn three_in_a_row_fail_whatever_others_do() {
    for (outcome, why) in [
        (Outcome::Lost, Why::Silent),
        (Outcome::Closed, Why::Closed),
        (Outcome::Outdone(5), Why::Errors(5)),
    ] {
        let mut health = working();
        let changes = [0, 1, 2].map(|_| health.take(outcome, at(900), true, at(3000)));
        assert_eq!(
            changes,
            [Change::Nothing, Change::Nothing, Change::Failed],
            "{outcome:?}"
        );
        assert_eq!(health.why(), Some(why));
        let silent = !matches!(outcome, Outcome::Outdone(_));
        assert_eq!(health.is_gone(), silent, "{outcome:?}");
    }
}

#[test]
fn errors_that_answers_come_between_are_no_failure() {
    let mut health = working();
    for _ in 0..20 {
        health.take(Outcome::Outdone(2), at(2000), false, at(2000));
        health.take(Outcome::Outdone(2), at(2000), false, at(2000));
        health.take(FAST, at(2000), false, at(2000));
    }
    assert!(!health.is_failing());
}

#[test]
fn coming_back_takes_longer_for_one_that_fails_again_and_again() {
    let mut health = working();
    let mut now = 2_000;
    let mut needed = Vec::new();
    for _ in 0..5 {
        health.take(Outcome::Overtaken, at(now), false, at(now + 150));
        assert!(health.is_failing());
        let mut replies = 0;
        while health.is_failing() {
            now += 200;
            replies += 1;
            health.take(FAST, at(now), false, at(now + 5));
        }
        needed.push(replies);
        now += 1_000;
    }
    assert_eq!(needed, [2, 4, 8, 8, 8]);
    // After a minute without failure it is as if nothing had been.
    now += 61_000;
    health.take(Outcome::Overtaken, at(now), false, at(now + 150));
    health.take(FAST, at(now + 200), false, at(now + 205));
    let change = health.take(FAST, at(now + 210), false, at(now + 215));
    assert_eq!(change, Change::Recovered);
}

#[test]
fn where_nobody_else_works_one_reply_is_enough_however_late() {
    let mut health = failing();
    assert_eq!(
        health.take(LATE, at(3000), true, at(4000)),
        Change::Recovered
    );
}

#[test]
fn tries_come_within_half_a_second_and_rarely_for_one_that_stands_by() {
    let mut health = failing();
    let mut now = at(2150);
    for _ in 0..50 {
        let next = health.try_at(true).unwrap();
        assert!(next > now && next.since(now) <= PAUSE_MAX);
        assert_eq!(health.try_at(false), Some(now + STANDBY_PAUSE));
        now = next;
        health.note_tried(now);
    }
    assert_eq!(health.try_at(true), Some(now + PAUSE_MAX));
    assert_eq!(working().try_at(true), None);
}

#[test]
fn what_was_lost_before_the_reason_was_heard_does_not_cover_it_up() {
    let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
    let mut health = Health::default();
    health.take(Outcome::Unreachable, at(1_000), false, at(1_001));
    health.take(Outcome::Overtaken, at(500), false, at(2_000));
    assert_eq!(health.why(), Some(Why::Unreachable));
    // Nothing comes back any more, not even that.
    health.take(Outcome::Overtaken, at(2_100), false, at(3_600));
    assert_eq!(health.why(), Some(Why::Silent));
}
