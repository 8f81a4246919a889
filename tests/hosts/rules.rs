//! Which rules hold at every step? The promises of the design, as far as a whole host can break them; each breach is a panic.
//!
//! What is expected is told by the story (which network is where, who leased what), never read from the daemon's own state.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use config::model::{PolicyRule, Prefix};
use config::time::Instant;
use linkmgr::fake::{FakeAddress, FakeKernel, FakeRoute};
use linkmgr::kernel::{OURS, OwnRoute};
use linkmgr::request::AddressRequest;
use linkmgr::{Item, KernelAnswer, KernelRequest};
use policy::links::RouteKey;
use resolver::{Answer, ClientId};

use super::host::Host;
use super::names::{self, Manner};

/// Promise 2.
const PATIENCE: Duration = Duration::from_millis(4500);
/// How long the host may take to notice that it is elsewhere: the kernel's word is late, and so is the gateway's silence.
const NOTICE: Duration = Duration::from_millis(1500);
/// How long a request may be on its way to the kernel.
const CROSSING: Duration = Duration::from_millis(200);
/// The kernel counts lifetimes in whole seconds.
const ROUNDING: Duration = Duration::from_secs(2);
/// Wake-ups within a second: more are a loop.
const WAKES_MAX: u32 = 400;
/// Where the office's names may be asked.
const OFFICE: (&str, IpAddr) = ("vpn0", IpAddr::V4(Ipv4Addr::new(10, 8, 0, 1)));

/// A question that is not answered yet.
#[derive(Debug)]
struct Open {
    name: String,
    at: Instant,
}

/// A lease that must stay.
#[derive(Debug, Clone, Copy)]
struct Standing {
    address: Ipv4Addr,
    until: Instant,
    /// Since when; what was asked for before may be on its way.
    since: Instant,
}

/// What others have made, as it is in the kernel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Foreign {
    addresses: Vec<(u32, FakeAddress)>,
    /// By their place, the first one first.
    routes: BTreeMap<RouteKey, Vec<FakeRoute>>,
    rules: Vec<(PolicyRule, u8)>,
}

impl Foreign {
    fn keep_routes(&mut self, stays: impl Fn(&OwnRoute) -> bool) {
        for there in self.routes.values_mut() {
            there.retain(|it| stays(&it.route));
        }
        self.routes.retain(|_, there| !there.is_empty());
    }
}

/// What the story has told so far.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) awaits_link_local: BTreeSet<u32>,
    /// When each network came and went; `None` while it is here.
    stays: Vec<(u8, Instant, Option<Instant>)>,
    open_by_client: BTreeMap<ClientId, Open>,
    clients: u64,
    pub(super) answered: u64,
    pub(super) refused: u64,
    pub(super) tagged: u64,
    /// Packets that clients have heard.
    pub(super) packets: u64,
    /// The address of the last answer that had one.
    pub(super) heard: Option<Ipv4Addr>,
    /// Until when each address was leased.
    leased_until: BTreeMap<Ipv4Addr, Instant>,
    /// Leases that stand: by link, where it has not been elsewhere since, and nobody refused or took it.
    standing: BTreeMap<u32, Standing>,
    /// Those of links that lead nowhere, with the network: they stand again when the link is back there, whoever answers.
    away: BTreeMap<u32, (u8, Standing)>,
    /// Since when somebody asks by a link whom answers to earlier questions mean nothing to: it was elsewhere.
    asks_since: BTreeMap<u32, Instant>,
    /// The same of the daemon: it has been started, or has slept.
    lives_since: Instant,
    /// Whether the daemon gives back, or a configuration was read that may want less.
    pub(super) lets_go: bool,
    /// What the kernel has done.
    pub(super) done: Vec<KernelRequest>,
    /// What it has made for the daemon and nobody has taken away since: by this things are ours, and by no number.
    made: BTreeSet<Item>,
    /// Links that are left to others: what is still under way to them is not ours either.
    left: BTreeSet<u32>,
    /// What the daemon has ever asked for.
    tried: BTreeSet<Item>,
    /// Whether it has died: its journal may name what it never came to ask for.
    has_died: bool,
    /// When others did something last.
    others_at: Instant,
    /// What of ours went by that, and what goes by what they are at.
    lost_last: BTreeSet<Item>,
    losing: BTreeSet<Item>,
    /// Addresses of others that a request of ours has changed that was on its way while they came to the place of ours: whose they are
    /// nobody can tell.
    crossed: BTreeSet<Item>,
    woke_at: Instant,
    wakes: (u64, u32),
}

