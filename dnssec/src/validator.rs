//! How is the validator used? [`Validator`] outlives questions; a [`Validation`] judges one reply.
//!
//! ```text
//! begin(question, reply) ─► step ─► Fetch(records) ─► handle_fetch … ─► step ─► Done(outcome)
//! ```
//!
//! The caller fetches with DO and CD, where the question itself was asked. Nothing here reads a clock: `now` is an argument.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::anchors::{Anchor, Match, TrustAnchors};
use crate::budget::{Budget, SETS_MAX, Spent, spend};
use crate::chain::Delegation;
use crate::clock::Evidence;
use crate::crypto::Algorithms;
use crate::debts::Debts;
use crate::memory::{Memory, Zone};
use crate::name::Name;
use crate::record::{Ds, Record, rtype};
use crate::rrset::{Set, sets};
use crate::verdict::{IndeterminateReason, Verdict};

/// Bytes that keys, cuts and verdicts may take.
pub const CACHE_DEFAULT: usize = 4 << 20;
/// NSEC3 iterations above which a zone counts as unsigned (RFC 9276 §3.2).
pub const ITERATIONS_DEFAULT: u16 = 150;
/// The longest that anything is remembered, in seconds.
pub(crate) const MEMORY_MAX: u64 = 86_400;

/// How a validator judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Bytes that keys, cuts and verdicts may take.
    pub cache_size: usize,
    /// Which algorithms count.
    pub algorithms: Algorithms,
    /// NSEC3 iterations above which a zone counts as unsigned.
    pub iterations_max: u16,
    /// What one reply may cost.
    pub budget: Budget,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cache_size: CACHE_DEFAULT,
            algorithms: Algorithms::default(),
            iterations_max: ITERATIONS_DEFAULT,
            budget: Budget::default(),
        }
    }
}

/// The time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WallClock {
    /// Seconds since 1970.
    pub seconds: u64,
    /// Whether the dates of signatures count.
    pub dates_count: bool,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// QNAME.
    pub name: Name,
    /// QTYPE.
    pub record_type: u16,
}

/// A reply, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// RCODE.
    pub rcode: u16,
    /// The answer section.
    pub answers: Vec<Record>,
    /// The authority section.
    pub authority: Vec<Record>,
}

/// Records that a chain of trust needs.
pub type Fetch = Question;

/// Why a fetch brought nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FetchFailure {
    /// Nobody replied with anything that can be used.
    #[error("no usable reply")]
    NoReply,
    /// The name may not be asked for where the question was asked.
    #[error("it may not be asked for here")]
    NotAllowed,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// These are needed; those that are on their way already are not told again.
    Fetch(Vec<Fetch>),
    /// The reply is judged.
    Done(Box<Outcome>),
}

/// What a reply is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// RCODE as it is proven: NOERROR for a name that has no records, whatever the reply calls it.
    pub rcode: u16,
    /// The reason, in words.
    pub why: String,
    /// The chain of trust, link by link, as far as it was walked.
    pub links: Vec<String>,
    /// Between which times the keys of trust points are signed that were fetched on the way: they speak for a clock.
    pub evidence: Vec<Evidence>,
    /// What was spent on it.
    pub spent: Budget,
    /// The zone that costs too much, when this one got no more than an ordinary zone needs because of it.
    pub debtor: Option<Name>,
    /// How long the verdict holds, in seconds.
    pub ttl: u32,
    /// Which records of the answer section the verdict is about.
    pub answers: Vec<bool>,
    /// Which records of the authority section.
    pub authority: Vec<bool>,
    /// The name at the end of the aliases, when the reply says nothing about it: it is to be asked for.
    pub leads_to: Option<Name>,
}

/// Judges replies, and remembers what it found out about zones.
#[derive(Debug)]
pub struct Validator {
    pub(crate) settings: Settings,
    pub(crate) anchors: TrustAnchors,
    pub(crate) memory: Memory,
    pub(crate) debts: Debts,
}

/// The judging of one reply.
#[derive(Debug)]
pub struct Validation {
    pub(crate) question: Question,
    pub(crate) reply: Arc<Sections>,
    /// What may be spent; known from the first step on.
    granted: Option<Budget>,
    pub(crate) left: Budget,
    /// Who costs too much.
    debtor: Option<Name>,
    pub(crate) reply_by_fetch: BTreeMap<(Name, u16), Result<Arc<Sections>, FetchFailure>>,
    asked: Vec<(Name, u16)>,
    /// What will be needed besides, most likely.
    wanted: Vec<(Name, u16)>,
    pub(crate) zone_by_name: BTreeMap<Name, (Zone, u64)>,
    pub(crate) delegation_by_name: BTreeMap<Name, Delegation>,
    pub(crate) links: Vec<String>,
    pub(crate) evidence: Vec<Evidence>,
}

