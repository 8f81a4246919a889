//! What does this machine say of itself at one place, and when (RFC 6762 §6, §8 to §10)? [`Voice`], the responder.
//!
//! ```text
//!            claim                 third probe             second announcement
//! (nothing) ───────► Probing ──────────────────► Announcing ──────────────────► Settled
//!                    ▲ │ ▲ conflict: another name      │                          │
//!                    │ │ └─────────────────────────────┴──────────────────────────┘
//!                    │ └ same words from this machine, not ours ► Yielded ─ later ► Probing
//!                    └ lost a tie-break: a second later (§8.2)
//! ```
//!
//! What is said is kept in groups: a name that is this machine's alone, and all records that hang on it. Conflicts are told, not
//! solved: a new name is chosen by whoever knows all places. How answers are put together is in `reply`.

use std::collections::BTreeMap;
use std::time::Duration;

use config::name::DomainName;
use config::time::Instant;
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::cache::is_same;
use super::message::{Message, Section, Told, Wanted, Writer};
use super::reply::Pending;
use super::{Heard, Whom};
use crate::record::RawRecord;
use crate::wire::{class, rtype};

/// How often a name is probed for (RFC 6762 §8.1).
const PROBES: u8 = 3;
/// Names that are probed for in one message.
const PROBED_TOGETHER: usize = 16;
/// The time between two probes, and after the last (RFC 6762 §8.1).
const PROBE_INTERVAL: Duration = Duration::from_millis(250);
/// How often a name is announced (RFC 6762 §8.3: at least twice).
const ANNOUNCEMENTS: u8 = 2;
/// The time between two announcements (RFC 6762 §8.3).
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(1);
/// How long to wait after a lost tie-break (RFC 6762 §8.2).
const TIE_DELAY: Duration = Duration::from_secs(1);
/// Conflicts in [`CONFLICT_WINDOW`] after which probing is slowed down (RFC 6762 §8.1).
const CONFLICTS_MAX: usize = 15;
/// In which time they are counted (RFC 6762 §8.1).
const CONFLICT_WINDOW: Duration = Duration::from_secs(10);
/// How long to wait before each probe then (RFC 6762 §8.1).
const CONFLICT_DELAY: Duration = Duration::from_secs(5);
/// How long another responder of this machine is left alone before we look whether it is still there: first, and at most.
const YIELD: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(600));

/// What this machine says at one place.
#[derive(Debug, Default)]
pub(crate) struct Voice {
    groups: Vec<Group>,
    pub(super) pending: Vec<Pending>,
    /// When each record was last said to all.
    pub(super) said_at: BTreeMap<SaidKey, Instant>,
    /// Answers given to one asker, since when.
    pub(super) alone: (Instant, u32),
    conflicts: Vec<DomainName>,
    /// What came to be said, or is not said any more, for those of this machine who watch.
    news: Vec<(RawRecord, bool)>,
    conflicted_at: Vec<Instant>,
}

/// A record, as a key: owner in lower case, type, rdata.
pub(super) type SaidKey = (DomainName, u16, Vec<u8>);

/// A name that is ours alone, and what hangs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claimed {
    /// The name that is probed for.
    pub(crate) name: DomainName,
    /// Its records; those with the flush bit are ours alone.
    pub(crate) records: Vec<Told>,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) claimed: Claimed,
    stage: Stage,
    /// How long it was left to another the last time.
    yielded: Duration,
}

/// How far a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It is being asked whether somebody has it; so often already.
    Probing(u8, Instant),
    /// It is being told that we have it; so often already.
    Announcing(u8, Instant),
    /// It is ours.
    Settled,
    /// Another program of this machine has it; until then it is left alone.
    Yielded(Instant),
}

impl Group {
    /// Whether questions are answered with it.
    pub(super) fn speaks(&self) -> bool {
        matches!(self.stage, Stage::Announcing(..) | Stage::Settled)
    }
}

