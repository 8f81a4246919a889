//! How is what should be there made of what is there? The writing half of [`LinkManager`].
//!
//! An item is compared when something about it may have changed, and asked for by itself: one that fails holds up no other.
//! It is asked for again upon what may mend it: a change of its link, the address that it begins with, the place that it would take. What the comparison comes to is in [`decide`], how patient it is in
//! [`record`].

mod addresses;
pub(crate) mod decide;
mod hearing;
mod holders;
mod keeping;
mod marks;
mod record;
mod rivals;
mod settings;
mod siblings;
mod steer;
#[cfg(test)]
mod tests;
mod waiting;
mod ways;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use config::model::Prefix;
use config::time::Instant;
use policy::links::RouteKey;
use policy::{LinkId, LinksPlan};

use crate::LinkManager;
use crate::journal::{AddressMarks, Boot, Journal};
use crate::kernel::KernelEvent;
use crate::request::{KernelAnswer, KernelFault, KernelRequest, RequestId};
use crate::status::{Item, ItemState, LinkReport, LinkTimer, Setting, StopLevel};
use crate::tables::{Map, Set};
use crate::watches::Standing;
use decide::{Ask, Decision, Step, Unsettled, View, WriteDown};
use hearing::Hearing;
pub use holders::Holder;
use record::Record;
use rivals::Rivals;
use settings::Freedom;

/// Requests that wait for answers at most: enough for the kernel to do while a plan for a thousand links is made, and few enough that what comes
/// after them, a stop above all, waits less than a tenth of a second.
pub const MAX_IN_FLIGHT: usize = 512;
/// How long what a run before has left waits for its supplier to say it again: longer than a DHCP server is asked.
const INHERITED: Duration = Duration::from_secs(60);

const EEXIST: i32 = 17;
/// What the kernel says of a source address that is not there, or may not be used yet.
const EINVAL: i32 = 22;
/// `ENETUNREACH`, `EHOSTUNREACH`: the gateway is not on the link.
const NO_WAY: [i32; 2] = [101, 113];
const EBUSY: i32 = 16;
/// `ENOENT`, `ESRCH`, `ENODEV`, `EADDRNOTAVAIL`: what is to go is not there.
const NOT_THERE: [i32; 4] = [2, 3, 19, 99];

/// What the writing half knows.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    plan: Option<Arc<LinksPlan>>,
    claimants: Set<(RouteKey, LinkId)>,
    hearing: Hearing,
    journal: Journal,
    journal_retry_at: Option<Instant>,
    /// Whether the journal could not be kept when it was tried last.
    journal_fails: bool,
    marks: AddressMarks,
    /// Items that have to be compared.
    dirty: Set<Item>,
    /// Items that have to be compared when the kernel has answered.
    dirty_later: Set<Item>,
    /// Items that have to be asked for, in order.
    queue: Set<(Step, Item)>,
    step_by_item: Map<Item, Step>,
    /// Items that have to be compared later.
    delayed: Set<(Instant, Item)>,
    /// Items that are tried again though nothing is told of what may mend them; nobody waits for those.
    late: Set<(Instant, Item)>,
    /// Routes that wait for an address of any link to begin with.
    awaiting: Set<(IpAddr, Item)>,
    in_flight: Map<RequestId, (Item, KernelRequest)>,
    busy: Set<Item>,
    record_by_item: Map<Item, Record>,
    /// What a change of its link may mend, by the link's index.
    unsatisfied: Set<(u32, Item)>,
    inherited: Set<Item>,
    inherited_until: Option<Instant>,
    overridden: Set<u32>,
    /// Links that we have asked to be down, until the kernel says that they are.
    turning: Set<u32>,
    adopting: Set<Item>,
    /// Links that were adopted a moment ago, by index, and until when what comes is taken as what was there.
    adopted: Map<u32, Instant>,
    /// Default routes of others beside ours, which become ours so that they may go.
    rivals: Map<RouteKey, Rivals>,
    needs_down: Set<u32>,
    /// Addresses without the kernel's route for their prefix that are known to have another one.
    proven: Set<(u32, Prefix)>,
    /// What is known of others that have static addresses, by the link's index.
    standings: Map<(u32, Ipv4Addr), Standing>,
    reports: VecDeque<LinkReport>,
    requests: u64,
    stopping: Option<StopLevel>,
    /// Whether a listing has been complete.
    is_ready: bool,
    /// The last moment that anybody told.
    now: Instant,
}

