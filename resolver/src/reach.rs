//! Is there an Internet behind a link? Asked by DNS through the link, and of the network's portal (RFC 8908, RFC 8910).
//!
//! ```text
//! grounds (which links, by which scopes) ─► probers ─► questions in the link's own scope ─► findings ─┐
//!                                              │                                                      ├─► reach by link and family
//!                                              └─► visits: the portal's API, a page of one's own ─────┘      └─► jail of a portal's scope
//! ```
//!
//! A question proves something when its name cannot have been asked before and its answer is signed: a label made up for it, right
//! below the root. No vendor hears of it, and nothing of it can come from a cache. Which links are judged is the shell's to say
//! ([`Resolver::apply_grounds`]); what follows for routes and scopes is `policy`'s.
//!
//! | part | where |
//! |---|---|
//! | how many findings move a link | `track` |
//! | when it is asked | `prober` |
//! | what a round comes to | `seen` |
//! | what may be asked of a network that wants a person first | `jail` |
//! | requests and replies, what a portal says | [`http`], [`api`] |

pub mod api;
mod asking;
pub mod http;
pub(crate) mod jail;
mod prober;
mod seen;
mod track;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use config::model::Upstream;
use config::name::DomainName;
use config::time::Instant;
use config::url::Url;
use policy::facts::{Family, Reach};
use policy::plan::ScopeLink;
use policy::{LinkId, NetworkId, ScopeId};

use crate::Resolver;
use crate::event::{Event, Timer};
use crate::upstream::Change;
use api::PortalWord;
use http::Wants;
use jail::Jail;
use prober::{Occasion, Prober};
use seen::Part;

pub(crate) use asking::Asked;

/// How long questions wait for what a portal that is announced says.
const HOLD_MAX: Duration = Duration::from_secs(2);
/// The most links that are judged.
const LINKS_MAX: usize = 64;
/// The longest pause between rounds on a link that is bad, unless the shell says otherwise.
const RETRY_MAX: Duration = Duration::from_secs(300);

/// How links are judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connectivity {
    /// A name to ask for instead of one that is made up.
    pub name: Option<DomainName>,
    /// A page to look at beside.
    pub page: Option<Url>,
    /// Whether a network that forges, and announces no API, is asked where it leads people to.
    pub asks_portals: bool,
    /// The longest pause between rounds on a link that is bad.
    pub retry_max: Duration,
}

impl Default for Connectivity {
    fn default() -> Self {
        Self {
            name: None,
            page: None,
            asks_portals: true,
            retry_max: RETRY_MAX,
        }
    }
}

/// A link that is to be judged, and by what. Whatever changes in it is an occasion to judge it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// The link.
    pub link: ScopeLink,
    /// Its own scope.
    pub scope: Option<ScopeId>,
    /// The upstreams of that scope.
    pub upstreams: Vec<Upstream>,
    /// Whether it has a default route for IPv4.
    pub v4: bool,
    /// The same for IPv6.
    pub v6: bool,
    /// Whether it is the one that packets go out by.
    pub is_uplink: bool,
    /// Whether the address that its upstreams are to be asked from is planned, and not to be used yet.
    pub awaits_address: bool,
    /// Where its network's portal has an API (RFC 8910).
    pub api: Option<Arc<str>>,
    /// Which network it is in.
    pub network: Option<NetworkId>,
}

impl Ground {
    /// Whether a family is judged.
    pub(crate) const fn judges(&self, family: Family) -> bool {
        match family {
            Family::Ipv4 => self.v4,
            Family::Ipv6 => self.v6,
        }
    }

    /// Whether somebody can be asked by a family.
    pub(crate) fn asks(&self, family: Family) -> bool {
        let is_of = |upstream: &Upstream| Family::of(upstream.address) == family;
        self.judges(family) && self.scope.is_some() && self.upstreams.iter().any(is_of)
    }
}

