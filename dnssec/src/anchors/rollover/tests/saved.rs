//! Does state read back from its text, and is damage known?

use super::*;

/// Points with a key in every state.
fn rollover_with_all_states() -> (TrustAnchors, Rollover) {
    let mut configured = TrustAnchors::built_in();
    let owner = name("a\\.b.Corp.test");
    for seed in 1..=5 {
        configured.add(&owner, Anchor::Key(key(seed)));
    }
    let mut rollover = Rollover::new(&configured);
    let mut look = |keys: Vec<SeenKey>, day: u64| {
        let now = START + day * DAY;
        let observed = rollover.observe(&owner, &rrset(keys, now), now).unwrap();
        assert!(observed.is_authenticated);
    };
    look((1..=5).map(|seed| signs(&key(seed))).collect(), 0);
    look(
        vec![
            signs(&key(1)),
            revoked(&key(2)),
            idle(&key(4)),
            idle(&key(5)),
        ],
        1,
    );
    look(vec![signs(&key(1)), idle(&key(4)), idle(&key(5))], 2);
    look(vec![signs(&key(1)), revoked(&key(4)), idle(&key(5))], 40);
    look(vec![signs(&key(1)), revoked(&key(5))], 41);
    look(vec![signs(&key(1)), revoked(&key(5)), idle(&key(6))], 42);
    (configured, rollover)
}

#[test]
fn state_is_one_readable_line_for_each_key() {
    let (_, rollover) = rollover_with_all_states();
    let text = rollover.emit();
    let lines: Vec<&str> = text.lines().collect();
    let day = |day: u64| START + day * DAY;
    let expected = [
        "linnet-trust-points 1".to_owned(),
        "; OWNER observed ttl expiration query".to_owned(),
        "; OWNER tag state since until origin flags protocol algorithm key".to_owned(),
        "point . - 0 0 0".to_owned(),
        format!(
            "point a\\.b.corp.test. {} 172800 1296000 {}",
            day(42),
            day(43)
        ),
        line(1, "valid - - configured"),
        line(2, &format!("removed {} - configured", day(40))),
        line(3, &format!("missing {} - configured", day(1))),
        line(4, &format!("revoked {} {} configured", day(40), day(71))),
        line(5, &format!("revoked {} - configured", day(41))),
        line(6, &format!("add-pend {} {} learned", day(42), day(72))),
    ];
    assert_eq!(lines[..expected.len()], expected);
    assert_eq!(lines.len(), expected.len() + 1);
    assert!(lines[expected.len()].starts_with("end 10 "));
}

fn line(seed: u8, state: &str) -> String {
    let key = key(seed);
    let text = super::super::super::base64::encode_base64(&[seed; 32]);
    format!(
        "key a\\.b.corp.test. {} {state} 257 3 15 {text}",
        key_tag(&key)
    )
}

#[test]
fn state_reads_back_the_same() {
    let (configured, rollover) = rollover_with_all_states();
    let mut read = Rollover::new(&configured);
    assert_ne!(read, rollover);
    assert_eq!(read.restore(&rollover.emit()), []);
    assert_eq!(read, rollover);
    assert_eq!(read.emit(), rollover.emit());
}

#[test]
fn state_of_keys_that_look_odd_reads_back_too() {
    let a = key(1);
    let mut configured = TrustAnchors::empty();
    configured.add(&name("corp.test"), Anchor::Key(a.clone()));
    let mut rollover = Rollover::new(&configured);
    // A modulus too short for any signature, an algorithm nobody knows, a flag nobody has defined.
    let odd = [
        (257, 8, vec![1]),
        (257, 200, vec![0; 3]),
        (0xff7f, 13, vec![7; 5]),
    ]
    .map(|(flags, algorithm, bytes)| {
        DNSKEY::with_flags(
            flags,
            PublicKeyBuf::new(bytes, Algorithm::from_u8(algorithm)),
        )
    });
    let keys = odd.iter().map(idle).chain([signs(&a)]);
    let observed = rollover
        .observe(&name("corp.test"), &rrset(keys, START), START)
        .unwrap();
    assert_eq!(observed.changes.len(), 4);
    let mut read = Rollover::new(&configured);
    assert_eq!(read.restore(&rollover.emit()), []);
    assert_eq!(read, rollover);
}

