//! Does the world tell the resolver, the status and the files what trust comes to?

use std::time::Duration;

use linnet::api::{AddNegativeAnchorParameters, RemoveNegativeAnchorParameters};

use super::*;
use crate::trust::{LOOK_LATER, LOOK_SOON};
use crate::world::Kept;
use dnssec::clock::{Evidence, GRACE, Reading};
use linnet::anchor_files::AnchorText;

const WALL: u64 = BUILT_AT + 1_000_000;

fn reading(wall: u64, seconds: u64, is_synchronised: bool) -> (Input, Instant) {
    let reading = Reading {
        wall,
        uptime: seconds,
        is_synchronised,
    };
    let at = NOW + Duration::from_secs(seconds);
    (Input::Clock(reading), at)
}

fn feed(world: &mut World, (input, now): (Input, Instant)) -> Vec<Effect> {
    world.on(input, now)
}

fn kept(effects: &[Effect], what: Kept) -> Option<&str> {
    effects.iter().find_map(|effect| {
        if let Effect::Keep(kept, text) = effect
            && *kept == what
        {
            Some(text.as_str())
        } else {
            None
        }
    })
}

fn add(name: &str, lifetime_seconds: Option<u64>) -> Method {
    Method::AddNegativeAnchor(AddNegativeAnchorParameters {
        name: name.to_owned(),
        lifetime_seconds,
        reason: Some("its signatures expired".to_owned()),
    })
}

fn remove(name: &str) -> Method {
    Method::RemoveNegativeAnchor(RemoveNegativeAnchorParameters {
        name: name.to_owned(),
    })
}

#[test]
fn a_clock_that_becomes_synchronised_is_told_and_saved() {
    let (mut world, _) = office("");
    // (wall, seconds since boot, synchronised) → (dates count, words of the status, saved, next look in)
    let saved = format!("{WALL}\n");
    let rows = [
        (
            (3, 3, false),
            false,
            "before the time of the build",
            None,
            LOOK_SOON,
        ),
        (
            (WALL, 4, true),
            true,
            "synchronised",
            Some(saved.as_str()),
            LOOK_LATER,
        ),
        (
            (WALL + 600, 604, true),
            true,
            "synchronised",
            None,
            LOOK_LATER,
        ),
        (
            (WALL + 900, 904, false),
            true,
            "has not jumped",
            None,
            LOOK_LATER,
        ),
        (
            (WALL + 5000, 905, false),
            false,
            "not synchronised yet",
            None,
            LOOK_SOON,
        ),
    ];
    for ((wall, seconds, synchronised), dates_count, because, saved, pause) in rows {
        let (input, now) = reading(wall, seconds, synchronised);
        let effects = feed(&mut world, (input, now));
        assert_eq!(kept(&effects, Kept::Time), saved, "{wall}");
        let clock = &status(&mut world)["clock"];
        assert_eq!(clock["dates_count"], dates_count, "{wall}");
        let told = clock["because"].as_str().unwrap();
        assert!(told.contains(because), "{wall}: {told}");
        assert_eq!(world.look_at(), now + pause, "{wall}");
    }
}

#[test]
fn a_negative_anchor_is_listed_kept_and_ends() {
    let (mut world, _) = office("");
    let _saved = feed(&mut world, reading(WALL, 0, true));
    let (effects, reply) = call(&mut world, 1, add("Broken.Test", Some(60)));
    let reply = reply.unwrap();
    assert_eq!(reply.error, None);
    assert_eq!(reply.parameters["anchor"]["expires_at"], WALL + 60);
    let text = kept(&effects, Kept::NegativeAnchors).expect("it is kept before its caller hears");
    assert!(text.starts_with("broken.test. ") && text.ends_with("its signatures expired\n"));
    let listed = &status(&mut world)["negative_anchors"];
    assert_eq!(
        *listed,
        serde_json::json!([{
            "name": "broken.test",
            "expires_at": WALL + 60,
            "expires": crate::date::rfc3339(WALL + 60),
            "reason": "its signatures expired",
        }])
    );
    assert_eq!(world.look_at(), NOW + Duration::from_secs(60));
    let effects = feed(&mut world, reading(WALL + 60, 60, true));
    assert_eq!(kept(&effects, Kept::NegativeAnchors), Some(""));
    assert_eq!(
        status(&mut world)["negative_anchors"],
        serde_json::json!([])
    );
}

