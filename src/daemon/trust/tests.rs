//! Does trust follow files, callers and the clock, and nothing else?

use dnssec::anchors::negative::LIFETIME_MAX;
use dnssec::clock::GRACE;

use super::*;

/// The time of the build, in Unix seconds.
const BUILT: u64 = 2_000_000_000;
const ISLAND: &str =
    "island.test. IN DS 1 8 2 e06d44b80b8f1d39a95c0b0d7c65d08458e880409bbc683457104237c7f8ec8d\n";
const ROOT: &str =
    ". IN DS 20326 8 2 e06d44b80b8f1d39a95c0b0d7c65d08458e880409bbc683457104237c7f8ec8d\n";

fn text(text: Result<&str, &str>) -> AnchorText {
    AnchorText {
        path: "/e/anchors".into(),
        text: text.map(str::to_owned).map_err(str::to_owned),
    }
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn reading(wall: u64, uptime: u64, is_synchronised: bool) -> Reading {
    Reading {
        wall,
        uptime,
        is_synchronised,
    }
}

/// One whose clock was synchronised from the start, `uptime` being 0.
fn synchronised(negatives: Option<&str>) -> Trust {
    let mut trust = Trust::new(Clock::new(BUILT, None), negatives, None);
    let _judged = trust.handle_reading(reading(BUILT, 0, true), at(0));
    trust
}

fn negatives(trust: &Trust) -> Vec<(String, u64)> {
    let listed = trust.anchors().negatives();
    listed
        .map(|anchor| (anchor.name().to_ascii(), anchor.expires_at()))
        .collect()
}

fn owners(trust: &Trust) -> Vec<String> {
    let points = trust.anchors().points();
    points.map(|(owner, _)| owner.to_ascii()).collect()
}

#[test]
fn anchor_files_replace_the_built_in_anchors_and_bad_ones_replace_nothing() {
    let rows: [(&[AnchorText], &[&str], &[(usize, &str)]); 6] = [
        (
            &[text(Ok(ROOT)), text(Ok(ISLAND))],
            &[".", "island.test."],
            &[],
        ),
        (
            &[text(Ok(ISLAND))],
            &["island.test."],
            &[(0, "no trust anchor is for the root")],
        ),
        (
            &[text(Ok("; none\n"))],
            &["."],
            &[(0, "there is no trust anchor")],
        ),
        (&[], &["."], &[(0, "there is no trust anchor")]),
        (
            &[text(Ok(ISLAND)), text(Err("permission denied"))],
            &["."],
            &[(0, "permission denied")],
        ),
        (
            &[text(Ok(&format!("{ISLAND}\nx.test. DS 1 8\n")))],
            &["."],
            &[(3, "missing")],
        ),
    ];
    for (texts, points, findings) in rows {
        let mut trust = synchronised(None);
        let changed = trust.handle_texts(Some(texts), true);
        assert_eq!(owners(&trust), points, "{texts:?}");
        assert_eq!(changed, points != ["."], "{texts:?}");
        assert_eq!(
            trust.findings().len(),
            findings.len(),
            "{:?}",
            trust.findings()
        );
        for (found, (line, words)) in trust.findings().iter().zip(findings) {
            assert!(found.message.contains(words), "{found:?}");
            assert_eq!(found.line, *line, "{found:?}");
        }
    }
}

#[test]
fn old_anchors_stay_when_files_go_bad_and_built_in_ones_come_back_without_files() {
    let mut trust = synchronised(None);
    let good = [text(Ok(ROOT)), text(Ok(ISLAND))];
    assert!(trust.handle_texts(Some(&good), true));
    assert!(
        !trust.handle_texts(Some(&good), true),
        "the same again changes nothing"
    );
    assert!(!trust.handle_texts(Some(&[text(Ok("rubbish\n"))]), true));
    assert_eq!(owners(&trust), [".", "island.test."]);
    assert!(!trust.findings().is_empty());
    assert!(trust.handle_texts(None, true));
    assert_eq!(trust.anchors(), &TrustAnchors::built_in());
    assert_eq!(trust.findings(), []);
}

#[test]
fn negative_anchors_outlive_a_change_of_files_and_a_restart() {
    let mut trust = synchronised(None);
    let added = trust.add_negative(&name("Broken.Test"), Some(600), "expired", at(10));
    assert_eq!(added.unwrap().expires_at(), BUILT + 610);
    assert!(trust.handle_texts(Some(&[text(Ok(ROOT)), text(Ok(ISLAND))]), true));
    assert_eq!(
        negatives(&trust),
        [("broken.test.".to_owned(), BUILT + 610)]
    );
    let kept = trust.take_text().expect("there is something to keep");
    assert_eq!(trust.take_text(), None, "it is kept already");
    let mut later = synchronised(Some(&kept));
    assert_eq!(negatives(&later), negatives(&trust));
    assert_eq!(later.take_text(), None);
    assert!(later.remove_negative(&name("broken.test.")));
    assert!(!later.remove_negative(&name("broken.test.")));
    assert_eq!(later.take_text().as_deref(), Some(""));
}

#[test]
fn a_negative_anchor_that_cannot_be_is_refused_and_changes_nothing() {
    let long = "x".repeat(REASON_MAX + 1);
    let rows = [
        (".", Some(60), "", AddError::Negative(NegativeError::Root)),
        (
            "a.test",
            Some(0),
            "",
            AddError::Negative(NegativeError::NoLifetime),
        ),
        (
            "a.test",
            Some(LIFETIME_MAX + 1),
            "",
            AddError::Negative(NegativeError::TooLong),
        ),
        ("a.test", None, long.as_str(), AddError::Reason),
    ];
    let mut trust = synchronised(None);
    for (owner, lifetime, reason, error) in rows {
        let added = trust.add_negative(&name(owner), lifetime, reason, at(0));
        assert_eq!(added.unwrap_err(), error, "{owner}");
    }
    for number in 0..NEGATIVE_MAX {
        let owner = name(&format!("n{number}.test"));
        trust.add_negative(&owner, None, "", at(0)).unwrap();
    }
    let more = trust.add_negative(&name("more.test"), None, "", at(0));
    assert_eq!(more.unwrap_err(), AddError::TooMany);
    assert!(
        trust
            .add_negative(&name("n0.test"), Some(7), "", at(0))
            .is_ok()
    );
    assert_eq!(negatives(&trust).len(), NEGATIVE_MAX);
}

#[test]
fn the_clock_is_looked_at_soon_while_dates_do_not_count_and_when_an_anchor_ends() {
    let mut trust = Trust::new(Clock::new(BUILT, None), None, None);
    let _judged = trust.handle_reading(reading(0, 100, false), at(100));
    assert_eq!(trust.look_at(), at(100) + LOOK_SOON);
    let judged = trust.handle_reading(reading(BUILT + 50, 105, true), at(105));
    assert_eq!(judged.save, Some(BUILT + 50));
    assert_eq!(trust.look_at(), at(105) + LOOK_LATER);
    trust
        .add_negative(&name("a.test"), Some(60), "", at(115))
        .unwrap();
    // The anchor was made ten seconds after the look.
    assert_eq!(trust.look_at(), at(105 + 70));
    let early = trust.handle_reading(reading(BUILT + 119, 174, true), at(174));
    assert!(!early.changed);
    assert_eq!(trust.look_at(), at(175));
    let judged = trust.handle_reading(reading(BUILT + 120, 175, true), at(175));
    assert!(judged.changed && judged.save.is_none());
    assert_eq!(negatives(&trust), []);
    assert_eq!(trust.look_at(), at(175) + LOOK_LATER);
}

#[test]
fn a_clock_that_nobody_answers_for_wakes_nobody_until_somebody_asks() {
    let mut trust = Trust::new(Clock::new(BUILT, None), None, None);
    assert!(trust.wants_look(at(LOOK_SOON.as_secs())));
    let mut now = at(100);
    for pause in [
        LOOK_SOON,
        LOOK_SOON * 2,
        LOOK_SOON * 4,
        LOOK_LATER,
        LOOK_LATER,
    ] {
        let seconds = now.since(at(0)).as_secs();
        let _judged = trust.handle_reading(reading(BUILT + seconds, seconds, false), now);
        assert_eq!(trust.look_at(), now + pause);
        assert!(!trust.wants_look(now), "it was looked at just now");
        assert!(trust.wants_look(now + LOOK_SOON));
        now = now + pause;
    }
    // Somebody asks, or sets the clock: others may have to say more about it.
    let asked = now - Duration::from_secs(1000);
    let seconds = asked.since(at(0)).as_secs();
    let _judged = trust.handle_reading(reading(BUILT + seconds, seconds, false), asked);
    assert_eq!(trust.look_at(), asked + LOOK_SOON);
    let synchronised = reading(BUILT + seconds + 1, seconds + 1, true);
    let _judged = trust.handle_reading(synchronised, asked + Duration::from_secs(1));
    assert!(!trust.wants_look(now), "dates count");
}

#[test]
fn signatures_that_agree_have_the_clock_looked_at_when_the_grace_is_over() {
    let mut trust = Trust::new(Clock::new(BUILT, None), None, None);
    let _judged = trust.handle_reading(reading(BUILT + 9, 9, false), at(9));
    let _judged = trust.handle_evidence(Evidence {
        inception: BUILT,
        expiration: BUILT + 10_000,
    });
    let mut now = at(9);
    while now < at(GRACE) {
        now = trust.look_at();
        let seconds = now.since(at(0)).as_secs();
        let _judged = trust.handle_reading(reading(BUILT + seconds, seconds, false), now);
    }
    assert_eq!(now, at(GRACE));
    assert!(trust.dates_count());
}

#[test]
fn dates_count_by_rows_of_readings() {
    // (wall, uptime, synchronised) → (dates count, what is forgotten)
    let rows = [
        ((0, 10, false), false, Forget::Nothing),
        ((5, 15, false), false, Forget::Nothing),
        ((BUILT + 100, 20, true), true, Forget::Everything),
        ((BUILT + 700, 620, true), true, Forget::Nothing),
        ((BUILT + 760, 680, false), true, Forget::Nothing),
        (
            (BUILT + 760 + 2 * JUMP, 690, false),
            false,
            Forget::Everything,
        ),
        ((BUILT + 760 + 2 * JUMP, 690, true), true, Forget::Excepted),
    ];
    let mut trust = Trust::new(Clock::new(BUILT, None), None, None);
    for ((wall, uptime, is_synchronised), dates_count, forget) in rows {
        let judged = trust.handle_reading(reading(wall, uptime, is_synchronised), at(uptime));
        assert_eq!(trust.dates_count(), dates_count, "{wall}");
        assert_eq!(judged.forget, forget, "{wall}");
        let clock = trust.clock();
        assert_eq!((clock.at, clock.dates_count), (at(uptime), dates_count));
        assert!(
            clock.wall.0 >= BUILT,
            "never earlier than the build: {clock:?}"
        );
    }
}

#[test]
fn an_anchor_added_by_a_wrong_clock_gets_the_rest_of_its_life_by_the_right_one() {
    let mut trust = Trust::new(Clock::new(BUILT, None), None, None);
    let _judged = trust.handle_reading(reading(0, 0, false), at(0));
    for (owner, lifetime) in [("a.test", 600), ("b.test", 50)] {
        trust
            .add_negative(&name(owner), Some(lifetime), "", at(10))
            .unwrap();
    }
    let judged = trust.handle_reading(reading(100, 100, false), at(100));
    assert!(judged.changed, "b.test ends by the time since boot");
    assert_eq!(negatives(&trust), [("a.test.".to_owned(), BUILT + 610)]);
    let guessed = BUILT + 50_000_000;
    let judged = trust.handle_reading(reading(guessed, 105, false), at(105));
    assert!(judged.changed, "the clock may be right now, says nobody");
    assert_eq!(negatives(&trust), [("a.test.".to_owned(), guessed + 505)]);
    let years = BUILT + 100_000_000;
    let judged = trust.handle_reading(reading(years, 110, true), at(110));
    assert!(judged.changed);
    assert_eq!(negatives(&trust), [("a.test.".to_owned(), years + 500)]);
}

#[test]
fn an_anchor_kept_from_a_right_clock_waits_for_it() {
    let mut trust = synchronised(None);
    trust
        .add_negative(&name("a.test"), Some(LIFETIME_MAX), "", at(0))
        .unwrap();
    let kept = trust.take_text();
    // After a restart at 1970, with the clock right only later.
    let built_before = BUILT - 100_000_000;
    let mut later = Trust::new(Clock::new(built_before, None), kept.as_deref(), None);
    let judged = later.handle_reading(reading(0, 5, false), at(5));
    assert!(!judged.changed);
    assert_eq!(later.take_text(), None);
    assert!(later.look_at() > at(5));
    let judged = later.handle_reading(reading(BUILT + 60, 10, true), at(10));
    assert!(!judged.changed);
    assert_eq!(
        negatives(&later),
        [("a.test.".to_owned(), BUILT + LIFETIME_MAX)]
    );
}

#[test]
fn an_anchor_kept_from_a_right_clock_does_not_count_by_a_late_one_and_is_not_lost() {
    let mut trust = synchronised(None);
    trust
        .add_negative(&name("a.test"), Some(3600), "", at(0))
        .unwrap();
    let kept = trust.take_text();
    let mut later = Trust::new(Clock::new(BUILT, None), kept.as_deref(), None);
    let late = reading(BUILT + 400_000_000, 5, false);
    assert!(!later.handle_reading(late, at(5)).changed);
    assert_eq!(later.negatives().count(), 0);
    assert_eq!(later.look_at(), at(5) + LOOK_SOON);
    let _judged = later.handle_reading(reading(BUILT + 60, 10, true), at(10));
    assert_eq!(later.negatives().count(), 1);
    assert_eq!(later.take_text(), None);
}

mod following {
    //! Are the keys of trust points asked for when they may be, and is what was seen kept?

    use dnssec::anchors::rollover::SeenKey;
    use hickory_proto::dnssec::rdata::DNSKEY;
    use hickory_proto::dnssec::{Algorithm, PublicKeyBuf};

    use super::*;

    const DAY: u64 = 86_400;

    fn key(seed: u8, flags: u16) -> DNSKEY {
        DNSKEY::with_flags(flags, PublicKeyBuf::new(vec![seed; 32], Algorithm::ED25519))
    }

    fn anchor_text() -> AnchorText {
        // 32 octets of 0x01.
        text(Ok(
            ". IN DNSKEY 257 3 15 AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n",
        ))
    }

    fn seen(keys: &[(u8, u16, bool)], now: u64) -> Observation {
        let seen = |&(seed, flags, signs): &(u8, u16, bool)| SeenKey {
            key: key(seed, flags),
            signs,
        };
        Observation {
            keys: keys.iter().map(seen).collect(),
            original_ttl: 172_800,
            signatures_expire_at: now + 10 * DAY,
        }
    }

    fn following(kept: Option<&str>, days: u64) -> Trust {
        let mut trust = Trust::new(Clock::new(BUILT, None), None, kept);
        trust.handle_texts(Some(&[anchor_text()]), true);
        let _judged = trust.handle_reading(reading(BUILT + days * DAY, 0, true), at(0));
        trust
    }

    fn trusted(trust: &Trust) -> Vec<String> {
        trust
            .keys()
            .iter()
            .map(|key| points::describe(key.state))
            .collect()
    }

    #[test]
    fn keys_are_asked_for_after_the_start_and_again_when_nobody_told() {
        let mut trust = following(None, 0);
        assert_eq!(trust.take_due(at(0)), None);
        assert_eq!(trust.look_at(), at(5));
        assert_eq!(trust.take_due(at(5)), Some(name(".")));
        assert_eq!(trust.take_due(at(6)), None, "it is being asked");
        assert!(!trust.handle_keys(&name("."), None, at(7)));
        assert_eq!(trust.take_due(at(60)), None);
        assert_eq!(trust.take_due(at(7 + 3600)), Some(name(".")));
        assert_eq!(trust.take_due(at(7 + 3600 + 61)), None, "it counts as lost");
        assert_eq!(trust.take_due(at(7 + 3 * 3600)), Some(name(".")));
    }

    #[test]
    fn while_dates_do_not_count_nobody_is_asked_and_nobody_listened_to() {
        let mut trust = Trust::new(Clock::new(BUILT, None), None, None);
        trust.handle_texts(Some(&[anchor_text()]), true);
        let _judged = trust.handle_reading(reading(3, 3, false), at(3));
        assert_eq!(trust.take_due(at(100)), None);
        let news = seen(&[(1, 257, true), (2, 257, false)], BUILT);
        assert!(!trust.handle_keys(&name("."), Some(&news), at(101)));
        assert_eq!(trusted(&trust), ["is configured"], "not even seen");
    }

    #[test]
    fn a_key_waits_over_restarts_and_a_revoked_one_stays_so() {
        let mut trust = following(None, 0);
        let news = seen(&[(1, 257, true), (2, 257, false)], BUILT);
        trust.handle_keys(&name("."), Some(&news), at(10));
        assert_eq!(trusted(&trust)[0], "is trusted");
        assert!(trusted(&trust)[1].starts_with("is new, and trusted from"));
        let kept = trust.take_points_text().expect("it is kept");
        assert_eq!(trust.take_points_text(), None, "once");

        let mut trust = following(Some(&kept), 31);
        let news = seen(&[(1, 257, true), (2, 257, false)], BUILT + 31 * DAY);
        assert!(trust.handle_keys(&name("."), Some(&news), at(10)));
        assert_eq!(trusted(&trust), ["is trusted", "is trusted"]);
        let revoked = seen(&[(1, 257 | 0x80, true), (2, 257, true)], BUILT + 31 * DAY);
        assert!(trust.handle_keys(&name("."), Some(&revoked), at(20)));
        assert!(trusted(&trust)[0].starts_with("is revoked since"));
        let kept = trust.take_points_text().expect("it is kept");

        let trust = following(Some(&kept), 32);
        let points: Vec<usize> = trust
            .anchors()
            .points()
            .map(|(_, keys)| keys.len())
            .collect();
        assert_eq!(points, [1], "the key of the configuration is revoked");
    }

    #[test]
    fn switched_off_nothing_is_followed() {
        let mut trust = following(None, 0);
        trust.handle_texts(Some(&[anchor_text()]), false);
        assert_eq!(trust.take_due(at(100)), None);
        assert_eq!(trusted(&trust), ["is configured"]);
        assert_eq!(trust.take_points_text(), None);
    }
}
