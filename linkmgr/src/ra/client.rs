//! What follows from each packet, each failure and each moment? [`Client`], which puts routers, prefixes and solicitations together.

use std::collections::VecDeque;
use std::net::Ipv6Addr;
use std::time::Duration;

use config::time::Instant;
use policy::facts::Supply;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::delegation::{Delegation, Own};
use super::memory::{Keeper, Memory};
use super::prefixes::Prefixes;
use super::router::{Bucket, Router};
use super::solicit::Solicitation;
use super::supply;
use super::wire::{Advertisement, PrefixInformation, solicitation};
use super::{Dhcp6Flags, Event, Reachability, Report, Setup, Transmit};
use crate::octets::earlier;

/// Routers that one link may have.
const ROUTERS_MAX: usize = 8;
/// How long routers of before may take to answer once another one has: a solicitation lost, and the next one
/// (`RTR_SOLICITATION_INTERVAL`, RFC 4861 §10).
const GRACE: Duration = Duration::from_secs(5);
/// How long routers of before may take to answer where nobody else speaks either: three solicitations and their answers
/// (`MAX_RTR_SOLICITATIONS`, `RTR_SOLICITATION_INTERVAL`, `MAX_RTR_SOLICITATION_DELAY`, RFC 4861 §10), with their chance.
const SILENCE: Duration = Duration::from_secs(14);
/// The longest packet that is remembered.
const REMEMBERED_MAX: usize = 1500;
/// All routers of the link (RFC 4291 §2.7.1).
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// The router client of one link.
///
/// Inputs: [`Client::handle_link_local`], [`Client::handle_packet`], [`Client::handle_neighbour`],
/// [`Client::handle_dad_failed`], [`Client::handle_delegation`], [`Client::handle_reattach`], [`Client::handle_timeout`].
/// After each, ask [`Client::poll_transmit`] and [`Client::poll_event`] until they are empty, then
/// [`Client::poll_timeout`].
#[derive(Debug)]
pub struct Client {
    pub(super) setup: Setup,
    rng: StdRng,
    link_local: Option<Ipv6Addr>,
    pub(super) routers: Vec<Router>,
    pub(super) prefixes: Prefixes,
    pub(super) solicitation: Solicitation,
    /// For routers that were not heard before.
    strangers: Bucket,
    pub(super) own: Own,
    /// Whether the link has no carrier, so that nobody is asked, and nobody is heard.
    pub(super) detached: bool,
    /// Whether the link may have come to another place since its routers spoke; they name nobody to ask then.
    pub(super) moved: bool,
    /// Whether a router spoke here that was known before, with a prefix that it had before.
    same_place: bool,
    /// When routers that were not heard in this place count as left behind.
    doubt_at: Option<Instant>,
    flags: Dhcp6Flags,
    told: Option<Supply>,
    keeper: Keeper,
    pub(super) invalid: u64,
    pub(super) too_many: u64,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

/// When to do something without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    /// When to solicit.
    Solicit,
    /// When to ask a router again, before something of it ends.
    Refresh,
    /// When to give up routers that were not heard in this place.
    Doubt,
    /// When something is over.
    Expire,
}

impl Client {
    /// Begins; a link that is up is solicited for at once. What is remembered is supplied, unconfirmed, until a router speaks.
    pub fn new(setup: Setup, now: Instant) -> Self {
        let mut client = Self {
            rng: StdRng::seed_from_u64(setup.seed),
            link_local: None,
            routers: Vec::new(),
            prefixes: Prefixes::default(),
            solicitation: Solicitation::default(),
            strangers: Bucket::new(now),
            own: Own::default(),
            detached: false,
            moved: false,
            same_place: false,
            doubt_at: None,
            flags: Dhcp6Flags::default(),
            told: None,
            keeper: Keeper::default(),
            invalid: 0,
            too_many: 0,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            setup,
        };
        if let Some(remembered) = client.setup.remembered.take() {
            remembered.memory.replay(
                remembered.age,
                &mut client.routers,
                &mut client.prefixes,
                now,
            );
            client.routers.truncate(ROUTERS_MAX);
            client.moved = remembered.moved;
            client.doubt_at = (!client.routers.is_empty()).then(|| now + SILENCE);
        }
        client.solicitation.begin(now);
        client.settle(now);
        client
    }

