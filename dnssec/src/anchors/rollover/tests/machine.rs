//! Does one trust point keep the table of RFC 5011 §4, the timers of §2, and the rules of §2.1, §2.2 and §5?

use super::*;

#[test]
fn the_table_of_the_rfc_holds_for_every_state_and_event() {
    let now = 1_000;
    let start = KeyState::Start;
    let add_pend = KeyState::AddPend {
        first_seen: 1,
        add_at: 2,
    };
    let valid = KeyState::Valid;
    let missing = KeyState::Missing { since: 3 };
    let revoked = KeyState::Revoked {
        since: 4,
        remove_at: Some(5),
    };
    let removed = KeyState::Removed { since: 6 };
    let events = [
        KeyEvent::NewKey { hold_down: 7 },
        KeyEvent::KeyPres,
        KeyEvent::KeyRem,
        KeyEvent::AddTime,
        KeyEvent::RemTime,
        KeyEvent::RevBit,
    ];
    let first_seen = KeyState::AddPend {
        first_seen: now,
        add_at: now + 7,
    };
    let missed = KeyState::Missing { since: now };
    let revoked_now = KeyState::Revoked {
        since: now,
        remove_at: None,
    };
    let removed_now = KeyState::Removed { since: now };
    // RFC 5011 §4; columns as in `events`.
    let table = [
        (start, [first_seen, start, start, start, start, start]),
        (
            add_pend,
            [add_pend, add_pend, start, valid, add_pend, add_pend],
        ),
        (valid, [valid, valid, missed, valid, valid, revoked_now]),
        (
            missing,
            [missing, valid, missing, missing, missing, revoked_now],
        ),
        (
            revoked,
            [revoked, revoked, revoked, revoked, removed_now, revoked],
        ),
        (removed, [removed; 6]),
    ];
    for (from, row) in table {
        for (event, to) in events.into_iter().zip(row) {
            assert_eq!(from.after(event, now), to, "{from:?} {event:?}");
        }
    }
}

#[test]
fn queries_are_timed_by_ttl_and_signature() {
    // RFC 5011 §2.3: original TTL, what is left of the signature, time to the next query, time to repeat a failed one.
    let rows = [
        (172_800, 15 * DAY, DAY, 17_280),
        (172_800, DAY, 12 * HOUR, 8_640),
        (86_400, 40 * DAY, 12 * HOUR, 8_640),
        (60, 40 * DAY, HOUR, HOUR),
        (172_800, 0, HOUR, HOUR),
        (u32::MAX, 400 * DAY, 15 * DAY, DAY),
        (u32::MAX, u64::MAX - START, 15 * DAY, DAY),
        (0, 0, HOUR, HOUR),
    ];
    for (original_ttl, left, interval, retry) in rows {
        let (now, a) = (START, key(1));
        let mut point = point(&[&a]);
        assert_eq!(point.next_query_at(now), Some(0), "due at once");
        let seen = Observation {
            keys: vec![signs(&a)],
            original_ttl,
            signatures_expire_at: now + left,
        };
        assert!(point.observe(&seen, now).is_authenticated);
        assert_eq!(
            point.next_query_at(now),
            Some(now + interval),
            "{original_ttl} {left}"
        );
        point.handle_failure(now + interval);
        assert_eq!(
            point.next_query_at(now),
            Some((now + interval + retry).min(now + 15 * DAY))
        );
        assert_eq!(
            point.next_query_at(now + interval),
            Some(now + interval + retry)
        );
    }
}

#[test]
fn an_rrset_nobody_vouches_for_changes_nothing_and_is_asked_for_again() {
    let (a, b, c) = (key(1), key(2), key(3));
    let mut point = point(&[&a]);
    assert!(see(&mut point, [signs(&a), idle(&b)], START));
    let before = point.keys().to_vec();
    let rows = [
        vec![],
        vec![idle(&a), idle(&b)],
        vec![idle(&a), signs(&b)],
        vec![idle(&a), signs(&c)],
        vec![
            SeenKey {
                key: with_flags(&a, 385),
                signs: false,
            },
            signs(&b),
        ],
        vec![signs(&c)],
    ];
    for keys in rows {
        let now = START + 40 * DAY;
        assert!(!see(&mut point, keys.clone(), now), "{keys:?}");
        assert_eq!(point.keys(), before, "{keys:?}");
        assert_eq!(point.next_query_at(now), Some(now + u64::from(TTL) / 10));
    }
}

