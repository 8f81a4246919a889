//! How often is something waited for until a reply is judged? Where a server takes a second for each answer, each time counts.

use super::CLOCK;
use super::world::World;
use super::zone::{A, name};
use crate::validator::{Fetch, Question, Settings, Step, Validator};
use crate::verdict::Verdict;

/// Judges the genuine reply for an address; returns what was fetched, round by round.
fn rounds(world: &World, validator: &mut Validator, owner: &str) -> Vec<Vec<String>> {
    let question = Question {
        name: name(owner),
        record_type: A,
    };
    let mut validation = validator.begin(question.clone(), &world.answer(&question).0);
    let text = |fetch: &Fetch| format!("{} {}", fetch.name, fetch.record_type);
    let mut rounds = Vec::new();
    for _ in 0..300 {
        match validation.step(validator, CLOCK) {
            Step::Done(outcome) => {
                assert!(matches!(
                    outcome.verdict,
                    Verdict::Secure | Verdict::Insecure
                ));
                return rounds;
            }
            Step::Paused => {}
            Step::Fetch(fetches) => {
                rounds.push(fetches.iter().map(text).collect());
                for fetch in fetches {
                    validation.handle_fetch(&fetch, Ok(&world.answer(&fetch).0));
                }
            }
        }
    }
    panic!("it does not end");
}

#[test]
fn the_links_of_a_chain_are_fetched_together() {
    let world = World::new();
    let mut validator = world.validator(Settings::default());
    let all = rounds(&world, &mut validator, "www.sub.nsec.test");
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0].len(), 7, "three delegations, and the root: {all:?}");
    // What is known is not asked for again, nor what lies above it.
    let more = rounds(&world, &mut validator, "www.nsec3.test");
    assert_eq!(more, [["nsec3.test 43", "nsec3.test 48"]]);
    assert_eq!(rounds(&world, &mut validator, "www.sub.nsec.test").len(), 0);
}

#[test]
fn a_name_that_is_not_signed_waits_for_few() {
    let world = World::new();
    let mut validator = world.validator(Settings::default());
    let cold = rounds(&world, &mut validator, "www.plain.test");
    assert!(cold.len() <= 3, "{cold:?}");
    let mut validator = world.validator(Settings::default());
    rounds(&world, &mut validator, "www.nsec.test");
    let warm = rounds(&world, &mut validator, "www.plain.test");
    assert_eq!(warm, [["plain.test 43"]]);
}
