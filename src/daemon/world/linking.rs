//! What becomes of links? Kernel events, answers and packets in; requests, packets, ports and things to keep out.
//!
//! ```text
//! packets -> clients -> supplies ─┐
//! kernel ---> links --> facts ────┴-> plan -> links -> requests
//!                                      └----> clients -> packets, ports
//! ```

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use config::model::{MacUse, Profile};
use config::time::{Instant, WallTime};
use linkmgr::clients::{Clients, Heard, Machine, Memory, Port};
use linkmgr::{Boot, KernelAnswer, KernelEvent, LinkManager, LinkReport, RequestId, StopLevel};
use linkmgr_io::neighbours::Neighbour;
use policy::LinkId;

use super::{Effect, Kept, World};
use crate::convert;
use crate::leavings::{Leavings, Left};

/// How long giving back may take.
const STOP_TIME: Duration = Duration::from_secs(2);
/// How long what the kernel is asked for waits for goodbyes: a neighbour's hardware address that is not known is found in less, or nobody is there.
const GOODBYE_TIME: Duration = Duration::from_millis(500);
/// How soon it is looked again whether they have left.
const GOODBYE_PAUSE: Duration = Duration::from_millis(5);

/// What the links begin with.
#[derive(Debug)]
pub(crate) struct LinkBeginning {
    /// Who this machine is to servers.
    pub(crate) machine: Machine,
    /// What proves that the journal is about this kernel.
    pub(crate) boot: Boot,
    /// The text of the journal, when there is one.
    pub(crate) journal: Option<String>,
    /// The text of what clients want to know again, when there is one.
    pub(crate) leases: Option<String>,
    /// Whether it is written down that links were made.
    pub(crate) was_made: bool,
    /// The text of what was told of links by command, when there is one.
    pub(crate) told: Option<String>,
    /// What other DHCP clients have left in files.
    pub(crate) leavings: Leavings,
    /// Seed of the clients' random numbers.
    pub(crate) seed: u64,
}

/// The links, and the clients on them.
#[derive(Debug)]
pub(super) struct Linking {
    pub(super) links: LinkManager,
    pub(super) clients: Clients,
    leavings: Leavings,
    /// The links that scopes of the plan are about.
    scoped: BTreeSet<LinkId>,
    /// What the wall clock said, and when.
    reading: (WallTime, Instant),
    /// Until when everything has to be given back; `None` while nothing is.
    stop_by: Option<Instant>,
    /// Servers are being told that their leases are given back: until then nothing that takes a link down or an address away is handed on.
    goodbyes: Option<Goodbyes>,
}

/// What is to leave before the kernel is asked for anything.
#[derive(Debug, Clone, Copy)]
struct Goodbyes {
    /// Until when that is waited for.
    give_up_at: Instant,
    /// When it is looked again; `None` until the first look.
    look_at: Option<Instant>,
}

impl Linking {
    pub(super) fn new(beginning: LinkBeginning) -> Self {
        let LinkBeginning {
            machine,
            boot,
            journal,
            leases,
            was_made: _,
            told: _,
            leavings,
            seed,
        } = beginning;
        let mut links = LinkManager::default();
        links.load_journal(journal.as_deref(), &boot);
        let memory = leases.as_deref().map(Memory::from_text);
        let memory = memory.unwrap_or_else(|| Ok(Memory::default()));
        let memory = memory.unwrap_or_else(|error| {
            tracing::warn!(%error, "what was remembered of leases cannot be read: they are asked for anew");
            Memory::default()
        });
        Self {
            links,
            clients: Clients::new(machine, memory, seed),
            leavings,
            scoped: BTreeSet::new(),
            reading: (WallTime(0), Instant::ZERO),
            stop_by: None,
            goodbyes: None,
        }
    }

    /// Gives a link's leases back. What the kernel is asked for waits until that is said.
    pub(super) fn give_back(&mut self, link: LinkId, now: Instant) {
        let wall = self.wall(now);
        if self.clients.release(link, wall, now) {
            self.goodbyes = Some(Goodbyes {
                give_up_at: now + GOODBYE_TIME,
                look_at: None,
            });
        }
    }

