//! What will be made of a name's answer, and which ways are left when nobody gives one? For `explain`, before anything is asked.
//!
//! Says what `proof`, `validate` and `walks` would decide; decides nothing.

use config::model::{DnssecMode, RecursionMode, Upstream};
use config::name::DomainName;
use config::time::Instant;
use policy::ScopeId;

use crate::Resolver;
use crate::exchange::{Asking, Whom};
use crate::wire::{Question, class, rtype};

/// What is to be expected of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prospects {
    /// Whether its answers are validated, from where on, and what is done about those that are bogus.
    pub validation: String,
    /// Who is asked in which order: the upstreams, the servers from the root down.
    pub order: String,
    /// Whom of the upstreams a question would go to first at present; two with `hedged`.
    pub first: Vec<Upstream>,
}

impl Resolver {
    /// Tells what is to be expected of a name that is asked in a scope.
    pub fn prospects(&self, name: &DomainName, id: &ScopeId, now: Instant) -> Option<Prospects> {
        let scope = self.scopes.get(id)?;
        let validate = scope.plan.dnssec != DnssecMode::Off && self.is_within_trust(name, now);
        let asking = Asking {
            scope: id.clone(),
            incarnation: scope.incarnation,
            question: Question {
                name: name.clone(),
                record_type: rtype::A,
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
        Some(Prospects {
            validation: self.validation_of(name, &asking, now),
            order: self.order_of(&asking, now).to_owned(),
            first: scope.first(&Asking { validate, ..asking }),
        })
    }

    fn validation_of(&self, name: &DomainName, asking: &Asking, now: Instant) -> String {
        let Some(scope) = self.scopes.get(&asking.scope) else {
            return String::new();
        };
        if scope.plan.dnssec == DnssecMode::Off {
            return "not validated: dnssec is off in this scope".to_owned();
        }
        if let Some(jail) = self.jail(&asking.scope) {
            let about = jail.describe();
            return match (self.is_portals(name, &asking.scope), jail.is_strict()) {
                (true, _) => {
                    format!("not validated, and not kept: it is the portal's own name ({about})")
                }
                (false, true) => format!("refused unless it can be proven ({about})"),
                (false, false) => format!("{}, and not kept ({about})", scope.describe_stance()),
            };
        }
        let seconds = self.wall(now).seconds;
        if let Some(at) = self.trust.switched_off_at(name, seconds) {
            return format!("not validated: a negative anchor at {at} says so");
        }
        if !self.is_within_trust(name, now) {
            return match self.may_validate(asking) {
                true => "an island, as it is claimed: validated if its public parents let it, unsigned otherwise",
                false => "an island, as it is claimed: unsigned, and nothing is asked of its public parents; a trust anchor at or below the claim would change that",
            }
            .to_owned();
        }
        let Some(anchor) = self.trust.anchor_of(name, seconds) else {
            return "not validated: no trust anchor covers it".to_owned();
        };
        let dates = match self.clock.dates_count {
            true => "",
            false => "; dates do not count until the clock is believed, and AD is withheld",
        };
        format!(
            "validated from the anchor at {anchor} ({}){dates}",
            scope.describe_stance()
        )
    }

    fn order_of(&self, asking: &Asking, now: Instant) -> &'static str {
        const NEVER: &str =
            "the upstreams alone: own recursion is switched off (recursion = \"never\")";
        let planned = self.planned_recursion(asking);
        let mode = self.recursion_of(asking);
        if mode == RecursionMode::Never {
            return match planned == mode {
                true => NEVER,
                false => {
                    "the upstreams alone: all of them are encrypted, and the way from the root down is in the clear (recursion = \"always\" goes it all the same)"
                }
            };
        }
        if self.plan.default_scope().as_ref() != Some(&asking.scope)
            || self.is_island(&asking.question.name)
        {
            return "the upstreams alone: what is claimed is not asked from the root down";
        }
        if now < self.walks.blocked_until() {
            return "the upstreams alone for now: no server was reached from the root down a while ago";
        }
        match mode {
            RecursionMode::Always => {
                "from the root down; then the upstreams (recursion = \"always\")"
            }
            RecursionMode::Auto => {
                "the upstreams; from the root down when nobody replies, or what they say does not validate"
            }
            RecursionMode::Never => NEVER,
        }
    }
}
