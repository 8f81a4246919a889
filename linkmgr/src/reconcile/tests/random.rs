//! Random plans in random worlds, with others at work and a crash at any point: the kernel becomes as planned, nothing is
//! asked twice, what others have made stays, nothing of ours is left in the end, and settings are what they were.

use std::collections::BTreeSet;

use config::matcher::Mac;
use policy::facts::Supplier;
use policy::links::Switch;

use super::*;
use crate::Setting;
use crate::Usability;
use crate::fake::{FakeAddress, FakeRoute};
use crate::journal::Journal;
use crate::kernel::{NextHop, OURS, OwnRoute};
use crate::request::AddressRequest;

const NAMES: [(u32, &str); 3] = [(2, "home0"), (3, "vpn0"), (4, "other0")];
const ADDRESSES: [&str; 8] = [
    "192.0.2.10/24",
    "192.0.2.11/24",
    "192.0.2.12/25",
    "198.51.100.5/24",
    "10.0.0.1/8",
    "2001:db8::10/64",
    "2001:db8::10/128",
    "2001:db8:1::5/64",
];
const DESTINATIONS: [&str; 6] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "::/0",
    "2001:db8:5::/48",
    "203.0.113.0/24",
];
const GATEWAYS: [&str; 4] = ["192.0.2.1", "198.51.100.1", "", "10.9.9.9"];
const GATEWAYS6: [&str; 4] = ["2001:db8::1", "fe80::1", "", "2001:db8:1::1"];
const SEEDS: u64 = 300;
const ACTIONS: usize = 25;

