//! Where does a name belong? [`DomainTable`]: one total order, no race across trust zones.
//!
//! # The order
//! 1. An owner whose exclusion covers the name at least as closely as its own claims is out.
//! 2. A name that is a search suffix appended to somebody's claimed name is denied: an expansion must not leak.
//! 3. Longest claimed suffix; the default of a scope counts as the root.
//! 4. The claim's explicit priority.
//! 5. The link's rank: the one that holds the IP default route wins.
//! 6. The owner's name, so that the order is total.
//!
//! [`DomainTable::route`] and [`DomainTable::explain`] take the same walk; the first stops at the winner.

use std::sync::Arc;

use config::name::DomainName;

use crate::explain::{Because, Explanation};
use crate::plan::{ScopeId, ScopeState};

/// Name to route.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DomainTable {
    _todo: (),
}

/// Where a name goes, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where.
    pub target: Target,
    /// Why; shared with the table, so that routing allocates nothing.
    pub because: Arc<Because>,
}

/// Where a name goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To this scope.
    Ask(ScopeId),
    /// Nowhere.
    Refuse(Refusal),
}

/// Why a name goes nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Its claim's scope cannot be asked, and the claim fails closed.
    ScopeNotReady {
        /// The scope.
        scope: ScopeId,
        /// What is wrong with it.
        state: ScopeState,
    },
    /// It is a search suffix appended to a name that a scope claims: answered NXDOMAIN.
    SearchExpansion {
        /// The claimed name within.
        inner: DomainName,
    },
    /// Nobody claims it, and there is no default scope.
    NoScope,
}

impl DomainTable {
    /// Routes a name.
    pub fn route(&self, _name: &DomainName) -> Route {
        unimplemented!()
    }

    /// Routes a name and tells every claim that was looked at.
    pub fn explain(&self, _name: &DomainName) -> Explanation {
        unimplemented!()
    }
}