/// A page that the shell is to fetch, from one of these addresses in turn, through the link and no other way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// Comes back with the reply.
    pub id: VisitId,
    /// What to fetch; behind TLS its certificate must be for its host.
    pub url: Url,
    /// As what.
    pub wants: Wants,
    /// By which link.
    pub link: ScopeLink,
    /// Where its host is.
    pub addresses: Vec<IpAddr>,
}

/// One [`Visit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct VisitId(pub u64);

/// How far one link reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkReach {
    /// Which.
    pub link: LinkId,
    /// By family.
    pub families: Vec<FamilyReach>,
    /// The portal of its network, when it has announced one or behaves like it.
    pub portal: Option<PortalReport>,
}

impl LinkReach {
    /// Whether another report says something else; the same word again does not.
    fn differs(&self, other: &Self) -> bool {
        let says = |report: &Self| {
            let portal = report.portal.clone();
            let portal =
                portal.map(|portal| ((portal.api, portal.door), portal.word, portal.trouble));
            let portal = portal.map(|(api, word, trouble)| {
                let word = word.map(|word| PortalWord {
                    remaining: None,
                    ..word
                });
                (api, word, trouble)
            });
            (report.families.clone(), portal)
        };
        says(self) != says(other)
    }
}

/// How far one family gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FamilyReach {
    /// Which.
    pub family: Family,
    /// How far.
    pub reach: Reach,
    /// Since when.
    pub since: Instant,
    /// What was found last.
    pub why: Arc<str>,
    /// Whether that is what trying has come to, not for want of it.
    pub is_tried: bool,
}

/// A network's portal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalReport {
    /// Where its API is.
    pub api: Option<Arc<str>>,
    /// What it said last.
    pub word: Option<PortalWord>,
    /// When.
    pub said_at: Instant,
    /// Why it says nothing.
    pub trouble: Option<Arc<str>>,
    /// Where it leads people to who look at any page, by its redirect.
    pub door: Option<Url>,
}

/// All links that are judged.
#[derive(Debug, Default)]
pub(crate) struct Reaching {
    settings: Connectivity,
    probers: BTreeMap<LinkId, Prober>,
    pub(crate) jails: BTreeMap<ScopeId, Jail>,
    told: BTreeMap<LinkId, LinkReach>,
    visits: VecDeque<Visit>,
    /// What visits are for, and from where what they come to leads on.
    visiting: BTreeMap<VisitId, (Asked, Url)>,
    resolving: BTreeMap<(LinkId, Part), asking::Resolving>,
    last_visit: u64,
    /// From when on a prober wants to hear that somebody asks for a name.
    idle_until: Option<Instant>,
}

impl Reaching {
    /// Whether somebody has chosen this name to be asked for.
    pub(crate) fn is_chosen(&self, name: &DomainName) -> bool {
        self.settings.name.as_ref() == Some(name)
    }
}

impl Resolver {
    /// Takes how links are judged.
    pub fn apply_connectivity(&mut self, settings: Connectivity) {
        self.reaching.settings = settings;
    }

    /// Takes which links are judged, and no others; after the plan whose scopes they name.
    pub fn apply_grounds(&mut self, grounds: Vec<Ground>, now: Instant) {
        let mut before = std::mem::take(&mut self.reaching.probers);
        let mut links = Vec::new();
        for ground in grounds.into_iter().take(LINKS_MAX) {
            let Some(link) = ground.link.id else {
                continue;
            };
            let retry_max = self.reaching.settings.retry_max;
            let prober = match before.remove(&link) {
                // Another network is another place: nothing of the old one holds there.
                Some(mut prober) if !is_elsewhere(&prober.ground, &ground) => {
                    let scope = prober.ground.scope.clone();
                    if scope != ground.scope
                        && let Some(scope) = scope
                    {
                        self.set_jail(&scope, None, now);
                    }
                    prober.apply(ground, now);
                    prober
                }
                gone => {
                    if let Some(scope) = gone.and_then(|gone| gone.ground.scope) {
                        self.set_jail(&scope, None, now);
                    }
                    Prober::new(ground, HOLD_MAX, retry_max, now)
                }
            };
            self.reaching.probers.insert(link, prober);
            links.push(link);
        }
        // Links that are judged set it again.
        self.reaching.idle_until = None;
        for (link, gone) in before {
            self.timers.clear(Timer::Reach, key(link));
            self.reaching.told.remove(&link);
            self.reaching
                .visits
                .retain(|visit| visit.link.id != Some(link));
            if let Some(scope) = &gone.ground.scope {
                self.set_jail(scope, None, now);
            }
        }
        for link in links {
            self.settle_reach(link, now);
        }
    }

