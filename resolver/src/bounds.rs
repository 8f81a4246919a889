//! How much may be under way for one scope, and is a question our own come back? What keeps questions from multiplying.
//!
//! An upstream that forwards to us sends our question back: the copy has our id and our spelling. It is told so, and answers its
//! own asker with an error, which ends the circle; else both would wait for each other. What is under way for a scope is
//! bounded, so that one whose upstreams are dead does not take the sockets of all.

use config::model::Upstream;
use config::time::Instant;

use crate::Resolver;
use crate::event::Step;
use crate::exchange::Asking;
use crate::progress::{Outcome, Query};
use crate::refusal::Refused;

/// The most questions of one scope that are asked of upstreams at once: a quarter of all, and half of the sockets.
const SCOPE_LOOKUPS_MAX: usize = 1024;

impl Resolver {
    /// Hands a query back unless its question is our own, or one too many; else it is answered.
    pub(crate) fn admit(
        &mut self,
        query: Box<Query>,
        asking: &Asking,
        now: Instant,
    ) -> Option<Box<Query>> {
        let refused = match self.own_question(&query, asking) {
            Some(upstream) => Some(Refused::looped(&upstream)),
            None => {
                let full = self.lookups.of_scope(asking.incarnation) >= SCOPE_LOOKUPS_MAX;
                let one_more = full && self.lookups.joinable(asking, now).is_none();
                one_more.then(|| Refused::too_many_in(&asking.scope))
            }
        };
        let Some(refused) = refused else {
            return Some(query);
        };
        self.finish(query, Outcome::Refused(refused), now);
        None
    }

    /// Returns the upstream that sends a question back which we asked it.
    fn own_question(&mut self, query: &Query, asking: &Asking) -> Option<Upstream> {
        let parsed = &query.parsed;
        let ids = self.lookups.asking_for(asking);
        for id in ids {
            let Some(lookup) = self.lookups.get_mut(id) else {
                continue;
            };
            for exchange in &lookup.exchanges {
                let Some(exchange) = self.exchanges.get_mut(*exchange) else {
                    continue;
                };
                if exchange.is_copied_by(parsed.id, &parsed.question_wire) {
                    let upstream = exchange.upstream.clone();
                    lookup.looped.push(upstream.clone());
                    let why = "it sends our question back to us";
                    lookup.steps.push(Step::Dropped(upstream.clone(), why));
                    self.counters.looped += 1;
                    return Some(upstream);
                }
            }
        }
        None
    }
}
