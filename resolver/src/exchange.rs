//! What does one message to one upstream say, and is what comes back its reply? [`Exchange`] and their table.
//!
//! Ids come from a seeded generator that nobody can predict (RFC 5452 §9.2). Does not decide whom to ask, and not whether a
//! reply is any good for its question.

use std::collections::BTreeMap;

use config::model::Upstream;
use config::time::Instant;
use policy::ScopeId;
use policy::plan::ScopeLink;
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::event::{Channel, ExchangeId, Transmit};
use crate::record::{ParsedReply, ReplyError, parse_reply};
use crate::wire::{Question, build_query};

/// Messages that are not the reply, after which an exchange by UDP is given up for TCP: somebody guesses (RFC 5452 §9.3).
pub(crate) const MISMATCHES_MAX: u8 = 3;
/// An OPT record without options, in octets; a query to an upstream ends in one.
const OPT_SIZE: usize = 11;
/// Where the low octet of ARCOUNT is in a header.
const ARCOUNT_LOW: usize = 11;

/// On whose behalf an exchange is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Of the lookup with this number.
    Lookup(u64),
    /// To see how the upstream does; nobody waits for what it says.
    Probe,
    /// Of the walk of this lookup, with this number.
    Walk(u64, u64),
}

/// Whether a message carries an OPT record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edns {
    /// It does.
    With,
    /// It does not.
    Without,
}

/// Which of a scope's upstreams a question is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Whom {
    /// Whoever is chosen.
    #[default]
    Any,
    /// This one first, then whoever is chosen.
    First(Upstream),
    /// This one alone.
    Only(Upstream),
}

/// What is asked of whom.
#[derive(Debug, Clone)]
pub(crate) struct Asking {
    pub(crate) scope: ScopeId,
    pub(crate) incarnation: u64,
    pub(crate) question: Question,
    pub(crate) dnssec_ok: bool,
    pub(crate) checking_disabled: bool,
    /// Whether the reply is judged before anybody gets it; then DO and CD are ours.
    pub(crate) validate: bool,
    /// Whether the upstreams are passed by, because they are not believed.
    pub(crate) recurse: bool,
    /// Whom to ask.
    pub(crate) whom: Whom,
}

/// One message on its way.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) asking: Asking,
    pub(crate) purpose: Purpose,
    pub(crate) upstream: Upstream,
    pub(crate) channel: Channel,
    pub(crate) edns: Edns,
    pub(crate) sent_at: Instant,
    /// Whether it counts as lost already.
    pub(crate) counted: bool,
    id: u16,
    mismatches: u8,
}

/// What came back is not the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// The reply may still come.
    WaitOn(&'static str),
    /// There were too many.
    GiveUp(&'static str),
}

/// The exchanges under way.
#[derive(Debug, Default)]
pub(crate) struct Exchanges {
    exchange_by_id: BTreeMap<ExchangeId, Exchange>,
    last: u64,
}

impl Exchanges {
    /// Makes an exchange and its message.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a different thing, and nothing else has them together"
    )]
    pub(crate) fn start(
        &mut self,
        asking: Asking,
        purpose: Purpose,
        upstream: Upstream,
        channel: Channel,
        edns: Edns,
        link: Option<ScopeLink>,
        rng: &mut StdRng,
        now: Instant,
    ) -> Transmit {
        let id = rng.random();
        let wire = query(&asking, id, edns);
        let exchange = Exchange::new(asking, purpose, upstream, channel, edns, id, now);
        self.add(exchange, wire, link)
    }

    /// Takes an exchange whose message is made.
    pub(crate) fn add(
        &mut self,
        exchange: Exchange,
        wire: Vec<u8>,
        link: Option<ScopeLink>,
    ) -> Transmit {
        self.last += 1;
        let id = ExchangeId(self.last);
        let transmit = Transmit {
            exchange: id,
            upstream: exchange.upstream.clone(),
            channel: exchange.channel,
            link,
            wire,
        };
        self.exchange_by_id.insert(id, exchange);
        transmit
    }

    pub(crate) fn get_mut(&mut self, id: ExchangeId) -> Option<&mut Exchange> {
        self.exchange_by_id.get_mut(&id)
    }

    pub(crate) fn remove(&mut self, id: ExchangeId) -> Option<Exchange> {
        self.exchange_by_id.remove(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ExchangeId, &Exchange)> {
        self.exchange_by_id
            .iter()
            .map(|(&id, exchange)| (id, exchange))
    }
}

impl Exchange {
    /// Makes an exchange whose message has this id.
    pub(crate) fn new(
        asking: Asking,
        purpose: Purpose,
        upstream: Upstream,
        channel: Channel,
        edns: Edns,
        id: u16,
        now: Instant,
    ) -> Self {
        Self {
            asking,
            purpose,
            upstream,
            channel,
            edns,
            sent_at: now,
            counted: false,
            id,
            mismatches: 0,
        }
    }

    /// Reads what came back.
    pub(crate) fn read(&mut self, wire: &[u8]) -> Result<ParsedReply, Mismatch> {
        let reason = match parse_reply(wire, self.id, &self.asking.question) {
            Ok(reply) => return Ok(reply),
            Err(ReplyError::NotAReply) => "not a reply",
            Err(ReplyError::WrongId) => "wrong id",
            Err(ReplyError::WrongQuestion) => "another question",
            Err(ReplyError::Malformed(reason)) => reason,
        };
        self.mismatches += 1;
        // A stream is not open to strangers: what is wrong there stays wrong.
        if self.channel == Channel::Tcp || self.mismatches >= MISMATCHES_MAX {
            return Err(Mismatch::GiveUp(reason));
        }
        Err(Mismatch::WaitOn(reason))
    }
}

fn query(asking: &Asking, id: u16, edns: Edns) -> Vec<u8> {
    let mut wire = build_query(
        &asking.question,
        id,
        asking.checking_disabled,
        asking.dnssec_ok,
    );
    if edns == Edns::Without {
        wire.truncate(wire.len().saturating_sub(OPT_SIZE));
        if let Some(count) = wire.get_mut(ARCOUNT_LOW) {
            *count = 0;
        }
    }
    wire
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::parse_query;

    #[test]
    fn query_without_edns_ends_with_its_question() {
        let question = Question {
            name: "a.test".parse().unwrap(),
            record_type: 1,
            class: 1,
        };
        let asking = Asking {
            scope: ScopeId("s".into()),
            incarnation: 1,
            question: question.clone(),
            dnssec_ok: true,
            checking_disabled: false,
            validate: false,
            recurse: false,
            whom: Whom::Any,
        };
        let plain = parse_query(&query(&asking, 7, Edns::Without)).unwrap();
        assert_eq!(
            (plain.id, &plain.question, plain.edns),
            (7, &question, None)
        );
        let full = parse_query(&query(&asking, 7, Edns::With)).unwrap();
        assert!(full.dnssec_ok());
    }
}
