//! A whole host: the daemon's world as it is, on a kernel of glass, with a disk, links, and time that is told.
//!
//! [`Host::run_for`] goes from one happening to the next; nothing happens at the same time as anything else. What the daemon
//! wants done is done in [`super::daemon`]; after each happening the rules of [`super::rules`] are looked at.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use config::matcher::Mac;
use config::model::Prefix;
use config::time::Instant;
use linkmgr::arp::ArpPacket;
use linkmgr::clients::{Heard, Port, WantedPort};
use linkmgr::fake::{FakeAddress, FakeKernel};
use linkmgr::{KernelAnswer, KernelRequest, LinkMessage, RequestId};
use linnet::config_dirs::ConfigText;
use resolver::{ExchangeId, Failure};

use super::air::{Network, Word};
use super::daemon::Disk;
use super::dice::Dice;
use super::faults::{Fault, Faults};
use super::making::Making;
use super::rules::Rules;
use crate::errands::Errand;
use crate::input::Input;
use crate::world::{Kept, World};

/// Happenings at one moment: more are a loop without end.
const AT_ONCE_MAX: u32 = 20_000;

/// Something that happens.
#[derive(Debug)]
pub(super) enum Happening {
    /// The daemon reads what the kernel has said.
    KernelRead,
    /// The kernel takes up the next request.
    Request(u64),
    /// The kernel's answer comes back.
    Answer(u64, RequestId, KernelAnswer),
    /// A packet comes from a network.
    Packet(u8, Heard, Option<Word>),
    /// A reply of a DNS server comes.
    Reply(u64, u8, ExchangeId, Vec<u8>),
    /// An exchange has failed.
    Failed(u64, ExchangeId, Failure),
    /// Links are made as was ordered last.
    Make(u64),
    /// An errand is done.
    Errand(u64, Errand),
    /// A file is written.
    Write(u64, Kept, String),
    /// The kernel has made a link-local address.
    LinkLocal(u32),
    /// The routers of a network speak up.
    Advertise(u8),
    /// The daemon is started after its death in this life, unless somebody has done that.
    Start(u64),
}

/// A host.
pub(super) struct Host {
    pub(super) seed: u64,
    pub(super) now: Instant,
    /// What the wall clock is ahead of its beginning and the time since, in seconds.
    pub(super) wall_shift: i64,
    pub(super) dice: Dice,
    pub(super) faults: Faults,
    pub(super) daemon: Option<World>,
    /// Counts the daemon's lives: what was for another one is for nobody.
    pub(super) life: u64,
    pub(super) kernel: FakeKernel,
    pub(super) disk: Disk,
    pub(super) files: Vec<ConfigText>,
    pub(super) ports: Vec<WantedPort>,
    /// Where it is heard that routes are replaced; `None` for everywhere.
    pub(super) heard_of: Option<Vec<Prefix>>,
    /// How long goodbyes wait in the kernel, and since when the daemon asks whether they have left.
    pub(super) leaves_within: Duration,
    pub(super) leaves_since: Option<Instant>,
    pub(super) networks: BTreeMap<u8, Network>,
    /// Which network each link leads to.
    pub(super) network_by_index: BTreeMap<u32, u8>,
    pub(super) requests: VecDeque<(RequestId, KernelRequest)>,
    pub(super) rules: Rules,
    /// How often the journal was kept in this life.
    pub(super) journals: u64,
    pub(super) tale: Tale,
    pub(super) making: Making,
    happenings: BTreeMap<(Instant, u64), Happening>,
    serial: u64,
    /// Whether somebody will read what the kernel has said.
    pub(super) is_reading: bool,
    /// When the last file is written that is to be written: one thread does it, in order.
    written_at: Instant,
    /// Whether routers speak only when they are asked.
    pub(super) is_resting: bool,
    at_once: u32,
}

/// What has happened: the end of it as text, all of it as a number.
#[derive(Debug, Default)]
pub(super) struct Tale {
    /// Lines that are kept; 0 when nobody listens, and nothing is but counted.
    pub(super) length: usize,
    pub(super) lines: VecDeque<String>,
    pub(super) hash: u64,
    pub(super) count: u64,
}