/// A reply, grouped.
#[derive(Debug)]
pub(crate) struct Sections {
    pub(crate) rcode: u16,
    pub(crate) answers: Vec<Set>,
    pub(crate) authority: Vec<Set>,
    pub(crate) answer_count: usize,
    pub(crate) authority_count: usize,
    bytes: u32,
}

/// Why judging stops here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Halt {
    /// This is needed first.
    Need(Name, u16),
    /// It is decided.
    Fail(Verdict, String),
}

/// What covers a name most closely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Keys or digests at a name.
    Point(Name, Vec<Trusted>),
    /// Nothing is validated from here on.
    Off(Name),
    /// Nothing.
    None,
}

/// A key that is trusted without proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trusted {
    Ds(Ds),
    Key { algorithm: u8, public: Vec<u8> },
}

impl Sections {
    fn new(reply: &Reply) -> Self {
        Self {
            rcode: reply.rcode,
            answers: sets(&reply.answers),
            authority: sets(&reply.authority),
            answer_count: reply.answers.len(),
            authority_count: reply.authority.len(),
            bytes: reply
                .answers
                .iter()
                .chain(&reply.authority)
                .map(|record| u32::try_from(record.rdata.len()).unwrap_or(u32::MAX))
                .fold(0, u32::saturating_add),
        }
    }

    /// Whether nobody needs so many records to say this.
    pub(crate) fn is_too_much(&self) -> bool {
        self.answers.len() > SETS_MAX || self.authority.len() > SETS_MAX
    }
}

impl Validator {
    /// Makes a validator that trusts `anchors` and knows nothing yet.
    pub fn new(settings: Settings, anchors: TrustAnchors) -> Self {
        Self {
            settings,
            anchors,
            memory: Memory::new(settings.cache_size),
            debts: Debts::default(),
        }
    }

    /// Forgets all keys, cuts and verdicts.
    pub fn forget(&mut self) {
        self.memory.clear();
    }

    /// Returns the bytes that its memory takes.
    pub fn memory_size(&self) -> usize {
        self.memory.bytes()
    }

    /// Returns the owner of the positive anchor that covers a name most closely at `now`, in Unix seconds.
    pub fn anchor_of(&self, name: &Name, now: u64) -> Option<Name> {
        match self.trust(name, now) {
            Trust::Point(owner, _) => Some(owner),
            Trust::Off(_) | Trust::None => None,
        }
    }

    /// Begins to judge a reply.
    pub fn begin(&self, question: Question, reply: &Reply) -> Validation {
        Validation {
            question,
            reply: Arc::new(Sections::new(reply)),
            granted: None,
            left: self.settings.budget,
            debtor: None,
            reply_by_fetch: BTreeMap::new(),
            asked: Vec::new(),
            wanted: Vec::new(),
            zone_by_name: BTreeMap::new(),
            delegation_by_name: BTreeMap::new(),
            links: Vec::new(),
            evidence: Vec::new(),
        }
    }

    pub(crate) fn trust(&self, name: &Name, now: u64) -> Trust {
        let Ok(lookup) = hickory(name) else {
            return Trust::None;
        };
        match self.anchors.deepest(&lookup, now) {
            None => Trust::None,
            Some(Match::Negative(anchor)) => wire(anchor.name()).map_or(Trust::None, Trust::Off),
            Some(Match::Positive { owner, anchors }) => match wire(owner) {
                None => Trust::None,
                Some(owner) => Trust::Point(owner, anchors.iter().map(trusted).collect()),
            },
        }
    }
}

impl Validation {
    /// Goes on; the same step again until something was fetched.
    pub fn step(&mut self, validator: &mut Validator, now: WallClock) -> Step {
        let granted = self.grant(validator, now);
        let mut outcome = match crate::judge::run(self, validator, now) {
            Ok(outcome) => outcome,
            Err(Halt::Need(name, record_type)) => return self.need((name, record_type)),
            Err(Halt::Fail(verdict, why)) => self.failed(verdict, why),
        };
        outcome.spent = granted.without(self.left);
        outcome.debtor = self.debtor.take();
        let zone = self.zone();
        validator.debts.charge(&zone, &outcome.spent, now.seconds);
        Step::Done(Box::new(outcome))
    }

    /// Decides, before anything is spent, how much that may be.
    fn grant(&mut self, validator: &Validator, now: WallClock) -> Budget {
        if let Some(granted) = self.granted {
            return granted;
        }
        let whole = validator.settings.budget;
        self.debtor = validator.debts.debtor(&self.question.name, now.seconds);
        let granted = match self.debtor {
            Some(_) => whole.at_most(Budget::ORDINARY),
            None => whole,
        };
        self.left = granted;
        self.granted = Some(granted);
        granted
    }

    fn need(&mut self, key: (Name, u16)) -> Step {
        let mut keys = vec![key];
        keys.append(&mut self.wanted);
        keys.retain(|key| !self.asked.contains(key));
        self.asked.extend_from_slice(&keys);
        let fetches = keys
            .into_iter()
            .map(|(name, record_type)| Fetch { name, record_type });
        Step::Fetch(fetches.collect())
    }

