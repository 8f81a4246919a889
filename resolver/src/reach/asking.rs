//! How is a part of a round asked, and read? Questions in the link's own scope, the address of a host, a page.
//!
//! What is asked here is asked nowhere else, whatever comes of it: a name that somebody claims is not asked at all.

use std::net::IpAddr;
use std::sync::Arc;

use config::model::Upstream;
use config::name::DomainName;
use config::time::Instant;
use config::url::{Host, Url};
use dnssec::Verdict;
use policy::facts::Family;
use policy::{LinkId, Target};
use rand::RngExt as _;

use super::api::PortalWord;
use super::http::{Reply, Wants};
use super::seen::{Part, Seen};
use super::{Visit, VisitId};
use crate::Resolver;
use crate::chain::{End, is_claimed};
use crate::conclude::Conclusion;
use crate::event::Timer;
use crate::exchange::{Asking, Whom};
use crate::failure::Cause;
use crate::lookup::Waiter;
use crate::record::RawRecord;
use crate::wire::{Question, class, rcode, rtype};

/// Letters of a name that is made up.
const CHANCE: usize = 14;
/// The most aliases between the name of a host and its addresses.
const HOPS_MAX: u8 = 8;
/// The most addresses of a host that are tried.
const ADDRESSES_MAX: usize = 4;

/// Who asked: which part of which round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    link: LinkId,
    rounds: u32,
    part: Part,
    /// Whether it is for the address of a host.
    for_host: bool,
}

impl Asked {
    /// Whether an answer that the upstreams do not give may be sought elsewhere: where packets get through is the question, not
    /// who forwards them. What an upstream says is asked of the upstream.
    pub(crate) fn may_walk(self) -> bool {
        matches!(self.part, Part::Proof(_)) && !self.for_host
    }
}

/// A host whose addresses are being asked for.
#[derive(Debug)]
pub(crate) struct Resolving {
    rounds: u32,
    url: Url,
    waiting: u8,
    hops: u8,
    addresses: Vec<IpAddr>,
}

impl Resolver {
    /// Begins a part of a round.
    pub(super) fn begin_part(&mut self, link: LinkId, rounds: u32, part: Part, now: Instant) {
        let asked = Asked {
            link,
            rounds,
            part,
            for_host: false,
        };
        let begun = match part {
            // Begun when a forgery is seen, not by a round.
            Part::Door => return,
            Part::Raw(family) | Part::Proof(family) => self.begin_question(asked, family, now),
            Part::Portal => {
                let prober = self.reaching.probers.get(&link);
                let url = prober.and_then(|prober| prober.portal.api.clone());
                self.begin_visit(asked, url, now)
            }
            Part::Page(_) => {
                let url = self.reaching.settings.page.clone();
                self.begin_visit(asked, url, now)
            }
        };
        if let Err(why) = begun {
            self.take_seen(asked, Seen::Failed(why), now);
        }
    }

    fn begin_question(
        &mut self,
        asked: Asked,
        family: Family,
        now: Instant,
    ) -> Result<(), Arc<str>> {
        let validate = matches!(asked.part, Part::Proof(_));
        let own = self.reaching.settings.name.clone();
        let name = match own.filter(|_| validate) {
            Some(name) => name,
            None => self.make_up_name().ok_or("no name can be made up")?,
        };
        let asking = self.asking_in(asked.link, &name, rtype::A)?;
        let scope = self.scopes.get(&asking.scope).ok_or("its scope is gone")?;
        let its = || {
            scope
                .states()
                .filter(|state| Family::of(state.upstream.address) == family)
        };
        let state = its()
            .find(|state| !state.is_failing())
            .or_else(|| its().next());
        let upstream: Upstream = state
            .map(|state| state.upstream.clone())
            .ok_or("it has no upstream of this family")?;
        let asking = Asking {
            dnssec_ok: true,
            checking_disabled: true,
            validate,
            whom: Whom::Only(upstream),
            ..asking
        };
        self.ask(Waiter::Reach(asked), asking, now);
        Ok(())
    }

    /// Makes up a name right below the root: nobody has its answer ready, and what there is of it is signed.
    fn make_up_name(&mut self) -> Option<DomainName> {
        let chance: [u8; CHANCE] = self.rng.random();
        let letters = chance.iter().map(|octet| char::from(b'a' + octet % 26));
        let label: String = letters.collect();
        label.parse().ok()
    }