#[test]
fn hold_down_is_the_longer_of_thirty_days_and_the_ttl() {
    for (original_ttl, hold_down) in [(TTL, 30 * DAY), (40 * 86_400, 40 * DAY)] {
        let (a, b) = (key(1), key(2));
        let mut point = point(&[&a]);
        let look = |point: &mut TrustPoint, now| {
            let seen = Observation {
                original_ttl,
                ..rrset([signs(&a), idle(&b)], now)
            };
            assert!(point.observe(&seen, now).is_authenticated);
        };
        look(&mut point, START);
        look(&mut point, START + hold_down - 1);
        assert_eq!(trusted(&point), tags(&[&a]));
        // RFC 5011 §2.2: the time alone does not make it trusted, the next sight of it does.
        assert_eq!(
            state(&point, &b),
            KeyState::AddPend {
                first_seen: START,
                add_at: START + hold_down
            }
        );
        look(&mut point, START + hold_down);
        assert_eq!(trusted(&point), tags(&[&a, &b]));
    }
}

#[test]
fn key_that_vanishes_after_29_days_starts_over() {
    let (a, b) = (key(1), key(2));
    let mut point = point(&[&a]);
    for day in 0..=29 {
        assert!(see(&mut point, [signs(&a), idle(&b)], START + day * DAY));
    }
    assert!(see(&mut point, [signs(&a)], START + 29 * DAY + HOUR));
    assert_eq!(state(&point, &b), KeyState::Start);
    let again = START + 30 * DAY;
    for day in 0..30 {
        assert!(see(&mut point, [signs(&a), idle(&b)], again + day * DAY));
        assert_eq!(trusted(&point), tags(&[&a]), "day {day}");
    }
    assert!(see(&mut point, [signs(&a), idle(&b)], again + 30 * DAY));
    assert_eq!(trusted(&point), tags(&[&a, &b]));
}

#[test]
fn only_keys_that_enter_securely_and_sign_are_taken_up() {
    let a = key(1);
    let mut point = point(&[&a]);
    let empty = DNSKEY::with_flags(257, PublicKeyBuf::new(Vec::new(), Algorithm::ED25519));
    let nameless = DNSKEY::with_flags(257, PublicKeyBuf::new(vec![1], Algorithm::Unknown(0)));
    let odd = [
        idle(&empty),
        idle(&nameless),
        idle(&with_flags(&key(3), 1)),
        revoked(&key(4)),
    ];
    assert!(see(&mut point, [signs(&a)].into_iter().chain(odd), START));
    let followed: Vec<DNSKEY> = point
        .keys()
        .iter()
        .map(|tracked| tracked.key.clone())
        .collect();
    assert_eq!(followed, [a]);
}

#[test]
fn revocation_needs_the_signature_of_the_key_itself_and_no_other() {
    let (a, b) = (key(1), key(2));
    let pretended = SeenKey {
        key: with_flags(&a, 385),
        signs: false,
    };
    let mut point = point(&[&a, &b]);
    assert!(see(&mut point, [signs(&a), signs(&b)], START));
    // b alone cannot revoke a: a is missed, as if it were gone.
    assert!(see(&mut point, [pretended, signs(&b)], START + DAY));
    assert_eq!(state(&point, &a), KeyState::Missing { since: START + DAY });
    assert_eq!(trusted(&point), tags(&[&a, &b]));
    // a alone can, though nobody else signs.
    assert!(!see(&mut point, [revoked(&a), idle(&b)], START + 2 * DAY));
    assert_eq!(trusted(&point), tags(&[&b]));
    assert_eq!(
        state(&point, &a),
        KeyState::Revoked {
            since: START + 2 * DAY,
            remove_at: None
        }
    );
}

#[test]
fn revoked_key_vouches_for_nothing_else_in_its_rrset() {
    let (a, b, c) = (key(1), key(2), key(3));
    let mut point = point(&[&a, &b]);
    assert!(see(&mut point, [signs(&a), signs(&b)], START));
    assert!(!see(
        &mut point,
        [revoked(&a), signs(&a), signs(&c)],
        START + DAY
    ));
    assert_eq!(state(&point, &c), KeyState::Start);
    assert_eq!(
        state(&point, &b),
        KeyState::Valid,
        "absent from an RRset that counts for nothing"
    );
    assert_eq!(trusted(&point), tags(&[&b]));
}

