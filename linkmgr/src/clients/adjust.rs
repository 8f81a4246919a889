//! What runs where, when the plan or links are others than before? Work is in proportion to what has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::time::{Instant, WallTime};
use policy::facts::{Supplier, Supply};
use policy::{LinkFacts, LinkId, LinksPlan};

use super::on_link::{self, OnLink};
use super::wanted::Wanted;
use super::{Clients, Traits};
use crate::former::Former;
use crate::watches;

impl Clients {
    /// Returns those of some links on which a client of the plan is about to begin that others may have had before:
    /// [`Self::take_former`] comes before [`Self::apply_plan`] and [`Self::apply_changed`].
    pub fn beginners<'a>(
        &self,
        plan: &LinksPlan,
        links: &'a BTreeMap<LinkId, LinkFacts>,
        of: &BTreeSet<LinkId>,
    ) -> Vec<(LinkId, &'a LinkFacts)> {
        let begins = |id: &LinkId, supplier| {
            let on_link = self.clients.get(id);
            on_link.is_none_or(|on_link| !on_link.runs(supplier))
        };
        let beginners = of.iter().filter_map(|id| {
            let wanted = &plan.links.get(id)?.clients;
            let facts = links.get(id)?;
            let begins4 = wanted.dhcp4.is_some() && facts.mac.is_some();
            let begins = wanted.ra.is_some() && begins(id, Supplier::Ra)
                || begins4 && begins(id, Supplier::Dhcp4)
                || wanted.dhcp6.is_some() && begins(id, Supplier::Dhcp6);
            begins.then_some((*id, facts))
        });
        beginners.collect()
    }

    /// Takes what others have left of a link, for clients that begin next.
    pub fn take_former(&mut self, link: LinkId, former: Former) {
        self.formers.insert(link, former);
    }

    /// Has the clients of the plan run, and no others.
    pub fn apply_plan(&mut self, plan: &Arc<LinksPlan>, wall: WallTime, now: Instant) {
        if Arc::ptr_eq(&self.plan, plan) {
            return;
        }
        self.plan = Arc::clone(plan);
        self.facts.retain(|id, (wanted, traits)| {
            let link = plan.links.get(id);
            *wanted = link.map_or_else(Wanted::default, |link| Wanted::of(link, traits.arp));
            traits.fixed4 = wanted.watched_of(&traits.ipv4);
            *wanted != Wanted::default()
        });
        let ids = self.facts.keys().chain(self.clients.keys()).copied();
        self.adjust(&ids.collect(), wall, now);
    }

    /// Takes how all links are.
    pub fn apply_links(
        &mut self,
        links: &BTreeMap<LinkId, LinkFacts>,
        wall: WallTime,
        now: Instant,
    ) {
        let planned = self.plan.links.keys().chain(self.facts.keys()).copied();
        let planned: BTreeSet<LinkId> = planned.collect();
        self.apply_changed(links, &planned, wall, now);
    }

    /// Takes how these links are, of all that there are.
    pub fn apply_changed(
        &mut self,
        links: &BTreeMap<LinkId, LinkFacts>,
        changed: &BTreeSet<LinkId>,
        wall: WallTime,
        now: Instant,
    ) {
        let mut others = BTreeSet::new();
        for id in changed {
            let planned = self.plan.links.get(id).filter(|link| Wanted::may_be(link));
            let facts = planned.and_then(|link| {
                let facts = links.get(id)?;
                let wanted = Wanted::of(link, facts.arp);
                let traits = Traits::of(facts, &wanted);
                (wanted != Wanted::default()).then_some((wanted, traits))
            });
            if self.facts.get(id) != facts.as_ref() {
                others.insert(*id);
            }
            match facts {
                Some(facts) => self.facts.insert(*id, facts),
                None => self.facts.remove(id),
            };
        }
        if !others.is_empty() {
            self.adjust(&others, wall, now);
        }
        // Where no client has begun by now none will: the link is gone, or has no profile any more.
        let plan = &self.plan;
        self.formers
            .retain(|id, _| links.contains_key(id) && plan.links.contains_key(id));
    }

    /// Starts and stops clients on these links, and tells the ones that run how their link is.
    fn adjust(&mut self, ids: &BTreeSet<LinkId>, wall: WallTime, now: Instant) {
        let clocks = self.clocks(wall, now);
        for id in ids {
            let Some((wanted, traits)) = self.facts.get(id) else {
                if let Some(on_link) = self.clients.remove(id) {
                    self.forget(*id, on_link, now);
                }
                continue;
            };
            let on_link = self.clients.entry(*id).or_default();
            if on_link.is_adjusted(wanted, traits) {
                continue;
            }
            self.seed = self
                .seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let mut former = self.formers.remove(id);
            if let Some(former) = &mut former {
                let (name, mac) = (&traits.name, traits.mac);
                let plan = &self.plan;
                self.kept |= self.memory.take_former(name, mac, former, plan, &clocks);
            }
            self.memory.note_use(&traits.name, &clocks);
            let beginning = on_link::Beginning {
                machine: &self.machine,
                memory: &self.memory,
                clocks: &clocks,
                former: former.as_ref(),
                seed: self.seed,
            };
            on_link.adjust(wanted, traits, &beginning, now);
            self.gather(*id, wall, now);
        }
        self.drop_orphans(ids);
        self.take_turns(wall, now);
    }

    /// Follows that nothing runs on a link any more: what was known of others is not.
    fn forget(&mut self, id: LinkId, on_link: OnLink, now: Instant) {
        if let Some(mut watches) = on_link.watches {
            watches.apply(&BTreeMap::new(), &[], now);
            let found = std::iter::from_fn(|| watches.poll_event());
            let unknown = found.filter_map(|event| match event {
                watches::Event::Found(address, found) => Some((id.index, address, found)),
                watches::Event::Defended(..) => None,
            });
            self.standings.extend(unknown);
        }
        self.follow(id);
    }

    /// Drops what clients of these links supplied that run no more, and that those do not supply who have come in their place.
    fn drop_orphans(&mut self, ids: &BTreeSet<LinkId>) {
        for id in ids {
            let on_link = self.clients.get(id);
            for supplier in Supplier::ALL {
                let key = (*id, supplier);
                let Some(supply) = self.supplies.get(&key) else {
                    continue;
                };
                // That servers were asked in vain holds until somebody knows better; and what routers said holds as long as they said, whoever
                // listens to them: they say it again within seconds, and the kernel makes other temporary addresses when one goes.
                let may_stay = |on_link: &OnLink| {
                    let is_vain = *supply == Supply::default() && on_link.is_up();
                    on_link.supplies(supplier)
                        || ((is_vain || supplier == Supplier::Ra) && on_link.runs(supplier))
                };
                if !on_link.is_some_and(may_stay) {
                    self.supplies.remove(&key);
                    self.changed.insert(key);
                }
            }
        }
    }
}
