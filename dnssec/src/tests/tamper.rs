//! Can a reply be damaged so that it is believed? No tampered reply is Secure with other content than the genuine one, and none
//! is Insecure where the zones do not prove it; whatever is taken away, exchanged, replayed or forged, in the reply and in what
//! is fetched.

use std::collections::BTreeSet;

use super::judge;
use super::world::{Fact, Truth, World, fact};
use super::zone::{A, Group, name, record};
use crate::budget::Budget;
use crate::name::Name;
use crate::record::{Record, rtype};
use crate::validator::{Fetch, Outcome, Question, Reply, Settings, Validator};
use crate::verdict::Verdict;

/// What is asked in the tests that try every RRset of all zones: each kind of answer in each kind of zone.
const KINDS: &[(&str, u16)] = &[
    ("www", A),
    ("www", super::zone::AAAA),
    ("www", rtype::ANY),
    ("none", A),
    ("x.wild", A),
    ("x.wild", super::zone::TXT),
    ("far", A),
    ("lostfar", A),
    ("x.wc", A),
    ("host.old", A),
    ("gone.old", A),
    ("ring1", A),
    ("", rtype::DS),
];
pub(super) const SIGNED: &[&str] = &["nsec.test", "nsec3.test", "opt.test", "sub.nsec.test"];

/// Room for everything: bounds are another test's.
pub(super) fn settings() -> Settings {
    Settings {
        cache_size: 64 << 20,
        budget: Budget {
            signatures: 100_000,
            failures: 100_000,
            hash_rounds: 1_000_000,
            digests: 10_000,
            fetches: 200,
            bytes: 1 << 30,
        },
        ..Settings::default()
    }
}

fn kinds() -> Vec<Question> {
    let zones = SIGNED.iter().chain(&["test", "bare.nsec3.test"]);
    let rows = zones.flat_map(|zone| KINDS.iter().map(move |kind| (zone, kind)));
    rows.map(|(zone, (label, record_type))| Question {
        name: name(&format!("{label}.{zone}")),
        record_type: *record_type,
    })
    .collect()
}

/// One question under attack.
pub(super) struct Attack<'a> {
    world: &'a World,
    question: Question,
    genuine: Reply,
    truth: Truth,
    tried: usize,
    believed: Vec<String>,
}

impl<'a> Attack<'a> {
    pub(super) fn new(world: &'a World, question: Question) -> Self {
        let (genuine, truth) = world.answer(&question);
        Self {
            world,
            question,
            genuine,
            truth,
            tried: 0,
            believed: Vec::new(),
        }
    }

    pub(super) fn reply(&mut self, validator: &mut Validator, how: &str, reply: &Reply) {
        self.both(validator, how, reply, |world, fetch| world.answer(fetch).0);
    }

    pub(super) fn both(
        &mut self,
        validator: &mut Validator,
        how: &str,
        reply: &Reply,
        upstream: impl Fn(&World, &Fetch) -> Reply,
    ) {
        let world = self.world;
        let outcome = judge(validator, &self.question, reply, |fetch| {
            Ok(upstream(world, fetch))
        });
        self.tried += 1;
        if let Err(what) = self.look(reply, &outcome) {
            self.believed.push(format!(
                "{:?}: {how}: {what}: {:?} {}; {:?}",
                self.question, outcome.verdict, outcome.why, outcome.links
            ));
        }
    }

    /// Whether an outcome may be.
    fn look(&self, reply: &Reply, outcome: &Outcome) -> Result<(), String> {
        let kept: BTreeSet<Fact> = reply
            .answers
            .iter()
            .zip(&outcome.answers)
            .filter(|(record, kept)| **kept && record.record_type != rtype::RRSIG)
            .map(|(record, _)| fact(record))
            .collect();
        match outcome.verdict {
            Verdict::Bogus(_) | Verdict::Indeterminate(_) => Ok(()),
            Verdict::Insecure if !self.truth.insecure => Err("it is not insecure".to_owned()),
            Verdict::Insecure => {
                // What the aliases pass through before is signed, and must be what it is.
                let mut names = self.truth.names.iter();
                let first = names.next().unwrap();
                let secure = !self.world.is_insecure(first, false);
                let alien = kept.iter().find(|(owner, ..)| {
                    secure
                        && **owner == *first.as_wire()
                        && self.world.zone_of(first, false).exists(first)
                });
                match alien.filter(|alien| !self.truth.answers.contains(alien)) {
                    Some(alien) => Err(format!("{alien:?} is kept")),
                    None => Ok(()),
                }
            }
            Verdict::Secure => self.look_secure(&kept, outcome),
        }
    }

