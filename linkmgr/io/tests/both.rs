//! Does the real kernel do what the fake one does? The same story on both, and the same tables in the end.
//!
//! The real one is that of a network namespace, in which the test runs itself again.

#![expect(clippy::unwrap_used, reason = "a test may fail at any line")]

mod namespace;
#[path = "both/places.rs"]
mod places;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use config::model::{
    AddressAttributes, AddressLabel, AddressScope, ConflictUse, PolicyRule, Prefix, ProfileId,
    RouteKind, RouteTuning,
};
use config::time::Instant;
use linkmgr::fake::{FakeAddress, FakeKernel, FakeRoute};
use linkmgr::kernel::{NextHop, OwnRoute};
use linkmgr::request::AddressRequest;
use linkmgr::{
    Boot, Item, ItemState, KernelAnswer, KernelEvent, KernelRequest, LinkManager, LinkMessage,
    StopLevel, Usability,
};
use linkmgr_io::{Monitor, Performer, boot};
use policy::facts::{Preference, Supplier};
use policy::links::{AddressPlan, Clients, HopPlan, RouteKey, RoutePlan, Switch};
use policy::{LinkId, LinkPlan, LinksPlan};

use namespace::in_namespace;

const NOW: Instant = Instant::from_nanos(1_000_000_000_000);
/// The kernel has told when it answers; only the reading of it takes time.
const QUIET: Duration = Duration::from_millis(50);

/// A kernel that can be asked, and that tells.
trait Kernel {
    fn ask(&mut self, request: &KernelRequest) -> KernelAnswer;
    /// Others' routes to these destinations are heard of.
    fn hear_of(&mut self, destinations: &[Prefix]);
    async fn events(&mut self) -> Vec<KernelEvent>;
    async fn listing(&mut self) -> Vec<KernelEvent>;
    /// Somebody else adds an address to `home0`, or takes it away.
    fn others(&mut self, index: u32, address: &str, is_there: bool);
    /// Somebody else puts a route beside ours, before all that are there or behind them, or takes it away (`None`).
    fn beside(&mut self, theirs: &OwnRoute, is_first: Option<bool>);
    /// A second passes, more or less.
    async fn pass(&mut self);
    /// A link is taken away.
    fn lose(&mut self, name: &str, index: u32);
}

struct Real {
    monitor: Monitor,
    performer: Performer,
}

impl Kernel for Real {
    fn ask(&mut self, request: &KernelRequest) -> KernelAnswer {
        let answers = self
            .performer
            .perform(&[(linkmgr::RequestId(1), request.clone())]);
        answers[0].1.clone()
    }

    fn hear_of(&mut self, destinations: &[Prefix]) {
        self.monitor.hear_of(destinations);
    }

    async fn events(&mut self) -> Vec<KernelEvent> {
        let mut events = Vec::new();
        while let Ok(more) = tokio::time::timeout(QUIET, self.monitor.next()).await {
            events.extend(more.unwrap());
        }
        events
    }

    async fn listing(&mut self) -> Vec<KernelEvent> {
        let mut monitor = Monitor::open().unwrap();
        let mut events = Vec::new();
        while events.last() != Some(&KernelEvent::ListingEnds) {
            events.extend(monitor.next().await.unwrap());
        }
        events
    }

    fn others(&mut self, _index: u32, address: &str, is_there: bool) {
        let verb = if is_there { "add" } else { "del" };
        ip(&format!("address {verb} {address} dev home0"));
    }

    fn beside(&mut self, theirs: &OwnRoute, is_first: Option<bool>) {
        let verb = match is_first {
            Some(true) => "prepend",
            Some(false) => "append",
            None => "del",
        };
        let RouteKey {
            table, to, metric, ..
        } = theirs.key;
        let family = if to.address.is_ipv4() { "-4" } else { "-6" };
        let way = |hop: &NextHop| format!("via {} dev home0", hop.via.unwrap());
        let ways = match theirs.hops.as_slice() {
            [only] => way(only),
            several => {
                let ways = several.iter().map(|hop| format!("nexthop {}", way(hop)));
                ways.collect::<Vec<_>>().join(" ")
            }
        };
        ip(&format!(
            "{family} route {verb} {to} table {table} metric {metric} proto 12 {ways}"
        ));
    }

    async fn pass(&mut self) {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    fn lose(&mut self, name: &str, _index: u32) {
        ip(&format!("link del {name}"));
    }
}

impl Kernel for FakeKernel {
    fn ask(&mut self, request: &KernelRequest) -> KernelAnswer {
        self.handle_request(request, NOW)
    }

