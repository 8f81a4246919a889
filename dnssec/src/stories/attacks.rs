//! Which forged and borrowed replies were believed somewhere once? Each is a story of its own.

use super::lab::{A, NXDOMAIN, World, ask, n, record};
use super::{judge, validator, world};
use crate::record::rtype;
use crate::validator::{FetchFailure, Outcome, Question, Reply};
use crate::verdict::{IndeterminateReason, Verdict};

fn judge_honestly(world: &World, question: &Question, reply: &Reply) -> Outcome {
    judge(&mut validator(world), question, reply, |wanted| {
        Ok(world.reply(wanted))
    })
}

#[test]
fn a_denial_by_an_unsigned_zone_denies_nothing_that_is_signed() {
    let world = world();
    let question = ask("www.nsec.test", A);
    let soa = world.reply(&ask("plain.test", rtype::SOA)).answers;
    let forged = Reply {
        rcode: NXDOMAIN,
        answers: Vec::new(),
        authority: soa,
    };
    let outcome = judge_honestly(&world, &question, &forged);
    assert!(matches!(outcome.verdict, Verdict::Bogus(_)), "{outcome:?}");
}

#[test]
fn an_alias_whose_target_is_missing_leads_on() {
    let world = world();
    for rcode in [0, NXDOMAIN] {
        let question = ask("out.nsec.test", A);
        let mut reply = world.reply(&question);
        reply.answers.truncate(2);
        reply.rcode = rcode;
        let outcome = judge_honestly(&world, &question, &reply);
        assert_eq!(outcome.verdict, Verdict::Secure);
        assert_eq!(
            (outcome.rcode, outcome.leads_to),
            (0, Some(n("www.nsec3.test")))
        );
    }
}

#[test]
fn a_wildcard_without_its_proof_is_not_believed() {
    let world = world();
    for name in ["x.wild.nsec.test", "x.wild.nsec3.test", "x.wc.nsec3.test"] {
        let question = ask(name, A);
        let mut reply = world.reply(&question);
        reply.authority = world.reply(&ask("plain.test", rtype::SOA)).answers;
        let outcome = judge_honestly(&world, &question, &reply);
        assert!(
            matches!(outcome.verdict, Verdict::Bogus(_)),
            "{name} {outcome:?}"
        );
    }
}

/// The zone above the zone leaves out unsigned delegations, and one of its records happens to cover the name's hash.
#[test]
fn an_opt_out_above_says_nothing_below_a_signed_zone() {
    let world = world();
    let mut judged = 0;
    for zone in ["nsec.test", "nsec3.test", "sub.optout.test"] {
        for owner in ["www", "alias", "a.b.ent", "nothing", "x.y"] {
            let question = ask(&format!("{owner}.{zone}"), A);
            let forged = Reply {
                answers: vec![record(&question.name, A, vec![6, 6, 6, 6])],
                ..Reply::default()
            };
            for denied in [
                "zzz.test",
                "other.test",
                "test",
                "un.optout.test",
                "x.optout.test",
            ] {
                let outcome = judge(&mut validator(&world), &question, &forged, |wanted| {
                    if wanted.record_type == rtype::DS && wanted.name.is_in(&n(zone)) {
                        return Ok(world.reply(&ask(denied, rtype::DS)));
                    }
                    Ok(world.reply(wanted))
                });
                assert!(matches!(outcome.verdict, Verdict::Bogus(_)), "{outcome:?}");
                judged += 1;
            }
        }
    }
    assert_eq!(judged, 75);
}

#[test]
fn what_cannot_be_fetched_is_not_bogus() {
    let world = world();
    let question = ask("www.nsec.test", A);
    let reply = world.reply(&question);
    for missing in ["DS of nsec.test", "DNSKEY of nsec.test", "DNSKEY of ."] {
        let outcome = judge(&mut validator(&world), &question, &reply, |wanted| {
            let kind = if wanted.record_type == rtype::DS {
                "DS"
            } else {
                "DNSKEY"
            };
            match format!("{kind} of {}", wanted.name) == missing {
                true => Err(FetchFailure::NoReply),
                false => Ok(world.reply(wanted)),
            }
        });
        let failed = Verdict::Indeterminate(IndeterminateReason::FetchFailed);
        assert_eq!(outcome.verdict, failed, "{missing}");
    }
}

