//! What is a scope while it runs? Its place in the cache, its upstreams, and which of them is asked first.
//!
//! A scope keeps its incarnation as long as a question that was sent into it may still be answered from it: a scope with
//! another owner or link, or one that was not ready in between, is another one. Does not route names.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use config::model::{DnssecMode, Selection, Upstream};
use config::time::Instant;
use policy::{DnsPlan, ScopeId, ScopePlan, ScopeState};
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::cache::{Cache, Slot};
use crate::discovery::Discovered;
use crate::event::{GroupId, Hangup, ScopeStatus, UpstreamStatus};
use crate::exchange::{Asking, Way, Whom};
use crate::ledger::ScopeCounts;
use crate::networks::Networks;
use crate::outages::Outages;
use crate::proof::Proof;
use crate::upstream::{Change, Outcome, UpstreamState};

/// Of so many questions one goes to an upstream that is not known to be the fastest.
const EXPLORE_ONE_IN: u32 = 32;

/// The running side of a scope.
#[derive(Debug)]
pub(crate) struct Scope {
    /// Never that of another scope, and never that of this one before its link was lost.
    pub(crate) incarnation: u64,
    pub(crate) slot: Slot,
    pub(crate) plan: ScopePlan,
    /// Whose connections its messages may use; another one when its link leads to another network.
    pub(crate) group: GroupId,
    /// What its plain upstreams said of their encrypted forms.
    pub(crate) discovered: Vec<Discovered>,
    /// Failures that are kept in its cache.
    pub(crate) outages: Outages,
    upstreams: Vec<UpstreamState>,
}

/// All scopes.
#[derive(Debug, Default)]
pub(crate) struct Scopes {
    scope_by_id: BTreeMap<ScopeId, Scope>,
    incarnations: u64,
    hangups: VecDeque<Hangup>,
    /// The marks that messages may have.
    marks: BTreeSet<u32>,
}

impl Scopes {
    pub(crate) fn get(&self, id: &ScopeId) -> Option<&Scope> {
        self.scope_by_id.get(id)
    }

    /// Returns a scope that can be asked, if it still is the one with this incarnation.
    pub(crate) fn living(&mut self, id: &ScopeId, incarnation: u64) -> Option<&mut Scope> {
        let scope = self.scope_by_id.get_mut(id)?;
        (scope.incarnation == incarnation && scope.plan.state == ScopeState::Ready).then_some(scope)
    }

    /// Follows a plan. What must be forgotten is gone from the cache afterwards.
    pub(crate) fn apply(
        &mut self,
        plan: &DnsPlan,
        networks: &Networks,
        cache: &Cache,
        now: Instant,
    ) {
        let mut before = std::mem::take(&mut self.scope_by_id);
        let mut ended: Vec<GroupId> = before.values().map(|scope| scope.group).collect();
        for (id, planned) in &plan.scopes {
            let scope = match before.remove(id) {
                Some(scope) if scope.stays(planned) => {
                    if scope.moves(planned) {
                        self.incarnations += 1;
                    } else {
                        ended.retain(|group| *group != scope.group);
                        self.hangups.extend(scope.forsaken(planned));
                    }
                    scope.follow(planned, GroupId(self.incarnations), networks, cache, now)
                }
                gone => {
                    if let Some(gone) = gone {
                        cache.close(gone.slot);
                    }
                    self.incarnations += 1;
                    Scope::new(self.incarnations, planned, networks, cache, now)
                }
            };
            self.scope_by_id.insert(id.clone(), scope);
        }
        for gone in before.into_values() {
            cache.close(gone.slot);
        }
        self.hangups.extend(ended.into_iter().map(|group| Hangup {
            group,
            upstream: None,
        }));
    }

    /// Notes that there may be messages with this mark.
    pub(crate) fn expect_marks(&mut self, mark: u32) {
        if mark != 0 {
            self.marks.insert(mark);
        }
    }

    /// Closes all connections; questions make new ones.
    pub(crate) fn hang_up(&mut self) {
        let groups = self.scope_by_id.values().map(|scope| scope.group);
        self.hangups.extend(groups.map(|group| Hangup {
            group,
            upstream: None,
        }));
    }

    pub(crate) fn poll_hangup(&mut self) -> Option<Hangup> {
        let hangup = self.hangups.pop_front()?;
        // Connections of marked messages end with those of the others.
        if hangup.group == hangup.group.unmarked() {
            for mark in &self.marks {
                self.hangups.push_front(Hangup {
                    group: hangup.group.marked(*mark),
                    upstream: hangup.upstream.clone(),
                });
            }
        }
        Some(hangup)
    }