    /// Everything is, always.
    fn hear_of(&mut self, _destinations: &[Prefix]) {}

    async fn events(&mut self) -> Vec<KernelEvent> {
        std::iter::from_fn(|| self.poll_event()).collect()
    }

    async fn listing(&mut self) -> Vec<KernelEvent> {
        Self::listing(self, NOW)
    }

    fn others(&mut self, index: u32, address: &str, is_there: bool) {
        let prefix = prefix(address);
        match is_there {
            true => self.put_address(index, FakeAddress::foreign(prefix), NOW),
            false => self.take_address(index, &prefix, NOW),
        }
    }

    fn beside(&mut self, theirs: &OwnRoute, is_first: Option<bool>) {
        match is_first {
            Some(is_first) => assert!(self.put_beside(theirs, 12, is_first, NOW)),
            None => {
                let is_it = |it: &&FakeRoute| {
                    (it.protocol, &it.route.key, &it.route.hops) == (12, &theirs.key, &theirs.hops)
                };
                let there = self.all_routes().find(is_it).unwrap().clone();
                self.take_this_route(&there, NOW);
            }
        }
    }

    async fn pass(&mut self) {
        self.handle_timeout(NOW + Duration::from_secs(1));
    }

    fn lose(&mut self, _name: &str, index: u32) {
        self.remove_link(index, NOW);
    }
}

struct Machine<K> {
    kernel: K,
    links: LinkManager,
    journal: Option<String>,
    boot: Boot,
    sent: Vec<KernelRequest>,
    now: Instant,
}

impl<K: Kernel> Machine<K> {
    async fn start(kernel: K, boot: Boot) -> Self {
        let mut machine = Self {
            kernel,
            links: LinkManager::default(),
            journal: None,
            boot,
            sent: Vec::new(),
            now: NOW,
        };
        machine.restart().await;
        machine
    }

    /// The daemon dies, and another one takes its place.
    async fn restart(&mut self) {
        self.links = LinkManager::default();
        self.links.load_journal(self.journal.as_deref(), &self.boot);
        self.kernel.events().await;
        for event in self.kernel.listing().await {
            self.links.handle_event(event, self.now);
        }
    }

    async fn apply(&mut self, plan: LinksPlan) {
        self.links.apply_plan(Arc::new(plan), self.now);
        self.drive().await;
    }

    /// Takes it that so much time is over.
    async fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.links.handle_timeout(self.now);
        self.drive().await;
    }

    async fn drive(&mut self) {
        loop {
            let mut is_busy = false;
            if let Some(journal) = self.links.poll_journal() {
                self.journal = Some(journal.text);
                self.links.handle_journal(journal.version, true, self.now);
                is_busy = true;
            }
            if let Some(destinations) = self.links.poll_destinations() {
                self.kernel.hear_of(&destinations);
            }
            while let Some((id, request)) = self.links.poll_request(self.now) {
                let answer = self.kernel.ask(&request);
                if let KernelAnswer::Failed(fault) = &answer {
                    let _shown = writeln!(std::io::stderr(), "{request:?}: {fault}");
                }
                self.sent.push(request);
                self.links.handle_answer(id, answer, self.now);
                is_busy = true;
            }
            for event in self.kernel.events().await {
                self.links.handle_event(event, self.now);
                is_busy = true;
            }
            if !is_busy {
                return;
            }
        }
    }

    /// Returns what was asked for, but for leases: the real kernel's lifetimes go on while the test runs.
    fn asked_since(&self, before: usize) -> Vec<String> {
        let is_lease = |it: &&KernelRequest| matches!(it, KernelRequest::ReplaceAddress(it) if it.valid.is_some());
        let asked = self.sent[before..].iter().filter(|it| !is_lease(it));
        let kind = |it: &KernelRequest| {
            let words = format!("{it:?}");
            words.split(['(', ' ']).next().unwrap().to_owned()
        };
        asked.map(kind).collect()
    }

    /// The same of one route.
    fn asked_at(&self, place: &RouteKey, before: usize) -> Vec<&str> {
        let asked = self.sent[before..].iter();
        let asked = asked.filter_map(|it| {
            if let KernelRequest::DeleteRoute(route) = it {
                return Some(("DeleteRoute", route));
            }
            let is_new = matches!(it, KernelRequest::AddRoute(_));
            let word = if is_new { "AddRoute" } else { "ReplaceRoute" };
            Some((word, it.route()?))
        });
        let asked = asked.filter(|(_, route)| route.key == *place);
        asked.map(|(word, _)| word).collect()
    }