impl Voice {
    /// Puts what is to be said in the place of what was; returns the goodbyes of what is not said any more.
    pub(crate) fn claim(
        &mut self,
        claims: Vec<Claimed>,
        now: Instant,
        rng: &mut StdRng,
    ) -> Vec<Told> {
        let mut over = Vec::new();
        // All names that are new are probed for together.
        let wait = Duration::from_millis(rng.random_range(0..=250));
        let mut before = std::mem::take(&mut self.groups);
        for claimed in claims {
            let known = before
                .iter()
                .position(|group| group.claimed.name == claimed.name);
            let Some(mut group) = known.map(|at| before.swap_remove(at)) else {
                self.groups.push(Group {
                    claimed,
                    stage: Stage::Probing(0, now + wait),
                    yielded: Duration::ZERO,
                });
                continue;
            };
            if group.claimed != claimed {
                if group.speaks() {
                    let gone = group.claimed.records.iter();
                    over.extend(gone.filter(|told| !has(&claimed.records, told)).cloned());
                    // RFC 6762 §8.4: what changes about a name of ours is announced, not probed for.
                    group.stage = Stage::Announcing(0, now);
                }
                group.claimed = claimed;
            }
            self.groups.push(group);
        }
        let speaking = before.into_iter().filter(Group::speaks);
        over.extend(speaking.flat_map(|group| group.claimed.records));
        // What another of ours says too is not over: the type of a service that there is one more of.
        let is_said = |told: &Told| {
            self.speaking()
                .any(|group| has(&group.claimed.records, told))
        };
        let over: Vec<Told> = distinct(over.into_iter().filter(|told| !is_said(told)));
        let gone = over.iter().map(|told| (told.record.clone(), false));
        self.news.extend(gone);
        let groups = &self.groups;
        self.said_at.retain(|(owner, record_type, rdata), _| {
            let mut records = groups.iter().flat_map(|group| &group.claimed.records);
            records.any(|told| {
                let record = &told.record;
                record.record_type == *record_type && record.rdata == *rdata && record.is_at(owner)
            })
        });
        self.pending.retain_mut(|pending| {
            pending.answers.retain(|told| !has(&over, told));
            !pending.answers.is_empty()
        });
        over
    }

    /// Returns the names that turned out to be somebody else's.
    pub(crate) fn take_conflicts(&mut self) -> Vec<DomainName> {
        std::mem::take(&mut self.conflicts)
    }

    /// Returns how far each name is.
    pub(crate) fn stages(&self) -> impl Iterator<Item = (&Claimed, Stage)> {
        self.groups
            .iter()
            .map(|group| (&group.claimed, group.stage))
    }

    /// Returns what came to be said since the last time, or is not said any more.
    pub(crate) fn take_news(&mut self) -> Vec<(RawRecord, bool)> {
        std::mem::take(&mut self.news)
    }

    /// Returns what we answer with ourselves, to a question of a program on this machine.
    pub(crate) fn own_answers(&self, wanted: &Wanted) -> Option<Vec<Told>> {
        let groups = || self.groups.iter().filter(|group| group.speaks());
        let records = groups().flat_map(|group| &group.claimed.records);
        let answers: Vec<Told> = records
            .filter(|told| wanted.is_answered_by(&told.record))
            .cloned()
            .collect();
        let is_ours = groups().any(|group| group.claimed.name == wanted.name);
        (is_ours || !answers.is_empty()).then_some(answers)
    }

