//! What have the neighbours of one place said, and how long does it hold? One [`Cache`] per link and family.
//!
//! Records are kept one by one, as their TTLs go by themselves (RFC 6762 §10). Bounded in number and bytes: when it is full,
//! what ends first makes room, so that a neighbour who says much cannot keep out what is asked for now. Knows no questions
//! in flight; whoever asks marks what it used, and that alone is worth asking for again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use config::name::DomainName;
use config::time::Instant;

use super::message::{Told, Wanted};
use crate::record::RawRecord;
use crate::wire::{class, rtype};

/// Records kept at most.
const RECORDS_MAX: usize = 2048;
/// Octets kept at most, names and rdata.
const BYTES_MAX: usize = 512 << 10;
/// How long a record lives on after its goodbye, or after another set took its place (RFC 6762 §10.1, §10.2).
const LAST_MOMENT: Duration = Duration::from_secs(1);
/// A record that came this short a while ago belongs to the set that is being told (RFC 6762 §10.2).
const SAME_SET: Duration = Duration::from_secs(1);
/// The longest that a record is believed without being told again, whatever its TTL.
const LIFETIME_MAX: Duration = Duration::from_secs(4500);
/// Parts of a lifetime, in percent, after which what is in use is asked for again (RFC 6762 §5.2).
const REFRESH_AT: [u32; 4] = [80, 85, 90, 95];
/// How long others may go without an answer before a record is held for dead (RFC 6762 §10.5).
const SILENCE: Duration = Duration::from_secs(10);

/// The records of one place.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    entries: BTreeMap<DomainName, Vec<Entry>>,
    records: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    told: Told,
    received_at: Instant,
    lifetime: Duration,
    expires_at: Instant,
    /// How often it has been asked for again.
    refreshed: usize,
    /// Whether it was used since it was told.
    used: bool,
    /// Questions of others for it that nobody answered: how many, since when.
    unanswered: Option<(u8, Instant)>,
}

/// What a record did to the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It is new.
    New,
    /// It was there, and lives on.
    Again,
    /// It says goodbye, and was there.
    Goodbye,
    /// It is not kept.
    Nothing,
    /// It was there, and made room for the next.
    Evicted,
}

/// What a record says, so that it can be found among others: what [`is_same`] compares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Said {
    record_type: u16,
    owner: Box<[u8]>,
    rdata: Box<[u8]>,
}

impl Said {
    pub(crate) fn by(record: &RawRecord) -> Self {
        let mut owner = record.name.clone();
        owner.make_ascii_lowercase();
        let mut rdata: Box<[u8]> = record.rdata.as_slice().into();
        if is_name(record.record_type) {
            rdata.make_ascii_lowercase();
        }
        Self {
            record_type: record.record_type,
            owner,
            rdata,
        }
    }
}

impl Cache {
    /// Takes all records of one response; returns what that did, in its order, to these and to those that made room for them.
    pub(crate) fn take(&mut self, told: &[Told], now: Instant) -> Vec<(RawRecord, Effect)> {
        // RFC 6762 §10.2: all that was said of a unique set before is over in a second.
        let flushed: BTreeSet<(DomainName, u16)> = told
            .iter()
            .filter(|told| told.flush)
            .map(|told| (told.record.owner(), told.record.record_type))
            .collect();
        for (owner, record_type) in flushed {
            for entry in self.entries.get_mut(&owner).into_iter().flatten() {
                let is_old = now.since(entry.received_at) > SAME_SET;
                if entry.told.record.record_type == record_type && is_old {
                    entry.expires_at = entry.expires_at.min(now + LAST_MOMENT);
                }
            }
        }
        let mut effects = Vec::with_capacity(told.len());
        for told in told {
            let effect = self.insert(told, now, &mut effects);
            effects.push((told.record.clone(), effect));
        }
        effects
    }

    /// Takes one; what makes room for it goes before it into `effects`.
    fn insert(
        &mut self,
        told: &Told,
        now: Instant,
        effects: &mut Vec<(RawRecord, Effect)>,
    ) -> Effect {
        let owner = told.record.owner();
        let ttl = Duration::from_secs(told.record.ttl.into()).min(LIFETIME_MAX);
        let same = |entry: &&mut Entry| is_same(&entry.told.record, &told.record);
        let known = self.entries.get_mut(&owner);
        if let Some(entry) = known.into_iter().flatten().find(same) {
            if told.record.ttl == 0 {
                entry.expires_at = entry.expires_at.min(now + LAST_MOMENT);
                return Effect::Goodbye;
            }
            let used = entry.used && now.since(entry.received_at) < SAME_SET;
            *entry = Entry::new(told.clone(), ttl, now);
            entry.used = used;
            return Effect::Again;
        }
        if told.record.ttl == 0 {
            return Effect::Nothing;
        }
        let size = size_of_record(&told.record);
        while self.records >= RECORDS_MAX || self.bytes + size > BYTES_MAX {
            let evicted = self.evict();
            if evicted.is_empty() {
                return Effect::Nothing;
            }
            effects.extend(evicted.into_iter().map(|record| (record, Effect::Evicted)));
        }
        self.records += 1;
        self.bytes += size;
        let entries = self.entries.entry(owner).or_default();
        entries.push(Entry::new(told.clone(), ttl, now));
        Effect::New
    }