    /// One of ours ends by itself, and somebody else has one of its prefix; returns what is left.
    async fn end_of_an_address(&mut self, promotes: i32) -> Vec<String> {
        let index = self.id("home0").index;
        let switch = KernelRequest::SetSwitch {
            link: "home0".into(),
            switch: Switch::Promote4,
            value: promotes,
        };
        let lease = AddressRequest {
            index,
            address: prefix("192.0.2.10/24"),
            preferred: Some(1),
            valid: Some(1),
            temporaries: false,
            no_prefix_route: false,
            metric: 0,
            attributes: AddressAttributes::default(),
        };
        for request in [switch, KernelRequest::AddAddress(lease)] {
            assert_eq!(self.kernel.ask(&request), KernelAnswer::Done);
        }
        self.kernel.others(index, "192.0.2.77/24", true);
        let is_lease = |line: &String| line.contains("192.0.2.10");
        for _ in 0..30 {
            self.kernel.pass().await;
            let left = self.tables().await;
            if !left.iter().any(is_lease) {
                return left;
            }
        }
        panic!("it does not end");
    }

    fn id(&self, name: &str) -> LinkId {
        let mut facts = self.links.facts().iter();
        let (id, _) = facts.find(|(_, facts)| &*facts.name == name).unwrap();
        *id
    }

    /// Returns what is there that concerns us, in words that do not depend on the machine.
    async fn tables(&mut self) -> Vec<String> {
        let index = self.id("home0").index;
        let mut lines: Vec<String> = self
            .kernel
            .listing()
            .await
            .into_iter()
            .filter_map(|event| match event {
                KernelEvent::Link(link) if link.index == index => {
                    Some(format!("link up {} mtu {}", link.admin_up, link.mtu))
                }
                KernelEvent::Address(mut address) if address.index == index => {
                    let is_local = address.address.to_string().starts_with("fe80:");
                    address.index = 0;
                    // The fake one proves uniqueness at once.
                    address.usability = Usability::Usable;
                    // Lifetimes go on while the test runs.
                    let rounded = |seconds: u32| seconds.next_multiple_of(100);
                    address.valid = address.valid.map(rounded);
                    address.preferred = address.preferred.map(rounded);
                    (!is_local).then(|| format!("{address:?}"))
                }
                KernelEvent::OwnRoute(mut route) => {
                    let place = |of: u32| if of == index { 0 } else { 1 };
                    for hop in &mut route.hops {
                        hop.index = place(hop.index);
                    }
                    route.hops.sort();
                    Some(format!("{route:?}"))
                }
                KernelEvent::Rule(rule) => Some(format!("{rule:?}")),
                KernelEvent::ListingBegins
                | KernelEvent::ListingEnds
                | KernelEvent::Link(_)
                | KernelEvent::LinkGone { .. }
                | KernelEvent::Address(_)
                | KernelEvent::AddressGone { .. }
                | KernelEvent::Route(_)
                | KernelEvent::RoutesReplaced(_)
                | KernelEvent::RouteGone(_)
                | KernelEvent::OwnRouteGone(_)
                | KernelEvent::PlaceTaken(_)
                | KernelEvent::PlaceShared { .. }
                | KernelEvent::PlaceLeft(_)
                | KernelEvent::RuleGone(_)
                | KernelEvent::RuleTaken { .. }
                | KernelEvent::RuleFreed { .. }
                | KernelEvent::Switches { .. } => None,
            })
            .collect();
        lines.sort();
        // The real monitor lists our routes of the main table twice.
        lines.dedup();
        lines
    }
}

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix {
        address: address.parse().unwrap(),
        length: length.parse().unwrap(),
    }
}

fn lasting() -> AddressPlan {
    AddressPlan {
        supplier: None,
        preferred_until: None,
        valid_until: None,
        temporaries: false,
        no_prefix_route: false,
        metric: 0,
        attributes: AddressAttributes::default(),
        conflicts: ConflictUse::Ignore,
    }
}

fn leased(seconds: u64) -> AddressPlan {
    let until = Some(NOW + Duration::from_secs(seconds));
    AddressPlan {
        supplier: Some(Supplier::Dhcp4),
        preferred_until: until,
        valid_until: until,
        ..lasting()
    }
}

fn ranked(address: AddressPlan, metric: u32) -> AddressPlan {
    AddressPlan { metric, ..address }
}

fn key(table: u32, to: &str, metric: u32) -> RouteKey {
    RouteKey {
        table,
        to: prefix(to),
        metric,
        from: None,
    }
}

