//! Does anything that is not so get through? Replies are cut, mixed and forged at random, those to fetches too.
//!
//! Whatever happens, what is handed on as Secure is what the zones have, and nothing is Insecure that they do not leave so.

use super::lab::{A, NOW, Truth, World, ask, n, record};
use super::{agrees, judge, kept, questions, times, validator, world};
use crate::name::Name;
use crate::record::{Record, rtype};
use crate::validator::{FetchFailure, Outcome, Question, Reply};
use crate::verdict::Verdict;

/// splitmix64, so that a seed tells the whole story.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

/// Does one thing to a reply.
fn tamper(random: &mut Random, question: &Question, reply: &mut Reply, others: &[Reply]) {
    let other = random.pick(others).clone();
    let above = {
        let count = random.below(question.name.count() + 1);
        question.name.suffix(count)
    };
    let in_answers = random.one_in(2);
    let (section, borrowed) = match in_answers {
        true => (&mut reply.answers, &other.answers),
        false => (&mut reply.authority, &other.authority),
    };
    match random.below(17) {
        0 => section.clear(),
        1 if !section.is_empty() => {
            section.remove(random.below(section.len()));
        }
        2 => section.retain(|found| found.record_type != rtype::RRSIG),
        3 => section.extend(borrowed.iter().cloned()),
        4 => borrowed.clone_into(section),
        5 => reply.rcode = *random.pick(&[0, 3, 2, 5, 6, 1]),
        6 => *reply = other,
        // An address of the forger's, with or without a signature that was made for something else.
        7 | 8 => {
            section.retain(|found| found.record_type != A);
            section.push(record(&question.name, A, vec![6, 6, 6, 6]));
        }
        9 => {
            let sigs = other.answers.iter().chain(&other.authority);
            let sigs: Vec<&Record> = sigs
                .filter(|found| found.record_type == rtype::RRSIG)
                .collect();
            if !sigs.is_empty() {
                let mut sig = (*random.pick(&sigs)).clone();
                sig.name = question.name.as_wire().into();
                if let Some(covered) = sig.rdata.get_mut(..2) {
                    covered.copy_from_slice(&question.record_type.to_be_bytes());
                }
                section.push(sig);
            }
        }
        // A signer of the forger's choice.
        10 => {
            for sig in section
                .iter_mut()
                .filter(|found| found.record_type == rtype::RRSIG)
            {
                if let Some((_, length)) = sig.rdata.get(18..).and_then(Name::read) {
                    sig.rdata
                        .splice(18..18 + length, above.as_wire().iter().copied());
                }
            }
        }
        11 if !section.is_empty() => {
            let at = random.below(section.len());
            let rdata = &mut section[at].rdata;
            if !rdata.is_empty() {
                let octet = random.below(rdata.len());
                rdata[octet] ^= 1 << random.below(8);
            }
        }
        // Records under another name.
        12 if !section.is_empty() => {
            let at = random.below(section.len());
            let from = section[at].name.clone();
            for found in section.iter_mut().filter(|found| found.name == from) {
                found.name = question.name.as_wire().into();
            }
        }
        13 => section.push(record(&above, rtype::NS, n("evil").as_wire().to_vec())),
        14 => section.push(record(
            &question.name,
            rtype::CNAME,
            random
                .pick(&[
                    n("evil"),
                    n("www.nsec.test"),
                    n("www.plain.test"),
                    n("www.nsec3.test"),
                ])
                .as_wire()
                .to_vec(),
        )),
        15 => section.push(record(
            &above,
            rtype::DNAME,
            n("plain.test").as_wire().to_vec(),
        )),
        _ => {
            let at = random.below(section.len().max(1));
            let at = at.min(section.len());
            section.rotate_left(at);
        }
    }
}