impl LinkManager {
    /// Takes the journal of a run before, and tells it what proves that the kernel is still the same one. Comes first, and
    /// once; without it nothing of before is ours.
    pub fn load_journal(&mut self, text: Option<&str>, boot: &Boot) {
        let writer = &mut self.writer;
        writer.journal = Journal::load(text, boot);
        writer.marks = boot.marks;
        writer.inherited = writer.journal.items().collect();
        writer.hear_of_written();
        if writer.is_ready {
            self.check_kinds();
        }
    }

    /// Takes what should be there. Nothing is asked for before the first listing is complete.
    ///
    /// What a run before has left on a link, through a client that the plan runs there, waits a minute for the client to say
    /// it again.
    pub fn apply_plan(&mut self, plan: Arc<LinksPlan>, now: Instant) {
        self.writer.now = now;
        if self.writer.stopping.is_none() {
            self.mark_plan(plan);
        }
    }

    /// Returns the next request, in the order in which the kernel must see them; at most [`MAX_IN_FLIGHT`] wait for
    /// answers.
    pub fn poll_request(&mut self, now: Instant) -> Option<(RequestId, KernelRequest)> {
        self.writer.now = now;
        self.settle();
        if self.is_held() || self.writer.in_flight.len() >= MAX_IN_FLIGHT {
            return None;
        }
        loop {
            if !self.writer.journal.is_settled() {
                return None;
            }
            let (_, item) = self.writer.queue.pop_first()?;
            self.writer.step_by_item.remove(&item);
            // Lifetimes are counted from this moment, and something may have come between.
            let Decision::Ask(ask) = self.view().decide(&item) else {
                self.writer.dirty.insert(item);
                self.settle();
                continue;
            };
            self.write_down(&item, &ask);
            if !self.writer.journal.is_settled() {
                self.writer.enqueue(ask.step, item);
                return None;
            }
            return Some(self.writer.send(item, ask.request));
        }
    }

    /// Takes the answer to a request.
    pub fn handle_answer(&mut self, id: RequestId, answer: KernelAnswer, now: Instant) {
        let writer = &mut self.writer;
        writer.now = now;
        let Some((item, request)) = writer.in_flight.remove(&id) else {
            return;
        };
        writer.busy.remove(&item);
        if writer.dirty_later.remove(&item) {
            writer.dirty.insert(item.clone());
        }
        match answer {
            KernelAnswer::Done => self.take_done(&item, &request, now),
            KernelAnswer::Value(value) => {
                self.take_value(item, &request, (value, Freedom::Free), now);
            }
            KernelAnswer::Fixed(value) => {
                self.take_value(item, &request, (value, Freedom::Fixed), now);
            }
            KernelAnswer::Failed(fault) => self.take_fault(item, &request, fault, now),
        }
    }

    /// Returns something that a client has to know.
    pub fn poll_report(&mut self) -> Option<LinkReport> {
        self.writer.reports.pop_front()
    }

    /// Returns the deadline, and what it is for, once all polls have returned nothing; there is none while nothing is wrong.
    pub fn poll_timeout(&self) -> Option<(Instant, LinkTimer)> {
        let writer = &self.writer;
        let retries = [&writer.delayed, &writer.late];
        let retries = retries.into_iter().filter_map(|items| items.first());
        let retry = retries.map(|(at, _)| (*at, LinkTimer::Retry)).min();
        let inherited = writer
            .inherited_until
            .filter(|_| !writer.inherited.is_empty())
            .map(|at| (at, LinkTimer::Inherited));
        let journal = writer.journal_retry_at.map(|at| (at, LinkTimer::Journal));
        retry.into_iter().chain(inherited).chain(journal).min()
    }