fn through(via: &[&str]) -> RoutePlan {
    let hop = |via: &&str| HopPlan {
        weight: 2,
        ..HopPlan::through(via.parse().unwrap())
    };
    RoutePlan {
        supplier: None,
        kind: RouteKind::Unicast,
        via: via.iter().map(hop).collect(),
        on_link: false,
        source: None,
        mtu: None,
        preference: Preference::Medium,
        tuning: RouteTuning::default(),
        valid_until: None,
    }
}

fn full() -> LinkPlan {
    let mut plan = LinkPlan {
        name: "home0".into(),
        profile: ProfileId("home".into()),
        admin_up: Some(true),
        mtu: Some(1400),
        mac: None,
        addresses: BTreeMap::new(),
        routes: BTreeMap::new(),
        switches: [(Switch::AcceptRa, 0), (Switch::Forwarding4, 1)].into(),
        clients: Clients::default(),
    };
    plan.addresses.insert(prefix("192.0.2.10/24"), lasting());
    plan.addresses
        .insert(prefix("192.0.2.11/24"), ranked(leased(3600), 50));
    plan.addresses.insert(prefix("2001:db8::10/64"), lasting());
    plan.addresses
        .insert(prefix("2001:db8:2::10/64"), ranked(lasting(), 50));
    let blackhole = RoutePlan {
        kind: RouteKind::Blackhole,
        ..through(&[])
    };
    let narrow = RoutePlan {
        mtu: Some(1300),
        source: Some("192.0.2.10".parse().unwrap()),
        ..through(&["192.0.2.3"])
    };
    let on_link = RoutePlan {
        on_link: true,
        ..through(&["203.0.113.9"])
    };
    let rows = [
        (key(254, "0.0.0.0/0", 100), through(&["192.0.2.1"])),
        (key(254, "10.0.0.0/8", 50), narrow),
        (key(1000, "10.1.0.0/16", 0), on_link),
        (key(254, "10.2.0.0/16", 7), blackhole.clone()),
        (key(254, "10.3.0.0/16", 7), through(&[])),
        (
            key(254, "10.4.0.0/16", 7),
            through(&["192.0.2.4", "192.0.2.5"]),
        ),
        (key(254, "::/0", 100), through(&["2001:db8::1"])),
        (key(254, "2001:db8:5::/48", 9), through(&["fe80::1"])),
        (
            key(254, "2001:db8:6::/48", 9),
            through(&["2001:db8::6", "2001:db8::7"]),
        ),
        (key(254, "2001:db8:7::/48", 9), blackhole),
        // RFC 8950.
        (key(254, "10.5.0.0/16", 7), through(&["fe80::1"])),
        // Nobody leads there.
        (key(254, "10.9.0.0/16", 9), through(&["198.51.100.1"])),
    ];
    plan.routes.extend(rows);
    plan
}

fn rules() -> [PolicyRule; 3] {
    let plain = PolicyRule {
        priority: 100,
        is_ipv6: false,
        from: Some(prefix("192.0.2.0/24")),
        to: None,
        mark: None,
        incoming: None,
        outgoing: None,
        table: Some(1000),
        kind: RouteKind::Unicast,
        suppress_length: None,
        invert: false,
        ..PolicyRule::default()
    };
    let marked = PolicyRule {
        priority: 101,
        from: None,
        mark: Some((7, 255)),
        invert: true,
        suppress_length: Some(0),
        ..plain.clone()
    };
    let forbidden = PolicyRule {
        priority: 102,
        is_ipv6: true,
        from: Some(prefix("2001:db8:9::/48")),
        table: None,
        kind: RouteKind::Prohibit,
        ..plain.clone()
    };
    [plain, marked, forbidden]
}

