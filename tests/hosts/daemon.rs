//! How does the daemon live on its host? Its effects are carried out as `run.rs` does it: in the same order, with faults between
//! them, and with its death at every request and every write of the journal.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use dnssec::clock::Reading;
use linkmgr::clients::{Transmit, WantedPort};
use linkmgr::{JournalText, KernelAnswer, KernelEvent, KernelFault};
use resolver::{Event, Failure};
use resolver_io::resolv_conf::State;

use super::faults::{self, Fault, Subject};
use super::host::{Happening, Host};
use super::names;
use super::rules;
use crate::errands::{Errand, Outcome};
use crate::helper::ResolvConfReport;
use crate::input::Input;
use crate::world::tests::beginning;
use crate::world::{Effect, Kept, World};

/// `EINTR`, `EAGAIN`, `ENOMEM`, `EBUSY`, `ENOBUFS`: reasons that pass.
const PASSING: [i32; 5] = [4, 11, 12, 16, 105];
/// Writes of the journal in one life that are told apart.
const PLACES: u64 = 40;
/// How long requests wait for goodbyes at most.
const GOODBYE_MAX: Duration = Duration::from_millis(500);
/// Seconds since 1970 at the simulated boot.
const BOOTED_AT: u64 = 1_900_000_000;

/// What outlives the daemon.
#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) journal: Option<String>,
    kept: BTreeMap<String, String>,
}

impl Disk {
    pub(super) fn keep(&mut self, kept: Kept, text: String) {
        self.kept.insert(format!("{kept:?}"), text);
    }

    /// Returns the octets of the longest file.
    pub(super) fn longest(&self) -> usize {
        let texts = self.kept.values().chain(&self.journal);
        texts.map(String::len).max().unwrap_or(0)
    }

    pub(super) fn read(&self, kept: Kept) -> Option<String> {
        self.kept.get(&format!("{kept:?}")).cloned()
    }
}

impl Host {
    /// Returns what the kernel says of time.
    pub(super) fn reading(&self) -> Reading {
        let uptime = self.now.as_nanos() / 1_000_000_000;
        Reading {
            wall: (BOOTED_AT + uptime).saturating_add_signed(self.wall_shift),
            uptime,
            is_synchronised: true,
        }
    }