    /// Says how a name is asked in a link's own scope.
    fn asking_in(
        &self,
        link: LinkId,
        name: &DomainName,
        record_type: u16,
    ) -> Result<Asking, Arc<str>> {
        let prober = self.reaching.probers.get(&link);
        let id = prober.and_then(|prober| prober.ground.scope.clone());
        let id = id.ok_or("the link has no name servers of its own")?;
        let scope = self.scopes.get(&id).ok_or("its scope is gone")?;
        let route = self.plan.domains.route(name);
        let is_elsewhere = !matches!(&route.target, Target::Ask(scope) if *scope == id);
        if is_claimed(&route) && is_elsewhere {
            let owner = &route.because.owner;
            return Err(format!("{name} is claimed by {owner}, and not asked there").into());
        }
        Ok(Asking {
            scope: id,
            incarnation: scope.incarnation,
            question: Question {
                name: name.clone(),
                record_type,
                class: class::IN,
            },
            dnssec_ok: false,
            checking_disabled: true,
            validate: false,
            recurse: false,
            // What a portal says of its own names is nobody else's to find.
            fleeting: true,
            whom: Whom::Any,
            mark: 0,
        })
    }

    fn begin_visit(
        &mut self,
        asked: Asked,
        url: Option<Url>,
        now: Instant,
    ) -> Result<(), Arc<str>> {
        let url = url.ok_or("there is no page to look at")?;
        let prober = self.reaching.probers.get(&asked.link);
        let prober = prober.ok_or("the link is gone")?;
        let families = match asked.part {
            Part::Page(family) => vec![family],
            Part::Portal | Part::Door | Part::Raw(_) | Part::Proof(_) => {
                [Family::Ipv4, Family::Ipv6]
                    .into_iter()
                    .filter(|family| prober.ground.judges(*family))
                    .collect()
            }
        };
        let name = match &url.host {
            Host::Address(address) => {
                let addresses = vec![*address];
                self.visit(asked, url, addresses);
                return Ok(());
            }
            Host::Name(name) => name.clone(),
        };
        let known = &prober.portal.addresses;
        if asked.part == Part::Portal && !known.is_empty() && prober.is_captive() {
            let addresses = known.clone();
            self.visit(asked, url, addresses);
            return Ok(());
        }
        let mut waiting = 0;
        let resolving = Resolving {
            rounds: asked.rounds,
            url,
            waiting: 0,
            hops: 0,
            addresses: Vec::new(),
        };
        self.reaching
            .resolving
            .insert((asked.link, asked.part), resolving);
        let asked = Asked {
            for_host: true,
            ..asked
        };
        let mut askings = Vec::new();
        for family in families {
            let record_type = match family {
                Family::Ipv4 => rtype::A,
                Family::Ipv6 => rtype::AAAA,
            };
            askings.push(self.asking_in(asked.link, &name, record_type)?);
            waiting += 1;
        }
        if let Some(resolving) = self.reaching.resolving.get_mut(&(asked.link, asked.part)) {
            resolving.waiting = waiting;
        }
        for asking in askings {
            self.ask(Waiter::Reach(asked), asking, now);
        }
        Ok(())
    }

    fn visit(&mut self, asked: Asked, url: Url, mut addresses: Vec<IpAddr>) {
        let Some(prober) = self.reaching.probers.get(&asked.link) else {
            return;
        };
        addresses.truncate(ADDRESSES_MAX);
        // A name that was made up leads a person nowhere; who answers for it does so at his address too.
        let from = match (asked.part, addresses.first()) {
            (Part::Door, Some(address)) => Url {
                host: Host::Address(*address),
                ..url.clone()
            },
            _ => url.clone(),
        };
        self.reaching.last_visit += 1;
        let id = VisitId(self.reaching.last_visit);
        self.reaching.visits.push_back(Visit {
            id,
            url,
            wants: match asked.part {
                Part::Portal => Wants::Portal,
                Part::Page(_) | Part::Door | Part::Raw(_) | Part::Proof(_) => Wants::Anything,
            },
            link: prober.ground.link.clone(),
            addresses,
        });
        self.reaching.visiting.insert(id, (asked, from));
    }

