//! Do the anchors in force match the keys they mean, and which one covers a name?

use hickory_proto::dnssec::PublicKeyBuf;

use super::*;

/// The root's keys as the root publishes them.
pub(super) const KSK_2010: &str = "AwEAAagAIKlVZrpC6Ia7gEzahOR+9W29euxhJhVVLOyQbSEW0O8gcCjFFVQUTf6v58fLjwBd0YI0EzrAcQqBGCzh/RStIoO8g0NfnfL2MTJRkxoXbfDaUeVPQuYEhg37NZWAJQ9VnMVDxP/VHL496M/QZxkjf5/Efucp2gaDX6RS6CXpoY68LsvPVjR0ZSwzz1apAzvN9dlzEheX7ICJBBtuA6G3LQpzW5hOA2hzCTMjJPJ8LbqF6dsV6DoBQzgul0sGIcGOYl7OyQdXfZ57relSQageu+ipAdTTJ25AsRTAoub8ONGcLmqrAmRLKBP1dfwhYB4N7knNnulqQxA+Uk1ihz0=";
pub(super) const KSK_2017: &str = "AwEAAaz/tAm8yTn4Mfeh5eyI96WSVexTBAvkMgJzkKTOiW1vkIbzxeF3+/4RgWOq7HrxRixHlFlExOLAJr5emLvN7SWXgnLh4+B5xQlNVz8Og8kvArMtNROxVQuCaSnIDdD5LKyWbRd2n9WGe2R8PzgCmr3EgVLrjyBxWezF0jLHwVN8efS3rCj/EWgvIWgb9tarpVUDK/b58Da+sqqls3eNbuv7pr+eoZG+SrDK6nWeL3c6H5Apxz7LjVc1uTIdsIXxuOLYA4/ilBmSVIzuDWfdRUfhHdY6+cn8HFRm+2hM8AnXGXws9555KrUB5qihylGa8subX2Nn6UwNR1AkUTV74bU=";
pub(super) const KSK_2024: &str = "AwEAAa96jeuknZlaeSrvyAJj6ZHv28hhOKkx3rLGXVaC6rXTsDc449/cidltpkyGwCJNnOAlFNKF2jBosZBU5eeHspaQWOmOElZsjICMQMC3aeHbGiShvZsx4wMYSjH8e7Vrhbu6irwCzVBApESjbUdpWWmEnhathWu1jo+siFUiRAAxm9qyJNg/wOZqqzL/dL/q8PkcRU5oUKEpUge71M3ej2/7CPqpdVwuMoTvoB+ZOT4YeGyxMvHmbrxlFzGOHOijtzN+u1TQNatX2XBuzZNQ1K+s2CXkPIZo7s6JgZyvaBevYtxPvYLw4z9mR7K2vaF18UYH9Z9GNUUeayffKC73PYc=";

pub(super) fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

pub(super) fn root_key(text: &str) -> DNSKEY {
    let bytes = base64::decode_base64(text).unwrap();
    DNSKEY::with_flags(257, PublicKeyBuf::new(bytes, Algorithm::RSASHA256))
}

pub(super) fn with_flags(key: &DNSKEY, flags: u16) -> DNSKEY {
    DNSKEY::with_flags(flags, key.public_key().clone())
}

fn ed25519(seed: u8) -> DNSKEY {
    DNSKEY::with_flags(257, PublicKeyBuf::new(vec![seed; 32], Algorithm::ED25519))
}

fn negative(at: &str, lifetime: u64, now: u64) -> NegativeAnchor {
    NegativeAnchor::new(&name(at), lifetime, "test", now).unwrap()
}

#[test]
fn built_in_anchors_are_the_published_keys_of_the_root() {
    let anchors = TrustAnchors::built_in();
    let root = Name::root();
    let Some(Match::Positive { owner, anchors }) = anchors.deepest(&root, 0) else {
        panic!("the root has anchors");
    };
    assert_eq!(owner, &root);
    for (text, tag) in [(KSK_2017, 20326), (KSK_2024, 38696)] {
        let key = root_key(text);
        assert_eq!(key_tag(&key), tag);
        assert_eq!(
            anchors
                .iter()
                .filter(|anchor| anchor.matches(&root, &key))
                .count(),
            1
        );
        assert!(
            !anchors
                .iter()
                .any(|anchor| anchor.matches(&name("test"), &key)),
            "another owner"
        );
        let revoked = with_flags(&key, 257 | 0x80);
        assert_ne!(key_tag(&revoked), tag);
        assert!(
            !anchors.iter().any(|anchor| anchor.matches(&root, &revoked)),
            "revoked"
        );
    }
    assert_eq!(key_tag(&root_key(KSK_2010)), 19036);
    assert!(
        !anchors
            .iter()
            .any(|anchor| anchor.matches(&root, &root_key(KSK_2010)))
    );
    assert_eq!(anchors.len(), 2);
}