    fn look_secure(&self, kept: &BTreeSet<Fact>, outcome: &Outcome) -> Result<(), String> {
        // ANY may bring what usually is in another section.
        let is_alien = |fact: &&Fact| {
            let is_any = self.question.record_type == rtype::ANY && fact.1 == rtype::NSEC;
            !is_any && !self.truth.answers.contains(*fact)
        };
        if let Some(alien) = kept.iter().find(is_alien) {
            return Err(format!("{alien:?} is kept"));
        }
        if let Some(target) = &outcome.leads_to {
            let on_the_way = self.truth.names.iter().skip(1).any(|name| name == target);
            return match on_the_way && outcome.rcode == 0 {
                true => Ok(()),
                false => Err(format!("it leads to {target} with {}", outcome.rcode)),
            };
        }
        if self.truth.insecure {
            return Err("it is insecure".to_owned());
        }
        if outcome.rcode != self.truth.rcode {
            return Err(format!("the code is {}", outcome.rcode));
        }
        let missing = self.truth.answers.difference(kept);
        let missing: Vec<_> = missing
            .filter(|(owner, kind, _)| !self.is_made(owner, *kind))
            .collect();
        // An answer to ANY may leave out what it likes, but not everything.
        let subset = self.question.record_type == rtype::ANY && !kept.is_empty();
        match missing.is_empty() || subset {
            true => Ok(()),
            false => Err(format!("{missing:?} is not there")),
        }
    }

    /// Whether a record is an alias that a DNAME makes, and so can be left out.
    fn is_made(&self, owner: &[u8], record_type: u16) -> bool {
        let owner = Name::from_wire(owner).unwrap();
        record_type == rtype::CNAME
            && self.truth.answers.iter().any(|(dname, kind, _)| {
                *kind == rtype::DNAME && owner.is_below(&Name::from_wire(dname).unwrap())
            })
    }
}

