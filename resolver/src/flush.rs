//! What is forgotten when somebody says so? Answers by name, suffix and scope, and what else would bring them back.

use config::name::{DomainName, wire_suffixes};
use policy::ScopeId;

use crate::Resolver;
use crate::cache::Forget;
use crate::lookup::Waiter;

/// What to forget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flush {
    /// Everything.
    All,
    /// One scope.
    Scope(ScopeId),
    /// One name, all types; in one scope or in all.
    Name(DomainName, Option<ScopeId>),
    /// A name and all below it; in one scope or in all.
    Suffix(DomainName, Option<ScopeId>),
}

impl Resolver {
    /// Forgets; returns the number of entries dropped. Records that neighbours announced by multicast DNS stay: they end when
    /// their owners say so.
    pub fn flush(&mut self, what: &Flush) -> usize {
        let id = match what {
            Flush::All => None,
            Flush::Scope(id) => Some(id),
            Flush::Name(_, id) | Flush::Suffix(_, id) => id.as_ref(),
        };
        self.keep_nothing_under_way(id);
        match what {
            Flush::All => {
                self.trust.forget();
                self.walks.flush();
                self.scopes.doubt();
                self.labels.forget(|_| true);
                self.cache.flush(Forget::All)
            }
            Flush::Scope(id) => match self.scopes.get(id) {
                Some(scope) => {
                    self.trust.denials.forget(scope.incarnation);
                    self.cache.flush(Forget::Slot(scope.slot))
                }
                None => 0,
            },
            Flush::Name(name, id) => {
                self.forget_roots(id.as_ref(), |at| at == name.as_wire());
                self.forget_answers(id.as_ref(), |slot| Forget::Name(name, slot))
            }
            Flush::Suffix(suffix, id) => {
                let is_within = |at: &[u8]| wire_suffixes(at).any(|at| at == suffix.as_wire());
                self.forget_roots(id.as_ref(), is_within);
                self.forget_answers(id.as_ref(), |slot| Forget::Suffix(suffix, slot))
            }
        }
    }

    /// Has what was asked before answered, and not kept: it may bring back what is forgotten. Of what it tells, nobody knows yet; a
    /// question that comes after is asked anew.
    fn keep_nothing_under_way(&mut self, id: Option<&ScopeId>) {
        for lookup in self.lookups.ids() {
            let Some(lookup) = self.lookups.get_mut(lookup) else {
                continue;
            };
            let is_meant = id.is_none_or(|id| *id == lookup.asking.scope);
            // A proof tells of an upstream, and is told to nobody.
            let is_proof = |waiter: &Waiter| matches!(waiter, Waiter::Proof(_));
            if lookup.waiters.iter().any(is_proof) {
                continue;
            }
            lookup.asking.fleeting |= is_meant;
            // Delegations are forgotten whoever asked for them.
            lookup.antedates = true;
        }
    }

    /// Forgets what would have the same said of names again: keys of zones, delegations, denials. Keys and delegations are those of
    /// the public tree, whoever asked for them.
    fn forget_roots(&mut self, id: Option<&ScopeId>, is_meant: impl Fn(&[u8]) -> bool) {
        self.trust
            .validator
            .forget_where(|zone| is_meant(zone.as_wire()));
        self.walks.forget_where(&is_meant);
        self.labels.forget(|name| is_meant(name.as_wire()));
        // A proof for one name denies others: which ones, is not told by its name.
        match id {
            None => self.trust.denials.clear(),
            Some(id) => {
                if let Some(scope) = self.scopes.get(id) {
                    self.trust.denials.forget(scope.incarnation);
                }
            }
        }
    }

    fn forget_answers<'a>(
        &self,
        id: Option<&ScopeId>,
        what: impl Fn(Option<crate::cache::Slot>) -> Forget<'a>,
    ) -> usize {
        match id {
            None => self.cache.flush(what(None)),
            Some(id) => self
                .scopes
                .get(id)
                .map_or(0, |scope| self.cache.flush(what(Some(scope.slot)))),
        }
    }
}
