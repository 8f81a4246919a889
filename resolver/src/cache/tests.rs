//! Does the cache keep, age, evict and forget what it should, scope by scope?

use super::*;
use crate::wire::class;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Instant {
    Instant::ZERO + SECOND * u32::try_from(seconds).unwrap()
}

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

fn key(slot: Slot, name: &DomainName) -> Key<'_> {
    Key {
        slot,
        name: name.as_wire(),
        record_type: rtype::A,
        class: class::IN,
        dnssec_ok: false,
        checking_disabled: false,
    }
}

fn template(name: &DomainName, size: usize) -> Arc<Template> {
    let question = Question {
        name: name.clone(),
        record_type: rtype::A,
        class: class::IN,
    };
    let record = RawRecord::new(name, 65280, 300, vec![0; size]);
    Arc::new(Template::build(&question, 0, &[record], &[], &[]))
}

fn put(cache: &Cache, slot: Slot, text: &str, now: u64) {
    let name = name(text);
    cache.insert(
        &key(slot, &name),
        template(&name, 100),
        SECOND * 60,
        at(now),
    );
}

fn has(cache: &Cache, slot: Slot, text: &str, now: u64) -> bool {
    cache.get(&key(slot, &name(text)), at(now)).is_some()
}

#[test]
fn an_answer_is_known_until_it_expires() {
    let cache = Cache::new(1 << 20, [1; 32]);
    let slot = cache.open();
    put(&cache, slot, "a.test", 10);
    let age = |cache: &Cache, now| {
        cache
            .get(&key(slot, &name("a.test")), at(now))
            .map(|hit| hit.age)
    };
    assert_eq!(age(&cache, 10), Some(0));
    assert_eq!(age(&cache, 69), Some(59));
    assert_eq!(age(&cache, 70), None);
    assert_eq!((cache.len(), cache.bytes()), (0, 0));
    let usage = cache.usage(slot);
    assert_eq!((usage.hits, usage.misses, usage.entries), (2, 1, 0));
}

#[test]
fn every_part_of_the_key_counts() {
    let cache = Cache::new(1 << 20, [1; 32]);
    let slot = cache.open();
    let other = cache.open();
    put(&cache, slot, "a.test", 0);
    let name = name("a.test");
    let base = key(slot, &name);
    let rows = [
        Key {
            slot: other,
            ..base
        },
        Key {
            record_type: 28,
            ..base
        },
        Key { class: 3, ..base },
        Key {
            dnssec_ok: true,
            ..base
        },
        Key {
            checking_disabled: true,
            ..base
        },
        Key {
            name: b"\x01b\x04test\0",
            ..base
        },
    ];
    for row in rows {
        assert!(cache.get(&row, at(1)).is_none(), "{row:?}");
    }
    assert!(cache.get(&base, at(1)).is_some());
}

#[test]
fn a_closed_slot_never_answers_again() {
    let cache = Cache::new(1 << 20, [1; 32]);
    let old = cache.open();
    put(&cache, old, "a.test", 0);
    assert_eq!(cache.close(old), 1);
    put(&cache, old, "a.test", 0);
    assert!(cache.is_empty());
    let new = cache.open();
    put(&cache, new, "a.test", 0);
    assert!(!has(&cache, old, "a.test", 1));
    assert!(has(&cache, new, "a.test", 1));
    assert_eq!(cache.usage(old), Usage::default());
    assert_eq!(cache.close(old), 0);
    assert!(has(&cache, new, "a.test", 1));
}

#[test]
fn flushing_takes_what_it_names() {
    let cache = Cache::new(1 << 20, [1; 32]);
    let (one, two) = (cache.open(), cache.open());
    let fill = |cache: &Cache| {
        for slot in [one, two] {
            for text in ["corp.test", "a.corp.test", "xcorp.test"] {
                put(cache, slot, text, 0);
            }
        }
    };
    fill(&cache);
    assert_eq!(cache.flush(Forget::Suffix(&name("corp.test"), None)), 4);
    assert!(has(&cache, one, "xcorp.test", 1));
    assert_eq!(cache.usage(one).entries, 1);
    fill(&cache);
    let corp = name("corp.test");
    assert_eq!(cache.flush(Forget::Suffix(&corp, Some(one))), 2);
    assert!(has(&cache, two, "a.corp.test", 1));
    assert_eq!(cache.flush(Forget::Name(&corp, Some(one))), 0);
    assert_eq!(cache.flush(Forget::Name(&corp, None)), 1);
    assert!(has(&cache, two, "a.corp.test", 1));
    assert_eq!(
        cache.flush(Forget::Suffix(&DomainName::root(), Some(two))),
        2
    );
    fill(&cache);
    assert_eq!(cache.flush(Forget::Slot(one)), 3);
    assert_eq!(cache.usage(one).bytes, 0);
    assert_eq!(cache.usage(two).bytes, cache.bytes());
    assert_eq!(cache.flush(Forget::All), 3);
    assert_eq!(
        (cache.len(), cache.bytes(), cache.usage(two).entries),
        (0, 0, 0)
    );
}

