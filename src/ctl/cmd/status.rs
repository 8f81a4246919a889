//! `linnet status`: links, scopes, upstreams, claims, and what is wrong.

use std::fmt::Write as _;
use std::io::Write;

use linnet::api::{ScopeStatus, Status, UpstreamStatus};

use super::dnssec::negative_anchors;
use crate::connection::Connection;
use crate::output::{Output, columns};
use crate::{Exit, Failed};

/// Runs the verb.
pub(crate) fn run(
    connection: &mut Connection,
    out: &mut Output<impl Write>,
) -> Result<Exit, Failed> {
    let status: Status = connection.call("Status", serde_json::json!({}))?;
    out.show(&status, text)?;
    Ok(Exit::Success)
}

fn text(status: &Status) -> String {
    let mut text = format!(
        "linnetd {} (pid {}), up {} s, plan {}\n",
        status.version,
        status.pid,
        status.uptime_ms / 1000,
        status.generation
    );
    let listen: Vec<String> = status
        .listen
        .iter()
        .map(|listen| format!("{} ({})", listen.address, listen.stub))
        .collect();
    let _ = writeln!(
        text,
        "listens at {}",
        if listen.is_empty() {
            "nothing".to_owned()
        } else {
            listen.join(", ")
        }
    );
    let keeper = &status.resolv_conf;
    let _ = write!(text, "resolv.conf {}, {}", keeper.mode, keeper.state);
    let _ = match &keeper.detail {
        Some(detail) => writeln!(text, ": {detail}"),
        None => writeln!(text),
    };
    if !status.clock.dates_count {
        let _ = writeln!(
            text,
            "clock not believed: {}; signatures count whatever their dates",
            status.clock.because
        );
    }
    let _ = writeln!(
        text,
        "default scope {}",
        status
            .default_scope
            .as_deref()
            .unwrap_or("none: other names are refused")
    );
    if !status.search.is_empty() {
        let _ = writeln!(text, "search {}", status.search.join(" "));
    }
    listeners(status, &mut text);
    links(status, &mut text);
    for scope in &status.scopes {
        describe(scope, &mut text);
    }
    if !status.claims.is_empty() {
        text.push_str("claims made at run time\n");
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
    if !status.negative_anchors.is_empty() {
        text.push_str("not validated for a while\n");
        text.push_str(&negative_anchors(&status.negative_anchors));
    }
    for link in &status.multicast {
        let _ = writeln!(text, "multicast DNS on {}: {}", link.link, neighbours(link));
    }
    for zone in &status.unicast_locals {
        let _ = writeln!(
            text,
            "the network's own DNS serves {zone}: its names are asked there"
        );
    }
    for note in &status.notes {
        let _ = writeln!(text, "note: {note}");
    }
    for found in &status.diagnostics {
        let _ = writeln!(
            text,
            "{}: {}:{}:{}: {}",
            found.severity, found.file, found.line, found.column, found.message
        );
        if let Some(help) = &found.help {
            let _ = writeln!(text, "  help: {help}");
        }
    }
    text
}

fn listeners(status: &Status, text: &mut String) {
    if status.listeners.is_empty() {
        return;
    }
    text.push_str("listeners for others\n");
    let rows: Vec<Vec<String>> = status
        .listeners
        .iter()
        .map(|listener| {
            let mut counts = vec![format!("{} questions", listener.queries)];
            let others = [
                (listener.connections, "connections"),
                (listener.strangers, "from strangers"),
                (listener.limited, "over a limit"),
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

fn links(status: &Status, text: &mut String) {
    text.push_str("links\n");
    let rows: Vec<Vec<String>> = status
        .links
        .iter()
        .map(|link| {
            vec![
                link.name.clone(),
                link.kind.clone(),
                if link.up { "up" } else { "down" }.to_owned(),
                link.profile.as_ref().map_or_else(
                    || "no profile".to_owned(),
                    |profile| format!("profile {profile}"),
                ),
                link.default_route_metric.map_or_else(
                    || "-".to_owned(),
                    |metric| format!("default route, metric {metric}"),
                ),
                link.addresses.join(" "),
            ]
        })
        .collect();
    text.push_str(&columns(&rows));
}

fn describe(scope: &ScopeStatus, text: &mut String) {
    let _ = write!(
        text,
        "scope {}: {}, by {}",
        scope.id, scope.state, scope.owner
    );
    if let Some(link) = &scope.link {
        let _ = write!(text, ", link {link}");
    }
    let asked = scope.cache_hits + scope.cache_misses;
    if let Some(percent) = (scope.cache_hits * 100).checked_div(asked) {
        let _ = write!(text, ", {} cached, {percent} % hits", scope.cache_entries);
    }
    text.push('\n');
    if !scope.dnssec.is_empty() {
        let _ = writeln!(text, "  dnssec {}", scope.dnssec);
    }
    if !scope.claims.is_empty() {
        let _ = writeln!(text, "  claims {}", scope.claims.join(" "));
    }
    let rows: Vec<Vec<String>> = scope
        .upstreams
        .iter()
        .map(|upstream| {
            vec![
                if upstream.current { "* " } else { "  " }.to_owned() + &upstream.upstream,
                upstream
                    .srtt_ms
                    .map_or_else(|| "-".to_owned(), |srtt| format!("{srtt:.1} ms")),
                format!("{} sent", upstream.sent),
                format!("{} lost", upstream.lost),
                condition(upstream),
                upstream.proof.clone(),
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
    match &status.voice {
        Some(voice) => format!("{}, {listens}, {voice}", status.mode),
        None => format!("{}, {listens}", status.mode),
    }
}
