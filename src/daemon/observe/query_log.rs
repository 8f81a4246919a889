//! What became of a question, in one line? `key=value` pairs, rate-limited; names only when they are switched on.
//!
//! ```text
//! client=127.0.0.1:40312 listener=127.0.0.53:53 over=udp name=#8c1f… type=A scope=office@vpn0 rule=longest-suffix
//! owner="profile office" by=10.8.0.1 transport=udp verdict=secure rcode=NOERROR ms=4.2
//! ```
//!
//! Without names nothing is written that may hold one: of an Extended DNS Error only its code. Opens nothing.

use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use config::model::Transport;
use config::observing::{LogConfig, LoggedQueries};
use config::time::Instant;
use resolver::Channel;
use resolver::event::{Step, Trace};
use resolver::ledger::Trouble;
use resolver::present::{rcode_name, type_name};
use resolver_io::Caller;

use crate::convert::{channel_name, verdict_name};
use crate::date::rfc3339;

/// Lines are counted in thousandths, so that a second's worth comes evenly.
const LINE: u64 = 1000;

/// Writes lines.
#[derive(Debug)]
pub(super) struct QueryLog {
    config: LogConfig,
    /// Whether lines carry the time; the journal adds it by itself.
    dated: bool,
    names: RandomState,
    /// Thousandths of lines that may be written now.
    room: u64,
    filled_at: Instant,
    left_out: u64,
}

impl QueryLog {
    pub(super) fn new(config: LogConfig, dated: bool, now: Instant) -> Self {
        let room = u64::from(config.lines_per_second) * LINE;
        Self {
            config,
            dated,
            names: RandomState::new(),
            room,
            filled_at: now,
            left_out: 0,
        }
    }

    /// Returns the line, with its end, for a question; `None` when it is not to be logged, or there are too many.
    ///
    /// `wall` is the time since 1970. What was left out before is told in a line of its own, in front.
    pub(super) fn line(
        &mut self,
        trace: &Trace,
        caller: Option<&Caller>,
        wall: Duration,
        now: Instant,
    ) -> Result<Option<String>, TooMany> {
        let wanted = match self.config.queries {
            LoggedQueries::Off => false,
            LoggedQueries::Errors => {
                let told = trace.extended_error.as_ref();
                Trouble::of(trace.rcode, told, &trace.steps).is_some()
            }
            LoggedQueries::All => true,
        };
        if !wanted {
            return Ok(None);
        }
        if !self.take_room(now) {
            self.left_out += 1;
            return Err(TooMany);
        }
        let mut text = String::with_capacity(256);
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            self.date(wall, &mut text);
            let _ = writeln!(text, "left-out={left_out}");
        }
        self.date(wall, &mut text);
        self.describe(trace, caller, &mut text);
        text.push('\n');
        Ok(Some(text))
    }

    fn take_room(&mut self, now: Instant) -> bool {
        let rate = u64::from(self.config.lines_per_second);
        let passed = u64::try_from(now.since(self.filled_at).as_millis()).unwrap_or(u64::MAX);
        if passed > 0 {
            self.filled_at = now;
            let more = passed.saturating_mul(rate);
            self.room = self.room.saturating_add(more).min(rate * LINE);
        }
        let Some(rest) = self.room.checked_sub(LINE) else {
            return false;
        };
        self.room = rest;
        true
    }

    fn date(&self, wall: Duration, text: &mut String) {
        if self.dated {
            let date = rfc3339(wall.as_secs());
            let date = date.trim_end_matches('Z');
            let _ = write!(text, "{date}.{:03}Z ", wall.subsec_millis());
        }
    }

    fn describe(&self, trace: &Trace, caller: Option<&Caller>, text: &mut String) {
        let Trace {
            name,
            record_type,
            steps,
            rcode,
            extended_error,
            elapsed,
            ..
        } = trace;
        match caller {
            Some(caller) => {
                let over = over(caller);
                let _ = write!(
                    text,
                    "client={} listener={} over={over}",
                    caller.peer, caller.at
                );
            }
            None => text.push_str("client=control"),
        }
        let _ = match self.config.names {
            true => write!(text, " name={name}"),
            false => write!(text, " name=#{:012x}", self.names.hash_one(name) >> 16),
        };
        let _ = write!(text, " type={}", type_name(*record_type));
        let told = Told::of(steps);
        if let Some(kind) = told.local {
            let _ = write!(text, " local={}", quoted(kind));
        }
        if let Some(route) = told.route {
            if let Some(scope) = route.target.scope() {
                let _ = write!(text, " scope={}", quoted(&scope.0));
            }
            let because = &route.because;
            let owner = because.owner.to_string();
            let _ = write!(
                text,
                " rule={} owner={}",
                because.rule.name(),
                quoted(&owner)
            );
        }
        if told.hit {
            text.push_str(" cached=yes");
        }
        if let Some((upstream, channel)) = told.by {
            let _ = write!(text, " by={} transport={channel}", quoted(&upstream));
        }
        if let Some(verdict) = told.verdict {
            let _ = write!(text, " verdict={verdict}");
        }
        let _ = write!(text, " rcode={}", rcode_name(*rcode));
        if let Some(error) = extended_error {
            let _ = write!(text, " ede={}", error.code);
            if self.config.names && !error.text.is_empty() {
                let _ = write!(text, " why={}", quoted(&error.text));
            }
        }
        let _ = write!(text, " ms={:.1}", elapsed.as_secs_f64() * 1000.0);
    }
}

/// Returns by which transport a question came.
fn over(caller: &Caller) -> &'static str {
    match (caller.transport, caller.channel) {
        (Transport::Plain, Channel::Udp) => "udp",
        (Transport::Plain, Channel::Tcp) => "tcp",
        (encrypted, _) => encrypted.as_str(),
    }
}

/// There are more lines than may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

/// What the steps of a question come to.
#[derive(Debug, Default)]
struct Told<'a> {
    local: Option<&'static str>,
    route: Option<&'a policy::Route>,
    hit: bool,
    by: Option<(String, &'static str)>,
    verdict: Option<&'static str>,
}

impl<'a> Told<'a> {
    /// Of each the last, which is how it ended.
    fn of(steps: &'a [Step]) -> Self {
        let mut told = Self::default();
        for step in steps {
            if let Step::Synthesized(kind) = step {
                told.local = Some(kind);
            } else if let Step::Routed(_, route) = step {
                told.route = Some(route);
            } else if let Step::CacheHit(_) = step {
                told.hit = true;
            } else if let Step::Asked(_, upstream, channel) = step {
                told.hit = false;
                told.by = Some((upstream.to_string(), channel_name(upstream, *channel)));
            } else if let Step::Replied {
                upstream, channel, ..
            } = step
            {
                told.by = Some((upstream.to_string(), channel_name(upstream, *channel)));
            } else if let Step::Judged(verdict, _) = step {
                told.verdict = Some(verdict_name(*verdict));
            }
        }
        told
    }
}

/// Puts a value in quotes when it would not end where it ends; no line has control characters.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '=');
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{{{:x}}}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests;
