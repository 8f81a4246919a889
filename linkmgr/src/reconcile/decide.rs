//! What has to be asked of the kernel for one item, if anything? Compares plan, kernel and journal; changes none of them.
//!
//! What is as planned is left alone, whoever made it. What the plan does not want goes only when the journal proves it to
//! be ours, and the kernel says so too where it can.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use config::model::{ConflictUse, PolicyRule, Prefix};
use config::time::Instant;
use policy::facts::{Preference, Supplier};
use policy::links::{AddressPlan, HopPlan, RouteKey, RoutePlan};
use policy::{LinkId, LinkPlan, LinksPlan};

use super::addresses::{preferred_until, prefix_metric};
use super::rivals::Rivals;
use crate::journal::{AddressMarks, Journal, Value};
use crate::kernel::{NextHop, OwnRoute, Usability};
use crate::observed::{Observed, ObservedAddress, ObservedRoute};
use crate::request::KernelRequest;
use crate::status::{Item, ItemState, Setting, StopLevel};
use crate::watches::Standing;

/// The kernel tells lifetimes in whole seconds, and takes them so; the moment when it tells them is kept in whole seconds too.
const TOLERANCE: Duration = Duration::from_secs(3);

/// Everything that a decision depends on.
pub(super) struct View<'a> {
    pub(super) plan: Option<&'a LinksPlan>,
    /// Which links want a route; the first one has it.
    pub(super) claimants: &'a BTreeSet<(RouteKey, LinkId)>,
    pub(super) observed: &'a Observed,
    pub(super) journal: &'a Journal,
    pub(super) id_by_index: &'a BTreeMap<u32, LinkId>,
    /// Which addresses the kernel marks as ours.
    pub(super) marks: AddressMarks,
    /// What a run before has left, while its suppliers have time to say it again.
    pub(super) inherited: &'a BTreeSet<Item>,
    /// Links that somebody has taken down by hand.
    pub(super) overridden: &'a BTreeSet<u32>,
    /// Links whose hardware address does not change while they are up.
    pub(super) needs_down: &'a BTreeSet<u32>,
    /// What is known of others that have static addresses.
    pub(super) standings: &'a BTreeMap<(u32, Ipv4Addr), Standing>,
    /// What is to be written once more: somebody else's that is to be ours, or ours with another metric.
    pub(super) adopting: &'a BTreeSet<Item>,
    /// Links that were adopted a moment ago, and until when that holds.
    pub(super) adopted: &'a BTreeMap<u32, Instant>,
    /// Addresses without the kernel's route for their prefix that are known to have another one still.
    pub(super) proven: &'a BTreeSet<(u32, Prefix)>,
    /// Default routes of others that are to go as ours.
    pub(super) rivals: &'a BTreeMap<RouteKey, Rivals>,
    /// What is yet to be compared, or is under way.
    pub(super) unsettled: Unsettled<'a>,
    pub(super) stopping: Option<StopLevel>,
    pub(super) now: Instant,
}

/// Items that have to be compared, that have to be asked for, and that the kernel is asked for.
#[derive(Clone, Copy)]
pub(super) struct Unsettled<'a> {
    pub(super) dirty: &'a BTreeSet<Item>,
    pub(super) queued: &'a BTreeMap<Item, Step>,
    pub(super) busy: &'a BTreeSet<Item>,
}

impl Unsettled<'_> {
    pub(super) fn contains(self, item: &Item) -> bool {
        self.dirty.contains(item) || self.queued.contains_key(item) || self.busy.contains(item)
    }
}

/// In which order requests are sent: what others need comes first, what others need goes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Read,
    Switch,
    Mac,
    Up,
    Mtu,
    Mtu6,
    /// An address that goes so that it can come again.
    AddressFirst,
    Address,
    Route,
    Rule,
    RuleGone,
    RouteGone,
    AddressGone,
    MtuBack,
    UpBack,
    MacBack,
    SwitchBack,
}

/// What becomes of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nobody wants it, and it is not there, or is not ours.
    Nothing,
    /// It is as it is to be, or has to stay as it is.
    Settled(ItemState),
    /// It has to wait for something else.
    Wait(ItemState),
    /// The kernel has to be asked.
    Ask(Ask),
}

/// A request, and what has to be written down before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) step: Step,
    pub(super) request: KernelRequest,
    pub(super) write_down: WriteDown,
}

