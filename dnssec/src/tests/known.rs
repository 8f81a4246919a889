//! Do attacks that other validators fell for fail here? Five that were seen to work elsewhere, each with the answer it forges.

use super::judge;
use super::world::World;
use super::zone::{A, Group, name, record};
use crate::record::rtype;
use crate::validator::{Outcome, Question, Reply, Settings};
use crate::verdict::Verdict;

fn ask(text: &str) -> Question {
    Question {
        name: name(text),
        record_type: A,
    }
}

fn outcome(world: &World, question: &Question, reply: &Reply) -> Outcome {
    let mut validator = world.validator(Settings::default());
    judge(&mut validator, question, reply, |fetch| {
        Ok(world.answer(fetch).0)
    })
}

fn soa_of_plain(world: &World) -> Group {
    let plain = name("plain.test");
    world.zones[&plain].groups[&(plain, rtype::SOA)].clone()
}

#[test]
fn an_unsigned_soa_of_another_zone_denies_no_signed_name() {
    let world = World::new();
    let reply = Reply {
        rcode: 3,
        authority: soa_of_plain(&world),
        answers: Vec::new(),
    };
    let outcome = outcome(&world, &ask("www.nsec.test"), &reply);
    assert!(matches!(outcome.verdict, Verdict::Bogus(_)), "{outcome:?}");
}

#[test]
fn a_signed_alias_without_its_target_proves_nothing_of_the_target() {
    let world = World::new();
    for rcode in [0, 3] {
        let question = ask("alias.nsec.test");
        let mut reply = world.answer(&question).0;
        reply.rcode = rcode;
        reply.answers.truncate(2);
        let outcome = outcome(&world, &question, &reply);
        assert_eq!(outcome.verdict, Verdict::Secure);
        assert_eq!(
            (outcome.rcode, outcome.leads_to),
            (0, Some(name("www.nsec.test")))
        );
    }
}

#[test]
fn a_wildcard_whose_proof_is_exchanged_for_an_insecure_record_is_bogus() {
    let world = World::new();
    for zone in ["nsec.test", "nsec3.test"] {
        let question = ask(&format!("x.wild.{zone}"));
        let mut reply = world.answer(&question).0;
        reply.authority = soa_of_plain(&world);
        let outcome = outcome(&world, &question, &reply);
        assert!(matches!(outcome.verdict, Verdict::Bogus(_)), "{outcome:?}");
    }
}

#[test]
fn a_grandparent_with_opt_out_makes_no_cut_below_a_signed_zone() {
    let world = World::new();
    let owner = name("www.nsec.test");
    let test = &world.zones[&name("test")];
    let covering = test.covering(&owner).clone();
    let matching = test.matching(&name("test")).unwrap().clone();
    let denial = Reply {
        authority: [covering, matching].concat(),
        ..Reply::default()
    };
    let forged = Reply {
        answers: vec![record(&owner, A, &[6, 6, 6, 6])],
        authority: vec![record(&owner, rtype::NS, name("ns.other").as_wire())],
        rcode: 0,
    };
    let mut validator = world.validator(Settings::default());
    let outcome = judge(
        &mut validator,
        &ask("www.nsec.test"),
        &forged,
        |fetch| match fetch.name == owner {
            true => Ok(denial.clone()),
            false => Ok(world.answer(fetch).0),
        },
    );
    assert!(matches!(outcome.verdict, Verdict::Bogus(_)), "{outcome:?}");
}

#[test]
fn an_any_is_not_denied_by_a_name_that_has_records() {
    let world = World::new();
    for zone in ["nsec.test", "nsec3.test"] {
        let owner = name(&format!("www.{zone}"));
        let reply = Reply {
            authority: world.zones[&name(zone)].matching(&owner).unwrap().clone(),
            ..Reply::default()
        };
        let question = Question {
            name: owner,
            record_type: rtype::ANY,
        };
        let outcome = outcome(&world, &question, &reply);
        assert!(matches!(outcome.verdict, Verdict::Bogus(_)), "{outcome:?}");
    }
}
