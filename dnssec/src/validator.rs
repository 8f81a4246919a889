//! How is the validator used? [`Validator`] outlives questions; a [`Validation`] judges one reply.
//!
//! ```text
//! begin(question, reply) ─► step ─► Fetch(records) ─► handle_fetch … ─► step ─► Done(outcome)
//!                            ▲ └► Paused: others have their turn
//!                            └──────┘
//! ```
//!
//! The caller fetches with DO and CD, where the question itself was asked. Nothing here reads a clock: `now` is an argument.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::anchors::TrustAnchors;
use crate::budget::{Budget, SETS_MAX, SLICE_DEFAULT, Spent, spend};
use crate::chain::Delegation;
use crate::clock::Evidence;
use crate::crypto::Algorithms;
use crate::debts::{Debtor, Debts, Source};
use crate::memory::{Memory, Until, Zone};
use crate::name::Name;
use crate::record::{Record, rtype};
use crate::rrset::{Set, sets};
use crate::trust::{Anchored, Trust};
use crate::verdict::{IndeterminateReason, Verdict};
use crate::work::{Stop, Work};

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
    /// What is computed in one step, in blocks of SHA-1 (a signature is 512); one thing is always done.
    pub slice: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cache_size: CACHE_DEFAULT,
            algorithms: Algorithms::default(),
            iterations_max: ITERATIONS_DEFAULT,
            budget: Budget::default(),
            slice: SLICE_DEFAULT,
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
    /// There is more to compute; the same step again, when others have had their turn.
    Paused,
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
    /// Who has cost too much, when this reply got no more than one of an ordinary zone needs because of it.
    pub debtor: Option<Debtor>,
    /// How long the verdict holds, in seconds.
    pub ttl: u32,
    /// How long all signatures hold that the verdict hangs on, those of the keys and DS above included, in seconds; `None` when
    /// there are none, or their dates do not count.
    pub signed_for: Option<u32>,
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
    anchors: Anchored,
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
    pub(crate) work: Work,
    /// Who costs too much.
    debtor: Option<Debtor>,
    /// Who pays besides the zone.
    sources: Vec<Source>,
    pub(crate) reply_by_fetch: BTreeMap<(Name, u16), Result<Arc<Sections>, FetchFailure>>,
    asked: Vec<(Name, u16)>,
    /// What will be needed besides, most likely.
    wanted: Vec<(Name, u16)>,
    pub(crate) zone_by_name: BTreeMap<Name, (Zone, Until)>,
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
    /// Others have their turn first.
    Pause,
    /// It is decided.
    Fail(Verdict, String),
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
    pub fn new(settings: Settings, anchors: &TrustAnchors) -> Self {
        Self {
            settings,
            anchors: Anchored::new(anchors),
            memory: Memory::new(settings.cache_size),
            debts: Debts::default(),
        }
    }

    /// Takes which algorithms count from here on; what others made of zones is forgotten.
    pub fn take_algorithms(&mut self, algorithms: Algorithms) {
        self.settings.algorithms = algorithms;
        self.forget();
    }

    /// Forgets all keys, cuts and verdicts.
    pub fn forget(&mut self) {
        self.memory.clear();
    }

    /// Forgets the keys and cuts of the zones that are meant.
    pub fn forget_where(&mut self, is_meant: impl Fn(&Name) -> bool) {
        self.memory.forget_where(is_meant);
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

    /// Returns the name of the negative anchor that covers a name most closely at `now`, in Unix seconds.
    pub fn switched_off_at(&self, name: &Name, now: u64) -> Option<Name> {
        match self.trust(name, now) {
            Trust::Off(owner) => Some(owner),
            Trust::Point(..) | Trust::None => None,
        }
    }

    /// Begins to judge a reply.
    pub fn begin(&self, question: Question, reply: &Reply) -> Validation {
        Validation {
            question,
            reply: Arc::new(Sections::new(reply)),
            granted: None,
            work: Work::new(self.settings.budget),
            debtor: None,
            sources: Vec::new(),
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
        self.anchors.deepest(name, now)
    }
}

impl Validation {
    /// Has whoever asked or replied pay for it too; to be called before the first step.
    pub fn charge_to(&mut self, source: Source) {
        if !self.sources.contains(&source) {
            self.sources.push(source);
        }
    }

    /// Goes on; the same step again until something was fetched.
    pub fn step(&mut self, validator: &mut Validator, now: WallClock) -> Step {
        let granted = self.grant(validator, now);
        self.work.begin_slice(validator.settings.slice);
        let mut outcome = match crate::judge::run(self, validator, now) {
            Ok(outcome) => outcome,
            Err(Halt::Need(name, record_type)) => return self.need((name, record_type)),
            Err(Halt::Pause) => return Step::Paused,
            Err(Halt::Fail(verdict, why)) => self.failed(verdict, why),
        };
        outcome.spent = granted.without(self.work.left);
        outcome.debtor = self.debtor.take();
        let zone = self.zone();
        let debts = &mut validator.debts;
        debts.charge(&zone, &self.sources, &outcome.spent, now.seconds);
        Step::Done(Box::new(outcome))
    }

    /// Decides, before anything is spent, how much that may be.
    fn grant(&mut self, validator: &Validator, now: WallClock) -> Budget {
        if let Some(granted) = self.granted {
            return granted;
        }
        let whole = validator.settings.budget;
        let debts = &validator.debts;
        self.debtor = debts.debtor(&self.question.name, &self.sources, now.seconds);
        let granted = match self.debtor {
            Some(_) => whole.at_most(Budget::ORDINARY),
            None => whole,
        };
        self.work.left = granted;
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
        if verdict == Verdict::Indeterminate(IndeterminateReason::BudgetSpent) {
            match &self.debtor {
                Some(Debtor::Zone(zone)) => {
                    why = format!("{why}, after all that {zone} has cost before");
                }
                Some(Debtor::Source(_)) => {
                    why.push_str(", after all that was asked or answered from there before");
                }
                None => {}
            }
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
            signed_for: None,
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

    /// Ends without a verdict, because what is needed does not come in time.
    pub fn give_up(&mut self, why: String) -> Outcome {
        let verdict = Verdict::Indeterminate(IndeterminateReason::FetchFailed);
        self.failed(verdict, why)
    }

    /// Takes what a fetch brought.
    pub fn handle_fetch(&mut self, fetch: &Fetch, brought: Result<&Reply, FetchFailure>) {
        let key = (fetch.name.clone(), fetch.record_type);
        let sections = brought.map(|reply| Arc::new(Sections::new(reply)));
        let bytes = sections.as_ref().map_or(0, |sections| sections.bytes);
        let left = &mut self.work.left;
        left.bytes = left.bytes.saturating_sub(bytes);
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
        if !is_known && spend(&mut self.work.left.fetches, 1).is_ok() {
            self.wanted.push(key);
        }
    }

    /// Returns what was fetched, or says that it is needed.
    pub(crate) fn fetched(&mut self, name: &Name, record_type: u16) -> Result<Arc<Sections>, Halt> {
        let key = (name.clone(), record_type);
        match self.reply_by_fetch.get(&key) {
            Some(Ok(sections)) if sections.is_too_much() || self.work.left.bytes == 0 => {
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
                    spend(&mut self.work.left.fetches, 1)?;
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

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Spent => Spent.into(),
            Stop::Pause => Self::Pause,
        }
    }
}