impl Tale {
    pub(super) fn tell(&mut self, now: Instant, line: fmt::Arguments<'_>) {
        self.count += 1;
        if self.length == 0 {
            return;
        }
        let line = line.to_string();
        for octet in now.as_nanos().to_le_bytes().iter().chain(line.as_bytes()) {
            self.hash = (self.hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.lines.len() >= self.length {
            self.lines.pop_front();
        }
        let millis = now.as_nanos() / 1_000_000;
        self.lines
            .push_back(format!("{}.{:03} {line}", millis / 1000, millis % 1000));
    }
}

impl Host {
    /// A host with these files, whose daemon is not started yet.
    pub(super) fn new(seed: u64, files: Vec<ConfigText>) -> Self {
        Self {
            seed,
            now: Instant::ZERO + Duration::from_secs(1000),
            wall_shift: 0,
            dice: Dice::new(seed),
            faults: Faults::default(),
            daemon: None,
            life: 0,
            kernel: FakeKernel::default(),
            disk: Disk::default(),
            files,
            ports: Vec::new(),
            heard_of: None,
            leaves_within: Duration::ZERO,
            leaves_since: None,
            networks: BTreeMap::new(),
            network_by_index: BTreeMap::new(),
            requests: VecDeque::new(),
            rules: Rules::default(),
            journals: 0,
            tale: Tale::default(),
            making: Making::default(),
            happenings: BTreeMap::new(),
            serial: 0,
            is_reading: false,
            written_at: Instant::ZERO,
            is_resting: false,
            at_once: 0,
        }
    }

    /// Has something happen after a while.
    pub(super) fn later(&mut self, after: Duration, happening: Happening) {
        self.serial += 1;
        let key = (self.now + after, self.serial);
        self.happenings.insert(key, happening);
    }

    /// Has a file written in this time, or after those that are not written yet.
    pub(super) fn write_later(&mut self, after: Duration, kept: Kept, text: String) {
        self.written_at = self.written_at.max(self.now + after);
        let (after, life) = (self.written_at.since(self.now), self.life);
        self.later(after, Happening::Write(life, kept, text));
    }

    /// Adds a network, whose router speaks up now and then.
    pub(super) fn add_network(&mut self, network: Network) {
        let number = network.number;
        self.networks.insert(number, network);
        let after = self.dice.seconds(1, 200);
        self.later(after, Happening::Advertise(number));
    }

    pub(super) fn network(&mut self, number: u8) -> &mut Network {
        self.networks.get_mut(&number).unwrap()
    }

    /// Adds a link, down as it comes.
    pub(super) fn add_link(&mut self, index: u32, name: &str, kind: &str) {
        let mac =
            (kind != "tun").then_some(Mac([2, 0, 0, 1, 0, u8::try_from(index % 256).unwrap()]));
        self.kernel.put_link(LinkMessage {
            index,
            name: name.into(),
            kind: kind.into(),
            mac,
            mtu: 1500,
            multicast: kind != "tun",
            arp: kind != "tun",
            ..LinkMessage::default()
        });
        tell!(self, "link {name} {index}");
        self.follow_kernel();
    }

    /// Takes a link away.
    pub(super) fn remove_link(&mut self, index: u32) {
        self.detach(index);
        self.kernel.remove_link(index, self.now);
        self.rules.link_gone(index);
        tell!(self, "link {index} gone");
        self.follow_kernel();
    }

    pub(super) fn index_of(&self, name: &str) -> Option<u32> {
        let mut links = self.kernel.links().values();
        links
            .find(|link| &*link.name == name)
            .map(|link| link.index)
    }

    /// Has a link lead to a network.
    pub(super) fn attach(&mut self, index: u32, network: u8) {
        self.detach(index);
        self.network_by_index.insert(index, network);
        self.rules.attached(index, network, self.now);
        tell!(self, "{index} leads to {network}");
        self.follow_kernel();
    }

    /// Has a link lead nowhere.
    pub(super) fn detach(&mut self, index: u32) {
        if let Some(network) = self.network_by_index.remove(&index) {
            self.rules.detached(network, self.now);
            self.rules.left(index, network, self.now);
            tell!(self, "{index} leads nowhere");
        }
        self.follow_kernel();
    }

    /// Has carriers follow what links lead to, and the daemon read what the kernel says.
    pub(super) fn follow_kernel(&mut self) {
        let wrong: Vec<LinkMessage> = self
            .kernel
            .links()
            .values()
            .filter(|link| link.carrier != self.has_carrier(link))
            .cloned()
            .collect();
        for mut link in wrong {
            link.carrier = self.has_carrier(&link);
            self.kernel.put_link(link);
        }
        let fresh: Vec<u32> = self
            .kernel
            .links()
            .values()
            .filter(|link| link.carrier && link.multicast && !link.loopback)
            .map(|link| link.index)
            .filter(|index| !self.has_link_local(*index))
            .collect();
        for index in fresh {
            if self.rules.awaits_link_local.insert(index) {
                let after = self.dice.millis(300, 1500);
                self.later(after, Happening::LinkLocal(index));
            }
        }
        if !std::mem::replace(&mut self.is_reading, true) {
            let after = self.dice.millis(0, 4);
            self.later(after, Happening::KernelRead);
        }
    }

    /// Whether something that clients want kept is not written yet.
    pub(super) fn is_writing_leases(&self) -> bool {
        let mut happenings = self.happenings.values();
        happenings.any(|it| matches!(it, Happening::Write(_, Kept::Leases, _)))
    }

    fn has_carrier(&self, link: &LinkMessage) -> bool {
        link.admin_up && self.network_by_index.contains_key(&link.index)
    }

    fn has_link_local(&self, index: u32) -> bool {
        let mut addresses = self.kernel.addresses().iter();
        addresses.any(|(of, it)| {
            *of == index
                && matches!(it.prefix.address, IpAddr::V6(v6) if v6.is_unicast_link_local())
        })
    }

    /// Lets time pass, with all that happens meanwhile.
    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.next_at().filter(|at| *at <= end) {
            if at > self.now {
                self.now = at;
                self.at_once = 0;
            }
            self.at_once += 1;
            assert!(self.at_once < AT_ONCE_MAX, "there is no end to it");
            self.step();
        }
        self.now = end;
        self.at_once = 0;
    }

    /// The machine sleeps: time passes, and nobody does anything.
    pub(super) fn sleep(&mut self, time: Duration) {
        tell!(self, "sleeps {} s", time.as_secs());
        self.now = self.now + time;
        // Nobody hears what was said meanwhile.
        self.happenings.retain(|(at, _), happening| {
            *at > self.now || !matches!(happening, Happening::Packet(..) | Happening::Reply(..))
        });
        self.rules.slept(time, self.now);
        self.rules.expire(&mut self.kernel, self.now);
        self.follow_kernel();
    }

    fn next_at(&self) -> Option<Instant> {
        let happening = self.happenings.keys().next().map(|(at, _)| *at);
        let daemon = self.daemon.as_ref().and_then(|world| {
            let timer = world.poll_timeout();
            let work = world.resolver.has_work().then_some(self.now);
            [timer, work, Some(world.look_at())]
                .into_iter()
                .flatten()
                .min()
        });
        [happening, daemon, self.rules.expiry(&self.kernel)]
            .into_iter()
            .flatten()
            .min()
    }

    fn step(&mut self) {
        if self
            .rules
            .expiry(&self.kernel)
            .is_some_and(|at| at <= self.now)
        {
            self.rules.expire(&mut self.kernel, self.now);
            self.follow_kernel();
        }
        let due = self
            .happenings
            .first_entry()
            .filter(|first| first.key().0 <= self.now);
        match due.map(|first| first.remove()) {
            Some(happening) => self.happen(happening),
            None => self.wake_daemon(),
        }
        self.check();
    }

    fn wake_daemon(&mut self) {
        let Some(world) = &mut self.daemon else {
            return;
        };
        let now = self.now;
        if world.poll_timeout().is_some_and(|at| at <= now) {
            self.rules.woken(now);
            self.feed(Input::Timer);
        } else if world.look_at() <= now {
            let reading = self.reading();
            self.feed(Input::Clock(reading));
        } else if world.resolver.has_work() {
            world.resolver.handle_work(now);
            self.drain();
        }
    }

    fn happen(&mut self, happening: Happening) {
        let is_of_now = |host: &Self, life: u64| host.daemon.is_some() && host.life == life;
        match happening {
            Happening::KernelRead => {
                self.is_reading = false;
                self.read_kernel();
            }
            Happening::Request(life) if is_of_now(self, life) => self.take_request(),
            Happening::Answer(life, id, answer) if is_of_now(self, life) => {
                self.feed(Input::Answers(vec![(id, answer)]));
            }
            Happening::Packet(network, heard, word) => self.deliver(network, heard, word),
            Happening::Reply(life, network, exchange, wire) if is_of_now(self, life) => {
                // What is on its way when the host leaves does not arrive.
                if self.network_by_index.values().any(|here| *here == network)
                    && let Some(world) = &mut self.daemon
                {
                    world.resolver.handle_reply(exchange, &wire, self.now);
                    self.drain();
                }
            }
            Happening::Failed(life, exchange, failure) if is_of_now(self, life) => {
                if let Some(world) = &mut self.daemon {
                    world.resolver.handle_failure(exchange, failure, self.now);
                    self.drain();
                }
            }
            Happening::Errand(life, errand) if is_of_now(self, life) => self.do_errand(errand),
            Happening::Make(life) if is_of_now(self, life) => self.make_links(),
            Happening::Write(life, kept, text) if is_of_now(self, life) => {
                if self.is_hit(Fault::DiesBeforeFile, 0) {
                    if kept == Kept::Leases {
                        self.rules.forgot_leases();
                    }
                    return self.crash();
                }
                self.disk.keep(kept, text);
                if self.is_hit(Fault::DiesAfterFile, 0) {
                    self.crash();
                }
            }
            Happening::Request(_)
            | Happening::Answer(..)
            | Happening::Reply(..)
            | Happening::Failed(..)
            | Happening::Errand(..)
            | Happening::Make(_)
            | Happening::Write(..) => {}
            Happening::LinkLocal(index) => {
                self.rules.awaits_link_local.remove(&index);
                let carries = self
                    .kernel
                    .links()
                    .get(&index)
                    .is_some_and(|link| link.carrier);
                if carries && !self.has_link_local(index) {
                    let last = u16::try_from(index).unwrap();
                    let prefix = Prefix {
                        address: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, last).into(),
                        length: 64,
                    };
                    let address = FakeAddress::foreign(prefix);
                    self.kernel.put_address(index, address, self.now);
                    self.follow_kernel();
                }
            }
            Happening::Advertise(number) => {
                let here: Vec<u32> = self
                    .network_by_index
                    .iter()
                    .filter(|(_, network)| **network == number && !self.is_resting)
                    .map(|(index, _)| *index)
                    .collect();
                for index in here {
                    let said = self.networks[&number].advertise(index, Duration::ZERO);
                    if let Some(said) = said {
                        self.later(said.after, Happening::Packet(number, said.heard, None));
                    }
                }
                let after = self.dice.seconds(150, 400);
                self.later(after, Happening::Advertise(number));
            }
            Happening::Start(life) if self.life == life => self.start(),
            Happening::Start(_) => {}
        }
    }