    /// Takes what a question of a round came to.
    pub(crate) fn take_reach(
        &mut self,
        asked: Asked,
        asking: &Asking,
        conclusion: &Conclusion,
        now: Instant,
    ) {
        if asked.for_host {
            self.take_host(asked, asking, conclusion, now);
            return;
        }
        let is_own = self.reaching.settings.name.is_some() && matches!(asked.part, Part::Proof(_));
        let seen = seen(conclusion, is_own);
        if matches!(asked.part, Part::Raw(_)) && seen == Seen::Addresses {
            self.knock(asked, &asking.question.name, conclusion, now);
        }
        self.take_seen(asked, seen, now);
    }

    /// Looks at a page of a name that was made up, where the network says that it is: the redirect is what a browser would follow.
    fn knock(&mut self, asked: Asked, name: &DomainName, conclusion: &Conclusion, now: Instant) {
        let Conclusion::Reply { plain, .. } = conclusion else {
            return;
        };
        let found = plain.hop.answers.iter().filter_map(address);
        let addresses: Vec<IpAddr> = found.filter(is_somewhere).collect();
        let Some(prober) = self.reaching.probers.get_mut(&asked.link) else {
            return;
        };
        if addresses.is_empty() || !self.reaching.settings.asks_portals || !prober.seek_door(now) {
            return;
        }
        let url = Url {
            secure: false,
            host: Host::Name(name.clone()),
            port: 80,
            target: "/".into(),
        };
        let asked = Asked {
            part: Part::Door,
            ..asked
        };
        self.visit(asked, url, addresses);
    }

    /// Takes where a page leads to: by a redirect, or because it is in the place of another one.
    fn take_door(&mut self, asked: Asked, from: &Url, reply: &Reply, now: Instant) {
        let door = match reply.status {
            300..=399 => {
                let location = reply.location.as_deref();
                location.and_then(|text| from.join(text).ok())
            }
            // RFC 6585 §6: 511 has the way to the login in its page.
            200..=299 | 511 if reply.is_page() => Some(from.clone()),
            _ => None,
        };
        if let Some(prober) = self.reaching.probers.get_mut(&asked.link) {
            prober.take_door(door);
            self.settle_reach(asked.link, now);
        }
    }

    /// Takes the addresses of a host, or where its name leads.
    fn take_host(&mut self, asked: Asked, asking: &Asking, conclusion: &Conclusion, now: Instant) {
        let place = (asked.link, asked.part);
        let Some(resolving) = self.reaching.resolving.get_mut(&place) else {
            return;
        };
        if resolving.rounds != asked.rounds {
            return;
        }
        resolving.waiting = resolving.waiting.saturating_sub(1);
        if let Conclusion::Reply { plain, .. } = conclusion {
            let hop = &plain.hop;
            let found = hop.answers.iter().filter_map(address);
            resolving.addresses.extend(found.filter(is_somewhere));
            let leads = match &hop.end {
                End::Goto(target) if resolving.hops < HOPS_MAX => Some(target.clone()),
                End::Goto(_) | End::Final | End::Refused(..) | End::Loop => None,
            };
            if let Some(target) = leads {
                resolving.hops += 1;
                let record_type = asking.question.record_type;
                if let Ok(next) = self.asking_in(asked.link, &target, record_type) {
                    if let Some(resolving) = self.reaching.resolving.get_mut(&place) {
                        resolving.waiting += 1;
                    }
                    self.ask(Waiter::Reach(asked), next, now);
                    return;
                }
            }
        }
        let is_whole = |resolving: &Resolving| resolving.waiting == 0;
        if !self.reaching.resolving.get(&place).is_some_and(is_whole) {
            return;
        }
        let Some(resolving) = self.reaching.resolving.remove(&place) else {
            return;
        };
        if resolving.addresses.is_empty() {
            let why = format!("{} has no address there", resolving.url.host);
            self.take_failed_visit(asked, &why.into(), now);
            return;
        }
        if asked.part == Part::Portal
            && let Some(prober) = self.reaching.probers.get_mut(&asked.link)
        {
            prober.portal.addresses.clone_from(&resolving.addresses);
        }
        self.visit(asked, resolving.url, resolving.addresses);
    }

