//! What do the neighbours answer to a client's question, and when is that all? Inquiries, judged as answers come in.
//!
//! | what is known at a link | the link has |
//! |---|---|
//! | an answer | the name |
//! | its owner says that there is none of this type (NSEC), or answers for other types and not for this | the name, no records |
//! | nothing | not said anything |
//!
//! A question whose answers many may give (a browse) collects until its time is up. Any other ends with the first link, in the
//! order of the plan, that has the name; a lesser link's answer waits a moment for a better one's. A name that nobody has is
//! remembered shortly, and forgotten as soon as somebody says that it is there.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use config::time::Instant;
use policy::LinkId;

use super::message::Wanted;
use super::{Family, Mdns, PlaceId};
use crate::record::RawRecord;
use crate::wire::rtype;

/// How long an inquiry lasts: a question, a second one a second later (RFC 6762 §5.2), and time to answer that.
const LIFETIME: Duration = Duration::from_millis(1300);
/// How long a better link may take once a lesser one has answered.
const BETTER_LINK: Duration = Duration::from_millis(100);
/// How long the owner of a name may take to answer for a type, before it is taken to have none; it need not wait (RFC 6762 §6).
const OWNER: Duration = Duration::from_millis(400);
/// How long a collection holds while we listen: what is new since announces itself.
const COLLECTED: Duration = Duration::from_secs(30);
/// How long it is remembered that nobody has a name.
const NOBODY: Duration = Duration::from_secs(5);
/// Inquiries at a time, and names that nobody has.
const INQUIRIES_MAX: usize = 1024;

/// A client's question to the neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InquiryId(pub u64);

/// What an inquiry came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The answers; of one link, or of all when many may answer.
    Records {
        /// The links that they come from.
        links: Vec<Arc<str>>,
        /// The records.
        records: Vec<RawRecord>,
    },
    /// The name is there, records of this type are not.
    NoRecords {
        /// The link.
        link: Arc<str>,
    },
    /// Nobody has the name.
    NoName,
    /// There are too many questions at once.
    TooMany,
}

#[derive(Debug)]
struct Inquiry {
    wanted: Wanted,
    begun_at: Instant,
    /// Since when a lesser link's answer waits.
    answered_at: Option<Instant>,
    next_at: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Inquiries {
    inquiry_by_id: BTreeMap<InquiryId, Inquiry>,
    last: u64,
    done: VecDeque<(InquiryId, Finding)>,
    collected_at: BTreeMap<Wanted, Instant>,
    nobody_until: BTreeMap<Wanted, Instant>,
}

impl Inquiries {
    pub(super) fn next_at(&self) -> Option<Instant> {
        let inquiries = self.inquiry_by_id.values();
        inquiries.map(|inquiry| inquiry.next_at).min()
    }

    pub(super) fn wanted(&self) -> impl Iterator<Item = &Wanted> {
        self.inquiry_by_id.values().map(|inquiry| &inquiry.wanted)
    }

    /// Somebody has a name of which it was remembered that nobody has.
    pub(super) fn take_news(&mut self, record: &RawRecord) {
        let owner = record.owner();
        self.nobody_until.retain(|wanted, _| wanted.name != owner);
    }

    fn forget_old(&mut self, now: Instant) {
        self.nobody_until.retain(|_, until| *until > now);
        self.collected_at.retain(|_, at| now.since(*at) < COLLECTED);
    }
}

impl Mdns {
    /// Asks for a client. What is known is found at once; else the finding comes from [`Mdns::poll_finding`] in a bit more
    /// than a second at most. The same question twice is one inquiry.
    ///
    /// # Errors
    /// The finding, when there is nothing to wait for.
    pub fn inquire(&mut self, wanted: &Wanted, now: Instant) -> Result<InquiryId, Finding> {
        self.wake(now);
        self.inquiries.forget_old(now);
        let mut same = self.inquiries.inquiry_by_id.iter();
        if let Some((id, _)) = same.find(|(_, inquiry)| inquiry.wanted == *wanted) {
            return Ok(*id);
        }
        let mut inquiry = Inquiry {
            wanted: wanted.clone(),
            begun_at: now,
            answered_at: None,
            next_at: now + LIFETIME,
        };
        if let Some(finding) = self.find(&mut inquiry, now) {
            return Err(finding);
        }
        if self.inquiries.nobody_until.contains_key(wanted) || self.places.is_empty() {
            return Err(Finding::NoName);
        }
        if self.inquiries.inquiry_by_id.len() >= INQUIRIES_MAX {
            return Err(Finding::TooMany);
        }
        for place in self.places.values_mut() {
            place.series.ask(wanted, now);
        }
        self.inquiries.last += 1;
        let id = InquiryId(self.inquiries.last);
        self.inquiries.inquiry_by_id.insert(id, inquiry);
        Ok(id)
    }

    /// Nobody waits for an inquiry any more.
    pub fn leave(&mut self, id: InquiryId) {
        if let Some(inquiry) = self.inquiries.inquiry_by_id.remove(&id) {
            self.stop_asking(&inquiry.wanted);
        }
    }

    /// Returns the next inquiry that is over, and what it came to.
    pub fn poll_finding(&mut self) -> Option<(InquiryId, Finding)> {
        self.inquiries.done.pop_front()
    }

