//! Are whole rolls followed, those of the root as they happened, and those that go wrong?

use super::*;

/// Midnight of a day, by counting.
fn date(year: u64, month: usize, day: u64) -> u64 {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let months = [
        31,
        if is_leap(year) { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let years = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 });
    let days: u64 = years.chain(months[..month - 1].iter().copied()).sum();
    (days + day - 1) * DAY
}

/// When a key is published, signs, is revoked, and is gone.
struct Life {
    key: DNSKEY,
    published: u64,
    signs: u64,
    idles: u64,
    revoked: u64,
    gone: u64,
}

impl Life {
    fn at(&self, now: u64) -> Option<SeenKey> {
        if now < self.published || now >= self.gone {
            return None;
        }
        if now >= self.revoked {
            return Some(revoked(&self.key));
        }
        let signs = (self.signs..self.idles).contains(&now);
        Some(SeenKey {
            key: self.key.clone(),
            signs,
        })
    }
}

/// The root's keys as they came and went, and as they are announced to.
fn root_zone() -> Vec<Life> {
    let lives = [
        (
            KSK_2010,
            date(2010, 7, 15),
            date(2010, 7, 15),
            date(2018, 10, 11),
            date(2019, 1, 11),
            date(2019, 3, 22),
        ),
        (
            KSK_2017,
            date(2017, 7, 11),
            date(2018, 10, 11),
            date(2026, 10, 11),
            date(2027, 1, 11),
            date(2027, 3, 22),
        ),
        (
            KSK_2024,
            date(2025, 1, 11),
            date(2026, 10, 11),
            u64::MAX,
            u64::MAX,
            u64::MAX,
        ),
    ];
    let life = |(text, published, signs, idles, revoked, gone)| Life {
        key: root_key(text),
        published,
        signs,
        idles,
        revoked,
        gone,
    };
    lives.map(life).into()
}

/// Looks whenever it is due, and is told apart what moved and when; each look survives a restart.
fn run(
    rollover: &mut Rollover,
    zone: &[Life],
    from: u64,
    to: u64,
) -> Vec<(u16, &'static str, u64)> {
    let mut moved = Vec::new();
    let mut now = from;
    while now < to {
        let (owner, at) = rollover
            .next_query(now)
            .map(|(owner, at)| (owner.clone(), at))
            .unwrap();
        now = now.max(at);
        let seen = rrset(zone.iter().filter_map(|life| life.at(now)), now);
        let observed = rollover.observe(&owner, &seen, now).unwrap();
        for change in observed.changes {
            moved.push((change.key_tag, word(change.to), now));
        }
        let mut restarted = rollover.clone();
        assert_eq!(restarted.restore(&rollover.emit()), []);
        assert_eq!(&restarted, rollover);
    }
    moved
}

fn word(state: KeyState) -> &'static str {
    match state {
        KeyState::Start => "Start",
        KeyState::AddPend { .. } => "AddPend",
        KeyState::Valid => "Valid",
        KeyState::Missing { .. } => "Missing",
        KeyState::Revoked { .. } => "Revoked",
        KeyState::Removed { .. } => "Removed",
    }
}

fn root_point(rollover: &Rollover) -> &TrustPoint {
    rollover
        .points()
        .find(|point| point.owner().is_root())
        .unwrap()
}

fn root_with(texts: &[&str]) -> Rollover {
    let mut configured = TrustAnchors::empty();
    for text in texts {
        configured.add(&Name::root(), Anchor::Key(root_key(text)));
    }
    Rollover::new(&configured)
}

#[test]
fn root_rolls_of_2018_and_2026_are_followed_from_the_key_of_2010() {
    let mut rollover = root_with(&[KSK_2010]);
    let moved = run(
        &mut rollover,
        &root_zone(),
        date(2017, 1, 1),
        date(2028, 1, 1),
    );
    let expected = [
        (19036, "Valid", date(2017, 1, 1)),
        (20326, "AddPend", date(2017, 7, 11)),
        (20326, "Valid", date(2017, 8, 10)),
        (19036, "Revoked", date(2019, 1, 11)),
        (19036, "Removed", date(2019, 4, 21)),
        (38696, "AddPend", date(2025, 1, 11)),
        (38696, "Valid", date(2025, 2, 10)),
        (20326, "Revoked", date(2027, 1, 11)),
        (20326, "Removed", date(2027, 4, 21)),
    ];
    assert_eq!(moved, expected);
    assert_eq!(trusted(root_point(&rollover)), [38696]);
}