    /// Forgets what is known of whether scopes can validate: it is asked again.
    pub(crate) fn doubt(&mut self) {
        let scopes = self.scope_by_id.values_mut();
        for state in scopes.flat_map(|scope| &mut scope.upstreams) {
            state.proof = Proof::default();
        }
    }

    /// Shows the same cookie to nobody from two addresses.
    pub(crate) fn renew_cookies(&mut self) {
        let scopes = self.scope_by_id.values_mut();
        for state in scopes.flat_map(|scope| &mut scope.upstreams) {
            state.manners.renew_cookie();
        }
    }

    /// Returns what every scope is doing.
    pub(crate) fn status(&self, cache: &Cache, now: Instant) -> Vec<ScopeStatus> {
        let scopes = self.scope_by_id.iter();
        scopes
            .map(|(id, scope)| {
                let usage = cache.usage(scope.slot);
                ScopeStatus {
                    id: id.clone(),
                    dnssec: scope.describe_stance(),
                    upstreams: scope.upstreams_status(now),
                    cache_entries: usage.entries,
                    cache_bytes: usage.bytes,
                    cache_hits: usage.hits,
                    cache_misses: usage.misses,
                    cache_evicted: usage.evicted,
                    // Kept elsewhere: it outlives the upstreams of a network.
                    counts: ScopeCounts::default(),
                }
            })
            .collect()
    }
}

impl Scope {
    fn new(
        incarnation: u64,
        plan: &ScopePlan,
        networks: &Networks,
        cache: &Cache,
        now: Instant,
    ) -> Self {
        let mut scope = Self {
            incarnation,
            slot: cache.open(),
            plan: plan.clone(),
            group: GroupId(incarnation),
            discovered: Vec::new(),
            outages: Outages::default(),
            upstreams: Vec::new(),
        };
        let planned = plan.upstreams.iter().cloned();
        let states = planned.map(|upstream| met(upstream, plan, networks, now));
        scope.seat(states.collect(), networks, now);
        scope
    }

    /// Returns how its messages go.
    pub(crate) fn way(&self) -> Way {
        Way {
            link: self.plan.link.clone(),
            group: self.group,
        }
    }

    pub(crate) fn state(&self, upstream: &Upstream) -> Option<&UpstreamState> {
        self.upstreams
            .iter()
            .find(|state| state.upstream == *upstream)
    }

    pub(crate) fn state_mut(&mut self, upstream: &Upstream) -> Option<&mut UpstreamState> {
        self.upstreams
            .iter_mut()
            .find(|state| state.upstream == *upstream)
    }

    /// Takes all upstreams out, to seat them anew.
    pub(crate) fn take_states(&mut self) -> Vec<UpstreamState> {
        std::mem::take(&mut self.upstreams)
    }

    /// Puts the upstreams in, in order.
    pub(crate) fn put_states(&mut self, states: Vec<UpstreamState>) {
        self.upstreams = states;
    }

    pub(crate) fn states_mut(&mut self) -> impl Iterator<Item = &mut UpstreamState> {
        self.upstreams.iter_mut()
    }

    pub(crate) fn states(&self) -> impl Iterator<Item = &UpstreamState> + Clone {
        self.upstreams.iter()
    }

    /// Returns the upstreams that a question may go to.
    pub(crate) fn meant(&self, asking: &Asking) -> impl Iterator<Item = &UpstreamState> {
        self.states().filter(|state| is_open(state, asking, &[]))
    }

    /// Takes what became of a message to an upstream.
    pub(crate) fn take(
        &mut self,
        upstream: &Upstream,
        outcome: Outcome,
        sent_at: Instant,
        now: Instant,
    ) -> Change {
        let works = |state: &UpstreamState| state.upstream != *upstream && !state.is_failing();
        let alone = !self.upstreams.iter().any(works);
        self.state_mut(upstream).map_or(Change::Nothing, |state| {
            state.take(outcome, sent_at, alone, now)
        })
    }