/// Tells a story, and returns the tables after each part of it.
async fn story<K: Kernel>(mut machine: Machine<K>) -> Vec<Vec<String>> {
    let mut parts = vec![machine.tables().await];
    let plan = |machine: &Machine<K>, link: LinkPlan| LinksPlan {
        links: [(machine.id("home0"), link)].into(),
        rules: rules().into(),
        ..LinksPlan::default()
    };
    let wanted = plan(&machine, full());
    machine.apply(wanted.clone()).await;
    parts.push(machine.tables().await);

    // Nothing is asked twice but what has failed, also not by the next daemon.
    let before = machine.sent.len();
    machine.restart().await;
    machine.apply(wanted).await;
    parts.push(machine.asked_since(before));

    let mut other = full();
    other
        .addresses
        .insert(prefix("192.0.2.11/24"), ranked(leased(7200), 60));
    other
        .addresses
        .insert(prefix("2001:db8:2::10/64"), lasting());
    // The first address of a prefix goes, the second one stays, and so does one of which nobody has heard yet.
    let index = machine.id("home0").index;
    machine.kernel.others(index, "192.0.2.77/24", true);
    other.addresses.remove(&prefix("192.0.2.10/24"));
    other.addresses.remove(&prefix("2001:db8::10/64"));
    other
        .addresses
        .insert(prefix("2001:db8::10/128"), lasting());
    other.addresses.insert(prefix("2001:db8::11/64"), lasting());
    let narrow = through(&["192.0.2.6"]);
    other.routes.insert(key(254, "10.0.0.0/8", 50), narrow);
    other.routes.remove(&key(254, "10.4.0.0/16", 7));
    other.routes.remove(&key(254, "2001:db8:6::/48", 9));
    let wanted = plan(&machine, other);
    machine.apply(wanted.clone()).await;
    parts.push(machine.tables().await);

    let before = machine.sent.len();
    machine.restart().await;
    machine.apply(wanted).await;
    parts.push(machine.asked_since(before));

    for part in over_two_links(&mut machine).await {
        parts.push(part);
    }
    for part in attributes(&mut machine).await {
        parts.push(part);
    }

    for part in beside(&mut machine).await {
        parts.push(part);
    }

    // What others need stays up: that they do not is to be heard first.
    machine.kernel.others(index, "192.0.2.77/24", false);
    machine.drive().await;
    machine.links.stop(StopLevel::Clean, NOW);
    machine.drive().await;
    parts.push(machine.tables().await);

    for promotes in [0, 1] {
        parts.push(machine.end_of_an_address(promotes).await);
    }
    parts
}

/// What addresses are beside their numbers, and what becomes of them when that is to be otherwise.
async fn attributes<K: Kernel>(machine: &mut Machine<K>) -> Vec<Vec<String>> {
    let home = machine.id("home0");
    let wanted = |rows: &[(&str, AddressPlan)]| {
        let link = LinkPlan {
            addresses: rows.iter().map(|(text, it)| (prefix(text), *it)).collect(),
            routes: BTreeMap::new(),
            switches: BTreeMap::new(),
            mtu: None,
            ..full()
        };
        LinksPlan {
            links: [(home, link)].into(),
            ..LinksPlan::default()
        }
    };
    let none = AddressAttributes::default();
    let with = |attributes: AddressAttributes| AddressPlan {
        attributes,
        ..lasting()
    };
    let peer = |peer: &str| {
        with(AddressAttributes {
            peer: peer.parse().ok(),
            ..none
        })
    };
    let named = |label: &str| {
        with(AddressAttributes {
            label: AddressLabel::new(label),
            ..none
        })
    };
    let scoped = |scope| {
        with(AddressAttributes {
            scope: Some(scope),
            ..none
        })
    };
    let deprecated = AddressPlan {
        preferred_until: Some(Instant::ZERO),
        ..with(AddressAttributes {
            skips_dad: true,
            ..none
        })
    };
    let unrouted = AddressPlan {
        no_prefix_route: true,
        ..lasting()
    };
    let plans = [
        vec![
            ("192.0.2.20/32", peer("192.0.2.21")),
            ("192.0.2.30/24", named("home0:web")),
            ("192.0.2.31/24", named("home0")),
            ("10.66.0.1/24", scoped(AddressScope::Link)),
            ("10.67.0.1/24", scoped(AddressScope::Global)),
            ("2001:db8:3::1/64", deprecated),
            ("2001:db8:4::1/64", unrouted),
            ("2001:db8:5::1/128", peer("2001:db8:5::2")),
        ],
        // Lifetimes and flags of IPv6 change in place, the rest anew.
        vec![
            ("192.0.2.20/32", peer("192.0.2.22")),
            ("192.0.2.30/24", named("home0:other")),
            ("192.0.2.31/24", lasting()),
            ("10.66.0.1/24", lasting()),
            ("10.67.0.1/24", lasting()),
            ("2001:db8:3::1/64", lasting()),
            ("2001:db8:4::1/64", lasting()),
            ("2001:db8:5::1/128", peer("2001:db8:5::3")),
        ],
    ];
    let mut parts = Vec::new();
    for rows in plans {
        let before = machine.sent.len();
        machine.apply(wanted(&rows)).await;
        parts.push(machine.tables().await);
        parts.push(machine.asked_since(before));
        let before = machine.sent.len();
        machine.restart().await;
        machine.apply(wanted(&rows)).await;
        assert_eq!(machine.asked_since(before), Vec::<String>::new());
    }
    let asked = parts.last().cloned().unwrap_or_default();
    let count = |word: &str| asked.iter().filter(|it| *it == word).count();
    let changes = ["AddAddress", "ReplaceAddress", "DeleteAddress"].map(count);
    assert_eq!(changes, [4, 2, 4], "{asked:?}");
    parts
}

