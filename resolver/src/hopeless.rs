//! When is it of no use to wait for replies that are not there yet? Everybody has said that there will be none.
//!
//! ```text
//! datagram refused, stream refused ─ REJECT_PAUSE ─► once more ─┬─ refused, unreachable ────────────────► concluded
//!                                                               └─ silent, for as long as a reply takes ─► concluded
//! datagrams silent, refused a moment ago ─ a stream ─► refused ─► concluded
//! ```
//!
//! Hosts and routers limit their ICMP errors (RFC 1812 §4.3.2.8, RFC 4443 §2.4 (f)), Linux to one a second for each peer after a
//! burst (`icmp_ratelimit`): of what is sent to a closed port most is met with silence. A stream is refused each time. That alone
//! says nothing, as there are servers that do not listen for streams; beside a datagram that was refused a moment ago it says that
//! nobody is there. Whoever is silent and has said nothing of the kind may still reply. Out of reach is who was said to be so when
//! this question was sent once more: what others were told, or this one at first, may have been a route that was away for a moment.

use config::time::Instant;

use crate::Resolver;
use crate::ask::REJECT_ROUNDS;
use crate::event::Channel;
use crate::lookup::Lookup;
use crate::upstream::UpstreamState;

impl Resolver {
    /// Whether no upstream of a lookup will reply any more, and each has had its second chance.
    pub(crate) fn is_hopeless(&self, id: u64, now: Instant) -> bool {
        let Some(lookup) = self.lookups.get(id) else {
            return false;
        };
        if lookup.round < REJECT_ROUNDS || lookup.failures.is_empty() || lookup.bad.is_some() {
            return false;
        }
        if lookup.judging.is_some() || lookup.walk.is_some() {
            return false;
        }
        let asking = &lookup.asking;
        let Some(scope) = self.scopes.get(&asking.scope) else {
            return false;
        };
        let mut meant = scope.meant(asking);
        scope.incarnation == asking.incarnation
            && meant.all(|state| self.has_failed(lookup, state, now))
    }

    /// Ends a lookup whose upstreams will not reply.
    pub(crate) fn conclude_closed(&mut self, id: u64, now: Instant) {
        let lookup = self.lookups.get_mut(id);
        let exchanges = lookup.map_or_else(Vec::new, |lookup| lookup.exchanges.clone());
        for exchange in exchanges {
            let _ended: Option<Box<_>> = self.end_exchange(exchange);
        }
        self.conclude_failed(id, now);
    }

    /// Whether an upstream has said that it will not reply to what a lookup asks.
    fn has_failed(&self, lookup: &Lookup, state: &UpstreamState, now: Instant) -> bool {
        let upstream = &state.upstream;
        let is_plain = Channel::to(upstream) == Channel::Udp;
        if is_plain && lookup.lost.contains(upstream) {
            return true;
        }
        let is_closed = match is_plain {
            true => state.has_refused_lately(now) && lookup.shut.contains(upstream),
            false => lookup.failures.iter().any(|(other, _)| other == upstream),
        };
        let mut exchanges = lookup
            .exchanges
            .iter()
            .filter_map(|id| self.exchanges.get(*id));
        is_closed
            && !exchanges
                .any(|exchange| exchange.upstream == *upstream && exchange.channel == Channel::Tcp)
    }
}