    /// Whether something is still to be said before the kernel is asked for anything.
    pub(super) const fn is_leaving(&self) -> bool {
        self.goodbyes.is_some()
    }

    pub(super) const fn read_clock(&mut self, wall: u64, now: Instant) {
        self.reading = (WallTime(wall), now);
    }

    pub(super) fn wall(&self, now: Instant) -> WallTime {
        let (wall, at) = self.reading;
        WallTime(wall.0.saturating_add(now.since(at).as_secs()))
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let links = self.links.poll_timeout().map(|(at, _)| at);
        let look_at = self.goodbyes.and_then(|goodbyes| goodbyes.look_at);
        let others = [self.clients.poll_timeout(), self.stop_by, look_at];
        links.into_iter().chain(others.into_iter().flatten()).min()
    }
}

impl World {
    pub(super) fn handle_kernel(
        &mut self,
        events: Vec<KernelEvent>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let mut changed = false;
        let mut lost = BTreeSet::new();
        for event in events {
            if let KernelEvent::Link(link) = &event {
                let is_up = link.admin_up && link.carrier;
                // A link that was down for a moment may lead to another network: that it was down has to be seen before it is
                // up again. All that are down by then are seen at once.
                if is_up && lost.contains(&link.index) {
                    self.take_links(now);
                    self.replan(now, effects);
                    lost.clear();
                } else if !is_up && self.relies_on(link.index) {
                    lost.insert(link.index);
                }
            }
            if matches!(event, KernelEvent::LinkGone { .. }) {
                self.making.link_went(now);
            }
            changed |= self.linking.links.handle_event(event, now);
        }
        let links = &self.linking.links;
        let is_there = |index| links.id_at(index).is_some();
        self.making.look_at_uppers(is_there, now);
        if changed {
            self.take_links(now);
        }
        if changed && self.begun {
            effects.push(Effect::RenewPorts);
            self.replan_soon(now, effects);
        }
    }

    /// Takes what has become of the links that matter.
    pub(super) fn take_links(&mut self, now: Instant) {
        let changed = self.linking.links.take_changed();
        for id in changed.iter().copied() {
            let outlives = self.told_outlives(id);
            let link = self.linking.links.facts().get(&id);
            self.facts.take_link(id, link, now);
            self.follow_told(id, outlives);
        }
        let wall = self.linking.wall(now);
        self.look_for_formers(&changed);
        let clients = &mut self.linking.clients;
        clients.apply_changed(&self.facts.links, &changed, wall, now);
    }

    /// Makes hardware addresses up for the links that are there and those that profiles make, where any profile wants such.
    pub(super) fn make_macs_up(&mut self) {
        let before = std::mem::take(&mut self.facts.made_macs);
        let profiles = || self.config.profiles.values();
        let is_made_up = |profile: &Profile| profile.network.mac.is_some_and(MacUse::is_made_up);
        if !profiles().any(is_made_up) {
            return;
        }
        let there = self.facts.links.values().map(|link| &link.name);
        let made = profiles().filter_map(|profile| Some(&profile.link.as_ref()?.name));
        let macs_of = |name: &Arc<str>| {
            let known = before.get(name).copied();
            known.unwrap_or_else(|| self.linking.clients.made_macs(name))
        };
        let names = there.chain(made);
        let macs_by_name = names.map(|name| (Arc::clone(name), macs_of(name)));
        self.facts.made_macs = macs_by_name.collect();
    }

    /// Looks for what others have left where clients of ours are about to begin: what they called themselves, and addresses.
    fn look_for_formers(&mut self, of: &BTreeSet<LinkId>) {
        if self.linking.stop_by.is_some() {
            return;
        }
        let Linking {
            links,
            clients,
            leavings,
            ..
        } = &mut self.linking;
        for (id, link) in clients.beginners(&self.plan.links, &self.facts.links, of) {
            let Left {
                mut former,
                file4,
                file6,
            } = leavings.of(id.index, link);
            former.made = links.made_of_prefixes(id);
            let name = &link.name;
            if let (Some(dhcp4), Some(file)) = (&former.dhcp4, file4) {
                let (address, file) = (dhcp4.address, file.display());
                tracing::info!(link = %name, "another DHCP client has left {address}, as {file} says: it is asked for, as that client did; \"linnet adopt {name}\" takes over what else is left");
            }
            if let (Some(_), Some(file)) = (&former.dhcp6, file6) {
                tracing::info!(link = %name, "another DHCPv6 client has had the link, as {} says: servers are asked as that client did", file.display());
            }
            clients.take_former(id, former);
        }
    }

