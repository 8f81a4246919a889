//! What becomes of a question for a name that only neighbours know? From the query machine to multicast DNS and back.
//!
//! ```text
//! unclaimed, in .local ─┬─► inquiry on the links ──────────────────────► answered by a neighbour, or by nobody
//!                       └─► is the zone in the network's own DNS? (SOA) ─► yes: asked there, in the default scope
//! ```
//!
//! Some networks call their own zone `local` or `corp.local`, which RFC 6762 §3 took from them. Whether the default scope's
//! upstreams serve such a zone is asked once in a while, for the zone alone and never for the name; where they do, the name is
//! asked there: at once when it has three labels or more, after the neighbours when it has two. Nothing of that is judged: the
//! root denies `local`, so every such answer would be bogus.
//!
//! Which names and links these are was decided in `policy`. Answers are not kept in the caches of scopes and are never authentic.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use config::name::DomainName;
use config::time::Instant;
use policy::multicast::{MulticastPlan, is_local};
use policy::{LinkId, Route, ScopeId, Target};

use crate::Resolver;
use crate::chain::is_claimed;
use crate::conclude::Conclusion;
use crate::event::{ExtendedError, Step, Stub, Timer};
use crate::exchange::{Asking, Whom};
use crate::lookup::Waiter;
use crate::mdns::message::Wanted;
use crate::mdns::{
    BrowseId, Finding, Heard, InquiryId, Mdns, MulticastStatus, PlaceId, Sight, Spoken,
};
use crate::progress::{Found, Outcome, Query};
use crate::record::RawRecord;
use crate::refusal::Refused;
use crate::synthesize::soa;
use crate::wire::{Question, class, rcode, rtype};

/// How long it is believed whether a zone is in the network's DNS.
const ZONE_LIFETIME: Duration = Duration::from_secs(600);
/// How long after a failure to find out.
const ZONE_RETRY: Duration = Duration::from_secs(60);
/// How long a client waits for that at most.
const ZONE_WAIT: Duration = Duration::from_millis(1500);
/// Zones of which it is remembered.
const ZONES_MAX: usize = 256;
/// TTL of what nobody has, in seconds: it may be there in a moment.
const NOBODY_TTL: u32 = 1;
/// The key of multicast DNS' own deadline; the others are queries', which begin at 1.
const OWN_KEY: u64 = 0;
/// Code of an Extended DNS Error without a code of its own (RFC 8914 §4.1).
const OTHER_ERROR: u16 = 0;

/// The neighbours, and who waits for them.
#[derive(Debug)]
pub(crate) struct Neighbours {
    mdns: Mdns,
    waiting_by_query: BTreeMap<u64, Waiting>,
    zones: BTreeMap<(u64, DomainName), Zone>,
}

/// What a query waits for.
#[derive(Debug)]
struct Waiting {
    inquiry: Option<InquiryId>,
    finding: Option<Finding>,
    /// The zone of which it is not known whether it is in the network's DNS.
    zone: Option<(u64, DomainName)>,
    asked_at: Instant,
}

/// Whether a zone is in the network's DNS.
#[derive(Debug)]
enum Zone {
    Asked,
    Known(bool, Instant),
}

impl Neighbours {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self {
            mdns: Mdns::new(seed),
            waiting_by_query: BTreeMap::new(),
            zones: BTreeMap::new(),
        }
    }
}

impl Resolver {
    /// Takes a message of multicast DNS.
    pub fn handle_heard(&mut self, heard: &Heard<'_>, now: Instant) {
        self.neighbours.mdns.handle_heard(heard, now);
        self.settle_neighbours(now);
    }

    /// Takes whether another program of this machine shares the port of multicast DNS.
    pub fn apply_shared_port(&mut self, is_shared: bool) {
        self.neighbours.mdns.apply_shared_port(is_shared);
    }

    /// Returns where multicast DNS is to be listened to, when that has changed; to be polled before [`Resolver::poll_spoken`].
    pub fn poll_listening(&mut self) -> Option<Vec<PlaceId>> {
        self.neighbours.mdns.poll_listening()
    }

    /// Returns the next message of multicast DNS to be sent.
    pub fn poll_spoken(&mut self) -> Option<Spoken> {
        self.neighbours.mdns.poll_spoken()
    }