#[test]
fn revoked_key_never_comes_back() {
    let (a, b) = (key(1), key(2));
    let mut point = point(&[&a, &b]);
    assert!(see(&mut point, [signs(&a), signs(&b)], START));
    assert!(see(&mut point, [revoked(&a), signs(&b)], START + DAY));
    let mut now = START + 2 * DAY;
    // Published without its REVOKE bit it stays revoked, however long.
    for _ in 0..100 {
        assert!(!see(&mut point, [signs(&a)], now));
        assert!(see(&mut point, [signs(&a), signs(&b)], now));
        now += DAY;
    }
    assert_eq!(
        state(&point, &a),
        KeyState::Revoked {
            since: START + DAY,
            remove_at: None
        }
    );
    // Gone for 30 days it is removed, and not before.
    assert!(see(&mut point, [signs(&b)], now));
    assert!(see(&mut point, [signs(&b)], now + 20 * DAY));
    assert!(see(&mut point, [revoked(&a), signs(&b)], now + 29 * DAY));
    now += 40 * DAY;
    assert!(see(&mut point, [signs(&b)], now));
    assert!(see(&mut point, [signs(&b)], now + 30 * DAY - 1));
    assert_eq!(
        state(&point, &a),
        KeyState::Revoked {
            since: START + DAY,
            remove_at: Some(now + 30 * DAY)
        }
    );
    assert!(see(&mut point, [signs(&b)], now + 30 * DAY));
    assert_eq!(
        state(&point, &a),
        KeyState::Removed {
            since: now + 30 * DAY
        }
    );
    for day in 31..100 {
        assert!(see(&mut point, [signs(&a), signs(&b)], now + day * DAY));
        assert_eq!(trusted(&point), tags(&[&b]));
    }
}

#[test]
fn missing_key_is_trusted_until_it_revokes_itself() {
    let (a, b) = (key(1), key(2));
    let mut point = point(&[&a, &b]);
    assert!(see(&mut point, [signs(&a), signs(&b)], START));
    assert!(see(&mut point, [signs(&b)], START + DAY));
    assert!(see(&mut point, [signs(&b)], START + 900 * DAY));
    assert_eq!(state(&point, &a), KeyState::Missing { since: START + DAY });
    assert!(
        see(&mut point, [signs(&a)], START + 901 * DAY),
        "it still vouches"
    );
    assert_eq!(state(&point, &a), KeyState::Valid);
    assert_eq!(
        state(&point, &b),
        KeyState::Missing {
            since: START + 901 * DAY
        }
    );
    assert!(!see(&mut point, [revoked(&b)], START + 902 * DAY));
    assert_eq!(trusted(&point), tags(&[&a]));
}

#[test]
fn trust_point_whose_keys_are_all_revoked_is_deleted_with_what_was_waiting() {
    let (a, b, c) = (key(1), key(2), key(3));
    let mut configured = TrustAnchors::built_in();
    for anchor in [&a, &b] {
        configured.add(&name("corp.test"), Anchor::Key(anchor.clone()));
    }
    let mut rollover = Rollover::new(&configured);
    let owner = name("corp.test");
    let mut look =
        |keys: Vec<SeenKey>, now| rollover.observe(&owner, &rrset(keys, now), now).unwrap();
    assert!(look(vec![signs(&a), signs(&b), idle(&c)], START).is_authenticated);
    let observed = look(vec![revoked(&a), signs(&b), idle(&c)], START + DAY);
    assert!(observed.is_authenticated && !observed.is_deleted);
    let observed = look(vec![revoked(&a), revoked(&b), signs(&c)], START + 2 * DAY);
    assert!(!observed.is_authenticated && observed.is_deleted);
    assert_eq!(
        observed.changes.len(),
        2,
        "b is revoked, c waits no longer: {:?}",
        observed.changes
    );

    // RFC 5011 §5: the superior trust point takes over, and the deleted one is not asked for any more.
    let mut anchors = configured.clone();
    rollover.apply_to(&mut anchors);
    assert_eq!(anchors, TrustAnchors::built_in());
    assert_eq!(
        rollover
            .next_query(START + 3 * DAY)
            .map(|(owner, _)| owner.clone()),
        Some(Name::root())
    );
    let observed = rollover
        .observe(
            &owner,
            &rrset([signs(&c), signs(&a)], START + 3 * DAY),
            START + 3 * DAY,
        )
        .unwrap();
    assert!(!observed.is_authenticated && observed.is_deleted && observed.changes.is_empty());
}

