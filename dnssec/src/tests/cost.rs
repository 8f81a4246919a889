//! What does the worst that anybody can send cost? Counted in what is spent, never in time.

use std::collections::BTreeSet;

use super::zone::{A, Denial, Signer, Zone, name, record};
use super::{CLOCK, judge};
use crate::budget::{Budget, KEYS_PER_TAG, SIGS_PER_SET};
use crate::name::Name;
use crate::record::{Key, Record, rtype};
use crate::validator::{Fetch, Question, Reply, Settings, Step, Validator};
use crate::verdict::{IndeterminateReason, Verdict};

/// Trusts the key of `zone` at its name.
fn trusting(zone: &Zone) -> Validator {
    let mut anchors = crate::TrustAnchors::empty();
    let signer = zone.signer.as_ref().unwrap();
    let ds = hickory_proto::dnssec::rdata::DS::new(
        signer.public.tag,
        hickory_proto::dnssec::Algorithm::ED25519,
        hickory_proto::dnssec::DigestType::SHA256,
        signer.ds(&zone.name)[4..].to_vec(),
    );
    let owner = hickory_proto::rr::Name::from_labels(zone.name.labels()).unwrap();
    anchors.add(&owner, crate::anchors::Anchor::Ds(ds));
    Validator::new(Settings::default(), &anchors)
}

/// Judges; returns the verdict and what was spent.
fn spent(
    validator: &mut Validator,
    question: &Question,
    reply: &Reply,
    upstream: impl Fn(&Fetch) -> Reply,
) -> (Verdict, Budget) {
    let mut validation = validator.begin(question.clone(), reply);
    for _ in 0..300 {
        match validation.step(validator, CLOCK) {
            Step::Done(outcome) => {
                return (outcome.verdict, outcome.spent);
            }
            Step::Paused => {}
            Step::Fetch(fetches) => {
                for fetch in fetches {
                    validation.handle_fetch(&fetch, Ok(&upstream(&fetch)));
                }
            }
        }
    }
    panic!("it does not end");
}

fn ask(owner: &Name) -> Question {
    Question {
        name: owner.clone(),
        record_type: A,
    }
}

/// Returns keys that are none, of the tag and algorithm of another: octets are exchanged that weigh the same.
fn twins(key: &Key, count: usize) -> Vec<Vec<u8>> {
    let twins =
        (0..32_usize).flat_map(|one| (one + 2..32).step_by(2).map(move |other| (one, other)));
    let made = twins.map(|(one, other)| {
        let mut rdata = key.rdata.clone();
        rdata.swap(4 + one, 4 + other);
        rdata
    });
    let made: BTreeSet<Vec<u8>> = made.filter(|rdata| *rdata != key.rdata).collect();
    let made: Vec<Vec<u8>> = made.into_iter().take(count).collect();
    assert!(
        made.iter()
            .all(|rdata| Key::read(rdata).unwrap().tag == key.tag)
    );
    made
}

#[test]
fn many_keys_of_one_tag_with_many_signatures_cost_a_few_checks() {
    let mut zone = Zone::new("trap", Denial::Nsec);
    let own = zone.signer.as_ref().unwrap().public.clone();
    let keys = twins(&own, 100);
    assert_eq!(keys.len(), 100);
    let mut rdatas: Vec<&[u8]> = vec![&own.rdata];
    rdatas.extend(keys.iter().map(|rdata| &**rdata));
    let owner = name("www.trap");
    zone.add(&zone.name.clone(), rtype::DNSKEY, &rdatas);
    zone.add(&owner, A, &[&[192, 0, 2, 1]]);
    let good = zone.groups[&(owner.clone(), A)].clone();
    let mut reply = Reply::default();
    reply.answers.push(good[0].clone());
    for at in 0..200_u8 {
        let mut sig: Record = good[1].clone();
        let last = sig.rdata.len() - 1;
        sig.rdata[last] ^= at + 1;
        reply.answers.push(sig);
    }
    let mut validator = trusting(&zone);
    let (verdict, cost) = spent(&mut validator, &ask(&owner), &reply, |fetch| Reply {
        answers: zone.groups[&(fetch.name.clone(), fetch.record_type)].clone(),
        ..Reply::default()
    });
    assert!(
        !matches!(verdict, Verdict::Secure | Verdict::Insecure),
        "{verdict:?}"
    );
    let bound = u32::try_from(KEYS_PER_TAG * SIGS_PER_SET).unwrap();
    assert!(cost.failures <= Budget::default().failures, "{cost:?}");
    assert!(
        cost.signatures <= bound && cost.digests <= Budget::default().digests,
        "{cost:?}"
    );
}

#[test]
fn deep_names_under_many_iterations_cost_no_more_than_the_budget() {
    for (iterations, insecure) in [(150, false), (151, true)] {
        let denial = Denial::Nsec3 {
            opt_out: false,
            iterations,
        };
        let mut zone = Zone::new("trap", denial);
        zone.close();
        let owner = name(&format!("{}trap", "x.".repeat(120)));
        let reply = Reply {
            rcode: 3,
            authority: zone
                .chain
                .values()
                .flat_map(|(_, group)| group.clone())
                .collect(),
            answers: Vec::new(),
        };
        let mut validator = trusting(&zone);
        let (verdict, cost) = spent(&mut validator, &ask(&owner), &reply, |fetch| Reply {
            answers: zone.groups[&(fetch.name.clone(), fetch.record_type)].clone(),
            ..Reply::default()
        });
        let expected = match insecure {
            true => Verdict::Insecure,
            false => Verdict::Indeterminate(IndeterminateReason::BudgetSpent),
        };
        assert_eq!(verdict, expected, "{iterations}");
        assert!(
            cost.hash_rounds <= Budget::default().hash_rounds,
            "{cost:?}"
        );
        assert!(!insecure || cost.hash_rounds == 0, "{cost:?}");
    }
}

