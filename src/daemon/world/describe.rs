//! How does the world describe itself? Status, and why a name goes where it goes.

use config::name::DomainName;
use config::time::Instant;
use linnet::api::{ClockStatus, Diagnostic, Explanation, Status, StatusParameters};
use policy::{Owner, ScopeState};
use resolver::Stub;
use resolver::synthesize::{reason, synthesize};
use resolver::wire::{Question, class, rtype};

use super::World;
use crate::convert;

/// What it means that the journal of links is not kept.
const JOURNAL_TROUBLE: &str = "it cannot be written to the state directory: what linnet sets up on links would stay there after a crash; it is tried again by itself";

impl World {
    /// Whether the journal of links was kept when it was tried last.
    pub(crate) const fn is_journal_kept(&self) -> bool {
        self.linking.links.is_journal_kept()
    }

    /// Tells everything at a glance.
    pub(super) fn status(&self, parameters: StatusParameters, now: Instant) -> Status {
        let plan = &self.plan.dns;
        let scopes = self.resolver.status(now);
        let counters = serde_json::to_value(self.resolver.counters());
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_ms: u64::try_from(now.since(self.started_at).as_millis()).unwrap_or(u64::MAX),
            generation: self.generation,
            listen: self.listen.clone(),
            listeners: crate::doors::status(&self.listeners),
            resolv_conf: self.keeping.status(self.mode()),
            links: self
                .linking
                .links
                .all_links()
                .map(|(id, link)| self.link_status(id, &link, now))
                .collect(),
            unmade: self.unmade(),
            idle_profiles: self.idle_profiles(),
            rules: self.items(None),
            scopes: plan
                .scopes
                .keys()
                .filter_map(|id| {
                    let status = scopes.iter().find(|status| status.id == *id);
                    convert::scope(id, plan, status, parameters)
                })
                .collect(),
            default_scope: plan.default_scope().map(|id| id.to_string()),
            search: plan
                .search
                .iter()
                .map(|search| search.suffix.to_string())
                .collect(),
            claims: self.claims.status(),
            lists: self.lists.status(&self.resolver),
            clock: ClockStatus {
                dates_count: self.trust.dates_count(),
                because: self.trust.because().to_string(),
            },
            trust_anchors: self
                .trust
                .keys()
                .iter()
                .map(convert::trust_anchor)
                .collect(),
            negative_anchors: self
                .trust
                .negatives()
                .map(convert::negative_anchor)
                .collect(),
            diagnostics: self.findings(),
            journal_trouble: (!self.is_journal_kept()).then(|| JOURNAL_TROUBLE.to_owned()),
            notes: plan
                .notes
                .iter()
                .map(|note| format!("{}: {}", note.owner, note.text))
                .chain(self.making.notes())
                .chain(self.ports_taken_out())
                .collect(),
            multicast: self.multicast_status(),
            llmnr: self.llmnr_status(),
            unicast_locals: self
                .resolver
                .unicast_locals()
                .iter()
                .map(ToString::to_string)
                .collect(),
            observers: self.watched.status(&self.config.observing),
            counters: match counters {
                Ok(serde_json::Value::Object(mut counters)) => {
                    counters.insert("panics".to_owned(), resolver_io::panics().into());
                    counters
                }
                Ok(_) | Err(_) => serde_json::Map::new(),
            },
        }
    }

    /// Tells what is wrong with the configuration and the anchor files.
    pub(super) fn findings(&self) -> Vec<Diagnostic> {
        let lists: Vec<config::diagnostic::Diagnostic> = self.lists.findings().collect();
        let findings = self.diagnostics.iter().chain(self.trust.findings());
        findings.chain(&lists).map(convert::diagnostic).collect()
    }

    /// Tells where a name goes. A single label is told as its first search expansion, which is what is tried first.
    pub(super) fn explain(&self, name: &DomainName, now: Instant) -> Explanation {
        let plan = &self.plan.dns;
        if self.local_host(name).is_none() && self.is_for_neighbours(name) {
            return self.explain_neighbours(name);
        }
        let local = self.local(name);
        let searched = match local {
            Some(_) => Vec::new(),
            None => self.searched(name),
        };
        let called_out = match local {
            Some(_) => None,
            None => self.called_out(name),
        };
        if searched.is_empty()
            && let Some(text) = called_out
        {
            return self.explain_called_out(name, text);
        }
        let routed = searched.first().unwrap_or(name);
        let mut told = convert::explanation(&plan.domains.explain(routed), plan);
        told.name = name.to_string();
        told.searched = searched.iter().map(ToString::to_string).collect();
        if let Some((kind, text)) = &local {
            told.target = linnet::api::Target {
                action: "local".to_owned(),
                ..linnet::api::Target::default()
            };
            told.because.owner = Owner::Builtin.to_string();
            told.because.profile = None;
            told.because.text.clone_from(text);
            for candidate in &mut told.candidates {
                "lost".clone_into(&mut candidate.outcome);
                "the name is answered on this machine, before claims are weighed"
                    .clone_into(&mut candidate.detail);
            }
            (*kind).clone_into(&mut told.because.rule);
            told.local = Some((*kind).to_owned());
        }
        let route = plan.domains.route(routed);
        if local.is_none()
            && let policy::Target::Ask(scope) = &route.target
            && let Some(prospects) = self.resolver.prospects(routed, scope, now)
        {
            told.order = Some(prospects.order);
            told.target.first = prospects.first.iter().map(ToString::to_string).collect();
            told.validation = Some(prospects.validation);
        }
        let by_stream = self.resolver.why_listed(name);
        let by_stream = by_stream.filter(|it| local.is_none() && it.kind == "by-stream");
        for text in by_stream.map(|it| it.text).into_iter().chain(called_out) {
            let order = told.order.map(|order| order + "; ");
            told.order = Some(order.unwrap_or_default() + &text);
        }
        told.endpoint = self.explain_endpoint(name);
        let last = self.traces.last(name);
        told.last = last.map(|trace| convert::trace(trace, plan, None));
        told
    }

    /// Returns the rule by which a name is answered without a scope, and the reason in words.
    fn local(&self, name: &DomainName) -> Option<(&'static str, String)> {
        if let Some(recorded) = self.resolver.why_recorded(name) {
            return Some((recorded.kind, recorded.text));
        }
        let claimed = self.plan.dns.domains.is_claimed(name.as_wire());
        let question = Question {
            name: name.clone(),
            record_type: rtype::A,
            class: class::IN,
        };
        let made = synthesize(
            &question,
            &self.local_names,
            &self.hosts,
            Stub::Main,
            claimed,
        );
        if let Some(made) = made {
            return Some((made.kind, reason(made.kind)));
        }
        let listed = self.resolver.why_listed(name)?;
        (listed.kind == "list").then_some((listed.kind, listed.text))
    }

    /// Returns the names that are tried for a single label.
    fn searched(&self, name: &DomainName) -> Vec<DomainName> {
        if name.label_count() != 1 {
            return Vec::new();
        }
        let search = self.plan.dns.search.iter();
        search
            .filter_map(|search| name.join(&search.suffix).ok())
            .collect()
    }

    /// Says in one line how things are; no name and no address, as it goes to the journal.
    pub(super) fn headline(&self) -> String {
        let scopes = &self.plan.dns.scopes;
        let ready = scopes
            .values()
            .filter(|scope| scope.state == ScopeState::Ready)
            .count();
        let default = match self.plan.dns.default_scope() {
            Some(_) => "with",
            None => "without",
        };
        format!(
            "{ready} of {} scopes ready, {default} a default scope, {} claims made at run time",
            scopes.len(),
            self.claims.len()
        )
    }
}
