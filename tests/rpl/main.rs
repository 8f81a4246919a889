//! Does the validator judge as the published scenarios say? Each is played in-process: the reply of the scenario's upstream
//! goes in, what the chain of trust needs comes from the same upstream, the verdict is compared.
//!
//! The scenarios lie beside the project (`shared/rpl`); without them the test says that it was skipped.

#![expect(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "a test may fail at any line"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use dnssec::anchors::negative::NegativeAnchor;
use dnssec::anchors::parse_anchors;
use dnssec::{
    FetchFailure, Name, Question, Record, Reply, Settings, Step, TrustAnchors, Validator, Verdict,
    WallClock,
};
use resolver::present::{parse_type, rcode_name};
use resolver::record::{ParsedReply, RawRecord, parse_reply};
use resolver::wire;
use serde_json::Value;

const SERVFAIL: u16 = 2;
const RRSIG: u16 = 46;
const NSEC: u16 = 47;
const NSEC3: u16 = 50;
/// Aliases that lead on are followed so often.
const HOPS_MAX: usize = 12;

/// Scenarios about something that is not so here, and what it is.
const EXCUSED: &[(&str, &str)] = &[
    (
        "stop_nxdomain",
        "the validator alone remembers no denial; the daemon does, and passes it",
    ),
    (
        "val_anchor_nx_nosig",
        "an anchor whose zone has no keys means bogus, not insecure",
    ),
    (
        "val_faildnskey_ok",
        "keys that cannot be fetched mean no answer, not an insecure one",
    ),
    (
        "val_ta_algo_missing",
        "one algorithm that fits is enough (RFC 6840 §5.11)",
    ),
];

