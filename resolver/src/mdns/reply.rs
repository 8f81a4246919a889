//! What is answered to a neighbour's question, to whom and how soon (RFC 6762 §6, §7)? The responder's other half.
//!
//! An answer is first put down as [`Pending`], as others may still say what they know (a truncated question) or give the same
//! answer; then written, together with all that is due. A record is said to all at most once a second.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use config::name::DomainName;
use config::time::Instant;
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::message::{Message, Section, Told, Wanted, Writer};
use super::voice::{Voice, has, responses, said_key};
use super::{Heard, MDNS_PORT, Whom};
use crate::record::RawRecord;
use crate::wire::rtype;

/// How long an answer waits that others may give too, in milliseconds (RFC 6762 §6).
const SHARED_MS: std::ops::RangeInclusive<u64> = 20..=120;
/// How long when more of what is known is to come (RFC 6762 §7.2).
const TRUNCATED_MS: std::ops::RangeInclusive<u64> = 400..=500;
/// A record is said to all no sooner again (RFC 6762 §6).
const REPEAT_MIN: Duration = Duration::from_secs(1);
/// In defence of a name, no sooner than that (RFC 6762 §6).
const DEFENCE_MIN: Duration = Duration::from_millis(250);
/// The TTL that clients get who are not of multicast DNS, at most (RFC 6762 §6.7).
const LEGACY_TTL: u32 = 10;
/// Answers to one asker in a second, for all of them together: who asks more is not in need of answers.
const ALONE_MAX: u32 = 100;
/// Answers that wait at a time.
const PENDING_MAX: usize = 64;

/// An answer that waits.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(super) at: Instant,
    pub(super) to: Whom,
    /// Who asked; what it knows may still come.
    asker: SocketAddr,
    /// ID and questions, for a client that is not of multicast DNS (RFC 6762 §6.7).
    legacy: Option<(u16, Vec<Wanted>)>,
    /// Whether it defends a name against a probe.
    is_defence: bool,
    pub(super) answers: Vec<Told>,
    additional: Vec<Told>,
}

impl Voice {
    /// Takes a neighbour's question.
    pub(crate) fn hear_query(
        &mut self,
        message: &Message,
        heard: &Heard<'_>,
        now: Instant,
        rng: &mut StdRng,
    ) {
        if message.questions.is_empty() {
            self.hear_more_known(message, heard);
            return;
        }
        let is_legacy = heard.source.port() != MDNS_PORT;
        let is_probe = !message.authority.is_empty();
        let mut to_all = Answers::default();
        let mut to_asker = Answers::default();
        for wanted in &message.questions {
            let answers = self.answers(wanted);
            for told in answers.told {
                // RFC 6762 §7.1: known already, with at least half of its life before it.
                let is_known = |known: &Told| {
                    has(std::slice::from_ref(known), &told)
                        && known.record.ttl >= told.record.ttl / 2
                };
                if !is_legacy && message.answers.iter().any(is_known) {
                    continue;
                }
                // RFC 6762 §5.4: by unicast when it is wished and all have heard it a while ago.
                let quarter = Duration::from_secs(u64::from(told.record.ttl) / 4);
                let said_at = self.said_at.get(&said_key(&told));
                let is_fresh = said_at.is_some_and(|at| now.since(*at) < quarter);
                // A defence is for all to hear: its asker may share its port with others.
                let to =
                    match is_legacy || !heard.to_group || (wanted.unicast && is_fresh && !is_probe)
                    {
                        true => &mut to_asker,
                        false => &mut to_all,
                    };
                to.is_shared |= answers.is_shared;
                if !has(&to.told, &told) {
                    to.told.push(told);
                }
            }
        }
        let wait = |is_shared: bool, rng: &mut StdRng| match (message.truncated, is_shared) {
            (true, _) => Duration::from_millis(rng.random_range(TRUNCATED_MS)),
            (false, true) => Duration::from_millis(rng.random_range(SHARED_MS)),
            (false, false) => Duration::ZERO,
        };
        let legacy = is_legacy.then(|| (message.id, message.questions.clone()));
        for (to, answers, legacy) in [
            (Whom::Group, to_all, None),
            (Whom::One(heard.source), to_asker, legacy),
        ] {
            if answers.told.is_empty() || self.pending.len() >= PENDING_MAX {
                continue;
            }
            self.pending.push(Pending {
                at: now + wait(answers.is_shared && !is_legacy && !is_probe, rng),
                to,
                asker: heard.source,
                legacy,
                is_defence: is_probe,
                additional: self.besides(&answers.told),
                answers: answers.told,
            });
        }
    }

