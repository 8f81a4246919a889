//! Who of the neighbours has a name (RFC 6762), and which services are there (RFC 6763)? [`Mdns`], sans-IO.
//!
//! ```text
//! Mdns ── links, the best first ── places: a link by IPv4, a link by IPv6
//!   │                                 ├ cache    what neighbours have said
//!   ├ inquiries: clients' questions   ├ series   which questions are put, when
//!   └ browses: standing questions     └ voice    what this machine says of itself
//! ```
//!
//! Driven like the resolver that owns it: `apply`, `handle_*`, then `poll_*` until `None`. Nothing is listened to until somebody
//! asks, unless a link responds; a while after the last question it is given up again, so that a machine whose programs ask for no
//! such names sends nothing, hears nothing and is not woken.
//!
//! # What never happens
//! Answers of two links are never mixed for a host's name: the best link that knows it wins. Nothing that was heard here
//! reaches the caches of scopes, and nothing outlives its link.

mod browse;
mod cache;
mod inquiry;
pub mod message;
mod place;
mod reply;
mod self_name;
mod series;
mod services;
#[cfg(test)]
mod tests;
mod voice;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use config::model::{MdnsMode, Prefix};
use config::name::DomainName;
use config::time::Instant;
use policy::LinkId;
use policy::multicast::{MulticastLink, MulticastPlan};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use inquiry::Inquiries;
use message::{Told, Wanted};
use place::Place;
use self_name::SelfName;
use services::Services;
use voice::Stage;

pub use browse::{BrowseId, Sight};
pub use inquiry::{Finding, InquiryId};
pub(crate) use place::is_near;

/// The port of multicast DNS (RFC 6762 §3).
pub const MDNS_PORT: u16 = 5353;
/// How long places are listened to after the last question.
const IDLE: Duration = Duration::from_secs(600);
/// Messages of our own that are recognized when they come back.
const OWN_MAX: usize = 256;
/// How long a place is kept open for the goodbye that is said there.
const PARTING: Duration = Duration::from_millis(100);

/// The family that a link is spoken to by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// 224.0.0.251.
    V4,
    /// ff02::fb.
    V6,
}

/// A link by one family: to multicast DNS these are networks of their own (RFC 6762 §20).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceId {
    /// The link.
    pub link: LinkId,
    /// The family.
    pub family: Family,
}

/// A message that came in.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// Where.
    pub place: PlaceId,
    /// From whom.
    pub source: SocketAddr,
    /// Whether it was sent to the group.
    pub to_group: bool,
    /// Its TTL or hop limit, when that is known.
    pub hop_limit: Option<u8>,
    /// Whether it comes from this machine; set by [`Mdns`].
    pub from_self: bool,
    /// The message.
    pub wire: &'a [u8],
}

/// For whom a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// For all at the place.
    Group,
    /// For one.
    One(SocketAddr),
}

/// A message to be sent, from port 5353 and with a hop limit of 255.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spoken {
    /// Where.
    pub place: PlaceId,
    /// To whom.
    pub to: Whom,
    /// The message.
    pub wire: Vec<u8>,
}

/// What is going on at a link, for `status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MulticastStatus {
    /// The link.
    pub link: Arc<str>,
    /// What the plan has it do.
    pub mode: MdnsMode,
    /// Whether it is listened to now.
    pub listens: bool,
    /// What is said of this machine there, in words; `None` when nothing is to be said.
    pub voice: Option<String>,
    /// The services that are announced there, each with its name in force and how far it is.
    pub services: Vec<String>,
    /// Records known.
    pub records: usize,
    /// Messages heard.
    pub heard: u64,
    /// Messages that were not to be believed or could not be read.
    pub ignored: u64,
}

/// Multicast DNS on all links.
#[derive(Debug)]
pub struct Mdns {
    rng: StdRng,
    links: Vec<MulticastLink>,
    places: BTreeMap<PlaceId, Place>,
    inquiries: Inquiries,
    browses: BTreeMap<BrowseId, browse::Browse>,
    self_name: SelfName,
    services: Services,
    active_until: Instant,
    listening: BTreeSet<PlaceId>,
    /// Places that are left as soon as the goodbye is out, and when.
    parting_until: BTreeMap<PlaceId, Instant>,
    has_moved: bool,
    is_port_shared: bool,
    own: VecDeque<Vec<u8>>,
    spoken: VecDeque<Spoken>,
    sights: VecDeque<Sight>,
}