#[test]
fn every_scenario_ends_as_published() {
    const NAME: &str = "rpl";
    let Some(folder) = tests::shared().map(|shared| shared.join("rpl/scenarios/json")) else {
        return tests::skip(NAME, "shared/rpl is not beside the project");
    };
    let mut failed = Vec::new();
    let mut passed = 0;
    for path in scenarios(&folder) {
        let scenario: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let name = scenario["name"].as_str().unwrap();
        if EXCUSED.iter().any(|(excused, _)| name.ends_with(excused)) {
            continue;
        }
        let wrong = play(&scenario);
        if wrong.is_empty() {
            passed += 1;
        } else {
            failed.push(format!("{}\n  {}", scenario["name"], wrong.join("\n  ")));
        }
    }
    assert!(
        failed.is_empty() && passed > 190,
        "{passed} passed, {} failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

fn scenarios(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for group in fs::read_dir(folder).unwrap() {
        let files = fs::read_dir(group.unwrap().path()).unwrap();
        paths.extend(files.map(|file| file.unwrap().path()));
    }
    paths.sort();
    paths
}

/// Plays a scenario; returns what came out otherwise than published.
fn play(scenario: &Value) -> Vec<String> {
    let time = scenario["time"].as_u64().unwrap();
    let mut anchors = TrustAnchors::empty();
    for line in scenario["anchors"].as_array().unwrap() {
        let parsed = parse_anchors(line.as_str().unwrap());
        assert_eq!(parsed.diagnostics, [], "{line}");
        for (owner, anchor) in parsed.anchors {
            anchors.add(&owner, anchor);
        }
    }
    for name in scenario["insecure"].as_array().unwrap() {
        let name = hickory_proto::rr::Name::from_ascii(name.as_str().unwrap()).unwrap();
        anchors.add_negative(NegativeAnchor::new(&name, 86_400, "scenario", time).unwrap());
    }
    let mut validator = Validator::new(Settings::default(), &anchors);
    let now = WallClock {
        seconds: time,
        dates_count: true,
    };
    let queries = scenario["queries"].as_array().unwrap();
    queries
        .iter()
        .filter_map(|query| ask(scenario, query, &mut validator, now).err())
        .collect()
}

/// Asks one question of a scenario; the error is the difference.
fn ask(
    scenario: &Value,
    query: &Value,
    validator: &mut Validator,
    now: WallClock,
) -> Result<(), String> {
    let step = query["step"].as_u64().unwrap();
    let flags: Vec<&str> = query["flags"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let record_type = parse_type(query["qtype"].as_str().unwrap()).unwrap();
    let qname = query["qname"].as_str().unwrap();
    let mut question = wire::Question {
        name: qname.parse().unwrap(),
        record_type,
        class: wire::class::IN,
    };
    let what = format!("step {step} {qname} {}", query["qtype"]);
    let (mut answers, mut rcode, mut authentic, mut why) =
        (Vec::new(), SERVFAIL, true, String::new());
    for _ in 0..HOPS_MAX {
        let Some(reply) =
            upstream(scenario, &question, step).filter(|reply| reply.rcode != SERVFAIL)
        else {
            (answers, rcode, authentic) = (Vec::new(), SERVFAIL, false);
            why = "the upstream has nothing".to_owned();
            break;
        };
        if flags.contains(&"CD") {
            (answers, rcode, authentic) = (reply.answers, reply.rcode, false);
            break;
        }
        let outcome = judge(scenario, &question, &reply, step, validator, now);
        why = format!(
            "{:?}: {}; {}",
            outcome.verdict,
            outcome.why,
            outcome.links.join("; ")
        );
        match outcome.verdict {
            Verdict::Bogus(_)
            | Verdict::Indeterminate(
                dnssec::IndeterminateReason::FetchFailed | dnssec::IndeterminateReason::BudgetSpent,
            ) => {
                (answers, rcode, authentic) = (Vec::new(), SERVFAIL, false);
                break;
            }
            Verdict::Insecure | Verdict::Indeterminate(_) => authentic = false,
            Verdict::Secure => {}
        }
        let kept = reply
            .answers
            .iter()
            .zip(&outcome.answers)
            .filter(|(_, kept)| **kept || !matches!(outcome.verdict, Verdict::Secure));
        answers.extend(kept.map(|(record, _)| record.clone()));
        rcode = outcome.rcode;
        if runs_in_a_circle(&question.name, &answers) {
            (answers, rcode, authentic) = (Vec::new(), SERVFAIL, false);
            break;
        }
        match outcome.leads_to {
            Some(target) => {
                question.name = config::name::DomainName::from_wire(target.as_wire()).unwrap();
            }
            None => break,
        }
    }
    let expected = &query["expect"];
    let told = authentic && (flags.contains(&"DO") || flags.contains(&"AD"));
    if u64::from(rcode) != expected["rcode"].as_u64().unwrap() {
        return Err(format!(
            "{what}: {} instead of {}: {why}",
            rcode_name(rcode),
            expected["rcode"]
        ));
    }
    if told != expected["ad"].as_bool().unwrap() {
        return Err(format!(
            "{what}: AD {told} instead of {}: {why}",
            expected["ad"]
        ));
    }
    let own: BTreeSet<String> = answers
        .iter()
        .filter(|record| counts(record))
        .map(show)
        .collect();
    let theirs: BTreeSet<String> = expected["answer"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|line| normal(line.as_str().unwrap()))
        .collect();
    let theirs: BTreeSet<String> = theirs
        .into_iter()
        .filter(|line| !line.contains(" rrsig ") && !line.contains(" nsec"))
        .collect();
    if rcode != SERVFAIL
        && expected["answer"].is_array()
        && record_type != wire::rtype::ANY
        && own.len() != theirs.len()
    {
        return Err(format!(
            "{what}: answers {own:?} instead of {theirs:?}: {why}"
        ));
    }
    Ok(())
}

/// As the resolver does, which has nothing to answer then.
fn runs_in_a_circle(name: &config::name::DomainName, answers: &[RawRecord]) -> bool {
    let mut name = name.clone();
    for _ in 0..HOPS_MAX {
        let alias = answers
            .iter()
            .find(|record| record.record_type == wire::rtype::CNAME && record.is_at(&name));
        match alias.and_then(resolver::record::cname_target) {
            Some(target) => name = target,
            None => return false,
        }
    }
    true
}

fn counts(record: &RawRecord) -> bool {
    !matches!(record.record_type, RRSIG | NSEC | NSEC3)
}

fn show(record: &RawRecord) -> String {
    format!(
        "{} {} {:?}",
        record.owner(),
        record.record_type,
        record.rdata
    )
    .to_lowercase()
}

fn normal(line: &str) -> String {
    line.to_lowercase()
}

fn judge(
    scenario: &Value,
    question: &wire::Question,
    reply: &ParsedReply,
    step: u64,
    validator: &mut Validator,
    now: WallClock,
) -> dnssec::Outcome {
    let asked = Question {
        name: Name::from_wire(question.name.as_wire()).unwrap(),
        record_type: question.record_type,
    };
    let mut validation = validator.begin(asked, &convert(reply));
    loop {
        match validation.step(validator, now) {
            Step::Done(outcome) => return *outcome,
            Step::Paused => {}
            Step::Fetch(fetches) => {
                assert!(!fetches.is_empty(), "the validator waits for nothing");
                for fetch in fetches {
                    let wanted = wire::Question {
                        name: config::name::DomainName::from_wire(fetch.name.as_wire()).unwrap(),
                        record_type: fetch.record_type,
                        class: wire::class::IN,
                    };
                    let brought = upstream(scenario, &wanted, step)
                        .filter(|reply| matches!(reply.rcode, 0 | 3))
                        .map(|reply| convert(&reply));
                    let brought = brought.as_ref().ok_or(FetchFailure::NoReply);
                    validation.handle_fetch(&fetch, brought);
                }
            }
        }
    }
}

fn convert(reply: &ParsedReply) -> Reply {
    let records = |records: &[RawRecord]| {
        records
            .iter()
            .map(|record| Record {
                name: record.name.clone(),
                record_type: record.record_type,
                class: record.class,
                ttl: record.ttl,
                rdata: record.rdata.clone(),
            })
            .collect()
    };
    Reply {
        rcode: reply.rcode,
        answers: records(&reply.answers),
        authority: records(&reply.authority),
    }
}

/// Returns what the scenario's upstream replies.
fn upstream(scenario: &Value, question: &wire::Question, step: u64) -> Option<ParsedReply> {
    let replies = scenario["upstream"].as_array().unwrap();
    let reply = replies.iter().find(|reply| {
        let name: config::name::DomainName = reply["qname"].as_str().unwrap().parse().unwrap();
        let steps = &reply["steps"];
        let now = steps == "all"
            || steps
                .as_array()
                .is_some_and(|steps| steps.contains(&step.into()));
        now && name == question.name
            && parse_type(reply["qtype"].as_str().unwrap()) == Some(question.record_type)
    })?;
    let hex = reply["wire"].as_str().unwrap();
    let bytes: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect();
    let id = u16::from_be_bytes([bytes[0], bytes[1]]);
    parse_reply(&bytes, id, question).ok()
}
