//! How are default routes of others taken? One after another: each becomes ours in its place, and goes as ours.
//!
//! Several may have one place, as the kernel's own client and networkd make one for each router: the kernel puts ours in the place of one
//! of them, of its own choice, and tells of no loss. So there are as many rounds as there were gateways. Where the kernel keeps them as
//! ways of one route, the first round takes all, and the others make a route that goes at once.

use config::model::{RouteKind, RouteTuning};
use policy::LinkId;
use policy::facts::{DefaultRoute, Preference};
use policy::links::RouteKey;

use super::Writer;
use crate::LinkManager;
use crate::kernel::{NextHop, OwnRoute};
use crate::observed::MAIN;
use crate::request::KernelRequest;
use crate::status::{Item, ItemState};

/// Default routes of others that have one place, and are to go as ours.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    /// Those that are yet to be taken, the next one last.
    left: Vec<OwnRoute>,
    /// Whether the one that was taken last is still there.
    is_going: bool,
}

impl Rivals {
    /// Returns the one that is to be taken now.
    pub(super) fn next(&self) -> Option<&OwnRoute> {
        self.left.last().filter(|_| !self.is_going)
    }

    /// Whether all of them leave by other links than this one.
    pub(super) fn avoid(&self, index: u32) -> bool {
        !self.left.iter().any(|rival| rival.leaves_by(index))
    }
}

impl LinkManager {
    /// Takes the default routes that others have made by this link, of each family that has one of ours.
    pub(super) fn take_rivals(&mut self, link: LinkId) {
        let has_own = |is_ipv4: bool| {
            self.items(Some(link)).iter().any(|(item, state)| {
                let is_there = matches!(
                    state,
                    ItemState::Ours | ItemState::Adopted | ItemState::Foreign
                );
                let Item::Route(key) = item else {
                    return false;
                };
                is_there
                    && key.to.length == 0
                    && key.table == MAIN
                    && key.to.address.is_ipv4() == is_ipv4
            })
        };
        let theirs = self.observed.configured_defaults(link.index);
        let theirs = theirs.filter(|(to, _)| has_own(to.address.is_ipv4()));
        let rivals = theirs.map(|(to, DefaultRoute { metric, gateway })| OwnRoute {
            key: RouteKey {
                table: MAIN,
                to,
                metric,
                from: None,
            },
            kind: RouteKind::Unicast,
            hops: vec![NextHop::only(link.index, gateway)],
            // It is there, whatever the addresses say.
            on_link: gateway.is_some(),
            source: None,
            mtu: None,
            preference: Preference::Medium,
            tuning: RouteTuning::default(),
            valid: None,
        });
        let view = self.view();
        let is_wanted = |rival: &OwnRoute| view.planned_route(&rival.key).is_some();
        let rivals: Vec<OwnRoute> = rivals.filter(|rival| !is_wanted(rival)).collect();
        for rival in &rivals {
            self.writer.mark_anew(Item::Route(rival.key));
            self.writer.rivals.remove(&rival.key);
        }
        for rival in rivals {
            let there = self.writer.rivals.entry(rival.key).or_default();
            there.left.push(rival);
        }
    }
}

impl Writer {
    /// Forgets the rivals that leave by a link; returns their places.
    pub(super) fn forget_rivals(&mut self, index: u32) -> Vec<RouteKey> {
        let here = self.rivals.iter().filter(|(_, rival)| !rival.avoid(index));
        let here: Vec<RouteKey> = here.map(|(key, _)| *key).collect();
        self.rivals.retain(|key, _| !here.contains(key));
        here
    }

    /// Follows that a rival was taken, or has gone as ours.
    pub(super) fn follow_rivals(&mut self, item: &Item, request: &KernelRequest) {
        let Item::Route(key) = item else {
            return;
        };
        let Some(rivals) = self.rivals.get_mut(key) else {
            return;
        };
        rivals.is_going = !request.is_deletion();
        if rivals.is_going {
            rivals.left.pop();
        }
        if rivals.left.is_empty() {
            self.rivals.remove(key);
        }
    }
}