impl Mdns {
    /// Makes one that does nothing until a plan is applied.
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            rng: StdRng::from_seed(seed),
            links: Vec::new(),
            places: BTreeMap::new(),
            inquiries: Inquiries::default(),
            browses: BTreeMap::new(),
            self_name: SelfName::default(),
            services: Services::default(),
            active_until: Instant::ZERO,
            listening: BTreeSet::new(),
            parting_until: BTreeMap::new(),
            has_moved: false,
            is_port_shared: false,
            own: VecDeque::new(),
            spoken: VecDeque::new(),
            sights: VecDeque::new(),
        }
    }

    /// Puts a plan in force; what was heard at places that are gone is forgotten.
    pub fn apply(&mut self, plan: &MulticastPlan, now: Instant) {
        let links = plan.links.iter();
        let before = std::mem::take(&mut self.links);
        self.links = links
            .filter(|link| link.mdns != MdnsMode::Off)
            .cloned()
            .collect();
        self.services.keep(&self.links);
        // A link that leads to another network knows nothing of the one before (RFC 6762 §8.4, §10.3).
        let roamed = |link: &MulticastLink| {
            let mut before = before.iter().filter(|old| old.id == link.id);
            before.any(|old| has_roamed(&old.addresses, &link.addresses))
        };
        let roamed: BTreeSet<LinkId> = self
            .links
            .iter()
            .filter(|link| roamed(link))
            .map(|link| link.id)
            .collect();
        for id in self.listening.clone() {
            if roamed.contains(&id.link) {
                self.close(id);
                self.listening.remove(&id);
            }
        }
        self.settle_places(now);
        self.speak_up(now);
        self.judge(now);
    }

    /// Takes what the host is called; its first label counts.
    pub fn apply_hostname(&mut self, hostname: Option<&DomainName>, now: Instant) {
        if self.self_name.apply(hostname) {
            self.services.handle_renaming();
            self.speak_up(now);
        }
    }

    /// Takes whether another program of this machine has the port too: it may get what is sent to us alone.
    pub fn apply_shared_port(&mut self, is_shared: bool) {
        self.is_port_shared = is_shared;
    }

    /// Takes a message that came in.
    pub fn handle_heard(&mut self, heard: &Heard<'_>, now: Instant) {
        let Some(link) = self.links.iter().find(|link| link.id == heard.place.link) else {
            return;
        };
        let addresses = link.addresses.clone();
        let from_self = self.is_own_address(heard.source.ip());
        if from_self && self.own.iter().any(|own| own == heard.wire) {
            return;
        }
        let Some(place) = self.places.get_mut(&heard.place) else {
            return;
        };
        let heard = Heard {
            from_self,
            ..*heard
        };
        let news = place.hear(&heard, &addresses, now, &mut self.rng);
        let conflicts = place.voice.take_conflicts();
        for (record, is_there) in news.changes {
            if is_there {
                self.inquiries.take_news(&record);
            }
            self.see(heard.place, &record, is_there);
        }
        if !conflicts.is_empty() {
            self.self_name.handle_conflicts(&conflicts);
            self.services.handle_conflicts(&conflicts);
            self.speak_up(now);
        }
        if news.is_response {
            self.judge(now);
        }
        self.collect();
    }

    /// Does all that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let places: Vec<PlaceId> = self.places.keys().copied().collect();
        for id in places {
            let may_unicast = !self.is_port_shared;
            let Some(place) = self.places.get_mut(&id) else {
                continue;
            };
            for record in place.handle_timeout(may_unicast, now, &mut self.rng) {
                self.see(id, &record, false);
            }
        }
        self.judge(now);
        self.settle_places(now);
        self.collect();
    }

    /// Says goodbye for all that was said, as the machine is about to be silent (RFC 6762 §10.1).
    pub fn fall_silent(&mut self) {
        for place in self.places.values_mut() {
            let over = place.voice.fall_silent();
            place.say_goodbye(over);
        }
        self.links.clear();
        self.collect();
    }

    /// Returns the next message to be sent; after [`Mdns::poll_listening`], so that it can be.
    pub fn poll_spoken(&mut self) -> Option<Spoken> {
        self.spoken.pop_front()
    }

    /// Returns where to listen, when that has changed.
    pub fn poll_listening(&mut self) -> Option<Vec<PlaceId>> {
        std::mem::take(&mut self.has_moved).then(|| self.listening.iter().copied().collect())
    }

    /// Returns the next thing seen by a browse.
    pub fn poll_sight(&mut self) -> Option<Sight> {
        self.sights.pop_front()
    }

    /// Returns when to be called again.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let places = self.places.values().filter_map(Place::next_at);
        // Only a link that resolves is given up again.
        let is_kept = |id: &&PlaceId| {
            let mut links = self.links.iter().filter(|link| link.id == id.link);
            links.any(|link| link.mdns == MdnsMode::Respond)
        };
        let is_waiting = self.browses.is_empty() && !self.places.keys().all(|id| is_kept(&id));
        places
            .chain(self.inquiries.next_at())
            .chain(self.parting_until.values().copied())
            .chain(is_waiting.then_some(self.active_until))
            .min()
    }

    /// Returns what every link is doing.
    pub fn status(&self) -> Vec<MulticastStatus> {
        self.links.iter().map(|link| self.status_of(link)).collect()
    }

    fn status_of(&self, link: &MulticastLink) -> MulticastStatus {
        let ids = places_of(link);
        let places: Vec<&Place> = ids.iter().filter_map(|id| self.places.get(id)).collect();
        let host = self.self_name.name();
        let stages = || places.iter().flat_map(|place| place.voice.stages());
        let told = |name: &DomainName, says: &str, shown: &str| {
            let of_name = || stages().filter(|(group, _)| group.name == *name);
            let is = |pick: fn(Stage) -> bool| of_name().any(|(_, stage)| pick(stage));
            if is(|stage| matches!(stage, Stage::Yielded(_))) {
                format!("gives way: another program of this machine {says} {shown}")
            } else if is(|stage| matches!(stage, Stage::Probing(..))) {
                format!("asks whether {shown} is free")
            } else {
                format!("{says} {shown}")
            }
        };
        let is_host = |name: &DomainName| host.as_ref() == Some(name);
        let voice = stages().find(|(group, _)| is_host(&group.name));
        let mut services: BTreeMap<&DomainName, String> = BTreeMap::new();
        for (group, _) in stages().filter(|(group, _)| !is_host(&group.name)) {
            let says = || told(&group.name, "announces", &services::shown(group));
            services.entry(&group.name).or_insert_with(says);
        }
        MulticastStatus {
            link: Arc::clone(&link.name),
            mode: link.mdns,
            listens: !places.is_empty(),
            voice: voice
                .map(|(group, _)| told(&group.name, "answers for", &group.name.to_string())),
            services: services.into_values().collect(),
            records: places.iter().map(|place| place.cache.len()).sum(),
            heard: places.iter().map(|place| place.heard).sum(),
            ignored: places.iter().map(|place| place.ignored).sum(),
        }
    }

    /// Somebody asks: places that are needed are listened to for a while.
    fn wake(&mut self, now: Instant) {
        self.active_until = now + IDLE;
        self.settle_places(now);
    }

    /// Opens the places that are needed and forgets those that are not.
    fn settle_places(&mut self, now: Instant) {
        let is_active = now < self.active_until || !self.browses.is_empty();
        self.parting_until.retain(|_, until| *until > now);
        let needed: BTreeSet<PlaceId> = self
            .links
            .iter()
            .filter(|link| is_active || link.mdns == MdnsMode::Respond)
            .flat_map(places_of)
            .collect();
        let places: Vec<PlaceId> = self.places.keys().copied().collect();
        for id in places.into_iter().filter(|id| !needed.contains(id)) {
            // RFC 6762 §10.1: what was said here is taken back, while the place is still open.
            if self.part(id) {
                self.parting_until.insert(id, now + PARTING);
            }
            self.close(id);
        }
        let mut wanted = needed.clone();
        wanted.extend(self.parting_until.keys());
        if wanted == self.listening && needed.iter().all(|id| self.places.contains_key(id)) {
            return;
        }
        for id in &needed {
            if self.places.contains_key(id) {
                continue;
            }
            let mut place = Place::default();
            for browse in self.browses.values() {
                if browse.is_at(id.link) {
                    place.series.stand(&browse.wanted, now, &mut self.rng);
                }
            }
            for wanted in self.inquiries.wanted() {
                place.series.ask(wanted, now);
            }
            self.places.insert(*id, place);
        }
        self.listening = wanted;
        self.has_moved = true;
        self.speak_up(now);
    }

    /// Says goodbye at a place; returns whether there was anything to take back.
    fn part(&mut self, id: PlaceId) -> bool {
        let Some(place) = self.places.get_mut(&id) else {
            return false;
        };
        let over = place.voice.fall_silent();
        let has_spoken = !over.is_empty();
        place.say_goodbye(over);
        self.collect();
        has_spoken
    }

    /// Forgets a place and all that was heard there.
    fn close(&mut self, id: PlaceId) {
        if let Some(mut place) = self.places.remove(&id) {
            for record in place.cache.clear() {
                self.see(id, &record, false);
            }
        }
    }

    /// Has every place say what is to be said there.
    fn speak_up(&mut self, now: Instant) {
        for link in &self.links {
            for id in places_of(link) {
                let Some(place) = self.places.get_mut(&id) else {
                    continue;
                };
                let mut claims = Vec::new();
                if link.mdns == MdnsMode::Respond
                    && let Some((label, host)) = self.self_name.called()
                {
                    claims = self.self_name.claims(link);
                    claims.extend(self.services.claims(link, label, &host));
                }
                let over = place.voice.claim(claims, now, &mut self.rng);
                place.say_goodbye(over);
            }
        }
        self.collect();
    }

    /// Collects what the places say.
    fn collect(&mut self) {
        self.see_own();
        for (id, place) in &mut self.places {
            for (to, wire) in place.take_out() {
                if self.own.len() >= OWN_MAX {
                    self.own.pop_front();
                }
                self.own.push_back(wire.clone());
                self.spoken.push_back(Spoken {
                    place: *id,
                    to,
                    wire,
                });
            }
        }
    }

    /// Whether an address is this machine's, on any link that speaks: links may lead to the same neighbours.
    fn is_own_address(&self, address: IpAddr) -> bool {
        let own = self.links.iter().flat_map(|link| &link.addresses);
        own.into_iter().any(|prefix| prefix.address == address)
    }

    /// Returns the answers of a link, by either family, without repetitions.
    fn answers_at(&mut self, link: LinkId, wanted: &Wanted, now: Instant) -> Vec<Told> {
        let mut all: Vec<Told> = Vec::new();
        for family in [Family::V4, Family::V6] {
            let Some(place) = self.places.get_mut(&PlaceId { link, family }) else {
                continue;
            };
            let own = place.voice.own_answers(wanted).unwrap_or_default();
            for told in own.into_iter().chain(place.cache.answers(wanted, now)) {
                if !voice::has(&all, &told) {
                    all.push(told);
                }
            }
        }
        all
    }
}

/// Returns the places of a link: one for each family that it has an address of.
fn places_of(link: &MulticastLink) -> Vec<PlaceId> {
    let place = |family| PlaceId {
        link: link.id,
        family,
    };
    let families = [(Family::V4, link.has(true)), (Family::V6, link.has(false))];
    let there = families.into_iter().filter(|(_, has)| *has);
    there.map(|(family, _)| place(family)).collect()
}

/// Whether a link leads to another network than before: it had addresses that last, and none of their networks is left.
pub(crate) fn has_roamed(before: &[Prefix], after: &[Prefix]) -> bool {
    let networks = |addresses: &[Prefix]| -> BTreeSet<_> {
        let lasting = addresses.iter().filter(|prefix| match prefix.address {
            IpAddr::V4(v4) => !v4.is_link_local(),
            IpAddr::V6(v6) => !v6.is_unicast_link_local(),
        });
        lasting.map(|prefix| prefix.network()).collect()
    };
    let (before, after) = (networks(before), networks(after));
    !before.is_empty() && before.is_disjoint(&after)
}
