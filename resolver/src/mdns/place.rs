//! What goes on at one place: a link, by one family? Its cache, its questions, its voice, put together.
//!
//! Hears messages, decides which are to be believed (RFC 6762 §11), and writes the questions with what is known. Knows no
//! clients and no other place.

use std::collections::BTreeSet;
use std::net::IpAddr;

use config::model::Prefix;
use config::time::Instant;
use rand::rngs::StdRng;

use super::cache::{Cache, Effect};
use super::message::{Message, Section, Told, Wanted, Writer};
use super::series::Series;
use super::voice::{Voice, goodbyes, responses};
use super::{Heard, MDNS_PORT, Whom};
use crate::record::RawRecord;

/// The hop limit that every message has when it leaves (RFC 6762 §11): one that has another came from elsewhere.
const HOP_LIMIT: u8 = 255;

/// A place.
#[derive(Debug, Default)]
pub(crate) struct Place {
    pub(crate) cache: Cache,
    pub(crate) series: Series,
    pub(crate) voice: Voice,
    out: Vec<(Whom, Vec<u8>)>,
    pub(crate) heard: u64,
    pub(crate) ignored: u64,
}

/// What became of what was heard.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Records that are new, and those that made room for them and are not there any more, in their order.
    pub(crate) changes: Vec<(RawRecord, bool)>,
    /// Whether it was a response that was believed.
    pub(crate) is_response: bool,
}

impl Place {
    /// Takes a message.
    pub(crate) fn hear(
        &mut self,
        heard: &Heard<'_>,
        addresses: &[Prefix],
        now: Instant,
        rng: &mut StdRng,
    ) -> News {
        let mut news = News::default();
        let Some(message) = Message::parse(heard.wire).filter(|_| is_from_here(heard, addresses))
        else {
            self.ignored += 1;
            return news;
        };
        self.heard += 1;
        if !message.response {
            let mut message = message;
            // Who is not on the link is not answered alone.
            let is_near = is_near(heard.source.ip(), addresses);
            for wanted in &mut message.questions {
                wanted.unicast &= is_near;
            }
            self.hear_query(&message, heard, now, rng);
            return news;
        }
        // RFC 6762 §6: a response from another port is to be ignored.
        if heard.source.port() != MDNS_PORT {
            self.ignored += 1;
            return news;
        }
        news.is_response = true;
        // RFC 6762 §6.2, §10: what is in the additional section holds too; authority sections are of probes.
        let told: Vec<Told> = message
            .answers
            .iter()
            .chain(&message.additional)
            .filter(|told| is_kept(&told.record))
            .cloned()
            .collect();
        let effects = self.cache.take(&told, now);
        let is_there = |effect| match effect {
            Effect::New => Some(true),
            Effect::Evicted => Some(false),
            Effect::Again | Effect::Goodbye | Effect::Nothing => None,
        };
        news.changes = effects
            .into_iter()
            .filter_map(|(record, effect)| Some((record, is_there(effect)?)))
            .collect();
        self.voice.hear_response(&message, heard, now);
        news
    }

    fn hear_query(&mut self, message: &Message, heard: &Heard<'_>, now: Instant, rng: &mut StdRng) {
        let is_peer = heard.source.port() == MDNS_PORT && heard.to_group;
        // What is asked in a truncated question may be known in a message to come (RFC 6762 §7.2).
        if is_peer && !message.truncated {
            for wanted in &message.questions {
                // RFC 6762 §7.3: only when they know no more than we do.
                let ours = self.cache.known_answers(wanted, now);
                let knows_more = message
                    .answers
                    .iter()
                    .filter(|told| wanted.is_answered_by(&told.record))
                    .any(|told| !super::voice::has(&ours, told));
                if !knows_more {
                    self.series.take_question(wanted, now);
                }
                if message.authority.is_empty() {
                    self.cache.take_question(wanted, &message.answers, now);
                }
            }
        }
        if !message.authority.is_empty() {
            self.voice.hear_probe(message, heard, now);
        }
        self.voice.hear_query(message, heard, now, rng);
    }

