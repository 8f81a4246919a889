//! What can a hostile zone make us compute? Counted in operations, not in time (KeyTrap CVE-2023-50387, NSEC3
//! CVE-2023-50868).

use super::lab::{A, Delegated, Denial, NOW, World, Zone, ask, n, record};
use super::tamper::Random;
use super::{CLOCK, judge, judge_at, questions, validator, world};
use crate::record::rtype;
use crate::validator::{Reply, WallClock};
use crate::verdict::{BogusReason, IndeterminateReason, Verdict};

/// Returns keys that have the tag of a zone's own.
fn colliding_keys(zone: &Zone, count: u16) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    for number in 0..count {
        let mut key = vec![1, 1, 3, 15];
        key.extend([0; 32]);
        key[4..6].copy_from_slice(&number.to_be_bytes());
        let have = crate::record::Key::read(&key).unwrap().tag;
        // The sum is taken by words, and what overflows is added again.
        let missing = zone.tag().wrapping_sub(have);
        for fix in [missing, missing.wrapping_sub(1), missing.wrapping_add(1)] {
            key[6..8].copy_from_slice(&fix.to_be_bytes());
            if crate::record::Key::read(&key).unwrap().tag == zone.tag() {
                keys.push(key.clone());
                break;
            }
        }
    }
    keys
}

fn trap() -> World {
    let mut world = World::default();
    world.add(Zone::new(".", Denial::Nsec, Delegated::Signed, ""));
    let mut zone = Zone::new("trap", Denial::Nsec, Delegated::Signed, "www A 1.2.3.4");
    for key in colliding_keys(&zone, 400) {
        let apex = zone.apex.clone();
        zone.add(&apex, rtype::DNSKEY, key);
    }
    world.add(zone);
    world
}

#[test]
fn keys_of_one_tag_and_signatures_of_one_set_are_tried_a_few_times_only() {
    let world = trap();
    let zone = &world.zones[&n("trap")];
    let key_count = zone.set(&n("trap"), rtype::DNSKEY).unwrap().len();
    assert!(key_count > 300, "{key_count}");
    let question = ask("www.trap", A);
    let mut reply = world.reply(&question);
    let sig = reply.answers[1].clone();
    for number in 0..200_u8 {
        let mut bad = sig.clone();
        let last = bad.rdata.len() - 1;
        bad.rdata[last] ^= number | 1;
        bad.rdata[last - 1] = number;
        reply.answers.insert(1, bad);
    }
    let outcome = judge(&mut validator(&world), &question, &reply, |wanted| {
        Ok(world.reply(wanted))
    });
    assert!(!outcome.verdict.is_authentic(), "{outcome:?}");
    assert!(outcome.spent.signatures <= 40, "{:?}", outcome.spent);
    assert!(outcome.spent.failures <= 16, "{:?}", outcome.spent);
}

#[test]
fn digests_of_one_tag_are_compared_so_often_and_no_more() {
    let mut world = trap();
    let (apex, mut ds) = (n("trap"), world.zones[&n("trap")].ds(15));
    for number in 0..100_u8 {
        let last = ds.len() - 1;
        ds[last] = number;
        let root = world.zones.get_mut(&n(".")).unwrap();
        root.add(&apex, rtype::DS, ds.clone());
    }
    let question = ask("www.trap", A);
    let reply = world.reply(&question);
    let outcome = judge(&mut validator(&world), &question, &reply, |wanted| {
        Ok(world.reply(wanted))
    });
    assert!(outcome.spent.digests <= 64, "{:?}", outcome.spent);
    assert!(
        matches!(
            outcome.verdict,
            Verdict::Secure | Verdict::Indeterminate(IndeterminateReason::BudgetSpent)
        ),
        "{outcome:?}"
    );
}

