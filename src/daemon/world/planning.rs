//! When is there another plan, and what follows from it? The resolver, links and resolv.conf have it, and whoever watches is told.

use std::sync::Arc;

use config::time::Instant;
use linnet::api::Notice;
use resolver::event::LocalNames;

use super::{Effect, Kept, World};
use crate::notify::Announcement;

impl World {
    /// Makes a plan of what is known, and puts it in force when it is another one.
    pub(super) fn replan(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if !self.begun {
            return;
        }
        self.apply_interest(now);
        self.pace.begin(self.facts.links.len(), now);
        self.facts.foreign_resolv_conf = self.keeping.foreign();
        self.facts.host_domain.clone_from(&self.host.domain);
        let name = self.host.name.as_ref();
        self.facts.hostname = name.map(|name| name.to_string().into());
        self.facts.forwarding6 = self.host.forwarding6;
        self.facts.uplinks = self.plan.links.uplinks.current();
        self.make_macs_up();
        self.facts.as_of = now;
        self.keep_claims(effects);
        self.apply_local_names(now);
        let plan = policy::plan(&self.config, &self.facts);
        if plan != self.plan || self.generation == 0 {
            let mut changes = policy::diff::changes(&self.plan, &plan);
            let of_links = policy::diff::link_changes(&self.plan.links, &plan.links);
            self.plan = plan;
            self.generation += 1;
            self.resolver.apply_plan(Arc::clone(&self.plan.dns), now);
            self.apply_links_plan(now);
            self.delay_sleep(effects);
            tracing::debug!(
                generation = self.generation,
                ?changes,
                "a new plan is in force"
            );
            for change in &of_links {
                tracing::info!("{change}");
            }
            changes.extend(of_links);
            effects.push(Effect::Announce(Announcement::Status(self.headline())));
            effects.push(Effect::Notice(Notice::PlanChanged {
                generation: self.generation,
                changes,
            }));
        }
        self.keep_told(effects);
        self.apply_grounds(now);
        if self.take_reach() {
            self.replan(now, effects);
            return;
        }
        self.keep_resolv_conf(effects);
    }

    /// Has resolv.conf be as planned.
    pub(super) fn keep_resolv_conf(&mut self, effects: &mut Vec<Effect>) {
        if !self.begun {
            return;
        }
        let resolv_conf = self.plan.resolv_conf.as_ref();
        let wanted = resolv_conf.filter(|_| !self.listen.is_empty());
        effects.extend(self.keeping.errand_for(wanted).map(Effect::Errand));
    }

    fn keep_claims(&mut self, effects: &mut Vec<Effect>) {
        let text = self.claims.to_file();
        if text != self.kept_claims {
            self.kept_claims.clone_from(&text);
            effects.push(Effect::Keep(Kept::Claims, text));
        }
    }

    fn apply_local_names(&mut self, now: Instant) {
        let linkmgr::LocalAddresses {
            addresses,
            gateways,
            outbound,
        } = linkmgr::local_names(&self.facts.links);
        let names = LocalNames {
            hostname: self.host.name.clone(),
            addresses,
            gateways,
            outbound,
        };
        if names != self.local_names {
            self.local_names = names.clone();
            self.resolver.apply_local_names(names, now);
        }
    }
}