    /// Takes the link's own link-local address, or that there is none that is usable. Until there is one, solicitations leave
    /// from the unspecified address.
    pub fn handle_link_local(&mut self, address: Option<Ipv6Addr>, now: Instant) {
        let is_first = self.link_local.is_none() && address.is_some();
        self.link_local = address;
        if is_first && !self.detached && self.wants(now) {
            // A router answers a host that it knows by name at once, and others within three seconds (RFC 4861 §6.2.6).
            self.solicitation.begin(now);
        }
        self.settle(now);
    }

    /// Takes an ICMPv6 message from its type on; what is no valid router advertisement is passed over, and so is what is read after
    /// the carrier went: it was said in the place before.
    pub fn handle_packet(&mut self, octets: &[u8], from: Ipv6Addr, hop_limit: u8, now: Instant) {
        // A router on this machine speaks to others.
        if self.detached || Some(from) == self.link_local {
            return;
        }
        let known = self.routers.iter().position(|known| known.address == from);
        let bucket = match known.and_then(|at| self.routers.get_mut(at)) {
            Some(router) => &mut router.bucket,
            None => &mut self.strangers,
        };
        if !bucket.take(now) {
            self.too_many = self.too_many.saturating_add(1);
            return;
        }
        let Ok(said) = Advertisement::parse(octets, from, hop_limit) else {
            self.invalid = self.invalid.saturating_add(1);
            return;
        };
        self.expire(now);
        let known = self.routers.iter().position(|known| known.address == from);
        let Some(at) = known.or_else(|| self.make_room(&said, from, now)) else {
            self.too_many = self.too_many.saturating_add(1);
            return;
        };
        self.hear(at, &said, octets, from, now);
        self.settle(now);
    }

    fn hear(
        &mut self,
        at: usize,
        said: &Advertisement,
        octets: &[u8],
        from: Ipv6Addr,
        now: Instant,
    ) {
        let Some(router) = self.routers.get_mut(at) else {
            return;
        };
        let had_before = |prefix: &PrefixInformation| self.prefixes.has(&prefix.prefix, from);
        self.same_place |= !router.confirmed && said.prefixes.iter().any(had_before);
        router.hear(said, now);
        router.octets.clear();
        if octets.len() <= REMEMBERED_MAX {
            router.octets.extend_from_slice(octets);
        }
        for prefix in &said.prefixes {
            router.splits |= self.prefixes.hear(prefix, from, now);
        }
        let has_fresh = said
            .prefixes
            .iter()
            .any(|prefix| prefix.autonomous && !prefix.preferred.is_zero());
        if has_fresh && !router.splits {
            self.prefixes.leave_out(from, &said.prefixes, now);
        }
        if self.routers.iter().all(|known| known.confirmed) {
            self.doubt_at = None;
        } else {
            let at = now + GRACE;
            self.doubt_at = Some(self.doubt_at.map_or(at, |before| before.min(at)));
        }
        self.moved = false;
    }

    /// Takes what the kernel says of a neighbour; who is no router of ours is passed over.
    pub fn handle_neighbour(
        &mut self,
        neighbour: Ipv6Addr,
        reachability: Reachability,
        now: Instant,
    ) {
        let known = self.routers.iter_mut();
        let Some(router) = known.into_iter().find(|known| known.address == neighbour) else {
            return;
        };
        router.reached |= reachability == Reachability::Reachable;
        if router.neighbour(reachability, now) {
            if router.reach.is_failed() {
                // RFC 4861 §7.3.3: others are used; who they are is asked.
                self.ask(now);
            }
            self.settle(now);
        }
    }