#[test]
fn configured_digest_of_a_key_that_is_met_revoked_is_revoked() {
    // A machine installed from a medium made before the roll, switched on while the old key is being revoked.
    let (old, new) = (root_key(KSK_2017), root_key(KSK_2024));
    let mut rollover = Rollover::new(&TrustAnchors::built_in());
    let root = Name::root();
    let observed = rollover
        .observe(&root, &rrset([revoked(&old), signs(&new)], START), START)
        .unwrap();
    assert!(observed.is_authenticated);
    let moved: Vec<(u16, KeyState)> = observed
        .changes
        .iter()
        .map(|change| (change.key_tag, change.to))
        .collect();
    let revoked = KeyState::Revoked {
        since: START,
        remove_at: None,
    };
    assert_eq!(moved, [(20326, revoked), (38696, KeyState::Valid)]);
    assert_eq!(
        rollover.points().map(trusted).collect::<Vec<_>>(),
        [[38696]]
    );
}

#[test]
fn clock_that_falls_back_starts_the_waiting_over() {
    let (a, b, c) = (key(1), key(2), key(3));
    let mut point = point(&[&a, &c]);
    // The clock runs ten years ahead.
    let ahead = START + 3650 * DAY;
    assert!(see(&mut point, [signs(&a), idle(&b), revoked(&c)], ahead));
    assert!(see(&mut point, [signs(&a), idle(&b)], ahead + DAY));
    // And is put right.
    let waits = point.next_query_at(START).unwrap();
    assert!(waits <= START + 15 * DAY);
    assert!(see(&mut point, [signs(&a), idle(&b)], START));
    assert_eq!(
        state(&point, &b),
        KeyState::AddPend {
            first_seen: START,
            add_at: START + 30 * DAY
        }
    );
    assert_eq!(
        state(&point, &c),
        KeyState::Revoked {
            since: START,
            remove_at: Some(START + 30 * DAY)
        }
    );
    assert!(see(&mut point, [signs(&a), idle(&b)], START + 29 * DAY));
    assert_eq!(trusted(&point), tags(&[&a]));
    // Within the slack nothing starts over.
    assert!(see(
        &mut point,
        [signs(&a), idle(&b)],
        START + 29 * DAY - CLOCK_SLACK
    ));
    assert!(see(&mut point, [signs(&a), idle(&b)], START + 30 * DAY));
    assert_eq!(trusted(&point), tags(&[&a, &b]));
}

#[test]
fn clock_that_jumps_ahead_needs_a_second_rrset_that_holds_then() {
    let (a, b) = (key(1), key(2));
    let mut point = point(&[&a]);
    assert!(see(&mut point, [signs(&a), idle(&b)], START));
    // In 2040 the signatures of 2017 do not verify, so nothing signs.
    let ahead = START + 8000 * DAY;
    assert!(!see(&mut point, [idle(&a), idle(&b)], ahead));
    assert_eq!(trusted(&point), tags(&[&a]));
    assert!(see(&mut point, [signs(&a), idle(&b)], START + DAY));
    assert_eq!(
        state(&point, &b),
        KeyState::AddPend {
            first_seen: START,
            add_at: START + 30 * DAY
        }
    );
}

#[test]
fn flood_of_keys_is_bounded() {
    let a = key(1);
    let mut point = point(&[&a]);
    let flood = |from: u16| {
        (0..1000_u16).map(move |n| {
            let bytes = [n.to_be_bytes(), from.to_be_bytes()].concat();
            DNSKEY::with_flags(257, PublicKeyBuf::new(bytes, Algorithm::ED25519))
        })
    };
    assert!(see(
        &mut point,
        flood(0).map(|key| idle(&key)).chain([signs(&a)]),
        START
    ));
    assert_eq!(point.keys().len(), PENDING_MAX + 1);
    // Years of keys that come, stay, are revoked and go.
    for round in 1..20 {
        let start = START + u64::from(round) * 365 * DAY;
        let keys: Vec<DNSKEY> = flood(round).take(PENDING_MAX).collect();
        for (day, publish) in [
            (0, idle as fn(&DNSKEY) -> SeenKey),
            (31, idle),
            (40, revoked),
        ] {
            assert!(see(
                &mut point,
                keys.iter().map(publish).chain([signs(&a)]),
                start + day * DAY
            ));
        }
        assert!(see(&mut point, [signs(&a)], start + 50 * DAY));
        assert!(see(&mut point, [signs(&a)], start + 90 * DAY));
    }
    assert!(
        point.keys().len() <= 1 + REMOVED_MAX,
        "{}",
        point.keys().len()
    );
    assert_eq!(trusted(&point), tags(&[&a]));
}