    /// Returns the upstream to ask next: the working ones first, the failing ones after them; of an answer that is to be
    /// validated, those through which that cannot be come after the others.
    pub(crate) fn choose(
        &self,
        asking: &Asking,
        tried: &[Upstream],
        rng: &mut StdRng,
    ) -> Option<Upstream> {
        let fresh = |state: &&UpstreamState| is_open(state, asking, tried);
        if let Whom::First(first) = &asking.whom
            && let Some(state) = self.state(first).filter(fresh)
        {
            return Some(state.upstream.clone());
        }
        if self.plan.selection == Selection::Fastest {
            let working: Vec<&UpstreamState> = self.working(asking, tried).collect();
            if working.len() > 1 && rng.random_ratio(1, EXPLORE_ONE_IN) {
                let chosen = working.get(rng.random_range(0..working.len()));
                return chosen.map(|state| state.upstream.clone());
            }
        }
        self.best(asking, tried).map(|state| state.upstream.clone())
    }

    /// Returns whom a question would go to first as things are, but for those that go elsewhere so that times stay known.
    pub(crate) fn first(&self, asking: &Asking) -> Vec<Upstream> {
        let mut first = Vec::new();
        first.extend(self.best(asking, &[]).map(|state| state.upstream.clone()));
        if self.asks_two(asking, &first) {
            let second = self.best(asking, &first);
            first.extend(second.map(|state| state.upstream.clone()));
        }
        first
    }

    /// Returns the best upstream that is left, by what is known.
    fn best(&self, asking: &Asking, tried: &[Upstream]) -> Option<&UpstreamState> {
        let mut working = self.working(asking, tried);
        let chosen = match self.plan.selection {
            Selection::Ordered => working.next(),
            // One whose time is unknown comes first, so that it becomes known.
            Selection::Fastest | Selection::Hedged => working.min_by_key(|state| state.srtt()),
        };
        let failing = || {
            let left = self.upstreams.iter();
            left.filter(|state| is_open(state, asking, tried))
                .min_by_key(|state| state.despair())
        };
        chosen.or_else(failing)
    }

    /// Whether a question that went to one upstream goes to another one at once.
    pub(crate) fn asks_two(&self, asking: &Asking, tried: &[Upstream]) -> bool {
        self.plan.selection == Selection::Hedged && self.working(asking, tried).next().is_some()
    }