#[test]
fn hashing_for_nsec3_is_bounded_whatever_is_asked() {
    let mut world = World::default();
    world.add(Zone::new(".", Denial::Nsec, Delegated::Signed, ""));
    let denial = Denial::Nsec3 {
        salt: vec![1; 200],
        iterations: 150,
        opt_out: false,
    };
    world.add(Zone::new(
        "deep",
        denial,
        Delegated::Signed,
        "www A 1.2.3.4",
    ));
    let question = ask(&format!("{}deep", "x.".repeat(120)), A);
    let mut reply = world.reply(&question);
    // All but the record of the apex, so that every name above has to be hashed.
    reply
        .authority
        .retain(|found| found.record_type != rtype::NSEC3 || found.rdata.ends_with(&[0x02]));
    let outcome = judge(&mut validator(&world), &question, &reply, |wanted| {
        Ok(world.reply(wanted))
    });
    assert!(!outcome.verdict.is_authentic(), "{outcome:?}");
    assert!(outcome.spent.hash_rounds <= 8192, "{:?}", outcome.spent);
}

/// Every label of the name is a way to others, so that a DS is asked for at each.
#[test]
fn fetches_for_one_reply_are_counted() {
    let mut world = World::default();
    world.add(Zone::new(".", Denial::Nsec, Delegated::Signed, ""));
    let deep = format!("{}deep", "x.".repeat(100));
    let record_there = format!("{} TXT there", "x.".repeat(100).trim_end_matches('.'));
    world.add(Zone::new(
        "deep",
        Denial::Nsec,
        Delegated::Signed,
        &record_there,
    ));
    let question = ask(&deep, A);
    let reply = Reply {
        answers: vec![record(&question.name, A, vec![6, 6, 6, 6])],
        ..Reply::default()
    };
    let mut count = 0;
    let outcome = judge(&mut validator(&world), &question, &reply, |wanted| {
        count += 1;
        Ok(world.reply(wanted))
    });
    let spent = Verdict::Indeterminate(IndeterminateReason::BudgetSpent);
    assert_eq!(outcome.verdict, spent);
    assert_eq!((count, outcome.spent.fetches), (64, 64));
}

#[test]
fn a_reply_of_countless_sets_is_not_judged() {
    let world = world();
    let question = ask("www.nsec.test", A);
    let mut reply = world.reply(&question);
    for number in 0..300 {
        reply
            .authority
            .push(record(&n(&format!("n{number}.test")), rtype::NSEC, vec![0]));
    }
    let outcome = judge(&mut validator(&world), &question, &reply, |wanted| {
        Ok(world.reply(wanted))
    });
    let spent = Verdict::Indeterminate(IndeterminateReason::BudgetSpent);
    assert_eq!(outcome.verdict, spent);
}

#[test]
fn ordinary_zones_cost_little_and_nothing_the_second_time() {
    let world = world();
    let mut dearest = crate::budget::Budget {
        signatures: 0,
        failures: 0,
        hash_rounds: 0,
        digests: 0,
        fetches: 0,
        bytes: 0,
    };
    for question in questions(&world) {
        let reply = world.reply(&question);
        let mut validator = validator(&world);
        let fetch = |wanted: &_| Ok(world.reply(wanted));
        let spent = judge(&mut validator, &question, &reply, fetch).spent;
        assert_eq!(spent.failures, 0, "{question:?}");
        dearest.signatures = dearest.signatures.max(spent.signatures);
        dearest.fetches = dearest.fetches.max(spent.fetches);
        dearest.digests = dearest.digests.max(spent.digests);
        let again = judge(&mut validator, &question, &reply, fetch).spent;
        assert_eq!((again.signatures, again.digests), (0, 0), "{question:?}");
    }
    assert!(
        dearest.signatures <= 24 && dearest.fetches <= 16 && dearest.digests <= 8,
        "{dearest:?}"
    );
}

