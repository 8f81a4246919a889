//! Who of the neighbours has a name of one label (RFC 4795)? [`Llmnr`], sans-IO; asks, and never answers.
//!
//! ```text
//! Llmnr ── inquiries: a client's question ── sides: a link by IPv4, a link by IPv6, each with a socket of its own
//!   │                                            said once, twice, thrice ──► responses collected ──► settled
//!   ├ known    what a link's neighbours answered, for as long as they said, a minute at most
//!   └ paces    how long neighbours at a place take
//! ```
//!
//! Nothing is listened to but the answers to a question under way: no question, no socket. A response counts when it comes from
//! the link, to the very port and with the very ID of the question, and answers that question; an alias leads nowhere, as the
//! word of a neighbour asks nobody else. Answers of two links are never mixed: the best link that has the name wins.
//!
//! # What never happens
//! Nothing that was heard here reaches the caches of scopes, and nothing outlives its link.

mod response;
mod side;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config::model::Prefix;
use config::name::DomainName;
use config::time::Instant;
use policy::LinkId;
use policy::multicast::{LlmnrLink, MulticastPlan};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::mdns::{Family, PlaceId, has_roamed, is_near};
use crate::record::RawRecord;
use crate::wire::Question;
use response::{Response, read};
use side::{Pace, Side, Stage};

/// The port of LLMNR (RFC 4795 §2).
pub const LLMNR_PORT: u16 = 5355;
/// JITTER_INTERVAL (RFC 4795 §7).
const JITTER: Duration = Duration::from_millis(100);
/// How long what a neighbour said is kept at most: nobody says goodbye by LLMNR.
const KEPT_MAX: Duration = Duration::from_secs(60);
/// How long it is remembered that a neighbour has a name and no records of a type.
const NO_RECORDS: Duration = Duration::from_secs(10);
/// How long it is remembered that nobody has a name: a client asks for two types, and again.
const NOBODY: Duration = Duration::from_secs(2);
/// What is remembered of neighbours, in questions.
const KNOWN_MAX: usize = 512;
/// Inquiries at a time.
const INQUIRIES_MAX: usize = 256;
/// Sockets at a time.
const SIDES_MAX: usize = 256;

/// A client's question to the neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LlmnrId(pub u64);

/// What is to be done for an inquiry at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Send to the group, from a socket of this inquiry's own at this place.
    Say {
        /// For what.
        id: LlmnrId,
        /// Where.
        place: PlaceId,
        /// The message.
        wire: Vec<u8>,
    },
    /// Ask one neighbour by TCP, with a hop limit of 1 (RFC 4795 §2.5).
    Dial {
        /// For what.
        id: LlmnrId,
        /// Where.
        place: PlaceId,
        /// Whom.
        to: SocketAddr,
        /// The message, without its length.
        wire: Vec<u8>,
    },
    /// Close all that was opened for an inquiry.
    End(LlmnrId),
}

/// A message that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overheard {
    /// For what.
    pub id: LlmnrId,
    /// Where.
    pub place: PlaceId,
    /// From whom.
    pub source: SocketAddr,
    /// Whether by TCP.
    pub by_tcp: bool,
    /// The message; `None` when TCP failed.
    pub wire: Option<Vec<u8>>,
}

/// What an inquiry came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LlmnrFinding {
    /// The answers of one link.
    Records {
        /// The link.
        link: Arc<str>,
        /// The records.
        records: Vec<RawRecord>,
        /// Who says that the name is its own, when more than one does.
        conflict: Vec<SocketAddr>,
    },
    /// The name is there, records of this type are not.
    NoRecords {
        /// The link.
        link: Arc<str>,
    },
    /// A neighbour has the name and could not say more.
    Failed {
        /// The link.
        link: Arc<str>,
        /// The neighbour.
        who: SocketAddr,
    },
    /// Nobody has the name.
    NoName,
    /// There are too many questions at once.
    TooMany,
}

/// LLMNR on a link, for `status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LlmnrStatus {
    /// The link.
    pub link: Arc<str>,
    /// Who says that it is asked.
    pub owner: String,
    /// Questions said.
    pub said: u64,
    /// Responses that counted.
    pub heard: u64,
    /// Responses that were not to be believed or could not be read.
    pub ignored: u64,
    /// Questions to which two neighbours said that the name is theirs alone.
    pub conflicts: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    said: u64,
    heard: u64,
    ignored: u64,
    conflicts: u64,
}

#[derive(Debug)]
struct Inquiry {
    question: Question,
    side_by_place: BTreeMap<PlaceId, Side>,
}