/// The address of every name, as servers of a network say.
pub(super) fn tag(network: u8, server: u8, manner: Manner) -> Ipv4Addr {
    let first = if manner == Manner::Portal { 94 } else { 93 };
    Ipv4Addr::new(first, network, server, 1)
}

impl Rules {
    pub(super) fn attached(&mut self, index: u32, network: u8, now: Instant) {
        self.stays.push((network, now, None));
        if let Some((of, standing)) = self.away.remove(&index)
            && of == network
        {
            let standing = Standing {
                since: now,
                ..standing
            };
            self.standing.insert(index, standing);
        }
    }

    pub(super) fn detached(&mut self, network: u8, now: Instant) {
        let mut stays = self.stays.iter_mut().rev();
        if let Some((_, _, end)) = stays.find(|(of, _, end)| *of == network && end.is_none()) {
            *end = Some(now);
        }
    }

    /// A link is or was elsewhere, or its lease was refused.
    pub(super) fn moved(&mut self, index: u32) {
        self.standing.remove(&index);
    }

    /// A neighbour has an address.
    pub(super) fn neighbour(&mut self, index: u32, address: Ipv4Addr) {
        let is_ours = self
            .standing
            .get(&index)
            .is_some_and(|it| it.address == address);
        if is_ours {
            self.moved(index);
        }
    }

    /// A link leads nowhere: what is answered to questions of before belongs to nobody's exchange.
    pub(super) fn left(&mut self, index: u32, network: u8, now: Instant) {
        if let Some(standing) = self.standing.remove(&index) {
            self.away.insert(index, (network, standing));
        }
        self.asks_since.insert(index, now);
    }

    pub(super) fn leased(&mut self, index: u32, address: Ipv4Addr, until: Instant, asked: Instant) {
        let known = self.leased_until.entry(address).or_insert(until);
        *known = until.max(*known);
        let since = self.asks_since.get(&index).copied();
        if asked >= since.unwrap_or_default().max(self.lives_since) {
            let standing = Standing {
                address,
                until,
                since: asked,
            };
            self.standing.insert(index, standing);
        }
    }

    /// The daemon is gone, and whoever asked it hears nothing; a lease that is not on the disk is forgotten.
    pub(super) fn died(&mut self, forgets: bool, now: Instant) {
        self.lives_since = now;
        self.open_by_client.clear();
        self.has_died = true;
        if forgets {
            self.forgot_leases();
        }
    }

    /// Leases were about to be written down when the daemon died.
    pub(super) fn forgot_leases(&mut self) {
        self.standing.clear();
        self.away.clear();
    }

    /// Whoever waits sleeps too.
    pub(super) fn slept(&mut self, time: Duration, now: Instant) {
        self.woke_at = now;
        self.lives_since = now;
        for open in self.open_by_client.values_mut() {
            open.at = open.at + time;
        }
        self.forgot_leases();
    }

    /// The daemon wakes up by itself.
    pub(super) fn woken(&mut self, now: Instant) {
        let second = now.as_nanos() / 1_000_000_000;
        if self.wakes.0 != second {
            self.wakes = (second, 0);
        }
        self.wakes.1 += 1;
        assert!(
            self.wakes.1 < WAKES_MAX,
            "{} wake-ups in one second",
            self.wakes.1
        );
    }

    /// Returns when the kernel takes something away by itself.
    pub(super) fn expiry(&self, kernel: &FakeKernel) -> Option<Instant> {
        let addresses = kernel
            .addresses()
            .iter()
            .filter_map(|(_, it)| it.valid_until);
        let routes = kernel.all_routes().filter_map(|it| it.valid_until);
        addresses.chain(routes).min()
    }

    pub(super) fn opened(&mut self, name: &str, now: Instant) -> ClientId {
        self.clients += 1;
        let client = ClientId(self.clients);
        let name = name.to_owned();
        self.open_by_client.insert(client, Open { name, at: now });
        client
    }