/// Routes over two links, and what becomes of them when one goes down, loses its address, is left out and is gone.
async fn over_two_links<K: Kernel>(machine: &mut Machine<K>) -> Vec<Vec<String>> {
    let (home, wan) = (machine.id("home0"), machine.id("wan0"));
    let before = machine.sent.len();
    let hop = |via: &str, link, weight| HopPlan {
        link,
        weight,
        ..HopPlan::through(via.parse().unwrap())
    };
    let by = |ways: &[HopPlan]| RoutePlan {
        via: ways.to_vec(),
        ..through(&[])
    };
    let wanted = |ways4: &[HopPlan], ways6: &[HopPlan]| {
        let mut first = LinkPlan {
            addresses: [
                (prefix("192.0.2.10/24"), lasting()),
                (prefix("2001:db8::10/64"), lasting()),
            ]
            .into(),
            routes: BTreeMap::new(),
            switches: BTreeMap::new(),
            mtu: None,
            ..full()
        };
        first.routes.insert(key(254, "0.0.0.0/0", 100), by(ways4));
        first.routes.insert(key(254, "::/0", 100), by(ways6));
        let second = LinkPlan {
            name: "wan0".into(),
            addresses: [
                (prefix("198.51.100.10/24"), lasting()),
                (prefix("2001:db8:8::10/64"), lasting()),
            ]
            .into(),
            routes: BTreeMap::new(),
            ..first.clone()
        };
        LinksPlan {
            links: [(home, first), (wan, second)].into(),
            ..LinksPlan::default()
        }
    };
    let one4 = hop("192.0.2.1", None, 3);
    let one6 = hop("2001:db8::1", None, 3);
    let both4 = [one4, hop("198.51.100.1", Some(wan), 1)];
    let both6 = [one6, hop("2001:db8:8::1", Some(wan), 1)];
    let mut parts = Vec::new();
    machine.apply(wanted(&both4, &both6)).await;
    parts.push(machine.tables().await);
    let settled = machine.sent.len();
    machine.restart().await;
    machine.apply(wanted(&both4, &both6)).await;
    parts.push(machine.asked_since(settled));

    // One leaves, and comes back, each in one request for each family.
    for ways in [(&both4[..1], &both6[..1]), (&both4[..], &both6[..])] {
        let settled = machine.sent.len();
        machine.apply(wanted(ways.0, ways.1)).await;
        parts.push(machine.tables().await);
        parts.push(machine.asked_since(settled));
        assert_eq!(
            machine.sent.len() - settled,
            2,
            "{:?}",
            &machine.sent[settled..]
        );
    }

    // The link goes: IPv4 routes go whole, IPv6 ones go on. What was planned is asked for again, and is refused.
    machine.kernel.lose("wan0", wan.index);
    machine.drive().await;
    machine.apply(wanted(&both4[..1], &both6[..1])).await;
    parts.push(machine.tables().await);
    let settled = machine.sent.len();
    machine.restart().await;
    machine.apply(wanted(&both4[..1], &both6[..1])).await;
    parts.push(machine.asked_since(settled));
    assert!(machine.sent.len() > before);
    parts
}