#[derive(Debug)]
struct Known {
    finding: LlmnrFinding,
    since: Instant,
    until: Instant,
}

/// LLMNR on all links.
#[derive(Debug)]
pub struct Llmnr {
    rng: StdRng,
    links: Vec<LlmnrLink>,
    inquiry_by_id: BTreeMap<LlmnrId, Inquiry>,
    last: u64,
    known: BTreeMap<(LinkId, Question), Known>,
    nobody_until: BTreeMap<Question, Instant>,
    pace_by_place: BTreeMap<PlaceId, Pace>,
    counts_by_link: BTreeMap<LinkId, Counts>,
    orders: VecDeque<Order>,
    done: VecDeque<(LlmnrId, LlmnrFinding)>,
}

impl Llmnr {
    /// Makes one that asks nobody until a plan is applied.
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            rng: StdRng::from_seed(seed),
            links: Vec::new(),
            inquiry_by_id: BTreeMap::new(),
            last: 0,
            known: BTreeMap::new(),
            nobody_until: BTreeMap::new(),
            pace_by_place: BTreeMap::new(),
            counts_by_link: BTreeMap::new(),
            orders: VecDeque::new(),
            done: VecDeque::new(),
        }
    }

    /// Puts a plan in force; what was heard on links that are gone or lead elsewhere is forgotten, and nobody waits for them.
    pub fn apply(&mut self, plan: &MulticastPlan, now: Instant) {
        if self.links == plan.llmnr {
            return;
        }
        let before = std::mem::replace(&mut self.links, plan.llmnr.clone());
        let stays = |id: LinkId| {
            let after = self.links.iter().find(|link| link.id == id);
            let old = before.iter().find(|link| link.id == id);
            match (old, after) {
                (Some(old), Some(after)) => !has_roamed(&old.addresses, &after.addresses),
                (None, Some(_)) => true,
                (_, None) => false,
            }
        };
        self.known.retain(|(link, _), _| stays(*link));
        self.pace_by_place.retain(|place, _| stays(place.link));
        self.counts_by_link.retain(|link, _| stays(*link));
        for inquiry in self.inquiry_by_id.values_mut() {
            inquiry.side_by_place.retain(|place, _| stays(place.link));
        }
        self.nobody_until.clear();
        self.judge(now);
    }

    /// Asks for a client. What is known is found at once; else the finding comes from [`Llmnr::poll_finding`]. The same question
    /// twice is one inquiry.
    ///
    /// # Errors
    /// The finding, when there is nothing to wait for.
    pub fn inquire(&mut self, question: &Question, now: Instant) -> Result<LlmnrId, LlmnrFinding> {
        self.forget_old(now);
        if let Some(finding) = self.remembered(question, now) {
            return Err(finding);
        }
        let mut same = self.inquiry_by_id.iter();
        if let Some((id, _)) = same.find(|(_, inquiry)| inquiry.question == *question) {
            return Ok(*id);
        }
        let places: Vec<PlaceId> = self.links.iter().flat_map(places_of).collect();
        if places.is_empty() || self.nobody_until.contains_key(question) {
            return Err(LlmnrFinding::NoName);
        }
        let sides = self.inquiry_by_id.values();
        let sides: usize = sides.map(|inquiry| inquiry.side_by_place.len()).sum();
        if self.inquiry_by_id.len() >= INQUIRIES_MAX || sides + places.len() > SIDES_MAX {
            return Err(LlmnrFinding::TooMany);
        }
        self.last += 1;
        let id = LlmnrId(self.last);
        let mut side_by_place = BTreeMap::new();
        for place in places {
            let jitter = JITTER.mul_f64(self.rng.random());
            let message = self.rng.random();
            side_by_place.insert(place, Side::new(message, now + jitter));
        }
        let inquiry = Inquiry {
            question: question.clone(),
            side_by_place,
        };
        self.inquiry_by_id.insert(id, inquiry);
        Ok(id)
    }

    /// Nobody waits for an inquiry any more.
    pub fn leave(&mut self, id: LlmnrId) {
        if self.inquiry_by_id.remove(&id).is_some() {
            self.orders.push_back(Order::End(id));
        }
    }

    /// Takes a message that came in.
    pub fn handle_overheard(&mut self, heard: &Overheard, now: Instant) {
        let Overheard {
            id,
            place,
            source,
            by_tcp,
            wire,
        } = heard;
        let Some(link) = self.links.iter().find(|link| link.id == place.link) else {
            return;
        };
        let is_near = is_near(source.ip(), &link.addresses);
        let Some(inquiry) = self.inquiry_by_id.get_mut(id) else {
            return;
        };
        let Some(side) = inquiry.side_by_place.get_mut(place) else {
            return;
        };
        let counts = self.counts_by_link.entry(place.link).or_default();
        let read = match (wire, by_tcp) {
            _ if !is_near => None,
            (Some(wire), _) => read(wire, side.message, &inquiry.question, *by_tcp),
            (None, true) => Some(Response::Failed),
            (None, false) => None,
        };
        let Some(response) = read else {
            counts.ignored += 1;
            return;
        };
        if let Some(took) = side.first_reply_after(now) {
            self.pace_by_place.entry(*place).or_default().take(took);
        }
        match side.take(*source, *by_tcp, response, now) {
            side::Taken::Counted => counts.heard += 1,
            side::Taken::Ignored => counts.ignored += 1,
            side::Taken::Dial(to) => {
                counts.heard += 1;
                let wire = response::query(side.message, &inquiry.question, false);
                self.orders.push_back(Order::Dial {
                    id: *id,
                    place: *place,
                    to,
                    wire,
                });
            }
        }
        self.judge(now);
    }

    /// Does all that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        for (id, inquiry) in &mut self.inquiry_by_id {
            let is_found = inquiry.side_by_place.values().any(Side::has_name);
            for (place, side) in &mut inquiry.side_by_place {
                if side.next_at().is_none_or(|at| at > now) {
                    continue;
                }
                let pace = self.pace_by_place.entry(*place).or_default();
                if side.handle_timeout(is_found, pace.timeout(), now) == Stage::Say {
                    let counts = self.counts_by_link.entry(place.link).or_default();
                    counts.said += 1;
                    self.orders.push_back(Order::Say {
                        id: *id,
                        place: *place,
                        wire: response::query(side.message, &inquiry.question, false),
                    });
                }
            }
        }
        self.judge(now);
    }

    /// Returns the next thing to be done.
    pub fn poll_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// Returns the next inquiry that is over, and what it came to.
    pub fn poll_finding(&mut self) -> Option<(LlmnrId, LlmnrFinding)> {
        self.done.pop_front()
    }

    /// Returns when to be called again.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let inquiries = self.inquiry_by_id.values();
        let sides = inquiries.flat_map(|inquiry| inquiry.side_by_place.values());
        sides.filter_map(Side::next_at).min()
    }

    /// Returns the names of the links on which is asked, the best first.
    pub fn links(&self) -> impl Iterator<Item = &Arc<str>> {
        self.links.iter().map(|link| &link.name)
    }

    /// Returns what was done on every link.
    pub fn status(&self) -> Vec<LlmnrStatus> {
        let links = self.links.iter();
        let status = links.map(|link| {
            let counts = self.counts_by_link.get(&link.id).copied();
            let counts = counts.unwrap_or_default();
            LlmnrStatus {
                link: Arc::clone(&link.name),
                owner: link.owner.to_string(),
                said: counts.said,
                heard: counts.heard,
                ignored: counts.ignored,
                conflicts: counts.conflicts,
            }
        });
        status.collect()
    }

    /// Ends inquiries of which enough is known.
    fn judge(&mut self, now: Instant) {
        let ids: Vec<LlmnrId> = self.inquiry_by_id.keys().copied().collect();
        for id in ids {
            let Some(inquiry) = self.inquiry_by_id.get(&id) else {
                continue;
            };
            let Some(verdict) = verdict(&self.links, inquiry, now) else {
                continue;
            };
            let Some(inquiry) = self.inquiry_by_id.remove(&id) else {
                continue;
            };
            let finding = match verdict {
                Some((link, finding)) => {
                    self.tell_conflict(id, &inquiry, link, &finding);
                    self.remember(link, inquiry.question, &finding, now);
                    finding
                }
                None => {
                    if self.nobody_until.len() < KNOWN_MAX {
                        self.nobody_until.insert(inquiry.question, now + NOBODY);
                    }
                    LlmnrFinding::NoName
                }
            };
            self.orders.push_back(Order::End(id));
            self.done.push_back((id, finding));
        }
    }

    /// Tells those who both own a name that they do, once (RFC 4795 §2.1.1, §4.2: the C bit).
    fn tell_conflict(
        &mut self,
        id: LlmnrId,
        inquiry: &Inquiry,
        link: LinkId,
        finding: &LlmnrFinding,
    ) {
        let LlmnrFinding::Records { conflict, .. } = finding else {
            return;
        };
        if conflict.is_empty() {
            return;
        }
        self.counts_by_link.entry(link).or_default().conflicts += 1;
        for (place, side) in &inquiry.side_by_place {
            if place.link == link && !side.conflict().is_empty() {
                self.orders.push_back(Order::Say {
                    id,
                    place: *place,
                    wire: response::query(side.message, &inquiry.question, true),
                });
            }
        }
    }

    fn remembered(&self, question: &Question, now: Instant) -> Option<LlmnrFinding> {
        // Only the best link's word can be given at once: of a lesser one's, it is not known whether a better one has the name.
        let best = self.links.first()?;
        let known = self.known.get(&(best.id, question.clone()))?;
        let mut finding = known.finding.clone();
        if let LlmnrFinding::Records { records, .. } = &mut finding {
            let age = u32::try_from(now.since(known.since).as_secs()).unwrap_or(u32::MAX);
            for record in records {
                record.ttl = record.ttl.saturating_sub(age);
            }
        }
        Some(finding)
    }

    fn remember(&mut self, link: LinkId, question: Question, finding: &LlmnrFinding, now: Instant) {
        let lifetime = match finding {
            LlmnrFinding::Records { records, .. } => {
                let least = records.iter().map(|record| record.ttl).min();
                Duration::from_secs(u64::from(least.unwrap_or(0))).min(KEPT_MAX)
            }
            LlmnrFinding::NoRecords { .. } => NO_RECORDS,
            LlmnrFinding::Failed { .. } | LlmnrFinding::NoName | LlmnrFinding::TooMany => return,
        };
        if lifetime.is_zero() {
            return;
        }
        if self.known.len() >= KNOWN_MAX {
            let soonest = self.known.iter().min_by_key(|(_, known)| known.until);
            let soonest = soonest.map(|(key, _)| key.clone());
            soonest.and_then(|key| self.known.remove(&key));
        }
        let known = Known {
            finding: finding.clone(),
            since: now,
            until: now + lifetime,
        };
        self.known.insert((link, question), known);
    }

    /// Forgets what neighbours said of names that are meant, and that nobody had them.
    pub(crate) fn forget(&mut self, is_meant: impl Fn(&DomainName) -> bool) {
        self.known
            .retain(|(_, question), _| !is_meant(&question.name));
        self.nobody_until
            .retain(|question, _| !is_meant(&question.name));
    }

    fn forget_old(&mut self, now: Instant) {
        self.known.retain(|_, known| known.until > now);
        self.nobody_until.retain(|_, until| *until > now);
    }
}