    /// Takes an answer: it is one, for somebody who waits, in time; with a reason when it is none; and of a network that the host
    /// was in meanwhile.
    pub(super) fn answered(
        &mut self,
        answer: &Answer,
        now: Instant,
    ) -> (Result<(), String>, Option<String>) {
        let Some(open) = self.open_by_client.remove(&answer.client) else {
            return (Err(format!("{answer:?} for nobody")), None);
        };
        let Some(seen) = names::seen(&answer.wire) else {
            return (Err(format!("{answer:?} cannot be read")), None);
        };
        let line = format!("{} is answered: {seen:?}", open.name);
        self.answered += 1;
        self.refused += u64::from(seen.rcode == 5);
        if matches!(seen.rcode, 2 | 5) && !seen.has_reason {
            return (Err(format!("{line}, without a reason")), Some(line));
        }
        for address in &seen.addresses {
            let [first, network, ..] = address.octets();
            if first != 93 && first != 94 {
                continue;
            }
            self.tagged += 1;
            self.heard = Some(*address);
            let was_here = self.stays.iter().any(|(of, from, to)| {
                *of == network && *from <= now && to.is_none_or(|to| to + NOTICE >= open.at)
            });
            if !was_here {
                let late = format!("{line}: network {network} is not here");
                return (Err(late), Some(line));
            }
            // An alias to a claimed name is followed, whatever came along with it.
            let leads_there = first == 93 && open.name.starts_with("intruder");
            if (names::is_claimed(&open.name) || leads_there) && network != 8 {
                let leak = format!("{line}: it is the office's");
                return (Err(leak), Some(line));
            }
        }
        (Ok(()), Some(line))
    }

    /// Promise 1: a claimed name is asked where it is claimed.
    pub(super) fn asked(&self, name: &str, link: &str, server: IpAddr) {
        assert!(
            !names::is_claimed(name) || (link, server) == OFFICE,
            "{name} is asked of {server} by {link}"
        );
        assert!(
            names::is_claimed(name) || server != OFFICE.1,
            "{name} is asked of the office"
        );
    }

    /// Whether something in the kernel is ours.
    pub(super) fn is_ours(&self, item: &Item, protocol: u8) -> bool {
        protocol == OURS && self.made.contains(item)
    }

    /// Whether the daemon has ever asked for something, or its journal may name it: with our number it may be taken for its own
    /// then.
    pub(super) fn was_tried(&self, item: &Item) -> bool {
        self.has_died || self.tried.contains(item)
    }

    /// Others have done something.
    pub(super) fn others_acted(&mut self, now: Instant) {
        self.others_at = now;
        self.lost_last = std::mem::take(&mut self.losing);
    }

    /// Whether a request may have been on its way when others did something.
    pub(super) fn may_cross(&self, now: Instant) -> bool {
        now < self.others_at + CROSSING
    }

    /// Others have taken something of ours away, or put theirs in its place.
    pub(super) fn lost(&mut self, item: &Item) {
        self.made.remove(item);
        self.crossed.remove(item);
        self.losing.insert(item.clone());
    }

    /// What is on a link is left to others.
    pub(super) fn released(&mut self, kernel: &FakeKernel, index: u32) {
        self.left.insert(index);
        self.made.retain(|item| match item {
            Item::Address(of, _) => *of != index,
            Item::Route(key) => {
                let mut there = kernel.all_routes();
                let route = there.find(|it| it.route.key == *key && it.protocol == OURS);
                route.and_then(|it| it.route.index()) != Some(index)
            }
            Item::Rule(_) | Item::Setting(..) => true,
        });
    }

    /// Whose a link is, is told anew.
    pub(super) fn taken_back(&mut self, index: u32) {
        self.left.remove(&index);
    }

    pub(super) fn link_gone(&mut self, index: u32) {
        self.away.remove(&index);
        let is_there = |item: &Item| !matches!(item, Item::Address(of, _) if *of == index);
        self.made.retain(is_there);
        self.tried.retain(is_there);
    }

    fn foreign(&self, kernel: &FakeKernel) -> Foreign {
        let mut addresses = kernel.addresses().to_vec();
        addresses.retain(|(index, it)| {
            let item = Item::Address(*index, it.prefix);
            !self.is_ours(&item, it.protocol) && !self.crossed.contains(&item)
        });
        let mut routes: BTreeMap<RouteKey, Vec<FakeRoute>> = BTreeMap::new();
        for it in kernel.all_routes() {
            if !self.is_ours(&Item::Route(it.route.key), it.protocol) {
                routes.entry(it.route.key).or_default().push(it.clone());
            }
        }
        let mut rules = kernel.rules().to_vec();
        rules.retain(|(rule, protocol)| !self.is_ours(&Item::Rule(rule.clone()), *protocol));
        Foreign {
            addresses,
            routes,
            rules,
        }
    }

