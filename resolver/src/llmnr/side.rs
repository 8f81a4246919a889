//! How far is an inquiry at one place? [`Side`]: said up to three times, responses collected, TCP where they were cut short.
//!
//! ```text
//! jitter ─► said ─ LLMNR_TIMEOUT ─► said ─ twice as long ─► said ─ twice as long ─► silent
//!             └────────── a response ───────┴──► the rest of the timeout ──► heard (after TCP, where it is needed)
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use config::time::Instant;

use super::LLMNR_PORT;
use super::response::Response;
use crate::record::RawRecord;

/// The least LLMNR_TIMEOUT, and the one to begin with: that of IEEE 802 links (RFC 4795 §7).
const TIMEOUT_MIN: Duration = Duration::from_millis(100);
/// The most: that of links of which nothing is known (RFC 4795 §7).
const TIMEOUT_MAX: Duration = Duration::from_secs(1);
/// How often a question is said at most (RFC 4795 §2.7).
const SAID_MAX: u32 = 3;
/// How long a neighbour may take by TCP.
const TCP_TIME: Duration = Duration::from_millis(1500);
/// Neighbours that are heard on one question.
const RESPONSES_MAX: usize = 16;
/// Neighbours that are asked by TCP for one question.
const DIALS_MAX: usize = 3;

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The question is to be said.
    Say,
    /// Nothing.
    Wait,
}

/// What became of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Counted,
    Ignored,
    /// Its sender is to be asked by TCP.
    Dial(SocketAddr),
}

/// How long neighbours at a place take, as RFC 6298 has it; RFC 4795 §2.7 wants it found out.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace(Option<(Duration, Duration)>);

impl Pace {
    pub(super) fn take(&mut self, took: Duration) {
        self.0 = Some(match self.0 {
            None => (took, took / 2),
            Some((smoothed, varies)) => (
                (smoothed * 7 + took) / 8,
                (varies * 3 + smoothed.abs_diff(took)) / 4,
            ),
        });
    }

    /// LLMNR_TIMEOUT.
    pub(super) fn timeout(self) -> Duration {
        let measured = self.0.map(|(smoothed, varies)| smoothed + varies * 4);
        measured
            .unwrap_or(TIMEOUT_MIN)
            .clamp(TIMEOUT_MIN, TIMEOUT_MAX)
    }
}

/// An inquiry at one place.
#[derive(Debug)]
pub(super) struct Side {
    /// The ID of its message.
    pub(super) message: u16,
    said: u32,
    said_at: Instant,
    /// Until when all can answer what was said last.
    collects_until: Instant,
    /// When to say it, or to stop waiting; `None` once it is over.
    next_at: Option<Instant>,
    responses: Vec<(SocketAddr, Response)>,
    /// Whom TCP has not brought an answer of yet.
    dialled: Vec<SocketAddr>,
}

impl Side {
    pub(super) fn new(message: u16, first_at: Instant) -> Self {
        Self {
            message,
            said: 0,
            said_at: first_at,
            collects_until: first_at,
            next_at: Some(first_at),
            responses: Vec::new(),
            dialled: Vec::new(),
        }
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        self.next_at
    }

    /// Goes on at a deadline; `is_found` tells that somebody has the name, here or elsewhere: then nothing is said again.
    pub(super) fn handle_timeout(
        &mut self,
        is_found: bool,
        timeout: Duration,
        now: Instant,
    ) -> Stage {
        if self.said > 0 && (is_found || self.said >= SAID_MAX) {
            self.next_at = None;
            for who in std::mem::take(&mut self.dialled) {
                self.responses.push((who, Response::Failed));
            }
            return Stage::Wait;
        }
        let wait = (timeout * 2_u32.pow(self.said)).min(TIMEOUT_MAX);
        self.said += 1;
        self.said_at = now;
        // RFC 4795 §2.7: LLMNR_TIMEOUT is waited for though somebody has answered, so that all can.
        self.collects_until = now + wait;
        self.next_at = Some(self.collects_until);
        Stage::Say
    }

    /// How long the first response took; `None` when that cannot be told, or it is not the first.
    pub(super) fn first_reply_after(&self, now: Instant) -> Option<Duration> {
        // Of a question that was said twice it is not known which one was answered.
        let is_first = self.said == 1 && self.responses.is_empty() && self.dialled.is_empty();
        is_first.then(|| now.since(self.said_at))
    }

    pub(super) fn take(
        &mut self,
        source: SocketAddr,
        by_tcp: bool,
        response: Response,
        now: Instant,
    ) -> Taken {
        if by_tcp {
            let before = self.dialled.len();
            self.dialled.retain(|who| *who != source);
            if self.dialled.len() == before {
                return Taken::Ignored;
            }
            if self.dialled.is_empty() {
                self.next_at = Some(self.collects_until.max(now));
            }
        }
        let who = |(other, _): &(SocketAddr, Response)| other.ip() == source.ip();
        let is_known = self.responses.iter().any(who)
            || self.dialled.iter().any(|other| other.ip() == source.ip());
        let count = self.responses.len() + self.dialled.len();
        if self.said == 0 || is_known || count >= RESPONSES_MAX {
            return Taken::Ignored;
        }
        if response != Response::Truncated {
            self.responses.push((source, response));
            return Taken::Counted;
        }
        if self.dialled.len() >= DIALS_MAX {
            return Taken::Ignored;
        }
        // RFC 4795 §2.1.1, §2.4: the whole of it is asked of its sender, by TCP.
        let mut to = source;
        to.set_port(LLMNR_PORT);
        self.dialled.push(to);
        self.next_at = Some(self.collects_until.max(now + TCP_TIME));
        Taken::Dial(to)
    }

    /// Whether somebody has the name, as far as is known.
    pub(super) fn has_name(&self) -> bool {
        !self.responses.is_empty() || !self.dialled.is_empty()
    }

    /// Whether nothing more is waited for.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let is_heard = self.has_name() && self.dialled.is_empty();
        self.next_at.is_none_or(|at| is_heard && at <= now)
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &RawRecord> {
        let all = self.responses.iter();
        all.flat_map(|(_, response)| match response {
            Response::Has { records, .. } => records.as_slice(),
            Response::Truncated | Response::Failed => &[],
        })
    }

    /// Returns who could not say what it has.
    pub(super) fn failed(&self) -> Option<SocketAddr> {
        let mut all = self.responses.iter();
        let failed = all.find(|(_, response)| *response == Response::Failed);
        failed.map(|(who, _)| *who)
    }

    /// Returns those who all say that the name is theirs alone, and answer differently; none when there is no conflict.
    pub(super) fn conflict(&self) -> Vec<SocketAddr> {
        let alone: Vec<_> = self
            .responses
            .iter()
            .filter_map(|(who, response)| match response {
                Response::Has {
                    records,
                    shared: false,
                } if !records.is_empty() => Some((*who, records)),
                Response::Has { .. } | Response::Truncated | Response::Failed => None,
            })
            .collect();
        let differ = alone
            .split_first()
            .is_some_and(|((_, one), others)| others.iter().any(|(_, other)| !same(one, other)));
        match differ {
            true => alone.into_iter().map(|(who, _)| who).collect(),
            false => Vec::new(),
        }
    }
}

/// Whether two have the same records, in whatever order.
fn same(one: &[RawRecord], other: &[RawRecord]) -> bool {
    let has = |all: &[RawRecord], record: &RawRecord| {
        let mut all = all.iter();
        all.any(|other| other.record_type == record.record_type && other.rdata == record.rdata)
    };
    one.iter().all(|record| has(other, record)) && other.iter().all(|record| has(one, record))
}