#[test]
fn built_in_anchors_live_through_the_end_of_the_old_key() {
    let mut rollover = Rollover::new(&TrustAnchors::built_in());
    let moved = run(
        &mut rollover,
        &root_zone(),
        date(2026, 11, 24),
        date(2028, 1, 1),
    );
    let expected = [
        (20326, "Valid", date(2026, 11, 24)),
        (38696, "Valid", date(2026, 11, 24)),
        (20326, "Revoked", date(2027, 1, 11)),
        (20326, "Removed", date(2027, 4, 21)),
    ];
    assert_eq!(moved, expected);

    let mut anchors = TrustAnchors::built_in();
    rollover.apply_to(&mut anchors);
    let root = anchors.points().next().unwrap();
    assert_eq!(root.1, [Anchor::Key(root_key(KSK_2024))]);

    // Switched on for the first time when all is over, the old anchor stays configured and does no harm.
    let mut rollover = Rollover::new(&TrustAnchors::built_in());
    let moved = run(
        &mut rollover,
        &root_zone(),
        date(2029, 1, 1),
        date(2029, 3, 1),
    );
    assert_eq!(moved, [(38696, "Valid", date(2029, 1, 1))]);
}

#[test]
fn machine_that_sleeps_through_a_roll_stays_shut_until_it_gets_new_anchors() {
    let zone = root_zone();
    let mut rollover = root_with(&[KSK_2010]);
    let slept_at = date(2017, 6, 1);
    assert_eq!(
        run(&mut rollover, &zone, date(2017, 5, 1), slept_at).len(),
        1
    );
    let woke_at = date(2019, 6, 1);
    // Nobody it trusts signs: it asks again and again, and trusts neither the new key nor nothing at all.
    let moved = run(&mut rollover, &zone, woke_at, woke_at + 60 * DAY);
    assert_eq!(moved, []);
    assert_eq!(trusted(root_point(&rollover)), [19036]);
    let (_, again_at) = rollover.next_query(woke_at + 60 * DAY).unwrap();
    assert!(again_at <= woke_at + 61 * DAY);
    // A package brings the new key; the state of the old one is taken up, and both count.
    let saved = rollover.emit();
    let mut rollover = root_with(&[KSK_2010, KSK_2017]);
    assert_eq!(rollover.restore(&saved), []);
    let now = again_at;
    let moved = run(&mut rollover, &zone, now, now + DAY);
    assert_eq!(moved, [(20326, "Valid", now), (19036, "Missing", now)]);
    // A package that brings the new key only takes the old one out.
    let mut rollover = root_with(&[KSK_2017]);
    assert_eq!(rollover.restore(&saved), []);
    assert_eq!(trusted(root_point(&rollover)), [20326]);
}

#[test]
fn machine_that_saw_the_new_key_once_takes_it_while_the_old_one_still_signs() {
    let zone = root_zone();
    let rows = [
        // Woken while the old key signs: the hold-down is long over, the RRset is vouched for.
        (date(2018, 9, 1), vec![19036, 20326]),
        // Woken when only the new one signs, which it never came to trust.
        (date(2018, 11, 1), vec![19036]),
        // Woken when the old one is revoked and nobody it trusts is left: its key revoked itself for good.
        (date(2019, 2, 1), vec![]),
    ];
    for (woke_at, expected) in rows {
        let mut rollover = root_with(&[KSK_2010]);
        let moved = run(&mut rollover, &zone, date(2017, 7, 1), date(2017, 7, 20));
        assert_eq!(moved.len(), 2, "one Valid, one AddPend");
        let (owner, now) = (Name::root(), woke_at);
        let seen = rrset(zone.iter().filter_map(|life| life.at(now)), now);
        let observed = rollover.observe(&owner, &seen, now).unwrap();
        assert_eq!(trusted(root_point(&rollover)), expected);
        assert_eq!(observed.is_deleted, expected.is_empty());
    }
}

