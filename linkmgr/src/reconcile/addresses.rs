//! How is an address said to the kernel? And has one that was taken over without the kernel's route for its prefix still the route that
//! its maker had laid beside it?
//!
//! The kernel tells of no such route, and drops it when the link goes down: of what was not watched it is asked.

use std::net::IpAddr;

use config::model::{AddressAttributes, AddressLabel, AddressScope, Prefix};
use config::time::Instant;
use policy::links::AddressPlan;

use super::Writer;
use super::decide::{Ask, Decision, Step, View, WriteDown};
use crate::LinkManager;
use crate::observed::ObservedAddress;
use crate::request::{AddressRequest, KernelRequest};
use crate::status::Item;

/// What the kernel gives its IPv6 routes for prefixes (`IP6_RT_PRIO_ADDRCONF`).
const USUAL_METRIC6: u32 = 256;

impl LinkManager {
    /// Takes whether the route beside an address is there. Where it is not, the address is ours to make anew, with one.
    pub(super) fn take_prefix_route(&mut self, index: u32, prefix: Prefix, is_there: bool) {
        let item = Item::Address(index, prefix);
        match is_there {
            true => drop(self.writer.proven.insert((index, prefix))),
            false => self.writer.journal.strike_bare_address(index, prefix),
        }
        self.writer.dirty.insert(item);
    }
}

impl Writer {
    /// Forgets which routes beside addresses are known to be there: the link, or each one (`None`), may have been down.
    pub(super) fn doubt_bare(&mut self, index: Option<u32>) {
        self.proven
            .retain(|(of, _)| index.is_some_and(|index| index != *of));
    }
}

impl View<'_> {
    /// Returns the question whether an address has the route beside it, where that is not known.
    pub(super) fn doubt(&self, index: u32, observed: &ObservedAddress) -> Option<Decision> {
        let prefix = observed.prefix;
        let is_doubtful = observed.no_prefix_route()
            && prefix.address.is_ipv4()
            && self.journal.is_bare(index, prefix)
            && !self.proven.contains(&(index, prefix));
        is_doubtful.then_some(Decision::Ask(Ask {
            step: Step::Read,
            request: KernelRequest::ReadPrefixRoute { index, prefix },
            write_down: WriteDown::Nothing,
        }))
    }

    pub(super) fn address_request(
        &self,
        index: u32,
        address: Prefix,
        planned: &AddressPlan,
    ) -> AddressRequest {
        let left = |until: Option<Instant>| until.map(|until| self.left(until));
        let valid = left(planned.valid_until);
        AddressRequest {
            index,
            address,
            preferred: left(preferred_until(planned)),
            valid,
            temporaries: planned.temporaries,
            no_prefix_route: planned.no_prefix_route,
            metric: prefix_metric(address.address.is_ipv6(), planned.metric),
            attributes: self.attributes(index, address.address, planned),
        }
    }

    /// What an address is to be, said as the kernel says it: what is usual is not said.
    pub(super) fn attributes(
        &self,
        index: u32,
        address: IpAddr,
        planned: &AddressPlan,
    ) -> AddressAttributes {
        let AddressAttributes { label, scope, .. } = planned.attributes;
        let name = self.observed.link_message(index).map(|link| &link.name);
        let is_name = |label: &AddressLabel| name.is_some_and(|name| **name == *label.as_str());
        AddressAttributes {
            label: label.filter(|label| !is_name(label)),
            scope: scope.filter(|scope| match address {
                IpAddr::V4(v4) => *scope != AddressScope::usual(v4),
                IpAddr::V6(_) => false,
            }),
            ..planned.attributes
        }
    }

    pub(super) fn delete_address(
        &self,
        step: Step,
        index: u32,
        observed: &ObservedAddress,
    ) -> Decision {
        Decision::Ask(Ask {
            step,
            request: KernelRequest::DeleteAddress {
                index,
                address: observed.prefix,
                peer: self.observed.attributes(index, observed.prefix).peer,
            },
            write_down: WriteDown::Nothing,
        })
    }
}

/// Of IPv6 no metric means none other than before (addrconf.c), so that the usual one has to be named.
pub(super) const fn prefix_metric(is_ipv6: bool, metric: u32) -> u32 {
    match (is_ipv6, metric) {
        (true, 0) => USUAL_METRIC6,
        (_, metric) => metric,
    }
}

/// New connections may not begin with an address for longer than it is there (`EINVAL`).
pub(super) fn preferred_until(planned: &AddressPlan) -> Option<Instant> {
    match (planned.preferred_until, planned.valid_until) {
        (Some(preferred), Some(valid)) => Some(preferred.min(valid)),
        (None, valid) => valid,
        (preferred, None) => preferred,
    }
}
