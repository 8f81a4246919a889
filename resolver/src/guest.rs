//! What may a guest ask? Names that nobody claims, while no full tunnel takes them.
//!
//! A guest is a client of a listener whose claims are closed: somebody on the LAN, a container that is none of the office's
//! business. What it may not ask is refused, never asked elsewhere. Who is a guest is the listener's word ([`Stub::is_guest`]).

use policy::explain::Rule;
use policy::{DnsPlan, Route};

use crate::chain::is_claimed;
use crate::event::Stub;

/// Whether a name that routes like this is kept from a client of this stub.
pub(crate) fn is_withheld(stub: Stub, route: &Route, plan: &DnsPlan) -> bool {
    if !stub.is_guest() {
        return false;
    }
    match route.because.rule {
        // That there is a search suffix, and what it would complete, is not for guests either.
        Rule::Exclusive | Rule::SearchExpansion => true,
        // The addresses of the link that everybody's names go to: a guest may ask there in any case.
        Rule::LinkPrefix => plan.default_scope().as_ref() != route.target.scope(),
        Rule::LongestSuffix
        | Rule::Priority
        | Rule::LinkRank
        | Rule::OwnerName
        | Rule::Default
        | Rule::NoScope => is_claimed(route),
    }
}