    /// Has links judged again, because time has passed unseen: after a sleep.
    pub fn judge_again(&mut self, now: Instant) {
        let links: Vec<LinkId> = self.reaching.probers.keys().copied().collect();
        for link in links {
            self.suggest(link, Occasion::News, now);
        }
    }

    /// Returns how far the links reach that are judged.
    pub fn reaches(&self) -> impl Iterator<Item = &LinkReach> {
        self.reaching.told.values()
    }

    /// Returns the next page to fetch.
    pub fn poll_visit(&mut self) -> Option<Visit> {
        self.reaching.visits.pop_front()
    }

    /// Acts on the deadline of a prober.
    pub(crate) fn take_reach_timeout(&mut self, key: u64, now: Instant) {
        let link = link_of(key);
        let has_page = self.reaching.settings.page.is_some();
        let Some(prober) = self.reaching.probers.get_mut(&link) else {
            return;
        };
        let parts = prober.handle_timeout(has_page, now);
        let rounds = prober.rounds;
        for part in parts {
            self.begin_part(link, rounds, part, now);
        }
        self.settle_reach(link, now);
    }

    /// Hears that an upstream has come to fail, or works again.
    pub(crate) fn reach_hears(&mut self, id: &ScopeId, change: Change, now: Instant) {
        if self.reaching.probers.is_empty() {
            return;
        }
        let Some(scope) = self.scopes.get(id) else {
            return;
        };
        let occasion = match change {
            Change::Nothing => return,
            Change::Failed if scope.states().any(|state| !state.is_failing()) => return,
            Change::Failed => Occasion::Suspicion,
            Change::Recovered => Occasion::News,
        };
        let is_its = |(_, prober): &(&LinkId, &Prober)| prober.ground.scope.as_ref() == Some(id);
        let found = self.reaching.probers.iter().find(is_its);
        let Some((&link, prober)) = found else {
            return;
        };
        // That works again is no news of a link that was never doubted.
        if occasion == Occasion::News && !prober.is_in_doubt() {
            return;
        }
        self.suggest(link, occasion, now);
    }

    /// Hears that a client got an error because nobody answered well.
    pub(crate) fn reach_suspects(&mut self, id: &ScopeId, now: Instant) {
        let mut probers = self.reaching.probers.iter();
        let found = probers.find(|(_, prober)| prober.ground.scope.as_ref() == Some(id));
        if let Some((&link, _)) = found {
            self.suggest(link, Occasion::Suspicion, now);
        }
    }

    /// Hears that somebody asks for the names of a portal.
    fn note_busy(&mut self, id: &ScopeId, now: Instant) {
        let mut probers = self.reaching.probers.iter_mut();
        let found = probers.find(|(_, prober)| prober.ground.scope.as_ref() == Some(id));
        if let Some((&link, prober)) = found {
            prober.be_busy(now);
            self.set_reach_timer(link);
        }
    }

    fn suggest(&mut self, link: LinkId, occasion: Occasion, now: Instant) {
        if let Some(prober) = self.reaching.probers.get_mut(&link) {
            prober.suggest(occasion, now);
            self.set_reach_timer(link);
        }
    }

    fn set_reach_timer(&mut self, link: LinkId) {
        let at = self.reaching.probers.get(&link);
        match at.and_then(Prober::poll_timeout) {
            Some(at) => self.timers.set(Timer::Reach, key(link), at),
            None => self.timers.clear(Timer::Reach, key(link)),
        }
        let probers = self.reaching.probers.values();
        self.reaching.idle_until = probers.filter_map(Prober::idle_until).min();
    }