#[test]
fn to_be_in_debt_changes_nothing_for_an_ordinary_zone() {
    let world = world();
    let dear = crate::budget::Budget::default();
    for question in questions(&world) {
        let reply = world.reply(&question);
        let fetch = |wanted: &_| Ok(world.reply(wanted));
        let free = judge(&mut validator(&world), &question, &reply, fetch);
        let mut owing = validator(&world);
        for _ in 0..100 {
            owing
                .debts
                .charge(&question.name, &[], &dear, CLOCK.seconds);
        }
        let judged = judge(&mut owing, &question, &reply, fetch);
        assert!(judged.debtor.is_some(), "{question:?}");
        assert_eq!(judged.verdict, free.verdict, "{question:?}");
        assert_eq!(judged.answers, free.answers, "{question:?}");
    }
}

#[test]
fn a_warm_chain_costs_one_signature_for_a_new_set() {
    let world = world();
    let mut validator = validator(&world);
    let fetch = |wanted: &_| Ok(world.reply(wanted));
    let first = ask("www.nsec.test", A);
    judge(&mut validator, &first, &world.reply(&first), fetch);
    let second = ask("www.new.nsec.test", A);
    let spent = judge(&mut validator, &second, &world.reply(&second), fetch).spent;
    assert_eq!((spent.signatures, spent.fetches), (1, 0));
}

#[test]
fn keys_are_fetched_with_the_ds_that_proves_them() {
    let world = world();
    let question = ask("www.sub.nsec.test", A);
    let mut validation = validator(&world).begin(question.clone(), &world.reply(&question));
    let mut validator = validator(&world);
    let mut turns = 0;
    loop {
        match validation.step(&mut validator, CLOCK) {
            crate::validator::Step::Done(outcome) => {
                assert_eq!(outcome.verdict, Verdict::Secure);
                break;
            }
            crate::validator::Step::Paused => {}
            crate::validator::Step::Fetch(fetches) => {
                turns += 1;
                for fetch in fetches {
                    let reply = world.reply(&fetch);
                    validation.handle_fetch(&fetch, Ok(&reply));
                }
            }
        }
    }
    // DS and DNSKEY of three zones, and the root's DNSKEY: all at once.
    assert_eq!(turns, 1);
}

#[test]
fn dates_decide_and_only_while_they_count() {
    const DAY: u64 = 86_400;
    let world = world();
    let at = |seconds, dates_count| WallClock {
        seconds,
        dates_count,
    };
    let rows = [
        (at(NOW, true), Verdict::Secure),
        (at(NOW + DAY, true), Verdict::Secure),
        (
            at(NOW + DAY + 1, true),
            Verdict::Bogus(BogusReason::SignatureExpired),
        ),
        (at(NOW - DAY, true), Verdict::Secure),
        (
            at(NOW - DAY - 1, true),
            Verdict::Bogus(BogusReason::SignatureNotYetValid),
        ),
        (at(0, false), Verdict::Secure),
        (at(2 * NOW, false), Verdict::Secure),
    ];
    for name in ["www.nsec.test", "nothing.nsec.test", "nothing.nsec3.test"] {
        for (now, expected) in rows {
            let question = ask(name, A);
            let fetch = |wanted: &_| Ok(world.reply(wanted));
            let mut validator = validator(&world);
            let (outcome, _) = judge_at(
                &mut validator,
                &question,
                &world.reply(&question),
                now,
                fetch,
            );
            assert_eq!(outcome.verdict, expected, "{name} {now:?}");
        }
    }
}

