//! What might somebody try who has read the RFCs? Genuine records in the wrong place, each time for one reason.
//!
//! Nothing here is expected to be Secure, and nothing Insecure that the zones do not leave so.

use std::time::Instant;

use super::lab::{A, Denial, NXDOMAIN, TTL, TXT, World, Zone, ask, bitmap, n, record};
use super::{judge, validator, world};
use crate::name::Name;
use crate::record::{Record, rtype};
use crate::validator::{Outcome, Question, Reply};
use crate::verdict::Verdict;

const ADDRESS: [u8; 4] = [6, 6, 6, 6];

fn judge_honestly(world: &World, question: &Question, reply: &Reply) -> Outcome {
    judge(&mut validator(world), question, reply, |wanted| {
        Ok(world.reply(wanted))
    })
}

fn assert_bogus(world: &World, question: &Question, reply: &Reply) {
    let outcome = judge_honestly(world, question, reply);
    assert!(
        matches!(outcome.verdict, Verdict::Bogus(_)),
        "{question:?} {outcome:#?}"
    );
}

/// Whatever is Secure is so, and whatever is Insecure need not be.
fn assert_not_fooled(world: &World, question: &Question, reply: &Reply) {
    let outcome = judge_honestly(world, question, reply);
    let wrong = super::tamper::wrong(reply, &outcome, &world.truth(question));
    assert_eq!(wrong, None, "{question:?} {outcome:#?}");
}

/// Puts the NSEC that a zone has at `owner` into a section, genuinely signed, whatever it says.
fn nsec(world: &World, zone: &str, owner: &str, next: &str, types: &[u16]) -> Vec<Record> {
    let mut section = Vec::new();
    let types = types.iter().copied().collect();
    let rdata = [n(next).as_wire(), &bitmap(&types)].concat();
    let zone = &world.zones[&n(zone)];
    zone.put(&mut section, &n(owner), &n(owner), rtype::NSEC, &[rdata]);
    section
}

fn denial(rcode: u16, authority: Vec<Record>) -> Reply {
    Reply {
        rcode,
        answers: Vec::new(),
        authority,
    }
}

#[test]
fn a_zone_above_a_cut_denies_nothing_below_it() {
    let world = world();
    for zone in ["nsec.test", "nsec3.test", "optout.test"] {
        // Whatever the parent has to say of the cut, and of a name that sorts right behind it.
        let cut = format!("sub.{zone}");
        for (about, record_type) in [(cut.as_str(), A), (cut.as_str(), rtype::DS)] {
            let proof = world.reply(&ask(about, record_type)).authority;
            let more = world.reply(&ask(&format!("subz.{zone}"), A)).authority;
            let proofs = [proof, more].concat();
            for name in [format!("www.{cut}"), format!("nothing.{cut}"), cut.clone()] {
                for rcode in [0, NXDOMAIN] {
                    let question = ask(&name, TXT);
                    assert_not_fooled(&world, &question, &denial(rcode, proofs.clone()));
                }
            }
        }
    }
}

#[test]
fn the_parents_word_on_a_cut_is_no_word_on_what_the_child_has_there() {
    let world = world();
    let types = [rtype::NS, rtype::DS, rtype::RRSIG, rtype::NSEC];
    let parent = nsec(&world, "nsec.test", "sub.nsec.test", "un.nsec.test", &types);
    for record_type in [A, rtype::SOA, rtype::DNSKEY, TXT, rtype::CNAME] {
        assert_bogus(
            &world,
            &ask("sub.nsec.test", record_type),
            &denial(0, parent.clone()),
        );
    }
}

