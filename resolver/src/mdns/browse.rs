//! What is there, and what comes and goes, while somebody watches? Standing questions, and what they see.

use std::collections::BTreeSet;
use std::sync::Arc;

use config::time::Instant;
use policy::LinkId;

use super::cache::Said;
use super::message::Wanted;
use super::{Mdns, PlaceId};
use crate::record::RawRecord;

/// Browses at a time.
const BROWSES_MAX: usize = 64;
/// Sights that wait to be taken; when nobody takes them, later ones are dropped.
const SIGHTS_MAX: usize = 4096;

/// A browse; chosen by who begins it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrowseId(pub u64);

/// A record that came or went while somebody watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// For whom.
    pub browse: BrowseId,
    /// The link's name.
    pub link: Arc<str>,
    /// Whether it came.
    pub is_there: bool,
    /// The record.
    pub record: RawRecord,
}

#[derive(Debug)]
pub(super) struct Browse {
    pub(super) wanted: Wanted,
    link: Option<LinkId>,
    /// What was told to be there, by link: no more than the caches there and this machine's own voice have, as whatever leaves them is told.
    told: BTreeSet<(LinkId, Said)>,
}

impl Browse {
    pub(super) fn is_at(&self, link: LinkId) -> bool {
        self.link.is_none_or(|own| own == link)
    }
}

impl Mdns {
    /// Begins to watch, on one link or on all; what is known is told at once. Returns whether there was room.
    pub fn begin_browse(
        &mut self,
        id: BrowseId,
        wanted: Wanted,
        link: Option<LinkId>,
        now: Instant,
    ) -> bool {
        if self.browses.len() >= BROWSES_MAX {
            return false;
        }
        let browse = Browse {
            wanted: wanted.clone(),
            link,
            told: BTreeSet::new(),
        };
        self.browses.insert(id, browse);
        self.wake(now);
        let places: Vec<PlaceId> = self.places.keys().copied().collect();
        for place_id in places {
            if link.is_some_and(|link| link != place_id.link) {
                continue;
            }
            let Some(place) = self.places.get_mut(&place_id) else {
                continue;
            };
            place.series.stand(&wanted, now, &mut self.rng);
            let own = place.voice.own_answers(&wanted).unwrap_or_default();
            let known = place.cache.answers(&wanted, now);
            for told in own.iter().chain(&known) {
                self.see(place_id, &told.record, true);
            }
        }
        true
    }

    /// Ends that.
    pub fn end_browse(&mut self, id: BrowseId, now: Instant) {
        let Some(browse) = self.browses.remove(&id) else {
            return;
        };
        for (place_id, place) in &mut self.places {
            let mut others = self.browses.values();
            if !others.any(|other| other.wanted == browse.wanted && other.is_at(place_id.link)) {
                place.series.unstand(&browse.wanted);
            }
        }
        self.active_until = self.active_until.max(now + super::IDLE);
    }

    /// Tells browses what this machine itself came to say, or says no more.
    pub(super) fn see_own(&mut self) {
        let mut news = Vec::new();
        for (id, place) in &mut self.places {
            let told = place.voice.take_news().into_iter();
            news.extend(told.map(|(record, is_there)| (*id, record, is_there)));
        }
        for (id, record, is_there) in news {
            self.see(id, &record, is_there);
        }
    }

    /// Tells browses of a record that came or went at a place; what both families say is told once.
    pub(super) fn see(&mut self, at: PlaceId, record: &RawRecord, is_there: bool) {
        let name = self
            .links
            .iter()
            .find(|link| link.id == at.link)
            .map(|link| Arc::clone(&link.name));
        let said = (at.link, Said::by(record));
        for (id, browse) in &mut self.browses {
            if !browse.is_at(at.link) || !browse.wanted.is_answered_by(record) {
                continue;
            }
            match (browse.told.contains(&said), is_there) {
                (false, true) => {
                    browse.told.insert(said.clone());
                }
                (true, false) => {
                    // The other family still has it, unless it is about to go there too.
                    let others = self
                        .places
                        .iter()
                        .filter(|(other, _)| other.link == at.link && other.family != at.family);
                    let is_elsewhere = others.into_iter().any(|(_, place)| place.cache.has(record));
                    if is_elsewhere {
                        continue;
                    }
                    browse.told.remove(&said);
                }
                (true, true) | (false, false) => continue,
            }
            if self.sights.len() < SIGHTS_MAX {
                self.sights.push_back(Sight {
                    browse: *id,
                    link: name.clone().unwrap_or_else(|| "-".into()),
                    is_there,
                    record: record.clone(),
                });
            }
        }
    }
}