    /// Lets the kernel take away what is over: of others, nothing else.
    pub(super) fn expire(&self, kernel: &mut FakeKernel, now: Instant) {
        let is_over = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        let mut before = self.foreign(kernel).addresses;
        before.retain(|(_, it)| !is_over(it.valid_until));
        kernel.handle_timeout(now);
        let after = self.foreign(kernel).addresses;
        assert_eq!(after, before, "what is not ours goes with what is over");
    }

    /// Looks at a request before the kernel does it; returns what of others is there.
    pub(super) fn before(
        &self,
        kernel: &FakeKernel,
        request: &KernelRequest,
        now: Instant,
    ) -> Foreign {
        let foreign = self.foreign(kernel);
        let KernelRequest::DeleteAddress { index, address, .. } = request else {
            return foreign;
        };
        let Some(standing) = self.standing.get(index) else {
            return foreign;
        };
        let has_carrier = kernel.links().get(index).is_some_and(|link| link.carrier);
        assert!(
            self.lets_go
                || !has_carrier
                || address.address != IpAddr::V4(standing.address)
                || standing.until <= now + ROUNDING
                || now < standing.since + NOTICE,
            "{address} goes, and is leased"
        );
        foreign
    }

    /// Looks at what a request has done to what is not ours; `is_late` says that the daemon has yet to read what others did.
    pub(super) fn after(
        &mut self,
        kernel: &FakeKernel,
        request: &KernelRequest,
        answer: &KernelAnswer,
        before: Foreign,
        is_late: bool,
    ) {
        let mut expected = before;
        if is_late && let KernelRequest::ReplaceAddress(request) = request {
            let item = Item::Address(request.index, request.address);
            let is_theirs = expected.addresses.iter().any(|it| is_at(it, request));
            if is_theirs && self.lost_last.contains(&item) {
                self.crossed.insert(item);
            }
        }
        self.take_made(request, answer, &expected);
        match request {
            // Somebody else's address with the same bits is made to last in its place.
            KernelRequest::ReplaceAddress(request) => {
                expected.addresses.retain(|it| !is_at(it, request));
            }
            // With the last address of a link go all its IPv4 routes: the kernel does that. What others have put in the place of
            // ours a moment ago goes for ours.
            KernelRequest::DeleteAddress { index, address, .. } => {
                if is_late {
                    expected
                        .addresses
                        .retain(|(of, it)| of != index || it.prefix != *address);
                }
                let mut addresses = kernel.addresses().iter();
                let has_ipv4 = addresses.any(|(of, it)| of == index && it.prefix.address.is_ipv4());
                expected.keep_routes(|it| {
                    has_ipv4
                        || address.address.is_ipv6()
                        || !it.leaves_by(*index)
                        || it.key.to.address.is_ipv6()
                });
            }
            // The kernel's own link-local address goes with IPv6, and whoever takes a link down means its routes.
            KernelRequest::SetUp { index, up: false } => {
                expected.keep_routes(|it| !it.leaves_by(*index));
                expected
                    .addresses
                    .retain(|(of, it)| of != index || it.prefix.address.is_ipv4());
            }
            KernelRequest::ReplaceRoute(_)
            | KernelRequest::SetUp { .. }
            | KernelRequest::SetMtu { .. }
            | KernelRequest::SetMac { .. }
            | KernelRequest::AddAddress(_)
            | KernelRequest::AddRoute(_)
            | KernelRequest::DeleteRoute(_)
            | KernelRequest::AddRule(_)
            | KernelRequest::DeleteRule(_)
            | KernelRequest::ReadSwitch { .. }
            | KernelRequest::ReadPrefixRoute { .. }
            | KernelRequest::SetSwitch { .. } => {}
        }
        let mut after = self.foreign(kernel);
        // What others have put in the place of ours a moment ago, or before it, goes for ours: one route.
        if is_late && let KernelRequest::ReplaceRoute(route) = request {
            let left = after.routes.get(&route.key).cloned().unwrap_or_default();
            let there = expected.routes.remove(&route.key).unwrap_or_default();
            let is_one = there.len() <= left.len() + 1;
            assert!(
                is_one && left.iter().all(|it| there.contains(it)),
                "{there:?}"
            );
            if !left.is_empty() {
                expected.routes.insert(route.key, left);
            }
        }
        if let KernelRequest::ReplaceAddress(request) = request {
            after.addresses.retain(|it| !is_at(it, request));
        }
        assert_eq!(after, expected, "{request:?} changed what is not ours");
        if made_on(request).is_some_and(|index| self.left.contains(&index))
            && let Some(item) = made_by(request)
        {
            self.made.remove(&item);
        }
    }