#[test]
fn the_childs_word_on_its_apex_makes_no_unsigned_cut() {
    let world = world();
    let types = [
        rtype::NS,
        rtype::SOA,
        rtype::RRSIG,
        rtype::NSEC,
        rtype::DNSKEY,
    ];
    let apex = "sub.nsec.test";
    let child = nsec(&world, apex, apex, "www.sub.nsec.test", &types);
    assert_bogus(&world, &ask(apex, rtype::DS), &denial(0, child.clone()));
    // As the answer to what the chain asks for.
    let question = ask("www.sub.nsec.test", A);
    let forged = Reply {
        answers: vec![record(&question.name, A, ADDRESS.to_vec())],
        ..Reply::default()
    };
    let outcome = judge(&mut validator(&world), &question, &forged, |wanted| {
        Ok(match (wanted.record_type, wanted.name == n(apex)) {
            (rtype::DS, true) => denial(0, child.clone()),
            _ => world.reply(wanted),
        })
    });
    assert!(matches!(outcome.verdict, Verdict::Bogus(_)), "{outcome:#?}");
}

#[test]
fn a_way_to_others_exists_and_a_gap_does_not() {
    let world = world();
    for zone in ["nsec.test", "nsec3.test"] {
        let way = ask(&format!("b.ent.{zone}"), A);
        let mut reply = world.reply(&way);
        reply.rcode = NXDOMAIN;
        let outcome = judge_honestly(&world, &way, &reply);
        assert!(
            !outcome.verdict.is_authentic() || outcome.rcode == 0,
            "{outcome:#?}"
        );
        // The same proof, for a name beside the way.
        for other in ["c.ent", "a.ent", "x.b.ent"] {
            let other = ask(&format!("{other}.{zone}"), A);
            let borrowed = world.reply(&way).authority;
            assert_not_fooled(&world, &other, &denial(NXDOMAIN, borrowed.clone()));
            assert_not_fooled(&world, &other, &denial(0, borrowed));
        }
    }
}

/// A name that exists beside a wildcard must not be taken for one that the wildcard makes.
#[test]
fn a_wildcard_does_not_speak_for_a_name_beside_it() {
    let mut world = World::default();
    world.add(Zone::new(
        ".",
        Denial::Nsec,
        super::lab::Delegated::Signed,
        "",
    ));
    let text = "*.w A 1.1.1.1\nreal.w TXT there\n*.c CNAME evil.test\nreal.c A 2.2.2.2\ndeep.er.c A 3.3.3.3";
    for (apex, denial) in [
        ("nsec", Denial::Nsec),
        (
            "nsec3",
            Denial::Nsec3 {
                salt: vec![1],
                iterations: 1,
                opt_out: false,
            },
        ),
    ] {
        world.add(Zone::new(apex, denial, super::lab::Delegated::Signed, text));
        for (real, made) in [
            ("real.w", "other.w"),
            ("real.c", "other.c"),
            ("er.c", "other.c"),
            ("x.er.c", "other.c"),
            ("x.deep.er.c", "x.other.c"),
        ] {
            let genuine = world.reply(&ask(&format!("{made}.{apex}"), A));
            let question = ask(&format!("{real}.{apex}"), A);
            let mut reply = genuine.clone();
            for found in &mut reply.answers {
                if *found.name == *n(&format!("{made}.{apex}")).as_wire() {
                    found.name = question.name.as_wire().into();
                }
            }
            // With its own proof, with that of the name itself, and with both.
            let own = world.reply(&ask(&format!("{real}.{apex}"), 99)).authority;
            for authority in [
                reply.authority.clone(),
                own.clone(),
                [reply.authority.clone(), own].concat(),
            ] {
                assert_bogus(
                    &world,
                    &question,
                    &Reply {
                        authority,
                        ..reply.clone()
                    },
                );
            }
        }
    }
}

#[test]
fn a_signature_of_an_unknown_kind_beside_a_known_key_is_no_signature() {
    let world = world();
    let question = ask("www.nsec.test", A);
    let reply = world.reply(&question);
    for algorithm in [0, 5, 8, 16, 200, 253, 255] {
        let mut forged = reply.clone();
        for found in &mut forged.answers {
            if found.record_type == rtype::RRSIG {
                found.rdata[2] = algorithm;
            } else {
                found.rdata = ADDRESS.to_vec();
            }
        }
        forged.answers.dedup();
        assert_bogus(&world, &question, &forged);
    }
}

