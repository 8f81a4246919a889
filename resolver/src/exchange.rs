//! What does one message to one upstream say, and is what comes back its reply? [`Exchange`] and their table.
//!
//! Ids come from a seeded generator that nobody can predict (RFC 5452 §9.2). How a message is made harder to answer for
//! strangers, by cookie and spelling, is its guise (`upstream`). Does not decide whom to ask, and not whether a reply is any
//! good for its question.

use config::model::{Transport, Upstream};
use config::time::Instant;
use policy::ScopeId;
use policy::plan::ScopeLink;
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::bounds::Shares;
use crate::event::{Channel, ExchangeId, GroupId, Transmit};
use crate::numbered::{Numbered, Rooms};
use crate::record::{ParsedReply, ReplyError, parse_reply};
use crate::upstream::{Doubt, Guise};
use crate::wire::{HEADER, Question, build_query, option};

/// Messages that are not the reply, after which an exchange by UDP is given up for TCP: somebody guesses (RFC 5452 §9.3).
pub(crate) const MISMATCHES_MAX: u8 = 3;
/// Letters whose spelling hardly anybody comes upon who asks for the same name at the same time.
const LETTERS_MIN: usize = 8;
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
    /// To see whether the upstream sends it back; what it says of the upstream otherwise is passed over.
    Mark,
    /// Of the walk of this lookup, with this number.
    Walk(u64, u64),
}

/// Whether a message carries an OPT record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edns {
    /// It does, with everything that makes it hard to answer for strangers.
    With,
    /// It does, with nothing that a server may stumble over.
    Bare,
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
    /// Whether what it brings is kept nowhere, because a portal may have said it.
    pub(crate) fleeting: bool,
    /// Whom to ask.
    pub(crate) whom: Whom,
    /// The mark of its packets; 0 for none.
    pub(crate) mark: u32,
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
    guise: Guise,
    /// The question's name as it was spelled, when that counts.
    spelled: Box<[u8]>,
    mismatches: u8,
}

/// By which link and connections a scope's messages go.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) link: Option<ScopeLink>,
    pub(crate) group: GroupId,
}