#[test]
fn key_anchor_means_its_key_and_neither_a_revoked_nor_a_foreign_one() {
    let (owner, key) = (name("corp.test"), ed25519(1));
    let anchor = Anchor::Key(key.clone());
    assert!(anchor.matches(&owner, &key));
    assert!(
        anchor.matches(&owner, &with_flags(&key, 256)),
        "the SEP bit is a hint"
    );
    assert!(!anchor.matches(&owner, &with_flags(&key, 385)));
    assert!(!anchor.matches(&owner, &with_flags(&key, 1)), "no zone key");
    assert!(!anchor.matches(&owner, &ed25519(2)));
}

#[test]
fn longest_match_wins_and_at_the_same_name_the_negative_one() {
    let now = 1_000;
    let mut anchors = TrustAnchors::built_in();
    anchors.add(&name("corp.example"), Anchor::Key(ed25519(1)));
    anchors.add(&name("deep.broken.example"), Anchor::Key(ed25519(2)));
    anchors.add(&name("both.test"), Anchor::Key(ed25519(3)));
    anchors.add_negative(negative("broken.example", 60, now));
    anchors.add_negative(negative("lab.corp.example", 60, now));
    anchors.add_negative(negative("both.test", 60, now));
    let rows = [
        (".", now, "+."),
        ("example", now, "+."),
        ("example.com", now, "+."),
        ("corp.example", now, "+corp.example."),
        ("A.B.CORP.EXAMPLE", now, "+corp.example."),
        ("notcorp.example", now, "+."),
        ("lab.corp.example", now, "-lab.corp.example."),
        ("x.lab.corp.example", now, "-lab.corp.example."),
        ("x.lab.corp.example", now + 60, "+corp.example."),
        ("broken.example", now, "-broken.example."),
        ("x.broken.example", now + 59, "-broken.example."),
        ("x.broken.example", now + 60, "+."),
        ("deep.broken.example", now, "+deep.broken.example."),
        ("*.broken.example", now, "-broken.example."),
        ("*.example", now, "+."),
        ("both.test", now, "-both.test."),
        ("x.both.test", now, "-both.test."),
        ("both.test", now + 60, "+both.test."),
    ];
    for (asked, at, expected) in rows {
        // With the final dot and without.
        for asked in [name(asked), Name::from_ascii(asked).unwrap()] {
            let found = match anchors.deepest(&asked, at) {
                Some(Match::Positive { owner, .. }) => format!("+{owner}"),
                Some(Match::Negative(anchor)) => format!("-{}", anchor.name()),
                None => "none".to_owned(),
            };
            assert_eq!(found, expected, "{asked} at {at}");
        }
    }
}

#[test]
fn outside_of_a_private_island_nothing_is_known() {
    let mut anchors = TrustAnchors::empty();
    anchors.add(&name("corp.test"), Anchor::Key(ed25519(1)));
    anchors.add(&name("corp.test."), Anchor::Key(ed25519(1)));
    assert_eq!(anchors.deepest(&name("test"), 0), None);
    assert_eq!(anchors.deepest(&Name::root(), 0), None);
    let island = anchors.deepest(&name("www.corp.test"), 0);
    let key = Anchor::Key(ed25519(1));
    assert_eq!(
        island,
        Some(Match::Positive {
            owner: &name("corp.test"),
            anchors: &[key]
        })
    );

    anchors.set_point(&name("Corp.Test"), Vec::new());
    assert_eq!(anchors.deepest(&name("www.corp.test"), 0), None);
    assert_eq!(anchors, TrustAnchors::empty());
}

#[test]
fn negative_anchors_are_listed_removed_and_expire() {
    let mut anchors = TrustAnchors::built_in();
    anchors.add_negative(negative("a.test", 60, 100));
    anchors.add_negative(negative("b.test", 90, 100));
    anchors.add_negative(negative("A.test", 70, 100));
    assert_eq!(anchors.next_expiry(), Some(170));
    assert_eq!(anchors.drop_expired(169), []);
    assert_eq!(anchors.drop_expired(170), [negative("a.test", 70, 100)]);
    assert_eq!(anchors.remove_negative(&name("x.b.test")), None);
    assert_eq!(
        anchors.remove_negative(&name("B.TEST")),
        Some(negative("b.test", 90, 100))
    );
    assert_eq!(anchors.next_expiry(), None);
    assert_eq!(anchors, TrustAnchors::built_in());
}

#[test]
fn anchors_of_unknown_algorithms_and_digests_match_nothing() {
    let root = Name::root();
    let key = root_key(KSK_2017);
    let ds = DS::new(
        20326,
        Algorithm::RSASHA256,
        DigestType::Unknown(99),
        vec![0; 32],
    );
    assert!(!Anchor::Ds(ds).matches(&root, &key));
    let ds = DS::new(
        20326,
        Algorithm::Unknown(200),
        DigestType::SHA256,
        ROOT_KEYS[0].1.to_vec(),
    );
    assert!(!Anchor::Ds(ds).matches(&root, &key));
}
