//! How does one question travel? [`Walk`]: its messages, their deadlines, and its end.
//!
//! Decides how a server is asked (EDNS or not, UDP or TCP) and what a wrong message means. Where to go is for `descend`.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use config::name::DomainName;
use config::time::Instant;

use super::descend::Turn;
use super::task::{Purpose, Task, TaskId};
use super::{Reach, Recursion};
use crate::event::{Channel, ExtendedError, Failure};
use crate::failure::Cause;
use crate::record::{ParsedReply, RawRecord, ReplyError, parse_reply};
use crate::template::Template;
use crate::wire::{ClientEdns, EDNS_UDP_SIZE, Envelope, Question, build_query, rcode, rtype};

/// The most messages for one question, all walks inside it included.
pub const ASKS_MAX: u16 = 100;
/// Messages that are not the reply, after which UDP is given up for TCP: somebody guesses (RFC 5452 §9.3).
const MISMATCHES_MAX: u8 = 3;
/// An OPT record without options, in octets.
const OPT_SIZE: usize = 11;
/// Where the low octet of ARCOUNT is in a header.
const ARCOUNT_LOW: usize = 11;
/// Where the octet with RD is in a header, and the bit (RFC 1035 §4.1.1).
const RD: (usize, u8) = (2, 0x01);
/// No Reachable Authority (RFC 8914 §4.23).
const EDE_NO_REACHABLE_AUTHORITY: u16 = 22;

/// A message of a walk; never the same twice in one [`Recursion`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AskId(pub u64);

/// A message to send to an authoritative server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Comes back with the reply or the failure.
    pub id: AskId,
    /// Whom to ask, on port 53.
    pub server: IpAddr,
    /// How.
    pub channel: Channel,
    /// What.
    pub question: Question,
    /// The message with ID 0; the shell puts a random one in, spells the name as it likes, and checks both in the reply.
    pub wire: Vec<u8>,
}

/// Why a question could not be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WalkFailure {
    /// The caller's budget is spent.
    #[error("the time for the question is spent")]
    TimeSpent,
    /// [`ASKS_MAX`] messages did not do.
    #[error("the question takes too many messages")]
    AsksSpent,
    /// No server of a zone gives an answer.
    #[error("no server of {zone} answers: {trouble}")]
    NoServer {
        /// The zone.
        zone: DomainName,
        /// What the last of them did.
        trouble: &'static str,
    },
    /// Aliases lead in a circle or too far.
    #[error("the aliases of {0} lead nowhere")]
    Aliases(DomainName),
    /// It leads to a name that may not be asked for in public.
    #[error("it leads to {0}, which is not asked for in public")]
    Forbidden(DomainName),
}

#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) task: TaskId,
    pub(crate) server: IpAddr,
    pub(crate) channel: Channel,
    question: Question,
    edns: bool,
    /// Whether this server has called our EDNS an error.
    refused_edns: bool,
    sent_at: Instant,
    due_at: Instant,
    pub(crate) is_late: bool,
    mismatches: u8,
}

/// One question under way.
#[derive(Debug)]
pub struct Walk {
    question: Question,
    dnssec_ok: bool,
    pub(crate) reach: Reach,
    give_up_at: Instant,
    pub(crate) tasks: BTreeMap<TaskId, Task>,
    pub(crate) last_task: u32,
    pub(crate) flights: BTreeMap<AskId, Flight>,
    asks: u16,
    pub(crate) hosts: u8,
    pub(crate) ready: VecDeque<TaskId>,
    transmits: VecDeque<Ask>,
    cancels: VecDeque<AskId>,
    done: Option<Result<Vec<u8>, WalkFailure>>,
    pub(crate) ended: bool,
}

