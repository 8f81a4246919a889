//! Are genuine answers judged as they should be? Every kind of answer in every kind of zone.

use std::collections::BTreeSet;

use super::judge;
use super::world::{World, fact};
use crate::record::rtype;
use crate::validator::Settings;
use crate::verdict::Verdict;

#[test]
fn every_genuine_answer_is_judged_as_its_zones_say() {
    let world = World::new();
    let mut wrong = Vec::new();
    for is_warm in [false, true] {
        let mut shared = world.validator(Settings::default());
        for question in world.questions() {
            let mut cold = world.validator(Settings::default());
            let validator = if is_warm { &mut shared } else { &mut cold };
            let (reply, truth) = world.answer(&question);
            let outcome = judge(validator, &question, &reply, |fetch| {
                Ok(world.answer(fetch).0)
            });
            let verdict = if truth.insecure {
                Verdict::Insecure
            } else {
                Verdict::Secure
            };
            let kept: BTreeSet<_> = reply
                .answers
                .iter()
                .zip(&outcome.answers)
                .filter(|(record, kept)| **kept && record.record_type != rtype::RRSIG)
                .map(|(record, _)| fact(record))
                .collect();
            if outcome.verdict != verdict
                || outcome.rcode != truth.rcode
                || outcome.leads_to.is_some()
                || kept != truth.answers
            {
                wrong.push(format!(
                    "{question:?} is {:?}, not {verdict:?}; rcode {} of {}; leads to {:?}: {}; {:?}",
                    outcome.verdict, outcome.rcode, truth.rcode, outcome.leads_to, outcome.why, outcome.links
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
