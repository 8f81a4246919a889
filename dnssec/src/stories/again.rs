//! Does what was proven for one name deny others, and never one that is there (RFC 8198)?

use super::lab::{A, NOW, TXT, World, ask, n};
use super::{judge, kept, questions, validator, world};
use crate::denials::Denials;
use crate::name::Name;
use crate::record::{Nsec3, Record, rtype};
use crate::validator::{Outcome, Question, Reply};
use crate::verdict::Verdict;

const HERE: u64 = 1;

/// Asks and keeps what is proven, as the resolver does.
fn learn(world: &World, denials: &mut Denials, question: &Question) {
    let reply = world.reply(question);
    let outcome = judge(&mut validator(world), question, &reply, |wanted| {
        Ok(world.reply(wanted))
    });
    if outcome.verdict == Verdict::Secure && reply.answers.is_empty() {
        denials.keep(HERE, &proven(&reply, &outcome), outcome.ttl, 0);
    }
}

fn proven(reply: &Reply, outcome: &Outcome) -> Vec<Record> {
    let records = reply.authority.iter().zip(&outcome.authority);
    records
        .filter(|(_, kept)| **kept)
        .map(|(record, _)| record.clone())
        .collect()
}

/// What the memory says to a question, judged: the verdict, the code, and for how long.
fn told(world: &World, denials: &Denials, question: &Question, at: u64) -> Option<(Outcome, u32)> {
    let (reply, left) = denials.reply(HERE, question, at)?;
    let outcome = judge(&mut validator(world), question, &reply, |wanted| {
        Ok(world.reply(wanted))
    });
    Some((outcome, left))
}

#[test]
fn one_proof_denies_its_neighbours_for_as_long_as_it_counts() {
    let world = world();
    let mut denials = Denials::new(1 << 20);
    learn(&world, &mut denials, &ask("nothing.nsec.test", A));
    let neighbour = ask("nothing-else.nsec.test", TXT);
    let (outcome, left) = told(&world, &denials, &neighbour, 10).expect("it is in the gap");
    assert_eq!((outcome.verdict, outcome.rcode), (Verdict::Secure, 3));
    assert!(
        left > 0
            && denials
                .reply(HERE, &neighbour, u64::from(left) + 10)
                .is_none()
    );
    assert!(
        denials.reply(HERE + 1, &neighbour, 10).is_none(),
        "places share nothing"
    );
    denials.forget(HERE + 1);
    assert!(denials.reply(HERE, &neighbour, 10).is_some());
    denials.forget(HERE);
    assert!(denials.reply(HERE, &neighbour, 10).is_none());
}

#[test]
fn hashes_deny_their_neighbours_too_but_not_where_something_is_left_out() {
    let world = world();
    for (learned, asked, rcode) in [
        ("nothing.nsec3.test", "nothing.nsec3.test", 3),
        ("nothing.nsec3.test", "deep.below.nothing.nsec3.test", 3),
    ] {
        let mut denials = Denials::new(1 << 20);
        learn(&world, &mut denials, &ask(learned, A));
        let (outcome, _) = told(&world, &denials, &ask(asked, TXT), 10).expect("it is covered");
        assert_eq!((outcome.verdict, outcome.rcode), (Verdict::Secure, rcode));
        assert!(denials.reply(HERE, &ask("www.nsec3.test", A), 10).is_none());
    }
    let mut denials = Denials::new(1 << 20);
    learn(&world, &mut denials, &ask("nothing.optout.test", A));
    assert!(
        denials
            .reply(HERE, &ask("nothing.optout.test", TXT), 10)
            .is_none()
    );
}

