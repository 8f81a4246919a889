//! `linnet doctor`: what keeps names from resolving on this machine?
//!
//! Looks, and changes nothing. Each finding says what was seen and what to do; exit 1 when one of them is a failure.

mod observers;
mod processes;

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use linnet::api::{ListenerStatus, Status};
use serde::Serialize;

use super::status::errors;
use crate::connection::{CallError, Connection};
use crate::output::{Output, columns};
use crate::{Exit, Failed};
pub(super) use processes::second_managers;

/// How long the stub may take for a name that it answers itself.
const STUB_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize)]
struct Report {
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    outcome: Outcome,
    seen: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Good,
    Warning,
    Failure,
}

/// Runs the verb.
pub(crate) fn run(
    socket: &Path,
    resolv_conf: &Path,
    out: &mut Output<impl Write>,
) -> Result<Exit, Failed> {
    let mut findings = Vec::new();
    let status = daemon(socket, &mut findings);
    if let Some(status) = &status {
        stub(status, &mut findings);
        findings.extend(status.listeners.iter().map(listener));
        upstreams(status, &mut findings);
        configuration(status, &mut findings);
        findings.push(journal(status));
        findings.extend(status.observers.iter().map(observers::look));
    }
    findings.push(resolv_conf_file(resolv_conf, status.as_ref()));
    findings.push(nsswitch());
    let links = status.as_ref().map_or(&[][..], |status| &status.links);
    findings.extend(processes::look(links));
    let failed = findings
        .iter()
        .any(|finding| finding.outcome == Outcome::Failure);
    out.show(&Report { findings }, text)?;
    Ok(if failed { Exit::Failure } else { Exit::Success })
}

fn text(report: &Report) -> String {
    let mut rows = Vec::new();
    for finding in &report.findings {
        let word = match finding.outcome {
            Outcome::Good => "good",
            Outcome::Warning => "warning",
            Outcome::Failure => "failure",
        };
        rows.push(vec![
            word.to_owned(),
            finding.check.to_owned(),
            finding.seen.clone(),
        ]);
        rows.extend(
            finding
                .help
                .iter()
                .map(|help| vec![String::new(), String::new(), format!("help: {help}")]),
        );
    }
    columns(&rows)
}

fn finding(
    check: &'static str,
    outcome: Outcome,
    seen: impl Into<String>,
    help: Option<&str>,
) -> Finding {
    Finding {
        check,
        outcome,
        seen: seen.into(),
        help: help.map(str::to_owned),
    }
}

fn daemon(socket: &Path, findings: &mut Vec<Finding>) -> Option<Status> {
    let status: Result<Status, CallError> = Connection::open(socket)
        .and_then(|mut connection| connection.call("Status", serde_json::json!({})));
    match status {
        Ok(status) => {
            findings.push(finding(
                "daemon",
                Outcome::Good,
                format!("linnetd {} runs, pid {}", status.version, status.pid),
                None,
            ));
            Some(status)
        }
        Err(error) => {
            findings.push(finding(
                "daemon",
                Outcome::Failure,
                error.to_string(),
                Some("start linnetd, or name its socket with --socket"),
            ));
            None
        }
    }
}

fn stub(status: &Status, findings: &mut Vec<Finding>) {
    if status.listen.is_empty() {
        findings.push(finding(
            "stub",
            Outcome::Warning,
            "the stub is switched off",
            Some("set enabled = true in [resolver]"),
        ));
    }
    for listen in &status.listen {
        let answered = listen.address.parse().is_ok_and(answers);
        findings.push(match answered {
            true => finding(
                "stub",
                Outcome::Good,
                format!("{} answers", listen.address),
                None,
            ),
            false => finding(
                "stub",
                Outcome::Failure,
                format!("{} does not answer within 2 s", listen.address),
                Some("a packet filter may drop it, or this shell is in another network namespace"),
            ),
        });
    }
}

/// Judges a listener for others by what it says of itself: whether they reach it, only they can tell.
fn listener(listener: &ListenerStatus) -> Finding {
    let place = &listener.place;
    let strangers =
        "ask from the address that is to be served, and add it to the listener's `allow`";
    match listener.state.as_str() {
        "open" if listener.queries == 0 && listener.strangers > 0 => finding(
            "listener",
            Outcome::Warning,
            format!(
                "{place} has heard {} strangers and nobody on its list",
                listener.strangers
            ),
            Some(strangers),
        ),
        "open" => finding("listener", Outcome::Good, format!("{place} is open"), None),
        state => finding(
            "listener",
            Outcome::Failure,
            format!("{place}: {state}"),
            Some(
                "docs/listeners.md tells what it needs; linnetd tries again by itself, and reads certificates at a reload",
            ),
        ),
    }
}

/// Asks for `localhost`, which needs no upstream.
fn answers(stub: SocketAddr) -> bool {
    const QUESTION: &[u8] =
        b"\x4c\x4e\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x09localhost\x00\x00\x01\x00\x01";
    let ask = || -> std::io::Result<bool> {
        let local: SocketAddr = if stub.is_ipv4() {
            ([127, 0, 0, 1], 0).into()
        } else {
            (std::net::Ipv6Addr::LOCALHOST, 0).into()
        };
        let socket = UdpSocket::bind(local)?;
        socket.set_read_timeout(Some(STUB_TIMEOUT))?;
        socket.send_to(QUESTION, stub)?;
        let mut reply = [0; 512];
        let (length, _) = socket.recv_from(&mut reply)?;
        Ok(length >= 12 && reply[..2] == QUESTION[..2])
    };
    ask().unwrap_or(false)
}