    /// Takes that an address is somebody else's (`IFA_F_DADFAILED`): another one is made of the same prefix.
    pub fn handle_dad_failed(&mut self, address: Ipv6Addr, now: Instant) {
        let is_ours = self.told.as_ref().is_some_and(|told| {
            let mut ours = told.addresses.iter();
            ours.any(|ours| ours.prefix.address == address)
        });
        if is_ours && (self.own.take_away(address) || self.prefixes.take_away(address)) {
            self.settle(now);
        }
    }

    /// Takes what DHCPv6 has brought of prefixes: no address is made of those that are there to be delegated from then, but of what is the
    /// link's own (RFC 9762).
    pub fn handle_delegation(&mut self, delegation: Delegation, now: Instant) {
        self.own.take(delegation);
        self.settle(now);
    }

    /// Takes that the carrier is gone: wherever the link is next, names are sent to nobody before a router speaks there.
    pub fn handle_detach(&mut self, now: Instant) {
        self.detached = true;
        self.begin_anew();
        self.settle(now);
    }

    fn begin_anew(&mut self) {
        self.moved = true;
        self.same_place = false;
        self.doubt_at = None;
        self.solicitation.stop();
        for router in &mut self.routers {
            router.confirmed = false;
            router.reached = false;
        }
    }

    /// Takes that the carrier is back, or that the machine was asleep: addresses and routes stay, and routers are asked at once.
    /// Those that do not answer while others do count as left behind; all do when nobody answers, and none is reached.
    pub fn handle_reattach(&mut self, now: Instant) {
        self.detached = false;
        self.begin_anew();
        for router in &mut self.routers {
            // What was not reached without a carrier may be there.
            router.reach.reach();
        }
        self.doubt_at = (!self.routers.is_empty()).then(|| now + SILENCE);
        self.solicitation.begin(now);
        self.settle(now);
    }

    /// Takes that routers are to be asked at once, for no reason but that somebody wants it.
    pub fn handle_renew(&mut self, now: Instant) {
        self.ask(now);
        self.settle(now);
    }

    /// Has routers asked once at least, where there is somebody to ask.
    fn ask(&mut self, now: Instant) {
        if !self.detached {
            self.solicitation.begin_owed(now);
        }
    }

    /// Whether the network is known to be the one of before the carrier came: a router of then has spoken, with a prefix of
    /// then.
    pub const fn is_same_place(&self) -> bool {
        self.same_place
    }

    /// Returns what routers say of DHCPv6, as [`Event::Dhcp6`] said it last.
    pub const fn flags(&self) -> Dhcp6Flags {
        self.flags
    }

    /// Returns what is supplied, as [`Event::Supplied`] said it last.
    pub const fn supply(&self) -> Option<&Supply> {
        self.told.as_ref()
    }

