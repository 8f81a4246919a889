//! What may be asked of a network that wants a person first? Its portal's own names, as it answers them; all else as ever.
//!
//! | a name | in the portal's scope | kept |
//! |---|---|---|
//! | of the portal, and what its aliases lead to | as the network answers, unproven | no |
//! | any other | only what can be proven, else an error that tells of the portal; without known names as the scope does | no |
//! | that somebody else claims | never | |
//!
//! The names are those of the hosts that the portal's API names, and of the API itself; without an API, that of the host that any
//! page leads to, which may not be the only one. They go into the portal's scope from a scope
//! that is tied to no link, too, when the portal's link is the one that names go out by. Afterwards nothing is left: what was asked
//! meanwhile is kept nowhere, and what was found out about the upstreams is found out anew.

use std::collections::BTreeSet;
use std::sync::Arc;

use config::model::DnssecMode;
use config::name::DomainName;
use config::time::Instant;
use policy::{Route, ScopeId, Target};

use crate::Resolver;
use crate::cache::Forget;
use crate::chain::is_claimed;
use crate::event::Step;
use crate::progress::Query;
use crate::proof::Proof;
use crate::refusal::Refused;

/// What holds for a scope while its network wants a person first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Jail {
    /// The portal's names.
    pub(crate) names: BTreeSet<DomainName>,
    /// Whether all its names are known: by its API. Where a redirect leads to may be one of many.
    pub(crate) is_strict: bool,
    /// The link's name.
    pub(crate) link: Arc<str>,
    /// Where to log in, when that is known.
    pub(crate) login: Option<Arc<str>>,
    /// Whether names go out by this link.
    pub(crate) is_uplink: bool,
}

impl Jail {
    /// Whether only what can be proven is believed: where the way to the login is known.
    pub(crate) fn is_strict(&self) -> bool {
        self.is_strict
    }

    /// Says what holds, for a person.
    pub(crate) fn describe(&self) -> String {
        match &self.login {
            Some(login) => format!("{} leads to a portal, log in at {login}", self.link),
            None => format!(
                "{} leads to a portal that somebody has to log in at",
                self.link
            ),
        }
    }
}

impl Resolver {
    /// Returns what holds for a scope whose network wants a person first.
    pub(crate) fn jail(&self, scope: &ScopeId) -> Option<&Jail> {
        self.reaching.jails.get(scope)
    }

    /// Whether a name is one of the portal's, and its scope the portal's.
    pub(crate) fn is_portals(&self, name: &DomainName, scope: &ScopeId) -> bool {
        self.jail(scope)
            .is_some_and(|jail| jail.names.contains(name))
    }

    /// Routes a name: as the plan says, but for a portal's.
    pub(crate) fn route(&self, query: &Query, name: &DomainName) -> Route {
        let mut route = query.route(name, &self.plan);
        if !self.reaching.jails.is_empty()
            && query.below.is_none()
            && let Some(scope) = self.detour(query, name, &route)
        {
            route.target = Target::Ask(scope);
        }
        route
    }

    /// Where a portal's name goes instead of the default scope, when that is tied to no link.
    fn detour(&self, query: &Query, name: &DomainName, route: &Route) -> Option<ScopeId> {
        if is_claimed(route) {
            return None;
        }
        let is_tied = match &route.target {
            Target::Ask(scope) => {
                let scope = self.plan.scopes.get(scope);
                scope.is_some_and(|scope| scope.link.is_some())
            }
            Target::Refuse(policy::Refusal::NoScope) => false,
            Target::Refuse(
                policy::Refusal::ScopeNotReady { .. } | policy::Refusal::SearchExpansion { .. },
            ) => true,
        };
        if is_tied {
            return None;
        }
        let mut jails = self.reaching.jails.iter();
        let found = jails.find(|(_, jail)| {
            let is_known = |name: &DomainName| jail.names.contains(name);
            let asked = query.chain.visits.iter().map(|visit| &visit.name);
            jail.is_uplink && (is_known(name) || asked.into_iter().any(is_known))
        });
        found.map(|(scope, _)| scope.clone())
    }

    /// Whether a question is for a portal's name, or for what that leads to.
    pub(crate) fn is_of_portal(&self, query: &Query) -> bool {
        let mut visits = query.chain.visits.iter();
        !self.reaching.jails.is_empty()
            && visits.any(|visit| self.is_portals(&visit.name, &visit.scope))
    }

    /// Takes note of a question for a portal's name; returns whether it is one.
    pub(crate) fn is_for_portal(&mut self, query: &mut Query, now: Instant) -> bool {
        let Some(visit) = query.chain.visits.last() else {
            return false;
        };
        let Some(jail) = self.reaching.jails.get(&visit.scope) else {
            return false;
        };
        let mut its = query.chain.visits.iter();
        let is_its =
            its.any(|other| other.scope == visit.scope && jail.names.contains(&other.name));
        let text: Arc<str> = match is_its {
            true => format!(
                "{} is the portal's: asked on {}, believed as it comes, and not kept",
                visit.name, jail.link
            )
            .into(),
            false => format!("{}; only what can be proven is believed", jail.describe()).into(),
        };
        if is_its || jail.is_strict() {
            query.steps.push(Step::Portal(text));
        }
        if is_its {
            let scope = visit.scope.clone();
            self.note_busy(&scope, now);
        }
        is_its
    }

    /// Tells whoever gets an error of a portal that may be the reason.
    pub(crate) fn blame_portal(&self, mut refused: Refused, scope: &ScopeId) -> Refused {
        if let Some(jail) = self.jail(scope) {
            let text = &refused.extended_error.text;
            refused.extended_error.text = format!("{}: {text}", jail.describe());
        }
        refused
    }

    /// Begins, changes or ends what holds for a scope.
    pub(crate) fn set_jail(&mut self, scope: &ScopeId, jail: Option<Jail>, now: Instant) {
        let before = self.reaching.jails.get(scope);
        if before == jail.as_ref() {
            return;
        }
        let (was, is) = (before.is_some(), jail.is_some());
        let names: Vec<DomainName> = jail.iter().flat_map(|jail| jail.names.clone()).collect();
        match jail {
            Some(jail) => {
                self.reaching.jails.insert(scope.clone(), jail);
            }
            None => {
                self.reaching.jails.remove(scope);
            }
        }
        // What another scope says of them would be found before it is asked.
        for name in names {
            self.cache.flush(Forget::Suffix(&name, None));
        }
        self.shortcuts.void();
        if was != is {
            self.begin_anew(scope, is, now);
        }
    }

    /// Forgets what a scope has learned on the other side of a portal's door.
    fn begin_anew(&mut self, id: &ScopeId, is_closed: bool, now: Instant) {
        let Some(scope) = self.scopes.get(id) else {
            return;
        };
        let (slot, incarnation) = (scope.slot, scope.incarnation);
        let is_auto = scope.plan.dnssec == DnssecMode::Auto;
        self.cache.flush(Forget::Slot(slot));
        self.trust.denials.forget(incarnation);
        // What is under way was asked on this side, and is answered on nobody knows which.
        for lookup in self.lookups.ids() {
            if let Some(lookup) = self.lookups.get_mut(lookup)
                && lookup.asking.incarnation == incarnation
            {
                lookup.asking.fleeting = true;
            }
        }
        if is_closed || !is_auto {
            return;
        }
        if let Some(scope) = self.scopes.living(id, incarnation) {
            for state in scope.states_mut() {
                state.proof = Proof::default();
            }
        }
        self.attend(now);
    }
}