#[test]
fn what_a_signature_says_of_itself_is_signed_too() {
    let world = world();
    for name in ["www.nsec.test", "x.wild.nsec.test", "x.y.wild.nsec3.test"] {
        let question = ask(name, A);
        let genuine = world.reply(&question);
        let at = genuine
            .answers
            .iter()
            .position(|found| found.record_type == rtype::RRSIG)
            .unwrap();
        // Labels, the original TTL, both dates, the type covered, the key's tag.
        for (octet, value) in [
            (3, 0),
            (3, 1),
            (3, 2),
            (3, 4),
            (3, 5),
            (3, 255),
            (4, 9),
            (8, 255),
            (12, 0),
            (1, 16),
            (17, 0),
        ] {
            let mut reply = genuine.clone();
            let rdata = &mut reply.answers[at].rdata;
            if rdata[octet] == value {
                continue;
            }
            rdata[octet] = value;
            let outcome = judge_honestly(&world, &question, &reply);
            assert!(
                matches!(outcome.verdict, Verdict::Bogus(_)),
                "{name} octet {octet} = {value}: {outcome:#?}"
            );
        }
    }
}

#[test]
fn another_class_is_not_answered_for_by_this_one() {
    let world = world();
    let question = ask("www.nsec.test", A);
    for class in [0, 3, 4, 254, 255] {
        let mut reply = world.reply(&question);
        for found in &mut reply.answers {
            found.class = class;
        }
        assert_bogus(&world, &question, &reply);
        let mut beside = world.reply(&question);
        let mut other = record(&question.name, A, ADDRESS.to_vec());
        other.class = class;
        beside.answers.insert(0, other);
        assert_bogus(&world, &question, &beside);
    }
}

#[test]
fn raised_ttls_do_not_prolong_anything() {
    let world = world();
    for name in [
        "www.nsec.test",
        "nothing.nsec.test",
        "nothing.nsec3.test",
        "alias.nsec.test",
    ] {
        let question = ask(name, A);
        let raise = |mut reply: Reply| {
            for found in reply.answers.iter_mut().chain(&mut reply.authority) {
                found.ttl = u32::MAX;
            }
            reply
        };
        let reply = raise(world.reply(&question));
        let outcome = judge(&mut validator(&world), &question, &reply, |wanted| {
            Ok(raise(world.reply(wanted)))
        });
        assert_eq!(outcome.verdict, Verdict::Secure, "{name}");
        assert!(outcome.ttl <= TTL, "{name} {}", outcome.ttl);
    }
}

/// Unrelated records are dropped: they neither help nor hurt, wherever their signatures pretend to come from.
#[test]
fn junk_beside_a_genuine_answer_changes_nothing() {
    let world = world();
    for name in [
        "www.nsec.test",
        "nothing.nsec.test",
        "nothing.nsec3.test",
        "www.plain.test",
        "x.wild.nsec3.test",
    ] {
        let question = ask(name, A);
        let genuine = world.reply(&question);
        let truth = world.truth(&question);
        for signer in [
            name,
            "nsec.test",
            "test",
            ".",
            "plain.test",
            "elsewhere.test",
        ] {
            for owner in [name, "zz.nsec.test", "a.nsec3.test", "elsewhere.test"] {
                let mut reply = genuine.clone();
                let rdata = [n("zzz.nsec.test").as_wire(), &[0, 1, 0x40]].concat();
                reply
                    .authority
                    .insert(0, record(&n(owner), rtype::NSEC, rdata));
                let mut sig = world.zones[&n("nsec.test")].sign(&n(owner), rtype::NSEC, &[vec![1]]);
                let length = n("nsec.test").as_wire().len();
                sig.splice(18..18 + length, n(signer).as_wire().iter().copied());
                reply.authority.push(record(&n(owner), rtype::RRSIG, sig));
                reply
                    .authority
                    .push(record(&n("evil"), rtype::SOA, vec![0; 22]));
                reply
                    .answers
                    .push(record(&n("bank.test"), A, ADDRESS.to_vec()));
                let outcome = judge_honestly(&world, &question, &reply);
                let verdict = match truth.is_secure {
                    true => Verdict::Secure,
                    false => Verdict::Insecure,
                };
                assert_eq!(
                    outcome.verdict, verdict,
                    "{name} {signer} {owner} {outcome:#?}"
                );
                if truth.is_secure {
                    assert_eq!(super::kept(&reply, &outcome), truth.sets);
                    assert_eq!(outcome.rcode, truth.rcode);
                }
            }
        }
    }
}