    pub(super) fn speaking(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|group| group.speaks())
    }

    /// Takes a response of somebody: another owner of our name, another program of this machine, an answer that we need not give.
    pub(crate) fn hear_response(&mut self, message: &Message, heard: &Heard<'_>, now: Instant) {
        let told = || message.answers.iter().chain(&message.additional);
        // RFC 6762 §7.4: somebody else has just given this answer.
        for pending in &mut self.pending {
            pending.answers.retain(|own| {
                let given = |told: &Told| {
                    is_same(&told.record, &own.record) && told.record.ttl >= own.record.ttl / 2
                };
                !(matches!(pending.to, Whom::Group) && heard.to_group && told().any(given))
            });
        }
        self.pending.retain(|pending| !pending.answers.is_empty());
        let is_throttled = self.is_throttled(now);
        for group in &mut self.groups {
            let about = |told: &&Told| {
                told.record.is_at(&group.claimed.name) && told.record.record_type != rtype::NSEC
            };
            let mut others = told().filter(about).peekable();
            if others.peek().is_none() {
                continue;
            }
            if heard.from_self {
                let is_goodbye = told().filter(about).all(|told| told.record.ttl == 0);
                group.hear_self(is_goodbye, now);
                continue;
            }
            let is_other = |told: &Told| {
                let same_type =
                    |own: &&Told| own.record.record_type == told.record.record_type && own.flush;
                let unique = group.claimed.records.iter().any(|own| same_type(&own));
                let is_new = !group
                    .claimed
                    .records
                    .iter()
                    .any(|own| is_same(&own.record, &told.record));
                match group.stage {
                    // RFC 6762 §8.1: whatever is told of the name, it is taken.
                    Stage::Probing(..) => is_new && told.record.ttl > 0,
                    // RFC 6762 §9: name, type and class are the same, the data are not.
                    Stage::Announcing(..) | Stage::Settled => {
                        unique && is_new && told.record.ttl > 0
                    }
                    Stage::Yielded(_) => false,
                }
            };
            if !others.any(is_other) {
                continue;
            }
            // RFC 6762 §9: what was ours is probed for again; only a name that is taken then is given up.
            if matches!(group.stage, Stage::Probing(..)) {
                self.conflicts.push(group.claimed.name.clone());
            }
            self.conflicted_at.push(now);
            let wait = if is_throttled {
                CONFLICT_DELAY
            } else {
                Duration::ZERO
            };
            group.stage = Stage::Probing(0, now + wait);
        }
    }

    /// Takes a probe of somebody for a name that we probe for too (RFC 6762 §8.2): the later data win.
    pub(crate) fn hear_probe(&mut self, message: &Message, heard: &Heard<'_>, now: Instant) {
        if heard.from_self {
            return;
        }
        for group in &mut self.groups {
            let Stage::Probing(1.., _) = group.stage else {
                continue;
            };
            let name = &group.claimed.name;
            if !message.questions.iter().any(|wanted| wanted.name == *name) {
                continue;
            }
            let theirs = data(
                message
                    .authority
                    .iter()
                    .filter(|told| told.record.is_at(name)),
            );
            let ours = data(
                group
                    .claimed
                    .records
                    .iter()
                    .filter(|told| told.record.is_at(name)),
            );
            if !theirs.is_empty() && ours < theirs {
                group.stage = Stage::Probing(0, now + TIE_DELAY);
            }
        }
    }

    /// Returns the goodbyes of all that was said (RFC 6762 §10.1), and says nothing more.
    pub(crate) fn fall_silent(&mut self) -> Vec<Told> {
        self.pending.clear();
        let groups = std::mem::take(&mut self.groups);
        let speaking = groups.into_iter().filter(Group::speaks);
        distinct(speaking.flat_map(|group| group.claimed.records))
    }

    /// Returns when something is to be said next.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        let stages = self.groups.iter().filter_map(|group| match group.stage {
            Stage::Probing(_, at) | Stage::Announcing(_, at) | Stage::Yielded(at) => Some(at),
            Stage::Settled => None,
        });
        stages
            .chain(self.pending.iter().map(|pending| pending.at))
            .min()
    }

    /// Returns the messages that are due to everybody: probes and announcements.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut probes = Vec::new();
        let mut announced = Vec::new();
        for group in &mut self.groups {
            match group.stage {
                Stage::Probing(PROBES.., at) if at <= now => {
                    announced.extend(group.claimed.records.clone());
                    group.stage = Stage::Announcing(1, now + ANNOUNCE_INTERVAL);
                }
                Stage::Probing(sent, at) if at <= now => {
                    probes.push(group.claimed.clone());
                    group.stage = Stage::Probing(sent + 1, now + PROBE_INTERVAL);
                }
                Stage::Announcing(sent, at) if at <= now => {
                    announced.extend(group.claimed.records.clone());
                    group.stage = match sent + 1 {
                        ANNOUNCEMENTS.. => Stage::Settled,
                        sent => Stage::Announcing(sent, now + ANNOUNCE_INTERVAL),
                    };
                }
                Stage::Yielded(at) if at <= now => group.stage = Stage::Probing(0, now),
                Stage::Probing(..) | Stage::Announcing(..) | Stage::Settled | Stage::Yielded(_) => {
                }
            }
        }
        let mut messages = written_probes(&probes);
        let announced = distinct(announced.into_iter());
        for told in &announced {
            self.said_at.insert(said_key(told), now);
            self.news.push((told.record.clone(), true));
        }
        messages.extend(responses(&announced));
        messages
    }

    fn is_throttled(&mut self, now: Instant) -> bool {
        self.conflicted_at
            .retain(|at| now.since(*at) < CONFLICT_WINDOW);
        self.conflicted_at.len() >= CONFLICTS_MAX
    }
}