/// What came back is not the reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// The reply may still come.
    WaitOn(&'static str),
    /// It may be the reply, but for the guise: a stream will tell. The reply may still come.
    Doubtful(Doubt, Box<ParsedReply>),
    /// There were too many.
    GiveUp(&'static str),
}

/// The exchanges under way.
#[derive(Debug, Default)]
pub(crate) struct Exchanges {
    exchange_by_id: Numbered<Exchange>,
    rooms: Rooms<Exchange>,
    datagrams: Shares,
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
        guise: Guise,
        way: Way,
        rng: &mut StdRng,
        now: Instant,
    ) -> Transmit {
        let id = rng.random();
        let mut wire = query(&asking, id, edns);
        let mut exchange = Exchange::new(asking, purpose, upstream, channel, edns, id, now);
        if let Some((client, server)) = &guise.cookie {
            push_cookie(&mut wire, client, server);
        }
        if guise.spells {
            exchange.spelled = spell(&mut wire, rng);
        }
        exchange.guise = guise;
        self.add(exchange, wire, way)
    }

    /// Takes an exchange whose message is made.
    pub(crate) fn add(&mut self, exchange: Exchange, wire: Vec<u8>, way: Way) -> Transmit {
        self.last += 1;
        let id = ExchangeId(self.last);
        let transmit = Transmit {
            exchange: id,
            upstream: exchange.upstream.clone(),
            channel: exchange.channel,
            link: way.link,
            group: way.group.marked(exchange.asking.mark),
            mark: exchange.asking.mark,
            wire,
        };
        if exchange.is_datagram() {
            self.datagrams.add(&exchange.asking, &exchange.upstream);
        }
        let room = Rooms::fill(self.rooms.take(), exchange);
        self.exchange_by_id.insert(id.0, room);
        transmit
    }

    /// Whether a question has as many datagrams under way to an upstream as may be.
    pub(crate) fn has_share(&self, asking: &Asking, upstream: &Upstream) -> bool {
        self.datagrams.has_share(asking, upstream)
    }

    /// Whether so many datagrams are under way that copies count.
    pub(crate) const fn is_crowded(&self) -> bool {
        self.datagrams.is_crowded()
    }

    pub(crate) fn get(&self, id: ExchangeId) -> Option<&Exchange> {
        self.exchange_by_id.get(id.0)
    }

    pub(crate) fn get_mut(&mut self, id: ExchangeId) -> Option<&mut Exchange> {
        self.exchange_by_id.get_mut(id.0)
    }

    /// Keeps the room of one that has ended.
    pub(crate) fn keep_room(&mut self, ended: Box<Exchange>) {
        self.rooms.put(ended);
    }

    pub(crate) fn remove(&mut self, id: ExchangeId) -> Option<Box<Exchange>> {
        let exchange = self.exchange_by_id.remove(id.0)?;
        if exchange.is_datagram() {
            self.datagrams
                .drop_one(&exchange.asking, &exchange.upstream);
        }
        Some(exchange)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ExchangeId, &Exchange)> {
        let exchanges = self.exchange_by_id.iter();
        exchanges.map(|(id, exchange)| (ExchangeId(id), exchange))
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
            guise: Guise::default(),
            spelled: Box::default(),
            mismatches: 0,
        }
    }

    /// Reads what came back.
    pub(crate) fn read(&mut self, wire: &[u8]) -> Result<ParsedReply, Mismatch> {
        let mut plain = Vec::new();
        let (wire, doubt) = match self.spelled.is_empty() {
            true => (wire, None),
            // Spelled at random, the letters must come back so; nobody gets to see them.
            false => {
                let doubt = unspell(wire, &self.spelled, &mut plain);
                (plain.as_slice(), doubt)
            }
        };
        let reason = match parse_reply(wire, self.id, &self.asking.question) {
            Ok(mut reply) => {
                settle_owners(&mut reply, self);
                match doubt.or_else(|| self.miss_cookie(&reply)) {
                    None => return Ok(reply),
                    Some(doubt) => {
                        self.mismatches += 1;
                        return Err(match self.mismatches >= MISMATCHES_MAX {
                            true => Mismatch::GiveUp(doubt.reason()),
                            false => Mismatch::Doubtful(doubt, Box::new(reply)),
                        });
                    }
                }
            }
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

    /// Whether a client's question is this one, come back: by id and spelling, or by a spelling that is no chance.
    pub(crate) fn is_copied_by(&self, id: u16, question_wire: &[u8]) -> bool {
        let name = match self.spelled.is_empty() {
            true => self.asking.question.name.as_wire(),
            false => &self.spelled,
        };
        let letters = self
            .spelled
            .iter()
            .filter(|octet| octet.is_ascii_alphabetic());
        let rare =
            letters.count() >= LETTERS_MIN && self.spelled.iter().any(u8::is_ascii_uppercase);
        question_wire.starts_with(name) && (rare || id == self.id)
    }

    /// Whether it takes one of the places that there are for datagrams.
    pub(crate) fn is_datagram(&self) -> bool {
        self.channel == Channel::Udp && self.upstream.transport == Transport::Plain
    }

    /// Whether it was sent with a cookie.
    pub(crate) fn has_cookie(&self) -> bool {
        self.guise.cookie.is_some()
    }

    /// RFC 7873 §5.3: a reply with another's cookie is not ours; one without, of a server that knows cookies, may not be its.
    fn miss_cookie(&self, reply: &ParsedReply) -> Option<Doubt> {
        let (client, _) = self.guise.cookie.as_ref()?;
        match &reply.cookie {
            Some((theirs, _)) => (theirs != client).then_some(Doubt::Cookie),
            None => self.guise.expects_cookie.then_some(Doubt::Cookie),
        }
    }
}

impl Doubt {
    /// Says it in words.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Spelling => "the question is spelled otherwise",
            Self::Cookie => "without its cookie",
        }
    }
}

/// Appends a cookie option to the OPT record that ends the message (RFC 7873 §4).
fn push_cookie(wire: &mut Vec<u8>, client: &[u8], server: &[u8]) {
    let length = client.len() + server.len();
    let (Ok(option_length), Ok(all)) = (u16::try_from(length), u16::try_from(length + 4)) else {
        return;
    };
    let Some(place) = wire.last_chunk_mut::<2>() else {
        return;
    };
    *place = all.to_be_bytes();
    for word in [option::COOKIE, option_length] {
        wire.extend_from_slice(&word.to_be_bytes());
    }
    wire.extend_from_slice(client);
    wire.extend_from_slice(server);
}

/// Spells the letters of the question's name at random; returns the name, which is empty when it has none.
fn spell(wire: &mut [u8], rng: &mut StdRng) -> Box<[u8]> {
    let mut chance: u64 = 0;
    let mut left = 0;
    let mut letters = false;
    let mut end = HEADER;
    // Octets of length are below 64, and no letters.
    for octet in wire.iter_mut().skip(HEADER) {
        end += 1;
        if *octet == 0 {
            break;
        }
        if !octet.is_ascii_alphabetic() {
            continue;
        }
        letters = true;
        if left == 0 {
            chance = rng.random();
            left = u64::BITS;
        }
        if chance & 1 == 1 {
            octet.make_ascii_uppercase();
        }
        chance >>= 1;
        left -= 1;
    }
    match wire.get(HEADER..end) {
        Some(name) if letters => name.into(),
        Some(_) | None => Box::default(),
    }
}