/// xorshift64*
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }

    fn of<T: Copy>(&mut self, values: &[T]) -> T {
        let place = self.roll(values.len() as u64);
        values[usize::try_from(place).unwrap()]
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

/// What others have made, as it is in the kernel.
#[derive(Debug, Clone, PartialEq)]
struct Foreign {
    addresses: Vec<(u32, FakeAddress)>,
    routes: BTreeMap<RouteKey, FakeRoute>,
    rules: Vec<(PolicyRule, u8)>,
}

struct World {
    dice: Dice,
    machine: Machine,
    /// Things with our number that we have not made.
    unproven: Vec<Item>,
    /// What settings were that are not as they were because of us.
    changed: BTreeMap<(u32, Setting), i64>,
    /// What others have made of them.
    theirs: BTreeSet<((u32, Setting), i64)>,
    /// Links that others have taken up or down, or are on, and those that are others than they were: what is asked for may be meant
    /// for the one before.
    turned: BTreeSet<u32>,
    replaced: BTreeSet<u32>,
    /// Whether linnet is to stop, and a daemon that dies gets a successor that does the same.
    is_ending: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut machine = Machine::new();
        machine.kernel.put_link(link(4, "other0"));
        // Things with our number that no journal names, at places that no plan wants.
        let unproven = key("10.77.0.0/16", 77);
        let route = OwnRoute {
            key: unproven,
            kind: RouteKind::Blackhole,
            hops: Vec::new(),
            on_link: false,
            source: None,
            mtu: None,
            preference: Preference::Medium,
            tuning: RouteTuning::default(),
            valid: None,
        };
        machine.kernel.put_foreign_route(&route, OURS, START);
        machine.kernel.put_foreign_rule(&rule(77), OURS);
        Self {
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            machine,
            unproven: vec![Item::Route(unproven), Item::Rule(rule(77))],
            changed: BTreeMap::new(),
            theirs: BTreeSet::new(),
            turned: BTreeSet::new(),
            replaced: BTreeSet::new(),
            is_ending: false,
        }
    }

    fn foreign(&self) -> Foreign {
        let kernel = &self.machine.kernel;
        let mut addresses = kernel.addresses().to_vec();
        addresses
            .retain(|(index, it)| self.is_foreign(it.protocol, &Item::Address(*index, it.prefix)));
        let mut routes = kernel.routes().clone();
        routes.retain(|key, it| self.is_foreign(it.protocol, &Item::Route(*key)));
        let mut rules = kernel.rules().to_vec();
        rules.retain(|(rule, protocol)| self.is_foreign(*protocol, &Item::Rule(rule.clone())));
        Foreign {
            addresses,
            routes,
            rules,
        }
    }

    fn is_foreign(&self, protocol: u8, item: &Item) -> bool {
        protocol != OURS || self.unproven.contains(item)
    }

    fn act(&mut self) {
        let now = self.machine.now;
        match self.dice.roll(13) {
            0..=3 => {
                let plan = self.plan();
                self.machine.links.apply_plan(Arc::new(plan), now);
            }
            4 => self.foreign_address(),
            5 => self.foreign_route(),
            6 => {
                let rule = rule(u32::try_from(self.dice.roll(3)).unwrap());
                match self.dice.one_in(2) {
                    true => self.machine.kernel.put_foreign_rule(&rule, 3),
                    false => self.machine.kernel.take_rule(&rule, 3),
                }
            }
            7 => {
                let (index, _) = self.dice.of(&NAMES);
                let up = self.dice.one_in(2);
                let request = KernelRequest::SetUp { index, up };
                self.machine.kernel.handle_request(&request, now);
                self.turned.insert(index);
            }
            8 => {
                self.machine.kernel.lose_events();
                self.machine.list();
            }
            9 => self.machine.now = now + Duration::from_secs(self.dice.roll(100)),
            10 => self.take_something(),
            11 => self.foreign_setting(),
            _ => {
                let (index, name) = self.dice.of(&NAMES);
                if self.dice.one_in(4) {
                    self.machine.kernel.remove_link(index, now);
                    self.replaced.insert(index);
                    let fresh = link(index + 10, name);
                    if !self.machine.kernel.links().contains_key(&index) {
                        self.machine.kernel.put_link(LinkMessage { index, ..fresh });
                    }
                }
            }
        }
        self.machine.kernel.handle_timeout(self.machine.now);
        self.drive();
    }

    /// Somebody sets something, to what no plan wants.
    fn foreign_setting(&mut self) {
        let (index, _) = self.dice.of(&NAMES);
        let (setting, value) = self
            .dice
            .of(&[(Setting::Mtu, 1450), (Setting::Switch(Switch::AcceptRa), 2)]);
        let place = (index, setting);
        // What is asked for at the same moment nobody can know of.
        self.hear();
        let was = self.machine.kernel.setting(place);
        let is_wanted = self.machine.links.view().planned_setting(index, setting);
        // What was as wanted before is as good as what linnet changes back to it: theirs, or what there was.
        if let (Some(was), Some(_)) = (was, is_wanted) {
            self.changed.entry(place).or_insert(was);
        }
        self.machine.kernel.put_setting(place, value);
        self.theirs.insert((place, value));
        self.hear();
    }

    /// Has everything be heard that the kernel has told.
    fn hear(&mut self) {
        while let Some(event) = self.machine.kernel.poll_event() {
            self.machine.links.handle_event(event, self.machine.now);
        }
    }

    fn foreign_address(&mut self) {
        let now = self.machine.now;
        let (index, _) = self.dice.of(&NAMES);
        let prefix = prefix(self.dice.of(&ADDRESSES));
        let valid_until = self.dice.one_in(3).then(|| now + Duration::from_secs(50));
        let address = FakeAddress {
            usability: self.dice.of(&[Usability::Usable, Usability::Tentative]),
            preferred_until: valid_until,
            valid_until,
            ..FakeAddress::foreign(prefix)
        };
        let addresses = self.machine.kernel.addresses();
        // Others do not change what is there.
        if !addresses
            .iter()
            .any(|(_, it)| it.prefix.address == prefix.address)
        {
            self.machine.kernel.put_address(index, address, now);
        }
    }

    fn foreign_route(&mut self) {
        let now = self.machine.now;
        let (index, _) = self.dice.of(&NAMES);
        let key = self.key();
        if self.machine.kernel.routes().contains_key(&key) {
            return;
        }
        let protocol = self.dice.of(&[12, 186]);
        let planned = self.route(key);
        let route = OwnRoute {
            key,
            kind: RouteKind::Unicast,
            hops: vec![NextHop::only(
                index,
                planned.via.first().and_then(|hop| hop.via),
            )],
            on_link: self.dice.one_in(2),
            source: None,
            mtu: None,
            preference: Preference::Medium,
            tuning: RouteTuning::default(),
            valid: None,
        };
        self.machine.kernel.put_foreign_route(&route, protocol, now);
    }

    /// Somebody takes something away, ours or not.
    fn take_something(&mut self) {
        let now = self.machine.now;
        let kernel = &mut self.machine.kernel;
        match self.dice.one_in(2) {
            true => {
                let keys: Vec<RouteKey> = kernel.routes().keys().copied().collect();
                if !keys.is_empty() {
                    kernel.take_route(&self.dice.of(&keys), now);
                }
            }
            false => {
                let all: Vec<(u32, Prefix)> = kernel
                    .addresses()
                    .iter()
                    .map(|(index, it)| (*index, it.prefix))
                    .collect();
                if !all.is_empty() {
                    let (index, prefix) = self.dice.of(&all);
                    kernel.take_address(index, &prefix, now);
                }
            }
        }
    }

    fn plan(&mut self) -> LinksPlan {
        let mut plan = LinksPlan::default();
        for (_, name) in [NAMES[0], NAMES[1]] {
            let mut facts = self.machine.links.facts().iter();
            let found = facts.find(|(_, facts)| &*facts.name == name);
            let Some((id, _)) = found.map(|(id, facts)| (*id, facts.clone())) else {
                continue;
            };
            if self.dice.one_in(5) {
                continue;
            }
            plan.links.insert(id, self.link_plan());
        }
        for priority in 0..3 {
            if self.dice.one_in(3) {
                plan.rules.insert(rule(priority));
            }
        }
        plan
    }

    fn link_plan(&mut self) -> LinkPlan {
        let mut plan = up();
        plan.admin_up = self.dice.of(&[None, Some(true), Some(true)]);
        plan.mtu = self.dice.of(&[None, Some(1400), Some(1500)]);
        plan.mac = self.dice.of(&[None, Some(Mac([2, 0, 0, 0, 0, 7]))]);
        if self.dice.one_in(2) {
            plan.switches.insert(Switch::AcceptRa, 0);
        }
        if self.dice.one_in(2) {
            plan.clients.dhcp4 = Some(Arc::default());
        }
        for _ in 0..self.dice.roll(4) {
            let prefix = prefix(self.dice.of(&ADDRESSES));
            // One address with two lengths is nothing that a plan says.
            plan.addresses.retain(|it, _| it.address != prefix.address);
            let address = self.address_plan();
            plan.addresses.insert(prefix, address);
        }
        for _ in 0..self.dice.roll(4) {
            let key = self.key();
            let route = self.route(key);
            plan.routes.insert(key, route);
        }
        plan
    }

    fn address_plan(&mut self) -> AddressPlan {
        let lifetime = self.dice.of(&[None, Some(30), Some(4000)]);
        let until = lifetime.map(|seconds| self.machine.now + Duration::from_secs(seconds));
        AddressPlan {
            supplier: lifetime.map(|_| Supplier::Dhcp4),
            preferred_until: until,
            valid_until: until,
            temporaries: false,
            no_prefix_route: self.dice.one_in(4),
            metric: 0,
            ..lasting()
        }
    }

    fn key(&mut self) -> RouteKey {
        let metric = u32::try_from(self.dice.roll(2)).unwrap() + 50;
        key(self.dice.of(&DESTINATIONS), metric)
    }

    fn route(&mut self, key: RouteKey) -> RoutePlan {
        let gateways = match key.to.address.is_ipv4() {
            true => GATEWAYS,
            false => GATEWAYS6,
        };
        let mut route = through(self.dice.of(&gateways));
        if self.dice.one_in(6) {
            route = RoutePlan {
                kind: RouteKind::Blackhole,
                ..through("")
            };
        }
        if route.kind == RouteKind::Unicast && self.dice.one_in(4) {
            // One over two links, where both are there.
            let (index, _) = self.dice.of(&NAMES);
            let mut ids = self.machine.links.facts().keys();
            if let Some(id) = ids.find(|id| id.index == index) {
                let via = self.dice.of(&gateways).parse().ok();
                route.via.extend(via.map(|via| HopPlan {
                    link: Some(*id),
                    weight: 3,
                    ..HopPlan::through(via)
                }));
            }
        }
        route.on_link = self.dice.one_in(4);
        route.mtu = self.dice.of(&[None, None, Some(1300)]);
        route
    }

    /// Drives on, and dies on the way now and then.
    fn drive(&mut self) {
        for _ in 0..ROUNDS {
            if !self.round() {
                return;
            }
        }
        panic!("it never ends");
    }

    fn round(&mut self) -> bool {
        let now = self.machine.now;
        self.follow_others();
        let mut is_busy = false;
        // Now and then the kernel's word is late.
        while !self.dice.one_in(20)
            && let Some(event) = self.machine.kernel.poll_event()
        {
            self.machine.links.handle_event(event, now);
            is_busy = true;
        }
        if let Some(journal) = self.machine.links.poll_journal() {
            is_busy = true;
            if self.dice.one_in(30) {
                self.crash();
                return true;
            }
            self.machine.journal = Some(journal.text);
            self.machine
                .links
                .handle_journal(journal.version, true, now);
        }
        let mut batch = Vec::new();
        while let Some(request) = self.machine.links.poll_request(now) {
            batch.push(request);
        }
        for (id, request) in batch {
            is_busy = true;
            if self.dice.one_in(30) {
                self.crash();
                return true;
            }
            let answer = self.ask(&request);
            if self.dice.one_in(30) {
                self.crash();
                return true;
            }
            self.machine.links.handle_answer(id, answer, now);
        }
        is_busy
    }

    /// The daemon dies, and another one takes its place with the same plan.
    fn crash(&mut self) {
        let now = self.machine.now;
        self.machine.start();
        if self.is_ending {
            return self.machine.links.stop(StopLevel::Clean, now);
        }
        let plan = self.plan();
        self.machine.links.apply_plan(Arc::new(plan), now);
    }

    /// Asks the kernel, and looks whether it may be asked so.
    fn ask(&mut self, request: &KernelRequest) -> KernelAnswer {
        let now = self.machine.now;
        let before = self.foreign();
        self.check_proof(request);
        let kernel = &mut self.machine.kernel;
        let place = kernel.setting_of(request);
        let was = place.and_then(|place| kernel.setting(place));
        let answer = kernel.handle_request(request, now);
        if let (Some(place), Some(was)) = (place, was) {
            self.follow_setting(place, was);
        }
        self.machine.sent.push(request.clone());
        self.check_foreign(request, before);
        answer
    }

    /// Follows on which links others are that were down before us: those go to them. What is as it was, and as no plan wants it, was
    /// given back.
    fn follow_others(&mut self) {
        let (kernel, links) = (&self.machine.kernel, &self.machine.links);
        let view = links.view();
        self.changed.retain(|(index, setting), was| {
            let is_wanted = view.planned_setting(*index, *setting).is_some();
            is_wanted || kernel.setting((*index, *setting)) != Some(*was)
        });
        for (index, address) in kernel.addresses() {
            // One that we have changed only looks like ours.
            let item = Item::Address(*index, address.prefix);
            let is_ours = address.protocol == OURS && links.writer.journal.proves(&item);
            if !is_ours && self.changed.contains_key(&(*index, Setting::Up)) {
                self.turned.insert(*index);
            }
        }
    }

    /// Follows what a request has made of a setting that was something before.
    fn follow_setting(&mut self, place: (u32, Setting), was: i64) {
        let is = self.machine.kernel.setting(place).unwrap();
        // No plan wants one to be on: it is given back, to whoever has not set it otherwise since.
        let is_back = matches!(place.1, Setting::Switch(_)) && is != 0;
        let is_known = !self.replaced.contains(&place.0);
        assert!(
            !is_back || was == 0 || !is_known,
            "{place:?} was {was} by somebody else, and is given back: {is}"
        );
        if is != was {
            self.changed.entry(place).or_insert(was);
            if self.theirs.contains(&(place, is)) {
                self.changed.remove(&place);
            }
        }
    }

    /// Every setting is what it was before us, where nobody else had to do with it.
    fn check_settings(&self) {
        let kernel = &self.machine.kernel;
        for (place, was) in &self.changed {
            let (index, setting) = *place;
            let mut addresses = kernel.addresses().iter();
            // Others have settled on a link that was down.
            let is_needed = setting == Setting::Up && addresses.any(|(of, _)| *of == index);
            let is_others = setting == Setting::Up && self.turned.contains(&index)
                || self.replaced.contains(&index);
            let is = kernel.setting(*place);
            let is_theirs = is.is_some_and(|is| self.theirs.contains(&(*place, is)));
            assert!(
                is == Some(*was) || is_theirs || is_needed || is_others,
                "{place:?} is {is:?} and was {was}"
            );
        }
    }

    /// What is to go, or to be replaced, is ours by the journal as it has been kept; what comes is written down.
    fn check_proof(&self, request: &KernelRequest) {
        let journal = Journal::load(self.machine.journal.as_deref(), &boot());
        let address = |index: u32, prefix: Prefix| Item::Address(index, prefix);
        let item = match request {
            KernelRequest::AddAddress(AddressRequest {
                index,
                address: prefix,
                ..
            })
            | KernelRequest::DeleteAddress {
                index,
                address: prefix,
                ..
            } => address(*index, *prefix),
            KernelRequest::AddRoute(route)
            | KernelRequest::ReplaceRoute(route)
            | KernelRequest::DeleteRoute(route) => Item::Route(route.key),
            KernelRequest::AddRule(rule) | KernelRequest::DeleteRule(rule) => {
                Item::Rule(rule.clone())
            }
            KernelRequest::ReplaceAddress(_)
            | KernelRequest::SetUp { .. }
            | KernelRequest::SetMtu { .. }
            | KernelRequest::SetMac { .. }
            | KernelRequest::ReadSwitch { .. }
            | KernelRequest::ReadPrefixRoute { .. }
            | KernelRequest::SetSwitch { .. } => return,
        };
        assert!(
            journal.proves(&item),
            "{request:?}\n{:?}",
            self.machine.journal
        );
        let is_late = !self.machine.links.is_idle();
        if let KernelRequest::ReplaceRoute(route) = request
            && let Some(there) = self.machine.kernel.routes().get(&route.key)
            && there.protocol != OURS
        {
            // The kernel's word that somebody else has taken the place is on its way.
            assert!(is_late, "{request:?} replaces {there:?}");
        }
    }

    fn check_foreign(&self, request: &KernelRequest, before: Foreign) {
        let after = self.foreign();
        let mut expected = before;
        match request {
            // An address in the place of somebody else's, with the same bits, is taken over in place.
            KernelRequest::ReplaceAddress(request) => expected.addresses.retain(|(index, it)| {
                *index != request.index || it.prefix.address != request.address.address
            }),
            KernelRequest::ReplaceRoute(route) => {
                expected.routes.remove(&route.key);
            }
            // With the last address of a link go all its IPv4 routes, and with a source the routes from it.
            KernelRequest::DeleteAddress { index, address, .. } => {
                let kernel = &self.machine.kernel;
                let has_ipv4 = kernel
                    .addresses()
                    .iter()
                    .any(|(of, it)| of == index && it.prefix.address.is_ipv4());
                expected.routes.retain(|key, it| {
                    has_ipv4
                        || address.address.is_ipv6()
                        || !it.route.leaves_by(*index)
                        || key.to.address.is_ipv6()
                });
            }
            // Nobody has an address there: has_others.
            KernelRequest::SetUp { index, up: false } => {
                expected.routes.retain(|_, it| !it.route.leaves_by(*index));
            }
            KernelRequest::SetUp { .. }
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
        assert_eq!(after, expected, "{request:?}");
    }

    fn settle(&mut self) {
        for _ in 0..20 {
            self.drive();
            self.machine.pass(Duration::from_secs(61));
        }
    }
}

#[test]
fn random_worlds_become_as_planned_and_lose_nothing_of_others() {
    for seed in 1..=SEEDS {
        let result = std::panic::catch_unwind(|| world(seed));
        assert!(result.is_ok(), "seed {seed}");
    }
}

fn world(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..ACTIONS {
        world.act();
    }
    world.settle();
    // Whatever is in the kernel is what the plan makes of it: a listing brings up nothing to ask for but what has failed.
    let tables = |world: &World| {
        let kernel = &world.machine.kernel;
        let rules = kernel.rules().to_vec();
        let addresses = kernel.addresses().to_vec();
        (
            addresses,
            kernel.routes().clone(),
            rules,
            kernel.links().clone(),
        )
    };
    // Of routes of others that have left their place nobody tells.
    world.machine.list();
    world.settle();
    let before = tables(&world);
    world.machine.list();
    let again = world.machine.drive();
    assert_eq!(tables(&world), before, "{again:?}");
    let now = world.machine.now;
    world.is_ending = true;
    world.machine.links.stop(StopLevel::Clean, now);
    world.settle();
    assert!(world.machine.links.is_idle());
    world.check_settings();
    let kernel = &world.machine.kernel;
    for (index, address) in kernel.addresses() {
        let item = Item::Address(*index, address.prefix);
        let is_kept = world.is_foreign(address.protocol, &item) || address.valid_until.is_none();
        assert!(is_kept, "{address:?} is left");
    }
    for (key, route) in kernel.routes() {
        let item = Item::Route(*key);
        assert!(world.is_foreign(route.protocol, &item), "{route:?} is left");
    }
    for (rule, protocol) in kernel.rules() {
        let item = Item::Rule(rule.clone());
        assert!(world.is_foreign(*protocol, &item), "{rule:?} is left");
    }
}