impl Walk {
    pub(crate) fn begin(
        question: Question,
        dnssec_ok: bool,
        reach: Reach,
        give_up_at: Instant,
        shared: &mut Recursion,
        now: Instant,
    ) -> Self {
        let id = TaskId(0);
        let (name, record_type) = (question.name.clone(), question.record_type);
        let mut walk = Self {
            question,
            dnssec_ok,
            reach,
            give_up_at,
            tasks: BTreeMap::from([(id, Task::new(Purpose::Question, 0, name, record_type))]),
            last_task: 0,
            flights: BTreeMap::new(),
            asks: 0,
            hosts: 0,
            ready: VecDeque::from([id]),
            transmits: VecDeque::new(),
            cancels: VecDeque::new(),
            done: None,
            ended: false,
        };
        walk.advance_all(shared, now);
        walk
    }

    /// Takes a message that came back for an ask; the shell has checked ID and spelling.
    pub fn handle_reply(&mut self, id: AskId, wire: &[u8], shared: &mut Recursion, now: Instant) {
        let Some(flight) = self.flights.get_mut(&id) else {
            return;
        };
        let message_id = wire
            .first_chunk::<2>()
            .map_or(0, |octets| u16::from_be_bytes(*octets));
        match parse_reply(wire, message_id, &flight.question) {
            Ok(reply) => {
                if let Some(flight) = self.flights.remove(&id) {
                    let rtt = (flight.sent_at >= shared.back_at).then(|| now.since(flight.sent_at));
                    shared
                        .servers
                        .note_reply(flight.server, flight.channel, rtt);
                    self.take_message(&flight, &reply, shared, now);
                }
            }
            Err(ReplyError::Malformed(_)) => {
                if let Some(flight) = self.flights.remove(&id) {
                    self.lose(&flight, "its reply cannot be read", shared, now);
                }
            }
            Err(ReplyError::NotAReply | ReplyError::WrongId | ReplyError::WrongQuestion) => {
                flight.mismatches += 1;
                // A stream is not open to strangers: what is wrong there stays wrong.
                let enough = flight.mismatches >= MISMATCHES_MAX;
                if !enough && flight.channel == Channel::Udp {
                    return;
                }
                let Some(flight) = self.flights.remove(&id) else {
                    return;
                };
                self.cancels.push_back(id);
                match flight.channel {
                    Channel::Udp => self.ask_again(&flight, Channel::Tcp, flight.edns, shared, now),
                    Channel::Tcp => self.lose(&flight, "it answers something else", shared, now),
                }
            }
        }
        self.advance_all(shared, now);
    }

    /// Takes the news that an ask failed.
    pub fn handle_failure(
        &mut self,
        id: AskId,
        failure: Failure,
        shared: &mut Recursion,
        now: Instant,
    ) {
        let Some(flight) = self.flights.remove(&id) else {
            return;
        };
        let trouble = match failure {
            Failure::Refused => "the connection is refused",
            Failure::Unreachable => "it is unreachable",
            Failure::Closed => "it closes the connection",
            Failure::TimedOut => "it makes no connection in time",
            Failure::Garbled => "it answers something else",
            // A walk asks in the clear.
            Failure::Tls(_) | Failure::Http(_) => "it is not believed",
            // Not the server's fault, yet it cannot be asked.
            Failure::NoLink | Failure::Resources => "this machine cannot send",
        };
        match failure.cause() {
            Cause::Own => {}
            Cause::Silence | Cause::Word | Cause::Disbelief | Cause::Loop | Cause::Decision => {
                note_lost(&flight, shared, now);
            }
        }
        self.lose(&flight, trouble, shared, now);
        self.advance_all(shared, now);
    }

    /// Takes the news that a name may not be asked for: the aliases that lead to it are the answer, if there are any.
    pub fn handle_forbidden(&mut self, id: AskId, shared: &mut Recursion, now: Instant) {
        let Some(flight) = self.flights.remove(&id) else {
            return;
        };
        self.with_task(flight.task, shared, now, |_, task, _| {
            Turn::End(match task.answers.is_empty() {
                true => Err(WalkFailure::Forbidden(flight.question.name)),
                false => Ok(rcode::NOERROR),
            })
        });
        self.advance_all(shared, now);
    }