/// Copies a reply with the letters of its question's name in lower case; returns whether they were spelled otherwise.
fn unspell(wire: &[u8], spelled: &[u8], plain: &mut Vec<u8>) -> Option<Doubt> {
    plain.extend_from_slice(wire);
    let place = plain.get_mut(HEADER..HEADER + spelled.len())?;
    let same = *place == *spelled;
    // A reply to another question, or to none, is not this function's to judge.
    if !place.eq_ignore_ascii_case(spelled) {
        return None;
    }
    place.make_ascii_lowercase();
    (!same).then_some(Doubt::Spelling)
}

/// Gives records the spelling of our question, whose name a server may have copied as we spelled it.
fn settle_owners(reply: &mut ParsedReply, exchange: &Exchange) {
    if exchange.spelled.is_empty() {
        return;
    }
    let name = exchange.asking.question.name.as_wire();
    let records = reply.answers.iter_mut().chain(&mut reply.authority);
    for record in records.chain(&mut reply.additional) {
        if record.name.len() <= name.len() {
            let (_, tail) = name.split_at(name.len() - record.name.len());
            if *record.name != *tail && record.name.eq_ignore_ascii_case(tail) {
                record.name = tail.into();
            }
        }
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
    use std::collections::BTreeSet;

    use rand::SeedableRng as _;

    use super::*;
    use crate::wire::parse_query;

    impl Asking {
        /// Makes one, of which nothing is special, for whoever tests.
        pub(crate) fn sample(name: &str, incarnation: u64) -> Self {
            Self {
                scope: ScopeId("s".into()),
                incarnation,
                question: Question {
                    name: name.parse().unwrap(),
                    record_type: 1,
                    class: 1,
                },
                dnssec_ok: false,
                checking_disabled: false,
                validate: false,
                recurse: false,
                fleeting: false,
                whom: Whom::Any,
                mark: 0,
            }
        }
    }

    fn asking() -> Asking {
        Asking {
            dnssec_ok: true,
            ..Asking::sample("a.test", 1)
        }
    }

    #[test]
    fn query_without_edns_ends_with_its_question() {
        let asking = asking();
        let plain = parse_query(&query(&asking, 7, Edns::Without)).unwrap();
        assert_eq!(
            (plain.id, &plain.question, plain.edns),
            (7, &asking.question, None)
        );
        let full = parse_query(&query(&asking, 7, Edns::With)).unwrap();
        assert!(full.dnssec_ok());
    }

    #[test]
    fn a_cookie_is_an_option_of_the_message() {
        let asking = asking();
        let mut wire = query(&asking, 7, Edns::With);
        push_cookie(&mut wire, &[1; 8], &[2; 16]);
        assert!(parse_query(&wire).unwrap().dnssec_ok());
        wire[2] |= 0x80;
        let reply = parse_reply(&wire, 7, &asking.question).unwrap();
        assert_eq!(reply.cookie, Some(([1; 8], [2; 16].into())));
    }

    #[test]
    fn letters_are_spelled_at_random_and_only_they() {
        let mut rng = StdRng::from_seed([3; 32]);
        let plain = query(&asking(), 7, Edns::With);
        let spellings: BTreeSet<Box<[u8]>> = (0..100)
            .map(|_| {
                let mut wire = plain.clone();
                let spelled = spell(&mut wire, &mut rng);
                assert!(wire.eq_ignore_ascii_case(&plain));
                assert_eq!(wire[HEADER..HEADER + spelled.len()], *spelled);
                spelled
            })
            .collect();
        // a.test has five letters.
        assert!((20..=32).contains(&spellings.len()), "{}", spellings.len());
        let mut copy = Vec::new();
        let spelled = spellings.last().unwrap();
        let mut wire = plain.clone();
        wire[HEADER..HEADER + spelled.len()].copy_from_slice(spelled);
        assert_eq!(unspell(&wire, spelled, &mut copy), None);
        assert_eq!(copy, plain);
        copy.clear();
        wire[HEADER + 1] ^= 0x20;
        assert_eq!(unspell(&wire, spelled, &mut copy), Some(Doubt::Spelling));
    }
}