#[test]
fn machine_that_sleeps_through_a_revocation_keeps_the_key_as_missing() {
    let zone = root_zone();
    let mut rollover = root_with(&[KSK_2010]);
    assert_eq!(
        run(&mut rollover, &zone, date(2017, 1, 1), date(2018, 12, 1)).len(),
        3
    );
    let moved = run(&mut rollover, &zone, date(2019, 6, 1), date(2024, 1, 1));
    assert_eq!(moved, [(19036, "Missing", date(2019, 6, 1))]);
    assert_eq!(trusted(root_point(&rollover)), [19036, 20326]);
}

#[test]
fn standby_key_takes_over_when_the_active_one_is_compromised() {
    // RFC 5011 §6.4: the active key is stolen; the stand-by key signs its revocation, and a new stand-by key comes.
    let (active, standby, next) = (key(1), key(2), key(3));
    let stolen_at = START + 400 * DAY;
    let zone = [
        Life {
            key: active.clone(),
            published: 0,
            signs: 0,
            idles: stolen_at,
            revoked: stolen_at,
            gone: stolen_at + 60 * DAY,
        },
        Life {
            key: standby.clone(),
            published: START + DAY,
            signs: stolen_at,
            idles: u64::MAX,
            revoked: u64::MAX,
            gone: u64::MAX,
        },
        Life {
            key: next.clone(),
            published: stolen_at,
            signs: u64::MAX,
            idles: u64::MAX,
            revoked: u64::MAX,
            gone: u64::MAX,
        },
    ];
    let mut configured = TrustAnchors::empty();
    configured.add(&name("corp.test"), Anchor::Key(active.clone()));
    let mut rollover = Rollover::new(&configured);
    let moved = run(&mut rollover, &zone, START, stolen_at + 100 * DAY);
    let expected = [
        (key_tag(&active), "Valid", START),
        (key_tag(&standby), "AddPend", START + DAY),
        (key_tag(&standby), "Valid", START + 31 * DAY),
        (key_tag(&active), "Revoked", stolen_at),
        (key_tag(&next), "AddPend", stolen_at),
        (key_tag(&next), "Valid", stolen_at + 30 * DAY),
        (key_tag(&active), "Removed", stolen_at + 90 * DAY),
    ];
    assert_eq!(moved, expected);
    assert_eq!(
        rollover.points().map(trusted).collect::<Vec<_>>(),
        [tags(&[&standby, &next])]
    );
}

#[test]
fn thief_of_the_active_key_cannot_add_his_own_while_the_owner_is_heard() {
    // RFC 5011 §2.2: he shows his key now and then, the owner's RRset in between does not have it.
    let (owner, thief) = (key(1), key(66));
    let mut point = point(&[&owner]);
    for day in 0..400 {
        let now = START + day * DAY;
        let shows = if day % 25 == 24 {
            vec![signs(&owner)]
        } else {
            vec![signs(&owner), signs(&thief)]
        };
        assert!(see(&mut point, shows, now));
        assert_eq!(trusted(&point), tags(&[&owner]));
    }
}

#[test]
fn zone_that_rolls_every_year_is_followed_by_machines_that_sleep_at_times() {
    // Each key is published 120 days before it signs, signs for a year, and is revoked 60 days later for 90 days.
    let year = 365 * DAY;
    let zone: Vec<Life> = (0..12_u8)
        .map(|n| {
            let signs = START + u64::from(n) * year;
            let published = signs.saturating_sub(120 * DAY);
            let (idles, revoked) = (signs + year, signs + year + 60 * DAY);
            Life {
                key: key(n + 1),
                published,
                signs,
                idles,
                revoked,
                gone: revoked + 90 * DAY,
            }
        })
        .collect();
    let mut seed = 7_u64;
    for _ in 0..40 {
        let mut point = point(&[&key(1)]);
        let mut now = START;
        let mut slept_longest = 0;
        while now < START + 11 * year {
            assert!(
                see(&mut point, zone.iter().filter_map(|life| life.at(now)), now),
                "{now}"
            );
            assert!(!point.is_deleted());
            assert!(
                point
                    .keys()
                    .iter()
                    .any(|tracked| tracked.state == KeyState::Valid)
            );
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            // Mostly awake, at times asleep for up to 40 days.
            let slept = if seed.is_multiple_of(9) {
                seed / 9 % 40
            } else {
                0
            };
            slept_longest = slept_longest.max(slept);
            now = point.next_query_at(now).unwrap() + slept * DAY;
        }
        assert!(slept_longest > 30);
        let last = tags(&[&key(11), &key(12)]);
        assert_eq!(trusted(&point), last);
    }
}
