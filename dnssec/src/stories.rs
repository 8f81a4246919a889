//! Does the validator judge as it is, and as nothing that is forged says? Stories on the internet of [`lab`].

mod again;
mod attacks;
mod cost;
mod hostile;
mod lab;
mod tamper;
mod trees;

use lab::{A, Delegated, Denial, NOW, TXT, Truth, World, Zone, ask};

use crate::anchors::{Anchor, TrustAnchors};
use crate::name::Name;
use crate::record::{canonical, rtype};
use crate::validator::{
    FetchFailure, Outcome, Question, Reply, Settings, Step, Validation, Validator, WallClock,
};
use crate::verdict::Verdict;

const CLOCK: WallClock = WallClock {
    seconds: NOW,
    dates_count: true,
};

/// How often the random stories are told: `LINNET_TIMES`, for who has the time.
#[expect(
    clippy::disallowed_methods,
    reason = "whoever has more time says so there"
)]
pub(crate) fn times() -> u64 {
    std::env::var("LINNET_TIMES").map_or(1, |text| text.parse().expect("LINNET_TIMES is a number"))
}

pub(crate) fn hickory(name: &Name) -> hickory_proto::rr::Name {
    let mut name = hickory_proto::rr::Name::from_labels(name.labels()).unwrap();
    name.set_fqdn(true);
    name
}

/// Returns a validator that trusts the keys of the root and of the islands.
pub(crate) fn validator(world: &World) -> Validator {
    let mut anchors = TrustAnchors::empty();
    let root = [Name::root()];
    for point in root.iter().chain(&world.islands) {
        let ds = world.zones[point].ds(15);
        let ds = hickory_proto::dnssec::rdata::DS::new(
            u16::from_be_bytes([ds[0], ds[1]]),
            hickory_proto::dnssec::Algorithm::ED25519,
            hickory_proto::dnssec::DigestType::SHA256,
            ds[4..].to_vec(),
        );
        anchors.add(&hickory(point), Anchor::Ds(ds));
    }
    Validator::new(Settings::default(), &anchors)
}

/// Judges a reply; what it needs comes from `fetch`.
pub(crate) fn judge(
    validator: &mut Validator,
    question: &Question,
    reply: &Reply,
    fetch: impl FnMut(&Question) -> Result<Reply, FetchFailure>,
) -> Outcome {
    judge_at(validator, question, reply, CLOCK, fetch).0
}

pub(crate) fn judge_at(
    validator: &mut Validator,
    question: &Question,
    reply: &Reply,
    now: WallClock,
    mut fetch: impl FnMut(&Question) -> Result<Reply, FetchFailure>,
) -> (Outcome, Validation) {
    let mut validation = validator.begin(question.clone(), reply);
    loop {
        match validation.step(validator, now) {
            Step::Done(outcome) => return (*outcome, validation),
            Step::Paused => {}
            Step::Fetch(fetches) => {
                assert!(!fetches.is_empty(), "it waits for nothing");
                for wanted in fetches {
                    let brought = fetch(&wanted);
                    validation.handle_fetch(&wanted, brought.as_ref().map_err(|failure| *failure));
                }
            }
        }
    }
}

/// Returns what a verdict of a reply lets through: the sets, in order.
pub(crate) fn kept(reply: &Reply, outcome: &Outcome) -> Vec<(Name, u16, Vec<Vec<u8>>)> {
    let mut sets: Vec<(Name, u16, Vec<Vec<u8>>)> = Vec::new();
    for (record, kept) in reply.answers.iter().zip(&outcome.answers) {
        if !kept || record.record_type == rtype::RRSIG {
            continue;
        }
        let name = Name::from_wire(&record.name).unwrap();
        let rdata = canonical(record.record_type, &record.rdata);
        let known = sets
            .iter_mut()
            .find(|set| set.0 == name && set.1 == record.record_type);
        match known {
            Some(set) => set.2.push(rdata),
            None => sets.push((name, record.record_type, vec![rdata])),
        }
    }
    for set in &mut sets {
        set.2.sort();
        set.2.dedup();
    }
    sets
}

const NSEC_ZONE: &str = "www A 1.2.3.4\nwww A 1.2.3.5\nwww TXT hello\n*.wild A 2.2.2.2\n*.wc CNAME www.nsec.test\n\
    a.b.ent A 3.3.3.3\nalias CNAME www.nsec.test\nout CNAME www.nsec3.test\nnowhere CNAME nothing.nsec3.test\n\
    nothere CNAME www.nothing.nsec.test\nplain CNAME www.plain.test\nold DNAME new.nsec.test\nwww.new A 4.4.4.4\n\
    far DNAME optout.test\nempty CNAME ent.nsec3.test\ntopub CNAME x.wild.nsec3.test";