#[test]
fn a_negative_anchor_is_removed_by_its_name_alone() {
    let (mut world, _) = office("");
    let _saved = feed(&mut world, reading(WALL, 0, true));
    let _added = call(&mut world, 1, add("broken.test", None));
    let none = "org.linnet.Manager.NoSuchNegativeAnchor";
    let rows = [
        ("www.broken.test", Some(none)),
        ("BROKEN.test.", None),
        ("broken.test", Some(none)),
        ("a..b", Some("org.varlink.service.InvalidParameter")),
    ];
    for (name, error) in rows {
        let (_, reply) = call(&mut world, 1, remove(name));
        assert_eq!(reply.unwrap().error.as_deref(), error, "{name}");
    }
}

#[test]
fn a_negative_anchor_that_cannot_be_is_refused_in_words() {
    let (mut world, _) = office("");
    let rows = [
        (add(".", None), "would switch off all validation"),
        (add("a.test", Some(0)), "at least a second"),
        (add("a.test", Some(u64::MAX)), "at most"),
    ];
    for (method, words) in rows {
        let (effects, reply) = call(&mut world, 1, method);
        assert!(effects.is_empty());
        let reply = reply.unwrap();
        let error = "org.linnet.Manager.InvalidNegativeAnchor";
        assert_eq!(reply.error.as_deref(), Some(error));
        let message = reply.parameters["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn bad_anchor_files_are_told_and_the_built_in_anchors_stay() {
    let (mut world, _) = office("");
    let built_in = serde_json::json!([
        { "owner": ".", "key_tag": 20326, "algorithm": 8, "state": "is configured" },
        { "owner": ".", "key_tag": 38696, "algorithm": 8, "state": "is configured" },
    ]);
    assert_eq!(status(&mut world)["trust_anchors"], built_in);
    let text = AnchorText {
        path: "/e/root.key".into(),
        text: Ok(". IN DS 1 8 2 beef\n".to_owned()),
    };
    let _reloading = call(&mut world, 1, Method::Reload);
    let texts = Ok(files("", OFFICE));
    let _read = world.on(Input::Errand(Outcome::Config(texts)), NOW);
    let effects = world.on(Input::Anchors(Some(vec![text])), NOW);
    let [
        Effect::Reply(_, reply),
        Effect::Announce(Announcement::Ready),
    ] = &effects[..]
    else {
        panic!("{effects:?}");
    };
    assert_eq!(reply.parameters["applied"], true);
    assert_eq!(reply.parameters["diagnostics"][0]["file"], "/e/root.key");
    let told = status(&mut world);
    assert_eq!(told["trust_anchors"], built_in);
    assert_eq!(told["diagnostics"][0]["file"], "/e/root.key");
    assert_eq!(told["diagnostics"][0]["line"], 1);
    let _effects = world.on(Input::Anchors(None), NOW);
    assert_eq!(status(&mut world)["diagnostics"], serde_json::json!([]));
}

#[test]
fn a_clock_that_nobody_synchronises_is_believed_when_signatures_agree() {
    let (mut world, _) = office("");
    let believed = |world: &mut World| status(world)["clock"]["dates_count"] == true;
    let evidence = |from: u64, to: u64| {
        Input::Evidence(Evidence {
            inception: from,
            expiration: to,
        })
    };
    let _early = feed(&mut world, reading(WALL, 0, false));
    let _agrees = world.on(evidence(WALL - 9, WALL + 9000), NOW);
    assert!(!believed(&mut world), "it may still become synchronised");
    let late = NOW + Duration::from_secs(GRACE);
    let _late = feed(&mut world, reading(WALL + GRACE, GRACE, false));
    assert!(believed(&mut world));
    let _contradicts = world.on(evidence(0, 9), late);
    assert!(believed(&mut world), "a replayed signature changes nothing");

    let (mut world, _) = office("");
    let _late = feed(&mut world, reading(WALL + GRACE, GRACE, false));
    assert!(!believed(&mut world));
    let effects = world.on(evidence(WALL - 9, WALL + 9000), late);
    assert!(believed(&mut world));
    let saved = format!("{}\n", WALL + GRACE);
    assert_eq!(kept(&effects, Kept::Time), Some(saved.as_str()));
    assert_eq!(world.look_at(), late + LOOK_LATER);
}