    /// Looks which inquiries are over.
    pub(super) fn judge(&mut self, now: Instant) {
        let ids: Vec<InquiryId> = self.inquiries.inquiry_by_id.keys().copied().collect();
        for id in ids {
            let Some(mut inquiry) = self.inquiries.inquiry_by_id.remove(&id) else {
                continue;
            };
            match self.find(&mut inquiry, now) {
                Some(finding) => {
                    self.stop_asking(&inquiry.wanted);
                    self.inquiries.done.push_back((id, finding));
                }
                None => {
                    self.inquiries.inquiry_by_id.insert(id, inquiry);
                }
            }
        }
    }

    fn stop_asking(&mut self, wanted: &Wanted) {
        for place in self.places.values_mut() {
            place.series.leave(wanted);
        }
    }

    /// Judges one inquiry; `None` when it goes on, and says when to look again.
    fn find(&mut self, inquiry: &mut Inquiry, now: Instant) -> Option<Finding> {
        let ends_at = inquiry.begun_at + LIFETIME;
        let is_over = now >= ends_at || self.places.is_empty();
        if collects(&inquiry.wanted) {
            return self.find_all(inquiry, is_over, now);
        }
        inquiry.next_at = ends_at;
        let links: Vec<(LinkId, Arc<str>)> = self
            .links
            .iter()
            .map(|link| (link.id, Arc::clone(&link.name)))
            .collect();
        for (place, (link, name)) in links.into_iter().enumerate() {
            let found = self.find_at(link, &name, inquiry, now);
            let Some(finding) = found else {
                continue;
            };
            let answered_at = *inquiry.answered_at.get_or_insert(now);
            let settled_at = answered_at + BETTER_LINK;
            // What is known from before is no race.
            let is_kept = inquiry.begun_at == now;
            if place == 0 || is_kept || is_over || now >= settled_at {
                return Some(finding);
            }
            inquiry.next_at = inquiry.next_at.min(settled_at);
            return None;
        }
        let owner_at = inquiry.begun_at + OWNER;
        if now < owner_at {
            inquiry.next_at = inquiry.next_at.min(owner_at);
        }
        if !is_over {
            return None;
        }
        let nobody_until = &mut self.inquiries.nobody_until;
        if nobody_until.len() < INQUIRIES_MAX {
            nobody_until.insert(inquiry.wanted.clone(), now + NOBODY);
        }
        Some(Finding::NoName)
    }

    /// What one link says of a name.
    fn find_at(
        &mut self,
        link: LinkId,
        name: &Arc<str>,
        inquiry: &Inquiry,
        now: Instant,
    ) -> Option<Finding> {
        let wanted = &inquiry.wanted;
        let answers = self.answers_at(link, wanted, now);
        if !answers.is_empty() {
            return Some(Finding::Records {
                links: vec![Arc::clone(name)],
                records: answers.into_iter().map(|told| told.record).collect(),
            });
        }
        let places = [Family::V4, Family::V6].map(|family| PlaceId { link, family });
        let mut places = places.iter().filter_map(|id| self.places.get(id));
        let is_late = now >= inquiry.begun_at + OWNER;
        let denies = places.any(|place| {
            let is_ours = place.voice.own_answers(wanted).is_some();
            let is_silent = is_late && place.cache.is_owned(&wanted.name, Instant::ZERO, now);
            is_ours || is_silent || place.cache.denies(wanted, now)
        });
        denies.then(|| Finding::NoRecords {
            link: Arc::clone(name),
        })
    }

    /// Collects from all links.
    fn find_all(&mut self, inquiry: &Inquiry, is_over: bool, now: Instant) -> Option<Finding> {
        let wanted = &inquiry.wanted;
        let is_known = self.inquiries.collected_at.contains_key(wanted)
            || self.browses.values().any(|browse| browse.wanted == *wanted);
        let is_enough = is_over || (is_known && inquiry.begun_at == now);
        if !is_enough {
            return None;
        }
        let links: Vec<(LinkId, Arc<str>)> = self
            .links
            .iter()
            .map(|link| (link.id, Arc::clone(&link.name)))
            .collect();
        let mut from = Vec::new();
        let mut records: Vec<RawRecord> = Vec::new();
        for (link, name) in links {
            let answers = self.answers_at(link, wanted, now);
            let new = answers.into_iter().map(|told| told.record);
            let new: Vec<RawRecord> = new
                .filter(|record| {
                    !records
                        .iter()
                        .any(|known| super::cache::is_same(known, record))
                })
                .collect();
            if !new.is_empty() {
                from.push(name);
                records.extend(new);
            }
        }
        if is_over && self.inquiries.collected_at.len() < INQUIRIES_MAX {
            self.inquiries.collected_at.insert(wanted.clone(), now);
        }
        match records.is_empty() {
            // Something may be known of it meanwhile; an empty collection is none.
            true if !is_over => None,
            true => {
                self.inquiries.collected_at.remove(wanted);
                Some(Finding::NoName)
            }
            false => Some(Finding::Records {
                links: from,
                records,
            }),
        }
    }
}

/// Whether many may answer: pointers that are not the way back from an address, and everything that there is.
fn collects(wanted: &Wanted) -> bool {
    let is_reverse = wanted.name.labels().last() == Some(b"arpa".as_slice());
    wanted.record_type == rtype::ANY || (wanted.record_type == rtype::PTR && !is_reverse)
}