pub(super) fn assert_none(attacks: &[Attack<'_>], least: usize) {
    let tried: usize = attacks.iter().map(|attack| attack.tried).sum();
    let believed: Vec<&String> = attacks.iter().flat_map(|attack| &attack.believed).collect();
    let shown: Vec<&str> = believed.iter().take(20).map(|line| line.as_str()).collect();
    assert!(
        believed.is_empty(),
        "{} of {tried} are believed:\n{}",
        believed.len(),
        shown.join("\n")
    );
    assert!(tried >= least, "only {tried} were tried");
}

/// Splits a section into RRsets with their signatures.
fn groups(section: &[Record]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for record in section {
        let covered = |group: &Group| {
            let own = [record.rdata.first().copied(), record.rdata.get(1).copied()];
            let [high, low] = group[0].record_type.to_be_bytes();
            record.record_type == rtype::RRSIG && own == [Some(high), Some(low)]
        };
        match groups.iter_mut().find(|group| {
            group[0].name == record.name
                && (group[0].record_type == record.record_type || covered(group))
        }) {
            Some(group) => group.push(record.clone()),
            None => groups.push(vec![record.clone()]),
        }
    }
    groups
}

/// Which section a change is about.
#[derive(Debug, Clone, Copy)]
enum Section {
    Answers,
    Authority,
}

fn section(reply: &mut Reply, which: Section) -> &mut Vec<Record> {
    match which {
        Section::Answers => &mut reply.answers,
        Section::Authority => &mut reply.authority,
    }
}

const SECTIONS: [Section; 2] = [Section::Answers, Section::Authority];
const RCODES: [u16; 5] = [0, 2, 3, 5, 6];

/// Returns every reply with something less, under every code.
pub(super) fn poorer(genuine: &Reply) -> Vec<(String, Reply)> {
    let mut all = vec![("as it is".to_owned(), genuine.clone())];
    for which in SECTIONS {
        let own = section(&mut genuine.clone(), which).clone();
        let mut empty = genuine.clone();
        section(&mut empty, which).clear();
        all.push((format!("no {which:?}"), empty));
        let mut bare = genuine.clone();
        section(&mut bare, which).retain(|record| record.record_type != rtype::RRSIG);
        all.push((format!("{which:?} unsigned"), bare));
        for at in 0..own.len() {
            let mut less = genuine.clone();
            section(&mut less, which).remove(at);
            all.push((format!("{which:?} without {at}"), less));
            let mut cut = genuine.clone();
            section(&mut cut, which).truncate(at);
            all.push((format!("{which:?} up to {at}"), cut));
        }
        let own = groups(&own);
        for at in 0..own.len() {
            let rest = own.iter().enumerate().filter(|(place, _)| *place != at);
            let mut less = genuine.clone();
            *section(&mut less, which) = rest.flat_map(|(_, group)| group.clone()).collect();
            all.push((format!("{which:?} without set {at}"), less.clone()));
            less.authority.clear();
            all.push((format!("{which:?} without set {at}, nor authority"), less));
        }
    }
    let coded = |(how, reply): &(String, Reply)| {
        RCODES.map(|rcode| {
            let reply = Reply {
                rcode,
                ..reply.clone()
            };
            (format!("{how}, code {rcode}"), reply)
        })
    };
    all.iter().flat_map(coded).collect()
}

#[test]
fn nothing_taken_away_makes_a_reply_say_something_else() {
    take_away(11, 2000);
}

/// Tries every `one_in`th loss. All of them, which takes a minute, with 1.
fn take_away(one_in: usize, least: usize) {
    let world = World::new();
    let mut validator = world.validator(settings());
    let attacks: Vec<Attack<'_>> = world
        .questions()
        .into_iter()
        .map(|question| {
            let mut attack = Attack::new(&world, question);
            let first = attack.question.name.as_wire().len() % one_in;
            let poorer = poorer(&attack.genuine.clone());
            for (how, reply) in poorer.into_iter().skip(first).step_by(one_in) {
                attack.reply(&mut validator, &how, &reply);
            }
            attack
        })
        .collect();
    assert_none(&attacks, least);
}

#[test]
fn no_genuine_rrset_of_another_place_is_believed_in_this_one() {
    exchange(29, 3000);
}

/// Tries every `one_in`th exchange. All of them, which takes a minute, with 1.
fn exchange(one_in: usize, least: usize) {
    let world = World::new();
    let mut validator = world.validator(settings());
    let universe = world.universe();
    let attacks: Vec<Attack<'_>> = kinds()
        .into_iter()
        .map(|question| {
            let mut attack = Attack::new(&world, question);
            let genuine = attack.genuine.clone();
            let first = attack.question.name.as_wire().len() % one_in;
            for (at, alien) in universe.iter().enumerate().skip(first).step_by(one_in) {
                for which in SECTIONS {
                    let own = groups(section(&mut genuine.clone(), which));
                    for place in 0..own.len() {
                        let mut swapped = own.clone();
                        swapped[place].clone_from(alien);
                        let mut reply = genuine.clone();
                        *section(&mut reply, which) = swapped.into_iter().flatten().collect();
                        attack.reply(
                            &mut validator,
                            &format!("{which:?} {place} is {at}"),
                            &reply,
                        );
                    }
                }
                // Under the name that is asked for, with its own signature.
                let renamed = alien.iter().map(|record| Record {
                    name: attack.question.name.as_wire().into(),
                    ..record.clone()
                });
                let reply = Reply {
                    answers: renamed.collect(),
                    authority: genuine.authority.clone(),
                    rcode: 0,
                };
                attack.reply(&mut validator, &format!("renamed {at}"), &reply);
                for rcode in [0, 3] {
                    let reply = Reply {
                        rcode,
                        answers: Vec::new(),
                        authority: [alien.clone(), genuine.authority.clone()].concat(),
                    };
                    attack.reply(&mut validator, &format!("{at} denies with {rcode}"), &reply);
                }
            }
            attack
        })
        .collect();
    assert_none(&attacks, least);
}

#[test]
fn no_reply_to_another_question_is_believed_for_this_one() {
    replay(23, 1500);
}

/// Tries every `one_in`th other reply. All of them, which takes a minute, with 1.
fn replay(one_in: usize, least: usize) {
    let world = World::new();
    let mut validator = world.validator(settings());
    let others: Vec<Reply> = world
        .questions()
        .iter()
        .map(|other| world.answer(other).0)
        .collect();
    let attacks: Vec<Attack<'_>> = kinds()
        .into_iter()
        .map(|question| {
            let mut attack = Attack::new(&world, question);
            let first = attack.question.name.as_wire().len() % one_in;
            for (at, other) in others.iter().enumerate().skip(first).step_by(one_in) {
                attack.reply(&mut validator, &format!("reply {at}"), other);
                let mixed = Reply {
                    authority: other.authority.clone(),
                    ..attack.genuine.clone()
                };
                attack.reply(&mut validator, &format!("authority of {at}"), &mixed);
            }
            attack
        })
        .collect();
    assert_none(&attacks, least);
}

#[test]
fn all_denials_of_all_zones_together_deny_nothing_that_is_there() {
    let world = World::new();
    let mut validator = world.validator(settings());
    let denials: Vec<Group> = world
        .universe()
        .into_iter()
        .filter(|group| matches!(group[0].record_type, rtype::NSEC | rtype::NSEC3))
        .collect();
    let attacks: Vec<Attack<'_>> = world
        .questions()
        .into_iter()
        .map(|question| {
            let mut attack = Attack::new(&world, question);
            for rcode in [0, 3] {
                let mut reply = Reply {
                    rcode,
                    answers: Vec::new(),
                    authority: denials.concat(),
                };
                attack.reply(&mut validator, "all", &reply);
                let forged = record(&attack.question.name, A, &[6, 6, 6, 6]);
                reply.answers.push(forged);
                attack.reply(&mut validator, "all, and forged", &reply);
            }
            attack
        })
        .collect();
    assert_none(&attacks, 500);
}

#[test]
fn no_changed_octet_is_believed() {
    let world = World::new();
    let mut validator = world.validator(settings());
    let attacks: Vec<Attack<'_>> = kinds()
        .into_iter()
        .map(|question| {
            let mut attack = Attack::new(&world, question);
            for which in SECTIONS {
                let own = section(&mut attack.genuine.clone(), which).clone();
                for (place, was) in own.iter().enumerate() {
                    for at in (0..was.rdata.len()).step_by(7) {
                        let mut reply = attack.genuine.clone();
                        section(&mut reply, which)[place].rdata[at] ^= 1;
                        attack.reply(
                            &mut validator,
                            &format!("{which:?} {place} octet {at}"),
                            &reply,
                        );
                    }
                }
            }
            attack
        })
        .collect();
    assert_none(&attacks, 1000);
}

/// What is remembered of one check must not serve another: the last record of an RRset can be moved into the signature.
#[test]
fn a_remembered_signature_is_not_believed_for_fewer_records() {
    let world = World::new();
    let question = Question {
        name: name("www.nsec.test"),
        record_type: A,
    };
    let mut validator = world.validator(settings());
    let mut attack = Attack::new(&world, question.clone());
    let genuine = attack.genuine.clone();
    attack.reply(&mut validator, "genuine", &genuine);
    let [first, second, sig] = &genuine.answers[..] else {
        panic!("two addresses and their signature");
    };
    let mut sig = sig.clone();
    let end = sig.rdata.len() - 64;
    let mut moved = second.name.to_vec();
    moved.extend([0, 1, 0, 1]);
    moved.extend(second.ttl.to_be_bytes());
    moved.extend([0, 4]);
    moved.extend(&second.rdata);
    sig.rdata.splice(end..end, moved);
    let reply = Reply {
        answers: vec![first.clone(), sig],
        ..genuine
    };
    attack.reply(&mut validator, "one address moved", &reply);
    assert_none(&[attack], 2);
}