#[test]
fn flushing_a_name_takes_what_leads_to_it_and_all_its_kinds() {
    let cache = Cache::new(1 << 20, [1; 32]);
    let slot = cache.open();
    let rows: [(&str, &[RawRecord]); 5] = [
        ("host.corp.test", &[]),
        (
            "www.corp.test",
            &[
                RawRecord::alias(&name("www.corp.test"), &name("WWW.cdn.test"), 300),
                RawRecord::alias(&name("www.cdn.test"), &name("host.corp.test"), 300),
                RawRecord::address(&name("host.corp.test"), [10, 0, 0, 1].into(), 300),
            ],
        ),
        // Nothing at the end of the alias: its target is told of in its rdata alone.
        (
            "old.corp.test",
            &[RawRecord::alias(
                &name("old.corp.test"),
                &name("host.corp.test"),
                300,
            )],
        ),
        // A name in other rdata does not lead there.
        (
            "ns.corp.test",
            &[RawRecord::new(
                &name("ns.corp.test"),
                rtype::NS,
                300,
                name("host.corp.test").as_wire().to_vec(),
            )],
        ),
        ("below.host.corp.test", &[]),
    ];
    let fill = || {
        for (text, records) in rows {
            let name = name(text);
            for record_type in [rtype::A, rtype::AAAA] {
                for dnssec_ok in [false, true] {
                    let question = Question {
                        name: name.clone(),
                        record_type,
                        class: class::IN,
                    };
                    let key = Key {
                        record_type,
                        dnssec_ok,
                        ..key(slot, &name)
                    };
                    let template = Template::build(&question, 0, records, &[], &[]);
                    cache.insert(&key, Arc::new(template), SECOND * 60, at(0));
                }
            }
        }
    };
    for (what, dropped, left) in [
        (
            "host.corp.test",
            12,
            &["ns.corp.test", "below.host.corp.test"][..],
        ),
        (
            "www.cdn.test",
            4,
            &[
                "host.corp.test",
                "old.corp.test",
                "ns.corp.test",
                "below.host.corp.test",
            ],
        ),
        ("corp.test", 0, &["host.corp.test", "www.corp.test"]),
    ] {
        fill();
        assert_eq!(
            cache.flush(Forget::Name(&name(what), None)),
            dropped,
            "{what}"
        );
        for text in left {
            assert!(has(&cache, slot, text, 1), "{what} {text}");
        }
    }
    fill();
    assert_eq!(cache.flush(Forget::Suffix(&name("cdn.test"), None)), 4);
}

#[test]
fn a_scan_does_not_flush_what_is_asked_again() {
    let cache = Cache::new(256 << 10, [1; 32]);
    let slot = cache.open();
    let popular: Vec<String> = (0..100).map(|at| format!("p{at}.test")).collect();
    for text in &popular {
        put(&cache, slot, text, 0);
        assert!(has(&cache, slot, text, 0));
    }
    for at in 0..50_000 {
        put(&cache, slot, &format!("scan{at}.test"), 1);
        assert!(cache.bytes() <= 256 << 10);
    }
    assert!(cache.len() > 200, "the scan takes the free room");
    for text in &popular {
        assert!(has(&cache, slot, text, 2), "{text}");
    }
    assert_eq!(cache.usage(slot).bytes, cache.bytes());
    assert_eq!(cache.usage(slot).entries, cache.len());
}

#[test]
fn entries_that_all_are_asked_again_still_fit() {
    let cache = Cache::new(64 << 10, [1; 32]);
    let slot = cache.open();
    for at in 0..2_000 {
        let text = format!("n{at}.test");
        put(&cache, slot, &text, 0);
        assert!(has(&cache, slot, &text, 0), "{text}");
        assert!(cache.bytes() <= 64 << 10);
    }
    assert!(has(&cache, slot, "n1999.test", 1));
    assert!(!has(&cache, slot, "n0.test", 1));
}

