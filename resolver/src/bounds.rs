//! How much may be under way for one scope? What keeps questions from multiplying, beside `loops`.
//!
//! What is under way for a scope is bounded, so that one whose upstreams are dead does not take the sockets of all, and so are the datagrams to one upstream: as many
//! as are free, so that however many upstreams are silent, there is as much left for one more.

use std::collections::BTreeMap;
use std::time::Duration;

use config::model::Upstream;
use config::time::Instant;

use crate::conclude::{Conclusion, failed};
use crate::exchange::Asking;
use crate::failure::Cause;
use crate::lookup::Lookup;
use crate::progress::{Outcome, Query};
use crate::refusal::Refused;
use crate::{ExchangeId, Resolver};

/// The most questions of one scope that are asked of upstreams at once: a quarter of all. An upstream that is 300 ms late holds
/// as many at 13,000 new questions a second.
const SCOPE_LOOKUPS_MAX: usize = 4096;
/// How long a question has had its chance, where another one wants its place. Else those of an outage, which wait for their next
/// turn, would keep out whoever asks when the upstreams are back.
const CHANCE: Duration = Duration::from_millis(500);

/// The most messages by datagram that are under way at once: each keeps its port and its id from others. Half of them are the
/// first and the last copies of as many questions as one scope may have, to two silent upstreams.
pub const DATAGRAMS_MAX: usize = 32_768;
/// From here on nobody keeps more than the first and the last of its copies waiting: while upstreams are dead, copies would take
/// the room of those who ask when they are back.
const CROWDED: usize = DATAGRAMS_MAX / 4;

/// How many messages by datagram are under way to each upstream of each scope.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    all: usize,
    /// By the scope's incarnation.
    open_by_scope: BTreeMap<u64, BTreeMap<Upstream, usize>>,
}

impl Shares {
    pub(crate) fn add(&mut self, asking: &Asking, upstream: &Upstream) {
        self.all += 1;
        let scope = self.open_by_scope.entry(asking.incarnation).or_default();
        match scope.get_mut(upstream) {
            Some(open) => *open += 1,
            None => drop(scope.insert(upstream.clone(), 1)),
        }
    }

    pub(crate) fn drop_one(&mut self, asking: &Asking, upstream: &Upstream) {
        let Some(scope) = self.open_by_scope.get_mut(&asking.incarnation) else {
            return;
        };
        let Some(open) = scope.get_mut(upstream) else {
            return;
        };
        self.all -= 1;
        *open -= 1;
        if *open == 0 {
            scope.remove(upstream);
        }
        if scope.is_empty() {
            self.open_by_scope.remove(&asking.incarnation);
        }
    }

    /// Whether so many are under way that copies count.
    pub(crate) const fn is_crowded(&self) -> bool {
        self.all >= CROWDED
    }

    /// Whether an upstream has no fewer under way than are left for all: one that is silent must not keep others from being asked.
    pub(crate) fn has_share(&self, asking: &Asking, upstream: &Upstream) -> bool {
        let room = DATAGRAMS_MAX.saturating_sub(self.all);
        // As long as half is free, nobody needs to count.
        if room > DATAGRAMS_MAX / 2 {
            return false;
        }
        let scope = self.open_by_scope.get(&asking.incarnation);
        let open = scope.and_then(|scope| scope.get(upstream));
        open.copied().unwrap_or_default() >= room
    }
}

impl Resolver {
    /// Hands a query back unless its question is one too many; else it is answered.
    pub(crate) fn admit(
        &mut self,
        query: Box<Query>,
        asking: &Asking,
        now: Instant,
    ) -> Option<Box<Query>> {
        let full = self.lookups.of_scope(asking.incarnation) >= SCOPE_LOOKUPS_MAX;
        let one_more = full && self.lookups.joinable(asking, now).is_none();
        if !one_more || self.make_room(asking.incarnation, now) {
            return Some(query);
        }
        let refused = Refused::too_many_in(&asking.scope);
        self.finish(query, Outcome::Refused(refused), now);
        None
    }

    /// Ends the question of a scope that waits longest, when it has had its chance; returns whether there is room now.
    fn make_room(&mut self, incarnation: u64, now: Instant) -> bool {
        let back_at = self.back_at;
        let fits = |lookup: &Lookup| {
            // What is being judged has its reply, and what others are judged by is nobody's place.
            now.since(lookup.started_at.max(back_at)) >= CHANCE
                && lookup.judging.is_none()
                && lookup.waiters.iter().all(|waiter| waiter.is_client())
        };
        let Some(oldest) = self.lookups.oldest_of(incarnation, fits) else {
            return false;
        };
        let Some(mut refused) = self.lookups.get(oldest).map(failed) else {
            return false;
        };
        if refused.cause == Cause::Silence {
            // Whoever is asked next finds no more room.
            refused.cause = Cause::Own;
        }
        refused.extended_error.text += "; as many waited as may, and this one longest";
        self.counters.displaced += 1;
        self.conclude(oldest, &Conclusion::Refused(refused), now);
        true
    }

    /// Lets the copies of a question go that an upstream was sent in between, where many are under way: the first one may be
    /// answered late, the last one by whoever has come back.
    pub(crate) fn thin_out(&mut self, id: u64, upstream: &Upstream) {
        if !self.exchanges.is_crowded() {
            return;
        }
        let Some(lookup) = self.lookups.get(id) else {
            return;
        };
        let copies = lookup.exchanges.iter().copied().filter(|exchange| {
            let exchange = self.exchanges.get(*exchange);
            exchange.is_some_and(|it| it.is_datagram() && it.upstream == *upstream)
        });
        // The one that is about to be sent is the last.
        let between: Vec<ExchangeId> = copies.skip(1).collect();
        for exchange in between {
            let _ended = self.end_exchange(exchange);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(incarnation: u64) -> Asking {
        Asking::sample("a.test", incarnation)
    }

    #[test]
    fn silent_upstreams_come_to_equal_shares_with_as_much_left_for_one_more() {
        for silent in 1..6_u8 {
            let mut shares = Shares::default();
            let upstream = |number: u8| Upstream::plain([192, 0, 2, number].into());
            let mut open = BTreeMap::new();
            for _ in 0..DATAGRAMS_MAX {
                for number in 0..silent {
                    // One address in two scopes is two.
                    let (asking, upstream) = (asking(number.into()), upstream(number / 2));
                    if !shares.has_share(&asking, &upstream) {
                        shares.add(&asking, &upstream);
                        *open.entry(number).or_insert(0_usize) += 1;
                    }
                }
            }
            let left = DATAGRAMS_MAX - shares.all;
            let fair = DATAGRAMS_MAX / (usize::from(silent) + 1);
            assert!(left.abs_diff(fair) <= usize::from(silent), "{left}");
            assert!(
                open.values().all(|open| open.abs_diff(left) <= 1),
                "{open:?}"
            );
            for number in 0..silent {
                for _ in 0..open[&number] {
                    shares.drop_one(&asking(number.into()), &upstream(number / 2));
                }
            }
            assert!(shares.all == 0 && shares.open_by_scope.is_empty());
        }
    }
}