    fn failed(&mut self, verdict: Verdict, mut why: String) -> Outcome {
        if let (Verdict::Indeterminate(IndeterminateReason::BudgetSpent), Some(zone)) =
            (verdict, &self.debtor)
        {
            why = format!("{why}, after all that {zone} has cost before");
        }
        self.note(why.clone());
        Outcome {
            verdict,
            rcode: self.reply.rcode,
            why,
            links: std::mem::take(&mut self.links),
            evidence: std::mem::take(&mut self.evidence),
            spent: Budget::default(),
            debtor: None,
            ttl: 0,
            answers: vec![false; self.reply.answer_count],
            authority: vec![false; self.reply.authority_count],
            leads_to: None,
        }
    }

    /// Returns the zone that the work was for: the deepest above the question whose keys are known or were fetched.
    fn zone(&self) -> Name {
        let known = self.zone_by_name.keys();
        let fetched = self.reply_by_fetch.keys();
        let fetched = fetched.filter(|(_, record_type)| *record_type == rtype::DNSKEY);
        known
            .chain(fetched.map(|(name, _)| name))
            .filter(|name| self.question.name.is_in(name))
            .max_by_key(|name| name.count())
            .unwrap_or(&self.question.name)
            .clone()
    }

    /// Takes what a fetch brought.
    pub fn handle_fetch(&mut self, fetch: &Fetch, brought: Result<&Reply, FetchFailure>) {
        let key = (fetch.name.clone(), fetch.record_type);
        let sections = brought.map(|reply| Arc::new(Sections::new(reply)));
        let bytes = sections.as_ref().map_or(0, |sections| sections.bytes);
        self.left.bytes = self.left.bytes.saturating_sub(bytes);
        self.reply_by_fetch.entry(key).or_insert(sections);
    }

    /// Notes a link of the chain; a pass that stopped for a fetch comes by here again.
    pub(crate) fn note(&mut self, link: String) {
        if !self.links.contains(&link) {
            self.links.push(link);
        }
    }

    /// Has something fetched along with what is needed, so that it need not be waited for later.
    pub(crate) fn want(&mut self, name: &Name, record_type: u16) {
        let key = (name.clone(), record_type);
        let is_known = self.asked.contains(&key) || self.wanted.contains(&key);
        if !is_known && spend(&mut self.left.fetches, 1).is_ok() {
            self.wanted.push(key);
        }
    }

    /// Returns what was fetched, or says that it is needed.
    pub(crate) fn fetched(&mut self, name: &Name, record_type: u16) -> Result<Arc<Sections>, Halt> {
        let key = (name.clone(), record_type);
        match self.reply_by_fetch.get(&key) {
            Some(Ok(sections)) if sections.is_too_much() || self.left.bytes == 0 => {
                Err(Spent.into())
            }
            Some(Ok(sections)) => Ok(Arc::clone(sections)),
            Some(Err(failure)) => {
                let kind = if record_type == rtype::DS {
                    "DS"
                } else {
                    "DNSKEY"
                };
                Err(Halt::Fail(
                    Verdict::Indeterminate(IndeterminateReason::FetchFailed),
                    format!("{kind} of {name}: {failure}"),
                ))
            }
            None => {
                if !self.asked.contains(&key) && !self.wanted.contains(&key) {
                    spend(&mut self.left.fetches, 1)?;
                }
                Err(Halt::Need(name.clone(), record_type))
            }
        }
    }
}

impl From<Spent> for Halt {
    fn from(_: Spent) -> Self {
        Self::Fail(
            Verdict::Indeterminate(IndeterminateReason::BudgetSpent),
            "validating this costs too much".to_owned(),
        )
    }
}

fn trusted(anchor: &Anchor) -> Trusted {
    match anchor {
        Anchor::Ds(ds) => Trusted::Ds(Ds {
            key_tag: ds.key_tag(),
            algorithm: ds.algorithm().into(),
            digest_type: ds.digest_type().into(),
            digest: ds.digest().to_vec(),
        }),
        Anchor::Key(key) => {
            use hickory_proto::dnssec::PublicKey as _;
            Trusted::Key {
                algorithm: key.public_key().algorithm().into(),
                public: key.public_key().public_bytes().to_vec(),
            }
        }
    }
}

fn hickory(name: &Name) -> Result<hickory_proto::rr::Name, hickory_proto::ProtoError> {
    hickory_proto::rr::Name::from_labels(name.labels())
}

fn wire(name: &hickory_proto::rr::Name) -> Option<Name> {
    let mut wire = Vec::new();
    for label in name {
        wire.push(u8::try_from(label.len()).ok()?);
        wire.extend_from_slice(label);
    }
    wire.push(0);
    Name::from_wire(&wire)
}