#[test]
fn an_answer_too_big_is_not_stored_and_takes_the_old_one_away() {
    let cache = Cache::new(16 << 10, [1; 32]);
    let slot = cache.open();
    put(&cache, slot, "a.test", 0);
    let name = name("a.test");
    cache.insert(&key(slot, &name), template(&name, 4096), SECOND, at(0));
    assert!(cache.is_empty());
    cache.insert(
        &key(slot, &name),
        template(&name, 10),
        Duration::ZERO,
        at(0),
    );
    assert!(cache.is_empty());
}

#[test]
fn an_answer_takes_the_place_of_an_older_one() {
    let cache = Cache::new(1 << 20, [1; 32]);
    let slot = cache.open();
    put(&cache, slot, "a.test", 0);
    put(&cache, slot, "a.test", 50);
    assert_eq!((cache.len(), cache.usage(slot).entries), (1, 1));
    assert!(has(&cache, slot, "a.test", 100));
}

/// A question may have been answered by what was kept before: what stands in its place is another's.
#[test]
fn a_pass_goes_to_the_very_answer_that_earned_it() {
    let cache = Cache::new(1 << 20, [1; 32]);
    let slot = cache.open();
    let name = name("a.test");
    let key = key(slot, &name);
    let pass = Pass {
        epoch: 1,
        stub: Stub::Main,
    };
    let (older, newer) = (template(&name, 100), template(&name, 100));
    let passes = || cache.pass(&key, pass, at(20), |_, _| {});
    cache.insert(&key, Arc::clone(&older), SECOND * 60, at(10));
    cache.insert(&key, Arc::clone(&newer), SECOND * 60, at(10));
    cache.grant(&key, &older, pass);
    assert!(!passes());
    cache.grant(&key, &newer, pass);
    assert!(passes());
}

#[test]
fn lifetimes_follow_the_records() {
    let name = name("a.test");
    let record =
        |record_type, ttl, rdata: &[u8]| RawRecord::new(&name, record_type, ttl, rdata.to_vec());
    let soa = |ttl, minimum: u32| {
        let numbers = [&[0; 18][..], &minimum.to_be_bytes()].concat();
        record(rtype::SOA, ttl, &numbers)
    };
    let a = |ttl| record(rtype::A, ttl, &[10, 0, 0, 1]);
    let cname = |ttl| record(rtype::CNAME, ttl, &[0]);
    type Row = (
        &'static str,
        u16,
        Vec<RawRecord>,
        Vec<RawRecord>,
        Option<u64>,
    );
    let rows: Vec<Row> = vec![
        (
            "the smallest TTL",
            0,
            vec![cname(70), a(50), a(60)],
            vec![],
            Some(50),
        ),
        ("a day at most", 0, vec![a(1_000_000)], vec![], Some(86_400)),
        ("zero", 0, vec![a(0)], vec![], None),
        (
            "NXDOMAIN by SOA TTL",
            3,
            vec![],
            vec![soa(20, 30)],
            Some(20),
        ),
        (
            "NXDOMAIN by MINIMUM",
            3,
            vec![],
            vec![soa(30, 20)],
            Some(20),
        ),
        (
            "three hours at most",
            3,
            vec![],
            vec![soa(86_400, 86_400)],
            Some(10_800),
        ),
        ("NODATA", 0, vec![], vec![soa(20, 30)], Some(20)),
        (
            "NODATA behind an alias",
            0,
            vec![cname(10)],
            vec![soa(20, 30)],
            Some(10),
        ),
        ("an alias alone", 0, vec![cname(10)], vec![], None),
        ("no SOA", 3, vec![], vec![], None),
        ("MINIMUM zero", 3, vec![], vec![soa(20, 0)], None),
        ("SERVFAIL", 2, vec![], vec![soa(60, 60)], None),
        ("REFUSED", 5, vec![a(60)], vec![soa(60, 60)], None),
    ];
    let question = Question {
        name: name.clone(),
        record_type: rtype::A,
        class: class::IN,
    };
    for (what, code, answers, authority, wanted) in rows {
        let got = lifetime(&question, code, &answers, &authority);
        assert_eq!(got, wanted.map(Duration::from_secs), "{what}");
    }
}