    /// Drops what ends first: an eighth at once, so that a flood does not go through everything for each record. Returns it.
    fn evict(&mut self) -> Vec<RawRecord> {
        let mut ends: Vec<Instant> = self
            .entries
            .values()
            .flatten()
            .map(Entry::ends_at)
            .collect();
        ends.sort_unstable();
        let Some(&last) = ends.get(ends.len() / 8) else {
            return Vec::new();
        };
        self.expire(last)
    }

    /// Returns the answers to a question, with what is left of their TTLs, and marks them as used.
    pub(crate) fn answers(&mut self, wanted: &Wanted, now: Instant) -> Vec<Told> {
        let entries = self.entries.get_mut(&wanted.name).into_iter().flatten();
        entries
            .filter(|entry| entry.expires_at > now && wanted.is_answered_by(&entry.told.record))
            .map(|entry| {
                entry.used = true;
                entry.aged(now)
            })
            .collect()
    }

    /// Returns what goes along with a question as known: what has more than half of its life before it (RFC 6762 §7.1).
    pub(crate) fn known_answers(&self, wanted: &Wanted, now: Instant) -> Vec<Told> {
        let entries = self.entries.get(&wanted.name).into_iter().flatten();
        entries
            .filter(|entry| wanted.is_answered_by(&entry.told.record))
            .filter(|entry| entry.expires_at.since(now) > entry.lifetime / 2)
            .map(|entry| Told {
                flush: false,
                ..entry.aged(now)
            })
            .collect()
    }

    /// Whether the owner of a name says that it has no records of this type (RFC 6762 §6.1).
    pub(crate) fn denies(&self, wanted: &Wanted, now: Instant) -> bool {
        let entries = self.entries.get(&wanted.name).into_iter().flatten();
        entries
            .filter(|entry| entry.expires_at > now && entry.told.flush)
            .any(|entry| nsec_denies(&entry.told.record, wanted.record_type))
    }

    /// Whether the name is somebody's alone: a unique record of any type is known, told since `since`.
    pub(crate) fn is_owned(&self, name: &DomainName, since: Instant, now: Instant) -> bool {
        let mut entries = self.entries.get(name).into_iter().flatten();
        entries.any(|entry| {
            entry.expires_at > now
                && entry.told.flush
                && entry.received_at >= since
                && entry.told.record.record_type != rtype::NSEC
        })
    }

    /// Notes that others asked for this by multicast (RFC 6762 §10.5); `known` is what they know themselves.
    pub(crate) fn take_question(&mut self, wanted: &Wanted, known: &[Told], now: Instant) {
        for entry in self.entries.get_mut(&wanted.name).into_iter().flatten() {
            let record = &entry.told.record;
            let is_known = known.iter().any(|known| is_same(&known.record, record));
            if is_known || !wanted.is_answered_by(record) || wanted.unicast {
                continue;
            }
            let (count, since) = entry.unanswered.unwrap_or((0, now));
            entry.unanswered = Some((count.saturating_add(1), since));
        }
    }

    /// Returns what is due to be asked for again: records that are in use, or asked for by `standing`.
    pub(crate) fn due(&mut self, standing: &BTreeSet<Wanted>, now: Instant) -> Vec<Wanted> {
        let mut due = Vec::new();
        for (owner, entries) in &mut self.entries {
            for entry in entries {
                let Some(at) = entry.refresh_at(standing) else {
                    continue;
                };
                if at <= now {
                    entry.refreshed += 1;
                    due.push(Wanted {
                        name: owner.clone(),
                        record_type: entry.told.record.record_type,
                        class: class::IN,
                        unicast: false,
                    });
                }
            }
        }
        due.dedup();
        due
    }

