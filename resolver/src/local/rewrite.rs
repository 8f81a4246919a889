//! What is changed of a reply on its way to a client, in which order, and for whom not?
//!
//! The first that changes a reply has the last word on it; what an alias then leads to is a reply of its own. Each decides by itself what
//! it changes (`filter`, `local`, `rebinding`, `dns64`).
//!
//! | client | lists | records | rebinding | translation |
//! |---|---|---|---|---|
//! | at the bypass stub | – | – | – | – |
//! | that checks for itself (DO and CD) | yes | – | yes | – |
//! | that is let through to a portal | yes | yes | – | yes |
//! | a guest | yes | of what is open | yes | yes |
//! | any other | yes | yes | yes | yes |

use crate::Resolver;
use crate::chain::Hop;
use crate::progress::{Found, Next, Outcome, Query};
use crate::stale;

/// Who may change what is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rewriter {
    /// Cuts a reply before the first target of its aliases that a list knows.
    Lists,
    /// Takes back that a name does not exist which has records here.
    Records,
    /// Drops what leads a stranger's name into a private network.
    Rebinding,
    /// Makes IPv6 addresses of IPv4 ones, when all replies are in.
    Translation,
}

/// How much of it is for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Nothing.
    Nothing,
    /// What is kept from nobody.
    Open,
    /// Everything.
    Everything,
}

/// What of a client, and of its question, decides that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Audience {
    pub(super) bypass: bool,
    pub(super) guest: bool,
    /// Whether it checks for itself, and gets what there is to check.
    pub(super) checks_itself: bool,
    /// Whether the answer is a portal's, which is in the private network that it keeps people in.
    pub(super) of_portal: bool,
}

/// What became of a reply.
pub(super) enum Rewritten {
    /// It is as it was.
    Not,
    /// It is another one.
    Hop(Hop),
    /// It is another one, by which the name exists.
    There(Hop),
    /// It is the end.
    End(Outcome),
}

impl Rewriter {
    /// Those that look at each reply, in the order in which they are asked.
    pub(super) const OF_REPLIES: [Self; 3] = [
        // What a list says of an alias comes before what is at its end.
        Self::Lists,
        Self::Records,
        Self::Rebinding,
    ];

    /// Tells how much of it is for whom.
    pub(super) const fn extent(self, audience: Audience) -> Extent {
        let Audience {
            bypass,
            guest,
            checks_itself,
            of_portal,
        } = audience;
        let exempt = match self {
            Self::Lists => false,
            Self::Records | Self::Translation => checks_itself,
            Self::Rebinding => of_portal,
        };
        match self {
            _ if bypass || exempt => Extent::Nothing,
            // That there is something below a name is told to nobody from whom that may be kept.
            Self::Records if guest => Extent::Open,
            Self::Lists | Self::Records | Self::Rebinding | Self::Translation => Extent::Everything,
        }
    }
}

impl Resolver {
    /// Takes a reply into a query, as those leave it who may change it.
    pub(crate) fn take_hop(&mut self, query: &mut Query, hop: &Hop, found: Found) -> Next {
        let audience = Audience {
            of_portal: self.is_of_portal(query),
            ..query.audience()
        };
        for rewriter in Rewriter::OF_REPLIES {
            let extent = rewriter.extent(audience);
            let rewritten = match (rewriter, extent) {
                (_, Extent::Nothing) => continue,
                (Rewriter::Lists, _) => self.cut_at_listed(query, hop),
                (Rewriter::Records, _) => self.exist_here(query, hop, extent),
                (Rewriter::Rebinding, _) => self.protect(query, hop),
                // It has nothing to do with one reply alone.
                (Rewriter::Translation, _) => continue,
            };
            let (hop, extended_error) = match rewritten {
                Rewritten::Not => continue,
                Rewritten::End(outcome) => return Next::Done(outcome),
                Rewritten::Hop(hop) => (hop, found.extended_error),
                Rewritten::There(hop) => (hop, found.extended_error.map(stale::as_if_there)),
            };
            let found = Found {
                template: None,
                extended_error,
                ..found
            };
            return query.take(&hop, found, &self.plan);
        }
        query.take(hop, found, &self.plan)
    }
}

impl Query {
    /// Tells whose answer it is, as far as the question says so.
    pub(super) fn audience(&self) -> Audience {
        Audience {
            bypass: self.stub.is_bypass(),
            guest: self.stub.is_guest(),
            checks_itself: self.parsed.checking_disabled && self.parsed.dnssec_ok(),
            of_portal: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Stub;

    /// Who changes a reply, and then the answer, for whom: in this order.
    #[test]
    fn each_kind_of_client_has_its_rewriters_in_one_order() {
        use Extent::{Everything, Nothing, Open};
        let own = [Everything; 4];
        let rows = [
            (Stub::Main, "", own),
            (
                Stub::Main,
                "checks",
                [Everything, Nothing, Everything, Nothing],
            ),
            (
                Stub::Main,
                "portal",
                [Everything, Everything, Nothing, Everything],
            ),
            (Stub::Main, "both", [Everything, Nothing, Nothing, Nothing]),
            (Stub::Guest, "", [Everything, Open, Everything, Everything]),
            (
                Stub::Guest,
                "checks",
                [Everything, Nothing, Everything, Nothing],
            ),
            (
                Stub::Guest,
                "portal",
                [Everything, Open, Nothing, Everything],
            ),
            (Stub::Guest, "both", [Everything, Nothing, Nothing, Nothing]),
            (Stub::Bypass, "", [Nothing; 4]),
            (Stub::Bypass, "checks", [Nothing; 4]),
            (Stub::Bypass, "portal", [Nothing; 4]),
            (Stub::Bypass, "both", [Nothing; 4]),
            (Stub::GuestBypass, "", [Nothing; 4]),
            (Stub::GuestBypass, "checks", [Nothing; 4]),
            (Stub::GuestBypass, "portal", [Nothing; 4]),
            (Stub::GuestBypass, "both", [Nothing; 4]),
        ];
        assert_eq!(rows.len(), 4 * Stub::ALL.len());
        let [first, second, third] = Rewriter::OF_REPLIES;
        let order = [first, second, third, Rewriter::Translation];
        let named = [
            Rewriter::Lists,
            Rewriter::Records,
            Rewriter::Rebinding,
            Rewriter::Translation,
        ];
        assert_eq!(order, named);
        for (stub, kind, expected) in rows {
            let audience = Audience {
                bypass: stub.is_bypass(),
                guest: stub.is_guest(),
                checks_itself: matches!(kind, "checks" | "both"),
                of_portal: matches!(kind, "portal" | "both"),
            };
            let extents = order.map(|rewriter| rewriter.extent(audience));
            assert_eq!(extents, expected, "{stub:?} {kind}");
        }
    }
}