#[test]
fn damaged_state_leaves_the_configured_anchors_in_force_save_the_revoked() {
    let (configured, rollover) = rollover_with_all_states();
    let text = rollover.emit();
    let check = |damaged: &str, what: &str| {
        let mut read = Rollover::new(&configured);
        let damage = read.restore(damaged);
        assert!(!damage.is_empty(), "{what}");
        for point in read.points() {
            for seed in [1, 3] {
                let is_in_force = point.trusted().contains(&Anchor::Key(key(seed)));
                assert_eq!(is_in_force, !point.owner().is_root(), "{what}");
            }
            // Nothing that was only waiting, and nothing that the damage made up.
            assert!(
                point
                    .keys()
                    .iter()
                    .all(|tracked| tracked.state.is_revoked()),
                "{what}"
            );
            let known = configured
                .points()
                .find(|(owner, _)| *owner == &point.owner().to_lowercase());
            assert!(
                point
                    .trusted()
                    .iter()
                    .all(|anchor| known.unwrap().1.contains(anchor)),
                "{what}"
            );
        }
        read
    };
    for length in 0..text.len() {
        check(&text[..length], &format!("cut to {length}"));
    }
    for at in 0..text.len() {
        for replacement in ["x", "1", " ", "\n", "-"] {
            let mut damaged = text.clone();
            damaged.replace_range(at..=at, replacement);
            if damaged != text {
                check(&damaged, &format!("{replacement:?} at {at}"));
            }
        }
    }
    for number in 0..text.lines().count() {
        let dropped = text.lines().enumerate().filter(|&(at, _)| at != number);
        let damaged: String = dropped.map(|(_, line)| format!("{line}\n")).collect();
        check(&damaged, &format!("without line {}", number + 1));
    }
    check(&format!("{text}{text}"), "twice");
    check("", "empty");
    check("\u{0}\u{1}", "binary");

    let without_end = text
        .lines()
        .filter(|line| !line.starts_with("end"))
        .collect::<Vec<_>>()
        .join("\n");
    let read = check(&without_end, "without end");
    let point = read
        .points()
        .find(|point| !point.owner().is_root())
        .unwrap();
    assert_eq!(trusted(point), tags(&[&key(1), &key(3)]));
}

#[test]
fn damage_is_told_by_line() {
    let (configured, rollover) = rollover_with_all_states();
    let text = rollover.emit();
    let told = |damaged: &str| {
        let damage = Rollover::new(&configured).restore(damaged);
        damage
            .into_iter()
            .map(|Damage { line, kind }| (line, kind))
            .collect::<Vec<_>>()
    };
    let tag = key_tag(&key(1)).to_string();
    let rows = [
        (
            text.replace("points 1", "points 2"),
            vec![(1, DamageKind::Header), (12, DamageKind::Checksum)],
        ),
        (
            text.replace(&tag, "1"),
            vec![(6, DamageKind::KeyTag), (12, DamageKind::Checksum)],
        ),
        (
            text.replace("missing", "mising"),
            vec![(8, DamageKind::Line), (12, DamageKind::Checksum)],
        ),
        (
            text.replace("172800", "172801"),
            vec![(12, DamageKind::Checksum)],
        ),
        (format!("{text}\n"), vec![(13, DamageKind::AfterEnd)]),
        (
            String::new(),
            vec![(1, DamageKind::Header), (1, DamageKind::End)],
        ),
    ];
    for (damaged, expected) in rows {
        assert_eq!(told(&damaged), expected, "{damaged}");
    }
    let damage = Damage {
        line: 3,
        kind: DamageKind::Line,
    };
    assert_eq!(
        damage.to_string(),
        "line 3: the line does not read; the configured anchors are in force"
    );
}