    /// Forgets what is over; returns it.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<RawRecord> {
        let mut over = Vec::new();
        let owners: Vec<DomainName> = self
            .entries
            .iter()
            .filter(|(_, entries)| entries.iter().any(|entry| entry.ends_at() <= now))
            .map(|(owner, _)| owner.clone())
            .collect();
        for owner in owners {
            over.extend(self.drop_where(&owner, |entry| entry.ends_at() <= now));
        }
        over
    }

    /// Returns when something is to be done next.
    pub(crate) fn next_at(&self, standing: &BTreeSet<Wanted>) -> Option<Instant> {
        let entries = self.entries.values().flatten();
        entries
            .flat_map(|entry| [Some(entry.ends_at()), entry.refresh_at(standing)])
            .flatten()
            .min()
    }

    /// Whether a record is there.
    pub(crate) fn has(&self, record: &RawRecord) -> bool {
        let entries = self.entries.get(&record.owner()).into_iter().flatten();
        entries
            .into_iter()
            .any(|entry| is_same(&entry.told.record, record))
    }

    /// Returns the number of records.
    pub(crate) fn len(&self) -> usize {
        self.records
    }

    /// Forgets everything; returns it.
    pub(crate) fn clear(&mut self) -> Vec<RawRecord> {
        let entries = std::mem::take(&mut self.entries);
        (self.records, self.bytes) = (0, 0);
        let all = entries.into_values().flatten();
        all.map(|entry| entry.told.record).collect()
    }

    fn drop_where(
        &mut self,
        owner: &DomainName,
        is_over: impl Fn(&Entry) -> bool,
    ) -> Vec<RawRecord> {
        let Some(entries) = self.entries.get_mut(owner) else {
            return Vec::new();
        };
        let (over, rest): (Vec<Entry>, Vec<Entry>) = std::mem::take(entries)
            .into_iter()
            .partition(|entry| is_over(entry));
        *entries = rest;
        if entries.is_empty() {
            self.entries.remove(owner);
        }
        let records: Vec<RawRecord> = over.into_iter().map(|entry| entry.told.record).collect();
        self.records -= records.len();
        self.bytes -= records.iter().map(size_of_record).sum::<usize>();
        records
    }
}

impl Entry {
    fn new(told: Told, lifetime: Duration, now: Instant) -> Self {
        Self {
            told,
            received_at: now,
            lifetime,
            expires_at: now + lifetime,
            refreshed: 0,
            used: false,
            unanswered: None,
        }
    }

    /// When it is over: at its end, or when others have asked for it in vain.
    fn ends_at(&self) -> Instant {
        match self.unanswered {
            Some((2.., since)) => self.expires_at.min(since + SILENCE),
            Some(_) | None => self.expires_at,
        }
    }

    /// When it is to be asked for again; never, when nobody uses it or its end is decided.
    fn refresh_at(&self, standing: &BTreeSet<Wanted>) -> Option<Instant> {
        let percent = *REFRESH_AT.get(self.refreshed)?;
        let is_wanted = || {
            let mut standing = standing.iter();
            standing.any(|wanted| wanted.is_answered_by(&self.told.record))
        };
        let is_dying = self.expires_at < self.received_at + self.lifetime;
        if is_dying || !(self.used && self.refreshed == 0 || is_wanted()) {
            return None;
        }
        Some(self.received_at + self.lifetime * percent / 100)
    }

    fn aged(&self, now: Instant) -> Told {
        let left = self.expires_at.since(now).as_secs();
        let mut told = self.told.clone();
        told.record.ttl = u32::try_from(left).unwrap_or(u32::MAX);
        told
    }
}

/// Whether two records say the same: owner, type and rdata.
pub(crate) fn is_same(one: &RawRecord, other: &RawRecord) -> bool {
    one.record_type == other.record_type
        && one.name.eq_ignore_ascii_case(&other.name)
        && match is_name(one.record_type) {
            true => one.rdata.eq_ignore_ascii_case(&other.rdata),
            false => one.rdata == other.rdata,
        }
}

/// Whether records of this type say a name and nothing else, in whatever case.
fn is_name(record_type: u16) -> bool {
    matches!(record_type, rtype::PTR | rtype::CNAME)
}

/// Whether an NSEC record says that its owner has no records of a type: a bitmap of block 0 (RFC 6762 §6.1).
fn nsec_denies(record: &RawRecord, record_type: u16) -> bool {
    if record.record_type != rtype::NSEC || record_type == rtype::ANY {
        return false;
    }
    let Ok(next) = DomainName::from_wire(&record.rdata) else {
        return false;
    };
    // RFC 6762 §6.1: the next name is the record's own; others deny nothing here.
    if next != record.owner() {
        return false;
    }
    let mut blocks = record.rdata.get(next.as_wire().len()..).unwrap_or_default();
    let [high, low] = record_type.to_be_bytes();
    while let Some((&[window, length], rest)) = blocks.split_first_chunk::<2>() {
        let Some((bitmap, after)) = rest.split_at_checked(usize::from(length)) else {
            return false;
        };
        if window == high {
            let octet = bitmap
                .get(usize::from(low / 8))
                .copied()
                .unwrap_or_default();
            return octet & (0x80 >> (low % 8)) == 0;
        }
        blocks = after;
    }
    true
}

fn size_of_record(record: &RawRecord) -> usize {
    const OVERHEAD: usize = 96;
    record.name.len() + record.rdata.len() + OVERHEAD
}

#[cfg(test)]
mod tests;