    /// What somebody knows who asked before (RFC 6762 §7.2).
    fn hear_more_known(&mut self, message: &Message, heard: &Heard<'_>) {
        for pending in &mut self.pending {
            if pending.asker == heard.source {
                pending.answers.retain(|told| !has(&message.answers, told));
            }
        }
        self.pending.retain(|pending| !pending.answers.is_empty());
    }

    /// Returns all answers to a question; that a type is not there is an answer too (RFC 6762 §6.1).
    fn answers(&self, wanted: &Wanted) -> Answers {
        let mut answers = Answers::default();
        let records = self.speaking().flat_map(|group| &group.claimed.records);
        for told in records.filter(|told| wanted.is_answered_by(&told.record)) {
            answers.is_shared |= !told.flush;
            answers.told.push(told.clone());
        }
        let ours = || {
            self.speaking()
                .any(|group| group.claimed.name == wanted.name)
        };
        if answers.told.is_empty() && ours() {
            answers.told.extend(self.denial(&wanted.name));
        }
        answers
    }

    /// Returns the NSEC record that tells which types a name of ours has.
    fn denial(&self, name: &DomainName) -> Option<Told> {
        let records = self.speaking().flat_map(|group| &group.claimed.records);
        let here: Vec<&Told> = records.filter(|told| told.record.is_at(name)).collect();
        // RFC 6762 §6.1: a name that others may have too is not ours to speak for.
        if here.iter().any(|told| !told.flush) {
            return None;
        }
        let first = here.first()?;
        let mut bitmap = [0_u8; 32];
        for told in &here {
            // RFC 6762 §6.1: only types of block 0 can be told.
            let [0, low] = told.record.record_type.to_be_bytes() else {
                continue;
            };
            if let Some(octet) = bitmap.get_mut(usize::from(low / 8)) {
                *octet |= 0x80 >> (low % 8);
            }
        }
        let length = bitmap.iter().rposition(|octet| *octet != 0)? + 1;
        let mut rdata = name.as_wire().to_vec();
        rdata.extend([0, u8::try_from(length).ok()?]);
        rdata.extend(bitmap.get(..length)?);
        Some(Told {
            record: RawRecord {
                name: first.record.name.clone(),
                record_type: rtype::NSEC,
                rdata,
                ..first.record.clone()
            },
            flush: true,
        })
    }

    /// Returns what an asker will want next (RFC 6763 §12): the other addresses, what a service is and where.
    fn besides(&self, answers: &[Told]) -> Vec<Told> {
        let mut besides: Vec<Told> = Vec::new();
        let mut names: Vec<DomainName> = answers
            .iter()
            .filter_map(|told| match told.record.record_type {
                rtype::PTR => DomainName::from_wire(&told.record.rdata).ok(),
                rtype::SRV => DomainName::from_wire(told.record.rdata.get(6..)?).ok(),
                rtype::A | rtype::AAAA => Some(told.record.owner()),
                _ => None,
            })
            .collect();
        let mut at = 0;
        while let Some(name) = names.get(at).cloned() {
            at += 1;
            let records = self.speaking().flat_map(|group| &group.claimed.records);
            for told in records.filter(|told| told.flush && told.record.is_at(&name)) {
                if let Some(target) = told.record.rdata.get(6..)
                    && told.record.record_type == rtype::SRV
                    && let Ok(target) = DomainName::from_wire(target)
                    && !names.contains(&target)
                {
                    names.push(target);
                }
                if !has(answers, told) && !has(&besides, told) {
                    besides.push(told.clone());
                }
            }
            besides.extend(
                self.denial(&name)
                    .filter(|told| !has(answers, told) && !has(&besides, told)),
            );
        }
        besides
    }

