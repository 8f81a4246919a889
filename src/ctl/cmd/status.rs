//! `linnet status`: what is wrong, how the scopes and upstreams do, and what linnet knows; the worst first.
//!
//! The first lines are for whoever was woken up: if there is trouble it stands there, each on a line that begins with `!`.

mod troubles;

pub(crate) mod links;

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::io::Write;

use linnet::api::{Latency, ListStatus, ScopeStatus, Status, UpstreamStatus};

use super::dnssec::negative_anchors;
use super::doctor::second_managers;
use crate::connection::Connection;
use crate::output::{Align, Output, columns, milliseconds, percent, span, table};
use crate::{Exit, Failed};

pub(crate) use troubles::{errors, troubles};

/// Suffixes of a scope that are shown; the rest is counted.
const CLAIMS_SHOWN: usize = 8;

/// Runs the verb.
pub(crate) fn run(
    connection: &mut Connection,
    out: &mut Output<impl Write>,
) -> Result<Exit, Failed> {
    let status: Status = connection.call("Status", serde_json::json!({}))?;
    let rivals = second_managers(&status.links);
    out.show(&status, |status| text(status, &rivals))?;
    Ok(Exit::Success)
}

/// `rivals` says who else sets up links of linnet's.
fn text(status: &Status, rivals: &[String]) -> String {
    let mut text = headline(status);
    text.push('\n');
    for trouble in troubles(status).iter().chain(rivals) {
        let _ = writeln!(text, "! {trouble}");
    }
    scopes(status, &mut text);
    upstreams(status, &mut text);
    names(status, &mut text);
    place(status, &mut text);
    listeners(status, &mut text);
    links::show(&status.links, &status.unmade, &mut text);
    links::show_idle(&status.idle_profiles, &mut text);
    links::show_rules(&status.rules, &mut text);
    claims(status, &mut text);
    if !status.lists.is_empty() {
        text.push_str("\nlists\n");
        let rows: Vec<Vec<String>> = status.lists.iter().map(list).collect();
        text.push_str(&columns(&rows));
    }
    if !status.negative_anchors.is_empty() {
        text.push_str("\nnot validated for a while\n");
        text.push_str(&negative_anchors(&status.negative_anchors));
    }
    for link in &status.multicast {
        let _ = writeln!(text, "multicast DNS on {}: {}", link.link, neighbours(link));
    }
    for link in &status.llmnr {
        let _ = write!(
            text,
            "LLMNR on {}: asked ({}), {} questions, {} answers",
            link.link, link.owner, link.said, link.heard
        );
        for (count, what) in [(link.ignored, "ignored"), (link.conflicts, "conflicting")] {
            if count > 0 {
                let _ = write!(text, ", {count} {what}");
            }
        }
        text.push('\n');
    }
    for zone in &status.unicast_locals {
        let _ = writeln!(
            text,
            "the network's own DNS serves {zone}: its names are asked there"
        );
    }
    text
}

/// Says in one or two lines who this is and what it has done.
pub(crate) fn headline(status: &Status) -> String {
    let counter = |name: &str| {
        status
            .counters
            .get(name)
            .and_then(serde_json::Value::as_u64)
    };
    let queries = counter("queries").unwrap_or(0);
    let hits = counter("cache_hits").unwrap_or(0);
    let failed: u64 = status.scopes.iter().map(failed).sum();
    let mut line = format!(
        "linnetd {}, pid {}, up {}, plan {}; {queries} queries",
        status.version,
        status.pid,
        span(status.uptime_ms / 1000),
        status.generation,
    );
    if queries > 0 {
        let _ = write!(
            line,
            ", {} from the cache, {} errors",
            percent(hits, queries),
            percent(failed, queries)
        );
    }
    line
}

/// Returns how many answers of a scope were errors.
pub(crate) fn failed(scope: &ScopeStatus) -> u64 {
    scope.troubles.values().sum()
}

/// Sorts scopes: those that are in trouble come first, then those that are asked most.
pub(crate) fn worst_first(status: &Status) -> Vec<&ScopeStatus> {
    let mut scopes: Vec<&ScopeStatus> = status.scopes.iter().collect();
    scopes.sort_by_key(|scope| {
        let fails = scope
            .upstreams
            .iter()
            .any(|upstream| upstream.failing.is_some());
        let rate = failed(scope) * 1000 / scope.answers.max(1);
        (
            scope.state == "ready",
            !fails,
            Reverse(rate),
            Reverse(scope.answers),
        )
    });
    scopes
}

