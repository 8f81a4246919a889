//! Can what is fetched be forged so that a forged answer counts as insecure? Each record of the chain of trust is exchanged for
//! every RRset of all zones.

use super::tamper::{Attack, SIGNED, assert_none, poorer, settings};
use super::world::World;
use super::zone::{A, Group, name, record};
use crate::record::rtype;
use crate::validator::{Question, Reply};

#[test]
fn nothing_fetched_makes_a_forged_answer_insecure() {
    forge_fetches(9, 1000);
}

/// Tries every `one_in`th reply to a fetch. All of them, which takes a minute, with 1.
fn forge_fetches(one_in: usize, least: usize) {
    let world = World::new();
    let mut validator = world.validator(settings());
    let universe = world.universe();
    let denials: Group = universe
        .iter()
        .filter(|group| matches!(group[0].record_type, rtype::NSEC | rtype::NSEC3))
        .flatten()
        .cloned()
        .collect();
    let mut attacks = Vec::new();
    for zone in SIGNED {
        let question = Question {
            name: name(&format!("www.{zone}")),
            record_type: A,
        };
        let owner = question.name.clone();
        let forged = Reply {
            answers: vec![record(&owner, A, &[6, 6, 6, 6])],
            ..Reply::default()
        };
        let mut attack = Attack::new(&world, question);
        // What is fetched for a name of the path is replaced by each of these.
        let mut fakes: Vec<Reply> = universe
            .iter()
            .flat_map(|alien| {
                let denies = Reply {
                    authority: alien.clone(),
                    ..Reply::default()
                };
                let answers = Reply {
                    answers: alien.clone(),
                    ..Reply::default()
                };
                [denies, answers]
            })
            .collect();
        fakes.push(Reply {
            authority: denials.clone(),
            ..Reply::default()
        });
        for count in 1..=owner.count() {
            let place = owner.suffix(count);
            let alias = record(&place, rtype::CNAME, name("www.plain.test").as_wire());
            fakes.push(Reply {
                answers: vec![alias],
                ..Reply::default()
            });
        }
        for count in 1..=owner.count() {
            let place = owner.suffix(count);
            for (at, fake) in fakes.iter().enumerate().skip(count).step_by(one_in) {
                for kind in [rtype::DS, rtype::DNSKEY] {
                    validator.memory.forget_zones();
                    attack.both(
                        &mut validator,
                        &format!("{kind} of {place} is {at}"),
                        &forged,
                        |world, fetch| match fetch.name == place && fetch.record_type == kind {
                            true => fake.clone(),
                            false => world.answer(fetch).0,
                        },
                    );
                }
            }
            for (at, fake) in poorer(
                &world
                    .answer(&Question {
                        name: place.clone(),
                        record_type: rtype::DS,
                    })
                    .0,
            )
            .iter()
            .enumerate()
            {
                validator.memory.forget_zones();
                attack.both(
                    &mut validator,
                    &format!("DS of {place} is {at} poorer"),
                    &forged,
                    |world, fetch| match fetch.name == place && fetch.record_type == rtype::DS {
                        true => fake.1.clone(),
                        false => world.answer(fetch).0,
                    },
                );
            }
        }
        attacks.push(attack);
    }
    assert_none(&attacks, least);
}