    /// Returns the answers that are due, and to whom.
    pub(crate) fn due_answers(&mut self, now: Instant) -> Vec<(Whom, Vec<u8>)> {
        let (due, waiting): (Vec<Pending>, Vec<Pending>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|pending| pending.at <= now);
        self.pending = waiting;
        if now.since(self.alone.0) >= REPEAT_MIN {
            self.alone = (now, 0);
        }
        let mut messages = Vec::new();
        let mut to_all: Vec<Told> = Vec::new();
        let mut besides: Vec<Told> = Vec::new();
        let mut by_asker: BTreeMap<SocketAddr, (Vec<Told>, Vec<Told>)> = BTreeMap::new();
        for pending in due {
            if matches!(pending.to, Whom::One(_)) {
                self.alone.1 += 1;
                if self.alone.1 > ALONE_MAX {
                    continue;
                }
            }
            match (pending.to, pending.legacy) {
                (Whom::Group, _) => {
                    let least = match pending.is_defence {
                        true => DEFENCE_MIN,
                        false => REPEAT_MIN,
                    };
                    for told in pending.answers {
                        let said_at = self.said_at.get(&said_key(&told));
                        if said_at.is_none_or(|at| now.since(*at) >= least) && !has(&to_all, &told)
                        {
                            to_all.push(told);
                        }
                    }
                    besides.extend(pending.additional);
                }
                (Whom::One(asker), Some((id, questions))) => {
                    let wire = legacy(id, &questions, &pending.answers);
                    messages.push((Whom::One(asker), wire));
                }
                (Whom::One(asker), None) => {
                    let (told, besides) = by_asker.entry(asker).or_default();
                    told.extend(pending.answers);
                    besides.extend(pending.additional);
                }
            }
        }
        for told in &to_all {
            self.said_at.insert(said_key(told), now);
        }
        messages.extend(
            written(&to_all, &besides)
                .into_iter()
                .map(|wire| (Whom::Group, wire)),
        );
        for (asker, (told, besides)) in by_asker {
            messages.extend(
                written(&told, &besides)
                    .into_iter()
                    .map(|wire| (Whom::One(asker), wire)),
            );
        }
        messages
    }
}

/// Answers, and whether others may have some too.
#[derive(Debug, Default)]
struct Answers {
    told: Vec<Told>,
    is_shared: bool,
}

/// Writes answers, and what has room besides.
fn written(answers: &[Told], besides: &[Told]) -> Vec<Vec<u8>> {
    let mut writer = Writer::response(0);
    let all = answers;
    let mut answers = answers.iter();
    let mut rest = Vec::new();
    for told in answers.by_ref() {
        if !writer.record(Section::Answer, told) {
            rest.push(told.clone());
            break;
        }
    }
    rest.extend(answers.cloned());
    if !rest.is_empty() {
        let mut messages = vec![writer.finish()];
        messages.extend(responses(&rest));
        return messages;
    }
    if writer.is_empty() {
        return Vec::new();
    }
    let mut put: Vec<Told> = Vec::new();
    for told in besides {
        if !has(&put, told) && !has(all, told) && writer.record(Section::Additional, told) {
            put.push(told.clone());
        }
    }
    vec![writer.finish()]
}

/// Writes an answer for a client that is not of multicast DNS (RFC 6762 §6.7): its ID and question, short TTLs, no flush bit.
fn legacy(id: u16, questions: &[Wanted], answers: &[Told]) -> Vec<u8> {
    let mut writer = Writer::response(id);
    for wanted in questions {
        let plain = Wanted {
            unicast: false,
            ..wanted.clone()
        };
        writer.question(&plain);
    }
    for told in answers {
        let mut told = told.clone();
        told.flush = false;
        told.record.ttl = told.record.ttl.min(LEGACY_TTL);
        if !writer.record(Section::Answer, &told) {
            writer.truncate();
            break;
        }
    }
    writer.finish()
}