    /// Whether a link is up as far as is known, and something of the plan hangs on it.
    fn relies_on(&self, index: u32) -> bool {
        let mut ids = self.facts.links.range(LinkId { index, birth: 0 }..);
        let Some((id, _)) = ids.next().filter(|(id, link)| id.index == index && link.up) else {
            return false;
        };
        self.plan.links.links.contains_key(id) || self.linking.scoped.contains(id)
    }

    pub(super) fn handle_answers(&mut self, answers: Vec<(RequestId, KernelAnswer)>, now: Instant) {
        for (id, answer) in answers {
            self.linking.links.handle_answer(id, answer, now);
        }
    }

    pub(super) fn handle_heard(&mut self, heard: &[Heard], now: Instant) {
        let wall = self.linking.wall(now);
        for heard in heard {
            let Linking { links, clients, .. } = &mut self.linking;
            let is_own = |mac| links.has_mac(mac);
            clients.handle_heard(heard, is_own, wall, now);
        }
    }

    pub(super) fn handle_unheard(&mut self, ports: &[(u32, Port)], now: Instant) {
        let wall = self.linking.wall(now);
        self.linking.clients.handle_unheard(ports, wall, now);
    }

    pub(super) fn handle_neighbours(&mut self, routers: &[Neighbour], now: Instant) {
        let wall = self.linking.wall(now);
        for router in routers {
            let (index, reachability) = (router.index, router.reachability);
            self.linking
                .clients
                .handle_neighbour(index, router.address, reachability, wall, now);
        }
    }

    pub(super) fn handle_link_timeout(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let ends = [self.plan.links.review_at, self.pace.due_at()];
        if ends.into_iter().flatten().any(|at| at <= now) {
            self.replan(now, effects);
            self.order_links(now, effects);
        } else if self.making.poll_timeout().is_some_and(|at| at <= now) {
            self.order_links(now, effects);
        }
        let due = self.linking.links.poll_timeout();
        if due.is_some_and(|(at, _)| at <= now) {
            self.linking.links.handle_timeout(now);
        }
        let wall = self.linking.wall(now);
        self.linking.clients.handle_timeout(wall, now);
    }

    /// Takes whether all goodbyes have left.
    pub(super) fn handle_sent(&mut self, is_sent: bool, now: Instant) {
        self.linking.goodbyes = self.linking.goodbyes.take().filter(|_| !is_sent);
        if let Some(goodbyes) = &mut self.linking.goodbyes {
            goodbyes.look_at = Some(goodbyes.give_up_at.min(now + GOODBYE_PAUSE));
        }
    }

    /// Puts what the plan says of links in force.
    pub(super) fn apply_links_plan(&mut self, now: Instant) {
        let scopes = self.plan.dns.scopes.values();
        let scoped = scopes.filter_map(|scope| scope.link.as_ref()?.id);
        self.linking.scoped = scoped.collect();
        if self.linking.stop_by.is_some() {
            return;
        }
        let plan = &self.plan.links;
        let wall = self.linking.wall(now);
        self.linking.links.apply_plan(plan.clone(), now);
        self.look_for_formers(&self.plan.links.links.keys().copied().collect());
        let plan = &self.plan.links;
        self.linking.clients.apply_plan(plan, wall, now);
        // The first plan finds the links as they are.
        self.linking
            .clients
            .apply_links(&self.facts.links, wall, now);
    }

    /// Begins to give back; goes on until [`World::has_stopped`].
    pub(super) fn stop_links(&mut self, level: StopLevel, now: Instant) {
        self.linking.stop_by = Some(now + STOP_TIME);
        // Nothing waits any more.
        self.linking.goodbyes = None;
        self.linking.links.stop(level, now);
    }

    /// Whether everything is given back, or there is no time left for it.
    pub(super) fn has_stopped(&self, now: Instant) -> bool {
        let stop_by = self.linking.stop_by;
        stop_by.is_some_and(|at| at <= now || self.linking.links.is_idle())
    }