    /// Returns the upstreams that work and are left.
    fn working<'a, 'b>(
        &'a self,
        asking: &'b Asking,
        tried: &'b [Upstream],
    ) -> impl Iterator<Item = &'a UpstreamState> + use<'a, 'b> {
        let works = move |state: &&UpstreamState| {
            is_open(state, asking, tried) && !state.is_failing() && !self.has_form(state)
        };
        let is_proven = |state: &UpstreamState| !state.proof.is_unproven();
        let only_proven = asking.validate && self.upstreams.iter().filter(works).any(is_proven);
        let all = self.upstreams.iter().filter(works);
        all.filter(move |state| !only_proven || is_proven(state))
    }

    /// Whether an upstream has a form that works: it comes after all that work, however fast it is.
    fn has_form(&self, state: &UpstreamState) -> bool {
        let same = |form: &UpstreamState| match &form.before {
            Some(before) => *before == state.upstream,
            None => {
                let (form, plain) = (&form.upstream, &state.upstream);
                form.address == plain.address && form.zone == plain.zone
            }
        };
        !state.is_optional()
            && self
                .upstreams
                .iter()
                .any(|form| form.is_optional() && !form.is_failing() && same(form))
    }

    /// Whether an upstream is left that is not in `tried`.
    pub(crate) fn has_untried(&self, asking: &Asking, tried: &[Upstream]) -> bool {
        self.upstreams
            .iter()
            .any(|state| is_open(state, asking, tried))
    }

    /// Returns the failing upstreams that it is time to try again, and notes that they are; one that ranks before `asked`
    /// is tried more often than one that would not be asked if it worked.
    pub(crate) fn take_due(&mut self, asked: &Upstream, now: Instant) -> Vec<Upstream> {
        let ordered = self.plan.selection == Selection::Ordered;
        let mut before = true;
        let mut due = Vec::new();
        for state in &mut self.upstreams {
            if state.upstream == *asked {
                before = false;
                continue;
            }
            let first = before || !ordered;
            if state.may_watch() && state.try_at(first).is_some_and(|at| now >= at) {
                state.note_tried(now);
                due.push(state.upstream.clone());
            }
        }
        due
    }

    /// Whether all of its upstreams are encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        let upstreams = &self.plan.upstreams;
        !upstreams.is_empty() && upstreams.iter().all(|one| one.transport.is_encrypted())
    }

    /// Whether questions in flight and cached answers outlive a change to `planned`.
    fn stays(&self, planned: &ScopePlan) -> bool {
        let link = |plan: &ScopePlan| plan.link.as_ref().map(|link| link.id);
        let ready = |plan: &ScopePlan| plan.state == ScopeState::Ready;
        // A link that was down in between may lead to another network.
        self.plan.owner == planned.owner
            && link(&self.plan) == link(planned)
            && ready(&self.plan) == ready(planned)
    }

    /// Whether a change to `planned` leads to another network. The first word on where this is, is no news of that kind.
    fn moves(&self, planned: &ScopePlan) -> bool {
        self.plan.network != planned.network && self.plan.network.is_some()
    }

    /// Returns the connections to upstreams that `planned` does not have.
    fn forsaken(&self, planned: &ScopePlan) -> Vec<Hangup> {
        let upstreams = self.plan.upstreams.iter();
        upstreams
            .filter(|upstream| !planned.upstreams.contains(upstream))
            .map(|upstream| Hangup {
                group: self.group,
                upstream: Some(upstream.clone()),
            })
            .collect()
    }

    fn follow(
        mut self,
        planned: &ScopePlan,
        group: GroupId,
        networks: &Networks,
        cache: &Cache,
        now: Instant,
    ) -> Self {
        let set = |plan: &ScopePlan| plan.upstreams.iter().cloned().collect::<BTreeSet<_>>();
        // What one network says is not told in another.
        let moved = self.moves(planned);
        let placed = self.plan.network.is_none() && planned.network.is_some();
        if moved {
            self.group = group;
            self.forget_forms();
        }
        if moved || set(&self.plan) != set(planned) {
            cache.close(self.slot);
            self.slot = cache.open();
            self.outages.clear();
        }
        let mut before = std::mem::take(&mut self.upstreams);
        for upstream in planned.upstreams.iter().cloned() {
            let known = before.iter().position(|state| state.upstream == upstream);
            let mut state = known.map_or_else(
                || met(upstream, planned, networks, now),
                |at| before.swap_remove(at),
            );
            // Now that it is known where this is, so is what was found out here before.
            if moved || placed && state.has_told_nothing() {
                state = met(state.upstream, planned, networks, now);
            }
            self.upstreams.push(state);
        }
        self.plan = planned.clone();
        let mut known = self.take_states();
        // A form that worked elsewhere is one that was never met here.
        before.retain(|state| !(moved || placed && state.has_told_nothing()));
        known.extend(before);
        self.seat(known, networks, now);
        self
    }

    fn upstreams_status(&self, now: Instant) -> Vec<UpstreamStatus> {
        let current = self.current();
        // Whoever ranks before the one in use would be asked in its place.
        let mut first = true;
        let mut status = Vec::new();
        for state in &self.upstreams {
            let is_current = Some(&state.upstream) == current;
            first &= !is_current || self.plan.selection != Selection::Ordered;
            let mut told = state.status(is_current, first, now);
            if self.plan.dnssec == DnssecMode::Off {
                // Nobody will ask.
                told.proof.clear();
            }
            status.push(told);
        }
        status
    }

    fn current(&self) -> Option<&Upstream> {
        let working = self.upstreams.iter().filter(|state| !state.is_failing());
        let best = match self.plan.selection {
            Selection::Ordered => working.into_iter().next(),
            Selection::Fastest | Selection::Hedged => {
                working.min_by_key(|state| state.srtt().unwrap_or(Duration::MAX))
            }
        };
        best.map(|state| &state.upstream)
    }
}

/// Returns an upstream as it is when it is met, with what is remembered of it in this network.
fn met(upstream: Upstream, plan: &ScopePlan, networks: &Networks, now: Instant) -> UpstreamState {
    let network = plan.network.as_ref();
    let known = network.and_then(|network| networks.memory(network, &upstream));
    known.map_or_else(
        || UpstreamState::new(upstream.clone()),
        |memory| UpstreamState::remembered(upstream.clone(), memory, now),
    )
}

/// Whether an upstream may be asked next.
fn is_open(state: &UpstreamState, asking: &Asking, tried: &[Upstream]) -> bool {
    let is_meant = match &asking.whom {
        Whom::Any | Whom::First(_) => true,
        Whom::Only(only) => *only == state.upstream,
    };
    is_meant && !tried.contains(&state.upstream)
}