    /// Acts on every deadline up to `now`.
    pub fn handle_timeout(&mut self, shared: &mut Recursion, now: Instant) {
        if self.ended {
            return;
        }
        if self.give_up_at <= now {
            self.finish(Err(WalkFailure::TimeSpent));
            return;
        }
        for flight in self.flights.values_mut() {
            if !flight.is_late && flight.due_at <= now {
                flight.is_late = true;
                note_lost(flight, shared, now);
                self.ready.push_back(flight.task);
            }
        }
        self.advance_all(shared, now);
    }

    /// Returns the next message to send.
    pub fn poll_transmit(&mut self) -> Option<Ask> {
        self.transmits.pop_front()
    }

    /// Returns the next ask whose reply is of no use any more.
    pub fn poll_cancel(&mut self) -> Option<AskId> {
        self.cancels.pop_front()
    }

    /// Returns the next deadline; `None` once the walk has ended.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        let due = self.flights.values().filter(|flight| !flight.is_late);
        due.map(|flight| flight.due_at)
            .chain([self.give_up_at])
            .min()
    }

    /// Returns the result, once: a reply as a recursive server would send it, with ID 0, RA, and never AD.
    pub fn poll_done(&mut self) -> Option<Result<Vec<u8>, WalkFailure>> {
        self.done.take()
    }

    /// Returns how many messages were sent so far.
    pub fn asks(&self) -> u16 {
        self.asks
    }

    /// Sends the task's question to a server.
    pub(crate) fn send(
        &mut self,
        (id, question): (TaskId, &Question),
        server: IpAddr,
        shared: &mut Recursion,
        now: Instant,
    ) {
        let edns = shared.servers.takes_edns(server, now);
        let flight = Flight {
            task: id,
            server,
            channel: Channel::Udp,
            question: question.clone(),
            edns,
            refused_edns: false,
            sent_at: now,
            due_at: now,
            is_late: false,
            mismatches: 0,
        };
        self.launch(flight, shared, now);
    }

    /// Takes back all that was asked for a task.
    pub(crate) fn cancel(&mut self, task: TaskId) {
        let gone: Vec<AskId> = self
            .flights
            .iter()
            .filter(|(_, flight)| flight.task == task)
            .map(|(&id, _)| id)
            .collect();
        for id in gone {
            self.flights.remove(&id);
            let waiting = self.transmits.len();
            self.transmits.retain(|ask| ask.id != id);
            if self.transmits.len() == waiting {
                self.cancels.push_back(id);
            }
        }
    }

    pub(crate) fn finish(&mut self, result: Result<Vec<u8>, WalkFailure>) {
        self.ended = true;
        self.done = Some(result);
        self.transmits.clear();
        self.cancels.extend(self.flights.keys());
        self.flights.clear();
        self.tasks.clear();
        self.ready.clear();
    }

    /// Ends with a reply.
    pub(crate) fn answer(&mut self, code: u16, answers: &[RawRecord], authority: &[RawRecord]) {
        let keeps = |record: &&RawRecord| self.dnssec_ok || !self.is_extra(record);
        let answers: Vec<RawRecord> = answers.iter().filter(keeps).cloned().collect();
        let authority: Vec<RawRecord> = authority.iter().filter(keeps).cloned().collect();
        let mut question_wire = self.question.name.as_wire().to_vec();
        question_wire.extend_from_slice(&self.question.record_type.to_be_bytes());
        question_wire.extend_from_slice(&self.question.class.to_be_bytes());
        let envelope = Envelope {
            id: 0,
            understands_authentic: false,
            checking_disabled: false,
            question_wire: &question_wire,
            edns: Some(ClientEdns {
                udp_size: EDNS_UDP_SIZE,
                dnssec_ok: self.dnssec_ok,
                nsid: false,
            }),
            channel: Channel::Tcp,
        };
        let mut wire = Vec::new();
        Template::build(&self.question, code, &answers, &authority, &[])
            .emit(&envelope, 0, None, &mut wire);
        self.finish(Ok(wire));
    }

    /// Records that only those get who understand them (RFC 4035 §3.2.1).
    fn is_extra(&self, record: &RawRecord) -> bool {
        use super::sort::{NSEC, NSEC3};
        let asked = self.question.record_type;
        matches!(record.record_type, rtype::RRSIG | NSEC | NSEC3)
            && asked != record.record_type
            && asked != rtype::ANY
    }

    fn take_message(
        &mut self,
        flight: &Flight,
        reply: &ParsedReply,
        shared: &mut Recursion,
        now: Instant,
    ) {
        if reply.truncated && flight.channel == Channel::Udp {
            self.ask_again(flight, Channel::Tcp, flight.edns, shared, now);
            return;
        }
        // RFC 6891 §7: one that does not know EDNS says so; it may know the answer.
        let unknown = matches!(reply.rcode, rcode::FORMERR | rcode::NOTIMP | rcode::BADVERS);
        if unknown && flight.edns {
            self.ask_again(flight, flight.channel, false, shared, now);
            return;
        }
        if flight.refused_edns && !unknown && reply.edns.is_none() {
            shared.servers.note_plain(flight.server, now);
        }
        self.with_task(flight.task, shared, now, |walk, task, shared| {
            walk.take_reply(flight, task, reply, shared, now)
        });
    }

    fn lose(
        &mut self,
        flight: &Flight,
        trouble: &'static str,
        shared: &mut Recursion,
        now: Instant,
    ) {
        self.with_task(flight.task, shared, now, |_, task, _| {
            if let Some(descent) = &mut task.descent {
                descent.trouble = trouble;
                descent.bury(flight.server);
            }
            Turn::Again
        });
    }

    fn ask_again(
        &mut self,
        before: &Flight,
        channel: Channel,
        edns: bool,
        shared: &mut Recursion,
        now: Instant,
    ) {
        let flight = Flight {
            channel,
            edns,
            refused_edns: before.refused_edns || (before.edns && !edns),
            question: before.question.clone(),
            is_late: false,
            mismatches: 0,
            ..*before
        };
        self.launch(flight, shared, now);
    }

    fn launch(&mut self, mut flight: Flight, shared: &mut Recursion, now: Instant) {
        if self.asks >= ASKS_MAX {
            self.finish(Err(WalkFailure::AsksSpent));
            return;
        }
        self.asks += 1;
        shared.last_ask += 1;
        let id = AskId(shared.last_ask);
        flight.sent_at = now;
        flight.due_at = now + shared.servers.patience(flight.server, flight.channel);
        self.transmits.push_back(Ask {
            id,
            server: flight.server,
            channel: flight.channel,
            question: flight.question.clone(),
            wire: query(&flight.question, flight.edns),
        });
        self.flights.insert(id, flight);
    }
}

impl WalkFailure {
    /// Returns the failure as a client is told of it (RFC 8914).
    pub fn extended_error(&self) -> ExtendedError {
        ExtendedError {
            code: EDE_NO_REACHABLE_AUTHORITY,
            text: self.to_string(),
        }
    }
}

/// Notes that no reply came to a message, unless it may have come while nobody was there to take it.
fn note_lost(flight: &Flight, shared: &mut Recursion, now: Instant) {
    if flight.sent_at >= shared.back_at {
        shared.servers.note_lost(flight.server, now);
    }
}

/// Writes a question to an authoritative server: RD clear (RFC 1035 §4.1.1), DO set with EDNS.
fn query(question: &Question, edns: bool) -> Vec<u8> {
    let mut wire = build_query(question, 0, false, true);
    if let Some(octet) = wire.get_mut(RD.0) {
        *octet &= !RD.1;
    }
    if !edns {
        wire.truncate(wire.len().saturating_sub(OPT_SIZE));
        if let Some(count) = wire.get_mut(ARCOUNT_LOW) {
            *count = 0;
        }
    }
    wire
}