impl Group {
    /// Another program of this machine speaks of the name: it has it as long as it says so.
    fn hear_self(&mut self, is_goodbye: bool, now: Instant) {
        match (self.stage, is_goodbye) {
            (Stage::Yielded(_), true) => {
                self.yielded = Duration::ZERO;
                self.stage = Stage::Yielded(now + TIE_DELAY);
            }
            (_, true) => {}
            (Stage::Yielded(at), false) => self.stage = Stage::Yielded(at.max(now + YIELD.0)),
            (Stage::Probing(..) | Stage::Announcing(..) | Stage::Settled, false) => {
                self.yielded = (self.yielded * 2).clamp(YIELD.0, YIELD.1);
                self.stage = Stage::Yielded(now + self.yielded);
            }
        }
    }
}

/// Writes the responses that tell these records to everybody.
pub(crate) fn responses(told: &[Told]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut writer = Writer::response(0);
    for told in told {
        if !writer.record(Section::Answer, told) {
            messages.push(std::mem::replace(&mut writer, Writer::response(0)).finish());
            writer.record(Section::Answer, told);
        }
    }
    if !writer.is_empty() {
        messages.push(writer.finish());
    }
    messages
}

/// Returns the same records with a TTL of 0: they are over.
pub(crate) fn goodbyes(told: Vec<Told>) -> Vec<Told> {
    let mut told = told;
    for told in &mut told {
        told.record.ttl = 0;
    }
    told
}

pub(super) fn said_key(told: &Told) -> SaidKey {
    let record = &told.record;
    (record.owner(), record.record_type, record.rdata.clone())
}

pub(super) fn has(records: &[Told], told: &Told) -> bool {
    records.iter().any(|own| is_same(&own.record, &told.record))
}

/// Returns each record once.
fn distinct(told: impl Iterator<Item = Told>) -> Vec<Told> {
    let mut distinct = Vec::new();
    for told in told {
        if !has(&distinct, &told) {
            distinct.push(told);
        }
    }
    distinct
}

/// Writes probes, several names in a message while they fit (RFC 6762 §8.1).
fn written_probes(claims: &[Claimed]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut rest = claims;
    while !rest.is_empty() {
        let mut count = rest.len().min(PROBED_TOGETHER);
        let wire = loop {
            let (now, _) = rest.split_at(count);
            match probe(now) {
                (wire, true) => break wire,
                (wire, false) if count == 1 => break wire,
                (_, false) => count = count.div_ceil(2),
            }
        };
        messages.push(wire);
        rest = rest.get(count..).unwrap_or_default();
    }
    messages
}

/// RFC 6762 §8.1: the names, any type, an answer by unicast will do; what we want to say of them is in the authority section.
/// Says whether there was room for all.
fn probe(claims: &[Claimed]) -> (Vec<u8>, bool) {
    let mut writer = Writer::query();
    let mut fits = true;
    for claimed in claims {
        fits &= writer.question(&Wanted {
            name: claimed.name.clone(),
            record_type: rtype::ANY,
            class: class::IN,
            unicast: true,
        });
    }
    let own = |claimed: &Claimed, told: &Told| told.flush && told.record.is_at(&claimed.name);
    let wanted = claims.iter().flat_map(|claimed| {
        let records = claimed.records.iter();
        records.filter(move |told| own(claimed, told))
    });
    for told in wanted {
        // RFC 6762 §10.2: the bit is for responses.
        let told = Told {
            flush: false,
            ..told.clone()
        };
        fits &= writer.record(Section::Authority, &told);
    }
    (writer.finish(), fits)
}

/// Returns what a tie is broken by (RFC 6762 §8.2.1): class, type and data of each record, in order.
fn data<'a>(told: impl Iterator<Item = &'a Told>) -> Vec<(u16, u16, &'a [u8])> {
    let mut data: Vec<_> = told
        .map(|told| {
            (
                told.record.class,
                told.record.record_type,
                told.record.rdata.as_slice(),
            )
        })
        .collect();
    data.sort_unstable();
    data
}