#[test]
fn thousands_of_ds_cost_a_few_digests() {
    let mut parent = Zone::new("trap", Denial::Nsec);
    let child = Zone::new("sub.trap", Denial::Nsec);
    let good = child.signer.as_ref().unwrap().ds(&child.name);
    let many: Vec<Vec<u8>> = (0..2000_u16)
        .map(|at| {
            let mut rdata = good.clone();
            rdata[4..6].copy_from_slice(&at.to_be_bytes());
            rdata
        })
        .collect();
    let many: Vec<&[u8]> = many.iter().map(|rdata| &**rdata).collect();
    parent.add(&child.name, rtype::DS, &many);
    let owner = name("www.sub.trap");
    let mut answers = vec![record(&owner, A, &[6, 6, 6, 6])];
    answers.push(Signer::new().sign(&child.name, &answers));
    let reply = Reply {
        answers,
        ..Reply::default()
    };
    let mut validator = trusting(&parent);
    let (verdict, cost) = spent(&mut validator, &ask(&owner), &reply, |fetch| {
        let key = (fetch.name.clone(), fetch.record_type);
        let group = parent.groups.get(&key).or_else(|| child.groups.get(&key));
        Reply {
            answers: group.cloned().unwrap_or_default(),
            ..Reply::default()
        }
    });
    assert_eq!(
        verdict,
        Verdict::Indeterminate(IndeterminateReason::BudgetSpent)
    );
    assert!(cost.digests <= Budget::default().digests, "{cost:?}");
    assert!(cost.signatures <= 4 && cost.fetches <= 4, "{cost:?}");
}

/// Every name of the path says that it is signed by the next one above: the longest way that can be made.
#[test]
fn a_chain_through_every_label_of_a_deep_name_ends() {
    let zone = Zone::new("trap", Denial::Nsec);
    let owner = name(&format!("{}trap", "x.".repeat(124)));
    let signer = Signer::new();
    let signed = |owner: &Name, by: &Name, kind: u16| {
        let mut group = vec![record(owner, kind, &[0, 1, 15, 2, 1, 1])];
        group.push(signer.sign(by, &group));
        group
    };
    let reply = Reply {
        answers: signed(&owner, &owner, A),
        ..Reply::default()
    };
    for kind in [rtype::DS, rtype::CNAME] {
        let mut validator = trusting(&zone);
        let outcome = judge(&mut validator, &ask(&owner), &reply, |fetch| {
            let by = match kind {
                rtype::DS => fetch.name.parent().unwrap(),
                _ => fetch.name.clone(),
            };
            Ok(Reply {
                answers: signed(&fetch.name, &by, kind),
                ..Reply::default()
            })
        });
        assert!(
            !matches!(outcome.verdict, Verdict::Secure | Verdict::Insecure),
            "{:?}",
            outcome.verdict
        );
    }
}

/// What is fetched for a name may not lead back to that name.
#[test]
fn an_alias_in_the_place_of_a_ds_is_not_judged_by_itself() {
    let mut zone = Zone::new("trap", Denial::Nsec);
    zone.close();
    let owner = name("www.trap");
    let forged = Reply {
        answers: vec![record(&owner, A, &[6, 6, 6, 6])],
        ..Reply::default()
    };
    let mut validator = trusting(&zone);
    let outcome = judge(&mut validator, &ask(&owner), &forged, |fetch| {
        let key = (fetch.name.clone(), fetch.record_type);
        let alias = vec![record(&fetch.name, rtype::CNAME, owner.as_wire())];
        Ok(Reply {
            answers: zone.groups.get(&key).cloned().unwrap_or(alias),
            ..Reply::default()
        })
    });
    assert!(
        matches!(outcome.verdict, Verdict::Bogus(_)),
        "{:?}",
        outcome.verdict
    );
}

#[test]
fn a_zone_that_goes_on_costing_much_soon_costs_what_others_do() {
    let mut zone = Zone::new("trap", Denial::Nsec);
    let good = zone.groups[&(zone.name.clone(), rtype::SOA)].clone();
    let owner = zone.name.clone();
    let mut reply = Reply::default();
    reply.answers.push(good[0].clone());
    for at in 0..8_u8 {
        let mut sig = good[1].clone();
        let last = sig.rdata.len() - 1;
        sig.rdata[last] ^= at + 1;
        reply.answers.push(sig);
    }
    zone.add(&name("www.trap"), A, &[&[192, 0, 2, 1]]);
    let mut validator = trusting(&zone);
    let question = Question {
        name: owner,
        record_type: rtype::SOA,
    };
    let fetch = |fetch: &Fetch| Reply {
        answers: zone.groups[&(fetch.name.clone(), fetch.record_type)].clone(),
        ..Reply::default()
    };
    let costs: Vec<u32> = (0..40)
        .map(|_| spent(&mut validator, &question, &reply, fetch).1.failures)
        .collect();
    assert_eq!(costs[0], Budget::default().failures);
    assert_eq!(costs[39], Budget::ORDINARY.failures);
    let www = zone.groups[&(name("www.trap"), A)].clone();
    let genuine = Reply {
        answers: www,
        ..Reply::default()
    };
    let (verdict, _) = spent(&mut validator, &ask(&name("www.trap")), &genuine, fetch);
    assert_eq!(verdict, Verdict::Secure, "what is in order goes on");
}
