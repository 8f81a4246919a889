//! Is the verdict what the zones are, however they are? Trees of zones at random, judged genuine and tampered with.

use super::lab::{A, Delegated, Denial, NXDOMAIN, TXT, World, Zone, n};
use super::tamper::{Random, run};
use super::{agrees, judge, times, validator};
use crate::name::Name;
use crate::record::rtype;
use crate::validator::Question;
use crate::verdict::Verdict;

const LABELS: &[&str] = &["a", "b", "c", "*"];

fn somewhere(random: &mut Random, apex: &Name) -> Name {
    let mut text = apex.to_string();
    for _ in 0..=random.below(3) {
        text = format!("{}.{text}", random.pick(LABELS));
    }
    n(&text)
}

fn denial(random: &mut Random) -> Denial {
    match random.below(3) {
        0 => Denial::Nsec,
        kind => Denial::Nsec3 {
            salt: vec![7; random.below(3)],
            iterations: u16::try_from(random.below(3)).unwrap(),
            opt_out: kind == 2,
        },
    }
}

/// Adds records that can be beside each other.
fn fill(random: &mut Random, zone: &mut Zone, apexes: &[Name]) {
    for _ in 0..random.below(8) {
        let owner = somewhere(random, &zone.apex);
        let is_elsewhere = apexes
            .iter()
            .any(|apex| apex.is_below(&zone.apex) && owner.is_in(apex));
        let is_below_dname = (zone.apex.count()..owner.count())
            .any(|count| zone.set(&owner.suffix(count), rtype::DNAME).is_some());
        if is_elsewhere || is_below_dname {
            continue;
        }
        let types = zone.types(&owner);
        let target = {
            let apex = random.pick(apexes).clone();
            somewhere(random, &apex).as_wire().to_vec()
        };
        match random.below(6) {
            0 if types.is_empty() => zone.add(&owner, rtype::CNAME, target),
            1 => {
                let is_above = zone
                    .owners()
                    .iter()
                    .chain(apexes)
                    .any(|name| name.is_below(&owner));
                if !is_above && types.is_empty() && !owner.labels().any(|label| label == b"*") {
                    zone.add(&owner, rtype::DNAME, target);
                }
            }
            kind if !types.contains(&rtype::CNAME) => {
                let record_type = if kind % 2 == 0 { A } else { TXT };
                let octet = u8::try_from(random.below(200)).unwrap();
                zone.add(&owner, record_type, vec![1, octet, 0, 0]);
            }
            _ => {}
        }
    }
}

fn tree(random: &mut Random) -> (World, Vec<Question>) {
    let mut apexes = vec![Name::root()];
    for _ in 0..3 + random.below(5) {
        let above = random.pick(&apexes).clone();
        let apex = somewhere(random, &above);
        let is_wild = apex.labels().any(|label| label == b"*");
        if !is_wild && apex.count() < 6 && !apexes.contains(&apex) {
            apexes.push(apex);
        }
    }
    apexes.sort();
    let mut world = World::default();
    for apex in &apexes {
        let delegated = match random.below(8) {
            _ if apex.is_root() => Delegated::Signed,
            0 | 1 => Delegated::Unsigned,
            2 => Delegated::Unknown,
            _ => Delegated::Signed,
        };
        let mut zone = Zone::new(&apex.to_string(), denial(random), delegated, "");
        fill(random, &mut zone, &apexes);
        if delegated != Delegated::Unsigned && !apex.is_root() && random.below(6) == 0 {
            world.islands.push(apex.clone());
        }
        world.add(zone);
    }
    let mut questions = Vec::new();
    for _ in 0..60 {
        let apex = random.pick(&apexes).clone();
        let name = match random.below(5) {
            0 => apex,
            _ => somewhere(random, &apex),
        };
        let record_type =
            *random.pick(&[A, A, TXT, rtype::DS, rtype::NS, rtype::SOA, rtype::CNAME]);
        questions.push(Question { name, record_type });
    }
    questions.retain(|question| !world.truth(question).is_circle);
    (world, questions)
}

#[test]
fn any_tree_of_zones_is_judged_as_it_is() {
    let (mut secure, mut insecure, mut denied) = (0, 0, 0);
    for seed in 0..150 {
        let mut random = Random(seed);
        let (world, questions) = tree(&mut random);
        let mut warm = validator(&world);
        for question in &questions {
            let (reply, truth) = (world.reply(question), world.truth(question));
            let outcome = judge(
                &mut warm,
                question,
                &reply,
                |wanted| Ok(world.reply(wanted)),
            );
            assert!(
                agrees(&reply, &outcome, &truth),
                "seed {seed} {question:?}\n{outcome:#?}\n{truth:?}\n{reply:?}\n{world:?}"
            );
            denied += u32::from(truth.rcode == NXDOMAIN);
            secure += u32::from(outcome.verdict == Verdict::Secure);
            insecure += u32::from(outcome.verdict == Verdict::Insecure);
        }
    }
    assert!(
        secure > 1_000 && insecure > 500 && denied > 500,
        "{secure} {insecure} {denied}"
    );
}

#[test]
fn nothing_tampered_is_believed_in_any_tree() {
    for seed in 1_000..1_000 + 40 * times() {
        let mut random = Random(seed);
        let (world, questions) = tree(&mut random);
        run(&world, &questions, seed, 100);
    }
}
