//! What stays of a link's items while it has no carrier? A [`CarrierUse`], and the moment of the facts.

use config::model::CarrierUse;
use config::time::Instant;

use crate::facts::{Facts, LinkId};

/// Whether items are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    Yes,
    /// For the time being.
    Until(Instant),
    No,
}

impl Held {
    pub(super) const fn is_held(self) -> bool {
        match self {
            Self::Yes | Self::Until(_) => true,
            Self::No => false,
        }
    }

    /// Returns when the answer will be another one without any other fact.
    pub(super) const fn ends_at(self) -> Option<Instant> {
        match self {
            Self::Until(at) => Some(at),
            Self::Yes | Self::No => None,
        }
    }
}

/// Decides for one class of items. A grace is for what was there: a link that was never up gets nothing by it.
pub(super) fn held(by: CarrierUse, link: LinkId, facts: &Facts) -> Held {
    let is_up = facts.links.get(&link).is_some_and(|link| link.up);
    match by {
        CarrierUse::Ignore => Held::Yes,
        CarrierUse::Grace(_) if is_up => Held::Yes,
        CarrierUse::Grace(grace) => {
            let since = facts.down_since.get(&link);
            match since.map(|since| *since + grace) {
                Some(end) if facts.as_of < end => Held::Until(end),
                Some(_) | None => Held::No,
            }
        }
    }
}
