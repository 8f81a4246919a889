//! Config and facts to a plan: one total function.
//!
//! ```text
//! plan(&Config, &Facts) -> Plan        who may be asked, where names go, what resolv.conf says
//! DomainTable::route(name) -> Route    where one name goes, and why
//! ```
//!
//! No state, no clock, no error type: every configuration and every set of facts has a plan.

pub mod domains;
pub mod explain;
pub mod facts;
pub mod plan;

pub use domains::{DomainTable, Refusal, Route, Target};
pub use explain::{Because, Candidate, Explanation, Outcome, Rule};
pub use facts::{Facts, LinkFacts, LinkId, Owner};
pub use plan::{DnsPlan, Plan, ScopeId, ScopePlan, ScopeState};

use config::Config;

/// Computes everything we intend.
pub fn plan(_config: &Config, _facts: &Facts) -> Plan {
    Plan::default()
}
