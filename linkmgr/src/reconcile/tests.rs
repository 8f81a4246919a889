//! Does the link manager make of the kernel what the plan says, ask for no more than that, and take away nothing that is not
//! its own? Rows first, then random worlds with a crash at every request.

mod addresses;
mod adopting;
mod beside;
mod cards;
mod endings;
mod former;
mod given;
mod mending;
mod metrics;
mod order;
mod random;
mod stories;
mod undone;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use config::model::{
    AddressAttributes, ConflictUse, PolicyRule, Prefix, ProfileId, RouteKind, RouteTuning,
};
use config::time::Instant;
use policy::facts::Preference;
use policy::links::{AddressPlan, Clients, HopPlan, RouteKey, RoutePlan};
use policy::{LinkId, LinkPlan, LinksPlan};

use crate::fake::FakeKernel;
use crate::{
    AddressMarks, Boot, Holder, Item, ItemState, KernelAnswer, KernelRequest, LinkManager,
    LinkMessage, Protocol, StopLevel,
};

const START: Instant = Instant::from_nanos(1_000_000_000_000);
/// More than anything here needs.
const ROUNDS: usize = 200;

/// A kernel, a link manager, and what of its journal has been kept.
struct Machine {
    kernel: FakeKernel,
    links: LinkManager,
    journal: Option<String>,
    now: Instant,
    sent: Vec<KernelRequest>,
}

impl Machine {
    fn new() -> Self {
        let mut machine = Self {
            kernel: FakeKernel::default(),
            links: LinkManager::default(),
            journal: None,
            now: START,
            sent: Vec::new(),
        };
        machine.kernel.put_link(link(2, "home0"));
        machine.kernel.put_link(link(3, "vpn0"));
        machine.start();
        machine
    }

    /// Starts a daemon on what a run before has left.
    fn start(&mut self) {
        self.kernel.lose_events();
        self.links = LinkManager::default();
        let marks = self.kernel.marks();
        self.links
            .load_journal(self.journal.as_deref(), &Boot { marks, ..boot() });
        self.list();
    }

    fn list(&mut self) {
        self.kernel.lose_events();
        for event in self.kernel.listing(self.now) {
            self.links.handle_event(event, self.now);
        }
    }

    fn apply(&mut self, plan: &LinksPlan) {
        self.links.apply_plan(Arc::new(plan.clone()), self.now);
        self.drive();
    }

    /// Does what the daemon does until nothing is left to do; returns the requests.
    fn drive(&mut self) -> Vec<KernelRequest> {
        let from = self.sent.len();
        for _ in 0..ROUNDS {
            if !self.round() {
                return self.sent[from..].to_vec();
            }
        }
        panic!("it never ends: {:#?}", &self.sent[from..]);
    }

    fn round(&mut self) -> bool {
        let mut is_busy = false;
        while let Some(event) = self.kernel.poll_event() {
            self.links.handle_event(event, self.now);
            is_busy = true;
        }
        if let Some(journal) = self.links.poll_journal() {
            self.journal = Some(journal.text);
            self.links.handle_journal(journal.version, true, self.now);
            is_busy = true;
        }
        let mut batch = Vec::new();
        while let Some(request) = self.links.poll_request(self.now) {
            batch.push(request);
        }
        for (id, request) in batch {
            let answer = self.kernel.handle_request(&request, self.now);
            self.sent.push(request);
            self.links.handle_answer(id, answer, self.now);
            is_busy = true;
        }
        is_busy
    }

    /// Lets time pass, with everything that happens meanwhile.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((at, _)) = self.links.poll_timeout()
            && at <= end
        {
            self.now = self.now.max(at);
            self.kernel.handle_timeout(self.now);
            self.links.handle_timeout(self.now);
            self.drive();
        }
        self.now = end;
        self.kernel.handle_timeout(end);
        self.drive();
    }

    fn id(&self, name: &str) -> LinkId {
        let mut facts = self.links.facts().iter();
        let found = facts.find(|(_, facts)| &*facts.name == name);
        *found.unwrap().0
    }

    fn state(&self, name: &str, item: &Item) -> ItemState {
        let items = self.links.items(Some(self.id(name)));
        let found = items.into_iter().find(|(it, _)| it == item);
        found.unwrap().1
    }

    fn prefixes(&self, index: u32) -> Vec<String> {
        let addresses = self.kernel.addresses().iter();
        let here = addresses.filter(|(of, _)| *of == index);
        here.map(|(_, it)| it.prefix.to_string()).collect()
    }
}

fn boot() -> Boot {
    Boot {
        id: "today".into(),
        marks: AddressMarks::All,
    }
}

fn link(index: u32, name: &str) -> LinkMessage {
    LinkMessage {
        index,
        name: name.into(),
        kind: "veth".into(),
        mtu: 1500,
        ..LinkMessage::default()
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

fn key(to: &str, metric: u32) -> RouteKey {
    RouteKey {
        table: 254,
        to: prefix(to),
        metric,
        from: None,
    }
}

fn through(via: &str) -> RoutePlan {
    let via = (!via.is_empty()).then(|| HopPlan::through(via.parse().unwrap()));
    RoutePlan {
        supplier: None,
        kind: RouteKind::Unicast,
        via: via.into_iter().collect(),
        on_link: false,
        source: None,
        mtu: None,
        preference: Preference::Medium,
        tuning: RouteTuning::default(),
        valid_until: None,
    }
}

fn rule(priority: u32) -> PolicyRule {
    PolicyRule {
        priority,
        is_ipv6: false,
        from: Some(prefix("192.0.2.0/24")),
        to: None,
        mark: None,
        incoming: None,
        outgoing: None,
        table: Some(100),
        kind: RouteKind::Unicast,
        suppress_length: None,
        invert: false,
        ..PolicyRule::default()
    }
}

fn up() -> LinkPlan {
    LinkPlan {
        name: "home0".into(),
        profile: ProfileId("home".into()),
        admin_up: Some(true),
        mtu: None,
        mac: None,
        addresses: BTreeMap::new(),
        routes: BTreeMap::new(),
        switches: BTreeMap::new(),
        clients: Clients::default(),
    }
}

/// An address, a default route and a route to somewhere.
fn home() -> LinkPlan {
    let mut plan = up();
    plan.addresses.insert(prefix("192.0.2.10/24"), lasting());
    plan.addresses.insert(prefix("2001:db8::10/64"), lasting());
    plan.routes
        .insert(key("0.0.0.0/0", 100), through("192.0.2.1"));
    plan.routes
        .insert(key("10.0.0.0/8", 50), through("192.0.2.2"));
    plan.routes.insert(key("::/0", 100), through("2001:db8::1"));
    plan
}

fn plan(machine: &Machine, links: &[(&str, LinkPlan)]) -> LinksPlan {
    let links = links.iter();
    LinksPlan {
        links: links
            .map(|(name, plan)| (machine.id(name), plan.clone()))
            .collect(),
        rules: [rule(100)].into(),
        ..LinksPlan::default()
    }
}
