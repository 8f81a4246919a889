//! Questions, plans and resolv.conf as they change, a line each: for pipes and for those who read along.

use std::fmt::Write as _;
use std::io::Write;

use linnet::api::{Notice, Trace};

use crate::connection::Connection;
use crate::output::Output;
use crate::{Exit, Failed};

/// Runs the verb; ends when the daemon does.
pub(crate) fn run(
    connection: &mut Connection,
    out: &mut Output<impl Write>,
) -> Result<Exit, Failed> {
    connection.subscribe("Subscribe", serde_json::json!({}))?;
    loop {
        let notice: Notice = connection.receive()?;
        out.show(&notice, line)?;
    }
}

fn line(notice: &Notice) -> String {
    match notice {
        Notice::Ready => "watching; end with Ctrl-C\n".to_owned(),
        Notice::Answered { trace } => answered(trace),
        // What changed has no word for people: times, what was seen of links.
        Notice::PlanChanged { changes, .. } if changes.is_empty() => String::new(),
        Notice::PlanChanged {
            generation,
            changes,
        } => {
            let mut text = format!("plan {generation}\n");
            for change in changes {
                let _ = writeln!(text, "  {change}");
            }
            text
        }
        Notice::ResolvConf { status } => {
            format!(
                "resolv.conf {}: {}\n",
                status.state,
                status.detail.as_deref().unwrap_or(&status.mode)
            )
        }
        Notice::Reach {
            link,
            reach,
            portal,
        } => {
            let mut text = String::new();
            for line in super::super::status::links::reached_lines(reach, portal.as_ref()) {
                let _ = writeln!(text, "{link}: {line}");
            }
            text
        }
        Notice::Seen { sight } => super::super::browse::line(sight),
        Notice::Lost { count } => format!("{count} messages left out: this reader is too slow\n"),
        Notice::Unknown => {
            "something else happened: linnetd is newer than linnet, which has no words for it\n"
                .to_owned()
        }
    }
}

fn answered(trace: &Trace) -> String {
    let mut text = format!(
        "{} {} {} {:.1} ms",
        trace.name, trace.record_type, trace.rcode, trace.elapsed_ms
    );
    let last =
        |pick: fn(&linnet::api::Step) -> Option<&String>| trace.steps.iter().rev().find_map(pick);
    if let Some(scope) = last(|step| step.scope.as_ref()) {
        let _ = write!(text, " scope {scope}");
    }
    if let Some(upstream) = last(|step| step.upstream.as_ref()) {
        let _ = write!(text, " upstream {upstream}");
    }
    if let Some(step) = trace
        .steps
        .iter()
        .find(|step| matches!(step.what.as_str(), "cache-hit" | "synthesized"))
    {
        let _ = write!(text, " {}", step.what);
    }
    if let Some(error) = &trace.extended_error {
        let _ = write!(text, " ({error})");
    }
    text.push('\n');
    text
}