/// Returns a world with every kind of zone.
pub(crate) fn world() -> World {
    let nsec3 = |salt: &[u8], iterations, opt_out| Denial::Nsec3 {
        salt: salt.to_vec(),
        iterations,
        opt_out,
    };
    let usual = "www A 1.2.3.4\nwww A 1.2.3.5\n*.wild A 2.2.2.2\na.b.ent A 3.3.3.3\nalias CNAME www.nsec.test\n\
        *.wc CNAME www.nsec.test\nold DNAME new.nsec.test\ngone CNAME nothing.optout.test";
    let mut world = World::default();
    let zones = [
        (".", Denial::Nsec, Delegated::Signed, ""),
        (
            "test",
            nsec3(b"", 0, true),
            Delegated::Signed,
            "host A 9.9.9.9",
        ),
        ("nsec.test", Denial::Nsec, Delegated::Signed, NSEC_ZONE),
        ("sub.nsec.test", Denial::Nsec, Delegated::Signed, usual),
        ("un.nsec.test", Denial::Nsec, Delegated::Unsigned, usual),
        (
            "nsec3.test",
            nsec3(b"salt", 1, false),
            Delegated::Signed,
            usual,
        ),
        (
            "sub.nsec3.test",
            nsec3(b"", 0, false),
            Delegated::Signed,
            usual,
        ),
        ("un.nsec3.test", Denial::Nsec, Delegated::Unsigned, usual),
        ("deep.un.nsec3.test", Denial::Nsec, Delegated::Signed, usual),
        (
            "optout.test",
            nsec3(b"ab", 2, true),
            Delegated::Signed,
            usual,
        ),
        ("un.optout.test", Denial::Nsec, Delegated::Unsigned, usual),
        (
            "un.way.optout.test",
            Denial::Nsec,
            Delegated::Unsigned,
            usual,
        ),
        ("sub.optout.test", Denial::Nsec, Delegated::Signed, usual),
        ("plain.test", Denial::Nsec, Delegated::Unsigned, usual),
        ("unknown.test", Denial::Nsec, Delegated::Unknown, usual),
        (
            "costly.test",
            nsec3(b"cafe", 200, false),
            Delegated::Signed,
            usual,
        ),
    ];
    for (apex, denial, delegated, text) in zones {
        world.add(Zone::new(apex, denial, delegated, text));
    }
    world
}

/// Returns questions that meet everything in [`world`].
pub(crate) fn questions(world: &World) -> Vec<Question> {
    let owners = [
        "", "www", "x.wild", "x.y.wild", "wild", "*.wild", "x.wc", "ent", "b.ent", "a.b.ent",
        "x.b.ent", "nothing", "alias", "out", "nowhere", "nothere", "plain", "old", "www.old",
        "x.old", "far", "www.far", "empty", "topub", "gone", "way", "x.way", "zzz", "www.www",
        "un", "sub",
    ];
    let mut questions = Vec::new();
    for zone in world.zones.values() {
        for owner in owners {
            for record_type in [A, TXT, rtype::DS, rtype::CNAME] {
                questions.push(ask(&format!("{owner}.{}", zone.apex), record_type));
            }
        }
        for record_type in [rtype::SOA, rtype::NS, rtype::DNSKEY] {
            questions.push(ask(&zone.apex.to_string(), record_type));
        }
    }
    questions
}

/// Whether an outcome on a genuine reply is what is so.
fn agrees(reply: &Reply, outcome: &Outcome, truth: &Truth) -> bool {
    let verdict = match truth.is_secure {
        true => Verdict::Secure,
        false => Verdict::Insecure,
    };
    outcome.verdict == verdict
        && outcome.rcode == truth.rcode
        && (!truth.is_secure || kept(reply, outcome) == truth.sets)
}

#[test]
fn genuine_replies_are_worth_what_their_zones_are() {
    let world = world();
    let mut warm = validator(&world);
    for question in questions(&world) {
        if question.record_type == rtype::NSEC {
            continue;
        }
        let (reply, truth) = (world.reply(&question), world.truth(&question));
        let mut cold = validator(&world);
        for validator in [&mut cold, &mut warm] {
            let outcome = judge(validator, &question, &reply, |wanted| {
                Ok(world.reply(wanted))
            });
            assert!(
                agrees(&reply, &outcome, &truth),
                "{question:?}\n{outcome:#?}\n{truth:?}"
            );
        }
    }
}