#[test]
fn replaced_configuration_takes_trust_out_of_what_the_old_one_vouched_for() {
    let (a, b, c, learned) = (key(1), key(2), key(3), key(4));
    let owner = name("corp.test");
    let configured = |keys: &[&DNSKEY]| {
        let mut configured = TrustAnchors::empty();
        for &key in keys {
            configured.add(&owner, Anchor::Key(key.clone()));
        }
        configured
    };
    let mut rollover = Rollover::new(&configured(&[&a, &b]));
    for day in [0, 30] {
        let now = START + day * DAY;
        let observed = rollover.observe(
            &owner,
            &rrset([signs(&a), idle(&b), idle(&learned)], now),
            now,
        );
        assert!(observed.unwrap().is_authenticated);
    }
    let text = rollover.emit();
    let rows = [
        ("as before", vec![&a, &b], vec![&a, &b, &learned]),
        ("one taken out", vec![&b], vec![&b, &learned]),
        ("one added", vec![&a, &b, &c], vec![&a, &b, &c, &learned]),
        ("the learned one confirmed", vec![&learned], vec![&learned]),
        ("all replaced", vec![&c], vec![&c]),
    ];
    for (what, keys, expected) in rows {
        let mut read = Rollover::new(&configured(&keys));
        assert_eq!(read.restore(&text), [], "{what}");
        assert_eq!(
            read.points().map(trusted).collect::<Vec<_>>(),
            [tags(&expected)],
            "{what}"
        );
    }
    let mut elsewhere = Rollover::new(&TrustAnchors::built_in());
    let before = elsewhere.clone();
    assert_eq!(elsewhere.restore(&text), []);
    assert_eq!(elsewhere, before, "a point that is configured no longer");
}

#[test]
fn key_that_waits_is_trusted_at_once_when_it_comes_into_the_configuration() {
    let mut old = TrustAnchors::empty();
    old.add(&Name::root(), Anchor::Key(root_key(KSK_2017)));
    let mut rollover = Rollover::new(&old);
    let seen = rrset(
        [signs(&root_key(KSK_2017)), idle(&root_key(KSK_2024))],
        START,
    );
    assert!(
        rollover
            .observe(&Name::root(), &seen, START)
            .unwrap()
            .is_authenticated
    );
    let mut read = Rollover::new(&TrustAnchors::built_in());
    assert_eq!(read.restore(&rollover.emit()), []);
    assert_eq!(
        read.points().map(trusted).collect::<Vec<_>>(),
        [[20326, 38696]]
    );
    assert_eq!(
        read.points()
            .next()
            .map(|point| state(point, &root_key(KSK_2024))),
        Some(KeyState::Valid)
    );
}

#[test]
fn revocation_outlives_the_configuration_that_names_the_key() {
    let mut rollover = Rollover::new(&TrustAnchors::built_in());
    let seen = rrset(
        [revoked(&root_key(KSK_2017)), signs(&root_key(KSK_2024))],
        START,
    );
    assert!(
        rollover
            .observe(&Name::root(), &seen, START)
            .unwrap()
            .is_authenticated
    );
    let mut only_old = TrustAnchors::empty();
    only_old.add(&Name::root(), Anchor::Key(root_key(KSK_2017)));
    let mut read = Rollover::new(&only_old);
    assert_eq!(read.restore(&rollover.emit()), []);
    let point = read.points().next().unwrap();
    assert!(state(point, &root_key(KSK_2017)).is_revoked());
    assert!(!point.trusted().contains(&Anchor::Key(root_key(KSK_2017))));
    assert_eq!(state(point, &root_key(KSK_2010)), KeyState::Start);
}