#[test]
fn keys_that_come_as_an_alias_or_under_one_are_no_keys() {
    let world = world();
    let question = ask("www.nsec.test", A);
    let reply = world.reply(&question);
    let alias = Reply {
        answers: vec![record(
            &n("nsec.test"),
            rtype::CNAME,
            n("plain.test").as_wire().to_vec(),
        )],
        ..Reply::default()
    };
    for record_type in [rtype::DNSKEY, rtype::DS] {
        let outcome = judge(&mut validator(&world), &question, &reply, |wanted| {
            Ok(
                match wanted.record_type == record_type && wanted.name == n("nsec.test") {
                    true => alias.clone(),
                    false => world.reply(wanted),
                },
            )
        });
        assert!(matches!(outcome.verdict, Verdict::Bogus(_)), "{outcome:#?}");
    }
}

/// A name of as many labels as fit.
fn deep(below: &str) -> Name {
    let room = (250 - below.len()) / 2;
    n(&format!("{}{below}", "x.".repeat(room)))
}

/// A hostile message is read in a time that goes with its length: everything here is far below what a squared one takes.
#[expect(
    clippy::disallowed_methods,
    reason = "the one story that is about time itself"
)]
#[test]
fn messages_as_large_as_can_be_are_judged_in_little_time() {
    let world = world();
    // One set of NSEC, and one of NSEC3, with more records than any zone has, genuinely signed.
    let deny = |world: &World, record_type: u16, owner: &Name| {
        let rdatas: Vec<Vec<u8>> = (0..1500_u16)
            .map(|number| match record_type {
                rtype::NSEC => {
                    [n(&format!("{number}.nsec.test")).as_wire(), &[0, 1, 0x40]].concat()
                }
                _ => {
                    let mut rdata = vec![1, 0, 0, 0, 0, 20];
                    rdata.extend([0; 18]);
                    rdata.extend(number.to_be_bytes());
                    rdata
                }
            })
            .collect();
        let mut section = Vec::new();
        world.zones[&n("nsec.test")].put(&mut section, owner, owner, record_type, &rdatas);
        section
    };
    let hashed = n("0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.nsec.test");
    let many_owners: Vec<Record> = (0..4000)
        .map(|number| {
            let owner = deep(&format!("n{number}.nsec.test"));
            record(&owner, rtype::NSEC, vec![0])
        })
        .collect();
    let question = Question {
        name: deep("nsec.test"),
        record_type: A,
    };
    let one_set = |owner: &Name| -> Vec<Record> {
        let address = |number: u16| [&[0, 0][..], &number.to_be_bytes()].concat();
        (0..4000)
            .map(|number| record(owner, A, address(number)))
            .collect()
    };
    for reply in [
        denial(NXDOMAIN, deny(&world, rtype::NSEC, &n("nsec.test"))),
        denial(NXDOMAIN, deny(&world, rtype::NSEC3, &hashed)),
        denial(NXDOMAIN, many_owners.clone()),
        Reply {
            answers: many_owners,
            ..Reply::default()
        },
        Reply {
            answers: one_set(&question.name),
            ..Reply::default()
        },
    ] {
        let begun = Instant::now();
        let outcome = judge_honestly(&world, &question, &reply);
        let took = begun.elapsed();
        assert!(!outcome.verdict.is_authentic() && outcome.verdict != Verdict::Insecure);
        assert!(took.as_millis() < 1500, "{took:?}");
    }
}