    /// Takes word that the deadline has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        let writer = &mut self.writer;
        writer.now = now;
        for items in [&mut writer.delayed, &mut writer.late] {
            while let Some((at, _)) = items.first()
                && *at <= now
            {
                let Some((_, item)) = items.pop_first() else {
                    break;
                };
                writer.dirty.insert(item);
            }
        }
        if writer.inherited_until.is_some_and(|at| at <= now) {
            writer.inherited_until = None;
            let inherited = std::mem::take(&mut writer.inherited);
            writer.dirty.extend(inherited);
        }
        if writer.journal_retry_at.is_some_and(|at| at <= now) {
            writer.journal_retry_at = None;
            writer.journal.offer_again();
        }
    }

    /// Returns every planned item that belongs to a link, or to none (`None`: the rules), and how far it is.
    pub fn items(&self, link: Option<LinkId>) -> Vec<(Item, ItemState)> {
        let Some(plan) = &self.writer.plan else {
            return Vec::new();
        };
        let items = match link {
            None => plan.rules.iter().cloned().map(Item::Rule).collect(),
            Some(id) => plan
                .links
                .get(&id)
                .map(|plan| marks::items_of(id.index, plan))
                .unwrap_or_default(),
        };
        let view = self.view();
        let state = |item: &Item| {
            if let (Item::Route(key), Some(link)) = (item, link)
                && let Some((holder, _)) = view.planned_route(key)
                && holder != link
            {
                return ItemState::TakenBy(holder);
            }
            let record = self.writer.record_by_item.get(item);
            let state = record.and_then(|record| record.state.clone());
            state.unwrap_or(ItemState::Waiting)
        };
        items
            .into_iter()
            .map(|item| {
                let state = state(&item);
                (item, state)
            })
            .collect()
    }

    /// Gives back, and takes no plan after that; go on until [`LinkManager::is_idle`].
    pub fn stop(&mut self, level: StopLevel, now: Instant) {
        self.offer_unkept_journal();
        let writer = &mut self.writer;
        writer.now = now;
        writer.stopping = Some(level);
        writer.inherited.clear();
        if level == StopLevel::Release {
            return writer.forget_requests();
        }
        let items: Vec<Item> = writer.journal.items().collect();
        for item in items {
            self.observed.doubt_switch(&item);
            writer.mark_anew(item);
        }
    }

    /// Whether no request is under way or could be sent, and the journal is kept. What the kernel refuses is not waited for.
    pub fn is_idle(&self) -> bool {
        let writer = &self.writer;
        let is_released = writer.stopping == Some(StopLevel::Release);
        is_released && writer.in_flight.is_empty() && writer.journal.is_settled()
            || writer.is_at_rest() && writer.journal.is_clean()
    }

    fn is_held(&self) -> bool {
        let writer = &self.writer;
        !writer.is_ready
            || self.listing.is_some()
            || writer.plan.is_none() && writer.stopping.is_none()
    }

    fn view(&self) -> View<'_> {
        let writer = &self.writer;
        View {
            plan: writer.plan.as_deref(),
            claimants: &writer.claimants,
            observed: &self.observed,
            journal: &writer.journal,
            id_by_index: &self.id_by_index,
            marks: writer.marks,
            inherited: &writer.inherited,
            overridden: &writer.overridden,
            adopting: &writer.adopting,
            adopted: &writer.adopted,
            proven: &writer.proven,
            rivals: &writer.rivals,
            needs_down: &writer.needs_down,
            standings: &writer.standings,
            unsettled: Unsettled {
                dirty: &writer.dirty,
                queued: &writer.step_by_item,
                busy: &writer.busy,
            },
            stopping: writer.stopping,
            now: writer.now,
        }
    }

    /// Compares what may have changed.
    fn settle(&mut self) {
        if self.is_held() || self.writer.stopping == Some(StopLevel::Release) {
            return;
        }
        while let Some(item) = self.writer.dirty.pop_first() {
            if self.writer.busy.contains(&item) {
                self.writer.dirty_later.insert(item);
            } else {
                self.settle_item(item);
            }
        }
    }

    fn settle_item(&mut self, item: Item) {
        let decision = self.view().decide(&item);
        self.writer.dequeue(&item);
        self.writer.forget_delay(&item);
        if let (
            Item::Setting(index, Setting::Switch(_)),
            Decision::Settled(_) | Decision::Wait(_),
        ) = (&item, &decision)
        {
            self.writer.settled_switch(*index);
        }
        match decision {
            Decision::Nothing => {
                let record = self.writer.record_by_item.get(&item);
                let unseen = record.and_then(Record::unseen_until);
                match unseen.filter(|until| *until > self.writer.now) {
                    Some(until) => self.writer.delay(&item, until),
                    None => self.writer.let_go(&item),
                }
            }
            Decision::Settled(state) => {
                self.writer.record(&item).seen();
                self.settle_setting(&item);
                self.writer.inherited.remove(&item);
                self.writer.not_mended(&item);
                self.report(&item, &state);
                self.note_ways(&item, &state);
                self.writer.record(&item).state = Some(state);
                self.take_late(&item);
            }
            Decision::Wait(state) => {
                let links = self.view().indexes_of(&item);
                self.writer.mended_by(&item, links);
                self.writer.record(&item).state = Some(state);
            }
            Decision::Ask(ask) => {
                self.writer.inherited.remove(&item);
                self.report_undone(&item, &ask);
                let record = self.writer.record(&item);
                let not_before = record.not_before(&ask.request);
                if let Some(at) = not_before.filter(|at| *at > self.writer.now) {
                    self.writer.delay(&item, at);
                    return;
                }
                self.write_down(&item, &ask);
                self.writer.enqueue(ask.step, item);
            }
        }
    }

    fn report(&mut self, item: &Item, state: &ItemState) {
        let (Item::Address(index, prefix), ItemState::Duplicate) = (item, state) else {
            return;
        };
        let record = self.writer.record_by_item.get(item);
        let is_known = record.is_some_and(|record| record.state.as_ref() == Some(state));
        if !is_known && let Some(id) = self.id_by_index.get(index) {
            let report = LinkReport::Duplicate(*id, *prefix);
            self.writer.reports.push_back(report);
        }
    }

    fn write_down(&mut self, item: &Item, ask: &Ask) {
        let what = ask.write_down;
        if what != WriteDown::Nothing && !self.writer.journal.proves(item) {
            self.writer.record(item).is_fresh = true;
        }
        let journal = &mut self.writer.journal;
        let kind = |index: &u32| Some(&self.observed.link_message(*index)?.kind);
        match (what, item) {
            (WriteDown::OursBare(supplier), Item::Address(index, prefix)) => {
                journal.write_down(item, supplier, kind(index));
                journal.write_down_bare(*index, *prefix);
                // Whoever has made it is there, or was a moment ago.
                self.writer.proven.insert((*index, *prefix));
            }
            (WriteDown::Ours(supplier), Item::Address(index, _)) => {
                journal.write_down(item, supplier, kind(index));
            }
            (WriteDown::Ours(supplier) | WriteDown::OursBare(supplier), _) => {
                journal.write_down(item, supplier, None);
                let route = ask.request.route();
                route.into_iter().for_each(|it| journal.write_down_ways(it));
            }
            (WriteDown::Changed(is, ours), Item::Setting(index, setting)) => {
                journal.write_down_setting((*index, *setting), is, ours, kind(index));
            }
            (WriteDown::Nothing | WriteDown::Changed(..), _) => {}
        }
    }

    fn take_done(&mut self, item: &Item, request: &KernelRequest, now: Instant) {
        if let (
            Item::Setting(index, Setting::Switch(switch)),
            KernelRequest::SetSwitch { value, .. },
        ) = (item, request)
        {
            // The kernel tells of none.
            self.observed.set_switch(*index, *switch, *value);
        }
        self.writer.adopting.remove(item);
        self.writer.follow_ways(request);
        self.writer.follow_rivals(item, request);
        let is_forth = self.is_forth(item, request);
        if let Some(record) = self.writer.record_by_item.get_mut(item) {
            record.done(request, is_forth, now);
        }
        self.writer.dirty.insert(item.clone());
    }

    fn take_fault(
        &mut self,
        item: Item,
        request: &KernelRequest,
        fault: KernelFault,
        now: Instant,
    ) {
        let errno = fault.errno;
        self.writer.expect_turn(request, false);
        if request.is_deletion() && NOT_THERE.contains(&errno) {
            // The kernel drops routes in silence.
            if let KernelRequest::DeleteRoute(route) = request {
                let gone = KernelEvent::OwnRouteGone(route.clone());
                self.observed.apply(gone, now);
            } else if let KernelRequest::DeleteRule(rule) = request {
                self.observed
                    .apply(KernelEvent::RuleGone(rule.clone()), now);
            }
            return self.take_done(&item, request, now);
        }
        if let (KernelRequest::SetMac { index, .. }, EBUSY) = (request, errno)
            && self.writer.needs_down.insert(*index)
        {
            self.writer.mark_anew(item);
            return;
        }
        self.take_back_ways(request);
        let links = self.view().indexes_of(&item);
        self.writer.mended_by(&item, links);
        if let Item::Setting(index, Setting::Switch(_)) = item {
            self.writer.settled_switch(index);
        }
        let route = request.route();
        if let Some(source) = route.and_then(|route| route.source)
            && errno == EINVAL
        {
            self.writer.awaits(&item, source);
        }
        let is_by_several = route.is_some_and(|route| route.hops.len() > 1);
        let record = self.writer.record(&item);
        if errno == EEXIST {
            let _mended_by_events = record.failed(fault, now);
            record.state = Some(ItemState::Foreign);
            // What is there was not made by us, whatever its number.
            if std::mem::take(&mut record.is_fresh) {
                self.writer.journal.strike(&item);
            }
            // Of most routes of others nothing is told, so that nobody hears when this one has gone.
            if let Item::Route(_) = item {
                let at = self.writer.record(&item).slowly(now);
                self.writer.delay_long(&item, at);
                self.adopt_late(item);
            }
        } else if fault.passes() {
            let at = record.put_off(fault, now);
            self.writer.delay(&item, at);
        } else if let Some(at) = record.failed(fault, now) {
            // What mends it may have been told before the kernel's answer was: an address that routes begin with becomes
            // usable by itself, a moment after it was added.
            self.writer.delay(&item, at);
        } else if record.is_slow() || NO_WAY.contains(&errno) || is_by_several {
            // Somebody else's route may lead to the gateway, and a hop may hang on another link.
            let at = record.slowly(now);
            self.writer.delay_long(&item, at);
        }
    }
}

