//! A small world, whole: every combination of two links, two profiles and their switches, against a naive reference.

use super::*;
use crate::leak;

const NAMES: [&str; 9] = [
    ".",
    "test",
    "corp.test",
    "git.corp.test",
    "www.corp.test",
    "a.www.corp.test",
    "lab.corp.test",
    "x.lab.corp.test",
    "example.com",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Up,
    Down,
    Absent,
}

/// What the order says, told as a person would check it: who wants the name, strongest first.
fn reference(profiles: &[(Profile, &str, Life)], name: &DomainName) -> String {
    let longest = |suffixes: &[DomainName]| -> Option<usize> {
        suffixes
            .iter()
            .filter(|suffix| name.is_in(suffix))
            .map(DomainName::label_count)
            .max()
    };
    let mut wanting: Vec<(usize, u8, i32, u8, u32, String, String)> = Vec::new();
    for (at, (profile, link, life)) in profiles.iter().enumerate() {
        let dns = &profile.dns;
        let exclusive = dns.default == DefaultUse::Exclusive;
        let default = dns.default == DefaultUse::Yes
            || (dns.default == DefaultUse::Auto && dns.claims.is_empty());
        let claim = longest(&dns.claims);
        let excluded =
            |length: usize| longest(&dns.exclude).is_some_and(|exclusion| exclusion >= length);
        let id = if *life == Life::Absent {
            "@-".to_owned()
        } else {
            format!("@{link}")
        };
        let scope = format!("{}{id}", profile.id);
        let (ready, state, place) = match life {
            Life::Up => (true, "", 2),
            Life::Down => (false, " link-down", 1),
            Life::Absent => (false, " link-absent", 0),
        };
        let goes = if ready {
            scope.clone()
        } else {
            format!("!{scope}{state}")
        };
        let metric = if *life == Life::Up && *link == "l0" {
            0
        } else {
            u32::try_from(at).unwrap() + 1
        };
        let release = dns.when_down == WhenDown::Release;
        if let Some(length) = claim.filter(|length| !excluded(*length) && (ready || !release)) {
            wanting.push((
                length,
                9,
                dns.priority,
                place,
                u32::MAX - metric,
                String::new(),
                goes.clone(),
            ));
        }
        let held = ready
            || dns.when_down == WhenDown::Refuse
            || (dns.when_down == WhenDown::Auto && *life == Life::Down);
        if exclusive && !excluded(0) && held {
            wanting.push((
                0,
                8,
                dns.priority,
                place,
                u32::MAX - metric,
                String::new(),
                goes.clone(),
            ));
        }
        if default && !exclusive && !excluded(0) && ready {
            wanting.push((
                0,
                7,
                dns.priority,
                place,
                u32::MAX - metric,
                String::new(),
                goes,
            ));
        }
    }
    wanting
        .into_iter()
        .max()
        .map_or_else(|| "!nobody".to_owned(), |winner| winner.6)
}

#[test]
fn every_small_world_agrees_with_the_reference_and_keeps_the_promises() {
    let lives = [Life::Up, Life::Down, Life::Absent];
    let claims: [&[&str]; 4] = [
        &[],
        &["corp.test"],
        &["lab.corp.test"],
        &["corp.test", "lab.corp.test"],
    ];
    let excludes: [&[&str]; 2] = [&[], &["www.corp.test"]];
    let defaults = [DefaultUse::Auto, DefaultUse::No, DefaultUse::Exclusive];
    let downs = [WhenDown::Auto, WhenDown::Refuse, WhenDown::Release];
    let mut worlds = 0;
    for (first, second) in lives
        .iter()
        .flat_map(|one| lives.iter().map(move |other| (*one, *other)))
    {
        for claim in claims
            .iter()
            .flat_map(|one| claims.iter().map(move |other| (*one, *other)))
        {
            for pick in 0..excludes.len() * defaults.len() * downs.len() {
                let exclude = excludes[pick % excludes.len()];
                let default = defaults[pick / excludes.len() % defaults.len()];
                let when_down = downs[pick / excludes.len() / defaults.len()];
                let one = DnsSettings {
                    exclude: names(exclude),
                    default,
                    when_down,
                    ..dns("10.8.0.1", claim.0)
                };
                let two = dns("192.0.2.53", claim.1);
                let profiles = [
                    (profile("a", "l0", one), "l0", first),
                    (profile("b", "l1", two), "l1", second),
                ];
                let mut facts = Facts::default();
                for (at, (_, name, life)) in profiles.iter().enumerate() {
                    let index = u32::try_from(at).unwrap() + 2;
                    let metric = (at == 0 && *life == Life::Up).then_some(0);
                    if *life != Life::Absent {
                        link(&mut facts, index, name, *life == Life::Up, metric);
                    }
                }
                let config = config(profiles.iter().map(|(profile, ..)| profile.clone()));
                let plan = plan(&config, &facts);
                for text in NAMES {
                    assert_eq!(
                        goes(&plan, text),
                        reference(&profiles, &name(text)),
                        "{text} in {profiles:?}"
                    );
                    assert_eq!(
                        leak::breach(&config, &plan, &name(text)),
                        None,
                        "{text} in {profiles:?}"
                    );
                }
                worlds += 1;
            }
        }
    }
    assert_eq!(worlds, 9 * 16 * 18);
}