fn scopes(status: &Status, text: &mut String) {
    if status.scopes.is_empty() {
        return;
    }
    let mut rows = vec![words(&[
        "SCOPE", "STATE", "ANSWERS", "CACHED", "ERRORS", "P50", "P95", "P99", "ENTRIES", "",
    ])];
    for scope in worst_first(status) {
        let default = status.default_scope.as_deref() == Some(&scope.id);
        let Latency {
            p50_ms,
            p95_ms,
            p99_ms,
            ..
        } = &scope.latency;
        rows.push(vec![
            format!("{}{}", scope.id, if default { " *" } else { "" }),
            scope.state.clone(),
            scope.answers.to_string(),
            percent(scope.cache_hits, scope.answers),
            percent(failed(scope), scope.answers),
            time(*p50_ms),
            time(*p95_ms),
            time(*p99_ms),
            scope.cache_entries.to_string(),
            counts(scope),
        ]);
    }
    let right = Align::Right;
    text.push('\n');
    text.push_str(&table(
        &rows,
        &[
            Align::Left,
            Align::Left,
            right,
            right,
            right,
            right,
            right,
            right,
            right,
            Align::Left,
        ],
    ));
}

/// Writes what the errors of a scope were, the most frequent first.
pub(crate) fn counts(scope: &ScopeStatus) -> String {
    let mut troubles: Vec<(&String, &u64)> = scope.troubles.iter().collect();
    troubles.sort_by_key(|(_, count)| Reverse(**count));
    let texts: Vec<String> = troubles
        .iter()
        .map(|(trouble, count)| format!("{count} {trouble}"))
        .collect();
    texts.join(", ")
}

fn upstreams(status: &Status, text: &mut String) {
    let mut all: Vec<(&ScopeStatus, &UpstreamStatus)> = Vec::new();
    for scope in worst_first(status) {
        all.extend(scope.upstreams.iter().map(|upstream| (scope, upstream)));
    }
    if all.is_empty() {
        return;
    }
    all.sort_by_key(|(_, upstream)| upstream.failing.is_none());
    let mut rows = vec![words(&[
        "UPSTREAM", "SCOPE", "STATE", "SRTT", "P50", "P95", "P99", "SENT", "LOST", "",
    ])];
    for (scope, upstream) in all {
        let Latency {
            p50_ms,
            p95_ms,
            p99_ms,
            ..
        } = &upstream.latency;
        rows.push(vec![
            upstream.upstream.clone(),
            scope.id.clone(),
            state(upstream).to_owned(),
            time(upstream.srtt_ms),
            time(*p50_ms),
            time(*p95_ms),
            time(*p99_ms),
            upstream.sent.to_string(),
            percent(upstream.lost, upstream.sent),
            condition(upstream),
        ]);
    }
    let right = Align::Right;
    text.push('\n');
    text.push_str(&table(
        &rows,
        &[
            Align::Left,
            Align::Left,
            Align::Left,
            right,
            right,
            right,
            right,
            right,
            right,
            Align::Left,
        ],
    ));
}

/// Says in a word how an upstream does.
pub(crate) fn state(upstream: &UpstreamStatus) -> &'static str {
    match (&upstream.failing, upstream.current) {
        (Some(_), _) => "FAILING",
        (None, true) => "current",
        (None, false) => "ready",
    }
}

/// What each scope claims, and how its answers are validated.
fn names(status: &Status, text: &mut String) {
    text.push('\n');
    for scope in &status.scopes {
        let _ = write!(text, "{}: by {}", scope.id, scope.owner);
        if let Some(link) = &scope.link {
            let _ = write!(text, ", link {link}");
        }
        text.push('\n');
        if !scope.claims.is_empty() {
            let shown = scope.claims.iter().take(CLAIMS_SHOWN);
            let shown: Vec<&str> = shown.map(String::as_str).collect();
            let _ = write!(text, "  claims {}", shown.join(" "));
            let _ = match scope.claims.len().checked_sub(CLAIMS_SHOWN) {
                None | Some(0) => writeln!(text),
                Some(more) => writeln!(text, " and {more} more (--json shows all)"),
            };
        }
        if scope.upstreams.len() > 1 && !scope.selection.is_empty() {
            let _ = writeln!(text, "  asks {}", scope.selection);
        }
        if let Some(network) = &scope.network {
            let _ = writeln!(text, "  in network {network}");
        }
        if !scope.dnssec.is_empty() {
            let _ = writeln!(text, "  dnssec {}", scope.dnssec);
        }
        let proofs = scope.upstreams.iter();
        for upstream in proofs.filter(|upstream| !upstream.proof.is_empty()) {
            let _ = writeln!(
                text,
                "  dnssec through {}: {}",
                upstream.upstream, upstream.proof
            );
        }
    }
}

