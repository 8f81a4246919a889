//! When is an upstream asked whether it can be validated through, if nobody asks it anything? When it appears where public
//! names go, so that the first question need not wait. What comes to nothing then, because the network is not quite there yet,
//! proves nothing: the first question asks again.

use config::model::{DnssecMode, Upstream};
use config::name::DomainName;
use config::time::Instant;
use policy::ScopeState;

use crate::Resolver;
use crate::exchange::{Asking, Whom};
use crate::wire::{Question, class, rtype};

impl Resolver {
    /// Begins the proofs of the default scope's upstreams that nobody has asked yet.
    ///
    /// Scopes that have claims only need no proof, and must not hear of public names.
    pub(crate) fn attend(&mut self, now: Instant) {
        let Some(id) = self.plan.default_scope() else {
            return;
        };
        let Some(scope) = self.scopes.get(&id) else {
            return;
        };
        if scope.plan.dnssec != DnssecMode::Auto || scope.plan.state != ScopeState::Ready {
            return;
        }
        let asking = Asking {
            scope: id,
            incarnation: scope.incarnation,
            question: Question {
                name: DomainName::root(),
                record_type: rtype::DNSKEY,
                class: class::IN,
            },
            dnssec_ok: true,
            checking_disabled: true,
            validate: true,
            recurse: false,
            fleeting: false,
            whom: Whom::Any,
            mark: 0,
        };
        let fresh: Vec<Upstream> = scope
            .states()
            // A form shows first that it works; nobody waits for that.
            .filter(|state| state.before.is_none() || !state.is_untried())
            .filter(|state| state.proof.is_fresh())
            .map(|state| state.upstream.clone())
            .collect();
        for upstream in fresh {
            self.begin_proof(&asking, &upstream, true, now);
        }
    }
}
