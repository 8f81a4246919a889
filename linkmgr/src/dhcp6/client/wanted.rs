//! What is wanted of servers? By the profile, by what routers say, and by what is held already.

use super::*;

/// The length of a prefix for the link itself.
const OWN_PREFIX: u8 = 64;

impl Client {
    /// Returns what the profile wants leases of.
    pub(super) fn sorts_of_profile(&self) -> Vec<Sort> {
        let settings = &self.setup.settings;
        let mut sorts = Vec::new();
        if settings.addresses {
            sorts.push(Sort::Addresses);
        }
        if settings.delegate.is_some() {
            sorts.push(Sort::Prefixes);
        }
        sorts
    }

    /// Returns what leases are wanted of here. A prefix for other links is asked for whatever routers say (RFC 7084 §4.2, WPD-3), one for this
    /// link when they say that there are some (RFC 9762); what is held is held on to.
    pub(super) fn sorts(&self) -> Vec<Sort> {
        let asked = self.setup.settings.when == Dhcp6When::Always || self.flags.managed;
        let is_held = self.leases.of(Sort::Addresses).next().is_some();
        let mut sorts = self.sorts_of_profile();
        sorts.retain(|sort| match sort {
            Sort::Addresses => asked || is_held,
            Sort::Prefixes => true,
        });
        let is_offered = self.flags.delegation || self.leases.of(Sort::Prefixes).next().is_some();
        // RFC 7844 §4.5.1: who does not want to be known asks for none.
        let may = !self.setup.settings.anonymous && !sorts.contains(&Sort::Prefixes);
        sorts.extend((is_offered && may).then_some(Sort::Prefixes));
        sorts
    }

    /// Whether other information is wanted by itself.
    pub(super) fn wants_information(&self) -> bool {
        let asked =
            self.setup.settings.when == Dhcp6When::Always || self.flags.managed || self.flags.other;
        match &self.state {
            State::Released => false,
            // Nobody has leases, but somebody may have the rest.
            State::Soliciting(exchange, None) if exchange.sent > PATIENCE => true,
            State::Idle
            | State::Soliciting(..)
            | State::Requesting(..)
            | State::Confirming(_)
            | State::Bound
            | State::Renewing(_)
            | State::Rebinding(_) => asked && self.sorts().is_empty(),
        }
    }

    /// Returns the leases that are the server's word, by sort.
    pub(super) fn held(&self) -> Vec<(Sort, Vec<Prefix>)> {
        let sorts = [Sort::Addresses, Sort::Prefixes].into_iter();
        sorts
            .map(|sort| (sort, self.leases.of(sort).copied().collect()))
            .filter(|(_, leases): &(Sort, Vec<Prefix>)| !leases.is_empty())
            .collect()
    }

    /// Returns what is asked for: each sort that is wanted, with what is held of it (RFC 8415 §18.2.4), or a hint.
    pub(super) fn asked_for(&self) -> Vec<(Sort, Vec<Prefix>)> {
        let sorts = self.sorts().into_iter();
        sorts
            .map(|sort| {
                let mut leases: Vec<Prefix> = self.leases.of(sort).copied().collect();
                let hint = self.setup.settings.delegate.unwrap_or(OWN_PREFIX);
                let hint = Some(hint).filter(|length| *length > 0);
                if let (Sort::Prefixes, true, Some(length)) = (sort, leases.is_empty(), hint) {
                    leases.push(Prefix {
                        address: Ipv6Addr::UNSPECIFIED.into(),
                        length,
                    });
                }
                (sort, leases)
            })
            .collect()
    }
}