    /// Takes that time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.expire(now);
        if self.doubt_at.is_some_and(|at| at <= now) {
            self.doubt_at = None;
            self.leave_behind(now);
        }
        self.settle(now);
    }

    /// Returns the next packet to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// Returns the next thing that follows.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns when [`Client::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_timer().map(|(at, _)| at)
    }

    /// Returns what is known of routers and prefixes, for `linnet status`.
    pub fn report(&self, now: Instant) -> Report {
        super::report::report(self, now)
    }

    fn next_timer(&self) -> Option<(Instant, Timer)> {
        let refresh = match self.solicitation.next_at() {
            // It is being asked, or cannot be.
            _ if self.detached => None,
            Some(_) => None,
            None => self
                .routers
                .iter()
                .filter_map(|known| known.refresh_at)
                .min(),
        };
        let ends = self.routers.iter().map(Router::ends_at);
        let ends = ends.fold(self.prefixes.ends_at(), earlier);
        [
            (self.solicitation.next_at(), Timer::Solicit),
            (refresh, Timer::Refresh),
            (self.doubt_at, Timer::Doubt),
            (ends, Timer::Expire),
        ]
        .into_iter()
        .filter_map(|(at, timer)| Some((at?, timer)))
        .min_by_key(|(at, _)| *at)
    }

    /// Whether a router has to be asked: none has answered here, or something is about to end.
    fn wants(&self, now: Instant) -> bool {
        let answered = |known: &Router| {
            known.confirmed && !known.reach.is_failed() && known.default_route().is_some()
        };
        !self.routers.iter().any(answered)
            || self
                .routers
                .iter()
                .any(|known| !known.confirmed && !known.reach.is_failed())
            || self
                .routers
                .iter()
                .any(|known| known.refresh_at.is_some_and(|at| at <= now))
    }

    /// Finds a place for a router that was not heard before; the worst gives its own to a better one.
    fn make_room(&mut self, said: &Advertisement, from: Ipv6Addr, now: Instant) -> Option<usize> {
        if self.routers.len() >= ROUTERS_MAX {
            let worst = self.routers.iter().enumerate();
            let (at, worst) = worst.min_by_key(|(_, known)| known.rank())?;
            let preference = (!said.lifetime.is_zero()).then_some(said.preference);
            if worst.rank() >= (true, preference, true) {
                return None;
            }
            let worst = worst.address;
            self.prefixes.forsake(worst, now);
            self.routers.remove(at);
        }
        self.routers.push(Router::new(from, now));
        Some(self.routers.len() - 1)
    }

    /// Gives up the routers that are not in this place. Where nobody has spoken, one that the kernel has reached is: it may
    /// be one that answers no solicitation.
    fn leave_behind(&mut self, now: Instant) {
        let is_silent = self.routers.iter().all(|known| !known.confirmed);
        let is_here = |known: &Router| known.confirmed || (is_silent && known.reached);
        let gone = self.routers.iter().filter(|known| !is_here(known));
        let gone: Vec<Ipv6Addr> = gone.map(|router| router.address).collect();
        for router in &gone {
            self.prefixes.forsake(*router, now);
        }
        if !gone.is_empty() {
            self.events.push_back(Event::LeftBehind(gone));
        }
        self.routers.retain(is_here);
    }

    fn expire(&mut self, now: Instant) {
        self.prefixes.expire(now);
        for router in &mut self.routers {
            router.expire(now);
        }
        let prefixes = &self.prefixes;
        self.routers
            .retain(|known| !known.is_empty() || prefixes.has_any_of(known.address));
        if self.routers.iter().all(|known| known.confirmed) {
            self.doubt_at = None;
        }
    }

    /// Tells what has changed, and asks what has to be asked.
    fn settle(&mut self, now: Instant) {
        self.expire(now);
        self.tell(now);
        let wants = !self.detached && self.wants(now);
        if wants {
            self.solicitation.begin_unless_running(now);
        } else {
            self.solicitation.end();
        }
        if self.solicitation.is_due(&mut self.rng, now) {
            if !wants {
                self.solicitation.end();
            }
            // RFC 4861 §4.1: no hardware address without a source that it belongs to.
            let mac = self.link_local.and(self.setup.mac);
            self.transmits.push_back(Transmit {
                to: ALL_ROUTERS,
                octets: solicitation(mac),
            });
        }
    }

    fn tell(&mut self, now: Instant) {
        let flags = supply::flags(self);
        if flags != self.flags {
            self.flags = flags;
            self.events.push_back(Event::Dhcp6(flags));
        }
        let supply = supply::supply(self);
        let is_nothing = supply::is_nothing(&supply);
        if is_nothing && self.told.take().is_some() {
            self.events.push_back(Event::Withdrawn);
        }
        if !is_nothing && self.told.as_ref() != Some(&supply) {
            self.told = Some(supply.clone());
            self.events
                .retain(|event| !matches!(event, Event::Supplied(_) | Event::Withdrawn));
            self.events.push_back(Event::Supplied(Box::new(supply)));
        }
        let is_heard = self.routers.iter().any(|known| known.confirmed);
        if let Some(told) = self.told.as_ref().filter(|_| is_heard)
            && self.keeper.is_due(told, &self.prefixes, now)
        {
            let memory = Memory::of(&self.routers, &self.prefixes, now);
            self.events.retain(|event| !matches!(event, Event::Keep(_)));
            self.events.push_back(Event::Keep(Box::new(memory)));
        }
    }
}