/// Others put routes beside ours while nobody hears of it: before the daemon is there again, or between two listings. Theirs stay, and ours
/// changes when it is alone.
async fn beside<K: Kernel>(machine: &mut Machine<K>) -> Vec<Vec<String>> {
    let mut parts = Vec::new();
    let id = machine.id("home0");
    let rows = [
        (
            "10.77.0.0/16",
            ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"],
        ),
        (
            "2001:db8:77::/48",
            ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4"],
        ),
        (
            "0.0.0.0/0",
            ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"],
        ),
        (
            "::/0",
            ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4"],
        ),
    ];
    for table in [254, 1001] {
        for (to, [ours, later, theirs, others]) in rows {
            let place = key(table, to, 70);
            let plan = |via: &str| {
                let mut link = full();
                link.routes.insert(
                    place,
                    RoutePlan {
                        via: vec![HopPlan::through(via.parse().unwrap())],
                        ..through(&[])
                    },
                );
                LinksPlan {
                    links: [(id, link)].into(),
                    ..LinksPlan::default()
                }
            };
            let by = |via: &str| OwnRoute {
                key: place,
                kind: RouteKind::Unicast,
                hops: vec![NextHop::only(id.index, via.parse().ok())],
                on_link: false,
                source: None,
                mtu: None,
                preference: Preference::Medium,
                tuning: RouteTuning::default(),
                valid: None,
            };
            for is_first in [true, false] {
                machine.apply(plan(ours)).await;
                machine.kernel.beside(&by(theirs), Some(is_first));
                machine.kernel.beside(&by(others), Some(!is_first));
                machine.restart().await;
                let before = machine.sent.len();
                machine.apply(plan(later)).await;
                machine.wait(Duration::from_secs(15)).await;
                assert_eq!(machine.asked_at(&place, before), [""; 0], "{to} in {table}");
                let items = machine.links.items(Some(id));
                let mut items = items.into_iter();
                let state = items.find(|(item, _)| *item == Item::Route(place));
                assert_eq!(state.unwrap().1, ItemState::Foreign, "{to} in {table}");
                parts.push(machine.tables().await);
                // Nobody has heard of that either.
                machine.kernel.beside(&by(theirs), None);
                machine.kernel.events().await;
                for event in machine.kernel.listing().await {
                    machine.links.handle_event(event, machine.now);
                }
                machine.drive().await;
                assert_eq!(machine.asked_at(&place, before), [""; 0]);
                machine.kernel.beside(&by(others), None);
                machine.drive().await;
                machine.wait(Duration::from_secs(15)).await;
                let asked = machine.asked_at(&place, before);
                assert_eq!(asked, ["ReplaceRoute"], "{to} in {table}");
                parts.push(machine.tables().await);
            }
            if place.to.address.is_ipv6() {
                machine.apply(plan(ours)).await;
                let before = machine.sent.len();
                let several = [theirs, others].map(|via| NextHop::only(id.index, via.parse().ok()));
                let several = OwnRoute {
                    hops: several.into(),
                    ..by(theirs)
                };
                // The kernel says that with our number.
                machine.kernel.beside(&several, Some(false));
                machine.drive().await;
                machine.apply(plan(later)).await;
                machine.wait(Duration::from_secs(15)).await;
                assert_eq!(machine.asked_at(&place, before), [""; 0], "{to} in {table}");
                parts.push(machine.tables().await);
                machine.kernel.beside(&several, None);
                machine.drive().await;
                machine.wait(Duration::from_secs(15)).await;
                let asked = machine.asked_at(&place, before);
                assert_eq!(asked, ["ReplaceRoute"], "{to} in {table}");
                parts.push(machine.tables().await);
            }
        }
    }
    parts
}

#[test]
fn both_kernels_come_to_the_same_tables() {
    in_namespace("both_kernels_come_to_the_same_tables", compare);
}

fn ip(line: &str) {
    let status = Command::new("ip").args(line.split(' ')).status();
    assert!(status.unwrap().success(), "{line}");
}

fn shown(line: &str) -> String {
    let output = Command::new("ip").args(line.split(' ')).output().unwrap();
    assert!(output.status.success(), "{line}");
    String::from_utf8(output.stdout).unwrap()
}

