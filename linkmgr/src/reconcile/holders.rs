//! Who is in the place of what a plan wants? Where a thing is `foreign`, somebody has to look what is there; this tells what linnet knows.

use std::net::IpAddr;

use config::model::Prefix;

use crate::LinkManager;
use crate::observed::MAIN;
use crate::protocol::Protocol;
use crate::status::Item;

/// Who has the place of an item that is [`crate::ItemState::Foreign`], or has made a rule that is [`crate::ItemState::Adopted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// The link with this index has a default route of somebody else there.
    Default {
        /// Its `ifindex`.
        index: u32,
        /// Who has made it: an adoption takes nothing but from configurators of links.
        maker: Protocol,
    },
    /// Routes of others are beside ours, and the kernel would change one of theirs.
    Beside,
    /// A route or a rule there has our number, and nothing proves that it is still ours: nobody has said so since the link was left to others, or
    /// somebody else uses that number.
    Unproven {
        /// The `ifindex` of a link by which the route leads, if by any.
        index: Option<u32>,
    },
    /// The link has the address with this prefix.
    Prefix(Prefix),
    /// It has it with this other end, or with none.
    Peer(Option<IpAddr>),
    /// Somebody has made the very rule.
    Rule(Protocol),
}

impl LinkManager {
    /// Returns who has the place of an item; `None` when that is not known: of most routes of others the kernel is not asked.
    pub fn holder(&self, item: &Item) -> Option<Holder> {
        match item {
            Item::Address(index, prefix) => {
                if self.observed.address_of(*index, prefix).is_some() {
                    let peer = self.observed.attributes(*index, *prefix).peer;
                    return Some(Holder::Peer(peer));
                }
                let mut addresses = self.observed.addresses_of(*index).iter();
                let other = addresses.find(|other| other.prefix.address == prefix.address);
                other.map(|other| Holder::Prefix(other.prefix))
            }
            Item::Route(key) => {
                let view = self.view();
                if let Some(there) = self.observed.own().route(key) {
                    return Some(match view.journal.proves(item) {
                        true => Holder::Beside,
                        false => Holder::Unproven {
                            index: there.route.hops.first().map(|hop| hop.index),
                        },
                    });
                }
                let is_told = key.to.length == 0 && key.table == MAIN && key.from.is_none();
                let own = view.planned_route(key).map(|(link, _)| link.index);
                let holders = self.observed.with_default(key.to, key.metric);
                // The one that an adoption would not take, where there are several, and of these one whose maker says who he is.
                let holder = holders.filter(|_| is_told).max_by_key(|(index, maker)| {
                    let is_said = *maker != Protocol::UNSPECIFIED;
                    (maker.is_left_alone(), Some(*index) != own, is_said)
                });
                holder.map(|(index, maker)| Holder::Default { index, maker })
            }
            Item::Rule(rule) => match self.observed.own().has_rule(rule) {
                true if self.view().journal.proves(item) => None,
                true => Some(Holder::Unproven { index: None }),
                false => self.observed.own().maker_of(rule).map(Holder::Rule),
            },
            Item::Setting(..) => None,
        }
    }
}