    /// Takes what a visit came to, or why it came to nothing.
    pub fn handle_visit(&mut self, id: VisitId, outcome: Result<Reply, Arc<str>>, now: Instant) {
        let Some((asked, from)) = self.reaching.visiting.remove(&id) else {
            return;
        };
        let reply = match outcome {
            Ok(reply) => reply,
            Err(why) => {
                self.take_failed_visit(asked, &why, now);
                return;
            }
        };
        match asked.part {
            Part::Portal => {
                let said = PortalWord::read(&reply);
                let said = said.map_err(|error| Arc::from(format!("its API: {error}")));
                self.take_word(asked, said, now);
            }
            Part::Door => self.take_door(asked, &from, &reply, now),
            Part::Page(_) | Part::Raw(_) | Part::Proof(_) => {
                let seen = match reply.status {
                    // What anybody could have put in its place, and a person is to read.
                    200..=299 if !from.secure && reply.is_page() => Seen::Addresses,
                    200..=299 => Seen::Secure,
                    // Whoever wants to see a person first sends everybody elsewhere.
                    300..=399 | 511 => Seen::Addresses,
                    _ => Seen::Answered,
                };
                if seen == Seen::Addresses {
                    self.take_door(asked, &from, &reply, now);
                }
                self.take_seen(asked, seen, now);
            }
        }
    }

    fn take_failed_visit(&mut self, asked: Asked, why: &Arc<str>, now: Instant) {
        match asked.part {
            Part::Portal => self.take_word(asked, Err(format!("its API: {why}").into()), now),
            // That nothing is there says nothing of the link.
            Part::Door => {}
            Part::Page(_) | Part::Raw(_) | Part::Proof(_) => {
                self.take_seen(asked, Seen::Failed(Arc::clone(why)), now);
            }
        }
    }

    fn take_word(&mut self, asked: Asked, said: Result<PortalWord, Arc<str>>, now: Instant) {
        if let Some(prober) = self.reaching.probers.get_mut(&asked.link) {
            prober.take_portal(asked.rounds, said, now);
            self.settle_reach(asked.link, now);
            self.hasten_reach(asked.link, now);
        }
    }

    fn take_seen(&mut self, asked: Asked, seen: Seen, now: Instant) {
        let failed = match (&seen, asked.part) {
            (Seen::Failed(why), Part::Portal) => Some(Arc::clone(why)),
            _ => None,
        };
        if let Some(why) = failed {
            self.take_word(asked, Err(why), now);
            return;
        }
        if let Some(prober) = self.reaching.probers.get_mut(&asked.link) {
            prober.take(asked.rounds, asked.part, seen, now);
            self.settle_reach(asked.link, now);
            self.hasten_reach(asked.link, now);
        }
    }

    /// Does not wait for the clock where the next round is due at once.
    fn hasten_reach(&mut self, link: LinkId, now: Instant) {
        let due = self.reaching.probers.get(&link);
        if due
            .and_then(super::Prober::poll_timeout)
            .is_some_and(|at| at <= now)
        {
            self.timers.set(Timer::Reach, super::key(link), now);
        }
    }
}

/// Reads what a question came to.
fn seen(conclusion: &Conclusion, is_own: bool) -> Seen {
    match conclusion {
        Conclusion::Reply { plain, verdict, .. } => match verdict {
            Some(Verdict::Secure) => Seen::Secure,
            // That a name is not signed is proven by those above it.
            Some(Verdict::Insecure) if is_own => Seen::Secure,
            Some(_) | None => {
                let hop = &plain.hop;
                let is_answer = matches!(hop.rcode, rcode::NOERROR | rcode::NXDOMAIN);
                if !is_own && hop.answers.iter().any(|record| address(record).is_some()) {
                    Seen::Addresses
                } else if is_answer {
                    Seen::Answered
                } else {
                    Seen::Failed("its name servers answer with errors".into())
                }
            }
        },
        Conclusion::Refused(refused) if refused.cause == Cause::Disbelief => Seen::Answered,
        Conclusion::Refused(refused) => Seen::Failed(refused.extended_error.text.as_str().into()),
    }
}

/// Returns the address of a record that has one.
fn address(record: &RawRecord) -> Option<IpAddr> {
    match record.record_type {
        rtype::A => <[u8; 4]>::try_from(record.rdata.as_slice())
            .ok()
            .map(IpAddr::from),
        rtype::AAAA => <[u8; 16]>::try_from(record.rdata.as_slice())
            .ok()
            .map(IpAddr::from),
        _ => None,
    }
}

/// Whether an address is that of another machine.
fn is_somewhere(address: &IpAddr) -> bool {
    !address.is_loopback() && !address.is_unspecified() && !address.is_multicast()
}