#[test]
fn an_alias_in_place_of_a_ds_ends_in_a_verdict() {
    let world = world();
    let mut validator = validator(&world);
    let question = ask("www.nsec.test", A);
    let forged = Reply {
        answers: vec![record(&question.name, A, vec![6, 6, 6, 6])],
        ..Reply::default()
    };
    let outcome = judge(&mut validator, &question, &forged, |wanted| {
        if wanted.name == question.name {
            let elsewhere = n("elsewhere").as_wire().to_vec();
            return Ok(Reply {
                answers: vec![record(&wanted.name, rtype::CNAME, elsewhere)],
                ..Reply::default()
            });
        }
        Ok(world.reply(wanted))
    });
    assert!(matches!(outcome.verdict, Verdict::Bogus(_)), "{outcome:?}");
}

#[test]
fn a_set_cut_short_is_not_the_set_that_was_checked() {
    let world = world();
    let mut validator = validator(&world);
    let question = ask("www.nsec.test", A);
    let reply = world.reply(&question);
    let fetch = |wanted: &_| Ok(world.reply(wanted));
    let outcome = judge(&mut validator, &question, &reply, fetch);
    assert_eq!(outcome.verdict, Verdict::Secure);
    // The last record moves from what is signed into the signature, so that all bytes together stay the same.
    let mut forged = reply.clone();
    let last = forged.answers.remove(1);
    let mut moved = last.name.to_vec();
    moved.extend(A.to_be_bytes());
    moved.extend([0, 1]);
    moved.extend(last.ttl.to_be_bytes());
    moved.extend(4_u16.to_be_bytes());
    moved.extend(&last.rdata);
    let sig = &mut forged.answers[1].rdata;
    let at = sig.len() - 64;
    sig.splice(at..at, moved);
    let outcome = judge(&mut validator, &question, &forged, fetch);
    assert!(matches!(outcome.verdict, Verdict::Bogus(_)), "{outcome:?}");
}

#[test]
fn a_changed_rcode_is_not_handed_on_as_secure() {
    let world = world();
    for name in ["www.nsec.test", "b.ent.nsec.test", "alias.nsec.test"] {
        for rcode in [NXDOMAIN, 5, 6, 1] {
            let mut validator = validator(&world);
            let question = ask(name, A);
            let mut reply = world.reply(&question);
            reply.rcode = rcode;
            let fetch = |wanted: &_| Ok(world.reply(wanted));
            let outcome = judge(&mut validator, &question, &reply, fetch);
            assert!(
                outcome.verdict != Verdict::Secure || outcome.rcode == 0,
                "{name} {rcode} {outcome:?}"
            );
        }
    }
}

#[test]
fn a_name_that_has_records_does_not_lack_all_of_them() {
    let world = world();
    let mut validator = validator(&world);
    for zone in ["nsec.test", "nsec3.test"] {
        let name = format!("www.{zone}");
        let mut reply = world.reply(&ask(&name, 99));
        reply.rcode = 0;
        let question = ask(&name, rtype::ANY);
        let outcome = judge(&mut validator, &question, &reply, |wanted| {
            Ok(world.reply(wanted))
        });
        assert!(matches!(outcome.verdict, Verdict::Bogus(_)), "{outcome:?}");
    }
}

#[test]
fn a_dname_above_an_island_does_not_lead_out_of_it() {
    let mut world = world();
    world.islands = vec![n("deep.un.nsec3.test")];
    let mut validator = validator(&world);
    let question = ask("www.deep.un.nsec3.test", A);
    let target = n("evil").as_wire().to_vec();
    let forged = Reply {
        answers: vec![record(&n("un.nsec3.test"), rtype::DNAME, target)],
        ..Reply::default()
    };
    let outcome = judge(&mut validator, &question, &forged, |wanted| {
        Ok(world.reply(wanted))
    });
    assert!(matches!(outcome.verdict, Verdict::Bogus(_)), "{outcome:?}");
}