#[test]
fn the_first_signature_of_the_chain_to_end_is_told_whoever_made_it() {
    let there = ask("www.nsec.test", A);
    let denied = ask("nothing.nsec.test", A);
    // Who signs what: the keys of the root, the DS and keys below it, the answer and its denial.
    let rows = [
        (".", rtype::DNSKEY, [true, true]),
        (".", rtype::DS, [true, true]),
        ("test", rtype::DNSKEY, [true, true]),
        ("test", rtype::DS, [true, true]),
        ("nsec.test", rtype::DNSKEY, [true, true]),
        ("nsec.test", A, [true, false]),
        ("nsec.test", rtype::NSEC, [false, true]),
    ];
    for (apex, record_type, ends) in rows {
        let mut world = world();
        let zone = world.zones.get_mut(&n(apex)).unwrap();
        zone.signed_for.insert(record_type, 5000);
        let mut validator = validator(&world);
        for again in [false, true] {
            for (question, ends) in [&there, &denied].into_iter().zip(ends) {
                let fetch = |wanted: &_| Ok(world.reply(wanted));
                let (outcome, _) = judge_at(
                    &mut validator,
                    question,
                    &world.reply(question),
                    WallClock {
                        seconds: NOW,
                        dates_count: true,
                    },
                    fetch,
                );
                let expected = Some(if ends { 5000 } else { 86_400 });
                assert_eq!(
                    (outcome.verdict, outcome.signed_for),
                    (Verdict::Secure, expected),
                    "{apex} {record_type} {} {again}",
                    question.name
                );
            }
        }
    }
}

#[test]
fn nothing_is_remembered_beyond_its_signature() {
    let world = world();
    let mut validator = validator(&world);
    let question = ask("www.nsec.test", A);
    let reply = world.reply(&question);
    let fetch = |wanted: &_| Ok(world.reply(wanted));
    let near_end = WallClock {
        seconds: NOW + 86_400 - 10,
        dates_count: true,
    };
    let (outcome, _) = judge_at(&mut validator, &question, &reply, near_end, fetch);
    assert_eq!((outcome.verdict, outcome.ttl), (Verdict::Secure, 10));
    let after = WallClock {
        seconds: NOW + 86_401,
        dates_count: true,
    };
    let (outcome, _) = judge_at(&mut validator, &question, &reply, after, fetch);
    assert_eq!(
        outcome.verdict,
        Verdict::Bogus(BogusReason::SignatureExpired)
    );
}

#[test]
fn memory_stays_within_its_bounds() {
    let world = world();
    for bound in [0, 1_000, 20_000] {
        let mut validator = validator(&world);
        validator.memory = crate::memory::Memory::new(bound);
        for question in questions(&world) {
            let reply = world.reply(&question);
            judge(&mut validator, &question, &reply, |wanted| {
                Ok(world.reply(wanted))
            });
            assert!(validator.memory_size() <= bound, "{bound}");
        }
    }
}

/// Whatever the bytes, it ends, in a verdict that is not Secure.
#[test]
fn garbage_is_judged_without_a_panic() {
    let world = world();
    let mut random = Random(7);
    let types = [
        A,
        rtype::NS,
        rtype::CNAME,
        rtype::SOA,
        rtype::DNAME,
        rtype::DS,
        rtype::RRSIG,
        rtype::NSEC,
        rtype::DNSKEY,
        rtype::NSEC3,
        35,
        255,
    ];
    let garbage = |random: &mut Random, name: &crate::name::Name| {
        let section = |random: &mut Random| {
            (0..random.below(12))
                .map(|_| {
                    let length = random.below(60);
                    let rdata = (0..length)
                        .map(|_| u8::try_from(random.below(6)).unwrap())
                        .collect();
                    let mut made =
                        record(&name.suffix(random.below(5)), *random.pick(&types), rdata);
                    if random.below(20) == 0 {
                        made.name = vec![9, 9].into();
                    }
                    made
                })
                .collect()
        };
        Reply {
            rcode: u16::try_from(random.below(8)).unwrap(),
            answers: section(random),
            authority: section(random),
        }
    };
    for _ in 0..5_000 {
        let question = ask("www.nsec.test", *random.pick(&types));
        let reply = garbage(&mut random, &question.name);
        let outcome = judge(&mut validator(&world), &question, &reply, |wanted| {
            Ok(match random.below(2) {
                0 => world.reply(wanted),
                _ => garbage(&mut random, &wanted.name),
            })
        });
        assert_ne!(outcome.verdict, Verdict::Secure, "{question:?} {reply:?}");
    }
}