fn upstreams(status: &Status, findings: &mut Vec<Finding>) {
    if status.default_scope.is_none() {
        findings.push(finding(
            "default scope",
            Outcome::Warning,
            "there is none: names that nobody claims are refused",
            Some("set upstreams in [resolver], or default = \"yes\" in a profile whose link is up"),
        ));
    }
    for scope in &status.scopes {
        if scope.state != "ready" && !scope.claims.is_empty() {
            let seen = format!(
                "scope {} is {}; refused: {}",
                scope.id,
                scope.state,
                scope.claims.join(" ")
            );
            findings.push(finding(
                "scope",
                Outcome::Warning,
                seen,
                Some("when-down = \"release\" lets the names go elsewhere"),
            ));
        }
        if let Some(seen) = errors(scope) {
            let help = "linnet monitor shows the next ones, linnet explain NAME what the last question did";
            findings.push(finding("answers", Outcome::Warning, seen, Some(help)));
        }
        for upstream in &scope.upstreams {
            if let Some(failing) = &upstream.failing {
                let seen = format!(
                    "{} of scope {} fails: {failing}",
                    upstream.upstream, scope.id
                );
                findings.push(finding("upstream", Outcome::Warning, seen, None));
            }
        }
    }
}

fn configuration(status: &Status, findings: &mut Vec<Finding>) {
    let errors = status
        .diagnostics
        .iter()
        .filter(|found| found.severity == "error")
        .count();
    findings.push(match errors {
        0 => finding("configuration", Outcome::Good, "no errors", None),
        count => finding(
            "configuration",
            Outcome::Failure,
            format!("{count} errors"),
            Some("linnet config check shows them"),
        ),
    });
}

fn journal(status: &Status) -> Finding {
    const CHECK: &str = "journal of links";
    match &status.journal_trouble {
        None => finding(CHECK, Outcome::Good, "it is kept", None),
        Some(trouble) => finding(
            CHECK,
            Outcome::Failure,
            trouble,
            Some(
                "make room on the disk of the state directory, and see that linnetd may write there",
            ),
        ),
    }
}

fn resolv_conf_file(path: &Path, status: Option<&Status>) -> Finding {
    const CHECK: &str = "resolv.conf";
    let Ok(bytes) = fs::read(path) else {
        return finding(
            CHECK,
            Outcome::Warning,
            format!("{} cannot be read", path.display()),
            Some("the C library then asks 127.0.0.1"),
        );
    };
    let content = String::from_utf8_lossy(&bytes);
    let servers: Vec<&str> = content
        .lines()
        .filter_map(|line| line.strip_prefix("nameserver"))
        .map(str::trim)
        .collect();
    let kind = match fs::read_link(path) {
        Ok(target) => format!("a link to {}", target.display()),
        Err(_) => "a file".to_owned(),
    };
    let seen = format!(
        "{kind}; it names {}",
        if servers.is_empty() {
            "no server".to_owned()
        } else {
            servers.join(", ")
        }
    );
    let Some(status) = status else {
        return finding(CHECK, Outcome::Good, seen, None);
    };
    let stub = status.listen.iter().any(|listen| {
        listen
            .address
            .parse::<SocketAddr>()
            .is_ok_and(|address| servers.contains(&address.ip().to_string().as_str()))
    });
    match status.resolv_conf.state.as_str() {
        "overwritten" | "failed" => finding(
            CHECK,
            Outcome::Failure,
            format!(
                "{seen}; {}",
                status
                    .resolv_conf
                    .detail
                    .as_deref()
                    .unwrap_or("not as configured")
            ),
            Some(
                "stop the other program, or set resolv-conf = \"unmanaged\"; then linnet config reload",
            ),
        ),
        _ if !stub && status.resolv_conf.mode == "unmanaged" => finding(
            CHECK,
            Outcome::Warning,
            format!("{seen}: programs of this machine do not ask linnet"),
            Some("set resolv-conf = \"stub\" in [resolver], or name 127.0.0.53 yourself"),
        ),
        _ => finding(CHECK, Outcome::Good, seen, None),
    }
}

fn nsswitch() -> Finding {
    const CHECK: &str = "nsswitch";
    let content = fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default();
    let hosts = content
        .lines()
        .find_map(|line| line.strip_prefix("hosts:"))
        .map(str::trim);
    match hosts {
        None => finding(
            CHECK,
            Outcome::Good,
            "no hosts line: the C library's default, dns then files",
            None,
        ),
        Some(hosts)
            if hosts
                .split_whitespace()
                .any(|word| word == "dns" || word == "resolve") =>
        {
            finding(CHECK, Outcome::Good, format!("hosts: {hosts}"), None)
        }
        Some(hosts) => finding(
            CHECK,
            Outcome::Failure,
            format!("hosts: {hosts}"),
            Some("add dns: without it the C library asks no server"),
        ),
    }
}