    /// Takes word of a request that goes out.
    pub(super) fn asked_for(&mut self, request: &KernelRequest) {
        self.tried.extend(made_by(request));
    }

    /// Follows what has come of a request.
    fn take_made(&mut self, request: &KernelRequest, answer: &KernelAnswer, foreign: &Foreign) {
        // A lease is ours to end; an administrator's address that is made to last stays his.
        let stays_theirs = match request {
            KernelRequest::ReplaceAddress(request) => {
                let is_leased = match request.address.address {
                    IpAddr::V4(v4) => is_leased(v4),
                    IpAddr::V6(_) => request.valid.is_some(),
                };
                !is_leased && foreign.addresses.iter().any(|it| is_at(it, request))
            }
            KernelRequest::AddAddress(_)
            | KernelRequest::AddRoute(_)
            | KernelRequest::ReplaceRoute(_)
            | KernelRequest::AddRule(_)
            | KernelRequest::SetUp { .. }
            | KernelRequest::SetMtu { .. }
            | KernelRequest::SetMac { .. }
            | KernelRequest::DeleteAddress { .. }
            | KernelRequest::DeleteRoute(_)
            | KernelRequest::DeleteRule(_)
            | KernelRequest::ReadSwitch { .. }
            | KernelRequest::ReadPrefixRoute { .. }
            | KernelRequest::SetSwitch { .. } => false,
        };
        if *answer == KernelAnswer::Done && !stays_theirs {
            let made = made_by(request).filter(|made| !self.crossed.contains(made));
            self.made.extend(made);
        }
    }
}

/// What a request makes or changes is in the journal on the disk when it goes out.
pub(super) fn check_written(journal: &str, request: &KernelRequest) {
    let was = |index: u32| format!("was {index} ");
    let begins = match request {
        KernelRequest::AddAddress(AddressRequest { index, address, .. })
        | KernelRequest::DeleteAddress { index, address, .. } => {
            format!("address {index} {address} ")
        }
        KernelRequest::AddRoute(route)
        | KernelRequest::ReplaceRoute(route)
        | KernelRequest::DeleteRoute(route) => {
            let RouteKey {
                table, to, metric, ..
            } = route.key;
            format!("route {table} {to} {metric} ")
        }
        KernelRequest::AddRule(rule) | KernelRequest::DeleteRule(rule) => {
            format!(
                "rule {} {} ",
                if rule.is_ipv6 { 6 } else { 4 },
                rule.priority
            )
        }
        KernelRequest::SetUp { index, .. } => was(*index) + "up ",
        KernelRequest::SetMtu { index, .. } => was(*index) + "mtu ",
        KernelRequest::SetMac { index, .. } => was(*index) + "mac ",
        KernelRequest::SetSwitch { .. } => "was ".to_owned(),
        // An administrator's address that is made to last stays his.
        KernelRequest::ReplaceAddress(_)
        | KernelRequest::ReadSwitch { .. }
        | KernelRequest::ReadPrefixRoute { .. } => return,
    };
    assert!(
        journal.lines().any(|line| line.starts_with(&begins)),
        "{request:?} is not written down: {journal}"
    );
}

/// Returns what a request would make.
fn made_by(request: &KernelRequest) -> Option<Item> {
    match request {
        KernelRequest::AddAddress(request) | KernelRequest::ReplaceAddress(request) => {
            Some(Item::Address(request.index, request.address))
        }
        KernelRequest::AddRoute(route) | KernelRequest::ReplaceRoute(route) => {
            Some(Item::Route(route.key))
        }
        KernelRequest::AddRule(rule) => Some(Item::Rule(rule.clone())),
        KernelRequest::SetUp { .. }
        | KernelRequest::SetMtu { .. }
        | KernelRequest::SetMac { .. }
        | KernelRequest::DeleteAddress { .. }
        | KernelRequest::DeleteRoute(_)
        | KernelRequest::DeleteRule(_)
        | KernelRequest::ReadSwitch { .. }
        | KernelRequest::ReadPrefixRoute { .. }
        | KernelRequest::SetSwitch { .. } => None,
    }
}