/// Says what an inquiry came to: `None` while it is not over, `Some(None)` when nobody has the name.
fn verdict(
    links: &[LlmnrLink],
    inquiry: &Inquiry,
    now: Instant,
) -> Option<Option<(LinkId, LlmnrFinding)>> {
    let sides_of = |link: &LlmnrLink| {
        let sides = inquiry.side_by_place.iter();
        let of_link = sides.filter(|(place, _)| place.link == link.id);
        of_link.map(|(_, side)| side).collect::<Vec<_>>()
    };
    for link in links {
        let sides = sides_of(link);
        // Whoever has let a timeout pass once the name is known to be elsewhere is over.
        if !sides.iter().all(|side| side.is_over(now)) {
            return None;
        }
        if sides.iter().any(|side| side.has_name()) {
            return Some(Some((link.id, found(link, &sides))));
        }
    }
    Some(None)
}

/// Puts together what the sides of a link have heard.
fn found(link: &LlmnrLink, sides: &[&Side]) -> LlmnrFinding {
    let mut records: Vec<RawRecord> = Vec::new();
    let mut conflict = Vec::new();
    for side in sides {
        for record in side.records() {
            let is_same = |other: &RawRecord| {
                other.record_type == record.record_type && other.rdata == record.rdata
            };
            if !records.iter().any(is_same) {
                records.push(record.clone());
            }
        }
        conflict.extend(side.conflict());
    }
    let name = || Arc::clone(&link.name);
    if !records.is_empty() {
        return LlmnrFinding::Records {
            link: name(),
            records,
            conflict,
        };
    }
    let failed = sides.iter().find_map(|side| side.failed());
    match failed {
        Some(who) => LlmnrFinding::Failed { link: name(), who },
        None => LlmnrFinding::NoRecords { link: name() },
    }
}

/// Returns the places of a link: one for each family that it has an address of.
fn places_of(link: &LlmnrLink) -> impl Iterator<Item = PlaceId> {
    let has = |v4| {
        let is = |prefix: &Prefix| prefix.address.is_ipv4() == v4;
        link.addresses.iter().any(is)
    };
    let families = [(Family::V4, has(true)), (Family::V6, has(false))];
    let id = link.id;
    let there = families.into_iter().filter(|(_, has)| *has);
    there.map(move |(family, _)| PlaceId { link: id, family })
}