/// Where linnet stands on this machine.
fn place(status: &Status, text: &mut String) {
    let listen: Vec<String> = status
        .listen
        .iter()
        .map(|listen| format!("{} ({})", listen.address, listen.stub))
        .collect();
    let listen = if listen.is_empty() {
        "nothing".to_owned()
    } else {
        listen.join(", ")
    };
    let _ = writeln!(text, "\nlistens at {listen}");
    let panics = status
        .counters
        .get("panics")
        .and_then(serde_json::Value::as_u64);
    if let Some(times @ 1..) = panics {
        let _ = writeln!(
            text,
            "listener threads have panicked {times} times: please report what the log says"
        );
    }
    let keeper = &status.resolv_conf;
    let _ = write!(text, "resolv.conf {}, {}", keeper.mode, keeper.state);
    let _ = match &keeper.detail {
        Some(detail) => writeln!(text, ": {detail}"),
        None => writeln!(text),
    };
    let default = status.default_scope.as_deref();
    let _ = writeln!(
        text,
        "default scope {}",
        default.unwrap_or("none: other names are refused")
    );
    if !status.search.is_empty() {
        let _ = writeln!(text, "search {}", status.search.join(" "));
    }
}

fn listeners(status: &Status, text: &mut String) {
    if status.listeners.is_empty() {
        return;
    }
    text.push_str("\nlisteners for others\n");
    let rows: Vec<Vec<String>> = status
        .listeners
        .iter()
        .map(|listener| {
            let mut counts = vec![format!("{} questions", listener.queries)];
            let others = [
                (listener.connections, "connections"),
                (listener.strangers, "from strangers"),
                (listener.limited, "over a limit"),
                (listener.refused, "refused"),
                (listener.malformed, "malformed"),
                (listener.reflective, "from reflective ports"),
            ];
            let others = others.into_iter().filter(|(count, _)| *count > 0);
            counts.extend(others.map(|(count, what)| format!("{count} {what}")));
            vec![
                listener.place.clone(),
                listener.stub.clone(),
                listener.state.clone(),
                counts.join(", "),
            ]
        })
        .collect();
    text.push_str(&columns(&rows));
}

fn list(list: &ListStatus) -> Vec<String> {
    vec![
        list.name.clone(),
        match &list.error {
            Some(error) => format!("{}: {error}", list.state),
            None => list.state.clone(),
        },
        format!("{} names in {} KiB", list.names, list.bytes / 1024),
        format!("{} questions", list.hits),
        match list.broken_lines {
            0 => String::new(),
            lines => format!("{lines} lines cannot be read"),
        },
    ]
}

fn claims(status: &Status, text: &mut String) {
    if status.claims.is_empty() {
        return;
    }
    text.push_str("\nclaims made at run time\n");
    let rows: Vec<Vec<String>> = status
        .claims
        .iter()
        .map(|claim| {
            let life = if claim.persistent {
                "persistent"
            } else {
                "while connected"
            };
            vec![
                claim.owner.clone(),
                claim.link.clone().unwrap_or_else(|| "-".to_owned()),
                claim.claims.join(" "),
                life.to_owned(),
                claim.caller.clone(),
            ]
        })
        .collect();
    text.push_str(&columns(&rows));
}

/// Says in words how an upstream does, and how it is asked.
fn condition(upstream: &UpstreamStatus) -> String {
    let mut texts = Vec::new();
    if let Some(failing) = &upstream.failing {
        let tried = upstream.next_try_ms.map_or_else(String::new, |next| {
            format!(", tried again in {:.1} s", next / 1000.0)
        });
        texts.push(format!("{failing}{tried}"));
    }
    if upstream.loss_percent > 0 {
        texts.push(format!("{} % lost of late", upstream.loss_percent));
    }
    texts.extend(upstream.manners.iter().cloned());
    if upstream.forged > 0 {
        texts.push(format!("{} doubtful replies", upstream.forged));
    }
    texts.join("; ")
}

/// Says what multicast DNS does on a link.
fn neighbours(status: &linnet::api::MulticastStatus) -> String {
    let listens = match status.listens {
        true => format!("listens, {} records known", status.records),
        false => "silent until somebody asks".to_owned(),
    };
    let mut parts = vec![status.mode.clone(), listens];
    parts.extend(status.voice.clone());
    parts.extend(status.services.iter().cloned());
    parts.join(", ")
}
fn time(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), milliseconds)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[cfg(test)]
mod tests;