    /// Starts the daemon on what is on the disk.
    pub(super) fn start(&mut self) {
        if self.daemon.is_some() {
            return;
        }
        self.life += 1;
        tell!(self, "starts, life {}", self.life);
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.dice.number().to_le_bytes());
        let mut beginning = beginning(self.files.clone());
        beginning.links.was_made = self.disk.read(Kept::MadeLinks).is_some();
        beginning.kept_claims = self.disk.read(Kept::Claims);
        beginning.kept_networks = self.disk.read(Kept::Networks);
        beginning.host.name = Some("host".parse().unwrap());
        beginning.seed = seed;
        let links = &mut beginning.links;
        links.journal.clone_from(&self.disk.journal);
        links.leases = self.disk.read(Kept::Leases);
        links.told = self.disk.read(Kept::Told);
        links.seed = self.dice.number();
        let now = self.now;
        self.kernel.lose_events();
        let listing = self.kernel.listing(now);
        let reading = self.reading();
        let mut world = World::new(beginning, now);
        let mut effects = world.on(Input::Clock(reading), now);
        effects.extend(world.on(Input::Hosts(String::new()), now));
        effects.extend(world.on(Input::ResolvConf(None), now));
        effects.extend(world.on(Input::Kernel(listing), now));
        effects.extend(world.begin(now));
        self.daemon = Some(world);
        self.execute(effects);
        self.drain();
    }

    /// SIGKILL.
    pub(super) fn crash(&mut self) {
        // What is added while the disk is full is not proven after a death, and may stay.
        if self.faults.loses_journals() || self.daemon.take().is_none() {
            return;
        }
        tell!(self, "dies");
        self.end_life();
        let after = self.dice.millis(20, 4000);
        self.later(after, Happening::Start(self.life));
    }

    pub(super) fn end_life(&mut self) {
        self.daemon = None;
        self.forget_orders();
        self.life += 1;
        self.journals = 0;
        self.requests.clear();
        self.ports.clear();
        self.heard_of = None;
        self.leaves_since = None;
        let forgets = self.is_writing_leases();
        self.rules.died(forgets, self.now);
    }

    /// Whether a fault strikes at this occasion.
    pub(super) fn is_hit(&mut self, fault: Fault, subject: Subject) -> bool {
        self.faults.strikes(fault, subject, &mut self.dice)
    }

    pub(super) fn feed(&mut self, input: Input) {
        let now = self.now;
        let Some(world) = &mut self.daemon else {
            return;
        };
        let effects = world.on(input, now);
        self.execute(effects);
        self.drain();
    }

    /// The daemon reads what the kernel has said, or the kernel says that too much was lost.
    pub(super) fn read_kernel(&mut self) {
        let mut events: Vec<KernelEvent> =
            std::iter::from_fn(|| self.kernel.poll_event()).collect();
        // Of a carrier that was lost and is back nothing is to be seen afterwards.
        let is_loss =
            |event: &KernelEvent| matches!(event, KernelEvent::Link(link) if !link.carrier);
        let may_be_lost = !events.is_empty() && !events.iter().any(is_loss);
        if may_be_lost && self.is_hit(Fault::Overrun, 0) {
            tell!(self, "overrun");
            events = self.kernel.listing(self.now);
        }
        if events.is_empty() {
            return;
        }
        tell!(self, "reads {} messages", events.len());
        self.feed(Input::Kernel(events));
    }

    pub(super) fn execute(&mut self, effects: Vec<Effect>) {
        let life = self.life;
        for effect in effects {
            if self.life != life {
                return;
            }
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        let life = self.life;
        match effect {
            Effect::KeepJournal(journal) => self.keep_journal(journal),
            Effect::Keep(kept, text) if kept.is_for_this_boot() => self.disk.keep(kept, text),
            Effect::Keep(kept, text) => {
                let after = self.dice.millis(0, 30);
                self.write_later(after, kept, text);
            }
            Effect::HearOf(destinations) => self.heard_of = Some(destinations),
            Effect::Requests(requests) => {
                let since = self.leaves_since.take();
                assert!(
                    since.is_none_or(|since| self.now.since(since) >= GOODBYE_MAX),
                    "{requests:?} comes before what is to be said"
                );
                for request in requests {
                    let heard_of = self.heard_of.as_ref();
                    if let Some(route) = request.1.route()
                        && let Some(heard_of) = heard_of
                    {
                        assert!(
                            heard_of.contains(&route.key.to),
                            "nobody would hear that {route:?} is replaced"
                        );
                    }
                    if !self.faults.fills_disk() {
                        let journal = self.disk.journal.as_deref();
                        rules::check_written(journal.unwrap_or_default(), &request.1);
                    }
                    self.rules.asked_for(&request.1);
                    self.requests.push_back(request);
                    let after = self.dice.millis(0, 3);
                    self.later(after, Happening::Request(life));
                }
            }
            Effect::Reply(caller, reply) => {
                let _heard = caller.send(reply);
            }
            Effect::Ports(changes) => {
                let is_same = |open: &WantedPort, place| (open.index, open.port) == place;
                for place in changes.close {
                    self.ports.retain(|open| !is_same(open, place));
                }
                for wanted in changes.open {
                    let place = (wanted.index, wanted.port);
                    self.ports.retain(|open| !is_same(open, place));
                    self.ports.push(wanted);
                }
                self.ports.sort_by_key(|open| (open.index, open.port));
            }
            Effect::Send(transmits) => {
                for transmit in transmits {
                    self.send(&transmit);
                }
            }
            Effect::LookWhetherSent => {
                let since = *self.leaves_since.get_or_insert(self.now);
                let is_sent = self.now >= since + self.leaves_within;
                tell!(self, "goodbyes have left: {is_sent}");
                if is_sent {
                    self.leaves_since = None;
                }
                self.feed(Input::Sent(is_sent));
            }
            Effect::Errand(errand) => {
                let after = self.dice.millis(1, 20);
                self.later(after, Happening::Errand(life, errand));
            }
            Effect::LookAgain => {
                let reading = self.reading();
                self.feed(Input::Clock(reading));
                self.feed(Input::Anchors(None));
            }
            Effect::Stop => {
                let _passes = self.carry_order();
                tell!(self, "has stopped");
                self.end_life();
            }
            Effect::Make(task) => self.order(task),
            // Sockets are bound anew for each question.
            Effect::Delay(_)
            | Effect::MaySleep
            | Effect::RenewPorts
            | Effect::Notice(_)
            | Effect::Subscribe(..)
            | Effect::Announce(_)
            | Effect::Listeners(_)
            | Effect::Scraped(..)
            | Effect::Observe
            | Effect::FollowLists(_) => {}
        }
    }

    fn keep_journal(&mut self, journal: JournalText) {
        self.journals += 1;
        let place = self.journals.min(PLACES);
        if self.is_hit(Fault::DiesBeforeJournal, place) {
            return self.crash();
        }
        let is_kept = !self.is_hit(Fault::FullDisk, place);
        tell!(self, "journal {}: {is_kept}", journal.version);
        if is_kept {
            self.disk.journal = Some(journal.text);
        }
        if self.is_hit(Fault::DiesAfterJournal, place) {
            return self.crash();
        }
        let now = self.now;
        if let Some(world) = &mut self.daemon {
            let effects = world.on(Input::JournalKept(journal.version, is_kept), now);
            self.execute(effects);
        }
    }

    pub(super) fn do_errand(&mut self, errand: Errand) {
        let outcome = match errand {
            Errand::ReadConfig => Outcome::Config(Ok(self.files.clone())),
            Errand::ReadKeys => Outcome::Keys(Ok(Vec::new())),
            Errand::ReadLinkKeys => Outcome::LinkKeys(Ok(Vec::new())),
            Errand::MarkLinkKeys(_) => Outcome::Marked(Ok(Vec::new())),
            Errand::Take(..) | Errand::GiveBack | Errand::Look => {
                Outcome::ResolvConf(Ok(ResolvConfReport {
                    state: State::Untouched,
                    saved: None,
                    messages: Vec::new(),
                }))
            }
        };
        self.feed(Input::Errand(outcome));
    }

    /// The kernel takes up a request.
    pub(super) fn take_request(&mut self) {
        let Some((id, request)) = self.requests.pop_front() else {
            return;
        };
        let kind = faults::kind(&request);
        if self.is_hit(Fault::DiesBeforeRequest, kind) {
            return self.crash();
        }
        let answer = if !request.is_read() && self.is_hit(Fault::Refused, kind) {
            let errno = self.dice.of(&PASSING);
            KernelAnswer::Failed(KernelFault { errno, text: None })
        } else {
            let before = self.rules.before(&self.kernel, &request, self.now);
            let answer = self.kernel.handle_request(&request, self.now);
            let is_late = self.is_reading || self.rules.may_cross(self.now);
            self.rules
                .after(&self.kernel, &request, &answer, before, is_late);
            if !request.is_read() && answer == KernelAnswer::Done {
                self.rules.done.push(request.clone());
            }
            answer
        };
        tell!(self, "asks {request:?}: {answer:?}");
        self.follow_kernel();
        if self.is_hit(Fault::DiesAfterRequest, kind) {
            return self.crash();
        }
        let after = match self.is_hit(Fault::LateAnswer, kind) {
            true => self.dice.seconds(1, 4),
            false => self.dice.millis(0, 6),
        };
        self.later(after, Happening::Answer(self.life, id, answer));
    }

    fn send(&mut self, transmit: &Transmit) {
        let ports = self.ports.iter();
        let mut here = ports.filter(|open| open.index == transmit.index);
        if !here.any(|open| open.port == transmit.port) {
            return;
        }
        let Some(number) = self.network_by_index.get(&transmit.index).copied() else {
            return;
        };
        tell!(
            self,
            "{:?} says {} octets",
            transmit.port,
            transmit.octets.len()
        );
        let Some(network) = self.networks.get_mut(&number) else {
            return;
        };
        for back in network.hear(transmit, &self.ports, &mut self.dice, self.now) {
            self.later(back.after, Happening::Packet(number, back.heard, back.word));
        }
    }

    /// Takes what the resolver has to say.
    pub(super) fn drain(&mut self) {
        let now = self.now;
        loop {
            let Some(world) = &mut self.daemon else {
                return;
            };
            while let Some(answer) = world.resolver.poll_answer() {
                let (heard, line) = self.rules.answered(&answer, now);
                if let Some(line) = line {
                    tell!(self, "{line}");
                }
                assert!(heard.is_ok(), "{}", heard.unwrap_err());
            }
            if let Some(transmit) = world.resolver.poll_transmit() {
                self.carry(&transmit);
                continue;
            }
            while world.resolver.poll_cancel().is_some() {}
            while world.resolver.poll_hangup().is_some() {}
            while world.resolver.poll_spoken().is_some() {}
            let _places = world.resolver.poll_listening();
            let Some(event) = world.resolver.poll_event() else {
                return;
            };
            let input = match event {
                Event::Answered(trace) => {
                    let _notice = world.take_trace(trace, None);
                    continue;
                }
                Event::Evidence(evidence) => Input::Evidence(evidence),
                Event::Keys(owner, keys) => Input::Keys(owner, keys),
                Event::Networks(text) => Input::Networks(text),
                Event::Reach(link) => Input::Reach(link),
            };
            let effects = world.on(input, now);
            self.execute(effects);
        }
    }

    /// Carries a question to a DNS server, if there is a way.
    fn carry(&mut self, transmit: &resolver::Transmit) {
        let life = self.life;
        let (name, kind) = names::asked(&transmit.wire).unwrap();
        let link = transmit.link.as_ref();
        let through = link.map_or("any link", |link| &*link.name);
        let server = transmit.upstream.address;
        tell!(self, "{server} by {through} is asked {name} {kind}");
        self.rules.asked(&name, through, server);
        let index = match link {
            Some(link) => link.id.map(|id| id.index).filter(|index| {
                let there = self.kernel.links().get(index);
                there.is_some_and(|there| there.name == link.name)
            }),
            None => self.default_link(),
        };
        let fail = |failure| Happening::Failed(life, transmit.exchange, failure);
        let Some(index) = index else {
            return self.later(Duration::from_millis(1), fail(Failure::NoLink));
        };
        let has_address = self.kernel.addresses().iter().any(|(of, it)| {
            let is_far = !matches!(it.prefix.address, IpAddr::V6(v6) if v6.is_unicast_link_local());
            *of == index && is_far && it.prefix.address.is_ipv4() == server.is_ipv4()
        });
        let carries = self
            .kernel
            .links()
            .get(&index)
            .is_some_and(|link| link.carrier);
        if !has_address || !carries {
            return self.later(Duration::from_millis(1), fail(Failure::Unreachable));
        }
        let number = self.network_by_index[&index];
        let network = &self.networks[&number];
        let manner = network.names;
        let is_lost = network.loses_one_in > 0 && self.dice.one_in(network.loses_one_in);
        if !network.has_resolver(server) || is_lost {
            return;
        }
        let tag = rules::tag(number, self.dice.of(&[1, 2]), manner);
        let ttl = self.dice.of(&[1, 30, 300, 3600]);
        let Some(reply) = names::reply(&transmit.wire, manner, tag, ttl) else {
            return;
        };
        let after = match manner == names::Manner::Late {
            true => self.dice.millis(700, 5000),
            false => self.dice.millis(1, 120),
        };
        let says = |wire| Happening::Reply(life, number, transmit.exchange, wire);
        if manner == names::Manner::Forging {
            self.later(after / 2, says(names::spoil(&reply)));
        }
        self.later(after, says(reply));
    }
}