/// Returns why an outcome on a tampered reply must not be.
pub(crate) fn wrong(reply: &Reply, outcome: &Outcome, truth: &Truth) -> Option<&'static str> {
    match outcome.verdict {
        Verdict::Bogus(_) | Verdict::Indeterminate(_) => None,
        Verdict::Insecure => truth.is_secure.then_some("insecure, and the zones are not"),
        Verdict::Secure => {
            // In any order, which nobody signs.
            let kept = kept(reply, outcome);
            let places: Option<Vec<usize>> = kept
                .iter()
                .map(|set| truth.sets.iter().position(|genuine| genuine == set))
                .collect();
            let Some(places) = places else {
                return Some("secure, and not what the zones have");
            };
            let end = match (&outcome.leads_to, places.iter().max()) {
                (Some(_), None) => return Some("leads on from nothing"),
                (Some(_), Some(last)) => last + 1,
                (None, _) if !truth.is_secure => return Some("secure, and the zones are not"),
                (None, _) => truth.sets.len(),
            };
            // What a DNAME makes can be made again.
            let is_made = |place: usize| {
                truth.sets[place].1 == rtype::CNAME
                    && place
                        .checked_sub(1)
                        .is_some_and(|before| truth.sets[before].1 == rtype::DNAME)
            };
            let rcode = match outcome.leads_to {
                Some(_) => 0,
                None => truth.rcode,
            };
            if end > truth.secure_sets {
                Some("secure, and the zones are not")
            } else if (0..end).any(|place| !places.contains(&place) && !is_made(place)) {
                Some("secure, and something is missing")
            } else {
                (outcome.rcode != rcode).then_some("secure, with another rcode")
            }
        }
    }
}

/// Whether a zone with more iterations than count takes part: all it denies is insecure then.
fn is_costly(question: &Question, truth: &Truth) -> bool {
    let costly = n("costly.test");
    question.name.is_in(&costly) || truth.sets.iter().any(|set| set.0.is_in(&costly))
}

pub(crate) fn run(world: &World, questions: &[Question], seed: u64, rounds: usize) {
    let mut random = Random(seed);
    let pool: Vec<Reply> = questions
        .iter()
        .map(|question| world.reply(question))
        .collect();
    let mut warm = validator(world);
    for round in 0..rounds {
        let question = random.pick(questions).clone();
        let truth = world.truth(&question);
        // What is nearby is what can be mistaken.
        let near: Vec<Reply> = (0..6)
            .map(|_| {
                let near = match random.below(3) {
                    0 => question.name.clone(),
                    1 => question
                        .name
                        .suffix(random.below(question.name.count() + 1)),
                    _ => return random.pick(&pool).clone(),
                };
                let record_type = *random.pick(&[A, rtype::DS, rtype::DNSKEY, 99, rtype::SOA]);
                world.reply(&Question {
                    name: near,
                    record_type,
                })
            })
            .collect();
        let mut reply = world.reply(&question);
        for _ in 0..=random.below(3) {
            tamper(&mut random, &question, &mut reply, &near);
        }
        let fetches_too = random.one_in(2);
        let mut cold = validator(world);
        let validator = match random.one_in(2) {
            true => &mut warm,
            false => &mut cold,
        };
        let mut tampered = Vec::new();
        let outcome = judge(validator, &question, &reply, |wanted| {
            let mut brought = world.reply(wanted);
            if fetches_too && random.one_in(2) {
                if random.one_in(10) {
                    return Err(FetchFailure::NoReply);
                }
                tamper(&mut random, wanted, &mut brought, &near);
                tampered.push((wanted.clone(), brought.clone()));
            }
            Ok(brought)
        });
        if outcome.verdict == Verdict::Insecure && is_costly(&question, &truth) {
            continue;
        }
        if let Some(why) = wrong(&reply, &outcome, &truth) {
            panic!(
                "seed {seed} round {round}: {why}\n{question:?}\n{outcome:#?}\n{truth:?}\n{reply:?}\n{tampered:?}"
            );
        }
    }
    for question in questions {
        let (reply, truth) = (world.reply(question), world.truth(question));
        let outcome = judge(
            &mut warm,
            question,
            &reply,
            |wanted| Ok(world.reply(wanted)),
        );
        assert!(
            agrees(&reply, &outcome, &truth),
            "after tampering, seed {seed}: {question:?}\n{outcome:#?}\n{truth:?}\n{world:?}"
        );
    }
}

#[test]
fn nothing_tampered_is_believed() {
    let world = world();
    for seed in 1..=times() {
        run(&world, &questions(&world), seed, 4_000);
    }
}

#[test]
fn islands_are_not_left_by_anything_tampered() {
    let mut world = world();
    world.islands = vec![n("deep.un.nsec3.test")];
    run(&world, &questions(&world), 2, 2_000);
}

#[test]
fn the_time_of_the_stories_is_within_their_signatures() {
    let world = world();
    let reply = world.reply(&ask("www.nsec.test", A));
    let sig = &reply.answers[2].rdata;
    let word = |at: usize| u64::from(u32::from_be_bytes(sig[at..at + 4].try_into().unwrap()));
    assert!(word(12) < NOW && NOW < word(8));
}
