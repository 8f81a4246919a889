//! What becomes of a link whose routers say that prefixes of one's own are to be had (P, RFC 9762), once there is one? [`Delegation`]:
//! addresses are made of it instead of what is on the link.

use std::net::{IpAddr, Ipv6Addr};

use config::model::Prefix;
use config::time::Instant;
use policy::facts::{Delegated, SuppliedAddress, Supply};

use crate::slaac::{self, Origin};

/// What DHCPv6 has brought of prefixes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Delegation {
    /// None.
    #[default]
    None,
    /// Some that are handed on to other links: those have addresses of it.
    HandedOn,
    /// Some that are this link's own.
    Own(Vec<Delegated>),
}

impl Delegation {
    /// Returns what a DHCPv6 supply means for its link; what its server has taken back is none. `is_handed_on` says that the profile has asked
    /// for other links.
    pub fn of(supply: &Supply, is_handed_on: bool, now: Instant) -> Self {
        let is_in_force =
            |delegated: &&Delegated| delegated.preferred_until.is_none_or(|until| until > now);
        let delegated = supply.delegated.iter();
        let own: Vec<Delegated> = delegated.filter(is_in_force).copied().collect();
        match (own.is_empty(), is_handed_on) {
            (true, _) => Self::None,
            (false, true) => Self::HandedOn,
            (false, false) => Self::Own(own),
        }
    }

    /// Whether addresses are made of nothing that is there to be delegated.
    pub(super) fn is_any(&self) -> bool {
        *self != Self::None
    }

    fn own(&self) -> &[Delegated] {
        match self {
            Self::None | Self::HandedOn => &[],
            Self::Own(own) => own,
        }
    }
}

/// The delegation of a link, and what has been found of its addresses.
#[derive(Debug, Clone, Default)]
pub(super) struct Own {
    delegation: Delegation,
    /// Upper halves of addresses, one for each that turned out to be somebody else's.
    taken: Vec<Ipv6Addr>,
}

impl Own {
    pub(super) fn take(&mut self, delegation: Delegation) {
        self.delegation = delegation;
        let own = self.delegation.own();
        let is_own = |taken: &Ipv6Addr| own.iter().any(|own| own.prefix.contains((*taken).into()));
        self.taken.retain(is_own);
    }

    /// Whether addresses are made of nothing that is there to be delegated.
    pub(super) fn is_any(&self) -> bool {
        self.delegation.is_any()
    }

    /// Takes that an address is somebody else's; whether it was made here.
    pub(super) fn take_away(&mut self, address: Ipv6Addr) -> bool {
        let mut own = self.delegation.own().iter();
        let is_here = own.any(|own| subnet(own).is_some_and(|own| is_same_half(own, address)));
        if is_here {
            self.taken.push(address);
        }
        is_here
    }

    /// Returns an address of each prefix. None of them is on the link: that is its routers' own.
    pub(super) fn addresses(&self, origin: &Origin<'_>) -> Vec<SuppliedAddress> {
        let own = self.delegation.own().iter();
        let made = own.filter_map(|own| {
            let subnet = subnet(own)?;
            let taken = self
                .taken
                .iter()
                .filter(|taken| is_same_half(**taken, subnet));
            let taken = u8::try_from(taken.count()).unwrap_or(u8::MAX);
            let address = slaac::address(subnet, taken, origin)?;
            Some(SuppliedAddress {
                prefix: Prefix {
                    address: address.into(),
                    length: 128,
                },
                preferred_until: own.preferred_until,
                valid_until: own.valid_until,
                temporaries: false,
            })
        });
        made.collect()
    }
}

/// Returns the part that addresses are made of: the first of 64 bits that is not left out (RFC 6603).
fn subnet(own: &Delegated) -> Option<Ipv6Addr> {
    let whole = own.prefix.network();
    let IpAddr::V6(base) = whole.address else {
        return None;
    };
    if whole.length > slaac::PREFIX_LENGTH {
        return None;
    }
    let parts = [0, 1].map(|number: u128| Ipv6Addr::from_bits(base.to_bits() | number << 64));
    let is_free = |part: &Ipv6Addr| {
        let excluded = own.excluded;
        whole.contains((*part).into())
            && !excluded.is_some_and(|excluded| excluded.contains((*part).into()))
    };
    parts.into_iter().find(is_free)
}

fn is_same_half(one: Ipv6Addr, other: Ipv6Addr) -> bool {
    one.to_bits() >> 64 == other.to_bits() >> 64
}