impl Writer {
    fn enqueue(&mut self, step: Step, item: Item) {
        self.dequeue(&item);
        self.step_by_item.insert(item.clone(), step);
        self.queue.insert((step, item));
    }

    fn dequeue(&mut self, item: &Item) {
        if let Some(step) = self.step_by_item.remove(item) {
            self.queue.remove(&(step, item.clone()));
        }
    }

    fn send(&mut self, item: Item, request: KernelRequest) -> (RequestId, KernelRequest) {
        self.requests += 1;
        let id = RequestId(self.requests);
        let now = self.now;
        let record = self.record(&item);
        record.sent(&request, now);
        // What is only looked at may be as it was.
        if !request.is_read() {
            record.state = Some(ItemState::Waiting);
        }
        self.expect_turn(&request, true);
        self.busy.insert(item.clone());
        self.in_flight.insert(id, (item, request.clone()));
        (id, request)
    }

    /// Forgets an item that nobody wants and that is not ours.
    fn let_go(&mut self, item: &Item) {
        self.not_mended(item);
        self.journal.strike(item);
        self.record_by_item.remove(item);
        self.inherited.remove(item);
        self.adopting.remove(item);
    }

    fn record(&mut self, item: &Item) -> &mut Record {
        self.record_by_item.entry(item.clone()).or_default()
    }

    /// Follows that a switch is as it will be: its link may go up, and addresses may come that waited for it.
    fn settled_switch(&mut self, index: u32) {
        let waits = |(of, item): &&(u32, Item)| {
            *of == index && matches!(item, Item::Setting(_, Setting::Up) | Item::Address(..))
        };
        let first = (index, Item::Setting(0, Setting::Up));
        let here = self
            .unsatisfied
            .range(first..)
            .take_while(|(of, _)| *of == index);
        let waiting = here.filter(waits).map(|(_, item)| item.clone());
        self.dirty.extend(waiting);
    }

    fn mark_anew(&mut self, item: Item) {
        if let Some(record) = self.record_by_item.get_mut(&item) {
            record.begin_anew();
        }
        self.dirty.insert(item);
    }

    fn forget_requests(&mut self) {
        self.dirty.clear();
        self.dirty_later.clear();
        self.queue.clear();
        self.step_by_item.clear();
        self.delayed.clear();
        self.late.clear();
    }

    /// Whether nothing is under way, and nothing will be before something changes.
    fn is_at_rest(&self) -> bool {
        self.in_flight.is_empty()
            && self.queue.is_empty()
            && self.dirty.is_empty()
            && self.delayed.is_empty()
    }
}