/// Ours go in whatever order the kernel has their ways, and those of others at the same place stay.
async fn ways_in_any_order(kernel: Real, boot: &Boot) {
    for line in [
        "link add way0 type veth peer name way1",
        "link set way0 addrgenmode none up",
        "link set way1 addrgenmode none up",
        "address add 203.0.113.10/24 dev way0",
        "address add 2001:db8:77::10/64 dev way0 nodad",
    ] {
        ip(line);
    }
    let mut machine = Machine::start(kernel, boot.clone()).await;
    let id = machine.id("way0");
    let to4 = key(1001, "10.77.0.0/16", 50);
    let to6 = key(1001, "2001:db8:78::/48", 50);
    let plan = |routes: &[(RouteKey, RoutePlan)]| LinksPlan {
        links: [(
            id,
            LinkPlan {
                name: "way0".into(),
                addresses: BTreeMap::new(),
                routes: routes.iter().cloned().collect(),
                switches: BTreeMap::new(),
                mtu: None,
                ..full()
            },
        )]
        .into(),
        ..LinksPlan::default()
    };
    let wanted = plan(&[
        (to4, through(&["203.0.113.1", "203.0.113.2"])),
        (to6, through(&["2001:db8:77::1", "2001:db8:77::2"])),
    ]);
    let (one4, two4) = (
        "nexthop via 203.0.113.1 dev way0 weight 2",
        "nexthop via 203.0.113.2 dev way0 weight 2",
    );
    let (one6, two6) = (
        "nexthop via 2001:db8:77::1 dev way0 weight 2",
        "nexthop via 2001:db8:77::2 dev way0 weight 2",
    );
    let at4 = "10.77.0.0/16 table 1001 metric 50";
    let at6 = "2001:db8:78::/48 table 1001 metric 50";
    let tables = || shown("-4 route show table 1001") + &shown("-6 route show table 1001");
    for (ways4, ways6) in [([one4, two4], [one6, two6]), ([two4, one4], [two6, one6])] {
        let ([first4, second4], [first6, second6]) = (ways4, ways6);
        machine.apply(wanted.clone()).await;
        ip(&format!(
            "-4 route replace {at4} protocol 112 {first4} {second4}"
        ));
        ip(&format!(
            "-6 route replace {at6} protocol 112 {first6} {second6}"
        ));
        // It is what is wanted, whoever gave it the order.
        let before = machine.sent.len();
        machine.restart().await;
        machine.apply(wanted.clone()).await;
        assert_eq!(machine.asked_since(before), Vec::<String>::new());

        // Of others, at the same place, before ours and after it.
        ip(&format!(
            "-4 route append {at4} protocol 4 {first4} {second4}"
        ));
        ip(&format!(
            "-4 route prepend {at4} protocol 5 {second4} {first4}"
        ));
        machine.apply(plan(&[])).await;
        assert_eq!(machine.asked_since(before), ["DeleteRoute"; 2]);
        let left = tables();
        let count = |word: &str| left.matches(word).count();
        assert_eq!(
            [
                count("proto static"),
                count("proto 5"),
                count("10.77.0.0"),
                count("2001:db8:78:")
            ],
            [1, 1, 2, 0],
            "{left}"
        );

        // What is not there any more does not have them deleted in its place.
        let gone = KernelRequest::DeleteRoute(OwnRoute {
            key: to4,
            kind: RouteKind::Unicast,
            hops: ["203.0.113.1", "203.0.113.2"]
                .map(|via| NextHop {
                    weight: 2,
                    ..NextHop::only(id.index, via.parse().ok())
                })
                .into(),
            on_link: false,
            source: None,
            mtu: None,
            preference: Preference::Medium,
            tuning: RouteTuning::default(),
            valid: None,
        });
        let answer = machine.kernel.ask(&gone);
        assert!(
            matches!(&answer, KernelAnswer::Failed(fault) if fault.errno == libc::ESRCH),
            "{answer:?}"
        );
        assert_eq!(tables(), left);
        ip("-4 route flush table 1001");
    }
}

async fn compare() {
    for line in [
        "link set lo up",
        "link add home0 type veth peer name peer0",
        "link add wan0 type veth peer name peer1",
        "link set home0 addrgenmode none",
        "link set wan0 addrgenmode none",
        "link set peer1 up",
        "link set peer0 up",
    ] {
        ip(line);
    }
    let real = Real {
        monitor: Monitor::open().unwrap(),
        performer: Performer::open().unwrap(),
    };
    let mut fake = FakeKernel::default();
    for (index, name) in [(7, "home0"), (8, "wan0")] {
        fake.put_link(LinkMessage {
            index,
            name: name.into(),
            kind: "veth".into(),
            mtu: 1500,
            ..LinkMessage::default()
        });
    }
    let boot = boot().unwrap();
    let on_fake = story(Machine::start(fake, boot.clone()).await).await;
    let on_real = story(Machine::start(real, boot.clone()).await).await;
    for (part, (real, fake)) in on_real.iter().zip(&on_fake).enumerate() {
        let missing: Vec<_> = fake.iter().filter(|line| !real.contains(line)).collect();
        let extra: Vec<_> = real.iter().filter(|line| !fake.contains(line)).collect();
        assert_eq!(
            extra, missing,
            "part {part}: the real one has the left lines alone"
        );
    }
    let [first, .., clean, alone, promoted] = &on_real[..] else {
        panic!("{on_real:?}");
    };
    assert_eq!(clean, first, "it is as it was");
    let stays = |lines: &Vec<String>| lines.iter().any(|line| line.contains("192.0.2.77"));
    assert!(stays(promoted) && !stays(alone), "{promoted:?} {alone:?}");
    let real = Real {
        monitor: Monitor::open().unwrap(),
        performer: Performer::open().unwrap(),
    };
    ways_in_any_order(real, &boot).await;
}