    fn deliver(&mut self, network: u8, heard: Heard, word: Option<Word>) {
        let is_here = self.network_by_index.get(&heard.index) == Some(&network);
        let mut ports = self.ports.iter();
        let is_open = ports.any(|open| open.index == heard.index && open.port == heard.port);
        if !is_here || !is_open || self.daemon.is_none() {
            return;
        }
        tell!(self, "{:?} hears {} octets", heard.port, heard.octets.len());
        self.rules.packets += 1;
        match word {
            Some(Word::Leased(address, until, asked)) => {
                self.rules.leased(heard.index, address, until, asked);
            }
            Some(Word::Refused) => self.rules.moved(heard.index),
            None => {}
        }
        if let Some(packet) = ArpPacket::parse(&heard.octets).filter(|_| heard.port == Port::Arp) {
            self.rules.neighbour(heard.index, packet.sender_address);
        }
        self.feed(Input::Heard(vec![heard]));
    }

    /// Returns the link of the best IPv4 default route that is in the kernel.
    pub(super) fn default_link(&self) -> Option<u32> {
        let routes = self.kernel.routes().values();
        let defaults = routes.filter(|it| {
            it.route.key.table == 254
                && it.route.key.to.length == 0
                && it.route.key.to.address.is_ipv4()
        });
        let best = defaults.min_by_key(|it| it.route.key.metric)?;
        best.route.index()
    }
}