    /// Hears that somebody uses the host: links that are bad are tried again, when they have not been for long enough.
    pub fn stir_reach(&mut self, now: Instant) {
        if self.reaching.idle_until.is_none_or(|until| until > now) {
            return;
        }
        let links: Vec<LinkId> = self.reaching.probers.keys().copied().collect();
        for link in links {
            if let Some(prober) = self.reaching.probers.get_mut(&link) {
                prober.stir(now);
                self.set_reach_timer(link);
            }
        }
    }

    /// Whether questions of a scope wait for what its network's portal says.
    pub(crate) fn is_checking(&self, scope: &ScopeId, now: Instant) -> bool {
        self.reaching
            .probers
            .values()
            .any(|prober| prober.ground.scope.as_ref() == Some(scope) && prober.is_checking(now))
    }

    /// Does what follows from what is known of a link.
    fn settle_reach(&mut self, link: LinkId, now: Instant) {
        self.set_reach_timer(link);
        let Some(prober) = self.reaching.probers.get(&link) else {
            return;
        };
        let report = report(link, prober);
        let scope = prober.ground.scope.clone();
        let jail = prober.leads_to_portal().then(|| jail(prober));
        let waits = prober.is_checking(now);
        if let Some(scope) = scope {
            self.set_jail(&scope, jail, now);
            if !waits
                && let Some(scope) = self.scopes.get(&scope)
                && !scope.waits_for_proof(now)
            {
                self.release(scope.incarnation, now);
            }
        }
        let before = self.reaching.told.insert(link, report.clone());
        if before.is_none_or(|before| before.differs(&report)) {
            self.events.push_back(Event::Reach(link));
        }
    }
}

/// Whether a link has come to another network.
fn is_elsewhere(before: &Ground, after: &Ground) -> bool {
    before.network.is_some() && before.network != after.network
}

fn key(link: LinkId) -> u64 {
    (u64::from(link.birth) << 32) | u64::from(link.index)
}

fn link_of(key: u64) -> LinkId {
    let half = |number: u64| u32::try_from(number & u64::from(u32::MAX)).unwrap_or_default();
    LinkId {
        index: half(key),
        birth: half(key >> 32),
    }
}

fn jail(prober: &Prober) -> Jail {
    let portal = &prober.portal;
    let word = portal.word.as_ref();
    let pages = word
        .into_iter()
        .flat_map(|word| [&word.user_portal, &word.venue]);
    let is_strict = pages
        .clone()
        .chain([&portal.api])
        .flatten()
        .any(|url| url.name().is_some());
    let urls = pages.chain([&portal.api, &portal.door]).flatten();
    let login = word.and_then(|word| word.user_portal.as_ref());
    let login = login.or(portal.door.as_ref());
    Jail {
        names: urls.filter_map(Url::name).cloned().collect(),
        is_strict,
        link: Arc::clone(&prober.ground.link.name),
        login: login.map(|url| url.to_string().into()),
        is_uplink: prober.ground.is_uplink,
    }
}

fn report(link: LinkId, prober: &Prober) -> LinkReach {
    let families = [Family::Ipv4, Family::Ipv6].into_iter();
    let families = families.filter_map(|family| {
        let (reach, since, why) = prober.track(family)?;
        Some(FamilyReach {
            family,
            reach,
            since,
            why: Arc::clone(why),
            is_tried: prober.is_tried(family),
        })
    });
    let portal = &prober.portal;
    let is_known = prober.ground.api.is_some() || portal.door.is_some();
    LinkReach {
        link,
        families: families.collect(),
        portal: is_known.then(|| PortalReport {
            api: prober.ground.api.clone(),
            word: portal.word.clone(),
            said_at: portal.said_at,
            trouble: portal.trouble.clone(),
            door: portal.door.clone(),
        }),
    }
}

#[cfg(test)]
mod tests;