/// What the journal has to say before a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteDown {
    Nothing,
    /// The item is ours, for this supplier.
    Ours(Option<Supplier>),
    /// The address is ours, for this supplier, and was made by somebody else, who has a route of his own for its prefix.
    OursBare(Option<Supplier>),
    /// The setting is the first, and is to be the second.
    Changed(Value, Value),
}

impl View<'_> {
    pub(super) fn decide(&self, item: &Item) -> Decision {
        if self.is_held(item) {
            return Decision::Wait(ItemState::Waiting);
        }
        match item {
            Item::Setting(index, setting) => self.setting(*index, *setting),
            Item::Address(index, prefix) => self.address(item, *index, *prefix),
            Item::Route(key) => self.route(item, key),
            Item::Rule(rule) => self.rule(item, rule),
        }
    }

    /// Whether an item is on a link that stays as it is: what its profile wants cannot be read.
    fn is_held(&self, item: &Item) -> bool {
        let Some(plan) = self.plan.filter(|plan| !plan.held.is_empty()) else {
            return false;
        };
        let is_on_held = |index: u32| {
            let id = self.id_by_index.get(&index);
            id.is_some_and(|id| plan.held.contains(id))
        };
        let is_held = match item {
            Item::Setting(index, _) | Item::Address(index, _) => is_on_held(*index),
            Item::Route(key) if self.planned_route(key).is_none() => {
                let route = self.observed.own().route(key).into_iter();
                let mut hops = route.flat_map(|route| &route.route.hops);
                hops.any(|hop| is_on_held(hop.index))
            }
            Item::Route(_) | Item::Rule(_) => false,
        };
        self.stopping != Some(StopLevel::Clean) && is_held
    }

    /// The link's plan, unless everything is to go.
    pub(super) fn link(&self, index: u32) -> Option<&LinkPlan> {
        if self.stopping == Some(StopLevel::Clean) {
            return None;
        }
        self.plan?.links.get(self.id_by_index.get(&index)?)
    }

    /// Returns which link has a route, and how it is to be.
    pub(super) fn planned_route(&self, key: &RouteKey) -> Option<(LinkId, &RoutePlan)> {
        if self.stopping == Some(StopLevel::Clean) {
            return None;
        }
        let links = &self.plan?.links;
        let first = LinkId { index: 0, birth: 0 };
        let claimants = self.claimants.range((*key, first)..);
        claimants
            .take_while(|(claimed, _)| claimed == key)
            .filter_map(|(_, id)| Some((*id, links.get(id)?.routes.get(key)?)))
            .find(|(_, route)| !self.is_over(route.valid_until))
    }

    fn is_over(&self, until: Option<Instant>) -> bool {
        until.is_some_and(|until| self.left(until) == 0)
    }

    /// Whole seconds from now.
    pub(super) fn left(&self, until: Instant) -> u32 {
        let seconds = until.since(self.now).as_secs();
        // The greatest number means for ever.
        u32::try_from(seconds).map_or(u32::MAX - 1, |seconds| seconds.min(u32::MAX - 1))
    }

    fn is_same_time(&self, planned: Option<Instant>, observed: Option<Instant>) -> bool {
        match (planned, observed) {
            (None, None) => true,
            (Some(planned), Some(observed)) => {
                let are_over = planned <= self.now && observed <= self.now + TOLERANCE;
                let apart = planned.since(observed).max(observed.since(planned));
                are_over || apart <= TOLERANCE
            }
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    /// Whether what a run before has left waits for its supplier to say it again: a lease is not cut by a restart.
    fn may_come_back(&self, item: &Item, index: Option<u32>) -> bool {
        let Some(link) = index.and_then(|index| self.link(index)) else {
            return false;
        };
        if !self.inherited.contains(item) {
            return false;
        }
        let clients = &link.clients;
        match self.journal.supplier(item) {
            Some(Supplier::Dhcp4) => clients.dhcp4.is_some(),
            Some(Supplier::Dhcp6) => clients.dhcp6.is_some(),
            Some(Supplier::Ra) => clients.ra.is_some(),
            Some(Supplier::Ipv4ll) => clients.ipv4ll,
            None => false,
        }
    }

    fn address(&self, item: &Item, index: u32, prefix: Prefix) -> Decision {
        if self.observed.link_message(index).is_none() {
            return Decision::Nothing;
        }
        let planned = self
            .link(index)
            .and_then(|link| link.addresses.get(&prefix));
        let planned = planned.filter(|planned| !self.is_over(planned.valid_until));
        let observed = self.observed.address_of(index, &prefix);
        match (planned, observed) {
            (None, None) => Decision::Nothing,
            (None, Some(observed)) if self.is_ours(item, observed) => {
                if self.may_come_back(item, Some(index)) {
                    return Decision::Wait(ItemState::Waiting);
                }
                self.delete_address(Step::AddressGone, index, observed)
            }
            (None, Some(_)) => Decision::Nothing,
            // It may end while nobody of ours lives to see it.
            (Some(planned), _)
                if prefix.address.is_ipv4()
                    && planned.valid_until.is_some()
                    && self.awaits_promotion(index) =>
            {
                Decision::Wait(ItemState::Waiting)
            }
            (Some(planned), observed) => {
                let found = self.found(index, prefix, planned);
                self.wanted_address(item, index, planned, observed, found)
            }
        }
    }

    /// What is known of others that have an address; `None` where nobody asks.
    fn found(&self, index: u32, prefix: Prefix, planned: &AddressPlan) -> Option<Standing> {
        let IpAddr::V4(address) = prefix.address else {
            return None;
        };
        let link = self.observed.link_message(index)?;
        if planned.conflicts == ConflictUse::Ignore || !link.arp || link.mac.is_none() {
            return None;
        }
        let found = self.standings.get(&(index, address)).copied();
        Some(found.unwrap_or(Standing::Unknown))
    }

    fn wanted_address(
        &self,
        item: &Item,
        index: u32,
        planned: &AddressPlan,
        observed: Option<&ObservedAddress>,
        found: Option<Standing>,
    ) -> Decision {
        let Item::Address(_, prefix) = item else {
            return Decision::Nothing;
        };
        let Some(observed) = observed else {
            return match found.filter(|_| planned.conflicts.yields()) {
                Some(Standing::Unknown) => Decision::Wait(ItemState::Probing),
                Some(Standing::Unasked) => Decision::Wait(ItemState::Unasked),
                Some(Standing::Conflict(neighbour)) => {
                    Decision::Wait(ItemState::Conflict(neighbour))
                }
                Some(Standing::Free) | None => self.add_address(index, *prefix, planned),
            };
        };
        let found = match found {
            Some(Standing::Conflict(neighbour)) => ItemState::Conflict(neighbour),
            Some(Standing::Unasked) => ItemState::Unasked,
            Some(Standing::Unknown | Standing::Free) | None => {
                return self.compare_address(item, index, planned, observed);
            }
        };
        let is_taken = matches!(found, ItemState::Conflict(_));
        if is_taken && planned.conflicts.yields() && self.is_ours(item, observed) {
            return self.delete_address(Step::AddressGone, index, observed);
        }
        let mut decision = self.compare_address(item, index, planned, observed);
        if let Decision::Settled(state @ (ItemState::Ours | ItemState::Adopted)) = &mut decision {
            *state = found;
        }
        decision
    }

    pub(super) fn is_ours(&self, item: &Item, observed: &ObservedAddress) -> bool {
        let is_ipv6 = observed.prefix.address.is_ipv6();
        self.journal.proves(item) && self.marks.admit(observed.protocol, is_ipv6)
    }

    fn add_address(&self, index: u32, prefix: Prefix, planned: &AddressPlan) -> Decision {
        // The kernel tells IPv6 addresses apart by the address alone.
        let addresses = self.observed.addresses_of(index).iter();
        let mut others = addresses.filter(|other| other.prefix.address == prefix.address);
        if prefix.address.is_ipv6()
            && let Some(other) = others.next()
        {
            let item = Item::Address(index, other.prefix);
            let is_leaving = self.is_ours(&item, other)
                && self
                    .link(index)
                    .is_some_and(|link| !link.addresses.contains_key(&other.prefix));
            return Decision::Wait(match is_leaving {
                true => ItemState::Waiting,
                false => ItemState::Foreign,
            });
        }
        Decision::Ask(Ask {
            step: Step::Address,
            request: KernelRequest::AddAddress(self.address_request(index, prefix, planned)),
            write_down: WriteDown::Ours(planned.supplier),
        })
    }

    fn compare_address(
        &self,
        item: &Item,
        index: u32,
        planned: &AddressPlan,
        observed: &ObservedAddress,
    ) -> Decision {
        let is_ours = self.is_ours(item, observed);
        if let Some(doubt) = self.doubt(index, observed).filter(|_| is_ours) {
            return doubt;
        }
        if observed.usability() == Usability::Duplicate {
            return Decision::Settled(ItemState::Duplicate);
        }
        let is_ipv6 = observed.prefix.address.is_ipv6();
        let wanted = self.attributes(index, observed.prefix.address, planned);
        let has = self.observed.attributes(index, observed.prefix);
        // IPv4 takes no other flags in place, and neither family another end; of an address that somebody else made they are not
        // worth its loss, nor when it is ours by now. Nor is a label that nobody asked for: the kernel makes some itself.
        let is_usual = |wanted| wanted && self.journal.is_bare(index, observed.prefix);
        let has_other_label = wanted.label.is_some() && wanted.label != has.label;
        let has_other_prefix = planned.no_prefix_route != observed.no_prefix_route();
        let has_other_peer = wanted.peer != has.peer && !is_usual(wanted.peer.is_none());
        let has_other_flags = has_other_prefix && !is_usual(!planned.no_prefix_route)
            || wanted.scope != has.scope && !is_usual(wanted.scope.is_none());
        if is_ours && (!is_ipv6 && (has_other_flags || has_other_label) || has_other_peer) {
            return self.delete_address(Step::AddressFirst, index, observed);
        }
        // It leads elsewhere than the profile says.
        if wanted.peer.is_some() && wanted.peer != has.peer {
            return Decision::Wait(ItemState::Foreign);
        }
        // Whoever has made an address without the kernel's route for its prefix has made one.
        let has_prefix = !has_other_prefix
            || !is_ours && observed.no_prefix_route() && planned.supplier.is_none();
        let has_dad = !is_ours || wanted.skips_dad == has.skips_dad;
        let has_flags = planned.temporaries == observed.temporaries() && has_prefix && has_dad;
        let lives_as_long = self.is_same_time(planned.valid_until, observed.valid_until())
            && self.is_same_time(preferred_until(planned), observed.preferred_until());
        // Whoever has made an address has chosen where its prefix ranks.
        let metric = self.observed.prefix_metric(index, observed.prefix);
        let has_metric =
            !is_ours || prefix_metric(is_ipv6, metric) == prefix_metric(is_ipv6, planned.metric);
        let is_to_be_marked = self.adopting.contains(item);
        if lives_as_long && (has_flags || !is_ipv6) && has_metric && !is_to_be_marked {
            return Decision::Settled(match is_ours {
                true => ItemState::Ours,
                false => ItemState::Adopted,
            });
        }
        // A lease that we renew is ours to end; an administrator's own address is not, though we may make it last.
        let is_to_be_ours = is_ours || planned.supplier.is_some() || is_to_be_marked;
        let mut request = self.address_request(index, observed.prefix, planned);
        // With another end it would be another address.
        request.attributes.peer = has.peer;
        Decision::Ask(Ask {
            step: Step::Address,
            request: KernelRequest::ReplaceAddress(request),
            write_down: match is_to_be_ours {
                true if !is_ours && (!is_ipv6 && has_other_flags || has_other_peer) => {
                    WriteDown::OursBare(planned.supplier)
                }
                true => WriteDown::Ours(planned.supplier),
                false => WriteDown::Nothing,
            },
        })
    }

    fn route(&self, item: &Item, key: &RouteKey) -> Decision {
        let planned = self.planned_route(key);
        let observed = self.observed.own().route(key);
        let is_ours = self.journal.proves(item);
        match (planned, observed) {
            (None, None) => match self.rivals.get(key).and_then(Rivals::next) {
                // First it is ours, then it goes.
                Some(rival) => Decision::Ask(Ask {
                    step: Step::Route,
                    request: KernelRequest::ReplaceRoute(rival.clone()),
                    write_down: WriteDown::Ours(None),
                }),
                None => Decision::Nothing,
            },
            (None, Some(ObservedRoute { route, .. })) if is_ours => {
                if self.may_come_back(item, route.index()) || self.awaits_better(key, route) {
                    return Decision::Wait(ItemState::Waiting);
                }
                Decision::Ask(Ask {
                    step: Step::RouteGone,
                    request: KernelRequest::DeleteRoute(route.clone()),
                    write_down: WriteDown::Nothing,
                })
            }
            (None, Some(_)) => Decision::Nothing,
            (Some((id, planned)), observed) => {
                let route = self.own_route(id.index, *key, planned);
                let is_adopting = self.adopting.contains(item)
                    && self.was_adopted(id.index)
                    && !self.is_others_place(key, &route);
                let is_to_be_ours = is_ours || is_adopting;
                if let Some(observed) = observed
                    && is_ours == is_to_be_ours
                    && self.is_same_route(&route, planned, observed)
                {
                    return Decision::Settled(match is_ours {
                        true => ItemState::Ours,
                        false => ItemState::Adopted,
                    });
                }
                let mut hops = route.hops.iter();
                if !hops.all(|hop| self.is_or_will_be_up(hop.index)) {
                    return Decision::Wait(ItemState::LinkDown);
                }
                if self.awaits_sibling(key, &route) {
                    return Decision::Wait(ItemState::Waiting);
                }
                let request = match observed {
                    None if !is_adopting => KernelRequest::AddRoute(route),
                    None => KernelRequest::ReplaceRoute(route),
                    Some(_) if is_to_be_ours && !self.observed.is_shared(key) => {
                        KernelRequest::ReplaceRoute(route)
                    }
                    // It has our number, but nothing proves that we have made it; or the kernel would replace another one.
                    Some(_) => return Decision::Wait(ItemState::Foreign),
                };
                Decision::Ask(Ask {
                    step: Step::Route,
                    request,
                    write_down: WriteDown::Ours(planned.supplier),
                })
            }
        }
    }

    /// Whether a link is up, or is asked to be before its routes are asked for.
    fn is_or_will_be_up(&self, index: u32) -> bool {
        let is_planned = || self.planned_setting(index, Setting::Up) == Some(1);
        let link = self.observed.link_message(index);
        link.is_some_and(|link| link.admin_up)
            || is_planned() && !self.overridden.contains(&index) && !self.awaits_switches(index)
    }

    pub(super) fn own_route(&self, index: u32, key: RouteKey, planned: &RoutePlan) -> OwnRoute {
        let is_ipv6 = key.to.address.is_ipv6();
        let hop = |hop: &HopPlan| NextHop {
            index: hop.link.map_or(index, |link| link.index),
            via: hop.via,
            weight: hop.weight,
        };
        let mut hops: Vec<NextHop> = planned.via.iter().map(hop).collect();
        if hops.is_empty() && planned.kind.has_link() {
            hops.push(NextHop::only(index, None));
        }
        let mut route = OwnRoute {
            key,
            kind: planned.kind,
            on_link: planned.on_link && hops.iter().any(|hop| hop.via.is_some()),
            hops,
            source: planned.source,
            mtu: planned.mtu,
            preference: match is_ipv6 {
                true => planned.preference,
                false => Preference::Medium,
            },
            tuning: planned.tuning.clone(),
            valid: planned
                .valid_until
                .filter(|_| is_ipv6)
                .map(|until| self.left(until)),
        };
        route.settle_ways();
        route
    }

    fn is_same_route(
        &self,
        wanted: &OwnRoute,
        planned: &RoutePlan,
        observed: &ObservedRoute,
    ) -> bool {
        let is_ipv6 = wanted.key.to.address.is_ipv6();
        let valid_until = planned.valid_until.filter(|_| is_ipv6);
        let as_wanted = OwnRoute {
            valid: wanted.valid,
            ..observed.route.clone()
        };
        as_wanted == *wanted && self.is_same_time(valid_until, observed.valid_until)
    }

    fn rule(&self, item: &Item, rule: &PolicyRule) -> Decision {
        let is_planned = self.stopping != Some(StopLevel::Clean)
            && self.plan.is_some_and(|plan| plan.rules.contains(rule));
        let is_there = self.observed.own().has_rule(rule);
        let is_ours = self.journal.proves(item);
        let (step, request, write_down) = match (is_planned, is_there) {
            (true, true) if is_ours => return Decision::Settled(ItemState::Ours),
            (true, true) => return Decision::Settled(ItemState::Adopted),
            // The kernel would have two of it.
            (true, false) if self.observed.own().maker_of(rule).is_some() => {
                return Decision::Settled(ItemState::Adopted);
            }
            (true, false) => {
                let request = KernelRequest::AddRule(rule.clone());
                (Step::Rule, request, WriteDown::Ours(None))
            }
            (false, true) if is_ours => {
                let request = KernelRequest::DeleteRule(rule.clone());
                (Step::RuleGone, request, WriteDown::Nothing)
            }
            (false, true | false) => return Decision::Nothing,
        };
        Decision::Ask(Ask {
            step,
            request,
            write_down,
        })
    }
}