/// Whoever has learned all denials of the world, and in any order, still says of no question what is not so.
#[test]
fn nothing_that_is_there_is_denied_by_all_proofs_together() {
    let world = world();
    let mut denials = Denials::new(8 << 20);
    let all = questions(&world);
    for question in &all {
        learn(&world, &mut denials, question);
    }
    let (mut denied, mut by_hash) = (0, 0);
    for question in &all {
        if question.record_type == rtype::DS {
            continue;
        }
        let Some((outcome, _)) = told(&world, &denials, question, 1) else {
            continue;
        };
        if outcome.verdict != Verdict::Secure {
            continue;
        }
        let (genuine, truth) = (world.reply(question), world.truth(question));
        assert!(
            genuine.answers.is_empty(),
            "{question:?}: {outcome:?}\n{truth:?}"
        );
        assert_eq!(outcome.rcode, genuine.rcode, "{question:?}");
        let reply = denials.reply(HERE, question, 1).expect("it was there").0;
        assert!(kept(&reply, &outcome).is_empty());
        denied += 1;
        let is_hashed = |record: &Record| record.record_type == rtype::NSEC3;
        by_hash += usize::from(reply.authority.iter().any(is_hashed));
    }
    assert!(denied > 20 && by_hash > 10, "{denied}, {by_hash}");
}

#[test]
fn the_memory_stays_within_its_bounds_and_forgets_the_oldest_first() {
    let world = world();
    let mut denials = Denials::new(2_000);
    learn(&world, &mut denials, &ask("nothing.nsec.test", A));
    let first = ask("nothing-else.nsec.test", A);
    assert!(denials.reply(HERE, &first, 1).is_some());
    for question in questions(&world) {
        learn(&world, &mut denials, &question);
    }
    let known = questions(&world);
    let known = known
        .iter()
        .filter(|question| denials.reply(HERE, question, 1).is_some());
    assert!(known.count() < questions(&world).len());
    denials.clear();
    assert!(denials.reply(HERE, &first, 1).is_none());
}

#[test]
fn proofs_without_a_signature_or_a_soa_are_not_kept() {
    let world = world();
    let question = ask("nothing.nsec.test", A);
    let whole = world.reply(&question).authority;
    for dropped in [rtype::RRSIG, rtype::SOA, rtype::NSEC] {
        let mut denials = Denials::new(1 << 20);
        let rest: Vec<Record> = whole
            .iter()
            .filter(|record| record.record_type != dropped)
            .cloned()
            .collect();
        denials.keep(HERE, &rest, 300, NOW);
        assert!(
            denials.reply(HERE, &question, NOW + 1).is_none(),
            "without {dropped}"
        );
    }
    assert_eq!(n("nsec.test").count(), 2);
}

/// Servers that make a record for each question leave types out of it that are there.
#[test]
fn gaps_that_were_made_for_one_question_deny_nothing_else() {
    let world = world();
    for zone in ["nsec.test", "nsec3.test"] {
        let question = ask(&format!("www.{zone}"), 99);
        let whole = world.reply(&question).authority;
        let mut denials = Denials::new(1 << 20);
        denials.keep(HERE, &whole, 300, NOW);
        assert!(denials.reply(HERE, &question, NOW + 1).is_some(), "{zone}");
        for step in [1, 2] {
            let mut minimal = whole.clone();
            for record in &mut minimal {
                let owner = Name::from_wire(&record.name).unwrap();
                if record.record_type == rtype::NSEC {
                    let (_, length) = Name::read(&record.rdata).unwrap();
                    let after = [&[1, 0], owner.as_wire()].concat();
                    record.rdata.splice(..length, after);
                } else if record.record_type == rtype::NSEC3 {
                    let mut next = Nsec3::read(&owner, &record.rdata).unwrap().owner;
                    for octet in next.iter_mut().rev() {
                        let (sum, carries) = octet.overflowing_add(step);
                        *octet = sum;
                        if !carries {
                            break;
                        }
                    }
                    let at = 6 + usize::from(record.rdata[4]);
                    record.rdata.splice(at..at + next.len(), next);
                }
            }
            let mut denials = Denials::new(1 << 20);
            denials.keep(HERE, &minimal, 300, NOW);
            assert_eq!(denials.reply(HERE, &question, NOW + 1), None, "{zone}");
        }
    }
}