    /// Takes all that links and clients have to say.
    pub(super) fn drive_links(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if !self.begun {
            return;
        }
        while let Some(report) = self.linking.links.poll_report() {
            self.handle_report(report, now);
        }
        let changed = self.linking.clients.take_changed();
        let is_changed = !changed.is_empty();
        for key in changed {
            match self.linking.clients.supplies().get(&key) {
                Some(supply) => drop(self.facts.supplies.insert(key, supply.clone())),
                None => drop(self.facts.supplies.remove(&key)),
            }
        }
        if is_changed {
            self.replan_soon(now, effects);
        }
        while let Some(note) = self.linking.clients.poll_note() {
            match note.supplier {
                Some(supplier) => tracing::info!(link = %note.link, "{supplier}: {}", note.text),
                None => tracing::warn!(link = %note.link, "{}", note.text),
            }
        }
        let Linking { links, clients, .. } = &mut self.linking;
        while let Some((index, address, standing)) = clients.poll_standing() {
            links.handle_standing(index, address, standing, now);
        }
        self.give_goodbyes_up(now);
        let links = &mut self.linking.links;
        // What takes the place of a route is heard from before the route is there; requests follow as soon as the journal is kept.
        effects.extend(links.poll_destinations().map(Effect::HearOf));
        if let Some(journal) = links.poll_journal() {
            effects.push(Effect::KeepJournal(journal));
        }
        if self.linking.goodbyes.is_none() {
            let requests: Vec<_> = std::iter::from_fn(|| links.poll_request(now)).collect();
            if !requests.is_empty() {
                effects.push(Effect::Requests(requests));
            }
        }
        // After what the kernel is asked for: to open and close ports takes it longer, and a lease should not wait for that.
        self.speak_through_links(effects);
        self.look_for_goodbyes(now, effects);
        // Last: a disk that is waited for makes the journal wait too.
        if let Some(memory) = self.linking.clients.poll_memory() {
            effects.push(Effect::Keep(Kept::Leases, memory.to_text()));
        }
    }

    /// Has sent what clients have to say.
    fn speak_through_links(&mut self, effects: &mut Vec<Effect>) {
        // A port is open before something is sent through it.
        effects.extend(self.linking.clients.poll_ports().map(Effect::Ports));
        let clients = &mut self.linking.clients;
        let transmits: Vec<_> = std::iter::from_fn(|| clients.poll_transmit()).collect();
        if !transmits.is_empty() {
            effects.push(Effect::Send(transmits));
        }
        // Some were open for that only.
        effects.extend(self.linking.clients.poll_ports().map(Effect::Ports));
    }

    /// Waits no longer for goodbyes that have not left in time.
    fn give_goodbyes_up(&mut self, now: Instant) {
        let is_late = |goodbyes: &mut Goodbyes| goodbyes.give_up_at <= now;
        if self.linking.goodbyes.take_if(is_late).is_some() {
            tracing::info!(
                "a lease may not have been given back: nobody was there to hear of it in time"
            );
        }
    }

    /// Looks whether goodbyes have left, when it is time. A packet waits in the kernel while its neighbour's hardware address is asked for, and
    /// is lost when the link goes down meanwhile.
    fn look_for_goodbyes(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Some(goodbyes) = &mut self.linking.goodbyes else {
            return;
        };
        if goodbyes.look_at.is_none_or(|at| at <= now) {
            goodbyes.look_at = Some(goodbyes.give_up_at);
            effects.push(Effect::LookWhetherSent);
        }
    }

    fn handle_report(&mut self, report: LinkReport, now: Instant) {
        match report {
            LinkReport::Duplicate(link, prefix) => {
                if let IpAddr::V6(address) = prefix.address {
                    let wall = self.linking.wall(now);
                    let clients = &mut self.linking.clients;
                    clients.handle_dad_failed(link.index, address, wall, now);
                }
            }
            LinkReport::Undone(link, setting) => {
                let name = self.facts.links.get(&link).map(|link| &*link.name);
                let (link, setting) = (name.unwrap_or_default(), convert::setting_name(setting));
                tracing::info!(%link, "somebody has changed {setting}: it is set again");
            }
        }
    }
}