/// Returns the link on which a request makes something.
fn made_on(request: &KernelRequest) -> Option<u32> {
    match made_by(request)? {
        Item::Address(index, _) | Item::Setting(index, _) => Some(index),
        Item::Route(_) => {
            if let KernelRequest::AddRoute(route) | KernelRequest::ReplaceRoute(route) = request {
                route.index()
            } else {
                None
            }
        }
        Item::Rule(_) => None,
    }
}

/// Whether an address of a link is the one that a request is about.
fn is_at((index, it): &(u32, FakeAddress), request: &AddressRequest) -> bool {
    *index == request.index && it.prefix.address == request.address.address
}

impl Host {
    /// Looks at what holds at every moment.
    pub(super) fn check(&self) {
        let rules = &self.rules;
        if self.daemon.is_some()
            && let Some(open) = rules.open_by_client.values().next()
        {
            let waits = self.now.since(open.at);
            assert!(waits <= PATIENCE, "{} waits for {waits:?}", open.name);
        }
        for (index, it) in self.kernel.addresses() {
            let IpAddr::V4(v4) = it.prefix.address else {
                continue;
            };
            // What was asked for before the sleep may be done after it, and is undone then.
            let is_awake = self.now >= rules.woke_at + NOTICE;
            let item = Item::Address(*index, it.prefix);
            if !rules.is_ours(&item, it.protocol) || !is_leased(v4) || !is_awake {
                continue;
            }
            let until = rules.leased_until.get(&v4);
            assert!(
                until.is_some_and(|until| *until + ROUNDING >= self.now),
                "{v4} is on link {index} after its lease: {it:?}"
            );
        }
    }

    /// Returns everything in the kernel that is ours, in words.
    pub(super) fn ours(&self) -> Vec<String> {
        let addresses = self.kernel.addresses().iter();
        let addresses = addresses
            .filter(|(index, it)| {
                let item = Item::Address(*index, it.prefix);
                self.rules.is_ours(&item, it.protocol)
            })
            .map(|(index, it)| format!("{} on {index}", it.prefix));
        let routes = self.own_routes();
        let routes = routes.map(|it| format!("{:?} by {:?}", it.route.key, it.route.index()));
        let rules = self.own_rules().map(|rule| format!("{rule:?}"));
        addresses.chain(routes).chain(rules).collect()
    }

    pub(super) fn own_routes(&self) -> impl Iterator<Item = &FakeRoute> {
        let routes = self.kernel.all_routes();
        routes.filter(|it| self.rules.is_ours(&Item::Route(it.route.key), it.protocol))
    }

    pub(super) fn own_rules(&self) -> impl Iterator<Item = &PolicyRule> {
        let rules = self.kernel.rules().iter();
        rules
            .filter(|(rule, protocol)| self.rules.is_ours(&Item::Rule(rule.clone()), *protocol))
            .map(|(rule, _)| rule)
    }

    /// Our addresses are of the networks that links lead to, or of the configuration.
    pub(super) fn check_leavings(&self, fixed: &[Prefix]) {
        for (index, it) in self.kernel.addresses() {
            let item = Item::Address(*index, it.prefix);
            if !self.rules.is_ours(&item, it.protocol) || fixed.contains(&it.prefix) {
                continue;
            }
            let network = self.network_by_index.get(index);
            let network = network.map(|number| &self.networks[number]);
            let fits = match it.prefix.address {
                IpAddr::V4(v4) => {
                    network.is_some_and(|network| v4.octets()[..3] == network.dhcp4.net)
                }
                // What routers of elsewhere gave is deprecated, and ends by itself.
                IpAddr::V6(_) => it.valid_until.is_some(),
            };
            assert!(fits, "{} is left on {index}", it.prefix);
        }
        for it in self.own_routes() {
            for hop in &it.route.hops {
                let Some(IpAddr::V4(via)) = hop.via else {
                    continue;
                };
                let network = self.network_by_index.get(&hop.index);
                let net = network.map(|number| self.networks[number].dhcp4.net);
                let fits = net.is_some_and(|net| via.octets()[..3] == net);
                assert!(fits, "{it:?} is left");
            }
        }
    }
}

/// Whether an address is of a DHCP server's range.
fn is_leased(address: Ipv4Addr) -> bool {
    let [a, _, _, host] = address.octets();
    (a == 10 || a == 192) && (100..200).contains(&host)
}