    /// Does what is due; returns what was forgotten.
    pub(crate) fn handle_timeout(
        &mut self,
        may_unicast: bool,
        now: Instant,
        rng: &mut StdRng,
    ) -> Vec<RawRecord> {
        for wanted in self.cache.due(self.series.standing(), now) {
            self.series.ask_again(&wanted, now, rng);
        }
        let mut wanted = self.series.due(now);
        for wanted in &mut wanted {
            wanted.unicast &= may_unicast;
        }
        for wire in self.questions(&wanted, now) {
            self.out.push((Whom::Group, wire));
        }
        let said = self.voice.due(now);
        self.out
            .extend(said.into_iter().map(|wire| (Whom::Group, wire)));
        self.out.extend(self.voice.due_answers(now));
        self.cache.expire(now)
    }

    /// Says that records are over.
    pub(crate) fn say_goodbye(&mut self, over: Vec<Told>) {
        let said = responses(&goodbyes(over));
        self.out
            .extend(said.into_iter().map(|wire| (Whom::Group, wire)));
    }

    /// Returns what is to be sent.
    pub(crate) fn take_out(&mut self) -> Vec<(Whom, Vec<u8>)> {
        std::mem::take(&mut self.out)
    }

    /// Returns when something is due next.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        let all = [
            self.cache.next_at(self.series.standing()),
            self.series.next_at(),
            self.voice.next_at(),
        ];
        all.into_iter().flatten().min()
    }

    /// Writes questions, with what is known of their answers (RFC 6762 §7.1); what has no room goes in messages that follow.
    fn questions(&self, wanted: &[Wanted], now: Instant) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let mut rest = wanted.iter().peekable();
        while rest.peek().is_some() {
            let mut writer = Writer::query();
            let mut asked: BTreeSet<&Wanted> = BTreeSet::new();
            while let Some(wanted) = rest.peek() {
                if !writer.question(wanted) {
                    break;
                }
                asked.extend(rest.next());
            }
            let known: Vec<Told> = asked
                .iter()
                .flat_map(|wanted| self.cache.known_answers(wanted, now))
                .collect();
            for told in &known {
                if !writer.record(Section::Answer, told) {
                    writer.truncate();
                    messages.push(std::mem::replace(&mut writer, Writer::query()).finish());
                    writer.record(Section::Answer, told);
                }
            }
            messages.push(writer.finish());
        }
        messages
    }
}

/// Whether a record is of a kind that anybody asks neighbours for: others would only take room.
fn is_kept(record: &RawRecord) -> bool {
    let owner = record.owner();
    let top = owner.labels().last();
    top.is_some_and(|label| label == b"local" || label == b"arpa")
}

/// Whether a message is to be heard (RFC 6762 §11): what was sent to the group cannot come from another link; what was sent
/// to us alone must show that it does not, and nobody elsewhere is answered alone.
fn is_from_here(heard: &Heard<'_>, addresses: &[Prefix]) -> bool {
    let is_near = is_near(heard.source.ip(), addresses);
    let is_peer = heard.source.port() == MDNS_PORT;
    let is_whole = heard.hop_limit.is_none_or(|limit| limit == HOP_LIMIT);
    match (heard.to_group, is_peer) {
        (true, true) => true,
        (true, false) => is_near,
        (false, true) => is_near && is_whole,
        (false, false) => is_near,
    }
}

/// Whether an address is on the link: one that is valid there only, or in a network that we are in.
pub(crate) fn is_near(source: IpAddr, addresses: &[Prefix]) -> bool {
    let is_link_local = match source {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let shares = |prefix: &Prefix| {
        let there = Prefix {
            address: source,
            ..*prefix
        };
        prefix.address.is_ipv4() == source.is_ipv4() && there.network() == prefix.network()
    };
    is_link_local || addresses.iter().any(shares)
}