    /// Returns the next thing that a browse has seen.
    pub fn poll_sight(&mut self) -> Option<Sight> {
        self.neighbours.mdns.poll_sight()
    }

    /// Begins to watch what comes and goes; what the neighbours have is told by [`Resolver::poll_sight`]. Returns whether there
    /// was room.
    pub fn begin_browse(
        &mut self,
        id: BrowseId,
        question: &Question,
        link: Option<LinkId>,
        now: Instant,
    ) -> bool {
        let begun = self
            .neighbours
            .mdns
            .begin_browse(id, wanted(question), link, now);
        self.settle_neighbours(now);
        begun
    }

    /// Ends that.
    pub fn end_browse(&mut self, id: BrowseId, now: Instant) {
        self.neighbours.mdns.end_browse(id, now);
        self.settle_neighbours(now);
    }

    /// Says goodbye to the neighbours: [`Resolver::poll_spoken`] has the last messages.
    pub fn fall_silent(&mut self) {
        self.neighbours.mdns.fall_silent();
    }

    /// Returns what multicast DNS is doing on each link.
    pub fn multicast_status(&self) -> Vec<MulticastStatus> {
        self.neighbours.mdns.status()
    }

    /// Returns the zones in `.local` that the network's own DNS serves, as far as that was asked.
    pub fn unicast_locals(&self) -> Vec<DomainName> {
        let zones = self.neighbours.zones.iter();
        let served = zones.filter(|(_, zone)| matches!(zone, Zone::Known(true, _)));
        let mut names: Vec<DomainName> = served.map(|((_, name), _)| name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Puts the plan's links in force; queries whose names belong elsewhere since end.
    pub(crate) fn apply_neighbours(&mut self, now: Instant) {
        let Self {
            neighbours, plan, ..
        } = self;
        neighbours.mdns.apply(&plan.multicast, now);
        let ids: Vec<u64> = self.neighbours.waiting_by_query.keys().copied().collect();
        for id in ids {
            let name = self.queries.get(id).map(|query| query.chain.name.clone());
            let Some(name) = name else {
                self.neighbours.waiting_by_query.remove(&id);
                continue;
            };
            let is_claimed = is_claimed(&self.plan.domains.route(&name));
            if !is_claimed && self.plan.multicast.covers(&name) {
                continue;
            }
            self.stop_waiting(id);
            if let Some(query) = self.queries.remove(id) {
                let refused = Refused::scope_lost(&name, &ScopeId("the neighbours".into()));
                self.finish(query, Outcome::Refused(refused), now);
            }
        }
        self.settle_neighbours(now);
    }

    /// Takes what the host is called.
    pub(crate) fn apply_own_name(&mut self, now: Instant) {
        let hostname = self.local_names.hostname.as_ref();
        self.neighbours.mdns.apply_hostname(hostname, now);
        self.settle_neighbours(now);
    }

    /// Acts on a deadline.
    pub(crate) fn take_neighbours_timeout(&mut self, key: u64, now: Instant) {
        if key == OWN_KEY {
            self.neighbours.mdns.handle_timeout(now);
            self.settle_neighbours(now);
            return;
        }
        if let Some(waiting) = self.neighbours.waiting_by_query.get_mut(&key) {
            waiting.zone = None;
            self.end_if_known(key, now);
        }
    }

    /// Whether a question that would be answered here as a special name is for the neighbours.
    pub(crate) fn is_for_neighbours(&self, query: &Query, route: &Route) -> bool {
        let name = &query.chain.name;
        // The target of an alias is a stranger's word: it asks nobody on our links.
        query.stub == Stub::Main
            && query.chain.is_at_start()
            && !is_claimed(route)
            && !self.plan.multicast.links.is_empty()
            && (self.plan.multicast.covers(name) || self.is_searched_local(name))
    }

    /// Asks the neighbours, and finds out whether the network's DNS knows better.
    pub(crate) fn ask_neighbours(&mut self, mut query: Box<Query>, route: &Route, now: Instant) {
        let question = query.question();
        let scope = self.default_scope(route);
        if self.is_searched_local(&question.name) {
            query.steps.push(Step::Neighbours(
                "a search suffix in .local covers it: asked in the network's own DNS".into(),
            ));
            self.ask_unicast(query, scope, now);
            return;
        }
        let mut waiting = Waiting {
            inquiry: None,
            finding: None,
            zone: None,
            asked_at: now,
        };
        if let (Some((_, incarnation)), Some(zone)) = (&scope, zone_of(&question.name)) {
            let key = (*incarnation, zone);
            match self.zone(&key, now) {
                Some(true) if question.name.label_count() > 2 => {
                    query.steps.push(unicast_step(&key.1));
                    self.ask_unicast(query, scope, now);
                    return;
                }
                Some(false) => {}
                // With two labels the neighbours come first: the answer decides what their silence means.
                Some(true) | None => {
                    self.ask_for_zone(&key, scope.as_ref(), now);
                    waiting.zone = Some(key);
                }
            }
        }
        match self.neighbours.mdns.inquire(&wanted(&question), now) {
            Ok(inquiry) => waiting.inquiry = Some(inquiry),
            Err(finding) => waiting.finding = Some(finding),
        }
        let id = query.id;
        if waiting.zone.is_some() {
            self.timers.set(Timer::Neighbours, id, now + ZONE_WAIT);
        }
        query
            .steps
            .push(Step::Neighbours(asked(&self.plan.multicast).into()));
        self.neighbours.waiting_by_query.insert(id, waiting);
        self.keep_waiting(query, now);
        self.end_if_known(id, now);
        self.settle_neighbours(now);
    }

    /// Takes the news whether the network's DNS serves a zone.
    pub(crate) fn take_zone(&mut self, asking: &Asking, conclusion: &Conclusion, now: Instant) {
        let key = (asking.incarnation, asking.question.name.clone());
        let known = match conclusion {
            Conclusion::Reply { plain, .. } => {
                let hop = &plain.hop;
                let mut records = hop.answers.iter().chain(&hop.authority);
                // The root's SOA record comes with its denial, as that of `local` comes with one for a zone in it.
                let serves = records
                    .any(|record| record.record_type == rtype::SOA && is_local(&record.owner()));
                Zone::Known(serves, now + ZONE_LIFETIME)
            }
            Conclusion::Refused(_) => Zone::Known(false, now + ZONE_RETRY),
        };
        self.neighbours.zones.insert(key.clone(), known);
        let ids: Vec<u64> = self
            .neighbours
            .waiting_by_query
            .iter()
            .filter(|(_, waiting)| waiting.zone.as_ref() == Some(&key))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.end_if_known(id, now);
        }
    }

    /// Hands on what was found, and says when to be called again.
    fn settle_neighbours(&mut self, now: Instant) {
        while let Some((inquiry, finding)) = self.neighbours.mdns.poll_finding() {
            let waiting = self.neighbours.waiting_by_query.iter_mut();
            let mut ids = Vec::new();
            for (id, waiting) in waiting.filter(|(_, waiting)| waiting.inquiry == Some(inquiry)) {
                waiting.inquiry = None;
                waiting.finding = Some(finding.clone());
                ids.push(*id);
            }
            for id in ids {
                self.end_if_known(id, now);
            }
        }
        match self.neighbours.mdns.poll_timeout() {
            Some(at) => self.timers.set(Timer::Neighbours, OWN_KEY, at),
            None => self.timers.clear(Timer::Neighbours, OWN_KEY),
        }
    }

    /// Ends a query if enough is known.
    fn end_if_known(&mut self, id: u64, now: Instant) {
        let Some(waiting) = self.neighbours.waiting_by_query.get(&id) else {
            return;
        };
        let serves = match &waiting.zone {
            None => Some(false),
            Some(key) => self.neighbours.zones.get(key).and_then(Zone::known),
        };
        let Some(query) = self.queries.get(id) else {
            self.stop_waiting(id);
            return;
        };
        let is_long = query.chain.name.label_count() > 2;
        let is_there = match &waiting.finding {
            Some(Finding::Records { .. } | Finding::NoRecords { .. }) => Some(true),
            Some(Finding::NoName | Finding::TooMany) => Some(false),
            None => None,
        };
        let goes_to_unicast = match (is_long, is_there, serves) {
            (true, _, Some(true)) | (false, Some(false), Some(true)) => true,
            (_, Some(_), Some(false)) | (false, Some(true), _) => false,
            (true, _, None) | (_, None, _) | (false, Some(false), None) => return,
        };
        let elapsed = now.since(waiting.asked_at);
        let waiting = self.stop_waiting(id);
        let (Some(mut query), Some(waiting)) = (self.queries.remove(id), waiting) else {
            return;
        };
        if goes_to_unicast {
            if let Some((_, zone)) = &waiting.zone {
                query.steps.push(unicast_step(zone));
            }
            let route = self.plan.domains.route(&query.chain.name);
            let scope = self.default_scope(&route);
            self.ask_unicast(query, scope, now);
            return;
        }
        if let Some(finding) = waiting.finding {
            let outcome = self.outcome(&mut query, finding, elapsed);
            self.settle(query, outcome, now);
        }
    }

    fn stop_waiting(&mut self, id: u64) -> Option<Waiting> {
        self.timers.clear(Timer::Neighbours, id);
        let waiting = self.neighbours.waiting_by_query.remove(&id)?;
        if let Some(inquiry) = waiting.inquiry {
            let others = self.neighbours.waiting_by_query.values();
            if !others
                .into_iter()
                .any(|other| other.inquiry == Some(inquiry))
            {
                self.neighbours.mdns.leave(inquiry);
            }
        }
        Some(waiting)
    }

    /// Makes an answer of what was found.
    fn outcome(&self, query: &mut Query, finding: Finding, elapsed: Duration) -> Outcome {
        let name = query.chain.name.clone();
        query.chain.authentic = false;
        let told = |query: &mut Query, text: String| {
            query.steps.push(Step::Neighbours(
                format!("{text} after {} ms", elapsed.as_millis()).into(),
            ));
        };
        match finding {
            Finding::Records { links, records } => {
                let kept = without_link_local(&records);
                let withheld = records.len() - kept.len();
                let mut text = format!("answered on {}", links.join(", "));
                if withheld > 0 {
                    text += &format!(
                        ", {withheld} link-local addresses withheld as an answer cannot say their link"
                    );
                }
                told(query, text);
                query.chain.answers.extend(kept);
                Outcome::Found(Found::default())
            }
            Finding::NoRecords { link } => {
                told(
                    query,
                    format!("its owner on {link} has no records of this type"),
                );
                Outcome::Found(Found {
                    authority: vec![soa(&name, NOBODY_TTL)],
                    ..Found::default()
                })
            }
            Finding::NoName => {
                told(query, "nobody answered".to_owned());
                let links = self.plan.multicast.links.iter();
                let links: Vec<&str> = links.map(|link| &*link.name).collect();
                Outcome::Found(Found {
                    rcode: rcode::NXDOMAIN,
                    authority: vec![soa(&top_of(&name), NOBODY_TTL)],
                    extended_error: Some(ExtendedError {
                        code: OTHER_ERROR,
                        text: format!(
                            "nobody on {} answered for {name} (multicast DNS)",
                            links.join(", ")
                        ),
                    }),
                    ..Found::default()
                })
            }
            Finding::TooMany => Outcome::Refused(Refused::too_many()),
        }
    }

    /// Asks in the default scope, and judges nothing.
    fn ask_unicast(&mut self, mut query: Box<Query>, scope: Option<(ScopeId, u64)>, now: Instant) {
        let question = query.question();
        let route = self.plan.domains.route(&question.name);
        query
            .steps
            .push(Step::Routed(question.name.clone(), route.clone()));
        let Some((scope, incarnation)) = scope else {
            let refused = Refused::by_route(&question.name, &route, &self.plan);
            self.finish(query, Outcome::Refused(refused), now);
            return;
        };
        match self.look_up(&mut query, &question, &scope, now) {
            Some(next) => self.go_on(query, next, now),
            None => {
                let asking = Asking {
                    dnssec_ok: query.parsed.dnssec_ok(),
                    checking_disabled: query.parsed.checking_disabled,
                    ..unjudged(scope, incarnation, question)
                };
                let Some(mut query) = self.admit(query, &asking, now) else {
                    return;
                };
                query.lookup = Some(self.ask(Waiter::Query(query.id), asking, now));
                self.keep_waiting(query, now);
            }
        }
    }

    /// Returns the scope of names that nobody claims, when it can be asked.
    fn default_scope(&mut self, route: &Route) -> Option<(ScopeId, u64)> {
        let Target::Ask(id) = &route.target else {
            return None;
        };
        let incarnation = self.scopes.get(id)?.incarnation;
        self.scopes.living(id, incarnation)?;
        Some((id.clone(), incarnation))
    }

    fn is_searched_local(&self, name: &DomainName) -> bool {
        is_local(name) && self.plan.multicast.is_unicast(name)
    }

    fn zone(&self, key: &(u64, DomainName), now: Instant) -> Option<bool> {
        match self.neighbours.zones.get(key)? {
            Zone::Known(serves, until) if *until > now => Some(*serves),
            Zone::Known(..) | Zone::Asked => None,
        }
    }

    /// Asks whether the network's DNS serves a zone, unless that is known or being asked.
    fn ask_for_zone(
        &mut self,
        key: &(u64, DomainName),
        scope: Option<&(ScopeId, u64)>,
        now: Instant,
    ) {
        let Some((scope, incarnation)) = scope else {
            return;
        };
        let is_asked = matches!(self.neighbours.zones.get(key), Some(Zone::Asked));
        if is_asked || self.zone(key, now).is_some() {
            return;
        }
        let zones = &mut self.neighbours.zones;
        zones.retain(|_, zone| !matches!(zone, Zone::Known(_, until) if *until <= now));
        if zones.len() >= ZONES_MAX {
            zones.clear();
        }
        zones.insert(key.clone(), Zone::Asked);
        let question = Question {
            name: key.1.clone(),
            record_type: rtype::SOA,
            class: class::IN,
        };
        self.ask(
            Waiter::LocalZone,
            unjudged(scope.clone(), *incarnation, question),
            now,
        );
    }
}

impl Zone {
    const fn known(&self) -> Option<bool> {
        match self {
            Self::Asked => None,
            Self::Known(serves, _) => Some(*serves),
        }
    }
}

fn unjudged(scope: ScopeId, incarnation: u64, question: Question) -> Asking {
    Asking {
        scope,
        incarnation,
        question,
        dnssec_ok: false,
        checking_disabled: true,
        validate: false,
        recurse: false,
        fleeting: false,
        whom: Whom::Any,
        mark: 0,
    }
}

fn wanted(question: &Question) -> Wanted {
    Wanted {
        name: question.name.clone(),
        record_type: question.record_type,
        class: class::IN,
        unicast: false,
    }
}

fn asked(plan: &MulticastPlan) -> String {
    let links: Vec<&str> = plan.links.iter().map(|link| &*link.name).collect();
    format!("asked by multicast on {}", links.join(", "))
}

fn unicast_step(zone: &DomainName) -> Step {
    Step::Neighbours(format!("the network's own DNS serves {zone}: asked there").into())
}

/// Returns the zone that a network might serve itself: `local`, or what is below it; none for services and addresses.
fn zone_of(name: &DomainName) -> Option<DomainName> {
    if !is_local(name) {
        return None;
    }
    let count = name.label_count();
    let below = name.labels().nth(count.checked_sub(2)?)?;
    if below.first() == Some(&b'_') {
        return None;
    }
    let keep = if count > 2 { 2 } else { 1 };
    let wire = name.suffixes().nth(count - keep)?;
    DomainName::from_wire(wire).ok()
}

/// Returns the suffix that makes a name the neighbours': its last label, or the zone of link-local addresses.
fn top_of(name: &DomainName) -> DomainName {
    let count = name.label_count();
    let suffix = name.suffixes().nth(count.saturating_sub(1));
    let top = suffix.and_then(|wire| DomainName::from_wire(wire).ok());
    top.filter(is_local).unwrap_or_else(|| name.clone())
}

/// Leaves out IPv6 addresses that need their link, when there are others: no program can connect to one without it.
pub(crate) fn without_link_local(records: &[RawRecord]) -> Vec<RawRecord> {
    let is_link_local = |record: &RawRecord| {
        let octets: Result<[u8; 16], _> = record.rdata.as_slice().try_into();
        record.record_type == rtype::AAAA
            && octets.is_ok_and(|octets| Ipv6Addr::from(octets).is_unicast_link_local())
    };
    if records.iter().all(is_link_local) {
        return records.to_vec();
    }
    let kept = records.iter().filter(|record| !is_link_local(record));
    kept.cloned().collect()
}

#[cfg(test)]
mod tests;
